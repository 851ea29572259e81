#include "agent/smarthost/upstream.h"

#include <ctype.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "agent/state/budget.h"
#include "agent/state/pace_store.h"
#include "agent/smarthost/link.h"
#include "agent/smarthost/endings.h"
#include "common/base/clock.h"
#include "common/base/list.h"
#include "common/base/log.h"
#include "common/base/mem.h"
#include "common/shared/session_id.h"
#include "common/smtp/nexthop.h"

enum {
	/* Dials that fail for want of an answer are tried again inside for
	 * so long before requests are deferred. */
	PATIENCE_MS = 10000,
	/* Accounts that no route uses stay open up to so many: each has
	 * descriptors, and with a nexthop for each domain there is no end. */
	ACCOUNTS_KEPT = 16,
};

/* Whose slots a route's sessions take. */
struct account {
	struct list link;
	struct upstreams *ups;
	char *name;
	struct budget *budget;
	struct rate_account *rates;
	int held;
};

/* Which account a route belongs to, found out once. */
struct binding {
	struct list link;
	struct upstreams *ups;
	struct route *route;
	char *host;
	struct account *account; /* NULL: still looking */
	struct credentials_query *query;
	size_t want, dials;
	int64_t wanting_since_us; /* for a session; 0: no mail wants one */
	int depth_known; /* as it stands on the board, */
	int64_t quota_known_ms; /* and when the quota there was learned */
	int manner_known; /* as it stands there */
};

struct upstream {
	struct list link;
	struct upstreams *ups;
	struct binding *binding;
	int slot, row;
	uint64_t id;
	struct dial *dial;
	struct link *conn;
	struct lane_session *ls;
	int64_t rtt_ms;
	int64_t began_us;
};

struct upstreams {
	struct upstreams_env env;
	struct session_ids ids;
	struct endings ends;
	struct lane *lane;
	struct list accounts, bindings, all;
	size_t account_count;
	bool is_draining;
};

struct upstreams *
upstreams_new(const struct upstreams_env *env)
{
	struct upstreams *ups = mem_zalloc(sizeof(*ups));

	ups->env = *env;
	endings_init(&ups->ends, loop_now_us(env->loop));
	list_init(&ups->accounts);
	list_init(&ups->bindings);
	list_init(&ups->all);
	return ups;
}

void
upstreams_set_lane(struct upstreams *ups, struct lane *lane)
{
	ups->lane = lane;
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

static struct binding *
binding_of(const struct route *route)
{
	return route->io;
}

static void
free_binding(struct binding *b)
{
	credentials_cancel(&b->query);
	list_remove(&b->link);
	mem_free(b->host);
	mem_free(b);
}

static void
close_account(struct account *a)
{
	list_remove(&a->link);
	a->ups->account_count--;
	budget_close(&a->budget);
	mem_free(a->name);
	mem_free(a);
}

static bool
is_account_used(const struct account *a)
{
	list_each (link, &a->ups->bindings)
		if (list_entry(link, struct binding, link)->account == a)
			return true;
	return a->held > 0;
}

/* The oldest first. What has no file is remembered here alone, and takes no
 * descriptor. */
static void
close_unused_accounts(struct upstreams *ups)
{
	if (ups->env.state == NULL)
		return;
	list_each_safe (link, &ups->accounts) {
		struct account *a = list_entry(link, struct account, link);

		if (ups->account_count <= ACCOUNTS_KEPT)
			return;
		if (is_account_used(a))
			continue;
		rate_store_forget(ups->env.rates, &a->rates);
		close_account(a);
	}
}

void
upstreams_on_route_gone(void *ctx, struct route *route)
{
	if (binding_of(route) != NULL)
		free_binding(binding_of(route));
	route->io = NULL;
	close_unused_accounts(ctx);
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
	list_each_safe (link, &old->bindings)
		free_binding(list_entry(link, struct binding, link));
	list_each_safe (link, &old->accounts)
		close_account(list_entry(link, struct account, link));
	mem_free(old);
}

/* ---- the account of a route -------------------------------------------- */

static bool
is_route_of(void *ctx, const struct route *route)
{
	const struct binding *b = binding_of(route);

	return b != NULL && b->account == ctx;
}

/* A slot may be free for us, or another lane wants an idle one of ours. */
static void
on_budget_room(void *ctx)
{
	struct account *a = ctx;
	int surplus;

	if (a->ups->is_draining)
		return;
	surplus = budget_surplus(a->budget);
	if (surplus > 0)
		lane_close_idle(a->ups->lane, (size_t)surplus, is_route_of, a,
		    clock_moment());
	a->ups->env.want_kick(a->ups->env.ctx);
}

static struct account *
find_account(struct upstreams *ups, const char *name)
{
	struct account *a;

	list_each (link, &ups->accounts) {
		a = list_entry(link, struct account, link);
		if (strcmp(a->name, name) == 0)
			return a;
	}
	a = mem_zalloc(sizeof(*a));
	a->ups = ups;
	a->name = mem_strdup(name);
	list_init(&a->link);
	list_push(&ups->accounts, &a->link);
	ups->account_count++;
	a->budget = budget_open(ups->env.loop, ups->env.set, ups->env.state,
	    ups->env.lane_name, name, on_budget_room, a);
	a->rates = rate_store_account(
	    ups->env.rates, name, loop_now_us(ups->env.loop));
	(void)board_writer_set_account(ups->env.board, name);
	budget_set_board(a->budget, ups->env.board);
	return a;
}

/* What an earlier process, or another lane of the account, proved need not be
 * proved again; and a pause is one for a new route, too. */
static void
recall(struct binding *b)
{
	const struct settings *set = b->ups->env.set;
	struct board_writer *board = b->ups->env.board;
	uint64_t account = board_hash(b->account->name) | 1; /* not 0 */
	struct moment now = clock_moment();
	struct controller_stored stored;
	int64_t age_ms;
	int messages = board_writer_host_messages(board, b->host, &age_ms);

	route_load_quota(
	    b->route, messages, loop_now_ms(b->ups->env.loop) - age_ms);
	b->quota_known_ms = b->route->quota_learned_ms;
	b->manner_known = board_writer_host_manner(board, b->host, &age_ms);
	manner_load(&b->route->manner, b->manner_known,
	    loop_now_ms(b->ups->env.loop) - age_ms,
	    loop_now_ms(b->ups->env.loop));
	b->depth_known = board_writer_host_depth(board, b->host);
	if (b->depth_known > set->lane_pipeline_depth)
		b->depth_known = set->lane_pipeline_depth;
	if (b->depth_known > b->route->depth)
		b->route->depth = b->depth_known;
	lane_set_account(b->ups->lane, b->route, account,
	    b->depth_known > 1 ? b->depth_known * set->lane_connection_limit
			       : 0,
	    pace_store_find(board, account, &stored) ? &stored : NULL, now);
	lane_pause(b->ups->lane, b->route,
	    rate_store_paused_until(b->account->rates), now);
}

/* lane_account, or the host in lower case and the login. */
static void
bind(struct binding *b, const char *login)
{
	const struct settings *set = b->ups->env.set;
	char *name = set->lane_account[0] != '\0'
			 ? mem_strdup(set->lane_account)
			 : mem_printf("%s%s%s", b->host,
			       login[0] != '\0' ? " " : "", login);

	b->account = find_account(b->ups, name);
	mem_free(name);
	recall(b);
	b->ups->env.want_kick(b->ups->env.ctx);
}

static void
on_credentials(void *ctx, enum maps_result result, const char *user,
    const char *password, const char *error)
{
	struct binding *b = ctx;

	(void)password;
	b->query = NULL;
	if (result == MAPS_ERROR) {
		/* The dial will meet the same error and report it; the slot
		 * it takes on the way is that of the host. */
		log_debug("%s: %s", b->route->nexthops, error);
		user = "";
	}
	bind(b, result == MAPS_FOUND ? user : "");
}

static void
begin_binding(struct upstreams *ups, struct route *route)
{
	struct slice list = slice_str(route->nexthops);
	struct nexthop hop;
	const char *error = NULL;
	struct binding *b = mem_zalloc(sizeof(*b));

	b->ups = ups;
	b->route = route;
	route->io = b;
	list_init(&b->link);
	list_push(&ups->bindings, &b->link);
	b->host = mem_strdup(
	    nexthop_next(&list, &hop, &error) ? hop.host : route->nexthops);
	for (char *p = b->host; *p != '\0'; p++)
		*p = (char)tolower((unsigned char)*p);
	if (ups->env.set->lane_account[0] != '\0')
		bind(b, "");
	else
		b->query = credentials_find(ups->env.credentials, route->sender,
		    b->host, route->nexthops, on_credentials, b);
}

/* ---- dialling ---------------------------------------------------------- */

static void
release(struct upstream *u, bool is_clean)
{
	struct account *a = u->binding->account;

	budget_release(a->budget, u->slot, is_clean, u->rtt_ms,
	    loop_now_ms(u->ups->env.loop));
	a->held--;
}

/* What waiting cannot cure is reported at once. */
static int64_t
patience_ms(const struct upstream *u, const struct dial_result *result)
{
	/* A server that dies or is cut off in the middle of a handshake or a
	 * login has not refused it. */
	if (result->is_transport)
		return PATIENCE_MS;
	/* A server that says "later" is there: nothing is broken. */
	if (result->reply_code >= 400 && result->reply_code < 500)
		return u->ups->env.set->lane_wait_limit_ms;
	if (result->is_config_error || result->stage == DIAL_AUTH ||
	    result->stage == DIAL_TLS || result->stage == DIAL_STARTTLS ||
	    result->stage == DIAL_TOKEN || result->stage == DIAL_CONFIG ||
	    result->dsn.status[0] == '5')
		return 0;
	return PATIENCE_MS;
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
	case DIAL_CONNECT:
	case DIAL_TLS:
	case DIAL_TOKEN:
	case DIAL_CONFIG:
	default:
		return false;
	}
	return lane_judge_dial(u->ups->lane, u->binding->route, stage,
	    result->reply_code, result->reply_text, clock_moment(), patience);
}

/* The last one tried had a connection; smtp(8) names it as the relay. */
static bool
is_refusal(enum dial_stage stage)
{
	return stage != DIAL_RESOLVE && stage != DIAL_CONNECT &&
	       stage != DIAL_TOKEN && stage != DIAL_CONFIG;
}

/* A refused login is temporary unless smtp_sasl_auth_soft_bounce = no. */
static bool
is_final(const struct dial_result *result)
{
	return result->stage == DIAL_AUTH && result->reply_code / 100 == 5 &&
	       result->dsn.status[0] == '5';
}

static void
on_dial_failed(struct upstream *u, struct dial_result *result)
{
	struct upstreams *ups = u->ups;
	struct route *route = u->binding->route;
	int64_t patience = patience_ms(u, result);

	/* The dialer has logged each address it tried. */
	log_debug("%s: cannot open a session (%s): %s", route->nexthops,
	    dial_stage_name(result->stage), result->dsn.text);
	board_writer_add(ups->env.board, BOARD_COUNTER_dials_failed, 1);
	release(u, !result->had_connection);
	route->is_failure_soft = result->is_soft;
	route->is_transport = result->is_transport;
	route->is_certificate = result->is_certificate;
	route->is_told = result->is_told;
	(void)judge(u, result, &patience);
	route->is_failure_final = is_final(result);
	lane_dial_failed(ups->lane, route, &result->dsn,
	    is_refusal(result->stage) ? &result->peer : NULL,
	    result->reply_text, patience, clock_moment());
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
	struct session *s = u->ls->session;
	bool was_quiet = session_octets_unanswered(s) == 0;

	session_output(s, out, LINK_PULL_MAX, clock_moment());
	/* A stage's time runs from now on, and the lane's timer was set
	 * before there was one. */
	if (was_quiet && session_octets_unanswered(s) > 0)
		u->ups->env.want_kick(u->ups->env.ctx);
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
	u->ups->env.want_kick(u->ups->env.ctx);
}

static const struct link_ops session_link = {
    on_input, on_output, on_written, on_closed};

/* The first of those that are dialled together ends the wait. */
static void
observe_wait(struct binding *b)
{
	int64_t now_us = loop_now_us(b->ups->env.loop);

	if (b->wanting_since_us > 0)
		board_writer_observe(b->ups->env.board, BOARD_HIST_session_wait,
		    now_us - b->wanting_since_us);
	b->wanting_since_us = b->dials > 0 ? now_us : 0;
}

static void
on_dialled(void *ctx, struct dial_result *result)
{
	struct upstream *u = ctx;
	struct upstreams *ups = u->ups;

	u->dial = NULL;
	u->binding->dials--;
	u->rtt_ms = result->peer.rtt_ms;
	if (result->levels > 0)
		u->binding->route->levels = result->levels;
	if (result->link == NULL) {
		on_dial_failed(u, result);
		return;
	}
	board_writer_add(ups->env.board, BOARD_COUNTER_dials_ok, 1);
	observe_wait(u->binding);
	board_writer_observe(ups->env.board, BOARD_HIST_dial_time,
	    loop_now_us(ups->env.loop) - u->began_us);
	board_writer_set_host_rtt(
	    ups->env.board, u->binding->host, u->rtt_ms * 1000);
	if (result->peer.certificate_end_s > 0)
		board_writer_set_host_certificate(ups->env.board,
		    u->binding->host, result->peer.certificate_end_s);
	if (result->is_authenticated)
		board_writer_add(ups->env.board, BOARD_COUNTER_auths_ok, 1);
	route_set_no_login(u->binding->route, result->no_login);
	board_writer_session_peer(ups->env.board, u->row, result->peer.addr);
	board_writer_session_state(ups->env.board, u->row, BOARD_SESSION_IDLE);
	u->conn = result->link;
	result->link = NULL;
	u->ls = lane_add_session(ups->lane, u->binding->route, &result->ehlo,
	    &result->peer, result->is_authenticated, u, clock_moment());
	link_set_ops(u->conn, &session_link, u);
	dial_result_fini(result);
}

static bool
find_slot(struct upstreams *ups, struct account *a,
    struct budget_answer *answer, struct lane_no *no)
{
	int64_t now_us = loop_now_us(ups->env.loop);
	int64_t now_ms = loop_now_ms(ups->env.loop);
	int64_t wait_us = rate_store_connect_wait_us(a->rates, now_us);

	if (wait_us == 0) {
		if (!budget_take(a->budget, now_ms, answer)) {
			lane_no_set(no, LANE_NO_SLOT, answer->not_before_ms);
			no->detail = answer->why;
			return false;
		}
		if (rate_store_connect_take(a->rates, now_us))
			return true;
		budget_release(a->budget, answer->slot, true, 0, now_ms);
		wait_us = 1000; /* another lane was quicker */
	}
	lane_no_set(no, LANE_NO_CONNECTION_RATE,
	    wait_us == RATE_NEVER ? INT64_MAX
				  : now_ms + (wait_us + 999) / 1000);
	return false;
}

bool
upstreams_start_dial(void *ctx, struct route *route, struct lane_no *no)
{
	struct upstreams *ups = ctx;
	struct binding *b = binding_of(route);
	struct budget_answer answer = {.slot = -1};
	struct upstream *u;

	/* What is known of the account may forbid the dial that was just
	 * thought to be right: the lane looks again. */
	if (b == NULL)
		begin_binding(ups, route);
	else if (b->wanting_since_us == 0)
		b->wanting_since_us = loop_now_us(ups->env.loop);
	if (b == NULL || b->account == NULL) {
		lane_no_set(no, LANE_NO_ACCOUNT, INT64_MAX);
		return false;
	}
	if (!find_slot(ups, b->account, &answer, no))
		return false;
	u = mem_zalloc(sizeof(*u));
	u->ups = ups;
	u->binding = b;
	u->slot = answer.slot;
	u->id = session_id_next(&ups->ids, clock_wall(), (uint64_t)getpid());
	u->row = board_writer_session_new(ups->env.board, u->id);
	list_init(&u->link);
	list_push(&ups->all, &u->link);
	b->account->held++;
	b->dials++;
	u->began_us = loop_now_us(ups->env.loop);
	board_writer_add(ups->env.board, BOARD_COUNTER_dials, 1);
	u->dial = dialer_dial(ups->env.dialer,
	    &(struct dial_target){
		.nexthops = route->nexthops,
		.level = route->level,
		.past = route->past,
		.sender = route->sender,
		.may_be_plain = route->may_be_plain,
		.session_id = u->id,
	    },
	    on_dialled, u);
	return true;
}

void
upstreams_on_want(void *ctx, struct route *route, size_t count)
{
	struct upstreams *ups = ctx;
	struct binding *mine = binding_of(route);
	size_t total = 0;

	if (mine != NULL && count == 0 && mine->dials == 0)
		mine->wanting_since_us = 0;
	/* Asked of every route at every kick. */
	if (mine == NULL || mine->account == NULL || mine->want == count)
		return;
	mine->want = count;
	list_each (link, &ups->bindings) {
		struct binding *b = list_entry(link, struct binding, link);

		if (b->account == mine->account)
			total += b->want;
	}
	if (total > (size_t)ups->env.set->lane_connection_limit)
		total = (size_t)ups->env.set->lane_connection_limit;
	budget_want(mine->account->budget, (int)total);
}

void
upstreams_on_output(void *ctx, struct lane_session *ls)
{
	struct upstream *u = ls->io;

	(void)ctx;
	if (u->conn != NULL && !session_is_over(ls->session))
		link_kick(u->conn);
}

void
upstreams_on_too_many(
    void *ctx, struct route *route, bool was_open, const char *reply)
{
	struct upstreams *ups = ctx;
	struct account *a = binding_of(route)->account;

	board_writer_refusal(ups->env.board, reply);
	board_writer_add(ups->env.board, BOARD_COUNTER_dials_refused, 1);
	if (a != NULL)
		budget_refused(
		    a->budget, a->held - was_open, loop_now_ms(ups->env.loop));
}

void
upstreams_on_turned_away(void *ctx, struct lane_session *ls)
{
	struct upstreams *ups = ctx;

	dialer_rest(ups->env.dialer, session_peer(ls->session));
}

void
upstreams_hang_up(void *ctx, struct lane_session *ls)
{
	struct upstream *u = ls->io;

	(void)ctx;
	link_free(&u->conn);
}

void
upstreams_on_session_ended(void *ctx, struct lane_session *ls,
    enum session_end how, bool is_clean, const char *why)
{
	struct upstreams *ups = ctx;
	struct upstream *u = ls->io;
	int64_t now_us = loop_now_us(ups->env.loop);

	endings_tell(&ups->ends, how, ls->session, why,
	    (now_us - u->began_us) / 1000, now_us);
	board_writer_add(
	    ups->env.board, endings_counter(how, ls->session, why), 1);
	link_free(&u->conn);
	release(u, is_clean);
	u->ls = NULL;
	free_upstream(u);
}

void
upstreams_cancel_dials(struct upstreams *ups)
{
	list_each_safe (link, &ups->all) {
		struct upstream *u = upstream_of(link);
		struct dsn dsn;

		if (u->dial == NULL)
			continue;
		dial_cancel(&u->dial);
		u->binding->dials--;
		dsn_set(&dsn, "4.3.2", "stopping");
		release(u, false);
		lane_dial_failed(ups->lane, u->binding->route, &dsn, NULL, NULL,
		    INT64_MAX, clock_moment());
		free_upstream(u);
	}
}

struct rate_account *
upstreams_rates(const struct route *route)
{
	const struct binding *b = binding_of(route);

	return b != NULL && b->account != NULL ? b->account->rates : NULL;
}

void
upstreams_drain(struct upstreams *ups)
{
	ups->is_draining = true;
	list_each (link, &ups->accounts)
		budget_drain(list_entry(link, struct account, link)->budget);
}

void
upstreams_listen(struct upstreams *ups, struct moment now)
{
	struct rate_store_news news;

	list_each (link, &ups->bindings) {
		struct binding *b = list_entry(link, struct binding, link);

		/* Once for an account: its routes share the lesson. */
		if (b->account == NULL ||
		    !rate_store_news(b->account->rates, &news))
			continue;
		if (news.refused_us > 0)
			lane_yield(ups->lane, b->route, news.refused_us, now);
		if (news.pause_until_us > 0)
			lane_pause(
			    ups->lane, b->route, news.pause_until_us, now);
	}
}

static void
show_learned(struct binding *b)
{
	struct board_writer *board = b->ups->env.board;

	if (b->depth_known != b->route->depth) {
		b->depth_known = b->route->depth;
		board_writer_set_host_depth(board, b->host, b->depth_known);
	}
	if (b->manner_known != manner_pack(&b->route->manner)) {
		b->manner_known = manner_pack(&b->route->manner);
		board_writer_set_host_manner(board, b->host, b->manner_known);
	}
	if (b->quota_known_ms != b->route->quota_learned_ms) {
		b->quota_known_ms = b->route->quota_learned_ms;
		board_writer_set_host_messages(board, b->host, b->route->quota);
	}
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
	list_each (link, &ups->bindings) {
		struct binding *b = list_entry(link, struct binding, link);

		if (b->account != NULL)
			show_learned(b);
	}
	list_each (link, &ups->all) {
		struct upstream *u = upstream_of(link);
		struct session *s;

		if (u->ls == NULL)
			continue;
		s = u->ls->session;
		board_writer_session_figures(ups->env.board, u->row,
		    (uint64_t)session_messages(s), session_load(s),
		    (uint64_t)u->binding->route->depth,
		    session_octets_unanswered(s));
		board_writer_session_state(ups->env.board, u->row, state_of(s));
	}
}
