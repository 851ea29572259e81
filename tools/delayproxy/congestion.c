#include "tools/delayproxy/congestion.h"

#include <math.h>

#include "common/base/log.h"
#include "common/base/mem.h"

enum { DUPLICATES = 3 };

struct segment {
	struct list link;
	size_t n;
	int64_t acked_us;
};

void
congestion_init(
    struct congestion *c, const struct congestion_config *config, uint64_t seed)
{
	CHECK(config->rtt_us >= 0);
	CHECK(config->loss >= 0 && config->loss <= 1);
	*c = (struct congestion){
	    .config = *config,
	    .random = seed | 1,
	    .window = (double)config->initial,
	    .threshold = HUGE_VAL,
	};
	list_init(&c->unacked);
}

void
congestion_fini(struct congestion *c)
{
	struct list *link;

	while ((link = list_pop(&c->unacked)) != NULL)
		mem_free(list_entry(link, struct segment, link));
}

static int64_t
rto_us(const struct congestion *c)
{
	return c->config.rtt_us + CONGESTION_RTO_LEAST_US;
}

/* xorshift64: enough for chance. */
static bool
is_lost(struct congestion *c)
{
	c->random ^= c->random << 13;
	c->random ^= c->random >> 7;
	c->random ^= c->random << 17;
	return (double)(c->random >> 11) < c->config.loss * 0x1p53;
}

static void
grow(struct congestion *c, size_t n)
{
	size_t most =
	    c->most_out > c->most_before ? c->most_out : c->most_before;

	if (c->window < c->threshold) {
		if (c->window < 2.0 * (double)most)
			c->window += (double)n;
	} else if ((double)most + CONGESTION_SEGMENT > c->window) {
		c->window += (double)n * CONGESTION_SEGMENT / c->window;
	}
}

static void
take_ack(struct congestion *c, struct segment *s)
{
	CHECK(c->out >= s->n);
	grow(c, s->n);
	c->out -= s->n;
	c->acked += s->n;
	if (c->acked >= c->round_end) {
		c->round_end = c->sent;
		c->most_before = c->most_out;
		c->most_out = c->out;
	}
	list_remove(&s->link);
	mem_free(s);
}

static struct segment *
oldest(struct congestion *c)
{
	struct list *link = list_first(&c->unacked);

	return link != NULL ? list_entry(link, struct segment, link) : NULL;
}

static void
restart_if_idle(struct congestion *c, int64_t now_us)
{
	int64_t idle_us = now_us - c->left_us;

	if (c->config.keeps_idle || c->sent == 0 || c->out > 0)
		return;
	for (; idle_us >= rto_us(c); idle_us -= rto_us(c)) {
		if (c->window <= (double)c->config.initial)
			return;
		c->window /= 2;
		if (c->window < (double)c->config.initial)
			c->window = (double)c->config.initial;
	}
}

/* When there is room for n octets more. */
static int64_t
await_room(struct congestion *c, size_t n, int64_t at_us)
{
	struct segment *s;

	while ((s = oldest(c)) != NULL && s->acked_us <= at_us)
		take_ack(c, s);
	restart_if_idle(c, at_us);
	while (c->config.initial > 0 && c->out > 0 &&
	       (double)(c->out + n) > c->window) {
		s = oldest(c);
		CHECK(s != NULL);
		at_us = s->acked_us;
		take_ack(c, s);
	}
	return at_us;
}

/* How much later a lost segment arrives. */
static int64_t
lose(struct congestion *c, size_t behind)
{
	bool is_told = behind >= (size_t)DUPLICATES * CONGESTION_SEGMENT;

	if (c->acked >= c->recover_end) {
		c->recover_end = c->sent;
		c->threshold = c->window / 2;
		if (c->threshold < 2.0 * CONGESTION_SEGMENT)
			c->threshold = 2.0 * CONGESTION_SEGMENT;
		c->window = c->threshold;
	}
	return is_told ? c->config.rtt_us : rto_us(c);
}

int64_t
congestion_send(struct congestion *c, size_t n, size_t behind, double line_us,
    int64_t now_us)
{
	struct segment *s = mem_alloc(sizeof(*s));
	int64_t from_us = now_us > c->left_us ? now_us : c->left_us;
	int64_t arrives_us;

	CHECK(n > 0 && n <= CONGESTION_SEGMENT && line_us >= 0 && now_us > 0);
	c->left_us = await_room(c, n, from_us) + (int64_t)line_us;
	c->sent += n;
	c->out += n;
	if (c->out > c->most_out)
		c->most_out = c->out;
	arrives_us = c->left_us + c->config.rtt_us / 2;
	if (is_lost(c))
		arrives_us += lose(c, behind);
	if (c->arrives_us < arrives_us)
		c->arrives_us = arrives_us;
	*s = (struct segment){
	    .n = n, .acked_us = c->arrives_us + c->config.rtt_us / 2};
	list_init(&s->link);
	list_push(&c->unacked, &s->link);
	return c->arrives_us;
}
