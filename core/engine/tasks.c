/* tasks.c - see tasks.h. */
#include "engine/tasks.h"

#include <stdlib.h>
#include <string.h>

#include "logic/record.h"

struct sk_tasks {
  struct sk_task *by_name; /* of all sets */
  uint64_t set;
  size_t n;                /* in this set */
};

struct sk_tasks *sk_tasks_new(void) { return calloc(1, sizeof(struct sk_tasks)); }

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
}

/* Puts t where `old` is, or is not yet.  False when out of memory: then it is not there. */
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
  if (sk_record_decode(sk_str(t->record, record.n), &t->template, err) == SK_OK) return t;
  free_chain(t);
  return NULL;
}

enum sk_code sk_tasks_put(struct sk_tasks *tasks, struct sk_str record, bool *changed, struct sk_err *err) {
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
  return SK_OK;
}

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
