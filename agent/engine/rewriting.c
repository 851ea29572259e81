#include "agent/engine/rewriting.h"

#include <stdint.h>
#include <string.h>
#include <strings.h>

#include "agent/engine/settings.h"
#include "common/base/log.h"
#include "common/base/mem.h"
#include "common/smtp/mailbox.h"
#include "common/smtp/mime.h"

enum {
	LINES_MAX = 64 << 20,
	/* Addresses of a changed header are put on one line up to here. */
	FOLD_COLUMN = 70,
	/* Storage that a large header left is given back. */
	KEPT_OCTETS = 8192,
};

struct rewriting {
	const struct rewriting_rules *rules;
	struct answers *answers;
	const char *queue_id;
	bool looks_ahead, is_past_headers;
	struct mime *mime;
	struct buf lines; /* piece_head and octets, of each */
	size_t taken; /* octets of the piece that was taken last */
	enum rewriting_result result;
};

struct piece_head {
	size_t n;
	bool ends_line;
};

static void
put_piece(struct rewriting *r, struct slice piece, bool ends_line)
{
	struct piece_head head = {piece.n, ends_line};

	if (r->looks_ahead)
		return;
	if (!buf_add(&r->lines, &head, sizeof(head)) ||
	    !buf_add_slice(&r->lines, piece))
		r->result = REWRITING_FAILED;
}

/* Each line of text, with a tab before those that have no blank. */
static void
put_lines(struct rewriting *r, const char *text, bool wants_blank)
{
	for (const char *line = text; line != NULL;) {
		size_t n = strcspn(line, "\n");

		if (wants_blank && line != text && line[0] != ' ' &&
		    line[0] != '\t') {
			char *folded = mem_printf("\t%.*s", (int)n, line);

			put_piece(r, slice_str(folded), true);
			mem_free(folded);
		} else {
			put_piece(r, slice_of(line, n), true);
		}
		line = line[n] == '\n' ? line + n + 1 : NULL;
	}
}

static bool
map_address(void *ctx, const char *internal, struct buf *out)
{
	struct rewriting *r = ctx;
	enum rewriter_result result =
	    generic_map(&r->rules->generic, r->answers, internal, out);

	if (result == REWRITER_FAILED ||
	    (result == REWRITER_UNKNOWN && !r->looks_ahead))
		r->result = REWRITING_FAILED;
	return result == REWRITER_DONE;
}

/* As many addresses on a line as it takes. */
static void
fill_lines(char *text)
{
	char *start = text;

	for (char *line = text; line != NULL;) {
		char *end = line + strcspn(line, "\n");

		if (line > start && end - start < FOLD_COLUMN)
			line[-1] = ' ';
		else if (line > start)
			start = line;
		line = *end != '\0' ? end + 1 : NULL;
	}
}

/* false: no address of it is changed. */
static bool
put_with_addresses(struct rewriting *r, const char *text)
{
	size_t n = strcspn(text, ":");
	struct mailbox_list *list = mailbox_list_parse(text + n + 1);
	bool is_changed = mailbox_list_map(list, map_address, r);
	struct buf out;

	if (is_changed) {
		char *lines;

		buf_init(&out, LINES_MAX);
		(void)buf_addf(&out, "%.*s: ", (int)n, text);
		mailbox_list_write(list, &out);
		lines = mem_strdup(buf_str(&out));
		fill_lines(lines);
		put_lines(r, lines, true);
		mem_free(lines);
		buf_fini(&out);
	}
	mailbox_list_free(&list);
	return is_changed;
}

/* Does as a check says. false: nothing is left of the text; otherwise *text_out
 * is what stands in its place, perhaps in out. */
static bool
is_left(struct rewriting *r, enum check_result result, struct buf *out,
    const char **text_out)
{
	switch (result) {
	case CHECK_KEEP:
		return true;
	case CHECK_PREPEND:
		put_piece(r, buf_slice(out), true);
		return true;
	case CHECK_REPLACE:
		*text_out = buf_str(out);
		return true;
	case CHECK_DROP:
		return false;
	case CHECK_FAILED:
		break;
	}
	r->result = REWRITING_FAILED;
	return false;
}

static void
put_header(struct rewriting *r, enum mime_class class, enum header_kind kind,
    const char *text)
{
	if (r->rules->generic.maps.fn == NULL || class != MIME_PRIMARY ||
	    kind != HEADER_ADDRESSES || !put_with_addresses(r, text))
		put_lines(r, text, false);
}

static void
on_header(
    void *ctx, enum mime_class class, enum header_kind kind, struct buf *header)
{
	struct rewriting *r = ctx;
	const char *text = buf_str(header);
	enum check_result result;
	struct buf out;

	if (r->result != REWRITING_OK)
		return;
	buf_init(&out, LINES_MAX);
	result = checks_header(
	    &r->rules->checks, r->queue_id, class, kind, text, &out);
	if (is_left(r, result, &out, &text)) {
		if (result == CHECK_REPLACE && kind == HEADER_ADDRESSES)
			kind = header_kind(text);
		put_header(r, class, kind, text);
	}
	buf_fini(&out);
}

static void
check_body(struct rewriting *r, struct slice piece, bool ends_line)
{
	struct buf text, out;
	const char *line;
	enum check_result result;

	buf_init(&text, LINES_MAX);
	buf_init(&out, LINES_MAX);
	(void)buf_add_slice(&text, piece);
	line = buf_str(&text);
	result = checks_body(&r->rules->checks, r->queue_id, line, &out);
	if (is_left(r, result, &out, &line))
		put_piece(r, result == CHECK_REPLACE ? buf_slice(&out) : piece,
		    ends_line);
	buf_fini(&text);
	buf_fini(&out);
}

static void
on_body(void *ctx, struct slice piece, bool ends_line)
{
	struct rewriting *r = ctx;

	r->is_past_headers = true;
	if (r->result != REWRITING_OK || r->looks_ahead)
		return;
	if (checks_want_body(&r->rules->checks))
		check_body(r, piece, ends_line);
	else
		put_piece(r, piece, ends_line);
}

bool
rewriting_is_wanted(const struct rewriting_rules *rules, bool to_7bit)
{
	return rules != NULL && (to_7bit || rules->generic.maps.fn != NULL ||
				    checks_are_wanted(&rules->checks));
}

static struct rewriting *
make(const struct rewriting_rules *rules, struct answers *answers,
    bool headers_only, bool to_7bit)
{
	static const struct mime_ops ops = {on_header, on_body};
	const struct settings *set = rules->generic.set;
	const struct mime_limits limits = {
	    .header_size = (size_t)set->header_size_limit,
	    .boundary_length = (size_t)set->mime_boundary_length_limit,
	    .nesting = set->mime_nesting_limit,
	};
	struct rewriting *r = mem_zalloc(sizeof(*r));

	r->rules = rules;
	r->answers = answers;
	r->mime = mime_new(&limits, headers_only, to_7bit, &ops, r);
	buf_init(&r->lines, LINES_MAX);
	return r;
}

struct rewriting *
rewriting_new(const struct rewriting_rules *rules, struct answers *answers,
    const char *queue_id, bool to_7bit)
{
	struct rewriting *r =
	    make(rules, answers, !checks_are_wanted(&rules->checks), to_7bit);

	r->queue_id = queue_id;
	return r;
}

struct rewriting *
rewriting_foresee(const struct rewriting_rules *rules, struct answers *answers)
{
	struct rewriting *r = make(rules, answers, true, false);

	r->looks_ahead = true;
	return r;
}

void
rewriting_free(struct rewriting **r)
{
	struct rewriting *old = *r;

	*r = NULL;
	if (old == NULL)
		return;
	mime_free(&old->mime);
	buf_fini(&old->lines);
	mem_free(old);
}

static enum rewriting_result
result_of(struct rewriting *r, bool is_ok)
{
	if (r->result == REWRITING_OK && !is_ok)
		r->result = REWRITING_TOO_DEEP;
	return r->result;
}

enum rewriting_result
rewriting_put(struct rewriting *r, struct slice piece, bool ends_line)
{
	CHECK(r->result == REWRITING_OK);
	return result_of(r, mime_put(r->mime, piece, ends_line));
}

enum rewriting_result
rewriting_end(struct rewriting *r)
{
	CHECK(r->result == REWRITING_OK);
	return result_of(r, mime_end(r->mime));
}

bool
rewriting_take(
    struct rewriting *r, struct slice *piece_out, bool *ends_line_out)
{
	struct piece_head head;

	buf_consume(&r->lines, r->taken);
	r->taken = 0;
	if (buf_len(&r->lines) == 0) {
		if (r->lines.cap > KEPT_OCTETS)
			buf_fini(&r->lines);
		return false;
	}
	/* Said, or gcc sees a head in the "" of buf_slice(). */
	CHECK(r->lines.data != NULL);
	memcpy(&head, buf_slice(&r->lines).p, sizeof(head));
	*piece_out = slice_of(buf_slice(&r->lines).p + sizeof(head), head.n);
	*ends_line_out = head.ends_line;
	r->taken = sizeof(head) + head.n;
	return true;
}

bool
rewriting_is_past_headers(const struct rewriting *r)
{
	return r->is_past_headers;
}
