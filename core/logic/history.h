/* history.h - what has happened to a job, and what it has logged: lines "wall-clock-ms text", oldest first, each ended
 * by a newline, in its record's `history` and `log`, bounded by limits.h: the oldest go first.
 *
 *   enqueued is not among them (the record has enqueued_ms)
 *   started engine=ID worker=N attempt=N     failed KIND MESSAGE     retry in N s     snoozed N s     crashed MESSAGE
 *   recovered N                              the store has counted N take-overs from engines that were gone
 *   done     dead     cancelled */
#ifndef SK_LOGIC_HISTORY_H
#define SK_LOGIC_HISTORY_H

#include <stdbool.h>
#include <stdint.h>

#include "base/buf.h"
#include "logic/job.h"
#include "logic/transition.h"

/* One end of an attempt. */
struct sk_history_end {
  struct sk_str engine; /* where it ran; empty: it never started */
  unsigned worker;
  int64_t started_ms; /* 0: it never started */
  int64_t now_ms;
  enum sk_ending ending;
  const struct sk_decision *decision;
};

/* Appends to out the job's history as it is after that end.  job: as sk_transition has left it.  Check out->failed
 * afterwards. */
void sk_history_extend(const struct sk_job *job, const struct sk_history_end *end, struct sk_buf *out);

/* Appends to out the last lines of old and then new, at most lines_max and bytes_max of them together. */
void sk_lines_tail(struct sk_str old, struct sk_str new, size_t lines_max, size_t bytes_max, struct sk_buf *out);

/* Appends a line for each line of text, cut at line_bytes_max; control characters become spaces. */
void sk_lines_add(struct sk_buf *lines, int64_t now_ms, struct sk_str text, size_t line_bytes_max);

/* Takes the next line off *lines: when, and what.  False when none is left. */
bool sk_lines_next(struct sk_str *lines, int64_t *ms, struct sk_str *text);

#endif
