/* sweep.c - a change of all jobs that match a filter, in steps: each step reads a bounded number of jobs, then changes
 * those that match in one short write transaction, between which other operations have their turn.
 *
 * A sweep goes through all jobs by their number, so a job that moves while it goes on may be passed over. */
#include "store/sqlite/sqlite.h"

enum {
  LOOKS = 4000, /* jobs that a step looks at, */
  PIECE = 250,  /* and changes at most */
};

/* The next jobs that match, as far as one can see without writing. */
static enum sk_code look(struct sq_db *db, struct sq_sweep *w, int64_t *ns, size_t *n) {
  const struct sk_filter *filter = &w->op->filter;
  struct sq_queue *queue = NULL;
  enum sk_code code = SK_OK;
  *n = 0;
  if (filter->queue.n) code = sk_sq_queue(db, filter->queue, false, &queue);
  w->over = code == SK_OK && filter->queue.n > 0 && queue == NULL;
  if (code != SK_OK || w->over) return code;
  int looked = 0;
  int64_t bytes = 0;
  sqlite3_stmt *st = sk_sq(db, SQL_SWEEP);
  sk_sq_int(st, 1, w->from);
  sk_sq_int(st, 2, queue ? queue->q : 0);
  sk_sq_text(st, 3, filter->task);
  sk_sq_int(st, 4, LOOKS);
  while (*n < PIECE && bytes < SK_BATCH_BYTES_MAX && sk_sq_next(db, SQL_SWEEP, &code)) {
    enum sk_state state = sk_sq_state(sqlite3_column_int64(st, 1));
    looked++;
    w->from = sqlite3_column_int64(st, 0);
    bool wanted = filter->state == SK_STATE_NONE || filter->state == state;
    if (!wanted || !sqlite3_column_int(st, 2) || !sk_verb_takes(w->op->verb, state)) continue;
    ns[(*n)++] = w->from;
    bytes += sqlite3_column_int64(st, 3);
  }
  sk_sq_reset(db, SQL_SWEEP);
  w->over = looked < LOOKS && *n < PIECE && bytes < SK_BATCH_BYTES_MAX;
  return code;
}

void sk_sq_sweep(struct sq_sweep *w, struct sk_change_op *op) {
  *w = (struct sq_sweep){ .op = op, .from = INT64_MIN };
  op->changed = 0;
  op->statuses = NULL;
}

enum sk_code sk_sq_sweep_step(struct sq_db *db, struct sq_sweep *w) {
  int64_t ns[PIECE];
  size_t changed = 0, n = 0;
  enum sk_code code = sk_sq_begin_read(db);
  if (code != SK_OK) return code;
  code = look(db, w, ns, &n);
  sk_sq_end_read(db);
  if (code != SK_OK || n == 0) return code;
  code = sk_sq_begin(db);
  if (code != SK_OK) return code;
  for (size_t i = 0; code == SK_OK && i < n; i++) code = sk_sq_change_number(db, w->op, ns[i], &changed);
  code = sk_sq_end(db, code);
  if (code == SK_OK) w->op->changed += changed;
  return code;
}
