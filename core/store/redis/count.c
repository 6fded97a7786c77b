/* count.c - counts the jobs of the Redis store by queue, in steps.  A script looks at some hundreds of queues, and a
 * store has up to SK_QUEUES_PER_STORE_MAX.  When the store's counters and numbers are the same in the first and in the
 * last reply, nothing was enqueued, fetched or settled meanwhile; else the count says so (sk_count_op.moving). */
#include <stdio.h>
#include <stdlib.h>

#include "redis_scripts.h"
#include "store/redis/redis.h"

struct count_walk {
  struct rd_count_op step;
  struct rd_store *store;
  struct sk_count_op *whole;
  size_t cap;
  struct sk_buf head; /* of the first reply, when there are several */
  char cursor[24];
  rd_counted *done;
  void *ctx;
};

/* -- a step -------------------------------------------------------------------------------------------------------- */

void sk_rd_count_build(struct rd_store *s, struct sk_op *whole) {
  const struct rd_count_op *op = (void *)whole;
  sk_rd_name_none(s);
  sk_rd_begin(s, RD_SCRIPT_COUNT);
  sk_rd_arg_c(&s->command, op->cursor);
}

enum rd_next sk_rd_count_parse(struct rd_store *s, struct sk_op *whole, const struct rd_reply *reply) {
  struct rd_count_op *op = (void *)whole;
  for (size_t i = 0; i < 3; i++)
    if (sk_rd_item(reply, i, RD_ARRAY) == NULL) return sk_rd_odd(s, whole, "count");
  if (sk_rd_item(reply, 3, RD_TEXT) == NULL) return sk_rd_odd(s, whole, "count");
  op->reply = reply;
  return RD_DONE;
}

/* -- reading replies ----------------------------------------------------------------------------------------------- */

static int64_t parse_int(struct sk_str s) {
  int64_t v = 0;
  bool minus = s.n > 0 && s.p[0] == '-';
  for (size_t i = minus; i < s.n && s.p[i] >= '0' && s.p[i] <= '9'; i++) v = v * 10 + (s.p[i] - '0');
  return minus ? -v : v;
}

static int compare_counts(const void *pa, const void *pb) {
  struct sk_str a = ((const struct sk_queue_count *)pa)->name, b = ((const struct sk_queue_count *)pb)->name;
  int c = memcmp(a.p, b.p, a.n < b.n ? a.n : b.n);
  return c ? c : (a.n > b.n) - (a.n < b.n);
}

/* Field "state:queue", of one of these queues. */
static void add_count(struct sk_queue_count *queues, size_t n, struct sk_str field, int64_t jobs) {
  if (field.n < 3 || field.p[0] < '0' || field.p[0] >= '0' + SK_STATES) return;
  struct sk_queue_count key = { .name = sk_str(field.p + 2, field.n - 2) };
  struct sk_queue_count *found = bsearch(&key, queues, n, sizeof key, compare_counts);
  if (found)
    found->states[field.p[0] - '0'] = jobs > 0 ? jobs : 0; /* what stood in another queue than it said may be off */
}

static void read_counters(struct sk_counters *c, const struct rd_reply *head) {
  const struct {
    const char *name;
    int64_t *to;
  } fields[] = {
    { "enqueued", &c->enqueued }, { "done", &c->done },           { "retried", &c->retried },
    { "dead", &c->dead },         { "cancelled", &c->cancelled }, { "discarded", &c->discarded },
    { "crashed", &c->crashed },   { "recovered", &c->recovered },
  };
  *c = (struct sk_counters){ 0 };
  for (size_t i = 0; i + 1 < head->n; i += 2)
    for (size_t k = 0; k < sizeof fields / sizeof *fields; k++)
      if (sk_str_eq_c(sk_rd_text(head, i), fields[k].name)) *fields[k].to = parse_int(sk_rd_text(head, i + 1));
}

/* Appends the queues of a reply, with their counts; false when out of memory. */
static bool add_queues(struct count_walk *w, const struct rd_reply *queues, const struct rd_reply *counts) {
  struct sk_count_op *op = w->whole;
  if (op->queues_n + queues->n / 2 > w->cap) {
    w->cap = w->cap * 2 + queues->n / 2;
    struct sk_queue_count *grown = sk_arena_array(&op->op.arena, w->cap, sizeof *grown);
    if (grown == NULL) return false;
    if (op->queues_n) memcpy(grown, op->queues, op->queues_n * sizeof *grown);
    op->queues = grown;
  }
  struct sk_queue_count *first = op->queues + op->queues_n;
  size_t n = 0;
  for (size_t i = 0; i + 1 < queues->n; i += 2) {
    struct sk_str name = sk_rd_text(queues, i), value = sk_rd_text(queues, i + 1);
    if (name.n > 0)
      first[n++] = (struct sk_queue_count){ .name = name, .paused = sk_str_eq_c(value, "1") };
    else if (op->queues_version == 0)
      op->queues_version = (uint64_t)parse_int(value);
  }
  if (n) qsort(first, n, sizeof *first, compare_counts);
  for (size_t i = 0; i + 1 < counts->n && n; i += 2)
    add_count(first, n, sk_rd_text(counts, i), parse_int(sk_rd_text(counts, i + 1)));
  op->queues_n += n;
  return true;
}

/* By name, each once. */
static void sort_queues(struct sk_count_op *op) {
  if (op->queues_n == 0) return;
  qsort(op->queues, op->queues_n, sizeof *op->queues, compare_counts);
  size_t n = 1;
  for (size_t i = 1; i < op->queues_n; i++)
    if (compare_counts(&op->queues[n - 1], &op->queues[i]) != 0) op->queues[n++] = op->queues[i];
  op->queues_n = n;
}

static void print_head(const struct rd_reply *head, struct sk_buf *out) {
  for (size_t i = 0; i < head->n; i++) {
    sk_buf_add_str(out, sk_rd_text(head, i));
    sk_buf_addf(out, " ");
  }
}

/* -- the whole ----------------------------------------------------------------------------------------------------- */

static void on_step(struct sk_op *op, void *ctx);

static void next_step(struct count_walk *w) {
  w->step = (struct rd_count_op){ .op = { .cb = on_step, .ctx = w }, .cursor = w->cursor };
  sk_rd_submit_own(w->store, &w->step.op, RD_COUNT);
}

static void finish(struct count_walk *w, enum sk_code status) {
  rd_counted *done = w->done;
  struct rd_store *store = w->store;
  struct sk_count_op *whole = w->whole;
  void *ctx = w->ctx;
  sk_buf_fini(&w->head);
  free(w);
  done(store, whole, status, ctx);
}

static void on_step(struct sk_op *op, void *ctx) {
  struct count_walk *w = ctx;
  struct sk_count_op *whole = w->whole;
  if (op->status != SK_OK) {
    enum sk_code status = op->status;
    whole->op.err = op->err;
    sk_op_fini(op);
    finish(w, status);
    return;
  }
  const struct rd_reply *reply = w->step.reply, *head = reply->items[2];
  struct sk_str cursor = sk_rd_text(reply, 3);
  bool first = w->cursor[0] == '\0', last = cursor.n == 0, ok = add_queues(w, reply->items[0], reply->items[1]);
  snprintf(w->cursor, sizeof w->cursor, "%.*s", SK_STR_ARG(sk_str_head(cursor, sizeof w->cursor - 1)));
  if (first && !last) print_head(head, &w->head);
  if (last) read_counters(&whole->counters, head);
  if (last && !first) {
    struct sk_buf now = { 0 };
    print_head(head, &now);
    whole->moving = now.failed || w->head.failed || !sk_str_eq(sk_buf_str(&now), sk_buf_str(&w->head));
    sk_buf_fini(&now);
  }
  sk_arena_move(&whole->op.arena, &op->arena); /* the names */
  if (ok && !last) {
    next_step(w);
    return;
  }
  if (ok) sort_queues(whole);
  finish(w, ok ? SK_OK : SK_ENOMEM);
}

void sk_rd_count(struct rd_store *s, struct sk_count_op *op, rd_counted *done, void *ctx) {
  op->queues = NULL;
  op->queues_n = 0;
  op->queues_version = 0;
  op->moving = false;
  struct count_walk *w = malloc(sizeof *w);
  if (w == NULL) {
    done(s, op, SK_ENOMEM, ctx);
    return;
  }
  *w = (struct count_walk){ .store = s, .whole = op, .done = done, .ctx = ctx };
  next_step(w);
}
