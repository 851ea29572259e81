#include <stdio.h>
#include <string.h>

#include "monitor/lanestat/metrics_state.h"

enum { ACCOUNT_NAME = BOARD_NAME + 16 };

static double
seconds_of(int64_t wall_ms)
{
	return (double)wall_ms / 1000;
}

/* ---- accounts ----------------------------------------------------------- */

/* Its label, and the how-manieth of that label it is unless the first. */
static const char *
account_name(const struct writing *w, size_t at, char *text, size_t n)
{
	const struct model_account *accounts = w->m->accounts;
	int number = 1;

	for (size_t i = 0; i < at; i++)
		if (strcmp(accounts[i].label, accounts[at].label) == 0)
			number++;
	if (number == 1)
		(void)snprintf(text, n, "%s", accounts[at].label);
	else
		(void)snprintf(text, n, "%s#%d", accounts[at].label, number);
	return text;
}

static double
held_by(const struct model_account *a)
{
	return a->slots.held;
}

static double
resting_of(const struct model_account *a)
{
	return a->slots.resting;
}

static double
wanted_of(const struct model_account *a)
{
	return a->slots.wants;
}

static double
limit_of(const struct model_account *a)
{
	return a->limit;
}

static double
limit_now_of(const struct model_account *a)
{
	return a->limit_now;
}

static double
limited_until(const struct model_account *a)
{
	return seconds_of(a->limited_until_wall_ms);
}

static double
depth_of(const struct model_account *a)
{
	uint64_t most = 0;

	for (size_t i = 0; i < a->host_count; i++)
		if (a->hosts[i].depth > most)
			most = a->hosts[i].depth;
	return (double)most;
}

/* The one that ends first, of hosts that were met within a day: those that
 * are not in use any more stay on the board. */
static double
certificate_of(const struct model_account *a, int64_t now_ms)
{
	int64_t first = 0;

	for (size_t i = 0; i < a->host_count; i++) {
		const struct model_host *h = &a->hosts[i];

		if (h->certificate_wall_ms > 0 &&
		    now_ms - h->updated_wall_ms < 86400000 &&
		    (first == 0 || h->certificate_wall_ms < first))
			first = h->certificate_wall_ms;
	}
	return seconds_of(first);
}

static const struct account_row {
	const char *family, *help, *label, *value;
	double (*of)(const struct model_account *a);
} account_rows[] = {
#define CONNECTIONS                                                            \
	"postlane_account_connections",                                        \
	    "Connection slots of the account; resting: closed without a "      \
	    "goodbye; wanted: asked for in vain",                              \
	    "state"
    {CONNECTIONS, "held", held_by},
    {CONNECTIONS, "resting", resting_of},
    {CONNECTIONS, "wanted", wanted_of},
#define CONNECTION_LIMIT                                                       \
	"postlane_account_connection_limit",                                   \
	    "Connections that the account may have", "kind"
    {CONNECTION_LIMIT, "configured", limit_of},
    {CONNECTION_LIMIT, "effective", limit_now_of},
    {"postlane_account_limited_until_timestamp_seconds",
	"When all of them are tried again, 0: they are in use", NULL, NULL,
	limited_until},
    {"postlane_account_pipeline_depth", "Proven depth of the pipeline", NULL,
	NULL, depth_of},
};

void
metrics_account_label(struct writing *w, size_t i)
{
	char name[ACCOUNT_NAME];

	exposition_label(
	    &w->e, "account", account_name(w, i, name, sizeof(name)));
}

static void
write_account_rows(struct writing *w)
{
	const char *family = "";

	for (size_t r = 0; r < sizeof(account_rows) / sizeof(account_rows[0]);
	     r++) {
		const struct account_row *row = &account_rows[r];

		if (strcmp(row->family, family) != 0)
			exposition_family(
			    &w->e, EXPOSITION_GAUGE, row->family, row->help);
		family = row->family;
		for (size_t i = 0; i < w->m->account_count; i++) {
			metrics_account_label(w, i);
			if (row->label != NULL)
				exposition_label(&w->e, row->label, row->value);
			exposition_value(&w->e, row->of(&w->m->accounts[i]));
		}
	}
}

void
metrics_write_accounts(struct writing *w)
{
	write_account_rows(w);
	exposition_family(&w->e, EXPOSITION_COUNTER,
	    "postlane_account_refusals",
	    "Connections that the provider refused for their number");
	for (size_t i = 0; i < w->m->account_count; i++) {
		metrics_account_label(w, i);
		exposition_count(&w->e, w->m->accounts[i].refusals);
	}
	exposition_family(&w->e, EXPOSITION_GAUGE,
	    "postlane_certificate_expiry_timestamp_seconds",
	    "End of the smarthost's certificate, the first of its hosts; 0: "
	    "not known");
	for (size_t i = 0; i < w->m->account_count; i++) {
		metrics_account_label(w, i);
		exposition_value(&w->e,
		    certificate_of(&w->m->accounts[i], model_wall_ms(w->m)));
	}
}

static void
write_token_times(
    struct writing *w, const char *family, const char *help, bool is_end)
{
	exposition_family(&w->e, EXPOSITION_GAUGE, family, help);
	for (size_t i = 0; i < w->m->token_count; i++) {
		const struct model_token *t = &w->m->tokens[i];

		exposition_label(&w->e, "token", t->name);
		exposition_value(&w->e,
		    seconds_of(is_end ? t->end_wall_ms : t->failing_wall_ms));
	}
}

void
metrics_write_tokens(struct writing *w)
{
	write_token_times(w, "postlane_token_expiry_timestamp_seconds",
	    "End of the access token that is held, 0: none is", true);
	write_token_times(w, "postlane_token_failing_timestamp_seconds",
	    "Since when no access token is to be had, 0: the last try "
	    "succeeded",
	    false);
}

/* Which account a lane has changes seldom: it is no label of each series, or
 * they would all be others then. */
void
metrics_write_lane_info(struct writing *w)
{
	char name[ACCOUNT_NAME];

	exposition_family(&w->e, EXPOSITION_INFO, "postlane_lane",
	    "Class and account of the lane");
	for (EACH_LANE(w, lane)) {
		if (!metrics_shows(w, lane))
			continue;
		exposition_label(&w->e, "lane", lane->name);
		exposition_label(&w->e, "class", lane->class);
		exposition_label(&w->e, "account",
		    lane->account >= 0 ? account_name(w, (size_t)lane->account,
					     name, sizeof(name))
				       : "");
		exposition_count(&w->e, 1);
	}
}

/* ---- quotas ------------------------------------------------------------- */

static void
write_quota(struct writing *w, const char *scope, const char *name,
    const struct model_rate *rate, bool is_used)
{
	if (!rate->is_quota)
		return;
	exposition_label(&w->e, "scope", scope);
	exposition_label(&w->e, "name", name);
	exposition_label(&w->e, "unit", rate->unit);
	exposition_label(&w->e, "limit", rate->text);
	exposition_value(&w->e, (double)(is_used ? rate->used : rate->limit));
}

static void
write_quotas(struct writing *w, bool is_used)
{
	char name[ACCOUNT_NAME];

	exposition_family(&w->e, EXPOSITION_GAUGE,
	    is_used ? "postlane_quota_used" : "postlane_quota_limit",
	    is_used ? "Used in the period that ends now"
		    : "How many a quota allows in its period");
	for (EACH_LANE(w, lane))
		for (size_t i = 0;
		     metrics_shows(w, lane) && i < lane->rate_count; i++)
			write_quota(
			    w, "lane", lane->name, &lane->rates[i], is_used);
	for (size_t i = 0; i < w->m->account_count; i++)
		for (size_t k = 0; k < w->m->accounts[i].rate_count; k++)
			write_quota(w, "account",
			    account_name(w, i, name, sizeof(name)),
			    &w->m->accounts[i].rates[k], is_used);
}

void
metrics_write_quotas(struct writing *w)
{
	write_quotas(w, false);
	write_quotas(w, true);
}
