#include "monitor/topview.h"

#include <inttypes.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/mem.h"
#include "monitor/say.h"

enum {
	NAME_LEAST = 8,
	NAME_WIDTH = 12,
	NAME_MOST = 32,
	WIDE = 80, /* columns for all that is shown */
	PACE_BESIDE = 18, /* columns beside the pace */
	FOOT_WIDTH = 58, /* of the keys with their words */
	BAR_WIDTH = 16,
	INDENT = 4,
	ROWS_ABOVE = 2, /* time, and the names of the columns */
	ROWS_BELOW = 2, /* remark and keys */
	SESSIONS_MIN = 3, /* rows for sessions that are worth it */
};

struct drawing {
	struct topview *view;
	const struct model *m;
	const struct backlog *backlog;
	enum postfix_state postfix;
	const struct topview_how *how;
	struct health *health; /* of each lane of the model */
	size_t width;
	int64_t now_ms;
};

/* ---- rows ------------------------------------------------------------------
 */

/* Cuts text after so many characters; none is wider than a cell. */
static void
cut(char *text, size_t width)
{
	size_t cells = 0;

	for (char *p = text; *p != '\0'; p++) {
		if (((unsigned char)*p & 0xc0) == 0x80)
			continue;
		if (cells++ == width) {
			*p = '\0';
			return;
		}
	}
}

__attribute__((format(printf, 3, 4))) static struct topview_row *
add(const struct drawing *d, enum topview_look look, const char *format, ...)
{
	struct topview *v = d->view;
	struct topview_row *row = &v->rows[v->count];
	va_list args;

	if (v->count == d->how->height)
		return &v->rows[v->count - 1];
	v->count++;
	va_start(args, format);
	(void)vsnprintf(row->text, sizeof(row->text), format, args);
	va_end(args);
	cut(row->text, d->width);
	row->look = look;
	row->is_chosen = false;
	return row;
}

static size_t
rows_left(const struct drawing *d)
{
	size_t most = d->how->height - ROWS_BELOW;

	return d->view->count < most ? most - d->view->count : 0;
}

static bool
is_narrow(const struct drawing *d)
{
	return d->width < WIDE;
}

/* What the other columns leave to the names of lanes. */
static int
name_width(const struct drawing *d)
{
	int width = (int)d->width;
	int room = NAME_WIDTH + width - WIDE;

	if (is_narrow(d)) /* 40: of the columns that are left then */
		room = width - 40 < NAME_WIDTH ? width - 40 : NAME_WIDTH;
	return room < NAME_LEAST  ? NAME_LEAST
	       : room > NAME_MOST ? NAME_MOST
				  : room;
}

/* ---- the pace of the last minute -------------------------------------------
 */

static const char *
block(const struct drawing *d, unsigned n, unsigned most)
{
	static const char *const fine[] = {
	    " ", "▁", "▂", "▃", "▄", "▅", "▆", "▇", "█"};
	static const char *const plain[] = {
	    " ", ".", ".", ":", "-", "=", "+", "*", "#"};
	unsigned level = most > 0 ? (n * 8 + most - 1) / most : 0;

	return d->how->is_utf8 ? fine[level] : plain[level];
}

static void
draw_pace(const struct drawing *d, const struct model_lane *lane)
{
	char line[MODEL_SECONDS * 4 + 1] = "";
	size_t room = d->width - PACE_BESIDE, n = 0;
	size_t span = room < MODEL_SECONDS ? room : MODEL_SECONDS;
	unsigned most = 0;

	for (size_t i = MODEL_SECONDS - span; i < MODEL_SECONDS; i++)
		if (lane->sent_in[i] > most)
			most = lane->sent_in[i];
	for (size_t i = MODEL_SECONDS - span; i < MODEL_SECONDS; i++) {
		const char *cell = block(d, lane->sent_in[i], most);

		memcpy(line + n, cell, strlen(cell));
		n += strlen(cell);
	}
	line[n] = '\0';
	(void)add(d, TOPVIEW_PACE, "    %zus |%s| %u/s", span, line, most);
}

/* ---- lanes -----------------------------------------------------------------
 */

static enum topview_look
look_of(enum health_state state)
{
	switch (state) {
	case HEALTH_WELL:
		return TOPVIEW_WELL;
	case HEALTH_SLOWED:
		return TOPVIEW_SLOWED;
	case HEALTH_PAUSED:
		return TOPVIEW_PAUSED;
	case HEALTH_ALARM:
	case HEALTH_DOWN:
		break;
	}
	return TOPVIEW_ALARM;
}

static void
say_count(size_t n, bool is_exact, char *text, size_t size)
{
	(void)snprintf(text, size, "%s%zu", is_exact ? "" : "~", n);
}

/* The first limit that is no quota, as that is what the pace is held to. */
static const char *
limit_of(const struct model_lane *lane)
{
	for (size_t i = 0; i < lane->rate_count; i++)
		if (!lane->rates[i].is_quota)
			return lane->rates[i].text;
	return lane->rate_count > 0 ? lane->rates[0].text : "-";
}

/* It is shown over the whole width. Names of lanes are plain ASCII. */
static void
choose(const struct drawing *d, struct topview_row *row)
{
	size_t n = strlen(row->text);

	row->is_chosen = true;
	for (; n < d->width && n + 1 < sizeof(row->text); n++)
		row->text[n] = ' ';
	row->text[n] = '\0';
}

#define NARROW_LANE "%c %-*.*s %-7s %6s %6" PRId64 " %7s %7s"
#define WIDE_LANE "%c %-*.*s %-7s %8s %10.10s %7" PRId64 " %8s %8s %8s"

static void
draw_figures(const struct drawing *d, size_t at, bool is_chosen)
{
	const struct model_lane *lane = &d->m->lanes[at];
	const struct backlog_share *share =
	    backlog_share_of(d->backlog, d->m, lane);
	const struct board_hist *wait = &lane->hists[BOARD_HIST_queue_wait];
	char rate[SAY_SIZE], queued[32] = "-", p95[SAY_SIZE] = "-",
			     sessions[32];
	struct topview_row *row;

	if (share != NULL)
		say_count(share->messages[BACKLOG_ACTIVE] +
			      share->messages[BACKLOG_INCOMING] +
			      share->messages[BACKLOG_DEFERRED],
		    d->backlog->is_exact, queued, sizeof(queued));
	if (wait->count > 0)
		(void)say_time(
		    (int64_t)board_hist_quantile(wait, 0.95), p95, sizeof(p95));
	(void)snprintf(sessions, sizeof(sessions), "%zu/%d",
	    lane->session_count, model_connection_limit(lane));
	(void)say_rate(lane->per_s_10s, rate, sizeof(rate));
	if (is_narrow(d))
		row = add(d, look_of(d->health[at].state), NARROW_LANE,
		    is_chosen ? '>' : ' ', name_width(d), name_width(d),
		    lane->name, health_name(d->health[at].state), rate,
		    lane->gauges[BOARD_GAUGE_requests_waiting], queued,
		    sessions);
	else
		row = add(d, look_of(d->health[at].state), WIDE_LANE,
		    is_chosen ? '>' : ' ', name_width(d), name_width(d),
		    lane->name, health_name(d->health[at].state), rate,
		    limit_of(lane), lane->gauges[BOARD_GAUGE_requests_waiting],
		    queued, sessions, p95);
	if (is_chosen)
		choose(d, row);
}

/* In one row or two, at a blank; what does not fit ends in dots. */
static void
draw_sentence(const struct drawing *d, const char *text, bool has_two)
{
	int room = (int)d->width - INDENT, first = (int)strlen(text);

	if (first > room && has_two) {
		for (first = room; first > 0 && text[first] != ' '; first--)
			continue;
		if (first == 0)
			first = room;
		(void)add(d, TOPVIEW_PLAIN, "%*s%.*s", INDENT, "", first, text);
		text += first + (text[first] == ' ');
	}
	if ((int)strlen(text) > room)
		(void)add(
		    d, TOPVIEW_PLAIN, "%*s%.*s...", INDENT, "", room - 3, text);
	else
		(void)add(d, TOPVIEW_PLAIN, "%*s%s", INDENT, "", text);
}

/* rows: of this lane, 1 to 4. A long sentence has the blank row's place. */
static void
draw_lane(const struct drawing *d, size_t at, bool is_chosen, size_t rows)
{
	const char *text = d->health[at].text;
	bool is_long = rows > 3 && strlen(text) + INDENT > d->width;

	draw_figures(d, at, is_chosen);
	if (rows > 1)
		draw_sentence(d, text, is_long);
	if (rows > 2)
		draw_pace(d, &d->m->lanes[at]);
	if (rows > 3 && !is_long)
		(void)add(d, TOPVIEW_PLAIN, "%s", "");
}

static size_t
accounts_in_use(const struct model *m)
{
	size_t n = 0;

	for (size_t i = 0; i < m->account_count; i++)
		n += m->accounts[i].is_in_use;
	return n;
}

/* As many rows for each as there is room for; when there is too little for one
 * each, those around the chosen one. */
static void
draw_lanes(const struct drawing *d)
{
	struct topview *v = d->view;
	size_t kept = accounts_in_use(d->m), left = rows_left(d), rows,
	       first = 0, count = v->lane_count;

	if (count == 0) {
		(void)add(d, TOPVIEW_ALARM, "%s/master.cf has no lane",
		    d->m->site->set.config_directory);
		return;
	}
	left = left > kept + 1 ? left - kept : 1;
	rows = left / count;
	if (rows > 4)
		rows = 4;
	if (rows == 0) {
		rows = 1;
		count = left;
		first = v->chosen >= count ? v->chosen - count + 1 : 0;
	}
	for (size_t i = first; i < first + count; i++)
		draw_lane(d, v->order[i], i == v->chosen, rows);
}

/* ---- below them ------------------------------------------------------------
 */

static void
draw_account(const struct drawing *d, const struct model_account *a)
{
	char bar[BAR_WIDTH * 4 + 1] = "";
	int limit = a->limit_now > 0 ? a->limit_now : 1;
	enum topview_look look =
	    a->limit_now < a->limit ? TOPVIEW_SLOWED : TOPVIEW_PLAIN;
	int full = (a->slots.held * BAR_WIDTH + limit - 1) / limit;
	size_t n = 0;

	for (int i = 0; i < BAR_WIDTH; i++) {
		const char *cell = i < full ? "#" : d->how->is_utf8 ? "·" : ".";

		memcpy(bar + n, cell, strlen(cell));
		n += strlen(cell);
	}
	bar[n] = '\0';
	if (is_narrow(d))
		(void)add(d, look,
		    "account %-12.12s %d of %d held, %d resting, "
		    "%d wanted",
		    a->label, a->slots.held, a->limit_now, a->slots.resting,
		    a->slots.wants);
	else
		(void)add(d, look,
		    "account %-20.20s %s %d of %d held, "
		    "%d resting, %d wanted",
		    a->label, bar, a->slots.held, a->limit_now,
		    a->slots.resting, a->slots.wants);
}

static void
draw_sessions(const struct drawing *d, const struct model_lane *lane)
{
	size_t left = rows_left(d);

	if (lane->session_count == 0 || left < SESSIONS_MIN)
		return;
	(void)add(d, TOPVIEW_HEAD, "  %-11s %-8s %8s %7s %9s  %s", "SESSION",
	    "STATE", "SINCE", "SENT", "UNDER/MAX", "SMARTHOST");
	left--;
	for (size_t i = 0; i < lane->session_count && i < left; i++) {
		const struct model_session *s = &lane->sessions[i];
		const char *where = s->host[0] != '\0' ? s->host : s->peer;
		char since[SAY_SIZE], load[40];

		(void)snprintf(load, sizeof(load), "%" PRIu64 "/%" PRIu64,
		    s->in_flight, s->depth);
		(void)add(d, TOPVIEW_PLAIN,
		    "  %-11s %-8s %8s %7" PRIu64 " %9s  %s", s->id, s->state,
		    say_ms(d->now_ms - s->since_wall_ms, since, sizeof(since)),
		    s->messages, load, where[0] != '\0' ? where : "-");
	}
}

static const char *
sort_name(enum topview_sort sort)
{
	switch (sort) {
	case TOPVIEW_BY_RATE:
		return "rate";
	case TOPVIEW_BY_WAIT:
		return "waiting";
	case TOPVIEW_BY_STATE:
		return "state";
	case TOPVIEW_AS_SET:
	case TOPVIEW_SORTS:
		break;
	}
	return "as set";
}

static void
draw_foot(const struct drawing *d)
{
	while (d->view->count < d->how->height - ROWS_BELOW)
		(void)add(d, TOPVIEW_PLAIN, "%s", "");
	(void)add(d, TOPVIEW_PLAIN, "%s",
	    d->how->remark != NULL ? d->how->remark : "");
	if (d->width < FOOT_WIDTH)
		(void)add(d, TOPVIEW_DIM, "p pause  r resume  s sort: %s  q",
		    sort_name(d->how->sort));
	else
		(void)add(d, TOPVIEW_DIM,
		    "up/down choose  p pause  r resume  s sort: %s  q quit",
		    sort_name(d->how->sort));
}

/* ---- in order --------------------------------------------------------------
 */

static double
weight(const struct drawing *d, size_t at)
{
	const struct model_lane *lane = &d->m->lanes[at];

	switch (d->how->sort) {
	case TOPVIEW_BY_RATE:
		return lane->per_s_10s;
	case TOPVIEW_BY_WAIT:
		return (double)lane->gauges[BOARD_GAUGE_requests_waiting];
	case TOPVIEW_BY_STATE:
		return (double)d->health[at].state;
	case TOPVIEW_AS_SET:
	case TOPVIEW_SORTS:
		break;
	}
	return 0;
}

/* The heaviest first; equals stay as they are. Lanes are few. */
static void
sort(const struct drawing *d)
{
	struct topview *v = d->view;

	for (size_t i = 1; i < v->lane_count; i++)
		for (size_t k = i; k > 0 && weight(d, v->order[k]) >
						weight(d, v->order[k - 1]);
		     k--) {
			size_t other = v->order[k];

			v->order[k] = v->order[k - 1];
			v->order[k - 1] = other;
		}
}

static void
choose_lanes(const struct drawing *d)
{
	struct topview *v = d->view;

	for (size_t i = 0; i < d->m->lane_count; i++) {
		const struct model_lane *lane = &d->m->lanes[i];

		health_of(&d->health[i], d->m, lane, d->backlog, d->postfix);
		if (lane->site != NULL || lane->process == MODEL_RUNNING)
			v->order[v->lane_count++] = i;
	}
	sort(d);
	for (size_t i = 0; i < v->lane_count; i++)
		if (d->how->chosen != NULL &&
		    strcmp(d->m->lanes[v->order[i]].name, d->how->chosen) == 0)
			v->chosen = i;
}

static size_t
between(size_t value, size_t low, size_t high)
{
	return value < low ? low : value > high ? high : value;
}

static void
draw_head(const struct drawing *d)
{
	char clock[SAY_SIZE];
	const char *state = d->postfix == POSTFIX_STOPPED
				? "Postfix is not running"
				: "postlane";
	int gap = (int)d->width - (int)strlen(state) - 8;

	(void)add(d,
	    d->postfix == POSTFIX_STOPPED ? TOPVIEW_ALARM : TOPVIEW_HEAD,
	    "%s%*s%s", state, gap, "",
	    say_clock(d->now_ms, d->now_ms, clock, sizeof(clock)));
	if (is_narrow(d))
		(void)add(d, TOPVIEW_HEAD, "  %-*s %-7s %6s %6s %7s %7s",
		    name_width(d), "LANE", "STATE", "RATE/S", "WAIT", "QUEUED",
		    "SESS");
	else
		(void)add(d, TOPVIEW_HEAD,
		    "  %-*s %-7s %8s %10s %7s %8s %8s %8s", name_width(d),
		    "LANE", "STATE", "RATE/S", "LIMIT", "WAIT", "QUEUED",
		    "SESSIONS", "P95");
}

struct topview *
topview_new(const struct model *m, const struct backlog *backlog,
    enum postfix_state postfix, const struct topview_how *how)
{
	struct topview_how fit = *how;
	struct topview *v = mem_zalloc(sizeof(*v));
	struct drawing d = {
	    .view = v,
	    .m = m,
	    .backlog = backlog,
	    .postfix = postfix,
	    .how = &fit,
	    .health = mem_zarray(m->lane_count + 1, sizeof(struct health)),
	    .now_ms = model_wall_ms(m),
	};

	fit.height =
	    between(how->height, TOPVIEW_HEIGHT_MIN, TOPVIEW_HEIGHT_MAX);
	d.width = between(how->width, TOPVIEW_WIDTH_MIN, TOPVIEW_WIDTH_MAX);
	v->order = mem_zarray(m->lane_count + 1, sizeof(v->order[0]));
	choose_lanes(&d);
	draw_head(&d);
	draw_lanes(&d);
	for (size_t i = 0; i < m->account_count; i++)
		if (m->accounts[i].is_in_use && rows_left(&d) > 0)
			draw_account(&d, &m->accounts[i]);
	if (v->lane_count > 0)
		draw_sessions(&d, &m->lanes[v->order[v->chosen]]);
	draw_foot(&d);
	mem_free(d.health);
	return v;
}

void
topview_free(struct topview **view)
{
	struct topview *old = *view;

	*view = NULL;
	if (old == NULL)
		return;
	mem_free(old->order);
	mem_free(old);
}
