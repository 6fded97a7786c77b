/* memory_jobs.c - the table of jobs and their moves between states (memory.h has the picture).  All of it under the lock. */
#include <assert.h>
#include <stdlib.h>

#include "base/buf.h"
#include "logic/record.h"
#include "store/memory.h"

static size_t line_of(int32_t priority) { return (size_t)(SK_PRIORITY_MAX - priority); }

/* Heaps break ties by a counter of their own; ours are broken by the job's place in line, wherever it was meanwhile. */
static bool heap_put(struct sk_heap *heap, struct mem_job *job, int64_t key) {
  heap->seq = job->seq;
  return sk_heap_insert(heap, &job->place, key);
}

static struct mem_job *heap_job(const struct sk_heap *heap) {
  struct sk_heap_node *first = sk_heap_first(heap);
  return first ? SK_CONTAINER(first, struct mem_job, place) : NULL;
}

/* -- the table ------------------------------------------------------------------------------------------------------------- */

struct mem_queue *sk_mem_queue_find(struct mem *mem, struct sk_str name) {
  struct mem_queue *queue;
  HASH_FIND(hh, mem->queues, name.p, name.n, queue);
  return queue;
}

struct mem_queue *sk_mem_queue(struct mem *mem, struct sk_str name) {
  struct mem_queue *queue = sk_mem_queue_find(mem, name);
  if (queue != NULL) return queue;
  queue = calloc(1, sizeof *queue + name.n);
  if (queue == NULL) return NULL;
  memcpy(queue->bytes, name.p, name.n);
  queue->name = sk_str(queue->bytes, name.n);
  for (int i = 0; i < SK_PRIORITIES; i++) sk_list_init(&queue->fifo[i]);
  HASH_ADD_KEYPTR(hh, mem->queues, queue->bytes, name.n, queue);
  if (queue->hh.tbl == NULL) {
    free(queue);
    return NULL;
  }
  mem->queues_version++;
  return queue;
}

/* One block for the job, its names and its first record. */
static struct mem_job *job_new(const struct sk_enqueue_item *item) {
  struct mem_job *job = malloc(sizeof *job + item->id.n + item->task.n + item->record.n);
  if (job == NULL) return NULL;
  memset(job, 0, sizeof *job);
  char *p = job->bytes;
  struct sk_str *slices[] = { &job->id, &job->task, &job->record };
  const struct sk_str from[] = { item->id, item->task, item->record };
  for (size_t i = 0; i < 3; i++) {
    if (from[i].n) memcpy(p, from[i].p, from[i].n);
    *slices[i] = sk_str(p, from[i].n);
    p += from[i].n;
  }
  job->priority = item->priority;
  job->percent = -1;
  sk_list_init(&job->node);
  return job;
}

void sk_mem_free(struct mem_job *job) {
  free(job->owned_record);
  free((void *)(uintptr_t)job->note.p);
  free(job);
}

enum sk_code sk_mem_add(struct mem *mem, const struct sk_enqueue_item *item, int64_t now_ms) {
  if (sk_mem_find(mem, item->id) != NULL) return SK_EEXISTS;
  struct mem_queue *queue = sk_mem_queue(mem, item->queue);
  struct mem_job *job = queue ? job_new(item) : NULL;
  if (job == NULL) return SK_ENOMEM;
  if (!sk_mem_table_add(&mem->jobs, job)) {
    sk_mem_free(job);
    return SK_ENOMEM;
  }
  job->queue = queue;
  int64_t due_ms = item->delay_ms > 0 ? sk_mem_later(now_ms, item->delay_ms) : item->due_ms;
  if (due_ms <= now_ms) {
    sk_mem_enter_last(mem, job);
  } else if (!sk_mem_wait(mem, job, queue, SK_STATE_SCHEDULED, due_ms, now_ms)) {
    sk_mem_table_remove(&mem->jobs, job);
    sk_mem_free(job);
    return SK_ENOMEM;
  }
  return SK_OK;
}

void sk_mem_drop(struct mem *mem, struct mem_job *job) {
  sk_mem_leave(mem, job);
  sk_mem_table_remove(&mem->jobs, job);
  sk_mem_free(job);
}

/* -- states ---------------------------------------------------------------------------------------------------------------- */

static struct sk_heap *heap_of(struct mem *mem, const struct mem_job *job) {
  if (job->state == SK_STATE_READY) return &job->queue->front[line_of(job->priority)];
  return sk_state_is_final(job->state) ? &mem->kept : &job->queue->due;
}

void sk_mem_leave(struct mem *mem, struct mem_job *job) {
  if (job->state == SK_STATE_NONE) return; /* new */
  if (sk_heap_has(&job->place)) sk_heap_remove(heap_of(mem, job), &job->place);
  sk_list_remove(&job->node);
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
  size_t line = line_of(job->priority);
  if (!heap_put(&job->queue->front[line], job, job->due_ms)) sk_list_push_front(&job->queue->fifo[line], &job->node);
}

void sk_mem_enter_last(struct mem *mem, struct mem_job *job) {
  set_state(job, SK_STATE_READY);
  job->due_ms = MEM_NEVER;
  job->seq = ++mem->seq;
  sk_list_push(&job->queue->fifo[line_of(job->priority)], &job->node);
}

bool sk_mem_wait(struct mem *mem, struct mem_job *job, struct mem_queue *queue, enum sk_state state, int64_t due_ms, int64_t now_ms) {
  if (!sk_heap_reserve(&queue->due)) return false;
  sk_mem_leave(mem, job);
  job->queue = queue;
  job->due_ms = due_ms;
  job->seq = ++mem->seq;
  if (due_ms <= now_ms) {
    sk_mem_enter_ready(job);
    return true;
  }
  set_state(job, state);
  heap_put(&queue->due, job, due_ms);
  return true;
}

void sk_mem_enter_running(struct mem *mem, struct mem_job *job, struct mem_handle *holder, int64_t now_ms) {
  set_state(job, SK_STATE_RUNNING);
  job->holder = holder;
  job->fence = ++mem->fence;
  job->held_ms = now_ms;
  job->percent = -1;
  free((void *)(uintptr_t)job->note.p);
  job->note = sk_str(NULL, 0);
  sk_list_push(&holder->held, &job->node);
}

bool sk_mem_finish(struct mem *mem, struct mem_job *job, enum sk_state state, int64_t end_ms) {
  if (end_ms != MEM_NEVER && !sk_heap_reserve(&mem->kept)) return false;
  sk_mem_leave(mem, job);
  set_state(job, state);
  job->seq = ++mem->seq;
  if (end_ms != MEM_NEVER) heap_put(&mem->kept, job, end_ms);
  return true;
}

struct mem_job *sk_mem_next(const struct mem_queue *queue) {
  if (queue->states[SK_STATE_READY] == 0) return NULL;
  for (size_t line = 0; line < SK_PRIORITIES; line++) {
    struct mem_job *job = heap_job(&queue->front[line]);
    if (job != NULL) return job;
    if (!sk_list_empty(&queue->fifo[line])) return SK_CONTAINER(queue->fifo[line].next, struct mem_job, node);
  }
  return NULL;
}

void sk_mem_promote(struct mem *mem, struct mem_queue *queue, int64_t now_ms) {
  for (struct mem_job *job; (job = heap_job(&queue->due)) != NULL && job->due_ms <= now_ms;) {
    sk_mem_leave(mem, job);
    sk_mem_enter_ready(job);
  }
}

/* -- records --------------------------------------------------------------------------------------------------------------- */

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

static void count_recovery(struct sk_job *fields, int64_t now_ms) {
  (void)now_ms;
  fields->recoveries++;
}

size_t sk_mem_hand_back(struct mem *mem, struct mem_handle *holder, bool recovered) {
  size_t n = 0;
  for (; !sk_list_empty(&holder->held); n++) {
    struct mem_job *job = SK_CONTAINER(holder->held.next, struct mem_job, node);
    if (recovered) {
      struct sk_str record = sk_mem_edit(job, count_recovery, 0);
      if (record.p != NULL) sk_mem_set_record(job, record); /* without memory the job goes back uncounted */
    }
    sk_mem_leave(mem, job);
    sk_mem_enter_ready(job);
  }
  return n;
}
