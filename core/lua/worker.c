/* worker.c - see worker.h.  jobs.c runs the jobs; lua/skein is the module that scripts use. */
#include "lua/worker.h"

#include <fcntl.h>
#include <lauxlib.h>
#include <luajit.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <unistd.h>

#include "base/fds.h"
#include "base/limits.h"
#include "base/log.h"
#include "lua/runner.h"

/* Three declarations copied from luv.h, which would include uv.h; only core/io includes that. */
struct uv_loop_s;
typedef int (*luv_callback)(lua_State *L, int nargs, int nresults, int flags);
extern int luaopen_luv(lua_State *L);
extern void luv_set_loop(lua_State *L, struct uv_loop_s *loop);
extern void luv_set_callback(lua_State *L, luv_callback call);

enum { HALF_AGAIN_MS = 200 };

/* -- frames from the core ------------------------------------------------------------------------------------------ */

struct reply {
  struct sk_thread *thread;
  enum sk_code code;
  struct sk_str answer;
};

static int reply_step(lua_State *L) {
  const struct reply *reply = lua_touserdata(L, 1);
  lua_pushnil(L);
  lua_pushstring(L, sk_code_name(reply->code));
  lua_pushlstring(L, reply->answer.p, reply->answer.n);
  lua_xmove(L, reply->thread->co, 3);
  return 0;
}

static bool on_reply(struct sk_runner *r, struct sk_reader *f) {
  uint64_t request = sk_read_u64(f);
  unsigned code = sk_read_u8(f);
  struct sk_str answer = sk_str(f->p, (size_t)(f->end - f->p));
  if (code != SK_OK) answer = sk_read_str(f);
  if (f->bad || code > SK_ESYS) return false;
  struct sk_thread *t;
  HASH_FIND(by_request, r->requests, &request, sizeof request, t);
  if (t == NULL) return true; /* the thread that sent the request has ended */
  sk_thread_unwait(t);
  sk_runner_protect(r, reply_step, &(struct reply){ t, (enum sk_code)code, answer });
  sk_jobs_resume(t, 3);
  return true;
}

static bool on_cancel(struct sk_runner *r, struct sk_reader *f) {
  uint32_t number = sk_read_u32(f);
  uint32_t generation = sk_read_u32(f);
  unsigned kind = sk_read_u8(f);
  if (!sk_reader_done(f) || number >= r->slot_page->slots_n || kind >= SK_KINDS) return false;
  struct sk_slot *slot = &r->slots[number];
  if (slot->active && slot->generation == generation) sk_jobs_stop(slot, (enum sk_error_kind)kind);
  return true;
}

static bool on_frame(struct sk_runner *r, const struct sk_frame *frame) {
  struct sk_reader f = sk_reader(frame->payload);
  switch (frame->type) {
  case SK_FRAME_JOB: sk_jobs_take(r, &f); return !f.bad;
  case SK_FRAME_REPLY: return on_reply(r, &f);
  case SK_FRAME_CANCEL: return on_cancel(r, &f);
  case SK_FRAME_DRAIN: sk_jobs_drain(r); return true;
  case SK_FRAME_TRACE: sk_jobs_trace(r); return true;
  case SK_FRAME_HELLO:
  case SK_FRAME_REFUSE:
  case SK_FRAME_DONE:
  case SK_FRAME_FAIL:
  case SK_FRAME_PROGRESS:
  case SK_FRAME_REQUEST:
  case SK_FRAME_LOG:
  case SK_FRAME_JOB_LOG: break;
  }
  return false;
}

/* Ends the worker if the rest of a frame does not arrive.  A script has then read from the worker's pipe, so the bytes
 * that follow are no frames.  The first expiry is not enough: a job may have held the CPU.  Bytes that arrived
 * meanwhile are read before the second expiry. */
static void on_half(void *ctx) {
  struct sk_runner *r = ctx;
  int64_t for_ms = sk_pipe_half_for_ms(r->pipe);
  bool late = for_ms > SK_HALF_FRAME_MS;
  if (late && r->half_late) {
    fprintf(stderr,
            "skein worker: the rest of a frame from the core has not come: has a script read from descriptor %d?\n",
            SK_WORKER_PIPE_FD);
    _exit(70);
  }
  r->half_late = late;
  if (for_ms > 0) sk_timer_start(r->half_timer, late ? HALF_AGAIN_MS : SK_HALF_FRAME_MS - for_ms + 1);
}

static size_t on_bytes(void *ctx, struct sk_str in) {
  struct sk_runner *r = ctx;
  size_t all = in.n;
  struct sk_frame frame;
  struct sk_err err;
  enum sk_code code;
  while ((code = sk_wire_next(&in, &frame, &err)) == SK_OK) {
    if (on_frame(r, &frame)) continue;
    fprintf(stderr, "skein worker: the core sent a frame of type %d that makes no sense\n", (int)frame.type);
    _exit(70);
  }
  if (code == SK_ECORRUPT) {
    fprintf(stderr, "skein worker: %s\n", err.message);
    _exit(70);
  }
  if (in.n > 0 && !sk_timer_active(r->half_timer)) sk_timer_start(r->half_timer, SK_HALF_FRAME_MS);
  sk_jobs_follow_up(r);
  atomic_store_explicit(&r->slot_page->heap_bytes, sk_vm_heap_bytes(r->vm), memory_order_relaxed);
  return all - in.n;
}

/* Ends the worker when the core is gone: no job can be settled, and another engine runs the jobs again. */
static void on_closed(void *ctx, const struct sk_err *err) {
  (void)ctx, (void)err;
  _exit(0);
}

/* -- luv callbacks: an error in one is logged, where luv would end the process ------------------------------------- */

static int call_from_uv(lua_State *L, int nargs, int nresults, int flags) {
  (void)flags;
  int base = lua_gettop(L) - nargs;
  struct sk_err err;
  struct sk_runner *r = sk_runner_of(L);
  bool capped = sk_vm_cap(r->vm, true);
  r->depth++;
  enum sk_code code = sk_vm_call(L, nargs, nresults, &err);
  sk_runner_leave_child();
  r->depth--;
  sk_vm_cap(r->vm, false);
  if (r->hooked) sk_runner_unhook(r);
  sk_jobs_follow_up(r);
  sk_vm_cap(r->vm, capped);
  if (code != SK_OK) {
    char text[sizeof err.message + 64];
    int n = snprintf(text, sizeof text, "error in a uv callback: %s", err.message);
    sk_runner_log(r, SK_LOG_ERROR, NULL, sk_str(text, (size_t)n));
    return -1;
  }
  return nresults == LUA_MULTRET ? lua_gettop(L) - base + 1 : nresults;
}

/* -- life ---------------------------------------------------------------------------------------------------------- */

static void ignore(int signum) { (void)signum; }

/* Ignores the signals of the terminal and the service manager, since the core receives them and tells its workers.
 * Ignores SIGPIPE, so that a write to a closed pipe returns an error.  Uses a handler and not SIG_IGN: programs that
 * scripts start do not inherit a handler. */
static void keep_signals_away(void) {
  static const int signals[] = { SIGINT, SIGTERM, SIGHUP, SIGQUIT, SIGTSTP, SIGTTIN, SIGUSR1, SIGPIPE };
  struct sigaction sa = { .sa_handler = ignore, .sa_flags = SA_RESTART };
  for (size_t i = 0; i < sizeof signals / sizeof *signals; i++) sigaction(signals[i], &sa, NULL);
}

static void die_with_parent(int parent_pid) {
  prctl(PR_SET_PDEATHSIG, SIGKILL);
  if (getppid() != parent_pid) _exit(0); /* the parent died before prctl took effect */
}

static int open_modules(lua_State *L) {
  struct sk_runner *r = lua_touserdata(L, 1);
  lua_pushcfunction(L, sk_runtime_open);
  lua_pushlightuserdata(L, r);
  lua_call(L, 1, 0);
  luv_set_loop(L, sk_loop_uv(r->loop));
  luv_set_callback(L, call_from_uv);
  lua_getfield(L, LUA_REGISTRYINDEX, "_LOADED");
  lua_pushcfunction(L, luaopen_luv);
  lua_call(L, 0, 1);
  lua_setfield(L, -2, "luv");
  return 0;
}

/* Calls the function `name` of skein.worker with dir as its argument. */
static enum sk_code call_worker(lua_State *L, const char *name, const char *dir, int results, struct sk_err *err) {
  lua_getglobal(L, "require");
  lua_pushliteral(L, "skein.worker");
  enum sk_code code = sk_vm_call(L, 1, 1, err);
  if (code != SK_OK) return code;
  lua_getfield(L, -1, name);
  lua_remove(L, -2);
  lua_pushstring(L, dir);
  return sk_vm_call(L, 1, results, err);
}

static void refuse(struct sk_runner *r, struct sk_str message) {
  struct sk_buf *out = sk_pipe_out(r->pipe);
  size_t at = sk_wire_begin(out, SK_FRAME_REFUSE);
  sk_wire_add_str(out, message);
  sk_wire_end(out, at);
}

static enum sk_code make(struct sk_runner *r, const struct sk_worker_options *o, struct sk_err *err) {
  sk_list_init(&r->pending);
  sk_list_init(&r->pool);
  sk_list_init(&r->ended);
  sk_list_init(&r->woken);
  sk_list_init(&r->unwanted);
  r->concurrency = o->concurrency;
  r->unhook_ref = LUA_NOREF;
  if ((r->loop = sk_loop_new(err)) == NULL) return err->code;
  if ((r->vm = sk_vm_new(o->memory_max, err)) == NULL) return err->code;
  r->L = sk_vm_lua(r->vm);
  enum sk_code code = sk_slot_page_map(SK_WORKER_SLOT_PAGE_FD, &r->slot_page, err);
  if (code != SK_OK) return code;
  struct sk_pipe_events events = { .bytes = on_bytes, .closed = on_closed, .ctx = r };
  if ((r->pipe = sk_pipe_new(r->loop, SK_WORKER_PIPE_FD, &events, err)) == NULL) return err->code;
  r->timer = sk_timer_new(r->loop, sk_jobs_on_timer, r);
  r->half_timer = sk_timer_new(r->loop, on_half, r);
  r->slots = calloc(r->slot_page->slots_n, sizeof *r->slots);
  if (r->timer == NULL || r->half_timer == NULL || r->slots == NULL) return sk_err_set(err, SK_ENOMEM, "out of memory");
  for (uint32_t i = 0; i < r->slot_page->slots_n; i++) {
    r->slots[i].runner = r;
    r->slots[i].number = i;
    r->slots[i].job_ref = LUA_NOREF;
    sk_list_init(&r->slots[i].node);
    sk_list_init(&r->slots[i].threads);
  }
  lua_pushcfunction(r->L, open_modules);
  lua_pushlightuserdata(r->L, r);
  return sk_vm_call(r->L, 1, 0, err);
}

int sk_worker_main(const struct sk_worker_options *options) {
  die_with_parent(options->parent_pid);
  keep_signals_away();
  sk_runner_watch_forks();
  sk_fds_close_on_exec();
  struct sk_runner *r = calloc(1, sizeof *r);
  struct sk_err err;
  if (r == NULL || make(r, options, &err) != SK_OK) {
    fprintf(stderr, "skein worker: %s\n", r ? err.message : "out of memory");
    return 70;
  }
  sk_vm_cap(r->vm, true);
  enum sk_code code = call_worker(r->L, "start", options->dir, 1, &err);
  sk_vm_cap(r->vm, false);
  if (code != SK_OK) {
    refuse(r, sk_str_c(err.message));
  } else if (lua_isstring(r->L, -1)) {
    refuse(r, sk_vm_error_text(r->L, -1));
    code = SK_EINVAL;
  }
  if (code != SK_OK) {
    sk_pipe_flush(r->pipe);
    return 78;
  }
  lua_settop(r->L, 0);
  sk_loop_run(r->loop);
  sk_pipe_flush(r->pipe);
  while (sk_pipe_pending(r->pipe) > 0 && sk_loop_turn(r->loop, true)) continue;
  return 0;
}

const char *sk_worker_lua_version(void) { return LUAJIT_VERSION; }
