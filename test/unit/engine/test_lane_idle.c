/* Sessions that are kept for longer than others, for what is urgent. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "test/support/lane_world.h"

enum { IDLE_MS = 30000, LIKELY_MS = 270000, LEAVE_MS = 200 };

static void
open_world(struct world *w, int reserve)
{
	world_init(w);
	w->set.lane_connection_idle_reserve = reserve;
	world_open(w, 100);
}

static void
those_used_last_are_kept_until_the_server_might_close_them(void **state)
{
	struct world w;

	(void)state;
	open_world(&w, 2);
	world_submit(&w, 5);
	world_finish(&w, 2000);
	world_run(&w, IDLE_MS + LEAVE_MS);
	assert_int_equal(lane_sessions(w.lane), 2);
	assert_int_equal(w.quits, 3);
	world_submit(&w, 1);
	world_finish(&w, 2000);
	assert_int_equal(w.dials, 5);
	/* The other has waited for longer. */
	world_run(&w, LIKELY_MS - IDLE_MS - 2000);
	assert_int_equal(lane_sessions(w.lane), 2);
	world_run(&w, 2000 + LEAVE_MS);
	assert_int_equal(lane_sessions(w.lane), 1);
	world_run(&w, IDLE_MS + 2000);
	assert_int_equal(lane_sessions(w.lane), 0);
	assert_int_equal(w.quits, 5);
	assert_true(lane_deadline_us(w.lane) == INT64_MAX);
	world_fini(&w);
}

static void
none_is_kept_where_none_is_asked_for(void **state)
{
	struct world w;

	(void)state;
	open_world(&w, 0);
	world_submit(&w, 1);
	world_finish(&w, 2000);
	world_run(&w, IDLE_MS + LEAVE_MS);
	assert_int_equal(lane_sessions(w.lane), 0);
	world_fini(&w);
}

/* A session of its own that is idle, until it ends; how long that took. */
static int64_t
wait_for_end(struct world *w)
{
	int64_t began_ms;

	world_submit(w, 1);
	world_finish(w, 3000);
	began_ms = world_ms(w);
	while (lane_sessions(w->lane) > 0 &&
	       world_ms(w) < began_ms + 2 * LIKELY_MS)
		world_run(w, 100);
	return world_ms(w) - began_ms;
}

static void
expect_about(int64_t ms, int64_t wanted_ms)
{
	assert_in_range(ms, wanted_ms - 300, wanted_ms + 300);
}

static void
a_server_that_closes_sooner_is_left_before(void **state)
{
	static const char *const ends[] = {"421 4.4.2 timeout\r\n", NULL};

	(void)state;
	for (size_t i = 0; i < 2; i++) {
		struct world w;

		open_world(&w, 1);
		world_submit(&w, 1);
		world_finish(&w, 2000);
		world_run(&w, 100000);
		if (ends[i] != NULL)
			world_say(&w, ends[i]);
		else
			world_cut_all(&w);
		world_run(&w, LEAVE_MS);
		assert_int_equal(lane_sessions(w.lane), 0);
		assert_int_equal(w.quits, 0);
		expect_about(wait_for_end(&w), 90000);
		assert_int_equal(w.quits, 1);
		/* That may have been an exception. */
		expect_about(wait_for_end(&w), 90000 * 9 / 8);
		expect_about(wait_for_end(&w), 90000 * 81 / 64);
		world_fini(&w);
	}
}

static bool
is_any(void *ctx, const struct route *r)
{
	(void)ctx;
	(void)r;
	return true;
}

static void
a_kept_session_gives_way_to_whoever_wants_its_place(void **state)
{
	struct world w;

	(void)state;
	open_world(&w, 1);
	world_submit(&w, 1);
	world_finish(&w, 2000);
	world_run(&w, 2 * IDLE_MS);
	assert_int_equal(lane_sessions(w.lane), 1);
	lane_close_idle(w.lane, 1, is_any, NULL, w.now);
	world_run(&w, LEAVE_MS);
	assert_int_equal(lane_sessions(w.lane), 0);
	world_fini(&w);
}

static void
a_kept_session_does_not_outlive_the_lane(void **state)
{
	struct world w;

	(void)state;
	open_world(&w, 1);
	world_submit(&w, 1);
	world_finish(&w, 2000);
	world_run(&w, 2 * IDLE_MS);
	lane_drain(w.lane, w.now);
	world_run(&w, LEAVE_MS);
	assert_int_equal(lane_sessions(w.lane), 0);
	world_fini(&w);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(
		those_used_last_are_kept_until_the_server_might_close_them),
	    cmocka_unit_test(none_is_kept_where_none_is_asked_for),
	    cmocka_unit_test(a_server_that_closes_sooner_is_left_before),
	    cmocka_unit_test(
		a_kept_session_gives_way_to_whoever_wants_its_place),
	    cmocka_unit_test(a_kept_session_does_not_outlive_the_lane),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
