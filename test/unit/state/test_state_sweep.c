#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "agent/settings/params.h"
#include "agent/state/account_limits.h"
#include "agent/state/state_sweep.h"
#include "common/base/clock.h"
#include "common/shared/board.h"
#include "test/support/statedir.h"

#define SECOND INT64_C(1000000)
#define NAME "slots.0123456789abcdef"

static struct statefile_dir dir;
static char error[256];

static void
set_age(const char *name, int64_t age_s)
{
	struct timespec times[2];

	times[0].tv_sec = times[1].tv_sec = time(NULL) - age_s;
	times[0].tv_nsec = times[1].tv_nsec = 0;
	assert_int_equal(utimensat(dir.fd, name, times, 0), 0);
}

static void
make(const char *name, int64_t age_s)
{
	int fd = statefile_open(dir.fd, name, error, sizeof(error));

	assert_true(fd >= 0);
	assert_int_equal(close(fd), 0);
	set_age(name, age_s);
}

static bool
is_there(const char *name)
{
	return faccessat(dir.fd, name, F_OK, 0) == 0;
}

static int
sweep(void)
{
	return state_sweep_state(&dir, clock_mono_us());
}

static void
sweep_removes_what_is_old_and_ours(void **state)
{
	(void)state;
	make(NAME, STATE_SWEEP_AGE_S - 100);
	make("slots.00000000000000aa", STATE_SWEEP_AGE_S + 100);
	make("rates.00000000000000aa", STATE_SWEEP_AGE_S + 100);
	make("domains.00000000000000aa", 30 * 86400);
	make("domains.00000000000000bb", 402 * 86400);
	make("alarms.00000000000000aa", STATE_SWEEP_AGE_S + 100);
	make("slots.txt", 1000 * 86400);
	make("board", 1000 * 86400);
	assert_int_equal(sweep(), 4);
	assert_true(is_there(NAME));
	assert_true(is_there("domains.00000000000000aa"));
	assert_true(is_there("slots.txt"));
	assert_true(is_there("board"));
	assert_int_equal(sweep(), 0);
}

static void
sweep_leaves_what_is_in_use(void **state)
{
	int fd, child;

	(void)state;
	fd = statefile_open(dir.fd, NAME, error, sizeof(error));
	set_age(NAME, 99 * 86400);
	assert_int_equal(sweep(), 0);
	/* also by a draining child alone */
	child = fork();
	if (child == 0) {
		(void)pause();
		_exit(0);
	}
	assert_int_equal(close(fd), 0);
	assert_int_equal(sweep(), 0);
	assert_int_equal(kill(child, 9), 0);
	assert_int_equal(waitpid(child, NULL, 0), child);
	assert_int_equal(sweep(), 1);
}

static void
sweep_keeps_what_is_used_of_a_long_quota(void **state)
{
	const struct limitset_cost one = {{1, 1, 1}};
	struct settings set;
	struct account_limits_env env = {&set, &dir, "fast", 1, NULL, NULL};
	struct account_limits *f;
	int64_t now = clock_mono_us();
	char name[64] = "";

	(void)state;
	params_init(&set);
	assert_true(params_set(&set,
	    params_find("lane_account_message_rate_limit"), "9/30d!", NULL));
	f = account_limits_open(
	    &env, "rates", "x", PACER_ACCOUNT, now, error, sizeof(error));
	assert_true(account_limits_take(f, &one, now));
	account_limits_close(&f);
	(void)snprintf(name, sizeof(name), "rates.%016llx",
	    (unsigned long long)board_hash("x"));
	set_age(name, 20 * 86400);
	assert_int_equal(state_sweep_state(&dir, now + 20 * 86400 * SECOND), 0);
	assert_int_equal(state_sweep_state(&dir, now + 32 * 86400 * SECOND), 1);
	settings_free(&set);
}

/* Whoever opens a file has one that stays, whatever is swept meanwhile. */
static void
sweep_and_open_at_once_leave_no_lane_with_a_removed_file(void **state)
{
	int child;

	(void)state;
	child = fork();
	if (child == 0) {
		for (;;)
			(void)sweep();
	}
	for (int i = 0; i < 3000; i++) {
		struct stat here, there;
		int fd = statefile_open(dir.fd, NAME, error, sizeof(error));

		assert_true(fd >= 0);
		assert_int_equal(fstat(fd, &here), 0);
		assert_int_equal(fstatat(dir.fd, NAME, &there, 0), 0);
		assert_int_equal(here.st_ino, there.st_ino);
		set_age(NAME, 99 * 86400);
		assert_int_equal(fstatat(dir.fd, NAME, &there, 0), 0);
		assert_int_equal(here.st_ino, there.st_ino);
		assert_int_equal(close(fd), 0);
	}
	assert_int_equal(kill(child, 9), 0);
	assert_int_equal(waitpid(child, NULL, 0), child);
}

static int
make_dir(void **state)
{
	*state = statedir_make();
	return statefile_dir_open(&dir, *state, error, sizeof(error)) ? 0 : -1;
}

static int
remove_dir(void **state)
{
	statefile_dir_close(&dir);
	statedir_remove((char **)state);
	return 0;
}

int
main(void)
{
#define IN_DIR(fn) cmocka_unit_test_setup_teardown(fn, make_dir, remove_dir)
	const struct CMUnitTest tests[] = {
	    IN_DIR(sweep_removes_what_is_old_and_ours),
	    IN_DIR(sweep_leaves_what_is_in_use),
	    IN_DIR(sweep_keeps_what_is_used_of_a_long_quota),
	    IN_DIR(sweep_and_open_at_once_leave_no_lane_with_a_removed_file),
	};

	return cmocka_run_group_tests_name("sweep", tests, NULL, NULL);
}
