#include "agent/smarthost/upstream.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "agent/engine/trace.h"
#include "agent/smarthost/endings.h"
#include "agent/smarthost/link.h"
#include "agent/state/board_hosts.h"
#include "common/base/clock.h"
#include "common/base/list.h"
#include "common/base/log.h"
#include "common/base/mem.h"
#include "common/shared/session_id.h"

enum {
	/* Dials that fail for want of an answer are tried again inside for
	 * so long before requests are deferred. */
	PATIENCE_US = 10000000,
};

struct upstream {
	struct list link;
	struct upstreams *ups;
	struct route *route;
	struct account *account;
	int slot, row;
	uint64_t id;
	struct dial *dial;
	struct link *conn;
	struct lane_session *ls;
	int64_t rtt_us;
	int64_t began_us, dialled_us; /* the dial, its end */
	struct lead_key lead_key; /* of a login that leads */
};

struct upstreams {
	struct dialer *dialer;
	struct accounts_env env;
	struct session_ids ids;
	struct endings ends;
	struct lane *lane;
	struct accounts *accounts;
	struct list all;
};

struct upstreams *
upstreams_new(struct dialer *dialer, const struct accounts_env *env)
{
	struct upstreams *ups = mem_zalloc(sizeof(*ups));

	ups->dialer = dialer;
	ups->env = *env;
	endings_init(&ups->ends, env->lane_name, loop_now_us(env->loop));
	ups->accounts = accounts_new(env);
	dialer_set_board(dialer, env->board);
	list_init(&ups->all);
	return ups;
}

void
upstreams_set_lane(struct upstreams *ups, struct lane *lane)
{
	ups->lane = lane;
	accounts_set_lane(ups->accounts, lane);
}

static void
want_kick(struct upstreams *ups)
{
	ups->env.want_kick(ups->env.ctx);
}

static struct upstream *
upstream_of(struct list *link)
{
	return list_entry(link, struct upstream, link);
}

static void
free_upstream(struct upstream *u)
{
	list_remove(&u->link);
	if (u->dial != NULL)
		dial_cancel(&u->dial);
	link_free(&u->conn);
	board_writer_session_free(u->ups->env.board, u->row);
	mem_free(u);
}

static void
on_route_gone(void *ctx, struct route *route)
{
	struct upstreams *ups = ctx;

	accounts_forget_route(ups->accounts, route);
}

void
upstreams_free(struct upstreams **ups)
{
	struct upstreams *old = *ups;

	*ups = NULL;
	if (old == NULL)
		return;
	list_each_safe (link, &old->all)
		free_upstream(upstream_of(link));
	accounts_free(&old->accounts);
	mem_free(old);
}

/* ---- dialling ---------------------------------------------------------- */

static void
release(struct upstream *u, bool is_clean)
{
	account_give_back(u->account, u->slot, is_clean, u->rtt_us);
}

/* What waiting cannot cure is reported at once. */
static int64_t
patience_us(const struct upstream *u, const struct dial_result *result)
{
	/* A server that dies or is cut off in the middle of a handshake or a
	 * login has not refused it. */
	if (result->is_transport)
		return PATIENCE_US;
	/* A server that says "later" is there: nothing is broken. */
	if (result->reply_code >= 400 && result->reply_code < 500)
		return u->ups->env.set->lane_wait_limit_us;
	if (result->is_config_error || result->stage == DIAL_AUTH ||
	    result->stage == DIAL_TLS || result->stage == DIAL_STARTTLS ||
	    result->stage == DIAL_TOKEN || result->stage == DIAL_CONFIG ||
	    result->stage == DIAL_DANE || result->dsn.status[0] == '5')
		return 0;
	return PATIENCE_US;
}

static bool
judge(struct upstream *u, const struct dial_result *result, int64_t *patience)
{
	enum rule_stage stage;

	switch (result->stage) {
	case DIAL_GREETING:
		stage = RULE_CONNECT;
		break;
	case DIAL_EHLO:
		stage = RULE_EHLO;
		break;
	case DIAL_STARTTLS:
		stage = RULE_STARTTLS;
		break;
	case DIAL_AUTH:
		stage = RULE_AUTH;
		break;
	case DIAL_RESOLVE:
	case DIAL_DANE:
	case DIAL_CONNECT:
	case DIAL_TLS:
	case DIAL_TOKEN:
	case DIAL_CONFIG:
	default:
		return false;
	}
	return lane_judge_dial(u->ups->lane, u->route, stage,
	    result->reply_code, result->reply_text, clock_moment(), patience);
}

/* The last one tried had a connection; smtp(8) names it as the relay. */
static bool
is_refusal(enum dial_stage stage)
{
	return stage != DIAL_RESOLVE && stage != DIAL_DANE &&
	       stage != DIAL_CONNECT && stage != DIAL_TOKEN &&
	       stage != DIAL_CONFIG;
}

/* A refused login is temporary unless smtp_sasl_auth_soft_bounce = no. */
static bool
is_final(const struct dial_result *result)
{
	return result->stage == DIAL_AUTH && result->reply_code / 100 == 5 &&
	       result->dsn.status[0] == '5';
}

static void
trace_next_dial(const struct peer *peer, const struct route *route)
{
	int64_t wait_us = route->dial_not_before_us - clock_moment().us;
	char text[100];

	if (wait_us <= 0)
		return;
	(void)snprintf(text, sizeof(text),
	    "next dial in %.1f s at the earliest", (double)wait_us / 1e6);
	trace_remark(peer, text);
}

static void
on_dial_failed(struct upstream *u, struct dial_result *result)
{
	struct upstreams *ups = u->ups;
	struct route *route = u->route;
	struct route_failure failure = {
	    .dsn = &result->dsn,
	    .peer = is_refusal(result->stage) ? &result->peer : NULL,
	    .reply = result->reply_text,
	    .patience_us = patience_us(u, result),
	    .kind = {.is_soft = result->is_soft,
		.is_final = is_final(result),
		.is_certificate = result->is_certificate,
		.is_told = result->is_told,
		.is_transport = result->is_transport},
	};

	CHECK(u->dial == NULL && u->ls == NULL && result->link == NULL);
	/* The dialer has logged each address it tried. */
	log_debug("%s: cannot open a session (%s): %s", route->nexthops,
	    dial_stage_name(result->stage), result->dsn.text);
	board_writer_add(ups->env.board, BOARD_COUNTER_dials_failed, 1);
	board_writer_trouble(ups->env.board, result->dsn.text);
	release(u, !result->had_connection);
	(void)judge(u, result, &failure.patience_us);
	lane_dial_failed(ups->lane, route, &failure, clock_moment());
	trace_next_dial(&result->peer, route);
	dial_result_fini(result);
	free_upstream(u);
}

static void
on_input(void *ctx, const char *p, size_t n)
{
	struct upstream *u = ctx;

	session_input(u->ls->session, p, n, clock_moment());
}

static void
on_output(void *ctx, struct buf *out)
{
	struct upstream *u = ctx;
	struct session *s;
	bool was_quiet;

	CHECK(u->ls != NULL && u->conn != NULL);
	s = u->ls->session;
	was_quiet = session_octets_unanswered(s) == 0;
	session_output(s, out, LINK_PULL_MAX, clock_moment());
	/* A stage's time runs from now on, and the lane's timer was set
	 * before there was one. */
	if (was_quiet && session_octets_unanswered(s) > 0)
		want_kick(u->ups);
}

static void
on_written(void *ctx, size_t n)
{
	struct upstream *u = ctx;

	session_written(u->ls->session, n, clock_moment());
}

static void
on_closed(void *ctx, enum link_end end, const char *text)
{
	struct upstream *u = ctx;

	session_closed(u->ls->session, end == LINK_EOF, text, clock_moment());
	want_kick(u->ups);
}

static const struct link_ops session_link = {
    on_input, on_output, on_written, on_closed};

static void
on_dialled(void *ctx, struct dial_result *result)
{
	struct upstream *u = ctx;
	struct upstreams *ups = u->ups;

	CHECK(u->dial != NULL && u->ls == NULL && u->conn == NULL);
	u->dial = NULL;
	accounts_dial_ends(u->route, result->link != NULL);
	u->rtt_us = result->peer.rtt_us;
	if (result->levels > 0)
		u->route->levels = result->levels;
	if (result->link == NULL) {
		on_dial_failed(u, result);
		return;
	}
	board_writer_add(ups->env.board, BOARD_COUNTER_dials_ok, 1);
	u->dialled_us = loop_now_us(ups->env.loop);
	board_writer_observe(
	    ups->env.board, BOARD_HIST_dial_time, u->dialled_us - u->began_us);
	board_hosts_set_rtt(ups->env.board, accounts_host(u->route), u->rtt_us);
	if (result->peer.certificate_end_s > 0)
		board_hosts_set_certificate(ups->env.board,
		    accounts_host(u->route), result->peer.certificate_end_s);
	if (result->is_authenticated)
		board_writer_add(ups->env.board, BOARD_COUNTER_auths_ok, 1);
	route_set_no_login(
	    u->route, result->no_login, result->was_auth_offered);
	board_writer_session_peer(
	    ups->env.board, u->row, result->peer.host, result->peer.addr);
	board_writer_session_state(ups->env.board, u->row, BOARD_SESSION_IDLE);
	u->conn = result->link;
	result->link = NULL;
	u->lead_key = result->lead_key;
	u->ls = result->login != NULL
		    ? lane_add_login(ups->lane, u->route, &result->ehlo,
			  &result->peer, slice_str(result->login), u,
			  clock_moment())
		    : lane_add_session(ups->lane, u->route, &result->ehlo,
			  &result->peer, result->is_authenticated, u,
			  clock_moment());
	link_set_ops(u->conn, &session_link, u);
	dial_result_fini(result);
}

static bool
start_dial(void *ctx, struct route *route, struct lane_no *no)
{
	struct upstreams *ups = ctx;
	struct account *account = accounts_of(ups->accounts, route);
	struct upstream *u;
	int slot = -1;

	if (account == NULL) {
		lane_no_set(no, LANE_NO_ACCOUNT, INT64_MAX);
		return false;
	}
	if (!account_take(account, &slot, no))
		return false;
	u = mem_zalloc(sizeof(*u));
	u->ups = ups;
	u->route = route;
	u->account = account;
	u->slot = slot;
	u->id = session_id_next(&ups->ids, clock_wall(), (uint64_t)getpid());
	u->row = board_writer_session_new(ups->env.board, u->id);
	list_init(&u->link);
	list_push(&ups->all, &u->link);
	accounts_dial_begins(route);
	u->began_us = loop_now_us(ups->env.loop);
	board_writer_add(ups->env.board, BOARD_COUNTER_dials, 1);
	u->dial = dialer_dial(ups->dialer,
	    &(struct dial_target){
		.nexthops = route->nexthops,
		.level = route->level,
		.past = route->past,
		.sender = route->sender,
		.may_be_plain = route->may_be_plain,
		.may_lead =
		    ups->env.set->lane_pipeline_auth && route_is_well(route),
		.session_id = u->id,
	    },
	    on_dialled, u);
	return true;
}

static void
on_lane_output(void *ctx, struct lane_session *ls)
{
	struct upstream *u = ls->io;

	(void)ctx;
	if (u->conn != NULL && !session_is_over(ls->session))
		link_kick(u->conn);
}

static void
on_login(
    void *ctx, struct lane_session *ls, enum session_login_news news, int code)
{
	struct upstreams *ups = ctx;
	const struct upstream *u = ls->io;

	log_debug("%s: login in front of mail: %d", u->route->nexthops, code);
	if (news == LOGIN_ACCEPTED)
		board_writer_add(ups->env.board, BOARD_COUNTER_auths_ok, 1);
	dialer_login_news(ups->dialer, &u->lead_key, news);
}

static void
on_turned_away(void *ctx, struct lane_session *ls)
{
	struct upstreams *ups = ctx;

	dialer_rest(ups->dialer, session_peer(ls->session));
}

static void
hang_up(void *ctx, struct lane_session *ls)
{
	struct upstream *u = ls->io;

	(void)ctx;
	link_free(&u->conn);
}

static void
on_session_ended(void *ctx, struct lane_session *ls, enum session_end how,
    bool is_clean, const char *why)
{
	struct upstreams *ups = ctx;
	struct upstream *u = ls->io;
	int64_t now_us = loop_now_us(ups->env.loop);

	CHECK(u->ls == ls && u->dial == NULL);
	endings_tell(&ups->ends, how, ls->session, why, u->began_us,
	    u->dialled_us, now_us);
	board_writer_add(ups->env.board, endings_counter(how, ls->session), 1);
	if (endings_is_trouble(how))
		board_writer_trouble(ups->env.board, why);
	link_free(&u->conn);
	release(u, is_clean);
	u->ls = NULL;
	free_upstream(u);
}

static const struct lane_connection_ops lane_handlers = {
    .start_dial = start_dial,
    .on_output = on_lane_output,
    .hang_up = hang_up,
    .on_session_ended = on_session_ended,
    .on_login = on_login,
    .on_turned_away = on_turned_away,
    .on_route_gone = on_route_gone,
};

void
upstreams_serve(struct upstreams *ups, struct lane_ops *ops)
{
	ops->connections = &lane_handlers;
	ops->connections_ctx = ups;
	accounts_serve(ups->accounts, ops);
}

void
upstreams_cancel_dials(struct upstreams *ups)
{
	CHECK(ups->lane != NULL);
	list_each_safe (link, &ups->all) {
		struct upstream *u = upstream_of(link);
		struct dsn dsn;

		if (u->dial == NULL)
			continue;
		dial_cancel(&u->dial);
		accounts_dial_ends(u->route, false);
		dsn_set(&dsn, "4.3.2", "stopping");
		release(u, false);
		lane_dial_failed(ups->lane, u->route,
		    &(struct route_failure){
			.dsn = &dsn, .patience_us = INT64_MAX},
		    clock_moment());
		free_upstream(u);
	}
}

void
upstreams_drain(struct upstreams *ups)
{
	accounts_drain(ups->accounts);
}

void
upstreams_listen(struct upstreams *ups, struct moment now)
{
	accounts_listen(ups->accounts, now);
}

static enum board_writer_session_state
state_of(const struct session *s)
{
	if (session_is_finishing(s))
		return BOARD_SESSION_CLOSING;
	return session_load(s) > 0 ? BOARD_SESSION_BUSY : BOARD_SESSION_IDLE;
}

/* Of all of them, while rows are for so many. */
static void
show_counts(struct upstreams *ups)
{
	int64_t count[BOARD_SESSION_STATE_COUNT] = {0};

	list_each (link, &ups->all)
		if (upstream_of(link)->ls != NULL)
			count[state_of(upstream_of(link)->ls->session)]++;
	board_writer_set(ups->env.board, BOARD_GAUGE_sessions_idle,
	    count[BOARD_SESSION_IDLE]);
	board_writer_set(ups->env.board, BOARD_GAUGE_sessions_busy,
	    count[BOARD_SESSION_BUSY]);
	board_writer_set(ups->env.board, BOARD_GAUGE_sessions_closing,
	    count[BOARD_SESSION_CLOSING]);
}

void
upstreams_show(struct upstreams *ups)
{
	show_counts(ups);
	accounts_show(ups->accounts);
	list_each (link, &ups->all) {
		struct upstream *u = upstream_of(link);
		struct session *s;

		if (u->ls == NULL)
			continue;
		s = u->ls->session;
		board_writer_session_figures(ups->env.board, u->row,
		    (uint64_t)session_messages(s), session_load(s),
		    (uint64_t)route_window(u->route),
		    session_octets_unanswered(s));
		board_writer_session_state(ups->env.board, u->row, state_of(s));
	}
}
