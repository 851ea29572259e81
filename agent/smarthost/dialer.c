/*   candidate -> TLS policy -> credentials -> connect -> handshake -> ready
 *       ^_________________________________________________|  failed
 *
 * One address after the other; the reasons of all failures are logged, the
 * last one is handed over.
 */
#include "agent/smarthost/dialer.h"

#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

#include "agent/engine/trace.h"
#include "agent/io/resolvconf.h"
#include "agent/smarthost/dial.h"
#include "agent/smarthost/dial_policy.h"
#include "agent/smarthost/handshake.h"
#include "agent/smarthost/peer_list.h"
#include "agent/smarthost/trust_anchors.h"
#include "common/base/clock.h"
#include "common/base/log.h"
#include "common/base/mem.h"

enum {
	OUT_MAX = SASL_LINE_MAX + 1024,
};

static void next_candidate(struct dial *dial);
static void find_credentials(struct dial *dial);
static void start_connect(struct dial *dial);
static void renew_token(struct dial *dial);

struct dialer *
dialer_new(struct loop *loop, const struct settings *set,
    struct credentials *credentials, struct maps *tls_policy)
{
	struct dialer *d = mem_zalloc(sizeof(*d));
	const char *anchors_why;
	char bad[64], *service;

	d->loop = loop;
	d->set = set;
	d->credentials = credentials;
	d->tls_policy = tls_policy;
	d->resolver = resolver_new_secure(loop, set, RESOLVCONF_PATH);
	d->tls = tls_new(set);
	d->leads = leads_new();
	service = mem_printf("private/%s", set->lane_token_service_name);
	d->tokens = tokens_new(loop, service, TOKENS_TIMEOUT_MS);
	mem_free(service);
	(void)tlspolicy_init(
	    &d->policy, set, d->policy_error, sizeof(d->policy_error));
	if (d->policy_error[0] != '\0')
		log_error("%s", d->policy_error);
	if (!source_address_init(
		&d->source, set, d->source_error, sizeof(d->source_error)))
		log_error("%s", d->source_error);
	if (tls_error(d->tls) != NULL)
		log_error("%s", tls_error(d->tls));
	(void)tls_anchors(d->tls, &anchors_why);
	if (anchors_why != NULL)
		log_error("%s", anchors_why);
	d->has_sasl = sasl_open(&d->sasl_why);
	if (!d->has_sasl)
		log_error("cannot start SASL: %s", d->sasl_why);
	if (!ehlo_discard_mask(set->smtp_discard_ehlo_keywords,
		&d->discard_mask, bad, sizeof(bad)))
		log_warn(
		    "smtp_discard_ehlo_keywords: unknown word \"%s\"", bad);
	if (!peer_list_is_plain(set->debug_peer_list, bad, sizeof(bad)))
		log_warn("debug_peer_list: %s: not supported by lane: must be "
			 "a name or an address",
		    bad);
	return d;
}

void
dialer_filter(struct dialer *dialer, const struct rewriter *replies,
    const struct rewriter *ehlo_words)
{
	dialer->replies = replies;
	dialer->ehlo_words = ehlo_words;
}

void
dialer_filter_dns(struct dialer *dialer, const struct rewriter *records)
{
	resolver_filter(dialer->resolver, records);
}

void
dialer_trace(struct dialer *dialer, const struct tracer *tracer)
{
	dialer->tracer = tracer;
}

void
dialer_set_requiretls(
    struct dialer *dialer, const struct requiretls_table *policy)
{
	dialer->requiretls = policy;
}

void
dialer_free(struct dialer **dialer)
{
	struct dialer *old = *dialer;

	*dialer = NULL;
	if (old == NULL)
		return;
	resolver_free(&old->resolver);
	tls_free(&old->tls);
	leads_free(&old->leads);
	tokens_free(&old->tokens);
	if (old->has_sasl)
		sasl_close();
	mem_free(old);
}

void
dialer_rest(struct dialer *dialer, const struct peer *peer)
{
	struct addrinfo hints = {.ai_flags = AI_NUMERICHOST | AI_NUMERICSERV,
	    .ai_socktype = SOCK_STREAM};
	struct addrinfo *found = NULL;
	struct sockaddr_storage sa = {0};

	if (getaddrinfo(peer->addr, peer->port, &hints, &found) != 0)
		return;
	memcpy(&sa, found->ai_addr, found->ai_addrlen);
	freeaddrinfo(found);
	candidate_rest(&dialer->rests, &sa, loop_now_ms(dialer->loop));
}

const struct dialer_tally *
dialer_tally(const struct dialer *dialer)
{
	return &dialer->tally;
}

void
dialer_observe(struct dialer *dialer, dial_note_fn *fn, void *ctx)
{
	CHECK(fn == NULL || dialer->on_note == NULL);
	dialer->on_note = fn;
	dialer->note_ctx = ctx;
}

int64_t
dialer_own_end_s(const struct dialer *dialer)
{
	return tls_own_end_s(dialer->tls);
}

/* Frees all but the result; the memory goes at the end of the turn, since
 * callers up the stack may still look at the state. */
static void
dispose(struct dial *dial)
{
	struct loop *loop = dial->dialer->loop;

	dial_set_state(dial, DIAL_STATE_OVER);
	dial_close_connection(dial);
	candidates_free(&dial->candidates);
	maps_cancel(&dial->policy_query);
	dane_query_cancel(&dial->dane_query);
	credentials_cancel(&dial->credentials_query);
	tokens_cancel(&dial->token_query);
	dial_wipe_credentials(dial);
	trust_anchors_free(&dial->anchors);
	dane_fini(&dial->dane);
	reply_parser_fini(&dial->parser);
	loop_timer_free(&dial->timer);
	mem_free(dial->sender);
	loop_defer(loop, mem_free, dial);
}

static void
finish(struct dial *dial)
{
	struct dial_result result = dial->result;
	dial_fn *on_done = dial->on_done;
	void *ctx = dial->ctx;

	CHECK(dial->is_begun && dial->on_done != NULL);
	dispose(dial);
	on_done(ctx, &result);
}

static void
give_up(struct dial *dial)
{
	dial_close_connection(dial);
	next_candidate(dial);
}

void
dialer_set_board(struct dialer *dialer, struct board_writer *board)
{
	leads_set_board(dialer->leads, board);
}

void
dialer_login_news(struct dialer *dialer, const struct lead_key *key,
    enum session_login_news news)
{
	int64_t now_us = loop_now_us(dialer->loop);

	switch (news) {
	case LOGIN_ACCEPTED:
		dialer->tally.auths_led++;
		leads_accepted(dialer->leads, key, now_us);
		break;
	case LOGIN_PROVEN:
		leads_proven(dialer->leads, key, now_us);
		break;
	case LOGIN_REFUSED:
		dialer->tally.auths_failed++;
		leads_refused(dialer->leads, key, true, now_us);
		break;
	case LOGIN_MISPLACED:
		leads_fault(dialer->leads, key,
		    "does not take a login in front of mail", now_us);
		break;
	case LOGIN_CUT:
		leads_cut(dialer->leads, key, now_us);
		break;
	}
}

static void
retry_plain(struct dial *dial)
{
	dial_close_connection(dial);
	dial->is_plain_retry = true;
	start_connect(dial);
}

static void
retry_steps(struct dial *dial)
{
	dial_close_connection(dial);
	dial->is_step_retry = true;
	start_connect(dial);
}

static void
ready(struct dial *dial)
{
	struct dial_result *r = &dial->result;
	int64_t rtt_us = link_rtt_us(dial->link);

	CHECK(dial->link != NULL && r->link == NULL);
	if (rtt_us > r->peer.rtt_us)
		r->peer.rtt_us = rtt_us;
	candidate_wake(&dial->dialer->rests, &dial->at.sa);
	link_set_ops(dial->link, NULL, NULL);
	r->link = dial->link;
	dial->link = NULL;
	r->levels = candidates_levels(dial->candidates);
	r->is_authenticated = dial->sasl != NULL && dial->login == NULL;
	r->login = dial->login;
	r->lead_key = dial->lead_key;
	dial->login = NULL;
	mem_free(r->reply_text);
	r->reply_text = NULL;
	r->reply_code = 0;
	finish(dial);
}

/* A token may be refused because it was withdrawn, or its end has come by the
 * server's clock: the next one may do. */
static bool
is_token_refused(const struct dial *dial)
{
	const struct dial_result *r = &dial->result;

	return dial->token != NULL && !dial->is_token_renewed &&
	       r->stage == DIAL_AUTH && r->reply_code / 100 == 5;
}

static void
on_handshake_end(struct dial *dial, enum handshake_end how)
{
	switch (how) {
	case HANDSHAKE_READY:
		ready(dial);
		break;
	case HANDSHAKE_FAILED:
		if (is_token_refused(dial))
			renew_token(dial);
		else
			give_up(dial);
		break;
	case HANDSHAKE_RETRY_PLAIN:
		retry_plain(dial);
		break;
	case HANDSHAKE_RETRY_STEPS:
		retry_steps(dial);
		break;
	}
}

static void
fail_config(
    struct dial *dial, const char *status, const char *what, const char *detail)
{
	dial_fail(dial, DIAL_CONFIG, status, "%s: %s", what, detail);
	candidates_skip_nexthop(dial->candidates, dial->at.nexthop_number);
	next_candidate(dial);
}

/* ---- the address in hand: credentials, connect ---- */

static const char *
token_name(const struct dial *dial)
{
	size_t n = strlen(TOKENS_PREFIX);

	return strncmp(dial->password, TOKENS_PREFIX, n) == 0
		   ? dial->password + n
		   : NULL;
}

static void
fail_token(struct dial *dial, const struct tokens_answer *answer)
{
	dial_fail(dial, DIAL_TOKEN, "4.7.0", "no access token %s: %s",
	    token_name(dial), answer->reason);
	/* What is not there now may be there in a moment. */
	dial->result.is_transport = answer->status == TOKENPROTO_LATER;
	dial->result.is_told = answer->is_told;
	candidates_skip_nexthop(dial->candidates, dial->at.nexthop_number);
	next_candidate(dial);
}

static void
on_token(void *ctx, const struct tokens_answer *answer)
{
	struct dial *dial = ctx;

	dial->token_query = NULL;
	if (answer->status != TOKENPROTO_OK) {
		fail_token(dial, answer);
		return;
	}
	dial->token = mem_strdup(answer->token);
	dial->token_serial = answer->serial;
	start_connect(dial);
}

/* A password that begins like that and goes on otherwise is nobody's. */
static void
find_token(struct dial *dial)
{
	const char *name = token_name(dial);

	if (name == NULL)
		start_connect(dial);
	else if (!tokenproto_name_is_valid(name))
		fail_config(dial, "4.3.5", "smtp_sasl_password_maps",
		    "bad name after \"" TOKENS_PREFIX
		    "\": must be letters, digits, \"-\", \"_\" and \".\"");
	else
		dial->token_query =
		    tokens_ask(dial->dialer->tokens, name, 0, on_token, dial);
}

static void
on_next_token(void *ctx, const struct tokens_answer *answer)
{
	struct dial *dial = ctx;

	dial->token_query = NULL;
	if (answer->status != TOKENPROTO_OK ||
	    answer->serial == dial->token_serial) {
		log_info("no other access token %s%s%s", token_name(dial),
		    answer->reason != NULL ? ": " : "",
		    answer->reason != NULL ? answer->reason : "");
		next_candidate(dial);
		return;
	}
	mem_wipe(dial->token, strlen(dial->token));
	mem_free(dial->token);
	dial->token = mem_strdup(answer->token);
	dial->token_serial = answer->serial;
	start_connect(dial);
}

/* Asks for another and connects again, once; or goes on with the next address.
 */
static void
renew_token(struct dial *dial)
{
	dial_close_connection(dial);
	dial_set_state(dial, DIAL_STATE_LOOKUP);
	dial->is_token_renewed = true;
	dial->token_query = tokens_ask(dial->dialer->tokens, token_name(dial),
	    dial->token_serial, on_next_token, dial);
}

/* Opportunistic is good enough for mail, not for a password. */
static void
fail_stranger(struct dial *dial)
{
	dial_fail(dial, DIAL_DANE, "4.7.5",
	    "no login is sent to %s, which level %s does not authenticate: %s; "
	    "use verify or secure",
	    dial->at.host, tls_level_name(dial->asked_level), dial->dane_why);
	next_candidate(dial);
}

static void
on_credentials(void *ctx, enum maps_result result, const char *user,
    const char *password, const char *error)
{
	struct dial *dial = ctx;
	char what[700], namaddr[400];

	dial->credentials_query = NULL;
	switch (result) {
	case MAPS_FOUND:
		dial->has_credentials = true;
		dial->user = mem_strdup(user);
		dial->password = mem_strdup(password);
		break;
	case MAPS_NOT_FOUND:
		if (dial->dialer->credentials != NULL)
			dial->result.no_login =
			    credentials_explain(dial->dialer->credentials,
				dial->sender, dial->at.host, dial->at.nexthop);
		break;
	case MAPS_ERROR:
		(void)snprintf(what, sizeof(what),
		    "local data error while talking to %s",
		    dial_namaddr(dial, namaddr, sizeof(namaddr)));
		fail_config(dial, "4.3.0", what,
		    error != NULL ? error : "smtp_sasl_password_maps");
		return;
	}
	if (dial->has_credentials && dial_is_stranger(dial))
		fail_stranger(dial);
	else if (dial->has_credentials)
		find_token(dial);
	else
		start_connect(dial);
}

static void
find_credentials(struct dial *dial)
{
	struct dialer *d = dial->dialer;
	struct credentials_query *query;

	dial_wipe_credentials(dial);
	/* It is about this host alone. */
	mem_free(dial->result.no_login);
	dial->result.no_login = NULL;
	dial->result.was_auth_offered = false;
	if (d->credentials == NULL || !d->set->smtp_sasl_auth_enable) {
		on_credentials(dial, MAPS_NOT_FOUND, NULL, NULL, NULL);
		return;
	}
	query = credentials_find(d->credentials, dial->sender, dial->at.host,
	    dial->at.nexthop, on_credentials, dial);
	if (query != NULL)
		dial->credentials_query = query;
}

static void
fail_connect(struct dial *dial, int error_no)
{
	char name[400];

	dial_fail(dial, DIAL_CONNECT, "4.4.1", "connect to %s: %s",
	    dial_namaddrport(dial, name, sizeof(name)), strerror(error_no));
	dial->result.is_transport = true;
	give_up(dial);
}

static void
on_connected(void *ctx, bool readable, bool writable)
{
	struct dial *dial = ctx;
	int error_no = 0, fd = dial->fd;
	socklen_t n = sizeof(error_no);
	int64_t rtt_us;

	CHECK(dial->state == DIAL_STATE_CONNECT && fd >= 0);
	(void)readable;
	(void)writable;
	if (getsockopt(fd, SOL_SOCKET, SO_ERROR, &error_no, &n) != 0)
		error_no = errno;
	if (error_no != 0) {
		/* Refused is another error: this one had been let in. */
		if (error_no == ECONNRESET)
			dial->result.had_connection = true;
		fail_connect(dial, error_no);
		return;
	}
	loop_timer_cancel(dial->timer);
	loop_unwatch(&dial->watch);
	dial->fd = -1;
	dial->result.had_connection = true;
	rtt_us = loop_now_us(dial->dialer->loop) - dial->began_us;
	dial->result.peer.rtt_us = rtt_us > 0 ? rtt_us : 0;
	dial_tell(dial, DIAL_CONNECT, NULL, NULL, NULL);
	dial->link = link_new(dial->dialer->loop, fd);
	dial->result.window = link_window(dial->link, &dial->result.segment);
	handshake_start(dial, on_handshake_end);
}

static void
trace_connecting(const struct dial *dial)
{
	char text[sizeof(dial->at.host) + sizeof(dial->at.addr) + 40];

	(void)snprintf(text, sizeof(text), "connecting to %s[%s]:%u",
	    dial->at.host, dial->at.addr, (unsigned)dial->at.port);
	trace_remark(&dial->result.peer, text);
}

static void
start_connect(struct dial *dial)
{
	struct dialer *d = dial->dialer;
	int family = dial->at.sa.ss_family;
	socklen_t n = family == AF_INET6 ? sizeof(struct sockaddr_in6)
					 : sizeof(struct sockaddr_in);

	CHECK(dial->fd < 0 && dial->link == NULL);
	dial_set_state(dial, DIAL_STATE_CONNECT);
	dial->fd =
	    socket(family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (dial->fd < 0) {
		fail_connect(dial, errno);
		return;
	}
	if (d->source_error[0] != '\0') {
		dial_fail(dial, DIAL_CONFIG, "4.3.5", "%s", d->source_error);
		give_up(dial);
		return;
	}
	if (!source_address_bind(&d->source, dial->fd, family)) {
		dial_fail(dial, DIAL_CONFIG, "4.4.0",
		    "server configuration error: smtp_bind_address");
		give_up(dial);
		return;
	}
	dial->began_us = loop_now_us(d->loop);
	dial_tell(dial, DIAL_RESOLVE, NULL, NULL, NULL);
	log_debug("connecting to %s[%s] port %u, session=%s", dial->at.host,
	    dial->at.addr, (unsigned)dial->at.port, dial->session);
	trace_connecting(dial);
	if (connect(dial->fd, (const void *)&dial->at.sa, n) != 0 &&
	    errno != EINPROGRESS) {
		fail_connect(dial, errno);
		return;
	}
	dial->watch = loop_watch(d->loop, dial->fd, on_connected, dial);
	loop_want(dial->watch, false, true);
	dial_set_timer(dial, d->set->smtp_connect_timeout_us / US_PER_MS);
}

static void
on_timer(void *ctx)
{
	struct dial *dial = ctx;

	if (dial->state == DIAL_STATE_CONNECT)
		fail_connect(dial, ETIMEDOUT);
	else
		handshake_on_timeout(dial);
}

/* ---- from one address to the next ---- */

static void
give_result(struct dial *dial)
{
	const struct dsn *problem = candidates_problem(dial->candidates);
	struct dial_result *r = &dial->result;

	r->levels = candidates_levels(dial->candidates);
	if (problem != NULL) {
		mem_free(r->reply_text);
		r->reply_text = NULL;
		r->reply_code = 0;
		r->stage = DIAL_RESOLVE;
		r->dsn = *problem;
		r->is_config_error = candidates_is_mistake(dial->candidates);
		r->is_transport = false;
	} else if (!dial->has_failed) {
		r->stage = DIAL_CONFIG;
		dsn_set(&r->dsn, "4.3.5", "no smarthost is configured");
		r->dsn.cause = DSN_CAUSE_CONFIG;
		r->is_config_error = true;
	}
	finish(dial);
}

static void
on_policy_end(struct dial *dial, bool is_ready)
{
	if (is_ready)
		find_credentials(dial);
	else
		next_candidate(dial);
}

static void
on_candidate(void *ctx, const struct candidate *candidate)
{
	struct dial *dial = ctx;
	struct peer *peer = &dial->result.peer;

	if (candidate == NULL) {
		give_result(dial);
		return;
	}
	dial->at = *candidate;
	dial->is_plain_retry = dial->is_step_retry = false;
	memset(peer, 0, sizeof(*peer));
	(void)snprintf(peer->host, sizeof(peer->host), "%s", candidate->host);
	(void)snprintf(peer->addr, sizeof(peer->addr), "%s", candidate->addr);
	(void)snprintf(
	    peer->port, sizeof(peer->port), "%u", (unsigned)candidate->port);
	(void)snprintf(peer->tls, sizeof(peer->tls), "unknown");
	peer->replies = dial->dialer->replies;
	peer->tracer = dial->dialer->tracer;
	memcpy(peer->session, dial->session, sizeof(peer->session));
	peer->is_traced = peer_list_has(
	    dial->dialer->set->debug_peer_list, peer->host, peer->addr);
	peer->others = candidates_alike(dial->candidates) - 1;
	dial_policy_find(dial, on_policy_end);
}

static void
next_candidate(struct dial *dial)
{
	dial_set_state(dial, DIAL_STATE_LOOKUP);
	candidates_next(dial->candidates, on_candidate, dial);
}

struct dial *
dialer_dial(struct dialer *dialer, const struct dial_target *target,
    dial_fn *on_done, void *ctx)
{
	struct dial *dial = mem_zalloc(sizeof(*dial));

	CHECK(on_done != NULL && target->nexthops != NULL &&
	      target->sender != NULL);
	dial->dialer = dialer;
	dial->on_done = on_done;
	dial->ctx = ctx;
	dial->sender = mem_strdup(target->sender);
	dial->may_be_plain = target->may_be_plain;
	dial->may_lead = target->may_lead;
	session_id_text(target->session_id, dial->session);
	dial->fd = -1;
	dial->timer = loop_timer_new(dialer->loop, on_timer, dial);
	buf_init(&dial->out, OUT_MAX);
	buf_init(&dial->deferred, OUT_MAX);
	reply_parser_init(&dial->parser);
	dial->candidates =
	    candidates_new(dialer->loop, dialer->resolver, dialer->set,
		&dialer->rests, target->nexthops, target->level, target->past);
	next_candidate(dial);
	dial->is_begun = true;
	return dial;
}

void
dial_cancel(struct dial **dial)
{
	struct dial *old = *dial;

	*dial = NULL;
	if (old == NULL)
		return;
	dial_result_fini(&old->result);
	dispose(old);
}
