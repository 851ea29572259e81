/* How routes, most of them logins by sender, share the places of a lane. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "agent/engine/lane_state.h"
#include "common/base/clock.h"
#include "common/base/log.h"
#include "common/base/mem.h"
#include "test/support/lane_world.h"

enum { LOGINS_MAX = 200 };

static void
begin(struct world *w, int places, size_t logins, size_t messages)
{
	world_init(w);
	w->set.smtp_sender_dependent_authentication = true;
	w->set.lane_connection_limit = places;
	w->logins = logins;
	world_open(w, messages);
}

/* The depth of a host is known of its other logins, from the board. */
static void
recall_depth(struct world *w)
{
	list_each (link, &w->lane->routes)
		route_of(link)->depth = w->set.lane_pipeline_depth;
}

/* All that wait now, until all are sent: how long that takes. */
static int64_t
drain(struct world *w, size_t messages)
{
	int64_t from = world_ms(w);

	world_submit(w, messages);
	recall_depth(w);
	world_finish(w, 3600000);
	world_check_all_sent(w);
	return world_ms(w) - from;
}

/* The longest that a login had to wait for a message of its to be sent, from
 * when it came or the one before was sent. */
static int64_t
longest_wait_ms(const struct world *w)
{
	int64_t last[LOGINS_MAX] = {0}, longest = 0;

	assert_true(w->logins <= LOGINS_MAX);
	for (size_t i = 0; i < w->count; i++) {
		const struct world_message *m = &w->messages[i];
		size_t login = i % w->logins;
		int64_t from = last[login] > m->submitted_ms ? last[login]
							     : m->submitted_ms;

		if (m->done_ms - from > longest)
			longest = m->done_ms - from;
		if (m->done_ms > last[login])
			last[login] = m->done_ms;
	}
	return longest;
}

static struct route *
route_by(struct world *w, const char *sender)
{
	struct route *found = NULL;

	list_each (link, &w->lane->routes)
		if (strcmp(route_of(link)->sender, sender) == 0)
			found = route_of(link);
	CHECK(found != NULL);
	return found;
}

static size_t
sessions_of(struct world *w, const char *sender)
{
	size_t n = 0;

	list_each (link, &w->lane->routes)
		if (strcmp(route_of(link)->sender, sender) == 0)
			n += route_of(link)->session_count;
	return n;
}

/* A session for each login, nearly as fast as one login with as many. */
static void
waiting_mail_of_a_login_goes_together(void **state)
{
	static const struct {
		size_t logins;
		int64_t rtt_ms;
	} rows[] = {{20, 100}, {21, 100}, {30, 20}, {100, 20}, {100, 100}};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		size_t logins = rows[i].logins, messages = logins * 20;
		int64_t one_ms, all_ms;
		struct world w;

		begin(&w, 20, 1, messages);
		w.server.rtt_ms = rows[i].rtt_ms;
		w.set.lane_messages_per_connection = 20;
		one_ms = drain(&w, messages);
		world_fini(&w);

		begin(&w, 20, logins, messages);
		w.server.rtt_ms = rows[i].rtt_ms;
		all_ms = drain(&w, messages);
		assert_true(w.dials * 10 <= logins * 12);
		assert_true(all_ms * 8 <= one_ms * 10);
		world_fini(&w);
	}
}

/* Who comes and goes in between, as the queue manager hands it out. */
static void
session_stays_while_its_login_has_mail(void **state)
{
	struct world w;

	(void)state;
	begin(&w, 20, 20, 5000);
	w.server.rtt_ms = 0;
	w.server.reply_ms = 1;
	w.server.dial_rtts = 0;
	world_feed(&w, 5000);
	world_finish(&w, 3600000);
	world_check_all_sent(&w);
	assert_true(w.dials <= 120);
	world_fini(&w);
}

/* Each login has one message after another, as a queue manager with mail of
 * many hands it out: idle in between is not through. */
static void
session_stays_while_mail_of_its_login_keeps_coming(void **state)
{
	enum { LOGINS = 100, MESSAGES = LOGINS * 20 };
	struct world w;

	(void)state;
	begin(&w, 20, LOGINS, MESSAGES);
	w.server.rtt_ms = 2;
	w.server.dial_rtts = 15; /* of a busy machine */
	for (size_t n = 0; n < MESSAGES; n++) {
		world_submit(&w, 1);
		world_run(&w, 1);
	}
	world_finish(&w, 3600000);
	world_check_all_sent(&w);
	/* Of a login's first message nobody knows that more will come. */
	assert_true(w.dials <= 2 * LOGINS);
	world_fini(&w);
}

/* All mail of so many logins, shuffled, `per_s` a second: sessions that took.
 */
static size_t
dials_for_shuffled(size_t logins, size_t each, size_t per_s, unsigned seed)
{
	size_t count = logins * each, come = 0, dials;
	/* A turn is 8 dials of 0.14 s. */
	int64_t fair_ms = (int64_t)((logins - 1) / 20) * 1120;
	size_t *order = mem_zarray(count, sizeof(*order));
	char domain[16];
	struct world w;

	begin(&w, 20, 1, count);
	w.server.rtt_ms = 20;
	for (size_t i = 0; i < count; i++)
		order[i] = i % logins;
	for (size_t i = count - 1; i > 0; i--) {
		size_t j = (seed = seed * 1103515245 + 12345) / 65536 % (i + 1);
		size_t of_i = order[i];

		order[i] = order[j];
		order[j] = of_i;
	}
	w.sender_domain = domain;
	for (size_t ms = 1; come < count; ms++) {
		for (; come < count && come < ms * per_s / 1000; come++) {
			(void)snprintf(
			    domain, sizeof(domain), "d%zu.test", order[come]);
			world_submit(&w, 1);
		}
		world_run(&w, 1);
	}
	world_finish(&w, 3600000);
	world_check_all_sent(&w);
	for (size_t i = 0; i < count; i++)
		assert_true(
		    w.messages[i].done_ms - w.messages[i].submitted_ms <=
		    2 * fair_ms);
	dials = w.dials;
	world_fini(&w);
	mem_free(order);
	return dials;
}

/* Messages of a login come by chance: a gap that is long for once is not the
 * end of its mail. Where they come for two seconds, eighty logins wait for
 * places, and who has one keeps it until then.
 */
static void
shuffled_mail_needs_few_sessions_more_than_there_are_logins(void **state)
{
	enum { LOGINS = 100, SEEDS = 2 };
	static const struct {
		size_t per_s, percent;
	} rows[] = {{1000, 120}, {1200, 115}, {2000, 106}};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		size_t dials = 0;

		for (unsigned seed = 1; seed <= SEEDS; seed++)
			dials +=
			    dials_for_shuffled(LOGINS, 20, rows[i].per_s, seed);
		assert_true(
		    dials * 100 <= (size_t)SEEDS * LOGINS * rows[i].percent);
	}
}

/* One place. A login with a message each 0.1 s has none for 0.35 s once, when
 * others have many: it keeps the place. Then none comes at all: that is the end
 * of its mail as well, which is seen in the time of a dial.
 */
static void
next_message_is_waited_for_while_any_come(void **state)
{
	char one[] = "one.test", two[] = "two.test";
	struct world w;

	(void)state;
	begin(&w, 1, 1, 200);
	w.server.rtt_ms = 20;
	w.sender_domain = one;
	for (int i = 0; i < 6; i++) {
		world_submit(&w, 1);
		world_run(&w, i < 5 ? 100 : 10);
	}
	w.sender_domain = two;
	for (int i = 0; i < 34; i++) {
		world_submit(&w, 1);
		world_run(&w, 10);
	}
	assert_int_equal(w.quits, 0);
	w.sender_domain = one;
	world_submit(&w, 1);
	world_run(&w, 130);
	assert_int_equal(w.quits, 0);
	world_run(&w, 50);
	assert_int_equal(w.quits, 1);
	world_finish(&w, 60000);
	world_check_all_sent(&w);
	assert_int_equal(w.dials, 2);
	world_fini(&w);
}

/* Ten places are had by logins with mail without end, and others come, whose
 * fair turn comes after one turn, or two: 2 - 1 / 1 turns, and 2 - 1 / 2.
 */
static void
who_comes_with_many_waits_a_little_longer_for_the_first_turn(void **state)
{
	enum { PLACES = 10, EACH = 150, TURN_MS = 5600 };
	static const struct {
		int others, fair, wait_ms;
	} rows[] = {{10, 1, TURN_MS}, {20, 2, TURN_MS * 3 / 2}};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		char domain[16] = "had.test";
		struct world w;

		begin(&w, PLACES, PLACES, PLACES * EACH + 20);
		w.set.lane_messages_per_connection = 1000000;
		w.server.reply_ms = 20;
		w.sender_domain = domain;
		world_submit(&w, PLACES * EACH);
		world_run(&w, 1000);
		w.logins = 20;
		(void)snprintf(domain, sizeof(domain), "wait.test");
		world_submit(&w, (size_t)rows[i].others);
		world_run(&w, rows[i].wait_ms - 10);
		assert_int_equal(w.lane->finishing, 0);
		world_run(&w, 20);
		assert_true(w.lane->finishing > 0);
		world_finish(&w, 3600000);
		world_check_all_sent(&w);
		for (size_t n = PLACES * EACH; n < w.count; n++)
			assert_true(w.messages[n].done_ms -
					w.messages[n].submitted_ms <=
				    2 * rows[i].fair * TURN_MS);
		world_fini(&w);
	}
}

/* A few messages of each login, one login after the other: whoever is through
 * gives his place at once, and nobody waits for a turn. */
static void
place_of_who_had_all_his_mail_at_once_is_free_soon(void **state)
{
	enum { LOGINS = 100, ROUNDS = 3, EACH = 5 };
	char domain[16];
	struct world w;

	(void)state;
	begin(&w, 10, 1, LOGINS * ROUNDS * EACH);
	w.sender_domain = domain;
	for (int i = 0; i < LOGINS * ROUNDS; i++) {
		(void)snprintf(domain, sizeof(domain), "d%d.test", i % LOGINS);
		for (int n = 0; n < EACH; n++) {
			world_submit(&w, 1);
			world_run(&w, 1);
		}
		world_run(&w, 100);
	}
	world_finish(&w, 3600000);
	world_check_all_sent(&w);
	for (size_t i = 0; i < w.count; i++)
		assert_true(
		    w.messages[i].done_ms - w.messages[i].submitted_ms <= 2500);
	world_fini(&w);
}

/* ... but for others that wait no longer than a turn, here of a second. */
static void
mail_that_keeps_coming_does_not_hold_a_place_for_ever(void **state)
{
	enum { LOGINS = 15, MESSAGES = LOGINS * 200 };
	struct world w;

	(void)state;
	begin(&w, 10, LOGINS, MESSAGES);
	w.set.lane_messages_per_connection = 1000000;
	w.server.rtt_ms = 1;
	w.server.dial_rtts = 7;
	for (size_t n = 0; n < MESSAGES; n += LOGINS) {
		world_submit(&w, LOGINS);
		world_run(&w, 50);
	}
	world_finish(&w, 3600000);
	world_check_all_sent(&w);
	assert_true(longest_wait_ms(&w) <= 2 * 1000);
	/* Five have none at any time, each for a turn at most. */
	assert_true(w.dials <= LOGINS + 10 * 11 + 10);
	world_fini(&w);
}

/* The only place; QUIT goes with the last messages of who had it. */
static void
who_is_nearly_through_says_so_with_its_last_messages(void **state)
{
	struct world w;
	int64_t from;

	(void)state;
	begin(&w, 1, 2, 40);
	w.server.rtt_ms = 200;
	world_submit(&w, 20);
	recall_depth(&w);
	world_finish(&w, 60000); /* times are known now */
	world_run(&w, 30000);
	from = world_ms(&w);
	world_submit(&w, 20);
	recall_depth(&w);
	/* QUIT of who had it before, two dials, a window for each. */
	for (; w.done < w.count; world_run(&w, 10))
		assert_true(world_ms(&w) - from <= 200 + 2 * (1400 + 200) + 50);
	world_check_all_sent(&w);
	world_fini(&w);
}

/* The second login begins when the first has shown what the host can do. */
static void
another_login_goes_by_what_the_first_has_found_out(void **state)
{
	char first[] = "first.test", second[] = "second.test";
	const struct route *r;
	struct world w;

	(void)state;
	begin(&w, 2, 1, 300);
	w.is_stranger = true;
	w.sender_domain = first;
	world_submit(&w, 200);
	world_finish(&w, 60000);
	w.sender_domain = second;
	world_submit(&w, 100);
	world_run(&w, 1); /* the dial is under way */
	r = route_by(&w, "s0@second.test");
	assert_true(r->dialing > 0);
	assert_int_equal(r->depth, w.set.lane_pipeline_depth);
	assert_true(manner_tells_ends(&r->manner));
	assert_true(r->tempo.knows_dial && r->tempo.knows_message);
	world_finish(&w, 60000);
	world_check_all_sent(&w);
	world_fini(&w);
}

/* A login that leads has a session before anybody knows that it works: while
 * the server thinks about it more is dialled for. */
static void
session_whose_login_is_under_way_is_one(void **state)
{
	char first[] = "first.test", second[] = "second.test";
	struct route *r;
	struct world w;

	(void)state;
	begin(&w, 4, 1, 600);
	w.has_login = true;
	w.sender_domain = first;
	world_submit(&w, 200);
	world_finish(&w, 60000);
	world_run(&w, 60000);
	w.leads = true;
	w.sender_domain = second;
	world_submit(&w, 1);
	do {
		world_run(&w, 1);
		r = route_by(&w, "s0@second.test");
	} while (r->session_count == 0);
	assert_int_equal(r->worked_us, 0);
	world_submit(&w, 399);
	world_run(&w, 1);
	assert_true(r->dialing > 0);
	assert_int_equal(r->worked_us, 0);
	world_finish(&w, 60000);
	world_check_all_sent(&w);
	world_fini(&w);
}

/* What dies of a full window does so with any login. */
static void
another_login_is_wary_of_a_host_that_died_of_a_window(void **state)
{
	char first[] = "first.test", second[] = "second.test";
	struct world w;

	(void)state;
	begin(&w, 2, 1, 300);
	w.sender_domain = first;
	world_submit(&w, 200);
	world_finish(&w, 60000);
	route_by(&w, "s0@first.test")->wary = ROUTE_WARY_FIRST;
	w.sender_domain = second;
	world_submit(&w, 100);
	world_run(&w, 1);
	assert_int_equal(route_by(&w, "s0@second.test")->depth, 1);
	world_finish(&w, 60000);
	world_fini(&w);
}

/* Sessions without end and mail without end: a turn is 8 dials of 0.7 s. */
static void
nobody_waits_for_twice_a_fair_turn(void **state)
{
	static const struct {
		size_t logins, turns;
	} rows[] = {{11, 1}, {20, 1}, {30, 2}, {45, 4}};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		int64_t fair_ms = (int64_t)rows[i].turns * 5600;
		size_t messages = rows[i].logins * 150;
		struct world w;

		begin(&w, 10, rows[i].logins, messages);
		w.set.lane_messages_per_connection = 1000000;
		w.set.lane_wait_limit_us = 3600 * US_PER_S;
		w.server.reply_ms = 20;
		world_submit(&w, messages);
		recall_depth(&w);
		world_finish(&w, 3600000);
		world_check_all_sent(&w);
		assert_true(longest_wait_ms(&w) <= 2 * fair_ms);
		/* Nor does it make the places change hands more often. */
		assert_true(
		    (int64_t)w.dials * 5600 <= 12 * (world_ms(&w) - 1000000));
		world_fini(&w);
	}
}

/* A rate is shared by who has a place and who waits for one. */
static void
turns_come_where_a_rate_is_the_limit_too(void **state)
{
	char rate[] = "20/1s";
	struct world w;

	(void)state;
	world_init(&w);
	w.set.smtp_sender_dependent_authentication = true;
	w.set.lane_connection_limit = 5;
	w.set.lane_message_rate_limit = rate;
	w.set.lane_messages_per_connection = 1000000;
	w.set.lane_wait_limit_us = 3600 * US_PER_S;
	w.logins = 15;
	world_open(&w, 3000);
	world_submit(&w, 3000);
	recall_depth(&w);
	world_finish(&w, 3600000);
	world_check_all_sent(&w);
	assert_true(longest_wait_ms(&w) <= 2 * 2 * 5600);
	world_fini(&w);
}

/* One login has all places, and so much mail that it never ends. */
static void
place_is_made_at_once_for_who_has_none(void **state)
{
	char rich[] = "rich.test", poor[] = "poor.test";
	struct world w;

	(void)state;
	begin(&w, 20, 1, 20000);
	w.set.lane_messages_per_connection = 1000000;
	w.sender_domain = rich;
	world_submit(&w, 19000);
	recall_depth(&w);
	world_run(&w, 3000);
	assert_int_equal(sessions_of(&w, "s0@rich.test"), 20);
	w.sender_domain = poor;
	world_submit(&w, 1);
	/* What is in flight, QUIT, the dial and the message. */
	world_run(&w, 100 + 100 + 700 + 100);
	assert_true(w.messages[19000].done_ms > 0);
	assert_int_equal(sessions_of(&w, "s0@rich.test"), 19);
	assert_int_equal(w.quits, 1);
	world_fini(&w);
}

/* Both with mail without end: the second has its half some turns later. */
static void
places_are_shared_evenly_by_and_by(void **state)
{
	char rich[] = "rich.test", poor[] = "poor.test";
	struct world w;

	(void)state;
	begin(&w, 8, 1, 20000);
	w.set.lane_messages_per_connection = 1000000;
	w.server.reply_ms = 20;
	w.sender_domain = rich;
	world_submit(&w, 9000);
	recall_depth(&w);
	world_run(&w, 3000);
	assert_int_equal(sessions_of(&w, "s0@rich.test"), 8);
	w.sender_domain = poor;
	world_submit(&w, 4000);
	recall_depth(&w);
	world_run(&w, 4 * (5600 + 1000));
	assert_int_equal(sessions_of(&w, "s0@rich.test"), 4);
	assert_int_equal(sessions_of(&w, "s0@poor.test"), 4);
	assert_int_equal(w.quits, 4);
	/* And there it stays. */
	world_run(&w, 30000);
	assert_int_equal(w.quits, 4);
	assert_true(w.done < w.count);
	world_fini(&w);
}

/* The other's sessions were in use a moment ago, and it has its share. */
static void
second_session_is_no_reason_to_end_another_logins_only_one(void **state)
{
	char one[] = "one.test", two[] = "two.test";
	struct world w;

	(void)state;
	begin(&w, 2, 1, 100);
	w.set.lane_messages_per_connection = 1000;
	w.sender_domain = one;
	world_submit(&w, 1);
	world_run(&w, 1000);
	w.sender_domain = two;
	world_submit(&w, 1);
	world_run(&w, 1000);
	for (int i = 0; i < 8; i++) {
		w.sender_domain = one;
		world_submit(&w, 1);
		world_run(&w, 150);
		w.sender_domain = two;
		world_submit(&w, 5);
		world_run(&w, 450);
	}
	assert_int_equal(w.dials, 2);
	assert_int_equal(w.quits, 0);
	/* When it was idle for a second it is surplus, and no backlog is known
	 * that would make a dial come too late. */
	world_run(&w, 11000);
	world_submit(&w, 40);
	world_run(&w, 2000);
	assert_int_equal(w.quits, 1);
	world_finish(&w, 10000);
	world_check_all_sent(&w);
	world_fini(&w);
}

static bool
is_down(struct world *w, const struct route *route)
{
	(void)w;
	return strcmp(route->nexthops, "[down.test]") == 0;
}

/* Who could not dial anyway takes no place away. */
static void
route_in_backoff_ends_no_session(void **state)
{
	char down[] = "[down.test]";
	struct world w;

	(void)state;
	world_init(&w);
	w.set.lane_connection_limit = 4;
	w.server.rtt_ms = 20;
	w.server.is_host_down = is_down;
	world_open(&w, 100);
	world_submit(&w, 4);
	world_run(&w, 2000);
	w.nexthop = down;
	world_submit(&w, 1);
	while (w.conns_refused == 0)
		world_run(&w, 1);
	assert_int_equal(w.quits, 1);
	w.nexthop = "";
	world_submit(&w, 4);
	world_run(&w, 300);
	assert_int_equal(lane_sessions(w.lane), 4);
	assert_int_equal(w.quits, 1);
	assert_int_equal(w.conns_refused, 1);
	world_fini(&w);
}

/* All logins are one account, which has less connections than the lane. */
static void
slots_of_an_account_change_hands_as_places_do(void **state)
{
	struct world w;

	(void)state;
	begin(&w, 20, 30, 30 * 20);
	w.slots = 5;
	world_submit(&w, 30 * 20);
	list_each (link, &w.lane->routes)
		lane_set_account(w.lane, route_of(link), 7, 0, NULL, w.now);
	recall_depth(&w);
	world_finish(&w, 3600000);
	world_check_all_sent(&w);
	assert_true(w.dials <= 36);
	/* Six rounds of dial, two windows and QUIT; one QUIT at a time. */
	assert_true(world_ms(&w) - 1000000 <= 6 * (1000 + 5 * 100));
	world_fini(&w);
}

/* ... and one of them has them all. */
static void
slot_is_made_for_who_has_none(void **state)
{
	char rich[] = "rich.test", poor[] = "poor.test";
	struct world w;

	(void)state;
	begin(&w, 20, 1, 20000);
	w.slots = 5;
	w.set.lane_messages_per_connection = 1000000;
	w.sender_domain = rich;
	world_submit(&w, 15000);
	lane_set_account(w.lane, world_route(&w), 7, 0, NULL, w.now);
	recall_depth(&w);
	world_run(&w, 3000);
	w.sender_domain = poor;
	world_submit(&w, 1);
	lane_set_account(
	    w.lane, route_of(w.lane->routes.prev), 7, 0, NULL, w.now);
	world_run(&w, 100 + 100 + 700 + 100);
	assert_true(w.messages[15000].done_ms > 0);
	assert_int_equal(w.quits, 1);
	world_fini(&w);
}

/* Two windows for each login: what is here goes together. */
static void
admission_grows_with_the_logins_that_wait(void **state)
{
	struct world w;

	(void)state;
	begin(&w, 20, 100, 3000);
	world_feed(&w, 3000);
	world_settle(&w);
	assert_int_equal(w.count, 2000);
	world_finish(&w, 600000);
	world_check_all_sent(&w);
	world_fini(&w);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(waiting_mail_of_a_login_goes_together),
	    cmocka_unit_test(session_stays_while_its_login_has_mail),
	    cmocka_unit_test(
		session_stays_while_mail_of_its_login_keeps_coming),
	    cmocka_unit_test(
		shuffled_mail_needs_few_sessions_more_than_there_are_logins),
	    cmocka_unit_test(next_message_is_waited_for_while_any_come),
	    cmocka_unit_test(
		who_comes_with_many_waits_a_little_longer_for_the_first_turn),
	    cmocka_unit_test(
		place_of_who_had_all_his_mail_at_once_is_free_soon),
	    cmocka_unit_test(
		mail_that_keeps_coming_does_not_hold_a_place_for_ever),
	    cmocka_unit_test(
		who_is_nearly_through_says_so_with_its_last_messages),
	    cmocka_unit_test(
		another_login_goes_by_what_the_first_has_found_out),
	    cmocka_unit_test(session_whose_login_is_under_way_is_one),
	    cmocka_unit_test(
		another_login_is_wary_of_a_host_that_died_of_a_window),
	    cmocka_unit_test(nobody_waits_for_twice_a_fair_turn),
	    cmocka_unit_test(turns_come_where_a_rate_is_the_limit_too),
	    cmocka_unit_test(place_is_made_at_once_for_who_has_none),
	    cmocka_unit_test(places_are_shared_evenly_by_and_by),
	    cmocka_unit_test(
		second_session_is_no_reason_to_end_another_logins_only_one),
	    cmocka_unit_test(route_in_backoff_ends_no_session),
	    cmocka_unit_test(slots_of_an_account_change_hands_as_places_do),
	    cmocka_unit_test(slot_is_made_for_who_has_none),
	    cmocka_unit_test(admission_grows_with_the_logins_that_wait),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
