/* url_test.c - store URLs: every form, what is refused, and that no secret gets out. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <string.h>

#include "logic/url.h"

struct parsed {
  struct sk_arena arena;
  struct sk_url url;
  enum sk_code code;
  struct sk_err err;
};

static struct parsed parse(const char *text) {
  struct parsed p = { 0 };
  p.code = sk_url_parse(sk_str_c(text), &p.arena, &p.url, &p.err);
  return p;
}

static struct parsed parse_good(const char *text) {
  struct parsed p = parse(text);
  if (p.code != SK_OK) fail_msg("%s: %s", text, p.err.message);
  return p;
}

static void assert_host(const struct sk_url *url, size_t i, const char *name, int port) {
  assert_true(i < url->hosts_n);
  assert_string_equal(url->hosts[i].name.p, name);
  assert_int_equal(url->hosts[i].port, port);
}

static void embedded_stores_have_a_path_taken_as_it_is(void **state) {
  (void)state;
  const struct {
    const char *text, *scheme, *path;
  } cases[] = {
    { "memory:", "memory", "" },
    { "sqlite:.skein/jobs.db", "sqlite", ".skein/jobs.db" },
    { "sqlite:/var/lib/100%/a b?c#d@e:f.db", "sqlite", "/var/lib/100%/a b?c#d@e:f.db" },
    { "sqlite:///abs.db", "sqlite", "/abs.db" },
    { "SQLite:x", "sqlite", "x" },
  };
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    struct parsed p = parse_good(cases[i].text);
    assert_string_equal(p.url.scheme.p, cases[i].scheme);
    assert_string_equal(p.url.path.p, cases[i].path);
    assert_int_equal(p.url.hosts_n, 0);
    sk_arena_fini(&p.arena);
  }
}

static void redis_has_user_password_host_port_and_database(void **state) {
  (void)state;
  struct parsed p = parse_good("redis://al%69ce:p%40ss%2Fw%3ard@db.example.com:7000/3?timeout=5&x");
  assert_string_equal(p.url.scheme.p, "redis");
  assert_string_equal(p.url.user.p, "alice");
  assert_string_equal(p.url.password.p, "p@ss/w:rd");
  assert_int_equal(p.url.hosts_n, 1);
  assert_host(&p.url, 0, "db.example.com", 7000);
  assert_int_equal(p.url.segments_n, 1);
  assert_string_equal(p.url.segments[0].p, "3");
  assert_string_equal(sk_url_param(&p.url, "timeout").p, "5");
  assert_string_equal(sk_url_param(&p.url, "x").p, "");
  assert_null(sk_url_param(&p.url, "y").p);
  sk_arena_fini(&p.arena);
}

static void what_is_left_out_has_its_default_or_is_absent(void **state) {
  (void)state;
  const struct {
    const char *text, *host;
    int port;
  } cases[] = {
    { "redis://", "localhost", 6379 },  { "redis:///2", "localhost", 6379 },
    { "rediss://h", "h", 6379 },        { "redis+sentinel://h/m", "h", 26379 },
    { "redis+cluster://h", "h", 6379 }, { "amqp://h", "h", 5672 },
    { "amqps://h", "h", 5671 },         { "sqs://h", "h", 443 },
    { "redis://h/", "h", 6379 },
  };
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    struct parsed p = parse_good(cases[i].text);
    assert_host(&p.url, 0, cases[i].host, cases[i].port);
    assert_null(p.url.user.p);
    assert_null(p.url.password.p);
    sk_arena_fini(&p.arena);
  }
  struct parsed p = parse_good("sqs://key:secret@?region=eu-west-1");
  assert_int_equal(p.url.hosts_n, 0);
  assert_string_equal(p.url.password.p, "secret");
  sk_arena_fini(&p.arena);
  p = parse_good("redis://:pw@h");
  assert_string_equal(p.url.user.p, "");
  assert_string_equal(p.url.password.p, "pw");
  sk_arena_fini(&p.arena);
}

static void a_socket_has_a_path_and_parameters(void **state) {
  (void)state;
  struct parsed p = parse_good("redis+unix:///run/my%20redis.sock?db=4");
  assert_string_equal(p.url.path.p, "/run/my redis.sock");
  assert_string_equal(sk_url_param(&p.url, "db").p, "4");
  sk_arena_fini(&p.arena);
}

static void several_hosts_are_listed_with_their_ports(void **state) {
  (void)state;
  struct parsed p = parse_good("redis+sentinel://u:p@h1,h2:7,[::1]:8,[fe80::2]/mymaster/5");
  assert_int_equal(p.url.hosts_n, 4);
  assert_host(&p.url, 0, "h1", 26379);
  assert_host(&p.url, 1, "h2", 7);
  assert_host(&p.url, 2, "::1", 8);
  assert_host(&p.url, 3, "fe80::2", 26379);
  assert_int_equal(p.url.segments_n, 2);
  assert_string_equal(p.url.segments[0].p, "mymaster");
  assert_string_equal(p.url.segments[1].p, "5");
  sk_arena_fini(&p.arena);
}

static void segments_are_decoded_after_they_are_cut(void **state) {
  (void)state;
  struct parsed p = parse_good("amqp://h/%2F/a%2fb/c");
  assert_int_equal(p.url.segments_n, 3);
  assert_string_equal(p.url.segments[0].p, "/");
  assert_string_equal(p.url.segments[1].p, "a/b");
  assert_string_equal(p.url.segments[2].p, "c");
  sk_arena_fini(&p.arena);
}

static void what_is_wrong_is_named(void **state) {
  (void)state;
  const struct {
    const char *text, *part;
  } cases[] = {
    { "", "scheme is not known" },
    { "jobs.db", "\"jobs.db\": expected memory:, sqlite:PATH" },
    { "postgres://h/db", "\"postgres://...\": expected memory:" },
    { "redis:h", "expected \"//\" behind \"redis:\"" },
    { "sqlite:", "has no path" },
    { "sqlite://rel.db", "expected sqlite:PATH, without \"//\"" },
    { "redis+unix://", "has no path" },
    { "redis+unix://ada:se%zzcret@/run/a@b", "password" },
    { "redis://h:0", "port of host \"h\": expected a number from 1 to 65535" },
    { "redis://h:65536", "port of host \"h\"" },
    { "redis://h:6x", "port of host \"h\"" },
    { "redis://h:", "port of host \"h\"" },
    { "redis://:6379", "a host is empty" },
    { "redis://h1,h2", "2 hosts, expected one with redis://" },
    { "redis+cluster://h1,,h2", "a host is empty" },
    { "redis://a b", "host: byte 2 is 0x20" },
    { "redis://::1", "a host is empty" },
    { "redis://[::1", "expected \"]\"" },
    { "redis://[::1]x", "expected \"]\"" },
    { "redis://[zz]", "host: byte 1 is 0x7a" },
    { "redis://h/%zz", "a \"%\" in the path" },
    { "redis://h/%2", "a \"%\" in the path" },
    { "redis://h/?a=%", "a \"%\" in the query" },
    { "redis://h/%00", "the path has a NUL byte" },
    { "redis://h#x", "it has a \"#\"" },
    { "redis://h/x@y", "\"@\" behind a \"/\"" },
  };
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    struct parsed p = parse(cases[i].text);
    assert_int_equal(p.code, SK_EINVAL);
    if (!strstr(p.err.message, cases[i].part))
      fail_msg("%s: \"%s\" does not hold \"%s\"", cases[i].text, p.err.message, cases[i].part);
    sk_arena_fini(&p.arena);
  }
}

static void no_message_and_no_log_shows_the_password(void **state) {
  (void)state;
  const char *texts[] = { "redis://u:HUSH@h",
                          "redis://:HUSH@h:bad",
                          "redis://u:HUSH@",
                          "redis://u:HUSH/x@h",
                          "redis://u:HUSH?x@h",
                          "redis://u:HU%SH:HUSH@h",
                          "redis://u:HUSH@h1,h2",
                          "redis://u:HUSH@h/%zz",
                          "redis:u:HUSH@h",
                          "u:HUSH@h",
                          "postgres://u:HUSH@h/db",
                          "redis://u:a@HUSH@h",
                          "redis://u:HUSH#x@h",
                          "redis://HUSH@h",
                          "redis://u:HUSH@h?password=HUSH",
                          "sqs://k:HUSH@?secret=HUSH",
                          "redis+unix:///s?Password=HUSH",
                          "redis://h?auth_token=HUSH&db=1",
                          "amqps://u:x:HUSH@h",
                          "redis:/u:HUSH@h://x",
                          "rediss://h?p%61ss=HUSH",
                          "redis://u:HUSH@[::1",
                          "redis://u:1:HUSH/@h",
                          "redis+unix://:HUSH@/tmp/s",
                          "redis+unix://ada:HUSH@/tmp/a@b",
                          "rediss+sentinel://h/m?sentinel_password=HUSH",
                          "sqlite://u:HUSH@h/x" };
  for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
    struct parsed p = parse(texts[i]);
    if (p.code != SK_OK && strstr(p.err.message, "HUSH")) fail_msg("%s: %s", texts[i], p.err.message);
    sk_arena_fini(&p.arena);
    struct sk_buf b = { 0 };
    sk_url_redact(sk_str_c(texts[i]), &b);
    if (memmem(b.p, b.n, "HUSH", 4)) fail_msg("%s: %.*s", texts[i], SK_STR_ARG(sk_buf_str(&b)));
    sk_buf_fini(&b);
    char masked[80], sentence[120];
    snprintf(masked, sizeof masked, "%s", texts[i]);
    sk_url_mask(masked, strlen(masked));
    if (strstr(masked, "HUSH") || strlen(masked) != strlen(texts[i])) fail_msg("%s: %s", texts[i], masked);
    snprintf(sentence, sizeof sentence, "unexpected \"%s\", at 3 o'clock", texts[i]);
    sk_url_mask_in(sentence, strlen(sentence));
    if (strstr(texts[i], "://") && texts[i][6] != '/' && strstr(sentence, "HUSH"))
      fail_msg("%s: %s", texts[i], sentence);
  }
}

static void a_sentence_without_a_password_stays_as_it_is(void **state) {
  (void)state;
  const char *said = "GET http://host/a?b=c failed, write to bob@example.com; sqlite:///a@b";
  char text[100];
  snprintf(text, sizeof text, "%s", said);
  sk_url_mask_in(text, strlen(text));
  assert_string_equal(text, said);
  char two[] = "--store=redis://u:x@h redis://:a b@h";
  sk_url_mask_in(two, strlen(two));
  assert_string_equal(two, "--store=redis://u:*@h redis://:***@h");
}

static void a_redacted_url_keeps_the_rest(void **state) {
  (void)state;
  const struct {
    const char *text, *shown;
  } cases[] = {
    { "redis://alice:x@h:1/2?db=3", "redis://alice:***@h:1/2?db=3" },
    { "redis://:x@h", "redis://:***@h" },
    { "redis://h:1/2?password=x&db=3&flag", "redis://h:1/2?password=***&db=3&flag" },
    { "sqlite:/home/a@b:c/x.db?password=1", "sqlite:/home/a@b:c/x.db?password=1" },
    { "memory:", "memory:" },
    { "redis+sentinel://a:b@h1,h2/m", "redis+sentinel://a:***@h1,h2/m" },
    { "", "" },
    { "plain", "plain" },
  };
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    struct sk_buf b = { 0 };
    sk_url_redact(sk_str_c(cases[i].text), &b);
    assert_true(sk_str_eq_c(sk_buf_str(&b), cases[i].shown));
    sk_buf_fini(&b);
  }
}

static void length_and_hosts_are_accepted_at_the_limit_and_refused_one_past_it(void **state) {
  (void)state;
  static char text[SK_URL_BYTES_MAX + 2];
  memset(text, 'x', sizeof text - 1);
  memcpy(text, "sqlite:", 7);
  struct parsed p = parse(text);
  assert_int_equal(p.code, SK_ELIMIT);
  sk_arena_fini(&p.arena);
  text[SK_URL_BYTES_MAX] = '\0';
  p = parse_good(text);
  sk_arena_fini(&p.arena);
  strcpy(text, "redis+cluster://h");
  for (int i = 1; i < SK_URL_HOSTS_MAX; i++) strcat(text, ",h");
  p = parse_good(text);
  assert_int_equal(p.url.hosts_n, SK_URL_HOSTS_MAX);
  sk_arena_fini(&p.arena);
  strcat(text, ",h");
  p = parse(text);
  assert_int_equal(p.code, SK_ELIMIT);
  sk_arena_fini(&p.arena);
}

int main(void) {
  const struct CMUnitTest tests[] = {
    cmocka_unit_test(embedded_stores_have_a_path_taken_as_it_is),
    cmocka_unit_test(redis_has_user_password_host_port_and_database),
    cmocka_unit_test(what_is_left_out_has_its_default_or_is_absent),
    cmocka_unit_test(a_socket_has_a_path_and_parameters),
    cmocka_unit_test(several_hosts_are_listed_with_their_ports),
    cmocka_unit_test(segments_are_decoded_after_they_are_cut),
    cmocka_unit_test(what_is_wrong_is_named),
    cmocka_unit_test(no_message_and_no_log_shows_the_password),
    cmocka_unit_test(a_redacted_url_keeps_the_rest),
    cmocka_unit_test(a_sentence_without_a_password_stays_as_it_is),
    cmocka_unit_test(length_and_hosts_are_accepted_at_the_limit_and_refused_one_past_it),
  };
  return cmocka_run_group_tests_name("url", tests, NULL, NULL);
}
