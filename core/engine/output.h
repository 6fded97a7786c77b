/* output.h - what a worker writes to its stdout and stderr (scripts with io.write, C libraries, crashes, programs that jobs start) becomes
 * lines of the log, so that the log stays one text, or one JSON object a line, without what a terminal obeys. */
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

/* Reads one stream; *write_fd is the end for the worker, the caller's to close once the worker has it.  NULL with err. */
struct sk_output *sk_output_new(struct sk_loop *loop, const struct sk_output_options *options, int *write_fd,
                                struct sk_err *err);
/* The worker's process id, which is not known before it gets its streams. */
void sk_output_set_pid(struct sk_output *o, int pid);
/* Logs what has been written and not read yet, and reads no more: what the worker left behind writes into a closed pipe.  NULL is fine. */
void sk_output_free(struct sk_output *o);

#endif
