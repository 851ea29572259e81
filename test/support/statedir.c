#include "test/support/statedir.h"

#include <dirent.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/base/mem.h"

enum { DEADLINE_MS = 20000 };

static void
give_up(const char *what)
{
	perror(what);
	_exit(99);
}

char *
statedir_make(void)
{
	const char *tmp = getenv("TMPDIR");
	char *dir =
	    mem_printf("%s/postlane-test-XXXXXX", tmp != NULL ? tmp : "/tmp");

	if (mkdtemp(dir) == NULL)
		give_up("mkdtemp");
	return dir;
}

void
statedir_remove(char **dir)
{
	DIR *d = opendir(*dir);
	const struct dirent *e;

	if (d == NULL)
		give_up("opendir");
	while ((e = readdir(d)) != NULL)
		if (strcmp(e->d_name, ".") != 0 && strcmp(e->d_name, "..") != 0)
			(void)unlinkat(dirfd(d), e->d_name, 0);
	(void)closedir(d);
	if (rmdir(*dir) != 0)
		give_up("rmdir");
	mem_free(*dir);
	*dir = NULL;
}

int
statedir_setup(void **state)
{
	*state = statedir_make();
	return 0;
}

int
statedir_teardown(void **state)
{
	char *dir = *state;

	statedir_remove(&dir);
	return 0;
}

void
statedir_fork(struct statedir_child *child,
    void (*fn)(void *ctx, int in, int out), void *ctx)
{
	int down[2], up[2];

	if (pipe2(down, O_CLOEXEC) != 0 || pipe2(up, O_CLOEXEC) != 0)
		give_up("pipe");
	(void)fflush(NULL);
	child->pid = fork();
	if (child->pid < 0)
		give_up("fork");
	if (child->pid == 0) {
		(void)close(down[1]);
		(void)close(up[0]);
		fn(ctx, down[0], up[1]);
		_exit(0);
	}
	(void)close(down[0]);
	(void)close(up[1]);
	child->to = down[1];
	child->from = up[0];
}

void
statedir_tell(int fd, char c)
{
	if (write(fd, &c, 1) != 1)
		give_up("write to child");
}

char
statedir_hear(int fd)
{
	struct pollfd p = {.fd = fd, .events = POLLIN};
	char c;

	if (poll(&p, 1, DEADLINE_MS) != 1)
		give_up("nothing heard in time");
	return read(fd, &c, 1) == 1 ? c : '\0';
}

int
statedir_end(struct statedir_child *child, int signo)
{
	int status;

	if (signo > 0)
		(void)kill(child->pid, signo);
	if (waitpid(child->pid, &status, 0) != child->pid)
		give_up("waitpid");
	(void)close(child->to);
	(void)close(child->from);
	return status;
}
