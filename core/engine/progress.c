/* progress.c - reports of running jobs, job:progress and job:log, on their way to the store.
 *
 * A run keeps its newest report (struct sk_progress).  Each turn sends the reports that the store does not have, one
 * batch at a time.  A batch that the store does not take is dropped: the next report contains it. */
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/limits.h"
#include "engine/state.h"
#include "logic/history.h"

enum { PROGRESS_BATCH = 256, PROGRESS_BATCH_BYTES = 512 * 1024 };

struct sk_progress {
  struct sk_list node; /* in e->progress while the store does not have it */
  struct sk_run *run;
  int32_t percent; /* -1: none */
  size_t progress_text_n;
  char progress_text[SK_PROGRESS_BYTES_MAX];
  struct sk_buf log; /* lines of this attempt (logic/history.h) */
};

struct progress_batch {
  struct sk_progress_op op;
  struct sk_engine *engine;
  struct sk_arena text;
  size_t bytes;
  struct sk_progress_item items[PROGRESS_BATCH];
  size_t n;
};

/* -- reports ------------------------------------------------------------------------------------------------------- */

/* The report of a run, to be sent.  NULL when memory is out: the change is lost. */
static struct sk_progress *progress_of(struct sk_run *run) {
  if (run->progress == NULL) {
    run->progress = calloc(1, sizeof *run->progress);
    if (run->progress == NULL) return NULL;
    sk_list_init(&run->progress->node);
    run->progress->run = run;
    run->progress->percent = -1;
  }
  if (sk_list_empty(&run->progress->node)) sk_list_push(&run->engine->progress, &run->progress->node);
  sk_engine_wake(run->engine);
  return run->progress;
}

void sk_progress_report(struct sk_run *run, int32_t percent, struct sk_str progress_text) {
  struct sk_progress *progress = progress_of(run);
  if (progress == NULL) return;
  progress->percent = percent;
  progress->progress_text_n = progress_text.n < SK_PROGRESS_BYTES_MAX ? progress_text.n : SK_PROGRESS_BYTES_MAX;
  if (progress->progress_text_n) memcpy(progress->progress_text, progress_text.p, progress->progress_text_n);
}

void sk_progress_add_log(struct sk_run *run, struct sk_str text) {
  struct sk_progress *progress = progress_of(run);
  if (progress == NULL) return;
  struct sk_buf line = { 0 }, all = { 0 };
  sk_lines_add(&line, sk_engine_now_ms(run->engine), text, SK_PROGRESS_BYTES_MAX);
  sk_lines_tail(sk_buf_str(&progress->log), sk_buf_str(&line), SK_JOB_LOG_LINES_MAX, SK_JOB_LOG_BYTES_MAX, &all);
  if (!line.failed && !all.failed) {
    sk_buf_fini(&progress->log);
    progress->log = all;
  } else {
    sk_buf_fini(&all);
  }
  sk_buf_fini(&line);
}

struct sk_str sk_progress_log(const struct sk_run *run) {
  return run->progress ? sk_buf_str(&run->progress->log) : sk_str(NULL, 0);
}

void sk_progress_mute(struct sk_run *run) {
  if (run->progress) sk_list_remove(&run->progress->node);
}

void sk_progress_free(struct sk_run *run) {
  if (run->progress == NULL) return;
  sk_list_remove(&run->progress->node);
  sk_buf_fini(&run->progress->log);
  free(run->progress);
  run->progress = NULL;
}

/* -- sending ------------------------------------------------------------------------------------------------------- */

static void on_sent(struct sk_op *op, void *ctx) {
  struct progress_batch *b = ctx;
  struct sk_engine *e = b->engine;
  e->progress_in_flight = false;
  sk_op_fini(op);
  sk_arena_fini(&b->text);
  free(b);
  sk_engine_wake(e);
}

/* False when there is no memory for it. */
static bool add_item(struct progress_batch *b, const struct sk_progress *progress) {
  const struct sk_run *run = progress->run;
  struct sk_progress_item *item = &b->items[b->n];
  *item = (struct sk_progress_item){
    .id = sk_arena_copy(&b->text, run->id),
    .queue = sk_arena_copy(&b->text, run->queue),
    .fence = run->fence,
    .percent = progress->percent,
    .progress_text = sk_arena_copy(&b->text, sk_str(progress->progress_text, progress->progress_text_n)),
    .log = sk_arena_copy(&b->text, sk_buf_str(&progress->log)),
  };
  if (item->id.p == NULL || item->queue.p == NULL || item->progress_text.p == NULL || item->log.p == NULL) return false;
  b->n++;
  b->bytes += item->progress_text.n + item->log.n;
  return true;
}

void sk_progress_turn(struct sk_engine *e) {
  if (sk_list_empty(&e->progress) || e->progress_in_flight || e->store == NULL) return;
  struct progress_batch *b = calloc(1, sizeof *b);
  if (b == NULL) return;
  b->engine = e;
  while (b->n < PROGRESS_BATCH && b->bytes < PROGRESS_BATCH_BYTES && !sk_list_empty(&e->progress)) {
    struct sk_list *n = sk_list_pop(&e->progress);
    if (!add_item(b, SK_CONTAINER(n, struct sk_progress, node))) break;
  }
  if (b->n == 0) {
    sk_arena_fini(&b->text);
    free(b);
    return;
  }
  e->progress_in_flight = true;
  b->op = (struct sk_progress_op){ .op = { .cb = on_sent, .ctx = b }, .items = b->items, .items_n = b->n };
  e->store->ops->progress(e->store, &b->op);
}
