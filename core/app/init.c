/* init.c - see init.h. The engine itself cannot reap processes that it did not start: its loop waits for the children
 * that it knows, one by one. */
#include "app/init.h"

#include <signal.h>
#include <stdbool.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "app/exits.h"
#include "app/out.h"

enum { SIGNALLED = 128 }; /* the exit code of a process that a signal ended is this plus the signal, as in shells */

static bool must_reap(void) {
  int subreaper = 0;
  return getpid() == 1 || (prctl(PR_GET_CHILD_SUBREAPER, &subreaper) == 0 && subreaper != 0);
}

static void fill(sigset_t *set) {
  static const int signals[] = { SIGTERM, SIGINT, SIGQUIT, SIGTSTP, SIGCONT, SIGHUP, SIGTTIN, SIGUSR1, SIGCHLD };
  sigemptyset(set);
  for (size_t i = 0; i < sizeof signals / sizeof *signals; i++) sigaddset(set, signals[i]);
}

/* Reaps all children that have ended; true with *exit_code when the engine is among them. */
static bool reap(pid_t engine, int *exit_code) {
  bool ended = false;
  int status;
  for (pid_t pid; (pid = waitpid(-1, &status, WNOHANG)) > 0;) {
    if (pid != engine) continue;
    ended = true;
    *exit_code = WIFSIGNALED(status) ? SIGNALLED + WTERMSIG(status) : WEXITSTATUS(status);
  }
  return ended;
}

static int watch(pid_t engine, const sigset_t *set) {
  int exit_code = SK_EXIT_INTERNAL;
  while (!reap(engine, &exit_code)) {
    siginfo_t info;
    int signum = sigwaitinfo(set, &info);
    if (signum <= 0 || signum == SIGCHLD) continue;
    if (info.si_code != SI_KERNEL) kill(engine, signum); /* a terminal signals the engine, too */
  }
  return exit_code;
}

int sk_init_run(void) {
  if (!must_reap()) return -1;
  sigset_t set, before;
  fill(&set);
  sigprocmask(SIG_BLOCK, &set, &before);
  pid_t self = getpid(), engine = fork();
  if (engine > 0) return watch(engine, &set);
  sigprocmask(SIG_SETMASK, &before, NULL);
  if (engine < 0) {
    sk_out_error("run", "no process for the engine can be started under this init: orphans of jobs will stay zombies");
    return -1;
  }
  prctl(PR_SET_PDEATHSIG, SIGKILL);
  if (getppid() != self) _exit(SK_EXIT_INTERNAL);
  return -1;
}
