/* memory_test.c - the engine when memory runs out: the 1st, 2nd ... Nth allocation that our own code asks for fails, at
 * its start and while it runs.  It may say no; it may not crash, hang, leak or lose a job.
 *
 * This program's malloc, calloc and realloc stand before libc's; a call fails when it comes from this program's own
 * text (not from libuv or libc, which abort by design) and its turn has come.  Sanitizers bring their own malloc:
 * there, nothing is tested. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "world.h"

#if defined(__SANITIZE_ADDRESS__)
#define SANITIZED 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define SANITIZED 1
#endif
#endif

#ifndef SANITIZED
extern void *__libc_malloc(size_t n);
extern void *__libc_calloc(size_t n, size_t size);
extern void *__libc_realloc(void *p, size_t n);
extern char __executable_start, etext;

static _Atomic long countdown = -1; /* allocations until one fails; -1: none does */
static _Atomic long every;          /* then each nth fails too; 0: none */

static bool fails(const void *caller) {
  if (countdown < 0 || (const char *)caller < &__executable_start || (const char *)caller >= &etext) return false;
  if (countdown-- > 0) return false;
  countdown = every > 0 ? every : -1;
  return true;
}

void *malloc(size_t n) { return fails(__builtin_return_address(0)) ? NULL : __libc_malloc(n); }
void *calloc(size_t n, size_t size) { return fails(__builtin_return_address(0)) ? NULL : __libc_calloc(n, size); }
void *realloc(void *p, size_t n) { return fails(__builtin_return_address(0)) ? NULL : __libc_realloc(p, n); }

static const char TASKS[] =
    "skein.task('t', { keep = 60, retries = 3, backoff = { 0 } }, function(job, n) job:progress(n) "
    "if n % 5 == 0 and job.attempt == 1 then error('once') end "
    "if n % 7 == 0 then skein.enqueue({ task = 'u', queue = 'q' .. n }):wait(5) end return n end) "
    "skein.task('u', { keep = 60 }, function(job) return 1 end)";

/* The start succeeds, fails, or the engine stops by itself with the reason; whichever, all is given back. */
static void at_its_start(void **state) {
  struct world *w = *state;
  w->options.workers = 2;
  script(w, TASKS);
  bool started = false;
  for (long n = 0; !started; n++) {
    assert_true(n < 2000);
    struct sk_err err = { 0 };
    w->stopped = false;
    every = 0;
    countdown = n;
    enum sk_code code = sk_engine_new(w->loop, &w->options, &w->engine, &err);
    started = countdown >= 0; /* nothing has failed any more */
    countdown = -1;
    if (code != SK_OK) {
      assert_int_equal(code, SK_ENOMEM);
      continue;
    }
    if (sk_engine_outcome(w->engine, &err) != SK_OK) assert_int_equal(err.code, SK_ENOMEM);
    sk_engine_stop(w->engine, true);
    until(w, w->stopped);
    sk_engine_free(w->engine);
  }
}

/* Every so many allocations one fails, in the engine and in its store, while jobs run. */
static void while_it_runs(void **state) {
  struct world *w = *state;
  enum { JOBS = 100 };
  script(w, TASKS);
  world_start(w);
  until(w, is_ready(w, 1));
  struct told t[JOBS];
  char args[16];
  for (int i = 0; i < JOBS; i++) {
    snprintf(args, sizeof args, "[%d]", i);
    t[i] = enqueue(w, "t", args);
  }
  for (long step = 3; step < 60; step += 4) {
    every = step;
    countdown = step;
    int64_t end = sk_clock_mono_ms() + 40;
    while (sk_clock_mono_ms() < end) sk_loop_turn(w->loop, true);
    countdown = -1;
  }
  for (int i = 0; i < JOBS; i++) {
    until(w, sk_state_is_final(see(w, t[i]).state));
    struct seen s = see(w, t[i]);
    if (s.state != SK_STATE_DONE && s.kind != SK_KIND_CRASH)
      fail_msg("job %d: %s: %s", i, sk_state_name(s.state), s.error);
  }
  until(w, sk_engine_runs_n(w->engine) == 0);
}
#else
static void at_its_start(void **state) {
  (void)state;
  skip();
}
static void while_it_runs(void **state) {
  (void)state;
  skip();
}
#endif

int main(void) {
  const struct CMUnitTest tests[] = { T(at_its_start), T(while_it_runs) };
  return cmocka_run_group_tests_name("engine_memory", tests, NULL, NULL);
}
