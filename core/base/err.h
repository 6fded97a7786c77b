/* err.h - what went wrong, as a code for programs and a sentence for people.
 *
 * Whatever can fail returns an sk_code and fills the struct sk_err passed last (which may be NULL).  The sentence names the
 * object, the value and what was expected; a cause from a lower layer follows after ": ". */
#ifndef SK_BASE_ERR_H
#define SK_BASE_ERR_H

#include <stdarg.h>

enum sk_code {
  SK_OK = 0,
  SK_EINVAL,       /* a value is not what is expected */
  SK_ELIMIT,       /* a value is past a limit of limits.h */
  SK_EEXISTS,      /* that name or id is there already */
  SK_ENOTFOUND,    /* no such thing */
  SK_ESTALE,       /* the job is no longer held under this fence: nothing changed */
  SK_ESTATE,       /* the job is not in a state that allows this */
  SK_EUNAVAILABLE, /* the store can't be reached or can't write now; nothing happened; try again */
  SK_EUNKNOWN,     /* the store went away before it answered: it may or may not have happened */
  SK_ECORRUPT,     /* stored or received bytes are not what they should be */
  SK_EVERSION,     /* written by a newer version */
  SK_ETIMEOUT,     /* not within the time given */
  SK_ECANCELLED,   /* stopped on request */
  SK_EUNSUPPORTED, /* this store or build can't do that */
  SK_ENOMEM,       /* out of memory */
  SK_ESYS,         /* the operating system said no */
};

struct sk_err {
  enum sk_code code;
  char message[512];
};

/* The code's short name as users see it in err.code: "invalid", "limit", "stale", "unavailable", ...  Never NULL. */
const char *sk_code_name(enum sk_code code);

/* Fills err (if not NULL) and returns code, so that a failing function can end with `return sk_err_set(...)`. */
enum sk_code sk_err_set(struct sk_err *err, enum sk_code code, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));

/* Puts "what: " before the message that err holds. */
enum sk_code sk_err_wrap(struct sk_err *err, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

#endif
