/* lock.h - the lock that a unique job takes when it is enqueued (ops.h, LOCKS), and its text form.
 *
 *   lock   := mode ";" ttl_ms ";" source
 *   mode   := "reject" | "replace" | "throttle" | "debounce"
 *   source := "=" key      the key itself; a job's record has only this form
 *           | "args"       templates only, the client makes the key: of the task's name and all args,
 *           | "arg:" n       of the task's name and the n-th arg (1 is the first),
 *           | "fn"           of the value that a function of the script returns; a client without that script cannot
 *                            enqueue the task
 *
 * "debounce" stands in templates only: ttl_ms is the quiet time.  The client enqueues the job with "replace;0;=key" and
 * with that time as its delay. */
#ifndef SK_LOGIC_LOCK_H
#define SK_LOGIC_LOCK_H

#include <stdint.h>

#include "base/err.h"
#include "base/str.h"

enum sk_lock_mode { SK_LOCK_NONE, SK_LOCK_REJECT, SK_LOCK_REPLACE, SK_LOCK_THROTTLE };

struct sk_lock {
  enum sk_lock_mode mode;
  struct sk_str key; /* 1 to SK_KEY_BYTES_MAX bytes, any */
  int64_t ttl_ms;    /* 0: the lock ends with its job; THROTTLE: > 0 */
};

/* Reads a job's lock; the empty text means no lock.  out->key points into text.  SK_OK, SK_EINVAL, SK_ELIMIT (key,
 * ttl). */
enum sk_code sk_lock_parse(struct sk_str text, struct sk_lock *out, struct sk_err *err);

#endif
