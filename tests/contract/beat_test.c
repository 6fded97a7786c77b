/* beat_test.c - store.h, "beat", and what close does with held jobs. */
#include "contract.h"

#include "base/limits.h"

static void a_beat_renews_the_lease(void **ctx) {
  struct world *w = *ctx;
  struct handle *a = open_engine(w, "e1"), *b = open_engine(w, "e2");
  put(a, .id = "a");
  take_job(a, "a");
  for (int i = 0; i < 4; i++) {
    world_advance(w, LEASE_MS - 1);
    assert_false(beat(a)->lost);
    assert_int_equal(beat(b)->recovered, 0);
  }
  assert_string_equal(state_of(a, "a"), "running");
}

static void jobs_of_an_engine_without_a_lease_are_handed_back(void **ctx) {
  struct world *w = *ctx;
  struct handle *a = open_engine(w, "e1"), *b = open_engine(w, "e2");
  put(a, .id = "a");
  put(a, .id = "b");
  put(a, .id = "c");
  struct sk_fetch_op *held = take(a, 2, "q", NULL);
  for (int i = 0; i < SK_BEATS_PER_LEASE; i++) {
    assert_int_equal(beat(b)->recovered, 0);
    world_advance(w, LEASE_MS / SK_BEATS_PER_LEASE);
  }
  assert_int_equal(beat(b)->recovered, 0);
  world_advance(w, 1);
  assert_int_equal(beat(b)->recovered, 2);
  assert_int_equal(count(b)->counters.recovered, 2);
  struct sk_fetch_op *again = take(b, 9, "q", NULL);
  assert_string_equal(ids_of(w, again), "a b c");
  assert_int_equal(decoded(again->jobs[0].record).recoveries, 1);
  assert_int_equal(decoded(again->jobs[1].record).recoveries, 1);
  assert_int_equal(decoded(again->jobs[2].record).recoveries, 0);
  assert_true(again->jobs[0].fence > held->jobs[0].fence);
  assert_code(settle(a, &held->jobs[0], .kind = SK_SETTLE_DONE), SK_ESTALE);
  assert_code(settle(b, &again->jobs[0], .kind = SK_SETTLE_DONE), SK_OK);
}

/* More than a store may keep together of one fetch, some gone meanwhile. */
static void many_jobs_return_to_their_places(void **ctx) {
  struct world *w = *ctx;
  enum { JOBS = 250 };
  struct handle *a = open_engine(w, "e1"), *b = open_engine(w, "e2");
  char ids[JOBS][8];
  for (int i = 0; i < JOBS; i++) {
    snprintf(ids[i], sizeof ids[i], "%d", (i * 37) % 1000); /* in no order of their own */
    put(a, .id = ids[i]);
  }
  struct sk_fetch_op *first = take(a, JOBS - 20, "q", NULL);
  assert_int_equal(first->jobs_n, JOBS - 20);
  for (size_t i = 0; i < first->jobs_n; i += 10) assert_code(settle(a, &first->jobs[i], .kind = SK_SETTLE_DONE), SK_OK);
  for (size_t i = first->jobs_n; i-- > 0;)
    if (i % 10 == 5) assert_code(settle(a, &first->jobs[i], .kind = SK_SETTLE_RELEASE), SK_OK);
  assert_int_equal(outlive(b)->recovered, (JOBS - 20) / 10 * 8);
  struct sk_fetch_op *again = take(b, JOBS, "q", NULL);
  assert_int_equal(again->jobs_n, JOBS - (JOBS - 20) / 10);
  for (size_t i = 0, k = 0; i < JOBS; i++) {
    if (i < JOBS - 20 && i % 10 == 0) continue;
    assert_true(sk_str_eq_c(again->jobs[k].id, ids[i]));
    k++;
  }
  assert_code(settle(a, &first->jobs[1], .kind = SK_SETTLE_DONE), SK_ESTALE);
}

static void an_engine_learns_that_it_was_given_up(void **ctx) {
  struct world *w = *ctx;
  struct handle *a = open_engine(w, "e1"), *b = open_engine(w, "e2");
  put(a, .id = "a");
  take_job(a, "a");
  assert_int_equal(outlive(b)->recovered, 1);
  assert_int_equal(beat(b)->recovered, 0);
  assert_true(beat(a)->lost);
  assert_false(beat(a)->lost);
  struct sk_fetched *held = take_job(a, "a");
  assert_code(settle(a, held, .kind = SK_SETTLE_DONE), SK_OK);
}

static void an_engine_that_was_given_up_enters_anew_with_what_it_asks(void **ctx) {
  struct world *w = *ctx;
  struct handle *a = open_engine(w, "e1"), *b = open_engine(w, "e2");
  put(a, .id = "a");
  outlive(b);
  struct sk_fetched *held = take_job(a, "a");
  assert_int_equal(beat(b)->recovered, 0);
  assert_code(settle(a, held, .kind = SK_SETTLE_RELEASE), SK_OK);
  take_job(a, "a");
  assert_int_equal(outlive(b)->recovered, 1);
  assert_true(beat(a)->lost);
}

/* Whoever has not watched an engine can't know that it did nothing. */
static void opening_an_engine_gives_up_nobody_by_the_clock(void **ctx) {
  struct world *w = *ctx;
  struct handle *a = open_engine(w, "e1");
  put(a, .id = "a");
  take_job(a, "a");
  world_advance(w, 3 * LEASE_MS);
  struct handle *b = open_engine(w, "e2");
  assert_string_equal(state_of(b, "a"), "running");
  assert_int_equal(outlive(b)->recovered, 1);
  assert_int_equal(decoded(take_job(b, "a")->record).recoveries, 1);
  assert_true(beat(a)->lost);
}

/* Nobody could reach the store for longer than a lease: whoever comes back first judges nobody. */
static void time_in_which_nobody_beats_counts_for_no_lease(void **ctx) {
  struct world *w = *ctx;
  struct handle *a = open_engine(w, "e1"), *b = open_engine(w, "e2");
  put(a, .id = "a");
  struct sk_fetched *held = take_job(a, "a");
  for (int i = 0; i < 5; i++) {
    beat(a);
    beat(b);
    world_advance(w, LEASE_MS / 4);
    beat(b);
    world_advance(w, i % 2 ? LEASE_MS - 1 : 5 * LEASE_MS);
    assert_int_equal(beat(b)->recovered, 0);
    world_advance(w, LEASE_MS / 4);
    assert_int_equal(beat(b)->recovered, 0);
  }
  assert_code(settle(a, held, .kind = SK_SETTLE_DONE), SK_OK);
}

/* A look vouches for the time between two beats, however seldom a judge comes. */
static void a_judge_that_looks_seldom_takes_its_time(void **ctx) {
  struct world *w = *ctx;
  struct handle *a = open_engine(w, "e1"), *b = open_engine(w, "e2");
  put(a, .id = "a");
  take_job(a, "a");
  beat(b);
  for (int i = 0; i < SK_BEATS_PER_LEASE; i++) {
    world_advance(w, LEASE_MS - 1);
    assert_int_equal(beat(b)->recovered, i + 1 == SK_BEATS_PER_LEASE);
  }
}

static void a_late_beat_before_anyone_noticed_loses_nothing(void **ctx) {
  struct world *w = *ctx;
  struct handle *a = open_engine(w, "e1"), *b = open_engine(w, "e2");
  put(a, .id = "a");
  struct sk_fetched *held = take_job(a, "a");
  world_advance(w, 3 * LEASE_MS);
  assert_false(beat(a)->lost);
  assert_int_equal(beat(b)->recovered, 0);
  assert_code(settle(a, held, .kind = SK_SETTLE_DONE), SK_OK);
}

static void an_engine_does_not_give_up_its_own_jobs(void **ctx) {
  struct world *w = *ctx;
  struct handle *a = open_engine(w, "e1");
  put(a, .id = "a");
  struct sk_fetched *held = take_job(a, "a");
  world_advance(w, 3 * LEASE_MS);
  const struct sk_beat_op *op = beat(a);
  assert_false(op->lost);
  assert_int_equal(op->recovered, 0);
  assert_code(settle(a, held, .kind = SK_SETTLE_DONE), SK_OK);
}

static void the_wall_clock_ends_no_lease(void **ctx) {
  struct world *w = *ctx;
  struct handle *a = open_engine(w, "e1"), *b = open_engine(w, "e2");
  put(a, .id = "a");
  take_job(a, "a");
  atomic_fetch_add(&w->wall_ms, 3600 * 1000);
  assert_int_equal(beat(b)->recovered, 0);
  atomic_fetch_sub(&w->wall_ms, 2 * 3600 * 1000);
  assert_int_equal(beat(b)->recovered, 0);
  assert_string_equal(state_of(a, "a"), "running");
}

static void places_are_kept_with_due_jobs_too(void **ctx) {
  struct world *w = *ctx;
  struct handle *a = open_engine(w, "e1"), *b = open_engine(w, "e2");
  put(a, .id = "f");
  put(a, .id = "s", .delay_ms = 10);
  put(a, .id = "p", .priority = 2);
  world_advance(w, 10);
  assert_string_equal(ids_of(w, take(a, 9, "q", NULL)), "p s f");
  put(b, .id = "new");
  assert_int_equal(outlive(b)->recovered, 3);
  assert_string_equal(ids_of(w, take(b, 9, "q", NULL)), "p s f new");
}

static void close_hands_its_jobs_back_without_counting(void **ctx) {
  struct world *w = *ctx;
  struct handle *a = open_engine(w, "e1"), *b = open_engine(w, "e2");
  put(a, .id = "a");
  put(a, .id = "b");
  take(a, 2, "q", NULL);
  put(b, .id = "c");
  close_handle(a);
  struct sk_fetch_op *op = take(b, 9, "q", NULL);
  assert_string_equal(ids_of(w, op), "a b c");
  assert_int_equal(decoded(op->jobs[0].record).recoveries, 0);
  assert_int_equal(count(b)->counters.recovered, 0);
}

static void an_engine_may_come_back_under_its_id(void **ctx) {
  struct world *w = *ctx;
  struct handle *other = open_client(w), *a = open_engine(w, "e1");
  put(a, .id = "a");
  struct sk_fetched *held = take_job(a, "a");
  close_handle(a);
  a = open_engine(w, "e1");
  assert_code(settle(a, held, .kind = SK_SETTLE_DONE), SK_ESTALE);
  assert_false(beat(a)->lost);
  struct sk_fetched *again = take_job(a, "a");
  assert_true(again->fence > held->fence);
  assert_string_equal(state_of(other, "a"), "running");
}

static void opening_another_engine_takes_nothing_from_a_living_one(void **ctx) {
  struct world *w = *ctx;
  struct handle *a = open_engine(w, "e1");
  put(a, .id = "a");
  struct sk_fetched *held = take_job(a, "a");
  struct handle *b = open_engine(w, "e2");
  assert_string_equal(state_of(b, "a"), "running");
  close_handle(b);
  assert_code(settle(a, held, .kind = SK_SETTLE_DONE), SK_OK);
}

static const struct CMUnitTest tests[] = {
  cmocka_unit_test(a_beat_renews_the_lease),
  cmocka_unit_test(jobs_of_an_engine_without_a_lease_are_handed_back),
  cmocka_unit_test(many_jobs_return_to_their_places),
  cmocka_unit_test(an_engine_learns_that_it_was_given_up),
  cmocka_unit_test(an_engine_that_was_given_up_enters_anew_with_what_it_asks),
  cmocka_unit_test(opening_an_engine_gives_up_nobody_by_the_clock),
  cmocka_unit_test(time_in_which_nobody_beats_counts_for_no_lease),
  cmocka_unit_test(a_judge_that_looks_seldom_takes_its_time),
  cmocka_unit_test(a_late_beat_before_anyone_noticed_loses_nothing),
  cmocka_unit_test(an_engine_does_not_give_up_its_own_jobs),
  cmocka_unit_test(the_wall_clock_ends_no_lease),
  cmocka_unit_test(places_are_kept_with_due_jobs_too),
  cmocka_unit_test(close_hands_its_jobs_back_without_counting),
  cmocka_unit_test(an_engine_may_come_back_under_its_id),
  cmocka_unit_test(opening_another_engine_takes_nothing_from_a_living_one),
};
const struct suite beat_suite = SUITE("beat", tests);
