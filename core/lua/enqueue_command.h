/* enqueue_command.h - one job from the command line (`skein enqueue`), through the one Lua client:
 * lua/skein/enqueue_command.lua. */
#ifndef SK_LUA_ENQUEUE_COMMAND_H
#define SK_LUA_ENQUEUE_COMMAND_H

#include <stdbool.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/err.h"
#include "base/log.h"
#include "base/str.h"
#include "store/store.h"

/* The job, checked as far as a text alone tells; all strings are borrowed, an empty one is not given. */
struct sk_lua_enqueue {
  struct sk_str url;
  enum sk_durability durability;
  const struct sk_log *log; /* for what the store has to say; borrowed until return */
  size_t args_bytes_max;
  struct sk_str task;
  struct sk_str queue;
  struct sk_str args; /* a JSON array */
  struct sk_str meta; /* a JSON object */
  struct sk_str unique_key;
  struct sk_str limit_key;
  int32_t priority;
  bool priority_given;
  int64_t retries;  /* SK_UNSET: not given */
  int64_t keep_ms;  /* SK_UNSET: not given */
  int64_t due_ms;   /* wall clock; 0: not given */
  int64_t delay_ms; /* 0: not given */
};

/* The outcome; all buffers are owned by the caller, who gives them zeroed and ends them. */
struct sk_lua_enqueued {
  struct sk_buf id, queue; /* of the job that was added */
  struct sk_buf note;      /* a sentence for the user, empty when there is none */
  bool usage;              /* it failed because of what the user wrote */
};

/* Adds the job.  SK_EEXISTS, SK_ELIMIT: the store has refused it; other codes: it was not added, or, SK_EUNKNOWN,
 * nobody knows. err has a whole sentence. */
enum sk_code sk_lua_enqueue_command(const struct sk_lua_enqueue *job, struct sk_lua_enqueued *out, struct sk_err *err);
void sk_lua_enqueued_fini(struct sk_lua_enqueued *out);

#endif
