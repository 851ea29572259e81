#include "monitor/model_fleet.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "common/limits/rate.h"
#include "common/shared/fleet_lessons.h"

#define TEXT(to, field) board_text((field), sizeof(field), (to), sizeof(to))

/* A rate is shown so exactly; one that is smaller as it is. */
enum { ROUND_MILLI = 100 };

/* What no clock and no limit says is 0. */
static int64_t
number_of(uint64_t n)
{
	return n < INT64_MAX / 2 ? (int64_t)n : 0;
}

static bool
is_rate(const char *unit)
{
	size_t n = strlen(unit);

	return strchr(unit, '/') != NULL && unit[n - 1] != '!';
}

static bool
fill_limit(struct model_fleet_limit *to, const struct board_fleet_limit *from)
{
	if (from->word == BOARD_FLEET_FREE ||
	    from->word >= BOARD_FLEET_WORD_COUNT)
		return false;
	*to = (struct model_fleet_limit){
	    .word = (enum board_fleet_word)from->word,
	    .limit = number_of(from->limit),
	    .base = number_of(from->base),
	    .share = number_of(from->share),
	    .want = number_of(from->want),
	    .target = number_of(from->target),
	    .in_use = number_of(from->in_use),
	    .known = number_of(from->known),
	    .until_wall_ms = number_of(from->until_wall_ms),
	    .answered_wall_ms = number_of(from->answered_wall_ms),
	    .renewals = from->renewals,
	    .failures = from->failures,
	    .over_us = from->over_us,
	};
	TEXT(to->unit, from->unit);
	to->is_milli = is_rate(to->unit);
	return true;
}

static bool
fill_lesson(struct model_fleet_lesson *to, int kind,
    const struct board_fleet_lesson *from)
{
	if (from->until_wall_ms == 0)
		return false;
	*to = (struct model_fleet_lesson){
	    .kind = (enum fleet_lesson_kind)kind,
	    .until_wall_ms = number_of(from->until_wall_ms),
	    .value = number_of(from->value),
	};
	TEXT(to->host, from->host);
	return true;
}

void
model_fleet_fill(struct model_fleet *to, const struct board_fleet *from)
{
	*to = (struct model_fleet){
	    .size = number_of(from->size),
	    .told_wall_ms = number_of(from->told_wall_ms),
	    .ttl_ms = number_of(from->ttl_ms),
	    .forget_ms = number_of(from->forget_ms),
	    .is_up = from->is_up == 1,
	    .since_wall_ms = number_of(from->since_wall_ms),
	    .alone_ms = number_of(from->alone_ms),
	    .epoch = number_of(from->epoch),
	};
	TEXT(to->name, from->name);
	TEXT(to->engine, from->engine);
	TEXT(to->trouble, from->trouble);
	for (size_t i = 0; i < BOARD_FLEET_LIMITS; i++)
		if (fill_limit(&to->limits[to->count], &from->limits[i]))
			to->count++;
	for (int k = 0; k < BOARD_FLEET_LESSONS; k++)
		if (fill_lesson(
			&to->heard[to->heard_count], k, &from->heard[k]))
			to->heard_count++;
}

const char *
model_fleet_lesson_name(enum fleet_lesson_kind kind)
{
	static const char *const names[FLEET_KINDS] = {
	    [FLEET_PAUSE] = "pause",
	    [FLEET_FEWER] = "fewer",
	    [FLEET_BLOCKED] = "blocked",
	};

	return names[kind];
}

const char *
model_fleet_lesson_say(const struct model_fleet_lesson *l, char *text, size_t n)
{
	char code[FLEET_REFUSAL_SIZE];

	switch (l->kind) {
	case FLEET_PAUSE:
		(void)snprintf(text, n, "%s was asked to pause", l->host);
		break;
	case FLEET_FEWER:
		(void)snprintf(text, n,
		    "%s was refused a connection and keeps to %lld", l->host,
		    (long long)l->value);
		break;
	case FLEET_BLOCKED:
		(void)snprintf(text, n, "the mail of %s is refused: %s",
		    l->host, fleet_refusal_text(l->value, code));
		break;
	case FLEET_KINDS:
		(void)snprintf(text, n, "?");
		break;
	}
	return text;
}

bool
model_fleet_lesson_is_lasting(const struct model_fleet_lesson *l)
{
	return l->kind != FLEET_BLOCKED;
}

bool
model_fleet_lesson_holds(const struct model_fleet *f,
    const struct model_fleet_lesson *l, int64_t now_wall_ms)
{
	return model_fleet_is_told(f, now_wall_ms) &&
	       l->until_wall_ms > now_wall_ms;
}

bool
model_fleet_is_told(const struct model_fleet *f, int64_t now_wall_ms)
{
	return f->size > 0 && f->told_wall_ms > 0 &&
	       now_wall_ms - f->told_wall_ms < MODEL_FLEET_OLD_MS;
}

const struct model_fleet_limit *
model_fleet_limit(const struct model_fleet *f, const char *unit)
{
	for (size_t i = 0; i < f->count; i++)
		if (strcmp(f->limits[i].unit, unit) == 0)
			return &f->limits[i];
	return NULL;
}

double
model_fleet_amount(const struct model_fleet_limit *l, int64_t amount)
{
	return l->is_milli ? (double)amount / 1000 : (double)amount;
}

/* A rate's limit is some thousandths short of what is written in main.cf
 * (agent/engine/fleet_rate.h). */
const char *
model_fleet_say(
    const struct model_fleet_limit *l, int64_t amount, char *text, size_t n)
{
	double units = model_fleet_amount(l, amount);

	(void)snprintf(
	    text, n, "%.*f", units < 10 && l->is_milli ? 1 : 0, units);
	if (l->is_milli && fabs(units - round(units)) < 0.07)
		(void)snprintf(text, n, "%.0f", units);
	return text;
}

/* "dials/1s" are connections of the board. */
static bool
is_shared(const struct model_fleet *f, const char *unit)
{
	size_t n;

	if (strcmp(unit, board_rate_unit_name(BOARD_RATE_CONNECTIONS)) == 0)
		unit = "dials";
	n = strlen(unit);
	for (size_t i = 0; i < f->count; i++)
		if (strncmp(f->limits[i].unit, unit, n) == 0 &&
		    f->limits[i].unit[n] == '/')
			return true;
	return false;
}

bool
model_fleet_round(
    const struct model_fleet *f, const char *unit, char *text, size_t n)
{
	int64_t step = ROUND_MILLI;
	struct rate rate;
	char error[64];

	if (!is_shared(f, unit))
		return false;
	if (!rate_parse(slice_str(text), &rate, error, sizeof(error)) ||
	    rate.is_quota)
		return true;
	if (rate.count_milli > step)
		rate.count_milli =
		    (rate.count_milli - 1 + step / 2) / step * step;
	rate_to_text(&rate, text, n);
	return true;
}
