/* testing.c - see testing.h.  Each function waits for the store, which answers in the next turn of the loop. */
#include "lua/testing.h"

#include <lauxlib.h>
#include <string.h>

#include "base/id.h"
#include "base/limits.h"
#include "engine/callbacks.h"
#include "engine/tasks.h"
#include "io/loop.h"
#include "logic/record.h"
#include "logic/rules.h"
#include "logic/history.h"
#include "logic/wire.h"
#include "lua/client.h"
#include "lua/connection.h"
#include "store/store.h"

static const char KIT_TYPE[] = "skein.testing";
static const char ENGINE[] = "testing";

struct kit {
  struct sk_lua_client client;
  int64_t now_ms;         /* the clock, wall and monotonic */
  struct sk_tasks *tasks; /* owned */
  struct sk_random random;
  struct sk_buf record; /* what a settle stores, */
  struct sk_buf story;  /* ... and what it tells in it; lines that job:log has said */
  struct sk_buf last;   /* the queue that was served last: they take turns, by name */
};

static const struct sk_policy POLICY = { .crashes_max = SK_CRASHES_MAX,
                                         .unknown_max = SK_UNKNOWN_MAX,
                                         .unknown_delay_ms = SK_UNKNOWN_DELAY_MS };

/* -- waiting for the store ----------------------------------------------------------------------------------------- */

static void on_done(struct sk_op *op, void *ctx) {
  (void)op;
  bool *done = ctx;
  *done = true;
}

/* Every operation is the same but for its slot, which C can't say without a macro. */
#define RUN(kit, verb, operation)                                                                                      \
  do {                                                                                                                 \
    bool done = false;                                                                                                 \
    (operation)->op.cb = on_done;                                                                                      \
    (operation)->op.ctx = &done;                                                                                       \
    (kit)->client.store->ops->verb((kit)->client.store, operation);                                                    \
    while (!done && sk_loop_turn((kit)->client.loop, true)) continue;                                                  \
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

/* -- the clock ----------------------------------------------------------------------------------------------------- */

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

/* -- fetch --------------------------------------------------------------------------------------------------------- */

static int compare(struct sk_str a, struct sk_str b) {
  int c = memcmp(a.p, b.p, a.n < b.n ? a.n : b.n);
  return c != 0 ? c : (a.n > b.n) - (a.n < b.n);
}

/* All queues, from the one behind that which was served last; they live in count's arena. */
static struct sk_fetch_queue *queues_in_turn(struct kit *kit, struct sk_count_op *count) {
  RUN(kit, count, count);
  size_t n = count->queues_n, first = 0;
  struct sk_fetch_queue *queues =
      count->op.status == SK_OK ? sk_arena_array(&count->op.arena, n ? n : 1, sizeof *queues) : NULL;
  if (queues == NULL) return NULL;
  while (first < n && kit->last.n > 0 && compare(count->queues[first].name, sk_buf_str(&kit->last)) <= 0) first++;
  for (size_t i = 0; i < n; i++)
    queues[i] = (struct sk_fetch_queue){ .name = count->queues[(first + i) % n].name, .quota = 1 };
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
  switch (sk_start_refusal(job, task, kit->now_ms)) {
  case SK_REFUSAL_UNKNOWN_TASK:
    lua_pushlstring(L, job->task.p, job->task.n);
    lua_pushfstring(L, "no script declares task \"%s\"", lua_tostring(L, -1));
    lua_setfield(L, -3, "message");
    lua_pop(L, 1);
    set_text(L, "refused", SK_STR_LIT("unknown_task"));
    break;
  case SK_REFUSAL_EXPIRED:
    set_text(L, "refused", SK_STR_LIT("expired"));
    set_text(L, "message", SK_STR_LIT(SK_EXPIRED_TEXT));
    break;
  case SK_REFUSAL_NONE: return;
  }
  lua_pushboolean(L, task != NULL || job->unknowns + 1 >= POLICY.unknown_max);
  lua_setfield(L, -2, "dies");
}

static const struct sk_job *template_of(const struct kit *kit, const struct sk_job *job) {
  const struct sk_task *task = sk_tasks_find(kit->tasks, job->task);
  return task ? &task->template : NULL;
}

static void push_run(lua_State *L, const struct kit *kit, const struct sk_fetched *held, const struct sk_job *job) {
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
  bool some = fetch.jobs_n > 0;
  if (some && sk_record_decode(fetch.jobs[0].record, &job, &err) != SK_OK)
    return raise(L, &fetch.op); /* the client made it */
  if (some) {
    sk_buf_clear(&kit->last);
    sk_buf_add_str(&kit->last, fetch.jobs[0].queue);
    push_run(L, kit, &fetch.jobs[0], &job);
  }
  if (!some) lua_pushnil(L);
  lua_pushnumber(L, (lua_Number)fetch.due_in_ms);
  sk_op_fini(&fetch.op);
  return 2;
}

static int kit_read(lua_State *L) {
  struct kit *kit = check_kit(L);
  struct sk_fetched held = { 0 };
  held.record.p = luaL_checklstring(L, 2, &held.record.n);
  struct sk_job job;
  struct sk_err err;
  if (sk_record_decode(held.record, &job, &err) != SK_OK) return luaL_error(L, "testing: %s", err.message);
  held.id = job.id;
  held.queue = job.queue;
  push_run(L, kit, &held, &job);
  return 1;
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

/* -- settle -------------------------------------------------------------------------------------------------------- */

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
  if (verdict >= 0 && verdict < SK_VERDICTS) o.ending = sk_ending_of((enum sk_verdict)verdict, o.kind);
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

/* Settles the run at index 2; returns the item's status. */
static enum sk_code settle_item(lua_State *L, struct kit *kit, struct sk_settle_item *item) {
  item->id = text_field(L, 2, "id");
  item->queue = text_field(L, 2, "queue");
  item->fence = (uint64_t)number_field(L, 2, "fence", 0);
  struct sk_settle_op op = { .items = item, .items_n = 1 };
  RUN(kit, settle, &op);
  if (op.op.status != SK_OK) raise(L, &op.op);
  sk_op_fini(&op.op);
  return item->status;
}

static int kit_release(lua_State *L) {
  struct kit *kit = check_kit(L);
  luaL_checktype(L, 2, LUA_TTABLE);
  settle_item(L, kit, &(struct sk_settle_item){ .kind = SK_SETTLE_RELEASE });
  return 0;
}

/* As engine/settle.c does: what has happened to the job, and what it has logged in this attempt. */
static void tell_story(struct kit *kit, struct sk_job *job, const struct sk_outcome *o, const struct sk_decision *d,
                       struct sk_str log) {
  sk_buf_clear(&kit->story);
  sk_history_extend(job,
                    &(struct sk_history_end){ .engine = SK_STR_LIT(ENGINE),
                                              .worker = 1,
                                              .started_ms = o->started_ms,
                                              .now_ms = kit->now_ms,
                                              .ending = o->ending,
                                              .decision = d },
                    &kit->story);
  size_t history_n = kit->story.n;
  sk_lines_tail(job->log, log, SK_JOB_LOG_LINES_MAX, SK_JOB_LOG_BYTES_MAX, &kit->story);
  job->history = sk_str(kit->story.p, history_n);
  job->log = sk_str(kit->story.p + history_n, kit->story.n - history_n);
}

/* Decides, and settles the run at index 2; *follow is what came with it.  SK_ESTATE: it was cancelled meanwhile. */
static enum sk_code settle_as(lua_State *L, struct kit *kit, const struct sk_outcome *o,
                              struct sk_callbacks **callbacks) {
  static const struct sk_log silent = { .level = SK_LOG_OFF };
  struct sk_job job;
  struct sk_err err;
  struct sk_str record = text_field(L, 2, "record"), log = text_field(L, 2, "log");
  if (sk_record_decode(record, &job, &err) != SK_OK) luaL_error(L, "testing: %s", err.message);
  struct sk_decision d =
      sk_transition(&job, template_of(kit, &job), o, &POLICY, kit->now_ms, sk_random_next(&kit->random));
  bool made = sk_callbacks_new(&(struct sk_callbacks_end){ .job = &job,
                                                           .ending = o->ending,
                                                           .kind = d.kind,
                                                           .now_ms = kit->now_ms,
                                                           .args_bytes_max = SK_ARGS_BYTES_MAX,
                                                           .log = &silent },
                               callbacks);
  tell_story(kit, &job, o, &d, log);
  sk_buf_clear(&kit->record);
  sk_record_encode(&job, &kit->record);
  if (!made || kit->record.failed || kit->story.failed) {
    sk_callbacks_free(*callbacks);
    luaL_error(L, "testing: not enough memory");
  }
  struct sk_settle_item item = { .record = sk_buf_str(&kit->record),
                                 .kind = d.kind,
                                 .to_queue = d.to_queue,
                                 .delay_ms = d.delay_ms,
                                 .keep_ms = d.keep_ms };
  if (*callbacks) {
    item.callbacks = (*callbacks)->items;
    item.callbacks_n = (*callbacks)->n;
  }
  return settle_item(L, kit, &item);
}

static int kit_settle(lua_State *L) {
  struct kit *kit = check_kit(L);
  luaL_checktype(L, 2, LUA_TTABLE);
  luaL_checktype(L, 3, LUA_TTABLE);
  luaL_checkstack(L, 32, "settle");
  struct sk_str refused = text_field(L, 2, "refused");
  struct sk_outcome o = refused.n ? refused_outcome(L, 2, refused) : read_outcome(L, 3);
  struct sk_callbacks *callbacks;
  if (settle_as(L, kit, &o, &callbacks) == SK_ESTATE) {
    sk_callbacks_free(callbacks);
    o.ending = SK_END_CANCELLED;
    settle_as(L, kit, &o, &callbacks);
  }
  lua_newtable(L);
  for (size_t i = 0; callbacks && i < callbacks->n; i++) {
    lua_pushlstring(L, callbacks->items[i].id.p, callbacks->items[i].id.n);
    lua_rawseti(L, -2, (int)i + 1);
  }
  sk_callbacks_free(callbacks);
  return 1;
}

/* Tells the store what the run at index 2 has said so far; one that is in no store has no fence. */
static void tell(lua_State *L, struct kit *kit) {
  struct sk_progress_item item = {
    .id = text_field(L, 2, "id"),
    .queue = text_field(L, 2, "queue"),
    .fence = (uint64_t)number_field(L, 2, "fence", 0),
    .percent = (int32_t)number_field(L, 2, "percent", -1),
    .progress_text = text_field(L, 2, "progress_text"),
    .log = text_field(L, 2, "log"),
  };
  if (item.fence == 0) return;
  struct sk_progress_op op = { .items = &item, .items_n = 1 };
  RUN(kit, progress, &op);
  if (op.op.status != SK_OK) raise(L, &op.op);
  sk_op_fini(&op.op);
}

static int kit_progress(lua_State *L) {
  struct kit *kit = check_kit(L);
  luaL_checktype(L, 2, LUA_TTABLE);
  lua_Integer percent = luaL_checkinteger(L, 3);
  size_t n;
  const char *text = luaL_checklstring(L, 4, &n);
  lua_pushvalue(L, 2);
  set_number(L, "percent", percent);
  lua_pushlstring(L, text, n < SK_PROGRESS_BYTES_MAX ? n : SK_PROGRESS_BYTES_MAX);
  lua_setfield(L, -2, "progress_text");
  tell(L, kit);
  return 0;
}

static int kit_job_log(lua_State *L) {
  struct kit *kit = check_kit(L);
  luaL_checktype(L, 2, LUA_TTABLE);
  struct sk_str text, log = text_field(L, 2, "log");
  text.p = luaL_checklstring(L, 3, &text.n);
  struct sk_buf line = { 0 };
  sk_lines_add(&line, kit->now_ms, text, SK_PROGRESS_BYTES_MAX);
  sk_buf_clear(&kit->story);
  sk_lines_tail(log, sk_buf_str(&line), SK_JOB_LOG_LINES_MAX, SK_JOB_LOG_BYTES_MAX, &kit->story);
  bool failed = line.failed || kit->story.failed;
  sk_buf_fini(&line);
  if (failed) return luaL_error(L, "testing: not enough memory");
  char copy[SK_JOB_LOG_BYTES_MAX]; /* pushing it may run a finalizer that logs, too */
  struct sk_str story = sk_str_head(sk_buf_str(&kit->story), sizeof copy);
  if (story.n > 0) memcpy(copy, story.p, story.n);
  lua_pushvalue(L, 2);
  set_text(L, "log", sk_str(copy, story.n));
  tell(L, kit);
  return 0;
}

/* -- life ---------------------------------------------------------------------------------------------------------- */

static int kit_declare(lua_State *L) {
  struct kit *kit = check_kit(L);
  struct sk_str record;
  record.p = luaL_checklstring(L, 2, &record.n);
  struct sk_job task;
  struct sk_err err = { 0 };
  enum sk_code code = sk_tasks_put(kit->tasks, record, 0, NULL, &err);
  if (code == SK_OK) code = sk_record_decode(record, &task, &err);
  if (code != SK_OK) return luaL_error(L, "testing: %s", err.message);
  struct sk_task_item item = { .name = task.task, .queue = task.queue, .priority = task.priority, .template = record };
  struct sk_declare_op op = { .items = &item, .items_n = 1 };
  RUN(kit, declare, &op);
  if (op.op.status != SK_OK) return raise(L, &op.op);
  sk_op_fini(&op.op);
  return 0;
}

/* The queue in the table at 2, as skein.queue says it (lua/skein/queues.lua). */
static int kit_configure(lua_State *L) {
  struct kit *kit = check_kit(L);
  luaL_checktype(L, 2, LUA_TTABLE);
  struct sk_queue_settings queue = { .name = text_field(L, 2, "name") };
  for (size_t i = 0; i < SK_QUEUE_SETTINGS; i++)
    sk_queue_settings_set(&queue, i, number_field(L, 2, sk_queue_settings_table[i].name, 0));
  struct sk_declare_op op = { .queues = &queue, .queues_n = 1 };
  RUN(kit, declare, &op);
  if (op.op.status != SK_OK) return raise(L, &op.op);
  sk_op_fini(&op.op);
  return 0;
}

static int kit_call(lua_State *L) { return sk_lua_client_call(L, &check_kit(L)->client); }

static int kit_close(lua_State *L) {
  struct kit *kit = luaL_checkudata(L, 1, KIT_TYPE);
  sk_lua_client_fini(&kit->client);
  sk_tasks_free(kit->tasks);
  kit->tasks = NULL;
  sk_buf_fini(&kit->last);
  sk_buf_fini(&kit->record);
  sk_buf_fini(&kit->story);
  return 0;
}

int sk_lua_testing_open(lua_State *L) {
  int64_t now = (int64_t)luaL_checknumber(L, 1);
  struct kit *kit = lua_newuserdata(L, sizeof *kit);
  *kit = (struct kit){ .now_ms = now, .random = { sk_id_random() } };
  luaL_getmetatable(L, KIT_TYPE);
  lua_setmetatable(L, -2);
  struct sk_store_options options = {
    .url = SK_STR_LIT("memory:"),
    .engine = SK_STR_LIT(ENGINE),
    .lease_ms = SK_LEASE_MS,
    .clock = { .wall_ms = now_ms, .mono_ms = now_ms, .ctx = kit },
  };
  struct sk_err err;
  enum sk_code code = sk_lua_client_init(&kit->client, &options, &err);
  if (code == SK_OK && (kit->tasks = sk_tasks_new()) == NULL) code = sk_err_set(&err, SK_ENOMEM, "out of memory");
  return code == SK_OK ? 1 : luaL_error(L, "testing: %s", err.message);
}

static const luaL_Reg METHODS[] = {
  { "call", kit_call },
  { "clock", kit_clock },
  { "declare", kit_declare },
  { "configure", kit_configure },
  { "fetch", kit_fetch },
  { "read", kit_read },
  { "release", kit_release },
  { "settle", kit_settle },
  { "progress", kit_progress },
  { "job_log", kit_job_log },
  { "stops", kit_stops },
  { "close", kit_close },
  { NULL, NULL },
};

void sk_lua_testing_register(lua_State *L) {
  luaL_newmetatable(L, KIT_TYPE);
  lua_pushcfunction(L, kit_close);
  lua_setfield(L, -2, "__gc");
  lua_newtable(L);
  for (const luaL_Reg *f = METHODS; f->name; f++) {
    lua_pushcfunction(L, f->func);
    lua_setfield(L, -2, f->name);
  }
  lua_setfield(L, -2, "__index");
  lua_pop(L, 1);
}
