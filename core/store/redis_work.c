/* redis_work.c - the Redis store's part in a job's life: enqueue, fetch, settle, beat, recover, progress, open. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "redis_scripts.h"
#include "store/redis.h"

/* No due time is later, and no delay longer: numbers in scripts are doubles. */
#define MS_MAX (INT64_C(1) << 52)

static int64_t ms(int64_t v) { return v < 0 ? 0 : v > MS_MAX ? MS_MAX : v; }

/* -- enqueue --------------------------------------------------------------------------------------------------------------- */

static size_t rank_of(int32_t priority) { return (size_t)(SK_PRIORITY_MAX - priority); }

/* id, where, body (lib/add.lua) */
static void add_item(struct rd_store *s, const struct sk_enqueue_item *it) {
  struct rd_command *c = &s->command;
  size_t queue = sk_rd_name(s, it->queue);
  size_t list = (queue - 1) * SK_PRIORITIES + rank_of(it->priority) + 1;
  char where[64];
  if (queue == 0) c->args.failed = true;
  if (it->delay_ms > 0)
    snprintf(where, sizeof where, "%zu+%" PRId64, list, ms(it->delay_ms));
  else if (it->due_ms > 0)
    snprintf(where, sizeof where, "%zu@%" PRId64, list, ms(it->due_ms));
  else
    snprintf(where, sizeof where, "%zu", list);
  sk_rd_arg(c, it->id);
  sk_rd_arg_c(c, where);
  /* body: rank, lengths and names, record, as one argument */
  char digits[32];
  size_t n = 3 + it->queue.n + it->task.n + it->record.n;
  int digits_n = snprintf(digits, sizeof digits, "$%zu\r\n", n);
  struct sk_buf *b = &c->args;
  sk_buf_reserve(b, n + (size_t)digits_n + 2);
  sk_buf_add(b, digits, (size_t)digits_n);
  sk_buf_add_byte(b, (char)('0' + rank_of(it->priority)));
  sk_buf_add_byte(b, (char)it->queue.n);
  sk_buf_add_str(b, it->queue);
  sk_buf_add_byte(b, (char)it->task.n);
  sk_buf_add_str(b, it->task);
  sk_buf_add_str(b, it->record);
  sk_buf_add(b, "\r\n", 2);
  c->n++;
}

/* Arguments name queues by number, but the keys come first: names all queues, in the order in which they will be met. */
static void name_items(struct rd_store *s, const struct sk_enqueue_item *items, size_t n) {
  for (size_t i = 0; i < n; i++) sk_rd_name(s, items[i].queue);
}

void sk_rd_enqueue_build(struct rd_store *s, struct sk_op *whole) {
  const struct sk_enqueue_op *op = (void *)whole;
  sk_rd_name_none(s);
  name_items(s, op->items, op->items_n);
  sk_rd_begin(s, RD_SCRIPT_ENQUEUE);
  for (size_t i = 0; i < op->items_n; i++) add_item(s, &op->items[i]);
}

enum rd_next sk_rd_enqueue_parse(struct rd_store *s, struct sk_op *whole, const struct rd_reply *reply) {
  struct sk_enqueue_op *op = (void *)whole;
  if (reply->type != RD_TEXT || (reply->text.n != 0 && reply->text.n != op->items_n)) return sk_rd_odd(s, whole, "enqueue");
  for (size_t i = 0; i < op->items_n; i++) op->items[i].status = reply->text.n && reply->text.p[i] == '1' ? SK_EEXISTS : SK_OK;
  return RD_DONE;
}

/* -- fetch ----------------------------------------------------------------------------------------------------------------- */

void sk_rd_fetch_build(struct rd_store *s, struct sk_op *whole) {
  const struct sk_fetch_op *op = (void *)whole;
  sk_rd_name_none(s);
  for (size_t i = 0; i < op->queues_n; i++) sk_rd_name(s, op->queues[i].name);
  sk_rd_begin(s, RD_SCRIPT_FETCH);
  sk_rd_arg_int(&s->command, (int64_t)op->want);
  for (size_t i = 0; i < s->named.n; i++) {
    size_t quota = 0; /* a queue that is named twice */
    for (size_t k = 0; k < op->queues_n; k++)
      if (sk_str_eq(op->queues[k].name, s->named.names[i])) quota += op->queues[k].quota < op->want ? op->queues[k].quota : op->want;
    sk_rd_arg_int(&s->command, (int64_t)quota);
  }
}

enum rd_next sk_rd_fetch_parse(struct rd_store *s, struct sk_op *whole, const struct rd_reply *reply) {
  struct sk_fetch_op *op = (void *)whole;
  const struct rd_reply *ids = sk_rd_item(reply, 6, RD_ARRAY), *values = sk_rd_item(reply, 7, RD_ARRAY);
  if (ids == NULL || values == NULL || ids->n != values->n) return sk_rd_odd(s, whole, "fetch");
  s->lost |= sk_rd_number(reply, 0) != 0;
  uint64_t fence = (uint64_t)sk_rd_number(reply, 1);
  if (fence > s->last_fence) s->last_fence = fence;
  op->due_in_ms = sk_rd_number(reply, 2);
  op->more = sk_rd_number(reply, 3) != 0;
  op->queues_version = (uint64_t)sk_rd_number(reply, 4);
  int64_t now_ms = sk_rd_number(reply, 5);
  op->held = sk_arena_array(&whole->arena, ids->n, sizeof *op->held);
  if (op->held == NULL) { /* what it took is handed back before the next one */
    s->orphans = true;
    s->last_fence = fence - 1;
    whole->status = SK_ENOMEM;
    return RD_DONE;
  }
  for (size_t i = 0; i < ids->n; i++) {
    struct rd_value value;
    bool good = sk_rd_value_read(sk_rd_text(values, i), &value);
    op->held[op->held_n++] = (struct sk_held){
      .id = sk_rd_text(ids, i),
      .queue = value.queue,
      .record = value.record,
      .priority = value.priority,
      .fence = fence,
      .late_ms = good && value.due_ms < now_ms ? now_ms - value.due_ms : 0,
    };
  }
  return RD_DONE;
}

/* -- settle ---------------------------------------------------------------------------------------------------------------- */

static bool is_plain_end(const struct sk_settle_item *it) {
  bool gone = it->kind == SK_SETTLE_DROP || (it->kind == SK_SETTLE_DONE && it->keep_ms <= 0);
  return gone && !it->crashed && it->follow_n == 0;
}

static void add_settle(struct rd_store *s, const struct sk_settle_item *it) {
  static const char *const kinds[SK_SETTLE_KINDS] = {
    [SK_SETTLE_DONE] = "d", [SK_SETTLE_RETRY] = "t", [SK_SETTLE_SNOOZE] = "s",    [SK_SETTLE_DEAD] = "D",
    [SK_SETTLE_DROP] = "x", [SK_SETTLE_CANCELLED] = "c", [SK_SETTLE_RELEASE] = "r",
  };
  struct rd_command *c = &s->command;
  size_t queue = sk_rd_name(s, it->queue);
  sk_rd_arg(c, it->id);
  sk_rd_arg_int(c, (int64_t)it->fence);
  if (is_plain_end(it)) {
    char what[32];
    snprintf(what, sizeof what, "%c%zu", it->kind == SK_SETTLE_DONE ? 'd' : 'x', queue);
    sk_rd_arg_c(c, what);
    return;
  }
  sk_rd_arg_c(c, "=");
  sk_rd_arg_c(c, kinds[it->kind]);
  sk_rd_arg_int(c, (int64_t)queue);
  sk_rd_arg_int(c, (int64_t)(it->to_queue.n ? sk_rd_name(s, it->to_queue) : queue));
  sk_rd_arg_int(c, ms(it->delay_ms));
  sk_rd_arg_int(c, ms(it->keep_ms));
  sk_rd_arg_c(c, it->crashed ? "1" : "0");
  sk_rd_arg(c, it->record);
  sk_rd_arg_int(c, (int64_t)it->follow_n);
  for (size_t i = 0; i < it->follow_n; i++) add_item(s, &it->follow[i]);
}

void sk_rd_settle_build(struct rd_store *s, struct sk_op *whole) {
  const struct sk_settle_op *op = (void *)whole;
  sk_rd_name_none(s);
  for (size_t i = 0; i < op->items_n; i++) {
    sk_rd_name(s, op->items[i].queue);
    if (op->items[i].to_queue.n) sk_rd_name(s, op->items[i].to_queue);
    name_items(s, op->items[i].follow, op->items[i].follow_n);
  }
  sk_rd_begin(s, RD_SCRIPT_SETTLE);
  for (size_t i = 0; i < op->items_n; i++) add_settle(s, &op->items[i]);
}

enum rd_next sk_rd_settle_parse(struct rd_store *s, struct sk_op *whole, const struct rd_reply *reply) {
  struct sk_settle_op *op = (void *)whole;
  struct sk_str statuses = sk_rd_text(reply, 1), follow = sk_rd_text(reply, 2);
  if (sk_rd_item(reply, 1, RD_TEXT) == NULL || (statuses.n != 0 && statuses.n != op->items_n)) return sk_rd_odd(s, whole, "settle");
  s->lost |= sk_rd_number(reply, 0) != 0;
  size_t at = 0;
  for (size_t i = 0; i < op->items_n; i++) {
    struct sk_settle_item *it = &op->items[i];
    it->status = statuses.n && statuses.p[i] == '1' ? SK_ESTALE : SK_OK;
    for (size_t k = 0; k < it->follow_n; k++, at++) it->follow[k].status = at < follow.n && follow.p[at] == '1' ? SK_EEXISTS : SK_OK;
  }
  return RD_DONE;
}

/* -- beat ------------------------------------------------------------------------------------------------------------------ */

void sk_rd_beat_build(struct rd_store *s, struct sk_op *whole) {
  (void)whole;
  sk_rd_name_none(s);
  sk_rd_begin(s, RD_SCRIPT_BEAT);
  sk_rd_arg_c(&s->command, s->said);
}

/* A recover that a beat asked for. */
struct beat_recover {
  struct rd_recover_op recover; /* its engines are in the beat's arena */
  struct rd_store *store;
  struct sk_beat_op *beat;
};

static void beat_done(struct rd_store *s, struct sk_beat_op *op, enum sk_code status) {
  if (status == SK_OK) {
    op->lost = s->lost;
    s->lost = false;
  }
  sk_rd_answer(s, &op->op, status);
}

static void on_recovered(struct sk_op *whole, void *ctx) {
  struct beat_recover *r = ctx;
  struct sk_beat_op *beat = r->beat;
  beat->recovered = r->recover.recovered;
  if (whole->status != SK_OK) beat->op.err = whole->err;
  beat_done(r->store, beat, whole->status);
  sk_op_fini(whole);
  free(r);
}

/* Those whose lease is over, and those of this machine that are dead, in pairs for recover.lua. */
static size_t find_gone(struct sk_str *out, const struct rd_reply *gone, const struct rd_reply *others) {
  size_t n = 0;
  for (size_t i = 0; i < gone->n; i++, n++) {
    out[n * 2] = sk_rd_text(gone, i);
    out[n * 2 + 1] = sk_str(NULL, 0);
  }
  for (size_t i = 0; i + 1 < others->n; i += 2) {
    if (!sk_rd_is_dead(sk_rd_text(others, i + 1))) continue;
    out[n * 2] = sk_rd_text(others, i);
    out[n * 2 + 1] = sk_rd_text(others, i + 1);
    n++;
  }
  return n;
}

enum rd_next sk_rd_beat_parse(struct rd_store *s, struct sk_op *whole, const struct rd_reply *reply) {
  struct sk_beat_op *op = (void *)whole;
  const struct rd_reply *gone = sk_rd_item(reply, 2, RD_ARRAY), *others = sk_rd_item(reply, 3, RD_ARRAY);
  if (gone == NULL || others == NULL) return sk_rd_odd(s, whole, "beat");
  s->lost |= sk_rd_number(reply, 0) != 0;
  if (sk_rd_number(reply, 1) != 0) return RD_AGAIN; /* more records to drop */
  struct sk_str *engines = sk_arena_array(&whole->arena, gone->n * 2 + others->n, sizeof *engines);
  size_t n = engines ? find_gone(engines, gone, others) : 0;
  struct beat_recover *r = n ? calloc(1, sizeof *r) : NULL;
  if (r == NULL) { /* nobody is gone; out of memory, the next beat recovers them */
    op->lost = s->lost;
    s->lost = false;
    return RD_DONE;
  }
  *r = (struct beat_recover){ .store = s, .beat = op };
  r->recover.op = (struct sk_op){ .cb = on_recovered, .ctx = r };
  r->recover.how = "gone";
  r->recover.engines = engines;
  r->recover.engines_n = n;
  sk_rd_submit_own(s, &r->recover.op, RD_RECOVER);
  return RD_LATER;
}

void sk_rd_recover_build(struct rd_store *s, struct sk_op *whole) {
  const struct rd_recover_op *op = (void *)whole;
  sk_rd_name_all(s);
  sk_rd_begin(s, RD_SCRIPT_RECOVER);
  sk_rd_arg_c(&s->command, op->how);
  for (size_t i = 0; i < op->engines_n * 2; i++) sk_rd_arg(&s->command, op->engines[i]);
  if (op->engines_n == 0) sk_rd_arg_int(&s->command, (int64_t)op->fence);
}

enum rd_next sk_rd_recover_parse(struct rd_store *s, struct sk_op *whole, const struct rd_reply *reply) {
  struct rd_recover_op *op = (void *)whole;
  if (sk_rd_learns_queues(s, reply)) return RD_AGAIN;
  if (sk_rd_item(reply, 0, RD_INT) == NULL) return sk_rd_odd(s, whole, "recover");
  op->recovered = (size_t)sk_rd_number(reply, 0);
  return RD_DONE;
}

/* -- progress, open -------------------------------------------------------------------------------------------------------- */

void sk_rd_progress_build(struct rd_store *s, struct sk_op *whole) {
  const struct sk_progress_op *op = (void *)whole;
  sk_rd_name_none(s);
  sk_rd_begin(s, RD_SCRIPT_PROGRESS);
  for (size_t i = 0; i < op->items_n; i++) {
    const struct sk_progress_item *it = &op->items[i];
    sk_rd_arg(&s->command, it->id);
    sk_rd_arg_int(&s->command, (int64_t)it->fence);
    sk_rd_arg_int(&s->command, it->percent);
    sk_rd_arg(&s->command, sk_str_head(it->note, SK_NOTE_BYTES_MAX));
  }
}

enum rd_next sk_rd_progress_parse(struct rd_store *s, struct sk_op *whole, const struct rd_reply *reply) {
  if (sk_rd_item(reply, 0, RD_INT) == NULL) return sk_rd_odd(s, whole, "progress");
  s->lost |= sk_rd_number(reply, 0) != 0;
  return RD_DONE;
}

void sk_rd_open_build(struct rd_store *s, struct sk_op *whole) {
  const struct rd_open_op *op = (void *)whole;
  sk_rd_name_none(s);
  sk_rd_begin(s, RD_SCRIPT_OPEN);
  sk_rd_arg_c(&s->command, "1");
  sk_rd_arg_c(&s->command, op->must_exist ? "1" : "0");
}

enum rd_next sk_rd_open_parse(struct rd_store *s, struct sk_op *whole, const struct rd_reply *reply) {
  struct rd_open_op *op = (void *)whole;
  if (reply->type != RD_TEXT) return sk_rd_odd(s, whole, "open");
  op->format = reply->text;
  return RD_DONE;
}

