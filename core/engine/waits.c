/* waits.c - see waits.h.  A job that callers wait for is in one of four places, and gone with its last wait:
 *
 *   due ────────┬──► asked (the look under way) ──► quiet          due: it has ended, or was never looked up
 *   stale ──────┘          ▲                          │            stale: something has changed, maybe this job
 *      ▲  all, at once     └──────────────────────────┤ settled
 *      └──────────────────────────────────────────────┘ changed
 *
 * The answer of a look may be older than a change during the look: a job that was asked for then becomes due or stale
 * again.
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

enum {
  LOOK_MAX = 256,
  LOOK_FIRST = 16,              /* ids of the first look, when the size of records is not known */
  LOOK_BYTES = 8 * 1024 * 1024, /* one look reads about so many bytes */
  LOOK_IDS_PER_MS = 25,         /* stale jobs are looked up at most at this rate */
  RETRY_MS = 500,
};

struct waited_job {
  struct sk_list node; /* in due, stale or quiet */
  UT_hash_handle hh;
  struct sk_list waits;
  bool asked;
  bool again; /* it was settled since it was asked for */
  size_t id_n;
  char id[];
};

struct sk_wait {
  struct sk_list node; /* in job->waits */
  struct sk_waits *ws;
  struct waited_job *job;
  struct sk_timer *timer; /* NULL: for ever */
  bool looked;            /* its job was looked up at least once since the wait began */
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
  struct sk_list due, stale, quiet;
  struct sk_timer *retry; /* fires when the store is asked again after a failure */
  struct sk_timer *pace;  /* fires when stale jobs may be looked up again */
  size_t look_max;        /* ids of the next look */
  bool changed;           /* something has changed since the look under way was sent, maybe one of its jobs */
  bool looking, stopped;
  struct sk_get_op get;
  struct sk_str ids[LOOK_MAX];
  struct waited_job *asked[LOOK_MAX];
};

/* -- answers ------------------------------------------------------------------------------------------------------- */

static void answer(struct sk_wait *w, enum sk_code code, const struct sk_view *view) {
  sk_list_remove(&w->node);
  sk_timer_free(w->timer);
  sk_waited_cb cb = w->cb;
  void *ctx = w->ctx;
  free(w);
  cb(ctx, code, view);
}

static void answer_all(struct waited_job *job, enum sk_code code, const struct sk_view *view) {
  while (!sk_list_empty(&job->waits)) answer(SK_CONTAINER(job->waits.next, struct sk_wait, node), code, view);
}

/* Frees the job when no wait for it is left. */
static void let_go(struct sk_waits *ws, struct waited_job *job) {
  if (job->asked || !sk_list_empty(&job->waits)) return;
  sk_list_remove(&job->node);
  HASH_DELETE(hh, ws->jobs, job);
  free(job);
}

static void on_timeout(void *ctx) {
  struct sk_wait *w = ctx;
  struct sk_waits *ws = w->ws;
  struct waited_job *job = w->job;
  w->late = true;
  if (!w->looked) return; /* the look that is to come answers */
  answer(w, SK_ETIMEOUT, NULL);
  let_go(ws, job);
}

/* -- looking ------------------------------------------------------------------------------------------------------- */

static void look(struct sk_waits *ws);

static void make_due(struct sk_waits *ws, struct waited_job *job) {
  if (job->asked) {
    job->again = true;
    return;
  }
  sk_list_remove(&job->node);
  sk_list_push(&ws->due, &job->node);
}

/* The job has not ended: answers the waits whose time is over. */
static void go_on(struct sk_waits *ws, struct waited_job *job, bool failed) {
  SK_LIST_EACH_SAFE(n, &job->waits) {
    struct sk_wait *w = SK_CONTAINER(n, struct sk_wait, node);
    w->looked = true;
    if (w->late) answer(w, SK_ETIMEOUT, NULL);
  }
  struct sk_list *to = &ws->quiet;
  if (!failed && (job->again || ws->changed)) to = job->again ? &ws->due : &ws->stale;
  sk_list_push(to, &job->node);
}

static bool is_over(const struct sk_view *v) { return v->state == SK_STATE_NONE || sk_state_is_final(v->state); }

/* Fits the number of ids of a look to the size of the records. */
static void learn_size(struct sk_waits *ws) {
  size_t bytes = 0, n = ws->get.ids_n;
  for (size_t i = 0; i < n; i++) bytes += ws->get.views[i].record.n + ws->get.views[i].log.n;
  size_t fits = LOOK_BYTES / (bytes / n + 1) + 1, more = 2 * ws->look_max;
  if (fits > LOOK_MAX) fits = LOOK_MAX;
  ws->look_max = fits < more ? fits : more;
}

static void on_looked(struct sk_op *op, void *ctx) {
  struct sk_waits *ws = ctx;
  bool failed = op->status != SK_OK;
  if (!failed) learn_size(ws);
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
  ws->looking = false; /* not earlier: a look that an answer begins would write over ws->asked */
  sk_op_fini(op);
  if (failed && ws->jobs) sk_timer_start(ws->retry, RETRY_MS);
  look(ws);
  if (ws->stopped && sk_waits_idle(ws) && ws->idle) ws->idle(ws->ctx);
}

/* Moves jobs from a list to the next look, which has n so far; returns how many it has then. */
static size_t take(struct sk_waits *ws, struct sk_list *from, size_t n) {
  struct sk_list *node;
  while (n < ws->look_max && (node = sk_list_pop(from)) != NULL) {
    struct waited_job *job = SK_CONTAINER(node, struct waited_job, node);
    job->asked = true;
    ws->ids[n] = sk_str(job->id, job->id_n);
    ws->asked[n++] = job;
  }
  return n;
}

static void look(struct sk_waits *ws) {
  if (ws->looking) return;
  size_t due_n = take(ws, &ws->due, 0), n = due_n;
  if (!sk_timer_active(ws->pace)) n = take(ws, &ws->stale, n);
  if (n == 0) return;
  if (n - due_n >= LOOK_IDS_PER_MS) sk_timer_start(ws->pace, (int64_t)((n - due_n) / LOOK_IDS_PER_MS));
  ws->looking = true;
  ws->changed = false;
  ws->get = (struct sk_get_op){ .op = { .cb = on_looked, .ctx = ws }, .ids = ws->ids, .ids_n = n };
  ws->store->ops->get(ws->store, &ws->get);
}

static void on_pace(void *ctx) { look(ctx); }

void sk_waits_changed(struct sk_waits *ws) {
  ws->changed = true;
  sk_list_move(&ws->stale, &ws->quiet);
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

/* -- waiting ------------------------------------------------------------------------------------------------------- */

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

struct sk_wait *sk_waits_add(struct sk_waits *ws, struct sk_str id, int64_t timeout_ms, sk_waited_cb cb, void *ctx) {
  assert(!ws->stopped);
  struct sk_wait *w = calloc(1, sizeof *w);
  struct sk_timer *timer = timeout_ms >= 0 ? sk_timer_new(ws->loop, on_timeout, w) : NULL;
  struct waited_job *job = w && (timer || timeout_ms < 0) ? find_or_make(ws, id) : NULL;
  if (job == NULL) {
    sk_timer_free(timer);
    free(w);
    return NULL;
  }
  *w = (struct sk_wait){ .ws = ws, .job = job, .timer = timer, .cb = cb, .ctx = ctx };
  sk_list_push(&job->waits, &w->node);
  if (timer) sk_timer_start(timer, timeout_ms > 0 ? timeout_ms + 1 : 0); /* the loop counts whole ms: never early */
  make_due(ws, job);
  look(ws);
  return w;
}

void sk_waits_abandon(struct sk_wait *w) {
  struct sk_waits *ws = w->ws;
  struct waited_job *job = w->job;
  answer(w, SK_ECANCELLED, NULL);
  let_go(ws, job);
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

/* -- life ---------------------------------------------------------------------------------------------------------- */

struct sk_waits *sk_waits_new(struct sk_loop *loop, void (*idle)(void *ctx), void *ctx) {
  struct sk_waits *ws = calloc(1, sizeof *ws);
  if (ws == NULL) return NULL;
  ws->loop = loop;
  ws->idle = idle;
  ws->ctx = ctx;
  sk_list_init(&ws->due);
  sk_list_init(&ws->stale);
  sk_list_init(&ws->quiet);
  ws->look_max = LOOK_FIRST;
  ws->retry = sk_timer_new(loop, on_retry, ws);
  ws->pace = sk_timer_new(loop, on_pace, ws);
  if (ws->retry && ws->pace) return ws;
  sk_timer_free(ws->retry);
  sk_timer_free(ws->pace);
  free(ws);
  return NULL;
}

void sk_waits_use(struct sk_waits *ws, struct sk_store *store) { ws->store = store; }

void sk_waits_free(struct sk_waits *ws) {
  if (ws == NULL) return;
  assert(sk_waits_idle(ws));
  sk_timer_free(ws->retry);
  sk_timer_free(ws->pace);
  free(ws);
}
