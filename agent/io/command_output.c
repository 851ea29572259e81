#include "agent/io/command_output.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "agent/io/patience.h"
#include "common/base/clock.h"
#include "common/base/log.h"
#include "common/base/mem.h"

extern char **environ;

enum { OUT, ERR, STARTED, PIPES };

/* What is to be run, and how. */
struct command {
	const char *const *argv;
	int stdin_fd; /* -1: nothing to read */
	int limit_ms;
	bool is_final; /* the limit is the command's, and no reason to wait */
};

/* The pipes of one run; those of STARTED carry the errno of a child that did
 * not come to run the program. */
struct pipes {
	int read[PIPES], write[PIPES];
};

/* In the child: only async-signal-safe calls, as a test may have threads. */
static void
become(const struct command *command, const struct pipes *pipes)
{
	/* execve() takes char *const *, and promises not to write. */
	union {
		const char *const *in;
		char *const *out;
	} args = {command->argv};
	/* The pipes may themselves be 0..2 when those were closed. */
	int started = fcntl(pipes->write[STARTED], F_DUPFD_CLOEXEC, 3);
	int out = fcntl(pipes->write[OUT], F_DUPFD_CLOEXEC, 3);
	int err = fcntl(pipes->write[ERR], F_DUPFD_CLOEXEC, 3);
	int in = command->stdin_fd >= 0
		     ? fcntl(command->stdin_fd, F_DUPFD_CLOEXEC, 3)
		     : open("/dev/null", O_RDONLY);
	int error;

	if (started >= 0 && out >= 0 && err >= 0 && in >= 0 &&
	    dup2(in, 0) >= 0 && dup2(out, 1) >= 0 && dup2(err, 2) >= 0) {
		(void)close_range(3, (unsigned)started - 1, 0);
		(void)close_range((unsigned)started + 1, ~0U, 0);
		(void)signal(SIGPIPE, SIG_DFL);
		(void)execve(command->argv[0], args.out, environ);
	}
	error = errno;
	if (started < 0)
		started = pipes->write[STARTED];
	_exit(write(started, &error, sizeof(error)) < 0 ? 126 : 127);
}

/* One read into b: 1, 0 at the end, -1 with errno. What is above the buffer's
 * maximum is read and dropped, so that the child can go on. */
static int
take(int fd, struct buf *b)
{
	char chunk[16384];
	ssize_t n = read(fd, chunk, sizeof(chunk));

	if (n < 0)
		return errno == EINTR || errno == EAGAIN ? 1 : -1;
	if (n > 0)
		(void)buf_add(b, chunk, (size_t)n);
	explicit_bzero(chunk, sizeof(chunk));
	return n > 0;
}

/* Reads all pipes to their ends. 0, or an errno value. */
static int
collect(struct buf *const into[], const struct pipes *pipes, int limit_ms)
{
	int64_t end_ms = clock_mono_ms() + limit_ms;
	struct pollfd p[PIPES];
	int open = PIPES;

	for (int i = 0; i < PIPES; i++)
		p[i] = (struct pollfd){pipes->read[i], POLLIN, 0};
	while (open > 0) {
		int64_t left_ms = end_ms - clock_mono_ms();

		if (left_ms <= 0)
			return ETIMEDOUT;
		if (poll(p, PIPES, (int)left_ms) < 0) {
			if (errno != EINTR)
				return errno;
			continue;
		}
		for (int i = 0; i < PIPES; i++) {
			int more =
			    p[i].revents != 0 ? take(p[i].fd, into[i]) : 1;

			if (more < 0)
				return errno;
			if (more == 0) {
				p[i].fd = -1;
				open--;
			}
		}
	}
	return 0;
}

static int
reap(pid_t pid)
{
	int status;

	while (waitpid(pid, &status, 0) < 0)
		if (errno != EINTR)
			return -1;
	return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

static int
open_pipes(struct pipes *pipes)
{
	for (int i = 0; i < PIPES; i++)
		pipes->read[i] = pipes->write[i] = -1;
	for (int i = 0; i < PIPES; i++) {
		int fd[2];

		if (pipe2(fd, O_CLOEXEC) != 0)
			return errno;
		pipes->read[i] = fd[0];
		pipes->write[i] = fd[1];
	}
	return 0;
}

static void
close_all(int fd[])
{
	for (int i = 0; i < PIPES; i++) {
		if (fd[i] >= 0)
			(void)close(fd[i]);
		fd[i] = -1;
	}
}

/* Until the child is gone. 0, or the errno of the call that failed here or,
 * before the program ran, there. */
static int
follow(struct command_output_result *result, pid_t pid, struct buf *started,
    const struct pipes *pipes, int limit_ms)
{
	struct buf *const into[PIPES] = {&result->out, &result->err, started};
	int error = collect(into, pipes, limit_ms), told;

	if (error != 0)
		(void)kill(pid, SIGKILL);
	result->status = reap(pid);
	if (error == 0 && buf_len(started) == sizeof(told)) {
		memcpy(&told, buf_slice(started).p, sizeof(told));
		error = told;
	}
	if (error == 0 && result->status < 0)
		error = ECHILD;
	return error;
}

static int
run_once(struct command_output_result *result, const struct command *command)
{
	struct pipes pipes;
	struct buf started;
	pid_t pid = -1;
	int error = open_pipes(&pipes);

	if (error == 0) {
		pid = fork();
		error = pid < 0 ? errno : 0;
	}
	if (pid == 0)
		become(command, &pipes);
	close_all(pipes.write);
	if (pid > 0) {
		buf_init(&started, sizeof(error));
		error =
		    follow(result, pid, &started, &pipes, command->limit_ms);
		buf_fini(&started);
	}
	close_all(pipes.read);
	return error;
}

/* The program is not there or is none: no other day will change that. */
static bool
is_of_program(int error)
{
	return error == ENOENT || error == ENOTDIR || error == EACCES ||
	       error == EPERM || error == ELOOP || error == ENOEXEC ||
	       error == EISDIR || error == ENAMETOOLONG;
}

static char *
explain(const char *program, int error)
{
	if (error == ECHILD)
		return mem_printf("%s: was killed", program);
	if (error == ETIMEDOUT)
		return mem_printf("%s: timed out", program);
	return mem_printf(
	    "%s: cannot run the program: %s", program, strerror(error));
}

static bool
is_worth_repeating(const struct command *command, int error)
{
	return error != 0 && !is_of_program(error) &&
	       !(command->is_final && error == ETIMEDOUT);
}

static void
run(struct command_output_result *result, const struct command *command)
{
	char *why = NULL;
	bool again;
	int error;

	CHECK(command->argv[0] != NULL && command->limit_ms > 0);
	buf_init(&result->out, COMMAND_OUTPUT_MAX);
	buf_init(&result->err, COMMAND_OUTPUT_ERROR_MAX);
	/* Growing copies, and what is left behind cannot be wiped. */
	(void)buf_reserve(&result->out, 65536);
	do {
		buf_wipe(&result->out);
		buf_reset(&result->err);
		result->status = -1;
		error = run_once(result, command);
		mem_free(why);
		why = error != 0 ? explain(command->argv[0], error) : NULL;
		again =
		    is_worth_repeating(command, error) && patience_wait(why);
	} while (again);
	if (error != 0) {
		result->status = -1;
		buf_wipe(&result->out);
		(void)buf_addf(&result->err, "%s%s",
		    buf_len(&result->err) > 0 ? "; " : "", why);
	}
	mem_free(why);
}

void
command_output_run(
    struct command_output_result *result, const char *const *argv)
{
	run(result,
	    &(struct command){argv, -1, COMMAND_OUTPUT_TIMEOUT_MS, false});
}

void
command_output_try(struct command_output_result *result,
    const char *const *argv, int stdin_fd, int limit_ms)
{
	run(result, &(struct command){argv, stdin_fd, limit_ms, true});
}

void
command_output_fini(struct command_output_result *result)
{
	buf_fini_secret(&result->out);
	buf_fini(&result->err);
}
