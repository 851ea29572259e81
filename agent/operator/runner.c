#include "agent/operator/runner.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <string.h>
#include <sys/pidfd.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/base/buf.h"
#include "common/base/log.h"
#include "common/base/mem.h"

enum { SOCKET = 3, NULL_FD = 0 };

/* In the runner. */
struct runner {
	char *line; /* blanks after words are NUL */
	char *argv[RUNNER_WORDS_MAX + 1];
	const char *const *names;
	int64_t limit_ms;
};

/* ---- the lane's side --------------------------------------------------- */

bool
runner_ask(int fd, const char *const *values)
{
	struct buf request;
	struct slice s;
	bool is_good = true;

	buf_init(&request, RUNNER_REQUEST_MAX);
	for (; *values != NULL; values++)
		is_good =
		    buf_add(&request, *values, strlen(*values) + 1) && is_good;
	s = buf_slice(&request);
	if (is_good)
		is_good = send(fd, s.p, s.n, MSG_NOSIGNAL | MSG_DONTWAIT) >= 0;
	else
		errno = EMSGSIZE;
	buf_fini(&request);
	return is_good;
}

bool
runner_answer(int fd, struct runner_result *out)
{
	ssize_t n = recv(fd, out, sizeof(*out), MSG_DONTWAIT);

	if (n == (ssize_t)sizeof(*out))
		return true;
	if (n >= 0 || errno == ECONNRESET)
		errno = 0;
	else if (errno == EINTR)
		errno = EAGAIN;
	return false;
}

/* ---- one run ----------------------------------------------------------- */

static int
prepare(posix_spawn_file_actions_t *files, posix_spawnattr_t *attr)
{
	sigset_t none, all;
	int rc = 0;

	(void)sigemptyset(&none);
	(void)sigfillset(&all);
	(void)posix_spawnattr_setsigmask(attr, &none);
	(void)posix_spawnattr_setsigdefault(attr, &all);
	rc = posix_spawnattr_setflags(
	    attr, (short)(POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF |
			  POSIX_SPAWN_SETSID));
	for (int fd = 1; fd < 3 && rc == 0; fd++)
		rc = posix_spawn_file_actions_adddup2(files, NULL_FD, fd);
	if (rc == 0)
		rc = posix_spawn_file_actions_addclosefrom_np(files, 3);
	if (rc == 0)
		rc = posix_spawn_file_actions_addchdir_np(files, "/");
	return rc;
}

static int
start(const struct runner *r, char *const *env, pid_t *pid_out)
{
	posix_spawn_file_actions_t files;
	posix_spawnattr_t attr;
	int rc = posix_spawn_file_actions_init(&files);

	if (rc != 0)
		return rc;
	rc = posix_spawnattr_init(&attr);
	if (rc == 0) {
		rc = prepare(&files, &attr);
		if (rc == 0)
			rc = posix_spawn(
			    pid_out, r->argv[0], &files, &attr, r->argv, env);
		(void)posix_spawnattr_destroy(&attr);
	}
	(void)posix_spawn_file_actions_destroy(&files);
	return rc;
}

/* True: it has ended in time. */
static bool
await(int pid_fd, int64_t limit_ms)
{
	struct pollfd p = {pid_fd, POLLIN, 0};

	/* Signals are ignored here: no call is broken off. */
	return poll(&p, 1, (int)limit_ms) > 0;
}

static struct runner_result
follow(const struct runner *r, pid_t pid)
{
	int status = 0, pid_fd = pidfd_open(pid, 0), error = errno;
	bool is_late = pid_fd >= 0 && !await(pid_fd, r->limit_ms);

	/* kill(2) of 0 or 1 would end this process or all there are. The group
	 * keeps its number until we have waited for its leader. Without a
	 * descriptor: better none than one that stays. */
	CHECK(pid > 1);
	if (is_late || pid_fd < 0)
		(void)kill(-pid, SIGKILL);
	while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
		continue;
	if (pid_fd < 0)
		return (struct runner_result){RUNNER_FAILED, error};
	(void)close(pid_fd);
	if (is_late)
		return (struct runner_result){RUNNER_LATE, 0};
	if (WIFSIGNALED(status))
		return (struct runner_result){
		    RUNNER_SIGNALLED, WTERMSIG(status)};
	return (struct runner_result){RUNNER_EXITED, WEXITSTATUS(status)};
}

/* Values follow each other, each with its NUL. False: it is no request. */
static bool
make_env(const struct runner *r, const char *p, size_t n, char **env)
{
	const char *end = p + n;
	size_t count = 0;

	env[count++] = mem_strdup(RUNNER_PATH);
	for (; p < end && r->names[count - 1] != NULL; count++) {
		size_t length = strnlen(p, (size_t)(end - p));

		if (p + length == end)
			return false;
		env[count] = mem_printf("%s=%s", r->names[count - 1], p);
		p += length + 1;
	}
	return p == end && r->names[count - 1] == NULL;
}

static struct runner_result
run(const struct runner *r, const char *request, size_t n)
{
	char *env[RUNNER_NAMES_MAX + 2] = {NULL};
	struct runner_result result = {RUNNER_FAILED, EBADMSG};
	pid_t pid = -1;

	if (make_env(r, request, n, env)) {
		result.value = start(r, env, &pid);
		if (result.value == 0)
			result = follow(r, pid);
	}
	for (char **e = env; *e != NULL; e++)
		mem_free(*e);
	return result;
}

/* ---- life -------------------------------------------------------------- */

static void
split(struct runner *r, const char *command)
{
	static const char blanks[] = " \t\r\n";
	size_t n = 0;

	r->line = mem_strdup(command);
	for (char *at = r->line + strspn(r->line, blanks);
	     *at != '\0' && n < RUNNER_WORDS_MAX;) {
		size_t length = strcspn(at, blanks);
		char *next = at + length + strspn(at + length, blanks);

		r->argv[n++] = at;
		at[length] = '\0';
		at = next;
	}
	CHECK(n > 0);
}

/* /dev/null as 0 to 2, the socket as 3, nothing else. */
static bool
take_descriptors(int fd)
{
	int null_fd, kept = fcntl(fd, F_DUPFD_CLOEXEC, SOCKET + 1);

	null_fd = open("/dev/null", O_RDWR | O_CLOEXEC);
	if (kept < 0 || null_fd < 0)
		return false;
	for (int to = 0; to < SOCKET; to++)
		if (null_fd != to && dup2(null_fd, to) < 0)
			return false;
	/* Before that its number may have been another's. */
	return dup3(kept, SOCKET, O_CLOEXEC) == SOCKET &&
	       close_range(SOCKET + 1, ~0U, 0) == 0;
}

static void
ignore_signals(void)
{
	static const int ignored[] = {SIGTERM, SIGHUP, SIGINT, SIGQUIT, SIGUSR1,
	    SIGUSR2, SIGPIPE, SIGALRM};

	for (size_t i = 0; i < sizeof(ignored) / sizeof(ignored[0]); i++)
		(void)signal(ignored[i], SIG_IGN);
	(void)signal(SIGCHLD, SIG_DFL);
}

/* Never returns: what the parent's exit handlers do is the parent's. */
static void
serve(const struct runner_plan *plan, int fd)
{
	struct runner r = {.names = plan->names, .limit_ms = plan->limit_ms};
	char request[RUNNER_REQUEST_MAX];
	struct runner_result result;
	ssize_t n;

	ignore_signals();
	log_set_sink(NULL, NULL);
	(void)prctl(PR_SET_NAME, "lane-runner");
	if (!take_descriptors(fd) ||
	    (plan->begin != NULL && !plan->begin(plan->ctx)))
		_exit(1);
	split(&r, plan->command);
	while ((n = recv(SOCKET, request, sizeof(request), 0)) > 0) {
		result = run(&r, request, (size_t)n);
		if (send(SOCKET, &result, sizeof(result), MSG_NOSIGNAL) < 0)
			break;
	}
	_exit(0);
}

int
runner_start(const struct runner_plan *plan)
{
	size_t names = 0;
	int pair[2], saved;
	pid_t pid;

	while (plan->names[names] != NULL)
		names++;
	CHECK(names > 0 && names <= RUNNER_NAMES_MAX && plan->limit_ms > 0);
	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) != 0)
		return -1;
	pid = fork();
	if (pid == 0)
		serve(plan, pair[1]);
	saved = errno;
	(void)close(pair[1]);
	if (pid > 0)
		return pair[0];
	(void)close(pair[0]);
	errno = saved;
	return -1;
}
