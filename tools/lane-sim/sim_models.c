#include "tools/lane-sim/sim_models.h"

#include <string.h>

static const char too_fast[] =
    "454 Throttling failure: Maximum sending rate exceeded.";
static const char too_many[] = "454 4.7.0 Message rate limit exceeded";
static const char too_many_until[] =
    "550 5.7.0 Too many messages, try again in %lld seconds";
static const char day_is_over[] = "554 5.2.0 STOREDRV.Submission.Exception:"
				  "SubmissionQuotaExceededException";

static char text_ses[] = "ses", text_office365[] = "office365";
static char text_bulk[] = "bulk";
static char rate_100[] = "100/1s", rate_minute[] = "30/1m, 500/1h!";

static void
bucket14(struct sim_world *w)
{
	w->provider.limits.rate_per_s = w->provider.limits.burst = 14;
	w->provider.limits.rate_reply = too_fast;
	for (int i = 0; i < SIM_LANES; i++)
		w->lanes[i].set.lane_provider = text_ses;
}

static void
minute30(struct sim_world *w)
{
	struct sim_limits *l = &w->provider.limits;

	l->window_count = 30;
	l->window_us = 60 * INT64_C(1000000);
	l->window_reply = too_many;
	l->day_quota = 10000;
	l->day_reply = day_is_over;
	w->lanes[0].set.lane_provider = text_office365;
}

static void
says20s(struct sim_world *w)
{
	struct sim_limits *l = &w->provider.limits;

	l->window_count = 100;
	l->window_us = 20 * INT64_C(1000000);
	l->window_reply = too_many_until;
}

static void
closes5(struct sim_world *w)
{
	w->provider.limits.closes_after = 5;
	w->lanes[0].mail.per_s = 20;
	w->lanes[0].mail.is_random = true;
}

static void
three(struct sim_world *w)
{
	w->provider.limits.connections = 3;
	w->lanes[0].mail.per_s = 30;
	w->lanes[0].mail.is_random = true;
}

static void
add_bulk(struct sim_world *w, double urgent_per_s)
{
	w->lanes[0].mail.per_s = urgent_per_s;
	w->lanes[0].mail.is_random = true;
	w->lanes[0].set.lane_connection_reserve = 4;
	w->lanes[1].set.lane_priority = text_bulk;
	w->lane_count = 2;
}

static void
urgent(struct sim_world *w)
{
	bucket14(w);
	add_bulk(w, 1);
}

static void
account100(struct sim_world *w)
{
	add_bulk(w, 5);
	for (int i = 0; i < w->lane_count; i++)
		w->lanes[i].set.lane_account_message_rate_limit = rate_100;
	sim_provider_add_meter(&w->provider, SIM_MESSAGES, "100/1s");
}

static void
quota500(struct sim_world *w)
{
	w->lanes[0].set.lane_message_rate_limit = rate_minute;
	sim_provider_add_meter(&w->provider, SIM_MESSAGES, "30/1m");
	sim_provider_add_meter(&w->provider, SIM_MESSAGES, "500/1h!");
}

static const struct {
	const char *name, *what;
	void (*set)(struct sim_world *w);
} models[] = {
    {"bucket14", "14/s from a bucket of 14, 454 beyond; nobody told", bucket14},
    {"minute30", "30 a minute, 10,000 a day; nobody told", minute30},
    {"says20s", "100 in 20 s, else 550 try again in N seconds", says20s},
    {"closes5", "421 after 5 messages of a session; 20/s arrive", closes5},
    {"three", "takes 3 connections; 30/s arrive", three},
    {"urgent", "bucket14 with 1/s of urgent mail beside bulk", urgent},
    {"account100", "account of 100/1s told: 5/s urgent beside bulk",
	account100},
    {"quota500", "30/1m, 500/1h! told", quota500},
};

enum { MODELS = sizeof(models) / sizeof(models[0]) };

bool
sim_model_set(struct sim_world *w, const char *name)
{
	for (size_t i = 0; i < MODELS; i++)
		if (strcmp(models[i].name, name) == 0) {
			models[i].set(w);
			return true;
		}
	return false;
}

void
sim_models_list(struct buf *out)
{
	for (size_t i = 0; i < MODELS; i++)
		(void)buf_addf(
		    out, "  %-11s %s\n", models[i].name, models[i].what);
}
