/* events_test.c - store.h, sk_store_events: what one handle does, the others hear of. */
#include "contract.h"

/* Waits until `other` has heard of something that came after this. */
#define assert_heard(other, ...)                                                                                       \
  do {                                                                                                                 \
    int before_ = (other)->changed;                                                                                    \
    __VA_ARGS__;                                                                                                       \
    world_await_count((other)->world, &(other)->changed, before_ + 1);                                                 \
  } while (0)

static void enqueue_is_heard(void **ctx) {
  struct world *w = *ctx;
  struct handle *h = open_engine(w, "e1"), *c = open_client(w);
  assert_heard(h, put(c, .id = "a"));
  assert_heard(h, put(c, .id = "b", .delay_ms = 1000));
}

static void settle_is_heard(void **ctx) {
  struct world *w = *ctx;
  struct handle *h = open_engine(w, "e1"), *c = open_client(w);
  put(h, .id = "a");
  put(h, .id = "b");
  put(h, .id = "c");
  struct sk_fetch_op *op = take(h, 3, "q", NULL);
  assert_heard(c, settle(h, &op->jobs[0], .kind = SK_SETTLE_DONE));
  assert_heard(c, settle(h, &op->jobs[1], .kind = SK_SETTLE_RETRY, .delay_ms = 5));
  assert_heard(c, settle(h, &op->jobs[2], .kind = SK_SETTLE_RELEASE));
}

static void changes_and_pauses_are_heard(void **ctx) {
  struct world *w = *ctx;
  struct handle *h = open_engine(w, "e1"), *c = open_client(w);
  put(h, .id = "a");
  put(h, .id = "s", .delay_ms = 1000);
  assert_heard(h, change(c, SK_VERB_CANCEL, "a", 1000));
  assert_heard(h, change(c, SK_VERB_PROMOTE, "s", 0));
  assert_heard(h, set_paused(c, "q", true));
  assert_heard(h, set_paused(c, "q", false));
}

static void what_a_beat_or_a_close_hands_back_is_heard(void **ctx) {
  struct world *w = *ctx;
  struct handle *a = open_engine(w, "e1"), *b = open_engine(w, "e2"), *c = open_client(w);
  put(a, .id = "a");
  take_job(a, "a");
  assert_heard(c, outlive(b));
  take_job(b, "a");
  assert_heard(c, close_handle(b));
  take_job(a, "a");
}

static void a_fetch_that_makes_room_in_a_queue_that_blocks_is_heard(void **ctx) {
  struct world *w = *ctx;
  struct handle *h = open_engine(w, "e1"), *c = open_client(w);
  bind_queue(h, .name = text("q"), .max_len = 1, .overflow = SK_OVERFLOW_BLOCK, .block_ms = 1000);
  put(h, .id = "a");
  assert_heard(c, take_job(h, "a"));
}

static void declared_queue_settings_are_heard(void **ctx) {
  struct world *w = *ctx;
  struct handle *h = open_engine(w, "e1"), *c = open_client(w);
  assert_heard(h, bind_queue(c, .name = text("q"), .limit = { .concurrency = 1 }));
  assert_heard(h, bind_queue(c, .name = text("q")));
}

/* The enqueue at the end is heard; whatever was heard before it came from the operations between. */
static void looking_and_progress_are_not_heard(void **ctx) {
  struct world *w = *ctx;
  struct handle *h = open_engine(w, "e1"), *c = open_client(w);
  assert_heard(c, put(h, .id = "a"));
  struct sk_fetched *a = take_job(h, "a");
  int before = c->changed;
  struct sk_progress_item report = { .id = a->id, .queue = a->queue, .fence = a->fence, .percent = 5 };
  struct sk_progress_op progress = { .items = &report, .items_n = 1 };
  assert_code(run_progress(h, &progress), SK_OK);
  sk_op_fini(&progress.op);
  struct sk_tasks_op tasks_op = { .items = NULL };
  assert_code(run_tasks(h, &tasks_op), SK_OK);
  sk_op_fini(&tasks_op.op);
  view(h, "a");
  count(h);
  listed(h, .state = SK_STATE_RUNNING);
  assert_heard(c, put(h, .id = "b"));
  assert_int_equal(c->changed, before + 1);
}

/* A fetch that makes no room, a beat that hands nothing back, the close of an engine that holds nothing and a backup
 * wake nobody: the enqueue at the end is the only call that is heard. */
static void operations_that_change_nothing_for_others_are_not_heard(void **ctx) {
  struct world *w = *ctx;
  struct handle *h = open_engine(w, "e1"), *idle = open_engine(w, "e2"), *c = open_client(w);
  assert_heard(c, put(h, .id = "a"));
  int before = c->changed;
  take_job(h, "a");
  beat(h);
  close_handle(idle);
  char path[128];
  snprintf(path, sizeof path, "%s/copy", w->dir);
  struct sk_backup_op backup = { .path = text(path) };
  run_backup(h, &backup);
  sk_op_fini(&backup.op);
  assert_heard(c, put(h, .id = "b"));
  assert_int_equal(c->changed, before + 1);
}

static void deletes_and_stops_are_heard(void **ctx) {
  struct world *w = *ctx;
  struct handle *h = open_engine(w, "e1"), *c = open_client(w);
  put(h, .id = "a");
  put(h, .id = "b");
  take_job(h, "a");
  assert_heard(h, change(c, SK_VERB_CANCEL, "a", 1000));
  assert_heard(h, change(c, SK_VERB_DELETE, "b", 0));
}

static void all_others_hear(void **ctx) {
  struct world *w = *ctx;
  struct handle *a = open_engine(w, "e1"), *b = open_engine(w, "e2"), *c = open_client(w);
  int before = c->changed;
  assert_heard(b, put(a, .id = "a"));
  world_await_count(w, &c->changed, before + 1);
}

static void ones_own_operations_are_not_heard(void **ctx) {
  struct world *w = *ctx;
  struct handle *h = open_engine(w, "e1"), *c = open_client(w);
  assert_heard(c, put(h, .id = "a"));
  assert_heard(c, settle(h, take_job(h, "a"), .kind = SK_SETTLE_DONE));
  assert_heard(c, set_paused(h, "q", true));
  assert_int_equal(h->changed, 0);
}

static const struct CMUnitTest tests[] = {
  cmocka_unit_test(enqueue_is_heard),
  cmocka_unit_test(settle_is_heard),
  cmocka_unit_test(changes_and_pauses_are_heard),
  cmocka_unit_test(what_a_beat_or_a_close_hands_back_is_heard),
  cmocka_unit_test(a_fetch_that_makes_room_in_a_queue_that_blocks_is_heard),
  cmocka_unit_test(declared_queue_settings_are_heard),
  cmocka_unit_test(looking_and_progress_are_not_heard),
  cmocka_unit_test(operations_that_change_nothing_for_others_are_not_heard),
  cmocka_unit_test(deletes_and_stops_are_heard),
  cmocka_unit_test(all_others_hear),
  cmocka_unit_test(ones_own_operations_are_not_heard),
};
const struct suite events_suite = SUITE("events", tests);
