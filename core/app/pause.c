/* pause.c - `skein pause QUEUE` and `skein resume QUEUE`. */
#include "app/exits.h"
#include "app/out.h"
#include "app/session.h"
#include "app/verbs.h"
#include "logic/names.h"

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
  .about = "Goes on with a paused queue.",
  .examples = "skein resume mail\n",
  .options = OPTIONS,
  .options_n = 1,
  .args_min = 1,
  .args_max = 1,
  .arg_name = "QUEUE",
};

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
  if (sk_client_pause(s.client, &op) != SK_OK) exit_code = sk_session_fail(&s, &op.op.err);
  sk_op_fini(&op.op);
  sk_session_close(&s);
  return exit_code;
}

int sk_app_pause(int argc, char **argv) { return set_paused(&PAUSE, argc, argv, true); }

int sk_app_resume(int argc, char **argv) { return set_paused(&RESUME, argc, argv, false); }
