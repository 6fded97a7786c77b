/* steps.c - operations that look at many jobs of the Redis store: get, list, and changes by filter.  No script is
 * allowed to run long, so each operation is a chain of short scripts.  Each script begins where the last one stopped,
 * and the scripts of other clients run between them:
 *
 *   get                    get ─► get ─► ... ─► answer        each as many of the ids as have 4 MiB of values
 *   list                   look ─► look ─► ... ─► answer, with the views of all of them; SCHEDULED and RETRY jobs of
 *                          many queues: merge ─► get ─► get ─► ... (redis/merge.c)
 *   change by filter       look ─► change ─► look ─► change ─► ... ─► answer          jobs change if they still match
 *
 * A look names the queues whose waiting jobs it is to find.  Their keys cost Redis time, so a store of many queues is
 * looked through one window of queues after the other. */
#include <stdlib.h>

#include "store/check.h"
#include "store/redis/redis.h"

enum {
  FEW = 64,           /* so many queues are named by each look, */
  WINDOW = 256,       /* ... of more so many */
  CHANGE_PIECE = 200, /* jobs changed in one step */
};

struct walk {
  struct rd_look_op look;
  struct sk_change_op change; /* a step of it */
  struct rd_store *store;
  struct sk_op *whole; /* the op that is done in steps */
  bool lists;
  struct sk_filter filter;
  struct sk_arena arena; /* of queues, cursor */
  struct sk_str *queues;
  size_t queues_n;
  bool wants[SK_STATES];
  size_t stage, window; /* what the next look is about: see next_look */
  bool merges;          /* it is a merge */
  char states[SK_STATES + 1];
  struct sk_view *views; /* owned */
  size_t views_n, views_cap;
  size_t views_bytes;
  struct sk_count_op count; /* which queues there are */
  struct sk_get_op got;     /* of a merge: the views of its ids, from the first one that has none yet */
  struct rd_merged merged;
  size_t merged_at;
};

static struct sk_list_op *list_of(struct walk *w) { return (void *)w->whole; }
static struct sk_change_op *change_of(struct walk *w) { return (void *)w->whole; }

/* -- the end ------------------------------------------------------------------------------------------------------- */

static enum sk_code give_views(struct walk *w) {
  struct sk_list_op *op = list_of(w);
  op->views = sk_arena_array(&w->whole->arena, w->views_n, sizeof *op->views);
  if (op->views == NULL) return SK_ENOMEM;
  if (w->views_n) memcpy(op->views, w->views, w->views_n * sizeof *op->views);
  op->views_n = w->views_n;
  return SK_OK;
}

static void finish(struct walk *w, enum sk_code status, const struct sk_err *why) {
  if (status == SK_OK && w->lists) status = give_views(w);
  if (why) w->whole->err = *why;
  sk_rd_answer(w->store, w->whole, status);
  sk_op_fini(&w->look.op);
  sk_arena_fini(&w->arena);
  sk_arena_fini(&w->merged.arena);
  free(w->views);
  free(w);
}

/* -- which look is next -------------------------------------------------------------------------------------------- */

/* The states of a group that are wanted. */
static void want_states(struct walk *w, const char *group) {
  size_t n = 0;
  for (const char *s = group; *s; s++)
    if (w->wants[*s - '0']) w->states[n++] = *s;
  w->states[n] = '\0';
}

/* The groups of states in their order.  With few queues a look covers all of them at once; with many, the states whose
 * jobs are in queues are looked through a window of queues at a time, or are merged. */
struct stage {
  const char *states;
  size_t window; /* 0: names none */
  bool merged;
};
static const struct stage few[] = { { .states = "1234567", .window = FEW }, { 0 } };
static const struct stage many_listed[] = { { .states = "1", .merged = true },
                                            { .states = "2", .window = WINDOW },
                                            { .states = "3" },
                                            { .states = "4", .merged = true },
                                            { .states = "567" },
                                            { 0 } };
static const struct stage many_changed[] = { { .states = "124", .window = WINDOW }, { .states = "3567" }, { 0 } };

/* What the next look is about; false: nothing. */
static bool next_look(struct walk *w) {
  const struct stage *stages = w->queues_n <= FEW ? few : w->lists ? many_listed : many_changed;
  while (stages[w->stage].states) {
    const struct stage *stage = &stages[w->stage];
    size_t window = stage->window;
    want_states(w, stage->states);
    size_t from = w->window * window;
    if (w->states[0] && (w->window == 0 || (window > 0 && from < w->queues_n))) {
      size_t left = from < w->queues_n ? w->queues_n - from : 0;
      w->look.queues = w->queues + from;
      w->look.queues_n = window < left ? window : left;
      w->merges = stage->merged;
      return true;
    }
    w->stage++;
    w->window = 0;
  }
  return false;
}

/* -- steps --------------------------------------------------------------------------------------------------------- */

static void on_looked(struct sk_op *op, void *ctx);

static void on_merged(void *ctx, enum sk_code status, const struct sk_err *why, struct rd_merged *merged);

static void look(struct walk *w) {
  if (w->merges && !w->look.names_first) {
    w->look.states = w->states;
    w->look.filter = &w->filter;
    sk_rd_merge(w->store, &w->look, w->queues, w->queues_n, on_merged, w);
    return;
  }
  w->look.op = (struct sk_op){ .cb = on_looked, .ctx = w };
  w->look.states = w->states;
  w->look.filter = &w->filter;
  sk_rd_submit_own(w->store, &w->look.op, RD_LIST);
}

/* From where the last look stopped, or what is next. */
static void go_on(struct walk *w) {
  if (w->look.cursor.n == 0) w->window++;
  bool enough = w->lists && w->look.limit == 0;
  if (!enough && (w->look.cursor.n > 0 || next_look(w)))
    look(w);
  else
    finish(w, SK_OK, NULL);
}

static void on_changed(struct sk_op *op, void *ctx) {
  struct walk *w = ctx;
  if (op->status != SK_OK) {
    struct sk_err why = op->err;
    enum sk_code status = op->status;
    sk_op_fini(op);
    sk_op_fini(&w->look.op);
    finish(w, status, &why);
    return;
  }
  change_of(w)->changed += w->change.changed;
  sk_op_fini(op);
  sk_op_fini(&w->look.op);
  go_on(w);
}

/* Changes the jobs that a look found; its op goes on living for their ids. */
static bool change(struct walk *w) {
  const struct rd_reply *ids = w->look.reply->items[0];
  struct sk_str *found = sk_arena_array(&w->look.op.arena, ids->n, sizeof *found);
  if (found == NULL) return false;
  for (size_t i = 0; i < ids->n; i++) found[i] = sk_rd_text(ids, i);
  const struct sk_change_op *whole = change_of(w);
  w->change = (struct sk_change_op){ .op = { .cb = on_changed, .ctx = w },
                                     .verb = whole->verb,
                                     .ids = found,
                                     .ids_n = ids->n,
                                     .filter = whole->filter,
                                     .keep_ms = whole->keep_ms };
  sk_rd_submit_own(w->store, &w->change.op, RD_CHANGE_MATCHING);
  return true;
}

/* Adds views, whose memory, the arena, becomes the op's. */
static bool keep_views(struct walk *w, struct sk_arena *arena, const struct sk_view *views, size_t n) {
  if (views == NULL) return false;
  if (w->views_n + n > w->views_cap) {
    size_t cap = w->views_n + n > w->views_cap * 2 ? w->views_n + n : w->views_cap * 2;
    struct sk_view *grown = realloc(w->views, cap * sizeof *grown);
    if (grown == NULL) return false;
    w->views = grown;
    w->views_cap = cap;
  }
  if (n) memcpy(w->views + w->views_n, views, n * sizeof *views);
  w->views_n += n;
  w->look.limit = n < w->look.limit ? w->look.limit - n : 0;
  sk_arena_move(&w->whole->arena, arena);
  return true;
}

/* False when the views are more than the caller takes: then it has been told so. */
static bool are_taken(struct walk *w, size_t from) {
  struct sk_err why;
  enum sk_code code = SK_OK;
  for (size_t i = from; i < w->views_n && code == SK_OK; i++)
    code = sk_check_listed(list_of(w), &w->views[i], &w->views_bytes, &why);
  if (code != SK_OK) finish(w, code, &why);
  return code == SK_OK;
}

/* -- a merge ------------------------------------------------------------------------------------------------------- */

static void on_got(struct sk_op *op, void *ctx);

static void get_merged(struct walk *w) {
  if (w->merged_at == w->merged.ids_n) {
    sk_arena_fini(&w->merged.arena);
    go_on(w);
    return;
  }
  w->got = (struct sk_get_op){ .op = { .cb = on_got, .ctx = w },
                               .ids = w->merged.ids + w->merged_at,
                               .ids_n = w->merged.ids_n - w->merged_at };
  sk_rd_submit_own(w->store, &w->got.op, RD_GET);
}

/* Of the jobs that a merge found, those that have left the state since are passed over. */
static void on_got(struct sk_op *op, void *ctx) {
  struct walk *w = ctx;
  size_t from = w->views_n, n = 0;
  if (op->status != SK_OK) {
    struct sk_err why = op->err;
    enum sk_code status = op->status;
    sk_op_fini(op);
    finish(w, status, &why);
    return;
  }
  for (size_t i = 0; i < w->got.ids_n; i++)
    if ((int)w->got.views[i].state == w->states[0] - '0') w->got.views[n++] = w->got.views[i];
  w->merged_at += w->got.ids_n;
  if (!keep_views(w, &op->arena, w->got.views, n))
    finish(w, SK_ENOMEM, NULL);
  else if (are_taken(w, from))
    get_merged(w);
}

static void on_merged(void *ctx, enum sk_code status, const struct sk_err *why, struct rd_merged *merged) {
  struct walk *w = ctx;
  w->look.cursor = sk_str(NULL, 0);
  if (status != SK_OK) {
    finish(w, status, why);
    return;
  }
  w->merged = *merged;
  merged->arena = (struct sk_arena){ 0 };
  w->look.skip = merged->skip;
  w->merged_at = 0;
  get_merged(w);
}

/* -- queues -------------------------------------------------------------------------------------------------------- */

/* The queues that there are, which a reply has told. */
static bool learn(struct walk *w) {
  const struct rd_names *known = &w->store->known;
  w->queues = sk_arena_array(&w->arena, known->n, sizeof *w->queues);
  for (size_t i = 0; w->queues && i < known->n; i++) {
    w->queues[i] = sk_arena_copy(&w->arena, known->names[i]);
    if (w->queues[i].p == NULL) return false;
  }
  w->queues_n = known->n;
  memcpy(w->look.version, w->store->known_version, sizeof w->look.version);
  return w->queues != NULL;
}

static int compare_names(const void *a, const void *b) {
  const struct sk_str *x = a, *y = b;
  int c = memcmp(x->p, y->p, x->n < y->n ? x->n : y->n);
  return c ? c : (x->n > y->n) - (x->n < y->n);
}

static bool begin(struct walk *w) {
  if (!learn(w)) return false;
  if (w->queues_n) qsort(w->queues, w->queues_n, sizeof *w->queues, compare_names);
  return true;
}

/* The queues are others than those that were known. */
static void on_counted(struct rd_store *s, struct sk_count_op *op, enum sk_code status, void *ctx) {
  struct walk *w = ctx;
  struct sk_err why = op->op.err;
  if (status == SK_OK) sk_rd_learn_known(s, op);
  sk_op_fini(&op->op);
  if (status != SK_OK)
    finish(w, status, &why);
  else if (!begin(w))
    finish(w, SK_ENOMEM, NULL);
  else if (next_look(w))
    look(w);
  else
    finish(w, SK_OK, NULL);
}

static void on_looked(struct sk_op *op, void *ctx) {
  struct walk *w = ctx;
  bool ok = true;
  if (op->status != SK_OK) {
    struct sk_err why = op->err;
    finish(w, op->status, &why);
    return;
  }
  bool asked = w->look.names_first;
  w->look.names_first = false;
  if (asked && w->merges && w->look.reply) { /* the queues are still those that are known */
    sk_op_fini(op);
    look(w);
    return;
  }
  if (w->look.reply == NULL) {
    sk_op_fini(op);
    w->count.op = (struct sk_op){ 0 };
    sk_rd_count(w->store, &w->count, on_counted, w);
    return;
  }
  struct sk_str cursor = sk_rd_text(w->look.reply, 7);
  w->look.skip = (size_t)sk_rd_number(w->look.reply, 8);
  w->look.cursor = cursor.n ? sk_arena_copy(&w->arena, cursor) : cursor;
  ok = cursor.n == 0 || w->look.cursor.p != NULL;
  if (ok && w->lists) {
    size_t from = w->views_n, n = 0;
    struct sk_view *views = sk_rd_read_views(&op->arena, w->look.reply, &n);
    ok = keep_views(w, &op->arena, views, n);
    if (ok && are_taken(w, from)) go_on(w);
  } else if (ok && w->look.reply->items[0]->n > 0) {
    ok = change(w);
  } else if (ok) {
    sk_op_fini(op);
    go_on(w);
  }
  if (!ok) finish(w, SK_ENOMEM, NULL);
}

static void start(struct rd_store *s, struct sk_op *op, enum rd_kind kind, const struct sk_filter *filter,
                  const struct walk *like) {
  sk_rd_submit_in_steps(s, op, kind);
  struct walk *w = malloc(sizeof *w);
  if (w == NULL) {
    sk_rd_answer(s, op, SK_ENOMEM);
    return;
  }
  *w = *like;
  w->store = s;
  w->whole = op;
  w->filter = *filter;
  w->look.names_first = filter->queue.n == 0;
  w->queues = &w->filter.queue;
  w->queues_n = filter->queue.n > 0;
  for (int state = 1; state < SK_STATES; state++)
    w->wants[state] = (filter->state == SK_STATE_NONE || (int)filter->state == state) && like->wants[state];
  bool ok = !w->look.names_first || s->known_version[0] == '\0' || begin(w);
  if (ok && (next_look(w) || w->look.names_first))
    look(w);
  else
    finish(w, ok ? SK_OK : SK_ENOMEM, NULL);
}

void sk_rd_list(struct rd_store *s, struct sk_list_op *op) {
  struct walk like = { .lists = true, .look = { .skip = op->offset, .limit = op->limit } };
  for (int state = 1; state < SK_STATES; state++) like.wants[state] = true;
  start(s, &op->op, RD_LIST, &op->filter, &like);
}

void sk_rd_change_by_filter(struct rd_store *s, struct sk_change_op *op) {
  static const char *const takes[] = {
    [SK_VERB_CANCEL] = "1234", [SK_VERB_DELETE] = "124567", [SK_VERB_RETRY] = "467", [SK_VERB_PROMOTE] = "14"
  };
  struct walk like = { .look = { .limit = CHANGE_PIECE, .form = RD_IDS } };
  for (const char *state = takes[op->verb]; *state; state++) like.wants[*state - '0'] = true;
  start(s, &op->op, RD_CHANGE, &op->filter, &like);
}

/* -- get ----------------------------------------------------------------------------------------------------------- */

/* A get whose first `found` ids have their views. */
struct get_walk {
  struct sk_get_op step;
  struct rd_store *store;
  struct sk_get_op *whole;
  size_t found;
};

static void on_get_step(struct sk_op *op, void *ctx);

static void get_more(struct get_walk *w) {
  w->step = (struct sk_get_op){ .op = { .cb = on_get_step, .ctx = w },
                                .ids = w->whole->ids + w->found,
                                .ids_n = w->whole->ids_n - w->found };
  sk_rd_submit_own(w->store, &w->step.op, RD_GET);
}

static void on_get_step(struct sk_op *op, void *ctx) {
  struct get_walk *w = ctx;
  struct sk_get_op *whole = w->whole;
  enum sk_code status = op->status;
  if (status == SK_OK && whole->views == NULL) {
    whole->views = sk_arena_array(&whole->op.arena, whole->ids_n, sizeof *whole->views);
    if (whole->views == NULL) status = SK_ENOMEM;
  }
  if (status != SK_OK) {
    whole->op.err = op->err;
    sk_op_fini(op);
  } else {
    if (w->step.ids_n) memcpy(whole->views + w->found, w->step.views, w->step.ids_n * sizeof *whole->views);
    sk_arena_move(&whole->op.arena, &op->arena);
    w->found += w->step.ids_n;
    if (w->found < whole->ids_n) {
      get_more(w);
      return;
    }
  }
  sk_rd_answer(w->store, &whole->op, status);
  free(w);
}

void sk_rd_get(struct rd_store *s, struct sk_get_op *op) {
  sk_rd_submit_in_steps(s, &op->op, RD_GET);
  op->views = NULL;
  struct get_walk *w = malloc(sizeof *w);
  if (w == NULL) {
    sk_rd_answer(s, &op->op, SK_ENOMEM);
    return;
  }
  *w = (struct get_walk){ .store = s, .whole = op };
  get_more(w);
}
