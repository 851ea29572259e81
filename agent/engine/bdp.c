#include "agent/engine/bdp.h"

#include <math.h>

#include "common/base/clock.h"
#include "common/base/log.h"

static double
least(const struct bdp_least *l)
{
	return fmin(l->now, l->before);
}

static void
lower(struct bdp_least *l, double value)
{
	if (value < l->now)
		l->now = value;
}

/* What may be more than all before, too. */
static void
learn(struct bdp_least *l, double value, int64_t now_us)
{
	if (!l->is_known) {
		*l = (struct bdp_least){true, value, value, now_us};
	} else if (now_us - l->since_us >= BDP_MEMORY_US) {
		l->before = l->now;
		l->now = value;
		l->since_us = now_us;
	} else {
		lower(l, value);
	}
}

void
bdp_on_dial(struct bdp *b, int64_t rtt_us, int64_t now_us)
{
	CHECK(rtt_us >= 0 && now_us > 0);
	if (rtt_us > 0)
		learn(&b->rtt, (double)rtt_us, now_us);
}

static void
end_round(struct bdp *b, struct bdp_meter *m, int64_t now_us)
{
	learn(&b->work, m->worked_us / m->count, now_us);
	m->round_us = m->answered_us;
	m->count = 0;
	m->worked_us = 0;
}

static void
see_round_trip(struct bdp *b, int64_t took_us, int64_t now_us)
{
	if (b->rtt.is_known)
		lower(&b->rtt, (double)took_us);
	else
		learn(&b->rtt, (double)took_us, now_us);
}

/* One that can have been there at that time. */
static void
add(struct bdp_meter *m, double there_us, int64_t sent_us, int64_t now_us)
{
	double from_us = fmax(there_us, (double)m->answered_us);

	if (m->count++ == 0 && m->round_us < sent_us)
		m->round_us = sent_us;
	m->worked_us += fmax(0, (double)now_us - from_us);
}

/* Between two reads: what one read brings belongs together. */
static bool
is_round_over(const struct bdp *b, const struct bdp_meter *m, int64_t now_us)
{
	return m->count >= BDP_ROUND && now_us > m->answered_us &&
	       (double)(m->answered_us - m->round_us) >= least(&b->rtt);
}

void
bdp_on_answer(struct bdp *b, struct bdp_meter *m, int64_t sent_us, bool is_last,
    bool is_alone, int64_t now_us)
{
	CHECK(sent_us > 0 && now_us > 0);
	see_round_trip(b, now_us > sent_us ? now_us - sent_us : 0, now_us);
	if (is_round_over(b, m, now_us))
		end_round(b, m, now_us);
	if (!is_alone)
		add(m, (double)sent_us + least(&b->rtt), sent_us, now_us);
	m->answered_us = now_us;
	if (is_last && m->count >= BDP_ROUND)
		end_round(b, m, now_us);
}

double
bdp_work_us(const struct bdp *b)
{
	return b->work.is_known ? least(&b->work) : INFINITY;
}

int
bdp_messages(const struct bdp *b, double per_s)
{
	double work_us = b->work.is_known ? least(&b->work) : 0;
	double rtt_us = least(&b->rtt), most;

	CHECK(per_s >= 0);
	if (!b->rtt.is_known)
		return INT32_MAX;
	work_us = fmax(work_us, BDP_WORK_LEAST_US);
	most = fmin(rtt_us / work_us, rtt_us * per_s / US_PER_S);
	return (int)fmin(ceil(most) + BDP_SPARE, INT32_MAX);
}
