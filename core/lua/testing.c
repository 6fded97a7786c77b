/* testing.c - see testing.h.  Each function waits for the store, which answers in the next turn of the loop. */
#include "lua/testing.h"

#include <lauxlib.h>
#include <stdio.h>
#include <string.h>

#include "base/id.h"
#include "base/limits.h"
#include "engine/tasks.h"
#include "io/loop.h"
#include "logic/record.h"
#include "logic/transition.h"
#include "logic/wire.h"
#include "lua/client.h"
#include "store/store.h"

static const char KIT_TYPE[] = "skein.testing";

struct kit {
  struct sk_lua_client client;
  int64_t now_ms;         /* the clock, wall and monotonic */
  struct sk_tasks *tasks; /* owned */
  struct sk_random random;
  struct sk_buf last;     /* the queue that was served last: they take turns, by name */
};

static const struct sk_policy POLICY = {
  .crashes_max = SK_CRASHES_MAX, .unknown_max = SK_UNKNOWN_MAX, .unknown_delay_ms = SK_UNKNOWN_DELAY_MS };

/* -- waiting for the store ------------------------------------------------------------------------------------------------------ */

static void on_done(struct sk_op *op, void *ctx) {
  (void)op;
  bool *done = ctx;
  *done = true;
}

/* Every operation is the same but for its slot, which C can't say without a macro. */
#define RUN(kit, verb, operation)                                             \
  do {                                                                        \
    bool done = false;                                                        \
    (operation)->op.cb = on_done;                                             \
    (operation)->op.ctx = &done;                                              \
    (kit)->client.store->ops->verb((kit)->client.store, operation);           \
    while (!done && sk_loop_turn((kit)->client.loop, true)) continue;         \
  } while (0)

/* Raises what op says; only memory can be wanting. */
static int raise(lua_State *L, struct sk_op *op) {
  struct sk_err err = op->err;
  sk_op_fini(op);
  return luaL_error(L, "testing: %s", err.message);
}

static struct kit *check_kit(lua_State *L) {
  struct kit *kit = luaL_checkudata(L, 1, KIT_TYPE);
  if (kit->client.loop == NULL) luaL_error(L, "testing: the store is closed");
  return kit;
}

/* -- the clock -------------------------------------------------------------------------------------------------------------------- */

static int64_t now_ms(void *ctx) {
  const struct kit *kit = ctx;
  return kit->now_ms;
}

/* A beat drops the finished jobs whose `keep` is over. */
static int kit_clock(lua_State *L) {
  struct kit *kit = check_kit(L);
  if (!lua_isnoneornil(L, 2)) {
    kit->now_ms = (int64_t)luaL_checknumber(L, 2);
    struct sk_beat_op beat = { 0 };
    RUN(kit, beat, &beat);
    if (beat.op.status != SK_OK) return raise(L, &beat.op);
    sk_op_fini(&beat.op);
  }
  lua_pushnumber(L, (lua_Number)kit->now_ms);
  return 1;
}

/* -- fetch -------------------------------------------------------------------------------------------------------------------------- */

static int compare(struct sk_str a, struct sk_str b) {
  int c = memcmp(a.p, b.p, a.n < b.n ? a.n : b.n);
  return c != 0 ? c : (a.n > b.n) - (a.n < b.n);
}

/* All queues, from the one behind that which was served last; they live in count's arena. */
static struct sk_fetch_queue *queues_in_turn(struct kit *kit, struct sk_count_op *count) {
  RUN(kit, count, count);
  size_t n = count->queues_n, first = 0;
  struct sk_fetch_queue *queues = count->op.status == SK_OK ? sk_arena_array(&count->op.arena, n ? n : 1, sizeof *queues) : NULL;
  if (queues == NULL) return NULL;
  while (first < n && kit->last.n > 0 && compare(count->queues[first].name, sk_buf_str(&kit->last)) <= 0) first++;
  for (size_t i = 0; i < n; i++) queues[i] = (struct sk_fetch_queue){ .name = count->queues[(first + i) % n].name, .quota = 1 };
  return queues;
}

static void set_text(lua_State *L, const char *key, struct sk_str s) {
  if (s.n == 0) return;
  lua_pushlstring(L, s.p, s.n);
  lua_setfield(L, -2, key);
}

static void set_number(lua_State *L, const char *key, int64_t v) {
  lua_pushnumber(L, (lua_Number)v);
  lua_setfield(L, -2, key);
}

/* As engine/fetch.c does before it gives a job to a worker. */
static void set_refusal(lua_State *L, const struct kit *kit, const struct sk_job *job, const struct sk_job *task) {
  if (task == NULL) {
    lua_pushfstring(L, "no script declares task \"%s\"", lua_pushlstring(L, job->task.p, job->task.n));
    lua_setfield(L, -3, "message");
    lua_pop(L, 1);
    set_text(L, "refused", SK_STR_LIT("unknown_task"));
  } else if (sk_job_is_expired(job, task, kit->now_ms)) {
    set_text(L, "refused", SK_STR_LIT("expired"));
    set_text(L, "message", SK_STR_LIT("expired before it could start"));
  } else {
    return;
  }
  lua_pushboolean(L, task != NULL || job->unknowns + 1 >= POLICY.unknown_max);
  lua_setfield(L, -2, "dies");
}

static const struct sk_job *template_of(const struct kit *kit, const struct sk_job *job) {
  const struct sk_task *task = sk_tasks_find(kit->tasks, job->task);
  return task ? &task->template : NULL;
}

static void push_run(lua_State *L, const struct kit *kit, const struct sk_held *held, const struct sk_job *job) {
  const struct sk_job *task = template_of(kit, job);
  lua_createtable(L, 0, 16);
  set_text(L, "id", held->id);
  set_text(L, "queue", held->queue);
  set_text(L, "record", held->record);
  set_number(L, "fence", (int64_t)held->fence);
  set_text(L, "task", job->task);
  set_text(L, "args", job->args.n ? job->args : SK_STR_LIT("[]"));
  set_text(L, "meta", job->meta.n ? job->meta : SK_STR_LIT("{}"));
  set_text(L, "backoff", job->backoff);
  set_number(L, "attempt", job->attempts + 1);
  set_number(L, "retries", sk_job_retries(job, task));
  set_number(L, "timeout_ms", sk_job_timeout_ms(job, task));
  set_number(L, "enqueued_ms", job->enqueued_ms);
  set_refusal(L, kit, job, task);
}

static int kit_fetch(lua_State *L) {
  struct kit *kit = check_kit(L);
  struct sk_count_op count = { 0 };
  struct sk_fetch_queue *queues = queues_in_turn(kit, &count);
  struct sk_fetch_op fetch = { .queues = queues, .queues_n = count.queues_n, .want = 1 };
  if (queues) RUN(kit, fetch, &fetch);
  sk_op_fini(&count.op);
  if (queues == NULL || fetch.op.status != SK_OK) return luaL_error(L, "testing: not enough memory");
  struct sk_job job;
  struct sk_err err;
  bool some = fetch.held_n > 0;
  if (some && sk_record_decode(fetch.held[0].record, &job, &err) != SK_OK) return raise(L, &fetch.op); /* the client made it */
  if (some) {
    sk_buf_clear(&kit->last);
    sk_buf_add_str(&kit->last, fetch.held[0].queue);
    push_run(L, kit, &fetch.held[0], &job);
  }
  sk_op_fini(&fetch.op);
  return some ? 1 : 0;
}

static int kit_stops(lua_State *L) {
  struct kit *kit = check_kit(L);
  struct sk_fetch_op fetch = { 0 };
  RUN(kit, fetch, &fetch);
  if (fetch.op.status != SK_OK) return raise(L, &fetch.op);
  lua_newtable(L);
  for (size_t i = 0; i < fetch.stops_n; i++) {
    lua_pushlstring(L, fetch.stops[i].p, fetch.stops[i].n);
    lua_rawseti(L, -2, (int)i + 1);
  }
  sk_op_fini(&fetch.op);
  return 1;
}

/* -- settle ------------------------------------------------------------------------------------------------------------------------- */

/* The field as text, which stays on the stack; empty when it is not there. */
static struct sk_str text_field(lua_State *L, int index, const char *key) {
  struct sk_str s = { NULL, 0 };
  lua_getfield(L, index, key);
  if (lua_isstring(L, -1)) s.p = lua_tolstring(L, -1, &s.n);
  return s;
}

static int64_t number_field(lua_State *L, int index, const char *key, int64_t otherwise) {
  lua_getfield(L, index, key);
  int64_t v = lua_isnumber(L, -1) ? (int64_t)lua_tonumber(L, -1) : otherwise;
  lua_pop(L, 1);
  return v;
}

/* The outcome in the table at `index`, as engine/link.c reads it from a frame. */
static struct sk_outcome read_outcome(lua_State *L, int index) {
  struct sk_outcome o = {
    .ending = SK_END_RETURNED,
    .kind = (enum sk_error_kind)number_field(L, index, "kind", SK_KIND_NONE),
    .result = text_field(L, index, "result"),
    .message = text_field(L, index, "message"),
    .traceback = text_field(L, index, "traceback"),
    .delay_ms = number_field(L, index, "delay_ms", SK_UNSET),
    .started_ms = number_field(L, index, "started_ms", 0),
  };
  int64_t verdict = number_field(L, index, "verdict", -1);
  static const enum sk_ending endings[SK_VERDICTS] = { SK_END_FAILED, SK_END_FATAL, SK_END_DISCARDED, SK_END_SNOOZED };
  if (verdict >= 0 && verdict < SK_VERDICTS) o.ending = o.kind == SK_KIND_CANCELLED ? SK_END_CANCELLED : endings[verdict];
  if (o.delay_ms < 0) o.delay_ms = o.ending == SK_END_SNOOZED ? 0 : SK_UNSET;
  return o;
}

/* ... and that of a run which was refused. */
static struct sk_outcome refused_outcome(lua_State *L, int run, struct sk_str refused) {
  return (struct sk_outcome){
    .ending = sk_str_eq_c(refused, "expired") ? SK_END_EXPIRED : SK_END_UNKNOWN_TASK,
    .message = text_field(L, run, "message"),
    .delay_ms = SK_UNSET,
  };
}

static const char *state_after(const struct sk_settle_item *item) {
  switch (item->kind) {
  case SK_SETTLE_DONE: return item->keep_ms > 0 ? "done" : NULL;
  case SK_SETTLE_CANCELLED: return item->keep_ms > 0 ? "cancelled" : NULL;
  case SK_SETTLE_RETRY: return "retry";
  case SK_SETTLE_SNOOZE: return "scheduled";
  case SK_SETTLE_DEAD: return "dead";
  case SK_SETTLE_RELEASE: return "ready";
  case SK_SETTLE_DROP: break;
  }
  return NULL;
}

/* Settles the run at index 2. */
static void settle_item(lua_State *L, struct kit *kit, struct sk_settle_item *item) {
  item->id = text_field(L, 2, "id");
  item->queue = text_field(L, 2, "queue");
  item->fence = (uint64_t)number_field(L, 2, "fence", 0);
  struct sk_settle_op op = { .items = item, .items_n = 1 };
  RUN(kit, settle, &op);
  if (op.op.status != SK_OK) raise(L, &op.op);
  sk_op_fini(&op.op);
}

static int kit_release(lua_State *L) {
  struct kit *kit = check_kit(L);
  luaL_checktype(L, 2, LUA_TTABLE);
  struct sk_settle_item item = { .kind = SK_SETTLE_RELEASE };
  settle_item(L, kit, &item);
  return 0;
}

static void apply(const struct sk_decision *d, struct sk_settle_item *item) {
  item->kind = d->kind;
  item->delay_ms = d->delay_ms;
  item->keep_ms = d->keep_ms;
  item->to_queue = d->to_queue;
}

static int kit_settle(lua_State *L) {
  struct kit *kit = check_kit(L);
  luaL_checktype(L, 2, LUA_TTABLE);
  luaL_checktype(L, 3, LUA_TTABLE);
  luaL_checkstack(L, 16, "settle");
  struct sk_buf *record = sk_lua_push_buf(L);
  struct sk_job job;
  struct sk_err err;
  if (sk_record_decode(text_field(L, 2, "record"), &job, &err) != SK_OK) return luaL_error(L, "testing: %s", err.message);
  struct sk_str refused = text_field(L, 2, "refused");
  struct sk_outcome o = refused.n ? refused_outcome(L, 2, refused) : read_outcome(L, 3);
  struct sk_decision d = sk_transition(&job, template_of(kit, &job), &o, &POLICY, kit->now_ms, sk_random_next(&kit->random));
  sk_record_encode(&job, record);
  if (record->failed) return luaL_error(L, "testing: not enough memory");
  struct sk_settle_item item = { .record = sk_buf_str(record) };
  apply(&d, &item);
  settle_item(L, kit, &item);
  lua_pushstring(L, state_after(&item));
  return 1;
}
