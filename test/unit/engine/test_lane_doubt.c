/* A server process that dies of what it is sent: how much that leaves in
 * doubt. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "test/support/lane_world.h"

enum { MESSAGES = 2000, SESSIONS = 5, DEPTH = 10 };

/* The server of these tests: each N-th MAIL ends its process. */
struct deaths {
	size_t every, mails, count;
};

static size_t
in_doubt(const struct world *w)
{
	size_t n = 0;

	for (size_t i = 0; i < w->count; i++)
		n += w->messages[i].in_doubt;
	return n;
}

static int
die_now_and_then(
    struct world *w, struct world_conn *conn, size_t number, const char *line)
{
	struct deaths *deaths = w->ctx;

	(void)conn;
	(void)number;
	if (strncmp(line, "MAIL", 4) != 0 ||
	    ++deaths->mails % deaths->every != 0)
		return 0;
	deaths->count++;
	return WORLD_DIE;
}

/* All that a session had on its way when it happened first, one message for
 * each that followed. The windows of the others are answered before the next.
 */
static void
later_deaths_leave_one_message_each_in_doubt(void **state)
{
	static const size_t every[] = {60, 100, 150, 250, 400};

	(void)state;
	for (size_t i = 0; i < sizeof(every) / sizeof(every[0]); i++) {
		struct deaths deaths = {.every = every[i]};
		struct world w;

		world_init(&w);
		w.ctx = &deaths;
		w.set.lane_connection_limit = SESSIONS;
		w.set.lane_pipeline_depth = DEPTH;
		w.server.judge = die_now_and_then;
		world_open(&w, MESSAGES);
		world_feed(&w, MESSAGES);
		world_finish(&w, 600000);
		assert_true(deaths.count > 3);
		assert_true(in_doubt(&w) >= DEPTH / 2); /* it was one */
		assert_true(in_doubt(&w) <= DEPTH + deaths.count - 1);
		world_fini(&w);
	}
}

/* It is no reason to go slowly for ever. */
static void
one_death_is_forgotten(void **state)
{
	struct deaths deaths = {.every = 200};
	struct world w;

	(void)state;
	world_init(&w);
	w.ctx = &deaths;
	w.set.lane_connection_limit = SESSIONS;
	w.server.judge = die_now_and_then;
	world_open(&w, 3 * MESSAGES);
	world_feed(&w, 399);
	world_finish(&w, 600000);
	assert_int_equal(deaths.count, 1);
	w.server.judge = NULL;
	w.load_peak = 0;
	world_feed(&w, 90);
	world_finish(&w, 600000);
	assert_int_equal(w.load_peak, 1);
	world_feed(&w, 2 * MESSAGES);
	world_finish(&w, 600000);
	assert_int_equal(w.load_peak, DEPTH);
	world_fini(&w);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(later_deaths_leave_one_message_each_in_doubt),
	    cmocka_unit_test(one_death_is_forgotten),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
