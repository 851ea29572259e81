#include "agent/engine/verdict.h"

#include <stdarg.h>
#include <stdio.h>

#include "common/base/log.h"
#include "common/base/mem.h"

/* smtp(8)'s words; BDAT carries what DATA does, and log tools know DATA. */
static const struct {
	const char *reply_to, *doing;
} words[] = {
    [COMMAND_AUTH] = {"AUTH command", "performing SASL authentication"},
    [COMMAND_RSET] = {"RSET command", "sending RSET"},
    [COMMAND_XFORWARD_CLIENT] = {"XFORWARD name/address command",
	"sending XFORWARD name/address"},
    [COMMAND_XFORWARD_PROTOCOL] = {"XFORWARD helo/protocol command",
	"sending XFORWARD protocol/helo_name"},
    [COMMAND_MAIL] = {"MAIL FROM command", "sending MAIL FROM"},
    [COMMAND_RCPT] = {"RCPT TO command", "sending RCPT TO"},
    [COMMAND_DATA] = {"DATA command", "sending DATA command"},
    [COMMAND_BODY] = {"end of DATA command", "sending message body"},
    [COMMAND_BDAT] = {"BDAT command", "sending message body"},
    [COMMAND_BDAT_LAST] = {"end of DATA command", "sending message body"},
    [COMMAND_QUIT] = {"QUIT command", "sending QUIT command"},
};

const char *
verdict_command_name(enum command_kind kind)
{
	CHECK(kind <= COMMAND_QUIT);
	return words[kind].reply_to;
}

enum meaning
verdict_judge(enum command_kind kind, const struct reply *reply)
{
	if (reply->code == 421)
		return MEANING_ELSEWHERE;
	switch (reply->code / 100) {
	case 2:
		return kind == COMMAND_DATA ? MEANING_DEFER : MEANING_OK;
	case 3:
		return kind == COMMAND_DATA ? MEANING_OK : MEANING_DEFER;
	case 5:
		return reply->code < 600 ? MEANING_BOUNCE : MEANING_DEFER;
	default:
		return MEANING_DEFER;
	}
}

bool
verdict_knows_no_bdat(int code)
{
	return code == 500 || code == 502 || code == 503 || code == 504;
}

void
verdict_set_peer(struct verdict *v, const struct peer *peer)
{
	mem_free(v->relay);
	v->relay = mem_printf("%s[%s]:%s", peer->host, peer->addr, peer->port);
	mem_free(v->tls);
	v->tls = peer->tls[0] != '\0' ? mem_strdup(peer->tls) : NULL;
}

static struct verdict *
start(enum outcome outcome, const struct verdict_source *from)
{
	struct verdict *v = verdict_new(outcome);

	if (from == NULL)
		return v; /* its relay is "none" */
	verdict_set_peer(v, from->peer);
	v->conn_use = from->conn_use;
	v->dsn_offered = from->dsn_offered;
	v->conn_done = from->conn_done;
	v->deliver_done = from->now;
	return v;
}

static bool
is_failure_code(int code)
{
	return code >= 400 && code <= 599;
}

struct verdict *
verdict_from_reply(enum outcome outcome, const struct verdict_source *from,
    enum command_kind kind, const struct reply *reply)
{
	struct verdict *v = start(outcome, from);
	char text[DSN_TEXT_MAX + 1];

	CHECK(from != NULL); /* who said it */
	reply_text(reply, text, sizeof(text));
	if (outcome == OUTCOME_SENT)
		/* 354 when a probe ends at DATA */
		dsn_set(&v->dsn,
		    reply->code / 100 == 2 ? reply->status : "2.0.0", "%s",
		    text);
	else if (is_failure_code(reply->code))
		dsn_set(&v->dsn, reply->status,
		    "host %s[%s] said: %s (in reply to %s)", from->peer->host,
		    from->peer->addr, text, words[kind].reply_to);
	else
		dsn_set(&v->dsn, "4.5.0",
		    "Protocol error: host %s[%s] said: %s (in reply to %s)",
		    from->peer->host, from->peer->addr, text,
		    words[kind].reply_to);
	/* The outcome is ours; the status must be of its class. */
	dsn_set_class(&v->dsn, outcome == OUTCOME_SENT     ? '2'
			       : outcome == OUTCOME_BOUNCE ? '5'
							   : '4');
	v->dsn.smtp_code = (uint16_t)reply->code;
	v->diag_text = mem_strdup(text);
	v->mta_name = mem_strdup(from->peer->host);
	return v;
}

struct verdict *
verdict_local(enum outcome outcome, const struct verdict_source *from,
    const char *status, const char *format, ...)
{
	struct verdict *v = start(outcome, from);
	char text[DSN_TEXT_MAX + 1];
	va_list ap;

	va_start(ap, format);
	(void)vsnprintf(text, sizeof(text), format, ap);
	va_end(ap);
	dsn_set(&v->dsn, status, "%s", text);
	return v;
}

struct verdict *
verdict_from_dsn(enum outcome outcome, const struct verdict_source *from,
    const struct dsn *dsn, const char *diag_text)
{
	struct verdict *v = start(outcome, from);

	v->dsn = *dsn;
	if (diag_text != NULL) {
		v->diag_text = mem_strdup(diag_text);
		if (from != NULL)
			v->mta_name = mem_strdup(from->peer->host);
	}
	return v;
}

void
verdict_lost(struct dsn *out, const struct peer *peer, enum command_kind kind,
    bool is_in_doubt, enum verdict_loss loss)
{
	static const char *const happened[] = {
	    [LOSS_CONNECTION] = "lost connection with",
	    [LOSS_TIMEOUT] = "conversation with",
	    [LOSS_PLACE] = "lost synchronization with",
	};
	const char *doing =
	    is_in_doubt
		? "sending end of data -- message may be sent more than once"
		: words[kind].doing;

	CHECK(kind <= COMMAND_QUIT && loss <= LOSS_PLACE);
	dsn_set(out, "4.4.2", "%s %s[%s]%s while %s", happened[loss],
	    peer->host, peer->addr, loss == LOSS_TIMEOUT ? " timed out" : "",
	    doing);
	out->maybe_accepted = is_in_doubt;
	out->cause = DSN_CAUSE_LOST;
}
