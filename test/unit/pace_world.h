/* pace_world: adapt, pacer and rules against a model provider, in fake time.
 *
 *   backlog --pacer, adapt--> session --rtt/2--> provider --rtt/2--> rules
 *
 * Coarser than lane_world and a hundred times as fast: a message is one event
 * there and one back, so that a day of some million messages takes seconds.
 * Up to PACE_LANES lanes share the provider's account; lane 0 is the most
 * urgent. What the provider's replies mean is looked up in the shipped rules.
 */
#ifndef PACE_WORLD_H
#define PACE_WORLD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "agent/adapt.h"
#include "agent/pacer.h"
#include "agent/rules.h"

enum { PACE_LANES = 2, PACE_CONNS = 64 };

/* What the provider enforces; 0: nothing. */
struct pace_provider {
	double rate_per_s, burst; /* a bucket; 454 beyond */
	int window_count; /* messages per fixed window; 454 beyond, */
	int64_t window_us;
	bool window_says_when; /* or 550 "... try again in N seconds" */
	int day_quota; /* messages of a day; 452 beyond */
	int closes_after; /* messages of a session; 421 beyond */
	int connections; /* at once; 421 beyond */
	int64_t rtt_us;

	/* its own state */
	double tokens;
	int64_t filled_us, window_from_us, day_from_us;
	int in_window, in_day, live;
};

enum pace_conn_state { PACE_FREE, PACE_DIALING, PACE_OPEN, PACE_CLOSED };

struct pace_conn {
	enum pace_conn_state state;
	bool is_cut; /* by the provider: what is on its way comes back */
	bool is_counted; /* by the provider */
	int load, sent, taken;
};

struct pace_lane {
	/* set these before pace_begin() */
	bool is_used;
	double arrivals_per_s; /* INFINITY: a backlog without end */
	size_t messages; /* that arrive; 0: without end */
	int sessions_max, depth, messages_per_connection;
	const char *rate_limit; /* lane_message_rate_limit, "none" */
	int64_t hold_us; /* lane_hold_limit */

	struct adapt adapt;
	struct pacer pacer;
	struct pace_conn conns[PACE_CONNS];
	int dialing, quota;
	int64_t dial_not_before_us, kick_us;
	double arrived_upto; /* messages */
	int64_t *waiting_us; /* ring: when each came */
	size_t waiting, waiting_from, waiting_room;

	uint64_t sent, accepted, refused, reconnects, dials_refused, held_long;
	uint64_t in_second_accepted, in_second_refused;
	int64_t *waited_us; /* of each accepted message, up to 100,000 */
	size_t waited_count;
};

struct pace_event;

struct pace_world {
	struct pace_provider provider;
	struct pace_lane lanes[PACE_LANES];
	struct rules *rules;
	int64_t now_us;
	struct pace_event *heap;
	size_t heap_count, heap_room;
	uint64_t order;
	/* After every virtual second; may be NULL. */
	void (*on_second)(void *ctx, struct pace_world *w, int64_t second);
	void *ctx;
};

/* Provider without limits, RTT 50 ms; lane 0 in use with an endless backlog, 20
 * sessions of depth 1, no rate set. */
void pace_init(struct pace_world *w);
void pace_fini(struct pace_world *w);

/* A rules file; false: it cannot be read, or is wrong. */
bool pace_read_rules(struct pace_world *w, const char *path);

void pace_begin(struct pace_world *w);

/* Lives on until that many seconds after the beginning, or until every message
 * of every lane was accepted; returns the time in microseconds. */
int64_t pace_run(struct pace_world *w, int64_t until_s);

/* The time below which a share of the accepted messages waited, from arrival
 * to the reply. */
int64_t pace_quantile_us(struct pace_lane *lane, double share);

int pace_sessions(const struct pace_lane *lane);

#endif
