/* model.c - see model.h. */
#include "model.h"

#include <stdlib.h>
#include <string.h>

const char *const queue_names[QUEUES] = { "qa", "qb", "qc" };

uint64_t draw(struct model *m) { /* splitmix64 */
  uint64_t z = m->random += 0x9e3779b97f4a7c15u;
  z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
  z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
  return z ^ (z >> 31);
}
int below(struct model *m, int n) { return (int)(draw(m) % (uint64_t)n); }
int64_t now(const struct model *m) { return atomic_load(&m->w->wall_ms); }

int queue_index(struct sk_str name) {
  for (int q = 0; q < QUEUES; q++)
    if (sk_str_eq_c(name, queue_names[q])) return q;
  fail_msg("unknown queue");
  return -1;
}

struct model_job *job_named(struct model *m, struct sk_str id) {
  for (int i = 0; i < IDS; i++)
    if (sk_str_eq_c(id, m->jobs[i].id)) return &m->jobs[i];
  return NULL;
}

/* -- orders -------------------------------------------------------------------------------------------------------- */

static int compare_place(const struct model_job *a, const struct model_job *b) {
  if (a->due_ms != b->due_ms) return a->due_ms < b->due_ms ? -1 : 1;
  return (a->seq > b->seq) - (a->seq < b->seq);
}

static int compare(const void *pa, const void *pb) {
  const struct model_job *a = *(struct model_job *const *)pa, *b = *(struct model_job *const *)pb;
  if (a->state != b->state) return a->state < b->state ? -1 : 1;
  if (a->state == SK_STATE_RUNNING) return (a->fence > b->fence) - (a->fence < b->fence);
  if (sk_state_is_final(a->state)) return (b->seq > a->seq) - (b->seq < a->seq);
  if (a->state == SK_STATE_READY && a->queue != b->queue) return a->queue - b->queue;
  if (a->state == SK_STATE_READY && a->priority != b->priority) return b->priority - a->priority;
  return compare_place(a, b);
}

size_t sorted(struct model *m, struct model_job *out[IDS]) {
  size_t n = 0;
  for (int i = 0; i < IDS; i++)
    if (m->jobs[i].state != SK_STATE_NONE) out[n++] = &m->jobs[i];
  qsort(out, n, sizeof *out, compare);
  return n;
}

/* -- groups, settings of queues ------------------------------------------------------------------------------------ */

static int64_t now_us(const struct model *m) { return now(m) * 1000; }

static int64_t running(const struct model *m, const struct model_group *group, int queue) {
  int64_t n = 0;
  for (int i = 0; i < IDS; i++) {
    const struct model_job *job = &m->jobs[i];
    if (group ? job->granted && job->group == group : job->state == SK_STATE_RUNNING && job->queue == queue) n++;
  }
  return n;
}

static bool no_slot(const struct sk_limit *limit, int64_t n) {
  return limit->concurrency > 0 && n >= limit->concurrency;
}

/* What holds a READY job back, and for how long if it is only a token. */
static enum sk_blocked_by blocked_by(const struct model *m, const struct model_job *job, int64_t *wait_us) {
  const struct sk_limit *queue = &m->settings[job->queue].limit;
  *wait_us = sk_limit_wait_us(queue, m->settings_full_us[job->queue], now_us(m));
  if (no_slot(queue, running(m, NULL, job->queue))) return SK_BLOCKED_BY_CONCURRENCY;
  if (job->group != NULL && !job->granted) {
    if (no_slot(&job->group->limit, running(m, job->group, 0))) return SK_BLOCKED_BY_CONCURRENCY;
    int64_t group_us = sk_limit_wait_us(&job->group->limit, job->group->full_us, now_us(m));
    if (group_us > *wait_us) *wait_us = group_us;
  }
  return *wait_us > 0 ? SK_BLOCKED_BY_RATE : SK_BLOCKED_BY_NOTHING;
}

enum sk_blocked_by blocked_in_model(const struct model *m, const struct model_job *job) {
  int64_t wait_us;
  return blocked_by(m, job, &wait_us);
}

bool next_priority(const struct model *m, int queue, int32_t *priority) {
  bool any = false;
  for (int i = 0; i < IDS; i++) {
    const struct model_job *job = &m->jobs[i];
    if (job->state != SK_STATE_READY || job->queue != queue || blocked_in_model(m, job) != SK_BLOCKED_BY_NOTHING)
      continue;
    if (!any || job->priority > *priority) *priority = job->priority;
    any = true;
  }
  return any;
}

static const struct model_group *lane_of(const struct model_job *job) { return job->granted ? NULL : job->group; }

/* A job that kept its slot returns to the lane of those that need no slot, before or among them. */
static bool any_order(const struct model_job *a, const struct model_job *b) {
  return a->granted != b->granted && a->due_ms == NEVER && b->due_ms == NEVER;
}

bool is_first_of_its_lane(const struct model *m, const struct model_job *job) {
  for (int i = 0; i < IDS; i++) {
    const struct model_job *other = &m->jobs[i];
    if (other->state == SK_STATE_READY && other->queue == job->queue && other->priority == job->priority &&
        lane_of(other) == lane_of(job) && !any_order(other, job) && compare_place(other, job) < 0)
      return false;
  }
  return true;
}

static void sooner(int64_t *best, int64_t in_ms) {
  if (in_ms > 0 && (*best < 0 || in_ms < *best)) *best = in_ms;
}

int64_t due_in_model(const struct model *m, int queue) {
  int64_t best = -1, wait_us;
  for (int i = 0; i < IDS; i++) {
    const struct model_job *job = &m->jobs[i];
    if (job->queue != queue) continue;
    if (job->state == SK_STATE_SCHEDULED || job->state == SK_STATE_RETRY) sooner(&best, job->due_ms - now(m));
    if (job->state == SK_STATE_READY && !m->paused[queue] && blocked_by(m, job, &wait_us) == SK_BLOCKED_BY_RATE)
      sooner(&best, (wait_us + 999) / 1000);
  }
  return best;
}

static bool waits(const struct model_job *job) {
  return job->state == SK_STATE_SCHEDULED || job->state == SK_STATE_READY || job->state == SK_STATE_RETRY;
}

/* -- moves --------------------------------------------------------------------------------------------------------- */

void ready_last(struct model *m, struct model_job *job) {
  job->state = SK_STATE_READY;
  job->due_ms = NEVER;
  job->waited = false;
  job->seq = ++m->seq;
}

void wait_until(struct model *m, struct model_job *job, enum sk_state state, int64_t due_ms) {
  if (job->granted && !job->group->limit.strict) job->granted = false;
  job->state = due_ms <= now(m) ? SK_STATE_READY : state;
  job->due_ms = due_ms;
  job->waited = true;
  job->seq = ++m->seq;
}

void finish(struct model *m, struct model_job *job, enum sk_state state) {
  struct model_lock *lock = job->lock;
  job->lock = NULL;
  if (lock != NULL) {
    lock->job = NULL;
    lock->held = lock->throttle && lock->until_ms > now(m);
  }
  job->granted = job->stopping = false;
  job->state = state;
  job->seq = ++m->seq;
}

void run(struct model *m, struct model_job *job, int engine, uint64_t fence) {
  if (job->group != NULL && !job->granted) {
    job->granted = true;
    job->group->full_us = sk_limit_take(&job->group->limit, job->group->full_us, now_us(m));
  }
  m->settings_full_us[job->queue] =
      sk_limit_take(&m->settings[job->queue].limit, m->settings_full_us[job->queue], now_us(m));
  job->state = SK_STATE_RUNNING;
  job->waited = false;
  job->holder = engine;
  job->fence = fence;
}

void hand_back(struct model *m, int engine, bool recovered) {
  for (int i = 0; i < IDS; i++) {
    struct model_job *job = &m->jobs[i];
    if (job->state != SK_STATE_RUNNING || job->holder != engine) continue;
    job->state = SK_STATE_READY;
    if (!recovered) continue;
    job->recoveries++;
    m->counters.recovered++;
  }
}

/* -- enqueue ------------------------------------------------------------------------------------------------------- */

static struct model_job *oldest(struct model *m, int queue, const struct model_job *except) {
  struct model_job *best = NULL;
  for (int i = 0; i < IDS; i++) {
    struct model_job *job = &m->jobs[i];
    if (job->state != SK_STATE_READY || job->queue != queue || job == except) continue;
    if (best == NULL || job->priority < best->priority ||
        (job->priority == best->priority && compare_place(job, best) < 0))
      best = job;
  }
  return best;
}

static bool has_room(const struct model *m, int queue, const struct model_job *but) {
  int64_t n = 0;
  for (int i = 0; i < IDS; i++) n += waits(&m->jobs[i]) && m->jobs[i].queue == queue && &m->jobs[i] != but;
  return m->settings[queue].max_len == 0 || n < m->settings[queue].max_len;
}

static void displace(struct model *m, struct model_job *job) {
  if (job == NULL) return;
  finish(m, job, SK_STATE_NONE);
  m->counters.discarded++;
}

static void lock_take(struct model *m, const struct model_item *item) {
  struct model_lock *lock = &m->locks[item->key];
  if (lock->held && lock->job != NULL) lock->job->lock = NULL;
  *lock = (struct model_lock){
    .held = true,
    .throttle = item->lock.mode == SK_LOCK_THROTTLE,
    .until_ms = item->lock.ttl_ms ? now(m) + item->lock.ttl_ms : NEVER,
    .job = item->job,
  };
  strcpy(lock->holder, item->job->id);
  item->job->lock = lock;
}

static void admit(struct model *m, const struct model_item *item) {
  struct model_job *job = item->job;
  job->queue = item->queue;
  job->priority = item->priority;
  job->attempts = job->recoveries = 0;
  job->group = item->group < 0 ? NULL : &m->groups[item->group];
  if (job->group != NULL) job->group->limit = item->limit;
  if (item->lock.mode != SK_LOCK_NONE) lock_take(m, item);
  if (item->delay_ms > 0)
    wait_until(m, job, SK_STATE_SCHEDULED, now(m) + item->delay_ms);
  else
    ready_last(m, job);
  m->counters.enqueued++;
}

enum sk_code enqueue_in_model(struct model *m, const struct model_item *item, char holder[16]) {
  struct model_lock *lock = &m->locks[item->key];
  struct model_job *replaced = NULL, *dropped = NULL;
  holder[0] = '\0';
  if (item->job->state != SK_STATE_NONE) return SK_EEXISTS;
  if (item->lock.mode != SK_LOCK_NONE && lock->held && lock->until_ms > now(m)) {
    if (item->lock.mode != SK_LOCK_REPLACE) {
      strcpy(holder, lock->holder);
      return SK_EEXISTS;
    }
    if (lock->job != NULL && waits(lock->job)) replaced = lock->job;
  }
  if (!has_room(m, item->queue, replaced)) {
    if (m->settings[item->queue].overflow == SK_OVERFLOW_DROP_OLDEST) dropped = oldest(m, item->queue, replaced);
    if (dropped == NULL) return SK_ELIMIT;
  }
  displace(m, replaced);
  displace(m, dropped);
  admit(m, item);
  return SK_OK;
}

/* -- settle, change ------------------------------------------------------------------------------------------------ */

enum sk_code settle_in_model(struct model *m, struct model_job *job, const struct sk_settle_item *one) {
  enum sk_settle_kind kind = one->kind;
  if (job->stopping && (kind == SK_SETTLE_RETRY || kind == SK_SETTLE_SNOOZE || kind == SK_SETTLE_DEAD))
    return SK_ESTATE;
  if (one->crashed) m->counters.crashed++;
  if (one->record.n) job->attempts++;
  switch (kind) {
  case SK_SETTLE_DONE:
    m->counters.done++;
    finish(m, job, one->keep_ms ? SK_STATE_DONE : SK_STATE_NONE);
    break;
  case SK_SETTLE_CANCELLED:
    m->counters.cancelled++;
    finish(m, job, one->keep_ms ? SK_STATE_CANCELLED : SK_STATE_NONE);
    break;
  case SK_SETTLE_DEAD:
    m->counters.dead++;
    finish(m, job, SK_STATE_DEAD);
    break;
  case SK_SETTLE_DROP:
    m->counters.discarded++;
    finish(m, job, SK_STATE_NONE);
    break;
  case SK_SETTLE_RELEASE: job->state = SK_STATE_READY; break;
  case SK_SETTLE_RETRY:
  case SK_SETTLE_SNOOZE:
    if (kind == SK_SETTLE_RETRY) m->counters.retried++;
    if (one->to_queue.n) job->queue = queue_index(one->to_queue);
    wait_until(m, job, kind == SK_SETTLE_RETRY ? SK_STATE_RETRY : SK_STATE_SCHEDULED, now(m) + one->delay_ms);
    break;
  }
  return SK_OK;
}

enum sk_code change_in_model(struct model *m, struct model_job *job, enum sk_verb verb, int64_t keep_ms) {
  enum sk_state s = job->state;
  if (s == SK_STATE_NONE) return SK_ENOTFOUND;
  switch (verb) {
  case SK_VERB_CANCEL:
    if (sk_state_is_final(s)) return SK_ESTATE;
    if (s == SK_STATE_RUNNING) {
      job->stopping = true;
      return SK_OK;
    }
    m->counters.cancelled++;
    finish(m, job, keep_ms ? SK_STATE_CANCELLED : SK_STATE_NONE);
    return SK_OK;
  case SK_VERB_DELETE:
    if (s == SK_STATE_RUNNING) return SK_ESTATE;
    finish(m, job, SK_STATE_NONE);
    return SK_OK;
  case SK_VERB_RETRY:
    if (s != SK_STATE_DEAD && s != SK_STATE_RETRY && s != SK_STATE_CANCELLED) return SK_ESTATE;
    if (s != SK_STATE_RETRY) job->attempts = 0;
    ready_last(m, job);
    return SK_OK;
  case SK_VERB_PROMOTE:
    if (s != SK_STATE_SCHEDULED && s != SK_STATE_RETRY) return SK_ESTATE;
    wait_until(m, job, s, now(m));
  }
  return SK_OK;
}
