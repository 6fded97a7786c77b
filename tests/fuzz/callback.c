/* callback.c - fuzz target: the callbacks of a job's record.  Whatever the bytes are, reading them ends, and what is
 * put into args that are an array makes an array of one value more. */
#include <assert.h>

#include "base/limits.h"
#include "logic/callback.h"
#include "logic/json.h"
#include "logic/record.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_args(struct sk_str args) {
  size_t n, more;
  if (sk_json_array_count(args, &n, NULL) != SK_OK) n = SIZE_MAX;
  struct sk_buf last = { 0 }, first = { 0 };
  sk_callback_append(args, SK_STR_LIT("{\"a\":[1]}"), &last);
  sk_callback_prepend(args, SK_STR_LIT("{\"a\":[1]}"), &first);
  if (n != SIZE_MAX) {
    assert(sk_json_array_count(sk_buf_str(&last), &more, NULL) == SK_OK && more == n + 1);
    assert(sk_json_array_count(sk_buf_str(&first), &more, NULL) == SK_OK && more == n + 1);
  }
  sk_buf_fini(&last);
  sk_buf_fini(&first);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  struct sk_str all = sk_str((const char *)data, size), rest = all;
  struct sk_callback callback;
  struct sk_err err = { 0 };
  enum sk_code code;
  size_t before = rest.n;
  while ((code = sk_callback_next(&rest, &callback, &err)) == SK_OK) {
    assert(rest.n < before);
    before = rest.n;
    struct sk_job job;
    if (sk_record_decode(callback.record, &job, &err) == SK_OK) check_args(job.args);
  }
  assert(code == SK_ENOTFOUND || code == SK_ECORRUPT);
  enum sk_code whole = sk_callbacks_check(all, SK_ARGS_BYTES_MAX, &err);
  assert(whole != SK_OK || code == SK_ENOTFOUND);
  check_args(all);
  return 0;
}
