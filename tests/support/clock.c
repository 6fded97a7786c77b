/* clock.c - a preloaded library that lets a program's wall clock be wrong by as much as a test says.
 *
 * SKEIN_TEST_CLOCK names a file of eight bytes: the offset in seconds, a 64-bit integer in the byte order of the
 * machine.  The file is mapped, so a test that writes to it sets the clock at once.  The monotonic clock stays right.
 * libfaketime cannot be used for redis-server: its start-up and jemalloc's wait for each other. */
#include <fcntl.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

#define EXPORTED __attribute__((visibility("default")))

static const volatile int64_t *offset_s;

__attribute__((constructor)) static void map_offset(void) {
  const char *path = getenv("SKEIN_TEST_CLOCK");
  int fd = path ? open(path, O_RDONLY | O_CLOEXEC) : -1;
  if (fd < 0) return;
  void *bytes = mmap(NULL, sizeof *offset_s, PROT_READ, MAP_SHARED, fd, 0);
  close(fd);
  if (bytes != MAP_FAILED) offset_s = bytes;
}

EXPORTED int clock_gettime(clockid_t clock, struct timespec *t) {
  int status = (int)syscall(SYS_clock_gettime, clock, t);
  if (status == 0 && offset_s && (clock == CLOCK_REALTIME || clock == CLOCK_REALTIME_COARSE)) t->tv_sec += *offset_s;
  return status;
}

EXPORTED int gettimeofday(struct timeval *restrict t, void *restrict zone) {
  struct timespec now;
  (void)zone;
  clock_gettime(CLOCK_REALTIME, &now);
  *t = (struct timeval){ .tv_sec = now.tv_sec, .tv_usec = now.tv_nsec / 1000 };
  return 0;
}

EXPORTED time_t time(time_t *t) {
  struct timespec now;
  clock_gettime(CLOCK_REALTIME, &now);
  if (t) *t = now.tv_sec;
  return now.tv_sec;
}
