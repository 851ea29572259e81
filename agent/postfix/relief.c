#include "agent/postfix/relief.h"

#include "agent/engine/pacer.h"
#include "agent/postfix/activequeue.h"
#include "agent/postfix/outages.h"
#include "agent/postfix/requeue.h"
#include "agent/state/recall_store.h"
#include "common/base/clock.h"
#include "common/base/log.h"
#include "common/base/mem.h"

enum {
	CALL_BACK_SPEED = 2,
	/* In recall_store.h: waits for nothing but room. No list of hosts. */
	LIST_CROWD = 0,
	/* A flush(8) that does not answer keeps no process and its slots. */
	WAKE_LIMIT_MS = 3000,
};

struct relief {
	const struct settings *set;
	const struct lane *lane; /* NULL: the configuration is wrong */
	struct activequeue crowd;
	struct requeue *requeue; /* what was given back for it */
	struct outages *outages;
	struct recall_store *store; /* NULL: none */
	struct loop_timer *timer; /* activequeue_due_ms() */
	uint64_t asked_before; /* the last look */
	loop_fn *on_look;
	void *ctx;
	bool is_stopped;
	int64_t wake_until_ms;
};

static void
inherit(void *ctx, uint64_t list, const char *queue_id)
{
	struct relief *r = ctx;

	if (*r->set->flush_service_name == '\0')
		return;
	if (list == LIST_CROWD)
		requeue_add(r->requeue, queue_id);
	else
		outages_inherit(r->outages, list, queue_id);
}

static bool
is_owed(void *ctx, uint64_t id)
{
	return lane_owes(((struct relief *)ctx)->lane, id);
}

static uint64_t
asked(const struct relief *r)
{
	return requeue_called(r->requeue) + requeue_is_busy(r->requeue) +
	       outages_asked(r->outages);
}

/* Between two looks what was called back takes the room of what is to be. */
static size_t
room_left(const struct relief *r)
{
	size_t room = activequeue_room(&r->crowd);
	uint64_t now = asked(r), before = r->asked_before;
	uint64_t taken = now > before ? now - before : 0;

	return taken < room ? room - (size_t)taken : 0;
}

/* What was given back, and what an outage that is over deferred. */
static void
call_back(struct relief *r)
{
	size_t room = room_left(r), given = requeue_count(r->requeue);
	/* Somewhat faster than it is sent, or there would never be room. */
	double per_s = (double)CALL_BACK_SPEED * r->crowd.per_s;

	CHECK(!r->is_stopped);
	if (outages_due(r->outages) > 0 && given > room / 2)
		given = room - room / 2;
	given = given < room ? given : room;
	requeue_allow(r->requeue, given, per_s);
	outages_allow(r->outages, room - given, per_s);
	if (r->store != NULL && requeue_count(r->requeue) == 0 &&
	    !requeue_is_busy(r->requeue) && outages_count(r->outages) == 0 &&
	    !outages_is_busy(r->outages) && outages_due(r->outages) == 0)
		(void)recall_store_clear(r->store);
}

/* What a process that drains noted since. */
static void
read_store(struct relief *r)
{
	if (r->store != NULL)
		recall_store_each(r->store, inherit, r);
}

static void
look(void *ctx)
{
	struct relief *r = ctx;
	int64_t now_us = clock_mono_us();
	bool was_on = r->crowd.is_on;

	if (r->is_stopped) { /* nobody waits for flush(8) any more */
		r->wake_until_ms = 0;
		r->on_look(r->ctx);
		return;
	}
	activequeue_look(&r->crowd, lane_figures(r->lane)->messages,
	    lane_has_surplus(r->lane, now_us), now_us / US_PER_MS);
	r->asked_before = asked(r);
	read_store(r);
	(void)outages_settle(r->outages, is_owed, r);
	call_back(r);
	if (r->crowd.is_on != was_on || activequeue_gives_back(&r->crowd))
		r->on_look(r->ctx);
	relief_watch(r);
}

struct relief *
relief_new(
    struct loop *loop, const struct settings *set, loop_fn *on_look, void *ctx)
{
	struct relief *r = mem_zalloc(sizeof(*r));

	r->set = set;
	activequeue_init(&r->crowd, set, clock_mono_ms());
	r->requeue = requeue_new(loop, set);
	r->outages = outages_new(loop, set, pacer_weight(set->lane_priority));
	r->timer = loop_timer_new(loop, look, r);
	r->on_look = on_look;
	r->ctx = ctx;
	return r;
}

void
relief_free(struct relief **relief)
{
	struct relief *old = *relief;

	*relief = NULL;
	if (old == NULL)
		return;
	loop_timer_free(&old->timer);
	requeue_free(&old->requeue);
	outages_free(&old->outages);
	recall_store_close(&old->store);
	mem_free(old);
}

void
relief_keep(
    struct relief *r, const struct statefile_dir *dir, const char *lane_name)
{
	CHECK(r->lane == NULL && r->store == NULL);
	r->store = recall_store_open(dir, lane_name);
	outages_keep(r->outages, r->store);
	read_store(r);
}

static bool
on_outage(
    void *ctx, uint64_t id, const struct request *req, enum lane_owed_for why)
{
	struct relief *r = ctx;

	return why == LANE_OWED_DOUBT
		   ? outages_add_doubtful(r->outages, id, req->queue_id)
		   : outages_add(r->outages, id, req->queue_id);
}

static void
on_back(void *ctx, uint64_t id)
{
	struct relief *r = ctx;

	if (r->is_stopped)
		return;
	outages_over(r->outages, id);
	call_back(r);
	relief_watch(r);
}

static size_t
owed_before(void *ctx, uint64_t id)
{
	return outages_inherited(((struct relief *)ctx)->outages, id);
}

static void
on_released(void *ctx)
{
	struct relief *r = ctx;

	if (r->is_stopped || !outages_has_inherited(r->outages) ||
	    !outages_try_unless(r->outages, is_owed, r))
		return;
	call_back(r);
	relief_watch(r);
}

static const struct lane_outage_ops lane_handlers = {
    .on_outage = on_outage,
    .on_back = on_back,
    .owed_before = owed_before,
    .on_released = on_released,
};

void
relief_serve(struct relief *r, struct lane_ops *ops)
{
	ops->outages = &lane_handlers;
	ops->outages_ctx = r;
}

void
relief_set_lane(struct relief *r, const struct lane *lane)
{
	r->lane = lane;
}

void
relief_watch(struct relief *r)
{
	size_t mail = lane_waiting(r->lane) + lane_in_flight(r->lane) +
		      requeue_count(r->requeue) + outages_due(r->outages);

	if (!r->is_stopped && mail > 0)
		loop_timer_at(r->timer, activequeue_due_ms(&r->crowd));
}

bool
relief_gives_back(const struct relief *r)
{
	return activequeue_gives_back(&r->crowd);
}

static void
note(struct relief *r, const char *queue_id)
{
	requeue_add(r->requeue, queue_id);
	if (r->store != NULL)
		recall_store_add(r->store, LIST_CROWD, queue_id);
}

void
relief_on_given(struct relief *r, const char *queue_id)
{
	CHECK(relief_gives_back(r));
	activequeue_on_given(&r->crowd);
	note(r, queue_id);
}

void
relief_leave_to_next(struct relief *r, const char *queue_id)
{
	CHECK(r->is_stopped || r->lane == NULL);
	if (*r->set->flush_service_name != '\0')
		note(r, queue_id);
}

void
relief_stop(struct relief *r)
{
	r->is_stopped = true;
	loop_timer_cancel(r->timer);
	requeue_allow(r->requeue, 0, 0);
	outages_allow(r->outages, 0, 0);
}

void
relief_wake_next(struct relief *r)
{
	CHECK(r->is_stopped);
	if (*r->set->flush_service_name != '\0' && !outages_wake(r->outages))
		(void)requeue_wake(r->requeue);
	r->wake_until_ms = clock_mono_ms() + WAKE_LIMIT_MS;
	loop_timer_at(r->timer, r->wake_until_ms);
}

bool
relief_is_waking(const struct relief *r)
{
	return clock_mono_ms() < r->wake_until_ms &&
	       (outages_is_busy(r->outages) || requeue_is_busy(r->requeue));
}

struct relief_figures
relief_figures(const struct relief *r)
{
	return (struct relief_figures){
	    .active = r->crowd.count,
	    .is_crowded = r->crowd.is_on,
	    .given_back = requeue_count(r->requeue),
	    .called_back = requeue_called(r->requeue),
	    .outage_noted = outages_count(r->outages),
	};
}
