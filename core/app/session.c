/* session.c - see session.h. */
#include "app/session.h"

#include "app/exits.h"
#include "app/out.h"
#include "app/values.h"
#include "logic/name.h"
#include "logic/record.h"
#include "logic/url.h"

static int exit_of(enum sk_code code) {
  switch (code) {
  case SK_OK: return SK_EXIT_OK;
  case SK_EINVAL: return SK_EXIT_CONFIG;
  case SK_ENOTFOUND:
  case SK_EUNAVAILABLE:
  case SK_EUNKNOWN:
  case SK_ECORRUPT:
  case SK_EVERSION:
  case SK_EUNSUPPORTED:
  case SK_ESYS: return SK_EXIT_UNAVAILABLE;
  case SK_ELIMIT:
  case SK_EEXISTS:
  case SK_ESTALE:
  case SK_ESTATE:
  case SK_ETIMEOUT:
  case SK_ECANCELLED: return SK_EXIT_FAILED;
  case SK_ENOMEM: return SK_EXIT_INTERNAL;
  }
  return SK_EXIT_INTERNAL;
}

int sk_session_fail(const struct sk_session *s, const struct sk_err *err) {
  sk_out_error(s->verb, "%s", err->message);
  return exit_of(err->code);
}

static int read_config(struct sk_session *s, const struct sk_args *args) {
  struct sk_err err;
  int exit_code = SK_EXIT_USAGE;
  enum sk_code code = sk_config_flags(&s->config, args, &err);
  if (code == SK_OK) {
    exit_code = SK_EXIT_CONFIG;
    code = sk_config_environment(&s->config, SK_CONFIG_CLIENT, &err);
  }
  if (code == SK_OK) return 0;
  sk_out_error(s->verb, "%s", err.message);
  return code == SK_ENOMEM ? SK_EXIT_INTERNAL : exit_code;
}

static int no_store(const struct sk_session *s) {
  struct sk_buf url = { 0 };
  sk_url_redact(sk_str_c(s->config.store), &url);
  sk_out_error(s->verb, "no store at %.*s: run an engine or enqueue a job first", SK_STR_ARG(url));
  sk_buf_fini(&url);
  return SK_EXIT_UNAVAILABLE;
}

enum sk_code sk_session_connect(struct sk_session *s, bool must_exist, struct sk_err *err) {
  struct sk_store_options options = {
    .url = sk_str_c(s->config.store),
    .lease_ms = s->config.lease_ms,
    .durability = s->config.durability,
    .must_exist = must_exist,
    .log = &s->log,
  };
  return sk_client_open(&options, &s->client, err);
}

static int open_client(struct sk_session *s, bool must_exist) {
  struct sk_err err;
  enum sk_code code = sk_session_connect(s, must_exist, &err);
  if (code == SK_OK) return 0;
  return code == SK_ENOTFOUND && must_exist ? no_store(s) : sk_session_fail(s, &err);
}

int sk_session_read(struct sk_session *s, const struct sk_args *args) {
  *s = (struct sk_session){ .verb = args->command->name };
  sk_log_init(&s->log);
  s->log.level = SK_LOG_WARN;
  sk_config_init(&s->config);
  int exit_code = read_config(s, args);
  if (exit_code == 0 && sk_str_starts(sk_str_c(s->config.store), "memory:")) {
    sk_out_error(s->verb, "memory: lives inside one engine and cannot be reached from another process");
    exit_code = SK_EXIT_UNAVAILABLE;
  }
  if (exit_code != 0) sk_config_fini(&s->config);
  return exit_code;
}

int sk_session_open(struct sk_session *s, const struct sk_args *args, bool must_exist) {
  int exit_code = sk_session_read(s, args);
  if (exit_code != 0) return exit_code;
  exit_code = open_client(s, must_exist);
  if (exit_code != 0) sk_config_fini(&s->config);
  return exit_code;
}

void sk_session_close(struct sk_session *s) {
  if (s->client) sk_client_close(s->client);
  sk_config_fini(&s->config);
}

static int usage(const struct sk_args *args, const char *message) {
  sk_out_error(args->command->name, "%s", message);
  return SK_EXIT_USAGE;
}

static int check_name(const struct sk_args *args, const char *option, struct sk_str *out) {
  const char *value = sk_args_get(args, option);
  struct sk_err err;
  *out = sk_str_c(value);
  if (value == NULL || sk_name_check(option, *out, &err) == SK_OK) return 0;
  return usage(args, err.message);
}

int sk_session_filter(const struct sk_args *args, struct sk_filter *out) {
  *out = (struct sk_filter){ 0 };
  const char *state = sk_args_get(args, "state");
  if (state) out->state = sk_state_parse(sk_str_c(state));
  if (state && out->state == SK_STATE_NONE) {
    sk_out_error(args->command->name,
                 "--state \"%.100s\": expected scheduled, ready, running, retry, done, dead or cancelled", state);
    return SK_EXIT_USAGE;
  }
  int exit_code = check_name(args, "queue", &out->queue);
  return exit_code ? exit_code : check_name(args, "task", &out->task);
}

int sk_session_int(const struct sk_args *args, const char *name, int64_t min, int64_t max, int64_t *out) {
  const char *value = sk_args_get(args, name);
  struct sk_err err;
  if (value == NULL || sk_value_int(sk_str_c(value), min, max, out, &err) == SK_OK) return 0;
  sk_err_wrap(&err, "--%s \"%.100s\"", name, value);
  return usage(args, err.message);
}

int sk_session_duration(const struct sk_args *args, const char *name, int64_t *out_ms) {
  const char *value = sk_args_get(args, name);
  struct sk_err err;
  if (value == NULL || sk_value_duration(sk_str_c(value), out_ms, &err) == SK_OK) return 0;
  sk_err_wrap(&err, "--%s \"%.100s\"", name, value);
  return usage(args, err.message);
}

void sk_session_decode(const struct sk_view *view, struct sk_job *out) {
  if (sk_record_decode(view->record, out, NULL) == SK_OK) return;
  sk_job_init(out);
  out->id = view->id;
  out->error_kind = SK_KIND_ERROR;
  out->error = SK_STR_LIT("its record cannot be read: it is damaged, or a newer version wrote it");
}

int sk_session_job_open(struct sk_session *s, const char *id, struct sk_session_job *out) {
  *out = (struct sk_session_job){ .id = sk_str_c(id) };
  out->get.ids = &out->id;
  out->get.ids_n = 1;
  int exit_code = 0;
  if (sk_client_get(s->client, &out->get) != SK_OK)
    exit_code = sk_session_fail(s, &out->get.op.err);
  else if (out->get.views[0].state == SK_STATE_NONE) {
    sk_out_error(s->verb, "no job %.100s", id);
    exit_code = SK_EXIT_FAILED;
  }
  if (exit_code) {
    sk_op_fini(&out->get.op);
    return exit_code;
  }
  out->view = &out->get.views[0];
  sk_session_decode(out->view, &out->job);
  return 0;
}

void sk_session_job_close(struct sk_session_job *job) { sk_op_fini(&job->get.op); }
