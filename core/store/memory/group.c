/* memory/group.c - groups (store.h, GROUPS): their slots, the time of their next token, and their lanes. */
#include <assert.h>
#include <stdlib.h>

#include "store/memory/memory.h"

enum { REFRESH_PIECE = 1000 }; /* groups */

static int64_t now_us(const struct mem *mem) { return mem->now_ms * 1000; }

/* The time of the next token; 0: it is there. */
static int64_t token_us(const struct mem *mem, const struct mem_group *group) {
  int64_t wait_us = sk_limit_wait_us(&group->limit, group->full_us, now_us(mem));
  return wait_us > 0 ? now_us(mem) + wait_us : 0;
}

/* -- state --------------------------------------------------------------------------------------------------------- */

static enum sk_blocked_by blocked_by(const struct mem *mem, const struct mem_group *group) {
  if (group->limit.concurrency > 0 && group->running >= group->limit.concurrency) return SK_BLOCKED_BY_CONCURRENCY;
  return token_us(mem, group) > 0 ? SK_BLOCKED_BY_RATE : SK_BLOCKED_BY_NOTHING;
}

/* Brings blocked_by and token_us up to date, and moves the lanes if they changed: to be called when numbers, slots,
 * bucket or time have changed. */
static void update(struct mem *mem, struct mem_group *group) {
  enum sk_blocked_by before = group->blocked_by;
  int64_t token_before_us = group->token_us;
  group->blocked_by = blocked_by(mem, group);
  group->token_us = token_us(mem, group);
  if (group->blocked_by == before && (before != SK_BLOCKED_BY_RATE || group->token_us == token_before_us)) return;
  SK_LIST_EACH (it, &group->lanes) sk_mem_lane_place(SK_CONTAINER(it, struct mem_lane, peer));
}

void sk_mem_tokens_due(struct mem *mem, struct mem_queue *queue, size_t *budget) {
  struct sk_heap_node *first;
  while (*budget > 0 && (first = sk_heap_first(&queue->tokens)) != NULL && first->key <= now_us(mem)) {
    update(mem, SK_CONTAINER(first, struct mem_lane, token)->key.group);
    --*budget;
  }
}

enum sk_blocked_by sk_mem_blocked_by(const struct mem *mem, const struct mem_job *job) {
  enum sk_blocked_by queue = sk_mem_queue_blocked_by(mem, job->queue);
  enum sk_blocked_by group = job->lane && !job->granted ? blocked_by(mem, job->lane->key.group) : SK_BLOCKED_BY_NOTHING;
  if (group == SK_BLOCKED_BY_NOTHING || queue == SK_BLOCKED_BY_CONCURRENCY) return queue;
  return group;
}

/* -- slots --------------------------------------------------------------------------------------------------------- */

void sk_mem_grant(struct mem *mem, struct mem_job *job) {
  if (job->lane == NULL || job->granted) return;
  struct mem_group *group = job->lane->key.group;
  job->granted = true;
  group->running++;
  group->full_us = sk_limit_take(&group->limit, group->full_us, now_us(mem));
  update(mem, group);
}

void sk_mem_ungrant(struct mem *mem, struct mem_job *job) {
  if (!job->granted) return;
  struct mem_group *group = job->lane->key.group;
  assert(group->running > 0);
  job->granted = false;
  group->running--;
  update(mem, group);
}

void sk_mem_group_renumber(struct mem *mem, struct mem_group *group, const struct sk_limit *limit) {
  struct sk_str name = group->limit.group;
  group->limit = *limit;
  group->limit.group = name;
  for (struct sk_list *it; !limit->strict && (it = sk_list_pop(&group->waiting)) != NULL;) {
    struct mem_job *job = SK_CONTAINER(it, struct mem_job, node);
    job->granted = false;
    group->running--;
  }
  update(mem, group);
}

/* -- refreshing all groups, in pieces ------------------------------------------------------------------------------ */

/* Finds the task to which a group of that name belongs; NULL: no such task is declared. */
static struct mem_task *task_of(const struct mem *mem, struct sk_str group) {
  for (size_t n = 1; n <= group.n; n++) {
    if (n < group.n && group.p[n] != '/') continue;
    struct mem_task *task;
    HASH_FIND(hh, mem->tasks, group.p, n, task);
    if (task != NULL) return task;
  }
  return NULL;
}

static void refresh(struct mem *mem, struct mem_group *group) {
  const struct mem_task *task = task_of(mem, group->limit.group);
  struct sk_limit now = group->limit;
  if (task != NULL && task->past.n > 0 && sk_limit_renew(sk_buf_str(&task->past), &now))
    sk_mem_group_renumber(mem, group, &now);
  group->full_us = sk_limit_clamp(&group->limit, group->full_us, now_us(mem));
  update(mem, group);
}

void sk_mem_groups_refresh(struct mem *mem) { mem->refresh_at = mem->groups; }

bool sk_mem_groups_refresh_on(struct mem *mem) {
  for (int i = 0; i < REFRESH_PIECE && mem->refresh_at != NULL; i++) {
    struct mem_group *group = mem->refresh_at;
    mem->refresh_at = group->hh.next;
    refresh(mem, group);
  }
  return mem->refresh_at != NULL;
}

void sk_mem_clock_back(struct mem *mem) {
  for (struct mem_settings *settings = mem->settings; settings != NULL; settings = settings->hh.next)
    settings->full_us = sk_limit_clamp(&settings->item.limit, settings->full_us, now_us(mem));
  sk_mem_groups_refresh(mem);
  sk_mem_groups_refresh_on(mem);
}

/* -- groups and their lines ---------------------------------------------------------------------------------------- */

static struct mem_group *group_get(struct mem *mem, const struct sk_limit *limit) {
  struct sk_str name = limit->group;
  unsigned hash = (unsigned)sk_mem_hash(&mem->jobs, name);
  struct mem_group *group;
  HASH_FIND_BYHASHVALUE(hh, mem->groups, name.p, name.n, hash, group);
  if (group != NULL) return group;
  if (!sk_heap_reserve_for(&mem->idle, HASH_COUNT(mem->groups) + 1)) return NULL;
  group = calloc(1, sizeof *group + name.n);
  if (group == NULL) return NULL;
  memcpy(group->bytes, name.p, name.n);
  group->limit = *limit;
  group->limit.group = sk_str(group->bytes, name.n);
  sk_list_init(&group->lanes);
  sk_list_init(&group->waiting);
  HASH_ADD_KEYPTR_BYHASHVALUE(hh, mem->groups, group->bytes, name.n, hash, group);
  if (group->hh.tbl != NULL) return group;
  free(group);
  return NULL;
}

static void group_free(struct mem *mem, struct mem_group *group) {
  if (mem->refresh_at == group) mem->refresh_at = group->hh.next;
  HASH_DEL(mem->groups, group);
  free(group);
}

/* Keeps a group without jobs until its bucket is full. */
static void group_forget(struct mem *mem, struct mem_group *group) {
  assert(group->running == 0);
  if (group->full_us <= now_us(mem) || !sk_heap_insert(&mem->idle, &group->forgotten, group->full_us / 1000 + 1))
    group_free(mem, group);
}

bool sk_mem_groups_forget(struct mem *mem, size_t n) {
  struct sk_heap_node *first;
  while ((first = sk_heap_first(&mem->idle)) != NULL && first->key <= mem->now_ms) {
    if (n-- == 0) return true;
    sk_heap_remove(&mem->idle, first);
    group_free(mem, SK_CONTAINER(first, struct mem_group, forgotten));
  }
  return false;
}

static struct mem_lane *lane_new(struct mem *mem, struct mem_lane_key key) {
  if (!sk_heap_reserve_for(&key.queue->tokens, key.queue->lanes + 1)) return NULL;
  struct mem_lane *lane = calloc(1, sizeof *lane);
  if (lane == NULL) return NULL;
  sk_mem_lane_init(lane, key);
  HASH_ADD(hh, mem->lanes, key, sizeof lane->key, lane);
  if (lane->hh.tbl == NULL) {
    free(lane);
    return NULL;
  }
  key.queue->lanes++;
  if (sk_heap_has(&key.group->forgotten)) sk_heap_remove(&mem->idle, &key.group->forgotten);
  sk_list_push(&key.group->lanes, &lane->peer);
  return lane;
}

struct mem_lane *sk_mem_lane_join(struct mem *mem, const struct sk_limit *limit, struct mem_queue *queue,
                                  int32_t priority) {
  struct mem_group *group = group_get(mem, limit);
  if (group == NULL) return NULL;
  const struct mem_lane_key key = { .group = group, .queue = queue, .rank = (size_t)(SK_PRIORITY_MAX - priority) };
  struct mem_lane *lane;
  HASH_FIND(hh, mem->lanes, &key, sizeof key, lane);
  if (lane == NULL) lane = lane_new(mem, key);
  if (lane != NULL)
    lane->jobs++;
  else if (sk_list_empty(&group->lanes) && !sk_heap_has(&group->forgotten))
    group_free(mem, group);
  return lane;
}

static void lane_free(struct mem *mem, struct mem_lane *lane) {
  HASH_DEL(mem->lanes, lane);
  sk_heap_fini(&lane->front);
  free(lane);
}

void sk_mem_lane_quit(struct mem *mem, struct mem_lane *lane) {
  assert(lane->jobs > 0);
  if (--lane->jobs > 0) return;
  assert(sk_mem_lane_empty(lane));
  struct mem_group *group = lane->key.group;
  sk_list_remove(&lane->peer);
  lane->key.queue->lanes--;
  lane_free(mem, lane);
  if (sk_list_empty(&group->lanes)) group_forget(mem, group);
}

void sk_mem_groups_free(struct mem *mem) {
  struct mem_lane *lane, *next_lane;
  HASH_ITER(hh, mem->lanes, lane, next_lane) lane_free(mem, lane);
  struct mem_group *group, *next_group;
  HASH_ITER(hh, mem->groups, group, next_group) group_free(mem, group);
  sk_heap_fini(&mem->idle);
}
