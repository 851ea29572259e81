/* rate: limits as the operator writes them.
 *
 *   14/1s        14 per second, burst max(1, 50 ms worth)
 *   30/1m:5      30 per minute, at most 5 at once
 *   0.5/1s       one every two seconds
 *   50000/1d!    quota: never more than 50000 in any 24 hours
 *   10/s, 14/1s 50000/1d!      "1" may be left out; several together
 *
 * N is a number above 0 with at most three decimals; the period a whole number
 * of ms, s, m, h or d, at most 400 days. A period of one hour or more means a
 * quota unless a burst is given or N is no whole number (a quota counts, so
 * its N is whole). What N counts (messages, recipients, octets) is not said
 * here. "none" and the empty text are no limit: a list of length 0.
 */
#ifndef RATE_H
#define RATE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/base/slice.h"

enum {
	RATE_LIST_MAX = 4,
	RATE_TEXT_SIZE = 64, /* enough for rate_to_text() */
	RATE_PERCENT_MAX = 1000,
};

#define RATE_COUNT_MAX INT64_C(1000000000000) /* N, a terabyte */
#define RATE_PERIOD_MAX_US (INT64_C(400) * 86400 * 1000000)

struct rate {
	int64_t count_milli; /* thousandths of a unit per period, > 0 */
	int64_t period_us; /* > 0 */
	int64_t burst; /* whole units, >= 1; 0 for a quota */
	bool is_quota;
};

/* A wait that never ends: the cost is above a quota's N. */
#define RATE_NEVER INT64_MAX

/* The time to reckon with: a clock that goes backwards stands still instead,
 * and later than in 126 years (nanoseconds must fit) it is never. */
static inline int64_t
rate_clamp_now(int64_t last_us, int64_t now_us)
{
	const int64_t max_us = INT64_C(4000000000000000);

	if (now_us < last_us)
		return last_us;
	return now_us > max_us ? max_us : now_us;
}

/* One rate. On error false, and a sentence that says what is wrong and what
 * is allowed in error (cut to error_size - 1). */
bool rate_parse(
    struct slice text, struct rate *out, char *error, size_t error_size);

/* Up to max rates separated by commas or blanks into out[]. */
bool rate_list_parse(struct slice text, struct rate *out, size_t max,
    size_t *count_out, char *error, size_t error_size);

/* Canonical text that rate_parse() reads back to the same value. */
void rate_to_text(const struct rate *rate, char *out, size_t n);

/* So many in a hundred of it, of no quota: at least a thousandth of a unit; the
 * burst is that of before, or the default of both. percent: 1 to
 * RATE_PERCENT_MAX. */
void rate_scale(struct rate *rate, int percent);

/* The default burst for count_milli per period_us. */
int64_t rate_default_burst(int64_t count_milli, int64_t period_us);

#endif
