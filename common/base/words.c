#include "common/base/words.h"

#include <string.h>

static bool
is_blank(char c)
{
	return c == ' ' || c == '\t' || c == '\r';
}

struct slice
words_trim(struct slice s)
{
	while (s.n > 0 && is_blank(s.p[0]))
		s = slice_of(s.p + 1, s.n - 1);
	while (s.n > 0 && is_blank(s.p[s.n - 1]))
		s.n--;
	return s;
}

struct lines
lines_of(struct slice text)
{
	return (struct lines){text, 0};
}

bool
lines_next(struct lines *lines, struct slice *line_out)
{
	while (lines->rest.n > 0) {
		const char *p = lines->rest.p;
		const char *end = memchr(p, '\n', lines->rest.n);
		size_t n = end != NULL ? (size_t)(end - p) : lines->rest.n;
		size_t used = end != NULL ? n + 1 : n;

		lines->number++;
		lines->rest = slice_of(p + used, lines->rest.n - used);
		*line_out = words_trim(slice_of(p, n));
		if (line_out->n > 0 && line_out->p[0] != '#')
			return true;
	}
	return false;
}

bool
words_next(struct slice *rest, struct slice *word_out)
{
	size_t n = 0;

	*rest = words_trim(*rest);
	while (n < rest->n && !is_blank(rest->p[n]))
		n++;
	*word_out = slice_of(rest->p, n);
	*rest = words_trim(slice_of(rest->p + n, rest->n - n));
	return n > 0;
}

static bool
is_among(char c, const char *separators)
{
	/* strchr() would find a NUL octet in any set. */
	return c != '\0' && strchr(separators, c) != NULL;
}

static void
skip(struct slice *rest, const char *separators)
{
	while (rest->n > 0 && is_among(*rest->p, separators))
		*rest = slice_of(rest->p + 1, rest->n - 1);
}

static bool
cut(struct slice *rest, size_t n, struct slice *word_out)
{
	*word_out = slice_of(rest->p, n);
	*rest = slice_of(rest->p + n, rest->n - n);
	return n > 0;
}

bool
words_cut(struct slice *rest, const char *separators, struct slice *word_out)
{
	size_t n = 0;

	skip(rest, separators);
	while (n < rest->n && !is_among(rest->p[n], separators))
		n++;
	return cut(rest, n, word_out);
}

bool
words_cut_braced(struct slice *rest, struct slice *word_out)
{
	size_t n, depth = 0;

	skip(rest, WORDS_SEPARATORS);
	for (n = 0; n < rest->n; n++) {
		if (rest->p[n] == '{')
			depth++;
		else if (rest->p[n] == '}' && depth > 0)
			depth--;
		else if (depth == 0 && is_among(rest->p[n], WORDS_SEPARATORS))
			break;
	}
	return cut(rest, n, word_out);
}
