/* table.c - see table.h. */
#include "app/table.h"

#include <assert.h>
#include <inttypes.h>
#include <stdio.h>

#include "app/text.h"
#include "base/utf8.h"

void sk_table_init(struct sk_table *t, const char *const *heads, size_t columns) {
  assert(columns > 0 && columns <= SK_TABLE_COLUMNS_MAX);
  *t = (struct sk_table){ .heads = heads, .columns = columns };
}

void sk_table_fini(struct sk_table *t) {
  sk_buf_fini(&t->text);
  sk_buf_fini(&t->cells);
}

/* Cuts the cell that starts at `start` of b to SK_TABLE_CELL_MAX characters. */
static void cut(struct sk_buf *b, size_t start) {
  struct sk_str cell = sk_str(b->p + start, b->n - start);
  if (cell.n == 0 || sk_text_width(cell) <= SK_TABLE_CELL_MAX) return;
  size_t at = 0;
  for (size_t width = 0; width < SK_TABLE_CELL_MAX - 3; width++) at += sk_utf8_length(sk_str(cell.p + at, cell.n - at));
  b->n = start + at;
  sk_buf_add_c(b, "...");
}

void sk_table_add(struct sk_table *t, struct sk_str cell) {
  size_t start = t->text.n;
  sk_utf8_add_clean(&t->text, cell, false);
  if (t->text.failed) return;
  cut(&t->text, start);
  sk_buf_add(&t->cells, &t->text.n, sizeof t->text.n);
}

void sk_table_add_int(struct sk_table *t, int64_t v) {
  char text[24];
  snprintf(text, sizeof text, "%" PRId64, v);
  sk_table_add(t, sk_str_c(text));
}

static size_t cell_end(const struct sk_table *t, size_t i) {
  size_t end;
  memcpy(&end, t->cells.p + i * sizeof end, sizeof end);
  return end;
}

static struct sk_str cell_at(const struct sk_table *t, size_t i) {
  size_t start = i ? cell_end(t, i - 1) : 0;
  return sk_str(t->text.p + start, cell_end(t, i) - start);
}

static bool is_right(const char *head) { return head[0] == '>'; }
static const char *head_text(const char *head) { return head + is_right(head); }

static void print_cell(struct sk_str cell, size_t width, bool right, bool last, struct sk_buf *out) {
  int pad = (int)(width - sk_text_width(cell));
  if (right) sk_buf_addf(out, "%*s", pad, "");
  sk_buf_add_str(out, cell);
  if (!last) {
    sk_buf_addf(out, "%*s", right ? 2 : pad + 2, "");
    return;
  }
  while (out->n > 0 && out->p[out->n - 1] == ' ') out->n--; /* removes spaces at the end of the line */
  sk_buf_add_byte(out, '\n');
}

void sk_table_print(const struct sk_table *t, struct sk_buf *out) {
  if (t->text.failed || t->cells.failed) {
    out->failed = true;
    return;
  }
  size_t n = t->cells.n / sizeof(size_t);
  assert(n % t->columns == 0);
  size_t widths[SK_TABLE_COLUMNS_MAX];
  for (size_t c = 0; c < t->columns; c++) widths[c] = strlen(head_text(t->heads[c]));
  for (size_t i = 0; i < n; i++) {
    size_t width = sk_text_width(cell_at(t, i));
    if (width > widths[i % t->columns]) widths[i % t->columns] = width;
  }
  for (size_t c = 0; c < t->columns; c++)
    print_cell(sk_str_c(head_text(t->heads[c])), widths[c], is_right(t->heads[c]), c + 1 == t->columns, out);
  for (size_t i = 0; i < n; i++) {
    size_t c = i % t->columns;
    print_cell(cell_at(t, i), widths[c], is_right(t->heads[c]), c + 1 == t->columns, out);
  }
}
