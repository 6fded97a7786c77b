/* client_test.c - store/client.h over every store. */
#include "store/client.h"

#include <pthread.h>
#include <string.h>

#include "contract.h"

static struct sk_client *open_it(struct world *w, bool must_exist) {
  const struct sk_store_options options = {
    .url = text(w->url), .durability = SK_DURABLE_NORMAL, .must_exist = must_exist, .engine = text("ignored")
  };
  struct sk_client *client;
  struct sk_err err = { 0 };
  enum sk_code code = sk_client_open(&options, &client, &err);
  if (code != SK_OK && !(must_exist && code == SK_ENOTFOUND)) fail_msg("%s", err.message);
  return client;
}

static void a_client_enqueues_and_looks(void **ctx) {
  struct world *w = *ctx;
  struct sk_client *client = open_it(w, false);
  struct sk_enqueue_item items[] = { item(w, .id = "a"), item(w, .id = "b", .delay_ms = 1000000) };
  struct sk_enqueue_op put_op = { .items = items, .items_n = 2 };
  assert_code(sk_client_enqueue(client, &put_op), SK_OK);
  const struct sk_str id = text("b");
  struct sk_get_op get = { .ids = &id, .ids_n = 1 };
  assert_code(sk_client_get(client, &get), SK_OK);
  assert_int_equal(get.views[0].state, SK_STATE_SCHEDULED);
  struct sk_list_op list = { .limit = 9 };
  assert_code(sk_client_list(client, &list), SK_OK);
  assert_int_equal(list.views_n, 2);
  struct sk_change_op change_op = { .verb = SK_VERB_PROMOTE, .ids = &id, .ids_n = 1 };
  assert_code(sk_client_change(client, &change_op), SK_OK);
  assert_int_equal(change_op.changed, 1);
  struct sk_pause_op pause = { .queue = text("q"), .paused = true };
  assert_code(sk_client_pause(client, &pause), SK_OK);
  const struct sk_task_item task = { .name = text("t"), .queue = text("q"), .priority = 0 };
  struct sk_declare_op declare = { .items = &task, .items_n = 1 };
  assert_code(sk_client_declare(client, &declare), SK_OK);
  struct sk_tasks_op tasks_op = { 0 };
  assert_code(sk_client_tasks(client, &tasks_op), SK_OK);
  assert_int_equal(tasks_op.items_n, 1);
  struct sk_count_op count_op = { 0 };
  assert_code(sk_client_count(client, &count_op), SK_OK);
  sk_client_close(client);
  assert_true(count_op.queues[0].paused);
  assert_int_equal(count_op.queues[0].states[SK_STATE_READY], 2);
  struct sk_op *ops[] = { &put_op.op, &get.op,     &list.op,     &change_op.op,
                          &pause.op,  &declare.op, &tasks_op.op, &count_op.op };
  for (size_t i = 0; i < sizeof ops / sizeof ops[0]; i++) sk_op_fini(ops[i]);
}

static void a_failed_operation_says_why(void **ctx) {
  struct world *w = *ctx;
  struct sk_client *client = open_it(w, false);
  struct sk_list_op list = { .limit = 1000000 };
  assert_code(sk_client_list(client, &list), SK_ELIMIT);
  assert_non_null(strstr(list.op.err.message, "1000000"));
  sk_op_fini(&list.op);
  sk_client_close(client);
}

static void opening_may_fail(void **ctx) {
  struct world *w = *ctx;
  assert_null(open_it(w, true));
  sk_client_close(NULL);
}

static void waiting_ends_with_the_timeout(void **ctx) {
  struct sk_client *client = open_it(*ctx, false);
  /* A store may call `changed` without a reason, but not for ever. */
  int reasonless = 0;
  while (sk_client_wait_changed(client, 5) == SK_OK) assert_true(++reasonless < 100);
  sk_client_close(client);
}

static void *enqueue_from_a_thread(void *arg) {
  struct sk_client *client = open_it(arg, false);
  struct sk_enqueue_item one = item((struct world *)arg, .id = "a");
  struct sk_enqueue_op op = { .items = &one, .items_n = 1 };
  sk_client_enqueue(client, &op);
  sk_op_fini(&op.op);
  sk_client_close(client);
  return NULL;
}

static void waiting_ends_when_another_thread_changes_something(void **ctx) {
  struct world *w = *ctx;
  struct sk_client *client = open_it(w, false);
  pthread_t thread;
  assert_int_equal(pthread_create(&thread, NULL, enqueue_from_a_thread, w), 0);
  const struct sk_str id = text("a");
  enum sk_state seen = SK_STATE_NONE;
  for (;;) {
    struct sk_get_op get = { .ids = &id, .ids_n = 1 };
    assert_code(sk_client_get(client, &get), SK_OK);
    seen = get.views[0].state;
    sk_op_fini(&get.op);
    if (seen != SK_STATE_NONE || sk_client_wait_changed(client, GUARD_MS) != SK_OK) break;
  }
  pthread_join(thread, NULL);
  assert_int_equal(seen, SK_STATE_READY);
  sk_client_close(client);
}

/* Without an end to the wait it sleeps until something has changed; `skein enqueue --wait` looked again without a
 * pause. */
static void waiting_for_ever_ends_with_a_change(void **ctx) {
  struct world *w = *ctx;
  struct sk_client *client = open_it(w, false);
  while (sk_client_wait_changed(client, 5) == SK_OK) continue; /* what the opening has changed */
  pthread_t thread;
  assert_int_equal(pthread_create(&thread, NULL, enqueue_from_a_thread, w), 0);
  const struct sk_str id = text("a");
  enum sk_state seen = SK_STATE_NONE;
  for (int rounds = 0; seen == SK_STATE_NONE; rounds++) {
    assert_true(rounds < 100);
    assert_code(sk_client_wait_changed(client, -1), SK_OK);
    struct sk_get_op get = { .ids = &id, .ids_n = 1 };
    assert_code(sk_client_get(client, &get), SK_OK);
    seen = get.views[0].state;
    sk_op_fini(&get.op);
  }
  pthread_join(thread, NULL);
  sk_client_close(client);
}

static const struct CMUnitTest tests[] = {
  cmocka_unit_test(a_client_enqueues_and_looks),
  cmocka_unit_test(a_failed_operation_says_why),
  cmocka_unit_test(opening_may_fail),
  cmocka_unit_test(waiting_ends_with_the_timeout),
  cmocka_unit_test(waiting_ends_when_another_thread_changes_something),
  cmocka_unit_test(waiting_for_ever_ends_with_a_change),
};
const struct suite client_suite = SUITE("client", tests);
