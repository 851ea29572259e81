#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "agent/token/refresh_file.h"
#include "common/base/mem.h"
#include "test/support/scratch.h"

static const char *path;

static int
fresh(void)
{
	int fd;

	path = scratch_path("work.refresh");
	(void)unlink(path);
	fd = refresh_file_open(AT_FDCWD, path);
	assert_true(fd >= 0);
	return fd;
}

static void
expect(int fd, const char *token)
{
	char *found = NULL;

	assert_int_equal(refresh_file_read(fd, &found), REFRESH_OK);
	assert_string_equal(found, token);
	mem_free(found);
}

static void
new_file_has_none(void **state)
{
	int fd = fresh();
	char *found = NULL;
	struct stat st;

	(void)state;
	assert_int_equal(refresh_file_read(fd, &found), REFRESH_NONE);
	assert_int_equal(fstat(fd, &st), 0);
	assert_int_equal(st.st_mode & 07777, 0600);
	(void)close(fd);
}

static void
last_one_holds(void **state)
{
	int fd = fresh(), other;

	(void)state;
	for (int i = 0; i < 5; i++) {
		const char *const tokens[] = {"a", "bb", "ccc", "d", "e"};

		assert_true(refresh_file_write(fd, tokens[i]));
		expect(fd, tokens[i]);
	}
	other = refresh_file_open(AT_FDCWD, path);
	expect(other, "e");
	(void)close(other);
	(void)close(fd);
}

/* A shorter one leaves nothing of a longer one in its slot. */
static void
old_ones_are_overwritten(void **state)
{
	int fd = fresh();
	char octets[2 * REFRESH_SLOT + 1];

	(void)state;
	assert_true(refresh_file_write(fd, "first-long-long-long"));
	assert_true(refresh_file_write(fd, "second"));
	assert_true(refresh_file_write(fd, "third"));
	octets[pread(fd, octets, 2 * REFRESH_SLOT, 0)] = '\0';
	assert_null(memmem(octets, 2 * REFRESH_SLOT, "long", 4));
	expect(fd, "third");
	(void)close(fd);
}

/* What a power failure may leave in the slot that was being written. */
static void
broken_write_leaves_the_old_one(void **state)
{
	(void)state;
	for (int cut = 0; cut < 200; cut += 7) {
		int fd = fresh();
		char octets[REFRESH_SLOT];

		assert_true(refresh_file_write(fd, "old"));
		assert_int_equal(
		    pread(fd, octets, sizeof(octets), REFRESH_SLOT),
		    REFRESH_SLOT);
		assert_true(refresh_file_write(fd, "new-token-that-is-longer"));
		expect(fd, "new-token-that-is-longer");
		/* The second one is in slot 1: all but its first octets are
		 * what was there before. */
		assert_int_equal(
		    pwrite(fd, octets + cut, sizeof(octets) - (size_t)cut,
			REFRESH_SLOT + cut),
		    (ssize_t)sizeof(octets) - cut);
		if (cut < 14 + 2 + 65 + 24 + 1)
			expect(fd, "old");
		else
			/* the line was whole by then */
			expect(fd, "new-token-that-is-longer");
		/* And what comes next holds. */
		assert_true(refresh_file_write(fd, "third"));
		expect(fd, "third");
		(void)close(fd);
	}
}

/* Neither the token of this release nor one that was written by hand. */
static void
another_layout_is_refused(void **state)
{
	static const char *const texts[] = {
	    "refresh-token/2 1 sha3 0.AXoA-b_c\n",
	    "refresh-token 1 0.AXoA-b_c\n", "{\"refresh\": \"0.AXoA\"}\n"};

	(void)state;
	for (size_t i = 0; i < 3; i++) {
		char *found = NULL;
		int fd = fresh();

		(void)close(fd);
		scratch_write("work.refresh", texts[i]);
		assert_int_equal(chmod(path, 0600), 0);
		fd = refresh_file_open(AT_FDCWD, path);
		print_message("%s\n", texts[i]);
		assert_int_equal(refresh_file_read(fd, &found), REFRESH_BAD);
		assert_int_equal(errno, EILSEQ);
		assert_null(found);
		(void)close(fd);
	}
}

static void
hand_written_one_is_taken(void **state)
{
	static const char *const texts[] = {
	    "0.AXoA-b_c", "0.AXoA-b_c\n", "0.AXoA-b_c \r\n"};

	(void)state;
	for (size_t i = 0; i < 3; i++) {
		int fd = fresh();

		(void)close(fd);
		scratch_write("work.refresh", texts[i]);
		assert_int_equal(chmod(path, 0600), 0);
		fd = refresh_file_open(AT_FDCWD, path);
		expect(fd, "0.AXoA-b_c");
		/* It stands until the next one does. */
		assert_true(refresh_file_write(fd, "next"));
		expect(fd, "next");
		assert_true(refresh_file_write(fd, "after"));
		expect(fd, "after");
		(void)close(fd);
	}
}

static void
what_is_no_token_is_said(void **state)
{
	static const char *const texts[] = {
	    "two words", "a\nb\n", "refresh-token 1 zz x\n", "{\"a\": 1}"};
	char *found = NULL;

	(void)state;
	for (size_t i = 0; i < 4; i++) {
		int fd = fresh();

		(void)close(fd);
		scratch_write("work.refresh", texts[i]);
		assert_int_equal(chmod(path, 0600), 0);
		fd = refresh_file_open(AT_FDCWD, path);
		assert_int_equal(refresh_file_read(fd, &found), REFRESH_BAD);
		assert_int_equal(errno, EILSEQ);
		(void)close(fd);
	}
}

static void
others_must_not_reach_it(void **state)
{
	int fd = fresh();

	(void)state;
	(void)close(fd);
	assert_int_equal(chmod(path, 0640), 0);
	assert_int_equal(refresh_file_open(AT_FDCWD, path), -1);
	assert_int_equal(errno, EPERM);
	(void)unlink(path);
	assert_int_equal(symlink("/dev/null", path), 0);
	assert_int_equal(refresh_file_open(AT_FDCWD, path), -1);
	(void)unlink(path);
}

static void
replaced_file_is_noticed(void **state)
{
	int fd = fresh();
	char *found = NULL;

	(void)state;
	assert_true(refresh_file_write(fd, "a"));
	(void)unlink(path);
	assert_int_equal(refresh_file_read(fd, &found), REFRESH_REPLACED);
	(void)close(fd);
}

static void
one_process_holds_it(void **state)
{
	int fd = fresh(), other = refresh_file_open(AT_FDCWD, path);

	(void)state;
	assert_true(refresh_file_hold(fd));
	assert_false(refresh_file_hold(other));
	assert_int_equal(errno, EAGAIN);
	/* Reading and writing goes on, and does not end that. */
	assert_true(refresh_file_write(other, "a"));
	expect(fd, "a");
	assert_true(refresh_file_write(fd, "b"));
	assert_false(refresh_file_hold(other));
	refresh_file_release(fd);
	assert_true(refresh_file_hold(other));
	(void)close(other);
	assert_true(refresh_file_hold(fd));
	(void)close(fd);
}

static void
longest_one_fits(void **state)
{
	int fd = fresh();
	static char token[REFRESH_TOKEN_MAX + 2];

	(void)state;
	memset(token, 'x', REFRESH_TOKEN_MAX);
	assert_true(refresh_file_write(fd, token));
	expect(fd, token);
	token[REFRESH_TOKEN_MAX] = 'x';
	assert_false(refresh_file_write(fd, token));
	assert_int_equal(errno, EMSGSIZE);
	(void)close(fd);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(new_file_has_none),
	    cmocka_unit_test(last_one_holds),
	    cmocka_unit_test(old_ones_are_overwritten),
	    cmocka_unit_test(broken_write_leaves_the_old_one),
	    cmocka_unit_test(another_layout_is_refused),
	    cmocka_unit_test(hand_written_one_is_taken),
	    cmocka_unit_test(what_is_no_token_is_said),
	    cmocka_unit_test(others_must_not_reach_it),
	    cmocka_unit_test(replaced_file_is_noticed),
	    cmocka_unit_test(one_process_holds_it),
	    cmocka_unit_test(longest_one_fits),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
