/* child.c - see child.h. */
#include "io/child.h"

#include <assert.h>
#include <stdbool.h>
#include <stdlib.h>
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
  uv_process_options_t uv_options = {
    .exit_cb = on_exit_uv,
    .file = options->file,
    .args = (char **)(uintptr_t)options->argv, /* libuv's type lacks const; it does not write there */
    .stdio = stdio,
    .stdio_count = (int)(3 + options->fds_n),
  };
  sk_loop_count_handle(loop, 1);
  int rc = uv_spawn(sk_loop_uv(loop), &c->uv, &uv_options);
  if (rc == 0) return c;
  sk_err_set(err, SK_ESYS, "start of \"%s\": %s", options->file, uv_strerror(rc));
  sk_child_free(c);
  return NULL;
}

int sk_child_pid(const struct sk_child *c) { return c->uv.pid; }

void sk_child_kill(struct sk_child *c, int signum) {
  if (!c->over) uv_process_kill(&c->uv, signum);
}

void sk_child_free(struct sk_child *c) {
  if (c == NULL) return;
  sk_loop_count_handle(c->loop, -1);
  uv_close((uv_handle_t *)&c->uv, on_closed);
}
