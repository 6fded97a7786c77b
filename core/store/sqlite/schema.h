/* schema.h - the tables of the sqlite store; sqlite.h says what each is for.  Schema version 1: a released version that
 * differs needs the next number and a way to bring older files up to it. */
#ifndef SK_STORE_SQLITE_SCHEMA_H
#define SK_STORE_SQLITE_SCHEMA_H

/* clang-format off */
#define SQ_SCHEMA \
  "CREATE TABLE store (one INTEGER PRIMARY KEY CHECK (one=1), fence INTEGER NOT NULL, seq INTEGER NOT NULL," \
  " queues_version INTEGER NOT NULL, enqueued INTEGER NOT NULL, done INTEGER NOT NULL, retried INTEGER NOT NULL," \
  " dead INTEGER NOT NULL, cancelled INTEGER NOT NULL, discarded INTEGER NOT NULL, crashed INTEGER NOT NULL," \
  " recovered INTEGER NOT NULL, stops INTEGER NOT NULL);" \
  "INSERT INTO store VALUES (1, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0);" \
  /* front, members: rows in those tables; c: jobs by state; h, t: head and tail of each lane; used_ms: last change */ \
  "CREATE TABLE queue (q INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE, paused INTEGER NOT NULL DEFAULT 0," \
  " front INTEGER NOT NULL DEFAULT 0, members INTEGER NOT NULL DEFAULT 0, used_ms INTEGER NOT NULL DEFAULT 0," \
  " c1 INTEGER NOT NULL DEFAULT 0, c2 INTEGER NOT NULL DEFAULT 0," \
  " c3 INTEGER NOT NULL DEFAULT 0, c4 INTEGER NOT NULL DEFAULT 0," \
  " c5 INTEGER NOT NULL DEFAULT 0, c6 INTEGER NOT NULL DEFAULT 0, c7 INTEGER NOT NULL DEFAULT 0," \
  " h0 INTEGER NOT NULL DEFAULT 0, h1 INTEGER NOT NULL DEFAULT 0, h2 INTEGER NOT NULL DEFAULT 0," \
  " h3 INTEGER NOT NULL DEFAULT 0, h4 INTEGER NOT NULL DEFAULT 0," \
  " t0 INTEGER NOT NULL DEFAULT 0, t1 INTEGER NOT NULL DEFAULT 0, t2 INTEGER NOT NULL DEFAULT 0," \
  " t3 INTEGER NOT NULL DEFAULT 0, t4 INTEGER NOT NULL DEFAULT 0, t5 INTEGER NOT NULL DEFAULT 0);" \
  "CREATE TABLE queue_free (q INTEGER PRIMARY KEY);" \
  "CREATE TABLE queue_settings (name TEXT PRIMARY KEY, max_len INTEGER NOT NULL, overflow INTEGER NOT NULL," \
  " block_ms INTEGER NOT NULL, concurrency INTEGER NOT NULL, rate INTEGER NOT NULL, per_ms INTEGER NOT NULL," \
  " burst INTEGER NOT NULL, full_us INTEGER NOT NULL, owners TEXT NOT NULL DEFAULT '') WITHOUT ROWID;" \
  "CREATE TABLE job (n INTEGER PRIMARY KEY, id TEXT NOT NULL UNIQUE, state INTEGER NOT NULL, q INTEGER NOT NULL," \
  " rank INTEGER NOT NULL, due INTEGER NOT NULL, ord INTEGER NOT NULL, hold INTEGER NOT NULL," \
  " running_since_ms INTEGER NOT NULL, keep_until INTEGER, flags INTEGER, task TEXT NOT NULL, record BLOB NOT NULL);" \
  "CREATE TABLE front (q INTEGER, rank INTEGER, due INTEGER, ord INTEGER, n INTEGER," \
  " PRIMARY KEY (q, rank, due, ord, n)) WITHOUT ROWID;" \
  "CREATE TABLE later (q INTEGER, due INTEGER, ord INTEGER, n INTEGER, PRIMARY KEY (q, due, ord, n)) WITHOUT ROWID;" \
  "CREATE INDEX later_due ON later (due, ord);" \
  "CREATE TABLE slot_kept (g INTEGER, n INTEGER, PRIMARY KEY (g, n)) WITHOUT ROWID;" \
  "CREATE TABLE ended (state INTEGER, ord INTEGER, n INTEGER, PRIMARY KEY (state, ord, n)) WITHOUT ROWID;" \
  "CREATE TABLE kept (until INTEGER, n INTEGER, PRIMARY KEY (until, n)) WITHOUT ROWID;" \
  "CREATE TABLE progress (id TEXT PRIMARY KEY, percent INTEGER NOT NULL, text TEXT NOT NULL, log TEXT NOT NULL)" \
  " WITHOUT ROWID;" \
  "CREATE TABLE lock (key BLOB PRIMARY KEY, id TEXT NOT NULL, until INTEGER NOT NULL, throttle INTEGER NOT NULL)" \
  " WITHOUT ROWID;" \
  "CREATE INDEX lock_id ON lock (id);" \
  "CREATE INDEX lock_until ON lock (until) WHERE until>0;" \
  "CREATE TABLE limit_group (g INTEGER PRIMARY KEY, name BLOB NOT NULL UNIQUE, concurrency INTEGER NOT NULL," \
  " rate INTEGER NOT NULL, per_ms INTEGER NOT NULL, burst INTEGER NOT NULL, strict INTEGER NOT NULL," \
  " slots INTEGER NOT NULL, full_us INTEGER NOT NULL, jobs INTEGER NOT NULL, at INTEGER NOT NULL);" \
  "CREATE INDEX limit_group_idle ON limit_group (full_us) WHERE jobs=0;" \
  "CREATE TABLE group_member (g INTEGER, q INTEGER, rank INTEGER, due INTEGER, ord INTEGER, n INTEGER," \
  " PRIMARY KEY (g, q, rank, due, ord, n)) WITHOUT ROWID;" \
  "CREATE INDEX group_member_order ON group_member (q, rank, due, ord);" \
  "CREATE TABLE group_lane (g INTEGER, q INTEGER, rank INTEGER, turn INTEGER NOT NULL, at INTEGER NOT NULL," \
  " PRIMARY KEY (g, q, rank)) WITHOUT ROWID;" \
  "CREATE INDEX group_lane_open ON group_lane (q, rank, turn) WHERE at=0;" \
  "CREATE INDEX group_lane_soon ON group_lane (q, at) WHERE at>0;" \
  "CREATE TABLE stop (id TEXT PRIMARY KEY) WITHOUT ROWID;" \
  "CREATE TABLE engine (num INTEGER PRIMARY KEY, token INTEGER NOT NULL, name TEXT NOT NULL, boot TEXT NOT NULL," \
  " beat_ms INTEGER NOT NULL, lease_ms INTEGER NOT NULL);" \
  "CREATE TABLE hold (fence INTEGER PRIMARY KEY, engine INTEGER NOT NULL, jobs BLOB NOT NULL);" \
  "CREATE INDEX hold_engine ON hold (engine);" \
  /* past: earlier limits of the task; renew: groups up to this name have the new limit (NULL: all have) */ \
  "CREATE TABLE task (name TEXT PRIMARY KEY, queue TEXT NOT NULL, priority INTEGER NOT NULL," \
  " template BLOB NOT NULL DEFAULT x'', past TEXT, renew BLOB, seen_ms INTEGER NOT NULL DEFAULT 0) WITHOUT ROWID;" \
  "CREATE INDEX task_renew ON task (name) WHERE renew IS NOT NULL;"
/* clang-format on */

#endif
