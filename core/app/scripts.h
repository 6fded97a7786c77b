/* scripts.h - the processes that look at a folder of scripts, so that the core process never runs user code. */
#ifndef SK_APP_SCRIPTS_H
#define SK_APP_SCRIPTS_H

#include "app/config.h"

/* The path of this binary, for starting workers; owned by the caller (free). */
char *sk_scripts_program(struct sk_err *err);

/* Evaluates DIR/config.lua in a child process, or reads DIR/config.yml, and sets what it gives.  No such file: nothing is set.  SK_EINVAL: it can't be
 * run, or a setting is wrong. */
enum sk_code sk_scripts_config(const char *program, const char *dir, struct sk_config *config, struct sk_err *err);

#endif
