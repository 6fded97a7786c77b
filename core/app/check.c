/* check.c - `skein check DIR`: loads the scripts as a worker does and lists their declarations or their mistakes. */
#include <stdlib.h>
#include <sys/stat.h>

#include "app/exits.h"
#include "app/options.h"
#include "app/out.h"
#include "app/relay.h"
#include "app/scripts.h"
#include "app/verbs.h"
#include "lua/inspect.h"

static const struct sk_option OPTIONS[] = { { "json", 0, NULL, "print one JSON object" } };

static const struct sk_command COMMAND = {
  .name = "check",
  .usage = "DIR [--json]",
  .about = "Loads the scripts of DIR and its config.lua or .yml, lists the tasks with file and line, and exits 0; or "
           "prints\n"
           "file:line: message for each mistake and exits 1.  Needs no store and runs no job.",
  .examples = "skein check scripts/hello\n",
  .options = OPTIONS,
  .options_n = 1,
  .args_min = 1,
  .args_max = 1,
  .arg_name = "DIR",
};

static int check_config(const char *dir) {
  struct sk_err err;
  struct sk_config config;
  char *program = sk_scripts_program(&err);
  if (program == NULL) {
    sk_out_error("check", "%s", err.message);
    return SK_EXIT_INTERNAL;
  }
  sk_config_init(&config);
  enum sk_code code = sk_scripts_config(program, dir, &config, &err);
  if (code != SK_OK) sk_out_error("check", "%s", err.message);
  sk_config_fini(&config);
  free(program);
  return code == SK_OK ? SK_EXIT_OK : SK_EXIT_FAILED;
}

struct look {
  const char *dir;
  bool json;
};

static int look(void *ctx) {
  const struct look *l = ctx;
  return sk_inspect_check(l->dir, l->json);
}

int sk_app_check(int argc, char **argv) {
  struct sk_args args;
  int exit_code = sk_options_main(&COMMAND, argc, argv, &args);
  if (exit_code >= 0) return exit_code;
  const char *dir = args.args[0];
  struct stat st;
  if (stat(dir, &st) != 0 || !S_ISDIR(st.st_mode)) {
    sk_out_error("check", "\"%s\" is not a folder", dir);
    return SK_EXIT_FAILED;
  }
  exit_code = check_config(dir);
  int scripts = sk_relay_run("check", look, &(struct look){ dir, sk_args_has(&args, "json") });
  return exit_code == SK_EXIT_OK ? scripts : exit_code;
}
