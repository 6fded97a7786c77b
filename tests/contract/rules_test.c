/* rules_test.c - every store decides as the pure functions of logic/rules.h do, over their whole tables (admission:
 * admission_test.c).
 *
 * Two stores call those functions and Redis's scripts decide in Lua; the comparison is the same for all of them. */
#include <string.h>

#include "contract.h"

/* -- verbs --------------------------------------------------------------------------------------------------------- */

/* Makes job `id` of task `task`, alone in queue "q", and brings it into that state. */
static void bring_into(struct handle *h, const char *id, const char *task, enum sk_state state) {
  struct fate fate = { .keep_ms = 100000, .delay_ms = 100000 };
  switch (state) {
  case SK_STATE_NONE: return;
  case SK_STATE_SCHEDULED: put(h, .id = id, .task = task, .delay_ms = 100000); return;
  case SK_STATE_READY: put(h, .id = id, .task = task); return;
  case SK_STATE_RUNNING:
    put(h, .id = id, .task = task);
    take_job(h, id);
    return;
  case SK_STATE_RETRY: fate.kind = SK_SETTLE_RETRY; break;
  case SK_STATE_DONE: fate.kind = SK_SETTLE_DONE; break;
  case SK_STATE_DEAD: fate.kind = SK_SETTLE_DEAD; break;
  case SK_STATE_CANCELLED: fate.kind = SK_SETTLE_CANCELLED; break;
  }
  put(h, .id = id, .task = task);
  assert_code(settle_one(h, take_job(h, id), fate), SK_OK);
}

static void a_verb_takes_the_states_that_the_rule_names(void **ctx) {
  struct world *w = *ctx;
  struct handle *h = open_engine(w, "e1");
  for (int v = 0; v < SK_VERBS; v++) {
    for (int s = 0; s < SK_STATES; s++) {
      enum sk_verb verb = (enum sk_verb)v;
      enum sk_state state = (enum sk_state)s;
      bool takes = sk_verb_takes(verb, state);
      char id[32], task[32];
      snprintf(id, sizeof id, "id-%d-%d", v, s);
      bring_into(h, id, "by-id", state);
      assert_string_equal(state_of(h, id), sk_state_name(state));
      assert_code(change(h, verb, id, 100000), takes ? SK_OK : state == SK_STATE_NONE ? SK_ENOTFOUND : SK_ESTATE);
      if (!takes) assert_string_equal(state_of(h, id), sk_state_name(state));
      change(h, SK_VERB_DELETE, id, 0);
      snprintf(id, sizeof id, "filter-%d-%d", v, s);
      snprintf(task, sizeof task, "task-%d-%d", v, s);
      bring_into(h, id, task, state);
      assert_int_equal(change_all(h, verb, (struct sk_filter){ .task = text(task) }, 100000), takes);
      change(h, SK_VERB_DELETE, id, 0);
    }
  }
}

/* -- settle -------------------------------------------------------------------------------------------------------- */

static void assert_counted(const struct sk_counters *got, const struct sk_counters *want) {
  assert_int_equal(got->done, want->done);
  assert_int_equal(got->retried, want->retried);
  assert_int_equal(got->dead, want->dead);
  assert_int_equal(got->cancelled, want->cancelled);
  assert_int_equal(got->discarded, want->discarded);
  assert_int_equal(got->crashed, want->crashed);
}

/* Settles a job and compares the status, what is left of the job, and the counters with the rules. */
static void settle_by_the_rules(struct handle *h, const char *id, struct fate fate, bool stopping) {
  put(h, .id = id);
  const struct sk_fetched *job = take_job(h, id);
  if (stopping) assert_code(change(h, SK_VERB_CANCEL, id, 0), SK_OK);
  struct sk_counters want = count(h)->counters;
  bool refused = stopping && sk_settle_refused_when_stopping(fate.kind);
  assert_code(settle_one(h, job, fate), refused ? SK_ESTATE : SK_OK);
  if (!refused) sk_settle_count(&want, fate.kind, fate.crashed);
  assert_counted(&count(h)->counters, &want);
  bool deleted = !refused && sk_settle_deletes(fate.kind, fate.keep_ms);
  enum sk_state state = view(h, id)->state;
  assert_int_equal(state == SK_STATE_NONE, deleted);
  assert_int_equal(state == SK_STATE_RUNNING, refused);
  if (refused) settle_one(h, job, (struct fate){ .kind = SK_SETTLE_CANCELLED });
  change(h, SK_VERB_DELETE, id, 0);
}

static void a_settle_is_refused_counted_and_deletes_as_the_rules_say(void **ctx) {
  struct world *w = *ctx;
  struct handle *h = open_engine(w, "e1");
  for (int k = 0; k < SK_SETTLE_KINDS; k++) {
    for (int bits = 0; bits < 8; bits++) {
      char id[32];
      snprintf(id, sizeof id, "j-%d-%d", k, bits);
      struct fate fate = {
        .kind = (enum sk_settle_kind)k, .keep_ms = bits & 1 ? 100000 : 0, .crashed = bits & 2, .delay_ms = 100000
      };
      settle_by_the_rules(h, id, fate, bits & 4);
    }
  }
}

/* Those of one operation may take another way through the store than a single one. */
static void many_settles_in_one_operation_count_as_the_rules_say(void **ctx) {
  struct world *w = *ctx;
  struct handle *h = open_engine(w, "e1");
  enum { N = SK_SETTLE_KINDS * 4 };
  struct sk_enqueue_item items[N];
  struct sk_settle_item settles[N];
  char ids[N][16];
  for (int i = 0; i < N; i++) {
    snprintf(ids[i], sizeof ids[i], "j%d", i);
    items[i] = item(w, .id = ids[i]);
  }
  struct sk_enqueue_op add = { .items = items, .items_n = N };
  assert_code(run_enqueue(h, &add), SK_OK);
  sk_op_fini(&add.op);
  struct sk_fetch_op *fetched = take(h, N, "q", NULL);
  assert_int_equal(fetched->jobs_n, N);
  struct sk_counters want = count(h)->counters;
  for (int i = 0; i < N; i++) {
    const struct sk_fetched *job = &fetched->jobs[i];
    settles[i] = (struct sk_settle_item){ .id = job->id,
                                          .queue = job->queue,
                                          .fence = job->fence,
                                          .record = job->record,
                                          .kind = (enum sk_settle_kind)(i / 4),
                                          .keep_ms = i & 1 ? 100000 : 0,
                                          .crashed = i & 2,
                                          .delay_ms = 100000 };
    if (settles[i].kind == SK_SETTLE_RELEASE) settles[i].record = sk_str(NULL, 0);
    sk_settle_count(&want, settles[i].kind, settles[i].crashed);
  }
  struct sk_settle_op op = { .items = settles, .items_n = N };
  assert_code(run_settle(h, &op), SK_OK);
  for (int i = 0; i < N; i++) {
    assert_code(settles[i].status, SK_OK);
    assert_int_equal(view(h, ids[i])->state == SK_STATE_NONE, sk_settle_deletes(settles[i].kind, settles[i].keep_ms));
  }
  assert_counted(&count(h)->counters, &want);
  sk_op_fini(&op.op);
}

static const struct CMUnitTest tests[] = {
  cmocka_unit_test(a_verb_takes_the_states_that_the_rule_names),
  cmocka_unit_test(a_settle_is_refused_counted_and_deletes_as_the_rules_say),
  cmocka_unit_test(many_settles_in_one_operation_count_as_the_rules_say),
};
const struct suite rules_suite = SUITE("rules", tests);
