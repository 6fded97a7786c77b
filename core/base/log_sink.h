/* log_sink.h - a thread that writes a log, so that a caller never waits for the log's reader.
 *
 * Lines wait in a buffer of SK_LOG_BUFFER_BYTES_MAX. A line that finds no room is lost; a later line says how many were
 * lost. The file descriptor does not become non-blocking, since other processes may share it. */
#ifndef SK_BASE_LOG_SINK_H
#define SK_BASE_LOG_SINK_H

#include "base/log.h"

/* Starts the thread that writes the lines of `log`. On failure callers write them, as before. */
enum sk_code sk_log_sink_start(struct sk_log *log, struct sk_err *err);
/* For log.c: takes one whole line; never blocks. */
void sk_log_sink_put(struct sk_log_sink *s, const struct sk_log *log, struct sk_str line);
/* Waits until all lines are written, for SK_LOG_FLUSH_MS at most. Any thread may call it; without a sink it does
 * nothing. */
void sk_log_sink_flush(const struct sk_log *log);
/* Flushes and ends the thread. A thread that its reader blocks is left behind, and the log is mute from then on. */
void sk_log_sink_stop(struct sk_log *log);

#endif
