/* err.h - errors: a code for programs and a sentence for people.
 *
 * A function that can fail returns an sk_code and fills the struct sk_err that is its last argument and may be NULL.
 * The sentence names the object, the value and what was expected; the cause from a lower layer follows after ": ". */
#ifndef SK_BASE_ERR_H
#define SK_BASE_ERR_H

#include <stdarg.h>

enum sk_code {
  SK_OK = 0,
  SK_EINVAL,       /* a value is not what is expected */
  SK_ELIMIT,       /* a value is past a limit of limits.h */
  SK_EEXISTS,      /* the name or id exists already */
  SK_ENOTFOUND,    /* there is no such thing */
  SK_ESTALE,       /* the job is not held under this fence any more: nothing changed */
  SK_ESTATE,       /* the job's state does not allow this */
  SK_EUNAVAILABLE, /* the store cannot be reached or cannot write now; nothing happened; try again */
  SK_EUNKNOWN,     /* the store went away before it answered: the operation may have happened */
  SK_ECORRUPT,     /* stored or received bytes are damaged */
  SK_EVERSION,     /* a newer version wrote it */
  SK_ETIMEOUT,     /* not done within the time given */
  SK_ECANCELLED,   /* stopped on request */
  SK_EUNSUPPORTED, /* this store or build cannot do it */
  SK_ENOMEM,       /* out of memory */
  SK_ESYS,         /* the operating system refused */
};

struct sk_err {
  enum sk_code code;
  char message[512];
};

/* Returns the code's short name, which users see in err.code: "invalid", "limit", "stale", "unavailable", ... Never
 * NULL. */
const char *sk_code_name(enum sk_code code);

/* Fills err (if not NULL) and returns code, so that a failing function can end with `return sk_err_set(...)`. */
enum sk_code sk_err_set(struct sk_err *err, enum sk_code code, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));

/* Puts "context: " in front of the message of err, so that it reads "context: cause". */
enum sk_code sk_err_wrap(struct sk_err *err, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

#endif
