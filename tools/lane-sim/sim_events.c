#include "tools/lane-sim/sim_events.h"

#include "common/base/mem.h"

enum { OCTETS_MAX = 64 << 20 };

static bool
is_before(const struct sim_event *a, const struct sim_event *b)
{
	return a->at_ms != b->at_ms ? a->at_ms < b->at_ms : a->order < b->order;
}

static void
swap(struct sim_events *q, size_t i, size_t j)
{
	struct sim_event *e = q->heap[i];

	q->heap[i] = q->heap[j];
	q->heap[j] = e;
}

struct sim_event *
sim_events_put(struct sim_events *q, int64_t at_ms, enum sim_event_kind kind,
    struct sim_conn *conn)
{
	struct sim_event *e = q->spare;
	size_t i = q->count;

	if (e != NULL) {
		q->spare = e->next;
	} else {
		e = mem_zalloc(sizeof(*e));
		buf_init(&e->octets, OCTETS_MAX);
	}
	if (q->count == q->room) {
		q->room = q->room > 0 ? q->room * 2 : 256;
		q->heap = mem_realloc(q->heap, q->room * sizeof(q->heap[0]));
	}
	e->at_ms = at_ms;
	e->order = q->order++;
	e->kind = kind;
	e->conn = conn;
	q->heap[q->count++] = e;
	for (; i > 0 && is_before(q->heap[i], q->heap[(i - 1) / 2]);
	     i = (i - 1) / 2)
		swap(q, i, (i - 1) / 2);
	return e;
}

int64_t
sim_events_next_ms(const struct sim_events *q)
{
	return q->count > 0 ? q->heap[0]->at_ms : INT64_MAX;
}

struct sim_event *
sim_events_take(struct sim_events *q)
{
	struct sim_event *first = q->heap[0];
	size_t i = 0;

	q->heap[0] = q->heap[--q->count];
	for (;;) {
		size_t least = i;

		for (size_t c = 2 * i + 1; c <= 2 * i + 2; c++)
			if (c < q->count &&
			    is_before(q->heap[c], q->heap[least]))
				least = c;
		if (least == i)
			return first;
		swap(q, i, least);
		i = least;
	}
}

void
sim_events_give_back(struct sim_events *q, struct sim_event *e)
{
	buf_reset(&e->octets);
	e->next = q->spare;
	q->spare = e;
}

static void
free_event(struct sim_event *e)
{
	buf_fini(&e->octets);
	mem_free(e);
}

void
sim_events_fini(struct sim_events *q)
{
	while (q->count > 0)
		free_event(q->heap[--q->count]);
	while (q->spare != NULL) {
		struct sim_event *next = q->spare->next;

		free_event(q->spare);
		q->spare = next;
	}
	mem_free(q->heap);
}
