/* How fast a lane is, in fake time, and what it costs to look again. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "test/unit/lane_world.h"

/* Messages per second and session that nothing can exceed: a dial of 7 round
 * trips, then windows of `depth` messages, a round trip each. */
static double
bound(const struct world *w)
{
	double quota = w->set.lane_messages_per_connection;
	double rtts =
	    (double)w->server.dial_rtts + quota / w->set.lane_pipeline_depth;

	return quota * 1000.0 / (rtts * (double)w->server.rtt_ms);
}

static void
lane_reaches_its_bound(void **state)
{
	static const struct {
		const char *name;
		int depth, sessions;
		bool pipelining, chunking;
	} cases[] = {
	    {"BDAT, depth 10, 20 sessions", 10, 20, true, true},
	    {"BDAT, depth 50, 20 sessions", 50, 20, true, true},
	    {"BDAT, depth 10, 1 session", 10, 1, true, true},
	    {"BDAT, depth 50, 1 session", 50, 1, true, true},
	    {"DATA overlap, 20 sessions", 1, 20, true, false},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct world w;
		size_t count = (size_t)cases[i].sessions * 1000;
		double rate, most;
		int64_t from;

		world_init(&w);
		w.set.lane_pipeline_depth = cases[i].depth;
		w.set.lane_connection_limit = cases[i].sessions;
		w.ehlo.pipelining = cases[i].pipelining;
		w.ehlo.chunking = cases[i].chunking;
		most = bound(&w) * cases[i].sessions;
		if (!cases[i].chunking)
			w.set.lane_pipeline_depth = 10;
		world_open(&w, count);
		from = w.now.ms;
		world_feed(&w, count);
		world_finish(&w, 3600000);
		rate = (double)count * 1000.0 / (double)(w.now.ms - from);
		print_message("%-30s %8.1f of %8.1f messages/s, %3.0f %%, "
			      "%zu dials, load %zu\n",
		    cases[i].name, rate, most, 100 * rate / most, w.dials,
		    w.load_peak);
		world_check_all_sent(&w);
		world_fini(&w);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(lane_reaches_its_bound),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
