/* declare.c - tells the store which tasks and queue settings the scripts declare.
 *
 * So clients without the scripts know the tasks' queues and options, and the store knows the settings of queues.  A
 * declaration is sent when something has changed, when the store may have lost it, and every SK_DECLARE_EVERY_MS to
 * renew it. */
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/limits.h"
#include "engine/state.h"

void sk_declare_log(const struct sk_engine *e) {
  size_t n = sk_tasks_count(e->tasks);
  if (n > 0)
    sk_logf(e->log, SK_LOG_INFO, "serving %zu task%s", n, n == 1 ? "" : "s");
  else
    sk_logf(e->log, SK_LOG_WARN,
            "serving 0 tasks: no script in %s declares one with skein.task, so no job can run here", e->options.dir);
}

static void on_declared(struct sk_op *op, void *ctx) {
  struct sk_engine *e = ctx;
  struct sk_declare_op *d = SK_CONTAINER(op, struct sk_declare_op, op);
  e->declaring = false;
  if (op->status == SK_OK) {
    sk_outage_works(e, SK_CHORE_DECLARE);
    sk_wake_fetch(e); /* a limit that has changed may let jobs start */
    e->declared_ms = sk_clock_mono_ms();
    if (!e->declare_wanted && !d->renew) sk_declare_log(e);
    sk_declare_tasks(e); /* a reload may have changed the tasks meanwhile */
  } else {
    e->declare_wanted = true; /* the next beat tries again */
    sk_outage_failed(e, SK_CHORE_DECLARE, &op->err);
  }
  sk_op_fini(op);
  free((void *)(uintptr_t)d->items);
  free((void *)(uintptr_t)d->queues);
  free(d);
  sk_engine_wake(e);
}

struct declaration {
  struct sk_task_item *items;
  size_t n;
};

static void add_item(const struct sk_task *task, void *ctx) {
  struct declaration *d = ctx;
  const struct sk_job *t = &task->template;
  d->items[d->n++] = (struct sk_task_item){
    .name = t->task,
    .queue = t->queue.n ? t->queue : SK_STR_LIT("default"),
    .priority = t->priority,
    .template = sk_str(task->record, task->record_n),
  };
}

void sk_declare_tasks(struct sk_engine *e) {
  size_t n = sk_tasks_count(e->tasks), queues_n;
  const struct sk_queue_settings *settings = sk_tasks_queues(e->tasks, &queues_n);
  bool renew = !e->declare_wanted && e->declared_ms > 0 && sk_clock_mono_ms() - e->declared_ms >= SK_DECLARE_EVERY_MS;
  if (!(e->declare_wanted || renew) || e->declaring || e->stopping || e->store == NULL || n + queues_n == 0) return;
  struct sk_declare_op *op = calloc(1, sizeof *op);
  struct declaration d = { calloc(n + 1, sizeof *d.items), 0 };
  struct sk_queue_settings *queues = calloc(queues_n + 1, sizeof *queues);
  if (op == NULL || d.items == NULL || queues == NULL) {
    free(op);
    free(d.items);
    free(queues);
    return;
  }
  sk_tasks_each(e->tasks, add_item, &d); /* its names live as long as the tasks do (tasks.h) */
  if (queues_n > 0) memcpy(queues, settings, queues_n * sizeof *queues);
  *op = (struct sk_declare_op){ .op = { .cb = on_declared, .ctx = e },
                                .owner = sk_str_c(e->owner),
                                .renew = renew,
                                .items = d.items,
                                .items_n = d.n,
                                .queues = queues,
                                .queues_n = queues_n };
  e->declaring = true;
  e->declare_wanted = false;
  e->store->ops->declare(e->store, op);
}
