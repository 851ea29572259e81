#include "agent/state/host_part.h"

#include "agent/engine/fleet_rate.h"
#include "common/base/clock.h"
#include "common/base/log.h"

void
host_part_init(struct host_part *part, const struct settings *set,
    enum pacer_scope scope, struct fleet_account *fleet)
{
	char error[256];

	*part = (struct host_part){.set = set, .scope = scope, .fleet = fleet};
	/* config has checked these before. */
	if (!pacer_rates(
		set, scope, part->rates, &part->count, error, sizeof(error))) {
		log_error("%s", error);
		part->count = 0;
	}
}

void
host_part_fini(struct host_part *part)
{
	fleet_account_close(&part->fleet);
}

static bool
is_alike(const struct limitset_rate *a, const struct limitset_rate *b)
{
	return a->unit == b->unit && a->rate.is_quota == b->rate.is_quota &&
	       a->rate.period_us == b->rate.period_us;
}

/* Of the fleet's limits, that of rates[i]; -1: it is none of them, as one of
 * two in the same period. */
static int
shared(const struct host_part *part, size_t i)
{
	const struct limitset_rate *r = &part->rates[i];

	for (size_t k = 0; k < part->count; k++)
		if (k != i && is_alike(r, &part->rates[k]))
			return -1;
	return fleet_account_find(part->fleet,
	    part->scope == PACER_CONNECTIONS
		? FLEET_DIALS
		: (enum fleet_kind)((int)FLEET_MESSAGES + r->unit),
	    &r->rate);
}

static struct limitset_rate
rate_now(const struct host_part *part, size_t i, int64_t now_us)
{
	struct limitset_rate now = part->rates[i];
	int64_t size = part->set->lane_fleet_size, share;
	int k;

	if (part->fleet == NULL)
		return now;
	k = shared(part, i);
	share = k >= 0 ? fleet_account_share(part->fleet, (size_t)k, now_us)
		       : fleet_rate_limit(&now.rate, size) / size;
	fleet_rate_part(&part->rates[i].rate, share > 0 ? share : 0, &now.rate);
	return now;
}

void
host_part_rates(
    const struct host_part *part, struct limitset_rate out[LIMITSET_MAX])
{
	int64_t now_us = clock_mono_us();

	for (size_t i = 0; i < part->count; i++)
		out[i] = rate_now(part, i, now_us);
}

/* The limit in force that is not as our share of rates[i] is now; NULL: as it
 * should be, or none of the fleet's. */
static struct limitset_limit *
find_outdated(const struct host_part *part, struct limitset *set, int64_t bit,
    size_t i, int64_t now_us, struct limitset_rate *now_out)
{
	struct limitset_limit *l;

	if (shared(part, i) < 0)
		return NULL;
	*now_out = rate_now(part, i, now_us);
	l = limitset_find(set->limits, LIMITSET_MAX, now_out, bit);
	return l == NULL || limiter_matches(&l->limiter, &now_out->rate) ? NULL
									 : l;
}

bool
host_part_apply(const struct host_part *part, struct limitset *set, int64_t bit)
{
	int64_t now_us = clock_mono_us();
	bool has_changed = false;

	for (size_t i = 0; part->fleet != NULL && i < part->count; i++) {
		struct limitset_rate now;
		struct limitset_limit *l =
		    find_outdated(part, set, bit, i, now_us, &now);

		if (l == NULL)
			continue;
		fleet_rate_apply(&l->limiter, &now.rate, now_us);
		has_changed = true;
	}
	return has_changed;
}

bool
host_part_is_applied(
    const struct host_part *part, struct limitset *set, int64_t bit)
{
	int64_t now_us;

	if (part->fleet == NULL)
		return true;
	now_us = clock_mono_us();
	for (size_t i = 0; i < part->count; i++) {
		struct limitset_rate now;

		if (find_outdated(part, set, bit, i, now_us, &now) != NULL)
			return false;
	}
	return true;
}

void
host_part_short(const struct host_part *part,
    const struct limitset_limit *limit, int64_t now_us)
{
	for (size_t i = 0; part->fleet != NULL && i < part->count; i++) {
		const struct limitset_rate *r = &part->rates[i];
		int k = shared(part, i);

		if (k >= 0 && r->unit == limit->unit &&
		    (limit->limiter.kind == LIMITER_QUOTA) == r->rate.is_quota)
			fleet_account_short(part->fleet, (size_t)k, now_us);
	}
}

void
host_part_taken(const struct host_part *part, const struct limitset_cost *cost,
    int64_t now_us)
{
	for (size_t i = 0; part->fleet != NULL && i < part->count; i++) {
		uint64_t n = cost->units[part->rates[i].unit];
		int k = shared(part, i);

		if (k >= 0)
			fleet_account_take(part->fleet, (size_t)k,
			    n < RATE_COUNT_MAX ? (int64_t)n : RATE_COUNT_MAX,
			    now_us);
	}
}

int64_t
host_part_wait_us(const struct host_part *part, int64_t wait_us)
{
	return part->fleet != NULL && wait_us > FLEET_ANSWER_US
		   ? FLEET_ANSWER_US
		   : wait_us;
}
