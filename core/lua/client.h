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

/* A store opened as a client, with the loop that runs its requests. */
struct sk_lua_client {
  struct sk_loop *loop; /* NULL once closed */
  struct sk_store *store;
  struct sk_requests *requests;
  _Atomic bool turning;    /* a thread runs the loop */
  struct sk_timer *safety; /* expires every SK_SAFETY_POLL_MS while the loop runs */
  int64_t deadline_ms; /* end of the current enqueue with all its requests, monotonic; 0: each request has its own */
};
/* client:call(operation, payload); the arguments are at stack index 2 and 3. */
int sk_lua_client_call(lua_State *L, struct sk_lua_client *c);

/* lua_CFunction: client(url [, durability]) -> client | nil, message, code */
int sk_lua_client_open(lua_State *L);
/* Makes the userdata's metatable with these methods:
 *
 *   client:call(operation, payload) -> code, answer or message
 *   client:close()
 *   client:budget(on)   while on, all calls belong to one enqueue and share the store's timeout
 *   client:call_many(operation, payloads) -> codes, answers or messages, in the order of the payloads
 *
 * call_many keeps up to SK_CALLS_IN_FLIGHT_MAX requests in flight.  A payload of ENQUEUE may be bulk items
 * (enqueue_bulk.h).  A payload may be a function that returns it; call_many calls it when the request is due, and
 * raises its error once the earlier requests have ended.  After a failure no further request begins, so both lists may
 * be shorter than payloads. */
void sk_lua_client_register(lua_State *L);

#endif
