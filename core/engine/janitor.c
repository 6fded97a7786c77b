/* janitor.c - polls for what raises no event: workers that are stuck, hang in half a frame or grow, steps of the wall
 * clock, jobs that this engine cannot start soon, a guard that was killed.
 *
 * It looks every JANITOR_MS while workers have jobs, otherwise once a second, and never at the store. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/limits.h"
#include "engine/state.h"
#include "io/guard.h"

enum {
  JANITOR_MS = 50,
  JANITOR_IDLE_MS = 1000,
  STUCK_MS = 100, /* a job that keeps the CPU this long blocks its worker */
  MEMORY_EVERY_MS = 250,
  CLOCK_STEP_MS = 50, /* a smaller change between the clocks is drift */
  LOADING_LONG_MS = 5000,
  SWEPT_AGAIN = 64, /* workers whose programs a new guard looks for */
  HALF_LOOKS = 3,   /* looks in a row that find half a frame: then the worker is broken */
};
/* memory_max is for the Lua heap: a worker may use so much beside it. */
#define MEMORY_SLACK_BYTES (64u * 1024 * 1024)

static uint64_t resident_bytes(int pid) {
  char path[40];
  snprintf(path, sizeof path, "/proc/%d/statm", pid);
  FILE *f = fopen(path, "re");
  if (f == NULL) return 0;
  unsigned long long size = 0, resident = 0;
  int got = fscanf(f, "%llu %llu", &size, &resident);
  fclose(f);
  return got == 2 ? resident * (uint64_t)sysconf(_SC_PAGESIZE) : 0;
}

static void check_memory(struct sk_worker *w) {
  uint64_t max = w->engine->options.memory_max;
  uint64_t resident = w->exited || w->killed != SK_KILL_NONE ? 0 : resident_bytes(w->pid);
  if (resident <= max + MEMORY_SLACK_BYTES) return;
  sk_logf(w->engine->log, SK_LOG_ERROR, "worker %u uses %" PRIu64 " bytes, memory_max is %" PRIu64 ": killing it",
          w->number, resident, max);
  sk_worker_kill(w, SK_KILL_MEMORY, NULL);
}

/* A worker whose job keeps the CPU cannot start other jobs: other workers get them.  Its next frame ends this state,
 * too (worker_frames.c). */
static void check_stuck(struct sk_worker *w, int64_t now) {
  bool stuck = sk_slot_page_running_for_ms(w->slot_page, now) > STUCK_MS;
  if (stuck == w->stuck) return;
  w->stuck = stuck;
  if (stuck) sk_run_take_back_from(w);
  sk_engine_wake(w->engine);
}

/* A script that writes to the worker's pipe, or reads from it, spoils the frames: the core then waits for the rest of a
 * frame for ever.  A worker that no job keeps busy sends the rest of a frame within a turn of its loop. */
static void check_half(struct sk_worker *w, int64_t now) {
  bool half = !w->pipe_closed && sk_pipe_half_for_ms(w->pipe) > SK_HALF_FRAME_MS;
  if (half && sk_slot_page_running_for_ms(w->slot_page, now) >= 0) return;
  w->half_frame_looks = half ? w->half_frame_looks + 1 : 0;
  if (w->half_frame_looks < HALF_LOOKS || w->broken) return;
  sk_logf(w->engine->log, SK_LOG_ERROR, "worker %u has sent half a frame and no more of it for %d s: killing it",
          w->number, SK_HALF_FRAME_MS / 1000);
  w->broken = true;
  sk_worker_kill(w, SK_KILL_BROKEN, NULL);
}

static void check_loading(struct sk_worker *w, int64_t now) {
  if (w->state != SK_WORKER_STARTING || w->slow_told || now - w->started_ms < LOADING_LONG_MS) return;
  w->slow_told = true;
  sk_logf(w->engine->log, SK_LOG_WARN, "worker %u has been loading the scripts for %d s", w->number,
          LOADING_LONG_MS / 1000);
}

static bool is_alive(const struct sk_engine *e, uint64_t serial) {
  SK_LIST_EACH (n, &e->workers)
    if (SK_WORKER_OF(n)->serial == serial) return true;
  return false;
}

/* The guard's process has no part in the engine's work, so somebody may kill it unnoticed.  The workers that have died
 * since are among the last ones that were started. */
static void check_guard(struct sk_engine *e) {
  struct sk_guard *g = e->options.guard;
  if (g == NULL || !sk_guard_is_gone(g)) return;
  struct sk_err err;
  if (sk_guard_restart(g, &err) != SK_OK) {
    if (!e->guard_told) sk_logf(e->log, SK_LOG_ERROR, "%s: programs of jobs may outlive their workers", err.message);
    e->guard_told = true;
    return;
  }
  e->guard_told = false;
  sk_logf(e->log, SK_LOG_WARN, "the guard, which ends the programs of dead workers, was gone; started another");
  uint64_t first = e->serials > SWEPT_AGAIN ? e->serials - SWEPT_AGAIN + 1 : 1;
  for (uint64_t serial = first; serial <= e->serials; serial++)
    if (!is_alive(e, serial)) sk_guard_sweep(g, serial);
}

static void check_clock(struct sk_engine *e, int64_t now) {
  int64_t offset = sk_clock_wall_ms() - now;
  if (llabs(offset - e->wall_minus_mono_ms) > CLOCK_STEP_MS)
    sk_wake_all_queues(e); /* due times are by the wall clock */
  e->wall_minus_mono_ms = offset;
}

static void on_janitor(void *ctx) {
  struct sk_engine *e = ctx;
  int64_t now = sk_clock_mono_ms();
  bool memory = e->options.memory_max > 0 && now >= e->memory_at_ms;
  if (memory) e->memory_at_ms = now + MEMORY_EVERY_MS;
  e->janitor_busy = false;
  SK_LIST_EACH (n, &e->workers) {
    struct sk_worker *w = SK_WORKER_OF(n);
    e->janitor_busy |= w->load > 0;
    check_stuck(w, now);
    check_half(w, now);
    check_loading(w, now);
    if (memory) check_memory(w);
  }
  check_clock(e, now);
  check_guard(e);
  sk_late_handlers_check(e);
  if (sk_engine_runs_n(e) > 0) {
    sk_dispatch_hand_back_surplus(e);
    sk_engine_wake(e); /* dispatch.c evens out loads that have changed without a frame */
  }
  sk_timer_start(e->janitor, e->janitor_busy ? JANITOR_MS : JANITOR_IDLE_MS);
}

/* Looks often from now on if a worker has got a job. */
void sk_janitor_turn(struct sk_engine *e) {
  if (e->janitor_busy || e->given_n == 0) return;
  e->janitor_busy = true;
  sk_timer_start(e->janitor, JANITOR_MS);
}

enum sk_code sk_janitor_init(struct sk_engine *e, struct sk_err *err) {
  e->janitor = sk_timer_new(e->loop, on_janitor, e);
  if (e->janitor == NULL) return sk_err_set(err, SK_ENOMEM, "engine: out of memory");
  e->wall_minus_mono_ms = sk_clock_wall_ms() - sk_clock_mono_ms();
  sk_timer_start(e->janitor, JANITOR_IDLE_MS);
  return SK_OK;
}

void sk_janitor_fini(struct sk_engine *e) { sk_timer_free(e->janitor); }
