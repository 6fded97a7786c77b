/* errors.c - see errors.h. */
#include "store/redis/errors.h"

#include <stdbool.h>

struct word {
  const char *text; /* an error that begins with it ... */
  enum rd_trouble trouble;
};
static const struct word WORDS[] = {
  { "LOADING", RD_TROUBLE_WEATHER },    { "BUSY", RD_TROUBLE_WEATHER },       { "OOM", RD_TROUBLE_WEATHER },
  { "MISCONF", RD_TROUBLE_WEATHER },    { "NOREPLICAS", RD_TROUBLE_WEATHER }, { "MASTERDOWN", RD_TROUBLE_WEATHER },
  { "UNKILLABLE", RD_TROUBLE_WEATHER }, { "READONLY", RD_TROUBLE_DEMOTED },   { "NOSCRIPT", RD_TROUBLE_NO_SCRIPT },
  { "MOVED", RD_TROUBLE_MOVED },        { "ASK", RD_TROUBLE_SLOT },           { "TRYAGAIN", RD_TROUBLE_SLOT },
  { "CLUSTERDOWN", RD_TROUBLE_SLOT },   { "NOPERM", RD_TROUBLE_NO_RIGHT },    { "NOAUTH", RD_TROUBLE_NO_RIGHT },
  { "WRONGPASS", RD_TROUBLE_NO_RIGHT }, { "EXECABORT", RD_TROUBLE_ABORTED },
};
enum { WORDS_N = sizeof WORDS / sizeof *WORDS };

static struct sk_str after(struct sk_str s, size_t n) { return sk_str(s.p + n, s.n - n); }

/* Cuts what stands before the first ": ", and it; false when there is none. */
static bool cut_place(struct sk_str *s) {
  for (size_t i = 0; i + 1 < s->n; i++) {
    if (s->p[i] != ':' || s->p[i + 1] != ' ') continue;
    *s = after(*s, i + 2);
    return true;
  }
  return false;
}

/* Does it begin with the number of a line and ": "? */
static bool begins_with_line(struct sk_str s) {
  size_t digits = 0;
  while (digits < s.n && s.p[digits] >= '0' && s.p[digits] <= '9') digits++;
  return digits > 0 && digits + 1 < s.n && s.p[digits] == ':' && s.p[digits + 1] == ' ';
}

/* What a script's error says, without where in the script it was. */
static struct sk_str unwrap(struct sk_str text) {
  static const char WRAPPING[] = "ERR Error running script (call to ";
  if (!sk_str_starts(text, WRAPPING)) return text;
  struct sk_str s = after(text, sizeof WRAPPING - 1);
  if (!cut_place(&s)) return text;
  while (sk_str_starts(s, "@") || sk_str_starts(s, "user_script:") || begins_with_line(s))
    if (!cut_place(&s)) return text;
  if (sk_str_starts(s, "-")) s = after(s, 1);
  while (s.n > 0 && (s.p[s.n - 1] == ' ' || s.p[s.n - 1] == '\n' || s.p[s.n - 1] == '\r')) s.n--;
  return s;
}

/* A word that stands alone: "ASK 866 127.0.0.1:1", not "ASKING". */
static bool begins_with(struct sk_str s, const char *word) {
  size_t n = strlen(word);
  return sk_str_starts(s, word) && (s.n == n || s.p[n] == ' ');
}

enum rd_trouble sk_rd_errors_classify(struct sk_str text, struct sk_str *said) {
  static const char IN_SCRIPT[] = "The user executing the script can't";
  struct sk_str s = unwrap(text);
  if (said) *said = s;
  for (size_t i = 0; i < WORDS_N; i++)
    if (begins_with(s, WORDS[i].text)) return WORDS[i].trouble;
  struct sk_str rest = sk_str_starts(s, "ERR ") ? after(s, 4) : s;
  return sk_str_starts(rest, IN_SCRIPT) ? RD_TROUBLE_NO_RIGHT : RD_TROUBLE_REFUSED;
}

enum sk_code sk_rd_errors_code(enum rd_trouble trouble) {
  return trouble == RD_TROUBLE_REFUSED || trouble == RD_TROUBLE_NO_SCRIPT ? SK_ECORRUPT : SK_EUNAVAILABLE;
}
