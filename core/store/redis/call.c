/* redis/call.c - commands as bytes, and replies as trees in an arena (hiredis' parser with objects of our own, so that
 * an op's outputs point into its reply and nothing is copied twice). */
#include <hiredis/read.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "store/redis/redis.h"

/* -- commands ------------------------------------------------------------------------------------------------------ */

static void add_head(struct sk_buf *b, char kind, size_t n) {
  char digits[24], *at = digits + sizeof digits;
  *--at = '\n';
  *--at = '\r';
  do *--at = (char)('0' + n % 10);
  while ((n /= 10) > 0);
  *--at = kind;
  sk_buf_add(b, at, (size_t)(digits + sizeof digits - at));
}

void sk_rd_arg_begin(struct rd_command *c, size_t n) {
  sk_buf_reserve(&c->args, n + 32);
  add_head(&c->args, '$', n);
  c->n++;
}

void sk_rd_arg(struct rd_command *c, struct sk_str s) {
  sk_rd_arg_begin(c, s.n);
  sk_buf_add_str(&c->args, s);
  sk_buf_add(&c->args, "\r\n", 2);
}

void sk_rd_arg_c(struct rd_command *c, const char *z) { sk_rd_arg(c, sk_str_c(z)); }

void sk_rd_arg_int(struct rd_command *c, int64_t v) {
  char text[24];
  int n = snprintf(text, sizeof text, "%" PRId64, v);
  sk_rd_arg(c, sk_str(text, (size_t)n));
}

bool sk_rd_command_end(struct rd_command *c, struct sk_buf *out) {
  size_t before = out->n;
  if (!c->args.failed) {
    add_head(out, '*', c->n);
    sk_buf_add_str(out, sk_buf_str(&c->args));
  }
  bool ok = !c->args.failed && !out->failed;
  if (out->failed) {
    out->failed = false;
    out->n = before;
  }
  sk_buf_clear(&c->args);
  c->n = 0;
  return ok;
}

/* -- replies ------------------------------------------------------------------------------------------------------- */

enum { ARRAY_MAX = 1 << 20 }; /* of a reply: no script answers with more, and memory is taken before the items come */

struct rd_reader {
  redisReader *redis;
  bool huge;             /* an array was longer */
  struct sk_arena arena; /* of the reply in the making */
};

/* hiredis asks for objects while it reads.  NULL says that there is no memory for an object; hiredis then stops with
 * its error "out of memory". */
static struct rd_reply *object(const redisReadTask *task, enum rd_type type) {
  struct rd_reader *r = task->privdata;
  struct rd_reply *reply = sk_arena_alloc(&r->arena, sizeof *reply);
  if (reply == NULL) return NULL;
  reply->type = type;
  if (task->parent) ((struct rd_reply *)task->parent->obj)->items[task->idx] = reply;
  return reply;
}

static void *new_text(const redisReadTask *task, char *text, size_t n) {
  enum rd_type type = task->type == REDIS_REPLY_ERROR    ? RD_ERROR
                      : task->type == REDIS_REPLY_STATUS ? RD_STATUS
                                                         : RD_TEXT;
  struct rd_reply *reply = object(task, type);
  if (reply == NULL) return NULL;
  struct rd_reader *r = task->privdata;
  reply->text = sk_arena_copy(&r->arena, sk_str(text, n));
  return reply->text.p ? reply : NULL;
}

static void *new_array(const redisReadTask *task, int n) {
  if (n > ARRAY_MAX) {
    ((struct rd_reader *)task->privdata)->huge = true;
    return NULL;
  }
  struct rd_reply *reply = object(task, RD_ARRAY);
  if (reply == NULL) return NULL;
  struct rd_reader *r = task->privdata;
  reply->n = n > 0 ? (size_t)n : 0;
  reply->items = sk_arena_array(&r->arena, reply->n, sizeof *reply->items);
  return reply->items ? reply : NULL;
}

static void *new_number(const redisReadTask *task, long long v) {
  struct rd_reply *reply = object(task, RD_INT);
  if (reply) reply->number = v;
  return reply;
}

static void *new_nil(const redisReadTask *task) { return object(task, RD_NIL); }
static void free_nothing(void *reply) { (void)reply; }

static redisReplyObjectFunctions objects = { new_text, new_array, new_number, new_nil, free_nothing };

struct rd_reader *sk_rd_reader_new(void) {
  struct rd_reader *r = calloc(1, sizeof *r);
  if (r) r->redis = redisReaderCreateWithFunctions(&objects);
  if (r && r->redis == NULL) {
    free(r);
    return NULL;
  }
  if (r) r->redis->privdata = r;
  return r;
}

void sk_rd_reader_free(struct rd_reader *r) {
  if (r == NULL) return;
  redisReaderFree(r->redis);
  sk_arena_fini(&r->arena);
  free(r);
}

static enum sk_code reader_failed(const struct rd_reader *r, struct sk_err *err) {
  if (r->huge) return sk_err_set(err, SK_ECORRUPT, "Redis reply: an array of more than %d items", ARRAY_MAX);
  if (r->redis->err == REDIS_ERR_OOM) return sk_err_set(err, SK_ENOMEM, "Redis reply: out of memory");
  return sk_err_set(err, SK_ECORRUPT, "what the server sends is not the Redis protocol: %s", r->redis->errstr);
}

enum sk_code sk_rd_reader_feed(struct rd_reader *r, struct sk_str bytes, struct sk_err *err) {
  return redisReaderFeed(r->redis, bytes.p, bytes.n) == REDIS_OK ? SK_OK : reader_failed(r, err);
}

enum sk_code sk_rd_reader_next(struct rd_reader *r, struct rd_reply **out, struct sk_arena *arena, struct sk_err *err) {
  void *reply = NULL;
  *out = NULL;
  if (redisReaderGetReply(r->redis, &reply) != REDIS_OK) return reader_failed(r, err);
  if (reply == NULL) return SK_OK;
  *out = reply;
  *arena = r->arena;
  r->arena = (struct sk_arena){ 0 };
  return SK_OK;
}

const struct rd_reply *sk_rd_item(const struct rd_reply *array, size_t i, enum rd_type type) {
  if (array == NULL || array->type != RD_ARRAY || i >= array->n || array->items[i]->type != type) return NULL;
  return array->items[i];
}

struct sk_str sk_rd_text(const struct rd_reply *array, size_t i) {
  const struct rd_reply *item = sk_rd_item(array, i, RD_TEXT);
  return item ? item->text : sk_str(NULL, 0);
}

int64_t sk_rd_number(const struct rd_reply *array, size_t i) {
  const struct rd_reply *item = sk_rd_item(array, i, RD_INT);
  return item ? item->number : 0;
}

bool sk_rd_time_read(const struct rd_reply *reply, int64_t *us) {
  struct sk_str seconds = sk_rd_text(reply, 0), part = sk_rd_text(reply, 1);
  if (seconds.n == 0 || part.n == 0) return false;
  *us = (int64_t)strtoll(seconds.p, NULL, 10) * 1000000 + (int64_t)strtoll(part.p, NULL, 10); /* texts end in a NUL */
  return *us > 0;
}

/* -- values -------------------------------------------------------------------------------------------------------- */

bool sk_rd_value_read(struct sk_str bytes, struct rd_value *out) {
  *out = (struct rd_value){ .due_ms = RD_NEVER };
  const unsigned char *p = (const unsigned char *)bytes.p, *end = p + bytes.n;
  size_t place = bytes.n && p[0] == 'r' ? 0 : 16;
  if (bytes.n < 1 + place + 3) return false;
  out->code = (char)*p++;
  if (place) {
    uint64_t due = 0;
    for (int i = 0; i < 8; i++) due = due << 8 | p[i];
    out->due_ms = (int64_t)due;
    p += place;
  }
  out->priority = SK_PRIORITY_MAX - (*p++ - '0');
  struct sk_str *const parts[] = { &out->queue, &out->task };
  for (int i = 0; i < 2; i++) {
    if (p >= end || end - p - 1 < *p) return false;
    *parts[i] = sk_str((const char *)p + 1, *p);
    p += 1 + *p;
  }
  out->record = sk_str((const char *)p, (size_t)(end - p));
  return true;
}
