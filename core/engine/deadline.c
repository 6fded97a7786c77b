/* deadline.c - hard timeouts: when a job has not stopped SK_HARD_GRACE_MS after its soft timeout, or after its worker
 * was told that it is cancelled (cancel.c), the worker is killed.
 *
 * The worker applies the soft timeout (core/lua/jobs.c) and writes down the moment of the start (slot_page.h).  So the
 * deadline is set when the job is offered, and moved when it turns out that the job started later.
 *
 * THE CULPRIT.  A worker in which one job keeps the CPU can stop none of the others in time.  So when a job has been on
 * the CPU since before the late job's soft timeout, that job is to blame, and the late one is only its neighbour. */
#include <stdlib.h>

#include "base/clock.h"
#include "base/limits.h"
#include "engine/state.h"

/* When the job started, or `now` if the worker has not written it down. */
static int64_t started_ms(const struct sk_run *run, int64_t now) {
  int64_t ms = sk_run_has_started(run) ? sk_slot_page_started_ms(run->worker->slot_page, run->slot, now) : 0;
  return ms > 0 ? ms : now;
}

/* When the job should stop by itself; INT64_MAX: it need not. */
static int64_t should_stop_ms(const struct sk_run *run, int64_t now) {
  int64_t ms = run->timeout_ms > 0 ? started_ms(run, now) + run->timeout_ms : INT64_MAX;
  return run->cancelled_ms > 0 && run->cancelled_ms < ms ? run->cancelled_ms : ms;
}

static int64_t deadline_of(const struct sk_run *run, int64_t now) {
  return should_stop_ms(run, now) + SK_HARD_GRACE_MS;
}

static void arm(struct sk_engine *e) {
  struct sk_heap_node *first = sk_heap_first(&e->hard);
  if (first == NULL)
    sk_timer_stop(e->hard_timer);
  else
    sk_timer_start(e->hard_timer, first->key - sk_clock_mono_ms() + 1);
}

static void insert(struct sk_run *run, int64_t deadline) {
  if (sk_heap_insert(&run->engine->hard, &run->hard, deadline)) return;
  sk_logf(run->engine->log, SK_LOG_ERROR, "job %.*s: out of memory: it runs without its hard timeout",
          SK_STR_ARG(run->id));
}

void sk_deadline_watch(struct sk_run *run) {
  struct sk_engine *e = run->engine;
  struct sk_heap_node *before = sk_heap_first(&e->hard);
  if (sk_heap_has(&run->hard)) sk_heap_remove(&e->hard, &run->hard);
  insert(run, deadline_of(run, sk_clock_mono_ms()));
  if (sk_heap_first(&e->hard) != before || before == &run->hard) arm(e);
}

static struct sk_run *culprit_of(struct sk_run *late, int64_t now) {
  const struct sk_worker *w = late->worker;
  uint32_t running = atomic_load(&w->slot_page->running);
  if (running == 0 || running > w->slots_n) return late;
  struct sk_run *on_cpu = w->by_slot[running - 1];
  if (on_cpu == NULL || on_cpu == late || !sk_run_has_started(on_cpu)) return late;
  int64_t should_stop = should_stop_ms(late, now);
  bool in_the_way =
      now - sk_slot_page_running_for_ms(w->slot_page, now) <= should_stop && started_ms(on_cpu, now) <= should_stop;
  return in_the_way ? on_cpu : late;
}

static void end(struct sk_run *late, int64_t now) {
  struct sk_worker *w = late->worker;
  struct sk_run *culprit = culprit_of(late, now);
  const char *what = late->late               ? "has handlers that do not end"
                     : late->cancelled_ms > 0 ? "was cancelled and does not stop"
                                              : "is past its hard timeout";
  sk_logf(w->engine->log, SK_LOG_WARN, "job %.*s %s, killing worker %u", SK_STR_ARG(late->id), what, w->number);
  if (culprit != late)
    sk_logf(w->engine->log, SK_LOG_WARN, "job %.*s kept it from stopping: it has had the CPU for %.1f s",
            SK_STR_ARG(culprit->id), (double)sk_slot_page_running_for_ms(w->slot_page, now) / 1000.0);
  sk_worker_kill(w, SK_KILL_TIMEOUT, culprit);
}

static void on_hard_timer(void *ctx) {
  struct sk_engine *e = ctx;
  int64_t now = sk_clock_mono_ms();
  struct sk_heap_node *first;
  while ((first = sk_heap_first(&e->hard)) != NULL && first->key <= now) {
    struct sk_run *run = SK_CONTAINER(first, struct sk_run, hard);
    sk_heap_remove(&e->hard, first);
    int64_t deadline = deadline_of(run, now);
    if (deadline <= now)
      end(run, now);
    else
      insert(run, deadline);
  }
  arm(e);
}

enum sk_code sk_deadline_init(struct sk_engine *e, struct sk_err *err) {
  e->hard_timer = sk_timer_new(e->loop, on_hard_timer, e);
  return e->hard_timer ? SK_OK : sk_err_set(err, SK_ENOMEM, "engine: out of memory");
}

void sk_deadline_fini(struct sk_engine *e) {
  sk_timer_free(e->hard_timer);
  sk_heap_fini(&e->hard);
}
