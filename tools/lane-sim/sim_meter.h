/* sim_meter: was a limit kept? Told what passed and when, it knows the worst.
 *
 *   burst   the most that passed above rate * length, over all stretches of
 *           time: what must have been stored up. The level of a bucket that
 *           leaks at the rate is never higher, and gets there.
 *   most    the most in any stretch as long as the period: what a quota bounds
 *
 * Both are exact. Times are microseconds and never go back.
 */
#ifndef SIM_METER_H
#define SIM_METER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/limits/rate.h"

struct sim_passed {
	int64_t at_us;
	double units;
};

struct sim_meter {
	struct rate rate;
	double total, burst, most;

	double level; /* of the bucket that leaks */
	int64_t last_us;
	double inside; /* the last period */
	struct sim_passed *ring; /* what is inside; for a quota alone */
	size_t room, first, count;
};

/* text as in common/limits/rate.h; a text that is wrong ends the program. */
void sim_meter_init(struct sim_meter *m, const char *text);
void sim_meter_fini(struct sim_meter *m);

void sim_meter_count(struct sim_meter *m, double units, int64_t now_us);

/* Was it kept, its burst included? late_us: the way to the meter may have held
 * something up so long, and pushed it against what came next. */
bool sim_meter_is_kept(const struct sim_meter *m, int64_t late_us);

#endif
