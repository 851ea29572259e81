/* sim_provider: a model provider: an SMTP server that has limits.
 *
 *   octets --hear()--> commands --limits--> replies in caller.out
 *
 * It speaks what follows a login: MAIL, RCPT, DATA or BDAT, RSET, QUIT, in
 * octets, pipelined or not; and it knows nothing of who calls. What comes is
 * counted by the meters at the end of each message's data, taken or not. No
 * sockets, no clock, nothing is kept of a message: it may live for long.
 */
#ifndef SIM_PROVIDER_H
#define SIM_PROVIDER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/base/buf.h"
#include "common/base/slice.h"
#include "tools/lane-sim/sim_meter.h"

enum { SIM_METERS = 4 };

enum sim_unit { SIM_MESSAGES, SIM_RECIPIENTS, SIM_OCTETS };

/* What it enforces; 0: nothing. */
struct sim_limits {
	double rate_per_s, burst; /* a bucket of messages */
	const char *rate_reply;
	int window_count; /* messages per fixed window */
	int64_t window_us;
	const char *window_reply; /* %lld: seconds until the next one */
	int day_quota; /* messages of a day */
	const char *day_reply;
	bool is_told_at_mail; /* all this in reply to MAIL, not to the data */
	int closes_after; /* messages of a session; 421 beyond */
	bool closes_silently; /* ... or without a word */
	int connections; /* at once; 421 beyond */
};

struct sim_provider {
	struct sim_limits limits;
	struct sim_meter meters[SIM_METERS];
	enum sim_unit units[SIM_METERS];
	size_t meter_count;

	uint64_t accepted, refused; /* messages */
	uint64_t turned_away; /* connections */
	uint64_t malformed; /* commands: a fault of the one that calls */
	int live, live_most;

	double tokens;
	int64_t filled_us, window_from_us, day_from_us;
	int in_window, in_day;
};

/* A connection, as the provider sees it. */
struct sim_caller {
	struct sim_provider *provider;
	struct buf in, out;
	bool is_closed; /* what is in out is its last word */
	bool is_counted;
	bool has_mail, in_data, is_last_chunk;
	size_t octets_due; /* of a chunk */
	uint64_t octets; /* of the message in hand */
	int rcpts;
	int taken;
	uint64_t accepted, refused;
	uint64_t contents; /* whose end was heard */
};

/* Limits are set; its time begins. */
void sim_provider_begin(struct sim_provider *p, int64_t now_us);
void sim_provider_fini(struct sim_provider *p);

/* Counts units against a rate as in common/limits/rate.h. */
void sim_provider_add_meter(
    struct sim_provider *p, enum sim_unit unit, const char *rate);

/* A connection arrives: NULL, or the line with which it is turned away. */
const char *sim_provider_greet(struct sim_caller *c, struct sim_provider *p);

/* True: the last octet of a message's content was among what was heard, and
 * there may be more to hear: call again, with none. */
bool sim_provider_hear(
    struct sim_caller *c, struct slice octets, int64_t now_us);

/* The caller is gone; frees what c holds. */
void sim_provider_leave(struct sim_caller *c);

#endif
