#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "agent/engine/pacer.h"
#include "test/support/fixture.h"

#define SECOND INT64_C(1000000)

enum { TAKES = 600 };

static const int64_t start_us = 1000 * SECOND;

static struct pacer
pacer_of(const char *messages, const char *recipients, const char *octets)
{
	char texts[3][64];
	struct settings set = {
	    .lane_message_rate_limit = texts[0],
	    .lane_recipient_rate_limit = texts[1],
	    .lane_byte_rate_limit = texts[2],
	};
	struct pacer p;
	char error[256] = "";

	(void)snprintf(texts[0], sizeof(texts[0]), "%s", messages);
	(void)snprintf(texts[1], sizeof(texts[1]), "%s", recipients);
	(void)snprintf(texts[2], sizeof(texts[2]), "%s", octets);
	if (!pacer_init(&p, &set, start_us, error, sizeof(error)))
		fail_msg("%s", error);
	return p;
}

static struct pacer_cost
cost(uint64_t rcpts, uint64_t octets)
{
	return (struct pacer_cost){{1, rcpts, octets}, NULL};
}

static void
without_a_limit_all_may_go(void **state)
{
	struct pacer p = pacer_of("", "none", "");
	struct pacer_cost c = cost(1000, 1u << 30);

	(void)state;
	assert_int_equal(pacer_wait_us(&p, &c, start_us, NULL), 0);
	assert_int_equal(pacer_ready(&p, &c, 77, start_us), 77);
	assert_true(pacer_messages_per_s(&p, start_us) == INT64_MAX);
	pacer_take(&p, &c, start_us);
}

static void
wrong_value_is_named_with_its_parameter(void **state)
{
	char wrong[] = "12 apples", none[] = "", error[256] = "";
	struct settings set = {
	    .lane_message_rate_limit = none,
	    .lane_recipient_rate_limit = wrong,
	    .lane_byte_rate_limit = none,
	};
	struct pacer p;

	(void)state;
	assert_false(pacer_init(&p, &set, start_us, error, sizeof(error)));
	assert_non_null(strstr(error, "lane_recipient_rate_limit = 12 apples"));
}

static void
longest_wait_decides_and_is_named(void **state)
{
	struct pacer p = pacer_of("10/1s:1", "10/1s:10", "1000/1s:1000");
	struct pacer_cost c = cost(5, 100), big = cost(1, 3000);
	const struct pacer_limit *why = NULL;

	(void)state;
	assert_int_equal(pacer_wait_us(&p, &c, start_us, &why), 0);
	pacer_take(&p, &c, start_us);
	assert_int_equal(pacer_wait_us(&p, &c, start_us, &why), SECOND / 10);
	assert_string_equal(pacer_parameter(why), "lane_message_rate_limit");
	pacer_take(&p, &c, start_us + SECOND / 10);
	/* 10 recipients taken, one came back */
	assert_int_equal(pacer_wait_us(&p, &c, start_us + SECOND / 10, &why),
	    4 * SECOND / 10);
	assert_string_equal(pacer_parameter(why), "lane_recipient_rate_limit");
	/* Above the burst: as soon as the bucket is not in debt. */
	assert_int_equal(
	    pacer_wait_us(&p, &big, start_us + 3 * SECOND, &why), 0);
	pacer_take(&p, &big, start_us + 3 * SECOND);
	assert_int_equal(pacer_wait_us(&p, &c, start_us + 4 * SECOND, &why),
	    SECOND + SECOND / 10);
	assert_string_equal(pacer_parameter(why), "lane_byte_rate_limit");
}

static void
ready_is_how_many_can_be_taken(void **state)
{
	static const struct {
		const char *messages, *recipients, *octets;
		size_t ready;
	} cases[] = {
	    {"100/1s", "", "", 5},
	    {"100/1s:30", "", "", 30},
	    {"1/1s", "", "", 1},
	    {"50/1d!", "", "", 50},
	    {"100/1s", "6/1s:6", "", 3},
	    {"", "", "1000/1s:999", 9},
	    {"", "", "10/1s:10", 1},
	    {"100000/1s:100000", "", "", 1000},
	};
	struct pacer_cost c = cost(2, 100);

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct pacer p = pacer_of(
		    cases[i].messages, cases[i].recipients, cases[i].octets);
		size_t taken = 0;

		assert_int_equal(
		    pacer_ready(&p, &c, 1000, start_us), cases[i].ready);
		while (taken < 1000 &&
		       pacer_wait_us(&p, &c, start_us, NULL) == 0) {
			pacer_take(&p, &c, start_us);
			taken++;
		}
		assert_int_equal(taken, cases[i].ready);
		if (taken < 1000)
			assert_int_equal(pacer_ready(&p, &c, 9, start_us), 0);
	}
}

/* Whole milliseconds, as loop timers are, and then late at random. */
static void
rate_is_exact_although_timers_are_late(void **state)
{
	static const struct {
		const char *text;
		double per_s, burst;
	} cases[] = {{"0.5/1s", 0.5, 1}, {"2/1s", 2, 1}, {"14/1s", 14, 1},
	    {"23/1s", 23, 1}, {"39/1s", 39, 1}, {"100/1s", 100, 5},
	    {"30/1m", 0.5, 1}, {"30/1m:5", 0.5, 5}};
	struct fixture_random random;

	(void)state;
	fixture_random_init(&random);
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct pacer p = pacer_of(cases[i].text, "", "");
		struct pacer_cost c = cost(1, 1);
		int64_t at[TAKES], now = start_us;
		double rate;

		for (int n = 0; n < TAKES; n++) {
			int64_t wait = pacer_wait_us(&p, &c, now, NULL);

			if (wait > 0) {
				now = (now + wait + 999) / 1000 * 1000;
				now +=
				    (int64_t)fixture_random_below(&random, 3) *
				    1000;
			}
			assert_int_equal(pacer_wait_us(&p, &c, now, NULL), 0);
			pacer_take(&p, &c, now);
			at[n] = now;
		}
		rate = (double)(TAKES - cases[i].burst) * 1e6 /
		       (double)(at[TAKES - 1] - start_us);
		if (rate < cases[i].per_s * 0.99 ||
		    rate > cases[i].per_s * 1.01)
			fail_msg("%s: %.3f per second", cases[i].text, rate);
		/* Lateness allows no more than it took: 3 ms. */
		for (int from = 0; from < TAKES; from++)
			for (int to = from; to < TAKES; to++)
				assert_true(to - from + 1 <=
					    cases[i].burst + 1e-6 +
						cases[i].per_s *
						    ((double)(at[to] -
							      at[from] + 3000) /
							1e6));
	}
}

static void
lateness_of_another_kind_is_not_made_up_for(void **state)
{
	struct pacer p = pacer_of("10/1s:1", "", "");
	struct pacer_cost c = cost(1, 1);

	(void)state;
	pacer_take(&p, &c, start_us);
	assert_int_equal(pacer_wait_us(&p, &c, start_us, NULL), SECOND / 10);
	/* No session for two seconds: no burst follows. */
	pacer_take(&p, &c, start_us + 2 * SECOND);
	assert_int_equal(
	    pacer_wait_us(&p, &c, start_us + 2 * SECOND, NULL), SECOND / 10);
	/* A due time that was for a smaller message is not used. */
	p = pacer_of("", "", "1000/1s:1000");
	c = cost(1, 1000);
	pacer_take(&p, &c, start_us);
	c = cost(1, 1);
	assert_int_equal(pacer_wait_us(&p, &c, start_us, NULL), 1000);
	c = cost(1, 2000);
	assert_int_equal(pacer_wait_us(&p, &c, start_us + SECOND, NULL), 0);
	pacer_take(&p, &c, start_us + SECOND);
}

static void
expected_is_what_the_slowest_rate_allows(void **state)
{
	struct pacer p = pacer_of("14/1s,5/1d!", "100/1s", "1000/1s");
	struct pacer_cost c = cost(2, 10), many = cost(50, 10),
			  big = cost(1, 500), probe = cost(1, 0);

	(void)state;
	assert_int_equal(pacer_expected(&p, &c, SECOND, 1000), 14);
	assert_int_equal(pacer_expected(&p, &c, SECOND, 3), 3);
	assert_int_equal(pacer_expected(&p, &c, SECOND / 20, 1000), 0);
	assert_int_equal(pacer_expected(&p, &many, 2 * SECOND, 1000), 4);
	assert_int_equal(pacer_expected(&p, &big, 2 * SECOND, 1000), 4);
	assert_int_equal(pacer_expected(&p, &probe, SECOND, 1000), 14);
	p = pacer_of("", "", "");
	assert_int_equal(pacer_expected(&p, &c, SECOND, 1000), 1000);
}

static void
messages_per_s_looks_at_rates_and_what_is_left_of_quotas(void **state)
{
	struct pacer p = pacer_of("14/1s", "600/1m", "");
	struct pacer_cost c = cost(1, 1);

	(void)state;
	assert_int_equal(pacer_messages_per_s(&p, start_us), 10);
	p = pacer_of("0.5/1s", "", "");
	assert_int_equal(pacer_messages_per_s(&p, start_us), 0);
	p = pacer_of("50000/1d!", "", "1/1s");
	assert_int_equal(pacer_messages_per_s(&p, start_us), 50000);
	for (int i = 0; i < 49999; i++)
		pacer_take(&p, &(struct pacer_cost){{1, 1, 0}, NULL}, start_us);
	assert_int_equal(pacer_messages_per_s(&p, start_us), 1);
	pacer_take(&p, &(struct pacer_cost){{1, 1, 0}, NULL}, start_us);
	assert_int_equal(pacer_messages_per_s(&p, start_us), 0);
	assert_true(pacer_wait_us(&p, &c, start_us, NULL) > 3600 * SECOND);
}

static void
message_above_a_quota_never_goes(void **state)
{
	struct pacer p = pacer_of("10/1s", "100/1d!", "");
	struct pacer_cost c = cost(101, 1);
	const struct pacer_limit *why = NULL;

	(void)state;
	assert_true(pacer_wait_us(&p, &c, start_us, &why) == RATE_NEVER);
	assert_string_equal(pacer_parameter(why), "lane_recipient_rate_limit");
	assert_int_equal(pacer_ready(&p, &c, 10, start_us), 0);
	c = cost(100, 1);
	assert_int_equal(pacer_wait_us(&p, &c, start_us, NULL), 0);
	pacer_take(&p, &c, start_us);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(without_a_limit_all_may_go),
	    cmocka_unit_test(wrong_value_is_named_with_its_parameter),
	    cmocka_unit_test(longest_wait_decides_and_is_named),
	    cmocka_unit_test(ready_is_how_many_can_be_taken),
	    cmocka_unit_test(rate_is_exact_although_timers_are_late),
	    cmocka_unit_test(lateness_of_another_kind_is_not_made_up_for),
	    cmocka_unit_test(expected_is_what_the_slowest_rate_allows),
	    cmocka_unit_test(
		messages_per_s_looks_at_rates_and_what_is_left_of_quotas),
	    cmocka_unit_test(message_above_a_quota_never_goes),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
