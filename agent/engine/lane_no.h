/* lane_no: why something in a lane cannot go now, and when to look again.
 *
 * There is no bare "no" in a lane: who says no fills one of these, and its
 * words are in the log when mail is deferred for it.
 */
#ifndef LANE_NO_H
#define LANE_NO_H

#include <stdbool.h>
#include <stdint.h>

enum lane_no_reason {
	LANE_NO_LOOK, /* nobody has looked yet */
	LANE_NO_RATE, /* a rate that the administrator set */
	LANE_NO_PACE, /* the pace that was found out, or a pause */
	LANE_NO_WINDOW, /* enough is in the air, as far as is known */
	LANE_NO_CONNECTION, /* there is none yet */
	LANE_NO_CONNECTION_LIMIT,
	LANE_NO_CONNECTION_RATE,
	LANE_NO_REST, /* the server wants no dial for a while */
	LANE_NO_ALARM, /* one session finds out */
	LANE_NO_BACKOFF,
	LANE_NO_ACCOUNT, /* it is being looked up */
	LANE_NO_SLOT, /* the account has none for us: see detail */
	LANE_NO_DRAINING,
	LANE_NO_OPERATOR, /* who paused the lane */
};

enum { LANE_NO_REASONS = LANE_NO_OPERATOR + 1 };

struct lane_no {
	enum lane_no_reason reason;
	const char *detail; /* static words instead of the reason's; or NULL */
	bool is_full; /* SLOT: until one is given back */
	int64_t not_before_us; /* look again then at the latest; INT64_MAX:
				  when something happens */
};

void lane_no_set(
    struct lane_no *no, enum lane_no_reason reason, int64_t not_before_us);

/* "lane_connection_limit reached", ...: static text. */
const char *lane_no_words(const struct lane_no *no);

#endif
