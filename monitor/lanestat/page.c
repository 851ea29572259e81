#include "monitor/lanestat/page.h"

#include <inttypes.h>
#include <string.h>

#include "monitor/forecast.h"
#include "monitor/health.h"
#include "monitor/lanestat/lane_limits.h"
#include "monitor/say.h"

/* Whoever has the program has the page. */
__asm__(".section .rodata\n"
	"page_html: .incbin \"monitor/lanestat/page.html\"\n"
	".byte 0\n"
	"page_css: .incbin \"monitor/lanestat/page.css\"\n"
	".byte 0\n"
	"page_js: .incbin \"monitor/lanestat/page.js\"\n"
	".byte 0\n"
	".previous\n");
extern const char page_html[], page_css[], page_js[];

static const char place[] = "<!-- tables -->";

struct slice
page_style(void)
{
	return slice_str(page_css);
}

struct slice
page_script(void)
{
	return slice_str(page_js);
}

struct paging {
	struct buf *out;
	const struct model *m;
	const struct backlog *backlog;
	enum postfix_state postfix;
};

/* ---- cells -------------------------------------------------------------- */

static void
add_text(struct buf *out, const char *text)
{
	for (const char *p = text; *p != '\0'; p++)
		switch (*p) {
		case '<':
			(void)buf_add_str(out, "&lt;");
			break;
		case '>':
			(void)buf_add_str(out, "&gt;");
			break;
		case '&':
			(void)buf_add_str(out, "&amp;");
			break;
		case '"':
			(void)buf_add_str(out, "&quot;");
			break;
		default:
			(void)buf_add_char(out, *p);
		}
}

static void
cell(struct buf *out, const char *text)
{
	(void)buf_add_str(out, "<td>");
	add_text(out, text);
	(void)buf_add_str(out, "</td>");
}

static void
number_cell(struct buf *out, int64_t n)
{
	(void)buf_addf(out, "<td class=\"n\">%" PRId64 "</td>", n);
}

static void
rate_cell(struct buf *out, double per_s)
{
	char text[SAY_SIZE];

	(void)buf_addf(out, "<td class=\"n\">%s</td>",
	    say_rate(per_s, text, sizeof(text)));
}

static void
head(struct buf *out, const char *title, const char *const *columns)
{
	(void)buf_addf(out, "<table><caption>%s</caption><thead><tr>", title);
	for (size_t i = 0; columns[i] != NULL; i++)
		(void)buf_addf(out, "<th>%s</th>", columns[i]);
	(void)buf_add_str(out, "</tr></thead><tbody>\n");
}

static void
foot(struct buf *out)
{
	(void)buf_add_str(out, "</tbody></table>\n");
}

/* ---- tables ------------------------------------------------------------- */

static void
lane_row(const struct paging *p, const struct model_lane *lane)
{
	struct health health;
	const char *state;

	health_of(&health, p->m, lane, p->backlog, p->postfix);
	state = health_name(health.state);
	(void)buf_add_str(p->out, "<tr>");
	cell(p->out, lane->name);
	(void)buf_addf(p->out, "<td class=\"is-%s\">%s</td>", state, state);
	cell(p->out, health.text);
	rate_cell(p->out, lane->per_s_10s);
	rate_cell(p->out, lane->per_s_1min);
	rate_cell(p->out, lane->per_s_1h);
	rate_cell(p->out, lane_limit_per_s(p->m, lane));
	rate_cell(p->out, (double)lane->gauges[BOARD_GAUGE_rate_milli] / 1000);
	number_cell(p->out, lane->gauges[BOARD_GAUGE_requests_waiting]);
	number_cell(p->out, (int64_t)lane->session_count);
	(void)buf_add_str(p->out, "</tr>\n");
}

static void
lanes(const struct paging *p)
{
	static const char *const columns[] = {"Lane", "State", "Why",
	    "Sent/s, 10 s", "1 min", "1 h", "Limit/s", "Learned/s", "Waiting",
	    "Sessions", NULL};

	head(p->out, "Lanes", columns);
	for (size_t i = 0; i < p->m->lane_count; i++)
		if (model_is_asked_for(&p->m->lanes[i], NULL))
			lane_row(p, &p->m->lanes[i]);
	foot(p->out);
}

static void
queue_row(const struct paging *p, const struct model_lane *lane)
{
	const struct backlog_share *share =
	    backlog_share_of(p->backlog, p->m, lane);
	struct forecast f;
	char text[SAY_SIZE], limit[FORECAST_LIMIT_SIZE];
	char end[FORECAST_END_SIZE];

	if (share == NULL)
		return;
	forecast_of(&f, p->m, lane, share);
	(void)buf_add_str(p->out, "<tr>");
	cell(p->out, lane->name);
	for (int q = 0; q < BACKLOG_QUEUES; q++)
		number_cell(p->out, (int64_t)share->messages[q]);
	if (f.messages == 0)
		cell(p->out, "nothing waits");
	else
		cell(p->out, forecast_say_end(&f, lane, model_wall_ms(p->m),
				 end, sizeof(end)));
	if (f.limit_s > 0)
		cell(p->out, say_ms(f.limit_s * 1000, text, sizeof(text)));
	else
		cell(p->out, "");
	cell(p->out,
	    forecast_say_limit(&f, model_wall_ms(p->m), limit, sizeof(limit)));
	(void)buf_add_str(p->out, "</tr>\n");
}

static void
queues(const struct paging *p)
{
	static const char *const columns[] = {"Lane", "Incoming", "Active",
	    "Deferred", "Gone in", "At least", "by the limit", NULL};

	head(p->out, "Postfix's queue and when it will be empty", columns);
	for (size_t i = 0; i < p->m->lane_count; i++)
		queue_row(p, &p->m->lanes[i]);
	foot(p->out);
}

static void
accounts(const struct paging *p)
{
	static const char *const columns[] = {"Account", "Held", "Resting",
	    "Wanted", "Allowed now", "Set", "Last refusal", NULL};

	head(p->out, "Connections of each account", columns);
	for (size_t i = 0; i < p->m->account_count; i++) {
		const struct model_account *a = &p->m->accounts[i];

		if (!a->is_in_use)
			continue;
		(void)buf_add_str(p->out, "<tr>");
		cell(p->out, a->label);
		number_cell(p->out, a->slots.held);
		number_cell(p->out, a->slots.resting);
		number_cell(p->out, a->slots.wants);
		number_cell(p->out, a->limit_now);
		number_cell(p->out, a->limit);
		cell(p->out, a->refusal);
		(void)buf_add_str(p->out, "</tr>\n");
	}
	foot(p->out);
}

static void
tokens(const struct paging *p)
{
	static const char *const columns[] = {"Token", "State", "Why", NULL};
	struct health health;

	if (p->m->token_count == 0)
		return;
	head(p->out, "Access tokens", columns);
	for (size_t i = 0; i < p->m->token_count; i++) {
		const char *state;

		health_of_token(&health, p->m, &p->m->tokens[i]);
		state = health_name(health.state);
		(void)buf_add_str(p->out, "<tr>");
		cell(p->out, p->m->tokens[i].name);
		(void)buf_addf(
		    p->out, "<td class=\"is-%s\">%s</td>", state, state);
		cell(p->out, health.text);
		(void)buf_add_str(p->out, "</tr>\n");
	}
	foot(p->out);
}

static void
wait_row(const struct paging *p, const struct model_lane *lane)
{
	static const enum board_hist_id parts[] = {BOARD_HIST_postfix_wait,
	    BOARD_HIST_queue_wait, BOARD_HIST_session_wait,
	    BOARD_HIST_wire_time};
	static const double shares[] = {0.5, 0.95};
	char text[SAY_SIZE];

	(void)buf_add_str(p->out, "<tr>");
	cell(p->out, lane->name);
	for (size_t s = 0; s < 2; s++)
		for (size_t i = 0; i < sizeof(parts) / sizeof(parts[0]); i++)
			(void)buf_addf(p->out, "<td class=\"n\">%s</td>",
			    say_time((int64_t)board_hist_quantile(
					 &lane->hists[parts[i]], shares[s]),
				text, sizeof(text)));
	(void)buf_add_str(p->out, "</tr>\n");
}

static void
waits(const struct paging *p)
{
	static const char *const columns[] = {"Lane", "50 %: in Postfix",
	    "in the lane", "for a session", "on the wire", "95 %: in Postfix",
	    "in the lane", "for a session", "on the wire", NULL};

	head(p->out, "Waits, of all that was ever sent", columns);
	for (size_t i = 0; i < p->m->lane_count; i++)
		if (model_is_asked_for(&p->m->lanes[i], NULL))
			wait_row(p, &p->m->lanes[i]);
	foot(p->out);
}

static void
replies(const struct paging *p)
{
	static const char *const columns[] = {"Lane", "Delivered", "Deferred",
	    "Bounced", "Asked to slow down", "421", "Lost sessions", NULL};
	static const enum board_counter which[] = {
	    BOARD_COUNTER_recipients_sent, BOARD_COUNTER_recipients_deferred,
	    BOARD_COUNTER_recipients_bounced, BOARD_COUNTER_throttled,
	    BOARD_COUNTER_replies_421, BOARD_COUNTER_closed_lost};

	head(p->out, "Replies by kind, of all there ever were", columns);
	for (size_t i = 0; i < p->m->lane_count; i++) {
		const struct model_lane *lane = &p->m->lanes[i];

		if (!model_is_asked_for(lane, NULL))
			continue;
		(void)buf_add_str(p->out, "<tr>");
		cell(p->out, lane->name);
		for (size_t k = 0; k < sizeof(which) / sizeof(which[0]); k++)
			number_cell(p->out, (int64_t)lane->counters[which[k]]);
		(void)buf_add_str(p->out, "</tr>\n");
	}
	foot(p->out);
}

static void
events(const struct paging *p, const struct history *history)
{
	enum { SHOWN = 20 };
	static const char *const columns[] = {
	    "When", "Lane or account", "What", NULL};
	const struct history_event *rows[SHOWN];
	size_t n = history_events(history, rows, SHOWN);
	char text[SAY_SIZE];

	head(p->out, "Lately", columns);
	for (size_t i = 0; i < n; i++) {
		(void)buf_add_str(p->out, "<tr>");
		cell(p->out, say_clock((int64_t)rows[i]->at_wall_ms,
				 model_wall_ms(p->m), text, sizeof(text)));
		cell(p->out, rows[i]->lane);
		cell(p->out, rows[i]->text);
		(void)buf_add_str(p->out, "</tr>\n");
	}
	foot(p->out);
}

void
page_write(struct buf *out, const struct model *m,
    const struct backlog *backlog, enum postfix_state postfix,
    const struct history *history)
{
	struct paging p = {
	    .out = out, .m = m, .backlog = backlog, .postfix = postfix};
	const char *at = strstr(page_html, place);
	size_t before = (size_t)(at - page_html);

	(void)buf_add(out, page_html, before);
	lanes(&p);
	queues(&p);
	accounts(&p);
	tokens(&p);
	waits(&p);
	replies(&p);
	events(&p, history);
	(void)buf_add_str(out, at + strlen(place));
}
