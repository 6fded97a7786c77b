/* scripts.c - see scripts.h. */
#include "app/scripts.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/buf.h"

extern char **environ;

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

static enum sk_code read_all(int fd, struct sk_buf *out, struct sk_err *err) {
  char chunk[4096];
  ssize_t n;
  while ((n = read(fd, chunk, sizeof chunk)) != 0) {
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return sk_err_set(err, SK_ESYS, "config.lua's process: %s", strerror(errno));
    sk_buf_add(out, chunk, (size_t)n);
  }
  return out->failed ? sk_err_set(err, SK_ENOMEM, "config.lua: out of memory") : SK_OK;
}

/* Runs `program worker config DIR` with its stdout, then its stderr, read into the buffers. */
static enum sk_code run_config(const char *program, const char *dir, struct sk_buf *said, struct sk_buf *errors, int *status,
                               struct sk_err *err) {
  int out[2], bad[2];
  if (pipe2(out, O_CLOEXEC) != 0) return sk_err_set(err, SK_ESYS, "pipe: %s", strerror(errno));
  if (pipe2(bad, O_CLOEXEC) != 0) {
    close(out[0]), close(out[1]);
    return sk_err_set(err, SK_ESYS, "pipe: %s", strerror(errno));
  }
  posix_spawn_file_actions_t actions;
  posix_spawn_file_actions_init(&actions);
  posix_spawn_file_actions_adddup2(&actions, out[1], STDOUT_FILENO);
  posix_spawn_file_actions_adddup2(&actions, bad[1], STDERR_FILENO);
  char *argv[] = { "skein", "worker", "config", (char *)(uintptr_t)dir, NULL };
  pid_t pid;
  int rc = posix_spawn(&pid, program, &actions, NULL, argv, environ);
  posix_spawn_file_actions_destroy(&actions);
  close(out[1]), close(bad[1]);
  enum sk_code code = rc == 0 ? read_all(out[0], said, err) : sk_err_set(err, SK_ESYS, "start of \"%s\": %s", program, strerror(rc));
  if (code == SK_OK) code = read_all(bad[0], errors, err); /* an error message is short: it fits the pipe meanwhile */
  close(out[0]), close(bad[0]);
  if (rc == 0)
    while (waitpid(pid, status, 0) < 0 && errno == EINTR) continue;
  return code;
}

static enum sk_code apply(struct sk_str said, const char *source, struct sk_config *config, struct sk_err *err) {
  while (said.n > 0) {
    const char *end = memchr(said.p, '\n', said.n);
    size_t n = end ? (size_t)(end - said.p) : said.n;
    const char *tab = memchr(said.p, '\t', n);
    if (tab == NULL) return sk_err_set(err, SK_EINVAL, "%s: printed \"%.*s\" (it must not print to stdout)", source, (int)n, said.p);
    struct sk_str name = sk_str(said.p, (size_t)(tab - said.p));
    struct sk_str value = sk_str(tab + 1, n - name.n - 1);
    enum sk_code code = sk_config_set(config, name, value, source, err);
    if (code != SK_OK) return code;
    size_t used = end ? n + 1 : n;
    said = sk_str(said.p + used, said.n - used);
  }
  return SK_OK;
}

enum sk_code sk_scripts_config(const char *program, const char *dir, struct sk_config *config, struct sk_err *err) {
  char path[PATH_MAX];
  snprintf(path, sizeof path, "%s/config.lua", dir);
  if (access(path, F_OK) != 0) return SK_OK;
  struct sk_buf said = { 0 }, errors = { 0 };
  int status = 0;
  enum sk_code code = run_config(program, dir, &said, &errors, &status, err);
  if (code == SK_OK && (!WIFEXITED(status) || WEXITSTATUS(status) != 0)) {
    while (errors.n > 0 && errors.p[errors.n - 1] == '\n') errors.n--;
    code = sk_err_set(err, SK_EINVAL, "%.*s", SK_STR_ARG(errors.n ? sk_buf_str(&errors) : SK_STR_LIT("config.lua can't be run")));
  }
  if (code == SK_OK) code = apply(sk_buf_str(&said), path, config, err);
  sk_buf_fini(&said);
  sk_buf_fini(&errors);
  return code;
}
