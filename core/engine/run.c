/* run.c - a job that this engine holds, and its moves between the lists of state.h: no other file moves a run. */
#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/limits.h"
#include "engine/state.h"
#include "logic/callback.h"
#include "logic/job_check.h"
#include "logic/record.h"

static struct sk_str copy_to(char **at, struct sk_str s) {
  memcpy(*at, s.p, s.n);
  *at += s.n;
  return sk_str(*at - s.n, s.n);
}

void sk_run_count(struct sk_run *run) {
  size_t bytes = sizeof *run + (size_t)(run->id.p + run->id.n - run->bytes) + run->outcome_text.cap + run->record.cap +
                 run->story.cap;
  run->engine->held_bytes += bytes - run->counted;
  run->counted = bytes;
}

/* A fetched job is checked as an enqueued one is: another client may have made it. */
static enum sk_code check_job(const struct sk_job *job, struct sk_err *err) {
  enum sk_code code =
      sk_job_check_shape(job, SK_RECORD_BYTES_MAX, err); /* the client that made the args has its own bound */
  if (code == SK_OK && job->on_success.n) code = sk_callbacks_check(job->on_success, SK_RECORD_BYTES_MAX, err);
  if (code == SK_OK && job->on_error.n) code = sk_callbacks_check(job->on_error, SK_RECORD_BYTES_MAX, err);
  return code;
}

/* Reads run->job.  When it can be read and breaks a rule, run->record becomes the record with that reason. */
static enum sk_code read_record(struct sk_run *run, struct sk_str record, struct sk_str wrong, struct sk_err *err) {
  if (record.n > SK_RECORD_BYTES_MAX) /* a larger one does not fit a frame */
    return sk_err_set(err, SK_ELIMIT, "record: %zu bytes, more than the limit of %d", record.n, SK_RECORD_BYTES_MAX);
  enum sk_code code = sk_record_decode(record, &run->job, err);
  if (code != SK_OK) return code;
  run->job.id = run->id;
  code =
      wrong.n ? sk_err_set(err, SK_ECORRUPT, "%.*s", SK_STR_ARG(sk_str_head(wrong, 400))) : check_job(&run->job, err);
  if (code == SK_OK) return SK_OK;
  struct sk_job dead = run->job;
  dead.error = sk_str_c(err->message);
  dead.error_kind = SK_KIND_FAIL;
  dead.finished_ms = sk_clock_wall_ms();
  sk_record_encode(&dead, &run->record);
  return code;
}

struct sk_run *sk_run_new(struct sk_engine *e, const struct sk_fetched *fetched, struct sk_err *err) {
  struct sk_run *run = malloc(sizeof *run + fetched->record.n + fetched->queue.n + fetched->id.n);
  if (run == NULL) {
    sk_err_set(err, SK_ENOMEM, "job %.*s: out of memory", SK_STR_ARG(fetched->id));
    return NULL;
  }
  *run = (struct sk_run){ .engine = e, .fence = fetched->fence };
  sk_list_init(&run->node);
  char *at = run->bytes;
  struct sk_str record = copy_to(&at, fetched->record);
  run->queue = copy_to(&at, fetched->queue);
  run->id = copy_to(&at, fetched->id);
  run->broken = read_record(run, record, fetched->wrong, err);
  if (run->broken != SK_OK) {
    if (run->record.n == 0) sk_buf_add_str(&run->record, record);
    run->job.task = SK_STR_LIT("?");
  }
  run->job.id = run->id;
  sk_run_count(run);
  return run;
}

void sk_run_free(struct sk_run *run) {
  sk_run_take(run);
  run->engine->held_bytes -= run->counted;
  sk_progress_free(run);
  sk_callbacks_free(run->callbacks);
  sk_buf_fini(&run->story);
  sk_buf_fini(&run->outcome_text);
  sk_buf_fini(&run->record);
  free(run);
}

/* -- lists --------------------------------------------------------------------------------------------------------- */

/* The counter of a place; NULL: the place has none. */
static size_t *count_of(struct sk_engine *e, enum sk_run_place place) {
  switch (place) {
  case SK_RUN_LOCAL: return &e->local_n;
  case SK_RUN_SUSPECT: return &e->suspects_n;
  case SK_RUN_LATE: return &e->late_n;
  case SK_RUN_GIVEN: return &e->given_n;
  case SK_RUN_SETTLING: return &e->settling_n;
  case SK_RUN_NOWHERE:
  case SK_RUN_SENT:
  case SK_RUN_SET_ASIDE: break;
  }
  return NULL;
}

/* Frees the slot of a run that is in no list any more. */
static void leave_worker(struct sk_run *run) {
  struct sk_worker *w = run->worker;
  assert(w != NULL && w->load > 0 && w->by_slot[run->slot] == run);
  if (sk_heap_has(&run->hard)) sk_heap_remove(&run->engine->hard, &run->hard);
  w->by_slot[run->slot] = NULL;
  w->free_slots[w->free_n++] = run->slot;
  w->load--;
  if (w->culprit == run) w->culprit = NULL;
  if (sk_run_is_suspect(run)) {
    w->suspects_n--;
    sk_engine_wake(run->engine); /* the next suspect may have this worker */
  }
  run->worker = NULL;
}

void sk_run_take(struct sk_run *run) {
  size_t *count = count_of(run->engine, run->place);
  sk_list_remove(&run->node);
  if (count) {
    assert(*count > 0);
    (*count)--;
  }
  if (run->place == SK_RUN_GIVEN) leave_worker(run);
  run->place = SK_RUN_NOWHERE;
}

/* Puts a run that is nowhere into a list. */
static void put(struct sk_run *run, enum sk_run_place place, struct sk_list *list, bool front) {
  size_t *count = count_of(run->engine, place);
  assert(run->place == SK_RUN_NOWHERE);
  if (front)
    sk_list_push_front(list, &run->node);
  else
    sk_list_push(list, &run->node);
  if (count) (*count)++;
  run->place = place;
}

/* -- waiting for a worker ------------------------------------------------------------------------------------------ */

void sk_run_wait(struct sk_run *run, bool front) {
  struct sk_engine *e = run->engine;
  if (run->late)
    put(run, SK_RUN_LATE, &e->late, front);
  else
    put(run, SK_RUN_LOCAL, &e->local, front);
  sk_engine_wake(e);
}

void sk_run_wait_alone(struct sk_run *run) {
  run->suspect_since_ms = sk_clock_mono_ms();
  put(run, SK_RUN_SUSPECT, &run->engine->suspects, false);
}

/* -- with a worker ------------------------------------------------------------------------------------------------- */

void sk_run_give(struct sk_run *run, struct sk_worker *w) {
  assert(w->free_n > 0);
  uint32_t slot = w->free_slots[--w->free_n];
  struct sk_slot_page_slot *s = &w->slot_page->slots[slot];
  run->worker = w;
  run->worker_number = w->number;
  run->slot = slot;
  run->generation = (uint32_t)(atomic_load(&s->word) >> 2) + 1;
  atomic_store(&s->started_ms, 0);
  atomic_store(&s->word, sk_slot_page_word(run->generation, SK_SLOT_OFFERED));
  w->by_slot[slot] = run;
  w->load++;
  w->used = true;
  w->suspects_n += sk_run_is_suspect(run);
  put(run, SK_RUN_GIVEN, &w->runs, false);
}

bool sk_run_withdraw(struct sk_run *run) {
  if (!sk_slot_page_move(run->worker->slot_page, run->slot, run->generation, SK_SLOT_OFFERED, SK_SLOT_REVOKED))
    return false;
  sk_run_take(run);
  return true;
}

bool sk_run_take_back(struct sk_run *run) {
  if (!sk_run_withdraw(run)) return false;
  sk_run_wait(run, true);
  return true;
}

/* Jobs start in the order in which they were offered, so the first one from the end that has started ends the search.
 */
size_t sk_run_take_back_last(struct sk_worker *w, size_t n) {
  size_t taken = 0;
  while (taken < n && !sk_list_empty(&w->runs) && sk_run_take_back(SK_RUN_OF(w->runs.prev))) taken++;
  return taken;
}

void sk_run_take_back_from(struct sk_worker *w) {
  for (struct sk_list *n = w->runs.prev, *prev = n->prev; n != &w->runs; n = prev, prev = n->prev)
    sk_run_take_back(SK_RUN_OF(n));
}

void sk_run_take_back_all(struct sk_engine *e) {
  SK_LIST_EACH (n, &e->workers) sk_run_take_back_from(SK_WORKER_OF(n));
}

/* -- settling ------------------------------------------------------------------------------------------------------ */

void sk_run_settle(struct sk_run *run) {
  assert(run->worker == NULL);
  sk_progress_mute(run);
  sk_run_count(run); /* with its outcome */
  put(run, SK_RUN_SETTLING, &run->engine->settling, false);
  sk_engine_wake(run->engine);
}

void sk_run_send(struct sk_run *run) {
  assert(run->place == SK_RUN_SETTLING);
  sk_run_take(run);
  run->place = SK_RUN_SENT;
}

/* Out of a batch whose store operation is over. */
static void leave_batch(struct sk_run *run) {
  assert(run->place == SK_RUN_SENT);
  run->place = SK_RUN_NOWHERE;
}

void sk_run_send_back(struct sk_run *run) {
  leave_batch(run);
  put(run, SK_RUN_SETTLING, &run->engine->settling, true);
}

void sk_run_settle_dead(struct sk_run *run) {
  leave_batch(run);
  put(run, SK_RUN_SETTLING, &run->engine->settling, false);
}

void sk_run_set_aside(struct sk_run *run) {
  leave_batch(run);
  put(run, SK_RUN_SET_ASIDE, &run->engine->set_aside, false);
}

void sk_run_settle_set_aside(struct sk_engine *e) {
  while (!sk_list_empty(&e->set_aside)) {
    struct sk_run *run = SK_RUN_OF(e->set_aside.next);
    sk_run_take(run);
    put(run, SK_RUN_SETTLING, &e->settling, false);
  }
}

void sk_run_undecide(struct sk_run *run) {
  leave_batch(run);
  sk_buf_fini(&run->outcome_text);
  sk_buf_fini(&run->story);
  sk_callbacks_free(run->callbacks);
  run->callbacks = NULL;
  if (run->broken != SK_OK) return;
  sk_buf_fini(&run->record);
  sk_record_decode(sk_str(run->bytes, (size_t)(run->queue.p - run->bytes)), &run->job,
                   NULL); /* it could be read once */
  run->job.id = run->id;
}
