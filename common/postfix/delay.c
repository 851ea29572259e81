#include "common/postfix/delay.h"

#include <stdint.h>
#include <stdio.h>
#include <stdbool.h>

enum { MILLION = 1000000 };

static int64_t
to_us(struct timeval t)
{
	return (int64_t)t.tv_sec * MILLION + t.tv_usec;
}

/* later - earlier, not below zero. */
static struct timeval
between(struct timeval earlier, struct timeval later)
{
	int64_t us = to_us(later) - to_us(earlier);

	if (us < 0)
		us = 0;
	return (struct timeval){
	    .tv_sec = (time_t)(us / MILLION),
	    .tv_usec = (suseconds_t)(us % MILLION),
	};
}

/* Microseconds per printed step: two significant digits, not finer than
 * max_decimals and never coarser than a second. */
static int64_t
resolution_us(int64_t us, int max_decimals)
{
	int64_t step = MILLION;

	for (int i = 0; i < max_decimals; i++)
		step /= 10;
	if (step == MILLION || us >= INT64_C(10) * MILLION)
		return MILLION;
	if (us >= MILLION)
		return MILLION / 10;
	while (us >= 100 * step)
		step *= 10;
	return step;
}

void
delay_format(char *out, size_t n, struct timeval difference, int max_decimals)
{
	int64_t us = to_us(difference), step;
	char decimals[16];
	size_t len;

	if (us < 0)
		us = 0;
	if (max_decimals < 0)
		max_decimals = 0;
	if (max_decimals > 6)
		max_decimals = 6;
	step = resolution_us(us, max_decimals);
	us = (us + step / 2) / step * step;
	len = (size_t)snprintf(
	    decimals, sizeof decimals, ".%06d", (int)(us % MILLION));
	while (decimals[len - 1] == '0')
		decimals[--len] = '\0';
	if (len == 1)
		decimals[0] = '\0';
	(void)snprintf(out, n, "%lld%s", (long long)(us / MILLION), decimals);
}

static bool
is_set(struct timeval t)
{
	return t.tv_sec > 0;
}

void
delay_to_text(const struct delay_times *times, struct timeval now,
    int max_decimals, char *out, size_t n)
{
	const struct timeval zero = {0, 0};
	struct timeval end =
	    is_set(times->deliver_done) ? times->deliver_done : now;
	struct timeval part[5] = {between(times->arrival, end)};
	char text[5][32];

	/* Each stage that was not reached leaves its time to the one before,
	 * except that without a session the rest is transmission. */
	if (!is_set(times->active)) {
		part[1] = part[0];
	} else if (!is_set(times->handoff)) {
		part[1] = between(times->arrival, times->active);
		part[2] = between(times->active, end);
	} else {
		bool has_conn = is_set(times->conn_done);

		part[1] = between(times->arrival, times->active);
		part[2] = between(times->active, times->handoff);
		part[3] =
		    has_conn ? between(times->handoff, times->conn_done) : zero;
		part[4] =
		    between(has_conn ? times->conn_done : times->handoff, end);
	}
	for (size_t i = 0; i < 5; i++)
		delay_format(text[i], sizeof text[i], part[i], max_decimals);
	(void)snprintf(out, n, "delay=%s, delays=%s/%s/%s/%s", text[0], text[1],
	    text[2], text[3], text[4]);
}
