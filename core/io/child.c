/* child.c - see child.h. */
#include "io/child.h"

#include <assert.h>
#include <stdbool.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <uv.h>

#include "io/loop.h"

enum { CHILD_FDS_MAX = 4 };

struct sk_child {
  uv_process_t uv;
  struct sk_loop *loop;
  void (*exited)(void *ctx, int exit_status, int term_signal);
  void *ctx;
  bool over;
};

static void on_exit_uv(uv_process_t *uv, int64_t exit_status, int term_signal) {
  struct sk_child *c = uv->data;
  c->over = true;
  c->exited(c->ctx, (int)exit_status, term_signal);
}

static void on_closed(uv_handle_t *handle) { free(handle->data); }

extern char **environ;

/* Returns this process's environment with the mark in place of any variable of that name; NULL when out of memory. */
static char **environment_with(const char *mark) {
  size_t n = 0, name_n = strcspn(mark, "=") + 1, to = 0;
  while (environ && environ[n]) n++;
  char **copy = calloc(n + 2, sizeof *copy);
  if (copy == NULL) return NULL;
  copy[to++] = (char *)(uintptr_t)mark;
  for (size_t i = 0; i < n; i++)
    if (strncmp(environ[i], mark, name_n) != 0) copy[to++] = environ[i];
  return copy;
}

struct sk_child *sk_child_spawn(struct sk_loop *loop, const struct sk_child_options *options, struct sk_err *err) {
  assert(options->fds_n <= CHILD_FDS_MAX);
  struct sk_child *c = calloc(1, sizeof *c);
  if (c == NULL) {
    sk_err_set(err, SK_ENOMEM, "start of \"%s\": out of memory", options->file);
    return NULL;
  }
  *c = (struct sk_child){ .loop = loop, .exited = options->exited, .ctx = options->ctx };
  c->uv.data = c;
  uv_stdio_container_t stdio[3 + CHILD_FDS_MAX] = { { .flags = UV_IGNORE } };
  const int out[] = { options->out_fd ? options->out_fd : 1, options->err_fd ? options->err_fd : 2 };
  for (int i = 0; i < 2; i++) stdio[1 + i] = (uv_stdio_container_t){ .flags = UV_INHERIT_FD, .data.fd = out[i] };
  for (size_t i = 0; i < options->fds_n; i++)
    stdio[3 + i] = (uv_stdio_container_t){ .flags = UV_INHERIT_FD, .data.fd = options->fds[i] };
  char **env = options->mark ? environment_with(options->mark) : NULL;
  uv_process_options_t uv_options = {
    .flags = UV_PROCESS_DETACHED,
    .env = env,
    .exit_cb = on_exit_uv,
    .file = options->file,
    .args = (char **)(uintptr_t)options->argv, /* libuv's type lacks const; libuv does not write there */
    .stdio = stdio,
    .stdio_count = (int)(3 + options->fds_n),
  };
  sk_loop_count_handle(loop, 1);
  bool no_memory = options->mark != NULL && env == NULL;
  int rc = no_memory ? UV_ENOMEM : uv_spawn(sk_loop_uv(loop), &c->uv, &uv_options);
  free(env);
  if (rc == 0) return c;
  sk_err_set(err, SK_ESYS, "start of \"%s\": %s", options->file, uv_strerror(rc));
  sk_child_free(c);
  return NULL;
}

int sk_child_pid(const struct sk_child *c) { return c->uv.pid; }

void sk_child_kill(struct sk_child *c, int signum) {
  if (!c->over) uv_process_kill(&c->uv, signum);
}

void sk_child_kill_group(const struct sk_child *c) {
  if (c->uv.pid > 0) kill(-c->uv.pid, SIGKILL);
}

void sk_child_free(struct sk_child *c) {
  if (c == NULL) return;
  sk_loop_count_handle(c->loop, -1);
  uv_close((uv_handle_t *)&c->uv, on_closed);
}
