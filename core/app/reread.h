/* reread.h - reading the configuration again while the engine runs (HUP).  DIR/config.lua is a program of the user's, so it is waited for on
 * a thread: however long it takes, the core's loop goes on. */
#ifndef SK_APP_REREAD_H
#define SK_APP_REREAD_H

#include "app/config.h"
#include "io/loop.h"

struct sk_reread;

/* The settings as they are now, or NULL and why not.  config is lent until the callback returns. */
typedef void (*sk_reread_cb)(void *ctx, const struct sk_config *config, const struct sk_err *err);

/* args and dir are borrowed until the process ends.  NULL when out of memory. */
struct sk_reread *sk_reread_new(struct sk_loop *loop, const struct sk_args *args, const char *program, const char *dir,
                                sk_reread_cb cb, void *ctx);
/* Calls back later; asked again meanwhile, once more after that. */
void sk_reread_start(struct sk_reread *r);
/* A reading under way is left to itself: it can't be waited for. */
void sk_reread_free(struct sk_reread *r); /* NULL is fine */

#endif
