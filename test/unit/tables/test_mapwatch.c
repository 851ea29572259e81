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

#include "agent/tables/mapwatch.h"
#include "test/support/statedir.h"

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

static void
ignore_answer(
    void *ctx, enum maps_result result, const char *value, const char *error)
{
	(void)ctx;
	(void)value;
	(void)error;
	assert_int_equal(result, MAPS_ERROR);
}

/* What was not missed may be dead for good. */
static void
mapwatch_restarts_for_a_table_that_was_dead_and_missed(void **state)
{
	struct maps_env env = {.command_directory = "/nonexistent"};
	struct maps *maps = maps_open(&env, "x", "tcp:127.0.0.1:1", NULL);
	struct mapwatch *watch = mapwatch_new();
	int64_t now = MAPWATCH_EVERY_MS;

	(void)state;
	mapwatch_follow(watch, maps);
	maps_preload(maps, "host");
	assert_null(mapwatch_changed(watch, now));
	now += MAPWATCH_MISSED_MS;
	assert_null(mapwatch_changed(watch, now));
	assert_null(maps_find(maps, "host", ignore_answer, NULL));
	now += MAPWATCH_EVERY_MS;
	assert_string_equal(mapwatch_changed(watch, now), "tcp:127.0.0.1:1");
	mapwatch_free(&watch);
	maps_close(&maps);
}

static void
mapwatch_sees_tables_inside_of_others(void **state)
{
	struct mapwatch *watch = mapwatch_new();
	char list[600];

	(void)state;
	(void)snprintf(
	    list, sizeof(list), "unionmap:{inline:{a=b}, %s}", table);
	mapwatch_add(watch, list);
	assert_null(mapwatch_changed(watch, MAPWATCH_EVERY_MS));
	write_file("of yet another length");
	assert_string_equal(
	    mapwatch_changed(watch, 2 * MAPWATCH_EVERY_MS), table);
	mapwatch_free(&watch);
}

/* As a lane does: adds the table as root, then chroot and another user. 'y'
 * or 'n' for each 'x' heard. */
static void
watch_in_jail(void *ctx, int in, int out)
{
	struct mapwatch *watch = mapwatch_new();
	int64_t now = MAPWATCH_EVERY_MS;

	mapwatch_add(watch, table);
	if (chroot(ctx) != 0 || chdir("/") != 0 || setgid(65534) != 0 ||
	    setuid(65534) != 0)
		_exit(1);
	statedir_tell(out, 'r');
	while (statedir_hear(in) == 'x') {
		now += MAPWATCH_EVERY_MS;
		statedir_tell(
		    out, mapwatch_changed(watch, now) != NULL ? 'y' : 'n');
	}
	mapwatch_free(&watch);
}

static char
ask(const struct statedir_child *child)
{
	statedir_tell(child->to, 'x');
	return statedir_hear(child->from);
}

static void
mapwatch_sees_out_of_a_chroot(void **state)
{
	static const mode_t modes[] = {0755, 0700};

	(void)state;
	for (int i = 0; i < 2; i++) {
		struct statedir_child child;
		char *jail = statedir_make();

		assert_int_equal(chmod(dir, modes[i]), 0);
		write_file("before");
		statedir_fork(&child, watch_in_jail, jail);
		assert_int_equal(statedir_hear(child.from), 'r');
		assert_int_equal(ask(&child), 'n');
		write_file("behind its back");
		assert_int_equal(ask(&child), 'y');
		statedir_tell(child.to, '.');
		(void)statedir_end(&child, 0);
		statedir_remove(&jail);
	}
}

/* More than the kernel keeps: the table's event is lost. */
static void
write_much_else(void)
{
	char other[80];
	long most = 16384;
	FILE *limit = fopen("/proc/sys/fs/inotify/max_queued_events", "r");

	if (limit != NULL) {
		assert_int_equal(fscanf(limit, "%ld", &most), 1);
		(void)fclose(limit);
	}
	assert_true(most < 1000000);
	for (long i = 0; i <= most; i++) {
		/* two names: one event after the other of one would be one */
		(void)snprintf(other, sizeof(other), "%s/other%ld", dir, i % 2);
		(void)close(open(other, O_WRONLY | O_CREAT, 0600));
	}
}

static void
mapwatch_that_was_told_too_much_believes_the_worst(void **state)
{
	struct statedir_child child;
	char *jail = statedir_make();

	(void)state;
	assert_int_equal(chmod(dir, 0700), 0);
	statedir_fork(&child, watch_in_jail, jail);
	assert_int_equal(statedir_hear(child.from), 'r');
	assert_int_equal(ask(&child), 'n');
	write_much_else();
	write_file("not heard of");
	for (char name = '0'; name <= '1'; name++) {
		char other[80];

		(void)snprintf(other, sizeof(other), "%s/other%c", dir, name);
		assert_int_equal(unlink(other), 0);
	}
	assert_int_equal(ask(&child), 'y');
	statedir_tell(child.to, '.');
	(void)statedir_end(&child, 0);
	statedir_remove(&jail);
}

static void
mapwatch_follows_a_link(void **state)
{
	struct mapwatch *watch = mapwatch_new();
	char other[80], link[80];

	(void)state;
	(void)snprintf(link, sizeof(link), "hash:%s/link", dir);
	(void)snprintf(other, sizeof(other), "%s/link.db", dir);
	assert_int_equal(symlink("t.db", other), 0);
	mapwatch_add(watch, link);
	assert_null(mapwatch_changed(watch, MAPWATCH_EVERY_MS));
	write_file("what the link leads to");
	assert_string_equal(
	    mapwatch_changed(watch, 2 * MAPWATCH_EVERY_MS), link);
	mapwatch_free(&watch);
	assert_int_equal(unlink(other), 0);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(mapwatch_tells_a_changed_file),
	    cmocka_unit_test(mapwatch_looks_only_now_and_then),
	    cmocka_unit_test(mapwatch_waits_for_a_file_that_is_being_made),
	    cmocka_unit_test(mapwatch_ignores_tables_without_a_file),
	    cmocka_unit_test(
		mapwatch_restarts_for_a_table_that_was_dead_and_missed),
	    cmocka_unit_test(mapwatch_sees_tables_inside_of_others),
	    cmocka_unit_test(mapwatch_sees_out_of_a_chroot),
	    cmocka_unit_test(
		mapwatch_that_was_told_too_much_believes_the_worst),
	    cmocka_unit_test(mapwatch_follows_a_link),
	};

	return cmocka_run_group_tests(tests, set_up, tear_down);
}
