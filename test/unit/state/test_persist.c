#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "agent/state/persist.h"
#include "common/base/clock.h"
#include "common/base/log.h"
#include "common/base/mem.h"
#include "test/support/filedamage.h"
#include "test/support/fixture.h"
#include "test/support/statedir.h"

/* A kind, and its version. */
#define MAGIC UINT64_C(0x7473657400040007)

enum { WORDS = 1000, KILLS = 25 };

struct value {
	uint64_t words[WORDS];
};

static struct statefile_dir
open_dir(const char *path)
{
	struct statefile_dir dir;
	char error[256] = "";

	if (!statefile_dir_open(&dir, path, error, sizeof(error)))
		fail_msg("%s", error);
	return dir;
}

static struct persist *
open_value(const struct statefile_dir *dir, uint64_t magic)
{
	char error[256];
	struct persist *k = persist_open(
	    dir, "value", magic, sizeof(struct value), error, sizeof(error));

	if (*error != '\0')
		fail_msg("%s", error);
	return k;
}

static uint64_t
first_word(struct persist *k)
{
	return ((const struct value *)persist_value(k))->words[0];
}

static void
keepfile_value_is_there_again(void **state)
{
	struct statefile_dir dir = open_dir(*state);
	struct persist *k = open_value(&dir, MAGIC);
	struct value v = {{7}};

	assert_int_equal(first_word(k), 0);
	assert_int_equal(persist_shift_us(k), 0);
	persist_store(k, &v);
	assert_int_equal(first_word(k), 7);
	v.words[0] = 8;
	persist_store(k, &v);
	persist_close(&k);
	k = open_value(&dir, MAGIC);
	assert_int_equal(first_word(k), 8);
	persist_close(&k);
	/* Another kind of value: none. */
	k = open_value(&dir, MAGIC + (1 << 16));
	assert_int_equal(first_word(k), 0);
	persist_close(&k);
	assert_null(k);
	statefile_dir_close(&dir);
}

static void
store_for_ever(void *ctx, int in, int out)
{
	struct persist *k = open_value(ctx, MAGIC);
	struct value v;

	(void)in;
	for (uint64_t i = first_word(k) + 1;; i++) {
		for (size_t j = 0; j < WORDS; j++)
			v.words[j] = i;
		persist_store(k, &v);
		if (i % 256 == 1)
			statedir_tell(out, '.');
	}
}

static void
keepfile_is_whole_whenever_its_writer_is_killed(void **state)
{
	struct statefile_dir dir = open_dir(*state);
	struct fixture_random random;
	uint64_t last = 0;

	fixture_random_init(&random);
	for (int i = 0; i < KILLS; i++) {
		struct statedir_child child;
		const struct value *v;
		struct persist *k;

		statedir_fork(&child, store_for_ever, &dir);
		for (size_t n = 1 + fixture_random_below(&random, 6); n > 0;
		     n--)
			assert_int_equal(statedir_hear(child.from), '.');
		(void)statedir_end(&child, SIGKILL);
		k = open_value(&dir, MAGIC);
		v = persist_value(k);
		assert_true(v->words[0] > last);
		last = v->words[0];
		for (size_t j = 1; j < WORDS; j++)
			assert_int_equal(v->words[j], last);
		persist_close(&k);
	}
	statefile_dir_close(&dir);
}

static void
keepfile_knows_how_long_a_reboot_took(void **state)
{
	struct statefile_dir dir = open_dir(*state);
	struct persist *k = open_value(&dir, MAGIC);
	struct value v = {{1}};
	int64_t wall, hour = INT64_C(3600) * 1000000;
	char path[256];
	int fd;

	persist_store(k, &v);
	persist_close(&k);
	dir.boot++;
	k = open_value(&dir, MAGIC);
	/* The clocks did not really change. */
	assert_true(
	    persist_shift_us(k) > -1000000 && persist_shift_us(k) < 1000000);
	persist_store(k, &v);
	assert_int_equal(persist_shift_us(k), 0);
	persist_close(&k);
	/* Copy 0 holds now: as if the machine had run for an hour less, by the
	 * same wall clock. */
	(void)snprintf(path, sizeof(path), "%s/value", (char *)*state);
	fd = open(path, O_RDWR);
	assert_true(fd >= 0);
	assert_int_equal(pread(fd, &wall, 8, 128 + 8), 8);
	wall += hour;
	assert_int_equal(pwrite(fd, &wall, 8, 128 + 8), 8);
	(void)close(fd);
	dir.boot++;
	k = open_value(&dir, MAGIC);
	assert_true(persist_shift_us(k) > hour - 1000000 &&
		    persist_shift_us(k) < hour + 1000000);
	persist_close(&k);
	statefile_dir_close(&dir);
}

static void
hold_lock(void *ctx, int in, int out)
{
	struct persist *k = open_value(ctx, MAGIC);

	statedir_tell(
	    out, persist_lock(k, 0) && persist_join(k, 5, 0) ? 'y' : 'n');
	(void)statedir_hear(in);
}

static void
keepfile_locks_fall_with_their_holder(void **state)
{
	struct statefile_dir dir = open_dir(*state);
	struct persist *k = open_value(&dir, MAGIC);
	bool members[PERSIST_MEMBERS];
	struct statedir_child child;
	int64_t began;

	statedir_fork(&child, hold_lock, &dir);
	assert_int_equal(statedir_hear(child.from), 'y');
	began = clock_mono_ms();
	assert_false(persist_lock(k, 1));
	assert_true(clock_mono_ms() - began < 500);
	assert_false(persist_join(k, 5, 0));
	persist_members(k, members);
	for (int i = 0; i < PERSIST_MEMBERS; i++)
		assert_int_equal(members[i], i == 5);
	(void)statedir_end(&child, SIGKILL);
	assert_true(persist_lock(k, 0));
	assert_true(persist_join(k, 5, 0));
	persist_unlock(k);
	persist_leave(k, 5);
	persist_close(&k);
	statefile_dir_close(&dir);
}

static void
keepfile_that_cannot_be_used_is_memory(void **state)
{
	struct statefile_dir dir = open_dir(*state);
	char error[256], path[256];
	struct value v = {{3}};
	struct persist *k;

	(void)snprintf(path, sizeof(path), "%s/value", (char *)*state);
	(void)unlink(path);
	assert_int_equal(symlink("/etc/passwd", path), 0);
	for (int i = 0; i < 2; i++) {
		k = persist_open(i == 0 ? NULL : &dir, "value", MAGIC,
		    sizeof(v), error, sizeof(error));
		assert_true(error[0] != '\0');
		assert_int_equal(first_word(k), 0);
		assert_true(persist_lock(k, 0) && persist_join(k, 1, 0));
		persist_store(k, &v);
		assert_int_equal(first_word(k), 3);
		assert_int_equal(persist_shift_us(k), 0);
		persist_unlock(k);
		persist_leave(k, 1);
		persist_close(&k);
	}
	statefile_dir_close(&dir);
}

static void
keepfile_of_noise_is_made_anew(void **state)
{
	struct statefile_dir dir = open_dir(*state);
	struct fixture_random random;
	unsigned char noise[500];
	char path[256];
	int fd;

	fixture_random_init(&random);
	for (size_t n = 1; n <= sizeof(noise); n += 100) {
		struct persist *k;

		for (size_t i = 0; i < n; i++)
			noise[i] =
			    (unsigned char)fixture_random_below(&random, 256);
		(void)snprintf(path, sizeof(path), "%s/value", (char *)*state);
		(void)unlink(path);
		fd = open(path, O_RDWR | O_CREAT | O_EXCL, 0600);
		assert_true(fd >= 0);
		assert_int_equal(write(fd, noise, n), n);
		(void)close(fd);
		k = open_value(&dir, MAGIC);
		assert_int_equal(first_word(k), 0);
		persist_close(&k);
	}
	statefile_dir_close(&dir);
}

/* Two processes know a value; the file is damaged in one way or another. Both
 * go on with it, also one that comes later, and what one stores all see. */
static void
persist_goes_on_whatever_happens_to_its_file(void **state)
{
	struct statefile_dir dir = open_dir(*state);

	for (int i = 0; i < DAMAGE_COUNT; i++) {
		struct persist *a = open_value(&dir, MAGIC), *b, *c;
		struct value v = {{1}};

		persist_store(a, &v);
		filedamage_keep(*state, "value");
		b = open_value(&dir, MAGIC);
		assert_true(persist_join(b, 3, 0));
		v.words[0] = 100 + (uint64_t)i;
		persist_store(a, &v);
		assert_int_equal(first_word(b), v.words[0]);
		print_message("%s\n", filedamage_names[i]);
		filedamage_do(*state, "value", (enum filedamage)i);
		assert_int_equal(first_word(a), v.words[0]);
		assert_int_equal(first_word(b), v.words[0]);
		/* as before a take: under the lock */
		assert_true(persist_lock(b, 0));
		assert_false(persist_lock(a, 0));
		v.words[0]++;
		persist_store(b, &v);
		persist_unlock(b);
		assert_true(persist_lock(a, 0));
		assert_int_equal(first_word(a), v.words[0]);
		persist_unlock(a);
		/* entries are on the file that has the name now */
		assert_false(persist_join(a, 3, 0));
		c = open_value(&dir, MAGIC);
		assert_int_equal(first_word(c), v.words[0]);
		assert_false(persist_join(c, 3, 0));
		persist_close(&a);
		persist_close(&b);
		persist_close(&c);
	}
	statefile_dir_close(&dir);
}

static void
keep_line(void *ctx, enum log_level level, const char *line)
{
	assert_int_equal(level, LOG_LEVEL_WARN);
	(void)snprintf(ctx, 200, "%s", line);
}

/* What a release of ours finds of an older or a newer one. */
static void
persist_of_another_version_is_made_anew_and_said(void **state)
{
	static const uint64_t others[] = {MAGIC - 1, MAGIC + 1};
	struct statefile_dir dir = open_dir(*state);
	struct value v = {{7}};

	for (size_t i = 0; i < 2; i++) {
		struct persist *k = open_value(&dir, others[i]);
		char line[200] = "", wanted[200];

		persist_store(k, &v);
		persist_close(&k);
		(void)snprintf(wanted, sizeof(wanted),
		    "value in lane_state_directory is of version %d, this "
		    "release has version 7: it is made anew, what it held is "
		    "forgotten",
		    i == 0 ? 6 : 8);
		log_set_sink(keep_line, line);
		k = open_value(&dir, MAGIC);
		log_set_sink(NULL, NULL);
		assert_non_null(strstr(line, wanted));
		assert_int_equal(first_word(k), 0);
		persist_close(&k);
	}
	statefile_dir_close(&dir);
}

static void
persist_of_the_same_version_is_opened_in_silence(void **state)
{
	struct statefile_dir dir = open_dir(*state);
	char line[200] = "";
	struct persist *k;

	log_set_sink(keep_line, line);
	for (int i = 0; i < 2; i++) {
		k = open_value(&dir, MAGIC);
		persist_close(&k);
	}
	log_set_sink(NULL, NULL);
	assert_string_equal(line, "");
	statefile_dir_close(&dir);
}

/* Two releases beside each other, as while a reload replaces one: neither
 * undoes what the other did. */
static void
persist_leaves_its_file_to_another_release(void **state)
{
	struct statefile_dir dir = open_dir(*state);
	struct persist *old = open_value(&dir, MAGIC), *new;
	struct value v = {{1}};
	char line[200] = "";

	persist_store(old, &v);
	new = open_value(&dir, MAGIC + 1);
	v.words[0] = 2;
	persist_store(new, &v);
	log_set_sink(keep_line, line);
	assert_int_equal(first_word(old), 1);
	log_set_sink(NULL, NULL);
	assert_non_null(strstr(line,
	    "value in lane_state_directory is of version 8 by now, this "
	    "release has version 7: going on in memory"));
	for (int i = 3; i < 6; i++) {
		assert_true(persist_lock(old, 0));
		v.words[0] = (uint64_t)i;
		persist_store(old, &v);
		persist_unlock(old);
		assert_int_equal(first_word(old), i);
		assert_int_equal(first_word(new), 2);
	}
	persist_close(&old);
	persist_close(&new);
	statefile_dir_close(&dir);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    IN_STATEDIR(keepfile_value_is_there_again),
	    IN_STATEDIR(keepfile_is_whole_whenever_its_writer_is_killed),
	    IN_STATEDIR(keepfile_knows_how_long_a_reboot_took),
	    IN_STATEDIR(keepfile_locks_fall_with_their_holder),
	    IN_STATEDIR(keepfile_that_cannot_be_used_is_memory),
	    IN_STATEDIR(persist_goes_on_whatever_happens_to_its_file),
	    IN_STATEDIR(keepfile_of_noise_is_made_anew),
	    IN_STATEDIR(persist_of_another_version_is_made_anew_and_said),
	    IN_STATEDIR(persist_of_the_same_version_is_opened_in_silence),
	    IN_STATEDIR(persist_leaves_its_file_to_another_release),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
