#include "agent/io/logqueue.h"

#include <string.h>

#include "common/base/log.h"
#include "common/base/mem.h"

enum { LOST_LINE_MAX = 512 };

struct line {
	struct list link;
	size_t n;
	char text[];
};

static struct line *
line_of(struct list *link)
{
	return list_entry(link, struct line, link);
}

static size_t
weight(size_t n)
{
	return sizeof(struct line) + n;
}

void
logqueue_init(struct logqueue *q, logqueue_lost_fn *tell)
{
	CHECK(tell != NULL);
	*q = (struct logqueue){.tell = tell};
	list_init(&q->lines);
}

void
logqueue_fini(struct logqueue *q)
{
	while (!list_is_empty(&q->lines))
		logqueue_pop(q);
	q->lost = 0;
}

static void
append(struct logqueue *q, const char *text, size_t n)
{
	struct line *line = mem_alloc(weight(n));

	line->n = n;
	memcpy(line->text, text, n);
	list_init(&line->link);
	list_push(&q->lines, &line->link);
	q->bytes += weight(n);
}

static void
append_lost(struct logqueue *q)
{
	char text[LOST_LINE_MAX];
	size_t n = q->tell(text, sizeof(text), q->lost);

	CHECK(q->lost > 0);
	q->lost = 0;
	append(q, text, n);
}

void
logqueue_put(struct logqueue *q, struct slice line, size_t most)
{
	size_t need = weight(line.n);

	if (q->lost > 0)
		need += weight(LOST_LINE_MAX);
	if (need > most || q->bytes > most - need) {
		q->lost++;
		q->lost_total++;
		return;
	}
	if (q->lost > 0)
		append_lost(q);
	append(q, line.p, line.n);
}

bool
logqueue_first(struct logqueue *q, struct slice *out)
{
	struct line *line;

	if (list_is_empty(&q->lines) && q->lost > 0)
		append_lost(q);
	if (list_is_empty(&q->lines))
		return false;
	line = line_of(list_first(&q->lines));
	*out = (struct slice){line->text, line->n};
	return true;
}

void
logqueue_pop(struct logqueue *q)
{
	struct list *link = list_pop(&q->lines);

	if (link == NULL)
		return;
	CHECK(q->bytes >= weight(line_of(link)->n));
	q->bytes -= weight(line_of(link)->n);
	mem_free(line_of(link));
}

bool
logqueue_is_empty(const struct logqueue *q)
{
	return list_is_empty(&q->lines) && q->lost == 0;
}
