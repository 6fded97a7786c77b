/* json_slots.h - the values that the codec keeps in a state's registry; private to json*.c. */
#ifndef SK_LUA_JSON_SLOTS_H
#define SK_LUA_JSON_SLOTS_H

#include <lua.h>

enum sk_lua_json_slot {
  SK_LUA_JSON_METATABLE = 1, /* the metatable of arrays */
  SK_LUA_JSON_CLASSIFY,      /* function(cdata): 1 for an int64_t, 2 for a uint64_t, else 0 */
  SK_LUA_JSON_MAKE_INT64,    /* function(light userdata): the int64_t at that address */
  SK_LUA_JSON_MAKE_UINT64,
};

void sk_lua_json_push_slot(lua_State *L, enum sk_lua_json_slot slot);

/* The powers 10^0 .. 10^22, all that a double represents exactly. */
enum { SK_LUA_JSON_POWERS_MAX = 22 };
extern const double sk_lua_json_powers[SK_LUA_JSON_POWERS_MAX + 1];

#endif
