/* lock_test.c - store.h, LOCKS: unique jobs, replaced, debounced and throttled ones. */
#include <string.h>

#include "base/limits.h"
#include "contract.h"

#define REJECT "reject;0;=k"
#define REPLACE "replace;0;=k"

/* -- who is refused ------------------------------------------------------------------------------------------------ */

static void a_lock_refuses_a_second_job_and_names_its_holder(void **ctx) {
  struct world *w = *ctx;
  struct handle *h = open_client(w), *other = open_client(w);
  assert_code(put(h, .id = "a", .lock = REJECT), SK_OK);
  assert_string_equal(refused_by(other, .id = "b", .lock = REJECT), "a");
  assert_string_equal(state_of(h, "b"), "unknown");
  assert_string_equal(listed(h, .state = SK_STATE_NONE), "a");
  assert_int_equal(count(h)->counters.enqueued, 1);
  assert_int_equal(count(h)->counters.discarded, 0);
}

static void keys_are_told_apart_to_the_last_byte(void **ctx) {
  struct world *w = *ctx;
  struct handle *h = open_client(w);
  char key[SK_KEY_BYTES_MAX];
  memset(key, 'k', sizeof key);
  key[10] = '\0';
  key[11] = '\n';
  struct sk_enqueue_item items[3];
  const char *ids[] = { "a", "b", "c" };
  for (int i = 0; i < 3; i++) {
    items[i] = item(w, .id = ids[i]);
    items[i].lock = (struct sk_lock){ .mode = SK_LOCK_REJECT, .key = sk_str(key, sizeof key - (size_t)(i == 1)) };
  }
  struct sk_enqueue_op op = { .items = items, .items_n = 3 };
  assert_code(run_enqueue(h, &op), SK_OK);
  assert_code(items[0].status, SK_OK);
  assert_code(items[1].status, SK_OK);
  assert_code(items[2].status, SK_EEXISTS);
  assert_true(sk_str_eq_c(items[2].holder, "a"));
  sk_op_fini(&op.op);
}

static void a_lock_is_one_for_all_queues(void **ctx) {
  struct world *w = *ctx;
  struct handle *h = open_client(w);
  put(h, .id = "a", .queue = "x", .lock = REJECT);
  assert_string_equal(refused_by(h, .id = "b", .queue = "y", .lock = REJECT), "a");
}

static void jobs_without_a_lock_meet_none(void **ctx) {
  struct world *w = *ctx;
  struct handle *h = open_client(w);
  put(h, .id = "a", .lock = REJECT);
  assert_code(put(h, .id = "b"), SK_OK);
  assert_code(put(h, .id = "c"), SK_OK);
}

static void within_a_batch_the_first_takes_the_lock(void **ctx) {
  struct world *w = *ctx;
  struct handle *h = open_client(w);
  struct sk_enqueue_item items[] = { item(w, .id = "a", .lock = REJECT), item(w, .id = "b", .lock = REJECT),
                                     item(w, .id = "c") };
  struct sk_enqueue_op op = { .items = items, .items_n = 3 };
  assert_code(run_enqueue(h, &op), SK_OK);
  assert_code(items[0].status, SK_OK);
  assert_int_equal(items[0].holder.n, 0);
  assert_code(items[1].status, SK_EEXISTS);
  assert_true(sk_str_eq_c(items[1].holder, "a"));
  assert_code(items[2].status, SK_OK);
  sk_op_fini(&op.op);
  assert_string_equal(listed(h, .state = SK_STATE_NONE), "a c");
}

/* A client that repeats after SK_EUNKNOWN must learn that it was its own job. */
static void the_same_id_again_is_refused_by_its_id_and_not_by_its_lock(void **ctx) {
  struct world *w = *ctx;
  struct handle *h = open_engine(w, "e1");
  const char *const modes[] = { REJECT, REPLACE, "throttle;1000;=t" };
  const char *const ids[] = { "a", "b", "c" };
  for (int i = 0; i < 3; i++) {
    put(h, .id = ids[i], .lock = modes[i]);
    if (i == 1) assert_string_equal(state_of(h, "a"), "unknown");
    assert_string_equal(refused_by(h, .id = ids[i], .lock = modes[i]), "");
    assert_string_equal(state_of(h, ids[i]), "ready");
  }
  assert_string_equal(refused_by(h, .id = "d", .lock = REJECT), "b");
  assert_int_equal(count(h)->counters.enqueued, 3);
  assert_int_equal(count(h)->counters.discarded, 1);
}

static void a_lock_is_held_in_every_state_but_the_last(void **ctx) {
  struct world *w = *ctx;
  struct handle *h = open_engine(w, "e1");
  put(h, .id = "a", .lock = REJECT, .delay_ms = 10);
  assert_string_equal(refused_by(h, .id = "b", .lock = REJECT), "a"); /* scheduled */
  world_advance(w, 10);
  take(h, 0, "q", NULL);
  assert_string_equal(refused_by(h, .id = "b", .lock = REJECT), "a"); /* ready */
  struct sk_fetched *held = take_job(h, "a");
  assert_string_equal(refused_by(h, .id = "b", .lock = REJECT), "a"); /* running */
  settle(h, held, .kind = SK_SETTLE_RETRY, .delay_ms = 10, .to_queue = "other");
  assert_string_equal(refused_by(h, .id = "b", .lock = REJECT), "a"); /* retry */
  change(h, SK_VERB_RETRY, "a", 0);
  settle(h, &take(h, 1, "other", NULL)->jobs[0], .kind = SK_SETTLE_SNOOZE, .delay_ms = 10);
  assert_string_equal(refused_by(h, .id = "b", .lock = REJECT), "a"); /* snoozed */
  change(h, SK_VERB_PROMOTE, "a", 0);
  settle(h, &take(h, 1, "other", NULL)->jobs[0], .kind = SK_SETTLE_RELEASE);
  assert_string_equal(refused_by(h, .id = "b", .lock = REJECT), "a"); /* handed back */
}

/* -- how it leaves ------------------------------------------------------------------------------------------------- */

static void a_lock_leaves_with_its_job_however_a_settle_ends_it(void **ctx) {
  struct world *w = *ctx;
  struct handle *h = open_engine(w, "e1");
  const struct fate ends[] = {
    { .kind = SK_SETTLE_DONE },      { .kind = SK_SETTLE_DONE, .keep_ms = 100000 },
    { .kind = SK_SETTLE_DEAD },      { .kind = SK_SETTLE_DROP },
    { .kind = SK_SETTLE_CANCELLED }, { .kind = SK_SETTLE_CANCELLED, .keep_ms = 100000 },
  };
  const char *const ids[] = { "a", "b", "c", "d", "e", "f" };
  for (size_t i = 0; i < 6; i++) {
    assert_code(put(h, .id = ids[i], .lock = REJECT), SK_OK);
    assert_string_equal(refused_by(h, .id = "x", .lock = REJECT), ids[i]);
    assert_code(settle_one(h, take_job(h, ids[i]), ends[i]), SK_OK);
  }
  assert_code(put(h, .id = "x", .lock = REJECT), SK_OK);
}

static void a_lock_leaves_with_a_job_that_is_cancelled_or_deleted_by_hand(void **ctx) {
  struct world *w = *ctx;
  struct handle *h = open_engine(w, "e1");
  put(h, .id = "a", .lock = REJECT);
  assert_code(change(h, SK_VERB_CANCEL, "a", 1000), SK_OK);
  put(h, .id = "b", .lock = REJECT, .delay_ms = 100);
  assert_code(change(h, SK_VERB_CANCEL, "b", 0), SK_OK);
  assert_code(put(h, .id = "c", .lock = REJECT), SK_OK);
  assert_code(change(h, SK_VERB_DELETE, "c", 0), SK_OK);
  assert_code(put(h, .id = "d", .lock = REJECT), SK_OK);
  settle(h, take_job(h, "d"), .kind = SK_SETTLE_RETRY, .delay_ms = 1000);
  assert_int_equal(change_all(h, SK_VERB_DELETE, (struct sk_filter){ .state = SK_STATE_RETRY }, 0), 1);
  assert_code(put(h, .id = "e", .lock = REJECT), SK_OK);
  assert_int_equal(change_all(h, SK_VERB_CANCEL, (struct sk_filter){ .queue = text("q") }, 1000), 1);
  assert_code(put(h, .id = "f", .lock = REJECT), SK_OK);
}

static void a_running_job_that_is_to_stop_keeps_its_lock_until_it_is_settled(void **ctx) {
  struct world *w = *ctx;
  struct handle *h = open_engine(w, "e1");
  put(h, .id = "a", .lock = REJECT);
  struct sk_fetched *held = take_job(h, "a");
  assert_code(change(h, SK_VERB_CANCEL, "a", 1000), SK_OK);
  assert_string_equal(refused_by(h, .id = "b", .lock = REJECT), "a");
  assert_code(settle(h, held, .kind = SK_SETTLE_CANCELLED), SK_OK);
  assert_code(put(h, .id = "b", .lock = REJECT), SK_OK);
}

static void a_stale_settle_frees_no_lock(void **ctx) {
  struct world *w = *ctx;
  struct handle *a = open_engine(w, "e1"), *b = open_engine(w, "e2");
  put(a, .id = "a", .lock = REJECT);
  struct sk_fetched *held = take_job(a, "a");
  assert_int_equal(outlive(b)->recovered, 1);
  assert_code(settle(a, held, .kind = SK_SETTLE_DONE), SK_ESTALE);
  assert_string_equal(refused_by(a, .id = "b", .lock = REJECT), "a");
  held = take_job(b, "a");
  assert_code(settle(b, held, .kind = SK_SETTLE_DONE), SK_OK);
  assert_code(put(b, .id = "b", .lock = REJECT), SK_OK);
  assert_code(settle(b, held, .kind = SK_SETTLE_DONE), SK_ESTALE);
  assert_string_equal(refused_by(a, .id = "c", .lock = REJECT), "b");
}

static void a_dead_job_retried_by_hand_does_not_get_its_lock_back(void **ctx) {
  struct world *w = *ctx;
  struct handle *h = open_engine(w, "e1");
  put(h, .id = "a", .lock = REJECT);
  settle(h, take_job(h, "a"), .kind = SK_SETTLE_DEAD);
  assert_code(change(h, SK_VERB_RETRY, "a", 0), SK_OK);
  assert_code(put(h, .id = "b", .lock = REJECT), SK_OK);
  settle(h, take_job(h, "a"), .kind = SK_SETTLE_DONE);
  assert_string_equal(refused_by(h, .id = "c", .lock = REJECT), "b");
}

/* -- time to live -------------------------------------------------------------------------------------------------- */

static void a_lock_whose_time_is_over_is_as_good_as_none(void **ctx) {
  struct world *w = *ctx;
  struct handle *h = open_engine(w, "e1");
  put(h, .id = "a", .lock = "reject;1000;=k", .delay_ms = 5000);
  world_advance(w, 999);
  assert_string_equal(refused_by(h, .id = "b", .lock = "reject;1000;=k"), "a");
  world_advance(w, 1);
  assert_code(put(h, .id = "b", .lock = "reject;1000;=k"), SK_OK);
  assert_string_equal(listed(h, .state = SK_STATE_NONE), "a b");
  assert_string_equal(refused_by(h, .id = "c", .lock = REJECT), "b");
}

static void the_end_of_a_job_does_not_free_a_lock_that_another_took_after_its_time(void **ctx) {
  struct world *w = *ctx;
  struct handle *h = open_engine(w, "e1");
  put(h, .id = "a", .lock = "reject;1000;=k");
  world_advance(w, 1000);
  put(h, .id = "b", .lock = "reject;1000;=k");
  settle(h, take_job(h, "a"), .kind = SK_SETTLE_DONE);
  assert_string_equal(refused_by(h, .id = "c", .lock = REJECT), "b");
  change(h, SK_VERB_DELETE, "b", 0);
  assert_code(put(h, .id = "c", .lock = REJECT), SK_OK);
}

static void a_lock_leaves_with_its_job_before_its_time(void **ctx) {
  struct world *w = *ctx;
  struct handle *h = open_engine(w, "e1");
  put(h, .id = "a", .lock = "reject;100000;=k");
  settle(h, take_job(h, "a"), .kind = SK_SETTLE_DONE);
  assert_code(put(h, .id = "b", .lock = "reject;100000;=k"), SK_OK);
}

static void a_time_that_is_over_replaces_nobody(void **ctx) {
  struct world *w = *ctx;
  struct handle *h = open_engine(w, "e1");
  put(h, .id = "a", .lock = "replace;1000;=k");
  world_advance(w, 1000);
  assert_code(put(h, .id = "b", .lock = "replace;1000;=k"), SK_OK);
  assert_string_equal(listed(h, .state = SK_STATE_READY), "a b");
}

/* -- replace ------------------------------------------------------------------------------------------------------- */

static void replace_deletes_a_holder_that_waits(void **ctx) {
  struct world *w = *ctx;
  struct handle *h = open_engine(w, "e1");
  put(h, .id = "ready", .lock = REPLACE);
  assert_code(put(h, .id = "scheduled", .lock = REPLACE, .delay_ms = 1000), SK_OK);
  assert_string_equal(listed(h, .state = SK_STATE_NONE), "scheduled");
  assert_code(put(h, .id = "retry", .lock = REPLACE), SK_OK);
  settle(h, take_job(h, "retry"), .kind = SK_SETTLE_RETRY, .delay_ms = 1000);
  assert_code(put(h, .id = "last", .lock = REPLACE), SK_OK);
  assert_string_equal(listed(h, .state = SK_STATE_NONE), "last");
  assert_int_equal(count(h)->counters.enqueued, 4);
  assert_int_equal(count(h)->counters.discarded, 3);
  assert_int_equal(count(h)->counters.cancelled, 0);
  assert_string_equal(refused_by(h, .id = "x", .lock = REJECT), "last");
}

static void replace_leaves_a_running_holder_to_go_on_without_the_lock(void **ctx) {
  struct world *w = *ctx;
  struct handle *h = open_engine(w, "e1");
  put(h, .id = "a", .lock = REPLACE);
  struct sk_fetched *a = take_job(h, "a");
  assert_code(put(h, .id = "b", .lock = REPLACE), SK_OK);
  assert_string_equal(state_of(h, "a"), "running");
  assert_int_equal(count(h)->counters.discarded, 0);
  assert_code(settle(h, a, .kind = SK_SETTLE_RETRY, .delay_ms = 10), SK_OK);
  assert_string_equal(refused_by(h, .id = "c", .lock = REJECT), "b");
  assert_code(put(h, .id = "c", .lock = REPLACE), SK_OK);
  assert_string_equal(listed(h, .state = SK_STATE_NONE), "c a");
  world_advance(w, 10);
  assert_code(settle(h, take_job(h, "a"), .kind = SK_SETTLE_DONE), SK_OK);
  assert_string_equal(refused_by(h, .id = "d", .lock = REJECT), "c");
}

static void replace_within_a_batch_leaves_the_last(void **ctx) {
  struct world *w = *ctx;
  struct handle *h = open_client(w);
  struct sk_enqueue_item items[] = { item(w, .id = "a", .lock = REPLACE), item(w, .id = "b", .lock = REPLACE),
                                     item(w, .id = "c", .lock = REPLACE) };
  struct sk_enqueue_op op = { .items = items, .items_n = 3 };
  assert_code(run_enqueue(h, &op), SK_OK);
  for (int i = 0; i < 3; i++) assert_code(items[i].status, SK_OK);
  sk_op_fini(&op.op);
  assert_string_equal(listed(h, .state = SK_STATE_NONE), "c");
  assert_int_equal(count(h)->counters.enqueued, 3);
  assert_int_equal(count(h)->counters.discarded, 2);
}

static void replace_reaches_a_holder_in_another_queue(void **ctx) {
  struct world *w = *ctx;
  struct handle *h = open_client(w);
  put(h, .id = "a", .queue = "x", .lock = REPLACE);
  assert_code(put(h, .id = "b", .queue = "y", .lock = REPLACE), SK_OK);
  assert_string_equal(listed(h, .state = SK_STATE_NONE), "b");
  assert_int_equal(count_state(h, "x", SK_STATE_READY), 0);
}

static void a_debounced_job_runs_once_after_the_last_call(void **ctx) {
  struct world *w = *ctx;
  struct handle *h = open_engine(w, "e1");
  const char *const ids[] = { "a", "b", "c" };
  for (int i = 0; i < 3; i++) {
    assert_code(put(h, .id = ids[i], .lock = REPLACE, .delay_ms = 100), SK_OK);
    world_advance(w, 60);
    assert_int_equal(take(h, 9, "q", NULL)->jobs_n, 0);
  }
  world_advance(w, 40);
  struct sk_fetch_op *op = take(h, 9, "q", NULL);
  assert_string_equal(ids_of(w, op), "c");
  assert_code(put(h, .id = "d", .lock = REPLACE, .delay_ms = 100), SK_OK);
  settle(h, &op->jobs[0], .kind = SK_SETTLE_DONE);
  assert_string_equal(listed(h, .state = SK_STATE_NONE), "d");
}

/* -- throttle ------------------------------------------------------------------------------------------------------ */

static void a_throttle_refuses_for_its_time_whatever_becomes_of_its_job(void **ctx) {
  struct world *w = *ctx;
  struct handle *h = open_engine(w, "e1");
  const char *const throttle = "throttle;1000;=k";
  put(h, .id = "a", .lock = throttle);
  settle(h, take_job(h, "a"), .kind = SK_SETTLE_DONE);
  assert_string_equal(state_of(h, "a"), "unknown");
  assert_string_equal(refused_by(h, .id = "b", .lock = throttle), "a");
  world_advance(w, 999);
  beat(h);
  assert_string_equal(refused_by(h, .id = "b", .lock = throttle), "a");
  world_advance(w, 1);
  assert_code(put(h, .id = "b", .lock = throttle), SK_OK);
  change(h, SK_VERB_DELETE, "b", 0);
  assert_string_equal(refused_by(h, .id = "c", .lock = throttle), "b");
  world_advance(w, 1000);
  beat(h);
  put(h, .id = "c", .lock = throttle);
  change(h, SK_VERB_CANCEL, "c", 100000);
  assert_string_equal(refused_by(h, .id = "d", .lock = throttle), "c");
}

static void a_throttle_ends_at_its_time_though_its_job_waits(void **ctx) {
  struct world *w = *ctx;
  struct handle *h = open_engine(w, "e1");
  put(h, .id = "a", .lock = "throttle;1000;=k", .delay_ms = 5000);
  world_advance(w, 1000);
  assert_code(put(h, .id = "b", .lock = "throttle;1000;=k"), SK_OK);
  assert_string_equal(listed(h, .state = SK_STATE_NONE), "a b");
  world_advance(w, 500);
  change(h, SK_VERB_DELETE, "a", 0);
  assert_string_equal(refused_by(h, .id = "c", .lock = "throttle;1000;=k"), "b");
}

static void a_beat_after_its_time_takes_a_throttle_from_a_job_that_waits(void **ctx) {
  struct world *w = *ctx;
  struct handle *h = open_engine(w, "e1");
  put(h, .id = "a", .lock = "throttle;1000;=k", .delay_ms = 5000);
  world_advance(w, 1000);
  beat(h);
  change(h, SK_VERB_DELETE, "a", 0);
  assert_code(put(h, .id = "b", .lock = "throttle;1000;=k"), SK_OK);
}

/* In a batch, so that its other locks are new ones. */
static void a_lock_that_was_taken_after_a_throttles_time_outlives_a_beat(void **ctx) {
  struct world *w = *ctx;
  struct handle *h = open_engine(w, "e1");
  put(h, .id = "a", .lock = "throttle;1000;=k", .delay_ms = 5000);
  world_advance(w, 1000);
  struct sk_enqueue_item items[] = { item(w, .id = "b", .lock = "reject;0;=l"), item(w, .id = "c", .lock = REJECT),
                                     item(w, .id = "d", .lock = REJECT) };
  struct sk_enqueue_op op = { .items = items, .items_n = 3 };
  assert_code(run_enqueue(h, &op), SK_OK);
  assert_code(items[1].status, SK_OK);
  assert_true(sk_str_eq_c(items[2].holder, "c"));
  sk_op_fini(&op.op);
  beat(h);
  change(h, SK_VERB_DELETE, "a", 0);
  assert_string_equal(refused_by(h, .id = "e", .lock = REJECT), "c");
}

/* -- follow-ups, crashes ------------------------------------------------------------------------------------------- */

static void a_follow_up_that_its_lock_refuses_stops_no_settle(void **ctx) {
  struct world *w = *ctx;
  struct handle *h = open_engine(w, "e1");
  put(h, .id = "parent");
  struct sk_fetched *held = take_job(h, "parent");
  put(h, .id = "a", .lock = REJECT);
  struct sk_enqueue_item follow[] = { item(w, .id = "b", .lock = REJECT), item(w, .id = "c") };
  assert_code(settle(h, held, .kind = SK_SETTLE_DONE, .callbacks = follow, .callbacks_n = 2), SK_OK);
  assert_code(follow[0].status, SK_EEXISTS);
  assert_true(sk_str_eq_c(follow[0].holder, "a"));
  assert_code(follow[1].status, SK_OK);
  assert_string_equal(listed(h, .state = SK_STATE_NONE), "a c");
}

/* A job that is unique and enqueues its own successor. */
static void a_follow_up_may_take_the_lock_of_the_job_that_ends(void **ctx) {
  struct world *w = *ctx;
  struct handle *h = open_engine(w, "e1");
  put(h, .id = "a", .lock = REJECT);
  struct sk_enqueue_item follow = item(w, .id = "b", .lock = REJECT);
  assert_code(
      settle(h, take_job(h, "a"), .kind = SK_SETTLE_DONE, .keep_ms = 1000, .callbacks = &follow, .callbacks_n = 1),
      SK_OK);
  assert_code(follow.status, SK_OK);
  assert_string_equal(refused_by(h, .id = "c", .lock = REJECT), "b");
  follow = item(w, .id = "c", .lock = REJECT);
  assert_code(settle(h, take_job(h, "b"), .kind = SK_SETTLE_DROP, .callbacks = &follow, .callbacks_n = 1), SK_OK);
  assert_string_equal(refused_by(h, .id = "d", .lock = REJECT), "c");
}

static void a_follow_up_may_replace(void **ctx) {
  struct world *w = *ctx;
  struct handle *h = open_engine(w, "e1");
  put(h, .id = "parent");
  put(h, .id = "a", .lock = REPLACE);
  struct sk_enqueue_item follow = item(w, .id = "b", .lock = REPLACE);
  assert_code(settle(h, take_job(h, "parent"), .kind = SK_SETTLE_DONE, .callbacks = &follow, .callbacks_n = 1), SK_OK);
  assert_string_equal(listed(h, .state = SK_STATE_NONE), "b");
  assert_int_equal(count(h)->counters.discarded, 1);
}

static void a_lock_outlives_the_engine_that_ran_its_job(void **ctx) {
  struct world *w = *ctx;
  struct handle *a = open_engine(w, "e1"), *b = open_engine(w, "e2");
  put(a, .id = "a", .lock = REJECT);
  take_job(a, "a");
  close_handle(a);
  assert_string_equal(refused_by(b, .id = "b", .lock = REJECT), "a");
  settle(b, take_job(b, "a"), .kind = SK_SETTLE_DONE);
  assert_code(put(b, .id = "b", .lock = REJECT), SK_OK);
}

static void thousands_of_locks_come_and_go(void **ctx) {
  struct world *w = *ctx;
  struct handle *h = open_engine(w, "e1");
  enum { N = 2000 };
  for (int round = 0; round < 3; round++) {
    for (int i = 0; i < N; i += 500) {
      struct sk_enqueue_item items[500];
      for (int j = 0; j < 500; j++) {
        char id[32], lock[32];
        snprintf(id, sizeof id, "j%d.%d", round, i + j);
        snprintf(lock, sizeof lock, "reject;0;=key%d", i + j);
        items[j] = item(w, .id = id, .lock = lock);
      }
      struct sk_enqueue_op op = { .items = items, .items_n = 500 };
      assert_code(run_enqueue(h, &op), SK_OK);
      for (int j = 0; j < 500; j++) assert_code(items[j].status, round == 1 ? SK_EEXISTS : SK_OK);
      sk_op_fini(&op.op);
    }
    if (round == 1) assert_int_equal(change_all(h, SK_VERB_DELETE, (struct sk_filter){ .queue = text("q") }, 0), N);
    world_forget(w);
  }
  assert_int_equal(count_state(h, "q", SK_STATE_READY), N);
}

static const struct CMUnitTest tests[] = {
  cmocka_unit_test(a_lock_refuses_a_second_job_and_names_its_holder),
  cmocka_unit_test(keys_are_told_apart_to_the_last_byte),
  cmocka_unit_test(a_lock_is_one_for_all_queues),
  cmocka_unit_test(jobs_without_a_lock_meet_none),
  cmocka_unit_test(within_a_batch_the_first_takes_the_lock),
  cmocka_unit_test(the_same_id_again_is_refused_by_its_id_and_not_by_its_lock),
  cmocka_unit_test(a_lock_is_held_in_every_state_but_the_last),
  cmocka_unit_test(a_lock_leaves_with_its_job_however_a_settle_ends_it),
  cmocka_unit_test(a_lock_leaves_with_a_job_that_is_cancelled_or_deleted_by_hand),
  cmocka_unit_test(a_running_job_that_is_to_stop_keeps_its_lock_until_it_is_settled),
  cmocka_unit_test(a_stale_settle_frees_no_lock),
  cmocka_unit_test(a_dead_job_retried_by_hand_does_not_get_its_lock_back),
  cmocka_unit_test(a_lock_whose_time_is_over_is_as_good_as_none),
  cmocka_unit_test(the_end_of_a_job_does_not_free_a_lock_that_another_took_after_its_time),
  cmocka_unit_test(a_lock_leaves_with_its_job_before_its_time),
  cmocka_unit_test(a_time_that_is_over_replaces_nobody),
  cmocka_unit_test(replace_deletes_a_holder_that_waits),
  cmocka_unit_test(replace_leaves_a_running_holder_to_go_on_without_the_lock),
  cmocka_unit_test(replace_within_a_batch_leaves_the_last),
  cmocka_unit_test(replace_reaches_a_holder_in_another_queue),
  cmocka_unit_test(a_debounced_job_runs_once_after_the_last_call),
  cmocka_unit_test(a_throttle_refuses_for_its_time_whatever_becomes_of_its_job),
  cmocka_unit_test(a_throttle_ends_at_its_time_though_its_job_waits),
  cmocka_unit_test(a_beat_after_its_time_takes_a_throttle_from_a_job_that_waits),
  cmocka_unit_test(a_lock_that_was_taken_after_a_throttles_time_outlives_a_beat),
  cmocka_unit_test(a_follow_up_that_its_lock_refuses_stops_no_settle),
  cmocka_unit_test(a_follow_up_may_take_the_lock_of_the_job_that_ends),
  cmocka_unit_test(a_follow_up_may_replace),
  cmocka_unit_test(a_lock_outlives_the_engine_that_ran_its_job),
  cmocka_unit_test(thousands_of_locks_come_and_go),
};
const struct suite lock_suite = SUITE("locks", tests);
