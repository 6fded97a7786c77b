/* jobs.c - takes, starts and ends the jobs of a worker; see runner.h.
 *
 * The hot path (a handler that returns at once) makes no system call and allocates only the job's table. */
#include <assert.h>
#include <lauxlib.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/limits.h"
#include "base/log.h"
#include "logic/record.h"
#include "lua/json.h"
#include "lua/runner.h"

enum {
  FAILURE_ARGS = 4,              /* job, kind, error value, traceback */
  RECORD_KEEP_BYTES = 64 * 1024, /* largest record buffer that a slot keeps between jobs */
  SEND_AFTER_MS = 5,             /* least time between two early sends */
};

static void say_done(struct sk_runner *r, const struct sk_slot *slot, struct sk_str result) {
  struct sk_buf *out = sk_pipe_out(r->pipe);
  size_t at = sk_wire_begin(out, SK_FRAME_DONE);
  sk_buf_add_u32(out, slot->number);
  sk_wire_add_str(out, result);
  sk_wire_end(out, at);
}

struct failure {
  enum sk_verdict verdict;
  int64_t delay_ms;
  enum sk_error_kind kind;
  struct sk_str message, traceback;
};

static void say_fail(struct sk_runner *r, const struct sk_slot *slot, const struct failure *f) {
  struct sk_buf *out = sk_pipe_out(r->pipe);
  size_t at = sk_wire_begin(out, SK_FRAME_FAIL);
  sk_buf_add_u32(out, slot->number);
  sk_buf_add_byte(out, (char)f->verdict);
  sk_wire_add_i64(out, f->delay_ms);
  sk_buf_add_byte(out, (char)f->kind);
  sk_wire_add_str(out, sk_str_head(f->message, SK_ERROR_BYTES_MAX));
  sk_wire_add_str(out, sk_str_head(f->traceback, SK_TRACEBACK_BYTES_MAX));
  sk_wire_end(out, at);
}

/* -- the end ------------------------------------------------------------------------------------------------------- */

/* Drops all threads of the job except the one whose coroutine is `keep`. */
static void drop_threads_but(struct sk_slot *slot, const lua_State *keep) {
  SK_LIST_EACH_SAFE(n, &slot->threads) {
    struct sk_thread *t = SK_CONTAINER(n, struct sk_thread, node);
    if (t->co != keep) sk_thread_drop(t);
  }
}

static void drop_threads(struct sk_slot *slot) { drop_threads_but(slot, NULL); }

/* Sends buffered frames before the loop does.  The loop sends only after all pending jobs have run: without an early
 * send, a waiting client would wait for those jobs too, and their crash would lose the end of this job. */
static void send_soon(struct sk_runner *r) {
  int64_t now_ms = sk_runner_now_ms(r);
  if (now_ms - r->sent_ms < SEND_AFTER_MS && sk_pipe_pending(r->pipe) <= SK_SAID_BYTES_MAX) return;
  r->sent_ms = now_ms;
  sk_pipe_flush(r->pipe);
  sk_runner_may_say(r);
}

/* Frees everything that belongs to the attempt, whose DONE or FAIL frame is written. */
static void finish(struct sk_slot *slot) {
  struct sk_runner *r = slot->runner;
  drop_threads(slot);
  sk_programs_end(slot);
  sk_list_remove(&slot->node);
  slot->over = NULL;
  if (sk_heap_has(&slot->soft)) sk_heap_remove(&r->timeouts, &slot->soft);
  luaL_unref(r->L, LUA_REGISTRYINDEX, slot->job_ref);
  slot->job_ref = LUA_NOREF;
  if (slot->record.cap > RECORD_KEEP_BYTES) sk_buf_fini(&slot->record);
  slot->active = false;
  assert(r->active > 0);
  r->active--;
  send_soon(r);
}

static const char *stop_text(enum sk_error_kind kind) { return kind == SK_KIND_TIMEOUT ? "timeout" : "cancelled"; }

void sk_jobs_resume(struct sk_thread *t, int n) {
  struct sk_runner *r = t->runner;
  sk_thread_resume(t, n);
  sk_jobs_follow_up(r);
}

/* The cause of a failed attempt, for the failure handlers. */
struct trouble {
  struct sk_slot *slot;
  const char *kind;
  const char *message; /* message of the runner; NULL: a script raised an error */
  bool out_of_memory;
  lua_State *co; /* the coroutine that failed, its stack intact, the error value on top; its thread still exists */
  struct sk_thread *handler; /* out; NULL when out of memory */
};

/* Makes the thread that runs the failure handlers and pushes on its stack: function, job, kind, error value,
 * traceback. */
static int failure_step(lua_State *L) {
  struct trouble *f = lua_touserdata(L, 1);
  struct sk_slot *slot = f->slot;
  struct sk_runner *r = slot->runner;
  lua_rawgeti(L, LUA_REGISTRYINDEX, r->failed_ref);
  lua_rawgeti(L, LUA_REGISTRYINDEX, slot->job_ref);
  lua_pushstring(L, f->kind);
  if (f->message) {
    lua_pushstring(L, f->message);
    lua_pushliteral(L, "");
  } else {
    lua_pushvalue(f->co, -1);
    lua_xmove(f->co, L, 1);
    luaL_traceback(L, f->co, NULL, 0);
  }
  int n = lua_gettop(L) - 1;
  if (f->out_of_memory) lua_gc(L, LUA_GCCOLLECT, 0); /* frees memory for the handlers */
  if (f->handler == NULL) f->handler = sk_thread_new(L, slot, SK_ROLE_FAILURE);
  if (f->handler) lua_xmove(L, f->handler->co, n);
  return 0;
}

/* Runs the failure handlers (skein/failures.lua) in a thread of their own, since they may yield. */
static void start_failure(struct trouble *f) {
  struct sk_slot *slot = f->slot;
  struct sk_runner *r = slot->runner;
  sk_list_remove(&slot->node);
  slot->failing = true;
  slot->over = NULL;
  slot->stop = SK_KIND_NONE; /* the attempt has stopped; its handlers may wait */
  drop_threads_but(slot, f->co);
  sk_runner_protect(r, failure_step, f);
  drop_threads_but(slot, f->handler ? f->handler->co : NULL);
  if (f->handler == NULL) {
    say_fail(r, slot,
             &(struct failure){ .delay_ms = -1, .kind = SK_KIND_ERROR, .message = SK_STR_LIT("out of memory") });
    finish(slot);
    return;
  }
  sk_jobs_resume(f->handler, FAILURE_ARGS);
}

/* Starts the failure handlers for an error of the runner: a message without a traceback. */
static void fail_with(struct sk_slot *slot, const char *kind, const char *message) {
  start_failure(&(struct trouble){ .slot = slot, .kind = kind, .message = message });
}

/* Reads the results of failures.failed: verdict, delay_ms, kind, message, traceback. */
static struct failure read_failure(lua_State *co) {
  struct failure f = {
    .verdict = (enum sk_verdict)lua_tointeger(co, 1),
    .delay_ms = (int64_t)lua_tonumber(co, 2),
    .kind = (enum sk_error_kind)lua_tointeger(co, 3),
  };
  f.message.p = lua_tolstring(co, 4, &f.message.n);
  f.traceback.p = lua_tolstring(co, 5, &f.traceback.n);
  return f;
}

static void failure_ended(struct sk_slot *slot) {
  lua_State *co = slot->over->co;
  struct failure f = { .delay_ms = -1, .kind = SK_KIND_ERROR };
  if (slot->over_status == 0)
    f = read_failure(co);
  else
    f.message =
        sk_vm_error_text(co, -1); /* out of memory or a fault in Skein: failures.lua catches errors of handlers */
  say_fail(slot->runner, slot, &f);
  finish(slot);
}

struct result {
  lua_State *co; /* the handler's coroutine; the result is the first value on its stack */
  struct sk_buf text;
  enum sk_code code;
  struct sk_err err;
};

static int result_step(lua_State *L) {
  struct result *res = lua_touserdata(L, 1);
  sk_buf_clear(&res->text);
  lua_pushvalue(res->co, 1);
  lua_xmove(res->co, L, 1);
  res->code = sk_lua_json_encode(L, 2, "result", &res->text, &res->err);
  if (res->code == SK_OK && res->text.n > SK_RESULT_BYTES_MAX)
    res->code = sk_err_set(&res->err, SK_ELIMIT, "result: %zu bytes of JSON, the limit is %d", res->text.n,
                           SK_RESULT_BYTES_MAX);
  return 0;
}

static void returned(struct sk_slot *slot) {
  struct sk_runner *r = slot->runner;
  struct result res = { .co = slot->over->co };
  if (lua_gettop(res.co) > 0 && !lua_isnil(res.co, 1)) {
    lua_settop(res.co, 1);
    sk_runner_protect(r, result_step, &res);
  }
  if (res.code == SK_OK) {
    say_done(r, slot, sk_buf_str(&res.text));
    finish(slot);
  } else {
    fail_with(slot, "result", res.err.message);
  }
  sk_buf_fini(&res.text);
}

static void raised(struct sk_slot *slot) {
  start_failure(&(struct trouble){
      .slot = slot, .kind = "error", .co = slot->over->co, .out_of_memory = slot->over_status == LUA_ERRMEM });
}

/* Ends a slot whose late handlers have run or have ignored their stop.  Errors in handlers are caught in Lua. */
static void after_late_handlers(struct sk_slot *slot) {
  struct sk_runner *r = slot->runner;
  if (slot->over == NULL)
    sk_runner_log(r, SK_LOG_ERROR, slot, SK_STR_LIT("the job's handlers went on after they were told to stop"));
  else if (slot->over_status != 0)
    sk_runner_log(r, SK_LOG_ERROR, slot, sk_vm_error_text(slot->over->co, -1));
  say_done(r, slot, sk_str(NULL, 0));
  finish(slot);
}

/* Ends the attempt of a slot that was in runner->ended. */
static void end_of(struct sk_slot *slot) {
  bool failed = slot->over == NULL || slot->over_status != 0;
  if (slot->late_kind != SK_KIND_NONE)
    after_late_handlers(slot);
  else if (slot->over != NULL && slot->over->role == SK_ROLE_FAILURE)
    failure_ended(slot);
  else if (slot->stop == SK_KIND_CANCELLED && failed)
    fail_with(slot, "cancelled", "cancelled"); /* the error that the job raised does not matter */
  else if (slot->over == NULL)
    fail_with(slot, stop_text(slot->stop), "it went on after it was told to stop");
  else if (slot->over_status == 0)
    returned(slot);
  else
    raised(slot);
}

static bool waits(const struct sk_thread *t) {
  return t->wait == SK_WAIT_SLEEP || t->wait == SK_WAIT_REQUEST || t->wait == SK_WAIT_JOIN || t->wait == SK_WAIT_PARK;
}

void sk_jobs_stop(struct sk_slot *slot, enum sk_error_kind kind) {
  if (!slot->active || slot->stop != SK_KIND_NONE || slot->failing) return;
  slot->stop = slot->told = kind;
  /* Waking one thread may end the job, and with it all of its threads. */
  uint32_t generation = slot->generation;
  for (bool woke = true; woke && slot->active && slot->generation == generation && !slot->failing;) {
    woke = false;
    SK_LIST_EACH (n, &slot->threads) {
      struct sk_thread *t = SK_CONTAINER(n, struct sk_thread, node);
      if (!waits(t)) continue;
      sk_thread_unwait(t);
      lua_pushinteger(t->co, kind);
      sk_jobs_resume(t, 1);
      woke = true;
      break;
    }
    if (slot->swallowed > 0) break; /* the job went on; its next yield raises the stop again */
  }
}

/* -- the start ----------------------------------------------------------------------------------------------------- */

static void set_text(lua_State *L, const char *key, struct sk_str s) {
  lua_pushlstring(L, s.p, s.n);
  lua_setfield(L, -2, key);
}

static void set_number(lua_State *L, const char *key, lua_Number v) {
  lua_pushnumber(L, v);
  lua_setfield(L, -2, key);
}

/* Pushes the job's table.  skein/job.lua decodes args and meta on first use. */
static void push_job(lua_State *L, struct sk_slot *slot) {
  const struct sk_job *job = &slot->job;
  lua_createtable(L, 0, 8);
  set_text(L, "id", job->id);
  set_text(L, "task", job->task);
  set_text(L, "queue", job->queue);
  set_number(L, "attempt", (lua_Number)job->attempts + 1);
  set_number(L, "retries", (lua_Number)slot->retries);
  set_number(L, "enqueued_at", (lua_Number)job->enqueued_ms / 1000.0);
  set_number(L, "_handle", sk_runner_handle(slot));
  lua_rawgeti(L, LUA_REGISTRYINDEX, slot->runner->job_meta_ref);
  lua_setmetatable(L, -2);
}

static void activate(struct sk_slot *slot) {
  struct sk_runner *r = slot->runner;
  slot->active = true;
  slot->failing = false;
  slot->stop = slot->told = SK_KIND_NONE;
  slot->swallowed = 0;
  slot->over = NULL;
  slot->started_ms = sk_runner_now_ms(r);
  atomic_store(&r->slot_page->slots[slot->number].started_ms, slot->started_ms);
  r->active++;
  if (slot->timeout_ms > 0 && sk_heap_insert(&r->timeouts, &slot->soft, slot->started_ms + slot->timeout_ms))
    sk_thread_arm_timer(r);
}

struct beginning {
  struct sk_slot *slot;
  struct sk_thread *thread; /* out */
  int values;               /* out: number of values on its stack (handler, job, args); -1 with err set */
  struct sk_err err;
};

/* Makes the job's table and its main thread.  Returns false when out of memory. */
static bool make_job(lua_State *L, struct beginning *b) {
  struct sk_slot *slot = b->slot;
  b->values = -1;
  if (slot->job_ref == LUA_NOREF) {
    push_job(L, slot);
    slot->job_ref = luaL_ref(L, LUA_REGISTRYINDEX);
  }
  if (b->thread == NULL) b->thread = sk_thread_new(L, slot, SK_ROLE_MAIN);
  if (b->thread == NULL) sk_err_set(&b->err, SK_ENOMEM, "out of memory");
  return b->thread != NULL;
}

/* Pushes handler, job and args on the stack of the job's main thread. */
static int begin_step(lua_State *L) {
  struct beginning *b = lua_touserdata(L, 1);
  struct sk_slot *slot = b->slot;
  struct sk_runner *r = slot->runner;
  if (!make_job(L, b)) return 0;
  lua_rawgeti(L, LUA_REGISTRYINDEX, r->handlers_ref);
  lua_pushlstring(L, slot->job.task.p, slot->job.task.n);
  lua_rawget(L, -2);
  lua_replace(L, -2);
  lua_rawgeti(L, LUA_REGISTRYINDEX, slot->job_ref);
  int n = sk_lua_json_push_args(L, slot->job.args.n ? slot->job.args : SK_STR_LIT("[]"), &b->err);
  if (n < 0) return 0;
  if (!lua_checkstack(b->thread->co, n + 2)) {
    sk_err_set(&b->err, SK_ENOMEM, "args: Lua's stack is full");
    return 0;
  }
  b->values = n + 2;
  lua_xmove(L, b->thread->co, n + 2);
  return 0;
}

enum { LATE_ARGS = 4 }; /* job, kind, message, dies */

/* Pushes the function that runs the late handlers, and its arguments. */
static int late_handlers_step(lua_State *L) {
  struct beginning *b = lua_touserdata(L, 1);
  struct sk_slot *slot = b->slot;
  if (!make_job(L, b)) return 0;
  lua_rawgeti(L, LUA_REGISTRYINDEX, slot->runner->late_handlers_ref);
  lua_rawgeti(L, LUA_REGISTRYINDEX, slot->job_ref);
  lua_pushstring(L, sk_error_kind_name(slot->late_kind));
  lua_pushlstring(L, slot->message.p ? slot->message.p : "", slot->message.n);
  lua_pushboolean(L, slot->dies);
  b->values = 1 + LATE_ARGS;
  lua_xmove(L, b->thread->co, 1 + LATE_ARGS);
  return 0;
}

static void start(struct sk_slot *slot) {
  struct sk_runner *r = slot->runner;
  struct beginning b = { .slot = slot };
  bool late = slot->late_kind != SK_KIND_NONE;
  activate(slot);
  atomic_store_explicit(&r->slot_page->running, slot->number + 1, memory_order_release);
  sk_runner_protect(r, late ? late_handlers_step : begin_step, &b);
  atomic_store_explicit(&r->slot_page->running, 0, memory_order_release);
  if (b.values >= 0)
    sk_jobs_resume(b.thread, b.values - 1);
  else if (late)
    after_late_handlers(slot);
  else /* args that cannot be decoded will fail at every attempt */
    fail_with(slot, b.err.code == SK_ENOMEM ? "error" : "fail", b.err.message);
}

/* Starts the first pending job.  Returns false when none is pending or all slots are busy. */
static bool start_next(struct sk_runner *r) {
  while (r->active < r->concurrency && !sk_list_empty(&r->pending)) {
    struct sk_slot *slot = SK_CONTAINER(sk_list_pop(&r->pending), struct sk_slot, node);
    if (!sk_slot_page_move(r->slot_page, slot->number, slot->generation, SK_SLOT_OFFERED, SK_SLOT_STARTED)) continue;
    start(slot);
    return true;
  }
  return false;
}

/* Threads resumed here call this function again when they yield or end; `following` turns that recursion into a
 * loop. */
void sk_jobs_follow_up(struct sk_runner *r) {
  if (r->depth > 0 || r->following) return;
  r->following = true;
  for (;;) {
    struct sk_list *n;
    sk_threads_reap(r);
    if ((n = sk_list_pop(&r->ended)) != NULL) {
      end_of(SK_CONTAINER(n, struct sk_slot, node));
    } else if ((n = sk_list_pop(&r->woken)) != NULL) {
      struct sk_thread *t = SK_CONTAINER(n, struct sk_thread, join_node);
      sk_thread_unwait(t);
      sk_jobs_resume(t, 0);
    } else if (!start_next(r)) {
      break;
    }
  }
  r->following = false;
  r->now_ms = 0;
  if (r->draining && r->active == 0) sk_loop_stop(r->loop);
}

void sk_jobs_take(struct sk_runner *r, struct sk_reader *frame) {
  uint32_t number = sk_read_u32(frame);
  uint32_t generation = sk_read_u32(frame);
  int64_t timeout_ms = sk_read_i64(frame);
  int64_t retries = sk_read_i64(frame);
  struct sk_str record = sk_read_str(frame);
  unsigned late_kind = SK_KIND_NONE;
  bool dies = false;
  struct sk_str message = { NULL, 0 };
  if (frame->p < frame->end) {
    late_kind = sk_read_u8(frame);
    dies = sk_read_u8(frame) != 0;
    message = sk_read_str(frame);
  }
  if (!sk_reader_done(frame) || number >= r->slot_page->slots_n || r->slots[number].active || late_kind >= SK_KINDS) {
    frame->bad = true;
    return;
  }
  struct sk_slot *slot = &r->slots[number];
  sk_list_remove(&slot->node); /* removes an earlier offer of this slot that the core took back */
  slot->generation = generation;
  slot->timeout_ms = timeout_ms;
  slot->retries = retries;
  slot->late_kind = (enum sk_error_kind)late_kind;
  slot->dies = dies;
  if (slot->message.cap > 0) sk_buf_fini(&slot->message);
  if (message.n > 0) sk_buf_add_str(&slot->message, message);
  sk_buf_clear(&slot->record);
  sk_buf_add_str(&slot->record, record);
  if (slot->record.failed || sk_record_decode(sk_buf_str(&slot->record), &slot->job, NULL) != SK_OK) {
    frame->bad = true; /* the core decoded the same record, so the frame is corrupt */
    return;
  }
  sk_list_push(&r->pending, &slot->node);
}

void sk_jobs_drain(struct sk_runner *r) {
  r->draining = true;
  while (sk_list_pop(&r->pending) != NULL) continue; /* the core has taken back the pending jobs */
}

static int trace_step(lua_State *L) {
  struct sk_thread *t = lua_touserdata(L, 1);
  luaL_traceback(L, t->co,
                 t->role == SK_ROLE_SPAWNED ? "thread of the job"
                 : t->role == SK_ROLE_MAIN  ? "job"
                                            : "its failure handlers",
                 0);
  size_t bytes;
  const char *text = lua_tolstring(L, -1, &bytes);
  sk_runner_log(t->runner, SK_LOG_INFO, t->slot, sk_str(text, bytes));
  return 0;
}

void sk_jobs_trace(struct sk_runner *r) {
  for (uint32_t i = 0; i < r->slot_page->slots_n; i++) {
    if (!r->slots[i].active) continue;
    SK_LIST_EACH (n, &r->slots[i].threads) sk_runner_protect(r, trace_step, SK_CONTAINER(n, struct sk_thread, node));
  }
}

void sk_jobs_on_timer(void *ctx) {
  struct sk_runner *r = ctx;
  int64_t now = sk_clock_mono_ms();
  struct sk_heap_node *n;
  while ((n = sk_heap_first(&r->timeouts)) != NULL && n->key <= now) {
    sk_heap_remove(&r->timeouts, n);
    sk_jobs_stop(SK_CONTAINER(n, struct sk_slot, soft), SK_KIND_TIMEOUT);
  }
  while ((n = sk_heap_first(&r->sleepers)) != NULL && n->key <= now) {
    struct sk_thread *t = SK_CONTAINER(n, struct sk_thread, sleep);
    sk_thread_unwait(t);
    sk_jobs_resume(t, 0);
  }
  sk_thread_arm_timer(r);
}
