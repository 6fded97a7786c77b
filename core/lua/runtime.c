/* runtime.c - the Lua module `skein.runtime`: what a worker's Lua (skein/worker.lua, skein/job.lua) asks of the runner.
 *
 * Functions that wait yield the coroutine with one private token, which tells the coroutine.resume of worker.lua to pass the yield
 * on when a script runs them inside a coroutine of its own.  They return first nil, or the text "timeout" or "cancelled" when
 * the job has to stop instead; worker.lua raises that. */
#include <assert.h>
#include <lauxlib.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/limits.h"
#include "lua/json.h"
#include "lua/runner.h"

static const char TOKEN = 0;       /* its address is the token */
static const char RUNNER_KEY = 0;  /* its address is the registry key of the runner */
static const char THREAD_TYPE[] = "skein.thread";

struct sk_runner *sk_runner_of(lua_State *L) {
  lua_pushlightuserdata(L, (void *)(uintptr_t)&RUNNER_KEY);
  lua_rawget(L, LUA_REGISTRYINDEX);
  struct sk_runner *r = lua_touserdata(L, -1);
  lua_pop(L, 1);
  return r;
}

static struct sk_thread *need_thread(lua_State *L) {
  struct sk_thread *t = sk_runner_of(L)->current;
  if (t == NULL) luaL_error(L, "this can only be used inside a job");
  return t;
}

/* -- waiting ---------------------------------------------------------------------------------------------------------------------- */

/* Says whether the job has to stop.  Returns true with the text pushed; the third time it is ignored, the coroutine is given up. */
static bool must_stop(lua_State *L, struct sk_thread *t, bool *abandon) {
  struct sk_slot *slot = t->slot;
  *abandon = false;
  if (slot->stop == SK_KIND_NONE) return false;
  if (++slot->swallowed > SK_SWALLOWED_MAX) {
    *abandon = true;
    return true;
  }
  lua_pushstring(L, slot->stop == SK_KIND_TIMEOUT ? "timeout" : "cancelled");
  return true;
}

static int yield(lua_State *L) {
  lua_pushlightuserdata(L, (void *)(uintptr_t)&TOKEN);
  return lua_yield(L, 1);
}

#define STOP_OR_GO_ON(L, t)                 \
  do {                                      \
    bool abandon_;                          \
    if (must_stop((L), (t), &abandon_)) {   \
      if (!abandon_) return 1;              \
      (t)->wait = SK_WAIT_ABANDON;          \
      return yield(L);                      \
    }                                       \
  } while (0)

/* sleep(ms) -> stop | nothing */
static int rt_sleep(lua_State *L) {
  lua_Number ms = luaL_checknumber(L, 1);
  struct sk_thread *t = need_thread(L);
  STOP_OR_GO_ON(L, t);
  if (!sk_heap_insert(&t->runner->sleepers, &t->sleep, sk_clock_mono_ms() + (int64_t)(ms > 0 ? ms : 0))) return luaL_error(L, "not enough memory");
  t->wait = SK_WAIT_SLEEP;
  sk_runner_arm_timer(t->runner);
  return yield(L);
}

/* park() -> stop | nil, values given to coroutine.resume */
static int rt_park(lua_State *L) {
  struct sk_thread *t = need_thread(L);
  STOP_OR_GO_ON(L, t);
  sk_thread_park(t);
  return yield(L);
}

/* request(operation, payload) -> stop | nil, code, answer */
static int rt_request(lua_State *L) {
  struct sk_thread *t = need_thread(L);
  struct sk_runner *r = t->runner;
  lua_Integer operation = luaL_checkinteger(L, 1);
  size_t n;
  const char *payload = luaL_checklstring(L, 2, &n);
  STOP_OR_GO_ON(L, t);
  if (n > SK_FRAME_BYTES_MAX - 64) return luaL_error(L, "request: %d bytes, the limit is %d", (int)n, SK_FRAME_BYTES_MAX - 64);
  t->request = ++r->next_request;
  struct sk_buf *out = sk_pipe_out(r->pipe);
  size_t at = sk_wire_begin(out, SK_FRAME_REQUEST);
  sk_buf_add_u64(out, t->request);
  sk_buf_add_byte(out, (char)operation);
  sk_buf_add(out, payload, n);
  sk_wire_end(out, at);
  HASH_ADD(hh, r->requests, request, sizeof t->request, t);
  t->wait = SK_WAIT_REQUEST;
  return yield(L);
}

/* -- threads ---------------------------------------------------------------------------------------------------------------------- */

static struct sk_thread *check_thread(lua_State *L, int index) {
  struct sk_thread **box = luaL_checkudata(L, index, THREAD_TYPE);
  return *box;
}

/* spawn(fn, ...) -> thread; runs it until it first waits */
static int rt_spawn(lua_State *L) {
  struct sk_thread *t = need_thread(L);
  luaL_checktype(L, 1, LUA_TFUNCTION);
  struct sk_thread **box = lua_newuserdata(L, sizeof *box);
  *box = NULL;
  luaL_getmetatable(L, THREAD_TYPE);
  lua_setmetatable(L, -2);
  lua_insert(L, 1);
  int n = lua_gettop(L) - 1;
  struct sk_thread *s = *box = sk_thread_new(t->runner, t->slot, SK_ROLE_SPAWNED);
  if (s == NULL) return luaL_error(L, "not enough memory");
  s->shared = true;
  if (!lua_checkstack(s->co, n)) return luaL_error(L, "too many arguments");
  lua_xmove(L, s->co, n);
  sk_thread_resume(s, n - 1);
  return 1;
}

static int push_results(lua_State *L, struct sk_thread *s) {
  if (s->failed) {
    lua_pushnil(L);
    lua_pushboolean(L, 0);
    lua_pushvalue(s->co, -1);
    lua_xmove(s->co, L, 1);
    return 3;
  }
  int n = lua_gettop(s->co);
  lua_pushnil(L);
  lua_pushboolean(L, 1);
  if (!lua_checkstack(L, n) || !lua_checkstack(s->co, n)) return luaL_error(L, "too many results");
  for (int i = 1; i <= n; i++) lua_pushvalue(s->co, i);
  lua_xmove(s->co, L, n);
  return n + 2;
}

/* results(thread) -> nil when it runs still; else nil, true, values ... or nil, false, error */
static int rt_results(lua_State *L) {
  struct sk_thread *s = check_thread(L, 1);
  if (s->wait == SK_WAIT_OVER) return push_results(L, s);
  return 0;
}

/* join(thread) -> stop | nothing, once it has ended */
static int rt_join(lua_State *L) {
  struct sk_thread *s = check_thread(L, 1);
  struct sk_thread *t = need_thread(L);
  STOP_OR_GO_ON(L, t);
  if (s->slot != t->slot) return luaL_error(L, "thread:wait: the thread belongs to a job that has ended");
  if (s == t) return luaL_error(L, "thread:wait: a thread can't wait for itself");
  sk_list_push(&s->joiners, &t->join_node);
  t->wait = SK_WAIT_JOIN;
  return yield(L);
}

static int thread_gc(lua_State *L) {
  struct sk_thread *s = check_thread(L, 1);
  if (s) sk_thread_release(s);
  return 0;
}

/* unpark(coroutine, ...) -> false when it is no parked thread of a job; else true, and it has run on */
static int rt_unpark(lua_State *L) {
  lua_State *co = lua_tothread(L, 1);
  struct sk_thread *t = co ? sk_thread_parked(sk_runner_of(L), co) : NULL;
  if (t == NULL) {
    lua_pushboolean(L, 0);
    return 1;
  }
  int n = lua_gettop(L) - 1;
  if (!lua_checkstack(co, n + 1)) return luaL_error(L, "too many arguments");
  lua_pushnil(co);
  lua_xmove(L, co, n);
  sk_thread_unwait(t);
  sk_thread_resume(t, n + 1);
  lua_pushboolean(L, 1);
  return 1;
}

/* is_own() -> true when the runner resumes the running coroutine, so that a yield in it parks */
static int rt_is_own(lua_State *L) {
  const struct sk_thread *t = sk_runner_of(L)->current;
  lua_pushboolean(L, t && t->co == L);
  return 1;
}

/* -- the job ------------------------------------------------------------------------------------------------------------------------ */

static struct sk_slot *slot_at(lua_State *L, int index) { return sk_jobs_slot(sk_runner_of(L), lua_tonumber(L, index)); }

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

/* field(handle, "args" | "meta") -> decoded value; field(handle, "backoff") -> text; nil when the job is over or sets none */
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
  if (sk_lua_json_decode(L, text, &err) != SK_OK) return luaL_error(L, "job.%s: %s", name, err.message);
  return 1;
}

/* progress(handle, percent, note) */
static int rt_progress(lua_State *L) {
  const struct sk_slot *slot = slot_at(L, 1);
  lua_Integer percent = luaL_checkinteger(L, 2);
  size_t n;
  const char *note = luaL_checklstring(L, 3, &n);
  if (slot == NULL) return 0;
  struct sk_buf *out = sk_pipe_out(slot->runner->pipe);
  size_t at = sk_wire_begin(out, SK_FRAME_PROGRESS);
  sk_buf_add_u32(out, slot->number);
  sk_buf_add_u32(out, (uint32_t)percent);
  sk_wire_add_str(out, sk_str_head(sk_str(note, n), SK_NOTE_BYTES_MAX));
  sk_wire_end(out, at);
  return 0;
}

/* current() -> the running job's table, or nil */
static int rt_current(lua_State *L) {
  const struct sk_thread *t = sk_runner_of(L)->current;
  if (t == NULL) return 0;
  lua_rawgeti(L, LUA_REGISTRYINDEX, t->slot->job_ref);
  return 1;
}

void sk_runtime_log(struct sk_runner *r, unsigned level, const struct sk_slot *slot, struct sk_str text) {
  struct sk_buf *out = sk_pipe_out(r->pipe);
  size_t at = sk_wire_begin(out, SK_FRAME_LOG);
  sk_buf_add_byte(out, (char)level);
  sk_wire_add_str(out, slot ? slot->job.id : sk_str(NULL, 0));
  sk_wire_add_str(out, slot ? slot->job.task : sk_str(NULL, 0));
  sk_wire_add_str(out, sk_str_head(text, SK_LOG_LINE_BYTES_MAX));
  sk_wire_end(out, at);
}

/* log(level 0..3, text) */
static int rt_log(lua_State *L) {
  lua_Integer level = luaL_checkinteger(L, 1);
  size_t n;
  const char *text = luaL_checklstring(L, 2, &n);
  struct sk_runner *r = sk_runner_of(L);
  const struct sk_thread *t = r->current;
  sk_runtime_log(r, (unsigned)level, t ? t->slot : NULL, sk_str(text, n));
  return 0;
}

/* -- setting up ---------------------------------------------------------------------------------------------------------------------- */

/* setup{ handlers = {name = fn}, failed = fn, job_meta = table, templates = { record, ... } }: the scripts are loaded */
static int rt_setup(lua_State *L) {
  struct sk_runner *r = sk_runner_of(L);
  luaL_checktype(L, 1, LUA_TTABLE);
  lua_getfield(L, 1, "handlers");
  r->handlers_ref = luaL_ref(L, LUA_REGISTRYINDEX);
  lua_getfield(L, 1, "failed");
  r->failed_ref = luaL_ref(L, LUA_REGISTRYINDEX);
  lua_getfield(L, 1, "job_meta");
  r->job_meta_ref = luaL_ref(L, LUA_REGISTRYINDEX);
  lua_getfield(L, 1, "templates");
  size_t n = lua_objlen(L, -1);
  struct sk_buf *out = sk_pipe_out(r->pipe);
  size_t at = sk_wire_begin(out, SK_FRAME_HELLO);
  sk_buf_add_u32(out, (uint32_t)n);
  for (size_t i = 1; i <= n; i++) {
    lua_rawgeti(L, -1, (int)i);
    size_t bytes;
    const char *record = lua_tolstring(L, -1, &bytes);
    sk_wire_add_str(out, sk_str(record, bytes));
    lua_pop(L, 1);
  }
  sk_wire_end(out, at);
  return 0;
}

static const luaL_Reg FUNCTIONS[] = {
  { "sleep", rt_sleep },     { "park", rt_park },         { "request", rt_request },   { "spawn", rt_spawn },
  { "results", rt_results }, { "join", rt_join },         { "unpark", rt_unpark },     { "is_own", rt_is_own },
  { "active", rt_active },   { "remaining", rt_remaining }, { "field", rt_field },     { "progress", rt_progress },
  { "current", rt_current }, { "log", rt_log },           { "setup", rt_setup },       { NULL, NULL },
};

/* lua_CFunction(runner): leaves the module in package.loaded. */
int sk_runtime_open(lua_State *L) {
  lua_pushlightuserdata(L, (void *)(uintptr_t)&RUNNER_KEY);
  lua_pushvalue(L, 1);
  lua_rawset(L, LUA_REGISTRYINDEX);
  luaL_newmetatable(L, THREAD_TYPE);
  lua_pushcfunction(L, thread_gc);
  lua_setfield(L, -2, "__gc");
  lua_newtable(L);
  for (const luaL_Reg *f = FUNCTIONS; f->name; f++) {
    lua_pushcfunction(L, f->func);
    lua_setfield(L, -2, f->name);
  }
  lua_pushlightuserdata(L, (void *)(uintptr_t)&TOKEN);
  lua_setfield(L, -2, "token");
  lua_pushvalue(L, -2);
  lua_setfield(L, -2, "thread_meta");
  lua_getfield(L, LUA_REGISTRYINDEX, "_LOADED");
  lua_pushvalue(L, -2);
  lua_setfield(L, -2, "skein.runtime");
  return 0;
}
