/* session.h - settings, connection, errors and filters for all commands that look into a store. */
#ifndef SK_APP_SESSION_H
#define SK_APP_SESSION_H

#include "app/config.h"
#include "app/options.h"
#include "base/log.h"
#include "store/client.h"

struct sk_session {
  const char *verb;
  struct sk_config config;
  struct sk_log log;
  struct sk_client *client;
};

/* Reads the settings and opens the store. Returns 0, or the exit code after a message; close only after 0. */
int sk_session_open(struct sk_session *s, const struct sk_args *args, bool must_exist);
/* The first half of it: reads the settings.  sk_session_close ends it, connected or not. */
int sk_session_read(struct sk_session *s, const struct sk_args *args);
/* The second half: opens the store.  SK_ENOTFOUND: it must exist and does not. */
enum sk_code sk_session_connect(struct sk_session *s, bool must_exist, struct sk_err *err);
void sk_session_close(struct sk_session *s);

/* Prints err and returns its exit code. */
int sk_session_fail(const struct sk_session *s, const struct sk_err *err);

/* Reads --state, --queue and --task. Returns 0, or SK_EXIT_USAGE after a message. The filter borrows from args. */
int sk_session_filter(const struct sk_args *args, struct sk_filter *out);
/* The row in the options table of commands that show times to people. */
#define SK_OPTION_UTC                                                                                                  \
  { "utc", 0, NULL, "show times in UTC (default: local time with its offset)" }
#define SK_OPTIONS_FILTER                                                                                              \
  { "state", 0, "STATE", "only scheduled, ready, running, retry, done, dead or cancelled jobs" },                      \
      { "queue", 'q', "QUEUE", "only jobs of this queue" }, {                                                          \
    "task", 0, "TASK", "only jobs of this task"                                                                        \
  }

/* Reads option `name` as a whole number; *out stays unchanged when the option was not given. Returns 0, or
 * SK_EXIT_USAGE after a message. */
int sk_session_int(const struct sk_args *args, const char *name, int64_t min, int64_t max, int64_t *out);
/* Reads option `name` as a duration, like sk_session_int. */
int sk_session_duration(const struct sk_args *args, const char *name, int64_t *out_ms);

/* One job with its decoded record. sk_session_job_open returns 0, or the exit code after a message ("no job ID":
 * SK_EXIT_FAILED); call sk_session_job_close only after 0. */
struct sk_session_job {
  struct sk_get_op get;
  struct sk_str id;
  const struct sk_view *view;
  struct sk_job job;
};
int sk_session_job_open(struct sk_session *s, const char *id, struct sk_session_job *out);
void sk_session_job_close(struct sk_session_job *job);

/* Decodes view's record. A record that cannot be read gives an empty job whose error says so. */
void sk_session_decode(const struct sk_view *view, struct sk_job *out);

#endif
