/* client.h - the store for Lua programs outside the engine: a userdata that owns a loop and a store opened as a client, and runs
 * the same requests (engine/request.h) that workers send to their core.  Blocks until the answer is there. */
#ifndef SK_LUA_CLIENT_H
#define SK_LUA_CLIENT_H

#include <lua.h>

/* lua_CFunction: client(url [, durability]) -> client | nil, message, code */
int sk_lua_client_open(lua_State *L);
/* Makes the userdata's metatable: client:call(operation, payload) -> code, answer or message;  client:close() */
void sk_lua_client_register(lua_State *L);

#endif
