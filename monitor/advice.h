/* advice: settings that would suit what a probe found (agent/probe.h).
 *
 * Pure. Depth: what a lane would find out to need (agent/engine/bdp.h) of a
 * server that works through 1000 messages a second on each session, which is a
 * quick one; a message rate that is set needs no more than its share, and no
 * session has more than lane_messages_per_connection. lane_pipeline_depth
 * should allow that. Windows: 2 x sessions x depth (main.cf.example); a server
 * without PIPELINING gets one message at a time, whatever the depth.
 *
 * TCP: a new connection has some segments on its way, and twice as many in each
 * round trip (slow start), so the first window of a session may take several.
 */
#ifndef ADVICE_H
#define ADVICE_H

#include <stdbool.h>
#include <stdint.h>

#include "monitor/site.h"

struct json_t;

enum {
	ADVICE_PER_S = 1000, /* messages of a session */
	ADVICE_SPARE = 8, /* BDP_SPARE */
	ADVICE_RTT_US = 1000000, /* a long one */
	ADVICE_DEPTH_MAX = 1000,
	ADVICE_OCTETS = 5000, /* of a message */
	/* With which a connection may well begin: 58 kB, which is less than
	 * receivers offer at first. */
	ADVICE_SEGMENTS = 40,
};

/* Messages that it is good to have under way on a session with this round
 * trip, whatever lane_pipeline_depth allows. */
int advice_depth(const struct site_lane *lane, int64_t rtt_us);

/* What the queue manager must hand out for the lane never to run dry. */
int advice_window(const struct site_lane *lane, int depth);

/* The first window of a session. */
struct advice_tcp {
	int messages; /* of ADVICE_OCTETS */
	int64_t begins; /* octets that TCP has on their way at first */
	int trips; /* round trips that it takes so */
	int fewer; /* ... with ADVICE_SEGMENTS */
	int percent; /* more messages a second with them */
};

/* False: the report does not tell, or the window fits in one round trip, or
 * the lane's rate is what it waits for. */
bool advice_of_tcp(const struct site_lane *lane, const struct json_t *report,
    struct advice_tcp *out);

/* [{"name": "lane_pipeline_depth", "value": "20", "now": "10", "why": "..."}],
 * what is as advised left out; now "": not known. The caller's. */
struct json_t *advice_of(
    const struct site_lane *lane, const struct json_t *report);

/* What port 465 would save of each new connection, in round trips: 0 where TLS
 * comes first already or not at all. In microseconds of this dial: *us_out. */
int advice_wrapped_saves(const struct json_t *report, int64_t *us_out);

#endif
