/* lock.c - see lock.h. */
#include "logic/lock.h"

#include "base/limits.h"
#include "logic/fields.h"

static enum sk_lock_mode mode_of(struct sk_str word) {
  if (sk_str_eq_c(word, "reject")) return SK_LOCK_REJECT;
  if (sk_str_eq_c(word, "replace")) return SK_LOCK_REPLACE;
  return sk_str_eq_c(word, "throttle") ? SK_LOCK_THROTTLE : SK_LOCK_NONE;
}

enum sk_code sk_lock_parse(struct sk_str text, struct sk_lock *out, struct sk_err *err) {
  *out = (struct sk_lock){ .mode = SK_LOCK_NONE };
  if (text.n == 0) return SK_OK;
  struct sk_str rest = text;
  struct sk_lock lock = { .mode = mode_of(sk_fields_next(&rest, ';')) };
  bool number = sk_fields_number(sk_fields_next(&rest, ';'), &lock.ttl_ms);
  if (lock.mode == SK_LOCK_NONE || !number || rest.n < 2 || rest.p[0] != '=' ||
      (lock.mode == SK_LOCK_THROTTLE && lock.ttl_ms == 0))
    return sk_err_set(err, SK_EINVAL, "unique \"%.*s\": expected mode;ttl_ms;=key", SK_STR_ARG(sk_str_head(text, 100)));
  lock.key = sk_str(rest.p + 1, rest.n - 1);
  if (lock.key.n > SK_KEY_BYTES_MAX)
    return sk_err_set(err, SK_ELIMIT, "unique: the key has %zu bytes, expected at most %d", lock.key.n,
                      SK_KEY_BYTES_MAX);
  if (lock.ttl_ms > SK_SECONDS_MAX * 1000)
    return sk_err_set(err, SK_ELIMIT, "unique: a ttl of %lld ms, expected at most %lld", (long long)lock.ttl_ms,
                      SK_SECONDS_MAX * 1000);
  *out = lock;
  return SK_OK;
}
