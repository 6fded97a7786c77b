/* json.c - see json.h.
 *
 * Encoding walks with lua_next, so that an array in its usual layout is met in order and needs one pass; a frame on the C stack
 * per level knows the path for messages and finds cycles.  Decoding is one pass over the bytes; the first members of a table
 * wait on the Lua stack until their number is known, so that small tables are made at their size.  Both recurse, within the
 * limits of depth.  Whatever memory is needed beyond the caller's buffer belongs to Lua's collector. */
#include "lua/json.h"

#include <assert.h>
#include <lauxlib.h>
#include <locale.h>
#include <math.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/limits.h"
#include "logic/json.h"

enum { TYPE_CDATA = 10 }; /* what lua_type says of LuaJIT's cdata; lua.h has no name for it */

/* Slots of the table under the registry's key. */
enum { ARRAY_METATABLE = 1, CLASSIFY, MAKE_INT64, MAKE_UINT64 };

/* Its address is the key. */
static const char REGISTRY_KEY = 0;

/* The C API can neither tell nor make 64-bit integers; these three can.  Integers travel as pointers to them. */
static const char HELPERS[] = "local ffi = require 'ffi'\n"
                              "local istype, cast = ffi.istype, ffi.cast\n"
                              "local int64, uint64 = ffi.typeof 'int64_t', ffi.typeof 'uint64_t'\n"
                              "local int64_at, uint64_at = ffi.typeof 'const int64_t *', ffi.typeof 'const uint64_t *'\n"
                              "return function(x) return istype(int64, x) and 1 or istype(uint64, x) and 2 or 0 end,\n"
                              "  function(p) return cast(int64_at, p)[0] end,\n"
                              "  function(p) return cast(uint64_at, p)[0] end\n";

#define WHOLE_MAX 9007199254740992.0 /* 2^53: below it a double holds each whole number */

static void push_slot(lua_State *L, int slot) {
  lua_pushlightuserdata(L, (void *)(uintptr_t)&REGISTRY_KEY);
  lua_rawget(L, LUA_REGISTRYINDEX);
  assert(lua_istable(L, -1)); /* sk_lua_json_open came first */
  lua_rawgeti(L, -1, slot);
  lua_replace(L, -2);
}

void sk_lua_json_open(lua_State *L) {
  lua_pushlightuserdata(L, (void *)(uintptr_t)&REGISTRY_KEY);
  lua_rawget(L, LUA_REGISTRYINDEX);
  bool done = lua_istable(L, -1);
  lua_pop(L, 1);
  if (done) return;
  lua_createtable(L, 4, 0);
  lua_createtable(L, 0, 2);
  lua_pushliteral(L, "skein.array");
  lua_setfield(L, -2, "__name");
  lua_pushliteral(L, "array");
  lua_setfield(L, -2, "__jsontype");
  lua_rawseti(L, -2, ARRAY_METATABLE);
  if (luaL_loadbuffer(L, HELPERS, sizeof HELPERS - 1, "=skein.json") != 0) lua_error(L);
  lua_call(L, 0, 3);
  lua_rawseti(L, -4, MAKE_UINT64);
  lua_rawseti(L, -3, MAKE_INT64);
  lua_rawseti(L, -2, CLASSIFY);
  lua_pushlightuserdata(L, (void *)(uintptr_t)&REGISTRY_KEY);
  lua_insert(L, -2);
  lua_rawset(L, LUA_REGISTRYINDEX);
}

void sk_lua_json_push_null(lua_State *L) { lua_pushlightuserdata(L, NULL); }

int sk_lua_json_array(lua_State *L) {
  if (lua_isnone(L, 1)) lua_newtable(L);
  luaL_checktype(L, 1, LUA_TTABLE);
  lua_settop(L, 1);
  push_slot(L, ARRAY_METATABLE);
  if (lua_getmetatable(L, 1)) {
    if (!lua_rawequal(L, -1, -2)) return luaL_argerror(L, 1, "a table without a metatable expected");
    lua_pop(L, 1);
  }
  lua_setmetatable(L, 1);
  return 1;
}

/* -- numbers -----------------------------------------------------------------------------------------------------------*/

static void add_uint(struct sk_buf *out, uint64_t v, bool negative) {
  char text[24];
  size_t at = sizeof text;
  do text[--at] = (char)('0' + v % 10);
  while (v /= 10);
  if (negative) text[--at] = '-';
  sk_buf_add(out, text + at, sizeof text - at);
}

static void add_int(struct sk_buf *out, int64_t v) { add_uint(out, v < 0 ? 0 - (uint64_t)v : (uint64_t)v, v < 0); }

static const double POWERS[] = { 1e0,  1e1,  1e2,  1e3,  1e4,  1e5,  1e6,  1e7,  1e8,  1e9,  1e10, 1e11,
                                 1e12, 1e13, 1e14, 1e15, 1e16, 1e17, 1e18, 1e19, 1e20, 1e21, 1e22 };

/* Most fractions people write have a few decimals.  When |x| * 10^k is whole (below 10^15) and, divided by 10^k, is x again, the
 * decimal reads back as x: both numbers are exact, so the quotient is rounded once, as by strtod.  It is what %.15g prints. */
static bool add_short_fraction(struct sk_buf *out, double x) {
  double a = fabs(x);
  if (a < 1e-4 || a >= 1e12) return false;
  for (int k = 1; k <= 6; k++) {
    double scaled = a * POWERS[k];
    if (scaled >= 1e15) return false;
    uint64_t whole = (uint64_t)scaled;
    if ((double)whole != scaled || scaled / POWERS[k] != a) continue;
    uint64_t unit = (uint64_t)POWERS[k];
    add_uint(out, whole / unit, x < 0);
    char digits[8] = { '.' };
    uint64_t rest = whole % unit;
    for (int i = k; i > 0; i--, rest /= 10) digits[i] = (char)('0' + rest % 10);
    sk_buf_add(out, digits, (size_t)k + 1);
    return true;
  }
  return false;
}

/* x is finite.  printf and strtod write and read the locale's decimal point, whatever a script has set; JSON's is ".". */
static void add_double(struct sk_buf *out, double x) {
  if (add_short_fraction(out, x)) return;
  char text[64];
  int n = 0;
  for (int digits = 15; digits <= 17; digits++) {
    n = snprintf(text, sizeof text, "%.*g", digits, x);
    if (strtod(text, NULL) == x) break;
  }
  bool fractional = false;
  size_t to = 0;
  for (int i = 0; i < n; i++) {
    bool plain = (text[i] >= '0' && text[i] <= '9') || text[i] == '-' || text[i] == '+' || text[i] == 'e';
    if (plain) {
      fractional = fractional || text[i] == 'e';
      text[to++] = text[i];
    } else if (to == 0 || text[to - 1] != '.') { /* the point may be several bytes */
      fractional = true;
      text[to++] = '.';
    }
  }
  sk_buf_add(out, text, to);
  if (!fractional) sk_buf_add(out, ".0", 2);
}

static void add_number(struct sk_buf *out, double x) {
  if (x > -WHOLE_MAX && x < WHOLE_MAX && (double)(int64_t)x == x && (x != 0 || !signbit(x)))
    add_int(out, (int64_t)x);
  else
    add_double(out, x);
}

/* -- encoding ----------------------------------------------------------------------------------------------------------*/

/* Where a value is: in its parent's table under a key or an index (key.p == NULL). */
struct frame {
  const struct frame *up; /* NULL at the root */
  const void *table;      /* identity of the value, once it is known to be a table */
  struct sk_str key;      /* borrowed from Lua while the key is on its stack */
  int index;
};

struct encoder {
  lua_State *L;
  struct sk_buf *out;
  struct sk_err *err;
  const char *what;
  size_t start;                /* out->n before */
  const void *array_metatable; /* NULL until needed; alive through the registry */
};

enum { PATH_BYTES_MAX = 320, KEY_SHOWN_BYTES_MAX = 40, ENCODE_STACK = 3 * SK_JSON_DEPTH_MAX + 16 };

struct path {
  char text[PATH_BYTES_MAX];
  size_t n;
};

static bool is_identifier(struct sk_str s) {
  for (size_t i = 0; i < s.n; i++) {
    char c = s.p[i];
    bool letter = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_';
    if (!letter && (i == 0 || c < '0' || c > '9')) return false;
  }
  return s.n > 0 && s.n <= KEY_SHOWN_BYTES_MAX;
}

static void add_piece(struct path *path, const struct frame *f) {
  char piece[KEY_SHOWN_BYTES_MAX + 16];
  size_t n = 0;
  if (f->key.p == NULL) {
    n = (size_t)snprintf(piece, sizeof piece, "[%d]", f->index);
  } else if (is_identifier(f->key)) {
    n = (size_t)snprintf(piece, sizeof piece, ".%.*s", SK_STR_ARG(f->key));
  } else {
    struct sk_str head = sk_str_head(f->key, KEY_SHOWN_BYTES_MAX);
    piece[n++] = '[', piece[n++] = '"';
    for (size_t i = 0; i < head.n; i++) piece[n++] = head.p[i] >= ' ' && head.p[i] < 0x7f ? head.p[i] : '?';
    n += (size_t)snprintf(piece + n, sizeof piece - n, "%s\"]", head.n < f->key.n ? "..." : "");
  }
  if (path->n + n + 4 > sizeof path->text) {
    piece[0] = piece[1] = piece[2] = '.';
    n = path->n > 3 && memcmp(path->text + path->n - 3, "...", 3) == 0 ? 0 : 3;
  }
  memcpy(path->text + path->n, piece, n);
  path->n += n;
  path->text[path->n] = '\0';
}

/* what, then one piece per frame from the root on. */
static struct path path_to(const struct encoder *e, const struct frame *at) {
  const struct frame *frames[SK_JSON_DEPTH_MAX + 4];
  size_t n = 0;
  for (; at && (at->key.p || at->index); at = at->up) {
    assert(n < sizeof frames / sizeof *frames);
    frames[n++] = at;
  }
  struct path path;
  int length = snprintf(path.text, sizeof path.text / 2, "%s", e->what);
  path.n = length < (int)sizeof path.text / 2 ? (size_t)length : sizeof path.text / 2 - 1;
  while (n > 0) add_piece(&path, frames[--n]);
  return path;
}

static enum sk_code refuse(const struct encoder *e, const struct frame *at, const char *kind) {
  return sk_err_set(e->err, SK_EINVAL, "%s: %s cannot be stored", path_to(e, at).text, kind);
}

static void add_string(struct sk_buf *out, struct sk_str s) {
  const char *p = s.p, *end = s.p + s.n;
  if (!sk_buf_reserve(out, s.n + 2)) return;
  sk_buf_add_byte(out, '"');
  for (;;) {
    const char *plain = sk_json_plain_end(p, end);
    sk_buf_add(out, p, (size_t)(plain - p));
    if (plain == end) break;
    static const char hex[] = "0123456789abcdef";
    unsigned char c = (unsigned char)*plain;
    char escape[6] = { '\\', 'u', '0', '0', hex[c >> 4], hex[c & 15] };
    size_t n = 2;
    switch (c) {
    case '"':
    case '\\': escape[1] = (char)c; break;
    case '\n': escape[1] = 'n'; break;
    case '\r': escape[1] = 'r'; break;
    case '\t': escape[1] = 't'; break;
    default: n = sizeof escape;
    }
    sk_buf_add(out, escape, n);
    p = plain + 1;
  }
  sk_buf_add_byte(out, '"');
}

static struct sk_str string_at(lua_State *L, int index) {
  struct sk_str s;
  s.p = lua_tolstring(L, index, &s.n);
  return s;
}

static enum sk_code encode_cdata(struct encoder *e, const struct frame *at) {
  lua_State *L = e->L;
  push_slot(L, CLASSIFY);
  lua_pushvalue(L, -2);
  lua_call(L, 1, 1);
  int kind = (int)lua_tointeger(L, -1);
  lua_pop(L, 1);
  if (kind == 0) return refuse(e, at, "a cdata that is neither int64_t nor uint64_t");
  uint64_t v;
  memcpy(&v, lua_topointer(L, -1), sizeof v); /* a cdata's address is its payload */
  if (kind == 1)
    add_int(e->out, (int64_t)v);
  else
    add_uint(e->out, v, false);
  return SK_OK;
}

/* Whether the table on top is marked as an array. */
static bool is_marked_array(struct encoder *e) {
  lua_State *L = e->L;
  if (!lua_getmetatable(L, -1)) return false;
  if (e->array_metatable == NULL) {
    push_slot(L, ARRAY_METATABLE);
    e->array_metatable = lua_topointer(L, -1);
    lua_pop(L, 1);
  }
  bool marked = lua_topointer(L, -1) == e->array_metatable;
  if (!marked) {
    lua_pushliteral(L, "__jsontype");
    lua_rawget(L, -2);
    marked = lua_type(L, -1) == LUA_TSTRING && sk_str_eq(string_at(L, -1), SK_STR_LIT("array"));
    lua_pop(L, 1);
  }
  lua_pop(L, 1);
  return marked;
}

static enum sk_code encode_value(struct encoder *e, struct frame *at, int depth);

static enum sk_code refuse_key(const struct encoder *e, const struct frame *at, int key) {
  char kind[120];
  int type = lua_type(e->L, key);
  if (type == LUA_TSTRING)
    snprintf(kind, sizeof kind, "a table with mixed keys (\"%.*s\" beside array indices)",
             SK_STR_ARG(sk_str_head(string_at(e->L, key), KEY_SHOWN_BYTES_MAX)));
  else if (type == LUA_TNUMBER)
    snprintf(kind, sizeof kind, "a table with mixed keys (the number %.14g beside strings)", lua_tonumber(e->L, key));
  else
    snprintf(kind, sizeof kind, "a table with a %s as a key", lua_typename(e->L, type));
  return refuse(e, at, kind);
}

/* All keys of the table on top, which is not laid out in order: SK_OK and *n when they are exactly 1..n. */
static enum sk_code count_indices(const struct encoder *e, const struct frame *at, int *n) {
  lua_State *L = e->L;
  lua_Number max = 0;
  int count = 0;
  lua_pushnil(L);
  while (lua_next(L, -2)) {
    lua_pop(L, 1);
    lua_Number key = lua_type(L, -1) == LUA_TNUMBER ? lua_tonumber(L, -1) : 0;
    if (lua_type(L, -1) != LUA_TNUMBER) return refuse_key(e, at, -1);
    if (!(key >= 1 && key <= INT32_MAX) || (lua_Number)(int)key != key) {
      char kind[120];
      snprintf(kind, sizeof kind, "a sparse array (it has the index %.14g, expected 1 to n)", key);
      return refuse(e, at, kind);
    }
    if (key > max) max = key;
    count++;
  }
  *n = count;
  if ((lua_Number)count == max) return SK_OK;
  char kind[120];
  snprintf(kind, sizeof kind, "a sparse array (%d of the indices 1 to %.0f)", count, max);
  return refuse(e, at, kind);
}

/* The elements from `from` on, by index. */
static enum sk_code encode_rest(struct encoder *e, struct frame *at, int from, int depth) {
  int n = 0;
  enum sk_code code = count_indices(e, at, &n);
  for (int i = from; code == SK_OK && i <= n; i++) {
    struct frame element = { .up = at, .index = i };
    if (i > 1) sk_buf_add_byte(e->out, ',');
    lua_rawgeti(e->L, -1, i);
    code = encode_value(e, &element, depth + 1);
    lua_pop(e->L, 1);
  }
  return code;
}

/* The table is at -3, its first key and value above it.  Leaves the table. */
static enum sk_code encode_array(struct encoder *e, struct frame *at, int depth) {
  lua_State *L = e->L;
  int i = 1;
  sk_buf_add_byte(e->out, '[');
  do {
    if (lua_type(L, -2) != LUA_TNUMBER || lua_tonumber(L, -2) != (lua_Number)i) {
      lua_pop(L, 2);
      enum sk_code code = encode_rest(e, at, i, depth);
      sk_buf_add_byte(e->out, ']');
      return code;
    }
    struct frame element = { .up = at, .index = i };
    if (i > 1) sk_buf_add_byte(e->out, ',');
    enum sk_code code = encode_value(e, &element, depth + 1);
    if (code != SK_OK) return code;
    lua_pop(L, 1);
    i++;
  } while (lua_next(L, -2));
  sk_buf_add_byte(e->out, ']');
  return SK_OK;
}

static enum sk_code encode_object(struct encoder *e, struct frame *at, int depth) {
  lua_State *L = e->L;
  char before = '{';
  do {
    if (lua_type(L, -2) != LUA_TSTRING) return refuse_key(e, at, -2);
    struct frame member = { .up = at, .key = string_at(L, -2) };
    sk_buf_add_byte(e->out, before);
    before = ',';
    add_string(e->out, member.key);
    sk_buf_add_byte(e->out, ':');
    enum sk_code code = encode_value(e, &member, depth + 1);
    if (code != SK_OK) return code;
    lua_pop(L, 1);
  } while (lua_next(L, -2));
  sk_buf_add_byte(e->out, '}');
  return SK_OK;
}

/* The table is on top; a failure may leave more above it, which the entry clears. */
static enum sk_code encode_table(struct encoder *e, struct frame *at, int depth) {
  lua_State *L = e->L;
  at->table = lua_topointer(L, -1);
  for (const struct frame *f = at->up; f; f = f->up)
    if (f->table == at->table) return refuse(e, at, "a cycle (a table that contains itself)");
  if (depth > SK_JSON_DEPTH_MAX)
    return sk_err_set(e->err, SK_ELIMIT, "%s: a value nested more than %d deep cannot be stored", path_to(e, at).text, SK_JSON_DEPTH_MAX);
  bool marked = is_marked_array(e);
  lua_pushnil(L);
  if (!lua_next(L, -2)) {
    sk_buf_add(e->out, marked ? "[]" : "{}", 2);
    return SK_OK;
  }
  if (marked || lua_type(L, -2) == LUA_TNUMBER) return encode_array(e, at, depth);
  return encode_object(e, at, depth);
}

/* The value is on top and stays; depth is its own, were it a table. */
static enum sk_code encode_value(struct encoder *e, struct frame *at, int depth) {
  lua_State *L = e->L;
  enum sk_code code = SK_OK;
  switch (lua_type(L, -1)) {
  case LUA_TNIL: sk_buf_add(e->out, "null", 4); break;
  case LUA_TBOOLEAN: sk_buf_add_c(e->out, lua_toboolean(L, -1) ? "true" : "false"); break;
  case LUA_TSTRING: add_string(e->out, string_at(L, -1)); break;
  case LUA_TNUMBER: {
    lua_Number x = lua_tonumber(L, -1);
    if (!isfinite(x)) return refuse(e, at, isnan(x) ? "NaN" : "infinity");
    add_number(e->out, x);
    break;
  }
  case LUA_TLIGHTUSERDATA:
    if (lua_touserdata(L, -1) != NULL) return refuse(e, at, "a userdata");
    sk_buf_add(e->out, "null", 4);
    break;
  case LUA_TTABLE: code = encode_table(e, at, depth); break;
  case TYPE_CDATA: code = encode_cdata(e, at); break;
  case LUA_TFUNCTION: return refuse(e, at, "a function");
  case LUA_TTHREAD: return refuse(e, at, "a thread");
  default: return refuse(e, at, "a userdata");
  }
  if (code != SK_OK) return code;
  if (e->out->failed) return sk_err_set(e->err, SK_ENOMEM, "%s: out of memory", e->what);
  /* Tables that share tables can stand for text without end. */
  if (e->out->n - e->start > SK_RECORD_BYTES_MAX)
    return sk_err_set(e->err, SK_ELIMIT, "%s: more than %d bytes of JSON", e->what, SK_RECORD_BYTES_MAX);
  return SK_OK;
}

/* Ends an encoding: as if it had not been when it failed. */
static enum sk_code finish(struct encoder *e, int top, enum sk_code code) {
  lua_settop(e->L, top);
  if (e->out->failed && code == SK_OK) code = sk_err_set(e->err, SK_ENOMEM, "%s: out of memory", e->what);
  if (code != SK_OK) e->out->n = e->start;
  return code;
}

enum sk_code sk_lua_json_encode(lua_State *L, int index, const char *what, struct sk_buf *out, struct sk_err *err) {
  struct encoder e = { .L = L, .out = out, .err = err, .what = what, .start = out->n };
  struct frame root = { 0 };
  int top = lua_gettop(L);
  if (!lua_checkstack(L, ENCODE_STACK)) return sk_err_set(err, SK_ENOMEM, "%s: Lua's stack is full", what);
  lua_pushvalue(L, index);
  return finish(&e, top, encode_value(&e, &root, 1));
}

enum sk_code sk_lua_json_encode_args(lua_State *L, int first, int last, struct sk_buf *out, struct sk_err *err) {
  struct encoder e = { .L = L, .out = out, .err = err, .what = "args", .start = out->n };
  int top = lua_gettop(L);
  if (last >= first && last - first >= SK_ARGS_COUNT_MAX)
    return sk_err_set(err, SK_ELIMIT, "args: %d values, expected at most %d", last - first + 1, SK_ARGS_COUNT_MAX);
  if (!lua_checkstack(L, ENCODE_STACK)) return sk_err_set(err, SK_ENOMEM, "args: Lua's stack is full");
  enum sk_code code = SK_OK;
  sk_buf_add_byte(out, '[');
  for (int i = first; code == SK_OK && i <= last; i++) {
    struct frame root = { .index = i - first + 1 };
    if (i > first) sk_buf_add_byte(out, ',');
    lua_pushvalue(L, i);
    code = encode_value(&e, &root, 1);
    lua_settop(L, top);
  }
  sk_buf_add_byte(out, ']');
  return finish(&e, top, code);
}

/* -- decoding ----------------------------------------------------------------------------------------------------------*/

struct decoder {
  lua_State *L;
  const char *p, *end;
  int metatable_at; /* stack index of the array metatable, nil until the first array */
  enum sk_code code; /* why it failed, where that is not the grammar's fault */
  const char *why;
};

enum { WAITING_MAX = 8, STACK_PER_LEVEL = 2 * WAITING_MAX + 6, LITERAL_BYTES_MAX = 120 };

static bool fail(struct decoder *d, enum sk_code code, const char *why) {
  d->code = code;
  d->why = why;
  return false;
}

static inline void skip_space(struct decoder *d) {
  while (d->p < d->end && (*d->p == ' ' || *d->p == '\n' || *d->p == '\t' || *d->p == '\r')) d->p++;
}

/* A string with escapes; d->p is behind the opening quote, `plain` at the first byte that is not plain. */
static __attribute__((noinline)) bool decode_escaped(struct decoder *d, const char *plain) {
  char small[512];
  const char *close = plain;
  while (close < d->end && *close != '"') {
    if (*close != '\\' || d->end - close < 2) return false;
    close = sk_json_plain_end(close + 2, d->end);
  }
  if (close >= d->end) return false;
  size_t room = (size_t)(close - d->p); /* no escape is shorter than what it stands for */
  char *bytes = room <= sizeof small ? small : lua_newuserdata(d->L, room);
  size_t n = 0;
  for (;;) {
    memcpy(bytes + n, d->p, (size_t)(plain - d->p));
    n += (size_t)(plain - d->p);
    d->p = plain;
    if (plain == close) break;
    char unescaped[4];
    size_t unescaped_n = 0;
    d->p = sk_json_escape(plain, close, unescaped, &unescaped_n);
    if (d->p == NULL) {
      d->p = plain;
      return false;
    }
    memcpy(bytes + n, unescaped, unescaped_n);
    n += unescaped_n;
    plain = sk_json_plain_end(d->p, close);
  }
  lua_pushlstring(d->L, bytes, n);
  if (bytes != small) lua_remove(d->L, -2);
  d->p = close + 1;
  return true;
}

/* d->p is on the opening quote. */
static bool decode_string(struct decoder *d) {
  const char *from = ++d->p, *plain = sk_json_plain_end(from, d->end);
  if (plain == d->end || (*plain != '"' && *plain != '\\')) return false;
  if (*plain == '\\') return decode_escaped(d, plain);
  lua_pushlstring(d->L, from, (size_t)(plain - from));
  d->p = plain + 1;
  return true;
}

/* The literal from..d->p by strtod, with the locale's decimal point in place of ".". */
static __attribute__((noinline)) bool decode_slow_double(struct decoder *d, const char *from) {
  const char *point = localeconv()->decimal_point;
  size_t n = (size_t)(d->p - from), point_n = strlen(point);
  char small[LITERAL_BYTES_MAX + 16];
  bool fits = n <= LITERAL_BYTES_MAX && point_n < 16;
  char *text = fits ? small : lua_newuserdata(d->L, n + point_n + 1);
  const char *dot = memchr(from, '.', n);
  size_t head = dot ? (size_t)(dot - from) : n;
  memcpy(text, from, head);
  size_t to = head;
  if (dot) {
    memcpy(text + to, point, point_n);
    to += point_n;
    memcpy(text + to, dot + 1, n - head - 1);
    to += n - head - 1;
  }
  text[to] = '\0';
  double x = strtod(text, NULL);
  if (!fits) lua_pop(d->L, 1);
  if (!isfinite(x)) return fail(d, SK_EINVAL, "a number is beyond what a double can hold");
  lua_pushnumber(d->L, x);
  return true;
}

/* A literal's digits, as far as 64 bits take them. */
struct digits {
  uint64_t value;
  int decimals; /* how many of them stand behind the point */
  bool overflow;
};

/* Takes digits from d->p on; false when there is none. */
static bool take_digits(struct decoder *d, struct digits *digits, bool decimals) {
  const char *from = d->p;
  for (; d->p < d->end && *d->p >= '0' && *d->p <= '9'; d->p++) {
    unsigned digit = (unsigned)(*d->p - '0');
    if (digits->value > (UINT64_MAX - digit) / 10) digits->overflow = true;
    if (digits->overflow) continue;
    digits->value = digits->value * 10 + digit;
    digits->decimals += decimals;
  }
  return d->p > from;
}

/* The exponent's digits, if one is there; the value is capped, far beyond any double. */
static bool take_exponent(struct decoder *d, int *exponent) {
  *exponent = 0;
  if (d->p == d->end || (*d->p != 'e' && *d->p != 'E')) return true;
  d->p++;
  bool negative = d->p < d->end && *d->p == '-';
  if (d->p < d->end && (*d->p == '-' || *d->p == '+')) d->p++;
  const char *from = d->p;
  for (; d->p < d->end && *d->p >= '0' && *d->p <= '9'; d->p++)
    if (*exponent < 100000) *exponent = *exponent * 10 + (*d->p - '0');
  if (negative) *exponent = -*exponent;
  return d->p > from;
}

static void push_int64(struct decoder *d, int slot, uint64_t v) {
  push_slot(d->L, slot);
  lua_pushlightuserdata(d->L, &v);
  lua_call(d->L, 1, 1);
}

static bool decode_integer(struct decoder *d, const char *from, const struct digits *digits, bool negative) {
  uint64_t v = digits->value;
  if (digits->overflow || (negative && v > (uint64_t)INT64_MAX + 1)) return decode_slow_double(d, from);
  if (v <= (uint64_t)1 << 53)
    lua_pushnumber(d->L, negative ? -(double)v : (double)v);
  else if (negative)
    push_int64(d, MAKE_INT64, 0 - v);
  else
    push_int64(d, v <= INT64_MAX ? MAKE_INT64 : MAKE_UINT64, v);
  return true;
}

static bool decode_number(struct decoder *d) {
  const char *from = d->p;
  bool negative = *d->p == '-', whole = true;
  if (negative) d->p++;
  struct digits digits = { 0 };
  const char *first = d->p;
  if (!take_digits(d, &digits, false) || (*first == '0' && d->p > first + 1)) return false;
  if (d->p < d->end && *d->p == '.') {
    whole = false;
    d->p++;
    if (!take_digits(d, &digits, true)) return false;
  }
  int exponent;
  const char *before = d->p;
  if (!take_exponent(d, &exponent)) return false;
  if (whole && d->p == before) return decode_integer(d, from, &digits, negative);
  /* Both operands exact: one rounding, the right one (Clinger). */
  exponent -= digits.decimals;
  if (digits.overflow || digits.value > (uint64_t)1 << 53 || exponent < -22 || exponent > 22) return decode_slow_double(d, from);
  double x = exponent < 0 ? (double)digits.value / POWERS[-exponent] : (double)digits.value * POWERS[exponent];
  lua_pushnumber(d->L, negative ? -x : x);
  return true;
}

static bool decode_value(struct decoder *d, int depth);

/* Comes to the next element or member: true when d->p is on it.  At the closing byte sets *closed. */
static bool step(struct decoder *d, char close, bool first, bool *closed) {
  skip_space(d);
  if (d->p == d->end) return false;
  if (*d->p == close) {
    d->p++;
    return *closed = true;
  }
  if (first) return true;
  if (*d->p != ',') return false;
  d->p++;
  skip_space(d);
  return true;
}

/* Makes a table of the n values that wait on top, and leaves it in their place. */
static void make_array(struct decoder *d, int n, int room) {
  lua_State *L = d->L;
  lua_createtable(L, room, 0);
  lua_insert(L, -n - 1);
  for (int i = n; i > 0; i--) lua_rawseti(L, -i - 1, i);
  if (lua_isnil(L, d->metatable_at)) {
    push_slot(L, ARRAY_METATABLE);
    lua_replace(L, d->metatable_at);
  }
  lua_pushvalue(L, d->metatable_at);
  lua_setmetatable(L, -2);
}

static bool decode_array(struct decoder *d, int depth) {
  int n = 0; /* elements so far; up to WAITING_MAX of them wait on the stack */
  for (d->p++;; n++) {
    bool closed = false;
    if (!step(d, ']', n == 0, &closed)) return false;
    if (closed) break;
    if (!decode_value(d, depth + 1)) return false;
    if (n >= 2 * WAITING_MAX)
      lua_rawseti(d->L, -2, n + 1);
    else if (n + 1 == 2 * WAITING_MAX)
      make_array(d, n + 1, 4 * WAITING_MAX);
  }
  if (n < 2 * WAITING_MAX) make_array(d, n, n);
  return true;
}

/* Makes a table of the n key-value pairs that wait on top.  First to last, so that the last of equal keys wins. */
static void make_object(lua_State *L, int n, int room) {
  int base = lua_gettop(L) - 2 * n;
  lua_createtable(L, 0, room);
  for (int i = 0; i < n; i++) {
    lua_pushvalue(L, base + 2 * i + 1);
    lua_pushvalue(L, base + 2 * i + 2);
    lua_rawset(L, -3);
  }
  if (n == 0) return;
  lua_replace(L, base + 1);
  lua_settop(L, base + 1);
}

static bool decode_object(struct decoder *d, int depth) {
  int n = 0;
  for (d->p++;; n++) {
    bool closed = false;
    if (!step(d, '}', n == 0, &closed)) return false;
    if (closed) break;
    if (d->p == d->end || *d->p != '"' || !decode_string(d)) return false;
    skip_space(d);
    if (d->p == d->end || *d->p != ':') return false;
    d->p++;
    if (!decode_value(d, depth + 1)) return false;
    if (n >= WAITING_MAX)
      lua_rawset(d->L, -3);
    else if (n + 1 == WAITING_MAX)
      make_object(d->L, n + 1, 2 * WAITING_MAX);
  }
  if (n < WAITING_MAX) make_object(d->L, n, n);
  return true;
}

static bool decode_word(struct decoder *d, const char *word, size_t n) {
  if ((size_t)(d->end - d->p) < n || memcmp(d->p, word, n) != 0) return false;
  d->p += n;
  return true;
}

/* Pushes one value; false: malformed, or as `fail` said.  What is left on the stack then is for the entry to clear. */
static bool decode_value(struct decoder *d, int depth) {
  skip_space(d);
  if (d->p == d->end) return false;
  switch (*d->p) {
  case '"': return decode_string(d);
  case '[':
  case '{':
    if (depth > SK_LUA_JSON_DECODE_DEPTH_MAX) return fail(d, SK_ELIMIT, "nested too deep");
    if (!lua_checkstack(d->L, STACK_PER_LEVEL)) return fail(d, SK_ELIMIT, "Lua's stack is full");
    return *d->p == '[' ? decode_array(d, depth) : decode_object(d, depth);
  case 't': lua_pushboolean(d->L, 1); return decode_word(d, "true", 4);
  case 'f': lua_pushboolean(d->L, 0); return decode_word(d, "false", 5);
  case 'n': sk_lua_json_push_null(d->L); return decode_word(d, "null", 4);
  default: return (*d->p == '-' || (*d->p >= '0' && *d->p <= '9')) && decode_number(d);
  }
}

static enum sk_code describe(struct decoder *d, struct sk_str text, struct sk_err *err) {
  size_t at = text.n - (size_t)(d->end - d->p);
  enum sk_code code = sk_json_check(text, SK_LUA_JSON_DECODE_DEPTH_MAX + 1, err);
  if (code != SK_OK) return code;
  assert(d->code != SK_OK); /* both parsers take the same grammar */
  return sk_err_set(err, d->code, "JSON at byte %zu: %s", at, d->why);
}

enum sk_code sk_lua_json_decode(lua_State *L, struct sk_str text, struct sk_err *err) {
  int top = lua_gettop(L);
  if (!lua_checkstack(L, 8)) return sk_err_set(err, SK_ELIMIT, "JSON: Lua's stack is full");
  struct decoder d = { .L = L, .p = text.p, .end = text.p + text.n, .metatable_at = top + 1 };
  lua_pushnil(L);
  bool done = decode_value(&d, 1);
  if (done) skip_space(&d);
  if (!done || d.p != d.end) {
    lua_settop(L, top);
    return describe(&d, text, err);
  }
  lua_replace(L, top + 1);
  return SK_OK;
}

int sk_lua_json_push_args(lua_State *L, struct sk_str text, struct sk_err *err) {
  int top = lua_gettop(L), n = 0;
  struct decoder d = { .L = L, .p = text.p, .end = text.p + text.n, .metatable_at = top + 1 };
  if (!lua_checkstack(L, SK_ARGS_COUNT_MAX + STACK_PER_LEVEL)) {
    sk_err_set(err, SK_ELIMIT, "args: Lua's stack is full");
    return -1;
  }
  lua_pushnil(L);
  skip_space(&d);
  bool is_array = d.p < d.end && *d.p == '[', closed = false, good = is_array;
  if (is_array) d.p++;
  while (good && (good = step(&d, ']', n == 0, &closed)) && !closed) {
    if (n == SK_ARGS_COUNT_MAX) {
      good = fail(&d, SK_ELIMIT, "more args than can be passed");
      break;
    }
    good = decode_value(&d, 1);
    n++;
  }
  if (good) skip_space(&d);
  if (good && d.p == d.end) {
    lua_remove(L, top + 1);
    return n;
  }
  lua_settop(L, top);
  if (!is_array) fail(&d, SK_EINVAL, "expected an array of args");
  describe(&d, text, err);
  sk_err_wrap(err, "args");
  return -1;
}
