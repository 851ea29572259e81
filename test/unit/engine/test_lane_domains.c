/* A lane with limits by recipient domain: nobody else is delayed, the limited
 * get what is theirs, and requests of many domains come apart rightly. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "agent/engine/lane_state.h"
#include "common/base/clock.h"
#include "common/base/mem.h"
#include "test/support/fixture.h"
#include "test/support/lane_world.h"

enum { SEEN_MAX = 10000 };

static char smarthost[] = "[smart.test]";

/* When the server saw a recipient in slow.test. */
static int64_t seen_ms[SEEN_MAX];
static size_t seen;

static int
watch(struct world *w, struct world_conn *conn, size_t number, const char *line)
{
	(void)conn;
	(void)number;
	if (strncmp(line, "RCPT", 4) == 0 && seen < SEEN_MAX &&
	    strcasestr(line, "slow.test") != NULL)
		seen_ms[seen++] = world_ms(w);
	return 0;
}

static size_t
most_seen_in(int64_t window_ms)
{
	size_t most = 0;

	for (size_t from = 0, to = 0; from < seen; from++) {
		while (to < seen && seen_ms[to] < seen_ms[from] + window_ms)
			to++;
		if (to - from > most)
			most = to - from;
	}
	return most;
}

/* is_split_queue: as with an empty nexthop, where the queue manager has one
 * queue for each domain. */
static void
submit_to(struct world *w, const char *domain, bool is_split_queue)
{
	w->domains_of[0] = domain;
	w->nexthop = is_split_queue ? domain : "";
	world_submit(w, 1);
}

static void
open_world(struct world *w, const char *domains, size_t max)
{
	world_init(w);
	w->server.judge = watch;
	seen = 0;
	if (domains != NULL)
		world_set_domains(w, domains);
	world_open(w, max);
}

static int
compare(const void *a, const void *b)
{
	int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;

	return x < y ? -1 : x > y;
}

/* 95 % of the mail to other domains takes no longer than this. */
static int64_t
p95_of_others(const struct world *w)
{
	int64_t *took = mem_zarray(w->count, sizeof(*took)), p95;
	size_t n = 0;

	for (size_t i = 0; i < w->count; i++) {
		const struct world_message *m = &w->messages[i];

		if (strstr(m->rcpts[0], "slow.test") != NULL)
			continue;
		assert_int_equal(m->outcomes[0], OUTCOME_SENT);
		took[n++] = m->done_ms - m->submitted_ms;
	}
	qsort(took, n, sizeof(*took), compare);
	p95 = took[n * 95 / 100];
	mem_free(took);
	return p95;
}

/* One of three is for slow.test; the queue manager sends what is let in. */
static int64_t
live_through_a_mix(const char *limits, const char *lane_rate, bool is_split)
{
	static char rate[32];
	struct world w;
	int64_t p95, until;

	world_init(&w);
	w.set.lane_smarthost = smarthost;
	(void)snprintf(rate, sizeof(rate), "%s", lane_rate);
	w.set.lane_message_rate_limit = rate;
	if (limits != NULL)
		world_set_domains(&w, limits);
	world_open(&w, 3000);
	for (int i = 0; i < 3000; i++) {
		assert_true(lane_may_admit(w.lane, 0, w.now.us, &until));
		submit_to(&w, i % 3 == 0 ? "slow.test" : "to.test", is_split);
		world_run(&w, 40);
		assert_true(lane_parked(w.lane) <= 100);
	}
	world_finish(&w, 400000);
	p95 = p95_of_others(&w);
	print_message("%-16s %s: %zu sent, %zu deferred, p95 of others %lld "
		      "ms\n",
	    limits != NULL ? limits : "no limit",
	    is_split ? "nexthop = domain" : "one nexthop     ",
	    w.outcomes[OUTCOME_SENT], w.outcomes[OUTCOME_DEFER],
	    (long long)p95);
	world_fini(&w);
	return p95;
}

static void
mail_to_other_domains_is_not_delayed(void **state)
{
	static const char *const lane_rates[] = {"none", "30/1s"};

	(void)state;
	for (size_t i = 0; i < 2; i++) {
		int64_t most =
		    live_through_a_mix(NULL, lane_rates[i], false) * 21 / 20;

		for (int is_split = 0; is_split < 2; is_split++) {
			assert_true(live_through_a_mix("slow.test=5/1m",
					lane_rates[i], is_split) <= most);
			assert_true(live_through_a_mix("slow.test=2/1s",
					lane_rates[i], is_split) <= most);
		}
	}
}

static void
rate_of_a_domain_is_kept_and_reached(void **state)
{
	static const struct {
		const char *limit;
		double per_s, burst;
		size_t count;
	} cases[] = {
	    {"slow.test=1/1m", 1.0 / 60, 1, 30},
	    {"slow.test=5/1m", 5.0 / 60, 1, 60},
	    {"slow.test=0.5/1s", 0.5, 1, 100},
	    {".test=14/1s", 14, 1, 1500},
	    {"slow.test=100/1s 20000/1d!", 100, 5, 5000},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct world w;
		size_t n = cases[i].count, from = n / 4;
		double rate;

		open_world(&w, cases[i].limit, n);
		while (w.done < n) {
			/* The backlog is longer than what is taken in. */
			while (w.count < n && w.count < w.done + 90)
				submit_to(&w, "slow.test", false);
			w.set.lane_wait_limit_us = 3600 * US_PER_S;
			world_run(&w, 100);
		}
		assert_int_equal(seen, n);
		rate = (double)(n - 1 - from) * 1000 /
		       (double)(seen_ms[n - 1] - seen_ms[from]);
		print_message("%-26s %8.4f/s, %zu dials\n", cases[i].limit,
		    rate, w.dials);
		assert_true(rate >= cases[i].per_s * 0.99);
		assert_true(rate <= cases[i].per_s * 1.01);
		for (int64_t ms = 1; ms < 200000; ms = ms * 3 / 2 + 1)
			/* Times are whole milliseconds. */
			assert_true(
			    (double)most_seen_in(ms) <=
			    cases[i].burst + 1e-9 +
				cases[i].per_s * (double)(ms + 1) / 1000);
		world_check_all_sent(&w);
		world_fini(&w);
	}
}

static void
domains_under_one_parent_share_its_limit(void **state)
{
	static const char *const names[] = {
	    "a.slow.test", "b.slow.test", "c.d.slow.test"};
	struct world w;

	(void)state;
	open_world(&w, ".slow.test=1/1s:1", 60);
	for (size_t i = 0; i < 60; i++)
		submit_to(&w, names[i % 3], false);
	world_finish(&w, 70000);
	assert_in_range(seen_ms[59] - seen_ms[0], 58500, 59500);
	world_check_all_sent(&w);
	world_fini(&w);
}

/* ---- requests of several domains ---------------------------------------- */

static void
set_four_domains(struct world *w)
{
	w->rcpts_each = 4;
	w->domains_of[0] = "slow.test";
	w->domains_of[1] = "to.test";
	w->domains_of[2] = "SLOW.test";
	w->domains_of[3] = "lame.test";
}

static void
request_comes_apart_by_limit_and_ends_once(void **state)
{
	struct world w;

	(void)state;
	open_world(&w, "slow.test=recipients:4/1s:2 lame.test=1/1s:1", 20);
	set_four_domains(&w);
	world_submit(&w, 20);
	world_finish(&w, 30000);
	for (size_t i = 0; i < 20; i++) {
		assert_int_equal(w.messages[i].mails, 3);
		assert_int_equal(w.messages[i].copies, 3);
	}
	/* Two recipients at a time, twice a second; one a second. */
	assert_int_equal(most_seen_in(400), 2);
	assert_in_range(
	    w.messages[19].done_ms - w.messages[0].done_ms, 18500, 19500);
	world_check_all_sent(&w);
	world_fini(&w);
}

static void
request_of_one_domain_stays_whole(void **state)
{
	struct world w;

	(void)state;
	open_world(&w, "slow.test=100/1s", 20);
	w.rcpts_each = 4;
	world_submit(&w, 10);
	for (size_t i = 0; i < 4; i++)
		w.domains_of[i] = "slow.test";
	world_submit(&w, 10);
	world_finish(&w, 10000);
	for (size_t i = 0; i < 20; i++)
		assert_int_equal(w.messages[i].mails, 1);
	world_check_all_sent(&w);
	world_fini(&w);
}

static int
refuse_slow_recipients(
    struct world *w, struct world_conn *conn, size_t number, const char *line)
{
	(void)watch(w, conn, number, line);
	if (strncmp(line, "RCPT", 4) == 0 &&
	    strcasestr(line, "slow.test") != NULL)
		return 550;
	return 0;
}

static void
each_part_has_its_own_end(void **state)
{
	struct world w;

	(void)state;
	open_world(&w, "slow.test=50/1s lame.test=1/1s", 30);
	w.server.judge = refuse_slow_recipients;
	set_four_domains(&w);
	world_submit(&w, 30);
	world_finish(&w, 40000);
	for (size_t i = 0; i < 30; i++) {
		const struct world_message *m = &w.messages[i];

		assert_int_equal(m->outcomes[0], OUTCOME_BOUNCE);
		assert_int_equal(m->outcomes[1], OUTCOME_SENT);
		assert_int_equal(m->outcomes[2], OUTCOME_BOUNCE);
		assert_int_equal(m->outcomes[3], OUTCOME_SENT);
	}
	world_fini(&w);
}

/* Sessions that break and servers that close: every part finds its way. */
static void
parts_survive_trouble(void **state)
{
	(void)state;
	for (int closes = 1; closes <= 3; closes++) {
		struct world w;

		open_world(&w, "slow.test=20/1s lame.test=5/1s", 100);
		w.server.closes_after = closes;
		set_four_domains(&w);
		for (int i = 0; i < 100; i++) {
			world_submit(&w, 1);
			world_run(&w, 200);
		}
		world_finish(&w, 60000);
		world_check_all_sent(&w);
		world_fini(&w);
	}
}

static void
whatever_happens_a_request_ends_once(void **state)
{
	struct fixture_random random;
	static const char *const names[] = {
	    "slow.test", "lame.test", "to.test", "x.par.test", "y.par.test"};

	(void)state;
	fixture_random_init(&random); /* prints the seed */
	for (int round = 0; round < 10; round++) {
		struct world w;

		open_world(&w,
		    "slow.test=5/1s 300/1h! lame.test=1/1s octets:9000/1m "
		    ".par.test=recipients:3/1s",
		    600);
		w.set.lane_wait_limit_us = 20 * US_PER_S;
		w.set.lane_parked_limit = 30;
		for (int i = 0; i < 600; i++) {
			w.rcpts_each = 1 + fixture_random_below(&random, 4);
			for (size_t k = 0; k < w.rcpts_each; k++)
				w.domains_of[k] =
				    names[fixture_random_below(&random, 5)];
			world_submit(&w, 1);
			world_run(
			    &w, (int64_t)fixture_random_below(&random, 100));
			w.server.closes_after =
			    (int)fixture_random_below(&random, 20);
			if (fixture_random_below(&random, 60) == 0)
				world_cut_all(&w);
			assert_true(lane_parked(w.lane) <= 30);
		}
		world_finish(&w, 200000);
		for (size_t i = 0; i < w.count; i++)
			for (size_t k = 0; k < w.messages[i].rcpt_count; k++)
				assert_true(w.messages[i].taken[k] ==
						(w.messages[i].outcomes[k] ==
						    OUTCOME_SENT) ||
					    w.messages[i].in_doubt);
		assert_int_equal(lane_waiting(w.lane), 0);
		assert_int_equal(lane_parked(w.lane), 0);
		world_fini(&w);
	}
}

/* ---- drops and drains --------------------------------------------------- */

static void
parts_are_taken_back_together_or_not_at_all(void **state)
{
	struct world w;
	struct request *req;

	(void)state;
	open_world(&w, "slow.test=1/1m lame.test=1/1m", 10);
	set_four_domains(&w);
	world_submit(&w, 1);
	world_run(&w, 100); /* still dialling */
	req = w.messages[0].req;
	assert_int_equal(lane_waiting(w.lane), 3);
	assert_true(lane_drop(w.lane, req));
	assert_null(req->lane_data);
	assert_int_equal(lane_waiting(w.lane), 0);
	request_free(&w.messages[0].req);
	w.done++;
	/* The next one takes the tokens, of the third nothing but the part
	 * without a limit can go. */
	world_submit(&w, 2);
	world_run(&w, 5000);
	assert_null(w.messages[1].req);
	assert_int_equal(lane_parked(w.lane), 2);
	assert_false(lane_drop(w.lane, w.messages[2].req));
	assert_int_equal(lane_waiting(w.lane), 2);
	world_finish(&w, 70000);
	assert_int_equal(w.messages[0].mails, 0);
	assert_int_equal(w.outcomes[OUTCOME_SENT], 8);
	world_fini(&w);
}

/* Assigned and not yet on the wire: the token is there for somebody else. */
static void
token_of_what_is_withdrawn_is_not_lost(void **state)
{
	struct world w;

	(void)state;
	open_world(&w, "slow.test=1/1h:1", 10);
	w.set.lane_connection_limit = 1;
	submit_to(&w, "to.test", false);
	world_run(&w, 750); /* in flight */
	world_route(&w)->depth = 10;
	submit_to(&w, "slow.test", false);
	lane_kick(w.lane, w.now);
	assert_int_equal(lane_in_flight(w.lane), 2);
	assert_true(lane_drop(w.lane, w.messages[1].req));
	request_free(&w.messages[1].req);
	w.done++;
	submit_to(&w, "slow.test", false);
	world_finish(&w, 5000);
	assert_int_equal(w.messages[2].outcomes[0], OUTCOME_SENT);
	world_fini(&w);
}

static void
drain_leaves_no_request_behind(void **state)
{
	struct world w;

	(void)state;
	open_world(&w, "slow.test=1/1m", 20);
	set_four_domains(&w);
	world_submit(&w, 2);
	w.rcpts_each = 1;
	submit_to(&w, "slow.test", false);
	world_run(&w, 3000);
	/* All of the first, some of the second, none of the third. */
	assert_null(w.messages[0].req);
	lane_drain(w.lane, w.now);
	world_run(&w, 3000);
	assert_true(lane_is_drained(w.lane));
	assert_null(w.messages[1].req);
	assert_int_equal(w.messages[1].outcomes[0], OUTCOME_DEFER);
	assert_int_equal(w.messages[1].outcomes[1], OUTCOME_SENT);
	assert_string_equal(
	    w.messages[1].text, "delivery agent is stopping before its turn");
	assert_true(lane_drop(w.lane, w.messages[2].req));
	request_free(&w.messages[2].req);
	assert_int_equal(lane_waiting(w.lane), 0);
	world_fini(&w);
}

/* ---- waiting in vain ---------------------------------------------------- */

static void
hold_limit_names_the_domain_and_its_limit(void **state)
{
	struct world w;

	(void)state;
	open_world(&w, "slow.test=1/1m", 40);
	for (size_t i = 0; i < 20; i++)
		submit_to(&w, "slow.test", false);
	set_four_domains(&w);
	world_submit(&w, 1);
	world_finish(&w, 400000);
	assert_in_range(w.outcomes[OUTCOME_SENT] - 2, 5, 6);
	assert_string_equal(w.messages[19].text,
	    "not sent within 300s: lane_domain_rate_limits: "
	    "slow.test=1/1m:1");
	assert_string_equal(w.messages[19].status, "4.4.5");
	assert_int_equal(w.messages[19].cause, DSN_CAUSE_DOMAIN);
	assert_false(w.messages[19].is_hop);
	assert_int_equal(
	    w.messages[19].done_ms - w.messages[19].submitted_ms, 300000);
	/* Parts of one request wait each for itself. */
	assert_int_equal(w.messages[20].outcomes[1], OUTCOME_SENT);
	assert_int_equal(w.messages[20].outcomes[0], OUTCOME_DEFER);
	world_fini(&w);
}

static void
more_than_the_parked_limit_is_deferred_the_longest_queue_first(void **state)
{
	struct world w;
	size_t deferred;

	(void)state;
	open_world(&w, "slow.test=1/1s lame.test=1/1m", 500);
	for (size_t i = 0; i < 400; i++)
		submit_to(&w, "slow.test", false);
	world_settle(&w);
	/* One has a token. */
	assert_int_equal(w.outcomes[OUTCOME_DEFER], 299);
	assert_string_equal(w.messages[399].text,
	    "lane_parked_limit = 100 messages wait already; "
	    "lane_domain_rate_limits: slow.test=1/1s:1");
	assert_string_equal(w.messages[399].status, "4.4.5");
	assert_int_equal(w.messages[399].cause, DSN_CAUSE_DOMAIN);
	assert_false(w.messages[399].is_hop);
	assert_non_null(w.messages[100].req);
	for (size_t i = 0; i < 3; i++)
		submit_to(&w, "lame.test", false);
	world_settle(&w);
	deferred = w.outcomes[OUTCOME_DEFER];
	assert_int_equal(deferred, 301);
	for (size_t i = 0; i < 3; i++)
		assert_non_null(w.messages[400 + i].req);
	world_finish(&w, 200000);
	assert_int_equal(w.outcomes[OUTCOME_DEFER], deferred);
	world_fini(&w);
}

/* The window is 40, as main.cf.example has it for slow. */
static void
parked_mail_leaves_half_of_the_window_to_other_domains(void **state)
{
	(void)state;
	for (int is_split = 0; is_split < 2; is_split++) {
		struct world w;

		open_world(&w, "slow.test=1/1s lame.test=1/1m", 500);
		w.set.transport_destination_concurrency_limit = 40;
		assert_int_equal(lane_places(w.lane), 40);
		for (size_t i = 0; i < 40; i++)
			submit_to(&w, "slow.test", is_split);
		world_settle(&w);
		/* With queues of its own the domain has a window, too. */
		assert_int_equal(w.outcomes[OUTCOME_DEFER], is_split ? 0 : 19);
		assert_int_equal(lane_parked(w.lane), is_split ? 39 : 20);
		if (!is_split)
			assert_string_equal(w.messages[39].text,
			    "half of the window, 20 messages wait already; "
			    "lane_domain_rate_limits: slow.test=1/1s:1");
		for (size_t i = 0; i < 3; i++)
			submit_to(&w, "lame.test", is_split);
		world_settle(&w);
		for (size_t i = 0; i < 3; i++)
			assert_non_null(w.messages[40 + i].req);
		assert_int_equal(lane_parked(w.lane), is_split ? 41 : 20);
		world_finish(&w, 200000);
		world_fini(&w);
	}
}

static void
used_up_quota_is_said_at_once_and_suspends_only_its_domain(void **state)
{
	(void)state;
	for (int is_split = 0; is_split < 2; is_split++) {
		struct world w;

		open_world(&w, "slow.test=5/1d!", 30);
		w.set.lane_smarthost = smarthost;
		for (size_t i = 0; i < 10; i++)
			submit_to(&w, "slow.test", is_split);
		submit_to(&w, "to.test", is_split);
		world_finish(&w, 5000);
		assert_int_equal(w.outcomes[OUTCOME_SENT], 6);
		assert_non_null(strstr(w.messages[9].text,
		    "lane_domain_rate_limits: slow.test=5/1d! is used up, "
		    "more in 8"));
		assert_int_equal(w.messages[9].is_hop, is_split);
		world_fini(&w);
	}
}

static void
message_above_a_quota_holds_up_nobody(void **state)
{
	struct world w;

	(void)state;
	open_world(&w, "slow.test=recipients:3/1d!", 10);
	w.rcpts_each = 4;
	for (size_t i = 0; i < 4; i++)
		w.domains_of[i] = "slow.test";
	world_submit(&w, 1);
	w.rcpts_each = 1;
	world_submit(&w, 3);
	world_finish(&w, 5000);
	assert_string_equal(w.messages[0].text,
	    "message exceeds lane_domain_rate_limits: "
	    "slow.test=recipients:3/1d!");
	assert_int_equal(w.messages[0].cause, DSN_CAUSE_DOMAIN);
	assert_int_equal(w.outcomes[OUTCOME_SENT], 3);
	world_fini(&w);
}

static void
outage_defers_what_is_parked_too(void **state)
{
	struct world w;

	(void)state;
	open_world(&w, "slow.test=1/1m", 30);
	w.server.is_down = true;
	for (size_t i = 0; i < 10; i++) {
		submit_to(&w, "slow.test", false);
		submit_to(&w, "to.test", false);
	}
	world_finish(&w, 60000);
	assert_int_equal(w.outcomes[OUTCOME_DEFER], 20);
	assert_true(w.messages[18].is_hop);
	assert_int_equal(lane_parked(w.lane), 0);
	world_fini(&w);
}

static void
idle_sessions_do_not_stay_for_parked_mail(void **state)
{
	struct world w;

	(void)state;
	open_world(&w, "slow.test=1/5m", 30);
	w.set.lane_wait_limit_us = 1000 * US_PER_S;
	for (size_t i = 0; i < 3; i++)
		submit_to(&w, "slow.test", false);
	world_run(&w, 40000);
	assert_int_equal(lane_sessions(w.lane), 0);
	assert_int_equal(w.dials, 1);
	assert_int_equal(w.want, 0);
	world_finish(&w, 700000);
	assert_int_equal(w.dials, 3);
	world_check_all_sent(&w);
	world_fini(&w);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(mail_to_other_domains_is_not_delayed),
	    cmocka_unit_test(rate_of_a_domain_is_kept_and_reached),
	    cmocka_unit_test(domains_under_one_parent_share_its_limit),
	    cmocka_unit_test(request_comes_apart_by_limit_and_ends_once),
	    cmocka_unit_test(request_of_one_domain_stays_whole),
	    cmocka_unit_test(each_part_has_its_own_end),
	    cmocka_unit_test(parts_survive_trouble),
	    cmocka_unit_test(whatever_happens_a_request_ends_once),
	    cmocka_unit_test(parts_are_taken_back_together_or_not_at_all),
	    cmocka_unit_test(token_of_what_is_withdrawn_is_not_lost),
	    cmocka_unit_test(drain_leaves_no_request_behind),
	    cmocka_unit_test(hold_limit_names_the_domain_and_its_limit),
	    cmocka_unit_test(
		more_than_the_parked_limit_is_deferred_the_longest_queue_first),
	    cmocka_unit_test(
		parked_mail_leaves_half_of_the_window_to_other_domains),
	    cmocka_unit_test(
		used_up_quota_is_said_at_once_and_suspends_only_its_domain),
	    cmocka_unit_test(message_above_a_quota_holds_up_nobody),
	    cmocka_unit_test(outage_defers_what_is_parked_too),
	    cmocka_unit_test(idle_sessions_do_not_stay_for_parked_mail),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
