#include "agent/settings/problems.h"

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
problems_fini(struct problems *problems)
{
	for (size_t i = 0; i < problems->count; i++)
		mem_free(problems->text[i]);
	mem_free(problems->text);
	problems->text = NULL;
	problems->count = 0;
}
