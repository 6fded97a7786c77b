/* progress.c - job:progress on its way to the store: gathered per turn, one batch under way at a time, dropped when the store
 * can't take it (the next one says more). */
#include <stdlib.h>

#include "engine/state.h"

enum { PROGRESS_BATCH = 256 };

struct sk_progress_batch {
  struct sk_progress_op op;
  struct sk_engine *engine;
  struct sk_arena text;
  struct sk_progress_item items[PROGRESS_BATCH];
  size_t n;
};

static void free_batch(struct sk_progress_batch *b) {
  sk_arena_fini(&b->text);
  free(b);
}

static void on_said(struct sk_op *op, void *ctx) {
  struct sk_progress_batch *b = ctx;
  struct sk_engine *e = b->engine;
  e->progress_in_flight = false;
  sk_op_fini(op);
  free_batch(b);
  sk_engine_wake(e);
}

void sk_progress_say(struct sk_run *run, int32_t percent, struct sk_str note) {
  struct sk_engine *e = run->engine;
  if (e->progress == NULL) {
    e->progress = calloc(1, sizeof *e->progress);
    if (e->progress == NULL) return;
    e->progress->engine = e;
  }
  struct sk_progress_batch *b = e->progress;
  size_t i = 0;
  while (i < b->n && !(sk_str_eq(b->items[i].id, run->id) && b->items[i].fence == run->fence)) i++;
  if (i == PROGRESS_BATCH) return; /* more jobs than a batch said something in one turn */
  b->items[i] = (struct sk_progress_item){
    .id = sk_arena_copy(&b->text, run->id),
    .queue = sk_arena_copy(&b->text, run->queue),
    .fence = run->fence,
    .percent = percent,
    .note = sk_arena_copy(&b->text, note),
  };
  if (i == b->n) b->n++;
  sk_engine_wake(e);
}

void sk_progress_turn(struct sk_engine *e) {
  struct sk_progress_batch *b = e->progress;
  if (b == NULL || e->progress_in_flight || e->store == NULL) return;
  e->progress = NULL;
  e->progress_in_flight = true;
  b->op = (struct sk_progress_op){ .op = { .cb = on_said, .ctx = b }, .items = b->items, .items_n = b->n };
  e->store->ops->progress(e->store, &b->op);
}

void sk_progress_free(struct sk_engine *e) {
  if (e->progress) free_batch(e->progress);
  e->progress = NULL;
}
