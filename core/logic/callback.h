/* callback.h - the jobs that are enqueued when a job is done or dead.
 *
 * The client makes them, ids and all, when it enqueues the job; the engine only puts the result or the error into their
 * args.
 *
 *   callbacks := callback*                                      in a record's on_success and on_error
 *   callback  := u32 length, record, i64 due_ms, i64 delay_ms   little-endian, as in an ENQUEUE request (request.h)
 *
 * A callback's record is whole: it can have callbacks of its own. */
#ifndef SK_LOGIC_CALLBACK_H
#define SK_LOGIC_CALLBACK_H

#include <stdbool.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/err.h"
#include "logic/job.h"

struct sk_callback {
  struct sk_str record; /* borrowed from the callbacks */
  int64_t due_ms, delay_ms;
};

/* Takes the next callback off *callbacks.  SK_OK; SK_ENOTFOUND: none is left; SK_ECORRUPT: it cannot be read. */
enum sk_code sk_callback_next(struct sk_str *callbacks, struct sk_callback *out, struct sk_err *err);

/* Checks that there are at most SK_CALLBACKS_MAX callbacks and that each is a record which can be read, of a job that
 * sk_job_check_shape (job_check.h) accepts.  SK_OK, SK_EINVAL, SK_ELIMIT, SK_ECORRUPT, SK_EVERSION. */
enum sk_code sk_callbacks_check(struct sk_str callbacks, size_t args_bytes_max, struct sk_err *err);

/* Write the JSON array `args` with the value `json` added at its end, or at its beginning.  Neither text is looked
 * into.  Check out->failed afterwards. */
void sk_callback_append(struct sk_str args, struct sk_str json, struct sk_buf *out);
void sk_callback_prepend(struct sk_str args, struct sk_str json, struct sk_buf *out);

#endif
