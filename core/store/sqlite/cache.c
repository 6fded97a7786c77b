/* cache.c - the cached rows of the tables store and queue.
 *
 * A row is read once and stays right until another connection commits (db->epoch); changes are made in memory, and
 * sk_sq_flush writes them before the commit.  A queue that has held nothing for long is forgotten, and its number is
 * used again. */
#include <assert.h>
#include <stdlib.h>

#include "store/sqlite/sqlite.h"

/* -- the row of store ---------------------------------------------------------------------------------------------- */

static int64_t *counter_at(struct sk_counters *c, int i) {
  int64_t *const all[] = { &c->enqueued,  &c->done,      &c->retried, &c->dead,
                           &c->cancelled, &c->discarded, &c->crashed, &c->recovered };
  return i < (int)(sizeof all / sizeof all[0]) ? all[i] : NULL;
}

enum sk_code sk_sq_head_load(struct sq_db *db) {
  if (db->head_epoch == db->epoch) return SK_OK;
  sqlite3_stmt *st = sk_sq(db, SQL_HEAD);
  enum sk_code code = SK_OK;
  if (!sk_sq_next(db, SQL_HEAD, &code))
    return code != SK_OK ? code : sk_err_set(&db->err, SK_ECORRUPT, "%s: its table \"store\" has no row", db->path);
  db->head.fence = sqlite3_column_int64(st, 0);
  db->head.seq = sqlite3_column_int64(st, 1);
  db->head.queues_version = sqlite3_column_int64(st, 2);
  int64_t *counter;
  int i = 0;
  for (; (counter = counter_at(&db->head.counters, i)) != NULL; i++) *counter = sqlite3_column_int64(st, 3 + i);
  db->head.stops = sqlite3_column_int64(st, 3 + i);
  sk_sq_reset(db, SQL_HEAD);
  db->head_epoch = db->epoch;
  return SK_OK;
}

struct sq_head *sk_sq_head(struct sq_db *db) {
  db->head_dirty = true;
  return &db->head;
}

static enum sk_code head_save(struct sq_db *db) {
  sqlite3_stmt *st = sk_sq(db, SQL_HEAD_SAVE);
  sk_sq_int(st, 1, db->head.fence);
  sk_sq_int(st, 2, db->head.seq);
  sk_sq_int(st, 3, db->head.queues_version);
  int64_t *counter;
  int i = 0;
  for (; (counter = counter_at(&db->head.counters, i)) != NULL; i++) sk_sq_int(st, 4 + i, *counter);
  sk_sq_int(st, 4 + i, db->head.stops);
  return sk_sq_run(db, SQL_HEAD_SAVE);
}

/* -- the rows of queue --------------------------------------------------------------------------------------------- */

enum {
  COL_PAUSED = 2,
  COL_FRONT = 3,
  COL_STATES = 3,
  COL_HEADS = 11,
  COL_TAILS = 16,
  COL_MEMBERS = 22,
  COL_SETTINGS = 23
}; /* of SQ_QUEUE and SQ_SETTINGS; states count from 1 */

void sk_sq_settings_read(sqlite3_stmt *st, int column, struct sk_queue_settings *out) {
  for (size_t i = 0; i < SK_QUEUE_SETTINGS; i++)
    sk_queue_settings_set(out, i, sqlite3_column_int64(st, column + (int)i));
}

static void queue_read(struct sq_db *db, struct sq_queue *queue, sqlite3_stmt *st) {
  queue->paused = sqlite3_column_int(st, COL_PAUSED) != 0;
  queue->front = sqlite3_column_int64(st, COL_FRONT);
  for (int i = 1; i < SK_STATES; i++) queue->states[i] = sqlite3_column_int64(st, COL_STATES + i);
  for (int i = 0; i < SK_PRIORITIES; i++) queue->head[i] = sqlite3_column_int64(st, COL_HEADS + i);
  for (int i = 0; i < SQ_LANES; i++) queue->tail[i] = sqlite3_column_int64(st, COL_TAILS + i);
  queue->members = sqlite3_column_int64(st, COL_MEMBERS);
  /* All NULL, which is read as 0, when it is bound to nothing. */
  sk_sq_settings_read(st, COL_SETTINGS, &queue->settings);
  queue->full_us = sqlite3_column_int64(st, COL_SETTINGS + SK_QUEUE_SETTINGS);
  queue->epoch = db->epoch;
}

static enum sk_code full_save(struct sq_db *db, const struct sq_queue *queue) {
  sqlite3_stmt *st = sk_sq(db, SQL_SETTINGS_FULL);
  sk_sq_text(st, 1, queue->name);
  sk_sq_int(st, 2, queue->full_us);
  return sk_sq_run(db, SQL_SETTINGS_FULL);
}

static enum sk_code queue_save(struct sq_db *db, const struct sq_queue *queue) {
  sqlite3_stmt *st = sk_sq(db, SQL_QUEUE_SAVE);
  sk_sq_int(st, 1, queue->q);
  sk_sq_int(st, COL_PAUSED, queue->paused);
  sk_sq_int(st, COL_FRONT, queue->front);
  for (int i = 1; i < SK_STATES; i++) sk_sq_int(st, COL_STATES + i, queue->states[i]);
  for (int i = 0; i < SK_PRIORITIES; i++) sk_sq_int(st, COL_HEADS + i, queue->head[i]);
  for (int i = 0; i < SQ_LANES; i++) sk_sq_int(st, COL_TAILS + i, queue->tail[i]);
  sk_sq_int(st, COL_MEMBERS, queue->members);
  sk_sq_int(st, COL_MEMBERS + 1, db->now_ms);
  enum sk_code code = sk_sq_run(db, SQL_QUEUE_SAVE);
  return code == SK_OK && queue->settings.limit.rate > 0 ? full_save(db, queue) : code;
}

static bool number_reserve(struct sq_db *db, int64_t q) {
  if ((size_t)q < db->by_number_cap) return true;
  size_t cap = (size_t)q * 2 + 16;
  struct sq_queue **grown = realloc(db->by_number, cap * sizeof *grown);
  if (grown == NULL) return false;
  memset(grown + db->by_number_cap, 0, (cap - db->by_number_cap) * sizeof *grown);
  db->by_number = grown;
  db->by_number_cap = cap;
  return true;
}

/* Adds a queue to the cache, as new. */
static struct sq_queue *queue_new(struct sq_db *db, int64_t q, struct sk_str name) {
  struct sq_queue *queue = calloc(1, sizeof *queue + name.n);
  if (queue == NULL || !number_reserve(db, q)) {
    free(queue);
    return NULL;
  }
  if (name.n) memcpy(queue->bytes, name.p, name.n);
  queue->q = q;
  queue->name = sk_str(queue->bytes, name.n);
  queue->epoch = db->epoch;
  HASH_ADD_KEYPTR(hh, db->queues, queue->bytes, name.n, queue);
  if (queue->hh.tbl == NULL) {
    free(queue);
    return NULL;
  }
  db->by_number[q] = queue;
  return queue;
}

/* Takes a queue out of the cache.  Another connection has forgotten it, or this transaction does. */
static void queue_drop(struct sq_db *db, struct sq_queue *queue) {
  assert(!queue->dirty);
  HASH_DEL(db->queues, queue);
  if (db->by_number[queue->q] == queue) db->by_number[queue->q] = NULL;
  free(queue);
}

/* Drops what the cache has under that number or name and the row (q, name) shows to be outdated; returns the queue if
 * it has it. */
static struct sq_queue *queue_match(struct sq_db *db, int64_t q, struct sk_str name) {
  struct sq_queue *by_number = q > 0 && (size_t)q < db->by_number_cap ? db->by_number[q] : NULL, *by_name;
  HASH_FIND(hh, db->queues, name.p, name.n, by_name);
  if (by_number != NULL && by_number == by_name) return by_name;
  if (by_number != NULL) queue_drop(db, by_number);
  if (by_name != NULL) queue_drop(db, by_name);
  return NULL;
}

/* Reads the row on which `which` stands next.  *out is NULL when there is no row. */
static enum sk_code queue_fetch(struct sq_db *db, enum sq_stmt which, struct sq_queue **out) {
  sqlite3_stmt *st = sk_sq(db, which);
  enum sk_code code = SK_OK;
  *out = NULL;
  if (!sk_sq_next(db, which, &code)) return code;
  int64_t q = sqlite3_column_int64(st, 0);
  struct sk_str name = sk_sq_column(st, 1);
  struct sq_queue *queue = queue_match(db, q, name);
  if (queue == NULL) queue = queue_new(db, q, name);
  if (queue != NULL) queue_read(db, queue, st);
  sk_sq_reset(db, which);
  *out = queue;
  return queue ? SK_OK : sk_sq_no_memory(db);
}

static enum sk_code number_of(struct sq_db *db, enum sq_stmt which, int64_t *q) {
  enum sk_code code = SK_OK;
  *q = sk_sq_next(db, which, &code) ? sqlite3_column_int64(sk_sq(db, which), 0) : 0;
  sk_sq_reset(db, which);
  return code;
}

/* The lowest number that a forgotten queue had, or one that none had. */
static enum sk_code find_number(struct sq_db *db, struct sk_str name, int64_t *q) {
  enum sk_code code = number_of(db, SQL_QUEUE_FREE, q);
  if (code != SK_OK) return code;
  if (*q != 0) {
    sk_sq_int(sk_sq(db, SQL_QUEUE_FREE_DELETE), 1, *q);
    return sk_sq_run(db, SQL_QUEUE_FREE_DELETE);
  }
  code = number_of(db, SQL_QUEUE_MAX, q);
  if (code != SK_OK || ++*q <= SQ_QUEUES_MAX) return code;
  return sk_err_set(&db->err, SK_ELIMIT,
                    "%s: queue \"%.*s\" would be one more than the %d that a store can have: use fewer queue names",
                    db->path, SK_STR_ARG(name), SQ_QUEUES_MAX);
}

static enum sk_code queue_make(struct sq_db *db, struct sk_str name, struct sq_queue **out) {
  int64_t q;
  enum sk_code code = find_number(db, name, &q);
  if (code != SK_OK) return code;
  sqlite3_stmt *st = sk_sq(db, SQL_QUEUE_ADD);
  sk_sq_int(st, 1, q);
  sk_sq_text(st, 2, name);
  sk_sq_int(st, 3, db->now_ms);
  code = sk_sq_run(db, SQL_QUEUE_ADD);
  if (code != SK_OK) return code;
  sk_sq_head(db)->queues_version++;
  sk_sq_text(sk_sq(db, SQL_QUEUE_BY_NAME), 1, name); /* its settings may have been declared before */
  return queue_fetch(db, SQL_QUEUE_BY_NAME, out);
}

enum sk_code sk_sq_queue(struct sq_db *db, struct sk_str name, bool make, struct sq_queue **out) {
  struct sq_queue *cached;
  HASH_FIND(hh, db->queues, name.p, name.n, cached);
  *out = cached;
  if (cached != NULL && cached->epoch == db->epoch) return SK_OK;
  sk_sq_text(sk_sq(db, SQL_QUEUE_BY_NAME), 1, name);
  enum sk_code code = queue_fetch(db, SQL_QUEUE_BY_NAME, out);
  if (code != SK_OK || *out != NULL) return code;
  if (cached != NULL) queue_drop(db, cached);
  return make ? queue_make(db, name, out) : SK_OK;
}

enum sk_code sk_sq_queue_of(struct sq_db *db, int64_t q, struct sq_queue **out) {
  struct sq_queue *cached = q > 0 && (size_t)q < db->by_number_cap ? db->by_number[q] : NULL;
  *out = cached;
  if (cached != NULL && cached->epoch == db->epoch) return SK_OK;
  sk_sq_int(sk_sq(db, SQL_QUEUE_BY_NUMBER), 1, q);
  enum sk_code code = queue_fetch(db, SQL_QUEUE_BY_NUMBER, out);
  if (code == SK_OK && *out == NULL)
    code = sk_err_set(&db->err, SK_ECORRUPT, "%s: a job is in queue number %lld, which is not there", db->path,
                      (long long)q);
  return code;
}

/* -- queues that hold nothing -------------------------------------------------------------------------------------- */

/* Forgets one that held nothing for long, unless it has settings, or numbers of its lanes are still those of jobs,
 * which have moved to other queues. */
static enum sk_code queue_forget(struct sq_db *db, int64_t q, bool *forgotten) {
  struct sq_queue *cached = (size_t)q < db->by_number_cap ? db->by_number[q] : NULL;
  enum sk_code code = SK_OK;
  *forgotten = false;
  if (cached != NULL && cached->dirty) return SK_OK; /* this transaction uses it */
  sqlite3_stmt *st = sk_sq(db, SQL_QUEUE_IN_USE);
  sk_sq_int(st, 1, q);
  sk_sq_int(st, 2, sk_sq_number(q, 0, 0));
  sk_sq_int(st, 3, sk_sq_number(q + 1, 0, 0));
  bool in_use = sk_sq_next(db, SQL_QUEUE_IN_USE, &code);
  sk_sq_reset(db, SQL_QUEUE_IN_USE);
  if (code != SK_OK || in_use) return code;
  const enum sq_stmt stmts[] = { SQL_QUEUE_DELETE, SQL_QUEUE_TURNS_DELETE, SQL_QUEUE_FREE_ADD };
  for (size_t i = 0; code == SK_OK && i < sizeof stmts / sizeof stmts[0]; i++) {
    sk_sq_int(sk_sq(db, stmts[i]), 1, q);
    code = sk_sq_run(db, stmts[i]);
  }
  *forgotten = code == SK_OK;
  if (*forgotten && cached != NULL) queue_drop(db, cached);
  return code;
}

enum sk_code sk_sq_queues_forget(struct sq_db *db) {
  enum { LOOKS = 1000, MOST = 250 };
  int64_t idle[MOST];
  int n = 0, looks = 0;
  bool any = false;
  enum sk_code code = SK_OK;
  sqlite3_stmt *st = sk_sq(db, SQL_QUEUES_IDLE);
  sk_sq_int(st, 1, db->queues_looked);
  sk_sq_int(st, 2, db->now_ms - SQ_QUEUE_KEEP_MS);
  sk_sq_int(st, 3, db->now_ms);
  sk_sq_int(st, 4, LOOKS);
  for (; n < MOST && sk_sq_next(db, SQL_QUEUES_IDLE, &code); looks++) {
    db->queues_looked = sqlite3_column_int64(st, 0);
    if (sqlite3_column_int(st, 1)) idle[n++] = db->queues_looked;
  }
  sk_sq_reset(db, SQL_QUEUES_IDLE);
  if (n < MOST && looks < LOOKS) db->queues_looked = 0; /* the next round */
  for (int i = 0; code == SK_OK && i < n; i++) {
    bool forgotten;
    code = queue_forget(db, idle[i], &forgotten);
    any |= forgotten;
  }
  if (any) sk_sq_head(db)->queues_version++;
  if (any) db->notify = true;
  return code;
}

void sk_sq_dirty(struct sq_db *db, struct sq_queue *queue) {
  if (queue->dirty) return;
  queue->dirty = true;
  queue->next_dirty = db->dirty;
  db->dirty = queue;
}

enum sk_code sk_sq_flush(struct sq_db *db) {
  enum sk_code code = SK_OK;
  for (; code == SK_OK && db->dirty != NULL; db->dirty = db->dirty->next_dirty) {
    code = queue_save(db, db->dirty);
    db->dirty->dirty = false;
  }
  if (code == SK_OK && db->head_dirty) code = head_save(db);
  db->head_dirty = false;
  return code;
}

void sk_sq_forget(struct sq_db *db) {
  struct sq_queue *queue, *next;
  HASH_ITER(hh, db->queues, queue, next) {
    HASH_DEL(db->queues, queue);
    free(queue);
  }
  if (db->by_number_cap) memset(db->by_number, 0, db->by_number_cap * sizeof *db->by_number);
  db->dirty = NULL;
  db->head_dirty = false;
  db->epoch++;
}
