/* client.h - the store for Lua programs outside the engine: a userdata that owns a loop and a store opened as a
 * client, and runs the same requests (engine/request.h) that workers send to their core.  Blocks until the answer is
 * there. */
#ifndef SK_LUA_CLIENT_H
#define SK_LUA_CLIENT_H

#include <lua.h>
#include <stdbool.h>

#include "base/buf.h"
#include "base/err.h"

enum { SK_CALLS_IN_FLIGHT_MAX = 16 };

struct sk_loop;
struct sk_requests;
struct sk_store;
struct sk_store_options;
struct sk_timer;

/* A store, and requests to it, for those who wait. */
struct sk_lua_client {
  struct sk_loop *loop; /* NULL once closed */
  struct sk_store *store;
  struct sk_requests *requests;
  _Atomic bool turning;    /* a thread is in the loop */
  struct sk_timer *safety; /* rings every SK_SAFETY_POLL_MS as long as the loop turns */
  int64_t deadline_ms;     /* of the enqueue at work as a whole, monotonic; 0: each operation has its own */
};
/* client:call(operation, payload), with the arguments at 2 and 3. */
int sk_lua_client_call(lua_State *L, struct sk_lua_client *c);

/* lua_CFunction: client(url [, durability]) -> client | nil, message, code */
int sk_lua_client_open(lua_State *L);
/* Makes the userdata's metatable: client:call(operation, payload) -> code, answer or message;  client:close();
 * client:budget(on): the operations from now on are parts of one enqueue, which has the store's timeout; or no more;
 * client:call_many(operation, payloads) -> codes, answers or messages, in the order of the payloads: up to
 * SK_CALLS_IN_FLIGHT_MAX of them are under way at once.  A payload of ENQUEUE may be enqueue_bulk.h's items.  A
 * payload may be a function that returns it, called when its turn comes; an error in it is raised when those that
 * were begun before have ended.  Once one has failed no further one is begun, so both lists may be shorter than
 * payloads. */
void sk_lua_client_register(lua_State *L);

#endif
