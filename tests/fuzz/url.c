/* url.c - fuzz target: store URLs.  Besides memory safety: no message and no redacted text shows the password. */
#include <assert.h>
#include <string.h>

#include "logic/url.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_slices(const struct sk_url *url) {
  assert(url->scheme.p[url->scheme.n] == '\0');
  for (size_t i = 0; i < url->hosts_n; i++)
    assert(url->hosts[i].name.n > 0 && strlen(url->hosts[i].name.p) == url->hosts[i].name.n);
  for (size_t i = 0; i < url->segments_n; i++) assert(strlen(url->segments[i].p) == url->segments[i].n);
  for (size_t i = 0; i < url->params_n; i++) assert(strlen(url->params[i].value.p) == url->params[i].value.n);
  if (url->path.p) assert(strlen(url->path.p) == url->path.n);
}

/* The input as the password of an otherwise good URL, and of ones that go wrong further on. */
static void check_secret(struct sk_str secret) {
  static const char mark[] = "HUSHHUSH";
  static const char *const tails[] = { "@h:6379/0", "@h:x", "@h1,h2", "@", "@h/%zz", "" };
  for (size_t i = 0; i < sizeof tails / sizeof *tails; i++) {
    struct sk_buf text = { 0 }, shown = { 0 };
    struct sk_arena arena = { 0 };
    struct sk_url url;
    struct sk_err err = { 0 };
    sk_buf_add_c(&text, "redis://user:");
    sk_buf_add_str(&text, secret);
    sk_buf_add_c(&text, mark);
    sk_buf_add_c(&text, tails[i]);
    sk_url_parse(sk_buf_str(&text), &arena, &url, &err);
    assert(strstr(err.message, mark) == NULL || tails[i][0] == '\0');
    sk_url_redact(sk_buf_str(&text), &shown);
    assert(memmem(shown.p, shown.n, mark, sizeof mark - 1) == NULL || tails[i][0] == '\0');
    sk_arena_fini(&arena);
    sk_buf_fini(&text);
    sk_buf_fini(&shown);
  }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  struct sk_str text = sk_str((const char *)data, size);
  struct sk_arena arena = { 0 };
  struct sk_url url;
  struct sk_err err = { 0 };
  if (sk_url_parse(text, &arena, &url, &err) == SK_OK)
    check_slices(&url);
  else
    assert(strlen(err.message) > 0);
  sk_arena_fini(&arena);
  check_secret(text);
  return 0;
}
