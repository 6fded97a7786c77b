/* record.h - the stored form of a job.
 *
 *   record := 'S' version fields          version := 0x01
 *   field  := tag length value            tag, length: unsigned LEB128
 *
 * Fields stand in ascending order of their tags, each at most once; a field that is absent is unset.  Text values are
 * raw bytes.  Numbers are little-endian, in as many bytes as needed (0 to 8); a signed number (priority) is stored
 * zigzag.  Tags are never reused.  A reader carries fields with unknown tags along unread, behind the ones that it
 * knows.  A version that it does not know is SK_EVERSION.
 *
 *    1 id           2 task         3 queue        4 args        5 meta         6 priority    7 enqueued_ms
 *    8 retries      9 timeout_ms  10 keep_ms     11 expires_ms 12 keep_dead   13 backoff    14 retry_queue
 *   15 on_success  16 on_error    17 immutable   18 attempts   19 crashes     20 unknowns   21 recoveries
 *   22 error_kind  23 error       24 traceback   25 started_ms 26 finished_ms 27 result     28 unique
 *   29 limit       30 history     31 log
 */
#ifndef SK_LOGIC_RECORD_H
#define SK_LOGIC_RECORD_H

#include "base/buf.h"
#include "logic/job.h"

/* Appends the record of the job to out.  Check out->failed afterwards. */
void sk_record_encode(const struct sk_job *job, struct sk_buf *out);

/* Reads a record; the job's slices then point into `bytes`.  SK_OK, SK_ECORRUPT or SK_EVERSION.  Checks the framing
 * only: sk_job_check (job_check.h) judges names and numbers. */
enum sk_code sk_record_decode(struct sk_str bytes, struct sk_job *job, struct sk_err *err);

/* Returns the record of a job that a store takes in at now_ms by its own clock, so that the client's clock does not
 * count: enqueued_ms becomes now_ms, and expires_ms is moved by as much, so that the span between them stays.  Returns
 * the same slice when nothing changes or when the record cannot be read.  Otherwise the result is in buf, which is
 * emptied first.  p is NULL when memory is out. */
struct sk_str sk_record_stamp(struct sk_str record, int64_t now_ms, struct sk_buf *buf);

#endif
