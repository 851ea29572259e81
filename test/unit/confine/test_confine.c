/* Each right that a lane does without is tried, by a process that entered the
 * sandbox as a lane does, and by one that gave up its privileges alone: what is
 * refused to the first and not to the second, the sandbox refuses. */
#include <errno.h>
#include <fcntl.h>
#include <linux/landlock.h>
#include <netinet/in.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "agent/confine/confine.h"
#include "agent/confine/refusals.h"
#include "agent/io/patience.h"
#include "agent/postfix/master.h"
#include "agent/settings/params.h"
#include "common/base/log.h"
#include "test/support/attempts.h"
#include "test/support/owner.h"
#include "test/support/scratch.h"

enum { NEEDS = SYSCALLS_INET | SYSCALLS_FORK | SYSCALLS_MAKE_FILES };

static struct settings set;
static struct loop *loop;
static char logged[4096];

static int
landlock_version(void)
{
	return (int)syscall(SYS_landlock_create_ruleset, NULL, 0,
	    LANDLOCK_CREATE_RULESET_VERSION);
}

/* ---- a place to try them in -------------------------------------------- */

static void
give_away(const char *path)
{
	assert_int_equal(chown(path, set_owner(&set)->pw_uid, (gid_t)-1), 0);
}

static void
make_directory(const char *name)
{
	char inside[64];

	(void)snprintf(inside, sizeof(inside), "%s/loose", name);
	scratch_write(inside, "x");
	give_away(scratch_path(name));
	give_away(scratch_path(inside));
}

/* A queue, a state directory and what is neither, mail_owner's. */
static void
make_place(void)
{
	static const char *const files[] = {
	    "q/active/A", "q/active/moving", "q/deferred/B", "outside/file"};

	assert_int_equal(chmod(scratch_dir(), 0755), 0);
	scratch_write("q/pid", "");
	make_directory("q/active");
	make_directory("q/deferred");
	make_directory("state");
	make_directory("outside");
	for (size_t i = 0; i < 4; i++) {
		scratch_write(files[i], "x");
		give_away(scratch_path(files[i]));
	}
	(void)unlink(scratch_path("state/link"));
	(void)unlink(scratch_path("state/socket"));
	set_by_name(&set, "queue_directory", scratch_path("q"));
	set_by_name(&set, "config_directory", "/etc/postfix");
}

static void
drop(void)
{
	struct options opt = {.unprivileged = true};
	char *error;

	if (!master_drop_privileges(&set, &opt, &error))
		_exit(99);
}

/* Its words on the pipe: it is ready. */
static void
be_neighbour(int ready)
{
	struct sockaddr_un at = {.sun_family = AF_UNIX};
	int fd = socket(AF_UNIX, SOCK_STREAM, 0);

	drop();
	(void)prctl(PR_SET_DUMPABLE, 1);
	(void)prctl(PR_SET_PTRACER, PR_SET_PTRACER_ANY, 0, 0, 0);
	memcpy(at.sun_path + 1, attempt_neighbour.name,
	    strlen(attempt_neighbour.name));
	if (bind(fd, (struct sockaddr *)&at,
		(socklen_t)(offsetof(struct sockaddr_un, sun_path) + 1 +
			    strlen(attempt_neighbour.name))) != 0 ||
	    listen(fd, 10) != 0 || write(ready, "x", 1) != 1)
		_exit(1);
	for (;;)
		(void)pause();
}

static void
enter(const char *mode, unsigned needs)
{
	struct confine c;

	set_by_name(&set, "lane_sandbox", mode);
	confine_begin(&c, &set, loop, needs);
	(void)confine_allow(&c, "active", FILES_READ | FILES_WRITE);
	(void)confine_allow(
	    &c, "../state", FILES_READ | FILES_WRITE | FILES_MAKE);
	confine_enter(&c);
}

static void
keep(void *ctx, enum log_level level, const char *line)
{
	size_t n = strlen(logged);

	(void)ctx;
	(void)level;
	(void)snprintf(logged + n, sizeof(logged) - n, "%s\n", line);
}

static int
set_up(void **state)
{
	int ready[2];
	char octet;

	(void)state;
	params_init(&set);
	make_place();
	(void)snprintf(attempt_neighbour.name, sizeof(attempt_neighbour.name),
	    "postlane-test-%ld", (long)getpid());
	assert_int_equal(pipe(ready), 0);
	attempt_neighbour.pid = fork();
	assert_true(attempt_neighbour.pid >= 0);
	if (attempt_neighbour.pid == 0)
		be_neighbour(ready[1]);
	assert_int_equal(read(ready[0], &octet, 1), 1);
	(void)close(ready[0]);
	(void)close(ready[1]);
	logged[0] = '\0';
	log_set_sink(keep, NULL);
	return 0;
}

static int
tear_down(void **state)
{
	(void)state;
	(void)kill(attempt_neighbour.pid, SIGKILL);
	(void)waitpid(attempt_neighbour.pid, NULL, 0);
	settings_free(&set);
	log_set_sink(NULL, NULL);
	return 0;
}

/* All attempts in a child: mode NULL: that gave up its privileges only. */
static void
try_all(const char *mode, int errors[ATTEMPTS])
{
	int *shared = mmap(NULL, ATTEMPTS * sizeof(int), PROT_READ | PROT_WRITE,
	    MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	int status;
	pid_t pid = fork();

	assert_true(pid >= 0 && shared != MAP_FAILED);
	if (pid == 0) {
		drop();
		if (mode != NULL)
			enter(mode, NEEDS);
		for (int i = 0; i < ATTEMPTS; i++)
			shared[i] = attempts[i].fn();
		_exit(0);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
	memcpy(errors, shared, ATTEMPTS * sizeof(int));
	(void)munmap(shared, ATTEMPTS * sizeof(int));
}

/* ---- tests ------------------------------------------------------------- */

static void
rights_that_a_lane_does_without_are_refused(void **state)
{
	int errors[ATTEMPTS], wrong = 0;

	(void)state;
	try_all("yes", errors);
	for (int i = 0; i < ATTEMPTS; i++)
		if (attempts[i].version <= landlock_version() &&
		    errors[i] != attempts[i].confined) {
			print_error("%s: %s, expected %s\n", attempts[i].name,
			    strerror(errors[i]),
			    strerror(attempts[i].confined));
			wrong++;
		}
	assert_int_equal(wrong, 0);
}

/* Otherwise the test above would test nothing. */
static void
rights_are_there_without_the_sandbox(void **state)
{
	int errors[ATTEMPTS], wrong = 0;

	(void)state;
	try_all(NULL, errors);
	for (int i = 0; i < ATTEMPTS; i++)
		if (attempts[i].without != ATTEMPT_ANY &&
		    errors[i] != attempts[i].without) {
			print_error("%s: %s, expected %s\n", attempts[i].name,
			    strerror(errors[i]), strerror(attempts[i].without));
			wrong++;
		}
	assert_int_equal(wrong, 0);
}

static const char *const harmless_here[] = {"list another queue",
    "read another queue", "read a file outside", "write a file outside",
    "make a file outside", "remove a file outside", "make a queue file",
    "remove a queue file", "move a queue file", "cut a queue file",
    "make a link", "make a socket with a name", "signal a neighbour",
    "call a neighbour", "listen", "let oneself be traced", "set a limit"};

/* What the list of denied calls does not have is done with "log". */
static void
log_refuses_the_worst_and_lets_the_rest_be(void **state)
{
	int errors[ATTEMPTS];

	(void)state;
	try_all("log", errors);
	for (int i = 0; i < ATTEMPTS; i++) {
		int expected = attempts[i].confined;

		for (size_t k = 0;
		     k < sizeof(harmless_here) / sizeof(harmless_here[0]); k++)
			if (strcmp(attempts[i].name, harmless_here[k]) == 0)
				expected = attempts[i].without;
		if (errors[i] != expected)
			print_error("%s\n", attempts[i].name);
		assert_int_equal(errors[i], expected);
	}
}

static void
no_leaves_all_as_it_is(void **state)
{
	int errors[ATTEMPTS];

	(void)state;
	try_all("no", errors);
	for (int i = 0; i < ATTEMPTS; i++)
		if (attempts[i].without != ATTEMPT_ANY)
			assert_int_equal(errors[i], attempts[i].without);
}

static void
stop(void *ctx)
{
	loop_stop(ctx);
}

/* In a child, as a filter cannot be taken off; 0: as it should be. */
static int
tells_once(void)
{
	struct loop_timer *t;

	loop = loop_new();
	drop();
	enter("yes", NEEDS);
	for (int i = 0; i < 3; i++)
		(void)attempt_to_become_itself();
	(void)syscall(1000);
	t = loop_timer_new(loop, stop, loop);
	loop_timer_at(t, loop_now_ms(loop) + 50);
	loop_run(loop);
	return strcmp(logged, "warning: sandbox: system call setresuid was "
			      "refused\nwarning: sandbox: system call number "
			      "1000 was refused\n") != 0;
}

static void
refusal_is_told_once(void **state)
{
	(void)state;
	if (!refusals_can_answer())
		skip();
	assert_int_equal(attempt_reported(tells_once), 0);
}

/* A program that answers, and asks nobody: made before, and tried with the
 * rights of lanestat. 0: as it should be, or the number of the line. */
static int
calls_nobody(void)
{
	struct sockaddr_in to = {.sin_family = AF_INET,
	    .sin_addr = {htonl(INADDR_LOOPBACK)},
	    .sin_port = htons(9)};
	int fd = socket(AF_INET, SOCK_STREAM, 0), error;

	drop();
	enter("yes", SYSCALLS_MAKE_FILES);
	if (attempt_closed(socket(AF_INET, SOCK_STREAM, 0)) != EPERM)
		return 1;
	if (attempt_closed(socket(AF_INET6, SOCK_STREAM, 0)) != EPERM)
		return 2;
	if (attempt_closed(socket(AF_UNIX, SOCK_STREAM, 0)) != 0)
		return 3;
	error = attempt_result(connect(fd, (struct sockaddr *)&to, sizeof(to)));
	if (landlock_version() >= 4 && error != EACCES)
		return 4;
	if (fork() >= 0 || errno != EPERM)
		return 5;
	return attempt_shell() == EPERM ? 0 : 6;
}

static void
who_only_answers_calls_nobody(void **state)
{
	(void)state;
	assert_int_equal(attempt_reported(calls_nobody), 0);
}

/* libc has an older call in its place. */
static int
call_of_tomorrow(void)
{
	drop();
	enter("yes", NEEDS);
	return syscall(1000) < 0 ? errno : 0;
}

static void
call_that_is_newer_than_the_list_does_not_exist(void **state)
{
	(void)state;
	if (!refusals_can_answer())
		skip();
	assert_int_equal(attempt_reported(call_of_tomorrow), ENOSYS);
}

static void
end_as_told(void *ctx, enum log_level level, const char *line)
{
	static const char told[] = "fatal: sandbox: ";

	(void)ctx;
	if (level == LOG_LEVEL_FATAL &&
	    strncmp(line, told, sizeof(told) - 1) == 0)
		_exit(40);
}

/* The filter is made by a child, and there is none. */
static int
without_processes(void)
{
	struct rlimit none = {0, 0};

	drop();
	log_set_sink(end_as_told, NULL);
	if (setrlimit(RLIMIT_NPROC, &none) != 0)
		return 1;
	enter("yes", NEEDS);
	return 0;
}

/* Enough for a process, none for what the child works with. */
static int
without_memory(void)
{
	struct rlimit none = {0, 0};
	void *volatile p;

	drop();
	log_set_sink(end_as_told, NULL);
	p = malloc(1 << 16); /* for us; libseccomp takes more */
	free(p);
	if (setrlimit(RLIMIT_AS, &none) != 0)
		return 1;
	enter("yes", NEEDS);
	return 0;
}

static void
shortage_makes_no_sandbox_weaker(void **state)
{
	(void)state;
	assert_int_equal(attempt_reported(without_processes), 40);
	assert_int_equal(attempt_reported(without_memory), 40);
}

/* It is had again after so many waits. */
static struct shortage {
	__rlimit_resource_t resource; /* glibc's name for it */
	struct rlimit enough;
	int waits, left;
} shortage;

static bool
wait_for_it(void *ctx, const char *why)
{
	struct shortage *s = ctx;

	s->waits++;
	if (strncmp(why, "sandbox: ", 9) == 0 && --s->left == 0)
		(void)setrlimit(s->resource, &s->enough);
	return s->left >= 0;
}

/* 0: it was waited for, and the sandbox is what it is otherwise. */
static int
outlast(__rlimit_resource_t resource, rlim_t little)
{
	struct rlimit less;

	drop();
	log_set_sink(end_as_told, NULL);
	shortage = (struct shortage){.resource = resource, .left = 2};
	if (getrlimit(resource, &shortage.enough) != 0)
		return 1;
	less = (struct rlimit){little, shortage.enough.rlim_max};
	if (setrlimit(resource, &less) != 0)
		return 2;
	patience_set(wait_for_it, &shortage);
	enter("yes", NEEDS);
	if (shortage.waits != 2)
		return 3;
	return attempt_shell() == EPERM ? 0 : 4;
}

static int
outlast_processes(void)
{
	return outlast(RLIMIT_NPROC, 0);
}

static int
outlast_descriptors(void)
{
	int fd = open("/dev/null", O_RDONLY);

	return fd < 0 ? 5 : outlast(RLIMIT_NOFILE, (rlim_t)fd + 1);
}

static void
shortage_is_waited_for_while_it_is_made(void **state)
{
	(void)state;
	assert_int_equal(attempt_reported(outlast_processes), 0);
	assert_int_equal(attempt_reported(outlast_descriptors), 0);
}

#ifdef __x86_64__
/* getpid() of i386, whose number is another call's here. */
static int
call_by_old_gate(void)
{
	long rc = 20;

	(void)signal(SIGSEGV, SIG_DFL);
	drop();
	enter("yes", NEEDS);
	__asm__ volatile("int $0x80" : "+a"(rc) : : "memory");
	return (int)-rc;
}

static void
call_of_another_architecture_is_refused(void **state)
{
	int error;

	(void)state;
	error = attempt_reported(call_by_old_gate);
	/* A kernel without i386 ends the process. */
	assert_true(error == EPERM || error == 1000);
}
#endif

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    TEST(rights_that_a_lane_does_without_are_refused),
	    TEST(rights_are_there_without_the_sandbox),
	    TEST(log_refuses_the_worst_and_lets_the_rest_be),
	    TEST(no_leaves_all_as_it_is),
	    TEST(refusal_is_told_once),
	    TEST(who_only_answers_calls_nobody),
	    TEST(call_that_is_newer_than_the_list_does_not_exist),
	    TEST(shortage_makes_no_sandbox_weaker),
	    TEST(shortage_is_waited_for_while_it_is_made),
#ifdef __x86_64__
	    TEST(call_of_another_architecture_is_refused),
#endif
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
