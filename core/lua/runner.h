/* runner.h - private to core/lua: the jobs of a worker and the coroutines that run them.
 *
 *   JOB frame ──► pending slot ──► active slot ──► DONE or FAIL frame
 *
 * An active slot has a job table, a main thread and the threads that the job spawned.
 *
 * A *thread* is a coroutine of a job that the runner resumes.  `wait` is its state: the event it waits for.  A thread
 * that ended without an error returns to the pool with its coroutine, so that a short job allocates none.
 *
 * Scripts can resume each other's threads (spawn, coroutine.resume), so the C stack can hold the code of several
 * threads. A thread that ends while a script is on the stack only records its end.  sk_jobs_follow_up does the rest
 * (ends the job, resumes joiners, starts new jobs) once no script is on the stack.  Threads are dropped only there.
 *
 * The runner itself allocates Lua memory on the main state only, and in protected mode (sk_vm_protect), since any
 * allocation may run the finalizers of scripts.  A process has one runner; worker.c creates and frees it. */
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
  SK_WAIT_PARK,    /* until a script calls coroutine.resume */
  SK_WAIT_ABANDON, /* ignored its stop too often: never resumed again; the runner ends its job */
  SK_WAIT_OVER,    /* the thread has ended; its results are on its stack */
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
  struct sk_heap_node sleep; /* key: wake time, monotonic ms */
  uint64_t request;
  UT_hash_handle by_request; /* in runner->requests while it waits for an answer */
  UT_hash_handle by_co;      /* in runner->by_co, always */
  struct sk_list joiners;    /* threads that wait for this one */
  struct sk_list join_node;  /* in another thread's joiners, in runner->woken, or (OVER) in runner->unwanted */
  bool failed;               /* valid when OVER: it ended with an error */
  bool cut;                  /* its job ended before the thread did */
  bool shared;               /* a Lua handle refers to it; the last of handle and runner to let go frees it */
  bool known;                /* scripts may hold its coroutine, so another job must not reuse it */
  bool asked;                /* a script has read its results, so a failure is not logged */
  char *trouble;             /* owned; text and traceback of its failure for the log; may be NULL */
};

struct sk_slot {
  struct sk_list node; /* in runner->pending before its start, in runner->ended before its end */
  struct sk_runner *runner;
  uint32_t number;
  uint32_t generation;
  bool active;
  bool failing; /* the failure handlers of the job run */
  enum sk_error_kind
      late_kind;          /* kind of a failure whose late handlers are to run; NONE: the slot runs the job itself */
  bool dies;              /* the late handlers are those of the job's death */
  struct sk_buf message;  /* owned; the failure's message for the late handlers */
  struct sk_thread *over; /* the main or failure thread once it has ended, with `over_status` of lua_resume */
  int over_status;
  struct sk_buf record; /* owned; job's slices point into it */
  struct sk_job job;
  int64_t timeout_ms;
  int64_t retries;
  int64_t started_ms;       /* monotonic */
  struct sk_heap_node soft; /* key: time of the soft timeout, monotonic ms */
  enum sk_error_kind stop;  /* TIMEOUT or CANCELLED once the job must stop, else NONE */
  enum sk_error_kind told;  /* copy of `stop` that stays set while the failure handlers run */
  unsigned swallowed;       /* times the job went on after the stop was raised */
  struct sk_list threads;
  int *children; /* owned; programs of the job that may still run: a process group, or -pid */
  size_t children_n, children_cap;
  int job_ref; /* the job's Lua table; LUA_NOREF when there is none */
};

struct sk_runner {
  lua_State *L;
  struct sk_vm *vm;
  struct sk_loop *loop;
  struct sk_pipe *pipe;
  struct sk_slot_page *slot_page;
  uint32_t concurrency;
  struct sk_slot *slots; /* slot_page->slots_n of them */
  uint32_t active;
  struct sk_list pending;
  struct sk_list pool; /* idle threads */
  size_t pool_n;
  struct sk_heap sleepers;     /* struct sk_thread.sleep */
  struct sk_heap timeouts;     /* struct sk_slot.soft */
  struct sk_timer *half_timer; /* runs while an incomplete frame of the core is buffered */
  bool half_late;              /* half_timer has expired */
  struct sk_timer *timer;      /* for the earliest entry of sleepers and timeouts */
  int64_t timer_at;
  struct sk_thread *requests; /* hash of the threads that wait for an answer; key: request */
  struct sk_thread *by_co;    /* hash of all threads; key: co */
  uint64_t next_request;
  struct sk_thread *current; /* the thread whose code runs; NULL when none does */
  unsigned depth;            /* number of resumes and of script callbacks on the C stack */
  bool following;            /* true while sk_jobs_follow_up runs */
  struct sk_list ended;      /* slots whose main thread has ended, or that are to be abandoned */
  struct sk_list woken;      /* threads (join_node) whose wait for another has ended */
  struct sk_list unwanted;   /* spawned threads (join_node) that are over and that no Lua handle refers to */
  int handlers_ref;          /* Lua table: task name -> function */
  int failed_ref;            /* Lua function: decides the outcome of a failed attempt */
  int late_handlers_ref;     /* Lua function: runs the late handlers */
  int job_meta_ref;
  int unhook_ref;  /* Lua function: restores the debug hook that the scripts set while loading; LUA_NOREF before */
  bool hooked;     /* a job has set a debug hook; it would apply to all jobs */
  int misuse_ref;  /* Lua function: raises an error at the script's line */
  int dropped_ref; /* Lua table, weak keys: coroutines that the runner dropped before their end */
  bool draining;
  bool unheard;    /* the last wait for the core to read the pipe timed out */
  size_t unsaid_n; /* number of log and progress messages dropped while `unheard` was set */
  int64_t now_ms;  /* cached monotonic time between two scripts; 0: read the clock */
  int64_t sent_ms; /* monotonic time at which send_soon last sent the end of a job */
};

#define SK_SWALLOWED_MAX 3 /* times a stop may be swallowed before the job is abandoned */
#define SK_NESTED_MAX 100  /* depth of nested resumes; each uses C stack */

/* The files of the runner, in the order of their calls: each calls only files listed above it. */

/* runner.c */
void sk_runner_register(lua_State *L, struct sk_runner *r);
struct sk_runner *sk_runner_of(lua_State *L);
/* Pushes the value that the waiting functions of skein.runtime yield. */
void sk_runner_push_token(lua_State *L);
bool sk_runner_is_token(lua_State *L, int index);
/* Monotonic time for the work between two scripts; cached in now_ms. */
int64_t sk_runner_now_ms(struct sk_runner *r);
/* Waits, if much output is buffered, until the core has read it.  Returns false if that takes longer than SK_SAY_MS;
 * later calls then return false at once until the core reads again.  On false, callers drop log lines and progress. */
bool sk_runner_may_say(struct sk_runner *r);
/* Sends a line to the engine's log.  slot is the job of the line; NULL: the line belongs to no job. */
void sk_runner_log(struct sk_runner *r, unsigned level, const struct sk_slot *slot, struct sk_str text);
/* Calls sk_vm_protect, and logs the error of a finalizer. */
void sk_runner_protect(struct sk_runner *r, lua_CFunction step, void *ctx);
/* Removes the debug hook that a job left behind. */
void sk_runner_unhook(struct sk_runner *r);
/* The handle by which Lua code names a running job; sk_runner_slot returns NULL once that job is over. */
lua_Number sk_runner_handle(const struct sk_slot *slot);
struct sk_slot *sk_runner_slot(struct sk_runner *r, lua_Number handle);
/* Redirects the pipe writes of a child that a job forks (through ffi) to /dev/null. */
void sk_runner_watch_forks(void);
/* Ends this process if it is a child that a job forked: it must not continue as the worker. */
void sk_runner_leave_child(void);

/* programs.c: starts the programs of a job, and ends them with the job */
void sk_programs_open(lua_State *L); /* adds the functions of programs.c to the module on top of the stack */
void sk_programs_end(struct sk_slot *slot);

/* thread.c */
/* Returns NULL when out of memory.  May raise on L, the protected state that runs. */
struct sk_thread *sk_thread_new(lua_State *L, struct sk_slot *slot, enum sk_role role);
/* Resumes the thread with the n values on top of its stack and records its outcome for sk_jobs_follow_up. */
void sk_thread_resume(struct sk_thread *t, int n);
/* Removes the thread from the list or heap in which it waits. */
void sk_thread_unwait(struct sk_thread *t);
/* Detaches the thread from its job; its coroutine is never resumed again.  No script must be on the C stack. */
void sk_thread_drop(struct sk_thread *t);
void sk_thread_release(struct sk_thread *t); /* call when its Lua handle was collected */
/* Frees the threads in runner->unwanted.  Scripts can be on the C stack. */
void sk_threads_reap(struct sk_runner *r);
struct sk_thread *sk_thread_of(struct sk_runner *r, lua_State *co); /* NULL: the runner does not own it */
/* Sets the timer for the earliest wake or timeout. */
void sk_thread_arm_timer(struct sk_runner *r);

/* runtime.c: the Lua module skein.runtime */
int sk_runtime_open(lua_State *L);

/* jobs.c */
void sk_jobs_take(struct sk_runner *r, struct sk_reader *frame);
/* Calls sk_thread_resume and then sk_jobs_follow_up. */
void sk_jobs_resume(struct sk_thread *t, int n);
/* Ends jobs, resumes joiners and starts pending jobs.  Has no effect while a script is on the C stack. */
void sk_jobs_follow_up(struct sk_runner *r);
void sk_jobs_on_timer(void *runner);
void sk_jobs_stop(struct sk_slot *slot, enum sk_error_kind kind); /* raises the stop at the job's next yield */
void sk_jobs_drain(struct sk_runner *r);
void sk_jobs_trace(struct sk_runner *r);

#endif
