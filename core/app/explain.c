/* explain.c - `skein explain ID`: says in sentences why a job runs or does not.
 *
 * The sentences tell what the store knows. The store does not know which queues an engine serves, so they tell what can
 * be seen instead: whether any job of the queue runs, and whether an engine has declared the task. */
#include <inttypes.h>

#include "app/exits.h"
#include "app/json_out.h"
#include "app/out.h"
#include "app/session.h"
#include "app/text.h"
#include "base/utf8.h"
#include "app/verbs.h"
#include "base/limits.h"

static const struct sk_option OPTIONS[] = {
  SK_OPTION_STORE,
  SK_OPTION_UTC,
  { "json", 0, NULL, "print a JSON object: id, state, reasons" },
};
static const struct sk_command COMMAND = {
  .name = "explain",
  .usage = "ID [options]",
  .about = "Says why a job runs or does not: its state, what it waits for, its place in the queue, its last error.",
  .examples = "skein explain 01JD8Z3V6M8Y0C2K4W6X8Z0A2C\n",
  .options = OPTIONS,
  .options_n = sizeof OPTIONS / sizeof *OPTIONS,
  .args_min = 1,
  .args_max = 1,
  .arg_name = "ID",
};

struct story {
  struct sk_session *s;
  const struct sk_view *view;
  const struct sk_job *job;
  const struct sk_queue_count *queue; /* NULL: the store has no such queue */
  int64_t now_ms;                     /* the store's clock */
  bool utc;
  struct sk_buf *out;
};

static void say_times(const struct story *st, const char *before, int64_t at_ms) {
  char time[SK_TIME_BYTES], when[SK_TIME_BYTES];
  sk_text_time(at_ms, st->utc, time);
  sk_text_when(at_ms, st->now_ms, when);
  sk_buf_addf(st->out, "%s%s (%s)", before, time, when);
}

/* "After 2 attempts of 6 its last error (timeout) is: message" */
static void say_last_error(const struct story *st) {
  const struct sk_job *job = st->job;
  if (job->error_kind == SK_KIND_NONE && job->error.n == 0) return;
  sk_buf_addf(st->out, "  After %" PRId64 " attempt%s", job->attempts, job->attempts == 1 ? "" : "s");
  if (job->retries >= 0) sk_buf_addf(st->out, " of %" PRId64, job->retries + 1);
  sk_buf_addf(st->out, " its last error (%s) is: ", sk_error_kind_name(job->error_kind));
  sk_utf8_add_clean(st->out, sk_text_first_line(job->error), false);
  sk_buf_add_byte(st->out, '\n');
}

static void say_crashes(const struct story *st) {
  int64_t n = st->job->crashes;
  if (n <= 0) return;
  sk_buf_addf(st->out, "  It was running in %" PRId64 " worker%s when %s died; at %d it is dead.\n", n,
              n == 1 ? "" : "s", n == 1 ? "that" : "they", SK_CRASHES_MAX);
}

static void say_pause(const struct story *st) {
  if (st->queue && st->queue->paused)
    sk_buf_addf(st->out, "  Queue %.*s is paused: nothing of it starts until `skein resume %.*s`.\n",
                SK_STR_ARG(st->view->queue), SK_STR_ARG(st->view->queue));
}

/* "It waits for its group "x", of which at most 2 run at once." */
static void say_group(const struct story *st, const struct sk_limit *limit) {
  sk_buf_add_c(st->out, "  It waits for its group \"");
  sk_utf8_add_clean(st->out, limit->group, false);
  if (st->view->blocked_by == SK_BLOCKED_BY_RATE)
    sk_buf_addf(st->out, "\", which starts at most %" PRId64 " in %.10g s.\n", limit->rate,
                (double)limit->per_ms / 1000.0);
  else
    sk_buf_addf(st->out, "\", of which at most %" PRId64 " run%s at once%s.\n", limit->concurrency,
                limit->concurrency == 1 ? "s" : "",
                limit->strict ? ", in strict order, jobs that wait for a retry included" : "");
}

static void say_blocked_by(const struct story *st) {
  struct sk_limit limit = { 0 };
  if (st->view->stopping)
    sk_buf_add_c(st->out, "  It was cancelled: the engine that takes it ends it without starting it.\n");
  if (st->view->blocked_by == SK_BLOCKED_BY_NOTHING) return;
  bool grouped = sk_limit_parse(st->job->limit, &limit, NULL) == SK_OK && limit.group.n > 0;
  bool by_group = grouped && (st->view->blocked_by == SK_BLOCKED_BY_RATE ? limit.rate > 0 : limit.concurrency > 0);
  if (by_group)
    say_group(st, &limit);
  else
    sk_buf_addf(st->out, "  Queue %.*s is at its limit of %s.\n", SK_STR_ARG(st->view->queue),
                st->view->blocked_by == SK_BLOCKED_BY_RATE ? "jobs started in a time" : "jobs that run at once");
}

/* Finds how many ready jobs come before this one. *exact is false when one listing does not reach this job. */
static enum sk_code find_place(const struct story *st, size_t *place, bool *exact, struct sk_err *err) {
  struct sk_list_op list = { .filter = { .state = SK_STATE_READY, .queue = st->view->queue },
                             .limit = SK_LIST_LIMIT_MAX };
  enum sk_code code = sk_client_list(st->s->client, &list);
  if (code == SK_OK) {
    *place = list.views_n;
    for (size_t i = 0; i < list.views_n && *place == list.views_n; i++)
      if (sk_str_eq(list.views[i].id, st->view->id)) *place = i;
    *exact = *place < list.views_n;
  } else if (err) {
    *err = list.op.err;
  }
  sk_op_fini(&list.op);
  return code;
}

static enum sk_code say_place(const struct story *st, struct sk_err *err) {
  size_t place = 0;
  bool exact = false;
  enum sk_code code = find_place(st, &place, &exact, err);
  if (code != SK_OK) return code;
  if (!exact && place < SK_LIST_LIMIT_MAX) return SK_OK; /* the job has left the queue meanwhile */
  if (place == 0)
    sk_buf_addf(st->out, "  It is the next of queue %.*s.\n", SK_STR_ARG(st->view->queue));
  else
    sk_buf_addf(st->out, "  %s%zu job%s of queue %.*s come%s before it.\n", exact ? "" : "At least ", place,
                place == 1 ? "" : "s", SK_STR_ARG(st->view->queue), place == 1 ? "s" : "");
  return SK_OK;
}

/* Tells what the store shows of engines: running jobs and declared tasks. */
static enum sk_code say_engines(const struct story *st, struct sk_err *err) {
  struct sk_tasks_op tasks = { 0 };
  enum sk_code code = sk_client_tasks(st->s->client, &tasks);
  bool declared = false;
  for (size_t i = 0; code == SK_OK && i < tasks.items_n; i++)
    declared = declared || sk_str_eq(tasks.items[i].name, st->job->task);
  if (code != SK_OK && err) *err = tasks.op.err;
  sk_op_fini(&tasks.op);
  if (code != SK_OK) return code;
  if (!declared) sk_buf_addf(st->out, "  No engine has declared task %.*s so far.\n", SK_STR_ARG(st->job->task));
  int64_t running = st->queue ? st->queue->states[SK_STATE_RUNNING] : 0;
  if (running == 0)
    sk_buf_addf(st->out,
                "  No job of queue %.*s is running: either no engine serves it, or its engines are stopped or have "
                "just begun.\n",
                SK_STR_ARG(st->view->queue));
  else
    sk_buf_addf(st->out, "  %" PRId64 " job%s of the queue %s running.\n", running, running == 1 ? "" : "s",
                running == 1 ? "is" : "are");
  return SK_OK;
}

static enum sk_code tell_ready(const struct story *st, struct sk_err *err) {
  sk_buf_addf(st->out, "is ready to run in queue %.*s, priority %d", SK_STR_ARG(st->view->queue), st->view->priority);
  if (st->job->enqueued_ms > 0) say_times(st, "; enqueued ", st->job->enqueued_ms);
  sk_buf_add_c(st->out, ".\n");
  say_pause(st);
  say_blocked_by(st);
  enum sk_code code = say_place(st, err);
  if (code == SK_OK && !(st->queue && st->queue->paused)) code = say_engines(st, err);
  say_crashes(st);
  say_last_error(st);
  return code;
}

static void tell_waiting(const struct story *st) {
  bool retry = st->view->state == SK_STATE_RETRY;
  say_times(st, retry ? "failed and will be tried again at " : "is scheduled to run at ", st->view->due_ms);
  sk_buf_addf(st->out, " in queue %.*s.\n", SK_STR_ARG(st->view->queue));
  if (st->view->due_ms <= st->now_ms)
    sk_buf_add_c(st->out, "  Its time has come: the next engine that looks into the queue makes it ready.\n");
  say_pause(st);
  say_crashes(st);
  say_last_error(st);
}

static void tell_running(const struct story *st) {
  say_times(st, "is running since ", st->view->running_since_ms);
  sk_buf_addf(st->out, " in engine %.*s, attempt %" PRId64 ".\n", SK_STR_ARG(st->view->engine), st->job->attempts + 1);
  if (st->view->stopping)
    sk_buf_addf(st->out, "  It was cancelled and told to stop; its worker is killed when it runs on %d s later.\n",
                SK_HARD_GRACE_MS / 1000);
  if (st->view->percent >= 0 || st->view->progress_text.n > 0) {
    sk_buf_addf(st->out, "  Its progress: ");
    if (st->view->percent >= 0)
      sk_buf_addf(st->out, "%d %%%s", st->view->percent, st->view->progress_text.n ? ", " : "");
    sk_utf8_add_clean(st->out, st->view->progress_text, false);
    sk_buf_add_byte(st->out, '\n');
  }
  say_crashes(st);
  say_last_error(st);
}

static void tell_end(const struct story *st) {
  const char *how = "is done";
  if (st->view->state == SK_STATE_DEAD) how = "is dead: it runs again only after `skein retry`";
  if (st->view->state == SK_STATE_CANCELLED) how = "was cancelled";
  sk_buf_addf(st->out, "%s", how);
  if (st->job->finished_ms > 0) say_times(st, "; finished ", st->job->finished_ms);
  sk_buf_add_c(st->out, ".\n");
  if (st->view->state != SK_STATE_DONE) {
    say_crashes(st);
    say_last_error(st);
  }
}

static enum sk_code tell(const struct story *st, struct sk_err *err) {
  sk_buf_addf(st->out, "Job %.*s (%.*s) ", SK_STR_ARG(st->view->id), SK_STR_ARG(st->job->task));
  switch (st->view->state) {
  case SK_STATE_READY: return tell_ready(st, err);
  case SK_STATE_SCHEDULED:
  case SK_STATE_RETRY: tell_waiting(st); break;
  case SK_STATE_RUNNING: tell_running(st); break;
  case SK_STATE_DONE:
  case SK_STATE_DEAD:
  case SK_STATE_CANCELLED: tell_end(st); break;
  case SK_STATE_NONE: break; /* sk_session_job_open has refused it */
  }
  return SK_OK;
}

static int explain(struct sk_session *s, const struct sk_session_job *found, bool utc, struct sk_buf *out) {
  struct sk_count_op count = { 0 };
  struct story st = {
    .s = s, .view = found->view, .job = &found->job, .now_ms = sk_client_now_ms(s->client), .utc = utc, .out = out
  };
  int exit_code = 0;
  struct sk_err err;
  if (sk_client_count(s->client, &count) != SK_OK) {
    exit_code = sk_session_fail(s, &count.op.err);
  } else {
    for (size_t i = 0; i < count.queues_n; i++)
      if (sk_str_eq(count.queues[i].name, found->view->queue)) st.queue = &count.queues[i];
    if (tell(&st, &err) != SK_OK) exit_code = sk_session_fail(s, &err);
  }
  sk_op_fini(&count.op);
  return exit_code;
}

/* {"id":...,"state":...,"reasons":[one string for each line of text]} */
static void add_json(struct sk_buf *out, const struct sk_view *view, struct sk_str text) {
  sk_buf_add_byte(out, '{');
  sk_json_out_key(out, "id");
  sk_json_out_text(out, view->id);
  sk_json_out_key(out, "state");
  sk_json_out_text(out, sk_str_c(sk_state_name(view->state)));
  sk_json_out_key(out, "reasons");
  for (char mark = '['; text.n > 0; mark = ',') {
    struct sk_str line = sk_text_first_line(text);
    text = sk_str(text.p + line.n + 1, text.n - line.n - 1); /* every line ends with a newline */
    while (line.n > 0 && line.p[0] == ' ') line = sk_str(line.p + 1, line.n - 1);
    sk_buf_add_byte(out, mark);
    sk_json_out_text(out, line);
  }
  sk_buf_add_c(out, "]}\n");
}

static int print(const struct sk_args *args, const struct sk_view *view, struct sk_buf *text) {
  if (!sk_args_has(args, "json") || text->failed) return sk_out_finish(COMMAND.name, text, SK_EXIT_OK);
  struct sk_buf out = { 0 };
  add_json(&out, view, sk_buf_str(text));
  sk_buf_fini(text);
  return sk_out_finish(COMMAND.name, &out, SK_EXIT_OK);
}

int sk_app_explain(int argc, char **argv) {
  struct sk_args args;
  int exit_code = sk_options_main(&COMMAND, argc, argv, &args);
  if (exit_code >= 0) return exit_code;
  struct sk_session s;
  exit_code = sk_session_open(&s, &args, true);
  if (exit_code) return exit_code;
  struct sk_session_job found;
  struct sk_buf text = { 0 };
  exit_code = sk_session_job_open(&s, args.args[0], &found);
  if (exit_code == 0) {
    exit_code = explain(&s, &found, sk_args_has(&args, "utc") || sk_args_has(&args, "json"), &text);
    if (exit_code == 0) exit_code = print(&args, found.view, &text);
    sk_session_job_close(&found);
  }
  sk_buf_fini(&text);
  sk_session_close(&s);
  return exit_code;
}
