/* relay.h - runs a function in a child process and passes on its output, cleaned for a terminal.
 *
 * User code may write any byte to stdout and stderr, through Lua, C, or programs that it starts. Only a process of its
 * own, with pipes for both streams, catches all of them. */
#ifndef SK_APP_RELAY_H
#define SK_APP_RELAY_H

/* Calls fn in a child process and waits for its end. The child's stdout and stderr go to those of this process, line by
 * line and without control characters. Returns the value of fn (0 to 255); SK_EXIT_FAILED after a message when a signal
 * ended the child; SK_EXIT_INTERNAL after a message when no child could be started. Programs that the child leaves
 * running are not waited for. Call it while the process has one thread. */
int sk_relay_run(const char *verb, int (*fn)(void *ctx), void *ctx);

#endif
