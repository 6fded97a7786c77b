/* run.c - a job that this engine holds; see state.h. */
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/limits.h"
#include "engine/state.h"
#include "logic/callback.h"
#include "logic/names.h"
#include "logic/record.h"

static struct sk_str copy_to(char **at, struct sk_str s) {
  memcpy(*at, s.p, s.n);
  *at += s.n;
  return sk_str(*at - s.n, s.n);
}

void sk_run_count(struct sk_run *run) {
  size_t bytes =
      sizeof *run + (size_t)(run->id.p + run->id.n - run->bytes) + run->said.cap + run->record.cap + run->kept.cap;
  run->engine->held_bytes += bytes - run->counted;
  run->counted = bytes;
}

/* What is read is checked as what is written: another client may have made it. */
static enum sk_code check_job(const struct sk_job *job, struct sk_err *err) {
  enum sk_code code = sk_job_check_shape(job, SK_RECORD_BYTES_MAX, err); /* args are bounded by whoever made them */
  if (code == SK_OK && job->on_success.n) code = sk_callbacks_check(job->on_success, SK_RECORD_BYTES_MAX, err);
  if (code == SK_OK && job->on_error.n) code = sk_callbacks_check(job->on_error, SK_RECORD_BYTES_MAX, err);
  return code;
}

/* Reads run->job.  Where it can be read and makes no sense, run->record is it with the reason. */
static enum sk_code read_record(struct sk_run *run, struct sk_str record, struct sk_str wrong, struct sk_err *err) {
  if (record.n > SK_RECORD_BYTES_MAX) /* it would not fit a frame */
    return sk_err_set(err, SK_ELIMIT, "record: %zu bytes, more than the limit of %d", record.n, SK_RECORD_BYTES_MAX);
  enum sk_code code = sk_record_decode(record, &run->job, err);
  if (code != SK_OK) return code;
  run->job.id = run->id;
  code =
      wrong.n ? sk_err_set(err, SK_ECORRUPT, "%.*s", SK_STR_ARG(sk_str_head(wrong, 400))) : check_job(&run->job, err);
  if (code == SK_OK) return SK_OK;
  struct sk_job dead = run->job;
  dead.error = sk_str_c(err->message);
  dead.error_kind = SK_KIND_FAIL;
  dead.finished_ms = sk_clock_wall_ms();
  sk_record_encode(&dead, &run->record);
  return code;
}

struct sk_run *sk_run_new(struct sk_engine *e, const struct sk_fetched *held, struct sk_err *err) {
  struct sk_run *run = malloc(sizeof *run + held->record.n + held->queue.n + held->id.n);
  if (run == NULL) {
    sk_err_set(err, SK_ENOMEM, "job %.*s: out of memory", SK_STR_ARG(held->id));
    return NULL;
  }
  *run = (struct sk_run){ .engine = e, .fence = held->fence };
  sk_list_init(&run->node);
  char *at = run->bytes;
  struct sk_str record = copy_to(&at, held->record);
  run->queue = copy_to(&at, held->queue);
  run->id = copy_to(&at, held->id);
  run->broken = read_record(run, record, held->wrong, err);
  if (run->broken != SK_OK) {
    if (run->record.n == 0) sk_buf_add_str(&run->record, record);
    run->job.task = SK_STR_LIT("?");
  }
  run->job.id = run->id;
  sk_run_count(run);
  return run;
}

void sk_run_reset(struct sk_run *run) {
  sk_buf_fini(&run->said);
  sk_buf_fini(&run->kept);
  sk_callbacks_free(run->callbacks);
  run->callbacks = NULL;
  if (run->broken != SK_OK) return;
  sk_buf_fini(&run->record);
  sk_record_decode(sk_str(run->bytes, (size_t)(run->queue.p - run->bytes)), &run->job, NULL); /* it could be once */
  run->job.id = run->id;
}

void sk_run_free(struct sk_run *run) {
  run->engine->held_bytes -= run->counted;
  sk_progress_free(run);
  sk_callbacks_free(run->callbacks);
  sk_buf_fini(&run->kept);
  sk_buf_fini(&run->said);
  sk_buf_fini(&run->record);
  free(run);
}
