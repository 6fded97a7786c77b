/* tasks.c - see tasks.h. */
#include "engine/tasks.h"

#include <stdlib.h>
#include <string.h>

#include "logic/record.h"

struct sk_tasks {
  struct sk_task *by_name;
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

enum sk_code sk_tasks_put(struct sk_tasks *tasks, struct sk_str record, bool *changed, struct sk_err *err) {
  struct sk_task *t = calloc(1, sizeof *t);
  char *copy = malloc(record.n ? record.n : 1);
  if (t == NULL || copy == NULL) goto no_memory;
  memcpy(copy, record.p, record.n);
  t->record = copy;
  enum sk_code code = sk_record_decode(sk_str(copy, record.n), &t->template, err);
  if (code != SK_OK) {
    free_chain(t);
    return code;
  }
  struct sk_task *old;
  HASH_FIND(hh, tasks->by_name, t->template.task.p, t->template.task.n, old);
  if (changed) *changed = old == NULL || !same_template(&old->template, &t->template);
  if (old && same_template(&old->template, &t->template)) {
    free_chain(t);
    return SK_OK;
  }
  if (old) HASH_DEL(tasks->by_name, old);
  t->replaced = old;
  HASH_ADD_KEYPTR(hh, tasks->by_name, t->template.task.p, t->template.task.n, t);
  return SK_OK;
no_memory:
  free(t);
  free(copy);
  return sk_err_set(err, SK_ENOMEM, "task template: out of memory");
}

const struct sk_task *sk_tasks_find(const struct sk_tasks *tasks, struct sk_str name) {
  struct sk_task *t;
  HASH_FIND(hh, tasks->by_name, name.p, name.n, t);
  return t;
}

size_t sk_tasks_count(const struct sk_tasks *tasks) { return HASH_COUNT(tasks->by_name); }

void sk_tasks_each(const struct sk_tasks *tasks, void (*each)(const struct sk_task *task, void *ctx), void *ctx) {
  for (const struct sk_task *t = tasks->by_name; t; t = t->hh.next) each(t, ctx);
}
