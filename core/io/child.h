/* child.h - a child process.  Nothing here blocks; a child that has ended is reaped before `exited` comes. */
#ifndef SK_IO_CHILD_H
#define SK_IO_CHILD_H

#include <stddef.h>

#include "base/err.h"

struct sk_loop;
struct sk_child;

struct sk_child_options {
  const char *file;  /* path of the program */
  char *const *argv; /* NULL-terminated */
  const int *fds;    /* the child gets them as 3, 4, ...; they stay the caller's */
  size_t fds_n;
  int out_fd, err_fd; /* its stdout and stderr; 0: this process's; they stay the caller's */
  const char *mark;   /* NAME=VALUE that its environment is to have beside what this process's has; NULL: none */
  /* It has ended: by itself with exit_status, or by term_signal (not 0).  Called once. */
  void (*exited)(void *ctx, int exit_status, int term_signal);
  void *ctx;
};

/* Starts it with stdin from /dev/null and the given stdout and stderr, as the leader of a session, and so of a process group, of its
 * own: no signal of the terminal reaches it or what it starts, and none of them can read from the terminal, or be stopped by it. */
struct sk_child *sk_child_spawn(struct sk_loop *loop, const struct sk_child_options *options, struct sk_err *err);
int sk_child_pid(const struct sk_child *c);
/* Sends a signal; nothing happens when it has ended already. */
void sk_child_kill(struct sk_child *c, int signum);
/* Kills its process group, what is left of it also after it has ended.  Called before another process can have its pid: at the latest
 * when `exited` returns. */
void sk_child_kill_group(const struct sk_child *c);
/* After `exited`; or instead of it, when nobody can wait for its end any more (this process does not reap it then). */
void sk_child_free(struct sk_child *c);

#endif
