/* enqueue_command.c - see enqueue_command.h.  Passes the job to Lua as a table, and reads back five values. */
#include "lua/enqueue_command.h"

#include <lauxlib.h>

#include "logic/job.h"
#include "lua/vm.h"

enum { RESULTS_N = 5 }; /* code, message, id, queue, note */

static void set_text(lua_State *L, const char *key, struct sk_str s) {
  if (s.n == 0) return;
  lua_pushlstring(L, s.p, s.n);
  lua_setfield(L, -2, key);
}

/* Sets the field unless v is `unset`. */
static void set_number(lua_State *L, const char *key, int64_t v, int64_t unset) {
  if (v == unset) return;
  lua_pushnumber(L, (lua_Number)v);
  lua_setfield(L, -2, key);
}

/* lua_CFunction(job) -> the results: runs under protection. */
static int run(lua_State *L) {
  const struct sk_lua_enqueue *job = lua_touserdata(L, 1);
  lua_getglobal(L, "require");
  lua_pushliteral(L, "skein.enqueue_command");
  lua_call(L, 1, 1);
  lua_getfield(L, -1, "run");
  lua_createtable(L, 0, 16);
  set_text(L, "url", job->url);
  set_text(L, "durability", job->durability == SK_DURABLE_NORMAL ? SK_STR_LIT("normal") : SK_STR_LIT("full"));
  lua_pushlightuserdata(L, (void *)(uintptr_t)job->log);
  lua_setfield(L, -2, "log");
  set_number(L, "args_bytes_max", (int64_t)job->args_bytes_max, 0);
  set_text(L, "task", job->task);
  set_text(L, "queue", job->queue);
  set_text(L, "args", job->args);
  set_text(L, "meta", job->meta);
  set_text(L, "unique_key", job->unique_key);
  set_text(L, "limit_key", job->limit_key);
  if (job->priority_given) set_number(L, "priority", job->priority, INT64_MIN);
  set_number(L, "retries", job->retries, SK_UNSET);
  set_number(L, "keep_ms", job->keep_ms, SK_UNSET);
  set_number(L, "due_ms", job->due_ms, 0);
  set_number(L, "delay_ms", job->delay_ms, 0);
  lua_call(L, 1, RESULTS_N);
  return RESULTS_N;
}

static void add_text(lua_State *L, int index, struct sk_buf *out) {
  size_t n;
  const char *p = lua_tolstring(L, index, &n);
  if (p) sk_buf_add(out, p, n);
}

static enum sk_code read_results(lua_State *L, struct sk_lua_enqueued *out, struct sk_err *err) {
  int first = lua_gettop(L) - RESULTS_N + 1;
  lua_Number code = lua_tonumber(L, first);
  out->usage = lua_isnil(L, first);
  add_text(L, first + 2, &out->id);
  add_text(L, first + 3, &out->queue);
  add_text(L, first + 4, &out->note);
  if (out->id.failed || out->queue.failed || out->note.failed) return sk_err_set(err, SK_ENOMEM, "out of memory");
  if (out->usage) code = SK_EINVAL;
  if (code == SK_OK) return SK_OK;
  size_t n = 0;
  const char *message = lua_tolstring(L, first + 1, &n);
  return sk_err_set(err, (enum sk_code)code, "%.*s", (int)n, message ? message : "");
}

enum sk_code sk_lua_enqueue_command(const struct sk_lua_enqueue *job, struct sk_lua_enqueued *out, struct sk_err *err) {
  struct sk_vm *vm = sk_vm_new(0, err);
  if (vm == NULL) return err->code;
  lua_State *L = sk_vm_lua(vm);
  lua_pushcfunction(L, run);
  lua_pushlightuserdata(L, (void *)(uintptr_t)job);
  enum sk_code code = sk_vm_call(L, 1, RESULTS_N, err);
  if (code == SK_OK)
    code = read_results(L, out, err);
  else
    code = err->code = code == SK_ENOMEM ? SK_ENOMEM : SK_ESYS; /* an error in our own Lua */
  sk_vm_free(vm);
  return code;
}

void sk_lua_enqueued_fini(struct sk_lua_enqueued *out) {
  sk_buf_fini(&out->id);
  sk_buf_fini(&out->queue);
  sk_buf_fini(&out->note);
}
