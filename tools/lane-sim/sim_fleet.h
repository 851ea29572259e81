/* sim_fleet: hosts that share one limit of an account, and their engine, in
 * fake time: agent/engine/fleet_share and fleet_engine as they are.
 *
 *   hosts --questions, some late, lost, doubled--> engine
 *         <--answers, likewise--
 *
 * Hosts crash, and go on with what they had stored or without, are rebooted and
 * cut off for a while; their clocks differ and are a little slow or fast. The
 * engine is away, starts empty, is followed by one that knows what was known
 * some time ago and has another clock, or its clock is set. At no tick hosts
 * may hold, or have in use, more than the limit.
 *
 * Times are microseconds. The same plan gives the same run.
 */
#ifndef SIM_FLEET_H
#define SIM_FLEET_H

#include <stdbool.h>
#include <stdint.h>

#include "agent/engine/fleet.h"
#include "agent/engine/fleet_engine.h"

/* Whoever wants to answer, too. */
struct sim_fleet_ops {
	/* The engine is another now, or the same with another memory. */
	void (*remember)(void *ctx, const struct fleet_engine *engine);
	void (*renew)(void *ctx, const struct fleet_terms *terms,
	    const char *run, const struct fleet_question *question,
	    int64_t now_us, const struct fleet_answer *answer);
};

struct sim_fleet_plan {
	uint64_t seed;
	/* What is 0 is chosen at random: 2 to hosts_most hosts. */
	int hosts, hosts_most;
	int64_t limit;
	int64_t span_us;
	bool has_faults;
	bool is_greedy; /* every host wants all there is, all the time */
	const struct sim_fleet_ops *ops; /* may be NULL */
	void *ctx;
};

struct sim_fleet_result {
	struct fleet_terms terms;
	int64_t ticks, over; /* ... at which the limit was exceeded, */
	int64_t worst; /* by so much at most; below 0: never */
	int64_t first_over_us; /* the first of them; -1: there is none */
	int64_t questions;
	/* Sums over the ticks: what could be used at best, and what was. */
	double possible, used;
};

void sim_fleet_run(
    const struct sim_fleet_plan *plan, struct sim_fleet_result *out);

#endif
