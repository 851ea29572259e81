/* What the lanes of an account make of each other's refusals and pauses. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "agent/engine/lane_state.h"
#include "common/base/clock.h"
#include "test/support/lane_world.h"
#include "test/support/reply_plan.h"

/* ---- other lanes of the account ----------------------------------------- */

static void
urgent_lane_is_not_cut_while_others_give_way(void **state)
{
	struct world w;
	int64_t from;

	(void)state;
	reply_plan_begin(
	    &w, "reply mail 454 * * slow\n", "MAIL", 454, "4.7.0 slow", 0);
	w.others_give_way = true;
	world_open(&w, 400);
	world_submit(&w, 100);
	world_finish(&w, 60000);
	reply_plan.times = 12; /* of one flight */
	from = world_ms(&w);
	world_submit(&w, 12);
	world_finish(&w, 60000);
	world_check_all_sent(&w);
	assert_true(reply_plan.asked > 3);
	assert_false(reply_plan_pace(&w)->is_limited);
	assert_in_range(world_ms(&w) - from, 100, 2000);
	assert_in_range(w.asked_to_give_way, 1, 5);
	/* Nobody is left to give way. */
	w.others_give_way = false;
	reply_plan.times = 1;
	world_submit(&w, 1);
	world_finish(&w, 60000);
	assert_true(reply_plan_pace(&w)->is_limited);
	reply_plan_check_count(&w);
	world_fini(&w);
}

static void
lane_gives_way_once_for_one_refusal(void **state)
{
	struct world w;
	int64_t sent_us;
	double rate;

	(void)state;
	reply_plan_begin(
	    &w, "reply mail 454 * * slow\n", "MAIL", 454, "4.7.0 slow", 0);
	world_open(&w, 4001);
	world_submit(&w, 1);
	/* It has sent nothing. */
	lane_yield(w.lane, world_route(&w), w.now.us, w.now);
	assert_true(isinf(lane_learned_rate(w.lane)));
	world_feed(&w, 4000);
	world_run(&w, 3000);
	sent_us = w.now.us;
	world_run(&w, 30);
	lane_yield(w.lane, world_route(&w), sent_us, w.now);
	rate = lane_learned_rate(w.lane);
	assert_true(rate > 1 && rate < 1000);
	assert_in_range(lane_paused_until_us(w.lane) - w.now.us, 1, US_PER_S);
	world_run(&w, 100); /* what is under way is accepted */
	lane_yield(w.lane, world_route(&w), sent_us, w.now);
	assert_true(lane_learned_rate(w.lane) >= rate);
	assert_int_equal(reply_plan_pace(&w)->yields, 1);
	world_run(&w, 2000);
	lane_yield(w.lane, world_route(&w), w.now.us, w.now);
	assert_int_equal(reply_plan_pace(&w)->yields, 2);
	assert_int_equal(w.asked_to_give_way, 0);
	world_finish(&w, 600000);
	world_check_all_sent(&w);
	world_fini(&w);
}

static void
pause_is_passed_on_and_kept(void **state)
{
	static const struct {
		const char *rule;
		int64_t wait_ms;
	} cases[] = {{"reply mail 454 * * pause for 20s\n", 20000},
	    {"reply mail 454 * * pause for 2h\n", 7200000}};

	(void)state;
	for (size_t i = 0; i < 4; i++) {
		struct world w;
		int64_t at_ms;

		reply_plan_begin(
		    &w, cases[i % 2].rule, "MAIL", 454, "4.7.0 no", 1);
		w.set.lane_adaptive = i < 2;
		world_open(&w, 10);
		world_submit(&w, 1);
		while (w.pause_told_us == 0)
			world_run(&w, 1);
		assert_in_range(w.pause_told_us - w.now.us,
		    (cases[i % 2].wait_ms - 1) * US_PER_MS,
		    cases[i % 2].wait_ms * US_PER_MS);
		assert_true(w.pause_told_us <= lane_paused_until_us(w.lane));
		world_finish(&w, 60000);
		world_fini(&w);

		/* the other lane */
		reply_plan_begin(
		    &w, cases[i % 2].rule, "MAIL", 454, "4.7.0 no", 0);
		w.set.lane_adaptive = i < 2;
		world_open(&w, 10);
		at_ms = world_ms(&w) + cases[i % 2].wait_ms;
		world_submit(&w, 1);
		lane_pause(world_route(&w), at_ms * 1000, w.now);
		lane_pause(world_route(&w), at_ms * 1000 - 5000, w.now);
		world_finish(&w, 60000);
		assert_int_equal(w.outcomes[OUTCOME_SENT], i % 2 == 0);
		if (i % 2 == 0)
			assert_true(w.arrivals_ms[0] >= at_ms);
		else
			assert_int_equal(w.arrival_count, 0);
		world_fini(&w);
	}
}

/* Two smarthosts in one lane, of one account or of two. */
static void
pause_is_the_accounts_and_no_other_ones(void **state)
{
	(void)state;
	for (size_t i = 0; i < 3; i++) {
		struct world w;

		reply_plan_begin(&w, "reply mail 454 * * pause for 2h\n",
		    "MAIL", 454, "4.7.0 no", 1);
		w.set.lane_adaptive = i > 0;
		world_open(&w, 10);
		w.nexthop = "[a.test]";
		world_submit(&w, 1);
		lane_set_account(w.lane, world_route(&w), 7, 0, NULL, w.now);
		world_run(&w, 2000);
		assert_int_equal(w.outcomes[OUTCOME_DEFER], 1);
		w.nexthop = "[b.test]";
		world_submit(&w, 1);
		lane_set_account(w.lane, route_of(w.lane->routes.prev),
		    i < 2 ? 8 : 7, 0, NULL, w.now);
		world_run(&w, 2000);
		assert_int_equal(w.outcomes[OUTCOME_SENT], i < 2);
		assert_int_equal(w.outcomes[OUTCOME_DEFER], i < 2 ? 1 : 2);
		assert_int_equal(
		    lane_paused_until_us(w.lane) > w.now.us + 7000 * US_PER_S,
		    1);
		world_fini(&w);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(urgent_lane_is_not_cut_while_others_give_way),
	    cmocka_unit_test(lane_gives_way_once_for_one_refusal),
	    cmocka_unit_test(pause_is_passed_on_and_kept),
	    cmocka_unit_test(pause_is_the_accounts_and_no_other_ones),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
