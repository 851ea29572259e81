#include <string.h>

#include "agent/state/fleet_state.h"
#include "common/base/clock.h"
#include "common/base/log.h"

/* Told each second while a lane is stopped: it lasts a little longer than a
 * host needs to be restarted. */
#define BLOCKED_US (60 * US_PER_S)

/* Of some lane of this host. */
static int64_t
blocked_by(const struct fleet_account *a, int64_t now_us)
{
	bool in_use[PERSIST_MEMBERS];

	persist_members(a->file, in_use);
	for (int m = 0; m < FLEET_LANES; m++)
		if (a->known.lanes[m].blocked > 0 &&
		    fleet_lane_counts(a, in_use, m, now_us))
			return a->known.lanes[m].blocked;
	return 0;
}

void
fleet_lessons_ask(
    struct fleet_account *a, struct fleet_question *q, int64_t now_us)
{
	int64_t blocked = blocked_by(a, now_us);

	if (a->ops != NULL && a->ops->learned != NULL)
		a->ops->learned(a->ctx, q->lessons, now_us);
	if (blocked > 0)
		q->lessons[FLEET_BLOCKED] = (struct fleet_lesson){
		    .left_us = BLOCKED_US, .value = blocked};
}

/* Of a release that knows more. */
static void
tell_strange(struct fleet_account *a, const struct fleet_answer *answer)
{
	for (int k = FLEET_KINDS; k < FLEET_LESSONS; k++) {
		const struct fleet_lesson *l = &answer->lessons[k];

		if (l->left_us == 0 || a->is_strange_told)
			continue;
		a->is_strange_told = true;
		log_warn("fleet %s: account %s: %s learned something of the "
			 "provider that this release does not know (%d): it is "
			 "not obeyed here",
		    a->store->set->lane_fleet, a->label, l->host, k + 1);
	}
}

static void
tell_news(const struct fleet_account *a,
    const struct fleet_heard before[FLEET_KINDS], int64_t now_us)
{
	const struct fleet_heard *h = &a->known.heard[FLEET_FEWER];

	if (fleet_heard_holds(h, now_us) &&
	    (!fleet_heard_holds(&before[FLEET_FEWER], now_us) ||
		strcmp(h->host, before[FLEET_FEWER].host) != 0))
		log_info("account %s: the server refused %s a connection, and "
			 "it keeps to %lld; fewer here, too",
		    a->label, h->host, (long long)h->value);
}

void
fleet_lessons_answer(struct fleet_account *a, const struct fleet_answer *answer,
    int64_t in_use, int64_t now_us)
{
	struct fleet_heard before[FLEET_KINDS];

	memcpy(before, a->known.heard, sizeof(before));
	tell_strange(a, answer);
	fleet_heard_take(a->known.heard, answer, in_use, now_us);
	tell_news(a, before, now_us);
}
