/* callback.h - what is enqueued when a job is done or dead: made when the job is enqueued, ids and all, so that the
 * engine only has to put the result or the error into the args.
 *
 *   callbacks := callback*                                      in a record's on_success and on_error
 *   callback  := u32 length, record, i64 due_ms, i64 delay_ms   numbers little-endian, as the ENQUEUE request has them
 *   (request.h)
 *
 * A callback's record is whole: it may have callbacks of its own. */
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

/* Takes the next callback off *callbacks.  SK_OK; SK_ENOTFOUND: none is left; SK_ECORRUPT. */
enum sk_code sk_callback_next(struct sk_str *callbacks, struct sk_callback *out, struct sk_err *err);

/* They are at most SK_CALLBACKS_MAX, and each of them can be read and is a job that sk_job_check_shape (names.h)
 * accepts. */
enum sk_code sk_callbacks_check(struct sk_str callbacks, size_t args_bytes_max, struct sk_err *err);

/* A JSON array with one value more, at its end or at its beginning; neither is looked into.  Check out->failed
 * afterwards. */
void sk_callback_append(struct sk_str args, struct sk_str json, struct sk_buf *out);
void sk_callback_prepend(struct sk_str args, struct sk_str json, struct sk_buf *out);

#endif
