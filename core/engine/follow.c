/* follow.c - the jobs that a job's end brings about: its callbacks (logic/callback.h), to be enqueued in the same atomic settle.
 *
 * A callback that can't be used is logged and left out: the job's own end does not depend on it. */
#include <stdlib.h>

#include "base/clock.h"
#include "base/limits.h"
#include "engine/state.h"
#include "logic/callback.h"
#include "logic/json.h"
#include "logic/names.h"
#include "logic/record.h"

struct sk_follow {
  struct sk_arena text; /* the records, and what the items point to */
  struct sk_enqueue_item *items;
  size_t n;
  int64_t due_in_ms; /* the earliest */
};

typedef void (*put_fn)(struct sk_str args, struct sk_str json, struct sk_buf *out);

/* What the callbacks of one kind get. */
struct gift {
  const char *what;      /* "on_success" */
  struct sk_str json;    /* empty: nothing */
  put_fn put;
};

static void say(const struct sk_run *run, const struct gift *gift, struct sk_str id, const char *why) {
  sk_logf(run->engine->log, SK_LOG_ERROR, "job %.*s: its %s callback %.*s %s", SK_STR_ARG(run->id), gift->what, SK_STR_ARG(sk_str_head(id, SK_ID_BYTES_MAX)),
          why);
}

/* The callback's args with `json` among them, as far as the limits let: else with null, else as they are. */
static enum sk_code fill_args(const struct sk_run *run, const struct gift *gift, struct sk_job *job, struct sk_buf *args, struct sk_err *err) {
  size_t n = 0, bytes_max = run->engine->options.args_bytes_max;
  enum sk_code code = sk_json_array_count(job->args, &n, err);
  if (code != SK_OK || gift->json.n == 0) return code;
  struct sk_str null = SK_STR_LIT("null");
  bool fits = job->args.n + gift->json.n + 1 <= bytes_max, null_fits = job->args.n + null.n + 1 <= bytes_max;
  if (n >= SK_ARGS_COUNT_MAX || !null_fits) {
    say(run, gift, job->id, "gets nothing: its args are as many, or as long, as they may be");
    return SK_OK;
  }
  if (!fits) say(run, gift, job->id, "gets null: with what it should get its args would be too long");
  gift->put(job->args, fits ? gift->json : null, args);
  if (args->failed) return sk_err_set(err, SK_ENOMEM, "out of memory");
  job->args = sk_buf_str(args);
  return SK_OK;
}

/* As if it were enqueued now. */
static void refresh(struct sk_job *job, int64_t now_ms) {
  if (job->expires_ms != SK_UNSET && job->enqueued_ms > 0) job->expires_ms += now_ms - job->enqueued_ms;
  job->enqueued_ms = now_ms;
  job->attempts = job->crashes = job->unknowns = job->recoveries = 0;
  job->error_kind = SK_KIND_NONE;
  job->started_ms = job->finished_ms = 0;
  job->error = job->traceback = job->result = job->trail = job->log = sk_str(NULL, 0);
}

/* Makes the item of a callback; SK_ENOMEM, or another code when it can't be used. */
static enum sk_code make_item(const struct sk_run *run, const struct sk_callback *callback, const struct gift *gift, struct sk_follow *follow,
                              struct sk_err *err) {
  struct sk_job job;
  struct sk_buf args = { 0 }, record = { 0 };
  int64_t now_ms = sk_clock_wall_ms();
  size_t bytes_max = run->engine->options.args_bytes_max;
  enum sk_code code = sk_record_decode(callback->record, &job, err);
  if (code == SK_OK) code = sk_job_check_shape(&job, bytes_max, err);
  if (code == SK_OK) code = fill_args(run, gift, &job, &args, err);
  if (code == SK_OK) {
    refresh(&job, now_ms);
    sk_record_encode(&job, &record);
    struct sk_str stored = record.failed ? sk_str(NULL, 0) : sk_arena_copy(&follow->text, sk_buf_str(&record));
    code = stored.p ? sk_record_decode(stored, &job, err) : sk_err_set(err, SK_ENOMEM, "out of memory");
    if (code == SK_OK && stored.n > SK_RECORD_BYTES_MAX)
      code = sk_err_set(err, SK_ELIMIT, "record: %zu bytes, expected at most %d", stored.n, SK_RECORD_BYTES_MAX);
    if (code == SK_OK) {
      struct sk_enqueue_item *item = &follow->items[follow->n];
      *item = (struct sk_enqueue_item){ .id = job.id, .queue = job.queue, .task = job.task, .record = stored, .priority = job.priority,
                                        .due_ms = callback->due_ms, .delay_ms = callback->delay_ms };
      code = sk_lock_parse(job.unique, &item->lock, err);
      if (code == SK_OK) code = sk_limit_parse(job.limit, &item->limit, err);
    }
  }
  sk_buf_fini(&args);
  sk_buf_fini(&record);
  if (code != SK_OK) return code;
  follow->n++;
  int64_t in_ms = callback->delay_ms > 0 ? callback->delay_ms : callback->due_ms > now_ms ? callback->due_ms - now_ms : 0;
  if (in_ms < follow->due_in_ms) follow->due_in_ms = in_ms;
  return SK_OK;
}

static size_t count(struct sk_str callbacks) {
  struct sk_callback callback;
  size_t n = 0;
  while (sk_callback_next(&callbacks, &callback, NULL) == SK_OK) n++;
  return n;
}

/* False when out of memory. */
static bool add_all(struct sk_run *run, struct sk_str callbacks, const struct gift *gift) {
  struct sk_follow *follow = run->follow = calloc(1, sizeof *follow);
  if (follow == NULL) return false;
  follow->due_in_ms = INT64_MAX;
  follow->items = sk_arena_array(&follow->text, count(callbacks) + 1, sizeof *follow->items);
  if (follow->items == NULL) return false;
  struct sk_callback callback;
  struct sk_err err;
  enum sk_code code;
  while ((code = sk_callback_next(&callbacks, &callback, &err)) == SK_OK) {
    code = make_item(run, &callback, gift, follow, &err);
    if (code == SK_ENOMEM) return false;
    if (code != SK_OK)
      sk_logf(run->engine->log, SK_LOG_ERROR, "job %.*s: an %s callback is left out: %s", SK_STR_ARG(run->id), gift->what, err.message);
  }
  if (code == SK_ENOTFOUND) return true;
  sk_logf(run->engine->log, SK_LOG_ERROR, "job %.*s: its other %s callbacks are left out: %s", SK_STR_ARG(run->id), gift->what, err.message);
  return true;
}

bool sk_follow_make(struct sk_run *run, enum sk_ending ending) {
  const struct sk_job *job = &run->job;
  enum sk_settle_kind kind = run->decision.kind;
  if (kind == SK_SETTLE_DONE && job->on_success.n > 0) {
    struct gift gift = { "on_success", job->result.n > 0 ? job->result : SK_STR_LIT("null"), sk_callback_append };
    if (job->immutable == 1) gift.json = sk_str(NULL, 0);
    return add_all(run, job->on_success, &gift);
  }
  bool dies = kind == SK_SETTLE_DEAD || (kind == SK_SETTLE_DROP && ending != SK_END_DISCARDED);
  if (!dies || job->on_error.n == 0) return true;
  struct sk_buf error = { 0 };
  sk_buf_add_json(&error, job->error);
  struct gift gift = { "on_error", sk_buf_str(&error), sk_callback_prepend };
  bool made = !error.failed && add_all(run, job->on_error, &gift);
  sk_buf_fini(&error);
  return made;
}

void sk_follow_attach(const struct sk_run *run, struct sk_settle_item *item) {
  if (run->follow == NULL) return;
  item->follow = run->follow->items;
  item->follow_n = run->follow->n;
}

int64_t sk_follow_due_in_ms(const struct sk_run *run) { return run->follow && run->follow->n > 0 ? run->follow->due_in_ms : -1; }

void sk_follow_free(struct sk_run *run) {
  if (run->follow == NULL) return;
  sk_arena_fini(&run->follow->text);
  free(run->follow);
  run->follow = NULL;
}
