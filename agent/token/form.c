#include "agent/token/form.h"

#include <stdbool.h>
#include <string.h>

static bool
is_plain(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
	       (c >= '0' && c <= '9') || (c != '\0' && strchr("-._~", c));
}

void
form_add(struct buf *form, const char *name, const char *value)
{
	(void)buf_addf(form, "%s%s=", buf_len(form) > 0 ? "&" : "", name);
	for (; *value != '\0'; value++)
		if (is_plain(*value))
			(void)buf_add_char(form, *value);
		else
			(void)buf_addf(
			    form, "%%%02X", (unsigned)(unsigned char)*value);
}
