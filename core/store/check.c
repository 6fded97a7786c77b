/* check.c - see check.h. */
#include "store/check.h"

#include "base/limits.h"

enum sk_code sk_check_engine(bool is_engine, const char *what, struct sk_err *err) {
  if (is_engine) return SK_OK;
  return sk_err_set(err, SK_EINVAL,
                    "%s: only an engine may, and this store was opened by a client (without an engine id)", what);
}

static enum sk_code check_name(const char *what, struct sk_str name, struct sk_err *err) {
  if (name.n <= SK_NAME_BYTES_MAX) return SK_OK;
  return sk_err_set(err, SK_ELIMIT, "%s \"%.*s...\": %zu bytes, at most %d are allowed", what,
                    SK_STR_ARG(sk_str_head(name, 40)), name.n, SK_NAME_BYTES_MAX);
}

static enum sk_code check_limit(const char *what, struct sk_str whose, const struct sk_limit *l, struct sk_err *err) {
  if (l->concurrency >= 0 && l->rate >= 0 && (l->rate == 0 || (l->per_ms > 0 && l->burst > 0))) return SK_OK;
  return sk_err_set(err, SK_EINVAL,
                    "%s \"%.*s\": concurrency %lld, rate %lld per %lld ms, burst %lld: expected none below 0, and with "
                    "a rate a time and a burst above 0",
                    what, SK_STR_ARG(whose), (long long)l->concurrency, (long long)l->rate, (long long)l->per_ms,
                    (long long)l->burst);
}

static enum sk_code check_lock(struct sk_str id, const struct sk_lock *lock, struct sk_err *err) {
  if (lock->mode == SK_LOCK_NONE) return SK_OK;
  if (lock->key.n == 0 || lock->key.n > SK_KEY_BYTES_MAX)
    return sk_err_set(err, SK_EINVAL, "enqueue: the lock of job \"%.*s\" has a key of %zu bytes, expected 1 to %d",
                      SK_STR_ARG(id), lock->key.n, SK_KEY_BYTES_MAX);
  if (lock->ttl_ms < 0 || (lock->mode == SK_LOCK_THROTTLE && lock->ttl_ms == 0))
    return sk_err_set(err, SK_EINVAL, "enqueue: the lock of job \"%.*s\" has a ttl of %lld ms, expected %s",
                      SK_STR_ARG(id), (long long)lock->ttl_ms,
                      lock->mode == SK_LOCK_THROTTLE ? "more than 0" : "0 or more");
  return SK_OK;
}

static enum sk_code check_item(const struct sk_enqueue_item *it, struct sk_err *err) {
  struct sk_str id = sk_str_head(it->id, SK_ID_BYTES_MAX);
  if (it->priority < SK_PRIORITY_MIN || it->priority > SK_PRIORITY_MAX)
    return sk_err_set(err, SK_EINVAL, "enqueue: priority %d of job \"%.*s\" is not in %d..%d", it->priority,
                      SK_STR_ARG(id), SK_PRIORITY_MIN, SK_PRIORITY_MAX);
  if (memchr(it->id.p, ' ', it->id.n))
    return sk_err_set(err, SK_EINVAL, "enqueue: id \"%.*s\" of a job has a space in it", SK_STR_ARG(id));
  enum sk_code code = check_name("queue", it->queue, err);
  if (code == SK_OK) code = check_name("task", it->task, err);
  if (code == SK_OK) code = check_lock(id, &it->lock, err);
  if (code != SK_OK || it->limit.group.n == 0) return code;
  if (it->limit.group.n > SK_KEY_BYTES_MAX)
    return sk_err_set(err, SK_EINVAL, "enqueue: the group of job \"%.*s\" has %zu bytes, expected at most %d",
                      SK_STR_ARG(id), it->limit.group.n, SK_KEY_BYTES_MAX);
  return check_limit("enqueue: the limit of job", id, &it->limit, err);
}

enum sk_code sk_check_enqueue(const struct sk_enqueue_item *items, size_t n, struct sk_err *err) {
  if (n > SK_ENQUEUE_BATCH_MAX)
    return sk_err_set(err, SK_ELIMIT, "enqueue: %zu jobs in one batch, at most %d are allowed", n,
                      SK_ENQUEUE_BATCH_MAX);
  for (size_t i = 0; i < n; i++) {
    if (items[i].id.n == 0 || items[i].queue.n == 0)
      return sk_err_set(err, SK_EINVAL, "enqueue: job %zu of the batch has no %s", i + 1,
                        items[i].id.n ? "queue" : "id");
    enum sk_code code = check_item(&items[i], err);
    if (code != SK_OK) return code;
  }
  return SK_OK;
}

enum sk_code sk_check_fetch(const struct sk_fetch_op *op, struct sk_err *err) {
  if (op->want > SK_FETCH_BATCH_MAX)
    return sk_err_set(err, SK_ELIMIT, "fetch: %zu jobs wanted, at most %d are allowed", op->want, SK_FETCH_BATCH_MAX);
  enum sk_code code = SK_OK;
  for (size_t i = 0; code == SK_OK && i < op->queues_n; i++) code = check_name("queue", op->queues[i].name, err);
  return code;
}

enum sk_code sk_check_settle(const struct sk_settle_op *op, struct sk_err *err) {
  enum sk_code code = SK_OK;
  for (size_t i = 0; code == SK_OK && i < op->items_n; i++) {
    code = sk_check_enqueue(op->items[i].callbacks, op->items[i].callbacks_n, err);
    if (code == SK_OK) code = check_name("queue", op->items[i].queue, err);
    if (code == SK_OK) code = check_name("queue", op->items[i].to_queue, err);
  }
  return code;
}

enum sk_code sk_check_list(const struct sk_list_op *op, struct sk_err *err) {
  if (op->limit <= SK_LIST_LIMIT_MAX) return SK_OK;
  return sk_err_set(err, SK_ELIMIT, "list: limit %zu, at most %d is allowed", op->limit, SK_LIST_LIMIT_MAX);
}

enum sk_code sk_check_listed(const struct sk_list_op *op, const struct sk_view *view, size_t *bytes,
                             struct sk_err *err) {
  *bytes += view->id.n + view->queue.n + view->record.n + view->engine.n + view->progress_text.n + view->log.n;
  if (op->bytes_max == 0 || *bytes <= op->bytes_max) return SK_OK;
  return sk_err_set(err, SK_ELIMIT, "the answer is too large: ask for fewer jobs (these take more than %zu bytes)",
                    op->bytes_max);
}

enum sk_code sk_check_pause(const struct sk_pause_op *op, struct sk_err *err) {
  return op->queue.n ? check_name("queue", op->queue, err) : sk_err_set(err, SK_EINVAL, "pause: no queue is named");
}

enum sk_code sk_check_declare(const struct sk_declare_op *op, struct sk_err *err) {
  enum sk_code code = SK_OK;
  for (size_t i = 0; code == SK_OK && i < op->queues_n; i++) {
    const struct sk_queue_settings *it = &op->queues[i];
    if (it->name.n == 0) return sk_err_set(err, SK_EINVAL, "declare: queue %zu has no name", i + 1);
    code = check_name("queue", it->name, err);
    if (code == SK_OK && it->max_len < 0)
      code = sk_err_set(err, SK_EINVAL, "declare: queue \"%.*s\": max_len %lld, expected 0 or more",
                        SK_STR_ARG(it->name), (long long)it->max_len);
    if (code == SK_OK) code = check_limit("declare: queue", it->name, &it->limit, err);
  }
  return code;
}
