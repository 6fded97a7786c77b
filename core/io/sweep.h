/* sweep.h - kills all processes whose environment has a mark, and their descendants; for the guard (guard.h). */
#ifndef SK_IO_SWEEP_H
#define SK_IO_SWEEP_H

#include <stdbool.h>

#define SK_SWEEP_MARK "SKEIN_WORKER"

/* Kills the processes with this mark: NAME=VALUE, or with `whole` false its beginning. Blocks until none is left, for
 * some seconds at most. */
void sk_sweep(const char *mark, bool whole);

/* Kills a child of this process and its descendants; does nothing when the child has ended, or pid is not a child. Does
 * not wait. */
void sk_sweep_child(int pid);

#endif
