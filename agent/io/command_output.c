#include "agent/io/command_output.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/base/clock.h"

extern char **environ;

/* In the child: only async-signal-safe calls, as a test may have threads. */
static void
become(const char *const *argv, int out, int err)
{
	/* execve() takes char *const *, and promises not to write. */
	union {
		const char *const *in;
		char *const *out;
	} args = {argv};
	int null = open("/dev/null", O_RDONLY);

	/* The pipes may themselves be 0..2 when those were closed. */
	out = fcntl(out, F_DUPFD, 3);
	err = fcntl(err, F_DUPFD, 3);
	if (null < 0 || out < 0 || err < 0 || dup2(null, 0) < 0 ||
	    dup2(out, 1) < 0 || dup2(err, 2) < 0)
		_exit(127);
	(void)close_range(3, ~0U, 0);
	(void)signal(SIGPIPE, SIG_DFL);
	(void)execve(argv[0], args.out, environ);
	(void)!write(2, "cannot run the program: ", 24);
	(void)!write(2, strerrordesc_np(errno), strlen(strerrordesc_np(errno)));
	_exit(127);
}

/* One read into b; false at the end. What is above the buffer's maximum is
 * read and dropped, so that the child can go on. */
static bool
take(int fd, struct buf *b)
{
	char chunk[16384];
	ssize_t n = read(fd, chunk, sizeof(chunk));

	if (n < 0)
		return errno == EINTR || errno == EAGAIN;
	if (n > 0)
		(void)buf_add(b, chunk, (size_t)n);
	explicit_bzero(chunk, sizeof(chunk));
	return n > 0;
}

/* Reads both pipes to their ends; false when the time is over. */
static bool
collect(struct command_output_result *result, int out, int err)
{
	int64_t end_ms = clock_mono_ms() + COMMAND_OUTPUT_TIMEOUT_MS;
	struct pollfd p[2] = {{out, POLLIN, 0}, {err, POLLIN, 0}};

	while (p[0].fd >= 0 || p[1].fd >= 0) {
		int64_t left_ms = end_ms - clock_mono_ms();

		if (left_ms <= 0)
			return false;
		if (poll(p, 2, (int)left_ms) < 0 && errno != EINTR)
			return false;
		if (p[0].revents != 0 && !take(out, &result->out))
			p[0].fd = -1;
		if (p[1].revents != 0 && !take(err, &result->err))
			p[1].fd = -1;
		p[0].revents = p[1].revents = 0;
	}
	return true;
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

void
command_output_run(
    struct command_output_result *result, const char *const *argv)
{
	int out[2] = {-1, -1}, err[2] = {-1, -1};
	pid_t pid = -1;

	buf_init(&result->out, COMMAND_OUTPUT_MAX);
	buf_init(&result->err, COMMAND_OUTPUT_ERROR_MAX);
	result->status = -1;
	/* Growing copies, and what is left behind cannot be wiped. */
	(void)buf_reserve(&result->out, 65536);
	if (pipe2(out, O_CLOEXEC) == 0 && pipe2(err, O_CLOEXEC) == 0)
		pid = fork();
	if (pid == 0)
		become(argv, out[1], err[1]);
	if (pid < 0)
		(void)buf_addf(&result->err, "%s: cannot start: %s", argv[0],
		    strerror(errno));
	if (out[1] >= 0)
		(void)close(out[1]);
	if (err[1] >= 0)
		(void)close(err[1]);
	if (pid > 0) {
		if (!collect(result, out[0], err[0])) {
			(void)buf_addf(&result->err, "%s: timed out", argv[0]);
			(void)kill(pid, SIGKILL);
		}
		result->status = reap(pid);
	}
	if (out[0] >= 0)
		(void)close(out[0]);
	if (err[0] >= 0)
		(void)close(err[0]);
}

void
command_output_fini(struct command_output_result *result)
{
	buf_fini_secret(&result->out);
	buf_fini(&result->err);
}
