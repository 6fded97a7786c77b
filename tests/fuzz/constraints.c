/* constraints.c - fuzz target: the texts of a job's record that hold its lock, limit, history and log.  A text
 * that is accepted keeps the limits, and a bucket with its numbers goes neither back nor past its end. */
#include <assert.h>

#include "base/limits.h"
#include "logic/limit.h"
#include "logic/lock.h"
#include "logic/history.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_lock(struct sk_str text) {
  struct sk_lock lock;
  struct sk_err err;
  if (sk_lock_parse(text, &lock, &err) != SK_OK) {
    assert(lock.mode == SK_LOCK_NONE);
    return;
  }
  if (lock.mode == SK_LOCK_NONE) return;
  assert(lock.key.n > 0 && lock.key.n <= SK_KEY_BYTES_MAX && lock.key.p + lock.key.n == text.p + text.n);
  assert(lock.ttl_ms >= 0 && lock.ttl_ms <= SK_SECONDS_MAX * 1000 &&
         (lock.mode != SK_LOCK_THROTTLE || lock.ttl_ms > 0));
}

static void check_limit(struct sk_str text) {
  struct sk_limit limit;
  struct sk_err err;
  if (sk_limit_parse(text, &limit, &err) != SK_OK || limit.group.n == 0) return;
  assert(limit.group.n <= SK_KEY_BYTES_MAX && (!limit.strict || limit.concurrency == 1));
  const int64_t now = 1800000000000000;
  int64_t full = now;
  for (int i = 0; i < 8; i++) {
    int64_t later = sk_limit_take(&limit, full, now);
    assert(later >= full && sk_limit_wait_us(&limit, later, now) >= sk_limit_wait_us(&limit, full, now));
    full = later;
  }
}

static void check_lines(struct sk_str text) {
  int64_t ms;
  struct sk_str line, rest = text;
  for (size_t before = rest.n; sk_lines_next(&rest, &ms, &line); before = rest.n) assert(rest.n < before);
  struct sk_buf all = { 0 }, tail = { 0 };
  sk_lines_add(&all, 1, text, 40);
  sk_lines_tail(sk_buf_str(&all), sk_buf_str(&all), 5, 200, &tail);
  assert(tail.n <= 200);
  size_t lines = 0;
  rest = sk_buf_str(&tail);
  while (sk_lines_next(&rest, &ms, &line)) lines++;
  assert(lines <= 5);
  sk_buf_fini(&all);
  sk_buf_fini(&tail);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  struct sk_str text = sk_str((const char *)data, size);
  check_lock(text);
  check_limit(text);
  check_lines(text);
  return 0;
}
