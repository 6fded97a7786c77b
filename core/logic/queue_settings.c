/* queue_settings.c - see queue_settings.h. */
#include "logic/queue_settings.h"

#include <inttypes.h>

#include "base/limits.h"
#include "logic/name.h"
#include "logic/fields.h"
#include "logic/wire.h"

#define MS_MAX (SK_SECONDS_MAX * 1000)
#define AT(field) offsetof(struct sk_queue_settings, field)

const struct sk_queue_setting sk_queue_settings_table[SK_QUEUE_SETTINGS] = {
  { "max_len", SK_SETTING_NUMBER, AT(max_len), SK_QUEUE_LEN_MAX },
  { "overflow", SK_SETTING_OVERFLOW, AT(overflow), SK_OVERFLOWS - 1 },
  { "block_ms", SK_SETTING_NUMBER, AT(block_ms), MS_MAX },
  { "concurrency", SK_SETTING_NUMBER, AT(limit.concurrency), SK_LIMIT_CONCURRENCY_MAX },
  { "rate", SK_SETTING_NUMBER, AT(limit.rate), SK_LIMIT_RATE_MAX },
  { "per_ms", SK_SETTING_NUMBER, AT(limit.per_ms), MS_MAX },
  { "burst", SK_SETTING_NUMBER, AT(limit.burst), SK_LIMIT_RATE_MAX },
};

static const char *const OVERFLOW_NAMES[SK_OVERFLOWS] = {
  [SK_OVERFLOW_REJECT] = "reject",
  [SK_OVERFLOW_DROP_OLDEST] = "drop_oldest",
  [SK_OVERFLOW_BLOCK] = "block",
};

const char *sk_overflow_name(enum sk_overflow overflow) { return OVERFLOW_NAMES[overflow]; }

enum sk_overflow sk_overflow_parse(struct sk_str name) {
  for (int i = 0; i < SK_OVERFLOWS; i++)
    if (sk_str_eq_c(name, OVERFLOW_NAMES[i])) return (enum sk_overflow)i;
  return SK_OVERFLOW_REJECT;
}

/* -- one setting --------------------------------------------------------------------------------------------------- */

int64_t sk_queue_settings_get(const struct sk_queue_settings *q, size_t i) {
  if (sk_queue_settings_table[i].type == SK_SETTING_OVERFLOW) return (int64_t)q->overflow;
  return *(const int64_t *)(const void *)((const char *)q + sk_queue_settings_table[i].offset);
}

void sk_queue_settings_set(struct sk_queue_settings *q, size_t i, int64_t value) {
  if (sk_queue_settings_table[i].type == SK_SETTING_OVERFLOW)
    q->overflow = (enum sk_overflow)value;
  else
    *(int64_t *)(void *)((char *)q + sk_queue_settings_table[i].offset) = value;
}

/* -- all of them --------------------------------------------------------------------------------------------------- */

bool sk_queue_settings_any(const struct sk_queue_settings *q) {
  return q->max_len > 0 || q->limit.concurrency > 0 || q->limit.rate > 0;
}

bool sk_queue_settings_same(const struct sk_queue_settings *a, const struct sk_queue_settings *b) {
  for (size_t i = 0; i < SK_QUEUE_SETTINGS; i++)
    if (sk_queue_settings_get(a, i) != sk_queue_settings_get(b, i)) return false;
  return true;
}

bool sk_queue_settings_valid(const struct sk_queue_settings *q) {
  const struct sk_limit *l = &q->limit;
  for (size_t i = 0; i < SK_QUEUE_SETTINGS; i++) {
    int64_t value = sk_queue_settings_get(q, i);
    if (value < 0 || value > sk_queue_settings_table[i].max) return false;
  }
  bool rate = l->rate > 0 ? l->per_ms > 0 && l->burst > 0 : l->per_ms == 0 && l->burst == 0;
  return rate && sk_name_check("queue", q->name, NULL) == SK_OK;
}

/* -- frames -------------------------------------------------------------------------------------------------------- */

void sk_queue_settings_write(struct sk_buf *out, const struct sk_queue_settings *q) {
  sk_wire_add_str(out, q->name);
  for (size_t i = 0; i < SK_QUEUE_SETTINGS; i++) {
    int64_t value = sk_queue_settings_get(q, i);
    if (sk_queue_settings_table[i].type == SK_SETTING_OVERFLOW)
      sk_buf_add_byte(out, (char)value);
    else
      sk_wire_add_i64(out, value);
  }
}

struct sk_queue_settings sk_queue_settings_read(struct sk_reader *r) {
  struct sk_queue_settings q = { .name = sk_read_str(r) };
  for (size_t i = 0; i < SK_QUEUE_SETTINGS; i++) {
    bool number = sk_queue_settings_table[i].type == SK_SETTING_NUMBER;
    sk_queue_settings_set(&q, i, number ? sk_read_i64(r) : sk_read_u8(r));
  }
  return q;
}

/* -- text ---------------------------------------------------------------------------------------------------------- */

void sk_queue_settings_print(struct sk_buf *out, const struct sk_queue_settings *q, int64_t number_max) {
  if (!sk_queue_settings_any(q)) return;
  for (size_t i = 0; i < SK_QUEUE_SETTINGS; i++) {
    int64_t value = sk_queue_settings_get(q, i);
    if (i > 0) sk_buf_add_byte(out, ';');
    if (sk_queue_settings_table[i].type == SK_SETTING_OVERFLOW)
      sk_buf_add_c(out, sk_overflow_name(q->overflow));
    else
      sk_buf_addf(out, "%" PRId64, value < 0 ? 0 : value > number_max ? number_max : value);
  }
}

struct sk_queue_settings sk_queue_settings_parse(struct sk_str text) {
  struct sk_queue_settings q = { .max_len = 0 };
  for (size_t i = 0; i < SK_QUEUE_SETTINGS; i++) {
    struct sk_str word = sk_fields_next(&text, ';');
    int64_t value = 0;
    if (sk_queue_settings_table[i].type == SK_SETTING_OVERFLOW)
      value = sk_overflow_parse(word);
    else
      sk_fields_number(word, &value);
    sk_queue_settings_set(&q, i, value);
  }
  return q;
}
