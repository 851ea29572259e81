#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "test/support/lane_world.h"

enum { COUNT = 60 };

/* Some sessions of a few messages each; the first logins stand alone. */
static void
begin(struct world *w)
{
	world_init(w);
	w->set.lane_connection_limit = 3;
	w->set.lane_messages_per_connection = 5;
	w->set.lane_alert_retry_us = 60 * US_PER_S;
	w->has_login = true;
	world_open(w, COUNT);
	world_submit(w, 5);
	world_finish(w, 60000);
	w->leads = true;
}

static void
login_leads_and_nothing_is_judged_by_it(void **state)
{
	struct world w;

	(void)state;
	begin(&w);
	world_submit(&w, COUNT - 5);
	world_finish(&w, 60000);
	world_check_all_sent(&w);
	assert_true(w.news[LOGIN_ACCEPTED] >= 5);
	assert_int_equal(w.news[LOGIN_PROVEN], w.news[LOGIN_ACCEPTED]);
	assert_int_equal(w.alarms, 0);
	world_fini(&w);
}

/* One session is a round trip sooner with its first message. */
static void
message_of_a_cold_lane_goes_with_the_login(void **state)
{
	int64_t took_ms[2];

	(void)state;
	for (int leads = 0; leads < 2; leads++) {
		struct world w;

		begin(&w);
		w.leads = leads != 0;
		/* AUTH is the last round trip of a dial. */
		w.server.dial_rtts = 7 - leads;
		world_run(&w, 3600000);
		assert_int_equal(w.conns_now, 0);
		world_submit(&w, 1);
		world_finish(&w, 60000);
		took_ms[leads] =
		    w.messages[5].done_ms - w.messages[5].submitted_ms;
		world_fini(&w);
	}
	assert_int_equal(took_ms[0] - took_ms[1], 100);
}

/* It goes back, and the next dial, in which the login stands alone, comes at
 * once and is judged. */
static void
refused_login_costs_one_more_dial(void **state)
{
	static const int codes[] = {535, 454, 530, 421, 334, WORLD_CLOSE};

	(void)state;
	for (size_t i = 0; i < sizeof(codes) / sizeof(codes[0]); i++) {
		struct world w;
		size_t dials;
		int64_t from_ms;

		begin(&w);
		world_run(&w, 3600000);
		w.server.login_code = codes[i];
		dials = w.dials;
		from_ms = world_ms(&w);
		world_submit(&w, 1);
		while (w.news[LOGIN_REFUSED] + w.news[LOGIN_MISPLACED] == 0)
			world_run(&w, 1);
		w.leads = false;
		world_finish(&w, 60000);
		/* Without a word nobody knows. */
		assert_int_equal(
		    w.messages[5].in_doubt, codes[i] == WORLD_CLOSE);
		if (codes[i] == WORLD_CLOSE) {
			world_fini(&w);
			continue;
		}
		world_check_all_sent(&w);
		assert_int_equal(w.dials, dials + 2);
		assert_true(world_ms(&w) - from_ms < 3000);
		assert_int_equal(w.alarms, 0);
		assert_int_equal(w.turned_away, 0);
		assert_int_equal(
		    w.news[LOGIN_REFUSED], codes[i] != WORLD_CLOSE);
		world_fini(&w);
	}
}

static const char *
wrong_password(struct world *w)
{
	(void)w;
	return "535 5.7.8 authentication failed";
}

/* Many refused in front of mail are one, and one dial finds out. */
static void
wrong_password_is_told_by_the_login_that_stands_alone(void **state)
{
	struct world w;
	size_t dials;

	(void)state;
	begin(&w);
	world_run(&w, 3600000);
	w.server.login_code = 535;
	w.server.answer_dial = NULL;
	dials = w.dials;
	world_submit(&w, 15);
	while (w.news[LOGIN_REFUSED] == 0)
		world_run(&w, 1);
	w.leads = false;
	w.server.answer_dial = wrong_password;
	w.server.dial_stage = RULE_AUTH;
	world_finish(&w, 60000);
	assert_int_equal(w.alarms, 1);
	assert_int_equal(w.outcomes[OUTCOME_BOUNCE], 0);
	assert_int_equal(w.outcomes[OUTCOME_DEFER], 15);
	/* Three led, and as many as it takes to believe a refusal did not. */
	assert_true(w.dials - dials <= 3 + ROUTE_DOUBTS);
	for (size_t i = 5; i < 20; i++)
		assert_false(w.messages[i].in_doubt);
	world_fini(&w);
}

static void
what_is_taken_without_a_login_goes_once(void **state)
{
	struct world w;

	(void)state;
	begin(&w);
	world_run(&w, 3600000);
	w.server.login_code = 535;
	w.server.takes_anybody = true;
	world_submit(&w, 20);
	while (w.news[LOGIN_REFUSED] == 0)
		world_run(&w, 1);
	w.leads = false;
	world_finish(&w, 60000);
	world_check_all_sent(&w);
	world_fini(&w);
}

/* While a route is not well no mail is risked. */
static void
login_goes_alone_where_the_route_is_not_well(void **state)
{
	struct world w;

	(void)state;
	begin(&w);
	world_run(&w, 3600000);
	w.server.login_code = 535;
	world_submit(&w, 1);
	while (w.news[LOGIN_REFUSED] == 0)
		world_run(&w, 1);
	assert_int_equal(w.messages[5].mails, 1);
	/* The next dial leads, too, as nobody tells the dialer here. */
	world_run(&w, 2000);
	assert_true(w.news[LOGIN_REFUSED] >= 2);
	assert_int_equal(w.messages[5].mails, 1);
	w.server.login_code = 0;
	world_finish(&w, 60000);
	world_check_all_sent(&w);
	world_fini(&w);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(login_leads_and_nothing_is_judged_by_it),
	    cmocka_unit_test(message_of_a_cold_lane_goes_with_the_login),
	    cmocka_unit_test(refused_login_costs_one_more_dial),
	    cmocka_unit_test(
		wrong_password_is_told_by_the_login_that_stands_alone),
	    cmocka_unit_test(what_is_taken_without_a_login_goes_once),
	    cmocka_unit_test(login_goes_alone_where_the_route_is_not_well),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
