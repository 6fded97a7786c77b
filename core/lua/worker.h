/* worker.h - a worker process: one LuaJIT state that runs jobs for the core at the other end of its pipe. */
#ifndef SK_LUA_WORKER_H
#define SK_LUA_WORKER_H

#include <stdint.h>

#include "base/err.h"

/* The file descriptors that a worker inherits from the core. */
enum { SK_WORKER_PIPE_FD = 3, SK_WORKER_SLOT_PAGE_FD = 4 };

struct sk_worker_options {
  const char *dir; /* folder of the scripts */
  uint32_t number;
  uint32_t concurrency;
  uint64_t memory_max; /* limit of the Lua heap in bytes; 0: none */
  int parent_pid;      /* the core; the worker does not outlive it */
};

/* Loads the scripts and runs jobs until the core stops the worker or exits.  Returns the exit status. */
int sk_worker_main(const struct sk_worker_options *options);

/* Name and version of the Lua implementation, e.g. "LuaJIT 2.1.0-beta3". */
const char *sk_worker_lua_version(void);

#endif
