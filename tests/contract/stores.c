/* stores.c - the stores that the contract is run over.  To add one, add a line to the table. */
#include <string.h>

#include "contract.h"

/* Named after the folder, so that the handles of one test share it and no two tests do. */
static void memory_url(const char *dir, char *url, size_t n) { snprintf(url, n, "memory:%s", strrchr(dir, '/') + 1); }
static void sqlite_url(const char *dir, char *url, size_t n) { snprintf(url, n, "sqlite:%s/jobs.db", dir); }

static void redis_url(const char *dir, char *url, size_t n) {
  (void)dir;
  snprintf(url, n, "redis+unix://%s", empty_redis_server());
}

const struct store_under_test stores_under_test[] = {
  { "memory", memory_url },
  { "sqlite", sqlite_url },
  { "redis", redis_url },
};
const size_t stores_under_test_n = sizeof stores_under_test / sizeof stores_under_test[0];
