/* advice: settings that would suit what a probe found (agent/probe.h).
 *
 * Pure. Depth: a window of messages is answered once a round trip, so a depth
 * of the round trip in hundredths of a second is what lets a session carry 100
 * messages a second; a message rate that is set needs no more than its share.
 * Windows: 2 x sessions x depth (main.cf.example); a server without PIPELINING
 * gets one message at a time, whatever the depth.
 */
#ifndef ADVICE_H
#define ADVICE_H

#include <stdint.h>

#include "monitor/site.h"

struct json_t;

enum {
	ADVICE_PER_S = 100, /* messages of a session */
	ADVICE_DEPTH_MAX = 100,
};

/* Messages that are under way on a session at most. */
int advice_depth(const struct site_lane *lane, const struct json_t *report);

/* What the queue manager must hand out for the lane never to run dry. */
int advice_window(const struct site_lane *lane, int depth);

/* [{"name": "lane_pipeline_depth", "value": "20", "now": "10", "why": "..."}],
 * what is as advised left out; now "": not known. The caller's. */
struct json_t *advice_of(
    const struct site_lane *lane, const struct json_t *report);

/* What port 465 would save of each new connection, in round trips: 0 where TLS
 * comes first already or not at all. In microseconds of this dial: *us_out. */
int advice_wrapped_saves(const struct json_t *report, int64_t *us_out);

#endif
