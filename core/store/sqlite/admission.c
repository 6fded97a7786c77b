/* admission.c - whether a new job may be added to the sqlite store: gathers the facts, asks sk_admission
 * (logic/rules.h), and makes room for the job. */
#include "store/sqlite/sqlite.h"

/* -- admission ----------------------------------------------------------------------------------------------------- */

/* Finds the holder of the lock with that key.  *held: the lock is held.  *id: its holder, in arena.  *outlived: the
 * holder has ended and its lock outlives it; a new job may have the same id. */
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
