/* merge.c - the ids of the SCHEDULED or RETRY jobs of many queues, in one order by due time, for a listing of the Redis
 * store.
 *
 * A script that merges the jobs of a queue pays for each queue that it names, so one script cannot merge thousands of
 * queues.  Each script therefore merges the jobs of WINDOW queues, and this file merges the windows:
 *
 *   window 1   look ─► [id place, id place, ...]  ─┐
 *   window 2   look ─► [id place, ...]             ├─► the least place is next; a window that has shown all that its
 *   window 3   look ─► [], behind place p          ─┘   last look found looks again as soon as its place is the least
 *
 * A place is a due time and a member of the zset `later`.  Each look ends after a bounded number of jobs, whether they
 * match the filter or not, and says behind which place it ended. */
#include <stdlib.h>

#include "store/redis/redis.h"

enum {
  WINDOW = 64,          /* queues that one look names */
  LOOK_MAX = 1000,      /* jobs that one look returns, */
  LOOK_MIN = 64,        /* ... at least so many, when there are many windows */
  ENTRIES_MAX = 100000, /* jobs of all windows that are in memory at once, about */
};

struct place {
  int64_t due_ms;
  struct sk_str member; /* borrowed from the window's arena; empty: before all members */
};

struct window {
  const struct sk_str *queues;
  size_t queues_n;
  struct sk_arena arena; /* of what the last look returned */
  const struct rd_reply *ids, *places;
  size_t at;            /* the next of ids */
  struct sk_str cursor; /* empty: nothing is behind the ids */
  struct place place;   /* of ids[at]; behind them: where the look ended */
};

struct rd_merge {
  struct rd_store *store;
  struct rd_look_op look;
  struct window *windows;
  size_t windows_n;
  size_t *heap; /* windows by their places */
  size_t heap_n;
  size_t piece; /* jobs that a look returns at most */
  size_t skip, limit;
  struct rd_merged merged;
  void (*done)(void *ctx, enum sk_code status, const struct sk_err *why, struct rd_merged *merged);
  void *ctx;
};

/* -- the order ----------------------------------------------------------------------------------------------------- */

static struct place place_read(struct sk_str text) {
  struct place place = { 0, { NULL, 0 } };
  size_t i = 0;
  for (; i < text.n && text.p[i] >= '0' && text.p[i] <= '9'; i++) place.due_ms = place.due_ms * 10 + (text.p[i] - '0');
  if (i < text.n && text.p[i] == ' ') place.member = sk_str(text.p + i + 1, text.n - i - 1);
  return place;
}

static bool is_before(const struct rd_merge *m, size_t a, size_t b) {
  const struct place *x = &m->windows[a].place, *y = &m->windows[b].place;
  if (x->due_ms != y->due_ms) return x->due_ms < y->due_ms;
  size_t n = x->member.n < y->member.n ? x->member.n : y->member.n;
  int c = n ? memcmp(x->member.p, y->member.p, n) : 0;
  return c ? c < 0 : x->member.n < y->member.n;
}

static void sift_down(struct rd_merge *m, size_t i) {
  for (size_t child; (child = 2 * i + 1) < m->heap_n; i = child) {
    if (child + 1 < m->heap_n && is_before(m, m->heap[child + 1], m->heap[child])) child++;
    if (!is_before(m, m->heap[child], m->heap[i])) return;
    size_t moved = m->heap[i];
    m->heap[i] = m->heap[child];
    m->heap[child] = moved;
  }
}

/* The least window has another place now, or, when it is empty, leaves the heap. */
static void place_least(struct rd_merge *m, bool empty) {
  if (empty) m->heap[0] = m->heap[--m->heap_n];
  sift_down(m, 0);
}

/* Sets the window's place to that of its next job.  False: it has no more jobs. */
static bool find_place(struct window *w) {
  if (w->ids && w->at < w->ids->n) {
    w->place = place_read(sk_rd_text(w->places, w->at));
    return true;
  }
  const char *behind = w->cursor.n ? w->cursor.p : NULL;
  for (int fields = 0; behind && fields < 3; fields++) { /* state ; queue ; part ; place */
    behind = memchr(behind, ';', (size_t)(w->cursor.p + w->cursor.n - behind));
    if (behind) behind++;
  }
  if (behind) w->place = place_read(sk_str(behind, (size_t)(w->cursor.p + w->cursor.n - behind)));
  return behind != NULL;
}

/* -- steps --------------------------------------------------------------------------------------------------------- */

static void finish(struct rd_merge *m, enum sk_code status, const struct sk_err *why) {
  m->merged.skip = m->skip;
  m->done(m->ctx, status, why, &m->merged);
  for (size_t i = 0; m->windows && i < m->windows_n; i++) sk_arena_fini(&m->windows[i].arena);
  sk_arena_fini(&m->merged.arena);
  free(m->windows);
  free(m->heap);
  free(m);
}

static void on_looked(struct sk_op *op, void *ctx);

/* Looks at the window with the least place. */
static void look(struct rd_merge *m) {
  const struct window *w = &m->windows[m->heap[0]];
  m->look.op = (struct sk_op){ .cb = on_looked, .ctx = m };
  m->look.queues = w->queues;
  m->look.queues_n = w->queues_n;
  m->look.cursor = w->cursor;
  m->look.limit = m->piece;
  sk_rd_submit_own(m->store, &m->look.op, RD_LIST);
}

/* Takes jobs in their order until one window must look again. */
static void go_on(struct rd_merge *m) {
  while (m->heap_n > 0 && m->limit > 0) {
    struct window *w = &m->windows[m->heap[0]];
    if (w->ids == NULL || w->at == w->ids->n) {
      look(m);
      return;
    }
    if (m->skip > 0) {
      m->skip--;
    } else {
      struct sk_str id = sk_arena_copy(&m->merged.arena, sk_rd_text(w->ids, w->at));
      if (id.p == NULL) break;
      m->merged.ids[m->merged.ids_n++] = id;
      m->limit--;
    }
    w->at++;
    place_least(m, !find_place(w));
  }
  finish(m, m->heap_n > 0 && m->limit > 0 ? SK_ENOMEM : SK_OK, NULL);
}

static void on_looked(struct sk_op *op, void *ctx) {
  struct rd_merge *m = ctx;
  struct window *w = &m->windows[m->heap[0]];
  const struct rd_reply *reply = m->look.reply;
  struct sk_err why = op->err;
  if (op->status != SK_OK || reply == NULL || reply->items[0]->n != reply->items[1]->n) {
    enum sk_code status = op->status != SK_OK ? op->status : SK_ECORRUPT;
    sk_op_fini(op);
    finish(m, status, status == SK_ECORRUPT && why.code == SK_OK ? NULL : &why);
    return;
  }
  sk_arena_fini(&w->arena);
  w->arena = op->arena;
  op->arena = (struct sk_arena){ 0 };
  w->ids = reply->items[0];
  w->places = reply->items[1];
  w->at = 0;
  w->cursor = sk_rd_text(reply, 7);
  place_least(m, !find_place(w));
  go_on(m);
}

/* -- beginning ----------------------------------------------------------------------------------------------------- */

static bool fill_windows(struct rd_merge *m, const struct sk_str *queues, size_t queues_n) {
  m->windows_n = (queues_n + WINDOW - 1) / WINDOW;
  m->windows = calloc(m->windows_n, sizeof *m->windows);
  m->heap = calloc(m->windows_n, sizeof *m->heap);
  m->merged.ids = sk_arena_array(&m->merged.arena, m->limit, sizeof *m->merged.ids);
  if (m->windows == NULL || m->heap == NULL || m->merged.ids == NULL) return false;
  for (size_t i = 0; i < m->windows_n; i++) {
    size_t from = i * WINDOW, left = queues_n - from;
    m->windows[i].queues = queues + from;
    m->windows[i].queues_n = left < WINDOW ? left : WINDOW;
    m->windows[i].place.due_ms = INT64_MIN; /* nothing is known of it: it looks before anything is shown */
    m->heap[i] = i;
  }
  m->heap_n = m->windows_n;
  size_t piece = ENTRIES_MAX / m->windows_n, wanted = (m->skip + m->limit) / m->windows_n * 2;
  if (piece > wanted) piece = wanted;
  m->piece = piece < LOOK_MIN ? LOOK_MIN : piece > LOOK_MAX ? LOOK_MAX : piece;
  return true;
}

void sk_rd_merge(struct rd_store *s, const struct rd_look_op *like, const struct sk_str *queues, size_t queues_n,
                 void (*done)(void *, enum sk_code, const struct sk_err *, struct rd_merged *), void *ctx) {
  struct rd_merge *m = calloc(1, sizeof *m);
  if (m == NULL) {
    done(ctx, SK_ENOMEM, NULL, NULL);
    return;
  }
  m->store = s;
  m->look = (struct rd_look_op){ .states = like->states, .filter = like->filter, .form = RD_PLACES };
  m->skip = like->skip;
  m->limit = like->limit;
  m->done = done;
  m->ctx = ctx;
  if (fill_windows(m, queues, queues_n))
    go_on(m);
  else
    finish(m, SK_ENOMEM, NULL);
}
