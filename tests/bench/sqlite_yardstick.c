/* sqlite_yardstick.c - the least that SQLite can be asked to do for a queue, phase by phase: what bench.lua measures
 * the engine by.
 *
 *   sqlite_yardstick FILE JOBS
 *
 * One table with an id (text, unique) and a record of 200 bytes; statements prepared once, WAL, synchronous=FULL, as
 * the engine's default durability is.  All JOBS are inserted, 100 a transaction; then they are moved as an engine that
 * finds them waiting would move them: a transaction that takes the first 100 and marks them, one that deletes those
 * 100; then SINGLES are inserted with a transaction each.  Prints "single S insert I move M", in rows per second.
 * (sqlite_loop.c does the three by turns, beside the store.) */
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/id.h"

enum { BATCH = 100, RECORD_BYTES = 200, SINGLES = 1000 };

struct yardstick {
  sqlite3 *db;
  sqlite3_stmt *begin, *commit, *insert, *take, *mark, *delete;
  struct sk_idgen ids;
};

static void die(const char *what, const char *why) {
  fprintf(stderr, "sqlite_yardstick: %s: %s\n", what, why);
  exit(1);
}

static sqlite3_stmt *prepare(struct yardstick *y, const char *sql) {
  sqlite3_stmt *st;
  if (sqlite3_prepare_v3(y->db, sql, -1, SQLITE_PREPARE_PERSISTENT, &st, NULL) != SQLITE_OK)
    die(sql, sqlite3_errmsg(y->db));
  return st;
}

static void run(struct yardstick *y, sqlite3_stmt *st) {
  if (sqlite3_step(st) != SQLITE_DONE) die(sqlite3_sql(st), sqlite3_errmsg(y->db));
  sqlite3_reset(st);
}

static void setup(struct yardstick *y, const char *path) {
  static const char sql[] =
      "PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL; PRAGMA secure_delete=OFF; PRAGMA temp_store=MEMORY;"
      "PRAGMA cache_size=-32768;"
      "CREATE TABLE job (n INTEGER PRIMARY KEY, id TEXT NOT NULL UNIQUE, state INTEGER NOT NULL, record BLOB NOT NULL)";
  if (sqlite3_open(path, &y->db) != SQLITE_OK) die(path, sqlite3_errmsg(y->db));
  if (sqlite3_exec(y->db, sql, NULL, NULL, NULL) != SQLITE_OK) die(path, sqlite3_errmsg(y->db));
  y->begin = prepare(y, "BEGIN IMMEDIATE");
  y->commit = prepare(y, "COMMIT");
  y->insert = prepare(y, "INSERT INTO job (id, state, record) VALUES (?1, 0, ?2)");
  y->take = prepare(y, "SELECT n, id, record FROM job WHERE state=0 ORDER BY n LIMIT ?1");
  y->mark = prepare(y, "UPDATE job SET state=1 WHERE n=?1");
  y->delete = prepare(y, "DELETE FROM job WHERE id=?1");
}

static void insert(struct yardstick *y, int n) {
  char id[SK_ID_BYTES + 1], record[RECORD_BYTES];
  memset(record, 'r', sizeof record);
  run(y, y->begin);
  for (int i = 0; i < n; i++) {
    sk_id_next(&y->ids, sk_clock_wall_ms(), id);
    sqlite3_bind_text(y->insert, 1, id, SK_ID_BYTES, SQLITE_STATIC);
    sqlite3_bind_blob(y->insert, 2, record, sizeof record, SQLITE_STATIC);
    run(y, y->insert);
  }
  run(y, y->commit);
}

static int move(struct yardstick *y) {
  int64_t ns[BATCH];
  char ids[BATCH][SK_ID_BYTES], records[BATCH][RECORD_BYTES];
  int n = 0;
  run(y, y->begin);
  sqlite3_bind_int(y->take, 1, BATCH);
  for (; sqlite3_step(y->take) == SQLITE_ROW; n++) {
    ns[n] = sqlite3_column_int64(y->take, 0);
    memcpy(ids[n], sqlite3_column_text(y->take, 1), SK_ID_BYTES);
    memcpy(records[n], sqlite3_column_blob(y->take, 2), RECORD_BYTES);
  }
  sqlite3_reset(y->take);
  for (int i = 0; i < n; i++) {
    sqlite3_bind_int64(y->mark, 1, ns[i]);
    run(y, y->mark);
  }
  run(y, y->commit);
  run(y, y->begin);
  for (int i = 0; i < n; i++) {
    sqlite3_bind_text(y->delete, 1, ids[i], SK_ID_BYTES, SQLITE_STATIC);
    run(y, y->delete);
  }
  run(y, y->commit);
  return n;
}

static double rate_since(long n, int64_t start_us) { return (double)n * 1e6 / (double)(sk_clock_mono_us() - start_us); }

int main(int argc, char **argv) {
  long jobs = argc == 3 ? atol(argv[2]) / BATCH * BATCH : 0;
  if (jobs <= 0) die("usage", "sqlite_yardstick FILE JOBS");
  static struct yardstick y;
  setup(&y, argv[1]);
  int64_t start_us = sk_clock_mono_us();
  for (long i = 0; i < jobs; i += BATCH) insert(&y, BATCH);
  double inserted = rate_since(jobs, start_us);
  start_us = sk_clock_mono_us();
  long moved = 0;
  for (int n; (n = move(&y)) > 0;) moved += n;
  double move_rate = rate_since(moved, start_us);
  if (moved != jobs) die("move", "jobs are missing");
  start_us = sk_clock_mono_us();
  for (int i = 0; i < SINGLES; i++) insert(&y, 1);
  printf("single %.0f insert %.0f move %.0f\n", rate_since(SINGLES, start_us), inserted, move_rate);
  sqlite3_stmt *const all[] = { y.begin, y.commit, y.insert, y.take, y.mark, y.delete };
  for (size_t i = 0; i < sizeof all / sizeof all[0]; i++) sqlite3_finalize(all[i]);
  sqlite3_close(y.db);
  return 0;
}
