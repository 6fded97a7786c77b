/* memory.c - the memory store: the contract of store.h as simply as it can be written, and the specification that the other
 * stores are held to.  This file opens and closes handles and carries answers to the loop; memory.h has the picture.
 *
 * "memory:" is a store of its own for each open; "memory:NAME" is one store for all who open that name in this process, and
 * lasts as long as one of them has it open.  An operation happens whole inside the call; only its callback comes later. */
#include <assert.h>
#include <stdlib.h>

#include "io/loop.h"
#include "store/memory/memory.h"

/* The named stores of this process: the only way that two handles, maybe of two threads, can find one store. */
static struct {
  pthread_mutex_t lock;
  struct mem *first;
} registry = { .lock = PTHREAD_MUTEX_INITIALIZER };

/* -- answers -------------------------------------------------------------------------------------------------------------- */

struct mem_handle *sk_mem_begin(struct sk_store *store, struct sk_op *op) {
  struct mem_handle *h = sk_mem_handle(store);
  assert(h->mem != NULL && h->close_cb == NULL && op->cb != NULL);
  op->err = (struct sk_err){ 0 };
  op->arena = (struct sk_arena){ 0 };
  pthread_mutex_lock(&h->mem->lock);
  int64_t before_ms = h->mem->now_ms;
  h->mem->now_ms = sk_store_wall_ms(&h->clock);
  if (h->mem->now_ms < before_ms) sk_mem_clock_back(h->mem);
  return h;
}

void sk_mem_answer(struct mem_handle *h, struct sk_op *op, enum sk_code status) {
  pthread_mutex_unlock(&h->mem->lock);
  op->status = status;
  if (status == SK_ENOMEM && op->err.code == SK_OK) sk_err_set(&op->err, SK_ENOMEM, "memory store: out of memory");
  /* An async, not a timer: a timer that is set again from its own callback would keep libuv from looking at anything else. */
  if (sk_list_empty(&h->answers)) sk_async_send(h->wake);
  sk_list_push(&h->answers, &op->node);
}

void sk_mem_notify(struct mem_handle *h) {
  SK_LIST_EACH (it, &h->mem->handles) {
    struct mem_handle *other = SK_CONTAINER(it, struct mem_handle, node);
    if (other == h || other->changed || other->events.changed == NULL) continue;
    other->changed = true;
    sk_async_send(other->wake);
  }
}

static void tell_changed(struct mem_handle *h) {
  if (h->mem == NULL) return;
  pthread_mutex_lock(&h->mem->lock);
  bool changed = h->changed;
  h->changed = false;
  pthread_mutex_unlock(&h->mem->lock);
  if (changed) h->events.changed(h->events.ctx);
}

static void on_wake(void *ctx) {
  struct mem_handle *h = ctx;
  tell_changed(h);
  struct sk_list answers; /* those that callbacks add are for the next turn */
  sk_list_init(&answers);
  sk_list_move(&answers, &h->answers);
  for (struct sk_list *it; (it = sk_list_pop(&answers)) != NULL;) {
    struct sk_op *op = SK_CONTAINER(it, struct sk_op, node);
    op->cb(op, op->ctx);
  }
  if (h->close_cb == NULL || !sk_list_empty(&h->answers)) return; /* submitted, then closed, by a callback: next turn */
  void (*cb)(void *) = h->close_cb;
  void *cb_ctx = h->close_ctx;
  sk_async_free(h->wake);
  sk_watches_fini(&h->watches);
  free(h);
  cb(cb_ctx);
}

/* -- open and close -------------------------------------------------------------------------------------------------------- */

static struct mem *mem_new(struct sk_str name) {
  struct mem *mem = calloc(1, sizeof *mem + name.n);
  if (mem == NULL) return NULL;
  if (name.n) memcpy(mem->bytes, name.p, name.n);
  mem->name = sk_str(mem->bytes, name.n);
  mem->refs = 1;
  mem->queues_version = 1;
  pthread_mutex_init(&mem->lock, NULL);
  sk_list_init(&mem->handles);
  sk_mem_table_init(&mem->jobs);
  return mem;
}

static void mem_free(struct mem *mem) {
  size_t at = 0;
  for (struct mem_job *job; (job = sk_mem_table_next(&mem->jobs, &at)) != NULL;) sk_mem_free(job);
  sk_mem_table_fini(&mem->jobs);
  struct mem_queue *queue, *next_queue;
  HASH_ITER(hh, mem->queues, queue, next_queue) {
    HASH_DEL(mem->queues, queue);
    for (int i = 0; i < SK_PRIORITIES; i++) sk_heap_fini(&queue->plain[i].front);
    sk_heap_fini(&queue->due);
    sk_heap_fini(&queue->tokens);
    free(queue);
  }
  struct mem_task *task, *next_task;
  HASH_ITER(hh, mem->tasks, task, next_task) {
    HASH_DEL(mem->tasks, task);
    sk_mem_task_free(task);
  }
  sk_mem_groups_free(mem);
  sk_buf_fini(&mem->stamped);
  sk_mem_locks_free(mem);
  sk_mem_bounds_free(mem);
  sk_heap_fini(&mem->kept);
  pthread_mutex_destroy(&mem->lock);
  free(mem);
}

/* The store of that name with one more reference, made if need be and allowed. */
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

static void mem_close(struct sk_store *store, void (*cb)(void *ctx), void *ctx) {
  struct mem_handle *h = sk_mem_handle(store);
  struct mem *mem = h->mem;
  assert(mem != NULL && h->close_cb == NULL && cb != NULL);
  pthread_mutex_lock(&mem->lock);
  if (sk_mem_hand_back(mem, h, false) > 0) sk_mem_notify(h);
  sk_list_remove(&h->node);
  pthread_mutex_unlock(&mem->lock);
  mem_put(mem);
  h->mem = NULL;
  h->close_cb = cb;
  h->close_ctx = ctx;
  sk_async_send(h->wake);
}

static int64_t mem_now_ms(struct sk_store *store) { return sk_store_wall_ms(&sk_mem_handle(store)->clock); }
static void mem_backup(struct sk_store *store, struct sk_backup_op *op) {
  struct mem_handle *h = sk_mem_begin(store, &op->op);
  sk_mem_answer(h, &op->op, sk_err_set(&op->op.err, SK_EUNSUPPORTED, "memory: there is no file to copy"));
}

static void mem_hurry(struct sk_store *store) { (void)store; /* it waits for nobody */ }

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

enum sk_code sk_memory_open(struct sk_loop *loop, const struct sk_store_options *options,
                            const struct sk_store_events *events, struct sk_store **out, struct sk_err *err) {
  const size_t scheme_n = sizeof "memory:" - 1;
  struct sk_str name = sk_str(options->url.p + scheme_n, options->url.n - scheme_n);
  if (name.n > SK_NAME_BYTES_MAX)
    return sk_err_set(err, SK_EINVAL,
                      "store URL \"%.*s...\": the name after \"memory:\" has %zu bytes, at most %d are allowed",
                      SK_STR_ARG(sk_str_head(options->url, 60)), name.n, SK_NAME_BYTES_MAX);
  struct sk_str engine = options->engine;
  struct mem_handle *h = calloc(1, sizeof *h + engine.n);
  struct sk_async *wake = h ? sk_async_new(loop, on_wake, h) : NULL;
  struct mem *mem = NULL;
  enum sk_code code = wake ? mem_get(name, options->must_exist, &mem, err)
                           : sk_err_set(err, SK_ENOMEM, "store \"memory:%.*s\": out of memory", SK_STR_ARG(name));
  if (code != SK_OK) {
    sk_async_free(wake);
    free(h);
    return code;
  }
  if (engine.n) memcpy(h->bytes, engine.p, engine.n);
  h->store.ops = &memory_ops;
  h->mem = mem;
  h->clock = options->clock;
  h->events = events ? *events : (struct sk_store_events){ 0 };
  h->wake = wake;
  h->engine = sk_str(h->bytes, engine.n);
  h->lease_ms = options->lease_ms;
  sk_list_init(&h->answers);
  sk_list_init(&h->held);
  pthread_mutex_lock(&mem->lock);
  sk_list_push(&mem->handles, &h->node);
  h->mark = ++mem->marks;
  if (engine.n) sk_mem_recover(h);
  pthread_mutex_unlock(&mem->lock);
  *out = &h->store;
  return SK_OK;
}
