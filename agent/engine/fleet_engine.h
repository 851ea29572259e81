/* fleet_engine: what the engine of a fleet answers, for one limit.
 *
 * The same as share/fleet/renew.lua, which a Redis runs, line for line, so that
 * models and simulations run in fake time; test_fleet_script asks both the same
 * and wants the same answers. Rules: fleet.h. No lane has one.
 *
 *   free until then = limit - what each other host holds, or may fall back to
 *                             by its own: its base, unless it has confirmed
 *                             a lease of less that lasts so long
 *
 * A value without pointers; a copy is what a replica knows. Times are the
 * engine's own microseconds.
 */
#ifndef FLEET_ENGINE_H
#define FLEET_ENGINE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/shared/fleet.h"

struct fleet_host {
	char name[FLEET_NAME_SIZE];
	uint64_t nonce;
	int64_t epoch, number;
	int64_t has_told; /* what it holds, in this life of the engine */
	int64_t share, end; /* what it may hold, until then */
	int64_t sure; /* what is less than its base it keeps to until then */
	int64_t want, seen;
	int64_t is_gone; /* the operator says so */
	struct fleet_kept {
		int64_t until, value;
	} lessons[FLEET_LESSONS];
};

struct fleet_engine {
	char run[FLEET_LIFE_SIZE]; /* of the server's process */
	int64_t born; /* this life began; it ends when the memory is doubtful */
	int64_t last; /* question */
	int64_t learn; /* lends nothing new before */
	size_t count;
	struct fleet_host hosts[FLEET_HOSTS_MAX];
};

/* run: what names the process of the server, another after each start. */
void fleet_engine_renew(struct fleet_engine *e, const struct fleet_terms *terms,
    const char *run, const struct fleet_question *q, int64_t now_us,
    struct fleet_answer *out);

/* Nothing is kept for this host any more, until it comes back, or another one
 * takes its place where there are size of them. False: there are as many hosts
 * as can be. */
bool fleet_engine_forget(struct fleet_engine *e, const char *host);

#endif
