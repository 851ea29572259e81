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

struct outage {
	struct list link;
	uint64_t list;
	struct requeue *ids;
	bool is_over;
	bool is_inherited; /* some of it at least */
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

static void
forget(struct outages *o, struct outage *one)
{
	CHECK(o->count > 0);
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

static void
inherit(void *ctx, uint64_t list, const char *queue_id)
{
	struct outage *one;

	if (list == 0)
		return;
	one = find_or_make(ctx, list);
	one->is_inherited = true;
	requeue_add(one->ids, queue_id);
}

void
outages_keep(struct outages *outages, struct recall_store *store)
{
	CHECK(outages->store == NULL && outages->count == 0);
	outages->store = store;
	if (*outages->set->flush_service_name != '\0')
		recall_store_each(store, inherit, outages);
}

size_t
outages_inherited(const struct outages *outages, uint64_t list)
{
	const struct outage *one = find(outages, list);

	return one != NULL && one->is_inherited && !one->is_over
		   ? requeue_count(one->ids)
		   : 0;
}

bool
outages_has_inherited(const struct outages *outages)
{
	list_each (link, &outages->all)
		if (outage_of(link)->is_inherited && !outage_of(link)->is_over)
			return true;
	return false;
}

bool
outages_add(struct outages *outages, uint64_t list, const char *queue_id)
{
	struct outage *one;

	if (*outages->set->flush_service_name == '\0')
		return false;
	one = find_or_make(outages, list);
	if (outages->store != NULL)
		recall_store_add(outages->store, list, queue_id);
	/* Down again, before all were called. */
	if (one->is_over)
		requeue_allow(one->ids, 0, 0);
	one->is_over = false;
	requeue_add(one->ids, queue_id);
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
	return outages_add(outages, list, queue_id);
}

static void
end(struct outage *one)
{
	if (one->is_over)
		return;
	one->is_over = true;
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

void
outages_over_unless(struct outages *outages,
    bool (*is_owed)(void *ctx, uint64_t list), void *ctx)
{
	list_each (link, &outages->all) {
		struct outage *one = outage_of(link);

		if (one->is_inherited && !is_owed(ctx, one->list))
			end(one);
	}
}

void
outages_allow(struct outages *outages, size_t room, double per_s)
{
	list_each_safe (link, &outages->all) {
		struct outage *one = outage_of(link);

		if (!one->is_over)
			continue;
		if (requeue_count(one->ids) == 0 &&
		    !requeue_is_busy(one->ids)) {
			if (outages->store != NULL)
				recall_store_done(outages->store, one->list);
			forget(outages, one);
		} else {
			requeue_allow(one->ids, room,
			    per_s > outages->per_s ? per_s : outages->per_s);
		}
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

	list_each (link, &outages->all)
		if (outage_of(link)->is_over)
			n += requeue_count(outage_of(link)->ids);
	return n;
}
