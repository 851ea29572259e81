#include "agent/engine/pipeline.h"

#include "common/base/clock.h"
#include "common/base/log.h"
#include "common/base/mem.h"

void
pipeline_init(struct pipeline *p)
{
	*p = (struct pipeline){0};
	list_init(&p->awaiting);
	list_init(&p->spare);
}

static void
free_all(struct list *head)
{
	struct list *link;

	while ((link = list_pop(head)) != NULL)
		mem_free(list_entry(link, struct pipelined, link));
}

void
pipeline_fini(struct pipeline *p)
{
	free_all(&p->awaiting);
	free_all(&p->spare);
	pipeline_init(p);
}

void
pipeline_push(struct pipeline *p, enum command_kind kind,
    struct transaction *owner, size_t rcpt, size_t n, int64_t now_us)
{
	struct list *link = list_pop(&p->spare);
	struct pipelined *c = link != NULL
				  ? list_entry(link, struct pipelined, link)
				  : mem_alloc(sizeof(*c));

	if (link != NULL)
		p->spare_count--;
	*c = (struct pipelined){.kind = kind, .owner = owner, .rcpt = rcpt};
	c->begin_off = p->rendered_off;
	p->rendered_off += n;
	c->end_off = p->rendered_off;
	if (p->count++ == 0)
		p->timer_from_us = now_us;
	CHECK(
	    p->written_off <= c->begin_off && p->answered_off <= c->begin_off);
	list_init(&c->link);
	list_push(&p->awaiting, &c->link);
}

void
pipeline_extend(struct pipeline *p, size_t n)
{
	struct pipelined *c;

	CHECK(p->count > 0);
	c = list_entry(p->awaiting.prev, struct pipelined, link);
	CHECK(c->end_off == p->rendered_off);
	p->rendered_off += n;
	c->end_off = p->rendered_off;
}

/* What was written puts the deadline off: to the whole time from now, or, as
 * smtp(8) with smtp_per_request_deadline, by what it may take at least, until
 * it is the reply that is waited for. */
static void
credit(struct pipeline *p, size_t n, bool is_last, int64_t now_us)
{
	int64_t later_us = now_us;

	if (p->min_per_s > 0 && !is_last)
		later_us =
		    p->timer_from_us + (int64_t)n * US_PER_S / p->min_per_s;
	p->timer_from_us = later_us < now_us ? later_us : now_us;
}

void
pipeline_written(struct pipeline *p, size_t n, int64_t now_us)
{
	struct pipelined *oldest = pipeline_oldest(p);

	CHECK(p->rendered_off - p->written_off >= n);
	/* While the oldest command is still on its way out, what is waited for
	 * is progress, not its reply. */
	if (oldest != NULL && !pipelined_is_written(p, oldest))
		credit(p, n, p->written_off + n >= oldest->end_off, now_us);
	p->written_off += n;
}

struct pipelined *
pipeline_oldest(const struct pipeline *p)
{
	if (list_is_empty(&p->awaiting))
		return NULL;
	return list_entry(p->awaiting.next, struct pipelined, link);
}

void
pipeline_answered(struct pipeline *p, int64_t now_us)
{
	struct pipelined *c = pipeline_oldest(p);

	CHECK(c != NULL && p->count > 0);
	CHECK(c->begin_off >= p->answered_off);
	list_remove(&c->link);
	p->count--;
	p->answered_off = c->end_off;
	p->timer_from_us = now_us;
	list_push(&p->spare, &c->link);
	p->spare_count++;
}
