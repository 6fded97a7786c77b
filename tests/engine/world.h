/* world.h - one engine for a test: the real one, with real workers of the binary beside the test program, on a memory
 * store that the test looks into through a handle of its own.  Included by the tests of this folder after cmocka.h.
 *
 * Scripts see the globals `fx(name, ...)`, which appends a line to a file that the test reads, `pid`, and
 * `await(name)`, which sleeps until the test has made the file `name`.  Nothing here sleeps for a result: until() turns
 * the loop until a condition holds. */
#ifndef TESTS_ENGINE_WORLD_H
#define TESTS_ENGINE_WORLD_H

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/id.h"
#include "base/limits.h"
#include "engine/state.h"
#include "logic/record.h"

enum { PATIENCE_MS = 20000, TICK_MS = 2, IDS_MAX = 20000 };

/* A store in front of the real one, which fails operations or keeps them back as the test asks. */
enum { OP_ENQUEUE, OP_FETCH, OP_SETTLE, OP_BEAT, OP_GET, OP_COUNT, OP_DECLARE, OP_PROGRESS, OPS };
struct gate {
  struct sk_store store; /* the store that the engine uses */
  struct sk_store *real;
  struct sk_loop *loop;
  struct sk_defer *answers;
  struct sk_list failed; /* operations to answer with SK_EUNAVAILABLE */
  struct sk_list kept;   /* operations that wait until they are let through */
  bool fail[OPS], keep[OPS];
  struct sk_str refuse;     /* id of a job: a settle with it is refused, unless the job is to be dead */
  bool refuse_dead;         /* refuses it also when the job is to be dead */
  enum sk_code refuse_code; /* the status of a refused settle */
  long calls[OPS];
  long moving_n; /* so many counts say that the store changed meanwhile */
  void (*moving_cb)(struct sk_op *op, void *ctx);
  void *moving_ctx;
};

struct world {
  char dir[64], program[512], log_path[96];
  struct sk_loop *loop;
  struct sk_timer *tick;
  struct sk_log log;
  struct sk_store *client; /* the test's own handle */
  struct sk_engine_options options;
  struct sk_engine *engine;
  struct gate gate;
  bool stopped, has_engine;
  struct sk_idgen ids;
};

/* -- files --------------------------------------------------------------------------------------------------------- */

static inline void write_file(const struct world *w, const char *name, const char *text) {
  char path[256], tmp[270];
  snprintf(path, sizeof path, "%s/%s", w->dir, name);
  snprintf(tmp, sizeof tmp, "%s.tmp", path);
  FILE *f = fopen(tmp, "w");
  assert_non_null(f);
  fputs(text, f);
  fclose(f);
  assert_int_equal(rename(tmp, path), 0);
}

static inline void script(const struct world *w, const char *text) {
  static const char prelude[] =
      "local skein = require 'skein' local ffi = require 'ffi' local uv = require 'luv' local DIR = '%s' "
      "pcall(ffi.cdef, 'int getpid(void); int fork(void); unsigned sleep(unsigned); void _exit(int); long write(int, "
      "const void *, size_t); "
      "int ftruncate(int, long); void *mmap(void *, size_t, int, int, int, long); int close(int); int kill(int, "
      "int);') "
      "local pid = uv.os_getpid() "
      "local function fx(...) local t = {...} for i = 1, #t do t[i] = tostring(t[i]) end "
      "local f = io.open(DIR .. '/fx', 'a') f:write(table.concat(t, ' '), '\\n') f:close() end "
      "local function there(name) local f = io.open(DIR .. '/' .. name) if f then f:close() end return f ~= nil end "
      "local function await(name) while not there(name) do skein.sleep(0.002) end end "
      "local function burn(ms) local t = uv.hrtime() + ms * 1e6 while uv.hrtime() < t do end end "
      "local _ = { fx, there, await, burn, pid } ";
  char *all = malloc(sizeof prelude + strlen(w->dir) + strlen(text) + 2);
  int n = sprintf(all, prelude, w->dir);
  strcpy(all + n, text);
  char name[] = "scripts/main.lua";
  write_file(w, name, all);
  free(all);
}

/* Lines of a file that begin with a word; the last of them in `last` (may be NULL). */
static inline int count_lines(const char *path, const char *has, char *last, size_t last_n) {
  FILE *f = fopen(path, "r");
  if (f == NULL) return 0;
  char line[8192];
  int n = 0;
  while (fgets(line, sizeof line, f)) {
    if (strstr(line, has) == NULL) continue;
    n++;
    line[strcspn(line, "\n")] = '\0';
    if (last) snprintf(last, last_n, "%.*s", (int)last_n - 1, line);
  }
  fclose(f);
  return n;
}

static inline int effects(const struct world *w, const char *has) {
  char path[96];
  snprintf(path, sizeof path, "%s/fx", w->dir);
  return count_lines(path, has, NULL, 0);
}

static inline void last_effect(const struct world *w, const char *has, char *out, size_t n) {
  char path[96];
  snprintf(path, sizeof path, "%s/fx", w->dir);
  out[0] = '\0';
  count_lines(path, has, out, n);
}

static inline int logged(const struct world *w, const char *has) { return count_lines(w->log_path, has, NULL, 0); }

static inline void show_log(const struct world *w) {
  char command[128];
  snprintf(command, sizeof command, "tail -n 40 %s >&2", w->log_path);
  if (system(command) != 0) fputs("no log\n", stderr);
  const struct sk_engine *e = w->engine;
  if (e == NULL) return;
  fprintf(stderr,
          "held=%zu local=%zu given=%zu suspects=%zu settling=%zu+%zu fetching=%d wanted=%d backoff=%lld due=%d "
          "room=%lld troubles=%x\n",
          sk_engine_runs_n(e), e->local_n, e->given_n, e->suspects_n, e->settling_n, e->settles_in_flight, e->fetching,
          e->fetch_wanted, (long long)e->fetch_backoff_ms, sk_timer_active(e->due), (long long)sk_pace_capacity(e),
          e->troubles);
  fprintf(stderr, "round=%llu ready_round=%llu refused=%d ever_ready=%d stopping=%d deaths=%u respawn=%d\n",
          (unsigned long long)e->round, (unsigned long long)e->ready_round, e->refused, e->ever_ready, e->stopping,
          e->deaths_in_a_row, sk_timer_active(e->respawn));
  SK_LIST_EACH (n, &e->workers) {
    const struct sk_worker *worker = SK_WORKER_OF(n);
    fprintf(stderr, "worker %u pid=%d state=%d round=%llu load=%u stuck=%d killed=%d exited=%d closed=%d\n",
            worker->number, worker->pid, worker->state, (unsigned long long)worker->round, worker->load, worker->stuck,
            worker->killed, worker->exited, worker->pipe_closed);
  }
}

/* -- the loop ------------------------------------------------------------------------------------------------------ */

static inline void on_tick(void *ctx) {
  struct world *w = ctx;
  sk_timer_start(w->tick, TICK_MS);
}

#define until(w, condition)                                                                                            \
  do {                                                                                                                 \
    int64_t until_ = sk_clock_mono_ms() + PATIENCE_MS;                                                                 \
    while (!(condition)) {                                                                                             \
      if (sk_clock_mono_ms() > until_) {                                                                               \
        show_log(w);                                                                                                   \
        fail_msg("in vain for %d s: %s (%s:%d)", PATIENCE_MS / 1000, #condition, __FILE__, __LINE__);                  \
      }                                                                                                                \
      sk_loop_turn((w)->loop, true);                                                                                   \
    }                                                                                                                  \
  } while (0)

/* Turns the loop for a time in which something must not happen. */
static inline void turn_for(struct world *w, int64_t ms) {
  for (int64_t end = sk_clock_mono_ms() + ms; sk_clock_mono_ms() < end;) sk_loop_turn(w->loop, true);
}

static inline void set_flag(void *ctx) { *(bool *)ctx = true; }

static inline void op_done(struct sk_op *op, void *ctx) {
  (void)op;
  set_flag(ctx);
}

/* Runs one operation on the test's own handle. */
#define look(w, verb, o)                                                                                               \
  do {                                                                                                                 \
    bool done_ = false;                                                                                                \
    (o)->op.cb = op_done;                                                                                              \
    (o)->op.ctx = &done_;                                                                                              \
    (w)->client->ops->verb((w)->client, (o));                                                                          \
    until((w), done_);                                                                                                 \
    assert_int_equal((o)->op.status, SK_OK);                                                                           \
  } while (0)

/* -- the gate ------------------------------------------------------------------------------------------------------ */

static inline void answer_failed(void *ctx) {
  struct gate *g = ctx;
  struct sk_list *n;
  while ((n = sk_list_pop(&g->failed)) != NULL) {
    struct sk_op *op = SK_CONTAINER(n, struct sk_op, node);
    bool refused = op->kind == OP_SETTLE && !g->fail[OP_SETTLE] && g->refuse.n;
    op->status = refused ? sk_err_set(&op->err, g->refuse_code, "the test's store refuses it")
                         : sk_err_set(&op->err, SK_EUNAVAILABLE, "the test's store is away");
    op->cb(op, op->ctx);
  }
}

/* True when the gate keeps the operation, to answer it or let it through later. */
static inline bool gate_stops(struct gate *g, struct sk_op *op, int kind) {
  g->calls[kind]++;
  if (!g->fail[kind] && !g->keep[kind]) return false;
  op->kind = kind;
  op->arena = (struct sk_arena){ 0 };
  sk_list_push(g->fail[kind] ? &g->failed : &g->kept, &op->node);
  if (g->fail[kind]) sk_defer_mark(g->answers);
  return true;
}

#define GATE(verb, KIND)                                                                                               \
  static inline void gate_##verb(struct sk_store *s, struct sk_##verb##_op *op) {                                      \
    struct gate *g = SK_CONTAINER(s, struct gate, store);                                                              \
    if (!gate_stops(g, &op->op, KIND)) g->real->ops->verb(g->real, op);                                                \
  }
GATE(enqueue, OP_ENQUEUE)
GATE(fetch, OP_FETCH)
GATE(beat, OP_BEAT)
GATE(get, OP_GET)
GATE(declare, OP_DECLARE)
GATE(progress, OP_PROGRESS)
#undef GATE

static inline bool gate_refuses(const struct gate *g, const struct sk_settle_op *op) {
  for (size_t i = 0; i < op->items_n; i++)
    if (sk_str_eq(op->items[i].id, g->refuse) && (g->refuse_dead || op->items[i].kind != SK_SETTLE_DEAD)) return true;
  return false;
}

static inline void answer_moving(struct sk_op *op, void *ctx) {
  struct gate *g = ctx;
  ((struct sk_count_op *)(void *)op)->moving = true;
  op->cb = g->moving_cb;
  op->ctx = g->moving_ctx;
  op->cb(op, op->ctx);
}

static inline void gate_count(struct sk_store *s, struct sk_count_op *op) {
  struct gate *g = SK_CONTAINER(s, struct gate, store);
  if (gate_stops(g, &op->op, OP_COUNT)) return;
  if (g->moving_n > 0) {
    g->moving_n--;
    g->moving_cb = op->op.cb;
    g->moving_ctx = op->op.ctx;
    op->op.cb = answer_moving;
    op->op.ctx = g;
  }
  g->real->ops->count(g->real, op);
}

static inline void gate_settle(struct sk_store *s, struct sk_settle_op *op) {
  struct gate *g = SK_CONTAINER(s, struct gate, store);
  if (gate_stops(g, &op->op, OP_SETTLE)) return;
  if (!gate_refuses(g, op)) {
    g->real->ops->settle(g->real, op);
    return;
  }
  op->op.kind = OP_SETTLE;
  op->op.arena = (struct sk_arena){ 0 };
  sk_list_push(&g->failed, &op->op.node);
  sk_defer_mark(g->answers);
}
#define PASS(verb)                                                                                                     \
  static inline void gate_##verb(struct sk_store *s, struct sk_##verb##_op *op) {                                      \
    struct gate *g = SK_CONTAINER(s, struct gate, store);                                                              \
    g->real->ops->verb(g->real, op);                                                                                   \
  }
PASS(list)
PASS(change)
PASS(pause)
PASS(tasks)
#undef PASS

static inline int64_t gate_now_ms(struct sk_store *s) {
  struct gate *g = SK_CONTAINER(s, struct gate, store);
  return g->real->ops->now_ms(g->real);
}

static inline void gate_close(struct sk_store *s, void (*cb)(void *ctx), void *ctx) {
  struct gate *g = SK_CONTAINER(s, struct gate, store);
  assert_true(sk_list_empty(&g->failed) && sk_list_empty(&g->kept)); /* an engine closes when all is answered */
  g->real->ops->close(g->real, cb, ctx);
}

/* Fails the operations that are kept, and all later ones. */
static inline void gate_hurry(struct sk_store *s) {
  struct gate *g = SK_CONTAINER(s, struct gate, store);
  for (size_t i = 0; i < sizeof g->fail / sizeof *g->fail; i++) g->fail[i] = true;
  sk_list_move(&g->failed, &g->kept);
  sk_defer_mark(g->answers);
  g->real->ops->hurry(g->real);
}

/* Lets the kept operations through, and all later ones. */
static inline void gate_open(struct world *w) {
  struct gate *g = &w->gate;
  memset(g->fail, 0, sizeof g->fail);
  memset(g->keep, 0, sizeof g->keep);
  struct sk_list *n;
  while ((n = sk_list_pop(&g->kept)) != NULL) {
    struct sk_op *op = SK_CONTAINER(n, struct sk_op, node);
    switch (op->kind) {
    case OP_ENQUEUE: g->real->ops->enqueue(g->real, (struct sk_enqueue_op *)(void *)op); break;
    case OP_FETCH: g->real->ops->fetch(g->real, (struct sk_fetch_op *)(void *)op); break;
    case OP_SETTLE: g->real->ops->settle(g->real, (struct sk_settle_op *)(void *)op); break;
    case OP_BEAT: g->real->ops->beat(g->real, (struct sk_beat_op *)(void *)op); break;
    case OP_GET: g->real->ops->get(g->real, (struct sk_get_op *)(void *)op); break;
    case OP_COUNT: g->real->ops->count(g->real, (struct sk_count_op *)(void *)op); break;
    case OP_DECLARE: g->real->ops->declare(g->real, (struct sk_declare_op *)(void *)op); break;
    default: g->real->ops->progress(g->real, (struct sk_progress_op *)(void *)op); break;
    }
  }
}

static inline void gate_fail_all(struct world *w, bool fail) {
  for (int i = 0; i < OPS; i++) w->gate.fail[i] = fail;
}

/* Puts the gate before the engine's store. */
static inline void gate_insert(struct world *w) {
  static const struct sk_store_ops ops = {
    .scheme = "gate",
    .enqueue = gate_enqueue,
    .fetch = gate_fetch,
    .settle = gate_settle,
    .beat = gate_beat,
    .get = gate_get,
    .list = gate_list,
    .count = gate_count,
    .change = gate_change,
    .pause = gate_pause,
    .progress = gate_progress,
    .declare = gate_declare,
    .tasks = gate_tasks,
    .now_ms = gate_now_ms,
    .close = gate_close,
    .hurry = gate_hurry,
  };
  struct gate *g = &w->gate;
  g->store.ops = &ops;
  g->real = w->engine->store;
  sk_list_init(&g->failed);
  sk_list_init(&g->kept);
  g->answers = sk_defer_new(w->loop, answer_failed, g);
  w->engine->store = &g->store;
  sk_requests_use(w->engine->requests, &g->store);
}

/* -- life ---------------------------------------------------------------------------------------------------------- */

static inline void world_init(struct world *w) {
  static int worlds;
  *w = (struct world){ 0 };
  signal(SIGPIPE, SIG_IGN);
  setenv("ASAN_OPTIONS", "detect_leaks=0:handle_segv=0",
         1); /* of the workers, which leave their memory to the system */
  strcpy(w->dir, "/tmp/skein-unit.XXXXXX");
  assert_non_null(mkdtemp(w->dir));
  char path[128];
  snprintf(path, sizeof path, "%s/scripts", w->dir);
  assert_int_equal(mkdir(path, 0700), 0);
  ssize_t n = readlink("/proc/self/exe", w->program, sizeof w->program - 16);
  assert_true(n > 0);
  w->program[n] = '\0';
  for (int up = 0; up < 3; up++) *strrchr(w->program, '/') = '\0'; /* OUT/tests/engine/x_test */
  strcat(w->program, "/skein");
  assert_int_equal(access(w->program, X_OK), 0);
  struct sk_err err;
  sk_log_init(&w->log);
  w->log.level = SK_LOG_DEBUG;
  snprintf(w->log_path, sizeof w->log_path, "%s/log", w->dir);
  assert_int_equal(sk_log_reopen(&w->log, w->log_path, &err), SK_OK);
  w->log.path = w->log_path;
  w->loop = sk_loop_new(&err);
  w->tick = sk_timer_new(w->loop, on_tick, w);
  sk_timer_start(w->tick, TICK_MS);
  static char url[32];
  snprintf(url, sizeof url, "memory:w%d", ++worlds);
  struct sk_store_options store = { .url = sk_str_c(url), .lease_ms = 15000 };
  assert_int_equal(sk_store_open(w->loop, &store, NULL, &w->client, &err), SK_OK);
  static char scripts[96];
  snprintf(scripts, sizeof scripts, "%s/scripts", w->dir);
  w->options = (struct sk_engine_options){
    .store = { .url = sk_str_c(url), .lease_ms = 15000 },
    .workers = 1,
    .concurrency = 10,
    .shutdown_timeout_ms = 5000,
    .args_bytes_max = SK_ARGS_BYTES_MAX,
    .policy = { .crashes_max = SK_CRASHES_MAX, .unknown_max = SK_UNKNOWN_MAX, .unknown_delay_ms = SK_UNKNOWN_DELAY_MS },
    .program = w->program,
    .dir = scripts,
    .log = &w->log,
    .stopped = set_flag,
    .ctx = &w->stopped,
  };
}

static inline void world_start(struct world *w) {
  struct sk_err err;
  w->stopped = false;
  assert_int_equal(sk_engine_new(w->loop, &w->options, &w->engine, &err), SK_OK);
  w->has_engine = true;
  gate_insert(w);
}

static inline void engine_free(struct world *w) {
  sk_engine_free(w->engine);
  sk_defer_free(w->gate.answers);
  w->engine = NULL;
  w->has_engine = false;
}

/* Waits for the end of an engine that was told to stop, and frees it. */
static inline void world_ended(struct world *w) {
  until(w, w->stopped);
  engine_free(w);
}

static inline void world_fini(struct world *w) {
  if (w->has_engine) {
    gate_open(w);
    sk_engine_stop(w->engine, true);
    world_ended(w);
  }
  bool closed = false;
  w->client->ops->close(w->client, set_flag, &closed);
  until(w, closed);
  sk_timer_free(w->tick);
  sk_loop_free(w->loop);
  close(w->log.fd);
  assert_int_equal(waitpid(-1, NULL, WNOHANG), -1); /* no child is left, not even a dead one */
  assert_int_equal(errno, ECHILD);
  char command[96];
  snprintf(command, sizeof command, "rm -rf %s", w->dir);
  assert_int_equal(system(command), 0);
}

/* -- jobs ---------------------------------------------------------------------------------------------------------- */

struct told {
  char id[SK_ID_BYTES + 1];
};

struct extra {
  const char *queue;
  int32_t priority;
  int64_t delay_ms, expires_in_ms;
  int64_t crashes; /* crashes that it has counted before */
};

static inline struct told enqueue_with(struct world *w, const char *task, const char *args, const struct extra *x) {
  struct told t;
  sk_id_next(&w->ids, sk_clock_wall_ms(), t.id);
  struct sk_job job;
  sk_job_init(&job);
  job.id = sk_str_c(t.id);
  job.task = sk_str_c(task);
  job.queue = sk_str_c(x->queue ? x->queue : "default");
  job.args = sk_str_c(args);
  job.priority = x->priority;
  job.enqueued_ms = sk_clock_wall_ms();
  job.crashes = x->crashes;
  if (x->expires_in_ms) job.expires_ms = job.enqueued_ms + x->expires_in_ms;
  struct sk_buf record = { 0 };
  sk_record_encode(&job, &record);
  struct sk_enqueue_item item = { .id = job.id,
                                  .queue = job.queue,
                                  .task = job.task,
                                  .record = sk_buf_str(&record),
                                  .priority = x->priority,
                                  .delay_ms = x->delay_ms };
  struct sk_enqueue_op op = { .items = &item, .items_n = 1 };
  look(w, enqueue, &op);
  assert_int_equal(item.status, SK_OK);
  sk_op_fini(&op.op);
  sk_buf_fini(&record);
  return t;
}

static inline struct told enqueue(struct world *w, const char *task, const char *args) {
  return enqueue_with(w, task, args, &(struct extra){ 0 });
}

struct seen {
  enum sk_state state;
  enum sk_error_kind kind;
  int64_t attempts, crashes, unknowns;
  char error[512];
};

static inline struct seen see(struct world *w, struct told t) {
  struct sk_str id = sk_str_c(t.id);
  struct sk_get_op op = { .ids = &id, .ids_n = 1 };
  look(w, get, &op);
  struct seen s = { .state = op.views[0].state };
  struct sk_job job;
  if (s.state != SK_STATE_NONE && sk_record_decode(op.views[0].record, &job, NULL) == SK_OK) {
    s.kind = job.error_kind;
    s.attempts = job.attempts;
    s.crashes = job.crashes;
    s.unknowns = job.unknowns;
    snprintf(s.error, sizeof s.error, "%.*s", SK_STR_ARG(job.error));
  }
  sk_op_fini(&op.op);
  return s;
}

/* Jobs of all queues in that state. */
static inline int64_t jobs_in(struct world *w, enum sk_state state) {
  struct sk_count_op op = { 0 };
  look(w, count, &op);
  int64_t n = 0;
  for (size_t i = 0; i < op.queues_n; i++) n += op.queues[i].states[state];
  sk_op_fini(&op.op);
  return n;
}

/* -- workers ------------------------------------------------------------------------------------------------------- */

static inline struct sk_worker *worker_of(struct world *w, uint32_t number) {
  SK_LIST_EACH (n, &w->engine->workers)
    if (SK_WORKER_OF(n)->number == number && SK_WORKER_OF(n)->state != SK_WORKER_DRAINING) return SK_WORKER_OF(n);
  return NULL;
}

static inline bool is_ready(struct world *w, uint32_t number) {
  struct sk_worker *worker = worker_of(w, number);
  return worker && worker->state == SK_WORKER_READY;
}

static inline size_t workers_n(struct world *w) {
  size_t n = 0;
  SK_LIST_EACH (it, &w->engine->workers) n++;
  return n;
}

/* An int that shows up in a test's file: how long what it says took, and so on. */
static inline int setup(void **state) {
  struct world *w = calloc(1, sizeof *w);
  world_init(w);
  *state = w;
  return 0;
}

static inline int teardown(void **state) {
  world_fini(*state);
  free(*state);
  return 0;
}

#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

#endif
