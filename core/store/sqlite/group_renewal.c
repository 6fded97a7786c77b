/* group_renewal.c - gives the groups of a task whose limit has changed their new numbers, some groups in each
 * transaction. */
#include "store/sqlite/sqlite.h"

enum { RENEW_PIECE = 256 }; /* groups at a time */

/* A task with groups that have yet to be renewed. */
struct renewal {
  struct sk_arena arena;
  struct sk_str name, past, behind;
  int64_t groups[RENEW_PIECE];
  size_t n;
};

/* The first such task and its next groups; n says how many. */
static enum sk_code find_groups(struct sq_db *db, struct renewal *r) {
  struct sk_buf from = { 0 }, to = { 0 };
  sk_buf_add_str(&from, r->name);
  sk_buf_add_byte(&from, '/');
  sk_buf_add_str(&to, r->name);
  sk_buf_add_byte(&to, '/' + 1);
  sqlite3_stmt *st = sk_sq(db, SQL_TASK_GROUPS);
  sk_sq_blob(st, 1, r->name);
  sk_sq_blob(st, 2, r->behind);
  sk_sq_blob(st, 3, sk_buf_str(&from));
  sk_sq_blob(st, 4, sk_buf_str(&to));
  sk_sq_int(st, 5, RENEW_PIECE);
  enum sk_code code = from.failed || to.failed ? sk_sq_no_memory(db) : SK_OK;
  while (code == SK_OK && sk_sq_next(db, SQL_TASK_GROUPS, &code)) {
    r->groups[r->n++] = sqlite3_column_int64(st, 0);
    r->behind = sk_arena_copy(&r->arena, sk_sq_column(st, 1));
  }
  sk_sq_reset(db, SQL_TASK_GROUPS);
  sk_buf_fini(&from);
  sk_buf_fini(&to);
  return code;
}

/* A SCHEDULED or RETRY job that kept the slot of a group which is not strict any more gives it back. */
static enum sk_code give_back(struct sq_db *db, int64_t g, bool *found) {
  struct sq_row row;
  enum sk_code code = SK_OK;
  sk_sq_int(sk_sq(db, SQL_SLOT_KEPT), 1, g);
  *found = sk_sq_next(db, SQL_SLOT_KEPT, &code);
  int64_t n = *found ? sqlite3_column_int64(sk_sq(db, SQL_SLOT_KEPT), 0) : 0;
  sk_sq_reset(db, SQL_SLOT_KEPT);
  if (*found) code = sk_sq_load(db, n, &row, NULL, NULL, found);
  if (code != SK_OK || !*found) return code;
  code = sk_sq_leave(db, &row);
  if (code == SK_OK) code = sk_sq_group_let_go(db, &row, false);
  if (code == SK_OK) code = sk_sq_enter(db, &row);
  return code == SK_OK ? sk_sq_save(db, &row, NULL) : code;
}

/* There is one in each group at most: a strict group has one slot. */
static enum sk_code give_back_all(struct sq_db *db, const int64_t *groups, size_t groups_n) {
  enum sk_code code = SK_OK;
  bool found;
  for (size_t i = 0; code == SK_OK && i < groups_n; i++) code = give_back(db, groups[i], &found);
  return code;
}

static enum sk_code renew_groups(struct sq_db *db, const struct renewal *r) {
  int64_t loose[RENEW_PIECE];
  size_t loose_n = 0;
  enum sk_code code = SK_OK;
  for (size_t i = 0; code == SK_OK && i < r->n; i++) {
    struct sq_group group;
    code = sk_sq_group_load(db, r->groups[i], &group);
    struct sk_limit limit = group.limit;
    if (code != SK_OK || !sk_limit_renew(r->past, &limit)) continue;
    if (group.limit.strict && !limit.strict && limit.concurrency > 0 && group.slots > 0) loose[loose_n++] = group.g;
    code = sk_sq_group_renumber(db, &group, &limit);
  }
  if (code == SK_OK && loose_n > 0) code = give_back_all(db, loose, loose_n);
  sqlite3_stmt *st = sk_sq(db, SQL_TASK_RENEWED);
  sk_sq_text(st, 1, r->name);
  if (r->n == RENEW_PIECE)
    sk_sq_blob(st, 2, r->behind);
  else
    sqlite3_bind_null(st, 2);
  db->notify |= r->n > 0; /* what was held back may run */
  return code == SK_OK ? sk_sq_run(db, SQL_TASK_RENEWED) : code;
}

enum sk_code sk_sq_groups_renew(struct sq_db *db, bool *more) {
  enum sk_code code = SK_OK;
  struct renewal r = { .n = 0 };
  sqlite3_stmt *st = sk_sq(db, SQL_TASK_TO_RENEW);
  *more = sk_sq_next(db, SQL_TASK_TO_RENEW, &code);
  if (*more) {
    r.name = sk_arena_copy(&r.arena, sk_sq_column(st, 0));
    r.past = sk_arena_copy(&r.arena, sk_sq_column(st, 1));
    r.behind = sk_arena_copy(&r.arena, sk_sq_column(st, 2));
    if (r.name.p == NULL || r.past.p == NULL || r.behind.p == NULL) code = sk_sq_no_memory(db);
  }
  sk_sq_reset(db, SQL_TASK_TO_RENEW);
  if (code == SK_OK && *more) code = find_groups(db, &r);
  if (code == SK_OK && *more) code = renew_groups(db, &r);
  sk_arena_fini(&r.arena);
  return code;
}
