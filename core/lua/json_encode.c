/* json_encode.c - Lua values to JSON text; see json.h.
 *
 * The walk uses lua_next, so that an array in its usual layout is met in order and needs one pass; a frame on the C
 * stack per level knows the path for messages and finds cycles.  It recurses, up to SK_JSON_DEPTH_MAX. */
#include <assert.h>
#include <math.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/limits.h"
#include "logic/json.h"
#include "lua/json.h"
#include "lua/json_slots.h"

enum { TYPE_CDATA = 10 }; /* lua_type's result for LuaJIT's cdata; lua.h has no name for it */

#define WHOLE_MAX 9007199254740992.0 /* 2^53: a double represents all whole numbers below it */

/* -- numbers ------------------------------------------------------------------------------------------------------- */

static void add_uint(struct sk_buf *out, uint64_t v, bool negative) {
  char text[24];
  size_t at = sizeof text;
  do text[--at] = (char)('0' + v % 10);
  while (v /= 10);
  if (negative) text[--at] = '-';
  sk_buf_add(out, text + at, sizeof text - at);
}

static void add_int(struct sk_buf *out, int64_t v) { add_uint(out, v < 0 ? 0 - (uint64_t)v : (uint64_t)v, v < 0); }

/* A fast path for fractions with few decimals.  If |x| * 10^k is a whole number below 10^15 and its quotient by 10^k is
 * x again, the decimal reads back as x: both operands are exact, so the quotient is rounded once, as in strtod.  The
 * output equals that of %.15g. */
static bool add_short_fraction(struct sk_buf *out, double x) {
  double a = fabs(x);
  if (a < 1e-4 || a >= 1e12) return false;
  for (int k = 1; k <= 6; k++) {
    double scaled = a * sk_lua_json_powers[k];
    if (scaled >= 1e15) return false;
    uint64_t whole = (uint64_t)scaled;
    if ((double)whole != scaled || scaled / sk_lua_json_powers[k] != a) continue;
    uint64_t unit = (uint64_t)sk_lua_json_powers[k];
    add_uint(out, whole / unit, x < 0);
    char digits[8] = { '.' };
    uint64_t rest = whole % unit;
    for (int i = k; i > 0; i--, rest /= 10) digits[i] = (char)('0' + rest % 10);
    sk_buf_add(out, digits, (size_t)k + 1);
    return true;
  }
  return false;
}

/* Adds x, which is finite.  printf and strtod use the decimal point of the locale, which a script may have set; JSON
 * needs ".". */
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
    } else if (to == 0 || text[to - 1] != '.') { /* the locale's decimal point may be several bytes */
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

/* -- encoding ------------------------------------------------------------------------------------------------------ */

/* The place of a value: its key in the parent table, or its index if key.p is NULL. */
struct frame {
  const struct frame *up; /* NULL at the root */
  const void *table;      /* identity of the value if it is a table */
  struct sk_str key;      /* borrowed from Lua while the key is on the Lua stack */
  int index;
};

struct encoder {
  lua_State *L;
  struct sk_buf *out;
  struct sk_err *err;
  const char *what;
  size_t start;                /* out->n before the encoding */
  const void *array_metatable; /* NULL until needed; the registry keeps it alive */
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

/* The path of a value for messages: `what`, then one piece per frame from the root on. */
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

/* Adds the bytes from p on with escapes, and the closing quote.  `plain` is the first byte that needs an escape. */
static __attribute__((noinline)) void add_escaped(struct sk_buf *out, const char *p, const char *plain,
                                                  const char *end) {
  for (;;) {
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
    plain = sk_json_plain_end(p, end);
  }
  sk_buf_add_byte(out, '"');
}

/* Adds a string.  Reserves memory once if no byte needs an escape. */
static void add_string(struct sk_buf *out, struct sk_str s) {
  const char *end = s.p + s.n, *plain = sk_json_plain_end(s.p, end);
  if (!sk_buf_reserve(out, s.n + 2)) return;
  char *to = out->p + out->n;
  *to = '"';
  out->n++;
  if (plain != end) {
    add_escaped(out, s.p, plain, end);
    return;
  }
  memcpy(to + 1, s.p, s.n);
  to[s.n + 1] = '"';
  out->n += s.n + 1;
}

/* An inline sk_buf_add_byte for the hot path. */
static inline void put(struct sk_buf *out, char c) {
  if (out->n < out->cap && !out->failed)
    out->p[out->n++] = c;
  else
    sk_buf_add_byte(out, c);
}

static struct sk_str string_at(lua_State *L, int index) {
  struct sk_str s;
  s.p = lua_tolstring(L, index, &s.n);
  return s;
}

static enum sk_code encode_cdata(struct encoder *e, const struct frame *at) {
  lua_State *L = e->L;
  sk_lua_json_push_slot(L, SK_LUA_JSON_CLASSIFY);
  lua_pushvalue(L, -2);
  lua_call(L, 1, 1);
  int kind = (int)lua_tointeger(L, -1);
  lua_pop(L, 1);
  if (kind == 0) return refuse(e, at, "a cdata that is neither int64_t nor uint64_t");
  uint64_t v;
  memcpy(&v, lua_topointer(L, -1), sizeof v); /* the pointer of a cdata is that of its payload */
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
    sk_lua_json_push_slot(L, SK_LUA_JSON_METATABLE);
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

/* Checks all keys of the table on top, whose traversal is not in order.  Returns SK_OK and *n if they are exactly
 * 1..n. */
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

/* Encodes the elements from index `from` on. */
static enum sk_code encode_rest(struct encoder *e, struct frame *at, int from, int depth) {
  int n = 0;
  enum sk_code code = count_indices(e, at, &n);
  for (int i = from; code == SK_OK && i <= n; i++) {
    struct frame element = { .up = at, .index = i };
    if (i > 1) put(e->out, ',');
    lua_rawgeti(e->L, -1, i);
    code = encode_value(e, &element, depth + 1);
    lua_pop(e->L, 1);
  }
  return code;
}

/* Encodes the table at -3 as an array; its first key and value are above it.  Leaves the table on the stack. */
static enum sk_code encode_array(struct encoder *e, struct frame *at, int depth) {
  lua_State *L = e->L;
  int i = 1;
  put(e->out, '[');
  do {
    if (lua_type(L, -2) != LUA_TNUMBER || lua_tonumber(L, -2) != (lua_Number)i) {
      lua_pop(L, 2);
      enum sk_code code = encode_rest(e, at, i, depth);
      put(e->out, ']');
      return code;
    }
    struct frame element = { .up = at, .index = i };
    if (i > 1) put(e->out, ',');
    enum sk_code code = encode_value(e, &element, depth + 1);
    if (code != SK_OK) return code;
    lua_pop(L, 1);
    i++;
  } while (lua_next(L, -2));
  put(e->out, ']');
  return SK_OK;
}

static enum sk_code encode_object(struct encoder *e, struct frame *at, int depth) {
  lua_State *L = e->L;
  char before = '{';
  do {
    if (lua_type(L, -2) != LUA_TSTRING) return refuse_key(e, at, -2);
    struct frame member = { .up = at, .key = string_at(L, -2) };
    put(e->out, before);
    before = ',';
    add_string(e->out, member.key);
    put(e->out, ':');
    enum sk_code code = encode_value(e, &member, depth + 1);
    if (code != SK_OK) return code;
    lua_pop(L, 1);
  } while (lua_next(L, -2));
  put(e->out, '}');
  return SK_OK;
}

/* Encodes the table on top.  A failure may leave values above it, which the entry function clears. */
static enum sk_code encode_table(struct encoder *e, struct frame *at, int depth) {
  lua_State *L = e->L;
  at->table = lua_topointer(L, -1);
  for (const struct frame *f = at->up; f; f = f->up)
    if (f->table == at->table) return refuse(e, at, "a cycle (a table that contains itself)");
  if (depth > SK_JSON_DEPTH_MAX)
    return sk_err_set(e->err, SK_ELIMIT, "%s: a value nested more than %d deep cannot be stored", path_to(e, at).text,
                      SK_JSON_DEPTH_MAX);
  bool marked = is_marked_array(e);
  lua_pushnil(L);
  if (!lua_next(L, -2)) {
    sk_buf_add(e->out, marked ? "[]" : "{}", 2);
    return SK_OK;
  }
  if (marked || lua_type(L, -2) == LUA_TNUMBER) return encode_array(e, at, depth);
  return encode_object(e, at, depth);
}

/* Encodes the value on top and leaves it there.  depth is the nesting depth of the value. */
static enum sk_code encode_value(struct encoder *e, struct frame *at, int depth) {
  lua_State *L = e->L;
  enum sk_code code = SK_OK;
  switch (lua_type(L, -1)) {
  case LUA_TNIL: sk_buf_add(e->out, "null", 4); break;
  case LUA_TBOOLEAN: lua_toboolean(L, -1) ? sk_buf_add(e->out, "true", 4) : sk_buf_add(e->out, "false", 5); break;
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
  /* Tables that share tables can produce exponentially long text. */
  if (e->out->n - e->start > SK_RECORD_BYTES_MAX)
    return sk_err_set(e->err, SK_ELIMIT, "%s: more than %d bytes of JSON", e->what, SK_RECORD_BYTES_MAX);
  return SK_OK;
}

/* Ends an encoding.  After a failure restores the buffer and the stack. */
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
