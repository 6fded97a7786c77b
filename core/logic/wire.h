/* wire.h - the frames between the core and a worker.
 *
 *   frame := u32 payload_bytes, u8 type, payload          all numbers little-endian; str := u32 length, bytes
 *
 * core -> worker
 *   JOB      u32 slot, u32 generation, i64 timeout_ms (0: none), i64 retries, str record: run the job; or with
 *            u8 error kind, u8 dies, str message behind them: an earlier attempt ended with this error and without its
 *            handlers; run them (on death when it dies, else on error), then answer DONE
 *   REPLY    u64 request, u8 code (sk_code), then the answer (code 0) or str message
 *   CANCEL   u32 slot, u32 generation, u8 error kind
 *   DRAIN    no payload: take no more jobs; exit when the last one has ended
 *   TRACE    no payload: log the traceback of every running job
 * worker -> core
 *   HELLO    u8 hooks, u32 n, n x task, u32 m, m x queue: the scripts are loaded and declare this
 *            task:  str template record, u8 hooks
 *            queue: str name, i64 max_len, u8 overflow, i64 block_ms, i64 concurrency, i64 rate, i64 per_ms, i64 burst
 *                   (queue_settings.h)
 *            hooks: the handlers there are, for all tasks or for this one: bits SK_HOOK_*
 *   REFUSE   str message: the scripts cannot be loaded
 *   DONE     u32 slot, str result (JSON; empty: the handler returned nothing)
 *   FAIL     u32 slot, u8 verdict, i64 delay_ms (-1: by the job's backoff), u8 error kind, str message, str traceback
 *   PROGRESS u32 slot, i32 percent, str text
 *   REQUEST  u64 request, u8 operation (engine/request.h), then its payload
 *   LOG      u8 level, str job id, str task, str text
 *   JOB_LOG  u32 slot, str text: a line of job:log, for the log and for the job's record
 *
 * Both ends are of one build, so there is no version; a decoder still trusts nothing it reads. */
#ifndef SK_LOGIC_WIRE_H
#define SK_LOGIC_WIRE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/err.h"

enum sk_frame_type {
  SK_FRAME_JOB = 1,
  SK_FRAME_REPLY,
  SK_FRAME_CANCEL,
  SK_FRAME_DRAIN,
  SK_FRAME_TRACE,
  SK_FRAME_HELLO,
  SK_FRAME_REFUSE,
  SK_FRAME_DONE,
  SK_FRAME_FAIL,
  SK_FRAME_PROGRESS,
  SK_FRAME_REQUEST,
  SK_FRAME_LOG,
  SK_FRAME_JOB_LOG,
};
#define SK_FRAME_TYPES 14
#define SK_HOOK_ERROR 1 /* on("error"), on_error */
#define SK_HOOK_DEATH 2 /* on("death"), on_death */
#define SK_HOOK_EVENT 4 /* on("event") */
#define SK_FRAME_HEAD_BYTES 5

/* What a worker asks for when an attempt has not succeeded. */
enum sk_verdict {
  SK_VERDICT_RETRY,   /* failed: retry by the rules, or dead when none is left */
  SK_VERDICT_DEAD,    /* dead at once (skein.fail) */
  SK_VERDICT_DISCARD, /* gone without a trace (skein.discard) */
  SK_VERDICT_SNOOZE,  /* again after delay_ms, no attempt counted */
  SK_VERDICT_STOPPED, /* failed while the engine is being stopped: again, no attempt counted, no handler has run */
};
#define SK_VERDICTS 5

struct sk_frame {
  enum sk_frame_type type;
  struct sk_str payload; /* borrowed from the input */
};

/* Takes the next whole frame off *in.  SK_OK: a frame; SK_ENOTFOUND: not all of it is there yet; SK_ECORRUPT: not a
 * frame. */
enum sk_code sk_wire_next(struct sk_str *in, struct sk_frame *out, struct sk_err *err);

/* Starts a frame in b; returns where it starts, for sk_wire_end, which fills in its length. */
size_t sk_wire_begin(struct sk_buf *b, enum sk_frame_type type);
void sk_wire_end(struct sk_buf *b, size_t start);
void sk_wire_add_str(struct sk_buf *b, struct sk_str s);
void sk_wire_add_i64(struct sk_buf *b, int64_t v);

/* Reads a payload; once something is missing it is `bad` and gives zeros and empty strings. */
struct sk_reader {
  const char *p;
  const char *end;
  bool bad;
};
struct sk_reader sk_reader(struct sk_str bytes);
uint8_t sk_read_u8(struct sk_reader *r);
uint32_t sk_read_u32(struct sk_reader *r);
uint64_t sk_read_u64(struct sk_reader *r);
int64_t sk_read_i64(struct sk_reader *r);
struct sk_str sk_read_str(struct sk_reader *r);
/* All was there, and nothing is left. */
bool sk_reader_done(const struct sk_reader *r);

#endif
