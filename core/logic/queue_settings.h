/* queue_settings.h - the settings of a queue (store.h, QUEUE SETTINGS): their table, and the forms in which they
 * travel.
 *
 * SK_QUEUE_SETTINGS names every setting once, in one order.  The wire, the stores, the scripts' tables and
 * skein.testing list the settings by that table, so a new setting is a field of the struct and a row of the table. */
#ifndef SK_LOGIC_QUEUE_SETTINGS_H
#define SK_LOGIC_QUEUE_SETTINGS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/str.h"
#include "logic/limit.h"

struct sk_reader;

/* What a full queue does with a new job. */
enum sk_overflow {
  SK_OVERFLOW_REJECT,      /* refuses it */
  SK_OVERFLOW_DROP_OLDEST, /* deletes the oldest READY job of the lowest priority instead */
  SK_OVERFLOW_BLOCK,       /* refuses it; the client tries again for block_ms */
};
#define SK_OVERFLOWS 3

/* "reject", "drop_oldest", "block". */
const char *sk_overflow_name(enum sk_overflow overflow);
/* SK_OVERFLOW_REJECT for any other word. */
enum sk_overflow sk_overflow_parse(struct sk_str name);

struct sk_queue_settings {
  struct sk_str name;        /* of the queue */
  int64_t max_len;           /* waiting jobs (sk_state_waits) that the queue takes; 0: any number */
  enum sk_overflow overflow; /* meaningful with a max_len only */
  int64_t block_ms;          /* with SK_OVERFLOW_BLOCK: how long a client waits for room */
  struct sk_limit limit;     /* of the queue's RUNNING jobs; group and strict are unused; zeroed: none */
};

/* A setting: its name in Lua tables and in SQL, where it stands in the struct, and its range: 0 to `max`. */
struct sk_queue_setting {
  const char *name;
  enum { SK_SETTING_NUMBER, SK_SETTING_OVERFLOW } type;
  size_t offset;
  int64_t max;
};
#define SK_QUEUE_SETTINGS 7
extern const struct sk_queue_setting sk_queue_settings_table[SK_QUEUE_SETTINGS];

/* The value of the i-th setting of the table; that of an overflow is its enum value. */
int64_t sk_queue_settings_get(const struct sk_queue_settings *q, size_t i);
void sk_queue_settings_set(struct sk_queue_settings *q, size_t i, int64_t value);

/* False when no setting has an effect: such settings are not stored. */
bool sk_queue_settings_any(const struct sk_queue_settings *q);
/* All settings are equal; names are not compared. */
bool sk_queue_settings_same(const struct sk_queue_settings *a, const struct sk_queue_settings *b);
/* The name is one, every setting is in its range, and a rate comes with a time and a burst. */
bool sk_queue_settings_valid(const struct sk_queue_settings *q);

/* The form in frames (wire.h): str name, then each setting, i64; an overflow is u8. */
void sk_queue_settings_write(struct sk_buf *out, const struct sk_queue_settings *q);
/* The name points into the reader's bytes.  r->bad tells whether all of it was there; sk_queue_settings_valid whether
 * it makes sense. */
struct sk_queue_settings sk_queue_settings_read(struct sk_reader *r);

/* The form of text: the settings, separated by ";", an overflow by its name; nothing when no setting has an effect.  No
 * number is greater than number_max, which the reader of the text must be able to hold. */
void sk_queue_settings_print(struct sk_buf *out, const struct sk_queue_settings *q, int64_t number_max);
/* Reads the form of text; a setting that is missing or malformed is 0.  The name is left empty. */
struct sk_queue_settings sk_queue_settings_parse(struct sk_str text);

#endif
