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
#include "test/support/owner.h"
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
	(void)set_owner(&set);
	scratch_write("jail/marker", "");
	set_by_name(&set, "queue_directory", scratch_path("jail"));
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
	    cmocka_unit_test(master_drops_root_inside_the_queue_directory),
	};

	return cmocka_run_group_tests_name("master", tests, setup, teardown);
}
