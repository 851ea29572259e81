#include "agent/postfix/outages.h"

#include <stdio.h>
#include <string.h>

#include "agent/postfix/requeue.h"
#include "agent/state/recall_store.h"
#include "common/base/list.h"
#include "common/base/log.h"
#include "common/base/mem.h"

enum {
	/* Calls a second, and more for each point of lane_priority: an urgent
	 * lane's mail is in before a bulk lane's heap. */
	PER_S_LEAST = 100,
	PER_S_WEIGHT = 20,
	DOUBTS_STEP = 1000, /* divides OUTAGES_DOUBTS_MAX */
};

enum outage_state {
	OUTAGE_WAITS,
	OUTAGE_TRIED, /* by one message */
	OUTAGE_OVER,
};

struct outage {
	struct list link;
	uint64_t list;
	struct requeue *ids;
	enum outage_state state;
	bool is_inherited; /* some of it at least */
	uint64_t called_before; /* TRIED */
};

struct doubt {
	char id[REQUEUE_ID_SIZE];
};

struct outages {
	struct loop *loop;
	const struct settings *set;
	struct recall_store *store; /* NULL: none */
	struct list all; /* the oldest first */
	size_t count;
	double per_s;
	uint64_t asked; /* of lists that are forgotten */
	struct doubt *doubts; /* a ring once it is full */
	size_t doubt_count, doubt_room, doubt_oldest;
};

struct outages *
outages_new(struct loop *loop, const struct settings *set, int weight)
{
	struct outages *o = mem_zalloc(sizeof(*o));

	o->loop = loop;
	o->set = set;
	o->per_s = PER_S_LEAST + PER_S_WEIGHT * weight;
	list_init(&o->all);
	return o;
}

static struct outage *
outage_of(struct list *link)
{
	return list_entry(link, struct outage, link);
}

static uint64_t
asked_of(const struct outage *one)
{
	return requeue_called(one->ids) + requeue_is_busy(one->ids);
}

static void
forget(struct outages *o, struct outage *one)
{
	CHECK(o->count > 0);
	o->asked += asked_of(one);
	list_remove(&one->link);
	requeue_free(&one->ids);
	mem_free(one);
	o->count--;
}

void
outages_free(struct outages **outages)
{
	struct outages *old = *outages;

	*outages = NULL;
	if (old == NULL)
		return;
	list_each_safe (link, &old->all)
		forget(old, outage_of(link));
	mem_free(old->doubts);
	mem_free(old);
}

static struct outage *
find(const struct outages *o, uint64_t list)
{
	list_each (link, &o->all)
		if (outage_of(link)->list == list)
			return outage_of(link);
	return NULL;
}

static struct outage *
find_or_make(struct outages *o, uint64_t list)
{
	struct outage *one = find(o, list);

	if (one != NULL)
		return one;
	if (o->count == OUTAGES_MAX)
		forget(o, outage_of(o->all.next));
	one = mem_zalloc(sizeof(*one));
	one->list = list;
	one->ids = requeue_new(o->loop, o->set);
	list_init(&one->link);
	list_push(&o->all, &one->link);
	o->count++;
	return one;
}

void
outages_keep(struct outages *outages, struct recall_store *store)
{
	CHECK(outages->store == NULL && outages->count == 0);
	outages->store = store;
}

void
outages_inherit(struct outages *outages, uint64_t list, const char *queue_id)
{
	struct outage *one = find_or_make(outages, list);

	one->is_inherited = true;
	requeue_add(one->ids, queue_id);
}

size_t
outages_inherited(const struct outages *outages, uint64_t list)
{
	const struct outage *one = find(outages, list);

	return one != NULL && one->is_inherited && one->state != OUTAGE_OVER
		   ? requeue_count(one->ids)
		   : 0;
}

bool
outages_has_inherited(const struct outages *outages)
{
	list_each (link, &outages->all)
		if (outage_of(link)->is_inherited &&
		    outage_of(link)->state == OUTAGE_WAITS)
			return true;
	return false;
}

static void
wait_on(struct outage *one)
{
	one->state = OUTAGE_WAITS;
	requeue_allow(one->ids, 0, 0);
}

static bool
add(struct outages *o, uint64_t list, const char *queue_id)
{
	struct outage *one;

	if (*o->set->flush_service_name == '\0')
		return false;
	one = find_or_make(o, list);
	/* Down again, before all were called. */
	if (one->state != OUTAGE_WAITS)
		wait_on(one);
	requeue_add(one->ids, queue_id);
	return true;
}

bool
outages_add(struct outages *outages, uint64_t list, const char *queue_id)
{
	if (!add(outages, list, queue_id))
		return false;
	if (outages->store != NULL)
		recall_store_add(outages->store, list, queue_id);
	return true;
}

static bool
was_in_doubt(const struct outages *o, const char *id)
{
	for (size_t i = 0; i < o->doubt_count; i++)
		if (strcmp(o->doubts[i].id, id) == 0)
			return true;
	return false;
}

static void
remember_doubt(struct outages *o, const char *id)
{
	struct doubt *d;

	if (o->doubt_count == o->doubt_room &&
	    o->doubt_room < OUTAGES_DOUBTS_MAX) {
		o->doubt_room += DOUBTS_STEP;
		o->doubts = mem_realloc(
		    o->doubts, o->doubt_room * sizeof(o->doubts[0]));
	}
	if (o->doubt_count < o->doubt_room) {
		d = &o->doubts[o->doubt_count++];
	} else {
		d = &o->doubts[o->doubt_oldest];
		o->doubt_oldest = (o->doubt_oldest + 1) % o->doubt_count;
	}
	(void)snprintf(d->id, sizeof(d->id), "%s", id);
}

bool
outages_add_doubtful(
    struct outages *outages, uint64_t list, const char *queue_id)
{
	if (strlen(queue_id) >= REQUEUE_ID_SIZE ||
	    was_in_doubt(outages, queue_id))
		return false;
	remember_doubt(outages, queue_id);
	return add(outages, list, queue_id);
}

static void
end(struct outage *one)
{
	if (one->state == OUTAGE_OVER)
		return;
	one->state = OUTAGE_OVER;
	if (requeue_count(one->ids) > 0)
		log_info("calling back %zu messages that were deferred "
			 "meanwhile",
		    requeue_count(one->ids));
}

void
outages_over(struct outages *outages, uint64_t list)
{
	struct outage *one = find(outages, list);

	if (one != NULL)
		end(one);
}

bool
outages_try_unless(struct outages *outages, outages_owed_fn *is_owed, void *ctx)
{
	bool is_any = false;

	list_each (link, &outages->all) {
		struct outage *one = outage_of(link);

		if (!one->is_inherited || one->state != OUTAGE_WAITS ||
		    is_owed(ctx, one->list))
			continue;
		one->state = OUTAGE_TRIED;
		one->called_before = requeue_called(one->ids);
		is_any = true;
	}
	return is_any;
}

static bool
is_called(const struct outage *one)
{
	return requeue_called(one->ids) > one->called_before;
}

/* Whatever becomes of the message, its lane saw it before the queue manager
 * has it in another queue. */
static bool
has_ended(const struct outage *one)
{
	if (requeue_is_busy(one->ids))
		return false;
	return is_called(one) ? !requeue_is_under_way(one->ids)
			      : requeue_count(one->ids) == 0;
}

bool
outages_settle(struct outages *outages, outages_owed_fn *is_owed, void *ctx)
{
	bool is_any = false;

	list_each (link, &outages->all) {
		struct outage *one = outage_of(link);

		if (one->state != OUTAGE_TRIED)
			continue;
		if (is_owed(ctx, one->list)) {
			wait_on(one);
		} else if (has_ended(one)) {
			end(one);
			is_any = true;
		}
	}
	return is_any;
}

static size_t
wants(const struct outage *one)
{
	if (one->state == OUTAGE_OVER)
		return requeue_count(one->ids);
	return one->state == OUTAGE_TRIED && !is_called(one) &&
	       !requeue_is_busy(one->ids) && requeue_count(one->ids) > 0;
}

static void
forget_what_is_done(struct outages *o)
{
	list_each_safe (link, &o->all) {
		struct outage *one = outage_of(link);

		if (one->state == OUTAGE_OVER && requeue_count(one->ids) == 0 &&
		    !requeue_is_busy(one->ids) &&
		    (o->store == NULL ||
			recall_store_done(o->store, one->list)))
			forget(o, one);
	}
}

/* At once only as many lists as can be slow enough together; of the others one
 * has its turn whenever one of these is done. */
void
outages_allow(struct outages *outages, size_t room, double per_s)
{
	double pace = per_s > outages->per_s ? per_s : outages->per_s;
	size_t most = (size_t)(pace / REQUEUE_PER_S_MIN), lists = 0, left;

	forget_what_is_done(outages);
	list_each (link, &outages->all)
		lists += wants(outage_of(link)) > 0;
	lists = lists < most ? lists : most;
	left = lists;
	list_each (link, &outages->all) {
		struct outage *one = outage_of(link);
		size_t want = wants(one), share;

		if (want == 0 || left == 0) {
			requeue_allow(one->ids, 0, 0);
			continue;
		}
		share = (room + left - 1) / left;
		share = want < share ? want : share;
		requeue_allow(one->ids, share, pace / (double)lists);
		room -= share;
		left--;
	}
}

bool
outages_wake(struct outages *outages)
{
	list_each (link, &outages->all)
		if (requeue_wake(outage_of(link)->ids))
			return true;
	return false;
}

bool
outages_is_busy(const struct outages *outages)
{
	list_each (link, &outages->all)
		if (requeue_is_busy(outage_of(link)->ids))
			return true;
	return false;
}

size_t
outages_count(const struct outages *outages)
{
	size_t n = 0;

	list_each (link, &outages->all)
		n += requeue_count(outage_of(link)->ids);
	return n;
}

size_t
outages_due(const struct outages *outages)
{
	size_t n = 0;

	list_each (link, &outages->all) {
		const struct outage *one = outage_of(link);

		if (one->state == OUTAGE_OVER)
			n += requeue_count(one->ids);
		else if (one->state == OUTAGE_TRIED)
			n++;
	}
	return n;
}

uint64_t
outages_asked(const struct outages *outages)
{
	uint64_t n = outages->asked;

	list_each (link, &outages->all)
		n += asked_of(outage_of(link));
	return n;
}
