#include "monitor/postfix_state.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/mem.h"

/* 0: none; -1 with errno: it cannot be read. */
static long
read_pid(const struct site *site)
{
	char *path = mem_printf("%s/pid/master.pid", site->set.queue_directory);
	FILE *file = fopen(path, "re");
	char line[64] = "";
	long pid = -1;

	if (file != NULL) {
		if (fgets(line, sizeof(line), file) == NULL)
			line[0] = '\0';
		pid = strtol(line, NULL, 10);
		if (pid < 0)
			pid = 0;
		(void)fclose(file);
	}
	mem_free(path);
	return pid;
}

enum postfix_state
postfix_state_of(const struct site *site)
{
	long pid = read_pid(site);
	char path[64], line[128] = "";
	const char *end;
	FILE *file;

	if (pid < 0)
		return errno == ENOENT ? POSTFIX_STOPPED : POSTFIX_UNKNOWN;
	(void)snprintf(path, sizeof(path), "/proc/%ld/stat", pid);
	file = pid > 0 ? fopen(path, "re") : NULL;
	if (file == NULL)
		return POSTFIX_STOPPED;
	if (fgets(line, sizeof(line), file) == NULL)
		line[0] = '\0';
	(void)fclose(file);
	/* "77 (master) S ...": one that has ended, and whose end nobody has
	 * asked for, is Z. */
	end = strstr(line, " (master) ");
	return end != NULL && end[10] != 'Z' && end[10] != 'X'
		   ? POSTFIX_RUNS
		   : POSTFIX_STOPPED;
}
