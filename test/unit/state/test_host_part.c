/* What this host has of an account's limits: all of them, or a fleet's share.
 */
#include <string.h>

#include "agent/engine/fleet_rate.h"
#include "agent/state/host_part.h"
#include "test/support/fleet_lanes.h"

enum { BIT = 1, MESSAGES = 0, FLEET_MESSAGES_AT = 1 };

/* Without a state directory a share is the base, at once and for good. */
static void
open_part(struct lane *l, struct host_part *part, bool in_fleet)
{
	begin();
	*l = (struct lane){.in_use = 0};
	set_up(l, "h1");
	put(&l->set, "lane_account_recipient_rate_limit", "30/1m:5, 20/60s:5");
	if (in_fleet) {
		l->store = fleet_store_open(&l->set, NULL, "fast");
		l->a = fleet_store_account(l->store, account, w.now_us);
	}
	host_part_init(part, &l->set, PACER_ACCOUNT,
	    in_fleet ? fleet_store_account(l->store, account, w.now_us) : NULL);
	assert_int_equal(part->count, 3);
}

static void
close_part(struct lane *l, struct host_part *part)
{
	host_part_fini(part);
	close_lane(l);
}

static void
assert_same(const struct limitset_rate *got, const struct rate *want)
{
	assert_int_equal(got->rate.count_milli, want->count_milli);
	assert_int_equal(got->rate.period_us, want->period_us);
	assert_int_equal(got->rate.burst, want->burst);
	assert_int_equal(got->rate.is_quota, want->is_quota);
}

static void
configure(struct limitset *set, const struct limitset_rate *rates, size_t n)
{
	memset(set, 0, sizeof(*set));
	assert_true(limitset_configure(
	    set->limits, LIMITSET_MAX, BIT, 0, rates, n, w.now_us));
}

static void
part_is_all_without_a_fleet(void **state)
{
	static const struct limitset_cost one = {{1, 1, 1}};
	struct limitset_rate rates[LIMITSET_MAX];
	struct host_part part;
	struct limitset set;
	struct lane l;

	(void)state;
	open_part(&l, &part, false);
	host_part_rates(&part, rates);
	for (size_t i = 0; i < part.count; i++)
		assert_same(&rates[i], &part.rates[i].rate);
	configure(&set, rates, part.count);
	assert_true(host_part_is_applied(&part, &set, BIT));
	assert_false(host_part_apply(&part, &set, BIT));
	host_part_short(&part, &set.limits[0], w.now_us);
	host_part_taken(&part, &one, w.now_us);
	assert_true(host_part_wait_us(&part, RATE_NEVER) == RATE_NEVER);
	close_part(&l, &part);
}

static void
part_is_the_share_of_the_fleet(void **state)
{
	struct limitset_rate rates[LIMITSET_MAX];
	struct host_part part;
	struct rate want;
	struct lane l;

	(void)state;
	open_part(&l, &part, true);
	host_part_rates(&part, rates);
	fleet_rate_part(&part.rates[MESSAGES].rate,
	    fleet_account_share(l.a, FLEET_MESSAGES_AT, w.now_us), &want);
	assert_same(&rates[MESSAGES], &want);
	assert_in_range(want.count_milli, 49000, 51000);
	/* Two of one period are no limits of the fleet's: half of each. */
	for (size_t i = 1; i < part.count; i++) {
		int64_t whole = fleet_rate_limit(&part.rates[i].rate, 2);

		fleet_rate_part(&part.rates[i].rate, whole / 2, &want);
		assert_same(&rates[i], &want);
	}
	close_part(&l, &part);
}

static void
part_is_applied_to_limits_in_force(void **state)
{
	struct limitset_rate rates[LIMITSET_MAX];
	struct limitset set, before;
	struct host_part part;
	struct lane l;

	(void)state;
	open_part(&l, &part, true);
	/* As in a file of before the fleet, or before the share changed. */
	configure(&set, part.rates, part.count);
	before = set;
	assert_false(host_part_is_applied(&part, &set, BIT));
	assert_memory_equal(&set, &before, sizeof(set));
	assert_true(host_part_apply(&part, &set, BIT));
	host_part_rates(&part, rates);
	assert_true(limiter_matches(
	    &limitset_find(set.limits, LIMITSET_MAX, &rates[MESSAGES], BIT)
		 ->limiter,
	    &rates[MESSAGES].rate));
	assert_true(host_part_is_applied(&part, &set, BIT));
	assert_false(host_part_apply(&part, &set, BIT));
	/* What the fleet does not share was left alone. */
	assert_memory_equal(
	    &set.limits[1], &before.limits[1], sizeof(set.limits[1]));
	close_part(&l, &part);
}

static void
part_may_grow_while_one_waits(void **state)
{
	struct host_part part;
	struct lane l;

	(void)state;
	open_part(&l, &part, true);
	assert_int_equal(host_part_wait_us(&part, 5), 5);
	assert_int_equal(host_part_wait_us(&part, RATE_NEVER), FLEET_ANSWER_US);
	close_part(&l, &part);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(part_is_all_without_a_fleet),
	    cmocka_unit_test(part_is_the_share_of_the_fleet),
	    cmocka_unit_test(part_is_applied_to_limits_in_force),
	    cmocka_unit_test(part_may_grow_while_one_waits),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
