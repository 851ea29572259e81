#include "monitor/hunk.h"

#include <string.h>

#include "common/base/mem.h"

#define BLANKS " \t\r"

/* What both have at their ends. */
struct common {
	size_t head, tail;
};

static struct common
common_of(const char *before, const char *after)
{
	size_t a = strlen(before), b = strlen(after), head = 0, tail = 0;

	while (head < a && head < b && before[head] == after[head])
		head++;
	while (tail < a - head && tail < b - head &&
	       before[a - 1 - tail] == after[b - 1 - tail])
		tail++;
	return (struct common){head, tail};
}

static void
take(struct hunk *out, const char *before, const char *after, struct common c)
{
	out->old =
	    mem_strndup(before + c.head, strlen(before) - c.head - c.tail);
	out->new = mem_strndup(after + c.head, strlen(after) - c.head - c.tail);
}

void
hunk_make(struct hunk *out, const char *before, const char *after)
{
	struct common c = common_of(before, after);
	size_t b = strlen(after);

	/* a part of a line ends where a word does */
	while (c.tail > 0 && b - c.head - c.tail > 0 &&
	       after[b - c.tail - 1] != '\n' &&
	       strchr(BLANKS "\n,", after[b - c.tail]) == NULL)
		c.tail--;
	take(out, before, after, c);
}

static bool
begins_line(const char *text, size_t at)
{
	return at == 0 || text[at - 1] == '\n';
}

void
hunk_make_lines(struct hunk *out, const char *before, const char *after)
{
	struct common c = common_of(before, after);
	size_t a = strlen(before), b = strlen(after);

	while (!begins_line(after, c.head))
		c.head--;
	while (c.tail > 0 && !(begins_line(before, a - c.tail) &&
				 begins_line(after, b - c.tail)))
		c.tail--;
	take(out, before, after, c);
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
