/* values.c - see values.h. */
#include "app/values.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "base/limits.h"

enum { NUMBER_BYTES_MAX = 40 };
#define TIME_MS_MAX (2 * 1000 * SK_SECONDS_MAX) /* in 2169; no time of a job is later (logic/job_check.h) */

/* A cursor over the text; each take_* function moves it past the characters that it reads. */
struct cursor {
  const char *p;
  const char *end;
};

static bool is_digit(char c) { return c >= '0' && c <= '9'; }

static bool take(struct cursor *c, char wanted) {
  if (c->p == c->end || *c->p != wanted) return false;
  c->p++;
  return true;
}

/* Reads exactly n digits. */
static bool take_digits(struct cursor *c, int n, int *out) {
  if (c->end - c->p < n) return false;
  *out = 0;
  for (int i = 0; i < n; i++, c->p++) {
    if (!is_digit(*c->p)) return false;
    *out = *out * 10 + (*c->p - '0');
  }
  return true;
}

/* Reads digits, at least one, with at most one point among them. */
static bool take_decimal(struct cursor *c, double *out) {
  char text[NUMBER_BYTES_MAX + 1];
  size_t n = 0, digits = 0, points = 0;
  for (; c->p < c->end && (is_digit(*c->p) || *c->p == '.'); c->p++) {
    if (n == NUMBER_BYTES_MAX) return false;
    if (*c->p == '.')
      points++;
    else
      digits++;
    text[n++] = *c->p;
  }
  if (digits == 0 || points > 1) return false;
  text[n] = '\0';
  *out = strtod(text, NULL);
  return true;
}

enum sk_code sk_value_int(struct sk_str text, int64_t min, int64_t max, int64_t *out, struct sk_err *err) {
  bool negative = text.n > 0 && text.p[0] == '-';
  int64_t v = 0;
  bool ok = text.n > (negative ? 1 : 0) && text.n <= 18; /* 18 characters fit in 64 bits */
  for (size_t i = negative ? 1 : 0; ok && i < text.n; i++) {
    ok = is_digit(text.p[i]);
    v = v * 10 + (text.p[i] - '0');
  }
  if (negative) v = -v;
  if (!ok || v < min || v > max)
    return sk_err_set(err, SK_EINVAL, "expected a whole number from %lld to %lld", (long long)min, (long long)max);
  *out = v;
  return SK_OK;
}

struct unit {
  const char *name;
  double factor;
};

/* The number and unit that text consists of, multiplied. */
static bool number_with_unit(struct sk_str text, const struct unit *units, size_t n, double *out) {
  struct cursor c = { text.p, text.p + text.n };
  double v;
  if (!take_decimal(&c, &v)) return false;
  char name[4] = { 0 };
  size_t name_n = (size_t)(c.end - c.p);
  if (name_n >= sizeof name) return false;
  for (size_t i = 0; i < name_n; i++) name[i] = (char)(c.p[i] >= 'A' && c.p[i] <= 'Z' ? c.p[i] + ('a' - 'A') : c.p[i]);
  for (size_t i = 0; i < n; i++) {
    if (strcmp(name, units[i].name) != 0) continue;
    *out = v * units[i].factor;
    return true;
  }
  return false;
}

enum sk_code sk_value_duration(struct sk_str text, int64_t *out_ms, struct sk_err *err) {
  static const struct unit UNITS[] = { { "", 1e3 },   { "ms", 1 },     { "s", 1e3 },
                                       { "m", 60e3 }, { "h", 3600e3 }, { "d", 86400e3 } };
  double ms;
  if (!number_with_unit(text, UNITS, sizeof UNITS / sizeof *UNITS, &ms) || ms > 1e3 * (double)SK_SECONDS_MAX)
    return sk_err_set(err, SK_EINVAL,
                      "expected seconds or a duration such as 250ms, 1.5, 10s, 5m, 2h, 1d, up to 100 years");
  *out_ms = (int64_t)llround(ms);
  return SK_OK;
}

enum sk_code sk_value_bytes(struct sk_str text, int64_t *out, struct sk_err *err) {
  static const double K = 1024;
  const struct unit units[] = {
    { "", 1 },       { "b", 1 },       { "k", K },         { "kb", K },         { "kib", K },         { "m", K * K },
    { "mb", K * K }, { "mib", K * K }, { "g", K * K * K }, { "gb", K * K * K }, { "gib", K * K * K },
  };
  double bytes;
  if (!number_with_unit(text, units, sizeof units / sizeof *units, &bytes) || bytes > 1e15)
    return sk_err_set(err, SK_EINVAL, "expected bytes or a size such as 512KB, 256MB, 1.5GB");
  *out = (int64_t)llround(bytes);
  return SK_OK;
}

/* Reads "Z", "+02:00", "+0200" or "+02"; gives the offset from UTC in seconds. */
static bool take_zone(struct cursor *c, long *out_s) {
  *out_s = 0;
  if (take(c, 'Z') || take(c, 'z')) return true;
  bool west = c->p < c->end && *c->p == '-';
  if (!take(c, '+') && !take(c, '-')) return false;
  int hours, minutes = 0;
  if (!take_digits(c, 2, &hours) || hours > 23) return false;
  take(c, ':');
  if (c->p < c->end && (!take_digits(c, 2, &minutes) || minutes > 59)) return false;
  *out_s = (hours * 60L + minutes) * 60L * (west ? -1 : 1);
  return true;
}

/* Reads "22:00" or "22:00:30.5"; an empty text is midnight. */
static bool take_clock(struct cursor *c, struct tm *tm, double *fraction_s) {
  *fraction_s = 0;
  if (c->p == c->end) return true;
  if (!take(c, 'T') && !take(c, 't') && !take(c, ' ')) return false;
  if (!take_digits(c, 2, &tm->tm_hour) || !take(c, ':') || !take_digits(c, 2, &tm->tm_min)) return false;
  if (take(c, ':')) {
    if (!take_digits(c, 2, &tm->tm_sec)) return false;
    if (c->p < c->end && *c->p == '.' && !take_decimal(c, fraction_s)) return false;
  }
  return tm->tm_hour < 24 && tm->tm_min < 60 && tm->tm_sec < 60;
}

static bool calendar_time(struct sk_str text, int64_t *out_ms) {
  struct cursor c = { text.p, text.p + text.n };
  struct tm tm = { .tm_isdst = -1 };
  int year, month;
  if (!take_digits(&c, 4, &year) || !take(&c, '-') || !take_digits(&c, 2, &month) || !take(&c, '-')) return false;
  double fraction_s;
  if (!take_digits(&c, 2, &tm.tm_mday) || !take_clock(&c, &tm, &fraction_s)) return false;
  tm.tm_year = year - 1900;
  tm.tm_mon = month - 1;
  struct tm probe = tm; /* timegm turns June 31 into July 1: a changed date did not exist */
  time_t utc = timegm(&probe);
  if (probe.tm_mday != tm.tm_mday || probe.tm_mon != tm.tm_mon) return false;
  if (c.p == c.end) {
    utc = mktime(&tm);
  } else {
    long offset_s;
    if (!take_zone(&c, &offset_s) || c.p != c.end) return false;
    utc -= offset_s;
  }
  *out_ms = (int64_t)utc * 1000 + (int64_t)llround(fraction_s * 1000);
  return *out_ms > 0;
}

static bool unix_time(struct sk_str text, int64_t *out_ms) {
  struct cursor c = { text.p, text.p + text.n };
  double s;
  if (!take_decimal(&c, &s) || c.p != c.end || s * 1000 > (double)TIME_MS_MAX) return false;
  *out_ms = (int64_t)llround(s * 1000);
  return true;
}

enum sk_code sk_value_time(struct sk_str text, int64_t *out_ms, struct sk_err *err) {
  if (unix_time(text, out_ms) || (calendar_time(text, out_ms) && *out_ms <= TIME_MS_MAX)) return SK_OK;
  return sk_err_set(
      err, SK_EINVAL,
      "expected Unix seconds, 2026-11-21T22:00:00Z, 2026-11-21T22:00:00+02:00, or \"2026-11-21 22:00\" for local "
      "time, before 2169");
}
