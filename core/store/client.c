/* client.c - see client.h. */
#include "store/client.h"

#include <assert.h>
#include <stdlib.h>

#include "base/limits.h"
#include "base/clock.h"
#include "io/loop.h"

struct sk_client {
  struct sk_loop *loop;   /* owned */
  struct sk_store *store; /* owned */
  struct sk_timer *alarm; /* owned; the end of a wait */
  int64_t opened_ms;      /* when its opening began; monotonic */
  bool changed;           /* since the last sk_client_wait_changed */
  bool rang;
  struct sk_timer *teller; /* owned; NULL: nobody is told that an operation takes its time */
  int64_t tell_every_ms;
  sk_io_cb tell;
  void *tell_ctx;
};

static void set_flag(void *ctx) { *(bool *)ctx = true; }

static void on_done(struct sk_op *op, void *ctx) {
  (void)op;
  set_flag(ctx);
}

static void turn_until(struct sk_client *client, const bool *flag) {
  while (!*flag) {
    bool alive = sk_loop_turn(client->loop, true);
    assert(alive || *flag); /* the store's law: the loop lives while an operation is submitted */
  }
}

/* -- open and close ------------------------------------------------------------------------------------------------ */

static void client_free(struct sk_client *client) {
  sk_timer_free(client->alarm);
  sk_timer_free(client->teller);
  if (client->loop) sk_loop_free(client->loop);
  free(client);
}

enum sk_code sk_client_open(const struct sk_store_options *options, struct sk_client **out, struct sk_err *err) {
  *out = NULL;
  struct sk_client *client = calloc(1, sizeof *client);
  if (client == NULL) return sk_err_set(err, SK_ENOMEM, "store client: out of memory");
  struct sk_err why = { 0 };
  client->opened_ms = sk_clock_mono_ms();
  client->loop = sk_loop_new(&why);
  enum sk_code code = client->loop ? SK_OK : why.code;
  if (code == SK_OK && (client->alarm = sk_timer_new(client->loop, set_flag, &client->rang)) == NULL)
    code = sk_err_set(&why, SK_ENOMEM, "store client: out of memory");
  if (code == SK_OK) {
    struct sk_store_options as_client = *options;
    as_client.engine = sk_str(NULL, 0);
    const struct sk_store_events events = { .changed = set_flag, .ctx = &client->changed };
    code = sk_store_open(client->loop, &as_client, &events, &client->store, &why);
  }
  if (code != SK_OK) {
    if (err) *err = why;
    client_free(client);
    return code;
  }
  *out = client;
  return SK_OK;
}

void sk_client_close(struct sk_client *client) {
  if (client == NULL) return;
  bool closed = false;
  client->store->ops->close(client->store, set_flag, &closed);
  turn_until(client, &closed);
  client_free(client);
}

int64_t sk_client_first_deadline(const struct sk_client *client) {
  int64_t timeout_ms = client->store->timeout_ms;
  return timeout_ms > 0 ? client->opened_ms + timeout_ms : 0;
}

int64_t sk_client_now_ms(const struct sk_client *client) { return client->store->ops->now_ms(client->store); }

/* -- operations ---------------------------------------------------------------------------------------------------- */

/* Every operation is the same but for its slot and its struct, which C can't say without a macro. */
#define BLOCKING(verb)                                                                                                 \
  enum sk_code sk_client_##verb(struct sk_client *client, struct sk_##verb##_op *op) {                                 \
    bool done = false;                                                                                                 \
    op->op.cb = on_done;                                                                                               \
    op->op.ctx = &done;                                                                                                \
    client->store->ops->verb(client->store, op);                                                                       \
    if (client->teller) sk_timer_start(client->teller, client->tell_every_ms);                                         \
    turn_until(client, &done);                                                                                         \
    if (client->teller) sk_timer_stop(client->teller);                                                                 \
    return op->op.status;                                                                                              \
  }

BLOCKING(enqueue)
BLOCKING(get)
BLOCKING(list)
BLOCKING(count)
BLOCKING(change)
BLOCKING(pause)
BLOCKING(declare)
BLOCKING(tasks)
BLOCKING(backup)

static void on_tell(void *ctx) {
  struct sk_client *client = ctx;
  sk_timer_start(client->teller, client->tell_every_ms);
  client->tell(client->tell_ctx);
}

void sk_client_tell(struct sk_client *client, int64_t every_ms, void (*cb)(void *ctx), void *ctx) {
  client->tell_every_ms = every_ms;
  client->tell = cb;
  client->tell_ctx = ctx;
  if (client->teller == NULL) client->teller = sk_timer_new(client->loop, on_tell, client);
}

enum sk_code sk_client_wait_changed(struct sk_client *client, int64_t timeout_ms) {
  client->rang = false;
  sk_timer_start(client->alarm, timeout_ms >= 0 ? timeout_ms : SK_SAFETY_POLL_MS);
  while (!client->changed && !client->rang) sk_loop_turn(client->loop, true);
  sk_timer_stop(client->alarm);
  if (!client->changed && timeout_ms >= 0) return SK_ETIMEOUT;
  client->changed = false;
  return SK_OK;
}
