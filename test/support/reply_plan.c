#include "test/support/reply_plan.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "agent/engine/lane_state.h"
#include "common/base/clock.h"

struct reply_plan reply_plan;

static int
judge(struct world *w, struct world_conn *conn, size_t number, const char *line)
{
	(void)conn;
	(void)number;
	if (strncmp(line, reply_plan.stage, strlen(reply_plan.stage)) != 0)
		return 0;
	if (reply_plan.gap_ms > 0) {
		if (world_ms(w) >= reply_plan.next_ms) {
			reply_plan.next_ms = world_ms(w) + reply_plan.gap_ms;
			return 0;
		}
		reply_plan.asked++;
		return reply_plan.code;
	}
	if (reply_plan.times == 0)
		return 0;
	reply_plan.times -= reply_plan.times > 0;
	reply_plan.asked++;
	return reply_plan.code;
}

void
reply_plan_begin(struct world *w, const char *rule, const char *stage, int code,
    const char *words, int times)
{
	world_init(w);
	w->set.lane_adaptive = true;
	w->set.lane_alert_retry_us = 60 * US_PER_S;
	world_set_rules(w, rule);
	memset(&reply_plan, 0, sizeof(reply_plan));
	reply_plan.stage = stage;
	reply_plan.code = code;
	reply_plan.times = times;
	w->server.judge = judge;
	w->server.judged = words;
}

struct controller *
reply_plan_pace(struct world *w)
{
	return &world_route(w)->pace->adapt;
}

void
reply_plan_check_count(struct world *w)
{
	assert_int_equal(
	    reply_plan_pace(w)->in_flight, lane_in_flight(w->lane));
}
