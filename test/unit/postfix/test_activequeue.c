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

#include "agent/postfix/activequeue.h"

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

static char bulk[] = "bulk", urgent[] = "urgent";

static struct settings set = {
    .qmgr_message_active_limit = 200,
    .hash_queue_depth = 1,
    .lane_priority = bulk,
};

/* Looks as long after the last one as is due; the lane sent so many since. */
static bool
look(struct activequeue *c, uint64_t sent)
{
	activequeue_look(c, c->sent_before + sent, true, activequeue_due_ms(c));
	return c->is_on;
}

/* A lane that has sent `sent` between two looks for some time. */
static void
settle(struct activequeue *c, uint64_t sent)
{
	activequeue_init(c, &set, 1000);
	for (int i = 0; i < 20; i++)
		assert_false(look(c, sent));
}

static void
crowd_is_on_above_60_percent_and_off_below_45(void **state)
{
	struct activequeue c;

	(void)state;
	settle(&c, 0);
	put_files("active", 0, 120);
	assert_false(look(&c, 0));
	put_files("active", 120, 121);
	assert_true(look(&c, 0));
	assert_int_equal(
	    activequeue_due_ms(&c), c.looked_ms + ACTIVEQUEUE_LOOK_ON_MS);
	take_files("active", 90, 121);
	assert_true(look(&c, 0));
	assert_int_equal(activequeue_room(&c), 0);
	take_files("active", 89, 90);
	assert_false(look(&c, 0));
	assert_int_equal(activequeue_room(&c), 0);
	take_files("active", 60, 89);
	assert_false(look(&c, 0));
	assert_int_equal(activequeue_room(&c), 10);
	take_files("active", 0, 60);
}

static void
crowd_looks_only_now_and_then(void **state)
{
	struct activequeue c;

	(void)state;
	settle(&c, 0);
	put_files("active", 0, 150);
	activequeue_look(&c, 0, true, activequeue_due_ms(&c) - 1);
	assert_int_equal(c.count, 0);
	activequeue_look(&c, 0, true, activequeue_due_ms(&c));
	assert_int_equal(c.count, 150);
	take_files("active", 0, 150);
}

/* 150 are 60 above the mark: six seconds at 10 a second, four at 15. */
static void
crowd_does_not_concern_a_lane_that_keeps_up(void **state)
{
	struct activequeue c;

	(void)state;
	settle(&c, 30);
	put_files("active", 0, 150);
	assert_false(look(&c, 30));
	for (int i = 0; i < 20; i++)
		(void)look(&c, 20);
	assert_true(look(&c, 20));
	take_files("active", 0, 150);
}

static void
crowd_is_left_to_bulk_before_an_urgent_lane_gives_way(void **state)
{
	struct activequeue c;

	(void)state;
	set.lane_priority = urgent;
	settle(&c, 2);
	put_files("active", 0, 165);
	assert_false(look(&c, 2));
	put_files("active", 165, 175);
	assert_true(look(&c, 2));
	take_files("active", 0, 175);
	set.lane_priority = bulk;
}

static void
crowd_does_not_judge_a_lane_by_its_rest(void **state)
{
	struct activequeue c;

	(void)state;
	settle(&c, 60);
	put_files("active", 0, 150);
	activequeue_look(
	    &c, c.sent_before, true, activequeue_due_ms(&c) + 3600000);
	assert_false(c.is_on);
	assert_false(look(&c, 60));
	assert_false(look(&c, 60));
	activequeue_look(
	    &c, c.sent_before, true, activequeue_due_ms(&c) + 3600000);
	assert_false(look(&c, 0));
	assert_true(look(&c, 0));
	take_files("active", 0, 150);
}

static void
crowd_gives_back_no_more_than_the_excess(void **state)
{
	struct activequeue c;

	(void)state;
	settle(&c, 0);
	put_files("active", 0, 121);
	assert_false(activequeue_gives_back(&c));
	assert_true(look(&c, 0));
	for (int i = 0; i < 121 - 90; i++) {
		assert_true(activequeue_gives_back(&c));
		activequeue_on_given(&c);
	}
	assert_false(activequeue_gives_back(&c));
	/* The queue manager took in as many meanwhile. */
	assert_true(look(&c, 0));
	assert_true(activequeue_gives_back(&c));
	take_files("active", 0, 121);
	assert_false(look(&c, 0));
	assert_false(activequeue_gives_back(&c));
}

/* Others fill the queue; this one has nothing to give back. */
static void
crowd_is_not_the_matter_of_a_lane_without_surplus(void **state)
{
	struct activequeue c;

	(void)state;
	settle(&c, 1);
	put_files("active", 0, 190);
	for (int i = 0; i < 5; i++) {
		activequeue_look(
		    &c, c.sent_before + 1, false, activequeue_due_ms(&c));
		assert_false(c.is_on);
	}
	/* Its speed is not known yet. */
	assert_false(look(&c, 1));
	assert_true(look(&c, 1));
	take_files("active", 0, 190);
}

static void
crowd_counts_in_a_hashed_queue(void **state)
{
	struct activequeue c;

	(void)state;
	settle(&c, 0);
	assert_int_equal(mkdir("active/A", 0700), 0);
	put_files("active/A", 0, 121);
	assert_true(look(&c, 0));
	assert_int_equal(c.count, 121);
	take_files("active/A", 0, 121);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test_setup_teardown(
		crowd_is_on_above_60_percent_and_off_below_45, set_up,
		tear_down),
	    cmocka_unit_test_setup_teardown(
		crowd_looks_only_now_and_then, set_up, tear_down),
	    cmocka_unit_test_setup_teardown(
		crowd_does_not_concern_a_lane_that_keeps_up, set_up, tear_down),
	    cmocka_unit_test_setup_teardown(
		crowd_is_left_to_bulk_before_an_urgent_lane_gives_way, set_up,
		tear_down),
	    cmocka_unit_test_setup_teardown(
		crowd_does_not_judge_a_lane_by_its_rest, set_up, tear_down),
	    cmocka_unit_test_setup_teardown(
		crowd_gives_back_no_more_than_the_excess, set_up, tear_down),
	    cmocka_unit_test_setup_teardown(
		crowd_is_not_the_matter_of_a_lane_without_surplus, set_up,
		tear_down),
	    cmocka_unit_test_setup_teardown(
		crowd_counts_in_a_hashed_queue, set_up, tear_down),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
