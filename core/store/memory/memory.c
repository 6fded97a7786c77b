/* memory.c - the memory store: the contract of store.h as simply as it can be written, and the specification that
 * the other stores are held to.  This file opens and closes handles and carries answers to the loop; memory.h has
 * the picture.
 *
 * "memory:" is a store of its own for each open; "memory:NAME" is one store for all who open that name in this
 * process, and lasts as long as one of them has it open.  An operation happens inside the call, and its callback
 * comes later; one that looks through all jobs goes on in steps (op.c). */
#include <assert.h>
#include <stdlib.h>

#include "io/loop.h"
#include "store/memory/memory.h"

enum { RELEASED = 2000 }; /* jobs, in one step of a handle that closes */

/* The named stores of this process, through which handles of any thread find the same store. */
static struct {
  pthread_mutex_t lock;
  struct mem *first;
} registry = { .lock = PTHREAD_MUTEX_INITIALIZER };

/* -- open and close ------------------------------------------------------------------------------------------------ */

static struct mem *mem_new(struct sk_str name) {
  struct mem *mem = calloc(1, sizeof *mem + name.n);
  if (mem == NULL) return NULL;
  if (name.n) memcpy(mem->bytes, name.p, name.n);
  mem->name = sk_str(mem->bytes, name.n);
  mem->refs = 1;
  mem->queues_version = 1;
  pthread_mutex_init(&mem->lock, NULL);
  sk_list_init(&mem->handles);
  sk_list_init(&mem->all);
  sk_list_init(&mem->walks);
  sk_list_init(&mem->orphans);
  sk_mem_table_init(&mem->jobs);
  return mem;
}

static void mem_free(struct mem *mem) {
  size_t at = 0;
  for (struct mem_job *job; (job = sk_mem_table_next(&mem->jobs, &at)) != NULL;) sk_mem_free(job);
  sk_mem_table_fini(&mem->jobs);
  sk_mem_queues_free(mem);
  sk_mem_tasks_free(mem);
  sk_mem_groups_free(mem);
  sk_buf_fini(&mem->stamped);
  sk_mem_locks_free(mem);
  sk_mem_settings_free(mem);
  sk_heap_fini(&mem->kept);
  for (struct sk_list *it; (it = sk_list_pop(&mem->orphans)) != NULL;) free(SK_CONTAINER(it, struct mem_holder, node));
  pthread_mutex_destroy(&mem->lock);
  free(mem);
}

/* Finds the store of that name, or makes it if that is allowed, and counts one more reference. */
static enum sk_code mem_get(struct sk_str name, bool must_exist, struct mem **out, struct sk_err *err) {
  pthread_mutex_lock(&registry.lock);
  struct mem *mem = registry.first;
  while (name.n && mem != NULL && !sk_str_eq(mem->name, name)) mem = mem->next;
  if (name.n == 0) mem = NULL;
  enum sk_code code = SK_OK;
  if (mem != NULL) {
    mem->refs++;
  } else if (must_exist) {
    code = sk_err_set(err, SK_ENOTFOUND,
                      "store \"memory:%.*s\": not there; a memory store lives only inside the process that runs it",
                      SK_STR_ARG(name));
  } else if ((mem = mem_new(name)) == NULL) {
    code = sk_err_set(err, SK_ENOMEM, "store \"memory:%.*s\": out of memory", SK_STR_ARG(name));
  } else if (name.n) {
    mem->next = registry.first;
    registry.first = mem;
  }
  pthread_mutex_unlock(&registry.lock);
  *out = mem;
  return code;
}

static void mem_put(struct mem *mem) {
  pthread_mutex_lock(&registry.lock);
  bool last = --mem->refs == 0;
  if (last && mem->name.n) {
    struct mem **at = &registry.first;
    while (*at != mem) at = &(*at)->next;
    *at = mem->next;
  }
  pthread_mutex_unlock(&registry.lock);
  if (last) mem_free(mem);
}

static void handle_free(struct mem_handle *h) {
  if (h == NULL) return;
  sk_async_free(h->wake);
  sk_defer_free(h->turn);
  sk_watches_fini(&h->watches);
  free(h->holder);
  free(h);
}

static void tell_changed(struct mem_handle *h) {
  if (h->close_cb != NULL) return;
  pthread_mutex_lock(&h->mem->lock);
  bool changed = h->changed;
  h->changed = false;
  pthread_mutex_unlock(&h->mem->lock);
  if (changed) h->events.changed(h->events.ctx);
}

static void on_wake(void *ctx) {
  struct mem_handle *h = ctx;
  tell_changed(h);
  struct sk_list answers; /* answers that callbacks add are for the next turn */
  sk_list_init(&answers);
  sk_list_move(&answers, &h->answers);
  for (struct sk_list *it; (it = sk_list_pop(&answers)) != NULL;) {
    struct sk_op *op = SK_CONTAINER(it, struct sk_op, node);
    op->cb(op, op->ctx);
  }
  /* A callback may have submitted an operation and then closed the handle: a later turn answers it first. */
  if (h->close_cb == NULL || !sk_list_empty(&h->answers) || !sk_list_empty(&h->works)) return;
  void (*cb)(void *) = h->close_cb;
  void *cb_ctx = h->close_ctx;
  mem_put(h->mem);
  handle_free(h);
  cb(cb_ctx);
}

/* Makes the jobs that the engine holds READY, some in each step. */
static bool release_step(struct mem_handle *h, struct mem_work *work) {
  (void)work;
  bool more = sk_mem_hand_back(h->mem, h->holder, false, RELEASED);
  sk_mem_notify(h);
  return !more;
}

static void mem_close(struct sk_store *store, void (*cb)(void *ctx), void *ctx) {
  struct mem_handle *h = sk_mem_handle(store);
  struct mem *mem = h->mem;
  assert(h->close_cb == NULL && cb != NULL);
  h->close_cb = cb;
  h->close_ctx = ctx;
  pthread_mutex_lock(&mem->lock);
  sk_list_remove(&h->node);
  if (!sk_list_empty(&h->holder->jobs)) sk_mem_go_on(h, &h->release);
  pthread_mutex_unlock(&mem->lock);
  if (sk_list_empty(&h->works)) sk_async_send(h->wake);
}

static int64_t mem_now_ms(struct sk_store *store) { return sk_store_wall_ms(&sk_mem_handle(store)->clock); }
static void mem_backup(struct sk_store *store, struct sk_backup_op *op) {
  struct mem_handle *h = sk_mem_begin(store, &op->op);
  sk_mem_answer(h, &op->op, sk_err_set(&op->op.err, SK_EUNSUPPORTED, "memory: there is no file to copy"));
}

/* No operation waits for anything; those that go on in steps end with their next step. */
static void mem_hurry(struct sk_store *store) { sk_mem_handle(store)->hurried = true; }

static const struct sk_store_ops memory_ops = {
  .scheme = "memory",
  .enqueue = sk_mem_enqueue,
  .fetch = sk_mem_fetch,
  .settle = sk_mem_settle,
  .beat = sk_mem_beat,
  .get = sk_mem_get,
  .list = sk_mem_list,
  .count = sk_mem_count,
  .change = sk_mem_change,
  .pause = sk_mem_pause,
  .progress = sk_mem_progress,
  .declare = sk_mem_declare,
  .tasks = sk_mem_tasks,
  .now_ms = mem_now_ms,
  .backup = mem_backup,
  .close = mem_close,
  .hurry = mem_hurry,
};

/* NULL when out of memory. */
static struct mem_handle *handle_new(struct sk_loop *loop, struct sk_str engine) {
  struct mem_handle *h = calloc(1, sizeof *h + engine.n);
  if (h == NULL) return NULL;
  if (engine.n) memcpy(h->bytes, engine.p, engine.n);
  h->engine = sk_str(h->bytes, engine.n);
  h->store.ops = &memory_ops;
  h->chores.step = sk_mem_chores_step;
  h->release.step = release_step;
  sk_list_init(&h->chores.node);
  sk_list_init(&h->release.node);
  sk_list_init(&h->works);
  sk_list_init(&h->answers);
  h->wake = sk_async_new(loop, on_wake, h);
  h->turn = sk_defer_new(loop, sk_mem_turn_works, h);
  h->holder = sk_mem_holder_new(engine);
  if (h->wake && h->turn && h->holder) return h;
  handle_free(h);
  return NULL;
}

enum sk_code sk_memory_open(struct sk_loop *loop, const struct sk_store_options *options,
                            const struct sk_store_events *events, struct sk_store **out, struct sk_err *err) {
  const size_t scheme_n = sizeof "memory:" - 1;
  struct sk_str name = sk_str(options->url.p + scheme_n, options->url.n - scheme_n);
  if (name.n > SK_NAME_BYTES_MAX)
    return sk_err_set(err, SK_EINVAL,
                      "store URL \"%.*s...\": the name after \"memory:\" has %zu bytes, at most %d are allowed",
                      SK_STR_ARG(sk_str_head(options->url, 60)), name.n, SK_NAME_BYTES_MAX);
  struct mem_handle *h = handle_new(loop, options->engine);
  struct mem *mem = NULL;
  enum sk_code code = h ? mem_get(name, options->must_exist, &mem, err)
                        : sk_err_set(err, SK_ENOMEM, "store \"memory:%.*s\": out of memory", SK_STR_ARG(name));
  if (code != SK_OK) {
    handle_free(h);
    return code;
  }
  h->mem = mem;
  h->clock = options->clock;
  h->events = events ? *events : (struct sk_store_events){ 0 };
  h->lease_ms = options->lease_ms;
  pthread_mutex_lock(&mem->lock);
  sk_list_push(&mem->handles, &h->node);
  h->mark = ++mem->marks;
  mem->now_ms = sk_store_wall_ms(&h->clock);
  if (h->engine.n) sk_mem_recover(h);
  pthread_mutex_unlock(&mem->lock);
  *out = &h->store;
  return SK_OK;
}
