/* What waits: how it comes, goes back, and leaves with a verdict. */
#include "agent/engine/lane_state.h"

#include "agent/engine/verdict.h"
#include "common/base/log.h"
#include "common/base/mem.h"

static void
count(struct lane *lane, const struct verdict *v)
{
	switch (v->outcome) {
	case OUTCOME_SENT:
		lane->figures.sent++;
		break;
	case OUTCOME_DEFER:
		lane->figures.deferred++;
		break;
	case OUTCOME_BOUNCE:
		lane->figures.bounced++;
		break;
	}
	if (v->dsn.maybe_accepted)
		lane->figures.in_doubt++;
}

/* Gives every newly decided recipient of t to report. After the last one the
 * request may be gone, so how many there are is counted first. What belongs to
 * other parts of the request is theirs to tell: they may still be on the wire
 * and need it. */
void
lane_hand_over(struct lane *lane, const struct transaction *t)
{
	struct request *req = t->req;
	size_t left = 0;

	for (size_t i = 0; i < t->total; i++) {
		const struct recipient *r = &req->rcpts[t->rcpts[i]];

		left += r->state == RCPT_DECIDED;
	}
	for (size_t i = 0; left > 0; i++) {
		const struct recipient *r = &req->rcpts[t->rcpts[i]];

		CHECK(i < t->total);

		if (r->state != RCPT_DECIDED)
			continue;
		left--;
		request_set_rcpt_state(req, t->rcpts[i], RCPT_HANDED_OVER);
		count(lane, r->verdict);
		lane->ops.owner->on_decided(
		    lane->ops.owner_ctx, req, t->rcpts[i]);
	}
}

/* Unties t from its request. */
static void
untie(struct transaction *t)
{
	struct transaction *other = t->req->lane_data;

	if (other == t) {
		t->req->lane_data = t->sibling;
		return;
	}
	while (other != NULL && other->sibling != t)
		other = other->sibling;
	CHECK(other != NULL);
	other->sibling = t->sibling;
}

static void
free_untied(struct transaction *t)
{
	if (t->domain != NULL)
		domain_release(t->domain);
	transaction_free(&t);
}

void
lane_forget(struct transaction *t)
{
	untie(t);
	free_untied(t);
}

/* All of t is decided. */
void
lane_conclude(struct lane *lane, struct transaction *t)
{
	CHECK(transaction_undecided(t) == 0);
	untie(t);
	lane_hand_over(lane, t);
	free_untied(t);
}

static void
put_waiting(struct lane *lane, struct transaction *t, struct list *after)
{
	CHECK(t->state == TRANSACTION_WAITING && !list_is_linked(&t->link));
	t->carrier = NULL;
	list_insert_after(after, &t->link);
	t->route->waiting_count++;
	lane->waiting++;
	lane->moves++;
	if (t->domain != NULL)
		lane_on_parked(t);
}

static void
put_behind_older(struct lane *lane, struct transaction *t, struct list *after)
{
	struct list *queue = lane_queue_of(t);

	while (after->next != queue &&
	       list_entry(after->next, struct transaction, link)->number <
		   t->number)
		after = after->next;
	put_waiting(lane, t, after);
}

/* Back among those that wait, in the order in which they came: the first is
 * always the one to be served, and the one to expire, next. What is ahead of
 * its place came back as well, so there is little to walk past. */
void
lane_put_back(struct lane *lane, struct transaction *t)
{
	t->is_back = lane->has_back = true;
	put_behind_older(lane, t, lane_queue_of(t));
}

void
lane_put_in_order(
    struct lane *lane, struct transaction *t, struct transaction *hint)
{
	struct list *queue = lane_queue_of(t);
	bool is_near = hint != NULL && hint->number <= t->number &&
		       hint->route == t->route && lane_queue_of(hint) == queue;

	put_behind_older(lane, t, is_near ? &hint->link : queue);
}

void
lane_take_waiting(struct lane *lane, struct transaction *t)
{
	CHECK(t->state == TRANSACTION_WAITING && t->carrier == NULL);
	CHECK(t->route->waiting_count > 0 &&
	      lane->waiting >= t->route->waiting_count);
	list_remove(&t->link);
	t->route->waiting_count--;
	lane->waiting--;
	lane->moves++;
	if (t->parking != NULL)
		lane_on_unparked(lane, t);
}

static void
decide_waiting(struct lane *lane, struct transaction *t, enum outcome outcome,
    const struct dsn *dsn, const struct peer *peer, const char *diag_text)
{
	struct request *req = t->req;

	lane_take_waiting(lane, t);
	for (size_t i = 0; i < t->count; i++) {
		struct verdict *v;

		if (!transaction_is_open(t, i))
			continue;
		v = verdict_new(outcome);
		v->dsn = *dsn;
		if (peer != NULL)
			verdict_set_peer(v, peer);
		if (peer != NULL && diag_text != NULL) {
			v->diag_text = mem_strdup(diag_text);
			v->mta_name = mem_strdup(peer->host);
		}
		request_decide(req, t->rcpts[i], v);
	}
}

void
lane_defer_waiting(struct lane *lane, struct transaction *t,
    const struct dsn *dsn, const struct peer *peer, const char *diag_text,
    bool is_hop)
{
	decide_waiting(lane, t, OUTCOME_DEFER, dsn, peer, diag_text);
	if (is_hop)
		request_set_hop(t->req, dsn, peer != NULL ? peer->host : NULL);
	lane_conclude(lane, t);
}

void
lane_bounce_waiting(struct lane *lane, struct transaction *t,
    const struct dsn *dsn, const struct peer *peer, const char *diag_text)
{
	struct dsn final = *dsn;

	dsn_set_class(&final, '5');
	decide_waiting(lane, t, OUTCOME_BOUNCE, &final, peer, diag_text);
	lane_conclude(lane, t);
}

bool
lane_may_drop(const struct request *req)
{
	const struct transaction *t = req->lane_data;
	size_t count = 0;

	for (; t != NULL; t = t->sibling) {
		if (t->state != TRANSACTION_WAITING &&
		    t->state != TRANSACTION_ASSIGNED)
			return false;
		count += t->count;
	}
	/* Fewer: some are decided, or being reported. */
	return count == req->rcpt_count;
}

void
lane_put_behind(
    struct lane *lane, struct transaction *t, struct transaction *other)
{
	(void)lane_queue_of(t);
	put_waiting(lane, t, &other->link);
}

void
lane_put_last(struct lane *lane, struct transaction *t)
{
	put_waiting(lane, t, lane_queue_of(t)->prev);
}
