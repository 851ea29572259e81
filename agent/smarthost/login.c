#include "agent/smarthost/login.h"

#include <stdio.h>
#include <string.h>

#include "agent/smarthost/bearer.h"
#include "common/base/log.h"
#include "common/base/mem.h"

enum {
	AUTH_LINE_MAX = 512, /* RFC 4954 4: else no initial response */
	NAME_SIZE = 400,
};

static void
end_login(
    struct dial *dial, const char *words, const char *why, const char *bye)
{
	char name[NAME_SIZE];

	dial_fail(dial, DIAL_AUTH, "4.7.0", "SASL authentication failed%s %s%s",
	    words, dial_namaddr(dial, name, sizeof(name)), why);
	dial_quit(dial, bye);
}

static void
fail_login(struct dial *dial, const char *words, const char *why)
{
	/* "*" cancels the exchange: RFC 4954 4. */
	end_login(dial, words, why,
	    dial->state == DIAL_STATE_AUTH ? "*\r\nQUIT\r\n" : "QUIT\r\n");
}

static void
fail_mechanism(struct dial *dial, const char *why)
{
	char text[300];

	(void)snprintf(text, sizeof(text), ": %s", why);
	fail_login(dial, "; cannot authenticate to server", text);
}

/* The initial response is all that the client has to say. */
static bool
is_one_trip(const char *mech)
{
	static const char *const mechs[] = {
	    "PLAIN", "EXTERNAL", "XOAUTH2", "OAUTHBEARER"};

	for (size_t i = 0; i < sizeof(mechs) / sizeof(mechs[0]); i++)
		if (strcasecmp(mech, mechs[i]) == 0)
			return true;
	return false;
}

/* Mail behind a login is content for whoever is at the other end: only where
 * the certificate must be the right one, and is. */
static enum lead
lead_of(const struct dial *dial)
{
	if (!dial->may_lead || dial->is_step_retry || dial->is_token_renewed ||
	    !dial->result.ehlo.pipelining || !is_one_trip(dial->mech) ||
	    !tls_level_must_match(dial->policy.level) ||
	    !dial->result.peer.is_tls || !dial->result.peer.is_verified)
		return LEAD_NO;
	return leads_ask(dial->dialer->leads, &dial->lead_key,
	    loop_now_us(dial->dialer->loop));
}

/* AUTH is in dial->out: to be sent, with RSET behind it for a trial, or left to
 * the session. */
static void
send_line(struct dial *dial)
{
	switch (lead_of(dial)) {
	case LEAD_NO:
		break;
	case LEAD_TRIAL:
		dial->is_trial = true;
		dial->dialer->tally.rsets++;
		(void)buf_add_str(&dial->out, "RSET\r\n");
		break;
	case LEAD_YES:
		dial->login = mem_strdup(buf_str(&dial->out));
		buf_fini_secret(&dial->out);
		dial->is_ready = true;
		return;
	}
	dial_enter(dial, DIAL_STATE_AUTH);
	log_debug("> AUTH %s <hidden>", dial->mech);
	link_kick(dial->link);
}

static void
send_auth(struct dial *dial, struct buf *initial, bool has_initial)
{
	size_t n = strlen(dial->mech) + buf_len(initial) + 8;

	lead_key_set(&dial->lead_key, dial->at.host, dial->at.port, dial->user,
	    dial->mech);
	if (has_initial && n <= AUTH_LINE_MAX) {
		(void)buf_addf(&dial->out, "AUTH %s ", dial->mech);
		(void)buf_add_slice(&dial->out, buf_slice(initial));
		(void)buf_add_str(&dial->out, "\r\n");
		send_line(dial);
	} else {
		dial_enter(dial, DIAL_STATE_AUTH);
		log_debug("> AUTH %s <hidden>", dial->mech);
		(void)buf_addf(&dial->out, "AUTH %s\r\n", dial->mech);
		if (has_initial && !slice_eq(buf_slice(initial), "="))
			(void)buf_add_slice(
			    &dial->deferred, buf_slice(initial));
		link_kick(dial->link);
	}
}

static const char *
security_options(const struct dial *dial)
{
	const struct settings *set = dial->dialer->set;

	if (dial->result.peer.is_verified)
		return set->smtp_sasl_tls_verified_security_options;
	if (dial->result.peer.is_tls)
		return set->smtp_sasl_tls_security_options;
	return set->smtp_sasl_security_options;
}

static void
begin_exchange(struct dial *dial, const char *mechs)
{
	struct sasl_login login = {
	    .host = dial->at.host,
	    .user = dial->user,
	    .password = dial->password,
	    .options = security_options(dial),
	    .has_authzid = dial->dialer->set->send_cyrus_sasl_authzid,
	    .token = dial->token,
	    .port = dial->at.port,
	};
	struct buf initial;
	char why[200] = "";
	bool has_initial = false;
	bool ok = false;

	buf_init(&initial, SASL_LINE_MAX);
	dial->sasl_steps = 0;
	dial->sasl = sasl_new(&login, why, sizeof(why));
	if (dial->sasl != NULL)
		ok = sasl_start(dial->sasl, mechs, &dial->mech, &initial,
		    &has_initial, why, sizeof(why));
	if (ok)
		send_auth(dial, &initial, has_initial);
	else
		fail_mechanism(dial, why);
	buf_fini_secret(&initial);
}

void
login_start(struct dial *dial)
{
	struct dialer *d = dial->dialer;
	const struct ehlo *ehlo = &dial->result.ehlo;
	char mechs[EHLO_AUTH_SIZE];
	const char *error = NULL;

	CHECK(dial->link != NULL && dial->sasl == NULL);
	if (!dial->has_credentials) {
		dial->is_ready = true;
		return;
	}
	if (dial->token != NULL && !dial->result.peer.is_tls) {
		fail_login(dial, "; not with",
		    ": an access token is sent over TLS only (see "
		    "smtp_tls_security_level)");
		return;
	}
	if (!d->has_sasl && dial->token == NULL) {
		fail_mechanism(dial, d->sasl_why);
		return;
	}
	/* smtp(8) goes on as a stranger here, and the mail bounces with
	 * "relay access denied". Who configures a password wants a login. */
	if (!ehlo->auth) {
		fail_login(dial, ": server",
		    ehlo->starttls && !dial->result.peer.is_tls
			? " does not offer AUTH without TLS (see "
			  "smtp_tls_security_level)"
			: " does not offer AUTH");
		return;
	}
	if (!sasl_filter(d->set->smtp_sasl_mechanism_filter, ehlo->auth_mechs,
		mechs, sizeof(mechs), &error)) {
		fail_mechanism(dial, error);
		return;
	}
	if (mechs[0] == '\0') {
		fail_login(dial, ": server",
		    " offered no compatible authentication mechanisms for "
		    "this type of connection security");
		return;
	}
	begin_exchange(dial, mechs);
}

/* What follows the code of a 334 reply. */
static struct slice
challenge_of(const struct reply *reply)
{
	struct slice s = buf_slice(&reply->text);

	if (s.n < 4)
		return slice_of("", 0);
	return slice_of(s.p + 4, s.n - 4);
}

static void
answer_challenge(struct dial *dial, const struct reply *reply)
{
	struct slice challenge = challenge_of(reply);
	char why[200] = "";

	if (++dial->sasl_steps > SASL_STEPS_MAX) {
		fail_login(
		    dial, "; authentication protocol loop with server", "");
		return;
	}
	if (buf_len(&dial->deferred) > 0) {
		if (challenge.n > 0) {
			fail_login(dial,
			    "; non-empty initial challenge from server", "");
			return;
		}
		(void)buf_add_slice(&dial->out, buf_slice(&dial->deferred));
		buf_fini_secret(&dial->deferred);
	} else if (!sasl_next(
		       dial->sasl, challenge, &dial->out, why, sizeof(why))) {
		fail_mechanism(dial, why);
		return;
	}
	(void)buf_add_str(&dial->out, "\r\n");
	dial_enter(dial, DIAL_STATE_AUTH);
	link_kick(dial->link);
}

/* The next connection logs in with nothing behind. */
static void
end_trial(struct dial *dial, bool is_fault)
{
	CHECK(dial->is_trial);
	if (is_fault)
		leads_fault(dial->dialer->leads, &dial->lead_key,
		    "does not take a command behind a login",
		    loop_now_us(dial->dialer->loop));
	dial->wants_steps = true;
}

bool
login_is_trial_over(struct dial *dial)
{
	if (!dial->is_trial ||
	    (dial->state != DIAL_STATE_AUTH && dial->state != DIAL_STATE_RSET))
		return false;
	end_trial(dial, true);
	return true;
}

/* Behind a login that was accepted. */
static void
on_rset(struct dial *dial, const struct reply *reply)
{
	if (reply->code / 100 == 2) {
		leads_tried(dial->dialer->leads, &dial->lead_key,
		    loop_now_us(dial->dialer->loop));
		dial->is_ready = true;
	} else {
		end_trial(dial, true);
	}
}

static void
on_accepted(struct dial *dial, const struct reply *reply)
{
	if (sasl_is_mutual(dial->sasl) && !sasl_is_done(dial->sasl)) {
		/* Welcome without the proof of knowing us. */
		end_login(dial, "; server", " did not authenticate itself",
		    "QUIT\r\n");
		return;
	}
	leads_accepted(dial->dialer->leads, &dial->lead_key,
	    loop_now_us(dial->dialer->loop));
	if (!dial->is_trial)
		dial->is_ready = true;
	else if (reply->sent_code == 235)
		dial_enter(dial, DIAL_STATE_RSET);
	else /* it may be the answer to RSET */
		end_trial(dial, true);
}

static void
on_continue(struct dial *dial, const struct reply *reply)
{
	/* RSET was taken for the next response. So are tokens refused; from
	 * others there was an initial response. */
	if (dial->is_trial)
		end_trial(dial, dial->token == NULL);
	else
		answer_challenge(dial, reply);
}

void
login_on_reply(struct dial *dial, const struct reply *reply)
{
	char name[NAME_SIZE], before[NAME_SIZE + BEARER_REFUSAL_SIZE + 60];
	char status[DSN_STATUS_SIZE];
	const char *said;

	CHECK(dial->sasl != NULL);
	if (dial->state == DIAL_STATE_RSET) {
		on_rset(dial, reply);
		return;
	}
	if (reply->code / 100 == 3) {
		on_continue(dial, reply);
		return;
	}
	if (reply->code / 100 == 2) {
		on_accepted(dial, reply);
		return;
	}
	(void)dial_namaddr(dial, name, sizeof(name));
	dial->dialer->tally.auths_failed++;
	leads_refused(dial->dialer->leads, &dial->lead_key, false,
	    loop_now_us(dial->dialer->loop));
	said = sasl_refusal(dial->sasl);
	(void)snprintf(before, sizeof(before),
	    "SASL authentication failed; server %s said: %s%s%s", name,
	    said[0] != '\0' ? "(" : "", said, said[0] != '\0' ? ") " : "");
	(void)snprintf(status, sizeof(status), "%s", reply->status);
	if (status[0] == '5' && dial->dialer->set->smtp_sasl_auth_soft_bounce)
		dial_soften(status, sizeof(status), reply->status);
	dial_fail_reply(dial, status, reply, before);
}
