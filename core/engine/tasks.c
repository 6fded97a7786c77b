/* tasks.c - see tasks.h. */
#include "engine/tasks.h"

#include <stdlib.h>
#include <string.h>

#include "logic/record.h"

struct sk_tasks {
  struct sk_task *by_name; /* the newest template of each name, in whatever set */
  uint64_t set;
  size_t n; /* tasks of this set */
  unsigned hooks;
  struct sk_queue_settings *queues; /* owned array; names in `names` */
  size_t queues_n;
  struct sk_arena names;
};

struct sk_tasks *sk_tasks_new(void) {
  return calloc(1, sizeof(struct sk_tasks));
}

static void free_chain(struct sk_task *t) {
  while (t) {
    struct sk_task *next = t->replaced;
    free(t->record);
    free(t);
    t = next;
  }
}

void sk_tasks_free(struct sk_tasks *tasks) {
  if (tasks == NULL) return;
  struct sk_task *t, *next;
  HASH_ITER(hh, tasks->by_name, t, next) {
    HASH_DEL(tasks->by_name, t);
    free_chain(t);
  }
  free(tasks->queues);
  sk_arena_fini(&tasks->names);
  free(tasks);
}

static bool same_template(const struct sk_job *a, const struct sk_job *b) {
  struct sk_buf x = { 0 }, y = { 0 };
  sk_record_encode(a, &x);
  sk_record_encode(b, &y);
  bool same = !x.failed && !y.failed && sk_str_eq(sk_buf_str(&x), sk_buf_str(&y));
  sk_buf_fini(&x);
  sk_buf_fini(&y);
  return same;
}

void sk_tasks_new_set(struct sk_tasks *tasks) {
  tasks->set++;
  tasks->n = 0;
  for (size_t i = 0; i < tasks->queues_n; i++)
    tasks->queues[i] = (struct sk_queue_settings){ .name = tasks->queues[i].name };
}

/* Adds t, in the place of `old` if that is not NULL.  False when memory is out: then t was not added. */
static bool put(struct sk_tasks *tasks, struct sk_task *t, struct sk_task *old) {
  HASH_ADD_KEYPTR(hh, tasks->by_name, t->template.task.p, t->template.task.n, t);
  if (t->hh.tbl == NULL) return false;
  if (old) HASH_DEL(tasks->by_name, old);
  t->replaced = old;
  return true;
}

static struct sk_task *make(struct sk_str record, struct sk_err *err) {
  struct sk_task *t = calloc(1, sizeof *t);
  if (t) t->record = malloc(record.n ? record.n : 1);
  if (t == NULL || t->record == NULL) {
    free(t);
    sk_err_set(err, SK_ENOMEM, "task template: out of memory");
    return NULL;
  }
  memcpy(t->record, record.p, record.n);
  t->record_n = record.n;
  if (sk_record_decode(sk_str(t->record, record.n), &t->template, err) == SK_OK) return t;
  free_chain(t);
  return NULL;
}

enum sk_code sk_tasks_put(struct sk_tasks *tasks, struct sk_str record, unsigned hooks, bool *changed,
                          struct sk_err *err) {
  struct sk_err why = { 0 };
  struct sk_task *t = make(record, &why), *old;
  if (t == NULL) {
    if (err) *err = why;
    return why.code;
  }
  HASH_FIND(hh, tasks->by_name, t->template.task.p, t->template.task.n, old);
  bool same = old && same_template(&old->template, &t->template), known = old && old->set == tasks->set;
  if (same || !put(tasks, t, old)) {
    free_chain(t);
    if (!same) return sk_err_set(err, SK_ENOMEM, "task template: out of memory");
    t = old;
  }
  if (changed) *changed = !same || !known;
  if (!known) tasks->n++;
  t->set = tasks->set;
  t->hooks = hooks;
  return SK_OK;
}

/* -- queues -------------------------------------------------------------------------------------------------------- */

static struct sk_queue_settings *find_queue(const struct sk_tasks *tasks, struct sk_str name) {
  for (size_t i = 0; i < tasks->queues_n; i++)
    if (sk_str_eq(tasks->queues[i].name, name)) return &tasks->queues[i];
  return NULL;
}

static struct sk_queue_settings *add_queue(struct sk_tasks *tasks, struct sk_str name) {
  struct sk_queue_settings *queues = realloc(tasks->queues, (tasks->queues_n + 1) * sizeof *queues);
  if (queues) tasks->queues = queues;
  struct sk_str copy = sk_arena_copy(&tasks->names, name);
  if (queues == NULL || copy.p == NULL) return NULL;
  queues[tasks->queues_n] = (struct sk_queue_settings){ .name = copy };
  return &queues[tasks->queues_n++];
}

enum sk_code sk_tasks_put_queue(struct sk_tasks *tasks, const struct sk_queue_settings *queue, bool *changed,
                                struct sk_err *err) {
  struct sk_queue_settings *there = find_queue(tasks, queue->name);
  *changed = there == NULL || !sk_queue_settings_same(there, queue);
  if (there == NULL) there = add_queue(tasks, queue->name);
  if (there == NULL) return sk_err_set(err, SK_ENOMEM, "queue: out of memory");
  struct sk_str name = there->name;
  *there = *queue;
  there->name = name;
  return SK_OK;
}

const struct sk_queue_settings *sk_tasks_queues(const struct sk_tasks *tasks, size_t *n) {
  *n = tasks->queues_n;
  return tasks->queues;
}

bool sk_tasks_limit_queue(const struct sk_tasks *tasks, struct sk_str queue) {
  const struct sk_queue_settings *there = find_queue(tasks, queue);
  return there && (there->limit.concurrency > 0 || there->limit.rate > 0);
}

/* -- handlers ------------------------------------------------------------------------------------------------------ */

void sk_tasks_set_hooks(struct sk_tasks *tasks, unsigned hooks) { tasks->hooks = hooks; }

unsigned sk_tasks_hooks(const struct sk_tasks *tasks, const struct sk_task *task) {
  return tasks->hooks | (task ? task->hooks : 0);
}

/* -- tasks --------------------------------------------------------------------------------------------------------- */

const struct sk_task *sk_tasks_find(const struct sk_tasks *tasks, struct sk_str name) {
  struct sk_task *t;
  HASH_FIND(hh, tasks->by_name, name.p, name.n, t);
  return t && t->set == tasks->set ? t : NULL;
}

size_t sk_tasks_count(const struct sk_tasks *tasks) { return tasks->n; }

void sk_tasks_each(const struct sk_tasks *tasks, void (*each)(const struct sk_task *task, void *ctx), void *ctx) {
  for (const struct sk_task *t = tasks->by_name; t; t = t->hh.next)
    if (t->set == tasks->set) each(t, ctx);
}
