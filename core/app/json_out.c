/* json_out.c - see json_out.h. */
#include "app/json_out.h"

#include <inttypes.h>

#include "app/text.h"
#include "base/utf8.h"
#include "logic/json.h"
#include "logic/history.h"

#define REPLACEMENT "\xef\xbf\xbd"

void sk_json_out_key(struct sk_buf *out, const char *key) {
  if (out->n > 0 && out->p[out->n - 1] != '{') sk_buf_add_byte(out, ',');
  sk_buf_addf(out, "\"%s\":", key);
}

/* Appends the first character of s, a part of a JSON text, and returns its length. DEL and C1 controls, which a
 * terminal obeys, become escapes: they can only stand inside a string. */
static size_t add_valid(struct sk_buf *out, struct sk_str s) {
  size_t n = sk_utf8_length(s);
  bool control = n > 0 && (unsigned char)s.p[0] > ' ' && sk_utf8_is_control(s, n);
  if (n == 0)
    sk_buf_add_c(out, REPLACEMENT);
  else if (control)
    sk_buf_addf(out, "\\u%04x", (unsigned char)s.p[n - 1]);
  else
    sk_buf_add(out, s.p, n);
  return n ? n : 1;
}

void sk_json_out_text(struct sk_buf *out, struct sk_str s) { sk_utf8_add_json(out, s); }

void sk_json_out_int(struct sk_buf *out, int64_t v) { sk_buf_addf(out, "%" PRId64, v); }

void sk_json_out_time(struct sk_buf *out, int64_t wall_ms) {
  char text[SK_TIME_BYTES];
  if (wall_ms == 0) {
    sk_buf_add_c(out, "null");
    return;
  }
  sk_text_time(wall_ms, true, text);
  sk_buf_addf(out, "\"%s\"", text);
}

/* Appends the escape at the start of s and returns its length. */
static size_t add_escape(struct sk_buf *out, struct sk_str s) {
  char bytes[4];
  size_t bytes_n;
  const char *end = sk_json_escape(s.p, s.p + s.n, bytes, &bytes_n);
  if (end == NULL) return add_valid(out, s); /* cannot happen after sk_json_check */
  size_t n = (size_t)(end - s.p);
  bool lone_surrogate = bytes_n == 3 && sk_utf8_length(sk_str(bytes, 3)) == 0;
  if (lone_surrogate)
    sk_buf_add_c(out, "\\ufffd");
  else
    sk_buf_add(out, s.p, n);
  return n;
}

void sk_json_out_raw(struct sk_buf *out, struct sk_str json) {
  if (json.n == 0) {
    sk_buf_add_c(out, "null");
    return;
  }
  if (sk_json_check(json, SK_JSON_WALK_DEPTH_MAX, NULL) != SK_OK) {
    sk_json_out_text(out, json);
    return;
  }
  for (size_t i = 0; i < json.n;) {
    struct sk_str rest = sk_str(json.p + i, json.n - i);
    i += rest.p[0] == '\\' ? add_escape(out, rest) : add_valid(out, rest);
  }
}

static void key_text(struct sk_buf *out, const char *key, struct sk_str s) {
  sk_json_out_key(out, key);
  sk_json_out_text(out, s);
}

static void key_int(struct sk_buf *out, const char *key, int64_t v) {
  sk_json_out_key(out, key);
  sk_json_out_int(out, v);
}

static void key_time(struct sk_buf *out, const char *key, int64_t wall_ms) {
  sk_json_out_key(out, key);
  sk_json_out_time(out, wall_ms);
}

static void key_raw(struct sk_buf *out, const char *key, struct sk_str json) {
  sk_json_out_key(out, key);
  sk_json_out_raw(out, json);
}

static void key_null(struct sk_buf *out, const char *key) { key_raw(out, key, sk_str(NULL, 0)); }

static void key_error(struct sk_buf *out, const struct sk_job *job) {
  if (job->error_kind == SK_KIND_NONE && job->error.n == 0) {
    key_null(out, "error");
    return;
  }
  sk_json_out_key(out, "error");
  sk_buf_add_byte(out, '{');
  key_text(out, "kind", sk_str_c(sk_error_kind_name(job->error_kind)));
  key_text(out, "message", job->error);
  if (job->traceback.n > 0)
    key_text(out, "traceback", job->traceback);
  else
    key_null(out, "traceback");
  sk_buf_add_byte(out, '}');
}

static void key_progress(struct sk_buf *out, const struct sk_view *view) {
  if (view->percent < 0 && view->progress_text.n == 0) {
    key_null(out, "progress");
    return;
  }
  sk_json_out_key(out, "progress");
  sk_buf_add_byte(out, '{');
  if (view->percent >= 0)
    key_int(out, "percent", view->percent);
  else
    key_null(out, "percent");
  key_text(out, "message", view->progress_text);
  sk_buf_add_byte(out, '}');
}

void sk_json_out_meta(struct sk_buf *out, struct sk_str meta) {
  struct sk_json_reader r;
  struct sk_str key, value;
  size_t n = 0;
  sk_buf_add_byte(out, '{');
  if (sk_json_open(&r, meta, NULL) == SK_OK && r.object) {
    while (sk_json_next(&r, &key, &value)) {
      if (sk_str_eq_c(key, "\"_pass\"")) continue; /* lua/skein/tasks.lua, PASS */
      if (n++ > 0) sk_buf_add_byte(out, ',');
      sk_json_out_raw(out, key);
      sk_buf_add_byte(out, ':');
      sk_json_out_raw(out, value);
    }
  }
  sk_buf_add_byte(out, '}');
}

/* Appends one line of a history, `event detail`, as members of an object. */
static void add_event(struct sk_buf *out, struct sk_str line) {
  const char *space = memchr(line.p, ' ', line.n);
  size_t n = space ? (size_t)(space - line.p) : line.n;
  key_text(out, "event", sk_str(line.p, n));
  if (n < line.n)
    key_text(out, "detail", sk_str(line.p + n + 1, line.n - n - 1));
  else
    key_null(out, "detail");
}

static void add_log_line(struct sk_buf *out, struct sk_str line) { key_text(out, "text", line); }

/* Appends [{"at":..., and what `add` appends}, ...] for the lines of old, then those of new. */
static void key_lines(struct sk_buf *out, const char *key, void (*add)(struct sk_buf *, struct sk_str),
                      struct sk_str old, struct sk_str new) {
  int64_t ms = 0;
  struct sk_str text, parts[] = { old, new };
  size_t n = 0;
  sk_json_out_key(out, key);
  sk_buf_add_byte(out, '[');
  for (size_t i = 0; i < sizeof parts / sizeof *parts; i++) {
    while (sk_lines_next(&parts[i], &ms, &text)) {
      sk_buf_add_c(out, n++ > 0 ? ",{" : "{");
      key_time(out, "at", ms);
      add(out, text);
      sk_buf_add_byte(out, '}');
    }
  }
  sk_buf_add_byte(out, ']');
}

static void key_blocked_by(struct sk_buf *out, enum sk_blocked_by why) {
  if (why == SK_BLOCKED_BY_NOTHING)
    key_null(out, "held_back");
  else
    key_text(out, "held_back", sk_str_c(why == SK_BLOCKED_BY_RATE ? "rate" : "concurrency"));
}

void sk_json_out_job(struct sk_buf *out, const struct sk_view *view, const struct sk_job *job) {
  bool running = view->state == SK_STATE_RUNNING;
  sk_buf_add_byte(out, '{');
  key_text(out, "id", view->id);
  key_text(out, "task", job->task);
  key_text(out, "queue", view->queue);
  key_text(out, "state", sk_str_c(sk_state_name(view->state)));
  key_int(out, "priority", view->priority);
  key_raw(out, "args", job->args);
  sk_json_out_key(out, "meta");
  sk_json_out_meta(out, job->meta);
  key_int(out, "attempts", job->attempts);
  if (running)
    key_int(out, "attempt", job->attempts + 1);
  else
    key_null(out, "attempt");
  if (job->retries >= 0)
    key_int(out, "retries", job->retries);
  else
    key_null(out, "retries"); /* the task's own */
  key_int(out, "crashes", job->crashes);
  key_int(out, "recoveries", job->recoveries);
  key_time(out, "enqueued_at", job->enqueued_ms);
  key_time(out, "due_at", view->due_ms);
  key_time(out, "started_at", running ? view->running_since_ms : job->started_ms);
  key_time(out, "finished_at", job->finished_ms);
  key_error(out, job);
  key_raw(out, "result", job->result);
  key_progress(out, view);
  if (running)
    key_text(out, "engine", view->engine);
  else
    key_null(out, "engine");
  sk_json_out_key(out, "stopping");
  sk_buf_add_c(out, view->stopping ? "true" : "false");
  key_blocked_by(out, view->blocked_by);
  key_lines(out, "history", add_event, job->history, sk_str(NULL, 0));
  key_lines(out, "log", add_log_line, job->log, view->log);
  sk_buf_add_byte(out, '}');
}
