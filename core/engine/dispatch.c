/* dispatch.c - which worker gets which job.
 *
 * Credit-based: a worker is offered at most `concurrency` jobs, and when its jobs are short (fetch.c measures that) a few more ahead.
 * Of those ahead it gets the next when half are gone, so that neither it nor the core wakes for a handful of jobs that take no time;
 * and no more workers get some in one turn than there are CPUs beside this one: those that wake when all CPUs are busy queue up behind
 * whoever is there (on two CPUs, both workers behind Redis), and wait for milliseconds while the core has nothing to do.
 * The least loaded worker is next.  A job that was offered and not started can be taken back at any moment (slot_page.h).  So no job
 * waits behind a slow one while a slot is free elsewhere:
 *   - a worker with more than it can run gives to one with a free slot (even_out), and so does one that is busy to one that is idle;
 *   - one whose job keeps the CPU gives all that it has not started (janitor.c);
 *   - what this engine can't start soon, because jobs turned out long or workers went away, goes back to the store, where other
 *     engines and more urgent jobs have their chance.
 *
 * A job that dies with its next crash, a suspect, runs in a worker with no other one, so that when that worker dies and nobody was on
 * the CPU, it is known whom to blame: no job dies for its neighbour.  The others wait for their turn (e->suspects), but not for
 * long: after a second they share a worker after all, since they take the room of jobs that nobody suspects. */
#include <assert.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/limits.h"
#include "engine/state.h"
#include "logic/rules.h"
#include "logic/wire.h"

enum {
  AHEAD_MIN = 32,         /* with fewer jobs ahead of it a worker is given each one as there is room */
  BUSY_MS = 5,            /* a job that keeps the CPU this long keeps others from starting */
  SUSPECT_WAIT_MS = 1000, /* for a worker without another suspect */
  NEXT_TURN_MS = 5,       /* until workers that got nothing in a turn have theirs, if nothing happens before */
};

void sk_dispatch_add(struct sk_engine *e, struct sk_run *run, bool front) {
  struct sk_list *list = run->mourning ? &e->mourners : &e->local;
  if (front)
    sk_list_push_front(list, &run->node);
  else
    sk_list_push(list, &run->node);
  if (run->mourning)
    e->mourners_n++;
  else
    e->local_n++;
  sk_engine_wake(e);
}

struct sk_run *sk_dispatch_pop(struct sk_engine *e, struct sk_list *node) {
  sk_list_remove(node);
  assert(e->local_n > 0);
  e->local_n--;
  return SK_RUN_OF(node);
}

struct sk_run *sk_dispatch_pop_suspect(struct sk_engine *e, struct sk_list *node) {
  sk_list_remove(node);
  assert(e->suspects_n > 0);
  e->suspects_n--;
  return SK_RUN_OF(node);
}

struct sk_run *sk_dispatch_pop_mourner(struct sk_engine *e, int64_t since_ms) {
  if (e->mourners_n == 0 || SK_RUN_OF(e->mourners.next)->mourn_since_ms > since_ms) return NULL;
  e->mourners_n--;
  return SK_RUN_OF(sk_list_pop(&e->mourners));
}

/* The last n. */
static void hand_back(struct sk_engine *e, size_t n) {
  for (; n > 0 && !sk_list_empty(&e->local); n--) sk_settle_hand_back(sk_dispatch_pop(e, e->local.prev));
  for (; n > 0 && !sk_list_empty(&e->suspects); n--) sk_settle_hand_back(sk_dispatch_pop_suspect(e, e->suspects.prev));
}

void sk_dispatch_hand_back_all(struct sk_engine *e) { hand_back(e, e->local_n + e->suspects_n); }

void sk_dispatch_detach(struct sk_run *run) {
  struct sk_worker *w = run->worker;
  assert(w != NULL && w->load > 0 && w->by_slot[run->slot] == run);
  sk_deadline_forget(run);
  sk_list_remove(&run->node);
  w->by_slot[run->slot] = NULL;
  w->free_slots[w->free_n++] = run->slot;
  w->load--;
  run->engine->given_n--;
  if (w->culprit == run) w->culprit = NULL;
  if (sk_run_is_suspect(run)) {
    w->suspects_n--;
    sk_engine_wake(run->engine); /* the next one may have its turn */
  }
  run->worker = NULL;
}

/* -- taking back ---------------------------------------------------------------------------------------------------------------- */

/* Takes an offered run out of its worker; it is in no list then.  False when the worker has started it. */
static bool withdraw(struct sk_run *run) {
  if (!sk_slot_page_move(run->worker->slot_page, run->slot, run->generation, SK_SLOT_OFFERED, SK_SLOT_REVOKED))
    return false;
  sk_dispatch_detach(run);
  return true;
}

/* False when the worker has started it. */
static bool take_back(struct sk_run *run) {
  if (!withdraw(run)) return false;
  sk_dispatch_add(run->engine, run, true);
  return true;
}

/* Takes back up to n that w has not started, the last ones first; returns how many.  Jobs start in the order they were offered, so
 * the first one that has started ends the search. */
static size_t take_back_last(struct sk_worker *w, size_t n) {
  size_t taken = 0;
  while (taken < n && !sk_list_empty(&w->runs) && take_back(SK_RUN_OF(w->runs.prev))) taken++;
  return taken;
}

void sk_dispatch_take_back_from(struct sk_worker *w) {
  for (struct sk_list *n = w->runs.prev, *prev = n->prev; n != &w->runs; n = prev, prev = n->prev)
    take_back(SK_RUN_OF(n));
}

void sk_dispatch_take_back_all(struct sk_engine *e) {
  SK_LIST_EACH (n, &e->workers) sk_dispatch_take_back_from(SK_WORKER_OF(n));
}

/* -- offering ------------------------------------------------------------------------------------------------------------------- */

/* What a JOB frame says after the record when only handlers are to run. */
static void add_mourning(struct sk_buf *out, const struct sk_run *run) {
  bool expired = run->ending == SK_END_EXPIRED; /* whatever the error of an attempt before it was */
  sk_buf_add_byte(out, (char)(expired ? SK_KIND_EXPIRED : run->job.error_kind));
  sk_buf_add_byte(out, run->decision.kind != SK_SETTLE_RETRY);
  sk_wire_add_str(out, expired ? sk_str_c(SK_EXPIRED_TEXT) : run->job.error);
}

static void offer(struct sk_worker *w, struct sk_run *run) {
  assert(w->free_n > 0 && (run->task != NULL || run->mourning));
  if (w->engine->given_n == 0) sk_fetch_count_first(w->engine);
  uint32_t slot = w->free_slots[--w->free_n];
  struct sk_slot_page_slot *s = &w->slot_page->slots[slot];
  run->worker = w;
  run->worker_number = w->number;
  run->slot = slot;
  run->generation = (uint32_t)(atomic_load(&s->word) >> 2) + 1;
  atomic_store(&s->started_ms, 0);
  atomic_store(&s->word, sk_slot_page_word(run->generation, SK_SLOT_OFFERED));
  w->by_slot[slot] = run;
  sk_list_push(&w->runs, &run->node);
  w->load++;
  w->engine->given_n++;
  w->used = true;
  w->suspects_n += sk_run_is_suspect(run);
  struct sk_buf *out = sk_pipe_out(w->pipe);
  size_t at = sk_wire_begin(out, SK_FRAME_JOB);
  sk_buf_add_u32(out, slot);
  sk_buf_add_u32(out, run->generation);
  sk_wire_add_i64(out, run->timeout_ms);
  sk_wire_add_i64(out, sk_job_retries(&run->job, run->task ? &run->task->template : NULL));
  sk_wire_add_str(out, sk_str(run->bytes, (size_t)(run->queue.p - run->bytes)));
  if (run->mourning) add_mourning(out, run);
  sk_wire_end(out, at);
  if (run->timeout_ms > 0) sk_deadline_watch(run);
}

static bool is_expired(const struct sk_run *run) {
  if (!run->may_expire || run->mourning) return false;
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

/* The worker with the least jobs of those below `ceiling`, with `innocent` of those without a suspect; NULL when there is none. */
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

/* Gives each suspect to the least loaded worker that has none, and those that have waited long enough to any.  Each round gives one
 * away, so there are no more rounds than suspects. */
static void hand_out_suspects(struct sk_engine *e, uint32_t ceiling) {
  int64_t long_ago = sk_clock_mono_ms() - SUSPECT_WAIT_MS;
  while (!sk_list_empty(&e->suspects)) {
    struct sk_worker *w = least_loaded(e, ceiling, true);
    if (w == NULL && SK_RUN_OF(e->suspects.next)->suspect_since_ms <= long_ago) w = least_loaded(e, ceiling, false);
    if (w == NULL) return;
    offer(w, sk_dispatch_pop_suspect(e, e->suspects.next));
  }
}

static void push_suspect(struct sk_engine *e, struct sk_run *run) {
  run->suspect_since_ms = sk_clock_mono_ms();
  sk_list_push(&e->suspects, &run->node);
  e->suspects_n++;
}

static void hand_out_mourners(struct sk_engine *e, uint32_t ceiling) {
  struct sk_worker *w;
  while (e->mourners_n > 0 && (w = least_loaded(e, ceiling, false)) != NULL)
    offer(w, sk_dispatch_pop_mourner(e, INT64_MAX));
}

/* The least loaded of those that are being filled. */
static struct sk_worker *least_filled(const struct sk_engine *e, uint32_t ceiling) {
  struct sk_worker *best = NULL;
  SK_LIST_EACH (n, &e->workers) {
    struct sk_worker *w = SK_WORKER_OF(n);
    if (w->filling && w->load < ceiling && (best == NULL || w->load < best->load)) best = w;
  }
  return best;
}

/* Chooses which workers are filled now: those with less than `low`, the least loaded first, at most `max` of them. */
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

/* Gives waiting jobs out until each worker that has less than `low` has `ceiling`; at most `max` workers get some. */
static void hand_out(struct sk_engine *e, uint32_t low, uint32_t ceiling, uint32_t max) {
  hand_out_mourners(e, ceiling);
  hand_out_suspects(e, ceiling);
  choose_filled(e, low, max);
  struct sk_worker *w;
  while (e->local_n > 0 && (w = least_filled(e, ceiling)) != NULL) {
    struct sk_run *run = sk_dispatch_pop(e, e->local.next);
    if (sk_run_is_suspect(run) && !is_expired(run))
      push_suspect(e, run);
    else
      give(w, run);
  }
  hand_out_suspects(e, ceiling);
}

/* Moves up to n jobs that `rich` has not started to `poor`, the last ones, in their order; returns how many.  A suspect stays where it is
 * when `poor` has one already: it would wait there, too. */
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
    if (!withdraw(run)) break; /* jobs start in the order in which they were offered */
    sk_list_push_front(&moved, &run->node);
    moved_n++;
    suspects_n += suspect;
  }
  for (struct sk_list *it; (it = sk_list_pop(&moved)) != NULL;) give(poor, SK_RUN_OF(it));
  return moved_n;
}

/* How many jobs `rich` can't start yet that `poor` could. */
static size_t surplus_of(const struct sk_worker *rich, const struct sk_worker *poor) {
  size_t concurrency = poor->engine->options.concurrency;
  size_t surplus = rich->load > concurrency ? rich->load - concurrency : 0;
  size_t room = concurrency - poor->load;
  bool busy = sk_slot_page_running_for_ms(rich->slot_page, sk_clock_mono_ms()) >= BUSY_MS;
  if (surplus == 0 && poor->load == 0 && busy) surplus = (rich->load + 1) / 2;
  return surplus < room ? surplus : room;
}

/* Nothing waits here: moves what `rich` can't start yet to workers with a free slot; with many jobs that are short, only to workers that
 * have nothing to do, since the next fetch is here before the others have.  A job goes from the most to the least loaded worker and
 * never back in the same turn: each round fills one worker or empties another one's surplus, and there are no more rounds than workers. */
static void even_out(struct sk_engine *e, bool many) {
  SK_LIST_EACH (n, &e->workers) { /* counts the rounds */
    struct sk_worker *poor = least_loaded(e, e->options.concurrency, false), *rich = most_loaded(e);
    if (e->local_n > 0 || poor == NULL || rich == NULL || rich == poor || (many && poor->load > 0)) return;
    if (move_last(rich, poor, surplus_of(rich, poor)) == 0) return;
  }
}

/* A worker that drains runs handlers still.  When the last one has gone there is a new one for what is left of them. */
static void mourn_while_stopping(struct sk_engine *e) {
  if (e->killing) {
    sk_mourning_give_up(e);
  } else if (e->mourners_n > 0) {
    hand_out_mourners(e, UINT32_MAX);
    if (e->mourners_n > 0 && sk_list_empty(&e->workers)) e->mourns_late = sk_supervisor_add_one(e);
    if (e->mourners_n > 0 && sk_list_empty(&e->workers)) sk_mourning_give_up(e);
  } else if (e->mourns_late && e->given_n == 0) {
    sk_supervisor_drain(e);
  }
}

void sk_dispatch_turn(struct sk_engine *e) {
  if (e->stopping) {
    sk_dispatch_hand_back_all(e);
    mourn_while_stopping(e);
    return;
  }
  uint32_t ready = sk_supervisor_ready_n(e);
  if (ready == 0) return;
  uint32_t concurrency = e->options.concurrency;
  size_t depth = sk_fetch_depth(e) / ready;
  uint32_t ahead = depth < SK_WORKER_WINDOW ? (uint32_t)depth : SK_WORKER_WINDOW;
  bool many = ahead >= AHEAD_MIN;
  uint32_t low = concurrency + (many ? ahead / 2 : ahead);
  hand_out(e, low, concurrency + ahead, many ? e->fill_max : UINT32_MAX);
  if (e->local_n > 0 && least_loaded(e, low, false) && !sk_timer_active(e->next_turn))
    sk_timer_start(e->next_turn, NEXT_TURN_MS);
  even_out(e, many);
}

/* -- life ---------------------------------------------------------------------------------------------------------------------- */

static void on_next_turn(void *ctx) { sk_engine_wake(ctx); }

enum sk_code sk_dispatch_init(struct sk_engine *e, struct sk_err *err) {
  long cpus = sysconf(_SC_NPROCESSORS_ONLN);
  e->fill_max = cpus > 2 ? (uint32_t)cpus - 1 : 1;
  e->next_turn = sk_timer_new(e->loop, on_next_turn, e);
  return e->next_turn ? SK_OK : sk_err_set(err, SK_ENOMEM, "engine: out of memory");
}

void sk_dispatch_fini(struct sk_engine *e) { sk_timer_free(e->next_turn); }

/* -- what changed -------------------------------------------------------------------------------------------------------------- */

/* Whether what waits would wait for long.  Workers that load take it in a moment, unless they never get that far. */
static bool is_slow(const struct sk_engine *e) {
  if (sk_supervisor_ready_n(e) == 0) return e->deaths_in_a_row > 1;
  bool stuck = false;
  SK_LIST_EACH (n, &e->workers) stuck |= SK_WORKER_OF(n)->stuck;
  return stuck || sk_fetch_jobs_are_long(e);
}

void sk_dispatch_hand_back_surplus(struct sk_engine *e) {
  int64_t room = sk_fetch_room(e);
  if (room >= 0 || !is_slow(e)) return;
  size_t surplus = (size_t)-room;
  for (struct sk_worker *w; e->local_n < surplus && (w = most_loaded(e)) != NULL && w->load > e->options.concurrency;)
    if (take_back_last(w, w->load - e->options.concurrency) == 0) break;
  hand_back(e, surplus);
}

void sk_dispatch_find_tasks(struct sk_engine *e) {
  SK_LIST_EACH_SAFE(n, &e->local) {
    struct sk_run *run = SK_RUN_OF(n);
    run->task = sk_tasks_find(e->tasks, run->job.task);
    if (run->task == NULL) sk_settle_unknown(sk_dispatch_pop(e, n));
  }
  SK_LIST_EACH_SAFE(n, &e->suspects) {
    struct sk_run *run = SK_RUN_OF(n);
    run->task = sk_tasks_find(e->tasks, run->job.task);
    if (run->task == NULL) sk_settle_unknown(sk_dispatch_pop_suspect(e, n));
  }
}
