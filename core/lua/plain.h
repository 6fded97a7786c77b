/* plain.h - a list of plain signatures as a request to enqueue them (engine/request.h), for skein.enqueue_many.
 *
 *   plain(list, first, facts, handles, meta, args_bytes_max, jobs_max, bytes_max) -> payload, next
 *
 * Takes list[first], list[first + 1], ... up to jobs_max of them and bytes_max of payload (one is taken in any case), and stops before one
 * that is not plain: a table without metatable whose keys are among task, args, queue, priority, id, at, delay, retries, keep, timeout, or a
 * name; all of it valid; args without holes; its task in facts, as { queue, priority }.  For each it makes handles[i], a table { id = }
 * with the metatable meta.  next: the first that was not taken. */
#ifndef SK_LUA_PLAIN_H
#define SK_LUA_PLAIN_H

#include <lua.h>

enum { SK_ENQUEUE_HEAD_BYTES = 12 }; /* of a request before its first job: block_ms i64, n u32 */

/* Pushes the function. */
void sk_lua_plain_push(lua_State *L);

#endif
