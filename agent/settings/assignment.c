#include "agent/settings/assignment.h"

#include <ctype.h>
#include <string.h>

#include "common/base/mem.h"

static bool
is_blank(char c)
{
	return isspace((unsigned char)c) != 0;
}

static char *
trimmed(const char *p, size_t n)
{
	while (n > 0 && is_blank(*p)) {
		p++;
		n--;
	}
	while (n > 0 && is_blank(p[n - 1]))
		n--;
	return mem_strndup(p, n);
}

bool
assignment_split(const char *text, char **name_out, char **value_out)
{
	char *whole = trimmed(text, strlen(text));
	size_t n = strlen(whole);
	const char *p = whole, *eq;

	*name_out = *value_out = NULL;
	if (n >= 2 && p[0] == '{' && p[n - 1] == '}') {
		p++;
		n -= 2;
	}
	/* A brace that is open or has something behind it is Postfix's error */
	eq = n > 0 && p[0] != '{' ? memchr(p, '=', n) : NULL;
	if (eq != NULL) {
		*name_out = trimmed(p, (size_t)(eq - p));
		*value_out = trimmed(eq + 1, n - (size_t)(eq - p) - 1);
	}
	mem_free(whole);
	/* As in Postfix a name is one word: "a b = c" is a slip. */
	if (*name_out != NULL && (*name_out)[0] != '\0' &&
	    strpbrk(*name_out, " \t\r\n") == NULL)
		return true;
	mem_free(*name_out);
	mem_free(*value_out);
	*name_out = *value_out = NULL;
	return false;
}
