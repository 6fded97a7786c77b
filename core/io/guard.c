/* guard.c - the engine's side of the guard, and the guard's main function; see guard.h. sweep.c kills the processes. */
#include "io/guard.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/fds.h"
#include "base/id.h"
#include "io/sweep.h"

enum { GUARD_FD = 3, STOP_MS_MAX = 1000 };

struct sk_guard {
  const char *program; /* borrowed */
  int fd;
  char token[20];
};

/* -- the engine's side --------------------------------------------------------------------------------------------- */

/* Runs in a child of the engine: starts the guard as a grandchild, or ends. Uses only calls that are safe between fork
 * and exec. */
static void become(const char *program, const char *token, int fd) {
  char *argv[] = { "skein", "worker", "guard", (char *)(uintptr_t)token, NULL };
  char *none[] = { NULL };
  setsid();
  pid_t pid = fork(); /* a grandchild need not be reaped by the engine */
  if (pid != 0) _exit(pid < 0);
  int null = open("/dev/null", O_RDWR | O_CLOEXEC);
  for (int i = 0; i <= STDERR_FILENO; i++) dup2(null, i);
  if (fd == GUARD_FD)
    fcntl(fd, F_SETFD, 0);
  else
    dup2(fd, GUARD_FD);
  if (chdir("/") == 0) execve(program, argv, none);
  _exit(127);
}

/* Starts the process; g->fd is this side of its socket. */
static enum sk_code start(struct sk_guard *g, struct sk_err *err) {
  int pair[2];
  if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) != 0)
    return sk_err_set(err, SK_ESYS, "guard: %s", strerror(errno));
  sk_fds_close_on_exec();
  sigset_t all, before;
  sigfillset(&all);
  pthread_sigmask(SIG_BLOCK, &all, &before); /* the child must not run handlers of the engine */
  pid_t pid = fork();
  if (pid == 0) become(g->program, g->token, pair[1]);
  int why = pid < 0 ? errno : 0, status = 0;
  while (pid > 0 && waitpid(pid, &status, 0) < 0 && errno == EINTR) continue;
  pthread_sigmask(SIG_SETMASK, &before, NULL);
  close(pair[1]);
  if (pid < 0 || status != 0) {
    close(pair[0]);
    return sk_err_set(err, SK_ESYS, "guard: fork: %s", strerror(why ? why : EAGAIN));
  }
  g->fd = pair[0];
  return SK_OK;
}

struct sk_guard *sk_guard_start(const char *program, struct sk_err *err) {
  struct sk_guard *g = calloc(1, sizeof *g);
  if (g == NULL) {
    sk_err_set(err, SK_ENOMEM, "guard: out of memory");
    return NULL;
  }
  g->program = program;
  snprintf(g->token, sizeof g->token, "%016" PRIx64, sk_id_random());
  if (start(g, err) == SK_OK) return g;
  free(g);
  return NULL;
}

bool sk_guard_is_gone(const struct sk_guard *g) {
  char byte;
  return recv(g->fd, &byte, 1, MSG_DONTWAIT) == 0; /* a guard sends nothing, so this is the end of its socket */
}

enum sk_code sk_guard_restart(struct sk_guard *g, struct sk_err *err) {
  int gone = g->fd;
  enum sk_code code = start(g, err);
  if (code == SK_OK) close(gone);
  return code;
}

void sk_guard_stop(struct sk_guard *g) {
  if (g == NULL) return;
  shutdown(g->fd, SHUT_WR);
  struct pollfd end = { .fd = g->fd, .events = POLLIN };
  while (poll(&end, 1, STOP_MS_MAX) < 0 && errno == EINTR) continue;
  close(g->fd);
  free(g);
}

void sk_guard_mark(const struct sk_guard *g, uint64_t worker, char out[SK_GUARD_MARK_BYTES]) {
  snprintf(out, SK_GUARD_MARK_BYTES, SK_SWEEP_MARK "=%s.%" PRIu64, g->token, worker);
}

void sk_guard_sweep(struct sk_guard *g, uint64_t worker) {
  if (send(g->fd, &worker, sizeof worker, MSG_DONTWAIT | MSG_NOSIGNAL) < 0) return;
}

/* -- the guard ----------------------------------------------------------------------------------------------------- */

int sk_guard_main(const char *token) {
  for (int i = 1; i < NSIG; i++)
    if (i != SIGCHLD)
      signal(i, SIG_IGN); /* the guard ends with the engine, and not with a terminal or by a user's signal */
  sigset_t none;
  sigemptyset(&none);
  sigprocmask(SIG_SETMASK, &none, NULL);
  char mark[SK_GUARD_MARK_BYTES];
  uint64_t worker;
  for (;;) {
    ssize_t n = recv(GUARD_FD, &worker, sizeof worker, 0);
    if (n < 0 && errno == EINTR) continue;
    if (n != (ssize_t)sizeof worker) break;
    snprintf(mark, sizeof mark, SK_SWEEP_MARK "=%.20s.%" PRIu64, token, worker);
    sk_sweep(mark, true);
  }
  snprintf(mark, sizeof mark, SK_SWEEP_MARK "=%.20s.", token);
  sk_sweep(mark, false);
  return 0;
}
