/* served.c - warns of queues that the engine is to serve and that neither the scripts nor the store have: the name is
 * most likely misspelt, and the engine would wait for jobs for ever.  Checked when the scripts or the queues to serve
 * have changed. */
#include <stdlib.h>
#include <string.h>

#include "base/limits.h"
#include "engine/state.h"
#include "logic/nearest.h"

/* The name of a queue to serve, compared with the names that the scripts and the store have. */
struct served {
  struct sk_str name;
  bool known;
  struct sk_nearest nearest; /* borrows the names */
};

static void see(struct served *s, struct sk_str name) {
  s->known = s->known || sk_str_eq(s->name, name);
  sk_nearest_try(&s->nearest, name);
}

static void see_task(const struct sk_task *task, void *ctx) {
  if (task->template.queue.n > 0) see(ctx, task->template.queue);
  if (task->template.retry_queue.n > 0) see(ctx, task->template.retry_queue);
}

static void warn(const struct sk_engine *e, const struct served *s) {
  bool near = s->nearest.name.n > 0;
  sk_logf(e->log, SK_LOG_WARN,
          "queue \"%.*s\" is to be served, but no script declares it and the store does not know it%s%.*s%s",
          SK_STR_ARG(s->name), near ? " (did you mean " : "", SK_STR_ARG(s->nearest.name), near ? "?)" : "");
}

static void look_at(const struct sk_engine *e, struct sk_str name, const struct sk_count_op *count) {
  struct served s = { .name = name };
  size_t settings_n;
  const struct sk_queue_settings *settings = sk_tasks_queues(e->tasks, &settings_n);
  sk_nearest_init(&s.nearest, name);
  see(&s, SK_STR_LIT("default"));
  sk_tasks_each(e->tasks, see_task, &s);
  for (size_t i = 0; i < settings_n; i++) see(&s, settings[i].name);
  for (size_t i = 0; i < count->queues_n; i++) see(&s, count->queues[i].name);
  if (!s.known) warn(e, &s);
}

static void on_counted(struct sk_op *op, void *ctx) {
  struct sk_engine *e = ctx;
  struct sk_count_op *count = e->counting;
  e->counting = NULL;
  for (size_t i = 0; op->status == SK_OK && !e->served.all && i < e->served.n; i++)
    look_at(e, e->served.queues[i].spec.name, count);
  sk_op_fini(op); /* a store that does not answer is logged elsewhere */
  free(count);
  sk_engine_wake(e);
}

void sk_served_check(struct sk_engine *e) {
  if (e->served.all || e->counting || e->stopping || e->store == NULL) return;
  e->counting = calloc(1, sizeof *e->counting);
  if (e->counting == NULL) return;
  e->counting->op = (struct sk_op){ .cb = on_counted, .ctx = e };
  e->store->ops->count(e->store, e->counting);
}
