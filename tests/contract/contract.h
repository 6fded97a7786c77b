/* contract.h - what the contract tests share: the stores under test, a world per test, and an operation in one line.
 *
 * A world is a fresh store in a folder of its own, a clock that only the test moves, one loop, and the handles opened
 * on it. Whatever is asked through a handle waits for the answer on the loop, and fails the test when the answer came
 * inside the call, twice, or not within GUARD_MS of real time.  Outputs live until the end of the test, or until
 * world_forget. */
#ifndef TESTS_CONTRACT_H
#define TESTS_CONTRACT_H

#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "base/arena.h"
#include "store/store.h"

struct store_under_test {
  const char *name; /* the program's argument */
  /* Writes the URL of a store that is not there yet.  dir: an empty folder of the test's own. */
  void (*fresh_url)(const char *dir, char *url, size_t n);
};
extern const struct store_under_test stores_under_test[];
extern const size_t stores_under_test_n;

/* The path of a redis-server's socket; it holds nothing. */
const char *empty_redis_server(void);

enum {
  GUARD_MS = 20000,
  LEASE_MS = 10000,
  HANDLES_MAX = 16,
};
#define WALL_START_MS 1800000000000LL

struct world;
struct handle {
  struct world *world;
  struct sk_store *store; /* NULL once closed */
  int changed;            /* times that `changed` was called */
  bool busy;              /* inside a call of this handle: no callback may come */
};

struct world {
  const struct store_under_test *kind;
  char dir[64];
  char url[128];
  struct sk_loop *loop;
  struct sk_timer *guard;
  bool rang; /* the guard */
  _Atomic int64_t wall_ms, mono_ms;
  struct handle handles[HANDLES_MAX];
  size_t handles_n;
  struct sk_arena arena; /* records and texts of the test */
  struct sk_op **ops;    /* whose outputs are kept */
  size_t ops_n, ops_cap;
};

int world_setup(void **state);
int world_teardown(void **state);
/* Frees all outputs, records and texts so far. */
void world_forget(struct world *w);
/* Moves both clocks. */
void world_advance(struct world *w, int64_t ms);
void world_await(struct world *w, const bool *flag);
/* Turns the loop until *count is at least `least`. */
void world_await_count(struct world *w, const int *count, int least);

struct handle *open_engine(struct world *w, const char *id);
struct handle *open_client(struct world *w);
void close_handle(struct handle *h);

/* Submits, waits, returns op.status. */
enum sk_code run_enqueue(struct handle *h, struct sk_enqueue_op *op);
enum sk_code run_fetch(struct handle *h, struct sk_fetch_op *op);
enum sk_code run_settle(struct handle *h, struct sk_settle_op *op);
enum sk_code run_beat(struct handle *h, struct sk_beat_op *op);
enum sk_code run_get(struct handle *h, struct sk_get_op *op);
enum sk_code run_list(struct handle *h, struct sk_list_op *op);
enum sk_code run_count(struct handle *h, struct sk_count_op *op);
enum sk_code run_change(struct handle *h, struct sk_change_op *op);
enum sk_code run_pause(struct handle *h, struct sk_pause_op *op);
enum sk_code run_progress(struct handle *h, struct sk_progress_op *op);
enum sk_code run_declare(struct handle *h, struct sk_declare_op *op);
enum sk_code run_backup(struct handle *h, struct sk_backup_op *op);
enum sk_code run_tasks(struct handle *h, struct sk_tasks_op *op);

/* -- one operation in one line; what is not given is queue "q", task "t", priority 0, at once ---------------------- */

struct put {
  const char *id, *queue, *task;
  int32_t priority;
  int64_t due_ms, delay_ms;
  const char *lock, *limit; /* their text forms (logic/lock.h, limit.h) */
};
#define put(h, ...) put_one(h, (struct put){ __VA_ARGS__ })
enum sk_code put_one(struct handle *h, struct put p);
/* Puts a job that its lock must refuse; returns who holds the lock, "" for none. */
#define refused_by(h, ...) put_refused(h, (struct put){ __VA_ARGS__ })
const char *put_refused(struct handle *h, struct put p);
/* Binds a queue (declare). */
#define bind_queue(h, ...) bind_one(h, (struct sk_queue_settings){ __VA_ARGS__ })
void bind_one(struct handle *h, struct sk_queue_settings queue);
/* The same as an item, for a batch. */
struct sk_enqueue_item put_item(struct world *w, struct put p);
#define item(w, ...) put_item(w, (struct put){ __VA_ARGS__ })

/* Fetches `want` from the queues, each with quota `want`; names end with NULL. */
struct sk_fetch_op *take(struct handle *h, size_t want, ...) __attribute__((sentinel));
/* The ids to be stopped in alphabetical order, with spaces between. */
const char *stops_of(struct world *w, const struct sk_fetch_op *op);
/* The held ids in their order, with spaces between. */
const char *ids_of(struct world *w, const struct sk_fetch_op *op);
/* Fetches exactly this job from queue "q". */
struct sk_fetched *take_job(struct handle *h, const char *id);

struct fate {
  enum sk_settle_kind kind;
  int64_t delay_ms, keep_ms;
  const char *to_queue;
  struct sk_str record; /* none: the one it was fetched with; for RELEASE: none */
  uint64_t fence;       /* 0: the right one */
  bool crashed;
  struct sk_enqueue_item *callbacks;
  size_t callbacks_n;
};
#define settle(h, held, ...) settle_one(h, held, (struct fate){ __VA_ARGS__ })
enum sk_code settle_one(struct handle *h, const struct sk_fetched *held, struct fate fate);

struct sk_beat_op *beat(struct handle *h);
/* Beats for as long as it takes to see that the other engines do nothing; the last beat. */
struct sk_beat_op *outlive(struct handle *h);
const struct sk_view *view(struct handle *h, const char *id);
const char *state_of(struct handle *h, const char *id); /* its state's name; "unknown" when there is no such job */
/* The ids of a listing in its order, with spaces between. */
#define listed(h, ...) listed_ids(h, (struct sk_filter){ __VA_ARGS__ }, 0, 1000)
const char *listed_ids(struct handle *h, struct sk_filter filter, size_t offset, size_t limit);
const struct sk_count_op *count(struct handle *h);
int64_t count_state(struct handle *h, const char *queue, enum sk_state state);
/* That queue's counts; fails the test when it is not there. */
const struct sk_queue_count *count_queue(struct handle *h, const char *name);
void set_paused(struct handle *h, const char *queue, bool paused);
/* Changes one job; returns its status. */
enum sk_code change(struct handle *h, enum sk_verb verb, const char *id, int64_t keep_ms);
/* Changes all that match; returns how many. */
size_t change_all(struct handle *h, enum sk_verb verb, struct sk_filter filter, int64_t keep_ms);

struct sk_str text(const char *z);
/* A number from 0 to n - 1; the same seed gives the same numbers. */
int drawn(uint64_t *seed, int n);
struct sk_job decoded(struct sk_str record);
/* The record of a job, in the test's arena. */
struct sk_str record_of(struct world *w, const struct sk_job *job);
/* The record with attempts and crashes set, in the test's arena. */
struct sk_str record_with(struct world *w, struct sk_str record, int64_t attempts, int64_t crashes);

#define assert_code(got, want) assert_string_equal(sk_code_name(got), sk_code_name(want))

/* -- the suites; main.c runs them in this order -------------------------------------------------------------------- */
struct suite {
  const char *name;
  const struct CMUnitTest *tests;
  size_t tests_n;
};
extern const struct suite law_suite, enqueue_suite, fetch_suite, settle_suite, beat_suite, look_suite, change_suite,
    events_suite, lock_suite, limit_suite, rate_suite, turns_suite, bound_suite, rules_suite, admission_suite,
    renew_suite, stop_suite, client_suite, model_suite, steps_suite;
#define SUITE(title, array)                                                                                            \
  { .name = title, .tests = array, .tests_n = sizeof array / sizeof array[0] }

#endif
