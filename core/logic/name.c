/* name.c - see name.h.  Each job has three names that are checked when it is enqueued and again when it is fetched, so
 * the usual case, a good name, is one table lookup a byte; the message is made out of line. */
#include "logic/name.h"

#include <stdbool.h>

#include "base/limits.h"
#include "logic/shown.h"

/* 1 for the bytes of the alphabet. */
static const unsigned char NAME_BYTES[256] = {
  ['-'] = 1, ['.'] = 1, [':'] = 1, ['_'] = 1, ['0'] = 1, ['1'] = 1, ['2'] = 1, ['3'] = 1, ['4'] = 1, ['5'] = 1,
  ['6'] = 1, ['7'] = 1, ['8'] = 1, ['9'] = 1, ['A'] = 1, ['B'] = 1, ['C'] = 1, ['D'] = 1, ['E'] = 1, ['F'] = 1,
  ['G'] = 1, ['H'] = 1, ['I'] = 1, ['J'] = 1, ['K'] = 1, ['L'] = 1, ['M'] = 1, ['N'] = 1, ['O'] = 1, ['P'] = 1,
  ['Q'] = 1, ['R'] = 1, ['S'] = 1, ['T'] = 1, ['U'] = 1, ['V'] = 1, ['W'] = 1, ['X'] = 1, ['Y'] = 1, ['Z'] = 1,
  ['a'] = 1, ['b'] = 1, ['c'] = 1, ['d'] = 1, ['e'] = 1, ['f'] = 1, ['g'] = 1, ['h'] = 1, ['i'] = 1, ['j'] = 1,
  ['k'] = 1, ['l'] = 1, ['m'] = 1, ['n'] = 1, ['o'] = 1, ['p'] = 1, ['q'] = 1, ['r'] = 1, ['s'] = 1, ['t'] = 1,
  ['u'] = 1, ['v'] = 1, ['w'] = 1, ['x'] = 1, ['y'] = 1, ['z'] = 1,
};

/* The number of bytes of the alphabet that s begins with. */
static size_t good_bytes(struct sk_str s) {
  const unsigned char *p = (const unsigned char *)s.p;
  size_t i = 0;
  while (i + 4 <= s.n && NAME_BYTES[p[i]] & NAME_BYTES[p[i + 1]] & NAME_BYTES[p[i + 2]] & NAME_BYTES[p[i + 3]]) i += 4;
  while (i < s.n && NAME_BYTES[p[i]]) i++;
  return i;
}

static enum sk_code refuse(const char *what, struct sk_str name, size_t bytes_max, struct sk_err *err) {
  if (name.n == 0)
    return sk_err_set(err, SK_EINVAL, "%s \"\": expected a name of 1 to %zu letters, digits or _ . : -", what,
                      bytes_max);
  if (name.n > bytes_max)
    return sk_err_set(err, SK_ELIMIT, "%s \"%s\": %zu bytes, expected at most %zu", what, sk_shown(name).text, name.n,
                      bytes_max);
  size_t good = good_bytes(name);
  return sk_err_set(err, SK_EINVAL, "%s \"%s\": byte %zu is 0x%02x, expected letters, digits or _ . : -", what,
                    sk_shown(name).text, good + 1, (unsigned char)name.p[good]);
}

static inline enum sk_code check(const char *what, struct sk_str name, size_t bytes_max, struct sk_err *err) {
  if (name.n > 0 && name.n <= bytes_max && good_bytes(name) == name.n) return SK_OK;
  return refuse(what, name, bytes_max, err);
}

enum sk_code sk_name_check(const char *what, struct sk_str name, struct sk_err *err) {
  return check(what, name, SK_NAME_BYTES_MAX, err);
}

enum sk_code sk_id_check(struct sk_str id, struct sk_err *err) { return check("job id", id, SK_ID_BYTES_MAX, err); }
