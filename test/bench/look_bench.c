/* look_bench: what looking at lanes costs.
 *
 *   look_bench CONFIG_DIR CALLS_PER_SECOND SECONDS
 *
 * Reads the model and judges each lane, as `postlane status` does for each look
 * but for Postfix's queue, so often, until the time is over or SIGTERM comes;
 * and tells the processor's time it took, and that of one look at the queue. */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include "common/base/clock.h"
#include "monitor/backlog.h"
#include "monitor/health.h"
#include "monitor/model.h"
#include "monitor/postfix_state.h"

static volatile sig_atomic_t is_over;

static void
on_term(int number)
{
	(void)number;
	is_over = 1;
}

static double
cpu_us(void)
{
	struct timespec t;

	(void)clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
	return (double)t.tv_sec * 1e6 + (double)t.tv_nsec / 1e3;
}

static void
look(const struct site *site, const struct backlog *backlog)
{
	struct model *m = model_read(site, clock_moment());
	struct health health;

	for (size_t i = 0; i < m->lane_count; i++)
		health_of(
		    &health, m, &m->lanes[i], backlog, postfix_state_of(site));
	model_free(&m);
}

int
main(int argc, char **argv)
{
	char error[256];
	struct site site;
	struct backlog backlog;
	int64_t every_us, next_us, calls, done = 0;
	double from_us;

	if (argc != 4 || !site_open(&site, argv[1], error, sizeof(error)))
		return 2;
	every_us = 1000000 / strtol(argv[2], NULL, 10);
	calls = strtol(argv[2], NULL, 10) * strtol(argv[3], NULL, 10);
	from_us = cpu_us();
	backlog_read(&backlog, &site);
	printf("queue: %.2f ms a look\n", (cpu_us() - from_us) / 1000);
	from_us = cpu_us();
	next_us = clock_mono_us();
	(void)signal(SIGTERM, on_term);
	for (; done < calls && !is_over; done++) {
		int64_t left_us = next_us - clock_mono_us();

		if (left_us > 0)
			(void)usleep((useconds_t)left_us);
		next_us += every_us;
		look(&site, &backlog);
	}
	printf("status: %lld calls, %.0f us of the processor each\n",
	    (long long)done, (cpu_us() - from_us) / (double)done);
	backlog_fini(&backlog);
	site_close(&site);
	return 0;
}
