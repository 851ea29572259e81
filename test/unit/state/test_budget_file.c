#include <stdarg.h>
#include <stddef.h>
#include <fcntl.h>
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

/* The file of the account that bench_open_lane() uses. */
static int
open_slots(const char *dir)
{
	char path[256], error[128];
	struct statefile_dir d;
	int fd;

	assert_true(statefile_dir_open(&d, dir, error, sizeof(error)));
	(void)snprintf(path, sizeof(path), "slots.%016llx",
	    (unsigned long long)board_hash("smtp.example.com joe"));
	fd = statefile_open(d.fd, path, error, sizeof(error));
	assert_true(fd >= 0);
	statefile_dir_close(&d);
	return fd;
}

/* As a lane would that was stopped at the wrong moment. */
static int
hold_mutex(const char *dir)
{
	int fd = open_slots(dir);

	assert_true(statefile_lock(fd, SLOTS_LOCK_MUTEX, 0));
	return fd;
}

static void
budget_lane_stopped_with_the_mutex_stops_nobody(void **state)
{
	struct budget *stopped = bench_lane(*state, "stopped", 0);
	struct budget *a = bench_lane(*state, "fast", 0), *b;
	struct budget_answer answer;
	int64_t began = clock_mono_ms(), now = NOW;
	int slots[BENCH_LIMIT] = {0}, got, holder;

	assert_int_equal(bench_take(stopped, 3, now, NULL), 3);
	assert_int_equal(bench_take(a, 2, now, slots), 2);
	holder = hold_mutex(*state);
	assert_false(budget_take(a, now, &answer));
	assert_string_equal(answer.why, "another lane is taking a slot");
	/* a lane that starts now joins all the same */
	b = bench_lane(*state, "slow", 0);
	budget_release(a, slots[0], true, 10, now);
	assert_false(budget_take(b, now, &answer));
	now += 2000;
	/* 20 for three: 6 each */
	assert_int_equal(bench_take(a, BENCH_LIMIT, now, slots), 5);
	assert_int_equal(bench_take(b, BENCH_LIMIT, now, NULL), 6);
	assert_false(budget_take(a, now, &answer));
	assert_string_equal(answer.why, "another lane keeps the slots locked");
	assert_true(clock_mono_ms() - began < 1000);
	(void)close(holder);
	got = bench_take(a, BENCH_LIMIT, now + 2000, NULL);
	got += bench_take(b, BENCH_LIMIT, now + 2000, NULL);
	assert_int_equal(got, BENCH_LIMIT - 3 - 6 - 6);
	budget_close(&a);
	budget_close(&b);
	budget_close(&stopped);
}

/* Every function, on a file that somebody fills with anything. */
static void
budget_survives_any_octets_in_its_file(void **state)
{
	struct budget *a = bench_lane(*state, "fast", 4);
	struct fixture_random random;
	struct budget_answer answer;
	int fd = open_slots(*state);
	struct slots junk;

	fixture_random_init(&random);
	for (int round = 0; round < 300; round++) {
		int64_t now = NOW + round;
		int slot = -1;

		for (size_t i = 0; i < sizeof(junk) / 8; i++)
			((uint64_t *)(void *)&junk)[i] =
			    fixture_random_below(&random, 4) == 0
				? random.state
				: random.state >>
				      fixture_random_below(&random, 64);
		if (round % 2 == 0) /* so that it is not made anew */
			memcpy(&junk.head,
			    &(struct slots_head){.magic = SLOTS_MAGIC,
				.version = SLOTS_VERSION,
				.row_count = SLOTS_MAX,
				.boot = statefile_boot()},
			    32);
		assert_true(statefile_write(fd, &junk, sizeof(junk), 0));
		if (budget_take(a, now, &answer))
			slot = answer.slot;
		budget_want(a, round % 5);
		(void)budget_surplus(a);
		(void)budget_surplus(a);
		budget_refused(a, round % 7, now);
		assert_true(
		    statefile_read(fd, &junk.head, sizeof(junk.head), 0));
		assert_in_range(slots_limit_now(&junk.head, BENCH_LIMIT, now),
		    1, BENCH_LIMIT);
		if (slot >= 0)
			budget_release(a, slot, round % 3 > 0, round, now);
		if (round % 10 == 0) {
			budget_close(&a);
			a = bench_lane(*state, "fast", 4);
		}
	}
	budget_drain(a);
	budget_close(&a);
	(void)close(fd);
}

/* The other release has the file; who holds a slot is told by locks, which are
 * the same in both, so that the limit is kept while they run side by side. */
static void
budget_shares_locks_with_another_release(void **state)
{
	struct budget *old = bench_lane(*state, "fast", 0), *ours;
	struct slots_head head;
	int fd = open_slots(*state), warnings = 0, slots[BENCH_LIMIT];

	assert_int_equal(bench_take(old, 7, NOW, slots), 7);
	assert_true(statefile_read(fd, &head, sizeof(head), 0));
	head.version = SLOTS_VERSION + 1;
	assert_true(statefile_write(fd, &head, sizeof(head), 0));
	log_set_sink(bench_count_warnings, &warnings);
	for (int i = 0; i < 3; i++)
		assert_int_equal(bench_take(old, 1, NOW, slots + 7 + i), 1);
	assert_int_equal(warnings, 1);
	assert_true(statefile_read(fd, &head, sizeof(head), 0));
	assert_int_equal(head.version, SLOTS_VERSION + 1);
	/* our release, started beside that one */
	ours = bench_lane(*state, "slow", 0);
	log_set_sink(NULL, NULL);
	assert_int_equal(warnings, 2);
	assert_true(statefile_read(fd, &head, sizeof(head), 0));
	assert_int_equal(head.version, SLOTS_VERSION);
	assert_int_equal(
	    bench_take(ours, BENCH_LIMIT, NOW, NULL), BENCH_LIMIT - 10);
	budget_close(&ours);
	budget_close(&old);
	(void)close(fd);
}

/* Three lanes on one account; the file is damaged in one way or another. Never
 * more slots than the limit, which is nobody's but theirs; and all of them can
 * be had again. */
static void
budget_keeps_to_its_limit_whatever_happens_to_the_file(void **state)
{
	struct statefile_dir dir;
	char error[256], name[64];

	assert_true(statefile_dir_open(&dir, *state, error, sizeof(error)));
	(void)snprintf(name, sizeof(name), "slots.%016llx",
	    (unsigned long long)board_hash("smtp.example.com joe"));
	for (int i = 0; i < DAMAGE_COUNT; i++) {
		struct settings set = {
		    .lane_state_directory = *state,
		    .lane_account_connection_limit = BENCH_LIMIT,
		};
		struct budget *b[3];
		struct budget_answer answer;
		int slots[BENCH_LIMIT] = {0}, other[BENCH_LIMIT] = {0}, got;
		int64_t now = NOW;

		for (int j = 0; j < 2; j++)
			b[j] = budget_open(NULL, &set, &dir, j == 0 ? "a" : "b",
			    "smtp.example.com joe", NULL, NULL);
		filedamage_keep(*state, name);
		assert_int_equal(bench_take(b[0], 8, now, slots), 8);
		assert_int_equal(bench_take(b[1], 6, now, other), 6);
		print_message("%s\n", filedamage_names[i]);
		filedamage_do(*state, name, (enum filedamage)i);
		/* as their timers do each 100 ms */
		budget_look(b[0], now);
		budget_look(b[1], now);
		now += 1000;
		b[2] = budget_open(
		    NULL, &set, &dir, "c", "smtp.example.com joe", NULL, NULL);
		got = bench_take(b[2], BENCH_LIMIT, now, NULL);
		got += bench_take(b[0], BENCH_LIMIT, now, NULL);
		got += bench_take(b[1], BENCH_LIMIT, now, NULL);
		assert_int_equal(got, BENCH_LIMIT - 8 - 6);
		/* given back by one, had by another */
		budget_release(b[0], slots[3], true, 0, now);
		budget_release(b[1], other[0], true, 0, now);
		assert_int_equal(bench_take(b[2], BENCH_LIMIT, now, NULL), 2);
		assert_false(budget_take(b[0], now, &answer));
		assert_string_equal(
		    answer.why, "account connection limit reached");
		for (int j = 0; j < 3; j++)
			budget_close(&b[j]);
		(void)unlinkat(dir.fd, name, 0);
	}
	statefile_dir_close(&dir);
}

static struct budget *
lane_in(const struct statefile_dir *dir, const char *name)
{
	struct settings set = {.lane_account_connection_limit = 3};

	return budget_open(
	    NULL, &set, dir, name, "smtp.example.com joe", NULL, NULL);
}

/* The file is removed, and lanes start before the others have looked; the one
 * that makes the new file may be any of them. */
static void
budget_new_lane_waits_for_those_of_a_removed_file(void **state)
{
	struct statefile_dir dir;
	char error[256], name[64];

	assert_true(statefile_dir_open(&dir, *state, error, sizeof(error)));
	assert_true(dir.is_new);
	(void)snprintf(name, sizeof(name), "slots.%016llx",
	    (unsigned long long)board_hash("smtp.example.com joe"));
	for (int old_first = 0; old_first < 2; old_first++) {
		struct budget *a = lane_in(&dir, "a"), *b = lane_in(&dir, "b");
		struct statefile_dir later = {dir.fd, dir.boot, false};
		struct budget *c, *d;
		struct budget_answer answer;
		int64_t now = clock_mono_ms() + 1000;

		assert_int_equal(bench_take(a, 2, now, NULL), 2);
		assert_int_equal(bench_take(b, 1, now, NULL), 1);
		assert_int_equal(unlinkat(dir.fd, name, 0), 0);
		now = clock_mono_ms();
		if (old_first == 1)
			budget_look(a, now);
		c = lane_in(&later, "c");
		d = lane_in(&later, "d");
		assert_false(budget_take(c, now + 10, &answer));
		assert_string_equal(
		    answer.why, "the file of slots was made anew a moment ago");
		assert_false(budget_take(d, now + 20, &answer));
		/* as by their timers */
		budget_look(a, now + 100);
		budget_look(b, now + 100);
		now = clock_mono_ms() + 1000;
		assert_false(budget_take(c, now, &answer));
		assert_string_equal(
		    answer.why, "account connection limit reached");
		budget_close(&a);
		budget_close(&b);
		/* they rest as those of the dead */
		budget_look(d, now);
		assert_int_equal(bench_take(d, 3, now + 5000, NULL), 3);
		budget_close(&c);
		budget_close(&d);
		assert_int_equal(unlinkat(dir.fd, name, 0), 0);
	}
	statefile_dir_close(&dir);
}

static void
count_call(void *ctx)
{
	(*(int *)ctx)++;
}

/* As `cp -p` and `mv` do it. */
static void
replace_by_copy(int dir_fd, const char *name)
{
	struct slots slots;
	char error[128];
	int from = openat(dir_fd, name, O_RDONLY | O_CLOEXEC), to;

	assert_true(from >= 0);
	assert_true(statefile_read(from, &slots, sizeof(slots), 0));
	(void)close(from);
	to = statefile_open(dir_fd, "copy", error, sizeof(error));
	assert_true(to >= 0);
	assert_true(statefile_write(to, &slots, sizeof(slots), 0));
	(void)close(to);
	assert_int_equal(renameat(dir_fd, "copy", dir_fd, name), 0);
}

/* Nothing in it needs mending. */
static void
budget_goes_on_sharing_a_file_that_was_copied(void **state)
{
	struct settings set = {.lane_account_connection_limit = 3};
	int64_t now = clock_mono_ms() + 1000;
	struct statefile_dir dir;
	struct budget_answer answer;
	struct budget *a, *b;
	char error[256], name[64];
	int calls = 0;

	assert_true(statefile_dir_open(&dir, *state, error, sizeof(error)));
	(void)snprintf(name, sizeof(name), "slots.%016llx",
	    (unsigned long long)board_hash("smtp.example.com joe"));
	a = budget_open(
	    NULL, &set, &dir, "a", "smtp.example.com joe", count_call, &calls);
	assert_int_equal(bench_take(a, 3, now, NULL), 3);
	replace_by_copy(dir.fd, name);
	budget_look(a, now);
	b = lane_in(&dir, "b");
	budget_want(b, 1);
	assert_false(budget_take(b, now, &answer));
	assert_int_equal(budget_surplus(a), 0);
	budget_look(a, now + 1000);
	assert_int_equal(budget_surplus(a), 1);
	assert_int_equal(calls, 1);
	budget_close(&a);
	budget_close(&b);
	statefile_dir_close(&dir);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    IN_STATEDIR(budget_lane_stopped_with_the_mutex_stops_nobody),
	    IN_STATEDIR(budget_keeps_to_its_limit_whatever_happens_to_the_file),
	    IN_STATEDIR(budget_new_lane_waits_for_those_of_a_removed_file),
	    IN_STATEDIR(budget_goes_on_sharing_a_file_that_was_copied),
	    IN_STATEDIR(budget_survives_any_octets_in_its_file),
	    IN_STATEDIR(budget_shares_locks_with_another_release),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
