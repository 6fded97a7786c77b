/* sqlite/look.c - looking into the sqlite store: get, list, count, tasks.  In a reading transaction, which sees one moment. */
#include "store/check.h"
#include "store/sqlite/sqlite.h"

static enum sk_code no_memory(struct sq_db *db) {
  return sk_err_set(&db->err, SK_ENOMEM, "%s: out of memory", db->path);
}

/* -- views ----------------------------------------------------------------------------------------------------------------- */

static enum sk_code find_holder(struct sq_db *db, struct sk_arena *arena, int64_t hold, struct sk_str *engine) {
  enum sk_code code = SK_OK;
  sqlite3_stmt *st = sk_sq(db, SQL_HOLDER);
  sk_sq_int(st, 1, (int64_t)sk_sq_fence(hold));
  if (sk_sq_next(db, SQL_HOLDER, &code)) {
    *engine = sk_arena_copy(arena, sk_sq_column(st, 0));
    if (engine->p == NULL) code = no_memory(db);
  }
  sk_sq_reset(db, SQL_HOLDER);
  return code;
}

static enum sk_code view_job(struct sq_db *db, struct sk_arena *arena, const struct sq_row *row,
                             const struct sq_text *text, struct sk_view *view) {
  struct sq_queue *queue;
  enum sk_code code = sk_sq_queue_of(db, row->q, &queue);
  if (code != SK_OK) return code;
  enum sk_state state = sk_sq_state(row->state);
  bool waits = state == SK_STATE_SCHEDULED || state == SK_STATE_RETRY;
  *view = (struct sk_view){
    .id = text->id,
    .queue = sk_arena_copy(arena, queue->name),
    .record = text->record,
    .progress_text = text->progress_text,
    .log = state == SK_STATE_RUNNING ? text->log : sk_str("", 0),
    .state = state,
    .stopping = row->flags & SQ_FLAG_STOP,
    .priority = sk_sq_priority(row->rank),
    .due_ms = waits ? row->due : 0,
    .running_since_ms = state == SK_STATE_RUNNING ? row->running_since_ms : 0,
    .percent = text->percent,
  };
  if (view->queue.p == NULL) return no_memory(db);
  return state == SK_STATE_RUNNING ? find_holder(db, arena, row->hold, &view->engine) : SK_OK;
}

/* Of a READY job: what keeps it from being taken, besides those before it. */
static enum sk_code find_hindrance(struct sq_db *db, const struct sq_row *row, enum sk_blocked_by *blocked_by) {
  struct sq_queue *queue;
  struct sq_group group = { .g = 0 };
  int64_t now_us = sk_sq_now_us(db);
  enum sk_code code = sk_sq_queue_of(db, row->q, &queue);
  if (code == SK_OK && sk_sq_needs_slot(row)) code = sk_sq_group_load(db, sk_sq_group(row), &group);
  if (code != SK_OK) return code;
  if (sk_sq_queue_is_full(queue) || (group.limit.concurrency > 0 && group.slots >= group.limit.concurrency))
    *blocked_by = SK_BLOCKED_BY_CONCURRENCY;
  else if (sk_limit_wait_us(&queue->settings.limit, queue->full_us, now_us) > 0 ||
           sk_limit_wait_us(&group.limit, group.full_us, now_us) > 0)
    *blocked_by = SK_BLOCKED_BY_RATE;
  return SK_OK;
}

enum sk_code sk_sq_get(struct sq_db *db, struct sk_get_op *op) {
  struct sk_arena *arena = &op->op.arena;
  op->views = sk_arena_array(arena, op->ids_n, sizeof *op->views);
  enum sk_code code = op->views ? SK_OK : no_memory(db);
  for (size_t i = 0; code == SK_OK && i < op->ids_n; i++) {
    struct sq_row row;
    struct sq_text text;
    bool found;
    code = sk_sq_load_id(db, op->ids[i], &row, arena, &text, &found);
    if (code != SK_OK) break;
    if (found) {
      code = view_job(db, arena, &row, &text, &op->views[i]);
      if (code == SK_OK && op->views[i].state == SK_STATE_READY)
        code = find_hindrance(db, &row, &op->views[i].blocked_by);
      continue;
    }
    op->views[i] = (struct sk_view){ .id = sk_arena_copy(arena, op->ids[i]), .state = SK_STATE_NONE, .percent = -1 };
    if (op->views[i].id.p == NULL) code = no_memory(db);
  }
  return code;
}

/* -- jobs of a state ------------------------------------------------------------------------------------------------------- */

/* Who is told of each job. */
struct each {
  struct sq_db *db;
  const struct sk_filter *filter;
  int64_t q; /* of filter->queue; 0: any */
  bool (*tell)(void *ctx, int64_t n);
  void *ctx;
  bool stopped;
};

/* A statement whose first column is a job's number; ?1 and ?2 are a and b, ?3 is the task. */
static void bind_each(struct each *e, enum sq_stmt which, int64_t a, int64_t b) {
  sqlite3_stmt *st = sk_sq(e->db, which);
  sk_sq_int(st, 1, a);
  sk_sq_int(st, 2, b);
  sk_sq_text(st, 3, e->filter->task);
}

static enum sk_code each_row(struct each *e, enum sq_stmt which, int64_t a, int64_t b) {
  enum sk_code code = SK_OK;
  bind_each(e, which, a, b);
  while (!e->stopped && sk_sq_next(e->db, which, &code))
    e->stopped = !e->tell(e->ctx, sqlite3_column_int64(sk_sq(e->db, which), 0));
  sk_sq_reset(e->db, which);
  return code;
}

/* The statement of the n whose row is the first in THE ORDER, by its second and third column; n: none has a row. */
static size_t first_of(struct each *e, const enum sq_stmt *stmts, const bool *rows, size_t n) {
  size_t best = n;
  int64_t best_due = 0, best_ord = 0;
  for (size_t i = 0; i < n; i++) {
    if (!rows[i]) continue;
    int64_t due = sqlite3_column_int64(sk_sq(e->db, stmts[i]), 1),
            ord = sqlite3_column_int64(sk_sq(e->db, stmts[i]), 2);
    if (best < n && (due > best_due || (due == best_due && ord >= best_ord))) continue;
    best = i;
    best_due = due;
    best_ord = ord;
  }
  return best;
}

/* A priority of a queue, in THE ORDER, wherever its jobs stand. */
static enum sk_code each_ready_of(struct each *e, const struct sq_queue *queue, int64_t rank) {
  enum { PLACES = 3 };
  static const enum sq_stmt stmts[PLACES] = { SQL_EACH_FRONT, SQL_EACH_MEMBER, SQL_EACH_LINE };
  bool rows[PLACES] = { queue->front > 0, queue->members > 0, queue->head[rank] < queue->tail[rank] };
  enum sk_code code = SK_OK;
  bind_each(e, SQL_EACH_FRONT, queue->q, rank);
  bind_each(e, SQL_EACH_MEMBER, queue->q, rank);
  bind_each(e, SQL_EACH_LINE, sk_sq_number(queue->q, rank, queue->head[rank]),
            sk_sq_number(queue->q, rank, queue->tail[rank]));
  for (int i = 0; code == SK_OK && i < PLACES; i++) rows[i] = rows[i] && sk_sq_next(e->db, stmts[i], &code);
  while (code == SK_OK && !e->stopped) {
    size_t at = first_of(e, stmts, rows, PLACES);
    if (at == PLACES) break;
    e->stopped = !e->tell(e->ctx, sqlite3_column_int64(sk_sq(e->db, stmts[at]), 0));
    rows[at] = sk_sq_next(e->db, stmts[at], &code);
  }
  for (int i = 0; i < PLACES; i++) sk_sq_reset(e->db, stmts[i]);
  return code;
}

static enum sk_code each_ready_in(struct each *e, const struct sq_queue *queue) {
  enum sk_code code = SK_OK;
  for (int64_t rank = 0; code == SK_OK && !e->stopped && rank < SK_PRIORITIES; rank++)
    code = each_ready_of(e, queue, rank);
  return code;
}

static enum sk_code each_ready(struct each *e) {
  enum sk_code code = SK_OK;
  sqlite3_stmt *st = sk_sq(e->db, SQL_QUEUES);
  while (code == SK_OK && !e->stopped && sk_sq_next(e->db, SQL_QUEUES, &code)) {
    struct sq_queue *queue;
    int64_t q = sqlite3_column_int64(st, 0);
    if (e->q != 0 && e->q != q) continue;
    code = sk_sq_queue_of(e->db, q, &queue);
    if (code == SK_OK && queue->states[SK_STATE_READY] > 0) code = each_ready_in(e, queue);
  }
  sk_sq_reset(e->db, SQL_QUEUES);
  return code;
}

/* Is that job still held under fence, and what the filter asks for? */
static enum sk_code check_running(struct each *e, int64_t n, int64_t fence, bool *matches) {
  struct sk_arena arena = { 0 };
  struct sq_row row;
  struct sq_text text;
  enum sk_code code = sk_sq_load(e->db, n, &row, &arena, &text, matches);
  *matches = *matches && code == SK_OK && row.state == SK_STATE_RUNNING && row.hold == SQ_HOLD_BASE + fence &&
             (e->q == 0 || e->q == row.q) && (e->filter->task.n == 0 || sk_str_eq(e->filter->task, text.task));
  sk_arena_fini(&arena);
  return code;
}

static enum sk_code each_running(struct each *e) {
  enum sk_code code = SK_OK;
  sqlite3_stmt *st = sk_sq(e->db, SQL_HOLDS);
  while (code == SK_OK && !e->stopped && sk_sq_next(e->db, SQL_HOLDS, &code)) {
    struct sk_arena arena = { 0 };
    int64_t fence = sqlite3_column_int64(st, 0), *ns;
    size_t n;
    code = sk_sq_hold_read(e->db, &arena, sk_sq_column(st, 1), &ns, &n);
    for (size_t i = 0; code == SK_OK && !e->stopped && i < n; i++) {
      bool matches;
      code = check_running(e, ns[i], fence, &matches);
      if (matches) e->stopped = !e->tell(e->ctx, ns[i]);
    }
    sk_arena_fini(&arena);
  }
  sk_sq_reset(e->db, SQL_HOLDS);
  return code;
}

enum sk_code sk_sq_each(struct sq_db *db, const struct sk_filter *filter, enum sk_state state,
                        bool (*tell)(void *ctx, int64_t n), void *ctx) {
  struct each e = { .db = db, .filter = filter, .tell = tell, .ctx = ctx };
  struct sq_queue *queue = NULL;
  if (filter->queue.n) {
    enum sk_code code = sk_sq_queue(db, filter->queue, false, &queue);
    if (code != SK_OK || queue == NULL) return code;
    e.q = queue->q;
  }
  switch (state) {
  case SK_STATE_READY: return each_ready(&e);
  case SK_STATE_RUNNING: return each_running(&e);
  case SK_STATE_SCHEDULED:
  case SK_STATE_RETRY: return each_row(&e, SQL_EACH_LATER, state, e.q);
  case SK_STATE_DONE:
  case SK_STATE_DEAD:
  case SK_STATE_CANCELLED: return each_row(&e, SQL_EACH_ENDED, state, e.q);
  case SK_STATE_NONE: break;
  }
  return SK_OK;
}

/* -- list ------------------------------------------------------------------------------------------------------------------ */

struct listing {
  struct sq_db *db;
  struct sk_list_op *op;
  size_t skip, bytes;
  enum sk_code code;
};

static bool list_one(void *ctx, int64_t n) {
  struct listing *l = ctx;
  if (l->op->views_n == l->op->limit) return false;
  if (l->skip > 0) {
    l->skip--;
    return true;
  }
  struct sk_arena *arena = &l->op->op.arena;
  struct sq_row row;
  struct sq_text text;
  bool found;
  l->code = sk_sq_load(l->db, n, &row, arena, &text, &found);
  if (l->code != SK_OK || !found) return l->code == SK_OK;
  struct sk_view *view = &l->op->views[l->op->views_n++];
  l->code = view_job(l->db, arena, &row, &text, view);
  if (l->code == SK_OK) l->code = sk_check_listed(l->op, view, &l->bytes, &l->db->err);
  return l->code == SK_OK;
}

enum sk_code sk_sq_list(struct sq_db *db, struct sk_list_op *op) {
  struct listing l = { .db = db, .op = op, .skip = op->offset };
  op->views_n = 0;
  op->views = sk_arena_array(&op->op.arena, op->limit, sizeof *op->views);
  enum sk_code code = op->views ? SK_OK : no_memory(db);
  for (int state = SK_STATE_SCHEDULED; code == SK_OK && state < SK_STATES && op->views_n < op->limit; state++) {
    if (op->filter.state != SK_STATE_NONE && (int)op->filter.state != state) continue;
    code = sk_sq_each(db, &op->filter, (enum sk_state)state, list_one, &l);
    if (code == SK_OK) code = l.code;
  }
  return code;
}

/* -- count, tasks ---------------------------------------------------------------------------------------------------------- */

enum sk_code sk_sq_count(struct sq_db *db, struct sk_count_op *op) {
  enum sk_code code = SK_OK;
  size_t n = 0;
  while (sk_sq_next(db, SQL_QUEUES, &code)) n++;
  if (code != SK_OK) return code;
  op->queues_n = 0;
  op->queues = sk_arena_array(&op->op.arena, n, sizeof *op->queues);
  if (op->queues == NULL) return no_memory(db);
  sqlite3_stmt *st = sk_sq(db, SQL_QUEUES);
  while (code == SK_OK && op->queues_n < n && sk_sq_next(db, SQL_QUEUES, &code)) {
    struct sq_queue *queue;
    code = sk_sq_queue_of(db, sqlite3_column_int64(st, 0), &queue);
    if (code != SK_OK) break;
    struct sk_queue_count *count = &op->queues[op->queues_n++];
    count->name = sk_arena_copy(&op->op.arena, queue->name);
    count->paused = queue->paused;
    memcpy(count->states, queue->states, sizeof count->states);
    if (count->name.p == NULL) code = no_memory(db);
  }
  sk_sq_reset(db, SQL_QUEUES);
  op->counters = db->head.counters;
  op->queues_version = (uint64_t)db->head.queues_version;
  return code;
}

enum sk_code sk_sq_tasks(struct sq_db *db, struct sk_tasks_op *op) {
  enum sk_code code = SK_OK;
  size_t n = 0;
  while (sk_sq_next(db, SQL_TASKS, &code)) n++;
  if (code != SK_OK) return code;
  op->items_n = 0;
  op->moves = 0;
  op->items = sk_arena_array(&op->op.arena, n, sizeof *op->items);
  if (op->items == NULL) return no_memory(db);
  sqlite3_stmt *st = sk_sq(db, SQL_TASKS);
  while (code == SK_OK && op->items_n < n && sk_sq_next(db, SQL_TASKS, &code)) {
    struct sk_task_item *item = &op->items[op->items_n++];
    item->name = sk_arena_copy(&op->op.arena, sk_sq_column(st, 0));
    item->queue = sk_arena_copy(&op->op.arena, sk_sq_column(st, 1));
    item->priority = sqlite3_column_int(st, 2);
    item->template = sk_arena_copy(&op->op.arena, sk_sq_column(st, 3));
    if (item->name.p == NULL || item->queue.p == NULL || item->template.p == NULL) code = no_memory(db);
  }
  sk_sq_reset(db, SQL_TASKS);
  return code == SK_OK ? sk_sq_settings_list(db, op) : code;
}
