#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "agent/smarthost/lead.h"
#include "agent/state/board_writer.h"
#include "common/base/clock.h"
#include "common/base/log.h"
#include "test/support/statedir.h"

#define NOW (1000 * US_PER_S)
#define DAY_US (INT64_C(24) * 3600 * US_PER_S)

static struct lead_key
key_of(const char *host, unsigned port, const char *user, const char *mech)
{
	struct lead_key key;

	lead_key_set(&key, host, port, user, mech);
	return key;
}

static struct lead_key
usual(void)
{
	return key_of("mx.example", 587, "joe", "PLAIN");
}

/* A login that was accepted, at a server that was tried. */
static struct leads *
proven(void)
{
	struct leads *leads = leads_new();
	struct lead_key key = usual();

	leads_accepted(leads, &key, NOW);
	leads_tried(leads, &key, NOW);
	assert_int_equal(leads_ask(leads, &key, NOW), LEAD_YES);
	return leads;
}

static void
first_login_is_in_steps_the_second_a_trial(void **state)
{
	struct leads *leads = leads_new();
	struct lead_key key = usual();

	(void)state;
	assert_int_equal(leads_ask(leads, &key, NOW), LEAD_NO);
	leads_accepted(leads, &key, NOW);
	assert_int_equal(leads_ask(leads, &key, NOW), LEAD_TRIAL);
	assert_int_equal(leads_ask(leads, &key, NOW), LEAD_TRIAL);
	leads_tried(leads, &key, NOW);
	assert_int_equal(leads_ask(leads, &key, NOW), LEAD_YES);
	leads_free(&leads);
}

static void
another_host_port_user_or_mechanism_is_another_login(void **state)
{
	struct leads *leads = proven();
	const struct {
		struct lead_key key;
		enum lead lead;
	} cases[] = {
	    {key_of("MX.example", 587, "joe", "PLAIN"), LEAD_YES},
	    {key_of("mx.example", 465, "joe", "PLAIN"), LEAD_NO},
	    {key_of("mx.example", 587, "Joe", "PLAIN"), LEAD_NO},
	    {key_of("mx.example", 587, "joe", "XOAUTH2"), LEAD_NO},
	    {key_of("mx2.example", 587, "joe", "PLAIN"), LEAD_NO},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
		assert_int_equal(
		    leads_ask(leads, &cases[i].key, NOW), cases[i].lead);
	/* What the server takes is known for each of its users. */
	leads_accepted(leads, &cases[2].key, NOW);
	assert_int_equal(leads_ask(leads, &cases[2].key, NOW), LEAD_YES);
	leads_free(&leads);
}

static void
login_is_known_for_a_day(void **state)
{
	struct leads *leads = proven();
	struct lead_key key = usual();

	(void)state;
	assert_int_equal(leads_ask(leads, &key, NOW + DAY_US - 1), LEAD_YES);
	assert_int_equal(leads_ask(leads, &key, NOW + DAY_US), LEAD_NO);
	leads_accepted(leads, &key, NOW + DAY_US);
	assert_int_equal(leads_ask(leads, &key, NOW + DAY_US), LEAD_YES);
	leads_free(&leads);
}

static void
refused_login_is_in_steps_until_it_is_accepted(void **state)
{
	struct leads *leads = proven();
	struct lead_key key = usual();

	(void)state;
	/* Many of one flight are one refusal. */
	for (int i = 0; i < 20; i++)
		leads_refused(leads, &key, true, NOW);
	assert_int_equal(leads_ask(leads, &key, NOW), LEAD_NO);
	leads_accepted(leads, &key, NOW);
	assert_int_equal(leads_ask(leads, &key, NOW), LEAD_YES);
	leads_free(&leads);
}

static void
refusals_in_steps_say_nothing_of_the_server(void **state)
{
	struct leads *leads = proven();
	struct lead_key key = usual();

	(void)state;
	for (int i = 0; i < 2 * LEAD_FAILURES; i++) {
		leads_refused(leads, &key, false, NOW);
		leads_accepted(leads, &key, NOW);
	}
	assert_int_equal(leads_ask(leads, &key, NOW), LEAD_YES);
	leads_free(&leads);
}

/* Refused in a group and accepted in steps, or cut off, again and again. */
static void
server_that_fails_often_is_left_alone_for_a_week(void **state)
{
	struct lead_key key = usual();

	(void)state;
	for (int proven_after = 0; proven_after <= LEAD_FAILURES;
	     proven_after++) {
		struct leads *leads = proven();
		bool is_left;

		for (int i = 0; i < LEAD_FAILURES; i++) {
			if (i == proven_after)
				leads_proven(leads, &key, NOW);
			if (i % 2 == 0)
				leads_cut(leads, &key, NOW);
			else
				leads_refused(leads, &key, true, NOW);
			leads_accepted(leads, &key, NOW);
		}
		is_left = proven_after == 0 || proven_after == LEAD_FAILURES;
		assert_int_equal(
		    leads_ask(leads, &key, NOW), is_left ? LEAD_NO : LEAD_YES);
		leads_free(&leads);
	}
}

static void
fault_lasts_a_week(void **state)
{
	struct leads *leads = proven();
	struct lead_key key = usual();

	(void)state;
	leads_fault(leads, &key, "closes", NOW);
	leads_accepted(leads, &key, NOW + 7 * DAY_US - 1);
	assert_int_equal(leads_ask(leads, &key, NOW + 7 * DAY_US - 1), LEAD_NO);
	/* ... and is then tried anew, without mail. */
	assert_int_equal(leads_ask(leads, &key, NOW + 7 * DAY_US), LEAD_TRIAL);
	leads_free(&leads);
}

static void
memory_is_bounded(void **state)
{
	struct leads *leads = leads_new();
	char user[32];

	(void)state;
	for (int i = 0; i <= LEAD_LOGINS_MAX; i++) {
		struct lead_key key;

		(void)snprintf(user, sizeof(user), "user%d", i);
		key = key_of("mx.example", 587, user, "PLAIN");
		leads_accepted(leads, &key, NOW + i);
		assert_int_equal(leads_ask(leads, &key, NOW + i), LEAD_TRIAL);
	}
	for (int i = 0; i < 2; i++) {
		struct lead_key key;

		(void)snprintf(user, sizeof(user), "user%d", i);
		key = key_of("mx.example", 587, user, "PLAIN");
		assert_int_equal(leads_ask(leads, &key, NOW + LEAD_LOGINS_MAX),
		    i == 0 ? LEAD_NO : LEAD_TRIAL);
	}
	for (int i = 0; i <= LEAD_SERVERS_MAX; i++) {
		struct lead_key key =
		    key_of("mx.example", (unsigned)i, "joe", "PLAIN");

		leads_accepted(leads, &key, NOW + i);
		leads_tried(leads, &key, NOW + i);
		assert_int_equal(leads_ask(leads, &key, NOW + i), LEAD_YES);
	}
	leads_free(&leads);
}

static void
what_a_server_takes_outlives_the_process(void **state)
{
	char error[200];
	struct board_writer *board =
	    board_writer_open(*state, "fast", "fast", error, sizeof(error));
	struct leads *leads = proven(), *next = leads_new();
	struct lead_key key = usual();
	struct lead_key other = key_of("mx.example", 2525, "joe", "PLAIN");

	assert_non_null(board);
	(void)board_writer_set_account(board, "mx.example joe");
	leads_set_board(leads, board);
	leads_set_board(next, board);
	leads_accepted(next, &key, NOW);
	assert_int_equal(leads_ask(next, &key, NOW), LEAD_TRIAL);
	leads_tried(leads, &key, NOW);
	assert_int_equal(leads_ask(next, &key, NOW), LEAD_YES);
	/* There may be another server at another port. */
	leads_accepted(next, &other, NOW);
	assert_int_equal(leads_ask(next, &other, NOW), LEAD_TRIAL);
	leads_fault(leads, &key, "closes", NOW);
	assert_int_equal(leads_ask(next, &key, NOW), LEAD_NO);
	/* Of two trials at the same time the other is answered. */
	leads_tried(leads, &key, NOW);
	leads_tried(next, &key, NOW);
	assert_int_equal(leads_ask(leads, &key, NOW), LEAD_NO);
	assert_int_equal(leads_ask(next, &key, NOW), LEAD_NO);
	leads_free(&leads);
	leads_free(&next);
	board_writer_close(&board);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(first_login_is_in_steps_the_second_a_trial),
	    cmocka_unit_test(
		another_host_port_user_or_mechanism_is_another_login),
	    cmocka_unit_test(login_is_known_for_a_day),
	    cmocka_unit_test(refused_login_is_in_steps_until_it_is_accepted),
	    cmocka_unit_test(refusals_in_steps_say_nothing_of_the_server),
	    cmocka_unit_test(server_that_fails_often_is_left_alone_for_a_week),
	    cmocka_unit_test(fault_lasts_a_week),
	    cmocka_unit_test(memory_is_bounded),
	    IN_STATEDIR(what_a_server_takes_outlives_the_process),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
