/* outage.c - outages of the store: logged once each, and over when every store call that failed works again.
 *
 * What has to happen when the store works again is for the files above this one: e->works_again and e->outage_over ask
 * the engine's turn to do it (engine.c). */
#include "engine/state.h"

void sk_outage_failed(struct sk_engine *e, enum sk_chore chore, const struct sk_err *err) {
  static const char *const names[] = { "fetching jobs", "settling jobs", "renewing the lease", "listing queues",
                                       "declaring tasks" };
  bool logged = e->troubles != 0;
  e->troubles |= 1u << chore;
  if (logged) return;
  sk_logf(e->log, SK_LOG_ERROR, "store: %s failed: %s; trying again until it works", names[chore], err->message);
}

void sk_outage_works(struct sk_engine *e, enum sk_chore chore) {
  if (e->troubles == 0) return;
  e->works_again = true;
  sk_engine_wake(e);
  if (!(e->troubles & 1u << chore)) return;
  e->troubles &= ~(1u << chore);
  e->hurried &= ~(1u << chore);
  if (e->troubles != 0) return;
  sk_logf(e->log, SK_LOG_INFO, "store: works again");
  e->outage_over = true;
}
