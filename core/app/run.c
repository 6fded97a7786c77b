/* run.c - `skein run DIR`: settings, signals, and one engine on one loop. */
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "app/early_stop.h"
#include "app/exits.h"
#include "app/init.h"
#include "app/options.h"
#include "app/out.h"
#include "app/reread.h"
#include "app/scripts.h"
#include "app/verbs.h"
#include "app/watch.h"
#include "base/clock.h"
#include "base/limits.h"
#include "base/log_format.h"
#include "base/log_sink.h"
#include "base/version.h"
#include "engine/engine.h"
#include "io/guard.h"
#include "io/loop.h"
#include "io/watchdog.h"
#include "logic/url.h"

static const struct sk_option OPTIONS[] = {
  SK_OPTIONS_ENGINE,
  { "watch", 0, NULL, "reload the scripts when a file of DIR changes" },
  { "drain", 0, NULL, "stop when nothing is ready, running or due any more; exit 1 if a job died" },
};

static const struct sk_command COMMAND = {
  .name = "run",
  .usage = "DIR [options]",
  .about = "Runs the engine: takes jobs from the store and runs them with the scripts of DIR, in worker processes.",
  .examples = "skein run scripts/hello\n"
              "skein run jobs/ -s sqlite:/var/lib/app/jobs.db -w 4 -c 100 -q critical,default\n",
  .options = OPTIONS,
  .options_n = sizeof OPTIONS / sizeof *OPTIONS,
  .args_min = 1,
  .args_max = 1,
  .arg_name = "DIR",
};

struct run {
  const char *dir;
  struct sk_buf application; /* dir as an absolute path, which names the owner of declarations */
  char *program;
  bool drain, watch;
  bool stopping;           /* a signal has asked for the end */
  struct sk_config config; /* the settings at the start; the engine and the log have what HUP changed */
  struct sk_log log;
  struct sk_queue_spec *queues;
  struct sk_early_stop early_stop;
  struct sk_loop *loop;
  struct sk_engine *engine;
  struct sk_guard *guard; /* NULL: the guard could not be started */
  struct sk_signal *signals[9];
  struct sk_script_watch *scripts;
  struct sk_reread *reread;
};

/* -- signals ------------------------------------------------------------------------------------------------------- */

/* A second wish to stop means: stop at once. */
static void stop(struct run *r, const char *name, bool now) {
  if (now || r->stopping)
    sk_logf(&r->log, SK_LOG_INFO, "stopping at once (%s)", name);
  else
    sk_logf(&r->log, SK_LOG_INFO, "stopping (%s): running jobs have %g s to finish; again to stop at once", name,
            (double)r->config.shutdown_timeout_ms / 1000);
  r->stopping = true;
  sk_engine_stop(r->engine, now);
}

static void on_signal(void *ctx, int signum) {
  struct run *r = ctx;
  struct sk_err err;
  switch (signum) {
  case SIGTERM: stop(r, "TERM", false); break;
  case SIGINT: stop(r, "INT", false); break;
  case SIGQUIT: stop(r, "QUIT", true); break;
  case SIGTSTP: sk_engine_hold(r->engine, true); break;
  case SIGCONT: sk_engine_hold(r->engine, false); break;
  case SIGHUP: sk_reread_start(r->reread); break;
  case SIGTTIN: sk_engine_trace(r->engine); break;
  case SIGUSR1:
    if (r->log.path && sk_log_reopen(&r->log, r->log.path, &err) != SK_OK)
      sk_logf(&r->log, SK_LOG_ERROR, "%s", err.message);
    break;
  default: break;
  }
}

static const int STOPS[] = { SIGTERM, SIGINT, SIGQUIT };

static void watch_signals(struct run *r) {
  static const int signals[] = { SIGTERM, SIGINT, SIGQUIT, SIGTSTP, SIGCONT, SIGHUP, SIGTTIN, SIGUSR1 };
  for (size_t i = 0; i < sizeof signals / sizeof *signals; i++)
    r->signals[i] = sk_signal_new(r->loop, signals[i], on_signal, r);
  for (size_t i = 0; i < sizeof STOPS / sizeof *STOPS; i++) sk_signal_note(STOPS[i]);
}

static bool stop_comes(void *ctx) {
  (void)ctx;
  bool comes = false;
  for (size_t i = 0; i < sizeof STOPS / sizeof *STOPS; i++) comes |= sk_signal_noted(STOPS[i]);
  return comes;
}

static void unwatch_signals(struct run *r) {
  for (size_t i = 0; i < sizeof r->signals / sizeof *r->signals; i++) sk_signal_free(r->signals[i]);
}

/* -- settings ------------------------------------------------------------------------------------------------------ */

/* Prints on stderr why the engine does not run, after the log's last lines and in the log's form, so that a reader of
 * JSON lines gets a JSON line. */
static void complain(const struct run *r, const char *message) {
  sk_log_sink_flush(&r->log);
  if (!r->config.log_json) {
    sk_out_error("run", "%s", message);
    return;
  }
  struct sk_log log = { .level = SK_LOG_INFO, .json = true };
  struct sk_buf line = { 0 };
  sk_log_format(&log, SK_LOG_ERROR, sk_str_c(message), NULL, 0, &line);
  sk_out_stderr(sk_buf_str(&line));
  sk_buf_fini(&line);
}

/* Errors in the settings themselves come in the form that was asked for, too. */
static bool wants_json(const struct sk_args *args) {
  const char *format = sk_args_get(args, "log-format");
  if (format == NULL) format = getenv("LOG_FORMAT");
  return format && strcmp(format, "json") == 0;
}

static int read_settings(struct run *r, const struct sk_args *args) {
  struct sk_err err;
  struct stat st;
  r->dir = args->args[0];
  r->drain = sk_args_has(args, "drain");
  r->watch = sk_args_has(args, "watch");
  sk_config_init(&r->config);
  r->config.log_json = wants_json(args);
  r->program = sk_scripts_program(&err);
  if (r->program == NULL) {
    complain(r, err.message);
    return SK_EXIT_INTERNAL;
  }
  int bad = SK_EXIT_USAGE;
  enum sk_code code = sk_config_flags(&r->config, args, &err);
  if (code == SK_OK) {
    bad = SK_EXIT_CONFIG;
    code = sk_config_environment(&r->config, SK_CONFIG_ENGINE, &err);
  }
  if (code == SK_OK && (stat(r->dir, &st) != 0 || !S_ISDIR(st.st_mode)))
    code = sk_err_set(&err, SK_EINVAL, "\"%s\" is not a folder", r->dir);
  if (code == SK_OK) code = sk_scripts_config(r->program, r->dir, &r->config, &err);
  if (code == SK_OK && r->config.log_file) code = sk_log_reopen(&r->log, r->config.log_file, &err);
  if (code != SK_OK) {
    complain(r, err.message);
    return code == SK_EUNSUPPORTED ? SK_EXIT_CONFIG : code == SK_ENOMEM ? SK_EXIT_INTERNAL : bad;
  }
  r->log.level = r->config.log_level;
  r->log.json = r->config.log_json;
  return SK_EXIT_OK;
}

static bool copy_queues(struct run *r, const struct sk_config *c) {
  free(r->queues);
  r->queues = calloc(c->queues_n + 1, sizeof *r->queues);
  if (r->queues && c->queues_n > 0) memcpy(r->queues, c->queues, c->queues_n * sizeof *r->queues);
  return r->queues != NULL;
}

static void on_opened(void *ctx) { sk_early_stop_end(&((struct run *)ctx)->early_stop); }

/* Writes the folder's absolute path as the user sees it: the path of a symbolic link like `current` stays the same for
 * each release behind it. */
static void name_application(struct run *r) {
  const char *pwd = getenv("PWD");
  struct stat there, here;
  char cwd[4096] = "";
  bool is_here = pwd && pwd[0] == '/' && stat(pwd, &there) == 0 && stat(".", &here) == 0 &&
                 there.st_ino == here.st_ino && there.st_dev == here.st_dev;
  if (!is_here) pwd = getcwd(cwd, sizeof cwd);
  struct sk_str dir = sk_str_c(r->dir);
  while (dir.n > 1 && dir.p[dir.n - 1] == '/') dir.n--;
  while (dir.n > 2 && dir.p[0] == '.' && dir.p[1] == '/') dir = sk_str(dir.p + 2, dir.n - 2);
  if (dir.p[0] != '/' && pwd) sk_buf_add_c(&r->application, pwd);
  if (sk_str_eq_c(dir, ".") || sk_str_eq_c(dir, "./")) return;
  if (dir.p[0] != '/') sk_buf_add_byte(&r->application, '/');
  sk_buf_add_str(&r->application, dir);
}

static void on_stopped(void *ctx) {
  struct run *r = ctx;
  sk_loop_stop(r->loop);
}

static struct sk_engine_options engine_options(struct run *r, const struct sk_config *c) {
  return (struct sk_engine_options){
    .store = { .url = sk_str_c(c->store), .lease_ms = c->lease_ms, .durability = c->durability },
    .workers = (uint32_t)c->workers,
    .concurrency = (uint32_t)c->concurrency,
    .queues = r->queues,
    .queues_n = c->queues_n,
    .shutdown_timeout_ms = c->shutdown_timeout_ms,
    .memory_max = (uint64_t)c->memory_max_bytes,
    .args_bytes_max = (size_t)c->args_bytes_max,
    .policy = { .crashes_max = SK_CRASHES_MAX, .unknown_max = c->unknown_max, .unknown_delay_ms = c->unknown_delay_ms },
    .drain = r->drain,
    .program = r->program,
    .dir = r->dir,
    .application = sk_buf_str(&r->application),
    .log = &r->log,
    .guard = r->guard,
    .opened = on_opened,
    .stop_comes = stop_comes,
    .stopped = on_stopped,
    .ctx = r,
  };
}

/* -- reloading ----------------------------------------------------------------------------------------------------- */

static bool same_text(const char *a, const char *b) { return a && b ? strcmp(a, b) == 0 : a == b; }

/* Warns of changed settings that need a restart: they belong to the open store or log, or to stored jobs. */
static void tell_fixed(const struct run *r, const struct sk_config *c) {
  const struct {
    const char *name;
    bool changed;
  } fixed[] = {
    { "store", strcmp(r->config.store, c->store) != 0 },
    { "durability", r->config.durability != c->durability },
    { "lease", r->config.lease_ms != c->lease_ms },
    { "args_bytes_max", r->config.args_bytes_max != c->args_bytes_max },
    { "log_file", !same_text(r->config.log_file, c->log_file) },
  };
  for (size_t i = 0; i < sizeof fixed / sizeof *fixed; i++)
    if (fixed[i].changed)
      sk_logf(&r->log, SK_LOG_WARN, "setting %s has changed: restart the engine to use it", fixed[i].name);
}

/* Uses the configuration that was read again; without one the old settings stay. */
static void on_reread(void *ctx, const struct sk_config *c, const struct sk_err *why) {
  struct run *r = ctx;
  struct sk_err err;
  if (r->stopping) return;
  bool used = false;
  if (c && !copy_queues(r, c)) sk_err_set(&err, SK_ENOMEM, "out of memory");
  if (c && r->queues) {
    tell_fixed(r, c);
    struct sk_engine_options options = engine_options(r, c);
    used = sk_engine_configure(r->engine, &options, &err) == SK_OK;
    r->log.level = c->log_level;
    r->log.json = c->log_json;
  }
  if (!used) sk_logf(&r->log, SK_LOG_ERROR, "the old configuration stays: %s", c ? err.message : why->message);
  sk_engine_reload(r->engine);
}

static void on_scripts_changed(void *ctx) {
  struct run *r = ctx;
  if (!r->stopping) sk_reread_start(r->reread);
}

static enum sk_code start_reloading(struct run *r, const struct sk_args *args, struct sk_err *err) {
  r->reread = sk_reread_new(r->loop, args, r->program, r->dir, on_reread, r);
  if (r->reread == NULL) return sk_err_set(err, SK_ENOMEM, "out of memory");
  if (!r->watch) return SK_OK;
  r->scripts = sk_script_watch_new(r->loop, r->dir, on_scripts_changed, r, err);
  return r->scripts ? SK_OK : err->code;
}

static void stop_reloading(struct run *r) {
  sk_script_watch_free(r->scripts);
  sk_reread_free(r->reread);
}

/* -- life ---------------------------------------------------------------------------------------------------------- */

/* Appends the queues in the form of the option: "mail:5,default:1". */
static void add_queues(const struct run *r, struct sk_buf *out) {
  for (size_t i = 0; i < r->config.queues_n; i++) {
    const struct sk_queue_spec *q = &r->config.queues[i];
    sk_buf_addf(out, "%s%.*s", i > 0 ? "," : "", SK_STR_ARG(q->name));
    if (q->weight > 0) sk_buf_addf(out, ":%u", q->weight);
  }
}

static void log_start(const struct run *r) {
  struct sk_buf message = { 0 }, url = { 0 }, queues = { 0 };
  char workers[16], concurrency[16];
  snprintf(workers, sizeof workers, "%d", r->config.workers);
  snprintf(concurrency, sizeof concurrency, "%d", r->config.concurrency);
  sk_buf_addf(&message, "skein " SK_VERSION " runs %s", r->dir);
  sk_url_redact(sk_str_c(r->config.store), &url);
  add_queues(r, &queues);
  const struct sk_log_fact facts[] = {
    { .key = "store", .value = sk_buf_str(&url) },
    { .key = "workers", .value = sk_str_c(workers), .number = true },
    { .key = "concurrency", .value = sk_str_c(concurrency), .number = true },
    { .key = "queues", .value = sk_buf_str(&queues) },
  };
  sk_log_line(&r->log, SK_LOG_INFO, sk_buf_str(&message), facts, queues.n > 0 ? 4 : 3);
  sk_buf_fini(&message);
  sk_buf_fini(&url);
  sk_buf_fini(&queues);
}

static void log_end(const struct run *r) {
  const struct sk_engine_totals *t = sk_engine_totals(r->engine);
  double s = (double)(sk_clock_mono_ms() - t->started_ms) / 1000.0;
  sk_logf(&r->log, SK_LOG_INFO,
          "%s: %" PRId64 " done, %" PRId64 " retried, %" PRId64 " dead, %" PRId64 " discarded, %" PRId64
          " handed back, %" PRId64 " workers died, in %.2f s",
          r->drain && !r->stopping ? "drained" : "stopped", t->done, t->retried, t->dead, t->discarded, t->released,
          t->workers_died, s);
}

/* The exit code for an engine that ended with this code. */
static int exit_code_of(enum sk_code code) {
  switch (code) {
  case SK_OK: return SK_EXIT_OK;
  case SK_EINVAL:
  case SK_EUNSUPPORTED: return SK_EXIT_CONFIG;
  case SK_ENOMEM: return SK_EXIT_INTERNAL;
  case SK_ELIMIT:
  case SK_EEXISTS:
  case SK_ENOTFOUND:
  case SK_ESTALE:
  case SK_ESTATE:
  case SK_EUNAVAILABLE:
  case SK_EUNKNOWN:
  case SK_ECORRUPT:
  case SK_EVERSION:
  case SK_ETIMEOUT:
  case SK_ECANCELLED:
  case SK_ESYS: break;
  }
  return SK_EXIT_UNAVAILABLE;
}

/* Runs on the watchdog's thread when a turn of the loop does not end. The workers die with this process, and their jobs
 * run elsewhere. */
static void on_late(void *ctx, int64_t ms) {
  const struct run *r = ctx;
  if (r->log.sink) {
    sk_logf(&r->log, SK_LOG_ERROR,
            "the engine's loop has not gone on for %g s, which is a fault of skein itself: aborting, so that its jobs "
            "run elsewhere",
            (double)ms / 1000);
    sk_log_sink_flush(&r->log);
  }
  abort();
}

/* Without memory for a watchdog the engine runs all the same. */
static struct sk_watchdog *start_watchdog(struct run *r) {
  struct sk_err err;
  struct sk_watchdog *watchdog = NULL;
  struct sk_watchdog_options options = { .turn_ms_max = SK_TURN_MS_MAX, .late = on_late, .ctx = r };
  if (sk_watchdog_start(r->loop, &options, &watchdog, &err) != SK_OK) sk_logf(&r->log, SK_LOG_WARN, "%s", err.message);
  return watchdog;
}

static int end_of(struct run *r) {
  struct sk_err err;
  enum sk_code code = sk_engine_outcome(r->engine, &err);
  if (code != SK_OK)
    complain(r, err.message);
  else
    log_end(r);
  int exit_code = exit_code_of(code);
  if (exit_code == SK_EXIT_OK && r->drain && sk_engine_totals(r->engine)->dead > 0) exit_code = SK_EXIT_FAILED;
  return exit_code;
}

static int run_engine(struct run *r, const struct sk_args *args) {
  struct sk_err err;
  r->loop = sk_loop_new(&err);
  if (r->loop == NULL || !copy_queues(r, &r->config)) {
    complain(r, "out of memory");
    return SK_EXIT_INTERNAL;
  }
  sk_early_stop_begin(&r->early_stop, &r->log);
  log_start(r);
  name_application(r);
  struct sk_engine_options options = engine_options(r, &r->config);
  watch_signals(r); /* before the first worker starts: tools wait for that before they send a signal */
  enum sk_code code = start_reloading(r, args, &err);
  if (code == SK_OK) code = sk_engine_new(r->loop, &options, &r->engine, &err);
  sk_early_stop_end(&r->early_stop);
  if (code != SK_OK) {
    complain(r, err.message);
    stop_reloading(r);
    unwatch_signals(r);
    sk_loop_free(r->loop);
    return exit_code_of(code);
  }
  struct sk_watchdog *watchdog = start_watchdog(r);
  sk_loop_run(r->loop);
  sk_watchdog_stop(watchdog);
  stop_reloading(r);
  unwatch_signals(r);
  int exit_code = end_of(r);
  if (sk_engine_left(r->engine)) { /* the store's thread may hang for ever */
    sk_log_sink_flush(&r->log);
    _exit(exit_code);
  }
  sk_engine_free(r->engine);
  sk_loop_free(r->loop);
  return exit_code;
}

/* From here on a thread writes the log: a reader that stands still must not stop the engine. */
static int run_logged(struct run *r, const struct sk_args *args) {
  struct sk_err err;
  r->guard = sk_guard_start(r->program, &err); /* before there are threads */
  if (r->guard == NULL) sk_logf(&r->log, SK_LOG_WARN, "%s: programs of jobs may outlive their workers", err.message);
  if (sk_log_sink_start(&r->log, &err) != SK_OK) sk_logf(&r->log, SK_LOG_WARN, "%s", err.message);
  int exit_code = run_engine(r, args);
  sk_guard_stop(r->guard);
  sk_log_sink_stop(&r->log);
  return exit_code;
}

int sk_app_run(int argc, char **argv) {
  struct sk_args args;
  int exit_code = sk_options_main(&COMMAND, argc, argv, &args);
  if (exit_code >= 0) return exit_code;
  exit_code = sk_init_run();
  if (exit_code >= 0) return exit_code;
  struct run r = { 0 };
  sk_log_init(&r.log);
  exit_code = read_settings(&r, &args);
  if (exit_code == SK_EXIT_OK) exit_code = run_logged(&r, &args);
  sk_config_fini(&r.config);
  free(r.queues);
  sk_buf_fini(&r.application);
  free(r.program);
  return exit_code;
}
