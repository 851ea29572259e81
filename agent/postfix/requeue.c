#include "agent/postfix/requeue.h"

#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "agent/postfix/ipc.h"
#include "common/base/log.h"
#include "common/base/mem.h"
#include "common/postfix/attr.h"
#include "common/postfix/queueid.h"

enum {
	ROOM_FIRST = 1024, /* entries; doubled when they are full */
	PASSED_OVER_MAX = 256, /* in one turn */
	REQUEST_BYTES_MAX = 1024,
	PATH_BYTES_MAX = 1024,
};

struct entry {
	int64_t added_ms;
	char id[REQUEUE_ID_SIZE];
};

struct requeue {
	struct loop *loop;
	const struct settings *set;
	struct loop_timer *timer;
	struct ipc *ipc; /* the question under way */
	struct entry *ring; /* oldest at `first` */
	size_t room, first, count;
	size_t allowed;
	double per_s;
	int64_t not_before_ms;
	uint64_t called;
	char last[REQUEUE_ID_SIZE]; /* that was asked for; "": none */
};

static void run(void *ctx);

struct requeue *
requeue_new(struct loop *loop, const struct settings *set)
{
	struct requeue *r = mem_zalloc(sizeof(*r));

	r->loop = loop;
	r->set = set;
	r->timer = loop_timer_new(loop, run, r);
	return r;
}

void
requeue_free(struct requeue **recall)
{
	struct requeue *old = *recall;

	*recall = NULL;
	if (old == NULL)
		return;
	ipc_cancel(&old->ipc);
	loop_timer_free(&old->timer);
	mem_free(old->ring);
	mem_free(old);
}

static void
drop_oldest(struct requeue *r)
{
	CHECK(r->count > 0 && r->count <= r->room);
	r->first = (r->first + 1) % r->room;
	r->count--;
}

static void
grow(struct requeue *r)
{
	size_t room = r->room > 0 ? r->room * 2 : ROOM_FIRST;
	struct entry *ring;

	if (room > REQUEUE_MAX)
		room = REQUEUE_MAX;
	CHECK(room > r->count);
	ring = mem_zarray(room, sizeof(*ring));
	for (size_t i = 0; i < r->count; i++)
		ring[i] = r->ring[(r->first + i) % r->room];
	mem_free(r->ring);
	r->ring = ring;
	r->room = room;
	r->first = 0;
}

void
requeue_add(struct requeue *recall, const char *queue_id)
{
	size_t n = strlen(queue_id);
	struct entry *e;

	if (n >= REQUEUE_ID_SIZE)
		return;
	if (recall->count == recall->room && recall->room < REQUEUE_MAX)
		grow(recall);
	if (recall->count == recall->room)
		drop_oldest(recall);
	e = &recall->ring[(recall->first + recall->count++) % recall->room];
	e->added_ms = loop_now_ms(recall->loop);
	memcpy(e->id, queue_id, n + 1);
}

static bool
is_in_queue(const struct requeue *r, const char *queue, const char *id)
{
	struct buf path;
	struct stat st;
	bool is;

	buf_init(&path, PATH_BYTES_MAX);
	is = queueid_path(&path, queue, id, r->set->hash_queue_names,
		 r->set->hash_queue_depth) &&
	     lstat(buf_str(&path), &st) == 0;
	buf_fini(&path);
	return is;
}

static bool
is_deferred(const struct requeue *r, const char *id)
{
	return is_in_queue(r, "deferred", id);
}

static void
rest(struct requeue *r, int64_t ms)
{
	r->not_before_ms = loop_now_ms(r->loop) + ms;
	loop_timer_at(r->timer, r->not_before_ms);
}

static void
on_answer(void *ctx, bool is_answered, int32_t status)
{
	struct requeue *r = ctx;

	CHECK(r->ipc != NULL && r->per_s > 0);
	r->ipc = NULL;
	if (is_answered && status == 0) {
		r->called++;
		rest(r, (int64_t)(1000 / r->per_s));
	} else {
		log_warn("service %s does not answer: mail that was given back "
			 "waits for its next regular attempt",
		    r->set->flush_service_name);
		rest(r, REQUEUE_REST_MS);
	}
}

static void
ask(struct requeue *r, const char *id)
{
	char path[PATH_BYTES_MAX];
	struct buf request;

	CHECK(r->ipc == NULL);
	(void)snprintf(r->last, sizeof(r->last), "%s", id);
	(void)snprintf(
	    path, sizeof(path), "public/%s", r->set->flush_service_name);
	buf_init(&request, REQUEST_BYTES_MAX);
	attr_put_str(&request, "request", slice_str("send_file"));
	attr_put_str(&request, "queue_id", slice_str(id));
	attr_put_end(&request);
	r->ipc = ipc_ask(r->loop, r->set, path, "queue_flush_protocol",
	    &request, on_answer, r);
}

static void
run(void *ctx)
{
	struct requeue *r = ctx;
	int64_t now_ms = loop_now_ms(r->loop);

	if (r->ipc != NULL || r->allowed == 0)
		return;
	if (now_ms < r->not_before_ms) {
		loop_timer_at(r->timer, r->not_before_ms);
		return;
	}
	for (int i = 0; i < PASSED_OVER_MAX && r->count > 0; i++) {
		struct entry e = r->ring[r->first];
		bool is_there = is_deferred(r, e.id);

		if (!is_there && now_ms - e.added_ms < REQUEUE_YOUNG_MS) {
			loop_timer_at(r->timer, now_ms + REQUEUE_LOOK_MS);
			return;
		}
		drop_oldest(r);
		if (is_there) {
			r->allowed--;
			ask(r, e.id);
			return;
		}
	}
	if (r->count > 0)
		loop_timer_at(r->timer, now_ms);
}

bool
requeue_wake(struct requeue *recall)
{
	size_t i, n = recall->count;

	if (n > PASSED_OVER_MAX)
		n = PASSED_OVER_MAX;
	if (recall->ipc != NULL)
		return true;
	if (recall->per_s == 0)
		recall->per_s = REQUEUE_PER_S_MIN;
	for (i = 0; i < n; i++) {
		const struct entry *e =
		    &recall->ring[(recall->first + i) % recall->room];

		if (!is_deferred(recall, e->id))
			continue;
		ask(recall, e->id);
		return true;
	}
	return false;
}

void
requeue_allow(struct requeue *recall, size_t count, double per_s)
{
	CHECK(per_s >= 0);
	recall->allowed = count;
	recall->per_s = per_s > REQUEUE_PER_S_MIN ? per_s : REQUEUE_PER_S_MIN;
	if (count > 0 && recall->count > 0 && recall->ipc == NULL)
		loop_timer_at(recall->timer, recall->not_before_ms);
}

/* In the order in which it goes through them. */
bool
requeue_is_under_way(const struct requeue *requeue)
{
	return requeue->ipc != NULL ||
	       (requeue->last[0] != '\0' &&
		   (is_in_queue(requeue, "incoming", requeue->last) ||
		       is_in_queue(requeue, "active", requeue->last)));
}

bool
requeue_is_busy(const struct requeue *requeue)
{
	return requeue->ipc != NULL;
}

size_t
requeue_count(const struct requeue *recall)
{
	return recall->count;
}

uint64_t
requeue_called(const struct requeue *recall)
{
	return recall->called;
}
