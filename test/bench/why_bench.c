/* why_bench: how long a lane takes to say what a message waits for.
 *
 *   why_bench [MESSAGES]      100000
 *
 * The engine's part of `postlane why`, in time of the processor, for the first,
 * the middle and the last of so many that wait for a rate. */
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "agent/engine/lane_why.h"
#include "test/support/lane_world.h"

static size_t place;

static void
note(void *ctx, const struct lane_why *why, const struct transaction *t)
{
	(void)ctx;
	(void)t;
	place = why->place;
}

static double
cpu_ms(void)
{
	struct timespec t;

	(void)clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
	return (double)t.tv_sec * 1e3 + (double)t.tv_nsec / 1e6;
}

int
main(int argc, char **argv)
{
	static char rate[] = "100/1s";
	size_t count = argc > 1 ? strtoul(argv[1], NULL, 10) : 100000;
	const size_t asked[] = {0, count / 2, count - 1};
	struct world w;

	world_init(&w);
	w.set.lane_message_rate_limit = rate;
	world_open(&w, count);
	world_submit(&w, count);
	world_settle(&w);
	for (size_t i = 0; i < sizeof(asked) / sizeof(asked[0]); i++) {
		const struct world_message *m = &w.messages[asked[i]];
		double from_ms = cpu_ms();

		if (m->req == NULL)
			continue;
		lane_why_each(w.lane, m->req, w.now, note, NULL);
		printf("why: place %zu of %zu: %.2f ms\n", place,
		    lane_waiting(w.lane), cpu_ms() - from_ms);
	}
	return 0;
}
