/* A lane with rate limits: how fast, how even, and at what expense. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "test/support/lane_world.h"

static char text_rate[64];

static void
set_rate(struct world *w, const char *text)
{
	(void)snprintf(text_rate, sizeof(text_rate), "%s", text);
	w->set.lane_message_rate_limit = text_rate;
}

/* Most messages in any window of so many milliseconds. */
static size_t
most_in_window(const struct world *w, int64_t window_ms)
{
	size_t most = 0;

	for (size_t from = 0, to = 0; from < w->arrival_count; from++) {
		while (to < w->arrival_count &&
		       w->arrivals_ms[to] < w->arrivals_ms[from] + window_ms)
			to++;
		if (to - from > most)
			most = to - from;
	}
	return most;
}

static void
rate_is_kept_and_reached(void **state)
{
	static const struct {
		const char *text;
		double per_s, burst;
		size_t dials_at_once;
	} cases[] = {{"0.5/1s", 0.5, 1, 2}, {"2/1s", 2, 1, 2},
	    {"14/1s", 14, 1, 4}, {"39/1s", 39, 1, 7}, {"100/1s", 100, 5, 20}};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct world w;
		size_t n = 800, from = 300; /* the sessions it takes */
		double rate, took_s;

		world_init(&w);
		set_rate(&w, cases[i].text);
		world_open(&w, n);
		world_feed(&w, n);
		world_finish(&w, 3600000);
		assert_int_equal(w.arrival_count, n);
		took_s =
		    (double)(w.arrivals_ms[n - 1] - w.arrivals_ms[from]) / 1000;
		rate = (double)(n - 1 - from) / took_s;
		print_message("%-7s %8.3f/s, most in a second %zu, %zu dials, "
			      "%zu sessions at once\n",
		    cases[i].text, rate, most_in_window(&w, 1000), w.dials,
		    w.conns_peak);
		assert_true(rate >= cases[i].per_s * 0.99);
		assert_true(rate <= cases[i].per_s * 1.01);
		for (int64_t ms = 1; ms < 20000; ms = ms * 3 / 2 + 1)
			/* Arrival times are whole milliseconds. */
			assert_true(
			    (double)most_in_window(&w, ms) <=
			    cases[i].burst + 1e-9 +
				cases[i].per_s * (double)(ms + 1) / 1000);
		assert_true(w.conns_peak <= cases[i].dials_at_once);
		world_check_all_sent(&w);
		world_fini(&w);
	}
}

static void
slow_dial_does_not_turn_into_a_burst(void **state)
{
	struct world w;

	(void)state;
	world_init(&w);
	set_rate(&w, "100/1s:5");
	w.server.dial_rtts = 100; /* ten seconds */
	world_open(&w, 500);
	world_submit(&w, 500);
	world_run(&w, 9999);
	/* No more dials than messages may go now. */
	assert_int_equal(w.dials, 5);
	world_finish(&w, 100000);
	assert_true(most_in_window(&w, 1000) <= 105);
	assert_true(most_in_window(&w, 100) <= 15);
	world_check_all_sent(&w);
	world_fini(&w);
}

static void
paced_lane_lets_in_what_it_can_soon_send(void **state)
{
	static const struct {
		const char *text;
		size_t waiting;
	} cases[] = {{"0.5/1s", 4}, {"2/1s", 4}, {"14/1s", 28}, {"100/1s", 200},
	    {"50000/1d!", 400}, {"", 400}};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct world w;

		world_init(&w);
		set_rate(&w, cases[i].text);
		world_open(&w, 2000);
		world_feed(&w, 2000);
		world_settle(&w);
		assert_int_equal(w.count, cases[i].waiting);
		world_run(&w, 5000);
		assert_true(lane_waiting(w.lane) <= cases[i].waiting);
		world_fini(&w);
	}
}

static void
hold_limit_names_the_rate(void **state)
{
	struct world w;

	(void)state;
	world_init(&w);
	set_rate(&w, "0.5/1s");
	world_open(&w, 400);
	world_submit(&w, 400);
	world_finish(&w, 400000);
	assert_in_range(w.outcomes[OUTCOME_SENT], 148, 151);
	assert_string_equal(w.messages[399].text,
	    "not sent within 300s: lane_message_rate_limit = 0.5/1s:1");
	assert_string_equal(w.messages[399].status, "4.4.5");
	assert_int_equal(w.messages[399].cause, DSN_CAUSE_RATE);
	assert_false(w.messages[399].is_hop);
	assert_int_equal(
	    w.messages[399].done_ms - w.messages[399].submitted_ms, 300000);
	world_fini(&w);
}

static void
used_up_quota_is_said_at_once(void **state)
{
	struct world w;
	int64_t until;

	(void)state;
	world_init(&w);
	set_rate(&w, "5/1d!");
	world_open(&w, 100);
	world_submit(&w, 10);
	world_finish(&w, 5000);
	for (size_t i = 0; i < 10; i++) {
		assert_int_equal(w.messages[i].outcomes[0],
		    i < 5 ? OUTCOME_SENT : OUTCOME_DEFER);
		assert_int_equal(w.messages[i].is_hop, i >= 5);
	}
	assert_non_null(strstr(w.messages[9].text,
	    "lane_message_rate_limit = 5/1d! is used up, more in 8"));
	assert_int_equal(w.messages[9].cause, DSN_CAUSE_RATE);
	/* More come in, to learn the same; nobody dials for them. */
	assert_true(lane_may_admit(w.lane, 0, w.now.us, &until));
	world_feed(&w, 50);
	world_settle(&w);
	assert_int_equal(w.done, 60);
	assert_int_equal(w.dials, 5);
	/* A day later, and a slot of 1/59 day. */
	world_run(&w, 90000000);
	world_submit(&w, 5);
	world_finish(&w, 5000);
	assert_int_equal(w.outcomes[OUTCOME_SENT], 10);
	world_fini(&w);
}

static void
message_above_a_quota_holds_up_nobody(void **state)
{
	static char quota[] = "3/1d!";
	struct world w;

	(void)state;
	world_init(&w);
	w.set.lane_recipient_rate_limit = quota;
	w.rcpts_each = 4;
	world_open(&w, 10);
	world_submit(&w, 1);
	w.rcpts_each = 1;
	world_submit(&w, 3);
	world_finish(&w, 5000);
	assert_int_equal(w.messages[0].outcomes[3], OUTCOME_DEFER);
	assert_false(w.messages[0].is_hop);
	assert_string_equal(w.messages[0].text,
	    "message exceeds lane_recipient_rate_limit = 3/1d!");
	assert_int_equal(w.outcomes[OUTCOME_SENT], 3);
	world_fini(&w);
}

static void
recipients_and_octets_are_paced_too(void **state)
{
	struct world w;

	(void)state;
	world_init(&w);
	set_rate(&w, "");
	w.set.lane_recipient_rate_limit = text_rate;
	set_rate(&w, "20/1s:4");
	w.set.lane_message_rate_limit = w.set.lane_byte_rate_limit;
	w.rcpts_each = 4;
	world_open(&w, 500);
	world_feed(&w, 500);
	world_finish(&w, 200000);
	/* Five messages a second. */
	assert_in_range(
	    w.arrivals_ms[499] - w.arrivals_ms[0], 499 * 198, 499 * 202);
	world_check_all_sent(&w);
	world_fini(&w);
	world_init(&w);
	set_rate(&w, "2000/1s:200"); /* messages of 200 octets */
	w.set.lane_byte_rate_limit = text_rate;
	w.set.lane_message_rate_limit = w.set.lane_recipient_rate_limit;
	world_open(&w, 500);
	world_feed(&w, 500);
	world_finish(&w, 200000);
	assert_in_range(
	    w.arrivals_ms[499] - w.arrivals_ms[0], 499 * 99, 499 * 101);
	world_check_all_sent(&w);
	world_fini(&w);
}

static void
paced_lane_wants_no_sessions_it_has_no_tokens_for(void **state)
{
	struct world w;

	(void)state;
	world_init(&w);
	set_rate(&w, "1/1s");
	w.slots = 1;
	world_open(&w, 100);
	world_submit(&w, 50);
	world_run(&w, 300);
	assert_int_equal(w.want, 0);
	world_run(&w, 10300);
	assert_int_equal(w.want, 0);
	assert_int_equal(w.dials, 1);
	world_fini(&w);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(rate_is_kept_and_reached),
	    cmocka_unit_test(slow_dial_does_not_turn_into_a_burst),
	    cmocka_unit_test(paced_lane_lets_in_what_it_can_soon_send),
	    cmocka_unit_test(hold_limit_names_the_rate),
	    cmocka_unit_test(used_up_quota_is_said_at_once),
	    cmocka_unit_test(message_above_a_quota_holds_up_nobody),
	    cmocka_unit_test(recipients_and_octets_are_paced_too),
	    cmocka_unit_test(paced_lane_wants_no_sessions_it_has_no_tokens_for),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
