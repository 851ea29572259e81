#include "agent/smarthost/account_state.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "agent/engine/lane_steer.h"
#include "agent/state/board_hosts.h"
#include "agent/state/budget.h"
#include "agent/state/pace_store.h"
#include "common/base/clock.h"
#include "common/base/log.h"
#include "common/base/mem.h"
#include "common/shared/fleet_lessons.h"
#include "common/smtp/nexthop.h"

enum {
	/* Accounts that no route uses stay open up to so many: each has
	 * descriptors, and with a nexthop for each domain there is no end. */
	ACCOUNTS_KEPT = 16,
};

/* A host that took mail without a login is known by that for so long, and told
 * again so often while it does. */
#define STRANGER_MEMORY_US (INT64_C(30) * 24 * 3600 * US_PER_S)
#define STRANGER_TELL_US (3600 * US_PER_S)

struct accounts *
accounts_new(const struct accounts_env *env)
{
	struct accounts *accounts = mem_zalloc(sizeof(*accounts));

	accounts->env = *env;
	list_init(&accounts->all);
	list_init(&accounts->bindings);
	return accounts;
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
	a->accounts->count--;
	budget_close(&a->budget);
	account_leave_fleet(a);
	mem_free(a->name);
	mem_free(a);
}

static bool
is_account_used(const struct account *a)
{
	list_each (link, &a->accounts->bindings)
		if (list_entry(link, struct binding, link)->account == a)
			return true;
	return a->held > 0;
}

/* The oldest first. What has no file is remembered here alone, and takes no
 * descriptor. */
static void
close_unused_accounts(struct accounts *accounts)
{
	if (accounts->env.state == NULL)
		return;
	list_each_safe (link, &accounts->all) {
		struct account *a = list_entry(link, struct account, link);

		if (accounts->count <= ACCOUNTS_KEPT)
			return;
		if (is_account_used(a))
			continue;
		rate_store_forget(accounts->env.rates, &a->rates);
		close_account(a);
	}
}

void
accounts_forget_route(struct accounts *accounts, struct route *route)
{
	if (binding_of(route) != NULL)
		free_binding(binding_of(route));
	route->io = NULL;
	close_unused_accounts(accounts);
}

void
accounts_free(struct accounts **accounts)
{
	struct accounts *old = *accounts;

	*accounts = NULL;
	if (old == NULL)
		return;
	list_each_safe (link, &old->bindings)
		free_binding(list_entry(link, struct binding, link));
	list_each_safe (link, &old->all)
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
	int surplus, excess;

	if (a->accounts->is_draining)
		return;
	excess = budget_excess(a->budget);
	if (excess > 0)
		lane_end_sessions(a->accounts->lane, (size_t)excess,
		    is_route_of, a, clock_moment());
	surplus = budget_surplus(a->budget);
	if (surplus > 0)
		lane_close_idle(a->accounts->lane, (size_t)surplus, is_route_of,
		    a, clock_moment());
	a->accounts->env.want_kick(a->accounts->env.ctx);
}

static struct account *
find_account(struct accounts *accounts, const char *name)
{
	struct account *a;

	list_each (link, &accounts->all) {
		a = list_entry(link, struct account, link);
		if (strcmp(a->name, name) == 0)
			return a;
	}
	a = mem_zalloc(sizeof(*a));
	a->accounts = accounts;
	a->name = mem_strdup(name);
	list_init(&a->link);
	list_push(&accounts->all, &a->link);
	accounts->count++;
	a->budget = budget_open(accounts->env.loop, accounts->env.set,
	    accounts->env.state, accounts->env.lane_name, name, on_budget_room,
	    a);
	a->rates = rate_store_account(
	    accounts->env.rates, name, loop_now_us(accounts->env.loop));
	(void)board_writer_set_account(accounts->env.board, name);
	budget_set_board(a->budget, accounts->env.board);
	account_join_fleet(a);
	return a;
}

static void
recall_wordings(struct binding *b)
{
	uint64_t packed[2];
	int64_t age_days;

	if (!board_hosts_wordings(
		b->accounts->env.board, b->host, packed, &age_days) ||
	    age_days > MANNER_MEMORY_US / (24 * 3600 * US_PER_S))
		return;
	manner_load_wordings(&b->route->manner, packed);
	manner_pack_wordings(&b->route->manner, b->wordings_known);
}

/* What an earlier process, or another lane of the account, proved need not be
 * proved again; and a pause is one for a new route, too. */
static void
recall(struct binding *b)
{
	const struct settings *set = b->accounts->env.set;
	struct board_writer *board = b->accounts->env.board;
	uint64_t account = board_hash(b->account->name) | 1; /* not 0 */
	struct moment now = clock_moment();
	struct controller_stored stored;
	int64_t now_us = loop_now_us(b->accounts->env.loop), age_ms;
	int messages;

	messages = board_hosts_messages(board, b->host, &age_ms);
	route_load_quota(b->route, messages, now_us - clock_us_from_ms(age_ms));
	b->quota_known_us = b->route->quota_learned_us;
	b->manner_known = board_hosts_manner(board, b->host, &age_ms);
	manner_load(&b->route->manner, b->manner_known,
	    now_us - clock_us_from_ms(age_ms), now_us);
	recall_wordings(b);
	b->depth_known = board_hosts_depth(board, b->host);
	if (b->depth_known > set->lane_pipeline_depth)
		b->depth_known = set->lane_pipeline_depth;
	if (b->depth_known > b->route->depth)
		b->route->depth = b->depth_known;
	lane_set_account(b->accounts->lane, b->route, account,
	    b->depth_known > 1 ? b->depth_known * set->lane_connection_limit
			       : 0,
	    pace_store_load(board, account, &stored) ? &stored : NULL, now);
	lane_pause(b->route, rate_store_paused_until(b->account->rates), now);
	account_hear_fleet(b, true, now);
}

/* lane_account, or the host in lower case and the login. */
static void
bind(struct binding *b, const char *login)
{
	const struct settings *set = b->accounts->env.set;
	char *name = set->lane_account[0] != '\0'
			 ? mem_strdup(set->lane_account)
			 : mem_printf("%s%s%s", b->host,
			       login[0] != '\0' ? " " : "", login);

	/* What other logins at the host learned a moment ago is to be found,
	 * too; this one knows nothing yet that it might show. */
	accounts_show(b->accounts);
	b->account = find_account(b->accounts, name);
	mem_free(name);
	recall(b);
	b->accounts->env.want_kick(b->accounts->env.ctx);
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
begin_binding(struct accounts *accounts, struct route *route)
{
	struct slice list = slice_str(route->nexthops);
	struct nexthop hop;
	const char *error = NULL;
	struct binding *b = mem_zalloc(sizeof(*b));

	b->accounts = accounts;
	b->route = route;
	route->io = b;
	list_init(&b->link);
	list_push(&accounts->bindings, &b->link);
	b->host = mem_strdup(
	    nexthop_next(&list, &hop, &error) ? hop.host : route->nexthops);
	for (char *p = b->host; *p != '\0'; p++)
		*p = (char)tolower((unsigned char)*p);
	if (accounts->env.set->lane_account[0] != '\0')
		bind(b, "");
	else
		b->query = credentials_find(accounts->env.credentials,
		    route->sender, b->host, route->nexthops, on_credentials, b);
}

struct account *
accounts_of(struct accounts *accounts, struct route *route)
{
	struct binding *b = binding_of(route);

	if (b == NULL) {
		begin_binding(accounts, route);
		return NULL;
	}
	if (b->wanting_since_us == 0)
		b->wanting_since_us = loop_now_us(accounts->env.loop);
	return b->account;
}

const char *
accounts_host(const struct route *route)
{
	return binding_of(route)->host;
}

/* ---- connections ------------------------------------------------------- */

bool
account_take(struct account *a, int *slot, struct lane_no *no)
{
	struct loop *loop = a->accounts->env.loop;
	int64_t now_us = loop_now_us(loop), now_ms = loop_now_ms(loop);
	int64_t wait_us = rate_store_connect_wait_us(a->rates, now_us);
	struct budget_answer answer = {.slot = -1};

	CHECK(*slot < 0);
	if (wait_us == 0) {
		budget_set_lane_limit(
		    a->budget, lane_connection_limit(a->accounts->lane));
		if (!budget_take(a->budget, now_ms, &answer)) {
			lane_no_set(no, LANE_NO_SLOT,
			    clock_us_from_ms(answer.not_before_ms));
			no->detail = answer.why;
			no->is_full = answer.is_full;
			if (answer.is_full)
				lane_yield_idle(a->accounts->lane, is_route_of,
				    a, clock_moment());
			return false;
		}
		if (rate_store_connect_take(a->rates, now_us)) {
			a->held++;
			account_tell_demand(a);
			*slot = answer.slot;
			return true;
		}
		budget_release(a->budget, answer.slot, true, 0, now_ms);
		wait_us = US_PER_MS; /* another lane was quicker */
	}
	lane_no_set(no, LANE_NO_CONNECTION_RATE,
	    wait_us == RATE_NEVER ? INT64_MAX : now_us + wait_us);
	return false;
}

void
account_give_back(struct account *a, int slot, bool is_clean, int64_t rtt_us)
{
	budget_release(a->budget, slot, is_clean, clock_ms_from_us(rtt_us),
	    loop_now_ms(a->accounts->env.loop));
	a->held--;
	CHECK(a->held >= 0);
	account_tell_demand(a);
}

void
accounts_dial_begins(const struct route *route)
{
	binding_of(route)->dials++;
}

void
accounts_dial_ends(const struct route *route, bool has_session)
{
	struct binding *b = binding_of(route);
	int64_t now_us = loop_now_us(b->accounts->env.loop);

	CHECK(b->dials > 0);
	b->dials--;
	if (!has_session)
		return;
	if (b->wanting_since_us > 0)
		board_writer_observe(b->accounts->env.board,
		    BOARD_HIST_session_wait, now_us - b->wanting_since_us);
	b->wanting_since_us = b->dials > 0 ? now_us : 0;
}

void
accounts_drain(struct accounts *accounts)
{
	accounts->is_draining = true;
	list_each (link, &accounts->all) {
		struct account *a = list_entry(link, struct account, link);

		budget_drain(a->budget);
		account_leave_fleet(a);
	}
}

/* ---- what is learned --------------------------------------------------- */

/* It has what others may have something to say about. Of very many accounts
 * those that are not in use hear it when they dial: to look at the files of all
 * of them for each message would be most of the work. */
static bool
is_listening(const struct binding *b)
{
	const struct route *r = b->route;

	return b->account != NULL && (b->accounts->count <= ROUTE_MANY ||
					 r->session_count + r->dialing > 0);
}

void
accounts_listen(struct accounts *accounts, struct moment now)
{
	struct rate_store_news news;

	list_each (link, &accounts->bindings) {
		struct binding *b = list_entry(link, struct binding, link);

		account_hear_fleet(b, is_listening(b), now);
		if (!is_listening(b))
			continue;
		/* Once for an account: its routes share the lesson. */
		if (!rate_store_news(b->account->rates, &news))
			continue;
		if (news.refused_us > 0)
			lane_yield(
			    accounts->lane, b->route, news.refused_us, now);
		if (news.pause_until_us > 0)
			lane_pause(b->route, news.pause_until_us, now);
	}
}

/* Once an hour also that it is still so, when that was seen. */
static void
show_wordings(struct binding *b)
{
	struct manner *m = &b->route->manner;
	int64_t now_us = loop_now_us(b->accounts->env.loop);
	bool is_due =
	    m->is_seen && (b->wordings_told_us == 0 ||
			      now_us - b->wordings_told_us >= 3600 * US_PER_S);
	uint64_t packed[2];

	manner_pack_wordings(m, packed);
	if (memcmp(packed, b->wordings_known, sizeof(packed)) == 0 && !is_due)
		return;
	memcpy(b->wordings_known, packed, sizeof(packed));
	b->wordings_told_us = now_us;
	m->is_seen = false;
	board_hosts_set_wordings(b->accounts->env.board, b->host, packed);
}

static void
show_learned(struct binding *b)
{
	struct board_writer *board = b->accounts->env.board;

	if (b->depth_known != b->route->depth) {
		b->depth_known = b->route->depth;
		board_hosts_set_depth(board, b->host, b->depth_known);
	}
	if (b->manner_known != manner_pack(&b->route->manner)) {
		b->manner_known = manner_pack(&b->route->manner);
		board_hosts_set_manner(board, b->host, b->manner_known);
	}
	show_wordings(b);
	if (b->quota_known_us != b->route->quota_learned_us) {
		b->quota_known_us = b->route->quota_learned_us;
		board_hosts_set_messages(board, b->host, b->route->quota);
	}
}

void
accounts_show(struct accounts *accounts)
{
	list_each (link, &accounts->bindings) {
		struct binding *b = list_entry(link, struct binding, link);

		if (b->account != NULL)
			show_learned(b);
	}
}

/* ---- what the lane tells ----------------------------------------------- */

static void
on_want(void *ctx, struct route *route, size_t count)
{
	struct accounts *accounts = ctx;
	struct binding *mine = binding_of(route);
	size_t total = 0, limit;

	if (mine != NULL && count == 0 && mine->dials == 0)
		mine->wanting_since_us = 0;
	if (mine == NULL || mine->account == NULL)
		return;
	limit = (size_t)lane_connection_limit(accounts->lane);
	budget_set_lane_limit(mine->account->budget, (int)limit);
	/* Asked of every route at every kick. */
	if (mine->want == count)
		return;
	mine->want = count;
	list_each (link, &accounts->bindings) {
		struct binding *b = list_entry(link, struct binding, link);

		if (b->account == mine->account)
			total += b->want;
	}
	if (total > limit)
		total = limit;
	budget_want(mine->account->budget, (int)total);
	mine->account->wanted = (int)total;
	account_tell_demand(mine->account);
}

static void
on_too_many(void *ctx, struct route *route, bool was_open, const char *reply)
{
	struct accounts *accounts = ctx;
	struct account *a = binding_of(route)->account;

	board_writer_refusal(accounts->env.board, reply);
	board_writer_add(accounts->env.board, BOARD_COUNTER_dials_refused, 1);
	if (a != NULL)
		budget_refused(a->budget, a->held - was_open,
		    loop_now_ms(accounts->env.loop));
}

/* NULL: not known yet, and no session of the route was dialled yet. */
static struct rate_account *
rates_of(const struct route *route)
{
	const struct binding *b = route != NULL ? binding_of(route) : NULL;

	return b != NULL && b->account != NULL ? b->account->rates : NULL;
}

static bool
on_throttled(void *ctx, struct route *route, int64_t sent_us, int64_t now_us)
{
	struct rate_account *rates = rates_of(route);

	(void)ctx;
	return rates != NULL && rate_store_throttled(rates, sent_us, now_us);
}

static void
on_pause(void *ctx, struct route *route, int64_t until_us)
{
	struct rate_account *rates = rates_of(route);

	(void)ctx;
	if (rates != NULL)
		rate_store_pause(rates, until_us);
}

static void
on_blocked(void *ctx, struct route *route, const char *reply)
{
	struct binding *b = binding_of(route);

	(void)ctx;
	if (b != NULL)
		b->blocked = fleet_refusal(reply);
}

static unsigned
number_of(const char *port)
{
	unsigned long n = strtoul(port, NULL, 10);

	return n > 0 && n <= UINT16_MAX ? (unsigned)n : 0;
}

static void
on_stranger_taken(void *ctx, struct route *route, const char *port)
{
	struct accounts *accounts = ctx;
	struct binding *b = binding_of(route);
	int64_t now_us = loop_now_us(accounts->env.loop);

	if (number_of(port) == 0 ||
	    (b->stranger_told_us > 0 &&
		now_us - b->stranger_told_us < STRANGER_TELL_US))
		return;
	b->stranger_told_us = now_us;
	board_hosts_set_stranger(accounts->env.board, b->host, number_of(port));
}

static bool
takes_strangers(void *ctx, struct route *route, const char *port)
{
	struct accounts *accounts = ctx;
	int64_t age_ms;

	return number_of(port) > 0 &&
	       board_hosts_stranger(accounts->env.board,
		   binding_of(route)->host, number_of(port), &age_ms) &&
	       clock_us_from_ms(age_ms) < STRANGER_MEMORY_US;
}

static const struct lane_account_ops lane_handlers = {
    .on_want = on_want,
    .on_too_many = on_too_many,
    .on_throttled = on_throttled,
    .on_pause = on_pause,
    .on_blocked = on_blocked,
    .on_stranger_taken = on_stranger_taken,
    .takes_strangers = takes_strangers,
};

void
accounts_serve(struct accounts *accounts, struct lane_ops *ops)
{
	ops->accounts = &lane_handlers;
	ops->accounts_ctx = accounts;
}

static int64_t
wait_us(void *ctx, const struct pacer_cost *cost, int64_t now_us,
    struct pacer_limit *why_out)
{
	struct rate_account *rates = rates_of(cost->route);

	(void)ctx;
	return rates != NULL ? rate_store_wait_us(rates, cost, now_us, why_out)
			     : 0;
}

static bool
take(void *ctx, const struct pacer_cost *cost, int64_t now_us)
{
	struct rate_account *rates = rates_of(cost->route);

	(void)ctx;
	return rates == NULL || rate_store_take(rates, cost, now_us);
}

static const struct limitset *
peek(void *ctx, struct route *route)
{
	struct accounts *accounts = ctx;

	return rate_store_peek(accounts->env.rates, rates_of(route));
}

static void
save(void *ctx, const struct limitset *own)
{
	struct accounts *accounts = ctx;

	rate_store_store(accounts->env.rates, own);
}

static const struct pacer_ops pacer_handlers = {
    .wait_us = wait_us,
    .take = take,
    .peek = peek,
    .save = save,
};

void
accounts_set_lane(struct accounts *accounts, struct lane *lane)
{
	CHECK(accounts->lane == NULL);
	accounts->lane = lane;
	lane_set_rates(lane, rate_store_load(accounts->env.rates),
	    &pacer_handlers, accounts, clock_mono_us());
}
