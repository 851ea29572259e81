#include "agent/state/fleet_store.h"

#include <stdio.h>
#include <string.h>

#include "agent/engine/fleet_rate.h"
#include "agent/engine/pacer.h"
#include "agent/state/fleet_state.h"
#include "common/base/clock.h"
#include "common/base/log.h"
#include "common/base/mem.h"

/* "lane flt" and the version of struct fleet_file. */
#define MAGIC UINT64_C(0x746c662d656e0002)

enum {
	LOCK_WAIT_MS = 1,
	OPEN_WAIT_MS = 100, /* once, at start */
	/* A wish is repeated so often before it waits for its second: by then
	 * others have told that they have less. */
	HURRIES = 12,
};

/* ---- the limits of an account ---------------------------------------------
 */

static void
set_terms(const struct settings *set, struct fleet_terms *t, int64_t limit,
    int64_t linger_us)
{
	*t = (struct fleet_terms){
	    .size = set->lane_fleet_size,
	    .limit = limit > 0 ? limit : 0,
	    .ttl_us = set->lane_fleet_ttl_us,
	    .linger_us = linger_us,
	    .forget_us = set->lane_fleet_forget_us,
	};
	t->minimum = fleet_base(t) * set->lane_fleet_minimum / 100;
}

static void
unit_text(char *out, enum fleet_kind kind, const struct rate *rate)
{
	static const char *const words[] = {
	    [FLEET_CONNECTIONS] = "connections",
	    [FLEET_MESSAGES] = "messages",
	    [FLEET_RECIPIENTS] = "recipients",
	    [FLEET_OCTETS] = "octets",
	    [FLEET_DIALS] = "dials",
	};
	struct rate one = *rate;
	char text[RATE_TEXT_SIZE], *period;

	/* "1/10s:5": of that the period, and whether it is a quota. */
	one.count_milli = 1000;
	rate_to_text(&one, text, sizeof(text));
	period = strchr(text, '/');
	CHECK(period != NULL);
	period[strcspn(period, ":!")] = '\0';
	(void)snprintf(out, FLEET_UNIT_SIZE, "%s%s%s", words[kind], period,
	    rate->is_quota ? "!" : "");
}

int
fleet_account_find(const struct fleet_account *a, enum fleet_kind kind,
    const struct rate *rate)
{
	for (size_t i = 0; i < a->count; i++) {
		const struct fleet_limit *l = &a->limits[i];

		if (l->kind == kind &&
		    (kind == FLEET_CONNECTIONS ||
			(l->whole.is_quota == rate->is_quota &&
			    l->whole.period_us == rate->period_us)))
			return (int)i;
	}
	return -1;
}

static void
add_rate(struct fleet_account *a, enum fleet_kind kind, const struct rate *rate)
{
	const struct settings *set = a->store->set;
	struct fleet_limit *l = &a->limits[a->count];

	/* Of two in one period each host has its part, and no loan. */
	if (a->count == FLEET_LIMITS || fleet_account_find(a, kind, rate) >= 0)
		return;
	l->kind = kind;
	l->whole = *rate;
	unit_text(l->unit, kind, rate);
	set_terms(set, &l->terms, fleet_rate_limit(rate, set->lane_fleet_size),
	    rate->is_quota ? rate->period_us + rate->period_us / 8 : 0);
	a->count++;
}

static void
add_rates(struct fleet_account *a, enum pacer_scope scope)
{
	struct limitset_rate rates[LIMITSET_MAX];
	size_t count;
	char error[256];

	/* config has checked these before. */
	if (!pacer_rates(
		a->store->set, scope, rates, &count, error, sizeof(error)))
		return;
	for (size_t i = 0; i < count; i++)
		add_rate(a,
		    scope == PACER_CONNECTIONS
			? FLEET_DIALS
			: (enum fleet_kind)(FLEET_MESSAGES + rates[i].unit),
		    &rates[i].rate);
}

static void
add_limits(struct fleet_account *a)
{
	const struct settings *set = a->store->set;
	struct fleet_limit *l = &a->limits[a->count++];

	l->kind = FLEET_CONNECTIONS;
	(void)snprintf(l->unit, sizeof(l->unit), "connections");
	set_terms(set, &l->terms, set->lane_account_connection_limit, 0);
	add_rates(a, PACER_ACCOUNT);
	add_rates(a, PACER_CONNECTIONS);
}

/* ---- the file ---------------------------------------------------------------
 */

static void
warn_damaged(struct fleet_account *a)
{
	if (!a->has_warned)
		log_warn("what this host may use of account %s was damaged: it "
			 "begins without memory",
		    a->label);
	a->has_warned = true;
}

/* Is a lease of another host's name. */
static bool
is_ours(const struct fleet_account *a, const struct fleet_file *f)
{
	return f->sum != 0 && f->name == a->store->name;
}

/* Into a->known, if it changed. True: it is what holds. */
static bool
look(struct fleet_account *a, int64_t now_us)
{
	uint64_t stores = persist_stores(a->file);
	int64_t shift_us;

	if (a->is_known && stores == a->stores)
		return true;
	shift_us = persist_shift_us(a->file);
	memcpy(&a->known, persist_value(a->file), sizeof(a->known));
	a->is_known = fleet_file_repair(&a->known, shift_us, now_us);
	a->stores = stores;
	return a->is_known;
}

static void
make_anew(struct fleet_account *a)
{
	a->known = (struct fleet_file){.name = a->store->name};
	a->is_known = true;
}

/* Under the lock: what holds, with rows for all limits, in a->known. */
static bool
begin(struct fleet_account *a, int wait_ms, int64_t now_us)
{
	if (!persist_lock(a->file, wait_ms))
		return false;
	if (!look(a, now_us)) {
		warn_damaged(a);
		make_anew(a);
	} else if (!is_ours(a, &a->known)) {
		make_anew(a);
	}
	for (size_t i = 0; i < a->count; i++)
		(void)fleet_file_row(
		    &a->known, a->limits[i].unit, &a->limits[i].terms, now_us);
	return true;
}

static void
end(struct fleet_account *a)
{
	a->known.sum = fleet_file_sum(&a->known);
	persist_store(a->file, &a->known);
	a->stores = persist_stores(a->file);
	persist_unlock(a->file);
}

static struct fleet_row *
row_of(struct fleet_account *a, size_t i)
{
	CHECK(i < a->count);
	return fleet_file_find(&a->known, a->limits[i].unit);
}

/* ---- life
 * -------------------------------------------------------------------- */

struct fleet_store *
fleet_store_open(const struct settings *set, const struct statefile_dir *dir,
    const char *lane_name)
{
	struct fleet_store *store = mem_zalloc(sizeof(*store));

	CHECK(set->lane_fleet[0] != '\0' && lane_name != NULL);
	store->set = set;
	store->dir = dir;
	store->lane_name = lane_name;
	store->name = board_hash(set->lane_fleet_name);
	list_init(&store->accounts);
	return store;
}

static void
open_file(struct fleet_account *a, int64_t now_us)
{
	struct fleet_store *store = a->store;
	char name[64], error[256];

	(void)snprintf(name, sizeof(name), "fleet.%016llx",
	    (unsigned long long)board_hash(a->name));
	a->file = persist_open(store->dir, name, MAGIC,
	    sizeof(struct fleet_file), error, sizeof(error));
	a->is_alone = *error != '\0';
	if (a->is_alone && !store->has_warned) {
		store->has_warned = true;
		log_warn("this lane keeps to its host's own part of the "
			 "account, nobody speaks for it in the fleet: %s: %s",
		    store->set->lane_state_directory, error);
	}
	if (!a->is_alone && begin(a, OPEN_WAIT_MS, now_us))
		end(a);
}

static struct fleet_account *
find(struct fleet_store *store, const char *name)
{
	list_each (link, &store->accounts) {
		struct fleet_account *a =
		    list_entry(link, struct fleet_account, link);

		if (strcmp(a->name, name) == 0)
			return a;
	}
	return NULL;
}

struct fleet_account *
fleet_store_account(struct fleet_store *store, const char *name, int64_t now_us)
{
	struct fleet_account *a = find(store, name);

	if (a != NULL) {
		a->users++;
		return a;
	}
	a = mem_zalloc(sizeof(*a));
	a->users = 1;
	a->store = store;
	a->name = mem_strdup(name);
	board_label(name, a->label, sizeof(a->label));
	a->me = -1;
	list_init(&a->link);
	list_push(&store->accounts, &a->link);
	add_limits(a);
	open_file(a, now_us);
	return a;
}

void
fleet_account_set_ops(
    struct fleet_account *a, const struct fleet_account_ops *ops, void *ctx)
{
	a->ops = ops;
	a->ctx = ctx;
}

void
fleet_account_close(struct fleet_account **account)
{
	struct fleet_account *a = *account;

	*account = NULL;
	if (a == NULL || --a->users > 0)
		return;
	CHECK(a->users == 0);
	fleet_account_hush(a);
	persist_close(&a->file);
	list_remove(&a->link);
	mem_free(a->name);
	mem_free(a);
}

void
fleet_store_close(struct fleet_store **store)
{
	struct fleet_store *old = *store;

	*store = NULL;
	if (old == NULL)
		return;
	CHECK(list_is_empty(&old->accounts));
	mem_free(old);
}

struct fleet_account *
fleet_store_next(struct fleet_store *store, struct fleet_account *a)
{
	struct list *next = a == NULL ? store->accounts.next : a->link.next;

	return next == &store->accounts
		   ? NULL
		   : list_entry(next, struct fleet_account, link);
}

const char *
fleet_account_name(const struct fleet_account *a)
{
	return a->name;
}

size_t
fleet_account_count(const struct fleet_account *a)
{
	return a->count;
}

const struct fleet_limit *
fleet_account_limit(const struct fleet_account *a, size_t i)
{
	CHECK(i < a->count);
	return &a->limits[i];
}

/* ---- takes
 * ------------------------------------------------------------------- */

int64_t
fleet_account_share(struct fleet_account *a, size_t i, int64_t now_us)
{
	const struct fleet_row *row;

	CHECK(i < a->count);
	if (a->is_alone)
		return fleet_base(&a->limits[i].terms);
	/* Damaged, or another's: whoever looks next under the lock begins
	 * without memory, and who has none has nothing. */
	if (!look(a, now_us) || !is_ours(a, &a->known))
		return 0;
	row = row_of(a, i);
	return row != NULL ? fleet_file_share(row, now_us) : 0;
}

const struct fleet_heard *
fleet_account_heard(
    struct fleet_account *a, enum fleet_lesson_kind kind, int64_t now_us)
{
	CHECK(kind < FLEET_KINDS);
	if (a->is_alone || !look(a, now_us) || !is_ours(a, &a->known) ||
	    !fleet_heard_holds(&a->known.heard[kind], now_us))
		return NULL;
	return &a->known.heard[kind];
}

int64_t
fleet_account_connection_limit(struct fleet_account *a, int64_t now_us)
{
	int64_t share = fleet_account_share(a, 0, now_us);
	const struct fleet_heard *h =
	    fleet_account_heard(a, FLEET_FEWER, now_us);

	return h != NULL ? fleet_heard_connections(
			       h, share, a->limits[0].terms.limit, now_us)
			 : share;
}

void
fleet_account_take(
    struct fleet_account *a, size_t i, int64_t units, int64_t now_us)
{
	CHECK(i < a->count);
	fleet_demand_take(&a->demand[i], units, now_us);
}

void
fleet_account_short(struct fleet_account *a, size_t i, int64_t now_us)
{
	CHECK(i < a->count);
	fleet_demand_short(&a->demand[i], now_us);
}

void
fleet_account_connections(
    struct fleet_account *a, int held, int more, int64_t now_us)
{
	CHECK(held >= 0 && more >= 0);
	a->held = held;
	a->more = more;
	if (held + more > 0)
		a->demand[0].used_us = now_us;
}

/* ---- what this lane could use
 * -------------------------------------------------- */

static int64_t
want_of(struct fleet_account *a, size_t i, int64_t now_us)
{
	const struct fleet_limit *l = &a->limits[i];

	if (l->kind == FLEET_CONNECTIONS)
		return fleet_demand_connections(
		    &a->demand[i], &l->terms, a->held, a->more, now_us);
	if (l->whole.is_quota)
		return fleet_demand_quota(&a->demand[i], &l->terms, now_us);
	return fleet_demand_rate(&a->demand[i], &l->terms, &l->whole, now_us);
}

static void
join(struct fleet_account *a)
{
	for (int m = 0; m < FLEET_LANES && a->me < 0; m++)
		if (persist_join(a->file, m, 0))
			a->me = m;
}

static void
watch_shares(struct fleet_account *a, int64_t now_us)
{
	bool has_changed = false;

	for (int k = 0; k < FLEET_KINDS; k++)
		has_changed =
		    has_changed ||
		    fleet_heard_is_news(&a->known.heard[k], &a->heard_shown[k],
			(enum fleet_lesson_kind)k, now_us);
	memcpy(a->heard_shown, a->known.heard, sizeof(a->heard_shown));
	for (size_t i = 0; i < a->count; i++) {
		int64_t share = fleet_account_share(a, i, now_us);

		has_changed = has_changed || share != a->shown[i];
		a->shown[i] = share;
	}
	if (has_changed && a->ops != NULL)
		a->ops->on_share(a->ctx);
}

void
fleet_account_tell(struct fleet_account *a, int64_t now_us)
{
	struct fleet_lane *lane;

	if (a->is_alone)
		return;
	if (a->me < 0)
		join(a);
	if (a->me >= 0 && begin(a, LOCK_WAIT_MS, now_us)) {
		lane = &a->known.lanes[a->me];
		*lane = (struct fleet_lane){.told_us = now_us};
		if (a->ops != NULL && a->ops->blocked != NULL)
			lane->blocked = a->ops->blocked(a->ctx);
		for (size_t i = 0; i < a->count; i++) {
			a->told[i] = want_of(a, i, now_us);
			lane->want[row_of(a, i) - a->known.rows] = a->told[i];
		}
		end(a);
	}
	watch_shares(a, now_us);
}

/* ---- who speaks
 * ----------------------------------------------------------------- */

bool
fleet_account_speak(struct fleet_account *a, uint64_t nonce, int64_t now_us)
{
	if (a->speaks || a->is_alone)
		return a->speaks;
	if (!persist_join(a->file, FLEET_SPEAKER, 0))
		return false;
	if (!begin(a, LOCK_WAIT_MS, now_us)) {
		persist_leave(a->file, FLEET_SPEAKER);
		return false;
	}
	for (int i = 0; i < FLEET_LIMITS; i++) {
		struct fleet_row *r = &a->known.rows[i];

		if (r->unit[0] == '\0')
			continue;
		fleet_share_begin(&r->share, nonce);
		r->word = BOARD_FLEET_NONE;
	}
	end(a);
	a->speaks = true;
	return true;
}

void
fleet_account_hush(struct fleet_account *a)
{
	if (a->speaks)
		persist_leave(a->file, FLEET_SPEAKER);
	if (a->me >= 0)
		persist_leave(a->file, a->me);
	a->speaks = false;
	a->me = -1;
}

bool
fleet_account_speaks(const struct fleet_account *a)
{
	return a->speaks;
}

int64_t
fleet_account_epoch(const struct fleet_account *a)
{
	return a->known.rows[0].share.epoch;
}

static int64_t
wanted(const struct fleet_account *a, size_t row, int64_t limit, int64_t now_us)
{
	bool in_use[PERSIST_MEMBERS];
	int64_t sum = 0;

	persist_members(a->file, in_use);
	for (int m = 0; m < FLEET_LANES; m++) {
		int64_t want = a->known.lanes[m].want[row];

		if (want > 0 && fleet_lane_counts(a, in_use, m, now_us))
			sum += fleet_least(want, limit);
	}
	return fleet_least(sum, limit);
}

/* Of all the host's lanes. Of a quota these want what is to come. */
static int64_t
host_wants(struct fleet_account *a, size_t i, int64_t in_use, int64_t now_us)
{
	const struct fleet_limit *l = &a->limits[i];
	size_t row = (size_t)(row_of(a, i) - a->known.rows);
	int64_t want = wanted(a, row, l->terms.limit, now_us);

	return l->whole.is_quota ? fleet_least(l->terms.limit, want + in_use)
				 : want;
}

static bool
has_risen(struct fleet_account *a, int64_t now_us)
{
	for (size_t i = 0; i < a->count; i++) {
		int64_t want = want_of(a, i, now_us);

		if (want > a->told[i] &&
		    want > fleet_account_share(a, i, now_us))
			return true;
	}
	return false;
}

/* It wants more than it asked for; or the engine would give more, and waits for
 * another host's word. */
static bool
lacks(struct fleet_account *a, size_t i, int64_t now_us)
{
	const struct fleet_row *r = row_of(a, i);
	int64_t share = fleet_account_share(a, i, now_us);
	int64_t want = host_wants(a, i, r->in_use, now_us);

	if (want > r->want && want > share) {
		a->tries = 0;
		return true;
	}
	return r->target > share && a->tries < HURRIES;
}

bool
fleet_account_hurry(struct fleet_account *a, int64_t now_us)
{
	bool is_due = a->has_shrunk;

	if (a->me >= 0 && has_risen(a, now_us))
		fleet_account_tell(a, now_us);
	if (!a->speaks || !look(a, now_us) || !is_ours(a, &a->known))
		return false;
	for (size_t i = 0; i < a->count; i++) {
		if (a->asked_us[i] != 0 || row_of(a, i) == NULL)
			return false;
		is_due = is_due || lacks(a, i, now_us);
	}
	return is_due;
}

static int64_t
in_use_of(struct fleet_account *a, size_t i, int64_t now_us)
{
	return a->ops != NULL ? a->ops->in_use(a->ctx, &a->limits[i], now_us)
			      : 0;
}

/* What was more than the share, since this was looked at last. */
static void
note_over(struct fleet_row *r, int64_t now_us)
{
	int64_t since_us = now_us - r->noted_us;

	if (r->noted_us != 0 && since_us > 0 && since_us < FLEET_TOLD_US &&
	    r->in_use > fleet_file_share(r, now_us))
		r->over_us += since_us;
	r->noted_us = now_us;
}

/* The last question's answer would come too late. */
static bool
is_overdue(const struct fleet_account *a, size_t i, int64_t now_us)
{
	return a->asked_us[i] != 0 && now_us - a->asked_us[i] > FLEET_ANSWER_US;
}

static void
ask_one(struct fleet_account *a, size_t i, int64_t now_us,
    struct fleet_question *out)
{
	const struct fleet_limit *l = &a->limits[i];
	struct fleet_row *r = row_of(a, i);

	r->terms = l->terms;
	r->in_use = in_use_of(a, i, now_us);
	note_over(r, now_us);
	r->want = host_wants(a, i, r->in_use, now_us);
	fleet_share_ask(&r->share, &r->terms, r->want, r->in_use, now_us, out);
	if (is_overdue(a, i, now_us))
		r->failures++;
	a->asked_us[i] = now_us;
	(void)snprintf(
	    out->host, sizeof(out->host), "%s", a->store->set->lane_fleet_name);
}

bool
fleet_account_ask(struct fleet_account *a, int64_t now_us,
    struct fleet_question out[FLEET_LIMITS])
{
	CHECK(a->speaks);
	if (!begin(a, LOCK_WAIT_MS, now_us))
		return false;
	for (size_t i = 0; i < a->count; i++)
		ask_one(a, i, now_us, &out[i]);
	fleet_lessons_ask(a, &out[0], now_us);
	a->has_shrunk = false;
	a->tries++;
	end(a);
	watch_shares(a, now_us);
	/* Whoever took by the share from before has done so by now. */
	for (size_t i = 0; i < a->count; i++)
		out[i].in_use = in_use_of(a, i, now_us);
	return true;
}

/* The limits of an account have one name and one fleet: the first tells. */
static void
tell_word(struct fleet_account *a, enum board_fleet_word before,
    enum board_fleet_word word, int64_t known, int64_t now_us)
{
	const struct settings *set = a->store->set;
	bool was_ok = before == BOARD_FLEET_OK;

	if (word != BOARD_FLEET_STALE)
		a->stale_us = 0;
	else if (a->stale_us == 0)
		a->stale_us = now_us;
	if (word == BOARD_FLEET_OK && !was_ok)
		log_info("fleet %s: account %s: shared as %s, one of %d hosts",
		    set->lane_fleet, a->label, set->lane_fleet_name,
		    set->lane_fleet_size);
	if (word == BOARD_FLEET_FULL && before != word)
		log_warn("fleet %s: account %s: %s is one host too many and "
			 "sends nothing: lane_fleet_size = %d, and %lld are "
			 "known",
		    set->lane_fleet, a->label, set->lane_fleet_name,
		    set->lane_fleet_size, (long long)known);
	if (word == BOARD_FLEET_OK)
		a->is_clone_told = false;
	/* The process before is refused so, too, until its lease is over. */
	if (word != BOARD_FLEET_STALE || a->is_clone_told ||
	    (!was_ok &&
		now_us - a->stale_us < set->lane_fleet_ttl_us + FLEET_TOLD_US))
		return;
	a->is_clone_told = true;
	log_warn("fleet %s: account %s: two hosts call themselves %s: this one "
		 "sends nothing as long as the other one does; set "
		 "lane_fleet_name",
	    set->lane_fleet, a->label, set->lane_fleet_name);
}

enum fleet_result
fleet_account_answer(struct fleet_account *a, size_t i, int64_t number,
    const struct fleet_answer *answer, int64_t now_us)
{
	static const enum board_fleet_word words[] = {
	    [FLEET_OK] = BOARD_FLEET_OK,
	    [FLEET_STALE] = BOARD_FLEET_STALE,
	    [FLEET_FULL] = BOARD_FLEET_FULL,
	};
	struct fleet_row *r;
	int64_t before;
	bool is_taken;

	CHECK(a->speaks);
	if (!begin(a, LOCK_WAIT_MS, now_us))
		return FLEET_BUSY;
	r = row_of(a, i);
	before = fleet_file_share(r, now_us);
	is_taken =
	    fleet_share_answer(&r->share, &r->terms, number, answer, now_us);
	if (is_taken) {
		a->has_shrunk =
		    a->has_shrunk || fleet_file_share(r, now_us) < before;
		r->renewals++;
		a->asked_us[i] = 0;
		r->known = answer->known;
		if (answer->word != FLEET_TWICE) {
			if (i == 0)
				tell_word(a, (enum board_fleet_word)r->word,
				    words[answer->word], answer->known, now_us);
			r->word = (int64_t)words[answer->word];
		}
		if (answer->word == FLEET_OK)
			r->target = answer->target;
		if (answer->word == FLEET_OK && i == 0)
			fleet_lessons_answer(a, answer, r->in_use, now_us);
	}
	end(a);
	watch_shares(a, now_us);
	return is_taken ? FLEET_TAKEN : FLEET_LATE;
}

void
fleet_account_settle(struct fleet_account *a, int64_t alone_us, int64_t now_us)
{
	bool has_failed = false;

	for (size_t i = 0; i < a->count; i++)
		has_failed = has_failed || is_overdue(a, i, now_us);
	if ((!has_failed && alone_us == 0) || !begin(a, LOCK_WAIT_MS, now_us))
		return;
	for (size_t i = 0; i < a->count; i++)
		if (is_overdue(a, i, now_us)) {
			row_of(a, i)->failures++;
			a->asked_us[i] = 0;
		}
	a->known.alone_us += alone_us;
	end(a);
}

int64_t
fleet_account_told_us(const struct fleet_account *a)
{
	return a->told_us;
}

void
fleet_account_set_told(struct fleet_account *a, int64_t now_us)
{
	a->told_us = now_us;
}
