/* child.h - child processes. No function here blocks; a child is reaped before `exited` is called. */
#ifndef SK_IO_CHILD_H
#define SK_IO_CHILD_H

#include <stddef.h>

#include "base/err.h"

struct sk_loop;
struct sk_child;

struct sk_child_options {
  const char *file;  /* path of the program */
  char *const *argv; /* ends with NULL */
  const int *fds;    /* the child gets them as 3, 4, ...; borrowed */
  size_t fds_n;
  int out_fd, err_fd; /* the child's stdout and stderr; 0: those of this process; borrowed */
  const char *mark;   /* NAME=VALUE, added to the environment that the child inherits; NULL: nothing */
  /* The child has ended, with exit_status, or by term_signal when that is not 0. Called once. */
  void (*exited)(void *ctx, int exit_status, int term_signal);
  void *ctx;
};

/* Starts the child with stdin from /dev/null and the given stdout and stderr. The child leads a session, and so a
 * process group, of its own: no signal of the terminal reaches it or its programs, and none of them can read from the
 * terminal or be stopped by it. */
struct sk_child *sk_child_spawn(struct sk_loop *loop, const struct sk_child_options *options, struct sk_err *err);
int sk_child_pid(const struct sk_child *c);
/* Sends a signal; does nothing when the child has ended. */
void sk_child_kill(struct sk_child *c, int signum);
/* Kills the child's process group, and its remains after the child has ended. Must be called before another process can
 * get the child's pid: at the latest when `exited` returns. */
void sk_child_kill_group(const struct sk_child *c);
/* Frees the child, after `exited`. It may be called earlier when nobody can wait for the child any more; this process
 * then does not reap it. */
void sk_child_free(struct sk_child *c);

#endif
