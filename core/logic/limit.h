/* limit.h - how many jobs of a group may run at once, and how many may start in a time (store.h, GROUPS): its numbers,
 * its text form, and the bucket as a pure function.
 *
 *   limit  := concurrency ";" rate ";" per_ms ";" burst ";" order ";" source          numbers: digits
 *   order  := "any" | "strict"
 *   source := "=" group  the group itself: the only form in a job's record
 *           | "task"     in a task's template, where the client makes the group: one for the whole task,
 *           | "args"     ... one for each value of all args,
 *           | "arg:" n   ... one for each value of the n-th arg,
 *           | "fn"       ... one for each value that a function of the script returns, which a client without that
 *           script can't know
 *
 * concurrency 0: as many as there are; rate 0: as fast as they can, per_ms and burst are 0 then too.  "strict" needs
 * concurrency 1.
 *
 * The bucket is the generic cell rate algorithm (ITU-T I.371, "virtual scheduling"): one number, the time at which it
 * will be full again.  It lets `burst` jobs start at once and then one every per_ms / rate; with burst 1 no window of
 * per_ms ever sees more than `rate` starts.
 *
 * A bucket of 1 loses what is not taken at its moment, and an engine looks some milliseconds late: at 1,000/s it would
 * lose most.  So with burst 1 those that come up to SK_LIMIT_LATE_MS late catch up: depth = 1 + rate * SK_LIMIT_LATE_MS
 * / per_ms (rounded down; at most one more than rate / SK_LIMIT_LATE_PART) start at once, and then one every per_ms /
 * (rate + 1 - depth), which keeps the window. */
#ifndef SK_LOGIC_LIMIT_H
#define SK_LOGIC_LIMIT_H

#include <stdbool.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/err.h"
#include "base/str.h"

enum { SK_LIMIT_LATE_MS = 20, SK_LIMIT_LATE_PART = 25, SK_LIMIT_CLOCK_SLACK_US = 1000000 };

struct sk_limit {
  struct sk_str group; /* 1 to SK_KEY_BYTES_MAX bytes, any; empty: no limit */
  int64_t concurrency; /* 0: none */
  int64_t rate;        /* jobs ... 0: none */
  int64_t per_ms;      /* ... in this time */
  int64_t burst;       /* that many at once, >= 1 when there is a rate */
  bool strict;         /* a job that waits for its retry keeps the slot */
};

/* Reads a job's limit; the empty text is none.  group points into text.  SK_OK, SK_EINVAL, SK_ELIMIT. */
enum sk_code sk_limit_parse(struct sk_str text, struct sk_limit *out, struct sk_err *err);

/* -- what a task declared before: jobs that came with it, and their groups, have what the task declares now -----------
 *
 *   past    := numbers { "|" numbers }      what it declares now, then what it declared before, the newest first
 *   numbers := concurrency ";" rate ";" per_ms ";" burst ";" order      no limit: 0;0;0;0;any
 *
 * A job with other numbers has them from its signature, and keeps them. */

/* The numbers of a template's limit; of the empty text: no limit. */
struct sk_str sk_limit_numbers(struct sk_str template_limit);
/* Appends the past of a task that declared `before` and declares `now`: nothing when no job can have other numbers than
 * that. */
void sk_limit_past_add(struct sk_str past, struct sk_str before, struct sk_str now, struct sk_buf *out);
/* Gives a limit with numbers from before those of now, and says whether it did. */
bool sk_limit_renew(struct sk_str past, struct sk_limit *limit);
/* Is that group one of the task's: its name, or that and "/" and a key? */
bool sk_limit_is_of_task(struct sk_str group, struct sk_str task);

/* Have they the same numbers? */
bool sk_limit_same(const struct sk_limit *a, const struct sk_limit *b);

/* Microseconds until a token is there, 0: now.  full_us: when the bucket is full again (anything up to now: it is
 * full). */
int64_t sk_limit_wait_us(const struct sk_limit *limit, int64_t full_us, int64_t now_us);
/* full_us; that of an empty bucket where it is more than a second later than that: then the clock was set back, and the
 * result is to be stored, so that time goes on. */
int64_t sk_limit_clamp(const struct sk_limit *limit, int64_t full_us, int64_t now_us);
/* full_us after a token was taken at now_us.  The first token of a limit without a rate costs nothing: full_us comes
 * back. */
int64_t sk_limit_take(const struct sk_limit *limit, int64_t full_us, int64_t now_us);

#endif
