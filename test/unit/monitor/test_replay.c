/* What a log's mail would have met, where that can be said by hand. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "common/base/mem.h"
#include "monitor/replay/replay.h"
#include "tools/lane-sim/sim_world.h"

enum { MESSAGES = 600 };

static struct sim_world world; /* for the settings of its lanes */
static struct settings *set;
static struct maillog mail;
static struct replay_lane lane;

/* 600 within one second, by a server 20 ms away. */
static int
set_up(void **state)
{
	(void)state;
	sim_init(&world);
	set = &world.lanes[0].set;
	mail = (struct maillog){
	    .messages = mem_zarray(MESSAGES, sizeof(struct maillog_message)),
	    .count = MESSAGES,
	    .first_ms = 5000000,
	    .last_ms = 5001000,
	    .answer_ms = 20,
	    .before_ms = 100,
	};
	for (size_t i = 0; i < MESSAGES; i++)
		mail.messages[i] = (struct maillog_message){
		    .came_ms = 5000000 + (int64_t)(i * 1000 / MESSAGES),
		    .took_ms = (int64_t)i * 100,
		    .rcpts = 2,
		    .octets = 1000,
		};
	memset(&lane, 0, sizeof(lane));
	lane.name = "fast";
	lane.set = set;
	lane.log = &mail;
	return 0;
}

static int
tear_down(void **state)
{
	(void)state;
	mem_free(mail.messages);
	return 0;
}

static void
play(void)
{
	char error[200];

	assert_true(replay_play(&lane, 1, error, sizeof(error)));
	assert_int_equal(lane.sent + lane.left, MESSAGES);
}

static void
between(double value, double low, double high)
{
	if (value < low || value > high)
		fail_msg("%g is not within %g and %g", value, low, high);
}

static void
replay_waits_as_a_rate_lets_it(void **state)
{
	static char rate[] = "10/1s";

	(void)state;
	set->lane_message_rate_limit = rate;
	play();
	assert_int_equal(lane.sent, MESSAGES);
	between(lane.p50_s, 29, 31);
	between(lane.p95_s, 56, 58);
	between(lane.most_s, 59, 61);
	assert_in_range(lane.would.most, 570, 600);
	between((double)(lane.would.gone_ms - mail.first_ms), 58000, 61000);
	assert_in_range(lane.sessions, 1, 3);
	/* And what was. */
	assert_int_equal(lane.was_sent, MESSAGES);
	between(lane.was_p50_s, 29.9, 30.1);
	between(lane.was_p95_s, 56.9, 57.1);
	assert_in_range(lane.was.most, 570, 600);
	between((double)(lane.was.gone_ms - mail.first_ms), 58000, 61000);
}

static void
replay_counts_a_quota_and_waits_for_the_next_day(void **state)
{
	static char rate[] = "400/1h!";

	(void)state;
	set->lane_recipient_rate_limit = rate;
	play();
	assert_int_equal(lane.sent, MESSAGES);
	assert_int_equal(lane.quota_count, 1);
	assert_string_equal(
	    lane.quotas[0].parameter, "lane_recipient_rate_limit");
	assert_string_equal(lane.quotas[0].limit, "400/1h!");
	between(lane.quotas[0].most, 390, 400);
	assert_true(lane.deferrals > 0);
	assert_true(lane.would.gone_ms > mail.first_ms + 7200000);
	/* 200 an hour. */
	between(lane.most_s, 7200, 7200 + 700);
	between(lane.p50_s, 3600, 3600 + 700);
}

/* Two sessions that have a message each 100 ms. */
static void
replay_is_as_slow_as_the_server_of_the_log(void **state)
{
	(void)state;
	set->lane_connection_limit = 2;
	mail.answer_ms = 110;
	mail.apart_ms = 100;
	play();
	between(lane.most_s, 29, 33);
	assert_int_equal(lane.sessions, 2);
}

static void
replay_dials_as_long_as_the_lane_of_the_log(void **state)
{
	(void)state;
	play();
	between(lane.p50_s, 0.1, 1);
	mail.dial_ms = 3000;
	play();
	between(lane.p50_s, 2.5, 4);
}

/* A quota of the account is one for both. */
static void
replay_has_lanes_of_one_account(void **state)
{
	static char quota[] = "1000/1d!", bulk[] = "bulk";
	struct replay_lane lanes[2];
	char error[200];

	(void)state;
	world.lanes[1].set.lane_priority = bulk;
	for (size_t i = 0; i < 2; i++) {
		world.lanes[i].set.lane_account_message_rate_limit = quota;
		lanes[i] = lane;
		lanes[i].set = &world.lanes[i].set;
	}
	assert_true(replay_play(lanes, 2, error, sizeof(error)));
	assert_int_equal(lanes[0].sent, MESSAGES);
	assert_int_equal(lanes[1].sent, MESSAGES);
	for (size_t i = 0; i < 2; i++)
		between(lanes[i].quotas[0].most, 990, 1000);
	assert_true(lanes[1].most_s > 86000);
	between(lanes[0].p50_s, 0, 600);
}

#define IN_WORLD(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    IN_WORLD(replay_waits_as_a_rate_lets_it),
	    IN_WORLD(replay_counts_a_quota_and_waits_for_the_next_day),
	    IN_WORLD(replay_is_as_slow_as_the_server_of_the_log),
	    IN_WORLD(replay_dials_as_long_as_the_lane_of_the_log),
	    IN_WORLD(replay_has_lanes_of_one_account),
	};

	return cmocka_run_group_tests_name("replay", tests, NULL, NULL);
}
