#include "agent/smarthost/dial.h"

#include <ctype.h>
#include <openssl/evp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "agent/engine/trace.h"
#include "common/base/clock.h"
#include "common/base/log.h"
#include "common/base/mem.h"
#include "common/smtp/nexthop.h"

enum {
	/* Its reply comes with that to AUTH, or never. */
	RSET_LIMIT_MS = 3000,
	QUIT_LIMIT_MS = 1000, /* politeness must not cost a slot more */
	SECRET_SHOWN = 16, /* so many octets of one would tell something */
	PASSWORD_HIDDEN_MIN = 5,
	BASE64_MAX = 4096, /* octets in a run of it */
};

const char *
dial_stage_name(enum dial_stage stage)
{
	static const char *const names[] = {
	    [DIAL_RESOLVE] = "resolve",
	    [DIAL_DANE] = "dane",
	    [DIAL_CONNECT] = "connect",
	    [DIAL_GREETING] = "greeting",
	    [DIAL_EHLO] = "ehlo",
	    [DIAL_STARTTLS] = "starttls",
	    [DIAL_TLS] = "tls",
	    [DIAL_AUTH] = "auth",
	    [DIAL_TOKEN] = "token",
	    [DIAL_CONFIG] = "config",
	};

	CHECK(stage <= DIAL_CONFIG);
	return names[stage];
}

const char *
dial_namaddr(const struct dial *dial, char *out, size_t n)
{
	(void)snprintf(out, n, "%s[%s]", dial->at.host, dial->at.addr);
	return out;
}

const char *
dial_namaddrport(const struct dial *dial, char *out, size_t n)
{
	(void)snprintf(out, n, "%s[%s]:%u", dial->at.host, dial->at.addr,
	    (unsigned)dial->at.port);
	return out;
}

void
dial_level_text(const struct dial *dial, char out[DIAL_LEVEL_SIZE])
{
	enum tls_level level = dial->policy.level;
	bool is_changed = level != dial->asked_level;

	(void)snprintf(out, DIAL_LEVEL_SIZE, "%s%s%s",
	    tls_level_name(dial->asked_level), is_changed ? ":" : "",
	    is_changed ? tls_level_name(level) : "");
}

bool
dial_is_stranger(const struct dial *dial)
{
	return tls_level_is_dane(dial->asked_level) &&
	       dial->policy.level < TLS_LEVEL_DANE;
}

bool
dial_is_wrapped(const struct dial *dial)
{
	const struct settings *set = dial->dialer->set;
	struct slice list = slice_str(set->lane_tls_wrappermode_ports);
	unsigned port;

	if (set->smtp_tls_wrappermode)
		return true;
	while (nexthop_next_port(&list, &port))
		if (port == dial->at.port)
			return true;
	return false;
}

static void
tell(const struct dial *dial, struct dial_note *note)
{
	const struct dialer *d = dial->dialer;

	if (d->on_note == NULL)
		return;
	note->peer = &dial->result.peer;
	note->level = tls_level_name(dial->policy.level);
	note->asked_level = tls_level_name(dial->asked_level);
	note->dane_why = dial->dane_why;
	note->dane = dial->policy.dane;
	note->has_login = dial->has_credentials;
	note->mech = dial->sasl != NULL ? dial->mech : NULL;
	note->now_us = loop_now_us(d->loop);
	d->on_note(d->note_ctx, note);
}

void
dial_tell(const struct dial *dial, enum dial_stage stage,
    const struct reply *reply, struct ssl_st *ssl,
    const struct tls_facts *facts)
{
	struct dial_note note = {
	    .stage = stage, .reply = reply, .ssl = ssl, .facts = facts};

	tell(dial, &note);
}

void
dial_set_timer(struct dial *dial, int64_t ms)
{
	if (ms > 0)
		loop_timer_at(
		    dial->timer, loop_now_ms(dial->dialer->loop) + ms);
	else
		loop_timer_cancel(dial->timer);
}

static void
wipe(char **secret)
{
	if (*secret != NULL)
		mem_wipe(*secret, strlen(*secret));
	mem_free(*secret);
	*secret = NULL;
}

void
dial_wipe_credentials(struct dial *dial)
{
	wipe(&dial->user);
	wipe(&dial->password);
	wipe(&dial->token);
	dial->is_token_renewed = false;
	dial->has_credentials = false;
}

void
dial_close_connection(struct dial *dial)
{
	loop_unwatch(&dial->watch);
	if (dial->fd >= 0)
		(void)close(dial->fd);
	dial->fd = -1;
	link_free(&dial->link);
	loop_timer_cancel(dial->timer);
	sasl_free(&dial->sasl);
	wipe(&dial->login);
	dial->is_trial = dial->wants_steps = false;
	buf_fini_secret(&dial->out);
	buf_fini_secret(&dial->deferred);
}

void
dial_fail(struct dial *dial, enum dial_stage stage, const char *status,
    const char *format, ...)
{
	struct dial_result *r = &dial->result;
	struct dial_note note = {.stage = stage, .failure = &r->dsn};
	char text[DSN_TEXT_MAX + 1];
	va_list ap;

	va_start(ap, format);
	(void)vsnprintf(text, sizeof(text), format, ap);
	va_end(ap);
	dsn_set(&r->dsn, status, "%s", text);
	r->dsn.cause =
	    stage == DIAL_CONFIG ? DSN_CAUSE_CONFIG : DSN_CAUSE_UNREACHABLE;
	r->stage = stage;
	mem_free(r->reply_text);
	r->reply_text = NULL;
	r->reply_code = 0;
	r->is_config_error = stage == DIAL_CONFIG;
	r->is_transport = r->is_certificate = r->is_told = false;
	dial->has_failed = true;
	if (stage == DIAL_CONNECT || stage == DIAL_GREETING)
		candidate_rest(&dial->dialer->rests, &dial->at.sa,
		    loop_now_ms(dial->dialer->loop));
	log_info("%s, session=%s", r->dsn.text, dial->session);
	trace_remark(&r->peer, r->dsn.text);
	tell(dial, &note);
}

enum dial_stage
dial_stage_of(enum dial_state state)
{
	switch (state) {
	case DIAL_STATE_GREETING:
		return DIAL_GREETING;
	case DIAL_STATE_EHLO:
	case DIAL_STATE_HELO:
		return DIAL_EHLO;
	case DIAL_STATE_STARTTLS:
		return DIAL_STARTTLS;
	case DIAL_STATE_TLS:
		return DIAL_TLS;
	case DIAL_STATE_AUTH:
	case DIAL_STATE_RSET:
		return DIAL_AUTH;
	case DIAL_STATE_LOOKUP:
	case DIAL_STATE_CONNECT:
	case DIAL_STATE_QUIT:
	case DIAL_STATE_OVER:
		break;
	}
	return DIAL_CONNECT;
}

/* Bit per state that may come next. */
#define TO(state) (1U << DIAL_STATE_##state)

static const unsigned moves[DIAL_STATES] = {
    [DIAL_STATE_LOOKUP] = TO(LOOKUP) | TO(CONNECT),
    [DIAL_STATE_CONNECT] = TO(LOOKUP) | TO(TLS) | TO(GREETING),
    /* ... and to connect: the address once more, without TLS */
    [DIAL_STATE_TLS] =
	TO(LOOKUP) | TO(CONNECT) | TO(GREETING) | TO(EHLO) | TO(QUIT),
    [DIAL_STATE_GREETING] = TO(LOOKUP) | TO(EHLO) | TO(QUIT),
    [DIAL_STATE_EHLO] =
	TO(LOOKUP) | TO(HELO) | TO(STARTTLS) | TO(AUTH) | TO(QUIT),
    [DIAL_STATE_HELO] = TO(LOOKUP) | TO(STARTTLS) | TO(QUIT),
    [DIAL_STATE_STARTTLS] = TO(LOOKUP) | TO(TLS) | TO(AUTH) | TO(QUIT),
    /* ... and to connect: once more, with nothing behind the login */
    [DIAL_STATE_AUTH] =
	TO(LOOKUP) | TO(CONNECT) | TO(AUTH) | TO(RSET) | TO(QUIT),
    [DIAL_STATE_RSET] = TO(LOOKUP) | TO(CONNECT) | TO(QUIT),
    [DIAL_STATE_QUIT] = TO(LOOKUP),
};

void
dial_set_state(struct dial *dial, enum dial_state state)
{
	/* A dial may be over, or cancelled, at any time, once. */
	CHECK(dial->state != DIAL_STATE_OVER);
	CHECK(state == DIAL_STATE_OVER ||
	      (moves[dial->state] & 1U << state) != 0);
	dial->state = state;
}

void
dial_enter(struct dial *dial, enum dial_state state)
{
	const struct settings *set = dial->dialer->set;
	int64_t ms = set->smtp_helo_timeout_us / US_PER_MS;

	dial_set_state(dial, state);
	if (state == DIAL_STATE_TLS || state == DIAL_STATE_STARTTLS)
		ms = set->smtp_starttls_timeout_us / US_PER_MS;
	else if (state == DIAL_STATE_RSET)
		ms = RSET_LIMIT_MS;
	else if (state == DIAL_STATE_QUIT)
		ms = QUIT_LIMIT_MS;
	dial_set_timer(dial, ms);
}

void
dial_quit(struct dial *dial, const char *words)
{
	CHECK(dial->link != NULL);
	dial_enter(dial, DIAL_STATE_QUIT);
	buf_fini_secret(&dial->out);
	(void)buf_add_str(&dial->out, words);
	link_kick(dial->link);
}

static void
hide(char *text, const char *secret)
{
	char begin[SECRET_SHOWN + 1], *at;

	(void)snprintf(begin, sizeof(begin), "%s", secret);
	at = strstr(text, begin);
	if (at != NULL && begin[0] != '\0')
		(void)snprintf(at, 3, "..");
}

static size_t
base64_length(const char *p)
{
	size_t n = 0;

	while (isalnum((unsigned char)p[n]) || p[n] == '+' || p[n] == '/')
		n++;
	return n;
}

/* Some of the octets that a run of n letters of Base64 stands for are the
 * beginning of the secret, wherever its groups of four begin. */
static bool
stands_for(const char *p, size_t n, const char *secret)
{
	unsigned char plain[BASE64_MAX];

	for (size_t off = 0; off < 4 && off < n; off++) {
		size_t use = (n - off) & ~(size_t)3;
		int got;

		if (use == 0 || use / 4 * 3 > sizeof(plain))
			continue;
		got = EVP_DecodeBlock(
		    plain, (const unsigned char *)p + off, (int)use);
		if (got > 0 && memmem(plain, (size_t)got, secret,
				   PASSWORD_HIDDEN_MIN) != NULL)
			return true;
	}
	return false;
}

/* Likewise of what AUTH made of it. */
static void
hide_encoded(char *text, const char *secret)
{
	for (char *p = text; *p != '\0';) {
		size_t n = base64_length(p);

		if (stands_for(p, n, secret))
			memset(p, '.', n);
		p += n > 0 ? n : 1;
	}
}

/* Some servers repeat what they were told. The end is gone with it, since the
 * text may have been cut in the middle of the secret. */
void
dial_hide_secrets(const struct dial *dial, char *text)
{
	if (dial->token != NULL)
		hide(text, dial->token);
	/* Shorter ones are found in many a word. */
	if (dial->password == NULL ||
	    strlen(dial->password) < PASSWORD_HIDDEN_MIN)
		return;
	hide(text, dial->password);
	hide_encoded(text, dial->password);
}

void
dial_fail_reply(struct dial *dial, const char *status,
    const struct reply *reply, const char *before)
{
	char text[DSN_TEXT_MAX];

	CHECK(dial->link != NULL);
	reply_text(reply, text, sizeof(text));
	dial_hide_secrets(dial, text);
	dial_fail(
	    dial, dial_stage_of(dial->state), status, "%s%s", before, text);
	dial->result.reply_text = mem_strdup(text);
	dial->result.reply_code = reply->code;
	dial_quit(dial, "QUIT\r\n");
}

void
dial_soften(char *out, size_t n, const char *status)
{
	(void)snprintf(out, n, "4%s", status + 1);
}

void
dial_result_fini(struct dial_result *result)
{
	link_free(&result->link);
	mem_free(result->reply_text);
	result->reply_text = NULL;
	mem_free(result->no_login);
	result->no_login = NULL;
	wipe(&result->login);
}
