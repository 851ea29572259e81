#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "agent/crowd.h"

static char dir[] = "/tmp/crowd-XXXXXX";

static void
put_files(const char *where, int from, int to)
{
	char path[128];

	for (int i = from; i < to; i++) {
		int fd;

		(void)snprintf(path, sizeof(path), "%s/F%05d", where, i);
		fd = open(path, O_WRONLY | O_CREAT, 0700);
		assert_true(fd >= 0);
		assert_int_equal(close(fd), 0);
	}
}

static void
take_files(const char *where, int from, int to)
{
	char path[128];

	for (int i = from; i < to; i++) {
		(void)snprintf(path, sizeof(path), "%s/F%05d", where, i);
		assert_int_equal(unlink(path), 0);
	}
}

static int
set_up(void **state)
{
	(void)state;
	(void)snprintf(dir, sizeof(dir), "/tmp/crowd-XXXXXX");
	assert_non_null(mkdtemp(dir));
	assert_int_equal(chdir(dir), 0);
	assert_int_equal(mkdir("active", 0700), 0);
	return 0;
}

static int
tear_down(void **state)
{
	(void)state;
	(void)rmdir("active/A");
	(void)rmdir("active");
	assert_int_equal(chdir("/"), 0);
	return rmdir(dir);
}

static struct settings set = {
    .qmgr_message_active_limit = 200,
    .lane_hold_limit_ms = 10000,
    .hash_queue_depth = 1,
};

static void
crowd_is_on_above_60_percent_and_off_below_35(void **state)
{
	struct crowd c;
	int64_t now = 1000;

	(void)state;
	crowd_init(&c, &set, now);
	put_files("active", 0, 120);
	assert_false(crowd_is_on(&c, 0, now += CROWD_LOOK_MS));
	put_files("active", 120, 121);
	assert_true(crowd_is_on(&c, 0, now += CROWD_LOOK_MS));
	take_files("active", 70, 121);
	assert_true(crowd_is_on(&c, 0, now += CROWD_LOOK_MS));
	take_files("active", 69, 70);
	assert_false(crowd_is_on(&c, 0, now += CROWD_LOOK_MS));
	take_files("active", 0, 69);
}

static void
crowd_looks_only_now_and_then(void **state)
{
	struct crowd c;
	int64_t now = 1000;

	(void)state;
	crowd_init(&c, &set, now);
	put_files("active", 0, 150);
	assert_false(crowd_is_on(&c, 0, now + CROWD_LOOK_MS - 1));
	assert_true(crowd_is_on(&c, 0, now + CROWD_LOOK_MS));
	take_files("active", 0, 150);
}

/* 150 messages are nothing to a lane that sends 100 a second. */
static void
crowd_does_not_concern_a_lane_that_keeps_up(void **state)
{
	struct crowd c;
	int64_t now = 1000;
	uint64_t sent = 0;

	(void)state;
	crowd_init(&c, &set, now);
	for (int i = 0; i < 20; i++)
		(void)crowd_is_on(&c, sent += 200, now += CROWD_LOOK_MS);
	put_files("active", 0, 150);
	assert_false(crowd_is_on(&c, sent += 200, now += CROWD_LOOK_MS));
	for (int i = 0; i < 20; i++)
		(void)crowd_is_on(&c, sent += 2, now += CROWD_LOOK_MS);
	assert_true(crowd_is_on(&c, sent, now += CROWD_LOOK_MS));
	take_files("active", 0, 150);
}

static void
crowd_counts_in_a_hashed_queue(void **state)
{
	struct crowd c;

	(void)state;
	crowd_init(&c, &set, 0);
	assert_int_equal(mkdir("active/A", 0700), 0);
	put_files("active/A", 0, 121);
	assert_true(crowd_is_on(&c, 0, CROWD_LOOK_MS));
	assert_int_equal(c.count, 121);
	take_files("active/A", 0, 121);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test_setup_teardown(
		crowd_is_on_above_60_percent_and_off_below_35, set_up,
		tear_down),
	    cmocka_unit_test_setup_teardown(
		crowd_looks_only_now_and_then, set_up, tear_down),
	    cmocka_unit_test_setup_teardown(
		crowd_does_not_concern_a_lane_that_keeps_up, set_up, tear_down),
	    cmocka_unit_test_setup_teardown(
		crowd_counts_in_a_hashed_queue, set_up, tear_down),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
