#include "common/shared/tokenproto.h"

#include <ctype.h>

bool
tokenproto_name_is_valid(const char *name)
{
	size_t n = strlen(name);

	for (size_t i = 0; i < n; i++)
		if (!isalnum((unsigned char)name[i]) &&
		    (i == 0 || strchr("-_.", name[i]) == NULL))
			return false;
	return n > 0 && n <= TOKENPROTO_NAME_MAX;
}

bool
tokenproto_token_is_valid(struct slice token)
{
	if (token.n == 0 || token.n > TOKENPROTO_TOKEN_MAX)
		return false;
	for (size_t i = 0; i < token.n; i++)
		if (token.p[i] <= ' ' || token.p[i] > '~')
			return false;
	return true;
}
