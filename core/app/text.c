/* text.c - see text.h. */
#include "app/text.h"

#include <stdio.h>
#include <time.h>

void sk_text_time(int64_t wall_ms, bool utc, char out[SK_TIME_BYTES]) {
  int64_t s = wall_ms / 1000, ms = wall_ms % 1000;
  if (ms < 0) ms += 1000, s--;
  time_t t = (time_t)s;
  struct tm tm;
  const struct tm *split = utc ? gmtime_r(&t, &tm) : localtime_r(&t, &tm);
  size_t n = split ? strftime(out, SK_TIME_BYTES - 12, "%Y-%m-%dT%H:%M:%S", &tm) : 0;
  if (n == 0) {
    snprintf(out, SK_TIME_BYTES, "%lld", (long long)wall_ms); /* later than any calendar */
    return;
  }
  n += (size_t)snprintf(out + n, SK_TIME_BYTES - n, ".%03d", (int)ms);
  if (utc) {
    snprintf(out + n, SK_TIME_BYTES - n, "Z");
    return;
  }
  long minutes = tm.tm_gmtoff / 60;
  int away = (int)(minutes < 0 ? -minutes : minutes);
  snprintf(out + n, SK_TIME_BYTES - n, "%c%02d:%02d", minutes < 0 ? '-' : '+', away / 60 % 100, away % 60);
}

void sk_text_span(int64_t ms, char out[SK_TIME_BYTES]) {
  if (ms < 0) ms = 0;
  int64_t s = ms / 1000;
  if (ms < 1000)
    snprintf(out, SK_TIME_BYTES, "%dms", (int)ms);
  else if (s < 10)
    snprintf(out, SK_TIME_BYTES, "%d.%ds", (int)s, (int)(ms % 1000 / 100));
  else if (s < 120)
    snprintf(out, SK_TIME_BYTES, "%ds", (int)s);
  else if (s < 3600)
    snprintf(out, SK_TIME_BYTES, "%dm", (int)(s / 60));
  else if (s < 86400)
    snprintf(out, SK_TIME_BYTES, "%dh%02dm", (int)(s / 3600), (int)(s % 3600 / 60));
  else
    snprintf(out, SK_TIME_BYTES, "%lldd", (long long)(s / 86400));
}

void sk_text_when(int64_t wall_ms, int64_t now_ms, char out[SK_TIME_BYTES]) {
  char span[SK_TIME_BYTES];
  bool future = wall_ms > now_ms;
  int64_t ms = future ? wall_ms - now_ms : now_ms - wall_ms;
  if (future && ms >= 10000) ms += 999; /* rounded up: "in 10m" still stands a moment after the time was set */
  sk_text_span(ms, span);
  if (future)
    snprintf(out, SK_TIME_BYTES, "in %.20s", span);
  else
    snprintf(out, SK_TIME_BYTES, "%.20s ago", span);
}

size_t sk_text_width(struct sk_str s) {
  size_t width = 0;
  for (size_t i = 0; i < s.n; i++) width += ((unsigned char)s.p[i] & 0xc0) != 0x80;
  return width;
}

struct sk_str sk_text_first_line(struct sk_str s) {
  const char *end = s.n ? memchr(s.p, '\n', s.n) : NULL;
  return end ? sk_str(s.p, (size_t)(end - s.p)) : s;
}
