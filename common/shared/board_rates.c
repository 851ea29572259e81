#include "common/shared/board_rates.h"

static void
fill_row(struct board_rate *row, const struct limiter *l, int64_t now_us)
{
	if (l->kind == LIMITER_QUOTA) {
		row->count_milli = (uint64_t)l->quota.limit * 1000;
		row->period_us = (uint64_t)l->quota.period_us;
		row->used = (uint64_t)quota_used(&l->quota, now_us);
	} else {
		row->count_milli = (uint64_t)l->bucket.count_milli;
		row->period_us = (uint64_t)l->bucket.period_us;
		row->burst = (uint64_t)l->bucket.burst;
	}
}

size_t
board_rates_fill(const struct limitset *s, enum board_rate_unit unit,
    struct board_rate *rows, size_t max, struct moment now)
{
	int64_t wall_ms =
	    (int64_t)now.wall.tv_sec * 1000 + now.wall.tv_usec / 1000;
	int64_t now_us = now.us;
	size_t count = 0;

	for (size_t i = 0; s != NULL && i < LIMITSET_MAX && count < max; i++) {
		const struct limitset_limit *limit = &s->limits[i];
		struct board_rate *row = &rows[count];
		int64_t wait_us;

		if (limit->users == 0 || limit->limiter.kind == LIMITER_NONE)
			continue;
		*row = (struct board_rate){
		    .unit = (uint64_t)unit + (uint64_t)limit->unit};
		fill_row(row, &limit->limiter, now_us);
		wait_us = limiter_wait_us(&limit->limiter, 1, now_us);
		if (wait_us > 0)
			row->next_wall_ms =
			    (uint64_t)(wall_ms + wait_us / 1000);
		count++;
	}
	return count;
}
