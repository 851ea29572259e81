#include "tools/lane-sim/sim_meter.h"

#include "common/base/log.h"
#include "common/base/mem.h"

void
sim_meter_init(struct sim_meter *m, const char *text)
{
	char error[256];

	*m = (struct sim_meter){0};
	if (!rate_parse(slice_str(text), &m->rate, error, sizeof(error)))
		log_fatal("%s: %s", text, error);
}

void
sim_meter_fini(struct sim_meter *m)
{
	mem_free(m->ring);
	m->ring = NULL;
}

static void
remember(struct sim_meter *m, double units, int64_t now_us)
{
	if (m->count == m->room) {
		size_t room = m->room > 0 ? m->room * 2 : 256;
		struct sim_passed *ring = mem_zarray(room, sizeof(ring[0]));

		for (size_t i = 0; i < m->count; i++)
			ring[i] = m->ring[(m->first + i) % m->room];
		mem_free(m->ring);
		m->ring = ring;
		m->room = room;
		m->first = 0;
	}
	m->ring[(m->first + m->count++) % m->room] =
	    (struct sim_passed){now_us, units};
	m->inside += units;
}

static double
per_us(const struct sim_meter *m)
{
	return (double)m->rate.count_milli / 1000 / (double)m->rate.period_us;
}

void
sim_meter_count(struct sim_meter *m, double units, int64_t now_us)
{
	m->total += units;
	m->level -= (double)(now_us - m->last_us) * per_us(m);
	if (m->level < 0)
		m->level = 0;
	m->last_us = now_us;
	m->level += units;
	if (m->level > m->burst)
		m->burst = m->level;
	if (!m->rate.is_quota)
		return;
	while (m->count > 0 &&
	       m->ring[m->first].at_us <= now_us - m->rate.period_us) {
		m->inside -= m->ring[m->first].units;
		m->first = (m->first + 1) % m->room;
		m->count--;
	}
	remember(m, units, now_us);
	if (m->inside > m->most)
		m->most = m->inside;
}

bool
sim_meter_is_kept(const struct sim_meter *m, int64_t late_us)
{
	/* What binary fractions make of a rate is no message. */
	const double rounding = 1e-6;

	if (m->rate.is_quota)
		return m->most <= (double)m->rate.count_milli / 1000;
	return m->burst <=
	       (double)m->rate.burst + per_us(m) * (double)late_us + rounding;
}
