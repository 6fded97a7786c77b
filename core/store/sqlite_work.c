/* sqlite_work.c - the sqlite store's part in a job's life: enqueue, fetch, settle, progress.  In a write transaction. */
#include "store/sqlite.h"

static enum sk_code no_memory(struct sq_db *db) { return sk_err_set(&db->err, SK_ENOMEM, "%s: out of memory", db->path); }

/* -- enqueue --------------------------------------------------------------------------------------------------------------- */

/* Inserts row; *exists says whether another job has its id. */
static enum sk_code insert(struct sq_db *db, const struct sq_row *row, const struct sk_enqueue_item *item, bool *exists) {
  bool later = row->state != SQ_LINE;
  sqlite3_stmt *st = sk_sq(db, later ? SQL_JOB_ADD_LATER : SQL_JOB_ADD_LINE);
  sk_sq_int(st, 1, row->n);
  sk_sq_text(st, 2, item->id);
  sk_sq_int(st, 3, row->q);
  sk_sq_int(st, 4, row->rank);
  sk_sq_text(st, 5, item->task);
  sk_sq_blob(st, 6, item->record);
  if (later) {
    sk_sq_int(st, 7, row->due);
    sk_sq_int(st, 8, row->ord);
  }
  int rc = sqlite3_step(st);
  *exists = rc != SQLITE_DONE && sqlite3_extended_errcode(db->db) == SQLITE_CONSTRAINT_UNIQUE;
  enum sk_code code = rc == SQLITE_DONE || *exists ? SK_OK : sk_sq_fail(db);
  sqlite3_reset(st);
  return code;
}

/* Adds one job; item->status says whether its id was there. */
static enum sk_code add(struct sq_db *db, struct sk_enqueue_item *item) {
  struct sq_queue *queue;
  enum sk_code code = sk_sq_queue(db, item->queue, true, &queue);
  if (code == SK_ELIMIT) {
    item->status = SK_ELIMIT;
    return SK_OK;
  }
  if (code != SK_OK) return code;
  int64_t due = item->delay_ms > 0 ? sk_sq_later(db->now_ms, item->delay_ms) : item->due_ms;
  bool later = due > db->now_ms, exists;
  int64_t rank = sk_sq_rank(item->priority), lane = later ? SQ_LANE_APART : rank;
  struct sq_row row = {
    .n = sk_sq_number(queue->q, lane, queue->tail[lane]),
    .state = later ? (int64_t)SK_STATE_SCHEDULED : SQ_LINE,
    .q = queue->q,
    .rank = rank,
    .due = later ? due : 0,
    .ord = db->head.seq + 1,
  };
  code = insert(db, &row, item, &exists);
  if (code != SK_OK) return code;
  item->status = exists ? SK_EEXISTS : SK_OK;
  if (exists) return SK_OK;
  queue->tail[lane]++;
  struct sq_head *head = sk_sq_head(db);
  head->counters.enqueued++;
  if (later) head->seq++;
  db->notify = true;
  return sk_sq_enter(db, &row);
}

static enum sk_code add_all(struct sq_db *db, struct sk_enqueue_item *items, size_t n) {
  enum sk_code code = SK_OK;
  for (size_t i = 0; code == SK_OK && i < n; i++) code = add(db, &items[i]);
  return code;
}

enum sk_code sk_sq_enqueue(struct sq_db *db, struct sk_enqueue_op *op) { return add_all(db, op->items, op->items_n); }

/* -- fetch ----------------------------------------------------------------------------------------------------------------- */

/* A fetch at work. */
struct taking {
  struct sq_db *db;
  struct sk_fetch_op *op;
  uint64_t fence;
  size_t want;              /* no more than there are READY */
  int64_t *ns;              /* of op->held */
  struct sq_queue **queues; /* of op->queues; NULL: gives nothing */
  struct sk_str *names;     /* of those, in op's arena; made at the first job */
};

/* Makes READY what is due in queue, up to a bound: what is over it waits for the next fetch, due already. */
static enum sk_code promote(struct sq_db *db, struct sq_queue *queue) {
  enum { PROMOTE_MAX = 10000, CHUNK = 256 };
  struct sq_row rows[CHUNK];
  sqlite3_stmt *st = sk_sq(db, SQL_LATER_DUE);
  for (size_t done = 0, n = CHUNK; done < PROMOTE_MAX && n == CHUNK; done += n) {
    enum sk_code code = SK_OK;
    sk_sq_int(st, 1, queue->q);
    sk_sq_int(st, 2, db->now_ms);
    sk_sq_int(st, 3, CHUNK);
    for (n = 0; sk_sq_next(db, SQL_LATER_DUE, &code); n++) {
      rows[n] = (struct sq_row){
        .q = queue->q,
        .due = sqlite3_column_int64(st, 0),
        .ord = sqlite3_column_int64(st, 1),
        .n = sqlite3_column_int64(st, 2),
        .state = sqlite3_column_int64(st, 3),
        .rank = sqlite3_column_int64(st, 4),
      };
    }
    for (size_t i = 0; code == SK_OK && i < n; i++) {
      code = sk_sq_leave(db, &rows[i]);
      rows[i].state = SQ_FRONT;
      if (code == SK_OK) code = sk_sq_enter(db, &rows[i]);
      sk_sq_int(sk_sq(db, SQL_JOB_PROMOTE), 1, rows[i].n);
      if (code == SK_OK) code = sk_sq_run(db, SQL_JOB_PROMOTE);
    }
    if (code != SK_OK) return code;
  }
  return SK_OK;
}

/* Promotes in all queues named; notes in op->due_in_ms the earliest due time, and who may give how many jobs. */
static enum sk_code look(struct taking *t, int64_t *ready) {
  struct sq_db *db = t->db;
  *ready = 0;
  t->op->due_in_ms = SQ_NEVER;
  for (size_t i = 0; i < t->op->queues_n; i++) {
    struct sq_queue *queue;
    enum sk_code code = sk_sq_queue(db, t->op->queues[i].name, false, &queue);
    if (code == SK_OK && queue && queue->states[SK_STATE_SCHEDULED] + queue->states[SK_STATE_RETRY] > 0) {
      code = promote(db, queue);
      sk_sq_int(sk_sq(db, SQL_LATER_FIRST), 1, queue->q);
      if (code == SK_OK && sk_sq_next(db, SQL_LATER_FIRST, &code)) {
        int64_t due = sqlite3_column_int64(sk_sq(db, SQL_LATER_FIRST), 0);
        if (due < t->op->due_in_ms) t->op->due_in_ms = due;
      }
      sk_sq_reset(db, SQL_LATER_FIRST);
    }
    if (code != SK_OK) return code;
    if (queue == NULL || queue->paused) continue;
    t->queues[i] = queue;
    *ready += queue->states[SK_STATE_READY];
  }
  return SK_OK;
}

/* Notes the job on which st stands (n, id, record) as held.  False when out of memory. */
static bool note_held(struct taking *t, sqlite3_stmt *st, size_t from, int64_t rank, int64_t due) {
  struct sk_arena *arena = &t->op->op.arena;
  if (t->names[from].p == NULL) t->names[from] = sk_arena_copy(arena, t->queues[from]->name);
  struct sk_held *held = &t->op->held[t->op->held_n];
  *held = (struct sk_held){
    .id = sk_arena_copy(arena, sk_sq_column(st, 1)),
    .queue = t->names[from],
    .record = sk_arena_copy(arena, sk_sq_column(st, 2)),
    .priority = sk_sq_priority(rank),
    .fence = t->fence,
    .late_ms = due < t->db->now_ms ? t->db->now_ms - due : 0,
  };
  t->ns[t->op->held_n++] = sqlite3_column_int64(st, 0);
  return held->id.p && held->queue.p && held->record.p;
}

/* Takes up to most jobs from the head of a lane. */
static enum sk_code take_line(struct taking *t, size_t from, int64_t rank, size_t most) {
  struct sq_db *db = t->db;
  struct sq_queue *queue = t->queues[from];
  if (most == 0 || queue->head[rank] >= queue->tail[rank]) return SK_OK;
  enum sk_code code = SK_OK;
  size_t first = t->op->held_n;
  sqlite3_stmt *st = sk_sq(db, SQL_LINE);
  sk_sq_int(st, 1, sk_sq_number(queue->q, rank, queue->head[rank]));
  sk_sq_int(st, 2, sk_sq_number(queue->q, rank, queue->tail[rank]));
  sk_sq_int(st, 3, (int64_t)most);
  while (code == SK_OK && sk_sq_next(db, SQL_LINE, &code))
    if (!note_held(t, st, from, rank, SQ_NEVER)) code = no_memory(db);
  sk_sq_reset(db, SQL_LINE);
  size_t n = t->op->held_n - first;
  queue->head[rank] = n < most ? queue->tail[rank] : t->ns[first + n - 1] - sk_sq_number(queue->q, rank, 0) + 1;
  queue->states[SK_STATE_READY] -= (int64_t)n;
  queue->states[SK_STATE_RUNNING] += (int64_t)n;
  sk_sq_dirty(db, queue);
  if (code != SK_OK || n == 0) return code;
  st = sk_sq(db, SQL_JOB_TAKE_LINE);
  sk_sq_int(st, 1, t->ns[first]);
  sk_sq_int(st, 2, t->ns[first + n - 1]);
  sk_sq_int(st, 3, SQ_HOLD_BASE + (int64_t)t->fence);
  sk_sq_int(st, 4, db->now_ms);
  return sk_sq_run(db, SQL_JOB_TAKE_LINE);
}

/* Takes up to most jobs from what stands before a lane. */
static enum sk_code take_front(struct taking *t, size_t from, int64_t rank, size_t most) {
  enum { CHUNK = 256 };
  struct sq_db *db = t->db;
  struct sq_queue *queue = t->queues[from];
  enum sk_code code = SK_OK;
  for (size_t n = CHUNK; code == SK_OK && n == CHUNK && most > 0 && queue->front > 0; most -= n) {
    struct sq_row rows[CHUNK];
    sqlite3_stmt *st = sk_sq(db, SQL_FRONT);
    sk_sq_int(st, 1, queue->q);
    sk_sq_int(st, 2, rank);
    sk_sq_int(st, 3, (int64_t)(most < CHUNK ? most : CHUNK));
    for (n = 0; code == SK_OK && sk_sq_next(db, SQL_FRONT, &code); n++) {
      int64_t due = sqlite3_column_int64(st, 3);
      rows[n] = (struct sq_row){ .q = queue->q, .rank = rank, .state = SQ_FRONT, .due = due, .ord = sqlite3_column_int64(st, 4) };
      rows[n].n = sqlite3_column_int64(st, 0);
      if (!note_held(t, st, from, rank, due)) code = no_memory(db);
    }
    sk_sq_reset(db, SQL_FRONT);
    for (size_t i = 0; code == SK_OK && i < n; i++) {
      code = sk_sq_leave(db, &rows[i]);
      st = sk_sq(db, SQL_JOB_TAKE);
      sk_sq_int(st, 1, rows[i].n);
      sk_sq_int(st, 2, SQ_HOLD_BASE + (int64_t)t->fence);
      sk_sq_int(st, 3, db->now_ms);
      if (code == SK_OK) code = sk_sq_run(db, SQL_JOB_TAKE);
      queue->states[SK_STATE_RUNNING]++;
    }
  }
  return code;
}

static enum sk_code take(struct taking *t, size_t from, size_t quota) {
  struct sq_queue *queue = t->queues[from];
  size_t most = t->want - t->op->held_n, stop = t->op->held_n + (quota < most ? quota : most);
  enum sk_code code = SK_OK;
  for (int64_t rank = 0; queue && code == SK_OK && rank < SK_PRIORITIES; rank++) {
    if (t->op->held_n >= stop || queue->states[SK_STATE_READY] == 0) break;
    code = take_front(t, from, rank, stop - t->op->held_n);
    if (code == SK_OK) code = take_line(t, from, rank, stop - t->op->held_n);
  }
  return code;
}

static enum sk_code take_all(struct taking *t) {
  struct sk_fetch_op *op = t->op;
  enum sk_code code = SK_OK;
  for (size_t i = 0; code == SK_OK && i < op->queues_n; i++) code = take(t, i, op->queues[i].quota);
  for (size_t i = 0; code == SK_OK && i < op->queues_n; i++) code = take(t, i, t->want);
  for (size_t i = 0; i < op->queues_n; i++)
    if (t->queues[i] && t->queues[i]->states[SK_STATE_READY] > 0) op->more = true;
  if (code != SK_OK || op->held_n == 0) return code;
  sk_sq_head(t->db)->fence = (int64_t)t->fence;
  return sk_sq_hold(t->db, t->fence, t->ns, op->held_n);
}

enum sk_code sk_sq_fetch(struct sq_db *db, struct sk_fetch_op *op) {
  op->held = NULL;
  op->held_n = 0;
  op->more = false;
  enum sk_code code = sk_sq_check_self(db);
  if (code != SK_OK) return code;
  struct sk_arena *arena = &op->op.arena;
  struct taking t = { .db = db, .op = op, .fence = (uint64_t)db->head.fence + 1 };
  t.queues = sk_arena_array(arena, op->queues_n, sizeof(struct sq_queue *));
  t.names = sk_arena_array(arena, op->queues_n, sizeof *t.names);
  if (t.queues == NULL || t.names == NULL) return no_memory(db);
  int64_t ready;
  code = look(&t, &ready);
  if (code != SK_OK) return code;
  t.want = (size_t)ready < op->want ? (size_t)ready : op->want;
  op->held = sk_arena_array(arena, t.want, sizeof *op->held);
  t.ns = sk_arena_array(arena, t.want, sizeof *t.ns);
  if (op->held == NULL || t.ns == NULL) return no_memory(db);
  code = take_all(&t);
  op->queues_version = (uint64_t)db->head.queues_version;
  return code;
}

/* The due time becomes a wait from now, which may be a slow commit after the look. */
void sk_sq_fetch_done(struct sq_db *db, struct sk_fetch_op *op) {
  if (op->due_in_ms == SQ_NEVER) {
    op->due_in_ms = -1;
    return;
  }
  op->due_in_ms -= sk_store_wall_ms(&db->clock);
  if (op->due_in_ms < 1) op->due_in_ms = 1;
}

/* -- settle ---------------------------------------------------------------------------------------------------------------- */

/* Deleted at once: dropped, or finished and not kept. */
static bool is_deleted(const struct sk_settle_item *item) {
  bool kept_if = item->kind == SK_SETTLE_DONE || item->kind == SK_SETTLE_CANCELLED;
  return item->kind == SK_SETTLE_DROP || (kept_if && item->keep_ms <= 0);
}

/* The job goes, if it is held as the item says. */
static enum sk_code settle_deleted(struct sq_db *db, struct sk_settle_item *item) {
  struct sq_queue *queue;
  enum sk_code code = sk_sq_queue(db, item->queue, false, &queue);
  if (code != SK_OK || queue == NULL) return code;
  sqlite3_stmt *st = sk_sq(db, SQL_JOB_DELETE_HELD);
  sk_sq_text(st, 1, item->id);
  sk_sq_int(st, 2, SQ_HOLD_BASE + (int64_t)item->fence);
  sk_sq_int(st, 3, queue->q);
  code = sk_sq_run(db, SQL_JOB_DELETE_HELD);
  if (code != SK_OK || sqlite3_changes(db->db) != 1) return code;
  item->status = SK_OK;
  queue->states[SK_STATE_RUNNING]--; /* running jobs have no side table to leave */
  sk_sq_dirty(db, queue);
  return SK_OK;
}

/* What becomes of a running job that stays in the store. */
static enum sk_code apply(struct sq_db *db, const struct sk_settle_item *item, struct sq_row *row) {
  int64_t until = sk_sq_later(db->now_ms, item->keep_ms > 0 ? item->keep_ms : 0);
  int64_t due = sk_sq_later(db->now_ms, item->delay_ms > 0 ? item->delay_ms : 0);
  struct sq_queue *queue;
  enum sk_code code;
  switch (item->kind) {
    case SK_SETTLE_DONE:
      return sk_sq_move_ended(db, row, SK_STATE_DONE, until, item->record);
    case SK_SETTLE_CANCELLED:
      return sk_sq_move_ended(db, row, SK_STATE_CANCELLED, until, item->record);
    case SK_SETTLE_DEAD:
      return sk_sq_move_ended(db, row, SK_STATE_DEAD, 0, item->record);
    case SK_SETTLE_RETRY:
    case SK_SETTLE_SNOOZE:
      code = item->to_queue.n ? sk_sq_queue(db, item->to_queue, true, &queue) : sk_sq_queue_of(db, row->q, &queue);
      if (code == SK_ELIMIT) code = sk_sq_queue_of(db, row->q, &queue); /* better in its own queue than nowhere */
      if (code != SK_OK) return code;
      return sk_sq_move_later(db, row, queue->q, item->kind == SK_SETTLE_RETRY ? SK_STATE_RETRY : SK_STATE_SCHEDULED, due,
                              &item->record);
    case SK_SETTLE_RELEASE:
    case SK_SETTLE_DROP:
      break;
  }
  code = sk_sq_leave(db, row);
  row->state = SQ_FRONT;
  if (code == SK_OK) code = sk_sq_enter(db, row);
  return code == SK_OK ? sk_sq_save(db, row, item->record.n ? &item->record : NULL) : code;
}

static enum sk_code settle_kept(struct sq_db *db, struct sk_settle_item *item) {
  struct sq_row row;
  bool found;
  enum sk_code code = sk_sq_load_id(db, item->id, &row, NULL, NULL, &found);
  if (code != SK_OK || !found || row.state != SK_STATE_RUNNING || sk_sq_fence(row.hold) != item->fence) return code;
  item->status = SK_OK;
  return apply(db, item, &row);
}

static void count_settled(struct sk_counters *c, const struct sk_settle_item *item) {
  int64_t *const by_kind[SK_SETTLE_KINDS] = {
    [SK_SETTLE_DONE] = &c->done,      [SK_SETTLE_RETRY] = &c->retried,       [SK_SETTLE_DEAD] = &c->dead,
    [SK_SETTLE_DROP] = &c->discarded, [SK_SETTLE_CANCELLED] = &c->cancelled,
  };
  if (by_kind[item->kind]) ++*by_kind[item->kind];
  if (item->crashed) c->crashed++;
}

static enum sk_code settle_one(struct sq_db *db, struct sk_settle_item *item) {
  item->status = SK_ESTALE;
  if (sk_sq_hold_find(db, item->fence) == NULL) return SK_OK; /* another's fence, or one that was lost */
  enum sk_code code = is_deleted(item) ? settle_deleted(db, item) : settle_kept(db, item);
  if (code != SK_OK || item->status != SK_OK) return code;
  db->notify = true;
  count_settled(&sk_sq_head(db)->counters, item);
  return add_all(db, item->follow, item->follow_n);
}

enum sk_code sk_sq_settle(struct sq_db *db, struct sk_settle_op *op) {
  enum sk_code code = sk_sq_check_self(db);
  for (size_t i = 0; code == SK_OK && i < op->items_n; i++) code = settle_one(db, &op->items[i]);
  return code;
}

void sk_sq_settle_done(struct sq_db *db, struct sk_settle_op *op) {
  for (size_t i = 0; i < op->items_n; i++)
    if (op->items[i].status == SK_OK) sk_sq_hold_settled(db, op->items[i].fence);
}

/* -- progress -------------------------------------------------------------------------------------------------------------- */

enum sk_code sk_sq_progress(struct sq_db *db, struct sk_progress_op *op) {
  enum sk_code code = sk_sq_check_self(db);
  for (size_t i = 0; code == SK_OK && i < op->items_n; i++) {
    const struct sk_progress_item *item = &op->items[i];
    if (sk_sq_hold_find(db, item->fence) == NULL) continue;
    sqlite3_stmt *st = sk_sq(db, SQL_JOB_PROGRESS);
    sk_sq_text(st, 1, item->id);
    sk_sq_int(st, 2, SQ_HOLD_BASE + (int64_t)item->fence);
    sk_sq_int(st, 3, item->percent);
    sk_sq_text(st, 4, sk_str_head(item->note, SK_NOTE_BYTES_MAX));
    code = sk_sq_run(db, SQL_JOB_PROGRESS);
  }
  return code;
}
