/* values.h - reads values that people type: numbers, durations, sizes, times.
 *
 * Each function returns SK_OK, or SK_EINVAL with an err that names the expected form ("expected a whole number from 1
 * to 256"). The caller puts the name and the value in front of it. */
#ifndef SK_APP_VALUES_H
#define SK_APP_VALUES_H

#include <stdint.h>

#include "base/err.h"
#include "base/str.h"

/* Reads a whole number from min to max. */
enum sk_code sk_value_int(struct sk_str text, int64_t min, int64_t max, int64_t *out, struct sk_err *err);
/* Reads seconds ("1.5") or a number with a unit: "250ms", "10s", "5m", "2h", "1d". SK_SECONDS_MAX at most. */
enum sk_code sk_value_duration(struct sk_str text, int64_t *out_ms, struct sk_err *err);
/* Reads bytes, or a number with a unit of 1024: "512KB", "256MB", "256M", "1.5GiB". */
enum sk_code sk_value_bytes(struct sk_str text, int64_t *out, struct sk_err *err);
/* Reads a point in time from 1970 to 2169: Unix seconds ("1795298400"), "2026-11-21T22:00:00Z",
 * "2026-11-21T22:00+02:00", or local time without a zone ("2026-11-21 22:00"). Seconds may have a fraction. */
enum sk_code sk_value_time(struct sk_str text, int64_t *out_ms, struct sk_err *err);

#endif
