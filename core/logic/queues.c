/* queues.c - see queues.h. */
#include "logic/queues.h"

#include <assert.h>
#include <math.h>
#include <stdbool.h>
#include <stdlib.h>

#include "base/limits.h"
#include "logic/name.h"

static bool is_separator(char c) { return c == ',' || c == ' ' || c == '\t' || c == '\n' || c == '\r'; }

/* Where the weight begins (after the last colon), or past s.n when the text has no colon. */
static size_t weight_at(struct sk_str s) {
  for (size_t i = s.n; i > 0; i--)
    if (s.p[i - 1] == ':') return i;
  return s.n + 1;
}

static bool parse_weight(struct sk_str s, uint32_t *out) {
  uint32_t v = 0;
  for (size_t i = 0; i < s.n; i++) {
    if (s.p[i] < '0' || s.p[i] > '9') return false;
    v = v * 10 + (uint32_t)(s.p[i] - '0');
    if (v > SK_QUEUE_WEIGHT_MAX) return false;
  }
  *out = v;
  return v >= 1;
}

/* A word after the last colon may be a mistyped weight or a part of the name: the message says how each is written. */
static enum sk_code refuse_weight(struct sk_str s, size_t at, struct sk_err *err) {
  struct sk_str name = sk_str_head(s, at - 1), weight = sk_str(s.p + at, s.n - at), shown = sk_str_head(weight, 40);
  bool number = weight.n > 0 && ((weight.p[0] >= '0' && weight.p[0] <= '9') || memchr("-+.", weight.p[0], 3));
  if (number)
    return sk_err_set(err, SK_EINVAL, "queue \"%.*s\": weight \"%.*s\", expected a whole number from 1 to %d",
                      SK_STR_ARG(name), SK_STR_ARG(shown), SK_QUEUE_WEIGHT_MAX);
  return sk_err_set(err, SK_EINVAL,
                    "queue \"%.*s\": weight \"%.*s\", expected a whole number from 1 to %d; a queue whose name has a "
                    "colon needs a weight, as in %.*s:1",
                    SK_STR_ARG(name), SK_STR_ARG(shown), SK_QUEUE_WEIGHT_MAX, SK_STR_ARG(sk_str_head(s, 60)));
}

static enum sk_code parse_spec(struct sk_str s, struct sk_queue_spec *out, struct sk_err *err) {
  size_t at = weight_at(s);
  *out = (struct sk_queue_spec){ .name = at <= s.n ? sk_str_head(s, at - 1) : s };
  enum sk_code code = sk_name_check("queue", out->name, err);
  if (code != SK_OK) return code;
  if (at > s.n || parse_weight(sk_str(s.p + at, s.n - at), &out->weight)) return SK_OK;
  return refuse_weight(s, at, err);
}

static enum sk_code add_spec(struct sk_str part, struct sk_queue_spec *specs, size_t *n, struct sk_err *err) {
  if (*n == SK_QUEUES_MAX) return sk_err_set(err, SK_ELIMIT, "queues: more than %d are named", SK_QUEUES_MAX);
  struct sk_queue_spec *spec = &specs[*n];
  enum sk_code code = parse_spec(part, spec, err);
  if (code != SK_OK) return code;
  for (size_t i = 0; i < *n; i++)
    if (sk_str_eq(specs[i].name, spec->name))
      return sk_err_set(err, SK_EINVAL, "queue \"%.*s\" is named twice, expected each once", SK_STR_ARG(spec->name));
  (*n)++;
  return SK_OK;
}

/* The next part between separators, taken off *rest; empty at the end. */
static struct sk_str take_part(struct sk_str *rest) {
  size_t from = 0;
  while (from < rest->n && is_separator(rest->p[from])) from++;
  size_t to = from;
  while (to < rest->n && !is_separator(rest->p[to])) to++;
  struct sk_str part = { rest->p + from, to - from };
  *rest = sk_str(rest->p + to, rest->n - to);
  return part;
}

static size_t count_parts(struct sk_str text) {
  size_t n = 0;
  while (n <= SK_QUEUES_MAX && take_part(&text).n > 0) n++;
  return n;
}

enum sk_code sk_queues_parse(struct sk_str text, struct sk_arena *arena, struct sk_queue_spec **specs, size_t *n,
                             struct sk_err *err) {
  *specs = NULL;
  *n = 0;
  size_t parts = text.n ? count_parts(text) : 0;
  if (parts == 0)
    return sk_err_set(err, SK_EINVAL,
                      "queues \"\": expected at least one name, as in \"critical,default\" or \"a:5,b:2\"");
  struct sk_queue_spec *found = sk_arena_array(arena, parts, sizeof *found);
  if (found == NULL) return sk_err_set(err, SK_ENOMEM, "queues: out of memory");
  size_t count = 0;
  bool weighted = false;
  for (struct sk_str part = take_part(&text); part.n > 0; part = take_part(&text)) {
    enum sk_code code = add_spec(part, found, &count, err);
    if (code != SK_OK) return code;
    weighted = weighted || found[count - 1].weight > 0;
  }
  for (size_t i = 0; weighted && i < count; i++)
    if (found[i].weight == 0) found[i].weight = 1;
  *specs = found;
  *n = count;
  return SK_OK;
}

/* The next of a sequence of random numbers (splitmix64). */
static uint64_t draw(uint64_t *state) {
  uint64_t z = (*state += 0x9e3779b97f4a7c15u);
  z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
  z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
  return z ^ (z >> 31);
}

static int by_key(const void *a, const void *b) {
  const struct sk_queue_plan *x = a, *y = b;
  if (x->key != y->key) return x->key < y->key ? -1 : 1;
  return x->index < y->index ? -1 : 1;
}

void sk_queues_plan(const struct sk_queue_spec *specs, size_t n, size_t want, uint64_t random,
                    struct sk_queue_plan *out) {
  if (n == 0) return;
  if (specs[0].weight == 0) {
    for (size_t i = 0; i < n; i++) out[i] = (struct sk_queue_plan){ .index = i, .quota = want };
    return;
  }
  uint64_t sum = 0, state = random;
  for (size_t i = 0; i < n; i++) sum += specs[i].weight;
  assert(want <= SIZE_MAX / 2 / sum);
  /* Shares by systematic sampling: one random offset rounds the running total, so each quota is off by less than 1,
   * right on average, and the last total is `want`. */
  uint64_t offset = draw(&state) % sum, total = 0, given = 0;
  for (size_t i = 0; i < n; i++) {
    assert(specs[i].weight > 0);
    total += specs[i].weight;
    uint64_t until = (want * total + offset) / sum;
    /* Order by the times of a race of exponential clocks: clock i is first with probability weight_i / sum. */
    double u = ((double)(draw(&state) >> 11) + 0.5) / 9007199254740992.0;
    out[i] = (struct sk_queue_plan){ .index = i, .quota = (size_t)(until - given), .key = -log(u) / specs[i].weight };
    given = until;
  }
  qsort(out, n, sizeof *out, by_key);
}
