/* enqueue.c - `skein enqueue`: one job from the command line, and, with --wait, its result.
 *
 * This file reads the command line and waits for the job's end.  The job itself goes through the Lua client, as a
 * program's does (lua/skein/enqueue_command.lua): that knows the task's queue, priority, lock and limit from what
 * engines have declared. */
#include <string.h>

#include "app/exits.h"
#include "app/json_out.h"
#include "app/out.h"
#include "app/session.h"
#include "app/text.h"
#include "app/values.h"
#include "app/verbs.h"
#include "base/clock.h"
#include "base/utf8.h"
#include "logic/json.h"
#include "logic/name.h"
#include "lua/enqueue_command.h"

enum {
  WORDS_MAX = 100000,         /* read_args says what a job's limit is */
  WAIT_KEEP_MS = 3600 * 1000, /* --wait needs the finished job to stay until its result was read */
};

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
  struct sk_lua_enqueue job;
  struct sk_buf json;           /* the args as a JSON array; owned */
  struct sk_lua_enqueued added; /* owned */
  struct sk_str id;             /* of the job that was added, in `added` */
  int64_t wait_ms;              /* -1: for ever */
  bool wait, as_json;
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
  if (at == NULL) return sk_session_duration(r->args, "in", &r->job.delay_ms);
  if (sk_args_has(r->args, "in")) {
    sk_out_error(COMMAND.name, "--in and --at exclude each other");
    return SK_EXIT_USAGE;
  }
  struct sk_err err;
  if (sk_value_time(sk_str_c(at), &r->job.due_ms, &err) == SK_OK) return 0;
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
  r->job.unique_key = sk_str_c(sk_args_get(r->args, "unique"));
  r->job.limit_key = sk_str_c(sk_args_get(r->args, "limit-key"));
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
  *r = (struct request){
    .args = args,
    .as_json = sk_args_has(args, "json"),
    .job = { .priority_given = sk_args_has(args, "priority"), .retries = SK_UNSET, .keep_ms = SK_UNSET }
  };
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

static int send_job(struct sk_session *s, struct request *r) {
  struct sk_err err;
  r->job.url = sk_str_c(s->config.store);
  r->job.durability = s->config.durability;
  r->job.log = &s->log;
  r->job.args_bytes_max = (size_t)s->config.args_bytes_max;
  enum sk_code code = sk_lua_enqueue_command(&r->job, &r->added, &err);
  if (code != SK_OK && r->added.usage) {
    sk_out_error(s->verb, "%s", err.message);
    return SK_EXIT_USAGE;
  }
  if (code != SK_OK) return sk_session_fail(s, &err);
  r->id = sk_buf_str(&r->added.id);
  if (r->added.note.n > 0) sk_out_error(s->verb, "%.*s", SK_STR_ARG(r->added.note));
  return 0;
}

/* -- the answer ---------------------------------------------------------------------------------------------------- */

static int print_id(const struct request *r) {
  struct sk_buf out = { 0 };
  if (r->as_json) {
    sk_buf_add_byte(&out, '{');
    sk_json_out_key(&out, "id");
    sk_json_out_text(&out, r->id);
    sk_json_out_key(&out, "task");
    sk_json_out_text(&out, r->job.task);
    sk_json_out_key(&out, "queue");
    sk_json_out_text(&out, sk_buf_str(&r->added.queue));
    sk_buf_add_c(&out, "}\n");
  } else {
    sk_buf_addf(&out, "%.*s\n", SK_STR_ARG(r->id));
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
    sk_out_error(COMMAND.name, "job %.*s is %s%s%.*s", SK_STR_ARG(r->id), sk_state_name(view->state),
                 error.n ? ": " : "", SK_STR_ARG(error));
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
  sk_out_error(COMMAND.name, "job %.*s is still %s after %s; it goes on (skein job %.*s shows it)", SK_STR_ARG(r->id),
               sk_state_name(state), span, SK_STR_ARG(r->id));
  return SK_EXIT_FAILED;
}

static int cannot_see(const struct request *r, const struct sk_err *err) {
  sk_out_error(COMMAND.name, "job %.*s was added, but its end can't be seen: %s", SK_STR_ARG(r->id), err->message);
  return SK_EXIT_UNAVAILABLE;
}

/* Reads the job's state.  True when there is nothing to wait for any more; *exit_code is set then. */
static bool has_ended(struct sk_session *s, const struct request *r, enum sk_state *state, int *exit_code) {
  struct sk_get_op get = { .ids = &r->id, .ids_n = 1 };
  bool ended = true;
  if (sk_client_get(s->client, &get) != SK_OK) {
    *exit_code = cannot_see(r, &get.op.err);
  } else {
    *state = get.views[0].state;
    ended = *state == SK_STATE_NONE || sk_state_is_final(*state);
    if (ended) *exit_code = print_end(r, &get.views[0]);
  }
  sk_op_fini(&get.op);
  return ended;
}

/* Looks each time that the store says that something has changed. */
static int wait_for_end(struct sk_session *s, const struct request *r) {
  int64_t end_ms = sk_clock_mono_ms() + r->wait_ms;
  enum sk_state state = SK_STATE_NONE;
  int exit_code = 0;
  struct sk_err err;
  if (sk_session_connect(s, false, &err) != SK_OK) return cannot_see(r, &err);
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
  if (exit_code == 0 && r.json.failed) {
    sk_out_error(COMMAND.name, "out of memory");
    exit_code = SK_EXIT_INTERNAL;
  }
  if (exit_code == 0) exit_code = sk_session_read(&s, &args);
  if (exit_code == 0) {
    exit_code = send_job(&s, &r);
    if (exit_code == 0) exit_code = r.wait ? wait_for_end(&s, &r) : print_id(&r);
    sk_session_close(&s);
  }
  sk_buf_fini(&r.json);
  sk_lua_enqueued_fini(&r.added);
  return exit_code;
}
