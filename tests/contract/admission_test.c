/* admission_test.c - every store admits a job as sk_admission (logic/rules.h) decides, over all combinations of its
 * facts.
 *
 * Each case makes a queue of its own with the facts that it is about, enqueues one job, and compares the answer, the
 * holder of the lock and the oldest READY job with the decision.  The memory and sqlite stores call sk_admission;
 * Redis's scripts decide in Lua. */
#include <string.h>

#include "contract.h"

enum { KEEP_MS = 1000000 };

/* How the new job reaches the store: Redis has a way of its own for each. */
enum way { ALONE, IN_A_BATCH, AS_A_CALLBACK };

struct scene {
  struct sk_admission_facts
      facts;           /* what the case wants; max_len, waiting and ready are set when the queue is filled */
  bool throttle_ended; /* the lock is held by a throttle whose job has ended */
  int others_ready, others_scheduled;
  int room; /* max_len - waiting; ignored when unbounded */
  bool unbounded;
  enum way way;
};

/* The names of a case: ids and queues are never used twice. */
struct names {
  char queue[20], elsewhere[20], fresh[20], holder[20], first[20], beside[20], lock[4][40];
};

static void name(struct names *n, int number) {
  static const char *const LOCKS[] = { "", "reject;0;=k%d", "replace;0;=k%d", "throttle;1000000;=k%d" };
  snprintf(n->queue, sizeof n->queue, "q%d", number);
  snprintf(n->elsewhere, sizeof n->elsewhere, "e%d", number);
  snprintf(n->fresh, sizeof n->fresh, "new%d", number);
  snprintf(n->holder, sizeof n->holder, "holder%d", number);
  snprintf(n->first, sizeof n->first, "first%d", number);
  snprintf(n->beside, sizeof n->beside, "beside%d", number);
  n->lock[0][0] = '\0';
  for (int i = 1; i < 4; i++) {
    size_t at = strlen(LOCKS[i]) - 2;
    snprintf(n->lock[i], sizeof n->lock[i], "%.*s%d", (int)at, LOCKS[i], number);
  }
}

/* Makes the job that holds the lock, and brings it into its state. */
static void add_holder(struct handle *h, const struct scene *s, const struct names *n) {
  const char *queue = s->facts.holder_in_queue ? n->queue : n->elsewhere;
  enum sk_state state = s->facts.holder_state;
  const char *lock = s->throttle_ended ? n->lock[SK_LOCK_THROTTLE] : n->lock[SK_LOCK_REJECT];
  if (!s->facts.lock_held) return;
  put(h, .id = n->holder, .queue = queue, .lock = lock, .delay_ms = state == SK_STATE_SCHEDULED ? KEEP_MS : 0);
  if (state == SK_STATE_SCHEDULED || state == SK_STATE_READY) return;
  struct sk_fetch_op *fetched = take(h, 1, queue, NULL);
  assert_string_equal(ids_of(h->world, fetched), n->holder);
  if (state == SK_STATE_RETRY) settle(h, &fetched->jobs[0], .kind = SK_SETTLE_RETRY, .delay_ms = KEEP_MS);
  if (s->throttle_ended) settle(h, &fetched->jobs[0], .kind = SK_SETTLE_DONE);
}

/* Adds the other jobs of the queue, says in the facts how full it is, and sets its max_len. */
static void fill(struct handle *h, struct scene *s, const struct names *n) {
  struct sk_admission_facts *f = &s->facts;
  for (int i = 0; i < s->others_ready + s->others_scheduled; i++) {
    char id[24];
    snprintf(id, sizeof id, "%s%s", i == 0 ? n->first : n->queue, i == 0 ? "" : i == 1 ? "b" : "c");
    put(h, .id = id, .queue = n->queue, .delay_ms = i < s->others_ready ? 0 : KEEP_MS);
  }
  bool holder_waits = f->lock_held && f->holder_in_queue && sk_state_waits(f->holder_state);
  f->waiting = s->others_ready + s->others_scheduled + holder_waits;
  f->ready = s->others_ready + (holder_waits && f->holder_state == SK_STATE_READY);
  f->max_len = s->unbounded || f->waiting + s->room < 1 ? 0 : f->waiting + s->room;
  if (f->max_len > 0) bind_queue(h, .name = text(n->queue), .max_len = f->max_len, .overflow = f->overflow);
}

/* Enqueues the new job; its status and holder are in the answer. */
static struct sk_enqueue_item enqueue_new(struct handle *h, const struct scene *s, const struct names *n) {
  struct sk_enqueue_item items[2] = {
    item(h->world, .id = n->fresh, .queue = n->queue, .lock = n->lock[s->facts.lock_mode]),
    item(h->world, .id = n->beside, .queue = "aside"),
  };
  if (s->way == AS_A_CALLBACK) {
    struct sk_fetch_op *parent = take(h, 1, "parents", NULL);
    settle(h, &parent->jobs[0], .kind = SK_SETTLE_DONE, .callbacks = items, .callbacks_n = 1);
  } else {
    struct sk_enqueue_op op = { .items = items, .items_n = s->way == IN_A_BATCH ? 2 : 1 };
    assert_code(run_enqueue(h, &op), SK_OK);
    items[0].holder = sk_arena_copy(&h->world->arena, items[0].holder);
    if (s->way == IN_A_BATCH) assert_code(items[1].status, SK_OK);
    sk_op_fini(&op.op);
  }
  return items[0];
}

static void assert_gone(struct handle *h, const char *id, bool gone) {
  if ((view(h, id)->state == SK_STATE_NONE) != gone) fail_msg("%s: expected it to be %s", id, gone ? "gone" : "there");
}

static void assert_decided(struct handle *h, const struct scene *s, const struct names *n,
                           const struct sk_enqueue_item *got) {
  const struct sk_admission_facts *f = &s->facts;
  struct sk_admission want = sk_admission(f);
  assert_code(got->status, want.status);
  bool names_holder = want.refused_by_lock && s->way != AS_A_CALLBACK;
  if (s->way != AS_A_CALLBACK) assert_int_equal(got->holder.n > 0, names_holder);
  if (names_holder) assert_true(sk_str_eq_c(got->holder, n->holder));
  assert_gone(h, n->fresh, want.status != SK_OK && !f->id_there);
  bool holder_is_first = f->holder_in_queue && f->holder_state == SK_STATE_READY && !want.replaces_holder;
  if (f->lock_held && !s->throttle_ended)
    assert_gone(h, n->holder, want.replaces_holder || (want.drops_oldest && holder_is_first));
  if (s->others_ready + s->others_scheduled > 0) assert_gone(h, n->first, want.drops_oldest && !holder_is_first);
}

struct sweep {
  struct handle *h;
  int number;
  int64_t discarded; /* what the decisions so far must have added to that counter */
};

static void play(struct sweep *sweep, struct scene s) {
  struct handle *h = sweep->h;
  struct names n;
  name(&n, ++sweep->number);
  if (s.way == AS_A_CALLBACK) put(h, .id = n.elsewhere, .queue = "parents");
  if (s.facts.id_there) put(h, .id = n.fresh, .queue = "aside", .delay_ms = KEEP_MS);
  add_holder(h, &s, &n);
  fill(h, &s, &n);
  struct sk_enqueue_item got = enqueue_new(h, &s, &n);
  assert_decided(h, &s, &n, &got);
  struct sk_admission want = sk_admission(&s.facts);
  sweep->discarded += want.replaces_holder + want.drops_oldest;
  world_forget(h->world);
}

/* -- the facts, all of them ---------------------------------------------------------------------------------------- */

/* How full the queue is, and what it does then. */
static void play_room(struct sweep *sweep, struct scene s) {
  static const int OTHERS[][2] = { { 0, 0 }, { 2, 0 }, { 0, 2 }, { 1, 1 } };
  s.unbounded = true;
  s.others_ready = 1;
  play(sweep, s);
  s.unbounded = false;
  for (size_t i = 0; i < sizeof OTHERS / sizeof *OTHERS; i++) {
    s.others_ready = OTHERS[i][0];
    s.others_scheduled = OTHERS[i][1];
    for (int o = 0; o < SK_OVERFLOWS; o++) {
      s.facts.overflow = (enum sk_overflow)o;
      for (s.room = -1; s.room <= 1; s.room++) play(sweep, s);
    }
  }
}

/* Who holds the lock, in which state, where. */
static void play_holders(struct sweep *sweep, struct scene s) {
  static const enum sk_state STATES[] = { SK_STATE_SCHEDULED, SK_STATE_READY, SK_STATE_RUNNING, SK_STATE_RETRY };
  play_room(sweep, s);
  s.facts.lock_held = true;
  s.throttle_ended = true;
  play_room(sweep, s);
  s.throttle_ended = false;
  for (size_t i = 0; i < sizeof STATES / sizeof *STATES; i++) {
    s.facts.holder_state = STATES[i];
    for (int here = 0; here < 2; here++) {
      s.facts.holder_in_queue = here;
      play_room(sweep, s);
    }
  }
}

static void play_all(struct world *w, struct scene s) {
  struct sweep sweep = { .h = open_engine(w, "e1") };
  for (int mode = SK_LOCK_NONE; mode <= SK_LOCK_THROTTLE; mode++) {
    s.facts.lock_mode = (enum sk_lock_mode)mode;
    play_holders(&sweep, s);
  }
  assert_int_equal(count(sweep.h)->counters.discarded, sweep.discarded);
}

static void a_single_job_is_admitted_by_the_rule(void **ctx) { play_all(*ctx, (struct scene){ .way = ALONE }); }

static void a_job_in_a_batch_is_admitted_by_the_rule(void **ctx) {
  play_all(*ctx, (struct scene){ .way = IN_A_BATCH });
}

static void a_callback_is_admitted_by_the_rule(void **ctx) {
  play_all(*ctx, (struct scene){ .way = AS_A_CALLBACK, .facts.is_callback = true });
}

static void a_job_whose_id_is_there_is_refused_by_the_rule(void **ctx) {
  play_all(*ctx, (struct scene){ .way = ALONE, .facts.id_there = true });
}

static const struct CMUnitTest tests[] = {
  cmocka_unit_test(a_single_job_is_admitted_by_the_rule),
  cmocka_unit_test(a_job_in_a_batch_is_admitted_by_the_rule),
  cmocka_unit_test(a_callback_is_admitted_by_the_rule),
  cmocka_unit_test(a_job_whose_id_is_there_is_refused_by_the_rule),
};
const struct suite admission_suite = SUITE("admission", tests);
