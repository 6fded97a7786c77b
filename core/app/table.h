/* table.h - aligned columns of text.  A heading that begins with ">" has its column aligned to the right. */
#ifndef SK_APP_TABLE_H
#define SK_APP_TABLE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/str.h"

#define SK_TABLE_COLUMNS_MAX 16
#define SK_TABLE_CELL_MAX 60 /* characters of a cell; longer ones are cut, with "..." */

struct sk_table {
  const char *const *heads; /* borrowed */
  size_t columns;
  struct sk_buf text;  /* the cells' bytes one after the other */
  struct sk_buf cells; /* size_t ends in `text`, row by row */
};

void sk_table_init(struct sk_table *t, const char *const *heads, size_t columns);
void sk_table_fini(struct sk_table *t);
/* Appends the next cell, cleaned of control characters; rows follow from the number of columns. */
void sk_table_add(struct sk_table *t, struct sk_str cell);
void sk_table_add_int(struct sk_table *t, int64_t v);
/* Marks `out` failed when memory ran out on the way. */
void sk_table_print(const struct sk_table *t, struct sk_buf *out);

#endif
