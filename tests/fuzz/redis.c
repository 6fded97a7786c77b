/* redis.c - fuzz target: what a Redis server sends.  The input is fed whole and a few bytes at a time, which must give
 * the same replies; each text in them is read as a job's value. */
#include <assert.h>
#include <string.h>

#include "store/redis/redis.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_text(struct sk_str text) {
  struct rd_value value;
  assert(text.p[text.n] == '\0');
  if (!sk_rd_value_read(text, &value)) return;
  assert(value.queue.n <= 255 && value.task.n <= 255);
  assert(value.record.p + value.record.n == text.p + text.n);
}

/* How many objects there are in a reply. */
static size_t walk(const struct rd_reply *reply) {
  size_t n = 1;
  if (reply->type == RD_TEXT || reply->type == RD_STATUS || reply->type == RD_ERROR) check_text(reply->text);
  for (size_t i = 0; reply->type == RD_ARRAY && i < reply->n; i++) n += walk(reply->items[i]);
  return n;
}

struct outcome {
  size_t replies, objects;
  enum sk_code code;
};

static struct outcome read_all(struct sk_str in, size_t step) {
  struct outcome out = { 0 };
  struct sk_err err;
  struct rd_reader *reader = sk_rd_reader_new();
  assert(reader);
  while (in.n > 0 && out.code == SK_OK) {
    struct sk_str piece = sk_str_head(in, step);
    in = sk_str(in.p + piece.n, in.n - piece.n);
    out.code = sk_rd_reader_feed(reader, piece, &err);
    for (;;) {
      struct sk_arena arena = { 0 };
      struct rd_reply *reply = NULL;
      if (out.code == SK_OK) out.code = sk_rd_reader_next(reader, &reply, &arena, &err);
      if (out.code != SK_OK || reply == NULL) break;
      out.replies++;
      out.objects += walk(reply);
      sk_arena_fini(&arena);
    }
  }
  sk_rd_reader_free(reader);
  return out;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  struct sk_str in = sk_str((const char *)data, size);
  struct outcome whole = read_all(in, size ? size : 1), pieces = read_all(in, 3);
  assert(whole.replies == pieces.replies && whole.objects == pieces.objects);
  return 0;
}
