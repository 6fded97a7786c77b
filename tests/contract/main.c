/* main.c - `contract STORE [PATTERN]` runs the contract over a store; PATTERN (*, ?) picks tests by name.  Exits 0 when
 * all passed; the last line is "N passed, N failed". */
#include <stdlib.h>
#include <string.h>

#include "contract.h"

static const struct suite *const suites[] = {
  &law_suite,       &enqueue_suite, &fetch_suite, &settle_suite, &beat_suite,  &look_suite,  &change_suite,
  &events_suite,    &lock_suite,    &limit_suite, &rate_suite,   &turns_suite, &bound_suite, &rules_suite,
  &admission_suite, &renew_suite,   &stop_suite,  &client_suite, &model_suite, &steps_suite,
};

static const struct store_under_test *store_named(const char *name) {
  for (size_t i = 0; i < stores_under_test_n; i++)
    if (strcmp(name, stores_under_test[i].name) == 0) return &stores_under_test[i];
  return NULL;
}

static bool matches(const char *pattern, const char *name) {
  if (*pattern == '*') return matches(pattern + 1, name) || (*name && matches(pattern, name + 1));
  if (*pattern == '\0' || *name == '\0') return *pattern == *name;
  return (*pattern == '?' || *pattern == *name) && matches(pattern + 1, name + 1);
}

/* Runs the suite's tests that match, each in a world of its own.  Returns how many failed; adds those run to *run. */
static int run_suite(const struct suite *suite, const struct store_under_test *kind, const char *pattern, size_t *run) {
  struct CMUnitTest *tests = calloc(suite->tests_n, sizeof *tests);
  if (tests == NULL) abort();
  size_t n = 0;
  for (size_t i = 0; i < suite->tests_n; i++) {
    if (!matches(pattern, suite->tests[i].name)) continue;
    tests[n] = suite->tests[i];
    tests[n].setup_func = world_setup;
    tests[n].teardown_func = world_teardown;
    tests[n].initial_state = (void *)(uintptr_t)kind;
    n++;
  }
  char title[64];
  snprintf(title, sizeof title, "%s: %s", kind->name, suite->name);
  int failed = n ? _cmocka_run_group_tests(title, tests, n, NULL, NULL) : 0;
  free(tests);
  *run += n;
  return failed;
}

int main(int argc, char **argv) {
  const struct store_under_test *kind = argc > 1 ? store_named(argv[1]) : NULL;
  if (kind == NULL || argc > 3) {
    fprintf(stderr, "usage: contract STORE [PATTERN]   STORE is one of:");
    for (size_t i = 0; i < stores_under_test_n; i++) fprintf(stderr, " %s", stores_under_test[i].name);
    fprintf(stderr, "\n");
    return 64;
  }
  size_t run = 0;
  int failed = 0;
  for (size_t i = 0; i < sizeof suites / sizeof suites[0]; i++)
    failed += run_suite(suites[i], kind, argc > 2 ? argv[2] : "*", &run);
  fflush(stderr);
  printf("%zu passed, %d failed\n", run - (size_t)failed, failed);
  return failed == 0 && run > 0 ? 0 : 1;
}
