/* json.c - the parts that encoder and decoder share: the registry's slots, null and arrays.  See json.h. */
#include "lua/json.h"

#include <assert.h>
#include <lauxlib.h>
#include <stdbool.h>
#include <stdint.h>

#include "lua/json_slots.h"

const double sk_lua_json_powers[SK_LUA_JSON_POWERS_MAX + 1] = { 1e0,  1e1,  1e2,  1e3,  1e4,  1e5,  1e6,  1e7,
                                                                1e8,  1e9,  1e10, 1e11, 1e12, 1e13, 1e14, 1e15,
                                                                1e16, 1e17, 1e18, 1e19, 1e20, 1e21, 1e22 };

/* The address of this variable is the registry key. */
static const char REGISTRY_KEY = 0;

/* Three Lua functions that recognize and make 64-bit integers, which the C API cannot.  They take pointers to
 * integers. */
static const char HELPERS[] =
    "local ffi = require 'ffi'\n"
    "local istype, cast = ffi.istype, ffi.cast\n"
    "local int64, uint64 = ffi.typeof 'int64_t', ffi.typeof 'uint64_t'\n"
    "local int64_at, uint64_at = ffi.typeof 'const int64_t *', ffi.typeof 'const uint64_t *'\n"
    "return function(x) return istype(int64, x) and 1 or istype(uint64, x) and 2 or 0 end,\n"
    "  function(p) return cast(int64_at, p)[0] end,\n"
    "  function(p) return cast(uint64_at, p)[0] end\n";

void sk_lua_json_push_slot(lua_State *L, enum sk_lua_json_slot slot) {
  lua_pushlightuserdata(L, (void *)(uintptr_t)&REGISTRY_KEY);
  lua_rawget(L, LUA_REGISTRYINDEX);
  assert(lua_istable(L, -1)); /* sk_lua_json_open came first */
  lua_rawgeti(L, -1, (int)slot);
  lua_replace(L, -2);
}

void sk_lua_json_open(lua_State *L) {
  lua_pushlightuserdata(L, (void *)(uintptr_t)&REGISTRY_KEY);
  lua_rawget(L, LUA_REGISTRYINDEX);
  bool done = lua_istable(L, -1);
  lua_pop(L, 1);
  if (done) return;
  lua_createtable(L, 4, 0);
  lua_createtable(L, 0, 2);
  lua_pushliteral(L, "skein.array");
  lua_setfield(L, -2, "__name");
  lua_pushliteral(L, "array");
  lua_setfield(L, -2, "__jsontype");
  lua_rawseti(L, -2, SK_LUA_JSON_METATABLE);
  if (luaL_loadbuffer(L, HELPERS, sizeof HELPERS - 1, "=skein.json") != 0) lua_error(L);
  lua_call(L, 0, 3);
  lua_rawseti(L, -4, SK_LUA_JSON_MAKE_UINT64);
  lua_rawseti(L, -3, SK_LUA_JSON_MAKE_INT64);
  lua_rawseti(L, -2, SK_LUA_JSON_CLASSIFY);
  lua_pushlightuserdata(L, (void *)(uintptr_t)&REGISTRY_KEY);
  lua_insert(L, -2);
  lua_rawset(L, LUA_REGISTRYINDEX);
}

void sk_lua_json_push_null(lua_State *L) { lua_pushlightuserdata(L, NULL); }

int sk_lua_json_array(lua_State *L) {
  if (lua_isnone(L, 1)) lua_newtable(L);
  luaL_checktype(L, 1, LUA_TTABLE);
  lua_settop(L, 1);
  sk_lua_json_push_slot(L, SK_LUA_JSON_METATABLE);
  if (lua_getmetatable(L, 1)) {
    if (!lua_rawequal(L, -1, -2)) return luaL_argerror(L, 1, "a table without a metatable expected");
    lua_pop(L, 1);
  }
  lua_setmetatable(L, 1);
  return 1;
}
