/* engine.h - one `skein run`: takes jobs from a store, has workers run them, settles what became of them.
 *
 * Runs in the core process, on one loop, and runs no user code.  Never blocks.  See ARCHITECTURE.md for the life of a job. */
#ifndef SK_ENGINE_ENGINE_H
#define SK_ENGINE_ENGINE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "base/log.h"
#include "logic/queues.h"
#include "logic/transition.h"
#include "store/store.h"

struct sk_guard;
struct sk_loop;
struct sk_engine;

struct sk_engine_options {
  struct sk_store_options store; /* url, lease, durability; `engine` is filled in by the engine */
  uint32_t workers;
  uint32_t concurrency;               /* jobs at once per worker */
  const struct sk_queue_spec *queues; /* borrowed until the call returns; none: every queue there is, in turn */
  size_t queues_n;
  int64_t shutdown_timeout_ms;
  uint64_t memory_max; /* bytes per worker; 0 = no limit */
  size_t args_bytes_max;
  struct sk_policy policy;
  struct sk_str
      application; /* whose scripts these are, e.g. their folder: what it declares replaces what it declared; copied */
  bool drain;      /* stop when nothing is ready, running or due any more */
  const char *program;      /* path of the binary to run as a worker */
  const char *dir;          /* the scripts */
  const struct sk_log *log; /* borrowed */
  struct sk_guard *guard;   /* borrowed; ends what workers have started; NULL: none */
  /* The store is open, no worker was started yet.  May be NULL. */
  void (*opened)(void *ctx);
  /* Was the engine told to stop by a signal of which the loop has not heard yet?  May be NULL. */
  bool (*stop_comes)(void *ctx);
  /* The engine has stopped; the loop may be left. */
  void (*stopped)(void *ctx);
  void *ctx;
};

/* What the engine has done since it started. */
struct sk_engine_totals {
  int64_t done, failed, retried, dead, crashed, released, cancelled, discarded, stale, workers_died;
  int64_t started_ms; /* monotonic */
};

/* Opens the store and starts the workers.  Fetching begins when the first of them has loaded the scripts.  options is copied. */
enum sk_code sk_engine_new(struct sk_loop *loop, const struct sk_engine_options *options, struct sk_engine **out,
                           struct sk_err *err);
/* Only after `stopped` was called, and when sk_engine_left is false. */
void sk_engine_free(struct sk_engine *e);
/* It has stopped with a store that does not come to an end: neither the engine nor the loop can be freed, the process must end. */
bool sk_engine_left(const struct sk_engine *e);

/* Takes no more jobs, lets running ones finish for shutdown_timeout, hands the rest back.  When called again, or with now,
 * does not wait for them.  Ends within shutdown_timeout and 3 SK_STOP_STEP_MS, whatever the store does. */
void sk_engine_stop(struct sk_engine *e, bool now);
/* TSTP and CONT: stops and resumes fetching; jobs that were fetched go on. */
void sk_engine_hold(struct sk_engine *e, bool paused);
/* HUP: starts workers with the scripts as they are now and drains the old ones. */
void sk_engine_reload(struct sk_engine *e);
/* Takes workers, concurrency, queues, shutdown_timeout, memory_max and policy from options, which is lent for the call.  What concerns
 * workers holds for those that start from now on: reload next. */
enum sk_code sk_engine_configure(struct sk_engine *e, const struct sk_engine_options *options, struct sk_err *err);
/* TTIN: logs every running job, and has the workers log their tracebacks. */
void sk_engine_trace(struct sk_engine *e);

/* SK_OK, or why it stopped before it could start: err's code and sentence (scripts that can't be loaded: SK_EINVAL). */
enum sk_code sk_engine_outcome(const struct sk_engine *e, struct sk_err *err);
const struct sk_engine_totals *sk_engine_totals(const struct sk_engine *e);

#endif
