/* sqlite.h - the inside of the sqlite store, for sqlite*.c only.
 *
 *   loop's thread                          the store's thread
 *   struct sq_store ── pending ops ──────► struct sq_db: one connection, its statements, the rows it has read
 *        ▲                                      │ a group of operations: one transaction, one commit
 *        └── answers, `changed` ◄── sk_async ───┤
 *        ▲                                      ▼ durability full: what must be on the disk before it is answered
 *        └── answers ◄── sk_async ── struct sq_sync: its own thread, one fdatasync for all that wait
 *
 * Another process, or another handle of this one, learns of a commit by inotify on PATH-lock: whoever has committed something
 * that others wait for writes a byte there (afterwards, so that who looks finds it).  PRAGMA data_version tells own commits apart.
 *
 * THE TABLES (schema in sqlite/db.c)
 *   job     one row a job, by its number n, and by id.  It has no other index: each one would cost every enqueue and settle as
 *           much as the job itself.  What needs an order of its own has a narrow table beside it, with a row for those few
 *           jobs that are in that state:
 *
 *             state in `job`            where its order is kept
 *             SQ_LINE   READY           the number itself: n = queue | rank | sequence, so that a queue's lane is a range of n
 *             SQ_FRONT  READY           front: came due, or was released and returns to its place; all of it before the line
 *             SQ_MEMBER READY           member: in its group's line, since it needs a slot
 *             RUNNING                   hold: a row per fetch with the numbers it took, under the fetch's fence
 *             SCHEDULED, RETRY          later
 *             DONE, DEAD, CANCELLED     ended; kept while its end is known
 *
 *           sk_sq_leave and sk_sq_enter alone move a row between those tables and keep the counts.
 *   queue   counts by state, and head and tail of each lane: no SQ_LINE job of the lane has a sequence below head, or tail or above.
 *   store   the one row of counters.  hold.fence and engine.token are taken from it, so none is ever used twice.
 *   engine  who is alive; engine's number is the byte of PATH-lock that it keeps locked.
 *   bound   what a queue is bound to (declare); read with the queue's row.
 *
 *   What only some jobs have is in job.flags, NULL for all others, so that those pay nothing for it:
 *   grp     the groups: numbers, slots taken, bucket, and when one could be taken from (at): SQ_SHUT: no slot is free; 0: now; else when
 *           there will be a token, us.  It goes when no job names it and its bucket is full.
 *   line    a row for each line (group, queue, rank) that has members, with its group's `at` and its turn among the open ones, so that a
 *           fetch finds the next line, or the next time, in an index, however many are shut.  g = 0: the turn of the jobs without.
 *   lock    who holds what key, and until when (0: as long as the job); throttle: 1 it outlives its job, 2 it has.
 *   stop    the ids of jobs that are to stop; store.stops counts them.
 *   said    progress and log of the last attempt, so that to say something does not rewrite a record.
 * A member takes a sequence of its rank's lane like a job in line does, kept in its ord (its number is in SQ_LANE_APART), so that THE ORDER
 * between members and others is known, and one that keeps its slot has a place to return to: sk_sq_return.
 *
 * The rows of store and queue are read once and cached until another connection commits, changed in memory, and written once
 * before the commit. */
#ifndef SK_STORE_SQLITE_H
#define SK_STORE_SQLITE_H

#include <pthread.h>
#include <stdatomic.h>
#include <sqlite3.h>
#include <sys/types.h>
#include <sys/types.h>
#include <time.h>

/* Out of memory is a status: uthash then leaves hh.tbl NULL. */
#define HASH_NONFATAL_OOM 1
#include <uthash.h>

#include "base/buf.h"
#include "base/limits.h"
#include "base/list.h"
#include "store/check.h"
#include "store/openers.h"
#include "store/watch.h"

enum {
  SQ_LINE = SK_STATE_READY, /* stored in job.state: sk_state's numbers, and a second kind of READY */
  SQ_FRONT = SK_STATES,
  SQ_MEMBER, /* and a third */

  SQ_LANES = SK_PRIORITIES + 1,  /* a lane per priority, the highest first, */
  SQ_LANE_APART = SK_PRIORITIES, /* and numbers for jobs that do not start in line */

  SQ_QUEUES_MAX =
      SK_QUEUES_PER_STORE_MAX, /* 16 bits of a job's number; 3 for the lane, 44 for the sequence: 5 years at 100,000 jobs/s */
  SQ_LANE_SHIFT = 44,
  SQ_QUEUE_SHIFT = 47,

  /* job.flags: the number of its group above these bits.  0 is stored as NULL. */
  SQ_FLAG_LOCK = 1,     /* it took a lock */
  SQ_FLAG_SLOT = 2,     /* it has a slot of its group */
  SQ_FLAG_STOP = 4,     /* it is to stop: it is in table stop */
  SQ_FLAG_PROGRESS = 8, /* its last attempt said something: it is in table said */
  SQ_FLAG_BITS = 4,

  SQ_PAGE_BYTES = 4096, /* SQLite's default */

  SQ_QUEUE_KEEP_MS = 600000, /* a queue that holds nothing is forgotten after this time */

  SQ_SHUT = -1, /* grp.at, line.at */
};

/* job.hold is this plus the fence: a number of always 8 bytes, so that taking a job overwrites its row in place. */
#define SQ_HOLD_BASE (INT64_C(1) << 56)

#define SQ_SEQ_MASK ((INT64_C(1) << SQ_LANE_SHIFT) - 1)
#define SQ_LANE_MASK ((INT64_C(1) << (SQ_QUEUE_SHIFT - SQ_LANE_SHIFT)) - 1)

/* What a job that never came due has in place of a due time in front. */
#define SQ_NEVER INT64_MAX

/* -- statements: the SQL is in sqlite/sql.h -------------------------------------------------------------------------------- */

enum sq_stmt {
#define SQ_STMT(name, sql) SQL_##name,
#include "store/sqlite/sql.h"
#undef SQ_STMT
  SQL_STMTS
};

/* -- cached rows ------------------------------------------------------------------------------------------------------------- */

struct sq_queue {
  UT_hash_handle hh; /* by name */
  struct sq_queue *next_dirty;
  uint64_t epoch;     /* of sq_db when it was read */
  int64_t q;          /* its number, from 1; never changes */
  struct sk_str name; /* in bytes */
  bool dirty;
  bool paused;
  int64_t front;                     /* jobs in front, */
  int64_t members;                   /* and in member; both are counted in states[READY] too */
  struct sk_queue_settings settings; /* its name is unused */
  int64_t full_us;                   /* of its bucket; written with the row when there is a rate */
  uint64_t steps;                    /* of sq_db when its lines had been looked through for the last time, */
  int64_t looked_at;                 /* ... or how far they are */
  int64_t states[SK_STATES];
  int64_t head[SK_PRIORITIES];
  int64_t tail[SQ_LANES];
  char bytes[];
};

struct sq_head { /* the row of store */
  int64_t fence;
  int64_t seq; /* of due times and ends: breaks ties */
  int64_t queues_version;
  int64_t stops; /* rows of stop */
  struct sk_counters counters;
};

/* A row of job without its text. */
struct sq_row {
  int64_t n, state, q, rank;
  int64_t due; /* 0: first in, first out */
  int64_t
      ord; /* breaks ties of due (due = 0: its sequence in the lane, not stored); in a final state the order of ends */
  int64_t hold, running_since_ms;
  int64_t keep_until; /* 0: none */
  int64_t flags;      /* SQ_FLAG_... and the number of its group */
};
struct sq_text {
  struct sk_str id, task, record, progress_text, log;
  int32_t percent;
};

/* Jobs that this engine holds under one fence.  Its row in `hold` outlives the last of them until the next fetch. */
struct sq_hold {
  UT_hash_handle hh;   /* by fence, in sq_self.holds */
  struct sk_list node; /* in one of sq_self's lists, or none */
  uint64_t fence;
  size_t left; /* not settled yet */
};

/* This engine in the store.  num = 0: a client. */
struct sq_self {
  int64_t num, token;
  uint64_t epoch; /* of sq_db when its row was last seen */
  bool lost;      /* its lease was ended; to be told by the next beat */
  int64_t lease_ms;
  struct sk_watches watches; /* what it has seen of the others */
  struct sk_str name;        /* owned */
  struct sq_hold *holds;     /* owned */
  struct sk_list coming;     /* made in the open transaction */
  struct sk_list over;       /* left = 0: the row can go */
  struct sk_list going;      /* its row was deleted in the open transaction */
};

enum sq_access { SQ_WRITES, SQ_READS_LIVE, SQ_READS_STILL, SQ_READS_LOG }; /* see files.c */

/* By which a change of the files shows. */
struct sq_stamp {
  ino_t ino;
  off_t bytes, log_bytes;
  struct timespec changed, log_changed;
  bool has_index;
};

/* Which file it is. */
struct sq_place {
  dev_t dev;
  ino_t ino; /* 0: not known */
};

/* The connection.  Belongs to the store's thread once that runs. */
struct sq_db {
  sqlite3 *db;
  sqlite3_stmt *stmts[SQL_STMTS];
  char *path;      /* owned */
  char *lock_path; /* owned */
  int lock_fd;
  struct sq_place file, lock_file; /* those that were opened */
  int64_t placed_ms;               /* when they were compared last; monotonic */
  bool gone;                       /* they are not what their paths name */
  const struct sk_log *log;
  struct sk_store_clock clock;
  char boot_id[64];
  int wal_pages; /* after the last commit */

  /* space.c */
  int wal_copied;       /* wal_pages at the last checkpoint */
  bool cut_due;         /* the file is longer than its pages: a checkpoint cuts it */
  bool can_shrink;      /* it has the map for that */
  bool shrink_due;      /* most of it is free */
  int64_t shrink_at_ms; /* not before; monotonic */

  /* files.c: what this process may do with the files. */
  enum sq_access access;
  struct sk_err denied;  /* why not all, when it may only read */
  struct sq_stamp stamp; /* SQ_READS_STILL, SQ_READS_LOG: of the files, when they were opened */

  /* Waiting for other processes' transactions. */
  int64_t timeout_ms;        /* the longest wait */
  int64_t deadline_ms;       /* of the operations at work, monotonic; 0: timeout_ms from the transaction's begin */
  int64_t busy_until_ms;     /* of the transaction at work, monotonic */
  const _Atomic bool *hurry; /* the loop says: no wait any more; NULL while it is opened */

  /* The open transaction. */
  int64_t now_ms;
  struct sk_buf stamped; /* the record of the job that comes in */
  uint64_t clock_steps;  /* how often the clock was found to have been set back; 1 at first: it may have been before */
  bool notify;           /* it has something that others wait for */
  struct sk_err err;     /* what went wrong last */

  /* Cached rows. */
  uint64_t epoch; /* grows when another connection has committed, and on rollback */
  int64_t data_version;
  struct sq_head head;
  bool head_dirty;
  uint64_t head_epoch;
  struct sq_queue *queues;
  struct sq_queue **by_number; /* owned; [0] is unused */
  size_t by_number_cap;
  struct sq_queue *dirty;
  struct sq_self self;
  int64_t queues_looked;         /* queues up to this number were looked at in this round: sk_sq_queues_forget */
  char stop_id[SK_ID_BYTES_MAX]; /* where the next fetch's look at `stop` begins */
  size_t stop_id_n;
  bool expiry_due; /* more kept records are over than one batch dropped */
  int64_t giving;  /* number of a gone engine some of whose jobs were handed back; the others are to be; 0: none */
};

/* -- sqlite/db.c: connection and statements.  Functions that return an sk_code fill db->err -------------------------------------- */

/* Opens the file of options, makes or migrates its schema, prepares.  Owned result; NULL with err. */
struct sq_db *sk_sq_db_open(const struct sk_store_options *options, struct sk_err *err);
void sk_sq_db_close(struct sq_db *db);
/* Opens the file anew for reading, when its files have changed.  On failure there is no connection: db->db is NULL. */
enum sk_code sk_sq_reopen(struct sq_db *db);
/* Turns what sqlite said last into a status. */
enum sk_code sk_sq_fail(struct sq_db *db);

static inline enum sk_code sk_sq_no_memory(struct sq_db *db) {
  return sk_err_set(&db->err, SK_ENOMEM, "%s: out of memory", db->path);
}

/* The loop wants no waiting any more (store.h: hurry). */
static inline bool sk_sq_in_hurry(const struct sq_db *db) { return db->hurry && atomic_load(db->hurry); }
enum sk_code sk_sq_prepare_all(struct sq_db *db);

/* A statement to bind to and step. */
static inline sqlite3_stmt *sk_sq(struct sq_db *db, enum sq_stmt which) { return db->stmts[which]; }
static inline void sk_sq_int(sqlite3_stmt *st, int at, int64_t v) { sqlite3_bind_int64(st, at, v); }
/* 0 as NULL. */
static inline void sk_sq_some(sqlite3_stmt *st, int at, int64_t v) {
  if (v)
    sqlite3_bind_int64(st, at, v);
  else
    sqlite3_bind_null(st, at);
}
/* Borrowed until the statement is bound anew or reset; never NULL in the table. */
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
/* The next row: true.  False at the end and on failure (*code), and the statement is reset. */
bool sk_sq_next(struct sq_db *db, enum sq_stmt which, enum sk_code *code);
static inline void sk_sq_reset(struct sq_db *db, enum sq_stmt which) { sqlite3_reset(db->stmts[which]); }
/* A column's bytes, valid until the statement's next step or reset. */
struct sk_str sk_sq_column(sqlite3_stmt *st, int at);

/* A write transaction.  Its commit outlives this process; when it reaches the disk is sqlite/sync.c's matter. */
enum sk_code sk_sq_begin(struct sq_db *db);
enum sk_code sk_sq_commit(struct sq_db *db);
void sk_sq_rollback(struct sq_db *db);
/* Ends a write transaction in which `code` happened: commits and tells others, or rolls back. */
enum sk_code sk_sq_end(struct sq_db *db, enum sk_code code);
/* One snapshot for several reading statements. */
enum sk_code sk_sq_begin_read(struct sq_db *db);
void sk_sq_end_read(struct sq_db *db);
/* Has another connection committed since the last call? */
bool sk_sq_changed_by_others(struct sq_db *db, int64_t *seen);
/* Starts a thread that gets no signals: those are for the program's own threads. */
enum sk_code sk_sq_thread(const struct sq_db *db, pthread_t *out, void *(*body)(void *arg), void *arg,
                          struct sk_err *err);

/* -- space.c: the log stays small, the file gives back what is free -------------------------------------------------- */

/* After commits, between transactions. */
void sk_sq_space_tidy(struct sq_db *db);
/* In a write transaction: is there something to give back? */
enum sk_code sk_sq_space_look(struct sq_db *db);
/* Gives some of it back, in a transaction of its own, when it is time for that: db->shrink_at_ms. */
void sk_sq_space_shrink(struct sq_db *db);
/* At an engine's end: some more, for a moment. */
void sk_sq_space_close(struct sq_db *db);
/* Copies all of the log into the database, syncs that and empties the log, now or not at all: on SK_OK everything committed is on
 * the disk whatever became of the log. */
enum sk_code sk_sq_start_over(struct sq_db *db);

/* -- backup.c: a copy, in steps; between transactions ------------------------------------------------------------------ */

struct sq_backup;
/* SK_EEXISTS: path is there. */
enum sk_code sk_sq_backup_begin(struct sq_db *db, struct sk_str path, struct sq_backup **out);
enum sk_code sk_sq_backup_step(struct sq_backup *b, bool *done);
/* When all is copied: gives it its name. */
enum sk_code sk_sq_backup_finish(struct sq_backup *b, int64_t *bytes);
/* In any case, at the end; what was not finished is gone. */
void sk_sq_backup_end(struct sq_backup *b);

/* -- files.c: where the files are, whose they are, what we may do with them -------------------------------------------- */

/* Sets db->path, db->lock_path and db->timeout_ms by the URL; makes the folder, unless must_exist. */
enum sk_code sk_sq_files_find(struct sq_db *db, const struct sk_store_options *options, struct sk_err *err);
/* Sets db->access; makes a database where there is none, unless must_exist (SK_ENOTFOUND). */
enum sk_code sk_sq_files_decide(struct sq_db *db, bool must_exist, bool must_write, struct sk_err *err);
/* Looks, without touching any other file, whether that id is in the database. */
bool sk_sq_files_are_ours(const struct sq_db *db, int64_t application_id);
/* Makes the log and its index, so that they are the database owner's. */
enum sk_code sk_sq_files_complete(struct sq_db *db);
/* Opens a connection as db->access says; SQLite's result.  *out is to be closed in any case. */
int sk_sq_files_open(struct sq_db *db, sqlite3 **out);
/* A descriptor of PATH-lock, made if need be; -1 with errno. */
int sk_sq_files_open_lock(const struct sq_db *db);
/* Did the files change under a connection that holds no lock, or is there none?  Then what was read may be wrong: sk_sq_reopen. */
bool sk_sq_files_changed(const struct sq_db *db);

/* -- sqlite/sync.c: answers that wait for the disk --------------------------------------------------------------------------------- */

struct sq_sync;
/* `answer` gets operations on the thread of sq_sync; db is borrowed for its life. */
enum sk_code sk_sq_sync_start(const struct sq_db *db, void (*answer)(void *ctx, struct sk_list *ops), void *ctx,
                              struct sq_sync **out, struct sk_err *err);
/* Takes operations that are committed, and answers them once that is on the disk; SK_EUNKNOWN when the disk refuses. */
void sk_sq_sync_wait(struct sq_sync *y, struct sk_list *ops);
/* Has a sync failed, so that nothing can be promised until sk_sq_start_over has worked? */
bool sk_sq_sync_failed(struct sq_sync *y);
/* It has. */
void sk_sq_sync_mended(struct sq_sync *y);
/* Answers what still waits, ends the thread and frees. */
void sk_sq_sync_stop(struct sq_sync *y);

/* -- sqlite/rows.c: cached rows, and the moves between states; in a write transaction ------------------------------------------- */

static inline int64_t sk_sq_number(int64_t q, int64_t lane, int64_t seq) {
  return (int64_t)((uint64_t)q << SQ_QUEUE_SHIFT | (uint64_t)lane << SQ_LANE_SHIFT | (uint64_t)seq);
}
static inline int64_t sk_sq_rank(int32_t priority) { return SK_PRIORITY_MAX - priority; }
static inline int32_t sk_sq_priority(int64_t rank) { return SK_PRIORITY_MAX - (int32_t)rank; }
static inline enum sk_state sk_sq_state(int64_t stored) {
  return stored >= SQ_FRONT ? SK_STATE_READY : (enum sk_state)stored;
}
/* Its group's number; 0: none. */
static inline int64_t sk_sq_group(const struct sq_row *row) { return row->flags >> SQ_FLAG_BITS; }
static inline bool sk_sq_needs_slot(const struct sq_row *row) {
  return sk_sq_group(row) != 0 && !(row->flags & SQ_FLAG_SLOT);
}
static inline uint64_t sk_sq_fence(int64_t hold) { return (uint64_t)(hold - SQ_HOLD_BASE); }
/* a + b for b >= 0, no more than SQ_NEVER. */
static inline int64_t sk_sq_later(int64_t a, int64_t b) { return a > SQ_NEVER - b ? SQ_NEVER : a + b; }

enum sk_code sk_sq_head_load(struct sq_db *db);
/* To change it. */
struct sq_head *sk_sq_head(struct sq_db *db);
/* The queue of that name, *out NULL when there is none; `make`: made then (SK_ELIMIT: no number left). */
enum sk_code sk_sq_queue(struct sq_db *db, struct sk_str name, bool make, struct sq_queue **out);
/* The queue of that number, which a row names.  Its name is right even outside a write transaction. */
enum sk_code sk_sq_queue_of(struct sq_db *db, int64_t q, struct sq_queue **out);
void sk_sq_dirty(struct sq_db *db, struct sq_queue *queue);
/* Looks at the next queues and forgets those that have held nothing for SQ_QUEUE_KEEP_MS, are not paused and have no settings. */
enum sk_code sk_sq_queues_forget(struct sq_db *db);
/* Writes what changed. */
enum sk_code sk_sq_flush(struct sq_db *db);
/* Forgets all cached rows: they may not be what the file holds. */
void sk_sq_forget(struct sq_db *db);

/* *found says whether there is such a job; text may be NULL; its slices are copied to arena. */
enum sk_code sk_sq_load(struct sq_db *db, int64_t n, struct sq_row *row, struct sk_arena *arena, struct sq_text *text,
                        bool *found);
enum sk_code sk_sq_load_id(struct sq_db *db, struct sk_str id, struct sq_row *row, struct sk_arena *arena,
                           struct sq_text *text, bool *found);

/* Out of the table and the count that its state stands for, */
enum sk_code sk_sq_leave(struct sq_db *db, const struct sq_row *row);
/* and into those of the state it has now. */
enum sk_code sk_sq_enter(struct sq_db *db, const struct sq_row *row);
/* Writes row, and record if given, to job. */
enum sk_code sk_sq_save(struct sq_db *db, const struct sq_row *row, const struct sk_str *record);
/* Forgets what its last attempt said. */
enum sk_code sk_sq_progress_forget(struct sq_db *db, struct sq_row *row);
/* READY again at the place it had, after it was RUNNING; record as in save. */
enum sk_code sk_sq_return(struct sq_db *db, struct sq_row *row, const struct sk_str *record);
/* READY at the end of its lane, under a new number: leaves its state, enters line, saves. */
enum sk_code sk_sq_move_last(struct sq_db *db, struct sq_row *row, struct sk_str record);
/* SCHEDULED or RETRY until due_ms in queue q, or READY at the front when that is over; record as in save. */
enum sk_code sk_sq_move_later(struct sq_db *db, struct sq_row *row, int64_t q, enum sk_state state, int64_t due_ms,
                              const struct sk_str *record);
/* DONE, DEAD or CANCELLED until `until` (0: until deleted). */
enum sk_code sk_sq_move_ended(struct sq_db *db, struct sq_row *row, enum sk_state state, int64_t until,
                              struct sk_str record);
/* Gone. */
enum sk_code sk_sq_delete(struct sq_db *db, struct sq_row *row);
/* A SCHEDULED or RETRY job of which only n, q, rank, due, ord, state and flags are known is READY at the front. */
enum sk_code sk_sq_promote(struct sq_db *db, struct sq_row *row);
/* A READY job of which only those are known is RUNNING under fence, and its progress begins anew. */
enum sk_code sk_sq_take(struct sq_db *db, struct sq_row *row, uint64_t fence);
/* The same for all jobs in line from number `from` to `to`, which are n. */
enum sk_code sk_sq_take_line(struct sq_db *db, struct sq_queue *queue, int64_t from, int64_t to, size_t n,
                             uint64_t fence);
/* A RUNNING job of queue, with no flags, is gone: in one statement, by its id.  *found says whether it was as said. */
enum sk_code sk_sq_delete_running(struct sq_db *db, struct sq_queue *queue, struct sk_str id, uint64_t fence,
                                  bool *found);
/* Moves the head of a lane behind jobs that are not READY, over some thousands of them at most. */
enum sk_code sk_sq_head_move(struct sq_db *db, struct sq_queue *queue, int64_t rank);
/* A record after `edit`, in arena; the same bytes when it can't be read; p is NULL when out of memory. */
struct sk_str sk_sq_edit(struct sk_arena *arena, struct sk_str record, void (*edit)(struct sk_job *, int64_t now_ms),
                         int64_t now_ms);

/* -- sqlite/group.c: groups, their slots, buckets and lines ---------------------------------------------------------------------- */

/* A row of grp. */
struct sq_group {
  int64_t g;
  struct sk_limit limit; /* without the name */
  int64_t slots, full_us, jobs, at;
};

/* Names the group of a new job, which has these numbers from now on. */
enum sk_code sk_sq_group_join(struct sq_db *db, const struct sk_enqueue_item *item, int64_t *g);
/* Gives some groups of a task whose limit has changed the new one; *more says whether there were any. */
enum sk_code sk_sq_groups_renew(struct sq_db *db, bool *more);
enum sk_code sk_sq_group_load(struct sq_db *db, int64_t g, struct sq_group *out);
enum sk_code sk_sq_group_renumber(struct sq_db *db, struct sq_group *group, const struct sk_limit *limit);
/* A slot and a token for one of its jobs. */
enum sk_code sk_sq_group_take(struct sq_db *db, int64_t g);
/* The job gives back its slot, if it has one, and is its group's no more, if it is gone. */
enum sk_code sk_sq_group_let_go(struct sq_db *db, struct sq_row *row, bool gone);
/* The job waits again: it gives back its slot, unless its group is strict. */
enum sk_code sk_sq_group_wait(struct sq_db *db, struct sq_row *row);
/* The job joins its group's line, or leaves it. */
enum sk_code sk_sq_member_place(struct sq_db *db, const struct sq_row *row, bool add);
/* Opens the lines of queue whose time has come, */
enum sk_code sk_sq_lanes_open(struct sq_db *db, struct sq_queue *queue, int *left);
/* and says whether any is open, and when the next one will be, us (SQ_NEVER: unknown). */
enum sk_code sk_sq_lanes_look(struct sq_db *db, const struct sq_queue *queue, bool *open, int64_t *soon_us);
/* Forgets groups without jobs whose bucket is full: `most` at a time; *n says how many. */
enum sk_code sk_sq_groups_expire(struct sq_db *db, int64_t most, int64_t *n);

/* -- sqlite/lock.c: locks, stops, and the room in a queue -------------------------------------------------------------------------- */

/* May this job, which has a lock, a group, or a bounded queue, be added?  Makes room for it then: item->status is SK_OK. */
enum sk_code sk_sq_admit(struct sq_db *db, struct sk_arena *arena, struct sq_queue *queue, struct sk_enqueue_item *item,
                         bool follow);
/* The lock is the job's. */
enum sk_code sk_sq_lock_take(struct sq_db *db, const struct sk_enqueue_item *item);
/* Forgets locks whose time is over, as sk_sq_groups_expire does. */
enum sk_code sk_sq_locks_expire(struct sq_db *db, int64_t most, int64_t *n);
/* A RUNNING job is to stop. */
enum sk_code sk_sq_stop(struct sq_db *db, const struct sq_row *row, struct sk_str id);
/* Those that this engine holds, in arena. */
enum sk_code sk_sq_stops(struct sq_db *db, struct sk_arena *arena, struct sk_str **ids, size_t *n);
/* Lock, slot and stop of a job that has ended, and all it has when it is gone; row->flags says then what is left. */
enum sk_code sk_sq_let_go(struct sq_db *db, struct sq_row *row, bool gone);

/* -- sqlite/bound.c: what queues are bound to ------------------------------------------------------------------------------------- */

/* What op says of queues. */
enum sk_code sk_sq_settings_declare(struct sq_db *db, struct sk_declare_op *op);
enum sk_code sk_sq_settings_list(struct sq_db *db, struct sk_tasks_op *op);
/* Reads the settings from the columns of the statement's row that begin at `column`, in the order of the table of settings. */
void sk_sq_settings_read(sqlite3_stmt *st, int column, struct sk_queue_settings *out);
/* The queue's bucket is no further from full than its numbers allow: the clock may have been set back. */
void sk_sq_settings_clamp(struct sq_db *db, struct sq_queue *queue);
/* How many of `want` jobs may be taken from queue now. */
size_t sk_sq_settings_allows(const struct sq_db *db, const struct sq_queue *queue, size_t want);
/* They were. */
void sk_sq_settings_took(struct sq_db *db, struct sq_queue *queue, size_t n);
static inline bool sk_sq_queue_is_full(const struct sq_queue *queue) {
  return queue->settings.limit.concurrency > 0 && queue->states[SK_STATE_RUNNING] >= queue->settings.limit.concurrency;
}
static inline int64_t sk_sq_now_us(const struct sq_db *db) { return db->now_ms * 1000; }

/* -- sqlite/place.c: whether the files are still those that were opened ---------------------------------------------------------- */

/* Notes which they are. */
enum sk_code sk_sq_place_note(struct sq_db *db);
/* Are they still what their paths name?  SK_EUNAVAILABLE, for ever: no.  Not more often than every second unless `now`. */
enum sk_code sk_sq_place_check(struct sq_db *db, bool now);
/* Before the files are closed: what has their names now is another's, and stays as it is. */
void sk_sq_place_leave(struct sq_db *db);

/* -- sqlite/engines.c: who holds what ------------------------------------------------------------------------------------------- */

enum sk_code sk_sq_lock_open(struct sq_db *db);
/* Locks the byte of engine num; *got is false when another has it. */
enum sk_code sk_sq_lock_byte(struct sq_db *db, int64_t num, bool *got);
/* Does another process, or handle, keep that byte locked?  When in doubt yes: then the lease decides. */
bool sk_sq_byte_is_locked(struct sq_db *db, int64_t num);
/* Tells whoever watches PATH-lock. */
void sk_sq_poke(struct sq_db *db);
/* Makes an engine of this connection, and takes back the jobs of engines that are gone. */
enum sk_code sk_sq_sign_on(struct sq_db *db, struct sk_str name, int64_t lease_ms);
/* Hands back what this engine holds and signs it off. */
enum sk_code sk_sq_sign_off(struct sq_db *db);
/* Sees that this engine's lease was not ended by another; if so it holds nothing any more and is entered anew. */
enum sk_code sk_sq_check_self(struct sq_db *db);
enum sk_code sk_sq_beat(struct sq_db *db, struct sk_beat_op *op);
/* The next step of handing back the jobs of engines that are gone; db->giving says whether there is another one. */
enum sk_code sk_sq_recover(struct sq_db *db, size_t *recovered);

/* Notes the fetch of jobs ns under fence; */
enum sk_code sk_sq_hold(struct sq_db *db, uint64_t fence, const int64_t *ns, size_t n);
/* reads such a note: the numbers, in arena. */
enum sk_code sk_sq_hold_read(struct sq_db *db, struct sk_arena *arena, struct sk_str blob, int64_t **ns, size_t *n);
/* What this engine holds under that fence; NULL: nothing. */
struct sq_hold *sk_sq_hold_find(struct sq_db *db, uint64_t fence);
/* One of its jobs was settled, and that is committed. */
void sk_sq_hold_settled(struct sq_db *db, uint64_t fence);
/* The open transaction ended. */
void sk_sq_holds_end(struct sq_db *db, bool committed);
void sk_sq_holds_free(struct sq_db *db);

/* -- the operations: in a write transaction (sqlite/fetch.c, sqlite/work.c, sqlite/change.c), in a reading one (sqlite/look.c).  A status
 * other than SK_OK means that the transaction must be rolled back. -------------------------------------------------------------------- */

enum sk_code sk_sq_enqueue(struct sq_db *db, struct sk_enqueue_op *op);
enum sk_code sk_sq_fetch(struct sq_db *db, struct sk_fetch_op *op);
enum sk_code sk_sq_settle(struct sq_db *db, struct sk_settle_op *op);
enum sk_code sk_sq_progress(struct sq_db *db, struct sk_progress_op *op);
/* After the commit. */
void sk_sq_fetch_done(struct sq_db *db, struct sk_fetch_op *op);
void sk_sq_settle_done(struct sq_db *db, struct sk_settle_op *op);

enum sk_code sk_sq_change_ids(struct sq_db *db, struct sk_change_op *op);
/* Changes one job if it still is what op's filter asks for. */
enum sk_code sk_sq_change_number(struct sq_db *db, struct sk_change_op *op, int64_t n, size_t *changed);
enum sk_code sk_sq_pause(struct sq_db *db, struct sk_pause_op *op);
enum sk_code sk_sq_declare(struct sq_db *db, struct sk_declare_op *op);
/* Drops a batch of kept records whose time is over; sets db->expiry_due when there are more. */
enum sk_code sk_sq_expire(struct sq_db *db);

enum sk_code sk_sq_count(struct sq_db *db, struct sk_count_op *op);
enum sk_code sk_sq_tasks(struct sq_db *db, struct sk_tasks_op *op);
/* What others see of a job; its texts are row's and text's, in arena. */
enum sk_code sk_sq_view(struct sq_db *db, struct sk_arena *arena, const struct sq_row *row, const struct sq_text *text,
                        struct sk_view *view);
/* What keeps a READY job from being taken, besides the jobs before it. */
enum sk_code sk_sq_find_hindrance(struct sq_db *db, const struct sq_row *row, enum sk_blocked_by *blocked_by);

/* -- walk.c: get and list in steps ------------------------------------------------------------------------------------- */

/* A get or a list at work.  Made by sk_sq_walk_get or sk_sq_walk_list; `step` is called in a reading transaction until `over`.  A step
 * that failed may be done again with the walk as it was before. */
struct sq_walk {
  struct sk_list node; /* the caller's */
  struct sk_op *op;
  enum sk_code (*step)(struct sq_walk *w, struct sq_db *db);
  bool over;
  size_t at;           /* get: ids that are answered */
  int looks;           /* rows that the step may still look at */
  size_t bytes;        /* of the records that the step has read */
  size_t skip;         /* list: jobs that match and are before the offset */
  size_t bytes_listed; /* ... of all views so far, as sk_check_listed counts them */
  size_t views_n;      /* ... views when the last step ended */
  enum sk_state state; /* ... the state whose jobs are listed; SK_STATES: all are */
  int64_t q;           /* ... number of the filter's queue; 0: any */
  int64_t rank;        /* ... READY: the priority that is listed, of `queue` */
  int64_t due, ord;    /* ... the place of the last row, in the order of its state */
  bool entered;        /* ... READY: `queue` is being listed; else the walk goes on behind it */
  size_t queue_n;
  char queue[SK_NAME_BYTES_MAX];
};
void sk_sq_walk_get(struct sq_walk *w, struct sk_get_op *op);
void sk_sq_walk_list(struct sq_walk *w, struct sk_list_op *op);

/* -- sweep.c: changes by filter in steps --------------------------------------------------------------------------------- */

struct sq_sweep {
  struct sk_change_op *op;
  int64_t from; /* jobs up to this number were looked at */
  bool over;    /* all were */
};
void sk_sq_sweep(struct sq_sweep *w, struct sk_change_op *op);
/* In transactions of its own; adds to op->changed. */
enum sk_code sk_sq_sweep_step(struct sq_db *db, struct sq_sweep *w);

#endif
