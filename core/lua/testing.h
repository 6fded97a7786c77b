/* testing.h - what skein.testing needs of the engine: a memory store of its own, held as an engine and as a client at
 * once, whose clock stands still until Lua moves it; and the rules of logic/transition.c.  So a spec runs jobs by the
 * real rules, in order, with no process, no thread and no waiting.  Which jobs run, and when, is for Lua to say. */
#ifndef SK_LUA_TESTING_H
#define SK_LUA_TESTING_H

#include <lua.h>

/* lua_CFunction: testing(now_ms) -> kit.  It and its methods raise what can only be a lack of memory. */
int sk_lua_testing_open(lua_State *L);
/* Makes the userdata's metatable:
 *   kit:call(operation, payload) -> code, answer or message    as client:call (client.h)
 *   kit:clock([ms]) -> ms                                      moves the clock first
 *   kit:declare(template)             what skein.task says, as a record
 *   kit:bind(queue)                   what skein.queue says (lua/skein/queues.lua)
 *   kit:fetch() -> run | nil, due_in_ms   the next job, now RUNNING; how long until another is due, -1: none is.
 *                                     A run is { id, queue, task, fence, record, args, meta, backoff, attempt,
 *                                         retries, timeout_ms,
 *                                     enqueued_ms }, texts as they are stored.  With `refused` = "unknown_task" or
 *                                         "expired", and
 *                                     `message`, it is not to be run; `dies` says that the settle will be its end
 *   kit:read(record) -> run           of a job that is in no store
 *   kit:release(run)                  back to its place
 *   kit:settle(run, outcome) -> ids   outcome: { result = JSON or nil } or { verdict, delay_ms, kind, message,
 *       traceback } as in a
 *                                     FAIL frame (wire.h), both with started_ms; for a refused run nothing of it
 *                                         counts.  A job that
 *                                     was told to stop is cancelled instead.  ids: of the callbacks that are enqueued
 *                                         with it
 *   kit:progress(run, percent, note)  job:progress;  kit:note(run, text): job:log.  They keep it in the run, too
 *   kit:stops() -> ids                of the running jobs that were cancelled
 *   kit:close() */
void sk_lua_testing_register(lua_State *L);

#endif
