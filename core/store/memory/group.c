/* memory/group.c - groups (store.h, GROUPS): who has their slots, when their next token is there, and where their lines are. */
#include <assert.h>
#include <stdlib.h>

#include "store/memory/memory.h"

static int64_t now_us(const struct mem *mem) { return mem->now_ms * 1000; }

/* When the next token is there; 0: it is. */
static int64_t token_us(const struct mem *mem, const struct mem_group *group) {
  int64_t wait_us = sk_limit_wait_us(&group->limit, group->full_us, now_us(mem));
  return wait_us > 0 ? now_us(mem) + wait_us : 0;
}

/* -- where the lines are ----------------------------------------------------------------------------------------------------- */

void sk_mem_line_place(struct mem_line *line) {
  struct mem_queue *queue = line->key.queue;
  sk_list_remove(&line->turn);
  if (sk_heap_has(&line->token)) sk_heap_remove(&queue->tokens, &line->token);
  if (sk_mem_line_empty(line)) return;
  switch (line->key.group->blocked_by) {
  case SK_BLOCKED_BY_NOTHING: sk_list_push(&queue->turns[line->key.rank], &line->turn); break;
  case SK_BLOCKED_BY_RATE: {
    bool ok = sk_heap_insert(&queue->tokens, &line->token, line->key.group->token_us);
    assert(ok); /* sk_mem_line_join made the room */
    break;
  }
  case SK_BLOCKED_BY_CONCURRENCY: break;
  }
}

static enum sk_blocked_by blocked_by(const struct mem *mem, const struct mem_group *group) {
  if (group->limit.concurrency > 0 && group->running >= group->limit.concurrency) return SK_BLOCKED_BY_CONCURRENCY;
  return token_us(mem, group) > 0 ? SK_BLOCKED_BY_RATE : SK_BLOCKED_BY_NOTHING;
}

/* Its numbers, slots or bucket have changed, or time has passed. */
static void update(struct mem *mem, struct mem_group *group) {
  enum sk_blocked_by before = group->blocked_by;
  int64_t token_before_us = group->token_us;
  group->blocked_by = blocked_by(mem, group);
  group->token_us = token_us(mem, group);
  if (group->blocked_by == before && (before != SK_BLOCKED_BY_RATE || group->token_us == token_before_us)) return;
  SK_LIST_EACH (it, &group->lines) sk_mem_line_place(SK_CONTAINER(it, struct mem_line, peer));
}

void sk_mem_tokens_due(struct mem *mem, struct mem_queue *queue) {
  for (struct sk_heap_node *first; (first = sk_heap_first(&queue->tokens)) != NULL && first->key <= now_us(mem);)
    update(mem, SK_CONTAINER(first, struct mem_line, token)->key.group);
}

void sk_mem_clock_back(struct mem *mem) {
  for (struct mem_group *group = mem->groups; group != NULL; group = group->hh.next) {
    group->full_us = sk_limit_clamp(&group->limit, group->full_us, now_us(mem));
    update(mem, group);
  }
  for (struct mem_bound *bound = mem->bounds; bound != NULL; bound = bound->hh.next)
    bound->full_us = sk_limit_clamp(&bound->item.limit, bound->full_us, now_us(mem));
}

enum sk_blocked_by sk_mem_blocked_by(const struct mem *mem, const struct mem_job *job) {
  enum sk_blocked_by queue = sk_mem_queue_blocked_by(mem, job->queue);
  enum sk_blocked_by group = job->line && !job->granted ? blocked_by(mem, job->line->key.group) : SK_BLOCKED_BY_NOTHING;
  if (group == SK_BLOCKED_BY_NOTHING || queue == SK_BLOCKED_BY_CONCURRENCY) return queue;
  return group;
}

/* -- slots ------------------------------------------------------------------------------------------------------------------- */

void sk_mem_grant(struct mem *mem, struct mem_job *job) {
  if (job->line == NULL || job->granted) return;
  struct mem_group *group = job->line->key.group;
  job->granted = true;
  group->running++;
  group->full_us = sk_limit_take(&group->limit, group->full_us, now_us(mem));
  update(mem, group);
}

void sk_mem_ungrant(struct mem *mem, struct mem_job *job) {
  if (!job->granted) return;
  struct mem_group *group = job->line->key.group;
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

void sk_mem_groups_renew(struct mem *mem, const struct mem_task *task) {
  struct sk_limit before = { .concurrency = -1 }, now = before; /* most groups have the same */
  for (struct mem_group *group = mem->groups; group != NULL; group = group->hh.next) {
    if (!sk_limit_is_of_task(group->limit.group, task->item.name)) continue;
    if (!sk_limit_same(&group->limit, &before)) {
      before = now = group->limit;
      sk_limit_renew(sk_buf_str(&task->past), &now);
    }
    if (!sk_limit_same(&group->limit, &now)) sk_mem_group_renumber(mem, group, &now);
  }
}

/* -- groups and their lines ---------------------------------------------------------------------------------------------------- */

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
  sk_list_init(&group->lines);
  sk_list_init(&group->waiting);
  HASH_ADD_KEYPTR_BYHASHVALUE(hh, mem->groups, group->bytes, name.n, hash, group);
  if (group->hh.tbl != NULL) return group;
  free(group);
  return NULL;
}

static void group_free(struct mem *mem, struct mem_group *group) {
  HASH_DEL(mem->groups, group);
  free(group);
}

/* Without jobs a group is only its bucket, until that is full. */
static void group_forget(struct mem *mem, struct mem_group *group) {
  assert(group->running == 0);
  if (group->full_us <= now_us(mem) || !sk_heap_insert(&mem->idle, &group->forgotten, group->full_us / 1000 + 1))
    group_free(mem, group);
}

void sk_mem_groups_forget(struct mem *mem) {
  for (struct sk_heap_node *first; (first = sk_heap_first(&mem->idle)) != NULL && first->key <= mem->now_ms;) {
    sk_heap_remove(&mem->idle, first);
    group_free(mem, SK_CONTAINER(first, struct mem_group, forgotten));
  }
}

static struct mem_line *line_new(struct mem *mem, struct mem_line_key key) {
  if (!sk_heap_reserve_for(&key.queue->tokens, key.queue->lines + 1)) return NULL;
  struct mem_line *line = calloc(1, sizeof *line);
  if (line == NULL) return NULL;
  sk_mem_line_init(line, key);
  HASH_ADD(hh, mem->lines, key, sizeof line->key, line);
  if (line->hh.tbl == NULL) {
    free(line);
    return NULL;
  }
  key.queue->lines++;
  if (sk_heap_has(&key.group->forgotten)) sk_heap_remove(&mem->idle, &key.group->forgotten);
  sk_list_push(&key.group->lines, &line->peer);
  return line;
}

struct mem_line *sk_mem_line_join(struct mem *mem, const struct sk_limit *limit, struct mem_queue *queue,
                                  int32_t priority) {
  struct mem_group *group = group_get(mem, limit);
  if (group == NULL) return NULL;
  const struct mem_line_key key = { .group = group, .queue = queue, .rank = (size_t)(SK_PRIORITY_MAX - priority) };
  struct mem_line *line;
  HASH_FIND(hh, mem->lines, &key, sizeof key, line);
  if (line == NULL) line = line_new(mem, key);
  if (line != NULL)
    line->jobs++;
  else if (sk_list_empty(&group->lines) && !sk_heap_has(&group->forgotten))
    group_free(mem, group);
  return line;
}

static void line_free(struct mem *mem, struct mem_line *line) {
  HASH_DEL(mem->lines, line);
  sk_heap_fini(&line->front);
  free(line);
}

void sk_mem_line_quit(struct mem *mem, struct mem_line *line) {
  assert(line->jobs > 0);
  if (--line->jobs > 0) return;
  assert(sk_mem_line_empty(line));
  struct mem_group *group = line->key.group;
  sk_list_remove(&line->peer);
  line->key.queue->lines--;
  line_free(mem, line);
  if (sk_list_empty(&group->lines)) group_forget(mem, group);
}

void sk_mem_groups_free(struct mem *mem) {
  struct mem_line *line, *next_line;
  HASH_ITER(hh, mem->lines, line, next_line) line_free(mem, line);
  struct mem_group *group, *next_group;
  HASH_ITER(hh, mem->groups, group, next_group) group_free(mem, group);
  sk_heap_fini(&mem->idle);
}
