#include "agent/tables/logical_lines.h"

#include <ctype.h>
#include <string.h>

#include "common/base/buf.h"
#include "common/base/mem.h"

struct reader {
	logical_line_fn *fn;
	void *ctx;
	struct buf joined;
	int *number;
	const char **why;
};

static bool
is_blank(char c)
{
	return isspace((unsigned char)c) != 0;
}

/* Next line of text without its end; false when there is none. */
static bool
next_line(struct slice *text, struct slice *out)
{
	const char *end;

	if (text->n == 0)
		return false;
	end = memchr(text->p, '\n', text->n);
	*out =
	    slice_of(text->p, end != NULL ? (size_t)(end - text->p) : text->n);
	text->p += out->n;
	text->n -= out->n;
	if (end != NULL) {
		text->p++;
		text->n--;
	}
	return true;
}

static bool
is_ignored(struct slice line)
{
	size_t i = 0;

	while (i < line.n && is_blank(line.p[i]))
		i++;
	return i == line.n || line.p[i] == '#';
}

static bool
take(struct reader *r)
{
	char *text, *end;
	bool is_good;

	if (buf_len(&r->joined) == 0)
		return true;
	text = mem_strdup(buf_str(&r->joined));
	for (end = text + strlen(text); end > text && is_blank(end[-1]);)
		*--end = '\0';
	end = text + buf_len(&r->joined);
	is_good = r->fn(r->ctx, text);
	mem_wipe(text, (size_t)(end - text));
	mem_free(text);
	buf_wipe(&r->joined);
	return is_good;
}

static bool
add(struct reader *r, struct slice line, int number)
{
	bool is_good = true;

	if (is_ignored(line))
		return true;
	if (!is_blank(*line.p)) {
		is_good = take(r);
		if (is_good)
			*r->number = number;
	} else if (buf_len(&r->joined) == 0) {
		*r->number = number;
		*r->why = "the first line begins with a blank";
		is_good = false;
	}
	(void)buf_add_slice(&r->joined, line);
	return is_good;
}

/* False, with *why_out and the line, if it is none that could be read. */
static bool
is_text(struct slice text, int *number_out, const char **why_out)
{
	const char *nul = memchr(text.p, '\0', text.n);

	*number_out = 1;
	*why_out = NULL;
	if (nul != NULL) {
		for (const char *p = text.p; p < nul; p++)
			*number_out += *p == '\n';
		*why_out = "there is a NUL";
	} else if (text.n > LOGICAL_LINES_MAX) {
		*why_out = "the table has more than 16777216 octets";
	}
	return *why_out == NULL;
}

bool
logical_lines_read(struct slice text, logical_line_fn *fn, void *ctx,
    int *number_out, const char **why_out)
{
	struct reader r = {.fn = fn, .ctx = ctx, .number = number_out};
	struct slice line;
	bool is_good = true;

	r.why = why_out;
	if (!is_text(text, number_out, why_out))
		return false;
	buf_init(&r.joined, LOGICAL_LINES_MAX);
	for (int n = 1; is_good && next_line(&text, &line); n++)
		is_good = add(&r, line, n);
	is_good = is_good && take(&r);
	buf_fini_secret(&r.joined);
	return is_good;
}
