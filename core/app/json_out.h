/* json_out.h - JSON for programs: always valid JSON in valid UTF-8, whatever bytes a job has.
 *
 * Stored strings may have any bytes, which Skein keeps unchanged. Here each byte that is not UTF-8, and each \u escape
 * of a lone surrogate, becomes U+FFFD. Times are ISO 8601 in UTC, states and kinds are names, absent values are
 * null. */
#ifndef SK_APP_JSON_OUT_H
#define SK_APP_JSON_OUT_H

#include <stdint.h>

#include "base/buf.h"
#include "base/str.h"
#include "logic/job.h"
#include "store/store.h"

/* Appends a key with its colon, after a comma unless it is the object's first. */
void sk_json_out_key(struct sk_buf *out, const char *key);
void sk_json_out_text(struct sk_buf *out, struct sk_str s);
void sk_json_out_int(struct sk_buf *out, int64_t v);
/* Appends a time; 0 becomes null. */
void sk_json_out_time(struct sk_buf *out, int64_t wall_ms);
/* Appends stored JSON text as it is; null when it is empty, a string when it is not JSON. */
void sk_json_out_raw(struct sk_buf *out, struct sk_str json);
/* Appends a job's meta without Skein's own members; {} when it has none. */
void sk_json_out_meta(struct sk_buf *out, struct sk_str meta);
/* Appends a job as one object: the store's view and the decoded record. */
void sk_json_out_job(struct sk_buf *out, const struct sk_view *view, const struct sk_job *job);

#endif
