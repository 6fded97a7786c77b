/* job.c - `skein job ID`: shows all that the store knows of one job. */
#include <inttypes.h>

#include "app/exits.h"
#include "app/json_out.h"
#include "app/out.h"
#include "app/session.h"
#include "app/text.h"
#include "base/utf8.h"
#include "app/verbs.h"
#include "logic/history.h"

static const struct sk_option OPTIONS[] = {
  SK_OPTION_STORE,
  SK_OPTION_UTC,
  { "json", 0, NULL, "print a JSON object" },
};
static const struct sk_command COMMAND = {
  .name = "job",
  .usage = "ID [options]",
  .about = "Shows all that is known of one job: arguments, result, error, times, history and log.",
  .examples = "skein job 01JD8Z3V6M8Y0C2K4W6X8Z0A2C\n",
  .options = OPTIONS,
  .options_n = sizeof OPTIONS / sizeof *OPTIONS,
  .args_min = 1,
  .args_max = 1,
  .arg_name = "ID",
};

static void add_text(struct sk_buf *out, const char *label, struct sk_str value) {
  if (value.n == 0) return;
  sk_buf_addf(out, "%-12s", label);
  sk_utf8_add_clean(out, value, false);
  sk_buf_add_byte(out, '\n');
}

static void add_json(struct sk_buf *out, const char *label, struct sk_str json) {
  if (json.n == 0) return;
  struct sk_buf valid = { 0 };
  sk_json_out_raw(&valid, json);
  add_text(out, label, sk_buf_str(&valid));
  sk_buf_fini(&valid);
}

static void add_meta(struct sk_buf *out, struct sk_str meta) {
  struct sk_buf ours = { 0 };
  sk_json_out_meta(&ours, meta);
  if (ours.n > 2) add_text(out, "meta", sk_buf_str(&ours)); /* more than {} */
  sk_buf_fini(&ours);
}

/* How times are shown: `now_ms` is the store's clock. */
struct clock {
  int64_t now_ms;
  bool utc;
};

static void add_time(struct sk_buf *out, const char *label, int64_t wall_ms, struct clock clock) {
  if (wall_ms <= 0) return;
  char time[SK_TIME_BYTES], when[SK_TIME_BYTES];
  sk_text_time(wall_ms, clock.utc, time);
  sk_text_when(wall_ms, clock.now_ms, when);
  sk_buf_addf(out, "%-12s%s (%s)\n", label, time, when);
}

static void add_number(struct sk_buf *out, const char *label, int64_t v) {
  sk_buf_addf(out, "%-12s%" PRId64 "\n", label, v);
}

static void add_lines(struct sk_buf *out, const char *label, struct sk_str text) {
  if (text.n == 0) return;
  struct sk_buf clean = { 0 };
  sk_utf8_add_clean(&clean, text, true);
  sk_buf_addf(out, "%s\n", label);
  for (struct sk_str rest = sk_buf_str(&clean); rest.n > 0;) {
    struct sk_str line = sk_text_first_line(rest);
    sk_buf_add_c(out, "  ");
    sk_buf_add_str(out, line);
    sk_buf_add_byte(out, '\n');
    size_t taken = line.n < rest.n ? line.n + 1 : line.n;
    rest = sk_str(rest.p + taken, rest.n - taken);
  }
  sk_buf_fini(&clean);
}

/* Prints the lines of a history or a log, each with its time. */
static void add_story(struct sk_buf *out, const char *label, struct sk_str old, struct sk_str new, bool utc) {
  if (old.n + new.n == 0) return;
  int64_t ms = 0;
  struct sk_str text, parts[] = { old, new };
  sk_buf_addf(out, "%s\n", label);
  for (size_t i = 0; i < sizeof parts / sizeof *parts; i++) {
    while (sk_lines_next(&parts[i], &ms, &text)) {
      char time[SK_TIME_BYTES];
      sk_text_time(ms, utc, time);
      sk_buf_addf(out, "  %s  ", time);
      sk_utf8_add_clean(out, text, false);
      sk_buf_add_byte(out, '\n');
    }
  }
}

/* Shows the current attempt of a running job, and the number of ended attempts of any other. */
static void add_attempts(struct sk_buf *out, const struct sk_job *job, bool running) {
  sk_buf_addf(out, "%-12s%" PRId64, running ? "attempt" : "attempts", job->attempts + running);
  if (job->retries >= 0) sk_buf_addf(out, " of %" PRId64, job->retries + 1);
  sk_buf_add_byte(out, '\n');
  if (job->crashes > 0) add_number(out, "crashes", job->crashes);
  if (job->recoveries > 0) add_number(out, "recoveries", job->recoveries);
}

static void add_error(struct sk_buf *out, const struct sk_job *job) {
  if (job->error_kind == SK_KIND_NONE && job->error.n == 0) return;
  add_text(out, "error kind", sk_str_c(sk_error_kind_name(job->error_kind)));
  bool one_line = sk_text_first_line(job->error).n == job->error.n;
  if (one_line)
    add_text(out, "error", job->error);
  else
    add_lines(out, "error", job->error);
  add_lines(out, "traceback", job->traceback);
}

static void add_job(struct sk_buf *out, const struct sk_view *view, const struct sk_job *job, struct clock clock) {
  bool running = view->state == SK_STATE_RUNNING;
  add_text(out, "id", view->id);
  add_text(out, "task", job->task);
  add_text(out, "queue", view->queue);
  add_text(out, "state", view->stopping ? SK_STR_LIT("cancelling") : sk_str_c(sk_state_name(view->state)));
  if (running) add_text(out, "engine", view->engine);
  if (view->blocked_by != SK_BLOCKED_BY_NOTHING)
    add_text(
        out, "held back",
        view->blocked_by == SK_BLOCKED_BY_RATE ? SK_STR_LIT("by a rate limit") : SK_STR_LIT("by a concurrency limit"));
  add_number(out, "priority", view->priority);
  add_attempts(out, job, running);
  add_time(out, "enqueued", job->enqueued_ms, clock);
  add_time(out, "due", view->due_ms, clock);
  add_time(out, "started", running ? view->running_since_ms : job->started_ms, clock);
  add_time(out, "finished", job->finished_ms, clock);
  if (view->percent >= 0) sk_buf_addf(out, "%-12s%d %%\n", "progress", view->percent);
  add_text(out, "message", view->progress_text);
  add_json(out, "args", job->args);
  add_meta(out, job->meta);
  add_json(out, "result", job->result);
  add_error(out, job);
  add_story(out, "history", job->history, sk_str(NULL, 0), clock.utc);
  add_story(out, "log", job->log, view->log, clock.utc);
}

int sk_app_job(int argc, char **argv) {
  struct sk_args args;
  int exit_code = sk_options_main(&COMMAND, argc, argv, &args);
  if (exit_code >= 0) return exit_code;
  struct sk_session s;
  struct sk_session_job found;
  exit_code = sk_session_open(&s, &args, true);
  if (exit_code) return exit_code;
  exit_code = sk_session_job_open(&s, args.args[0], &found);
  if (exit_code == 0) {
    struct sk_buf out = { 0 };
    if (sk_args_has(&args, "json")) {
      sk_json_out_job(&out, found.view, &found.job);
      sk_buf_add_byte(&out, '\n');
    } else {
      struct clock clock = { .now_ms = sk_client_now_ms(s.client), .utc = sk_args_has(&args, "utc") };
      add_job(&out, found.view, &found.job, clock);
    }
    exit_code = sk_out_finish(s.verb, &out, SK_EXIT_OK);
    sk_session_job_close(&found);
  }
  sk_session_close(&s);
  return exit_code;
}
