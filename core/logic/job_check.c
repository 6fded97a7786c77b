/* job_check.c - see job_check.h.  Two tables hold the rules; the functions that make messages are out of line, since
 * sk_job_check_shape runs twice for each job. */
#include "logic/job_check.h"

#include <stdio.h>

#include "base/limits.h"
#include "logic/backoff.h"
#include "logic/json.h"
#include "logic/limit.h"
#include "logic/lock.h"
#include "logic/name.h"
#include "logic/shown.h"

/* Levels that args may nest: the array of the args, and those of a stored value within it. */
enum { ARGS_DEPTH_MAX = SK_JSON_DEPTH_MAX + 1 };

/* -- numbers ------------------------------------------------------------------------------------------------------- */

#define DURATION_MAX ((int64_t)SK_SECONDS_MAX * 1000)
#define MOMENT_MAX (2 * DURATION_MAX)
#define COUNT_MAX (INT64_MAX / 2)
#define AT(field) offsetof(struct sk_job, field)

struct number_rule {
  size_t offset;
  int64_t min, max;
  const char *name;
};

static const struct number_rule NUMBERS_32[] = {
  { AT(priority), SK_PRIORITY_MIN, SK_PRIORITY_MAX, "priority" },
  { AT(keep_dead), SK_UNSET, 1, "dead" },
  { AT(immutable), SK_UNSET, 1, "immutable" },
};

static const struct number_rule NUMBERS_64[] = {
  { AT(enqueued_ms), 0, MOMENT_MAX, "enqueued_at (ms)" },
  { AT(retries), SK_UNSET, SK_RETRIES_MAX, "retries" },
  { AT(timeout_ms), SK_UNSET, DURATION_MAX, "timeout (ms)" },
  { AT(keep_ms), SK_UNSET, DURATION_MAX, "keep (ms)" },
  { AT(expires_ms), SK_UNSET, MOMENT_MAX, "expires (ms)" },
  { AT(attempts), 0, COUNT_MAX, "attempts" },
  { AT(crashes), 0, COUNT_MAX, "crashes" },
  { AT(unknowns), 0, COUNT_MAX, "unknowns" },
  { AT(recoveries), 0, COUNT_MAX, "recoveries" },
  { AT(started_ms), 0, MOMENT_MAX, "started_at (ms)" },
  { AT(finished_ms), 0, MOMENT_MAX, "finished_at (ms)" },
};

static const struct number_rule ERROR_KIND = { AT(error_kind), 0, SK_KINDS - 1, "error kind" };

static enum sk_code refuse_number(const struct number_rule *rule, int64_t value, struct sk_err *err) {
  int64_t min = rule->min == SK_UNSET ? 0 : rule->min; /* SK_UNSET is internal: users know numbers from 0 */
  return sk_err_set(err, value < min ? SK_EINVAL : SK_ELIMIT, "%s %lld: expected %lld to %lld", rule->name,
                    (long long)value, (long long)min, (long long)rule->max);
}

static inline bool within(const struct number_rule *rule, int64_t value) {
  return value >= rule->min && value <= rule->max;
}

static enum sk_code check_numbers(const struct sk_job *job, struct sk_err *err) {
  for (size_t i = 0; i < sizeof NUMBERS_32 / sizeof *NUMBERS_32; i++) {
    int64_t value = *(const int32_t *)(const void *)((const char *)job + NUMBERS_32[i].offset);
    if (!within(&NUMBERS_32[i], value)) return refuse_number(&NUMBERS_32[i], value, err);
  }
  for (size_t i = 0; i < sizeof NUMBERS_64 / sizeof *NUMBERS_64; i++) {
    int64_t value = *(const int64_t *)(const void *)((const char *)job + NUMBERS_64[i].offset);
    if (!within(&NUMBERS_64[i], value)) return refuse_number(&NUMBERS_64[i], value, err);
  }
  int64_t kind = (int64_t)job->error_kind;
  return within(&ERROR_KIND, kind) ? SK_OK : refuse_number(&ERROR_KIND, kind, err);
}

/* -- texts --------------------------------------------------------------------------------------------------------- */

struct text_rule {
  size_t offset;
  size_t bytes_max;       /* 0: the caller's bound on args */
  size_t depth_max;       /* of JSON; 0: the text is not JSON, or is not looked into */
  enum sk_json_type type; /* NONE: any */
  const char *name, *type_name;
};

static const struct text_rule TEXTS[] = {
  { AT(args), 0, ARGS_DEPTH_MAX, SK_JSON_ARRAY, "args", "a JSON array" },
  { AT(meta), SK_META_BYTES_MAX, SK_JSON_DEPTH_MAX, SK_JSON_OBJECT, "meta", "a JSON object" },
  { AT(on_success), SK_CALLBACKS_BYTES_MAX, 0, SK_JSON_NONE, "on_success", NULL },
  { AT(on_error), SK_CALLBACKS_BYTES_MAX, 0, SK_JSON_NONE, "on_error", NULL },
  { AT(history), SK_HISTORY_BYTES_MAX, 0, SK_JSON_NONE, "history", NULL },
  { AT(log), SK_JOB_LOG_BYTES_MAX, 0, SK_JSON_NONE, "log", NULL },
  { AT(result), SK_RESULT_BYTES_MAX, SK_JSON_DEPTH_MAX, SK_JSON_NONE, "result", NULL },
  { AT(error), SK_ERROR_BYTES_MAX, 0, SK_JSON_NONE, "error", NULL },
  { AT(traceback), SK_TRACEBACK_BYTES_MAX, 0, SK_JSON_NONE, "traceback", NULL },
};
enum { TEXTS_N = sizeof TEXTS / sizeof *TEXTS };

static struct sk_str text_of(const struct sk_job *job, const struct text_rule *rule) {
  return *(const struct sk_str *)(const void *)((const char *)job + rule->offset);
}

static enum sk_code check_sizes(const struct sk_job *job, size_t args_bytes_max, struct sk_err *err) {
  for (size_t i = 0; i < TEXTS_N; i++) {
    const struct text_rule *rule = &TEXTS[i];
    size_t n = text_of(job, rule).n, bytes_max = rule->bytes_max ? rule->bytes_max : args_bytes_max;
    if (n > bytes_max)
      return sk_err_set(err, SK_ELIMIT, "%s: %zu bytes%s, expected at most %zu", rule->name, n,
                        rule->depth_max ? " of JSON" : "", bytes_max);
  }
  return SK_OK;
}

static enum sk_code check_json(const struct text_rule *rule, struct sk_str text, struct sk_err *err) {
  bool required = rule->type == SK_JSON_ARRAY; /* args */
  if (rule->depth_max == 0 || (text.n == 0 && !required)) return SK_OK;
  if (rule->type != SK_JSON_NONE && sk_json_type(text) != rule->type)
    return sk_err_set(err, SK_EINVAL, "%s: expected %s, found %s", rule->name, rule->type_name, sk_shown(text).text);
  enum sk_code code = sk_json_check(text, rule->depth_max, err);
  if (code != SK_OK) sk_err_wrap(err, "%s", rule->name);
  return code;
}

static enum sk_code check_args_count(struct sk_str args, struct sk_err *err) {
  size_t n = 0;
  enum sk_code code = sk_json_array_count(args, &n, err);
  if (code != SK_OK) return code;
  if (n > SK_ARGS_COUNT_MAX)
    return sk_err_set(err, SK_ELIMIT, "args: %zu values, expected at most %d", n, SK_ARGS_COUNT_MAX);
  return SK_OK;
}

/* -- the whole ----------------------------------------------------------------------------------------------------- */

enum sk_code sk_job_check_shape(const struct sk_job *job, size_t args_bytes_max, struct sk_err *err) {
  enum sk_code code = sk_id_check(job->id, err);
  if (code == SK_OK) code = sk_name_check("task", job->task, err);
  if (code == SK_OK) code = sk_name_check("queue", job->queue, err);
  if (code == SK_OK && job->retry_queue.n > 0) code = sk_name_check("retry_queue", job->retry_queue, err);
  if (code == SK_OK && job->backoff.n > 0) code = sk_backoff_check(job->backoff, err);
  if (code == SK_OK && job->unique.n > 0) code = sk_lock_parse(job->unique, &(struct sk_lock){ 0 }, err);
  if (code == SK_OK && job->limit.n > 0) code = sk_limit_parse(job->limit, &(struct sk_limit){ 0 }, err);
  if (code == SK_OK) code = check_numbers(job, err);
  return code == SK_OK ? check_sizes(job, args_bytes_max, err) : code;
}

enum sk_code sk_job_check(const struct sk_job *job, size_t args_bytes_max, struct sk_err *err) {
  enum sk_code code = sk_job_check_shape(job, args_bytes_max, err);
  for (size_t i = 0; i < TEXTS_N && code == SK_OK; i++) code = check_json(&TEXTS[i], text_of(job, &TEXTS[i]), err);
  return code == SK_OK ? check_args_count(job->args, err) : code;
}
