#include "common/smtp/reply.h"

#include <stdio.h>
#include <string.h>

#include "common/base/log.h"

void
reply_parser_init(struct reply_parser *parser)
{
	memset(parser, 0, sizeof *parser);
	parser->first_code = -1;
	buf_init(&parser->reply.text, REPLY_TEXT_MAX);
	(void)snprintf(
	    parser->reply.status, sizeof parser->reply.status, "5.5.0");
}

void
reply_parser_fini(struct reply_parser *parser)
{
	buf_fini(&parser->reply.text);
}

void
reply_parser_rewrite(struct reply_parser *parser,
    const struct rewriter *rewriter, const char *host, const char *addr,
    const char *port)
{
	parser->rewriter = rewriter;
	(void)snprintf(
	    parser->peer, sizeof parser->peer, "%s[%s]:%s", host, addr, port);
}

/* Ready for the first octet of the next reply; the storage is kept. */
static void
start_reply(struct reply_parser *parser)
{
	struct reply *reply = &parser->reply;

	buf_reset(&reply->text);
	reply->code = reply->sent_code = 0;
	(void)snprintf(reply->status, sizeof reply->status, "5.5.0");
	reply->has_status = reply->had_garbage = reply->is_cut = false;
	reply->codes_differ = reply->rewriter_failed = false;
	parser->first_code = -1;
	parser->line_len = parser->line_total = 0;
	parser->lines = parser->garbage_lines = 0;
	parser->is_started = parser->is_decided = parser->is_done = false;
}

/* Keeps as much of the line as there is room for. */
static void
add_line_to_text(struct reply_parser *parser)
{
	struct buf *text = &parser->reply.text;
	size_t room = REPLY_TEXT_MAX - buf_len(text);
	size_t n = parser->line_len;

	if (parser->line_total > n)
		parser->reply.is_cut = true;
	if (parser->lines > 1) {
		if (room == 0) {
			parser->reply.is_cut = true;
			return;
		}
		(void)buf_add_char(text, '\n');
		room--;
	}
	if (n > room) {
		parser->reply.is_cut = true;
		n = room;
	}
	/* After the cut: it may have gone through a character. */
	log_safe(parser->line, n);
	(void)buf_add(text, parser->line, n);
}

/* The code that the line begins with, or -1 when it is no reply line. */
static int
line_code(const char *line, size_t n)
{
	int code = 0;

	if (n < 3)
		return -1;
	for (size_t i = 0; i < 3; i++) {
		if (line[i] < '0' || line[i] > '9')
			return -1;
		code = code * 10 + (line[i] - '0');
	}
	return n == 3 || line[3] == ' ' || line[3] == '-' ? code : -1;
}

/* Code and status of the reply, from the line that decides. An enhanced code of
 * another class than the reply code is out of protocol: ignored. */
static void
read_code(struct reply *reply, const char *line, size_t n)
{
	size_t at = 3, length;

	reply->code = line_code(line, n);
	(void)snprintf(reply->status, sizeof reply->status, "5.5.0");
	reply->has_status = false;
	if (line[0] != '2' && line[0] != '4' && line[0] != '5')
		return;
	while (at < n && line[at] == ' ')
		at++;
	length = dsn_status_length(line + at, n - at);
	if (length > 0 && line[at] == line[0]) {
		memcpy(reply->status, line + at, length);
		reply->status[length] = '\0';
		reply->has_status = true;
	} else {
		(void)snprintf(
		    reply->status, sizeof reply->status, "%c.0.0", line[0]);
	}
}

static enum reply_result
bad(struct reply_parser *parser)
{
	parser->is_bad = true;
	return REPLY_BAD;
}

static bool
is_last(const char *line, size_t n)
{
	return line_code(line, n) >= 0 && (n == 3 || line[3] == ' ');
}

static void
warn_unusable(const struct reply_parser *parser, const char *sent)
{
	log_warn("%s: replacement of server reply \"%s\" has no reply code: "
		 "not used",
	    parser->peer, sent);
}

/* Puts what the rewriter says in the place of the line, which is the last one
 * of a reply as the server sent it, or not. False: the line is as it was,
 * although it should have become another one. */
static bool
rewrite_line(struct reply_parser *parser, bool is_last_sent)
{
	enum rewriter_result result;
	char text[REPLY_LINE_MAX + 1];
	bool is_usable = true;
	struct buf out;

	if (parser->rewriter == NULL || parser->rewriter->fn == NULL)
		return true;
	memcpy(text, parser->line, parser->line_len);
	text[parser->line_len] = '\0';
	log_safe(text, parser->line_len);
	buf_init(&out, REPLY_LINE_MAX);
	result = rewriter_ask(parser->rewriter, text, &out);
	if (result == REWRITER_DONE) {
		log_info("%s: replacing server reply \"%s\" with \"%s\"",
		    parser->peer, text, buf_str(&out));
		is_usable = !is_last_sent ||
			    line_code(buf_str(&out), buf_len(&out)) >= 0;
		if (!is_usable)
			warn_unusable(parser, text);
	} else if (result != REWRITER_KEPT) {
		parser->reply.rewriter_failed = true;
		is_usable = false;
	}
	if (result == REWRITER_DONE && is_usable) {
		parser->line_len = parser->line_total = buf_len(&out);
		memcpy(parser->line, buf_str(&out), buf_len(&out));
	}
	buf_fini(&out);
	return is_usable;
}

/* What the rewriter wanted is not known, and may have been less. */
static void
soften(struct reply *reply)
{
	if (reply->code / 100 != 5)
		return;
	reply->code = 450;
	reply->status[0] = '4';
}

/* As the server sent it: two replies in the place of one show so. */
static void
note_code(struct reply_parser *parser, int code)
{
	if (code < 0)
		return;
	if (parser->first_code >= 0 && code != parser->first_code)
		parser->reply.codes_differ = true;
	parser->first_code = code;
}

/* A whole line is in parser->line, and nothing has decided yet: what the
 * rewriter makes of it. is_end: the server ends its reply here. */
static void
read_line(struct reply_parser *parser, bool is_end)
{
	struct reply *reply = &parser->reply;
	bool is_known = rewrite_line(parser, is_end);

	if (is_end || is_last(parser->line, parser->line_len)) {
		if (parser->line_len > 3)
			parser->line[3] = ' ';
		read_code(reply, parser->line, parser->line_len);
		if (!is_known || reply->rewriter_failed)
			soften(reply);
		parser->is_decided = true;
	}
	parser->text_end = buf_len(&reply->text);
	parser->text_lines = parser->lines;
	add_line_to_text(parser);
}

/* The server's last line was read; sent: its code, -1 for none. */
static void
end_reply(struct reply_parser *parser, int sent)
{
	struct reply *reply = &parser->reply;

	reply->sent_code = sent >= 0 ? sent : reply->code;
	/* Nobody ended a session in which all goes well. */
	if (reply->code == 421 && sent >= 200 && sent < 400)
		reply->code = 450;
	parser->is_done = true;
}

/* Only what was kept can end in the CR of the line's end; a line that was cut
 * loses it with its tail. */
static void
drop_cr(struct reply_parser *parser)
{
	while (parser->line_len == parser->line_total && parser->line_len > 0 &&
	       parser->line[parser->line_len - 1] == '\r') {
		parser->line_len--;
		parser->line_total--;
	}
}

/* A whole line is in parser->line. Where the reply ends the server says, unless
 * no line of it has a code; behind the line that decides the rest is only
 * passed over. */
static enum reply_result
take_line(struct reply_parser *parser)
{
	bool is_end, is_read = !parser->is_decided;
	int sent;

	drop_cr(parser);
	sent = line_code(parser->line, parser->line_len);
	is_end = is_last(parser->line, parser->line_len);
	if (is_end && parser->rewriter != NULL) {
		memcpy(parser->sent, parser->line, parser->line_len);
		parser->sent_len = parser->line_len;
	}
	note_code(parser, sent);
	parser->lines++;
	if (is_read)
		read_line(parser, is_end);
	if (is_end || (parser->is_decided && parser->first_code < 0)) {
		end_reply(parser, sent);
		return REPLY_DONE;
	}
	if (sent < 0 &&
	    (!is_read || line_code(parser->line, parser->line_len) < 0)) {
		parser->reply.had_garbage = true;
		parser->garbage_lines++;
	}
	parser->line_len = parser->line_total = 0;
	if (parser->garbage_lines > REPLY_GARBAGE_LIMIT ||
	    parser->lines > REPLY_LINES_LIMIT)
		return bad(parser);
	return REPLY_MORE;
}

/* Adds octets of the current line, without its LF. */
static bool
keep_octets(struct reply_parser *parser, const char *p, size_t n)
{
	size_t room = sizeof parser->line - parser->line_len;

	if (n > REPLY_LINE_LIMIT - parser->line_total)
		return false;
	parser->line_total += n;
	if (n > room)
		n = room;
	if (n > 0)
		memcpy(parser->line + parser->line_len, p, n);
	parser->line_len += n;
	return true;
}

enum reply_result
reply_feed(
    struct reply_parser *parser, const char *p, size_t n, size_t *used_out)
{
	size_t at = 0;

	*used_out = 0;
	if (parser->is_bad)
		return REPLY_BAD;
	if (parser->is_done)
		start_reply(parser);
	while (at < n) {
		const char *end = memchr(p + at, '\n', n - at);
		size_t part = end ? (size_t)(end - p) - at : n - at;
		enum reply_result result = REPLY_MORE;

		parser->is_started = true;
		if (!keep_octets(parser, p + at, part))
			return bad(parser);
		at += part + (end != NULL);
		*used_out = at;
		if (end != NULL)
			result = take_line(parser);
		if (result != REPLY_MORE)
			return result;
	}
	return REPLY_MORE;
}

const struct reply *
reply_get(const struct reply_parser *parser)
{
	return &parser->reply;
}

/* The last line as it was sent, in the place of what was made of it. */
static void
put_back(struct reply_parser *parser)
{
	struct buf *text = &parser->reply.text;
	char before[REPLY_TEXT_MAX + 1];
	size_t n = parser->text_end;

	CHECK(n < sizeof before);
	(void)snprintf(before, n + 1, "%s", buf_str(text));
	buf_reset(text);
	(void)buf_add(text, before, n);
	memcpy(parser->line, parser->sent, parser->sent_len);
	parser->line_len = parser->line_total = parser->sent_len;
	parser->lines = parser->text_lines;
	add_line_to_text(parser);
}

void
reply_distrust_rewriter(struct reply_parser *parser, const char *why)
{
	struct reply *reply = &parser->reply;

	CHECK(
	    parser->is_done && line_code(parser->sent, parser->sent_len) >= 0);
	log_warn("%s: replacement of server reply %03d by %03d not used: %s",
	    parser->peer, reply->sent_code, reply->code, why);
	read_code(reply, parser->sent, parser->sent_len);
	put_back(parser);
	soften(reply);
}

bool
reply_is_partial(const struct reply_parser *parser)
{
	return parser->is_started && !parser->is_done;
}

void
reply_text(const struct reply *reply, char *out, size_t n)
{
	struct slice text = buf_slice(&reply->text);

	if (n == 0)
		return;
	if (text.n > n - 1)
		text.n = n - 1;
	for (size_t i = 0; i < text.n; i++)
		out[i] = text.p[i] == '\n' ? ' ' : text.p[i];
	out[text.n] = '\0';
	log_safe(out, text.n);
}
