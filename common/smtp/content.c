#include "common/smtp/content.h"

#include <stdint.h>

/* Worked example, limit 5, the pieces "abcdefgh" (open) and "ij" (ends line):
 *
 *   abcde CRLF     column 5 = limit, and more follows
 *   SP fgh         column 4
 *   i CRLF         the blank and "fghi" make 5
 *   SP j CRLF
 */

void
content_init(struct content *c, int line_length_limit, bool dot_stuffing)
{
	size_t limit = 0;

	if (line_length_limit > 0)
		limit = line_length_limit == 1 ? 2 : (size_t)line_length_limit;
	*c = (struct content){.limit = limit, .has_dot_stuffing = dot_stuffing};
}

void
content_restart(struct content *c, bool dot_stuffing)
{
	c->column = 0;
	c->is_open = false;
	c->has_dot_stuffing = dot_stuffing;
}

size_t
content_room(const struct content *c, size_t n)
{
	size_t folds = c->limit ? n / (c->limit - 1) + 1 : 0;

	return n + 1 + folds * 3 + 2;
}

static void
blank_out(char *p, size_t n, char unwanted)
{
	char *end = p + n;

	while (p < end && (p = memchr(p, unwanted, (size_t)(end - p))) != NULL)
		*p++ = ' ';
}

static void
put_data(struct content *c, struct buf *out, const char *p, size_t n)
{
	char *to;

	if (n == 0)
		return;
	to = buf_reserve(out, n);
	if (to == NULL)
		return; /* the buffer remembers its overflow */
	memcpy(to, p, n);
	blank_out(to, n, '\r');
	blank_out(to, n, '\n');
	buf_commit(out, n);
	c->column += n;
}

static void
put_line_end(struct content *c, struct buf *out)
{
	(void)buf_add(out, "\r\n", 2);
	c->column = 0;
}

static void
put_fold(struct content *c, struct buf *out)
{
	(void)buf_add(out, "\r\n ", 3);
	c->column = 1;
	c->was_folded = true;
}

void
content_put(
    struct content *c, struct slice piece, bool ends_line, struct buf *out)
{
	if (c->has_dot_stuffing && c->column == 0 && piece.n > 0 &&
	    piece.p[0] == '.')
		(void)buf_add_char(out, '.');
	while (c->limit > 0 && piece.n >= c->limit - c->column) {
		size_t n = c->limit - c->column;

		if (piece.n == n && ends_line)
			break;
		put_data(c, out, piece.p, n);
		put_fold(c, out);
		piece = slice_of(piece.p + n, piece.n - n);
	}
	put_data(c, out, piece.p, piece.n);
	if (ends_line)
		put_line_end(c, out);
	c->is_open = !ends_line;
}

void
content_end(struct content *c, struct buf *out)
{
	if (c->is_open)
		put_line_end(c, out);
	c->is_open = false;
}
