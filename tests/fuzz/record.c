/* record.c - fuzz target: job records.  What decodes can be encoded, decodes to the same again, and may be judged. */
#include <assert.h>

#include "base/limits.h"
#include "logic/job_check.h"
#include "logic/record.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  struct sk_job job, back;
  struct sk_err err = { 0 };
  enum sk_code code = sk_record_decode(sk_str((const char *)data, size), &job, &err);
  if (code != SK_OK) {
    assert(code == SK_ECORRUPT || code == SK_EVERSION);
    return 0;
  }
  sk_job_check(&job, SK_ARGS_BYTES_MAX, &err);
  struct sk_buf first = { 0 }, second = { 0 };
  sk_record_encode(&job, &first);
  assert(sk_record_decode(sk_buf_str(&first), &back, &err) == SK_OK);
  sk_record_encode(&back, &second);
  assert(sk_str_eq(sk_buf_str(&first), sk_buf_str(&second)));
  sk_buf_fini(&first);
  sk_buf_fini(&second);
  return 0;
}
