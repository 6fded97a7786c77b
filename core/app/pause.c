/* pause.c - `skein pause QUEUE` and `skein resume QUEUE`. */
#include "app/exits.h"
#include "app/out.h"
#include "app/session.h"
#include "app/verbs.h"
#include "logic/name.h"
#include "logic/nearest.h"

static const struct sk_option OPTIONS[] = { SK_OPTION_STORE };

static const struct sk_command PAUSE = {
  .name = "pause",
  .usage = "QUEUE [options]",
  .about = "Starts no more jobs of the queue, on any engine, until it is resumed.  Running jobs go on; jobs can be "
           "enqueued.",
  .examples = "skein pause mail\n",
  .options = OPTIONS,
  .options_n = 1,
  .args_min = 1,
  .args_max = 1,
  .arg_name = "QUEUE",
};
static const struct sk_command RESUME = {
  .name = "resume",
  .usage = "QUEUE [options]",
  .about = "Starts jobs of a paused queue again.",
  .examples = "skein resume mail\n",
  .options = OPTIONS,
  .options_n = 1,
  .args_min = 1,
  .args_max = 1,
  .arg_name = "QUEUE",
};

/* What the store said of the queue before the change. */
struct before {
  bool known; /* the queue has held a job, is paused, or was declared by an engine */
  bool paused;
  struct sk_nearest nearest;
};

static void see(struct before *b, struct sk_str wanted, struct sk_str name) {
  b->known = b->known || sk_str_eq(wanted, name);
  sk_nearest_try(&b->nearest, name);
}

/* Finds the nearest name, which is borrowed from the two answers. */
static enum sk_code look(struct sk_session *s, struct sk_str queue, struct sk_count_op *count,
                         struct sk_tasks_op *tasks, struct before *out, struct sk_err *err) {
  sk_nearest_init(&out->nearest, queue);
  if (sk_client_count(s->client, count) != SK_OK) {
    *err = count->op.err;
    return err->code;
  }
  if (sk_client_tasks(s->client, tasks) != SK_OK) {
    *err = tasks->op.err;
    return err->code;
  }
  for (size_t i = 0; i < count->queues_n; i++) {
    see(out, queue, count->queues[i].name);
    out->paused = out->paused || (count->queues[i].paused && sk_str_eq(queue, count->queues[i].name));
  }
  for (size_t i = 0; i < tasks->items_n; i++) see(out, queue, tasks->items[i].queue);
  for (size_t i = 0; i < tasks->queues_n; i++) see(out, queue, tasks->queues[i].name);
  return SK_OK;
}

/* Prints what was done, and a note when nobody knows the queue. */
static int tell(const struct sk_session *s, struct sk_str queue, bool paused, const struct before *b) {
  struct sk_buf out = { 0 };
  const char *now = paused ? "paused" : "running";
  if (paused == b->paused)
    sk_buf_addf(&out, "queue %.*s was %s already: nothing changed\n", SK_STR_ARG(queue), now);
  else
    sk_buf_addf(&out, "queue %.*s is %s\n", SK_STR_ARG(queue), paused ? "paused" : "running again");
  if (!b->known) {
    bool near = b->nearest.name.n > 0;
    sk_out_error(s->verb, "note: no engine has declared queue %.*s and it has held no job so far%s%.*s%s",
                 SK_STR_ARG(queue), near ? " (did you mean " : "", SK_STR_ARG(b->nearest.name), near ? "?)" : "");
  }
  return sk_out_finish(s->verb, &out, SK_EXIT_OK);
}

static int change(struct sk_session *s, struct sk_pause_op *op) {
  struct sk_count_op count = { 0 };
  struct sk_tasks_op tasks = { 0 };
  struct before before = { 0 };
  struct sk_err err;
  int exit_code;
  if (look(s, op->queue, &count, &tasks, &before, &err) != SK_OK)
    exit_code = sk_session_fail(s, &err);
  else if (sk_client_pause(s->client, op) != SK_OK)
    exit_code = sk_session_fail(s, &op->op.err);
  else
    exit_code = tell(s, op->queue, op->paused, &before);
  sk_op_fini(&op->op);
  sk_op_fini(&count.op);
  sk_op_fini(&tasks.op);
  return exit_code;
}

static int set_paused(const struct sk_command *command, int argc, char **argv, bool paused) {
  struct sk_args args;
  int exit_code = sk_options_main(command, argc, argv, &args);
  if (exit_code >= 0) return exit_code;
  struct sk_pause_op op = { .queue = sk_str_c(args.args[0]), .paused = paused };
  struct sk_err err;
  if (sk_name_check("queue", op.queue, &err) != SK_OK) {
    sk_out_error(command->name, "%s", err.message);
    return SK_EXIT_USAGE;
  }
  struct sk_session s;
  exit_code = sk_session_open(&s, &args, true);
  if (exit_code) return exit_code;
  exit_code = change(&s, &op);
  sk_session_close(&s);
  return exit_code;
}

int sk_app_pause(int argc, char **argv) { return set_paused(&PAUSE, argc, argv, true); }

int sk_app_resume(int argc, char **argv) { return set_paused(&RESUME, argc, argv, false); }
