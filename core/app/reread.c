/* reread.c - see reread.h. The thread owns a struct reading and hands it over through an async wake-up. When the engine
 * ends first, the thread ends with the process. */
#include "app/reread.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "app/scripts.h"

struct reading {
  struct sk_config config;
  enum sk_code code;
  struct sk_err err;
};

struct sk_reread {
  const struct sk_args *args;
  char *program; /* owned, as a thread may outlive its caller's copy */
  const char *dir;
  sk_reread_cb cb;
  void *ctx;
  struct sk_async *done;
  pthread_mutex_t lock;
  struct reading *result; /* guarded by lock; owned; NULL until the thread has ended */
  bool under_way, again;  /* used by the loop's thread only */
  bool abandoned;         /* guarded by lock; true: the thread frees r */
};

static void destroy(struct sk_reread *r) {
  pthread_mutex_destroy(&r->lock);
  free(r->program);
  free(r);
}

static void free_reading(struct reading *reading) {
  if (reading == NULL) return;
  sk_config_fini(&reading->config);
  free(reading);
}

static struct reading *read_all(const struct sk_reread *r) {
  struct reading *reading = calloc(1, sizeof *reading);
  if (reading == NULL) return NULL;
  sk_config_init(&reading->config);
  reading->code = sk_config_flags(&reading->config, r->args, &reading->err);
  if (reading->code == SK_OK) reading->code = sk_config_environment(&reading->config, SK_CONFIG_ENGINE, &reading->err);
  if (reading->code == SK_OK) reading->code = sk_scripts_config(r->program, r->dir, &reading->config, &reading->err);
  return reading;
}

static void *thread(void *ctx) {
  struct sk_reread *r = ctx;
  struct reading *reading = read_all(r);
  pthread_mutex_lock(&r->lock);
  bool abandoned = r->abandoned;
  r->result = reading;
  if (!abandoned) sk_async_send(r->done);
  pthread_mutex_unlock(&r->lock);
  if (abandoned) {
    free_reading(reading);
    destroy(r);
  }
  return NULL;
}

static void on_done(void *ctx) {
  struct sk_reread *r = ctx;
  pthread_mutex_lock(&r->lock);
  struct reading *reading = r->result;
  r->result = NULL;
  pthread_mutex_unlock(&r->lock);
  r->under_way = false;
  bool good = reading && reading->code == SK_OK;
  static const struct sk_err no_memory = { .code = SK_ENOMEM, .message = "out of memory" };
  r->cb(r->ctx, good ? &reading->config : NULL, good ? NULL : reading ? &reading->err : &no_memory);
  free_reading(reading);
  if (r->again) sk_reread_start(r);
}

struct sk_reread *sk_reread_new(struct sk_loop *loop, const struct sk_args *args, const char *program, const char *dir,
                                sk_reread_cb cb, void *ctx) {
  struct sk_reread *r = calloc(1, sizeof *r);
  if (r == NULL) return NULL;
  *r = (struct sk_reread){ .args = args, .program = strdup(program), .dir = dir, .cb = cb, .ctx = ctx };
  r->done = sk_async_new(loop, on_done, r);
  pthread_mutex_init(&r->lock, NULL);
  if (r->done && r->program) return r;
  sk_async_free(r->done);
  destroy(r);
  return NULL;
}

void sk_reread_start(struct sk_reread *r) {
  r->again = r->under_way;
  if (r->under_way) return;
  pthread_t id;
  r->under_way = pthread_create(&id, NULL, thread, r) == 0;
  if (r->under_way)
    pthread_detach(id);
  else
    r->cb(r->ctx, NULL, &(struct sk_err){ .code = SK_ESYS, .message = "no thread can be started" });
}

void sk_reread_free(struct sk_reread *r) {
  if (r == NULL) return;
  pthread_mutex_lock(&r->lock);
  sk_async_free(r->done);
  bool under_way = r->under_way && r->result == NULL;
  r->abandoned = under_way;
  struct reading *reading = r->result;
  pthread_mutex_unlock(&r->lock);
  if (under_way) return;
  free_reading(reading);
  destroy(r);
}
