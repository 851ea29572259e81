#include "agent/engine/lane_no.h"

#include <stddef.h>

#include "common/base/log.h"

static const char *const words[LANE_NO_REASONS] = {
    [LANE_NO_LOOK] = "not looked at yet",
    [LANE_NO_RATE] = "rate limit",
    [LANE_NO_PACE] = "the smarthost asked to slow down",
    [LANE_NO_WINDOW] = "as many under way as the smarthost is known to take",
    [LANE_NO_CONNECTION] = "waiting for a connection",
    [LANE_NO_CONNECTION_LIMIT] = "lane_connection_limit reached",
    [LANE_NO_CONNECTION_RATE] = "lane_connection_rate_limit reached",
    [LANE_NO_REST] = "told not to connect for a while",
    [LANE_NO_ALARM] = "finding out whether the alarm is over",
    [LANE_NO_BACKOFF] = "waiting after a failed connection",
    [LANE_NO_ACCOUNT] = "looking up credentials",
    [LANE_NO_SLOT] = "no slot",
    [LANE_NO_DRAINING] = "draining",
    [LANE_NO_OPERATOR] = "paused by the operator",
};

void
lane_no_set(
    struct lane_no *no, enum lane_no_reason reason, int64_t not_before_us)
{
	CHECK((size_t)reason < LANE_NO_REASONS);
	no->reason = reason;
	no->detail = NULL;
	no->is_full = false;
	no->not_before_us = not_before_us;
}

const char *
lane_no_words(const struct lane_no *no)
{
	CHECK((size_t)no->reason < LANE_NO_REASONS);
	return no->detail != NULL ? no->detail : words[no->reason];
}
