#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>
#include <cmocka.h>

#include "agent/io/command_output.h"
#include "agent/io/patience.h"

/* The calls of a run, here and in the child, each of which fails once. They
 * stand in front of the library's own. */
static struct fault {
	const char *call; /* NULL: none */
	int at; /* its at-th call fails; counts down */
	int error;
} * fault; /* shared with the children */

static bool
fails(const char *call)
{
	if (fault == NULL || fault->call == NULL ||
	    strcmp(fault->call, call) != 0 || --fault->at != 0)
		return false;
	errno = fault->error;
	return true;
}

pid_t
fork(void)
{
	return fails("fork") ? -1 : _Fork();
}

int
pipe2(int fd[2], int flags)
{
	return fails("pipe2") ? -1 : (int)syscall(SYS_pipe2, fd, flags);
}

ssize_t
read(int fd, void *p, size_t n)
{
	return fails("read") ? -1 : syscall(SYS_read, fd, p, n);
}

int
poll(struct pollfd *p, nfds_t n, int ms)
{
	return fails("poll") ? -1 : (int)syscall(SYS_poll, p, n, ms);
}

int
fcntl(int fd, int command, ...)
{
	va_list ap;
	long argument;

	va_start(ap, command);
	argument = va_arg(ap, long);
	va_end(ap);
	return fails("fcntl") ? -1
			      : (int)syscall(SYS_fcntl, fd, command, argument);
}

int
dup2(int from, int to)
{
	return fails("dup2") ? -1 : (int)syscall(SYS_dup2, from, to);
}

int
open(const char *path, int flags, ...)
{
	return fails("open")
		   ? -1
		   : (int)syscall(SYS_openat, AT_FDCWD, path, flags, 0);
}

int
execve(const char *path, char *const argv[], char *const envp[])
{
	return fails("execve") ? -1
			       : (int)syscall(SYS_execve, path, argv, envp);
}

static int asked;
static bool may_try;
static char told[256];

static bool
patience(void *ctx, const char *why)
{
	asked++;
	(void)snprintf(told, sizeof(told), "%s", why);
	assert_ptr_equal(ctx, &asked);
	return may_try && asked < 3;
}

static const char *const talker[] = {
    "/bin/sh", "-c", "echo out; echo err >&2; exit 3", NULL};

static int
setup(void **state)
{
	(void)state;
	if (fault == NULL)
		fault = mmap(NULL, sizeof(*fault), PROT_READ | PROT_WRITE,
		    MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	assert_ptr_not_equal(fault, MAP_FAILED);
	fault->call = NULL;
	asked = 0;
	may_try = true;
	patience_set(patience, &asked);
	return 0;
}

static void
command_output_is_whole_or_none(void **state)
{
	/* sure: as many there are always, more depend on how output comes. */
	static const struct {
		const char *call;
		int sure, most, error;
	} calls[] = {{"fork", 1, 1, EAGAIN}, {"pipe2", 3, 3, EMFILE},
	    {"poll", 1, 4, ENOMEM}, {"read", 5, 6, EIO},
	    {"fcntl", 3, 3, EMFILE}, {"open", 1, 1, ENFILE},
	    {"dup2", 3, 3, EMFILE}, {"execve", 1, 1, ENOMEM}};
	struct command_output_result r;

	(void)state;
	for (size_t i = 0; i < sizeof(calls) / sizeof(calls[0]); i++)
		for (int n = 1; n <= calls[i].most; n++) {
			asked = 0;
			*fault =
			    (struct fault){calls[i].call, n, calls[i].error};
			command_output_run(&r, talker);
			fault->call = NULL;
			assert_true(
			    asked == 1 || (asked == 0 && n > calls[i].sure));
			if (asked == 1)
				assert_non_null(
				    strstr(told, strerror(calls[i].error)));
			assert_int_equal(r.status, 3);
			assert_string_equal(buf_str(&r.out), "out\n");
			assert_string_equal(buf_str(&r.err), "err\n");
			command_output_fini(&r);
		}
}

static void
command_output_gives_up_when_told(void **state)
{
	struct command_output_result r;

	(void)state;
	may_try = false;
	*fault = (struct fault){"read", 1, EIO};
	command_output_run(&r, talker);
	assert_int_equal(asked, 1);
	assert_int_equal(r.status, -1);
	assert_string_equal(buf_str(&r.out), "");
	assert_non_null(strstr(buf_str(&r.err),
	    "/bin/sh: cannot run the program: Input/output error"));
	command_output_fini(&r);
	patience_set(NULL, NULL);
	*fault = (struct fault){"fork", 1, EAGAIN};
	command_output_run(&r, talker);
	assert_int_equal(r.status, -1);
	command_output_fini(&r);
}

static void
command_output_of_no_program_is_not_waited_for(void **state)
{
	static const char *const nowhere[] = {"/nowhere/postconf", NULL};
	static const char *const no_program[] = {"/dev/null", NULL};
	struct command_output_result r;

	(void)state;
	command_output_run(&r, nowhere);
	assert_int_equal(r.status, -1);
	assert_string_equal(buf_str(&r.err),
	    "/nowhere/postconf: cannot run the program: No such file or "
	    "directory");
	command_output_fini(&r);
	command_output_run(&r, no_program);
	assert_int_equal(r.status, -1);
	command_output_fini(&r);
	assert_int_equal(asked, 0);
}

static void
command_output_of_a_killed_program_is_asked_for_again(void **state)
{
	static const char *const victim[] = {
	    "/bin/sh", "-c", "echo half; kill -9 $$", NULL};
	struct command_output_result r;

	(void)state;
	command_output_run(&r, victim);
	assert_int_equal(asked, 3);
	assert_int_equal(r.status, -1);
	assert_string_equal(buf_str(&r.out), "");
	assert_string_equal(told, "/bin/sh: was killed");
	command_output_fini(&r);
}

static void
command_output_works_without_standard_descriptors(void **state)
{
	struct command_output_result r;
	int saved[3];

	(void)state;
	for (int fd = 0; fd < 3; fd++) {
		saved[fd] = fcntl(fd, F_DUPFD_CLOEXEC, 10);
		(void)close(fd);
	}
	command_output_run(&r, talker);
	for (int fd = 0; fd < 3; fd++) {
		assert_int_equal(dup2(saved[fd], fd), fd);
		(void)close(saved[fd]);
	}
	assert_int_equal(r.status, 3);
	assert_string_equal(buf_str(&r.out), "out\n");
	assert_string_equal(buf_str(&r.err), "err\n");
	command_output_fini(&r);
}

#define TEST(f) cmocka_unit_test_setup(f, setup)

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    TEST(command_output_is_whole_or_none),
	    TEST(command_output_gives_up_when_told),
	    TEST(command_output_of_no_program_is_not_waited_for),
	    TEST(command_output_of_a_killed_program_is_asked_for_again),
	    TEST(command_output_works_without_standard_descriptors),
	};

	return cmocka_run_group_tests_name("command_output", tests, NULL, NULL);
}
