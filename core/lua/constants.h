/* constants.h - the numbers that C and Lua share: skein.core exports them, so that Lua writes none of them down
 * again. */
#ifndef SK_LUA_CONSTANTS_H
#define SK_LUA_CONSTANTS_H

#include <lua.h>

/* Adds to the module on top of the stack, each a table name -> number:
 *   OP        operations of a request (engine/request.h)          VERB      what a change does to jobs (store.h)
 *   VERDICT   what an attempt that did not succeed asks for (wire.h) HOOK   bits of the handlers there are (wire.h)
 *   OVERFLOW  what a full queue does (store.h)                    LOG       levels of the engine's log
 *   LIMITS    limits.h, sizes in bytes, times in the unit of the name
 * and, each as a table name -> number and number -> name:
 *   STATE     of a job          KIND     of an error          CODE     of a result (err.h)
 *   BLOCKED_BY  what keeps a ready job from running (store.h) */
void sk_lua_constants_add(lua_State *L);

#endif
