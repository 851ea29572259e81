#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <pwd.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <cmocka.h>

#include "agent/settings/params.h"
#include "agent/state/state_directory.h"
#include "common/base/mem.h"
#include "test/support/owner.h"
#include "test/support/scratch.h"

static struct settings set;

static void
state_directory_is_made_for_mail_owner(void **state)
{
	const struct passwd *pw = set_owner(&set);
	struct stat st;
	char *error;

	(void)state;
	set_by_name(&set, "lane_state_directory", scratch_path("state"));
	for (int i = 0; i < 2; i++) {
		assert_int_equal(
		    state_directory_make(&set, &error), STATE_DIRECTORY_OK);
		assert_null(error);
		assert_int_equal(stat(scratch_path("state"), &st), 0);
		assert_int_equal(st.st_uid, pw->pw_uid);
		assert_int_equal(st.st_mode & 07777, 0700);
	}
}

static void
expect(enum state_directory result, const char *part)
{
	char *error;

	assert_int_equal(state_directory_make(&set, &error), result);
	assert_non_null(strstr(error, part));
	mem_free(error);
}

static void
expect_refused(const char *part)
{
	expect(STATE_DIRECTORY_UNUSABLE, part);
}

static void
expect_foreign(void)
{
	expect(STATE_DIRECTORY_FOREIGN,
	    "not owned by nobody, or writable by others");
}

static void
assert_owner_and_mode(const char *name, uid_t uid, mode_t mode)
{
	struct stat st;

	assert_int_equal(stat(scratch_path(name), &st), 0);
	assert_int_equal(st.st_uid, uid);
	assert_int_equal(st.st_mode & 07777, mode);
}

/* /root, named by a slip. */
static void
state_directory_that_holds_anything_is_not_given_away(void **state)
{
	const struct passwd *pw = set_owner(&set);
	char *error;

	(void)state;
	scratch_write("roots/secret", "x");
	assert_int_equal(chmod(scratch_path("roots"), 0700), 0);
	set_by_name(&set, "lane_state_directory", scratch_path("roots"));
	expect_foreign();
	assert_owner_and_mode("roots", 0, 0700);
	/* Nor is one closed to those who use it. */
	scratch_write("public/pickup", "x");
	assert_int_equal(chmod(scratch_path("public"), 0755), 0);
	assert_int_equal(chown(scratch_path("public"), pw->pw_uid, 0), 0);
	set_by_name(&set, "lane_state_directory", scratch_path("public"));
	assert_int_equal(
	    state_directory_make(&set, &error), STATE_DIRECTORY_OK);
	assert_owner_and_mode("public", pw->pw_uid, 0755);
	assert_int_equal(mkdir(scratch_path("empty"), 0700), 0);
	set_by_name(&set, "lane_state_directory", scratch_path("empty"));
	assert_int_equal(
	    state_directory_make(&set, &error), STATE_DIRECTORY_OK);
	assert_owner_and_mode("empty", pw->pw_uid, 0700);
}

static void
state_directory_of_others_is_refused(void **state)
{
	(void)state;
	(void)set_owner(&set);
	assert_int_equal(symlink("/tmp", scratch_path("link")), 0);
	set_by_name(&set, "lane_state_directory", scratch_path("link"));
	expect_refused("cannot open");
	assert_int_equal(mkdir(scratch_path("open"), 0700), 0);
	assert_int_equal(chmod(scratch_path("open"), 0777), 0);
	set_by_name(&set, "lane_state_directory", scratch_path("open"));
	expect_foreign();
	assert_int_equal(mkdir(scratch_path("foreign"), 0700), 0);
	assert_int_equal(chown(scratch_path("foreign"), 1, 1), 0);
	set_by_name(&set, "lane_state_directory", scratch_path("foreign"));
	expect_foreign();
	set_by_name(&set, "lane_state_directory", "/nonexistent/x");
	expect_refused("/nonexistent/x: nonexistent: No such file");
	set_by_name(&set, "mail_owner", "no-such-user");
	expect_refused("mail_owner no-such-user: no such user");
}

static void
use_directory(const char *name)
{
	set_by_name(&set, "lane_state_directory", scratch_path(name));
}

static void
state_directory_is_reached_by_a_way_that_is_nobody_elses(void **state)
{
	const struct passwd *pw = set_owner(&set);
	char *error;

	(void)state;
	assert_int_equal(mkdir(scratch_path("way"), 0755), 0);
	assert_int_equal(chown(scratch_path("way"), pw->pw_uid, 0), 0);
	assert_int_equal(mkdir(scratch_path("way/target"), 0755), 0);
	assert_int_equal(symlink("target", scratch_path("way/root")), 0);
	assert_int_equal(symlink("target", scratch_path("way/theirs")), 0);
	assert_int_equal(lchown(scratch_path("way/theirs"), pw->pw_uid, 0), 0);
	assert_int_equal(symlink("loop", scratch_path("way/loop")), 0);
	use_directory("way/theirs/state");
	expect_refused("theirs: is a symbolic link that is not root's");
	use_directory("way/loop/state");
	expect_refused("loop: too many symbolic links");
	/* as an administrator may have it: /var/lib -> /srv/lib */
	use_directory("way/root/state/");
	assert_int_equal(
	    state_directory_make(&set, &error), STATE_DIRECTORY_OK);
	use_directory("way/root/../target/./state");
	assert_int_equal(
	    state_directory_make(&set, &error), STATE_DIRECTORY_OK);
	assert_int_equal(chmod(scratch_path("way/target"), 0777), 0);
	expect_refused("target: others may write to it");
	assert_int_equal(chmod(scratch_path("way/target"), 01777), 0);
	assert_int_equal(
	    state_directory_make(&set, &error), STATE_DIRECTORY_OK);
	assert_int_equal(chown(scratch_path("way/target"), 1, 1), 0);
	expect_refused("target: belongs to somebody else");
	assert_int_equal(chown(scratch_path("way"), 1, 1), 0);
	expect_refused("a directory above it belongs to uid 1");
}

static int
setup(void **state)
{
	(void)state;
	params_init(&set);
	return 0;
}

static int
teardown(void **state)
{
	(void)state;
	settings_free(&set);
	return 0;
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(state_directory_is_made_for_mail_owner),
	    cmocka_unit_test(
		state_directory_that_holds_anything_is_not_given_away),
	    cmocka_unit_test(state_directory_of_others_is_refused),
	    cmocka_unit_test(
		state_directory_is_reached_by_a_way_that_is_nobody_elses),
	};

	return cmocka_run_group_tests_name(
	    "state_directory", tests, setup, teardown);
}