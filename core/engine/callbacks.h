/* callbacks.h - the callbacks of a job (logic/callback.h), made into jobs that are enqueued in the atomic settle of its
 * end.
 *
 * run.c lets no job start whose callbacks cannot be read.  A callback that still cannot be used is logged and left out,
 * since the end of the job must not depend on it. */
#ifndef SK_ENGINE_CALLBACKS_H
#define SK_ENGINE_CALLBACKS_H

#include "base/arena.h"
#include "base/log.h"
#include "logic/transition.h"
#include "store/store.h"

struct sk_callbacks {
  struct sk_enqueue_item *items; /* for sk_settle_item.callbacks */
  size_t n;
  int64_t due_in_ms;    /* when the earliest is due */
  struct sk_arena text; /* what the items point to */
};

struct sk_callbacks_end {
  const struct sk_job *job; /* as sk_transition has changed it */
  enum sk_ending ending;
  enum sk_settle_kind kind;
  int64_t now_ms; /* wall clock */
  size_t args_bytes_max;
  const struct sk_log *log;
};

/* Makes the callbacks of this end.  The caller owns *out; NULL: there are none.  False when memory is out. */
bool sk_callbacks_new(const struct sk_callbacks_end *end, struct sk_callbacks **out);
void sk_callbacks_free(struct sk_callbacks *callbacks); /* NULL is fine */

#endif
