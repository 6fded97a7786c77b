/* redis/host.c - tells whether the process of an engine is gone.  An engine describes its process to the store as
 * "boot-id pid-namespace pid start-time".  An engine of the same machine, boot and namespace sees at once when that
 * process is gone; all others wait for its lease to end.  A process that cannot be seen (hidepid on /proc, systemd's
 * ProtectProc) is not dead: only the kernel's "no such process" is a definite answer. */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <unistd.h>

#include "store/redis/redis.h"

/* A small file's first line; empty when it can't be read. */
static void read_line(const char *path, char *out, size_t n) {
  FILE *file = fopen(path, "re");
  out[0] = '\0';
  if (file == NULL) return;
  if (fgets(out, (int)n, file) == NULL) out[0] = '\0';
  out[strcspn(out, "\n")] = '\0';
  fclose(file);
}

/* "boot-id pid-namespace"; false when the machine doesn't say. */
static bool describe_here(char *out, size_t n) {
  char boot[64], space[64];
  read_line("/proc/sys/kernel/random/boot_id", boot, sizeof boot);
  ssize_t got = readlink("/proc/self/ns/pid", space, sizeof space - 1);
  if (got <= 0 || boot[0] == '\0') return false;
  space[got] = '\0';
  snprintf(out, n, "%s %s", boot, space);
  return true;
}

/* Returns when process pid started, in the kernel's ticks; 0: the process cannot be seen.  *ended: the process has
 * ended, and its parent has not waited for it yet. */
static unsigned long long start_of(long pid, bool *ended) {
  char path[64], stat[1024], state = 0;
  unsigned long long start;
  snprintf(path, sizeof path, "/proc/%ld/stat", pid);
  read_line(path, stat, sizeof stat);
  *ended = false;
  const char *at = strrchr(stat, ')');
  if (at == NULL) return 0;
  int got = sscanf(at + 1, " %c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %*u %*u %*d %*d %*d %*d %*d %*d %llu", &state,
                   &start);
  *ended = state == 'Z' || state == 'X';
  return got == 2 ? start : 0;
}

void sk_rd_describe_self(char *out, size_t n) {
  char here[160];
  if (!describe_here(here, sizeof here)) snprintf(here, sizeof here, "- -");
  bool ended;
  snprintf(out, n, "%s %ld %llu", here, (long)getpid(), start_of((long)getpid(), &ended));
}

bool sk_rd_is_dead(struct sk_str said) {
  char here[160], text[256];
  long pid;
  unsigned long long start;
  if (said.n >= sizeof text || !describe_here(here, sizeof here) || !sk_str_starts(said, here)) return false;
  memcpy(text, said.p, said.n);
  text[said.n] = '\0';
  if (sscanf(text + strlen(here), " %ld %llu", &pid, &start) != 2 || pid <= 0 || start == 0) return false;
  bool ended;
  unsigned long long now = start_of(pid, &ended);
  if (now != 0) return ended || now != start;
  return kill((pid_t)pid, 0) != 0 && errno == ESRCH;
}
