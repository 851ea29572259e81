#include "tools/smarthost/session.h"

#include <stdio.h>
#include <sys/socket.h>

#include "common/base/log.h"
#include "tools/smarthost/answer.h"
#include "tools/smarthost/conn.h"

enum {
	EXIM_JUNK_MAX = 10, /* smtp_accept_max_nonmail */
	EXIM_SYNTAX_MAX = 3,
	POSTFIX_JUNK_MAX = 100, /* smtpd_junk_command_limit */
	LINE_RFC = 512, /* RFC 5321 4.5.3.1.4, CRLF included */
	LINE_MAIL_MORE = 26 + 17 + 10 + 500 + 109, /* extensions' shares */
	LINE_RCPT_MORE = 500,
	SESSION_ADDRESS_MAX = SESSION_LINE_MAX,
};

void
session_violation(struct session *s, enum violation kind, const char *text)
{
	stats_violation(&s->conn->sim->stats, kind, s->conn->nr, "%s", text);
}

void
session_init(struct session *s, struct conn *c)
{
	const struct options *o = &c->sim->options;
	struct answer a;

	*s = (struct session){.conn = c};
	buf_init(&s->env.doom, SESSION_LINE_MAX);
	buf_init(&s->env.sender, SESSION_ADDRESS_MAX);
	buf_init(&s->env.rcpt, SESSION_ADDRESS_MAX);
	buf_init(&s->env.mail_params, SESSION_ADDRESS_MAX);
	buf_init(&s->env.rcpts, SESSION_TEXT_MAX);
	buf_init(&s->env.rcpt_params, SESSION_TEXT_MAX);
	buf_init(&s->bdat.reply, SESSION_LINE_MAX);
	content_init(&s->content);
	if (o->max_connections > 0 &&
	    c->sim->stats.connections > o->max_connections) {
		s->is_refused = true;
		c->sim->stats.connections_refused++;
	}
	if (o->greeting_delay_ms > 0)
		conn_hold(c, o->greeting_delay_ms);
	a = answer_ask(s, STAGE_CONNECT, "");
	answer_give(s, &a);
}

void
session_fini(struct session *s)
{
	buf_fini(&s->env.doom);
	buf_fini(&s->env.sender);
	buf_fini(&s->env.rcpt);
	buf_fini(&s->env.mail_params);
	buf_fini(&s->env.rcpts);
	buf_fini(&s->env.rcpt_params);
	buf_fini(&s->bdat.reply);
	content_fini(&s->content);
}

static void
greet(struct session *s)
{
	char text[512], octet;

	s->is_greeted = true;
	if (s->is_refused) {
		answer_say(s, "421 4.4.5 Too many connections");
		conn_then(s->conn, CONN_CLOSE);
		return;
	}
	if (buf_len(&s->conn->in) > 0 ||
	    (s->conn->ssl == NULL &&
		recv(s->conn->fd, &octet, 1, MSG_PEEK | MSG_DONTWAIT) == 1))
		session_violation(s, VIOLATION_EARLY_TALKER, "greeting");
	(void)snprintf(text, sizeof(text), "220 %.255s ESMTP",
	    s->conn->sim->options.hostname);
	answer_stage(s, STAGE_GREETING, text);
}

/* The client waits for the reply to this before it sends more. */
static void
must_be_last(struct session *s, const char *verb)
{
	if (buf_len(&s->conn->in) > 0)
		session_violation(s, VIOLATION_PIPELINING, verb);
}

/* RFC 9422 */
static void
offer_limits(const struct options *o, struct buf *b)
{
	buf_add_str(b, "\nLIMITS");
	if (o->max_messages > 0)
		buf_addf(
		    b, " MAILMAX=%llu", (unsigned long long)o->max_messages);
	if (o->max_rcpts > 0)
		buf_addf(b, " RCPTMAX=%llu", (unsigned long long)o->max_rcpts);
}

static void
offer(struct session *s, struct buf *b)
{
	const struct options *o = &s->conn->sim->options;

	if (o->pipelining)
		buf_add_str(b, "\nPIPELINING");
	if (o->size_offered && o->size > 0)
		buf_addf(b, "\nSIZE %llu", (unsigned long long)o->size);
	else if (o->size_offered)
		buf_add_str(b, "\nSIZE");
	if (o->starttls && s->conn->tls == CONN_CLEAR)
		buf_add_str(b, "\nSTARTTLS");
	if (o->mechs[0] != '\0' &&
	    (s->conn->tls == CONN_SECURE || o->auth_without_tls))
		buf_addf(b, "\nAUTH %s", o->mechs);
	if (o->enhanced)
		buf_add_str(b, "\nENHANCEDSTATUSCODES");
	if (o->eightbit)
		buf_add_str(b, "\n8BITMIME");
	if (o->dsn)
		buf_add_str(b, "\nDSN");
	if (o->smtputf8)
		buf_add_str(b, "\nSMTPUTF8");
	if (o->chunking)
		buf_add_str(b, "\nCHUNKING");
	if (o->mt_priority != NULL)
		buf_addf(b, "\nMT-PRIORITY%s%s",
		    strcmp(o->mt_priority, "-") == 0 ? "" : " ",
		    strcmp(o->mt_priority, "-") == 0 ? "" : o->mt_priority);
	if (o->announce_limits && o->max_messages + o->max_rcpts > 0)
		offer_limits(o, b);
}

static void
do_helo(struct session *s, struct slice args, bool is_esmtp)
{
	struct answer a;
	struct buf text;

	must_be_last(s, "EHLO");
	if (args.n == 0) {
		session_violation(s, VIOLATION_SYNTAX, "EHLO without name");
		answer_say(s, "501 5.5.4 Syntax: EHLO hostname");
		return;
	}
	buf_init(&text, 4096);
	buf_addf(&text, "250 %.255s", s->conn->sim->options.hostname);
	if (is_esmtp)
		offer(s, &text);
	a = answer_ask(s, STAGE_EHLO, buf_str(&text));
	if (answer_is_ok(&a)) {
		s->has_helo = true;
		s->is_esmtp = is_esmtp;
		transaction_reset(s);
	}
	answer_give(s, &a);
	buf_fini(&text);
}

static void
do_starttls(struct session *s)
{
	const struct options *o = &s->conn->sim->options;
	struct answer a;

	must_be_last(s, "STARTTLS");
	if (!o->starttls || s->conn->tls == CONN_SECURE) {
		session_violation(s, VIOLATION_NOT_OFFERED, "STARTTLS");
		answer_say(s, "502 5.5.1 Error: command not implemented");
		return;
	}
	a = answer_ask(s, STAGE_STARTTLS, "220 2.0.0 Ready to start TLS");
	answer_give(s, &a);
	if (a.code != 220)
		return;
	buf_reset(&s->conn->in); /* RFC 3207 4.2: nothing clear survives */
	conn_then(s->conn, CONN_TLS);
}

bool
session_before_tls(struct session *s)
{
	struct answer a = answer_ask(s, STAGE_TLS, "");

	if (a.rule == NULL)
		return true;
	answer_give(s, &a);
	if (!a.rule->has_reply && a.rule->end == RULE_GO_ON)
		return true;
	if (a.rule->end == RULE_GO_ON)
		conn_stall(s->conn, false);
	return false;
}

void
session_after_tls(struct session *s)
{
	s->has_helo = s->is_authed = false;
	transaction_reset(s);
}

static void
judge_auth(struct session *s, enum auth_result result)
{
	struct stats *st = &s->conn->sim->stats;
	const char *normal = "235 2.7.0 Authentication successful";
	char text[AUTH_TEXT + 8];
	struct answer a;

	s->mode = MODE_COMMAND;
	switch (result) {
	case AUTH_MORE:
		s->mode = MODE_AUTH;
		(void)snprintf(text, sizeof(text), "334 %s", s->auth.challenge);
		answer_say(s, text);
		return;
	case AUTH_OK:
		break;
	case AUTH_WRONG:
		normal = "535 5.7.8 Error: authentication failed";
		break;
	case AUTH_SYNTAX:
		normal = "501 5.5.2 Error: authentication exchange";
		break;
	case AUTH_UNKNOWN:
		normal = "504 5.5.4 Error: unknown mechanism";
		break;
	}
	a = answer_ask(s, STAGE_AUTH, normal);
	s->is_authed = a.code == 235;
	if (s->is_authed)
		st->auths++;
	else
		st->auth_failures++;
	answer_give(s, &a);
}

static void
do_auth(struct session *s, struct slice args)
{
	const struct options *o = &s->conn->sim->options;
	enum auth_result result;

	if (!s->has_helo || s->is_authed || s->env.is_open) {
		session_violation(s, VIOLATION_SEQUENCE, "AUTH");
		answer_say(s, "503 5.5.1 Error: AUTH not allowed now");
		return;
	}
	if (o->mechs[0] == '\0' ||
	    (s->conn->tls != CONN_SECURE && !o->auth_without_tls)) {
		session_violation(s, VIOLATION_NOT_OFFERED, "AUTH");
		answer_say(s, "502 5.5.1 Error: AUTH not enabled");
		return;
	}
	result = auth_start(&s->auth, o, args);
	/* With an initial response that says all, RFC 4954 4. */
	if (result == AUTH_MORE)
		must_be_last(s, "AUTH");
	judge_auth(s, result);
}

/* Commands that carry no mail; true when they were too many. */
static bool
count_junk(struct session *s, bool is_free)
{
	switch (s->conn->sim->options.personality) {
	case PERSONALITY_PLAIN:
		break;
	case PERSONALITY_POSTFIX:
		if (++s->junk > POSTFIX_JUNK_MAX) {
			s->errors++;
			conn_hold(s->conn, s->conn->sim->options.tarpit_ms);
		}
		break;
	case PERSONALITY_EXIM:
		if (is_free || ++s->junk <= EXIM_JUNK_MAX)
			break;
		answer_say(s, "554 Too many nonmail commands");
		conn_then(s->conn, CONN_CLOSE);
		return true;
	}
	return false;
}

static void
do_rset(struct session *s)
{
	/* Exim forgives one RSET after each accepted message. */
	bool is_free = s->may_reset;

	s->conn->sim->stats.rsets++;
	s->may_reset = false;
	if (count_junk(s, is_free))
		return;
	transaction_reset(s);
	answer_stage(s, STAGE_RSET, "250 2.0.0 Ok");
}

static void
do_quit(struct session *s)
{
	must_be_last(s, "QUIT");
	s->conn->sim->stats.quits++;
	answer_stage(s, STAGE_QUIT, "221 2.0.0 Bye");
	conn_then(s->conn, CONN_CLOSE);
}

static void
do_unknown(struct session *s)
{
	const struct options *o = &s->conn->sim->options;

	session_violation(s, VIOLATION_SYNTAX, "unknown command");
	if (o->personality == PERSONALITY_EXIM &&
	    ++s->syntax_errors > EXIM_SYNTAX_MAX) {
		answer_say(s, "554 Too many syntax or protocol errors");
		conn_then(s->conn, CONN_CLOSE);
		return;
	}
	answer_say(s, "500 5.5.2 Error: command not recognized");
}

static void
do_other(struct session *s, struct slice verb)
{
	if (slice_eq_nocase(verb, "NOOP")) {
		must_be_last(s, "NOOP");
		if (!count_junk(s, false))
			answer_stage(s, STAGE_NOOP, "250 2.0.0 Ok");
	} else if (slice_eq_nocase(verb, "VRFY")) {
		if (!count_junk(s, false))
			answer_say(s, "252 2.0.0 Cannot verify");
	} else {
		do_unknown(s);
	}
}

static void
dispatch(struct session *s, struct slice verb, struct slice args)
{
	if (slice_eq_nocase(verb, "MAIL"))
		transaction_mail(s, args);
	else if (slice_eq_nocase(verb, "RCPT"))
		transaction_rcpt(s, args);
	else if (slice_eq_nocase(verb, "BDAT"))
		transaction_bdat(s, args);
	else if (slice_eq_nocase(verb, "DATA")) {
		must_be_last(s, "DATA");
		transaction_data(s);
	} else if (slice_eq_nocase(verb, "RSET"))
		do_rset(s);
	else if (slice_eq_nocase(verb, "EHLO"))
		do_helo(s, args, true);
	else if (slice_eq_nocase(verb, "HELO"))
		do_helo(s, args, false);
	else if (slice_eq_nocase(verb, "STARTTLS"))
		do_starttls(s);
	else if (slice_eq_nocase(verb, "AUTH"))
		do_auth(s, args);
	else if (slice_eq_nocase(verb, "QUIT"))
		do_quit(s);
	else
		do_other(s, verb);
}

static void
check_line(struct session *s, struct slice line, struct slice verb, bool has_cr)
{
	size_t max = LINE_RFC - 2;

	if (!has_cr || memchr(line.p, '\r', line.n) != NULL ||
	    memchr(line.p, '\0', line.n) != NULL)
		session_violation(s, VIOLATION_LINE_ENDING, "command");
	if (slice_eq_nocase(verb, "MAIL"))
		max += LINE_MAIL_MORE;
	else if (slice_eq_nocase(verb, "RCPT"))
		max += LINE_RCPT_MORE;
	if (line.n > max)
		session_violation(s, VIOLATION_LINE_LENGTH, "command");
}

static void
log_line(struct session *s, struct slice line, bool is_secret)
{
	FILE *f = s->conn->sim->transcript;

	if (f != NULL)
		fprintf(f, "%llu C: %.*s%s\n", (unsigned long long)s->conn->nr,
		    is_secret ? 0 : (int)line.n, line.p,
		    is_secret ? "AUTH <hidden>" : "");
}

/* Input behind a command that a lockstep server would have waited for. */
static bool
check_lockstep(struct session *s, bool is_bdat)
{
	const struct options *o = &s->conn->sim->options;

	if (is_bdat || buf_len(&s->conn->in) == 0)
		return true;
	if (!o->pipelining)
		session_violation(s, VIOLATION_PIPELINING, "not offered");
	if (!o->enforce_lockstep)
		return true;
	answer_say(s, "500 5.5.1 Invalid command: Pipelining not supported");
	conn_then(s->conn, CONN_CLOSE);
	return false;
}

static void
do_command(struct session *s, struct slice line, bool has_cr)
{
	struct slice verb = line, args;

	verb.n = 0;
	while (verb.n < line.n && line.p[verb.n] != ' ')
		verb.n++;
	args = slice_of(line.p + verb.n, line.n - verb.n);
	while (args.n > 0 && args.p[0] == ' ')
		args = slice_of(args.p + 1, args.n - 1);
	while (args.n > 0 && args.p[args.n - 1] == ' ')
		args.n--;
	s->conn->sim->stats.commands++;
	check_line(s, line, verb, has_cr);
	log_line(s, line, slice_eq_nocase(verb, "AUTH"));
	if (check_lockstep(s, slice_eq_nocase(verb, "BDAT")))
		dispatch(s, verb, args);
}

/* One line; false when there is no whole one yet. */
static bool
take_line(struct session *s)
{
	struct slice all = buf_slice(&s->conn->in), line;
	const char *nl = memchr(all.p, '\n', all.n);
	bool has_cr;

	if (nl == NULL && all.n <= SESSION_LINE_MAX)
		return false;
	if (nl == NULL || nl - all.p > SESSION_LINE_MAX) {
		session_violation(s, VIOLATION_LINE_LENGTH, "endless line");
		answer_say(s, "500 5.5.2 Error: line too long");
		conn_then(s->conn, CONN_CLOSE);
		return false;
	}
	line = slice_of(all.p, (size_t)(nl - all.p));
	has_cr = line.n > 0 && line.p[line.n - 1] == '\r';
	if (has_cr)
		line.n--;
	/* Consuming does not move the octets; the line stays readable until
	 * more is read, which only happens after this. */
	buf_consume(&s->conn->in, (size_t)(nl - all.p) + 1);
	if (s->mode == MODE_AUTH) {
		log_line(s, line, true);
		must_be_last(s, "AUTH");
		judge_auth(
		    s, auth_line(&s->auth, &s->conn->sim->options, line));
	} else {
		do_command(s, line, has_cr);
	}
	return true;
}

/* What stood behind the final dot: each command is answered and none is
 * carried out. */
static void
refuse_overlap(struct session *s)
{
	struct buf *in = &s->conn->in;
	struct slice rest = buf_slice(in);
	size_t i, commands = 0;

	for (i = 0; i < rest.n; i++)
		commands += rest.p[i] == '\n';
	buf_reset(in);
	while (commands-- > 0)
		answer_say(s, "503 5.5.1 Error: command behind end of data");
}

static void
take_content(struct session *s)
{
	bool was_data = s->mode == MODE_DATA;

	transaction_input(s);
	if (was_data && s->mode == MODE_COMMAND &&
	    s->conn->sim->options.refuse_overlap)
		refuse_overlap(s);
}

void
session_input(struct session *s)
{
	struct conn *c = s->conn;
	uint64_t before = c->sim->stats.commands, batch;

	if (!s->is_greeted && conn_is_listening(c))
		greet(s);
	while (conn_is_listening(c)) {
		bool is_empty_chunk = s->mode == MODE_BDAT && s->bdat.left == 0;

		if (buf_len(&c->in) == 0 && !is_empty_chunk)
			break;
		if (s->mode == MODE_DATA || s->mode == MODE_BDAT)
			take_content(s);
		else if (!take_line(s))
			break;
	}
	batch = c->sim->stats.commands - before;
	if (batch > c->sim->stats.pipeline_commands_max)
		c->sim->stats.pipeline_commands_max = batch;
}
