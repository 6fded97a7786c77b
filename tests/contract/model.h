/* model.h - a model of a store: an array of jobs and the rules of store.h in the plainest form, which model_test.c
 * holds a store to. Nothing is kept sorted or indexed; whatever is asked is looked for among all jobs. */
#ifndef TESTS_MODEL_H
#define TESTS_MODEL_H

#include "contract.h"

enum { IDS = 50, QUEUES = 3, ENGINES = 2, KEYS = 4, MODEL_GROUPS = 4, SWEPT = 1500 };
#define SWEPT_NAME "swept" /* queue and task of the jobs of a sweep */
#define NEVER INT64_MAX
/* Of this group all jobs are strict, of the others none. */
#define STRICT_GROUP 3

struct model_lock {
  bool held;
  bool throttle;
  int64_t until_ms; /* NEVER: as long as its job */
  char holder[16];
  struct model_job *job; /* NULL: it has ended */
};

struct model_group {
  struct sk_limit limit;
  int64_t full_us;
};

struct model_job {
  char id[16];
  enum sk_state state;
  int queue;
  int32_t priority;
  int64_t due_ms; /* NEVER: first in, first out */
  uint64_t seq;
  bool waited; /* due_ms is a time that it waited for, and it was not fetched since */
  int holder;
  uint64_t fence; /* the last under this id */
  int64_t attempts, recoveries;
  struct model_lock *lock;
  struct model_group *group;
  bool granted; /* it has a slot of its group */
  bool stopping;
};

/* What an engine has seen of another: its last mark, and for how long it stood still as far as that counts. */
struct model_watch {
  int64_t mark, still_ms;
};

struct model_engine {
  struct handle *h;
  int64_t mark; /* of its last beat, or of when it was entered: no two are the same */
  int64_t looked_ms;
  struct model_watch watches[ENGINES];
  bool gone; /* given up, and nothing asked since */
  bool lost; /* given up, and not told */
};

/* A change by filter that goes on in many steps while the model's other operations run: it deletes jobs of a queue of
 * its own. */
struct model_sweep {
  struct sk_change_op op;
  bool running, done;
};

struct model {
  struct world *w;
  struct handle *client;
  uint64_t random;
  uint64_t seq;
  int64_t marks;
  struct model_job jobs[IDS];
  struct model_lock locks[KEYS];
  struct model_group groups[MODEL_GROUPS];
  struct model_engine engines[ENGINES];
  struct sk_queue_settings settings[QUEUES];
  int64_t settings_full_us[QUEUES];
  bool paused[QUEUES];
  struct sk_counters counters;
  int opened;
  struct model_sweep sweep;
};

extern const char *const queue_names[QUEUES];

uint64_t draw(struct model *m);
int below(struct model *m, int n);
int64_t now(const struct model *m);
int queue_index(struct sk_str name);
struct model_job *job_named(struct model *m, struct sk_str id);

/* All jobs there are in the order of a listing; returns how many. */
size_t sorted(struct model *m, struct model_job *out[IDS]);

/* -- moves --------------------------------------------------------------------------------------------------------- */
void ready_last(struct model *m, struct model_job *job);
void wait_until(struct model *m, struct model_job *job, enum sk_state state, int64_t due_ms);
/* A final state, or NONE: gone. */
void finish(struct model *m, struct model_job *job, enum sk_state state);
void run(struct model *m, struct model_job *job, int engine, uint64_t fence);
void hand_back(struct model *m, int engine, bool recovered);

/* -- rules --------------------------------------------------------------------------------------------------------- */
struct model_item {
  struct model_job *job;
  int queue;
  int32_t priority;
  int64_t delay_ms;
  struct sk_lock lock; /* its key is locks[key] */
  int key;
  struct sk_limit limit;
  int group; /* -1: none */
};
/* Enqueues the item in the model; returns the status that the store must answer.  `holder` is then the id of the job
 * that holds its lock, else "". */
enum sk_code enqueue_in_model(struct model *m, const struct model_item *item, char holder[16]);
/* What keeps a READY job from being taken now, besides those before it. */
enum sk_blocked_by blocked_in_model(const struct model *m, const struct model_job *job);
/* The priority of which a job of the queue must be taken next; false when none can be. */
bool next_priority(const struct model *m, int queue, int32_t *priority);
/* The job is the first of its lane: of its group, queue and priority, or of those that need no slot. */
bool is_first_of_its_lane(const struct model *m, const struct model_job *job);
/* What a fetch of this queue must say of when something is to be had; -1: nothing. */
int64_t due_in_model(const struct model *m, int queue);
enum sk_code change_in_model(struct model *m, struct model_job *job, enum sk_verb verb, int64_t keep_ms);
enum sk_code settle_in_model(struct model *m, struct model_job *job, const struct sk_settle_item *one);

#endif
