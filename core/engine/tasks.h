/* tasks.h - what the scripts declare, as the workers report it: the templates of tasks, which handlers there are, queues' limits.
 *
 * The tasks there are, are a set; a reload starts a new one.  A template stays valid for the engine's life, also when it was
 * replaced or is in the set no more, because running jobs point to it. */
#ifndef SK_ENGINE_TASKS_H
#define SK_ENGINE_TASKS_H

#include <stddef.h>

#define HASH_NONFATAL_OOM 1 /* an element that found no memory is not in the hash: its hh.tbl is NULL */
#include <uthash.h>

#include "base/err.h"
#include "logic/job.h"
#include "store/store.h"

struct sk_task {
  struct sk_job template; /* slices point into `record` */
  char *record;           /* owned */
  size_t record_n;
  struct sk_task *replaced; /* owned: what this one took the place of */
  uint64_t set;             /* the last one it is in */
  unsigned hooks;           /* SK_HOOK_* of its own (wire.h) */
  UT_hash_handle hh;
};

struct sk_tasks;
struct sk_tasks *sk_tasks_new(void);
void sk_tasks_free(struct sk_tasks *tasks);
/* From here on there are no tasks but those that are put. */
void sk_tasks_new_set(struct sk_tasks *tasks);
/* Adds or replaces the template in record (copied).  *changed (may be NULL) tells whether it differs from what was there. */
enum sk_code sk_tasks_put(struct sk_tasks *tasks, struct sk_str record, unsigned hooks, bool *changed,
                          struct sk_err *err);
/* The same with what a queue is bound to (name copied). */
enum sk_code sk_tasks_put_queue(struct sk_tasks *tasks, const struct sk_queue_settings *queue, bool *changed,
                                struct sk_err *err);
/* Handlers for all tasks: SK_HOOK_*. */
void sk_tasks_set_hooks(struct sk_tasks *tasks, unsigned hooks);
/* Those, and the task's own; task may be NULL. */
unsigned sk_tasks_hooks(const struct sk_tasks *tasks, const struct sk_task *task);
/* NULL when there is no such task. */
const struct sk_task *sk_tasks_find(const struct sk_tasks *tasks, struct sk_str name);
size_t sk_tasks_count(const struct sk_tasks *tasks);
/* What the scripts have ever bound queues to: those that they bind no more are there with no bounds.  Valid until the next put. */
const struct sk_queue_settings *sk_tasks_queues(const struct sk_tasks *tasks, size_t *n);
/* True when the scripts limit how many jobs of that queue run, or start in a time. */
bool sk_tasks_limit_queue(const struct sk_tasks *tasks, struct sk_str queue);
/* Calls each(task, ctx) for every task. */
void sk_tasks_each(const struct sk_tasks *tasks, void (*each)(const struct sk_task *task, void *ctx), void *ctx);

#endif
