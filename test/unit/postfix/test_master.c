#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <fcntl.h>
#include <pwd.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>
#include <cmocka.h>

#include "agent/postfix/master.h"
#include "agent/settings/params.h"
#include "common/base/mem.h"
#include "test/support/scratch.h"

/* Each test runs in a child of its own, since it is about descriptors 3 to 6
 * and about privileges. Its exit status is the number of the failed line. */
#define MUST(cond)                                                             \
	do {                                                                   \
		if (!(cond))                                                   \
			_exit(__LINE__ % 250 + 1);                             \
	} while (0)

static struct settings set;
static struct options opt = {.socket_count = 1};
static int master_end; /* the other end of the status channel */

static void
in_child(void (*test)(void))
{
	pid_t pid = fork();
	int status;

	assert_true(pid >= 0);
	if (pid == 0) {
		test();
		_exit(0);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFEXITED(status));
	/* status - 1 is the line in this file, modulo 250 */
	assert_int_equal(WEXITSTATUS(status), 0);
}

/* What master(8) hands over. */
static void
inherit(const char *generation)
{
	struct sockaddr_un addr = {.sun_family = AF_UNIX};
	int fds[2], fd;

	MUST(socketpair(AF_UNIX, SOCK_STREAM, 0, fds) == 0);
	master_end = fcntl(fds[0], F_DUPFD, 20);
	fd = fcntl(fds[1], F_DUPFD, 20);
	MUST(dup2(fd, MASTER_STATUS_FD) == MASTER_STATUS_FD);
	(void)close(fd);
	MUST(dup2(0, 3) == 3 && dup2(0, 4) == 4);
	fd = socket(AF_UNIX, SOCK_STREAM, 0);
	/* An abstract name of the kernel's choice. */
	MUST(bind(fd, (struct sockaddr *)&addr, sizeof(addr.sun_family)) == 0);
	MUST(listen(fd, 1) == 0);
	MUST(dup2(fd, MASTER_LISTEN_FD) == MASTER_LISTEN_FD);
	MUST(setenv("GENERATION", generation, 1) == 0);
}

static void
status_in_child(void)
{
	struct master_status status;
	struct master *master;
	char *error;

	inherit("17");
	master = master_open(&opt, &error);
	MUST(master != NULL && error == NULL);
	MUST(sizeof(status) == 12);
	MUST(fcntl(3, F_GETFD) == -1 && fcntl(4, F_GETFD) == -1);
	for (int fd = 5; fd <= 6; fd++)
		MUST((fcntl(fd, F_GETFD) & FD_CLOEXEC) != 0);
	MUST((fcntl(6, F_GETFL) & O_NONBLOCK) != 0);
	MUST(master_listen_fd(master) == 6);
	master_taken(master);
	MUST(read(master_end, &status, sizeof(status)) == 12);
	MUST(status.pid == getpid() && status.generation == 017);
	MUST(status.state == 0);
	master_avail(master);
	MUST(read(master_end, &status, sizeof(status)) == 12);
	MUST(status.state == 1);
	/* Nobody listens any more: no signal, no abort. */
	MUST(close(master_end) == 0);
	master_avail(master);
	master_detach(master);
	master_avail(master);
	MUST(fcntl(5, F_GETFD) == -1 && fcntl(6, F_GETFD) == -1);
	master_close(&master);
}

static void
master_status_is_twelve_octets(void **state)
{
	(void)state;
	in_child(status_in_child);
}

static void
by_hand_in_child(void)
{
	static const char *const bad[] = {"", "8", "-1", "17x", "77777777777"};
	char *error;

	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		inherit(bad[i]);
		MUST(master_open(&opt, &error) == NULL);
		MUST(strstr(error, "must be run by master(8)") != NULL);
		mem_free(error);
	}
	inherit("1");
	(void)close(MASTER_STATUS_FD);
	MUST(master_open(&opt, &error) == NULL);
	MUST(strstr(error, "must be run by master(8)") != NULL);
	mem_free(error);
	inherit("1");
	(void)close(MASTER_LISTEN_FD);
	MUST(master_open(&opt, &error) == NULL);
	MUST(strstr(error, "descriptor 6 is no listening socket") != NULL);
	mem_free(error);
}

static void
master_open_by_hand_is_refused(void **state)
{
	(void)state;
	in_child(by_hand_in_child);
}

static int calls;

static void
on_gone(void *ctx)
{
	(void)ctx;
	calls++;
}

static void
watch_in_child(void)
{
	struct loop *loop;
	struct master *master;
	char *error;

	inherit("1");
	loop = loop_new();
	master = master_open(&opt, &error);
	MUST(master != NULL);
	master_watch(master, loop, on_gone, NULL);
	MUST(close(master_end) == 0);
	while (calls == 0)
		loop_once(loop);
	MUST(calls == 1);
	master_close(&master);
	loop_free(&loop);
}

static void
master_watch_tells_the_end_once(void **state)
{
	(void)state;
	in_child(watch_in_child);
}

static void
set_by_name(const char *name, const char *text)
{
	assert_true(params_set(&set, params_find(name), text, NULL));
}

/* A user every system has; the tests run as root. */
static const struct passwd *
owner(void)
{
	const struct passwd *pw = getpwnam("nobody");

	assert_non_null(pw);
	set_by_name("mail_owner", "nobody");
	return pw;
}

static void
master_state_directory_is_made_for_mail_owner(void **state)
{
	const struct passwd *pw = owner();
	struct stat st;
	char *error;

	(void)state;
	set_by_name("lane_state_directory", scratch_path("state"));
	for (int i = 0; i < 2; i++) {
		assert_int_equal(master_make_state_directory(&set, &error),
		    STATE_DIRECTORY_OK);
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

	assert_int_equal(master_make_state_directory(&set, &error), result);
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
master_gives_no_directory_away_that_holds_anything(void **state)
{
	const struct passwd *pw = owner();
	char *error;

	(void)state;
	scratch_write("roots/secret", "x");
	assert_int_equal(chmod(scratch_path("roots"), 0700), 0);
	set_by_name("lane_state_directory", scratch_path("roots"));
	expect_foreign();
	assert_owner_and_mode("roots", 0, 0700);
	/* Nor is one closed to those who use it. */
	scratch_write("public/pickup", "x");
	assert_int_equal(chmod(scratch_path("public"), 0755), 0);
	assert_int_equal(chown(scratch_path("public"), pw->pw_uid, 0), 0);
	set_by_name("lane_state_directory", scratch_path("public"));
	assert_int_equal(
	    master_make_state_directory(&set, &error), STATE_DIRECTORY_OK);
	assert_owner_and_mode("public", pw->pw_uid, 0755);
	assert_int_equal(mkdir(scratch_path("empty"), 0700), 0);
	set_by_name("lane_state_directory", scratch_path("empty"));
	assert_int_equal(
	    master_make_state_directory(&set, &error), STATE_DIRECTORY_OK);
	assert_owner_and_mode("empty", pw->pw_uid, 0700);
}

static void
master_state_directory_of_others_is_refused(void **state)
{
	(void)state;
	(void)owner();
	assert_int_equal(symlink("/tmp", scratch_path("link")), 0);
	set_by_name("lane_state_directory", scratch_path("link"));
	expect_refused("cannot open");
	assert_int_equal(mkdir(scratch_path("open"), 0700), 0);
	assert_int_equal(chmod(scratch_path("open"), 0777), 0);
	set_by_name("lane_state_directory", scratch_path("open"));
	expect_foreign();
	assert_int_equal(mkdir(scratch_path("foreign"), 0700), 0);
	assert_int_equal(chown(scratch_path("foreign"), 1, 1), 0);
	set_by_name("lane_state_directory", scratch_path("foreign"));
	expect_foreign();
	set_by_name("lane_state_directory", "/nonexistent/x");
	expect_refused("/nonexistent/x: nonexistent: No such file");
	set_by_name("mail_owner", "no-such-user");
	expect_refused("mail_owner no-such-user: no such user");
}

static void
use_directory(const char *name)
{
	set_by_name("lane_state_directory", scratch_path(name));
}

static void
master_way_to_the_state_directory_is_nobody_elses(void **state)
{
	const struct passwd *pw = owner();
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
	    master_make_state_directory(&set, &error), STATE_DIRECTORY_OK);
	use_directory("way/root/../target/./state");
	assert_int_equal(
	    master_make_state_directory(&set, &error), STATE_DIRECTORY_OK);
	assert_int_equal(chmod(scratch_path("way/target"), 0777), 0);
	expect_refused("target: others may write to it");
	assert_int_equal(chmod(scratch_path("way/target"), 01777), 0);
	assert_int_equal(
	    master_make_state_directory(&set, &error), STATE_DIRECTORY_OK);
	assert_int_equal(chown(scratch_path("way/target"), 1, 1), 0);
	expect_refused("target: belongs to somebody else");
	assert_int_equal(chown(scratch_path("way"), 1, 1), 0);
	expect_refused("a directory above it belongs to uid 1");
}

static void
drop_in_child(void)
{
	const struct passwd *pw = getpwnam("nobody");
	struct rlimit limit;
	char *error, cwd[256];

	opt.unprivileged = true;
	opt.chroot = true;
	master_raise_limits();
	MUST(getrlimit(RLIMIT_NOFILE, &limit) == 0);
	MUST(limit.rlim_cur == limit.rlim_max);
	MUST(master_drop_privileges(&set, &opt, &error));
	MUST(error == NULL);
	MUST(getuid() == pw->pw_uid && geteuid() == pw->pw_uid);
	MUST(getgid() == pw->pw_gid && setuid(0) != 0);
	MUST(getcwd(cwd, sizeof(cwd)) != NULL && strcmp(cwd, "/") == 0);
	MUST(access("marker", F_OK) == 0 && access("/marker", F_OK) == 0);
	MUST(umask(0) == 077);
	MUST(prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0) == 1);
	for (int cap = 0, is; (is = prctl(PR_CAPBSET_READ, cap)) >= 0; cap++)
		MUST(is == 0);
}

static void
master_drops_root_inside_the_queue_directory(void **state)
{
	(void)state;
	(void)owner();
	scratch_write("jail/marker", "");
	set_by_name("queue_directory", scratch_path("jail"));
	in_child(drop_in_child);
}

static int
setup(void **state)
{
	(void)state;
	params_init(&set);
	opt.process_name = mem_strdup("lane");
	return 0;
}

static int
teardown(void **state)
{
	(void)state;
	settings_free(&set);
	mem_free(opt.process_name);
	return 0;
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(master_status_is_twelve_octets),
	    cmocka_unit_test(master_open_by_hand_is_refused),
	    cmocka_unit_test(master_watch_tells_the_end_once),
	    cmocka_unit_test(master_state_directory_is_made_for_mail_owner),
	    cmocka_unit_test(master_state_directory_of_others_is_refused),
	    cmocka_unit_test(
		master_gives_no_directory_away_that_holds_anything),
	    cmocka_unit_test(master_way_to_the_state_directory_is_nobody_elses),
	    cmocka_unit_test(master_drops_root_inside_the_queue_directory),
	};

	return cmocka_run_group_tests_name("master", tests, setup, teardown);
}
