/* renew_test.c - a task that is declared with another limit: what waits has the new one (store.h, declare). */
#include <stdio.h>
#include <string.h>

#include "contract.h"

/* Declares task "t" with that limit (limit.h, a template's text form); NULL: without one. */
static void declare_limit(struct handle *h, const char *limit) {
  struct world *w = h->world;
  struct sk_job job;
  sk_job_init(&job);
  job.task = text("t");
  job.limit = text(limit ? limit : "");
  struct sk_task_item one = { .name = text("t"), .queue = text("q"), .template = record_of(w, &job) };
  struct sk_declare_op op = { .items = &one, .items_n = 1 };
  assert_code(run_declare(h, &op), SK_OK);
  sk_op_fini(&op.op);
}

static void put_ten(struct handle *h, const char *limit) {
  static const char *const ids[] = { "j0", "j1", "j2", "j3", "j4", "j5", "j6", "j7", "j8", "j9" };
  for (int i = 0; i < 10; i++) put(h, .id = ids[i], .limit = limit);
}

static void a_removed_limit_frees_its_backlog(void **ctx) {
  struct world *w = *ctx;
  struct handle *h = open_engine(w, "e1");
  declare_limit(h, "1;0;0;0;strict;arg:1");
  put(h, .id = "head", .limit = "1;0;0;0;strict;=t/a");
  put_ten(h, "1;0;0;0;strict;=t/a");
  settle(h, take_job(h, "head"), .kind = SK_SETTLE_RETRY, .delay_ms = 600000);
  assert_int_equal(take(h, 20, "q", NULL)->jobs_n, 0);
  declare_limit(h, NULL);
  assert_string_equal(ids_of(w, take(h, 20, "q", NULL)), "j0 j1 j2 j3 j4 j5 j6 j7 j8 j9");
  world_advance(w, 600000);
  settle(h, take_job(h, "head"), .kind = SK_SETTLE_RETRY, .delay_ms = 1000);
  put(h, .id = "stale", .limit = "1;0;0;0;strict;=t/a"); /* by a client that has not heard of it */
  put(h, .id = "own", .limit = "1;0;0;0;any;=t/b");      /* with numbers of its own */
  put(h, .id = "own2", .limit = "1;0;0;0;any;=t/b");
  assert_string_equal(ids_of(w, take(h, 20, "q", NULL)), "stale own");
}

static void numbers_of_the_newest_declaration_hold_for_what_waits(void **ctx) {
  struct world *w = *ctx;
  struct handle *h = open_engine(w, "e1");
  declare_limit(h, "1;0;0;0;any;task");
  put_ten(h, "1;0;0;0;any;=t");
  assert_string_equal(ids_of(w, take(h, 20, "q", NULL)), "j0");
  declare_limit(h, "3;0;0;0;any;task");
  assert_string_equal(ids_of(w, take(h, 20, "q", NULL)), "j1 j2");
  put(h, .id = "stale", .limit = "1;0;0;0;any;=t");
  assert_int_equal(take(h, 20, "q", NULL)->jobs_n, 0);
  declare_limit(h, "0;1;60000;1;any;task");
  assert_string_equal(ids_of(w, take(h, 20, "q", NULL)), "j3");
  declare_limit(h, "5;0;0;0;any;task");
  assert_string_equal(ids_of(w, take(h, 20, "q", NULL)), "j4");
  declare_limit(h, "1;0;0;0;any;task"); /* as once before */
  assert_int_equal(take(h, 20, "q", NULL)->jobs_n, 0);
  declare_limit(h, "7;0;0;0;any;task");
  assert_string_equal(ids_of(w, take(h, 20, "q", NULL)), "j5 j6");
}

static void a_job_that_waits_gives_back_the_slot_of_a_limit_that_was_strict(void **ctx) {
  struct world *w = *ctx;
  struct handle *h = open_engine(w, "e1");
  declare_limit(h, "1;0;0;0;strict;arg:1");
  put(h, .id = "a1", .limit = "1;0;0;0;strict;=t/a");
  put(h, .id = "a2", .limit = "1;0;0;0;strict;=t/a");
  put(h, .id = "b1", .limit = "1;0;0;0;strict;=t/b");
  put(h, .id = "b2", .limit = "1;0;0;0;strict;=t/b");
  struct sk_fetch_op *op = take(h, 20, "q", NULL);
  assert_string_equal(ids_of(w, op), "a1 b1");
  settle(h, &op->jobs[0], .kind = SK_SETTLE_RETRY, .delay_ms = 600000);
  declare_limit(h, "1;0;0;0;any;arg:1");
  assert_string_equal(ids_of(w, take(h, 20, "q", NULL)), "a2"); /* b1 runs */
  settle(h, &op->jobs[1], .kind = SK_SETTLE_RETRY, .delay_ms = 600000);
  assert_string_equal(ids_of(w, take(h, 20, "q", NULL)), "b2");
  world_advance(w, 600000);
  assert_int_equal(take(h, 20, "q", NULL)->jobs_n, 0);
}

/* Other tasks whose names begin alike, and what is scheduled. */
static void only_the_groups_of_that_task_are_renewed(void **ctx) {
  struct world *w = *ctx;
  struct handle *h = open_engine(w, "e1");
  declare_limit(h, "1;0;0;0;any;arg:1");
  put(h, .id = "o1", .task = "t.o", .limit = "1;0;0;0;any;=t.o/a");
  put(h, .id = "o2", .task = "t.o", .limit = "1;0;0;0;any;=t.o/a");
  put(h, .id = "s1", .limit = "1;0;0;0;any;=t/a", .delay_ms = 1000);
  put(h, .id = "s2", .limit = "1;0;0;0;any;=t/a", .delay_ms = 1000);
  declare_limit(h, NULL);
  assert_string_equal(ids_of(w, take(h, 20, "q", NULL)), "o1");
  world_advance(w, 1000);
  assert_string_equal(ids_of(w, take(h, 20, "q", NULL)), "s1 s2");
}

/* More groups than a store renews at once. */
static void a_limit_by_many_keys_is_freed_whole(void **ctx) {
  struct world *w = *ctx;
  struct handle *h = open_engine(w, "e1");
  enum { KEYS = 450 };
  declare_limit(h, "1;0;0;0;any;arg:1");
  struct sk_enqueue_item items[2 * KEYS];
  for (int i = 0; i < 2 * KEYS; i++) {
    char id[16], limit[40];
    snprintf(id, sizeof id, "m%04d", i);
    snprintf(limit, sizeof limit, "1;0;0;0;any;=t/key%03d", i / 2);
    items[i] = item(w, .id = id, .limit = limit);
  }
  for (int i = 0; i < 2; i++) {
    struct sk_enqueue_op op = { .items = items + i * KEYS, .items_n = KEYS };
    assert_code(run_enqueue(h, &op), SK_OK);
    sk_op_fini(&op.op);
  }
  assert_int_equal(take(h, 2 * KEYS, "q", NULL)->jobs_n, KEYS);
  declare_limit(h, NULL);
  size_t taken = 0;
  for (int i = 0; i < 1000 && taken < KEYS; i++) taken += take(h, 2 * KEYS, "q", NULL)->jobs_n;
  assert_int_equal(taken, KEYS);
}

/* -- who has declared it ------------------------------------------------------------------------------------------- */

/* An application declares: queues it binds to 5 jobs each, NULL for none; and task "t". */
static void declare_as(struct handle *h, const char *owner, bool renew, const char *first, const char *second) {
  struct sk_task_item task = { .name = text("t"), .queue = text("routed") };
  struct sk_queue_settings queues[2];
  const char *const names[] = { first, second };
  size_t n = 0;
  for (int i = 0; i < 2; i++)
    if (names[i]) queues[n++] = (struct sk_queue_settings){ .name = text(names[i]), .max_len = 5 };
  struct sk_declare_op op = {
    .owner = text(owner), .renew = renew, .items = &task, .items_n = 1, .queues = queues, .queues_n = n
  };
  assert_code(run_declare(h, &op), SK_OK);
  sk_op_fini(&op.op);
}

/* The names of the queues that are bound, then of the tasks. */
static const char *declared(struct handle *h) {
  static char said[200];
  struct sk_tasks_op op = { .items_n = 0 };
  assert_code(run_tasks(h, &op), SK_OK);
  said[0] = '\0';
  for (size_t i = 0; i < op.queues_n; i++) snprintf(said + strlen(said), 50, "%.*s ", SK_STR_ARG(op.queues[i].name));
  for (size_t i = 0; i < op.items_n; i++) snprintf(said + strlen(said), 50, "+%.*s", SK_STR_ARG(op.items[i].name));
  sk_op_fini(&op.op);
  return said;
}

static void a_declaration_replaces_what_its_owner_declared_before_and_nothing_else(void **ctx) {
  struct handle *h = open_engine(*ctx, "e1");
  bind_queue(h, .name = text("nobodys"), .max_len = 5);
  declare_as(h, "app", false, "mail", "both");
  declare_as(h, "other", false, "both", "theirs");
  assert_string_equal(declared(h), "both mail nobodys theirs +t");
  declare_as(h, "app", false, "new", NULL);
  assert_string_equal(declared(h), "both new nobodys theirs +t");
  declare_as(h, "other", false, NULL, NULL);
  assert_string_equal(declared(h), "new nobodys +t");
  for (int i = 0; i < 9; i++)
    put(h, .id = (const char *[]){ "0", "1", "2", "3", "4", "5", "6", "7", "8" }[i], .queue = "both");
}

static void what_nobody_declares_any_more_is_forgotten_after_a_week(void **ctx) {
  struct world *w = *ctx;
  struct handle *h = open_engine(w, "e1");
  const int64_t day = 86400000;
  declare_as(h, "gone", false, "old", NULL);
  declare_as(h, "app", false, "mail", NULL);
  struct sk_task_item task = { .name = text("u"), .queue = text("q") };
  struct sk_declare_op op = { .owner = text("gone"), .items = &task, .items_n = 1, .queues = NULL };
  struct sk_queue_settings old = { .name = text("old"), .max_len = 5 };
  op.queues = &old, op.queues_n = 1;
  assert_code(run_declare(h, &op), SK_OK);
  sk_op_fini(&op.op);
  for (int i = 0; i < 6; i++) {
    world_advance(w, day);
    declare_as(h, "app", true, "mail", "not yet");
  }
  assert_string_equal(declared(h), "mail old +t+u");
  world_advance(w, day + 1);
  declare_as(h, "app", true, "mail", NULL);
  assert_string_equal(declared(h), "mail +t");
}

static const struct CMUnitTest tests[] = {
  cmocka_unit_test(a_removed_limit_frees_its_backlog),
  cmocka_unit_test(numbers_of_the_newest_declaration_hold_for_what_waits),
  cmocka_unit_test(a_job_that_waits_gives_back_the_slot_of_a_limit_that_was_strict),
  cmocka_unit_test(only_the_groups_of_that_task_are_renewed),
  cmocka_unit_test(a_limit_by_many_keys_is_freed_whole),
  cmocka_unit_test(a_declaration_replaces_what_its_owner_declared_before_and_nothing_else),
  cmocka_unit_test(what_nobody_declares_any_more_is_forgotten_after_a_week),
};
const struct suite renew_suite = SUITE("changed limits", tests);
