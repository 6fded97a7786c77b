/* run.c - `skein run DIR`: settings, signals, and one engine on one loop. */
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>

#include "app/exits.h"
#include "app/options.h"
#include "app/out.h"
#include "app/scripts.h"
#include "app/verbs.h"
#include "base/clock.h"
#include "base/version.h"
#include "engine/engine.h"
#include "io/loop.h"
#include "logic/url.h"

static const struct sk_option OPTIONS[] = {
  SK_OPTIONS_ENGINE,
  { "drain", 0, NULL, "stop when nothing is ready, running or due any more; exit 1 if a job died" },
};

static const struct sk_command COMMAND = {
  .name = "run",
  .usage = "DIR [options]",
  .about = "Runs the engine: takes jobs from the store and has the scripts of DIR do them, in worker processes.",
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
  char *program;
  bool drain;
  bool stopping; /* a signal has said so */
  struct sk_config config;
  struct sk_log log;
  struct sk_queue_spec *queues;
  struct sk_loop *loop;
  struct sk_engine *engine;
  struct sk_signal *signals[9];
};

/* -- signals ---------------------------------------------------------------------------------------------------------------------- */

/* The engine takes the second wish to stop for one to stop now. */
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
  case SIGHUP: sk_engine_reload(r->engine); break;
  case SIGTTIN: sk_engine_trace(r->engine); break;
  case SIGUSR1:
    if (r->log.path && sk_log_reopen(&r->log, r->log.path, &err) != SK_OK) sk_logf(&r->log, SK_LOG_ERROR, "%s", err.message);
    break;
  default: break;
  }
}

static void watch_signals(struct run *r) {
  static const int signals[] = { SIGTERM, SIGINT, SIGQUIT, SIGTSTP, SIGCONT, SIGHUP, SIGTTIN, SIGUSR1 };
  for (size_t i = 0; i < sizeof signals / sizeof *signals; i++) r->signals[i] = sk_signal_new(r->loop, signals[i], on_signal, r);
}

static void unwatch_signals(struct run *r) {
  for (size_t i = 0; i < sizeof r->signals / sizeof *r->signals; i++) sk_signal_free(r->signals[i]);
}

/* -- settings --------------------------------------------------------------------------------------------------------------------- */

static int read_settings(struct run *r, const struct sk_args *args) {
  struct sk_err err;
  struct stat st;
  r->dir = args->args[0];
  r->drain = sk_args_has(args, "drain");
  if (stat(r->dir, &st) != 0 || !S_ISDIR(st.st_mode)) {
    sk_out_error("run", "\"%s\" is not a folder", r->dir);
    return SK_EXIT_CONFIG;
  }
  r->program = sk_scripts_program(&err);
  if (r->program == NULL) {
    sk_out_error("run", "%s", err.message);
    return SK_EXIT_INTERNAL;
  }
  sk_config_init(&r->config);
  int bad = SK_EXIT_USAGE;
  enum sk_code code = sk_config_flags(&r->config, args, &err);
  if (code == SK_OK) {
    bad = SK_EXIT_CONFIG;
    code = sk_config_environment(&r->config, SK_CONFIG_ENGINE, &err);
  }
  if (code == SK_OK) code = sk_scripts_config(r->program, r->dir, &r->config, &err);
  if (code == SK_OK && r->config.log_file) code = sk_log_reopen(&r->log, r->config.log_file, &err);
  if (code != SK_OK) {
    sk_out_error("run", "%s", err.message);
    return bad;
  }
  r->log.level = r->config.log_level;
  r->log.json = r->config.log_json;
  return SK_EXIT_OK;
}

static bool copy_queues(struct run *r) {
  r->queues = calloc(r->config.queues_n + 1, sizeof *r->queues);
  for (size_t i = 0; r->queues && i < r->config.queues_n; i++)
    r->queues[i] = (struct sk_queue_spec){ r->config.queues[i].name, (uint32_t)r->config.queues[i].weight };
  return r->queues != NULL;
}

static void on_stopped(void *ctx) {
  struct run *r = ctx;
  sk_loop_stop(r->loop);
}

static struct sk_engine_options engine_options(struct run *r) {
  const struct sk_config *c = &r->config;
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
    .log = &r->log,
    .stopped = on_stopped,
    .ctx = r,
  };
}

/* -- life ------------------------------------------------------------------------------------------------------------------------- */

/* The queues as the option takes them: "mail:5,default:1". */
static void add_queues(const struct run *r, struct sk_buf *out) {
  for (size_t i = 0; i < r->config.queues_n; i++) {
    const struct sk_config_queue *q = &r->config.queues[i];
    sk_buf_addf(out, "%s%.*s", i > 0 ? "," : "", SK_STR_ARG(q->name));
    if (q->weight > 0) sk_buf_addf(out, ":%d", q->weight);
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
    { "store", sk_buf_str(&url) },
    { "workers", sk_str_c(workers) },
    { "concurrency", sk_str_c(concurrency) },
    { "queues", sk_buf_str(&queues) },
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
          "%s: %" PRId64 " done, %" PRId64 " retried, %" PRId64 " dead, %" PRId64 " discarded, %" PRId64 " handed back, %" PRId64
          " workers died, in %.2f s",
          r->drain && !r->stopping ? "drained" : "stopped", t->done, t->retried, t->dead, t->discarded, t->released, t->workers_died, s);
}

/* What went wrong before the first job could run, as an exit code. */
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

static int run_engine(struct run *r) {
  struct sk_err err;
  r->loop = sk_loop_new(&err);
  if (r->loop == NULL || !copy_queues(r)) {
    sk_out_error("run", "out of memory");
    return SK_EXIT_INTERNAL;
  }
  log_start(r);
  struct sk_engine_options options = engine_options(r);
  watch_signals(r); /* before the first worker: its start is what others wait for to send one */
  enum sk_code code = sk_engine_new(r->loop, &options, &r->engine, &err);
  if (code != SK_OK) {
    sk_out_error("run", "%s", err.message);
    unwatch_signals(r);
    sk_loop_free(r->loop);
    return exit_code_of(code);
  }
  sk_loop_run(r->loop);
  unwatch_signals(r);
  code = sk_engine_outcome(r->engine, &err);
  if (code != SK_OK) {
    sk_out_error("run", "%s", err.message);
  } else {
    log_end(r);
  }
  int exit_code = exit_code_of(code);
  if (exit_code == SK_EXIT_OK && r->drain && sk_engine_totals(r->engine)->dead > 0) exit_code = SK_EXIT_FAILED;
  sk_engine_free(r->engine);
  sk_loop_free(r->loop);
  return exit_code;
}

int sk_app_run(int argc, char **argv) {
  struct sk_args args;
  int exit_code = sk_options_main(&COMMAND, argc, argv, &args);
  if (exit_code >= 0) return exit_code;
  struct run r = { 0 };
  sk_log_init(&r.log);
  exit_code = read_settings(&r, &args);
  if (exit_code == SK_EXIT_OK) exit_code = run_engine(&r);
  sk_config_fini(&r.config);
  free(r.queues);
  free(r.program);
  return exit_code;
}
