/* engines.c - the engines that work on a sqlite store: sign-on, beat, and the takeover of jobs when an engine dies.
 *
 * An engine is alive while it keeps its byte of PATH-lock locked (since the last boot) and others see it beat
 * (logic/lease.h). The kernel drops the lock the moment the process dies, so that the next open or beat of another
 * engine notices at once. Only a process that lives and does nothing, because it is frozen, is judged by its lease.
 *
 * An engine whose lease was ended while it lives finds its row gone: it holds nothing any more, its settles are stale,
 * and it signs on again. */
#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/clock.h"
#include "store/sqlite/sqlite.h"

/* -- giving back --------------------------------------------------------------------------------------------------- */

static void count_recovery(struct sk_job *job, int64_t now_ms) {
  (void)now_ms;
  job->recoveries++;
}

/* The job returns to its place if it is still held under that fence. */
static enum sk_code give_back_job(struct sq_db *db, struct sk_arena *arena, int64_t n, int64_t fence, bool recovered,
                                  size_t *count, size_t *bytes) {
  struct sq_row row;
  struct sq_text text;
  bool found;
  enum sk_code code = sk_sq_load(db, n, &row, arena, recovered ? &text : NULL, &found);
  if (code != SK_OK || !found || row.state != SK_STATE_RUNNING || row.hold != SQ_HOLD_BASE + fence) return code;
  struct sk_str record = recovered ? sk_sq_edit(arena, text.record, count_recovery, 0) : sk_str(NULL, 0);
  if (recovered && record.p == NULL) return sk_sq_no_memory(db);
  ++*count;
  *bytes += record.n;
  return sk_sq_return(db, &row, recovered ? &record : NULL);
}

/* The first fetch of an engine whose jobs it still holds; n = 0: none. */
static enum sk_code first_hold(struct sq_db *db, struct sk_arena *arena, int64_t num, int64_t *fence, int64_t **ns,
                               size_t *n) {
  enum sk_code code = SK_OK;
  sqlite3_stmt *st = sk_sq(db, SQL_HOLD_ENGINE);
  sk_sq_int(st, 1, num);
  *fence = 0;
  if (sk_sq_next(db, SQL_HOLD_ENGINE, &code)) {
    *fence = sqlite3_column_int64(st, 0);
    code = sk_sq_hold_read(db, arena, sk_sq_column(st, 1), ns, n);
  }
  sk_sq_reset(db, SQL_HOLD_ENGINE);
  return code;
}

/* Makes READY what an engine holds, up to GIVE_MAX jobs and SK_BATCH_BYTES_MAX bytes of records; when that was all,
 * deletes the engine's row.  *all is false when there is more.  A job that was given back is not RUNNING under its
 * fence any more, so that the next call passes over it. */
static enum sk_code give_back(struct sq_db *db, int64_t num, bool recovered, size_t *count, bool *all) {
  enum { GIVE_MAX = 250 };
  enum sk_code code = SK_OK;
  size_t given = 0, bytes = 0;
  *all = false;
  while (code == SK_OK && !*all && given < GIVE_MAX && bytes < SK_BATCH_BYTES_MAX) {
    struct sk_arena arena = { 0 };
    int64_t fence, *ns;
    size_t n = 0;
    code = first_hold(db, &arena, num, &fence, &ns, &n);
    *all = fence == 0;
    size_t i = 0;
    for (; code == SK_OK && i < n && given < GIVE_MAX && bytes < SK_BATCH_BYTES_MAX; i++)
      code = give_back_job(db, &arena, ns[i], fence, recovered, &given, &bytes);
    sk_arena_fini(&arena);
    sk_sq_int(sk_sq(db, SQL_HOLD_DELETE), 1, fence);
    if (code == SK_OK && !*all && i == n) code = sk_sq_run(db, SQL_HOLD_DELETE);
  }
  *count += given;
  if (given > 0) db->notify = true;
  if (code != SK_OK || !*all) return code;
  sk_sq_int(sk_sq(db, SQL_ENGINE_DELETE), 1, num);
  return sk_sq_run(db, SQL_ENGINE_DELETE);
}

/* Why an engine counts as gone; NULL: it lives.  One whose byte is locked has a process, and may be frozen: then its
 * lease decides. */
static const char *why_gone(struct sq_db *db, sqlite3_stmt *st) {
  int64_t num = sqlite3_column_int64(st, 0), token = sqlite3_column_int64(st, 5);
  bool over = sk_watches_look(&db->self.watches, sk_str((const char *)&token, sizeof token),
                              (uint64_t)sqlite3_column_int64(st, 2), sqlite3_column_int64(st, 3));
  if (!sk_str_eq_c(sk_sq_column(st, 1), db->boot_id)) return "the machine was restarted";
  if (!sk_sq_byte_is_locked(db, num)) return "its process died";
  return over ? "its lease ended" : NULL;
}

/* The next engine that is gone; 0 when there is none. */
static enum sk_code find_gone(struct sq_db *db, int64_t *num) {
  enum sk_code code = SK_OK;
  sqlite3_stmt *st = sk_sq(db, SQL_ENGINES);
  *num = 0;
  while (*num == 0 && sk_sq_next(db, SQL_ENGINES, &code)) {
    int64_t candidate = sqlite3_column_int64(st, 0);
    const char *why = candidate == db->self.num ? NULL : why_gone(db, st);
    if (why == NULL) continue;
    *num = candidate;
    struct sk_str name = sk_sq_column(st, 4);
    if (db->log && candidate != db->giving)
      sk_logf(db->log, SK_LOG_WARN, "engine %.*s is gone (%s): its jobs are ready again", SK_STR_ARG(name), why);
  }
  sk_sq_reset(db, SQL_ENGINES);
  return code;
}

enum sk_code sk_sq_recover(struct sq_db *db, size_t *recovered) {
  int64_t num = 0;
  enum sk_code code;
  bool all = true;
  *recovered = 0;
  while (all && (code = find_gone(db, &num)) == SK_OK && num != 0) {
    code = give_back(db, num, true, recovered, &all);
    if (code != SK_OK) return code;
  }
  if (code == SK_OK && all) sk_watches_end(&db->self.watches);
  db->giving = num; /* 0 when all were handed back */
  if (*recovered > 0) sk_sq_head(db)->counters.recovered += (int64_t)*recovered;
  return code;
}

/* -- this engine --------------------------------------------------------------------------------------------------- */

/* The lowest number that no engine has and whose byte can be locked. */
static enum sk_code find_number(struct sq_db *db, int64_t *out) {
  enum sk_code code = SK_OK;
  bool got = false;
  *out = 0;
  while (code == SK_OK && !got) {
    ++*out;
    sk_sq_int(sk_sq(db, SQL_ENGINE_TOKEN), 1, *out);
    bool taken = sk_sq_next(db, SQL_ENGINE_TOKEN, &code);
    sk_sq_reset(db, SQL_ENGINE_TOKEN);
    if (code == SK_OK && !taken) code = sk_sq_lock_byte(db, *out, &got);
  }
  return code;
}

static enum sk_code enter(struct sq_db *db) {
  struct sq_self *self = &db->self;
  enum sk_code code = self->num ? SK_OK : find_number(db, &self->num);
  if (code != SK_OK) return code;
  self->token = ++sk_sq_head(db)->fence;
  self->epoch = db->epoch;
  sqlite3_stmt *st = sk_sq(db, SQL_ENGINE_ADD);
  sk_sq_int(st, 1, self->num);
  sk_sq_int(st, 2, self->token);
  sk_sq_text(st, 3, self->name);
  sk_sq_text(st, 4, sk_str_c(db->boot_id));
  sk_sq_int(st, 5, sk_store_mono_ms(&db->clock));
  sk_sq_int(st, 6, self->lease_ms);
  return sk_sq_run(db, SQL_ENGINE_ADD);
}

enum sk_code sk_sq_sign_on(struct sq_db *db, struct sk_str name, int64_t lease_ms) {
  char *copy = malloc(name.n + 1);
  if (copy == NULL) return sk_sq_no_memory(db);
  memcpy(copy, name.p, name.n);
  db->self.name = sk_str(copy, name.n);
  db->self.lease_ms = lease_ms;
  enum sk_code code = sk_sq_begin(db);
  if (code != SK_OK) return code;
  size_t recovered;
  sk_watches_begin(&db->self.watches, sk_store_mono_ms(&db->clock), db->self.lease_ms);
  code = sk_sq_recover(db, &recovered);
  if (code == SK_OK) code = enter(db);
  code = sk_sq_end(db, code);
  /* In short transactions, so that other processes can write between them. */
  int64_t until_ms = sk_clock_mono_ms() + db->timeout_ms;
  while (code == SK_OK && db->giving != 0 && sk_clock_mono_ms() < until_ms) {
    code = sk_sq_begin(db);
    if (code == SK_OK) code = sk_sq_end(db, sk_sq_recover(db, &recovered));
  }
  return code;
}

enum sk_code sk_sq_sign_off(struct sq_db *db) {
  for (bool all = false; !all;) {
    enum sk_code code = sk_sq_begin(db);
    if (code != SK_OK) return code;
    size_t count = 0;
    code = sk_sq_check_self(db);
    if (code == SK_OK) code = give_back(db, db->self.num, false, &count, &all);
    code = sk_sq_end(db, code);
    if (code != SK_OK) return code;
  }
  return SK_OK;
}

enum sk_code sk_sq_check_self(struct sq_db *db) {
  struct sq_self *self = &db->self;
  if (self->epoch == db->epoch) return SK_OK; /* no other connection has written since */
  sqlite3_stmt *st = sk_sq(db, SQL_ENGINE_TOKEN);
  sk_sq_int(st, 1, self->num);
  enum sk_code code = SK_OK;
  bool mine = sk_sq_next(db, SQL_ENGINE_TOKEN, &code) && sqlite3_column_int64(st, 0) == self->token;
  sk_sq_reset(db, SQL_ENGINE_TOKEN);
  if (code != SK_OK) return code;
  if (mine) {
    self->epoch = db->epoch;
    return SK_OK;
  }
  self->lost = true;
  sk_sq_holds_free(db);
  return enter(db);
}

enum sk_code sk_sq_beat(struct sq_db *db, struct sk_beat_op *op) {
  op->recovered = 0;
  op->lost = op->moved = op->gone = false;
  enum sk_code code = sk_sq_place_check(db, true);
  if (code == SK_OK) code = sk_sq_check_self(db);
  if (code != SK_OK) return code;
  op->lost = db->self.lost;
  sqlite3_stmt *st = sk_sq(db, SQL_ENGINE_BEAT);
  sk_sq_int(st, 1, db->self.num);
  sk_sq_int(st, 2, db->self.token);
  sk_sq_int(st, 3, sk_store_mono_ms(&db->clock));
  code = sk_sq_run(db, SQL_ENGINE_BEAT);
  if (code == SK_OK) sk_watches_begin(&db->self.watches, sk_store_mono_ms(&db->clock), db->self.lease_ms);
  if (code == SK_OK) code = sk_sq_recover(db, &op->recovered);
  if (code == SK_OK) code = sk_sq_space_look(db);
  if (code == SK_OK) code = sk_sq_queues_forget(db);
  return code == SK_OK ? sk_sq_expire(db) : code;
}
