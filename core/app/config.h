/* config.h - the settings, and the source of each.
 *
 * Order: flag, environment, DIR/config.lua or config.yml, default. A setting keeps its first value, so callers apply
 * the sources in that order: sk_config_init (defaults), sk_config_flags, sk_config_environment, then sk_config_set for
 * each line of a file. A later value is checked all the same, so that a wrong line in a file is found even when a flag
 * hides it. */
#ifndef SK_APP_CONFIG_H
#define SK_APP_CONFIG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "app/options.h"
#include "base/arena.h"
#include "base/err.h"
#include "base/limits.h"
#include "base/log.h"
#include "base/str.h"
#include "logic/queues.h"
#include "store/store.h"

#define SK_SETTINGS 15
#define SK_STORE_DEFAULT "sqlite:.skein/jobs.db"
#define SK_CONCURRENCY_DEFAULT 10
#define SK_ARGS_BYTES_TOP                                                                                              \
  (2 * 1024 * 1024) /* the greatest args_bytes_max: with a result a record stays below SK_RECORD_BYTES_MAX */

struct sk_config {
  const char *store;
  int workers;
  int concurrency;
  struct sk_queue_spec *queues;
  size_t queues_n; /* 0: every queue of the store */
  int64_t shutdown_timeout_ms;
  enum sk_log_level log_level;
  bool log_json;
  const char *log_file; /* NULL: stderr */
  enum sk_durability durability;
  int64_t memory_max_bytes; /* per worker; 0: no limit */
  int unknown_max;
  int64_t unknown_delay_ms;
  int64_t args_bytes_max;
  int64_t lease_ms;

  const char *sources[SK_SETTINGS]; /* the source of each setting, by row of config.c's table; NULL: default */
  struct sk_arena arena;            /* owns all strings above */
};

/* The caller: a client reads only the settings that it needs from the environment, so that a wrong WORKERS does not
 * break `skein jobs`. */
enum sk_config_use { SK_CONFIG_ENGINE, SK_CONFIG_CLIENT };

/* Fills in all defaults. Cannot fail. */
void sk_config_init(struct sk_config *config);
void sk_config_fini(struct sk_config *config);

/* Checks a value and keeps it unless the setting has one. `source` is for people: "DIR/config.lua:3", "environment
 * WORKERS", "--workers". SK_EINVAL: an unknown name (the message suggests the nearest) or a wrong value; SK_ENOMEM.
 * Copies what it keeps. */
enum sk_code sk_config_set(struct sk_config *config, struct sk_str name, struct sk_str value, const char *source,
                           struct sk_err *err);

/* Sets the values of the command line: each option whose name is that of a setting ("log-level" is log_level).
 * SK_EINVAL here is a usage error (SK_EXIT_USAGE), elsewhere an error of the configuration (SK_EXIT_CONFIG). */
enum sk_code sk_config_flags(struct sk_config *config, const struct sk_args *args, struct sk_err *err);

/* Sets the values of environment variables; an empty variable counts as none. */
enum sk_code sk_config_environment(struct sk_config *config, enum sk_config_use use, struct sk_err *err);

/* The row in the options table of every command that opens a store, and the rows of an engine. */
#define SK_OPTION_STORE                                                                                                \
  { "store", 's', "URL", "where the jobs are (default: $SKEIN_STORE, $REDIS_URL, " SK_STORE_DEFAULT ")" }
#define SK_OPTIONS_ENGINE                                                                                              \
  SK_OPTION_STORE, { "workers", 'w', "N", "worker processes (default: one a core)" },                                  \
      { "concurrency", 'c', "N", "jobs that run at once in a worker (default: 10)" },                                  \
      { "queues", 'q', "NAME[:WEIGHT],...", "queues to serve, in strict order, or by weight (default: all)" },         \
      { "shutdown-timeout", 't', "DURATION", "how long running jobs may take to finish at shutdown (default: 25s)" },  \
      { "http", 0, "ADDR", "not in this version yet: the engine refuses to start with it" },                           \
      { "log-level", 0, "LEVEL", "debug, info, warn, error or off (default: info)" },                                  \
      { "log-format", 0, "FORMAT", "text or json (default: text)" },                                                   \
      { "log-file", 0, "PATH", "write the log there instead of to stderr" },                                           \
      { "durability", 0, "HOW", "full: acknowledged jobs survive a power loss; or normal (default: full)" }, {         \
    "memory-max", 0, "SIZE", "memory a worker may use, such as 256MB (default: no limit)"                              \
  }

#endif
