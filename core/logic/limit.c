/* limit.c - see limit.h. */
#include "logic/limit.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/limits.h"
#include "logic/fields.h"

static enum sk_code check_numbers(const struct sk_limit *l, struct sk_err *err) {
  const int64_t per_max = SK_SECONDS_MAX * 1000;
  if (l->group.n > SK_KEY_BYTES_MAX)
    return sk_err_set(err, SK_ELIMIT, "limit: the key has %zu bytes, expected at most %d", l->group.n,
                      SK_KEY_BYTES_MAX);
  if (l->concurrency > SK_LIMIT_CONCURRENCY_MAX || l->rate > SK_LIMIT_RATE_MAX || l->burst > SK_LIMIT_RATE_MAX ||
      l->per_ms > per_max)
    return sk_err_set(
        err, SK_ELIMIT,
        "limit: concurrency %lld, rate %lld, burst %lld, per %lld ms: expected at most %d, %d, %d and %lld",
        (long long)l->concurrency, (long long)l->rate, (long long)l->burst, (long long)l->per_ms,
        SK_LIMIT_CONCURRENCY_MAX, SK_LIMIT_RATE_MAX, SK_LIMIT_RATE_MAX, (long long)per_max);
  return SK_OK;
}

enum sk_code sk_limit_parse(struct sk_str text, struct sk_limit *out, struct sk_err *err) {
  *out = (struct sk_limit){ .concurrency = 0 };
  if (text.n == 0) return SK_OK;
  struct sk_str rest = text;
  struct sk_limit l = { .concurrency = 0 };
  bool good = sk_fields_number(sk_fields_next(&rest, ';'), &l.concurrency);
  good &= sk_fields_number(sk_fields_next(&rest, ';'), &l.rate);
  good &= sk_fields_number(sk_fields_next(&rest, ';'), &l.per_ms);
  good &= sk_fields_number(sk_fields_next(&rest, ';'), &l.burst);
  struct sk_str order = sk_fields_next(&rest, ';');
  l.strict = sk_str_eq_c(order, "strict");
  good &= l.strict || sk_str_eq_c(order, "any");
  good &= l.rate > 0 ? l.per_ms > 0 && l.burst > 0 : l.per_ms == 0 && l.burst == 0;
  good &= !l.strict || l.concurrency == 1;
  if (!good || rest.n < 2 || rest.p[0] != '=')
    return sk_err_set(err, SK_EINVAL, "limit \"%.*s\": expected concurrency;rate;per_ms;burst;order;=group",
                      SK_STR_ARG(sk_str_head(text, 100)));
  l.group = sk_str(rest.p + 1, rest.n - 1);
  enum sk_code code = check_numbers(&l, err);
  if (code == SK_OK) *out = l;
  return code;
}

/* What the bucket holds; limit.h says why it may be more than a burst of 1. */
static int64_t depth(const struct sk_limit *l) {
  if (l->burst != 1) return l->burst;
  int64_t late = SK_LIMIT_LATE_MS * l->rate / l->per_ms, most = l->rate / SK_LIMIT_LATE_PART;
  return 1 + (late < most ? late : most);
}

/* From one token to the next.  A step as an exact fraction would need two numbers: rounded up, so that it never runs
 * fast. */
static int64_t step_us(const struct sk_limit *l) {
  int64_t starts = l->burst == 1 ? l->rate + 1 - depth(l) : l->rate;
  return (int64_t)(((__int128)l->per_ms * 1000 + starts - 1) / starts);
}

int64_t sk_limit_clamp(const struct sk_limit *l, int64_t full_us, int64_t now_us) {
  if (l->rate == 0) return full_us;
  __int128 most = (__int128)now_us + (__int128)depth(l) * step_us(l);
  return full_us > most + SK_LIMIT_CLOCK_SLACK_US ? (int64_t)most : full_us;
}

int64_t sk_limit_wait_us(const struct sk_limit *l, int64_t full_us, int64_t now_us) {
  if (l->rate == 0) return 0;
  __int128 free_us = (__int128)full_us - (__int128)(depth(l) - 1) * step_us(l);
  return free_us > now_us ? (int64_t)(free_us - now_us) : 0;
}

int64_t sk_limit_take(const struct sk_limit *l, int64_t full_us, int64_t now_us) {
  if (l->rate == 0) return full_us;
  int64_t full = full_us > now_us ? full_us : now_us;
  return step_us(l) > INT64_MAX - full ? INT64_MAX : full + step_us(l); /* absurd numbers: full in 300,000 years */
}

bool sk_limit_same(const struct sk_limit *a, const struct sk_limit *b) {
  return a->concurrency == b->concurrency && a->rate == b->rate && a->per_ms == b->per_ms && a->burst == b->burst &&
         a->strict == b->strict;
}

/* -- what a task declared before ----------------------------------------------------------------------------------- */

struct sk_str sk_limit_numbers(struct sk_str template_limit) {
  const char *end = template_limit.n ? memrchr(template_limit.p, ';', template_limit.n) : NULL;
  return end ? sk_str(template_limit.p, (size_t)(end - template_limit.p)) : SK_STR_LIT("0;0;0;0;any");
}

static struct sk_str next_of(struct sk_str *past) { return past->n ? sk_fields_next(past, '|') : *past; }

void sk_limit_past_add(struct sk_str past, struct sk_str before, struct sk_str now, struct sk_buf *out) {
  next_of(&past); /* what was declared: `before` */
  struct sk_buf others = { 0 };
  size_t n = 0;
  for (struct sk_str old = before; old.n > 0 && n < SK_LIMIT_PAST_MAX; old = next_of(&past)) {
    if (sk_str_eq(old, now) || (n > 0 && sk_str_eq(old, before))) continue;
    sk_buf_add_byte(&others, '|');
    sk_buf_add_str(&others, old);
    n++;
  }
  if (n > 0) sk_buf_add_str(out, now);
  sk_buf_add_str(out, sk_buf_str(&others));
  if (others.failed) out->failed = true;
  sk_buf_fini(&others);
}

bool sk_limit_renew(struct sk_str past, struct sk_limit *limit) {
  if (past.n == 0) return false;
  char text[120];
  int n = snprintf(text, sizeof text, "%" PRId64 ";%" PRId64 ";%" PRId64 ";%" PRId64 ";%s", limit->concurrency,
                   limit->rate, limit->per_ms, limit->burst, limit->strict ? "strict" : "any");
  struct sk_str own = sk_str(text, (size_t)n), now = sk_fields_next(&past, '|');
  bool found = false;
  while (past.n > 0 && !found) found = sk_str_eq(sk_fields_next(&past, '|'), own);
  if (!found) return false;
  struct sk_limit l = { .group = limit->group };
  bool good = sk_fields_number(sk_fields_next(&now, ';'), &l.concurrency);
  good &= sk_fields_number(sk_fields_next(&now, ';'), &l.rate);
  good &= sk_fields_number(sk_fields_next(&now, ';'), &l.per_ms);
  good &= sk_fields_number(sk_fields_next(&now, ';'), &l.burst);
  l.strict = sk_str_eq_c(now, "strict");
  if (good) *limit = l;
  return good;
}

bool sk_limit_is_of_task(struct sk_str group, struct sk_str task) {
  if (group.n < task.n || memcmp(group.p, task.p, task.n) != 0) return false;
  return group.n == task.n || group.p[task.n] == '/';
}
