/* clock.h - the only file that reads the time. All other code gets the time as an argument. */
#ifndef SK_BASE_CLOCK_H
#define SK_BASE_CLOCK_H

#include <stdint.h>

int64_t sk_clock_wall_ms(void); /* since 1970-01-01 UTC; steps when somebody sets the clock */
int64_t sk_clock_wall_us(void);
int64_t sk_clock_mono_ms(void); /* never steps; stands still while the machine sleeps */
int64_t sk_clock_mono_us(void);

#endif
