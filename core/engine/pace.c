/* pace.c - how many jobs to hold: the free slots, and ahead of them as many jobs as end in a few milliseconds.
 *
 * So workers with short jobs never wait for the store, and with long jobs this engine holds none that another engine,
 * or a job of higher priority, could use. */
#include "engine/state.h"

enum {
  AHEAD_MS = 8,       /* jobs are held ahead for this long, and for the way to the store and back */
  FETCH_MS_MAX = 200, /* a longer fetch is an outage and tells nothing about the way */
  RATE_MS = 2,        /* the rate is computed at most this often */
  QUIET_MS = 20,      /* after a longer pause the rate begins anew */
  LONG_MS = 50,       /* jobs are long when workers have some and none has ended for this long */
};

void sk_pace_init(struct sk_engine *e) {
  e->rate_at_us = sk_clock_mono_us();
  e->record_bytes = SK_ARGS_BYTES_MAX; /* until jobs have been fetched */
}

void sk_pace_job_ended(struct sk_engine *e) {
  int64_t now = sk_clock_mono_us();
  int64_t us = now - e->rate_at_us;
  e->silent_since_ms = now / 1000;
  e->rate_n++;
  if (us < RATE_MS * 1000) return;
  double per_ms = (double)e->rate_n * 1000.0 / (double)us;
  e->per_ms = us > QUIET_MS * 1000 ? per_ms : 0.6 * e->per_ms + 0.4 * per_ms;
  e->rate_at_us = now;
  e->rate_n = 0;
}

void sk_pace_first_job(struct sk_engine *e) { e->silent_since_ms = sk_clock_mono_ms(); }

void sk_pace_fetched(struct sk_engine *e, const struct sk_fetch_op *fetched) {
  size_t bytes = 0;
  for (size_t i = 0; i < fetched->jobs_n; i++) bytes += fetched->jobs[i].record.n;
  if (fetched->jobs_n > 0) e->record_bytes = 0.5 * e->record_bytes + 0.5 * (double)bytes / (double)fetched->jobs_n;

  double ms = (double)(sk_clock_mono_us() - e->fetch_sent_us) / 1000.0;
  if (ms > FETCH_MS_MAX) ms = FETCH_MS_MAX;
  e->fetch_ms = 0.8 * e->fetch_ms + 0.2 * ms;
}

bool sk_pace_jobs_are_long(const struct sk_engine *e) {
  return e->given_n > 0 && sk_clock_mono_ms() - e->silent_since_ms >= LONG_MS;
}

size_t sk_pace_depth(const struct sk_engine *e) {
  double depth = e->per_ms * (AHEAD_MS + 2 * e->fetch_ms); /* the next fetch arrives before the last of them ends */
  if (depth < 1 || sk_pace_jobs_are_long(e)) return 0;
  return depth >= SK_PREFETCH_MAX ? SK_PREFETCH_MAX : (size_t)depth;
}

/* Workers that are stuck, drained or dead have no capacity, and their jobs take none of the others'. */
int64_t sk_pace_capacity(const struct sk_engine *e) {
  int64_t capacity = 0;
  bool any = false;
  SK_LIST_EACH (n, &e->workers) {
    const struct sk_worker *w = SK_WORKER_OF(n);
    if (w->state != SK_WORKER_READY || w->stuck) continue;
    any = true;
    capacity += (int64_t)e->options.concurrency - (int64_t)w->load;
  }
  if (any) capacity += (int64_t)sk_pace_depth(e);
  return capacity - (int64_t)(e->local_n + e->suspects_n);
}
