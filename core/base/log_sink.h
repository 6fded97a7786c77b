/* log_sink.h - a thread that writes a log, so that whoever logs never waits for whoever reads.
 *
 * Lines wait in a buffer of SK_LOG_BUFFER_BYTES_MAX.  A line that finds no room is lost; how many were lost is logged as soon as the
 * reader takes more.  The file descriptor is not set to O_NONBLOCK: other processes may share it. */
#ifndef SK_BASE_LOG_SINK_H
#define SK_BASE_LOG_SINK_H

#include "base/log.h"

/* From now on the lines of `log` are written by a thread.  On failure they are written by the caller as before. */
enum sk_code sk_log_sink_start(struct sk_log *log, struct sk_err *err);
/* For log.c: takes a whole line of that log; never waits. */
void sk_log_sink_put(struct sk_log_sink *s, const struct sk_log *log, struct sk_str line);
/* Waits until all is written, at most SK_LOG_FLUSH_MS.  For any thread; without a sink there is nothing to do. */
void sk_log_sink_flush(const struct sk_log *log);
/* The same, and ends the thread.  One that its reader holds up is left behind, and the log is mute from then on. */
void sk_log_sink_stop(struct sk_log *log);

#endif
