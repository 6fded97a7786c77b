/* sweep.h - kills all processes whose environment has a mark, with all that descend from them; for the guard (guard.h). */
#ifndef SK_IO_SWEEP_H
#define SK_IO_SWEEP_H

#include <stdbool.h>

#define SK_SWEEP_MARK "SKEIN_WORKER"

/* mark: NAME=VALUE, or with `whole` false the beginning of one.  Blocks until none is left, or for some seconds. */
void sk_sweep(const char *mark, bool whole);

/* Kills a child of this process with all that descend from it; does nothing when it has ended, or is no child.  Does not wait. */
void sk_sweep_child(int pid);

#endif
