/* callbacks.c - see callbacks.h. */
#include "engine/callbacks.h"

#include <stdlib.h>

#include "base/limits.h"
#include "logic/callback.h"
#include "logic/job_check.h"
#include "logic/json.h"
#include "logic/record.h"

typedef void (*put_fn)(struct sk_str args, struct sk_str json, struct sk_buf *out);

/* The callbacks of one kind at an end, and the argument that each of them gets. */
struct giving {
  const struct sk_callbacks_end *end;
  const char *what;   /* "on_success" */
  struct sk_str json; /* the argument; empty: none */
  put_fn put;
  struct sk_callbacks *callbacks;
};

static void say(const struct giving *g, struct sk_str id, const char *why) {
  sk_logf(g->end->log, SK_LOG_ERROR, "job %.*s: its %s callback %.*s %s", SK_STR_ARG(g->end->job->id), g->what,
          SK_STR_ARG(sk_str_head(id, SK_ID_BYTES_MAX)), why);
}

/* Adds `json` to the callback's args as far as the limits allow: otherwise it adds null, otherwise the args stay as
 * they are. Args that are no JSON array stay as they are too: the callback then fails when it runs, and is not lost. */
static enum sk_code fill_args(const struct giving *g, struct sk_job *job, struct sk_buf *args, struct sk_err *err) {
  size_t n = 0, bytes_max = g->end->args_bytes_max;
  if (g->json.n == 0) return SK_OK;
  if (sk_json_array_count(job->args, &n, NULL) != SK_OK) {
    say(g, job->id, "gets nothing: its args are not a JSON array");
    return SK_OK;
  }
  struct sk_str null = SK_STR_LIT("null");
  bool fits = job->args.n + g->json.n + 1 <= bytes_max, null_fits = job->args.n + null.n + 1 <= bytes_max;
  if (n >= SK_ARGS_COUNT_MAX || !null_fits) {
    say(g, job->id, "gets nothing: its args are as many, or as long, as they may be");
    return SK_OK;
  }
  if (!fits) say(g, job->id, "gets null: with what it should get its args would be too long");
  g->put(job->args, fits ? g->json : null, args);
  if (args->failed) return sk_err_set(err, SK_ENOMEM, "out of memory");
  job->args = sk_buf_str(args);
  return SK_OK;
}

/* Makes it a job that is enqueued now. */
static void refresh(struct sk_job *job, int64_t now_ms) {
  sk_job_move_times(job, now_ms);
  job->attempts = job->crashes = job->unknowns = job->recoveries = 0;
  job->error_kind = SK_KIND_NONE;
  job->started_ms = job->finished_ms = 0;
  job->error = job->traceback = job->result = job->history = job->log = sk_str(NULL, 0);
}

/* The callback's record as it is stored, in g->callbacks' arena. */
static enum sk_code make_record(const struct giving *g, struct sk_str callback, struct sk_str *out,
                                struct sk_err *err) {
  struct sk_job job;
  struct sk_buf args = { 0 }, record = { 0 };
  enum sk_code code = sk_record_decode(callback, &job, err);
  if (code == SK_OK)
    code = sk_job_check_shape(&job, SK_RECORD_BYTES_MAX, err); /* as run.c checked it after the fetch */
  if (code == SK_OK) code = fill_args(g, &job, &args, err);
  if (code == SK_OK) {
    refresh(&job, g->end->now_ms);
    sk_record_encode(&job, &record);
    *out = record.failed ? sk_str(NULL, 0) : sk_arena_copy(&g->callbacks->text, sk_buf_str(&record));
    if (out->p == NULL) code = sk_err_set(err, SK_ENOMEM, "out of memory");
  }
  if (code == SK_OK && out->n > SK_RECORD_BYTES_MAX)
    code = sk_err_set(err, SK_ELIMIT, "record: %zu bytes, expected at most %d", out->n, SK_RECORD_BYTES_MAX);
  sk_buf_fini(&args);
  sk_buf_fini(&record);
  return code;
}

/* Adds the item of a callback.  SK_ENOMEM, or another code when the callback cannot be used. */
static enum sk_code add(const struct giving *g, const struct sk_callback *callback, struct sk_err *err) {
  struct sk_callbacks *callbacks = g->callbacks;
  struct sk_str record;
  struct sk_job job;
  enum sk_code code = make_record(g, callback->record, &record, err);
  if (code == SK_OK) code = sk_record_decode(record, &job, err);
  if (code == SK_OK) code = sk_enqueue_item_init(&callbacks->items[callbacks->n], &job, record, err);
  if (code != SK_OK) return code;
  struct sk_enqueue_item *item = &callbacks->items[callbacks->n++];
  item->due_ms = callback->due_ms;
  item->delay_ms = callback->delay_ms;
  int64_t now_ms = g->end->now_ms;
  int64_t in_ms = callback->delay_ms > 0      ? callback->delay_ms
                  : callback->due_ms > now_ms ? callback->due_ms - now_ms
                                              : 0;
  if (in_ms < callbacks->due_in_ms) callbacks->due_in_ms = in_ms;
  return SK_OK;
}

/* How many of the callbacks can be read, up to the limit. */
static size_t count(struct sk_str callbacks) {
  struct sk_callback callback;
  size_t n = 0;
  while (n < SK_CALLBACKS_MAX && sk_callback_next(&callbacks, &callback, NULL) == SK_OK) n++;
  return n;
}

/* False when memory is out. */
static bool add_all(const struct giving *g, struct sk_str callbacks) {
  size_t n = count(callbacks);
  g->callbacks->items = sk_arena_array(&g->callbacks->text, n ? n : 1, sizeof *g->callbacks->items);
  if (g->callbacks->items == NULL) return false;
  struct sk_callback callback;
  struct sk_err err;
  for (size_t i = 0; i < n; i++) {
    sk_callback_next(&callbacks, &callback, &err);
    enum sk_code code = add(g, &callback, &err);
    if (code == SK_ENOMEM) return false;
    if (code != SK_OK)
      sk_logf(g->end->log, SK_LOG_ERROR, "job %.*s: an %s callback is left out: %s", SK_STR_ARG(g->end->job->id),
              g->what, err.message);
  }
  enum sk_code code = sk_callback_next(&callbacks, &callback, &err);
  if (code == SK_ENOTFOUND) return true;
  if (code == SK_OK) sk_err_set(&err, SK_ELIMIT, "a job has at most %d of them", SK_CALLBACKS_MAX);
  sk_logf(g->end->log, SK_LOG_ERROR, "job %.*s: its other %s callbacks are left out: %s", SK_STR_ARG(g->end->job->id),
          g->what, err.message);
  return true;
}

static bool give(struct giving *g, struct sk_str callbacks, struct sk_callbacks **out) {
  g->callbacks = calloc(1, sizeof *g->callbacks);
  if (g->callbacks == NULL) return false;
  g->callbacks->due_in_ms = INT64_MAX;
  bool made = add_all(g, callbacks);
  if (made && g->callbacks->n > 0)
    *out = g->callbacks;
  else
    sk_callbacks_free(g->callbacks);
  return made;
}

bool sk_callbacks_new(const struct sk_callbacks_end *end, struct sk_callbacks **out) {
  const struct sk_job *job = end->job;
  *out = NULL;
  if (end->kind == SK_SETTLE_DONE && job->on_success.n > 0) {
    struct giving g = { .end = end, .what = "on_success", .put = sk_callback_append };
    if (job->immutable != 1) g.json = job->result.n > 0 ? job->result : SK_STR_LIT("null");
    return give(&g, job->on_success, out);
  }
  bool dies = end->kind == SK_SETTLE_DEAD || (end->kind == SK_SETTLE_DROP && end->ending != SK_END_DISCARDED);
  if (!dies || job->on_error.n == 0) return true;
  struct sk_buf error = { 0 };
  sk_buf_add_json(&error, job->error);
  struct giving g = { .end = end, .what = "on_error", .json = sk_buf_str(&error), .put = sk_callback_prepend };
  bool made = !error.failed && give(&g, job->on_error, out);
  sk_buf_fini(&error);
  return made;
}

void sk_callbacks_free(struct sk_callbacks *callbacks) {
  if (callbacks == NULL) return;
  sk_arena_fini(&callbacks->text);
  free(callbacks);
}
