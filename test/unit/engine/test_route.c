#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "agent/engine/route.h"
#include "common/base/clock.h"
#include "common/base/log.h"
#include "test/support/fixture.h"

enum { NOW = 1000000 };

static void
swallow(void *ctx, enum log_level level, const char *line)
{
	(void)ctx;
	(void)level;
	(void)line;
}

static int
setup(void **state)
{
	log_set_sink(swallow, NULL);
	*state = route_new("[relay.test]", "");
	return 0;
}

static int
teardown(void **state)
{
	struct route *r = *state;

	route_free(&r);
	log_set_sink(NULL, NULL);
	return 0;
}

static void
refuse_as(struct route *r, struct route_failure_kind kind, const char *status,
    int64_t patience_us, uint32_t random, int64_t now_us)
{
	static const struct peer relay = {.host = "relay.test"};
	struct dsn dsn;

	dsn_set(&dsn, status, "connect to relay.test: refused");
	route_on_dial_failed(r,
	    &(struct route_failure){.dsn = &dsn,
		.peer = &relay,
		.reply = "no",
		.patience_us = patience_us,
		.kind = kind},
	    random, now_us);
}

static void
refuse(struct route *r, const char *status, int64_t patience_us,
    uint32_t random, int64_t now_us)
{
	refuse_as(r, (struct route_failure_kind){0}, status, patience_us,
	    random, now_us);
}

static void
depth_doubles_with_each_good_window_up_to_the_limit(void **state)
{
	/* messages accepted, and the depth from then on */
	static const int steps[][2] = {
	    {1, 2}, {3, 4}, {7, 8}, {15, 10}, {100, 10}};
	struct route *r = *state;
	int n = 0;

	assert_int_equal(r->depth, 1);
	for (size_t i = 0; i < sizeof(steps) / sizeof(steps[0]); i++) {
		while (n < steps[i][0] - 1) {
			route_on_accepted(r, NOW, 10);
			n++;
			assert_true(r->depth < steps[i][1] || r->depth == 10);
		}
		route_on_accepted(r, NOW, 10);
		n++;
		assert_int_equal(r->depth, steps[i][1]);
	}
}

static void
trouble_halves_the_depth_but_never_below_one(void **state)
{
	static const int depths[] = {25, 12, 6, 3, 1, 1, 1};
	struct route *r = *state;

	r->depth = 50;
	for (size_t i = 0; i < sizeof(depths) / sizeof(depths[0]); i++) {
		route_on_trouble(r);
		assert_int_equal(r->depth, depths[i]);
	}
	/* What was good before does not count for the next doubling. */
	r->depth = 4;
	for (int i = 0; i < 3; i++)
		route_on_accepted(r, NOW, 50);
	route_on_trouble(r);
	assert_int_equal(r->depth, 2);
	route_on_accepted(r, NOW, 50);
	assert_int_equal(r->depth, 2);
}

static void
backoff_doubles_with_jitter_up_to_a_minute(void **state)
{
	struct fixture_random random;
	struct route *r = *state;
	int64_t now = NOW, expected = ROUTE_BACKOFF_FIRST_US;
	int64_t least = INT64_MAX, most = 0;

	fixture_random_init(&random);
	for (int i = 0; i < 10; i++) {
		refuse(r, "4.4.1", INT64_MAX,
		    (uint32_t)fixture_random_below(&random, UINT32_MAX), now);
		assert_int_equal(r->backoff_us, expected);
		assert_true(r->dial_not_before_us >= now + expected * 3 / 4);
		assert_true(r->dial_not_before_us <= now + expected * 5 / 4);
		now = r->dial_not_before_us;
		expected *= 2;
		if (expected > ROUTE_BACKOFF_MAX_US)
			expected = ROUTE_BACKOFF_MAX_US;
	}
	for (int i = 0; i < 100; i++) {
		int64_t before = now;

		refuse(r, "4.4.1", INT64_MAX,
		    (uint32_t)fixture_random_below(&random, UINT32_MAX), now);
		now = r->dial_not_before_us;
		least = now - before < least ? now - before : least;
		most = now - before > most ? now - before : most;
	}
	/* Within a minute it is tried again in any case. */
	assert_true(least < 39 * US_PER_S && most > 51 * US_PER_S &&
		    most <= 60 * US_PER_S);
}

static void
silent_host_is_tried_again_within_ten_seconds(void **state)
{
	struct route *r = *state;
	int64_t now = NOW;

	for (int i = 0; i < 20; i++) {
		refuse_as(r, (struct route_failure_kind){.is_transport = true},
		    "4.4.1", INT64_MAX, UINT32_MAX, now);
		assert_true(r->dial_not_before_us <= now + 10 * US_PER_S);
		now = r->dial_not_before_us;
	}
	assert_int_equal(r->backoff_us, ROUTE_BACKOFF_MAX_SILENT_US);
}

static void
several_failures_at_once_are_one_step_back(void **state)
{
	struct route *r = *state;

	for (int i = 0; i < 20; i++)
		refuse(r, "4.4.1", INT64_MAX, 0, NOW + i);
	assert_int_equal(r->backoff_us, ROUTE_BACKOFF_FIRST_US);
	for (int i = 0; i < 20; i++)
		route_on_session_end(r, SESSION_END_421, 0, 0, 0, NOW + i);
	assert_int_equal(r->backoff_us, ROUTE_BACKOFF_FIRST_US);
	for (int i = 0; i < 20; i++)
		route_on_session_end(
		    r, SESSION_END_421, 0, 0, 0, NOW + 2 * US_PER_S);
	assert_int_equal(r->backoff_us, 2 * ROUTE_BACKOFF_FIRST_US);
}

static void
success_of_one_dial_does_not_end_the_pause_of_another(void **state)
{
	struct route *r = *state;
	int64_t until;

	refuse(r, "4.7.0", INT64_MAX, 0, NOW);
	until = r->dial_not_before_us;
	assert_true(until > NOW);
	route_on_dial_ok(r, NOW);
	assert_int_equal(r->failing_since_us, 0);
	assert_int_equal(r->dial_not_before_us, until);
}

static void
backoff_grows_until_a_session_was_of_use(void **state)
{
	struct route *r = *state;
	int64_t now = NOW;

	for (int i = 1; i <= 3; i++) {
		route_on_dial_ok(r, NOW);
		route_on_session_end(r, SESSION_END_421, 0, 0, 0, now);
		assert_int_equal(
		    r->backoff_us, ROUTE_BACKOFF_FIRST_US << (i - 1));
		now = r->dial_not_before_us;
	}
	route_on_dial_ok(r, NOW);
	route_on_session_end(r, SESSION_END_QUIT, 1, 0, 0, now);
	assert_int_equal(r->backoff_us, 0);
}

static void
outage_begins_when_patience_is_over(void **state)
{
	static const struct {
		int64_t patience_us, down_after_us;
	} cases[] = {{10000000, 10000000}, {0, 0}, {300000000, 300000000}};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct route *r = route_new("[relay.test]", "");
		int64_t after = cases[i].down_after_us;

		if (after > 0) {
			refuse(r, "4.4.1", cases[i].patience_us, 0, NOW);
			assert_true(r->reach != ROUTE_DOWN);
			refuse(r, "4.4.1", cases[i].patience_us, 0,
			    NOW + after - 1);
			assert_true(r->reach != ROUTE_DOWN);
		}
		refuse(r, "4.4.1", cases[i].patience_us, 0, NOW + after);
		assert_true(r->reach == ROUTE_DOWN);
		assert_string_equal(r->failure_peer->host, "relay.test");
		assert_string_equal(r->failure_reply, "no");
		route_on_dial_ok(r, NOW);
		assert_true(r->reach != ROUTE_DOWN);
		route_free(&r);
	}
}

/* What may happen to a route, and the letters of its states. */
static void
dial_works(struct route *r)
{
	route_on_dial_ok(r, NOW + 2);
}

static void
dial_fails(struct route *r)
{
	refuse(r, "4.4.1", INT64_MAX, 0, NOW + 2);
}

static void
dial_fails_for_good(struct route *r)
{
	r->worked_us = 0;
	refuse(r, "5.7.8", 0, 0, NOW + 2);
}

static void
session_is_turned_away(struct route *r)
{
	struct dsn dsn;

	dsn_set(&dsn, "4.4.2", "lost connection");
	route_on_turned_away(r, &dsn, NULL, NOW + 2);
}

static void
alarm_rings(struct route *r)
{
	struct dsn dsn;

	dsn_set(&dsn, "5.7.1", "blocked");
	route_on_alarm(r, &dsn, NULL, "blocked", 1000, NOW + 2);
}

static void
old_session_is_good(struct route *r)
{
	route_on_good(r);
	assert_false(route_on_all_clear(r, r->alarms + 1));
}

static void
new_session_is_good(struct route *r)
{
	route_on_good(r);
	(void)route_on_all_clear(r, r->alarms);
}

static const struct {
	char letter;
	void (*happen)(struct route *r);
} events[] = {
    {'w', dial_works},
    {'f', dial_fails},
    {'F', dial_fails_for_good},
    {'t', session_is_turned_away},
    {'a', alarm_rings},
    {'o', old_session_is_good},
    {'n', new_session_is_good},
};

static void
happen(struct route *r, char letter)
{
	for (size_t i = 0; i < sizeof(events) / sizeof(events[0]); i++)
		if (events[i].letter == letter)
			events[i].happen(r);
}

/* The two states, and what the two are after each event, in their order. */
static void
each_event_moves_a_route_as_the_table_says(void **state)
{
	static const struct {
		const char *way; /* that leads to the state */
		const char *is, *then;
	} cases[] = {
	    /*               w  f  F  t  a  o  n */
	    {"", "RT", "RT FT DT DS DA RT RT"},
	    {"f", "FT", "RT FT DT DS DA FT FT"},
	    {"F", "DT", "RT DT DT DS DA DT DT"},
	    {"tw", "RS", "RS FS DS DS DA RT RT"},
	    {"twf", "FS", "RS FS DS DS DA FT FT"},
	    {"t", "DS", "RS DS DS DS DA DT DT"},
	    {"aw", "RA", "RA FA DA DA DA RA RT"},
	    {"awf", "FA", "RA FA DA DA DA FA FT"},
	    {"a", "DA", "RA DA DA DA DA DA DT"},
	};
	const size_t count = sizeof(events) / sizeof(events[0]);

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
		for (size_t j = 0; j <= count; j++) {
			const char *want =
			    j < count ? cases[i].then + 3 * j : cases[i].is;
			struct route *r = route_new("[relay.test]", "");

			for (const char *p = cases[i].way; *p != '\0'; p++)
				happen(r, *p);
			if (j < count)
				events[j].happen(r);
			if ("RFD"[r->reach] != want[0] ||
			    "TSA"[r->trust] != want[1])
				fail_msg("%s, then %c: %c%c, not %.2s",
				    cases[i].is,
				    j < count ? events[j].letter : '-',
				    "RFD"[r->reach], "TSA"[r->trust], want);
			assert_int_equal(r->failing_since_us == 0,
			    r->reach == ROUTE_REACHABLE);
			route_free(&r);
		}
}

/* Else mail would be returned for what an earlier dial was told. */
static void
each_failure_is_of_its_own_kind(void **state)
{
	static const struct route_failure_kind all = {
	    true, true, true, true, true};
	static const char without_kind[] = "fta";

	(void)state;
	for (const char *p = without_kind; *p != '\0'; p++) {
		struct route *r = route_new("[relay.test]", "");

		refuse_as(r, all, "5.7.8", 0, 0, NOW);
		assert_true(r->failure_kind.is_final);
		route_on_dial_ok(r, NOW + 1);
		happen(r, *p);
		assert_false(
		    r->failure_kind.is_final || r->failure_kind.is_soft ||
		    r->failure_kind.is_certificate || r->failure_kind.is_told ||
		    r->failure_kind.is_transport);
		route_free(&r);
	}
}

static void
failed_dials_beside_live_sessions_are_no_outage(void **state)
{
	struct route *r = *state;

	r->session_count = 1;
	refuse(r, "4.7.0", 0, 0, NOW);
	assert_true(r->reach != ROUTE_DOWN);
	r->session_count = 0;
	refuse(r, "4.7.0", 0, 0, NOW);
	assert_true(r->reach == ROUTE_DOWN);
}

/* 8 sessions and 2 dials when one more was refused. */
static void
sessions_that_were_proven_are_replaced_without_a_pause(void **state)
{
	struct route *r = *state;

	r->session_count = 8;
	r->dialing = 2;
	refuse(r, "4.7.0", INT64_MAX, 0, NOW);
	assert_false(route_may_replace(r));
	assert_false(route_is_being_tried(r)); /* but the pause lasts */
	for (; r->dialing > 0; r->dialing--) {
		route_on_dial_ok(r, NOW);
		r->session_count++;
	}
	assert_false(route_may_replace(r));
	/* Their work is no sign that more of them are allowed. */
	route_on_session_end(r, SESSION_END_QUIT, 50, 0, 0, NOW + 1);
	r->session_count--;
	assert_int_equal(r->backoff_us, ROUTE_BACKOFF_FIRST_US);
	assert_true(route_may_replace(r));
	r->dialing = 1;
	assert_false(route_may_replace(r));
	assert_false(route_is_being_tried(r));
	r->dialing = 2;
	assert_true(route_is_being_tried(r));
	/* The eleventh works after all. */
	r->dialing = 1;
	r->session_count = 10;
	route_on_dial_ok(r, NOW);
	assert_int_equal(r->sessions_proven, 0);
	assert_false(route_is_being_tried(r));
	route_on_session_end(r, SESSION_END_QUIT, 50, 0, 0, NOW + 1);
	assert_int_equal(r->backoff_us, 0);
	r->dialing = 0;
}

static void
after_a_failure_one_dial_tries(void **state)
{
	struct route *r = *state;

	r->dialing = 5;
	assert_false(route_is_being_tried(r));
	r->dialing = 0;
	refuse(r, "4.4.1", INT64_MAX, 0, NOW);
	assert_false(route_is_being_tried(r));
	r->dialing = 1;
	assert_true(route_is_being_tried(r));
	route_on_dial_ok(r, NOW);
	assert_false(route_is_being_tried(r));
	r->dialing = 0;
}

static void
failure_for_good_is_still_a_reason_to_wait(void **state)
{
	struct route *r = *state;

	refuse(r, "5.7.8", 0, 0, NOW);
	assert_string_equal(r->failure.status, "4.7.8");
}

static void
quota_is_learned_when_seen_several_times_in_a_row(void **state)
{
	static const enum session_end ends[] = {
	    SESSION_END_421, SESSION_END_LOST};

	(void)state;
	for (size_t i = 0; i < 2; i++) {
		struct route *r = route_new("[relay.test]", "");

		route_on_session_end(r, ends[i], 5, 0, 0, NOW);
		for (int n = 0; n < ROUTE_QUOTA_TIMES; n++) {
			assert_int_equal(route_quota(r, 50, 0, NOW), 50);
			route_on_session_end(r, ends[i], 7, 0, 0, NOW);
			/* Idle, or done: it had no chance to go on. */
			route_on_session_end(r, SESSION_END_QUIT, 7, 0, 0, NOW);
		}
		assert_int_equal(route_quota(r, 50, 0, NOW), 7);
		assert_int_equal(
		    route_quota(r, 50, 0, NOW + ROUTE_QUOTA_MEMORY_US - 1), 7);
		assert_int_equal(
		    route_quota(r, 50, 0, NOW + ROUTE_QUOTA_MEMORY_US), 50);
		route_free(&r);
	}
}

static void
quota_is_not_learned_when_others_carry_more(void **state)
{
	struct route *r = *state;

	for (int n = 0; n < 10; n++) {
		route_on_session_end(r, SESSION_END_LOST, 3, 0, 0, NOW);
		route_on_session_end(r, SESSION_END_LOST, 3, 0, 0, NOW);
		route_on_session_end(r, SESSION_END_QUIT, 50, 0, 0, NOW);
	}
	assert_int_equal(route_quota(r, 50, 0, NOW), 50);
}

static void
quota_of_an_earlier_process_ages_on(void **state)
{
	struct route *r = *state;

	route_load_quota(r, 0, NOW);
	assert_int_equal(route_quota(r, 50, 0, NOW), 50);
	/* Before this machine was started. */
	route_load_quota(r, 7, NOW - ROUTE_QUOTA_MEMORY_US + 1000);
	assert_int_equal(route_quota(r, 50, 0, NOW), 7);
	assert_int_equal(route_quota(r, 50, 0, NOW + 1000), 50);
	/* Forgotten, and seen once more. */
	route_on_session_end(r, SESSION_END_421, 7, 0, 0, NOW + 2000);
	assert_int_equal(route_quota(r, 50, 0, NOW + 2000), 7);
	/* What this process found out is newer. */
	route_load_quota(r, 20, NOW);
	assert_int_equal(route_quota(r, 50, 0, NOW + 2000), 7);
	/* One that carries more ends the rule here as well. */
	route_on_session_end(r, SESSION_END_QUIT, 50, 0, 0, NOW + 3000);
	route_on_session_end(
	    r, SESSION_END_421, 7, 0, 0, NOW + 2000 + ROUTE_QUOTA_MEMORY_US);
	assert_int_equal(
	    route_quota(r, 50, 0, NOW + 2000 + ROUTE_QUOTA_MEMORY_US), 50);
}

static void
quota_is_the_least_that_is_known(void **state)
{
	static const struct {
		int configured, announced, learned, expected;
	} cases[] = {
	    {50, 0, 0, 50},
	    {50, 20, 0, 20},
	    {50, 100, 0, 50},
	    {50, 20, 5, 5},
	    {50, 3, 5, 3},
	    {1, 20, 5, 1},
	};
	struct route *r = *state;

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		r->quota = cases[i].learned;
		r->quota_learned_us = NOW;
		assert_int_equal(route_quota(r, cases[i].configured,
				     cases[i].announced, NOW),
		    cases[i].expected);
	}
}

static void
ends_have_their_own_consequences(void **state)
{
	static const struct {
		enum session_end how;
		int accepted;
		bool cuts, backs_off;
	} cases[] = {
	    {SESSION_END_QUIT, 0, false, false},
	    {SESSION_END_QUIT, 9, false, false},
	    {SESSION_END_421, 0, false, true},
	    {SESSION_END_421, 9, false, false},
	    {SESSION_END_LOST, 0, true, true},
	    {SESSION_END_LOST, 9, true, false},
	    {SESSION_END_TIMEOUT, 0, true, true},
	    {SESSION_END_TIMEOUT, 9, true, false},
	    {SESSION_END_OURS, 0, false, false},
	    {SESSION_END_ABORT, 0, true, true},
	    {SESSION_END_ABORT, 9, true, false},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct route *r = route_new("[relay.test]", "");

		r->depth = 8;
		route_on_session_end(
		    r, cases[i].how, cases[i].accepted, 0, 0, NOW);
		assert_int_equal(r->depth, cases[i].cuts ? 4 : 8);
		assert_int_equal(
		    r->dial_not_before_us > NOW, cases[i].backs_off);
		route_free(&r);
	}
}

static void
dials_under_way_are_each_measured_from_their_own_beginning(void **state)
{
	struct route *r = *state;

	route_on_dial(r, NOW);
	route_on_dial(r, NOW + 90);
	route_on_dial(r, NOW + 95);
	route_on_dial_ok(r, NOW + 100);
	assert_int_equal(r->dial_took_us, 100);
	route_on_dial_ok(r, NOW + 195);
	assert_int_equal(r->dial_took_us, 105);
	refuse(r, "4.7.0", 60000, 0, NOW + 200);
	/* Many at once: about right is enough. */
	for (int i = 0; i < 3 * ROUTE_DIALS; i++)
		route_on_dial(r, NOW + 1000);
	for (int i = 0; i < 3 * ROUTE_DIALS; i++)
		route_on_dial_ok(r, NOW + 1100);
	assert_int_equal(r->dial_took_us, 100);
	route_on_dial(r, NOW + 2000);
	route_on_dial_ok(r, NOW + 2050);
	assert_int_equal(r->dial_took_us, 50);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

/* so many more messages are accepted, begun at `began_us` */
static void
accept_many(struct route *r, int n, int64_t began_us)
{
	for (int i = 0; i < n; i++)
		route_on_accepted(r, began_us, 50);
}

static void
window_in_doubt_begins_anew_with_depth_one(void **state)
{
	/* Twice as many each time, or as many as went well in between. */
	static const int wary[] = {100, 620, 1240};
	struct route *r = *state;

	for (int round = 0; round < 3; round++) {
		r->depth = 50;
		route_on_session_end(
		    r, SESSION_END_LOST, 3, 10, 0, NOW + round);
		/* The others of its server process break with it. */
		route_on_session_end(
		    r, SESSION_END_LOST, 3, 50, 0, NOW + round);
		/* What was on its way in such a window shows nothing. */
		accept_many(r, 10, NOW + round - 1);
		for (int depth = 1; depth <= 4; depth *= 2) {
			assert_int_equal(r->depth, depth);
			accept_many(r, wary[round] - 1, NOW + round);
			assert_int_equal(r->depth, depth);
			accept_many(r, 1, NOW + round);
		}
	}
}

static void
one_message_in_doubt_is_no_window(void **state)
{
	struct route *r = *state;

	r->depth = 50;
	route_on_session_end(r, SESSION_END_LOST, 3, 1, 0, NOW);
	assert_int_equal(r->depth, 25);
	accept_many(r, 25, NOW);
	assert_int_equal(r->depth, 50);
}

/* ... but shows that the cause is still there. */
static void
death_with_one_message_in_doubt_makes_it_wait_as_long_again(void **state)
{
	struct route *r = *state;

	r->depth = 10;
	accept_many(r, 10, NOW);
	route_on_session_end(r, SESSION_END_LOST, 3, 10, 0, NOW);
	for (int64_t i = 1; i <= 50; i++) {
		accept_many(r, 90, NOW + i - 1);
		assert_int_equal(r->depth, 1);
		route_on_session_end(r, SESSION_END_LOST, 3, 1, 0, NOW + i);
	}
	/* They were that far apart. */
	accept_many(r, 179, NOW + 50);
	assert_int_equal(r->depth, 1);
	accept_many(r, 1, NOW + 50);
	assert_int_equal(r->depth, 2);
}

static void
what_lost_windows_taught_is_forgotten_when_much_went_well(void **state)
{
	struct route *r = *state;

	r->depth = 10;
	route_on_session_end(r, SESSION_END_LOST, 3, 10, 0, NOW);
	accept_many(r, 999, NOW);
	assert_int_equal(r->wary, 100);
	accept_many(r, 1, NOW);
	assert_int_equal(r->wary, 0);
	/* However long it went well before: as a line that is cut once. */
	accept_many(r, 1000000, NOW);
	route_on_session_end(r, SESSION_END_LOST, 3, 10, 0, NOW);
	assert_int_equal(r->wary, ROUTE_WARY_APART);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    TEST(window_in_doubt_begins_anew_with_depth_one),
	    TEST(one_message_in_doubt_is_no_window),
	    TEST(death_with_one_message_in_doubt_makes_it_wait_as_long_again),
	    TEST(what_lost_windows_taught_is_forgotten_when_much_went_well),
	    TEST(dials_under_way_are_each_measured_from_their_own_beginning),
	    TEST(depth_doubles_with_each_good_window_up_to_the_limit),
	    TEST(trouble_halves_the_depth_but_never_below_one),
	    TEST(backoff_doubles_with_jitter_up_to_a_minute),
	    TEST(silent_host_is_tried_again_within_ten_seconds),
	    TEST(several_failures_at_once_are_one_step_back),
	    TEST(success_of_one_dial_does_not_end_the_pause_of_another),
	    TEST(backoff_grows_until_a_session_was_of_use),
	    TEST(outage_begins_when_patience_is_over),
	    TEST(each_event_moves_a_route_as_the_table_says),
	    TEST(each_failure_is_of_its_own_kind),
	    TEST(failed_dials_beside_live_sessions_are_no_outage),
	    TEST(sessions_that_were_proven_are_replaced_without_a_pause),
	    TEST(after_a_failure_one_dial_tries),
	    TEST(failure_for_good_is_still_a_reason_to_wait),
	    TEST(quota_is_learned_when_seen_several_times_in_a_row),
	    TEST(quota_is_not_learned_when_others_carry_more),
	    TEST(quota_of_an_earlier_process_ages_on),
	    TEST(quota_is_the_least_that_is_known),
	    TEST(ends_have_their_own_consequences),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
