/* json.c - see json.h.  One scanner walks values with a bit per open level instead of recursion; the rest is built on
 * it. */
#include "logic/json.h"

#include <assert.h>
#include <ctype.h>
#include <math.h>
#include <stdlib.h>

struct scan {
  const char *base, *p, *end;
  enum sk_code code;
  const char *expected; /* when code is not SK_OK */
};

static struct scan scan_from(struct sk_str text, size_t at) {
  const char *base = text.p ? text.p : ""; /* NULL takes no arithmetic, not even + 0 */
  return (struct scan){ base, base + at, base + text.n, SK_OK, NULL };
}

static bool refuse(struct scan *s, const char *expected) {
  s->code = SK_EINVAL;
  s->expected = expected;
  return false;
}

static enum sk_code describe(struct sk_str text, size_t at, enum sk_code code, const char *expected,
                             struct sk_err *err) {
  if (code == SK_ELIMIT) return sk_err_set(err, code, "JSON at byte %zu: nested too deep: %s", at, expected);
  if (at >= text.n) return sk_err_set(err, code, "JSON ends at byte %zu where %s was expected", at, expected);
  unsigned char c = (unsigned char)text.p[at];
  if (c > ' ' && c < 0x7f) return sk_err_set(err, code, "JSON at byte %zu: expected %s, found '%c'", at, expected, c);
  return sk_err_set(err, code, "JSON at byte %zu: expected %s, found byte 0x%02x", at, expected, c);
}

static void skip_space(struct scan *s) {
  while (s->p < s->end && (*s->p == ' ' || *s->p == '\t' || *s->p == '\n' || *s->p == '\r')) s->p++;
}

static bool is_digit(const char *p, const char *end) { return p < end && *p >= '0' && *p <= '9'; }

static int hex_digit(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  if (c >= 'A' && c <= 'F') return c - 'A' + 10;
  return -1;
}

/* The four hex digits at p; -1 when they are not there. */
static int32_t hex4(const char *p, const char *end) {
  if (end - p < 4) return -1;
  int32_t v = 0;
  for (int i = 0; i < 4; i++) {
    int d = hex_digit(p[i]);
    if (d < 0) return -1;
    v = v * 16 + d;
  }
  return v;
}

static size_t put_utf8(uint32_t c, char out[4]) {
  if (c < 0x80) {
    out[0] = (char)c;
    return 1;
  }
  if (c < 0x800) {
    out[0] = (char)(0xc0 | c >> 6);
    out[1] = (char)(0x80 | (c & 0x3f));
    return 2;
  }
  if (c < 0x10000) {
    out[0] = (char)(0xe0 | c >> 12);
    out[1] = (char)(0x80 | (c >> 6 & 0x3f));
    out[2] = (char)(0x80 | (c & 0x3f));
    return 3;
  }
  out[0] = (char)(0xf0 | c >> 18);
  out[1] = (char)(0x80 | (c >> 12 & 0x3f));
  out[2] = (char)(0x80 | (c >> 6 & 0x3f));
  out[3] = (char)(0x80 | (c & 0x3f));
  return 4;
}

const char *sk_json_escape(const char *p, const char *end, char out[4], size_t *n) {
  if (end - p < 2 || *p != '\\') return NULL;
  *n = 1;
  switch (p[1]) {
  case '"':
  case '\\':
  case '/': out[0] = p[1]; return p + 2;
  case 'b': out[0] = '\b'; return p + 2;
  case 'f': out[0] = '\f'; return p + 2;
  case 'n': out[0] = '\n'; return p + 2;
  case 'r': out[0] = '\r'; return p + 2;
  case 't': out[0] = '\t'; return p + 2;
  case 'u': break;
  default: return NULL;
  }
  int32_t c = hex4(p + 2, end);
  if (c < 0) return NULL;
  p += 6;
  if (c >= 0xd800 && c < 0xdc00 && end - p >= 6 && p[0] == '\\' && p[1] == 'u') {
    int32_t low = hex4(p + 2, end);
    if (low >= 0xdc00 && low < 0xe000) {
      *n = put_utf8(0x10000 + ((uint32_t)(c - 0xd800) << 10) + (uint32_t)(low - 0xdc00), out);
      return p + 6;
    }
  }
  *n = put_utf8((uint32_t)c, out);
  return p;
}

/* s->p stands on the opening quote. */
static bool scan_string(struct scan *s) {
  s->p++;
  for (;;) {
    s->p = sk_json_plain_end(s->p, s->end);
    if (s->p == s->end) return refuse(s, "the string's closing '\"'");
    if (*s->p == '"') break;
    if (*s->p != '\\') return refuse(s, "a string's byte (control bytes are written as escapes)");
    char bytes[4];
    size_t n;
    const char *next = sk_json_escape(s->p, s->end, bytes, &n);
    if (next == NULL) return refuse(s, "an escape sequence such as \\n or \\u00e9");
    s->p = next;
  }
  s->p++;
  return true;
}

enum { DOUBLE_DIGITS = 309 }; /* before the point, of the greatest double: 1.797e308 */

/* The value of an exponent, "e+400", as far as it counts. */
static long exponent_of(const char *p, const char *end) {
  bool negative = p < end && *p == '-';
  long v = 0;
  if (p < end && (*p == '-' || *p == '+')) p++;
  for (; p < end && v < 1000000000; p++) v = v * 10 + (*p - '0');
  return negative ? -v : v;
}

/* Whether a well-formed number is beyond what a double can hold. */
static bool is_beyond_double(const char *p, const char *end) {
  char digits[DOUBLE_DIGITS + 1];
  int n = 0;
  long before_point = 0; /* digits from the first that is not 0 on; below 0: zeros behind the point */
  bool behind = false;
  if (end - p < DOUBLE_DIGITS && !memchr(p, 'e', (size_t)(end - p)) && !memchr(p, 'E', (size_t)(end - p))) return false;
  if (*p == '-') p++;
  for (; p < end && *p != 'e' && *p != 'E'; p++) {
    if (*p == '.') {
      behind = true;
      continue;
    }
    bool counts = n > 0 || *p != '0';
    if (counts && n < DOUBLE_DIGITS) digits[n++] = *p;
    if (counts && !behind) before_point++;
    if (!counts && behind) before_point--;
  }
  if (n == 0) return false;
  if (p < end) before_point += exponent_of(p + 1, end);
  if (before_point != DOUBLE_DIGITS) return before_point > DOUBLE_DIGITS;
  while (n < DOUBLE_DIGITS) digits[n++] = '0';
  digits[n] = '\0';
  return isinf(strtod(digits, NULL)) != 0; /* no point in it, so the locale does not matter */
}

static bool scan_number(struct scan *s) {
  const char *from = s->p;
  if (*s->p == '-') s->p++;
  if (!is_digit(s->p, s->end)) return refuse(s, "a digit");
  if (*s->p == '0')
    s->p++;
  else
    while (is_digit(s->p, s->end)) s->p++;
  if (s->p < s->end && *s->p == '.') {
    s->p++;
    if (!is_digit(s->p, s->end)) return refuse(s, "a digit");
    while (is_digit(s->p, s->end)) s->p++;
  }
  if (s->p < s->end && (*s->p == 'e' || *s->p == 'E')) {
    s->p++;
    if (s->p < s->end && (*s->p == '+' || *s->p == '-')) s->p++;
    if (!is_digit(s->p, s->end)) return refuse(s, "a digit");
    while (is_digit(s->p, s->end)) s->p++;
  }
  if (!is_beyond_double(from, s->p)) return true;
  s->p = from;
  return refuse(s, "a number that a double can hold (below 1.8e308)");
}

static bool scan_word(struct scan *s, const char *word) {
  for (; *word; word++, s->p++)
    if (s->p == s->end || *s->p != *word) return refuse(s, "true, false or null");
  return true;
}

/* s->p stands on the first byte of anything but an array or an object. */
static bool scan_scalar(struct scan *s) {
  if (s->p == s->end) return refuse(s, "a value");
  switch (*s->p) {
  case '"': return scan_string(s);
  case 't': return scan_word(s, "true");
  case 'f': return scan_word(s, "false");
  case 'n': return scan_word(s, "null");
  default: break;
  }
  if (*s->p == '-' || is_digit(s->p, s->end)) return scan_number(s);
  return refuse(s, "a value");
}

/* A member's key with its colon. */
static bool scan_key(struct scan *s, struct sk_str *key) {
  skip_space(s);
  if (s->p == s->end || *s->p != '"') return refuse(s, "a key in '\"'");
  const char *from = s->p;
  if (!scan_string(s)) return false;
  *key = sk_str(from, (size_t)(s->p - from));
  skip_space(s);
  if (s->p == s->end || *s->p != ':') return refuse(s, "':'");
  s->p++;
  return true;
}

struct levels {
  uint64_t is_object[SK_JSON_WALK_DEPTH_MAX / 64];
  size_t n;
};

static bool in_object(const struct levels *l) { return l->is_object[(l->n - 1) / 64] >> ((l->n - 1) % 64) & 1; }

static void push_level(struct levels *l, bool object) {
  uint64_t bit = (uint64_t)1 << (l->n % 64);
  if (object)
    l->is_object[l->n / 64] |= bit;
  else
    l->is_object[l->n / 64] &= ~bit;
  l->n++;
}

/* After a value: what follows it, closing levels as they end.  Sets *more when another value is to come. */
static bool scan_after(struct scan *s, struct levels *l, bool *more) {
  *more = false;
  while (l->n > 0) {
    bool object = in_object(l);
    skip_space(s);
    if (s->p == s->end) return refuse(s, object ? "',' or '}'" : "',' or ']'");
    if (*s->p == ',') {
      s->p++;
      *more = true;
      return !object || scan_key(s, &(struct sk_str){ 0 });
    }
    if (*s->p != (object ? '}' : ']')) return refuse(s, object ? "',' or '}'" : "',' or ']'");
    s->p++;
    l->n--;
  }
  return true;
}

/* One value with all that is in it; leading space is passed over.  Leaves s->p behind it, or on the wrong byte. */
static bool scan_value(struct scan *s, size_t depth_max) {
  assert(depth_max <= SK_JSON_WALK_DEPTH_MAX);
  struct levels l = { .n = 0 };
  for (;;) {
    skip_space(s);
    bool open = s->p < s->end && (*s->p == '[' || *s->p == '{');
    if (open) {
      bool object = *s->p == '{';
      if (l.n == depth_max) {
        s->code = SK_ELIMIT;
        s->expected = "more levels than allowed";
        return false;
      }
      push_level(&l, object);
      s->p++;
      skip_space(s);
      if (s->p == s->end || *s->p != (object ? '}' : ']')) {
        if (object && !scan_key(s, &(struct sk_str){ 0 })) return false;
        continue;
      }
    } else if (!scan_scalar(s)) {
      return false;
    }
    bool more;
    if (!scan_after(s, &l, &more)) return false;
    if (!more) return true;
  }
}

enum sk_code sk_json_check(struct sk_str text, size_t depth_max, struct sk_err *err) {
  struct scan s = scan_from(text, 0);
  if (scan_value(&s, depth_max)) {
    skip_space(&s);
    if (s.p == s.end) return SK_OK;
    refuse(&s, "nothing after the value");
  }
  size_t at = (size_t)(s.p - s.base);
  if (s.code == SK_ELIMIT)
    return sk_err_set(err, SK_ELIMIT, "JSON at byte %zu: nested more than %zu deep", at, depth_max);
  return describe(text, at, s.code, s.expected, err);
}

enum sk_json_type sk_json_type(struct sk_str text) {
  struct scan s = scan_from(text, 0);
  skip_space(&s);
  if (s.p == s.end) return SK_JSON_NONE;
  switch (*s.p) {
  case 'n': return SK_JSON_NULL;
  case 't':
  case 'f': return SK_JSON_BOOL;
  case '"': return SK_JSON_STRING;
  case '[': return SK_JSON_ARRAY;
  case '{': return SK_JSON_OBJECT;
  default: return *s.p == '-' || is_digit(s.p, s.end) ? SK_JSON_NUMBER : SK_JSON_NONE;
  }
}

enum sk_code sk_json_open(struct sk_json_reader *r, struct sk_str text, struct sk_err *err) {
  *r = (struct sk_json_reader){ .text = text, .first = true };
  struct scan s = scan_from(text, 0);
  skip_space(&s);
  r->at = (size_t)(s.p - s.base);
  if (s.p == s.end || (*s.p != '[' && *s.p != '{')) {
    r->code = SK_EINVAL;
    r->expected = "an array or an object";
    return describe(text, r->at, r->code, r->expected, err);
  }
  r->object = *s.p == '{';
  r->at++;
  return SK_OK;
}

/* Comes to where the next element's value (or, in an object, key) should stand; false at the end. */
static bool step(struct scan *s, struct sk_json_reader *r) {
  skip_space(s);
  bool closes = s->p < s->end && *s->p == (r->object ? '}' : ']');
  if (closes) {
    s->p++;
    r->over = true;
    skip_space(s);
    return s->p == s->end ? false : refuse(s, "nothing after the value");
  }
  if (!r->first) {
    if (s->p == s->end || *s->p != ',') return refuse(s, r->object ? "',' or '}'" : "',' or ']'");
    s->p++;
    skip_space(s);
  }
  r->first = false;
  return true;
}

bool sk_json_next(struct sk_json_reader *r, struct sk_str *key, struct sk_str *value) {
  if (r->over || r->code != SK_OK) return false;
  struct scan s = scan_from(r->text, r->at);
  bool found = step(&s, r);
  *key = sk_str(NULL, 0);
  if (found && r->object) found = scan_key(&s, key);
  if (found) {
    skip_space(&s);
    const char *from = s.p;
    found = scan_value(&s, SK_JSON_WALK_DEPTH_MAX);
    *value = sk_str(from, (size_t)(s.p - from));
  }
  r->at = (size_t)(s.p - s.base);
  r->code = s.code;
  r->expected = s.expected;
  return found;
}

enum sk_code sk_json_end(const struct sk_json_reader *r, struct sk_err *err) {
  return r->code == SK_OK ? SK_OK : describe(r->text, r->at, r->code, r->expected, err);
}

enum sk_code sk_json_array_count(struct sk_str text, size_t *out, struct sk_err *err) {
  struct sk_json_reader r;
  struct sk_str key, value;
  enum sk_code code = sk_json_open(&r, text, err);
  if (code != SK_OK) return code;
  if (r.object) return sk_err_set(err, SK_EINVAL, "JSON at byte %zu: expected an array, found an object", r.at - 1);
  size_t n = 0;
  while (sk_json_next(&r, &key, &value)) n++;
  *out = n;
  return sk_json_end(&r, err);
}

/* Whether the string (well-formed, with its quotes) stands for name. */
static bool stands_for(struct sk_str string, struct sk_str name) {
  const char *p = string.p + 1, *end = string.p + string.n - 1;
  size_t at = 0;
  while (p < end) {
    char bytes[4] = { *p };
    size_t n = 1;
    if (*p == '\\')
      p = sk_json_escape(p, end, bytes, &n);
    else
      p++;
    if (name.n - at < n || memcmp(name.p + at, bytes, n) != 0) return false;
    at += n;
  }
  return at == name.n;
}

bool sk_json_find(struct sk_str object, struct sk_str name, struct sk_str *out) {
  struct sk_json_reader r;
  struct sk_str key, value, found = { 0 };
  if (sk_json_open(&r, object, NULL) != SK_OK || !r.object) return false;
  while (sk_json_next(&r, &key, &value))
    if (stands_for(key, name)) found = value;
  if (r.code != SK_OK || found.p == NULL) return false;
  *out = found;
  return true;
}

bool sk_json_unescape(struct sk_str string, struct sk_buf *out) {
  struct scan s = scan_from(string, 0);
  if (string.n == 0 || *s.p != '"' || !scan_string(&s) || s.p != s.end) return false;
  const char *p = string.p + 1, *end = string.p + string.n - 1;
  sk_buf_reserve(out, string.n);
  while (p < end) {
    const char *plain = sk_json_plain_end(p, end);
    sk_buf_add(out, p, (size_t)(plain - p));
    p = plain;
    if (p == end) break;
    char bytes[4];
    size_t n;
    p = sk_json_escape(p, end, bytes, &n);
    sk_buf_add(out, bytes, n);
  }
  return true;
}
