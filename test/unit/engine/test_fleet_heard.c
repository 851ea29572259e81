/* What is obeyed of what other hosts learned, in fake time. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <string.h>

#include "agent/engine/fleet_engine.h"
#include "agent/engine/fleet_heard.h"
#include "common/base/clock.h"

#define T0 (1000 * US_PER_S)

static struct fleet_heard heard[FLEET_KINDS];

static int
begin(void **state)
{
	(void)state;
	memset(heard, 0, sizeof(heard));
	return 0;
}

static struct fleet_lesson
lesson(int64_t left_us, int64_t value, const char *host)
{
	struct fleet_lesson l = {.left_us = left_us, .value = value};

	(void)snprintf(l.host, sizeof(l.host), "%s", host);
	return l;
}

/* The engine's answer: of a kind this, of the others nothing. */
static void
hear(enum fleet_lesson_kind kind, struct fleet_lesson l, int64_t in_use,
    int64_t now_us)
{
	struct fleet_answer a = {.word = FLEET_OK};

	a.lessons[kind] = l;
	fleet_heard_take(heard, &a, in_use, now_us);
}

static bool
is_paused(int64_t now_us)
{
	return fleet_heard_holds(&heard[FLEET_PAUSE], now_us);
}

static void
pause_is_obeyed_until_its_end(void **state)
{
	(void)state;
	assert_false(is_paused(T0));
	hear(FLEET_PAUSE, lesson(60 * US_PER_S, 0, "a"), 0, T0);
	assert_true(is_paused(T0));
	assert_true(is_paused(T0 + 60 * US_PER_S - 1));
	/* engine or not */
	assert_false(is_paused(T0 + 60 * US_PER_S));
	assert_string_equal(heard[FLEET_PAUSE].host, "a");
	assert_false(fleet_heard_holds(&heard[FLEET_FEWER], T0));
}

/* Each telling has come another way: its end is the same. */
static void
what_is_said_again_does_not_creep(void **state)
{
	(void)state;
	for (int64_t s = 0; s < 50; s++)
		hear(FLEET_PAUSE,
		    lesson((60 - s) * US_PER_S + s % 3 * US_PER_S / 2, 0, "a"),
		    0, T0 + s * US_PER_S);
	assert_true(heard[FLEET_PAUSE].until_us == T0 + 60 * US_PER_S);
	/* It was asked for more. */
	hear(FLEET_PAUSE, lesson(60 * US_PER_S, 0, "a"), 0, T0 + 50 * US_PER_S);
	assert_true(heard[FLEET_PAUSE].until_us == T0 + 110 * US_PER_S);
}

static void
what_is_not_said_any_more_is_over(void **state)
{
	(void)state;
	hear(FLEET_PAUSE, lesson(60 * US_PER_S, 0, "a"), 0, T0);
	hear(FLEET_FEWER, lesson(60 * US_PER_S, 17, "a"), 0, T0 + US_PER_S);
	assert_false(is_paused(T0 + US_PER_S));
	assert_true(fleet_heard_holds(&heard[FLEET_FEWER], T0 + US_PER_S));
}

/* However it is said: again and again, by other names, with gaps. */
static void
nobody_is_held_for_ever(void **state)
{
	int64_t held_s = 0, free_s = 0, longest_s = 0, span_s = 0;

	(void)state;
	for (int64_t s = 0; s < 86400; s++) {
		int64_t now_us = T0 + s * US_PER_S;

		hear(FLEET_PAUSE,
		    lesson(s % 30 == 7 ? 0 : FLEET_LESSON_MAX_US, 0,
			s % 2 == 0 ? "a" : "b"),
		    0, now_us);
		span_s = is_paused(now_us) || s % 30 == 7 ? span_s + 1 : 0;
		if (span_s > longest_s)
			longest_s = span_s;
		held_s += is_paused(now_us);
		free_s += !is_paused(now_us);
	}
	assert_true(longest_s <= FLEET_HEARD_PAUSE_US / US_PER_S + 1);
	/* As long as it was obeyed it is not. */
	assert_true(free_s >= held_s);
	assert_true(held_s > 86400 * 2 / 5);
}

static void
connections_are_fewer_by_their_part(void **state)
{
	const struct fleet_heard *h = &heard[FLEET_FEWER];

	(void)state;
	assert_int_equal(fleet_heard_connections(h, 10, 20, T0), 10);
	/* The other one has 10, we have 7: there are 17. */
	hear(FLEET_FEWER, lesson(60 * US_PER_S, 10, "a"), 7, T0);
	assert_int_equal(fleet_heard_connections(h, 20, 20, T0), 17);
	assert_int_equal(fleet_heard_connections(h, 15, 20, T0), 12);
	/* What we had then we keep. */
	assert_int_equal(fleet_heard_connections(h, 10, 20, T0), 7);
	assert_int_equal(fleet_heard_connections(h, 7, 20, T0), 7);
	assert_int_equal(fleet_heard_connections(h, 6, 20, T0), 6);
	/* It has more again. */
	hear(FLEET_FEWER, lesson(59 * US_PER_S, 12, "a"), 9, T0 + US_PER_S);
	assert_int_equal(fleet_heard_connections(h, 10, 20, T0 + US_PER_S), 9);
	assert_int_equal(
	    fleet_heard_connections(h, 20, 20, T0 + 61 * US_PER_S), 20);
}

/* Who had nothing then has what the other one does not keep. */
static void
host_at_rest_takes_what_is_left(void **state)
{
	const struct fleet_heard *h = &heard[FLEET_FEWER];

	(void)state;
	hear(FLEET_FEWER, lesson(60 * US_PER_S, 12, "a"), 0, T0);
	assert_int_equal(fleet_heard_connections(h, 3, 20, T0), 1);
	assert_int_equal(fleet_heard_connections(h, 10, 20, T0), 2);
	assert_int_equal(fleet_heard_connections(h, 20, 20, T0), 12);
}

/* ... never more than the share, and never none. */
static void
connections_are_never_more_and_never_none(void **state)
{
	static const int64_t values[] = {0, 1, 5, 20, 1000, INT64_C(1) << 53};

	(void)state;
	for (size_t v = 0; v < sizeof(values) / sizeof(values[0]); v++)
		for (int64_t mine = 0; mine <= 20; mine += 5)
			for (int64_t share = 0; share <= 20; share++) {
				int64_t n;

				memset(heard, 0, sizeof(heard));
				hear(FLEET_FEWER,
				    lesson(US_PER_S, values[v], "a"), mine, T0);
				n = fleet_heard_connections(
				    &heard[FLEET_FEWER], share, 20, T0);
				assert_true(n <= share);
				assert_true(n > 0 || share == 0);
				assert_true(n >= mine || n == share);
			}
}

/* ---- with the engine's twin ------------------------------------------------
 */

static const struct fleet_terms terms = {
    .size = 3, .limit = 20, .ttl_us = 10 * US_PER_S};
static struct fleet_engine engine;
static int64_t numbers[3];

static struct fleet_answer
ask(int who, int64_t left_us, uint64_t nonce, int64_t now_us)
{
	struct fleet_question q = {
	    .nonce = nonce, .epoch = 1, .number = ++numbers[who]};
	struct fleet_answer a;

	(void)snprintf(q.host, sizeof(q.host), "h%d", who);
	q.lessons[FLEET_PAUSE] = (struct fleet_lesson){.left_us = left_us};
	fleet_engine_renew(&engine, &terms, "run", &q, now_us, &a);
	return a;
}

static void
lesson_reaches_the_others_alone(void **state)
{
	struct fleet_answer a;

	(void)state;
	memset(&engine, 0, sizeof(engine));
	(void)ask(0, 60 * US_PER_S, 7, T0);
	a = ask(0, 60 * US_PER_S, 7, T0 + 1);
	assert_int_equal(a.lessons[FLEET_PAUSE].left_us, 0);
	a = ask(1, 0, 7, T0 + US_PER_S);
	assert_true(a.lessons[FLEET_PAUSE].left_us == 59 * US_PER_S + 1);
	assert_string_equal(a.lessons[FLEET_PAUSE].host, "h0");
	/* Of two the one that lasts longer. */
	(void)ask(1, 90 * US_PER_S, 7, T0 + US_PER_S);
	a = ask(2, 0, 7, T0 + US_PER_S);
	assert_string_equal(a.lessons[FLEET_PAUSE].host, "h1");
	/* Taken back. */
	(void)ask(1, 0, 7, T0 + 2 * US_PER_S);
	a = ask(2, 0, 7, T0 + 2 * US_PER_S);
	assert_string_equal(a.lessons[FLEET_PAUSE].host, "h0");
	/* What is not h0 any more tells nothing, and hears nothing. */
	a = ask(0, 80 * US_PER_S, 6, T0 + 2 * US_PER_S);
	assert_int_equal(a.word, FLEET_STALE);
	assert_int_equal(a.lessons[FLEET_PAUSE].left_us, 0);
	a = ask(2, 0, 7, T0 + 2 * US_PER_S);
	assert_true(a.lessons[FLEET_PAUSE].left_us < 60 * US_PER_S);
	/* A host that is gone for good. */
	assert_true(fleet_engine_forget(&engine, "h0"));
	a = ask(2, 0, 7, T0 + 3 * US_PER_S);
	assert_int_equal(a.lessons[FLEET_PAUSE].left_us, 0);
}

/* Hosts are refused in turns: what this one had when it heard of the first. */
static void
what_it_had_it_keeps_whoever_tells(void **state)
{
	const struct fleet_heard *h = &heard[FLEET_FEWER];
	int64_t in_use = 10, now_us = T0;

	(void)state;
	for (int i = 0; i < 20; i++) {
		hear(FLEET_FEWER,
		    lesson(90 * US_PER_S, 5, i % 2 == 0 ? "a" : "b"), in_use,
		    now_us);
		in_use = fleet_heard_connections(h, 10, 20, now_us) - i % 2;
		now_us += 2 * US_PER_S;
	}
	assert_int_equal(fleet_heard_connections(h, 10, 20, now_us), 10);
	/* It is over, and begins with what there is. */
	now_us += 200 * US_PER_S;
	hear(FLEET_FEWER, lesson(90 * US_PER_S, 5, "a"), 4, now_us);
	assert_int_equal(fleet_heard_connections(h, 10, 20, now_us), 4);
}

/* Each piece of news is a look of every lane. */
static void
hosts_that_tell_in_turns_are_no_news(void **state)
{
	struct fleet_heard before = heard[FLEET_BLOCKED];
	size_t news = 0;

	(void)state;
	for (int64_t s = 0; s <= 300; s++) {
		int64_t now_us = T0 + s * US_PER_S;

		hear(FLEET_BLOCKED,
		    lesson(
			s < 290 ? 60 * US_PER_S : 0, 1, s % 2 == 0 ? "a" : "b"),
		    0, now_us);
		news += fleet_heard_is_news(
		    &heard[FLEET_BLOCKED], &before, FLEET_BLOCKED, now_us);
		before = heard[FLEET_BLOCKED];
	}
	assert_int_equal(news, 2); /* it begins, and ends */
	hear(FLEET_PAUSE, lesson(9 * US_PER_S, 0, "a"), 0, T0);
	before = heard[FLEET_PAUSE];
	hear(FLEET_PAUSE, lesson(30 * US_PER_S, 0, "a"), 0, T0);
	assert_true(
	    fleet_heard_is_news(&heard[FLEET_PAUSE], &before, FLEET_PAUSE, T0));
}

/* Whoever says it each minute, and takes it back. */
static void
refusals_are_news_once_an_hour(void **state)
{
	int64_t since_us = 0;
	size_t doubts = 0;

	(void)state;
	for (int64_t s = 0; s < 86400; s++) {
		hear(FLEET_BLOCKED,
		    lesson(s % 62 == 0 ? 60 * US_PER_S : 0, 1, "a"), 0,
		    T0 + s * US_PER_S);
		doubts += heard[FLEET_BLOCKED].since_us != since_us;
		since_us = heard[FLEET_BLOCKED].since_us;
	}
	assert_in_range(doubts, 1, 24);
	/* ... in quiet, a new one is one. */
	hear(FLEET_BLOCKED, lesson(60 * US_PER_S, 1, "a"), 0,
	    T0 + 3 * 86400 * US_PER_S);
	assert_true(heard[FLEET_BLOCKED].since_us != since_us);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test_setup(pause_is_obeyed_until_its_end, begin),
	    cmocka_unit_test_setup(what_is_said_again_does_not_creep, begin),
	    cmocka_unit_test_setup(what_is_not_said_any_more_is_over, begin),
	    cmocka_unit_test_setup(nobody_is_held_for_ever, begin),
	    cmocka_unit_test_setup(connections_are_fewer_by_their_part, begin),
	    cmocka_unit_test_setup(host_at_rest_takes_what_is_left, begin),
	    cmocka_unit_test_setup(
		connections_are_never_more_and_never_none, begin),
	    cmocka_unit_test_setup(refusals_are_news_once_an_hour, begin),
	    cmocka_unit_test_setup(hosts_that_tell_in_turns_are_no_news, begin),
	    cmocka_unit_test_setup(what_it_had_it_keeps_whoever_tells, begin),
	    cmocka_unit_test(lesson_reaches_the_others_alone),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
