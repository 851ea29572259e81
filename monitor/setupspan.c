#include "monitor/setupspan.h"

#include <string.h>

#include "common/base/mem.h"

#define BLANKS " \t\r"

const char *
setupspan_next_line(const char *line)
{
	line += strcspn(line, "\n");
	return line + (*line == '\n');
}

static bool
is_blank(char c)
{
	return c != '\0' && strchr(BLANKS, c) != NULL;
}

/* Empty, or a comment; what goes on may go on behind it. */
bool
setupspan_is_passed_over(const char *line)
{
	line += strspn(line, BLANKS);
	return *line == '\0' || *line == '\n' || *line == '#';
}

size_t
setupspan_size(const char *start)
{
	const char *end = setupspan_next_line(start);

	for (const char *line = end; *line != '\0';
	     line = setupspan_next_line(line)) {
		if (setupspan_is_passed_over(line))
			continue;
		if (!is_blank(*line))
			break;
		end = setupspan_next_line(line);
	}
	return (size_t)(end - start);
}

/* The first one of this name from line on. */
struct setupspan
setupspan_find_first(
    const char *line, const char *name, size_t n, const char *behind)
{
	for (; *line != '\0'; line = setupspan_next_line(line))
		if (!setupspan_is_passed_over(line) &&
		    strncmp(line, name, n) == 0 && line[n] != '\0' &&
		    strchr(behind, line[n]) != NULL)
			return (struct setupspan){line, setupspan_size(line)};
	return (struct setupspan){NULL, 0};
}

/* The last one, which is the one that counts. */
struct setupspan
setupspan_find(const char *text, const char *name, size_t n, const char *behind)
{
	struct setupspan found = {NULL, 0}, next;

	while ((next = setupspan_find_first(text, name, n, behind)).start !=
	       NULL) {
		found = next;
		text = next.start + next.n;
	}
	return found;
}

/* In one line, each run of blanks one of them: the caller's. */
char *
setupspan_squeezed(struct setupspan s)
{
	char *out = mem_zalloc(s.n + 1), *to = out;
	bool is_comment = false;

	for (size_t i = 0; i < s.n; i++) {
		if (i == 0 || s.start[i - 1] == '\n')
			is_comment = setupspan_is_passed_over(s.start + i);
		if (is_comment)
			continue;
		if (strchr(BLANKS "\n", s.start[i]) == NULL)
			*to++ = s.start[i];
		else if (to > out && to[-1] != ' ')
			*to++ = ' ';
	}
	if (to > out && to[-1] == ' ')
		to[-1] = '\0';
	return out;
}

char *
setupspan_without(char *text, struct setupspan cut)
{
	char *less = mem_printf(
	    "%.*s%s", (int)(cut.start - text), text, cut.start + cut.n);

	mem_free(text);
	return less;
}
