/* replay: what would have been: the mail of a log, as it came, through lanes
 * with other settings, in fake time.
 *
 *   maillog --arrivals--> lane-sim's world --> waits, sessions, quotas
 *
 * The engine and the account's rates are the lane's own. The provider of the
 * world takes everything: it answers as soon as the one of the log did at best,
 * and a session's messages are as far apart as in half of the log's sessions,
 * and a dial takes as long as half of them did. So the figures say what the
 * settings do, and not what a provider with limits nobody set would have said.
 * What is deferred, for want of room or quota, comes again after
 * minimal_backoff_time's default. The world lives on until all is gone, for
 * REPLAY_MAX_S at most.
 */
#ifndef REPLAY_H
#define REPLAY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "agent/engine/settings.h"
#include "common/limits/rate.h"
#include "monitor/replay/maillog.h"

enum {
	REPLAY_LANES = 3,
	REPLAY_QUOTAS = 8,
	REPLAY_MAX_S = 14 * 86400, /* after the log's end */
};

/* The most that went in one period of a quota. */
struct replay_quota {
	char parameter[64], limit[RATE_TEXT_SIZE];
	double most, allowed;
};

/* Looked at each second. */
struct replay_backlog {
	size_t most; /* that had come and were not sent */
	int64_t most_ms; /* when that was */
	int64_t gone_ms; /* when 1 % of it was left; 0: never */
};

struct replay_lane {
	/* given; borrowed */
	const char *name;
	const struct settings *set;
	const struct maillog *log;
	/* what would have been */
	double p50_s, p95_s, most_s; /* from its coming to the reply */
	size_t sent, left,
	    deferrals; /* messages, of which some more than once */
	size_t sessions; /* most at once */
	struct replay_backlog would;
	struct replay_quota quotas[REPLAY_QUOTAS];
	size_t quota_count;
	/* what was, by the log; its sessions are in there */
	size_t was_sent;
	double was_p50_s, was_p95_s, was_most_s;
	struct replay_backlog was;
};

/* At most REPLAY_LANES, of one account. False: error of n octets. */
bool replay_play(
    struct replay_lane *lanes, size_t count, char *error, size_t n);

#endif
