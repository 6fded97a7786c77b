/* wake.c - when to fetch: events that tell of jobs, and the timer of due jobs.
 *
 * An event only notes what it tells; fetch.c looks at these notes once in a turn. */
#include "engine/state.h"
#include "logic/name.h"

void sk_wake_fetch(struct sk_engine *e) {
  e->fetch_wanted = true;
  if (e->fetching) e->fetch_again = true;
  sk_engine_wake(e);
}

void sk_wake_cancels(struct sk_engine *e) {
  e->cancels_wanted = true;
  sk_wake_fetch(e);
}

void sk_wake_all_queues(struct sk_engine *e) {
  if (e->served.n <= SK_FETCH_QUEUES_MAX)
    sk_queue_set_maybe_all(&e->served);
  else
    e->count_wanted = e->count_deep = true; /* a count costs less than a fetch from each */
  sk_wake_fetch(e);
}

void sk_wake_fetch_within(struct sk_engine *e, int64_t ms) {
  if (e->stopping) return;
  int64_t at = sk_clock_mono_ms() + ms;
  if (sk_timer_active(e->due) && e->due_at_ms <= at) return;
  e->due_at_ms = at;
  sk_timer_start(e->due, ms);
}

/* -- queues -------------------------------------------------------------------------------------------------------- */

/* False for a name that breaks the rules, which another client has used: that queue is not served, all others are. */
static bool check_name(struct sk_engine *e, struct sk_str name) {
  struct sk_err err;
  if (sk_name_check("queue", name, &err) == SK_OK) return true;
  if (!e->queues_wrong) sk_logf(e->log, SK_LOG_WARN, "%s: queues of such names are not served", err.message);
  e->queues_wrong = true;
  return false;
}

/* The queue of that name if it is to be served.  NULL: it is not, or memory is out. */
static struct sk_queue_set_entry *served_queue(struct sk_engine *e, struct sk_str name) {
  struct sk_queue_set_entry *queue = sk_queue_set_find(&e->served, name, 1, false);
  if (queue != NULL || !e->served.all || !check_name(e, name)) return queue;
  return sk_queue_set_find(&e->served, name, 1, true);
}

void sk_wake_queue(struct sk_engine *e, struct sk_str name, int64_t in_ms) {
  if (e->stopping) return;
  struct sk_queue_set_entry *queue = served_queue(e, name);
  if (queue == NULL) return;
  if (in_ms <= 0) {
    sk_queue_set_maybe(queue);
    sk_wake_fetch(e);
    return;
  }
  int64_t at_ms = sk_clock_mono_ms() + in_ms;
  if (at_ms < queue->due_at_ms) queue->due_at_ms = at_ms;
  if (e->fetching) queue->again = true; /* the store may have answered the fetch under way before it knew the job */
  sk_wake_fetch_within(e, in_ms);
}

void sk_wake_counted(struct sk_engine *e, const struct sk_count_op *count) {
  for (size_t i = 0; i < count->queues_n; i++) {
    const struct sk_queue_count *counted = &count->queues[i];
    struct sk_queue_set_entry *queue = served_queue(e, counted->name);
    if (queue == NULL) continue;
    int64_t later = counted->states[SK_STATE_SCHEDULED] + counted->states[SK_STATE_RETRY];
    bool ready = counted->states[SK_STATE_READY] > 0 && !counted->paused;
    if (ready || (later > 0 && (e->count_deep || queue->due_at_ms == SK_QUEUE_SET_NEVER))) sk_queue_set_maybe(queue);
  }
  sk_wake_fetch(e);
}
