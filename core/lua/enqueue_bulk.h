/* enqueue_bulk.h - a list of plain signatures as a request to enqueue them (engine/request.h), for
 * skein.enqueue_many.
 *
 * A signature is plain when it is a task's name, or a table without a metatable whose keys are among task, args,
 * queue, priority, id, at, delay, retries, keep and timeout; its values are valid, its args have no holes, and facts
 * has its task.
 *
 *   bulk_payload(list, first, facts, handles, meta, args_bytes_max, jobs_max, bytes_max) -> payload, next
 *
 * Takes list[first], list[first + 1], ... and stops before the first that is not plain, after jobs_max of them, or
 * before the payload passes bytes_max; it takes one in any case.  facts: task name -> { queue, priority }.  For each
 * job it sets handles[i] to a table { id = } with the metatable meta.  next is the index of the first signature that
 * was not taken.
 *
 *   bulk_items(list, first, facts, handles, meta, args_bytes_max, jobs_max) -> items, next
 *
 * Makes a userdata instead, which client:call_many takes in place of a payload: nothing is packed and read again.
 *
 *   bulk_scan(list, first, facts, args_bytes_max, jobs_max, bytes_max) -> next
 *
 * Returns how far the other two certainly come, as long as nobody changes the list.  So a list can be checked whole
 * first, and then be encoded and sent part by part.  It encodes nothing, and stops before args that hold a table. */
#ifndef SK_LUA_ENQUEUE_BULK_H
#define SK_LUA_ENQUEUE_BULK_H

#include <lua.h>

#include "store/store.h"

enum { SK_ENQUEUE_HEAD_BYTES = 13 }; /* of a request before its first job: block_ms i64, fresh u8, n u32 */

/* Each pushes one of the functions. */
void sk_lua_bulk_payload_push(lua_State *L);
void sk_lua_bulk_items_push(lua_State *L);
void sk_lua_bulk_scan_push(lua_State *L);

/* The userdata that bulk_items returns. */
struct sk_lua_bulk_items {
  struct sk_enqueue_item *items; /* owned array of n; NULL once they were taken */
  size_t n;
  struct sk_arena texts; /* owns the strings of items */
};
/* The items at that index, which the caller takes and empties; NULL when there are none. */
struct sk_lua_bulk_items *sk_lua_bulk_items_at(lua_State *L, int index);

#endif
