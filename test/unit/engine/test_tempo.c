#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "agent/engine/tempo.h"

static void
dials_and_messages_are_smoothed(void **state)
{
	struct tempo t = {0};

	(void)state;
	assert_false(t.knows_dial || t.knows_message);
	tempo_on_dial(&t, 100);
	assert_true(t.knows_dial && t.dial_us == 100);
	tempo_on_dial(&t, 500);
	assert_true(t.dial_us == 200);
	tempo_on_message(&t, 0);
	assert_true(t.knows_message && t.message_us == 0);
	tempo_on_message(&t, 32);
	assert_true(t.message_us == 2);
	/* A clock that went back is no time. */
	tempo_on_message(&t, -1000);
	assert_true(t.message_us == 1.875);
}

/* One after the other, and in windows of ten, of which the first takes a round
 * trip: the same on the average. */
static void
window_counts_as_so_many_messages(void **state)
{
	struct tempo each = {0}, windows = {0};

	(void)state;
	for (int i = 0; i < 1000; i++) {
		tempo_on_message(&each, 10);
		tempo_on_message(&windows, i % 10 == 0 ? 100 : 0);
	}
	assert_true(each.message_us == 10);
	assert_true(windows.message_us > 6 && windows.message_us < 15);
}

static void
session_carries_so_many_in_a_span(void **state)
{
	struct tempo t = {0};

	(void)state;
	tempo_on_dial(&t, 700);
	tempo_on_message(&t, 10);
	assert_true(tempo_messages(&t, 700) == 70);
	t.message_us = 0;
	assert_true(isinf(tempo_messages(&t, 1)));
}

/* A message each 10 ms: seventy in the time of a dial, and fewer when it
 * ends. */
static void
coming_is_what_comes_while_somebody_dials(void **state)
{
	struct tempo t = {0};
	int64_t now = 5000;

	(void)state;
	assert_true(tempo_coming(&t, now) == 0);
	tempo_on_dial(&t, 700);
	for (int i = 0; i < 500; i++)
		tempo_on_coming(&t, now += 10);
	assert_true(fabs(tempo_coming(&t, now) - 70) < 1);
	assert_true(fabs(tempo_coming(&t, now + 700) - 70 / M_E) < 1);
	assert_true(tempo_coming(&t, now + 7000) < 0.01);
}

static void
next_is_waited_for_as_long_as_those_before_were_apart(void **state)
{
	struct tempo t = {0};
	int64_t now = 5000000;

	(void)state;
	/* One alone says nothing of a next; nor does what comes at once. */
	tempo_on_coming(&t, now);
	assert_int_equal(tempo_next_us(&t, 1000000), now);
	tempo_on_coming(&t, now);
	assert_int_equal(tempo_next_us(&t, 1000000), now);
	for (int i = 0; i < 50; i++)
		tempo_on_coming(&t, now += 100000);
	assert_int_equal(tempo_next_us(&t, 1000000), now + 800000);
	assert_int_equal(tempo_next_us(&t, 250000), now + 250000);
	/* The first of others, long after, and those: few, one like another. */
	tempo_on_coming(&t, now += 1000001);
	assert_int_equal(tempo_next_us(&t, 1000000), now);
	tempo_on_coming(&t, now += 20000);
	tempo_on_coming(&t, now += 100000);
	tempo_on_coming(&t, now += 60000);
	assert_int_equal(tempo_next_us(&t, 1000000), now + 480000);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(dials_and_messages_are_smoothed),
	    cmocka_unit_test(window_counts_as_so_many_messages),
	    cmocka_unit_test(session_carries_so_many_in_a_span),
	    cmocka_unit_test(coming_is_what_comes_while_somebody_dials),
	    cmocka_unit_test(
		next_is_waited_for_as_long_as_those_before_were_apart),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
