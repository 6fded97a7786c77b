/* runner.h - private to core/lua: a worker's jobs and the coroutines that run them.
 *
 *   JOB frame ──► slot (pending) ──► slot (active): a job table, a main thread, the threads it spawned ──► DONE or
 *       FAIL frame
 *
 * A *thread* is a coroutine of a job that the runner resumes.  What it waits for is its state.  Threads that ended
 * well are pooled with their coroutine, so that a short job allocates none.
 *
 * Scripts may resume each other's threads (spawn, coroutine.resume), so one thread's code can be on the C stack below
 * another's. A thread that ends there only takes note: what follows from it (its job's end, joiners that go on, new
 * jobs) happens in sk_jobs_follow_up, once no script is on the stack.  There, and nowhere else, threads are dropped.
 *
 * The runner's own work allocates on the main state only, and in protected mode (sk_vm_protect): the collector may
 * run scripts' finalizers whenever it does.  One process, one runner; see worker.c for its life. */
#ifndef SK_LUA_RUNNER_H
#define SK_LUA_RUNNER_H

#include <lua.h>
#include <stdbool.h>
#include <uthash.h>

#include "base/buf.h"
#include "base/heap.h"
#include "base/list.h"
#include "engine/slot_page.h"
#include "io/loop.h"
#include "io/pipe.h"
#include "logic/job.h"
#include "logic/wire.h"
#include "lua/vm.h"

enum sk_wait {
  SK_WAIT_NONE,    /* running, or about to be resumed for the first time */
  SK_WAIT_SLEEP,   /* in runner->sleepers */
  SK_WAIT_REQUEST, /* in runner->requests */
  SK_WAIT_JOIN,    /* in another thread's joiners */
  SK_WAIT_PARK,    /* until coroutine.resume */
  SK_WAIT_ABANDON, /* swallowed its stop too often: never to be resumed, the runner takes its job down */
  SK_WAIT_OVER,    /* has ended; its results are on its stack */
};

enum sk_role { SK_ROLE_MAIN, SK_ROLE_SPAWNED, SK_ROLE_FAILURE /* runs the failure handlers */ };

struct sk_slot;

struct sk_thread {
  struct sk_list node; /* in slot->threads, or in runner->pool */
  struct sk_runner *runner;
  struct sk_slot *slot; /* NULL once its job is over */
  lua_State *co;
  int ref; /* registry reference that keeps co alive */
  enum sk_role role;
  enum sk_wait wait;
  struct sk_heap_node sleep; /* key: monotonic ms */
  uint64_t request;
  UT_hash_handle by_request; /* in runner->requests while it waits for an answer */
  UT_hash_handle by_co;      /* in runner->by_co, always */
  struct sk_list joiners;    /* threads that wait for this one */
  struct sk_list join_node;  /* in another thread's joiners, in runner->woken, or (OVER) in runner->unwanted */
  bool failed;               /* OVER: with an error */
  bool cut;                  /* its job ended before it did */
  bool shared;               /* a Lua handle refers to it: freed by whichever lets go last */
  bool known;                /* scripts have asked for its coroutine: not for another job */
  bool asked;                /* its outcome was asked for */
  char *trouble;             /* owned; why it failed, for people; NULL */
};

struct sk_slot {
  struct sk_list node; /* in runner->pending while it waits for its turn, in runner->ended when it is to be ended */
  struct sk_runner *runner;
  uint32_t number;
  uint32_t generation;
  bool active;
  bool failing;             /* the failure handlers run */
  enum sk_error_kind mourn; /* not NONE: an earlier attempt ended so, elsewhere; only its handlers are to run */
  bool dies;                /* ... those for its death */
  struct sk_buf message;    /* ... with these words; owned */
  struct sk_thread *over;   /* the main or failure thread once it has ended, with `over_status` of lua_resume */
  int over_status;
  struct sk_buf record; /* owned; job's slices point into it */
  struct sk_job job;
  int64_t timeout_ms;
  int64_t retries;
  int64_t started_ms;       /* monotonic */
  struct sk_heap_node soft; /* key: when the soft timeout comes */
  enum sk_error_kind stop;  /* TIMEOUT or CANCELLED once it should stop */
  enum sk_error_kind told;  /* the same, kept while the failure handlers run */
  unsigned swallowed;       /* times it went on after that was raised */
  struct sk_list threads;
  int *children; /* owned; programs that the job has started and that may still run: a process group, or -pid */
  size_t children_n, children_cap;
  int job_ref; /* the job's Lua table; LUA_NOREF */
};

struct sk_runner {
  lua_State *L;
  struct sk_vm *vm;
  struct sk_loop *loop;
  struct sk_pipe *pipe;
  struct sk_slot_page *slot_page;
  uint32_t concurrency;
  struct sk_slot *slots; /* share->slots_n of them */
  uint32_t active;
  struct sk_list pending;
  struct sk_list pool; /* idle threads */
  size_t pool_n;
  struct sk_heap sleepers;     /* struct sk_thread.sleep */
  struct sk_heap timeouts;     /* struct sk_slot.soft */
  struct sk_timer *half_timer; /* runs while half a frame of the core's is there */
  bool half_late;              /* it has rung */
  struct sk_timer *timer;      /* for the first of both */
  int64_t timer_at;
  struct sk_thread *requests; /* that wait for an answer, by request */
  struct sk_thread *by_co;    /* all */
  uint64_t next_request;
  struct sk_thread *current; /* whose code is running, NULL between */
  unsigned depth;            /* how many resumes and callbacks of scripts are on the C stack */
  bool following;            /* sk_jobs_follow_up runs */
  struct sk_list ended;      /* slots whose main thread has ended, or that are to be abandoned */
  struct sk_list woken;      /* threads (join_node) whose wait for another has ended */
  struct sk_list unwanted;   /* spawned threads (join_node) that are over and that no Lua handle refers to */
  int handlers_ref;          /* Lua table: task name -> function */
  int failed_ref;            /* Lua function: what to do with a failed attempt */
  int mourn_ref;             /* Lua function: runs the handlers of an attempt that failed in another worker */
  int job_meta_ref;
  int unhook_ref;  /* Lua function: restores the debug hook that the scripts set when they loaded; LUA_NOREF before */
  bool hooked;     /* a job has set a debug hook, which all jobs would run under */
  int misuse_ref;  /* Lua function: raises a text at the script's line */
  int dropped_ref; /* Lua table, weak keys: coroutines that were dropped before their end */
  bool draining;
  bool unheard;    /* the core did not take what was said when it was waited for last */
  size_t unsaid_n; /* log lines and the like that were not said for that */
  int64_t now_ms; /* monotonic; as long as only the runner works, the time is not asked for again; 0: to be asked for */
  int64_t sent_ms; /* when an end was last sent without waiting for the loop; monotonic */
};

#define SK_SWALLOWED_MAX 3 /* times a stop may be swallowed before the job is abandoned */
#define SK_NESTED_MAX 100  /* depth of resumes within resumes: each takes a piece of the C stack */

/* The files of the runner, each calling only those above it. */

/* runner.c */
void sk_runner_register(lua_State *L, struct sk_runner *r);
struct sk_runner *sk_runner_of(lua_State *L);
/* The value that the module's waiting functions yield. */
void sk_runner_push_token(lua_State *L);
bool sk_runner_is_token(lua_State *L, int index);
/* The time, for the runner's own work between two scripts; monotonic. */
int64_t sk_runner_now_ms(struct sk_runner *r);
/* Waits for the core to take what this worker has to say when that is much.  False when it does not within SK_SAY_MS;
 * then nobody waits again before it has.  What can be lost is not to be said then. */
bool sk_runner_may_say(struct sk_runner *r);
/* Sends a line to the engine's log; slot: the job it is about, NULL for none. */
void sk_runner_log(struct sk_runner *r, unsigned level, const struct sk_slot *slot, struct sk_str text);
/* sk_vm_protect; a finalizer's error is logged. */
void sk_runner_protect(struct sk_runner *r, lua_CFunction step, void *ctx);
/* Takes away the debug hook that a job has left. */
void sk_runner_unhook(struct sk_runner *r);
/* The number by which Lua knows a running job, and back; NULL when that job is over. */
lua_Number sk_runner_handle(const struct sk_slot *slot);
struct sk_slot *sk_runner_slot(struct sk_runner *r, lua_Number handle);
/* From now on a child that a job forks cannot speak for the worker. */
void sk_runner_watch_forks(void);
/* Ends this process if it is such a child, which must not go on as the worker. */
void sk_runner_leave_child(void);

/* programs.c: what a job's programs are started with, and that they end with it */
void sk_programs_open(lua_State *L); /* adds its functions to the module on top of the stack */
void sk_programs_end(struct sk_slot *slot);

/* thread.c */
/* May raise on L, the state that runs and is protected.  NULL when out of memory. */
struct sk_thread *sk_thread_new(lua_State *L, struct sk_slot *slot, enum sk_role role);
/* Resumes it with the n values on top of its stack, and notes its outcome, which sk_jobs_follow_up acts upon. */
void sk_thread_resume(struct sk_thread *t, int n);
/* Takes it out of the list or heap in which it waits. */
void sk_thread_unwait(struct sk_thread *t);
/* Ends its part in the job: the coroutine is never resumed again.  No script may be on the C stack. */
void sk_thread_drop(struct sk_thread *t);
void sk_thread_release(struct sk_thread *t); /* its Lua handle is gone */
/* Frees the unwanted threads.  Scripts may be on the C stack. */
void sk_threads_reap(struct sk_runner *r);
struct sk_thread *sk_thread_of(struct sk_runner *r, lua_State *co); /* NULL when it is none of the runner's */
/* Sets the timer for the first that sleeps or times out. */
void sk_thread_arm_timer(struct sk_runner *r);

/* runtime.c: the Lua module skein.runtime */
int sk_runtime_open(lua_State *L);

/* jobs.c */
void sk_jobs_take(struct sk_runner *r, struct sk_reader *frame);
/* sk_thread_resume, and then sk_jobs_follow_up. */
void sk_jobs_resume(struct sk_thread *t, int n);
/* Does what is due once no script is on the C stack: ends jobs, wakes joiners, starts pending jobs.  Does nothing
 * before. */
void sk_jobs_follow_up(struct sk_runner *r);
void sk_jobs_on_timer(void *runner);
void sk_jobs_stop(struct sk_slot *slot, enum sk_error_kind kind); /* soft: raised at its next yield */
void sk_jobs_drain(struct sk_runner *r);
void sk_jobs_trace(struct sk_runner *r);

#endif
