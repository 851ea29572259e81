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
#include "agent/engine/lane_park.h"

#include <stdlib.h>

#include "common/base/log.h"
#include "common/base/mem.h"
#include "common/smtp/address.h"

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

struct domain *
lane_domain_of(const struct lane *lane, const struct request *req, size_t i)
{
	struct slice domain = address_domain(slice_str(req->rcpts[i].address));
	struct domain *dom = NULL;

	if (lane->blocked != NULL)
		dom = domains_find(lane->blocked, domain);
	if (dom == NULL && lane->domains != NULL)
		dom = domains_find(lane->domains, domain);
	return dom;
}

/* Recipients with their limits; true when there is more than one group. */
static bool
look_up(const struct lane *lane, const struct request *req, struct keyed *all)
{
	bool is_mixed = false;

	for (size_t i = 0; i < req->rcpt_count; i++) {
		all[i].key = lane_domain_of(lane, req, i);
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

	CHECK(req->rcpt_count > 0);
	if (lane->blocked == NULL &&
	    (lane->domains == NULL || domains_are_none(lane->domains)))
		return transaction_new(req, now.us);
	all = mem_zarray(req->rcpt_count, sizeof(*all));
	is_mixed = look_up(lane, req, all);
	if (is_mixed)
		qsort(all, req->rcpt_count, sizeof(*all), compare);
	for (size_t from = 0, to; from < req->rcpt_count; from = to) {
		struct transaction *t;

		for (to = from;
		     to < req->rcpt_count && all[to].key == all[from].key; to++)
			continue;
		t = is_mixed ? transaction_new_part(req, to - from, now.us)
			     : transaction_new(req, now.us);
		for (size_t i = from; is_mixed && i < to; i++)
			t->rcpts[t->count++] = all[i].rcpt;
		t->domain = all[from].key;
		if (t->domain != NULL)
			domain_hold(t->domain, now.us);
		*at = t;
		at = &t->sibling;
	}
	mem_free(all);
	return first;
}

/* ---- the queues --------------------------------------------------------- */

void
parking_set_parked(struct lane *lane, struct parking *p, size_t n)
{
	CHECK(n <= p->count);
	CHECK(p->route->parked_count >= p->parked &&
	      lane->parked >= p->route->parked_count);
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

bool
parking_is_mixed(const struct transaction *t)
{
	return !request_is_to_nexthop(t->req);
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

	/* lane_queue_of() has found it. */
	CHECK(p != NULL && p->domain == t->domain && p->route == t->route);
	p->count++;
	p->mixed += parking_is_mixed(t);
	if (parking_first(p) == t)
		p->not_before_us = 0;
}

void
lane_on_unparked(struct lane *lane, struct transaction *t)
{
	struct parking *p = t->parking;

	CHECK(p->count > 0 && p->mixed <= p->count);
	t->parking = NULL;
	p->count--;
	p->mixed -= parking_is_mixed(t);
	p->not_before_us = 0; /* another one may be first now */
	if (p->parked > p->count)
		parking_set_parked(lane, p, p->count);
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
		if (parking_first(parking_of(link)) != NULL)
			return parking_first(parking_of(link));
	return NULL;
}

/* ---- whose turn it is --------------------------------------------------- */

int64_t
parking_wait_us(struct parking *p, int64_t now_us)
{
	struct pacer_cost cost;
	int64_t wait_us;

	if (now_us < p->not_before_us)
		return p->not_before_us == INT64_MAX
			   ? RATE_NEVER
			   : p->not_before_us - now_us;
	CHECK(p->count > 0);
	cost = lane_cost_of(parking_first(p));
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
		struct transaction *t = parking_first(p);

		if (t == NULL || parking_wait_us(p, now_us) > 0)
			continue;
		if (p->parked == p->count)
			parking_set_parked(lane, p, p->count - 1);
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
		cost = lane_cost_of(parking_first(p));
		*share_out += domain_expected(
		    p->domain, &cost, r->dial_took_us, (int64_t)p->count);
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
