/* worker.c - `skein worker ...`: processes that run user code. The engine starts them, people do not.
 *
 *   worker run DIR NUMBER CONCURRENCY MEMORY_MAX PARENT_PID      descriptor 3 is the pipe, 4 the shared memory
 *   worker config DIR PARENT_PID
 *   worker guard TOKEN                                           see io/guard.h */
#include "lua/worker.h"

#include <stdlib.h>
#include <string.h>

#include "app/exits.h"
#include "app/out.h"
#include "app/verbs.h"
#include "io/guard.h"
#include "lua/inspect.h"

int sk_app_worker(int argc, char **argv) {
  if (argc == 4 && strcmp(argv[1], "config") == 0) return sk_inspect_config(argv[2], (int)strtol(argv[3], NULL, 10));
  if (argc == 3 && strcmp(argv[1], "guard") == 0) return sk_guard_main(argv[2]);
  if (argc != 7 || strcmp(argv[1], "run") != 0) {
    sk_out_error("worker", "is started by the engine: see `skein run --help`");
    return SK_EXIT_USAGE;
  }
  struct sk_worker_options options = {
    .dir = argv[2],
    .number = (uint32_t)strtoul(argv[3], NULL, 10),
    .concurrency = (uint32_t)strtoul(argv[4], NULL, 10),
    .memory_max = strtoull(argv[5], NULL, 10),
    .parent_pid = (int)strtol(argv[6], NULL, 10),
  };
  return sk_worker_main(&options);
}
