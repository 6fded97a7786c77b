/* command.c - builds the commands that operations send: keys, the arguments that all scripts have, the queues that a
 * command names, and the marks of an engine's calls. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#define RD_WANT_SCRIPT_TEXTS
#include "redis_scripts.h"
#include "store/redis/redis.h"

/* -- keys and scripts ---------------------------------------------------------------------------------------------- */

static const char *const store_keys[] = { "head",   "jobs",  "held",   "leases", "engines",   "queues",
                                          "counts", "notes", "done",   "dead",   "cancelled", "kept",
                                          "fences", "stops", "logs",   "locks",  "expires",   "bounds",
                                          "groups", "lines", "places", "ring",   "tokens" };
static const char *const queue_keys[] = { "later",   "front",   "tombstones", "ready:0",
                                          "ready:1", "ready:2", "ready:3",    "ready:4" };
enum {
  STORE_KEYS_N = sizeof store_keys / sizeof *store_keys,
  QUEUE_KEYS_N = sizeof queue_keys / sizeof *queue_keys,
  LIST_KEYS_AT = 3
};

/* {prefix}:name[:queue] */
static void add_key(struct rd_store *s, const char *name, struct sk_str queue) {
  struct sk_buf *b = &s->command.args;
  sk_rd_arg_begin(&s->command, s->config.prefix.n + 3 + strlen(name) + (queue.n ? queue.n + 1 : 0));
  sk_buf_add_byte(b, '{');
  sk_buf_add_str(b, s->config.prefix);
  sk_buf_add(b, "}:", 2);
  sk_buf_add_c(b, name);
  if (queue.n) sk_buf_add_byte(b, ':');
  sk_buf_add_str(b, queue);
  sk_buf_add(b, "\r\n", 2);
}

void sk_rd_key(struct rd_store *s, const char *name) { add_key(s, name, sk_str(NULL, 0)); }

void sk_rd_list_key(struct rd_store *s, size_t rank, struct sk_str queue) {
  add_key(s, queue_keys[LIST_KEYS_AT + rank], queue);
}

/* They are the same for every command: made once. */
static void add_store_keys(struct rd_store *s) {
  struct rd_command *c = &s->command;
  if (s->key_args.n > 0) {
    sk_buf_add_str(&c->args, sk_buf_str(&s->key_args));
    c->n += STORE_KEYS_N;
    return;
  }
  size_t before = c->args.n;
  for (size_t i = 0; i < STORE_KEYS_N; i++) add_key(s, store_keys[i], sk_str(NULL, 0));
  if (c->args.failed) return;
  sk_buf_add(&s->key_args, c->args.p + before, c->args.n - before);
  if (s->key_args.failed) sk_buf_fini(&s->key_args);
}

static void begin_keys(struct rd_store *s, const char *command, struct sk_str script, size_t more) {
  struct rd_command *c = &s->command;
  sk_rd_arg_c(c, command);
  sk_rd_arg(c, script);
  sk_rd_arg_int(c, (int64_t)(STORE_KEYS_N + more));
  add_store_keys(s);
}

/* Which store is meant: for an engine's scripts by its marks. */
static void add_here(struct rd_store *s, int script) {
  char marks[48];
  switch (script) {
  case RD_SCRIPT_FETCH:
  case RD_SCRIPT_SETTLE:
  case RD_SCRIPT_BEAT:
  case RD_SCRIPT_RECOVER:
  case RD_SCRIPT_PROGRESS:
    snprintf(marks, sizeof marks, "%" PRIu64 " %" PRIu64, ++s->mark, s->seen);
    sk_rd_arg_c(&s->command, marks);
    break;
  default: sk_rd_arg_c(&s->command, s->epoch);
  }
}

static void begin_args(struct rd_store *s, int script) {
  struct rd_command *c = &s->command;
  const struct rd_names *q = &s->named;
  char now[48] = "";
  if (s->clock.wall_ms) snprintf(now, sizeof now, "%" PRId64, s->clock.wall_ms(s->clock.ctx));
  sk_rd_arg_c(c, now);
  sk_rd_arg_c(c, s->origin);
  sk_rd_arg(c, s->config.channel);
  sk_rd_arg_c(c, s->name);
  add_here(s, script);
  sk_rd_arg_int(c, (int64_t)q->n);
  for (size_t i = 0; i < q->n; i++) sk_rd_arg(c, q->names[i]);
}

static void begin(struct rd_store *s, const char *command, struct sk_str text, int script) {
  const struct rd_names *q = &s->named;
  begin_keys(s, command, text, QUEUE_KEYS_N * q->n);
  for (size_t i = 0; i < q->n; i++)
    for (size_t k = 0; k < QUEUE_KEYS_N; k++) add_key(s, queue_keys[k], q->names[i]);
  begin_args(s, script);
}

struct sk_str sk_rd_text_of(int script) {
  return sk_str(RD_SCRIPTS[script].text, RD_SCRIPTS[script].bytes);
}

void sk_rd_begin_text(struct rd_store *s, int script) { begin(s, "EVAL", sk_rd_text_of(script), script); }

void sk_rd_begin(struct rd_store *s, int script) {
  if (s->as_text)
    sk_rd_begin_text(s, script);
  else
    begin(s, "EVALSHA", sk_str_c(RD_SCRIPTS[script].sha1), script);
}

void sk_rd_begin_declared(struct rd_store *s, int script) {
  sk_rd_name_none(s);
  begin_keys(s, s->as_text ? "EVAL" : "EVALSHA", s->as_text ? sk_rd_text_of(script) : sk_str_c(RD_SCRIPTS[script].sha1),
             2);
  add_key(s, "tasks", sk_str(NULL, 0));
  add_key(s, "templates", sk_str(NULL, 0));
  begin_args(s, script);
}

const char *sk_rd_script_text(struct rd_store *s, struct sk_op *op, size_t *n) {
  (void)s;
  static const int script_of[] = {
    [RD_ENQUEUE] = RD_SCRIPT_ENQUEUE,
    [RD_FETCH] = RD_SCRIPT_FETCH,
    [RD_SETTLE] = RD_SCRIPT_SETTLE,
    [RD_BEAT] = RD_SCRIPT_BEAT,
    [RD_GET] = RD_SCRIPT_GET,
    [RD_LIST] = RD_SCRIPT_LIST,
    [RD_COUNT] = RD_SCRIPT_COUNT,
    [RD_CHANGE] = RD_SCRIPT_CHANGE,
    [RD_CHANGE_MATCHING] = RD_SCRIPT_CHANGE,
    [RD_PAUSE] = RD_SCRIPT_PAUSE,
    [RD_OPEN] = RD_SCRIPT_OPEN,
    [RD_PROGRESS] = RD_SCRIPT_PROGRESS,
    [RD_RECOVER] = RD_SCRIPT_RECOVER,
    [RD_DECLARE] = RD_SCRIPT_DECLARE,
    [RD_TASKS] = RD_SCRIPT_TASKS,
    [RD_LOAD] = -1,
    [RD_TIME] = -1,
    [RD_RENEW] = RD_SCRIPT_RENEW,
    [RD_ENTER] = RD_SCRIPT_BEAT,
    [RD_ENQUEUE_ALL] = RD_SCRIPT_ENQUEUE,
    [RD_SETTLE_ALL] = RD_SCRIPT_SETTLE,
    [RD_ENQUEUE_STORED] = RD_SCRIPT_STORED,
  };
  int script = script_of[op->kind];
  if (script < 0) return NULL;
  *n = RD_SCRIPTS[script].bytes;
  return RD_SCRIPTS[script].text;
}

/* -- queues -------------------------------------------------------------------------------------------------------- */

static bool names_add(struct rd_names *q, struct sk_str name) {
  if (q->n == q->cap) {
    size_t cap = q->cap ? q->cap * 2 : 16;
    struct sk_str *grown = realloc(q->names, cap * sizeof *grown);
    if (grown == NULL) return false;
    q->names = grown;
    q->cap = cap;
  }
  q->names[q->n++] = name;
  return true;
}

void sk_rd_name_none(struct rd_store *s) { s->named.n = 0; }

void sk_rd_name_all(struct rd_store *s) {
  s->named.n = 0;
  for (size_t i = 0; i < s->known.n; i++) names_add(&s->named, s->known.names[i]);
}

void sk_rd_name_these(struct rd_store *s, const struct sk_str *queues, size_t n) {
  for (size_t i = 0; i < n; i++) names_add(&s->named, queues[i]);
}

void sk_rd_name_known(struct rd_store *s) {
  for (size_t i = 0; i < s->known.n; i++) sk_rd_name(s, s->known.names[i]);
}

size_t sk_rd_name(struct rd_store *s, struct sk_str queue) {
  for (size_t i = s->named.n; i > 0; i--)
    if (sk_str_eq(s->named.names[i - 1], queue)) return i;
  return names_add(&s->named, queue) ? s->named.n : 0;
}

void sk_rd_forget_known(struct rd_store *s) {
  for (size_t i = 0; i < s->known.n; i++) free((void *)(uintptr_t)s->known.names[i].p);
  s->known.n = 0;
  s->known_version[0] = '\0';
}

static void add_known(struct rd_store *s, struct sk_str name) {
  char *copy = name.n ? malloc(name.n) : NULL;
  if (copy == NULL) return;
  memcpy(copy, name.p, name.n);
  if (!names_add(&s->known, sk_str(copy, name.n))) free(copy);
}

void sk_rd_learn_known(struct rd_store *s, const struct sk_count_op *count) {
  sk_rd_forget_known(s);
  snprintf(s->known_version, sizeof s->known_version, "%" PRIu64, count->queues_version);
  for (size_t i = 0; i < count->queues_n; i++) add_known(s, count->queues[i].name);
}

bool sk_rd_learns_queues(struct rd_store *s, const struct rd_reply *reply) {
  const struct rd_reply *names = sk_rd_item(reply, 1, RD_ARRAY);
  if (names == NULL || reply->n < 2 || reply->n > 3 || sk_rd_number(reply, 0) != -1) return false;
  sk_rd_forget_known(s);
  snprintf(s->known_version, sizeof s->known_version, "%.*s", SK_STR_ARG(sk_str_head(sk_rd_text(reply, 2), 20)));
  for (size_t i = 0; i < names->n; i++) add_known(s, sk_rd_text(names, i)); /* "" holds the version */
  return true;
}

enum rd_next sk_rd_odd(struct rd_store *s, struct sk_op *op, const char *what) {
  op->status =
      sk_err_set(&op->err, SK_ECORRUPT, "%s: the reply to %s is not what this version expects", s->config.shown, what);
  return RD_DONE;
}

/* -- marks --------------------------------------------------------------------------------------------------------- */

bool sk_rd_op_is_marked(const struct sk_op *op) {
  return op->kind == RD_FETCH || op->kind == RD_SETTLE || op->kind == RD_SETTLE_ALL || op->kind == RD_BEAT ||
         op->kind == RD_PROGRESS || op->kind == RD_RECOVER || op->kind == RD_ENTER;
}

void sk_rd_mark_left(struct rd_store *s, const struct sk_op *op) {
  if (op->mark > s->seen) s->seen = op->mark;
}
