#include "monitor/hunk.h"

#include <string.h>

#include "common/base/mem.h"

void
hunk_make(struct hunk *out, const char *before, const char *after)
{
	size_t a = strlen(before), b = strlen(after), head = 0, tail = 0;

	while (head < a && head < b && before[head] == after[head])
		head++;
	while (tail < a - head && tail < b - head &&
	       before[a - 1 - tail] == after[b - 1 - tail])
		tail++;
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

enum hunk_state
hunk_state_of(const struct hunk *hunk, const char *text)
{
	const char *at = strstr(text, hunk->new);

	return hunk->new[0] != '\0' &&
		       at != NULL &&strstr(at + 1, hunk->new) == NULL
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
