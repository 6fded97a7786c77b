/* module.c - the C module `skein.core`: the C functions for lua/skein, in the worker and in any LuaJIT program.
 *
 *   pack(fmt, ...) -> bytes            unpack(fmt, bytes, offset) -> values..., next offset
 *       letters of fmt: b u8, i u32, l i64 (a Lua number), s str, encoded as in wire.h
 *   record(table) -> bytes             job{record} : see RECORD_FIELDS
 *   item(table, due_ms, delay_ms, args_bytes_max, args...) -> bytes, id
 *       encodes one job of an ENQUEUE request (engine/request.h).  The table is as for record, without args or with
 *       args as JSON; item makes a missing id and enqueued_ms
 *   bulk_payload, bulk_items, bulk_scan    many plain signatures as one request: see enqueue_bulk.h
 *   OP, KIND, STATE, LIMITS ...: the numbers that C and Lua share, see constants.h
 *   id() -> new job id                 now() -> seconds since 1970, with a fraction
 *   encode(value, what) -> JSON        encode_args(...) -> JSON array        decode(text) -> value
 *   digest(bytes) -> SHA-256 in hex    null, array(t)
 *   nearest(word, candidates) -> candidate or nil    "did you mean", see logic/nearest.h; candidates: a sorted list
 *   client(url [, durability]) -> client   client:call(operation, payload) -> code, answer   client:close()
 *       client:call_many(operation, payloads) -> codes, answers: see client.h
 *   testing(now_ms) -> kit, for skein.testing: see testing.h
 *
 * A function that fails returns nil, message, code name. */
#include <inttypes.h>
#include <lauxlib.h>
#include <limits.h>
#include <math.h>
#include <openssl/evp.h>
#include <string.h>

#include "base/buf.h"
#include "base/clock.h"
#include "base/id.h"
#include "base/limits.h"
#include "base/utf8.h"
#include "logic/backoff.h"
#include "logic/job_check.h"
#include "logic/name.h"
#include "logic/nearest.h"
#include "logic/record.h"
#include "logic/wire.h"
#include "lua/client.h"
#include "lua/constants.h"
#include "lua/enqueue_bulk.h"
#include "lua/json.h"
#include "lua/testing.h"
#include "lua/vm.h"

/* Metatable of a buffer in a userdata, which Lua frees even if an error is raised while it is filled. */
static const char BUF_TYPE[] = "skein.buf";

static struct sk_buf *push_buf(lua_State *L) {
  struct sk_buf *b = lua_newuserdata(L, sizeof *b);
  *b = (struct sk_buf){ 0 };
  luaL_getmetatable(L, BUF_TYPE);
  lua_setmetatable(L, -2);
  return b;
}

static int buf_gc(lua_State *L) {
  sk_buf_fini(luaL_checkudata(L, 1, BUF_TYPE));
  return 0;
}

static int fail(lua_State *L, const struct sk_err *err) {
  lua_pushnil(L);
  lua_pushstring(L, err->message);
  lua_pushstring(L, sk_code_name(err->code));
  return 3;
}

static int give(lua_State *L, struct sk_buf *b) {
  if (b->failed) return luaL_error(L, "not enough memory");
  lua_pushlstring(L, b->p ? b->p : "", b->n);
  sk_buf_fini(b);
  return 1;
}

/* -- numbers and strings of frames --------------------------------------------------------------------------------- */

/* Whether v can be packed as `letter`; false for NaN. */
static bool fits(char letter, lua_Number v) {
  switch (letter) {
  case 'b': return v >= 0 && v <= UINT8_MAX;
  case 'i': return v >= INT32_MIN && v <= UINT32_MAX;
  default: return v >= -9007199254740992.0 && v <= 9007199254740992.0;
  }
}

static int core_pack(lua_State *L) {
  const char *fmt = luaL_checkstring(L, 1);
  int top = lua_gettop(L);
  struct sk_buf *b = push_buf(L);
  for (int arg = 2; *fmt; fmt++, arg++) {
    if (arg > top) return luaL_error(L, "pack: value %d is missing", arg - 1);
    if (*fmt == 's') {
      size_t n;
      const char *p = luaL_checklstring(L, arg, &n);
      sk_wire_add_str(b, sk_str(p, n));
      continue;
    }
    lua_Number v = luaL_checknumber(L, arg);
    if (!fits(*fmt, v)) return luaL_error(L, "pack: value %d is out of range", arg - 1);
    switch (*fmt) {
    case 'b': sk_buf_add_byte(b, (char)(unsigned char)v); break;
    case 'i': sk_buf_add_u32(b, (uint32_t)(int64_t)v); break;
    case 'l': sk_wire_add_i64(b, (int64_t)v); break;
    default: return luaL_error(L, "pack: unknown format '%c'", *fmt);
    }
  }
  return give(L, b);
}

static int core_unpack(lua_State *L) {
  const char *fmt = luaL_checkstring(L, 1);
  size_t n;
  const char *p = luaL_checklstring(L, 2, &n);
  size_t offset = (size_t)luaL_optinteger(L, 3, 1) - 1;
  lua_settop(L, 3);
  if (offset > n) return luaL_error(L, "unpack: offset is past the end");
  struct sk_reader r = sk_reader(sk_str(p + offset, n - offset));
  luaL_checkstack(L, (int)strlen(fmt) + 1, "unpack");
  for (; *fmt; fmt++) {
    switch (*fmt) {
    case 'b': lua_pushinteger(L, sk_read_u8(&r)); break;
    case 'i': lua_pushinteger(L, (int32_t)sk_read_u32(&r)); break;
    case 'l': lua_pushnumber(L, (lua_Number)sk_read_i64(&r)); break;
    case 's': {
      struct sk_str s = sk_read_str(&r);
      lua_pushlstring(L, s.p ? s.p : "", s.n);
      break;
    }
    default: return luaL_error(L, "unpack: unknown format '%c'", *fmt);
    }
    if (r.bad) return luaL_error(L, "unpack: the bytes end too early");
  }
  lua_pushinteger(L, (lua_Integer)(r.p - p) + 1);
  return lua_gettop(L) - 3;
}

/* -- records ------------------------------------------------------------------------------------------------------- */

enum type { TEXT, INT64, INT32, KIND };
struct field {
  const char *name;
  enum type type;
  size_t offset;
};
#define F(type_, name_)                                                                                                \
  { #name_, type_, offsetof(struct sk_job, name_) }
/* The fields of a record.  Times are in ms, as in the record. */
static const struct field RECORD_FIELDS[] = {
  F(TEXT, id),           F(TEXT, task),         F(TEXT, queue),     F(TEXT, args),        F(TEXT, meta),
  F(INT32, priority),    F(INT64, enqueued_ms), F(INT64, retries),  F(INT64, timeout_ms), F(INT64, keep_ms),
  F(INT64, expires_ms),  F(INT32, keep_dead),   F(TEXT, backoff),   F(TEXT, retry_queue), F(TEXT, on_success),
  F(TEXT, on_error),     F(INT32, immutable),   F(INT64, attempts), F(INT64, crashes),    F(INT64, unknowns),
  F(INT64, recoveries),  F(KIND, error_kind),   F(TEXT, error),     F(TEXT, traceback),   F(INT64, started_ms),
  F(INT64, finished_ms), F(TEXT, result),       F(TEXT, unique),    F(TEXT, limit),       F(TEXT, history),
  F(TEXT, log),
};
#undef F
enum { RECORD_FIELDS_N = sizeof RECORD_FIELDS / sizeof *RECORD_FIELDS };

static void set_field(lua_State *L, struct sk_job *job, const struct field *f) {
  char *at = (char *)job + f->offset;
  if (f->type == TEXT) {
    struct sk_str *s = (struct sk_str *)(void *)at;
    if (!lua_isstring(L, -1)) luaL_error(L, "record.%s: a string is expected", f->name);
    s->p = lua_tolstring(L, -1, &s->n);
    return;
  }
  lua_Number number = lua_tonumber(L, -1);
  lua_Number limit = f->type == INT64 ? 9223372036854775808.0 : 2147483648.0;
  if (!lua_isnumber(L, -1) || !(number >= -limit && number < limit))
    luaL_error(L, "record.%s: a whole number is expected", f->name);
  int64_t v = (int64_t)number;
  if (f->type == INT64)
    memcpy(at, &v, sizeof v);
  else if (f->type == INT32)
    memcpy(at, &(int32_t){ (int32_t)v }, sizeof(int32_t));
}

/* record(table) -> bytes; the strings stay alive on the stack while they are encoded. */
static int core_record(lua_State *L) {
  luaL_checktype(L, 1, LUA_TTABLE);
  lua_settop(L, 1);
  luaL_checkstack(L, RECORD_FIELDS_N + 4, "record");
  struct sk_job job;
  sk_job_init(&job);
  struct sk_buf *b = push_buf(L);
  for (size_t i = 0; i < RECORD_FIELDS_N; i++) {
    lua_getfield(L, 1, RECORD_FIELDS[i].name);
    if (lua_isnil(L, -1))
      lua_pop(L, 1);
    else
      set_field(L, &job, &RECORD_FIELDS[i]);
  }
  sk_record_encode(&job, b);
  return give(L, b);
}

static int64_t number_in(const struct sk_job *job, const struct field *f) {
  const char *at = (const char *)job + f->offset;
  int64_t v64;
  int32_t v32;
  switch (f->type) {
  case INT64: memcpy(&v64, at, sizeof v64); return v64;
  case INT32: memcpy(&v32, at, sizeof v32); return v32;
  case KIND:
  case TEXT: break;
  }
  return 0;
}

/* job(bytes) -> table with the fields that are set; error_kind as its name */
static int core_job(lua_State *L) {
  size_t n;
  const char *p = luaL_checklstring(L, 1, &n);
  struct sk_job job;
  struct sk_err err;
  if (sk_record_decode(sk_str(p, n), &job, &err) != SK_OK) return fail(L, &err);
  lua_createtable(L, 0, 16);
  for (size_t i = 0; i < RECORD_FIELDS_N; i++) {
    const struct field *f = &RECORD_FIELDS[i];
    if (f->type == TEXT) {
      const struct sk_str *s = (const struct sk_str *)(const void *)((const char *)&job + f->offset);
      if (s->n == 0) continue;
      lua_pushlstring(L, s->p, s->n);
    } else if (f->type == KIND) {
      if (job.error_kind == SK_KIND_NONE) continue;
      lua_pushstring(L, sk_error_kind_name(job.error_kind));
    } else {
      int64_t v = number_in(&job, f);
      if (v == SK_UNSET) continue;
      lua_pushnumber(L, (lua_Number)v);
    }
    lua_setfield(L, -2, f->name);
  }
  return 1;
}

/* The buffers of item(), kept between calls so that a job costs no allocation in C.  A finalizer that runs during a
 * call may call item() again; that inner call uses a maker of its own. */
struct item_maker {
  struct sk_idgen ids;
  bool busy; /* a call uses it; stays set after an out-of-memory error, and later calls then use their own makers */
  struct sk_buf args, record, item;
};
enum { ITEM_KEPT_BYTES_MAX = 64 * 1024 }; /* largest memory that each buffer keeps between two items */
static const char ITEM_MAKER_TYPE[] = "skein.item";

static int item_maker_gc(lua_State *L) {
  struct item_maker *m = luaL_checkudata(L, 1, ITEM_MAKER_TYPE);
  sk_buf_fini(&m->args);
  sk_buf_fini(&m->record);
  sk_buf_fini(&m->item);
  return 0;
}

static void empty(struct sk_buf *b) {
  if (b->cap > ITEM_KEPT_BYTES_MAX) sk_buf_fini(b);
  sk_buf_clear(b);
}

/* Sets the fields of job from the table at index 1, which keeps the strings alive.  The second upvalue is a table
 * field name -> number. */
static void set_fields(lua_State *L, struct sk_job *job) {
  lua_pushnil(L);
  while (lua_next(L, 1)) {
    lua_pushvalue(L, -2);
    lua_rawget(L, lua_upvalueindex(2));
    size_t i = (size_t)lua_tointeger(L, -1);
    lua_pop(L, 1);
    if (i > 0) {
      const struct field *f = &RECORD_FIELDS[i - 1];
      if (f->type == TEXT && lua_type(L, -1) != LUA_TSTRING) luaL_error(L, "record.%s: a string is expected", f->name);
      set_field(L, job, f);
    }
    lua_pop(L, 1);
  }
}

static struct item_maker *push_maker(lua_State *L) {
  struct item_maker *m = lua_newuserdata(L, sizeof *m);
  *m = (struct item_maker){ 0 };
  luaL_newmetatable(L, ITEM_MAKER_TYPE);
  lua_pushcfunction(L, item_maker_gc);
  lua_setfield(L, -2, "__gc");
  lua_setmetatable(L, -2);
  return m;
}

/* Encodes the args at 5..last, and then the item of the job.  Returns the number of values pushed. */
static int make_item(lua_State *L, struct item_maker *m, struct sk_idgen *ids, struct sk_job *job, int last) {
  size_t args_max = (size_t)luaL_optinteger(L, 4, SK_ARGS_BYTES_MAX);
  struct sk_err err;
  char id[SK_ID_BYTES + 1];
  empty(&m->args), empty(&m->record), empty(&m->item);
  bool encoded = job->args.n > 0; /* by the caller; the JSON may be malformed */
  if (!encoded) {
    if (sk_lua_json_encode_args(L, 5, last, &m->args, &err) != SK_OK) return fail(L, &err);
    job->args = sk_buf_str(&m->args);
  }
  int64_t now_ms = sk_clock_wall_ms();
  if (job->enqueued_ms == 0) job->enqueued_ms = now_ms;
  if (job->id.n == 0) {
    sk_id_next(ids, now_ms, id);
    job->id = sk_str(id, SK_ID_BYTES);
  }
  bool simple = !encoded && job->meta.n == 0 && job->on_success.n == 0 && job->on_error.n == 0;
  if ((simple ? sk_job_check_shape : sk_job_check)(job, args_max, &err) != SK_OK) return fail(L, &err);
  sk_record_encode(job, &m->record);
  sk_wire_add_str(&m->item, sk_buf_str(&m->record));
  sk_wire_add_i64(&m->item, (int64_t)lua_tonumber(L, 2));
  sk_wire_add_i64(&m->item, (int64_t)lua_tonumber(L, 3));
  if (m->args.failed || m->record.failed || m->item.failed) return luaL_error(L, "not enough memory");
  lua_pushlstring(L, m->item.p, m->item.n);
  lua_pushlstring(L, job->id.p, job->id.n);
  return 2;
}

/* item(table, due_ms, delay_ms, args_bytes_max, args...) -> bytes, id | nil, message, code if the store would refuse
 * the job */
static int core_item(lua_State *L) {
  struct item_maker *kept = lua_touserdata(L, lua_upvalueindex(1));
  luaL_checktype(L, 1, LUA_TTABLE);
  luaL_checknumber(L, 2), luaL_checknumber(L, 3);
  int last = lua_gettop(L);
  if (last - 4 > SK_ARGS_COUNT_MAX) {
    struct sk_err err;
    sk_err_set(&err, SK_ELIMIT, "args: %d values, the limit is %d", last - 4, SK_ARGS_COUNT_MAX);
    return fail(L, &err);
  }
  struct sk_job job;
  sk_job_init(&job);
  set_fields(L, &job);
  struct item_maker *m = kept->busy ? push_maker(L) : kept;
  m->busy = true;
  int n = make_item(L, m, &kept->ids, &job, last);
  m->busy = false;
  return n;
}

static void push_item(lua_State *L) {
  push_maker(L);
  lua_createtable(L, 0, RECORD_FIELDS_N);
  for (size_t i = 0; i < RECORD_FIELDS_N; i++) {
    lua_pushinteger(L, (lua_Integer)i + 1);
    lua_setfield(L, -2, RECORD_FIELDS[i].name);
  }
  lua_pushcclosure(L, core_item, 2);
}

/* backoff_check(text) -> true | nil, message */
static int core_backoff_check(lua_State *L) {
  size_t n;
  const char *p = luaL_checklstring(L, 1, &n);
  struct sk_err err;
  if (sk_backoff_check(sk_str(p, n), &err) != SK_OK) return fail(L, &err);
  lua_pushboolean(L, 1);
  return 1;
}

/* name_check(what, name) -> true | nil, message */
static int core_name_check(lua_State *L) {
  size_t n;
  const char *what = luaL_checkstring(L, 1);
  const char *p = luaL_checklstring(L, 2, &n);
  struct sk_err err;
  if (sk_name_check(what, sk_str(p, n), &err) != SK_OK) return fail(L, &err);
  lua_pushboolean(L, 1);
  return 1;
}

/* -- values -------------------------------------------------------------------------------------------------------- */

static int core_encode(lua_State *L) {
  luaL_checkany(L, 1);
  const char *what = luaL_optstring(L, 2, "value");
  lua_settop(L, 2);
  struct sk_buf *b = push_buf(L);
  struct sk_err err;
  return sk_lua_json_encode(L, 1, what, b, &err) == SK_OK ? give(L, b) : fail(L, &err);
}

static int core_encode_args(lua_State *L) {
  int last = lua_gettop(L);
  struct sk_err err;
  if (last > SK_ARGS_COUNT_MAX) {
    sk_err_set(&err, SK_ELIMIT, "args: %d values, the limit is %d", last, SK_ARGS_COUNT_MAX);
    return fail(L, &err);
  }
  struct sk_buf *b = push_buf(L);
  return sk_lua_json_encode_args(L, 1, last, b, &err) == SK_OK ? give(L, b) : fail(L, &err);
}

static int core_decode(lua_State *L) {
  size_t n;
  const char *p = luaL_checklstring(L, 1, &n);
  struct sk_err err;
  return sk_lua_json_decode(L, sk_str(p, n), &err) == SK_OK ? 1 : fail(L, &err);
}

/* digest(bytes) -> SHA-256 in hex */
static int core_digest(lua_State *L) {
  size_t n;
  const char *p = luaL_checklstring(L, 1, &n);
  unsigned char digest[EVP_MAX_MD_SIZE];
  unsigned digest_n = 0;
  if (EVP_Digest(p, n, digest, &digest_n, EVP_sha256(), NULL) != 1)
    return luaL_error(L, "digest: this OpenSSL has no SHA-256");
  char hex[2 * EVP_MAX_MD_SIZE];
  for (unsigned i = 0; i < digest_n; i++) {
    hex[2 * i] = "0123456789abcdef"[digest[i] >> 4];
    hex[2 * i + 1] = "0123456789abcdef"[digest[i] & 15];
  }
  lua_pushlstring(L, hex, (size_t)2 * digest_n);
  return 1;
}

/* clean(text) -> text fit for a terminal */
static int core_clean(lua_State *L) {
  size_t n;
  const char *p = luaL_checklstring(L, 1, &n);
  lua_settop(L, 1);
  struct sk_buf *b = push_buf(L);
  sk_utf8_add_clean(b, sk_str(p, n), true);
  return give(L, b);
}

/* nearest(word, candidates) -> the nearest candidate, the first of several that are equally near; or nil */
static int core_nearest(lua_State *L) {
  struct sk_str word;
  word.p = luaL_checklstring(L, 1, &word.n);
  luaL_checktype(L, 2, LUA_TTABLE);
  struct sk_nearest nearest;
  sk_nearest_init(&nearest, word);
  int n = (int)lua_objlen(L, 2);
  for (int i = 1; i <= n; i++) {
    lua_rawgeti(L, 2, i);
    if (lua_type(L, -1) != LUA_TSTRING) return luaL_error(L, "nearest: candidate %d is not a string", i);
    struct sk_str candidate;
    candidate.p = lua_tolstring(L, -1, &candidate.n);
    sk_nearest_try(&nearest, candidate); /* the table keeps the string alive */
    lua_pop(L, 1);
  }
  if (nearest.name.n == 0) return 0;
  lua_pushlstring(L, nearest.name.p, nearest.name.n);
  return 1;
}

static int core_id(lua_State *L) {
  struct sk_idgen *gen = lua_touserdata(L, lua_upvalueindex(1));
  char id[SK_ID_BYTES + 1];
  sk_id_next(gen, sk_clock_wall_ms(), id);
  lua_pushlstring(L, id, SK_ID_BYTES);
  return 1;
}

static int core_now(lua_State *L) {
  lua_pushnumber(L, (lua_Number)sk_clock_wall_us() / 1e6);
  return 1;
}

static const luaL_Reg FUNCTIONS[] = {
  { "pack", core_pack },
  { "unpack", core_unpack },
  { "record", core_record },
  { "job", core_job },
  { "name_check", core_name_check },
  { "encode", core_encode },
  { "encode_args", core_encode_args },
  { "decode", core_decode },
  { "now", core_now },
  { "array", sk_lua_json_array },
  { "backoff_check", core_backoff_check },
  { "clean", core_clean },
  { "digest", core_digest },
  { "nearest", core_nearest },
  { "client", sk_lua_client_open },
  { "testing", sk_lua_testing_open },
  { NULL, NULL },
};

__attribute__((visibility("default"))) int luaopen_skein_core(lua_State *L);

int luaopen_skein_core(lua_State *L) {
  sk_lua_json_open(L);
  sk_lua_client_register(L);
  sk_lua_testing_register(L);
  luaL_newmetatable(L, BUF_TYPE);
  lua_pushcfunction(L, buf_gc);
  lua_setfield(L, -2, "__gc");
  lua_pop(L, 1);
  lua_newtable(L);
  for (const luaL_Reg *f = FUNCTIONS; f->name; f++) {
    lua_pushcfunction(L, f->func);
    lua_setfield(L, -2, f->name);
  }
  struct sk_idgen *gen = lua_newuserdata(L, sizeof *gen);
  *gen = (struct sk_idgen){ 0 };
  lua_pushcclosure(L, core_id, 1);
  lua_setfield(L, -2, "id");
  push_item(L);
  lua_setfield(L, -2, "item");
  sk_lua_bulk_payload_push(L);
  lua_setfield(L, -2, "bulk_payload");
  sk_lua_bulk_items_push(L);
  lua_setfield(L, -2, "bulk_items");
  sk_lua_bulk_scan_push(L);
  lua_setfield(L, -2, "bulk_scan");
  sk_lua_json_push_null(L);
  lua_setfield(L, -2, "null");
  sk_lua_constants_add(L);
  return 1;
}
