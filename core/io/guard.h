/* guard.h - a small process beside an engine that ends what the engine's workers have started, when they are gone.
 *
 *   engine (core) ──────► worker 3 ──► sh ──► a program of a job ──► ... whatever it starts, in sessions of its own, or as a daemon
 *        │                   every one of them has SKEIN_WORKER=TOKEN.3 in its environment
 *        └─ socket ──► guard: "3 is gone": kills all that have that mark, and all below them.
 *                             The socket ends, since the engine has, however it did: the same with SKEIN_WORKER=TOKEN.*
 *
 * A worker dies of SIGKILL with its core (PR_SET_PDEATHSIG), but what it has started does not; a process group does not hold what
 * leaves it; and an orphan has no parent that tells whose it was.  The environment is inherited by all, so the guard looks for the mark
 * in /proc.  A program that clears its environment and its parent both is not found. */
#ifndef SK_IO_GUARD_H
#define SK_IO_GUARD_H

#include <stddef.h>
#include <stdint.h>

#include "base/err.h"

struct sk_guard;

enum { SK_GUARD_MARK_BYTES = 64 };

/* Starts `program worker guard TOKEN`, which is no child of this process.  Marks all open descriptors but 0 to 2 close-on-exec.  Called
 * before there are other threads.  NULL with err: an engine can do without. */
struct sk_guard *sk_guard_start(const char *program, struct sk_err *err);
/* Ends all that is left; returns when that is done, after a second at the latest.  NULL is fine. */
void sk_guard_stop(struct sk_guard *g);
/* What the environment of that worker must have: NAME=VALUE. */
void sk_guard_mark(const struct sk_guard *g, uint64_t worker, char out[SK_GUARD_MARK_BYTES]);
/* That worker has ended.  Does not block. */
void sk_guard_sweep(struct sk_guard *g, uint64_t worker);

/* The process itself: returns its exit status. */
int sk_guard_main(const char *token);

#endif
