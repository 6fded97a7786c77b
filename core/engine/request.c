/* request.c - see request.h.  A request is one allocation with a copy of its payload and its store operation; it is
 * freed after its answer. Enqueues that wait for capacity in a queue are in blocked_enqueue.c. */
#include "engine/request.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/clock.h"
#include "base/limits.h"
#include "base/list.h"
#include "engine/blocked_enqueue.h"
#include "engine/waits.h"
#include "io/loop.h"
#include "logic/callback.h"
#include "logic/job_check.h"
#include "logic/name.h"
#include "logic/record.h"
#include "logic/wire.h"
#include "store/store.h"

struct sk_requests {
  struct sk_requests_options options;
  struct sk_waits *waits;
  struct sk_blocked_enqueues *blocked;
  struct sk_list all;   /* every request without an answer */
  size_t waits_n;       /* requests that wait for the end of a job */
  size_t blocked_bytes; /* payloads of the enqueues that wait for capacity in a queue */
  bool stopped;
  int64_t deadline_ms; /* of the next requests */
};

struct request {
  struct sk_list node; /* in all */
  struct sk_requests *rs;
  unsigned operation;
  uint64_t owner;
  bool abandoned; /* its owner is gone */
  sk_answer_cb cb;
  void *ctx;
  struct sk_timer *timer; /* for an answer without the store, which must not come inside the call */
  struct sk_err err;      /* the sentence of that answer */
  int64_t deadline_ms;    /* of its store operations; see store.h */
  union {
    struct sk_op op;
    struct sk_enqueue_op enqueue;
    struct sk_get_op get;
    struct sk_list_op list;
    struct sk_count_op count;
    struct sk_change_op change;
    struct sk_pause_op pause;
    struct sk_tasks_op tasks;
  } u;
  void *items;           /* owned array of the inputs of the operation */
  struct sk_arena texts; /* texts of the items that are not in the payload */
  size_t items_n;        /* ENQUEUE: of `items` */
  size_t added_n;        /* ENQUEUE: the first so many have been answered; u.enqueue is the next batch of them */
  int64_t due_in_ms;     /* ENQUEUE: when the earliest job is due */
  struct sk_wait *wait;  /* WAIT: its wait; NULL: over */
  struct sk_blocked_enqueue blocked; /* ENQUEUE: its wait for capacity in a queue */
  size_t payload_n;
  char payload[];
};

struct sk_requests *sk_requests_new(const struct sk_requests_options *options, struct sk_err *err) {
  struct sk_requests *rs = calloc(1, sizeof *rs);
  if (rs) rs->waits = sk_waits_new(options->loop, options->idle, options->ctx);
  if (rs) rs->blocked = sk_blocked_enqueues_new(options->loop, options->added, options->ctx);
  if (rs == NULL || rs->waits == NULL || rs->blocked == NULL) {
    if (rs) sk_waits_free(rs->waits);
    if (rs) sk_blocked_enqueues_free(rs->blocked);
    free(rs);
    sk_err_set(err, SK_ENOMEM, "requests: out of memory");
    return NULL;
  }
  rs->options = *options;
  sk_list_init(&rs->all);
  sk_requests_use(rs, options->store);
  return rs;
}

void sk_requests_use(struct sk_requests *rs, struct sk_store *store) {
  rs->options.store = store;
  sk_waits_use(rs->waits, store);
  sk_blocked_enqueues_use(rs->blocked, store);
}

void sk_requests_until(struct sk_requests *rs, int64_t deadline_ms) { rs->deadline_ms = deadline_ms; }

int sk_requests_idle(const struct sk_requests *rs) { return sk_list_empty(&rs->all) && sk_waits_idle(rs->waits); }

void sk_requests_free(struct sk_requests *rs) {
  if (rs == NULL) return;
  assert(sk_requests_idle(rs));
  sk_waits_free(rs->waits);
  sk_blocked_enqueues_free(rs->blocked);
  free(rs);
}

static void finish(struct request *q, enum sk_code code, struct sk_str answer) {
  sk_list_remove(&q->node);
  q->cb(q->ctx, code, answer);
  sk_timer_free(q->timer);
  sk_op_fini(&q->u.op);
  sk_arena_fini(&q->texts);
  free(q->items);
  free(q);
}

static void answer_early(void *ctx) {
  struct request *q = ctx;
  finish(q, q->err.code, sk_str_c(q->err.message));
}

/* Answers with q->err, but not inside the call that asked. */
static void refuse(struct request *q) {
  q->timer = sk_timer_new(q->rs->options.loop, answer_early, q);
  if (q->timer)
    sk_timer_start(q->timer, 0);
  else
    finish(q, SK_ENOMEM, SK_STR_LIT("out of memory"));
}

/* -- answers ------------------------------------------------------------------------------------------------------- */

static void add_view(struct sk_buf *b, const struct sk_view *v) {
  sk_buf_add_byte(b, (char)v->state);
  sk_wire_add_str(b, v->id);
  sk_wire_add_str(b, v->queue);
  sk_wire_add_str(b, v->record);
  sk_buf_add_u32(b, (uint32_t)v->priority);
  sk_wire_add_i64(b, v->due_ms);
  sk_wire_add_i64(b, v->running_since_ms);
  sk_wire_add_str(b, v->engine);
  sk_buf_add_u32(b, (uint32_t)v->percent);
  sk_wire_add_str(b, v->progress_text);
  sk_wire_add_str(b, v->log);
  sk_buf_add_byte(b, v->stopping);
  sk_buf_add_byte(b, (char)v->blocked_by);
}

static void add_enqueue(struct sk_buf *b, const struct request *q) {
  const struct sk_enqueue_item *items = q->items;
  for (size_t i = 0; i < q->items_n; i++) sk_buf_add_byte(b, (char)items[i].status);
  for (size_t i = 0; i < q->items_n; i++)
    if (items[i].status == SK_EEXISTS) sk_wire_add_str(b, items[i].holder);
}

static void add_count(struct sk_buf *b, const struct sk_count_op *c) {
  sk_buf_add_u32(b, (uint32_t)c->queues_n);
  for (size_t i = 0; i < c->queues_n; i++) {
    sk_wire_add_str(b, c->queues[i].name);
    sk_buf_add_byte(b, c->queues[i].paused);
    for (int s = 0; s < SK_STATES; s++) sk_wire_add_i64(b, c->queues[i].states[s]);
  }
  const struct sk_counters *k = &c->counters;
  int64_t counters[] = {
    k->enqueued, k->done, k->retried, k->dead, k->cancelled, k->discarded, k->crashed, k->recovered
  };
  for (size_t i = 0; i < sizeof counters / sizeof *counters; i++) sk_wire_add_i64(b, counters[i]);
}

static void add_change(struct sk_buf *b, const struct request *q) {
  const struct sk_change_op *c = &q->u.change;
  sk_wire_add_i64(b, (int64_t)c->changed);
  for (size_t i = 0; i < c->ids_n; i++) sk_buf_add_byte(b, (char)c->statuses[i]);
  if (c->changed == 0) return;
  sk_waits_changed(q->rs->waits);              /* a cancelled job has ended */
  sk_blocked_enqueues_changed(q->rs->blocked); /* and leaves capacity in its queue */
  if (q->rs->options.added) q->rs->options.added(q->rs->options.ctx, NULL, 0, 0);
  if (c->verb == SK_VERB_CANCEL && q->rs->options.cancelled) q->rs->options.cancelled(q->rs->options.ctx);
}

static void add_tasks(struct sk_buf *b, const struct sk_tasks_op *t) {
  sk_buf_add_u32(b, (uint32_t)t->items_n);
  for (size_t i = 0; i < t->items_n; i++) {
    sk_wire_add_str(b, t->items[i].name);
    sk_wire_add_str(b, t->items[i].queue);
    sk_buf_add_u32(b, (uint32_t)t->items[i].priority);
    sk_wire_add_str(b, t->items[i].template);
  }
  sk_buf_add_u32(b, (uint32_t)t->queues_n);
  for (size_t i = 0; i < t->queues_n; i++) sk_queue_settings_write(b, &t->queues[i]);
  sk_buf_add_u32(b, (uint32_t)t->moves);
}

static void answer(struct request *q) {
  struct sk_buf b = { 0 };
  switch ((enum sk_operation)q->operation) {
  case SK_OP_ENQUEUE: add_enqueue(&b, q); break;
  case SK_OP_GET:
    for (size_t i = 0; i < q->u.get.ids_n; i++) add_view(&b, &q->u.get.views[i]);
    break;
  case SK_OP_LIST:
    sk_buf_add_u32(&b, (uint32_t)q->u.list.views_n);
    for (size_t i = 0; i < q->u.list.views_n; i++) add_view(&b, &q->u.list.views[i]);
    break;
  case SK_OP_COUNT: add_count(&b, &q->u.count); break;
  case SK_OP_CHANGE: add_change(&b, q); break;
  case SK_OP_PAUSE:
    if (q->rs->options.added) q->rs->options.added(q->rs->options.ctx, NULL, 0, 0);
    break;
  case SK_OP_TASKS: add_tasks(&b, &q->u.tasks); break;
  case SK_OP_WAIT: break; /* answered by on_waited */
  }
  if (b.failed)
    finish(q, SK_ENOMEM, SK_STR_LIT("the answer is too large for this process's memory"));
  else if (b.n > SK_FRAME_BYTES_MAX - 64)
    finish(q, SK_ELIMIT, SK_STR_LIT("the answer is too large: ask for fewer jobs"));
  else
    finish(q, SK_OK, sk_buf_str(&b));
  sk_buf_fini(&b);
}

static void on_unblocked(void *ctx, enum sk_code code) {
  struct request *q = ctx;
  q->rs->blocked_bytes -= q->payload_n;
  if (code == SK_OK)
    answer(q);
  else if (code == SK_EUNKNOWN)
    finish(q, code,
           SK_STR_LIT("enqueue: the connection was lost while it waited for capacity; some jobs may have been added"));
  else
    finish(q, code, SK_STR_LIT("enqueue: out of memory"));
}

/* True when a full queue has refused some jobs and they may wait for capacity: then on_unblocked answers. */
static bool block_refused(struct request *q) {
  const struct sk_enqueue_item *items = q->items;
  size_t refused = 0;
  for (size_t i = 0; i < q->items_n; i++) refused += items[i].status == SK_ELIMIT;
  if (refused == 0 || q->blocked.block_ms <= 0 || q->rs->stopped || q->abandoned) return false;
  if (q->rs->blocked_bytes + q->payload_n > SK_BLOCKED_BYTES_MAX) return false;
  q->rs->blocked_bytes += q->payload_n;
  if (q->rs->options.blocked) q->rs->options.blocked(q->ctx);
  q->blocked.items = q->items;
  q->blocked.items_n = q->items_n;
  q->blocked.arena = &q->texts;
  q->blocked.due_in_ms = q->due_in_ms;
  q->blocked.cb = on_unblocked;
  q->blocked.ctx = q;
  sk_blocked_enqueue_wait(q->rs->blocked, &q->blocked);
  return true;
}

static void on_op(struct sk_op *op, void *ctx);

/* Sends the next jobs that have no answer yet, at most SK_BATCH_BYTES_MAX of records, unless it is one job. */
static void send_batch(struct request *q) {
  struct sk_enqueue_op *op = &q->u.enqueue;
  *op = (struct sk_enqueue_op){ .op = { .cb = on_op, .ctx = q, .deadline_ms = q->deadline_ms } };
  op->items = (struct sk_enqueue_item *)q->items + q->added_n;
  op->items_n = sk_enqueue_batch_n(op->items, q->items_n - q->added_n);
  q->rs->options.store->ops->enqueue(q->rs->options.store, op);
}

/* The store has answered a batch of jobs.  Copies the lock holders, which are the operation's, when other batches
 * follow. */
static void take_batch(struct request *q) {
  struct sk_enqueue_op *op = &q->u.enqueue;
  bool last = q->added_n + op->items_n == q->items_n;
  size_t refused = 0;
  for (size_t i = 0; i < op->items_n; i++) {
    struct sk_enqueue_item *item = &op->items[i];
    refused += item->status == SK_ELIMIT;
    if (last || item->status != SK_EEXISTS || item->holder.n == 0) continue;
    item->holder = sk_arena_copy(&q->texts, item->holder);
    if (item->holder.p == NULL) item->status = SK_ENOMEM;
  }
  if (q->rs->options.added && refused < op->items_n)
    q->rs->options.added(q->rs->options.ctx, op->items, op->items_n, q->due_in_ms);
  q->added_n += op->items_n;
  if (!last) sk_op_fini(&op->op);
}

/* Jobs of earlier batches are in the store: a client that hears "unavailable" would believe that nothing has happened.
 */
static void fail_batch(struct request *q) {
  const struct sk_op *op = &q->u.op;
  enum sk_code code = op->status == SK_EUNAVAILABLE && q->added_n > 0 ? SK_EUNKNOWN : op->status;
  if (q->added_n > 0)
    sk_err_set(&q->err, code, "%s (after %zu of %zu jobs were sent)", op->err.message, q->added_n, q->items_n);
  else
    q->err = op->err;
  finish(q, code, sk_str_c(q->err.message));
}

static void on_op(struct sk_op *op, void *ctx) {
  struct request *q = ctx;
  if (q->operation != SK_OP_ENQUEUE) {
    if (op->status == SK_OK)
      answer(q);
    else
      finish(q, op->status, sk_str_c(op->err.message));
    return;
  }
  if (op->status != SK_OK) {
    fail_batch(q);
    return;
  }
  take_batch(q);
  if (q->added_n < q->items_n)
    send_batch(q);
  else if (!block_refused(q))
    answer(q);
}

/* -- waiting for a job's end --------------------------------------------------------------------------------------- */

static void on_waited(void *ctx, enum sk_code code, const struct sk_view *view) {
  struct request *q = ctx;
  struct sk_buf b = { 0 };
  q->wait = NULL;
  q->rs->waits_n--;
  if (view) add_view(&b, view);
  if (b.failed)
    finish(q, SK_ENOMEM, SK_STR_LIT("wait: out of memory"));
  else if (code == SK_OK)
    finish(q, SK_OK, sk_buf_str(&b));
  else if (code == SK_ETIMEOUT)
    finish(q, code, SK_STR_LIT("wait: the job has not ended within the time given"));
  else
    finish(q, code, SK_STR_LIT("wait: stopping"));
  sk_buf_fini(&b);
}

void sk_requests_changed(struct sk_requests *rs) {
  sk_waits_changed(rs->waits);
  sk_blocked_enqueues_changed(rs->blocked);
}

void sk_requests_fetched(struct sk_requests *rs) { sk_blocked_enqueues_changed(rs->blocked); }

void sk_requests_settled(struct sk_requests *rs, struct sk_str id) { sk_waits_settled(rs->waits, id); }

void sk_requests_abandon(struct sk_requests *rs, uint64_t owner) {
  SK_LIST_EACH_SAFE(n, &rs->all) {
    struct request *q = SK_CONTAINER(n, struct request, node);
    if (q->owner != owner) continue;
    q->abandoned = true;
    if (q->wait)
      sk_waits_abandon(q->wait);
    else if (q->operation == SK_OP_ENQUEUE)
      sk_blocked_enqueue_end(&q->blocked);
  }
}

void sk_requests_stop(struct sk_requests *rs) {
  rs->stopped = true;
  sk_waits_stop(rs->waits);
  sk_blocked_enqueues_stop(rs->blocked);
}

/* -- reading requests ---------------------------------------------------------------------------------------------- */

static enum sk_code malformed(struct request *q) {
  return sk_err_set(&q->err, SK_EINVAL, "request %u: malformed payload", q->operation);
}

static enum sk_code too_many(struct request *q, uint32_t n, uint32_t max) {
  return sk_err_set(&q->err, SK_ELIMIT, "request %u: %u items, the limit is %u", q->operation, n, max);
}

static enum sk_code read_enqueue_item(struct request *q, struct sk_reader *r, struct sk_enqueue_item *item) {
  struct sk_str record = sk_read_str(r);
  int64_t due_ms = sk_read_i64(r);
  int64_t delay_ms = sk_read_i64(r);
  if (r->bad) return malformed(q);
  const int64_t delay_max = SK_SECONDS_MAX * 1000, due_max = 2 * delay_max;
  if (delay_ms < 0 || delay_ms > delay_max || due_ms < 0 || due_ms > due_max)
    return sk_err_set(&q->err, SK_ELIMIT, "enqueue: delay %lld ms, due at %lld ms: expected 0 to %lld and 0 to %lld",
                      (long long)delay_ms, (long long)due_ms, (long long)delay_max, (long long)due_max);
  struct sk_job job;
  enum sk_code code = sk_record_decode(record, &job, &q->err);
  if (code == SK_OK) code = sk_job_check_shape(&job, q->rs->options.args_bytes_max, &q->err);
  if (code == SK_OK) code = sk_callbacks_check(job.on_success, q->rs->options.args_bytes_max, &q->err);
  if (code == SK_OK) code = sk_callbacks_check(job.on_error, q->rs->options.args_bytes_max, &q->err);
  if (code != SK_OK) return code;
  code = sk_enqueue_item_init(item, &job, record, &q->err);
  if (code != SK_OK) return code;
  item->due_ms = due_ms;
  item->delay_ms = delay_ms;
  return SK_OK;
}

/* Hands q->items to the store. */
static void enqueue_items(struct request *q, size_t n) {
  struct sk_store *store = q->rs->options.store;
  const struct sk_enqueue_item *items = q->items;
  q->due_in_ms = INT64_MAX;
  for (size_t i = 0; i < n; i++) {
    int64_t due_in = items[i].delay_ms > 0 ? items[i].delay_ms
                     : items[i].due_ms > 0 ? items[i].due_ms - store->ops->now_ms(store)
                                           : 0;
    if (due_in < 0) due_in = 0;
    if (due_in < q->due_in_ms) q->due_in_ms = due_in;
  }
  q->items_n = n;
  send_batch(q);
}

static enum sk_code start_enqueue(struct request *q, struct sk_reader *r) {
  q->blocked.block_ms = sk_read_i64(r);
  bool fresh = sk_read_u8(r) != 0;
  uint32_t n = sk_read_u32(r);
  if (r->bad || n == 0 || q->blocked.block_ms < 0) return malformed(q);
  if (q->blocked.block_ms > SK_SECONDS_MAX * 1000)
    return sk_err_set(&q->err, SK_ELIMIT, "enqueue: block for %lld ms: expected at most %lld",
                      (long long)q->blocked.block_ms, SK_SECONDS_MAX * 1000);
  if (n > SK_ENQUEUE_BATCH_MAX) return too_many(q, n, SK_ENQUEUE_BATCH_MAX);
  struct sk_enqueue_item *items = q->items = calloc(n, sizeof *items);
  if (items == NULL) return sk_err_set(&q->err, SK_ENOMEM, "enqueue: out of memory");
  for (uint32_t i = 0; i < n; i++) {
    enum sk_code code = read_enqueue_item(q, r, &items[i]);
    if (code != SK_OK) return code;
    items[i].fresh = fresh;
  }
  if (!sk_reader_done(r)) return malformed(q);
  enqueue_items(q, n);
  return SK_OK;
}

static enum sk_code read_ids(struct request *q, struct sk_reader *r, uint32_t n) {
  if (n > SK_ENQUEUE_BATCH_MAX) return too_many(q, n, SK_ENQUEUE_BATCH_MAX);
  struct sk_str *ids = q->items = calloc(n ? n : 1, sizeof *ids);
  if (ids == NULL) return sk_err_set(&q->err, SK_ENOMEM, "ids: out of memory");
  for (uint32_t i = 0; i < n; i++) ids[i] = sk_read_str(r);
  return r->bad ? malformed(q) : SK_OK;
}

static enum sk_code start_get(struct request *q, struct sk_reader *r, struct sk_store *store) {
  uint32_t n = sk_read_u32(r);
  enum sk_code code = read_ids(q, r, n);
  if (code != SK_OK) return code;
  if (!sk_reader_done(r) || n == 0) return malformed(q);
  q->u.get.ids = q->items;
  q->u.get.ids_n = n;
  store->ops->get(store, &q->u.get);
  return SK_OK;
}

static enum sk_code start_wait(struct request *q, struct sk_reader *r) {
  struct sk_str id = sk_read_str(r);
  int64_t timeout_ms = sk_read_i64(r);
  if (!sk_reader_done(r)) return malformed(q);
  if (q->rs->waits_n >= SK_WAITS_MAX)
    return sk_err_set(&q->err, SK_ELIMIT, "wait: %zu are under way in this process, the limit is %d", q->rs->waits_n,
                      SK_WAITS_MAX);
  q->wait = sk_waits_add(q->rs->waits, id, timeout_ms, on_waited, q);
  if (q->wait == NULL) return sk_err_set(&q->err, SK_ENOMEM, "wait: out of memory");
  q->rs->waits_n++;
  return SK_OK;
}

static struct sk_filter read_filter(struct sk_reader *r) {
  struct sk_filter f = { .state = (enum sk_state)sk_read_u8(r) };
  if ((unsigned)f.state >= SK_STATES) r->bad = true;
  f.queue = sk_read_str(r);
  f.task = sk_read_str(r);
  return f;
}

static enum sk_code start_list(struct request *q, struct sk_reader *r, struct sk_store *store) {
  q->u.list.filter = read_filter(r);
  q->u.list.offset = sk_read_u32(r);
  uint32_t limit = sk_read_u32(r);
  if (!sk_reader_done(r)) return malformed(q);
  if (limit > SK_LIST_LIMIT_MAX) return too_many(q, limit, SK_LIST_LIMIT_MAX);
  q->u.list.limit = limit;
  q->u.list.bytes_max = SK_FRAME_BYTES_MAX;
  store->ops->list(store, &q->u.list);
  return SK_OK;
}

static enum sk_code start_change(struct request *q, struct sk_reader *r, struct sk_store *store) {
  unsigned verb = sk_read_u8(r);
  q->u.change.keep_ms = sk_read_i64(r);
  uint32_t n = sk_read_u32(r);
  enum sk_code code = read_ids(q, r, n);
  if (code != SK_OK) return code;
  q->u.change.filter = read_filter(r);
  if (!sk_reader_done(r) || verb > SK_VERB_PROMOTE || q->u.change.keep_ms < 0) return malformed(q);
  q->u.change.verb = (enum sk_verb)verb;
  q->u.change.ids = q->items;
  q->u.change.ids_n = n;
  store->ops->change(store, &q->u.change);
  return SK_OK;
}

static enum sk_code start_pause(struct request *q, struct sk_reader *r, struct sk_store *store) {
  q->u.pause.queue = sk_read_str(r);
  q->u.pause.paused = sk_read_u8(r) != 0;
  if (!sk_reader_done(r)) return malformed(q);
  enum sk_code code = sk_name_check("queue", q->u.pause.queue, &q->err);
  if (code != SK_OK) return code;
  store->ops->pause(store, &q->u.pause);
  return SK_OK;
}

static enum sk_code start(struct request *q) {
  struct sk_store *store = q->rs->options.store;
  struct sk_reader r = sk_reader(sk_str(q->payload, q->payload_n));
  switch (q->operation) {
  case SK_OP_ENQUEUE: return start_enqueue(q, &r);
  case SK_OP_GET: return start_get(q, &r, store);
  case SK_OP_WAIT: return start_wait(q, &r);
  case SK_OP_LIST: return start_list(q, &r, store);
  case SK_OP_COUNT: store->ops->count(store, &q->u.count); return SK_OK;
  case SK_OP_CHANGE: return start_change(q, &r, store);
  case SK_OP_PAUSE: return start_pause(q, &r, store);
  case SK_OP_TASKS: store->ops->tasks(store, &q->u.tasks); return SK_OK;
  default: return sk_err_set(&q->err, SK_EINVAL, "request: unknown operation %u", q->operation);
  }
}

/* NULL, and answered, when out of memory. */
static struct request *new_request(struct sk_requests *rs, unsigned operation, size_t payload_n, sk_answer_cb cb,
                                   void *ctx) {
  struct request *q = malloc(sizeof *q + payload_n);
  if (q == NULL) {
    cb(ctx, SK_ENOMEM, SK_STR_LIT("request: out of memory")); /* the one answer that comes inside the call */
    return NULL;
  }
  *q = (struct request){ .rs = rs, .operation = operation, .cb = cb, .ctx = ctx, .payload_n = payload_n };
  q->deadline_ms = rs->deadline_ms;
  q->u.op.cb = on_op;
  q->u.op.ctx = q;
  q->u.op.deadline_ms = q->deadline_ms;
  sk_list_push(&rs->all, &q->node);
  return q;
}

void sk_requests_run(struct sk_requests *rs, uint64_t owner, unsigned operation, struct sk_str payload, sk_answer_cb cb,
                     void *ctx) {
  struct request *q = new_request(rs, operation, payload.n, cb, ctx);
  if (q == NULL) return;
  q->owner = owner;
  if (payload.n) memcpy(q->payload, payload.p, payload.n);
  enum sk_code code = rs->stopped ? sk_err_set(&q->err, SK_ECANCELLED, "the engine is stopping") : start(q);
  if (code != SK_OK) refuse(q);
}

void sk_requests_enqueue(struct sk_requests *rs, struct sk_enqueue_item *items, size_t n, struct sk_arena *texts,
                         sk_answer_cb cb, void *ctx) {
  struct request *q = new_request(rs, SK_OP_ENQUEUE, 0, cb, ctx);
  if (q == NULL) {
    free(items);
    sk_arena_fini(texts);
    return;
  }
  q->items = items;
  q->texts = *texts;
  *texts = (struct sk_arena){ 0 };
  if (rs->stopped) {
    sk_err_set(&q->err, SK_ECANCELLED, "the engine is stopping");
    refuse(q);
  } else {
    enqueue_items(q, n);
  }
}
