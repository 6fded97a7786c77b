/* slot_page_test.c - the memory that the core shares with a worker. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <pthread.h>
#include <sys/mman.h>
#include <unistd.h>

#include "engine/slot_page.h"

struct sides {
  struct sk_slot_page *core, *worker;
  int fd;
};

static const uint32_t SLOTS = 7;

static int setup(void **state) {
  static struct sides s;
  struct sk_err err;
  assert_int_equal(sk_slot_page_make(SLOTS, &s.core, &s.fd, &err), SK_OK);
  assert_int_equal(sk_slot_page_map(s.fd, &s.worker, &err), SK_OK);
  *state = &s;
  return 0;
}

static int teardown(void **state) {
  struct sides *s = *state;
  sk_slot_page_unmap(s->core, SLOTS);
  sk_slot_page_unmap(s->worker, SLOTS);
  close(s->fd);
  return 0;
}

static void both_sides_see_the_same_slots(void **state) {
  struct sides *s = *state;
  assert_int_equal(s->worker->slots_n, SLOTS);
  atomic_store(&s->core->slots[6].word, sk_slot_page_word(41, SK_SLOT_OFFERED));
  assert_true(sk_slot_page_is(s->worker, 6, 41, SK_SLOT_OFFERED));
  assert_true(sk_slot_page_move(s->worker, 6, 41, SK_SLOT_OFFERED, SK_SLOT_STARTED));
  assert_true(sk_slot_page_is(s->core, 6, 41, SK_SLOT_STARTED));
}

static void an_offer_is_either_started_or_revoked(void **state) {
  struct sides *s = *state;
  atomic_store(&s->core->slots[0].word, sk_slot_page_word(1, SK_SLOT_OFFERED));
  assert_true(sk_slot_page_move(s->core, 0, 1, SK_SLOT_OFFERED, SK_SLOT_REVOKED));
  assert_false(sk_slot_page_move(s->worker, 0, 1, SK_SLOT_OFFERED, SK_SLOT_STARTED));
  atomic_store(&s->core->slots[0].word, sk_slot_page_word(2, SK_SLOT_OFFERED)); /* the slot is offered anew */
  assert_false(
      sk_slot_page_move(s->worker, 0, 1, SK_SLOT_OFFERED, SK_SLOT_STARTED)); /* the old offer is not this one */
  assert_true(sk_slot_page_move(s->worker, 0, 2, SK_SLOT_OFFERED, SK_SLOT_STARTED));
  assert_false(sk_slot_page_move(s->core, 0, 2, SK_SLOT_OFFERED, SK_SLOT_REVOKED));
}

static void a_generation_may_wrap_around(void **state) {
  struct sides *s = *state;
  atomic_store(&s->core->slots[0].word, sk_slot_page_word(UINT32_MAX, SK_SLOT_STARTED));
  uint32_t next = (uint32_t)(atomic_load(&s->core->slots[0].word) >> 2) + 1;
  assert_int_equal(next, 0);
  atomic_store(&s->core->slots[0].word, sk_slot_page_word(next, SK_SLOT_OFFERED));
  assert_true(sk_slot_page_is(s->worker, 0, 0, SK_SLOT_OFFERED));
}

enum { ROUNDS = 200000 };

/* The worker: starts whatever is offered. */
static void *start_all(void *arg) {
  struct sides *s = arg;
  long started = 0;
  for (uint32_t g = 1; g <= ROUNDS;) {
    uint64_t word = atomic_load(&s->worker->slots[1].word);
    if ((uint32_t)(word >> 2) < g) continue;
    g = (uint32_t)(word >> 2);
    started += sk_slot_page_move(s->worker, 1, g, SK_SLOT_OFFERED, SK_SLOT_STARTED);
    g++;
  }
  return (void *)(uintptr_t)started;
}

static void in_a_race_exactly_one_side_wins(void **state) {
  struct sides *s = *state;
  pthread_t worker;
  assert_int_equal(pthread_create(&worker, NULL, start_all, s), 0);
  long revoked = 0;
  for (uint32_t g = 1; g <= ROUNDS; g++) {
    atomic_store(&s->core->slots[1].word, sk_slot_page_word(g, SK_SLOT_OFFERED));
    revoked += sk_slot_page_move(s->core, 1, g, SK_SLOT_OFFERED, SK_SLOT_REVOKED);
  }
  void *started;
  pthread_join(worker, &started);
  assert_int_equal(revoked + (long)(uintptr_t)started, ROUNDS);
}

static void times_from_the_worker_are_never_in_the_future_or_negative(void **state) {
  struct sides *s = *state;
  const int64_t now = 1000;
  atomic_store(&s->worker->slots[2].started_ms, 900);
  assert_int_equal(sk_slot_page_started_ms(s->core, 2, now), 900);
  atomic_store(&s->worker->slots[2].started_ms, INT64_MAX);
  assert_int_equal(sk_slot_page_started_ms(s->core, 2, now), now);
  atomic_store(&s->worker->slots[2].started_ms, INT64_MIN);
  assert_int_equal(sk_slot_page_started_ms(s->core, 2, now), 0);
  atomic_store(&s->worker->running_since_ms, INT64_MIN);
  atomic_store(&s->worker->running, 0);
  assert_int_equal(sk_slot_page_running_for_ms(s->core, now), -1);
  atomic_store(&s->worker->running, 3);
  assert_int_equal(sk_slot_page_running_for_ms(s->core, now), now);
  atomic_store(&s->worker->running_since_ms, INT64_MAX);
  assert_int_equal(sk_slot_page_running_for_ms(s->core, now), 0);
}

/* A core that reads memory that is not there any more would die of it. */
static void a_worker_cannot_take_it_away(void **state) {
  struct sides *s = *state;
  assert_int_equal(ftruncate(s->fd, 0), -1);
  assert_int_equal(errno, EPERM);
  assert_int_equal(ftruncate(s->fd, 1 << 20), -1);
}

static void memory_that_is_not_of_its_slots_is_refused(void **state) {
  (void)state;
  struct sk_err err;
  struct sk_slot_page *slot_page = NULL;
  int fd = memfd_create("t", 0);
  assert_int_equal(sk_slot_page_map(fd, &slot_page, &err), SK_ECORRUPT);
  assert_int_equal(ftruncate(fd, 4096), 0);
  assert_int_equal(sk_slot_page_map(fd, &slot_page, &err), SK_ECORRUPT); /* it says 0 slots */
  assert_int_equal(err.code, SK_ECORRUPT);
  close(fd);
  assert_int_equal(sk_slot_page_map(fd, &slot_page, &err), SK_ESYS);
}

#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void) {
  const struct CMUnitTest tests[] = {
    T(both_sides_see_the_same_slots),
    T(an_offer_is_either_started_or_revoked),
    T(a_generation_may_wrap_around),
    T(in_a_race_exactly_one_side_wins),
    T(times_from_the_worker_are_never_in_the_future_or_negative),
    T(a_worker_cannot_take_it_away),
    cmocka_unit_test(memory_that_is_not_of_its_slots_is_refused),
  };
  return cmocka_run_group_tests_name("share", tests, NULL, NULL);
}
