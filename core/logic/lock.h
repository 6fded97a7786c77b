/* lock.h - what makes a job unique: the lock that it takes when it is enqueued (store.h, LOCKS), and its text form.
 *
 *   lock   := mode ";" ttl_ms ";" source
 *   mode   := "reject" | "replace" | "throttle" | "debounce"
 *   source := "=" key      the key itself: the only form in a job's record
 *           | "args"       in a task's template, where the client makes the key: of the task's name and all args,
 *           | "arg:" n     ... of the n-th arg (1 is the first),
 *           | "fn"         ... of what a function of the script returns, which a client without that script can't know
 *
 * "debounce" stands in templates only: ttl_ms is the quiet time, and the job is enqueued with "replace;0;=key" and that
 * delay. */
#ifndef SK_LOGIC_LOCK_H
#define SK_LOGIC_LOCK_H

#include <stdint.h>

#include "base/err.h"
#include "base/str.h"

enum sk_lock_mode { SK_LOCK_NONE, SK_LOCK_REJECT, SK_LOCK_REPLACE, SK_LOCK_THROTTLE };

struct sk_lock {
  enum sk_lock_mode mode;
  struct sk_str key; /* 1 to SK_KEY_BYTES_MAX bytes, any */
  int64_t ttl_ms;    /* 0: as long as its job; THROTTLE: > 0 */
};

/* Reads a job's lock; the empty text is none.  key points into text.  SK_OK, SK_EINVAL, SK_ELIMIT (key, ttl). */
enum sk_code sk_lock_parse(struct sk_str text, struct sk_lock *out, struct sk_err *err);

#endif
