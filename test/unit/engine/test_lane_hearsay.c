/* What a lane hears of other hosts of its fleet: it goes more slowly, for a
 * bounded time, and its mail nowhere else. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "agent/engine/fleet_heard.h"
#include "agent/engine/lane_state.h"
#include "common/base/clock.h"
#include "test/support/lane_world.h"

enum { SECOND = 1000, DAY_S = 86400 };

static char hosts[] = "[a.test], [b.test]:2525";
static char host_a[] = "[a.test]";

static struct route *
first_route(struct world *w)
{
	struct route *r = route_of(w->lane->routes.next);

	assert_int_equal(r->number, 1);
	return r;
}

static void
hear(struct world *w, int64_t until_us)
{
	lane_hear_pause(
	    first_route(w), until_us, until_us > 0 ? "mx1" : "", w->now);
	w->is_kick_due = true;
}

static void
begin(struct world *w, size_t max)
{
	world_init(w);
	w->set.relayhost = hosts;
	w->set.lane_wait_limit_us = 300 * US_PER_S;
	world_open(w, max);
}

static void
pause_is_over_when_it_is_taken_back(void **state)
{
	(void)state;
	for (int adaptive = 0; adaptive < 2; adaptive++) {
		struct world w;

		begin(&w, 10);
		w.set.lane_adaptive = adaptive == 1;
		world_submit(&w, 1);
		world_finish(&w, 10 * SECOND);
		hear(&w, w.now.us + 3600 * US_PER_S);
		world_submit(&w, 5);
		world_run(&w, 60 * SECOND);
		assert_int_equal(w.arrival_count, 1);
		assert_true(lane_paused_until_us(w.lane) > w.now.us);
		/* It is heard each turn, and has become a shorter one. */
		hear(&w, w.now.us + 10 * US_PER_S);
		world_run(&w, 9 * SECOND);
		assert_int_equal(w.arrival_count, 1);
		hear(&w, 0);
		world_finish(&w, 5 * SECOND);
		world_check_all_sent(&w);
		world_fini(&w);
	}
}

/* Nor is it what this host tells others, or its next process. */
static void
pause_of_its_own_is_not_shortened_or_lengthened(void **state)
{
	struct controller_stored stored;
	struct world w;
	int64_t own_us;

	(void)state;
	begin(&w, 10);
	world_submit(&w, 1);
	world_finish(&w, 10 * SECOND);
	own_us = w.now.us + 60 * US_PER_S;
	lane_pause(first_route(&w), own_us, w.now);
	hear(&w, w.now.us + 3600 * US_PER_S);
	controller_save(&first_route(&w)->pace->adapt, &stored, w.now.us, 1000);
	assert_in_range(stored.pause_until_wall_ms, 1, 61 * SECOND);
	assert_true(w.pause_told_us == 0);
	hear(&w, 0);
	assert_true(lane_paused_until_us(w.lane) == own_us);
	world_submit(&w, 1);
	world_finish(&w, 70 * SECOND);
	assert_true(w.arrivals_ms[1] >= own_us / US_PER_MS);
	world_fini(&w);
}

static void
pause_moves_no_mail_to_another_host(void **state)
{
	struct world w;

	(void)state;
	begin(&w, 40);
	world_submit(&w, 1);
	world_finish(&w, 10 * SECOND);
	hear(&w, w.now.us + 3600 * US_PER_S);
	world_submit(&w, 20);
	world_run(&w, 100 * SECOND);
	assert_int_equal(w.arrival_count, 1);
	hear(&w, 0);
	world_finish(&w, 10 * SECOND);
	assert_int_equal(w.taken_by[1], 21);
	assert_int_equal(w.taken_by[2], 0);
	world_check_all_sent(&w);
	/* It waits as long as any other. */
	hear(&w, w.now.us + 3600 * US_PER_S);
	world_submit(&w, 1);
	world_finish(&w, 301 * SECOND);
	assert_int_equal(w.outcomes[OUTCOME_DEFER], 1);
	assert_string_equal(w.messages[21].text,
	    "not sent within 300s: the smarthost asked mx1 for a pause");
	world_fini(&w);
}

/* So long a pause is told at second s, 0: none is. */
typedef int64_t telling_fn(int64_t s);

static int64_t
for_ever(int64_t s)
{
	(void)s;
	return FLEET_LESSON_MAX_US;
}

static int64_t
once_and_again_after_a_minute(int64_t s)
{
	return s % 62 == 0 ? 3600 * US_PER_S : 0;
}

static int64_t
with_its_end(int64_t s)
{
	return s % 3661 < 3600 ? 3600 * US_PER_S : 0;
}

/* As the lanes of a host do it, each second. */
static void
listen(struct world *w, struct fleet_heard heard[FLEET_KINDS], int64_t left_us)
{
	struct fleet_answer a = {.word = FLEET_OK};
	const struct fleet_heard *h = &heard[FLEET_PAUSE];

	a.lessons[FLEET_PAUSE].left_us = left_us;
	(void)snprintf(a.lessons[FLEET_PAUSE].host,
	    sizeof(a.lessons[FLEET_PAUSE].host), "mx1");
	fleet_heard_take(heard, &a, 1, w->now.us);
	hear(w, fleet_heard_holds(h, w->now.us) ? h->until_us : 0);
}

static void
no_telling_stops_a_lane(void **state)
{
	static telling_fn *const tellings[] = {
	    for_ever, once_and_again_after_a_minute, with_its_end};

	(void)state;
	for (size_t i = 0; i < sizeof(tellings) / sizeof(tellings[0]); i++) {
		struct fleet_heard heard[FLEET_KINDS] = {{0}};
		int64_t paused_s = 0, away_s = 0, longest_s = 0;
		struct world w;

		begin(&w, DAY_S / 600 + 10);
		world_submit(&w, 1);
		world_finish(&w, 10 * SECOND);
		for (int64_t s = 0; s < DAY_S; s++) {
			if (s % 600 == 0)
				world_submit(&w, 1);
			listen(&w, heard, tellings[i](s));
			world_run(&w, SECOND);
			if (lane_paused_until_us(w.lane) <= w.now.us) {
				away_s = 0;
				continue;
			}
			paused_s++;
			if (++away_s > longest_s)
				longest_s = away_s;
		}
		/* The last time is not followed by its rest. */
		assert_true(paused_s <= (DAY_S + 3600) / 2);
		assert_true(longest_s <= 3600);
		/* Who is deferred comes again at such intervals. */
		assert_true(w.outcomes[OUTCOME_SENT] > DAY_S / 600 * 2 / 5);
		assert_int_equal(w.outcomes[OUTCOME_BOUNCE], 0);
		assert_int_equal(w.taken_by[2], 0);
		world_fini(&w);
	}
}

static int
refuse_all_of_a(
    struct world *w, struct world_conn *c, size_t number, const char *line)
{
	(void)w;
	(void)number;
	return c->route->number == 1 && strncmp(line, "MAIL", 4) == 0 ? 554 : 0;
}

static void
doubt(struct world *w)
{
	lane_doubt(w->lane, first_route(w), "host mx1 was told 554", w->now);
	w->is_kick_due = true;
}

/* Idle, with all under way, and again and again. */
static void
doubted_host_keeps_its_mail_when_it_takes_one(void **state)
{
	(void)state;
	for (int i = 0; i < 3; i++) {
		struct world w;

		begin(&w, 1000);
		world_submit(&w, 1);
		world_finish(&w, 10 * SECOND);
		if (i == 0)
			doubt(&w);
		world_submit(&w, 500);
		for (int n = 0; i > 0 && n < (i == 1 ? 1 : 20); n++) {
			world_run(&w, SECOND / 10);
			doubt(&w);
		}
		world_finish(&w, 60 * SECOND);
		assert_int_equal(w.taken_by[1], 501);
		assert_int_equal(w.taken_by[2], 0);
		world_check_all_sent(&w);
		assert_true(w.alarms > 0);
		assert_int_equal(w.all_clears[ALARM_BLOCKED], w.alarms);
		world_fini(&w);
	}
}

/* Nor does the next process take it for its own. */
static void
doubt_of_an_earlier_process_moves_no_mail(void **state)
{
	struct world w;

	(void)state;
	world_init(&w);
	w.set.relayhost = hosts;
	w.was_stopped = LANE_DOUBTED;
	world_open(&w, 100);
	world_submit(&w, 100);
	world_finish(&w, 60 * SECOND);
	assert_int_equal(w.taken_by[1], 100);
	assert_int_equal(w.taken_by[2], 0);
	world_check_all_sent(&w);
	assert_int_equal(w.all_clears[ALARM_BLOCKED], 1);
	world_fini(&w);
}

/* With one message, however many may be in a window of that session. */
static void
doubted_host_that_refuses_is_found_out_with_one_message(void **state)
{
	struct world w;
	size_t arrived;

	(void)state;
	world_init(&w);
	w.set.relayhost = hosts;
	w.set.lane_alert_retry_us = 60 * US_PER_S;
	world_set_rules(&w, "reply mail 554 * * alarm\n");
	world_open(&w, 1000);
	world_submit(&w, 200);
	world_finish(&w, 60 * SECOND);
	arrived = w.arrival_count;
	w.server.judge = refuse_all_of_a;
	doubt(&w);
	world_submit(&w, 100);
	world_finish(&w, 60 * SECOND);
	assert_int_equal(w.taken_by[1], 200);
	assert_int_equal(w.taken_by[2], 100);
	/* It was seen by both. */
	assert_int_equal(w.arrival_count - arrived, 101);
	assert_int_equal(w.outcomes[OUTCOME_SENT], 300);
	assert_true(route_is_refused(first_route(&w)));
	world_fini(&w);
}

/* The doubt is no reason to keep quiet about what else is wrong */
static void
doubted_host_that_is_down_is_an_outage(void **state)
{
	struct world w;

	(void)state;
	begin(&w, 100);
	w.set.relayhost = host_a;
	world_submit(&w, 1);
	world_finish(&w, 10 * SECOND);
	doubt(&w);
	w.server.is_down = true;
	world_cut_all(&w);
	for (int i = 0; i < 40; i++) {
		world_submit(&w, 1);
		world_run(&w, 10 * SECOND);
	}
	assert_non_null(strstr(w.alarm, "outage"));
	world_fini(&w);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(pause_is_over_when_it_is_taken_back),
	    cmocka_unit_test(pause_of_its_own_is_not_shortened_or_lengthened),
	    cmocka_unit_test(pause_moves_no_mail_to_another_host),
	    cmocka_unit_test(no_telling_stops_a_lane),
	    cmocka_unit_test(doubted_host_keeps_its_mail_when_it_takes_one),
	    cmocka_unit_test(doubt_of_an_earlier_process_moves_no_mail),
	    cmocka_unit_test(
		doubted_host_that_refuses_is_found_out_with_one_message),
	    cmocka_unit_test(doubted_host_that_is_down_is_an_outage),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
