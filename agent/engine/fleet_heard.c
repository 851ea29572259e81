#include "agent/engine/fleet_heard.h"

#include <string.h>

static const int64_t longest_us[FLEET_KINDS] = {
    [FLEET_PAUSE] = FLEET_HEARD_PAUSE_US,
    [FLEET_FEWER] = FLEET_HEARD_FEWER_US,
    [FLEET_BLOCKED] = FLEET_HEARD_BLOCKED_US,
};

static const int64_t rest_us[FLEET_KINDS] = {
    [FLEET_PAUSE] = FLEET_HEARD_REST_US,
    [FLEET_FEWER] = FLEET_HEARD_REST_US,
    [FLEET_BLOCKED] = FLEET_HEARD_DOUBT_US,
};

bool
fleet_heard_holds(const struct fleet_heard *h, int64_t now_us)
{
	return h->since_us != 0 && now_us < h->until_us;
}

static bool
is_same_end(int64_t a_us, int64_t b_us)
{
	return a_us - b_us <= FLEET_HEARD_SAME_US &&
	       b_us - a_us <= FLEET_HEARD_SAME_US;
}

/* When it may be obeyed anew. */
static int64_t
rested_us(const struct fleet_heard *h, enum fleet_lesson_kind kind)
{
	return h->until_us +
	       fleet_most(rest_us[kind], h->until_us - h->since_us);
}

static void
take_one(struct fleet_heard *h, const struct fleet_lesson *said,
    enum fleet_lesson_kind kind, int64_t in_use, int64_t now_us)
{
	int64_t most = longest_us[kind];
	bool holds = fleet_heard_holds(h, now_us);
	bool is_same = holds && strcmp(h->host, said->host) == 0;
	int64_t end_us = now_us + fleet_least(said->left_us, most);

	if (said->left_us <= 0) {
		if (holds)
			h->until_us = now_us;
		return;
	}
	if (h->since_us == 0 || now_us >= rested_us(h, kind))
		h->since_us = now_us;
	end_us = fleet_least(end_us, h->since_us + most);
	if (end_us <= now_us)
		return;
	/* Not of each that tells: each time it would be fewer. */
	if (!holds)
		h->mine = in_use;
	if (!is_same || !is_same_end(end_us, h->until_us))
		h->until_us = end_us;
	h->value = said->value;
	memcpy(h->host, said->host, sizeof(h->host));
}

void
fleet_heard_take(struct fleet_heard heard[FLEET_KINDS],
    const struct fleet_answer *answer, int64_t in_use, int64_t now_us)
{
	for (int k = 0; k < FLEET_KINDS; k++)
		take_one(&heard[k], &answer->lessons[k],
		    (enum fleet_lesson_kind)k, in_use, now_us);
}

bool
fleet_heard_is_news(const struct fleet_heard *h,
    const struct fleet_heard *before, enum fleet_lesson_kind kind,
    int64_t now_us)
{
	if (h->since_us != before->since_us ||
	    fleet_heard_holds(h, now_us) != fleet_heard_holds(before, now_us))
		return true;
	return kind != FLEET_BLOCKED &&
	       (h->until_us != before->until_us || h->value != before->value ||
		   h->mine != before->mine);
}

int64_t
fleet_heard_connections(
    const struct fleet_heard *h, int64_t share, int64_t limit, int64_t now_us)
{
	int64_t left;

	if (!fleet_heard_holds(h, now_us) || share <= 1)
		return share;
	left = fleet_least(h->value, limit) + fleet_least(h->mine, limit) -
	       (limit - share);
	return fleet_least(share, fleet_most(left, fleet_most(1, h->mine)));
}
