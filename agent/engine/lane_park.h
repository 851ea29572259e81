/* lane_park: queues of limited domains, for lane_park.c, which keeps them, and
 * lane_expiry.c, which decides who need not wait in them. */
#ifndef LANE_PARK_H
#define LANE_PARK_H

#include "agent/engine/lane_state.h"

/* Those of one limited domain that wait for one route. */
struct parking {
	struct list link; /* route.parkings */
	struct list of_domain; /* domain_queues() */
	struct route *route;
	struct domain *domain; /* held */
	struct list waiting; /* transactions */
	size_t count;
	size_t parked; /* of them, without a token at the last look */
	size_t mixed; /* of count, whose window is for other domains too */
	int64_t not_before_us; /* the first may not go earlier; 0: unknown */
};

static inline struct parking *
parking_of(struct list *link)
{
	return list_entry(link, struct parking, link);
}

static inline struct transaction *
parking_first(const struct parking *p)
{
	return list_is_empty(&p->waiting)
		   ? NULL
		   : list_entry(p->waiting.next, struct transaction, link);
}

/* So many of p have no token. */
void parking_set_parked(struct lane *lane, struct parking *p, size_t n);

/* Until the first of p, which is not empty, may go; RATE_NEVER. */
int64_t parking_wait_us(struct parking *p, int64_t now_us);

/* t has a place in a window that is for other domains, too. */
bool parking_is_mixed(const struct transaction *t);

#endif
