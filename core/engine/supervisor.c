/* supervisor.c - the workers' lives: started, watched, stopped, buried, replaced.
 *
 * A worker is over when it has exited AND its pipe is drained to the end, so that what it said last still counts.  Then each
 * job it had goes its way:
 *   offered, not started    back to e->local, as if nothing had been
 *   the core killed it      the culprit (hard timeout, memory) has failed; the others are handed back, nothing counted
 *   it died by itself       the job on the CPU (share.h) is the culprit: a crash; when none was, all that had started are suspects
 * and a replacement is started at once, or after a growing pause when workers die before they are ready. */
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/limits.h"
#include "engine/state.h"
#include "logic/wire.h"

enum {
  RESPAWN_MIN_MS = 100,
  RESPAWN_MAX_MS = 5000,
  JANITOR_MS = 50,
  STUCK_MS = 100,        /* a job that keeps the CPU this long blocks its worker */
  MEMORY_EVERY_MS = 250,
  CLOCK_STEP_MS = 50,    /* a smaller step of the wall clock is drift */
};
/* What a worker may have beside its Lua heap before its memory counts as over the cap. */
#define MEMORY_SLACK_BYTES (32u * 1024 * 1024)

uint32_t sk_supervisor_ready_n(const struct sk_engine *e) {
  uint32_t n = 0;
  SK_LIST_EACH(it, &e->workers) n += SK_WORKER_OF(it)->state == SK_WORKER_READY;
  return n;
}

/* -- death ---------------------------------------------------------------------------------------------------------------------- */

static void describe_end(const struct sk_worker *w, char *out, size_t n) {
  if (w->killed == SK_KILL_MEMORY)
    snprintf(out, n, "its worker was over memory_max (%" PRIu64 " bytes) and was killed", w->engine->options.memory_max);
  else if (w->term_signal)
    snprintf(out, n, "its worker died of signal %d (%s)", w->term_signal, strsignal(w->term_signal));
  else
    snprintf(out, n, "its worker exited with status %d", w->exit_status);
}

static int64_t wall_of(int64_t mono_ms) { return mono_ms > 0 ? sk_clock_wall_ms() - (sk_clock_mono_ms() - mono_ms) : 0; }

/* Detaches the run from its dead worker and settles it, or puts it back. */
static void bury_run(struct sk_run *run, const struct sk_worker *w, bool culprit, const char *how) {
  struct sk_engine *e = run->engine;
  bool started = sk_share_is(w->share, run->slot, run->generation, SK_SLOT_STARTED);
  struct sk_outcome o = { .ending = SK_END_HANDED_BACK, .delay_ms = SK_UNSET };
  if (started) o.started_ms = wall_of(atomic_load(&w->share->slots[run->slot].started_ms));
  bool timed_out = culprit && w->killed == SK_KILL_TIMEOUT;
  sk_dispatch_detach(run);
  if (!started && !e->stopping) {
    sk_dispatch_add(e, run, true);
    return;
  }
  char message[200];
  if (timed_out) {
    snprintf(message, sizeof message, "timed out after %.3g s and did not stop: its worker was killed", (double)run->timeout_ms / 1000.0);
    o.ending = SK_END_FAILED;
    o.kind = SK_KIND_TIMEOUT;
    o.message = sk_str_c(message);
  } else if (culprit && started) {
    snprintf(message, sizeof message, "%s while it ran (crash %" PRId64 " of %" PRId64 ")", how, run->job.crashes + 1, e->options.policy.crashes_max);
    o.ending = SK_END_CRASHED;
    o.message = sk_str_c(message);
  }
  sk_settle(run, &o);
}

static void bury_runs(struct sk_worker *w) {
  bool by_itself = w->killed == SK_KILL_NONE || w->killed == SK_KILL_MEMORY || w->killed == SK_KILL_BROKEN;
  if (w->engine->stopping && w->killed == SK_KILL_NONE && w->term_signal == SIGKILL) by_itself = false;
  uint32_t running = atomic_load(&w->share->running);
  bool known = false;
  SK_LIST_EACH(n, &w->runs) {
    const struct sk_run *run = SK_RUN_OF(n);
    known |= running == run->slot + 1 && sk_share_is(w->share, run->slot, run->generation, SK_SLOT_STARTED);
  }
  char how[120];
  describe_end(w, how, sizeof how);
  struct sk_run *guilty = w->culprit;
  for (struct sk_list *n = w->runs.prev, *prev = n->prev; n != &w->runs; n = prev, prev = n->prev) {
    struct sk_run *run = SK_RUN_OF(n);
    bool culprit = by_itself ? !known || running == run->slot + 1 : run == guilty;
    bury_run(run, w, culprit, how);
  }
}

static void free_worker(struct sk_worker *w) {
  sk_list_remove(&w->node);
  sk_pipe_free(w->pipe);
  sk_child_free(w->child);
  sk_share_unmap(w->share);
  free(w->free_slots);
  free(w->by_slot);
  free(w);
}

static enum sk_code spawn(struct sk_engine *e, uint32_t number, struct sk_err *err);

static void respawn(struct sk_engine *e, uint32_t number) {
  struct sk_err err;
  if (spawn(e, number, &err) == SK_OK) return;
  sk_logf(e->log, SK_LOG_ERROR, "worker %u: %s; trying again", number, err.message);
  e->deaths_in_a_row++;
  sk_timer_start(e->respawn, RESPAWN_MIN_MS);
}

/* A worker per number, of the present round; those that are missing are started. */
static void fill_up(struct sk_engine *e) {
  for (uint32_t number = 1; number <= e->options.workers; number++) {
    bool there = false;
    SK_LIST_EACH(n, &e->workers) {
      const struct sk_worker *w = SK_WORKER_OF(n);
      there |= w->number == number && w->round == e->round && w->state != SK_WORKER_DRAINING;
    }
    if (!there) respawn(e, number);
  }
}

static void on_respawn(void *ctx) {
  struct sk_engine *e = ctx;
  if (!e->stopping) fill_up(e);
}

static void respawn_later(struct sk_engine *e) {
  int64_t ms = RESPAWN_MIN_MS;
  for (uint32_t i = 1; i < e->deaths_in_a_row && ms < RESPAWN_MAX_MS; i++) ms *= 2;
  sk_timer_start(e->respawn, ms < RESPAWN_MAX_MS ? ms : RESPAWN_MAX_MS);
}

static void log_death(const struct sk_worker *w, enum sk_log_level level) {
  char number[16], pid[16], signal[48], status[16], jobs[16];
  snprintf(number, sizeof number, "%u", w->number);
  snprintf(pid, sizeof pid, "%d", w->pid);
  snprintf(signal, sizeof signal, "%d", w->term_signal);
  snprintf(status, sizeof status, "%d", w->exit_status);
  snprintf(jobs, sizeof jobs, "%u", w->load);
  struct sk_log_fact facts[] = {
    { "worker", sk_str_c(number) },
    { "pid", sk_str_c(pid) },
    w->term_signal ? (struct sk_log_fact){ "signal", sk_str_c(signal) } : (struct sk_log_fact){ "status", sk_str_c(status) },
    { "jobs", sk_str_c(jobs) },
  };
  sk_log_line(w->engine->log, level, level == SK_LOG_WARN ? SK_STR_LIT("worker died") : SK_STR_LIT("worker ended"), facts, 4);
}

static void bury(struct sk_worker *w) {
  struct sk_engine *e = w->engine;
  bool expected = w->state == SK_WORKER_DRAINING || e->stopping;
  log_death(w, expected ? SK_LOG_DEBUG : SK_LOG_WARN);
  bool was_ready = w->state != SK_WORKER_STARTING;
  bool replace = !expected && w->round == e->round;
  if (!expected) e->totals.workers_died++;
  bury_runs(w);
  uint32_t number = w->number;
  free_worker(w);
  if (replace && was_ready) {
    e->deaths_in_a_row = 0;
    respawn(e, number);
  } else if (replace) {
    e->deaths_in_a_row++;
    if (!e->ever_ready && e->deaths_in_a_row >= e->options.workers) {
      struct sk_err err;
      sk_err_set(&err, SK_EINVAL, "every worker ended before it had loaded the scripts");
      sk_engine_fail(e, &err);
      return;
    }
    respawn_later(e);
  }
  sk_engine_wake(e);
}

static void maybe_bury(struct sk_worker *w) {
  if (w->exited && w->pipe_closed) bury(w);
}

static void on_exited(void *ctx, int exit_status, int term_signal) {
  struct sk_worker *w = ctx;
  w->exited = true;
  w->exit_status = exit_status;
  w->term_signal = term_signal;
  maybe_bury(w);
}

static void on_pipe_closed(void *ctx, const struct sk_err *err) {
  struct sk_worker *w = ctx;
  if (err) sk_logf(w->engine->log, SK_LOG_WARN, "worker %u: %s", w->number, err->message);
  w->pipe_closed = true;
  /* Without its pipe it is of no use, whether or not it lives. */
  if (!w->exited && w->state != SK_WORKER_DRAINING) sk_child_kill(w->child, SIGKILL);
  maybe_bury(w);
}

/* -- birth ---------------------------------------------------------------------------------------------------------------------- */

static enum sk_code start_process(struct sk_worker *w, int share_fd, struct sk_err *err) {
  struct sk_engine *e = w->engine;
  int fds[2];
  enum sk_code code = sk_pipe_pair(fds, err);
  if (code != SK_OK) return code;
  char number[16], concurrency[16], memory[32], parent[16];
  snprintf(number, sizeof number, "%u", w->number);
  snprintf(concurrency, sizeof concurrency, "%u", e->options.concurrency);
  snprintf(memory, sizeof memory, "%" PRIu64, e->options.memory_max);
  snprintf(parent, sizeof parent, "%d", (int)getpid());
  char *argv[] = { "skein", "worker", "run", (char *)(uintptr_t)e->options.dir, number, concurrency, memory, parent, NULL };
  struct sk_child_options child = {
    .file = e->options.program,
    .argv = argv,
    .fds = (int[]){ fds[1], share_fd },
    .fds_n = 2,
    .exited = on_exited,
    .ctx = w,
  };
  w->child = sk_child_spawn(e->loop, &child, err);
  close(fds[1]);
  if (w->child == NULL) {
    close(fds[0]);
    return err->code;
  }
  w->pid = sk_child_pid(w->child);
  struct sk_pipe_events events = { .bytes = sk_link_bytes, .closed = on_pipe_closed, .ctx = w };
  w->pipe = sk_pipe_new(e->loop, fds[0], &events, err);
  if (w->pipe) return SK_OK;
  sk_child_kill(w->child, SIGKILL);
  return err->code;
}

static enum sk_code spawn(struct sk_engine *e, uint32_t number, struct sk_err *err) {
  struct sk_worker *w = calloc(1, sizeof *w);
  if (w == NULL) return sk_err_set(err, SK_ENOMEM, "out of memory");
  *w = (struct sk_worker){ .engine = e, .number = number, .round = e->round, .started_ms = sk_clock_mono_ms() };
  sk_list_init(&w->runs);
  sk_list_init(&w->node);
  uint32_t slots = e->options.concurrency + SK_WORKER_WINDOW;
  w->free_slots = malloc(slots * sizeof *w->free_slots);
  w->by_slot = calloc(slots, sizeof(struct sk_run *));
  for (uint32_t i = slots; w->free_slots && i > 0; i--) w->free_slots[w->free_n++] = i - 1;
  int share_fd = -1;
  enum sk_code code = w->free_slots && w->by_slot ? sk_share_make(slots, &w->share, &share_fd, err) : sk_err_set(err, SK_ENOMEM, "out of memory");
  if (code == SK_OK) {
    code = start_process(w, share_fd, err);
    close(share_fd);
  }
  if (code != SK_OK) {
    free_worker(w);
    return code;
  }
  sk_list_push(&e->workers, &w->node);
  sk_logf(e->log, SK_LOG_INFO, "worker started worker=%u pid=%d", number, w->pid);
  return SK_OK;
}

static void drain(struct sk_worker *w) {
  if (w->state == SK_WORKER_DRAINING) return;
  bool loading = w->state == SK_WORKER_STARTING;
  w->state = SK_WORKER_DRAINING;
  for (struct sk_list *n = w->runs.prev, *prev = n->prev; n != &w->runs; n = prev, prev = n->prev) sk_dispatch_take_back(SK_RUN_OF(n));
  if (loading) {
    sk_supervisor_kill(w, SK_KILL_SHUTDOWN, NULL);
    return;
  }
  struct sk_buf *out = sk_pipe_out(w->pipe);
  sk_wire_end(out, sk_wire_begin(out, SK_FRAME_DRAIN));
}

void sk_supervisor_ready(struct sk_worker *w) {
  struct sk_engine *e = w->engine;
  w->state = SK_WORKER_READY;
  e->deaths_in_a_row = 0;
  e->ever_ready = true;
  /* After a reload: the new one is ready, so the old one of the same number may go. */
  SK_LIST_EACH(n, &e->workers) {
    struct sk_worker *old = SK_WORKER_OF(n);
    if (old->number == w->number && old->round < w->round) drain(old);
  }
  sk_fetch_wake(e);
}

/* -- killing ---------------------------------------------------------------------------------------------------------------------- */

void sk_supervisor_kill(struct sk_worker *w, enum sk_kill why, struct sk_run *culprit) {
  if (w->killed != SK_KILL_NONE || w->exited) return;
  w->killed = why;
  w->culprit = culprit;
  sk_child_kill(w->child, SIGKILL);
}

void sk_supervisor_kill_all(struct sk_engine *e) {
  SK_LIST_EACH(n, &e->workers) sk_supervisor_kill(SK_WORKER_OF(n), SK_KILL_SHUTDOWN, NULL);
}

void sk_supervisor_drain(struct sk_engine *e) {
  SK_LIST_EACH(n, &e->workers) drain(SK_WORKER_OF(n));
}

void sk_supervisor_reload(struct sk_engine *e) {
  e->round++;
  fill_up(e);
}

/* -- hard timeouts ------------------------------------------------------------------------------------------------------------------ */

static int64_t hard_deadline(const struct sk_run *run, int64_t now) {
  const struct sk_share_slot *s = &run->worker->share->slots[run->slot];
  bool started = sk_share_is(run->worker->share, run->slot, run->generation, SK_SLOT_STARTED);
  int64_t from = started ? atomic_load(&s->started_ms) : now;
  return from + run->timeout_ms + SK_HARD_GRACE_MS;
}

static void arm_hard_timer(struct sk_engine *e) {
  struct sk_heap_node *first = sk_heap_first(&e->hard);
  if (first == NULL)
    sk_timer_stop(e->hard_timer);
  else
    sk_timer_start(e->hard_timer, first->key - sk_clock_mono_ms() + 1);
}

void sk_supervisor_watch(struct sk_run *run) {
  struct sk_engine *e = run->engine;
  struct sk_heap_node *before = sk_heap_first(&e->hard);
  if (!sk_heap_insert(&e->hard, &run->hard, hard_deadline(run, sk_clock_mono_ms())))
    sk_logf(e->log, SK_LOG_ERROR, "job %.*s: out of memory, it runs without its hard timeout", SK_STR_ARG(run->id));
  if (sk_heap_first(&e->hard) != before) arm_hard_timer(e);
}

static void on_hard_timer(void *ctx) {
  struct sk_engine *e = ctx;
  int64_t now = sk_clock_mono_ms();
  struct sk_heap_node *first;
  while ((first = sk_heap_first(&e->hard)) != NULL && first->key <= now) {
    struct sk_run *run = SK_CONTAINER(first, struct sk_run, hard);
    sk_heap_remove(&e->hard, first);
    int64_t deadline = hard_deadline(run, now); /* later than at the offer when it waited for its start */
    if (deadline <= now) {
      sk_logf(e->log, SK_LOG_WARN, "job %.*s is past its hard timeout, killing worker %u", SK_STR_ARG(run->id), run->worker->number);
      sk_supervisor_kill(run->worker, SK_KILL_TIMEOUT, run);
    } else if (!sk_heap_insert(&e->hard, &run->hard, deadline)) {
      sk_logf(e->log, SK_LOG_ERROR, "job %.*s: out of memory, it runs without its hard timeout", SK_STR_ARG(run->id));
    }
  }
  arm_hard_timer(e);
}

/* -- the janitor: what no event tells ------------------------------------------------------------------------------------------------ */

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
  uint64_t resident = resident_bytes(w->pid);
  if (resident <= max + MEMORY_SLACK_BYTES) return;
  sk_logf(w->engine->log, SK_LOG_ERROR, "worker %u uses %" PRIu64 " bytes, memory_max is %" PRIu64 ": killing it", w->number, resident, max);
  sk_supervisor_kill(w, SK_KILL_MEMORY, NULL);
}

/* A worker whose job keeps the CPU can't start what it was offered: others may. */
static void check_stuck(struct sk_worker *w, int64_t now) {
  uint32_t running = atomic_load(&w->share->running);
  bool stuck = running != 0 && now - atomic_load(&w->share->running_since_ms) > STUCK_MS;
  if (stuck == w->stuck) return;
  w->stuck = stuck;
  sk_engine_wake(w->engine);
  if (!stuck) return;
  for (struct sk_list *n = w->runs.prev, *prev = n->prev; n != &w->runs; n = prev, prev = n->prev) sk_dispatch_take_back(SK_RUN_OF(n));
}

static void on_janitor(void *ctx) {
  struct sk_engine *e = ctx;
  int64_t now = sk_clock_mono_ms();
  bool memory = e->options.memory_max > 0 && now >= e->memory_at_ms;
  if (memory) e->memory_at_ms = now + MEMORY_EVERY_MS;
  bool busy = false;
  SK_LIST_EACH(n, &e->workers) {
    struct sk_worker *w = SK_WORKER_OF(n);
    busy |= w->load > 0;
    check_stuck(w, now);
    if (memory && !w->exited) check_memory(w);
  }
  int64_t offset = sk_clock_wall_ms() - now;
  if (llabs(offset - e->wall_minus_mono_ms) > CLOCK_STEP_MS) sk_fetch_wake(e); /* due times are wall clock times */
  e->wall_minus_mono_ms = offset;
  sk_timer_start(e->janitor, busy ? JANITOR_MS : 1000);
}

/* Called when a job was handed out: the janitor looks often from now on. */
void sk_supervisor_turn(struct sk_engine *e) {
  if (e->held_n > e->local_n && !e->janitor_busy) {
    e->janitor_busy = true;
    sk_timer_start(e->janitor, JANITOR_MS);
  } else if (e->held_n == 0) {
    e->janitor_busy = false;
  }
}

/* ------------------------------------------------------------------------------------------------------------------------------------ */

enum sk_code sk_supervisor_start(struct sk_engine *e, struct sk_err *err) {
  e->respawn = sk_timer_new(e->loop, on_respawn, e);
  e->hard_timer = sk_timer_new(e->loop, on_hard_timer, e);
  e->janitor = sk_timer_new(e->loop, on_janitor, e);
  if (!e->respawn || !e->hard_timer || !e->janitor) return sk_err_set(err, SK_ENOMEM, "engine: out of memory");
  e->wall_minus_mono_ms = sk_clock_wall_ms() - sk_clock_mono_ms();
  sk_timer_start(e->janitor, 1000);
  for (uint32_t number = 1; number <= e->options.workers; number++) {
    enum sk_code code = spawn(e, number, err);
    if (code != SK_OK) return code;
  }
  return SK_OK;
}

void sk_supervisor_free(struct sk_engine *e) {
  SK_LIST_EACH_SAFE(n, &e->workers) free_worker(SK_WORKER_OF(n));
  sk_timer_free(e->respawn);
  sk_timer_free(e->hard_timer);
  sk_timer_free(e->janitor);
  sk_heap_fini(&e->hard);
}
