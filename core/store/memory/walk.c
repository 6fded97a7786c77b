/* memory/walk.c - walks over all jobs that go on in steps, while jobs come, move and go; and pins, which keep the
 * memory of a job to which such an operation refers. */
#include <assert.h>
#include <stdlib.h>

#include "store/memory/memory.h"

/* -- walks --------------------------------------------------------------------------------------------------------- */

static struct mem_job *job_after(const struct mem *mem, const struct sk_list *node) {
  return node->next == &mem->all ? NULL : SK_CONTAINER(node->next, struct mem_job, all);
}

void sk_mem_walk_start(struct mem *mem, struct mem_walk *walk) {
  walk->next = job_after(mem, &mem->all);
  walk->left = mem->jobs.n;
  sk_list_push(&mem->walks, &walk->node);
}

struct mem_job *sk_mem_walk_next(const struct mem *mem, struct mem_walk *walk) {
  struct mem_job *job = walk->left > 0 ? walk->next : NULL;
  if (job == NULL) return NULL;
  walk->left--;
  walk->next = job_after(mem, &job->all);
  if (walk->next != NULL) __builtin_prefetch(walk->next->all.next);
  return job;
}

void sk_mem_walk_end(struct mem_walk *walk) { sk_list_remove(&walk->node); }

void sk_mem_walks_pass(struct mem *mem, const struct mem_job *job) {
  SK_LIST_EACH (it, &mem->walks) {
    struct mem_walk *walk = SK_CONTAINER(it, struct mem_walk, node);
    if (walk->next == job) walk->next = job_after(mem, &job->all);
  }
}

bool sk_mem_matches(const struct mem_job *job, const struct sk_filter *filter) {
  return (filter->state == SK_STATE_NONE || filter->state == job->state) &&
         (filter->queue.n == 0 || sk_str_eq(filter->queue, job->queue->name)) &&
         (filter->task.n == 0 || sk_str_eq(filter->task, job->task));
}

/* -- memory -------------------------------------------------------------------------------------------------------- */

static void job_free(struct mem_job *job) {
  free(job->owned_record);
  free(job->progress);
  free(job);
}

void sk_mem_free(struct mem_job *job) {
  job->dropped = true;
  if (job->pins == 0) job_free(job);
}

void sk_mem_pin(struct mem_job *job) { job->pins++; }

void sk_mem_unpin(struct mem_job *job) {
  assert(job->pins > 0);
  if (--job->pins == 0 && job->dropped) job_free(job);
}
