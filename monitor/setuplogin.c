#include "monitor/setuplogin.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "common/base/mem.h"
#include "monitor/setupfile.h"

static bool
is_line_of(const char *line, const char *key)
{
	size_t n = strlen(key);

	return strncmp(line, key, n) == 0 && strchr(" \t", line[n]) != NULL &&
	       line[n] != '\0';
}

bool
setuplogin_can_read(const char *path)
{
	char *text = setupfile_read(path);

	if (text == NULL)
		return errno == ENOENT || errno == EACCES;
	mem_wipe(text, strlen(text));
	mem_free(text);
	return true;
}

bool
setuplogin_has(const char *path, const char *nexthop)
{
	char *text = setupfile_read(path), *line;
	bool has = false;

	for (line = text; line != NULL && *line != '\0' && !has;) {
		has = is_line_of(line, nexthop);
		line += strcspn(line, "\n");
		line += *line == '\n';
	}
	if (text != NULL)
		mem_wipe(text, strlen(text));
	mem_free(text);
	return has;
}

bool
setuplogin_add(const char *path, const char *nexthop, const char *login)
{
	char *text = setupfile_read(path), *all;
	size_t n = text != NULL ? strlen(text) : 0;
	bool is_good;

	/* What cannot be read must not be replaced. */
	if (text == NULL && errno != ENOENT)
		return false;
	all = mem_printf("%s%s%s %s\n", text != NULL ? text : "",
	    n > 0 && text[n - 1] != '\n' ? "\n" : "", nexthop, login);
	is_good = setupfile_replace(path, all);
	mem_wipe(all, strlen(all));
	if (text != NULL)
		mem_wipe(text, n);
	mem_free(all);
	mem_free(text);
	return is_good;
}

bool
setuplogin_remove(
    const char *path, const char *nexthop, bool was_made, bool was_unended)
{
	char *text = setupfile_read(path), *kept, *to;
	bool is_good, is_taken, is_last = false;

	if (text == NULL)
		return errno == ENOENT;
	kept = to = mem_zalloc(strlen(text) + 1);
	for (const char *line = text; *line != '\0';) {
		size_t n = strcspn(line, "\n");

		n += line[n] == '\n';
		if (!is_line_of(line, nexthop)) {
			memcpy(to, line, n);
			to += n;
			is_last = false;
		} else {
			is_last = true;
		}
		line += n;
	}
	is_taken = strlen(text) != (size_t)(to - kept);
	if (was_unended && is_last && to > kept && to[-1] == '\n')
		to--;
	*to = '\0';
	is_good = kept[0] == '\0' && was_made
		      ? unlinkat(AT_FDCWD, path, 0) == 0
		      : !is_taken || setupfile_replace(path, kept);
	mem_wipe(kept, strlen(kept));
	mem_wipe(text, strlen(text));
	mem_free(kept);
	mem_free(text);
	return is_good;
}

bool
setuplogin_is_unended(const char *path)
{
	char *text = setupfile_read(path);
	size_t n = text != NULL ? strlen(text) : 0;
	bool is_so = n > 0 && text[n - 1] != '\n';

	if (text != NULL)
		mem_wipe(text, n);
	mem_free(text);
	return is_so;
}
