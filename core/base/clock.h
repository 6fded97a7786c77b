/* clock.h - the only place that reads the time.  Everything else is told what time it is. */
#ifndef SK_BASE_CLOCK_H
#define SK_BASE_CLOCK_H

#include <stdint.h>

int64_t sk_clock_wall_ms(void); /* since 1970-01-01 UTC; steps when someone sets the clock */
int64_t sk_clock_wall_us(void);
int64_t sk_clock_mono_ms(void); /* never steps; stands still while the machine sleeps */
int64_t sk_clock_mono_us(void);

#endif
