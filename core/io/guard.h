/* guard.h - a small process beside an engine that kills the programs of workers that are gone.
 *
 *   engine (core) ──────► worker 3 ──► sh ──► a program of a job ──► ... its programs, in other sessions, or as daemons
 *        │                   each of them has SKEIN_WORKER=TOKEN.3 in its environment
 *        └─ socket ──► guard: "worker 3 is gone": kills all processes with that mark and their descendants.
 *                             The socket closes when the engine ends in any way: the same for SKEIN_WORKER=TOKEN.*
 *
 * A worker dies of SIGKILL with its core (PR_SET_PDEATHSIG), but its programs do not. A process group does not hold
 * processes that leave it, and an orphan has no parent that tells its origin. All of them inherit the environment, so
 * the guard looks for the mark in /proc. A program that clears its environment and leaves its parent is not found. */
#ifndef SK_IO_GUARD_H
#define SK_IO_GUARD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"

struct sk_guard;

enum { SK_GUARD_MARK_BYTES = 64 };

/* Starts `program worker guard TOKEN`, which is not a child of this process. Marks all open descriptors but 0 to 2
 * close-on-exec. Borrows program for the life of the guard. NULL with err: an engine can run without a guard. */
struct sk_guard *sk_guard_start(const char *program, struct sk_err *err);
/* Has all remaining programs killed and returns when that is done, after a second at the latest. NULL is fine. */
void sk_guard_stop(struct sk_guard *g);
/* Writes the mark of that worker's environment: NAME=VALUE. */
void sk_guard_mark(const struct sk_guard *g, uint64_t worker, char out[SK_GUARD_MARK_BYTES]);
/* Has the programs of a worker that has ended killed. Does not block. A message that the guard does not get is made
 * good when the engine ends: then all programs are killed. */
void sk_guard_sweep(struct sk_guard *g, uint64_t worker);
/* Is the guard's process gone? Somebody may have killed it. Does not block. */
bool sk_guard_is_gone(const struct sk_guard *g);
/* Starts another process in place of one that is gone; it knows the same mark. Takes about a millisecond. */
enum sk_code sk_guard_restart(struct sk_guard *g, struct sk_err *err);

/* The main function of the guard's process; returns its exit status. */
int sk_guard_main(const char *token);

#endif
