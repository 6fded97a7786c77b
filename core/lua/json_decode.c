/* json_decode.c - JSON text to Lua values; see json.h.
 *
 * One pass over the bytes.  The first members of a table wait on the Lua stack until their number is known, so that
 * small tables are made at their size.  It recurses, up to SK_LUA_JSON_DECODE_DEPTH_MAX; memory for long strings with
 * escapes is a userdata, which Lua collects.  The message for malformed text comes from sk_json_check (logic/json.h),
 * which accepts the same grammar; the fuzz target lua_json compares the two. */
#include <assert.h>
#include <locale.h>
#include <math.h>
#include <stdint.h>
#include <stdlib.h>

#include "base/limits.h"
#include "logic/json.h"
#include "lua/json.h"
#include "lua/json_slots.h"

struct decoder {
  lua_State *L;
  const char *p, *end;
  int metatable_at;  /* stack index of the array metatable, nil until the first array */
  enum sk_code code; /* code of a failure other than a syntax error */
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

/* Decodes a string with escapes.  d->p is after the opening quote, `plain` at the first byte that is not plain. */
static __attribute__((noinline)) bool decode_escaped(struct decoder *d, const char *plain) {
  char small[512];
  const char *close = plain;
  while (close < d->end && *close != '"') {
    if (*close != '\\' || d->end - close < 2) return false;
    close = sk_json_plain_end(close + 2, d->end);
  }
  if (close >= d->end) return false;
  size_t room = (size_t)(close - d->p); /* an escape is never shorter than its decoded bytes */
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

/* Decodes a string; d->p is on its opening quote. */
static bool decode_string(struct decoder *d) {
  const char *from = ++d->p, *plain = sk_json_plain_end(from, d->end);
  if (plain == d->end || (*plain != '"' && *plain != '\\')) return false;
  if (*plain == '\\') return decode_escaped(d, plain);
  lua_pushlstring(d->L, from, (size_t)(plain - from));
  d->p = plain + 1;
  return true;
}

/* Decodes the literal from..d->p with strtod, after replacing "." by the locale's decimal point. */
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

/* The digits of a number literal, up to 64 bits. */
struct digits {
  uint64_t value;
  int decimals; /* number of digits after the point */
  bool overflow;
};

/* Reads digits from d->p on.  Returns false if there is none. */
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

/* Reads an exponent if there is one.  Its value is capped far beyond the range of a double. */
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

static void push_int64(struct decoder *d, enum sk_lua_json_slot slot, uint64_t v) {
  sk_lua_json_push_slot(d->L, slot);
  lua_pushlightuserdata(d->L, &v);
  lua_call(d->L, 1, 1);
}

static bool decode_integer(struct decoder *d, const char *from, const struct digits *digits, bool negative) {
  uint64_t v = digits->value;
  if (digits->overflow || (negative && v > (uint64_t)INT64_MAX + 1)) return decode_slow_double(d, from);
  if (v <= (uint64_t)1 << 53)
    lua_pushnumber(d->L, negative ? -(double)v : (double)v);
  else if (negative)
    push_int64(d, SK_LUA_JSON_MAKE_INT64, 0 - v);
  else
    push_int64(d, v <= INT64_MAX ? SK_LUA_JSON_MAKE_INT64 : SK_LUA_JSON_MAKE_UINT64, v);
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
  /* Both operands are exact, so the one rounding is correct (Clinger). */
  exponent -= digits.decimals;
  if (digits.overflow || digits.value > (uint64_t)1 << 53 || exponent < -SK_LUA_JSON_POWERS_MAX ||
      exponent > SK_LUA_JSON_POWERS_MAX)
    return decode_slow_double(d, from);
  double x = exponent < 0 ? (double)digits.value / sk_lua_json_powers[-exponent]
                          : (double)digits.value * sk_lua_json_powers[exponent];
  lua_pushnumber(d->L, negative ? -x : x);
  return true;
}

static bool decode_value(struct decoder *d, int depth);

/* Moves to the next element or member and returns true when d->p is on it.  Sets *closed at the closing byte. */
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

/* Replaces the n values on top of the stack by an array of them. */
static void make_array(struct decoder *d, int n, int room) {
  lua_State *L = d->L;
  lua_createtable(L, room, 0);
  lua_insert(L, -n - 1);
  for (int i = n; i > 0; i--) lua_rawseti(L, -i - 1, i);
  if (lua_isnil(L, d->metatable_at)) {
    sk_lua_json_push_slot(L, SK_LUA_JSON_METATABLE);
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

/* Makes a table of the n key-value pairs on top of the stack, in order, so that the last of equal keys wins. */
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

/* Pushes one value.  Returns false on a failure; the entry function then clears the stack. */
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
  assert(d->code != SK_OK); /* both parsers accept the same grammar */
  return sk_err_set(err, d->code, "JSON at byte %zu: %s", at, d->why);
}

static struct decoder decoder(lua_State *L, struct sk_str text, int metatable_at) {
  const char *p = text.p ? text.p : ""; /* C defines no arithmetic on NULL, not even + 0 */
  return (struct decoder){ .L = L, .p = p, .end = p + text.n, .metatable_at = metatable_at };
}

enum sk_code sk_lua_json_decode(lua_State *L, struct sk_str text, struct sk_err *err) {
  int top = lua_gettop(L);
  if (!lua_checkstack(L, 8)) return sk_err_set(err, SK_ELIMIT, "JSON: Lua's stack is full");
  struct decoder d = decoder(L, text, top + 1);
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
  struct decoder d = decoder(L, text, top + 1);
  if (!lua_checkstack(L, SK_ARGS_COUNT_MAX + STACK_PER_LEVEL)) {
    sk_err_set(err, SK_ENOMEM, "args: Lua's stack is full");
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
