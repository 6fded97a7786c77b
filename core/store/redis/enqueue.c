/* redis/enqueue.c - the Redis store's part in a job's beginning: enqueue, and the follow-ups of a settle. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/clock.h"
#include "redis_scripts.h"
#include "logic/record.h"
#include "store/redis/redis.h"

#define MS_MAX (INT64_C(1) << 52)

enum {
  WHERE_BYTES = 64,
  STORE_MIN = 16,         /* with fewer jobs the one script is faster */
  PLACES_MAX = 8,         /* to which they go: each is a command of its own */
  BOUNDED_FOR_MS = 10000, /* how long a queue that was bounded is assumed to be bounded still */
};

int64_t sk_rd_ms(int64_t v) { return v < 0 ? 0 : v > MS_MAX ? MS_MAX : v; }

static size_t rank_of(int32_t priority) { return (size_t)(SK_PRIORITY_MAX - priority); }

bool sk_rd_is_tied(const struct sk_enqueue_item *it) { return it->lock.mode != SK_LOCK_NONE || it->limit.group.n > 0; }

/* Where a job goes (lib/add.lua). */
static void where_of(struct rd_store *s, const struct sk_enqueue_item *it, char out[WHERE_BYTES]) {
  size_t queue = sk_rd_name(s, it->queue);
  size_t list = (queue - 1) * SK_PRIORITIES + rank_of(it->priority) + 1;
  if (queue == 0) s->command.args.failed = true;
  if (it->delay_ms > 0)
    snprintf(out, WHERE_BYTES, "%zu+%" PRId64, list, sk_rd_ms(it->delay_ms));
  else if (it->due_ms > 0)
    snprintf(out, WHERE_BYTES, "%zu@%" PRId64, list, sk_rd_ms(it->due_ms));
  else
    snprintf(out, WHERE_BYTES, "%zu", list);
  if (sk_rd_is_tied(it)) strcat(out, "*");
}

/* A READY job's value (lib/value.lua) as one argument. */
static void add_value(struct rd_store *s, const struct sk_enqueue_item *it) {
  struct sk_str record = sk_record_stamp(it->record, sk_rd_now_ms(s), &s->stamped);
  if (record.p == NULL && it->record.n > 0) s->command.args.failed = true;
  size_t n = 4 + it->queue.n + it->task.n + record.n;
  struct sk_buf *b = &s->command.args;
  sk_rd_arg_begin(&s->command, n);
  sk_buf_add_byte(b, 'r');
  sk_buf_add_byte(b, (char)('0' + rank_of(it->priority)));
  sk_buf_add_byte(b, (char)it->queue.n);
  sk_buf_add_str(b, it->queue);
  sk_buf_add_byte(b, (char)it->task.n);
  sk_buf_add_str(b, it->task);
  sk_buf_add_str(b, record);
  sk_buf_add(b, "\r\n", 2);
}

/* head and then rest as one argument. */
static void add_two(struct rd_store *s, const char *head, struct sk_str rest) {
  struct sk_buf *b = &s->command.args;
  size_t n = strlen(head);
  sk_rd_arg_begin(&s->command, n + rest.n);
  sk_buf_add(b, head, n);
  sk_buf_add_str(b, rest);
  sk_buf_add(b, "\r\n", 2);
}

/* The forms that locks and limits have in a record (lock.h, limit.h). */
static void add_ties(struct rd_store *s, const struct sk_enqueue_item *it) {
  static const char *const modes[] = {
    [SK_LOCK_NONE] = "", [SK_LOCK_REJECT] = "reject", [SK_LOCK_REPLACE] = "replace", [SK_LOCK_THROTTLE] = "throttle"
  };
  const struct sk_limit *l = &it->limit;
  char head[128] = "";
  if (it->lock.mode != SK_LOCK_NONE)
    snprintf(head, sizeof head, "%s;%" PRId64 ";=", modes[it->lock.mode], sk_rd_ms(it->lock.ttl_ms));
  add_two(s, head, it->lock.key);
  head[0] = '\0';
  if (l->group.n)
    snprintf(head, sizeof head, "%" PRId64 ";%" PRId64 ";%" PRId64 ";%" PRId64 ";%s;=", l->concurrency, l->rate,
             l->per_ms, l->burst, l->strict ? "strict" : "any");
  add_two(s, head, l->group);
}

void sk_rd_add_callback(struct rd_store *s, const struct sk_enqueue_item *it) {
  char where[WHERE_BYTES];
  where_of(s, it, where);
  sk_rd_arg(&s->command, it->id);
  sk_rd_arg_c(&s->command, where);
  add_value(s, it);
  if (sk_rd_is_tied(it)) add_ties(s, it);
}

/* Names all queues, in the order in which the arguments will refer to them: arguments name queues by number, and the
 * keys precede them. */
void sk_rd_name_items(struct rd_store *s, const struct sk_enqueue_item *items, size_t n) {
  for (size_t i = 0; i < n; i++)
    if (i == 0 || !sk_str_eq(items[i].queue, items[i - 1].queue)) sk_rd_name(s, items[i].queue);
}

static int compare_ids(const void *pa, const void *pb) {
  const struct sk_str *a = pa, *b = pb;
  if (a->n != b->n) return a->n < b->n ? -1 : 1;
  return memcmp(a->p, b->p, a->n);
}

/* May an id be there twice?  (When in doubt yes: it only costs time.) */
static bool has_twins(const struct sk_enqueue_item *items, size_t n) {
  size_t ascending = 1; /* as ids are that one client makes */
  while (ascending < n && compare_ids(&items[ascending - 1].id, &items[ascending].id) < 0) ascending++;
  if (ascending >= n) return false;
  struct sk_str *ids = malloc(n * sizeof *ids);
  if (ids == NULL) return true;
  for (size_t i = 0; i < n; i++) ids[i] = items[i].id;
  qsort(ids, n, sizeof *ids, compare_ids);
  bool found = false;
  for (size_t i = 1; i < n && !found; i++) found = compare_ids(&ids[i - 1], &ids[i]) == 0;
  free(ids);
  return found;
}

static bool same_place(const struct sk_enqueue_item *a, const struct sk_enqueue_item *b) {
  return sk_rd_is_tied(a) == sk_rd_is_tied(b) && a->priority == b->priority && a->delay_ms == b->delay_ms &&
         a->due_ms == b->due_ms && sk_str_eq(a->queue, b->queue);
}

void sk_rd_enqueue_build(struct rd_store *s, struct sk_op *whole) {
  const struct sk_enqueue_op *op = (void *)whole;
  char where[WHERE_BYTES];
  sk_rd_name_none(s);
  sk_rd_name_items(s, op->items, op->items_n);
  if (whole->kind == RD_ENQUEUE_ALL) sk_rd_name_known(s);
  sk_rd_begin(s, RD_SCRIPT_ENQUEUE);
  sk_rd_arg_c(&s->command, has_twins(op->items, op->items_n) ? "1!" : "0!");
  for (size_t i = 0, end; i < op->items_n; i = end) {
    where_of(s, &op->items[i], where);
    for (end = i + 1; end < op->items_n && same_place(&op->items[i], &op->items[end]);) end++;
    sk_rd_arg_c(&s->command, where);
    sk_rd_arg_int(&s->command, (int64_t)(end - i));
    for (size_t k = i; k < end; k++) {
      sk_rd_arg(&s->command, op->items[k].id);
      add_value(s, &op->items[k]);
      if (sk_rd_is_tied(&op->items[k])) add_ties(s, &op->items[k]);
    }
  }
}

void sk_rd_read_status(struct sk_enqueue_item *it, char letter, const struct rd_reply *holders, size_t *at) {
  it->status = letter == '0' ? SK_OK : letter == '3' ? SK_ELIMIT : SK_EEXISTS;
  it->holder = letter == '2' ? sk_rd_text(holders, (*at)++) : sk_str(NULL, 0);
}

/* Text, or text and holders. */
enum rd_next sk_rd_enqueue_parse(struct rd_store *s, struct sk_op *whole, const struct rd_reply *reply) {
  struct sk_enqueue_op *op = (void *)whole;
  if (sk_rd_learns_queues(s, reply)) {
    whole->kind = RD_ENQUEUE_ALL;
    return RD_AGAIN;
  }
  const struct rd_reply *text = reply->type == RD_ARRAY ? sk_rd_item(reply, 0, RD_TEXT) : reply,
                        *holders = sk_rd_item(reply, 1, RD_ARRAY);
  if (text == NULL || text->type != RD_TEXT || (text->text.n != 0 && text->text.n != op->items_n))
    return sk_rd_odd(s, whole, "enqueue");
  size_t holder = 0;
  for (size_t i = 0; i < op->items_n; i++)
    sk_rd_read_status(&op->items[i], text->text.n ? text->text.p[i] : '0', holders, &holder);
  return RD_DONE;
}

/* -- many jobs in a MULTI ---------------------------------------------------------------------------------------------
 * A job that goes through a script is copied into Redis's Lua and out of it again, which costs more than all the rest
 * of the enqueue.  Where nothing has to be decided, plain commands bring values and ids in, and the script `stored`
 * does the rest:
 *
 *   MULTI ; HSET jobs id value ... ; RPUSH list id ... (for each list) ; EVAL stored ... ; EXEC
 *
 * The script is sent by EVAL and not by EVALSHA, since a missing script would be noticed only after the values are in.
 * When memory is full, this is no master or the slot has moved, Redis refuses a command before EXEC, or the whole EXEC.
 */

/* Where the items go: of each place the first item that goes there. */
struct places {
  size_t first[PLACES_MAX], n;
};

/* False when there are more places than that. */
static bool find_places(const struct sk_enqueue_item *items, size_t n, struct places *out) {
  out->n = 0;
  for (size_t i = 0; i < n; i++) {
    size_t k = out->n;
    while (k > 0 && !same_place(&items[out->first[k - 1]], &items[i])) k--;
    if (k > 0) continue;
    if (out->n == PLACES_MAX) return false;
    out->first[out->n++] = i;
  }
  return true;
}

bool sk_rd_can_store(const struct rd_store *s, const struct sk_enqueue_item *items, size_t n) {
  struct places places;
  if (n < STORE_MIN || !sk_rd_conn_can_multi(s->calls) ||
      (s->bounded_ms && sk_clock_mono_ms() - s->bounded_ms < BOUNDED_FOR_MS))
    return false;
  for (size_t i = 0; i < n; i++)
    if (!items[i].fresh || items[i].due_ms > 0 || items[i].delay_ms > 0 || sk_rd_is_tied(&items[i])) return false;
  return find_places(items, n, &places);
}

/* One RPUSH; how many jobs it adds. */
static size_t add_push(struct rd_store *s, const struct sk_enqueue_op *op, size_t first) {
  const struct sk_enqueue_item *lead = &op->items[first];
  size_t n = 0;
  sk_rd_arg_c(&s->command, "RPUSH");
  sk_rd_list_key(s, rank_of(lead->priority), lead->queue);
  for (size_t i = first; i < op->items_n; i++) {
    if (!same_place(lead, &op->items[i])) continue;
    sk_rd_arg(&s->command, op->items[i].id);
    n++;
  }
  sk_rd_next(s);
  return n;
}

void sk_rd_stored_build(struct rd_store *s, struct sk_op *whole) {
  const struct sk_enqueue_op *op = (void *)whole;
  struct rd_command *c = &s->command;
  char where[WHERE_BYTES];
  size_t pushed[PLACES_MAX];
  struct places places;
  find_places(op->items, op->items_n, &places);
  whole->scratch = places.n;
  sk_rd_arg_c(c, "MULTI");
  sk_rd_next(s);
  sk_rd_arg_c(c, "HSET");
  sk_rd_key(s, "jobs");
  for (size_t i = 0; i < op->items_n; i++) {
    sk_rd_arg(c, op->items[i].id);
    add_value(s, &op->items[i]);
  }
  sk_rd_next(s);
  for (size_t k = 0; k < places.n; k++) pushed[k] = add_push(s, op, places.first[k]);
  sk_rd_name_none(s);
  for (size_t k = 0; k < places.n; k++) sk_rd_name(s, op->items[places.first[k]].queue);
  sk_rd_begin_text(s, RD_SCRIPT_STORED);
  for (size_t k = 0; k < places.n; k++) {
    where_of(s, &op->items[places.first[k]], where);
    sk_rd_arg_c(c, where);
    sk_rd_arg_int(c, (int64_t)pushed[k]);
  }
  sk_rd_next(s);
  sk_rd_arg_c(c, "EXEC");
}

/* { how many ids were new, the length of each list, what the script says } */
enum rd_next sk_rd_stored_parse(struct rd_store *s, struct sk_op *whole, const struct rd_reply *reply) {
  struct sk_enqueue_op *op = (void *)whole;
  size_t last = 1 + whole->scratch;
  const struct rd_reply *error = sk_rd_item(reply, last, RD_ERROR), *text = sk_rd_item(reply, last, RD_TEXT);
  if (error) {
    op->op.status =
        sk_err_set(&op->op.err, SK_ECORRUPT, "%s: %.*s", s->config.shown, SK_STR_ARG(sk_str_head(error->text, 300)));
    return RD_DONE;
  }
  if (text == NULL || sk_rd_number(reply, 0) != (int64_t)op->items_n) return sk_rd_odd(s, whole, "enqueue");
  if (text->text.n > 0) {
    if (sk_str_eq_c(text->text, "bounds")) s->bounded_ms = sk_clock_mono_ms();
    whole->kind = RD_ENQUEUE;
    return RD_AGAIN;
  }
  for (size_t i = 0; i < op->items_n; i++) sk_rd_read_status(&op->items[i], '0', NULL, NULL);
  return RD_DONE;
}
