#include "test/support/word_table.h"

#include <string.h>

enum rewriter_result
word_table_ask(void *ctx, const char *text, struct buf *to)
{
	const char *p = ctx;
	size_t n = strlen(text);

	for (; *p != '\0'; p += strcspn(p, "|"), p += *p == '|') {
		if (strncmp(p, text, n) != 0 || p[n] != '=')
			continue;
		if (p[n + 1] == '!')
			return REWRITER_FAILED;
		(void)buf_add(to, p + n + 1, strcspn(p + n + 1, "|"));
		return REWRITER_DONE;
	}
	return REWRITER_KEPT;
}
