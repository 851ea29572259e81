/* Requests and queue files of any octets, through a session, to a server that
 * says yes to all of it and reads as permissively as any: LF alone ends a line.
 * No line may become another command and no message two: each end of content
 * that the server finds is one transaction that is told to be sent.
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "agent/engine/session.h"
#include "common/base/clock.h"
#include "common/base/log.h"
#include "common/base/mem.h"
#include "common/smtp/command.h"
#include "test/fuzz/mail.h"

enum { MAILS_MAX = 4, OUT_MAX = 4 << 20, PULL = 65536 };

struct world {
	struct settings set;
	struct ehlo ehlo;
	struct peer peer;
	struct manner manner;
	struct session *session;
	struct mail *mails[MAILS_MAX];
	size_t count;
	struct moment now;
	bool is_over;
	size_t sent; /* transactions with content */

	struct buf wire; /* the server has not read it yet */
	bool is_in_data;
	uint64_t chunk_left;
	bool is_last_chunk;
	size_t envelopes, ends;
};

static void
on_done(void *ctx, struct transaction *t)
{
	struct world *w = ctx;
	bool is_sent = false;

	for (size_t i = 0; i < t->count; i++)
		is_sent =
		    is_sent ||
		    t->req->rcpts[t->rcpts[i]].verdict->outcome == OUTCOME_SENT;
	w->sent += is_sent && !request_is_probe(t->req);
	mail_on_left(mail_of(t), t);
}

static void
on_returned(void *ctx, struct transaction *t, bool is_its_fault)
{
	(void)ctx;
	(void)is_its_fault;
	mail_on_left(mail_of(t), t);
}

static void
on_ended(void *ctx, enum session_end end, bool is_clean, const char *why)
{
	struct world *w = ctx;

	(void)end;
	(void)is_clean;
	(void)why;
	w->is_over = true;
}

static void
on_changed(void *ctx)
{
	(void)ctx;
}

static const struct session_ops ops = {
    .on_done = on_done,
    .on_returned = on_returned,
    .on_ended = on_ended,
    .on_changed = on_changed,
};

/* ---- the server --------------------------------------------------------- */

static void
say(struct world *w, const char *text)
{
	session_input(w->session, text, strlen(text), w->now);
}

static bool
begins(struct slice line, const char *word)
{
	size_t n = strlen(word);

	return line.n >= n && memcmp(line.p, word, n) == 0;
}

static void
on_end(struct world *w)
{
	w->ends++;
	say(w, "250 2.6.0 queued as 4FuzzId\r\n");
}

static void
on_bdat(struct world *w, struct slice line)
{
	char text[COMMAND_LINE_MAX + 1], *end;

	(void)snprintf(text, sizeof(text), "%.*s", (int)line.n, line.p);
	w->chunk_left = strtoull(text + strlen("BDAT "), &end, 10);
	w->is_last_chunk = strcmp(end, " LAST") == 0;
	CHECK(w->is_last_chunk || (*end == '\0' && w->chunk_left > 0));
	if (w->chunk_left == 0)
		on_end(w);
}

static void
on_command(struct world *w, struct slice line)
{
	CHECK(line.n <= COMMAND_LINE_MAX);
	if (begins(line, "MAIL FROM:<")) {
		w->envelopes++;
		say(w, "250 2.1.0 sender ok\r\n");
	} else if (begins(line, "RCPT TO:<")) {
		say(w, "250 2.1.5 recipient ok\r\n");
	} else if (slice_eq(line, "DATA")) {
		w->is_in_data = true;
		say(w, "354 go\r\n");
	} else if (slice_eq(line, "RSET")) {
		say(w, "250 2.0.0 flushed\r\n");
	} else if (slice_eq(line, "QUIT")) {
		say(w, "221 2.0.0 bye\r\n");
	} else {
		CHECK(begins(line, "BDAT "));
		on_bdat(w, line);
	}
}

static void
take_chunk(struct world *w)
{
	struct slice s = buf_slice(&w->wire);
	size_t n = s.n < w->chunk_left ? s.n : (size_t)w->chunk_left;

	for (size_t i = 0; i < n; i++) {
		CHECK(s.p[i] != '\n' || i == 0 || s.p[i - 1] == '\r');
		CHECK(s.p[i] != '\r' || i + 1 == s.n || s.p[i + 1] == '\n');
	}
	buf_consume(&w->wire, n);
	w->chunk_left -= n;
	if (w->chunk_left > 0)
		return;
	if (w->is_last_chunk)
		on_end(w);
	else
		say(w, "250 2.0.0 chunk ok\r\n");
}

/* False: there is none yet. */
static bool
take_line(struct world *w)
{
	struct slice s = buf_slice(&w->wire);
	const char *end = memchr(s.p, '\n', s.n);
	char line[PULL];
	size_t n;

	if (end == NULL)
		return false;
	n = (size_t)(end - s.p);
	CHECK(n > 0 && end[-1] == '\r' && n < sizeof(line));
	n--;
	memcpy(line, s.p, n);
	buf_consume(&w->wire, n + 2);
	CHECK(memchr(line, '\r', n) == NULL);
	if (!w->is_in_data) {
		CHECK(memchr(line, '\0', n) == NULL);
		on_command(w, slice_of(line, n));
	} else if (n == 1 && line[0] == '.') {
		w->is_in_data = false;
		on_end(w);
	}
	return true;
}

static void
serve(struct world *w)
{
	while (!w->is_over && buf_len(&w->wire) > 0) {
		if (w->chunk_left > 0)
			take_chunk(w);
		else if (!take_line(w))
			return;
	}
}

/* ---- the client --------------------------------------------------------- */

static void
set_up(struct world *w, struct input *in)
{
	static char rcpt[] = "rcpt";
	struct settings *set = &w->set;
	unsigned f = input_octet(in), g = input_octet(in);

	set->lane_chunking = true;
	set->lane_pipeline_bytes = 1 << 20;
	set->lane_connection_age_limit_us = 900 * US_PER_S;
	set->smtp_line_length_limit = (g & 1) != 0 ? 998 : (int)(g & 0x3e);
	set->smtp_address_verify_target = rcpt;
	w->ehlo = (struct ehlo){
	    .is_esmtp = true,
	    .pipelining = (f & 1) != 0,
	    .chunking = (f & 2) != 0,
	    .dsn = (f & 4) != 0,
	    .smtputf8 = (f & 8) != 0,
	    .size_offered = (f & 16) != 0,
	    .eightbitmime = (f & 32) != 0,
	};
	manner_init(&w->manner);
	w->now.us = 1000 * US_PER_S;
	buf_init(&w->wire, OUT_MAX);
	w->session = session_new(
	    set, &w->manner, &w->ehlo, &w->peer, &ops, w, w->now.us);
}

static void
assign(struct world *w, struct input *in)
{
	struct mail *m = w->mails[w->count++] =
	    mail_new(in, w->set.smtp_line_length_limit, w->now.us);

	mail_assign(m, w->session, w->now);
}

static void
talk(struct world *w)
{
	size_t n;

	do {
		n = buf_len(&w->wire);
		session_output(w->session, &w->wire, PULL, w->now);
		CHECK(buf_ok(&w->wire));
		n = buf_len(&w->wire) - n;
		session_written(w->session, n, w->now);
		serve(w);
	} while (!w->is_over && n > 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct input in = {data, size};
	struct world w = {0};

	set_up(&w, &in);
	while (w.count < MAILS_MAX && in.n > 0)
		assign(&w, &in);
	talk(&w);
	session_finish(w.session, FINISH_IDLE, w.now.us);
	talk(&w);
	if (!w.is_over)
		session_abort(w.session, "end", w.now);
	CHECK(w.ends == w.sent && w.envelopes >= w.sent);
	session_free(&w.session);
	for (size_t i = 0; i < w.count; i++)
		mail_free(&w.mails[i]);
	buf_fini(&w.wire);
	return 0;
}
