/* engine.h - the engine of one `skein run`: it takes jobs from a store, has workers run them, and settles their
 * outcomes.
 *
 * It runs in the core process, on one loop, runs no user code and never blocks.  See ARCHITECTURE.md for the life of a
 * job. */
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
  const struct sk_queue_spec *queues; /* borrowed until the call returns; none: every queue there is, in turns */
  size_t queues_n;
  int64_t shutdown_timeout_ms;
  uint64_t memory_max; /* bytes per worker; 0 = no limit */
  size_t args_bytes_max;
  struct sk_policy policy;
  struct sk_str
      application;          /* owner of the scripts, e.g. their folder: its declaration replaces its last one; copied */
  bool drain;               /* stop when no job is ready, running or due any more */
  const char *program;      /* path of the binary to run as a worker */
  const char *dir;          /* the scripts */
  const struct sk_log *log; /* borrowed */
  struct sk_guard *guard;   /* borrowed; ends the programs of dead workers; NULL: none */
  /* Called when the store is open, before a worker is started.  May be NULL. */
  void (*opened)(void *ctx);
  /* True when a signal has asked for a stop, also before the loop sees it.  May be NULL. */
  bool (*stop_comes)(void *ctx);
  /* Called when the engine has stopped: the loop may be left. */
  void (*stopped)(void *ctx);
  void *ctx;
};

/* Counts since the start of the engine. */
struct sk_engine_totals {
  int64_t done, failed, retried, dead, crashed, released, cancelled, discarded, stale, workers_died;
  int64_t started_ms; /* monotonic */
};

/* Opens the store and starts the workers.  Fetching begins when the first worker has loaded the scripts.  Copies
 * options. */
enum sk_code sk_engine_new(struct sk_loop *loop, const struct sk_engine_options *options, struct sk_engine **out,
                           struct sk_err *err);
/* Only after `stopped` was called, and when sk_engine_left is false. */
void sk_engine_free(struct sk_engine *e);
/* True when it has stopped although the store did not come to an end: the engine and the loop cannot be freed, the
 * process must end. */
bool sk_engine_left(const struct sk_engine *e);

/* Takes no more jobs, lets running jobs end within shutdown_timeout and hands the others back.  With `now`, or when
 * called again, it does not wait for running jobs.  It ends within shutdown_timeout and 3 SK_STOP_STEP_MS, whatever the
 * store does. */
void sk_engine_stop(struct sk_engine *e, bool now);
/* Signals TSTP and CONT: stops fetching, and resumes it.  Jobs that were fetched go on. */
void sk_engine_hold(struct sk_engine *e, bool paused);
/* Signal HUP: starts workers with the scripts as they are now, and drains the old ones. */
void sk_engine_reload(struct sk_engine *e);
/* Takes workers, concurrency, queues, shutdown_timeout, memory_max and policy from options, which are borrowed for the
 * call.  Settings of workers hold for workers that start from now on, so call sk_engine_reload next. */
enum sk_code sk_engine_configure(struct sk_engine *e, const struct sk_engine_options *options, struct sk_err *err);
/* Signal TTIN: logs every running job, and has the workers log their tracebacks. */
void sk_engine_trace(struct sk_engine *e);

/* SK_OK, or the reason why it could not start or go on, in err; scripts that cannot be loaded: SK_EINVAL. */
enum sk_code sk_engine_outcome(const struct sk_engine *e, struct sk_err *err);
const struct sk_engine_totals *sk_engine_totals(const struct sk_engine *e);

#endif
