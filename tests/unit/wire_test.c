/* wire_test.c - frames between the core and a worker. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdlib.h>

#include "base/limits.h"
#include "logic/wire.h"

/* A frame of every kind of field. */
static void add_sample(struct sk_buf *b) {
  size_t at = sk_wire_begin(b, SK_FRAME_FAIL);
  sk_buf_add_u32(b, 7);
  sk_buf_add_byte(b, 3);
  sk_wire_add_i64(b, -5);
  sk_buf_add_u64(b, UINT64_MAX);
  sk_wire_add_str(b, SK_STR_LIT("some\0bytes"));
  sk_wire_add_str(b, sk_str(NULL, 0));
  sk_wire_end(b, at);
}

static void assert_sample(const struct sk_frame *f) {
  assert_int_equal(f->type, SK_FRAME_FAIL);
  struct sk_reader r = sk_reader(f->payload);
  assert_int_equal(sk_read_u32(&r), 7);
  assert_int_equal(sk_read_u8(&r), 3);
  assert_int_equal(sk_read_i64(&r), -5);
  assert_true(sk_read_u64(&r) == UINT64_MAX);
  assert_true(sk_str_eq(sk_read_str(&r), SK_STR_LIT("some\0bytes")));
  assert_false(sk_reader_done(&r));
  assert_int_equal(sk_read_str(&r).n, 0);
  assert_true(sk_reader_done(&r));
}

static void what_was_written_is_read(void **state) {
  (void)state;
  struct sk_buf b = { 0 };
  add_sample(&b);
  add_sample(&b);
  struct sk_str in = sk_buf_str(&b);
  struct sk_frame f;
  for (int i = 0; i < 2; i++) {
    assert_int_equal(sk_wire_next(&in, &f, NULL), SK_OK);
    assert_sample(&f);
  }
  assert_int_equal(sk_wire_next(&in, &f, NULL), SK_ENOTFOUND);
  assert_int_equal(in.n, 0);
  sk_buf_fini(&b);
}

static void the_layout_is_little_endian_and_of_fixed_width(void **state) {
  (void)state;
  struct sk_buf b = { 0 };
  size_t at = sk_wire_begin(&b, SK_FRAME_DONE);
  sk_buf_add_u32(&b, 0x01020304);
  sk_wire_add_str(&b, SK_STR_LIT("ab"));
  sk_wire_end(&b, at);
  static const char expected[] = "\x0a\0\0\0\x08\x04\x03\x02\x01\x02\0\0\0ab";
  assert_int_equal(b.n, sizeof expected - 1);
  assert_memory_equal(b.p, expected, b.n);
  sk_buf_fini(&b);
}

static void a_frame_is_read_only_when_all_of_it_is_there(void **state) {
  (void)state;
  struct sk_buf b = { 0 };
  add_sample(&b);
  for (size_t n = 0; n < b.n; n++) {
    char *part = malloc(n ? n : 1); /* exactly as long, so that a sanitizer sees a read past it */
    memcpy(part, b.p, n);
    struct sk_str in = sk_str(part, n);
    struct sk_frame f;
    assert_int_equal(sk_wire_next(&in, &f, NULL), SK_ENOTFOUND);
    assert_int_equal(in.n, n); /* nothing was taken */
    free(part);
  }
  sk_buf_fini(&b);
}

static void unknown_types_are_refused_at_once(void **state) {
  (void)state;
  for (int type = 0; type < 256; type++) {
    char head[SK_FRAME_HEAD_BYTES] = { 0, 0, 0, 0, (char)type };
    struct sk_str in = sk_str(head, sizeof head);
    struct sk_frame f;
    struct sk_err err;
    bool known = type > 0 && type < SK_FRAME_TYPES;
    assert_int_equal(sk_wire_next(&in, &f, &err), known ? SK_OK : SK_ECORRUPT);
  }
}

static void the_size_limit_holds_before_the_payload_comes(void **state) {
  (void)state;
  struct sk_frame f;
  struct sk_err err;
  for (uint32_t over = 0; over < 2; over++) {
    uint32_t n = SK_FRAME_BYTES_MAX + over;
    char head[SK_FRAME_HEAD_BYTES] = { (char)n, (char)(n >> 8), (char)(n >> 16), (char)(n >> 24), SK_FRAME_LOG };
    struct sk_str in = sk_str(head, sizeof head);
    assert_int_equal(sk_wire_next(&in, &f, &err), over ? SK_ECORRUPT : SK_ENOTFOUND);
  }
  assert_non_null(strstr(err.message, "8388609 bytes, more than the limit of 8388608"));
}

static void a_reader_that_misses_something_stays_bad_and_gives_nothing(void **state) {
  (void)state;
  struct sk_reader r = sk_reader(SK_STR_LIT("\x01\x02\x03"));
  assert_int_equal(sk_read_u32(&r), 0);
  assert_true(r.bad);
  assert_int_equal(sk_read_u8(&r), 0); /* although there is a byte */
  assert_int_equal(sk_read_str(&r).n, 0);
  assert_false(sk_reader_done(&r));
}

static void a_length_past_the_end_is_missing_text(void **state) {
  (void)state;
  static const char *const payloads[] = { "\xff\xff\xff\xff", "\x04\0\0\0abc", "\x01\0\0\0" };
  static const size_t sizes[] = { 4, 7, 4 };
  for (int i = 0; i < 3; i++) {
    struct sk_reader r = sk_reader(sk_str(payloads[i], sizes[i]));
    assert_int_equal(sk_read_str(&r).n, 0);
    assert_true(r.bad);
  }
  struct sk_reader none = sk_reader(sk_str(NULL, 0));
  assert_true(sk_reader_done(&none));
  assert_int_equal(sk_read_u8(&none), 0);
  assert_true(none.bad);
}

static void without_memory_no_half_frame_is_finished(void **state) {
  (void)state;
  struct sk_buf b = { 0 };
  size_t at = sk_wire_begin(&b, SK_FRAME_DONE);
  b.failed = true; /* as after an append that found no memory */
  sk_wire_end(&b, at);
  assert_memory_equal(b.p, "\0\0\0\0", 4);
  sk_buf_fini(&b);
}

int main(void) {
  const struct CMUnitTest tests[] = {
    cmocka_unit_test(what_was_written_is_read),
    cmocka_unit_test(the_layout_is_little_endian_and_of_fixed_width),
    cmocka_unit_test(a_frame_is_read_only_when_all_of_it_is_there),
    cmocka_unit_test(unknown_types_are_refused_at_once),
    cmocka_unit_test(the_size_limit_holds_before_the_payload_comes),
    cmocka_unit_test(a_reader_that_misses_something_stays_bad_and_gives_nothing),
    cmocka_unit_test(a_length_past_the_end_is_missing_text),
    cmocka_unit_test(without_memory_no_half_frame_is_finished),
  };
  return cmocka_run_group_tests_name("wire", tests, NULL, NULL);
}
