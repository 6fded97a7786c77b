/* text.c - see text.h. */
#include "app/text.h"

#include <stdio.h>
#include <time.h>

void sk_text_time(int64_t wall_ms, char out[SK_TIME_BYTES]) {
  int64_t s = wall_ms / 1000, ms = wall_ms % 1000;
  if (ms < 0) ms += 1000, s--;
  time_t t = (time_t)s;
  struct tm tm;
  size_t n = gmtime_r(&t, &tm) ? strftime(out, SK_TIME_BYTES - 8, "%Y-%m-%dT%H:%M:%S", &tm) : 0;
  if (n == 0)
    snprintf(out, SK_TIME_BYTES, "%lld", (long long)wall_ms); /* beyond any calendar */
  else
    snprintf(out + n, SK_TIME_BYTES - n, ".%03dZ", (int)ms);
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
  if (future && ms >= 10000) ms += 999; /* "in 10m" a moment after one said so */
  sk_text_span(ms, span);
  if (future)
    snprintf(out, SK_TIME_BYTES, "in %.20s", span);
  else
    snprintf(out, SK_TIME_BYTES, "%.20s ago", span);
}

size_t sk_text_utf8(struct sk_str s) {
  const unsigned char *p = (const unsigned char *)s.p;
  if (p[0] < 0x80) return 1;
  size_t n = p[0] >= 0xf0 ? 4 : p[0] >= 0xe0 ? 3 : 2;
  if (p[0] < 0xc2 || p[0] > 0xf4 || s.n < n) return 0;
  for (size_t i = 1; i < n; i++)
    if ((p[i] & 0xc0) != 0x80) return 0;
  bool overlong = (p[0] == 0xe0 && p[1] < 0xa0) || (p[0] == 0xf0 && p[1] < 0x90);
  bool surrogate = p[0] == 0xed && p[1] >= 0xa0;
  bool beyond = p[0] == 0xf4 && p[1] >= 0x90;
  return overlong || surrogate || beyond ? 0 : n;
}

/* C0, DEL, and C1 (two bytes in UTF-8), which terminals obey as well. */
static bool is_control(struct sk_str s, size_t n) {
  unsigned char c = (unsigned char)s.p[0];
  return c < 0x20 || c == 0x7f || (n == 2 && c == 0xc2 && (unsigned char)s.p[1] < 0xa0);
}

void sk_text_clean(struct sk_str s, bool lines, struct sk_buf *out) {
  while (s.n > 0) {
    size_t n = sk_text_utf8(s);
    if (n == 0)
      sk_buf_add_c(out, "\xef\xbf\xbd");
    else if (lines && (s.p[0] == '\n' || s.p[0] == '\t'))
      sk_buf_add_byte(out, s.p[0]);
    else if (is_control(s, n))
      sk_buf_add_byte(out, ' ');
    else
      sk_buf_add(out, s.p, n);
    if (n == 0) n = 1;
    s = sk_str(s.p + n, s.n - n);
  }
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
