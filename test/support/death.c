#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "test/support/death.h"

#include "common/base/log.h"

enum { DIED_BY_CHECK = 77 };

/* The panic is the last line of a process whose CHECK failed. */
static void
look_for_panic(void *ctx, enum log_level level, const char *line)
{
	(void)ctx;
	if (level == LOG_LEVEL_PANIC && strstr(line, "check failed") != NULL)
		_exit(DIED_BY_CHECK);
}

bool
death_by_check(void (*fn)(void *arg), void *arg)
{
	pid_t child = fork();
	int status;

	assert_true(child >= 0);
	if (child == 0) {
		log_set_sink(look_for_panic, NULL);
		fn(arg);
		_exit(EXIT_SUCCESS);
	}
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_true(WIFEXITED(status));
	if (WEXITSTATUS(status) == DIED_BY_CHECK)
		return true;
	assert_int_equal(WEXITSTATUS(status), EXIT_SUCCESS);
	return false;
}
