/* What the engine of a fleet gives to whom, in fake time. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <string.h>

#include "agent/engine/fleet_engine.h"
#include "agent/engine/fleet_share.h"
#include "common/base/clock.h"

#define T0 (5000 * US_PER_S)

enum { HOSTS = 4 };

/* A fleet whose answers come at once; a host that is silent asks nothing. */
static struct fleet {
	struct fleet_terms terms;
	struct fleet_engine engine;
	struct fleet_share shares[HOSTS];
	int64_t wants[HOSTS];
	bool is_silent[HOSTS];
	const char *run;
	int64_t now_us, jump_us; /* of the engine's clock */
} f;

static void
begin(int64_t size, int64_t limit)
{
	memset(&f, 0, sizeof(f));
	f.terms = (struct fleet_terms){
	    .size = size, .limit = limit, .ttl_us = 10 * US_PER_S};
	f.run = "run";
	f.now_us = T0;
	for (int i = 0; i < size; i++) {
		fleet_share_init(&f.shares[i], &f.terms, T0);
		fleet_share_begin(&f.shares[i], (uint64_t)i);
	}
}

static enum fleet_word
ask(int i)
{
	struct fleet_question q;
	struct fleet_answer a;

	fleet_share_ask(&f.shares[i], &f.terms, f.wants[i], 0, f.now_us, &q);
	(void)snprintf(q.host, sizeof(q.host), "host%d", i);
	fleet_engine_renew(
	    &f.engine, &f.terms, f.run, &q, f.now_us + f.jump_us, &a);
	assert_true(
	    fleet_share_answer(&f.shares[i], &f.terms, q.number, &a, f.now_us));
	return a.word;
}

static int64_t
share(int i)
{
	return fleet_share_now(&f.shares[i], &f.terms, f.now_us);
}

static void
seconds(int n)
{
	while (n-- > 0) {
		int64_t sum = 0;

		for (int i = 0; i < f.terms.size; i++)
			if (!f.is_silent[i])
				(void)ask(i);
		for (int i = 0; i < f.terms.size; i++)
			sum += share(i);
		assert_true(sum <= f.terms.limit);
		f.now_us += US_PER_S;
	}
}

static void
want(int64_t a, int64_t b, int64_t c)
{
	f.wants[0] = a;
	f.wants[1] = b;
	f.wants[2] = c;
}

static void
expect(int64_t a, int64_t b, int64_t c)
{
	assert_int_equal(share(0), a);
	assert_int_equal(share(1), b);
	if (f.terms.size > 2)
		assert_int_equal(share(2), c);
}

static void
shares_are_fair(void **state)
{
	static const struct {
		int64_t size, wants[3], shares[3];
	} rows[] = {
	    {2, {20, 0}, {20, 0}},
	    {2, {20, 20}, {10, 10}},
	    {2, {20, 3}, {17, 3}},
	    {2, {0, 0}, {0, 0}},
	    {3, {20, 0, 0}, {20, 0, 0}},
	    {3, {20, 20, 2}, {9, 9, 2}},
	    /* Who lends has a little nevertheless. */
	    {3, {20, 1, 1}, {18, 1, 1}},
	    {3, {20, 1, 0}, {19, 1, 0}},
	    {3, {20, 20, 20}, {7, 6, 7}},
	    {3, {20, 20, 0}, {10, 10, 0}},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		begin(rows[i].size, 20);
		want(rows[i].wants[0], rows[i].wants[1], rows[i].wants[2]);
		seconds(40);
		for (int h = 0; h < rows[i].size; h++)
			assert_int_equal(share(h), rows[i].shares[h]);
	}
}

/* Who wants mail sent again has its base back within some questions. */
static void
base_comes_back_when_it_is_wanted(void **state)
{
	(void)state;
	begin(2, 20);
	want(20, 0, 0);
	seconds(30);
	expect(20, 0, 0);
	want(20, 20, 0);
	seconds(3);
	expect(10, 10, 0);
}

/* Of a host that is gone the base is kept: it may be there, cut off. */
static void
silent_host_keeps_its_base(void **state)
{
	(void)state;
	begin(2, 20);
	want(20, 20, 0);
	seconds(30);
	f.is_silent[1] = true;
	seconds(60);
	expect(10, 10, 0);
	want(20, 0, 0);
	f.is_silent[1] = false;
	seconds(5);
	expect(20, 0, 0);
	f.is_silent[1] = true; /* it waits for its lease's end, and longer */
	seconds(30);
	expect(10, 10, 0);
}

/* ... and nobody is lent the base of another one for it. */
static void
rest_is_shared_without_a_silent_host(void **state)
{
	(void)state;
	begin(3, 20);
	want(20, 20, 0);
	seconds(15);
	expect(10, 10, 0);
	f.is_silent[0] = true;
	f.wants[2] = 20;
	seconds(30);
	assert_int_equal(share(1) + share(2), 14);
	assert_in_range(share(1), 6, 8);
}

static void
operator_forgets_a_host(void **state)
{
	(void)state;
	begin(2, 20);
	want(20, 20, 0);
	seconds(30);
	f.is_silent[1] = true;
	seconds(20);
	assert_true(fleet_engine_forget(&f.engine, "host1"));
	(void)ask(0);
	assert_int_equal(share(0), 20);
}

static void
host_is_forgotten_in_time(void **state)
{
	(void)state;
	begin(2, 20);
	f.terms.forget_us = 60 * US_PER_S;
	f.terms.minimum = 1;
	want(20, 20, 0);
	seconds(30);
	f.is_silent[1] = true;
	seconds(59);
	expect(10, 1, 0); /* it goes down before the other may count on it */
	seconds(5);
	expect(19, 1, 0);
	f.is_silent[1] = false;
	seconds(5);
	expect(10, 10, 0);
}

/* Restarted empty while all are there: what was lent goes on, and new loans
 * begin when all have told what they have. */
static void
engine_learns_from_all(void **state)
{
	(void)state;
	begin(2, 20);
	want(20, 0, 0);
	seconds(30);
	memset(&f.engine, 0, sizeof(f.engine));
	f.run = "another";
	seconds(4);
	expect(20, 0, 0);
	want(0, 20, 0);
	seconds(4);
	expect(0, 20, 0);
}

/* With one host missing it lends nothing for a lease. */
static void
engine_that_forgot_lends_nothing(void **state)
{
	(void)state;
	begin(3, 20);
	want(20, 20, 20);
	seconds(30);
	f.is_silent[2] = true;
	f.run = "another";
	want(20, 0, 20);
	seconds(9);
	assert_true(share(0) <= 7);
	seconds(3);
	assert_true(share(0) > 12);
}

static void
engine_notices_that_its_clock_was_set(void **state)
{
	static const int64_t jumps_s[] = {3600, -3600, 4, -4};

	(void)state;
	for (size_t i = 0; i < sizeof(jumps_s) / sizeof(jumps_s[0]); i++) {
		begin(2, 20);
		want(20, 0, 0);
		seconds(30);
		f.jump_us = jumps_s[i] * US_PER_S;
		(void)ask(0);
		assert_true(f.engine.born == f.now_us + f.jump_us);
		assert_true(f.engine.learn > f.engine.last);
		seconds(4);
		expect(20, 0, 0);
	}
}

/* Nobody asked for as long as the clock was set back by: the host knows. */
static void
host_knows_that_the_clock_was_set_back(void **state)
{
	(void)state;
	begin(2, 20);
	want(20, 0, 0);
	seconds(30);
	f.now_us += 100 * US_PER_S;
	f.jump_us = -100 * US_PER_S;
	(void)ask(0);
	assert_true(f.engine.born == f.now_us + f.jump_us);
}

static void
no_more_than_size(void **state)
{
	(void)state;
	begin(2, 20);
	want(20, 20, 20);
	seconds(3);
	f.terms.size = 2;
	fleet_share_init(&f.shares[2], &f.terms, f.now_us);
	fleet_share_begin(&f.shares[2], 9);
	assert_int_equal(ask(2), FLEET_FULL);
	assert_int_equal(share(2), 0);
	f.now_us += 99 * US_PER_S;
	assert_int_equal(share(2), 0);
}

/* A copy of a machine has its name, and its epoch. */
static void
clone_gets_nothing(void **state)
{
	struct fleet_share twin;

	(void)state;
	begin(2, 20);
	want(20, 20, 0);
	seconds(5);
	twin = f.shares[0];
	fleet_share_begin(&f.shares[0], 11);
	assert_int_equal(ask(0), FLEET_OK);
	f.shares[1] = f.shares[0]; /* the first, which goes on */
	f.shares[0] = twin;
	fleet_share_begin(&f.shares[0], 12);
	assert_int_equal(ask(0), FLEET_STALE);
	assert_int_equal(share(0), 0);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(shares_are_fair),
	    cmocka_unit_test(base_comes_back_when_it_is_wanted),
	    cmocka_unit_test(silent_host_keeps_its_base),
	    cmocka_unit_test(rest_is_shared_without_a_silent_host),
	    cmocka_unit_test(operator_forgets_a_host),
	    cmocka_unit_test(host_is_forgotten_in_time),
	    cmocka_unit_test(engine_learns_from_all),
	    cmocka_unit_test(engine_that_forgot_lends_nothing),
	    cmocka_unit_test(engine_notices_that_its_clock_was_set),
	    cmocka_unit_test(host_knows_that_the_clock_was_set_back),
	    cmocka_unit_test(no_more_than_size),
	    cmocka_unit_test(clone_gets_nothing),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
