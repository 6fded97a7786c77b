/* backoff.h - how long to wait before the next attempt, as a pure function of a text, a count and a random number.
 *
 *   backoff := kind option*  |  "list" (";" number)+ option*
 *   kind    := "exponential" | "fibonacci" | "linear" | "constant"
 *   option  := ";base=" number  |  ";max=" number  |  ";jitter=" number        each at most once, in any order
 *   number  := digits ["." digits]           seconds (jitter: a fraction of the delay); up to 6 decimals; no sign, no
 *   exponent
 *
 * Delay in seconds before attempt n + 2, n = 0 at the first failure:
 *   exponential        20 + random(0..19) * (n + 1) + n^4;  with base: base * 2^n
 *   fibonacci          base * (1 2 3 5 8 ...), base 1
 *   linear             base * (n + 1), base 10
 *   constant           base, 10
 *   list               the n-th number; the last one repeats.  At most SK_BACKOFF_STEPS_MAX; a list has no base.
 * then at most max, then spread by +-jitter (0..1), and again at most max.  Without jitter nothing is spread.  Every
 * delay is within 0 .. SK_SECONDS_MAX.  The empty text is "exponential". */
#ifndef SK_LOGIC_BACKOFF_H
#define SK_LOGIC_BACKOFF_H

#include <stdint.h>

#include "base/err.h"
#include "base/str.h"

/* SK_OK; SK_EINVAL: not in the form above; SK_ELIMIT: a number or the list is past its limit. */
enum sk_code sk_backoff_check(struct sk_str text, struct sk_err *err);

/* Milliseconds.  A text that sk_backoff_check refuses (stored by a newer version) counts as "exponential". */
int64_t sk_backoff_delay_ms(struct sk_str text, int64_t n, uint64_t random);

#endif
