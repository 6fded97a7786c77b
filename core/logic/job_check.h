/* job_check.h - whether a whole job is acceptable.
 *
 * A client checks a job before it sends it (sk_job_check: args and meta too).  The core trusts no client and no stored
 * record, so it checks each job once when it is enqueued and once when it is fetched, in the same words, but for
 * what needs args to be parsed (sk_job_check_shape). */
#ifndef SK_LOGIC_JOB_CHECK_H
#define SK_LOGIC_JOB_CHECK_H

#include <stddef.h>

#include "base/err.h"
#include "logic/job.h"

/* Checks that the job is whole and that every part of it is within limits.h:
 *   id, task, queue         names (name.h); retry_queue too, if set
 *   args                    a JSON array of at most args_bytes_max bytes and SK_ARGS_COUNT_MAX elements
 *   meta                    a JSON object, or empty
 *   result                  JSON, or empty
 *   on_success, on_error    not too long; sk_callbacks_check (callback.h) reads them
 *   backoff, unique, limit  valid (backoff.h, lock.h, limit.h)
 *   numbers                 priority, options and counts in range; durations at most SK_SECONDS_MAX, moments within
 *                           twice that after 1970
 * A value in args or meta nests at most SK_JSON_DEPTH_MAX deep, not counting the array of the args.
 * SK_OK; SK_EINVAL: not a value of its kind; SK_ELIMIT: past a limit.  Takes time linear in the job's bytes, allocates
 * nothing. */
enum sk_code sk_job_check(const struct sk_job *job, size_t args_bytes_max, struct sk_err *err);

/* Does the same without looking into args, meta, callbacks and result: of these it checks the sizes only.  Takes
 * constant time in their bytes. */
enum sk_code sk_job_check_shape(const struct sk_job *job, size_t args_bytes_max, struct sk_err *err);

#endif
