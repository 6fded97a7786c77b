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
 *   kit:clock([ms]) -> ms                  sets the clock to ms first
 *   kit:declare(template)                  declares a task: its template, as a record
 *   kit:configure(queue_settings)          configures a queue: the table of skein.queue (lua/skein/queues.lua)
 *   kit:fetch() -> run | nil, due_in_ms    the next job, now RUNNING; without one, the ms until one is due (-1: none).
 *       A run is { id, queue, task, fence, record, args, meta, backoff, attempt, retries, timeout_ms, enqueued_ms },
 *       with texts as they are stored.  A run with `refused` = "unknown_task" or "expired", and `message`, must not
 *       run; `dies` says that its settle ends the job
 *   kit:read(record) -> run                a run of a job that is in no store
 *   kit:release(run)                       puts the job back to its place in the queue
 *   kit:settle(run, outcome) -> ids        settles the job; ids: of the callbacks that are enqueued with it.
 *       outcome: { result = JSON or nil } or { verdict, delay_ms, kind, message, traceback } as in a FAIL frame
 *       (wire.h), both with started_ms.  The outcome of a refused run is ignored.  A job that was told to stop is
 *       cancelled
 *   kit:progress(run, percent, text)       job:progress; the run keeps both, as percent and progress_text
 *   kit:job_log(run, text)                 job:log; the run keeps the lines, as log
 *   kit:stops() -> ids                     the running jobs that were cancelled
 *   kit:close() */
void sk_lua_testing_register(lua_State *L);

#endif
