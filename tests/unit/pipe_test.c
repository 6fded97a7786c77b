/* pipe_test.c - a pipe between processes: whole frames, slow readers, ends. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "io/loop.h"
#include "io/pipe.h"

static struct sk_loop *loop;

static int setup(void **state) {
  struct sk_err err;
  signal(SIGPIPE, SIG_IGN);
  *state = loop = sk_loop_new(&err);
  return loop ? 0 : -1;
}

static int teardown(void **state) {
  (void)state;
  sk_loop_free(loop);
  return 0;
}

struct end {
  struct sk_pipe *pipe;
  struct sk_buf got;
  size_t unit; /* bytes that are taken together; the rest waits */
  bool free_on_bytes, closed;
  enum sk_code code;
};

static size_t on_bytes(void *ctx, struct sk_str in) {
  struct end *e = ctx;
  size_t n = e->unit ? in.n / e->unit * e->unit : in.n;
  sk_buf_add(&e->got, in.p, n);
  if (e->free_on_bytes) {
    sk_pipe_free(e->pipe);
    e->pipe = NULL;
  }
  return n;
}

static void on_closed(void *ctx, const struct sk_err *err) {
  struct end *e = ctx;
  assert_false(e->closed);
  e->closed = true;
  e->code = err ? err->code : SK_OK;
}

/* One end as a pipe, the other as a file descriptor. */
static int open_end(struct end *e) {
  int fds[2];
  struct sk_err err;
  assert_int_equal(sk_pipe_pair(fds, &err), SK_OK);
  struct sk_pipe_events events = { .bytes = on_bytes, .closed = on_closed, .ctx = e };
  e->pipe = sk_pipe_new(loop, fds[0], &events, &err);
  assert_non_null(e->pipe);
  return fds[1];
}

static void end_free(struct end *e) {
  sk_pipe_free(e->pipe);
  sk_buf_fini(&e->got);
}

static void bytes_come_whole_in_units_and_then_the_end(void **state) {
  (void)state;
  struct end e = { .unit = 10 };
  int fd = open_end(&e);
  for (int i = 0; i < 9; i++) assert_int_equal(write(fd, "0123456789abc", 13), 13);
  while (e.got.n < 110) sk_loop_turn(loop, true);
  close(fd);
  while (!e.closed) sk_loop_turn(loop, true);
  assert_int_equal(e.got.n, 110);
  assert_memory_equal(e.got.p + 10, "abc0123456", 10);
  assert_int_equal(e.code, SK_OK);
  end_free(&e);
}

static void a_pipe_tells_how_long_it_waits_for_the_rest_of_a_frame(void **state) {
  (void)state;
  struct end e = { .unit = 10 };
  int fd = open_end(&e);
  assert_int_equal(sk_pipe_half_for_ms(e.pipe), 0);
  assert_int_equal(write(fd, "0123456789abc", 13), 13);
  while (e.got.n < 10) sk_loop_turn(loop, true);
  while (sk_pipe_half_for_ms(e.pipe) < 5) sk_loop_turn(loop, false);
  assert_int_equal(write(fd, "d", 1), 1); /* more of the same frame: it is as old as before */
  int64_t before = sk_pipe_half_for_ms(e.pipe);
  for (int i = 0; i < 10; i++) sk_loop_turn(loop, false);
  assert_true(sk_pipe_half_for_ms(e.pipe) >= before);
  assert_int_equal(write(fd, "efghij", 6), 6);
  while (e.got.n < 20) sk_loop_turn(loop, true);
  assert_int_equal(sk_pipe_half_for_ms(e.pipe), 0);
  close(fd);
  end_free(&e);
}

static void a_pipe_may_be_freed_while_it_hands_over(void **state) {
  (void)state;
  struct end e = { .free_on_bytes = true };
  int fd = open_end(&e);
  assert_int_equal(write(fd, "x", 1), 1);
  while (e.pipe) sk_loop_turn(loop, true);
  close(fd);
  end_free(&e);
}

static void much_is_sent_in_order_to_a_slow_reader(void **state) {
  (void)state;
  struct end e = { 0 };
  int fd = open_end(&e);
  enum { NUMBERS = 1000000 };
  for (uint32_t i = 0; i < NUMBERS; i++) sk_buf_add_u32(sk_pipe_out(e.pipe), i);
  fcntl(fd, F_SETFL, O_NONBLOCK);
  uint32_t next = 0, part[1024];
  size_t have = 0;
  while (next < NUMBERS) {
    sk_loop_turn(loop, false);
    ssize_t n = read(fd, (char *)part + have, 4096 - have);
    if (n <= 0) continue;
    have += (size_t)n;
    size_t whole = have / 4;
    for (size_t i = 0; i < whole; i++) assert_int_equal(part[i], next++);
    memmove(part, part + whole, have -= whole * 4);
  }
  assert_int_equal(sk_pipe_pending(e.pipe), 0);
  close(fd);
  end_free(&e);
}

/* What the other side said before it stopped listening still arrives; then the end, although the socket is open. */
static void a_peer_that_listens_no_more_is_heard_to_the_end(void **state) {
  (void)state;
  struct end e = { 0 };
  int fd = open_end(&e);
  assert_int_equal(write(fd, "last words", 10), 10);
  shutdown(fd, SHUT_RD);
  sk_buf_add_c(sk_pipe_out(e.pipe), "hello?");
  while (!e.closed) sk_loop_turn(loop, true);
  assert_int_equal(e.got.n, 10);
  assert_int_equal(e.code, SK_OK);
  close(fd);
  end_free(&e);
}

static void a_drained_pipe_gives_all_and_closes_though_someone_holds_the_socket(void **state) {
  (void)state;
  struct end e = { .unit = 7 };
  int fd = open_end(&e), holder = dup(fd);
  char block[7000];
  memset(block, 'z', sizeof block);
  for (int i = 0; i < 20; i++) assert_int_equal(write(fd, block, sizeof block), sizeof block);
  assert_int_equal(write(fd, "half", 4), 4);
  close(fd);
  sk_pipe_drain(e.pipe);
  assert_true(e.closed);
  assert_int_equal(e.got.n, 20 * sizeof block);
  sk_pipe_drain(e.pipe); /* nothing more happens */
  close(holder);
  end_free(&e);
}

static void a_frame_without_memory_ends_the_pipe_and_nothing_of_it_is_sent(void **state) {
  (void)state;
  struct end e = { 0 };
  int fd = open_end(&e);
  sk_buf_add_c(sk_pipe_out(e.pipe), "the start of a fr");
  sk_pipe_out(e.pipe)->failed = true; /* as the append of the rest would have set it */
  while (!e.closed) sk_loop_turn(loop, true);
  assert_int_equal(e.code, SK_ENOMEM);
  char c;
  fcntl(fd, F_SETFL, O_NONBLOCK);
  assert_int_equal(read(fd, &c, 1), -1);
  assert_int_equal(errno, EAGAIN);
  close(fd);
  end_free(&e);
}

#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void) {
  const struct CMUnitTest tests[] = {
    T(bytes_come_whole_in_units_and_then_the_end),
    T(a_pipe_tells_how_long_it_waits_for_the_rest_of_a_frame),
    T(a_pipe_may_be_freed_while_it_hands_over),
    T(much_is_sent_in_order_to_a_slow_reader),
    T(a_peer_that_listens_no_more_is_heard_to_the_end),
    T(a_drained_pipe_gives_all_and_closes_though_someone_holds_the_socket),
    T(a_frame_without_memory_ends_the_pipe_and_nothing_of_it_is_sent),
  };
  return cmocka_run_group_tests_name("pipe", tests, NULL, NULL);
}
