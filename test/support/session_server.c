#include "test/support/session_server.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/log.h"

enum { LINE_MAX_OCTETS = 4096, CONTENT_MAX = 64 << 20, REPLIES_MAX = 1 << 20 };

void
session_server_init(struct session_server *s, enum server_kind kind)
{
	*s = (struct session_server){.kind = kind};
	s->close_at_octet = UINT64_MAX;
	buf_init(&s->out, REPLIES_MAX);
	buf_init(&s->line, LINE_MAX_OCTETS);
	buf_init(&s->content, CONTENT_MAX);
}

void
session_server_fini(struct session_server *s)
{
	buf_fini(&s->out);
	buf_fini(&s->line);
	buf_fini(&s->content);
}

int
session_server_code(const char *sender, char letter)
{
	const char mark[] = {'.', letter, '\0'};
	const char *at = strstr(sender, mark);

	return at != NULL ? (int)strtol(at + 2, NULL, 10) : 0;
}

int
session_server_rcpt_code(const char *rcpt)
{
	const char *end = strchr(rcpt, '@');

	while (end != NULL && end > rcpt && end[-1] != '.')
		end--;
	return end != NULL ? (int)strtol(end, NULL, 10) : 0;
}

static void
say(struct session_server *s, int code, const char *text)
{
	if (code / 100 == 3)
		CHECK(buf_addf(&s->out, "%d %s\r\n", code, text));
	else
		CHECK(buf_addf(
		    &s->out, "%d %d.0.0 %s\r\n", code, code / 100, text));
}

static void
leave(struct session_server *s)
{
	say(s, 421, "closing connection");
	s->is_closed = true;
}

static void
reset(struct session_server *s)
{
	s->has_mail = s->is_refused = false;
	s->rcpt_count = 0;
	s->sender[0] = '\0';
	buf_reset(&s->content);
}

static void
take_address(const char *line, char *out)
{
	const char *from = strchr(line, '<'), *to = strchr(line, '>');
	size_t n;

	CHECK(from != NULL && to != NULL && to > from);
	n = (size_t)(to - from) - 1;
	CHECK(n < SERVER_ADDRESS_SIZE);
	memcpy(out, from + 1, n);
	out[n] = '\0';
}

static void
do_mail(struct session_server *s, const char *line)
{
	const char *size = strstr(line, " SIZE=");
	int code;

	s->mails++;
	if (s->messages_max > 0 && s->accepted >= s->messages_max) {
		leave(s);
		return;
	}
	if (s->has_mail) {
		s->nested++;
		say(s, 503, "nested MAIL command");
		return;
	}
	if (s->size_limit > 0 && size != NULL &&
	    strtoull(size + 6, NULL, 10) > s->size_limit) {
		say(s, 552, "too big");
		return;
	}
	take_address(line, s->sender);
	code = session_server_code(s->sender, 'm');
	if (code != 0 && s->kind == SERVER_EXIM) {
		s->sender[0] = '\0';
		say(s, code, "sender refused");
		return;
	}
	s->has_mail = true;
	say(s, 250, "sender ok");
}

static void
do_rcpt(struct session_server *s, const char *line)
{
	int code;

	if (!s->has_mail) {
		say(s, 503, "need MAIL command");
		return;
	}
	CHECK(s->rcpt_count < SERVER_RCPTS_MAX);
	take_address(line, s->rcpts[s->rcpt_count]);
	code = session_server_code(s->sender, 'm');
	if (code == 0)
		code = session_server_rcpt_code(s->rcpts[s->rcpt_count]);
	if (code == 250)
		s->rcpt_count++;
	say(s, code, "recipient");
}

/* 0: the content may come. */
static int
refusal(const struct session_server *s)
{
	if (!s->has_mail)
		return 503;
	if (s->rcpt_count == 0)
		return s->kind == SERVER_POSTFIX ? 554 : 503;
	return session_server_code(s->sender, 'd');
}

static void
do_data(struct session_server *s)
{
	int code = refusal(s);

	buf_reset(&s->content);
	if (code != 0 &&
	    !(s->says_354_always && s->has_mail && s->rcpt_count == 0)) {
		say(s, code, "no DATA");
		return;
	}
	s->state = SERVER_DATA;
	say(s, 354, "go on");
}

static void
end_of_content(struct session_server *s)
{
	int code = session_server_code(s->sender, 'e');

	if (s->size_limit > 0 && buf_len(&s->content) > s->size_limit)
		code = 552;
	if (s->rcpt_count == 0)
		code = 554;
	if (code == 0) {
		s->accepted++;
		s->on_accept(s->ctx, s, buf_slice(&s->content));
	}
	say(s, code != 0 ? code : 250, "end of content");
	if (code == 0 || s->kind != SERVER_POSTFIX)
		reset(s);
}

static void
end_of_chunk(struct session_server *s)
{
	s->state = SERVER_COMMANDS;
	if (!s->is_refused && s->is_last)
		end_of_content(s);
	else if (!s->is_refused)
		say(s, 250, "chunk");
}

/* The transaction is gone, its payload still to come. */
static void
forget_refused(struct session_server *s)
{
	reset(s);
	s->is_refused = true;
}

static void
do_bdat(struct session_server *s, const char *line)
{
	int code = refusal(s);

	s->payload_left = strtoull(line + 5, NULL, 10);
	s->is_last = strstr(line, " LAST") != NULL;
	s->is_refused = code != 0;
	s->state = SERVER_BDAT;
	if (code != 0) {
		/* Replies stand for the whole command; when they are seen
		 * does not matter, but some come before the payload. */
		say(s, code, "no BDAT");
		if (s->kind == SERVER_POSTFIX)
			forget_refused(s);
	} else if (s->refuses_early && !s->is_last) {
		say(s, 552, "enough");
		forget_refused(s);
	}
	if (s->payload_left == 0)
		end_of_chunk(s);
}

static void
do_command(struct session_server *s, const char *line)
{
	s->commands++;
	if (s->commands == s->bye_at_command) {
		leave(s);
	} else if (strncmp(line, "MAIL FROM:", 10) == 0) {
		do_mail(s, line);
	} else if (strncmp(line, "RCPT TO:", 8) == 0) {
		do_rcpt(s, line);
	} else if (strcmp(line, "DATA") == 0) {
		do_data(s);
	} else if (strncmp(line, "BDAT ", 5) == 0) {
		do_bdat(s, line);
	} else if (strcmp(line, "RSET") == 0) {
		s->rsets++;
		reset(s);
		say(s, 250, "reset");
	} else if (strcmp(line, "QUIT") == 0) {
		s->quits++;
		say(s, 221, "bye");
		s->is_closed = true;
	} else {
		log_panic("not a command: %s", line);
	}
}

static void
take_line(struct session_server *s)
{
	const char *line = buf_str(&s->line);
	size_t n = buf_len(&s->line);

	CHECK(n >= 2 && line[n - 2] == '\r' && line[n - 1] == '\n');
	if (s->state == SERVER_COMMANDS) {
		s->line.data[s->line.len - 2] = '\0';
		do_command(s, line);
	} else if (strcmp(line, ".\r\n") == 0) {
		s->state = SERVER_COMMANDS;
		end_of_content(s);
	} else {
		size_t dot = line[0] == '.';

		CHECK(buf_add(&s->content, line + dot, n - dot));
	}
	buf_reset(&s->line);
}

void
session_server_feed(struct session_server *s, const char *p, size_t n)
{
	for (size_t i = 0; i < n && !s->is_closed; i++) {
		if (s->octets_in++ == s->close_at_octet) {
			s->is_closed = true;
			return;
		}
		if (s->state == SERVER_BDAT) {
			if (!s->is_refused)
				CHECK(buf_add_char(&s->content, p[i]));
			if (--s->payload_left == 0)
				end_of_chunk(s);
			continue;
		}
		/* What follows a command before its reply could be read. */
		if (s->forbids_pipelining && s->state == SERVER_COMMANDS &&
		    buf_len(&s->line) == 0 && buf_len(&s->out) > 0)
			s->violations++;
		CHECK(buf_add_char(&s->line, p[i]));
		if (p[i] == '\n')
			take_line(s);
	}
}
