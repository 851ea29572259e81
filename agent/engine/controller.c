#include "agent/engine/controller.h"

#include <math.h>

#include "common/base/clock.h"
#include "common/base/log.h"

#define SECOND_US 1000000.0

enum {
	WINDOW_FIRST = 20, /* messages in the air before anything is known */
	AGREEMENT_MAX = 6,
	AGREEMENT_SURE = 3,
	SPAN_MEMORY = 32, /* messages after which a span counts half */
};

/* The curve. */
static const double below_unsure = 0.90, below_sure = 0.97;
static const double climb_least_s = 15, climb_most_s = 3600;
static const double climb_messages = 80; /* not faster than so many */
static const double steep = 0.10; /* rise beyond the ceiling, times y^3 */
static const double plateau = 0.05, plateau_ends = 3; /* rise; y */

/* The search: doubling in so many seconds, or messages if that is longer. */
static const double search_s = 4, search_messages = 8;
/* Of the rate that was too fast: a fair guess. Too high shows at once, too
 * low takes a minute to grow out of. */
static const double search_share = 0.85, creep_share = 0.95;

static const double late_us = 10e3; /* of a timer on a busy host */
static const double pause_first_us = 250e3, pause_most_us = 600e6;
/* While others give way. */
static const double pause_for_others_us = 100e3;
/* Learned never; what is remembered may be older than the clock. */
static const int64_t nothing_us = INT64_MIN;
static const int64_t stored_for_us = 7 * 86400 * US_PER_S;
static const int64_t hour_us = 3600 * US_PER_S;
static const int64_t ceiling_micro_max = INT64_C(1000000) * 1000000;

static double
clamp(const struct controller *a, double rate)
{
	if (rate < a->config.floor_per_s)
		rate = a->config.floor_per_s;
	return rate > a->config.ceiling_per_s ? a->config.ceiling_per_s : rate;
}

void
controller_init(struct controller *a, const struct controller_config *config,
    int64_t now_us)
{
	CHECK(now_us > 0 && config->floor_per_s > 0 && config->window_max > 0);
	*a = (struct controller){.config = *config};
	a->window = WINDOW_FIRST;
	a->slot_from_us = a->span_from_us = now_us;
	a->last_take_us = now_us;
	a->cut_us = -1;
	a->learned_us = nothing_us;
}

/* ---- the curve --------------------------------------------------------- */

static double
cube(double x)
{
	return x * x * x;
}

/* From the cut back to the ceiling. */
static double
climb_us(const struct controller *a)
{
	double s = climb_messages / a->ceiling;

	if (s < climb_least_s)
		s = climb_least_s;
	s *= 1 << a->agreement;
	return (s > climb_most_s ? climb_most_s : s) * SECOND_US;
}

static void
set_rate(struct controller *a)
{
	double x = a->grown_us / climb_us(a), y = x - 1, rise;

	if (a->is_searching)
		return;
	if (x < 1) {
		rise = -(1 - a->below) * cube(1 - x);
	} else {
		rise = steep * cube(y);
		if (rise > plateau)
			rise = plateau;
		if (y > plateau_ends)
			rise += steep * cube(y - plateau_ends);
	}
	a->rate = clamp(a, a->ceiling * (1 + rise));
}

/* So much more time was spent at the limit. */
static void
grow(struct controller *a, double us)
{
	double s = search_messages / a->rate, most = 2 * SECOND_US / a->rate;

	if (us > most)
		us = most; /* the rest was a pause */
	a->grown_us += us;
	if (!a->is_searching)
		return;
	if (s < search_s)
		s = search_s;
	a->rate = clamp(a, a->rate * (1 + 0.7 * us / SECOND_US / s));
}

/* ---- pacing ------------------------------------------------------------ */

int
controller_window(const struct controller *a)
{
	double window = a->window;

	if (a->refused_in_row > 0)
		return 1;
	/* Twice what fills the way there and back at this rate. */
	if (a->is_limited)
		window = a->rate * a->latency_us / SECOND_US * 2 + 2;
	return window < a->config.window_max ? (int)window
					     : a->config.window_max;
}

void
controller_set_window_max(struct controller *a, int window_max)
{
	CHECK(window_max > 0);
	a->config.window_max = window_max;
}

int64_t
controller_wait_us(struct controller *a, int64_t now_us)
{
	double early;

	if (now_us < a->pause_until_us) {
		a->said_no = true;
		return a->pause_until_us - now_us;
	}
	if (a->in_flight >= controller_window(a)) {
		a->is_full = true;
		return INT64_MAX;
	}
	if (!a->is_limited)
		return 0;
	early = a->next_us - (double)now_us;
	if (early <= 0)
		return 0;
	a->said_no = true;
	return (int64_t)early + 1;
}

static void
begin_span(struct controller *a, bool is_exact, int64_t now_us)
{
	a->span_from_us = now_us;
	a->span_is_exact = is_exact;
	a->span_count = 0;
	a->span_slack_us = 0;
	a->span_refused_us = 0;
}

/* Was the lane held back since the last take, or was there nothing to send?
 * Then the provider's bucket fills, and the span tells no rate any more. */
static void
note_use(struct controller *a, int64_t now_us)
{
	double gap = (double)(now_us - a->last_take_us);

	if (a->said_no)
		grow(a, gap);
	if (a->said_no || a->is_full)
		return;
	if (gap > 3600 * SECOND_US && a->agreement > 0)
		a->agreement--;
	a->span_slack_us += gap;
	if (a->span_slack_us >
	    0.05 * (double)(now_us - a->span_from_us) + 0.3 * SECOND_US)
		begin_span(a, false, now_us);
}

void
controller_take(struct controller *a, int64_t now_us)
{
	CHECK(now_us > 0 && a->in_flight >= 0);
	a->in_flight++;
	if (a->is_limited) {
		note_use(a, now_us);
		set_rate(a);
		/* A late timer is made up for, an idle hour is not. */
		if (a->next_us < (double)now_us - late_us)
			a->next_us = (double)now_us - late_us;
		a->next_us += SECOND_US / a->rate;
	}
	a->last_take_us = now_us;
	a->said_no = a->is_full = false;
}

static void
land(struct controller *a)
{
	if (a->in_flight > 0)
		a->in_flight--;
}

/* ---- replies ----------------------------------------------------------- */

static void
count_in_slot(struct controller *a, int64_t now_us)
{
	int64_t age = now_us - a->slot_from_us;

	if (age >= (int64_t)SECOND_US) {
		a->slot_before =
		    age < (int64_t)(2 * SECOND_US) ? a->slot_count : 0;
		a->slot_count = 0;
		a->slot_from_us = now_us;
	}
	a->slot_count++;
}

void
controller_on_accepted(struct controller *a, int64_t sent_us, int64_t now_us)
{
	double took = (double)(now_us - sent_us);

	/* A full window is what made it wait, or would have. */
	if (!a->is_limited && a->window < a->config.window_max &&
	    a->in_flight * 2 >= (int)a->window)
		a->window += 0.5;
	land(a);
	a->accepted++;
	a->span_count++;
	a->refused_in_row = 0;
	a->latency_us =
	    a->latency_us > 0 ? a->latency_us * 0.9 + took * 0.1 : took;
	count_in_slot(a, now_us);
}

void
controller_on_other(struct controller *a)
{
	land(a);
}

/* The first throttle: what went through lately is the starting ceiling. */
static void
begin_limit(struct controller *a, int64_t now_us)
{
	double seen = a->slot_count, us = (double)(now_us - a->slot_from_us);

	if (us < SECOND_US && a->slot_before > 0) {
		seen += a->slot_before;
		us += SECOND_US;
	}
	if (us < SECOND_US)
		us = SECOND_US;
	a->is_limited = true;
	a->ceiling = clamp(a, seen > 0 ? seen * SECOND_US / us : 1);
	a->agreement = 0;
	a->is_searching = true;
}

static void
agree(struct controller *a, double before)
{
	double off = a->ceiling / before - 1;

	off = off < 0 ? -off : off;

	if (off < 0.05 && a->agreement < AGREEMENT_MAX)
		a->agreement++;
	else if (off > 0.25)
		a->agreement = 0;
	else if (off >= 0.05 && a->agreement > 0)
		a->agreement--;
}

/* Between what went through in a span and what was too fast. For as long as
 * messages were refused again and again, nothing was to be had: that much of
 * the span says that no more than what went through would have. */
static double
between(const struct controller *a, double low, double high, double us)
{
	double sure = us > 0 ? a->span_refused_us / us : 0;

	if (low <= 0 || low >= high || sure <= 0)
		return low > high ? low : high;
	if (sure > 1)
		sure = 1;
	return 1 / (sure / low + (1 - sure) / high);
}

/* A throttle ends a span: between two of them the provider took what it
 * gives. */
static void
learn(struct controller *a, int64_t now_us)
{
	double before = a->ceiling, us = (double)(now_us - a->span_from_us);
	double keep =
	    (double)SPAN_MEMORY / ((double)SPAN_MEMORY + a->span_count);

	CHECK(a->is_limited && a->ceiling > 0);
	if (a->is_searching || a->rate > a->ceiling * (1 + plateau * 1.5)) {
		/* Somewhere between what went through and what was too fast;
		 * nearer to the latter, as the rise was steep. */
		double low = us > 0 && a->span_is_exact
				 ? a->span_count * SECOND_US / us
				 : 0;
		double high =
		    a->rate * (a->is_searching ? search_share : creep_share);

		a->is_searching = false;
		a->agreement = 0;
		a->sum_count = a->sum_us = 0;
		a->ceiling = clamp(a, between(a, low, high, us));
		return;
	}
	if (!a->span_is_exact) {
		/* Faster than is good, but who knows by how much. */
		if (a->agreement > 0)
			a->agreement--;
		if (a->rate < a->ceiling)
			a->ceiling = (a->ceiling + a->rate) / 2;
		return;
	}
	a->sum_count = a->sum_count * keep + a->span_count;
	a->sum_us = a->sum_us * keep + us;
	if (a->sum_us > 0)
		a->ceiling = clamp(a, a->sum_count * SECOND_US / a->sum_us);
	/* A provider that stores little has wasted what the cut left it, and
	 * takes more than went through; but not more than was too fast. */
	if (a->rate > a->ceiling)
		a->ceiling =
		    between(a, a->ceiling, (a->ceiling + a->rate) / 2, us);
	agree(a, before);
}

static void
extend_pause(struct controller *a, double wait_us, int64_t now_us)
{
	int64_t until = now_us + (int64_t)wait_us;

	if (until > a->pause_until_us)
		a->pause_until_us = until;
}

/* The one place where the rate goes down. */
static void
cut(struct controller *a, int64_t now_us)
{
	if (!a->is_limited)
		begin_limit(a, now_us);
	else
		learn(a, now_us);
	a->below = a->agreement >= AGREEMENT_SURE ? below_sure : below_unsure;
	a->grown_us = 0;
	begin_span(a, true, now_us);
	a->rate = clamp(a, a->ceiling * a->below);
	if (a->next_us < (double)now_us + SECOND_US / a->rate)
		a->next_us = (double)now_us + SECOND_US / a->rate;
}

static void
slow_down(struct controller *a, int64_t sent_us, int64_t wait_us, bool yields,
    int64_t now_us)
{
	a->throttled++;
	if (wait_us > 0)
		extend_pause(a, (double)wait_us, now_us);
	if (!controller_is_news(a, sent_us))
		return;
	a->events++;
	a->cut_us = a->learned_us = now_us;
	if (a->refused_in_row++ > 0) {
		/* Nothing accepted since: the rate cannot tell, time must. */
		int doublings =
		    a->refused_in_row < 20 ? a->refused_in_row - 2 : 18;
		double pause = pause_first_us * (1 << doublings);

		a->span_refused_us = (double)(now_us - a->span_from_us);
		extend_pause(
		    a, pause < pause_most_us ? pause : pause_most_us, now_us);
		return;
	}
	if (yields) {
		extend_pause(a, pause_for_others_us, now_us);
		/* What went through up to now was not all there is. */
		begin_span(a, false, now_us);
		return;
	}
	cut(a, now_us);
}

bool
controller_is_news(const struct controller *a, int64_t sent_us)
{
	return sent_us > a->cut_us;
}

void
controller_on_throttled(struct controller *a, int64_t sent_us, int64_t wait_us,
    bool yields, int64_t now_us)
{
	land(a);
	slow_down(a, sent_us, wait_us, yields, now_us);
}

void
controller_on_turned_away(struct controller *a, int64_t since_us,
    int64_t wait_us, bool yields, int64_t now_us)
{
	slow_down(a, since_us, wait_us, yields, now_us);
}

void
controller_yield(struct controller *a, int64_t sent_us, int64_t now_us)
{
	if (!controller_is_news(a, sent_us) || a->refused_in_row > 0 ||
	    a->span_count == 0)
		return; /* cut already, and nothing sent since */
	/* The account's bucket is as empty as after a throttle of its own, so
	 * what went through tells what the urgent lanes leave. */
	a->yields++;
	a->cut_us = a->learned_us = now_us;
	cut(a, now_us);
	extend_pause(a, pause_first_us, now_us);
}

void
controller_pause_until(struct controller *a, int64_t until_us)
{
	if (until_us <= a->pause_until_us)
		return;
	a->pause_until_us = until_us;
	/* That was no matter of the rate. */
	begin_span(a, false, until_us);
}

void
controller_wait_until(struct controller *a, int64_t until_us)
{
	if (until_us > a->pause_until_us)
		a->pause_until_us = until_us;
}

double
controller_settled(const struct controller *a)
{
	return a->is_limited && !a->is_searching &&
		       a->agreement >= AGREEMENT_SURE
		   ? a->ceiling
		   : 0;
}

double
controller_rate(const struct controller *a)
{
	return a->is_limited ? a->rate : INFINITY;
}

int64_t
controller_paused_until(const struct controller *a)
{
	return a->pause_until_us;
}

/* ---- memory ------------------------------------------------------------ */

void
controller_save(const struct controller *a, struct controller_stored *out,
    int64_t now_us, int64_t wall_ms)
{
	*out = (struct controller_stored){0};
	if (a->is_limited) {
		out->ceiling_micro = (int64_t)(a->ceiling * 1e6);
		out->agreement = a->agreement;
	}
	if (a->pause_until_us > now_us)
		out->pause_until_wall_ms =
		    wall_ms + (a->pause_until_us - now_us) / US_PER_MS;
	if (a->learned_us != nothing_us)
		out->learned_wall_ms =
		    wall_ms - (now_us - a->learned_us) / US_PER_MS;
	else if (out->pause_until_wall_ms > 0)
		out->learned_wall_ms = wall_ms;
}

void
controller_load(struct controller *a, const struct controller_stored *in,
    int64_t now_us, int64_t wall_ms)
{
	int64_t age_us, pause_us;

	CHECK(now_us > 0 && !a->is_limited);
	if (in->learned_wall_ms <= 0 || in->pause_until_wall_ms < 0 ||
	    in->ceiling_micro < 0 || in->ceiling_micro > ceiling_micro_max ||
	    in->agreement < 0 || in->agreement > AGREEMENT_MAX)
		return;
	age_us = wall_ms > in->learned_wall_ms
		     ? clock_us_from_ms(wall_ms - in->learned_wall_ms)
		     : 0;
	if (age_us > stored_for_us)
		return;
	a->learned_us = now_us - age_us;
	/* No longer than it was to last, however far a clock was set back. */
	if (wall_ms < in->learned_wall_ms)
		wall_ms = in->learned_wall_ms;
	pause_us = clock_us_from_ms(in->pause_until_wall_ms - wall_ms);
	if (pause_us > 0 && pause_us <= 24 * hour_us)
		a->pause_until_us = now_us + pause_us;
	if (in->ceiling_micro == 0)
		return;
	a->is_limited = true;
	a->ceiling = clamp(a, (double)in->ceiling_micro / 1e6);
	a->agreement = (int)in->agreement - (int)(age_us / hour_us);
	if (a->agreement < 0)
		a->agreement = 0;
	a->below = a->agreement >= AGREEMENT_SURE ? below_sure : below_unsure;
	a->next_us = (double)now_us;
	set_rate(a);
	begin_span(a, false, now_us);
}
