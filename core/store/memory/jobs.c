/* memory/jobs.c - the table of jobs, their moves between states (memory.h has the picture), and their records. */
#include <assert.h>
#include <stdlib.h>

#include "base/buf.h"
#include "logic/record.h"
#include "store/memory/memory.h"

/* -- the table ----------------------------------------------------------------------------------------------------- */

/* Allocates a job, its names and its first record in one block; NULL when out of memory. */
static struct mem_job *job_new(struct mem *mem, const struct sk_enqueue_item *item) {
  struct sk_str record = sk_record_stamp(item->record, mem->now_ms, &mem->stamped);
  if (record.p == NULL && item->record.n > 0) return NULL;
  struct mem_job *job = malloc(sizeof *job + item->id.n + item->task.n + record.n);
  if (job == NULL) return NULL;
  memset(job, 0, sizeof *job);
  char *p = job->bytes;
  struct sk_str *slices[] = { &job->id, &job->task, &job->record };
  const struct sk_str from[] = { item->id, item->task, record };
  for (size_t i = 0; i < 3; i++) {
    if (from[i].n) memcpy(p, from[i].p, from[i].n);
    *slices[i] = sk_str(p, from[i].n);
    p += from[i].n;
  }
  job->priority = item->priority;
  sk_list_init(&job->node);
  sk_list_init(&job->all);
  return job;
}

/* The limit of a new job: its own, or the limit that its task declares now, if the job was made under an earlier
 * declaration. */
static struct sk_limit limit_of(const struct mem *mem, const struct sk_enqueue_item *item) {
  struct sk_limit limit = item->limit;
  struct mem_task *task = NULL;
  if (limit.group.n) HASH_FIND(hh, mem->tasks, item->task.p, item->task.n, task);
  if (task != NULL && task->past.n > 0) sk_limit_renew(sk_buf_str(&task->past), &limit);
  return limit;
}

/* Puts the job into its group and into the table; false when out of memory. */
static bool enrol(struct mem *mem, struct mem_job *job, const struct sk_enqueue_item *item) {
  if (item->limit.group.n) {
    struct sk_limit limit = limit_of(mem, item);
    job->lane = sk_mem_lane_join(mem, &limit, job->queue, job->priority);
    if (job->lane == NULL) return false;
  }
  if (sk_mem_table_add(&mem->jobs, job)) return true;
  if (job->lane != NULL) sk_mem_lane_quit(mem, job->lane);
  return false;
}

struct mem_job *sk_mem_add(struct mem *mem, const struct sk_enqueue_item *item) {
  struct mem_queue *queue = sk_mem_queue(mem, item->queue);
  int64_t due_ms = item->delay_ms > 0 ? sk_mem_later(mem->now_ms, item->delay_ms) : item->due_ms;
  if (queue == NULL || (due_ms > mem->now_ms && !sk_heap_reserve(&queue->due))) return NULL;
  struct mem_job *job = job_new(mem, item);
  if (job == NULL) return NULL;
  job->queue = queue;
  if (!enrol(mem, job, item)) {
    sk_mem_free(job);
    return NULL;
  }
  sk_list_push(&mem->all, &job->all);
  if (job->lane != NULL) {
    struct sk_limit limit = limit_of(mem, item);
    sk_mem_group_renumber(mem, job->lane->key.group, &limit);
  }
  if (due_ms <= mem->now_ms)
    sk_mem_enter_last(mem, job);
  else
    sk_mem_wait(mem, job, queue, SK_STATE_SCHEDULED, due_ms);
  return job;
}

void sk_mem_drop(struct mem *mem, struct mem_job *job) {
  sk_mem_leave(mem, job);
  sk_mem_lock_leave(mem, job);
  sk_mem_ungrant(mem, job);
  if (job->lane != NULL) sk_mem_lane_quit(mem, job->lane);
  sk_mem_table_remove(&mem->jobs, job);
  if (!sk_list_empty(&mem->walks)) sk_mem_walks_pass(mem, job);
  sk_list_remove(&job->all);
  sk_mem_free(job);
}

bool sk_mem_drop_ended(struct mem *mem, size_t n) {
  struct sk_heap_node *first;
  while ((first = sk_heap_first(&mem->kept)) != NULL && first->key <= mem->now_ms) {
    if (n-- == 0) return true;
    sk_mem_drop(mem, SK_CONTAINER(first, struct mem_job, place));
  }
  return false;
}

/* -- states -------------------------------------------------------------------------------------------------------- */

void sk_mem_leave(struct mem *mem, struct mem_job *job) {
  if (job->state == SK_STATE_NONE) return; /* new */
  if (job->state == SK_STATE_READY)
    sk_mem_lane_remove(sk_mem_lane_of(job), job);
  else if (sk_heap_has(&job->place))
    sk_heap_remove(sk_state_is_final(job->state) ? &mem->kept : &job->queue->due, &job->place);
  sk_list_remove(&job->node); /* RUNNING, or SCHEDULED or RETRY with a slot */
  job->queue->states[job->state]--;
  job->state = SK_STATE_NONE;
  job->holder = NULL;
}

static void set_state(struct mem_job *job, enum sk_state state) {
  assert(job->state == SK_STATE_NONE);
  job->state = state;
  job->queue->states[state]++;
}

void sk_mem_enter_ready(struct mem_job *job) {
  set_state(job, SK_STATE_READY);
  sk_mem_lane_put(sk_mem_lane_of(job), job);
}

void sk_mem_enter_last(struct mem *mem, struct mem_job *job) {
  set_state(job, SK_STATE_READY);
  job->due_ms = MEM_NEVER;
  job->seq = ++mem->seq;
  sk_mem_lane_push(sk_mem_lane_of(job), job);
}

/* Moves the job into another queue, and into the lane of its group there; false when out of memory. */
static bool move(struct mem *mem, struct mem_job *job, struct mem_queue *queue) {
  struct mem_lane *lane = NULL;
  if (job->lane != NULL) {
    lane = sk_mem_lane_join(mem, &job->lane->key.group->limit, queue, job->priority);
    if (lane == NULL) return false;
  }
  sk_mem_leave(mem, job);
  struct mem_lane *from = job->lane;
  job->lane = lane;
  job->queue = queue;
  if (from != NULL) sk_mem_lane_quit(mem, from);
  return true;
}

bool sk_mem_wait(struct mem *mem, struct mem_job *job, struct mem_queue *queue, enum sk_state state, int64_t due_ms) {
  if (!sk_heap_reserve(&queue->due)) return false;
  if (queue != job->queue && !move(mem, job, queue)) return false;
  sk_mem_leave(mem, job);
  if (job->granted && !job->lane->key.group->limit.strict) sk_mem_ungrant(mem, job);
  job->due_ms = due_ms;
  job->seq = ++mem->seq;
  if (due_ms <= mem->now_ms) {
    sk_mem_enter_ready(job);
    return true;
  }
  set_state(job, state);
  sk_mem_heap_put(&queue->due, job, due_ms);
  if (job->granted) sk_list_push(&job->lane->key.group->waiting, &job->node);
  return true;
}

void sk_mem_enter_running(struct mem *mem, struct mem_job *job, struct mem_holder *holder) {
  set_state(job, SK_STATE_RUNNING);
  sk_mem_grant(mem, job);
  job->holder = holder;
  job->fence = ++mem->fence;
  job->running_since_ms = mem->now_ms;
  free(job->progress);
  job->progress = NULL;
  if (job->stopping)
    sk_list_push_front(&holder->jobs, &job->node);
  else
    sk_list_push(&holder->jobs, &job->node);
}

void sk_mem_stop(struct mem_job *job) {
  assert(job->state == SK_STATE_RUNNING);
  job->stopping = true;
  sk_list_remove(&job->node);
  sk_list_push_front(&job->holder->jobs, &job->node);
}

bool sk_mem_finish(struct mem *mem, struct mem_job *job, enum sk_state state, int64_t end_ms) {
  if (end_ms != MEM_NEVER && !sk_heap_reserve(&mem->kept)) return false;
  sk_mem_leave(mem, job);
  sk_mem_lock_leave(mem, job);
  sk_mem_ungrant(mem, job);
  job->stopping = false;
  set_state(job, state);
  job->seq = ++mem->seq;
  if (end_ms != MEM_NEVER) sk_mem_heap_put(&mem->kept, job, end_ms);
  return true;
}

void sk_mem_promote(struct mem *mem, struct mem_queue *queue, size_t *budget) {
  for (struct mem_job *job; *budget > 0 && (job = sk_mem_heap_job(&queue->due)) && job->due_ms <= mem->now_ms;) {
    sk_mem_leave(mem, job);
    sk_mem_enter_ready(job);
    --*budget;
  }
}

/* -- records ------------------------------------------------------------------------------------------------------- */

void sk_mem_set_record(struct mem_job *job, struct sk_str record) {
  free(job->owned_record);
  job->owned_record = (char *)(uintptr_t)record.p;
  job->record = record;
}

struct sk_str sk_mem_copy(struct sk_str s) {
  char *p = malloc(s.n + 1);
  if (p != NULL && s.n) memcpy(p, s.p, s.n);
  return sk_str(p, p ? s.n : 0);
}

struct sk_str sk_mem_edit(const struct mem_job *job, void (*edit)(struct sk_job *, int64_t now_ms), int64_t now_ms) {
  struct sk_job fields;
  if (sk_record_decode(job->record, &fields, NULL) != SK_OK) return sk_mem_copy(job->record);
  edit(&fields, now_ms);
  struct sk_buf buf = { 0 };
  sk_record_encode(&fields, &buf);
  if (!buf.failed) return sk_buf_str(&buf);
  sk_buf_fini(&buf);
  return sk_str(NULL, 0);
}
