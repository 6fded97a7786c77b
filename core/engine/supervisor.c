/* supervisor.c - the life of workers: started, ready, drained or dead, reaped, replaced.
 *
 *   spawn ──► STARTING ──HELLO──► READY ──reload, stop──► DRAINING ──► reaped
 *                 │                 └───────────────────dies─────────────▲
 *                 └──refuses, dies, out of date──────────────────────────┘
 *
 * A worker is reaped when it has exited and every frame that it sent has been read, so that its last frames still
 * count.  reap.c says what becomes of its jobs.
 *
 * ROUNDS.  The scripts are loaded in rounds: a first one, and one for each reload.  When the first worker of a new
 * round is ready, all workers of older rounds are drained, so all READY workers know the same tasks.  When the workers
 * of a new round cannot load the scripts, or die of them, the workers of the round before stay; a missing worker is
 * then started again after a growing pause. */
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/limits.h"
#include "engine/output.h"
#include "engine/state.h"
#include "io/guard.h"
#include "logic/wire.h"

enum {
  RESPAWN_MIN_MS = 100,
  RESPAWN_MAX_MS = 5000,
  LOAD_DEATHS_MIN = 3, /* so many workers in a row must die while loading before the scripts are to blame */
};

/* -- birth --------------------------------------------------------------------------------------------------------- */

static void maybe_reap(struct sk_worker *w);

/* Ends the programs that the worker's jobs have started: they must not run beside the jobs' next attempts. */
static void end_programs(const struct sk_worker *w) {
  sk_child_kill_group(w->child);
  if (w->engine->options.guard) sk_guard_sweep(w->engine->options.guard, w->serial);
}

static void on_exited(void *ctx, int exit_status, int term_signal) {
  struct sk_worker *w = ctx;
  w->exited = true;
  w->not_read = false; /* its last frames still count */
  w->exit_status = exit_status;
  w->term_signal = term_signal;
  end_programs(w);
  if (w->pipe_closed)
    maybe_reap(w);
  else
    sk_pipe_drain(w->pipe); /* ends with on_pipe_closed */
}

static void on_pipe_closed(void *ctx, const struct sk_err *err) {
  struct sk_worker *w = ctx;
  w->pipe_closed = true;
  if (err) {
    sk_logf(w->engine->log, SK_LOG_ERROR, "worker %u: %s; killing it", w->number, err->message);
    sk_worker_kill(w, SK_KILL_UNREACHABLE, NULL);
  } else if (!w->exited) {
    sk_child_kill(w->child, SIGKILL); /* of no use without its pipe; does nothing to one that exits by itself */
  }
  maybe_reap(w);
}

/* The worker has read its pipe: it may get jobs and answers again. */
static void on_pipe_sent(void *ctx) {
  const struct sk_worker *w = ctx;
  sk_engine_wake(w->engine);
}

static void free_worker(struct sk_worker *w) {
  sk_intake_fini(w);
  sk_list_remove(&w->node);
  sk_pipe_free(w->pipe);
  for (int i = 0; i < 2; i++) sk_output_free(w->output[i]);
  sk_child_free(w->child);
  sk_slot_page_unmap(w->slot_page, w->slots_n);
  free(w->free_slots);
  free(w->by_slot);
  free(w);
}

static bool is_same_file(const char *path, const struct stat *as) {
  struct stat st;
  return stat(path, &st) == 0 && st.st_dev == as->st_dev && st.st_ino == as->st_ino;
}

/* The path of the binary that the engine was started from, even if another one has been installed in its place: the
 * core and its workers must use the same frames. */
static const char *program_of(const struct sk_engine *e) {
  static const char self[] = "/proc/self/exe";
  bool replaced = e->program.st_ino != 0 && !is_same_file(e->options.program, &e->program);
  return replaced && is_same_file(self, &e->program) ? self : e->options.program;
}

/* Starts the process with its ends of the pipe and of the shared memory.  Nothing after it can fail, so no process is
 * left behind. */
static enum sk_code start_process(struct sk_worker *w, const int fds[2], const int output[2], struct sk_err *err) {
  struct sk_engine *e = w->engine;
  char number[16], concurrency[16], memory[32], parent[16];
  snprintf(number, sizeof number, "%u", w->number);
  snprintf(concurrency, sizeof concurrency, "%u", e->options.concurrency);
  snprintf(memory, sizeof memory, "%" PRIu64, e->options.memory_max);
  snprintf(parent, sizeof parent, "%d", (int)getpid());
  char *argv[] = { "skein", "worker", "run", (char *)(uintptr_t)e->options.dir, number, concurrency,
                   memory,  parent,   NULL };
  char mark[SK_GUARD_MARK_BYTES];
  if (e->options.guard) sk_guard_mark(e->options.guard, w->serial, mark);
  struct sk_child_options child = { .file = program_of(e),
                                    .argv = argv,
                                    .fds = fds,
                                    .fds_n = 2,
                                    .mark = e->options.guard ? mark : NULL,
                                    .out_fd = output[0],
                                    .err_fd = output[1],
                                    .exited = on_exited,
                                    .ctx = w };
  w->child = sk_child_spawn(e->loop, &child, err);
  if (w->child == NULL) return err->code;
  w->pid = sk_child_pid(w->child);
  for (int i = 0; i < 2; i++) sk_output_set_pid(w->output[i], w->pid);
  return SK_OK;
}

/* The same, with readers of its stdout and stderr. */
static enum sk_code start_with_output(struct sk_worker *w, const int fds[2], struct sk_err *err) {
  static const enum sk_log_level levels[2] = { SK_LOG_INFO, SK_LOG_WARN };
  int ends[2] = { -1, -1 };
  enum sk_code code = SK_OK;
  for (int i = 0; i < 2 && code == SK_OK; i++) {
    const struct sk_output_options o = { .log = w->engine->log, .level = levels[i], .worker = w->number };
    w->output[i] = sk_output_new(w->engine->loop, &o, &ends[i], err);
    if (w->output[i] == NULL) code = err->code;
  }
  if (code == SK_OK) code = start_process(w, fds, ends, err);
  for (int i = 0; i < 2; i++)
    if (ends[i] >= 0) close(ends[i]);
  return code;
}

static enum sk_code connect_worker(struct sk_worker *w, struct sk_err *err) {
  int slot_page_fd, pair[2];
  enum sk_code code = sk_slot_page_make(w->slots_n, &w->slot_page, &slot_page_fd, err);
  if (code != SK_OK) return code;
  code = sk_pipe_pair(pair, err);
  if (code == SK_OK) {
    struct sk_pipe_events events = {
      .bytes = w->engine->on_bytes, .closed = on_pipe_closed, .sent = on_pipe_sent, .ctx = w
    };
    w->pipe = sk_pipe_new(w->engine->loop, pair[0], &events, err);
    code = w->pipe ? start_with_output(w, (int[]){ pair[1], slot_page_fd }, err) : err->code;
    close(pair[1]);
  }
  close(slot_page_fd);
  return code;
}

static enum sk_code spawn(struct sk_engine *e, uint32_t number, struct sk_err *err) {
  struct sk_worker *w = calloc(1, sizeof *w);
  if (w == NULL) return sk_err_set(err, SK_ENOMEM, "start of worker %u: out of memory", number);
  *w = (struct sk_worker){
    .engine = e, .number = number, .serial = ++e->serials, .round = e->round, .started_ms = sk_clock_mono_ms()
  };
  sk_list_init(&w->runs);
  sk_intake_init(w);
  sk_list_init(&w->node);
  w->slots_n = e->options.concurrency + SK_WORKER_WINDOW;
  w->free_slots = calloc(w->slots_n, sizeof *w->free_slots);
  w->by_slot = calloc(w->slots_n, sizeof(struct sk_run *));
  for (uint32_t i = w->slots_n; w->free_slots && i > 0; i--) w->free_slots[w->free_n++] = i - 1;
  enum sk_code code = w->free_slots && w->by_slot
                          ? connect_worker(w, err)
                          : sk_err_set(err, SK_ENOMEM, "start of worker %u: out of memory", number);
  if (code != SK_OK) {
    free_worker(w);
    return code;
  }
  sk_list_push(&e->workers, &w->node);
  char name[16], pid[16];
  snprintf(name, sizeof name, "%u", number);
  snprintf(pid, sizeof pid, "%d", w->pid);
  struct sk_log_fact facts[] = {
    { .key = "worker", .value = sk_str_c(name), .number = true },
    { .key = "pid", .value = sk_str_c(pid), .number = true },
  };
  sk_log_line(e->log, SK_LOG_INFO, SK_STR_LIT("worker started"), facts, 2);
  return SK_OK;
}

/* -- replacement --------------------------------------------------------------------------------------------------- */

/* True when a worker of that number runs jobs, or will. */
static bool has_worker(const struct sk_engine *e, uint32_t number) {
  SK_LIST_EACH (n, &e->workers) {
    const struct sk_worker *w = SK_WORKER_OF(n);
    if (w->number != number || w->state == SK_WORKER_DRAINING) continue;
    if (w->round == e->round || (e->refused && w->state == SK_WORKER_READY)) return true;
  }
  return false;
}

static void respawn_later(struct sk_engine *e) {
  int64_t ms = RESPAWN_MIN_MS;
  for (uint32_t i = 1; i < e->deaths_in_a_row && ms < RESPAWN_MAX_MS; i++) ms *= 2;
  sk_timer_start(e->respawn, ms < RESPAWN_MAX_MS ? ms : RESPAWN_MAX_MS);
}

static void respawn(struct sk_engine *e, uint32_t number) {
  struct sk_err err;
  if (spawn(e, number, &err) == SK_OK) return;
  sk_logf(e->log, SK_LOG_ERROR, "worker %u: %s; trying again", number, err.message);
  e->deaths_in_a_row++;
  respawn_later(e);
}

static void fill_up(struct sk_engine *e) {
  for (uint32_t number = 1; number <= e->options.workers; number++)
    if (!has_worker(e, number)) respawn(e, number);
}

static void on_respawn(void *ctx) {
  struct sk_engine *e = ctx;
  if (!sk_engine_is_ending(e)) fill_up(e);
}

/* -- rounds -------------------------------------------------------------------------------------------------------- */

bool sk_supervisor_is_new_round(const struct sk_worker *w) {
  return w->state == SK_WORKER_STARTING && (!w->engine->ever_ready || w->round > w->engine->ready_round);
}

void sk_supervisor_ready(struct sk_worker *w) {
  struct sk_engine *e = w->engine;
  bool first = !e->ever_ready || w->round > e->ready_round;
  w->state = SK_WORKER_READY;
  e->deaths_in_a_row = 0;
  e->ever_ready = true;
  if (first) {
    e->ready_round = w->round;
    e->refused = false;
    SK_LIST_EACH (n, &e->workers)
      if (SK_WORKER_OF(n)->round < w->round) sk_worker_drain(SK_WORKER_OF(n));
    sk_fetch_find_tasks(e);
    if (!sk_engine_is_ending(e)) fill_up(e);
  }
  sk_wake_fetch(e);
}

/* The scripts of this round cannot be loaded: the workers of the round before go on. */
static void give_up_round(struct sk_engine *e, const char *why) {
  e->refused = true;
  sk_logf(e->log, SK_LOG_ERROR, "the scripts cannot be loaded, the old ones stay in use: %s", why);
  SK_LIST_EACH (n, &e->workers)
    if (SK_WORKER_OF(n)->state == SK_WORKER_STARTING) sk_worker_drain(SK_WORKER_OF(n));
}

void sk_supervisor_refused(struct sk_worker *w, struct sk_str message) {
  struct sk_engine *e = w->engine;
  if (w->state != SK_WORKER_STARTING) return;
  w->refused = true;
  struct sk_err err;
  sk_err_set(&err, SK_EINVAL, "%.*s", SK_STR_ARG(message));
  if (!e->ever_ready)
    sk_engine_fail(e, &err);
  else if (w->round > e->ready_round && !e->refused)
    give_up_round(e, err.message);
  else
    sk_logf(e->log, SK_LOG_ERROR, "worker %u cannot load the scripts, trying again: %s", w->number, err.message);
}

void sk_supervisor_reload(struct sk_engine *e) {
  e->round++;
  e->refused = false;
  e->deaths_in_a_row = 0;
  SK_LIST_EACH (n, &e->workers)
    if (SK_WORKER_OF(n)->state == SK_WORKER_STARTING)
      sk_worker_drain(SK_WORKER_OF(n)); /* it loads scripts that are out of date */
  fill_up(e);
}

/* -- death --------------------------------------------------------------------------------------------------------- */

/* True when the core asked for this end, and no job was cut short. */
static bool ended_well(const struct sk_worker *w) {
  if (w->killed == SK_KILL_SHUTDOWN || w->refused) return true;
  bool asked = w->state == SK_WORKER_DRAINING || w->engine->stopping;
  return asked && w->load == 0 && w->exit_status == 0 && w->term_signal == 0;
}

static void log_end(const struct sk_worker *w, bool well) {
  char number[16], pid[16], signal[16], status[16], jobs[16];
  snprintf(number, sizeof number, "%u", w->number);
  snprintf(pid, sizeof pid, "%d", w->pid);
  snprintf(signal, sizeof signal, "%d", w->term_signal);
  snprintf(status, sizeof status, "%d", w->exit_status);
  snprintf(jobs, sizeof jobs, "%u", w->load);
  struct sk_log_fact facts[] = {
    { .key = "worker", .value = sk_str_c(number), .number = true },
    { .key = "pid", .value = sk_str_c(pid), .number = true },
    { .key = w->term_signal ? "signal" : "status",
      .value = sk_str_c(w->term_signal ? signal : status),
      .number = true },
    { .key = "jobs", .value = sk_str_c(jobs), .number = true },
  };
  sk_log_line(w->engine->log, well ? SK_LOG_DEBUG : SK_LOG_WARN,
              well ? SK_STR_LIT("worker ended") : SK_STR_LIT("worker died"), facts, 4);
}

/* A worker died while it loaded the scripts, and gave no reason. */
static void died_loading(struct sk_engine *e, uint64_t round, const char *how) {
  uint32_t enough = e->options.workers > LOAD_DEATHS_MIN ? e->options.workers : LOAD_DEATHS_MIN;
  if (++e->deaths_in_a_row < enough || (e->ever_ready && (round == e->ready_round || e->refused))) return;
  struct sk_err err;
  sk_err_set(&err, SK_EINVAL, "%u workers in a row died while they loaded the scripts (the last one %s)",
             e->deaths_in_a_row, how);
  if (e->ever_ready)
    give_up_round(e, err.message);
  else
    sk_engine_fail(e, &err);
}

static void reap(struct sk_worker *w) {
  struct sk_engine *e = w->engine;
  bool well = ended_well(w);
  log_end(w, well);
  if (!well) e->totals.workers_died++;
  sk_reap_runs(w);
  const struct sk_worker end = *w;
  char how[SK_REAP_HOW_BYTES];
  sk_reap_describe(w, how);
  free_worker(w);
  sk_requests_abandon(e->requests, end.serial);
  sk_engine_wake(e);
  if (e->stopping) {
    if (end.state == SK_WORKER_STARTING || end.refused)
      sk_late_handlers_give_up(e); /* another worker would end in the same way */
    return;
  }
  if (end.state == SK_WORKER_STARTING && !end.refused)
    died_loading(e, end.round, how);
  else if (end.refused || (end.state == SK_WORKER_READY && !end.used))
    e->deaths_in_a_row++; /* no job has killed it: the next worker may die at once, too */
  if (sk_engine_is_ending(e) || has_worker(e, end.number)) return;
  if (end.state == SK_WORKER_READY && end.used)
    respawn(e, end.number);
  else
    respawn_later(e);
}

static void maybe_reap(struct sk_worker *w) {
  if (w->exited && w->pipe_closed) reap(w);
}

void sk_supervisor_abandon_all(struct sk_engine *e) {
  SK_LIST_EACH_SAFE(n, &e->workers) {
    struct sk_worker *w = SK_WORKER_OF(n);
    sk_logf(e->log, SK_LOG_ERROR, "worker %u (pid %d) was killed and has not exited; stopping without it", w->number,
            w->pid);
    reap(w);
  }
}

/* -- start --------------------------------------------------------------------------------------------------------- */

enum sk_code sk_supervisor_init(struct sk_engine *e, size_t (*on_bytes)(void *worker, struct sk_str in),
                                struct sk_err *err) {
  e->on_bytes = on_bytes;
  e->respawn = sk_timer_new(e->loop, on_respawn, e);
  if (stat(e->options.program, &e->program) != 0) e->program.st_ino = 0; /* the start of a worker gives the reason */
  return e->respawn ? SK_OK : sk_err_set(err, SK_ENOMEM, "engine: out of memory");
}

bool sk_supervisor_add_one(struct sk_engine *e) {
  struct sk_err err;
  if (spawn(e, 1, &err) == SK_OK) return true;
  sk_logf(e->log, SK_LOG_ERROR, "worker 1: %s", err.message);
  return false;
}

enum sk_code sk_supervisor_start(struct sk_engine *e, struct sk_err *err) {
  enum sk_code code = SK_OK;
  for (uint32_t number = 1; number <= e->options.workers && code == SK_OK; number++) code = spawn(e, number, err);
  return code;
}

void sk_supervisor_fini(struct sk_engine *e) { sk_timer_free(e->respawn); }
