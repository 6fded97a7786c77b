/* pipe.h - one end of a connected socket that carries frames (logic/wire.h) between the core and a worker.
 *
 * Writers append to the pipe's buffer, which is sent in one write before the loop next waits. The reader gets whole
 * frames, many in one call. A pipe that is not read (sk_pipe_read) holds its other end back: once the socket is full,
 * that process has to wait. */
#ifndef SK_IO_PIPE_H
#define SK_IO_PIPE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/err.h"

struct sk_loop;
struct sk_pipe;

struct sk_pipe_events {
  /* Gives bytes that were not consumed yet; returns how many of them were consumed (whole frames). The rest is given
   * again together with the next bytes. The callee may free the pipe; its return value is then ignored. */
  size_t (*bytes)(void *ctx, struct sk_str in);
  /* The pipe has ended: the other end is gone (err is NULL), the socket failed, or memory ran out. Called once, as the
   * last event. */
  void (*closed)(void *ctx, const struct sk_err *err);
  /* The kernel has taken all bytes that it refused at first. May be NULL. */
  void (*sent)(void *ctx);
  void *ctx;
};

/* Takes the file descriptor, also on failure. */
struct sk_pipe *sk_pipe_new(struct sk_loop *loop, int fd, const struct sk_pipe_events *events, struct sk_err *err);
/* Returns the buffer to append frames to; they are sent before the loop next waits. When memory runs out during an
 * append nothing of it is sent, and `closed` is called with SK_ENOMEM. */
struct sk_buf *sk_pipe_out(struct sk_pipe *p);
/* Returns for how many ms the rest of a frame has been missing; 0: no frame has begun. */
int64_t sk_pipe_half_for_ms(const struct sk_pipe *p);
/* Returns the number of appended bytes that the kernel has not taken yet. */
size_t sk_pipe_pending(const struct sk_pipe *p);
/* Stops reading (false): bytes that were given and not consumed wait. Or goes on (true): they are given again before
 * the loop next waits. */
void sk_pipe_read(struct sk_pipe *p, bool on);
/* For a pipe whose process has ended: gives all bytes that it sent, at once, then calls `closed`. The socket may not
 * show the end, since a program of that process can hold it open. The pipe may be freed when this returns. */
void sk_pipe_drain(struct sk_pipe *p);
/* Sends what the kernel takes at once; for a process that computes or is about to end. */
void sk_pipe_flush(struct sk_pipe *p);
/* Waits until at most bytes_max are pending; false when the other end takes nothing for wait_ms. Only workers call it;
 * the core must not block. */
bool sk_pipe_press(struct sk_pipe *p, size_t bytes_max, int wait_ms);
/* Returns the bytes that were not consumed: the start of a frame. */
struct sk_str sk_pipe_rest(const struct sk_pipe *p);
void sk_pipe_unref(struct sk_pipe *p);
void sk_pipe_free(struct sk_pipe *p);

/* A connected pair of stream sockets, both close-on-exec. */
enum sk_code sk_pipe_pair(int fds[2], struct sk_err *err);

#endif
