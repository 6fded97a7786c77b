/* pipe.h - one end of a connected socket that carries frames (logic/wire.h), between the core and a worker.
 *
 * Writing appends to the pipe's buffer; all that was appended goes out in one write before the loop next waits.  Reading hands
 * over whole frames, many to a call.  A pipe that is not read any more (sk_pipe_read) holds its other end back: once the socket is
 * full, that process has to wait. */
#ifndef SK_IO_PIPE_H
#define SK_IO_PIPE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/err.h"

struct sk_loop;
struct sk_pipe;

struct sk_pipe_events {
  /* Bytes that have arrived and were not consumed yet; returns how many of them it has dealt with (whole frames).  The rest is
   * handed over again with what comes next.  The callee may free the pipe (then the return value does not matter). */
  size_t (*bytes)(void *ctx, struct sk_str in);
  /* The other end is gone (NULL), or the socket failed, or memory ran out (err).  Comes once, last. */
  void (*closed)(void *ctx, const struct sk_err *err);
  /* The kernel has taken everything that it did not take at once.  May be NULL. */
  void (*sent)(void *ctx);
  void *ctx;
};

/* Takes the file descriptor, also on failure. */
struct sk_pipe *sk_pipe_new(struct sk_loop *loop, int fd, const struct sk_pipe_events *events, struct sk_err *err);
/* The buffer to append frames to; they are sent before the loop next waits.  When memory runs out while appending, nothing of it
 * is sent and `closed` comes with SK_ENOMEM. */
struct sk_buf *sk_pipe_out(struct sk_pipe *p);
/* How long the rest of a frame that has begun to arrive is awaited already; 0: none has. */
int64_t sk_pipe_half_for_ms(const struct sk_pipe *p);
/* Bytes appended that the kernel has not taken yet. */
size_t sk_pipe_pending(const struct sk_pipe *p);
/* false: nothing more is read, and what was handed over and not consumed waits.  true: it is handed over again before the loop next
 * waits, and reading goes on. */
void sk_pipe_read(struct sk_pipe *p, bool on);
/* The process at the other end has ended: hands over all that it sent, at once, then `closed`.  The socket itself may not tell: a
 * process that it left behind can hold it open.  The pipe may have been freed when this returns. */
void sk_pipe_drain(struct sk_pipe *p);
/* Sends what the kernel takes at once; for a process that computes, or is about to end. */
void sk_pipe_flush(struct sk_pipe *p);
/* Waits until at most bytes_max are pending; false when the other end takes nothing for wait_ms.  For a process that computes: the
 * core never calls it. */
bool sk_pipe_press(struct sk_pipe *p, size_t bytes_max, int wait_ms);
/* What has arrived and was not dealt with: the start of a frame. */
struct sk_str sk_pipe_rest(const struct sk_pipe *p);
void sk_pipe_unref(struct sk_pipe *p);
void sk_pipe_free(struct sk_pipe *p);

/* A connected pair of stream sockets, both close-on-exec. */
enum sk_code sk_pipe_pair(int fds[2], struct sk_err *err);

#endif
