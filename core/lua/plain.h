/* plain.h - a list of plain signatures as a request to enqueue them (engine/request.h), for skein.enqueue_many.
 *
 *   plain(list, first, facts, handles, meta, args_bytes_max, jobs_max, bytes_max) -> payload, next
 *
 * Takes list[first], list[first + 1], ... up to jobs_max of them and bytes_max of payload (one is taken in any case), and stops before one
 * that is not plain: a table without metatable whose keys are among task, args, queue, priority, id, at, delay, retries, keep, timeout, or a
 * name; all of it valid; args without holes; its task in facts, as { queue, priority }.  For each it makes handles[i], a table { id = }
 * with the metatable meta.  next: the first that was not taken.
 *
 *   plain_items(list, first, facts, handles, meta, args_bytes_max, jobs_max) -> items, next
 *
 * The same as a userdata that client:call_many takes in place of a payload: nothing is packed and read again.
 *
 *   plain_next(list, first, facts, args_bytes_max, jobs_max, bytes_max) -> next
 *
 * Says how far plain will certainly come, as long as nobody changes the list: with it a list can be checked whole, and then made and sent
 * part by part.  It only looks, and does not come past args that hold a table. */
#ifndef SK_LUA_PLAIN_H
#define SK_LUA_PLAIN_H

#include <lua.h>

#include "store/store.h"

enum { SK_ENQUEUE_HEAD_BYTES = 13 }; /* of a request before its first job: block_ms i64, fresh u8, n u32 */

/* Pushes the functions. */
void sk_lua_plain_push(lua_State *L);
void sk_lua_plain_items_push(lua_State *L);
void sk_lua_plain_next_push(lua_State *L);

/* What plain_items returns. */
struct sk_lua_items {
  struct sk_enqueue_item *items; /* owned array; */
  size_t n;
  struct sk_arena texts; /* ... its slices */
};
/* The items at that index, to be emptied by the caller; NULL when there are none. */
struct sk_lua_items *sk_lua_items_at(lua_State *L, int index);

#endif
