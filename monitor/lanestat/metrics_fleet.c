#include <string.h>

#include "monitor/lanestat/metrics_state.h"

#define EACH_FLEET(w, i)                                                       \
	size_t i = 0;                                                          \
	i < (w)->m->account_count;                                             \
	i++

static const struct model_fleet *
fleet_of(const struct writing *w, size_t i)
{
	return &w->m->accounts[i].fleet;
}

/* ---- of an account ------------------------------------------------------- */

static double
is_up(const struct model_fleet *f)
{
	return f->is_up;
}

static double
size_of(const struct model_fleet *f)
{
	return (double)f->size;
}

/* Each limit has its own memory at the engine. */
static double
known_of(const struct model_fleet *f)
{
	int64_t most = 0;

	for (size_t i = 0; i < f->count; i++)
		if (f->limits[i].known > most)
			most = f->limits[i].known;
	return (double)most;
}

static double
alone_of(const struct model_fleet *f)
{
	return (double)f->alone_ms / 1000;
}

static const struct fleet_row {
	enum exposition_type type;
	const char *family, *help;
	double (*of)(const struct model_fleet *f);
	bool is_present; /* without meaning when nobody speaks for the host */
} fleet_rows[] = {
    {EXPOSITION_GAUGE, "postlane_fleet_engine_up",
	"1: the fleet's engine answers this host; missing while no lane runs",
	is_up, true},
    {EXPOSITION_GAUGE, "postlane_fleet_size",
	"Hosts that the fleet may have: lane_fleet_size", size_of, false},
    {EXPOSITION_GAUGE, "postlane_fleet_hosts",
	"Hosts that the engine has heard of", known_of, false},
    {EXPOSITION_COUNTER, "postlane_fleet_alone_seconds",
	"Time without an answer of the engine", alone_of, false},
};

static void
write_row(struct writing *w, const struct fleet_row *row)
{
	exposition_family(&w->e, row->type, row->family, row->help);
	for (EACH_FLEET(w, i)) {
		const struct model_fleet *f = fleet_of(w, i);

		if (f->size == 0 ||
		    (row->is_present &&
			!model_fleet_is_told(f, model_wall_ms(w->m))))
			continue;
		metrics_account_label(w, i);
		exposition_value(&w->e, row->of(f));
	}
}

/* ---- of each of its limits ----------------------------------------------- */

static double
share_of(const struct model_fleet_limit *l)
{
	return model_fleet_amount(l, l->share);
}

static double
base_of(const struct model_fleet_limit *l)
{
	return model_fleet_amount(l, l->base);
}

static double
limit_of(const struct model_fleet_limit *l)
{
	return model_fleet_amount(l, l->limit);
}

static double
want_of(const struct model_fleet_limit *l)
{
	return model_fleet_amount(l, l->want);
}

static double
over_of(const struct model_fleet_limit *l)
{
	return (double)l->over_us / 1e6;
}

static double
answered_of(const struct model_fleet_limit *l)
{
	return (double)l->renewals;
}

static double
failed_of(const struct model_fleet_limit *l)
{
	return (double)l->failures;
}

static double
is_stale(const struct model_fleet_limit *l)
{
	return l->word == BOARD_FLEET_STALE;
}

static double
is_full(const struct model_fleet_limit *l)
{
	return l->word == BOARD_FLEET_FULL;
}

/* Rows of one family stand together. */
static const struct limit_row {
	enum exposition_type type;
	const char *family, *help, *label, *value;
	double (*of)(const struct model_fleet_limit *l);
} limit_rows[] = {
    {EXPOSITION_GAUGE, "postlane_fleet_share",
	"So much of the account's limit this host may use now", NULL, NULL,
	share_of},
    {EXPOSITION_GAUGE, "postlane_fleet_base", "... with or without an engine",
	NULL, NULL, base_of},
    {EXPOSITION_GAUGE, "postlane_fleet_limit", "... all hosts together", NULL,
	NULL, limit_of},
    {EXPOSITION_GAUGE, "postlane_fleet_want", "... it could use", NULL, NULL,
	want_of},
    {EXPOSITION_COUNTER, "postlane_fleet_over_seconds",
	"Time with more in use than the share: what was begun before it shrank",
	NULL, NULL, over_of},
#define QUESTIONS                                                              \
	EXPOSITION_COUNTER, "postlane_fleet_questions",                        \
	    "Questions to the engine, by whether the answer came in time",     \
	    "result"
    {QUESTIONS, "answered", answered_of},
    {QUESTIONS, "failed", failed_of},
#define REFUSED                                                                \
	EXPOSITION_GAUGE, "postlane_fleet_refused",                            \
	    "1: the engine gives this host nothing; name: another one has "    \
	    "it, size: there are hosts enough",                                \
	    "reason"
    {REFUSED, "name", is_stale},
    {REFUSED, "size", is_full},
};

static void
write_limit_row(struct writing *w, const struct limit_row *row, size_t i)
{
	const struct model_fleet *f = fleet_of(w, i);

	for (size_t k = 0; k < f->count; k++) {
		metrics_account_label(w, i);
		exposition_label(&w->e, "unit", f->limits[k].unit);
		if (row->label != NULL)
			exposition_label(&w->e, row->label, row->value);
		exposition_value(&w->e, row->of(&f->limits[k]));
	}
}

void
metrics_write_fleets(struct writing *w)
{
	const char *family = "";

	for (size_t r = 0; r < sizeof(fleet_rows) / sizeof(fleet_rows[0]); r++)
		write_row(w, &fleet_rows[r]);
	for (size_t r = 0; r < sizeof(limit_rows) / sizeof(limit_rows[0]);
	     r++) {
		const struct limit_row *row = &limit_rows[r];

		if (strcmp(row->family, family) != 0)
			exposition_family(
			    &w->e, row->type, row->family, row->help);
		family = row->family;
		for (EACH_FLEET(w, i))
			write_limit_row(w, row, i);
	}
}
