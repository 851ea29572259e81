/* Messages that a lane's next process calls back. */
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "agent/state/recall_store.h"
#include "common/base/log.h"
#include "test/support/statedir.h"

enum { RECORD = 32 };

static size_t warnings;
static char last[300];

static void
on_line(void *ctx, enum log_level level, const char *line)
{
	(void)ctx;
	if (level != LOG_LEVEL_WARN)
		return;
	warnings++;
	(void)snprintf(last, sizeof(last), "%s", line);
}

static struct statefile_dir
open_dir(void **state)
{
	struct statefile_dir d;
	char why[256];

	warnings = 0;
	log_set_sink(on_line, NULL);
	assert_true(statefile_dir_open(&d, *state, why, sizeof(why)));
	return d;
}

struct found {
	char text[400]; /* "LIST:ID LIST:ID", of the first */
	size_t count;
	char first[RECALL_ID_SIZE], last[RECALL_ID_SIZE];
};

static void
on_each(void *ctx, uint64_t list, const char *queue_id)
{
	struct found *f = ctx;
	size_t n = strlen(f->text);

	if (f->count++ == 0)
		(void)snprintf(f->first, sizeof(f->first), "%s", queue_id);
	(void)snprintf(f->last, sizeof(f->last), "%s", queue_id);
	if (n + 60 < sizeof(f->text))
		(void)snprintf(f->text + n, sizeof(f->text) - n, "%s%llu:%s",
		    n > 0 ? " " : "", (unsigned long long)list, queue_id);
}

/* As the next process of the lane finds it. */
static struct found
find(const struct statefile_dir *d)
{
	struct recall_store *store = recall_store_open(d, "lane");
	struct found f = {.count = 0};

	recall_store_each(store, on_each, &f);
	recall_store_close(&store);
	return f;
}

static int
open_file(const struct statefile_dir *d)
{
	char name[64];
	int fd;

	recall_name("lane", name, sizeof(name));
	fd = openat(d->fd, name, O_RDWR | O_CLOEXEC);
	assert_true(fd >= 0);
	return fd;
}

static off_t
size_of(const struct statefile_dir *d)
{
	struct stat st;
	int fd = open_file(d);

	assert_int_equal(fstat(fd, &st), 0);
	(void)close(fd);
	return st.st_size;
}

/* In a process that is killed. */
static void
note_two(void *ctx, int in, int out)
{
	struct recall_store *store = recall_store_open(ctx, "lane");

	(void)in;
	recall_store_add(store, 1, "A1");
	recall_store_add(store, 2, "B2");
	statedir_tell(out, 'n');
}

static void
the_next_process_finds_what_was_noted(void **state)
{
	struct statefile_dir d = open_dir(state);
	struct statedir_child child;
	struct found f;

	statedir_fork(&child, note_two, &d);
	(void)statedir_hear(child.from);
	(void)statedir_end(&child, 0);
	f = find(&d);
	assert_string_equal(f.text, "1:A1 2:B2");
	assert_int_equal(warnings, 0);
	statefile_dir_close(&d);
}

static void
what_was_called_back_is_not_found(void **state)
{
	struct statefile_dir d = open_dir(state);
	struct recall_store *store = recall_store_open(&d, "lane");

	recall_store_add(store, 1, "A1");
	recall_store_add(store, 2, "B2");
	recall_store_add(store, 1, "C3");
	assert_true(recall_store_done(store, 1));
	recall_store_add(store, 2, "B2");
	recall_store_add(store, 1, "D4");
	assert_string_equal(find(&d).text, "2:B2 1:D4");
	assert_true(recall_store_clear(store));
	assert_int_equal(find(&d).count, 0);
	assert_int_equal(size_of(&d), RECORD);
	recall_store_add(store, 1, "E5");
	assert_string_equal(find(&d).text, "1:E5");
	recall_store_close(&store);
	statefile_dir_close(&d);
}

/* A process that drains writes to the same file. */
static void
two_processes_lose_nothing_of_each_other(void **state)
{
	struct statefile_dir d = open_dir(state);
	struct recall_store *a = recall_store_open(&d, "lane");
	struct recall_store *b = recall_store_open(&d, "lane");

	recall_store_add(a, 1, "A1");
	recall_store_add(b, 1, "B2");
	recall_store_add(a, 1, "C3");
	assert_string_equal(find(&d).text, "1:A1 1:B2 1:C3");
	recall_store_close(&a);
	recall_store_close(&b);
	statefile_dir_close(&d);
}

/* The one that calls back takes nothing away that it has not found. */
static void
what_is_noted_meanwhile_is_found_before_it_is_taken_away(void **state)
{
	struct statefile_dir d = open_dir(state);
	struct recall_store *old = recall_store_open(&d, "lane");
	struct recall_store *new = recall_store_open(&d, "lane");
	struct found f = {.count = 0};

	recall_store_add(old, 1, "A1");
	recall_store_each(new, on_each, &f);
	recall_store_add(old, 1, "B2");
	recall_store_add(new, 2, "C3");
	recall_store_add(old, 3, "D4");
	assert_false(recall_store_done(new, 1));
	assert_false(recall_store_clear(new));
	recall_store_each(new, on_each, &f);
	assert_string_equal(f.text, "1:A1 1:B2 3:D4");
	recall_store_each(new, on_each, &f);
	assert_int_equal(f.count, 3);
	assert_true(recall_store_done(new, 1));
	assert_string_equal(find(&d).text, "2:C3 3:D4");
	assert_true(recall_store_clear(new));
	/* As many as were there before it was cut. */
	for (int i = 0; i < 6; i++)
		recall_store_add(old, 4, "E5");
	assert_false(recall_store_clear(new));
	recall_store_each(new, on_each, &f);
	assert_string_equal(f.text, "1:A1 1:B2 3:D4 4:E5");
	recall_store_each(old, on_each, &f);
	assert_true(recall_store_clear(new));
	assert_int_equal(size_of(&d), RECORD);
	/* More than the other had read before it was cut. */
	for (int i = 0; i < 9; i++) {
		char id[20];

		(void)snprintf(id, sizeof(id), "F%d", i);
		recall_store_add(new, 5, id);
	}
	f.count = 0;
	recall_store_each(old, on_each, &f);
	assert_int_equal(f.count, 9);
	assert_string_equal(f.first, "F0");
	recall_store_close(&old);
	recall_store_close(&new);
	statefile_dir_close(&d);
}

/* As a power failure leaves a file that is not synced. */
static void
hole_takes_nothing_away(void **state)
{
	struct statefile_dir d = open_dir(state);
	struct recall_store *store = recall_store_open(&d, "lane");
	int fd;

	recall_store_add(store, 0, "A1");
	recall_store_add(store, 1, "B2");
	fd = open_file(&d);
	assert_int_equal(ftruncate(fd, 5 * (off_t)RECORD), 0);
	(void)close(fd);
	assert_string_equal(find(&d).text, "0:A1 1:B2");
	recall_store_close(&store);
	statefile_dir_close(&d);
}

/* However often others are. */
static void
list_that_is_done_stays_done(void **state)
{
	struct statefile_dir d = open_dir(state);
	struct recall_store *store = recall_store_open(&d, "lane");

	recall_store_add(store, 1, "A1");
	recall_store_add(store, 2, "B2");
	(void)recall_store_done(store, 1);
	for (int i = 0; i < 300; i++)
		(void)recall_store_done(store, 3);
	assert_string_equal(find(&d).text, "2:B2");
	recall_store_close(&store);
	statefile_dir_close(&d);
}

static void
nonsense_is_passed_over_and_a_torn_end_written_over(void **state)
{
	struct statefile_dir d = open_dir(state);
	struct recall_store *store = recall_store_open(&d, "lane");
	static const char path[RECORD] = "\1\0\0\0\0\0\0\0../../etc/passwd";
	static const char endless[RECORD] =
	    "\1\0\0\0\0\0\0\0ABCDEFABCDEFABCDEFABCDE"
	    "F";
	int fd;

	recall_store_add(store, 1, "A1");
	fd = open_file(&d);
	assert_int_equal(pwrite(fd, path, RECORD, 2 * RECORD), RECORD);
	assert_int_equal(pwrite(fd, endless, RECORD, 3 * RECORD), RECORD);
	assert_int_equal(pwrite(fd, path, 7, 4 * RECORD), 7);
	(void)close(fd);
	recall_store_add(store, 1, "B2");
	assert_string_equal(find(&d).text, "1:A1 1:B2");
	assert_int_equal(size_of(&d), 5 * RECORD);
	recall_store_add(store, 1, "muchtoolongforanyqueueidofthisworld");
	assert_int_equal(size_of(&d), 5 * RECORD);
	assert_int_equal(warnings, 0);
	recall_store_close(&store);
	statefile_dir_close(&d);
}

static void
file_that_is_damaged_or_removed_is_made_anew(void **state)
{
	struct statefile_dir d = open_dir(state);
	struct recall_store *store = recall_store_open(&d, "lane");
	char name[64];
	int fd;

	recall_store_add(store, 1, "A1");
	fd = open_file(&d);
	assert_int_equal(pwrite(fd, "nonsense", 8, 0), 8);
	(void)close(fd);
	recall_store_add(store, 1, "B2");
	assert_string_equal(find(&d).text, "1:B2");
	assert_int_equal(warnings, 1);
	recall_name("lane", name, sizeof(name));
	assert_int_equal(unlinkat(d.fd, name, 0), 0);
	recall_store_add(store, 1, "C3");
	assert_string_equal(find(&d).text, "1:C3");
	recall_store_close(&store);
	statefile_dir_close(&d);
}

static void
set_version(const struct statefile_dir *d, char version)
{
	int fd = open_file(d);

	assert_int_equal(pwrite(fd, &version, 1, 0), 1);
	(void)close(fd);
}

static void
recall_of_another_version_is_made_anew_and_left_while_open(void **state)
{
	struct statefile_dir d = open_dir(state);
	struct recall_store *store = recall_store_open(&d, "lane");

	recall_store_add(store, 1, "A1");
	set_version(&d, 2);
	recall_store_add(store, 1, "B2");
	assert_int_equal(warnings, 1);
	assert_non_null(strstr(last, "another release"));
	recall_store_add(store, 1, "C3");
	(void)recall_store_clear(store);
	assert_int_equal(warnings, 1);
	assert_int_equal(size_of(&d), 2 * RECORD);
	recall_store_close(&store);
	assert_int_equal(find(&d).count, 0);
	assert_int_equal(warnings, 2);
	assert_non_null(strstr(last, "of version 2, this release has version"));
	statefile_dir_close(&d);
}

/* Of very many the newest are kept, each once. */
static void
file_is_bounded(void **state)
{
	struct statefile_dir d = open_dir(state);
	struct recall_store *store = recall_store_open(&d, "lane");
	struct found f;
	char id[RECALL_ID_SIZE];

	for (int i = 0; i < RECALL_RECORDS; i++) {
		(void)snprintf(id, sizeof(id), "%X", i / 10);
		recall_store_add(store, 1, id);
	}
	recall_store_add(store, 1, "FFFFFF");
	assert_int_equal(
	    size_of(&d), (RECALL_RECORDS / 10 + 2) * (off_t)RECORD);
	f = find(&d);
	assert_int_equal(f.count, RECALL_RECORDS / 10 + 1);
	assert_string_equal(f.first, "0");
	assert_string_equal(f.last, "FFFFFF");
	recall_store_close(&store);
	statefile_dir_close(&d);
}

/* One warning, and what was there stays. */
static void
full_disk_costs_what_does_not_fit(void **state)
{
	struct statefile_dir d = open_dir(state);
	struct recall_store *store = recall_store_open(&d, "lane");
	struct rlimit before, small;

	assert_int_equal(getrlimit(RLIMIT_FSIZE, &before), 0);
	small = before;
	small.rlim_cur = 2 * RECORD + 5;
	recall_store_add(store, 1, "A1");
	(void)signal(SIGXFSZ, SIG_IGN);
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &small), 0);
	recall_store_add(store, 1, "B2");
	recall_store_add(store, 1, "C3");
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &before), 0);
	assert_int_equal(warnings, 1);
	recall_store_add(store, 1, "D4");
	assert_string_equal(find(&d).text, "1:A1 1:D4");
	recall_store_close(&store);
	statefile_dir_close(&d);
}

static void
without_a_directory_nothing_is_kept(void **state)
{
	struct recall_store *store = recall_store_open(NULL, "lane");
	struct found f = {.count = 0};

	(void)state;
	recall_store_add(store, 1, "A1");
	(void)recall_store_done(store, 1);
	(void)recall_store_clear(store);
	recall_store_each(store, on_each, &f);
	assert_int_equal(f.count, 0);
	recall_store_close(&store);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    IN_STATEDIR(the_next_process_finds_what_was_noted),
	    IN_STATEDIR(what_was_called_back_is_not_found),
	    IN_STATEDIR(two_processes_lose_nothing_of_each_other),
	    IN_STATEDIR(
		what_is_noted_meanwhile_is_found_before_it_is_taken_away),
	    IN_STATEDIR(hole_takes_nothing_away),
	    IN_STATEDIR(list_that_is_done_stays_done),
	    IN_STATEDIR(nonsense_is_passed_over_and_a_torn_end_written_over),
	    IN_STATEDIR(file_that_is_damaged_or_removed_is_made_anew),
	    IN_STATEDIR(
		recall_of_another_version_is_made_anew_and_left_while_open),
	    IN_STATEDIR(file_is_bounded),
	    IN_STATEDIR(full_disk_costs_what_does_not_fit),
	    cmocka_unit_test(without_a_directory_nothing_is_kept),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
