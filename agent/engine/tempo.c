#include "agent/engine/tempo.h"

#include <math.h>

#include "common/base/log.h"

/* Of the newest: one part of so many; of intervals their mean until there are
 * as many. */
enum { DIALS_SMOOTHED = 4, MESSAGES_SMOOTHED = 16, COMING_SMOOTHED = 8 };

/* What comes later than that after the one before is the first of others. */
enum { TOGETHER_US = 1000000 };
/* Intervals of what comes by chance: of true ones one in three thousand is
 * longer. Those that were measured are few, and may all have been short. */
enum { PATIENT_TIMES = 8 };

static void
smooth(double *mean, bool *is_known, int64_t took_us, int parts)
{
	double took = took_us > 0 ? (double)took_us : 0;

	*mean = *is_known ? *mean + (took - *mean) / parts : took;
	*is_known = true;
}

void
tempo_on_dial(struct tempo *t, int64_t took_us)
{
	smooth(&t->dial_us, &t->knows_dial, took_us, DIALS_SMOOTHED);
}

void
tempo_on_message(struct tempo *t, int64_t took_us)
{
	smooth(&t->message_us, &t->knows_message, took_us, MESSAGES_SMOOTHED);
}

double
tempo_coming(const struct tempo *t, int64_t now_us)
{
	double since_us = (double)(now_us - t->came_us);

	if (t->dial_us <= 0)
		return 0;
	return t->came * exp(-since_us / t->dial_us);
}

void
tempo_on_coming(struct tempo *t, int64_t now_us)
{
	int64_t since_us = now_us - t->came_us;

	CHECK(now_us > 0);
	if (t->came_us == 0 || since_us > TOGETHER_US)
		t->interval_us = 0;
	else if (t->interval_us == 0)
		t->interval_us = (double)since_us;
	else
		t->interval_us +=
		    ((double)since_us - t->interval_us) / t->intervals;
	if (t->interval_us == 0)
		t->intervals = 1;
	else if (t->intervals < COMING_SMOOTHED)
		t->intervals++;
	t->came = tempo_coming(t, now_us) + 1;
	t->came_us = now_us;
}

int64_t
tempo_next_us(const struct tempo *t, int64_t max_us)
{
	double wait_us = PATIENT_TIMES * t->interval_us;

	return t->came_us + (int64_t)fmin(wait_us, (double)max_us);
}

double
tempo_messages(const struct tempo *t, double span_us)
{
	CHECK(t->knows_dial && t->knows_message);
	return t->message_us > 0 ? span_us / t->message_us : INFINITY;
}
