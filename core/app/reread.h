/* reread.h - reads the configuration again while the engine runs (HUP). DIR/config.lua is a program of the user's, so a
 * thread waits for it: the core's loop goes on however long it takes. */
#ifndef SK_APP_REREAD_H
#define SK_APP_REREAD_H

#include "app/config.h"
#include "io/loop.h"

struct sk_reread;

/* Gets the new settings, or NULL and the reason. config is lent until the callback returns. */
typedef void (*sk_reread_cb)(void *ctx, const struct sk_config *config, const struct sk_err *err);

/* args and dir are borrowed until the process ends. NULL when out of memory. */
struct sk_reread *sk_reread_new(struct sk_loop *loop, const struct sk_args *args, const char *program, const char *dir,
                                sk_reread_cb cb, void *ctx);
/* Starts a reading, after which the callback comes. A call during a reading starts another one after it. */
void sk_reread_start(struct sk_reread *r);
/* Frees r. A reading that is under way ends by itself: it cannot be waited for. */
void sk_reread_free(struct sk_reread *r); /* NULL is fine */

#endif
