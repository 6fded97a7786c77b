/* client.h - a store for those who wait: opens it as a client on a loop of its own and turns the loop until each answer
 * is there.  For the CLI and the Lua client; one thread at a time.
 *
 *   struct sk_get_op op = { .ids = &id, .ids_n = 1 };
 *   if (sk_client_get(client, &op) == SK_OK) ... op.views[0] ...
 *   sk_op_fini(&op.op);
 *
 * Each call submits op (its cb and ctx are the client's to set), waits, and returns op->op.status; the sentence for a
 * failure is in op->op.err.  Outputs stay valid until sk_op_fini, also after the client is closed. */
#ifndef SK_STORE_CLIENT_H
#define SK_STORE_CLIENT_H

#include "store/store.h"

struct sk_client;

/* Opens the store as sk_store_open does, with no engine id whatever options->engine says. */
enum sk_code sk_client_open(const struct sk_store_options *options, struct sk_client **out, struct sk_err *err);
/* Waits until the store is closed; NULL is fine. */
void sk_client_close(struct sk_client *client);

/* For sk_op.deadline_ms of what a command does first, so that it and the opening take the store's timeout together. */
int64_t sk_client_first_deadline(const struct sk_client *client);

/* The store's clock, ms since 1970, as near as this handle knows it (now_ms in store.h).  Times that a store reports
 * are compared with this clock and not with that of the machine. */
int64_t sk_client_now_ms(const struct sk_client *client);

enum sk_code sk_client_enqueue(struct sk_client *client, struct sk_enqueue_op *op);
enum sk_code sk_client_get(struct sk_client *client, struct sk_get_op *op);
enum sk_code sk_client_list(struct sk_client *client, struct sk_list_op *op);
enum sk_code sk_client_count(struct sk_client *client, struct sk_count_op *op);
enum sk_code sk_client_change(struct sk_client *client, struct sk_change_op *op);
enum sk_code sk_client_pause(struct sk_client *client, struct sk_pause_op *op);
enum sk_code sk_client_declare(struct sk_client *client, struct sk_declare_op *op);
enum sk_code sk_client_backup(struct sk_client *client, struct sk_backup_op *op);
enum sk_code sk_client_tasks(struct sk_client *client, struct sk_tasks_op *op);

/* Has cb called every `every_ms` while an operation takes its time, for a caller that shows how far it is.  When memory
 * runs out cb is never called. */
void sk_client_tell(struct sk_client *client, int64_t every_ms, void (*cb)(void *ctx), void *ctx);

/* Waits until others have changed something in the store (its `changed` event), at most timeout_ms (< 0: for ever).
 * SK_OK or SK_ETIMEOUT.  A change that came since the last call of this function counts, so that
 *
 *   do sk_client_get(...); while (not what I wait for && sk_client_wait_changed(client, left_ms) == SK_OK);
 *
 * misses nothing.  Changes may come without a reason, every SK_SAFETY_POLL_MS when waiting for ever: look again, and
 * count the time that is left yourself. */
enum sk_code sk_client_wait_changed(struct sk_client *client, int64_t timeout_ms);

#endif
