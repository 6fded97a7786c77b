/* connection.h - the connection of a Lua program to its store, which outlives a fork of the program's process.
 *
 * In a child the store's threads are not there, its sockets and its epoll are the parent's too, and SQLite knows of
 * locks that the child does not have.  So (pthread_atfork):
 *   before a fork   a connection whose store must not be open then (store.h) is closed; it opens itself again at the
 *       next call
 *   in the child    all others are forgotten: descriptors are closed with close() and nothing else, no byte is sent,
 *       no handle stopped,
 *                   memory stays as it is; the next call opens a connection of the child's own
 * A process whose descriptors were all closed by its program (as daemons do) notices that at the next call. */
#ifndef SK_LUA_CONNECTION_H
#define SK_LUA_CONNECTION_H

#include "base/list.h"
#include "lua/client.h"
#include "store/store.h"

struct sk_lua_connection {
  struct sk_lua_client client;
  struct sk_list node; /* of all in this process that are open, or will be again */
  char *url;           /* owned; NULL once closed for good */
  enum sk_durability durability;
  const struct sk_log *log; /* borrowed; NULL: the store is silent */
  int pid;                  /* of the process that client is of */
  unsigned forgotten;       /* times */
};

/* c is zeroed.  Borrows it until sk_lua_client_fini, which is called whether or not this succeeds. */
enum sk_code sk_lua_client_init(struct sk_lua_client *c, const struct sk_store_options *options, struct sk_err *err);
/* Waits until the store is closed.  Again: does nothing. */
void sk_lua_client_fini(struct sk_lua_client *c);

/* c is zeroed; url is copied. */
enum sk_code sk_lua_connection_open(struct sk_lua_connection *c, struct sk_str url, enum sk_durability durability,
                                    struct sk_err *err);
/* Before each call of one that was not closed: opens it again if need be. */
enum sk_code sk_lua_connection_ready(struct sk_lua_connection *c, struct sk_err *err);
/* For good.  Again: does nothing. */
void sk_lua_connection_close(struct sk_lua_connection *c);

#endif
