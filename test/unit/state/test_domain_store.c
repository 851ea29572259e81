/* Limits by recipient domain across processes. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "agent/state/domain_store.h"
#include "common/base/clock.h"
#include "common/base/log.h"
#include "test/support/statedir.h"

static const struct pacer_cost one = {.units = {1, 1, 1}};
static size_t warnings;

static void
count_warnings(void *ctx, enum log_level level, const char *line)
{
	(void)ctx;
	(void)line;
	warnings += level == LOG_LEVEL_WARN;
}

static struct domains *
make(const char *text)
{
	struct domains *d = domains_new();
	char error[256];

	assert_true(domains_add_list(d, text, NULL, error, sizeof(error)));
	return d;
}

/* In a process that is killed. */
static void
take_one(void *ctx, int in, int out)
{
	struct domains *d = make("a.test=1/1h:1");
	struct domain *dom = domains_find(d, slice_str("a.test"));

	(void)in;
	(void)domain_store_open(d, ctx, "lane");
	domain_hold(dom, clock_mono_us());
	domain_take(dom, &one, clock_mono_us());
	statedir_tell(out, 't');
}

static int64_t
wait_us(const struct statefile_dir *dir, const char *lane_name)
{
	struct domains *d = make("a.test=1/1h:1");
	struct domain *dom = domains_find(d, slice_str("a.test"));
	struct domain_store *book = domain_store_open(d, dir, lane_name);
	int64_t wait;

	domain_hold(dom, clock_mono_us());
	wait = domain_wait_us(dom, &one, clock_mono_us());
	domain_store_close(&book);
	domains_free(&d);
	return wait;
}

static void
token_that_a_killed_process_took_is_gone(void **state)
{
	struct statedir_child child;
	struct statefile_dir dir;
	char *path = statedir_make(), why[256];

	(void)state;
	assert_true(statefile_dir_open(&dir, path, why, sizeof(why)));
	assert_int_equal(wait_us(&dir, "lane"), 0);
	statedir_fork(&child, take_one, &dir);
	assert_int_equal(statedir_hear(child.from), 't');
	(void)statedir_end(&child, 0);
	assert_true(wait_us(&dir, "lane") > 3500 * INT64_C(1000000));
	/* Each lane has its own. */
	assert_int_equal(wait_us(&dir, "other"), 0);
	statefile_dir_close(&dir);
	statedir_remove(&path);
}

static void
without_a_directory_limits_hold_in_memory(void **state)
{
	struct domains *none = domains_new();

	(void)state;
	warnings = 0;
	log_set_sink(count_warnings, NULL);
	assert_null(domain_store_open(none, NULL, "lane"));
	assert_int_equal(warnings, 0);
	assert_int_equal(wait_us(NULL, "lane"), 0);
	assert_int_equal(warnings, 1);
	log_set_sink(NULL, NULL);
	domains_free(&none);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(token_that_a_killed_process_took_is_gone),
	    cmocka_unit_test(without_a_directory_limits_hold_in_memory),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
