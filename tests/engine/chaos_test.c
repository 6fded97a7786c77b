/* chaos_test.c - everything at once: jobs of all kinds while workers are killed, scripts reloaded or broken, the store
 * fails now and then, fetching is held, engines stopped and started.  After it every job is done, or dead of its
 * crashes where these count, and at each turn the engine's books balance.
 *
 * SKEIN_CHAOS_S=60 makes it longer; SKEIN_CHAOS_SEED=n repeats a run's choices (their timing is its own). */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "world.h"

enum { JOBS_MAX = 6000, JOBS_AT_ONCE = 400 };

static const char GOOD[] =
    "local K = { keep = 3600, retries = 1000, backoff = { 0.001 } } "
    "skein.task('short', K, function(job) return 1 end) "
    "skein.task('nap', K, function(job, n) skein.sleep(n / 1000) return 1 end) "
    "skein.task('burn', K, function(job, n) burn(n) return 1 end) "
    "skein.task('fail', K, function(job) if job.attempt < 3 then error('not yet') end return 1 end) "
    "skein.task('snooze', K, function(job, n) if math.random(3) > 1 then job:snooze(0.005) end return 1 end) "
    "skein.task('chat', K, function(job, n) for i = 1, 5 do job:progress(i, 'half way') skein.sleep(0.001) end "
    "print('said') return 1 end) "
    "skein.task('parent', K, function(job) skein.enqueue({ task = 'short', queue = 'children' }):wait(0.05) return 1 "
    "end) "
    "skein.task('die', K, function(job) if math.random(4) == 1 then os.exit(3) end return 1 end)";
static const char BAD[] = "error('broken')";

static unsigned long seed;
static unsigned rnd(unsigned n) {
  seed = seed * 6364136223846793005UL + 1442695040888963407UL;
  return (unsigned)(seed >> 33) % n;
}

/* -- the books ----------------------------------------------------------------------------------------------------- */

static size_t length(const struct sk_list *l) {
  size_t n = 0;
  SK_LIST_EACH (it, l) n++;
  return n;
}

static void audit_place(const struct sk_list *list, enum sk_run_place place) {
  SK_LIST_EACH (n, list) assert_int_equal(SK_RUN_OF(n)->place, place);
}

static void audit(struct world *w) {
  const struct sk_engine *e = w->engine;
  audit_place(&e->local, SK_RUN_LOCAL);
  audit_place(&e->suspects, SK_RUN_SUSPECT);
  audit_place(&e->late, SK_RUN_LATE);
  audit_place(&e->settling, SK_RUN_SETTLING);
  audit_place(&e->set_aside, SK_RUN_SET_ASIDE);
  size_t given = 0;
  SK_LIST_EACH (wn, &e->workers) {
    const struct sk_worker *worker = SK_WORKER_OF(wn);
    assert_int_equal(length(&worker->runs), worker->load);
    assert_int_equal(worker->free_n + worker->load, worker->slots_n);
    SK_LIST_EACH (rn, &worker->runs) {
      const struct sk_run *run = SK_RUN_OF(rn);
      assert_true(run->place == SK_RUN_GIVEN && run->worker == worker && worker->by_slot[run->slot] == run &&
                  run->task != NULL);
    }
    given += worker->load;
    assert_true(worker->state != SK_WORKER_READY || worker->round == e->ready_round);
  }
  assert_int_equal(length(&e->local), e->local_n);
  assert_int_equal(length(&e->suspects), e->suspects_n);
  assert_int_equal(given, e->given_n);
  assert_int_equal(length(&e->late), e->late_n);
  assert_int_equal(length(&e->settling), e->settling_n);
  assert_true(length(&e->workers) <= 40);
}

/* -- the storm ----------------------------------------------------------------------------------------------------- */

static struct told jobs[JOBS_MAX];
static int jobs_n;

static void add_jobs(struct world *w) {
  static const char *const tasks[] = { "short", "nap", "burn", "fail", "snooze", "chat", "parent", "die" };
  static const char *const queues[] = { "default", "mail", "slow" };
  for (unsigned n = rnd(20); n > 0 && jobs_n < JOBS_MAX; n--) {
    char args[16];
    snprintf(args, sizeof args, "[%u]", rnd(12));
    struct extra x = { .queue = queues[rnd(3)], .priority = (int32_t)rnd(5) - 2, .delay_ms = rnd(4) ? 0 : rnd(50) };
    jobs[jobs_n++] = enqueue_with(w, tasks[rnd(8)], args, &x);
  }
}

static void kill_one(struct world *w) {
  static const int signals[] = { SIGKILL, SIGSEGV, SIGABRT };
  unsigned at = rnd(6);
  SK_LIST_EACH (n, &w->engine->workers)
    if (at-- == 0) kill(SK_WORKER_OF(n)->pid, signals[rnd(3)]);
}

static void restart(struct world *w) {
  gate_open(w);
  sk_engine_stop(w->engine, rnd(2));
  if (rnd(2)) sk_engine_stop(w->engine, true);
  world_ended(w);
  world_start(w);
}

/* An engine that was told to load bad scripts before any worker had loaded good ones has nothing to go on with. */
static void revive(struct world *w) {
  if (!w->engine->stopping) return;
  struct sk_err err = { 0 };
  assert_int_equal(sk_engine_outcome(w->engine, &err), SK_EINVAL);
  assert_non_null(strstr(err.message, "broken"));
  assert_false(w->engine->ever_ready);
  gate_open(w);
  world_ended(w);
  script(w, GOOD);
  world_start(w);
}

static void strike(struct world *w) {
  switch (rnd(24)) {
  case 0: kill_one(w); break;
  case 1: sk_engine_reload(w->engine); break;
  case 2:
    script(w, BAD);
    sk_engine_reload(w->engine);
    break;
  case 3:
    script(w, GOOD);
    sk_engine_reload(w->engine);
    break;
  case 4: w->gate.fail[rnd(OPS)] = true; break;
  case 5: w->gate.keep[rnd(OPS)] = true; break;
  case 6:
  case 7:
  case 8: gate_open(w); break;
  case 9: sk_engine_hold(w->engine, rnd(2)); break;
  case 10: sk_engine_trace(w->engine); break;
  case 11:
    script(w, GOOD);
    if (rnd(4) == 0) restart(w);
    break;
  default: break;
  }
}

static void storm(struct world *w, int64_t crashes_max) {
  const char *s = getenv("SKEIN_CHAOS_S"), *chosen = getenv("SKEIN_CHAOS_SEED");
  int64_t end = sk_clock_mono_ms() + (s ? atol(s) * 1000 : 1500);
  unsigned long first = seed = chosen ? strtoul(chosen, NULL, 10) : sk_id_random() >> 8;
  printf("SKEIN_CHAOS_SEED=%lu\n", first);
  w->log.level = SK_LOG_INFO;
  w->options.workers = 2;
  w->options.concurrency = 5;
  w->options.shutdown_timeout_ms = 300;
  w->options.policy.crashes_max = crashes_max;
  jobs_n = 0;
  w->options.store.lease_ms = 1500;
  script(w, GOOD);
  world_start(w);
  while (sk_clock_mono_ms() < end) {
    if (jobs_in(w, SK_STATE_READY) < JOBS_AT_ONCE) add_jobs(w);
    strike(w);
    for (unsigned turns = rnd(10); turns > 0; turns--) {
      sk_loop_turn(w->loop, true);
      audit(w);
      revive(w);
    }
  }
  gate_open(w);
  script(w, GOOD);
  sk_engine_hold(w->engine, false);
  sk_engine_reload(w->engine);
  until(w, (revive(w), w->engine->ever_ready && w->engine->ready_round == w->engine->round));
  for (int i = 0; i < jobs_n; i++) {
    until(w, sk_state_is_final(see(w, jobs[i]).state));
    struct seen seen = see(w, jobs[i]);
    assert_true(seen.state == SK_STATE_DONE ||
                (seen.state == SK_STATE_DEAD && seen.kind == SK_KIND_CRASH && seen.crashes == crashes_max));
  }
  until(w, sk_engine_runs_n(w->engine) == 0);
  audit(w);
  until(w, workers_n(w) == 2 && is_ready(w, 1) && is_ready(w, 2));
  printf("%d jobs\n", jobs_n);
}

static void all_jobs_are_done_after_the_storm(void **state) { storm(*state, 1000000); }

static void only_crashes_kill_jobs_in_the_storm(void **state) { storm(*state, 3); }

int main(void) {
  const struct CMUnitTest tests[] = { T(all_jobs_are_done_after_the_storm), T(only_crashes_kill_jobs_in_the_storm) };
  return cmocka_run_group_tests_name("engine_chaos", tests, NULL, NULL);
}
