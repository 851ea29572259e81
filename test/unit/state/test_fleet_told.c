/* What lanes of a host tell their fleet at once, and what they hear of other
 * hosts. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <string.h>

#include "test/support/fleet_lanes.h"

/* ---- who does not wait for the next second --------------------------------
 */

/* What the other host wants, by the question of that number. */
static void
other_wants(int64_t number, int64_t want, int64_t cap)
{
	struct fleet_question q = {.host = "h2",
	    .epoch = 1,
	    .number = number,
	    .want = want,
	    .cap = cap,
	    .left_us = TTL_S * US_PER_S};
	const struct fleet_terms terms = {.size = 2,
	    .limit = LIMIT,
	    .minimum = 1,
	    .ttl_us = TTL_S * US_PER_S};
	struct fleet_answer answer;

	fleet_engine_renew(&w.engine, &terms, "run", &q, w.now_us, &answer);
	assert_int_equal(answer.word, FLEET_OK);
}

/* All limits but connections are answered as they ask. */
static void
answer_others(struct lane *l, const struct fleet_question *q)
{
	for (size_t i = 1; i < fleet_account_count(l->a); i++) {
		struct fleet_answer all = {.word = FLEET_OK,
		    .share = q[i].want,
		    .target = q[i].want,
		    .at = w.now_us,
		    .end = w.now_us + TTL_S * US_PER_S};

		assert_int_equal(
		    fleet_account_answer(l->a, i, q[i].number, &all, w.now_us),
		    FLEET_TAKEN);
	}
}

static void
speak_of_all(struct lane *l)
{
	struct fleet_question q[FLEET_LIMITS];
	const struct fleet_limit *limit = fleet_account_limit(l->a, 0);
	struct fleet_answer answer;

	assert_true(fleet_account_speak(l->a, 7, w.now_us));
	assert_true(fleet_account_ask(l->a, w.now_us, q));
	/* Nobody asks while an answer is on its way. */
	assert_false(fleet_account_hurry(l->a, w.now_us));
	answer_others(l, q);
	fleet_engine_renew(
	    &w.engine, &limit->terms, "run", &q[0], w.now_us, &answer);
	assert_int_equal(
	    fleet_account_answer(l->a, 0, q[0].number, &answer, w.now_us),
	    FLEET_TAKEN);
}

static void
whoever_wants_more_asks_at_once(void **state)
{
	struct lane one, two;

	begin();
	open_lane(&one, *state, "fast");
	open_lane(&two, *state, "slow");
	fleet_account_tell(one.a, w.now_us);
	fleet_account_tell(two.a, w.now_us);
	speak_of_all(&one);
	w.engine.learn = 0;
	speak_of_all(&one);
	assert_false(fleet_account_hurry(one.a, w.now_us));
	/* Its own lane, or another one, which does not speak. */
	fleet_account_connections(one.a, 0, 4, w.now_us);
	assert_true(fleet_account_hurry(one.a, w.now_us));
	speak_of_all(&one);
	assert_int_equal(share(&one), 4);
	assert_false(fleet_account_hurry(one.a, w.now_us));
	fleet_account_connections(two.a, 0, 5, w.now_us);
	assert_false(fleet_account_hurry(two.a, w.now_us));
	assert_true(fleet_account_hurry(one.a, w.now_us));
	speak_of_all(&one);
	assert_int_equal(share(&one), 9);
	assert_false(fleet_account_hurry(one.a, w.now_us));
	close_lane(&one);
	close_lane(&two);
}

static void
host_that_has_less_tells_at_once(void **state)
{
	struct lane l;

	begin();
	open_lane(&l, *state, "fast");
	borrow_all(&l);
	other_host_wants(TTL_S + 5, LIMIT);
	speak_of_all(&l);
	assert_int_equal(share(&l), BASE);
	assert_true(fleet_account_hurry(l.a, w.now_us));
	speak_of_all(&l);
	assert_false(fleet_account_hurry(l.a, w.now_us));
	close_lane(&l);
}

/* The other one does not give back what it has. */
static void
wish_is_repeated_so_often(void **state)
{
	struct lane l;
	int n = 0;

	begin();
	open_lane(&l, *state, "fast");
	other_wants(1, LIMIT, LIMIT);
	w.engine.learn = 0;
	fleet_account_connections(l.a, 0, LIMIT, w.now_us);
	fleet_account_tell(l.a, w.now_us);
	speak_of_all(&l);
	assert_int_equal(share(&l), 0);
	while (n < 100 && fleet_account_hurry(l.a, w.now_us)) {
		w.now_us += US_PER_S / 4;
		speak_of_all(&l);
		n++;
	}
	assert_in_range(n, 8, 20);
	close_lane(&l);
}

/* ---- lessons ----------------------------------------------------------------
 */

static const struct fleet_terms of_two = {
    .size = 2, .limit = LIMIT, .minimum = 1, .ttl_us = TTL_S * US_PER_S};

/* The other host tells this; what it is told. */
static struct fleet_answer
other_tells(int64_t number, size_t kind, int64_t left_us, int64_t value)
{
	struct fleet_question q = {.host = "h2", .epoch = 1, .number = number};
	struct fleet_answer answer;

	q.lessons[kind] =
	    (struct fleet_lesson){.left_us = left_us, .value = value};
	fleet_engine_renew(&w.engine, &of_two, "run", &q, w.now_us, &answer);
	assert_int_equal(answer.word, FLEET_OK);
	return answer;
}

static const struct fleet_heard *
heard(struct lane *l, enum fleet_lesson_kind kind)
{
	return fleet_account_heard(l->a, kind, w.now_us);
}

static void
lesson_of_another_host_reaches_all_lanes(void **state)
{
	struct board_fleet shown = {.size = 0};
	struct lane one, two;

	begin();
	open_lane(&one, *state, "fast");
	open_lane(&two, *state, "slow");
	(void)other_tells(1, FLEET_PAUSE, 60 * US_PER_S, 0);
	assert_null(heard(&two, FLEET_PAUSE));
	two.changes = 0;
	assert_int_equal(speak(&one), FLEET_OK);
	assert_non_null(heard(&two, FLEET_PAUSE));
	assert_string_equal(heard(&two, FLEET_PAUSE)->host, "h2");
	assert_true(
	    heard(&two, FLEET_PAUSE)->until_us == w.now_us + 60 * US_PER_S);
	fleet_account_tell(two.a, w.now_us);
	assert_true(two.changes > 0);
	fleet_account_show(two.a, &shown, w.now_us);
	assert_string_equal(shown.heard[FLEET_PAUSE].host, "h2");
	assert_true(shown.heard[FLEET_PAUSE].until_wall_ms > 0);
	assert_int_equal(shown.heard[FLEET_FEWER].until_wall_ms, 0);
	/* What was heard is not told: it would never end. */
	w.now_us += US_PER_S;
	assert_int_equal(speak(&one), FLEET_OK);
	assert_int_equal(
	    other_tells(2, FLEET_PAUSE, 0, 0).lessons[FLEET_PAUSE].left_us, 0);
	/* It is taken back. */
	assert_int_equal(speak(&one), FLEET_OK);
	assert_null(heard(&two, FLEET_PAUSE));
	close_lane(&one);
	close_lane(&two);
}

/* ... without the engine, and without the lane that heard it. */
static void
lesson_ends_by_itself(void **state)
{
	struct lane one, two;

	begin();
	open_lane(&one, *state, "fast");
	open_lane(&two, *state, "slow");
	(void)other_tells(1, FLEET_PAUSE, 60 * US_PER_S, 0);
	assert_int_equal(speak(&one), FLEET_OK);
	close_lane(&one);
	go_on(59);
	assert_non_null(heard(&two, FLEET_PAUSE));
	go_on(1);
	assert_null(heard(&two, FLEET_PAUSE));
	close_lane(&two);
}

static void
lessons_of_all_lanes_are_told(void **state)
{
	const struct fleet_lesson *l;
	struct fleet_answer answer;
	struct lane one, two;

	begin();
	open_lane(&one, *state, "fast");
	open_lane(&two, *state, "slow");
	one.pause_us = w.now_us + 30 * US_PER_S;
	two.blocked = 550571;
	fleet_account_tell(two.a, w.now_us);
	assert_int_equal(speak(&one), FLEET_OK);
	answer = other_tells(1, FLEET_FEWER, 0, 0);
	l = &answer.lessons[FLEET_PAUSE];
	assert_true(l->left_us == 30 * US_PER_S);
	assert_string_equal(l->host, "h1");
	l = &answer.lessons[FLEET_BLOCKED];
	assert_true(l->left_us > 0);
	assert_int_equal(l->value, 550571);
	/* It is over, or the lane is. */
	go_on(1);
	two.blocked = 0;
	fleet_account_tell(two.a, w.now_us);
	assert_int_equal(speak(&one), FLEET_OK);
	answer = other_tells(2, FLEET_FEWER, 0, 0);
	assert_int_equal(answer.lessons[FLEET_BLOCKED].left_us, 0);
	two.blocked = 550571;
	fleet_account_tell(two.a, w.now_us);
	close_lane(&two);
	assert_int_equal(speak(&one), FLEET_OK);
	answer = other_tells(3, FLEET_FEWER, 0, 0);
	assert_int_equal(answer.lessons[FLEET_BLOCKED].left_us, 0);
	close_lane(&one);
}

static void
what_is_not_known_is_told_once(void **state)
{
	struct lane l;

	begin();
	open_lane(&l, *state, "fast");
	(void)other_tells(1, FLEET_LESSONS - 1, 60 * US_PER_S, 7);
	assert_int_equal(speak(&l), FLEET_OK);
	assert_non_null(strstr(w.warning, "h2 learned something"));
	w.warning[0] = '\0';
	go_on(1);
	assert_int_equal(speak(&l), FLEET_OK);
	assert_string_equal(w.warning, "");
	close_lane(&l);
}

static void
refused_connection_of_another_host_is_fewer_here(void **state)
{
	int slots[LIMIT];
	struct budget_answer answer;
	struct budget *b;
	struct lane l;

	begin();
	open_lane(&l, *state, "fast");
	b = budget_open(NULL, &l.set, &l.dir, "fast", account, on_share, &l);
	budget_set_fleet(b, l.a);
	want_four(&l);
	/* It has 6, and 2 are in use here; it may have 16. */
	l.in_use = 2;
	assert_int_equal(speak(&l), FLEET_OK);
	(void)other_tells(1, FLEET_FEWER, 60 * US_PER_S, 6);
	assert_int_equal(speak(&l), FLEET_OK);
	assert_int_equal(share(&l), 4);
	assert_int_equal(fleet_account_connection_limit(l.a, w.now_us), 2);
	assert_int_equal(take_all(b, slots), 2);
	assert_false(budget_take(b, clock_mono_ms(), &answer));
	assert_non_null(strstr(answer.why, "refused another host"));
	assert_int_equal(budget_excess(b), 0);
	budget_close(&b);
	close_lane(&l);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    IN_STATEDIR(whoever_wants_more_asks_at_once),
	    IN_STATEDIR(host_that_has_less_tells_at_once),
	    IN_STATEDIR(wish_is_repeated_so_often),
	    IN_STATEDIR(lesson_of_another_host_reaches_all_lanes),
	    IN_STATEDIR(lesson_ends_by_itself),
	    IN_STATEDIR(lessons_of_all_lanes_are_told),
	    IN_STATEDIR(what_is_not_known_is_told_once),
	    IN_STATEDIR(refused_connection_of_another_host_is_fewer_here),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
