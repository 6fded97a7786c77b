/* keys.h - what a task's template says of locks and limits, worked out for one job, as lua/skein/keys.lua does for every client: for
 * the command line, which has no script. */
#ifndef SK_LUA_KEYS_H
#define SK_LUA_KEYS_H

#include <stdint.h>

#include "base/buf.h"
#include "base/err.h"
#include "logic/job.h"

struct sk_lua_keys {
  const struct sk_job *job;      /* its task and its args */
  const struct sk_job *template; /* its task's; of a task that nobody has declared: an empty one */
  struct sk_str
      unique_key; /* given in place of what the template makes of the args; makes a job unique whose task is not.  Empty: none */
  struct sk_str limit_key; /* the same for its limit */
  struct sk_buf unique,
      limit; /* out: the job's lock and limit (lock.h, limit.h), empty where there is none; the caller's to fini */
  int64_t delay_ms; /* out: how long its lock wants it to wait, 0: not */
};

/* Fills in the last three.  SK_EINVAL: a function of the script makes a key that is not given. */
enum sk_code sk_lua_keys(struct sk_lua_keys *keys, struct sk_err *err);

#endif
