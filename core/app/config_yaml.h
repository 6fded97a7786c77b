/* config_yaml.h - DIR/config.yml, the settings as data for those who would rather not write them in Lua. */
#ifndef SK_APP_CONFIG_YAML_H
#define SK_APP_CONFIG_YAML_H

#include "app/config.h"

/* Sets what the YAML file at path gives: a mapping from a setting's name to a number, a text or true and false; queues may be a list of
 * names, or a mapping from a name to its weight.  SK_EINVAL: it is not that, with file and line; SK_ESYS: it can't be read; SK_ENOMEM. */
enum sk_code sk_config_yaml(struct sk_config *config, const char *path, struct sk_err *err);

#endif
