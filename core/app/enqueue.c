/* enqueue.c - `skein enqueue`: one job from the command line, and, with --wait, its result.
 *
 * Without a script the client knows a task's queue, priority, lock and limit from what engines declared of it (the store's tasks), and
 * how long to wait for room in a full queue. */
#include <stdlib.h>

#include "app/exits.h"
#include "app/json_out.h"
#include "app/out.h"
#include "app/session.h"
#include "app/text.h"
#include "base/utf8.h"
#include "app/values.h"
#include "app/verbs.h"
#include "base/clock.h"
#include "base/id.h"
#include "logic/json.h"
#include "logic/names.h"
#include "logic/nearest.h"
#include "logic/record.h"
#include "lua/keys.h"

enum {
  WORDS_MAX = 100000,         /* read_args says what a job's limit is */
  WAIT_KEEP_MS = 3600 * 1000, /* --wait needs the finished job to be kept until it is seen */
  LOOK_MS = 500,              /* a full queue is looked at that often, whatever the store tells */
  REPEATS_MAX = 3
}; /* tries of an enqueue whose fate is unknown; a repeat adds nothing twice */

static const struct sk_option OPTIONS[] = {
  SK_OPTION_STORE,
  { "queue", 'q', "QUEUE", "its queue (default: the task's own if an engine has declared it, else \"default\")" },
  { "in", 0, "DURATION", "run it in 10s, 5m, 2h, 1d ... from now" },
  { "at", 0, "TIME", "run it then: Unix seconds, 2026-11-21T22:00:00Z,\nor \"2026-11-21 22:00\" for local time" },
  { "priority", 0, "N", "-2 to 2, higher first (default: the task's own, else 0)" },
  { "retries", 0, "N", "attempts after the first (default: as the task says)" },
  { "keep", 0, "DURATION", "how long to keep the finished job (default: as the task says)" },
  { "meta", 0, "JSON", "an object that goes with the job: job.meta" },
  { "unique", 0, "KEY",
    "nothing is added while a job of this key is there (default: as the task\nsays; KEY stands in for the key"
    " that it makes of the args)" },
  { "limit-key", 0, "KEY", "the key of the task's limit, in place of the one that it makes of the args" },
  { "wait", 0, NULL, "wait until it has finished and print its result" },
  { "timeout", 0, "DURATION", "wait no longer than this; the job goes on" },
  { "json", 0, NULL, "print a JSON object" },
};
static const struct sk_command COMMAND = {
  .name = "enqueue",
  .usage = "TASK [JSON-ARG ...] [options]",
  .about = "Adds a job that runs TASK with the arguments, each a JSON value, and prints its id.\n"
           "With --wait it prints the job's result instead; exit code 1 when the job died or was cancelled, and when\n"
           "nothing was added: its unique key is taken, or its queue is full.",
  .examples = "skein enqueue add 1 2 --wait\n"
              "skein enqueue email.welcome '\"bob@example.com\"' '{\"lang\": \"de\"}' --in 10m\n"
              "skein enqueue report --unique today --meta '{\"by\": \"cron\"}'\n",
  .options = OPTIONS,
  .options_n = sizeof OPTIONS / sizeof *OPTIONS,
  .args_min = 1,
  .args_max = 1 + WORDS_MAX,
  .arg_name = "TASK",
};

struct request {
  const struct sk_args *args;
  struct sk_job job;
  struct sk_buf json;       /* the args as a JSON array; owned */
  struct sk_tasks_op tasks; /* what engines declared; job may borrow its queue */
  struct sk_buf meta;       /* ... and what its task passes along of it; owned */
  struct sk_lua_keys keys;  /* its lock and limit, made from its task's; owns its buffers */
  int64_t block_ms;         /* for room in its queue */
  char id[SK_ID_BYTES + 1];
  int64_t delay_ms;
  int64_t due_ms;
  int64_t wait_ms; /* -1: for ever */
  bool priority_given;
  bool wait, as_json;
  bool declared; /* an engine has declared its task */
};

/* -- reading the command line -------------------------------------------------------------------------------------- */

static int add_arg(struct request *r, size_t number, const char *text) {
  struct sk_err err;
  struct sk_str value = sk_str_c(text);
  enum sk_code code = sk_json_check(value, SK_JSON_DEPTH_MAX, &err);
  if (code == SK_OK) {
    if (number > 1) sk_buf_add_byte(&r->json, ',');
    sk_buf_add_str(&r->json, value);
    return 0;
  }
  bool structured = code == SK_ELIMIT || (value.n > 0 && memchr("[{\"-0123456789", value.p[0], 14));
  if (structured)
    sk_out_error(COMMAND.name, "argument %zu: %.100s: %s", number, text, err.message);
  else
    sk_out_error(COMMAND.name, "argument %zu: \"%.100s\" is not JSON (a string needs quotes: '\"%.100s\"')", number,
                 text, text);
  return SK_EXIT_USAGE;
}

static int read_args(struct request *r) {
  if (r->args->args_n - 1 > SK_ARGS_COUNT_MAX) {
    sk_out_error(COMMAND.name, "args: %zu values, the limit is %d", r->args->args_n - 1, SK_ARGS_COUNT_MAX);
    return SK_EXIT_USAGE;
  }
  sk_buf_add_byte(&r->json, '[');
  for (size_t i = 1; i < r->args->args_n; i++) {
    int exit_code = add_arg(r, i, r->args->args[i]);
    if (exit_code) return exit_code;
  }
  sk_buf_add_byte(&r->json, ']');
  r->job.args = sk_buf_str(&r->json);
  return 0;
}

static int read_time(struct request *r) {
  const char *at = sk_args_get(r->args, "at");
  if (at == NULL) return sk_session_duration(r->args, "in", &r->delay_ms);
  if (sk_args_has(r->args, "in")) {
    sk_out_error(COMMAND.name, "--in and --at exclude each other");
    return SK_EXIT_USAGE;
  }
  struct sk_err err;
  if (sk_value_time(sk_str_c(at), &r->due_ms, &err) == SK_OK) return 0;
  sk_out_error(COMMAND.name, "--at \"%.100s\": %s", at, err.message);
  return SK_EXIT_USAGE;
}

static int read_wait(struct request *r) {
  r->wait = sk_args_has(r->args, "wait");
  r->wait_ms = -1;
  if (!r->wait && sk_args_has(r->args, "timeout")) {
    sk_out_error(COMMAND.name, "--timeout says how long to wait: it needs --wait");
    return SK_EXIT_USAGE;
  }
  int exit_code = sk_session_duration(r->args, "keep", &r->job.keep_ms);
  if (r->wait && r->job.keep_ms == SK_UNSET) r->job.keep_ms = WAIT_KEEP_MS;
  return exit_code ? exit_code : sk_session_duration(r->args, "timeout", &r->wait_ms);
}

/* --meta, --unique, --limit-key. */
static int read_around(struct request *r) {
  struct sk_err err;
  struct sk_str inner, meta = sk_str_c(sk_args_get(r->args, "meta"));
  if (sk_args_has(r->args, "meta")) {
    enum sk_code code = sk_json_check(meta, SK_JSON_DEPTH_MAX, &err);
    if (code == SK_OK && sk_json_type(meta) != SK_JSON_OBJECT)
      code = sk_err_set(&err, SK_EINVAL, "expected a JSON object");
    if (code == SK_OK && sk_json_find(meta, SK_STR_LIT("_pass"), &inner))
      code = sk_err_set(&err, SK_EINVAL, "the key _pass is Skein's own");
    if (code != SK_OK) {
      sk_out_error(COMMAND.name, "--meta '%.100s': %s", meta.p, err.message);
      return SK_EXIT_USAGE;
    }
  }
  static const char *const KEYS[] = { "unique", "limit-key" };
  for (size_t i = 0; i < sizeof KEYS / sizeof *KEYS; i++) {
    if (!sk_args_has(r->args, KEYS[i]) || sk_args_get(r->args, KEYS[i])[0] != '\0') continue;
    sk_out_error(COMMAND.name, "--%s \"\": expected a key of 1 byte or more", KEYS[i]);
    return SK_EXIT_USAGE;
  }
  r->job.meta = meta;
  r->keys.unique_key = sk_str_c(sk_args_get(r->args, "unique"));
  r->keys.limit_key = sk_str_c(sk_args_get(r->args, "limit-key"));
  return 0;
}

/* Before the store is opened, which may make one. */
static int check_names(const struct request *r) {
  struct sk_err err;
  enum sk_code code = sk_name_check("task", r->job.task, &err);
  if (code == SK_OK && sk_args_has(r->args, "queue")) code = sk_name_check("queue", r->job.queue, &err);
  if (code == SK_OK) return 0;
  sk_out_error(COMMAND.name, "%s", err.message);
  return SK_EXIT_USAGE;
}

static int read_request(struct request *r, const struct sk_args *args) {
  *r = (struct request){ .args = args,
                         .as_json = sk_args_has(args, "json"),
                         .priority_given = sk_args_has(args, "priority") };
  sk_job_init(&r->job);
  r->job.task = sk_str_c(args->args[0]);
  r->job.queue = sk_str_c(sk_args_get(args, "queue"));
  int64_t priority = 0;
  int exit_code = check_names(r);
  if (exit_code == 0) exit_code = sk_session_int(args, "priority", SK_PRIORITY_MIN, SK_PRIORITY_MAX, &priority);
  r->job.priority = (int32_t)priority;
  if (exit_code == 0) exit_code = sk_session_int(args, "retries", 0, SK_RETRIES_MAX, &r->job.retries);
  if (exit_code == 0) exit_code = read_time(r);
  if (exit_code == 0) exit_code = read_wait(r);
  if (exit_code == 0) exit_code = read_around(r);
  return exit_code ? exit_code : read_args(r);
}

/* -- sending it ---------------------------------------------------------------------------------------------------- */

/* The job's meta with what its task says of it, the list of the keys that it passes along: {} and {"_pass":[...]}. */
static void add_task_meta(struct request *r, struct sk_str task_meta) {
  struct sk_json_reader reader;
  struct sk_err err;
  struct sk_str key, value, own = r->job.meta;
  if (sk_json_open(&reader, own, &err) != SK_OK || !sk_json_next(&reader, &key, &value) || task_meta.n <= 2) return;
  while (own.p[own.n - 1] != '}') own.n--; /* space */
  sk_buf_add(&r->meta, own.p, own.n - 1);
  sk_buf_add_byte(&r->meta, ',');
  sk_buf_add(&r->meta, task_meta.p + 1, task_meta.n - 1);
  r->job.meta = sk_buf_str(&r->meta);
}

/* The job's lock and limit, as its task has them and as the command line says. */
static int apply_keys(const struct sk_session *s, struct request *r, const struct sk_job *template) {
  struct sk_err err;
  r->keys.job = &r->job;
  r->keys.template = template;
  if (sk_lua_keys(&r->keys, &err) != SK_OK) {
    sk_out_error(s->verb, "%s%s", err.message, err.code == SK_EINVAL ? " (here: --unique KEY, --limit-key KEY)" : "");
    return SK_EXIT_USAGE;
  }
  r->job.unique = sk_buf_str(&r->keys.unique);
  r->job.limit = sk_buf_str(&r->keys.limit);
  if (r->delay_ms == 0 && r->due_ms == 0) r->delay_ms = r->keys.delay_ms;
  return 0;
}

/* Fills in what the command line doesn't give. */
static int apply_declared(struct sk_session *s, struct request *r) {
  bool queue_given = r->job.queue.n > 0;
  if (!queue_given) r->job.queue = SK_STR_LIT("default");
  r->tasks.op.deadline_ms = sk_client_first_deadline(s->client);
  if (sk_client_tasks(s->client, &r->tasks) != SK_OK) return sk_session_fail(s, &r->tasks.op.err);
  struct sk_job template;
  sk_job_init(&template);
  for (size_t i = 0; i < r->tasks.items_n; i++) {
    const struct sk_task_item *task = &r->tasks.items[i];
    if (!sk_str_eq(task->name, r->job.task)) continue;
    r->declared = true;
    if (!queue_given) r->job.queue = task->queue;
    if (!r->priority_given) r->job.priority = task->priority;
    if (task->template.n > 0 && sk_record_decode(task->template, &template, NULL) != SK_OK)
      sk_job_init(&template); /* of a version that this one can't read */
  }
  add_task_meta(r, template.meta);
  int exit_code = apply_keys(s, r, &template);
  for (size_t i = 0; i < r->tasks.queues_n; i++) {
    const struct sk_queue_settings *queue = &r->tasks.queues[i];
    if (sk_str_eq(queue->name, r->job.queue) && queue->overflow == SK_OVERFLOW_BLOCK) r->block_ms = queue->block_ms;
  }
  return exit_code;
}

static int check(const struct sk_session *s, struct request *r) {
  struct sk_idgen ids = { 0 };
  r->job.enqueued_ms = sk_clock_wall_ms();
  sk_id_next(&ids, r->job.enqueued_ms, r->id);
  r->job.id = sk_str_c(r->id);
  struct sk_err err;
  if (sk_job_check(&r->job, (size_t)s->config.args_bytes_max, &err) == SK_OK) return 0;
  sk_out_error(s->verb, "%s", err.message);
  return SK_EXIT_USAGE;
}

/* An answer that got lost is asked for again as long as there is time. */
static enum sk_code add_once(struct sk_session *s, struct sk_enqueue_op *op) {
  enum sk_code code = SK_EUNKNOWN;
  int64_t deadline_ms = op->op.deadline_ms;
  for (int i = 0; code == SK_EUNKNOWN && i < REPEATS_MAX; i++) {
    if (i > 0 && deadline_ms > 0 && sk_clock_mono_ms() >= deadline_ms) break;
    sk_op_fini(&op->op);
    code = sk_client_enqueue(s->client, op);
  }
  return code;
}

/* Tries again while its queue is full, for as long as that queue wants. */
static enum sk_code add(struct sk_session *s, const struct request *r, struct sk_enqueue_op *op) {
  int64_t end_ms = sk_clock_mono_ms() + r->block_ms;
  op->op.deadline_ms = sk_client_first_deadline(s->client);
  for (;;) {
    enum sk_code code = add_once(s, op);
    int64_t left_ms = end_ms - sk_clock_mono_ms();
    if (code != SK_OK || op->items[0].status != SK_ELIMIT || left_ms <= 0) return code;
    sk_client_wait_changed(s->client, left_ms < LOOK_MS ? left_ms : LOOK_MS);
    op->op.deadline_ms = 0; /* waiting for room has its own time */
  }
}

/* The exit code of what the store has not added. */
static int refused(const struct sk_session *s, const struct sk_enqueue_item *item) {
  if (item->status == SK_ELIMIT)
    sk_out_error(s->verb, "queue %.*s is full", SK_STR_ARG(item->queue));
  else if (item->status == SK_EEXISTS && item->holder.n > 0 && item->lock.mode == SK_LOCK_THROTTLE)
    sk_out_error(s->verb, "throttled: job %.*s was added less than %g s ago: nothing was added",
                 SK_STR_ARG(item->holder), (double)item->lock.ttl_ms / 1000);
  else if (item->status == SK_EEXISTS && item->holder.n > 0)
    sk_out_error(s->verb, "job %.*s has the same unique key: nothing was added", SK_STR_ARG(item->holder));
  else
    return 0; /* added; SK_EEXISTS: by the try before, whose answer got lost */
  return SK_EXIT_FAILED;
}

/* A misspelt task, or one whose engine has not started yet: the job waits for an engine that has it. */
static void tell_undeclared(const struct sk_session *s, const struct request *r) {
  struct sk_nearest nearest;
  sk_nearest_init(&nearest, r->job.task);
  for (size_t i = 0; i < r->tasks.items_n; i++) sk_nearest_try(&nearest, r->tasks.items[i].name);
  bool near = nearest.name.n > 0;
  sk_out_error(s->verb, "note: no engine has declared task %.*s: the job waits for one that does%s%.*s%s",
               SK_STR_ARG(r->job.task), near ? " (did you mean " : "", SK_STR_ARG(nearest.name), near ? "?)" : "");
}

static int submit(struct sk_session *s, const struct request *r, struct sk_str record) {
  struct sk_enqueue_item item;
  struct sk_err err;
  if (sk_enqueue_item_init(&item, &r->job, record, &err) != SK_OK) {
    sk_out_error(s->verb, "%s", err.message);
    return SK_EXIT_USAGE;
  }
  item.due_ms = r->due_ms;
  item.delay_ms = r->delay_ms;
  struct sk_enqueue_op op = { .items = &item, .items_n = 1 };
  enum sk_code code = add(s, r, &op);
  if (code == SK_EUNKNOWN) sk_err_wrap(&op.op.err, "job %s (`skein job` tells whether it was added)", r->id);
  int exit_code = code == SK_OK ? refused(s, &item) : sk_session_fail(s, &op.op.err);
  sk_op_fini(&op.op);
  return exit_code;
}

static int send_job(struct sk_session *s, struct request *r) {
  int exit_code = apply_declared(s, r);
  if (exit_code == 0) exit_code = check(s, r);
  if (exit_code) return exit_code;
  struct sk_buf record = { 0 };
  sk_record_encode(&r->job, &record);
  if (record.failed || r->json.failed || r->meta.failed) {
    sk_out_error(s->verb, "out of memory");
    exit_code = SK_EXIT_INTERNAL;
  } else {
    exit_code = submit(s, r, sk_buf_str(&record));
    if (exit_code == 0 && !r->declared) tell_undeclared(s, r);
  }
  sk_buf_fini(&record);
  return exit_code;
}

/* -- the answer ---------------------------------------------------------------------------------------------------- */

static int print_id(const struct request *r) {
  struct sk_buf out = { 0 };
  if (r->as_json) {
    sk_buf_add_byte(&out, '{');
    sk_json_out_key(&out, "id");
    sk_json_out_text(&out, r->job.id);
    sk_json_out_key(&out, "task");
    sk_json_out_text(&out, r->job.task);
    sk_json_out_key(&out, "queue");
    sk_json_out_text(&out, r->job.queue);
    sk_buf_add_c(&out, "}\n");
  } else {
    sk_buf_addf(&out, "%s\n", r->id);
  }
  return sk_out_finish(COMMAND.name, &out, SK_EXIT_OK);
}

/* The job has reached a final state, or is gone (view's state NONE), which is as good: it has finished. */
static int print_end(const struct request *r, const struct sk_view *view) {
  struct sk_job job;
  sk_job_init(&job);
  if (view->state != SK_STATE_NONE) sk_session_decode(view, &job);
  bool failed = view->state == SK_STATE_DEAD || view->state == SK_STATE_CANCELLED;
  if (failed) {
    struct sk_buf error = { 0 };
    sk_utf8_add_clean(&error, job.error, true);
    sk_out_error(COMMAND.name, "job %s is %s%s%.*s", r->id, sk_state_name(view->state), error.n ? ": " : "",
                 SK_STR_ARG(error));
    sk_buf_fini(&error);
  }
  struct sk_buf out = { 0 };
  if (r->as_json && view->state != SK_STATE_NONE)
    sk_json_out_job(&out, view, &job);
  else if (!failed)
    sk_json_out_raw(&out, job.result);
  if (out.n > 0) sk_buf_add_byte(&out, '\n');
  return sk_out_finish(COMMAND.name, &out, failed ? SK_EXIT_FAILED : SK_EXIT_OK);
}

static int timed_out(const struct request *r, enum sk_state state) {
  char span[SK_TIME_BYTES];
  sk_text_span(r->wait_ms, span);
  sk_out_error(COMMAND.name, "job %s is still %s after %s; it goes on (skein job %s shows it)", r->id,
               sk_state_name(state), span, r->id);
  return SK_EXIT_FAILED;
}

/* Looks at the job each time the store says that something changed.  *exit_code is set when there is nothing to wait for. */
static bool has_ended(struct sk_session *s, const struct request *r, enum sk_state *state, int *exit_code) {
  struct sk_get_op get = { .ids = &r->job.id, .ids_n = 1 };
  bool ended = true;
  if (sk_client_get(s->client, &get) != SK_OK) {
    sk_out_error(s->verb, "job %s was added, but its end can't be seen: %s", r->id, get.op.err.message);
    *exit_code = SK_EXIT_UNAVAILABLE;
  } else {
    *state = get.views[0].state;
    ended = *state == SK_STATE_NONE || sk_state_is_final(*state);
    if (ended) *exit_code = print_end(r, &get.views[0]);
  }
  sk_op_fini(&get.op);
  return ended;
}

static int wait_for_end(struct sk_session *s, const struct request *r) {
  int64_t end_ms = sk_clock_mono_ms() + r->wait_ms;
  enum sk_state state = SK_STATE_NONE;
  int exit_code = 0;
  while (!has_ended(s, r, &state, &exit_code)) {
    int64_t left_ms = r->wait_ms < 0 ? -1 : end_ms - sk_clock_mono_ms();
    if (r->wait_ms >= 0 && left_ms <= 0) return timed_out(r, state);
    sk_client_wait_changed(s->client, left_ms);
  }
  return exit_code;
}

int sk_app_enqueue(int argc, char **argv) {
  struct sk_args args;
  int exit_code = sk_options_main(&COMMAND, argc, argv, &args);
  if (exit_code >= 0) return exit_code;
  struct request r;
  struct sk_session s;
  exit_code = read_request(&r, &args);
  if (exit_code == 0) exit_code = sk_session_open(&s, &args, false);
  if (exit_code == 0) {
    exit_code = send_job(&s, &r);
    if (exit_code == 0) exit_code = r.wait ? wait_for_end(&s, &r) : print_id(&r);
    sk_session_close(&s);
  }
  sk_op_fini(&r.tasks.op);
  sk_buf_fini(&r.json);
  sk_buf_fini(&r.meta);
  sk_buf_fini(&r.keys.unique);
  sk_buf_fini(&r.keys.limit);
  return exit_code;
}
