/* memory/lock.c - locks (store.h, LOCKS).  A lock and its job point to each other, so that the end of the job finds the
 * lock.  A throttle may outlive its job; a beat frees it, through mem->throttles. */
#include <stdlib.h>

#include "store/memory/memory.h"

static void lock_free(struct mem *mem, struct mem_lock *lock) {
  if (lock->job != NULL) lock->job->lock = NULL;
  if (sk_heap_has(&lock->end)) sk_heap_remove(&mem->throttles, &lock->end);
  HASH_DEL(mem->locks, lock);
  free(lock);
}

static struct mem_lock *find(const struct mem *mem, struct sk_str key, unsigned hash) {
  struct mem_lock *lock;
  HASH_FIND_BYHASHVALUE(hh, mem->locks, key.p, key.n, hash, lock);
  return lock;
}

struct mem_lock *sk_mem_lock_find(struct mem *mem, struct sk_str key, const struct mem_job *ending) {
  struct mem_lock *lock = find(mem, key, (unsigned)sk_mem_hash(&mem->jobs, key));
  if (lock == NULL || lock->until_ms <= mem->now_ms) return NULL;
  return ending != NULL && lock->job == ending && !lock->throttle ? NULL : lock;
}

bool sk_mem_lock_take(struct mem *mem, const struct sk_lock *want, struct mem_job *job) {
  unsigned hash = (unsigned)sk_mem_hash(&mem->jobs, want->key);
  struct mem_lock *old = find(mem, want->key, hash);
  bool throttle = want->mode == SK_LOCK_THROTTLE;
  if (throttle && !sk_heap_reserve(&mem->throttles)) return false;
  struct mem_lock *lock = calloc(1, sizeof *lock + want->key.n + job->id.n);
  if (lock == NULL) return false;
  memcpy(lock->bytes, want->key.p, want->key.n);
  memcpy(lock->bytes + want->key.n, job->id.p, job->id.n);
  lock->key = sk_str(lock->bytes, want->key.n);
  lock->holder = sk_str(lock->bytes + want->key.n, job->id.n);
  lock->until_ms = want->ttl_ms > 0 ? sk_mem_later(mem->now_ms, want->ttl_ms) : MEM_NEVER;
  lock->throttle = throttle;
  HASH_ADD_KEYPTR_BYHASHVALUE(hh, mem->locks, lock->bytes, want->key.n, hash, lock);
  if (lock->hh.tbl == NULL) {
    free(lock);
    return false;
  }
  if (old != NULL) lock_free(mem, old);
  if (throttle) sk_heap_insert(&mem->throttles, &lock->end, lock->until_ms);
  lock->job = job;
  job->lock = lock;
  return true;
}

void sk_mem_lock_leave(struct mem *mem, struct mem_job *job) {
  struct mem_lock *lock = job->lock;
  if (lock == NULL) return;
  job->lock = NULL;
  lock->job = NULL;
  if (!lock->throttle || lock->until_ms <= mem->now_ms) lock_free(mem, lock);
}

bool sk_mem_locks_forget(struct mem *mem, size_t n) {
  struct sk_heap_node *first;
  while ((first = sk_heap_first(&mem->throttles)) != NULL && first->key <= mem->now_ms) {
    if (n-- == 0) return true;
    lock_free(mem, SK_CONTAINER(first, struct mem_lock, end));
  }
  return false;
}

void sk_mem_locks_free(struct mem *mem) {
  struct mem_lock *lock, *next;
  HASH_ITER(hh, mem->locks, lock, next) {
    HASH_DEL(mem->locks, lock);
    free(lock);
  }
  sk_heap_fini(&mem->throttles);
}
