/* names.c - see names.h. */
#include "logic/names.h"

#include <stdio.h>

#include "base/limits.h"
#include "logic/backoff.h"
#include "logic/json.h"
#include "logic/limit.h"
#include "logic/lock.h"

enum { SHOWN_BYTES_MAX = 60 };

/* What a message shows of a value: its beginning, with "?" for what does not print. */
struct shown {
  char text[SHOWN_BYTES_MAX + 4];
};

static struct shown show(struct sk_str s) {
  struct shown out;
  size_t n = s.n < SHOWN_BYTES_MAX ? s.n : SHOWN_BYTES_MAX;
  for (size_t i = 0; i < n; i++) out.text[i] = s.p[i] >= ' ' && s.p[i] < 0x7f ? s.p[i] : '?';
  memcpy(out.text + n, s.n > n ? "..." : "", s.n > n ? 4 : 1);
  return out;
}

static bool is_name_byte(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' || c == '.' ||
         c == ':' || c == '-';
}

static enum sk_code check_name(const char *what, struct sk_str name, size_t bytes_max, struct sk_err *err) {
  if (name.n == 0)
    return sk_err_set(err, SK_EINVAL, "%s \"\": expected a name of 1 to %zu letters, digits or _ . : -", what,
                      bytes_max);
  if (name.n > bytes_max)
    return sk_err_set(err, SK_ELIMIT, "%s \"%s\": %zu bytes, expected at most %zu", what, show(name).text, name.n,
                      bytes_max);
  for (size_t i = 0; i < name.n; i++) {
    if (is_name_byte(name.p[i])) continue;
    return sk_err_set(err, SK_EINVAL, "%s \"%s\": byte %zu is 0x%02x, expected letters, digits or _ . : -", what,
                      show(name).text, i + 1, (unsigned char)name.p[i]);
  }
  return SK_OK;
}

enum sk_code sk_name_check(const char *what, struct sk_str name, struct sk_err *err) {
  return check_name(what, name, SK_NAME_BYTES_MAX, err);
}

enum sk_code sk_id_check(struct sk_str id, struct sk_err *err) {
  return check_name("job id", id, SK_ID_BYTES_MAX, err);
}

/* Levels that a stored value gets around it: args is one; signatures nest within signatures. */
enum { ARGS_DEPTH_MAX = SK_JSON_DEPTH_MAX + 1 };

/* A text of the job: JSON, or words of an error. */
struct text_rule {
  const char *what;
  struct sk_str text;
  size_t bytes_max;
  size_t depth_max;       /* 0: not JSON */
  enum sk_json_type type; /* NONE: any */
  const char *type_name;
  bool required;
};

enum { TEXTS = 9 };

struct texts {
  struct text_rule rules[TEXTS];
};

static struct texts texts_of(const struct sk_job *job, size_t args_bytes_max) {
  static const char array[] = "a JSON array";
  return (struct texts){ {
      { "args", job->args, args_bytes_max, ARGS_DEPTH_MAX, SK_JSON_ARRAY, array, true },
      { "meta", job->meta, SK_META_BYTES_MAX, SK_JSON_DEPTH_MAX, SK_JSON_OBJECT, "a JSON object", false },
      { "on_success", job->on_success, SK_CALLBACKS_BYTES_MAX, 0, SK_JSON_NONE, NULL, false },
      { "on_error", job->on_error, SK_CALLBACKS_BYTES_MAX, 0, SK_JSON_NONE, NULL, false },
      { "history", job->history, SK_HISTORY_BYTES_MAX, 0, SK_JSON_NONE, NULL, false },
      { "log", job->log, SK_JOB_LOG_BYTES_MAX, 0, SK_JSON_NONE, NULL, false },
      { "result", job->result, SK_RESULT_BYTES_MAX, SK_JSON_DEPTH_MAX, SK_JSON_NONE, NULL, false },
      { "error", job->error, SK_ERROR_BYTES_MAX, 0, SK_JSON_NONE, NULL, false },
      { "traceback", job->traceback, SK_TRACEBACK_BYTES_MAX, 0, SK_JSON_NONE, NULL, false },
  } };
}

static enum sk_code check_size(const struct text_rule *rule, struct sk_err *err) {
  if (rule->text.n <= rule->bytes_max) return SK_OK;
  return sk_err_set(err, SK_ELIMIT, "%s: %zu bytes%s, expected at most %zu", rule->what, rule->text.n,
                    rule->depth_max ? " of JSON" : "", rule->bytes_max);
}

static enum sk_code check_json(const struct text_rule *rule, struct sk_err *err) {
  if (rule->depth_max == 0 || (rule->text.n == 0 && !rule->required)) return SK_OK;
  if (rule->type != SK_JSON_NONE && sk_json_type(rule->text) != rule->type)
    return sk_err_set(err, SK_EINVAL, "%s: expected %s, found %s", rule->what, rule->type_name, show(rule->text).text);
  enum sk_code code = sk_json_check(rule->text, rule->depth_max, err);
  if (code != SK_OK) sk_err_wrap(err, "%s", rule->what);
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

static enum sk_code check_numbers(const struct sk_job *job, struct sk_err *err) {
  const int64_t duration_max = SK_SECONDS_MAX * 1000, moment_max = 2 * duration_max, count_max = INT64_MAX / 2;
  const struct {
    const char *what;
    int64_t value, min, max;
  } ranges[] = {
    { "priority", job->priority, SK_PRIORITY_MIN, SK_PRIORITY_MAX },
    { "enqueued_at (ms)", job->enqueued_ms, 0, moment_max },
    { "retries", job->retries, SK_UNSET, SK_RETRIES_MAX },
    { "timeout (ms)", job->timeout_ms, SK_UNSET, duration_max },
    { "keep (ms)", job->keep_ms, SK_UNSET, duration_max },
    { "expires (ms)", job->expires_ms, SK_UNSET, moment_max },
    { "dead", job->keep_dead, SK_UNSET, 1 },
    { "immutable", job->immutable, SK_UNSET, 1 },
    { "attempts", job->attempts, 0, count_max },
    { "crashes", job->crashes, 0, count_max },
    { "unknowns", job->unknowns, 0, count_max },
    { "recoveries", job->recoveries, 0, count_max },
    { "error kind", (int64_t)job->error_kind, 0, SK_KINDS - 1 },
    { "started_at (ms)", job->started_ms, 0, moment_max },
    { "finished_at (ms)", job->finished_ms, 0, moment_max },
  };
  for (size_t i = 0; i < sizeof ranges / sizeof *ranges; i++) {
    int64_t v = ranges[i].value, min = ranges[i].min, max = ranges[i].max;
    if (v >= min && v <= max) continue;
    if (min == SK_UNSET) min = 0; /* unset is ours; users know numbers from 0 */
    return sk_err_set(err, v < min ? SK_EINVAL : SK_ELIMIT, "%s %lld: expected %lld to %lld", ranges[i].what,
                      (long long)v, (long long)min, (long long)max);
  }
  return SK_OK;
}

enum sk_code sk_job_check_shape(const struct sk_job *job, size_t args_bytes_max, struct sk_err *err) {
  enum sk_code code = sk_id_check(job->id, err);
  if (code == SK_OK) code = sk_name_check("task", job->task, err);
  if (code == SK_OK) code = sk_name_check("queue", job->queue, err);
  if (code == SK_OK && job->retry_queue.n > 0) code = sk_name_check("retry_queue", job->retry_queue, err);
  if (code == SK_OK) code = sk_backoff_check(job->backoff, err);
  if (code == SK_OK) code = sk_lock_parse(job->unique, &(struct sk_lock){ 0 }, err);
  if (code == SK_OK) code = sk_limit_parse(job->limit, &(struct sk_limit){ 0 }, err);
  if (code == SK_OK) code = check_numbers(job, err);
  struct texts texts = texts_of(job, args_bytes_max);
  for (size_t i = 0; i < TEXTS && code == SK_OK; i++) code = check_size(&texts.rules[i], err);
  return code;
}

enum sk_code sk_job_check(const struct sk_job *job, size_t args_bytes_max, struct sk_err *err) {
  enum sk_code code = sk_job_check_shape(job, args_bytes_max, err);
  struct texts texts = texts_of(job, args_bytes_max);
  for (size_t i = 0; i < TEXTS && code == SK_OK; i++) code = check_json(&texts.rules[i], err);
  return code == SK_OK ? check_args_count(job->args, err) : code;
}
