/* Which session a lane gives a message to, and how many it opens. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>

#include "agent/engine/lane_state.h"
#include "common/base/clock.h"
#include "test/support/lane_world.h"

struct loads {
	size_t sessions, least, most, idle, busy;
};

static void
count_load(struct loads *l, const struct lane_session *ls)
{
	size_t load = session_load(ls->session);

	l->sessions++;
	l->busy += load > 0;
	l->idle += load == 0 && !session_is_finishing(ls->session);
	if (load > l->most)
		l->most = load;
	if (load < l->least)
		l->least = load;
}

static struct loads
loads(struct world *w)
{
	struct loads l = {.least = SIZE_MAX};

	list_each (link, &w->lane->routes) {
		struct route *r = route_of(link);

		list_each (s, &r->sessions)
			count_load(&l, session_of(s));
	}
	return l;
}

static void
dials_are_as_many_as_messages_wait_up_to_the_limit(void **state)
{
	static const size_t waiting[][2] = {
	    {0, 0}, {1, 1}, {7, 7}, {20, 20}, {21, 20}, {500, 20}};

	(void)state;
	for (size_t i = 0; i < sizeof(waiting) / sizeof(waiting[0]); i++) {
		struct world w;

		world_init(&w);
		world_open(&w, 500);
		world_submit(&w, waiting[i][0]);
		world_settle(&w);
		assert_int_equal(lane_dialing(w.lane), waiting[i][1]);
		assert_int_equal(lane_waiting(w.lane), waiting[i][0]);
		world_fini(&w);
	}
}

/* The account's slots are fewer than the lane's limit. */
static void
dials_stop_where_slots_end_and_the_depth_helps_out(void **state)
{
	struct world w;

	(void)state;
	world_init(&w);
	w.slots = 3;
	world_open(&w, 1000);
	world_submit(&w, 1000);
	world_settle(&w);
	assert_int_equal(lane_dialing(w.lane), 3);
	assert_int_equal(w.want, 17);
	world_finish(&w, 60000);
	assert_int_equal(w.conns_peak, 3);
	assert_int_equal(w.load_peak, 10);
	assert_int_equal(w.want, 0);
	world_check_all_sent(&w);
	world_fini(&w);
}

static void
session_is_added_before_a_window_is_deepened(void **state)
{
	struct world w;

	(void)state;
	world_init(&w);
	world_open(&w, 100);
	/* Learned from an earlier process. */
	world_submit(&w, 1);
	world_run(&w, 2000);
	world_route(&w)->depth = 10;
	world_submit(&w, 20);
	world_run(&w, 50);
	/* One at work, the others wait for the dials of their own. */
	assert_int_equal(lane_sessions(w.lane), 1);
	assert_int_equal(loads(&w).most, 1);
	assert_int_equal(lane_dialing(w.lane), 19);
	world_run(&w, 10000);
	assert_int_equal(w.load_peak, 1);
	world_check_all_sent(&w);
	world_fini(&w);
}

static void
quiet_lane_has_one_message_in_doubt_per_session(void **state)
{
	struct world w;

	(void)state;
	world_init(&w);
	w.set.lane_messages_per_connection = 10000;
	world_open(&w, 2000);
	world_submit(&w, 1);
	world_run(&w, 1000);
	world_route(&w)->depth = 10;
	/* A message every 40 ms, three in flight at most. */
	for (int i = 0; i < 500; i++) {
		world_submit(&w, 1);
		world_run(&w, 40);
	}
	assert_int_equal(w.load_peak, 1);
	assert_true(w.dials <= 20);
	world_finish(&w, 10000);
	world_check_all_sent(&w);
	world_fini(&w);
}

static void
windows_are_filled_evenly(void **state)
{
	struct world w;
	struct loads l;

	(void)state;
	world_init(&w);
	world_open(&w, 1000);
	world_submit(&w, 20);
	world_run(&w, 2000);
	world_route(&w)->depth = 10;
	assert_int_equal(loads(&w).idle, 20);
	world_submit(&w, 70);
	world_settle(&w);
	l = loads(&w);
	assert_int_equal(l.least, 3);
	assert_int_equal(l.most, 4);
	world_submit(&w, 200);
	world_settle(&w);
	l = loads(&w);
	assert_int_equal(l.least, 10);
	assert_int_equal(l.most, 10);
	assert_int_equal(lane_waiting(w.lane), 70);
	world_finish(&w, 60000);
	world_check_all_sent(&w);
	world_fini(&w);
}

static void
new_sessions_start_at_the_learned_depth(void **state)
{
	struct world w;

	(void)state;
	world_init(&w);
	w.set.lane_connection_limit = 1;
	world_open(&w, 1000);
	world_submit(&w, 1);
	world_settle(&w);
	world_route(&w)->depth = 10;
	world_submit(&w, 500);
	world_run(&w, 700);
	assert_int_equal(loads(&w).most, 10);
	world_fini(&w);
}

static void
depth_grows_with_good_windows_from_one(void **state)
{
	static const int depths[] = {1, 2, 4, 8, 10, 10};
	struct world w;

	(void)state;
	world_init(&w);
	w.set.lane_connection_limit = 1;
	world_open(&w, 1000);
	world_submit(&w, 500);
	world_run(&w, 700);
	for (size_t i = 0; i < sizeof(depths) / sizeof(depths[0]); i++) {
		assert_int_equal(loads(&w).most, depths[i]);
		assert_int_equal(world_route(&w)->depth, depths[i]);
		world_run(&w, 100);
	}
	world_fini(&w);
}

static void
session_carries_its_quota_and_quits_in_the_last_group(void **state)
{
	struct world w;

	(void)state;
	world_init(&w);
	w.set.lane_connection_limit = 1;
	w.set.lane_messages_per_connection = 50;
	world_open(&w, 150);
	world_submit(&w, 150);
	world_settle(&w);
	world_route(&w)->depth = 10;
	/* Dial, five windows, and the next dial at once, three times over. */
	world_finish(&w, 3 * (700 + 500));
	assert_int_equal(world_ms(&w), 1000000 + 3 * 1200);
	assert_int_equal(w.most_per_session, 50);
	world_settle(&w);
	assert_int_equal(w.dials, 4); /* more may come */
	assert_int_equal(w.ended[SESSION_END_QUIT], 3);
	assert_int_equal(w.quits, 3);
	world_check_all_sent(&w);
	world_fini(&w);
}

static void
announced_quota_is_kept_to(void **state)
{
	struct world w;

	(void)state;
	world_init(&w);
	w.ehlo.limits_mailmax = 7;
	world_open(&w, 500);
	world_submit(&w, 500);
	world_finish(&w, 600000);
	assert_int_equal(w.most_per_session, 7);
	assert_int_equal(w.ended[SESSION_END_421], 0);
	world_check_all_sent(&w);
	world_fini(&w);
}

static void
idle_sessions_age_out_last_used_first_used_again(void **state)
{
	struct world w;

	(void)state;
	world_init(&w);
	world_open(&w, 1000);
	world_submit(&w, 5);
	world_run(&w, 2000);
	assert_int_equal(loads(&w).idle, 5);
	/* One message a second keeps one session, and only one, alive. */
	for (int i = 0; i < 29; i++) {
		world_submit(&w, 1);
		world_run(&w, 1000);
	}
	assert_int_equal(loads(&w).sessions, 1);
	assert_int_equal(w.quits, 4);
	assert_int_equal(w.dials, 5);
	world_run(&w, 30100);
	assert_int_equal(lane_sessions(w.lane), 0);
	assert_int_equal(w.ended[SESSION_END_QUIT], 5);
	/* Nothing is left to wake up for. */
	assert_true(lane_deadline_us(w.lane) == INT64_MAX);
	world_fini(&w);
}

static void
idle_session_is_closed_on_time(void **state)
{
	struct world w;

	(void)state;
	world_init(&w);
	world_open(&w, 1);
	world_submit(&w, 1);
	world_finish(&w, 10000);
	assert_int_equal(lane_deadline_us(w.lane), w.now.us + 30 * US_PER_S);
	world_run(&w, 29999);
	assert_int_equal(loads(&w).idle, 1);
	world_run(&w, 1);
	assert_int_equal(loads(&w).idle, 0);
	assert_int_equal(lane_sessions(w.lane), 1);
	/* Its place is kept until the server has seen the end. */
	world_run(&w, 100);
	assert_int_equal(lane_sessions(w.lane), 0);
	world_fini(&w);
}

static void
quit_without_an_answer_is_not_waited_for_long(void **state)
{
	struct world w;

	(void)state;
	world_init(&w);
	world_open(&w, 1);
	world_submit(&w, 1);
	world_finish(&w, 10000);
	w.server.reply_ms = 3600000;
	world_run(&w, 30000 + 1999);
	assert_int_equal(lane_sessions(w.lane), 1);
	world_run(&w, 1);
	assert_int_equal(lane_sessions(w.lane), 0);
	world_fini(&w);
}

static void
old_session_is_replaced(void **state)
{
	struct world w;

	(void)state;
	world_init(&w);
	w.set.lane_connection_age_limit_us = 60 * US_PER_S;
	w.set.lane_messages_per_connection = 1000000;
	w.set.lane_connection_limit = 1;
	world_open(&w, 1000);
	for (int i = 0; i < 125; i++) {
		world_submit(&w, 1);
		world_run(&w, 1000);
	}
	assert_int_equal(w.dials, 3);
	assert_int_equal(w.quits, 2);
	world_check_all_sent(&w);
	world_fini(&w);
}

/* A message a second: none but the first waits for a dial. */
static void
spent_session_has_a_successor_before_mail_comes(void **state)
{
	(void)state;
	for (int limit = 1; limit <= 3; limit++) {
		struct world w;

		world_init(&w);
		w.set.lane_messages_per_connection = 50;
		w.set.lane_connection_limit = limit;
		world_open(&w, 1000);
		for (int i = 0; i < 125; i++) {
			world_submit(&w, 1);
			world_run(&w, 1000);
			if (i > 0)
				assert_true(w.arrivals_ms[i] -
						w.messages[i].submitted_ms <=
					    w.server.rtt_ms);
		}
		assert_int_equal(w.dials, 3);
		/* The last one goes when nothing comes any more. */
		world_run(&w, 30000);
		assert_int_equal(lane_sessions(w.lane), 0);
		assert_int_equal(w.dials, 3);
		world_check_all_sent(&w);
		world_fini(&w);
	}
}

/* Nobody knows that more will come; nor is any wanted during a pause. */
static void
spent_session_without_prospect_has_no_successor(void **state)
{
	(void)state;
	for (int quota = 1; quota <= 2; quota++) {
		struct world w;

		world_init(&w);
		w.set.lane_messages_per_connection = quota;
		/* The successor has to wait for its place. */
		w.set.lane_connection_limit = 1;
		world_open(&w, 10);
		world_submit(&w, 1);
		world_run(&w, 1000);
		assert_int_equal(w.dials, 1);
		if (quota == 2) {
			world_submit(&w, 1);
			world_run(&w, 10);
			lane_pause(
			    world_route(&w), w.now.us + 60 * US_PER_S, w.now);
		}
		world_run(&w, 5000);
		assert_int_equal(w.dials, 1);
		world_check_all_sent(&w);
		world_fini(&w);
	}
}

static bool
is_named(void *ctx, const struct route *route)
{
	return strcmp(route->nexthops, ctx) == 0;
}

/* What is idle at another account's smarthost is no use to who waits. */
static void
close_idle_leaves_routes_of_other_accounts_alone(void **state)
{
	char second[] = "[second.example]";
	struct world w;

	(void)state;
	world_init(&w);
	world_open(&w, 100);
	world_submit(&w, 2);
	world_run(&w, 2000);
	w.nexthop = second;
	world_submit(&w, 2);
	world_run(&w, 2000);
	assert_int_equal(lane_sessions(w.lane), 4);
	lane_close_idle(w.lane, 9, is_named, second, w.now);
	world_run(&w, 200);
	assert_int_equal(lane_sessions(w.lane), 2);
	lane_close_idle(w.lane, 9, is_named, second, w.now);
	world_run(&w, 200);
	assert_int_equal(lane_sessions(w.lane), 2);
	world_check_all_sent(&w);
	world_fini(&w);
}

static bool
is_any(void *ctx, const struct route *route)
{
	(void)ctx;
	(void)route;
	return true;
}

/* Two routes of an account whose connections are all taken. */
static void
yield_idle_ends_one_at_a_time_of_those_that_have_no_mail(void **state)
{
	char second[] = "[second.example]";
	struct world w;

	(void)state;
	world_init(&w);
	world_open(&w, 100);
	world_submit(&w, 2);
	world_run(&w, 2000);
	assert_int_equal(lane_sessions(w.lane), 2);
	lane_yield_idle(w.lane, is_named, second, w.now);
	world_run(&w, 200);
	assert_int_equal(lane_sessions(w.lane), 2);
	lane_yield_idle(w.lane, is_any, NULL, w.now);
	lane_yield_idle(w.lane, is_any, NULL, w.now);
	world_run(&w, 200);
	assert_int_equal(lane_sessions(w.lane), 1);
	world_submit(&w, 1);
	world_settle(&w);
	lane_yield_idle(w.lane, is_any, NULL, w.now);
	world_run(&w, 500);
	lane_yield_idle(w.lane, is_any, NULL, w.now);
	world_run(&w, 1000);
	assert_int_equal(lane_sessions(w.lane), 1);
	lane_yield_idle(w.lane, is_any, NULL, w.now);
	world_run(&w, 200);
	assert_int_equal(lane_sessions(w.lane), 0);
	world_check_all_sent(&w);
	world_fini(&w);
}

static void
close_idle_takes_those_used_least_lately_and_no_busy_one(void **state)
{
	struct world w;

	(void)state;
	world_init(&w);
	world_open(&w, 100);
	world_submit(&w, 4);
	world_run(&w, 2000);
	world_submit(&w, 1);
	world_settle(&w);
	lane_close_idle(w.lane, 2, NULL, NULL, w.now);
	world_run(&w, 10);
	assert_int_equal(loads(&w).idle, 1);
	assert_int_equal(loads(&w).busy, 1);
	world_run(&w, 1000);
	assert_int_equal(lane_sessions(w.lane), 2);
	/* The one just used stays. */
	lane_close_idle(w.lane, 1, NULL, NULL, w.now);
	world_run(&w, 200);
	assert_int_equal(lane_sessions(w.lane), 1);
	lane_close_idle(w.lane, 10, NULL, NULL, w.now);
	world_run(&w, 200);
	assert_int_equal(lane_sessions(w.lane), 0);
	assert_int_equal(w.ended[SESSION_END_QUIT], 4);
	world_check_all_sent(&w);
	world_fini(&w);
}

static void
overlap_and_lockstep_keep_to_their_windows(void **state)
{
	struct world w;

	(void)state;
	for (int pipelining = 0; pipelining < 2; pipelining++) {
		world_init(&w);
		w.ehlo.pipelining = pipelining;
		w.ehlo.chunking = false;
		w.set.lane_connection_limit = 2;
		world_open(&w, 200);
		world_submit(&w, 200);
		world_finish(&w, 600000);
		assert_int_equal(w.load_peak, pipelining ? 2 : 1);
		world_check_all_sent(&w);
		world_fini(&w);
	}
}

static void
admission_is_two_windows_for_every_session(void **state)
{
	struct world w;
	int64_t until;

	(void)state;
	world_init(&w);
	w.set.lane_connection_limit = 3;
	world_open(&w, 100);
	world_feed(&w, 100);
	world_settle(&w);
	assert_int_equal(w.count, 60);
	assert_false(lane_may_admit(w.lane, 0, w.now.us, &until));
	world_run(&w, 800);
	assert_int_equal(lane_waiting(w.lane) + lane_in_flight(w.lane), 60);
	world_finish(&w, 60000);
	assert_true(lane_may_admit(w.lane, 59, w.now.us, &until));
	assert_false(lane_may_admit(w.lane, 60, w.now.us, &until));
	world_check_all_sent(&w);
	world_fini(&w);
}

/* What is enough to go on: half of the window, half of what may be waiting, or
 * what goes in two seconds. */
static void
surplus_is_what_is_not_needed_soon(void **state)
{
	static const struct {
		const char *rate;
		int sessions, window;
		size_t enough;
	} rows[] = {
	    {"none", 3, 0, 15},
	    {"none", 3, 20, 10},
	    {"none", 3, 1, 1},
	    {"100/1s", 20, 400, 100},
	    {"100/1s", 20, 40, 20},
	    {"5/1s", 20, 40, 10},
	    {"1/1m", 20, 40, 1},
	};
	char rate[16];

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct world w;

		world_init(&w);
		(void)snprintf(rate, sizeof(rate), "%s", rows[i].rate);
		w.set.lane_message_rate_limit = rate;
		w.set.lane_connection_limit = rows[i].sessions;
		w.set.transport_destination_concurrency_limit = rows[i].window;
		world_open(&w, 300);
		world_submit(&w, rows[i].enough - 1);
		assert_false(lane_has_surplus(w.lane, w.now.us));
		world_submit(&w, 1);
		assert_true(lane_has_surplus(w.lane, w.now.us));
		w.set.lane_wait_limit_us = 3600 * US_PER_S;
		world_finish(&w, 3600000);
		world_fini(&w);
	}
}

/* A pace that is not known yet may be a slow one: what is let in would wait. */
static void
admission_is_two_windows_of_what_was_accepted_so_far(void **state)
{
	struct world w;

	(void)state;
	world_init(&w);
	w.set.lane_adaptive = true;
	world_open(&w, 1000);
	world_feed(&w, 1000);
	world_settle(&w);
	assert_int_equal(w.count, 2 * 20);
	world_finish(&w, 60000);
	world_check_all_sent(&w);
	world_fini(&w);
}

/* Each with a login of its own: all places change hands at once, not one after
 * the other. */
static void
many_senders_with_a_message_each_share_the_places(void **state)
{
	struct world w;

	(void)state;
	world_init(&w);
	w.set.smtp_sender_dependent_authentication = true;
	w.set.lane_connection_limit = 10;
	world_open(&w, 300);
	world_submit(&w, 300);
	/* 0.9 s for dial, message and QUIT, thirty times */
	world_finish(&w, 28000);
	world_check_all_sent(&w);
	assert_int_equal(w.dials, 300);
	world_fini(&w);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(
		dials_are_as_many_as_messages_wait_up_to_the_limit),
	    cmocka_unit_test(
		dials_stop_where_slots_end_and_the_depth_helps_out),
	    cmocka_unit_test(session_is_added_before_a_window_is_deepened),
	    cmocka_unit_test(quiet_lane_has_one_message_in_doubt_per_session),
	    cmocka_unit_test(windows_are_filled_evenly),
	    cmocka_unit_test(new_sessions_start_at_the_learned_depth),
	    cmocka_unit_test(depth_grows_with_good_windows_from_one),
	    cmocka_unit_test(
		session_carries_its_quota_and_quits_in_the_last_group),
	    cmocka_unit_test(announced_quota_is_kept_to),
	    cmocka_unit_test(idle_sessions_age_out_last_used_first_used_again),
	    cmocka_unit_test(idle_session_is_closed_on_time),
	    cmocka_unit_test(quit_without_an_answer_is_not_waited_for_long),
	    cmocka_unit_test(old_session_is_replaced),
	    cmocka_unit_test(spent_session_has_a_successor_before_mail_comes),
	    cmocka_unit_test(spent_session_without_prospect_has_no_successor),
	    cmocka_unit_test(close_idle_leaves_routes_of_other_accounts_alone),
	    cmocka_unit_test(
		yield_idle_ends_one_at_a_time_of_those_that_have_no_mail),
	    cmocka_unit_test(
		close_idle_takes_those_used_least_lately_and_no_busy_one),
	    cmocka_unit_test(overlap_and_lockstep_keep_to_their_windows),
	    cmocka_unit_test(admission_is_two_windows_for_every_session),
	    cmocka_unit_test(surplus_is_what_is_not_needed_soon),
	    cmocka_unit_test(
		admission_is_two_windows_of_what_was_accepted_so_far),
	    cmocka_unit_test(many_senders_with_a_message_each_share_the_places),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
