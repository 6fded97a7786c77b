/* sweep.c - see sweep.h. Looks through /proc until a look finds no process: a process that was forked during one look
 * is found by the next. */
#include "io/sweep.h"

#include <dirent.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/buf.h"

enum {
  LOOKS_MAX = 300,
  PAUSE_MS_MAX = 10,                       /* between two looks */
  ENVIRONMENT_BYTES_MAX = 4 * 1024 * 1024, /* environment of a process; the rest is ignored */
};

struct process {
  pid_t pid, parent;
  bool hit;
};

struct processes {
  struct process *list; /* owned; ascending by pid */
  size_t n, cap;
};

/* Reads /proc/PID/name; empty when it cannot be read. */
static void read_file(pid_t pid, const char *name, struct sk_buf *out) {
  char path[64], chunk[16 * 1024];
  sk_buf_clear(out);
  snprintf(path, sizeof path, "/proc/%d/%s", (int)pid, name);
  int fd = open(path, O_RDONLY | O_CLOEXEC);
  if (fd < 0) return;
  ssize_t n;
  while (out->n < ENVIRONMENT_BYTES_MAX && (n = read(fd, chunk, sizeof chunk)) > 0) sk_buf_add(out, chunk, (size_t)n);
  close(fd);
}

/* Reads "pid (name) state ppid ...", where the name may have any byte. False for a process that has ended. */
static bool read_parent(struct sk_str stat, pid_t *parent) {
  const char *end = stat.n ? memrchr(stat.p, ')', stat.n) : NULL;
  char state = 0;
  int ppid = 0;
  char text[64];
  if (end == NULL) return false;
  snprintf(text, sizeof text, "%.*s", (int)(stat.p + stat.n - end - 1), end + 1);
  if (sscanf(text, " %c %d", &state, &ppid) != 2 || state == 'Z' || state == 'X') return false;
  *parent = ppid;
  return true;
}

static bool has_mark(struct sk_str environment, const char *mark, bool whole) {
  size_t n = strlen(mark);
  for (const char *at = environment.p, *end = environment.p + environment.n; at && at < end;) {
    const char *zero = memchr(at, '\0', (size_t)(end - at));
    size_t length = (size_t)((zero ? zero : end) - at);
    if (whole ? length == n : length >= n)
      if (memcmp(at, mark, n) == 0) return true;
    at = zero ? zero + 1 : end;
  }
  return false;
}

static bool add(struct processes *all, struct process p) {
  if (all->n == all->cap) {
    size_t cap = all->cap ? all->cap * 2 : 512;
    struct process *grown = realloc(all->list, cap * sizeof *grown);
    if (grown == NULL) return false;
    all->list = grown;
    all->cap = cap;
  }
  all->list[all->n++] = p;
  return true;
}

static int by_pid(const void *a, const void *b) {
  pid_t x = ((const struct process *)a)->pid, y = ((const struct process *)b)->pid;
  return (x > y) - (x < y);
}

/* Lists all processes and marks as hit those with the mark; with mark NULL none. */
static void list_processes(struct processes *all, const char *mark, bool whole) {
  struct sk_buf text = { 0 };
  DIR *dir = opendir("/proc");
  all->n = 0;
  for (const struct dirent *e; dir && (e = readdir(dir)) != NULL;) {
    struct process p = { .pid = atoi(e->d_name) };
    if (p.pid <= 1 || p.pid == getpid()) continue;
    read_file(p.pid, "stat", &text);
    if (!read_parent(sk_buf_str(&text), &p.parent)) continue;
    if (mark) read_file(p.pid, "environ", &text);
    p.hit = mark && has_mark(sk_buf_str(&text), mark, whole);
    if (text.failed || !add(all, p)) break;
  }
  if (dir) closedir(dir);
  sk_buf_fini(&text);
  if (all->n > 0) qsort(all->list, all->n, sizeof *all->list, by_pid);
}

/* Marks the descendants of hits as hits. */
static void hit_descendants(struct processes *all) {
  for (bool more = true; more;) {
    more = false;
    for (size_t i = 0; i < all->n; i++) {
      struct process *p = &all->list[i], key = { .pid = p->parent };
      if (p->hit) continue;
      const struct process *parent = bsearch(&key, all->list, all->n, sizeof key, by_pid);
      p->hit = parent && parent->hit;
      more |= p->hit;
    }
  }
}

void sk_sweep_child(int pid) {
  struct processes all = { 0 };
  list_processes(&all, NULL, false);
  for (size_t i = 0; i < all.n; i++) all.list[i].hit = all.list[i].pid == pid && all.list[i].parent == getpid();
  hit_descendants(&all);
  for (size_t i = 0; i < all.n; i++)
    if (all.list[i].hit) kill(all.list[i].pid, SIGKILL);
  free(all.list);
}

void sk_sweep(const char *mark, bool whole) {
  struct processes all = { 0 };
  for (int look = 0; look < LOOKS_MAX; look++) {
    list_processes(&all, mark, whole);
    hit_descendants(&all);
    size_t hits = 0;
    for (size_t i = 0; i < all.n; i++) {
      if (!all.list[i].hit) continue;
      hits++;
      kill(all.list[i].pid, SIGKILL);
    }
    if (hits == 0) break;
    long ms = look < PAUSE_MS_MAX ? look + 1 : PAUSE_MS_MAX;
    nanosleep(&(struct timespec){ .tv_nsec = ms * 1000000L }, NULL);
  }
  free(all.list);
}
