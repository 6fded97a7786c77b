/* holds.c - the jobs that this engine has fetched, by fetch: in memory, and in the table hold.
 *
 * A row of hold has the fence of a fetch and the numbers of its jobs.  It is deleted by the next fetch after the last
 * of them was settled, since that costs no transaction of its own. */
#include <assert.h>
#include <stdlib.h>

#include "base/buf.h"
#include "store/sqlite/sqlite.h"

/* -- holds in memory ----------------------------------------------------------------------------------------------- */

struct sq_hold *sk_sq_hold_find(struct sq_db *db, uint64_t fence) {
  struct sq_hold *hold;
  HASH_FIND(hh, db->self.holds, &fence, sizeof fence, hold);
  return hold;
}

void sk_sq_hold_settled(struct sq_db *db, uint64_t fence) {
  struct sq_hold *hold = sk_sq_hold_find(db, fence);
  if (hold == NULL) return;
  assert(hold->left > 0);
  if (--hold->left == 0) sk_list_push(&db->self.over, &hold->node);
}

static void hold_free(struct sq_db *db, struct sq_hold *hold) {
  HASH_DEL(db->self.holds, hold);
  sk_list_remove(&hold->node);
  free(hold);
}

void sk_sq_holds_free(struct sq_db *db) {
  struct sq_hold *hold, *next;
  HASH_ITER(hh, db->self.holds, hold, next) hold_free(db, hold);
}

static void free_all(struct sq_db *db, struct sk_list *list) {
  while (!sk_list_empty(list)) hold_free(db, SK_CONTAINER(list->next, struct sq_hold, node));
}

void sk_sq_holds_end(struct sq_db *db, bool committed) {
  struct sq_self *self = &db->self;
  if (committed) {
    free_all(db, &self->going);
    while (sk_list_pop(&self->coming) != NULL) {}
  } else {
    free_all(db, &self->coming);
    sk_list_move(&self->over, &self->going);
  }
}

/* -- holds in the store -------------------------------------------------------------------------------------------- */

/* The numbers as differences, zigzag, base 128: a run of neighbours is a byte each. */
static void numbers_encode(struct sk_buf *out, const int64_t *ns, size_t n) {
  uint64_t last = 0;
  for (size_t i = 0; i < n; i++) {
    uint64_t diff = (uint64_t)ns[i] - last;
    uint64_t v = diff << 1 ^ (diff >> 63 ? UINT64_MAX : 0);
    for (; v >= 0x80; v >>= 7) sk_buf_add_byte(out, (char)(v | 0x80));
    sk_buf_add_byte(out, (char)v);
    last = (uint64_t)ns[i];
  }
}

enum sk_code sk_sq_hold_read(struct sq_db *db, struct sk_arena *arena, struct sk_str blob, int64_t **ns, size_t *n) {
  *n = 0;
  *ns = sk_arena_array(arena, blob.n, sizeof **ns); /* a byte each at least */
  if (*ns == NULL) return sk_sq_no_memory(db);
  uint64_t last = 0, v = 0;
  unsigned shift = 0;
  for (size_t i = 0; i < blob.n && shift < 64; i++) {
    v |= (uint64_t)(blob.p[i] & 0x7f) << shift;
    shift += 7;
    if (blob.p[i] & 0x80) continue;
    last += v >> 1 ^ (v & 1 ? UINT64_MAX : 0);
    (*ns)[(*n)++] = (int64_t)last;
    v = shift = 0;
  }
  return SK_OK;
}

/* Deletes the rows of fetches whose jobs are all settled. */
static enum sk_code drop_over(struct sq_db *db) {
  enum sk_code code = SK_OK;
  while (code == SK_OK && !sk_list_empty(&db->self.over)) {
    struct sq_hold *hold = SK_CONTAINER(db->self.over.next, struct sq_hold, node);
    sk_sq_int(sk_sq(db, SQL_HOLD_DELETE), 1, (int64_t)hold->fence);
    code = sk_sq_run(db, SQL_HOLD_DELETE);
    sk_list_remove(&hold->node);
    sk_list_push(&db->self.going, &hold->node);
  }
  return code;
}

enum sk_code sk_sq_hold(struct sq_db *db, uint64_t fence, const int64_t *ns, size_t n) {
  enum sk_code code = drop_over(db);
  if (code != SK_OK) return code;
  struct sq_hold *hold = calloc(1, sizeof *hold);
  if (hold == NULL) return sk_sq_no_memory(db);
  hold->fence = fence;
  hold->left = n;
  HASH_ADD(hh, db->self.holds, fence, sizeof hold->fence, hold);
  if (hold->hh.tbl == NULL) {
    free(hold);
    return sk_sq_no_memory(db);
  }
  sk_list_push(&db->self.coming, &hold->node);
  struct sk_buf jobs = { 0 };
  numbers_encode(&jobs, ns, n);
  sqlite3_stmt *st = sk_sq(db, SQL_HOLD_ADD);
  sk_sq_int(st, 1, (int64_t)fence);
  sk_sq_int(st, 2, db->self.num);
  sk_sq_blob(st, 3, sk_buf_str(&jobs));
  code = jobs.failed ? sk_sq_no_memory(db) : sk_sq_run(db, SQL_HOLD_ADD);
  sk_buf_fini(&jobs);
  return code;
}
