#include "agent/engine/lane_holds.h"

#include <stdio.h>
#include <string.h>

#include "agent/engine/lane_park.h"
#include "common/base/log.h"
#include "common/base/mem.h"
#include "common/shared/board.h"

struct rekeying {
	struct lane *lane;
	int64_t now_us;
	struct transaction *last; /* the one that was put somewhere last */
};

/* ---- what waits, by its domain --------------------------------------------
 */

static void
set_domain(struct transaction *t, struct domain *dom, int64_t now_us)
{
	struct domain *old = t->domain;

	if (dom != NULL)
		domain_hold(dom, now_us);
	t->domain = dom;
	if (old != NULL)
		domain_release(old);
}

/* Recipients of t under one limit or hold with its first are its first then;
 * how many these are. */
static size_t
put_first(const struct lane *lane, struct transaction *t, struct domain *key)
{
	size_t n = 0;

	for (size_t i = 0; i < t->count; i++) {
		uint32_t index = t->rcpts[i];

		if (lane_domain_of(lane, t->req, index) != key)
			continue;
		t->rcpts[i] = t->rcpts[n];
		t->rcpts[n++] = index;
	}
	return n;
}

/* t, which is in no queue, waits in the right one; all of it has one key. */
static void
put(struct rekeying *r, struct transaction *t, struct domain *key)
{
	set_domain(t, key, r->now_us);
	lane_put_in_order(r->lane, t, r->last);
	r->last = t;
}

static bool
is_in_place(const struct lane *lane, const struct transaction *t)
{
	for (size_t i = 0; i < t->count; i++)
		if (lane_domain_of(lane, t->req, t->rcpts[i]) != t->domain)
			return false;
	return true;
}

static void
rekey(struct rekeying *r, struct transaction *t)
{
	t->is_back = false;
	if (is_in_place(r->lane, t))
		return;
	lane_take_waiting(r->lane, t);
	while (t != NULL) {
		struct domain *key =
		    lane_domain_of(r->lane, t->req, t->rcpts[0]);
		size_t n = put_first(r->lane, t, key);
		struct transaction *rest =
		    n < t->count ? lane_split_off(t, n, r->now_us) : NULL;

		put(r, t, key);
		t = rest;
	}
}

static void
rekey_queue(struct rekeying *r, struct list *queue, bool all)
{
	list_each_safe (link, queue) {
		struct transaction *t =
		    list_entry(link, struct transaction, link);

		if (all || t->is_back)
			rekey(r, t);
	}
}

/* all: or those that came back, with the domain they had. */
static void
rekey_waiting(struct lane *lane, bool all, int64_t now_us)
{
	struct rekeying r = {.lane = lane, .now_us = now_us};

	lane->has_back = false;
	list_each (link, &lane->routes) {
		struct route *route = route_of(link);

		rekey_queue(&r, &route->waiting, all);
		list_each (each, &route->parkings)
			rekey_queue(&r, &parking_of(each)->waiting, all);
		lane_forget_parkings(route);
	}
}

/* ---- holds ----------------------------------------------------------------
 */

static struct lane_held *
find_held(struct lane_held *held, size_t count, const char *domain)
{
	for (size_t i = 0; i < count; i++)
		if (strcmp(domain_name(held[i].dom), domain) == 0)
			return &held[i];
	return NULL;
}

static void
call_back(struct lane *lane, const struct lane_held *held)
{
	if (held->owed > 0)
		lane->ops.outages->on_back(lane->ops.outages_ctx, held->id);
}

/* The same in every process; routes have the odd ones (lane_hosts.c). */
static uint64_t
id_of(const char *domain)
{
	return (board_hash(domain) | 2) & ~UINT64_C(1);
}

void
lane_hold_domains(struct lane *lane, const struct lane_hold *holds,
    size_t count, struct moment now)
{
	struct lane_held *before = lane->held, *gone;
	size_t before_count = lane->held_count;
	struct domains *table = lane->blocked;

	if (count + before_count == 0)
		return;
	lane->blocked = count > 0 ? domains_new() : NULL;
	lane->held = mem_zarray(count + 1, sizeof(lane->held[0]));
	lane->held_count = count;
	for (size_t i = 0; i < count; i++) {
		const struct lane_hold *h = &holds[i];
		struct lane_held *was =
		    find_held(before, before_count, h->domain);

		lane->held[i] = (struct lane_held){
		    .dom = domains_block(
			lane->blocked, h->domain, h->until_us, h->why),
		    .until_us = h->until_us,
		    .id = id_of(h->domain),
		    .owed = was != NULL
				? was->owed
				: lane_owed_before(lane, id_of(h->domain)),
		};
	}
	rekey_waiting(lane, true, now.us);
	for (gone = before; gone < before + before_count; gone++)
		if (find_held(lane->held, count, domain_name(gone->dom)) ==
		    NULL)
			call_back(lane, gone);
	domains_free(&table);
	mem_free(before);
	lane_want_kick(lane);
}

static void
forget_over(struct lane *lane, struct moment now)
{
	struct lane_hold *left = mem_zarray(lane->held_count, sizeof(left[0]));
	size_t n = 0;

	for (size_t i = 0; i < lane->held_count; i++) {
		const struct lane_held *h = &lane->held[i];

		if (h->until_us <= now.us)
			continue;
		left[n].until_us = h->until_us;
		(void)snprintf(left[n].domain, sizeof(left[n].domain), "%s",
		    domain_name(h->dom));
		(void)snprintf(
		    left[n].why, sizeof(left[n].why), "%s", domain_why(h->dom));
		n++;
	}
	lane_hold_domains(lane, left, n, now);
	mem_free(left);
}

void
lane_look_at_holds(struct lane *lane, struct moment now)
{
	int64_t first_us = INT64_MAX;

	for (size_t i = 0; i < lane->held_count; i++)
		if (lane->held[i].until_us < first_us)
			first_us = lane->held[i].until_us;
	if (first_us <= now.us)
		forget_over(lane, now);
	else if (first_us < lane->look_again_us)
		lane->look_again_us = first_us;
	if (lane->has_back && lane->held_count > 0)
		rekey_waiting(lane, false, now.us);
}

bool
lane_defer_held(struct lane *lane, struct transaction *t)
{
	struct dsn dsn;

	for (size_t i = 0; i < lane->held_count; i++) {
		struct lane_held *h = &lane->held[i];

		if (h->dom != t->domain)
			continue;
		dsn_set(&dsn, "4.3.2", "mail to %s is %s", domain_name(h->dom),
		    domain_why(h->dom));
		dsn.cause = DSN_CAUSE_PAUSE;
		if (lane->ops.outages != NULL &&
		    lane->ops.outages->on_outage(
			lane->ops.outages_ctx, h->id, t->req, LANE_OWED_OUTAGE))
			h->owed++;
		lane_defer_waiting(lane, t, &dsn, NULL, NULL, false);
		return true;
	}
	return false;
}

bool
lane_owes(const struct lane *lane, uint64_t id)
{
	list_each (link, &lane->routes)
		if (route_of(link)->id == id && route_of(link)->owed > 0)
			return true;
	for (size_t i = 0; i < lane->held_count; i++)
		if (lane->held[i].id == id)
			return true;
	return false;
}

void
lane_free_holds(struct lane *lane)
{
	domains_free(&lane->blocked);
	mem_free(lane->held);
}
