/* sqlite/lock.c - what stands between a job and the sqlite store, and what leaves with it: locks, the room in a bounded queue, stops.
 *
 * A lock is found by its key when a job comes, and by its holder's id when that goes; a job that took none (job.flags) asks for
 * neither.  Rows whose time is over are as good as none; a beat deletes them. */
#include "store/sqlite/sqlite.h"

/* -- locks ----------------------------------------------------------------------------------------------------------------- */

/* Who holds it, in arena; *held says whether anyone does, *outlived that it is a job that has ended (and whose id may be another's). */
static enum sk_code find_holder(struct sq_db *db, struct sk_arena *arena, struct sk_str key, struct sk_str *id,
                                bool *held, bool *outlived) {
  enum sk_code code = SK_OK;
  sqlite3_stmt *st = sk_sq(db, SQL_LOCK);
  sk_sq_blob(st, 1, key);
  *held = sk_sq_next(db, SQL_LOCK, &code);
  if (*held) {
    int64_t until = sqlite3_column_int64(st, 1);
    *held = until == 0 || until > db->now_ms;
    *outlived = sqlite3_column_int(st, 2) == 2;
    *id = sk_arena_copy(arena, sk_sq_column(st, 0));
    if (id->p == NULL) code = sk_sq_no_memory(db);
  }
  sk_sq_reset(db, SQL_LOCK);
  return code;
}

enum sk_code sk_sq_lock_take(struct sq_db *db, const struct sk_enqueue_item *item) {
  const struct sk_lock *lock = &item->lock;
  sqlite3_stmt *st = sk_sq(db, SQL_LOCK_TAKE);
  sk_sq_blob(st, 1, lock->key);
  sk_sq_text(st, 2, item->id);
  sk_sq_int(st, 3, lock->ttl_ms > 0 ? sk_sq_later(db->now_ms, lock->ttl_ms) : 0);
  sk_sq_int(st, 4, lock->mode == SK_LOCK_THROTTLE);
  return sk_sq_run(db, SQL_LOCK_TAKE);
}

enum sk_code sk_sq_locks_expire(struct sq_db *db, int64_t most, int64_t *n) {
  sk_sq_int(sk_sq(db, SQL_LOCKS_OVER), 1, db->now_ms);
  sk_sq_int(sk_sq(db, SQL_LOCKS_OVER), 2, most);
  enum sk_code code = sk_sq_run(db, SQL_LOCKS_OVER);
  *n = sqlite3_changes(db->db);
  return code;
}

/* -- admission ------------------------------------------------------------------------------------------------------------- */

/* Gathers the facts about the job's lock: `old` is the holder that a REPLACE may delete, *holder its id. */
static enum sk_code find_lock(struct sq_db *db, struct sk_arena *arena, const struct sk_enqueue_item *item,
                              struct sk_admission_facts *facts, struct sk_str *holder, struct sq_row *old) {
  bool outlived = false, found = false;
  facts->lock_mode = item->lock.mode;
  if (item->lock.mode == SK_LOCK_NONE) return SK_OK;
  enum sk_code code = find_holder(db, arena, item->lock.key, holder, &facts->lock_held, &outlived);
  if (code != SK_OK || !facts->lock_held || outlived || item->lock.mode != SK_LOCK_REPLACE) return code;
  code = sk_sq_load_id(db, *holder, old, NULL, NULL, &found);
  if (found) facts->holder_state = sk_sq_state(old->state);
  return code;
}

static enum sk_code discard(struct sq_db *db, struct sq_row *row) {
  sk_sq_head(db)->counters.discarded++;
  return sk_sq_delete(db, row);
}

/* The READY job that is first in THE ORDER of the lowest priority that has any. */
static enum sk_code drop_oldest(struct sq_db *db, struct sq_queue *queue) {
  enum sk_code code = SK_OK;
  sqlite3_stmt *st = sk_sq(db, SQL_OLDEST);
  for (int64_t rank = SK_PRIORITIES - 1; code == SK_OK && rank >= 0; rank--) {
    code = sk_sq_head_move(db, queue, rank);
    if (code != SK_OK) return code;
    sk_sq_int(st, 1, queue->q);
    sk_sq_int(st, 2, rank);
    sk_sq_int(st, 3, sk_sq_number(queue->q, rank, queue->head[rank]));
    sk_sq_int(st, 4, sk_sq_number(queue->q, rank, queue->tail[rank]));
    bool found = sk_sq_next(db, SQL_OLDEST, &code);
    int64_t n = found ? sqlite3_column_int64(st, 0) : 0;
    sk_sq_reset(db, SQL_OLDEST);
    if (!found) continue;
    struct sq_row row;
    code = sk_sq_load(db, n, &row, NULL, NULL, &found);
    return code == SK_OK && found ? discard(db, &row) : code;
  }
  return code;
}

enum sk_code sk_sq_admit(struct sq_db *db, struct sk_arena *arena, struct sq_queue *queue, struct sk_enqueue_item *item,
                         bool follow) {
  struct sk_admission_facts facts = {
    .is_callback = follow,
    .max_len = queue->settings.max_len,
    .overflow = queue->settings.overflow,
    .waiting = sk_states_waiting(queue->states),
    .ready = queue->states[SK_STATE_READY],
  };
  struct sq_row old = { 0 };
  struct sk_str holder = { NULL, 0 };
  enum sk_code code = sk_sq_load_id(db, item->id, &old, NULL, NULL, &facts.id_there);
  if (code == SK_OK && !facts.id_there) code = find_lock(db, arena, item, &facts, &holder, &old);
  if (code != SK_OK) return code;
  facts.holder_in_queue = facts.holder_state != SK_STATE_NONE && old.q == queue->q;
  struct sk_admission admission = sk_admission(&facts);
  item->status = admission.status;
  if (admission.refused_by_lock) item->holder = holder;
  if (admission.replaces_holder) code = discard(db, &old);
  return code == SK_OK && admission.drops_oldest ? drop_oldest(db, queue) : code;
}

/* -- stops ----------------------------------------------------------------------------------------------------------------- */

enum sk_code sk_sq_stop(struct sq_db *db, const struct sq_row *row, struct sk_str id) {
  if (row->flags & SQ_FLAG_STOP) return SK_OK;
  sk_sq_text(sk_sq(db, SQL_STOP_ADD), 1, id);
  enum sk_code code = sk_sq_run(db, SQL_STOP_ADD);
  if (code != SK_OK) return code;
  sk_sq_head(db)->stops++;
  sk_sq_int(sk_sq(db, SQL_JOB_FLAGS), 1, row->n);
  sk_sq_int(sk_sq(db, SQL_JOB_FLAGS), 2, row->flags | SQ_FLAG_STOP);
  return sk_sq_run(db, SQL_JOB_FLAGS);
}

/* One look is at STOPS_LOOKS rows.  Where there are more, the next one goes on behind them. */
enum sk_code sk_sq_stops(struct sq_db *db, struct sk_arena *arena, struct sk_str **ids, size_t *n) {
  enum { STOPS_LOOKS = 1000 };
  size_t looks = 0, most = db->head.stops < STOPS_LOOKS ? (size_t)db->head.stops : STOPS_LOOKS;
  *n = 0;
  *ids = NULL;
  if (db->head.stops <= 0) return SK_OK;
  if (db->head.stops <= STOPS_LOOKS) db->stop_id_n = 0;
  *ids = sk_arena_array(arena, most, sizeof **ids);
  enum sk_code code = *ids ? SK_OK : sk_sq_no_memory(db);
  sqlite3_stmt *st = sk_sq(db, SQL_STOPS);
  sk_sq_text(st, 1, sk_str(db->stop_id, db->stop_id_n));
  sk_sq_int(st, 2, (int64_t)most);
  struct sk_str id = { 0 };
  for (; code == SK_OK && looks < most && sk_sq_next(db, SQL_STOPS, &code); looks++) {
    id = sk_arena_copy(arena, sk_sq_column(st, 0));
    if (id.p == NULL) code = sk_sq_no_memory(db);
    bool runs = sqlite3_column_int64(st, 2) == SK_STATE_RUNNING;
    if (code == SK_OK && runs && sk_sq_hold_find(db, sk_sq_fence(sqlite3_column_int64(st, 1)))) (*ids)[(*n)++] = id;
  }
  sk_sq_reset(db, SQL_STOPS);
  db->stop_id_n = looks == STOPS_LOOKS && id.n <= sizeof db->stop_id ? id.n : 0;
  if (db->stop_id_n) memcpy(db->stop_id, id.p, id.n);
  return code;
}

/* -- the end of a job ------------------------------------------------------------------------------------------------------ */

static enum sk_code let_go_lock(struct sq_db *db, const struct sq_row *row) {
  sk_sq_int(sk_sq(db, SQL_LOCK_LET_GO), 1, row->n);
  enum sk_code code = sk_sq_run(db, SQL_LOCK_LET_GO);
  if (code != SK_OK || sqlite3_changes(db->db) > 0) return code;
  sk_sq_int(sk_sq(db, SQL_LOCK_OUTLIVE), 1, row->n);
  return sk_sq_run(db, SQL_LOCK_OUTLIVE);
}

enum sk_code sk_sq_let_go(struct sq_db *db, struct sq_row *row, bool gone) {
  enum sk_code code = row->flags & SQ_FLAG_LOCK ? let_go_lock(db, row) : SK_OK;
  if (code == SK_OK && row->flags & SQ_FLAG_STOP) {
    sk_sq_int(sk_sq(db, SQL_STOP_DELETE), 1, row->n);
    code = sk_sq_run(db, SQL_STOP_DELETE);
    sk_sq_head(db)->stops--;
  }
  if (code == SK_OK) code = sk_sq_group_let_go(db, row, gone);
  if (code == SK_OK && gone) code = sk_sq_progress_forget(db, row);
  row->flags &= ~(int64_t)(SQ_FLAG_LOCK | SQ_FLAG_STOP);
  return code;
}
