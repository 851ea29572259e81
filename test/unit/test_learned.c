/* What a lane found out outlives its process. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <math.h>

#include "agent/lane_private.h"
#include "agent/learned.h"
#include "test/unit/lane_world.h"
#include "test/unit/statedir.h"

static char *dir;
static char text_smarthost[] = "[one.test]", text_other[] = "[other.test]";

static int
setup(void **state)
{
	(void)state;
	dir = statedir_make();
	return 0;
}

static int
teardown(void **state)
{
	(void)state;
	statedir_remove(&dir);
	return 0;
}

static struct board_writer *
open_board(void)
{
	char error[200];
	struct board_writer *b =
	    board_open(dir, "q.fast", "fast", error, sizeof(error));

	if (b == NULL)
		fail_msg("%s", error);
	return b;
}

static void
open_world(struct world *w)
{
	world_init(w);
	w->set.lane_smarthost = text_smarthost;
	w->set.lane_account = w->set.lane_message_rate_limit; /* empty */
	w->set.lane_adaptive = true;
	world_open(w, 10);
}

/* A lane that was told to slow down at a rate of some 50/s. */
static double
learn(struct world *w, struct board_writer *b, int64_t pause_ms)
{
	struct adapt *a = &w->lane->adapt;
	int64_t us = w->now.ms * 1000;

	for (int i = 0; i < 200; i++, us += 20000) {
		adapt_take(a, us);
		adapt_on_accepted(a, us, us + 1000);
	}
	adapt_take(a, us);
	adapt_on_throttled(a, us, 0, false, us + 1000);
	w->now.ms = us / 1000 + 1;
	w->now.wall.tv_sec += 4;
	if (pause_ms > 0)
		adapt_pause_until(a, us + pause_ms * 1000);
	learned_save(b, &w->set, w->lane, w->now);
	return lane_learned_rate(w->lane);
}

static void
rate_is_known_to_the_next_process(void **state)
{
	struct board_writer *b = open_board();
	struct world w;
	double rate;

	(void)state;
	open_world(&w);
	rate = learn(&w, b, 0);
	assert_true(rate > 30 && rate < 60);
	assert_int_equal(
	    board_load(&board_lane(b)->gauges[BOARD_GAUGE_rate_milli]),
	    (uint64_t)(rate * 1000));
	world_fini(&w);
	board_close(&b);

	b = open_board();
	open_world(&w);
	w.now.wall.tv_sec += 10;
	assert_true(isinf(lane_learned_rate(w.lane)));
	learned_load(b, &w.set, w.lane, w.now);
	assert_true(lane_learned_rate(w.lane) > 30);
	assert_true(lane_learned_rate(w.lane) < 60);
	world_fini(&w);
	board_close(&b);
}

static void
pause_is_kept_though_nothing_else_was_learned(void **state)
{
	struct board_writer *b = open_board();
	struct world w;

	(void)state;
	open_world(&w);
	adapt_pause_until(&w.lane->adapt, w.now.ms * 1000 + 600000000);
	learned_save(b, &w.set, w.lane, w.now);
	world_fini(&w);
	open_world(&w);
	w.now.wall.tv_sec += 60;
	learned_load(b, &w.set, w.lane, w.now);
	assert_int_equal(lane_paused_until_ms(w.lane) - w.now.ms, 540000);
	assert_true(isinf(lane_learned_rate(w.lane)));
	world_fini(&w);
	board_close(&b);
}

static void
another_smarthost_knows_nothing(void **state)
{
	struct board_writer *b = open_board();
	struct world w;

	(void)state;
	open_world(&w);
	(void)learn(&w, b, 0);
	world_fini(&w);
	open_world(&w);
	w.set.lane_smarthost = text_other;
	learned_load(b, &w.set, w.lane, w.now);
	assert_true(isinf(lane_learned_rate(w.lane)));
	world_fini(&w);
	board_close(&b);
}

static void
lane_that_does_not_adapt_ignores_it(void **state)
{
	struct board_writer *b = open_board();
	struct world w;

	(void)state;
	open_world(&w);
	(void)learn(&w, b, 0);
	world_fini(&w);
	open_world(&w);
	w.set.lane_adaptive = false;
	learned_load(b, &w.set, w.lane, w.now);
	assert_true(isinf(lane_learned_rate(w.lane)));
	world_fini(&w);
	board_close(&b);
}

static void
draining_process_leaves_it_alone(void **state)
{
	struct board_writer *b = open_board();
	uint64_t words[BOARD_LEARNED], after[BOARD_LEARNED];
	struct world w;

	(void)state;
	open_world(&w);
	(void)learn(&w, b, 0);
	assert_true(board_learned(b, words));
	board_drain(b);
	(void)learn(&w, b, 5000);
	assert_true(board_learned(b, after));
	assert_memory_equal(words, after, sizeof(words));
	world_fini(&w);
	board_close(&b);
}

static void
lane_without_a_board_finds_it_again(void **state)
{
	struct world w;

	(void)state;
	open_world(&w);
	(void)learn(&w, NULL, 0);
	learned_load(NULL, &w.set, w.lane, w.now);
	world_fini(&w);
}

int
main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	const struct CMUnitTest tests[] = {
	    TEST(rate_is_known_to_the_next_process),
	    TEST(pause_is_kept_though_nothing_else_was_learned),
	    TEST(another_smarthost_knows_nothing),
	    TEST(lane_that_does_not_adapt_ignores_it),
	    TEST(draining_process_leaves_it_alone),
	    TEST(lane_without_a_board_finds_it_again),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
