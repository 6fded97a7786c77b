/* redis/work.c - the Redis store's part in a job's life: fetch, settle, beat, recover, progress, open. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "logic/fields.h"
#include "redis_scripts.h"
#include "store/redis/redis.h"

enum { GROUP_MAX = 2000 }; /* jobs of a settle in one group */

/* -- fetch --------------------------------------------------------------------------------------------------------- */

/* The queues of a fetch are named in its order, for the command and for its reply. */
static void name_fetched(struct rd_store *s, const struct sk_fetch_op *op) {
  sk_rd_name_none(s);
  for (size_t i = 0; i < op->queues_n; i++) sk_rd_name(s, op->queues[i].name);
}

void sk_rd_fetch_build(struct rd_store *s, struct sk_op *whole) {
  const struct sk_fetch_op *op = (void *)whole;
  name_fetched(s, op);
  sk_rd_begin(s, RD_SCRIPT_FETCH);
  sk_rd_arg_int(&s->command, (int64_t)op->want);
  for (size_t i = 0; i < s->named.n; i++) {
    size_t quota = 0; /* a queue that is named twice */
    for (size_t k = 0; k < op->queues_n; k++)
      if (sk_str_eq(op->queues[k].name, s->named.names[i]))
        quota += op->queues[k].quota < op->want ? op->queues[k].quota : op->want;
    sk_rd_arg_int(&s->command, (int64_t)quota);
  }
}

/* Takes the first off ids that are joined by spaces. */
static struct sk_str next_id(struct sk_str *ids) {
  const char *space = memchr(ids->p, ' ', ids->n);
  struct sk_str id = sk_str(ids->p, space ? (size_t)(space - ids->p) : ids->n);
  size_t taken = id.n + (space != NULL);
  *ids = sk_str(ids->p + taken, ids->n - taken);
  return id;
}

/* Whose jobs are next in a fetch's reply: pairs of a queue's number and how many. */
struct sources {
  const struct rd_reply *pairs;
  size_t at;
  int64_t left;       /* of the pair before `at`, */
  struct sk_str name; /* ... and its queue, in the arena */
};

/* The queue that the next job was taken from; empty when the reply does not say. */
static struct sk_str next_source(struct rd_store *s, struct sources *from, struct sk_arena *arena) {
  while (from->left == 0 && from->at + 1 < from->pairs->n) {
    size_t queue = (size_t)sk_rd_number(from->pairs, from->at);
    from->name = queue >= 1 && queue <= s->named.n ? sk_arena_copy(arena, s->named.names[queue - 1]) : sk_str(NULL, 0);
    from->left = sk_rd_number(from->pairs, from->at + 1);
    from->at += 2;
  }
  if (from->left <= 0) return sk_str(NULL, 0);
  from->left--;
  return from->name;
}

/* What is wrong with a job that was taken from that queue; empty: nothing. */
static struct sk_str wrong_with(const struct rd_value *value, bool readable, struct sk_str queue) {
  if (!readable) return SK_STR_LIT("what the store has of it is no job");
  if (!sk_str_eq(value->queue, queue)) return SK_STR_LIT("it stood in another queue than it names");
  if (value->code != 'r' && value->code != 'f' && value->code != 'g' && value->code != 's' && value->code != 't')
    return SK_STR_LIT("it stood in a queue after its end");
  return sk_str(NULL, 0);
}

/* The jobs of one fence; false when ids, values and queues are not as many. */
static bool add_held(struct rd_store *s, struct sk_fetch_op *op, uint64_t fence, struct sk_str ids,
                     const struct rd_reply *values, struct sources *from, int64_t now_ms) {
  size_t before = op->jobs_n;
  for (size_t i = 0; i < values->n && ids.n > 0; i++) {
    struct rd_value value;
    struct sk_str bytes = sk_rd_text(values, i), queue = next_source(s, from, &op->op.arena);
    bool good = sk_rd_value_read(bytes, &value);
    if (queue.n == 0) return false;
    op->jobs[op->jobs_n++] = (struct sk_fetched){
      .id = next_id(&ids),
      .queue = queue,
      .record = good ? value.record : bytes,
      .wrong = wrong_with(&value, good, queue),
      .priority = value.priority,
      .fence = fence,
      .late_ms = good && value.due_ms < now_ms ? now_ms - value.due_ms : 0,
    };
  }
  return op->jobs_n - before == values->n && ids.n == 0;
}

static bool add_all_held(struct rd_store *s, struct sk_fetch_op *op, const struct rd_reply *reply) {
  const struct rd_reply *taken = reply->items[5];
  struct sources from = { .pairs = sk_rd_item(reply, 7, RD_ARRAY) };
  if (from.pairs == NULL) return false;
  for (size_t i = 0; i < taken->n; i += 3) {
    uint64_t fence = (uint64_t)sk_rd_number(taken, i);
    if (!add_held(s, op, fence, sk_rd_text(taken, i + 1), taken->items[i + 2], &from, sk_rd_number(reply, 4)))
      return false;
  }
  return true;
}

/* How many jobs a fetch has taken; false when the reply makes no sense. */
static bool count_taken(const struct rd_reply *taken, size_t *n) {
  if (taken == NULL || taken->n % 3 != 0) return false;
  *n = 0;
  for (size_t i = 0; i < taken->n; i += 3) {
    const struct rd_reply *values = sk_rd_item(taken, i + 2, RD_ARRAY);
    if (values == NULL || sk_rd_item(taken, i + 1, RD_TEXT) == NULL) return false;
    *n += values->n;
  }
  return true;
}

/* What a reply that makes no sense has taken is handed back before the next fetch. */
static enum rd_next odd_fetch(struct rd_store *s, struct sk_op *whole) {
  s->orphans = true;
  return sk_rd_odd(s, whole, "fetch");
}

/* What each queue has left; with one named it is what all of them have. */
static void read_left(struct sk_fetch_op *op, const struct rd_reply *left) {
  for (size_t i = 0; i < op->queues_n; i++) {
    struct sk_fetch_queue *queue = &op->queues[i];
    int64_t said =
        left && left->n == op->queues_n ? sk_rd_number(left, i) : -1; /* else one is named twice, or there is one */
    queue->has_more = said >= 0 ? said % 2 != 0 : op->has_more;
    queue->due_in_ms = said >= 0 ? said / 2 - 1 : op->due_in_ms;
  }
}

enum rd_next sk_rd_fetch_parse(struct rd_store *s, struct sk_op *whole, const struct rd_reply *reply) {
  struct sk_fetch_op *op = (void *)whole;
  const struct rd_reply *taken = sk_rd_item(reply, 5, RD_ARRAY); /* for each fence: it, ids, values */
  size_t n;
  if (!count_taken(taken, &n)) return odd_fetch(s, whole);
  sk_rd_mark_left(s, whole);
  op->due_in_ms = sk_rd_number(reply, 1);
  op->has_more = sk_rd_number(reply, 2) != 0;
  op->queues_version = (uint64_t)sk_rd_number(reply, 3);
  read_left(op, sk_rd_item(reply, 8, RD_ARRAY));
  const struct rd_reply *stops = sk_rd_item(reply, 6, RD_ARRAY);
  op->jobs = sk_arena_array(&whole->arena, n, sizeof *op->jobs);
  op->stops = sk_arena_array(&whole->arena, stops ? stops->n : 0, sizeof *op->stops);
  if (op->jobs == NULL || op->stops == NULL) { /* what it took is handed back before the next one */
    s->orphans = true;
    whole->status = SK_ENOMEM;
    return RD_DONE;
  }
  for (size_t i = 0; stops && i < stops->n; i++) op->stops[op->stops_n++] = sk_rd_text(stops, i);
  if (n > 0) name_fetched(s, op);
  if (!add_all_held(s, op, reply)) return odd_fetch(s, whole);
  for (size_t i = 0; i < taken->n; i += 3)
    if ((uint64_t)sk_rd_number(taken, i) > s->last_fence) s->last_fence = (uint64_t)sk_rd_number(taken, i);
  return RD_DONE;
}

/* -- settle -------------------------------------------------------------------------------------------------------- */

/* What is sent in groups: jobs that end, with nothing that belongs to one of them alone. */
enum sort { ALONE, GONE, STAYS };

static enum sort sort_of(const struct sk_settle_item *it) {
  if (it->crashed || it->callbacks_n > 0) return ALONE;
  switch (it->kind) {
  case SK_SETTLE_DROP: return GONE;
  case SK_SETTLE_DONE: return it->keep_ms > 0 ? STAYS : GONE;
  case SK_SETTLE_CANCELLED: return it->keep_ms > 0 ? STAYS : ALONE;
  case SK_SETTLE_DEAD: return STAYS;
  case SK_SETTLE_RETRY:
  case SK_SETTLE_SNOOZE:
  case SK_SETTLE_RELEASE: break;
  }
  return ALONE;
}

/* Two items go together, as long as no item that goes alone stands between them, in two cases: their jobs are gone and
 * they share fence, queue and kind, or their jobs stay and they share the kind, since their order is to be seen. */
static bool go_together(const struct sk_settle_item *a, const struct sk_settle_item *b) {
  enum sort sort = sort_of(a);
  if (sort == ALONE || sort != sort_of(b) || a->kind != b->kind) return false;
  return sort == STAYS || (a->fence == b->fence && sk_str_eq(a->queue, b->queue));
}

/* In one group. */
static bool same_group(const struct sk_settle_item *a, const struct sk_settle_item *b) {
  if (!go_together(a, b)) return false;
  return sort_of(a) == GONE || (a->fence == b->fence && a->keep_ms == b->keep_ms && sk_str_eq(a->queue, b->queue));
}

static int compare_ids(const void *pa, const void *pb, void *ctx) {
  const struct sk_settle_op *op = ctx;
  struct sk_str a = op->items[*(const uint32_t *)pa].id, b = op->items[*(const uint32_t *)pb].id;
  if (a.n != b.n) return a.n < b.n ? -1 : 1;
  return memcmp(a.p, b.p, a.n);
}

/* True when items of several kinds end one job, and also when that is in doubt.  Such items must not change places,
 * because the first one counts. */
static bool are_at_odds(struct sk_settle_op *op, uint32_t *scratch) {
  bool several = false;
  for (size_t i = 1; i < op->items_n && !several; i++)
    several = op->items[i].kind != op->items[0].kind || sort_of(&op->items[i]) != sort_of(&op->items[0]);
  if (!several) return false;
  for (size_t i = 0; i < op->items_n; i++) scratch[i] = (uint32_t)i;
  qsort_r(scratch, op->items_n, sizeof *scratch, compare_ids, op);
  for (size_t i = 1; i < op->items_n; i++)
    if (compare_ids(&scratch[i - 1], &scratch[i], op) == 0) return true;
  return false;
}

/* The numbers of the items in the order in which they are sent, groups together; the same for building and parsing. */
static void order_items(struct sk_settle_op *op, uint32_t *order) {
  bool at_odds = are_at_odds(op, order);
  for (size_t i = 0; i < op->items_n; i++) order[i] = (uint32_t)i;
  if (at_odds) return;
  for (size_t first = 0, run_end = 0, to; first < op->items_n; first = to) {
    if (run_end <= first)
      for (run_end = first; run_end < op->items_n && sort_of(&op->items[run_end]) != ALONE;) run_end++;
    /* Moves to the front of what is left of the run all that go with its first. */
    const struct sk_settle_item *lead = &op->items[order[first]];
    to = first + 1;
    for (size_t k = to; k < run_end && to - first < GROUP_MAX; k++) {
      if (!go_together(lead, &op->items[order[k]])) continue;
      uint32_t moved = order[k];
      memmove(&order[to + 1], &order[to], (k - to) * sizeof *order);
      order[to++] = moved;
    }
  }
}

static const char *const kinds[SK_SETTLE_KINDS] = {
  [SK_SETTLE_DONE] = "d", [SK_SETTLE_RETRY] = "t",     [SK_SETTLE_SNOOZE] = "s",  [SK_SETTLE_DEAD] = "D",
  [SK_SETTLE_DROP] = "x", [SK_SETTLE_CANCELLED] = "c", [SK_SETTLE_RELEASE] = "r",
};

static void add_other(struct rd_store *s, const struct sk_settle_item *it) {
  struct rd_command *c = &s->command;
  size_t queue = sk_rd_name(s, it->queue);
  sk_rd_arg_c(c, "=");
  sk_rd_arg(c, it->id);
  sk_rd_arg_int(c, (int64_t)it->fence);
  sk_rd_arg_c(c, kinds[it->kind]);
  sk_rd_arg_int(c, (int64_t)queue);
  sk_rd_arg_int(c, (int64_t)(it->to_queue.n ? sk_rd_name(s, it->to_queue) : queue));
  sk_rd_arg_int(c, sk_rd_ms(it->delay_ms));
  sk_rd_arg_int(c, sk_rd_ms(it->keep_ms));
  sk_rd_arg_c(c, it->crashed ? "1" : "0");
  sk_rd_arg(c, it->record);
  sk_rd_arg_int(c, (int64_t)it->callbacks_n);
  for (size_t i = 0; i < it->callbacks_n; i++) sk_rd_add_callback(s, &it->callbacks[i]);
}

static void add_group(struct rd_store *s, const struct sk_settle_op *op, const uint32_t *order, size_t n) {
  struct rd_command *c = &s->command;
  const struct sk_settle_item *lead = &op->items[order[0]];
  bool stays = sort_of(lead) == STAYS;
  sk_rd_arg_c(c, stays ? "+" : "-");
  sk_rd_arg_int(c, (int64_t)lead->fence);
  sk_rd_arg_c(c, kinds[lead->kind]);
  sk_rd_arg_int(c, (int64_t)sk_rd_name(s, lead->queue));
  sk_rd_arg_int(c, (int64_t)n);
  if (stays) sk_rd_arg_int(c, sk_rd_ms(lead->keep_ms));
  for (size_t i = 0; i < n; i++) {
    sk_rd_arg(c, op->items[order[i]].id);
    if (stays) sk_rd_arg(c, op->items[order[i]].record);
  }
}

static bool has_tied_follow(const struct sk_settle_op *op) {
  for (size_t i = 0; i < op->items_n; i++)
    for (size_t k = 0; k < op->items[i].callbacks_n; k++)
      if (sk_rd_is_tied(&op->items[i].callbacks[k])) return true;
  return false;
}

void sk_rd_settle_build(struct rd_store *s, struct sk_op *whole) {
  struct sk_settle_op *op = (void *)whole;
  sk_rd_name_none(s);
  for (size_t i = 0; i < op->items_n; i++) {
    sk_rd_name(s, op->items[i].queue);
    if (op->items[i].to_queue.n) sk_rd_name(s, op->items[i].to_queue);
    sk_rd_name_items(s, op->items[i].callbacks, op->items[i].callbacks_n);
  }
  if (whole->kind == RD_SETTLE_ALL) sk_rd_name_known(s);
  sk_rd_begin(s, RD_SCRIPT_SETTLE);
  sk_rd_arg_c(&s->command, has_tied_follow(op) ? "1" : "0");
  uint32_t *order = malloc((op->items_n + 1) * sizeof *order);
  if (order == NULL) {
    s->command.args.failed = true;
    return;
  }
  order_items(op, order);
  for (size_t i = 0, end; i < op->items_n; i = end) {
    const struct sk_settle_item *it = &op->items[order[i]];
    for (end = i + 1; end < op->items_n && end - i < GROUP_MAX && same_group(it, &op->items[order[end]]);) end++;
    if (sort_of(it) == ALONE)
      add_other(s, it);
    else
      add_group(s, op, order + i, end - i);
  }
  free(order);
}

enum rd_next sk_rd_settle_parse(struct rd_store *s, struct sk_op *whole, const struct rd_reply *reply) {
  struct sk_settle_op *op = (void *)whole;
  if (sk_rd_learns_queues(s, reply)) {
    whole->kind = RD_SETTLE_ALL;
    return RD_AGAIN;
  }
  struct sk_str statuses = sk_rd_text(reply, 1), follow = sk_rd_text(reply, 2);
  const struct rd_reply *holders = sk_rd_item(reply, 3, RD_ARRAY);
  if (sk_rd_item(reply, 1, RD_TEXT) == NULL || (statuses.n != 0 && statuses.n != op->items_n))
    return sk_rd_odd(s, whole, "settle");
  sk_rd_mark_left(s, whole);
  uint32_t *order = statuses.n ? malloc(op->items_n * sizeof *order) : NULL;
  if (statuses.n &&
      order == NULL) { /* it has happened, but who knows to which of them: a repeat finds those done stale */
    whole->status = SK_ENOMEM;
    return RD_DONE;
  }
  if (order) order_items(op, order);
  size_t at = 0, holder = 0; /* follow-ups are never in groups, so they are in the op's order */
  for (size_t i = 0; i < op->items_n; i++) {
    struct sk_settle_item *it = &op->items[i];
    it->status = SK_OK;
    for (size_t k = 0; k < it->callbacks_n; k++, at++)
      sk_rd_read_status(&it->callbacks[k], at < follow.n ? follow.p[at] : '0', holders, &holder);
  }
  for (size_t i = 0; order && i < op->items_n; i++)
    if (statuses.p[i] != '0') op->items[order[i]].status = statuses.p[i] == '2' ? SK_ESTATE : SK_ESTALE;
  free(order);
  return RD_DONE;
}

/* -- beat ---------------------------------------------------------------------------------------------------------- */

void sk_rd_beat_build(struct rd_store *s, struct sk_op *whole) {
  (void)whole;
  sk_rd_name_none(s);
  sk_rd_begin(s, RD_SCRIPT_BEAT);
  sk_rd_arg_int(&s->command, s->lease_ms);
  sk_rd_arg_c(&s->command, s->process);
  sk_rd_arg_c(&s->command, RD_FORMAT);
}

/* A recover that a beat asked for. */
struct beat_recover {
  struct rd_recover_op recover; /* its engines are in the beat's arena */
  struct rd_store *store;
  struct sk_beat_op *beat;
};

static void tell_lost(struct rd_store *s, struct sk_beat_op *op) {
  op->lost = s->lost;
  op->moved = s->moved;
  s->lost = s->moved = false;
}

static void beat_done(struct rd_store *s, struct sk_beat_op *op, enum sk_code status) {
  if (status == SK_OK) tell_lost(s, op);
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
static size_t find_gone(struct rd_store *s, struct sk_str *out, const struct rd_reply *others) {
  size_t n = 0;
  sk_watches_begin(&s->watches, sk_store_mono_ms(&s->clock), s->lease_ms);
  for (size_t i = 0; i + 3 < others->n; i += 4) {
    struct sk_str name = sk_rd_text(others, i), beaten = sk_rd_text(others, i + 1);
    int64_t mark = 0, lease_ms = 0;
    if (!sk_fields_number(beaten, &mark) || !sk_fields_number(sk_rd_text(others, i + 2), &lease_ms)) continue;
    bool over = sk_watches_look(&s->watches, name, (uint64_t)mark, lease_ms);
    if (!over && !sk_rd_is_dead(sk_rd_text(others, i + 3))) continue;
    out[n * 2] = name;
    out[n * 2 + 1] = beaten;
    n++;
  }
  sk_watches_end(&s->watches);
  return n;
}

enum rd_next sk_rd_beat_parse(struct rd_store *s, struct sk_op *whole, const struct rd_reply *reply) {
  struct sk_beat_op *op = (void *)whole;
  const struct rd_reply *others = sk_rd_item(reply, 3, RD_ARRAY);
  if (others == NULL) return sk_rd_odd(s, whole, "beat");
  sk_rd_mark_left(s, whole);
  s->given = sk_rd_number(reply, 2);
  if (sk_rd_number(reply, 1) != 0) return RD_AGAIN; /* more records to drop */
  struct sk_str *engines = sk_arena_array(&whole->arena, others->n / 2, sizeof *engines);
  size_t n = engines ? find_gone(s, engines, others) : 0;
  struct beat_recover *r = n ? calloc(1, sizeof *r) : NULL;
  if (r == NULL) { /* nobody is gone; out of memory, the next beat recovers them */
    tell_lost(s, op);
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

/* more: the queues are known that the reply asked for. */
void sk_rd_recover_build(struct rd_store *s, struct sk_op *whole) {
  const struct rd_recover_op *op = (void *)whole;
  sk_rd_name_none(s);
  if (whole->scratch) sk_rd_name_known(s);
  sk_rd_begin(s, RD_SCRIPT_RECOVER);
  sk_rd_arg_c(&s->command, op->how);
  sk_rd_arg_c(&s->command, op->cursor);
  for (size_t i = 0; i < op->engines_n * 2; i++) sk_rd_arg(&s->command, op->engines[i]);
  if (op->engines_n > 0) return;
  sk_rd_arg_int(&s->command, (int64_t)op->fence);
}

enum rd_next sk_rd_recover_parse(struct rd_store *s, struct sk_op *whole, const struct rd_reply *reply) {
  struct rd_recover_op *op = (void *)whole;
  if (sk_rd_learns_queues(s, reply)) {
    whole->scratch = 1;
    return RD_AGAIN;
  }
  struct sk_str cursor = sk_rd_text(reply, 1);
  if (sk_rd_item(reply, 0, RD_INT) == NULL || sk_rd_item(reply, 1, RD_TEXT) == NULL || cursor.n >= sizeof op->cursor)
    return sk_rd_odd(s, whole, "recover");
  if (strcmp(op->how, "orphans") == 0) sk_rd_mark_left(s, whole);
  whole->again = 0; /* this step went well */
  op->recovered += (size_t)sk_rd_number(reply, 0);
  snprintf(op->cursor, sizeof op->cursor, "%.*s", SK_STR_ARG(cursor));
  return cursor.n > 0 ? RD_AGAIN : RD_DONE;
}

/* -- progress, open ------------------------------------------------------------------------------------------------ */

void sk_rd_progress_build(struct rd_store *s, struct sk_op *whole) {
  const struct sk_progress_op *op = (void *)whole;
  sk_rd_name_none(s);
  sk_rd_begin(s, RD_SCRIPT_PROGRESS);
  for (size_t i = 0; i < op->items_n; i++) {
    const struct sk_progress_item *it = &op->items[i];
    sk_rd_arg(&s->command, it->id);
    sk_rd_arg_int(&s->command, (int64_t)it->fence);
    sk_rd_arg_int(&s->command, it->percent);
    sk_rd_arg(&s->command, sk_str_head(it->progress_text, SK_PROGRESS_BYTES_MAX));
    sk_rd_arg(&s->command, sk_str_head(it->log, SK_JOB_LOG_BYTES_MAX));
  }
}

enum rd_next sk_rd_progress_parse(struct rd_store *s, struct sk_op *whole, const struct rd_reply *reply) {
  if (sk_rd_item(reply, 0, RD_INT) == NULL) return sk_rd_odd(s, whole, "progress");
  sk_rd_mark_left(s, whole);
  return RD_DONE;
}

void sk_rd_open_build(struct rd_store *s, struct sk_op *whole) {
  const struct rd_open_op *op = (void *)whole;
  sk_rd_name_none(s);
  sk_rd_begin(s, RD_SCRIPT_OPEN);
  sk_rd_arg_c(&s->command, RD_FORMAT);
  sk_rd_arg_c(&s->command, op->must_exist ? "1" : "0");
  sk_rd_arg_c(&s->command, s->origin); /* random enough for an epoch, too */
}

enum rd_next sk_rd_open_parse(struct rd_store *s, struct sk_op *whole, const struct rd_reply *reply) {
  struct rd_open_op *op = (void *)whole;
  if (sk_rd_item(reply, 0, RD_TEXT) == NULL) return sk_rd_odd(s, whole, "open");
  op->format = sk_rd_text(reply, 0);
  op->epoch = sk_rd_text(reply, 1);
  return RD_DONE;
}
