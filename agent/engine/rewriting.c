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
	ACTION_MAX = 1 << 20,
	/* Addresses of a changed header are put on one line up to here. */
	FOLD_COLUMN = 70,
	LOGGED_OCTETS = 200,
	/* Storage that a large header left is given back. */
	KEPT_OCTETS = 8192,
};

struct rewriting {
	const struct rewriting_rules *rules;
	const char *queue_id;
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

/* Checks */

enum action { ACTION_KEEP, ACTION_REPLACE, ACTION_DROP };

struct check {
	struct rewriting *r;
	const char *param; /* of its tables */
	const char *where; /* header or body */
	const char *text; /* what is checked */
};

static void
log_action(const struct check *c, const char *action, const char *argument)
{
	log_info("%s: %s: %s %.*s%s%s", c->r->queue_id, action, c->where,
	    LOGGED_OCTETS, c->text, argument[0] != '\0' ? ": " : "", argument);
}

static bool
is_header_check(const struct check *c)
{
	return strcmp(c->where, "header") == 0;
}

/* The text that an action has to have. */
static bool
has_argument(const struct check *c, const char *action, const char *argument)
{
	if (argument[0] == '\0') {
		log_warn("%s action without text in %s map", action, c->param);
		return false;
	}
	if (is_header_check(c) &&
	    header_name_length(slice_str(argument)) == 0) {
		log_warn("bad %s header text \"%s\" in %s map -- need "
			 "\"headername: headervalue\"",
		    action, argument, c->param);
		return false;
	}
	return true;
}

/* value: an action and, perhaps, its argument, which *argument_out becomes. */
static enum action
act(const struct check *c, const char *value, const char **argument_out)
{
	size_t n = strcspn(value, " \t");
	struct slice word = slice_of(value, n);
	const char *argument = value + n + strspn(value + n, " \t\r\n\v\f");

	*argument_out = argument;
	if (slice_eq_nocase(word, "WARN")) {
		log_action(c, "warning", argument);
	} else if (slice_eq_nocase(word, "INFO")) {
		log_action(c, "info", argument);
	} else if (slice_eq_nocase(word, "REPLACE")) {
		if (!has_argument(c, "REPLACE", argument))
			return ACTION_KEEP;
		log_action(c, "replace", argument);
		return ACTION_REPLACE;
	} else if (slice_eq_nocase(word, "PREPEND")) {
		if (has_argument(c, "PREPEND", argument)) {
			log_action(c, "prepend", argument);
			put_piece(c->r, slice_str(argument), true);
		}
	} else if (slice_eq_nocase(word, "STRIP")) {
		log_action(c, "strip", argument);
		return ACTION_DROP;
	} else if (slice_eq_nocase(word, "IGNORE")) {
		return ACTION_DROP;
	} else if (!slice_eq_nocase(word, "DUNNO") &&
		   !slice_eq_nocase(word, "OK")) {
		log_warn("unsupported command in %s map: %s", c->param, value);
	}
	return ACTION_KEEP;
}

/* Asks and acts; what replaces the text is put in its place in `out`. */
static enum action
check(const struct check *c, const struct rewriter *table, struct buf *out)
{
	struct buf value;
	const char *argument;
	enum action action = ACTION_KEEP;

	buf_init(&value, ACTION_MAX);
	switch (rewriter_ask(table, c->text, &value)) {
	case REWRITER_KEPT:
		break;
	case REWRITER_DONE:
		action = act(c, buf_str(&value), &argument);
		break;
	case REWRITER_FAILED:
		log_warn("%s: smtp %s checks lookup error", c->r->queue_id,
		    c->where);
		c->r->result = REWRITING_FAILED;
		action = ACTION_DROP;
		break;
	}
	if (action == ACTION_REPLACE) {
		buf_reset(out);
		(void)buf_add_str(out, argument);
	}
	buf_fini(&value);
	return action;
}

static enum action
check_header(struct rewriting *r, enum mime_class class, enum header_kind kind,
    struct buf *text)
{
	const struct rewriting_rules *rules = r->rules;
	bool is_mime = class == MIME_MULTIPART || kind == HEADER_MIME ||
		       kind == HEADER_CONTENT_TYPE ||
		       kind == HEADER_CONTENT_ENCODING;
	struct check c = {r, "smtp_header_checks", "header", buf_str(text)};

	if (is_mime) {
		c.param = "smtp_mime_header_checks";
		return check(&c, &rules->mime_header_checks, text);
	}
	if (class == MIME_NESTED) {
		c.param = "smtp_nested_header_checks";
		return check(&c, &rules->nested_header_checks, text);
	}
	return check(&c, &rules->header_checks, text);
}

/* Addresses */

static bool
map_address(void *ctx, const char *internal, struct buf *out)
{
	struct rewriting *r = ctx;
	enum rewriter_result result =
	    generic_map(&r->rules->generic, internal, out);

	if (result == REWRITER_FAILED)
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

static void
on_header(
    void *ctx, enum mime_class class, enum header_kind kind, struct buf *text)
{
	struct rewriting *r = ctx;
	enum action action = check_header(r, class, kind, text);

	if (action == ACTION_DROP || r->result != REWRITING_OK)
		return;
	if (action == ACTION_REPLACE)
		kind = header_kind(buf_str(text));
	if (r->rules->generic.maps.fn == NULL || class != MIME_PRIMARY ||
	    kind != HEADER_ADDRESSES || !put_with_addresses(r, buf_str(text)))
		put_lines(r, buf_str(text), false);
}

static void
on_body(void *ctx, struct slice piece, bool ends_line)
{
	struct rewriting *r = ctx;
	struct check c = {r, "smtp_body_checks", "body", NULL};
	struct buf text;
	enum action action;

	if (r->rules->body_checks.fn == NULL) {
		put_piece(r, piece, ends_line);
		return;
	}
	buf_init(&text, LINES_MAX);
	(void)buf_add_slice(&text, piece);
	c.text = buf_str(&text);
	action = check(&c, &r->rules->body_checks, &text);
	if (action == ACTION_REPLACE)
		put_piece(r, slice_str(buf_str(&text)), ends_line);
	else if (action == ACTION_KEEP)
		put_piece(r, piece, ends_line);
	buf_fini(&text);
}

static bool
has_checks(const struct rewriting_rules *rules)
{
	return rules->header_checks.fn != NULL ||
	       rules->mime_header_checks.fn != NULL ||
	       rules->nested_header_checks.fn != NULL ||
	       rules->body_checks.fn != NULL;
}

bool
rewriting_is_wanted(const struct rewriting_rules *rules, bool to_7bit)
{
	return rules != NULL &&
	       (to_7bit || rules->generic.maps.fn != NULL || has_checks(rules));
}

struct rewriting *
rewriting_new(
    const struct rewriting_rules *rules, const char *queue_id, bool to_7bit)
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
	r->queue_id = queue_id;
	r->mime = mime_new(&limits, !has_checks(rules), to_7bit, &ops, r);
	buf_init(&r->lines, LINES_MAX);
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

size_t
rewriting_memory(const struct rewriting *r)
{
	return sizeof(*r) + r->lines.cap + mime_memory(r->mime);
}
