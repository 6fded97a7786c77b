/* redis_server.c - the redis-server that the contract runs against: one for the whole program, its own, on a unix
 * socket in a folder of its own, emptied before each test. */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "contract.h"

static struct {
  pid_t pid;
  char dir[64], path[96];
} server;

static void stop_server(void) {
  if (server.pid <= 0) return;
  kill(server.pid, SIGKILL);
  waitpid(server.pid, NULL, 0);
  unlink(server.path);
  rmdir(server.dir);
}

static void die(const char *what) {
  fprintf(stderr, "redis-server: %s: %s\n", what, strerror(errno));
  exit(1);
}

/* A connection, or -1 while the server is not there yet. */
static int dial(void) {
  struct sockaddr_un address = { .sun_family = AF_UNIX };
  memcpy(address.sun_path, server.path, strlen(server.path) + 1);
  int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (fd >= 0 && connect(fd, (const struct sockaddr *)&address, sizeof address) == 0) return fd;
  if (fd >= 0) close(fd);
  return -1;
}

static void start_server(void) {
  pid_t parent = getpid();
  strcpy(server.dir, "/tmp/skein-redis-XXXXXX");
  if (mkdtemp(server.dir) == NULL) die("no folder");
  snprintf(server.path, sizeof server.path, "%s/redis.sock", server.dir);
  server.pid = fork();
  if (server.pid < 0) die("fork");
  if (server.pid == 0) {
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (getppid() != parent) _exit(1);
    if (freopen("/dev/null", "w", stdout) == NULL) _exit(1);
    execlp("redis-server", "redis-server", "--port", "0", "--unixsocket", server.path, "--save", "", "--dir",
           server.dir, "--daemonize", "no", (char *)NULL);
    _exit(127);
  }
  atexit(stop_server);
}

/* Sends one inline command and reads until `ends` has come. */
static int ask(const char *command, const char *ends) {
  int fd = dial();
  if (fd < 0) return -1;
  char answer[256];
  size_t n = 0;
  ssize_t got = send(fd, command, strlen(command), MSG_NOSIGNAL);
  while (got > 0 && n < sizeof answer - 1) {
    got = recv(fd, answer + n, sizeof answer - 1 - n, 0);
    if (got > 0) n += (size_t)got;
    answer[n] = '\0';
    if (strstr(answer, ends)) break;
  }
  close(fd);
  return strstr(answer, ends) ? 0 : -1;
}

const char *empty_redis_server(void) {
  if (server.pid <= 0) start_server();
  for (int i = 0; ask("FLUSHALL\r\n", "+OK\r\n") != 0; i++) {
    int status;
    if (i == 1000 || waitpid(server.pid, &status, WNOHANG) == server.pid) die("it does not answer");
    usleep(10000); /* until it listens */
  }
  return server.path;
}
