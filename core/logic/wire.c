/* wire.c - see wire.h. */
#include "logic/wire.h"

#include <assert.h>

#include "base/limits.h"

static uint64_t load_le(const char *p, size_t n) {
  uint64_t v = 0;
  for (size_t i = 0; i < n; i++) v |= (uint64_t)(unsigned char)p[i] << (8 * i);
  return v;
}

enum sk_code sk_wire_next(struct sk_str *in, struct sk_frame *out, struct sk_err *err) {
  if (in->n < SK_FRAME_HEAD_BYTES) return SK_ENOTFOUND;
  size_t bytes = (size_t)load_le(in->p, 4);
  unsigned type = (unsigned char)in->p[4];
  if (type == 0 || type >= SK_FRAME_TYPES) return sk_err_set(err, SK_ECORRUPT, "frame: unknown type %u", type);
  if (bytes > SK_FRAME_BYTES_MAX)
    return sk_err_set(err, SK_ECORRUPT, "frame: %zu bytes, more than the limit of %d", bytes, SK_FRAME_BYTES_MAX);
  if (in->n - SK_FRAME_HEAD_BYTES < bytes) return SK_ENOTFOUND;
  *out = (struct sk_frame){ (enum sk_frame_type)type, sk_str(in->p + SK_FRAME_HEAD_BYTES, bytes) };
  in->p += SK_FRAME_HEAD_BYTES + bytes;
  in->n -= SK_FRAME_HEAD_BYTES + bytes;
  return SK_OK;
}

size_t sk_wire_begin(struct sk_buf *b, enum sk_frame_type type) {
  size_t start = b->n;
  sk_buf_add_u32(b, 0);
  sk_buf_add_byte(b, (char)type);
  return start;
}

void sk_wire_end(struct sk_buf *b, size_t start) {
  if (b->failed) return;
  size_t bytes = b->n - start - SK_FRAME_HEAD_BYTES;
  assert(bytes <= SK_FRAME_BYTES_MAX);
  for (int i = 0; i < 4; i++) b->p[start + (size_t)i] = (char)(bytes >> (8 * i));
}

void sk_wire_add_str(struct sk_buf *b, struct sk_str s) {
  sk_buf_add_u32(b, (uint32_t)s.n);
  sk_buf_add_str(b, s);
}

void sk_wire_add_i64(struct sk_buf *b, int64_t v) { sk_buf_add_u64(b, (uint64_t)v); }

struct sk_reader sk_reader(struct sk_str bytes) {
  const char *p = bytes.p ? bytes.p : ""; /* an empty slice may be NULL, to which C lets nobody add 0 */
  return (struct sk_reader){ p, p + bytes.n, false };
}

static const char *take(struct sk_reader *r, size_t n) {
  if (r->bad || (size_t)(r->end - r->p) < n) {
    r->bad = true;
    return NULL;
  }
  const char *p = r->p;
  r->p += n;
  return p;
}

static uint64_t read_le(struct sk_reader *r, size_t n) {
  const char *p = take(r, n);
  return p ? load_le(p, n) : 0;
}

uint8_t sk_read_u8(struct sk_reader *r) { return (uint8_t)read_le(r, 1); }
uint32_t sk_read_u32(struct sk_reader *r) { return (uint32_t)read_le(r, 4); }
uint64_t sk_read_u64(struct sk_reader *r) { return read_le(r, 8); }
int64_t sk_read_i64(struct sk_reader *r) { return (int64_t)read_le(r, 8); }

struct sk_str sk_read_str(struct sk_reader *r) {
  size_t n = sk_read_u32(r);
  const char *p = take(r, n);
  return sk_str(p, p ? n : 0);
}

bool sk_reader_done(const struct sk_reader *r) { return !r->bad && r->p == r->end; }
