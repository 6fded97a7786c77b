/* connection.c - see connection.h. */
#include "lua/connection.h"

#include <assert.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/fds.h"
#include "base/limits.h"
#include "base/clock.h"
#include "engine/request.h"
#include "io/loop.h"

/* -- a client's store ---------------------------------------------------------------------------------------------- */

static void on_changed(void *ctx) {
  struct sk_lua_client *c = ctx;
  if (c->requests) sk_requests_changed(c->requests);
}

/* Keeps the loop alive while a call waits for another process, and checks again in case a notification was lost. */
static void on_safety(void *ctx) {
  struct sk_lua_client *c = ctx;
  sk_timer_start(c->safety, SK_SAFETY_POLL_MS);
  on_changed(c);
}

static void on_closed(void *ctx) {
  bool *closed = ctx;
  *closed = true;
}

void sk_lua_client_fini(struct sk_lua_client *c) {
  if (c->requests) sk_requests_stop(c->requests);
  while (c->requests && !sk_requests_idle(c->requests) && sk_loop_turn(c->loop, true)) continue;
  sk_requests_free(c->requests);
  bool closed = c->store == NULL;
  if (c->store) c->store->ops->close(c->store, on_closed, &closed);
  while (!closed && sk_loop_turn(c->loop, true)) continue;
  sk_timer_free(c->safety);
  if (c->loop) sk_loop_free(c->loop);
  *c = (struct sk_lua_client){ 0 };
}

enum sk_code sk_lua_client_init(struct sk_lua_client *c, const struct sk_store_options *options, struct sk_err *err) {
  c->loop = sk_loop_new(err);
  if (c->loop == NULL) return err->code;
  c->safety = sk_timer_new(c->loop, on_safety, c);
  if (c->safety == NULL) return sk_err_set(err, SK_ENOMEM, "connection: out of memory");
  sk_timer_start(c->safety, SK_SAFETY_POLL_MS);
  struct sk_store_events events = { .changed = on_changed, .ctx = c };
  int64_t from_ms = sk_clock_mono_ms();
  enum sk_code code = sk_store_open(c->loop, options, &events, &c->store, err);
  if (code != SK_OK) return code;
  c->deadline_ms = from_ms + c->store->timeout_ms; /* opening the connection counts as part of an enqueue */
  struct sk_requests_options requests = { .loop = c->loop, .store = c->store, .args_bytes_max = SK_ARGS_BYTES_MAX };
  c->requests = sk_requests_new(&requests, err);
  return c->requests ? SK_OK : err->code;
}

/* All connections of the process, of any Lua state, for the fork handlers.  A global, since pthread_atfork passes no
 * context. */
static pthread_mutex_t all_lock = PTHREAD_MUTEX_INITIALIZER;
static struct sk_list all = { &all, &all };
static pthread_once_t watch_once = PTHREAD_ONCE_INIT;

static void forget(struct sk_lua_connection *c) {
  c->client = (struct sk_lua_client){ 0 };
  c->forgotten++;
  c->pid = (int)getpid();
}

/* -- forks --------------------------------------------------------------------------------------------------------- */

/* Locks the list until the fork is done.  A connection that another thread is using cannot be closed. */
static void before_fork(void) {
  pthread_mutex_lock(&all_lock);
  SK_LIST_EACH (n, &all) {
    struct sk_lua_connection *c = SK_CONTAINER(n, struct sk_lua_connection, node);
    bool closes = c->client.store && c->client.store->ops->closes_to_fork && c->pid == (int)getpid();
    if (closes && !c->client.turning) sk_lua_client_fini(&c->client);
  }
}

static void after_fork(void) { pthread_mutex_unlock(&all_lock); }

static void in_child(void) {
  SK_LIST_EACH (n, &all) {
    struct sk_lua_connection *c = SK_CONTAINER(n, struct sk_lua_connection, node);
    if (c->client.loop) sk_loop_forsake(c->client.loop);
    forget(c);
  }
  pthread_mutex_unlock(&all_lock);
}

static void watch_forks(void) { pthread_atfork(before_fork, after_fork, in_child); }

/* -- life ---------------------------------------------------------------------------------------------------------- */

static void enter(struct sk_lua_connection *c) {
  pthread_mutex_lock(&all_lock);
  sk_list_push(&all, &c->node);
  pthread_mutex_unlock(&all_lock);
}

static void leave(struct sk_lua_connection *c) {
  pthread_mutex_lock(&all_lock);
  sk_list_remove(&c->node);
  pthread_mutex_unlock(&all_lock);
}

static enum sk_code connect_now(struct sk_lua_connection *c, struct sk_err *err) {
  struct sk_store_options options = {
    .url = sk_str_c(c->url), .lease_ms = SK_LEASE_MS, .durability = c->durability, .log = c->log
  };
  sk_fds_keep_standard();
  c->pid = (int)getpid();
  enum sk_code code = sk_lua_client_init(&c->client, &options, err);
  if (code != SK_OK) sk_lua_client_fini(&c->client);
  return code;
}

enum sk_code sk_lua_connection_open(struct sk_lua_connection *c, struct sk_str url, enum sk_durability durability,
                                    struct sk_err *err) {
  sk_list_init(&c->node);
  pthread_once(&watch_once, watch_forks);
  c->durability = durability;
  c->url = strndup(url.p, url.n);
  enum sk_code code = c->url ? connect_now(c, err) : sk_err_set(err, SK_ENOMEM, "connection: out of memory");
  if (code == SK_OK) {
    enter(c);
  } else {
    free(c->url);
    c->url = NULL;
  }
  return code;
}

enum sk_code sk_lua_connection_ready(struct sk_lua_connection *c, struct sk_err *err) {
  assert(c->url != NULL);
  if (c->client.loop && (c->pid != (int)getpid() || !sk_loop_is_whole(c->client.loop))) forget(c);
  return c->client.loop ? SK_OK : connect_now(c, err);
}

void sk_lua_connection_close(struct sk_lua_connection *c) {
  if (c->url == NULL) return;
  leave(c);
  if (c->client.loop && (c->pid != (int)getpid() || !sk_loop_is_whole(c->client.loop))) forget(c);
  sk_lua_client_fini(&c->client);
  free(c->url);
  c->url = NULL;
}
