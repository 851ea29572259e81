#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "agent/state/board_writer.h"
#include "agent/state/budget.h"
#include "common/base/clock.h"
#include "common/base/log.h"
#include "common/base/mem.h"
#include "common/shared/board.h"
#include "common/shared/slots.h"
#include "test/support/budgetbench.h"
#include "test/support/filedamage.h"
#include "test/support/fixture.h"
#include "test/support/statedir.h"

enum { NOW = 1000000 };

/* How many it could have now; it has as many as before afterwards. */
static int
room_for(struct budget *b, int64_t now_ms)
{
	int slots[BENCH_LIMIT], n = bench_take(b, BENCH_LIMIT, now_ms, slots);

	for (int i = 0; i < n; i++)
		budget_release(b, slots[i], true, 0, now_ms);
	return n;
}

static void
budget_lanes_share_one_limit(void **state)
{
	struct budget *a = bench_lane(*state, "fast", 0);
	struct budget *b = bench_lane(*state, "slow", 0);
	struct budget_answer answer;
	int slots[BENCH_LIMIT] = {0};

	assert_int_equal(bench_take(a, 12, NOW, slots), 12);
	assert_int_equal(bench_take(b, BENCH_LIMIT, NOW, NULL), 8);
	assert_false(budget_take(a, NOW, &answer));
	assert_string_equal(answer.why, "account connection limit reached");
	assert_true(answer.not_before_ms > NOW);
	budget_release(a, slots[5], true, 10, NOW);
	assert_true(budget_take(b, NOW, &answer));
	assert_int_equal(answer.slot, slots[5]);
	budget_close(&a);
	budget_close(&b);
}

static void
budget_lane_limit_may_be_raised_and_lowered(void **state)
{
	struct budget *b = bench_lane(*state, "fast", 0);
	struct budget_answer answer;

	budget_set_lane_limit(b, 2);
	assert_int_equal(bench_take(b, BENCH_LIMIT, NOW, NULL), 2);
	assert_false(budget_take(b, NOW, &answer));
	assert_string_equal(answer.why, "lane_connection_limit reached");
	budget_set_lane_limit(b, 5);
	assert_int_equal(bench_take(b, BENCH_LIMIT, NOW, NULL), 3);
	/* The account's holds all the same. */
	budget_set_lane_limit(b, BENCH_LIMIT + 1);
	assert_int_equal(
	    bench_take(b, BENCH_LIMIT, NOW, NULL), BENCH_LIMIT - 5);
	assert_false(budget_take(b, NOW, &answer));
	assert_string_equal(answer.why, "account connection limit reached");
	budget_close(&b);
}

static void
budget_reserve_is_there_when_the_lane_comes(void **state)
{
	struct budget *fast = bench_lane(*state, "fast", 4);
	struct budget *slow = bench_lane(*state, "slow", 0);
	struct budget_answer answer;

	assert_int_equal(bench_take(slow, BENCH_LIMIT, NOW, NULL), 16);
	assert_int_equal(bench_take(fast, BENCH_LIMIT, NOW, NULL), 4);
	assert_false(budget_take(fast, NOW, &answer));
	budget_close(&fast);
	/* its slots were not given back in order, and its reserve is gone */
	assert_false(budget_take(slow, NOW, &answer));
	assert_int_equal(bench_take(slow, BENCH_LIMIT, NOW + 1000, NULL), 4);
	budget_close(&slow);
}

/* An operator's limit: what may not be opened is kept from nobody. */
static void
budget_reserves_no_more_than_the_lane_may_open(void **state)
{
	struct budget *fast = bench_lane(*state, "fast", 4);
	struct budget *slow = bench_lane(*state, "slow", 0);
	struct budget_answer answer;
	int slots[BENCH_LIMIT] = {0};

	budget_set_lane_limit(fast, 1);
	assert_int_equal(
	    bench_take(slow, BENCH_LIMIT, NOW, slots), BENCH_LIMIT - 1);
	assert_false(budget_take(slow, NOW, &answer));
	/* And again as it is set: four are fast's. */
	budget_set_lane_limit(fast, BENCH_LIMIT);
	for (int i = 0; i < 4; i++)
		budget_release(slow, slots[i], true, 0, NOW);
	assert_true(budget_take(slow, NOW, &answer));
	assert_false(budget_take(slow, NOW, &answer));
	assert_int_equal(bench_take(fast, BENCH_LIMIT, NOW, NULL), 4);
	budget_close(&fast);
	budget_close(&slow);
}

static void
budget_waiting_lane_makes_surplus_close(void **state)
{
	struct budget *fast = bench_lane(*state, "fast", 4);
	struct budget *slow = bench_lane(*state, "slow", 0);
	struct budget_answer answer;
	int slots[BENCH_LIMIT] = {0};

	assert_int_equal(
	    bench_take(fast, BENCH_LIMIT, NOW, slots), BENCH_LIMIT);
	budget_want(slow, 2);
	/* wanting is not yet waiting */
	budget_release(fast, slots[0], true, 0, NOW);
	assert_true(budget_take(fast, NOW, &answer));
	assert_int_equal(budget_surplus(fast), 0);
	assert_false(budget_take(slow, NOW, &answer));
	assert_false(budget_take(fast, NOW, &answer));
	assert_true(budget_surplus(fast) > 0);
	assert_int_equal(budget_surplus(fast), 2);
	budget_release(fast, slots[1], true, 0, NOW);
	assert_int_equal(budget_surplus(fast), 1);
	assert_true(budget_take(slow, NOW, &answer));
	assert_false(budget_take(fast, NOW, &answer));
	assert_int_equal(budget_surplus(fast), 0);
	budget_close(&fast);
	budget_close(&slow);
}

static void
budget_lane_within_its_reserve_gives_nothing_up(void **state)
{
	struct budget *fast = bench_lane(*state, "fast", 4);
	struct budget *slow = bench_lane(*state, "slow", 0);
	struct budget_answer answer;

	assert_int_equal(bench_take(fast, 4, NOW, NULL), 4);
	assert_int_equal(bench_take(slow, BENCH_LIMIT, NOW, NULL), 16);
	budget_want(slow, 3);
	assert_false(budget_take(slow, NOW, &answer));
	assert_false(budget_take(fast, NOW, &answer));
	assert_int_equal(budget_surplus(fast), 0);
	budget_close(&fast);
	budget_close(&slow);
}

static void
budget_unclean_release_rests(void **state)
{
	struct bench_lane_spec spec = {*state, "fast", 1, 0};
	struct budget *b = bench_open_lane(&spec, NULL, NULL, NULL);
	struct budget_answer answer;

	assert_true(budget_take(b, NOW, &answer));
	budget_release(b, answer.slot, false, 700, NOW);
	assert_false(budget_take(b, NOW + 1399, &answer));
	assert_int_equal(answer.not_before_ms, NOW + 1400);
	assert_true(budget_take(b, NOW + 1400, &answer));
	budget_close(&b);
}

static void
budget_refusal_lowers_for_all_lanes_and_is_remembered(void **state)
{
	struct budget *fast = bench_lane(*state, "fast", 0);
	struct budget *slow = bench_lane(*state, "slow", 0);
	struct budget_answer answer;
	int slots[BENCH_LIMIT] = {0};

	assert_int_equal(bench_take(slow, 3, NOW, NULL), 3);
	assert_int_equal(bench_take(fast, 3, NOW, slots), 3);
	/* the third of fast was the one refused */
	budget_release(fast, slots[2], true, 0, NOW);
	budget_refused(fast, 2, NOW);
	assert_int_equal(room_for(fast, NOW), 0);
	assert_false(budget_take(slow, NOW, &answer));
	assert_string_equal(
	    answer.why, "the server allows no more connections");
	budget_release(fast, slots[0], true, 0, NOW);
	budget_release(fast, slots[1], true, 0, NOW);
	budget_close(&fast);
	fast = bench_lane(*state, "fast", 0);
	/* beside the three of slow */
	assert_int_equal(room_for(fast, NOW + 59999), 5 - 3);
	assert_int_equal(room_for(fast, NOW + 60000), 6 - 3);
	assert_int_equal(
	    room_for(fast, NOW + 60000 + 14 * 30000), BENCH_LIMIT - 3);
	budget_close(&fast);
	budget_close(&slow);
}

static void
budget_lanes_that_disagree_use_the_smallest_and_warn_once(void **state)
{
	struct bench_lane_spec narrow_spec = {*state, "slow", 5, 0};
	struct budget *wide = bench_lane(*state, "fast", 0);
	struct budget *narrow = bench_open_lane(&narrow_spec, NULL, NULL, NULL);
	int warnings = 0;

	log_set_sink(bench_count_warnings, &warnings);
	assert_int_equal(bench_take(wide, BENCH_LIMIT, NOW, NULL), 5);
	assert_int_equal(bench_take(narrow, BENCH_LIMIT, NOW, NULL), 0);
	log_set_sink(NULL, NULL);
	assert_int_equal(warnings, 1);
	budget_close(&narrow);
	assert_int_equal(bench_take(wide, BENCH_LIMIT, NOW, NULL), 15);
	budget_close(&wide);
}

static void
budget_without_directory_counts_alone(void **state)
{
	static char nowhere[] = "/nonexistent/postlane";
	struct bench_lane_spec spec = {nowhere, "fast", 3, 0};
	struct budget *b;
	struct budget_answer answer;
	int warnings = 0;

	(void)state;
	log_set_sink(bench_count_warnings, &warnings);
	b = bench_open_lane(&spec, NULL, NULL, NULL);
	log_set_sink(NULL, NULL);
	assert_int_equal(warnings, 1);
	assert_int_equal(bench_take(b, 9, NOW, NULL), 3);
	budget_release(b, 1, false, 0, NOW);
	assert_false(budget_take(b, NOW + 999, &answer));
	assert_true(budget_take(b, NOW + 1000, &answer));
	budget_refused(b, 2, NOW + 1000);
	budget_release(b, 0, true, 0, NOW + 1000);
	budget_release(b, 2, true, 0, NOW + 1000);
	assert_int_equal(room_for(b, NOW + 1000), 1);
	budget_close(&b);
}

static void
budget_refuses_files_of_doubtful_origin(void **state)
{
	char *link = mem_printf("%s/x", (char *)*state), *file;
	struct budget *b = bench_lane(*state, "fast", 0);
	struct settings set = {
	    .lane_state_directory = *state, .lane_account_connection_limit = 2};
	int warnings = 0;

	budget_close(&b);
	/* where another account's file would be, a symbolic link */
	file = mem_printf("%s/slots.%016llx", (char *)*state,
	    (unsigned long long)board_hash("other"));
	assert_int_equal(symlink(link, file), 0);
	log_set_sink(bench_count_warnings, &warnings);
	b = budget_open(NULL, &set, NULL, "fast", "other", NULL, NULL);
	log_set_sink(NULL, NULL);
	assert_int_equal(warnings, 1);
	assert_int_equal(access(link, F_OK), -1);
	assert_int_equal(bench_take(b, 9, NOW, NULL), 2);
	budget_close(&b);
	mem_free(link);
	mem_free(file);
}

/* Processes ----------------------------------------------------------- */

static void
take_five_and_wait(void *ctx, int in, int out)
{
	struct budget *b = bench_lane(ctx, "slow", 0);

	statedir_tell(out, (char)('0' + bench_take(b, 5, NOW, NULL)));
	(void)statedir_hear(in);
}

static void
budget_slots_of_a_killed_lane_rest_then_return(void **state)
{
	struct budget *b = bench_lane(*state, "fast", 0);
	struct statedir_child child;
	struct budget_answer answer;

	statedir_fork(&child, take_five_and_wait, *state);
	assert_int_equal(statedir_hear(child.from), '5');
	assert_int_equal(bench_take(b, BENCH_LIMIT, NOW, NULL), 15);
	(void)statedir_end(&child, SIGKILL);
	/* seen now: from here it rests */
	assert_false(budget_take(b, NOW + 5000, &answer));
	assert_string_equal(
	    answer.why, "a slot rests after a connection broke off");
	assert_false(budget_take(b, NOW + 5999, &answer));
	assert_int_equal(answer.not_before_ms, NOW + 6000);
	assert_int_equal(bench_take(b, BENCH_LIMIT, NOW + 6000, NULL), 5);
	budget_close(&b);
}

struct drain {
	struct budget *budget;
	int slots[5];
};

static void
drain(void *ctx, int in, int out)
{
	struct drain *d = ctx;

	budget_drain(d->budget);
	statedir_tell(out, 'd');
	(void)statedir_hear(in);
	budget_release(d->budget, d->slots[0], true, 0, NOW);
	budget_release(d->budget, d->slots[1], true, 0, NOW);
	statedir_tell(out, 'r');
	(void)statedir_hear(in);
}

static void
budget_slots_survive_the_fork_of_a_draining_lane(void **state)
{
	struct drain d = {.budget = bench_lane(*state, "fast", 4)};
	struct budget *slow = bench_lane(*state, "slow", 0), *fast;
	struct statedir_child child;

	assert_int_equal(bench_take(d.budget, 5, NOW, d.slots), 5);
	statedir_fork(&child, drain, &d);
	assert_int_equal(statedir_hear(child.from), 'd');
	budget_close(&d.budget);
	fast = bench_lane(*state, "fast", 4);
	/* 20 less the child's 5 less the new process's whole reserve */
	assert_int_equal(bench_take(slow, BENCH_LIMIT, NOW, NULL), 11);
	assert_int_equal(bench_take(fast, BENCH_LIMIT, NOW, NULL), 4);
	statedir_tell(child.to, 'x');
	assert_int_equal(statedir_hear(child.from), 'r');
	assert_int_equal(bench_take(fast, BENCH_LIMIT, NOW, NULL), 2);
	(void)statedir_end(&child, SIGKILL);
	assert_int_equal(bench_take(slow, BENCH_LIMIT, NOW, NULL), 0);
	assert_int_equal(bench_take(slow, BENCH_LIMIT, NOW + 1000, NULL), 3);
	budget_close(&fast);
	budget_close(&slow);
}

enum { HAMMERS = 4, HAMMER_BENCH_LIMIT = 3, HAMMER_ROUNDS = 400 };

struct hammer {
	char *dir;
	int number;
	uint64_t seed;
	/* shared by all, kept by other means than locks */
	struct tally {
		int open, most, grants;
	} * tally;
};

static void
hammer_step(struct hammer *h, struct budget *b, struct fixture_random *r,
    int *held, int *count)
{
	struct budget_answer a;
	int now;

	if (*count > 0 && fixture_random_below(r, 2) == 0) {
		(void)__atomic_sub_fetch(&h->tally->open, 1, __ATOMIC_SEQ_CST);
		budget_release(b, held[--*count], true, 0, clock_mono_ms());
		return;
	}
	if (!budget_take(b, clock_mono_ms(), &a))
		return;
	now = __atomic_add_fetch(&h->tally->open, 1, __ATOMIC_SEQ_CST);
	for (int most = __atomic_load_n(&h->tally->most, __ATOMIC_SEQ_CST);
	     now > most && !__atomic_compare_exchange_n(&h->tally->most, &most,
			       now, false, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST);)
		;
	(void)__atomic_add_fetch(&h->tally->grants, 1, __ATOMIC_SEQ_CST);
	held[(*count)++] = a.slot;
}

static void
hammer(void *ctx, int in, int out)
{
	struct hammer *h = ctx;
	char name[] = {(char)('a' + h->number), '\0'};
	struct bench_lane_spec spec = {h->dir, name, HAMMER_BENCH_LIMIT, 0};
	struct budget *b = bench_open_lane(&spec, NULL, NULL, NULL);
	struct fixture_random r = {h->seed + (uint64_t)h->number};
	int held[HAMMER_BENCH_LIMIT], count = 0;

	statedir_tell(out, 'r');
	(void)statedir_hear(in);
	for (int i = 0; i < HAMMER_ROUNDS; i++)
		hammer_step(h, b, &r, held, &count);
	while (count > 0) {
		(void)__atomic_sub_fetch(&h->tally->open, 1, __ATOMIC_SEQ_CST);
		budget_release(b, held[--count], true, 0, clock_mono_ms());
	}
	statedir_tell(out, 'e');
}

static void
budget_many_processes_never_exceed_the_limit(void **state)
{
	struct tally *tally = mmap(NULL, sizeof(*tally), PROT_READ | PROT_WRITE,
	    MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	struct statedir_child children[HAMMERS];
	struct fixture_random r;
	struct budget *b;
	int slots[HAMMER_BENCH_LIMIT] = {0};

	fixture_random_init(&r);
	assert_true(tally != MAP_FAILED);
	for (int i = 0; i < HAMMERS; i++) {
		struct hammer h = {*state, i, r.state, tally};

		statedir_fork(&children[i], hammer, &h);
	}
	for (int i = 0; i < HAMMERS; i++)
		assert_int_equal(statedir_hear(children[i].from), 'r');
	for (int i = 0; i < HAMMERS; i++)
		statedir_tell(children[i].to, 'g');
	for (int i = 0; i < HAMMERS; i++) {
		assert_int_equal(statedir_hear(children[i].from), 'e');
		assert_int_equal(statedir_end(&children[i], 0), 0);
	}
	assert_int_equal(tally->open, 0);
	assert_in_range(tally->most, 1, HAMMER_BENCH_LIMIT);
	assert_true(tally->grants > HAMMER_ROUNDS / 4);
	print_message(
	    "%d grants, at most %d at once\n", tally->grants, tally->most);
	b = bench_lane(*state, "after", 0);
	assert_int_equal(
	    bench_take(b, HAMMER_BENCH_LIMIT, clock_mono_ms(), slots),
	    HAMMER_BENCH_LIMIT);
	budget_close(&b);
	(void)munmap(tally, sizeof(*tally));
}

/* Looking ------------------------------------------------------------- */

struct looker {
	struct loop *loop;
	int calls;
};

static void
on_room(void *ctx)
{
	struct looker *l = ctx;

	l->calls++;
	loop_stop(l->loop);
}

static void
on_deadline(void *ctx)
{
	(void)ctx;
	fail_msg("on_room was not called in time");
}

static void
run_until_room(struct looker *l)
{
	struct loop_timer *deadline =
	    loop_timer_new(l->loop, on_deadline, NULL);

	loop_timer_at(deadline, clock_mono_ms() + 10000);
	loop_run(l->loop);
	loop_timer_free(&deadline);
}

static void
budget_tells_of_room_and_of_others_in_want(void **state)
{
	struct looker fast_eye = {loop_new(), 0}, slow_eye = {loop_new(), 0};
	struct bench_lane_spec fast_spec = {*state, "fast", 2, 0};
	struct bench_lane_spec slow_spec = {*state, "slow", 2, 0};
	struct budget *fast =
	    bench_open_lane(&fast_spec, fast_eye.loop, on_room, &fast_eye);
	struct budget *slow =
	    bench_open_lane(&slow_spec, slow_eye.loop, on_room, &slow_eye);
	struct budget_answer answer;
	int slots[2] = {0};

	assert_int_equal(bench_take(slow, 2, clock_mono_ms(), slots), 2);
	budget_want(fast, 1);
	assert_false(budget_take(fast, clock_mono_ms(), &answer));
	run_until_room(&slow_eye);
	assert_true(budget_surplus(slow) > 0);
	budget_release(slow, slots[1], true, 0, clock_mono_ms());
	assert_int_equal(budget_surplus(slow), 0);
	run_until_room(&fast_eye);
	assert_int_equal(fast_eye.calls, 1);
	assert_true(budget_take(fast, clock_mono_ms(), &answer));
	budget_close(&fast);
	budget_close(&slow);
	loop_free(&fast_eye.loop);
	loop_free(&slow_eye.loop);
}

static void
budget_own_release_tells_the_waiting_lane_at_once(void **state)
{
	struct looker eye = {loop_new(), 0};
	struct bench_lane_spec spec = {*state, "fast", 1, 0};
	struct budget *b = bench_open_lane(&spec, eye.loop, on_room, &eye);
	struct budget_answer answer, second;

	assert_true(budget_take(b, clock_mono_ms(), &answer));
	budget_want(b, 1);
	assert_false(budget_take(b, clock_mono_ms(), &second));
	budget_release(b, answer.slot, true, 0, clock_mono_ms());
	run_until_room(&eye);
	assert_true(budget_take(b, clock_mono_ms(), &answer));
	budget_close(&b);
	loop_free(&eye.loop);
}

static void
budget_shows_its_figures_on_the_board(void **state)
{
	char error[200];
	struct board_writer *w =
	    board_writer_open(*state, "fast", "fast", error, sizeof(error));
	struct budget *b = bench_lane(*state, "fast", 4);
	struct board_account *a;

	assert_non_null(w);
	assert_true(board_writer_set_account(w, "smtp.example.com joe"));
	budget_set_board(b, w);
	assert_int_equal(bench_take(b, 7, NOW, NULL), 7);
	budget_want(b, 3);
	budget_refused(b, 6, NOW);
	a = board_writer_account(w);
	assert_string_equal(a->label, "smtp.example.com");
	assert_int_equal(a->limit, BENCH_LIMIT);
	assert_int_equal(a->limit_now, 6);
	assert_int_equal(a->held, 7);
	assert_int_equal(board_writer_lane(w)->held, 7);
	assert_int_equal(board_writer_lane(w)->reserve, 4);
	assert_int_equal(board_writer_lane(w)->wants, 3);
	assert_int_equal(
	    board_writer_lane(w)->counters[BOARD_COUNTER_slots_taken], 7);
	budget_close(&b);
	board_writer_close(&w);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    IN_STATEDIR(budget_lanes_share_one_limit),
	    IN_STATEDIR(budget_lane_limit_may_be_raised_and_lowered),
	    IN_STATEDIR(budget_reserve_is_there_when_the_lane_comes),
	    IN_STATEDIR(budget_reserves_no_more_than_the_lane_may_open),
	    IN_STATEDIR(budget_waiting_lane_makes_surplus_close),
	    IN_STATEDIR(budget_lane_within_its_reserve_gives_nothing_up),
	    IN_STATEDIR(budget_unclean_release_rests),
	    IN_STATEDIR(budget_refusal_lowers_for_all_lanes_and_is_remembered),
	    IN_STATEDIR(
		budget_lanes_that_disagree_use_the_smallest_and_warn_once),
	    IN_STATEDIR(budget_without_directory_counts_alone),
	    IN_STATEDIR(budget_refuses_files_of_doubtful_origin),
	    IN_STATEDIR(budget_slots_of_a_killed_lane_rest_then_return),
	    IN_STATEDIR(budget_slots_survive_the_fork_of_a_draining_lane),
	    IN_STATEDIR(budget_many_processes_never_exceed_the_limit),
	    IN_STATEDIR(budget_tells_of_room_and_of_others_in_want),
	    IN_STATEDIR(budget_own_release_tells_the_waiting_lane_at_once),
	    IN_STATEDIR(budget_shows_its_figures_on_the_board),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
