/* url.c - see url.h.  Pieces are cut first and decoded after, so that an escaped "/" or "@" never separates. */
#include "logic/url.h"

#include <strings.h>

enum form { FILE_PATH, SOCKET_PATH, HOSTS };
struct scheme {
  const char *name;
  enum form form;
  uint16_t port;
  bool many_hosts;
  bool hostless; /* no host is no "localhost" */
};
static const struct scheme SCHEMES[] = {
  { "memory", FILE_PATH, 0, false, true },
  { "sqlite", FILE_PATH, 0, false, true },
  { "redis", HOSTS, 6379, false, false },
  { "rediss", HOSTS, 6379, false, false },
  { "redis+unix", SOCKET_PATH, 0, false, true },
  { "redis+sentinel", HOSTS, 26379, true, false },
  { "rediss+sentinel", HOSTS, 26379, true, false },
  { "rediss+cluster", HOSTS, 6379, true, false },
  { "redis+cluster", HOSTS, 6379, true, false },
  { "amqp", HOSTS, 5672, true, false },
  { "amqps", HOSTS, 5671, true, false },
  { "sqs", HOSTS, 443, false, true },
};
enum { SCHEMES_N = sizeof SCHEMES / sizeof *SCHEMES };

struct parser {
  struct sk_arena *arena;
  struct sk_url *url;
  const struct scheme *scheme;
  struct sk_err *err;
};

static enum sk_code no_memory(struct parser *p) { return sk_err_set(p->err, SK_ENOMEM, "store URL: out of memory"); }

static const char *find_byte(struct sk_str s, char c) { return s.n ? memchr(s.p, c, s.n) : NULL; }

static const char *find_last(struct sk_str s, char c) { return s.n ? memrchr(s.p, c, s.n) : NULL; }

/* Cuts s at the first c: what stands before it is returned, *rest is what stands behind it (p == NULL when there is no
 * c). */
static struct sk_str cut(struct sk_str s, char c, struct sk_str *rest) {
  const char *at = find_byte(s, c);
  *rest = at ? sk_str(at + 1, (size_t)(s.p + s.n - at - 1)) : sk_str(NULL, 0);
  return at ? sk_str(s.p, (size_t)(at - s.p)) : s;
}

static size_t count(struct sk_str s, char c) {
  size_t n = 0;
  for (size_t i = 0; i < s.n; i++) n += s.p[i] == c;
  return n;
}

static int hex_digit(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  if (c >= 'A' && c <= 'F') return c - 'A' + 10;
  return -1;
}

/* Percent-decodes s into the arena.  The message names the part, never its text. */
static enum sk_code decode(struct parser *p, const char *what, struct sk_str s, struct sk_str *out) {
  char *to = sk_arena_alloc(p->arena, s.n + 1);
  if (to == NULL) return no_memory(p);
  size_t n = 0;
  for (size_t i = 0; i < s.n; i++) {
    char c = s.p[i];
    if (c == '%') {
      int high = i + 2 < s.n ? hex_digit(s.p[i + 1]) : -1, low = i + 2 < s.n ? hex_digit(s.p[i + 2]) : -1;
      if (high < 0 || low < 0)
        return sk_err_set(p->err, SK_EINVAL,
                          "store URL: a \"%%\" in the %s is not followed by two hex digits; a plain one is %%25", what);
      c = (char)(high * 16 + low);
      i += 2;
    }
    if (c == '\0') return sk_err_set(p->err, SK_EINVAL, "store URL: the %s has a NUL byte", what);
    to[n++] = c;
  }
  *out = sk_str(to, n);
  return SK_OK;
}

static bool is_host_byte(char c, bool bracketed) {
  if (bracketed) return hex_digit(c) >= 0 || c == ':' || c == '.';
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '.' || c == '-' || c == '_';
}

static bool find_scheme(struct parser *p, struct sk_str name) {
  char lower[32];
  if (name.n > 0 && name.n < sizeof lower) {
    for (size_t i = 0; i < name.n; i++)
      lower[i] = name.p[i] >= 'A' && name.p[i] <= 'Z' ? (char)(name.p[i] + ('a' - 'A')) : name.p[i];
    for (size_t i = 0; i < SCHEMES_N; i++) {
      if (!sk_str_eq_c(sk_str(lower, name.n), SCHEMES[i].name)) continue;
      p->scheme = &SCHEMES[i];
      p->url->scheme = sk_str_c(SCHEMES[i].name);
      return true;
    }
  }
  return false;
}

/* The text is quoted only where no part of it can be a password. */
static enum sk_code refuse_scheme(struct parser *p, struct sk_str text) {
  static const char known[] =
      "expected memory:, sqlite:PATH, redis://, rediss://, redis+unix://PATH, redis+sentinel://, "
      "redis+cluster://, amqp://, amqps:// or sqs://";
  struct sk_str rest;
  struct sk_str name = cut(text, ':', &rest);
  bool plain = name.n > 0;
  for (size_t i = 0; plain && i < name.n; i++)
    plain = is_host_byte(name.p[i], false) || name.p[i] == '+' || name.p[i] == '/';
  if (!plain || (rest.p && !sk_str_starts(rest, "//")))
    return sk_err_set(p->err, SK_EINVAL, "store URL: its scheme is not known: %s", known);
  return sk_err_set(p->err, SK_EINVAL, "store URL \"%.*s%s\": %s", SK_STR_ARG(sk_str_head(name, 80)),
                    rest.p ? "://..." : "", known);
}

static enum sk_code parse_user(struct parser *p, struct sk_str s) {
  struct sk_str password;
  struct sk_str user = cut(s, ':', &password);
  enum sk_code code = decode(p, "user", user, &p->url->user);
  if (code != SK_OK || password.p == NULL) return code;
  return decode(p, "password", password, &p->url->password);
}

static enum sk_code parse_port(struct parser *p, struct sk_str host, struct sk_str s, uint16_t *out) {
  unsigned v = 0;
  bool good = s.n > 0 && s.n <= 5;
  for (size_t i = 0; good && i < s.n; i++) {
    good = s.p[i] >= '0' && s.p[i] <= '9';
    v = v * 10 + (unsigned)(s.p[i] - '0');
  }
  if (!good || v < 1 || v > UINT16_MAX)
    return sk_err_set(p->err, SK_EINVAL, "store URL: port of host \"%.*s\": expected a number from 1 to 65535",
                      SK_STR_ARG(sk_str_head(host, 80)));
  *out = (uint16_t)v;
  return SK_OK;
}

/* host[:port] or [v6][:port] */
static enum sk_code parse_host(struct parser *p, struct sk_str s, struct sk_url_host *out) {
  struct sk_str name, port = { 0 };
  bool bracketed = s.n > 0 && s.p[0] == '[';
  if (bracketed) {
    struct sk_str rest;
    name = cut(sk_str(s.p + 1, s.n - 1), ']', &rest);
    if (rest.p == NULL || (rest.n > 0 && rest.p[0] != ':'))
      return sk_err_set(p->err, SK_EINVAL,
                        "store URL: host: expected \"]\" behind an IPv6 address, then nothing or a port");
    if (rest.n > 0) port = sk_str(rest.p + 1, rest.n - 1);
  } else {
    name = cut(s, ':', &port);
  }
  if (name.n == 0)
    return sk_err_set(p->err, SK_EINVAL, "store URL: a host is empty; expected host, host:port or [IPv6]:port");
  for (size_t i = 0; i < name.n; i++)
    if (!is_host_byte(name.p[i], bracketed))
      return sk_err_set(
          p->err, SK_EINVAL,
          "store URL: host: byte %zu is 0x%02x, expected letters, digits, \".\" or \"-\", or an IPv6 address in []",
          i + 1, (unsigned char)name.p[i]);
  out->port = p->scheme->port;
  out->name = sk_arena_copy(p->arena, name);
  if (out->name.p == NULL) return no_memory(p);
  return port.p == NULL ? SK_OK : parse_port(p, name, port, &out->port);
}

static enum sk_code parse_hosts(struct parser *p, struct sk_str s) {
  if (s.n == 0 && p->scheme->hostless) return SK_OK;
  if (s.n == 0) s = SK_STR_LIT("localhost");
  size_t n = count(s, ',') + 1;
  if (n > 1 && !p->scheme->many_hosts)
    return sk_err_set(p->err, SK_EINVAL,
                      "store URL: %zu hosts, expected one with %s:// (several: redis+sentinel://, redis+cluster://)", n,
                      p->scheme->name);
  if (n > SK_URL_HOSTS_MAX)
    return sk_err_set(p->err, SK_ELIMIT, "store URL: %zu hosts, expected at most %d", n, SK_URL_HOSTS_MAX);
  struct sk_url_host *hosts = sk_arena_array(p->arena, n, sizeof *hosts);
  if (hosts == NULL) return no_memory(p);
  for (size_t i = 0; i < n; i++) {
    struct sk_str rest;
    enum sk_code code = parse_host(p, cut(s, ',', &rest), &hosts[i]);
    if (code != SK_OK) return code;
    s = rest;
  }
  p->url->hosts = hosts;
  p->url->hosts_n = n;
  return SK_OK;
}

static enum sk_code parse_segments(struct parser *p, struct sk_str path) {
  if (path.n > 0 && path.p[path.n - 1] == '/') path.n--;
  if (path.n == 0) return SK_OK;
  size_t n = count(path, '/') + 1;
  struct sk_str *segments = sk_arena_array(p->arena, n, sizeof *segments);
  if (segments == NULL) return no_memory(p);
  for (size_t i = 0; i < n; i++) {
    struct sk_str rest;
    enum sk_code code = decode(p, "path", cut(path, '/', &rest), &segments[i]);
    if (code != SK_OK) return code;
    path = rest;
  }
  p->url->segments = segments;
  p->url->segments_n = n;
  return SK_OK;
}

static enum sk_code parse_params(struct parser *p, struct sk_str query) {
  if (query.n == 0) return SK_OK;
  size_t n = count(query, '&') + 1;
  struct sk_url_param *params = sk_arena_array(p->arena, n, sizeof *params);
  if (params == NULL) return no_memory(p);
  for (size_t i = 0; i < n; i++) {
    struct sk_str rest, value;
    struct sk_str name = cut(cut(query, '&', &rest), '=', &value);
    enum sk_code code = decode(p, "query", name, &params[i].name);
    if (code == SK_OK) code = decode(p, "query", value, &params[i].value);
    if (code != SK_OK) return code;
    query = rest;
  }
  p->url->params = params;
  p->url->params_n = n;
  return SK_OK;
}

/* What stands behind "scheme://". */
static enum sk_code parse_authority(struct parser *p, struct sk_str s) {
  struct sk_str query, path;
  struct sk_str head = cut(s, '?', &query);
  struct sk_str authority = cut(head, '/', &path);
  const char *at = find_last(s, '@');
  if (find_byte(s, '#'))
    return sk_err_set(p->err, SK_EINVAL, "store URL: it has a \"#\"; within a part that is written %%23");
  if (at && at >= authority.p + authority.n)
    return sk_err_set(
        p->err, SK_EINVAL,
        "store URL: \"@\" behind a \"/\" or \"?\": within a user or password these are written %%2F and %%3F, "
        "and \"@\" elsewhere %%40");
  if (at) {
    enum sk_code code = parse_user(p, sk_str(s.p, (size_t)(at - s.p)));
    if (code != SK_OK) return code;
    authority = sk_str(at + 1, (size_t)(authority.p + authority.n - at - 1));
  }
  enum sk_code code = parse_hosts(p, authority);
  if (code == SK_OK) code = parse_segments(p, path);
  if (code == SK_OK) code = parse_params(p, query);
  return code;
}

static enum sk_code parse_socket(struct parser *p, struct sk_str s) {
  struct sk_str query;
  struct sk_str path = cut(s, '?', &query);
  const char *slash = find_byte(path, '/');
  const char *at = slash ? find_last(sk_str(path.p, (size_t)(slash - path.p)), '@') : NULL;
  if (at) { /* redis+unix://user:password@/path */
    enum sk_code code = parse_user(p, sk_str(path.p, (size_t)(at - path.p)));
    if (code != SK_OK) return code;
    path = sk_str(slash, (size_t)(path.p + path.n - slash));
  }
  if (path.n == 0)
    return sk_err_set(p->err, SK_EINVAL, "store URL: redis+unix:// has no path, expected redis+unix:///path/to/socket");
  enum sk_code code = decode(p, "path", path, &p->url->path);
  if (code == SK_OK) code = parse_params(p, query);
  return code;
}

/* What stands behind "memory:" or "sqlite:".  "sqlite:///abs" is a common spelling of "/abs"; "sqlite://rel" a common
 * mistake. */
static enum sk_code parse_file(struct parser *p, struct sk_str s) {
  if (sk_str_starts(s, "//") && !sk_str_starts(s, "///"))
    return sk_err_set(p->err, SK_EINVAL, "store URL \"%s://...\": expected %s:PATH, without \"//\"", p->scheme->name,
                      p->scheme->name);
  if (sk_str_starts(s, "///")) s = sk_str(s.p + 2, s.n - 2);
  if (find_byte(s, '\0')) return sk_err_set(p->err, SK_EINVAL, "store URL: the path has a NUL byte");
  if (s.n == 0 && sk_str_eq_c(p->url->scheme, "sqlite"))
    return sk_err_set(p->err, SK_EINVAL,
                      "store URL \"sqlite:\" has no path, expected sqlite:PATH, e.g. sqlite:.skein/jobs.db");
  p->url->path = sk_arena_copy(p->arena, s);
  return p->url->path.p ? SK_OK : no_memory(p);
}

enum sk_code sk_url_parse(struct sk_str text, struct sk_arena *arena, struct sk_url *out, struct sk_err *err) {
  *out = (struct sk_url){ 0 };
  struct parser p = { arena, out, NULL, err };
  if (text.n > SK_URL_BYTES_MAX)
    return sk_err_set(err, SK_ELIMIT, "store URL: %zu bytes, expected at most %d", text.n, SK_URL_BYTES_MAX);
  struct sk_str rest;
  struct sk_str name = cut(text, ':', &rest);
  if (rest.p == NULL || !find_scheme(&p, name)) return refuse_scheme(&p, text);
  if (p.scheme->form == FILE_PATH) return parse_file(&p, rest);
  if (!sk_str_starts(rest, "//"))
    return sk_err_set(err, SK_EINVAL, "store URL: expected \"//\" behind \"%s:\"", p.scheme->name);
  rest = sk_str(rest.p + 2, rest.n - 2);
  return p.scheme->form == SOCKET_PATH ? parse_socket(&p, rest) : parse_authority(&p, rest);
}

struct sk_str sk_url_param(const struct sk_url *url, const char *name) {
  for (size_t i = 0; i < url->params_n; i++)
    if (sk_str_eq_c(url->params[i].name, name)) return url->params[i].value;
  return sk_str(NULL, 0);
}

/* -- for logs ----------------------------------------------------------------------------------------------------- */

static bool contains(struct sk_str s, const char *word) {
  size_t n = strlen(word);
  for (size_t i = 0; i + n <= s.n; i++)
    if (strncasecmp(s.p + i, word, n) == 0) return true;
  return false;
}

static bool is_file_url(struct sk_str text) {
  for (size_t i = 0; i < SCHEMES_N; i++) {
    size_t n = strlen(SCHEMES[i].name);
    if (SCHEMES[i].form != FILE_PATH || text.n <= n || strncasecmp(text.p, SCHEMES[i].name, n) != 0 || text.p[n] != ':')
      continue;
    struct sk_str path = sk_str(text.p + n + 1, text.n - n - 1);
    return !sk_str_starts(path, "//") || sk_str_starts(path, "///"); /* "sqlite://user:..." is another URL gone wrong */
  }
  return false;
}

/* A walk over what may be secret in a text that may be a URL: the password in front of the last "@" (or a lone word in
 * the user's place, where a password may have been put), and the values of parameters that sound secret. */
struct secrets {
  struct sk_str text;
  struct sk_str user;  /* with its password; p == NULL: none, or passed over */
  struct sk_str query; /* what of it was not passed over; p == NULL: nothing */
};

static struct secrets secrets_in(struct sk_str text) {
  struct secrets it = { .text = text };
  if (text.n == 0 || is_file_url(text)) return it;
  const char *colon = find_byte(text, ':');
  size_t from = colon ? (size_t)(colon - text.p) + 1 : 0; /* where a user may begin */
  if (text.n - from >= 2 && memcmp(text.p + from, "//", 2) == 0) from += 2;
  struct sk_str rest = sk_str(text.p + from, text.n - from);
  const char *at = find_last(rest, '@');
  if (at) {
    it.user = sk_str(rest.p, (size_t)(at - rest.p));
    rest = sk_str(at, (size_t)(rest.p + rest.n - at));
  }
  cut(rest, '?', &it.query);
  return it;
}

/* Finds the next secret; false when there is none left. */
static bool next_secret(struct secrets *it, struct sk_str *out) {
  if (it->user.p) {
    struct sk_str password;
    struct sk_str user = cut(it->user, ':', &password);
    *out = password.p ? password : user;
    it->user.p = NULL;
    return true;
  }
  while (it->query.p) {
    struct sk_str rest, value;
    struct sk_str name = cut(cut(it->query, '&', &rest), '=', &value);
    it->query = rest;
    /* An escape in the name may hide what it says. */
    bool secret = contains(name, "pass") || contains(name, "secret") || contains(name, "token") || find_byte(name, '%');
    *out = value;
    if (value.p && secret) return true;
  }
  return false;
}

void sk_url_redact(struct sk_str text, struct sk_buf *out) {
  struct secrets it = secrets_in(text);
  struct sk_str secret;
  const char *from = text.p;
  while (next_secret(&it, &secret)) {
    sk_buf_add(out, from, (size_t)(secret.p - from));
    sk_buf_add_c(out, "***");
    from = secret.p + secret.n;
  }
  if (text.n > 0) sk_buf_add(out, from, (size_t)(text.p + text.n - from));
}

void sk_url_mask(char *text, size_t n) {
  struct secrets it = secrets_in(sk_str(text, n));
  struct sk_str secret;
  while (next_secret(&it, &secret)) memset(text + (secret.p - text), '*', secret.n);
}

/* Where the URL ends that begins with "://" at text[from]: at a space or a quote, unless the user and password go on
 * behind it. */
static size_t url_end(const char *text, size_t from, size_t n) {
  size_t end = from;
  while (end < n && (unsigned char)text[end] > ' ' && text[end] != '"' && text[end] != '\'') end++;
  if (end == n || memchr(text + from, '@', end - from)) return end;
  bool ours = false;
  for (size_t i = 0; i < SCHEMES_N && !ours; i++) {
    size_t name_n = strlen(SCHEMES[i].name);
    ours = SCHEMES[i].form != FILE_PATH && name_n <= from &&
           strncasecmp(text + from - name_n, SCHEMES[i].name, name_n) == 0;
  }
  const char *at = ours ? memrchr(text + end, '@', n - end) : NULL;
  return at ? (size_t)(at - text) + 1 : end;
}

void sk_url_mask_in(char *text, size_t n) {
  for (size_t at = 0; at + 3 <= n;) {
    const char *mark = memmem(text + at, n - at, "://", 3);
    if (mark == NULL) return;
    size_t from = (size_t)(mark - text), end = url_end(text, from, n);
    while (from > at && (is_host_byte(text[from - 1], false) || text[from - 1] == '+')) from--;
    sk_url_mask(text + from, end - from);
    at = end;
  }
}
