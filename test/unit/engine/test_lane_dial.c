/* Whether a place that a spent session left is worth a dial. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "agent/engine/lane_state.h"
#include "test/support/lane_world.h"

/* ---- a busy server on a fast line --------------------------------------- */

enum { BUSY_DIAL_MS = 170, BUSY_FORK_MS = 100, BUSY_MESSAGE_MS = 16 };

/* A process for each connection, made one after the other. */
static int64_t
dial_of_a_busy_server(struct world *w, size_t number)
{
	static int64_t free_ms;
	int64_t end_ms = world_ms(w) + BUSY_DIAL_MS;

	if (number > 0 && end_ms < free_ms + BUSY_FORK_MS)
		end_ms = free_ms + BUSY_FORK_MS;
	free_ms = end_ms;
	return end_ms - world_ms(w);
}

/* A third of the time, as much again, or twice that for a message. */
static int
message_of_a_busy_server(
    struct world *w, struct world_conn *conn, size_t number, const char *line)
{
	if (strcmp(line, ".") != 0)
		return 0;
	if (conn->free_ms < world_ms(w))
		conn->free_ms = world_ms(w);
	conn->free_ms += BUSY_MESSAGE_MS * (int64_t)(number % 3 + 1) / 2;
	return 0;
}

static void
open_busy(struct world *w, int quota, size_t count)
{
	world_init(w);
	w->server.rtt_ms = 2;
	w->server.dial_ms = dial_of_a_busy_server;
	w->server.judge = message_of_a_busy_server;
	w->ehlo.chunking = false;
	w->set.lane_messages_per_connection = quota;
	world_open(w, count);
}

/* As the queue manager hands them in: each 2 ms one. */
static int64_t
drain_slowly(struct world *w, size_t count)
{
	int64_t from_ms = world_ms(w);

	for (size_t i = 0; i < count; i++) {
		world_submit(w, 1);
		world_run(w, 2);
	}
	world_finish(w, 600000);
	return world_ms(w) - from_ms;
}

static int64_t
drain_at_once(struct world *w, size_t count)
{
	int64_t from_ms = world_ms(w);

	world_feed(w, count);
	world_finish(w, 600000);
	return world_ms(w) - from_ms;
}

/* Those that were dialled first have their fifty messages before the last are
 * there. Twenty-five for each are left to do. */
static void
burst_needs_no_successors_that_come_too_late(void **state)
{
	static int64_t (*const drains[])(struct world *, size_t) = {
	    drain_slowly, drain_at_once};

	(void)state;
	for (size_t i = 0; i < 2; i++) {
		int64_t unlimited_ms, took_ms;
		struct world w;

		open_busy(&w, 10000, 500);
		unlimited_ms = drains[i](&w, 500);
		world_check_all_sent(&w);
		world_fini(&w);
		open_busy(&w, 50, 500);
		took_ms = drains[i](&w, 500);
		print_message("%zu dials, %lld ms; without a limit %lld ms\n",
		    w.dials, (long long)took_ms, (long long)unlimited_ms);
		assert_int_equal(w.most_per_session, 50);
		assert_true(w.dials <= 20);
		assert_true(took_ms <= unlimited_ms * 11 / 10);
		world_check_all_sent(&w);
		world_fini(&w);
	}
}

/* Ten times as many: all sessions are spent, and again, and so are replaced. */
static void
much_mail_has_its_successors(void **state)
{
	enum { COUNT = 5000, DIALS = COUNT / 50 };
	int64_t took_ms;
	struct world w;

	(void)state;
	open_busy(&w, 50, COUNT);
	took_ms = drain_at_once(&w, COUNT);
	print_message("%zu dials, %lld ms\n", w.dials, (long long)took_ms);
	/* The server makes a process each 100 ms, and one takes 50. */
	assert_true(took_ms <= DIALS * BUSY_FORK_MS * 11 / 10);
	world_check_all_sent(&w);
	world_fini(&w);
}

/* ---- over a distance ---------------------------------------------------- */

/* The queue manager's window is hardly wider than the lane: few messages wait
 * here, and one comes for each that goes. At first it is narrower, so that the
 * sessions are spent one after the other. */
static void
narrow_window_keeps_all_sessions(void **state)
{
	enum { COUNT = 8000, SESSIONS = 20, WINDOW = 25 };
	int64_t from_ms;
	double rate, most;
	struct world w;

	(void)state;
	world_init(&w);
	w.server.dial_rtts = 20;
	w.server.judge = message_of_a_busy_server;
	w.set.lane_pipeline_depth = 1;
	world_open(&w, COUNT);
	from_ms = world_ms(&w);
	while (w.done < COUNT) {
		size_t window = 1 + (size_t)(world_ms(&w) - from_ms) / 300;

		while (w.count < COUNT && w.count - w.done < window &&
		       w.count - w.done < WINDOW)
			world_submit(&w, 1);
		world_run(&w, 1);
	}
	rate = (double)COUNT * 1000.0 / (double)(world_ms(&w) - from_ms);
	/* A dial of twenty round trips, and fifty messages of one each. */
	most =
	    SESSIONS * 50 / (2 + 50 * (0.1 + (double)BUSY_MESSAGE_MS / 1000.0));
	print_message(
	    "%.1f of %.1f messages/s, %zu dials\n", rate, most, w.dials);
	assert_true(rate >= most * 0.9);
	world_check_all_sent(&w);
	world_fini(&w);
}

enum { SPREAD_LEAST_MS = 600, SPREAD_MOST_MS = 790 };

static int64_t
dial_of_any_length(struct world *w, size_t number)
{
	(void)w;
	return SPREAD_LEAST_MS + 10 * (int64_t)(number * 7 % 20);
}

/* Two in a millisecond, as the queue manager hands them in, and no more than
 * two windows at a time. */
static int64_t
hand_in(struct world *w, size_t count)
{
	size_t window = 2 * (size_t)w->set.lane_connection_limit *
			(size_t)w->set.lane_pipeline_depth;
	size_t all = w->count + count;
	int64_t from_ms = world_ms(w);

	while (w->done < all) {
		for (int i = 0;
		     i < 2 && w->count < all && w->count - w->done < window;
		     i++)
			world_submit(w, 1);
		world_run(w, 1);
	}
	return world_ms(w) - from_ms;
}

/* All dials that the last of a backlog might need have begun when the last
 * comes. Nobody waits for his own while a session that has room would have an
 * answer sooner: it takes no longer than full sessions do, each after the
 * slowest dial. */
static void
last_of_a_backlog_do_not_wait_for_dials(void **state)
{
	enum { QUOTA = 50, SESSIONS = 20, FIRST = 2000, MAX = 3000 };

	(void)state;
	for (size_t count = 500; count <= MAX; count += 190) {
		size_t rounds = (count - 1) / (QUOTA * SESSIONS) + 1;
		int64_t took_ms, most_ms;
		struct world w;

		world_init(&w);
		w.server.dial_ms = dial_of_any_length;
		w.set.lane_messages_per_connection = QUOTA;
		w.set.lane_pipeline_depth = QUOTA;
		world_open(&w, FIRST + MAX);
		world_feed(&w, FIRST);
		world_finish(&w, 60000);
		took_ms = hand_in(&w, count);
		most_ms = (int64_t)rounds *
			  (SPREAD_MOST_MS + w.server.rtt_ms * 12 / 10);
		print_message("%zu messages in %lld of %lld ms\n", count,
		    (long long)took_ms, (long long)most_ms);
		assert_true(took_ms <= most_ms);
		world_check_all_sent(&w);
		world_fini(&w);
	}
}

/* ---- what cannot be counted on ------------------------------------------ */

enum { FEW = 10, DIAL_MS = 200, LONG_MS = 60000 };

static size_t long_message, long_dial;

static int
message_that_takes_long(
    struct world *w, struct world_conn *conn, size_t number, const char *line)
{
	if (strcmp(line, ".") == 0 && number == long_message)
		conn->free_ms = world_ms(w) + LONG_MS;
	return 0;
}

static int64_t
dial_that_takes_long(struct world *w, size_t number)
{
	(void)w;
	return number == long_dial ? LONG_MS : DIAL_MS;
}

/* There were as many as there may be, and more were wanted a short time ago.
 * Now there is one: the others are spent. */
static void
open_with_one_left(struct world *w, int limit)
{
	long_message = long_dial = SIZE_MAX;
	world_init(w);
	w->server.rtt_ms = 10;
	w->server.dial_ms = dial_that_takes_long;
	w->server.judge = message_that_takes_long;
	w->ehlo.chunking = w->ehlo.pipelining = false;
	w->set.lane_connection_limit = limit;
	w->set.lane_messages_per_connection = FEW;
	world_open(w, 100);
	world_submit(w, 5);
	world_finish(w, 10000);
	while (lane_sessions(w->lane) > 1) {
		world_submit(w, 1);
		world_run(w, 100);
	}
	world_run(w, 5 * DIAL_MS);
	assert_int_equal(w->dials, limit);
}

/* It may be done at any moment, so its place in the queue is as good as a
 * dial's; when it is not, the dial is made after all, and nothing else need
 * happen for that. */
static void
session_at_a_message_is_waited_for_no_longer_than_a_dial_takes(void **state)
{
	struct world w;

	(void)state;
	open_with_one_left(&w, 2);
	long_message = w.count;
	world_submit(&w, 1);
	world_run(&w, 20);
	world_submit(&w, 1);
	world_settle(&w);
	assert_int_equal(lane_dialing(w.lane), 0);
	world_run(&w, DIAL_MS - 40);
	assert_int_equal(lane_dialing(w.lane), 0);
	world_run(&w, 40);
	assert_int_equal(lane_dialing(w.lane), 1);
	world_run(&w, DIAL_MS + 100);
	assert_true(w.messages[w.count - 1].done_ms > 0);
	assert_int_equal(w.done, w.count - 1);
	world_fini(&w);
}

/* ... nor is a dial that should have ended long ago. */
static void
dial_is_waited_for_no_longer_than_four_of_them_take(void **state)
{
	struct world w;

	(void)state;
	open_with_one_left(&w, 3);
	long_message = w.count;
	world_submit(&w, 1);
	world_run(&w, DIAL_MS + 20);
	long_dial = w.dials;
	world_submit(&w, 1);
	world_run(&w, DIAL_MS - 10);
	world_submit(&w, 1);
	world_settle(&w);
	assert_int_equal(lane_dialing(w.lane), 1);
	world_run(&w, 3 * DIAL_MS);
	assert_int_equal(lane_dialing(w.lane), 1);
	world_run(&w, 20);
	assert_int_equal(lane_dialing(w.lane), 2);
	world_run(&w, DIAL_MS + 100);
	assert_int_equal(w.done, w.count - 1);
	world_fini(&w);
}

/* Nobody has waited for want of places lately: as if none had been left. */
static void
quiet_lane_dials_for_each_message(void **state)
{
	struct world w;

	(void)state;
	open_with_one_left(&w, 2);
	world_run(&w, 10000);
	assert_int_equal(lane_sessions(w.lane), 1);
	world_submit(&w, 2);
	world_settle(&w);
	assert_int_equal(lane_dialing(w.lane), 1);
	world_finish(&w, 10000);
	world_check_all_sent(&w);
	world_fini(&w);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(burst_needs_no_successors_that_come_too_late),
	    cmocka_unit_test(much_mail_has_its_successors),
	    cmocka_unit_test(narrow_window_keeps_all_sessions),
	    cmocka_unit_test(last_of_a_backlog_do_not_wait_for_dials),
	    cmocka_unit_test(
		session_at_a_message_is_waited_for_no_longer_than_a_dial_takes),
	    cmocka_unit_test(
		dial_is_waited_for_no_longer_than_four_of_them_take),
	    cmocka_unit_test(quiet_lane_dials_for_each_message),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
