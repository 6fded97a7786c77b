/* sqlite.h - what the files of the sqlite store share.  Only files in this folder, and unit tests, include it.
 *
 *   the loop's thread                      the store's thread
 *   struct sq_store -- pending ops ------> struct sq_db: one connection, its statements, its cached rows
 *        ^                                      |  a batch of operations: one transaction, one commit
 *        +-- answers, `changed` <-- sk_async ---+
 *        ^                                      v  durability full: operations whose commit must reach the disk first
 *        +-- answers <-- sk_async -- struct sq_sync: a thread of its own, one fdatasync for all that wait
 *
 * After a commit that others wait for, the store's thread writes a byte to PATH-lock.  Other processes, and other
 * handles of this process, get an inotify event from that write.  PRAGMA data_version tells a handle whether the commit
 * was another's.
 *
 * THE LADDER.  Each file calls only files to its left:
 *   statement < cache, rows < group < locks < moves < admission, group_renewal; holds, lock_file, place < transaction <
 *   engines, fetch, work, change, look, walk, sweep, queue_settings, space, backup < db, sync < sqlite
 *
 * THE TABLES (schema.h)
 *   job       one row for each job, found by its number n and by its id.  The table has no other index, because an
 *             index costs every enqueue and settle as much as the job itself.  The order of the jobs in a state is kept
 *             in a narrow table beside it, which has rows only for the jobs in that state:
 *
 *               job.state                 where the order is kept
 *               SQ_LINE   READY           the number: n = queue | lane | sequence, so a lane of a queue is a range of n
 *               SQ_FRONT  READY           front: jobs that came due or were released; all of them come before the line
 *               SQ_MEMBER READY           group_member: jobs that need a slot of their limit group
 *               RUNNING                   hold: a row for each fetch, with the numbers of its jobs, under its fence
 *               SCHEDULED, RETRY          later; jobs that keep a slot meanwhile also have a row in slot_kept
 *               DONE, DEAD, CANCELLED     ended; jobs that are dropped after a time also have a row in kept
 *
 *             moves.c alone moves jobs between those tables and changes the counts of a queue.
 *   queue     counts by state, and head and tail of each lane.  No SQ_LINE job of a lane has a sequence below its head,
 *             or one that is not below its tail.  queue_free has the numbers of forgotten queues.
 *   store     one row of counters.  hold.fence and engine.token come from it, so that no number is given twice.
 *   engine    the engines that are signed on.  An engine's number is the byte of PATH-lock that it keeps locked.
 *   queue_settings   max_len, overflow and limit of a queue (declare), by its name; read together with the queue's row.
 *
 * job.flags is NULL for a job that has nothing in the following tables, so that such a job pays nothing for them:
 *   limit_group      numbers, slots in use and bucket of a group, and `at`, the time when a job of it could be taken:
 *                    SQ_SHUT: not before a slot is free; 0: now; else the time of the next token, us.  A group is
 *                    deleted when no job names it and its bucket is full.
 *   group_lane       a row for each (group, queue, rank) that has members, with a copy of the group's `at` and its turn
 *                    among the open lanes.  A fetch finds the next open lane, or the next time, in an index, however
 *                    many lanes are shut.  The row with g = 0 has the turn of the jobs that need no slot.
 *   lock             the holder of each key, and until when (0: as long as the job lives).  throttle: 1: the lock
 *                    outlives its job; 2: its job has ended.
 *   stop             ids of jobs that are to stop; store.stops counts them.
 *   progress         progress and log of the last attempt, so that reporting them does not rewrite the record.
 * A member takes a sequence of its rank's lane, as a job in line does, and keeps it in ord; its own number is in
 * SQ_LANE_APART.  So THE ORDER between members and other jobs is known, and a member that keeps its slot has a place to
 * return to (sk_sq_return). */
#ifndef SK_STORE_SQLITE_H
#define SK_STORE_SQLITE_H

#include <pthread.h>
#include <stdatomic.h>
#include <sqlite3.h>
#include <sys/types.h>
#include <time.h>

/* When memory is out, uthash leaves hh.tbl NULL, and the caller returns SK_ENOMEM. */
#define HASH_NONFATAL_OOM 1
#include <uthash.h>

#include "base/buf.h"
#include "base/limits.h"
#include "base/list.h"
#include "store/check.h"
#include "store/openers.h"
#include "store/watch.h"

enum {
  SQ_LINE = SK_STATE_READY, /* job.state has sk_state's numbers, and two more kinds of READY */
  SQ_FRONT = SK_STATES,
  SQ_MEMBER,

  SQ_LANES = SK_PRIORITIES + 1,  /* a lane for each priority, the highest first, and SQ_LANE_APART */
  SQ_LANE_APART = SK_PRIORITIES, /* numbers of jobs that do not start in line */

  /* A job's number has 16 bits for the queue, 3 for the lane, 44 for the sequence: 5 years at 100,000 jobs/s. */
  SQ_QUEUES_MAX = SK_QUEUES_PER_STORE_MAX,
  SQ_LANE_SHIFT = 44,
  SQ_QUEUE_SHIFT = 47,

  /* Bits of job.flags; the number of the job's group stands above them.  0 is stored as NULL. */
  SQ_FLAG_LOCK = 1,     /* the job took a lock */
  SQ_FLAG_SLOT = 2,     /* the job has a slot of its group */
  SQ_FLAG_STOP = 4,     /* the job is to stop, and in table stop */
  SQ_FLAG_PROGRESS = 8, /* the job has a row in table progress */
  SQ_FLAG_BITS = 4,

  SQ_PAGE_BYTES = 4096, /* SQLite's default */

  SQ_QUEUE_KEEP_MS = 600000, /* a queue that holds no job is forgotten after this time */

  SQ_SHUT = -1, /* limit_group.at, group_lane.at */
};

/* job.hold is this plus the fence.  The sum always has 8 bytes, so that taking a job overwrites its row in place. */
#define SQ_HOLD_BASE (INT64_C(1) << 56)

#define SQ_SEQ_MASK ((INT64_C(1) << SQ_LANE_SHIFT) - 1)
#define SQ_LANE_MASK ((INT64_C(1) << (SQ_QUEUE_SHIFT - SQ_LANE_SHIFT)) - 1)

/* The due time that front and group_member have for a job that never was scheduled. */
#define SQ_NEVER INT64_MAX

/* -- statements: the SQL is in sql.h ------------------------------------------------------------------------------- */

enum sq_stmt {
#define SQ_STMT(name, sql) SQL_##name,
#include "store/sqlite/sql.h"
#undef SQ_STMT
  SQL_STMTS
};

/* -- cached rows --------------------------------------------------------------------------------------------------- */

struct sq_queue {
  UT_hash_handle hh; /* by name */
  struct sq_queue *next_dirty;
  uint64_t epoch;     /* of sq_db when it was read */
  int64_t q;          /* its number, from 1; never changes */
  struct sk_str name; /* in bytes */
  bool dirty;
  bool paused;
  int64_t front;                     /* rows in table front; states[READY] counts them too */
  int64_t members;                   /* rows in group_member; states[READY] counts them too */
  struct sk_queue_settings settings; /* its name is unused */
  int64_t full_us;                   /* when the bucket of its settings is full; written only when they have a rate */
  uint64_t steps;                    /* sq_db.clock_steps at the last complete look through its lanes of groups */
  int64_t looked_at;                 /* how far the look that goes on has come: the `at` of the last lane */
  int64_t states[SK_STATES];
  int64_t head[SK_PRIORITIES];
  int64_t tail[SQ_LANES];
  char bytes[];
};

/* The row of table store. */
struct sq_head {
  int64_t fence; /* the last one that was given */
  int64_t seq;   /* the last number that orders equal due times, ends and turns */
  int64_t queues_version;
  int64_t stops; /* rows in table stop */
  struct sk_counters counters;
};

/* The numbers of a job's row. */
struct sq_row {
  int64_t n, state, q, rank;
  int64_t due; /* wall clock, ms; 0: the job was never scheduled */
  /* Orders jobs of equal due time.  Where due is 0: the sequence in the lane, which is part of n and not stored.  In a
   * final state: the order of ends. */
  int64_t ord;
  int64_t hold, running_since_ms;
  int64_t keep_until; /* in a final state: when the record is dropped; 0: never */
  int64_t flags;      /* SQ_FLAG_... and the number of its group */
};
struct sq_text {
  struct sk_str id, task, record, progress_text, log;
  int32_t percent;
};

/* The jobs of one fetch of this engine.  Its row in table hold is deleted by the next fetch after all of them were
 * settled. */
struct sq_hold {
  UT_hash_handle hh;   /* by fence, in sq_self.holds */
  struct sk_list node; /* in one of sq_self's lists, or none */
  uint64_t fence;
  size_t left; /* jobs that are not settled yet */
};

/* This engine in the store.  num is 0 for a client. */
struct sq_self {
  int64_t num, token;
  uint64_t epoch; /* of sq_db when its row was last seen */
  bool lost;      /* another engine ended its lease: the next beat says so */
  int64_t lease_ms;
  struct sk_watches watches; /* of the other engines */
  struct sk_str name;        /* owned */
  struct sq_hold *holds;     /* owned */
  struct sk_list coming;     /* holds that the open transaction made */
  struct sk_list over;       /* holds with left = 0, whose row can be deleted */
  struct sk_list going;      /* holds whose row the open transaction deleted */
};

enum sq_access { SQ_WRITES, SQ_READS_LIVE, SQ_READS_STILL, SQ_READS_LOG }; /* see files.c */

/* State of the files, by which a later change of them shows. */
struct sq_stamp {
  ino_t ino;
  off_t bytes, log_bytes;
  struct timespec changed, log_changed;
  bool has_index;
};

/* Identity of a file. */
struct sq_place {
  dev_t dev;
  ino_t ino; /* 0: not known */
};

/* The connection.  Only the store's thread uses it once that thread runs. */
struct sq_db {
  sqlite3 *db;
  sqlite3_stmt *stmts[SQL_STMTS];
  char *path;      /* owned */
  char *lock_path; /* owned */
  int lock_fd;
  struct sq_place file, lock_file; /* the files that were opened */
  int64_t placed_ms;               /* when place.c compared them last; monotonic */
  bool gone;                       /* the paths name other files now, or none */
  const struct sk_log *log;
  struct sk_store_clock clock;
  char boot_id[64];
  int wal_pages; /* pages in the log after the last commit */

  /* space.c */
  int wal_copied;       /* wal_pages at the last checkpoint */
  bool cut_due;         /* the file is longer than its pages: a checkpoint cuts it */
  bool can_shrink;      /* the file has the map that incremental_vacuum needs */
  bool shrink_due;      /* most pages of the file are free */
  int64_t shrink_at_ms; /* the next step is not before this time; monotonic */

  /* files.c: how this process may use the files. */
  enum sq_access access;
  struct sk_err denied;  /* the reason why it must not write */
  struct sq_stamp stamp; /* of the files when they were opened; SQ_READS_STILL and SQ_READS_LOG only */

  /* Waiting for other processes' transactions. */
  int64_t timeout_ms;        /* the longest wait: ?timeout= of the URL */
  int64_t deadline_ms;       /* of the operations in the transaction, monotonic; 0: timeout_ms after it begins */
  int64_t busy_until_ms;     /* end of the wait for the file's lock, monotonic */
  const _Atomic bool *hurry; /* store.h: hurry, set by the loop's thread; NULL while the store is being opened */

  /* The open transaction. */
  int64_t now_ms;
  struct sk_buf stamped; /* the record of the job that is being added */
  uint64_t clock_steps;  /* grows when the clock was set back; 1 at first, since that may have happened before */
  bool notify;           /* the transaction did something that others wait for */
  struct sk_err err;     /* the last error */

  /* Rows that are cached between operations. */
  uint64_t epoch; /* grows when cached rows become outdated: another connection has committed, or a rollback */
  int64_t data_version;
  struct sq_head head;
  bool head_dirty;
  uint64_t head_epoch;
  struct sq_queue *queues;
  struct sq_queue **by_number; /* owned; [0] is unused */
  size_t by_number_cap;
  struct sq_queue *dirty;
  struct sq_self self;
  int64_t queues_looked;         /* sk_sq_queues_forget has looked at queues up to this number */
  char stop_id[SK_ID_BYTES_MAX]; /* the next look at table stop begins behind this id */
  size_t stop_id_n;
  bool expiry_due; /* sk_sq_expire has left something for the next call */
  int64_t giving;  /* number of a dead engine whose jobs are being handed back; 0: none */
};

/* -- db.c: the connection.  In this header, functions that return an sk_code fill db->err -------------------------- */

/* Opens the database that options name, makes its tables when it is empty, and prepares the statements.  Returns owned;
 * NULL with err. */
struct sq_db *sk_sq_db_open(const struct sk_store_options *options, struct sk_err *err);
void sk_sq_db_close(struct sq_db *db);
/* Opens the database again for reading, after its files have changed.  On failure db->db is NULL. */
enum sk_code sk_sq_reopen(struct sq_db *db);
/* Turns SQLite's last error into a status and a sentence. */
enum sk_code sk_sq_fail(struct sq_db *db);

static inline enum sk_code sk_sq_no_memory(struct sq_db *db) {
  return sk_err_set(&db->err, SK_ENOMEM, "%s: out of memory", db->path);
}

/* The process is about to end, and nothing must wait any more (store.h: hurry). */
static inline bool sk_sq_in_hurry(const struct sq_db *db) { return db->hurry && atomic_load(db->hurry); }
enum sk_code sk_sq_prepare_all(struct sq_db *db);

/* -- statement.c --------------------------------------------------------------------------------------------------- */

/* Returns the prepared statement, to bind and step. */
static inline sqlite3_stmt *sk_sq(struct sq_db *db, enum sq_stmt which) { return db->stmts[which]; }
static inline void sk_sq_int(sqlite3_stmt *st, int at, int64_t v) { sqlite3_bind_int64(st, at, v); }
/* Binds the number, or NULL when it is 0. */
static inline void sk_sq_some(sqlite3_stmt *st, int at, int64_t v) {
  if (v)
    sqlite3_bind_int64(st, at, v);
  else
    sqlite3_bind_null(st, at);
}
/* Bind bytes, which are borrowed until the statement is bound again; no bytes are '' and x'', never NULL. */
static inline void sk_sq_text(sqlite3_stmt *st, int at, struct sk_str s) {
  sqlite3_bind_text(st, at, s.n ? s.p : "", (int)s.n, SQLITE_STATIC);
}
static inline void sk_sq_blob(sqlite3_stmt *st, int at, struct sk_str s) {
  if (s.n)
    sqlite3_bind_blob(st, at, s.p, (int)s.n, SQLITE_STATIC);
  else
    sqlite3_bind_zeroblob(st, at, 0);
}
/* Runs a statement that returns no rows. */
enum sk_code sk_sq_run(struct sq_db *db, enum sq_stmt which);
/* Steps to the next row and returns true; at the end, or on failure (*code), resets the statement and returns false. */
bool sk_sq_next(struct sq_db *db, enum sq_stmt which, enum sk_code *code);
static inline void sk_sq_reset(struct sq_db *db, enum sq_stmt which) { sqlite3_reset(db->stmts[which]); }
/* Returns the bytes of a column, which are valid until the statement's next step or reset. */
struct sk_str sk_sq_column(sqlite3_stmt *st, int at);

/* -- transaction.c ------------------------------------------------------------------------------------------------- */

/* Begin and end a write transaction.  A commit outlives this process; sync.c decides when it has reached the disk. */
enum sk_code sk_sq_begin(struct sq_db *db);
enum sk_code sk_sq_commit(struct sq_db *db);
void sk_sq_rollback(struct sq_db *db);
/* Ends a write transaction whose work returned `code`: commits and wakes others, or rolls back. */
enum sk_code sk_sq_end(struct sq_db *db, enum sk_code code);
/* Begin and end a reading transaction: its statements see the store at one moment. */
enum sk_code sk_sq_begin_read(struct sq_db *db);
void sk_sq_end_read(struct sq_db *db);
/* Has another connection committed since the last call with this `seen`? */
bool sk_sq_changed_by_others(struct sq_db *db, int64_t *seen);
/* Starts a thread that gets no signals, because signals belong to the program's own threads. */
enum sk_code sk_sq_thread(const struct sq_db *db, pthread_t *out, void *(*body)(void *arg), void *arg,
                          struct sk_err *err);

/* -- space.c: keeps the log small and gives free pages back -------------------------------------------------- */

/* Copies the log into the database when it is long.  Called between transactions. */
void sk_sq_space_tidy(struct sq_db *db);
/* Notes whether the file has pages to give back.  Called in a write transaction. */
enum sk_code sk_sq_space_look(struct sq_db *db);
/* Gives some pages back, in a transaction of its own, when db->shrink_at_ms has come. */
void sk_sq_space_shrink(struct sq_db *db);
/* Gives pages back for a moment at the end of an engine. */
void sk_sq_space_close(struct sq_db *db);
/* Copies the whole log into the database, syncs the database and empties the log.  Does not wait for others.  On SK_OK
 * all that was committed is on the disk, even if the log could not be synced before. */
enum sk_code sk_sq_start_over(struct sq_db *db);

/* -- backup.c: a copy, in steps; between transactions -------------------------------------------------------------- */

struct sq_backup;
/* Begins a copy to a new file; SK_EEXISTS: there is a file at path. */
enum sk_code sk_sq_backup_begin(struct sq_db *db, struct sk_str path, struct sq_backup **out);
enum sk_code sk_sq_backup_step(struct sq_backup *b, bool *done);
/* Gives the finished copy its name. */
enum sk_code sk_sq_backup_finish(struct sq_backup *b, int64_t *bytes);
/* Frees b, and deletes a copy that was not finished. */
void sk_sq_backup_end(struct sq_backup *b);

/* -- files.c: where the files are, who owns them, how this process may use them ------------------------------------ */

/* Sets db->path, db->lock_path and db->timeout_ms by the URL; makes the folder, unless must_exist. */
enum sk_code sk_sq_files_find(struct sq_db *db, const struct sk_store_options *options, struct sk_err *err);
/* Sets db->access; makes a database where there is none, unless must_exist (SK_ENOTFOUND). */
enum sk_code sk_sq_files_decide(struct sq_db *db, bool must_exist, bool must_write, struct sk_err *err);
/* Reads the application id of the database, without touching any other file. */
bool sk_sq_files_are_ours(const struct sq_db *db, int64_t application_id);
/* Makes the log and its index, so that they belong to the owner of the database. */
enum sk_code sk_sq_files_complete(struct sq_db *db);
/* Opens a connection as db->access says, and returns SQLite's result.  The caller closes *out in any case. */
int sk_sq_files_open(struct sq_db *db, sqlite3 **out);
/* Opens PATH-lock, and makes it if needed; -1 with errno. */
int sk_sq_files_open_lock(const struct sq_db *db);
/* Have the files changed under a connection that holds no lock, or is there no connection?  Then the read may be wrong:
 * sk_sq_reopen. */
bool sk_sq_files_changed(const struct sq_db *db);

/* -- sync.c: answers that wait for the disk ------------------------------------------------------------------------ */

struct sq_sync;
/* Starts the thread, which calls `answer` with operations; borrows db for the life of *out. */
enum sk_code sk_sq_sync_start(const struct sq_db *db, void (*answer)(void *ctx, struct sk_list *ops), void *ctx,
                              struct sq_sync **out, struct sk_err *err);
/* Takes operations that are committed, and answers them when their commit is on the disk; with SK_EUNKNOWN when the
 * sync fails. */
void sk_sq_sync_wait(struct sq_sync *y, struct sk_list *ops);
/* Has a sync failed, so that nothing can be promised until sk_sq_start_over has worked? */
bool sk_sq_sync_failed(struct sq_sync *y);
/* Tells the syncer that sk_sq_start_over has worked. */
void sk_sq_sync_mended(struct sq_sync *y);
/* Answers the operations that still wait, ends the thread and frees y. */
void sk_sq_sync_stop(struct sq_sync *y);

/* -- numbers ------------------------------------------- */

static inline int64_t sk_sq_number(int64_t q, int64_t lane, int64_t seq) {
  return (int64_t)((uint64_t)q << SQ_QUEUE_SHIFT | (uint64_t)lane << SQ_LANE_SHIFT | (uint64_t)seq);
}
static inline int64_t sk_sq_rank(int32_t priority) { return SK_PRIORITY_MAX - priority; }
static inline int32_t sk_sq_priority(int64_t rank) { return SK_PRIORITY_MAX - (int32_t)rank; }
static inline enum sk_state sk_sq_state(int64_t stored) {
  return stored >= SQ_FRONT ? SK_STATE_READY : (enum sk_state)stored;
}
/* Returns the number of the job's group; 0: it has none. */
static inline int64_t sk_sq_group(const struct sq_row *row) { return row->flags >> SQ_FLAG_BITS; }
static inline bool sk_sq_needs_slot(const struct sq_row *row) {
  return sk_sq_group(row) != 0 && !(row->flags & SQ_FLAG_SLOT);
}
static inline uint64_t sk_sq_fence(int64_t hold) { return (uint64_t)(hold - SQ_HOLD_BASE); }
/* Returns a + b, at most SQ_NEVER; b >= 0. */
static inline int64_t sk_sq_later(int64_t a, int64_t b) { return a > SQ_NEVER - b ? SQ_NEVER : a + b; }

/* -- cache.c: cached rows of store and queue ----------------------------------------------------------------------- */

/* Reads the row of store when the cached one is outdated. */
enum sk_code sk_sq_head_load(struct sq_db *db);
/* Returns the row of store for a change, which the commit writes. */
struct sq_head *sk_sq_head(struct sq_db *db);
/* Finds the queue of that name; *out is NULL when there is none.  make: adds it then (SK_ELIMIT: no number is left). */
enum sk_code sk_sq_queue(struct sq_db *db, struct sk_str name, bool make, struct sq_queue **out);
/* Finds the queue of a number that a row has. */
enum sk_code sk_sq_queue_of(struct sq_db *db, int64_t q, struct sq_queue **out);
/* Marks a queue as changed, so that the commit writes it. */
void sk_sq_dirty(struct sq_db *db, struct sq_queue *queue);
/* Looks at the next 1,000 queues, and forgets those that have held no job for SQ_QUEUE_KEEP_MS, are not paused and have
 * no settings. */
enum sk_code sk_sq_queues_forget(struct sq_db *db);
/* Writes the cached rows that were changed. */
enum sk_code sk_sq_flush(struct sq_db *db);
/* Drops all cached rows, because they may differ from the file's. */
void sk_sq_forget(struct sq_db *db);

/* -- rows.c: the row of a job -------------------------------------------------------------------------------------- */

/* Read a job; *found says whether it is there.  text may be NULL; its slices are copied to arena. */
enum sk_code sk_sq_load(struct sq_db *db, int64_t n, struct sq_row *row, struct sk_arena *arena, struct sq_text *text,
                        bool *found);
enum sk_code sk_sq_load_id(struct sq_db *db, struct sk_str id, struct sq_row *row, struct sk_arena *arena,
                           struct sq_text *text, bool *found);

/* -- moves.c: changes of state; in a write transaction ------------------------------------------------------------- */

/* Takes a job out of the side table and the count of its state. */
enum sk_code sk_sq_leave(struct sq_db *db, const struct sq_row *row);
/* Adds a job to the side table and the count of its state. */
enum sk_code sk_sq_enter(struct sq_db *db, const struct sq_row *row);
/* Writes the numbers of a job, and its record unless that is NULL. */
enum sk_code sk_sq_save(struct sq_db *db, const struct sq_row *row, const struct sk_str *record);
/* Deletes the progress and log of the job's last attempt. */
enum sk_code sk_sq_progress_forget(struct sq_db *db, struct sq_row *row);
/* Makes a RUNNING job READY at the place that it had; record as in sk_sq_save. */
enum sk_code sk_sq_return(struct sq_db *db, struct sq_row *row, const struct sk_str *record);
/* Makes a job READY at the end of its lane, under a new number, with that record. */
enum sk_code sk_sq_move_last(struct sq_db *db, struct sq_row *row, struct sk_str record);
/* Makes a job SCHEDULED or RETRY until due_ms in queue q, or READY at the front when due_ms has passed; record as in
 * sk_sq_save. */
enum sk_code sk_sq_move_later(struct sq_db *db, struct sq_row *row, int64_t q, enum sk_state state, int64_t due_ms,
                              const struct sk_str *record);
/* Makes a job DONE, DEAD or CANCELLED, and keeps it until `until` (0: until it is deleted by hand). */
enum sk_code sk_sq_move_ended(struct sq_db *db, struct sq_row *row, enum sk_state state, int64_t until,
                              struct sk_str record);
/* Deletes a job. */
enum sk_code sk_sq_delete(struct sq_db *db, struct sq_row *row);
/* Makes a SCHEDULED or RETRY job READY at the front; uses only n, q, rank, due, ord, state and flags of row. */
enum sk_code sk_sq_promote(struct sq_db *db, struct sq_row *row);
/* Makes a READY job RUNNING under fence, without progress; uses the same fields of row. */
enum sk_code sk_sq_take(struct sq_db *db, struct sq_row *row, uint64_t fence);
/* Makes RUNNING all n jobs in line whose number is between `from` and `to`, both included. */
enum sk_code sk_sq_take_line(struct sq_db *db, struct sq_queue *queue, int64_t from, int64_t to, size_t n,
                             uint64_t fence);
/* Deletes, in one statement, a RUNNING job of queue that is held under fence and has no flags.  *found says whether
 * there was one. */
enum sk_code sk_sq_delete_running(struct sq_db *db, struct sq_queue *queue, struct sk_str id, uint64_t fence,
                                  bool *found);
/* Moves the head of a lane to its first READY job, past 1,000 others at most. */
enum sk_code sk_sq_head_move(struct sq_db *db, struct sq_queue *queue, int64_t rank);
/* Returns a record changed by `edit`, in arena; unchanged when it cannot be read; p is NULL when memory is out. */
struct sk_str sk_sq_edit(struct sk_arena *arena, struct sk_str record, void (*edit)(struct sk_job *, int64_t now_ms),
                         int64_t now_ms);

/* -- group.c and group_renewal.c: limit groups, their slots, buckets and lanes ------------------------------------- */

/* A row of limit_group. */
struct sq_group {
  int64_t g;
  struct sk_limit limit; /* without the name */
  int64_t slots, full_us, jobs, at;
};

/* Counts a new job into its group, which has the numbers of that job from now on. */
enum sk_code sk_sq_group_join(struct sq_db *db, const struct sk_enqueue_item *item, int64_t *g);
/* Gives some groups of a task whose limit has changed their new numbers; *more says whether there were any to renew. */
enum sk_code sk_sq_groups_renew(struct sq_db *db, bool *more);
enum sk_code sk_sq_group_load(struct sq_db *db, int64_t g, struct sq_group *out);
/* Gives a group other numbers. */
enum sk_code sk_sq_group_renumber(struct sq_db *db, struct sq_group *group, const struct sk_limit *limit);
/* Takes a slot and a token of the group for one of its jobs. */
enum sk_code sk_sq_group_take(struct sq_db *db, int64_t g);
/* Gives back the job's slot, if it has one; gone: also ends its membership. */
enum sk_code sk_sq_group_let_go(struct sq_db *db, struct sq_row *row, bool gone);
/* Gives back the slot of a job that waits again, unless its group is strict. */
enum sk_code sk_sq_group_wait(struct sq_db *db, struct sq_row *row);
/* Adds a job to its group's lane, or takes it out. */
enum sk_code sk_sq_member_place(struct sq_db *db, const struct sq_row *row, bool add);
/* Opens lanes of queue whose time has come, at most *left, which it reduces. */
enum sk_code sk_sq_lanes_open(struct sq_db *db, struct sq_queue *queue, int *left);
/* Says whether a lane of queue is open, and when the next one will be, us (SQ_NEVER: unknown). */
enum sk_code sk_sq_lanes_look(struct sq_db *db, const struct sq_queue *queue, bool *open, int64_t *soon_us);
/* Deletes up to `most` groups without jobs whose bucket is full; *n says how many. */
enum sk_code sk_sq_groups_expire(struct sq_db *db, int64_t most, int64_t *n);

/* -- admission.c and locks.c: admission, locks, stops -------------------------------------------------------------- */

/* Decides whether a job that has a lock, a group or a bounded queue is added, and makes room for it when item->status
 * is SK_OK. follow: the job is a callback, and its queue's length does not matter. */
enum sk_code sk_sq_admit(struct sq_db *db, struct sk_arena *arena, struct sq_queue *queue, struct sk_enqueue_item *item,
                         bool follow);
/* Gives the lock to the job. */
enum sk_code sk_sq_lock_take(struct sq_db *db, const struct sk_enqueue_item *item);
/* Deletes up to `most` locks whose time is over; *n says how many. */
enum sk_code sk_sq_locks_expire(struct sq_db *db, int64_t most, int64_t *n);
/* Notes that a RUNNING job is to stop. */
enum sk_code sk_sq_stop(struct sq_db *db, const struct sq_row *row, struct sk_str id);
/* Finds the jobs of this engine that are to stop, in arena: among 1,000 rows of table stop, and the next call among the
 * next ones. */
enum sk_code sk_sq_stops(struct sq_db *db, struct sk_arena *arena, struct sk_str **ids, size_t *n);
/* Takes lock, slot and stop from a job that has ended; gone: also its progress and its place in the group.  Clears
 * those flags. */
enum sk_code sk_sq_let_go(struct sq_db *db, struct sq_row *row, bool gone);

/* -- queue_settings.c: max_len, overflow and limit of queues ------------------------------------------------------- */

/* Applies the queues of a declare. */
enum sk_code sk_sq_settings_declare(struct sq_db *db, struct sk_declare_op *op);
/* Lists the settings of all queues. */
enum sk_code sk_sq_settings_list(struct sq_db *db, struct sk_tasks_op *op);
/* Reads the settings from the columns of the statement's row that begin at `column`, in the order of the table of
 * settings. */
void sk_sq_settings_read(sqlite3_stmt *st, int column, struct sk_queue_settings *out);
/* Limits how far the queue's bucket is from full to what its numbers allow, because the clock may have been set back.
 * */
void sk_sq_settings_clamp(struct sq_db *db, struct sq_queue *queue);
/* Returns how many of `want` jobs may be taken from queue now. */
size_t sk_sq_settings_allows(const struct sq_db *db, const struct sq_queue *queue, size_t want);
/* Charges n started jobs to the queue's bucket. */
void sk_sq_settings_took(struct sq_db *db, struct sq_queue *queue, size_t n);
static inline bool sk_sq_queue_is_full(const struct sq_queue *queue) {
  return queue->settings.limit.concurrency > 0 && queue->states[SK_STATE_RUNNING] >= queue->settings.limit.concurrency;
}
static inline int64_t sk_sq_now_us(const struct sq_db *db) { return db->now_ms * 1000; }

/* -- place.c: whether the files are still those that were opened --------------------------------------------------- */

/* Notes the identity of the opened files. */
enum sk_code sk_sq_place_note(struct sq_db *db);
/* Compares the opened files with those that their paths name: SK_EUNAVAILABLE from then on when they differ.  At most
 * once a second, unless `now`. */
enum sk_code sk_sq_place_check(struct sq_db *db, bool now);
/* Called before the files are closed: makes SQLite leave the files alone that have their names now. */
void sk_sq_place_leave(struct sq_db *db);

/* -- lock_file.c --------------------------------------------------------------------------------------------------- */

/* Opens PATH-lock. */
enum sk_code sk_sq_lock_open(struct sq_db *db);
/* Locks the byte of engine num; *got is false when another engine has it. */
enum sk_code sk_sq_lock_byte(struct sq_db *db, int64_t num, bool *got);
/* Does another process or handle keep that byte locked?  Returns true when in doubt: then the lease decides. */
bool sk_sq_byte_is_locked(struct sq_db *db, int64_t num);
/* Wakes all that watch PATH-lock. */
void sk_sq_poke(struct sq_db *db);

/* -- engines.c ----------------------------------------------------------------------------------------------------- */

/* Signs this connection on as an engine, and makes READY all jobs of engines that are dead.  In transactions of its
 * own. */
enum sk_code sk_sq_sign_on(struct sq_db *db, struct sk_str name, int64_t lease_ms);
/* Makes READY the jobs that this engine holds, and signs it off.  In transactions of its own. */
enum sk_code sk_sq_sign_off(struct sq_db *db);
/* Signs this engine on again, holding nothing, when another engine has ended its lease. */
enum sk_code sk_sq_check_self(struct sq_db *db);
enum sk_code sk_sq_beat(struct sq_db *db, struct sk_beat_op *op);
/* Makes READY the next jobs of dead engines; db->giving is not 0 when there are more. */
enum sk_code sk_sq_recover(struct sq_db *db, size_t *recovered);

/* -- holds.c ------------------------------------------------------------------------------------------------------- */

/* Notes that jobs ns were fetched under fence. */
enum sk_code sk_sq_hold(struct sq_db *db, uint64_t fence, const int64_t *ns, size_t n);
/* Reads the column hold.jobs: the numbers, in arena. */
enum sk_code sk_sq_hold_read(struct sq_db *db, struct sk_arena *arena, struct sk_str blob, int64_t **ns, size_t *n);
/* Returns the hold of this engine under that fence; NULL: none. */
struct sq_hold *sk_sq_hold_find(struct sq_db *db, uint64_t fence);
/* Notes that the settle of one of the hold's jobs was committed. */
void sk_sq_hold_settled(struct sq_db *db, uint64_t fence);
/* Notes that the open transaction has ended. */
void sk_sq_holds_end(struct sq_db *db, bool committed);
void sk_sq_holds_free(struct sq_db *db);

/* -- operations ---------------------------------------------------------------------------------------------------- */

/* fetch.c, work.c and change.c run in a write transaction, look.c in a reading one.  After a status other than SK_OK
 * the caller rolls the transaction back. */

enum sk_code sk_sq_enqueue(struct sq_db *db, struct sk_enqueue_op *op);
enum sk_code sk_sq_fetch(struct sq_db *db, struct sk_fetch_op *op);
enum sk_code sk_sq_settle(struct sq_db *db, struct sk_settle_op *op);
enum sk_code sk_sq_progress(struct sq_db *db, struct sk_progress_op *op);
/* Called after the commit. */
void sk_sq_fetch_done(struct sq_db *db, struct sk_fetch_op *op);
void sk_sq_settle_done(struct sq_db *db, struct sk_settle_op *op);

enum sk_code sk_sq_change_ids(struct sq_db *db, struct sk_change_op *op);
/* Changes job n if it still matches op's filter. */
enum sk_code sk_sq_change_number(struct sq_db *db, struct sk_change_op *op, int64_t n, size_t *changed);
enum sk_code sk_sq_pause(struct sq_db *db, struct sk_pause_op *op);
enum sk_code sk_sq_declare(struct sq_db *db, struct sk_declare_op *op);
/* Deletes some kept records, locks and groups whose time is over, and renews some groups; sets db->expiry_due when
 * there are more. */
enum sk_code sk_sq_expire(struct sq_db *db);

enum sk_code sk_sq_tasks(struct sq_db *db, struct sk_tasks_op *op);
/* Fills the view of a job, whose texts are in arena. */
enum sk_code sk_sq_view(struct sq_db *db, struct sk_arena *arena, const struct sq_row *row, const struct sq_text *text,
                        struct sk_view *view);
/* Says why a READY job cannot be taken now, apart from the jobs before it. */
enum sk_code sk_sq_find_hindrance(struct sq_db *db, const struct sq_row *row, enum sk_blocked_by *blocked_by);

/* -- walk.c: get, list and count in steps -------------------------------------------------------------------------- */

/* A get, list or count at work.  Made by sk_sq_walk_get, _list or _count; `step` is called in a reading transaction
 * until `over`.  A step that failed may be done again with the walk as it was before. */
struct sq_walk {
  struct sk_list node; /* the caller's */
  struct sk_op *op;
  enum sk_code (*step)(struct sq_walk *w, struct sq_db *db);
  bool over;
  size_t at;           /* get: ids that are answered */
  int looks;           /* rows that the step may still look at */
  size_t bytes;        /* of the records that the step has read */
  size_t skip;         /* list: jobs that match and are before the offset */
  size_t bytes_listed; /* list: bytes of all views so far, as sk_check_listed counts them */
  size_t views_n;      /* list: views when the last step ended */
  enum sk_state state; /* list: the state whose jobs are listed; SK_STATES: all states are done */
  int64_t q;           /* list: number of the filter's queue; 0: any */
  int64_t rank;        /* list, READY: the priority of `queue` that is listed */
  int64_t due, ord;    /* list: the place of the last row, in the order of its state */
  bool entered;        /* list, READY: `queue` is being listed; else the walk goes on behind it */
  size_t queue_n;      /* list, count: the queue of the last row */
  char queue[SK_NAME_BYTES_MAX];
  size_t cap;          /* count: queues that there is room for */
  size_t queues_n;     /* count: queues when the last step ended */
  struct sq_head head; /* count: the counters at the first step */
};
void sk_sq_walk_count(struct sq_walk *w, struct sk_count_op *op);
void sk_sq_walk_get(struct sq_walk *w, struct sk_get_op *op);
void sk_sq_walk_list(struct sq_walk *w, struct sk_list_op *op);

/* -- sweep.c: changes by filter in steps --------------------------------------------------------------------------- */

struct sq_sweep {
  struct sk_change_op *op;
  int64_t from; /* jobs up to this number were looked at */
  bool over;    /* all were */
};
void sk_sq_sweep(struct sq_sweep *w, struct sk_change_op *op);
/* In transactions of its own; adds to op->changed. */
enum sk_code sk_sq_sweep_step(struct sq_db *db, struct sq_sweep *w);

#endif
