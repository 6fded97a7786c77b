/* tasks.h - the declarations of the scripts, as workers report them: templates of tasks, which handlers there are,
 * queue settings.
 *
 * The declared tasks form a set; each reload starts a new set.  A template stays valid for the life of the engine, even
 * if it was replaced or is not in the newest set, because running jobs point to it. */
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
  struct sk_task *replaced; /* owned: the template that this one has replaced */
  uint64_t set;             /* the last set that it is in */
  unsigned hooks;           /* SK_HOOK_* of the task itself (wire.h) */
  UT_hash_handle hh;
};

struct sk_tasks;
struct sk_tasks *sk_tasks_new(void);
void sk_tasks_free(struct sk_tasks *tasks);
/* Starts a new set, without tasks and with empty queue settings. */
void sk_tasks_new_set(struct sk_tasks *tasks);
/* Adds or replaces the template in record (copied).  *changed (may be NULL) tells whether it differs from what was
 * there. */
enum sk_code sk_tasks_put(struct sk_tasks *tasks, struct sk_str record, unsigned hooks, bool *changed,
                          struct sk_err *err);
/* The same with the settings of a queue; the name is copied. */
enum sk_code sk_tasks_put_queue(struct sk_tasks *tasks, const struct sk_queue_settings *queue, bool *changed,
                                struct sk_err *err);
/* Sets which handlers there are for all tasks: SK_HOOK_*. */
void sk_tasks_set_hooks(struct sk_tasks *tasks, unsigned hooks);
/* Which handlers there are for this task, those for all tasks included; task may be NULL. */
unsigned sk_tasks_hooks(const struct sk_tasks *tasks, const struct sk_task *task);
/* NULL: the set has no such task. */
const struct sk_task *sk_tasks_find(const struct sk_tasks *tasks, struct sk_str name);
size_t sk_tasks_count(const struct sk_tasks *tasks);
/* The settings of all queues that the scripts have ever configured.  Queues that the set does not configure have empty
 * settings, so that the store hears of it.  Valid until the next put. */
const struct sk_queue_settings *sk_tasks_queues(const struct sk_tasks *tasks, size_t *n);
/* True when the scripts limit how many jobs of that queue run, or start in a time. */
bool sk_tasks_limit_queue(const struct sk_tasks *tasks, struct sk_str queue);
/* Calls each(task, ctx) for every task. */
void sk_tasks_each(const struct sk_tasks *tasks, void (*each)(const struct sk_task *task, void *ctx), void *ctx);

#endif
