/* Recipient domains that an operator holds back, in fake time. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "agent/engine/lane_holds.h"
#include "agent/engine/lane_why.h"
#include "common/base/clock.h"
#include "test/support/lane_world.h"

enum { MINUTE_MS = 60000, ENOUGH_MS = 600000 };

#define MINUTE_US (60 * US_PER_S)

static void
hold(struct world *w, const char *domain, int64_t until_us)
{
	struct lane_hold h = {.until_us = until_us};

	(void)snprintf(h.domain, sizeof(h.domain), "%s", domain);
	(void)snprintf(h.why, sizeof(h.why), "paused by root");
	lane_hold_domains(w->lane, &h, 1, w->now);
	world_settle(w);
}

static void
release(struct world *w)
{
	lane_hold_domains(w->lane, NULL, 0, w->now);
	world_settle(w);
}

static void
submit(struct world *w, const char *domain, size_t n)
{
	w->domains_of[0] = domain;
	world_submit(w, n);
}

/* Of those numbered from on, sent so far. */
static size_t
sent(const struct world *w, size_t from, size_t n)
{
	size_t count = 0;

	for (size_t i = from; i < from + n; i++)
		count += w->messages[i].decided > 0 &&
			 w->messages[i].outcomes[0] == OUTCOME_SENT;
	return count;
}

static void
note_why(void *ctx, const struct lane_why *why, const struct transaction *t)
{
	(void)t;
	*(struct lane_why *)ctx = *why;
}

static void
held_domain_waits_and_others_go_on(void **state)
{
	struct world w;
	int64_t from;
	char text[LANE_WHY_SIZE];
	struct lane_why why;

	(void)state;
	world_init(&w);
	world_open(&w, 200);
	from = w.now.us;
	hold(&w, "gmx.test", from + MINUTE_US);
	submit(&w, "gmx.test", 20);
	submit(&w, "other.test", 20);
	submit(&w, "GMX.test", 5);
	submit(&w, "sub.gmx.test", 5);
	world_run(&w, 10000);
	assert_int_equal(sent(&w, 0, 20), 0);
	assert_int_equal(sent(&w, 20, 20), 20);
	assert_int_equal(sent(&w, 40, 5), 0);
	assert_int_equal(sent(&w, 45, 5), 5);
	assert_int_equal(lane_parked(w.lane), 25);
	assert_int_equal(lane_waits_for(w.lane, w.now, text, sizeof(text)),
	    BOARD_WAIT_OPERATOR);
	assert_string_equal(text, "mail to gmx.test is paused by root");
	lane_why_each(w.lane, w.messages[19].req, w.now, note_why, &why);
	assert_int_equal(why.wait, BOARD_WAIT_OPERATOR);
	assert_string_equal(why.text, "mail to gmx.test is paused by root");
	assert_string_equal(why.parameter, "");
	assert_int_equal(why.place, 20);
	assert_int_equal(why.of, 25);
	assert_int_equal(why.expected_us / US_PER_S, 50);
	world_run(&w, MINUTE_MS - 10000 - 1000);
	assert_int_equal(sent(&w, 0, 20), 0);
	world_finish(&w, ENOUGH_MS);
	world_check_all_sent(&w);
	assert_true(w.now.us - from < MINUTE_US + 10 * US_PER_S);
	world_fini(&w);
}

/* What came before it is held as well, and in its order again afterwards. */
static void
mail_that_waits_already_is_held(void **state)
{
	static char slow[] = "10/1s";
	struct world w;
	size_t before;

	(void)state;
	world_init(&w);
	w.set.lane_message_rate_limit = slow;
	world_open(&w, 200);
	for (int i = 0; i < 20; i++) {
		submit(&w, "gmx.test", 1);
		submit(&w, "other.test", 1);
	}
	world_run(&w, 2000);
	hold(&w, ".test", w.now.us + MINUTE_US);
	before = w.outcomes[OUTCOME_SENT];
	assert_in_range(before, 5, 15);
	world_run(&w, 3000);
	/* But what had been given to a session. */
	assert_in_range(w.outcomes[OUTCOME_SENT], before, before + 2);
	hold(&w, "gmx.test", w.now.us + MINUTE_US);
	world_run(&w, 3000);
	for (size_t i = 1; i < 40; i += 2)
		assert_int_equal(sent(&w, i, 1), 1);
	release(&w);
	world_finish(&w, ENOUGH_MS);
	world_check_all_sent(&w);
	for (size_t i = 2; i < 40; i += 2)
		assert_true(w.messages[i].done_ms >= w.messages[i - 2].done_ms);
	world_fini(&w);
}

static void
message_for_several_domains_goes_in_parts(void **state)
{
	struct world w;

	(void)state;
	world_init(&w);
	w.rcpts_each = 3;
	w.domains_of[0] = "gmx.test";
	w.domains_of[1] = "other.test";
	w.domains_of[2] = "gmx.test";
	world_open(&w, 20);
	/* One that waits when it is asked for, and one that comes later. */
	w.slots = 1;
	w.server.dial_rtts = 40;
	world_submit(&w, 1);
	hold(&w, "gmx.test", w.now.us + MINUTE_US);
	world_submit(&w, 1);
	world_run(&w, 20000);
	for (size_t i = 0; i < 2; i++) {
		assert_int_equal(w.messages[i].decided, 1);
		assert_int_equal(w.messages[i].taken[0], 0);
		assert_int_equal(w.messages[i].taken[1], 1);
		assert_int_equal(w.messages[i].taken[2], 0);
	}
	world_finish(&w, ENOUGH_MS);
	for (size_t i = 0; i < 2; i++)
		for (size_t k = 0; k < 3; k++)
			assert_int_equal(w.messages[i].taken[k], 1);
	world_fini(&w);
}

static void
long_hold_defers_and_calls_back(void **state)
{
	struct world w;

	(void)state;
	world_init(&w);
	w.calls_back = true;
	world_open(&w, 50);
	hold(&w, "gmx.test", INT64_MAX);
	submit(&w, "gmx.test", 5);
	submit(&w, "other.test", 5);
	world_run(&w, 5000);
	assert_int_equal(w.outcomes[OUTCOME_DEFER], 5);
	assert_int_equal(w.outcomes[OUTCOME_SENT], 5);
	assert_int_equal(w.messages[0].cause, DSN_CAUSE_PAUSE);
	assert_string_equal(
	    w.messages[0].text, "mail to gmx.test is paused by root");
	assert_false(w.messages[0].is_hop);
	/* A session that comes up is not the end of it, nor another hold. */
	world_cut_all(&w);
	submit(&w, "other.test", 5);
	world_run(&w, 5000);
	hold(&w, "gmx.test", w.now.us + 10 * MINUTE_US);
	assert_int_equal(w.backs, 0);
	release(&w);
	assert_int_equal(w.backs, 1);
	submit(&w, "gmx.test", 5);
	world_finish(&w, ENOUGH_MS);
	world_fini(&w);
}

/* A domain's own limit holds again when the hold is over. */
static void
limit_of_the_domain_is_kept_afterwards(void **state)
{
	struct world w;
	int64_t from;

	(void)state;
	world_init(&w);
	world_set_domains(&w, "gmx.test=2/1s");
	world_open(&w, 50);
	hold(&w, "gmx.test", w.now.us + MINUTE_US);
	submit(&w, "gmx.test", 20);
	world_run(&w, 5000);
	assert_int_equal(w.done, 0);
	release(&w);
	from = w.now.us;
	world_finish(&w, ENOUGH_MS);
	assert_in_range((w.now.us - from) / US_PER_MS, 9000, 12000);
	world_check_all_sent(&w);
	world_fini(&w);
}

static int
turn_away(
    struct world *w, struct world_conn *conn, size_t number, const char *line)
{
	(void)w;
	(void)conn;
	(void)number;
	return strncmp(line, "MAIL", 4) == 0 ? 421 : 0;
}

/* What comes back from a session is held as what waits is. */
static void
returned_mail_is_held(void **state)
{
	struct world w;

	(void)state;
	world_init(&w);
	w.server.reply_ms = 400;
	w.server.judge = turn_away;
	world_open(&w, 50);
	submit(&w, "gmx.test", 5);
	while (lane_in_flight(w.lane) < 5)
		world_run(&w, 1);
	hold(&w, "gmx.test", w.now.us + MINUTE_US);
	assert_int_equal(lane_in_flight(w.lane), 5);
	world_run(&w, 2000);
	w.server.judge = NULL;
	assert_int_equal(lane_in_flight(w.lane), 0);
	world_run(&w, 30000);
	assert_int_equal(w.done, 0);
	assert_int_equal(lane_parked(w.lane), 5);
	world_finish(&w, ENOUGH_MS);
	assert_int_equal(w.outcomes[OUTCOME_SENT], 5);
	world_fini(&w);
}

/* An earlier process deferred it, for the same hold. */
static void
hold_that_is_taken_over_calls_back_when_it_ends(void **state)
{
	struct world w;

	(void)state;
	world_init(&w);
	world_open(&w, 100);
	w.owed_before = 3;
	hold(&w, "gmx.test", INT64_MAX);
	assert_int_equal(w.backs, 0);
	release(&w);
	assert_int_equal(w.backs, 1);
	world_fini(&w);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(held_domain_waits_and_others_go_on),
	    cmocka_unit_test(mail_that_waits_already_is_held),
	    cmocka_unit_test(message_for_several_domains_goes_in_parts),
	    cmocka_unit_test(long_hold_defers_and_calls_back),
	    cmocka_unit_test(limit_of_the_domain_is_kept_afterwards),
	    cmocka_unit_test(returned_mail_is_held),
	    cmocka_unit_test(hold_that_is_taken_over_calls_back_when_it_ends),
	};

	return cmocka_run_group_tests_name("lane_holds", tests, NULL, NULL);
}
