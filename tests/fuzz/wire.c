/* wire.c - fuzz target: frames between the core and a worker.  The stream is cut at every frame and each payload read
 * by the reader's methods in an order taken from its own bytes; a frame written again is the bytes it was. */
#include <assert.h>

#include "base/limits.h"
#include "logic/wire.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void read_payload(struct sk_str payload) {
  struct sk_reader r = sk_reader(payload);
  for (size_t i = 0; i < payload.n && !r.bad; i++) {
    struct sk_str s;
    switch (payload.p[i] & 3) {
    case 0: sk_read_u8(&r); break;
    case 1: sk_read_u32(&r); break;
    case 2: sk_read_i64(&r); break;
    default: s = sk_read_str(&r); assert(s.n == 0 || (s.p >= payload.p && s.p + s.n <= payload.p + payload.n));
    }
    assert(r.p >= payload.p && r.p <= r.end);
  }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  struct sk_str in = sk_str((const char *)data, size);
  struct sk_frame frame;
  struct sk_err err;
  for (;;) {
    const char *from = in.p;
    if (sk_wire_next(&in, &frame, &err) != SK_OK) break;
    assert(frame.payload.n <= SK_FRAME_BYTES_MAX && frame.type > 0 && frame.type < SK_FRAME_TYPES);
    read_payload(frame.payload);
    struct sk_buf again = { 0 };
    size_t start = sk_wire_begin(&again, frame.type);
    sk_buf_add_str(&again, frame.payload);
    sk_wire_end(&again, start);
    assert(sk_str_eq(sk_buf_str(&again), sk_str(from, (size_t)(in.p - from))));
    sk_buf_fini(&again);
  }
  return 0;
}
