/* record.c - see record.h for the format.  One table drives both directions. */
#include "logic/record.h"

#include <assert.h>
#include <stddef.h>

enum { RECORD_MAGIC = 'S', RECORD_VERSION = 1 };
enum field_type { TEXT, INT64, INT32, ZIGZAG32, KIND };

struct field {
  enum field_type type;
  size_t offset;
  bool unset_is_negative; /* numbers: SK_UNSET means absent; else 0 does */
};

#define F(type_, name, neg)                                                                                            \
  { type_, offsetof(struct sk_job, name), neg }
static const struct field FIELDS[] = {
  F(TEXT, id, false),          F(TEXT, task, false),         F(TEXT, queue, false),        F(TEXT, args, false),
  F(TEXT, meta, false),        F(ZIGZAG32, priority, false), F(INT64, enqueued_ms, false), F(INT64, retries, true),
  F(INT64, timeout_ms, true),  F(INT64, keep_ms, true),      F(INT64, expires_ms, true),   F(INT32, keep_dead, true),
  F(TEXT, backoff, false),     F(TEXT, retry_queue, false),  F(TEXT, on_success, false),   F(TEXT, on_error, false),
  F(INT32, immutable, true),   F(INT64, attempts, false),    F(INT64, crashes, false),     F(INT64, unknowns, false),
  F(INT64, recoveries, false), F(KIND, error_kind, false),   F(TEXT, error, false),        F(TEXT, traceback, false),
  F(INT64, started_ms, false), F(INT64, finished_ms, false), F(TEXT, result, false),       F(TEXT, unique, false),
  F(TEXT, limit, false),       F(TEXT, history, false),      F(TEXT, log, false),
};
#undef F
enum { FIELDS_N = sizeof FIELDS / sizeof *FIELDS };

static void add_varint(struct sk_buf *b, uint64_t v) {
  while (v >= 0x80) {
    sk_buf_add_byte(b, (char)(v | 0x80));
    v >>= 7;
  }
  sk_buf_add_byte(b, (char)v);
}

static void add_number(struct sk_buf *b, unsigned tag, uint64_t v) {
  char le[8];
  size_t n = 0;
  for (; v; v >>= 8) le[n++] = (char)v;
  add_varint(b, tag);
  add_varint(b, n);
  sk_buf_add(b, le, n);
}

/* The number that field f of job holds, as it is stored; false when it is unset. */
static bool number_of(const struct sk_job *job, const struct field *f, uint64_t *out) {
  const char *at = (const char *)job + f->offset;
  int64_t v = 0;
  switch (f->type) {
  case INT64: memcpy(&v, at, sizeof v); break;
  case INT32:
  case ZIGZAG32: {
    int32_t v32;
    memcpy(&v32, at, sizeof v32);
    v = v32;
    break;
  }
  case KIND: v = (int64_t) * (const enum sk_error_kind *)(const void *)at; break;
  case TEXT: assert(0); break;
  }
  if (f->unset_is_negative ? v < 0 : v == 0) return false;
  *out = f->type == ZIGZAG32 ? ((uint64_t)v << 1) ^ (uint64_t)(v >> 63) : (uint64_t)v;
  return true;
}

void sk_record_encode(const struct sk_job *job, struct sk_buf *out) {
  sk_buf_reserve(out, 160 + job->args.n + job->meta.n);
  sk_buf_add_byte(out, RECORD_MAGIC);
  sk_buf_add_byte(out, RECORD_VERSION);
  for (unsigned i = 0; i < FIELDS_N; i++) {
    const struct field *f = &FIELDS[i];
    if (f->type == TEXT) {
      const struct sk_str *s = (const struct sk_str *)(const void *)((const char *)job + f->offset);
      if (s->n == 0) continue;
      add_varint(out, i + 1);
      add_varint(out, s->n);
      sk_buf_add_str(out, *s);
    } else {
      uint64_t v;
      if (number_of(job, f, &v)) add_number(out, i + 1, v);
    }
  }
  sk_buf_add_str(out, job->rest);
}

/* One cursor reads everything; once bad, it stays bad. */
struct cursor {
  const unsigned char *p;
  const unsigned char *end;
  bool bad;
};

static uint64_t take_varint(struct cursor *c) {
  uint64_t v = 0;
  for (unsigned shift = 0; shift < 64; shift += 7) {
    if (c->p == c->end) break;
    unsigned char byte = *c->p++;
    if (shift == 63 && byte > 1) break;
    v |= (uint64_t)(byte & 0x7f) << shift;
    if (!(byte & 0x80)) return v;
  }
  c->bad = true;
  return 0;
}

static struct sk_str take_bytes(struct cursor *c, uint64_t n) {
  if (c->bad || n > (uint64_t)(c->end - c->p)) {
    c->bad = true;
    return sk_str(NULL, 0);
  }
  struct sk_str s = sk_str((const char *)c->p, (size_t)n);
  c->p += n;
  return s;
}

static bool set_number(struct sk_job *job, const struct field *f, struct sk_str value) {
  if (value.n > 8) return false;
  uint64_t v = 0;
  for (size_t i = 0; i < value.n; i++) v |= (uint64_t)(unsigned char)value.p[i] << (8 * i);
  char *at = (char *)job + f->offset;
  if (f->type == ZIGZAG32) {
    if (v > UINT32_MAX) return false;
    int32_t v32 = (int32_t)((uint32_t)v >> 1) ^ -(int32_t)(v & 1);
    memcpy(at, &v32, sizeof v32);
    return true;
  }
  if (v > INT64_MAX) return false;
  switch (f->type) {
  case INT64: memcpy(at, &(int64_t){ (int64_t)v }, sizeof(int64_t)); return true;
  case INT32:
    if (v > INT32_MAX) return false;
    memcpy(at, &(int32_t){ (int32_t)v }, sizeof(int32_t));
    return true;
  case KIND: {
    enum sk_error_kind kind = v < SK_KINDS ? (enum sk_error_kind)v : SK_KIND_ERROR;
    memcpy(at, &kind, sizeof kind);
    return true;
  }
  case ZIGZAG32:
  case TEXT: break;
  }
  return false;
}

enum sk_code sk_record_decode(struct sk_str bytes, struct sk_job *job, struct sk_err *err) {
  sk_job_init(job);
  if (bytes.n < 2 || bytes.p[0] != RECORD_MAGIC)
    return sk_err_set(err, SK_ECORRUPT, "job record: %zu bytes that do not start as one", bytes.n);
  if (bytes.p[1] != RECORD_VERSION)
    return sk_err_set(err, SK_EVERSION, "job record: version %d, this engine reads version %d",
                      (unsigned char)bytes.p[1], RECORD_VERSION);
  struct cursor c = { (const unsigned char *)bytes.p + 2, (const unsigned char *)bytes.p + bytes.n, false };
  uint64_t last = 0;
  while (c.p < c.end) {
    const unsigned char *at = c.p;
    uint64_t tag = take_varint(&c);
    struct sk_str value = take_bytes(&c, take_varint(&c));
    if (c.bad)
      return sk_err_set(err, SK_ECORRUPT, "job record: field after tag %llu is cut short", (unsigned long long)last);
    if (tag <= last)
      return sk_err_set(err, SK_ECORRUPT, "job record: tag %llu after %llu", (unsigned long long)tag,
                        (unsigned long long)last);
    last = tag;
    if (tag > FIELDS_N) {
      if (job->rest.p == NULL) job->rest.p = (const char *)at;
      job->rest.n = (size_t)(c.p - (const unsigned char *)job->rest.p);
      continue;
    }
    const struct field *f = &FIELDS[tag - 1];
    if (f->type == TEXT)
      memcpy((char *)job + f->offset, &value, sizeof value);
    else if (!set_number(job, f, value))
      return sk_err_set(err, SK_ECORRUPT, "job record: field %llu holds a number out of range",
                        (unsigned long long)tag);
  }
  return SK_OK;
}

/* -- the store's clock --------------------------------------------------------------------------------------------- */

enum { TAG_ENQUEUED = 7, TAG_EXPIRES = 11 };

static uint64_t number_in(struct sk_str value) {
  uint64_t v = 0;
  for (size_t i = value.n; i > 0; i--) v = v << 8 | (unsigned char)value.p[i - 1];
  return v;
}

/* The values of the two times, which stand near the record's begin; p is NULL where there is none. */
static void find_times(struct sk_str record, struct sk_str *enqueued, struct sk_str *expires) {
  *enqueued = *expires = sk_str(NULL, 0);
  if (record.n < 2 || record.p[0] != RECORD_MAGIC || record.p[1] != RECORD_VERSION) return;
  struct cursor c = { (const unsigned char *)record.p + 2, (const unsigned char *)record.p + record.n, false };
  while (c.p < c.end) {
    uint64_t tag = take_varint(&c);
    struct sk_str value = take_bytes(&c, take_varint(&c));
    if (c.bad || tag > TAG_EXPIRES) return;
    if (tag == TAG_ENQUEUED) *enqueued = value;
    if (tag == TAG_EXPIRES) *expires = value;
  }
}

static bool fits(uint64_t v, struct sk_str value) {
  return value.n > 0 && value.n <= 8 && v >> (8 * (value.n - 1)) != 0 && (value.n == 8 || v >> (8 * value.n) == 0);
}

/* Overwrites in the copy what stands at `value` in the original. */
static void overwrite(char *copy, struct sk_str original, struct sk_str value, uint64_t v) {
  for (size_t i = 0; i < value.n; i++) copy[(size_t)(value.p - original.p) + i] = (char)(v >> (8 * i));
}

static struct sk_str stamp_anew(struct sk_str record, int64_t now_ms, struct sk_buf *buf) {
  struct sk_job job;
  if (sk_record_decode(record, &job, NULL) != SK_OK) return record;
  sk_job_move_times(&job, now_ms);
  sk_record_encode(&job, buf);
  return buf->failed ? sk_str(NULL, 0) : sk_buf_str(buf);
}

struct sk_str sk_record_stamp(struct sk_str record, int64_t now_ms, struct sk_buf *buf) {
  struct sk_str enqueued, expires;
  sk_buf_clear(buf);
  find_times(record, &enqueued, &expires);
  if (enqueued.p == NULL || enqueued.n > 8 || expires.n > 8 || now_ms <= 0) return record;
  struct sk_job times = { .enqueued_ms = (int64_t)number_in(enqueued), .expires_ms = SK_UNSET };
  if (expires.p != NULL) times.expires_ms = (int64_t)number_in(expires);
  if (times.enqueued_ms == now_ms || times.enqueued_ms < 0 || (expires.p != NULL && times.expires_ms < 0))
    return record;
  sk_job_move_times(&times, now_ms);
  bool in_place = fits((uint64_t)now_ms, enqueued) && (expires.p == NULL || fits((uint64_t)times.expires_ms, expires));
  if (!in_place) return stamp_anew(record, now_ms, buf);
  sk_buf_add_str(buf, record);
  if (buf->failed) return sk_str(NULL, 0);
  overwrite(buf->p, record, enqueued, (uint64_t)now_ms);
  if (expires.p != NULL) overwrite(buf->p, record, expires, (uint64_t)times.expires_ms);
  return sk_buf_str(buf);
}
