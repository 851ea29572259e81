/* clock: the two times, kept apart by type.
 *
 * Monotonic time is a plain int64_t of milliseconds (names end in _ms), used
 * for every timer and rate. Wall time is struct timeval, used only for log
 * lines and Postfix's delay fields. Engine code gets both as arguments and
 * calls neither function.
 */
#ifndef CLOCK_H
#define CLOCK_H

#include <stdint.h>
#include <sys/time.h>

/* CLOCK_MONOTONIC in milliseconds / microseconds. */
int64_t clock_mono_ms(void);
int64_t clock_mono_us(void);

struct timeval clock_wall(void);

/* One moment in both times, for code that times out and logs. */
struct moment {
	int64_t ms;
	struct timeval wall;
};

struct moment clock_moment(void);

#endif
