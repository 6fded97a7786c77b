/* waits.h - those who wait for a job's end.
 *
 * Many may wait for one job, and for many jobs: they are looked at together, one store operation at a time, when something tells
 * that a job may have ended, and never in between.  A job that this engine has settled is looked at next.  When others have changed
 * something, and it is not known what, all jobs are looked at in turns, LOOK_IDS_PER_MS of them at most: what others change, and how
 * often, does not set the work that there is to do here. */
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

/* SK_OK with the job in a final state, or of an unknown one; SK_ETIMEOUT; SK_ECANCELLED: stopped.  view is NULL but for SK_OK. */
typedef void (*sk_waited_cb)(void *ctx, enum sk_code code, const struct sk_view *view);

/* idle(ctx) is called when the last look is over after sk_waits_stop; may be NULL. */
struct sk_waits *sk_waits_new(struct sk_loop *loop, void (*idle)(void *ctx), void *ctx);
/* Before anything is added; the store is borrowed and must outlive the waits. */
void sk_waits_use(struct sk_waits *ws, struct sk_store *store);
/* timeout_ms -1: for ever; 0: looks once.  cb is called once, later; the wait is gone then.  NULL: out of memory, cb will not be called. */
struct sk_wait *sk_waits_add(struct sk_waits *ws, struct sk_str id, int64_t timeout_ms, sk_waited_cb cb, void *ctx);
void sk_waits_changed(struct sk_waits *ws);                   /* any job may have ended */
void sk_waits_settled(struct sk_waits *ws, struct sk_str id); /* this one has */
void sk_waits_abandon(struct sk_wait *w);                     /* answers it with SK_ECANCELLED, at once */
/* Answers everyone with SK_ECANCELLED, at once. */
void sk_waits_stop(struct sk_waits *ws);
bool sk_waits_idle(const struct sk_waits *ws);
void sk_waits_free(struct sk_waits *ws); /* only when idle */

#endif
