/* keys.c - see keys.h.  A Lua state of its own for one call. */
#include "lua/keys.h"

#include <lauxlib.h>
#include <string.h>

#include "lua/vm.h"

static const char CODE[] = "local task, lock, limit, json, unique_key, limit_key = ... "
                           "local core, keys = require 'skein.core', require 'skein.constraints' "
                           "lock, limit = constraints.given(constraints.read_lock(lock), "
                           "constraints.read_limit(limit), unique_key, limit_key) "
                           "return constraints.of_job(task, lock, limit, json, core.decode(json))";

static void push_text(lua_State *L, struct sk_str s) {
  if (s.n > 0)
    lua_pushlstring(L, s.p, s.n);
  else
    lua_pushnil(L);
}

static enum sk_code call(lua_State *L, const struct sk_lua_keys *keys, struct sk_err *err) {
  if (luaL_loadbuffer(L, CODE, sizeof CODE - 1, "=keys") != 0) return sk_err_set(err, SK_ENOMEM, "keys: out of memory");
  push_text(L, keys->job->task);
  push_text(L, keys->template->unique);
  push_text(L, keys->template->limit);
  push_text(L, keys->job->args);
  push_text(L, keys->unique_key);
  push_text(L, keys->limit_key);
  enum sk_code code = sk_vm_call(L, 6, 4, err);
  if (code != SK_OK) return code;
  struct sk_str problem = { 0 };
  problem.p = lua_tolstring(L, -1, &problem.n);
  return problem.p ? sk_err_set(err, SK_EINVAL, "%.*s", SK_STR_ARG(problem)) : SK_OK;
}

static void add_text(lua_State *L, int index, struct sk_buf *out) {
  size_t n;
  const char *p = lua_tolstring(L, index, &n);
  if (p) sk_buf_add(out, p, n);
}

enum sk_code sk_lua_keys(struct sk_lua_keys *keys, struct sk_err *err) {
  bool given = keys->unique_key.n + keys->limit_key.n > 0;
  keys->delay_ms = 0;
  if (!given && keys->template->unique.n == 0 && keys->template->limit.n == 0) return SK_OK;
  struct sk_vm *vm = sk_vm_new(0, err);
  if (vm == NULL) return err->code;
  lua_State *L = sk_vm_lua(vm);
  enum sk_code code = call(L, keys, err);
  if (code == SK_OK) {
    add_text(L, -4, &keys->unique);
    add_text(L, -3, &keys->limit);
    keys->delay_ms = (int64_t)lua_tonumber(L, -2);
    if (keys->unique.failed || keys->limit.failed) code = sk_err_set(err, SK_ENOMEM, "keys: out of memory");
  }
  sk_vm_free(vm);
  return code;
}
