/* jobs.c - a job's way through a worker: taken, started, ended; see runner.h.
 *
 * The hot path (a handler that returns at once) makes no system call and allocates only the job's table. */
#include <assert.h>
#include <lauxlib.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/limits.h"
#include "lua/json.h"
#include "lua/runner.h"
#include "logic/record.h"

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

/* -- the end ---------------------------------------------------------------------------------------------------------------------- */

static void drop_threads(struct sk_slot *slot) {
  while (!sk_list_empty(&slot->threads)) sk_thread_drop(SK_CONTAINER(slot->threads.next, struct sk_thread, node));
}

/* The attempt is over and said so: nothing of the job stays. */
static void finish(struct sk_slot *slot) {
  struct sk_runner *r = slot->runner;
  drop_threads(slot);
  if (sk_heap_has(&slot->soft)) sk_heap_remove(&r->timeouts, &slot->soft);
  luaL_unref(r->L, LUA_REGISTRYINDEX, slot->job_ref);
  slot->active = false;
  assert(r->active > 0);
  r->active--;
}

static const char *stop_text(enum sk_error_kind kind) { return kind == SK_KIND_TIMEOUT ? "timeout" : "cancelled"; }

/* Runs the failure handlers (skein/worker.lua) in a thread of their own: they may yield.  Takes the error value and a traceback
 * off the top of the runner's stack. */
static void start_failure(struct sk_slot *slot, const char *kind) {
  struct sk_runner *r = slot->runner;
  slot->failing = true;
  slot->stop = SK_KIND_NONE; /* it has stopped; the handlers may wait */
  drop_threads(slot);
  struct sk_thread *t = sk_thread_new(r, slot, SK_ROLE_FAILURE);
  if (t == NULL) {
    lua_pop(r->L, 2);
    say_fail(r, slot, &(struct failure){ .delay_ms = -1, .kind = SK_KIND_ERROR, .message = SK_STR_LIT("out of memory") });
    finish(slot);
    return;
  }
  lua_rawgeti(t->co, LUA_REGISTRYINDEX, r->failed_ref);
  lua_rawgeti(t->co, LUA_REGISTRYINDEX, slot->job_ref);
  lua_pushstring(t->co, kind);
  lua_xmove(r->L, t->co, 2);
  sk_thread_resume(t, 4);
}

/* The same for an error of the runner's own, a sentence without a traceback. */
static void fail_with(struct sk_slot *slot, const char *kind, const char *message) {
  lua_pushstring(slot->runner->L, message);
  lua_pushliteral(slot->runner->L, "");
  start_failure(slot, kind);
}

/* What the failure handlers decided: verdict, delay_ms, kind, message, traceback. */
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

static void failure_ended(struct sk_thread *t, int status) {
  struct sk_slot *slot = t->slot;
  struct failure f = { .delay_ms = -1, .kind = SK_KIND_ERROR };
  if (status == 0)
    f = read_failure(t->co);
  else
    f.message = sk_vm_error_text(t->co, -1); /* ours to mend: skein/worker.lua guards its handlers */
  say_fail(slot->runner, slot, &f);
  finish(slot);
}

static void returned(struct sk_thread *t) {
  struct sk_slot *slot = t->slot;
  struct sk_runner *r = t->runner;
  lua_State *co = t->co;
  if (lua_gettop(co) == 0 || lua_isnil(co, 1)) {
    say_done(r, slot, sk_str(NULL, 0));
    finish(slot);
    return;
  }
  struct sk_err err;
  struct sk_buf text = { 0 };
  enum sk_code code = sk_lua_json_encode(co, 1, "result", &text, &err);
  if (code == SK_OK && text.n > SK_RESULT_BYTES_MAX)
    code = sk_err_set(&err, SK_ELIMIT, "result: %zu bytes of JSON, the limit is %d", text.n, SK_RESULT_BYTES_MAX);
  if (code == SK_OK) {
    say_done(r, slot, sk_buf_str(&text));
    finish(slot);
  } else {
    fail_with(slot, "result", err.message);
  }
  sk_buf_fini(&text);
}

void sk_jobs_ended(struct sk_thread *t, int status) {
  struct sk_slot *slot = t->slot;
  struct sk_runner *r = t->runner;
  if (t->role == SK_ROLE_FAILURE) {
    failure_ended(t, status);
  } else if (status == 0) {
    returned(t);
  } else {
    lua_State *co = t->co; /* its stack is as the error left it */
    lua_xmove(co, r->L, 1);
    luaL_traceback(r->L, co, NULL, 0);
    drop_threads(slot);
    if (status == LUA_ERRMEM) lua_gc(r->L, LUA_GCCOLLECT, 0); /* room for the handlers */
    start_failure(slot, "error");
  }
  sk_jobs_start_pending(r);
}

void sk_jobs_stop(struct sk_slot *slot, enum sk_error_kind kind) {
  if (!slot->active || slot->stop != SK_KIND_NONE || slot->failing) return;
  slot->stop = kind;
  /* Waking one thread may end the job, and with it all of its threads. */
  uint32_t generation = slot->generation;
  for (bool woke = true; woke && slot->active && slot->generation == generation;) {
    woke = false;
    SK_LIST_EACH(n, &slot->threads) {
      struct sk_thread *t = SK_CONTAINER(n, struct sk_thread, node);
      if (t->wait != SK_WAIT_SLEEP && t->wait != SK_WAIT_REQUEST && t->wait != SK_WAIT_JOIN && t->wait != SK_WAIT_PARK) continue;
      sk_thread_unwait(t);
      lua_pushstring(t->co, stop_text(kind));
      sk_thread_resume(t, 1);
      woke = true;
      break;
    }
    if (slot->swallowed > 0) break; /* it goes on all the same: its next yield raises again */
  }
}

void sk_jobs_abandon(struct sk_slot *slot) {
  assert(!slot->failing);
  fail_with(slot, stop_text(slot->stop), "it went on after it was told to stop");
  sk_jobs_start_pending(slot->runner);
}

/* -- the start -------------------------------------------------------------------------------------------------------------------- */

lua_Number sk_jobs_handle(const struct sk_slot *slot) { return (lua_Number)slot->generation * 1048576.0 + slot->number; }

struct sk_slot *sk_jobs_slot(struct sk_runner *r, lua_Number handle) {
  uint64_t h = (uint64_t)handle;
  uint32_t number = (uint32_t)(h % 1048576), generation = (uint32_t)(h / 1048576);
  if (number >= r->share->slots_n) return NULL;
  struct sk_slot *slot = &r->slots[number];
  return slot->active && slot->generation == generation ? slot : NULL;
}

static void set_text(lua_State *L, const char *key, struct sk_str s) {
  lua_pushlstring(L, s.p, s.n);
  lua_setfield(L, -2, key);
}

static void set_number(lua_State *L, const char *key, lua_Number v) {
  lua_pushnumber(L, v);
  lua_setfield(L, -2, key);
}

/* The job's table; args and meta are decoded when asked for (worker.lua). */
static void push_job(lua_State *L, struct sk_slot *slot) {
  const struct sk_job *job = &slot->job;
  lua_createtable(L, 0, 8);
  set_text(L, "id", job->id);
  set_text(L, "task", job->task);
  set_text(L, "queue", job->queue);
  set_number(L, "attempt", (lua_Number)job->attempts + 1);
  set_number(L, "retries", (lua_Number)slot->retries);
  set_number(L, "enqueued_at", (lua_Number)job->enqueued_ms / 1000.0);
  set_number(L, "_handle", sk_jobs_handle(slot));
  lua_rawgeti(L, LUA_REGISTRYINDEX, slot->runner->job_meta_ref);
  lua_setmetatable(L, -2);
}

static void activate(struct sk_slot *slot) {
  struct sk_runner *r = slot->runner;
  slot->active = true;
  slot->failing = false;
  slot->stop = SK_KIND_NONE;
  slot->swallowed = 0;
  slot->started_ms = sk_clock_mono_ms();
  atomic_store(&r->share->slots[slot->number].started_ms, slot->started_ms);
  r->active++;
  if (slot->timeout_ms > 0 && sk_heap_insert(&r->timeouts, &slot->soft, slot->started_ms + slot->timeout_ms)) sk_runner_arm_timer(r);
}

/* Makes the job's table, its main thread, and pushes handler, job and args there: how many values, -1 with err. */
static int prepare(struct sk_slot *slot, struct sk_thread **out, struct sk_err *err) {
  struct sk_runner *r = slot->runner;
  push_job(r->L, slot);
  slot->job_ref = luaL_ref(r->L, LUA_REGISTRYINDEX);
  struct sk_thread *t = *out = sk_thread_new(r, slot, SK_ROLE_MAIN);
  if (t == NULL) {
    sk_err_set(err, SK_ENOMEM, "out of memory");
    return -1;
  }
  lua_State *co = t->co;
  lua_rawgeti(co, LUA_REGISTRYINDEX, r->handlers_ref);
  lua_pushlstring(co, slot->job.task.p, slot->job.task.n);
  lua_rawget(co, -2);
  lua_remove(co, -2);
  lua_rawgeti(co, LUA_REGISTRYINDEX, slot->job_ref);
  int n = sk_lua_json_push_args(co, slot->job.args.n ? slot->job.args : SK_STR_LIT("[]"), err);
  return n < 0 ? -1 : n + 1;
}

static void start(struct sk_slot *slot) {
  struct sk_runner *r = slot->runner;
  struct sk_err err;
  struct sk_thread *t;
  activate(slot);
  atomic_store_explicit(&r->share->running, slot->number + 1, memory_order_release);
  int n = prepare(slot, &t, &err);
  if (n >= 0)
    sk_thread_resume(t, n);
  else
    fail_with(slot, "error", err.message);
  atomic_store_explicit(&r->share->running, 0, memory_order_release);
}

void sk_jobs_start_pending(struct sk_runner *r) {
  if (r->starting) return; /* a job that ends at once comes back here: the loop below goes on */
  r->starting = true;
  while (r->active < r->concurrency && !sk_list_empty(&r->pending)) {
    struct sk_slot *slot = SK_CONTAINER(sk_list_pop(&r->pending), struct sk_slot, node);
    if (sk_share_move(r->share, slot->number, slot->generation, SK_SLOT_OFFERED, SK_SLOT_STARTED)) start(slot);
  }
  r->starting = false;
  if (r->draining && r->active == 0) sk_loop_stop(r->loop);
}

void sk_jobs_take(struct sk_runner *r, struct sk_reader *frame) {
  uint32_t number = sk_read_u32(frame);
  uint32_t generation = sk_read_u32(frame);
  int64_t timeout_ms = sk_read_i64(frame);
  int64_t retries = sk_read_i64(frame);
  struct sk_str record = sk_read_str(frame);
  if (!sk_reader_done(frame) || number >= r->share->slots_n || r->slots[number].active) {
    frame->bad = true;
    return;
  }
  struct sk_slot *slot = &r->slots[number];
  sk_list_remove(&slot->node); /* an earlier offer for this slot that was taken back */
  slot->generation = generation;
  slot->timeout_ms = timeout_ms;
  slot->retries = retries;
  sk_buf_clear(&slot->record);
  sk_buf_add_str(&slot->record, record);
  if (slot->record.failed || sk_record_decode(sk_buf_str(&slot->record), &slot->job, NULL) != SK_OK) {
    frame->bad = true; /* the core has read this very record */
    return;
  }
  sk_list_push(&r->pending, &slot->node);
}

void sk_jobs_drain(struct sk_runner *r) {
  r->draining = true;
  while (sk_list_pop(&r->pending) != NULL) continue; /* the core has taken them back */
  sk_jobs_start_pending(r);
}

void sk_jobs_trace(struct sk_runner *r) {
  for (uint32_t i = 0; i < r->share->slots_n; i++) {
    const struct sk_slot *slot = &r->slots[i];
    if (!slot->active) continue;
    SK_LIST_EACH(n, &slot->threads) {
      struct sk_thread *t = SK_CONTAINER(n, struct sk_thread, node);
      luaL_traceback(r->L, t->co, t->role == SK_ROLE_MAIN ? "job" : "thread of the job", 0);
      size_t bytes;
      const char *text = lua_tolstring(r->L, -1, &bytes);
      sk_runtime_log(r, 1, slot, sk_str(text, bytes));
      lua_pop(r->L, 1);
    }
  }
}
