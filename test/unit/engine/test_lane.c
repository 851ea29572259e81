/* What comes into a lane and out again: routes, drops, drains, order. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "agent/engine/lane_state.h"
#include "common/base/clock.h"
#include "test/support/lane_world.h"

/* ---- where mail goes --------------------------------------------------- */

static void
nexthops_are_chosen_by_rule(void **state)
{
	static const struct {
		const char *smarthost, *relayhost, *nexthop, *rcpts[2];
		const char *expected;
	} cases[] = {
	    {"", "[relay]:25", "", {"a@x.test"}, "[relay]:25"},
	    {"", "[relay]:25", "x.test", {"a@x.test"}, "[relay]:25"},
	    {"", "[relay]:25", "X.Test", {"a@x.test", "b@x.TEST"},
		"[relay]:25"},
	    {"", "[relay]:25", "x.test", {"a@x.test", "b@y.test"}, "x.test"},
	    {"", "[relay]:25", "x.test", {"\"a@b\"@x.test"}, "[relay]:25"},
	    {"", "[relay]:25", "x.test", {"postmaster"}, "x.test"},
	    {"", "[relay]:25", "[relay]:587", {"a@x.test"}, "[relay]:587"},
	    {"", "[relay]:25", "[x.test]", {"a@x.test"}, "[x.test]"},
	    {"", "", "x.test", {"a@x.test"}, "x.test"},
	    {"", "", "", {"a@x.test"}, ""},
	    {"[smart]", "[relay]:25", "x.test", {"a@x.test"}, "[smart]"},
	    {"[smart]", "", "[other]", {"a@x.test"}, "[smart]"},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		char smarthost[32], relayhost[32];
		struct settings set = {
		    .lane_smarthost = smarthost, .relayhost = relayhost};
		struct recipient rcpts[2] = {{0}};
		struct request req = {
		    .nexthop = cases[i].nexthop, .rcpts = rcpts};

		(void)snprintf(
		    smarthost, sizeof(smarthost), "%s", cases[i].smarthost);
		(void)snprintf(
		    relayhost, sizeof(relayhost), "%s", cases[i].relayhost);
		for (; req.rcpt_count < 2 && cases[i].rcpts[req.rcpt_count];
		     req.rcpt_count++)
			rcpts[req.rcpt_count].address =
			    cases[i].rcpts[req.rcpt_count];
		assert_string_equal(
		    lane_nexthops(&set, &req), cases[i].expected);
	}
}

static size_t
count_routes(const struct world *w)
{
	size_t n = 0;

	list_each (link, &w->lane->routes)
		n++;
	return n;
}

static void
route_is_shared_by_nexthop_and_by_sender_where_that_matters(void **state)
{
	struct world w;

	(void)state;
	for (int depends = 0; depends < 2; depends++) {
		world_init(&w);
		w.set.smtp_sender_dependent_authentication = depends;
		world_open(&w, 10);
		world_submit(&w, 2);
		w.nexthop = "[RELAY.test]";
		world_submit(&w, 1);
		w.nexthop = "[other.test]";
		world_submit(&w, 2);
		assert_int_equal(count_routes(&w), depends ? 5 : 2);
		world_finish(&w, 10000);
		world_check_all_sent(&w);
		world_fini(&w);
	}
}

/* Credentials by sender and a sender for each message: no end of routes. */
static void
routes_nobody_uses_are_forgotten(void **state)
{
	struct world w;
	char nexthop[64];

	(void)state;
	world_init(&w);
	w.nexthop = nexthop;
	world_open(&w, 1000);
	for (int i = 0; i < 500; i++) {
		(void)snprintf(nexthop, sizeof(nexthop), "[h%d.test]", i);
		world_submit(&w, 1);
		world_finish(&w, 60000);
	}
	world_check_all_sent(&w);
	world_run(
	    &w, (ROUTE_MEMORY_SHORT_US + w.set.lane_connection_idle_limit_us) /
			US_PER_MS +
		    1000);
	world_submit(&w, 1);
	world_finish(&w, 60000);
	assert_true(count_routes(&w) <= ROUTE_MANY + 1);
	world_run(&w, (ROUTE_MEMORY_US + w.set.lane_connection_idle_limit_us) /
			  US_PER_MS);
	world_submit(&w, 1);
	world_finish(&w, 60000);
	assert_int_equal(count_routes(&w), 1);
	world_fini(&w);
}

/* One route would never leave a session idle, nor let one go. */
static void
busy_route_leaves_sessions_to_another(void **state)
{
	struct world w;

	(void)state;
	world_init(&w);
	world_open(&w, 5000);
	world_submit(&w, 4000);
	world_run(&w, 1500);
	w.nexthop = "[other.test]";
	world_submit(&w, 100);
	world_finish(&w, 60000);
	/* A session is spent every 1.3 s at the latest. */
	for (size_t i = 4000; i < 4100; i++)
		assert_true(
		    w.messages[i].done_ms - w.messages[i].submitted_ms < 5000);
	assert_true(w.messages[3999].done_ms > w.messages[4099].done_ms);
	world_check_all_sent(&w);
	world_fini(&w);
}

static void
idle_sessions_give_way_to_another_route(void **state)
{
	struct world w;

	(void)state;
	world_init(&w);
	w.set.lane_connection_limit = 4;
	world_open(&w, 100);
	world_submit(&w, 4);
	world_finish(&w, 2000);
	world_run(&w, 500);
	assert_int_equal(lane_sessions(w.lane), 4);
	w.nexthop = "[other.test]";
	world_submit(&w, 2);
	world_finish(&w, 1200);
	/* As many as were of use. */
	assert_int_equal(w.quits, 2);
	assert_int_equal(lane_sessions(w.lane), 4);
	world_check_all_sent(&w);
	world_fini(&w);
}

static void
routes_share_the_tokens_of_a_paced_lane(void **state)
{
	static char rate[] = "10/1s";
	struct world w;
	size_t sent[2] = {0, 0};

	(void)state;
	world_init(&w);
	w.set.lane_message_rate_limit = rate;
	world_open(&w, 200);
	world_submit(&w, 100);
	w.nexthop = "[other.test]";
	world_submit(&w, 100);
	world_run(&w, 11000);
	for (size_t i = 0; i < 200; i++)
		sent[i / 100] += w.messages[i].copies > 0;
	assert_true(sent[0] + sent[1] >= 95 && sent[0] + sent[1] <= 110);
	assert_true(sent[0] >= 40 && sent[1] >= 40);
	world_fini(&w);
}

/* ---- drops and drains -------------------------------------------------- */

static void
request_can_be_dropped_until_it_is_on_the_wire(void **state)
{
	struct world w;
	struct request *req;

	(void)state;
	world_init(&w);
	w.set.lane_connection_limit = 1;
	world_open(&w, 10);
	world_submit(&w, 5);
	world_run(&w, 750);
	assert_int_equal(lane_in_flight(w.lane), 1);
	/* In flight: no. */
	assert_false(lane_drop(w.lane, w.messages[0].req));
	/* Waiting: yes, and the others are not harmed. */
	req = w.messages[3].req;
	assert_true(lane_drop(w.lane, req));
	assert_null(req->lane_data);
	request_free(&w.messages[3].req);
	w.done++;
	/* Assigned, no octet rendered: yes. */
	world_run(&w, 100);
	world_route(&w)->depth = 10;
	lane_kick(w.lane, w.now);
	req = w.messages[4].req;
	assert_int_equal(((struct transaction *)req->lane_data)->state,
	    TRANSACTION_ASSIGNED);
	assert_true(lane_drop(w.lane, req));
	request_free(&w.messages[4].req);
	w.done++;
	assert_int_equal(lane_waiting(w.lane), 0);
	world_finish(&w, 10000);
	for (size_t i = 0; i < 5; i++)
		assert_int_equal(w.messages[i].copies, i < 3);
	world_fini(&w);
}

static void
dropped_dials_leave_nothing_behind(void **state)
{
	struct world w;

	(void)state;
	world_init(&w);
	world_open(&w, 5);
	world_submit(&w, 5);
	world_run(&w, 100);
	for (size_t i = 0; i < 5; i++) {
		assert_true(lane_drop(w.lane, w.messages[i].req));
		request_free(&w.messages[i].req);
	}
	world_run(&w, 700);
	assert_int_equal(lane_sessions(w.lane), 5);
	world_run(&w, 40000);
	assert_int_equal(lane_sessions(w.lane), 0);
	assert_true(lane_deadline_us(w.lane) == INT64_MAX);
	world_fini(&w);
}

static void
drain_withdraws_the_unsent_and_finishes_the_rest(void **state)
{
	struct world w;
	size_t sent = 0, in_flight;
	int64_t until;

	(void)state;
	world_init(&w);
	w.set.lane_pipeline_depth = 4;
	world_open(&w, 2000);
	world_submit(&w, 2000);
	world_run(&w, 1000);
	/* Assigned, but the link has not pulled. */
	for (size_t i = 0; i < w.count; i++)
		sent += w.messages[i].copies > 0;
	assert_true(sent > 0);
	world_route(&w)->depth = 10;
	in_flight = lane_in_flight(w.lane);
	lane_kick(w.lane, w.now);
	assert_true(lane_in_flight(w.lane) > in_flight);
	lane_drain(w.lane, w.now);
	assert_int_equal(lane_in_flight(w.lane), in_flight);
	assert_false(lane_may_admit(w.lane, 0, w.now.us, &until));
	world_run(&w, 1000);
	assert_true(lane_is_drained(w.lane));
	assert_int_equal(w.quits, 20);
	assert_int_equal(w.dials, 20);
	/* Each was sent, or can be given back. */
	for (size_t i = 0; i < w.count; i++) {
		struct world_message *m = &w.messages[i];

		if (m->req == NULL) {
			assert_int_equal(m->outcomes[0], OUTCOME_SENT);
			assert_int_equal(m->copies, 1);
			continue;
		}
		assert_int_equal(m->copies, 0);
		assert_true(lane_drop(w.lane, m->req));
		request_free(&m->req);
	}
	assert_int_equal(lane_waiting(w.lane), 0);
	world_fini(&w);
}

static void
abort_puts_what_is_written_in_doubt_and_returns_the_rest(void **state)
{
	struct world w;
	size_t in_flight;

	(void)state;
	world_init(&w);
	w.set.lane_connection_limit = 2;
	world_open(&w, 10);
	world_submit(&w, 10);
	world_run(&w, 720);
	in_flight = lane_in_flight(w.lane);
	assert_int_equal(in_flight, 2);
	lane_drain(w.lane, w.now);
	lane_abort(w.lane, "out of time", w.now);
	world_settle(&w);
	assert_int_equal(w.done, in_flight);
	assert_true(w.messages[0].in_doubt);
	assert_int_equal(w.outcomes[OUTCOME_DEFER], in_flight);
	assert_int_equal(lane_waiting(w.lane), 8);
	assert_int_equal(lane_sessions(w.lane), 0);
	world_fini(&w);
}

/* ---- order ------------------------------------------------------------- */

static int
closes_first_mail(
    struct world *w, struct world_conn *conn, size_t number, const char *line)
{
	(void)number;
	return w->dials <= 2 && strncmp(line, "MAIL", 4) == 0 &&
		       conn->accepted >= 2
		   ? 421
		   : 0;
}

static void
returned_messages_go_first_and_in_order(void **state)
{
	struct world w;
	uint64_t last = 0;
	size_t waiting = 0;

	(void)state;
	world_init(&w);
	w.set.lane_connection_limit = 2;
	w.server.judge = closes_first_mail;
	world_open(&w, 100);
	world_submit(&w, 100);
	world_settle(&w);
	world_route(&w)->depth = 10;
	/* Both sessions close; their windows come back. */
	world_run(&w, 820);
	assert_int_equal(w.ended[SESSION_END_421], 2);
	assert_int_equal(lane_figures(w.lane)->returned, 20 - 4);
	list_each (link, &world_route(&w)->waiting) {
		const struct transaction *t =
		    list_entry(link, struct transaction, link);

		assert_true(t->number > last);
		last = t->number;
		waiting++;
	}
	assert_int_equal(waiting, 96);
	world_finish(&w, 60000);
	/* FIFO as far as sessions go: nobody is overtaken by a window. */
	for (size_t i = 40; i < 100; i++)
		assert_true(
		    w.messages[i].done_ms >= w.messages[i - 40].done_ms);
	world_check_all_sent(&w);
	world_fini(&w);
}

static void
figures_count_what_happened(void **state)
{
	struct world w;
	const struct lane_figures *f;

	(void)state;
	world_init(&w);
	w.rcpts_each = 2;
	world_open(&w, 100);
	assert_int_equal(lane_oldest_us(w.lane), INT64_MAX);
	world_submit(&w, 60);
	assert_int_equal(lane_oldest_us(w.lane), w.now.us);
	world_finish(&w, 10000);
	assert_int_equal(lane_oldest_us(w.lane), INT64_MAX);
	f = lane_figures(w.lane);
	assert_int_equal(f->wire.mails, 60);
	assert_int_equal(f->wire.bdats, 60);
	assert_true(f->wire.octets > 60 && f->kicks > 0);
	assert_int_equal(f->sent, 120);
	assert_int_equal(f->messages, 60);
	assert_int_equal(f->deferred + f->bounced + f->in_doubt + f->lost, 0);
	assert_int_equal(f->sessions, w.dials);
	/* Too big for this server: refused by us, not a message sent. */
	w.ehlo.size_limit = 100;
	world_run(&w, 60000);
	world_submit(&w, 5);
	world_finish(&w, 10000);
	assert_int_equal(f->messages, 60);
	assert_int_equal(f->bounced, 10);
	world_fini(&w);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(nexthops_are_chosen_by_rule),
	    cmocka_unit_test(
		route_is_shared_by_nexthop_and_by_sender_where_that_matters),
	    cmocka_unit_test(busy_route_leaves_sessions_to_another),
	    cmocka_unit_test(idle_sessions_give_way_to_another_route),
	    cmocka_unit_test(routes_nobody_uses_are_forgotten),
	    cmocka_unit_test(routes_share_the_tokens_of_a_paced_lane),
	    cmocka_unit_test(request_can_be_dropped_until_it_is_on_the_wire),
	    cmocka_unit_test(dropped_dials_leave_nothing_behind),
	    cmocka_unit_test(drain_withdraws_the_unsent_and_finishes_the_rest),
	    cmocka_unit_test(
		abort_puts_what_is_written_in_doubt_and_returns_the_rest),
	    cmocka_unit_test(returned_messages_go_first_and_in_order),
	    cmocka_unit_test(figures_count_what_happened),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
