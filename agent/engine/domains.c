#include "agent/engine/domains.h"

#include <ctype.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "common/base/log.h"
#include "common/base/mem.h"
#include "common/base/words.h"

enum { BUCKETS_FIRST = 64, WORD_MAX = 128 };

/* What was taken, and who waits. */
struct domain_state {
	struct list link; /* domains.live */
	struct domain *dom;
	struct list queues;
	size_t holders;
	int64_t due_us; /* the latest no was until then; 0: taken since */
	struct limitset_limit limits[DOMAIN_LIMITS_MAX]; /* of dom->count */
	int slots[DOMAIN_LIMITS_MAX]; /* where they are kept; -1: nowhere */
};

/* What outlives the process. */
struct keeper {
	struct domains_kept kept;
	bool is_owned[DOMAINS_KEPT]; /* by a state */
	void (*store)(void *ctx, const struct domains_kept *kept);
	void *ctx;
};

struct domain {
	struct domain *next; /* in its bucket */
	struct domains *owner;
	struct domain_state *state; /* NULL: full and unused */
	size_t count; /* limits; 0: "none" */
	char *why; /* it is blocked; or NULL */
	int64_t until_us; /* ... until then */
	struct limitset_rate limits[DOMAIN_LIMITS_MAX];
	char name[];
};

struct domains {
	struct domain **buckets; /* bucket_count of them, a power of two */
	size_t bucket_count, count;
	struct list live;
	size_t live_count;
	int64_t swept_us;
	struct keeper *keeper; /* NULL: nothing is kept */
};

static const struct {
	const char *prefix;
	enum pacer_unit unit;
} units[] = {
    {"messages:", PACER_MESSAGES},
    {"recipients:", PACER_RECIPIENTS},
    {"octets:", PACER_OCTETS},
};

struct domains *
domains_new(void)
{
	struct domains *d = mem_zalloc(sizeof(*d));

	list_init(&d->live);
	d->bucket_count = BUCKETS_FIRST;
	d->buckets = mem_zarray(d->bucket_count, sizeof(struct domain *));
	return d;
}

static void
forget(struct domains *d, struct domain_state *state)
{
	for (size_t i = 0; i < state->dom->count; i++) {
		if (state->slots[i] < 0)
			continue;
		d->keeper->is_owned[state->slots[i]] = false;
		d->keeper->kept.slots[state->slots[i]].key = 0;
	}
	list_remove(&state->link);
	d->live_count--;
	state->dom->state = NULL;
	mem_free(state);
}

void
domains_free(struct domains **d)
{
	struct domains *old = *d;

	*d = NULL;
	if (old == NULL)
		return;
	for (size_t i = 0; i < old->bucket_count; i++) {
		struct domain *dom = old->buckets[i], *next;

		for (; dom != NULL; dom = next) {
			next = dom->next;
			if (dom->state != NULL)
				forget(old, dom->state);
			mem_free(dom->why);
			mem_free(dom);
		}
	}
	mem_free(old->buckets);
	mem_free(old->keeper);
	mem_free(old);
}

/* ---- the table --------------------------------------------------------- */

/* FNV-1a; the names come from the configuration. */
static uint64_t
hash(struct slice name)
{
	uint64_t h = UINT64_C(14695981039346656037);

	for (size_t i = 0; i < name.n; i++)
		h = (h ^ (unsigned char)name.p[i]) * UINT64_C(1099511628211);
	return h ^ h >> 32;
}

static struct domain **
bucket(const struct domains *d, struct slice name)
{
	return &d->buckets[(size_t)hash(name) & (d->bucket_count - 1)];
}

/* name is in lower case. */
static struct domain *
get(const struct domains *d, struct slice name)
{
	struct domain *dom = *bucket(d, name);

	while (dom != NULL && !slice_eq(name, dom->name))
		dom = dom->next;
	return dom;
}

static void
put(struct domains *d, struct domain *dom)
{
	struct domain **at = bucket(d, slice_str(dom->name));

	dom->next = *at;
	*at = dom;
}

static void
grow(struct domains *d)
{
	struct domain **old = d->buckets;
	size_t count = d->bucket_count;

	d->bucket_count = count * 2;
	d->buckets = mem_zarray(d->bucket_count, sizeof(struct domain *));
	for (size_t i = 0; i < count; i++) {
		struct domain *dom = old[i], *next;

		for (; dom != NULL; dom = next) {
			next = dom->next;
			put(d, dom);
		}
	}
	mem_free(old);
}

static struct domain *
add(struct domains *d, struct slice name)
{
	struct domain *dom = mem_zalloc(sizeof(*dom) + name.n + 1);

	dom->owner = d;
	for (size_t i = 0; i < name.n; i++)
		dom->name[i] = (char)tolower((unsigned char)name.p[i]);
	if (d->count >= d->bucket_count)
		grow(d);
	d->count++;
	put(d, dom);
	return dom;
}

static struct slice
fold(struct slice name, char out[DOMAIN_NAME_MAX])
{
	for (size_t i = 0; i < name.n; i++)
		out[i] = (char)tolower((unsigned char)name.p[i]);
	return slice_of(out, name.n);
}

struct domain *
domains_find(struct domains *d, struct slice domain)
{
	char folded[DOMAIN_NAME_MAX];
	struct slice at;
	struct domain *dom;

	if (domain.n == 0 || domain.n > DOMAIN_NAME_MAX || d->count == 0)
		return NULL;
	at = fold(domain, folded);
	dom = get(d, at);
	while (dom == NULL) {
		const char *dot = memchr(at.p + 1, '.', at.n - 1);

		if (dot == NULL)
			return NULL;
		at = slice_of(dot, at.n - (size_t)(dot - at.p));
		dom = get(d, at);
	}
	return dom->count > 0 || dom->why != NULL ? dom : NULL;
}

struct domain *
domains_block(
    struct domains *d, const char *name, int64_t until_us, const char *why)
{
	struct domain *dom = add(d, slice_str(name));

	dom->until_us = until_us;
	dom->why = mem_strdup(why);
	return dom;
}

bool
domain_is_blocked(const struct domain *dom)
{
	return dom->why != NULL;
}

const char *
domain_why(const struct domain *dom)
{
	CHECK(dom->why != NULL);
	return dom->why;
}

bool
domains_are_none(const struct domains *d)
{
	return d->count == 0;
}

const char *
domain_name(const struct domain *dom)
{
	return dom->name;
}

/* ---- what is written ---------------------------------------------------- */

/* Octets of "recipients:" and so on at the front of word; 0: none. */
static size_t
unit_prefix(struct slice word, enum pacer_unit *unit_out)
{
	for (size_t i = 0; i < sizeof(units) / sizeof(units[0]); i++) {
		size_t n = strlen(units[i].prefix);

		if (word.n > n && strncmp(word.p, units[i].prefix, n) == 0) {
			*unit_out = units[i].unit;
			return n;
		}
	}
	return 0;
}

/* Whether word goes on with the limits of the domain before it. */
static bool
is_limit(struct slice word)
{
	enum pacer_unit unit;

	return (word.n > 0 && isdigit((unsigned char)word.p[0])) ||
	       slice_eq(word, "none") || unit_prefix(word, &unit) > 0;
}

static bool
add_limit(struct domain *dom, struct slice word, char *error, size_t error_size)
{
	struct limitset_rate limit;
	enum pacer_unit unit = PACER_MESSAGES;
	size_t prefix;

	if (slice_eq(word, "none"))
		return true;
	if (dom->count == DOMAIN_LIMITS_MAX) {
		(void)snprintf(error, error_size,
		    "%s has too many limits: must be at most %d", dom->name,
		    DOMAIN_LIMITS_MAX);
		return false;
	}
	prefix = unit_prefix(word, &unit);
	limit.unit = (int)unit;
	if (!rate_parse(slice_of(word.p + prefix, word.n - prefix), &limit.rate,
		error, error_size))
		return false;
	dom->limits[dom->count++] = limit;
	return true;
}

/* A new domain without limits; NULL: error says why not. */
static struct domain *
new_domain(struct domains *d, struct slice name, char *error, size_t error_size)
{
	if (name.n == 0 || name.n > DOMAIN_NAME_MAX || slice_eq(name, ".") ||
	    memchr(name.p, '@', name.n) != NULL) {
		(void)snprintf(error, error_size,
		    "bad name \"%.*s\": must be DOMAIN or .PARENT", (int)name.n,
		    name.p);
		return NULL;
	}
	return add(d, name);
}

/* Takes dom out again: its limits are wrong, or known already. */
static void
drop(struct domains *d, struct domain *dom)
{
	struct domain **at = bucket(d, slice_str(dom->name));

	while (*at != dom)
		at = &(*at)->next;
	*at = dom->next;
	d->count--;
	mem_free(dom);
}

static bool
is_known(const struct domains *d, struct slice name)
{
	char folded[DOMAIN_NAME_MAX];

	return name.n <= DOMAIN_NAME_MAX && get(d, fold(name, folded)) != NULL;
}

bool
domains_add(struct domains *d, const char *name, const char *limits,
    char *error, size_t error_size)
{
	struct domain *dom;
	struct slice list = slice_str(limits), word;

	if (is_known(d, slice_str(name)))
		return true;
	dom = new_domain(d, slice_str(name), error, error_size);
	if (dom == NULL)
		return false;
	while (words_cut_braced(&list, &word))
		if (!add_limit(dom, word, error, error_size)) {
			drop(d, dom);
			return false;
		}
	if (list.p == limits + strspn(limits, WORDS_SEPARATORS)) {
		(void)snprintf(error, error_size,
		    "no limit is given: must be a rate, or none");
		drop(d, dom);
		return false;
	}
	return true;
}

/* A word that is no limit: the next domain and its first limit, or a table.
 * *dom_out is whose limits may follow. */
static bool
add_item(struct domains *d, struct slice word, struct domain **dom_out,
    struct buf *tables, char *error, size_t error_size)
{
	const char *eq = memchr(word.p, '=', word.n);
	const char *colon = memchr(word.p, ':', word.n);
	struct slice name;
	size_t n;

	*dom_out = NULL;
	if (colon != NULL && colon > word.p && (eq == NULL || colon < eq)) {
		if (tables != NULL)
			(void)buf_addf(tables, "%.*s ", (int)word.n, word.p);
		return true;
	}
	if (eq == NULL) {
		(void)snprintf(error, error_size,
		    "bad word \"%.*s\": must be DOMAIN=RATE, .PARENT=RATE, "
		    "further rates behind one, and type:table",
		    (int)word.n, word.p);
		return false;
	}
	n = (size_t)(eq - word.p);
	name = slice_of(word.p, n);
	if (is_known(d, name)) {
		(void)snprintf(error, error_size,
		    "%.*s is there twice: must be once, with all of its "
		    "rates behind it",
		    (int)n, word.p);
		return false;
	}
	*dom_out = new_domain(d, name, error, error_size);
	return *dom_out != NULL &&
	       add_limit(*dom_out, slice_of(eq + 1, word.n - n - 1), error,
		   error_size);
}

bool
domains_add_list(struct domains *d, const char *text, struct buf *tables,
    char *error, size_t error_size)
{
	struct domain *dom = NULL;
	struct slice list = slice_str(text), word;

	if (strcasecmp(text, "none") == 0)
		return true;
	while (words_cut_braced(&list, &word))
		if (dom != NULL && is_limit(word) &&
		    memchr(word.p, '=', word.n) == NULL) {
			if (!add_limit(dom, word, error, error_size))
				return false;
		} else if (!add_item(
			       d, word, &dom, tables, error, error_size)) {
			return false;
		}
	return true;
}

/* ---- what is kept ------------------------------------------------------- */

void
domains_keep(struct domains *d, const struct domains_kept *found,
    int64_t shift_us, int64_t now_us,
    void (*store)(void *ctx, const struct domains_kept *kept), void *ctx)
{
	CHECK(d->keeper == NULL && d->live_count == 0);
	d->keeper = mem_zalloc(sizeof(*d->keeper));
	d->keeper->store = store;
	d->keeper->ctx = ctx;
	d->keeper->kept = *found;
	for (size_t i = 0; i < DOMAINS_KEPT; i++) {
		struct domains_slot *slot = &d->keeper->kept.slots[i];

		limiter_shift(&slot->limiter, shift_us);
		if (slot->key == 0 || !limiter_is_valid(&slot->limiter)) {
			slot->key = 0;
			continue;
		}
		/* A clock that is ahead would stand still. */
		if (limiter_latest_us(&slot->limiter) > now_us)
			limiter_shift(&slot->limiter,
			    now_us - limiter_latest_us(&slot->limiter));
	}
}

void
domains_keep_no_more(struct domains *d)
{
	if (d->keeper != NULL)
		d->keeper->store = NULL;
}

static uint64_t
key_of(const struct domain *dom, size_t i)
{
	return (hash(slice_str(dom->name)) << 3 | i << 1) | 1;
}

/* The slot of a limit from the process before; -1: there is none. */
static int
find_slot(const struct keeper *k, uint64_t key)
{
	for (int i = 0; k != NULL && i < DOMAINS_KEPT; i++)
		if (k->kept.slots[i].key == key)
			return i;
	return -1;
}

static int
free_slot(struct keeper *k, int64_t now_us)
{
	for (int i = 0; k != NULL && i < DOMAINS_KEPT; i++) {
		const struct domains_slot *slot = &k->kept.slots[i];

		if (slot->key == 0 ||
		    (!k->is_owned[i] &&
			limiter_is_full(&slot->limiter, now_us)))
			return i;
	}
	return -1;
}

static void
begin_limit(struct domain_state *state, size_t i, int64_t now_us)
{
	struct domain *dom = state->dom;
	struct keeper *k = dom->owner->keeper;
	const struct rate *rate = &dom->limits[i].rate;
	struct limitset_limit *l = &state->limits[i];
	int at = find_slot(k, key_of(dom, i));

	l->unit = dom->limits[i].unit;
	l->users = 1;
	state->slots[i] = at;
	if (at < 0) {
		limiter_init(&l->limiter, rate, now_us);
		return;
	}
	k->is_owned[at] = true;
	l->limiter = k->kept.slots[at].limiter;
	limiter_set_rate(&l->limiter, rate, now_us);
}

static void
keep(struct domain_state *state, int64_t now_us)
{
	struct keeper *k = state->dom->owner->keeper;

	if (k == NULL || k->store == NULL)
		return;
	for (size_t i = 0; i < state->dom->count; i++) {
		int at = state->slots[i];

		if (at < 0)
			at = state->slots[i] = free_slot(k, now_us);
		if (at < 0)
			continue;
		k->is_owned[at] = true;
		k->kept.slots[at].key = key_of(state->dom, i);
		k->kept.slots[at].limiter = state->limits[i].limiter;
	}
	k->store(k->ctx, &k->kept);
}

/* ---- pacing ------------------------------------------------------------- */

void
domain_hold(struct domain *dom, int64_t now_us)
{
	struct domains *d = dom->owner;

	if (dom->state == NULL) {
		struct domain_state *state = mem_zalloc(sizeof(*state));

		state->dom = dom;
		list_init(&state->queues);
		list_init(&state->link);
		for (size_t i = 0; i < dom->count; i++)
			begin_limit(state, i, now_us);
		list_push(&d->live, &state->link);
		d->live_count++;
		dom->state = state;
	}
	dom->state->holders++;
}

void
domain_release(struct domain *dom)
{
	CHECK(dom->state != NULL && dom->state->holders > 0);
	dom->state->holders--;
}

struct list *
domain_queues(struct domain *dom)
{
	CHECK(dom->state != NULL && dom->state->holders > 0);
	return &dom->state->queues;
}

int64_t
domain_wait_us(
    struct domain *dom, const struct pacer_cost *cost, int64_t now_us)
{
	struct limitset_cost c = pacer_limit_cost(cost);
	int64_t wait;

	CHECK(dom->state != NULL && dom->state->holders > 0);
	if (dom->why != NULL && dom->until_us == INT64_MAX)
		return RATE_NEVER;
	if (dom->why != NULL)
		return dom->until_us > now_us ? dom->until_us - now_us : 0;
	wait = limitset_wait_us(
	    dom->state->limits, dom->count, &c, false, now_us, NULL);

	if (wait > 0)
		dom->state->due_us = wait == RATE_NEVER ? 0 : now_us + wait;
	return wait;
}

size_t
domain_ready(const struct domain *dom, const struct pacer_cost *cost,
    size_t max, int64_t now_us)
{
	struct limitset_cost c = pacer_limit_cost(cost);

	CHECK(dom->state != NULL && dom->state->holders > 0);
	return limitset_ready(dom->state->limits, dom->count, &c, max, now_us);
}

int64_t
domain_expected(const struct domain *dom, const struct pacer_cost *cost,
    int64_t span_us, int64_t max)
{
	struct limitset_cost c = pacer_limit_cost(cost);

	CHECK(dom->state != NULL && dom->state->holders > 0);
	return limitset_expected(
	    dom->state->limits, dom->count, &c, span_us, max);
}

void
domain_take(struct domain *dom, const struct pacer_cost *cost, int64_t now_us)
{
	struct domain_state *state = dom->state;
	struct limitset_cost c = pacer_limit_cost(cost);

	CHECK(state != NULL && state->holders > 0);
	now_us = limitset_time_of_take(
	    state->limits, dom->count, &c, false, state->due_us, now_us);
	state->due_us = 0;
	CHECK(limitset_take(state->limits, dom->count, &c, now_us));
	keep(state, now_us);
}

void
domain_give_back(
    struct domain *dom, const struct pacer_cost *cost, int64_t taken_us)
{
	struct limitset_cost c = pacer_limit_cost(cost);

	CHECK(dom->state != NULL && dom->state->holders > 0);
	limitset_give_back(dom->state->limits, dom->count, &c, taken_us);
	keep(dom->state, taken_us);
}

void
domain_explain(const struct domain *dom, const struct pacer_cost *cost,
    int64_t now_us, char *out, size_t n)
{
	struct limitset_cost c = pacer_limit_cost(cost);
	const struct limitset_limit *limit;
	char rate[RATE_TEXT_SIZE];
	enum pacer_unit unit;
	size_t which;

	CHECK(dom->state != NULL && dom->state->holders > 0);
	limit = dom->state->limits;
	if (dom->why != NULL) {
		(void)snprintf(out, n, "mail to %s is %s", dom->name, dom->why);
		return;
	}
	(void)limitset_wait_us(
	    dom->state->limits, dom->count, &c, false, now_us, &limit);
	which = (size_t)(limit - dom->state->limits);
	unit = (enum pacer_unit)limit->unit;
	rate_to_text(&dom->limits[which].rate, rate, sizeof(rate));
	(void)snprintf(out, n, "lane_domain_rate_limits: %s=%s%s", dom->name,
	    unit == PACER_MESSAGES ? "" : units[unit].prefix, rate);
}

void
domains_sweep(struct domains *d, int64_t now_us)
{
	if (now_us - d->swept_us < DOMAINS_SWEEP_US)
		return;
	d->swept_us = now_us;
	list_each_safe (link, &d->live) {
		struct domain_state *state =
		    list_entry(link, struct domain_state, link);

		if (state->holders == 0 &&
		    limitset_is_full(state->limits, state->dom->count, now_us))
			forget(d, state);
	}
}

size_t
domains_live(const struct domains *d)
{
	return d->live_count;
}
