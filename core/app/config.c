/* config.c - see config.h. One table has for each setting its name, environment variable, readers, check and storage.
 *
 * A setter reads `value` into *config. It runs on a scratch copy of the config, which is then kept or dropped. */
#include "app/config.h"

#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "app/values.h"
#include "logic/nearest.h"
#include "logic/queues.h"
#include "logic/url.h"

typedef enum sk_code (*setter)(struct sk_config *config, struct sk_str value, struct sk_err *err);

static enum sk_code copy_text(struct sk_config *config, struct sk_str value, const char **out, struct sk_err *err) {
  struct sk_str copy = sk_arena_copy(&config->arena, value);
  if (copy.p == NULL) return sk_err_set(err, SK_ENOMEM, "out of memory");
  *out = copy.p;
  return SK_OK;
}

static enum sk_code set_int(struct sk_str value, int max, int *out, struct sk_err *err) {
  int64_t v;
  enum sk_code code = sk_value_int(value, 1, max, &v, err);
  if (code == SK_OK) *out = (int)v;
  return code;
}

static enum sk_code set_duration(struct sk_str value, int64_t min_ms, int64_t max_ms, int64_t *out,
                                 struct sk_err *err) {
  int64_t ms;
  enum sk_code code = sk_value_duration(value, &ms, err);
  if (code != SK_OK) return code;
  if (ms < min_ms || ms > max_ms)
    return sk_err_set(err, SK_EINVAL, "expected %lld to %lld seconds", (long long)min_ms / 1000,
                      (long long)max_ms / 1000);
  *out = ms;
  return SK_OK;
}

/* sk_store_open checks the URL. */
static enum sk_code set_store(struct sk_config *config, struct sk_str value, struct sk_err *err) {
  return copy_text(config, value, &config->store, err);
}

static enum sk_code set_workers(struct sk_config *config, struct sk_str value, struct sk_err *err) {
  return set_int(value, SK_WORKERS_MAX, &config->workers, err);
}

static enum sk_code set_concurrency(struct sk_config *config, struct sk_str value, struct sk_err *err) {
  return set_int(value, SK_CONCURRENCY_MAX, &config->concurrency, err);
}

static enum sk_code set_queues(struct sk_config *config, struct sk_str value, struct sk_err *err) {
  struct sk_str list = sk_arena_copy(&config->arena, value);
  if (list.p == NULL) return sk_err_set(err, SK_ENOMEM, "out of memory");
  return sk_queues_parse(list, &config->arena, &config->queues, &config->queues_n, err);
}

static enum sk_code set_shutdown_timeout(struct sk_config *config, struct sk_str value, struct sk_err *err) {
  return set_duration(value, 0, 24 * 3600 * 1000, &config->shutdown_timeout_ms, err);
}

static enum sk_code set_http(struct sk_config *config, struct sk_str value, struct sk_err *err) {
  (void)config, (void)value;
  return sk_err_set(err, SK_EUNSUPPORTED,
                    "this version has no HTTP yet and would not listen: remove the setting http (--http, SKEIN_HTTP)");
}

static enum sk_code set_log_level(struct sk_config *config, struct sk_str value, struct sk_err *err) {
  if (sk_log_level_parse(value, &config->log_level)) return SK_OK;
  return sk_err_set(err, SK_EINVAL, "expected debug, info, warn, error or off");
}

static enum sk_code set_log_format(struct sk_config *config, struct sk_str value, struct sk_err *err) {
  config->log_json = sk_str_eq_c(value, "json");
  if (config->log_json || sk_str_eq_c(value, "text")) return SK_OK;
  return sk_err_set(err, SK_EINVAL, "expected text or json");
}

static enum sk_code set_log_file(struct sk_config *config, struct sk_str value, struct sk_err *err) {
  return copy_text(config, value, &config->log_file, err);
}

static enum sk_code set_durability(struct sk_config *config, struct sk_str value, struct sk_err *err) {
  bool full = sk_str_eq_c(value, "full");
  config->durability = full ? SK_DURABLE_FULL : SK_DURABLE_NORMAL;
  if (full || sk_str_eq_c(value, "normal")) return SK_OK;
  return sk_err_set(err, SK_EINVAL, "expected full or normal");
}

static enum sk_code set_memory_max(struct sk_config *config, struct sk_str value, struct sk_err *err) {
  int64_t bytes;
  enum sk_code code = sk_value_bytes(value, &bytes, err);
  if (code != SK_OK) return code;
  if (bytes != 0 && bytes < 1024 * 1024) return sk_err_set(err, SK_EINVAL, "expected at least 1MB, or 0 for no limit");
  config->memory_max_bytes = bytes;
  return SK_OK;
}

static enum sk_code set_unknown_max(struct sk_config *config, struct sk_str value, struct sk_err *err) {
  return set_int(value, 1000000, &config->unknown_max, err);
}

static enum sk_code set_args_bytes_max(struct sk_config *config, struct sk_str value, struct sk_err *err) {
  int64_t bytes;
  enum sk_code code = sk_value_bytes(value, &bytes, err);
  if (code != SK_OK) return code;
  if (bytes < 2 || bytes > SK_ARGS_BYTES_TOP)
    return sk_err_set(err, SK_EINVAL, "expected 2 to %d bytes", SK_ARGS_BYTES_TOP);
  config->args_bytes_max = bytes;
  return SK_OK;
}

static enum sk_code set_unknown_delay(struct sk_config *config, struct sk_str value, struct sk_err *err) {
  return set_duration(value, 1000, 3600 * 1000, &config->unknown_delay_ms, err);
}

static enum sk_code set_lease(struct sk_config *config, struct sk_str value, struct sk_err *err) {
  return set_duration(value, 1000, 3600 * 1000, &config->lease_ms, err);
}

static const struct setting {
  const char *name;
  const char *env, *env_also; /* the first variable that is set counts */
  bool client;                /* clients read it from the environment, too */
  setter set;
} SETTINGS[SK_SETTINGS] = {
  { "store", "SKEIN_STORE", "REDIS_URL", true, set_store },
  { "workers", "WORKERS", NULL, false, set_workers },
  { "concurrency", "SKEIN_CONCURRENCY", NULL, false, set_concurrency },
  { "queues", "QUEUES", NULL, false, set_queues },
  { "shutdown_timeout", "SKEIN_SHUTDOWN_TIMEOUT", NULL, false, set_shutdown_timeout },
  { "http", "SKEIN_HTTP", NULL, false, set_http },
  { "log_level", "LOG_LEVEL", NULL, false, set_log_level },
  { "log_format", "LOG_FORMAT", NULL, false, set_log_format },
  { "log_file", "SKEIN_LOG_FILE", NULL, false, set_log_file },
  { "durability", "SKEIN_DURABILITY", NULL, true, set_durability },
  { "memory_max", "SKEIN_MEMORY_MAX", NULL, false, set_memory_max },
  { "unknown_max", "SKEIN_UNKNOWN_MAX", NULL, false, set_unknown_max },
  { "unknown_delay", "SKEIN_UNKNOWN_DELAY", NULL, false, set_unknown_delay },
  { "args_bytes_max", "SKEIN_ARGS_BYTES_MAX", NULL, true, set_args_bytes_max },
  { "lease", "SKEIN_LEASE", NULL, false, set_lease },
};

/* The number of CPUs that this process may use. */
static int cores(void) {
  cpu_set_t set;
  long n = sched_getaffinity(0, sizeof set, &set) == 0 ? CPU_COUNT(&set) : sysconf(_SC_NPROCESSORS_ONLN);
  if (n < 1) n = 1;
  return n > SK_WORKERS_MAX ? SK_WORKERS_MAX : (int)n;
}

void sk_config_init(struct sk_config *config) {
  *config = (struct sk_config){
    .store = SK_STORE_DEFAULT,
    .workers = cores(),
    .concurrency = SK_CONCURRENCY_DEFAULT,
    .shutdown_timeout_ms = SK_SHUTDOWN_TIMEOUT_MS,
    .log_level = SK_LOG_INFO,
    .durability = SK_DURABLE_FULL,
    .unknown_max = SK_UNKNOWN_MAX,
    .unknown_delay_ms = SK_UNKNOWN_DELAY_MS,
    .args_bytes_max = SK_ARGS_BYTES_MAX,
    .lease_ms = SK_LEASE_MS,
  };
}

void sk_config_fini(struct sk_config *config) { sk_arena_fini(&config->arena); }

static const struct setting *find(struct sk_str name) {
  for (size_t i = 0; i < SK_SETTINGS; i++)
    if (sk_str_eq_c(name, SETTINGS[i].name)) return &SETTINGS[i];
  return NULL;
}

static enum sk_code unknown(struct sk_str name, const char *source, struct sk_err *err) {
  struct sk_nearest nearest;
  sk_nearest_init(&nearest, name);
  for (size_t i = 0; i < SK_SETTINGS; i++) sk_nearest_try(&nearest, sk_str_c(SETTINGS[i].name));
  struct sk_str shown = sk_str_head(name, 100);
  if (nearest.name.n == 0) return sk_err_set(err, SK_EINVAL, "%s: unknown setting \"%.*s\"", source, SK_STR_ARG(shown));
  return sk_err_set(err, SK_EINVAL, "%s: unknown setting \"%.*s\"; did you mean %.*s?", source, SK_STR_ARG(shown),
                    SK_STR_ARG(nearest.name));
}

/* Puts the source and the value in front of the message; a password in the value is hidden. */
static enum sk_code refuse(const struct setting *setting, struct sk_str value, const char *source, struct sk_err *err) {
  struct sk_buf clear = { 0 };
  sk_url_redact(value, &clear);
  struct sk_str shown = sk_str_head(sk_buf_str(&clear), 60);
  if (source[0] == '-')
    sk_err_wrap(err, "%s \"%.*s\"", source, SK_STR_ARG(shown));
  else
    sk_err_wrap(err, "%s: %s = \"%.*s\"", source, setting->name, SK_STR_ARG(shown));
  sk_buf_fini(&clear);
  return err->code;
}

static enum sk_code apply(struct sk_config *config, const struct setting *setting, struct sk_str value,
                          const char *source, struct sk_err *err) {
  struct sk_config scratch = *config;
  const char *kept_source = NULL;
  enum sk_code code = SK_OK;
  bool wrong = value.n == 0 || memchr(value.p, '\0', value.n) != NULL;
  code = wrong ? sk_err_set(err, SK_EINVAL, "expected a value") : setting->set(&scratch, value, err);
  if (code == SK_OK) code = copy_text(&scratch, sk_str_c(source), &kept_source, err);
  config->arena = scratch.arena; /* the setter's memory must be freed in any case */
  if (code == SK_ENOMEM) return code;
  if (code != SK_OK) return refuse(setting, value, source, err);
  const char **held = &config->sources[setting - SETTINGS];
  if (*held != NULL) return SK_OK;
  *config = scratch;
  *held = kept_source;
  return SK_OK;
}

enum sk_code sk_config_set(struct sk_config *config, struct sk_str name, struct sk_str value, const char *source,
                           struct sk_err *err) {
  const struct setting *setting = find(name);
  return setting ? apply(config, setting, value, source, err) : unknown(name, source, err);
}

/* Returns the setting that option "log-level" names; NULL when there is none. */
static const struct setting *find_option(const char *option) {
  char name[64];
  snprintf(name, sizeof name, "%s", option);
  for (char *c = name; *c; c++)
    if (*c == '-') *c = '_';
  return find(sk_str_c(name));
}

enum sk_code sk_config_flags(struct sk_config *config, const struct sk_args *args, struct sk_err *err) {
  for (size_t i = 0; i < args->command->options_n; i++) {
    const char *name = args->command->options[i].name, *value = args->values[i];
    const struct setting *setting = value ? find_option(name) : NULL;
    if (setting == NULL) continue;
    char source[64];
    snprintf(source, sizeof source, "--%s", name);
    enum sk_code code = apply(config, setting, sk_str_c(value), source, err);
    if (code != SK_OK) return code;
  }
  return SK_OK;
}

static enum sk_code from_variable(struct sk_config *config, const struct setting *setting, const char *variable,
                                  struct sk_err *err) {
  const char *value = variable ? getenv(variable) : NULL;
  if (value == NULL || *value == '\0') return SK_OK;
  char source[64];
  snprintf(source, sizeof source, "environment %s", variable);
  return apply(config, setting, sk_str_c(value), source, err);
}

enum sk_code sk_config_environment(struct sk_config *config, enum sk_config_use use, struct sk_err *err) {
  for (size_t i = 0; i < SK_SETTINGS; i++) {
    if (use == SK_CONFIG_CLIENT && !SETTINGS[i].client) continue;
    enum sk_code code = from_variable(config, &SETTINGS[i], SETTINGS[i].env, err);
    if (code == SK_OK) code = from_variable(config, &SETTINGS[i], SETTINGS[i].env_also, err);
    if (code != SK_OK) return code;
  }
  return SK_OK;
}
