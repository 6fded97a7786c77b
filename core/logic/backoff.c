/* backoff.c - see backoff.h.  Numbers are held in microseconds, jitter in millionths, so that only the last step, the
 * spread, needs floating point. */
#include "logic/backoff.h"

#include <stdbool.h>

#include "base/limits.h"
#include "logic/fields.h"
#include "logic/shown.h"

enum kind { EXPONENTIAL, FIBONACCI, LINEAR, CONSTANT, LIST };
static const char *const KIND_NAMES[] = { "exponential", "fibonacci", "linear", "constant", "list" };
enum { KINDS = 5, ONE = 1000000, DECIMALS = 6 };

#define SECONDS_MAX_US ((int64_t)SK_SECONDS_MAX * ONE) /* 3.2e15 */
#define NONE (-1)

struct plan {
  enum kind kind;
  int64_t base, max, jitter; /* NONE when not given */
  size_t steps_n;
  int64_t steps[SK_BACKOFF_STEPS_MAX];
};

/* Reads digits with up to six decimals; *out is the number times a million.  SK_OK, SK_EINVAL, SK_ELIMIT (past
 * SK_SECONDS_MAX). */
static enum sk_code parse_number(struct sk_str s, int64_t *out) {
  int64_t whole = 0, fraction = 0, unit = ONE;
  size_t i = 0;
  for (; i < s.n && s.p[i] >= '0' && s.p[i] <= '9'; i++) {
    whole = whole * 10 + (s.p[i] - '0');
    if (whole > SK_SECONDS_MAX) return SK_ELIMIT;
  }
  if (i == 0) return SK_EINVAL;
  if (i < s.n) {
    if (s.p[i++] != '.' || i == s.n || s.n - i > DECIMALS) return SK_EINVAL;
    for (; i < s.n; i++) {
      if (s.p[i] < '0' || s.p[i] > '9') return SK_EINVAL;
      unit /= 10;
      fraction += (s.p[i] - '0') * unit;
    }
  }
  *out = whole * ONE + fraction;
  return *out > SECONDS_MAX_US ? SK_ELIMIT : SK_OK;
}

static enum sk_code refuse(struct sk_err *err, enum sk_code code, struct sk_str part, const char *expected) {
  return sk_err_set(err, code, "backoff \"%s\": expected %s", sk_shown(part).text, expected);
}

static enum sk_code parse_option(struct plan *plan, struct sk_str part, struct sk_err *err) {
  const struct {
    const char *name;
    int64_t *slot;
  } options[] = { { "base=", &plan->base }, { "max=", &plan->max }, { "jitter=", &plan->jitter } };
  for (size_t i = 0; i < sizeof options / sizeof *options; i++) {
    if (!sk_str_starts(part, options[i].name)) continue;
    if (*options[i].slot != NONE) return refuse(err, SK_EINVAL, part, "each option once");
    if (plan->kind == LIST && options[i].slot == &plan->base)
      return refuse(err, SK_EINVAL, part, "no base: a list has its numbers");
    size_t skip = strlen(options[i].name);
    int64_t v = 0;
    enum sk_code code = parse_number(sk_str(part.p + skip, part.n - skip), &v);
    if (code == SK_ELIMIT) return refuse(err, code, part, "at most 3153600000 seconds");
    if (code != SK_OK) return refuse(err, code, part, "a number such as 2 or 0.5, with up to 6 decimals");
    if (options[i].slot == &plan->jitter && v > ONE) return refuse(err, SK_EINVAL, part, "a fraction from 0 to 1");
    *options[i].slot = v;
    return SK_OK;
  }
  return refuse(err, SK_EINVAL, part, "base=, max= or jitter=");
}

static enum sk_code parse_part(struct plan *plan, struct sk_str part, struct sk_err *err) {
  bool is_step = plan->kind == LIST && part.n > 0 && part.p[0] >= '0' && part.p[0] <= '9';
  if (!is_step) return parse_option(plan, part, err);
  if (plan->max != NONE || plan->jitter != NONE)
    return refuse(err, SK_EINVAL, part, "the list's numbers before its options");
  if (plan->steps_n == SK_BACKOFF_STEPS_MAX) return refuse(err, SK_ELIMIT, part, "at most 64 numbers in a list");
  enum sk_code code = parse_number(part, &plan->steps[plan->steps_n]);
  if (code == SK_ELIMIT) return refuse(err, code, part, "at most 3153600000 seconds");
  if (code != SK_OK) return refuse(err, code, part, "a number such as 2 or 0.5, with up to 6 decimals");
  plan->steps_n++;
  return SK_OK;
}

static enum sk_code parse(struct sk_str text, struct plan *plan, struct sk_err *err) {
  plan->kind = EXPONENTIAL;
  plan->base = plan->max = plan->jitter = NONE;
  plan->steps_n = 0;
  if (text.n == 0) return SK_OK;
  bool more = memchr(text.p, ';', text.n) != NULL;
  struct sk_str rest = text, name = sk_fields_next(&rest, ';');
  int kind = 0;
  while (kind < KINDS && !sk_str_eq_c(name, KIND_NAMES[kind])) kind++;
  if (kind == KINDS) return refuse(err, SK_EINVAL, name, "exponential, fibonacci, linear, constant or list");
  plan->kind = (enum kind)kind;
  while (more) {
    more = memchr(rest.p, ';', rest.n) != NULL;
    enum sk_code code = parse_part(plan, sk_fields_next(&rest, ';'), err);
    if (code != SK_OK) return code;
  }
  if (plan->kind == LIST && plan->steps_n == 0) return refuse(err, SK_EINVAL, text, "at least one number in a list");
  return SK_OK;
}

enum sk_code sk_backoff_check(struct sk_str text, struct sk_err *err) {
  struct plan plan;
  return parse(text, &plan, err);
}

/* Returns a * b, or SECONDS_MAX_US when that is less.  Neither factor is negative. */
static int64_t times(int64_t a, int64_t b) { return b != 0 && a > SECONDS_MAX_US / b ? SECONDS_MAX_US : a * b; }

static int64_t or_default(int64_t v, int64_t otherwise) { return v == NONE ? otherwise : v; }

static int64_t exponential_us(int64_t base, int64_t n, uint64_t random) {
  if (base != NONE) return times(base, INT64_C(1) << (n < 62 ? n : 62));
  if (n > 300) return SECONDS_MAX_US; /* 238^4 s is past SK_SECONDS_MAX */
  int64_t seconds = 20 + (int64_t)(random % 20) * (n + 1) + n * n * n * n;
  return times(seconds, ONE);
}

static int64_t fibonacci_us(int64_t base, int64_t n) {
  int64_t a = 1, b = 2; /* the 80th is past SECONDS_MAX_US even in microseconds */
  for (int64_t i = 0; i < n && i < 80; i++) {
    int64_t next = a + b;
    a = b;
    b = next;
  }
  return times(base, a);
}

static int64_t spread(int64_t us, int64_t jitter, uint64_t random) {
  double u = (double)(random >> 11) / 9007199254740992.0; /* 0 <= u < 1 */
  double factor = 1 + (double)jitter / ONE * (2 * u - 1);
  return (int64_t)((double)us * factor);
}

int64_t sk_backoff_delay_ms(struct sk_str text, int64_t n, uint64_t random) {
  struct plan plan;
  if (parse(text, &plan, NULL) != SK_OK) parse(sk_str(NULL, 0), &plan, NULL);
  if (n < 0) n = 0;
  int64_t us = 0;
  switch (plan.kind) {
  case EXPONENTIAL: us = exponential_us(plan.base, n, random); break;
  case FIBONACCI: us = fibonacci_us(or_default(plan.base, ONE), n); break;
  case LINEAR: us = times(or_default(plan.base, 10 * ONE), n < SECONDS_MAX_US ? n + 1 : n); break;
  case CONSTANT: us = or_default(plan.base, 10 * ONE); break;
  case LIST: us = plan.steps[(uint64_t)n < plan.steps_n ? (size_t)n : plan.steps_n - 1]; break;
  }
  int64_t max = or_default(plan.max, SECONDS_MAX_US);
  if (us > max) us = max;
  if (plan.jitter != NONE) us = spread(us, plan.jitter, random);
  if (us > max) us = max;
  return us / 1000 + (us % 1000 >= 500 ? 1 : 0);
}
