/* group.c - the limit groups of the sqlite store: their numbers, slots and buckets, their lanes and turns.
 *
 * A group's `at` says when a job of it could be taken (sqlite.h).  Each of its lanes has a copy, which an index orders.
 *  `at` is set whenever slots, bucket or numbers change, so a lane with at = 0 is open.  A lane with a time is opened
 *  by the first
 * fetch after that time.  A shut lane costs a fetch nothing. */
#include "store/sqlite/sqlite.h"

/* -- the row of a group -------------------------------------------------------------------------------------------- */

static void read_group(sqlite3_stmt *st, struct sq_group *group) {
  *group = (struct sq_group){
    .g = sqlite3_column_int64(st, 0),
    .limit = { .concurrency = sqlite3_column_int64(st, 1),
               .rate = sqlite3_column_int64(st, 2),
               .per_ms = sqlite3_column_int64(st, 3),
               .burst = sqlite3_column_int64(st, 4),
               .strict = sqlite3_column_int(st, 5) != 0 },
    .slots = sqlite3_column_int64(st, 6),
    .full_us = sqlite3_column_int64(st, 7),
    .jobs = sqlite3_column_int64(st, 8),
    .at = sqlite3_column_int64(st, 9),
  };
}

enum sk_code sk_sq_group_load(struct sq_db *db, int64_t g, struct sq_group *out) {
  enum sk_code code = SK_OK;
  sk_sq_int(sk_sq(db, SQL_GROUP), 1, g);
  bool found = sk_sq_next(db, SQL_GROUP, &code);
  if (found) read_group(sk_sq(db, SQL_GROUP), out);
  sk_sq_reset(db, SQL_GROUP);
  if (found || code != SK_OK) return code;
  return sk_err_set(&db->err, SK_ECORRUPT, "%s: a job is in group number %lld, which is not there", db->path,
                    (long long)g);
}

/* Returns when a job of the group could be taken: see limit_group.at in sqlite.h. */
static int64_t at_of(const struct sq_db *db, const struct sq_group *group) {
  const struct sk_limit *limit = &group->limit;
  if (limit->concurrency > 0 && group->slots >= limit->concurrency) return SQ_SHUT;
  int64_t now_us = sk_sq_now_us(db), wait_us = sk_limit_wait_us(limit, group->full_us, now_us);
  return wait_us > 0 ? sk_sq_later(now_us, wait_us) : 0;
}

/* Writes a changed group and the `at` of its lanes, or deletes a group that nothing needs any more. */
static enum sk_code save(struct sq_db *db, struct sq_group *group) {
  group->full_us = sk_limit_clamp(&group->limit, group->full_us, sk_sq_now_us(db));
  if (group->jobs == 0 && group->full_us <= sk_sq_now_us(db)) {
    sk_sq_int(sk_sq(db, SQL_GROUP_DELETE), 1, group->g);
    return sk_sq_run(db, SQL_GROUP_DELETE);
  }
  int64_t at = at_of(db, group);
  enum sk_code code = SK_OK;
  if (at != group->at) {
    sk_sq_int(sk_sq(db, SQL_LANES_AT), 1, group->g);
    sk_sq_int(sk_sq(db, SQL_LANES_AT), 2, at);
    code = sk_sq_run(db, SQL_LANES_AT);
  }
  group->at = at;
  sqlite3_stmt *st = sk_sq(db, SQL_GROUP_SAVE);
  sk_sq_int(st, 1, group->g);
  sk_sq_int(st, 2, group->slots);
  sk_sq_int(st, 3, group->full_us);
  sk_sq_int(st, 4, group->jobs);
  sk_sq_int(st, 5, at);
  return code == SK_OK ? sk_sq_run(db, SQL_GROUP_SAVE) : code;
}

static void bind_numbers(sqlite3_stmt *st, const struct sk_limit *limit) {
  sk_sq_int(st, 1, limit->concurrency);
  sk_sq_int(st, 2, limit->rate);
  sk_sq_int(st, 3, limit->per_ms);
  sk_sq_int(st, 4, limit->burst);
  sk_sq_int(st, 5, limit->strict);
}

static enum sk_code make(struct sq_db *db, const struct sk_limit *limit, int64_t *g) {
  sqlite3_stmt *st = sk_sq(db, SQL_GROUP_ADD);
  bind_numbers(st, limit);
  sk_sq_blob(st, 6, limit->group);
  enum sk_code code = sk_sq_run(db, SQL_GROUP_ADD);
  *g = sqlite3_last_insert_rowid(db->db);
  return code;
}

/* The limit of a job that comes in: its own, or what its task declares now in place of what it declared when the job
 * was made. */
static enum sk_code renewed(struct sq_db *db, struct sk_str task, struct sk_limit *limit) {
  enum sk_code code = SK_OK;
  sk_sq_text(sk_sq(db, SQL_TASK_PAST), 1, task);
  if (sk_sq_next(db, SQL_TASK_PAST, &code)) sk_limit_renew(sk_sq_column(sk_sq(db, SQL_TASK_PAST), 0), limit);
  sk_sq_reset(db, SQL_TASK_PAST);
  return code;
}

enum sk_code sk_sq_group_renumber(struct sq_db *db, struct sq_group *group, const struct sk_limit *limit) {
  group->limit = *limit;
  sqlite3_stmt *st = sk_sq(db, SQL_GROUP_SET);
  bind_numbers(st, limit);
  sk_sq_int(st, 6, group->g);
  enum sk_code code = sk_sq_run(db, SQL_GROUP_SET);
  return code == SK_OK ? save(db, group) : code;
}

enum sk_code sk_sq_group_join(struct sq_db *db, const struct sk_enqueue_item *item, int64_t *g) {
  struct sq_group group;
  struct sk_limit own = item->limit, *limit = &own;
  enum sk_code code = renewed(db, item->task, limit);
  if (code != SK_OK) return code;
  sk_sq_blob(sk_sq(db, SQL_GROUP_NAMED), 1, limit->group);
  bool found = sk_sq_next(db, SQL_GROUP_NAMED, &code);
  if (found) read_group(sk_sq(db, SQL_GROUP_NAMED), &group);
  sk_sq_reset(db, SQL_GROUP_NAMED);
  if (code != SK_OK) return code;
  if (!found) return make(db, limit, g);
  *g = group.g;
  group.jobs++;
  return sk_limit_same(&group.limit, limit) ? save(db, &group) : sk_sq_group_renumber(db, &group, limit);
}

/* -- slots --------------------------------------------------------------------------------------------------------- */

enum sk_code sk_sq_group_take(struct sq_db *db, int64_t g) {
  struct sq_group group;
  enum sk_code code = sk_sq_group_load(db, g, &group);
  if (code != SK_OK) return code;
  group.slots++;
  group.full_us = sk_limit_take(&group.limit, group.full_us, sk_sq_now_us(db));
  return save(db, &group);
}

enum sk_code sk_sq_group_let_go(struct sq_db *db, struct sq_row *row, bool gone) {
  bool has_slot = row->flags & SQ_FLAG_SLOT;
  if (sk_sq_group(row) == 0 || (!has_slot && !gone)) return SK_OK;
  struct sq_group group;
  enum sk_code code = sk_sq_group_load(db, sk_sq_group(row), &group);
  if (code != SK_OK) return code;
  if (has_slot) group.slots--;
  if (gone) group.jobs--;
  row->flags &= ~(int64_t)SQ_FLAG_SLOT;
  return save(db, &group);
}

enum sk_code sk_sq_group_wait(struct sq_db *db, struct sq_row *row) {
  if (!(row->flags & SQ_FLAG_SLOT)) return SK_OK;
  struct sq_group group;
  enum sk_code code = sk_sq_group_load(db, sk_sq_group(row), &group);
  return code != SK_OK || group.limit.strict ? code : sk_sq_group_let_go(db, row, false);
}

enum sk_code sk_sq_groups_expire(struct sq_db *db, int64_t most, int64_t *n) {
  sk_sq_int(sk_sq(db, SQL_GROUPS_IDLE), 1, sk_sq_now_us(db));
  sk_sq_int(sk_sq(db, SQL_GROUPS_IDLE), 2, most);
  enum sk_code code = sk_sq_run(db, SQL_GROUPS_IDLE);
  *n = sqlite3_changes(db->db);
  return code;
}

/* -- lanes --------------------------------------------------------------------------------------------------------- */

enum sk_code sk_sq_member_place(struct sq_db *db, const struct sq_row *row, bool add) {
  const int64_t numbers[] = { sk_sq_group(row), row->q, row->rank, row->due ? row->due : SQ_NEVER, row->ord, row->n };
  enum sq_stmt member = add ? SQL_MEMBER_ADD : SQL_MEMBER_DELETE, line = add ? SQL_LANE_ADD : SQL_LANE_DELETE_EMPTY;
  for (int i = 0; i < 6; i++) sk_sq_int(sk_sq(db, member), i + 1, numbers[i]);
  for (int i = 0; i < 3; i++) sk_sq_int(sk_sq(db, line), i + 1, numbers[i]);
  if (add) sk_sq_int(sk_sq(db, line), 4, ++sk_sq_head(db)->seq); /* a new line has its turn after the others */
  enum sk_code code = sk_sq_run(db, member);
  return code == SK_OK ? sk_sq_run(db, line) : code;
}

enum { MOST = 512 }; /* lines: more than a fetch takes, the others are open soon enough */

/* The clock was set back, maybe: looks through the queue's lines that wait, MOST at a time, so that none waits for
 * longer than its group's numbers allow. */
static enum sk_code look_through(struct sq_db *db, struct sq_queue *queue, int *left) {
  if (queue->steps == db->clock_steps || *left == 0) return SK_OK;
  int64_t groups[MOST];
  int n = 0, most = *left < MOST ? *left : MOST;
  enum sk_code code = SK_OK;
  sqlite3_stmt *st = sk_sq(db, SQL_LANES_WAITING);
  sk_sq_int(st, 1, queue->q);
  sk_sq_int(st, 2, queue->looked_at);
  sk_sq_int(st, 3, most);
  while (sk_sq_next(db, SQL_LANES_WAITING, &code)) {
    groups[n++] = sqlite3_column_int64(st, 0);
    queue->looked_at = sqlite3_column_int64(st, 1);
  }
  for (int i = 0; code == SK_OK && i < n; i++) {
    struct sq_group group;
    code = sk_sq_group_load(db, groups[i], &group);
    if (code == SK_OK) code = save(db, &group);
  }
  *left -= n;
  if (n == most) return code;
  queue->looked_at = 0;
  queue->steps = db->clock_steps;
  return code;
}

enum sk_code sk_sq_lanes_open(struct sq_db *db, struct sq_queue *queue, int *left) {
  int64_t groups[MOST];
  int n = 0;
  enum sk_code code = look_through(db, queue, left);
  if (code != SK_OK || *left == 0) return code;
  int most = *left < MOST ? *left : MOST;
  sqlite3_stmt *st = sk_sq(db, SQL_LANES_OVER);
  sk_sq_int(st, 1, queue->q);
  sk_sq_int(st, 2, sk_sq_now_us(db));
  sk_sq_int(st, 3, most);
  while (sk_sq_next(db, SQL_LANES_OVER, &code)) groups[n++] = sqlite3_column_int64(st, 0);
  for (int i = 0; code == SK_OK && i < n; i++) {
    struct sq_group group;
    code = sk_sq_group_load(db, groups[i], &group);
    if (code == SK_OK) code = save(db, &group);
  }
  *left -= n;
  return code;
}

enum sk_code sk_sq_lanes_look(struct sq_db *db, const struct sq_queue *queue, bool *open, int64_t *soon_us) {
  enum sk_code code = SK_OK;
  *soon_us = SQ_NEVER;
  sk_sq_int(sk_sq(db, SQL_LANE_OPEN), 1, queue->q);
  *open = sk_sq_next(db, SQL_LANE_OPEN, &code);
  sk_sq_reset(db, SQL_LANE_OPEN);
  if (code != SK_OK) return code;
  sk_sq_int(sk_sq(db, SQL_LANE_SOON), 1, queue->q);
  if (sk_sq_next(db, SQL_LANE_SOON, &code)) *soon_us = sqlite3_column_int64(sk_sq(db, SQL_LANE_SOON), 0);
  sk_sq_reset(db, SQL_LANE_SOON);
  return code;
}
