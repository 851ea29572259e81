/* runner: a process that runs the operator's program for one that may run
 * nothing (agent/confine).
 *
 *   lane --- values ---> runner --- execve ---> program
 *        <-- result ----
 *
 * It is forked at start, before there is a password in memory, and knows then
 * what it may run: the words of one command, and the names of the variables of
 * its environment. A request has values for these names and nothing else, so
 * whoever has got hold of the lane can run the operator's program, with texts
 * of his own in it, and no other.
 *
 * No shell: the command is split at blanks, its first word is an absolute path.
 * The program gets PATH and these variables, /dev/null as 0, 1 and 2, no other
 * descriptor, a session of its own, "/" as its directory, and the rights
 * of the runner. One at a time; one that takes too long is killed with all of
 * its process group. The runner ends when nobody has the other end of its
 * socket any more, and not by a signal to the process group, as that of
 * "postfix stop" is: the last alarm may be under way.
 */
#ifndef RUNNER_H
#define RUNNER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
	RUNNER_WORDS_MAX = 64, /* of the command; the rest is left out */
	RUNNER_NAMES_MAX = 16,
	RUNNER_REQUEST_MAX = 8192, /* octets of all values */
};

#define RUNNER_PATH "PATH=/usr/local/bin:/usr/bin:/bin"

struct runner_plan {
	const char *command;
	const char *const *names; /* of variables, up to a NULL */
	int64_t limit_ms;
	/* In the runner, before it serves: gives up rights. False: it ends.
	 * May be NULL. */
	bool (*begin)(void *ctx);
	void *ctx;
};

enum runner_end {
	RUNNER_EXITED, /* with this status */
	RUNNER_SIGNALLED, /* ended by this signal */
	RUNNER_LATE, /* killed: it took too long */
	RUNNER_FAILED, /* could not be started: errno */
};

struct runner_result {
	int32_t end, value;
};

/* The socket, for runner_ask() and runner_answer(); -1 with errno. */
int runner_start(const struct runner_plan *plan);

/* values: up to a NULL, one for each name. False with errno: EMSGSIZE: they are
 * too long; EPIPE: the runner is gone. */
bool runner_ask(int fd, const char *const *values);

/* The end of what was asked for, when fd is readable. False: the runner is
 * gone (errno 0), or nothing is there yet (EAGAIN). */
bool runner_answer(int fd, struct runner_result *out);

#endif
