/* enqueue_bulk.c - see enqueue_bulk.h.
 *
 * Most signatures of a long list are plain: a task, args, and perhaps a few numbers.  This file checks and encodes
 * them in C. It takes a signature only when it is certain to be valid.  Any other signature, also an invalid one, is
 * left to lua/skein/enqueue_many.lua, which has the messages.
 *
 * Wherever Lua allocates, its collector may run a finalizer, and that may change the list, or enqueue a list of its
 * own.  So every call has its own memory, and the strings of the signature that is being read are kept on the stack
 * (see ANCHORS). */
#include "lua/enqueue_bulk.h"

#include <lauxlib.h>
#include <math.h>
#include <stdlib.h>

#include "base/buf.h"
#include "base/clock.h"
#include "base/id.h"
#include "base/limits.h"
#include "logic/name.h"
#include "logic/record.h"
#include "logic/wire.h"
#include "lua/json.h"

enum {
  ARG_LIST = 1,
  ARG_FIRST,
  ARG_FACTS,
  ARG_HANDLES,
  ARG_META,
  ARG_ARGS_MAX,
  ARG_JOBS_MAX,
  ARG_BYTES_MAX,
  ARGS_N = ARG_BYTES_MAX,
  ITEMS_AT = ARGS_N, /* bulk_items has no ARG_BYTES_MAX: its userdata takes that place */
  WORK_AT,
  CALL_ANCHORS_AT,
  SCAN_ARGS_MAX = ARG_FACTS + 1,
  SCAN_JOBS_MAX,
  SCAN_BYTES_MAX,
  SCAN_ARGS_N = SCAN_BYTES_MAX,
  SCAN_ANCHORS_AT,
  NUMBER_BYTES_MAX = 32,
  ESCAPED_BYTES = 6,      /* NUMBER_BYTES_MAX: a number as JSON.  This: one byte of a JSON string, at most */
  RECORD_BYTES_MAX = 512, /* of a plain job in a request, without its args and names */
  FACT_QUEUE = 1,         /* facts[name] is { queue, priority } */
  FACT_PRIORITY,
};

/* The stack slots, from call.anchors on, that keep the strings of the signature being read alive, whatever a
 * finalizer does to the signature.  A slot is overwritten only by a string that lived beside the one before, so that
 * two strings at one address are the same string: the identity tests of this file rely on that. */
enum { ANCHOR_TASK, ANCHOR_QUEUE, ANCHOR_ID, ANCHORS_N };

static const char WORK_TYPE[] = "skein.bulk_work";

static const char ITEMS_TYPE[] = "skein.bulk_items";

/* The buffers of one call. */
struct work {
  struct sk_buf args, out;
};

static void work_fini(struct work *work) {
  sk_buf_fini(&work->args);
  sk_buf_fini(&work->out);
}

static int work_gc(lua_State *L) {
  work_fini(luaL_checkudata(L, 1, WORK_TYPE));
  return 0;
}

static struct work *push_work(lua_State *L) {
  struct work *work = lua_newuserdata(L, sizeof *work);
  *work = (struct work){ 0 };
  luaL_getmetatable(L, WORK_TYPE);
  lua_setmetatable(L, -2);
  return work;
}

struct call {
  lua_State *L;
  int anchors; /* stack index of ANCHOR_TASK */
  struct sk_idgen *ids;
  struct work *work;
  int64_t now_ms;
  size_t args_bytes_max;
  const char *task;    /* address of the name that queue and priority belong to */
  struct sk_str queue; /* alive in facts */
  int32_t priority;
  const char *good_name;           /* address of the last queue name that a signature gave and that was valid */
  bool has_ids;                    /* a signature gave its job's id */
  struct sk_lua_bulk_items *items; /* of bulk_items; else NULL */
  struct kept {
    const char *from;
    struct sk_str copy;
  } kept_queue, kept_task; /* the names of the last item, copied to items->texts */
  bool scans;              /* bulk_scan: args are measured, not encoded */
  size_t args_n;           /* bulk_scan: the bytes that the args take at most when they are encoded */
};

/* One signature, as far as it was read.  The strings of job are in the anchors, in facts, or in work. */
struct plain {
  struct sk_job job;
  bool has_queue, has_priority, has_at, has_delay, has_id;
  int64_t due_ms, delay_ms;
};

/* -- options ------------------------------------------------------------------------------------------------------- */

/* As tasks.ms of lua/skein/tasks.lua. */
static int64_t ms_of(double seconds) {
  double ms = floor(seconds * 1000 + 0.5);
  return ms < 1 && seconds > 0 ? 1 : (int64_t)ms;
}

static bool read_seconds(lua_State *L, double min, double max, int64_t *out) {
  if (lua_type(L, -1) != LUA_TNUMBER) return false;
  double v = lua_tonumber(L, -1);
  if (!(v >= min && v <= max)) return false;
  *out = ms_of(v);
  return true;
}

static bool read_whole(lua_State *L, double min, double max, int64_t *out) {
  if (lua_type(L, -1) != LUA_TNUMBER) return false;
  double v = lua_tonumber(L, -1);
  if (!(v >= min && v <= max) || v != floor(v)) return false;
  *out = (int64_t)v;
  return true;
}

/* Reads the string on top of the stack, and anchors it. */
static bool read_text(const struct call *c, int anchor, struct sk_str *out) {
  lua_State *L = c->L;
  if (lua_type(L, -1) != LUA_TSTRING) return false;
  out->p = lua_tolstring(L, -1, &out->n);
  lua_pushvalue(L, -1);
  lua_replace(L, c->anchors + anchor);
  return out->n > 0;
}

static bool read_queue(struct call *c, struct sk_str *out) {
  if (!read_text(c, ANCHOR_QUEUE, out)) return false;
  if (out->p != c->good_name && sk_name_check("queue", *out, NULL) != SK_OK) return false;
  c->good_name = out->p;
  return true;
}

/* Adds to args_n the bytes that the value on top of the stack takes at most; false when only encoding it would show. */
static bool measure_arg(struct call *c) {
  lua_State *L = c->L;
  size_t n = 0;
  switch (lua_type(L, -1)) {
  case LUA_TSTRING:
    lua_tolstring(L, -1, &n);
    c->args_n += n * ESCAPED_BYTES;
    break;
  case LUA_TNUMBER:
    if (!isfinite(lua_tonumber(L, -1))) return false;
    break;
  case LUA_TBOOLEAN: break;
  default: return false;
  }
  c->args_n += NUMBER_BYTES_MAX;
  return true;
}

/* Measures the args on top of the stack, a list without holes. */
static bool measure_args(struct call *c) {
  lua_State *L = c->L;
  lua_Number i = 0;
  for (lua_pushnil(L); lua_next(L, -2); lua_pop(L, 1))
    if (lua_type(L, -2) != LUA_TNUMBER || lua_tonumber(L, -2) != ++i || i > SK_ARGS_COUNT_MAX || !measure_arg(c)) {
      lua_pop(L, 2);
      return false;
    }
  return true;
}

/* Encodes the args on top of the stack, a list without holes, into work->args, or only measures them. */
static bool read_args(struct call *c) {
  lua_State *L = c->L;
  struct sk_buf *args = &c->work->args;
  if (!lua_istable(L, -1) || lua_getmetatable(L, -1)) return false;
  if (c->scans) return measure_args(c);
  struct sk_err err;
  if (sk_lua_json_encode(L, lua_gettop(L), "args", args, &err) != SK_OK) return false;
  if (lua_objlen(L, -1) > SK_ARGS_COUNT_MAX) return false; /* now: a finalizer may have added some meanwhile */
  if (args->n == 2) sk_buf_clear(args);                    /* {}: an empty table is an object in JSON */
  return args->n == 0 || args->p[0] == '[';
}

/* The option on top of the stack; false when it is not plain. */
static bool read_option(struct call *c, struct plain *p, struct sk_str key) {
  static const double seconds_max = (double)SK_SECONDS_MAX;
  lua_State *L = c->L;
  struct sk_job *job = &p->job;
  int64_t whole = 0;
  if (sk_str_eq_c(key, "task")) return read_text(c, ANCHOR_TASK, &job->task);
  if (sk_str_eq_c(key, "args")) return read_args(c);
  if (sk_str_eq_c(key, "queue")) return (p->has_queue = read_queue(c, &job->queue));
  if (sk_str_eq_c(key, "id")) return read_text(c, ANCHOR_ID, &job->id) && sk_id_check(job->id, NULL) == SK_OK;
  if (sk_str_eq_c(key, "at")) return (p->has_at = read_seconds(L, 0, 2 * seconds_max, &p->due_ms));
  if (sk_str_eq_c(key, "delay")) return (p->has_delay = read_seconds(L, 0, seconds_max, &p->delay_ms));
  if (sk_str_eq_c(key, "retries")) return read_whole(L, 0, SK_RETRIES_MAX, &job->retries);
  if (sk_str_eq_c(key, "keep")) return read_seconds(L, 0, seconds_max, &job->keep_ms);
  if (sk_str_eq_c(key, "timeout")) return read_seconds(L, 0, seconds_max, &job->timeout_ms) && job->timeout_ms > 0;
  if (!sk_str_eq_c(key, "priority") || !read_whole(L, SK_PRIORITY_MIN, SK_PRIORITY_MAX, &whole)) return false;
  job->priority = (int32_t)whole;
  return (p->has_priority = true);
}

/* -- signatures ---------------------------------------------------------------------------------------------------- */

/* Finds the queue and the priority of the task; false when facts does not have them, or the name is not valid. */
static bool find_facts(struct call *c, struct sk_str task) {
  if (c->task == task.p) return true;
  if (sk_name_check("task", task, NULL) != SK_OK) return false;
  lua_State *L = c->L;
  lua_pushvalue(L, c->anchors + ANCHOR_TASK);
  lua_rawget(L, ARG_FACTS);
  bool found = lua_istable(L, -1);
  if (found) {
    lua_rawgeti(L, -1, FACT_QUEUE);
    c->queue.p = lua_tolstring(L, -1, &c->queue.n);
    lua_rawgeti(L, -2, FACT_PRIORITY);
    c->priority = (int32_t)lua_tointeger(L, -1);
    lua_pop(L, 2);
    c->task = task.p;
  }
  lua_pop(L, 1);
  return found && c->queue.p;
}

/* Reads the signature on top of the stack: a table, or a task's name. */
static bool read_signature(struct call *c, struct plain *p) {
  lua_State *L = c->L;
  *p = (struct plain){ 0 };
  sk_job_init(&p->job);
  sk_buf_clear(&c->work->args);
  c->args_n = 0;
  int top = lua_gettop(L);
  bool good = true;
  if (lua_type(L, top) == LUA_TSTRING) {
    read_text(c, ANCHOR_TASK, &p->job.task);
  } else if (lua_istable(L, top) && !lua_getmetatable(L, top)) {
    for (lua_pushnil(L); good && lua_next(L, top); lua_settop(L, top + 1)) {
      struct sk_str key = { 0 };
      if (lua_type(L, -2) == LUA_TSTRING) key.p = lua_tolstring(L, -2, &key.n);
      good = key.n > 0 && read_option(c, p, key);
      if (!good) break;
    }
  } else {
    good = false;
  }
  lua_settop(L, top);
  if (!good || p->job.task.n == 0 || (p->has_at && p->has_delay) || !find_facts(c, p->job.task)) return false;
  if (!p->has_queue) p->job.queue = c->queue;
  if (!p->has_priority) p->job.priority = c->priority;
  if (c->scans) return c->args_n <= c->args_bytes_max;
  if (c->work->args.n == 0) sk_buf_add_c(&c->work->args, "[]");
  p->job.args = sk_buf_str(&c->work->args);
  return p->job.args.n <= c->args_bytes_max;
}

/* -- the request --------------------------------------------------------------------------------------------------- */

static void put_u32(char *at, uint32_t v) {
  for (int i = 0; i < 4; i++) at[i] = (char)(v >> (8 * i) & 0xff);
}

/* Appends the job in the form of a request (engine/request.h). */
static void add_item(struct sk_buf *out, const struct plain *p) {
  size_t at = out->n;
  sk_buf_add_u32(out, 0);
  sk_record_encode(&p->job, out);
  if (!out->failed) put_u32(out->p + at, (uint32_t)(out->n - at - 4));
  sk_wire_add_i64(out, p->due_ms);
  sk_wire_add_i64(out, p->delay_ms);
}

/* Returns a copy of s in items->texts; equal names in a row share one copy. */
static struct sk_str keep(struct call *c, struct sk_str s, struct kept *last) {
  if (s.p != last->from || s.n != last->copy.n) *last = (struct kept){ s.p, sk_arena_copy(&c->items->texts, s) };
  return last->copy;
}

static bool keep_item(struct call *c, const struct plain *p) {
  struct sk_arena *texts = &c->items->texts;
  struct sk_buf *record = &c->work->out;
  sk_buf_clear(record);
  sk_record_encode(&p->job, record);
  struct sk_enqueue_item *it = &c->items->items[c->items->n];
  *it = (struct sk_enqueue_item){
    .id = sk_arena_copy(texts, p->job.id),
    .queue = keep(c, p->job.queue, &c->kept_queue),
    .task = keep(c, p->job.task, &c->kept_task),
    .record = sk_arena_copy(texts, sk_buf_str(record)),
    .priority = p->job.priority,
    .due_ms = p->due_ms,
    .delay_ms = p->delay_ms,
    .fresh = !p->has_id,
  };
  c->items->n++;
  return !record->failed && it->id.p && it->queue.p && it->task.p && it->record.p;
}

/* handles[i] = setmetatable({ id = id }, meta) */
static void add_handle(lua_State *L, int i, struct sk_str id) {
  lua_createtable(L, 0, 1);
  lua_pushlstring(L, id.p, id.n);
  lua_setfield(L, -2, "id");
  lua_pushvalue(L, ARG_META);
  lua_setmetatable(L, -2);
  lua_rawseti(L, ARG_HANDLES, i);
}

/* Adds list[i]; false when it is not plain, or when the request would be too large with it. */
static bool add_job(struct call *c, int i, size_t bytes_max) {
  lua_State *L = c->L;
  struct sk_buf *out = &c->work->out;
  struct plain p;
  char id[SK_ID_BYTES + 1];
  lua_rawgeti(L, ARG_LIST, i);
  bool good = read_signature(c, &p);
  if (good) {
    p.job.enqueued_ms = c->now_ms;
    p.has_id = p.job.id.n > 0;
    c->has_ids |= p.has_id;
    if (!p.has_id) {
      sk_id_next(c->ids, c->now_ms, id);
      p.job.id = sk_str(id, SK_ID_BYTES);
    }
    size_t before = out->n;
    if (c->items == NULL) {
      add_item(out, &p);
    } else if (!keep_item(c, &p)) {
      luaL_error(L, "not enough memory");
    }
    if (c->items == NULL && before > SK_ENQUEUE_HEAD_BYTES && out->n > bytes_max) {
      out->n = before;
      good = false;
    }
    if (good) add_handle(L, i, p.job.id);
  }
  lua_settop(L, CALL_ANCHORS_AT + ANCHORS_N - 1);
  return good;
}

/* Reads the arguments that bulk_payload and bulk_items share. */
static void begin(lua_State *L, struct call *c) {
  *c = (struct call){
    .L = L, .anchors = CALL_ANCHORS_AT, .ids = lua_touserdata(L, lua_upvalueindex(1)), .now_ms = sk_clock_wall_ms()
  };
  luaL_checktype(L, ARG_LIST, LUA_TTABLE);
  luaL_checktype(L, ARG_FACTS, LUA_TTABLE);
  luaL_checktype(L, ARG_HANDLES, LUA_TTABLE);
  luaL_checktype(L, ARG_META, LUA_TTABLE);
  c->args_bytes_max = (size_t)luaL_optinteger(L, ARG_ARGS_MAX, SK_ARGS_BYTES_MAX);
}

/* Adds jobs as long as they are plain; returns the index of the first that was not added.  Needs the work on the
 * stack. */
static int add_jobs(struct call *c, size_t bytes_max) {
  int first = luaL_checkint(c->L, ARG_FIRST), jobs_max = luaL_checkint(c->L, ARG_JOBS_MAX),
      n = (int)lua_objlen(c->L, ARG_LIST);
  int next = first;
  lua_settop(c->L, CALL_ANCHORS_AT + ANCHORS_N - 1);
  while (next <= n && next - first < jobs_max && add_job(c, next, bytes_max)) next++;
  return next;
}

/* bulk_payload(list, first, facts, handles, meta, args_bytes_max, jobs_max, bytes_max) -> payload, next: see
 * enqueue_bulk.h */
static int core_bulk_payload(lua_State *L) {
  struct call c;
  lua_settop(L, ARGS_N);
  begin(L, &c);
  size_t bytes_max = (size_t)luaL_checkinteger(L, ARG_BYTES_MAX);
  c.work = push_work(L);
  struct sk_buf *out = &c.work->out;
  sk_wire_add_i64(out, 0); /* block_ms: it does not wait for space in a full queue */
  sk_buf_add_byte(out, 0);
  sk_buf_add_u32(out, 0);
  int next = add_jobs(&c, bytes_max);
  if (out->failed || c.work->args.failed) return luaL_error(L, "not enough memory");
  out->p[SK_ENQUEUE_HEAD_BYTES - 5] = !c.has_ids;
  put_u32(out->p + SK_ENQUEUE_HEAD_BYTES - 4, (uint32_t)(next - luaL_checkint(L, ARG_FIRST)));
  lua_pushlstring(L, out->p, out->n);
  lua_pushinteger(L, next);
  work_fini(c.work);
  return 2;
}

static int items_gc(lua_State *L) {
  struct sk_lua_bulk_items *items = luaL_checkudata(L, 1, ITEMS_TYPE);
  free(items->items);
  sk_arena_fini(&items->texts);
  *items = (struct sk_lua_bulk_items){ 0 };
  return 0;
}

static struct sk_lua_bulk_items *push_items(lua_State *L, int n) {
  struct sk_lua_bulk_items *items = lua_newuserdata(L, sizeof *items);
  *items = (struct sk_lua_bulk_items){ 0 };
  luaL_getmetatable(L, ITEMS_TYPE);
  lua_setmetatable(L, -2);
  items->items = calloc((size_t)n, sizeof *items->items);
  if (items->items == NULL) luaL_error(L, "not enough memory");
  return items;
}

struct sk_lua_bulk_items *sk_lua_bulk_items_at(lua_State *L, int index) {
  struct sk_lua_bulk_items *items = lua_touserdata(L, index);
  if (items == NULL || !lua_getmetatable(L, index)) return NULL;
  luaL_getmetatable(L, ITEMS_TYPE);
  bool is_items = lua_rawequal(L, -1, -2) && items->items;
  lua_pop(L, 2);
  return is_items ? items : NULL;
}

/* bulk_items(list, first, facts, handles, meta, args_bytes_max, jobs_max) -> items, next: see enqueue_bulk.h */
static int core_bulk_items(lua_State *L) {
  struct call c;
  lua_settop(L, ITEMS_AT - 1);
  begin(L, &c);
  int jobs_max = luaL_checkint(L, ARG_JOBS_MAX);
  luaL_argcheck(L, jobs_max > 0, ARG_JOBS_MAX, "expected 1 or more");
  c.items = push_items(L, jobs_max);
  c.work = push_work(L);
  int next = add_jobs(&c, 0);
  if (c.work->args.failed) return luaL_error(L, "not enough memory");
  work_fini(c.work);
  lua_settop(L, ITEMS_AT);
  lua_pushinteger(L, next);
  return 2;
}

/* bulk_scan(list, first, facts, args_bytes_max, jobs_max, bytes_max) -> next: see enqueue_bulk.h */
static int core_bulk_scan(lua_State *L) {
  struct work nothing = { 0 };
  struct call c = { .L = L, .anchors = SCAN_ANCHORS_AT, .work = &nothing, .scans = true };
  lua_settop(L, SCAN_ARGS_N);
  luaL_checktype(L, ARG_LIST, LUA_TTABLE);
  luaL_checktype(L, ARG_FACTS, LUA_TTABLE);
  int first = luaL_checkint(L, ARG_FIRST), jobs_max = luaL_checkint(L, SCAN_JOBS_MAX), n = (int)lua_objlen(L, ARG_LIST);
  c.args_bytes_max = (size_t)luaL_optinteger(L, SCAN_ARGS_MAX, SK_ARGS_BYTES_MAX);
  size_t bytes_max = (size_t)luaL_checkinteger(L, SCAN_BYTES_MAX), bytes = 0;
  int next = first;
  lua_settop(L, SCAN_ANCHORS_AT + ANCHORS_N - 1);
  for (bool good = true; good && next <= n && next - first < jobs_max; next += good) {
    struct plain p;
    lua_rawgeti(L, ARG_LIST, next);
    good = read_signature(&c, &p);
    lua_settop(L, SCAN_ANCHORS_AT + ANCHORS_N - 1);
    bytes += RECORD_BYTES_MAX + c.args_n + p.job.task.n + p.job.queue.n;
    good = good && (next == first || bytes <= bytes_max);
  }
  lua_pushinteger(L, next);
  return 1;
}

/* Pushes fn with an id generator of its own as its upvalue; gc frees the userdata of that type, in which it keeps its
 * memory. */
static void push(lua_State *L, lua_CFunction fn, const char *type, lua_CFunction gc) {
  luaL_newmetatable(L, type);
  lua_pushcfunction(L, gc);
  lua_setfield(L, -2, "__gc");
  lua_pop(L, 1);
  struct sk_idgen *ids = lua_newuserdata(L, sizeof *ids);
  *ids = (struct sk_idgen){ 0 };
  lua_pushcclosure(L, fn, 1);
}

void sk_lua_bulk_payload_push(lua_State *L) { push(L, core_bulk_payload, WORK_TYPE, work_gc); }
void sk_lua_bulk_items_push(lua_State *L) { push(L, core_bulk_items, ITEMS_TYPE, items_gc); }
void sk_lua_bulk_scan_push(lua_State *L) { lua_pushcfunction(L, core_bulk_scan); }
