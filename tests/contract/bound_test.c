/* bound_test.c - store.h, BOUNDED QUEUES, and declaring what a queue is bound to. */
#include <string.h>

#include "contract.h"

static void a_full_queue_refuses_the_next_job(void **ctx) {
  struct world *w = *ctx;
  struct handle *h = open_client(w), *other = open_client(w);
  bind_queue(h, .name = text("q"), .max_len = 2);
  assert_code(put(h, .id = "a"), SK_OK);
  assert_code(put(other, .id = "b", .delay_ms = 1000), SK_OK);
  assert_code(put(other, .id = "c"), SK_ELIMIT);
  assert_code(put(h, .id = "c"), SK_ELIMIT);
  assert_string_equal(listed(h, .state = SK_STATE_NONE), "b a");
  assert_int_equal(count(h)->counters.enqueued, 2);
  assert_code(put(h, .id = "d", .queue = "other"), SK_OK);
}

static void block_is_refused_like_reject(void **ctx) {
  struct world *w = *ctx;
  struct handle *h = open_client(w);
  bind_queue(h, .name = text("q"), .max_len = 1, .overflow = SK_OVERFLOW_BLOCK, .block_ms = 1000);
  assert_code(put(h, .id = "a"), SK_OK);
  assert_code(put(h, .id = "b"), SK_ELIMIT);
}

static void running_and_ended_jobs_take_no_room_and_waiting_ones_do(void **ctx) {
  struct world *w = *ctx;
  struct handle *h = open_engine(w, "e1");
  bind_queue(h, .name = text("q"), .max_len = 1);
  put(h, .id = "a");
  struct sk_fetched *a = take_job(h, "a");
  assert_code(put(h, .id = "b"), SK_OK);
  settle(h, a, .kind = SK_SETTLE_DEAD);
  assert_code(put(h, .id = "c"), SK_ELIMIT);
  settle(h, take_job(h, "b"), .kind = SK_SETTLE_RETRY, .delay_ms = 1000);
  assert_code(put(h, .id = "c"), SK_ELIMIT);
  assert_code(change(h, SK_VERB_CANCEL, "b", 1000), SK_OK);
  assert_code(put(h, .id = "c"), SK_OK);
}

static void within_a_batch_what_has_room_goes_in(void **ctx) {
  struct world *w = *ctx;
  struct handle *h = open_client(w);
  bind_queue(h, .name = text("q"), .max_len = 2);
  struct sk_enqueue_item items[] = { item(w, .id = "a"), item(w, .id = "b"), item(w, .id = "c"),
                                     item(w, .id = "d", .queue = "z") };
  struct sk_enqueue_op op = { .items = items, .items_n = 4 };
  assert_code(run_enqueue(h, &op), SK_OK);
  const enum sk_code want[] = { SK_OK, SK_OK, SK_ELIMIT, SK_OK };
  for (int i = 0; i < 4; i++) assert_code(items[i].status, want[i]);
  sk_op_fini(&op.op);
}

static void an_id_that_is_there_already_is_said_to_be_even_when_the_queue_is_full(void **ctx) {
  struct world *w = *ctx;
  struct handle *h = open_client(w);
  bind_queue(h, .name = text("q"), .max_len = 1);
  put(h, .id = "a");
  assert_code(put(h, .id = "a"), SK_EEXISTS);
}

static void follow_ups_retries_and_what_is_handed_back_are_let_in(void **ctx) {
  struct world *w = *ctx;
  struct handle *h = open_engine(w, "e1");
  bind_queue(h, .name = text("q"), .max_len = 1);
  put(h, .id = "a");
  struct sk_fetched *a = take_job(h, "a");
  put(h, .id = "b");
  struct sk_fetched *b = take_job(h, "b");
  put(h, .id = "c");
  struct sk_fetched *c = take_job(h, "c");
  put(h, .id = "d");
  struct sk_enqueue_item follow = item(w, .id = "e");
  assert_code(settle(h, a, .kind = SK_SETTLE_DONE, .callbacks = &follow, .callbacks_n = 1), SK_OK);
  assert_code(follow.status, SK_OK);
  assert_code(settle(h, b, .kind = SK_SETTLE_RETRY, .delay_ms = 1000), SK_OK);
  assert_code(settle(h, c, .kind = SK_SETTLE_RELEASE), SK_OK);
  assert_string_equal(listed(h, .state = SK_STATE_NONE), "c d e b");
  assert_code(put(h, .id = "f"), SK_ELIMIT);
}

/* -- drop_oldest --------------------------------------------------------------------------------------------------- */

static void drop_oldest_deletes_the_oldest_of_the_lowest_priority(void **ctx) {
  struct world *w = *ctx;
  struct handle *h = open_client(w);
  bind_queue(h, .name = text("q"), .max_len = 4, .overflow = SK_OVERFLOW_DROP_OLDEST);
  put(h, .id = "high", .priority = 1);
  put(h, .id = "a");
  put(h, .id = "b");
  put(h, .id = "low", .priority = -1);
  assert_code(put(h, .id = "c"), SK_OK);
  assert_string_equal(listed(h, .state = SK_STATE_READY), "high a b c");
  assert_code(put(h, .id = "d"), SK_OK);
  assert_code(put(h, .id = "e", .delay_ms = 1000), SK_OK);
  assert_string_equal(listed(h, .state = SK_STATE_NONE), "e high c d");
  assert_int_equal(count(h)->counters.discarded, 3);
  assert_int_equal(count(h)->counters.enqueued, 7);
}

static void drop_oldest_finds_it_among_groups_too(void **ctx) {
  struct world *w = *ctx;
  struct handle *h = open_engine(w, "e1");
  bind_queue(h, .name = text("q"), .max_len = 4, .overflow = SK_OVERFLOW_DROP_OLDEST);
  put(h, .id = "g1", .limit = "1;0;0;0;any;=g");
  put(h, .id = "p1");
  put(h, .id = "h1", .limit = "1;0;0;0;any;=h");
  put(h, .id = "g2", .limit = "1;0;0;0;any;=g");
  put(h, .id = "x");
  assert_string_equal(listed(h, .state = SK_STATE_READY), "p1 h1 g2 x");
  put(h, .id = "y");
  assert_string_equal(listed(h, .state = SK_STATE_READY), "h1 g2 x y");
  put(h, .id = "z");
  assert_string_equal(listed(h, .state = SK_STATE_READY), "g2 x y z");
  assert_int_equal(take(h, 9, "q", NULL)->jobs_n, 4);
}

static void drop_oldest_refuses_when_none_is_ready(void **ctx) {
  struct world *w = *ctx;
  struct handle *h = open_client(w);
  bind_queue(h, .name = text("q"), .max_len = 1, .overflow = SK_OVERFLOW_DROP_OLDEST);
  put(h, .id = "a", .delay_ms = 1000);
  assert_code(put(h, .id = "b"), SK_ELIMIT);
  assert_string_equal(listed(h, .state = SK_STATE_NONE), "a");
  assert_int_equal(count(h)->counters.discarded, 0);
}

static void what_is_dropped_leaves_its_lock(void **ctx) {
  struct world *w = *ctx;
  struct handle *h = open_client(w);
  bind_queue(h, .name = text("q"), .max_len = 1, .overflow = SK_OVERFLOW_DROP_OLDEST);
  put(h, .id = "a", .lock = "reject;0;=k");
  assert_code(put(h, .id = "b"), SK_OK);
  assert_code(put(h, .id = "c", .lock = "reject;0;=k"), SK_OK);
  assert_string_equal(listed(h, .state = SK_STATE_NONE), "c");
}

/* -- with locks ---------------------------------------------------------------------------------------------------- */

static void a_job_that_its_lock_refuses_needs_no_room(void **ctx) {
  struct world *w = *ctx;
  struct handle *h = open_client(w);
  bind_queue(h, .name = text("q"), .max_len = 1, .overflow = SK_OVERFLOW_DROP_OLDEST);
  put(h, .id = "other", .queue = "z", .lock = "reject;0;=k");
  put(h, .id = "a");
  assert_string_equal(refused_by(h, .id = "b", .lock = "reject;0;=k"), "other");
  assert_string_equal(state_of(h, "a"), "ready");
}

static void replace_makes_its_room_first(void **ctx) {
  struct world *w = *ctx;
  struct handle *h = open_client(w);
  bind_queue(h, .name = text("q"), .max_len = 2);
  put(h, .id = "a", .lock = "replace;0;=k");
  put(h, .id = "b");
  assert_code(put(h, .id = "c", .lock = "replace;0;=k"), SK_OK);
  assert_string_equal(listed(h, .state = SK_STATE_NONE), "b c");
  bind_queue(h, .name = text("q"), .max_len = 2, .overflow = SK_OVERFLOW_DROP_OLDEST);
  assert_code(put(h, .id = "d", .lock = "replace;0;=k"), SK_OK);
  assert_string_equal(listed(h, .state = SK_STATE_NONE), "b d");
}

static void a_replacement_without_room_replaces_nobody(void **ctx) {
  struct world *w = *ctx;
  struct handle *h = open_client(w);
  bind_queue(h, .name = text("q"), .max_len = 1);
  put(h, .id = "a", .queue = "z", .lock = "replace;0;=k");
  put(h, .id = "b");
  assert_code(put(h, .id = "c", .lock = "replace;0;=k"), SK_ELIMIT);
  assert_string_equal(listed(h, .state = SK_STATE_NONE), "b a");
  assert_string_equal(refused_by(h, .id = "d", .queue = "z", .lock = "reject;0;=k"), "a");
}

static void a_refused_job_takes_no_lock_and_no_place_in_a_group(void **ctx) {
  struct world *w = *ctx;
  struct handle *h = open_engine(w, "e1");
  bind_queue(h, .name = text("q"), .max_len = 1);
  put(h, .id = "a");
  assert_code(put(h, .id = "b", .lock = "reject;0;=k", .limit = "1;0;0;0;any;=g"), SK_ELIMIT);
  assert_code(put(h, .id = "c", .queue = "z", .lock = "reject;0;=k", .limit = "1;0;0;0;any;=g"), SK_OK);
  assert_string_equal(ids_of(w, take(h, 9, "q", "z", NULL)), "a c");
}

/* -- declaring ----------------------------------------------------------------------------------------------------- */

static void a_bound_is_changed_and_removed(void **ctx) {
  struct world *w = *ctx;
  struct handle *h = open_client(w);
  bind_queue(h, .name = text("q"), .max_len = 1);
  put(h, .id = "a");
  assert_code(put(h, .id = "b"), SK_ELIMIT);
  bind_queue(h, .name = text("q"), .max_len = 2);
  assert_code(put(h, .id = "b"), SK_OK);
  assert_code(put(h, .id = "c"), SK_ELIMIT);
  bind_queue(h, .name = text("q"));
  assert_code(put(h, .id = "c"), SK_OK);
}

static void a_bound_on_a_queue_that_has_more_refuses_until_there_is_room(void **ctx) {
  struct world *w = *ctx;
  struct handle *h = open_client(w);
  for (const char *id = "a\0b\0c\0"; *id; id += 2) put(h, .id = id);
  bind_queue(h, .name = text("q"), .max_len = 2);
  change(h, SK_VERB_DELETE, "a", 0);
  assert_code(put(h, .id = "d"), SK_ELIMIT);
  change(h, SK_VERB_DELETE, "b", 0);
  assert_code(put(h, .id = "d"), SK_OK);
}

static void what_queues_are_bound_to_is_told_by_name(void **ctx) {
  struct world *w = *ctx;
  struct handle *h = open_engine(w, "e1"), *c = open_client(w);
  const struct sk_queue_settings items[] = {
    { .name = text("z"), .max_len = 7, .overflow = SK_OVERFLOW_BLOCK, .block_ms = 1500 },
    { .name = text("b"), .max_len = 5 },
    { .name = text("m"), .limit = { .concurrency = 3, .rate = 10, .per_ms = 60000, .burst = 2 } },
  };
  struct sk_declare_op declare = { .queues = items, .queues_n = 3 };
  assert_code(run_declare(h, &declare), SK_OK);
  sk_op_fini(&declare.op);
  bind_queue(c, .name = text("b"));
  bind_queue(c, .name = text("a"), .max_len = 1, .overflow = SK_OVERFLOW_DROP_OLDEST);
  struct sk_tasks_op op = { 0 };
  assert_code(run_tasks(c, &op), SK_OK);
  assert_int_equal(op.items_n, 0);
  assert_int_equal(op.queues_n, 3);
  assert_true(sk_str_eq_c(op.queues[0].name, "a") && sk_str_eq_c(op.queues[1].name, "m") &&
              sk_str_eq_c(op.queues[2].name, "z"));
  assert_int_equal(op.queues[0].max_len, 1);
  assert_int_equal(op.queues[0].overflow, SK_OVERFLOW_DROP_OLDEST);
  assert_int_equal(op.queues[0].limit.concurrency, 0);
  assert_int_equal(op.queues[1].max_len, 0);
  assert_int_equal(op.queues[1].limit.concurrency, 3);
  assert_int_equal(op.queues[1].limit.rate, 10);
  assert_int_equal(op.queues[1].limit.per_ms, 60000);
  assert_int_equal(op.queues[1].limit.burst, 2);
  assert_int_equal(op.queues[2].overflow, SK_OVERFLOW_BLOCK);
  assert_int_equal(op.queues[2].block_ms, 1500);
  sk_op_fini(&op.op);
}

static void a_bound_makes_no_queue(void **ctx) {
  struct world *w = *ctx;
  struct handle *h = open_client(w);
  uint64_t version = count(h)->queues_version;
  bind_queue(h, .name = text("q"), .max_len = 1);
  assert_int_equal(count(h)->queues_n, 0);
  assert_int_equal(count(h)->queues_version, version);
}

/* -- a batch, and the same jobs one after the other ---------------------------------------------------------------- */

struct twin {
  char side[16]; /* its queue, and what ids, keys and groups begin with */
  unsigned random;
  int round;
};

static unsigned pick(struct twin *t, unsigned n) {
  t->random = t->random * 1103515245u + 12345u;
  return (t->random >> 16) % n;
}

/* A job that often has a lock, a limit or both, of few or of many, by round. */
static struct sk_enqueue_item twin_item(struct world *w, struct twin *t, int i) {
  static const char *const locks[] = { "reject;0", "reject;50", "replace;0", "replace;50", "throttle;50" };
  static const char *const limits[] = { "1;0;0;0;any", "3;0;0;0;any", "1;0;0;0;strict", "0;20;1000;5;any",
                                        "1000;0;0;0;any" };
  char id[32], lock[64], limit[64];
  unsigned kind = pick(t, 8), mode = pick(t, t->round % 3 ? 5 : 1), key = pick(t, t->round % 2 ? 400 : 30);
  unsigned numbers = pick(t, 30) ? (unsigned)t->round % 5 : pick(t, 5);
  int number = pick(t, 40) == 0 && i > 0 ? (int)pick(t, (unsigned)i) : i;
  snprintf(id, sizeof id, "%s-%d", t->side, number);
  snprintf(lock, sizeof lock, "%s;=%s key %u", locks[mode], t->side, key);
  snprintf(limit, sizeof limit, "%s;=%s group %u", limits[numbers], t->side, pick(t, 6));
  return item(w, .id = id, .queue = t->side, .lock = kind < 5 ? lock : NULL, .limit = kind > 2 ? limit : NULL,
              .delay_ms = pick(t, 60) ? 0 : 20);
}

/* The same ids, but for their sides? */
static void assert_twin_ids(const char *a, const char *b) {
  for (; *a && *b; a++, b++) assert_true(*a == *b || (*a == 'a' && *b == 'b'));
  assert_true(*a == *b);
}

static void a_batch_does_what_its_jobs_do_one_after_the_other(void **ctx) {
  struct world *w = *ctx;
  struct handle *h = open_engine(w, "e1");
  enum { N = 250 };
  for (int round = 0; round < 12; round++) {
    struct twin a = { .random = (unsigned)round, .round = round }, b = a;
    snprintf(a.side, sizeof a.side, "a%d", round);
    snprintf(b.side, sizeof b.side, "b%d", round);
    enum sk_overflow overflow = round % 4 < 2 ? SK_OVERFLOW_DROP_OLDEST : SK_OVERFLOW_REJECT;
    bind_queue(h, .name = text(a.side), .max_len = round % 2 ? 120 : 0, .overflow = overflow);
    bind_queue(h, .name = text(b.side), .max_len = round % 2 ? 120 : 0, .overflow = overflow);
    for (int part = 0; part < 2; part++) {
      struct sk_enqueue_item first[N], second;
      for (int i = 0; i < N; i++) first[i] = twin_item(w, &a, part * N + i);
      struct sk_enqueue_op all = { .items = first, .items_n = N }, one = { .items = &second, .items_n = 1 };
      assert_code(run_enqueue(h, &all), SK_OK);
      for (int i = 0; i < N; i++) {
        second = twin_item(w, &b, part * N + i);
        assert_code(run_enqueue(h, &one), SK_OK);
        assert_code(first[i].status, second.status);
        assert_int_equal(first[i].holder.n, second.holder.n);
        if (second.holder.n) assert_memory_equal(first[i].holder.p + 1, second.holder.p + 1, second.holder.n - 1);
        sk_op_fini(&one.op);
      }
      sk_op_fini(&all.op);
      assert_twin_ids(listed(h, .queue = text(a.side)), listed(h, .queue = text(b.side)));
      for (size_t n = 1; n > 0;) {
        struct sk_fetch_op *op = take(h, part ? 100 : 7, a.side, NULL);
        assert_twin_ids(ids_of(w, op), ids_of(w, take(h, part ? 100 : 7, b.side, NULL)));
        n = op->jobs_n;
      }
      world_advance(w, 50); /* some of the locks are over */
    }
    world_forget(w);
  }
}

/* A client that waits for room (BLOCK) must not poll for it. */
static void room_in_a_full_queue_is_heard(void **ctx) {
  struct world *w = *ctx;
  struct handle *h = open_engine(w, "e1"), *c = open_client(w);
  bind_queue(h, .name = text("q"), .max_len = 1, .overflow = SK_OVERFLOW_BLOCK, .block_ms = 1000);
  put(c, .id = "a");
  assert_code(put(c, .id = "b"), SK_ELIMIT);
  int before = c->changed;
  take_job(h, "a");
  world_await_count(w, &c->changed, before + 1);
  assert_code(put(c, .id = "b"), SK_OK);
}

static const struct CMUnitTest tests[] = {
  cmocka_unit_test(a_full_queue_refuses_the_next_job),
  cmocka_unit_test(block_is_refused_like_reject),
  cmocka_unit_test(running_and_ended_jobs_take_no_room_and_waiting_ones_do),
  cmocka_unit_test(within_a_batch_what_has_room_goes_in),
  cmocka_unit_test(an_id_that_is_there_already_is_said_to_be_even_when_the_queue_is_full),
  cmocka_unit_test(follow_ups_retries_and_what_is_handed_back_are_let_in),
  cmocka_unit_test(drop_oldest_deletes_the_oldest_of_the_lowest_priority),
  cmocka_unit_test(drop_oldest_finds_it_among_groups_too),
  cmocka_unit_test(drop_oldest_refuses_when_none_is_ready),
  cmocka_unit_test(what_is_dropped_leaves_its_lock),
  cmocka_unit_test(a_job_that_its_lock_refuses_needs_no_room),
  cmocka_unit_test(replace_makes_its_room_first),
  cmocka_unit_test(a_replacement_without_room_replaces_nobody),
  cmocka_unit_test(a_refused_job_takes_no_lock_and_no_place_in_a_group),
  cmocka_unit_test(a_bound_is_changed_and_removed),
  cmocka_unit_test(a_bound_on_a_queue_that_has_more_refuses_until_there_is_room),
  cmocka_unit_test(what_queues_are_bound_to_is_told_by_name),
  cmocka_unit_test(a_bound_makes_no_queue),
  cmocka_unit_test(a_batch_does_what_its_jobs_do_one_after_the_other),
  cmocka_unit_test(room_in_a_full_queue_is_heard),
};
const struct suite bound_suite = SUITE("bounded queues", tests);
