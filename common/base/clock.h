/* clock: the two times, kept apart by type.
 *
 * Monotonic time is a plain int64_t: of microseconds (names end in _us) in the
 * engine and for every rate; of milliseconds (_ms) for timers and what
 * processes share. Who has the one and calls the other converts, once. Wall
 * time is struct timeval, used only for log lines and Postfix's delay fields.
 * Engine code gets both as arguments and calls neither function.
 */
#ifndef CLOCK_H
#define CLOCK_H

#include <stdint.h>
#include <sys/time.h>

#define US_PER_MS INT64_C(1000)
#define US_PER_S INT64_C(1000000)

/* From one unit to the other; INT64_MAX, which is never, stays so. To the first
 * millisecond that is not before us: a timer that is due never runs early. */
int64_t clock_ms_from_us(int64_t us);
int64_t clock_us_from_ms(int64_t ms);

/* CLOCK_MONOTONIC in milliseconds / microseconds. */
int64_t clock_mono_ms(void);
int64_t clock_mono_us(void);

struct timeval clock_wall(void);

/* One moment in both times, for code that times out and logs. */
struct moment {
	int64_t us;
	struct timeval wall;
};

struct moment clock_moment(void);

#endif
