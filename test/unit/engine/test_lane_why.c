/* What each message of a lane waits for, in fake time. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "agent/engine/lane_steer.h"
#include "agent/engine/lane_why.h"
#include "common/base/clock.h"
#include "test/support/lane_world.h"

struct found {
	struct lane_why why;
	size_t parts;
};

static void
keep(void *ctx, const struct lane_why *why, const struct transaction *t)
{
	struct found *f = ctx;

	assert_non_null(t);
	f->why = *why;
	f->parts++;
}

static struct lane_why
why_of(const struct world *w, size_t number)
{
	struct found f = {.parts = 0};

	assert_non_null(w->messages[number].req);
	lane_why_each(w->lane, w->messages[number].req, w->now, keep, &f);
	assert_int_equal(f.parts, 1);
	return f.why;
}

static void
why_tells_the_limit_the_place_and_the_time(void **state)
{
	static char rate[] = "2/1s";
	struct world w;
	struct lane_why why;
	int64_t expected_ms;
	size_t first;

	(void)state;
	world_init(&w);
	w.set.lane_message_rate_limit = rate;
	world_open(&w, 200);
	world_submit(&w, 100);
	world_run(&w, 5000);
	first = w.done;
	while (why_of(&w, first).wait == BOARD_WAIT_NOTHING)
		first++; /* on the wire */
	why = why_of(&w, first);
	assert_int_equal(why.wait, BOARD_WAIT_RATE);
	assert_string_equal(why.text, "lane_message_rate_limit = 2/1s:1");
	assert_string_equal(why.parameter, "lane_message_rate_limit");
	assert_int_equal(why.place, 1);
	assert_int_equal(why.of, 100 - first);
	assert_in_range(why.expected_us, 0, 500 * US_PER_MS);
	why = why_of(&w, 99);
	assert_int_equal(why.place, 100 - first);
	/* It goes when it was said, to within a second. */
	expected_ms = clock_ms_from_us(why.expected_us);
	assert_in_range(expected_ms, (int64_t)(99 - first) * 500,
	    (int64_t)(99 - first) * 500 + 1500);
	world_run(&w, expected_ms - 2000);
	assert_int_equal(w.messages[99].mails, 0);
	world_run(&w, 4000);
	assert_int_equal(w.messages[99].mails, 1);
	world_fini(&w);
}

static void
why_names_connections_and_who_has_the_message(void **state)
{
	struct world w;
	struct lane_why why;

	(void)state;
	world_init(&w);
	w.set.lane_connection_limit = 1;
	w.set.lane_pipeline_depth = 1;
	world_open(&w, 10);
	world_submit(&w, 3);
	world_settle(&w);
	why = why_of(&w, 0);
	assert_int_equal(why.wait, BOARD_WAIT_CONNECTION);
	assert_int_equal(why.expected_us, -1);
	while (why_of(&w, 0).wait != BOARD_WAIT_NOTHING)
		world_run(&w, 10);
	why = why_of(&w, 0);
	assert_non_null(why.peer);
	assert_int_equal(why.place, 0);
	why = why_of(&w, 2);
	assert_null(why.peer);
	assert_int_equal(why.wait, BOARD_WAIT_CONNECTION_LIMIT);
	assert_string_equal(why.parameter, "lane_connection_limit");
	assert_int_equal(why.place, 2);
	assert_int_equal(why.of, 2);
	world_finish(&w, 60000);
	world_fini(&w);
}

static void
why_knows_a_failed_connection_and_a_limited_domain(void **state)
{
	struct world w;
	struct lane_why why;

	(void)state;
	world_init(&w);
	w.server.is_down = true;
	world_open(&w, 10);
	world_submit(&w, 1);
	world_run(&w, 3000);
	why = why_of(&w, 0);
	assert_int_equal(why.wait, BOARD_WAIT_BACKOFF);
	assert_string_not_equal(why.text, "");
	assert_in_range(why.expected_us, 0, 8 * US_PER_S);
	world_finish(&w, 60000);
	world_fini(&w);
	world_init(&w);
	world_set_domains(&w, "to.test=1/10s:1");
	world_open(&w, 10);
	world_submit(&w, 3);
	world_run(&w, 2000);
	assert_int_equal(w.done, 1);
	why = why_of(&w, 2);
	assert_int_equal(why.wait, BOARD_WAIT_DOMAIN);
	assert_string_equal(why.parameter, "lane_domain_rate_limits");
	assert_non_null(strstr(why.text, "to.test=1/10s:1"));
	assert_int_equal(why.place, 2);
	assert_in_range(why.expected_us, 15 * US_PER_S, 20 * US_PER_S);
	world_finish(&w, 60000);
	world_fini(&w);
}

static int
says_no(
    struct world *w, struct world_conn *conn, size_t number, const char *line)
{
	(void)w, (void)conn, (void)number;
	return strncmp(line, "MAIL", 4) == 0 ? 421 : 0;
}

/* A connection that worked, and a session that did not. */
static void
why_has_the_words_that_a_session_ended_with(void **state)
{
	struct world w;
	struct lane_why why;

	(void)state;
	world_init(&w);
	w.server.judge = says_no;
	w.server.judged = "4.7.0 not today";
	world_open(&w, 10);
	world_submit(&w, 3);
	do {
		world_run(&w, 50);
		why = why_of(&w, 2);
	} while (why.wait != BOARD_WAIT_BACKOFF);
	assert_non_null(strstr(why.text, "421 4.7.0 not today"));
	w.server.judge = NULL;
	world_finish(&w, 60000);
	world_fini(&w);
}

/* A window that is as wide as the sessions there are. */
static void
why_names_the_setting_when_all_of_its_sessions_are_busy(void **state)
{
	struct lane_steering order = {.connection_limit = 1};
	struct world w;
	struct lane_why why;
	size_t first;

	(void)state;
	world_init(&w);
	w.set.lane_connection_limit = 3;
	w.set.lane_pipeline_depth = 1;
	w.server.reply_ms = 300;
	world_open(&w, 60);
	world_submit(&w, 60);
	world_run(&w, 20000);
	for (int i = 0; i < 50; i++) {
		first = w.done;
		while (why_of(&w, first).wait == BOARD_WAIT_NOTHING)
			first++; /* on the wire */
		why = why_of(&w, first);
		assert_int_equal(why.wait, BOARD_WAIT_CONNECTION_LIMIT);
		assert_string_equal(
		    why.text, "lane_connection_limit = 3: as many are in use");
		assert_string_equal(why.parameter, "lane_connection_limit");
		world_run(&w, 7);
	}
	lane_steer(w.lane, &order, w.now);
	world_run(&w, 3000);
	why = why_of(&w, 59);
	assert_string_equal(
	    why.text, "postlane connections = 1: as many are in use");
	world_finish(&w, 300000);
	world_fini(&w);
}

static enum board_wait
waits(const struct world *w, char *text)
{
	return lane_waits_for(w->lane, w->now, text, LANE_WHY_SIZE);
}

/* All that came was deferred, so that nothing is inside. */
static void
waits_for_a_host_until_one_is_back(void **state)
{
	char text[LANE_WHY_SIZE];
	struct world w;

	(void)state;
	world_init(&w);
	w.server.is_down = true;
	w.calls_back = true;
	world_open(&w, 100);
	assert_int_equal(waits(&w, text), BOARD_WAIT_NOTHING);
	world_submit(&w, 3);
	world_run(&w, 40000);
	assert_int_equal(w.done, 3);
	assert_int_equal(waits(&w, text), BOARD_WAIT_OUTAGE);
	assert_string_equal(
	    text, "connect to relay.test[192.0.2.1]:25: refused");
	/* While it tries, too. */
	for (int i = 0; i < 100; i++) {
		world_run(&w, 97);
		assert_int_equal(waits(&w, text), BOARD_WAIT_OUTAGE);
	}
	w.server.is_down = false;
	world_run(&w, 60000);
	assert_int_equal(waits(&w, text), BOARD_WAIT_NOTHING);
	assert_string_equal(text, "");
	world_fini(&w);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(waits_for_a_host_until_one_is_back),
	    cmocka_unit_test(why_has_the_words_that_a_session_ended_with),
	    cmocka_unit_test(
		why_names_the_setting_when_all_of_its_sessions_are_busy),
	    cmocka_unit_test(why_tells_the_limit_the_place_and_the_time),
	    cmocka_unit_test(why_names_connections_and_who_has_the_message),
	    cmocka_unit_test(
		why_knows_a_failed_connection_and_a_limited_domain),
	};

	return cmocka_run_group_tests_name("lane_why", tests, NULL, NULL);
}
