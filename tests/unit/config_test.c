/* config_test.c - settings: their order, their checks, and the values that people type.
 *
 * The application is no library, so its sources under test are compiled in here. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "app/config.c" /* the library has no application code */
#include "app/values.c"

static const char *const VARIABLES[] = {
  "SKEIN_STORE",          "REDIS_URL",         "WORKERS",    "QUEUES",     "SKEIN_CONCURRENCY",      "SKEIN_DURABILITY",
  "SKEIN_ARGS_BYTES_MAX", "LOG_LEVEL",         "LOG_FORMAT", "SKEIN_HTTP", "SKEIN_SHUTDOWN_TIMEOUT", "SKEIN_LOG_FILE",
  "SKEIN_MEMORY_MAX",     "SKEIN_UNKNOWN_MAX", "SKEIN_LEASE"
};

static int clear_environment(void **state) {
  (void)state;
  for (size_t i = 0; i < sizeof VARIABLES / sizeof *VARIABLES; i++) unsetenv(VARIABLES[i]);
  return 0;
}

static enum sk_code set(struct sk_config *c, const char *name, const char *value, struct sk_err *err) {
  return sk_config_set(c, sk_str_c(name), sk_str_c(value), "jobs/config.lua:3", err);
}

static const char *source_of(const struct sk_config *c, const char *name) {
  const char *source = c->sources[find(sk_str_c(name)) - SETTINGS];
  return source ? source : "default";
}

static void defaults(void **state) {
  (void)state;
  struct sk_config c;
  struct sk_err err;
  sk_config_init(&c);
  assert_int_equal(sk_config_environment(&c, SK_CONFIG_ENGINE, &err), SK_OK);
  assert_string_equal(c.store, "sqlite:.skein/jobs.db");
  assert_true(c.workers >= 1 && c.workers <= SK_WORKERS_MAX);
  assert_int_equal(c.concurrency, 10);
  assert_int_equal(c.queues_n, 0);
  assert_int_equal(c.shutdown_timeout_ms, 25000);
  assert_int_equal(c.durability, SK_DURABLE_FULL);
  assert_int_equal(c.memory_max_bytes, 0);
  assert_string_equal(source_of(&c, "store"), "default");
  sk_config_fini(&c);
}

static void the_first_source_wins(void **state) {
  (void)state;
  static const struct sk_option options[] = { SK_OPTIONS_ENGINE };
  static const struct sk_command command = { .name = "run",
                                             .options = options,
                                             .options_n = sizeof options / sizeof *options };
  struct sk_args args = { .command = &command, .values = { NULL, "7" } };
  setenv("WORKERS", "3", 1);
  setenv("SKEIN_CONCURRENCY", "20", 1);
  setenv("REDIS_URL", "redis://one", 1);
  struct sk_config c;
  struct sk_err err;
  sk_config_init(&c);
  assert_int_equal(sk_config_flags(&c, &args, &err), SK_OK);
  assert_int_equal(sk_config_environment(&c, SK_CONFIG_ENGINE, &err), SK_OK);
  assert_int_equal(set(&c, "workers", "9", &err), SK_OK);
  assert_int_equal(set(&c, "concurrency", "9", &err), SK_OK);
  assert_int_equal(set(&c, "unknown_max", "9", &err), SK_OK);
  assert_int_equal(c.workers, 7);
  assert_string_equal(source_of(&c, "workers"), "--workers");
  assert_int_equal(c.concurrency, 20);
  assert_string_equal(source_of(&c, "concurrency"), "environment SKEIN_CONCURRENCY");
  assert_int_equal(c.unknown_max, 9);
  assert_string_equal(source_of(&c, "unknown_max"), "jobs/config.lua:3");
  assert_string_equal(c.store, "redis://one");
  sk_config_fini(&c);

  setenv("SKEIN_STORE", "sqlite:two", 1);
  sk_config_init(&c);
  assert_int_equal(sk_config_environment(&c, SK_CONFIG_CLIENT, &err), SK_OK);
  assert_string_equal(c.store, "sqlite:two");
  assert_int_not_equal(c.concurrency, 20); /* clients don't read it */
  sk_config_fini(&c);
}

static void wrong_values_name_setting_value_source_and_what_was_expected(void **state) {
  (void)state;
  static const struct {
    const char *name, *value, *sentence;
  } cases[] = {
    { "workers", "many", "jobs/config.lua:3: workers = \"many\": expected a whole number from 1 to 256" },
    { "workers", "0", "jobs/config.lua:3: workers = \"0\": expected a whole number from 1 to 256" },
    { "workers", "257", "jobs/config.lua:3: workers = \"257\": expected a whole number from 1 to 256" },
    { "workers", "", "jobs/config.lua:3: workers = \"\": expected a value" },
    { "wokers", "4", "jobs/config.lua:3: unknown setting \"wokers\"; did you mean workers?" },
    { "colour", "red", "jobs/config.lua:3: unknown setting \"colour\"" },
    { "log_level", "loud", "jobs/config.lua:3: log_level = \"loud\": expected debug, info, warn, error or off" },
    { "log_format", "xml", "jobs/config.lua:3: log_format = \"xml\": expected text or json" },
    { "durability", "some", "jobs/config.lua:3: durability = \"some\": expected full or normal" },
    { "memory_max", "12", "jobs/config.lua:3: memory_max = \"12\": expected at least 1MB, or 0 for no limit" },
    { "lease", "1ms", "jobs/config.lua:3: lease = \"1ms\": expected 1 to 3600 seconds" },
    { "queues", "a,b,a", "jobs/config.lua:3: queues = \"a,b,a\": queue \"a\" is named twice, expected each once" },
    { "queues", "mail:-1",
      "jobs/config.lua:3: queues = \"mail:-1\": queue \"mail\": weight \"-1\", expected a whole number from 1 to "
      "1000" },
    { "queues", "mail:1e400",
      "jobs/config.lua:3: queues = \"mail:1e400\": queue \"mail\": weight \"1e400\", expected a whole number from 1 to "
      "1000" },
    { "concurrency", "1e400", "jobs/config.lua:3: concurrency = \"1e400\": expected a whole number from 1 to 100000" },
    { "lease", "1e400",
      "jobs/config.lua:3: lease = \"1e400\": expected seconds or a duration such as 250ms, 1.5, 10s, 5m, 2h, 1d, up to "
      "100 years" },
  };
  struct sk_config c;
  sk_config_init(&c);
  int workers = c.workers;
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    struct sk_err err;
    assert_int_equal(set(&c, cases[i].name, cases[i].value, &err), SK_EINVAL);
    assert_string_equal(err.message, cases[i].sentence);
  }
  assert_int_equal(c.workers, workers);
  assert_string_equal(source_of(&c, "workers"), "default");
  sk_config_fini(&c);
}

static void http_is_refused_as_long_as_nothing_would_listen(void **state) {
  (void)state;
  struct sk_config c;
  struct sk_err err;
  sk_config_init(&c);
  assert_int_equal(set(&c, "http", "127.0.0.1:7433", &err), SK_EUNSUPPORTED);
  assert_non_null(strstr(err.message, "this version has no HTTP yet"));
  sk_config_fini(&c);
}

static void a_refused_store_shows_no_password(void **state) {
  (void)state;
  struct sk_config c;
  struct sk_err err;
  sk_config_init(&c);
  struct sk_str url = sk_str("redis://:HUSH@h\0x", 17);
  assert_int_equal(sk_config_set(&c, SK_STR_LIT("store"), url, "config.lua:1", &err), SK_EINVAL);
  assert_null(strstr(err.message, "HUSH"));
  sk_config_fini(&c);
}

static void a_wrong_line_behind_a_flag_is_still_found(void **state) {
  (void)state;
  struct sk_config c;
  struct sk_err err;
  sk_config_init(&c);
  assert_int_equal(sk_config_set(&c, SK_STR_LIT("lease"), SK_STR_LIT("20s"), "--lease", &err), SK_OK);
  assert_int_equal(set(&c, "lease", "soon", &err), SK_EINVAL);
  assert_int_equal(c.lease_ms, 20000);
  sk_config_fini(&c);
}

static void queues_are_strict_unless_one_has_a_weight(void **state) {
  (void)state;
  struct sk_config c;
  struct sk_err err;
  sk_config_init(&c);
  assert_int_equal(set(&c, "queues", "mail, other  low", &err), SK_OK);
  assert_int_equal(c.queues_n, 3);
  assert_true(sk_str_eq_c(c.queues[1].name, "other"));
  assert_int_equal(c.queues[0].weight, 0);
  sk_config_fini(&c);
  sk_config_init(&c);
  assert_int_equal(set(&c, "queues", "mail:3,low,tenant:a:2", &err), SK_OK);
  assert_true(sk_str_eq_c(c.queues[0].name, "mail"));
  assert_int_equal(c.queues[0].weight, 3);
  assert_int_equal(c.queues[1].weight, 1);
  assert_true(sk_str_eq_c(c.queues[2].name, "tenant:a"));
  assert_int_equal(c.queues[2].weight, 2);
  sk_config_fini(&c);
}

int main(void) {
  const struct CMUnitTest tests[] = {
    cmocka_unit_test(defaults),
    cmocka_unit_test(the_first_source_wins),
    cmocka_unit_test_setup(wrong_values_name_setting_value_source_and_what_was_expected, clear_environment),
    cmocka_unit_test(a_wrong_line_behind_a_flag_is_still_found),
    cmocka_unit_test(http_is_refused_as_long_as_nothing_would_listen),
    cmocka_unit_test(a_refused_store_shows_no_password),
    cmocka_unit_test(queues_are_strict_unless_one_has_a_weight),
  };
  return cmocka_run_group_tests_name("config", tests, clear_environment, NULL);
}
