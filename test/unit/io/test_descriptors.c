#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <fcntl.h>
#include <sys/resource.h>
#include <unistd.h>

#include "agent/io/descriptors.h"

static void
descriptors_are_counted(void **state)
{
	struct descriptors before, after;
	struct rlimit limit;
	int fd;

	(void)state;
	descriptors_look(&before);
	assert_int_equal(getrlimit(RLIMIT_NOFILE, &limit), 0);
	assert_int_equal(before.limit, limit.rlim_cur);
	fd = open("/dev/null", O_RDONLY);
	descriptors_look(&after);
	assert_int_equal(after.in_use, before.in_use + 1);
	close(fd);
}

static int
sum(const struct descriptors *d)
{
	return d->in_use + d->kept + d->conversations + d->sessions +
	       2 * d->requests;
}

/* Whatever the limit: never more than there are, and one of each or no. */
static void
descriptors_are_never_promised_twice(void **state)
{
	(void)state;
	for (int limit = 0; limit < 3000; limit++) {
		struct descriptors d = {.limit = limit, .in_use = 18};
		int needed;

		if (descriptors_plan(&d, 20, 16, &needed)) {
			assert_true(limit >= needed);
			assert_true(sum(&d) <= limit);
			assert_in_range(d.sessions, 1, 20);
			assert_in_range(d.requests, d.sessions, limit);
			assert_in_range(d.conversations, 1, 16);
			assert_true(d.kept >= 10);
		} else {
			assert_true(limit < needed);
		}
		assert_int_equal(needed, 32);
	}
}

static void
descriptors_that_abound_limit_nothing(void **state)
{
	struct descriptors d = {.limit = 4096, .in_use = 20};
	int needed;

	(void)state;
	assert_true(descriptors_plan(&d, 20, 16, &needed));
	assert_int_equal(d.sessions, 20);
	assert_true(d.requests > 1500);
	assert_int_equal(d.conversations, 16);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(descriptors_are_counted),
	    cmocka_unit_test(descriptors_are_never_promised_twice),
	    cmocka_unit_test(descriptors_that_abound_limit_nothing),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
