/* err.c - see err.h. */
#include "base/err.h"

#include <stdio.h>
#include <string.h>

const char *sk_code_name(enum sk_code code) {
  switch (code) {
  case SK_OK: return "ok";
  case SK_EINVAL: return "invalid";
  case SK_ELIMIT: return "limit";
  case SK_EEXISTS: return "exists";
  case SK_ENOTFOUND: return "not_found";
  case SK_ESTALE: return "stale";
  case SK_ESTATE: return "state";
  case SK_EUNAVAILABLE: return "unavailable";
  case SK_EUNKNOWN: return "unknown_fate";
  case SK_ECORRUPT: return "corrupt";
  case SK_EVERSION: return "version";
  case SK_ETIMEOUT: return "timeout";
  case SK_ECANCELLED: return "cancelled";
  case SK_EUNSUPPORTED: return "unsupported";
  case SK_ENOMEM: return "no_memory";
  case SK_ESYS: return "system";
  }
  return "unknown";
}

enum sk_code sk_err_set(struct sk_err *err, enum sk_code code, const char *fmt, ...) {
  if (err == NULL) return code;
  err->code = code;
  va_list ap;
  va_start(ap, fmt);
  vsnprintf(err->message, sizeof err->message, fmt, ap);
  va_end(ap);
  return code;
}

enum sk_code sk_err_wrap(struct sk_err *err, const char *fmt, ...) {
  if (err == NULL) return SK_EINVAL;
  char cause[sizeof err->message];
  memcpy(cause, err->message, sizeof cause);
  va_list ap;
  va_start(ap, fmt);
  int n = vsnprintf(err->message, sizeof err->message, fmt, ap);
  va_end(ap);
  if (n < 0 || (size_t)n >= sizeof err->message) return err->code;
  size_t room = sizeof err->message - (size_t)n;
  int shown = room > 3 ? (int)(room - 3) : 0; /* ": " and the NUL */
  snprintf(err->message + n, room, ": %.*s", shown, cause);
  return err->code;
}
