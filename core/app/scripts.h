/* scripts.h - processes that evaluate files of a folder of scripts, so that the core's process never runs user code. */
#ifndef SK_APP_SCRIPTS_H
#define SK_APP_SCRIPTS_H

#include "app/config.h"

/* Returns the path of this binary, for starting workers; the caller frees it. */
char *sk_scripts_program(struct sk_err *err);

/* Evaluates DIR/config.lua in a child process, or reads DIR/config.yml, and sets its values. Without such a file
 * nothing is set. SK_EINVAL: the file cannot be run, or a setting is wrong. */
enum sk_code sk_scripts_config(const char *program, const char *dir, struct sk_config *config, struct sk_err *err);

#endif
