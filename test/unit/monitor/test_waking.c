/* A process for a lane that has none. */
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "agent/state/recall_store.h"
#include "monitor/waking.h"
#include "test/support/statedir.h"

/* A postqueue that notes how often it was run, and what it says of it. */
static void
put_postqueue(const char *dir, const char *says)
{
	char path[200];
	FILE *f;

	(void)snprintf(path, sizeof(path), "%s/postqueue", dir);
	f = fopen(path, "w");
	assert_non_null(f);
	assert_true(
	    fprintf(f, "#!/bin/sh\necho run >>%s/runs\n%s\n", dir, says) > 0);
	assert_int_equal(fclose(f), 0);
	assert_int_equal(chmod(path, 0700), 0);
}

static size_t
runs(const char *dir)
{
	char path[200];
	struct stat st;

	(void)snprintf(path, sizeof(path), "%s/runs", dir);
	return stat(path, &st) == 0 ? (size_t)st.st_size / 4 : 0;
}

static const char *const ids[] = {"A1", "B2", "C3"};

static void
remove_deferred(const char *dir)
{
	char path[200];

	for (size_t i = 0; i < 3; i++) {
		(void)snprintf(
		    path, sizeof(path), "%s/deferred/%s", dir, ids[i]);
		assert_int_equal(unlink(path), 0);
	}
	(void)snprintf(path, sizeof(path), "%s/deferred", dir);
	assert_int_equal(rmdir(path), 0);
}

static void
note(const char *dir)
{
	struct statefile_dir d;
	struct recall_store *store;
	char path[200], why[256];

	(void)snprintf(path, sizeof(path), "%s/deferred", dir);
	assert_int_equal(mkdir(path, 0700), 0);
	assert_true(statefile_dir_open(&d, dir, why, sizeof(why)));
	store = recall_store_open(&d, "lane");
	for (size_t i = 0; i < 3; i++) {
		int fd;

		recall_store_add(store, i + 1, ids[i]);
		(void)snprintf(path, sizeof(path), "deferred/%s", ids[i]);
		fd = openat(d.fd, path, O_CREAT | O_WRONLY, 0700);
		assert_true(fd >= 0);
		(void)close(fd);
	}
	recall_store_close(&store);
	statefile_dir_close(&d);
}

static size_t
run(char *dir, char *why, size_t n)
{
	char none[] = "";
	struct settings set = {
	    .config_directory = dir,
	    .queue_directory = dir,
	    .command_directory = dir,
	    .hash_queue_names = none,
	    .hash_queue_depth = 1,
	};

	return waking_run(dir, "lane", &set, why, n);
}

static void
one_of_each_list_is_asked_for(void **state)
{
	char why[100];
	size_t count;

	note(*state);
	put_postqueue(*state, "exit 0");
	count = run(*state, why, sizeof(why));
	remove_deferred(*state);
	assert_int_equal(count, 3);
	assert_int_equal(runs(*state), 3);
	assert_string_equal(why, "");
}

/* As with a Postfix that is stopped, and thousands that are noted. */
static void
first_failure_is_the_last_and_is_told(void **state)
{
	char why[100];
	size_t count;

	note(*state);
	put_postqueue(*state, "echo 'postqueue: it is down' >&2; exit 69");
	count = run(*state, why, sizeof(why));
	remove_deferred(*state);
	assert_int_equal(count, 0);
	assert_int_equal(runs(*state), 1);
	assert_string_equal(why, "postqueue: it is down");
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    IN_STATEDIR(one_of_each_list_is_asked_for),
	    IN_STATEDIR(first_failure_is_the_last_and_is_told),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
