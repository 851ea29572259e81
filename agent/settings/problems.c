#include "agent/settings/problems.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>

#include "common/base/log.h"
#include "common/base/mem.h"

void
problems_addf(struct problems *problems, const char *format, ...)
{
	char text[LOG_LINE_MAX];
	va_list ap;

	va_start(ap, format);
	(void)vsnprintf(text, sizeof(text), format, ap);
	va_end(ap);
	problems->text = mem_realloc(
	    problems->text, (problems->count + 1) * sizeof(problems->text[0]));
	problems->text[problems->count++] = mem_strdup(text);
}

void
problems_blame(struct problems *problems, int error)
{
	static const int lasting[] = {0, ENOENT, ENOTDIR, EISDIR, EACCES, EPERM,
	    ELOOP, ENAMETOOLONG, ENXIO, EFBIG, EINVAL};

	for (size_t i = 0; i < sizeof(lasting) / sizeof(lasting[0]); i++)
		if (error == lasting[i])
			return;
	problems->may_pass = true;
}

void
problems_fini(struct problems *problems)
{
	for (size_t i = 0; i < problems->count; i++)
		mem_free(problems->text[i]);
	mem_free(problems->text);
	*problems = (struct problems){NULL, 0, false};
}
