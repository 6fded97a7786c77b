/* world.c - a test's world and the one-line operations (contract.h). */
#include "contract.h"

#include <dirent.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/limits.h"
#include "io/loop.h"
#include "logic/record.h"

/* -- the world ----------------------------------------------------------------------------------------------------- */

static int64_t read_wall(void *ctx) { return atomic_load(&((struct world *)ctx)->wall_ms); }
static int64_t read_mono(void *ctx) { return atomic_load(&((struct world *)ctx)->mono_ms); }
static void on_guard(void *ctx) { ((struct world *)ctx)->rang = true; }

static void on_changed(void *ctx) {
  struct handle *h = ctx;
  if (h->busy) fail_msg("`changed` was called inside a call");
  h->changed++;
}

int world_setup(void **state) {
  struct world *w = calloc(1, sizeof *w);
  if (w == NULL) return -1;
  w->kind = *state;
  const char *tmp = getenv("TMPDIR");
  snprintf(w->dir, sizeof w->dir, "%s/skein-contract-XXXXXX", tmp && strlen(tmp) < 30 ? tmp : "/tmp");
  if (mkdtemp(w->dir) == NULL) return -1;
  w->kind->fresh_url(w->dir, w->url, sizeof w->url);
  w->loop = sk_loop_new(NULL);
  w->guard = sk_timer_new(w->loop, on_guard, w);
  atomic_store(&w->wall_ms, WALL_START_MS);
  atomic_store(&w->mono_ms, 1000000);
  *state = w;
  return 0;
}

static void remove_dir(const char *path) {
  DIR *dir = opendir(path);
  for (struct dirent *e; dir && (e = readdir(dir)) != NULL;) {
    char file[512];
    snprintf(file, sizeof file, "%s/%s", path, e->d_name);
    if (e->d_name[0] != '.') unlink(file);
  }
  if (dir) closedir(dir);
  rmdir(path);
}

int world_teardown(void **state) {
  struct world *w = *state;
  for (size_t i = 0; i < w->handles_n; i++)
    if (w->handles[i].store) close_handle(&w->handles[i]);
  world_forget(w);
  free(w->ops);
  sk_timer_free(w->guard);
  sk_loop_free(w->loop);
  remove_dir(w->dir);
  free(w);
  return 0;
}

void world_forget(struct world *w) {
  for (size_t i = 0; i < w->ops_n; i++) {
    sk_op_fini(w->ops[i]);
    free(w->ops[i]);
  }
  w->ops_n = 0;
  sk_arena_fini(&w->arena);
}

void world_advance(struct world *w, int64_t ms) {
  atomic_fetch_add(&w->wall_ms, ms);
  atomic_fetch_add(&w->mono_ms, ms);
}

static void turn(struct world *w) {
  sk_loop_turn(w->loop, true);
  if (w->rang) fail_msg("nothing came within %d ms", GUARD_MS);
}

static void guard_start(struct world *w) {
  w->rang = false;
  sk_timer_start(w->guard, GUARD_MS);
}

void world_await(struct world *w, const bool *flag) {
  guard_start(w);
  while (!*flag) turn(w);
  sk_timer_stop(w->guard);
}

void world_await_count(struct world *w, const int *count_now, int least) {
  guard_start(w);
  while (*count_now < least) turn(w);
  sk_timer_stop(w->guard);
}

/* An op whose outputs live as long as the world remembers. */
static void *new_op(struct world *w, size_t size) {
  if (w->ops_n == w->ops_cap) {
    w->ops_cap = w->ops_cap ? w->ops_cap * 2 : 64;
    w->ops = realloc(w->ops, w->ops_cap * sizeof(struct sk_op *));
    assert_non_null(w->ops);
  }
  void *op = calloc(1, size);
  assert_non_null(op);
  w->ops[w->ops_n++] = op;
  return op;
}

/* -- handles ------------------------------------------------------------------------------------------------------- */

static struct handle *open_handle(struct world *w, const char *engine) {
  assert_true(w->handles_n < HANDLES_MAX);
  struct handle *h = &w->handles[w->handles_n++];
  *h = (struct handle){ .world = w };
  const struct sk_store_options options = {
    .url = text(w->url),
    .engine = text(engine),
    .lease_ms = LEASE_MS,
    .durability = SK_DURABLE_NORMAL,
    .clock = { .wall_ms = read_wall, .mono_ms = read_mono, .ctx = w },
  };
  const struct sk_store_events events = { .changed = on_changed, .ctx = h };
  struct sk_err err = { 0 };
  if (sk_store_open(w->loop, &options, &events, &h->store, &err) != SK_OK) fail_msg("open %s: %s", w->url, err.message);
  return h;
}

struct handle *open_engine(struct world *w, const char *id) {
  return open_handle(w, id);
}
struct handle *open_client(struct world *w) {
  return open_handle(w, "");
}

static void on_closed(void *ctx) { *(bool *)ctx = true; }

void close_handle(struct handle *h) {
  struct sk_store *store = h->store;
  h->store = NULL;
  bool closed = false;
  store->ops->close(store, on_closed, &closed);
  assert_false(closed);
  world_await(h->world, &closed);
}

/* -- operations ---------------------------------------------------------------------------------------------------- */

struct answer {
  struct handle *h;
  bool done;
};

static void on_answer(struct sk_op *op, void *ctx) {
  struct answer *answer = ctx;
  if (answer->h->busy) fail_msg("the callback was called inside the call");
  if (answer->done) fail_msg("the callback was called twice");
  if (op->status != SK_OK && op->err.message[0] == '\0')
    fail_msg("%s came without a sentence", sk_code_name(op->status));
  answer->done = true;
}

/* The parentheses: the slot, and not the macro of that name. */
#define RUN(verb)                                                                                                      \
  enum sk_code run_##verb(struct handle *h, struct sk_##verb##_op *op) {                                               \
    struct answer answer = { .h = h };                                                                                 \
    op->op.cb = on_answer;                                                                                             \
    op->op.ctx = &answer;                                                                                              \
    h->busy = true;                                                                                                    \
    (h->store->ops->verb)(h->store, op);                                                                               \
    h->busy = false;                                                                                                   \
    world_await(h->world, &answer.done);                                                                               \
    return op->op.status;                                                                                              \
  }
RUN(enqueue)
RUN(fetch)
RUN(settle)
RUN(beat)
RUN(get)
RUN(list)
RUN(count)
RUN(change)
RUN(pause)
RUN(progress)
RUN(declare)
RUN(backup)
RUN(tasks)

struct sk_str text(const char *z) {
  return sk_str_c(z);
}

int drawn(uint64_t *seed, int n) {
  *seed = *seed * 6364136223846793005u + 1442695040888963407u;
  return (int)((*seed >> 33) % (uint64_t)n);
}

struct sk_job decoded(struct sk_str record) {
  struct sk_job job;
  struct sk_err err = { 0 };
  if (sk_record_decode(record, &job, &err) != SK_OK) fail_msg("record: %s", err.message);
  return job;
}

struct sk_str record_of(struct world *w, const struct sk_job *job) {
  struct sk_buf buf = { 0 };
  sk_record_encode(job, &buf);
  assert_false(buf.failed);
  struct sk_str record = sk_arena_copy(&w->arena, sk_buf_str(&buf));
  sk_buf_fini(&buf);
  return record;
}

struct sk_str record_with(struct world *w, struct sk_str record, int64_t attempts, int64_t crashes) {
  struct sk_job job = decoded(record);
  job.attempts = attempts;
  job.crashes = crashes;
  return record_of(w, &job);
}

struct sk_enqueue_item put_item(struct world *w, struct put p) {
  struct sk_job job;
  sk_job_init(&job);
  job.id = sk_arena_copy(&w->arena, text(p.id));
  job.queue = sk_arena_copy(&w->arena, text(p.queue ? p.queue : "q"));
  job.task = sk_arena_copy(&w->arena, text(p.task ? p.task : "t"));
  job.args = text("[1,2]");
  job.priority = p.priority;
  job.enqueued_ms = atomic_load(&w->wall_ms);
  job.unique = sk_arena_copy(&w->arena, text(p.lock));
  job.limit = sk_arena_copy(&w->arena, text(p.limit));
  struct sk_lock lock = { .mode = SK_LOCK_NONE };
  struct sk_limit limit = { .concurrency = 0 };
  struct sk_err err = { 0 };
  if (sk_lock_parse(job.unique, &lock, &err) != SK_OK || sk_limit_parse(job.limit, &limit, &err) != SK_OK)
    fail_msg("%s", err.message);
  return (struct sk_enqueue_item){
    .lock = lock,
    .limit = limit,
    .id = job.id,
    .queue = job.queue,
    .task = job.task,
    .record = record_of(w, &job),
    .priority = p.priority,
    .due_ms = p.due_ms,
    .delay_ms = p.delay_ms,
  };
}

static struct sk_enqueue_item put_now(struct handle *h, struct put p) {
  struct sk_enqueue_item one = put_item(h->world, p);
  struct sk_enqueue_op *op = new_op(h->world, sizeof *op);
  op->items = &one;
  op->items_n = 1;
  assert_code(run_enqueue(h, op), SK_OK);
  return one;
}

enum sk_code put_one(struct handle *h, struct put p) { return put_now(h, p).status; }

const char *put_refused(struct handle *h, struct put p) {
  struct sk_enqueue_item one = put_now(h, p);
  assert_code(one.status, SK_EEXISTS);
  return sk_arena_copy(&h->world->arena, one.holder).p;
}

void bind_one(struct handle *h, struct sk_queue_settings queue) {
  struct sk_declare_op *op = new_op(h->world, sizeof *op);
  op->queues = &queue;
  op->queues_n = 1;
  assert_code(run_declare(h, op), SK_OK);
  op->queues = NULL;
}

struct sk_fetch_op *take(struct handle *h, size_t want, ...) {
  struct sk_fetch_queue queues[8];
  struct sk_fetch_op *op = new_op(h->world, sizeof *op);
  va_list names;
  va_start(names, want);
  for (const char *name; (name = va_arg(names, const char *)) != NULL;)
    queues[op->queues_n++] = (struct sk_fetch_queue){ .name = text(name), .quota = want };
  va_end(names);
  op->queues = queues;
  op->want = want;
  assert_code(run_fetch(h, op), SK_OK);
  op->queues = NULL;
  return op;
}

struct joined {
  char *p;
  size_t n;
};

static void join(struct joined *out, struct sk_str id) {
  if (out->n) out->p[out->n++] = ' ';
  memcpy(out->p + out->n, id.p, id.n);
  out->n += id.n;
}

const char *ids_of(struct world *w, const struct sk_fetch_op *op) {
  struct joined out = { .p = sk_arena_alloc(&w->arena, op->jobs_n * (SK_ID_BYTES_MAX + 1) + 1) };
  for (size_t i = 0; i < op->jobs_n; i++) join(&out, op->jobs[i].id);
  return out.p;
}

static int compare_ids(const void *pa, const void *pb) {
  const struct sk_str *a = pa, *b = pb;
  size_t n = a->n < b->n ? a->n : b->n;
  int c = memcmp(a->p, b->p, n);
  return c ? c : (a->n > b->n) - (a->n < b->n);
}

const char *stops_of(struct world *w, const struct sk_fetch_op *op) {
  struct joined out = { .p = sk_arena_alloc(&w->arena, op->stops_n * (SK_ID_BYTES_MAX + 1) + 1) };
  struct sk_str *ids = sk_arena_array(&w->arena, op->stops_n, sizeof *ids);
  for (size_t i = 0; i < op->stops_n; i++) ids[i] = op->stops[i];
  if (op->stops_n > 1) qsort(ids, op->stops_n, sizeof *ids, compare_ids);
  for (size_t i = 0; i < op->stops_n; i++) join(&out, ids[i]);
  return out.p;
}

struct sk_fetched *take_job(struct handle *h, const char *id) {
  struct sk_fetch_op *op = take(h, 1, "q", NULL);
  assert_string_equal(ids_of(h->world, op), id);
  return &op->jobs[0];
}

enum sk_code settle_one(struct handle *h, const struct sk_fetched *held, struct fate fate) {
  struct sk_settle_item one = {
    .id = held->id,
    .queue = held->queue,
    .fence = fate.fence ? fate.fence : held->fence,
    .kind = fate.kind,
    .record = fate.record.n || fate.kind == SK_SETTLE_RELEASE ? fate.record : held->record,
    .to_queue = text(fate.to_queue),
    .delay_ms = fate.delay_ms,
    .keep_ms = fate.keep_ms,
    .crashed = fate.crashed,
    .callbacks = fate.callbacks,
    .callbacks_n = fate.callbacks_n,
  };
  struct sk_settle_op *op = new_op(h->world, sizeof *op);
  op->items = &one;
  op->items_n = 1;
  assert_code(run_settle(h, op), SK_OK);
  return one.status;
}

struct sk_beat_op *beat(struct handle *h) {
  struct sk_beat_op *op = new_op(h->world, sizeof *op);
  assert_code(run_beat(h, op), SK_OK);
  return op;
}

struct sk_beat_op *outlive(struct handle *h) {
  struct sk_beat_op *op = beat(h);
  for (int i = 0; i < SK_BEATS_PER_LEASE; i++) {
    world_advance(h->world, LEASE_MS / SK_BEATS_PER_LEASE + 1);
    op = beat(h);
  }
  return op;
}

const struct sk_view *view(struct handle *h, const char *id) {
  struct sk_get_op *op = new_op(h->world, sizeof *op);
  struct sk_str one = text(id);
  op->ids = &one;
  op->ids_n = 1;
  assert_code(run_get(h, op), SK_OK);
  return &op->views[0];
}

const char *state_of(struct handle *h, const char *id) { return sk_state_name(view(h, id)->state); }

const char *listed_ids(struct handle *h, struct sk_filter filter, size_t offset, size_t limit) {
  struct sk_list_op *op = new_op(h->world, sizeof *op);
  op->filter = filter;
  op->offset = offset;
  op->limit = limit;
  assert_code(run_list(h, op), SK_OK);
  assert_true(op->views_n <= limit);
  struct joined out = { .p = sk_arena_alloc(&h->world->arena, op->views_n * (SK_ID_BYTES_MAX + 1) + 1) };
  for (size_t i = 0; i < op->views_n; i++) join(&out, op->views[i].id);
  return out.p;
}

const struct sk_count_op *count(struct handle *h) {
  struct sk_count_op *op = new_op(h->world, sizeof *op);
  assert_code(run_count(h, op), SK_OK);
  return op;
}

const struct sk_queue_count *count_queue(struct handle *h, const char *name) {
  const struct sk_count_op *op = count(h);
  for (size_t i = 0; i < op->queues_n; i++)
    if (sk_str_eq_c(op->queues[i].name, name)) return &op->queues[i];
  fail_msg("queue \"%s\" is not counted", name);
  return NULL;
}

int64_t count_state(struct handle *h, const char *queue, enum sk_state state) {
  return count_queue(h, queue)->states[state];
}

void set_paused(struct handle *h, const char *queue, bool paused) {
  struct sk_pause_op *op = new_op(h->world, sizeof *op);
  op->queue = text(queue);
  op->paused = paused;
  assert_code(run_pause(h, op), SK_OK);
}

enum sk_code change(struct handle *h, enum sk_verb verb, const char *id, int64_t keep_ms) {
  struct sk_str one = text(id);
  struct sk_change_op *op = new_op(h->world, sizeof *op);
  op->verb = verb;
  op->ids = &one;
  op->ids_n = 1;
  op->keep_ms = keep_ms;
  assert_code(run_change(h, op), SK_OK);
  assert_int_equal(op->changed, op->statuses[0] == SK_OK);
  return op->statuses[0];
}

size_t change_all(struct handle *h, enum sk_verb verb, struct sk_filter filter, int64_t keep_ms) {
  struct sk_change_op *op = new_op(h->world, sizeof *op);
  op->verb = verb;
  op->filter = filter;
  op->keep_ms = keep_ms;
  assert_code(run_change(h, op), SK_OK);
  return op->changed;
}
