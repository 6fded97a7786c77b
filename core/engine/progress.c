/* progress.c - job:progress on its way to the store: gathered per turn, one batch under way at a time, dropped when the store
 * can't take it (the next one says more). */
#include <stdlib.h>
#include <string.h>

#include "base/limits.h"
#include "engine/state.h"

enum { PROGRESS_BATCH = 256 };

struct sk_progress_batch {
  struct sk_progress_op op;
  struct sk_engine *engine;
  struct sk_arena text;
  struct sk_progress_item items[PROGRESS_BATCH];
  char *notes[PROGRESS_BATCH]; /* in text; room for SK_NOTE_BYTES_MAX: a job that says much takes no more than that */
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

/* The item of that run, a new one when it has none; NULL when the batch is full or memory is. */
static struct sk_progress_item *item_of(struct sk_progress_batch *b, const struct sk_run *run) {
  for (size_t i = 0; i < b->n; i++)
    if (b->items[i].fence == run->fence && sk_str_eq(b->items[i].id, run->id)) return &b->items[i];
  if (b->n == PROGRESS_BATCH) return NULL; /* so many jobs said something since the last was sent: these say more later */
  struct sk_str id = sk_arena_copy(&b->text, run->id), queue = sk_arena_copy(&b->text, run->queue);
  char *note = b->notes[b->n] ? b->notes[b->n] : sk_arena_alloc(&b->text, SK_NOTE_BYTES_MAX);
  b->notes[b->n] = note;
  if (id.p == NULL || queue.p == NULL || note == NULL) return NULL;
  b->items[b->n] = (struct sk_progress_item){ .id = id, .queue = queue, .fence = run->fence };
  return &b->items[b->n++];
}

void sk_progress_say(struct sk_run *run, int32_t percent, struct sk_str note) {
  struct sk_engine *e = run->engine;
  if (e->progress == NULL) {
    e->progress = calloc(1, sizeof *e->progress);
    if (e->progress == NULL) return;
    e->progress->engine = e;
  }
  struct sk_progress_item *item = item_of(e->progress, run);
  if (item == NULL) return;
  char *room = e->progress->notes[item - e->progress->items];
  item->percent = percent;
  item->note = sk_str(room, note.n < SK_NOTE_BYTES_MAX ? note.n : SK_NOTE_BYTES_MAX);
  if (item->note.n) memcpy(room, note.p, item->note.n);
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
