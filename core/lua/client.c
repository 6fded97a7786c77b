/* client.c - see client.h. */
#include "lua/client.h"

#include <lauxlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/clock.h"
#include "base/limits.h"
#include "engine/request.h"
#include "io/loop.h"
#include "lua/connection.h"
#include "lua/enqueue_bulk.h"
#include "store/store.h"

static const char CLIENT_TYPE[] = "skein.client";

int sk_lua_client_open(lua_State *L) {
  size_t n;
  const char *url = luaL_checklstring(L, 1, &n);
  bool normal = strcmp(luaL_optstring(L, 2, "full"), "normal") == 0;
  const struct sk_log *log = lua_islightuserdata(L, 3) ? lua_touserdata(L, 3) : NULL;
  struct sk_lua_connection *c = lua_newuserdata(L, sizeof *c);
  memset(c, 0, sizeof *c);
  c->log = log;
  luaL_getmetatable(L, CLIENT_TYPE);
  lua_setmetatable(L, -2);
  struct sk_err err;
  if (sk_lua_connection_open(c, sk_str(url, n), normal ? SK_DURABLE_NORMAL : SK_DURABLE_FULL, &err) == SK_OK) return 1;
  lua_pushnil(L);
  lua_pushstring(L, err.message);
  lua_pushstring(L, sk_code_name(err.code));
  return 3;
}

static int client_budget(lua_State *L) {
  struct sk_lua_client *c = &((struct sk_lua_connection *)luaL_checkudata(L, 1, CLIENT_TYPE))->client;
  bool on = lua_toboolean(L, 2) && c->store != NULL && c->store->timeout_ms > 0;
  c->deadline_ms = on ? sk_clock_mono_ms() + c->store->timeout_ms : 0;
  return 0;
}

/* -- many calls at once -------------------------------------------------------------------------------------------- */

static const char CALLS_TYPE[] = "skein.calls";

struct one {
  struct calls *calls;
  enum sk_code code;
  struct sk_buf answer; /* owned */
};

/* The state of one call_many.  A userdata, so that an out-of-memory error leaks nothing.  Each call has its own, since
 * a finalizer that runs meanwhile may start another call. */
struct calls {
  size_t begun, under_way;
  bool failed;
  size_t n;
  struct one list[];
};

static void on_one(void *ctx, enum sk_code code, struct sk_str answer) {
  struct one *one = ctx;
  one->code = code;
  one->calls->failed |= code != SK_OK;
  one->calls->under_way--;
  sk_buf_add_str(&one->answer, answer);
}

static int calls_gc(lua_State *L) {
  struct calls *calls = luaL_checkudata(L, 1, CALLS_TYPE);
  for (size_t i = 0; i < calls->n; i++) sk_buf_fini(&calls->list[i].answer);
  calls->n = 0;
  return 0;
}

static struct calls *push_calls(lua_State *L, size_t n) {
  size_t bytes = sizeof(struct calls) + n * sizeof(struct one);
  struct calls *calls = lua_newuserdata(L, bytes);
  memset(calls, 0, bytes);
  luaL_getmetatable(L, CALLS_TYPE);
  lua_setmetatable(L, -2);
  calls->n = n;
  return calls;
}

/* Pushes the code and the answer of one request. */
static void push_answer(lua_State *L, const struct one *one) {
  if (one->answer.failed) luaL_error(L, "not enough memory");
  lua_pushstring(L, sk_code_name(one->code));
  lua_pushlstring(L, one->answer.p ? one->answer.p : "", one->answer.n);
}

static void turn(struct sk_lua_client *c, bool wait) {
  c->turning = true;
  sk_loop_turn(c->loop, wait);
  c->turning = false;
}

int sk_lua_client_call(lua_State *L, struct sk_lua_client *c) {
  lua_Integer operation = luaL_checkinteger(L, 2);
  size_t n;
  const char *payload = luaL_checklstring(L, 3, &n);
  struct calls *calls = push_calls(L, 1);
  struct one *one = &calls->list[0];
  if (c->loop == NULL) return luaL_error(L, "this connection is closed");
  one->calls = calls;
  calls->under_way = 1;
  bool in_enqueue = operation == SK_OP_ENQUEUE || operation == SK_OP_TASKS;
  sk_requests_until(c->requests, in_enqueue ? c->deadline_ms : 0);
  sk_requests_run(c->requests, 0, (unsigned)operation, sk_str(payload, n), on_one, one);
  while (calls->under_way > 0) turn(c, true);
  push_answer(L, one);
  sk_buf_fini(&one->answer);
  return 2;
}

/* Finds the connection at index 1, and opens it again if a fork closed it or another process opened it.  Returns false
 * with err set if that fails. */
static bool find_connection(lua_State *L, struct sk_lua_connection **c, struct sk_err *err) {
  *c = luaL_checkudata(L, 1, CLIENT_TYPE);
  if ((*c)->url == NULL) luaL_error(L, "this connection is closed");
  return sk_lua_connection_ready(*c, err) == SK_OK;
}

static int client_call(lua_State *L) {
  struct sk_lua_connection *c;
  struct sk_err err;
  if (find_connection(L, &c, &err)) return sk_lua_client_call(L, &c->client);
  lua_pushstring(L, sk_code_name(err.code));
  lua_pushstring(L, err.message);
  return 2;
}

/* Begins the next request.  Its element in the list at index 3 is a payload, bulk items (core/lua/enqueue_bulk.h), or a
 * function that returns either.  Returns false with an error value on the stack if the function fails. */
static bool begin_one(lua_State *L, struct sk_lua_client *c, unsigned operation, struct calls *calls) {
  lua_rawgeti(L, 3, (int)calls->begun + 1);
  if (lua_isfunction(L, -1) && lua_pcall(L, 0, 1, 0) != 0) return false;
  if (c->loop == NULL) { /* the function, or a finalizer, closed the connection; requests in flight were answered */
    lua_pushliteral(L, "this connection is closed");
    return false;
  }
  struct sk_lua_bulk_items *items = sk_lua_bulk_items_at(L, -1);
  if (items == NULL && lua_type(L, -1) != LUA_TSTRING) {
    lua_pushfstring(L, "call_many: payload %d is no string", (int)calls->begun + 1);
    return false;
  }
  struct one *one = &calls->list[calls->begun++];
  one->calls = calls;
  calls->under_way++;
  if (items) {
    struct sk_enqueue_item *list = items->items;
    items->items = NULL;
    sk_requests_enqueue(c->requests, list, items->n, &items->texts, on_one, one);
  } else {
    size_t n;
    const char *payload = lua_tolstring(L, -1, &n);
    sk_requests_run(c->requests, 0, operation, sk_str(payload, n), on_one, one); /* copies the payload */
  }
  lua_pop(L, 1);
  return true;
}

/* Pushes the codes and the answers of the requests that were begun, as two lists. */
static int give_answers(lua_State *L, const struct calls *calls) {
  lua_createtable(L, (int)calls->begun, 0);
  lua_createtable(L, (int)calls->begun, 0);
  for (size_t i = 0; i < calls->begun; i++) {
    push_answer(L, &calls->list[i]);
    lua_rawseti(L, -3, (int)i + 1);
    lua_rawseti(L, -3, (int)i + 1);
  }
  return 2;
}

/* Pushes two lists with err as the answer to the first request: the connection could not be opened again. */
static int give_failure(lua_State *L, const struct sk_err *err) {
  lua_createtable(L, 1, 0);
  lua_createtable(L, 1, 0);
  lua_pushstring(L, sk_code_name(err->code));
  lua_rawseti(L, -3, 1);
  lua_pushstring(L, err->message);
  lua_rawseti(L, -2, 1);
  return 2;
}

static int client_call_many(lua_State *L) {
  lua_Integer operation = luaL_checkinteger(L, 2);
  luaL_checktype(L, 3, LUA_TTABLE);
  size_t n = lua_objlen(L, 3);
  struct calls *calls = push_calls(L, n);
  struct sk_lua_connection *connection;
  struct sk_err err;
  if (!find_connection(L, &connection, &err)) return give_failure(L, &err);
  struct sk_lua_client *c = &connection->client;
  unsigned forgotten = connection->forgotten;
  sk_requests_until(c->requests, 0);
  bool made = true;
  for (;;) { /* one at a time: the store works on a request while the next is encoded */
    bool more = made && calls->begun < n && calls->under_way < SK_CALLS_IN_FLIGHT_MAX && !calls->failed;
    if (!more && calls->under_way == 0) break;
    if (more) made = begin_one(L, c, (unsigned)operation, calls);
    if (connection->forgotten != forgotten)
      return luaL_error(L, "the process was forked while its requests were under way");
    if (calls->under_way > 0) turn(c, !more);
  }
  return made ? give_answers(L, calls) : lua_error(L);
}

/* -- the userdata -------------------------------------------------------------------------------------------------- */

static int client_close(lua_State *L) {
  sk_lua_connection_close(luaL_checkudata(L, 1, CLIENT_TYPE));
  return 0;
}

void sk_lua_client_register(lua_State *L) {
  luaL_newmetatable(L, CALLS_TYPE);
  lua_pushcfunction(L, calls_gc);
  lua_setfield(L, -2, "__gc");
  lua_pop(L, 1);
  luaL_newmetatable(L, CLIENT_TYPE);
  lua_pushcfunction(L, client_close);
  lua_setfield(L, -2, "__gc");
  lua_newtable(L);
  lua_pushcfunction(L, client_call);
  lua_setfield(L, -2, "call");
  lua_pushcfunction(L, client_call_many);
  lua_setfield(L, -2, "call_many");
  lua_pushcfunction(L, client_budget);
  lua_setfield(L, -2, "budget");
  lua_pushcfunction(L, client_close);
  lua_setfield(L, -2, "close");
  lua_setfield(L, -2, "__index");
  lua_pop(L, 1);
}
