/* callback.c - see callback.h. */
#include "logic/callback.h"

#include "base/limits.h"
#include "logic/job_check.h"
#include "logic/record.h"
#include "logic/wire.h"

enum sk_code sk_callback_next(struct sk_str *callbacks, struct sk_callback *out, struct sk_err *err) {
  if (callbacks->n == 0) return SK_ENOTFOUND;
  struct sk_reader r = sk_reader(*callbacks);
  const int64_t delay_max = SK_SECONDS_MAX * 1000, due_max = 2 * delay_max;
  *out = (struct sk_callback){ .record = sk_read_str(&r) };
  out->due_ms = sk_read_i64(&r);
  out->delay_ms = sk_read_i64(&r);
  if (r.bad) return sk_err_set(err, SK_ECORRUPT, "callback: cut short");
  if (out->due_ms < 0 || out->due_ms > due_max || out->delay_ms < 0 || out->delay_ms > delay_max)
    return sk_err_set(err, SK_ECORRUPT, "callback: delay %lld ms, due at %lld ms: expected 0 to %lld and 0 to %lld",
                      (long long)out->delay_ms, (long long)out->due_ms, (long long)delay_max, (long long)due_max);
  *callbacks = sk_str(r.p, (size_t)(r.end - r.p));
  return SK_OK;
}

enum sk_code sk_callbacks_check(struct sk_str callbacks, size_t args_bytes_max, struct sk_err *err) {
  if (callbacks.n > SK_CALLBACKS_BYTES_MAX)
    return sk_err_set(err, SK_ELIMIT, "callbacks: %zu bytes, expected at most %d", callbacks.n, SK_CALLBACKS_BYTES_MAX);
  struct sk_callback callback;
  enum sk_code code;
  size_t n = 0;
  while ((code = sk_callback_next(&callbacks, &callback, err)) == SK_OK) {
    struct sk_job job;
    if (++n > SK_CALLBACKS_MAX)
      return sk_err_set(err, SK_ELIMIT, "callbacks: more than %d, the limit", SK_CALLBACKS_MAX);
    code = sk_record_decode(callback.record, &job, err);
    if (code == SK_OK) code = sk_job_check_shape(&job, args_bytes_max, err);
    if (code == SK_OK) continue;
    sk_err_wrap(err, "callback");
    return code;
  }
  return code == SK_ENOTFOUND ? SK_OK : code;
}

static bool is_space(char c) { return c == ' ' || c == '\t' || c == '\n' || c == '\r'; }

/* What stands between the brackets, without the space around it. */
static struct sk_str inside(struct sk_str args) {
  if (args.n < 2) return sk_str(NULL, 0);
  const char *p = args.p, *end = args.p + args.n;
  while (p < end && is_space(*p)) p++;
  while (end > p && is_space(end[-1])) end--;
  if (end - p < 2) return sk_str(p, 0);
  for (p++, end--; p < end && is_space(*p);) p++;
  while (end > p && is_space(end[-1])) end--;
  return sk_str(p, (size_t)(end - p));
}

static void add_list(struct sk_buf *out, struct sk_str first, struct sk_str second) {
  sk_buf_add_byte(out, '[');
  sk_buf_add_str(out, first);
  if (first.n > 0 && second.n > 0) sk_buf_add_byte(out, ',');
  sk_buf_add_str(out, second);
  sk_buf_add_byte(out, ']');
}

void sk_callback_append(struct sk_str args, struct sk_str json, struct sk_buf *out) {
  add_list(out, inside(args), json);
}

void sk_callback_prepend(struct sk_str args, struct sk_str json, struct sk_buf *out) {
  add_list(out, json, inside(args));
}
