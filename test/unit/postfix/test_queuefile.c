#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "agent/postfix/queuefile.h"

static const char octets[] = "CTSRRDE";
static char dir[] = "/tmp/queuefile.XXXXXX", path[64], other[64];

static int
set_up(void **state)
{
	(void)state;
	memcpy(dir + sizeof(dir) - 7, "XXXXXX", 6);
	assert_non_null(mkdtemp(dir));
	snprintf(path, sizeof(path), "%s/file", dir);
	snprintf(other, sizeof(other), "%s/other", dir);
	return 0;
}

static int
tear_down(void **state)
{
	(void)state;
	unlink(path);
	unlink(other);
	rmdir(path);
	return rmdir(dir);
}

static void
write_file(const char *name, mode_t mode)
{
	int fd = open(name, O_WRONLY | O_CREAT | O_TRUNC, 0600);

	assert_int_equal(
	    write(fd, octets, sizeof(octets) - 1), sizeof(octets) - 1);
	assert_int_equal(fchmod(fd, mode), 0);
	close(fd);
}

static void
assert_refused(enum queuefile_result want)
{
	struct queuefile file = {.fd = -1};
	int64_t size = 0;

	assert_int_equal(queuefile_open(&file, path, &size), want);
	assert_int_equal(file.fd, -1);
	assert_true(queuefile_result_text(want)[0] != '\0');
}

static bool
is_locked(void)
{
	int fd = open(path, O_RDWR);
	bool locked = flock(fd, LOCK_EX | LOCK_NB) != 0;

	close(fd);
	return locked;
}

static void
queuefile_is_locked_while_it_is_open(void **state)
{
	struct queuefile file = {.fd = -1};
	int64_t size = 0;
	char p[8];

	(void)state;
	write_file(path, 0700);
	assert_int_equal(queuefile_open(&file, path, &size), QUEUEFILE_OK);
	assert_int_equal(size, 7);
	assert_true(fcntl(file.fd, F_GETFD) & FD_CLOEXEC);
	assert_int_equal(queuefile_read_at(&file, p, sizeof(p), 2), 5);
	assert_memory_equal(p, "SRRDE", 5);
	assert_int_equal(queuefile_read_at(&file, p, sizeof(p), 7), 0);
	assert_true(is_locked());
	queuefile_close(&file);
	assert_false(is_locked());
	queuefile_close(&file);
}

static void
queuefile_that_is_gone_incomplete_or_no_file_is_refused(void **state)
{
	(void)state;
	assert_refused(QUEUEFILE_MISSING);
	write_file(path, 0600);
	assert_refused(QUEUEFILE_UNSOUND);
	write_file(path, 0400);
	assert_refused(QUEUEFILE_UNSOUND);
	unlink(path);
	assert_int_equal(mkdir(path, 0700), 0);
	assert_refused(QUEUEFILE_UNSOUND);
	rmdir(path);
	assert_int_equal(mkfifo(path, 0700), 0);
	assert_refused(QUEUEFILE_UNSOUND);
	unlink(path);
	write_file(other, 0700);
	assert_int_equal(symlink("other", path), 0);
	assert_refused(QUEUEFILE_UNSOUND);
}

static void
queuefile_held_by_somebody_else_is_refused(void **state)
{
	int fd;

	(void)state;
	write_file(path, 0700);
	fd = open(path, O_RDWR);
	assert_int_equal(flock(fd, LOCK_EX), 0);
	assert_refused(QUEUEFILE_LOCKED);
	close(fd);
}

/* Damage is told as damage, whatever call failed before. */
static void
assert_not_marked(struct queuefile *file, int64_t off, const char *why)
{
	const int before[] = {0, ENOSPC};

	for (int i = 0; i < 2; i++) {
		errno = before[i];
		assert_string_equal(queuefile_mark(file, off), why);
	}
}

static void
queuefile_marks_only_recipients_that_are_to_do(void **state)
{
	struct queuefile file = {.fd = -1};
	struct stat st;
	int64_t size = 0;
	char p[8];

	(void)state;
	write_file(path, 0700);
	assert_not_marked(&file, 3, "the queue file is not open");
	assert_string_equal(
	    queuefile_mark_corrupt(&file), "the queue file is not open");
	assert_int_equal(queuefile_open(&file, path, &size), QUEUEFILE_OK);
	assert_not_marked(&file, 2, "the queue file has no recipient there");
	assert_not_marked(&file, 7, "the queue file ends before it");
	assert_not_marked(&file, -1, "bad offset");
	assert_null(queuefile_mark(&file, 3));
	assert_not_marked(&file, 3, "it is marked already");
	assert_int_equal(queuefile_read_at(&file, p, sizeof(p), 0), 7);
	assert_memory_equal(p, "CTSDRDE", 7);
	assert_null(queuefile_mark_corrupt(&file));
	assert_int_equal(stat(path, &st), 0);
	assert_int_equal(st.st_mode & 07777, 0400);
	queuefile_close(&file);
}

/* The first look at the content sees the envelope before it, too; the lock
 * keeps others from changing it. */
static void
queuefile_marks_what_it_has_seen_without_another_look(void **state)
{
	struct queuefile file = {.fd = -1};
	int64_t size = 0;
	char p[8];
	int fd;

	(void)state;
	write_file(path, 0700);
	assert_int_equal(queuefile_open(&file, path, &size), QUEUEFILE_OK);
	assert_int_equal(queuefile_read_at(&file, p, sizeof(p), 5), 2);
	assert_memory_equal(p, "DE", 2);
	fd = open(path, O_RDWR);
	assert_int_equal(pwrite(fd, "?", 1, 3), 1);
	assert_null(queuefile_mark(&file, 3));
	assert_int_equal(pread(fd, p, 7, 0), 7);
	assert_memory_equal(p, "CTSDRDE", 7);
	assert_not_marked(&file, 3, "it is marked already");
	assert_not_marked(&file, 2, "the queue file has no recipient there");
	assert_not_marked(&file, 5, "it is marked already");
	assert_null(queuefile_mark(&file, 4));
	assert_not_marked(&file, 4, "it is marked already");
	close(fd);
	queuefile_close(&file);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    TEST(queuefile_is_locked_while_it_is_open),
	    TEST(queuefile_that_is_gone_incomplete_or_no_file_is_refused),
	    TEST(queuefile_held_by_somebody_else_is_refused),
	    TEST(queuefile_marks_only_recipients_that_are_to_do),
	    TEST(queuefile_marks_what_it_has_seen_without_another_look),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
