/* worker_frames.c - the frames that a worker sends (logic/wire.h).  A frame without sense ends its worker: its process
 * is broken, and none of its frames can be trusted. */
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/limits.h"
#include "engine/state.h"
#include "logic/record.h"
#include "logic/rules.h"

/* The run in that slot, which a frame names.  NULL: the worker has not started one there, so the frame has no sense. */
static struct sk_run *run_in(struct sk_worker *w, uint32_t slot) {
  struct sk_run *run = slot < w->slots_n ? w->by_slot[slot] : NULL;
  return run && sk_run_has_started(run) ? run : NULL;
}

/* -- the scripts --------------------------------------------------------------------------------------------------- */

static bool check_queues(const struct sk_worker *w, struct sk_reader *r) {
  uint32_t n = sk_read_u32(r);
  for (uint32_t i = 0; i < n && !r->bad; i++) {
    struct sk_queue_settings q = sk_queue_settings_read(r);
    if (r->bad || sk_queue_settings_valid(&q)) continue;
    sk_logf(w->engine->log, SK_LOG_ERROR, "worker %u: queue %u: its name or numbers are out of range", w->number,
            i + 1);
    return false;
  }
  return sk_reader_done(r);
}

/* Checks the whole frame before any part of it is used. */
static bool check_hello(const struct sk_worker *w, struct sk_reader r) {
  sk_read_u8(&r);
  uint32_t n = sk_read_u32(&r);
  for (uint32_t i = 0; i < n && !r.bad; i++) {
    struct sk_job task;
    struct sk_err err;
    struct sk_str record = sk_read_str(&r);
    sk_read_u8(&r);
    if (r.bad || sk_record_decode(record, &task, &err) == SK_OK) continue;
    sk_logf(w->engine->log, SK_LOG_ERROR, "worker %u: task %u: %s", w->number, i + 1, err.message);
    return false;
  }
  return check_queues(w, &r);
}

/* Takes the tasks and queue settings of a checked HELLO.  *changed: they differ, so the store is to be told. */
static enum sk_code take_hello(struct sk_engine *e, struct sk_reader *r, bool *changed, struct sk_err *err) {
  enum sk_code code = SK_OK;
  bool differs = false;
  sk_tasks_set_hooks(e->tasks, sk_read_u8(r));
  uint32_t n = sk_read_u32(r);
  for (uint32_t i = 0; i < n && code == SK_OK; i++) {
    struct sk_str record = sk_read_str(r);
    code = sk_tasks_put(e->tasks, record, sk_read_u8(r), &differs, err);
    *changed |= code == SK_OK && differs;
  }
  uint32_t queues_n = code == SK_OK ? sk_read_u32(r) : 0;
  for (uint32_t i = 0; i < queues_n && code == SK_OK; i++) {
    struct sk_queue_settings queue = sk_queue_settings_read(r);
    code = sk_tasks_put_queue(e->tasks, &queue, &differs, err);
    *changed |= code == SK_OK && differs;
  }
  return code;
}

static bool on_hello(struct sk_worker *w, struct sk_reader *r) {
  struct sk_engine *e = w->engine;
  if (!check_hello(w, *r)) return false;
  if (w->state != SK_WORKER_STARTING) return true; /* drained by a reload meanwhile */
  bool changed = sk_supervisor_is_new_round(w);
  if (changed) sk_tasks_new_set(e->tasks);
  struct sk_err err;
  if (take_hello(e, r, &changed, &err) != SK_OK) {
    sk_logf(e->log, SK_LOG_ERROR, "worker %u: %s", w->number, err.message);
    sk_worker_kill(w, SK_KILL_UNREACHABLE, NULL); /* out of memory: its replacement sends it again */
    return true;
  }
  if (changed) {
    e->declare_wanted = true;
    sk_declare_tasks(e);
    sk_fetch_queues_changed(e);
    size_t queues_n;
    sk_tasks_queues(e->tasks, &queues_n);
    if (sk_tasks_count(e->tasks) + queues_n == 0) sk_declare_log(e); /* with something to declare, declare.c logs it */
  }
  sk_supervisor_ready(w);
  return true;
}

static bool on_refuse(struct sk_worker *w, struct sk_reader *r) {
  struct sk_str message = sk_read_str(r);
  if (!sk_reader_done(r)) return false;
  sk_supervisor_refused(w, message);
  return true;
}

/* -- jobs ---------------------------------------------------------------------------------------------------------- */

static void end_attempt(struct sk_worker *w, struct sk_run *run, struct sk_outcome *o) {
  int64_t now_ms = sk_clock_mono_ms();
  o->started_ms = sk_slot_page_started_ms(w->slot_page, run->slot, now_ms) + sk_engine_now_ms(w->engine) - now_ms;
  sk_run_take(run);
  sk_pace_job_ended(w->engine);
  sk_settle(run, o);
}

/* A worker has run the late handlers of a job. */
static void end_late(struct sk_run *run) {
  sk_run_take(run);
  sk_late_handlers_end(run);
}

static bool on_done(struct sk_worker *w, struct sk_reader *r) {
  struct sk_run *run = run_in(w, sk_read_u32(r));
  struct sk_str result = sk_read_str(r);
  if (!sk_reader_done(r) || run == NULL || result.n > SK_RESULT_BYTES_MAX) return false;
  if (run->late) {
    end_late(run);
    return true;
  }
  end_attempt(w, run, &(struct sk_outcome){ .ending = SK_END_RETURNED, .result = result, .delay_ms = SK_UNSET });
  return true;
}

static bool is_told_to_stop(const struct sk_engine *e) {
  return e->stopping || (e->options.stop_comes && e->options.stop_comes(e->options.ctx));
}

/* A signal of a terminal or of a service manager ends the engine, and often the programs that its jobs have started,
 * too.  Such a job must not count as failed. */
static void log_stopped(const struct sk_run *run, const struct sk_outcome *o) {
  const struct sk_log_fact facts[] = { { "job", run->id },
                                       { "task", run->job.task },
                                       { "error", sk_str_head(o->message, SK_ERROR_BYTES_MAX) } };
  sk_log_line(run->engine->log, SK_LOG_WARN,
              SK_STR_LIT("job failed while the engine stops: it is handed back, this costs no attempt"), facts, 3);
}

static bool on_fail(struct sk_worker *w, struct sk_reader *r) {
  struct sk_run *run = run_in(w, sk_read_u32(r));
  unsigned verdict = sk_read_u8(r);
  int64_t delay_ms = sk_read_i64(r);
  unsigned kind = sk_read_u8(r);
  struct sk_str message = sk_read_str(r);
  struct sk_str traceback = sk_read_str(r);
  if (!sk_reader_done(r) || run == NULL || run->late || verdict >= SK_VERDICTS || kind >= SK_KINDS) return false;
  if (delay_ms > SK_SECONDS_MAX * 1000) return false;
  if (kind == SK_KIND_CANCELLED && run->cancelled_ms == 0) kind = SK_KIND_ERROR; /* its worker was not told */
  struct sk_outcome o = {
    .ending = sk_ending_of((enum sk_verdict)verdict, (enum sk_error_kind)kind),
    .kind = (enum sk_error_kind)kind,
    .message = message,
    .traceback = traceback,
    .delay_ms = delay_ms >= 0 ? delay_ms : SK_UNSET,
  };
  if (o.ending == SK_END_SNOOZED && o.delay_ms == SK_UNSET) o.delay_ms = 0;
  if (o.ending == SK_END_FAILED && o.kind == SK_KIND_ERROR && o.delay_ms == SK_UNSET && is_told_to_stop(w->engine))
    o.ending = SK_END_HANDED_BACK; /* the worker sent it before it could know of the stop */
  if (o.ending == SK_END_HANDED_BACK) log_stopped(run, &o);
  end_attempt(w, run, &o);
  return true;
}

static bool on_progress(struct sk_worker *w, struct sk_reader *r) {
  struct sk_run *run = run_in(w, sk_read_u32(r));
  int32_t percent = (int32_t)sk_read_u32(r);
  struct sk_str note = sk_read_str(r);
  if (!sk_reader_done(r) || run == NULL || percent < 0 || percent > 100) return false;
  if (!run->late) sk_progress_report(run, percent, sk_str_head(note, SK_PROGRESS_BYTES_MAX));
  return true;
}

static bool on_job_log(struct sk_worker *w, struct sk_reader *r) {
  struct sk_run *run = run_in(w, sk_read_u32(r));
  struct sk_str text = sk_read_str(r);
  if (!sk_reader_done(r) || run == NULL) return false;
  struct sk_log_fact facts[] = { { .key = "job", .value = run->id }, { .key = "task", .value = run->job.task } };
  sk_log_line(w->engine->log, SK_LOG_INFO, text, facts, 2);
  if (!run->late) sk_progress_add_log(run, text);
  return true;
}

static bool on_log(struct sk_worker *w, struct sk_reader *r) {
  unsigned level = sk_read_u8(r);
  struct sk_str job = sk_read_str(r);
  struct sk_str task = sk_read_str(r);
  struct sk_str text = sk_read_str(r);
  if (!sk_reader_done(r) || level >= SK_LOG_OFF) return false;
  struct sk_log_fact facts[] = { { .key = "job", .value = job }, { .key = "task", .value = task } };
  sk_log_line(w->engine->log, (enum sk_log_level)level, text, facts, job.n ? 2 : 0);
  return true;
}

/* -- requests ------------------------------------------------------------------------------------------------------ */

static bool on_request(struct sk_worker *w, struct sk_reader *r) {
  uint64_t request = sk_read_u64(r);
  unsigned operation = sk_read_u8(r);
  if (r->bad) return false;
  sk_intake_ask(w, request, operation, sk_str(r->p, (size_t)(r->end - r->p)));
  return true;
}

/* -- all frames ---------------------------------------------------------------------------------------------------- */

static bool on_frame(struct sk_worker *w, const struct sk_frame *f) {
  struct sk_reader r = sk_reader(f->payload);
  switch (f->type) {
  case SK_FRAME_HELLO: return on_hello(w, &r);
  case SK_FRAME_REFUSE: return on_refuse(w, &r);
  case SK_FRAME_DONE: return on_done(w, &r);
  case SK_FRAME_FAIL: return on_fail(w, &r);
  case SK_FRAME_PROGRESS: return on_progress(w, &r);
  case SK_FRAME_REQUEST: return on_request(w, &r);
  case SK_FRAME_LOG: return on_log(w, &r);
  case SK_FRAME_JOB_LOG: return on_job_log(w, &r);
  case SK_FRAME_JOB:
  case SK_FRAME_REPLY:
  case SK_FRAME_CANCEL:
  case SK_FRAME_DRAIN:
  case SK_FRAME_TRACE: break;
  }
  return false;
}

size_t sk_worker_frames_bytes(void *ctx, struct sk_str in) {
  struct sk_worker *w = ctx;
  size_t all = in.n;
  if (w->broken) return all; /* none of its frames counts any more */
  w->stuck = false;          /* it can write only when no job has the CPU */
  struct sk_frame frame = { 0 };
  struct sk_err err;
  while (!w->not_read) { /* takes one frame off `in` */
    enum sk_code code = sk_wire_next(&in, &frame, &err);
    if (code == SK_ENOTFOUND) break;
    if (code == SK_OK && on_frame(w, &frame)) continue;
    sk_logf(w->engine->log, SK_LOG_ERROR, "worker %u sent a frame of type %d without sense: killing it", w->number,
            code == SK_OK ? (int)frame.type : -1);
    w->broken = true;
    sk_worker_kill(w, SK_KILL_BROKEN, NULL);
    return all;
  }
  sk_engine_wake(w->engine);
  return all - in.n;
}
