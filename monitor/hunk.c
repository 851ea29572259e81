#include "monitor/hunk.h"

#include <string.h>

#include "common/base/mem.h"

#define BLANKS " \t\r"

void
hunk_make(struct hunk *out, const char *before, const char *after)
{
	size_t a = strlen(before), b = strlen(after), head = 0, tail = 0;

	while (head < a && head < b && before[head] == after[head])
		head++;
	while (tail < a - head && tail < b - head &&
	       before[a - 1 - tail] == after[b - 1 - tail])
		tail++;
	/* a part of a line ends where a word does */
	while (tail > 0 && b - head - tail > 0 && after[b - tail - 1] != '\n' &&
	       strchr(BLANKS "\n,", after[b - tail]) == NULL)
		tail--;
	out->old = mem_strndup(before + head, a - head - tail);
	out->new = mem_strndup(after + head, b - head - tail);
}

void
hunk_fini(struct hunk *hunk)
{
	mem_free(hunk->old);
	mem_free(hunk->new);
	*hunk = (struct hunk){NULL, NULL};
}

/* A line behind this place belongs to the one before it. */
static bool
goes_on(const char *line)
{
	while (*line != '\0') {
		size_t blanks = strspn(line, BLANKS);

		if (line[blanks] != '\0' && strchr("#\n", line[blanks]) == NULL)
			return blanks > 0;
		line += strcspn(line, "\n");
		line += *line == '\n';
	}
	return false;
}

/* What is taken out of a comment was not in force; what was there before may
 * have had a line that goes on. */
static bool
is_in_comment(const char *text, const char *at)
{
	while (at > text && at[-1] != '\n')
		at--;
	return at[strspn(at, BLANKS)] == '#';
}

/* At its place in the text it begins and ends what it did. */
static bool
is_apart(const struct hunk *hunk, const char *text, const char *at)
{
	size_t n = strlen(hunk->new);
	const char *behind = at + n;

	if (hunk->new[0] != '\n' && is_in_comment(text, at))
		return false;
	if (hunk->new[n - 1] != '\n')
		return *behind == '\0' ||
		       strchr(hunk->new[0] == ',' ? BLANKS "\n," : BLANKS "\n",
			   *behind) != NULL;
	if (hunk->old[0] == '\0' && hunk->new[0] != '\n' && at != text &&
	    at[-1] != '\n')
		return false;
	return !goes_on(behind);
}

enum hunk_state
hunk_state_of(const struct hunk *hunk, const char *text)
{
	const char *at = hunk->new[0] != '\0' ? strstr(text, hunk->new) : NULL;

	return at != NULL && strstr(at + 1, hunk->new) == NULL &&
		       is_apart(hunk, text, at)
		   ? HUNK_THERE
		   : HUNK_GONE;
}

char *
hunk_revert(const struct hunk *hunk, const char *text)
{
	const char *at, *rest, *end;

	if (hunk_state_of(hunk, text) != HUNK_THERE)
		return NULL;
	at = strstr(text, hunk->new);
	rest = at + strlen(hunk->new);
	end = hunk->new[0] == '\n' && hunk->old[0] == '\0' && *rest != '\0' &&
		      *rest != '\n'
		  ? "\n"
		  : "";
	return mem_printf(
	    "%.*s%s%s%s", (int)(at - text), text, hunk->old, end, rest);
}
