/* The record of what setup has done: as it was written, finished or not. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/mem.h"
#include "monitor/setuprecord.h"
#include "test/support/scratch.h"

static char nexthop[] = "[mail.example.com]:587";

static json_t *
made(void)
{
	struct setupplan plan = {.nexthop = nexthop, .tls_level = "secure"};
	json_t *hunks = json_pack("[{s:s}]", "new", "fast unix - - n\n"),
	       *record;

	scratch_write("lane_login", "[mail.example.com]:587 user:secret-word");
	plan.login = mem_strdup(scratch_path("lane_login"));
	plan.transport = mem_strdup(scratch_path("lane_transport"));
	record = setuprecord_make(&plan, hunks);
	json_decref(hunks);
	mem_free(plan.login);
	mem_free(plan.transport);
	return record;
}

static void
record_says_what_was_there_before(void **state)
{
	json_t *record = made();
	char *text = json_dumps(record, 0);

	(void)state;
	assert_string_equal(setuprecord_nexthop(record), nexthop);
	assert_string_equal(setuprecord_tls_level(record), "secure");
	assert_int_equal(json_array_size(setuprecord_hunks(record)), 1);
	assert_false(setuprecord_is_set(record, "no_login"));
	assert_false(setuprecord_is_set(record, "made_login"));
	assert_true(setuprecord_is_set(record, "had_login"));
	assert_true(setuprecord_is_set(record, "unended_login"));
	assert_true(setuprecord_is_set(record, "made_transport"));
	assert_null(strstr(text, "secret-word"));
	json_decref(record);
	free(text);
}

/* What there is of logins is none of this record's. */
static void
record_without_a_login_has_made_none(void **state)
{
	struct setupplan plan = {.nexthop = nexthop, .is_loginless = true};
	json_t *hunks = json_array(), *record;

	(void)state;
	plan.login = mem_strdup(scratch_path("no_such_login"));
	plan.transport = mem_strdup(scratch_path("no_such_transport"));
	record = setuprecord_make(&plan, hunks);
	assert_true(setuprecord_is_set(record, "no_login"));
	assert_string_equal(setuprecord_tls_level(record), "");
	assert_false(setuprecord_is_set(record, "made_login"));
	json_decref(record);
	json_decref(hunks);
	mem_free(plan.login);
	mem_free(plan.transport);
}

static void
record_is_unfinished_until_it_is_written_as_finished(void **state)
{
	char *path = setupplan_path(scratch_dir(), "", "setup.json"), *seen;
	json_t *record = made(), *read;

	(void)state;
	assert_false(setuprecord_exists(path));
	assert_null(setuprecord_read(path));
	assert_null(setuprecord_nexthop_of(scratch_dir(), ""));
	assert_false(setuprecord_is_unfinished(scratch_dir(), ""));
	assert_true(setuprecord_write(path, record, true));
	assert_true(setuprecord_is_unfinished(scratch_dir(), ""));
	assert_false(setuprecord_is_unfinished(scratch_dir(), "other"));
	/* Undo finishes what it has read, marked or not. */
	read = setuprecord_read(path);
	assert_true(setuprecord_is_set(read, "unfinished"));
	assert_true(setuprecord_write(path, read, false));
	json_decref(read);
	assert_false(setuprecord_is_unfinished(scratch_dir(), ""));
	read = setuprecord_read(path);
	assert_true(json_equal(read, record));
	json_decref(read);
	seen = setuprecord_nexthop_of(scratch_dir(), "");
	assert_string_equal(seen, nexthop);
	mem_free(seen);
	mem_free(path);
	json_decref(record);
}

static void
record_that_is_none_is_not_read(void **state)
{
	static const char *const texts[] = {
	    "", "[]", "{\"nexthop\": ", "7", "{\"nexthop\": 7}"};
	char *path = setupplan_path(scratch_dir(), "bad", "setup.json");

	(void)state;
	for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
		scratch_write("bad_setup.json", texts[i]);
		assert_true(setuprecord_exists(path));
		assert_null(setuprecord_nexthop_of(scratch_dir(), "bad"));
		assert_false(setuprecord_is_unfinished(scratch_dir(), "bad"));
	}
	mem_free(path);
}

static void
record_that_cannot_be_written_is_told(void **state)
{
	json_t *record = made();

	(void)state;
	errno = 0;
	assert_false(setuprecord_write(
	    scratch_path("no-such-directory/setup.json"), record, true));
	assert_int_equal(errno, ENOENT);
	json_decref(record);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(record_says_what_was_there_before),
	    cmocka_unit_test(record_without_a_login_has_made_none),
	    cmocka_unit_test(
		record_is_unfinished_until_it_is_written_as_finished),
	    cmocka_unit_test(record_that_is_none_is_not_read),
	    cmocka_unit_test(record_that_cannot_be_written_is_told),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
