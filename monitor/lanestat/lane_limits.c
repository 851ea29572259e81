#include "monitor/lanestat/lane_limits.h"

#include <string.h>

static double
least(double found, const struct model_rate *rates, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (!rates[i].is_quota &&
		    strcmp(rates[i].unit, "messages") == 0 &&
		    (found <= 0 || rates[i].per_s < found))
			found = rates[i].per_s;
	return found;
}

double
lane_limit_per_s(const struct model *m, const struct model_lane *lane)
{
	double found = least(0, lane->rates, lane->rate_count);

	if (lane->account >= 0)
		found = least(found, m->accounts[lane->account].rates,
		    m->accounts[lane->account].rate_count);
	return found;
}
