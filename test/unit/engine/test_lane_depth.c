/* How deep the windows are that a lane fills: as the distance asks for. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "agent/engine/bdp.h"
#include "test/support/lane_world.h"

enum {
	SESSIONS = 5,
	LEARNING = 1000, /* messages until it knows the server */
	MESSAGES = 10000,
	WORK_MS = 4, /* a millisecond for each of RSET, MAIL, RCPT, BDAT */
};

/* What is needed: messages that a server works through in a round trip, and
 * the spare. The first of a session has no RSET and is a quarter quicker, which
 * may make one more of it. */
static size_t
needed(int rtt_ms)
{
	return (size_t)((rtt_ms + WORK_MS - 1) / WORK_MS) + BDP_SPARE;
}

static void
open_at(struct world *w, int rtt_ms)
{
	world_init(w);
	w->set.lane_pipeline_depth = 50;
	w->set.lane_connection_limit = SESSIONS;
	w->server.rtt_ms = rtt_ms;
	w->server.reply_ms = 1;
	w->peer.rtt_us = rtt_ms * US_PER_MS;
	world_open(w, LEARNING + MESSAGES);
	world_feed(w, LEARNING);
	world_finish(w, 600000);
	w->load_peak = 0;
}

static const int distances_ms[] = {2, 20, 40, 100};
enum { DISTANCES = sizeof(distances_ms) / sizeof(distances_ms[0]) };

/* As fast as with any window: a dial, a round trip, and the server's work. */
static void
window_follows_the_distance(void **state)
{
	(void)state;
	for (size_t i = 0; i < DISTANCES; i++) {
		int rtt_ms = distances_ms[i];
		struct world w;
		int64_t from;
		double rate, bound;

		open_at(&w, rtt_ms);
		from = world_ms(&w);
		world_feed(&w, MESSAGES);
		world_finish(&w, 600000);
		rate = MESSAGES * 1000.0 / (double)(world_ms(&w) - from);
		bound = SESSIONS * 50 * 1000.0 /
			((double)(w.server.dial_rtts + 1) * rtt_ms +
			    50.0 * WORK_MS);
		print_message("RTT %3d ms: window %2zu, %6.1f of %6.1f "
			      "messages/s\n",
		    rtt_ms, w.load_peak, rate, bound);
		assert_in_range(
		    w.load_peak, needed(rtt_ms), needed(rtt_ms) + 1);
		assert_true(rate >= 0.95 * bound);
		world_check_all_sent(&w);
		world_fini(&w);
	}
}

static size_t
in_doubt(const struct world *w)
{
	size_t n = 0;

	for (size_t i = 0; i < w->count; i++)
		n += w->messages[i].in_doubt;
	return n;
}

static void
break_leaves_a_round_trips_worth_in_doubt(void **state)
{
	(void)state;
	for (size_t i = 0; i < DISTANCES; i++) {
		int rtt_ms = distances_ms[i];
		size_t most = SESSIONS * (needed(rtt_ms) + 1);
		struct world w;

		open_at(&w, rtt_ms);
		world_feed(&w, MESSAGES);
		world_run(&w, 9 * rtt_ms);
		world_cut_all(&w);
		world_finish(&w, 600000);
		print_message("RTT %3d ms: %3zu in doubt, at most %3zu of %d\n",
		    rtt_ms, in_doubt(&w), most, SESSIONS * 50);
		assert_true(in_doubt(&w) > most / 2);
		assert_true(in_doubt(&w) <= most);
		world_fini(&w);
	}
}

/* No more than it can use soon; the rest the queue manager may still give to
 * another. */
static void
two_such_windows_are_let_in(void **state)
{
	(void)state;
	for (size_t i = 0; i < DISTANCES; i++) {
		size_t need = needed(distances_ms[i]);
		struct world w;

		open_at(&w, distances_ms[i]);
		world_feed(&w, MESSAGES);
		world_settle(&w);
		assert_in_range(MESSAGES - w.backlog, 2 * SESSIONS * need,
		    2 * SESSIONS * (need + 1));
		world_finish(&w, 600000);
		world_fini(&w);
	}
}

/* 100 a second over five sessions: while the server stands still no more is
 * written than those would carry. */
static void
window_follows_the_rate(void **state)
{
	static char rate[] = "100/1s";
	struct world w;

	(void)state;
	world_init(&w);
	w.set.lane_pipeline_depth = 50;
	w.set.lane_connection_limit = SESSIONS;
	w.set.lane_message_rate_limit = rate;
	w.peer.rtt_us = 100 * US_PER_MS;
	world_open(&w, MESSAGES);
	world_feed(&w, MESSAGES);
	world_run(&w, 20000);
	assert_true(lane_sessions(w.lane) + 1 >= SESSIONS);
	w.server.reply_ms = 20000;
	world_run(&w, 10000);
	assert_in_range(lane_in_flight(w.lane), SESSIONS * BDP_SPARE,
	    SESSIONS * (3 + BDP_SPARE));
	w.server.reply_ms = 0;
	world_finish(&w, 3600000);
	world_fini(&w);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(window_follows_the_distance),
	    cmocka_unit_test(break_leaves_a_round_trips_worth_in_doubt),
	    cmocka_unit_test(two_such_windows_are_let_in),
	    cmocka_unit_test(window_follows_the_rate),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
