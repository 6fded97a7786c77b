/* programs.c - programs that jobs start: with signals as in a shell and descriptors 0 to 2 only, and no longer than
 * their job.
 *
 * A program started with uv.spawn or os.execute is the leader of a session, and so of a process group, of its own,
 * which is killed when the job's attempt has ended, however it did.  One started with io.popen is in the worker's own
 * group; it is killed with what descends from it.  What leaves these lives until its worker ends: see
 * core/io/guard.h. */
#include <errno.h>
#include <fcntl.h>
#include <lauxlib.h>
#include <signal.h>
#include <spawn.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/fds.h"
#include "io/sweep.h"
#include "lua/runner.h"

extern char **environ;

enum { SHELL_FAILED = 127 << 8 }; /* what system() gives when there is no shell */

static bool group_lives(int pid) { return kill(-pid, 0) == 0 || errno != ESRCH; }

/* Room for one more, made before the program is started; false when out of memory. */
static bool make_room(struct sk_slot *slot) {
  if (slot->children_n < slot->children_cap) return true;
  size_t cap = slot->children_cap ? slot->children_cap * 2 : 4;
  int *grown = realloc(slot->children, cap * sizeof *grown);
  if (grown == NULL) return false;
  slot->children = grown;
  slot->children_cap = cap;
  return true;
}

static void forget(struct sk_slot *slot, int pid) {
  for (size_t i = 0; i < slot->children_n; i++)
    if (slot->children[i] == pid) slot->children[i--] = slot->children[--slot->children_n];
}

void sk_programs_end(struct sk_slot *slot) {
  if (slot->children == NULL) return;
  for (size_t i = 0; i < slot->children_n; i++) {
    int pid = slot->children[i];
    if (pid > 0)
      kill(-pid, SIGKILL);
    else if (kill(-pid, 0) == 0)
      sk_sweep_child(-pid);
  }
  free(slot->children);
  slot->children = NULL;
  slot->children_n = slot->children_cap = 0;
}

/* The slot of the job that runs; NULL between jobs. */
static struct sk_slot *running_slot(lua_State *L) {
  const struct sk_thread *t = sk_runner_of(L)->current;
  return t ? t->slot : NULL;
}

/* starting() -> handle of the running job | nil: it is about to start a program, whose group is told to `started` */
static int programs_starting(lua_State *L) {
  struct sk_slot *slot = running_slot(L);
  sk_fds_close_on_exec();
  if (slot == NULL) return 0;
  if (!make_room(slot)) return luaL_error(L, "not enough memory");
  lua_pushnumber(L, sk_runner_handle(slot));
  return 1;
}

/* started(handle, pid) */
static int programs_started(lua_State *L) {
  struct sk_slot *slot = sk_runner_slot(sk_runner_of(L), luaL_checknumber(L, 1));
  int pid = luaL_checkint(L, 2);
  if (slot && make_room(slot))
    slot->children[slot->children_n++] = pid;
  else
    kill(-pid, SIGKILL);
  return 0;
}

/* ended(handle, pid): it has exited; what it left in its group goes on until the job ends */
static int programs_ended(lua_State *L) {
  struct sk_slot *slot = sk_runner_slot(sk_runner_of(L), luaL_checknumber(L, 1));
  int pid = luaL_checkint(L, 2);
  if (slot && !group_lives(pid)) forget(slot, pid);
  return 0;
}

/* children() -> text: the pids of this thread's children */
static int programs_children(lua_State *L) {
  char text[8192];
  int fd = open("/proc/thread-self/children", O_RDONLY | O_CLOEXEC);
  ssize_t n = fd < 0 ? 0 : read(fd, text, sizeof text);
  if (fd >= 0) close(fd);
  lua_pushlstring(L, text, n > 0 ? (size_t)n : 0);
  return 1;
}

/* popened(handle, pid): one that io.popen has started */
static int programs_popened(lua_State *L) {
  struct sk_slot *slot = sk_runner_slot(sk_runner_of(L), luaL_checknumber(L, 1));
  int pid = luaL_checkint(L, 2);
  if (slot && make_room(slot)) slot->children[slot->children_n++] = -pid;
  return 0;
}

static int spawn_shell(const char *command, pid_t *pid) {
  char *argv[] = { "sh", "-c", (char *)(uintptr_t)command, NULL };
  posix_spawnattr_t attributes;
  sigset_t all, none;
  sigfillset(&all);
  sigemptyset(&none);
  posix_spawnattr_init(&attributes);
  posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSID | POSIX_SPAWN_SETSIGDEF | POSIX_SPAWN_SETSIGMASK);
  posix_spawnattr_setsigdefault(&attributes, &all);
  posix_spawnattr_setsigmask(&attributes, &none);
  int rc = posix_spawn(pid, "/bin/sh", NULL, &attributes, argv, environ);
  posix_spawnattr_destroy(&attributes);
  return rc;
}

/* execute(command) -> status as of waitpid: os.execute, in a process group of the job's */
static int programs_execute(lua_State *L) {
  const char *command = luaL_checkstring(L, 1);
  struct sk_slot *slot = running_slot(L);
  if (slot && !make_room(slot)) return luaL_error(L, "not enough memory");
  sk_fds_close_on_exec();
  pid_t pid;
  int status = SHELL_FAILED;
  if (spawn_shell(command, &pid) == 0) {
    while (waitpid(pid, &status, 0) < 0)
      if (errno != EINTR) break;
    if (slot && group_lives(pid)) slot->children[slot->children_n++] = pid;
  }
  lua_pushinteger(L, status);
  return 1;
}

static const luaL_Reg FUNCTIONS[] = {
  { "starting", programs_starting },
  { "started", programs_started },
  { "ended", programs_ended },
  { "execute", programs_execute },
  { "children", programs_children },
  { "popened", programs_popened },
  { NULL, NULL },
};

void sk_programs_open(lua_State *L) {
  lua_newtable(L);
  for (const luaL_Reg *f = FUNCTIONS; f->name; f++) {
    lua_pushcfunction(L, f->func);
    lua_setfield(L, -2, f->name);
  }
  lua_setfield(L, -2, "programs");
}
