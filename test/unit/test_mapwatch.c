#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "agent/mapwatch.h"

static char dir[] = "/tmp/mapwatch-XXXXXX";
static char path[64], table[80];

static void
write_file(const char *text)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0600);

	assert_true(fd >= 0);
	assert_int_equal(write(fd, text, strlen(text)), strlen(text));
	assert_int_equal(close(fd), 0);
}

static int
set_up(void **state)
{
	(void)state;
	assert_non_null(mkdtemp(dir));
	(void)snprintf(path, sizeof(path), "%s/t.db", dir);
	(void)snprintf(table, sizeof(table), "hash:%s/t", dir);
	write_file("one");
	return 0;
}

static int
tear_down(void **state)
{
	(void)state;
	(void)unlink(path);
	return rmdir(dir);
}

static void
mapwatch_tells_a_changed_file(void **state)
{
	struct mapwatch *watch = mapwatch_new();

	(void)state;
	mapwatch_add(watch, table);
	assert_null(mapwatch_changed(watch, MAPWATCH_EVERY_MS));
	write_file("another length");
	assert_string_equal(
	    mapwatch_changed(watch, 2 * MAPWATCH_EVERY_MS), table);
	mapwatch_free(&watch);
}

static void
mapwatch_looks_only_now_and_then(void **state)
{
	struct mapwatch *watch = mapwatch_new();

	(void)state;
	mapwatch_add(watch, table);
	assert_null(mapwatch_changed(watch, MAPWATCH_EVERY_MS));
	write_file("changed again, longer");
	assert_null(mapwatch_changed(watch, 2 * MAPWATCH_EVERY_MS - 1));
	assert_non_null(mapwatch_changed(watch, 2 * MAPWATCH_EVERY_MS));
	mapwatch_free(&watch);
}

static void
mapwatch_waits_for_a_file_that_is_being_made(void **state)
{
	struct mapwatch *watch = mapwatch_new();

	(void)state;
	mapwatch_add(watch, table);
	assert_int_equal(unlink(path), 0);
	assert_null(mapwatch_changed(watch, MAPWATCH_EVERY_MS));
	write_file("new file of the same name");
	assert_non_null(mapwatch_changed(watch, 2 * MAPWATCH_EVERY_MS));
	mapwatch_free(&watch);
}

static void
mapwatch_ignores_tables_without_a_file(void **state)
{
	struct mapwatch *watch = mapwatch_new();
	char list[256];

	(void)state;
	(void)snprintf(list, sizeof(list),
	    "inline:{a=b}, static:x proxy:%s ldap:/none hash:/no/such", table);
	mapwatch_add(watch, list);
	mapwatch_add(watch, "");
	write_file("something else altogether");
	assert_null(mapwatch_changed(watch, MAPWATCH_EVERY_MS));
	mapwatch_free(&watch);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(mapwatch_tells_a_changed_file),
	    cmocka_unit_test(mapwatch_looks_only_now_and_then),
	    cmocka_unit_test(mapwatch_waits_for_a_file_that_is_being_made),
	    cmocka_unit_test(mapwatch_ignores_tables_without_a_file),
	};

	return cmocka_run_group_tests(tests, set_up, tear_down);
}
