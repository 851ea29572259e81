/* What a lane found out outlives its process. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <math.h>

#include "agent/engine/lane_state.h"
#include "agent/state/pace_store.h"
#include "common/base/clock.h"
#include "test/support/lane_world.h"
#include "test/support/statedir.h"

static char *dir;

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
	    board_writer_open(dir, "q.fast", "fast", error, sizeof(error));

	if (b == NULL)
		fail_msg("%s", error);
	return b;
}

/* A lane with a route to an account of that number. */
static void
open_world(struct world *w, uint64_t account, struct board_writer *b)
{
	struct controller_stored stored;

	world_init(w);
	w->set.lane_adaptive = true;
	world_open(w, 10);
	world_submit(w, 1);
	lane_set_account(w->lane, world_route(w), account, 0,
	    pace_store_load(b, account, &stored) ? &stored : NULL, w->now);
}

static struct controller *
pace(struct world *w)
{
	return &world_route(w)->pace->adapt;
}

static void
close_world(struct world *w)
{
	world_finish(w, 3600000);
	world_fini(w);
}

/* A lane that was told to slow down at a rate of some 50/s. */
static double
learn(struct world *w, struct board_writer *b, int64_t pause_ms)
{
	struct controller *a = pace(w);
	int64_t us = w->now.us;

	for (int i = 0; i < 200; i++, us += 20000) {
		controller_take(a, us);
		controller_on_accepted(a, us, us + 1000);
	}
	controller_take(a, us);
	controller_on_throttled(a, us, 0, false, us + 1000);
	w->now.us = us + US_PER_MS;
	w->now.wall.tv_sec += 4;
	if (pause_ms > 0)
		controller_pause_until(a, us + pause_ms * 1000);
	pace_store_store(b, w->lane, w->now);
	return lane_learned_rate(w->lane);
}

static void
rate_is_known_to_the_next_process(void **state)
{
	struct board_writer *b = open_board();
	struct world w;
	double rate;

	(void)state;
	open_world(&w, 7, b);
	assert_true(isinf(lane_learned_rate(w.lane)));
	rate = learn(&w, b, 0);
	assert_true(rate > 30 && rate < 60);
	assert_int_equal(
	    board_load(&board_writer_lane(b)->gauges[BOARD_GAUGE_rate_milli]),
	    (uint64_t)(rate * 1000));
	close_world(&w);
	board_writer_close(&b);

	b = open_board();
	open_world(&w, 7, b);
	assert_true(lane_learned_rate(w.lane) > 30);
	assert_true(lane_learned_rate(w.lane) < 60);
	close_world(&w);
	board_writer_close(&b);
}

static void
pause_is_kept_though_nothing_else_was_learned(void **state)
{
	struct board_writer *b = open_board();
	struct controller_stored stored;
	struct world w;
	int64_t wall_ms;

	(void)state;
	open_world(&w, 7, b);
	wall_ms = (int64_t)w.now.wall.tv_sec * 1000;
	controller_pause_until(pace(&w), w.now.us + 60 * US_PER_S);
	pace_store_store(b, w.lane, w.now);
	close_world(&w);
	assert_true(pace_store_load(b, 7, &stored));
	assert_in_range(stored.pause_until_wall_ms - wall_ms, 60000, 61000);
	open_world(&w, 7, b);
	assert_in_range(lane_paused_until_us(w.lane) - w.now.us, 59 * US_PER_S,
	    61 * US_PER_S);
	assert_true(isinf(lane_learned_rate(w.lane)));
	close_world(&w);
	board_writer_close(&b);
}

static void
another_account_knows_nothing(void **state)
{
	struct board_writer *b = open_board();
	struct world w;

	(void)state;
	open_world(&w, 7, b);
	(void)learn(&w, b, 0);
	close_world(&w);
	open_world(&w, 8, b);
	assert_true(isinf(lane_learned_rate(w.lane)));
	close_world(&w);
	board_writer_close(&b);
}

/* Twelve rows are there: of twenty accounts the later twelve are known. */
static void
accounts_that_learned_last_are_kept(void **state)
{
	struct board_writer *b = open_board();
	struct controller_stored stored;

	(void)state;
	for (uint64_t account = 1; account <= 20; account++) {
		struct world w;

		open_world(&w, account, b);
		w.now.wall.tv_sec += (time_t)account * 10;
		(void)learn(&w, b, 0);
		w.now.wall.tv_sec -= (time_t)account * 10;
		close_world(&w);
	}
	for (uint64_t account = 1; account <= 20; account++)
		assert_int_equal(
		    pace_store_load(b, account, &stored), account > 8);
	board_writer_close(&b);
}

static void
lane_that_does_not_adapt_ignores_it(void **state)
{
	struct board_writer *b = open_board();
	struct controller_stored stored;
	struct world w;

	(void)state;
	open_world(&w, 7, b);
	(void)learn(&w, b, 0);
	close_world(&w);
	world_init(&w);
	w.set.lane_adaptive = false;
	world_open(&w, 10);
	world_submit(&w, 1);
	assert_true(pace_store_load(b, 7, &stored));
	lane_set_account(w.lane, world_route(&w), 7, 0, &stored, w.now);
	assert_true(isinf(lane_learned_rate(w.lane)));
	close_world(&w);
	board_writer_close(&b);
}

static void
draining_process_leaves_it_alone(void **state)
{
	struct board_writer *b = open_board();
	uint64_t words[BOARD_LEARNED], after[BOARD_LEARNED];
	struct world w;

	(void)state;
	open_world(&w, 7, b);
	(void)learn(&w, b, 0);
	assert_true(board_writer_learned(b, words));
	board_writer_drain(b);
	(void)learn(&w, b, 5000);
	assert_true(board_writer_learned(b, after));
	assert_memory_equal(words, after, sizeof(words));
	close_world(&w);
	board_writer_close(&b);
}

static void
lane_without_a_board_finds_it_again(void **state)
{
	struct world w;

	(void)state;
	open_world(&w, 7, NULL);
	(void)learn(&w, NULL, 0);
	close_world(&w);
}

int
main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	const struct CMUnitTest tests[] = {
	    TEST(rate_is_known_to_the_next_process),
	    TEST(pause_is_kept_though_nothing_else_was_learned),
	    TEST(another_account_knows_nothing),
	    TEST(accounts_that_learned_last_are_kept),
	    TEST(lane_that_does_not_adapt_ignores_it),
	    TEST(draining_process_leaves_it_alone),
	    TEST(lane_without_a_board_finds_it_again),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
