/* check.h - what every store refuses, in the same words: an operation that makes no sense never reaches a store's own
 * code.
 *
 * Each returns SK_OK, or SK_EINVAL or SK_ELIMIT with the sentence in err; nothing has happened then. */
#ifndef SK_STORE_CHECK_H
#define SK_STORE_CHECK_H

#include "store/store.h"

/* is_engine: the store was opened with an engine's id; what: the operation's name. */
enum sk_code sk_check_engine(bool is_engine, const char *what, struct sk_err *err);
/* Ids, names and priorities, locks and limits of jobs that are to be added; also of a settle's follow-ups. */
enum sk_code sk_check_enqueue(const struct sk_enqueue_item *items, size_t n, struct sk_err *err);
enum sk_code sk_check_fetch(const struct sk_fetch_op *op, struct sk_err *err);
enum sk_code sk_check_settle(const struct sk_settle_op *op, struct sk_err *err);
enum sk_code sk_check_list(const struct sk_list_op *op, struct sk_err *err);
/* Adds what a view of a listing takes to *bytes; SK_ELIMIT: that is more than op->bytes_max. */
enum sk_code sk_check_listed(const struct sk_list_op *op, const struct sk_view *view, size_t *bytes,
                             struct sk_err *err);
enum sk_code sk_check_pause(const struct sk_pause_op *op, struct sk_err *err);
enum sk_code sk_check_declare(const struct sk_declare_op *op, struct sk_err *err);

#endif
