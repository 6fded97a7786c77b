/* history.h - the history and the log of a job, as the record keeps them: lines "wall-clock-ms text", the oldest first,
 * each with a newline at its end.  limits.h bounds their number and their bytes; the oldest lines go first.
 *
 * The lines of a history:
 *   started engine=ID worker=N attempt=N
 *   failed KIND MESSAGE
 *   crashed MESSAGE
 *   retry in N s
 *   snoozed N s
 *   recovered N                          the store has handed the job back N times from engines that were gone
 *   done | dead | cancelled
 * The enqueue has no line, because the record has enqueued_ms. */
#ifndef SK_LOGIC_HISTORY_H
#define SK_LOGIC_HISTORY_H

#include <stdbool.h>
#include <stdint.h>

#include "base/buf.h"
#include "logic/job.h"
#include "logic/transition.h"

/* How and where an attempt ended. */
struct sk_history_end {
  struct sk_str engine; /* where it ran; empty: it never started */
  unsigned worker;
  int64_t started_ms; /* 0: it never started */
  int64_t now_ms;
  enum sk_ending ending;
  const struct sk_decision *decision;
};

/* Appends to out the job's history with the lines of that end.  The job is as sk_transition left it.  Check out->failed
 * afterwards. */
void sk_history_extend(const struct sk_job *job, const struct sk_history_end *end, struct sk_buf *out);

/* Appends to out the last lines of `old` followed by `new`: together at most lines_max lines and bytes_max bytes. */
void sk_lines_tail(struct sk_str old, struct sk_str new, size_t lines_max, size_t bytes_max, struct sk_buf *out);

/* Appends a line for each line of text, cut to line_bytes_max bytes.  Control characters become spaces. */
void sk_lines_add(struct sk_buf *lines, int64_t now_ms, struct sk_str text, size_t line_bytes_max);

/* Takes the next line off *lines: its time and its text.  Returns false when none is left. */
bool sk_lines_next(struct sk_str *lines, int64_t *ms, struct sk_str *text);

#endif
