/* waits.h - callers that wait for the end of a job.
 *
 * Many callers may wait, for one job or for many.  Their jobs are looked up together, one store operation at a time,
 * when an event tells that a job may have ended, and never in between.  A job that this engine has settled is looked up
 * next.  When other engines or clients have changed something unknown, all jobs are looked up in turns, LOOK_IDS_PER_MS
 * of them at most, so that the changes of others do not decide how much work is done here. */
#ifndef SK_ENGINE_WAITS_H
#define SK_ENGINE_WAITS_H

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"
#include "base/str.h"

struct sk_loop;
struct sk_store;
struct sk_view;
struct sk_wait;
struct sk_waits;

/* SK_OK: the job is in a final state or unknown, see view; SK_ETIMEOUT; SK_ECANCELLED: stopped.  view is NULL unless
 * SK_OK. */
typedef void (*sk_waited_cb)(void *ctx, enum sk_code code, const struct sk_view *view);

/* idle(ctx) is called after sk_waits_stop, when the last look is over; it may be NULL. */
struct sk_waits *sk_waits_new(struct sk_loop *loop, void (*idle)(void *ctx), void *ctx);
/* Call it before the first wait; the store is borrowed and must outlive the waits. */
void sk_waits_use(struct sk_waits *ws, struct sk_store *store);
/* timeout_ms: -1: for ever; 0: looks once.  cb is called once, later, and the wait is gone then.  NULL: memory is out,
 * and cb is not called. */
struct sk_wait *sk_waits_add(struct sk_waits *ws, struct sk_str id, int64_t timeout_ms, sk_waited_cb cb, void *ctx);
void sk_waits_changed(struct sk_waits *ws);                   /* any job may have ended */
void sk_waits_settled(struct sk_waits *ws, struct sk_str id); /* this job has ended */
void sk_waits_abandon(struct sk_wait *w);                     /* answers it with SK_ECANCELLED, at once */
/* Answers all waits with SK_ECANCELLED, at once. */
void sk_waits_stop(struct sk_waits *ws);
bool sk_waits_idle(const struct sk_waits *ws);
void sk_waits_free(struct sk_waits *ws); /* only when idle */

#endif
