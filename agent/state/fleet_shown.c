#include <assert.h>

#include "agent/state/fleet_state.h"
#include "common/base/clock.h"

static_assert((int)BOARD_FLEET_LESSONS == (int)FLEET_KINDS, "all are shown");

static uint64_t
wall_ms_of(int64_t at_us, int64_t now_us, int64_t now_wall_us)
{
	return (uint64_t)((now_wall_us + at_us - now_us) / US_PER_MS);
}

static void
show_one(struct fleet_account *a, size_t i, struct board_fleet_limit *out,
    int64_t now_us, int64_t now_wall_us)
{
	const struct fleet_row *r =
	    fleet_file_find(&a->known, a->limits[i].unit);

	board_store_text(out->unit, sizeof(out->unit), a->limits[i].unit);
	if (r == NULL)
		return;
	out->word =
	    r->word > BOARD_FLEET_FREE && r->word < BOARD_FLEET_WORD_COUNT
		? (uint64_t)r->word
		: (uint64_t)BOARD_FLEET_NONE;
	out->limit = (uint64_t)r->terms.limit;
	out->base = (uint64_t)fleet_base(&r->terms);
	out->share = (uint64_t)fleet_account_share(a, i, now_us);
	out->want = (uint64_t)r->want;
	out->target = (uint64_t)r->target;
	out->in_use = (uint64_t)r->in_use;
	if (now_us < r->share.end_us)
		out->until_wall_ms =
		    wall_ms_of(r->share.end_us, now_us, now_wall_us);
	if (r->share.answered_us != 0)
		out->answered_wall_ms =
		    wall_ms_of(r->share.answered_us, now_us, now_wall_us);
	out->known = (uint64_t)r->known;
	out->renewals = (uint64_t)r->renewals;
	out->failures = (uint64_t)r->failures;
	out->over_us = (uint64_t)r->over_us;
}

static void
show_heard(struct fleet_account *a, enum fleet_lesson_kind kind,
    struct board_fleet_lesson *out, int64_t now_us, int64_t now_wall_us)
{
	const struct fleet_heard *h = fleet_account_heard(a, kind, now_us);

	if (h == NULL)
		return;
	out->until_wall_ms = wall_ms_of(h->until_us, now_us, now_wall_us);
	out->value = (uint64_t)h->value;
	board_store_text(out->host, sizeof(out->host), h->host);
}

void
fleet_account_show(
    struct fleet_account *a, struct board_fleet *out, int64_t now_us)
{
	const struct settings *set = a->store->set;
	struct timeval wall = clock_wall();
	int64_t wall_us = (int64_t)wall.tv_sec * US_PER_S + wall.tv_usec;

	board_store_text(out->name, sizeof(out->name), set->lane_fleet_name);
	board_store_text(out->engine, sizeof(out->engine), set->lane_fleet);
	out->size = (uint64_t)set->lane_fleet_size;
	out->ttl_ms = (uint64_t)(set->lane_fleet_ttl_us / US_PER_MS);
	out->forget_ms = (uint64_t)(set->lane_fleet_forget_us / US_PER_MS);
	out->alone_ms = (uint64_t)(a->known.alone_us / US_PER_MS);
	out->epoch = (uint64_t)fleet_account_epoch(a);
	for (size_t i = 0; i < a->count; i++)
		show_one(a, i, &out->limits[i], now_us, wall_us);
	for (int k = 0; k < FLEET_KINDS; k++)
		show_heard(a, (enum fleet_lesson_kind)k, &out->heard[k], now_us,
		    wall_us);
}
