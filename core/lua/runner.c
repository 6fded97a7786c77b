/* runner.c - the base of all files of the runner: the lookup of a Lua state's runner, protected calls, handles of jobs,
 * and the lines that the worker sends to its core.  See runner.h. */
#include <fcntl.h>
#include <lauxlib.h>
#include <pthread.h>
#include <signal.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/limits.h"
#include "base/log.h"
#include "lua/worker.h"
#include "lua/runner.h"

static const char TOKEN = 0;      /* its address is the token */
static const char RUNNER_KEY = 0; /* its address is the registry key of the runner */

enum { CHILD_STATUS = 70 };

void sk_runner_register(lua_State *L, struct sk_runner *r) {
  lua_pushlightuserdata(L, (void *)(uintptr_t)&RUNNER_KEY);
  lua_pushlightuserdata(L, r);
  lua_rawset(L, LUA_REGISTRYINDEX);
}

struct sk_runner *sk_runner_of(lua_State *L) {
  lua_pushlightuserdata(L, (void *)(uintptr_t)&RUNNER_KEY);
  lua_rawget(L, LUA_REGISTRYINDEX);
  struct sk_runner *r = lua_touserdata(L, -1);
  lua_pop(L, 1);
  return r;
}

void sk_runner_push_token(lua_State *L) { lua_pushlightuserdata(L, (void *)(uintptr_t)&TOKEN); }

bool sk_runner_is_token(lua_State *L, int index) {
  return lua_type(L, index) == LUA_TLIGHTUSERDATA && lua_touserdata(L, index) == (const void *)&TOKEN;
}

int64_t sk_runner_now_ms(struct sk_runner *r) {
  if (r->now_ms == 0) r->now_ms = sk_clock_mono_ms();
  return r->now_ms;
}

/* -- what the worker says ------------------------------------------------------------------------------------------ */

bool sk_runner_may_say(struct sk_runner *r) {
  if (sk_pipe_pending(r->pipe) <= SK_SAID_BYTES_MAX) {
    r->unheard = false;
    return true;
  }
  r->unheard = !sk_pipe_press(r->pipe, SK_SAID_BYTES_MAX / 2, r->unheard ? 0 : SK_SAY_MS);
  return !r->unheard;
}

void sk_runner_log(struct sk_runner *r, unsigned level, const struct sk_slot *slot, struct sk_str text) {
  struct sk_buf *out = sk_pipe_out(r->pipe);
  size_t at = sk_wire_begin(out, SK_FRAME_LOG);
  sk_buf_add_byte(out, (char)level);
  sk_wire_add_str(out, slot ? slot->job.id : sk_str(NULL, 0));
  sk_wire_add_str(out, slot ? slot->job.task : sk_str(NULL, 0));
  sk_wire_add_str(out, sk_str_head(text, SK_LOG_LINE_BYTES_MAX));
  sk_wire_end(out, at);
}

/* -- protected calls ----------------------------------------------------------------------------------------------- */

/* Logs the failure of a script's finalizer that ran during the runner's work. */
static void report_finalizer(void *ctx, struct sk_str message) {
  struct sk_buf text = { 0 };
  sk_buf_add_c(&text, "a finalizer (__gc) failed: ");
  sk_buf_add_str(&text, message);
  if (!text.failed) sk_runner_log(ctx, SK_LOG_ERROR, NULL, sk_buf_str(&text));
  sk_buf_fini(&text);
}

void sk_runner_protect(struct sk_runner *r, lua_CFunction step, void *ctx) {
  sk_vm_protect(r->vm, step, ctx, report_finalizer, r);
}

static int unhook_step(lua_State *L) {
  const struct sk_runner *r = lua_touserdata(L, 1);
  lua_rawgeti(L, LUA_REGISTRYINDEX, r->unhook_ref);
  lua_call(L, 0, 0);
  return 0;
}

void sk_runner_unhook(struct sk_runner *r) {
  lua_sethook(r->L, NULL, 0, 0); /* LuaJIT has one hook for all coroutines */
  r->hooked = false;
  if (r->unhook_ref != LUA_NOREF) sk_runner_protect(r, unhook_step, r);
}

/* -- handles of jobs ----------------------------------------------------------------------------------------------- */

lua_Number sk_runner_handle(const struct sk_slot *slot) {
  return (lua_Number)slot->generation * 1048576.0 + slot->number;
}

struct sk_slot *sk_runner_slot(struct sk_runner *r, lua_Number handle) {
  if (!(handle >= 0 && handle < 9007199254740992.0)) return NULL; /* scripts can pass any number */
  uint64_t h = (uint64_t)handle;
  uint32_t number = (uint32_t)(h % 1048576), generation = (uint32_t)(h / 1048576);
  if (number >= r->slot_page->slots_n) return NULL;
  struct sk_slot *slot = &r->slots[number];
  return slot->active && slot->generation == generation ? slot : NULL;
}

/* -- forks --------------------------------------------------------------------------------------------------------- */

/* True in a child that a job forked through ffi.  The child must not act as the worker: its pipe writes go to
 * /dev/null, and it ends when its code returns to the runner (sk_runner_leave_child).  A global, since pthread_atfork
 * passes no context. */
static volatile sig_atomic_t in_child;

static void on_fork(void) {
  in_child = 1;
  int null = open("/dev/null", O_RDWR | O_CLOEXEC);
  if (null < 0) {
    close(SK_WORKER_PIPE_FD);
    return;
  }
  dup3(null, SK_WORKER_PIPE_FD, O_CLOEXEC);
  close(null);
}

void sk_runner_watch_forks(void) { pthread_atfork(NULL, NULL, on_fork); }

void sk_runner_leave_child(void) {
  if (in_child) _exit(CHILD_STATUS);
}
