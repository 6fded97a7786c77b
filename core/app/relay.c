/* relay.c - see relay.h.
 *
 *   this process ◄── stdout ◄── the child and all that it starts
 *                ◄── stderr ◄──
 *                ◄── life   ◄── the child alone (close-on-exec): its end tells that the child has ended */
#include "app/relay.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "app/exits.h"
#include "app/out.h"
#include "base/buf.h"

enum {
  OUT,
  ERR,
  LIFE,
  PIPES_N,
  LINE_BYTES_MAX = 64 * 1024 /* a longer line is passed on in pieces */
};

struct pipes {
  int ends[PIPES_N][2]; /* the read end and the write end; -1: closed */
};

static void close_end(int *fd) {
  if (*fd >= 0) close(*fd);
  *fd = -1;
}

static void close_ends(struct pipes *p, int which) {
  for (int i = 0; i < PIPES_N; i++) close_end(&p->ends[i][which]);
}

static bool open_pipes(struct pipes *p) {
  memset(p->ends, -1, sizeof p->ends);
  for (int i = 0; i < PIPES_N; i++)
    if (pipe2(p->ends[i], O_CLOEXEC) != 0) return false;
  return true;
}

/* Runs in the child; does not return. */
static void run_child(struct pipes *p, pid_t parent, int (*fn)(void *ctx), void *ctx) {
  prctl(PR_SET_PDEATHSIG, SIGKILL);
  if (getppid() != parent) _exit(SK_EXIT_INTERNAL);
  dup2(p->ends[OUT][1], STDOUT_FILENO);
  dup2(p->ends[ERR][1], STDERR_FILENO);
  close_end(&p->ends[OUT][1]);
  close_end(&p->ends[ERR][1]);
  close_ends(p, 0);
  int exit_code = fn(ctx);
  fflush(NULL);
  _exit(exit_code);
}

/* Passes on whole lines, and with `all` the rest after the last one. */
static void pass_on(struct sk_buf *text, int fd, bool all) {
  const char *end = text->n ? memrchr(text->p, '\n', text->n) : NULL;
  size_t n = all || text->n > LINE_BYTES_MAX ? text->n : end ? (size_t)(end - text->p) + 1 : 0;
  sk_out_clean(fd, sk_str_head(sk_buf_str(text), n));
  sk_buf_consume(text, n);
}

/* Reads available bytes; false at the end of the pipe. */
static bool read_some(int fd, struct sk_buf *text) {
  char chunk[4096];
  ssize_t n = read(fd, chunk, sizeof chunk);
  if (n > 0) sk_buf_add(text, chunk, (size_t)n);
  return n > 0 || (n < 0 && errno == EINTR);
}

/* Passes on output until both streams have ended, or the child has ended and no byte is left to read. */
static void relay(struct pipes *p) {
  struct sk_buf texts[] = { [OUT] = { 0 }, [ERR] = { 0 } };
  static const int to[] = { [OUT] = STDOUT_FILENO, [ERR] = STDERR_FILENO };
  bool over = false;
  while (p->ends[OUT][0] >= 0 || p->ends[ERR][0] >= 0) {
    struct pollfd fds[PIPES_N];
    for (int i = 0; i < PIPES_N; i++) fds[i] = (struct pollfd){ .fd = p->ends[i][0], .events = POLLIN };
    int ready = poll(fds, PIPES_N, over ? 0 : -1);
    if (ready < 0 && errno == EINTR) continue;
    if (ready <= 0) break;
    if (fds[LIFE].revents) {
      over = true;
      close_end(&p->ends[LIFE][0]);
    }
    for (int i = OUT; i <= ERR; i++) {
      if (fds[i].revents && !read_some(fds[i].fd, &texts[i])) close_end(&p->ends[i][0]);
      pass_on(&texts[i], to[i], false);
    }
  }
  for (int i = OUT; i <= ERR; i++) {
    pass_on(&texts[i], to[i], true);
    sk_buf_fini(&texts[i]);
  }
}

static int exit_of(const char *verb, pid_t pid) {
  int status = 0;
  while (waitpid(pid, &status, 0) < 0 && errno == EINTR) continue;
  if (WIFEXITED(status)) return WEXITSTATUS(status);
  sk_out_error(verb, "signal %d (%s) ended the process that loads the scripts", WTERMSIG(status),
               strsignal(WTERMSIG(status)));
  return SK_EXIT_FAILED;
}

int sk_relay_run(const char *verb, int (*fn)(void *ctx), void *ctx) {
  struct pipes pipes;
  pid_t self = getpid(), pid = -1;
  if (open_pipes(&pipes)) pid = fork();
  if (pid == 0) run_child(&pipes, self, fn, ctx);
  int error = errno;
  close_ends(&pipes, 1);
  if (pid > 0) relay(&pipes);
  close_ends(&pipes, 0);
  if (pid > 0) return exit_of(verb, pid);
  sk_out_error(verb, "no process can be started: %s", strerror(error));
  return SK_EXIT_INTERNAL;
}
