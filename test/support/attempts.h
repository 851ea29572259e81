/* attempts: what a sandbox is to keep a process from, each tried by one
 * function, beside a little that it is to leave. Tried in the queue directory
 * of a place with active/, deferred/, ../state/ and ../outside/. */
#ifndef ATTEMPTS_H
#define ATTEMPTS_H

#include <sys/types.h>

enum { ATTEMPTS = 42, ATTEMPT_ANY = -1 };

struct attempt {
	const char *name;
	int (*fn)(void); /* 0, or the errno of what failed */
	int without; /* what comes of it without the sandbox; ATTEMPT_ANY: as
			the kernel is set */
	int confined;
	int version; /* of Landlock, from which on it is refused; 0: seccomp */
};

extern const struct attempt attempts[ATTEMPTS];

/* Another process of the same user, which lets itself be traced and listens at
 * an abstract name: the test's to begin and end. */
extern struct attempt_neighbour {
	pid_t pid;
	char name[64];
	int word;
} attempt_neighbour;

/* 0, or errno when rc is negative. */
int attempt_result(long rc);

/* The same of a descriptor, which is closed. */
int attempt_closed(int fd);

/* What fn returns in a child of this process. */
int attempt_reported(int (*fn)(void));

/* Runs a shell: the errno that it failed with. */
int attempt_shell(void);

/* Sets its user to what it is. */
int attempt_to_become_itself(void);

#endif
