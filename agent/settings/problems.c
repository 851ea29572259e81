#include "agent/settings/problems.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>

#include "common/base/log.h"
#include "common/base/mem.h"

/* Adds what format says to the end of a list. */
static void __attribute__((format(printf, 3, 0)))
add(char ***list, size_t *count, const char *format, va_list ap)
{
	char text[LOG_LINE_MAX];

	(void)vsnprintf(text, sizeof(text), format, ap);
	*list = mem_realloc(*list, (*count + 1) * sizeof((*list)[0]));
	(*list)[(*count)++] = mem_strdup(text);
}

void
problems_addf(struct problems *problems, const char *format, ...)
{
	va_list ap;

	va_start(ap, format);
	add(&problems->text, &problems->count, format, ap);
	va_end(ap);
}

void
problems_warnf(struct problems *problems, const char *format, ...)
{
	va_list ap;

	va_start(ap, format);
	add(&problems->warning, &problems->warning_count, format, ap);
	va_end(ap);
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
	for (size_t i = 0; i < problems->warning_count; i++)
		mem_free(problems->warning[i]);
	mem_free(problems->text);
	mem_free(problems->warning);
	*problems = (struct problems){.may_pass = false};
}
