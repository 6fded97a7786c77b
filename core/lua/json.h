/* json.h - Lua values to JSON text and back.
 *
 *   Lua                                   JSON                    back in Lua
 *   nil (as an arg), skein.null           null                    skein.null: the NULL light userdata, as cjson.null,
 *       ngx.null
 *   boolean, string (any bytes)           true, "..."             the same; control bytes, '"' and '\' are escaped,
 *       others raw
 *   number, whole, below 2^53             42                      the same number
 *   other finite number                   0.1  1e+300  -0.0       the same number
 *   int64_t, uint64_t cdata               9007199254740993        up to 2^53 a number, beyond int64_t, else uint64_t
 *       cdata
 *   table with keys exactly 1..n          [...]                   a table with skein.array's metatable
 *   skein.array{}, __jsontype = "array"   []                      the same
 *   table with string keys, empty table   {...}                   the same
 *
 * All else is refused, with the path to it: `args[2].callback: a function cannot be stored`.  So are cycles, and
 * values nested more than SK_JSON_DEPTH_MAX deep (the args array itself does not count).  No metamethod is called.
 * Duplicate keys: the last wins.  Numbers beyond uint64_t and int64_t become doubles; one beyond a double is refused.
 *
 * Functions here may raise a Lua error when Lua is out of memory, and only then: call them in protected mode.  They
 * hold nothing that such an error would leak.  Runs in workers and clients. */
#ifndef SK_LUA_JSON_H
#define SK_LUA_JSON_H

#include <lua.h>

#include "base/buf.h"
#include "base/err.h"
#include "base/str.h"

/* Deeper text is refused by decode: values of SK_JSON_DEPTH_MAX within args within nested signatures. */
enum { SK_LUA_JSON_DECODE_DEPTH_MAX = 256 };

/* Once for each state, before anything else here; the standard libraries (ffi) must be open.  Raises when ffi is
 * missing. */
void sk_lua_json_open(lua_State *L);

void sk_lua_json_push_null(lua_State *L);

/* lua_CFunction: skein.array(t) marks t (a new table when absent) as an array and returns it. */
int sk_lua_json_array(lua_State *L);

/* Appends the value at index.  `what` begins the path: "args[2]", "result".  SK_EINVAL: the value can't be stored;
 * SK_ELIMIT: nested too deep, or more than SK_RECORD_BYTES_MAX of text; SK_ENOMEM.  On failure nothing is appended. */
enum sk_code sk_lua_json_encode(lua_State *L, int index, const char *what, struct sk_buf *out, struct sk_err *err);

/* Appends the values at first..last (absolute indices; first > last: none) as one array.  Paths begin with args[1]. */
enum sk_code sk_lua_json_encode_args(lua_State *L, int first, int last, struct sk_buf *out, struct sk_err *err);

/* Pushes the value of text.  SK_EINVAL: malformed, the message gives the offset; SK_ELIMIT: too deep.  Then nothing
 * is pushed. */
enum sk_code sk_lua_json_decode(lua_State *L, struct sk_str text, struct sk_err *err);

/* Pushes the elements of the array in text and returns how many; -1 on failure, then nothing is pushed.  More than
 * SK_ARGS_COUNT_MAX is SK_ELIMIT. */
int sk_lua_json_push_args(lua_State *L, struct sk_str text, struct sk_err *err);

#endif
