/* What lanes of a host may use of an account that a fleet shares: two lanes, a
 * state directory, and the engine's twin in C. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "agent/engine/fleet_engine.h"
#include "agent/settings/params.h"
#include "agent/state/budget.h"
#include "agent/state/fleet_store.h"
#include "agent/state/rate_store.h"
#include "common/base/clock.h"
#include "common/base/log.h"
#include "common/shared/slots.h"
#include "test/support/fleet_lanes.h"
#include "test/support/statedir.h"

/* ---- tests ------------------------------------------------------------------
 */

static void
limits_have_their_names(void **state)
{
	static const char *const units[] = {"connections", "messages/2s",
	    "messages/1d!", "recipients/1m", "octets/1h!", "dials/1s"};
	struct lane l = {.in_use = 0};

	begin();
	set_up(&l, "h1");
	put(&l.set, "lane_account_message_rate_limit", "100/2s, 50000/1d!");
	put(&l.set, "lane_account_recipient_rate_limit", "30/1m:5, 20/60s:5");
	put(&l.set, "lane_account_byte_rate_limit", "1000000/1h!");
	put(&l.set, "lane_connection_rate_limit", "5/1s");
	l.store = fleet_store_open(&l.set, NULL, "fast");
	l.a = fleet_store_account(l.store, account, w.now_us);
	assert_int_equal(fleet_account_count(l.a), 6);
	for (size_t i = 0; i < 6; i++)
		assert_string_equal(
		    fleet_account_limit(l.a, i)->unit, units[i]);
	assert_int_equal(fleet_account_limit(l.a, 1)->terms.limit, 99998);
	assert_int_equal(fleet_account_limit(l.a, 2)->terms.limit, 50000);
	assert_true(
	    fleet_account_limit(l.a, 2)->terms.linger_us > 86400 * US_PER_S);
	assert_int_equal(fleet_account_limit(l.a, 2)->terms.minimum, 2500);
	/* Without a file the base, at once and for good; and nobody speaks. */
	assert_int_equal(share(&l), BASE);
	assert_int_equal(fleet_account_share(l.a, 2, w.now_us), 25000);
	assert_false(fleet_account_speak(l.a, 7, w.now_us));
	(void)state;
	close_lane(&l);
}

static void
host_without_memory_waits_for_its_base(void **state)
{
	struct lane l;

	begin();
	open_lane(&l, *state, "fast");
	assert_int_equal(share(&l), 0);
	go_on(TTL_S);
	assert_int_equal(share(&l), 0);
	go_on(GUARD_S);
	assert_int_equal(share(&l), BASE);
	close_lane(&l);
}

static void
answer_is_for_all_lanes_and_ends(void **state)
{
	struct lane one, two;

	begin();
	open_lane(&one, *state, "fast");
	open_lane(&two, *state, "slow");
	borrow_all(&one);
	assert_int_equal(share(&two), LIMIT);
	fleet_account_tell(two.a, w.now_us);
	assert_true(two.changes > 0);
	/* Three quarters of a lease are left of a loan, without a word. */
	go_on(TTL_S * 3 / 4 - 2);
	assert_int_equal(share(&two), LIMIT);
	go_on(2);
	assert_int_equal(share(&two), BASE);
	close_lane(&one);
	close_lane(&two);
}

static void
lane_that_dies_is_followed_by_another_one(void **state)
{
	struct lane one, two;
	int64_t epoch;

	begin();
	open_lane(&one, *state, "fast");
	open_lane(&two, *state, "slow");
	borrow_all(&one);
	epoch = fleet_account_epoch(one.a);
	assert_false(fleet_account_speak(two.a, 8, w.now_us));
	close_lane(&one);
	assert_true(fleet_account_speak(two.a, 8, w.now_us));
	assert_int_equal(fleet_account_epoch(two.a), epoch + 1);
	assert_int_equal(share(&two), LIMIT); /* what was lent goes on */
	fleet_account_connections(two.a, 0, LIMIT, w.now_us);
	fleet_account_tell(two.a, w.now_us);
	assert_int_equal(speak(&two), FLEET_OK);
	assert_int_equal(share(&two), LIMIT);
	close_lane(&two);
}

static void
host_wants_what_its_lanes_want(void **state)
{
	struct fleet_question q[FLEET_LIMITS];
	struct lane one, two;

	begin();
	open_lane(&one, *state, "fast");
	open_lane(&two, *state, "slow");
	fleet_account_connections(one.a, 2, 1, w.now_us);
	fleet_account_connections(two.a, 0, 4, w.now_us);
	fleet_account_take(two.a, 1, 10, w.now_us);
	fleet_account_tell(one.a, w.now_us);
	fleet_account_tell(two.a, w.now_us);
	one.in_use = 3;
	assert_true(fleet_account_speak(one.a, 7, w.now_us));
	assert_true(fleet_account_ask(one.a, w.now_us, q));
	assert_int_equal(q[0].want, 7);
	assert_int_equal(q[0].in_use, 3);
	assert_string_equal(q[0].host, "h1");
	/* Twice of ten in a second, and a two-hundredth of a base. */
	assert_int_equal(q[1].want, 20000 + 250);
	/* A lane that is gone wants nothing; one that told nothing for a while
	 * is stopped. */
	close_lane(&two);
	assert_true(fleet_account_ask(one.a, w.now_us, q));
	assert_int_equal(q[0].want, 3);
	go_on(10);
	assert_true(fleet_account_ask(one.a, w.now_us, q));
	assert_int_equal(q[0].want, 0);
	close_lane(&one);
}

/* Who could take meanwhile has the lower share by then. */
static void
share_shrinks_before_it_is_told(void **state)
{
	struct fleet_question q[FLEET_LIMITS];
	struct lane one, two;

	begin();
	open_lane(&one, *state, "fast");
	open_lane(&two, *state, "slow");
	borrow_all(&one);
	fleet_account_connections(one.a, 0, 3, w.now_us);
	fleet_account_tell(one.a, w.now_us);
	one.in_use = 5;
	assert_true(fleet_account_ask(one.a, w.now_us, q));
	assert_int_equal(q[0].cap, 5);
	assert_int_equal(share(&two), 5);
	close_lane(&one);
	close_lane(&two);
}

static void
stored_lease_is_kept_by_the_next_process(void **state)
{
	struct lane l;

	begin();
	open_lane(&l, *state, "fast");
	borrow_all(&l);
	close_lane(&l);
	open_lane(&l, *state, "fast");
	assert_int_equal(share(&l), LIMIT);
	close_lane(&l);
}

static void
damaged_file_is_none(void **state)
{
	char path[512], octet;
	struct lane l;
	int fd;

	begin();
	open_lane(&l, *state, "fast");
	borrow_all(&l);
	close_lane(&l);
	(void)snprintf(path, sizeof(path), "%s/fleet.%016llx", (char *)*state,
	    (unsigned long long)board_hash(account));
	fd = open(path, O_RDWR);
	assert_true(fd >= 0);
	/* In both copies, in the middle of the first row's lease. */
	for (int copy = 0; copy < 2; copy++) {
		off_t at = 128 +
			   copy * (16 + (off_t)sizeof(struct fleet_file)) + 16 +
			   (off_t)offsetof(struct fleet_file, rows) +
			   (off_t)offsetof(struct fleet_row, share.share);

		assert_int_equal(pread(fd, &octet, 1, at), 1);
		octet++;
		assert_int_equal(pwrite(fd, &octet, 1, at), 1);
	}
	(void)close(fd);
	open_lane(&l, *state, "fast");
	assert_non_null(strstr(w.warning, "begins without memory"));
	assert_int_equal(share(&l), 0);
	close_lane(&l);
}

/* Of another name it is another host's lease. */
static void
renamed_host_has_no_memory(void **state)
{
	struct lane l;

	begin();
	open_lane(&l, *state, "fast");
	borrow_all(&l);
	close_lane(&l);
	l = (struct lane){.in_use = 0};
	set_up(&l, "h3");
	assert_true(
	    statefile_dir_open(&l.dir, *state, w.warning, sizeof(w.warning)));
	l.store = fleet_store_open(&l.set, &l.dir, "fast");
	l.a = fleet_store_account(l.store, account, w.now_us);
	assert_int_equal(share(&l), 0);
	close_lane(&l);
}

/* After a reboot clocks may say anything: what is borrowed is given up, what is
 * lent waited for. */
static void
lease_of_another_boot_ends_as_late_as_it_can(void **state)
{
	struct fleet_file f = {.name = 1};
	const struct fleet_terms terms = {
	    .size = 2, .limit = LIMIT, .ttl_us = TTL_S * US_PER_S};
	struct fleet_row *r;
	int64_t now_us = 1000 * US_PER_S;

	(void)state;
	r = fleet_file_row(&f, "connections", &terms, now_us);
	r->share.share = LIMIT;
	r->share.end_us = now_us + 5 * US_PER_S;
	r->share.answered_us = now_us;
	f.sum = fleet_file_sum(&f);
	assert_true(fleet_file_repair(&f, -900 * US_PER_S, 50 * US_PER_S));
	assert_int_equal(r->share.share, BASE);
	assert_int_equal(r->share.end_us, (50 + TTL_S) * US_PER_S);
	assert_int_equal(r->share.answered_us, 50 * US_PER_S);
	r->share.share = 3;
	f.sum = fleet_file_sum(&f);
	assert_true(fleet_file_repair(&f, 7, 60 * US_PER_S));
	assert_int_equal(r->share.share, 3);
	assert_int_equal(fleet_file_share(r, (60 + TTL_S) * US_PER_S), 3);
}

static void
name_that_two_have_is_told(void **state)
{
	struct fleet_question q;
	struct fleet_answer answer;
	struct lane l;

	begin();
	open_lane(&l, *state, "fast");
	borrow_all(&l);
	/* The clone has the memory of this one, and begins later. */
	q = (struct fleet_question){
	    .host = "h1", .nonce = 99, .epoch = 50, .number = 1, .want = 5};
	fleet_engine_renew(&w.engine, &fleet_account_limit(l.a, 0)->terms,
	    "run", &q, w.now_us, &answer);
	assert_int_equal(answer.word, FLEET_OK);
	assert_int_equal(speak(&l), FLEET_STALE);
	assert_non_null(strstr(w.warning, "two hosts call themselves h1"));
	assert_int_equal(share(&l), 0);
	close_lane(&l);
}

/* ---- who obeys -------------------------------------------------------------
 */

/* ... and has them. The clock is not ours here: an answer just now. */
static void
slots_are_the_hosts_share(void **state)
{
	int slots[LIMIT];
	struct budget_answer answer;
	struct budget *b;
	struct lane l;

	begin();
	open_lane(&l, *state, "fast");
	b = budget_open(NULL, &l.set, &l.dir, "fast", account, on_share, &l);
	budget_set_fleet(b, l.a);
	assert_false(budget_take(b, clock_mono_ms(), &answer));
	assert_non_null(strstr(answer.why, "this host's share"));
	want_four(&l);
	assert_int_equal(share(&l), 4);
	assert_int_equal(take_all(b, slots), 4);
	assert_int_equal(budget_in_use(b, clock_mono_ms()), 4);
	assert_int_equal(budget_excess(b), 0);
	/* It wants less, says so, and two are too many. */
	fleet_account_connections(l.a, 0, 2, w.now_us);
	fleet_account_tell(l.a, w.now_us);
	assert_int_equal(speak(&l), FLEET_OK);
	assert_int_equal(share(&l), 2);
	budget_look(b, clock_mono_ms());
	assert_int_equal(budget_excess(b), 2);
	assert_false(budget_take(b, clock_mono_ms(), &answer));
	budget_release(b, slots[0], true, 0, clock_mono_ms());
	budget_release(b, slots[1], true, 0, clock_mono_ms());
	budget_look(b, clock_mono_ms());
	assert_int_equal(budget_excess(b), 0);
	budget_close(&b);
	close_lane(&l);
}

/* A share is nothing that the provider said: what it does say is news. */
static void
refusal_below_the_limit_is_told_within_a_share(void **state)
{
	int slots[LIMIT];
	struct budget *b;
	struct lane l;

	begin();
	open_lane(&l, *state, "fast");
	b = budget_open(NULL, &l.set, &l.dir, "fast", account, on_share, &l);
	budget_set_fleet(b, l.a);
	want_four(&l);
	assert_int_equal(take_all(b, slots), 4);
	budget_refused(b, 4, clock_mono_ms());
	assert_non_null(strstr(w.line, "limit now 4 of 20"));
	budget_close(&b);
	close_lane(&l);
}

/* Nobody has to store the rates anew for that. */
static void
rates_follow_the_share(void **state)
{
	const struct pacer_cost one = {{1, 1, 1}, NULL};
	struct pacer_limit why;
	struct rate_account *rates;
	struct rate_store *store;
	struct lane l;

	begin();
	open_lane(&l, *state, "fast");
	store = rate_store_open(&l.set, &l.dir, "fast", w.now_us);
	rate_store_set_fleet(store, l.store);
	rates = rate_store_account(store, account, w.now_us);
	assert_true(rate_store_take(rates, &one, w.now_us));
	fleet_account_short(l.a, 1, w.now_us);
	fleet_account_tell(l.a, w.now_us);
	assert_int_equal(speak_of(&l, 1), FLEET_OK);
	w.engine.learn = 0;
	assert_int_equal(speak_of(&l, 1), FLEET_OK);
	assert_true(fleet_account_share(l.a, 1, w.now_us) > 1);
	(void)rate_store_wait_us(rates, &one, w.now_us, &why);
	assert_int_equal(
	    why.rate.count_milli, fleet_account_share(l.a, 1, w.now_us) + 1);
	rate_store_close(&store);
	close_lane(&l);
}

static void
rates_are_the_hosts_share(void **state)
{
	const struct pacer_cost one = {{1, 1, 1}, NULL};
	struct pacer_limit why;
	struct rate_account *rates;
	struct rate_store *store;
	struct lane l;
	int n = 0;

	begin();
	open_lane(&l, *state, "fast");
	store = rate_store_open(&l.set, &l.dir, "fast", w.now_us);
	rate_store_set_fleet(store, l.store);
	rates = rate_store_account(store, account, w.now_us);
	/* Without memory a thousandth, and one at once. */
	while (n < 100 && rate_store_take(rates, &one, w.now_us))
		n++;
	assert_int_equal(n, 1);
	/* It may be more in a moment: nobody is told to wait for long. */
	assert_in_range(
	    rate_store_wait_us(rates, &one, w.now_us, &why), 1, US_PER_S);
	assert_int_equal(why.rate.count_milli, 1);
	rate_store_close(&store);
	close_lane(&l);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    IN_STATEDIR(limits_have_their_names),
	    IN_STATEDIR(host_without_memory_waits_for_its_base),
	    IN_STATEDIR(answer_is_for_all_lanes_and_ends),
	    IN_STATEDIR(lane_that_dies_is_followed_by_another_one),
	    IN_STATEDIR(host_wants_what_its_lanes_want),
	    IN_STATEDIR(share_shrinks_before_it_is_told),
	    IN_STATEDIR(stored_lease_is_kept_by_the_next_process),
	    IN_STATEDIR(damaged_file_is_none),
	    IN_STATEDIR(renamed_host_has_no_memory),
	    IN_STATEDIR(lease_of_another_boot_ends_as_late_as_it_can),
	    IN_STATEDIR(name_that_two_have_is_told),
	    IN_STATEDIR(slots_are_the_hosts_share),
	    IN_STATEDIR(refusal_below_the_limit_is_told_within_a_share),
	    IN_STATEDIR(rates_are_the_hosts_share),
	    IN_STATEDIR(rates_follow_the_share),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
