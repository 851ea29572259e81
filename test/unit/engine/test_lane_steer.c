/* What an operator asks of a lane while it runs, in fake time. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "agent/engine/lane_state.h"
#include "agent/engine/lane_steer.h"
#include "agent/engine/lane_why.h"
#include "common/base/clock.h"
#include "test/support/lane_world.h"

enum { MINUTE_MS = 60000, ENOUGH_MS = 600000 };

static struct lane_steering
pause_until(int64_t until_ms)
{
	struct lane_steering order = {
	    .paused_until_us = clock_us_from_ms(until_ms)};

	(void)snprintf(order.why, sizeof(order.why), "paused by root");
	return order;
}

static void
steer(struct world *w, struct lane_steering order)
{
	lane_steer(w->lane, &order, w->now);
	world_settle(w);
}

static void
open_with_limit(struct world *w, const char *rate)
{
	world_init(w);
	w->set.lane_message_rate_limit = (char *)(uintptr_t)rate;
	w->calls_back = true;
	world_open(w, 6000);
}

/* What mail waits for, as it is shown. */
static void
waits_for_is(const struct world *w, enum board_wait wait, const char *words)
{
	char text[LANE_WHY_SIZE];

	assert_int_equal(
	    lane_waits_for(w->lane, w->now, text, sizeof(text)), wait);
	assert_string_equal(text, words);
}

static void
paused_lane_sends_nothing_and_resumes_with_all(void **state)
{
	struct world w;
	size_t before;

	(void)state;
	open_with_limit(&w, "10/1s");
	world_submit(&w, 100);
	world_run(&w, 3000);
	assert_in_range(w.done, 20, 35);
	waits_for_is(&w, BOARD_WAIT_RATE, "lane_message_rate_limit = 10/1s:1");
	steer(&w, pause_until(INT64_MAX));
	waits_for_is(&w, BOARD_WAIT_NOTHING, "");
	/* Without an end it is longer than anybody waits inside. */
	world_run(&w, 2000);
	before = w.outcomes[OUTCOME_SENT];
	assert_int_equal(w.outcomes[OUTCOME_DEFER] + before, 100);
	assert_int_equal(w.owed, w.outcomes[OUTCOME_DEFER]);
	for (size_t i = 0; i < w.count; i++)
		if (w.messages[i].outcomes[0] == OUTCOME_DEFER) {
			assert_string_equal(
			    w.messages[i].text, "paused by root");
			assert_int_equal(w.messages[i].cause, DSN_CAUSE_PAUSE);
			assert_int_equal(w.messages[i].copies, 0);
			assert_false(w.messages[i].is_hop);
		}
	assert_int_equal(w.backs, 0);
	steer(&w, (struct lane_steering){.paused_until_us = 0});
	assert_int_equal(w.backs, 1);
	world_submit(&w, 10);
	world_finish(&w, ENOUGH_MS);
	assert_int_equal(w.outcomes[OUTCOME_SENT], before + 10);
	world_fini(&w);
}

static void
short_pause_keeps_its_mail_inside_and_ends_by_itself(void **state)
{
	struct world w;
	int64_t from;

	(void)state;
	open_with_limit(&w, "");
	from = world_ms(&w);
	steer(&w, pause_until(from + MINUTE_MS));
	world_submit(&w, 50);
	world_settle(&w);
	waits_for_is(&w, BOARD_WAIT_OPERATOR, "paused by root");
	world_run(&w, MINUTE_MS - 1000);
	assert_int_equal(w.done, 0);
	assert_int_equal(w.dials, 0);
	assert_int_equal(w.want, 0);
	world_finish(&w, ENOUGH_MS);
	world_check_all_sent(&w);
	assert_true(world_ms(&w) - from >= MINUTE_MS);
	assert_true(world_ms(&w) - from < MINUTE_MS + 10000);
	world_fini(&w);
}

static void
pause_that_is_over_calls_back_what_it_deferred(void **state)
{
	struct world w;

	(void)state;
	open_with_limit(&w, "");
	w.set.lane_wait_limit_us = 1 * US_PER_S;
	steer(&w, pause_until(world_ms(&w) + MINUTE_MS));
	world_submit(&w, 5);
	world_run(&w, 2000);
	assert_int_equal(w.outcomes[OUTCOME_DEFER], 5);
	assert_int_equal(w.owed, 5);
	world_run(&w, MINUTE_MS - 3000);
	assert_int_equal(w.backs, 0);
	world_run(&w, 2000);
	assert_int_equal(w.backs, 1);
	world_fini(&w);
}

static void
drained_lane_sends_what_is_inside_and_nothing_new(void **state)
{
	struct world w;
	struct lane_steering order = pause_until(INT64_MAX);

	(void)state;
	order.is_drain = true;
	open_with_limit(&w, "10/1s");
	world_submit(&w, 50);
	world_run(&w, 1000);
	steer(&w, order);
	world_run(&w, 100);
	world_submit(&w, 20);
	world_finish(&w, ENOUGH_MS);
	assert_int_equal(w.outcomes[OUTCOME_SENT], 50);
	assert_int_equal(w.outcomes[OUTCOME_DEFER], 20);
	for (size_t i = 0; i < 50; i++)
		assert_int_equal(w.messages[i].outcomes[0], OUTCOME_SENT);
	world_fini(&w);
}

static void
drain_holds_what_came_after_it_when_other_orders_come(void **state)
{
	struct world w;
	struct lane_steering order;

	(void)state;
	open_with_limit(&w, "");
	order = pause_until(world_ms(&w) + MINUTE_MS);
	order.is_drain = true;
	order.asked_s = 7;
	steer(&w, order);
	world_run(&w, 100);
	world_submit(&w, 5);
	world_run(&w, 100);
	order.connection_limit = 3;
	steer(&w, order);
	world_run(&w, 1000);
	assert_int_equal(w.outcomes[OUTCOME_SENT], 0);
	/* Another drain lets go what came until then. */
	order.asked_s = 8;
	steer(&w, order);
	world_run(&w, 10000);
	assert_int_equal(w.outcomes[OUTCOME_SENT], 5);
	world_finish(&w, ENOUGH_MS);
	world_fini(&w);
}

static void
rate_is_another_from_now_on_and_then_as_set(void **state)
{
	struct world w;
	struct lane_steering order = {.rate = "2/1s"};
	int64_t from;

	(void)state;
	open_with_limit(&w, "50/1s");
	world_submit(&w, 2000);
	world_run(&w, 3000);
	steer(&w, order);
	from = (int64_t)w.done;
	world_run(&w, 10000);
	assert_in_range((int64_t)w.done - from, 18, 24);
	waits_for_is(&w, BOARD_WAIT_RATE, "lane_message_rate_limit = 2/1s:1");
	(void)snprintf(order.rate, sizeof(order.rate), "none");
	steer(&w, order);
	from = (int64_t)w.done;
	world_run(&w, 500);
	assert_true((int64_t)w.done - from > 100);
	steer(&w, (struct lane_steering){.paused_until_us = 0});
	world_run(&w, 500);
	from = (int64_t)w.done;
	world_run(&w, 2000);
	assert_in_range((int64_t)w.done - from, 95, 105);
	world_fini(&w);
}

/* Sent in all after n more. */
static size_t
sent_after(struct world *w, const char *rate, size_t n)
{
	struct lane_steering order = {.paused_until_us = 0};

	(void)snprintf(order.rate, sizeof(order.rate), "%s", rate);
	steer(w, order);
	world_submit(w, n);
	world_run(w, 10000);
	return w->outcomes[OUTCOME_SENT];
}

static void
quota_holds_at_another_rate_unless_that_names_one(void **state)
{
	struct world w;

	(void)state;
	open_with_limit(&w, "20/1d!");
	assert_int_equal(sent_after(&w, "", 5), 5);
	assert_int_equal(sent_after(&w, "50/1s", 5), 10);
	assert_int_equal(sent_after(&w, "none", 15), 20);
	assert_int_equal(sent_after(&w, "", 5), 20);
	assert_int_equal(sent_after(&w, "9/1s,23/1d!", 5), 23);
	world_fini(&w);
}

static void
fewer_connections_are_reached_without_loss(void **state)
{
	struct world w;

	(void)state;
	open_with_limit(&w, "");
	w.server.reply_ms = 10;
	world_feed(&w, 1500);
	world_run(&w, 2000);
	assert_in_range(lane_sessions(w.lane), 15, 20);
	steer(&w, (struct lane_steering){.connection_limit = 3});
	world_run(&w, 2000);
	assert_in_range(lane_sessions(w.lane), 1, 3);
	steer(&w, (struct lane_steering){.connection_limit = 6});
	world_run(&w, 1000);
	assert_in_range(lane_sessions(w.lane), 4, 6);
	world_finish(&w, ENOUGH_MS);
	for (size_t i = 0; i < w.count; i++) {
		assert_int_equal(w.messages[i].outcomes[0], OUTCOME_SENT);
		assert_int_equal(w.messages[i].copies, 1);
	}
	world_fini(&w);
}

static void
retry_dials_at_once_and_calls_back(void **state)
{
	struct world w;
	size_t dials;

	(void)state;
	open_with_limit(&w, "");
	w.server.is_down = true;
	world_submit(&w, 10);
	world_run(&w, 120000);
	assert_int_equal(w.outcomes[OUTCOME_DEFER], 10);
	w.server.is_down = false;
	world_submit(&w, 1);
	dials = w.dials;
	assert_true(lane_retry(w.lane, w.now));
	world_run(&w, 1);
	assert_true(w.dials > dials);
	assert_int_equal(w.backs, 1);
	world_finish(&w, ENOUGH_MS);
	world_fini(&w);
}

/* An earlier process deferred it; this one has no list of it. */
static void
end_of_a_pause_releases_what_no_list_is_known_for(void **state)
{
	struct world w;

	(void)state;
	open_with_limit(&w, "");
	steer(&w, pause_until(INT64_MAX));
	world_run(&w, 5000);
	assert_false(lane_retry(w.lane, w.now));
	assert_int_equal(w.released, 0);
	steer(&w, (struct lane_steering){.paused_until_us = 0});
	assert_int_equal(w.released, 1);
	assert_true(lane_retry(w.lane, w.now));
	assert_int_equal(w.released, 2);
	world_fini(&w);
}

/* It would be deferred again, as often as somebody asks. */
static void
retry_of_a_paused_lane_waits_for_its_end(void **state)
{
	struct world w;

	(void)state;
	open_with_limit(&w, "");
	w.server.is_down = true;
	world_submit(&w, 10);
	world_run(&w, 120000);
	assert_int_equal(w.owed, 10);
	w.server.is_down = false;
	steer(&w, pause_until(INT64_MAX));
	assert_false(lane_retry(w.lane, w.now));
	world_run(&w, 60000);
	assert_int_equal(w.backs, 0);
	steer(&w, (struct lane_steering){.paused_until_us = 0});
	assert_int_equal(w.backs, 1);
	assert_true(lane_retry(w.lane, w.now));
	world_fini(&w);
}

/* What is in the air is bounded by sessions as they are, not as they were when
 * the account was first met. */
static void
window_follows_the_connections(void **state)
{
	struct world w;

	(void)state;
	world_init(&w);
	w.set.lane_pipeline_depth = 2;
	world_open(&w, 6000);
	steer(&w, (struct lane_steering){.connection_limit = 2});
	world_feed(&w, 2000);
	world_run(&w, 3000);
	assert_int_equal(controller_window(&world_route(&w)->pace->adapt), 4);
	steer(&w, (struct lane_steering){.connection_limit = 20});
	world_run(&w, 3000);
	assert_in_range(
	    controller_window(&world_route(&w)->pace->adapt), 20, 40);
	steer(&w, (struct lane_steering){.connection_limit = 1});
	assert_int_equal(controller_window(&world_route(&w)->pace->adapt), 2);
	world_finish(&w, ENOUGH_MS);
	world_fini(&w);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(paused_lane_sends_nothing_and_resumes_with_all),
	    cmocka_unit_test(
		short_pause_keeps_its_mail_inside_and_ends_by_itself),
	    cmocka_unit_test(pause_that_is_over_calls_back_what_it_deferred),
	    cmocka_unit_test(drained_lane_sends_what_is_inside_and_nothing_new),
	    cmocka_unit_test(
		drain_holds_what_came_after_it_when_other_orders_come),
	    cmocka_unit_test(rate_is_another_from_now_on_and_then_as_set),
	    cmocka_unit_test(quota_holds_at_another_rate_unless_that_names_one),
	    cmocka_unit_test(fewer_connections_are_reached_without_loss),
	    cmocka_unit_test(retry_dials_at_once_and_calls_back),
	    cmocka_unit_test(end_of_a_pause_releases_what_no_list_is_known_for),
	    cmocka_unit_test(retry_of_a_paused_lane_waits_for_its_end),
	    cmocka_unit_test(window_follows_the_connections),
	};

	return cmocka_run_group_tests_name("lane_steer", tests, NULL, NULL);
}
