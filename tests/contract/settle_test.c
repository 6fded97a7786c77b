/* settle_test.c - store.h, "settle". */
#include <string.h>

#include "base/limits.h"
#include "contract.h"

static void done_without_keep_is_gone(void **ctx) {
  struct world *w = *ctx;
  struct handle *h = open_engine(w, "e1");
  put(h, .id = "a");
  assert_code(settle(h, take_job(h, "a"), .kind = SK_SETTLE_DONE), SK_OK);
  assert_string_equal(state_of(h, "a"), "unknown");
  assert_int_equal(count(h)->counters.done, 1);
  assert_int_equal(count_queue(h, "q")->states[SK_STATE_RUNNING], 0);
}

static void done_and_cancelled_are_kept_until_a_beat_after_their_time(void **ctx) {
  struct world *w = *ctx;
  struct handle *h = open_engine(w, "e1");
  put(h, .id = "a");
  put(h, .id = "b");
  struct sk_fetched *a = take_job(h, "a");
  assert_code(settle(h, a, .kind = SK_SETTLE_DONE, .keep_ms = 1000, .record = record_with(w, a->record, 7, 0)), SK_OK);
  assert_code(settle(h, take_job(h, "b"), .kind = SK_SETTLE_CANCELLED, .keep_ms = 2000), SK_OK);
  world_advance(w, 999);
  beat(h);
  assert_string_equal(state_of(h, "a"), "done");
  assert_int_equal(decoded(view(h, "a")->record).attempts, 7);
  assert_string_equal(state_of(h, "b"), "cancelled");
  world_advance(w, 1);
  beat(h);
  assert_string_equal(state_of(h, "a"), "unknown");
  assert_string_equal(state_of(h, "b"), "cancelled");
  world_advance(w, 1000);
  beat(h);
  assert_string_equal(state_of(h, "b"), "unknown");
  assert_int_equal(count(h)->counters.done, 1);
  assert_int_equal(count(h)->counters.cancelled, 1);
  assert_string_equal(listed(h, .state = SK_STATE_NONE), "");
}

static void cancelled_without_keep_and_drop_are_gone(void **ctx) {
  struct world *w = *ctx;
  struct handle *h = open_engine(w, "e1");
  put(h, .id = "a");
  put(h, .id = "b");
  assert_code(settle(h, take_job(h, "a"), .kind = SK_SETTLE_CANCELLED), SK_OK);
  assert_code(settle(h, take_job(h, "b"), .kind = SK_SETTLE_DROP, .keep_ms = 1000), SK_OK);
  assert_string_equal(listed(h, .state = SK_STATE_NONE), "");
  assert_int_equal(count(h)->counters.cancelled, 1);
  assert_int_equal(count(h)->counters.discarded, 1);
}

static void dead_stays_until_deleted(void **ctx) {
  struct world *w = *ctx;
  struct handle *h = open_engine(w, "e1");
  put(h, .id = "a");
  struct sk_fetched *held = take_job(h, "a");
  assert_code(settle(h, held, .kind = SK_SETTLE_DEAD, .record = record_with(w, held->record, 3, 1)), SK_OK);
  world_advance(w, 1000LL * 86400 * 1000);
  beat(h);
  assert_string_equal(state_of(h, "a"), "dead");
  assert_int_equal(decoded(view(h, "a")->record).attempts, 3);
  assert_int_equal(count(h)->counters.dead, 1);
  assert_int_equal(count_queue(h, "q")->states[SK_STATE_DEAD], 1);
}

static void retry_waits_and_comes_back_at_the_front_with_its_new_record(void **ctx) {
  struct world *w = *ctx;
  struct handle *h = open_engine(w, "e1");
  put(h, .id = "a");
  put(h, .id = "b");
  struct sk_fetched *held = take_job(h, "a");
  assert_code(settle(h, held, .kind = SK_SETTLE_RETRY, .delay_ms = 50, .record = record_with(w, held->record, 1, 0)),
              SK_OK);
  assert_string_equal(state_of(h, "a"), "retry");
  assert_int_equal(view(h, "a")->due_ms, WALL_START_MS + 50);
  assert_int_equal(view(h, "a")->running_since_ms, 0);
  assert_int_equal(count_queue(h, "q")->states[SK_STATE_RETRY], 1);
  world_advance(w, 49);
  assert_int_equal(take(h, 0, "q", NULL)->due_in_ms, 1);
  world_advance(w, 6);
  const struct sk_fetch_op *op = take(h, 2, "q", NULL);
  assert_string_equal(ids_of(w, op), "a b");
  assert_int_equal(decoded(op->jobs[0].record).attempts, 1);
  assert_int_equal(op->jobs[0].late_ms, 5);
  assert_int_equal(count(h)->counters.retried, 1);
}

static void snooze_waits_as_scheduled(void **ctx) {
  struct world *w = *ctx;
  struct handle *h = open_engine(w, "e1");
  put(h, .id = "a");
  assert_code(settle(h, take_job(h, "a"), .kind = SK_SETTLE_SNOOZE, .delay_ms = 50), SK_OK);
  assert_string_equal(state_of(h, "a"), "scheduled");
  assert_int_equal(count(h)->counters.retried, 0);
  world_advance(w, 50);
  take_job(h, "a");
}

static void without_delay_retry_and_snooze_are_ready_at_the_front(void **ctx) {
  struct world *w = *ctx;
  struct handle *h = open_engine(w, "e1");
  put(h, .id = "a");
  put(h, .id = "b");
  put(h, .id = "c");
  struct sk_fetch_op *op = take(h, 2, "q", NULL);
  assert_code(settle(h, &op->jobs[0], .kind = SK_SETTLE_RETRY), SK_OK);
  assert_string_equal(state_of(h, "a"), "ready");
  world_advance(w, 1);
  assert_code(settle(h, &op->jobs[1], .kind = SK_SETTLE_SNOOZE), SK_OK);
  assert_string_equal(ids_of(w, take(h, 9, "q", NULL)), "a b c");
}

static void retry_can_move_to_another_queue(void **ctx) {
  struct world *w = *ctx;
  struct handle *h = open_engine(w, "e1");
  put(h, .id = "a");
  put(h, .id = "b");
  put(h, .id = "s", .queue = "slow");
  struct sk_fetch_op *op = take(h, 2, "q", NULL);
  assert_code(settle(h, &op->jobs[0], .kind = SK_SETTLE_RETRY, .delay_ms = 10, .to_queue = "slow"), SK_OK);
  assert_code(settle(h, &op->jobs[1], .kind = SK_SETTLE_SNOOZE, .to_queue = "new"), SK_OK);
  assert_true(sk_str_eq_c(view(h, "a")->queue, "slow"));
  assert_int_equal(count_queue(h, "q")->states[SK_STATE_RETRY], 0);
  assert_int_equal(count_queue(h, "slow")->states[SK_STATE_RETRY], 1);
  assert_int_equal(take(h, 9, "q", NULL)->due_in_ms, -1);
  world_advance(w, 10);
  op = take(h, 9, "slow", "new", NULL);
  assert_string_equal(ids_of(w, op), "a s b");
  assert_true(sk_str_eq_c(op->jobs[0].queue, "slow"));
  assert_code(settle(h, &op->jobs[0], .kind = SK_SETTLE_DONE), SK_OK);
}

static void release_returns_to_the_place_it_had(void **ctx) {
  struct world *w = *ctx;
  struct handle *h = open_engine(w, "e1");
  const char *ids[] = { "a", "b", "c", "d" };
  for (int i = 0; i < 4; i++) put(h, .id = ids[i]);
  put(h, .id = "p", .priority = 1);
  put(h, .id = "s1", .delay_ms = 10);
  put(h, .id = "s2", .delay_ms = 10);
  world_advance(w, 10);
  struct sk_fetch_op *op = take(h, 6, "q", NULL);
  assert_string_equal(ids_of(w, op), "p s1 s2 a b c");
  const size_t order[] = { 4, 2, 0, 5, 1, 3 };
  for (size_t i = 0; i < 6; i++) assert_code(settle(h, &op->jobs[order[i]], .kind = SK_SETTLE_RELEASE), SK_OK);
  put(h, .id = "e");
  put(h, .id = "s3", .delay_ms = 1);
  world_advance(w, 1);
  op = take(h, 99, "q", NULL);
  assert_string_equal(ids_of(w, op), "p s1 s2 s3 a b c d e");
}

static void release_keeps_the_record_or_takes_a_new_one(void **ctx) {
  struct world *w = *ctx;
  struct handle *h = open_engine(w, "e1");
  put(h, .id = "a");
  struct sk_fetched *held = take_job(h, "a");
  struct sk_str first = held->record;
  assert_code(settle(h, held, .kind = SK_SETTLE_RELEASE), SK_OK);
  assert_true(sk_str_eq(view(h, "a")->record, first));
  held = take_job(h, "a");
  assert_code(settle(h, held, .kind = SK_SETTLE_RELEASE, .record = record_with(w, first, 0, 2), .crashed = true),
              SK_OK);
  held = take_job(h, "a");
  assert_int_equal(decoded(held->record).crashes, 2);
  assert_int_equal(count(h)->counters.crashed, 1);
}

static void a_wrong_fence_is_stale(void **ctx) {
  struct world *w = *ctx;
  struct handle *h = open_engine(w, "e1");
  put(h, .id = "a");
  struct sk_fetched *held = take_job(h, "a");
  struct sk_enqueue_item follow = item(w, .id = "f");
  assert_code(settle(h, held, .kind = SK_SETTLE_DROP, .fence = held->fence + 1, .callbacks = &follow, .callbacks_n = 1),
              SK_ESTALE);
  assert_string_equal(state_of(h, "a"), "running");
  assert_string_equal(state_of(h, "f"), "unknown");
  assert_int_equal(count(h)->counters.discarded, 0);
}

static void what_is_not_held_is_stale(void **ctx) {
  struct world *w = *ctx;
  struct handle *a = open_engine(w, "e1"), *b = open_engine(w, "e2");
  put(a, .id = "a");
  struct sk_fetched *held = take_job(a, "a");
  assert_code(settle(b, held, .kind = SK_SETTLE_DROP), SK_ESTALE);
  struct sk_fetched ready = { .id = text("r"), .queue = text("q"), .record = held->record };
  put(a, .id = "r");
  assert_code(settle(a, &ready, .kind = SK_SETTLE_DROP), SK_ESTALE);
  struct sk_fetched unknown = { .id = text("u"), .queue = text("q"), .record = held->record };
  assert_code(settle(a, &unknown, .kind = SK_SETTLE_DONE, .keep_ms = 5), SK_ESTALE);
  assert_string_equal(state_of(a, "u"), "unknown");
  assert_code(settle(a, held, .kind = SK_SETTLE_DROP), SK_OK);
}

static void a_repeat_is_stale_for_every_kind(void **ctx) {
  struct world *w = *ctx;
  struct handle *h = open_engine(w, "e1");
  for (int kind = 0; kind < SK_SETTLE_KINDS; kind++) {
    put(h, .id = "a");
    struct sk_fetched *held = take_job(h, "a");
    assert_code(settle(h, held, .kind = (enum sk_settle_kind)kind, .delay_ms = 5, .keep_ms = 5), SK_OK);
    struct sk_counters before = count(h)->counters;
    assert_code(settle(h, held, .kind = (enum sk_settle_kind)kind, .delay_ms = 5, .keep_ms = 5), SK_ESTALE);
    struct sk_counters after = count(h)->counters;
    assert_memory_equal(&before, &after, sizeof before);
    change_all(h, SK_VERB_DELETE, (struct sk_filter){ 0 }, 0);
    assert_string_equal(state_of(h, "a"), "unknown");
  }
}

static void a_former_owner_is_stale_after_release_and_fetch_by_another(void **ctx) {
  struct world *w = *ctx;
  struct handle *a = open_engine(w, "e1"), *b = open_engine(w, "e2");
  put(a, .id = "a");
  struct sk_fetched *old = take_job(a, "a");
  assert_code(settle(a, old, .kind = SK_SETTLE_RELEASE), SK_OK);
  struct sk_fetched *new = take_job(b, "a");
  assert_code(settle(a, old, .kind = SK_SETTLE_DONE), SK_ESTALE);
  assert_code(settle(b, new, .kind = SK_SETTLE_RELEASE), SK_OK);
  struct sk_fetched *again = take_job(a, "a");
  assert_code(settle(a, old, .kind = SK_SETTLE_DONE), SK_ESTALE);
  assert_code(settle(a, again, .kind = SK_SETTLE_DONE), SK_OK);
}

static void follow_ups_come_with_it(void **ctx) {
  struct world *w = *ctx;
  struct handle *h = open_engine(w, "e1");
  put(h, .id = "a");
  put(h, .id = "there");
  struct sk_enqueue_item follow[] = { item(w, .id = "f1"), item(w, .id = "there"),
                                      item(w, .id = "f2", .queue = "z", .delay_ms = 9) };
  assert_code(settle(h, take_job(h, "a"), .kind = SK_SETTLE_DONE, .callbacks = follow, .callbacks_n = 3), SK_OK);
  assert_code(follow[0].status, SK_OK);
  assert_code(follow[1].status, SK_EEXISTS);
  assert_code(follow[2].status, SK_OK);
  assert_string_equal(listed(h, .state = SK_STATE_READY), "there f1");
  assert_string_equal(state_of(h, "f2"), "scheduled");
  assert_int_equal(count(h)->counters.enqueued, 4);
}

static void a_batch_settles_each_item_for_itself(void **ctx) {
  struct world *w = *ctx;
  struct handle *h = open_engine(w, "e1");
  put(h, .id = "a");
  put(h, .id = "b");
  put(h, .id = "c");
  const struct sk_fetch_op *held = take(h, 3, "q", NULL);
  struct sk_settle_item items[4];
  memset(items, 0, sizeof items);
  for (size_t i = 0; i < 4; i++) {
    const struct sk_fetched *from = &held->jobs[i % 3];
    items[i] =
        (struct sk_settle_item){ .id = from->id, .queue = from->queue, .fence = from->fence, .record = from->record };
  }
  items[0].kind = SK_SETTLE_DEAD;
  items[1].kind = SK_SETTLE_DROP;
  items[1].fence--;
  items[2].kind = SK_SETTLE_RETRY;
  items[2].delay_ms = 5;
  items[3].kind = SK_SETTLE_DROP;
  struct sk_settle_op op = { .items = items, .items_n = 4 };
  assert_code(run_settle(h, &op), SK_OK);
  sk_op_fini(&op.op);
  assert_code(items[0].status, SK_OK);
  assert_code(items[1].status, SK_ESTALE);
  assert_code(items[2].status, SK_OK);
  assert_code(items[3].status, SK_ESTALE);
  assert_string_equal(state_of(h, "a"), "dead");
  assert_string_equal(state_of(h, "b"), "running");
  assert_string_equal(state_of(h, "c"), "retry");
}

static void crashed_is_counted_with_any_kind(void **ctx) {
  struct world *w = *ctx;
  struct handle *h = open_engine(w, "e1");
  put(h, .id = "a");
  assert_code(settle(h, take_job(h, "a"), .kind = SK_SETTLE_DEAD, .crashed = true), SK_OK);
  assert_int_equal(count(h)->counters.crashed, 1);
  assert_int_equal(count(h)->counters.dead, 1);
}

/* -- many that end in one batch: each must fare as it would alone -------------------------------------------------- */

static struct sk_settle_item ending(const struct sk_fetched *held, enum sk_settle_kind kind, int64_t keep_ms) {
  return (struct sk_settle_item){
    .id = held->id,
    .queue = held->queue,
    .fence = held->fence,
    .kind = kind,
    .record = held->record,
    .keep_ms = keep_ms,
  };
}

static void settle_items(struct handle *h, struct sk_settle_item *items, size_t n) {
  struct sk_settle_op op = { .items = items, .items_n = n };
  assert_code(run_settle(h, &op), SK_OK);
  sk_op_fini(&op.op);
}

/* Its job of that id. */
static const struct sk_fetched *held_as(const struct sk_fetch_op *op, const char *id) {
  for (size_t i = 0; i < op->jobs_n; i++)
    if (sk_str_eq_c(op->jobs[i].id, id)) return &op->jobs[i];
  fail_msg("job %s was not fetched", id);
  return NULL;
}

static void say(struct handle *h, const struct sk_fetched *held, const char *note, const char *log) {
  struct sk_progress_item one = { .id = held->id,
                                  .queue = held->queue,
                                  .fence = held->fence,
                                  .percent = 50,
                                  .progress_text = text(note),
                                  .log = text(log) };
  struct sk_progress_op op = { .items = &one, .items_n = 1 };
  assert_code(run_progress(h, &op), SK_OK);
  sk_op_fini(&op.op);
}

static void in_a_batch_of_all_sorts_each_ends_as_it_would_alone(void **ctx) {
  struct world *w = *ctx;
  struct handle *h = open_engine(w, "e1"), *other = open_engine(w, "e2"), *c = open_client(w);
  put(c, .id = "plain");
  put(c, .id = "kept", .task = "task of its own", .priority = 2);
  put(c, .id = "locked", .lock = "reject;0;=k");
  put(c, .id = "throttled", .lock = "throttle;60000;=t");
  put(c, .id = "limited", .limit = "2;0;0;0;any;=g");
  put(c, .id = "given-up", .limit = "2;0;0;0;any;=g");
  put(c, .id = "waits", .limit = "2;0;0;0;any;=g", .queue = "z");
  put(c, .id = "stopped");
  put(c, .id = "not-given-up");
  put(c, .id = "cancelled");
  put(c, .id = "stale");
  put(c, .id = "doubled", .queue = "z");
  put(c, .id = "retried");
  put(c, .id = "crashed");
  put(c, .id = "follows");
  struct sk_fetch_op *op = take(h, 99, "q", "z", NULL);
  assert_int_equal(op->jobs_n, 14);
  put(c, .id = "foreign");
  const struct sk_fetched *foreign = take_job(other, "foreign");
  const char *const to_stop[] = { "stopped", "not-given-up", "cancelled" };
  for (int i = 0; i < 3; i++) assert_code(change(c, SK_VERB_CANCEL, to_stop[i], 1000), SK_OK);
  say(h, held_as(op, "kept"), "half way", "a line");
  say(h, held_as(op, "stale"), "a quarter", "another line");
  say(h, held_as(op, "given-up"), "not far", "");
  struct sk_enqueue_item follow = item(w, .id = "follow");
  struct sk_settle_item items[] = {
    ending(held_as(op, "plain"), SK_SETTLE_DONE, 0),
    ending(held_as(op, "kept"), SK_SETTLE_DONE, 1000),
    ending(held_as(op, "locked"), SK_SETTLE_DONE, 1000),
    ending(held_as(op, "given-up"), SK_SETTLE_DEAD, 0),
    ending(held_as(op, "throttled"), SK_SETTLE_DONE, 1000),
    ending(held_as(op, "not-given-up"), SK_SETTLE_DEAD, 0),
    ending(held_as(op, "stale"), SK_SETTLE_DONE, 1000),
    ending(held_as(op, "doubled"), SK_SETTLE_DONE, 1000),
    ending(held_as(op, "retried"), SK_SETTLE_RETRY, 0),
    ending(held_as(op, "doubled"), SK_SETTLE_DONE, 5000),
    ending(held_as(op, "stopped"), SK_SETTLE_DONE, 1000),
    ending(held_as(op, "limited"), SK_SETTLE_DONE, 1000),
    ending(held_as(op, "cancelled"), SK_SETTLE_CANCELLED, 1000),
    ending(foreign, SK_SETTLE_DONE, 1000),
    ending(held_as(op, "crashed"), SK_SETTLE_DEAD, 0),
    ending(held_as(op, "follows"), SK_SETTLE_DONE, 1000),
    ending(held_as(op, "plain"), SK_SETTLE_DONE, 1000),
  };
  enum { ITEMS = sizeof items / sizeof items[0] };
  items[1].record = record_with(w, items[1].record, 7, 1);
  items[6].fence += 1;
  items[7].record = record_with(w, items[7].record, 1, 0);
  items[8].delay_ms = 1000;
  items[9].record = record_with(w, items[9].record, 2, 0);
  items[14].crashed = true;
  items[15].callbacks = &follow;
  items[15].callbacks_n = 1;
  struct sk_counters before = count(c)->counters;
  settle_items(h, items, ITEMS);
  for (int i = 0; i < ITEMS; i++) {
    bool stale = i == 6 || i == 9 || i == 13 || i == 16;
    if (items[i].status != (stale ? SK_ESTALE : i == 5 ? SK_ESTATE : SK_OK))
      fail_msg("item %d: %s", i, sk_code_name(items[i].status));
  }
  assert_string_equal(listed(c, .state = SK_STATE_DONE), "follows limited stopped doubled throttled locked kept");
  assert_string_equal(listed(c, .state = SK_STATE_DEAD), "crashed given-up");
  assert_string_equal(listed(c, .state = SK_STATE_CANCELLED), "cancelled");
  assert_string_equal(listed(c, .state = SK_STATE_RETRY), "retried");
  assert_string_equal(listed(c, .state = SK_STATE_READY), "follow waits");
  assert_string_equal(state_of(c, "plain"), "unknown");
  assert_string_equal(state_of(c, "stale"), "running");
  assert_string_equal(state_of(c, "not-given-up"), "running");
  assert_string_equal(state_of(c, "foreign"), "running");

  struct sk_counters now = count(c)->counters;
  assert_int_equal(now.done - before.done, 8);
  assert_int_equal(now.dead - before.dead, 2);
  assert_int_equal(now.cancelled - before.cancelled, 1);
  assert_int_equal(now.retried - before.retried, 1);
  assert_int_equal(now.crashed - before.crashed, 1);
  assert_int_equal(now.enqueued - before.enqueued, 1);
  assert_int_equal(count_state(c, "q", SK_STATE_RUNNING), 3);
  assert_int_equal(count_state(c, "q", SK_STATE_DONE), 6);
  assert_int_equal(count_state(c, "z", SK_STATE_RUNNING), 0);
  assert_int_equal(count_state(c, "z", SK_STATE_DONE), 1);
  assert_int_equal(count_state(c, "q", SK_STATE_DEAD), 2);
  assert_int_equal(count_state(c, "q", SK_STATE_CANCELLED), 1);

  const struct sk_view *kept = view(c, "kept");
  assert_int_equal(decoded(kept->record).attempts, 7);
  assert_int_equal(kept->priority, 2);
  assert_true(sk_str_eq_c(kept->progress_text, "half way"));
  assert_int_equal(kept->log.n, 0);
  assert_string_equal(listed(c, .state = SK_STATE_DONE, .task = text("task of its own")), "kept");
  assert_true(sk_str_eq_c(view(c, "given-up")->progress_text, "not far"));
  assert_true(sk_str_eq_c(view(c, "stale")->log, "another line"));
  assert_int_equal(decoded(view(c, "doubled")->record).attempts, 1);
  assert_false(view(c, "stopped")->stopping);
  assert_false(view(c, "cancelled")->stopping);
  assert_string_equal(stops_of(w, take(h, 0, "q", NULL)), "not-given-up");
  assert_code(put(c, .id = "after-locked", .queue = "y", .lock = "reject;0;=k"), SK_OK);
  assert_string_equal(refused_by(c, .id = "after-throttled", .lock = "throttle;60000;=t"), "throttled");
  assert_string_equal(ids_of(w, take(h, 1, "z", NULL)), "waits");
  put(c, .id = "fills", .limit = "2;0;0;0;any;=g", .queue = "z");
  assert_string_equal(ids_of(w, take(h, 1, "z", NULL)), "fills");
  assert_code(change(c, SK_VERB_RETRY, "given-up", 0), SK_OK);
  assert_int_equal(view(c, "given-up")->blocked_by, SK_BLOCKED_BY_CONCURRENCY);

  world_advance(w, 1000);
  beat(h);
  assert_string_equal(listed(c, .state = SK_STATE_DONE), "");
  assert_int_equal(count_state(c, "z", SK_STATE_DONE), 0);
  assert_string_equal(listed(c, .state = SK_STATE_DEAD), "crashed");
  assert_code(settle(h, held_as(op, "stale"), .kind = SK_SETTLE_DROP), SK_OK);
}

/* Several hundred, of two fetches and three queues, some not kept; `again`: some of them twice in the batch. */
static void keep_many(struct world *w, struct handle *h, struct handle *c, int again) {
  enum { N = 260 };
  int64_t done = count(c)->counters.done;
  static const char *const queues[] = { "q", "z", "y" };
  const struct sk_fetched *held[N];
  for (int from = 0; from < N; from += 130) {
    struct sk_enqueue_item jobs[130];
    for (int i = 0; i < 130; i++) {
      char *id = sk_arena_alloc(&w->arena, 16);
      snprintf(id, 16, "j%03d", from + i);
      jobs[i] = item(w, .id = id, .queue = queues[i % 3]);
    }
    struct sk_enqueue_op op = { .items = jobs, .items_n = 130 };
    assert_code(run_enqueue(c, &op), SK_OK);
    sk_op_fini(&op.op);
    struct sk_fetch_op *taken = take(h, 130, "q", "z", "y", NULL);
    assert_int_equal(taken->jobs_n, 130);
    for (int i = 0; i < 130; i++) held[from + i] = &taken->jobs[i];
  }
  struct sk_settle_item items[N + 3];
  assert_true(again <= 3);
  char want[3][N * 5 + 1]; /* newest first */
  size_t want_n[3] = { 0 };
  for (int i = N - 1; i >= 0; i--) {
    const struct sk_fetched *one = held[i * 77 % N];
    int keep = i % 4; /* 0: not at all */
    items[i] = ending(one, SK_SETTLE_DONE, keep * 1000);
    for (int k = 0; k < keep; k++)
      want_n[k] += (size_t)sprintf(want[k] + want_n[k], "%s%.*s", want_n[k] ? " " : "", SK_STR_ARG(one->id));
  }
  for (int i = 0; i < again; i++) items[N + i] = items[i * 90 + 1];
  settle_items(h, items, (size_t)(N + again));
  for (int i = 0; i < N + again; i++) assert_code(items[i].status, i < N ? SK_OK : SK_ESTALE);
  assert_int_equal(count(c)->counters.done - done, N);
  for (int k = 0; k < 3; k++) {
    assert_string_equal(listed(c, .state = SK_STATE_DONE), want[k]);
    world_advance(w, 999);
    beat(h);
    assert_string_equal(listed(c, .state = SK_STATE_DONE), want[k]);
    world_advance(w, 1);
    beat(h);
  }
  assert_string_equal(listed(c, .state = SK_STATE_NONE), "");
  for (int i = 0; i < 3; i++)
    assert_int_equal(count_state(c, queues[i], SK_STATE_DONE) + count_state(c, queues[i], SK_STATE_RUNNING), 0);
}

static void what_is_kept_of_a_batch_is_in_its_order_and_for_its_own_time(void **ctx) {
  struct world *w = *ctx;
  struct handle *h = open_engine(w, "e1"), *c = open_client(w);
  keep_many(w, h, c, 0);
  keep_many(w, h, c, 3);
}

static void statuses_are_those_of_their_items_wherever_they_stand(void **ctx) {
  enum { N = 40 };
  struct world *w = *ctx;
  struct handle *h = open_engine(w, "e1"), *c = open_client(w);
  for (int i = 0; i < N; i++) {
    char id[16];
    snprintf(id, sizeof id, "j%02d", i);
    put(c, .id = id, .queue = i % 3 ? "q" : "z");
  }
  struct sk_fetch_op *op = take(h, N, "q", "z", NULL);
  assert_int_equal(op->jobs_n, N);
  struct sk_settle_item items[N];
  const enum sk_settle_kind kinds[] = { SK_SETTLE_DONE, SK_SETTLE_DEAD, SK_SETTLE_DONE, SK_SETTLE_DROP,
                                        SK_SETTLE_CANCELLED };
  for (int i = 0; i < N; i++) {
    items[i] = ending(&op->jobs[i], kinds[i % 5], i % 5 == 2 ? 0 : 1000);
    if (i % 7 == 3) items[i].fence++;
    if (i % 6 != 5) continue;
    char id[16];
    snprintf(id, sizeof id, "%.*s", SK_STR_ARG(items[i].id));
    assert_code(change(c, SK_VERB_CANCEL, id, 1000), SK_OK);
  }
  settle_items(h, items, N);
  int64_t left = 0;
  for (int i = 0; i < N; i++) {
    enum sk_code want = i % 7 == 3 ? SK_ESTALE : i % 6 == 5 && kinds[i % 5] == SK_SETTLE_DEAD ? SK_ESTATE : SK_OK;
    if (items[i].status != want) fail_msg("item %d: %s, not %s", i, sk_code_name(items[i].status), sk_code_name(want));
    left += want != SK_OK;
  }
  assert_int_equal(count_state(c, "q", SK_STATE_RUNNING) + count_state(c, "z", SK_STATE_RUNNING), left);
}

static void of_items_for_one_job_the_first_counts(void **ctx) {
  struct world *w = *ctx;
  struct handle *h = open_engine(w, "e1");
  put(h, .id = "a");
  put(h, .id = "b");
  put(h, .id = "c");
  put(h, .id = "d");
  struct sk_fetch_op *op = take(h, 4, "q", NULL);
  const struct sk_fetched *a = &op->jobs[0], *b = &op->jobs[1], *c = &op->jobs[2], *d = &op->jobs[3];
  struct sk_settle_item items[] = {
    ending(d, SK_SETTLE_DONE, 0),         ending(a, SK_SETTLE_DONE, 1000), ending(a, SK_SETTLE_DONE, 0),
    ending(b, SK_SETTLE_CANCELLED, 1000), ending(c, SK_SETTLE_DEAD, 0),    ending(b, SK_SETTLE_DONE, 1000),
    ending(c, SK_SETTLE_DROP, 0),         ending(d, SK_SETTLE_DONE, 1000),
  };
  settle_items(h, items, 8);
  const enum sk_code want[] = { SK_OK, SK_OK, SK_ESTALE, SK_OK, SK_OK, SK_ESTALE, SK_ESTALE, SK_ESTALE };
  for (int i = 0; i < 8; i++) assert_code(items[i].status, want[i]);
  assert_string_equal(state_of(h, "a"), "done");
  assert_string_equal(state_of(h, "b"), "cancelled");
  assert_string_equal(state_of(h, "c"), "dead");
  assert_string_equal(state_of(h, "d"), "unknown");
  assert_int_equal(count(h)->counters.done, 2);
  assert_int_equal(count(h)->counters.discarded, 0);
  assert_int_equal(count_queue(h, "q")->states[SK_STATE_RUNNING], 0);
}

static void an_id_twice_among_what_is_kept_is_kept_once(void **ctx) {
  struct world *w = *ctx;
  struct handle *h = open_engine(w, "e1");
  put(h, .id = "a");
  put(h, .id = "b");
  put(h, .id = "c");
  struct sk_fetch_op *op = take(h, 3, "q", NULL);
  struct sk_settle_item items[5];
  for (int i = 0; i < 5; i++) {
    items[i] = ending(&op->jobs[i % 3], SK_SETTLE_DONE, i < 3 ? 1000 : 2000);
    items[i].record = record_with(w, op->jobs[i % 3].record, i + 1, 0);
  }
  items[0].fence++;
  settle_items(h, items, 5);
  const enum sk_code want[] = { SK_ESTALE, SK_OK, SK_OK, SK_OK, SK_ESTALE };
  for (int i = 0; i < 5; i++) assert_code(items[i].status, want[i]);
  assert_string_equal(listed(h, .state = SK_STATE_DONE), "a c b");
  assert_int_equal(decoded(view(h, "b")->record).attempts, 2);
  assert_int_equal(count(h)->counters.done, 3);
  assert_int_equal(count_queue(h, "q")->states[SK_STATE_DONE], 3);
  assert_int_equal(count_queue(h, "q")->states[SK_STATE_RUNNING], 0);
  world_advance(w, 1000);
  beat(h);
  assert_string_equal(listed(h, .state = SK_STATE_DONE), "a");
}

static void what_came_due_or_was_handed_back_is_kept_like_the_rest(void **ctx) {
  struct world *w = *ctx;
  struct handle *h = open_engine(w, "e1");
  put(h, .id = "a");
  put(h, .id = "b", .delay_ms = 5, .task = "other");
  put(h, .id = "c", .limit = "1;0;0;0;strict;=g");
  put(h, .id = "d", .priority = -2);
  world_advance(w, 5);
  settle(h, take_job(h, "b"), .kind = SK_SETTLE_RELEASE);
  struct sk_fetch_op *op = take(h, 9, "q", NULL);
  assert_string_equal(ids_of(w, op), "c b a d");
  struct sk_settle_item items[4];
  for (int i = 0; i < 4; i++) items[i] = ending(&op->jobs[i], SK_SETTLE_DONE, 1000 * (i + 1));
  settle_items(h, items, 4);
  for (int i = 0; i < 4; i++) assert_code(items[i].status, SK_OK);
  assert_string_equal(listed(h, .state = SK_STATE_DONE), "d a b c");
  assert_string_equal(listed(h, .state = SK_STATE_DONE, .task = text("other")), "b");
  for (int i = 0; i < 4; i++) {
    char id[16];
    snprintf(id, sizeof id, "%.*s", SK_STR_ARG(op->jobs[i].id));
    const struct sk_view *v = view(h, id);
    assert_true(sk_str_eq(v->record, op->jobs[i].record));
    assert_int_equal(v->priority, op->jobs[i].priority);
    assert_true(sk_str_eq_c(v->queue, "q"));
  }
}

static const struct CMUnitTest tests[] = {
  cmocka_unit_test(done_without_keep_is_gone),
  cmocka_unit_test(done_and_cancelled_are_kept_until_a_beat_after_their_time),
  cmocka_unit_test(cancelled_without_keep_and_drop_are_gone),
  cmocka_unit_test(dead_stays_until_deleted),
  cmocka_unit_test(retry_waits_and_comes_back_at_the_front_with_its_new_record),
  cmocka_unit_test(snooze_waits_as_scheduled),
  cmocka_unit_test(without_delay_retry_and_snooze_are_ready_at_the_front),
  cmocka_unit_test(retry_can_move_to_another_queue),
  cmocka_unit_test(release_returns_to_the_place_it_had),
  cmocka_unit_test(release_keeps_the_record_or_takes_a_new_one),
  cmocka_unit_test(a_wrong_fence_is_stale),
  cmocka_unit_test(what_is_not_held_is_stale),
  cmocka_unit_test(a_repeat_is_stale_for_every_kind),
  cmocka_unit_test(a_former_owner_is_stale_after_release_and_fetch_by_another),
  cmocka_unit_test(follow_ups_come_with_it),
  cmocka_unit_test(a_batch_settles_each_item_for_itself),
  cmocka_unit_test(crashed_is_counted_with_any_kind),
  cmocka_unit_test(in_a_batch_of_all_sorts_each_ends_as_it_would_alone),
  cmocka_unit_test(what_is_kept_of_a_batch_is_in_its_order_and_for_its_own_time),
  cmocka_unit_test(statuses_are_those_of_their_items_wherever_they_stand),
  cmocka_unit_test(of_items_for_one_job_the_first_counts),
  cmocka_unit_test(an_id_twice_among_what_is_kept_is_kept_once),
  cmocka_unit_test(what_came_due_or_was_handed_back_is_kept_like_the_rest),
};
const struct suite settle_suite = SUITE("settle", tests);
