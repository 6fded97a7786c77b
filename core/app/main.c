/* main.c - the command `skein`: finds the verb and calls it. Each verb has a file of its own (verbs.h). */
#include <signal.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "app/exits.h"
#include "app/out.h"
#include "app/verbs.h"
#include "base/fds.h"
#include "base/version.h"
#include "io/loop.h"
#include "logic/nearest.h"
#include "logic/url.h"
#include "lua/worker.h"
#include "store/openers.h"

struct verb {
  const char *name;
  const char *usage;
  const char *summary; /* NULL: not listed, as people do not call it */
  int (*main)(int argc, char **argv);
};

static const struct verb VERBS[] = {
  { "run", "DIR", "run the engine on a folder of Lua files", sk_app_run },
  { "check", "DIR", "load the scripts and list their tasks, or say what is wrong", sk_app_check },
  { "enqueue", "TASK [JSON-ARG ...]", "add a job", sk_app_enqueue },
  { "jobs", "", "list jobs", sk_app_jobs },
  { "job", "ID", "show all about one job", sk_app_job },
  { "explain", "ID", "say why a job runs or does not", sk_app_explain },
  { "retry", "ID...", "run dead, waiting or cancelled jobs again", sk_app_retry },
  { "cancel", "ID...", "cancel jobs", sk_app_cancel },
  { "delete", "ID...", "remove jobs", sk_app_delete },
  { "promote", "ID...", "make jobs that wait for their time ready now", sk_app_promote },
  { "queues", "", "list queues and what is in them", sk_app_queues },
  { "pause", "QUEUE", "start no more jobs of a queue", sk_app_pause },
  { "resume", "QUEUE", "start jobs of a paused queue again", sk_app_resume },
  { "stats", "", "count jobs", sk_app_stats },
  { "backup", "FILE", "copy an sqlite store while it is in use", sk_app_backup },
  { "worker", "", NULL, sk_app_worker },
};
enum { VERBS_N = sizeof VERBS / sizeof *VERBS };

static void add_help(struct sk_buf *out) {
  sk_buf_add_c(out,
               "usage: skein COMMAND [arguments] [options]\n\n"
               "Skein runs background jobs that are written in Lua: put Lua files in a folder and `skein run` it.\n\n"
               "commands:\n");
  for (size_t i = 0; i < VERBS_N; i++) {
    const struct verb *v = &VERBS[i];
    if (v->summary) sk_buf_addf(out, "  %-8s%-20s %s\n", v->name, v->usage, v->summary);
  }
  sk_buf_add_c(out, "\nskein COMMAND --help says more.  skein --version prints the version.\n\n"
                    "examples:\n"
                    "  skein run scripts/hello\n"
                    "  skein enqueue add 1 2 --wait\n");
}

static int help(int exit_code) {
  struct sk_buf text = { 0 };
  add_help(&text);
  if (exit_code == SK_EXIT_OK) return sk_out_finish(NULL, &text, exit_code);
  sk_out_error(NULL, "a command is missing\n%.*s", text.n ? (int)text.n - 1 : 0, text.p ? text.p : "");
  sk_buf_fini(&text);
  return exit_code;
}

static int version(void) {
  struct sk_buf text = { 0 };
  sk_buf_addf(&text, "skein %s (%s, libuv %s, SQLite %s)\n", SK_VERSION, sk_worker_lua_version(), sk_loop_version(),
              sk_sqlite_version());
  return sk_out_finish(NULL, &text, SK_EXIT_OK);
}

static const struct verb *find(const char *name) {
  for (size_t i = 0; i < VERBS_N; i++)
    if (strcmp(name, VERBS[i].name) == 0) return &VERBS[i];
  return NULL;
}

static int unknown(const char *word) {
  if (word[0] == '-') {
    sk_out_error(NULL, "%.200s before the command: options come after it (skein COMMAND [options])", word);
    return SK_EXIT_USAGE;
  }
  struct sk_nearest nearest;
  sk_nearest_init(&nearest, sk_str_c(word));
  for (size_t i = 0; i < VERBS_N; i++)
    if (VERBS[i].summary) sk_nearest_try(&nearest, sk_str_c(VERBS[i].name));
  if (nearest.name.n > 0)
    sk_out_error(NULL, "unknown command \"%.200s\"; did you mean %.*s? (skein --help lists them)", word,
                 SK_STR_ARG(nearest.name));
  else
    sk_out_error(NULL, "unknown command \"%.200s\" (skein --help lists them)", word);
  return SK_EXIT_USAGE;
}

/* `skein help [COMMAND]`. */
static int help_on(int argc, char **argv) {
  if (argc < 2) return help(SK_EXIT_OK);
  const struct verb *verb = find(argv[1]);
  if (verb == NULL || verb->summary == NULL) return unknown(argv[1]);
  char flag[] = "--help";
  char *words[] = { argv[1], flag, NULL };
  return verb->main(2, words);
}

/* Copies the words of the command line and masks passwords in the originals, which every user of the machine can see
 * with ps. NULL when out of memory. The copies live as long as the process. */
static char **take_words(int argc, char **argv) {
  char **words = calloc((size_t)argc + 1, sizeof *words);
  if (words == NULL) return NULL;
  for (int i = 0; i < argc; i++) {
    words[i] = strdup(argv[i]);
    if (words[i] == NULL) return NULL;
    static const char *const prefixes[] = { "--store=", "-s" };
    size_t value = i > 0 && (strcmp(words[i - 1], "-s") == 0 || strcmp(words[i - 1], "--store") == 0) ? 0 : SIZE_MAX;
    for (size_t k = 0; value == SIZE_MAX && k < sizeof prefixes / sizeof *prefixes; k++)
      if (strncmp(argv[i], prefixes[k], strlen(prefixes[k])) == 0) value = strlen(prefixes[k]);
    if (value != SIZE_MAX)
      sk_url_mask(argv[i] + value, strlen(argv[i] + value));
    else
      sk_url_mask_in(argv[i], strlen(argv[i]));
  }
  return words;
}

int main(int argc, char **argv) {
  sk_fds_keep_standard();
  argv = take_words(argc, argv);
  if (argv == NULL) {
    sk_out_error(NULL, "out of memory");
    return SK_EXIT_INTERNAL;
  }
  signal(SIGPIPE, SIG_IGN); /* a reader that has gone is an error of write and must not end the process */
  if (argc < 2) return help(SK_EXIT_USAGE);
  const char *word = argv[1];
  if (strcmp(word, "--help") == 0 || strcmp(word, "-h") == 0) return help(SK_EXIT_OK);
  if (strcmp(word, "--version") == 0 || strcmp(word, "-V") == 0) return version();
  if (strcmp(word, "help") == 0) return help_on(argc - 1, argv + 1);
  const struct verb *verb = find(word);
  return verb ? verb->main(argc - 1, argv + 1) : unknown(word);
}
