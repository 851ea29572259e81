/* Mail for limited domains (domains.h): a request's parts, and their queues.
 *
 *   request --split--> [r.waiting]   what is under no such limit
 *                  \--> [parking]    one for each limited domain of the route
 *                        `parked` of `count`: no token yet
 *
 * Whoever has a token competes with all others by age; who has none is passed
 * over, so a limited domain delays nobody but itself.
 *
 * Yet each that waits here has a place in the queue manager's window for its
 * destination. Where that is the smarthost, all domains share the window, and
 * at most half of it may be `mixed` ones; where the domain is the destination
 * it holds up only its own mail.
 */
#include "agent/engine/lane_state.h"

#include <stdlib.h>

#include "common/smtp/address.h"
#include "common/base/log.h"
#include "common/base/mem.h"

struct parking {
	struct list link; /* route.parkings */
	struct list of_domain; /* domain_queues() */
	struct route *route;
	struct domain *domain; /* held */
	struct list waiting; /* transactions */
	size_t count;
	size_t parked; /* of them, without a token at the last look */
	size_t mixed; /* of count, whose window is for other domains too */
	int64_t not_before_us; /* the first may not go earlier; 0: unknown */
};

static struct parking *
parking_of(struct list *link)
{
	return list_entry(link, struct parking, link);
}

static struct transaction *
first_of(const struct parking *p)
{
	return list_is_empty(&p->waiting)
		   ? NULL
		   : list_entry(p->waiting.next, struct transaction, link);
}

/* ---- splitting ---------------------------------------------------------- */

struct keyed {
	struct domain *key;
	uint32_t rcpt;
};

static int
compare(const void *a, const void *b)
{
	const struct keyed *x = a, *y = b;

	if (x->key != y->key)
		return (uintptr_t)x->key < (uintptr_t)y->key ? -1 : 1;
	return x->rcpt < y->rcpt ? -1 : 1;
}

/* Recipients with their limits; true when there is more than one group. */
static bool
look_up(struct lane *lane, const struct request *req, struct keyed *all)
{
	bool is_mixed = false;

	for (size_t i = 0; i < req->rcpt_count; i++) {
		struct slice domain =
		    address_domain(slice_str(req->rcpts[i].address));

		all[i].key = domains_find(lane->domains, domain);
		all[i].rcpt = (uint32_t)i;
		is_mixed = is_mixed || all[i].key != all[0].key;
	}
	return is_mixed;
}

/* The transactions of a request, chained; none of it is decided. */
struct transaction *
lane_split(struct lane *lane, struct request *req, struct moment now)
{
	struct transaction *first = NULL, **at = &first;
	struct keyed *all;
	bool is_mixed;

	if (lane->domains == NULL || domains_are_none(lane->domains))
		return transaction_new(req, now.ms);
	all = mem_zarray(req->rcpt_count, sizeof(*all));
	is_mixed = look_up(lane, req, all);
	if (is_mixed)
		qsort(all, req->rcpt_count, sizeof(*all), compare);
	for (size_t from = 0, to; from < req->rcpt_count; from = to) {
		struct transaction *t;

		for (to = from;
		     to < req->rcpt_count && all[to].key == all[from].key; to++)
			continue;
		t = is_mixed ? transaction_new_part(req, to - from, now.ms)
			     : transaction_new(req, now.ms);
		for (size_t i = from; is_mixed && i < to; i++)
			t->rcpts[t->count++] = all[i].rcpt;
		t->domain = all[from].key;
		if (t->domain != NULL)
			domain_hold(t->domain, now.ms * 1000);
		*at = t;
		at = &t->sibling;
	}
	mem_free(all);
	return first;
}

/* ---- the queues --------------------------------------------------------- */

static void
set_parked(struct lane *lane, struct parking *p, size_t n)
{
	lane->moves += n != p->parked;
	lane->parked = lane->parked - p->parked + n;
	p->route->parked_count = p->route->parked_count - p->parked + n;
	p->parked = n;
}

static struct parking *
find_parking(struct route *r, struct domain *dom)
{
	struct list *queues = domain_queues(dom);
	struct parking *p;

	list_each (link, queues) {
		p = list_entry(link, struct parking, of_domain);
		if (p->route == r)
			return p;
	}
	p = mem_zalloc(sizeof(*p));
	p->route = r;
	p->domain = dom;
	domain_hold(dom, 0); /* it has a state: the time is not used */
	list_init(&p->waiting);
	list_init(&p->of_domain);
	list_push(queues, &p->of_domain);
	list_init(&p->link);
	list_push(&r->parkings, &p->link);
	return p;
}

static bool
is_mixed(const struct transaction *t)
{
	return !lane_is_nexthop_of_all(t->req);
}

struct list *
lane_queue_of(struct transaction *t)
{
	if (t->domain == NULL)
		return &t->route->waiting;
	if (t->parking == NULL)
		t->parking = find_parking(t->route, t->domain);
	return &t->parking->waiting;
}

void
lane_on_parked(struct transaction *t)
{
	struct parking *p = t->parking;

	p->count++;
	p->mixed += is_mixed(t);
	if (first_of(p) == t)
		p->not_before_us = 0;
}

void
lane_on_unparked(struct lane *lane, struct transaction *t)
{
	struct parking *p = t->parking;

	t->parking = NULL;
	p->count--;
	p->mixed -= is_mixed(t);
	p->not_before_us = 0; /* another one may be first now */
	if (p->parked > p->count)
		set_parked(lane, p, p->count);
}

void
lane_forget_parkings(struct route *r)
{
	list_each_safe (link, &r->parkings) {
		struct parking *p = parking_of(link);

		if (p->count > 0)
			continue;
		list_remove(&p->link);
		list_remove(&p->of_domain);
		domain_release(p->domain);
		mem_free(p);
	}
}

struct transaction *
lane_any_parked(struct route *r)
{
	list_each (link, &r->parkings)
		if (first_of(parking_of(link)) != NULL)
			return first_of(parking_of(link));
	return NULL;
}

/* ---- whose turn it is --------------------------------------------------- */

static int64_t
look(struct parking *p, int64_t now_us)
{
	struct pacer_cost cost;
	int64_t wait_us;

	if (now_us < p->not_before_us)
		return p->not_before_us == INT64_MAX
			   ? RATE_NEVER
			   : p->not_before_us - now_us;
	cost = lane_cost_of(first_of(p));
	wait_us = domain_wait_us(p->domain, &cost, now_us);
	p->not_before_us = wait_us == RATE_NEVER ? INT64_MAX : now_us + wait_us;
	return wait_us;
}

struct transaction *
lane_next_waiting(struct lane *lane, struct route *r, int64_t now_us)
{
	struct transaction *next = lane_first_waiting(r);

	list_each (link, &r->parkings) {
		struct parking *p = parking_of(link);
		struct transaction *t = first_of(p);

		if (t == NULL || look(p, now_us) > 0)
			continue;
		if (p->parked == p->count)
			set_parked(lane, p, p->count - 1);
		if (next == NULL || t->number < next->number)
			next = t;
	}
	return next;
}

int64_t
lane_next_token(struct route *r, int64_t now_us, int64_t *share_out)
{
	int64_t at_us = INT64_MAX;

	*share_out = 0;
	list_each (link, &r->parkings) {
		struct parking *p = parking_of(link);
		struct pacer_cost cost;

		if (p->count == 0 || p->not_before_us <= now_us)
			continue;
		cost = lane_cost_of(first_of(p));
		*share_out += domain_expected(p->domain, &cost,
		    r->dial_took_ms * 1000, (int64_t)p->count);
		if (p->not_before_us < at_us)
			at_us = p->not_before_us;
	}
	return at_us;
}

void
lane_take_token(
    struct transaction *t, const struct pacer_cost *cost, int64_t now_us)
{
	if (t->domain != NULL)
		domain_take(t->domain, cost, now_us);
}

void
lane_give_back_token(struct transaction *t)
{
	struct pacer_cost cost = lane_cost_of(t);

	if (t->domain == NULL)
		return;
	domain_give_back(t->domain, &cost, t->taken_us);
	list_each (link, domain_queues(t->domain))
		list_entry(link, struct parking, of_domain)->not_before_us = 0;
}

/* ---- who waits in vain -------------------------------------------------- */

static void
explain(
    const struct transaction *t, int64_t now_us, char text[DOMAIN_TEXT_SIZE])
{
	struct pacer_cost cost = lane_cost_of(t);

	domain_explain(t->domain, &cost, now_us, text, DOMAIN_TEXT_SIZE);
}

bool
lane_explain_parked(struct lane *lane, const struct transaction *t,
    int64_t now_us, struct dsn *out)
{
	char text[DOMAIN_TEXT_SIZE];

	if (t->parking == NULL || look(t->parking, now_us) == 0)
		return false;
	explain(t, now_us, text);
	dsn_set(out, "4.4.5", "not sent within %llds: %s",
	    (long long)lane->set->lane_hold_limit_ms / 1000, text);
	return true;
}

/* A wait that is known to be longer than lane_hold_limit is not begun. */
static void
refuse_to_wait(
    struct lane *lane, struct transaction *t, int64_t wait_us, int64_t now_us)
{
	char text[DOMAIN_TEXT_SIZE];
	struct dsn dsn;

	explain(t, now_us, text);
	if (wait_us == RATE_NEVER) {
		dsn_set(&dsn, "4.4.5", "message is above %s", text);
	} else {
		dsn_set(&dsn, "4.4.5", "%s is used up, more in %llds", text,
		    (long long)(wait_us / 1000000));
		/* Only where the queue manager keeps this domain's mail
		 * apart may it stop all that is for the same place. */
		if (lane_is_nexthop_of_all(t->req))
			request_set_hop(t->req, &dsn, NULL);
	}
	lane_defer_waiting(lane, t, &dsn, NULL, NULL, false);
}

static void
look_at_parking(struct lane *lane, struct parking *p, int64_t now_us)
{
	int64_t hold_us = lane->set->lane_hold_limit_ms * 1000, wait_us = 0;
	struct pacer_cost cost;
	size_t can_go = 0;

	while (p->count > 0 && (wait_us = look(p, now_us)) > hold_us)
		refuse_to_wait(lane, first_of(p), wait_us, now_us);
	if (p->count > 0 && wait_us == 0) {
		cost = lane_cost_of(first_of(p));
		can_go = domain_ready(p->domain, &cost, p->count, now_us);
		if (can_go == 0)
			can_go = 1;
	}
	set_parked(lane, p, p->count - can_go);
}

void
lane_look_at_parkings(struct lane *lane, struct route *r, int64_t now_us)
{
	list_each (link, &r->parkings)
		look_at_parking(lane, parking_of(link), now_us);
}

/* Those of a parking that stand in the way of other domains' mail. */
static size_t
in_the_way(const struct parking *p)
{
	return p->parked < p->mixed ? p->parked : p->mixed;
}

static size_t
all_in_the_way(struct lane *lane)
{
	size_t n = 0;

	list_each (link, &lane->routes)
		list_each (l, &route_of(link)->parkings)
			n += in_the_way(parking_of(l));
	return n;
}

static size_t
length(const struct parking *p, bool of_mixed)
{
	return of_mixed ? in_the_way(p) : p->parked;
}

static struct parking *
longest(struct lane *lane, bool of_mixed)
{
	struct parking *most = NULL;

	list_each (link, &lane->routes)
		list_each (l, &route_of(link)->parkings)
			if (most == NULL || length(parking_of(l), of_mixed) >
						length(most, of_mixed))
				most = parking_of(l);
	return most;
}

/* The last that came goes first, and of the longest queue: a domain with much
 * mail leaves room to one with little. whose: what is full. */
static void
defer_last(struct lane *lane, bool of_mixed, const char *whose, size_t limit,
    int64_t now_us)
{
	struct parking *p = longest(lane, of_mixed);
	struct list *link;
	struct transaction *t;
	char text[DOMAIN_TEXT_SIZE];
	struct dsn dsn;

	CHECK(p != NULL && p->parked > 0);
	link = p->waiting.prev;
	while (
	    of_mixed && !is_mixed(list_entry(link, struct transaction, link)))
		link = link->prev;
	t = list_entry(link, struct transaction, link);
	explain(t, now_us, text);
	dsn_set(&dsn, "4.4.5", "%s%zu messages wait already; %s", whose, limit,
	    text);
	set_parked(lane, p, p->parked - 1);
	lane_defer_waiting(lane, t, &dsn, NULL, NULL, false);
}

void
lane_trim_parkings(struct lane *lane, int64_t now_us)
{
	size_t limit = (size_t)lane->set->lane_parked_limit;
	size_t half = lane_places(lane) / 2, extra;

	while (lane->parked > limit)
		defer_last(lane, false, "lane_parked_limit = ", limit, now_us);
	if (half < 1)
		half = 1;
	if (lane->parked <= half)
		return;
	extra = all_in_the_way(lane);
	for (extra -= extra < half ? extra : half; extra > 0; extra--)
		defer_last(lane, true, "half of the window, ", half, now_us);
}

static void
expire_parking(struct lane *lane, struct parking *p, struct moment now)
{
	struct transaction *t;

	while ((t = first_of(p)) != NULL && lane_expire(lane, t, now.ms))
		continue;
}

void
lane_expire_parkings(struct lane *lane, struct route *r, struct moment now)
{
	list_each (link, &r->parkings)
		expire_parking(lane, parking_of(link), now);
}

int64_t
lane_parkings_expiry_ms(const struct lane *lane, const struct route *r)
{
	int64_t due = INT64_MAX;

	list_each (link, &r->parkings) {
		const struct transaction *t = first_of(parking_of(link));

		if (t != NULL && lane_expiry_ms(lane, t) < due)
			due = lane_expiry_ms(lane, t);
	}
	return due;
}

/* ---- the end ------------------------------------------------------------ */

static void
leave(struct lane *lane, struct list *waiting)
{
	struct dsn dsn;

	dsn_set(&dsn, "4.3.2", "delivery agent is ending, not yet its turn");
	list_each_safe (link, waiting) {
		struct transaction *t =
		    list_entry(link, struct transaction, link);

		if (!lane_may_drop(t->req))
			lane_defer_waiting(lane, t, &dsn, NULL, NULL, false);
	}
}

void
lane_leave_parts(struct lane *lane, struct route *r)
{
	leave(lane, &r->waiting);
	list_each (link, &r->parkings)
		leave(lane, &parking_of(link)->waiting);
}
