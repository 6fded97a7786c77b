/* runtime.c - the Lua module `skein.runtime`: the runner's functions for skein/worker.lua and skein/job.lua.
 *
 * A function that waits yields the coroutine with one private token.  If a script called it inside a coroutine of its
 * own, the coroutine.resume of worker.lua recognizes the token and passes the yield on.  The first return value is
 * nil, or, when the job must stop, a number (enum sk_error_kind: TIMEOUT or CANCELLED) that worker.lua raises.
 *
 * The memory cap of scripts applies while these functions run, so each Lua allocation may raise.  A function changes
 * the runner's state only after its last call that can raise. */
#include <lauxlib.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/limits.h"
#include "base/log.h"
#include "logic/queue_settings.h"
#include "lua/json.h"
#include "lua/runner.h"

static const char THREAD_TYPE[] = "skein.thread";

enum { SEND_AFTER_MS = 50 }; /* of a script's run without a yield */

/* Raises the error for a wrong call at the script's line; see errors.misuse (skein/errors.lua). */
static int misuse(lua_State *L, const char *fmt, ...) {
  lua_rawgeti(L, LUA_REGISTRYINDEX, sk_runner_of(L)->misuse_ref);
  va_list ap;
  va_start(ap, fmt);
  lua_pushvfstring(L, fmt, ap);
  va_end(ap);
  lua_call(L, 1, 0);
  return 0; /* not reached */
}

static struct sk_thread *need_thread(lua_State *L) {
  struct sk_thread *t = sk_runner_of(L)->current;
  if (t == NULL) misuse(L, "this can only be used inside a job");
  return t;
}

/* -- waiting ------------------------------------------------------------------------------------------------------- */

static int yield(lua_State *L) {
  sk_runner_push_token(L);
  return lua_yield(L, 1);
}

/* Returns the running thread, ready to wait.  Raises where no yield is possible. */
static struct sk_thread *begin_wait(lua_State *L) {
  struct sk_thread *t = need_thread(L);
  if (!lua_isyieldable(L))
    misuse(L, "a job can't wait here: table.sort, string.gsub, a metamethod or an iterator of C calls this code");
  sk_thread_unwait(t); /* removes the entry of an earlier wait whose yield failed */
  return t;
}

/* Returns whether the job must stop, and then pushes the reason.  Abandons a thread that has ignored its stop too
 * often. */
static bool must_stop(lua_State *L, struct sk_thread *t) {
  struct sk_slot *slot = t->slot;
  if (slot->stop == SK_KIND_NONE) return false;
  lua_settop(L, 0);
  if (++slot->swallowed > SK_SWALLOWED_MAX)
    t->wait = SK_WAIT_ABANDON;
  else
    lua_pushinteger(L, slot->stop);
  return true;
}

static int stop(lua_State *L, const struct sk_thread *t) { return t->wait == SK_WAIT_ABANDON ? yield(L) : 1; }

/* sleep(seconds) -> stop | nothing; the wait is never shorter than `seconds` */
static int rt_sleep(lua_State *L) {
  lua_Number seconds = luaL_checknumber(L, 1);
  struct sk_thread *t = begin_wait(L);
  if (must_stop(L, t)) return stop(L, t);
  int64_t until_ms = sk_clock_mono_ms();
  if (seconds > 0) until_ms = (sk_clock_mono_us() + (int64_t)ceil(seconds * 1e6) + 999) / 1000;
  if (!sk_heap_insert(&t->runner->sleepers, &t->sleep, until_ms)) return luaL_error(L, "not enough memory");
  t->wait = SK_WAIT_SLEEP;
  sk_thread_arm_timer(t->runner);
  return yield(L);
}

/* park() -> stop | nil, values given to coroutine.resume */
static int rt_park(lua_State *L) {
  struct sk_thread *t = begin_wait(L);
  if (must_stop(L, t)) return stop(L, t);
  t->wait = SK_WAIT_PARK;
  return yield(L);
}

/* request(operation, payload) -> stop | nil, code, answer */
static int rt_request(lua_State *L) {
  lua_Integer operation = luaL_checkinteger(L, 1);
  size_t n;
  const char *payload = luaL_checklstring(L, 2, &n);
  struct sk_thread *t = begin_wait(L);
  struct sk_runner *r = t->runner;
  if (n > SK_FRAME_BYTES_MAX - 64)
    return misuse(L, "request: %d bytes, the limit is %d", (int)n, SK_FRAME_BYTES_MAX - 64);
  if (must_stop(L, t)) return stop(L, t);
  sk_runner_may_say(r); /* limits the buffered bytes; a request is sent even if this fails */
  t->request = ++r->next_request;
  struct sk_buf *out = sk_pipe_out(r->pipe);
  size_t at = sk_wire_begin(out, SK_FRAME_REQUEST);
  sk_buf_add_u64(out, t->request);
  sk_buf_add_byte(out, (char)operation);
  sk_buf_add(out, payload, n);
  sk_wire_end(out, at);
  HASH_ADD(by_request, r->requests, request, sizeof t->request, t);
  t->wait = SK_WAIT_REQUEST;
  return yield(L);
}

/* -- threads ------------------------------------------------------------------------------------------------------- */

static struct sk_thread *check_thread(lua_State *L, int index) {
  struct sk_thread **box = luaL_checkudata(L, index, THREAD_TYPE);
  if (*box == NULL) luaL_error(L, "the thread has been collected");
  return *box;
}

/* Makes room for n values on the stack of a coroutine that does not run.  Lifts the memory cap meanwhile: an error on
 * that unprotected state could not be caught. */
static bool make_room(struct sk_runner *r, lua_State *co, int n) {
  bool capped = sk_vm_cap(r->vm, false);
  int there = lua_checkstack(co, n);
  sk_vm_cap(r->vm, capped);
  return there != 0;
}

/* spawn(fn, ...) -> stop | nil, thread; runs the thread until its first wait */
static int rt_spawn(lua_State *L) {
  struct sk_thread *t = need_thread(L);
  struct sk_runner *r = t->runner;
  luaL_checktype(L, 1, LUA_TFUNCTION);
  if (r->depth >= SK_NESTED_MAX)
    return misuse(L, "skein.spawn: %d threads have started each other without waiting", SK_NESTED_MAX);
  if (lua_isyieldable(L)) {
    sk_thread_unwait(t);
    if (must_stop(L, t)) return stop(L, t);
  }
  sk_threads_reap(r); /* a job that only spawns threads never returns to the runner, which would free them */
  int n = lua_gettop(L);
  struct sk_thread **box = lua_newuserdata(L, sizeof *box);
  *box = NULL;
  luaL_getmetatable(L, THREAD_TYPE);
  lua_setmetatable(L, -2);
  lua_insert(L, 1);
  struct sk_thread *s = *box = sk_thread_new(L, t->slot, SK_ROLE_SPAWNED);
  if (s == NULL) return luaL_error(L, "not enough memory");
  s->shared = true;
  if (!make_room(r, s->co, n)) return misuse(L, "skein.spawn: too many arguments");
  lua_xmove(L, s->co, n);
  sk_thread_resume(s, n - 1);
  lua_pushnil(L);
  lua_insert(L, 1);
  return 2;
}

/* trouble(text): the running thread is about to fail.  The text is logged unless a script reads its results. */
static int rt_trouble(lua_State *L) {
  struct sk_thread *t = sk_runner_of(L)->current;
  const char *text = luaL_checkstring(L, 1);
  if (t == NULL || t->trouble != NULL) return 0;
  t->trouble = strdup(text); /* NULL when out of memory: the failure is not logged */
  return 0;
}

static int push_results(lua_State *L, struct sk_thread *s) {
  s->asked = true;
  lua_pushnil(L);
  lua_pushboolean(L, !s->failed);
  if (s->cut) {
    lua_pushliteral(L, "its job has ended before it did");
    return 3;
  }
  int n = s->failed ? 1 : lua_gettop(s->co);
  if (!lua_checkstack(L, n) || !make_room(s->runner, s->co, n)) return misuse(L, "thread:wait: too many results");
  for (int i = 0; i < n; i++) lua_pushvalue(s->co, -n); /* copies keep the order of the values */
  lua_xmove(s->co, L, n);
  return n + 2;
}

/* results(thread) -> nothing while the thread runs; else nil, true, values ... or nil, false, error */
static int rt_results(lua_State *L) {
  struct sk_thread *s = check_thread(L, 1);
  return s->wait == SK_WAIT_OVER ? push_results(L, s) : 0;
}

/* join(thread) -> stop | nothing; waits for the thread's end */
static int rt_join(lua_State *L) {
  struct sk_thread *s = check_thread(L, 1);
  struct sk_thread *t = begin_wait(L);
  if (s->slot != t->slot) return misuse(L, "thread:wait: the thread belongs to another job");
  if (s == t) return misuse(L, "thread:wait: a thread can't wait for itself");
  if (must_stop(L, t)) return stop(L, t);
  sk_list_push(&s->joiners, &t->join_node);
  t->wait = SK_WAIT_JOIN;
  return yield(L);
}

static int thread_gc(lua_State *L) {
  struct sk_thread **box = luaL_checkudata(L, 1, THREAD_TYPE);
  struct sk_thread *s = *box;
  *box = NULL;
  if (s) sk_thread_release(s);
  return 0;
}

static int refuse_resume(lua_State *L, const char *why) {
  lua_pushboolean(L, 0);
  lua_pushstring(L, why);
  return 2;
}

/* resume(coroutine, ...) -> true if the runner has resumed the coroutine; false and a message if it must not; nothing
 * if the runner does not own the coroutine */
static int rt_resume(lua_State *L) {
  struct sk_runner *r = sk_runner_of(L);
  lua_State *co = lua_tothread(L, 1);
  if (co == NULL) return 0;
  struct sk_thread *t = sk_thread_of(r, co);
  if (t == NULL) {
    lua_rawgeti(L, LUA_REGISTRYINDEX, r->dropped_ref);
    lua_pushvalue(L, 1);
    lua_rawget(L, -2);
    return lua_isnil(L, -1) ? 0 : refuse_resume(L, "cannot resume dead coroutine");
  }
  if (t->slot == NULL || t->wait == SK_WAIT_OVER) return refuse_resume(L, "cannot resume dead coroutine");
  if (t->wait != SK_WAIT_PARK)
    return refuse_resume(L, "cannot resume a job's coroutine that has not called coroutine.yield");
  if (r->depth >= SK_NESTED_MAX) return refuse_resume(L, "cannot resume: too many coroutines resume each other");
  if (!sk_vm_capped(r->vm))
    return refuse_resume(
        L, "cannot resume a job's coroutine in a finalizer"); /* finalizers run inside the runner's work */
  int n = lua_gettop(L) - 1;
  if (!make_room(r, co, n + 1)) return misuse(L, "coroutine.resume: too many arguments");
  lua_pushnil(co);
  lua_xmove(L, co, n);
  sk_thread_unwait(t);
  sk_thread_resume(t, n + 1);
  lua_pushboolean(L, 1);
  return 1;
}

/* know(): the script is about to receive the running coroutine, so another job must not reuse it */
static int rt_know(lua_State *L) {
  struct sk_thread *t = sk_thread_of(sk_runner_of(L), L);
  if (t) t->known = true;
  return 0;
}

/* is_own() -> whether the runner owns the running coroutine: a plain yield then parks it */
static int rt_is_own(lua_State *L) {
  const struct sk_thread *t = sk_runner_of(L)->current;
  lua_pushboolean(L, t && t->co == L);
  return 1;
}

/* -- the job ------------------------------------------------------------------------------------------------------- */

/* The slot of a job handle; NULL if the job is over or the value is no handle. */
static struct sk_slot *slot_at(lua_State *L, int index) {
  return sk_runner_slot(sk_runner_of(L), lua_tonumber(L, index));
}

/* active(handle) -> boolean */
static int rt_active(lua_State *L) {
  const struct sk_slot *slot = slot_at(L, 1);
  bool late = slot && slot->timeout_ms > 0 && sk_clock_mono_ms() - slot->started_ms >= slot->timeout_ms;
  lua_pushboolean(L, slot && slot->stop == SK_KIND_NONE && !late);
  return 1;
}

/* remaining(handle) -> seconds until the soft timeout; infinity without one; 0 when the job is over */
static int rt_remaining(lua_State *L) {
  const struct sk_slot *slot = slot_at(L, 1);
  lua_Number s = 0;
  if (slot && slot->timeout_ms <= 0) s = 1.0 / 0.0;
  if (slot && slot->timeout_ms > 0) {
    s = (lua_Number)(slot->started_ms + slot->timeout_ms - sk_clock_mono_ms()) / 1000.0;
    if (s < 0) s = 0;
  }
  lua_pushnumber(L, s);
  return 1;
}

/* field(handle, "args" | "meta") -> decoded value; field(handle, "backoff") -> text.  Returns nil if the job is over or
 * has no such field; nil and a message if the value cannot be decoded. */
static int rt_field(lua_State *L) {
  const struct sk_slot *slot = slot_at(L, 1);
  const char *name = luaL_checkstring(L, 2);
  if (slot == NULL) return 0;
  if (strcmp(name, "backoff") == 0) {
    if (slot->job.backoff.n == 0) return 0;
    lua_pushlstring(L, slot->job.backoff.p, slot->job.backoff.n);
    return 1;
  }
  bool args = strcmp(name, "args") == 0;
  struct sk_str text = args ? slot->job.args : slot->job.meta;
  if (text.n == 0) text = args ? SK_STR_LIT("[]") : SK_STR_LIT("{}");
  struct sk_err err;
  if (sk_lua_json_decode(L, text, &err) == SK_OK) return 1;
  lua_pushnil(L);
  lua_pushfstring(L, "job.%s: %s", name, err.message);
  return 2;
}

/* Calls sk_runner_may_say for a log line; logs first how many lines were dropped before it. */
static bool may_say_line(struct sk_runner *r) {
  if (!sk_runner_may_say(r)) {
    r->unsaid_n++;
    return false;
  }
  if (r->unsaid_n == 0) return true;
  char text[120];
  int n = snprintf(text, sizeof text, "%zu lines of this worker were lost: the engine did not take them in time",
                   r->unsaid_n);
  r->unsaid_n = 0;
  sk_runner_log(r, SK_LOG_WARN, NULL, sk_str(text, (size_t)n));
  return true;
}

/* Sends the output of a job that computes for long: the loop, which sends otherwise, does not run meanwhile. */
static void send_soon(struct sk_runner *r) {
  int64_t since_ms = atomic_load_explicit(&r->slot_page->running_since_ms, memory_order_relaxed);
  if (r->current && sk_clock_mono_ms() - since_ms >= SEND_AFTER_MS) sk_pipe_flush(r->pipe);
}

/* progress(handle, percent, text) */
static int rt_progress(lua_State *L) {
  const struct sk_slot *slot = slot_at(L, 1);
  lua_Integer percent = luaL_checkinteger(L, 2);
  size_t n;
  const char *text = luaL_checklstring(L, 3, &n);
  luaL_argcheck(L, percent >= 0 && percent <= 100, 2, "0 to 100 expected");
  if (slot == NULL || !may_say_line(slot->runner)) return 0;
  struct sk_buf *out = sk_pipe_out(slot->runner->pipe);
  size_t at = sk_wire_begin(out, SK_FRAME_PROGRESS);
  sk_buf_add_u32(out, slot->number);
  sk_buf_add_u32(out, (uint32_t)percent);
  sk_wire_add_str(out, sk_str_head(sk_str(text, n), SK_PROGRESS_BYTES_MAX));
  sk_wire_end(out, at);
  send_soon(slot->runner);
  return 0;
}

/* job_log(handle, text): a line of job:log */
static int rt_job_log(lua_State *L) {
  const struct sk_slot *slot = slot_at(L, 1);
  size_t n;
  const char *text = luaL_checklstring(L, 2, &n);
  if (slot == NULL || !may_say_line(slot->runner)) return 0;
  struct sk_buf *out = sk_pipe_out(slot->runner->pipe);
  size_t at = sk_wire_begin(out, SK_FRAME_JOB_LOG);
  sk_buf_add_u32(out, slot->number);
  sk_wire_add_str(out, sk_str_head(sk_str(text, n), SK_LOG_LINE_BYTES_MAX));
  sk_wire_end(out, at);
  send_soon(slot->runner);
  return 0;
}

/* attempt() -> facts about the running job, independent of its Lua table; nothing outside a job.  Results: task,
 * attempt, retries, handle, timeout in seconds (0: none), reason of its stop (TIMEOUT, CANCELLED, or 0: not told to
 * stop), whether the engine is stopping. */
static int rt_attempt(lua_State *L) {
  const struct sk_thread *t = sk_runner_of(L)->current;
  if (t == NULL) return 0;
  const struct sk_slot *slot = t->slot;
  lua_pushlstring(L, slot->job.task.p, slot->job.task.n);
  lua_pushnumber(L, (lua_Number)slot->job.attempts + 1);
  lua_pushnumber(L, (lua_Number)slot->retries);
  lua_pushnumber(L, sk_runner_handle(slot));
  lua_pushnumber(L, slot->timeout_ms > 0 ? (lua_Number)slot->timeout_ms / 1000.0 : 0);
  lua_pushinteger(L, slot->told);
  lua_pushboolean(L, atomic_load(&slot->runner->slot_page->stopping) != 0);
  return 7;
}

/* log(level 0..3, text) */
static int rt_log(lua_State *L) {
  lua_Integer level = luaL_checkinteger(L, 1);
  size_t n;
  const char *text = luaL_checklstring(L, 2, &n);
  luaL_argcheck(L, level >= SK_LOG_DEBUG && level < SK_LOG_OFF, 1, "a level expected");
  struct sk_runner *r = sk_runner_of(L);
  const struct sk_thread *t = r->current;
  if (!may_say_line(r)) return 0;
  sk_runner_log(r, (unsigned)level, t ? t->slot : NULL, sk_str(text, n));
  send_soon(r);
  return 0;
}

/* -- setting up ---------------------------------------------------------------------------------------------------- */

static int ref_of(lua_State *L, const char *key) {
  lua_getfield(L, 1, key);
  return luaL_ref(L, LUA_REGISTRYINDEX);
}

/* Adds templates = { record, ... } and hooks = { bits, ... } of setup.  A template without hook bits gets 0. */
static void add_templates(lua_State *L, struct sk_buf *out) {
  lua_getfield(L, 1, "hooks");
  bool hooks = lua_istable(L, -1);
  lua_getfield(L, 1, "templates");
  size_t n = lua_objlen(L, -1);
  sk_buf_add_u32(out, (uint32_t)n);
  for (size_t i = 1; i <= n; i++) {
    lua_rawgeti(L, -1, (int)i);
    size_t bytes;
    const char *record = lua_tolstring(L, -1, &bytes);
    sk_wire_add_str(out, sk_str(record, bytes));
    lua_pop(L, 1);
    if (hooks) lua_rawgeti(L, -2, (int)i);
    sk_buf_add_byte(out, hooks ? (char)lua_tointeger(L, -1) : 0);
    if (hooks) lua_pop(L, 1);
  }
  lua_pop(L, 2);
}

/* Adds queues = { { name =, max_len =, ... }, ... } of setup. */
static void add_queues(lua_State *L, struct sk_buf *out) {
  lua_getfield(L, 1, "queues");
  size_t n = lua_istable(L, -1) ? lua_objlen(L, -1) : 0;
  sk_buf_add_u32(out, (uint32_t)n);
  for (size_t i = 1; i <= n; i++) {
    lua_rawgeti(L, -1, (int)i);
    lua_getfield(L, -1, "name");
    struct sk_queue_settings queue = { .max_len = 0 };
    queue.name.p = lua_tolstring(L, -1, &queue.name.n); /* the table keeps it */
    lua_pop(L, 1);
    for (size_t k = 0; k < SK_QUEUE_SETTINGS; k++) {
      lua_getfield(L, -1, sk_queue_settings_table[k].name);
      sk_queue_settings_set(&queue, k, (int64_t)lua_tonumber(L, -1));
      lua_pop(L, 1);
    }
    sk_queue_settings_write(out, &queue);
    lua_pop(L, 1);
  }
  lua_pop(L, 1);
}

/* hooked(): the script is about to set a debug hook */
static int rt_hooked(lua_State *L) {
  sk_runner_of(L)->hooked = true;
  return 0;
}

/* -- handles of luv ------------------------------------------------------------------------------------------------ */

struct handles {
  int *refs; /* NULL: only count the handles */
  size_t n, max;
};

/* The data of a luv handle begins with the registry reference of its userdata (luv's lhandle.h). */
static void note_handle(void *data, void *ctx) {
  struct handles *h = ctx;
  if (h->refs && h->n < h->max) memcpy(&h->refs[h->n], data, sizeof(int));
  h->n++;
}

/* handles() -> list of all handles that scripts made with luv.  It replaces luv's uv.walk, which would treat the
 * worker's own handles as luv's. */
static int rt_handles(lua_State *L) {
  struct sk_loop *loop = sk_runner_of(L)->loop;
  struct handles h = { NULL, 0, 0 };
  sk_loop_each_foreign(loop, note_handle, &h);
  h.max = h.n;
  h.refs = lua_newuserdata(L, (h.max + 1) * sizeof(int));
  h.n = 0; /* a finalizer may have made new handles since the count */
  sk_loop_each_foreign(loop, note_handle, &h);
  if (h.n > h.max) h.n = h.max;
  lua_createtable(L, (int)h.n, 0);
  int at = 0;
  for (size_t i = 0; i < h.n; i++) {
    lua_rawgeti(L, LUA_REGISTRYINDEX, h.refs[i]);
    if (lua_isuserdata(L, -1))
      lua_rawseti(L, -2, ++at);
    else
      lua_pop(L, 1);
  }
  return 1;
}

/* Moves the lowest registry references into the array part of the registry, where Lua finds them without a search.
 * Each job's table uses such a reference.  New references go to the hash part until it is full, so this function makes
 * many and frees them; later jobs reuse them. */
static void make_room_for_refs(lua_State *L) {
  int refs[64];
  const int n = sizeof refs / sizeof *refs;
  for (int i = 0; i < n; i++) {
    lua_pushboolean(L, 1);
    refs[i] = luaL_ref(L, LUA_REGISTRYINDEX);
  }
  for (int i = n; i-- > 0;) luaL_unref(L, LUA_REGISTRYINDEX, refs[i]);
}

/* setup{ handlers = {name = fn}, failed = fn, late_handlers = fn, unhook = fn, job_meta = table, templates =, hooks =,
 * all_hooks = bits, queues = }: call once the scripts are loaded; sends the HELLO frame.  Bits are SK_HOOK_*.
 * failed(job, kind, value, trace) and late_handlers(job, kind, message, dies) run in a thread. */
static int rt_setup(lua_State *L) {
  struct sk_runner *r = sk_runner_of(L);
  luaL_checktype(L, 1, LUA_TTABLE);
  lua_settop(L, 1);
  r->handlers_ref = ref_of(L, "handlers");
  r->failed_ref = ref_of(L, "failed");
  r->late_handlers_ref = ref_of(L, "late_handlers");
  r->job_meta_ref = ref_of(L, "job_meta");
  r->unhook_ref = ref_of(L, "unhook");
  make_room_for_refs(L);
  struct sk_buf *out = sk_pipe_out(r->pipe);
  size_t at = sk_wire_begin(out, SK_FRAME_HELLO);
  lua_getfield(L, 1, "all_hooks");
  sk_buf_add_byte(out, (char)lua_tointeger(L, -1));
  lua_pop(L, 1);
  add_templates(L, out);
  add_queues(L, out);
  sk_wire_end(out, at);
  return 0;
}

/* set_misuse(fn): fn(text) raises the text at the script's line */
static int rt_set_misuse(lua_State *L) {
  luaL_checktype(L, 1, LUA_TFUNCTION);
  lua_settop(L, 1);
  sk_runner_of(L)->misuse_ref = luaL_ref(L, LUA_REGISTRYINDEX);
  return 0;
}

static const luaL_Reg FUNCTIONS[] = {
  { "sleep", rt_sleep },
  { "park", rt_park },
  { "request", rt_request },
  { "spawn", rt_spawn },
  { "results", rt_results },
  { "join", rt_join },
  { "trouble", rt_trouble },
  { "resume", rt_resume },
  { "know", rt_know },
  { "is_own", rt_is_own },
  { "active", rt_active },
  { "remaining", rt_remaining },
  { "field", rt_field },
  { "progress", rt_progress },
  { "attempt", rt_attempt },
  { "log", rt_log },
  { "job_log", rt_job_log },
  { "setup", rt_setup },
  { "set_misuse", rt_set_misuse },
  { "hooked", rt_hooked },
  { "handles", rt_handles },
  { NULL, NULL },
};

/* A lua_CFunction; its argument is the runner.  Stores the module in package.loaded. */
int sk_runtime_open(lua_State *L) {
  sk_runner_register(L, lua_touserdata(L, 1));
  luaL_newmetatable(L, THREAD_TYPE);
  lua_pushcfunction(L, thread_gc);
  lua_setfield(L, -2, "__gc");
  lua_createtable(L, 0, 1);
  lua_createtable(L, 0, 1);
  lua_pushliteral(L, "k");
  lua_setfield(L, -2, "__mode");
  lua_setmetatable(L, -2);
  ((struct sk_runner *)lua_touserdata(L, 1))->dropped_ref = luaL_ref(L, LUA_REGISTRYINDEX);
  lua_newtable(L);
  for (const luaL_Reg *f = FUNCTIONS; f->name; f++) {
    lua_pushcfunction(L, f->func);
    lua_setfield(L, -2, f->name);
  }
  sk_programs_open(L);
  sk_runner_push_token(L);
  lua_setfield(L, -2, "token");
  lua_pushvalue(L, -2);
  lua_setfield(L, -2, "thread_meta");
  lua_getfield(L, LUA_REGISTRYINDEX, "_LOADED");
  lua_pushvalue(L, -2);
  lua_setfield(L, -2, "skein.runtime");
  return 0;
}
