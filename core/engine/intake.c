/* intake.c - the requests of workers to the store, and how much of the core's memory they may take.
 *
 *   REQUEST frame ─► waiting ─► begun (request.c has it) ─► answer, in the worker's pipe ─► the worker has read it
 *
 * A request under way counts with the bytes of its payload and the bytes that its answer may take (weight_of).  Bytes
 * in the pipe that the worker has not read count, too.  A request for which there is no room waits, in order.  When
 * many wait, the core stops reading the worker's pipe until some have begun, so that the worker has to wait.  This
 * bounds the memory that a worker can make the core hold, whatever its scripts do.
 *
 * Two kinds of requests may wait for a later request of the same worker, so they do not count here and have bounds of
 * their own (request.c): waits for a job's end, and enqueues that wait for capacity in a queue. */
#include <stdlib.h>
#include <string.h>

#include "base/limits.h"
#include "engine/state.h"
#include "logic/wire.h"

enum {
  VIEW_BYTES = 64 * 1024,   /* expected size of a job in an answer */
  ANSWER_BYTES = 4096,      /* of an answer without jobs */
  TABLE_BYTES = 512 * 1024, /* of an answer with all queues or tasks */
};

struct asked {
  struct sk_list node; /* in intake.waiting until it begins */
  struct sk_engine *engine;
  uint64_t serial; /* of the worker, which may be gone when the answer comes */
  uint64_t request;
  unsigned operation;
  size_t weight; /* its bytes in intake.begun_bytes; 0: it does not count */
  size_t payload_n;
  char payload[];
};

/* -- answers ------------------------------------------------------------------------------------------------------- */

static void reply(struct sk_worker *w, uint64_t request, enum sk_code code, struct sk_str answer) {
  struct sk_buf *out = sk_pipe_out(w->pipe);
  size_t at = sk_wire_begin(out, SK_FRAME_REPLY);
  sk_buf_add_u64(out, request);
  sk_buf_add_byte(out, (char)code);
  if (code == SK_OK)
    sk_buf_add_str(out, answer);
  else
    sk_wire_add_str(out, answer);
  sk_wire_end(out, at);
}

static struct sk_worker *worker_of(const struct asked *a) {
  SK_LIST_EACH (n, &a->engine->workers)
    if (SK_WORKER_OF(n)->serial == a->serial) return SK_WORKER_OF(n);
  return NULL;
}

/* Takes the request out of its worker's count. */
static void uncount(struct asked *a) {
  struct sk_worker *w = worker_of(a);
  if (w) w->intake.begun_bytes -= a->weight;
  a->weight = 0;
}

static bool wait_for_room(struct sk_worker *w, uint64_t request, unsigned operation, struct sk_str payload,
                          size_t weight);

/* A worker may wait for many jobs that end together.  When its pipe has no room for an answer, the answer is dropped,
 * and the job is looked up again when there is room for that many bytes.  False: memory is out. */
static bool look_again(struct sk_worker *w, const struct asked *a, size_t bytes) {
  struct sk_buf payload = { 0 };
  struct sk_reader r = sk_reader(sk_str(a->payload, a->payload_n));
  sk_wire_add_str(&payload, sk_read_str(&r));
  sk_wire_add_i64(&payload, 0);
  bool ok = !payload.failed && wait_for_room(w, a->request, SK_OP_WAIT, sk_buf_str(&payload), bytes);
  sk_buf_fini(&payload);
  return ok;
}

static void on_answer(void *ctx, enum sk_code code, struct sk_str answer) {
  struct asked *a = ctx;
  struct sk_worker *w = worker_of(a);
  bool uncounted = a->operation == SK_OP_WAIT && a->weight == 0;
  uncount(a);
  if (w && !w->pipe_closed) {
    bool much = uncounted && code == SK_OK && sk_pipe_pending(w->pipe) > SK_WORKER_OUT_BYTES_MAX;
    if (!much || !look_again(w, a, answer.n + ANSWER_BYTES)) reply(w, a->request, code, answer);
  }
  sk_engine_wake(a->engine); /* other requests may begin; a stop may have waited for this one */
  free(a);
}

void sk_intake_blocked(void *ctx) { uncount(ctx); }

/* -- memory -------------------------------------------------------------------------------------------------------- */

static uint32_t first_u32(struct sk_str payload) {
  struct sk_reader r = sk_reader(payload);
  return sk_read_u32(&r);
}

static uint32_t last_u32(struct sk_str payload) {
  return payload.n < 4 ? 0 : first_u32(sk_str(payload.p + payload.n - 4, 4));
}

static size_t weight_of_views(uint32_t n) {
  size_t bytes = (size_t)n * VIEW_BYTES;
  return bytes < SK_FRAME_BYTES_MAX ? bytes + ANSWER_BYTES : SK_FRAME_BYTES_MAX;
}

/* The bytes that a request counts for while it is under way. */
static size_t weight_of(unsigned operation, struct sk_str payload) {
  switch ((enum sk_operation)operation) {
  case SK_OP_GET: return payload.n + weight_of_views(first_u32(payload));
  case SK_OP_LIST: return payload.n + weight_of_views(last_u32(payload));
  case SK_OP_COUNT:
  case SK_OP_TASKS: return payload.n + TABLE_BYTES;
  case SK_OP_WAIT: return 0;
  case SK_OP_ENQUEUE:
  case SK_OP_CHANGE:
  case SK_OP_PAUSE: break;
  }
  return payload.n + ANSWER_BYTES;
}

static bool has_room(const struct sk_worker *w, size_t weight) {
  size_t pending = sk_pipe_pending(w->pipe);
  if (w->intake.begun_bytes == 0)
    return weight == 0 || pending <= SK_WORKER_OUT_BYTES_MAX; /* one request is always let in */
  return w->intake.begun_bytes + pending + weight <= SK_WORKER_REQUESTS_BYTES_MAX;
}

static bool is_full(const struct sk_intake *in) {
  return in->waiting_n >= SK_WORKER_WAITING_MAX || in->waiting_bytes >= SK_WORKER_WAITING_BYTES_MAX;
}

/* A worker that has exited can send no more than its socket holds, so it is read in any case. */
static void update_reading(struct sk_worker *w) {
  bool stop = !w->exited && (is_full(&w->intake) || w->engine->held_bytes >= SK_HELD_BYTES_FULL);
  if (w->pipe_closed || stop == w->not_read) return;
  w->not_read = stop;
  sk_pipe_read(w->pipe, !stop);
}

/* -- asking -------------------------------------------------------------------------------------------------------- */

static struct asked *make(const struct sk_worker *w, uint64_t request, unsigned operation, struct sk_str payload) {
  struct asked *a = malloc(sizeof *a + payload.n);
  if (a == NULL) return NULL;
  *a = (struct asked){
    .engine = w->engine, .serial = w->serial, .request = request, .operation = operation, .payload_n = payload.n
  };
  sk_list_init(&a->node);
  if (payload.n) memcpy(a->payload, payload.p, payload.n);
  return a;
}

static bool wait_for_room(struct sk_worker *w, uint64_t request, unsigned operation, struct sk_str payload,
                          size_t weight) {
  struct asked *a = make(w, request, operation, payload);
  if (a == NULL) return false;
  a->weight = weight;
  sk_list_push(&w->intake.waiting, &a->node);
  w->intake.waiting_n++;
  w->intake.waiting_bytes += payload.n;
  update_reading(w);
  return true;
}

/* Borrows the payload until it returns. */
static void begin(struct sk_worker *w, struct asked *a, struct sk_str payload) {
  w->intake.begun_bytes += a->weight;
  sk_requests_run(w->engine->requests, w->serial, a->operation, payload, on_answer, a);
}

void sk_intake_ask(struct sk_worker *w, uint64_t request, unsigned operation, struct sk_str payload) {
  size_t weight = weight_of(operation, payload);
  bool now = sk_list_empty(&w->intake.waiting) && has_room(w, weight);
  struct asked *a = now ? make(w, request, operation, operation == SK_OP_WAIT ? payload : sk_str(NULL, 0)) : NULL;
  if (a) {
    a->weight = weight;
    begin(w, a, payload);
  } else if (now || !wait_for_room(w, request, operation, payload, weight)) {
    reply(w, request, SK_ENOMEM, SK_STR_LIT("request: out of memory"));
  }
}

/* Begins requests that wait, in order, while there is room. */
static void begin_waiting(struct sk_worker *w) {
  struct sk_intake *in = &w->intake;
  while (!sk_list_empty(&in->waiting) && !w->pipe_closed) {
    struct asked *a = SK_CONTAINER(in->waiting.next, struct asked, node);
    if (!has_room(w, a->weight)) return;
    sk_list_remove(&a->node);
    in->waiting_n--;
    in->waiting_bytes -= a->payload_n;
    begin(w, a, sk_str(a->payload, a->payload_n));
  }
}

void sk_intake_turn(struct sk_engine *e) {
  SK_LIST_EACH (n, &e->workers) {
    begin_waiting(SK_WORKER_OF(n));
    update_reading(SK_WORKER_OF(n));
  }
}

void sk_intake_init(struct sk_worker *w) { sk_list_init(&w->intake.waiting); }

void sk_intake_fini(struct sk_worker *w) {
  for (struct sk_list *n; (n = sk_list_pop(&w->intake.waiting)) != NULL;) free(SK_CONTAINER(n, struct asked, node));
}
