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
  struct sk_held *a = take_job(h, "a");
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
  struct sk_held *held = take_job(h, "a");
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
  struct sk_held *held = take_job(h, "a");
  assert_code(settle(h, held, .kind = SK_SETTLE_RETRY, .delay_ms = 50, .record = record_with(w, held->record, 1, 0)), SK_OK);
  assert_string_equal(state_of(h, "a"), "retry");
  assert_int_equal(view(h, "a")->due_ms, WALL_START_MS + 50);
  assert_int_equal(view(h, "a")->held_ms, 0);
  assert_int_equal(count_queue(h, "q")->states[SK_STATE_RETRY], 1);
  world_advance(w, 49);
  assert_int_equal(take(h, 0, "q", NULL)->due_in_ms, 1);
  world_advance(w, 6);
  const struct sk_fetch_op *op = take(h, 2, "q", NULL);
  assert_string_equal(ids_of(w, op), "a b");
  assert_int_equal(decoded(op->held[0].record).attempts, 1);
  assert_int_equal(op->held[0].late_ms, 5);
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
  assert_code(settle(h, &op->held[0], .kind = SK_SETTLE_RETRY), SK_OK);
  assert_string_equal(state_of(h, "a"), "ready");
  world_advance(w, 1);
  assert_code(settle(h, &op->held[1], .kind = SK_SETTLE_SNOOZE), SK_OK);
  assert_string_equal(ids_of(w, take(h, 9, "q", NULL)), "a b c");
}

static void retry_can_move_to_another_queue(void **ctx) {
  struct world *w = *ctx;
  struct handle *h = open_engine(w, "e1");
  put(h, .id = "a");
  put(h, .id = "b");
  put(h, .id = "s", .queue = "slow");
  struct sk_fetch_op *op = take(h, 2, "q", NULL);
  assert_code(settle(h, &op->held[0], .kind = SK_SETTLE_RETRY, .delay_ms = 10, .to_queue = "slow"), SK_OK);
  assert_code(settle(h, &op->held[1], .kind = SK_SETTLE_SNOOZE, .to_queue = "new"), SK_OK);
  assert_true(sk_str_eq_c(view(h, "a")->queue, "slow"));
  assert_int_equal(count_queue(h, "q")->states[SK_STATE_RETRY], 0);
  assert_int_equal(count_queue(h, "slow")->states[SK_STATE_RETRY], 1);
  assert_int_equal(take(h, 9, "q", NULL)->due_in_ms, -1);
  world_advance(w, 10);
  op = take(h, 9, "slow", "new", NULL);
  assert_string_equal(ids_of(w, op), "a s b");
  assert_true(sk_str_eq_c(op->held[0].queue, "slow"));
  assert_code(settle(h, &op->held[0], .kind = SK_SETTLE_DONE), SK_OK);
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
  for (size_t i = 0; i < 6; i++) assert_code(settle(h, &op->held[order[i]], .kind = SK_SETTLE_RELEASE), SK_OK);
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
  struct sk_held *held = take_job(h, "a");
  struct sk_str first = held->record;
  assert_code(settle(h, held, .kind = SK_SETTLE_RELEASE), SK_OK);
  assert_true(sk_str_eq(view(h, "a")->record, first));
  held = take_job(h, "a");
  assert_code(settle(h, held, .kind = SK_SETTLE_RELEASE, .record = record_with(w, first, 0, 2), .crashed = true), SK_OK);
  held = take_job(h, "a");
  assert_int_equal(decoded(held->record).crashes, 2);
  assert_int_equal(count(h)->counters.crashed, 1);
}

static void a_wrong_fence_is_stale(void **ctx) {
  struct world *w = *ctx;
  struct handle *h = open_engine(w, "e1");
  put(h, .id = "a");
  struct sk_held *held = take_job(h, "a");
  struct sk_enqueue_item follow = item(w, .id = "f");
  assert_code(settle(h, held, .kind = SK_SETTLE_DROP, .fence = held->fence + 1, .follow = &follow, .follow_n = 1), SK_ESTALE);
  assert_string_equal(state_of(h, "a"), "running");
  assert_string_equal(state_of(h, "f"), "unknown");
  assert_int_equal(count(h)->counters.discarded, 0);
}

static void what_is_not_held_is_stale(void **ctx) {
  struct world *w = *ctx;
  struct handle *a = open_engine(w, "e1"), *b = open_engine(w, "e2");
  put(a, .id = "a");
  struct sk_held *held = take_job(a, "a");
  assert_code(settle(b, held, .kind = SK_SETTLE_DROP), SK_ESTALE);
  struct sk_held ready = { .id = text("r"), .queue = text("q"), .record = held->record };
  put(a, .id = "r");
  assert_code(settle(a, &ready, .kind = SK_SETTLE_DROP), SK_ESTALE);
  struct sk_held unknown = { .id = text("u"), .queue = text("q"), .record = held->record };
  assert_code(settle(a, &unknown, .kind = SK_SETTLE_DONE, .keep_ms = 5), SK_ESTALE);
  assert_string_equal(state_of(a, "u"), "unknown");
  assert_code(settle(a, held, .kind = SK_SETTLE_DROP), SK_OK);
}

static void a_repeat_is_stale_for_every_kind(void **ctx) {
  struct world *w = *ctx;
  struct handle *h = open_engine(w, "e1");
  for (int kind = 0; kind < SK_SETTLE_KINDS; kind++) {
    put(h, .id = "a");
    struct sk_held *held = take_job(h, "a");
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
  struct sk_held *old = take_job(a, "a");
  assert_code(settle(a, old, .kind = SK_SETTLE_RELEASE), SK_OK);
  struct sk_held *new = take_job(b, "a");
  assert_code(settle(a, old, .kind = SK_SETTLE_DONE), SK_ESTALE);
  assert_code(settle(b, new, .kind = SK_SETTLE_RELEASE), SK_OK);
  struct sk_held *again = take_job(a, "a");
  assert_code(settle(a, old, .kind = SK_SETTLE_DONE), SK_ESTALE);
  assert_code(settle(a, again, .kind = SK_SETTLE_DONE), SK_OK);
}

static void follow_ups_come_with_it(void **ctx) {
  struct world *w = *ctx;
  struct handle *h = open_engine(w, "e1");
  put(h, .id = "a");
  put(h, .id = "there");
  struct sk_enqueue_item follow[] = { item(w, .id = "f1"), item(w, .id = "there"), item(w, .id = "f2", .queue = "z", .delay_ms = 9) };
  assert_code(settle(h, take_job(h, "a"), .kind = SK_SETTLE_DONE, .follow = follow, .follow_n = 3), SK_OK);
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
    const struct sk_held *from = &held->held[i % 3];
    items[i] = (struct sk_settle_item){ .id = from->id, .queue = from->queue, .fence = from->fence, .record = from->record };
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
};
const struct suite settle_suite = SUITE("settle", tests);
