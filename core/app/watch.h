/* watch.h - `skein run --watch`: tells when the scripts of a folder have changed. */
#ifndef SK_APP_WATCH_H
#define SK_APP_WATCH_H

#include "base/err.h"
#include "io/loop.h"

struct sk_script_watch;

/* Calls changed(ctx) once the *.lua files under dir, however deep, and config.yml are others than before: written, added, removed, renamed; names that
 * begin with "." are passed over, links are followed.  A burst of changes is told once, WATCH_QUIET_MS after its last.  NULL: the
 * folder can't be watched, err says why; where only a folder below can't, the others are. */
struct sk_script_watch *sk_script_watch_new(struct sk_loop *loop, const char *dir, sk_io_cb changed, void *ctx,
                                            struct sk_err *err);
void sk_script_watch_free(struct sk_script_watch *w); /* NULL is fine */

#endif
