/* table.h - aligned columns of text. A heading that begins with ">" aligns its column to the right. */
#ifndef SK_APP_TABLE_H
#define SK_APP_TABLE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/str.h"

#define SK_TABLE_COLUMNS_MAX 16
#define SK_TABLE_CELL_MAX 60 /* characters of a cell; a longer one is cut, with "..." */

struct sk_table {
  const char *const *heads; /* borrowed */
  size_t columns;
  struct sk_buf text;  /* the bytes of all cells, one after the other */
  struct sk_buf cells; /* the end of each cell in `text`, as size_t, row by row */
};

void sk_table_init(struct sk_table *t, const char *const *heads, size_t columns);
void sk_table_fini(struct sk_table *t);
/* Appends the next cell without control characters; a row is full after the number of columns. */
void sk_table_add(struct sk_table *t, struct sk_str cell);
void sk_table_add_int(struct sk_table *t, int64_t v);
/* Appends the table to out; marks out as failed when memory ran out while cells were added. */
void sk_table_print(const struct sk_table *t, struct sk_buf *out);

#endif
