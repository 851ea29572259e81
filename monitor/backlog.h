/* backlog: how much of Postfix's queue is for which lane.
 *
 * The queue manager does not tell, so it is found out as it does itself: the
 * envelope of the queue file (a filter, sender, the first recipient that is
 * left) and trivial-rewrite(8). Names are counted all; of more than
 * BACKLOG_SAMPLE in a queue so many, taken evenly from it, are looked at, and
 * the shares are those of the sample: counts are then estimates. Some 20 ms
 * for full samples, and 50 ms for each 100,000 files; who looks often looks
 * here every few seconds.
 */
#ifndef BACKLOG_H
#define BACKLOG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "monitor/model.h"
#include "monitor/site.h"

enum { BACKLOG_SAMPLE = 200, BACKLOG_STRAYS = 4 };

enum backlog_queue {
	BACKLOG_INCOMING, /* for the queue manager to take */
	BACKLOG_ACTIVE, /* with it, or in the lane */
	BACKLOG_DEFERRED,
	BACKLOG_QUEUES
};

struct backlog_share {
	size_t messages[BACKLOG_QUEUES];
	int64_t oldest_wall_ms; /* of those looked at; 0: there is none */
};

/* Mail for a transport that master.cf has not: Postfix defers it. */
struct backlog_stray {
	char transport[64];
	size_t messages; /* of those looked at */
};

struct backlog {
	bool is_known;
	char why[200]; /* it is not, one sentence */
	bool is_exact; /* every file was looked at */
	size_t total[BACKLOG_QUEUES]; /* of all transports */
	struct backlog_share *lanes; /* as site->lanes */
	size_t lane_count;
	struct backlog_stray strays[BACKLOG_STRAYS];
	size_t stray_count;
};

void backlog_read(struct backlog *b, const struct site *site);
void backlog_fini(struct backlog *b);

/* What is the lane's, which is one of m; NULL: b is NULL, nothing is known, or
 * master.cf has no such lane. */
const struct backlog_share *backlog_share_of(const struct backlog *b,
    const struct model *m, const struct model_lane *lane);

/* "incoming", "active", "deferred": their directories, too. */
const char *backlog_queue_name(enum backlog_queue queue);

#endif
