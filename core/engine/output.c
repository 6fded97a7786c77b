/* output.c - see output.h. */
#include "engine/output.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/limits.h"
#include "io/pipe.h"

struct sk_output {
  struct sk_output_options options;
  struct sk_pipe *pipe;
  char worker[16], pid[16];
};

static void log_line(const struct sk_output *o, struct sk_str line) {
  const struct sk_log_fact facts[] = {
    { .key = "worker", .value = sk_str_c(o->worker), .number = true },
    { .key = "pid", .value = sk_str_c(o->pid), .number = true },
  };
  if (line.n > 0) sk_log_line(o->options.log, o->options.level, line, facts, 2);
}

/* Logs whole lines, and cuts lines that are longer than the log allows. */
static size_t on_bytes(void *ctx, struct sk_str in) {
  const struct sk_output *o = ctx;
  size_t used = 0;
  while (used < in.n) {
    struct sk_str rest = sk_str(in.p + used, in.n - used);
    const char *end = memchr(rest.p, '\n', rest.n);
    size_t n = end ? (size_t)(end - rest.p) : rest.n;
    if (n > SK_LOG_LINE_BYTES_MAX) {
      log_line(o, sk_str_head(rest, SK_LOG_LINE_BYTES_MAX));
      used += SK_LOG_LINE_BYTES_MAX;
    } else if (end) {
      log_line(o, sk_str_head(rest, n));
      used += n + 1;
    } else {
      break;
    }
  }
  return used;
}

static void on_closed(void *ctx, const struct sk_err *err) { (void)ctx, (void)err; }

void sk_output_set_pid(struct sk_output *o, int pid) { snprintf(o->pid, sizeof o->pid, "%d", pid); }

struct sk_output *sk_output_new(struct sk_loop *loop, const struct sk_output_options *options, int *write_fd,
                                struct sk_err *err) {
  int fds[2];
  struct sk_output *o = calloc(1, sizeof *o);
  if (o == NULL || pipe2(fds, O_CLOEXEC) != 0) {
    sk_err_set(err, o ? SK_ESYS : SK_ENOMEM, "pipe: %s", o ? strerror(errno) : "out of memory");
    free(o);
    return NULL;
  }
  o->options = *options;
  sk_output_set_pid(o, 0);
  snprintf(o->worker, sizeof o->worker, "%u", options->worker);
  const struct sk_pipe_events events = { .bytes = on_bytes, .closed = on_closed, .ctx = o };
  o->pipe = sk_pipe_new(loop, fds[0], &events, err);
  if (o->pipe == NULL) {
    close(fds[1]);
    free(o);
    return NULL;
  }
  sk_pipe_unref(o->pipe); /* it keeps no loop running */
  *write_fd = fds[1];
  return o;
}

void sk_output_free(struct sk_output *o) {
  if (o == NULL) return;
  sk_pipe_drain(o->pipe);
  log_line(o, sk_pipe_rest(o->pipe));
  sk_pipe_free(o->pipe);
  free(o);
}
