/* config_yaml.h - DIR/config.yml: the settings as data instead of a Lua program. */
#ifndef SK_APP_CONFIG_YAML_H
#define SK_APP_CONFIG_YAML_H

#include "app/config.h"

/* Sets the values of the YAML file at path: a mapping from the name of a setting to a number, a text, true or false.
 * `queues` may be a list of names or a mapping from a name to its weight. SK_EINVAL: the file is something else (with
 * file and line); SK_ESYS: it cannot be read; SK_ENOMEM. */
enum sk_code sk_config_yaml(struct sk_config *config, const char *path, struct sk_err *err);

#endif
