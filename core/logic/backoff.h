/* backoff.h - how long to wait before the next attempt, as a pure function of a text, a count and a random number.
 *
 *   backoff := kind option*  |  "list" (";" number)+ option*
 *   kind    := "exponential" | "fibonacci" | "linear" | "constant"
 *   option  := ";base=" number  |  ";max=" number  |  ";jitter=" number        each at most once, in any order
 *   number  := digits ["." digits]        up to 6 decimals, no sign, no exponent; seconds, jitter a fraction
 *
 * Delay in seconds before attempt n + 2, where n is 0 at the first failure:
 *   exponential        20 + random(0..19) * (n + 1) + n^4;  with base: base * 2^n
 *   fibonacci          base * (1 2 3 5 8 ...), base 1
 *   linear             base * (n + 1), base 10
 *   constant           base, 10
 *   list               the n-th number, and the last one from then on; at most SK_BACKOFF_STEPS_MAX numbers, no base
 *
 * The delay is cut to `max`, then spread by up to +-jitter (0..1) of itself, then cut to `max` again.  Without jitter
 * it is not spread.  Every delay is within 0 .. SK_SECONDS_MAX.  The empty text means "exponential". */
#ifndef SK_LOGIC_BACKOFF_H
#define SK_LOGIC_BACKOFF_H

#include <stdint.h>

#include "base/err.h"
#include "base/str.h"

/* Checks a text.  SK_OK; SK_EINVAL: it does not have the form above; SK_ELIMIT: a number or the list is past its
 * limit. */
enum sk_code sk_backoff_check(struct sk_str text, struct sk_err *err);

/* Returns the delay in milliseconds.  A text that sk_backoff_check refuses (a newer version may have stored it) counts
 * as "exponential". */
int64_t sk_backoff_delay_ms(struct sk_str text, int64_t n, uint64_t random);

#endif
