/* nearest.c - see nearest.h.  Distance counts inserted, deleted and changed characters and swaps of two neighbours. */
#include "logic/nearest.h"

enum {
  WORD_BYTES_MAX = 64, /* longer words have no neighbours: bounds the time of a comparison */
  NAME_BYTES_MAX = WORD_BYTES_MAX + WORD_BYTES_MAX / 3, /* a longer name is far from every word */
};

static size_t min(size_t a, size_t b) { return a < b ? a : b; }

static size_t distance(struct sk_str a, struct sk_str b) {
  size_t rows[3][NAME_BYTES_MAX + 1];
  size_t *before = rows[0], *last = rows[1], *now = rows[2];
  for (size_t j = 0; j <= b.n; j++) last[j] = j;
  for (size_t i = 1; i <= a.n; i++) {
    now[0] = i;
    for (size_t j = 1; j <= b.n; j++) {
      size_t cost = a.p[i - 1] != b.p[j - 1];
      now[j] = min(min(last[j] + 1, now[j - 1] + 1), last[j - 1] + cost);
      bool swapped = i > 1 && j > 1 && a.p[i - 1] == b.p[j - 2] && a.p[i - 2] == b.p[j - 1];
      if (swapped) now[j] = min(now[j], before[j - 2] + 1);
    }
    size_t *spare = before;
    before = last;
    last = now;
    now = spare;
  }
  return last[b.n];
}

/* The number of mistakes that a word of n bytes can have: a third of the word, but one in a short word and two in a
 * longer one at least. */
static size_t mistakes_max(size_t n) {
  if (n < 4) return 1;
  return n / 3 > 2 ? n / 3 : 2;
}

void sk_nearest_init(struct sk_nearest *n, struct sk_str word) {
  *n = (struct sk_nearest){ .word = word, .distance = mistakes_max(word.n) + 1 };
}

void sk_nearest_try(struct sk_nearest *n, struct sk_str candidate) {
  if (n->word.n == 0 || n->word.n > WORD_BYTES_MAX || candidate.n > NAME_BYTES_MAX) return;
  size_t d = distance(n->word, candidate);
  if (d >= n->distance || d >= candidate.n) return;
  n->name = candidate;
  n->distance = d;
}
