/* sim_world: lanes of one account and a model provider, in fake time.
 *
 *   mail --> lane --octets, rtt/2--> provider --replies, rtt/2--> lane
 *               \---- account: connections and rates ----/
 *
 * The engine is the agent's: lane, sessions, routes, pacer, what replies mean
 * by providers/. It is kicked, timed and drained of output in the order in
 * which agent and link do that. What lies around it is modelled: the queue
 * manager (sim_mail), the account's files (sim_account), dials and the way
 * there (here), the provider (sim_provider). Nothing is kept of a message, so
 * that a world of days needs no more memory than one of seconds.
 */
#ifndef SIM_WORLD_H
#define SIM_WORLD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "agent/engine/lane.h"
#include "agent/settings/provider_set.h"
#include "common/base/list.h"
#include "tools/lane-sim/sim_account.h"
#include "tools/lane-sim/sim_events.h"
#include "tools/lane-sim/sim_mail.h"
#include "tools/lane-sim/sim_provider.h"

struct sim_world;

struct sim_lane {
	/* set before sim_begin() */
	struct settings set; /* texts are borrowed */
	struct sim_mail mail;

	struct sim_world *world;
	int me;
	struct lane *lane;
	struct route *route; /* NULL: none was dialled for */
	struct controller_stored learned; /* before the route was forgotten */
	struct provider_set rules;
	struct list conns; /* of the lane; those it has given up are not */
	bool is_kick_due;
	int64_t timer_ms;
	uint64_t refused; /* messages, by the provider */
	uint64_t dials, dials_refused, kicks, ended[SESSION_END_ABORT + 1];
	int wants;
	size_t sessions_most; /* at once, with those being dialled */
};

struct sim_world {
	/* set before sim_begin() */
	struct sim_provider provider;
	struct sim_lane lanes[SIM_LANES]; /* the most urgent first */
	int lane_count;
	struct ehlo ehlo; /* what the provider offers */
	int64_t rtt_ms, dial_rtts;
	int64_t jitter_ms; /* more, at most, at random: each way */
	int64_t reply_us; /* time for a message, of one connection one after the
			     other */
	/* After every virtual second; may be NULL. */
	void (*on_second)(void *ctx, struct sim_world *w, int64_t second);
	void *ctx;

	struct sim_account account;
	struct peer peer;
	struct sim_events events;
	struct list dirty; /* connections with output */
	struct moment now;
	int64_t begin_ms;
	uint64_t random;
};

/* A provider without limits that offers BDAT, 50 ms away, a dial taking 7 round
 * trips; one lane, with the defaults of class=fast and an endless backlog. */
void sim_init(struct sim_world *w);
void sim_fini(struct sim_world *w);

/* Everything is set. Text of a parameter that is wrong ends the program. */
void sim_begin(struct sim_world *w);

/* Lives on until so many seconds after the beginning, or until every lane with
 * a number of messages is done, where all have one; returns the time in
 * seconds. */
double sim_run(struct sim_world *w, int64_t until_s);

/* What the lane found out of its account's pace; zeroed: nothing. */
struct controller_stored sim_learned(const struct sim_lane *l);

#endif
