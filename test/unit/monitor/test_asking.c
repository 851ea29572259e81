/* What a lane that is not there, or does not answer, is told apart by. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "common/shared/askproto.h"
#include "common/shared/board.h"
#include "monitor/asking.h"
#include "test/support/statedir.h"

enum { CALLERS_MAX = 64 };

static struct sockaddr_un
name_of(const char *dir, const char *lane)
{
	struct sockaddr_un to = {.sun_family = AF_UNIX};

	(void)snprintf(to.sun_path, sizeof(to.sun_path),
	    "%.80s/" ASKPROTO_PREFIX "%016llx", dir,
	    (unsigned long long)board_hash(lane));
	return to;
}

static int
new_socket(void)
{
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0);

	assert_true(fd >= 0);
	return fd;
}

static enum asking_result
ask(const char *dir)
{
	char answer[100];

	return asking_ask(dir, "fast", "retry", answer, sizeof(answer));
}

static void
asking_tells_nobody_from_who_is_too_busy(void **state)
{
	const char *dir = *state;
	struct sockaddr_un to = name_of(dir, "fast");
	int callers[CALLERS_MAX], n = 0, fd = new_socket();

	assert_int_equal(ask("/nonexistent"), ASKING_NOBODY);
	assert_int_equal(ask(dir), ASKING_NOBODY);
	assert_int_equal(bind(fd, (struct sockaddr *)&to, sizeof(to)), 0);
	assert_int_equal(ask(dir), ASKING_NOBODY);
	assert_int_equal(listen(fd, 0), 0);
	do {
		assert_true(n < CALLERS_MAX);
		callers[n++] = new_socket();
	} while (
	    connect(callers[n - 1], (struct sockaddr *)&to, sizeof(to)) == 0);
	assert_int_equal(errno, EAGAIN);
	assert_int_equal(ask(dir), ASKING_SILENT);
	while (n > 0)
		(void)close(callers[--n]);
	(void)close(fd);
	assert_int_equal(ask(dir), ASKING_NOBODY);
}

/* What another user may have put in the directory, for root to speak to. */
static void
asking_speaks_to_no_socket_that_is_not_the_owners(void **state)
{
	const char *dir = *state;
	struct sockaddr_un to = name_of(dir, "fast"), away = to;
	char answer[200];
	int fd = new_socket(), other = new_socket();

	/* A link to somebody's socket elsewhere. */
	(void)snprintf(
	    away.sun_path, sizeof(away.sun_path), "%.80s/elsewhere", dir);
	assert_int_equal(bind(fd, (struct sockaddr *)&away, sizeof(away)), 0);
	assert_int_equal(listen(fd, 1), 0);
	assert_int_equal(symlink("elsewhere", to.sun_path), 0);
	assert_int_equal(
	    asking_ask(dir, "fast", "retry", answer, sizeof(answer)),
	    ASKING_REFUSED);
	assert_non_null(strstr(answer, "cannot be used: it is not a socket"));
	assert_int_equal(accept(fd, NULL, NULL), -1);
	assert_int_equal(unlink(to.sun_path), 0);
	if (geteuid() != 0)
		skip();
	/* One that another user made. */
	assert_int_equal(bind(other, (struct sockaddr *)&to, sizeof(to)), 0);
	assert_int_equal(listen(other, 1), 0);
	assert_int_equal(chown(to.sun_path, 65534, 65534), 0);
	assert_int_equal(
	    asking_ask(dir, "fast", "retry", answer, sizeof(answer)),
	    ASKING_REFUSED);
	assert_non_null(strstr(answer, "it belongs to somebody else"));
	assert_int_equal(accept(other, NULL, NULL), -1);
	/* One that is the owner's by now, and at which another listens. */
	assert_int_equal(chown(to.sun_path, 0, 0), 0);
	assert_int_equal(seteuid(65534), 0);
	assert_int_equal(listen(other, 1), 0);
	assert_int_equal(seteuid(0), 0);
	assert_int_equal(
	    asking_ask(dir, "fast", "retry", answer, sizeof(answer)),
	    ASKING_REFUSED);
	(void)close(fd);
	(void)close(other);
}

static int alarms[2]; /* an octet for each signal that came */

static void
on_alarm(int number)
{
	int error = errno;

	(void)number;
	(void)!write(alarms[1], "x", 1);
	errno = error;
}

static void
wait_for_alarms(int n)
{
	char octet;

	while (n > 0 && read(alarms[0], &octet, 1) == 1)
		n--;
}

/* Answers in two parts, with signals at the caller before each of them. */
static void
answer_with_signals(int fd)
{
	char question[64];
	int peer = accept(fd, NULL, NULL);

	(void)close(alarms[1]); /* it does not outlive the caller */
	(void)!read(peer, question, sizeof(question));
	wait_for_alarms(3);
	(void)!write(peer, "ok after ", 9);
	wait_for_alarms(3);
	(void)!write(peer, "all\n", 4);
	(void)close(peer);
}

static void
set_alarms(long us)
{
	struct itimerval every = {{0, us}, {0, us}};

	assert_int_equal(setitimer(ITIMER_REAL, &every, NULL), 0);
}

/* A terminal that changes its size, a child that ends: no reason to give up. */
static void
asking_waits_on_when_signals_come(void **state)
{
	const char *dir = *state;
	struct sockaddr_un to = name_of(dir, "fast");
	struct sigaction act = {.sa_handler = on_alarm}, before;
	enum asking_result result;
	char answer[100];
	int fd = socket(AF_UNIX, SOCK_STREAM, 0), status;
	pid_t child;

	assert_int_equal(pipe(alarms), 0);
	assert_int_equal(bind(fd, (struct sockaddr *)&to, sizeof(to)), 0);
	assert_int_equal(listen(fd, 1), 0);
	assert_int_equal(sigaction(SIGALRM, &act, &before), 0);
	child = fork();
	assert_true(child >= 0);
	if (child == 0) {
		answer_with_signals(fd);
		_exit(0);
	}
	set_alarms(2000);
	result = asking_ask(dir, "fast", "retry", answer, sizeof(answer));
	set_alarms(0);
	assert_int_equal(result, ASKING_OK);
	assert_string_equal(answer, "after all");
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_int_equal(status, 0);
	assert_int_equal(sigaction(SIGALRM, &before, NULL), 0);
	(void)close(fd);
	(void)close(alarms[0]);
	(void)close(alarms[1]);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    IN_STATEDIR(asking_tells_nobody_from_who_is_too_busy),
	    IN_STATEDIR(asking_speaks_to_no_socket_that_is_not_the_owners),
	    IN_STATEDIR(asking_waits_on_when_signals_come),
	};

	return cmocka_run_group_tests_name("asking", tests, NULL, NULL);
}
