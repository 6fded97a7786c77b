/* watch.h - `skein run --watch`: notices changed scripts in a folder. */
#ifndef SK_APP_WATCH_H
#define SK_APP_WATCH_H

#include "base/err.h"
#include "io/loop.h"

struct sk_script_watch;

/* Calls changed(ctx) when the *.lua files under dir, at any depth, or config.yml were written, added, removed or
 * renamed. Names that begin with "." are ignored, links are followed. A burst of changes causes one call,
 * WATCH_QUIET_MS after its last. NULL with err when the folder cannot be watched; a folder below that cannot be watched
 * is ignored. */
struct sk_script_watch *sk_script_watch_new(struct sk_loop *loop, const char *dir, sk_io_cb changed, void *ctx,
                                            struct sk_err *err);
void sk_script_watch_free(struct sk_script_watch *w); /* NULL is fine */

#endif
