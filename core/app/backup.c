/* backup.c - `skein backup FILE`: copies an sqlite store. */
#include <inttypes.h>

#include "app/exits.h"
#include "app/out.h"
#include "app/session.h"
#include "app/verbs.h"

static const struct sk_option OPTIONS[] = { SK_OPTION_STORE };

static const struct sk_command COMMAND = {
  .name = "backup",
  .usage = "FILE [options]",
  .about =
      "Copies an sqlite store into a new file, as it is at one moment, while engines go on working. (cp misses the\n"
      "changes in the log beside the file, and may copy half of a change.)",
  .examples = "skein backup /var/backups/jobs-$(date +%F).db\n",
  .options = OPTIONS,
  .options_n = 1,
  .args_min = 1,
  .args_max = 1,
  .arg_name = "FILE",
};

int sk_app_backup(int argc, char **argv) {
  struct sk_args args;
  int exit_code = sk_options_main(&COMMAND, argc, argv, &args);
  if (exit_code >= 0) return exit_code;
  struct sk_session s;
  exit_code = sk_session_open(&s, &args, true);
  if (exit_code) return exit_code;
  struct sk_backup_op op = { .path = sk_str_c(args.args[0]) };
  if (sk_client_backup(s.client, &op) == SK_OK) {
    struct sk_buf out = { 0 };
    sk_buf_addf(&out, "%s: %" PRId64 " bytes\n", args.args[0], op.bytes);
    exit_code = sk_out_finish(COMMAND.name, &out, SK_EXIT_OK);
  } else {
    exit_code = sk_session_fail(&s, &op.op.err);
  }
  sk_op_fini(&op.op);
  sk_session_close(&s);
  return exit_code;
}
