/* jobs.c - `skein jobs`: lists jobs. */
#include <inttypes.h>
#include <stdio.h>

#include "app/exits.h"
#include "app/json_out.h"
#include "app/out.h"
#include "app/session.h"
#include "app/table.h"
#include "app/text.h"
#include "app/verbs.h"

enum { LIMIT_DEFAULT = 100 };

static const struct sk_option OPTIONS[] = {
  SK_OPTION_STORE,
  SK_OPTIONS_FILTER,
  { "limit", 'n', "N", "at most N jobs (default: 100, at most 10000)" },
  { "offset", 0, "N", "pass over the first N" },
  SK_OPTION_UTC,
  { "json", 0, NULL, "print a JSON array of objects" },
};
static const struct sk_command COMMAND = {
  .name = "jobs",
  .usage = "[options]",
  .about = "Lists jobs by state: ready jobs in the order in which they will run, waiting jobs by their time, finished\n"
           "jobs latest first.  AT is the time that matters in the job's state: when it started, is due, finished or\n"
           "was enqueued.",
  .examples = "skein jobs --state dead\n"
              "skein jobs --queue mail --json | jq '.[].id'\n",
  .options = OPTIONS,
  .options_n = sizeof OPTIONS / sizeof *OPTIONS,
};

/* The time that matters most in the job's state, 0 when it is not known. */
static int64_t time_of(const struct sk_view *view, const struct sk_job *job) {
  if (view->state == SK_STATE_RUNNING) return view->running_since_ms;
  if (view->state == SK_STATE_SCHEDULED || view->state == SK_STATE_RETRY) return view->due_ms;
  if (sk_state_is_final(view->state) && job->finished_ms > 0) return job->finished_ms;
  return job->enqueued_ms;
}

static void add_time(struct sk_table *t, int64_t at_ms, int64_t now_ms, bool utc) {
  char time[SK_TIME_BYTES] = "", when[SK_TIME_BYTES] = "";
  if (at_ms > 0) sk_text_time(at_ms, utc, time);
  if (at_ms > 0) sk_text_when(at_ms, now_ms, when);
  sk_table_add(t, sk_str_c(time));
  sk_table_add(t, sk_str_c(when));
}

/* now_ms is the store's clock. */
static void add_table(const struct sk_list_op *list, size_t n, int64_t now_ms, bool utc, struct sk_buf *out) {
  static const char *const HEADS[] = { "ID", "STATE", "TASK", "QUEUE", ">ATTEMPTS", "AT", "WHEN", "ERROR" };
  struct sk_table t;
  sk_table_init(&t, HEADS, sizeof HEADS / sizeof *HEADS);
  for (size_t i = 0; i < n; i++) {
    const struct sk_view *view = &list->views[i];
    struct sk_job job;
    sk_session_decode(view, &job);
    sk_table_add(&t, view->id);
    sk_table_add(&t, sk_str_c(sk_state_name(view->state)));
    sk_table_add(&t, job.task);
    sk_table_add(&t, view->queue);
    sk_table_add_int(&t,
                     job.attempts + (view->state == SK_STATE_RUNNING)); /* a running job shows its current attempt */
    add_time(&t, time_of(view, &job), now_ms, utc);
    sk_table_add(&t, sk_text_first_line(job.error));
  }
  sk_table_print(&t, out);
  sk_table_fini(&t);
}

static void add_json(const struct sk_list_op *list, size_t n, struct sk_buf *out) {
  sk_buf_add_byte(out, '[');
  for (size_t i = 0; i < n; i++) {
    struct sk_job job;
    sk_session_decode(&list->views[i], &job);
    if (i > 0) sk_buf_add_c(out, ",\n ");
    sk_json_out_job(out, &list->views[i], &job);
  }
  sk_buf_add_c(out, "]\n");
}

/* list asks for one job more than wanted, so that it shows whether there are more. */
static int show(struct sk_session *s, const struct sk_args *args, struct sk_list_op *list, size_t wanted) {
  if (sk_client_list(s->client, list) != SK_OK) return sk_session_fail(s, &list->op.err);
  size_t n = list->views_n < wanted ? list->views_n : wanted;
  struct sk_buf out = { 0 };
  if (sk_args_has(args, "json"))
    add_json(list, n, &out);
  else if (n > 0)
    add_table(list, n, sk_client_now_ms(s->client), sk_args_has(args, "utc"), &out);
  if (n < list->views_n) sk_out_error(s->verb, "the first %zu; there are more (--limit, --offset)", n);
  if (n == 0 && !sk_args_has(args, "json")) sk_out_error(s->verb, "none");
  return sk_out_finish(s->verb, &out, SK_EXIT_OK);
}

int sk_app_jobs(int argc, char **argv) {
  struct sk_args args;
  int exit_code = sk_options_main(&COMMAND, argc, argv, &args);
  if (exit_code >= 0) return exit_code;
  struct sk_list_op list = { 0 };
  int64_t limit = LIMIT_DEFAULT, offset = 0;
  exit_code = sk_session_filter(&args, &list.filter);
  if (exit_code == 0) exit_code = sk_session_int(&args, "limit", 1, SK_LIST_LIMIT_MAX, &limit);
  if (exit_code == 0) exit_code = sk_session_int(&args, "offset", 0, INT32_MAX, &offset);
  if (exit_code) return exit_code;
  list.offset = (size_t)offset;
  list.limit = (size_t)limit + (limit < SK_LIST_LIMIT_MAX);
  struct sk_session s;
  exit_code = sk_session_open(&s, &args, true);
  if (exit_code) return exit_code;
  exit_code = show(&s, &args, &list, (size_t)limit);
  sk_op_fini(&list.op);
  sk_session_close(&s);
  return exit_code;
}
