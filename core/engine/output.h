/* output.h - a worker's stdout and stderr become lines of the log.
 *
 * Scripts with io.write, C libraries, crashes and programs that jobs start write there.  The log so stays one text, or
 * one JSON object a line, without control sequences of terminals. */
#ifndef SK_ENGINE_OUTPUT_H
#define SK_ENGINE_OUTPUT_H

#include "base/err.h"
#include "base/log.h"

struct sk_loop;
struct sk_output;

struct sk_output_options {
  const struct sk_log *log;
  enum sk_log_level level; /* of its lines */
  uint32_t worker;         /* number */
};

/* Reads one stream.  *write_fd is the worker's end; the caller closes it once the worker has it.  NULL with err. */
struct sk_output *sk_output_new(struct sk_loop *loop, const struct sk_output_options *options, int *write_fd,
                                struct sk_err *err);
/* Sets the worker's process id for the log, which is not known when the stream is made. */
void sk_output_set_pid(struct sk_output *o, int pid);
/* Logs what has been written so far, and closes the stream: programs that outlive the worker write into a closed pipe.
 * NULL is fine. */
void sk_output_free(struct sk_output *o);

#endif
