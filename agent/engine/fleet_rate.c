#include "agent/engine/fleet_rate.h"

int64_t
fleet_rate_limit(const struct rate *whole, int64_t size)
{
	return whole->is_quota ? whole->count_milli / 1000
			       : whole->count_milli - size;
}

/* A burst may be of a terabyte, and a share of a thousandth of that. */
static int64_t
burst_of(const struct rate *whole, int64_t share)
{
	__extension__ typedef __int128 wide;
	int64_t n = (int64_t)((wide)whole->burst * share / whole->count_milli);

	return n > 1 ? n : 1;
}

void
fleet_rate_part(const struct rate *whole, int64_t share, struct rate *out)
{
	*out = *whole;
	if (whole->is_quota) {
		out->count_milli = share * 1000;
		return;
	}
	out->count_milli = share + 1;
	out->burst = burst_of(whole, share);
}

void
fleet_rate_apply(struct limiter *l, const struct rate *part, int64_t now_us)
{
	int64_t had = l->kind == LIMITER_BUCKET ? l->bucket.burst : 0;

	limiter_set_rate(l, part, now_us);
	if (l->kind == LIMITER_BUCKET && l->bucket.burst > had)
		bucket_charge(
		    &l->bucket, (uint64_t)(l->bucket.burst - had), now_us);
}
