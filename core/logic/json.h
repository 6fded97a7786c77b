/* json.h - JSON text without a tree: is it well-formed, what is in it, where are its parts.  Nothing here allocates
 * (but for the caller's buffer) or recurses; every part is a slice of the text.
 *
 * The grammar is RFC 8259, with one liberty: bytes of a string from 0x80 on may be any, so that binary strings pass
 * through. A \u escape of a lone surrogate is allowed for the same reason; it stands for the surrogate's 3-byte form.
 * A number beyond what a double can hold (1e400) is refused: no reader could give it back. */
#ifndef SK_LOGIC_JSON_H
#define SK_LOGIC_JSON_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "base/buf.h"
#include "base/err.h"
#include "base/str.h"

/* No depth_max is greater than this: the walker keeps one bit per level. */
#define SK_JSON_WALK_DEPTH_MAX 1024

enum sk_json_type {
  SK_JSON_NONE,
  SK_JSON_NULL,
  SK_JSON_BOOL,
  SK_JSON_NUMBER,
  SK_JSON_STRING,
  SK_JSON_ARRAY,
  SK_JSON_OBJECT
};

/* Text is exactly one value, with arrays and objects nested at most depth_max deep (a scalar is 0 deep, [] is 1).
 * SK_OK; SK_EINVAL: malformed; SK_ELIMIT: too deep.  The message gives the offset of the first byte that is wrong. */
enum sk_code sk_json_check(struct sk_str text, size_t depth_max, struct sk_err *err);

/* What the text's first byte that is not space begins; SK_JSON_NONE when that begins no value.  Looks no further. */
enum sk_json_type sk_json_type(struct sk_str text);

/* A walk over the elements of one array or the members of one object.  It checks what it passes over, so any bytes may
 * be walked; nesting up to SK_JSON_WALK_DEPTH_MAX.
 *
 *   struct sk_json_reader r;
 *   enum sk_code code = sk_json_open(&r, text, err);
 *   while (code == SK_OK && sk_json_next(&r, &key, &value)) ...
 *   if (code == SK_OK) code = sk_json_end(&r, err); */
struct sk_json_reader {
  struct sk_str text; /* borrowed */
  size_t at;
  bool object, first, over;
  enum sk_code code;
  const char *expected; /* when code is not SK_OK: what should have stood at `at` */
};

/* SK_EINVAL when text does not begin with an array or an object. */
enum sk_code sk_json_open(struct sk_json_reader *r, struct sk_str text, struct sk_err *err);
/* False at the end and at malformed text.  The key is a string with its quotes, still escaped; empty in an array.  The
 * value is without surrounding space. */
bool sk_json_next(struct sk_json_reader *r, struct sk_str *key, struct sk_str *value);
/* SK_OK when the walk came to the text's end and nothing was malformed. */
enum sk_code sk_json_end(const struct sk_json_reader *r, struct sk_err *err);

/* The number of elements; SK_EINVAL when text is not a well-formed array. */
enum sk_code sk_json_array_count(struct sk_str text, size_t *out, struct sk_err *err);

/* The value of the object's last member of that name (not escaped); false when text is no well-formed object or has
 * none. */
bool sk_json_find(struct sk_str object, struct sk_str name, struct sk_str *out);

/* Appends what the string (with its quotes) stands for; false, and nothing appended, when it is no well-formed string.
 * Check out->failed afterwards. */
bool sk_json_unescape(struct sk_str string, struct sk_buf *out);

/* -- for the codec in core/lua ------------------------------------------------------------------------------------ */

/* Reads the escape sequence at p (a backslash), a surrogate pair as one.  Writes up to 4 bytes to out, their number to
 * *n, and returns the byte after the sequence; NULL when it is malformed. */
const char *sk_json_escape(const char *p, const char *end, char out[4], size_t *n);

/* Returns the first byte from p on that cannot stand in a string as it is ('"', '\\', below 0x20), or end. */
static inline const char *sk_json_plain_end(const char *p, const char *end) {
  const uint64_t ones = 0x0101010101010101u, highs = 0x8080808080808080u;
  while (end - p >= 8) {
    uint64_t w;
    memcpy(&w, p, 8);
    uint64_t quote = w ^ (ones * '"'), slash = w ^ (ones * '\\');
    /* A byte's high bit is set in the sum when it is one of them (or, rarely, follows one: the loop below decides). */
    if (((((w - ones * 0x20) & ~w) | ((quote - ones) & ~quote) | ((slash - ones) & ~slash)) & highs) != 0) break;
    p += 8;
  }
  while (p < end && (unsigned char)*p >= 0x20 && *p != '"' && *p != '\\') p++;
  return p;
}

#endif
