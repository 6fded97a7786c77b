/* fetch.c - the fetch of the sqlite store: makes READY what is due, takes jobs, says what could run next.
 *
 * A priority of a queue without members (sqlite.h) is a range of numbers, and the jobs of table front before it.  With
 * members, the open lanes of groups and the other jobs take turns, a job each, in the order of their last turns.  A
 * fetch looks at a bounded number of rows and takes a bounded number of bytes; what it leaves is named by has_more. */
#include "store/sqlite/sqlite.h"

enum {
  PROMOTE_MAX = 512, /* jobs that one fetch makes READY */
  LANES_MAX = 512,   /* lanes of groups that it opens */
  LOOKS = 4000,      /* rows of queues' lanes that it looks at */
  MEMBER_LOOKS = 8,  /* a job of a group costs as much as so many */
};

/* A fetch while its transaction is open. */
struct taking {
  struct sq_db *db;
  struct sk_fetch_op *op;
  uint64_t fence;
  size_t want;              /* no more than there are READY */
  size_t bytes;             /* of the records that were taken */
  int looks;                /* rows of lanes that it may still look at */
  int64_t *ns;              /* of op->held */
  struct sq_queue **queues; /* those of op->queues; NULL: gives nothing */
  struct sk_str *names;     /* of those, in op's arena; made at the first job */
};

/* May the fetch look at another row, and take another job? */
static bool has_room(const struct taking *t) { return t->looks > 0 && t->bytes < SK_BATCH_BYTES_MAX; }

/* Makes READY what is due in queue, up to *left: what is over that waits for the next fetch, due already. */
static enum sk_code promote(struct sq_db *db, struct sq_queue *queue, size_t *left) {
  enum { CHUNK = 256 };
  struct sq_row rows[CHUNK];
  sqlite3_stmt *st = sk_sq(db, SQL_LATER_DUE);
  for (size_t n = CHUNK; *left > 0 && n == CHUNK; *left -= n) {
    enum sk_code code = SK_OK;
    sk_sq_int(st, 1, queue->q);
    sk_sq_int(st, 2, db->now_ms);
    sk_sq_int(st, 3, (int64_t)(*left < CHUNK ? *left : CHUNK));
    for (n = 0; sk_sq_next(db, SQL_LATER_DUE, &code); n++) {
      rows[n] = (struct sq_row){
        .q = queue->q,
        .due = sqlite3_column_int64(st, 0),
        .ord = sqlite3_column_int64(st, 1),
        .n = sqlite3_column_int64(st, 2),
        .state = sqlite3_column_int64(st, 3),
        .rank = sqlite3_column_int64(st, 4),
        .flags = sqlite3_column_int64(st, 5),
      };
    }
    for (size_t i = 0; code == SK_OK && i < n; i++) code = sk_sq_promote(db, &rows[i]);
    if (code != SK_OK) return code;
  }
  return SK_OK;
}

/* Promotes in all queues named; notes in op->due_in_ms the earliest due time, and who may give how many jobs. */
static enum sk_code look(struct taking *t, int64_t *ready) {
  struct sq_db *db = t->db;
  size_t to_promote = PROMOTE_MAX;
  int lanes = LANES_MAX;
  *ready = 0;
  t->op->due_in_ms = SQ_NEVER;
  for (size_t i = 0; i < t->op->queues_n; i++) {
    struct sq_queue *queue;
    enum sk_code code = sk_sq_queue(db, t->op->queues[i].name, false, &queue);
    t->op->queues[i].has_more = false;
    t->op->queues[i].due_in_ms = SQ_NEVER;
    if (code == SK_OK && queue && queue->states[SK_STATE_SCHEDULED] + queue->states[SK_STATE_RETRY] > 0) {
      code = promote(db, queue, &to_promote);
      sk_sq_int(sk_sq(db, SQL_LATER_FIRST), 1, queue->q);
      if (code == SK_OK && sk_sq_next(db, SQL_LATER_FIRST, &code)) {
        int64_t due = sqlite3_column_int64(sk_sq(db, SQL_LATER_FIRST), 0);
        t->op->queues[i].due_in_ms = due;
        if (due < t->op->due_in_ms) t->op->due_in_ms = due;
      }
      sk_sq_reset(db, SQL_LATER_FIRST);
    }
    if (code == SK_OK && queue) sk_sq_settings_clamp(db, queue);
    if (code == SK_OK && queue && queue->members > 0 && !queue->paused) code = sk_sq_lanes_open(db, queue, &lanes);
    if (code != SK_OK) return code;
    if (queue == NULL || queue->paused) continue;
    t->queues[i] = queue;
    *ready += queue->states[SK_STATE_READY];
  }
  return SK_OK;
}

/* Notes the job on which st stands (n, id, record) as held.  False when out of memory. */
static bool note_fetched(struct taking *t, sqlite3_stmt *st, size_t from, int64_t rank, int64_t due) {
  struct sk_arena *arena = &t->op->op.arena;
  if (t->names[from].p == NULL) t->names[from] = sk_arena_copy(arena, t->queues[from]->name);
  struct sk_fetched *job = &t->op->jobs[t->op->jobs_n];
  *job = (struct sk_fetched){
    .id = sk_arena_copy(arena, sk_sq_column(st, 1)),
    .queue = t->names[from],
    .record = sk_arena_copy(arena, sk_sq_column(st, 2)),
    .priority = sk_sq_priority(rank),
    .fence = t->fence,
    .late_ms = due < t->db->now_ms ? t->db->now_ms - due : 0,
  };
  t->ns[t->op->jobs_n++] = sqlite3_column_int64(st, 0);
  t->bytes += job->record.n;
  return job->id.p && job->queue.p && job->record.p;
}

/* Deletes the progress of the jobs of op->jobs from `first` on.  These jobs stood in line, so only those that were
 * released to the line have any. */
static enum sk_code forget_progress(struct taking *t, size_t first) {
  enum sk_code code = SK_OK;
  for (size_t i = first; code == SK_OK && i < t->op->jobs_n; i++) {
    struct sq_row row;
    bool found;
    code = sk_sq_load(t->db, t->ns[i], &row, NULL, NULL, &found);
    if (code != SK_OK || !(row.flags & SQ_FLAG_PROGRESS)) continue;
    code = sk_sq_progress_forget(t->db, &row);
    sk_sq_int(sk_sq(t->db, SQL_JOB_FLAGS), 1, row.n);
    sk_sq_some(sk_sq(t->db, SQL_JOB_FLAGS), 2, row.flags);
    if (code == SK_OK) code = sk_sq_run(t->db, SQL_JOB_FLAGS);
  }
  return code;
}

/* Takes up to most jobs from the head of a lane.  Numbers of jobs that are not READY any more are passed over, and the
 * head moves behind them, so that no other fetch sees them again. */
static enum sk_code take_line(struct taking *t, size_t from, int64_t rank, size_t most) {
  struct sq_db *db = t->db;
  struct sq_queue *queue = t->queues[from];
  enum sk_code code = SK_OK;
  size_t first = t->op->jobs_n, stop = first + most;
  if (most == 0 || queue->head[rank] >= queue->tail[rank]) return SK_OK;
  sqlite3_stmt *st = sk_sq(db, SQL_LINE);
  sk_sq_int(st, 1, sk_sq_number(queue->q, rank, queue->head[rank]));
  sk_sq_int(st, 2, sk_sq_number(queue->q, rank, queue->tail[rank]));
  bool progress = false;
  while (code == SK_OK && t->op->jobs_n < stop && has_room(t)) {
    if (!sk_sq_next(db, SQL_LINE, &code)) {
      if (code == SK_OK) queue->head[rank] = queue->tail[rank];
      break;
    }
    queue->head[rank] = (sqlite3_column_int64(st, 0) & SQ_SEQ_MASK) + 1;
    t->looks--;
    if (sqlite3_column_int64(st, 4) != SQ_LINE) continue;
    progress |= (sqlite3_column_int64(st, 3) & SQ_FLAG_PROGRESS) != 0;
    if (!note_fetched(t, st, from, rank, SQ_NEVER)) code = sk_sq_no_memory(db);
  }
  sk_sq_reset(db, SQL_LINE);
  size_t n = t->op->jobs_n - first;
  sk_sq_dirty(db, queue);
  if (code == SK_OK && progress) code = forget_progress(t, first);
  if (code != SK_OK || n == 0) return code;
  return sk_sq_take_line(db, queue, t->ns[first], t->ns[first + n - 1], n, t->fence);
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
    for (n = 0; code == SK_OK && has_room(t) && sk_sq_next(db, SQL_FRONT, &code); n++) {
      int64_t due = sqlite3_column_int64(st, 4);
      rows[n] = (struct sq_row){
        .q = queue->q, .rank = rank, .state = SQ_FRONT, .due = due, .ord = sqlite3_column_int64(st, 5)
      };
      rows[n].n = sqlite3_column_int64(st, 0);
      rows[n].flags = sqlite3_column_int64(st, 3);
      if (!note_fetched(t, st, from, rank, due)) code = sk_sq_no_memory(db);
    }
    sk_sq_reset(db, SQL_FRONT);
    for (size_t i = 0; code == SK_OK && i < n; i++) code = sk_sq_take(db, &rows[i], t->fence);
  }
  return code;
}

/* Takes up to most jobs of those that need no slot. */
static enum sk_code take_plain(struct taking *t, size_t from, int64_t rank, size_t most) {
  size_t stop = t->op->jobs_n + most;
  enum sk_code code = take_front(t, from, rank, most);
  return code == SK_OK ? take_line(t, from, rank, stop - t->op->jobs_n) : code;
}

/* Takes the first job in group g's line, whose turn comes again after all others. */
static enum sk_code take_member(struct taking *t, size_t from, int64_t rank, int64_t g) {
  struct sq_db *db = t->db;
  struct sq_queue *queue = t->queues[from];
  enum sk_code code = SK_OK;
  sqlite3_stmt *st = sk_sq(db, SQL_MEMBER);
  sk_sq_int(st, 1, g);
  sk_sq_int(st, 2, queue->q);
  sk_sq_int(st, 3, rank);
  if (!sk_sq_next(db, SQL_MEMBER, &code))
    return code != SK_OK
               ? code
               : sk_err_set(&db->err, SK_ECORRUPT, "%s: a line of group %lld is empty", db->path, (long long)g);
  struct sq_row row = {
    .n = sqlite3_column_int64(st, 0),
    .state = SQ_MEMBER,
    .q = queue->q,
    .rank = rank,
    .flags = sqlite3_column_int64(st, 3),
    .due = sqlite3_column_int64(st, 4),
    .ord = sqlite3_column_int64(st, 5),
  };
  bool noted = note_fetched(t, st, from, rank, row.due);
  sk_sq_reset(db, SQL_MEMBER);
  t->looks -= MEMBER_LOOKS;
  code = noted ? sk_sq_take(db, &row, t->fence) : sk_sq_no_memory(db);
  if (code == SK_OK) code = sk_sq_group_take(db, g);
  st = sk_sq(db, SQL_LANE_TURN); /* now, since a line that was shut by this is in no index of turns */
  sk_sq_int(st, 1, g);
  sk_sq_int(st, 2, queue->q);
  sk_sq_int(st, 3, rank);
  sk_sq_int(st, 4, ++sk_sq_head(db)->seq);
  return code == SK_OK ? sk_sq_run(db, SQL_LANE_TURN) : code;
}

/* The open line whose turn is next; *g = 0: none is open. */
static enum sk_code next_lane(struct sq_db *db, const struct sq_queue *queue, int64_t rank, int64_t *g, int64_t *turn) {
  enum sk_code code = SK_OK;
  sqlite3_stmt *st = sk_sq(db, SQL_LANE_NEXT);
  sk_sq_int(st, 1, queue->q);
  sk_sq_int(st, 2, rank);
  bool found = sk_sq_next(db, SQL_LANE_NEXT, &code);
  *g = found ? sqlite3_column_int64(st, 0) : 0;
  *turn = found ? sqlite3_column_int64(st, 1) : 0;
  sk_sq_reset(db, SQL_LANE_NEXT);
  return code;
}

/* The turn of the jobs that need no slot: the first one, until they have had one. */
static enum sk_code plain_turn(struct sq_db *db, const struct sq_queue *queue, int64_t rank, int64_t *turn) {
  enum sk_code code = SK_OK;
  sqlite3_stmt *st = sk_sq(db, SQL_PLAIN_TURN);
  sk_sq_int(st, 1, queue->q);
  sk_sq_int(st, 2, rank);
  *turn = sk_sq_next(db, SQL_PLAIN_TURN, &code) ? sqlite3_column_int64(st, 0) : 0;
  sk_sq_reset(db, SQL_PLAIN_TURN);
  return code;
}

static enum sk_code plain_turn_save(struct sq_db *db, const struct sq_queue *queue, int64_t rank, int64_t turn) {
  sqlite3_stmt *st = sk_sq(db, SQL_PLAIN_TURN_SAVE);
  sk_sq_int(st, 1, queue->q);
  sk_sq_int(st, 2, rank);
  sk_sq_int(st, 3, turn);
  return sk_sq_run(db, SQL_PLAIN_TURN_SAVE);
}

/* Takes up to most jobs of a priority: by turns while a line is open. */
static enum sk_code take_turns(struct taking *t, size_t from, int64_t rank, size_t most) {
  struct sq_db *db = t->db;
  struct sq_queue *queue = t->queues[from];
  size_t stop = t->op->jobs_n + most;
  int64_t plain, first, g, turn;
  bool has_plain = true;
  enum sk_code code = plain_turn(db, queue, rank, &plain);
  first = plain;
  while (code == SK_OK && t->op->jobs_n < stop && has_room(t)) {
    code = next_lane(db, queue, rank, &g, &turn);
    if (code != SK_OK || g == 0) break;
    if (has_plain && plain < turn) {
      size_t before = t->op->jobs_n;
      code = take_plain(t, from, rank, 1);
      has_plain = t->op->jobs_n > before;
      if (has_plain) plain = ++sk_sq_head(db)->seq;
    } else {
      code = take_member(t, from, rank, g);
    }
  }
  if (code == SK_OK && plain != first) code = plain_turn_save(db, queue, rank, plain);
  return code == SK_OK && has_plain ? take_plain(t, from, rank, stop - t->op->jobs_n) : code;
}

static enum sk_code take(struct taking *t, size_t from, size_t quota) {
  struct sq_queue *queue = t->queues[from];
  size_t first = t->op->jobs_n, left = t->want - first, most = quota < left ? quota : left;
  enum sk_code code = SK_OK;
  if (queue == NULL) return SK_OK;
  size_t stop = first + sk_sq_settings_allows(t->db, queue, most);
  for (int64_t rank = 0; code == SK_OK && rank < SK_PRIORITIES; rank++) {
    if (t->op->jobs_n >= stop || queue->states[SK_STATE_READY] == 0 || !has_room(t)) break;
    size_t more = stop - t->op->jobs_n;
    code = queue->members > 0 ? take_turns(t, from, rank, more) : take_plain(t, from, rank, more);
  }
  size_t taken = t->op->jobs_n - first;
  sk_sq_settings_took(t->db, queue, taken);
  /* There is room again: who waited for that is told. */
  int64_t room = queue->settings.max_len - sk_states_waiting(queue->states);
  if (queue->settings.max_len > 0 && room > 0 && room <= (int64_t)taken) t->db->notify = true;
  return code;
}

static void note_due(struct taking *t, size_t from, int64_t at_us) {
  int64_t due_ms = at_us / 1000 + (at_us % 1000 != 0);
  if (due_ms < t->op->queues[from].due_in_ms) t->op->queues[from].due_in_ms = due_ms;
  if (due_ms < t->op->due_in_ms) t->op->due_in_ms = due_ms;
}

/* What is left in queue: is there more that could be taken now, and when does a token come for what waits for nothing
 * else? */
static enum sk_code look_after(struct taking *t, size_t from) {
  const struct sq_queue *queue = t->queues[from];
  struct sq_db *db = t->db;
  if (queue->states[SK_STATE_READY] == 0 || sk_sq_queue_is_full(queue)) return SK_OK;
  bool open = false;
  int64_t now_us = sk_sq_now_us(db), soon_us = SQ_NEVER;
  enum sk_code code = queue->members > 0 ? sk_sq_lanes_look(db, queue, &open, &soon_us) : SK_OK;
  int64_t wait_us = sk_limit_wait_us(&queue->settings.limit, queue->full_us, now_us),
          token_us = sk_sq_later(now_us, wait_us);
  if (open || queue->states[SK_STATE_READY] > queue->members) {
    if (wait_us > 0)
      note_due(t, from, token_us);
    else
      t->op->has_more = t->op->queues[from].has_more = true;
  }
  if (soon_us < SQ_NEVER) note_due(t, from, soon_us > token_us ? soon_us : token_us);
  return code;
}

static enum sk_code take_all(struct taking *t) {
  struct sk_fetch_op *op = t->op;
  enum sk_code code = SK_OK;
  for (size_t i = 0; code == SK_OK && i < op->queues_n; i++) code = take(t, i, op->queues[i].quota);
  for (size_t i = 0; code == SK_OK && i < op->queues_n; i++) code = take(t, i, t->want);
  for (size_t i = 0; code == SK_OK && i < op->queues_n; i++)
    if (t->queues[i]) code = look_after(t, i);
  if (code != SK_OK || op->jobs_n == 0) return code;
  sk_sq_head(t->db)->fence = (int64_t)t->fence;
  return sk_sq_hold(t->db, t->fence, t->ns, op->jobs_n);
}

enum sk_code sk_sq_fetch(struct sq_db *db, struct sk_fetch_op *op) {
  op->jobs = NULL;
  op->jobs_n = 0;
  op->has_more = false;
  op->stops = NULL;
  op->stops_n = 0;
  enum sk_code code = sk_sq_check_self(db);
  if (code != SK_OK) return code;
  struct sk_arena *arena = &op->op.arena;
  struct taking t = { .db = db, .op = op, .fence = (uint64_t)db->head.fence + 1, .looks = LOOKS };
  t.queues = sk_arena_array(arena, op->queues_n, sizeof(struct sq_queue *));
  t.names = sk_arena_array(arena, op->queues_n, sizeof *t.names);
  if (t.queues == NULL || t.names == NULL) return sk_sq_no_memory(db);
  int64_t ready;
  code = look(&t, &ready);
  if (code != SK_OK) return code;
  t.want = (size_t)ready < op->want ? (size_t)ready : op->want;
  op->jobs = sk_arena_array(arena, t.want, sizeof *op->jobs);
  t.ns = sk_arena_array(arena, t.want, sizeof *t.ns);
  if (op->jobs == NULL || t.ns == NULL) return sk_sq_no_memory(db);
  code = take_all(&t);
  if (code == SK_OK) code = sk_sq_stops(db, arena, &op->stops, &op->stops_n);
  op->queues_version = (uint64_t)db->head.queues_version;
  return code;
}

/* The due time becomes a wait from now, which may be a slow commit after the look. */
void sk_sq_fetch_done(struct sq_db *db, struct sk_fetch_op *op) {
  for (size_t i = 0; i < op->queues_n; i++) {
    int64_t *due_ms = &op->queues[i].due_in_ms, in_ms = *due_ms - sk_store_wall_ms(&db->clock);
    *due_ms = *due_ms == SQ_NEVER ? -1 : in_ms < 1 ? 1 : in_ms;
  }
  if (op->due_in_ms == SQ_NEVER) {
    op->due_in_ms = -1;
    return;
  }
  op->due_in_ms -= sk_store_wall_ms(&db->clock);
  if (op->due_in_ms < 1) op->due_in_ms = 1;
}
