/* stats.c - `skein queues` and `skein stats`: the number of jobs in the store, and of jobs that have ended. */
#include <inttypes.h>

#include "app/exits.h"
#include "app/json_out.h"
#include "app/out.h"
#include "app/session.h"
#include "app/table.h"
#include "app/verbs.h"

static const struct sk_option OPTIONS[] = {
  SK_OPTION_STORE,
  { "json", 0, NULL, "print JSON" },
};
enum { OPTIONS_N = sizeof OPTIONS / sizeof *OPTIONS };

static const struct sk_command QUEUES = {
  .name = "queues",
  .usage = "[options]",
  .about = "Lists the queues, how many jobs of each state they hold, and their settings.",
  .examples = "skein queues\n",
  .options = OPTIONS,
  .options_n = OPTIONS_N,
};
static const struct sk_command STATS = {
  .name = "stats",
  .usage = "[options]",
  .about = "Counts the jobs in the store by state, and the outcomes of jobs since the store was made.",
  .examples = "skein stats --json\n",
  .options = OPTIONS,
  .options_n = OPTIONS_N,
};

/* The counters with their names, in the order in which they are shown. */
struct counter {
  const char *name;
  int64_t value;
};
enum { COUNTERS_N = 8 };

static void name_counters(const struct sk_counters *c, struct counter out[COUNTERS_N]) {
  const struct counter named[COUNTERS_N] = {
    { "enqueued", c->enqueued }, { "done", c->done },           { "retried", c->retried },
    { "dead", c->dead },         { "cancelled", c->cancelled }, { "discarded", c->discarded },
    { "crashed", c->crashed },   { "recovered", c->recovered },
  };
  memcpy(out, named, sizeof named);
}

static void json_states(struct sk_buf *out, const int64_t states[SK_STATES]) {
  sk_buf_add_byte(out, '{');
  for (int state = SK_STATE_SCHEDULED; state < SK_STATES; state++) {
    sk_json_out_key(out, sk_state_name((enum sk_state)state));
    sk_json_out_int(out, states[state]);
  }
  sk_buf_add_byte(out, '}');
}

/* -- queues -------------------------------------------------------------------------------------------------------- */

static const struct sk_queue_settings *settings_of(const struct sk_tasks_op *tasks, struct sk_str name) {
  for (size_t i = 0; i < tasks->queues_n; i++)
    if (sk_str_eq(tasks->queues[i].name, name)) return &tasks->queues[i];
  return NULL;
}

/* Appends "max_len 10 reject, concurrency 2, rate 5 per 1 s", in the form of `skein check`. */
static void settings_text(struct sk_buf *out, const struct sk_queue_settings *q) {
  if (q == NULL) return;
  if (q->max_len > 0) sk_buf_addf(out, "max_len %" PRId64 " %s", q->max_len, sk_overflow_name(q->overflow));
  if (q->limit.concurrency > 0)
    sk_buf_addf(out, "%sconcurrency %" PRId64, out->n ? ", " : "", (int64_t)q->limit.concurrency);
  if (q->limit.rate > 0)
    sk_buf_addf(out, "%srate %" PRId64 " per %g s", out->n ? ", " : "", (int64_t)q->limit.rate,
                (double)q->limit.per_ms / 1000);
}

/* Appends max_len and overflow; null for a queue without max_len. */
static void json_settings(struct sk_buf *out, const struct sk_queue_settings *q) {
  bool bound = q && q->max_len > 0;
  sk_json_out_key(out, "max_len");
  if (bound)
    sk_json_out_int(out, q->max_len);
  else
    sk_json_out_raw(out, sk_str(NULL, 0));
  sk_json_out_key(out, "overflow");
  if (bound)
    sk_json_out_text(out, sk_str_c(sk_overflow_name(q->overflow)));
  else
    sk_json_out_raw(out, sk_str(NULL, 0));
}

static void queues_json(const struct sk_count_op *count, const struct sk_tasks_op *tasks, struct sk_buf *out) {
  sk_buf_add_byte(out, '[');
  for (size_t i = 0; i < count->queues_n; i++) {
    const struct sk_queue_count *q = &count->queues[i];
    sk_buf_add_c(out, i ? ",\n {" : "{");
    sk_json_out_key(out, "name");
    sk_json_out_text(out, q->name);
    sk_json_out_key(out, "paused");
    sk_buf_add_c(out, q->paused ? "true" : "false");
    json_settings(out, settings_of(tasks, q->name));
    sk_json_out_key(out, "states");
    json_states(out, q->states);
    sk_buf_add_byte(out, '}');
  }
  sk_buf_add_c(out, "]\n");
}

static void queues_table(const struct sk_count_op *count, const struct sk_tasks_op *tasks, struct sk_buf *out) {
  static const char *const HEADS[] = { "QUEUE", ">SCHEDULED", ">READY",     ">RUNNING", ">RETRY",
                                       ">DONE", ">DEAD",      ">CANCELLED", "PAUSED",   "SETTINGS" };
  struct sk_table t;
  sk_table_init(&t, HEADS, sizeof HEADS / sizeof *HEADS);
  for (size_t i = 0; i < count->queues_n; i++) {
    const struct sk_queue_count *q = &count->queues[i];
    sk_table_add(&t, q->name);
    for (int state = SK_STATE_SCHEDULED; state < SK_STATES; state++) sk_table_add_int(&t, q->states[state]);
    sk_table_add(&t, sk_str_c(q->paused ? "paused" : ""));
    struct sk_buf settings = { 0 };
    settings_text(&settings, settings_of(tasks, q->name));
    sk_table_add(&t, sk_buf_str(&settings));
    sk_buf_fini(&settings);
  }
  sk_table_print(&t, out);
  sk_table_fini(&t);
}

/* -- stats --------------------------------------------------------------------------------------------------------- */

static void sum_states(const struct sk_count_op *count, int64_t states[SK_STATES]) {
  memset(states, 0, SK_STATES * sizeof *states);
  for (size_t i = 0; i < count->queues_n; i++)
    for (int state = 0; state < SK_STATES; state++) states[state] += count->queues[i].states[state];
}

static void stats_json(const struct sk_count_op *count, const struct sk_tasks_op *tasks, struct sk_buf *out) {
  (void)tasks;
  int64_t states[SK_STATES];
  struct counter counters[COUNTERS_N];
  sum_states(count, states);
  name_counters(&count->counters, counters);
  sk_buf_add_byte(out, '{');
  sk_json_out_key(out, "states");
  json_states(out, states);
  sk_json_out_key(out, "counters");
  sk_buf_add_byte(out, '{');
  for (size_t i = 0; i < COUNTERS_N; i++) {
    sk_json_out_key(out, counters[i].name);
    sk_json_out_int(out, counters[i].value);
  }
  sk_buf_add_byte(out, '}');
  sk_json_out_key(out, "queues");
  sk_json_out_int(out, (int64_t)count->queues_n);
  sk_buf_add_c(out, "}\n");
}

static void stats_table(const struct sk_count_op *count, const struct sk_tasks_op *tasks, struct sk_buf *out) {
  (void)tasks;
  static const char *const NOW[] = { "IN THE STORE NOW", ">JOBS" };
  static const char *const EVER[] = { "SINCE IT WAS MADE", ">JOBS" };
  int64_t states[SK_STATES];
  struct counter counters[COUNTERS_N];
  sum_states(count, states);
  name_counters(&count->counters, counters);
  struct sk_table t;
  sk_table_init(&t, NOW, 2);
  for (int state = SK_STATE_SCHEDULED; state < SK_STATES; state++) {
    sk_table_add(&t, sk_str_c(sk_state_name((enum sk_state)state)));
    sk_table_add_int(&t, states[state]);
  }
  sk_table_print(&t, out);
  sk_table_fini(&t);
  sk_buf_add_byte(out, '\n');
  sk_table_init(&t, EVER, 2);
  for (size_t i = 0; i < COUNTERS_N; i++) {
    sk_table_add(&t, sk_str_c(counters[i].name));
    sk_table_add_int(&t, counters[i].value);
  }
  sk_table_print(&t, out);
  sk_table_fini(&t);
}

/* -- both ---------------------------------------------------------------------------------------------------------- */

typedef void (*printer)(const struct sk_count_op *count, const struct sk_tasks_op *tasks, struct sk_buf *out);

static int count_and_print(const struct sk_command *command, int argc, char **argv, printer table, printer json) {
  struct sk_args args;
  int exit_code = sk_options_main(command, argc, argv, &args);
  if (exit_code >= 0) return exit_code;
  struct sk_session s;
  exit_code = sk_session_open(&s, &args, true);
  if (exit_code) return exit_code;
  struct sk_count_op count = { 0 };
  struct sk_tasks_op tasks = { 0 };
  if (sk_client_count(s.client, &count) != SK_OK) {
    exit_code = sk_session_fail(&s, &count.op.err);
  } else if (sk_client_tasks(s.client, &tasks) != SK_OK) {
    exit_code = sk_session_fail(&s, &tasks.op.err);
  } else {
    struct sk_buf out = { 0 };
    (sk_args_has(&args, "json") ? json : table)(&count, &tasks, &out);
    exit_code = sk_out_finish(s.verb, &out, SK_EXIT_OK);
  }
  sk_op_fini(&tasks.op);
  sk_op_fini(&count.op);
  sk_session_close(&s);
  return exit_code;
}

int sk_app_queues(int argc, char **argv) { return count_and_print(&QUEUES, argc, argv, queues_table, queues_json); }

int sk_app_stats(int argc, char **argv) { return count_and_print(&STATS, argc, argv, stats_table, stats_json); }
