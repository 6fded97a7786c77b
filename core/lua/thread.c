/* thread.c - coroutines that the runner resumes, and what they wait for; see runner.h. */
#include <assert.h>
#include <lauxlib.h>
#include <stdlib.h>

#include "base/clock.h"
#include "lua/runner.h"

enum { POOL_MAX = 1024 };

struct sk_thread *sk_thread_parked(struct sk_runner *r, lua_State *co) {
  struct sk_thread *t;
  HASH_FIND_PTR(r->parked, &co, t);
  return t;
}

void sk_thread_park(struct sk_thread *t) {
  t->wait = SK_WAIT_PARK;
  HASH_ADD_PTR(t->runner->parked, co, t);
}

static struct sk_thread *make(struct sk_runner *r) {
  struct sk_thread *t = calloc(1, sizeof *t);
  if (t == NULL) return NULL;
  t->runner = r;
  sk_list_init(&t->node);
  sk_list_init(&t->joiners);
  sk_list_init(&t->join_node);
  t->co = lua_newthread(r->L);
  t->ref = luaL_ref(r->L, LUA_REGISTRYINDEX);
  return t;
}

struct sk_thread *sk_thread_new(struct sk_runner *r, struct sk_slot *slot, enum sk_role role) {
  struct sk_list *n = sk_list_pop(&r->pool);
  struct sk_thread *t = n ? SK_CONTAINER(n, struct sk_thread, node) : make(r);
  if (t == NULL) return NULL;
  if (n) r->pool_n--;
  t->slot = slot;
  t->role = role;
  t->wait = SK_WAIT_NONE;
  t->failed = false;
  sk_list_push(&slot->threads, &t->node);
  return t;
}

static void destroy(struct sk_thread *t) {
  luaL_unref(t->runner->L, LUA_REGISTRYINDEX, t->ref);
  free(t);
}

void sk_thread_unwait(struct sk_thread *t) {
  struct sk_runner *r = t->runner;
  switch (t->wait) {
  case SK_WAIT_SLEEP: sk_heap_remove(&r->sleepers, &t->sleep); break;
  case SK_WAIT_REQUEST: HASH_DELETE(hh, r->requests, t); break;
  case SK_WAIT_JOIN: sk_list_remove(&t->join_node); break;
  case SK_WAIT_PARK: HASH_DELETE(hh, r->parked, t); break;
  case SK_WAIT_NONE:
  case SK_WAIT_ABANDON:
  case SK_WAIT_OVER: break;
  }
  if (t->wait != SK_WAIT_OVER) t->wait = SK_WAIT_NONE;
}

void sk_thread_drop(struct sk_thread *t) {
  struct sk_runner *r = t->runner;
  bool reusable = t->wait == SK_WAIT_OVER && !t->failed && !t->shared && r->pool_n < POOL_MAX;
  sk_thread_unwait(t);
  sk_list_remove(&t->node);
  t->slot = NULL;
  if (reusable) {
    lua_settop(t->co, 0);
    sk_list_push_front(&r->pool, &t->node);
    r->pool_n++;
  } else if (!t->shared) {
    destroy(t);
  } else {
    t->wait = SK_WAIT_OVER;
  }
}

void sk_thread_release(struct sk_thread *t) {
  t->shared = false;
  if (t->slot == NULL) destroy(t);
}

/* Wakes those who wait for t; their wait call reads t's results. */
static void wake_joiners(struct sk_thread *t) {
  struct sk_list woken;
  sk_list_init(&woken);
  sk_list_move(&woken, &t->joiners);
  struct sk_list *n;
  while ((n = sk_list_pop(&woken)) != NULL) {
    struct sk_thread *j = SK_CONTAINER(n, struct sk_thread, join_node);
    j->wait = SK_WAIT_NONE;
    sk_thread_resume(j, 0);
  }
}

void sk_thread_resume(struct sk_thread *t, int n) {
  struct sk_runner *r = t->runner;
  struct sk_slot *slot = t->slot;
  assert(slot != NULL && t->wait == SK_WAIT_NONE);
  struct sk_thread *outer = r->current;
  uint32_t outer_running = atomic_load_explicit(&r->share->running, memory_order_relaxed);
  r->current = t;
  atomic_store_explicit(&r->share->running_since_ms, sk_clock_mono_ms(), memory_order_relaxed);
  atomic_store_explicit(&r->share->running, slot->number + 1, memory_order_release);
  sk_vm_cap(r->vm, true);
  int status = lua_resume(t->co, n);
  sk_vm_cap(r->vm, outer != NULL);
  atomic_store_explicit(&r->share->running, outer_running, memory_order_release);
  r->current = outer;
  if (status == LUA_YIELD) {
    lua_settop(t->co, 0);
    if (t->wait == SK_WAIT_ABANDON)
      sk_jobs_abandon(slot);
    else if (t->wait == SK_WAIT_NONE)
      sk_thread_park(t);
    return;
  }
  t->wait = SK_WAIT_OVER;
  t->failed = status != 0;
  if (t->role == SK_ROLE_SPAWNED)
    wake_joiners(t);
  else
    sk_jobs_ended(t, status);
}

/* -- one timer for all that sleep and all that time out ---------------------------------------------------------------------- */

void sk_runner_arm_timer(struct sk_runner *r) {
  struct sk_heap_node *a = sk_heap_first(&r->sleepers), *b = sk_heap_first(&r->timeouts);
  struct sk_heap_node *first = a == NULL || (b && b->key < a->key) ? b : a;
  if (first == NULL || (sk_timer_active(r->timer) && r->timer_at <= first->key)) return;
  r->timer_at = first->key;
  sk_timer_start(r->timer, first->key - sk_clock_mono_ms());
}

void sk_runner_on_timer(void *ctx) {
  struct sk_runner *r = ctx;
  int64_t now = sk_clock_mono_ms();
  struct sk_heap_node *n;
  while ((n = sk_heap_first(&r->timeouts)) != NULL && n->key <= now) {
    sk_heap_remove(&r->timeouts, n);
    sk_jobs_stop(SK_CONTAINER(n, struct sk_slot, soft), SK_KIND_TIMEOUT);
  }
  while ((n = sk_heap_first(&r->sleepers)) != NULL && n->key <= now) {
    struct sk_thread *t = SK_CONTAINER(n, struct sk_thread, sleep);
    sk_thread_unwait(t);
    sk_thread_resume(t, 0);
  }
  sk_runner_arm_timer(r);
}
