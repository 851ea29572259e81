#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "common/base/mem.h"
#include "common/shared/slots.h"
#include "test/support/fixture.h"

enum { NOW = 1000000 };

struct world {
	struct slots slots;
	struct slots_locks locks;
};

static struct world *
world_new(void)
{
	return mem_zalloc(sizeof(struct world));
}

static void
add_member(struct world *w, int m, int limit, int reserve, int wants)
{
	w->slots.members[m] = (struct slots_member){
	    .generation = 100 + (uint64_t)m,
	    .limit = limit,
	    .reserve = reserve,
	    .wants = wants,
	};
	w->locks.members[m] = true;
}

static void
hold(struct world *w, int m, int from, int count)
{
	for (int i = from; i < from + count; i++) {
		w->locks.rows[i] = true;
		w->slots.rows[i] = (struct slots_row){
		    .state = SLOTS_HELD,
		    .member = (uint32_t)m,
		    .generation = w->slots.members[m].generation,
		};
	}
}

/* fast is member 0, slow member 1; slow asks, then fast. */
static void
slots_reserve_is_kept_for_its_lane(void **state)
{
	static const struct {
		int limit, fast_reserve, slow_reserve, fast_held, slow_held;
		int draining;
		bool slow_may, fast_may;
	} rows[] = {
	    {20, 4, 0, 0, 0, 0, true, true},
	    {20, 4, 0, 0, 15, 0, true, true},
	    {20, 4, 0, 0, 16, 0, false, true},
	    {20, 4, 0, 3, 16, 0, false, true},
	    {20, 4, 0, 4, 15, 0, true, true},
	    {20, 4, 0, 4, 16, 0, false, false},
	    {20, 4, 0, 19, 0, 0, true, true},
	    {20, 4, 0, 20, 0, 0, false, false},
	    {20, 4, 2, 17, 0, 0, true, true},
	    {20, 4, 2, 18, 0, 0, true, false},
	    {20, 4, 2, 18, 1, 0, true, false},
	    {20, 4, 2, 18, 2, 0, false, false},
	    /* sessions of a draining process fill nobody's reserve */
	    {20, 4, 0, 0, 12, 4, false, true},
	    {20, 4, 0, 0, 0, 20, false, false},
	    /* reserves beyond the limit shut nobody out */
	    {3, 4, 0, 0, 0, 0, true, true},
	    {3, 4, 0, 0, 1, 0, false, true},
	    {1, 4, 0, 0, 0, 0, true, true},
	    {20, 15, 15, 5, 5, 0, true, true},
	    {20, 15, 15, 15, 5, 0, false, false},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct world *w = world_new();
		struct slots_sum sum;
		int held = rows[i].fast_held + rows[i].slow_held;

		add_member(w, 0, rows[i].limit, rows[i].fast_reserve, 0);
		add_member(w, 1, rows[i].limit, rows[i].slow_reserve, 0);
		hold(w, 0, 0, rows[i].fast_held);
		hold(w, 1, rows[i].fast_held, rows[i].slow_held);
		for (int k = 0; k < rows[i].draining; k++) {
			hold(w, 0, held + k, 1);
			w->slots.rows[held + k].generation = 7;
		}
		slots_count(&w->slots, &w->locks, 1, NOW, &sum);
		assert_int_equal(sum.held, held + rows[i].draining);
		assert_int_equal(sum.mine, rows[i].slow_held);
		if ((slots_why_not(&sum, rows[i].slow_reserve) == NULL) !=
		    rows[i].slow_may)
			fail_msg("row %zu: slow", i);
		slots_count(&w->slots, &w->locks, 0, NOW, &sum);
		assert_int_equal(sum.mine, rows[i].fast_held);
		if ((slots_why_not(&sum, rows[i].fast_reserve) == NULL) !=
		    rows[i].fast_may)
			fail_msg("row %zu: fast", i);
		mem_free(w);
	}
}

static void
slots_smallest_limit_of_running_lanes_holds(void **state)
{
	struct world *w = world_new();
	struct slots_sum sum;

	(void)state;
	add_member(w, 0, 20, 0, 0);
	add_member(w, 1, 10, 0, 3);
	slots_count(&w->slots, &w->locks, 0, NOW, &sum);
	assert_int_equal(sum.limit, 10);
	assert_int_equal(sum.others_want, 3);
	w->locks.members[1] = false;
	slots_count(&w->slots, &w->locks, 0, NOW, &sum);
	assert_int_equal(sum.limit, 20);
	assert_int_equal(sum.others_want, 0);
	mem_free(w);
}

static void
note_row(void *ctx, int row)
{
	*(int *)ctx = row;
}

static void
slots_left_behind_rest_before_use(void **state)
{
	struct world *w = world_new();
	struct slots_sum sum;
	int changed = -1;

	(void)state;
	add_member(w, 0, 1, 0, 0);
	hold(w, 0, 0, 1);
	w->locks.rows[0] = false;
	w->slots.rows[0].rtt_ms = 800;
	slots_count(&w->slots, &w->locks, 0, NOW, &sum);
	assert_int_equal(sum.resting, 1);
	assert_int_equal(
	    slots_rest_abandoned(&w->slots, &w->locks, NOW, note_row, &changed),
	    1);
	assert_int_equal(changed, 0);
	slots_count(&w->slots, &w->locks, 0, NOW + 1599, &sum);
	assert_int_equal(sum.resting, 1);
	assert_int_equal(sum.rest_over_ms, NOW + 1600);
	assert_non_null(slots_why_not(&sum, 0));
	assert_int_equal(slots_pick(&w->slots, &w->locks, NOW + 1599), 1);
	slots_count(&w->slots, &w->locks, 0, NOW + 1600, &sum);
	assert_int_equal(sum.resting, 0);
	assert_null(slots_why_not(&sum, 0));
	assert_int_equal(slots_pick(&w->slots, &w->locks, NOW + 1600), 0);
	/* a clock that started again does not keep a slot for ever */
	slots_count(&w->slots, &w->locks, 0, 5, &sum);
	assert_int_equal(sum.resting, 0);
	mem_free(w);
}

static void
slots_rest_is_two_round_trips_within_bounds(void **state)
{
	(void)state;
	assert_int_equal(slots_rest_ms(0), 1000);
	assert_int_equal(slots_rest_ms(500), 1000);
	assert_int_equal(slots_rest_ms(501), 1002);
	assert_int_equal(slots_rest_ms(INT64_MAX), SLOTS_REST_MAX_MS);
}

static void
slots_refusal_lowers_and_returns_step_by_step(void **state)
{
	struct slots_head head = {0};
	static const struct {
		int64_t after_ms;
		int limit;
	} rows[] = {
	    {0, 3},
	    {59999, 3},
	    {60000, 4},
	    {89999, 4},
	    {90000, 5},
	    {120000, 6},
	    {539999, 19},
	    {540000, 20},
	    {INT64_MAX / 4, 20},
	};

	(void)state;
	assert_int_equal(slots_limit_now(&head, 20, NOW), 20);
	slots_refuse(&head, 3, NOW);
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
		assert_int_equal(
		    slots_limit_now(&head, 20, NOW + rows[i].after_ms),
		    rows[i].limit);
	assert_int_equal(slots_limited_ms(&head, 20, NOW), 540000);
	assert_int_equal(slots_limited_ms(&head, 20, NOW + 540000), 0);
	assert_int_equal(slots_limited_ms(&head, 2, NOW), 0);
	/* the clock of another boot */
	assert_int_equal(slots_limit_now(&head, 20, NOW - 1), 20);
}

static void
slots_refusal_never_raises_the_limit(void **state)
{
	struct slots_head head = {0};

	(void)state;
	slots_refuse(&head, 5, NOW);
	slots_refuse(&head, 9, NOW + 1000);
	assert_int_equal(slots_limit_now(&head, 20, NOW + 1000), 5);
	slots_refuse(&head, 0, NOW + 2000);
	assert_int_equal(slots_limit_now(&head, 20, NOW + 2000), 1);
	assert_int_equal(head.refusals, 3);
}

static void
slots_refusal_at_the_same_number_is_tried_beyond_less_often(void **state)
{
	struct slots_head head = {0};
	int64_t now = NOW, hold = 60000;

	(void)state;
	slots_refuse(&head, 3, now);
	/* Dials begun together are refused together: one event. */
	now += 200;
	slots_refuse(&head, 3, now);
	for (int i = 0; i < 10; i++) {
		assert_int_equal(slots_limit_now(&head, 20, now + hold - 1), 3);
		assert_int_equal(slots_limit_now(&head, 20, now + hold), 4);
		now += hold;
		slots_refuse(&head, 3, now);
		slots_refuse(&head, 3, ++now);
		hold = 2 * hold < 3600000 ? 2 * hold : 3600000;
	}
	/* More was had, so the number is not what it was. */
	now += hold + 60000;
	slots_refuse(&head, 5, now);
	assert_int_equal(slots_limit_now(&head, 20, now + 59999), 5);
	assert_int_equal(slots_limit_now(&head, 20, now + 60000), 6);
	/* Less, likewise. */
	now += 60000;
	slots_refuse(&head, 2, now);
	assert_int_equal(slots_limit_now(&head, 20, now + 60000), 3);
	/* A damaged file. */
	head.refused_hold_ms = INT64_MAX;
	assert_int_equal(slots_limit_now(&head, 20, now + 3600000), 3);
	head.refused_hold_ms = -1;
	assert_int_equal(slots_limit_now(&head, 20, now + 60000), 3);
}

static void
slots_file_full_of_ones_is_survived(void **state)
{
	struct world *w = world_new();
	struct slots_sum sum;
	int changed;

	(void)state;
	memset(w, 0xff, sizeof(*w));
	memset(&w->locks, 1, sizeof(w->locks));
	slots_count(&w->slots, &w->locks, 0, NOW, &sum);
	assert_true(sum.limit >= 1 && sum.limit_now >= 1);
	assert_non_null(slots_why_not(&sum, 0));
	memset(&w->slots, 0x7f, sizeof(w->slots));
	memset(&w->locks, 0, sizeof(w->locks));
	(void)slots_rest_abandoned(
	    &w->slots, &w->locks, NOW, note_row, &changed);
	slots_count(&w->slots, &w->locks, 31, NOW, &sum);
	assert_int_equal(slots_pick(&w->slots, &w->locks, NOW), 0);
	mem_free(w);
}

static void
count_changed(void *ctx, int row)
{
	(void)row;
	++*(int *)ctx;
}

static void
slots_take_any_octets_for_a_file(void **state)
{
	struct slots *s = mem_zalloc(sizeof(*s));
	struct slots_locks *locks = mem_zalloc(sizeof(*locks));
	struct fixture_random random;

	(void)state;
	fixture_random_init(&random);
	for (int round = 0; round < 2000; round++) {
		uint64_t *words = (uint64_t *)(void *)s;
		int me = (int)fixture_random_below(&random, SLOTS_MEMBERS);
		struct slots_sum sum;
		int changed = 0, limit;

		for (size_t i = 0; i < sizeof(*s) / sizeof(*words); i++) {
			size_t shift = fixture_random_below(&random, 64);

			words[i] = random.state >> shift;
		}
		for (int i = 0; i < SLOTS_MAX; i++)
			locks->rows[i] = fixture_random_below(&random, 2) > 0;
		for (int i = 0; i < SLOTS_MEMBERS; i++)
			locks->members[i] =
			    fixture_random_below(&random, 2) > 0;
		slots_repair(s);
		assert_true(strlen(s->head.label) < sizeof(s->head.label));
		(void)slots_rest_abandoned(
		    s, locks, NOW, count_changed, &changed);
		assert_in_range(changed, 0, SLOTS_MAX);
		slots_count(s, locks, me, NOW, &sum);
		assert_in_range(sum.limit, 1, SLOTS_MAX);
		assert_in_range(sum.limit_now, 1, SLOTS_MAX);
		assert_in_range(sum.held, 0, SLOTS_MAX);
		(void)slots_why_not(&sum, 3);
		assert_in_range(slots_pick(s, locks, NOW) + 1, 0, SLOTS_MAX);
		(void)slots_rest_ms(s->rows[0].rtt_ms);
		limit = slots_limit_now(&s->head, 20, NOW);
		assert_in_range(limit, 1, 20);
		assert_true(slots_limited_ms(&s->head, 20, NOW) >= 0);
		slots_refuse(&s->head, 5, NOW);
		assert_in_range(slots_limit_now(&s->head, 20, NOW), 1, 5);
	}
	mem_free(locks);
	mem_free(s);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(slots_reserve_is_kept_for_its_lane),
	    cmocka_unit_test(slots_smallest_limit_of_running_lanes_holds),
	    cmocka_unit_test(slots_left_behind_rest_before_use),
	    cmocka_unit_test(slots_rest_is_two_round_trips_within_bounds),
	    cmocka_unit_test(slots_refusal_lowers_and_returns_step_by_step),
	    cmocka_unit_test(slots_refusal_never_raises_the_limit),
	    cmocka_unit_test(
		slots_refusal_at_the_same_number_is_tried_beyond_less_often),
	    cmocka_unit_test(slots_file_full_of_ones_is_survived),
	    cmocka_unit_test(slots_take_any_octets_for_a_file),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
