/* fds.c - see fds.h. */
#include "base/fds.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <unistd.h>

enum { FIRST = 3, WITHOUT_PROC = 1024 };

static void mark(int fd) {
  int flags = fcntl(fd, F_GETFD);
  if (flags >= 0 && !(flags & FD_CLOEXEC)) fcntl(fd, F_SETFD, flags | FD_CLOEXEC);
}

/* For kernels without close_range. */
static void mark_each(void) {
  DIR *dir = opendir("/proc/self/fd");
  if (dir == NULL) {
    for (int fd = FIRST; fd < WITHOUT_PROC; fd++) mark(fd);
    return;
  }
  for (const struct dirent *e; (e = readdir(dir)) != NULL;) {
    int fd = atoi(e->d_name);
    if (fd >= FIRST) mark(fd);
  }
  closedir(dir);
}

void sk_fds_close_on_exec(void) {
  static const unsigned cloexec = 1u << 2; /* CLOSE_RANGE_CLOEXEC: Linux 5.11 */
  if (syscall(SYS_close_range, (unsigned)FIRST, ~0u, cloexec) != 0) mark_each();
}

void sk_fds_keep_standard(void) {
  for (int fd = 0; fd < FIRST; fd++) {
    if (fcntl(fd, F_GETFD) >= 0 || errno != EBADF) continue;
    if (open("/dev/null", O_RDWR) < 0) return; /* open() takes the lowest free number: fd */
  }
}
