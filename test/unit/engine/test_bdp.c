/* The window that a link needs: found from what a modelled link shows. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "agent/engine/bdp.h"
#include "common/base/clock.h"

enum { BEGIN_US = 1000000, MESSAGES_MAX = 4000 };

/* A session over a link, `window` messages on their way; the server works them
 * one after the other and answers `batch` of them at once. */
struct link {
	int64_t rtt_us, work_us;
	int window, batch;
	int quota; /* messages of a session, then another one */
	bool is_dial_told;
};

/* When message i of a session is answered; all before are in answered[]. */
static int64_t
answer_us(const struct link *l, int64_t from_us, const int64_t *answered, int i,
    int64_t *done_us)
{
	int64_t sent_us = i < l->window ? from_us : answered[i - l->window];

	if (*done_us < sent_us + l->rtt_us / 2)
		*done_us = sent_us + l->rtt_us / 2;
	*done_us += l->work_us;
	return *done_us + l->rtt_us / 2;
}

/* Those of a batch are told when the last of it is done. */
static void
answer_all(
    const struct link *l, int64_t from_us, int64_t *answered, int64_t *done_us)
{
	for (int i = 0; i < l->quota; i++) {
		answered[i] = answer_us(l, from_us, answered, i, done_us);
		for (int k = i; k >= 0 && k > i - l->batch; k--)
			if (k / l->batch == i / l->batch)
				answered[k] = answered[i];
	}
}

/* One session's life; when it ended. */
static int64_t
carry(const struct link *l, struct bdp *b, int64_t from_us)
{
	static int64_t answered[MESSAGES_MAX];
	struct bdp_meter m = {0};
	int64_t done_us = 0;

	assert_true(l->quota <= MESSAGES_MAX && l->batch <= l->window);
	if (l->is_dial_told)
		bdp_on_dial(b, l->rtt_us, from_us);
	answer_all(l, from_us, answered, &done_us);
	for (int i = 0; i < l->quota; i++) {
		bool is_last = i == l->quota - 1 || l->window == 1;
		bool is_first = i == 0 || l->window == 1;

		bdp_on_answer(b, &m,
		    i < l->window ? from_us : answered[i - l->window], is_last,
		    is_last && is_first, answered[i]);
	}
	return answered[l->quota - 1];
}

/* Sessions one after the other, for so long. */
static int64_t
carry_for(const struct link *l, struct bdp *b, int64_t from_us, int64_t us)
{
	int64_t end_us = from_us + us;

	while (from_us < end_us)
		from_us = carry(l, b, from_us) + 1000;
	return from_us;
}

static int
needed(const struct link *l)
{
	return (int)ceil((double)l->rtt_us / (double)l->work_us) + BDP_SPARE;
}

static const int windows[] = {1, 2, 5, 10, 50, 200, 1000};
enum { WINDOWS = sizeof(windows) / sizeof(windows[0]) };

/* Whether the window was too small for it or much too large. */
static void
need_is_found_whatever_the_window_was(void **state)
{
	static const struct {
		int64_t rtt_us, work_us;
	} links[] = {{200, 1000}, {1000, 1000}, {20000, 1000}, {20000, 7000},
	    {100000, 2000}, {100000, 300}, {300000, 50000}};

	(void)state;
	for (size_t i = 0; i < sizeof(links) / sizeof(links[0]); i++)
		for (size_t k = 0; k < WINDOWS; k++) {
			struct link l = {links[i].rtt_us, links[i].work_us,
			    windows[k], 1, 50, true};
			struct bdp b = {0};

			(void)carry_for(&l, &b, BEGIN_US, 40 * US_PER_S);
			/* One at a time says nothing. */
			if (l.window == 1)
				l.work_us = BDP_WORK_LEAST_US;
			assert_int_equal(
			    bdp_messages(&b, INFINITY), needed(&l));
		}
}

/* The work of one message is part of the shortest answer then, and the first
 * of each session seems to take none. */
static void
without_a_measured_dial_it_is_four_more_at_most(void **state)
{
	(void)state;
	for (size_t k = 0; k < WINDOWS; k++) {
		struct link l = {20000, 1000, windows[k], 1, 1000, false};
		struct bdp b = {0};
		int need;

		/* Else there is nothing that shows a queue. */
		if (l.window <= 21)
			continue;
		(void)carry_for(&l, &b, BEGIN_US, 40 * US_PER_S);
		need = bdp_messages(&b, INFINITY);
		assert_true(need >= needed(&l) && need <= needed(&l) + 4);
	}
}

static void
answers_that_come_together_are_not_quick(void **state)
{
	static const int batches[] = {1, 2, 7, 25, 50};

	(void)state;
	for (size_t i = 0; i < sizeof(batches) / sizeof(batches[0]); i++) {
		struct link l = {20000, 1000, 50, batches[i], 50, true};
		struct bdp b = {0};

		(void)carry_for(&l, &b, BEGIN_US, 40 * US_PER_S);
		assert_int_equal(bdp_messages(&b, INFINITY), needed(&l));
	}
}

/* One session that always has more on its way than fits, for ten minutes, and
 * no dial in between. */
/* One after the other, for ten minutes: how far it is stays known. */
static void
message_alone_says_nothing_of_the_work(void **state)
{
	struct link alone = {200, 50000, 1, 1, 4000, false};
	struct link burst = {200, 50000, 50, 1, 50, false};
	struct bdp b = {0};
	int64_t us;

	(void)state;
	bdp_on_dial(&b, 200, BEGIN_US);
	us = carry_for(&alone, &b, BEGIN_US, 600 * US_PER_S);
	assert_int_equal(bdp_messages(&b, INFINITY), 2 + BDP_SPARE);
	(void)carry(&burst, &b, us);
	assert_int_equal(bdp_messages(&b, INFINITY), needed(&burst));
}

static void
queue_at_the_server_is_no_distance(void **state)
{
	struct link l = {20000, 1000, 500, 1, 4000, false};
	struct bdp b = {0};

	(void)state;
	bdp_on_dial(&b, 20000, BEGIN_US);
	(void)carry_for(&l, &b, BEGIN_US, 600 * US_PER_S);
	assert_int_equal(bdp_messages(&b, INFINITY), needed(&l));
}

static void
distance_that_changes_is_followed(void **state)
{
	struct link near = {20000, 1000, 50, 1, 50, true};
	struct link far = {100000, 1000, 50, 1, 50, true};
	struct bdp b = {0};
	int64_t us;

	(void)state;
	us = carry_for(&near, &b, BEGIN_US, 15 * US_PER_S);
	assert_int_equal(bdp_messages(&b, INFINITY), needed(&near));
	us = carry_for(&far, &b, us, 3 * BDP_MEMORY_US);
	assert_int_equal(bdp_messages(&b, INFINITY), needed(&far));
	/* At once. */
	us = carry(&near, &b, us);
	assert_int_equal(bdp_messages(&b, INFINITY), needed(&near));
}

static void
quickest_round_counts_until_it_is_old(void **state)
{
	struct link quick = {20000, 1000, 50, 1, 50, true};
	struct link slow = {20000, 10000, 50, 1, 50, true};
	struct bdp b = {0};
	int64_t us = carry(&slow, &b, BEGIN_US);

	(void)state;
	assert_int_equal(bdp_messages(&b, INFINITY), needed(&slow));
	us = carry(&quick, &b, us);
	assert_int_equal(bdp_messages(&b, INFINITY), needed(&quick));
	us = carry_for(&slow, &b, us, BDP_MEMORY_US - US_PER_S);
	assert_int_equal(bdp_messages(&b, INFINITY), needed(&quick));
	(void)carry_for(&slow, &b, us, 2 * BDP_MEMORY_US);
	assert_int_equal(bdp_messages(&b, INFINITY), needed(&slow));
}

static void
dial_alone_tells_near_from_far(void **state)
{
	struct bdp b = {0};

	(void)state;
	assert_int_equal(bdp_messages(&b, INFINITY), INT32_MAX);
	bdp_on_dial(&b, 0, BEGIN_US);
	assert_int_equal(bdp_messages(&b, INFINITY), INT32_MAX);
	bdp_on_dial(&b, 100000, BEGIN_US);
	assert_true(bdp_messages(&b, INFINITY) >= 1000);
	bdp_on_dial(&b, 200, BEGIN_US);
	assert_int_equal(bdp_messages(&b, INFINITY), 2 + BDP_SPARE);
}

static void
share_of_the_rate_bounds_it(void **state)
{
	struct bdp b = {0};

	(void)state;
	bdp_on_dial(&b, 100000, BEGIN_US);
	assert_int_equal(bdp_messages(&b, 0), BDP_SPARE);
	assert_int_equal(bdp_messages(&b, 1), 1 + BDP_SPARE);
	assert_int_equal(bdp_messages(&b, 25), 3 + BDP_SPARE);
}

/* Too few answers for a round, over sessions of three messages. */
static void
few_answers_say_nothing_of_the_work(void **state)
{
	struct link l = {20000, 50000, 3, 1, 3, true};
	struct bdp b = {0};

	(void)state;
	(void)carry_for(&l, &b, BEGIN_US, 30 * US_PER_S);
	assert_int_equal(
	    bdp_messages(&b, INFINITY), 20000 / BDP_WORK_LEAST_US + BDP_SPARE);
}

/* Answers at any time, clocks that stand still or go back. */
static void
nothing_makes_it_smaller_than_the_spare(void **state)
{
	uint32_t random = 1;
	struct bdp b = {0};
	struct bdp_meter m = {0};
	int64_t us = BEGIN_US;

	(void)state;
	for (int i = 0; i < 100000; i++) {
		int64_t sent_us = us - (int64_t)(random % 3000);

		random = random * 1664525 + 1013904223;
		us += (int64_t)(random >> 20) - 500;
		if (us < 10000)
			us = 10000;
		bdp_on_answer(
		    &b, &m, sent_us, random % 7 == 0, random % 21 == 0, us);
		assert_true(bdp_messages(&b, INFINITY) >= BDP_SPARE);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(need_is_found_whatever_the_window_was),
	    cmocka_unit_test(without_a_measured_dial_it_is_four_more_at_most),
	    cmocka_unit_test(answers_that_come_together_are_not_quick),
	    cmocka_unit_test(message_alone_says_nothing_of_the_work),
	    cmocka_unit_test(queue_at_the_server_is_no_distance),
	    cmocka_unit_test(distance_that_changes_is_followed),
	    cmocka_unit_test(quickest_round_counts_until_it_is_old),
	    cmocka_unit_test(dial_alone_tells_near_from_far),
	    cmocka_unit_test(share_of_the_rate_bounds_it),
	    cmocka_unit_test(few_answers_say_nothing_of_the_work),
	    cmocka_unit_test(nothing_makes_it_smaller_than_the_spare),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
