#include "agent/pacer.h"

#include <stdio.h>

#include "common/log.h"

enum { LATENESS_MAX_US = 10000 };

static const char *const parameters[PACER_UNITS] = {
    [PACER_MESSAGES] = "lane_message_rate_limit",
    [PACER_RECIPIENTS] = "lane_recipient_rate_limit",
    [PACER_OCTETS] = "lane_byte_rate_limit",
};

static bool
add(struct pacer *p, enum pacer_unit unit, const char *text, int64_t now_us,
    char *error, size_t error_size)
{
	struct rate rates[RATE_LIST_MAX];
	char why[256];
	size_t count = 0;

	if (!rate_list_parse(slice_str(text), rates, RATE_LIST_MAX, &count, why,
		sizeof(why))) {
		(void)snprintf(error, error_size, "bad parameter: %s = %s: %s",
		    parameters[unit], text, why);
		return false;
	}
	for (size_t i = 0; i < count; i++) {
		struct pacer_limit *l = &p->limits[p->count++];

		l->unit = unit;
		l->rate = rates[i];
		limiter_init(&l->limiter, &rates[i], now_us);
	}
	return true;
}

bool
pacer_init(struct pacer *p, const struct settings *set, int64_t now_us,
    char *error, size_t error_size)
{
	p->count = 0;
	p->due_us = 0;
	return add(p, PACER_MESSAGES, set->lane_message_rate_limit, now_us,
		   error, error_size) &&
	       add(p, PACER_RECIPIENTS, set->lane_recipient_rate_limit, now_us,
		   error, error_size) &&
	       add(p, PACER_OCTETS, set->lane_byte_rate_limit, now_us, error,
		   error_size);
}

static int64_t
longest_wait_us(const struct pacer *p, const struct pacer_cost *cost,
    int64_t now_us, const struct pacer_limit **why_out)
{
	int64_t longest = 0;

	for (size_t i = 0; i < p->count; i++) {
		const struct pacer_limit *l = &p->limits[i];
		int64_t wait =
		    limiter_wait_us(&l->limiter, cost->units[l->unit], now_us);

		if (wait <= longest)
			continue;
		longest = wait;
		if (why_out != NULL)
			*why_out = l;
	}
	return longest;
}

int64_t
pacer_wait_us(struct pacer *p, const struct pacer_cost *cost, int64_t now_us,
    const struct pacer_limit **why_out)
{
	int64_t wait = longest_wait_us(p, cost, now_us, why_out);

	if (wait > 0)
		p->due_us = wait == RATE_NEVER ? 0 : now_us + wait;
	return wait;
}

/* A multiple of a cost that is above the burst would be let through as one
 * oversized message; several messages would not. */
static bool
are_ready(const struct pacer *p, const struct pacer_cost *cost, size_t n,
    int64_t now_us)
{
	for (size_t i = 0; i < p->count; i++) {
		const struct pacer_limit *l = &p->limits[i];
		uint64_t all = cost->units[l->unit] * n;

		if (n > 1 && !l->rate.is_quota && all > (uint64_t)l->rate.burst)
			return false;
		if (limiter_wait_us(&l->limiter, all, now_us) > 0)
			return false;
	}
	return true;
}

size_t
pacer_ready(const struct pacer *p, const struct pacer_cost *cost, size_t max,
    int64_t now_us)
{
	size_t low = 0, high = max;

	if (p->count == 0)
		return max;
	while (low < high) {
		size_t middle = low + (high - low + 1) / 2;

		if (are_ready(p, cost, middle, now_us))
			low = middle;
		else
			high = middle - 1;
	}
	return low;
}

/* Timers are late by a moment, every time. A bucket of one would lose that
 * much with every message, so what was told to come at due_us counts as of
 * then: the rate is exact in the long run. */
static int64_t
time_of_take(
    const struct pacer *p, const struct pacer_cost *cost, int64_t now_us)
{
	if (p->due_us > 0 && p->due_us <= now_us &&
	    now_us - p->due_us <= LATENESS_MAX_US &&
	    longest_wait_us(p, cost, p->due_us, NULL) == 0)
		return p->due_us;
	return now_us;
}

void
pacer_take(struct pacer *p, const struct pacer_cost *cost, int64_t now_us)
{
	int64_t at_us = time_of_take(p, cost, now_us);

	p->due_us = 0;
	for (size_t i = 0; i < p->count; i++) {
		struct pacer_limit *l = &p->limits[i];

		CHECK(limiter_take(&l->limiter, cost->units[l->unit], at_us));
	}
}

int64_t
pacer_expected(const struct pacer *p, const struct pacer_cost *cost,
    int64_t span_us, int64_t max)
{
	double least = (double)max;

	for (size_t i = 0; i < p->count; i++) {
		const struct pacer_limit *l = &p->limits[i];
		double units = (double)cost->units[l->unit];
		double n;

		if (l->rate.is_quota || units < 1)
			continue;
		n = (double)l->rate.count_milli / 1000 * (double)span_us /
		    (double)l->rate.period_us / units;
		if (n < least)
			least = n;
	}
	return (int64_t)least;
}

static int64_t
units_per_s(const struct pacer_limit *l, int64_t now_us)
{
	int64_t left;

	if (!l->rate.is_quota)
		return (int64_t)((double)l->rate.count_milli * 1000.0 /
				 (double)l->rate.period_us);
	/* A quota says how many, not how fast. */
	left = l->limiter.quota.limit - quota_used(&l->limiter.quota, now_us);
	return left > 0 ? left : 0;
}

int64_t
pacer_messages_per_s(const struct pacer *p, int64_t now_us)
{
	int64_t least = INT64_MAX;

	for (size_t i = 0; i < p->count; i++) {
		int64_t per_s;

		if (p->limits[i].unit == PACER_OCTETS)
			continue;
		per_s = units_per_s(&p->limits[i], now_us);
		if (per_s < least)
			least = per_s;
	}
	return least;
}

const char *
pacer_parameter(const struct pacer_limit *limit)
{
	return parameters[limit->unit];
}
