/* change.c - `skein retry | cancel | delete | promote`: changes jobs by hand, by id or by filter. */
#include <inttypes.h>
#include <stdlib.h>

#include "app/exits.h"
#include "app/out.h"
#include "app/session.h"
#include "app/verbs.h"
#include "base/limits.h"

enum { IDS_MAX = 100000, PROGRESS_EVERY_MS = 1000 };

static const struct sk_option OPTIONS[] = { SK_OPTION_STORE,
                                            SK_OPTIONS_FILTER,
                                            { "json", 0, NULL, "print a JSON object" } };

#define USAGE "ID... | --state S --queue Q --task T [options]"
#define COMMAND(name_, about_, examples_)                                                                              \
  {                                                                                                                    \
    .name = name_, .usage = USAGE, .about = about_ "\nWith a filter instead of ids: all such jobs that match it.",     \
    .examples = examples_, .options = OPTIONS, .options_n = sizeof OPTIONS / sizeof *OPTIONS, .args_max = IDS_MAX,     \
    .arg_name = "ID"                                                                                                   \
  }

/* What each verb does, and to jobs in which states. */
static const struct change {
  enum sk_verb verb;
  const char *done;   /* "cancelled" */
  const char *states; /* the states in words */
  unsigned allowed;   /* the states as bits, 1 << enum sk_state */
  struct sk_command command;
} CHANGES[] = {
  [SK_VERB_CANCEL] = {
    SK_VERB_CANCEL, "cancelled", "scheduled, ready, running and retry jobs",
    1u << SK_STATE_SCHEDULED | 1u << SK_STATE_READY | 1u << SK_STATE_RETRY | 1u << SK_STATE_RUNNING,
    COMMAND("cancel",
            "Cancels jobs. A job that has not started can be looked at, and retried, for a day. A running job is told\n"
            "to stop, and its worker is killed when it does not; `skein job ID` shows it as cancelling meanwhile.",
            "skein cancel 01JD8Z3V6M8Y0C2K4W6X8Z0A2C\nskein cancel --queue mail --state scheduled\n"),
  },
  [SK_VERB_DELETE] = {
    SK_VERB_DELETE, "deleted", "all but running jobs", ~(1u << SK_STATE_RUNNING),
    COMMAND("delete", "Removes jobs that are not running, with all that is known of them.",
            "skein delete --state dead --task email.welcome\n"),
  },
  [SK_VERB_RETRY] = {
    SK_VERB_RETRY, "retried", "dead, retry and cancelled jobs",
    1u << SK_STATE_DEAD | 1u << SK_STATE_RETRY | 1u << SK_STATE_CANCELLED,
    COMMAND("retry",
            "Makes dead jobs, cancelled jobs, and jobs that wait for a retry ready again. Dead and cancelled jobs\n"
            "count their attempts from 0.",
            "skein retry 01JD8Z3V6M8Y0C2K4W6X8Z0A2C\nskein retry --state dead --queue mail\n"),
  },
  [SK_VERB_PROMOTE] = {
    SK_VERB_PROMOTE, "promoted", "scheduled and retry jobs", 1u << SK_STATE_SCHEDULED | 1u << SK_STATE_RETRY,
    COMMAND("promote", "Makes jobs that wait for their time ready now, in front of their queue.",
            "skein promote --task report\n"),
  },
};

/* Prints a line for each id that could not be changed, with the reason; returns their number. */
static size_t say_failures(struct sk_session *s, const struct change *change, const struct sk_change_op *op) {
  size_t failed = 0;
  for (size_t i = 0; i < op->ids_n; i++) {
    if (op->statuses[i] == SK_OK) continue;
    failed++;
    struct sk_str id = sk_str_head(op->ids[i], 100);
    struct sk_get_op get = { .ids = &op->ids[i], .ids_n = 1 };
    bool there =
        op->statuses[i] == SK_ESTATE && sk_client_get(s->client, &get) == SK_OK && get.views[0].state != SK_STATE_NONE;
    if (there)
      sk_out_error(s->verb, "%.*s is %s: %s works on %s", SK_STR_ARG(id), sk_state_name(get.views[0].state), s->verb,
                   change->states);
    else
      sk_out_error(s->verb, "no job %.*s", SK_STR_ARG(id));
    sk_op_fini(&get.op);
  }
  return failed;
}

struct progress {
  const struct change *change;
  const struct sk_change_op *op;
};

static void say_progress(void *ctx) {
  const struct progress *p = ctx;
  size_t changed = p->op->changed;
  sk_out_error(p->change->command.name, "%s %zu job%s so far", p->change->done, changed, changed == 1 ? "" : "s");
}

static int apply(struct sk_session *s, const struct change *change, const struct sk_args *args,
                 struct sk_change_op *op) {
  struct progress progress = { change, op };
  if (op->ids_n == 0) sk_client_tell(s->client, PROGRESS_EVERY_MS, say_progress, &progress);
  if (sk_client_change(s->client, op) != SK_OK) return sk_session_fail(s, &op->op.err);
  size_t failed = say_failures(s, change, op);
  struct sk_buf out = { 0 };
  if (sk_args_has(args, "json"))
    sk_buf_addf(&out, "{\"changed\":%zu,\"failed\":%zu}\n", op->changed, failed);
  else
    sk_buf_addf(&out, "%s %zu job%s\n", change->done, op->changed, op->changed == 1 ? "" : "s");
  return sk_out_finish(s->verb, &out, failed ? SK_EXIT_FAILED : SK_EXIT_OK);
}

/* Checks that ids or a filter were given, and not both. */
static int check(const struct change *change, const struct sk_args *args, const struct sk_filter *filter) {
  bool filtered = filter->state != SK_STATE_NONE || filter->queue.n || filter->task.n;
  const char *verb = change->command.name;
  if (args->args_n == 0 && !filtered) {
    sk_out_error(verb, "which jobs? Give ids or a filter (--state, --queue, --task)");
    return SK_EXIT_USAGE;
  }
  if (args->args_n > 0 && filtered) {
    sk_out_error(verb, "ids and a filter exclude each other: give one of them");
    return SK_EXIT_USAGE;
  }
  if (filter->state != SK_STATE_NONE && !(change->allowed & 1u << filter->state)) {
    sk_out_error(verb, "--state %s: %s works on %s", sk_state_name(filter->state), verb, change->states);
    return SK_EXIT_USAGE;
  }
  return 0;
}

static int change_jobs(const struct change *change, int argc, char **argv) {
  struct sk_args args;
  int exit_code = sk_options_main(&change->command, argc, argv, &args);
  if (exit_code >= 0) return exit_code;
  struct sk_change_op op = { .verb = change->verb, .keep_ms = SK_CANCELLED_KEEP_MS, .ids_n = args.args_n };
  exit_code = sk_session_filter(&args, &op.filter);
  if (exit_code == 0) exit_code = check(change, &args, &op.filter);
  if (exit_code) return exit_code;
  struct sk_str *ids = calloc(args.args_n + 1, sizeof *ids);
  if (ids == NULL) {
    sk_out_error(change->command.name, "out of memory");
    return SK_EXIT_INTERNAL;
  }
  for (size_t i = 0; i < args.args_n; i++) ids[i] = sk_str_c(args.args[i]);
  op.ids = ids;
  struct sk_session s;
  exit_code = sk_session_open(&s, &args, true);
  if (exit_code == 0) {
    exit_code = apply(&s, change, &args, &op);
    sk_op_fini(&op.op);
    sk_session_close(&s);
  }
  free(ids);
  return exit_code;
}

int sk_app_retry(int argc, char **argv) { return change_jobs(&CHANGES[SK_VERB_RETRY], argc, argv); }
int sk_app_cancel(int argc, char **argv) { return change_jobs(&CHANGES[SK_VERB_CANCEL], argc, argv); }
int sk_app_delete(int argc, char **argv) { return change_jobs(&CHANGES[SK_VERB_DELETE], argc, argv); }
int sk_app_promote(int argc, char **argv) { return change_jobs(&CHANGES[SK_VERB_PROMOTE], argc, argv); }
