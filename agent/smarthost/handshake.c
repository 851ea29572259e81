/*   S: 220 mx.example ESMTP
 *   C: EHLO client.example
 *   S: 250-mx.example ... 250 STARTTLS
 *   C: STARTTLS
 *   S: 220 go ahead              nothing may follow in plain text
 *      (handshake)
 *   C: EHLO client.example
 *   C: AUTH PLAIN ...
 *   S: 235 welcome               what follows belongs to the session
 *
 * One command at a time; its reply, or the end of its time, decides what
 * comes next. Texts and statuses of failures are those of smtp(8).
 */
#include <ctype.h>
#include <stdio.h>
#include <string.h>

#include "agent/engine/trace.h"
#include "agent/smarthost/handshake.h"
#include "agent/smarthost/login.h"
#include "agent/smarthost/tls_summary.h"
#include "common/base/log.h"
#include "common/base/mem.h"
#include "common/smtp/command.h"

enum {
	KEYWORDS_MAX = 1024, /* of smtp_discard_ehlo_keyword_address_maps */
	NAME_SIZE = 400,
};

static void send_ehlo(struct dial *dial);

/* What smtp(8) says we were doing; it has no words for the login. */
static const char *
doing(enum dial_state state)
{
	switch (state) {
	case DIAL_STATE_GREETING:
		return "receiving the initial server greeting";
	case DIAL_STATE_EHLO:
		return "performing the EHLO handshake";
	case DIAL_STATE_HELO:
		return "performing the HELO handshake";
	case DIAL_STATE_STARTTLS:
		return "receiving the STARTTLS response";
	case DIAL_STATE_AUTH:
	case DIAL_STATE_RSET:
		return "performing SASL authentication";
	case DIAL_STATE_TLS:
		return "performing the TLS handshake";
	case DIAL_STATE_LOOKUP:
	case DIAL_STATE_CONNECT:
	case DIAL_STATE_QUIT:
	case DIAL_STATE_OVER:
		break;
	}
	return "connecting";
}

/* The last thing that is done to the connection here. */
static void
conclude(struct dial *dial, enum handshake_end how)
{
	handshake_end_fn *on_end = dial->on_handshake_end;

	CHECK(on_end != NULL);
	dial->on_handshake_end = NULL;
	on_end(dial, how);
}

static void
refused(struct dial *dial, const struct reply *reply)
{
	char name[NAME_SIZE], before[NAME_SIZE + 40];
	char status[DSN_STATUS_SIZE];
	bool is_soft = dial->state == DIAL_STATE_GREETING &&
		       dial->dialer->set->smtp_skip_5xx_greeting;

	(void)snprintf(before, sizeof(before),
	    "host %s refused to talk to me: ",
	    dial_namaddr(dial, name, sizeof(name)));
	if (is_soft)
		dial_soften(status, sizeof(status), reply->status);
	else
		(void)snprintf(status, sizeof(status), "%s", reply->status);
	dial_fail_reply(dial, status, reply, before);
}

static void
fail_lost(struct dial *dial)
{
	char name[NAME_SIZE];

	dial_fail(dial, dial_stage_of(dial->state), "4.4.2",
	    "lost connection with %s while %s",
	    dial_namaddr(dial, name, sizeof(name)), doing(dial->state));
	dial->result.is_transport = true;
	conclude(dial, HANDSHAKE_FAILED);
}

/* ---- TLS ---- */

/* Names everything that must be equal for a session to be resumed. */
static void
make_tls_key(struct dial *dial)
{
	char where[NAME_SIZE * 2];

	(void)snprintf(where, sizeof(where), "%s %u %s %s", dial->at.addr,
	    (unsigned)dial->at.port, dial->at.host, dial->at.domain);
	tls_key(&dial->policy, where, dial->tls_key);
}

/* is_transport: nobody refused anything, the connection broke or stood still.
 */
static void
fail_handshake(struct dial *dial, bool is_transport, const char *why)
{
	char name[NAME_SIZE];

	log_info("SSL_connect error to %s: %s, session=%s",
	    dial_namaddrport(dial, name, sizeof(name)), why, dial->session);
	tls_forget(dial->dialer->tls, dial->tls_key);
	/* With credentials the login would fail in clear text, or worse,
	 * succeed. */
	if (dial->policy.level == TLS_LEVEL_MAY && dial->may_be_plain &&
	    !dial->has_credentials) {
		conclude(dial, HANDSHAKE_RETRY_PLAIN);
		return;
	}
	dial_fail(
	    dial, DIAL_TLS, "4.7.5", "Cannot start TLS: handshake failure");
	dial->result.is_soft = dial->policy.level == TLS_LEVEL_MAY;
	dial->result.is_transport = is_transport;
	conclude(dial, HANDSHAKE_FAILED);
}

static void
set_tls_word(struct dial *dial, const char *before, const char *after)
{
	struct peer *peer = &dial->result.peer;

	char level[DIAL_LEVEL_SIZE];

	/* What it came to in the end is in after. */
	if (*after != '\0')
		(void)snprintf(level, sizeof(level), "%s",
		    tls_level_name(dial->asked_level));
	else
		dial_level_text(dial, level);
	(void)snprintf(
	    peer->tls, sizeof(peer->tls), "%s%s%s", before, level, after);
}

/* smtp(8) words these with the role of the peer. */
static bool
is_about_server(const char *why)
{
	return strncmp(why, "num=", 4) == 0 ||
	       strncmp(why, "certificate ", 12) == 0;
}

/* "num=62:hostname mismatch" without OpenSSL's number. */
static const char *
without_number(const char *why)
{
	size_t n = strncmp(why, "num=", 4) == 0 ? strcspn(why, ":") : 0;

	return n > 0 && why[n] == ':' ? why + n + 1 : why;
}

static void
on_tls(void *ctx, bool ok, enum link_end end, const char *text)
{
	struct dial *dial = ctx;
	struct dialer *d = dial->dialer;
	struct peer *peer = &dial->result.peer;
	struct ssl_st *ssl = link_ssl(dial->link);
	char name[NAME_SIZE], line[1000];
	struct tls_facts facts;

	CHECK(dial->state == DIAL_STATE_TLS);
	if (!ok) {
		fail_handshake(dial, end != LINK_TLS_ERROR, text);
		return;
	}
	tls_judge(
	    d->tls, ssl, &dial->policy, dial->at.host, dial->at.domain, &facts);
	if (facts.is_resumed)
		d->tally.tls_resumed++;
	else
		d->tally.tls_full++;
	(void)dial_namaddrport(dial, name, sizeof(name));
	if (tls_summary_is_wanted(d->set->smtp_tls_loglevel)) {
		tls_summary(ssl, &facts, name, line, sizeof(line));
		log_info("%s, session=%s", line, dial->session);
	}
	peer->is_tls = true;
	peer->is_matched = facts.is_matched;
	peer->is_verified = facts.is_secured;
	peer->is_resumed = facts.is_resumed;
	peer->certificate_end_s = facts.end_s;
	dial_tell(dial, DIAL_TLS, NULL, ssl, &facts);
	if (tls_level_must_match(dial->policy.level) && !facts.is_matched) {
		set_tls_word(dial, "!", "");
		log_info("%scertificate verification failed for %s: %s, "
			 "session=%s",
		    is_about_server(facts.why) ? "server " : "", name,
		    facts.why, dial->session);
		dial_fail(dial, DIAL_TLS, "4.7.5",
		    "Server certificate not verified: %s",
		    without_number(facts.why));
		dial->result.is_certificate = true;
		/* The next handshake shall show the certificate anew. */
		tls_forget(d->tls, dial->tls_key);
		dial_quit(dial, "QUIT\r\n");
		return;
	}
	set_tls_word(dial, "", "");
	if (dial_is_wrapped(dial))
		dial_enter(dial, DIAL_STATE_GREETING);
	else
		send_ehlo(dial);
}

static void
start_tls(struct dial *dial)
{
	char why[TLSPOLICY_ERROR_SIZE];
	struct ssl_st *ssl;

	CHECK(dial->link != NULL && link_ssl(dial->link) == NULL);
	make_tls_key(dial);
	ssl = tls_open(dial->dialer->tls, &dial->policy, dial->at.host,
	    dial->at.domain, dial->tls_key, why, sizeof(why));
	if (ssl == NULL) {
		dial_fail(dial, DIAL_CONFIG, "4.7.5",
		    "client TLS configuration problem: %s", why);
		conclude(dial, HANDSHAKE_FAILED);
		return;
	}
	dial_enter(dial, DIAL_STATE_TLS);
	link_start_tls(dial->link, ssl, on_tls, dial);
}

/* After EHLO or HELO: STARTTLS, if that is wanted and not yet done. */
static void
secure(struct dial *dial)
{
	enum tls_level level = dial->policy.level;
	char name[NAME_SIZE];

	if (dial->result.peer.is_tls || level == TLS_LEVEL_NONE ||
	    dial->is_plain_retry) {
		if (dial->is_plain_retry)
			set_tls_word(dial, "", ":none");
		login_start(dial);
	} else if (dial->result.ehlo.starttls) {
		dial_enter(dial, DIAL_STATE_STARTTLS);
		(void)command_starttls(&dial->out);
		link_kick(dial->link);
	} else if (level > TLS_LEVEL_MAY) {
		dial_set_state(dial, DIAL_STATE_STARTTLS);
		set_tls_word(dial, "!", "");
		dial_fail(dial, DIAL_STARTTLS, "4.7.4",
		    "TLS is required, but was not offered by host %s",
		    dial_namaddr(dial, name, sizeof(name)));
		dial_quit(dial, "QUIT\r\n");
	} else {
		set_tls_word(dial, "", ":none");
		login_start(dial);
	}
}

static void
on_starttls_reply(struct dial *dial, const struct reply *reply, bool has_more)
{
	char name[NAME_SIZE], before[NAME_SIZE + 60];

	(void)dial_namaddr(dial, name, sizeof(name));
	if (reply->code / 100 != 2) {
		if (dial->policy.level <= TLS_LEVEL_MAY) {
			set_tls_word(dial, "", ":none");
			login_start(dial);
			return;
		}
		set_tls_word(dial, "!", "");
		(void)snprintf(before, sizeof(before),
		    "TLS is required, but host %s refused to start TLS: ",
		    name);
		dial_fail_reply(dial, reply->status, reply, before);
		return;
	}
	if (has_more) {
		/* Somebody on the way puts words into the server's mouth. */
		dial_fail(dial, DIAL_TLS, "4.7.5",
		    "Cannot start TLS: host %s sent plain text after "
		    "agreeing to TLS",
		    name);
		conclude(dial, HANDSHAKE_FAILED);
		return;
	}
	start_tls(dial);
}

/* ---- greeting and EHLO ---- */

static void
send_ehlo(struct dial *dial)
{
	dial_enter(dial, DIAL_STATE_EHLO);
	memset(&dial->result.ehlo, 0, sizeof(dial->result.ehlo));
	dial->ehlo_sent_us = loop_now_us(dial->dialer->loop);
	if (!command_ehlo(&dial->out, dial->dialer->set->smtp_helo_name)) {
		dial_fail(dial, DIAL_CONFIG, "4.3.5",
		    "bad parameter value: smtp_helo_name");
		dial_quit(dial, "QUIT\r\n");
		return;
	}
	link_kick(dial->link);
}

static void
send_helo(struct dial *dial)
{
	dial_enter(dial, DIAL_STATE_HELO);
	/* The name was good enough for EHLO. */
	if (command_helo(&dial->out, dial->dialer->set->smtp_helo_name))
		link_kick(dial->link);
}

static void
measure(struct dial *dial)
{
	int64_t now_us = loop_now_us(dial->dialer->loop);
	int64_t rtt_us = now_us - dial->ehlo_sent_us;

	/* A proxy in between answers connect(), not EHLO. */
	if (rtt_us > dial->result.peer.rtt_us)
		dial->result.peer.rtt_us = rtt_us;
}

/* What of the server's offers is passed over: as the table says for this
 * address, else as it is for all. False: nobody knows. */
static bool
find_discard_mask(struct dial *dial, unsigned *mask_out)
{
	char bad[64], words[300];
	bool is_good = true;
	struct buf value;

	*mask_out = dial->dialer->discard_mask;
	buf_init(&value, KEYWORDS_MAX);
	switch (rewriter_ask(
	    dial->dialer->ehlo_words, dial->result.peer.addr, &value)) {
	case REWRITER_KEPT:
		break;
	case REWRITER_DONE:
		if (!ehlo_discard_mask(
			buf_str(&value), mask_out, bad, sizeof(bad)))
			log_warn("smtp_discard_ehlo_keyword_address_maps: "
				 "unknown word \"%s\"",
			    bad);
		break;
	case REWRITER_UNKNOWN:
	case REWRITER_FAILED:
		is_good = false;
		break;
	}
	buf_fini(&value);
	ehlo_discard_text(*mask_out, words, sizeof(words));
	for (char *p = words; *p != '\0'; p++)
		*p = (char)toupper((unsigned char)*p);
	if (*mask_out != 0 && (*mask_out & EHLO_DISCARD_SILENT) == 0)
		log_info("discarding EHLO keywords: %s", words);
	return is_good;
}

static void
on_ehlo_reply(struct dial *dial, const struct reply *reply)
{
	const struct settings *set = dial->dialer->set;
	struct ehlo *ehlo = &dial->result.ehlo;
	unsigned discard_mask;
	char name[NAME_SIZE];

	measure(dial);
	if (reply->code == 421) {
		refused(dial, reply);
		return;
	}
	if (!find_discard_mask(dial, &discard_mask)) {
		dial_fail(dial, DIAL_EHLO, "4.3.0",
		    "local data error while talking to %s",
		    dial_namaddr(dial, name, sizeof(name)));
		dial_quit(dial, "QUIT\r\n");
		return;
	}
	ehlo_parse(reply, discard_mask, ehlo);
	if (ehlo->auth)
		dial->result.was_auth_offered = true;
	if (!ehlo->is_esmtp) {
		send_helo(dial);
		return;
	}
	if (dial->at.port == 25 && ehlo->domain[0] != '\0' &&
	    strcasecmp(ehlo->domain, set->myhostname) == 0) {
		log_warn("host %s replied to HELO/EHLO with my own hostname "
			 "%s, session=%s",
		    dial_namaddrport(dial, name, sizeof(name)), set->myhostname,
		    dial->session);
		dial_fail(dial, DIAL_EHLO, "4.4.6",
		    "mail for %s loops back to myself", dial->at.domain);
		dial_quit(dial, "QUIT\r\n");
		return;
	}
	secure(dial);
}

static void
fail_protocol(struct dial *dial)
{
	char name[NAME_SIZE];

	dial_fail(dial, dial_stage_of(dial->state), "4.5.0",
	    "protocol error in the reply of host %s while %s",
	    dial_namaddr(dial, name, sizeof(name)), doing(dial->state));
	conclude(dial, HANDSHAKE_FAILED);
}

/* A reply to what was not sent yet: who believes it is one reply ahead for the
 * rest of the session. 421 may come at any time. */
static bool
is_too_early(const struct dial *dial, const struct reply *reply)
{
	return dial->state != DIAL_STATE_QUIT && reply->sent_code != 421 &&
	       (buf_len(&dial->out) > 0 || link_unsent(dial->link) > 0);
}

/* A challenge is not shown; of other replies to a login no more is than the log
 * has of a refusal: some servers repeat what they were told. */
static void
trace_reply(const struct dial *dial, const struct reply *reply)
{
	const struct peer *peer = &dial->result.peer;
	char text[DSN_TEXT_MAX];

	if (dial->state != DIAL_STATE_AUTH) {
		trace_received(peer, NULL, reply);
	} else if (reply->code == 334 || reply->sent_code == 334) {
		trace_received_hidden(peer, reply->sent_code);
	} else if (trace_is_on(peer)) {
		reply_text(reply, text, sizeof(text));
		dial_hide_secrets(dial, text);
		trace_received_text(peer, text);
	}
}

static void
on_reply(struct dial *dial, const struct reply *reply, bool has_more)
{
	char text[200];

	if (log_is_verbose()) {
		reply_text(reply, text, sizeof(text));
		dial_hide_secrets(dial, text);
		log_debug("< %s: %s", dial->at.host,
		    dial->state == DIAL_STATE_AUTH &&
			    (reply->code == 334 || reply->sent_code == 334)
			? "334 <hidden>"
			: text);
	}
	dial->dialer->tally.replies_421 += reply->sent_code == 421;
	if (dial->state != DIAL_STATE_QUIT)
		dial_tell(dial, dial_stage_of(dial->state), reply, NULL, NULL);
	trace_reply(dial, reply);
	if (is_too_early(dial, reply)) {
		fail_protocol(dial);
		return;
	}
	switch (dial->state) {
	case DIAL_STATE_GREETING:
		if (reply->code / 100 == 2)
			send_ehlo(dial);
		else
			refused(dial, reply);
		break;
	case DIAL_STATE_EHLO:
		on_ehlo_reply(dial, reply);
		break;
	case DIAL_STATE_HELO:
		if (reply->code / 100 == 2)
			secure(dial);
		else
			refused(dial, reply);
		break;
	case DIAL_STATE_STARTTLS:
		on_starttls_reply(dial, reply, has_more);
		break;
	case DIAL_STATE_AUTH:
	case DIAL_STATE_RSET:
		login_on_reply(dial, reply);
		if (dial->wants_steps)
			conclude(dial, HANDSHAKE_RETRY_STEPS);
		break;
	case DIAL_STATE_QUIT:
		if (reply->sent_code == 221)
			conclude(dial, HANDSHAKE_FAILED);
		break;
	case DIAL_STATE_LOOKUP:
	case DIAL_STATE_CONNECT:
	case DIAL_STATE_TLS:
	case DIAL_STATE_OVER:
		break;
	}
}

/* ---- the link's handlers ---- */

static void
on_input(void *ctx, const char *p, size_t n)
{
	struct dial *dial = ctx;
	struct link *link = dial->link;

	CHECK(dial->link != NULL && dial->on_handshake_end != NULL);
	/* A handler may close the connection, hand it over or start TLS. */
	while (n > 0 && dial->link == link) {
		size_t used = 0;
		enum reply_result result =
		    reply_feed(&dial->parser, p, n, &used);

		p += used;
		n -= used;
		if (result == REPLY_MORE)
			return;
		if (result == REPLY_BAD ||
		    reply_get(&dial->parser)->rewriter_failed) {
			fail_protocol(dial);
			return;
		}
		on_reply(dial, reply_get(&dial->parser), n > 0);
		if (dial->is_ready) {
			link_unread(link, p, n);
			conclude(dial, HANDSHAKE_READY);
			return;
		}
	}
}

/* Whatever belongs to a login is hidden. */
static void
trace_output(const struct dial *dial)
{
	const struct peer *peer = &dial->result.peer;
	struct slice text = buf_slice(&dial->out);

	if (text.n > 0 &&
	    (dial->state == DIAL_STATE_AUTH || strncmp(text.p, "AUTH", 4) == 0))
		trace_sent_octets(peer, NULL, text.n, "login, hidden");
	else
		trace_sent(peer, NULL, text);
}

static void
on_output(void *ctx, struct buf *out)
{
	struct dial *dial = ctx;

	trace_output(dial);
	(void)buf_add_slice(out, buf_slice(&dial->out));
	/* Possibly a password. */
	buf_fini_secret(&dial->out);
}

static void
on_written(void *ctx, size_t n)
{
	(void)ctx;
	(void)n;
}

static void
on_closed(void *ctx, enum link_end end, const char *text)
{
	struct dial *dial = ctx;

	if (dial->state == DIAL_STATE_QUIT) {
		conclude(dial, HANDSHAKE_FAILED);
		return;
	}
	if (login_is_trial_over(dial)) {
		conclude(dial, HANDSHAKE_RETRY_STEPS);
		return;
	}
	if (end == LINK_TLS_ERROR)
		log_info("TLS error while %s: %s, session=%s",
		    doing(dial->state), text, dial->session);
	fail_lost(dial);
}

void
handshake_on_timeout(struct dial *dial)
{
	char name[NAME_SIZE];

	CHECK(dial->on_handshake_end != NULL);
	if (dial->state == DIAL_STATE_QUIT) {
		conclude(dial, HANDSHAKE_FAILED);
		return;
	}
	if (login_is_trial_over(dial)) {
		conclude(dial, HANDSHAKE_RETRY_STEPS);
		return;
	}
	if (dial->state == DIAL_STATE_TLS) {
		fail_handshake(dial, true, "Connection timed out");
		return;
	}
	dial_fail(dial, dial_stage_of(dial->state), "4.4.2",
	    "conversation with %s timed out while %s",
	    dial_namaddr(dial, name, sizeof(name)), doing(dial->state));
	dial->result.is_transport = true;
	conclude(dial, HANDSHAKE_FAILED);
}

void
handshake_start(struct dial *dial, handshake_end_fn *on_end)
{
	static const struct link_ops ops = {
	    on_input, on_output, on_written, on_closed};
	const struct peer *peer = &dial->result.peer;

	CHECK(on_end != NULL && dial->link != NULL);
	CHECK(dial->on_handshake_end == NULL);
	dial->on_handshake_end = on_end;
	reply_parser_fini(&dial->parser);
	reply_parser_init(&dial->parser);
	reply_parser_rewrite(
	    &dial->parser, peer->replies, peer->host, peer->addr, peer->port);
	dial->is_ready = false;
	dial->result.peer.is_tls = false;
	memset(&dial->result.ehlo, 0, sizeof(dial->result.ehlo));
	link_set_ops(dial->link, &ops, dial);
	if (dial_is_wrapped(dial) && !dial->is_plain_retry)
		start_tls(dial);
	else
		dial_enter(dial, DIAL_STATE_GREETING);
}
