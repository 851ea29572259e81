/* reply_plan: a server in the world of a lane that says, to some commands, what
 * a test has planned. */
#ifndef REPLY_PLAN_H
#define REPLY_PLAN_H

#include <stdint.h>

#include "agent/engine/controller.h"
#include "test/support/lane_world.h"

struct reply_plan {
	const char *stage; /* lines that begin so ... */
	int code; /* ... get this */
	int times; /* so often; < 0: always */
	int64_t gap_ms; /* one message in so many ms; others are judged */
	int64_t next_ms;
	int asked;
};
extern struct reply_plan reply_plan;

/* A world with this rule, and a plan: `times` commands of a stage get code and
 * words. */
void reply_plan_begin(struct world *w, const char *rule, const char *stage,
    int code, const char *words, int times);

/* What was learned of the only route. */
struct controller *reply_plan_pace(struct world *w);

/* Nothing is left in the air that the controller counts. */
void reply_plan_check_count(struct world *w);

#endif
