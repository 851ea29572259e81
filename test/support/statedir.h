/* statedir: a state directory for one test, and processes that use it. */
#ifndef STATEDIR_H
#define STATEDIR_H

#include <stdbool.h>
#include <sys/types.h>

/* A fresh directory; free its name with statedir_remove(). */
char *statedir_make(void);
void statedir_remove(char **dir);

/* The same around a cmocka test, whose state is the directory's name. */
int statedir_setup(void **state);
int statedir_teardown(void **state);
#define IN_STATEDIR(test)                                                      \
	cmocka_unit_test_setup_teardown(test, statedir_setup, statedir_teardown)

/* A child process that runs fn(ctx, in, out): pipe ends to and from the
 * parent. It leaves by _exit(0) when fn returns, without any clean-up, as a
 * killed process would. */
struct statedir_child {
	pid_t pid;
	int to, from;
};

void statedir_fork(struct statedir_child *child,
    void (*fn)(void *ctx, int in, int out), void *ctx);

/* One octet over a pipe; waiting ends with the test after a deadline. */
void statedir_tell(int fd, char c);
char statedir_hear(int fd);

/* Kills (signo > 0) and waits. Returns the wait status. */
int statedir_end(struct statedir_child *child, int signo);

#endif
