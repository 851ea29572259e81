#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <string.h>

#include "agent/token/source.h"

enum { S = 1000, MIN = 60 * S, HOUR = 60 * MIN };

static void
fetch(struct source *s, int64_t now_ms, const char *token, int64_t life_s)
{
	assert_true(source_is_due(s, now_ms));
	source_began(s, now_ms);
	source_granted(s, token, life_s);
}

static void
fetch_in_vain(struct source *s, int64_t now_ms, bool is_lasting)
{
	assert_true(source_is_due(s, now_ms));
	source_began(s, now_ms);
	source_failed(s, "why", is_lasting, 0, 0, now_ms);
}

static void
nothing_is_fetched_unasked(void **state)
{
	struct source s;

	(void)state;
	source_init(&s);
	assert_false(source_is_due(&s, 0));
	assert_true(source_due_ms(&s) == INT64_MAX);
	assert_int_equal(source_ask(&s, 0, 0), SOURCE_WAIT);
	assert_true(source_is_due(&s, 0));
	source_began(&s, 0);
	/* One fetch for all. */
	assert_false(source_is_due(&s, 0));
	assert_int_equal(source_ask(&s, 0, 10), SOURCE_WAIT);
	source_granted(&s, "a", 3600);
	assert_int_equal(source_ask(&s, 0, 10), SOURCE_TOKEN);
	assert_string_equal(s.token, "a");
	assert_int_equal(s.serial, 1);
	source_fini(&s);
}

/* life, refreshed at, over at: in seconds, asked at 100 */
static void
refresh_comes_before_the_end(void **state)
{
	static const int64_t cases[][3] = {
	    {3600, 100 + 2880, 100 + 3598}, /* a fifth: 12 min */
	    {1800, 100 + 1200, 100 + 1798}, /* ten minutes */
	    {600, 100 + 300, 100 + 598}, /* half */
	    {10, 100 + 5, 100 + 10},
	    {86400, 100 + 69120, 100 + 86398},
	};
	struct source s;

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		int64_t refresh = cases[i][1] * S, end = cases[i][2] * S;

		source_init(&s);
		(void)source_ask(&s, 0, 100 * S);
		fetch(&s, 100 * S, "a", cases[i][0]);
		assert_int_equal(source_due_ms(&s), refresh);
		assert_false(source_is_due(&s, refresh - 1));
		assert_true(source_is_due(&s, refresh));
		/* Until then the old one is given out. */
		assert_int_equal(source_ask(&s, 0, end - 1), SOURCE_TOKEN);
		assert_int_equal(source_ask(&s, 0, end), SOURCE_WAIT);
		source_fini(&s);
	}
}

/* The life counts from before the question: a slow answer does not lengthen it.
 */
static void
life_begins_with_the_question(void **state)
{
	struct source s;

	(void)state;
	source_init(&s);
	(void)source_ask(&s, 0, 0);
	source_began(&s, 0);
	source_granted(&s, "a", 100);
	assert_int_equal(source_ask(&s, 0, 99 * S), SOURCE_WAIT);
	source_fini(&s);
}

static void
token_of_a_second_is_not_fetched_all_the_time(void **state)
{
	struct source s;

	(void)state;
	source_init(&s);
	(void)source_ask(&s, 0, 0);
	fetch(&s, 0, "a", 1);
	assert_false(source_is_due(&s, 999));
	assert_true(source_is_due(&s, 1000));
	source_fini(&s);
}

static void
waits_grow_up_to_a_minute(void **state)
{
	static const int64_t waits_s[] = {1, 2, 4, 8, 16, 32, 60, 60};
	int64_t now = 0;
	struct source s;

	(void)state;
	source_init(&s);
	(void)source_ask(&s, 0, now);
	for (size_t i = 0; i < sizeof(waits_s) / sizeof(waits_s[0]); i++) {
		fetch_in_vain(&s, now, false);
		assert_int_equal(source_ask(&s, 0, now), SOURCE_NONE);
		assert_string_equal(s.reason, "why");
		assert_int_equal(source_due_ms(&s), now + waits_s[i] * S);
		assert_false(source_is_due(&s, now + waits_s[i] * S - 1));
		now += waits_s[i] * S;
	}
	fetch(&s, now, "a", 3600);
	assert_string_equal(s.reason, "");
	assert_int_equal(s.failures, 0);
	source_fini(&s);
}

static void
waits_are_spread_by_a_quarter(void **state)
{
	struct source s;

	(void)state;
	source_init(&s);
	(void)source_ask(&s, 0, 0);
	source_began(&s, 0);
	source_failed(&s, "why", false, 0, 999, 0);
	assert_in_range(s.not_before_ms, 750, 751);
	source_fini(&s);
}

static void
what_lasts_is_tried_rarely_and_told_at_once(void **state)
{
	static const int64_t waits_s[] = {60, 120, 240, 300, 300};
	int64_t now = 0;
	struct source s;

	(void)state;
	source_init(&s);
	(void)source_ask(&s, 0, now);
	/* What was before does not count. */
	for (int i = 0; i < 2; i++) {
		fetch_in_vain(&s, now, false);
		assert_false(source_is_alarming(&s, now));
		now = source_due_ms(&s);
	}
	for (size_t i = 0; i < sizeof(waits_s) / sizeof(waits_s[0]); i++) {
		fetch_in_vain(&s, now, true);
		assert_true(source_is_alarming(&s, now));
		assert_int_equal(source_due_ms(&s), now + waits_s[i] * S);
		now += waits_s[i] * S;
	}
	source_fini(&s);
}

static void
endpoint_says_when(void **state)
{
	struct source s;

	(void)state;
	source_init(&s);
	(void)source_ask(&s, 0, 0);
	source_began(&s, 0);
	source_failed(&s, "why", false, 120, 0, 0);
	assert_int_equal(source_due_ms(&s), 120 * S);
	source_began(&s, 120 * S);
	source_failed(&s, "why", false, 1000000, 0, 120 * S);
	assert_int_equal(source_due_ms(&s), 120 * S + HOUR);
	source_fini(&s);
}

/* An endpoint that is down while a token lives is no alarm; then it is. */
static void
outage_is_told_when_mail_waits(void **state)
{
	struct source s;
	int64_t now, end = 3598 * S;

	(void)state;
	source_init(&s);
	(void)source_ask(&s, 0, 0);
	fetch(&s, 0, "a", 3600);
	for (now = source_due_ms(&s); now < end; now = source_due_ms(&s)) {
		fetch_in_vain(&s, now, false);
		assert_false(source_is_alarming(&s, now));
		assert_int_equal(source_ask(&s, 0, now), SOURCE_TOKEN);
	}
	assert_int_equal(source_ask(&s, 0, end), SOURCE_NONE);
	fetch_in_vain(&s, now, false);
	assert_true(source_is_alarming(&s, now));
	now = source_due_ms(&s);
	fetch(&s, now, "b", 3600);
	assert_false(source_is_alarming(&s, now));
	assert_int_equal(s.serial, 2);
	source_fini(&s);
}

static void
first_failures_are_no_alarm(void **state)
{
	int64_t now = 0;
	struct source s;

	(void)state;
	source_init(&s);
	(void)source_ask(&s, 0, 0);
	for (int i = 1; i <= SOURCE_TRIES; i++) {
		fetch_in_vain(&s, now, false);
		assert_int_equal(
		    source_is_alarming(&s, now), i == SOURCE_TRIES);
		now = source_due_ms(&s);
	}
	source_fini(&s);
}

static void
refused_token_is_renewed_once(void **state)
{
	struct source s;

	(void)state;
	source_init(&s);
	(void)source_ask(&s, 0, 0);
	fetch(&s, 0, "a", 3600);
	assert_int_equal(source_ask(&s, 1, 5 * S), SOURCE_WAIT);
	/* Of two lanes one fetch. */
	assert_int_equal(source_ask(&s, 1, 5 * S), SOURCE_WAIT);
	/* Who was refused nothing waits, too: the other may be withdrawn. */
	assert_int_equal(source_ask(&s, 0, 5 * S), SOURCE_WAIT);
	fetch(&s, 5 * S, "b", 3600);
	assert_int_equal(source_ask(&s, 0, 5 * S), SOURCE_TOKEN);
	assert_int_equal(s.serial, 2);
	/* Who comes late with the old one gets the new one. */
	assert_int_equal(source_ask(&s, 1, 6 * S), SOURCE_TOKEN);
	/* The new one is refused, too: it is not the token. */
	assert_int_equal(source_ask(&s, 2, 7 * S), SOURCE_TOKEN);
	assert_int_equal(s.serial, 2);
	assert_false(source_is_due(&s, 7 * S));
	/* Some time later it may be. */
	assert_int_equal(
	    source_ask(&s, 2, 5 * S + SOURCE_RENEW_MS), SOURCE_WAIT);
	source_fini(&s);
}

/* A token that is refused in its first second is. */
static void
young_token_is_renewed_too(void **state)
{
	struct source s;

	(void)state;
	source_init(&s);
	(void)source_ask(&s, 0, 0);
	fetch(&s, 0, "a", 3600);
	assert_int_equal(source_ask(&s, 1, 100), SOURCE_WAIT);
	assert_false(source_is_due(&s, 100));
	assert_int_equal(source_due_ms(&s), 1000);
	fetch(&s, 1000, "b", 3600);
	assert_int_equal(source_ask(&s, 0, 1000), SOURCE_TOKEN);
	assert_int_equal(s.serial, 2);
	source_fini(&s);
}

static void
renewal_that_fails_leaves_the_token(void **state)
{
	struct source s;

	(void)state;
	source_init(&s);
	(void)source_ask(&s, 0, 0);
	fetch(&s, 0, "a", 3600);
	assert_int_equal(source_ask(&s, 1, 5 * S), SOURCE_WAIT);
	fetch_in_vain(&s, 5 * S, false);
	assert_int_equal(source_ask(&s, 0, 5 * S), SOURCE_TOKEN);
	assert_int_equal(s.serial, 1);
	source_fini(&s);
}

/* While waits are on, a refusal does not break them. */
static void
renewal_respects_the_waits(void **state)
{
	struct source s;

	(void)state;
	source_init(&s);
	(void)source_ask(&s, 0, 0);
	fetch(&s, 0, "a", 3600);
	source_began(&s, 2880 * S);
	source_failed(&s, "why", false, 600, 0, 2880 * S);
	assert_int_equal(source_ask(&s, 1, 2900 * S), SOURCE_TOKEN);
	assert_false(source_is_due(&s, 2900 * S));
	assert_true(source_is_due(&s, 3480 * S));
	source_fini(&s);
}

static void
reason_is_printable(void **state)
{
	struct source s;

	(void)state;
	source_init(&s);
	(void)source_ask(&s, 0, 0);
	source_began(&s, 0);
	source_failed(&s, "a\nb\033[1m", false, 0, 0, 0);
	assert_string_equal(s.reason, "a?b?[1m");
	source_fini(&s);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(nothing_is_fetched_unasked),
	    cmocka_unit_test(refresh_comes_before_the_end),
	    cmocka_unit_test(life_begins_with_the_question),
	    cmocka_unit_test(token_of_a_second_is_not_fetched_all_the_time),
	    cmocka_unit_test(waits_grow_up_to_a_minute),
	    cmocka_unit_test(waits_are_spread_by_a_quarter),
	    cmocka_unit_test(what_lasts_is_tried_rarely_and_told_at_once),
	    cmocka_unit_test(endpoint_says_when),
	    cmocka_unit_test(outage_is_told_when_mail_waits),
	    cmocka_unit_test(first_failures_are_no_alarm),
	    cmocka_unit_test(refused_token_is_renewed_once),
	    cmocka_unit_test(young_token_is_renewed_too),
	    cmocka_unit_test(renewal_that_fails_leaves_the_token),
	    cmocka_unit_test(renewal_respects_the_waits),
	    cmocka_unit_test(reason_is_printable),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
