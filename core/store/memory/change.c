/* memory/change.c - changing the memory store by hand: cancel, delete, retry, promote.
 * A change of many jobs goes on in steps (op.c). */
#include <stdlib.h>

#include "logic/record.h"
#include "store/memory/memory.h"

/* -- change -------------------------------------------------------------------------------------------------------- */

static void set_finished(struct sk_job *fields, int64_t now_ms) { fields->finished_ms = now_ms; }

static enum sk_code cancel(struct mem *mem, struct mem_job *job, int64_t keep_ms) {
  if (job->state == SK_STATE_RUNNING) {
    sk_mem_stop(job);
    return SK_OK;
  }
  if (keep_ms <= 0) {
    sk_mem_drop(mem, job);
  } else {
    struct sk_str record = sk_mem_edit(job, set_finished, mem->now_ms);
    if (record.p == NULL) return SK_ENOMEM;
    if (!sk_mem_finish(mem, job, SK_STATE_CANCELLED, sk_mem_later(mem->now_ms, keep_ms))) {
      free((void *)(uintptr_t)record.p);
      return SK_ENOMEM;
    }
    sk_mem_set_record(job, record);
  }
  mem->counters.cancelled++;
  return SK_OK;
}

static enum sk_code retry(struct mem *mem, struct mem_job *job) {
  bool ended = job->state != SK_STATE_RETRY;
  struct sk_str record = sk_mem_edit(job, ended ? sk_job_start_anew : sk_job_move_times, mem->now_ms);
  if (record.p == NULL) return SK_ENOMEM;
  sk_mem_set_record(job, record);
  sk_mem_leave(mem, job);
  sk_mem_enter_last(mem, job);
  return SK_OK;
}

static enum sk_code change_one(struct mem *mem, struct mem_job *job, const struct sk_change_op *op) {
  if (!sk_verb_takes(op->verb, job->state)) return SK_ESTATE;
  switch (op->verb) {
  case SK_VERB_CANCEL: return cancel(mem, job, op->keep_ms);
  case SK_VERB_RETRY: return retry(mem, job);
  case SK_VERB_PROMOTE: return sk_mem_wait(mem, job, job->queue, job->state, mem->now_ms) ? SK_OK : SK_ENOMEM;
  case SK_VERB_DELETE: sk_mem_drop(mem, job);
  }
  return SK_OK;
}

/* -- in steps ------------------------------------------------------------------------------------------------------ */

/* Jobs that one step looks at, and jobs that it changes.  A change costs as much as some sixteen looks. */
enum { LOOKS = 4000, CHANGES = 250 };

/* A change that goes on in steps. */
struct changing {
  struct mem_work work;
  struct mem_walk walk; /* by filter */
  size_t ids_done;      /* by id */
  struct sk_change_op *op;
};

/* Changes the next ids; *over is set once all are done. */
static enum sk_code change_ids(struct mem *mem, struct sk_change_op *op, size_t *done, bool *over) {
  for (size_t end = *done + CHANGES; *done < op->ids_n && *done < end; ++*done) {
    struct mem_job *job = sk_mem_find(mem, op->ids[*done]);
    enum sk_code code = job ? change_one(mem, job, op) : SK_ENOTFOUND;
    op->statuses[*done] = code;
    if (code == SK_OK) op->changed++;
    if (code == SK_ENOMEM) return SK_ENOMEM;
  }
  *over = *done == op->ids_n;
  return SK_OK;
}

/* Changes the next jobs that match the filter; *over is set once the walk has ended. */
static enum sk_code change_matching(struct mem *mem, struct sk_change_op *op, struct mem_walk *walk, bool *over) {
  for (size_t looks = 0, changes = 0; looks < LOOKS && changes < CHANGES; looks++) {
    struct mem_job *job = sk_mem_walk_next(mem, walk);
    *over = job == NULL;
    if (job == NULL) break;
    if (!sk_mem_matches(job, &op->filter)) continue;
    enum sk_code code = change_one(mem, job, op);
    if (code == SK_ENOMEM) return SK_ENOMEM;
    if (code == SK_OK) {
      op->changed++;
      changes++;
    }
  }
  return SK_OK;
}

static bool step(struct mem_handle *h, struct mem_work *work) {
  struct changing *c = SK_CONTAINER(work, struct changing, work);
  struct sk_change_op *op = c->op;
  size_t before = op->changed;
  bool over = false;
  enum sk_code code;
  if (h->hurried)
    code = sk_err_set(&op->op.err, SK_EUNKNOWN, "change: the process ends after %zu jobs were changed", before);
  else if (op->ids_n)
    code = change_ids(h->mem, op, &c->ids_done, &over);
  else
    code = change_matching(h->mem, op, &c->walk, &over);
  if (op->changed > before) sk_mem_notify(h);
  if (code == SK_OK && !over) return false;
  sk_mem_walk_end(&c->walk);
  free(c);
  sk_mem_reply(h, &op->op, code);
  return true;
}

void sk_mem_change(struct sk_store *store, struct sk_change_op *op) {
  struct mem_handle *h = sk_mem_begin(store, &op->op);
  op->changed = 0;
  op->statuses = op->ids_n ? sk_arena_array(&op->op.arena, op->ids_n, sizeof *op->statuses) : NULL;
  struct changing *c = op->ids_n == 0 || op->statuses ? calloc(1, sizeof *c) : NULL;
  if (c == NULL) {
    sk_mem_answer(h, &op->op, SK_ENOMEM);
    return;
  }
  *c = (struct changing){ .work.step = step, .op = op };
  sk_list_init(&c->work.node);
  sk_mem_walk_start(h->mem, &c->walk);
  if (!step(h, &c->work)) sk_mem_go_on(h, &c->work);
  pthread_mutex_unlock(&h->mem->lock);
}
