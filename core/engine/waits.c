/* waits.c - see waits.h.  A job that someone waits for is in one of three places:
 *
 *   due ──► asked (the look under way) ──► quiet ──changed, settled──► due          and gone when its last wait is
 */
#include "engine/waits.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#define HASH_NONFATAL_OOM 1 /* an element that found no memory is not in the hash: its hh.tbl is NULL */
#include <uthash.h>

#include "base/list.h"
#include "io/loop.h"
#include "store/store.h"

enum { LOOK_MAX = 256, RETRY_MS = 500 };

struct waited_job {
  struct sk_list node; /* in due or quiet */
  UT_hash_handle hh;
  struct sk_list waits;
  bool asked;
  bool again; /* asked, and something has happened since */
  size_t id_n;
  char id[];
};

struct wait {
  struct sk_list node; /* in job->waits */
  struct sk_waits *ws;
  struct waited_job *job;
  struct sk_timer *timer; /* NULL: for ever */
  bool looked;            /* at least once since it was added */
  bool late;              /* its time is over; the first look is still to come */
  sk_waited_cb cb;
  void *ctx;
};

struct sk_waits {
  struct sk_loop *loop;
  struct sk_store *store;
  void (*idle)(void *ctx);
  void *ctx;
  struct waited_job *jobs; /* by id */
  struct sk_list due, quiet;
  struct sk_timer *retry; /* the store failed */
  bool looking, stopped;
  struct sk_get_op get;
  struct sk_str ids[LOOK_MAX];
  struct waited_job *asked[LOOK_MAX];
};

/* -- answers ---------------------------------------------------------------------------------------------------------------------- */

static void answer(struct wait *w, enum sk_code code, const struct sk_view *view) {
  sk_list_remove(&w->node);
  sk_timer_free(w->timer);
  sk_waited_cb cb = w->cb;
  void *ctx = w->ctx;
  free(w);
  cb(ctx, code, view);
}

static void answer_all(struct waited_job *job, enum sk_code code, const struct sk_view *view) {
  while (!sk_list_empty(&job->waits)) answer(SK_CONTAINER(job->waits.next, struct wait, node), code, view);
}

/* Frees the job when nobody waits for it any more. */
static void let_go(struct sk_waits *ws, struct waited_job *job) {
  if (job->asked || !sk_list_empty(&job->waits)) return;
  sk_list_remove(&job->node);
  HASH_DELETE(hh, ws->jobs, job);
  free(job);
}

static void on_timeout(void *ctx) {
  struct wait *w = ctx;
  struct sk_waits *ws = w->ws;
  struct waited_job *job = w->job;
  w->late = true;
  if (!w->looked) return; /* the look that is to come answers */
  answer(w, SK_ETIMEOUT, NULL);
  let_go(ws, job);
}

/* -- looking ---------------------------------------------------------------------------------------------------------------------- */

static void look(struct sk_waits *ws);

static void make_due(struct sk_waits *ws, struct waited_job *job) {
  if (job->asked) {
    job->again = true;
    return;
  }
  sk_list_remove(&job->node);
  sk_list_push(&ws->due, &job->node);
}

/* The job is not over: those whose time is up hear so. */
static void go_on(struct sk_waits *ws, struct waited_job *job, bool failed) {
  SK_LIST_EACH_SAFE(n, &job->waits) {
    struct wait *w = SK_CONTAINER(n, struct wait, node);
    w->looked = true;
    if (w->late) answer(w, SK_ETIMEOUT, NULL);
  }
  sk_list_push(job->again && !failed ? &ws->due : &ws->quiet, &job->node);
}

static bool is_over(const struct sk_view *v) { return v->state == SK_STATE_NONE || sk_state_is_final(v->state); }

static void on_looked(struct sk_op *op, void *ctx) {
  struct sk_waits *ws = ctx;
  bool failed = op->status != SK_OK;
  ws->looking = false;
  for (size_t i = 0; i < ws->get.ids_n; i++) {
    struct waited_job *job = ws->asked[i];
    job->asked = false;
    if (!failed && is_over(&ws->get.views[i]))
      answer_all(job, SK_OK, &ws->get.views[i]);
    else
      go_on(ws, job, failed);
    job->again = false;
    let_go(ws, job);
  }
  sk_op_fini(op);
  if (failed && ws->jobs) sk_timer_start(ws->retry, RETRY_MS);
  look(ws);
  if (ws->stopped && sk_waits_idle(ws) && ws->idle) ws->idle(ws->ctx);
}

static void look(struct sk_waits *ws) {
  if (ws->looking || sk_list_empty(&ws->due)) return;
  size_t n = 0;
  struct sk_list *node;
  while (n < LOOK_MAX && (node = sk_list_pop(&ws->due)) != NULL) {
    struct waited_job *job = SK_CONTAINER(node, struct waited_job, node);
    job->asked = true;
    ws->ids[n] = sk_str(job->id, job->id_n);
    ws->asked[n++] = job;
  }
  ws->looking = true;
  ws->get = (struct sk_get_op){ .op = { .cb = on_looked, .ctx = ws }, .ids = ws->ids, .ids_n = n };
  ws->store->ops->get(ws->store, &ws->get);
}

void sk_waits_changed(struct sk_waits *ws) {
  struct waited_job *job, *next;
  HASH_ITER(hh, ws->jobs, job, next) make_due(ws, job);
  look(ws);
}

static void on_retry(void *ctx) { sk_waits_changed(ctx); }

void sk_waits_settled(struct sk_waits *ws, struct sk_str id) {
  struct waited_job *job;
  HASH_FIND(hh, ws->jobs, id.p, id.n, job);
  if (job == NULL) return;
  make_due(ws, job);
  look(ws);
}

/* -- waiting ---------------------------------------------------------------------------------------------------------------------- */

static struct waited_job *find_or_make(struct sk_waits *ws, struct sk_str id) {
  struct waited_job *job;
  HASH_FIND(hh, ws->jobs, id.p, id.n, job);
  if (job) return job;
  job = calloc(1, sizeof *job + id.n);
  if (job == NULL) return NULL;
  memcpy(job->id, id.p, id.n);
  job->id_n = id.n;
  sk_list_init(&job->node);
  sk_list_init(&job->waits);
  HASH_ADD_KEYPTR(hh, ws->jobs, job->id, job->id_n, job);
  if (job->hh.tbl) return job;
  free(job);
  return NULL;
}

enum sk_code sk_waits_add(struct sk_waits *ws, struct sk_str id, int64_t timeout_ms, sk_waited_cb cb, void *ctx) {
  assert(!ws->stopped);
  struct wait *w = calloc(1, sizeof *w);
  struct sk_timer *timer = timeout_ms >= 0 ? sk_timer_new(ws->loop, on_timeout, w) : NULL;
  struct waited_job *job = w && (timer || timeout_ms < 0) ? find_or_make(ws, id) : NULL;
  if (job == NULL) {
    sk_timer_free(timer);
    free(w);
    return SK_ENOMEM;
  }
  *w = (struct wait){ .ws = ws, .job = job, .timer = timer, .cb = cb, .ctx = ctx };
  sk_list_push(&job->waits, &w->node);
  if (timer) sk_timer_start(timer, timeout_ms > 0 ? timeout_ms + 1 : 0); /* the loop counts whole ms: never early */
  make_due(ws, job);
  look(ws);
  return SK_OK;
}

void sk_waits_abandon(struct sk_waits *ws, const void *ctx) {
  struct waited_job *job, *next;
  HASH_ITER(hh, ws->jobs, job, next) {
    SK_LIST_EACH_SAFE(n, &job->waits) {
      struct wait *w = SK_CONTAINER(n, struct wait, node);
      if (w->ctx == ctx) answer(w, SK_ECANCELLED, NULL);
    }
    let_go(ws, job);
  }
}

void sk_waits_stop(struct sk_waits *ws) {
  ws->stopped = true;
  struct waited_job *job, *next;
  HASH_ITER(hh, ws->jobs, job, next) {
    answer_all(job, SK_ECANCELLED, NULL);
    let_go(ws, job);
  }
}

bool sk_waits_idle(const struct sk_waits *ws) { return ws->jobs == NULL && !ws->looking; }

/* -- life ------------------------------------------------------------------------------------------------------------------------- */

struct sk_waits *sk_waits_new(struct sk_loop *loop, void (*idle)(void *ctx), void *ctx) {
  struct sk_waits *ws = calloc(1, sizeof *ws);
  if (ws == NULL) return NULL;
  ws->loop = loop;
  ws->idle = idle;
  ws->ctx = ctx;
  sk_list_init(&ws->due);
  sk_list_init(&ws->quiet);
  ws->retry = sk_timer_new(loop, on_retry, ws);
  if (ws->retry) return ws;
  free(ws);
  return NULL;
}

void sk_waits_use(struct sk_waits *ws, struct sk_store *store) { ws->store = store; }

void sk_waits_free(struct sk_waits *ws) {
  if (ws == NULL) return;
  assert(sk_waits_idle(ws));
  sk_timer_free(ws->retry);
  free(ws);
}
