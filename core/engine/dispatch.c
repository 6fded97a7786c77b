/* dispatch.c - which worker gets which job.
 *
 * A worker is offered at most `concurrency` jobs, and when jobs are short (pace.c) some more ahead of them.  It gets
 * more of those when half are gone, so that neither it nor the core wakes for a handful of very short jobs.  In one
 * turn no more workers get jobs than there are CPUs beside this one: on busy CPUs the others would wait for
 * milliseconds behind the processes that run there (on two CPUs, both workers behind Redis).  The least loaded worker
 * is next.  A job that was offered and not started can be taken back at any moment (slot_page.h), so no job waits
 * behind a slow one while a slot is free elsewhere:
 *   - A worker with more jobs than it can run gives some to one with a free slot (even_out); so does a busy worker to
 *     an idle one.
 *   - A worker whose job keeps the CPU gives away all jobs that it has not started (janitor.c).
 *   - Jobs that this engine cannot start soon, because jobs turned out long or workers went away, go back to the store:
 *     other engines can fetch them there, and more urgent jobs go first.
 *
 * A suspect, a job that dies with its next crash, gets a worker without another suspect.  When that worker dies and no
 * job was on the CPU, the suspect is to blame, and no job dies for a crash of its neighbour.  Other suspects wait
 * (e->suspects), for a second at most: then they share a worker, since they take the capacity of other jobs. */
#include <assert.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/limits.h"
#include "engine/state.h"
#include "logic/rules.h"
#include "logic/wire.h"

enum {
  AHEAD_MIN = 32,         /* with fewer jobs ahead, a worker gets each one as soon as it fits */
  BUSY_MS = 5,            /* a job on the CPU for so long keeps others from starting */
  SUSPECT_WAIT_MS = 1000, /* how long a suspect waits for a worker without another one */
  NEXT_TURN_MS = 5,       /* until the workers that got no jobs in a turn get some, if no event comes before */
};

/* Hands the last run of a list back. */
static void hand_back_last(const struct sk_list *list) {
  struct sk_run *run = SK_RUN_OF(list->prev);
  sk_run_take(run);
  sk_settle_hand_back(run);
}

/* Hands back the last n runs that wait for a worker. */
static void hand_back(struct sk_engine *e, size_t n) {
  for (; n > 0 && !sk_list_empty(&e->local); n--) hand_back_last(&e->local);
  for (; n > 0 && !sk_list_empty(&e->suspects); n--) hand_back_last(&e->suspects);
}

void sk_dispatch_hand_back_all(struct sk_engine *e) { hand_back(e, e->local_n + e->suspects_n); }

/* -- offering ------------------------------------------------------------------------------------------------------ */

/* The end of a JOB frame of which only the late handlers are to run. */
static void add_late(struct sk_buf *out, const struct sk_run *run) {
  bool expired = run->ending == SK_END_EXPIRED; /* the error in the record is that of an earlier attempt */
  sk_buf_add_byte(out, (char)(expired ? SK_KIND_EXPIRED : run->job.error_kind));
  sk_buf_add_byte(out, run->decision.kind != SK_SETTLE_RETRY);
  sk_wire_add_str(out, expired ? sk_str_c(SK_EXPIRED_TEXT) : run->job.error);
}

static void offer(struct sk_worker *w, struct sk_run *run) {
  assert(run->task != NULL || run->late);
  if (w->engine->given_n == 0) sk_pace_first_job(w->engine);
  sk_run_give(run, w);
  struct sk_buf *out = sk_pipe_out(w->pipe);
  size_t at = sk_wire_begin(out, SK_FRAME_JOB);
  sk_buf_add_u32(out, run->slot);
  sk_buf_add_u32(out, run->generation);
  sk_wire_add_i64(out, run->timeout_ms);
  sk_wire_add_i64(out, sk_job_retries(&run->job, run->task ? &run->task->template : NULL));
  sk_wire_add_str(out, sk_str(run->bytes, (size_t)(run->queue.p - run->bytes)));
  if (run->late) add_late(out, run);
  sk_wire_end(out, at);
  if (run->timeout_ms > 0) sk_deadline_watch(run);
}

static bool is_expired(const struct sk_run *run) {
  if (!run->may_expire || run->late) return false;
  int64_t now_ms = sk_engine_now_ms(run->engine);
  return sk_start_refusal(&run->job, &run->task->template, now_ms) == SK_REFUSAL_EXPIRED;
}

static void give(struct sk_worker *w, struct sk_run *run) {
  if (is_expired(run))
    sk_settle_expired(run);
  else
    offer(w, run);
}

static bool can_take(const struct sk_worker *w) {
  bool works = w->state == SK_WORKER_READY ||
               (w->engine->stopping && w->state == SK_WORKER_DRAINING && w->killed == SK_KILL_NONE);
  if (!works || w->stuck || w->pipe_closed || w->free_n == 0) return false;
  return sk_pipe_pending(w->pipe) <= SK_WORKER_OUT_BYTES_MAX;
}

/* The worker with the fewest jobs among those below `ceiling`, with `innocent` among those without a suspect; NULL:
 * there is none. */
static struct sk_worker *least_loaded(const struct sk_engine *e, uint32_t ceiling, bool innocent) {
  struct sk_worker *best = NULL;
  SK_LIST_EACH (n, &e->workers) {
    struct sk_worker *w = SK_WORKER_OF(n);
    if (!can_take(w) || w->load >= ceiling || (innocent && w->suspects_n > 0)) continue;
    if (best == NULL || w->load < best->load) best = w;
  }
  return best;
}

static struct sk_worker *most_loaded(const struct sk_engine *e) {
  struct sk_worker *best = NULL;
  SK_LIST_EACH (n, &e->workers) {
    struct sk_worker *w = SK_WORKER_OF(n);
    if (w->load > 0 && (best == NULL || w->load > best->load)) best = w;
  }
  return best;
}

/* Gives suspects to the least loaded worker without one, and those that have waited long enough to any.  Each round
 * gives one away, so there are no more rounds than suspects. */
static void hand_out_suspects(struct sk_engine *e, uint32_t ceiling) {
  int64_t long_ago = sk_clock_mono_ms() - SUSPECT_WAIT_MS;
  while (!sk_list_empty(&e->suspects)) {
    struct sk_worker *w = least_loaded(e, ceiling, true);
    if (w == NULL && SK_RUN_OF(e->suspects.next)->suspect_since_ms <= long_ago) w = least_loaded(e, ceiling, false);
    if (w == NULL) return;
    struct sk_run *run = SK_RUN_OF(e->suspects.next);
    sk_run_take(run);
    offer(w, run);
  }
}

static void hand_out_late(struct sk_engine *e, uint32_t ceiling) {
  struct sk_worker *w;
  while (e->late_n > 0 && (w = least_loaded(e, ceiling, false)) != NULL) offer(w, sk_late_handlers_next(e, INT64_MAX));
}

/* The least loaded of the workers that are filled in this turn. */
static struct sk_worker *least_filled(const struct sk_engine *e, uint32_t ceiling) {
  struct sk_worker *best = NULL;
  SK_LIST_EACH (n, &e->workers) {
    struct sk_worker *w = SK_WORKER_OF(n);
    if (w->filling && w->load < ceiling && (best == NULL || w->load < best->load)) best = w;
  }
  return best;
}

/* Chooses the workers to fill in this turn: those with fewer than `low` jobs, the least loaded first, at most `max` of
 * them. */
static void choose_filled(struct sk_engine *e, uint32_t low, uint32_t max) {
  SK_LIST_EACH (n, &e->workers) SK_WORKER_OF(n)->filling = false;
  for (; max > 0; max--) {
    struct sk_worker *next = NULL;
    SK_LIST_EACH (n, &e->workers) {
      struct sk_worker *w = SK_WORKER_OF(n);
      if (can_take(w) && !w->filling && w->load < low && (next == NULL || w->load < next->load)) next = w;
    }
    if (next == NULL) return;
    next->filling = true;
  }
}

/* Gives waiting jobs out until each worker that has fewer than `low` has `ceiling`; at most `max` workers get some. */
static void hand_out(struct sk_engine *e, uint32_t low, uint32_t ceiling, uint32_t max) {
  hand_out_late(e, ceiling);
  hand_out_suspects(e, ceiling);
  choose_filled(e, low, max);
  struct sk_worker *w;
  while (e->local_n > 0 && (w = least_filled(e, ceiling)) != NULL) {
    struct sk_run *run = SK_RUN_OF(e->local.next);
    sk_run_take(run);
    if (sk_run_is_suspect(run) && !is_expired(run))
      sk_run_wait_alone(run);
    else
      give(w, run);
  }
  hand_out_suspects(e, ceiling);
}

/* Moves up to n jobs that `rich` has not started to `poor`: the last ones, in their order.  Returns how many.  A
 * suspect stays when `poor` has one already, since it would wait there, too. */
static size_t move_last(struct sk_worker *rich, struct sk_worker *poor, size_t n) {
  struct sk_list moved;
  sk_list_init(&moved);
  size_t moved_n = 0, suspects_n = poor->suspects_n;
  if (n > poor->free_n) n = poor->free_n;
  for (struct sk_list *it = rich->runs.prev, *prev = it->prev; it != &rich->runs && moved_n < n;
       it = prev, prev = it->prev) {
    struct sk_run *run = SK_RUN_OF(it);
    bool suspect = sk_run_is_suspect(run);
    if (suspect && suspects_n > 0) continue;
    if (!sk_run_withdraw(run)) break; /* jobs start in the order in which they were offered */
    sk_list_push_front(&moved, &run->node);
    moved_n++;
    suspects_n += suspect;
  }
  for (struct sk_list *it; (it = sk_list_pop(&moved)) != NULL;) give(poor, SK_RUN_OF(it));
  return moved_n;
}

/* How many jobs `poor` could start that `rich` cannot start yet. */
static size_t surplus_of(const struct sk_worker *rich, const struct sk_worker *poor) {
  size_t concurrency = poor->engine->options.concurrency;
  size_t surplus = rich->load > concurrency ? rich->load - concurrency : 0;
  size_t free_slots = concurrency - poor->load;
  bool busy = sk_slot_page_running_for_ms(rich->slot_page, sk_clock_mono_ms()) >= BUSY_MS;
  if (surplus == 0 && poor->load == 0 && busy) surplus = (rich->load + 1) / 2;
  return surplus < free_slots ? surplus : free_slots;
}

/* When no job waits in e->local: moves jobs that a worker cannot start yet to workers with a free slot.  With many
 * short jobs, only idle workers get some, since the next fetch arrives before the others are idle.  A job goes from the
 * most to the least loaded worker and never back in the same turn: each round fills one worker or empties the surplus
 * of another, so there are no more rounds than workers. */
static void even_out(struct sk_engine *e, bool many) {
  SK_LIST_EACH (n, &e->workers) { /* counts the rounds */
    struct sk_worker *poor = least_loaded(e, e->options.concurrency, false), *rich = most_loaded(e);
    if (e->local_n > 0 || poor == NULL || rich == NULL || rich == poor || (many && poor->load > 0)) return;
    if (move_last(rich, poor, surplus_of(rich, poor)) == 0) return;
  }
}

/* A draining worker still runs late handlers.  When the last worker has gone, a new one is started for those that are
 * left. */
static void run_late_while_stopping(struct sk_engine *e) {
  if (e->killing) {
    sk_late_handlers_give_up(e);
  } else if (e->late_n > 0) {
    hand_out_late(e, UINT32_MAX);
    if (e->late_n > 0 && sk_list_empty(&e->workers)) e->late_worker_started = sk_supervisor_add_one(e);
    if (e->late_n > 0 && sk_list_empty(&e->workers)) sk_late_handlers_give_up(e);
  } else if (e->late_worker_started && e->given_n == 0) {
    sk_worker_drain_all(e);
  }
}

void sk_dispatch_turn(struct sk_engine *e) {
  if (e->stopping) {
    sk_dispatch_hand_back_all(e);
    run_late_while_stopping(e);
    return;
  }
  uint32_t ready = sk_worker_ready_n(e);
  if (ready == 0) return;
  uint32_t concurrency = e->options.concurrency;
  size_t depth = sk_pace_depth(e) / ready;
  uint32_t ahead = depth < SK_WORKER_WINDOW ? (uint32_t)depth : SK_WORKER_WINDOW;
  bool many = ahead >= AHEAD_MIN;
  uint32_t low = concurrency + (many ? ahead / 2 : ahead);
  hand_out(e, low, concurrency + ahead, many ? e->fill_max : UINT32_MAX);
  if (e->local_n > 0 && least_loaded(e, low, false) && !sk_timer_active(e->next_turn))
    sk_timer_start(e->next_turn, NEXT_TURN_MS);
  even_out(e, many);
}

/* -- life ---------------------------------------------------------------------------------------------------------- */

static void on_next_turn(void *ctx) { sk_engine_wake(ctx); }

enum sk_code sk_dispatch_init(struct sk_engine *e, struct sk_err *err) {
  long cpus = sysconf(_SC_NPROCESSORS_ONLN);
  e->fill_max = cpus > 2 ? (uint32_t)cpus - 1 : 1;
  e->next_turn = sk_timer_new(e->loop, on_next_turn, e);
  return e->next_turn ? SK_OK : sk_err_set(err, SK_ENOMEM, "engine: out of memory");
}

void sk_dispatch_fini(struct sk_engine *e) { sk_timer_free(e->next_turn); }

/* -- what changed -------------------------------------------------------------------------------------------------- */

/* True when waiting jobs would wait for long.  Workers that load take them in a moment, unless such workers die again
 * and again. */
static bool is_slow(const struct sk_engine *e) {
  if (sk_worker_ready_n(e) == 0) return e->deaths_in_a_row > 1;
  bool stuck = false;
  SK_LIST_EACH (n, &e->workers) stuck |= SK_WORKER_OF(n)->stuck;
  return stuck || sk_pace_jobs_are_long(e);
}

void sk_dispatch_hand_back_surplus(struct sk_engine *e) {
  int64_t capacity = sk_pace_capacity(e);
  if (capacity >= 0 || !is_slow(e)) return;
  size_t surplus = (size_t)-capacity;
  for (struct sk_worker *w; e->local_n < surplus && (w = most_loaded(e)) != NULL && w->load > e->options.concurrency;)
    if (sk_run_take_back_last(w, w->load - e->options.concurrency) == 0) break;
  hand_back(e, surplus);
}
