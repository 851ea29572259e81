/* A host's half of a fleet's rules, in fake time. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <string.h>

#include "agent/engine/fleet_share.h"
#include "common/base/clock.h"

#define TTL (30 * US_PER_S)
#define T0 (1000 * US_PER_S)
/* The engine's clock has nothing to do with ours. */
#define ENGINE (5000000 * US_PER_S)

static const struct fleet_terms terms = {.size = 2, .limit = 20, .ttl_us = TTL};

static struct fleet_share
fresh(const struct fleet_terms *t)
{
	struct fleet_share s;

	fleet_share_init(&s, t, T0);
	fleet_share_begin(&s, 7);
	return s;
}

static struct fleet_answer
answer_of(int64_t share, int64_t now_us, int64_t ttl_us)
{
	struct fleet_answer a = {
	    .share = share,
	    .at = ENGINE + now_us,
	    .end = ENGINE + now_us + ttl_us,
	};

	(void)snprintf(a.life, sizeof(a.life), "run:1");
	return a;
}

/* Asks, and is answered a millisecond later. */
static struct fleet_question
exchange(struct fleet_share *s, const struct fleet_terms *t, int64_t want,
    int64_t in_use, int64_t share, int64_t now_us)
{
	struct fleet_answer a = answer_of(share, now_us, TTL);
	struct fleet_question q;

	fleet_share_ask(s, t, want, in_use, now_us, &q);
	assert_true(fleet_share_answer(s, t, q.number, &a, now_us + US_PER_MS));
	return q;
}

static void
without_memory_there_is_nothing_for_a_lease(void **state)
{
	struct fleet_share s = fresh(&terms);
	int64_t base_us = T0 + TTL + FLEET_GUARD_US;

	(void)state;
	assert_int_equal(fleet_share_now(&s, &terms, T0), 0);
	assert_int_equal(fleet_share_now(&s, &terms, base_us - 1), 0);
	assert_int_equal(fleet_share_now(&s, &terms, base_us), 10);
}

static void
answer_gives_a_share_at_once(void **state)
{
	struct fleet_share s = fresh(&terms);

	(void)state;
	(void)exchange(&s, &terms, 20, 0, 10, T0);
	assert_int_equal(fleet_share_now(&s, &terms, T0 + US_PER_MS), 10);
}

/* A loan is over a quarter of the lease early; then the base is there. */
static void
loan_ends_early_and_base_stays(void **state)
{
	struct fleet_share s = fresh(&terms);
	int64_t end_us = T0 + TTL - TTL / 4;

	(void)state;
	(void)exchange(&s, &terms, 20, 0, 17, T0);
	assert_int_equal(fleet_share_now(&s, &terms, end_us - 1), 17);
	assert_int_equal(fleet_share_now(&s, &terms, end_us), 10);
}

static void
lender_waits_for_longer_than_its_lease(void **state)
{
	struct fleet_share s = fresh(&terms);
	int64_t base_us = T0 + TTL + FLEET_GUARD_US;

	(void)state;
	(void)exchange(&s, &terms, 3, 0, 3, T0);
	assert_int_equal(fleet_share_now(&s, &terms, base_us - 1), 3);
	assert_int_equal(fleet_share_now(&s, &terms, base_us), 10);
}

/* What was used of a quota counts for its period. */
static void
lender_of_a_quota_waits_for_its_period(void **state)
{
	struct fleet_terms daily = {.size = 2,
	    .limit = 20,
	    .ttl_us = TTL,
	    .linger_us = 86400 * US_PER_S};
	struct fleet_share s = fresh(&daily);
	int64_t base_us = T0 + TTL + FLEET_GUARD_US + daily.linger_us;

	(void)state;
	(void)exchange(&s, &daily, 3, 0, 3, T0);
	assert_int_equal(fleet_share_now(&s, &daily, base_us - 1), 3);
	assert_int_equal(fleet_share_now(&s, &daily, base_us), 10);
}

static void
late_answer_is_none(void **state)
{
	struct fleet_share s = fresh(&terms);
	struct fleet_answer a = answer_of(20, T0, TTL);
	struct fleet_question q;

	(void)state;
	fleet_share_ask(&s, &terms, 20, 0, T0, &q);
	assert_false(fleet_share_answer(
	    &s, &terms, q.number, &a, T0 + FLEET_ANSWER_US + 1));
	assert_int_equal(fleet_share_now(&s, &terms, T0 + FLEET_ANSWER_US), 0);
	/* And none to the question before. */
	fleet_share_ask(&s, &terms, 20, 0, T0 + 2 * US_PER_S, &q);
	assert_false(fleet_share_answer(
	    &s, &terms, q.number - 1, &a, T0 + 2 * US_PER_S));
	assert_true(fleet_share_answer(
	    &s, &terms, q.number, &a, T0 + 2 * US_PER_S + FLEET_ANSWER_US));
	/* Nor a second one. */
	assert_false(fleet_share_answer(
	    &s, &terms, q.number, &a, T0 + 2 * US_PER_S + FLEET_ANSWER_US));
}

/* It is lower before the engine hears of it; what is in use is said beside. */
static void
host_lowers_itself_first(void **state)
{
	struct fleet_share s = fresh(&terms);
	struct fleet_question q;

	(void)state;
	(void)exchange(&s, &terms, 20, 0, 17, T0);
	fleet_share_ask(&s, &terms, 4, 2, T0 + US_PER_S, &q);
	assert_int_equal(fleet_share_now(&s, &terms, T0 + US_PER_S), 4);
	assert_int_equal(q.cap, 4);
	assert_int_equal(q.in_use, 2);
	assert_int_equal(q.want, 4);
	/* What is in use cannot be given away. */
	fleet_share_ask(&s, &terms, 0, 3, T0 + 2 * US_PER_S, &q);
	assert_int_equal(q.cap, 3);
}

static void
question_tells_of_the_lease(void **state)
{
	struct fleet_share s = fresh(&terms);
	struct fleet_question q;

	(void)state;
	fleet_share_ask(&s, &terms, 20, 0, T0, &q);
	assert_true(q.echo == 0 && q.left_us > 0 && q.seen == 0);
	assert_string_equal(q.life, "");
	(void)exchange(&s, &terms, 20, 0, 10, T0);
	fleet_share_ask(&s, &terms, 20, 0, T0 + US_PER_S, &q);
	assert_true(q.echo == ENGINE + T0 + TTL);
	assert_true(q.left_us == TTL - US_PER_S);
	assert_true(q.seen == ENGINE + T0);
	assert_true(q.since_us == US_PER_S);
	assert_string_equal(q.life, "run:1");
	fleet_share_ask(&s, &terms, 20, 0, T0 + TTL, &q);
	assert_true(q.echo == 0 && q.left_us == 0);
}

static void
refused_name_has_nothing(void **state)
{
	struct fleet_share s = fresh(&terms);
	struct fleet_answer a = {.word = FLEET_STALE};
	struct fleet_question q;

	(void)state;
	(void)exchange(&s, &terms, 20, 0, 17, T0);
	fleet_share_ask(&s, &terms, 20, 0, T0 + US_PER_S, &q);
	assert_true(
	    fleet_share_answer(&s, &terms, q.number, &a, T0 + US_PER_S));
	assert_int_equal(fleet_share_now(&s, &terms, T0 + US_PER_S), 0);
	assert_int_equal(fleet_share_now(&s, &terms, T0 + 9 * TTL), 0);
	(void)exchange(&s, &terms, 20, 0, 10, T0 + 9 * TTL);
	assert_int_equal(fleet_share_now(&s, &terms, T0 + 9 * TTL), 10);
}

static void
forgotten_host_goes_down_to_the_minimum(void **state)
{
	struct fleet_terms t = {.size = 2,
	    .limit = 20,
	    .minimum = 1,
	    .ttl_us = TTL,
	    .forget_us = 600 * US_PER_S};
	struct fleet_share s = fresh(&t);
	int64_t lapse_us = T0 + TTL - TTL / 4;
	int64_t forget_us = T0 + 450 * US_PER_S;

	(void)state;
	/* Who has no memory may have been forgotten already. */
	assert_int_equal(fleet_share_now(&s, &t, T0 + 2 * TTL), 1);
	(void)exchange(&s, &t, 20, 0, 17, T0);
	assert_int_equal(fleet_share_now(&s, &t, lapse_us), 10);
	assert_int_equal(fleet_share_now(&s, &t, forget_us - 1), 10);
	assert_int_equal(fleet_share_now(&s, &t, forget_us), 1);
}

/* A reboot: the lease goes on, by another clock. */
static void
lease_outlives_process_and_clock(void **state)
{
	struct fleet_share s = fresh(&terms);
	struct fleet_question before, after;
	const int64_t delta_us = -900 * US_PER_S;

	(void)state;
	before = exchange(&s, &terms, 3, 0, 3, T0);
	fleet_share_shift(&s, delta_us);
	fleet_share_begin(&s, 8);
	assert_int_equal(
	    fleet_share_now(&s, &terms, T0 + delta_us + US_PER_S), 3);
	fleet_share_ask(&s, &terms, 20, 0, T0 + delta_us + US_PER_S, &after);
	assert_true(after.epoch == before.epoch + 1 && after.number == 1);
	assert_true(after.nonce == 8 && after.echo == ENGINE + T0 + TTL);
	assert_true(after.since_us == US_PER_S);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(without_memory_there_is_nothing_for_a_lease),
	    cmocka_unit_test(answer_gives_a_share_at_once),
	    cmocka_unit_test(loan_ends_early_and_base_stays),
	    cmocka_unit_test(lender_waits_for_longer_than_its_lease),
	    cmocka_unit_test(lender_of_a_quota_waits_for_its_period),
	    cmocka_unit_test(late_answer_is_none),
	    cmocka_unit_test(host_lowers_itself_first),
	    cmocka_unit_test(question_tells_of_the_lease),
	    cmocka_unit_test(refused_name_has_nothing),
	    cmocka_unit_test(forgotten_host_goes_down_to_the_minimum),
	    cmocka_unit_test(lease_outlives_process_and_clock),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
