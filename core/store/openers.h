/* openers.h - what every store shares with store.c: its opener, and where it reads the time.
 *
 * To add a store: write core/store/NAME*.c with an opener of this shape, declare it here, add a line to the table in
 * store.c and one to the table in tests/contract/stores.c. */
#ifndef SK_STORE_OPENERS_H
#define SK_STORE_OPENERS_H

#include "store/store.h"

/* An opener gets options whose URL has its scheme; the law of sk_store_open (store.h) is its own. */
typedef enum sk_code (*sk_store_opener)(struct sk_loop *loop, const struct sk_store_options *options,
                                        const struct sk_store_events *events, struct sk_store **out,
                                        struct sk_err *err);

enum sk_code sk_memory_open(struct sk_loop *loop, const struct sk_store_options *options,
                            const struct sk_store_events *events, struct sk_store **out, struct sk_err *err);
enum sk_code sk_sqlite_open(struct sk_loop *loop, const struct sk_store_options *options,
                            const struct sk_store_events *events, struct sk_store **out, struct sk_err *err);
enum sk_code sk_redis_open(struct sk_loop *loop, const struct sk_store_options *options,
                           const struct sk_store_events *events, struct sk_store **out, struct sk_err *err);

/* SQLite's version, e.g. "3.40.1". */
const char *sk_sqlite_version(void);

/* The store's time: from the options' clock, or from the machine's when it is zeroed. */
int64_t sk_store_wall_ms(const struct sk_store_clock *clock);
int64_t sk_store_mono_ms(const struct sk_store_clock *clock);

#endif
