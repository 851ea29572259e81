#include "monitor/asking.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "common/base/clock.h"
#include "common/base/log.h"
#include "common/shared/askproto.h"
#include "common/shared/board.h"

/* By the directory's descriptor, as a path may be longer than a socket's name
 * may be. -1: errno says why. */
static int
connect_to(const char *directory, const char *lane_name)
{
	struct sockaddr_un to = {.sun_family = AF_UNIX};
	int dir_fd = open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	int error;

	(void)snprintf(to.sun_path, sizeof(to.sun_path),
	    "/proc/self/fd/%d/" ASKPROTO_PREFIX "%016llx", dir_fd,
	    (unsigned long long)board_hash(lane_name));
	if (dir_fd >= 0 && fd >= 0 &&
	    connect(fd, (const struct sockaddr *)&to, sizeof(to)) == 0) {
		(void)close(dir_fd);
		return fd;
	}
	error = errno;
	if (dir_fd >= 0)
		(void)close(dir_fd);
	if (fd >= 0)
		(void)close(fd);
	errno = error;
	return -1;
}

/* All that comes before the end; false: it did not come in time. */
static bool
receive(int fd, char *text, size_t n)
{
	int64_t until_ms = clock_mono_ms() + ASKPROTO_WAIT_MS;
	struct pollfd p = {.fd = fd, .events = POLLIN};
	size_t length = 0;

	for (;;) {
		int64_t left = until_ms - clock_mono_ms();
		ssize_t got;

		if (left <= 0 || poll(&p, 1, (int)left) <= 0)
			return false;
		got = recv(fd, text + length, n - 1 - length, 0);
		if (got < 0 && (errno == EAGAIN || errno == EINTR))
			continue;
		if (got <= 0)
			break;
		length += (size_t)got;
		if (length == n - 1)
			break;
	}
	text[length] = '\0';
	text[strcspn(text, "\n")] = '\0';
	return length > 0;
}

enum asking_result
asking_ask(const char *directory, const char *lane_name, const char *question,
    char *answer, size_t n)
{
	int fd = connect_to(directory, lane_name);
	char line[ASKPROTO_QUESTION_MAX], text[ASKPROTO_ANSWER_MAX];
	int length = snprintf(line, sizeof(line), "%s\n", question);
	bool is_answered;

	answer[0] = '\0';
	/* Whoever has too many that wait (EAGAIN) is there all the same. */
	if (fd < 0)
		return errno == ENOENT || errno == ECONNREFUSED ? ASKING_NOBODY
								: ASKING_SILENT;
	is_answered = length > 0 && (size_t)length < sizeof(line) &&
		      send(fd, line, (size_t)length, MSG_NOSIGNAL) == length &&
		      receive(fd, text, sizeof(text));
	(void)close(fd);
	if (!is_answered)
		return ASKING_SILENT;
	log_safe(text, strlen(text));
	if (strcmp(text, "ok") == 0 || strncmp(text, "ok ", 3) == 0) {
		(void)snprintf(answer, n, "%s", text[2] == ' ' ? text + 3 : "");
		return ASKING_OK;
	}
	(void)snprintf(
	    answer, n, "%s", strncmp(text, "error ", 6) == 0 ? text + 6 : text);
	return ASKING_REFUSED;
}
