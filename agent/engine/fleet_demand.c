#include "agent/engine/fleet_demand.h"

#include <stdbool.h>
#include <string.h>

#include "common/base/clock.h"
#include "common/base/log.h"

__extension__ typedef __int128 wide;

enum {
	SHORT_US = 10 * US_PER_S,
	/* Without use for so long a host does without any connection. */
	QUIET_US = 60 * US_PER_S,
	QUOTA_AHEAD_S = 60,
	SPARE = 2, /* so many times what was used */
	/* One part of the base. A rate is given back at once, a quota is not
	 * lost. */
	LITTLE = 200,
	LITTLE_QUOTA = 50,
};

static void
go_on(struct fleet_demand *d, int64_t second)
{
	if (second - d->second >= FLEET_DEMAND_SECONDS)
		memset(d->units, 0, sizeof(d->units));
	else
		for (int64_t s = d->second + 1; s <= second; s++)
			d->units[s % FLEET_DEMAND_SECONDS] = 0;
	if (second > d->second)
		d->second = second;
}

void
fleet_demand_take(struct fleet_demand *d, int64_t units, int64_t now_us)
{
	int64_t *now;

	CHECK(units >= 0 && now_us >= 0);
	go_on(d, now_us / US_PER_S);
	now = &d->units[d->second % FLEET_DEMAND_SECONDS];
	*now = fleet_least(RATE_COUNT_MAX, *now + units);
	d->used_us = now_us;
}

void
fleet_demand_short(struct fleet_demand *d, int64_t now_us)
{
	d->short_us = d->used_us = now_us;
}

static bool
is_short(const struct fleet_demand *d, int64_t now_us)
{
	return d->short_us != 0 && now_us - d->short_us < SHORT_US;
}

/* Units in the busiest of the last seconds. */
static int64_t
most(const struct fleet_demand *d, int64_t now_us)
{
	struct fleet_demand now = *d;
	int64_t units = 0;

	go_on(&now, now_us / US_PER_S);
	for (int i = 0; i < FLEET_DEMAND_SECONDS; i++)
		units = fleet_most(units, now.units[i]);
	return units;
}

/* At least a little, at most all. */
static int64_t
bounded(const struct fleet_terms *terms, int part, wide units)
{
	int64_t little = (fleet_base(terms) + part - 1) / part;

	if (units > terms->limit)
		return terms->limit;
	return fleet_most((int64_t)units, little);
}

int64_t
fleet_demand_rate(const struct fleet_demand *d, const struct fleet_terms *terms,
    const struct rate *rate, int64_t now_us)
{
	CHECK(rate->period_us > 0 && !rate->is_quota);
	if (is_short(d, now_us))
		return terms->limit;
	return bounded(terms, LITTLE,
	    (wide)most(d, now_us) * SPARE * 1000 * rate->period_us / US_PER_S);
}

int64_t
fleet_demand_quota(const struct fleet_demand *d,
    const struct fleet_terms *terms, int64_t now_us)
{
	if (is_short(d, now_us))
		return terms->limit;
	return bounded(
	    terms, LITTLE_QUOTA, (wide)most(d, now_us) * QUOTA_AHEAD_S);
}

int64_t
fleet_demand_connections(struct fleet_demand *d,
    const struct fleet_terms *terms, int64_t held, int64_t more, int64_t now_us)
{
	CHECK(held >= 0 && more >= 0);
	if (held + more > 0)
		d->used_us = now_us;
	else if (d->used_us != 0 && now_us - d->used_us < QUIET_US)
		more = 1;
	return fleet_least(held + more, terms->limit);
}
