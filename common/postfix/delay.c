#include "common/postfix/delay.h"

#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#include "common/base/log.h"

enum { MILLION = 1000000, ONE_SIZE = 32 /* of one, with its NUL */ };

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

/* In front of at, `least` of them or as many as there are; where they begin. */
static size_t
put_digits(char *text, size_t at, int64_t number, int least)
{
	for (; number > 0 || least > 0; least--) {
		text[--at] = (char)('0' + number % 10);
		number /= 10;
	}
	return at;
}

void
delay_format(char *out, size_t n, struct timeval difference, int max_decimals)
{
	int64_t us = to_us(difference), step, part;
	char text[ONE_SIZE];
	size_t at = sizeof(text);

	if (us < 0)
		us = 0;
	if (max_decimals < 0)
		max_decimals = 0;
	if (max_decimals > 6)
		max_decimals = 6;
	step = resolution_us(us, max_decimals);
	us = (us + step / 2) / step * step;
	text[--at] = '\0';
	part = us % MILLION;
	if (part > 0) {
		int decimals = 6;

		for (; part % 10 == 0; decimals--)
			part /= 10;
		at = put_digits(text, at, part, decimals);
		text[--at] = '.';
	}
	at = put_digits(text, at, us / MILLION, 1);
	CHECK(n >= sizeof(text) - at);
	memcpy(out, text + at, sizeof(text) - at);
}

static bool
is_set(struct timeval t)
{
	return t.tv_sec > 0;
}

/* As much of text as there is room for. */
static void
put(char *out, size_t n, size_t *at, const char *text)
{
	size_t more = strlen(text);

	if (more > n - 1 - *at)
		more = n - 1 - *at;
	memcpy(out + *at, text, more);
	*at += more;
	out[*at] = '\0';
}

void
delay_to_text(const struct delay_times *times, struct timeval now,
    int max_decimals, char *out, size_t n)
{
	const struct timeval zero = {0, 0};
	struct timeval end =
	    is_set(times->deliver_done) ? times->deliver_done : now;
	struct timeval part[5] = {between(times->arrival, end)};
	static const char *const before[] = {
	    "delay=", ", delays=", "/", "/", "/"};
	size_t at = 0;

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
	CHECK(n > 0);
	for (size_t i = 0; i < 5; i++) {
		char one[ONE_SIZE];

		delay_format(one, sizeof(one), part[i], max_decimals);
		put(out, n, &at, before[i]);
		put(out, n, &at, one);
	}
}
