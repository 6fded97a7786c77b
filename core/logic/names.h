/* names.h - whether what a client said is acceptable: names, ids, and a whole job.  Clients check all of what they are
 * about to send; the core checks again, in the same words, what it can without parsing args: names, numbers and
 * sizes. */
#ifndef SK_LOGIC_NAMES_H
#define SK_LOGIC_NAMES_H

#include <stddef.h>

#include "base/err.h"
#include "base/str.h"
#include "logic/job.h"

/* A name of a task, queue, cron or step: 1 to SK_NAME_BYTES_MAX bytes of [A-Za-z0-9_.:-].  `what` begins the message,
 * e.g. "queue". SK_OK, SK_EINVAL, SK_ELIMIT (too long). */
enum sk_code sk_name_check(const char *what, struct sk_str name, struct sk_err *err);

/* A job's id: the same alphabet, 1 to SK_ID_BYTES_MAX bytes. */
enum sk_code sk_id_check(struct sk_str id, struct sk_err *err);

/* The job is whole and every part is within limits.h: id, task and queue are names; args is a JSON array (of at most
 * args_bytes_max bytes, SK_ARGS_COUNT_MAX elements); meta an object or empty; on_success and on_error not too long
 * (callback.h reads them); result JSON or empty; priority, options and counts in range; backoff, unique and limit
 * valid; durations at most SK_SECONDS_MAX, moments within twice that after 1970.  A value in args or meta nests at most
 * SK_JSON_DEPTH_MAX deep: the args array itself is not counted. SK_OK; SK_EINVAL: not what it should be; SK_ELIMIT:
 * past a limit.  Linear in the job's bytes, allocates nothing. */
enum sk_code sk_job_check(const struct sk_job *job, size_t args_bytes_max, struct sk_err *err);

/* The part of it that does not look into args, meta, callbacks and result: that they are JSON is for whoever made them
 * and for whoever reads them.  Constant time in their bytes. */
enum sk_code sk_job_check_shape(const struct sk_job *job, size_t args_bytes_max, struct sk_err *err);

#endif
