/* json.c - fuzz target: the JSON walker.  Whatever the bytes: the checker, the reader and the counter agree, and every
 * string that is accepted can be unescaped, written and read again. */
#include <assert.h>

#include "logic/json.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_string(struct sk_str string) {
  struct sk_buf bytes = { 0 }, text = { 0 }, again = { 0 };
  assert(sk_json_unescape(string, &bytes));
  sk_buf_add_json(&text, sk_buf_str(&bytes));
  assert(sk_json_check(sk_buf_str(&text), 0, NULL) == SK_OK);
  assert(sk_json_unescape(sk_buf_str(&text), &again));
  assert(sk_str_eq(sk_buf_str(&bytes), sk_buf_str(&again)));
  sk_buf_fini(&bytes);
  sk_buf_fini(&text);
  sk_buf_fini(&again);
}

static void check_value(struct sk_str value) {
  assert(sk_json_check(value, SK_JSON_WALK_DEPTH_MAX, NULL) == SK_OK);
  enum sk_json_type type = sk_json_type(value);
  assert(type != SK_JSON_NONE);
  if (type == SK_JSON_STRING) check_string(value);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  struct sk_str text = sk_str((const char *)data, size), key, value;
  struct sk_json_reader r;
  struct sk_err err;
  enum sk_code code = sk_json_check(text, SK_JSON_WALK_DEPTH_MAX, &err);
  enum sk_json_type type = sk_json_type(text);
  bool container = type == SK_JSON_ARRAY || type == SK_JSON_OBJECT;
  assert((sk_json_open(&r, text, &err) == SK_OK) == container);
  size_t n = 0, counted = 0;
  bool found;
  while (container && sk_json_next(&r, &key, &value)) {
    n++;
    check_value(value);
    if (r.object) check_string(key);
  }
  /* The reader counts levels from within the outermost one, so it goes one deeper. */
  if (container && code != SK_ELIMIT) assert((sk_json_end(&r, &err) == SK_OK) == (code == SK_OK));
  if (type == SK_JSON_ARRAY && code == SK_OK)
    assert(sk_json_array_count(text, &counted, NULL) == SK_OK && counted == n);
  found = sk_json_find(text, SK_STR_LIT("task"), &value);
  assert(!found || type == SK_JSON_OBJECT);
  if (found) check_value(value);
  return 0;
}
