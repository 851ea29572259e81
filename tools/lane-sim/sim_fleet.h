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
 * may hold, or have in use, more than the limit; nor do they send more in any
 * span than a rate gives, its burst, and one message each. Hosts learn this and
 * that of the provider, and forget it: what a host obeys of others one of them
 * has told, and where nothing goes wrong all obey it two seconds later.
 *
 * Times are microseconds. The same plan gives the same run.
 */
#ifndef SIM_FLEET_H
#define SIM_FLEET_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "agent/engine/fleet_engine.h"
#include "common/shared/fleet.h"

/* How it stands at the end of a second. */
struct sim_fleet_second {
	int64_t second;
	int64_t possible; /* could be used at best */
	int64_t allowed, used; /* by all hosts */
	int64_t alone; /* hosts without a lease */
};

struct sim_fleet_ops {
	void (*on_second)(void *ctx, const struct sim_fleet_second *now);
	/* For whoever answers, too. */
	/* The engine is another now, or the same with another memory. */
	void (*remember)(void *ctx, const struct fleet_engine *engine);
	void (*renew)(void *ctx, const struct fleet_terms *terms,
	    const char *run, const struct fleet_question *question,
	    int64_t now_us, const struct fleet_answer *answer);
};

/* What is to happen, in the order of time, beside what does at random. */
enum sim_fleet_deed {
	SIM_FLEET_WANT, /* so many hosts want all, the others nothing */
	SIM_FLEET_CUT, /* so many are cut off, */
	SIM_FLEET_DEAD, /* or gone, for so long; they have a memory */
	SIM_FLEET_FORGET, /* the engine is told that so many are gone */
	SIM_FLEET_AWAY, /* the engine is, for so long */
	SIM_FLEET_EMPTY, /* it is started anew and knows nothing */
	SIM_FLEET_CLOCK, /* its clock is set, by so much */
};

struct sim_fleet_turn {
	int64_t at_us;
	enum sim_fleet_deed deed;
	int hosts;
	int64_t for_us;
};

struct sim_fleet_plan {
	uint64_t seed;
	/* What is 0 is chosen at random: 2 to hosts_most hosts. */
	int hosts, hosts_most;
	int64_t limit;
	int64_t span_us;
	bool has_faults;
	int64_t ttl_us; /* 0: ten seconds */
	const struct sim_fleet_turn *turns;
	size_t turn_count;
	const struct sim_fleet_ops *ops; /* may be NULL, as each of them */
	void *ctx;
};

struct sim_fleet_result {
	struct fleet_terms terms;
	int64_t ticks, over; /* ... at which the limit was exceeded, */
	int64_t worst; /* by so much at most; below 0: never */
	int64_t first_over_us; /* the first of them; -1: there is none */
	int64_t questions;
	/* Lessons obeyed that nobody told, or no more; told, and not obeyed. */
	int64_t untold, unheard;
	int64_t heard; /* looks at which one was obeyed */
	/* Sums over the ticks: what could be used at best, and what was. */
	double possible, used;
};

void sim_fleet_run(
    const struct sim_fleet_plan *plan, struct sim_fleet_result *out);

#endif
