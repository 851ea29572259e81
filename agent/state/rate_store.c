#include "agent/state/rate_store.h"

#include <string.h>

#include "agent/state/account_limits.h"
#include "agent/state/fairshare_file.h"
#include "agent/state/persist.h"
#include "common/base/list.h"
#include "common/base/log.h"
#include "common/base/mem.h"

enum { DRAINED_WAIT_US = 1000000 };

struct rate_account {
	struct list link;
	struct rate_store *store;
	char *name;
	struct account_limits *mail, *connects; /* NULL: drained */
};

struct rate_store {
	struct account_limits_env env;
	struct persist *own_file;
	struct fairshare own; /* as stored: without lanes */
	struct limitset planned; /* the account's, before one is known */
	struct list accounts; /* the last opened first */
	bool has_warned, is_drained;
};

static void
warn_once(struct rate_store *store, const char *error)
{
	if (*error == '\0' || store->has_warned)
		return;
	store->has_warned = true;
	log_warn("rates are counted for this lane alone and from its "
		 "start: %s: %s",
	    store->env.set->lane_state_directory, error);
}

static void
plan(struct rate_store *store, int64_t now_us)
{
	struct limitset_rate rates[LIMITSET_MAX];
	size_t count;
	char error[256];

	if (pacer_rates(store->env.set, PACER_ACCOUNT, rates, &count, error,
		sizeof(error)))
		(void)limitset_configure(store->planned.limits, LIMITSET_MAX, 1,
		    0, rates, count, now_us);
}

struct rate_store *
rate_store_open(const struct settings *set, const struct statefile_dir *dir,
    const char *lane_name, int64_t now_us)
{
	struct rate_store *store = mem_zalloc(sizeof(*store));
	int weight = pacer_weight(set->lane_priority);
	char error[256];

	store->env = (struct account_limits_env){
	    .set = set,
	    .dir = dir,
	    .lane_name = lane_name,
	    .weight = weight > 0 ? weight : 1,
	};
	list_init(&store->accounts);
	plan(store, now_us);
	store->own_file =
	    fairshare_file_open(dir, "pace", lane_name, error, sizeof(error));
	warn_once(store, error);
	(void)fairshare_file_load(
	    store->own_file, &store->own, lane_name, now_us);
	memset(store->own.lanes, 0, sizeof(store->own.lanes));
	return store;
}

void
rate_store_set_loop(struct rate_store *store, struct loop *loop)
{
	store->env.loop = loop;
}

void
rate_store_set_fleet(struct rate_store *store, struct fleet_store *fleet)
{
	CHECK(list_is_empty(&store->accounts));
	store->env.fleet = fleet;
}

/* ---- the account ------------------------------------------------------- */

static void
account_close(struct rate_account *a)
{
	account_limits_close(&a->mail);
	account_limits_close(&a->connects);
}

static void
account_free(struct rate_account *a)
{
	list_remove(&a->link);
	mem_free(a->name);
	mem_free(a);
}

void
rate_store_forget(struct rate_store *store, struct rate_account **account)
{
	struct rate_account *a = *account;

	*account = NULL;
	if (!store->is_drained)
		account_close(a);
	account_free(a);
}

void
rate_store_drain(struct rate_store *store)
{
	store->is_drained = true;
	list_each (link, &store->accounts)
		account_close(list_entry(link, struct rate_account, link));
	persist_close(&store->own_file);
}

void
rate_store_close(struct rate_store **store)
{
	struct rate_store *old = *store;

	*store = NULL;
	if (old == NULL)
		return;
	rate_store_drain(old);
	list_each_safe (link, &old->accounts)
		account_free(list_entry(link, struct rate_account, link));
	mem_free(old);
}

const struct limitset *
rate_store_load(const struct rate_store *store)
{
	return &store->own.set;
}

void
rate_store_store(struct rate_store *store, const struct limitset *own)
{
	store->own.set = *own;
	if (store->own_file != NULL)
		persist_store(store->own_file, &store->own);
}

static struct rate_account *
find(struct rate_store *store, const char *account)
{
	list_each (link, &store->accounts) {
		struct rate_account *a =
		    list_entry(link, struct rate_account, link);

		if (strcmp(a->name, account) == 0)
			return a;
	}
	return NULL;
}

struct rate_account *
rate_store_account(
    struct rate_store *store, const char *account, int64_t now_us)
{
	struct rate_account *a = find(store, account);
	char error[256];

	if (a != NULL)
		return a;
	a = mem_zalloc(sizeof(*a));
	a->store = store;
	a->name = mem_strdup(account);
	list_init(&a->link);
	list_push_front(&store->accounts, &a->link);
	a->mail = account_limits_open(&store->env, "rates", account,
	    PACER_ACCOUNT, now_us, error, sizeof(error));
	warn_once(store, error);
	a->connects = account_limits_open(&store->env, "connects", account,
	    PACER_CONNECTIONS, now_us, error, sizeof(error));
	warn_once(store, error);
	return a;
}

/* ---- takes -------------------------------------------------------------- */

int64_t
rate_store_wait_us(struct rate_account *a, const struct pacer_cost *cost,
    int64_t now_us, struct pacer_limit *why_out)
{
	struct limitset_cost c = pacer_limit_cost(cost);
	const struct limitset_limit *limit = NULL;
	int64_t wait;

	if (a->store->is_drained)
		return DRAINED_WAIT_US;
	wait = account_limits_wait_us(a->mail, &c, now_us, &limit);
	if (wait > 0)
		pacer_explain(why_out, limit, true);
	return wait;
}

bool
rate_store_take(
    struct rate_account *a, const struct pacer_cost *cost, int64_t now_us)
{
	struct limitset_cost c = pacer_limit_cost(cost);

	if (a->store->is_drained)
		return false;
	if (account_limits_is_limited(a->mail))
		return account_limits_take(a->mail, &c, now_us);
	account_limits_note_use(a->mail, now_us);
	return true;
}

const struct limitset *
rate_store_peek(struct rate_store *store, struct rate_account *a)
{
	struct list *first = list_first(&store->accounts);

	if (a == NULL && first != NULL)
		a = list_entry(first, struct rate_account, link);
	if (a == NULL &&
	    limitset_is_limited(store->planned.limits, LIMITSET_MAX))
		return &store->planned;
	if (a == NULL || store->is_drained ||
	    !account_limits_is_limited(a->mail))
		return NULL;
	return &account_limits_peek(a->mail)->set;
}

const struct limitset *
rate_store_peek_connects(struct rate_store *store)
{
	struct list *first = list_first(&store->accounts);
	struct rate_account *a =
	    first == NULL ? NULL : list_entry(first, struct rate_account, link);

	if (a == NULL || store->is_drained ||
	    !account_limits_is_limited(a->connects))
		return NULL;
	return &account_limits_peek(a->connects)->set;
}

int64_t
rate_store_quota_used(struct rate_account *a, enum pacer_unit unit,
    int64_t period_us, int64_t now_us)
{
	return a->store->is_drained ? 0
				    : account_limits_quota_used(a->mail,
					  (int)unit, period_us, now_us);
}

static const struct limitset_cost one_connection = {{1}};

int64_t
rate_store_connect_wait_us(struct rate_account *a, int64_t now_us)
{
	const struct limitset_limit *limit = NULL;

	if (a->store->is_drained)
		return DRAINED_WAIT_US;
	return account_limits_wait_us(
	    a->connects, &one_connection, now_us, &limit);
}

bool
rate_store_connect_take(struct rate_account *a, int64_t now_us)
{
	return !a->store->is_drained &&
	       account_limits_take(a->connects, &one_connection, now_us);
}

/* ---- what lanes tell each other ---------------------------------------- */

bool
rate_store_throttled(struct rate_account *a, int64_t sent_us, int64_t now_us)
{
	return !a->store->is_drained &&
	       account_limits_tell(a->mail, sent_us, now_us);
}

void
rate_store_pause(struct rate_account *a, int64_t until_us)
{
	if (!a->store->is_drained)
		account_limits_pause(a->mail, until_us);
}

int64_t
rate_store_paused_until(struct rate_account *a)
{
	return a->store->is_drained
		   ? 0
		   : account_limits_peek(a->mail)->pause_until_us;
}

bool
rate_store_news(struct rate_account *a, struct rate_store_news *out)
{
	*out = (struct rate_store_news){0};
	return !a->store->is_drained &&
	       account_limits_news(
		   a->mail, &out->refused_us, &out->pause_until_us);
}

void
rate_store_idle(struct rate_store *store)
{
	if (store->is_drained)
		return;
	list_each (link, &store->accounts) {
		struct rate_account *a =
		    list_entry(link, struct rate_account, link);

		account_limits_quit(a->mail);
		account_limits_quit(a->connects);
	}
}
