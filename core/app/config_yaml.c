/* config_yaml.c - see config_yaml.h. libyaml makes a tree of the file; its nodes become the texts that sk_config_set
 * takes. */
#include "app/config_yaml.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <yaml.h>

#include "base/buf.h"

struct reading {
  const char *path;
  yaml_document_t document;
  struct sk_config *config;
};

static enum sk_code wrong(const struct reading *r, const yaml_node_t *node, const char *expected, struct sk_err *err) {
  return sk_err_set(err, SK_EINVAL, "%s:%zu: expected %s", r->path, node->start_mark.line + 1, expected);
}

static struct sk_str text_of(const yaml_node_t *node) {
  return sk_str((const char *)node->data.scalar.value, node->data.scalar.length);
}

/* Appends a list as "a,b" and a mapping as "a:3,b:1". */
static enum sk_code add_list(struct reading *r, const yaml_node_t *node, struct sk_buf *out, struct sk_err *err) {
  bool pairs = node->type == YAML_MAPPING_NODE;
  size_t n = pairs ? (size_t)(node->data.mapping.pairs.top - node->data.mapping.pairs.start)
                   : (size_t)(node->data.sequence.items.top - node->data.sequence.items.start);
  for (size_t i = 0; i < n; i++) {
    int key = pairs ? node->data.mapping.pairs.start[i].key : node->data.sequence.items.start[i];
    const yaml_node_t *name = yaml_document_get_node(&r->document, key);
    const yaml_node_t *weight =
        pairs ? yaml_document_get_node(&r->document, node->data.mapping.pairs.start[i].value) : name;
    if (name->type != YAML_SCALAR_NODE || weight->type != YAML_SCALAR_NODE)
      return wrong(r, name, "a name, or name: weight", err);
    if (i > 0) sk_buf_add_byte(out, ',');
    sk_buf_add_str(out, text_of(name));
    if (!pairs) continue;
    sk_buf_add_byte(out, ':');
    sk_buf_add_str(out, text_of(weight));
  }
  return out->failed ? sk_err_set(err, SK_ENOMEM, "%s: out of memory", r->path) : SK_OK;
}

static enum sk_code set_one(struct reading *r, const yaml_node_t *key, const yaml_node_t *value, struct sk_err *err) {
  if (key->type != YAML_SCALAR_NODE) return wrong(r, key, "the name of a setting", err);
  char source[PATH_MAX + 32];
  snprintf(source, sizeof source, "%s:%zu", r->path, key->start_mark.line + 1);
  if (value->type == YAML_SCALAR_NODE) return sk_config_set(r->config, text_of(key), text_of(value), source, err);
  if (!sk_str_eq_c(text_of(key), "queues")) return wrong(r, value, "a number or a text", err);
  struct sk_buf list = { 0 };
  enum sk_code code = add_list(r, value, &list, err);
  if (code == SK_OK) code = sk_config_set(r->config, text_of(key), sk_buf_str(&list), source, err);
  sk_buf_fini(&list);
  return code;
}

static enum sk_code set_all(struct reading *r, struct sk_err *err) {
  const yaml_node_t *root = yaml_document_get_root_node(&r->document);
  if (root == NULL) return SK_OK; /* an empty file sets nothing */
  if (root->type != YAML_MAPPING_NODE) return wrong(r, root, "a mapping from settings to values", err);
  enum sk_code code = SK_OK;
  for (const yaml_node_pair_t *p = root->data.mapping.pairs.start; code == SK_OK && p < root->data.mapping.pairs.top;
       p++)
    code =
        set_one(r, yaml_document_get_node(&r->document, p->key), yaml_document_get_node(&r->document, p->value), err);
  return code;
}

enum sk_code sk_config_yaml(struct sk_config *config, const char *path, struct sk_err *err) {
  FILE *file = fopen(path, "rb");
  if (file == NULL) return sk_err_set(err, SK_ESYS, "%s: %s", path, strerror(errno));
  struct reading r = { .path = path, .config = config };
  yaml_parser_t parser;
  enum sk_code code = yaml_parser_initialize(&parser) ? SK_OK : sk_err_set(err, SK_ENOMEM, "%s: out of memory", path);
  if (code == SK_OK) {
    yaml_parser_set_input_file(&parser, file);
    if (yaml_parser_load(&parser, &r.document)) {
      code = set_all(&r, err);
      yaml_document_delete(&r.document);
    } else {
      code = sk_err_set(err, SK_EINVAL, "%s:%zu: %s", path, parser.problem_mark.line + 1,
                        parser.problem ? parser.problem : "this is not YAML");
    }
    yaml_parser_delete(&parser);
  }
  fclose(file);
  return code;
}
