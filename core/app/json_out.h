/* json_out.h - JSON for programs: always valid JSON in valid UTF-8, whatever bytes a job carries.
 *
 * Stored strings may hold any bytes (they pass through Skein unchanged); here each byte that is not UTF-8, and each \u escape of
 * a lone surrogate, becomes U+FFFD.  Times are ISO 8601 in UTC, states and kinds their names, absent values null. */
#ifndef SK_APP_JSON_OUT_H
#define SK_APP_JSON_OUT_H

#include <stdint.h>

#include "base/buf.h"
#include "base/str.h"
#include "logic/job.h"
#include "store/store.h"

/* A key with its colon, after a comma unless it is the object's first. */
void sk_json_out_key(struct sk_buf *out, const char *key);
void sk_json_out_text(struct sk_buf *out, struct sk_str s);
void sk_json_out_int(struct sk_buf *out, int64_t v);
/* 0 is null. */
void sk_json_out_time(struct sk_buf *out, int64_t wall_ms);
/* Stored JSON text, spliced in; null when empty; a string when it is no JSON after all. */
void sk_json_out_raw(struct sk_buf *out, struct sk_str json);
/* A job's meta without what is Skein's own in it; {} when it has none. */
void sk_json_out_meta(struct sk_buf *out, struct sk_str meta);
/* A job as one object: what the store says of it and its decoded record. */
void sk_json_out_job(struct sk_buf *out, const struct sk_view *view, const struct sk_job *job);

#endif
