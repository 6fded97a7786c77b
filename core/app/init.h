/* init.h - the duties of an init: as PID 1 or a subreaper this process starts the engine in a child and reaps
 * orphans. */
#ifndef SK_APP_INIT_H
#define SK_APP_INIT_H

/* Orphans are programs that a job started and whose parent has ended. They become children of PID 1 or of the nearest
 * subreaper, which must reap them. Returns -1 when this process is neither, and in the child: go on. Otherwise reaps
 * orphans, passes signals on to the child, and returns the child's exit code, or 128 + the signal that ended it. Call
 * it while the process has one thread. */
int sk_init_run(void);

#endif
