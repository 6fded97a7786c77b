/* walk.c - get, list and count of the sqlite store, in steps: each step is one short reading transaction, between which
 * other operations have their turn.
 *
 * A step ends after LOOKS rows or SK_BATCH_BYTES_MAX bytes of records, however many jobs there are and whatever the
 * filter is, and leaves in the walk how far it came.  A walk holds values and no statement, so a job that moves between
 * two steps may be listed twice or not at all, and nothing else goes wrong. */
#include "store/check.h"
#include "store/sqlite/sqlite.h"

enum { LOOKS = 2000, GET_IDS = 500, COUNT_QUEUES = 1000 };

/* -- get ----------------------------------------------------------------------------------------------------------- */

static enum sk_code get_one(struct sq_walk *w, struct sq_db *db, struct sk_get_op *op, size_t i) {
  struct sk_arena *arena = &op->op.arena;
  struct sk_view *view = &op->views[i];
  struct sq_row row;
  struct sq_text text;
  bool found;
  enum sk_code code = sk_sq_load_id(db, op->ids[i], &row, arena, &text, &found);
  if (code != SK_OK) return code;
  if (found) {
    w->bytes += text.record.n;
    code = sk_sq_view(db, arena, &row, &text, view);
    return code == SK_OK && view->state == SK_STATE_READY ? sk_sq_find_hindrance(db, &row, &view->blocked_by) : code;
  }
  *view = (struct sk_view){ .id = sk_arena_copy(arena, op->ids[i]), .state = SK_STATE_NONE, .percent = -1 };
  return view->id.p ? SK_OK : sk_sq_no_memory(db);
}

static enum sk_code get_step(struct sq_walk *w, struct sq_db *db) {
  struct sk_get_op *op = (void *)w->op;
  enum sk_code code = SK_OK;
  if (w->at == 0) op->views = sk_arena_array(&op->op.arena, op->ids_n, sizeof *op->views);
  if (op->views == NULL) return sk_sq_no_memory(db);
  w->bytes = 0;
  for (size_t stop = w->at + GET_IDS; code == SK_OK && w->at < op->ids_n && w->at < stop; w->at++) {
    if (w->bytes >= SK_BATCH_BYTES_MAX) break;
    code = get_one(w, db, op, w->at);
  }
  w->over = w->at == op->ids_n;
  return code;
}

void sk_sq_walk_get(struct sq_walk *w, struct sk_get_op *op) {
  *w = (struct sq_walk){ .op = &op->op, .step = get_step };
}

/* -- list: one job ------------------------------------------------------------------------------------------------- */

static struct sk_list_op *list_of(const struct sq_walk *w) { return (void *)w->op; }

/* Has the step room for another row, and the caller for another job? */
static bool goes_on(const struct sq_walk *w) {
  return w->looks > 0 && w->bytes < SK_BATCH_BYTES_MAX && list_of(w)->views_n < list_of(w)->limit;
}

/* Job n matches the filter. */
static enum sk_code list_one(struct sq_walk *w, struct sq_db *db, int64_t n) {
  struct sk_list_op *op = list_of(w);
  struct sk_arena *arena = &op->op.arena;
  struct sq_row row;
  struct sq_text text;
  bool found;
  if (w->skip > 0) {
    w->skip--;
    return SK_OK;
  }
  enum sk_code code = sk_sq_load(db, n, &row, arena, &text, &found);
  if (code != SK_OK || !found) return code;
  struct sk_view *view = &op->views[op->views_n++];
  code = sk_sq_view(db, arena, &row, &text, view);
  w->bytes += text.record.n;
  return code == SK_OK ? sk_check_listed(op, view, &w->bytes_listed, &db->err) : code;
}

/* -- list: the jobs of a state in their order ---------------------------------------------------------------------- */

/* In these statements ?3 is the task, and (?4, ?5) the place behind which the walk goes on. */
static void bind_place(struct sq_walk *w, sqlite3_stmt *st, int64_t a, int64_t b) {
  sk_sq_int(st, 1, a);
  sk_sq_int(st, 2, b);
  sk_sq_text(st, 3, list_of(w)->filter.task);
  sk_sq_int(st, 4, w->due);
  sk_sq_int(st, 5, w->ord);
}

/* The row on which st stands: n, due, ord, and whether it matches. */
static enum sk_code take_row(struct sq_walk *w, struct sq_db *db, sqlite3_stmt *st) {
  w->due = sqlite3_column_int64(st, 1);
  w->ord = sqlite3_column_int64(st, 2);
  w->looks--;
  return sqlite3_column_int(st, 3) ? list_one(w, db, sqlite3_column_int64(st, 0)) : SK_OK;
}

/* Jobs whose order is that of one statement.  *over: there are no others behind them. */
static enum sk_code step_rows(struct sq_walk *w, struct sq_db *db, enum sq_stmt which, int64_t a, int64_t b,
                              bool *over) {
  enum sk_code code = SK_OK;
  bind_place(w, sk_sq(db, which), a, b);
  while (code == SK_OK && goes_on(w)) {
    *over = !sk_sq_next(db, which, &code);
    if (*over) break;
    code = take_row(w, db, sk_sq(db, which));
  }
  sk_sq_reset(db, which);
  return code;
}

/* The statement of the n whose row is the first in THE ORDER; n: none has a row. */
static size_t first_of(struct sq_db *db, const enum sq_stmt *stmts, const bool *rows, size_t n) {
  size_t best = n;
  int64_t best_due = 0, best_ord = 0;
  for (size_t i = 0; i < n; i++) {
    if (!rows[i]) continue;
    int64_t due = sqlite3_column_int64(sk_sq(db, stmts[i]), 1), ord = sqlite3_column_int64(sk_sq(db, stmts[i]), 2);
    if (best < n && (due > best_due || (due == best_due && ord >= best_ord))) continue;
    best = i;
    best_due = due;
    best_ord = ord;
  }
  return best;
}

/* READY jobs of a priority of a queue, merged from the three places where they stand. */
static enum sk_code step_rank(struct sq_walk *w, struct sq_db *db, const struct sq_queue *queue, bool *over) {
  enum { PLACES = 3 };
  static const enum sq_stmt stmts[PLACES] = { SQL_EACH_FRONT, SQL_EACH_MEMBER, SQL_EACH_LINE };
  int64_t seq = w->due == SQ_NEVER && w->ord >= queue->head[w->rank] ? w->ord + 1 : queue->head[w->rank];
  bool rows[PLACES] = { queue->front > 0, queue->members > 0, seq < queue->tail[w->rank] };
  enum sk_code code = SK_OK;
  bind_place(w, sk_sq(db, SQL_EACH_FRONT), queue->q, w->rank);
  bind_place(w, sk_sq(db, SQL_EACH_MEMBER), queue->q, w->rank);
  bind_place(w, sk_sq(db, SQL_EACH_LINE), sk_sq_number(queue->q, w->rank, seq),
             sk_sq_number(queue->q, w->rank, queue->tail[w->rank]));
  for (int i = 0; code == SK_OK && i < PLACES; i++) rows[i] = rows[i] && sk_sq_next(db, stmts[i], &code);
  while (code == SK_OK && goes_on(w)) {
    size_t at = first_of(db, stmts, rows, PLACES);
    *over = at == PLACES;
    if (*over) break;
    code = take_row(w, db, sk_sq(db, stmts[at]));
    if (code == SK_OK) rows[at] = sk_sq_next(db, stmts[at], &code);
  }
  for (int i = 0; i < PLACES; i++) sk_sq_reset(db, stmts[i]);
  return code;
}

/* The queue that is listed, or the next one by name.  NULL: there is none. */
static enum sk_code find_queue(struct sq_walk *w, struct sq_db *db, struct sq_queue **out) {
  enum sk_code code = SK_OK;
  enum sq_stmt which = w->entered ? SQL_QUEUE_FROM : SQL_QUEUE_BEHIND;
  *out = NULL;
  if (list_of(w)->filter.queue.n) return sk_sq_queue(db, list_of(w)->filter.queue, false, out);
  sk_sq_text(sk_sq(db, which), 1, sk_str(w->queue, w->queue_n));
  bool found = sk_sq_next(db, which, &code);
  int64_t q = found ? sqlite3_column_int64(sk_sq(db, which), 0) : 0;
  sk_sq_reset(db, which);
  if (code == SK_OK && found) code = sk_sq_queue_of(db, q, out);
  return code;
}

/* Is the queue the one in which the last step stopped?  Else the walk enters it, at its first job. */
static void enter_queue(struct sq_walk *w, const struct sq_queue *queue) {
  if (w->entered && sk_str_eq(sk_str(w->queue, w->queue_n), queue->name)) return;
  w->entered = true;
  w->queue_n = queue->name.n < sizeof w->queue ? queue->name.n : sizeof w->queue;
  if (w->queue_n) memcpy(w->queue, queue->name.p, w->queue_n);
  w->rank = w->due = w->ord = 0;
}

static enum sk_code step_ready(struct sq_walk *w, struct sq_db *db, bool *over) {
  enum sk_code code = SK_OK;
  while (code == SK_OK && goes_on(w)) {
    struct sq_queue *queue;
    code = find_queue(w, db, &queue);
    *over = queue == NULL;
    if (code != SK_OK || queue == NULL) return code;
    enter_queue(w, queue);
    w->looks--;
    while (code == SK_OK && w->rank < SK_PRIORITIES && queue->states[SK_STATE_READY] > 0) {
      bool rank_over = false;
      code = step_rank(w, db, queue, &rank_over);
      if (!rank_over) return code;
      w->rank++;
      w->due = w->ord = 0;
    }
    w->entered = false; /* from here the walk goes on behind it */
    *over = list_of(w)->filter.queue.n > 0;
    if (*over) return code;
  }
  return code;
}

/* Is that job still held under fence, and what the filter asks for? */
static enum sk_code check_running(struct sq_walk *w, struct sq_db *db, int64_t n, int64_t fence, bool *matches) {
  sqlite3_stmt *st = sk_sq(db, SQL_JOB_RUNS);
  enum sk_code code = SK_OK;
  sk_sq_int(st, 1, n);
  sk_sq_int(st, 2, w->q);
  sk_sq_text(st, 3, list_of(w)->filter.task);
  sk_sq_int(st, 4, SQ_HOLD_BASE + fence);
  *matches = sk_sq_next(db, SQL_JOB_RUNS, &code);
  sk_sq_reset(db, SQL_JOB_RUNS);
  return code;
}

/* By fetch; w->due is the fence of the last one, of which w->ord jobs have been looked at. */
static enum sk_code step_running(struct sq_walk *w, struct sq_db *db, bool *over) {
  enum sk_code code = SK_OK;
  sqlite3_stmt *st = sk_sq(db, SQL_HOLDS);
  sk_sq_int(st, 1, w->due);
  while (code == SK_OK && goes_on(w)) {
    *over = !sk_sq_next(db, SQL_HOLDS, &code);
    if (*over) break;
    struct sk_arena arena = { 0 };
    int64_t fence = sqlite3_column_int64(st, 0), *ns;
    size_t n;
    code = sk_sq_hold_read(db, &arena, sk_sq_column(st, 1), &ns, &n);
    if (fence != w->due) w->ord = 0;
    w->due = fence;
    for (; code == SK_OK && w->ord < (int64_t)n && goes_on(w); w->ord++) {
      bool matches;
      w->looks--;
      code = check_running(w, db, ns[w->ord], fence, &matches);
      if (code == SK_OK && matches) code = list_one(w, db, ns[w->ord]);
    }
    sk_arena_fini(&arena);
    if (w->looks > 0) w->looks--;
  }
  sk_sq_reset(db, SQL_HOLDS);
  return code;
}

static enum sk_code step_state(struct sq_walk *w, struct sq_db *db, bool *over) {
  const struct sk_filter *filter = &list_of(w)->filter;
  if (filter->queue.n) {
    struct sq_queue *queue;
    enum sk_code code = sk_sq_queue(db, filter->queue, false, &queue);
    *over = queue == NULL;
    if (code != SK_OK || queue == NULL) return code;
    w->q = queue->q;
  }
  switch (w->state) {
  case SK_STATE_READY: return step_ready(w, db, over);
  case SK_STATE_RUNNING: return step_running(w, db, over);
  case SK_STATE_SCHEDULED:
  case SK_STATE_RETRY:
    return step_rows(w, db, w->q ? SQL_EACH_LATER_OF : SQL_EACH_LATER, (int64_t)w->state, w->q, over);
  case SK_STATE_DONE:
  case SK_STATE_DEAD:
  case SK_STATE_CANCELLED:
    if (w->due == 0) w->ord = INT64_MAX; /* the latest first; due is not used, and says that it has begun */
    return step_rows(w, db, SQL_EACH_ENDED, (int64_t)w->state, w->q, over);
  case SK_STATE_NONE: break;
  }
  *over = true;
  return SK_OK;
}

static enum sk_code list_step(struct sq_walk *w, struct sq_db *db) {
  struct sk_list_op *op = list_of(w);
  enum sk_code code = SK_OK;
  if (op->views == NULL) op->views = sk_arena_array(&op->op.arena, op->limit, sizeof *op->views);
  if (op->views == NULL) return sk_sq_no_memory(db);
  op->views_n = w->views_n;
  w->looks = LOOKS;
  w->bytes = 0;
  while (code == SK_OK && w->state < SK_STATES && goes_on(w)) {
    bool over = op->filter.state != SK_STATE_NONE && op->filter.state != w->state;
    if (!over) code = step_state(w, db, &over);
    if (!over) continue;
    w->state++;
    w->due = w->ord = 0;
    w->entered = false;
    w->queue_n = 0;
  }
  w->views_n = op->views_n;
  w->over = w->state == SK_STATES || op->views_n == op->limit;
  return code;
}

void sk_sq_walk_list(struct sq_walk *w, struct sk_list_op *op) {
  op->views_n = 0;
  op->views = NULL;
  *w = (struct sq_walk){ .op = &op->op, .step = list_step, .state = SK_STATE_SCHEDULED, .skip = op->offset };
}

/* -- count --------------------------------------------------------------------------------------------------------- */

/* Room for the queues of another step. */
static bool grow(struct sq_walk *w, struct sk_count_op *op) {
  if (op->queues_n + COUNT_QUEUES <= w->cap) return true;
  size_t cap = w->cap * 2 + COUNT_QUEUES;
  struct sk_queue_count *grown = sk_arena_array(&op->op.arena, cap, sizeof *grown);
  if (grown == NULL) return false;
  if (op->queues_n) memcpy(grown, op->queues, op->queues_n * sizeof *grown);
  op->queues = grown;
  w->cap = cap;
  return true;
}

static enum sk_code count_one(struct sq_db *db, sqlite3_stmt *st, struct sk_count_op *op) {
  struct sk_queue_count *count = &op->queues[op->queues_n];
  *count = (struct sk_queue_count){ .name = sk_arena_copy(&op->op.arena, sk_sq_column(st, 0)),
                                    .paused = sqlite3_column_int(st, 1) != 0 };
  for (int i = 1; i < SK_STATES; i++) count->states[i] = sqlite3_column_int64(st, 1 + i);
  if (count->name.p == NULL) return sk_sq_no_memory(db);
  op->queues_n++;
  return SK_OK;
}

static bool is_same(const struct sq_head *a, const struct sq_head *b) {
  const struct sk_counters *x = &a->counters, *y = &b->counters;
  return a->fence == b->fence && a->seq == b->seq && a->queues_version == b->queues_version &&
         x->enqueued == y->enqueued && x->done == y->done && x->retried == y->retried && x->dead == y->dead &&
         x->cancelled == y->cancelled && x->discarded == y->discarded && x->crashed == y->crashed &&
         x->recovered == y->recovered;
}

static enum sk_code count_step(struct sq_walk *w, struct sq_db *db) {
  struct sk_count_op *op = (void *)w->op;
  enum sk_code code = SK_OK;
  op->queues_n = w->queues_n; /* the step may be done again */
  if (op->queues_n == 0) w->head = db->head;
  if (!grow(w, op)) return sk_sq_no_memory(db);
  sqlite3_stmt *st = sk_sq(db, SQL_QUEUE_COUNTS);
  sk_sq_text(st, 1, sk_str(w->queue, w->queue_n));
  sk_sq_int(st, 2, COUNT_QUEUES);
  while (code == SK_OK && sk_sq_next(db, SQL_QUEUE_COUNTS, &code)) code = count_one(db, st, op);
  sk_sq_reset(db, SQL_QUEUE_COUNTS);
  if (code != SK_OK) return code;
  w->over = op->queues_n - w->queues_n < COUNT_QUEUES;
  w->queues_n = op->queues_n;
  if (op->queues_n > 0) {
    struct sk_str last = op->queues[op->queues_n - 1].name;
    w->queue_n = last.n < sizeof w->queue ? last.n : sizeof w->queue;
    memcpy(w->queue, last.p, w->queue_n);
  }
  op->counters = db->head.counters;
  op->queues_version = (uint64_t)w->head.queues_version;
  op->moving = !is_same(&w->head, &db->head);
  return SK_OK;
}

void sk_sq_walk_count(struct sq_walk *w, struct sk_count_op *op) {
  op->queues = NULL;
  op->queues_n = 0;
  *w = (struct sq_walk){ .op = &op->op, .step = count_step };
}
