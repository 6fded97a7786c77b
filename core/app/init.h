/* init.h - being PID 1, or the subreaper of others: the engine runs in a child, and this process does what an init has to do. */
#ifndef SK_APP_INIT_H
#define SK_APP_INIT_H

/* Orphans (programs that a job started and whose parent has ended) become children of PID 1 or of the nearest subreaper, which must reap
 * them.  When this process is neither, or in the child, returns -1: go on.  Otherwise reaps orphans, passes signals on to the child
 * and returns the child's exit code, 128 + the signal when one ended it.  Call it while the process has one thread. */
int sk_init_run(void);

#endif
