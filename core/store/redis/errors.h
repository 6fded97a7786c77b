/* errors.h - what an error reply of Redis means for whoever sent the command: pure functions of its text.
 *
 * Redis words an error inside a script in two ways:
 *   7.0  READONLY You can't write against a read only replica. script: SHA1, on @user_script:12.
 *   6.2  ERR Error running script (call to f_SHA1): @user_script:12: @user_script: 12: -READONLY You can't write ...
 * Both have the same meaning here. */
#ifndef SK_STORE_REDIS_ERRORS_H
#define SK_STORE_REDIS_ERRORS_H

#include "base/err.h"
#include "base/str.h"

enum rd_trouble {
  RD_TROUBLE_WEATHER,   /* it passes: the same command may work later */
  RD_TROUBLE_DEMOTED,   /* this server is no master (any more): connect anew */
  RD_TROUBLE_NO_SCRIPT, /* the server does not have this script: send its text */
  RD_TROUBLE_MOVED,     /* cluster: the slot is at another node, which the error names */
  RD_TROUBLE_SLOT,      /* cluster: the slot is on its way, or nobody has it: wait */
  RD_TROUBLE_NO_RIGHT,  /* the user may not do this: somebody must change the user's rights */
  RD_TROUBLE_ABORTED,   /* EXEC: a command of the transaction was refused before, and none was done */
  RD_TROUBLE_REFUSED,   /* the command itself is wrong: the same command fails again */
};

/* Classifies the text of an error reply (without its leading '-').  *said, unless NULL, receives the part of it
 * that describes the fault. */
enum rd_trouble sk_rd_errors_classify(struct sk_str text, struct sk_str *said);
/* SK_EUNAVAILABLE: nothing has happened, and it may work later; SK_ECORRUPT: the same command would fail again. */
enum sk_code sk_rd_errors_code(enum rd_trouble trouble);

#endif
