/* callbacks.h - the jobs that a job's end brings about: its callbacks (logic/callback.h), to be enqueued in the same atomic settle.
 *
 * A callback that can't be used is logged and left out: the job's own end does not depend on it. */
#ifndef SK_ENGINE_CALLBACKS_H
#define SK_ENGINE_CALLBACKS_H

#include "base/arena.h"
#include "base/log.h"
#include "logic/transition.h"
#include "store/store.h"

struct sk_callbacks {
  struct sk_enqueue_item *items; /* for a settle's `follow` */
  size_t n;
  int64_t due_in_ms;    /* of the earliest */
  struct sk_arena text; /* what the items point to */
};

struct sk_callbacks_end {
  const struct sk_job *job; /* as sk_transition has left it */
  enum sk_ending ending;
  enum sk_settle_kind kind;
  int64_t now_ms; /* wall clock */
  size_t args_bytes_max;
  const struct sk_log *log;
};

/* The callbacks of a job that ends so: *out is owned by the caller, NULL when there are none.  False when out of memory. */
bool sk_callbacks_new(const struct sk_callbacks_end *end, struct sk_callbacks **out);
void sk_callbacks_free(struct sk_callbacks *follow); /* NULL is fine */

#endif
