/* A fairshare in a file: what is read of it is sound, whatever it holds. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "agent/state/fairshare_file.h"
#include "common/base/clock.h"
#include "common/base/log.h"
#include "common/shared/board.h"
#include "test/support/statedir.h"

#define MINUTE_US INT64_C(60000000)

static int warnings;

struct files {
	struct statefile_dir dir;
	struct persist *file;
	int fd; /* the same, as others open it */
	int64_t now_us;
};

static void
count_warnings(void *ctx, enum log_level level, const char *line)
{
	(void)ctx;
	(void)line;
	warnings += level >= LOG_LEVEL_WARN;
}

static void
open_files(struct files *f, const char *dir)
{
	char error[256], name[64];

	warnings = 0;
	log_set_sink(count_warnings, NULL);
	f->now_us = clock_mono_us();
	assert_true(statefile_dir_open(&f->dir, dir, error, sizeof(error)));
	f->file =
	    fairshare_file_open(&f->dir, "rates", "a", error, sizeof(error));
	assert_string_equal(error, "");
	(void)snprintf(name, sizeof(name), "rates.%016llx",
	    (unsigned long long)board_hash("a"));
	f->fd = statefile_open(f->dir.fd, name, error, sizeof(error));
	assert_true(f->fd >= 0);
}

static void
close_files(struct files *f)
{
	(void)close(f->fd);
	persist_close(&f->file);
	statefile_dir_close(&f->dir);
	log_set_sink(NULL, NULL);
}

/* A limit of which one unit was taken at that time. */
static void
store_use_at(struct files *f, int64_t us)
{
	struct fairshare s = {.turn_ns = 0};
	const struct rate rate = {.count_milli = 50000,
	    .period_us = 60 * MINUTE_US,
	    .is_quota = true};
	struct limiter *l = &s.set.limits[0].limiter;

	limiter_init(l, &rate, us);
	s.set.limits[0].users = 1;
	assert_true(limiter_take(l, 1, us));
	assert_true(persist_lock(f->file, 0));
	persist_store(f->file, &s);
	persist_unlock(f->file);
}

static bool
is_in_force(const struct fairshare *s)
{
	return s->set.limits[0].limiter.kind == LIMITER_QUOTA;
}

static void
file_is_the_same_for_all_that_read_it(void **state)
{
	struct fairshare read, loaded, looked;
	struct files f;
	int64_t shift_us;

	open_files(&f, *state);
	store_use_at(&f, f.now_us);
	assert_false(fairshare_file_read(f.file, f.now_us, &read, &shift_us));
	assert_int_equal(shift_us, 0);
	assert_true(is_in_force(&read));
	assert_false(fairshare_file_load(f.file, &loaded, "a", f.now_us));
	assert_memory_equal(&loaded, &read, sizeof(read));
	assert_true(fairshare_file_look(f.fd, f.dir.boot, f.now_us, &looked));
	assert_memory_equal(&looked, &read, sizeof(read));
	assert_int_equal(warnings, 0);
	close_files(&f);
}

static int64_t
used_us(const struct fairshare *s)
{
	return limiter_latest_us(&s->set.limits[0].limiter);
}

/* Another lane's turn may have begun later than ours, by a moment; an hour
 * ahead is damage: what was used is kept, as of a time that can be. */
static void
file_believes_no_time_that_has_not_come(void **state)
{
	struct fairshare s;
	struct files f;
	int64_t shift_us, ahead_us;

	open_files(&f, *state);
	ahead_us = f.now_us + MINUTE_US / 60;
	store_use_at(&f, ahead_us);
	assert_false(fairshare_file_read(f.file, f.now_us, &s, &shift_us));
	assert_true(used_us(&s) == ahead_us);
	ahead_us = f.now_us + 60 * MINUTE_US;
	store_use_at(&f, ahead_us);
	assert_true(fairshare_file_read(f.file, f.now_us, &s, &shift_us));
	assert_true(is_in_force(&s) && used_us(&s) < ahead_us - MINUTE_US);
	assert_int_equal(warnings, 0);
	assert_true(fairshare_file_load(f.file, &s, "a", f.now_us));
	assert_true(is_in_force(&s) && used_us(&s) < ahead_us - MINUTE_US);
	assert_int_equal(warnings, 1);
	assert_true(fairshare_file_look(f.fd, f.dir.boot, f.now_us, &s));
	assert_true(is_in_force(&s) && used_us(&s) < ahead_us - MINUTE_US);
	/* Who tells no time believes any. */
	assert_false(fairshare_file_read(f.file, 0, &s, &shift_us));
	assert_true(used_us(&s) == ahead_us);
	close_files(&f);
}

static void
file_of_another_boot_is_moved_to_this_one(void **state)
{
	struct fairshare s;
	struct files f;

	open_files(&f, *state);
	store_use_at(&f, f.now_us);
	/* By the wall clock it is still the same moment. */
	assert_true(fairshare_file_look(
	    f.fd, f.dir.boot + 1, f.now_us + MINUTE_US, &s));
	assert_true(is_in_force(&s));
	close_files(&f);
}

static void
file_is_spent_when_nothing_counts_any_more(void **state)
{
	struct files f;

	open_files(&f, *state);
	assert_true(fairshare_file_is_spent(f.fd, f.dir.boot, f.now_us));
	store_use_at(&f, f.now_us);
	assert_false(fairshare_file_is_spent(f.fd, f.dir.boot, f.now_us));
	assert_true(fairshare_file_is_spent(
	    f.fd, f.dir.boot, f.now_us + 3 * 60 * MINUTE_US));
	close_files(&f);
}

static void
file_of_another_version_is_nobodys(void **state)
{
	static const char other = 1;
	struct fairshare s;
	struct files f;

	open_files(&f, *state);
	store_use_at(&f, f.now_us);
	/* The version is the low octets of the magic number, at the front. */
	assert_true(statefile_write(f.fd, &other, 1, 0));
	assert_false(fairshare_file_look(f.fd, f.dir.boot, f.now_us, &s));
	assert_true(fairshare_file_is_spent(f.fd, f.dir.boot, f.now_us));
	close_files(&f);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    IN_STATEDIR(file_is_the_same_for_all_that_read_it),
	    IN_STATEDIR(file_believes_no_time_that_has_not_come),
	    IN_STATEDIR(file_of_another_boot_is_moved_to_this_one),
	    IN_STATEDIR(file_is_spent_when_nothing_counts_any_more),
	    IN_STATEDIR(file_of_another_version_is_nobodys),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
