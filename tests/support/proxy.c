/* proxy.c - a network that tests and benches make slow, silent or broken: a TCP proxy on loopback.
 *
 *   proxy TARGET_PORT [DELAY_MS]
 *
 * It listens on a free port of 127.0.0.1, prints "listening PORT", and carries bytes to 127.0.0.1:TARGET_PORT and back.
 * Each byte arrives DELAY_MS later (each way, so a round trip grows by twice that; fractions count).  The delay does
 * not limit the rate: up to HELD_BYTES_MAX a direction are under way.  Each line on stdin is a command.  The answer
 * "ok COMMAND" comes once the command holds:
 *
 *   delay MS   the delay from now on; bytes under way keep their time
 *   pass       carries everything, as at the start
 *   pause      nothing is read and nothing is delivered, but nothing is lost: `pass` goes on where it stopped
 *   swallow    bytes under way and bytes that come are lost, and no end is told: a peer that hangs without closing.
 *   New
 *              connections are accepted and are as mute.  A connection of this mode stays mute after `pass` too, until
 *              one of its ends closes it
 *   close      resets all connections, once; new ones are carried
 *   refuse     resets all connections; nothing listens until `pass`
 *   target N   new connections go to port N
 *   upload N   the client's end is read at N bytes a second, as over a thin line; 0: without a limit
 *   lose TEXT  once the target sends TEXT, those bytes are lost and all connections are reset, once
 *   redis62    errors of Redis scripts get the words of Redis 6.2 (as_redis_62)
 *   stats      "ok stats CONNECTIONS ACCEPTED TO_TARGET_BYTES FROM_TARGET_BYTES LOST"; LOST counts what `lose` did
 *
 * It ends with its stdin, so it never outlives who started it.
 *
 *   client <--> struct side [0] --- chunks, by due time ---> struct side [1] <--> target
 *
 * A side owns its handle and the chunks that wait to be written to it.  One timerfd serves them all: libuv's timers
 * know only whole milliseconds. */
#include <errno.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/timerfd.h>
#include <time.h>
#include <unistd.h>
#include <uv.h>

enum {
  READ_BYTES = 64 * 1024,
  HELD_BYTES_MAX = 16 * 1024 * 1024,
  THIN_BYTES_MAX = 64 * 1024, /* held for a thin line: the sender feels it */
  COMMAND_BYTES_MAX = 256,
  DELAY_MS_MAX = 60000,
  BACKLOG = 128
};

enum mode { PASS, PAUSE, SWALLOW, REFUSE };

struct chunk {
  struct chunk *next;
  int64_t due_us;
  size_t n; /* 0: the end of the stream */
  uv_write_t write;
  char bytes[];
};

struct side {
  uv_tcp_t tcp;
  struct link *link;
  struct chunk *first, *last; /* owned; to be written to tcp, first due first */
  size_t held_bytes;          /* in chunks and in writes under way */
  bool reading, wants_reading;
};

struct link {
  struct link *next, **at;
  struct proxy *proxy;
  struct side side[2]; /* the client's, the target's */
  uv_connect_t connect;
  bool mute, connected, closing;
  int64_t thin_until_us; /* when a thin line has carried what was read so far */
  int open_handles;
};

struct proxy {
  uv_loop_t loop;
  uv_tcp_t *listener; /* owned; NULL while nobody listens */
  uv_pipe_t commands;
  uv_poll_t due;
  int due_fd, port;
  struct sockaddr_in target;
  enum mode mode;
  int64_t delay_us;
  struct link *links;
  long open_links, accepted;
  uint64_t to_target_bytes, from_target_bytes;
  double upload_bytes_s; /* 0: no limit */
  char lose[COMMAND_BYTES_MAX];
  long lost;
  bool redis62;
  char command[COMMAND_BYTES_MAX], scratch[READ_BYTES];
  size_t command_n;
};

static void die(const char *what, const char *why) {
  fprintf(stderr, "proxy: %s: %s\n", what, why);
  exit(1);
}

static void check(int status, const char *what) {
  if (status < 0) die(what, uv_strerror(status));
}

static int64_t now_us(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return (int64_t)t.tv_sec * 1000000 + t.tv_nsec / 1000;
}

/* -- links --------------------------------------------------------------------------------------------------------- */

static void drop_chunks(struct side *s) {
  for (struct chunk *c = s->first; c;) {
    struct chunk *next = c->next;
    s->held_bytes -= c->n;
    free(c);
    c = next;
  }
  s->first = s->last = NULL;
}

static void on_side_closed(uv_handle_t *h) {
  struct link *l = ((struct side *)h->data)->link;
  if (--l->open_handles > 0) return;
  l->proxy->open_links--;
  *l->at = l->next;
  if (l->next) l->next->at = l->at;
  free(l);
}

/* reset: both ends see ECONNRESET; else a plain end. */
static void close_link(struct link *l, bool reset) {
  if (l->closing) return;
  l->closing = true;
  for (int i = 0; i < 2; i++) {
    drop_chunks(&l->side[i]);
    uv_handle_t *h = (uv_handle_t *)&l->side[i].tcp;
    if (!reset || uv_tcp_close_reset(&l->side[i].tcp, on_side_closed) != 0) uv_close(h, on_side_closed);
  }
}

static void close_all(struct proxy *p) {
  struct link *next;
  for (struct link *l = p->links; l; l = next) {
    next = l->next;
    close_link(l, true);
  }
}

/* One of its ends has said so. */
static bool ended(const struct link *l) {
  return l->connected && !(l->side[0].wants_reading && l->side[1].wants_reading);
}

/* -- reading ------------------------------------------------------------------------------------------------------- */

static void on_read(uv_stream_t *stream, ssize_t n, const uv_buf_t *buf);

static void alloc_scratch(uv_handle_t *h, size_t hint, uv_buf_t *buf) {
  (void)hint;
  struct proxy *p = ((struct side *)h->data)->link->proxy;
  *buf = uv_buf_init(p->scratch, sizeof p->scratch);
}

static struct side *other(struct side *s) { return s == &s->link->side[0] ? &s->link->side[1] : &s->link->side[0]; }

/* Reads where something may come and there is room for it. */
static void update_reading(struct side *s) {
  struct link *l = s->link;
  if (l->closing) return;
  bool thin = l->proxy->upload_bytes_s > 0 && s == &l->side[0];
  size_t held_max = thin ? THIN_BYTES_MAX : HELD_BYTES_MAX;
  bool should = s->wants_reading && l->proxy->mode != PAUSE && (l->mute || other(s)->held_bytes < held_max);
  if (should == s->reading) return;
  s->reading = should;
  if (should) {
    uv_read_start((uv_stream_t *)&s->tcp, alloc_scratch, on_read);
  } else {
    uv_read_stop((uv_stream_t *)&s->tcp);
  }
}

/* -- delivering ---------------------------------------------------------------------------------------------------- */

static void on_written(uv_write_t *req, int status) {
  struct chunk *c = req->data;
  struct side *s = req->handle->data;
  s->held_bytes -= c->n;
  free(c);
  if (s->link->closing) return;
  if (status < 0) {
    close_link(s->link, true);
    return;
  }
  update_reading(other(s));
}

static void on_shutdown(uv_shutdown_t *req, int status) {
  (void)status;
  struct side *s = req->handle->data;
  free(req);
  /* Both directions have ended: so has the link. */
  if (!s->wants_reading && !other(s)->wants_reading && s->first == NULL && other(s)->first == NULL)
    close_link(s->link, false);
}

static void deliver(struct side *s, struct chunk *c) {
  if (c->n > 0) {
    c->write.data = c;
    const uv_buf_t buf = uv_buf_init(c->bytes, (unsigned)c->n);
    if (uv_write(&c->write, (uv_stream_t *)&s->tcp, &buf, 1, on_written) == 0) return;
  }
  s->held_bytes -= c->n;
  bool broken = c->n > 0;
  free(c);
  uv_shutdown_t *req = broken ? NULL : malloc(sizeof *req);
  if (req == NULL || uv_shutdown(req, (uv_stream_t *)&s->tcp, on_shutdown) != 0) {
    free(req);
    close_link(s->link, true);
  }
}

/* Writes what is due to one side; returns when the next is due, 0 for never. */
static int64_t deliver_due(struct side *s, int64_t now) {
  while (s->first && s->first->due_us <= now && !s->link->closing) {
    struct chunk *c = s->first;
    s->first = c->next;
    if (s->first == NULL) s->last = NULL;
    deliver(s, c);
  }
  return s->first ? s->first->due_us : 0;
}

static void set_due(struct proxy *p, int64_t due_us) {
  const struct itimerspec at = { .it_value = { .tv_sec = due_us / 1000000, .tv_nsec = due_us % 1000000 * 1000 } };
  if (timerfd_settime(p->due_fd, TFD_TIMER_ABSTIME, &at, NULL) < 0) die("timerfd_settime", strerror(errno));
}

static void deliver_all(struct proxy *p) {
  if (p->mode == PAUSE) return;
  const int64_t now = now_us();
  int64_t next_us = 0;
  struct link *next;
  for (struct link *l = p->links; l; l = next) {
    next = l->next;
    for (int i = 0; i < 2; i++) {
      int64_t due_us = l->closing ? 0 : deliver_due(&l->side[i], now);
      if (due_us && (next_us == 0 || due_us < next_us)) next_us = due_us;
    }
  }
  set_due(p, next_us);
}

static void on_due(uv_poll_t *poll, int status, int events) {
  (void)events;
  struct proxy *p = poll->data;
  uint64_t times;
  check(status, "timerfd");
  if (read(p->due_fd, &times, sizeof times) < 0 && errno != EAGAIN) die("timerfd", strerror(errno));
  deliver_all(p);
}

/* Queues n bytes (0: the end) for a side. */
static void carry(struct side *to, const char *bytes, size_t n) {
  struct proxy *p = to->link->proxy;
  struct chunk *c = malloc(sizeof *c + n);
  if (c == NULL) die("carry", "out of memory");
  *c = (struct chunk){ .due_us = now_us() + p->delay_us, .n = n };
  memcpy(c->bytes, bytes, n);
  if (p->upload_bytes_s > 0 && to == &to->link->side[1]) {
    struct link *l = to->link;
    if (l->thin_until_us > c->due_us) c->due_us = l->thin_until_us;
    l->thin_until_us = c->due_us + (int64_t)((double)n * 1e6 / p->upload_bytes_s);
  }
  /* In order, also when the delay has just become shorter. */
  if (to->last && c->due_us < to->last->due_us) c->due_us = to->last->due_us;
  if (to->last)
    to->last->next = c;
  else
    to->first = c;
  to->last = c;
  to->held_bytes += n;
}

/* Copies bytes of Redis 7 to out, with the errors of scripts in the words of Redis 6.2:
 * "-READONLY Text. script: SHA1, on @user_script:12.\r\n" becomes "-ERR Error running script (call to f_SHA1):
 * @user_script:12: @user_script: 12: -READONLY Text. \r\n".  out has room for twice n bytes and a line.  Returns how
 * many. */
static size_t as_redis_62(const char *in, size_t n, char *out) {
  static const char mark[] = " script: ", behind[] = ", on @user_script:";
  size_t used = 0;
  for (const char *end = in + n, *stop; in < end; in = stop) {
    const char *newline = memchr(in, '\n', (size_t)(end - in));
    stop = newline ? newline + 1 : end;
    const char *at = *in == '-' ? memmem(in, (size_t)(stop - in), mark, sizeof mark - 1) : NULL;
    const char *on = at ? memmem(at, (size_t)(stop - at), behind, sizeof behind - 1) : NULL;
    if (on == NULL) {
      memcpy(out + used, in, (size_t)(stop - in));
      used += (size_t)(stop - in);
      continue;
    }
    const char *sha = at + sizeof mark - 1, *text = in;
    if (strncmp(in, "-ERR ", 5) == 0) text = in + 5;
    int line = atoi(on + sizeof behind - 1);
    used += (size_t)sprintf(out + used,
                            "-ERR Error running script (call to f_%.*s): @user_script:%d: @user_script: %d: %.*s \r\n",
                            (int)(on - sha), sha, line, line, (int)(at - text), text);
  }
  return used;
}

/* Passes on what the target sent, or loses it as `lose` says: false then. */
static bool carry_from_target(struct side *to, const char *bytes, size_t n) {
  struct proxy *p = to->link->proxy;
  char words[2 * READ_BYTES + 512];
  if (p->lose[0] != '\0' && memmem(bytes, n, p->lose, strlen(p->lose))) {
    p->lose[0] = '\0';
    p->lost++;
    close_all(p);
    return false;
  }
  if (p->redis62 && n > 0) {
    n = as_redis_62(bytes, n, words);
    bytes = words;
  }
  carry(to, bytes, n);
  return true;
}

static void on_read(uv_stream_t *stream, ssize_t n, const uv_buf_t *buf) {
  struct side *from = stream->data;
  struct link *l = from->link;
  struct proxy *p = l->proxy;
  struct side *to = other(from);
  if (n == 0) return;
  if (n < 0) from->wants_reading = from->reading = false;
  if (l->mute) {
    if (ended(l) && (p->mode != SWALLOW || !to->wants_reading)) close_link(l, true);
    return;
  }
  if (n < 0 && n != UV_EOF) {
    close_link(l, true);
    return;
  }
  if (n > 0) *(from == &l->side[0] ? &p->to_target_bytes : &p->from_target_bytes) += (uint64_t)n;
  size_t got = n > 0 ? (size_t)n : 0;
  if (from == &l->side[0]) {
    carry(to, buf->base, got);
  } else if (!carry_from_target(to, buf->base, got)) {
    return;
  }
  update_reading(from);
  deliver_all(p);
}

/* -- accepting ----------------------------------------------------------------------------------------------------- */

static void on_connected(uv_connect_t *req, int status) {
  struct link *l = req->data;
  if (l->closing) return;
  if (status < 0) {
    close_link(l, true);
    return;
  }
  l->connected = true;
  for (int i = 0; i < 2; i++) l->side[i].wants_reading = true;
  for (int i = 0; i < 2; i++) update_reading(&l->side[i]);
}

static void on_connection(uv_stream_t *listener, int status) {
  struct proxy *p = listener->data;
  if (status < 0) return;
  struct link *l = calloc(1, sizeof *l);
  if (l == NULL) die("accept", "out of memory");
  *l = (struct link){ .proxy = p, .next = p->links, .at = &p->links, .mute = p->mode == SWALLOW, .open_handles = 2 };
  if (l->next) l->next->at = &l->next;
  p->links = l;
  p->open_links++;
  p->accepted++;
  for (int i = 0; i < 2; i++) {
    l->side[i].link = l;
    check(uv_tcp_init(&p->loop, &l->side[i].tcp), "uv_tcp_init");
    l->side[i].tcp.data = &l->side[i];
  }
  l->connect.data = l;
  if (uv_accept(listener, (uv_stream_t *)&l->side[0].tcp) < 0 ||
      uv_tcp_connect(&l->connect, &l->side[1].tcp, (const struct sockaddr *)&p->target, on_connected) < 0) {
    close_link(l, true);
    return;
  }
  for (int i = 0; i < 2; i++) uv_tcp_nodelay(&l->side[i].tcp, 1);
}

/* Listens on the port it had before, on a free one the first time. */
static void listen_again(struct proxy *p) {
  struct sockaddr_in at;
  uv_ip4_addr("127.0.0.1", p->port, &at);
  p->listener = malloc(sizeof *p->listener);
  if (p->listener == NULL) die("listen", "out of memory");
  check(uv_tcp_init(&p->loop, p->listener), "uv_tcp_init");
  p->listener->data = p;
  check(uv_tcp_bind(p->listener, (const struct sockaddr *)&at, 0), "bind");
  check(uv_listen((uv_stream_t *)p->listener, BACKLOG, on_connection), "listen");
  int n = sizeof at;
  check(uv_tcp_getsockname(p->listener, (struct sockaddr *)&at, &n), "getsockname");
  p->port = ntohs(at.sin_port);
}

static void on_listener_closed(uv_handle_t *h) { free(h); }

static void stop_listening(struct proxy *p) {
  if (p->listener) uv_close((uv_handle_t *)p->listener, on_listener_closed);
  p->listener = NULL;
}

/* -- commands ------------------------------------------------------------------------------------------------------ */

static void answer(struct proxy *p, const char *command) {
  if (strcmp(command, "stats") == 0) {
    printf("ok stats %ld %ld %llu %llu %ld\n", p->open_links, p->accepted, (unsigned long long)p->to_target_bytes,
           (unsigned long long)p->from_target_bytes, p->lost);
  } else {
    printf("ok %s\n", command);
  }
  fflush(stdout);
}

static void set_mode(struct proxy *p, enum mode mode) {
  p->mode = mode;
  struct link *next;
  for (struct link *l = p->links; l; l = next) {
    next = l->next;
    if (mode == PASS && l->mute && ended(l)) close_link(l, true);
    if (mode == SWALLOW) {
      l->mute = true;
      for (int i = 0; i < 2; i++) drop_chunks(&l->side[i]);
    }
    for (int i = 0; i < 2; i++) update_reading(&l->side[i]);
  }
  if (mode == PASS && p->listener == NULL) listen_again(p);
  deliver_all(p);
}

static void obey(struct proxy *p, const char *command) {
  double ms = 0, bytes_s = 0;
  int port = 0;
  char rest;
  if (sscanf(command, "delay %lf%c", &ms, &rest) == 1 && ms >= 0 && ms <= DELAY_MS_MAX) {
    p->delay_us = (int64_t)(ms * 1000);
  } else if (strcmp(command, "pass") == 0) {
    set_mode(p, PASS);
  } else if (strcmp(command, "pause") == 0) {
    set_mode(p, PAUSE);
  } else if (strcmp(command, "swallow") == 0) {
    set_mode(p, SWALLOW);
  } else if (strcmp(command, "close") == 0) {
    close_all(p);
  } else if (strcmp(command, "refuse") == 0) {
    close_all(p);
    stop_listening(p);
    set_mode(p, REFUSE);
  } else if (sscanf(command, "target %d%c", &port, &rest) == 1 && port > 0 && port <= 65535) {
    uv_ip4_addr("127.0.0.1", port, &p->target);
  } else if (sscanf(command, "upload %lf%c", &bytes_s, &rest) == 1 && bytes_s >= 0) {
    p->upload_bytes_s = bytes_s;
    for (struct link *l = p->links; l; l = l->next) update_reading(&l->side[0]);
  } else if (strncmp(command, "lose ", 5) == 0) {
    snprintf(p->lose, sizeof p->lose, "%s", command + 5);
  } else if (strcmp(command, "redis62") == 0) {
    p->redis62 = true;
  } else if (strcmp(command, "stats") != 0) {
    printf("error \"%s\": expected delay MS (0 to %d), pass, pause, swallow, close, refuse, target PORT, upload "
           "BYTES_S, lose TEXT, redis62 or stats\n",
           command, DELAY_MS_MAX);
    fflush(stdout);
    return;
  }
  answer(p, command);
}

static void end(struct proxy *p) {
  close_all(p);
  stop_listening(p);
  uv_close((uv_handle_t *)&p->due, NULL);
  uv_close((uv_handle_t *)&p->commands, NULL);
}

static void alloc_command(uv_handle_t *h, size_t hint, uv_buf_t *buf) {
  (void)hint;
  struct proxy *p = h->data;
  *buf = uv_buf_init(p->command + p->command_n, (unsigned)(sizeof p->command - p->command_n));
}

static void on_command(uv_stream_t *stream, ssize_t n, const uv_buf_t *buf) {
  (void)buf;
  struct proxy *p = stream->data;
  if (n < 0) {
    end(p);
    return;
  }
  p->command_n += (size_t)n;
  char *line = p->command, *stop = p->command + p->command_n, *newline;
  while ((newline = memchr(line, '\n', (size_t)(stop - line))) != NULL) {
    *newline = '\0';
    obey(p, line);
    line = newline + 1;
  }
  p->command_n = (size_t)(stop - line);
  memmove(p->command, line, p->command_n);
  if (p->command_n == sizeof p->command) die("command", "longer than 255 bytes");
}

int main(int argc, char **argv) {
  static struct proxy p;
  int target = argc > 1 ? atoi(argv[1]) : 0;
  double delay_ms = argc > 2 ? atof(argv[2]) : 0;
  if (argc < 2 || argc > 3 || target < 1 || target > 65535 || delay_ms < 0 || delay_ms > DELAY_MS_MAX) {
    fprintf(stderr, "usage: proxy TARGET_PORT [DELAY_MS]\n");
    return 64;
  }
  p.delay_us = (int64_t)(delay_ms * 1000);
  uv_ip4_addr("127.0.0.1", target, &p.target);
  check(uv_loop_init(&p.loop), "uv_loop_init");
  p.due_fd = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK | TFD_CLOEXEC);
  if (p.due_fd < 0) die("timerfd_create", strerror(errno));
  check(uv_poll_init(&p.loop, &p.due, p.due_fd), "uv_poll_init");
  p.due.data = &p;
  check(uv_poll_start(&p.due, UV_READABLE, on_due), "uv_poll_start");
  check(uv_pipe_init(&p.loop, &p.commands, 0), "uv_pipe_init");
  p.commands.data = &p;
  check(uv_pipe_open(&p.commands, 0), "stdin");
  check(uv_read_start((uv_stream_t *)&p.commands, alloc_command, on_command), "stdin");
  listen_again(&p);
  printf("listening %d\n", p.port);
  fflush(stdout);
  uv_run(&p.loop, UV_RUN_DEFAULT);
  check(uv_loop_close(&p.loop), "uv_loop_close");
  close(p.due_fd);
  return 0;
}
