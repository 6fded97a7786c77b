/* keys.h - what a task's template says of locks and limits, worked out for one job, as lua/skein/keys.lua does for every client: for
 * the command line, which has no script. */
#ifndef SK_LUA_KEYS_H
#define SK_LUA_KEYS_H

#include <stdint.h>

#include "base/buf.h"
#include "base/err.h"
#include "logic/job.h"

/* Appends the job's lock and limit (lock.h, limit.h) to *unique and *limit, nothing where there is none; *delay_ms: how long its lock
 * wants it to wait, 0: not.  SK_EINVAL: a function of the script makes the key. */
enum sk_code sk_lua_keys(const struct sk_job *template, const struct sk_job *job, struct sk_buf *unique, struct sk_buf *limit,
                         int64_t *delay_ms, struct sk_err *err);

#endif
