/* history.c - see history.h. */
#include "logic/history.h"

#include <inttypes.h>

#include "base/limits.h"
#include "logic/fields.h"

enum { MESSAGE_BYTES_MAX = 200 };

static const char RECOVERED[] = "recovered ";

/* -- lines --------------------------------------------------------------------------------------------------------- */

static void add_clean(struct sk_buf *out, struct sk_str text) {
  size_t at = out->n;
  sk_buf_add_str(out, text);
  for (size_t i = at; i < out->n; i++)
    if ((unsigned char)out->p[i] < ' ' || out->p[i] == 0x7f) out->p[i] = ' ';
}

void sk_lines_add(struct sk_buf *lines, int64_t now_ms, struct sk_str text, size_t line_bytes_max) {
  do {
    struct sk_str line = sk_fields_next(&text, '\n');
    sk_buf_addf(lines, "%" PRId64 " ", now_ms);
    add_clean(lines, sk_str_head(line, line_bytes_max));
    sk_buf_add_byte(lines, '\n');
  } while (text.n > 0);
}

bool sk_lines_next(struct sk_str *lines, int64_t *ms, struct sk_str *text) {
  if (lines->n == 0) return false;
  *text = sk_fields_next(lines, '\n');
  struct sk_str rest = *text, number = sk_fields_next(&rest, ' ');
  if (sk_fields_number(number, ms)) *text = rest; /* else it is none of ours: shown as it is, at 0 */
  return true;
}

/* Where the last line before `end` begins. */
static size_t line_before(struct sk_str s, size_t end) {
  if (end > 0) end--; /* its newline */
  while (end > 0 && s.p[end - 1] != '\n') end--;
  return end;
}

/* How much of the end of s is whole lines within what is left. */
static struct sk_str tail(struct sk_str s, size_t *lines_left, size_t *bytes_left) {
  size_t from = s.n;
  while (from > 0 && *lines_left > 0) {
    size_t at = line_before(s, from);
    if (from - at > *bytes_left) {
      *lines_left = 0;
      break;
    }
    *bytes_left -= from - at;
    *lines_left -= 1;
    from = at;
  }
  return from == s.n ? sk_str(NULL, 0) : sk_str(s.p + from, s.n - from);
}

void sk_lines_tail(struct sk_str old, struct sk_str new, size_t lines_max, size_t bytes_max, struct sk_buf *out) {
  struct sk_str after = tail(new, &lines_max, &bytes_max);
  struct sk_str before = tail(old, &lines_max, &bytes_max);
  sk_buf_add_str(out, before);
  sk_buf_add_str(out, after);
}

/* -- events -------------------------------------------------------------------------------------------------------- */

/* How many take-overs the history tells of. */
static int64_t recoveries_told(struct sk_str history) {
  int64_t told = 0, ms, n;
  struct sk_str text;
  while (sk_lines_next(&history, &ms, &text)) {
    if (!sk_str_starts(text, RECOVERED)) continue;
    struct sk_str number = sk_str(text.p + sizeof RECOVERED - 1, text.n - (sizeof RECOVERED - 1));
    if (sk_fields_number(number, &n) && n > told) told = n;
  }
  return told;
}

static void add_message(struct sk_buf *out, struct sk_str message) {
  if (message.n == 0) return;
  struct sk_str rest = message;
  sk_buf_add_byte(out, ' ');
  add_clean(out, sk_str_head(sk_fields_next(&rest, '\n'), MESSAGE_BYTES_MAX));
}

/* How the attempt ended, where the decision alone does not tell. */
static void add_failure(const struct sk_job *job, const struct sk_history_end *end, struct sk_buf *out) {
  switch (end->ending) {
  case SK_END_FAILED:
  case SK_END_FATAL:
  case SK_END_UNKNOWN_TASK:
    sk_buf_addf(out, "%" PRId64 " failed %s", end->now_ms, sk_error_kind_name(job->error_kind));
    break;
  case SK_END_EXPIRED:
    sk_buf_addf(out, "%" PRId64 " failed %s", end->now_ms, sk_error_kind_name(SK_KIND_EXPIRED));
    if (job->error_kind == SK_KIND_EXPIRED) break;
    sk_buf_add_byte(out, '\n'); /* the error is that of an attempt before */
    return;
  case SK_END_CRASHED: sk_buf_addf(out, "%" PRId64 " crashed", end->now_ms); break;
  case SK_END_RETURNED:
  case SK_END_DISCARDED:
  case SK_END_SNOOZED:
  case SK_END_CANCELLED:
  case SK_END_HANDED_BACK: return;
  }
  add_message(out, job->error);
  sk_buf_add_byte(out, '\n');
}

static void add_decision(const struct sk_history_end *end, struct sk_buf *out) {
  double seconds = (double)end->decision->delay_ms / 1000.0;
  switch (end->decision->kind) {
  case SK_SETTLE_DONE: sk_buf_addf(out, "%" PRId64 " done\n", end->now_ms); break;
  case SK_SETTLE_RETRY: sk_buf_addf(out, "%" PRId64 " retry in %.10g s\n", end->now_ms, seconds); break;
  case SK_SETTLE_SNOOZE: sk_buf_addf(out, "%" PRId64 " snoozed %.10g s\n", end->now_ms, seconds); break;
  case SK_SETTLE_DEAD: sk_buf_addf(out, "%" PRId64 " dead\n", end->now_ms); break;
  case SK_SETTLE_CANCELLED: sk_buf_addf(out, "%" PRId64 " cancelled\n", end->now_ms); break;
  case SK_SETTLE_DROP:
  case SK_SETTLE_RELEASE: break;
  }
}

void sk_history_extend(const struct sk_job *job, const struct sk_history_end *end, struct sk_buf *out) {
  struct sk_buf events = { 0 };
  int64_t from_ms = end->started_ms > 0 ? end->started_ms : end->now_ms;
  if (job->recoveries > recoveries_told(job->history))
    sk_buf_addf(&events, "%" PRId64 " %s%" PRId64 "\n", from_ms, RECOVERED, job->recoveries);
  if (end->started_ms > 0) {
    bool counted = end->ending == SK_END_RETURNED || end->ending == SK_END_FAILED || end->ending == SK_END_FATAL;
    sk_buf_addf(&events, "%" PRId64 " started engine=%.*s worker=%u attempt=%" PRId64 "\n", end->started_ms,
                SK_STR_ARG(end->engine), end->worker, job->attempts + !counted);
  }
  add_failure(job, end, &events);
  add_decision(end, &events);
  if (events.failed)
    out->failed = true;
  else
    sk_lines_tail(job->history, sk_buf_str(&events), SK_HISTORY_EVENTS_MAX, SK_HISTORY_BYTES_MAX, out);
  sk_buf_fini(&events);
}
