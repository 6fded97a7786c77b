/* law_test.c - the law that holds for every operation: callbacks, closing, clients, limits. */
#include <string.h>

#include "base/limits.h"
#include "contract.h"
#include "io/loop.h"

static void opening_an_unknown_scheme_names_the_url_and_the_known_ones(void **ctx) {
  struct world *w = *ctx;
  const char *urls[] = { "gopher://x", "", "memory", "sqlite" };
  for (size_t i = 0; i < 4; i++) {
    struct sk_store *store;
    struct sk_err err = { 0 };
    const struct sk_store_options options = { .url = text(urls[i]) };
    assert_code(sk_store_open(w->loop, &options, NULL, &store, &err), SK_EINVAL);
    assert_null(store);
    assert_non_null(strstr(err.message, urls[i]));
    assert_non_null(strstr(err.message, "memory:"));
    assert_non_null(strstr(err.message, "sqlite:"));
  }
}

static void opening_with_must_exist_makes_nothing(void **ctx) {
  struct world *w = *ctx;
  for (int round = 0; round < 2; round++) {
    struct sk_store *store;
    struct sk_err err = { 0 };
    const struct sk_store_options options = { .url = text(w->url), .must_exist = true };
    assert_code(sk_store_open(w->loop, &options, NULL, &store, &err), SK_ENOTFOUND);
    assert_true(err.message[0] != '\0');
  }
}

static void two_handles_see_one_store(void **ctx) {
  struct world *w = *ctx;
  struct handle *a = open_client(w), *b = open_client(w);
  assert_code(put(a, .id = "j"), SK_OK);
  assert_string_equal(state_of(b, "j"), "ready");
}

static void a_client_cannot_fetch_settle_beat_or_progress(void **ctx) {
  struct world *w = *ctx;
  struct handle *c = open_client(w);
  assert_code(put(c, .id = "j"), SK_OK);
  struct sk_fetch_queue q = { text("q"), 1 };
  struct sk_fetch_op fetch = { .queues = &q, .queues_n = 1, .want = 1 };
  assert_code(run_fetch(c, &fetch), SK_EINVAL);
  sk_op_fini(&fetch.op);
  struct sk_settle_item item_ = { .id = text("j"), .queue = text("q"), .kind = SK_SETTLE_DROP, .fence = 1 };
  struct sk_settle_op settle_op = { .items = &item_, .items_n = 1 };
  assert_code(run_settle(c, &settle_op), SK_EINVAL);
  sk_op_fini(&settle_op.op);
  struct sk_beat_op beat_op = { 0 };
  assert_code(run_beat(c, &beat_op), SK_EINVAL);
  sk_op_fini(&beat_op.op);
  struct sk_progress_op progress = { 0 };
  assert_code(run_progress(c, &progress), SK_EINVAL);
  sk_op_fini(&progress.op);
  assert_string_equal(state_of(c, "j"), "ready");
}

static void a_client_may_do_everything_else(void **ctx) {
  struct world *w = *ctx;
  struct handle *c = open_client(w);
  assert_code(put(c, .id = "j"), SK_OK);
  assert_string_equal(state_of(c, "j"), "ready");
  assert_string_equal(listed(c, .state = SK_STATE_READY), "j");
  assert_int_equal(count_state(c, "q", SK_STATE_READY), 1);
  assert_code(change(c, SK_VERB_CANCEL, "j", 1000), SK_OK);
  set_paused(c, "q", true);
  bind_queue(c, .name = text("q"), .max_len = 7);
  struct sk_tasks_op tasks_op = { .items = NULL };
  assert_code(run_tasks(c, &tasks_op), SK_OK);
  assert_int_equal(tasks_op.queues_n, 1);
  assert_int_equal(tasks_op.queues[0].max_len, 7);
  sk_op_fini(&tasks_op.op);
}

static void a_backup_is_a_copy_or_unsupported(void **ctx) {
  struct world *w = *ctx;
  struct handle *c = open_client(w);
  char path[128];
  snprintf(path, sizeof path, "%s/copy", w->dir);
  for (int round = 0; round < 2; round++) {
    struct sk_backup_op op = { .path = text(path) };
    enum sk_code code = run_backup(c, &op);
    bool is_file = strcmp(w->kind->name, "sqlite") == 0;
    assert_code(code, !is_file ? SK_EUNSUPPORTED : round == 0 ? SK_OK : SK_EEXISTS);
    if (code == SK_OK) assert_true(op.bytes > 0);
    sk_op_fini(&op.op);
  }
}

/* The copy is a store of its own: it holds the jobs of the moment, and neither store sees later changes of the
 * other. */
static void a_backup_holds_the_whole_store(void **ctx) {
  struct world *w = *ctx;
  if (strcmp(w->kind->name, "sqlite") != 0) return; /* the others answer SK_EUNSUPPORTED: see the test above */
  struct handle *h = open_client(w);
  put(h, .id = "a");
  put(h, .id = "s", .delay_ms = 1000);
  char path[sizeof w->dir + 16];
  snprintf(path, sizeof path, "%s/copy.db", w->dir);
  struct sk_backup_op op = { .path = text(path) };
  assert_code(run_backup(h, &op), SK_OK);
  sk_op_fini(&op.op);
  put(h, .id = "later");
  snprintf(w->url, sizeof w->url, "sqlite:%s", path);
  struct handle *copy = open_client(w);
  assert_string_equal(state_of(copy, "a"), "ready");
  assert_string_equal(state_of(copy, "s"), "scheduled");
  assert_string_equal(state_of(copy, "later"), "unknown");
  assert_code(change(copy, SK_VERB_DELETE, "a", 0), SK_OK);
  assert_string_equal(state_of(h, "a"), "ready");
}

/* A stale item, whether its fence or its job is wrong, keeps nothing of the rest of the batch from being seen. */
static void progress_skips_stale_items_and_takes_the_others(void **ctx) {
  struct world *w = *ctx;
  struct handle *h = open_engine(w, "e1");
  put(h, .id = "a");
  put(h, .id = "b");
  struct sk_fetch_op *op = take(h, 2, "q", NULL);
  const struct sk_fetched *a = &op->jobs[0], *b = &op->jobs[1];
  const struct sk_progress_item items[] = {
    { .id = a->id, .queue = a->queue, .fence = a->fence + 1, .percent = 11 },
    { .id = text("no-such-job"), .queue = text("q"), .fence = 1, .percent = 22 },
    { .id = b->id, .queue = b->queue, .fence = b->fence, .percent = 33 },
  };
  struct sk_progress_op progress = { .items = items, .items_n = 3 };
  assert_code(run_progress(h, &progress), SK_OK);
  sk_op_fini(&progress.op);
  assert_int_equal(view(h, "a")->percent, -1);
  assert_int_equal(view(h, "b")->percent, 33);
  assert_string_equal(state_of(h, "no-such-job"), "unknown");
}

/* A repeated declaration of tasks and of queue settings leaves the same tasks and settings. */
static void a_repeated_declaration_does_no_harm(void **ctx) {
  struct world *w = *ctx;
  struct handle *c = open_client(w);
  const struct sk_task_item task = { .name = text("t"), .queue = text("q"), .priority = 1 };
  const struct sk_queue_settings queue = { .name = text("q"), .max_len = 7 };
  for (int round = 0; round < 2; round++) {
    struct sk_declare_op declare = {
      .owner = text("app"), .items = &task, .items_n = 1, .queues = &queue, .queues_n = 1
    };
    assert_code(run_declare(c, &declare), SK_OK);
    sk_op_fini(&declare.op);
    struct sk_tasks_op op = { .items = NULL };
    assert_code(run_tasks(c, &op), SK_OK);
    assert_int_equal(op.items_n, 1);
    assert_true(sk_str_eq_c(op.items[0].name, "t") && sk_str_eq_c(op.items[0].queue, "q"));
    assert_int_equal(op.items[0].priority, 1);
    assert_int_equal(op.queues_n, 1);
    assert_int_equal(op.queues[0].max_len, 7);
    sk_op_fini(&op.op);
  }
}

/* What a client finds when it repeats an operation whose answer it did not receive, but which happened. */
static void a_repeat_tells_what_happened_or_does_no_harm(void **ctx) {
  struct world *w = *ctx;
  struct handle *h = open_engine(w, "e1");
  put(h, .id = "a", .lock = "reject;0;=k");
  assert_string_equal(refused_by(h, .id = "a", .lock = "reject;0;=k"), "");
  put(h, .id = "s", .delay_ms = 1000);
  assert_code(change(h, SK_VERB_PROMOTE, "s", 0), SK_OK);
  assert_code(change(h, SK_VERB_PROMOTE, "s", 0), SK_ESTATE);
  assert_code(change(h, SK_VERB_CANCEL, "s", 1000), SK_OK);
  assert_code(change(h, SK_VERB_CANCEL, "s", 1000), SK_ESTATE);
  assert_code(change(h, SK_VERB_RETRY, "s", 0), SK_OK);
  assert_code(change(h, SK_VERB_RETRY, "s", 0), SK_ESTATE);
  assert_code(change(h, SK_VERB_DELETE, "s", 0), SK_OK);
  assert_code(change(h, SK_VERB_DELETE, "s", 0), SK_ENOTFOUND);
  struct sk_fetched *a = take_job(h, "a");
  assert_code(change(h, SK_VERB_CANCEL, "a", 0), SK_OK);
  assert_code(change(h, SK_VERB_CANCEL, "a", 0), SK_OK);
  assert_code(settle(h, a, .kind = SK_SETTLE_CANCELLED, .keep_ms = 1000), SK_OK);
  assert_code(settle(h, a, .kind = SK_SETTLE_CANCELLED, .keep_ms = 1000), SK_ESTALE);
  assert_int_equal(count(h)->counters.cancelled, 2);
  for (int round = 0; round < 2; round++) {
    set_paused(h, "q", true);
    bind_queue(h, .name = text("q"), .max_len = 7);
    assert_int_equal(beat(h)->recovered, 0);
  }
}

/* One queue more may be refused, with a job for it; a retry then stays in the queue that its job has. */
static void a_store_holds_as_many_queues_as_its_limit_says(void **ctx) {
  struct world *w = *ctx;
  struct handle *h = open_engine(w, "e1");
  put(h, .id = "a"); /* queue 1 */
  for (int made = 1; made < SK_QUEUES_PER_STORE_MAX;) {
    struct sk_enqueue_item items[SK_ENQUEUE_BATCH_MAX];
    struct sk_enqueue_op op = { .items = items };
    for (; made < SK_QUEUES_PER_STORE_MAX && op.items_n < SK_ENQUEUE_BATCH_MAX; made++) {
      char name[16];
      snprintf(name, sizeof name, "n%d", made);
      items[op.items_n++] = item(w, .id = name, .queue = name);
    }
    assert_code(run_enqueue(h, &op), SK_OK);
    for (size_t i = 0; i < op.items_n; i++) assert_code(items[i].status, SK_OK);
    sk_op_fini(&op.op);
    world_forget(w);
  }
  enum sk_code code = put(h, .id = "b", .queue = "one-more");
  assert_true(code == SK_OK || code == SK_ELIMIT);
  assert_code(settle(h, take_job(h, "a"), .kind = SK_SETTLE_RETRY, .to_queue = "another"), SK_OK);
  assert_true(sk_str_eq_c(view(h, "a")->queue, code == SK_OK ? "another" : "q"));
}

struct seen {
  int answers;
  int answers_at_close;
  bool closed;
  enum sk_code status[3];
};

static void on_answer(struct sk_op *op, void *ctx) {
  struct seen *seen = ctx;
  seen->status[seen->answers++] = op->status;
}

static void on_closed(void *ctx) {
  struct seen *seen = ctx;
  seen->answers_at_close = seen->answers;
  seen->closed = true;
}

static void what_is_submitted_is_finished_before_close_is_done(void **ctx) {
  struct world *w = *ctx;
  struct handle *keep = open_client(w), *h = open_client(w);
  struct seen seen = { 0 };
  struct sk_enqueue_item items[3] = { item(w, .id = "a"), item(w, .id = "b"), item(w, .id = "c") };
  struct sk_enqueue_op ops[3];
  memset(ops, 0, sizeof ops);
  for (int i = 0; i < 3; i++) {
    ops[i].op.cb = on_answer;
    ops[i].op.ctx = &seen;
    ops[i].items = &items[i];
    ops[i].items_n = 1;
    h->store->ops->enqueue(h->store, &ops[i]);
  }
  struct sk_store *store = h->store;
  h->store = NULL;
  store->ops->close(store, on_closed, &seen);
  assert_int_equal(seen.answers, 0);
  assert_false(seen.closed);
  world_await(w, &seen.closed);
  assert_int_equal(seen.answers_at_close, 3);
  for (int i = 0; i < 3; i++) {
    assert_code(seen.status[i], SK_OK);
    sk_op_fini(&ops[i].op);
  }
  assert_string_equal(listed(keep, .state = SK_STATE_READY), "a b c");
}

static void a_store_in_a_hurry_answers_all_and_closes(void **ctx) {
  struct world *w = *ctx;
  struct handle *keep = open_client(w), *h = open_engine(w, "E1");
  struct seen seen = { 0 };
  struct sk_enqueue_item items[3] = { item(w, .id = "a"), item(w, .id = "b"), item(w, .id = "c") };
  struct sk_enqueue_op ops[3];
  memset(ops, 0, sizeof ops);
  struct sk_store *store = h->store;
  h->store = NULL;
  for (int i = 0; i < 3; i++) {
    ops[i].op.cb = on_answer;
    ops[i].op.ctx = &seen;
    ops[i].items = &items[i];
    ops[i].items_n = 1;
    if (i == 2) store->ops->hurry(store);
    store->ops->enqueue(store, &ops[i]);
  }
  assert_int_equal(seen.answers, 0); /* not inside a call */
  store->ops->close(store, on_closed, &seen);
  store->ops->hurry(store);
  world_await(w, &seen.closed);
  assert_int_equal(seen.answers_at_close, 3);
  for (int i = 0; i < 3; i++) {
    enum sk_code status = ops[i].op.status;
    bool added = strcmp(state_of(keep, i == 0 ? "a" : i == 1 ? "b" : "c"), "ready") == 0;
    if (status == SK_OK) assert_true(added);
    if (status == SK_EUNAVAILABLE) assert_false(added);
    assert_true(status == SK_OK || status == SK_EUNAVAILABLE || status == SK_EUNKNOWN);
    sk_op_fini(&ops[i].op);
  }
}

struct chain {
  struct handle *h;
  struct sk_count_op op;
  int left;
  bool inside, done;
};

static void on_chain(struct sk_op *op, void *ctx) {
  struct chain *chain = ctx;
  assert_false(chain->inside);
  sk_op_fini(op);
  chain->done = --chain->left == 0;
  if (chain->done) return;
  chain->inside = true;
  chain->h->store->ops->count(chain->h->store, &chain->op);
  chain->inside = false;
}

static void an_op_can_be_submitted_again_from_its_callback(void **ctx) {
  struct chain chain = { .h = open_client(*ctx), .left = 100 };
  chain.op.op.cb = on_chain;
  chain.op.op.ctx = &chain;
  chain.h->store->ops->count(chain.h->store, &chain.op);
  world_await(*ctx, &chain.done);
}

static void on_timer(void *ctx) { *(bool *)ctx = true; }

/* A chain of callbacks that never ends must leave room for the loop's other events. */
static void endless_operations_do_not_starve_the_loop(void **ctx) {
  struct world *w = *ctx;
  struct chain chain = { .h = open_client(w), .left = 1 << 30 };
  chain.op.op.cb = on_chain;
  chain.op.op.ctx = &chain;
  chain.h->store->ops->count(chain.h->store, &chain.op);
  bool rang = false;
  struct sk_timer *timer = sk_timer_new(w->loop, on_timer, &rang);
  sk_timer_start(timer, 20);
  world_await(w, &rang);
  sk_timer_free(timer);
  chain.left = 1;
  world_await(w, &chain.done);
}

static void on_answer_close(struct sk_op *op, void *ctx) {
  struct seen *seen = ctx;
  seen->answers++;
  sk_op_fini(op);
}

struct closer {
  struct handle *h;
  struct seen seen;
};

static void close_from_callback(struct sk_op *op, void *ctx) {
  struct closer *closer = ctx;
  sk_op_fini(op);
  struct sk_store *store = closer->h->store;
  closer->h->store = NULL;
  store->ops->close(store, on_closed, &closer->seen);
  assert_false(closer->seen.closed);
}

static void a_store_can_be_closed_from_a_callback(void **ctx) {
  struct world *w = *ctx;
  struct closer closer = { .h = open_client(w) };
  struct sk_count_op first = { .op = { .cb = close_from_callback, .ctx = &closer } };
  struct sk_count_op second = { .op = { .cb = on_answer_close, .ctx = &closer.seen } };
  closer.h->store->ops->count(closer.h->store, &first);
  closer.h->store->ops->count(closer.h->store, &second);
  world_await(w, &closer.seen.closed);
  assert_int_equal(closer.seen.answers, 1);
}

static const struct CMUnitTest tests[] = {
  cmocka_unit_test(opening_an_unknown_scheme_names_the_url_and_the_known_ones),
  cmocka_unit_test(opening_with_must_exist_makes_nothing),
  cmocka_unit_test(two_handles_see_one_store),
  cmocka_unit_test(a_client_cannot_fetch_settle_beat_or_progress),
  cmocka_unit_test(a_client_may_do_everything_else),
  cmocka_unit_test(a_backup_is_a_copy_or_unsupported),
  cmocka_unit_test(a_backup_holds_the_whole_store),
  cmocka_unit_test(progress_skips_stale_items_and_takes_the_others),
  cmocka_unit_test(a_repeated_declaration_does_no_harm),
  cmocka_unit_test(a_repeat_tells_what_happened_or_does_no_harm),
  cmocka_unit_test(a_store_holds_as_many_queues_as_its_limit_says),
  cmocka_unit_test(what_is_submitted_is_finished_before_close_is_done),
  cmocka_unit_test(a_store_in_a_hurry_answers_all_and_closes),
  cmocka_unit_test(an_op_can_be_submitted_again_from_its_callback),
  cmocka_unit_test(endless_operations_do_not_starve_the_loop),
  cmocka_unit_test(a_store_can_be_closed_from_a_callback),
};
const struct suite law_suite = SUITE("law", tests);
