#include "agent/engine/tempo.h"

#include <math.h>

#include "common/base/log.h"

/* Of the newest: one part of so many. */
enum { DIALS_SMOOTHED = 4, MESSAGES_SMOOTHED = 16 };

static void
smooth(double *mean, bool *is_known, int64_t took_ms, int parts)
{
	double took = took_ms > 0 ? (double)took_ms : 0;

	*mean = *is_known ? *mean + (took - *mean) / parts : took;
	*is_known = true;
}

void
tempo_on_dial(struct tempo *t, int64_t took_ms)
{
	smooth(&t->dial_ms, &t->knows_dial, took_ms, DIALS_SMOOTHED);
}

void
tempo_on_message(struct tempo *t, int64_t took_ms)
{
	smooth(&t->message_ms, &t->knows_message, took_ms, MESSAGES_SMOOTHED);
}

double
tempo_coming(const struct tempo *t, int64_t now_ms)
{
	double since_ms = (double)(now_ms - t->came_ms);

	if (t->dial_ms <= 0)
		return 0;
	return t->came * exp(-since_ms / t->dial_ms);
}

void
tempo_on_coming(struct tempo *t, int64_t now_ms)
{
	t->came = tempo_coming(t, now_ms) + 1;
	t->came_ms = now_ms;
}

double
tempo_messages(const struct tempo *t, double span_ms)
{
	CHECK(t->knows_dial && t->knows_message);
	return t->message_ms > 0 ? span_ms / t->message_ms : INFINITY;
}
