/* limit.h - a limit: how many jobs of a group run at once, and how many start in a span of time (ops.h, GROUPS).  This
 * file has its numbers, its text form, and the bucket of its rate as pure functions.
 *
 *   limit  := concurrency ";" rate ";" per_ms ";" burst ";" order ";" source          numbers: digits
 *   order  := "any" | "strict"
 *   source := "=" group    the group itself; a job's record has only this form
 *           | "task"       templates only, the client makes the group: one for the whole task,
 *           | "args"         one for each value of all args,
 *           | "arg:" n       one for each value of the n-th arg,
 *           | "fn"           one for each value that a function of the script returns; a client without
 *                            that script cannot enqueue the task
 *
 * concurrency 0 means no bound on the jobs that run.  rate 0 means no bound on the starts; per_ms and burst are then 0
 * too.  "strict" needs concurrency 1.
 *
 * THE BUCKET is the generic cell rate algorithm (ITU-T I.371, "virtual scheduling").  It is one number: the time at
 * which the bucket will be full again.  It lets `burst` jobs start at once, and then one every per_ms / rate.  With
 * burst 1, no window of per_ms sees more than `rate` starts.
 *
 * A bucket of depth 1 loses each token that is not taken at its moment.  An engine looks some milliseconds late, so at
 * 1,000/s it would lose most tokens.  Therefore, with burst 1, jobs that are up to SK_LIMIT_LATE_MS late catch up:
 *   depth = 1 + rate * SK_LIMIT_LATE_MS / per_ms, rounded down, at most 1 + rate / SK_LIMIT_LATE_PART
 * jobs start at once, and then one every per_ms / (rate + 1 - depth), so that the window holds. */
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
  int64_t concurrency; /* jobs that run at once; 0: no bound */
  int64_t rate;        /* jobs that start in per_ms; 0: no bound */
  int64_t per_ms;      /* the span of time of `rate`, ms */
  int64_t burst;       /* jobs that start at once; >= 1 with a rate */
  bool strict;         /* a job that waits for its retry keeps its slot */
};

/* Reads a job's limit; the empty text means no limit.  out->group points into text.  SK_OK, SK_EINVAL, SK_ELIMIT. */
enum sk_code sk_limit_parse(struct sk_str text, struct sk_limit *out, struct sk_err *err);

/* -- earlier limits of a task -----------------------------------------------------------------------------------------
 * When a task declares other numbers, waiting jobs that came with its earlier numbers, and their groups, get the new
 * ones.  A store keeps the earlier numbers of each task to know such jobs:
 *
 *   past    := numbers { "|" numbers }      the numbers now, then at most SK_LIMIT_PAST_MAX earlier, the newest first
 *   numbers := concurrency ";" rate ";" per_ms ";" burst ";" order      no limit: 0;0;0;0;any
 *
 * A job with any other numbers has them from its signature, and keeps them. */

/* Returns the numbers of a template's limit; those of "no limit" for the empty text. */
struct sk_str sk_limit_numbers(struct sk_str template_limit);
/* Appends the past of a task that declared the numbers `before` and now declares `now`.  Appends nothing when no job
 * can have other numbers than `now`.  Check out->failed afterwards. */
void sk_limit_past_add(struct sk_str past, struct sk_str before, struct sk_str now, struct sk_buf *out);
/* Gives a limit that has earlier numbers of its task the numbers of now.  Returns whether it did. */
bool sk_limit_renew(struct sk_str past, struct sk_limit *limit);
/* Whether the group belongs to the task: it is the task's name, or that name, "/" and a key. */
bool sk_limit_is_of_task(struct sk_str group, struct sk_str task);

/* Whether both have the same numbers and order; groups are not compared. */
bool sk_limit_same(const struct sk_limit *a, const struct sk_limit *b);

/* -- the bucket; full_us: when it is full again; any time up to now_us means that it is full ----------------------- */

/* Returns the microseconds until a token is there; 0: there is one now. */
int64_t sk_limit_wait_us(const struct sk_limit *limit, int64_t full_us, int64_t now_us);
/* Returns full_us, unless it is later than that of an empty bucket by more than SK_LIMIT_CLOCK_SLACK_US: then the clock
 * was set back, and the result is that of an empty bucket.  The caller stores it, so that waits do not grow. */
int64_t sk_limit_clamp(const struct sk_limit *limit, int64_t full_us, int64_t now_us);
/* Returns full_us after a token was taken at now_us.  Without a rate full_us stays. */
int64_t sk_limit_take(const struct sk_limit *limit, int64_t full_us, int64_t now_us);

#endif
