/* lane_why: what mail in a lane waits for, in words for the operator.
 *
 * Only looks. The words are those that the log has when mail is deferred for
 * it: a parameter and its value where one is the reason.
 */
#ifndef LANE_WHY_H
#define LANE_WHY_H

#include <stddef.h>

#include "agent/engine/lane.h"
#include "common/shared/board.h"

enum { LANE_WHY_SIZE = 256 };

/* What most of the mail waits for; text (of n octets) says more. In an outage
 * it waits in Postfix's deferred queue, to be called back. */
enum board_wait lane_waits_for(
    const struct lane *lane, struct moment now, char *text, size_t n);

/* Why one part of a request is where it is. */
struct lane_why {
	enum board_wait wait; /* NOTHING: it is with a session */
	char text[LANE_WHY_SIZE];
	const char *parameter; /* that says so; "": none does */
	size_t place, of; /* among those that wait for the same, from 1 */
	/* When it is its turn, from now, if all goes on as it does; -1: that
	 * cannot be said. */
	int64_t expected_us;
	const struct route *route;
	const struct peer *peer; /* of the session that has it; or NULL */
};

/* For each part of req that is not decided yet; at most some milliseconds for
 * 100,000 that wait. */
typedef void lane_why_fn(
    void *ctx, const struct lane_why *why, const struct transaction *t);
void lane_why_each(const struct lane *lane, const struct request *req,
    struct moment now, lane_why_fn *fn, void *ctx);

#endif
