/* thread.c - the coroutines that the runner resumes, and their waits; see runner.h. */
#include <assert.h>
#include <lauxlib.h>
#include <stdlib.h>

#include "base/clock.h"
#include "base/log.h"
#include "lua/runner.h"

enum { POOL_MAX = 1024 };

struct sk_thread *sk_thread_of(struct sk_runner *r, lua_State *co) {
  struct sk_thread *t;
  HASH_FIND(by_co, r->by_co, &co, sizeof co, t);
  return t;
}

/* Makes a thread.  Allocates the coroutine first: that call may raise, and no other memory must leak then. */
static struct sk_thread *make(lua_State *L, struct sk_runner *r) {
  lua_State *co = lua_newthread(L);
  int ref = luaL_ref(L, LUA_REGISTRYINDEX);
  struct sk_thread *t = calloc(1, sizeof *t);
  if (t == NULL) {
    luaL_unref(L, LUA_REGISTRYINDEX, ref);
    return NULL;
  }
  t->runner = r;
  t->co = co;
  t->ref = ref;
  sk_list_init(&t->node);
  sk_list_init(&t->joiners);
  sk_list_init(&t->join_node);
  HASH_ADD(by_co, r->by_co, co, sizeof t->co, t);
  return t;
}

struct sk_thread *sk_thread_new(lua_State *L, struct sk_slot *slot, enum sk_role role) {
  struct sk_runner *r = slot->runner;
  struct sk_list *n = sk_list_pop(&r->pool);
  struct sk_thread *t = n ? SK_CONTAINER(n, struct sk_thread, node) : make(L, r);
  if (t == NULL) return NULL;
  if (n) r->pool_n--;
  t->slot = slot;
  t->role = role;
  t->wait = SK_WAIT_NONE;
  t->failed = t->cut = t->asked = false;
  sk_list_push(&slot->threads, &t->node);
  return t;
}

static void destroy(struct sk_thread *t) {
  struct sk_runner *r = t->runner;
  HASH_DELETE(by_co, r->by_co, t);
  luaL_unref(r->L, LUA_REGISTRYINDEX, t->ref);
  free(t);
}

void sk_thread_unwait(struct sk_thread *t) {
  struct sk_runner *r = t->runner;
  switch (t->wait) {
  case SK_WAIT_SLEEP: sk_heap_remove(&r->sleepers, &t->sleep); break;
  case SK_WAIT_REQUEST: HASH_DELETE(by_request, r->requests, t); break;
  case SK_WAIT_JOIN: sk_list_remove(&t->join_node); break;
  case SK_WAIT_PARK:
  case SK_WAIT_NONE:
  case SK_WAIT_ABANDON:
  case SK_WAIT_OVER: break;
  }
  if (t->wait != SK_WAIT_OVER) t->wait = SK_WAIT_NONE;
}

/* Records that the coroutine was dropped.  A script or a luv callback that still holds it can then not resume it. */
static void note_dropped(struct sk_thread *t) {
  lua_State *L = t->runner->L;
  lua_rawgeti(L, LUA_REGISTRYINDEX, t->runner->dropped_ref);
  lua_rawgeti(L, LUA_REGISTRYINDEX, t->ref);
  lua_pushboolean(L, 1);
  lua_rawset(L, -3);
  lua_pop(L, 1);
}

/* Puts the thread into the pool.  Empties its stack and undoes setfenv(0), which replaces a coroutine's globals. */
static void recycle(struct sk_thread *t) {
  struct sk_runner *r = t->runner;
  lua_settop(t->co, 0);
  lua_pushvalue(r->L, LUA_GLOBALSINDEX);
  lua_xmove(r->L, t->co, 1);
  lua_replace(t->co, LUA_GLOBALSINDEX);
  sk_list_push_front(&r->pool, &t->node);
  r->pool_n++;
}

/* Logs the failure of a thread whose results no script has read. */
static void report_trouble(struct sk_thread *t) {
  if (t->trouble == NULL) return;
  struct sk_buf text = { 0 };
  sk_buf_add_c(&text, "a thread of the job failed, and nobody waited for it: ");
  sk_buf_add_c(&text, t->trouble);
  if (!t->asked && !text.failed) sk_runner_log(t->runner, SK_LOG_ERROR, t->slot, sk_buf_str(&text));
  sk_buf_fini(&text);
  free(t->trouble);
  t->trouble = NULL;
}

/* Removes the thread from its job.  Its code must not be on the C stack. */
static void detach(struct sk_thread *t) {
  struct sk_runner *r = t->runner;
  report_trouble(t);
  bool over = t->wait == SK_WAIT_OVER;
  bool reusable = over && !t->failed && !t->shared && !t->known && r->pool_n < POOL_MAX;
  sk_thread_unwait(t);
  while (sk_list_pop(&t->joiners) != NULL) continue; /* joiners belong to the same job and are dropped with it */
  sk_list_remove(&t->node);
  sk_list_remove(&t->join_node);
  t->slot = NULL;
  if (!over) {
    note_dropped(t);
    t->wait = SK_WAIT_OVER;
    t->failed = t->cut = true;
  }
  if (reusable)
    recycle(t);
  else if (!t->shared)
    destroy(t);
}

void sk_thread_drop(struct sk_thread *t) {
  assert(t->runner->depth == 0 && t->slot != NULL);
  detach(t);
}

static void want_no_more(struct sk_thread *t) {
  if (sk_list_empty(&t->join_node)) sk_list_push(&t->runner->unwanted, &t->join_node);
}

void sk_thread_release(struct sk_thread *t) {
  t->shared = false;
  if (t->slot == NULL)
    destroy(t);
  else if (t->wait == SK_WAIT_OVER)
    want_no_more(t); /* not freed here: the collector can call this while other code walks the job's threads */
}

void sk_threads_reap(struct sk_runner *r) {
  struct sk_list *n;
  while ((n = sk_list_pop(&r->unwanted)) != NULL) detach(SK_CONTAINER(n, struct sk_thread, join_node));
}

/* Records the end of a thread and wakes its joiners, which read its results. */
static void ended(struct sk_thread *t, int status) {
  struct sk_runner *r = t->runner;
  struct sk_slot *slot = t->slot;
  sk_thread_unwait(t); /* removes a wait whose yield failed */
  t->wait = SK_WAIT_OVER;
  t->failed = status != 0;
  if (t->role == SK_ROLE_SPAWNED) {
    sk_list_move(&r->woken, &t->joiners);
    if (!t->shared) want_no_more(t);
    return;
  }
  slot->over = t;
  slot->over_status = status;
  if (sk_list_empty(&slot->node)) sk_list_push(&r->ended, &slot->node);
}

static void yielded(struct sk_thread *t) {
  bool ours = lua_gettop(t->co) > 0 && sk_runner_is_token(t->co, 1);
  lua_settop(t->co, 0);
  if (!ours) {
    sk_thread_unwait(t);
    t->wait = SK_WAIT_PARK;
  } else if (t->wait == SK_WAIT_ABANDON && sk_list_empty(&t->slot->node)) {
    sk_list_push(&t->runner->ended, &t->slot->node);
  } else if (t->wait == SK_WAIT_NONE) {
    t->wait = SK_WAIT_PARK;
  }
}

void sk_thread_resume(struct sk_thread *t, int n) {
  struct sk_runner *r = t->runner;
  assert(t->slot != NULL && t->wait == SK_WAIT_NONE);
  struct sk_thread *outer = r->current;
  uint32_t outer_running = atomic_load_explicit(&r->slot_page->running, memory_order_relaxed);
  r->current = t;
  r->depth++;
  atomic_store_explicit(&r->slot_page->running_since_ms, sk_runner_now_ms(r), memory_order_relaxed);
  atomic_store_explicit(&r->slot_page->running, t->slot->number + 1, memory_order_release);
  bool capped = sk_vm_cap(r->vm, true);
  r->now_ms = 0;
  int status = lua_resume(t->co, n);
  sk_runner_leave_child();
  r->now_ms = 0;
  sk_vm_cap(r->vm, false);
  if (r->hooked) sk_runner_unhook(r);
  atomic_store_explicit(&r->slot_page->running, outer_running, memory_order_release);
  r->depth--;
  r->current = outer;
  if (status == LUA_YIELD)
    yielded(t);
  else
    ended(t, status);
  sk_vm_cap(r->vm, capped);
}

/* -- one timer for all that sleep and all that time out ------------------------------------------------------------ */

void sk_thread_arm_timer(struct sk_runner *r) {
  struct sk_heap_node *a = sk_heap_first(&r->sleepers), *b = sk_heap_first(&r->timeouts);
  struct sk_heap_node *first = a == NULL || (b && b->key < a->key) ? b : a;
  if (first == NULL || (sk_timer_active(r->timer) && r->timer_at <= first->key)) return;
  r->timer_at = first->key;
  sk_timer_start(r->timer, first->key - sk_clock_mono_ms());
}
