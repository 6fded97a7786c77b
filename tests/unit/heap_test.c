/* heap_test.c - the min-heap and the intrusive list. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <string.h>

#include "base/heap.h"
#include "base/list.h"

struct item {
  struct sk_heap_node node;
  struct sk_list link;
  int number;
};

static struct item *item_of(struct sk_heap_node *node) { return SK_CONTAINER(node, struct item, node); }

static uint32_t next_random(uint32_t *seed) { return *seed = *seed * 1664525u + 1013904223u; }

static void nodes_come_out_by_key_and_equal_keys_in_order_of_insertion(void **state) {
  (void)state;
  enum { N = 2000 };
  static struct item items[N];
  struct sk_heap h = { 0 };
  uint32_t seed = 7;
  for (int i = 0; i < N; i++) {
    items[i] = (struct item){ .number = i };
    assert_true(sk_heap_insert(&h, &items[i].node, (int64_t)(next_random(&seed) >> 24) - 100));
  }
  int64_t last_key = INT64_MIN;
  int last_number = -1;
  for (int i = 0; i < N; i++) {
    struct item *first = item_of(sk_heap_first(&h));
    assert_true(first->node.key >= last_key);
    if (first->node.key == last_key) assert_true(first->number > last_number);
    last_key = first->node.key;
    last_number = first->number;
    sk_heap_remove(&h, &first->node);
    assert_false(sk_heap_has(&first->node));
  }
  assert_null(sk_heap_first(&h));
  sk_heap_fini(&h);
}

static void any_node_can_be_removed_and_inserted_again(void **state) {
  (void)state;
  enum { N = 300 };
  static struct item items[N];
  struct sk_heap h = { 0 };
  uint32_t seed = 11;
  memset(items, 0, sizeof items);
  for (int round = 0; round < 20000; round++) {
    struct item *it = &items[(next_random(&seed) >> 8) % N];
    if (sk_heap_has(&it->node))
      sk_heap_remove(&h, &it->node);
    else
      assert_true(sk_heap_insert(&h, &it->node, next_random(&seed) >> 20));
    int64_t least = INT64_MAX;
    size_t n = 0;
    for (int i = 0; i < N; i++) {
      if (!sk_heap_has(&items[i].node)) continue;
      n++;
      if (items[i].node.key < least) least = items[i].node.key;
    }
    assert_int_equal(h.n, n);
    if (n) assert_int_equal(sk_heap_first(&h)->key, least);
  }
  sk_heap_fini(&h);
}

static void a_list_is_first_in_first_out_with_a_way_to_the_front(void **state) {
  (void)state;
  struct sk_list head;
  struct item items[4] = { { .number = 0 }, { .number = 1 }, { .number = 2 }, { .number = 3 } };
  sk_list_init(&head);
  assert_true(sk_list_empty(&head));
  assert_null(sk_list_pop(&head));
  for (int i = 0; i < 3; i++) sk_list_push(&head, &items[i].link);
  sk_list_push_front(&head, &items[3].link);
  const int expected[] = { 3, 0, 1, 2 };
  int at = 0;
  SK_LIST_EACH (it, &head) assert_int_equal(SK_CONTAINER(it, struct item, link)->number, expected[at++]);
  assert_int_equal(at, 4);
  sk_list_remove(&items[0].link);
  assert_true(sk_list_empty(&items[0].link));
  assert_ptr_equal(sk_list_pop(&head), &items[3].link);
  assert_ptr_equal(sk_list_pop(&head), &items[1].link);
  assert_ptr_equal(sk_list_pop(&head), &items[2].link);
  assert_true(sk_list_empty(&head));
}

static void a_list_moves_as_a_whole_and_may_lose_nodes_while_walked(void **state) {
  (void)state;
  struct sk_list from, to;
  struct item items[5];
  sk_list_init(&from);
  sk_list_init(&to);
  sk_list_move(&to, &from);
  assert_true(sk_list_empty(&to));
  for (int i = 0; i < 5; i++) {
    items[i].number = i;
    sk_list_push(i < 2 ? &to : &from, &items[i].link);
  }
  sk_list_move(&to, &from);
  assert_true(sk_list_empty(&from));
  int at = 0;
  SK_LIST_EACH_SAFE(it, &to) {
    assert_int_equal(SK_CONTAINER(it, struct item, link)->number, at++);
    sk_list_remove(it);
  }
  assert_int_equal(at, 5);
  assert_true(sk_list_empty(&to));
}

int main(void) {
  const struct CMUnitTest tests[] = {
    cmocka_unit_test(nodes_come_out_by_key_and_equal_keys_in_order_of_insertion),
    cmocka_unit_test(any_node_can_be_removed_and_inserted_again),
    cmocka_unit_test(a_list_is_first_in_first_out_with_a_way_to_the_front),
    cmocka_unit_test(a_list_moves_as_a_whole_and_may_lose_nodes_while_walked),
  };
  return cmocka_run_group_tests_name("heap and list", tests, NULL, NULL);
}
