#include "monitor/asking.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "common/base/clock.h"
#include "common/base/log.h"
#include "common/shared/askproto.h"
#include "common/shared/board.h"

static void
close_quietly(int fd)
{
	int error = errno;

	(void)close(fd);
	errno = error;
}

/* A socket that the directory's owner, or root, has put there. What else may
 * bear its name (a link to another program's socket) is not spoken to, nor
 * opened. -1: errno; ENOTSOCK, EPERM: it is such a thing. */
static int
find_socket(int dir_fd, const char *name, uid_t owner)
{
	int fd = openat(dir_fd, name, O_PATH | O_NOFOLLOW | O_CLOEXEC);
	struct stat st;

	if (fd < 0)
		return -1;
	if (fstat(fd, &st) != 0)
		st = (struct stat){.st_uid = (uid_t)-1};
	if (S_ISSOCK(st.st_mode) && (st.st_uid == owner || st.st_uid == 0))
		return fd;
	errno = S_ISSOCK(st.st_mode) ? EPERM : ENOTSOCK;
	close_quietly(fd);
	return -1;
}

/* Whoever listens is root or the directory's owner, as lanes are. */
static bool
is_lane(int fd, uid_t owner)
{
	struct ucred peer;
	socklen_t n = sizeof(peer);

	if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &n) != 0)
		return false;
	errno = EPERM;
	return peer.uid == owner || peer.uid == 0;
}

/* By descriptors, as a path may be longer than a socket's name may be, and lead
 * elsewhere a moment later. -1: errno says why. */
static int
connect_in(int dir_fd, const char *lane_name)
{
	struct sockaddr_un to = {.sun_family = AF_UNIX};
	char name[64];
	struct stat st;
	int fd, at;

	(void)snprintf(name, sizeof(name), ASKPROTO_PREFIX "%016llx",
	    (unsigned long long)board_hash(lane_name));
	if (fstat(dir_fd, &st) != 0)
		return -1;
	at = find_socket(dir_fd, name, st.st_uid);
	if (at < 0)
		return -1;
	(void)snprintf(
	    to.sun_path, sizeof(to.sun_path), "/proc/self/fd/%d", at);
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd >= 0 &&
	    (connect(fd, (const struct sockaddr *)&to, sizeof(to)) != 0 ||
		!is_lane(fd, st.st_uid))) {
		close_quietly(fd);
		fd = -1;
	}
	close_quietly(at);
	return fd;
}

static int
connect_to(const char *directory, const char *lane_name)
{
	int dir_fd = open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	int fd = dir_fd >= 0 ? connect_in(dir_fd, lane_name) : -1;

	if (dir_fd >= 0)
		close_quietly(dir_fd);
	return fd;
}

/* The first line, with all that comes before the end or (is_line) no octet of
 * what follows; false: it did not come in time. */
static bool
receive(int fd, char *text, size_t n, bool is_line)
{
	int64_t until_ms = clock_mono_ms() + ASKPROTO_WAIT_MS;
	struct pollfd p = {.fd = fd, .events = POLLIN};
	size_t length = 0;

	for (;;) {
		int64_t left = until_ms - clock_mono_ms();
		ssize_t got;

		if (left <= 0)
			return false;
		if (poll(&p, 1, (int)left) <= 0)
			continue;
		got = recv(fd, text + length, is_line ? 1 : n - 1 - length,
		    MSG_DONTWAIT);
		if (got < 0 && (errno == EAGAIN || errno == EINTR))
			continue;
		if (got <= 0)
			break;
		length += (size_t)got;
		if (length == n - 1 || (is_line && text[length - 1] == '\n'))
			break;
	}
	text[length] = '\0';
	text[strcspn(text, "\n")] = '\0';
	return length > 0;
}

/* Whoever has too many that wait (EAGAIN) is there all the same. */
static enum asking_result
why_not(char *answer, size_t n)
{
	if (errno == ENOENT || errno == ECONNREFUSED)
		return ASKING_NOBODY;
	if (errno != ENOTSOCK && errno != EPERM)
		return ASKING_SILENT;
	(void)snprintf(answer, n,
	    "its socket in lane_state_directory cannot be used: it %s",
	    errno == ENOTSOCK ? "is not a socket" : "belongs to somebody else");
	return ASKING_REFUSED;
}

static bool
say(int fd, const char *question)
{
	char line[ASKPROTO_QUESTION_MAX];
	int length = snprintf(line, sizeof(line), "%s\n", question);

	return length > 0 && (size_t)length < sizeof(line) &&
	       send(fd, line, (size_t)length, MSG_NOSIGNAL) == length;
}

/* What the line says; answer: the rest of it. */
static enum asking_result
judge(char *text, char *answer, size_t n)
{
	log_safe(text, strlen(text));
	if (strcmp(text, "ok") == 0 || strncmp(text, "ok ", 3) == 0) {
		(void)snprintf(answer, n, "%s", text[2] == ' ' ? text + 3 : "");
		return ASKING_OK;
	}
	(void)snprintf(
	    answer, n, "%s", strncmp(text, "error ", 6) == 0 ? text + 6 : text);
	return ASKING_REFUSED;
}

enum asking_result
asking_ask(const char *directory, const char *lane_name, const char *question,
    char *answer, size_t n)
{
	int fd = connect_to(directory, lane_name);
	char text[ASKPROTO_ANSWER_MAX];
	bool is_answered;

	answer[0] = '\0';
	if (fd < 0)
		return why_not(answer, n);
	is_answered =
	    say(fd, question) && receive(fd, text, sizeof(text), false);
	(void)close(fd);
	return is_answered ? judge(text, answer, n) : ASKING_SILENT;
}

int
asking_open(const char *directory, const char *lane_name, const char *question,
    enum asking_result *result, char *answer, size_t n)
{
	int fd = connect_to(directory, lane_name);
	char text[ASKPROTO_QUESTION_MAX];

	answer[0] = '\0';
	if (fd < 0)
		*result = why_not(answer, n);
	else if (say(fd, question) && receive(fd, text, sizeof(text), true))
		*result = judge(text, answer, n);
	else
		*result = ASKING_SILENT;
	if (*result == ASKING_OK)
		return fd;
	if (fd >= 0)
		(void)close(fd);
	return -1;
}
