/* name.h - the rule for names of tasks and queues and for ids of jobs.
 *
 * Both use one alphabet, [A-Za-z0-9_.:-], so that a name can stand in a key of Redis, a URL and a command line as it
 * is.  Clients check names before they send them; the core checks them again in each job that it is given. */
#ifndef SK_LOGIC_NAME_H
#define SK_LOGIC_NAME_H

#include "base/err.h"
#include "base/str.h"

/* Checks a name: 1 to SK_NAME_BYTES_MAX bytes of the alphabet.  `what` begins the message, e.g. "queue".
 * SK_OK, SK_EINVAL, SK_ELIMIT (too long). */
enum sk_code sk_name_check(const char *what, struct sk_str name, struct sk_err *err);

/* Checks the id of a job: 1 to SK_ID_BYTES_MAX bytes of the alphabet.  SK_OK, SK_EINVAL, SK_ELIMIT (too long). */
enum sk_code sk_id_check(struct sk_str id, struct sk_err *err);

#endif
