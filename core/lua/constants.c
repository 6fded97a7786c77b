/* constants.c - see constants.h. */
#include "lua/constants.h"

#include "base/limits.h"
#include "base/log.h"
#include "engine/request.h"
#include "logic/job.h"
#include "logic/wire.h"
#include "lua/client.h"
#include "lua/runner.h"
#include "store/store.h"

struct constant {
  const char *name;
  lua_Number value;
};

static const struct constant OPERATIONS[] = {
  { "ENQUEUE", SK_OP_ENQUEUE }, { "GET", SK_OP_GET },     { "WAIT", SK_OP_WAIT },
  { "LIST", SK_OP_LIST },       { "COUNT", SK_OP_COUNT }, { "CHANGE", SK_OP_CHANGE },
  { "PAUSE", SK_OP_PAUSE },     { "TASKS", SK_OP_TASKS }, { NULL, 0 },
};
static const struct constant VERBS[] = {
  { "cancel", SK_VERB_CANCEL },
  { "delete", SK_VERB_DELETE },
  { "retry", SK_VERB_RETRY },
  { "promote", SK_VERB_PROMOTE },
  { NULL, 0 },
};
/* By the words of lua/skein/errors.lua: skein.fail, skein.discard, ... */
static const struct constant VERDICTS[] = {
  { "retry", SK_VERDICT_RETRY },   { "fail", SK_VERDICT_DEAD },       { "discard", SK_VERDICT_DISCARD },
  { "snooze", SK_VERDICT_SNOOZE }, { "stopped", SK_VERDICT_STOPPED }, { NULL, 0 },
};
static const struct constant HOOKS[] = {
  { "error", SK_HOOK_ERROR },
  { "death", SK_HOOK_DEATH },
  { "event", SK_HOOK_EVENT },
  { NULL, 0 },
};
static const struct constant OVERFLOWS[] = {
  { "reject", SK_OVERFLOW_REJECT },
  { "drop_oldest", SK_OVERFLOW_DROP_OLDEST },
  { "block", SK_OVERFLOW_BLOCK },
  { NULL, 0 },
};
static const struct constant BLOCKERS[] = {
  { "concurrency", SK_BLOCKED_BY_CONCURRENCY },
  { "rate", SK_BLOCKED_BY_RATE },
  { NULL, 0 },
};
static const struct constant LOG_LEVELS[] = {
  { "debug", SK_LOG_DEBUG }, { "info", SK_LOG_INFO }, { "warn", SK_LOG_WARN }, { "error", SK_LOG_ERROR }, { NULL, 0 },
};
static const struct constant LIMITS[] = {
  { "name_bytes", SK_NAME_BYTES_MAX },
  { "id_bytes", SK_ID_BYTES_MAX },
  { "args_bytes", SK_ARGS_BYTES_MAX },
  { "args", SK_ARGS_COUNT_MAX },
  { "result_bytes", SK_RESULT_BYTES_MAX },
  { "callbacks_bytes", SK_CALLBACKS_BYTES_MAX },
  { "callbacks", SK_CALLBACKS_MAX },
  { "key_bytes", SK_KEY_BYTES_MAX },
  { "batch", SK_ENQUEUE_BATCH_MAX },
  { "batch_bytes", SK_BATCH_BYTES_MAX },
  { "list", SK_LIST_LIMIT_MAX },
  { "retries", SK_RETRIES_MAX },
  { "priority_min", SK_PRIORITY_MIN },
  { "priority_max", SK_PRIORITY_MAX },
  { "seconds", (lua_Number)SK_SECONDS_MAX },
  { "cancelled_keep_ms", SK_CANCELLED_KEEP_MS },
  { "concurrency", SK_LIMIT_CONCURRENCY_MAX },
  { "rate", SK_LIMIT_RATE_MAX },
  { "queue_len", (lua_Number)SK_QUEUE_LEN_MAX },
  { "calls_in_flight", SK_CALLS_IN_FLIGHT_MAX },
  { "stops_swallowed", SK_SWALLOWED_MAX },
  { NULL, 0 },
};

static const struct {
  const char *table;
  const struct constant *constants;
  bool both_ways; /* also number -> name */
} TABLES[] = {
  { "OP", OPERATIONS, false }, { "VERB", VERBS, false },         { "VERDICT", VERDICTS, false },
  { "HOOK", HOOKS, false },    { "OVERFLOW", OVERFLOWS, true },  { "LOG", LOG_LEVELS, false },
  { "LIMITS", LIMITS, false }, { "BLOCKED_BY", BLOCKERS, true },
};

/* t[name] = value, and when `both_ways` t[value] = name, for the table t on top of the stack. */
static void add(lua_State *L, const char *name, lua_Number value, bool both_ways) {
  lua_pushnumber(L, value);
  lua_setfield(L, -2, name);
  if (!both_ways) return;
  lua_pushstring(L, name);
  lua_rawseti(L, -2, (int)value);
}

void sk_lua_constants_add(lua_State *L) {
  for (size_t i = 0; i < sizeof TABLES / sizeof *TABLES; i++) {
    lua_newtable(L);
    for (const struct constant *c = TABLES[i].constants; c->name; c++) add(L, c->name, c->value, TABLES[i].both_ways);
    lua_setfield(L, -2, TABLES[i].table);
  }
  lua_newtable(L);
  for (int i = SK_STATE_NONE + 1; i < SK_STATES; i++) add(L, sk_state_name((enum sk_state)i), i, true);
  lua_setfield(L, -2, "STATE");
  lua_newtable(L);
  for (int i = SK_KIND_NONE + 1; i < SK_KINDS; i++) add(L, sk_error_kind_name((enum sk_error_kind)i), i, true);
  lua_setfield(L, -2, "KIND");
  lua_newtable(L);
  for (int i = SK_OK; i <= SK_ESYS; i++) add(L, sk_code_name((enum sk_code)i), i, true);
  lua_setfield(L, -2, "CODE");
}
