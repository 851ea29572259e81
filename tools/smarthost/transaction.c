/* The mail transaction: MAIL, RCPT, DATA, BDAT, content, the verdict.
 *
 * The personalities differ in what a refused step leaves behind (measured on
 * Postfix 3.7 and Exim 4.96):
 *               MAIL refused      DATA, no recipient   BDAT, no recipient
 *   plain       closed            closed               closed
 *   postfix     said at RCPT      stays open           closed
 *   exim        closed            stays open           stays open
 * "Stays open" means that the next MAIL is nested (503) while the RCPT and
 * content after it are taken with the old sender.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "common/base/clock.h"
#include "common/base/log.h"
#include "common/base/mem.h"
#include "tools/smarthost/answer.h"
#include "tools/smarthost/conn.h"

enum { CONTENT_HARD_MAX = 256 << 20 };

static const struct options *
options_of(struct session *s)
{
	return &s->conn->sim->options;
}

static bool
is_throttled(struct session *s, enum rate_stage stage)
{
	if (options_of(s)->rate_stage != stage || sim_take_rate(s->conn->sim))
		return false;
	s->conn->sim->stats.throttled++;
	return true;
}

static void
close_envelope(struct envelope *e)
{
	e->is_open = e->is_doomed = e->has_bdat = false;
	e->is_8bit = e->is_utf8 = false;
	e->rcpt_count = e->rcpt_tried = 0;
	buf_reset(&e->doom);
	buf_reset(&e->sender);
	buf_reset(&e->mail_params);
	buf_reset(&e->rcpts);
	buf_reset(&e->rcpt_params);
	buf_reset(&e->rcpt);
}

void
transaction_reset(struct session *s)
{
	close_envelope(&s->env);
	s->saw_mail = s->saw_rcpt = false;
}

/* "FROM:<path> params": false when it is not of that form. */
static bool
parse_path(struct slice args, const char *word, struct slice *path_out,
    struct slice *params_out)
{
	size_t n = strlen(word), i;
	bool is_quoted = false;

	if (args.n < n + 2 || strncasecmp(args.p, word, n) != 0)
		return false;
	for (i = n; i < args.n && args.p[i] == ' ';)
		i++;
	if (i == args.n || args.p[i] != '<')
		return false;
	for (n = ++i; i < args.n && (is_quoted || args.p[i] != '>'); i++) {
		if (args.p[i] == '\\' && is_quoted)
			i++;
		else if (args.p[i] == '"')
			is_quoted = !is_quoted;
	}
	if (i >= args.n)
		return false;
	*path_out = slice_of(args.p + n, i - n);
	for (i++; i < args.n && args.p[i] == ' ';)
		i++;
	*params_out = slice_of(args.p + i, args.n - i);
	return true;
}

static bool
next_word(struct slice *rest, struct slice *word_out)
{
	size_t n = 0;

	while (rest->n > 0 && rest->p[0] == ' ')
		*rest = slice_of(rest->p + 1, rest->n - 1);
	while (n < rest->n && rest->p[n] != ' ')
		n++;
	*word_out = slice_of(rest->p, n);
	*rest = slice_of(rest->p + n, rest->n - n);
	return n > 0;
}

static bool
has_prefix(struct slice s, const char *prefix)
{
	size_t n = strlen(prefix);

	return s.n >= n && strncasecmp(s.p, prefix, n) == 0;
}

static uint64_t
slice_number(struct slice s)
{
	uint64_t v = 0;

	for (size_t i = 0;
	     i < s.n && s.p[i] >= '0' && s.p[i] <= '9' && v < UINT64_MAX / 100;
	     i++)
		v = v * 10 + (uint64_t)(s.p[i] - '0');
	return v;
}

static bool
has_8bit(struct slice s)
{
	for (size_t i = 0; i < s.n; i++)
		if ((s.p[i] & 0x80) != 0)
			return true;
	return false;
}

/* RFC 6710 */
static bool
is_priority(struct slice value)
{
	bool is_negative = value.n == 2 && value.p[0] == '-';

	if (is_negative)
		value = slice_of(value.p + 1, 1);
	return value.n == 1 && value.p[0] >= (is_negative ? '1' : '0') &&
	       value.p[0] <= '9';
}

/* NULL, or the refusal. */
static const char *
check_mail_param(struct session *s, struct slice w)
{
	const struct options *o = options_of(s);
	bool offered = true;

	if (has_prefix(w, "SIZE=")) {
		offered = o->size_offered;
		if (o->size > 0 &&
		    slice_number(slice_of(w.p + 5, w.n - 5)) > o->size)
			return "552 5.3.4 Message size exceeds fixed limit";
	} else if (slice_eq_nocase(w, "BODY=8BITMIME")) {
		offered = o->eightbit;
		s->env.is_8bit = true;
	} else if (slice_eq_nocase(w, "BODY=7BIT")) {
		offered = o->eightbit;
	} else if (slice_eq_nocase(w, "SMTPUTF8")) {
		offered = o->smtputf8;
		s->env.is_8bit = s->env.is_utf8 = true;
	} else if (slice_eq_nocase(w, "RET=FULL") ||
		   slice_eq_nocase(w, "RET=HDRS") || has_prefix(w, "ENVID=")) {
		offered = o->dsn;
	} else if (has_prefix(w, "AUTH=")) {
		offered = s->is_authed;
	} else if (has_prefix(w, "MT-PRIORITY=")) {
		offered = o->mt_priority != NULL;
		if (!is_priority(slice_of(w.p + 12, w.n - 12)))
			return "501 5.5.4 Syntax: MT-PRIORITY=-9 to 9";
	} else {
		session_violation(s, VIOLATION_SYNTAX, "MAIL parameter");
		return "555 5.5.4 Unsupported option";
	}
	if (offered)
		return NULL;
	session_violation(s, VIOLATION_NOT_OFFERED, "MAIL parameter");
	return "555 5.5.4 Unsupported option";
}

static const char *
parse_mail(struct session *s, struct slice args)
{
	struct slice path, params, word;
	const char *refusal;

	if (!parse_path(args, "FROM:", &path, &params)) {
		session_violation(s, VIOLATION_SYNTAX, "MAIL");
		return "501 5.5.4 Syntax: MAIL FROM:<address>";
	}
	buf_add_slice(&s->env.sender, path);
	buf_add_slice(&s->env.mail_params, params);
	while (next_word(&params, &word)) {
		refusal = check_mail_param(s, word);
		if (refusal != NULL)
			return refusal;
	}
	if (has_8bit(path) && !s->env.is_utf8)
		session_violation(s, VIOLATION_SYNTAX, "8-bit sender");
	return NULL;
}

/* What forbids any MAIL now; NULL: nothing. */
static const char *
mail_forbidden(struct session *s)
{
	const struct options *o = options_of(s);

	if (!s->has_helo) {
		session_violation(s, VIOLATION_SEQUENCE, "MAIL before EHLO");
		return "503 5.5.1 Error: send HELO/EHLO first";
	}
	if (o->require_tls && s->conn->tls != CONN_SECURE)
		return "530 5.7.0 Must issue a STARTTLS command first";
	if (o->require_auth && !s->is_authed)
		return "530 5.7.0 Authentication required";
	if (s->env.is_open) {
		session_violation(s, VIOLATION_SEQUENCE, "nested MAIL");
		return "503 5.5.1 Error: nested MAIL command";
	}
	return NULL;
}

static bool
is_used_up(struct session *s)
{
	const struct options *o = options_of(s);

	if (o->max_messages == 0 || s->taken < o->max_messages)
		return false;
	if (!o->max_messages_close)
		answer_say(s, "421 4.7.0 Too many messages in this "
			      "connection, reconnect");
	conn_then(s->conn, CONN_CLOSE);
	return true;
}

void
transaction_mail(struct session *s, struct slice args)
{
	const char *refusal = mail_forbidden(s);
	struct answer a;

	s->saw_mail = true;
	s->msg_nr++;
	if (refusal != NULL) {
		answer_say(s, refusal);
		return;
	}
	if (is_used_up(s))
		return;
	close_envelope(&s->env);
	refusal = parse_mail(s, args);
	if (refusal == NULL && is_throttled(s, RATE_MAIL))
		refusal = options_of(s)->rate_reply;
	if (refusal != NULL) {
		answer_say(s, refusal);
		close_envelope(&s->env);
		return;
	}
	a = answer_ask(s, STAGE_MAIL, "250 2.1.0 Ok");
	if (a.code >= 400 && a.rule->end == RULE_GO_ON &&
	    options_of(s)->personality == PERSONALITY_POSTFIX) {
		buf_add(&s->env.doom, a.rule->reply, a.rule->reply_n);
		s->env.is_open = s->env.is_doomed = true;
		answer_say(s, "250 2.1.0 Ok");
		return;
	}
	s->env.is_open = answer_is_ok(&a);
	answer_give(s, &a);
	if (!s->env.is_open)
		close_envelope(&s->env);
}

static bool
check_rcpt_params(struct session *s, struct slice params)
{
	struct slice word;

	while (next_word(&params, &word)) {
		if (!has_prefix(word, "NOTIFY=") &&
		    !has_prefix(word, "ORCPT=")) {
			session_violation(
			    s, VIOLATION_SYNTAX, "RCPT parameter");
			return false;
		}
		if (!options_of(s)->dsn) {
			session_violation(
			    s, VIOLATION_NOT_OFFERED, "RCPT parameter");
			return false;
		}
	}
	return true;
}

static const char *
rcpt_forbidden(struct session *s, struct slice args, struct slice *path_out,
    struct slice *params_out)
{
	uint64_t max = options_of(s)->max_rcpts;

	if (!s->env.is_open) {
		if (!s->saw_mail)
			session_violation(
			    s, VIOLATION_SEQUENCE, "RCPT before MAIL");
		return "503 5.5.1 Error: need MAIL command";
	}
	if (!parse_path(args, "TO:", path_out, params_out) ||
	    path_out->n == 0) {
		session_violation(s, VIOLATION_SYNTAX, "RCPT");
		return "501 5.1.3 Bad recipient address syntax";
	}
	if (has_8bit(*path_out) && !s->env.is_utf8)
		session_violation(s, VIOLATION_SYNTAX, "8-bit recipient");
	if (!check_rcpt_params(s, *params_out))
		return "555 5.5.4 Unsupported option";
	if (s->env.is_doomed)
		return buf_str(&s->env.doom);
	if (s->env.rcpt_count >= (max ? max : SESSION_RCPTS))
		return "452 4.5.3 Error: too many recipients";
	if (is_throttled(s, RATE_RCPT))
		return options_of(s)->rate_reply;
	return NULL;
}

void
transaction_rcpt(struct session *s, struct slice args)
{
	struct envelope *e = &s->env;
	struct slice path, params;
	const char *refusal = rcpt_forbidden(s, args, &path, &params);
	struct answer a;

	s->saw_rcpt = true;
	if (refusal != NULL) {
		answer_say(s, refusal);
		return;
	}
	e->rcpt_tried++;
	buf_reset(&e->rcpt);
	buf_add_slice(&e->rcpt, path);
	a = answer_ask(s, STAGE_RCPT, "250 2.1.5 Ok");
	if (answer_is_ok(&a)) {
		if (e->rcpt_count++ > 0) {
			buf_add_char(&e->rcpts, ',');
			buf_add_char(&e->rcpt_params, ';');
		}
		buf_add_slice(&e->rcpts, path);
		buf_add_slice(&e->rcpt_params, params);
	}
	answer_give(s, &a);
}

static void
start_content(struct session *s)
{
	content_start(&s->content, options_of(s)->store != NULL);
	dot_start(&s->dot);
}

/* Content is not allowed now: why not. */
static const char *
content_forbidden(struct session *s, const char *verb)
{
	const struct options *o = options_of(s);

	if (!s->env.is_open) {
		if (!s->saw_mail)
			session_violation(s, VIOLATION_SEQUENCE, verb);
		return "503 5.5.1 Error: need RCPT command";
	}
	if (s->env.rcpt_count > 0)
		return NULL;
	if (!s->saw_rcpt)
		session_violation(s, VIOLATION_SEQUENCE, verb);
	return o->personality == PERSONALITY_EXIM
		   ? "503 5.5.1 Valid RCPT command must precede content"
		   : "554 5.5.1 Error: no valid recipients";
}

/* See the table at the top. */
static void
after_refused_content(struct session *s, bool is_bdat)
{
	enum personality p = options_of(s)->personality;

	if (p == PERSONALITY_EXIM || (p == PERSONALITY_POSTFIX && !is_bdat))
		return;
	close_envelope(&s->env);
}

void
transaction_data(struct session *s)
{
	static const char go_ahead[] = "354 End data with <CR><LF>.<CR><LF>";
	const char *refusal = content_forbidden(s, "DATA before RCPT");
	struct answer a;

	if (refusal != NULL && s->env.is_open &&
	    (options_of(s)->always_go_ahead || answer_go_ahead(s) != NULL)) {
		start_content(s);
		s->mode = MODE_DATA;
		answer_say(s, go_ahead);
		return;
	}
	if (refusal == NULL && s->env.has_bdat) {
		session_violation(s, VIOLATION_SEQUENCE, "DATA after BDAT");
		refusal = "503 5.5.1 Error: DATA after BDAT";
	}
	if (refusal == NULL && is_throttled(s, RATE_DATA))
		refusal = options_of(s)->rate_reply;
	if (refusal != NULL) {
		after_refused_content(s, false);
		answer_say(s, refusal);
		return;
	}
	a = answer_ask(s, STAGE_DATA, go_ahead);
	if (a.code >= 300 && a.code < 400) {
		start_content(s);
		s->mode = MODE_DATA;
	} else {
		after_refused_content(s, false);
	}
	answer_give(s, &a);
}

static bool
parse_bdat(struct session *s, struct slice args)
{
	struct slice word;

	if (!next_word(&args, &word) || word.n > 12)
		return false;
	for (size_t i = 0; i < word.n; i++)
		if (word.p[i] < '0' || word.p[i] > '9')
			return false;
	s->bdat.left = s->bdat.size = slice_number(word);
	s->bdat.is_last = false;
	if (!next_word(&args, &word))
		return true;
	s->bdat.is_last = slice_eq_nocase(word, "LAST");
	return s->bdat.is_last && !next_word(&args, &word);
}

/* The chunk is read and forgotten, then the refusal is said. */
static void
refuse_bdat(struct session *s, const char *text, enum rule_end end)
{
	s->bdat.is_refused = true;
	s->bdat.end = end;
	buf_reset(&s->bdat.reply);
	buf_add_str(&s->bdat.reply, text);
}

static void
ask_bdat(struct session *s)
{
	struct answer a = answer_ask(s, STAGE_BDAT, "250");

	if (a.rule == NULL)
		return;
	if (a.rule->is_as_commands) {
		s->mode = MODE_COMMAND;
		close_envelope(&s->env);
		answer_give(s, &a);
		return;
	}
	if (a.rule->has_reply && !a.rule->is_raw && a.code >= 300) {
		s->conn->sim->stats.scripted++;
		if (a.rule->delay_ms > 0)
			conn_hold(s->conn, a.rule->delay_ms);
		refuse_bdat(s, a.rule->reply, a.rule->end);
		return;
	}
	if (!a.rule->has_reply && a.rule->end == RULE_GO_ON) {
		s->bdat.is_silent = a.rule->is_silent;
		s->bdat.is_extra = a.rule->is_extra;
		s->bdat.is_merged = a.rule->is_merged;
	}
	/* Anything else happens as the command is read. */
	a.normal = "";
	answer_give(s, &a);
}

void
transaction_bdat(struct session *s, struct slice args)
{
	const struct options *o = options_of(s);
	uint64_t max = o->size ? o->size : CONTENT_HARD_MAX;
	const char *refusal;

	if (!parse_bdat(s, args)) {
		session_violation(s, VIOLATION_SYNTAX, "BDAT");
		answer_say(s, "501 5.5.4 Syntax: BDAT count [LAST]");
		return;
	}
	if (!o->chunking)
		session_violation(s, VIOLATION_NOT_OFFERED, "BDAT");
	refusal = content_forbidden(s, "BDAT before RCPT");
	s->bdat.is_refused = false;
	s->bdat.is_silent = s->bdat.is_extra = s->bdat.is_merged = false;
	s->mode = MODE_BDAT;
	if (refusal == NULL && !s->env.has_bdat && is_throttled(s, RATE_DATA))
		refusal = options_of(s)->rate_reply;
	if (refusal != NULL) {
		refuse_bdat(s, refusal, RULE_GO_ON);
		return;
	}
	if (!s->env.has_bdat)
		start_content(s);
	s->env.has_bdat = true;
	if (s->content.octets + s->bdat.size > max) {
		refusal = "552 5.3.4 Error: message file too big";
		if (o->personality == PERSONALITY_EXIM) {
			/* Loses its place: what follows is read as
			 * commands. */
			s->mode = MODE_COMMAND;
			close_envelope(&s->env);
			answer_say(s, refusal);
			return;
		}
		refuse_bdat(s, refusal, RULE_GO_ON);
		return;
	}
	ask_bdat(s);
}

static void
check_content(struct session *s, bool is_bdat)
{
	const struct content *c = &s->content;

	if (c->has_bare)
		session_violation(s, VIOLATION_CONTENT_BARE, "content");
	if (c->has_long)
		session_violation(s, VIOLATION_CONTENT_LONG, "content");
	if (c->has_8bit && !s->env.is_8bit)
		session_violation(s, VIOLATION_CONTENT_8BIT, "content");
	if (c->has_no_end && is_bdat)
		session_violation(s, VIOLATION_CONTENT_END, "content");
	if (s->dot.has_unstuffed && !is_bdat)
		session_violation(s, VIOLATION_CONTENT_DOT, "content");
}

static void
take_message(struct session *s, const char *digest, bool is_bdat)
{
	struct stats *st = &s->conn->sim->stats;
	struct timeval now = clock_wall();
	struct ledger_line line = {
	    .wall_us = (int64_t)now.tv_sec * 1000000 + now.tv_usec,
	    .conn_nr = s->conn->nr,
	    .msg_nr = ++s->taken,
	    .octets = s->content.octets,
	    .sender = buf_slice(&s->env.sender),
	    .rcpts = buf_slice(&s->env.rcpts),
	    .mail_params = buf_slice(&s->env.mail_params),
	    .rcpt_params = buf_slice(&s->env.rcpt_params),
	    .xid = content_header(&s->content, "X-Lane-Id"),
	    .login = slice_str(s->is_authed ? s->auth.login : ""),
	    .digest = digest,
	    .form = is_bdat ? "BDAT" : "DATA",
	    .peer_port = s->conn->peer_port,
	    .body = &s->content.body,
	};

	ledger_add(&s->conn->sim->ledger, &line);
	st->messages++;
	st->recipients += s->env.rcpt_count;
	st->content_bytes += s->content.octets;
	if (s->taken > st->messages_per_connection_max)
		st->messages_per_connection_max = s->taken;
	s->errors = s->junk = 0;
	s->may_reset = true;
}

static void
end_message(struct session *s, bool is_bdat)
{
	const struct options *o = options_of(s);
	uint64_t max = o->size ? o->size : CONTENT_HARD_MAX;
	char digest[2 * CONTENT_DIGEST + 1], text[64];
	const char *normal = text;
	struct answer a;

	content_end(&s->content, digest);
	check_content(s, is_bdat);
	(void)snprintf(text, sizeof(text), "250 2.0.0 Ok: queued as %08" PRIX64,
	    s->conn->sim->stats.messages + 1);
	if (s->env.rcpt_count == 0)
		normal = "554 5.5.1 Error: no valid recipients";
	else if (s->content.octets > max)
		normal = "552 5.3.4 Error: message file too big";
	else if (is_throttled(s, RATE_EOD))
		normal = options_of(s)->rate_reply;
	a = answer_ask(s, STAGE_EOD, normal);
	/* Without a recipient nothing is taken, whatever is said. */
	if (s->env.rcpt_count > 0 &&
	    (answer_is_ok(&a) || (a.rule != NULL && a.rule->is_accept)))
		take_message(s, digest, is_bdat);
	s->mode = MODE_COMMAND;
	transaction_reset(s);
	answer_give(s, &a);
}

static void
end_chunk(struct session *s)
{
	/* What the script ordered for the reply to a chunk but the last. */
	struct rule rule = {.cut_after = -1,
	    .is_silent = s->bdat.is_silent,
	    .is_extra = s->bdat.is_extra,
	    .is_merged = s->bdat.is_merged};
	struct answer a = {.rule = &rule};
	char text[64];

	s->mode = MODE_COMMAND;
	if (s->bdat.is_refused) {
		after_refused_content(s, true);
		answer_say(s, buf_str(&s->bdat.reply));
		answer_end(s, s->bdat.end);
		return;
	}
	if (s->bdat.is_last) {
		end_message(s, true);
		return;
	}
	(void)snprintf(text, sizeof(text), "250 2.0.0 Ok: %" PRIu64 " octets",
	    s->bdat.size);
	a.normal = text;
	a.code = 250;
	answer_give(s, &a);
}

void
transaction_input(struct session *s)
{
	struct buf *in = &s->conn->in;
	struct slice part = buf_slice(in);
	bool is_end;

	if (s->mode == MODE_DATA) {
		size_t used =
		    dot_feed(&s->dot, &s->content, part.p, part.n, &is_end);

		buf_consume(in, used);
		if (is_end)
			end_message(s, false);
		return;
	}
	if (part.n > s->bdat.left)
		part.n = (size_t)s->bdat.left;
	if (!s->bdat.is_refused)
		content_add(&s->content, part.p, part.n);
	s->bdat.left -= part.n;
	buf_consume(in, part.n);
	if (s->bdat.left == 0)
		end_chunk(s);
}
