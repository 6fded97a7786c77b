/* inspect.c - see inspect.h.  What is looked at, and what is printed, is in lua/skein/inspect.lua.
 *
 * A script that loops while it loads must not hang the process.  An alarm goes off when one has taken
 * SK_LOOK_SCRIPT_MS: it sets a hook, which raises an error at the line that runs.  A script that catches that error
 * is raised another a second later, and is then left in the middle.  One that no hook reaches, as it waits in C, ends
 * the process.  LuaJIT looks at hooks only while it interprets: the JIT compiler is off here. */
#include "lua/inspect.h"

#include <lauxlib.h>
#include <luajit.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/time.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/limits.h"
#include "base/utf8.h"
#include "lua/vm.h"

enum {
  RAISES_MAX = 2, /* errors raised in a script that goes on all the same */
  ALARM_AGAIN_S = 1,
  NAME_BYTES_MAX = 400,
  EXIT_FAILED = 1
};

/* One a process, as the alarm and its handler are. */
static struct {
  lua_State *L;
  char where[NAME_BYTES_MAX];      /* "file:line" of the last error that was raised in it */
  char late[NAME_BYTES_MAX + 200]; /* what is said of the script that loads, when no hook reaches it */
  size_t late_n;
  volatile sig_atomic_t alarms; /* since that script began */
  int raises;
  int64_t started_ms; /* the process */
} watched;

/* The innermost Lua function's line, and what is wrong there. */
static void on_late(lua_State *L, lua_Debug *now) {
  (void)now;
  lua_Debug ar;
  lua_sethook(L, NULL, 0, 0);
  watched.alarms = 0;
  int level = 0;
  while (lua_getstack(L, level, &ar) && lua_getinfo(L, "Sl", &ar) && ar.currentline <= 0) level++;
  snprintf(watched.where, sizeof watched.where, "%s:%d", ar.short_src, ar.currentline);
  if (++watched.raises > RAISES_MAX) { /* skein.inspect runs each script in a coroutine, which it leaves */
    if (lua_isyieldable(L)) {
      lua_yield(L, 0);
      return;
    }
    fprintf(stderr, "%s: it catches the error that ends it and goes on: the check ends here\n", watched.where);
    _exit(EXIT_FAILED);
  }
  lua_pushfstring(L, "%s: the script has been loading for %d s without an end: it must not loop or wait here",
                  watched.where, SK_LOOK_SCRIPT_MS / 1000);
  lua_error(L);
}

/* A signal handler: only what may be done in one.  lua_sethook may (the interpreter of Lua does the same for Ctrl-C).
 */
static void on_alarm(int signum) {
  (void)signum;
  if (++watched.alarms > 2) { /* no hook has run */
    ssize_t ignored = write(STDERR_FILENO, watched.late, watched.late_n);
    (void)ignored;
    _exit(EXIT_FAILED);
  }
  lua_sethook(watched.L, on_late, LUA_MASKCALL | LUA_MASKRET | LUA_MASKCOUNT, 1);
}

static void set_alarm(int64_t ms) {
  struct itimerval t = { .it_value = { .tv_sec = ms / 1000, .tv_usec = ms % 1000 * 1000 } };
  if (ms > 0) t.it_interval.tv_sec = ALARM_AGAIN_S;
  setitimer(ITIMER_REAL, &t, NULL);
}

/* begin(file) -> boolean, where: the script that is loaded from here on; without a file none is any more.  False when
 * there is no time left for it.  The line at which the one before was last found not to end. */
static int begin(lua_State *L) {
  set_alarm(0);
  lua_sethook(L, NULL, 0, 0);
  watched.alarms = watched.raises = 0;
  const char *file = luaL_optstring(L, 1, NULL);
  bool late = sk_clock_mono_ms() - watched.started_ms > SK_LOOK_MS;
  if (file && !late) {
    struct sk_buf name = { 0 };
    sk_utf8_add_clean(&name, sk_str_head(sk_str_c(file), NAME_BYTES_MAX / 3),
                      false); /* what is no UTF-8 becomes three bytes */
    int n = snprintf(watched.late, sizeof watched.late,
                     "%.*s: the script has been loading for %d s and waits outside of Lua: the check ends here\n",
                     SK_STR_ARG(sk_buf_str(&name)), SK_LOOK_SCRIPT_MS / 1000 + 2 * ALARM_AGAIN_S);
    watched.late_n = n > 0 && (size_t)n < sizeof watched.late ? (size_t)n : 0;
    sk_buf_fini(&name);
    set_alarm(SK_LOOK_SCRIPT_MS);
  }
  lua_pushboolean(L, !late);
  lua_pushstring(L, watched.where);
  return 2;
}

static void watch(lua_State *L) {
  watched.L = L;
  watched.started_ms = sk_clock_mono_ms();
  luaJIT_setmode(L, 0, LUAJIT_MODE_ENGINE | LUAJIT_MODE_OFF);
  struct sigaction sa = { .sa_handler = on_alarm, .sa_flags = SA_RESTART };
  sigaction(SIGALRM, &sa, NULL);
}

/* Calls function `name` of skein.inspect with dir and begin. */
static enum sk_code call(lua_State *L, const char *name, const char *dir, struct sk_err *err) {
  lua_getglobal(L, "require");
  lua_pushliteral(L, "skein.inspect");
  enum sk_code code = sk_vm_call(L, 1, 1, err);
  if (code != SK_OK) return code;
  lua_getfield(L, -1, name);
  lua_remove(L, -2);
  lua_pushstring(L, dir);
  lua_pushcfunction(L, begin);
  return sk_vm_call(L, 2, 1, err);
}

static int look(const char *name, const char *dir) {
  struct sk_err err;
  struct sk_vm *vm = sk_vm_new(0, &err);
  if (vm == NULL) {
    fprintf(stderr, "skein: %s\n", err.message);
    return 70;
  }
  lua_State *L = sk_vm_lua(vm);
  int status = EXIT_FAILED;
  watch(L);
  if (call(L, name, dir, &err) == SK_OK)
    status = (int)lua_tointeger(L, -1);
  else
    fprintf(stderr, "%s\n", err.message);
  fflush(stdout);
  set_alarm(0);
  sk_vm_free(vm);
  return status;
}

int sk_inspect_check(const char *dir, int json) { return look(json ? "check_json" : "check", dir); }

int sk_inspect_config(const char *dir, int parent_pid) {
  prctl(PR_SET_PDEATHSIG, SIGKILL);
  if (getppid() != parent_pid) return 0; /* it died before that */
  return look("config", dir);
}
