/* metrics_state: what the halves of metrics share.
 *
 *   metrics.c            of the site and of each lane
 *   metrics_accounts.c   of accounts, and what a lane has of them
 *   metrics_fleet.c      of accounts that hosts share
 */
#ifndef METRICS_STATE_H
#define METRICS_STATE_H

#include <stdbool.h>
#include <string.h>

#include "monitor/lanestat/exposition.h"
#include "monitor/lanestat/metrics.h"

struct writing {
	struct exposition e;
	const struct model *m;
	const struct backlog *backlog;
	enum postfix_state postfix;
};

#define EACH_LANE(w, lane)                                                     \
	const struct model_lane *lane = (w)->m->lanes;                         \
	lane < (w)->m->lanes + (w)->m->lane_count;                             \
	lane++

/* Lanes that are gone are left out, and of two of one name the second: a
 * series must not be there twice. */
static inline bool
metrics_shows(const struct writing *w, const struct model_lane *lane)
{
	if (!model_is_asked_for(lane, NULL))
		return false;
	for (const struct model_lane *other = w->m->lanes; other < lane;
	     other++)
		if (model_is_asked_for(other, NULL) &&
		    strcmp(other->name, lane->name) == 0)
			return false;
	return true;
}

/* Figures of a lane whose board cannot be read are left out: with 0 its
 * counters would seem to begin anew, and to jump when it can be read again. */
static inline bool
metrics_knows(const struct writing *w, const struct model_lane *lane)
{
	return metrics_shows(w, lane) && !model_is_unseen(w->m, lane);
}

/* account="...", of the model's accounts[i]. */
void metrics_account_label(struct writing *w, size_t i);

void metrics_write_accounts(struct writing *w);

/* Shares of a fleet. */
void metrics_write_fleets(struct writing *w);

/* Access tokens. */
void metrics_write_tokens(struct writing *w);

/* Class and account of each lane. */
void metrics_write_lane_info(struct writing *w);

/* Of lanes and accounts. */
void metrics_write_quotas(struct writing *w);

#endif
