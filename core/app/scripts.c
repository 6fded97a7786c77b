/* scripts.c - see scripts.h. */
#include "app/scripts.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include "app/config_yaml.h"
#include "base/buf.h"
#include "base/clock.h"
#include "base/limits.h"

extern char **environ;

enum { CONFIG_OUTPUT_BYTES_MAX = 1024 * 1024, EXIT_LOOK_MS = 5 };

char *sk_scripts_program(struct sk_err *err) {
  char path[PATH_MAX];
  ssize_t n = readlink("/proc/self/exe", path, sizeof path - 1);
  char *copy = n > 0 ? malloc((size_t)n + 1) : NULL;
  if (copy == NULL) {
    sk_err_set(err, SK_ESYS, "/proc/self/exe: %s", strerror(errno));
    return NULL;
  }
  memcpy(copy, path, (size_t)n);
  copy[n] = '\0';
  return copy;
}

static enum sk_code took_too_long(struct sk_err *err) {
  return sk_err_set(err, SK_ETIMEOUT, "config.lua: it has not ended within %d s, and was killed",
                    SK_CONFIG_MS_MAX / 1000);
}

static enum sk_code read_end(struct pollfd *end, struct sk_buf *buf, struct sk_err *err) {
  char chunk[4096];
  ssize_t n = read(end->fd, chunk, sizeof chunk);
  if (n < 0 && errno != EINTR) return sk_err_set(err, SK_ESYS, "config.lua's process: %s", strerror(errno));
  if (n == 0) end->fd = -1;
  if (n > 0) sk_buf_add(buf, chunk, (size_t)n);
  if (buf->failed) return sk_err_set(err, SK_ENOMEM, "config.lua: out of memory");
  if (buf->n > CONFIG_OUTPUT_BYTES_MAX)
    return sk_err_set(err, SK_ELIMIT, "config.lua: it printed more than %d bytes", CONFIG_OUTPUT_BYTES_MAX);
  return SK_OK;
}

/* Reads both ends until both are closed. They are read together: a child that fills one must not wait for a reader of
 * the other. */
static enum sk_code read_both(const int fds[2], struct sk_buf *const bufs[2], int64_t end_ms, struct sk_err *err) {
  struct pollfd ends[2] = { { fds[0], POLLIN, 0 }, { fds[1], POLLIN, 0 } };
  while (ends[0].fd >= 0 || ends[1].fd >= 0) {
    int64_t left_ms = end_ms - sk_clock_mono_ms();
    if (left_ms <= 0) return took_too_long(err);
    int ready = poll(ends, 2, (int)left_ms);
    if (ready < 0 && errno == EINTR) continue;
    if (ready < 0) return sk_err_set(err, SK_ESYS, "config.lua's process: %s", strerror(errno));
    for (int i = 0; i < 2 && ready > 0; i++) {
      enum sk_code code = ends[i].fd >= 0 && ends[i].revents ? read_end(&ends[i], bufs[i], err) : SK_OK;
      if (code != SK_OK) return code;
    }
  }
  return SK_OK;
}

/* Waits for the child's end. When the time is over it kills the child's process group. */
static enum sk_code wait_exit(pid_t pid, int64_t end_ms, int *status, struct sk_err *err) {
  bool late = false;
  for (;;) {
    pid_t got = waitpid(pid, status, late ? 0 : WNOHANG);
    if (got == pid || (got < 0 && errno != EINTR)) break;
    if (got < 0) continue;
    late = sk_clock_mono_ms() >= end_ms;
    if (late)
      kill(-pid, SIGKILL);
    else
      poll(NULL, 0, EXIT_LOOK_MS);
  }
  return late ? took_too_long(err) : SK_OK;
}

static enum sk_code open_pipes(int out[2], int bad[2], struct sk_err *err) {
  if (pipe2(out, O_CLOEXEC) != 0) return sk_err_set(err, SK_ESYS, "pipe: %s", strerror(errno));
  if (pipe2(bad, O_CLOEXEC) == 0) return SK_OK;
  sk_err_set(err, SK_ESYS, "pipe: %s", strerror(errno));
  close(out[0]), close(out[1]);
  return SK_ESYS;
}

/* Starts `program worker config DIR` in a process group of its own; the process ends with this one. */
static int start_config(const char *program, const char *dir, int out, int bad, pid_t *pid) {
  posix_spawn_file_actions_t actions;
  posix_spawnattr_t attr;
  char parent[16];
  snprintf(parent, sizeof parent, "%d", (int)getpid());
  posix_spawn_file_actions_init(&actions);
  posix_spawn_file_actions_adddup2(&actions, out, STDOUT_FILENO);
  posix_spawn_file_actions_adddup2(&actions, bad, STDERR_FILENO);
  posix_spawnattr_init(&attr);
  posix_spawnattr_setflags(&attr, POSIX_SPAWN_SETPGROUP);
  char *argv[] = { "skein", "worker", "config", (char *)(uintptr_t)dir, parent, NULL };
  int rc = posix_spawn(pid, program, &actions, &attr, argv, environ);
  posix_spawnattr_destroy(&attr);
  posix_spawn_file_actions_destroy(&actions);
  return rc;
}

/* Runs config.lua and reads its stdout and stderr into the buffers. No process of it is left after SK_CONFIG_MS_MAX. */
static enum sk_code run_config(const char *program, const char *dir, struct sk_buf *said, struct sk_buf *errors,
                               int *status, struct sk_err *err) {
  int out[2], bad[2];
  if (open_pipes(out, bad, err) != SK_OK) return SK_ESYS;
  pid_t pid;
  int64_t end_ms = sk_clock_mono_ms() + SK_CONFIG_MS_MAX;
  int rc = start_config(program, dir, out[1], bad[1], &pid);
  close(out[1]), close(bad[1]);
  enum sk_code code = rc == 0 ? read_both((int[]){ out[0], bad[0] }, (struct sk_buf *[]){ said, errors }, end_ms, err)
                              : sk_err_set(err, SK_ESYS, "start of \"%s\": %s", program, strerror(rc));
  close(out[0]), close(bad[0]);
  if (rc != 0) return code;
  if (code != SK_OK) kill(-pid, SIGKILL); /* it may be printing for ever */
  enum sk_code ended = wait_exit(pid, end_ms, status, code == SK_OK ? err : NULL);
  return code == SK_OK ? ended : code;
}

static enum sk_code apply(struct sk_str said, const char *source, struct sk_config *config, struct sk_err *err) {
  while (said.n > 0) {
    const char *end = memchr(said.p, '\n', said.n);
    size_t n = end ? (size_t)(end - said.p) : said.n;
    const char *tab = memchr(said.p, '\t', n);
    if (tab == NULL)
      return sk_err_set(err, SK_EINVAL, "%s: printed \"%.*s\" (it must not print to stdout)", source, (int)n, said.p);
    struct sk_str name = sk_str(said.p, (size_t)(tab - said.p));
    struct sk_str value = sk_str(tab + 1, n - name.n - 1);
    enum sk_code code = sk_config_set(config, name, value, source, err);
    if (code != SK_OK) return code;
    size_t used = end ? n + 1 : n;
    said = sk_str(said.p + used, said.n - used);
  }
  return SK_OK;
}

static enum sk_code config_lua(const char *program, const char *dir, const char *path, struct sk_config *config,
                               struct sk_err *err) {
  struct sk_buf said = { 0 }, errors = { 0 };
  int status = 0;
  enum sk_code code = run_config(program, dir, &said, &errors, &status, err);
  if (code == SK_OK && (!WIFEXITED(status) || WEXITSTATUS(status) != 0)) {
    while (errors.n > 0 && errors.p[errors.n - 1] == '\n') errors.n--;
    code = sk_err_set(err, SK_EINVAL, "%.*s",
                      SK_STR_ARG(errors.n ? sk_buf_str(&errors) : SK_STR_LIT("config.lua cannot be run")));
  }
  if (code == SK_OK) code = apply(sk_buf_str(&said), path, config, err);
  sk_buf_fini(&said);
  sk_buf_fini(&errors);
  return code;
}

enum sk_code sk_scripts_config(const char *program, const char *dir, struct sk_config *config, struct sk_err *err) {
  char lua[PATH_MAX], yaml[PATH_MAX];
  snprintf(lua, sizeof lua, "%s/config.lua", dir);
  snprintf(yaml, sizeof yaml, "%s/config.yml", dir);
  bool is_lua = access(lua, F_OK) == 0, is_yaml = access(yaml, F_OK) == 0;
  if (is_lua && is_yaml) return sk_err_set(err, SK_EINVAL, "%s and %s: expected only one of them", lua, yaml);
  if (is_yaml) return sk_config_yaml(config, yaml, err);
  return is_lua ? config_lua(program, dir, lua, config, err) : SK_OK;
}
