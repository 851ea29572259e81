/* fleet_heard: what other hosts of a fleet have learned of the provider, as far
 * as this host obeys it.
 *
 *   answers --take--> heard[kind] --> nothing is sent, fewer connections, ...
 *
 * The engine is a peer, and so are the hosts behind it: a lesson makes this
 * host slower alone, and not for ever. Each kind is obeyed for its longest time
 * at most, reckoned from when it was heard first, however often it ends and is
 * told again in between; then this host finds out for itself, for as long, and
 * for a minute at least (an hour, of refusals): nothing of the kind is obeyed.
 * So it is for half of the time at most, whatever is told. A lesson that
 * another host does not tell any more is over, as is one whose time is, engine
 * or not: whoever obeys asks each time, and remembers nothing.
 *
 * Plain values without pointers, of one file with the leases; zeroed: nothing
 * was heard. Times are the host's monotonic microseconds.
 */
#ifndef FLEET_HEARD_H
#define FLEET_HEARD_H

#include <stdbool.h>
#include <stdint.h>

#include "common/shared/fleet.h"

/* As long as a lesson of its own may last, but for a pause: a provider that
 * asks for more tells this host, too. */
#define FLEET_HEARD_PAUSE_US (INT64_C(3600) * 1000000)
#define FLEET_HEARD_FEWER_US (INT64_C(3600) * 1000000)
#define FLEET_HEARD_BLOCKED_US (INT64_C(86400) * 1000000)
#define FLEET_HEARD_REST_US (INT64_C(60) * 1000000)
/* A doubt is an alarm and a dial: none more in so long. */
#define FLEET_HEARD_DOUBT_US (INT64_C(3600) * 1000000)
/* So far apart are two tellings of the same end. */
#define FLEET_HEARD_SAME_US (INT64_C(2) * 1000000)

struct fleet_heard {
	int64_t since_us; /* heard first; 0: never */
	int64_t until_us; /* it is over, or was */
	int64_t value;
	int64_t mine; /* connections that this host had when it was heard */
	char host[FLEET_NAME_SIZE]; /* whose it is */
};

/* Of an answer with FLEET_OK. in_use: connections of this host. */
void fleet_heard_take(struct fleet_heard heard[FLEET_KINDS],
    const struct fleet_answer *answer, int64_t in_use, int64_t now_us);

/* It is obeyed now. */
bool fleet_heard_holds(const struct fleet_heard *h, int64_t now_us);

/* What is to be done by it is another thing than before. Two hosts that tell
 * the same in turns are none, nor is a refusal that goes on. */
bool fleet_heard_is_news(const struct fleet_heard *h,
    const struct fleet_heard *before, enum fleet_lesson_kind kind,
    int64_t now_us);

/* Of a share of limit connections so many may be used, with what was heard of
 * FLEET_FEWER: all hosts together have about as many as that one and this one
 * had then; the others may use what is not this one's share, and what is left
 * is this one's. What it had it keeps, and one is always tried. */
int64_t fleet_heard_connections(
    const struct fleet_heard *h, int64_t share, int64_t limit, int64_t now_us);

#endif
