/* engine.c - fuzz target: one whole engine on a memory store, with workers that are played by the input.
 *
 * The engine is the real one; its workers are no processes: this file takes the place of io/child.c and holds the other
 * ends of their pipes and shared pages.  The input says what happens, a few bytes a step: jobs come (some of them
 * suspects), workers start, end, fail and report jobs, ask for things, keep the CPU, write nonsense into pipe and page,
 * stop reading, die; the time moves; the engine is told to reload, to hold, to stop.  Time is the input's, too:
 * base/clock.c and the C library's monotonic clock are replaced.
 *
 * After each step the engine's books must balance, and at the end of each input it must stop within a bounded number of
 * turns with nothing left.  A turn without an end is libFuzzer's -timeout. */
#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/limits.h"
#include "engine/state.h"
#include "io/child.h"
#include "io/guard.h"
#include "logic/record.h"
#include "logic/wire.h"
#include "store/openers.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum {
  PEERS_MAX = 64,
  STEPS_MAX = 300,
  END_TURNS_MAX = 20000,
  SEEN_MAX = 64,
  JOBS_MAX = 200,
  STOPPING_PAUSE_MS = 60,
};

/* -- the time ------------------------------------------------------------------------------------------------------ */

static int64_t now_us;

int64_t sk_clock_wall_us(void) { return 1700000000000000 + now_us; }
int64_t sk_clock_wall_ms(void) { return sk_clock_wall_us() / 1000; }
int64_t sk_clock_mono_us(void) { return now_us; }
int64_t sk_clock_mono_ms(void) { return now_us / 1000; }

/* libuv's timers go by this one; the fuzzer's own watch goes by the wall clock. */
int clock_gettime(clockid_t clock, struct timespec *ts) {
  if (clock != CLOCK_MONOTONIC && clock != CLOCK_MONOTONIC_COARSE) return (int)syscall(SYS_clock_gettime, clock, ts);
  *ts = (struct timespec){ .tv_sec = (time_t)(now_us / 1000000), .tv_nsec = (long)(now_us % 1000000) * 1000 };
  return 0;
}

/* -- the other stores and processes -------------------------------------------------------------------------------- */

enum sk_code sk_sqlite_open(struct sk_loop *loop, const struct sk_store_options *options,
                            const struct sk_store_events *events, struct sk_store **out, struct sk_err *err) {
  (void)loop, (void)options, (void)events, (void)out;
  return sk_err_set(err, SK_EUNSUPPORTED, "not here");
}

enum sk_code sk_redis_open(struct sk_loop *loop, const struct sk_store_options *options,
                           const struct sk_store_events *events, struct sk_store **out, struct sk_err *err) {
  return sk_sqlite_open(loop, options, events, out, err);
}

/* A job that the engine has offered to a peer. */
struct seen {
  uint32_t slot, generation;
  bool started;
};

/* A worker as the engine sees it. */
struct sk_child {
  int fd; /* the other end of its pipe */
  struct sk_slot_page *slot_page;
  void (*exited)(void *ctx, int exit_status, int term_signal);
  void *ctx;
  bool killed, over, freed;
  struct sk_buf in;
  struct seen seen[SEEN_MAX];
  size_t seen_n;
};

static struct sk_child *peers[PEERS_MAX];
static size_t peers_n;

struct sk_child *sk_child_spawn(struct sk_loop *loop, const struct sk_child_options *options, struct sk_err *err) {
  (void)loop;
  struct sk_child *c = peers_n < PEERS_MAX ? calloc(1, sizeof *c) : NULL;
  if (c == NULL) {
    sk_err_set(err, SK_ESYS, "no more processes");
    return NULL;
  }
  c->fd = dup(options->fds[0]);
  fcntl(c->fd, F_SETFL, O_NONBLOCK);
  enum sk_code code = sk_slot_page_map(options->fds[1], &c->slot_page, err);
  assert(c->fd >= 0 && code == SK_OK);
  c->exited = options->exited;
  c->ctx = options->ctx;
  peers[peers_n++] = c;
  return c;
}

int sk_child_pid(const struct sk_child *c) {
  (void)c;
  return 1;
}

void sk_child_kill(struct sk_child *c, int signum) {
  (void)signum;
  c->killed = true;
}

void sk_child_kill_group(const struct sk_child *c) { (void)c; }

void sk_guard_mark(const struct sk_guard *g, uint64_t worker, char out[SK_GUARD_MARK_BYTES]) {
  (void)g, (void)worker;
  out[0] = '\0';
}

void sk_guard_sweep(struct sk_guard *g, uint64_t worker) { (void)g, (void)worker; }

bool sk_guard_is_gone(const struct sk_guard *g) { return g == NULL; }

enum sk_code sk_guard_restart(struct sk_guard *g, struct sk_err *err) {
  (void)g;
  return sk_err_set(err, SK_ESYS, "not here");
}

void sk_child_free(struct sk_child *c) {
  if (c) c->freed = true;
}

/* Its process has ended: its end of the pipe is closed, and the engine hears of it. */
static void peer_ends(struct sk_child *c, int status, int signum) {
  if (c->over || c->freed) return;
  c->over = true;
  shutdown(c->fd, SHUT_WR);
  c->exited(c->ctx, status, signum);
}

static void peer_destroy(struct sk_child *c) {
  close(c->fd);
  sk_slot_page_unmap(c->slot_page, c->slot_page->slots_n);
  sk_buf_fini(&c->in);
  free(c);
}

/* -- the input ----------------------------------------------------------------------------------------------------- */

struct input {
  const uint8_t *p, *end;
};

static unsigned byte(struct input *in) { return in->p < in->end ? *in->p++ : 0; }
static unsigned below(struct input *in, unsigned n) { return byte(in) % n; }

static struct sk_str bytes(struct input *in, size_t max) {
  size_t left = (size_t)(in->end - in->p), n = byte(in);
  if (left > 0) left--;
  if (n > max) n = max;
  if (n > left) n = left;
  struct sk_str s = sk_str((const char *)in->p, n);
  in->p += n;
  return s;
}

/* -- the world ----------------------------------------------------------------------------------------------------- */

struct world {
  struct sk_loop *loop;
  struct sk_store *client;
  struct sk_engine *engine;
  struct sk_engine_options options;
  struct sk_log log;
  struct sk_idgen idgen;
  char ids[JOBS_MAX][SK_ID_BYTES + 1];
  size_t ids_n;
  uint64_t request;
  bool stopped;
};

static const char *const TASKS[] = { "a", "b", "c", "unknown" };

static void set_flag(void *ctx) { *(bool *)ctx = true; }

static size_t length(const struct sk_list *l) {
  size_t n = 0;
  SK_LIST_EACH (it, l) n++;
  return n;
}

static void audit(const struct sk_engine *e) {
  size_t given = 0;
  SK_LIST_EACH (wn, &e->workers) {
    const struct sk_worker *w = SK_WORKER_OF(wn);
    uint32_t suspects = 0;
    assert(length(&w->runs) == w->load && w->free_n + w->load == w->slots_n);
    assert(length(&w->intake.waiting) == w->intake.waiting_n);
    assert(w->intake.begun_bytes < SIZE_MAX / 2 && w->intake.waiting_bytes < SIZE_MAX / 2);
    SK_LIST_EACH (rn, &w->runs) {
      assert(SK_RUN_OF(rn)->worker == w && w->by_slot[SK_RUN_OF(rn)->slot] == SK_RUN_OF(rn));
      suspects += sk_run_is_suspect(SK_RUN_OF(rn));
    }
    assert(suspects == w->suspects_n);
    given += w->load;
  }
  assert(given == e->given_n && length(&e->local) == e->local_n && length(&e->suspects) == e->suspects_n);
  assert(length(&e->late) == e->late_n && length(&e->settling) == e->settling_n);
  assert(e->held_bytes < SIZE_MAX / 2);
}

static void turn(struct world *w, int n) {
  for (; n > 0; n--) {
    sk_loop_turn(w->loop, false);
    for (size_t i = 0; i < peers_n; i++)
      if (peers[i]->killed) peer_ends(peers[i], 0, 9);
    now_us += 100;
    audit(w->engine);
  }
}

static void op_done(struct sk_op *op, void *ctx) {
  (void)op;
  set_flag(ctx);
}

static void add_job(struct world *w, struct input *in) {
  if (w->ids_n == JOBS_MAX) return;
  char *id = w->ids[w->ids_n++];
  sk_id_next(&w->idgen, sk_clock_wall_ms(), id);
  unsigned what = byte(in);
  struct sk_job job;
  sk_job_init(&job);
  job.id = sk_str_c(id);
  job.task = sk_str_c(TASKS[what & 3]);
  job.queue = SK_STR_LIT("default");
  job.args = SK_STR_LIT("[]");
  job.crashes = what >> 2 & 3;
  job.enqueued_ms = sk_clock_wall_ms();
  if (what & 16) job.timeout_ms = 1000;
  if (what & 32) job.expires_ms = job.enqueued_ms + 500;
  struct sk_buf record = { 0 };
  sk_record_encode(&job, &record);
  if (what & 64) record.n -= record.n / 4; /* not all of it */
  struct sk_enqueue_item item = {
    .id = job.id, .queue = job.queue, .task = job.task, .record = sk_buf_str(&record), .delay_ms = what & 128 ? 300 : 0
  };
  bool done = false;
  struct sk_enqueue_op op = { .op = { .cb = op_done, .ctx = &done }, .items = &item, .items_n = 1 };
  w->client->ops->enqueue(w->client, &op);
  while (!done) turn(w, 1);
  sk_op_fini(&op.op);
  sk_buf_fini(&record);
}

/* -- what workers do ----------------------------------------------------------------------------------------------- */

static struct sk_child *peer(struct input *in) {
  return peers_n > 0 ? peers[peers_n - 1 - below(in, peers_n < 4 ? (unsigned)peers_n : 4)] : NULL;
}

static void say(struct sk_child *c, struct sk_str text) {
  while (text.n > 0) {
    ssize_t n = send(c->fd, text.p, text.n, MSG_NOSIGNAL | MSG_DONTWAIT);
    if (n <= 0) return;
    text = sk_str(text.p + n, text.n - (size_t)n);
  }
}

static void say_frame(struct sk_child *c, enum sk_frame_type type, struct sk_str payload) {
  struct sk_buf b = { 0 };
  size_t at = sk_wire_begin(&b, type);
  sk_buf_add_str(&b, payload);
  sk_wire_end(&b, at);
  say(c, sk_buf_str(&b));
  sk_buf_fini(&b);
}

static void say_hello(struct sk_child *c, unsigned what) {
  struct sk_buf b = { 0 }, record = { 0 };
  sk_buf_add_byte(&b, (char)(what & 7));
  sk_buf_add_u32(&b, 3);
  for (int i = 0; i < 3; i++) {
    struct sk_job task;
    sk_job_init(&task);
    task.task = sk_str_c(TASKS[i]);
    task.queue = SK_STR_LIT("default");
    if (i == 1) task.timeout_ms = 2000;
    sk_buf_clear(&record);
    sk_record_encode(&task, &record);
    sk_wire_add_str(&b, sk_buf_str(&record));
    sk_buf_add_byte(&b, (char)(what >> 3 & 7));
  }
  sk_buf_add_u32(&b, 0);
  say_frame(c, SK_FRAME_HELLO, sk_buf_str(&b));
  sk_buf_fini(&b);
  sk_buf_fini(&record);
}

/* Reads what the engine has sent, and remembers the jobs that were offered. */
static void peer_reads(struct sk_child *c) {
  char chunk[4096];
  for (ssize_t n; (n = recv(c->fd, chunk, sizeof chunk, MSG_DONTWAIT)) > 0;) sk_buf_add(&c->in, chunk, (size_t)n);
  struct sk_str in = sk_buf_str(&c->in);
  struct sk_frame frame;
  enum sk_code code;
  while ((code = sk_wire_next(&in, &frame, NULL)) == SK_OK) {
    struct sk_reader r = sk_reader(frame.payload);
    if (frame.type != SK_FRAME_JOB) continue;
    uint32_t slot = sk_read_u32(&r), generation = sk_read_u32(&r);
    assert(!r.bad && slot < c->slot_page->slots_n);
    if (c->seen_n == SEEN_MAX) memmove(c->seen, c->seen + 1, --c->seen_n * sizeof *c->seen);
    c->seen[c->seen_n++] = (struct seen){ slot, generation, false };
  }
  assert(code == SK_ENOTFOUND); /* the engine speaks sense */
  sk_buf_consume(&c->in, c->in.n - in.n);
}

static void peer_starts(struct sk_child *c, unsigned what) {
  peer_reads(c);
  for (size_t i = 0; i < c->seen_n; i++) {
    struct seen *s = &c->seen[i];
    if (s->started) continue;
    s->started = sk_slot_page_move(c->slot_page, s->slot, s->generation, SK_SLOT_OFFERED, SK_SLOT_STARTED);
    if (!s->started) continue;
    atomic_store(&c->slot_page->slots[s->slot].started_ms, sk_clock_mono_ms());
    if (what & 1) {
      atomic_store(&c->slot_page->running, s->slot + 1);
      atomic_store(&c->slot_page->running_since_ms, sk_clock_mono_ms() - (what & 2 ? 10 : 0));
    }
    if (what & 4) return;
  }
}

static struct seen *started(struct sk_child *c, unsigned which) {
  size_t n = 0;
  for (size_t i = 0; i < c->seen_n; i++) n += c->seen[i].started;
  for (size_t i = 0; n > 0 && i < c->seen_n; i++)
    if (c->seen[i].started && which-- % n == 0) return &c->seen[i];
  return NULL;
}

static void forget(struct sk_child *c, struct seen *s) {
  if (atomic_load(&c->slot_page->running) == s->slot + 1) atomic_store(&c->slot_page->running, 0);
  memmove(s, s + 1, (size_t)(c->seen + --c->seen_n - s) * sizeof *s);
}

static void peer_reports(struct sk_child *c, struct input *in, enum sk_frame_type type) {
  struct seen *s = started(c, byte(in));
  if (s == NULL) return;
  struct sk_buf b = { 0 };
  sk_buf_add_u32(&b, s->slot);
  if (type == SK_FRAME_FAIL) {
    sk_buf_add_byte(&b, (char)below(in, 5));
    sk_wire_add_i64(&b, (int64_t)below(in, 8) * 200 - 1);
    sk_buf_add_byte(&b, (char)below(in, 8));
    sk_wire_add_str(&b, bytes(in, 20));
  } else if (type == SK_FRAME_PROGRESS) {
    sk_buf_add_u32(&b, below(in, 102));
  }
  sk_wire_add_str(&b, bytes(in, 40));
  say_frame(c, type, sk_buf_str(&b));
  sk_buf_fini(&b);
  if (type == SK_FRAME_DONE || type == SK_FRAME_FAIL) forget(c, s);
}

/* A request that makes sense, about jobs that there are. */
static void peer_asks(struct world *w, struct sk_child *c, struct input *in) {
  struct sk_buf b = { 0 }, record = { 0 };
  unsigned operation = 1 + below(in, 8), which = byte(in);
  const char *id = w->ids_n > 0 ? w->ids[which % w->ids_n] : "none";
  sk_buf_add_u64(&b, ++w->request);
  sk_buf_add_byte(&b, (char)operation);
  if (operation == SK_OP_WAIT) {
    sk_wire_add_str(&b, sk_str_c(id));
    sk_wire_add_i64(&b, which & 1 ? 100 : -1);
  } else if (operation == SK_OP_GET) {
    sk_buf_add_u32(&b, 1);
    sk_wire_add_str(&b, sk_str_c(id));
  } else if (operation == SK_OP_LIST) {
    sk_buf_add_byte(&b, (char)(which % SK_STATES));
    sk_buf_add_u64(&b, 0); /* any queue, any task */
    sk_buf_add_u32(&b, 0);
    sk_buf_add_u32(&b, 10000);
  } else if (operation == SK_OP_CHANGE) {
    sk_buf_add_byte(&b, (char)(which & 3));
    sk_wire_add_i64(&b, 1000);
    sk_buf_add_u32(&b, 1);
    sk_wire_add_str(&b, sk_str_c(id));
    sk_buf_add_byte(&b, 0);
    sk_buf_add_u64(&b, 0);
  } else if (operation == SK_OP_PAUSE) {
    sk_wire_add_str(&b, SK_STR_LIT("default"));
    sk_buf_add_byte(&b, which & 1);
  } else {
    sk_buf_add_str(&b, bytes(in, 200));
  }
  say_frame(c, SK_FRAME_REQUEST, sk_buf_str(&b));
  sk_buf_fini(&b);
  sk_buf_fini(&record);
}

static void peer_scribbles(struct sk_child *c, struct input *in) {
  unsigned what = byte(in), value = byte(in);
  struct sk_slot_page_slot *slot = &c->slot_page->slots[value % c->slot_page->slots_n];
  switch (what & 3) {
  case 0: atomic_store(&c->slot_page->running, value); break;
  case 1: atomic_store(&c->slot_page->running_since_ms, (int64_t)value * 1000 - 500); break;
  case 2: atomic_store(&slot->word, (uint64_t)what << 30 | value); break;
  default: atomic_store(&slot->started_ms, (int64_t)what - value * 1000000000LL);
  }
}

static void peer_step(struct world *w, struct sk_child *c, struct input *in, unsigned step) {
  switch (step) {
  case 0: say_hello(c, byte(in)); break;
  case 1: peer_starts(c, byte(in)); break;
  case 2: peer_reports(c, in, SK_FRAME_DONE); break;
  case 3: peer_reports(c, in, SK_FRAME_FAIL); break;
  case 4: peer_reports(c, in, SK_FRAME_PROGRESS); break;
  case 5: peer_reports(c, in, SK_FRAME_JOB_LOG); break;
  case 6: peer_asks(w, c, in); break;
  case 7: say(c, bytes(in, 100)); break;
  case 8: say_frame(c, (enum sk_frame_type)below(in, 16), bytes(in, 100)); break;
  case 9: peer_scribbles(c, in); break;
  case 10: atomic_store(&c->slot_page->running, 0); break;
  case 11: peer_reads(c); break;
  case 12: shutdown(c->fd, SHUT_RDWR); break;
  default: peer_ends(c, (int)below(in, 3), below(in, 2) ? 9 : 0); break;
  }
}

/* -- a life
 * -------------------------------------------------------------------------------------------------------------------
 * */

static void engine_step(struct world *w, struct input *in, unsigned step) {
  static const int64_t pauses_ms[] = { 1, 6, 60, 150, 1100, 6000, 20000, 40000 };
  switch (step) {
  case 0: sk_engine_reload(w->engine); break;
  case 1: sk_engine_hold(w->engine, byte(in) & 1); break;
  case 2: sk_engine_trace(w->engine); break;
  case 3:
    if (below(in, 8) == 0) sk_engine_stop(w->engine, byte(in) & 1);
    break;
  default: {
    /* A clock that leaps past all bounds of a stop makes the engine leave its store, as a process that then ends. */
    int64_t pause_ms = pauses_ms[below(in, 8)];
    now_us += (w->engine->stopping && pause_ms > STOPPING_PAUSE_MS ? STOPPING_PAUSE_MS : pause_ms) * 1000;
    if (w->engine->stopping) turn(w, 2);
    break;
  }
  }
}

static void step(struct world *w, struct input *in) {
  unsigned what = byte(in);
  struct sk_child *c = what & 128 ? NULL : peer(in);
  if (what >= 224)
    add_job(w, in);
  else if (what >= 192)
    turn(w, (int)(what & 7) + 1);
  else if (what >= 128)
    engine_step(w, in, what % 9);
  else if (c && !c->over && !c->freed)
    peer_step(w, c, in, what % 14);
  turn(w, what & 64 ? 1 : 0);
}

static void begin(struct world *w, unsigned settings) {
  *w = (struct world){ 0 };
  now_us = 1000000;
  peers_n = 0;
  sk_log_init(&w->log);
  w->log.fd = open("/dev/null", O_WRONLY | O_CLOEXEC);
  w->loop = sk_loop_new(NULL);
  struct sk_store_options store = { .url = SK_STR_LIT("memory:fuzz"), .lease_ms = 15000 };
  enum sk_code code = sk_store_open(w->loop, &store, NULL, &w->client, NULL);
  assert(code == SK_OK);
  w->options = (struct sk_engine_options){
    .store = store,
    .workers = 1 + settings % 3,
    .concurrency = settings & 4 ? 1 : 3,
    .shutdown_timeout_ms = 2000,
    .args_bytes_max = SK_ARGS_BYTES_MAX,
    .policy = { .crashes_max = SK_CRASHES_MAX, .unknown_max = SK_UNKNOWN_MAX, .unknown_delay_ms = 100 },
    .drain = settings & 8,
    .program = "/nonexistent/skein",
    .dir = "/nonexistent",
    .log = &w->log,
    .stopped = set_flag,
    .ctx = &w->stopped,
  };
  code = sk_engine_new(w->loop, &w->options, &w->engine, NULL);
  assert(code == SK_OK);
}

static void end(struct world *w) {
  sk_engine_stop(w->engine, true);
  sk_engine_stop(w->engine, true);
  for (int i = 0; !w->stopped; i++) {
    assert(i < END_TURNS_MAX); /* it does not stop */
    now_us += 1000;
    turn(w, 1);
  }
  assert(w->engine->held_bytes == 0 && sk_engine_runs_n(w->engine) == 0);
  sk_engine_free(w->engine);
  bool closed = false;
  w->client->ops->close(w->client, set_flag, &closed);
  while (!closed) sk_loop_turn(w->loop, false);
  sk_loop_free(w->loop);
  for (size_t i = 0; i < peers_n; i++) peer_destroy(peers[i]);
  close(w->log.fd);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  static struct world w;
  struct input in = { data, data + size };
  begin(&w, byte(&in));
  for (int i = 0; i < STEPS_MAX && in.p < in.end && !w.stopped; i++) step(&w, &in);
  end(&w);
  return 0;
}
