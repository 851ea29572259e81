#include "agent/settings/references.h"

#include <ctype.h>
#include <string.h>

static size_t
name_length(const char *p)
{
	size_t n = 0;

	while (isalnum((unsigned char)p[n]) || p[n] == '_')
		n++;
	return n;
}

/* Length up to the parenthesis that closes, or of all when none does. */
static size_t
inner_length(const char *p, char open, char close)
{
	size_t n = 0;
	int depth = 1;

	for (; p[n] != '\0'; n++) {
		if (p[n] == open)
			depth++;
		else if (p[n] == close && --depth == 0)
			break;
	}
	return n;
}

/* What stands behind a "$"; false when it is conditional, or no name. */
static bool
take(const char **at, struct slice *name)
{
	const char *p = *at;
	size_t n;

	if (*p != '{' && *p != '(') {
		*name = slice_of(p, name_length(p));
		*at += name->n;
		return name->n > 0;
	}
	n = inner_length(p + 1, *p, *p == '{' ? '}' : ')');
	*at += 1 + n + (p[1 + n] != '\0');
	*name = slice_of(p + 1, name_length(p + 1));
	return name->n == n && n > 0;
}

bool
references_next(const char **at, struct slice *name)
{
	while ((*at = strchr(*at, '$')) != NULL) {
		++*at;
		if (**at == '$')
			++*at;
		else if (take(at, name))
			return true;
	}
	*at = "";
	return false;
}

bool
references_mention(const char *text, const char *name)
{
	size_t n = strlen(name);

	while ((text = strchr(text, '$')) != NULL) {
		text++;
		if (*text == '$') {
			text++;
			continue;
		}
		text += strspn(text, "{( \t");
		if (name_length(text) == n && strncmp(text, name, n) == 0)
			return true;
	}
	return false;
}
