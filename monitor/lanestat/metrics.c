#include "monitor/lanestat/metrics.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "common/base/release.h"
#include "monitor/forecast.h"
#include "monitor/health.h"
#include "monitor/lanestat/lane_limits.h"
#include "monitor/lanestat/metrics_state.h"

/* ---- counters ----------------------------------------------------------- */

/* Rows of one family stand together. */
static const struct counter_row {
	const char *family, *help;
	const char *label, *value; /* NULL: by lane alone */
	enum board_counter which;
} counters[] = {
#define MESSAGES                                                               \
	"postlane_messages",                                                   \
	    "Messages with at least one recipient of this "                    \
	    "result",                                                          \
	    "result"
    {MESSAGES, "sent", BOARD_COUNTER_messages_sent},
    {MESSAGES, "deferred", BOARD_COUNTER_messages_deferred},
    {MESSAGES, "bounced", BOARD_COUNTER_messages_bounced},
#define RECIPIENTS "postlane_recipients", "Recipients by result", "result"
    {RECIPIENTS, "sent", BOARD_COUNTER_recipients_sent},
    {RECIPIENTS, "deferred", BOARD_COUNTER_recipients_deferred},
    {RECIPIENTS, "bounced", BOARD_COUNTER_recipients_bounced},
    {RECIPIENTS, "probed", BOARD_COUNTER_recipients_probed},
#define DEFERRALS                                                              \
	"postlane_deferrals", "Recipients deferred, each for one reason",      \
	    "reason"
    {DEFERRALS, "reply", BOARD_COUNTER_deferred_reply},
    {DEFERRALS, "lost", BOARD_COUNTER_deferred_lost},
    {DEFERRALS, "rate", BOARD_COUNTER_deferred_rate},
    {DEFERRALS, "domain", BOARD_COUNTER_deferred_domain},
    {DEFERRALS, "pause", BOARD_COUNTER_deferred_pause},
    {DEFERRALS, "wait", BOARD_COUNTER_deferred_wait},
    {DEFERRALS, "unreachable", BOARD_COUNTER_deferred_unreachable},
    {DEFERRALS, "alarm", BOARD_COUNTER_deferred_alarm},
    {DEFERRALS, "config", BOARD_COUNTER_deferred_config},
    {DEFERRALS, "crowded", BOARD_COUNTER_deferred_crowded},
    {DEFERRALS, "local", BOARD_COUNTER_deferred_local},
    {"postlane_sent_bytes", "Message octets given to sessions", NULL, NULL,
	BOARD_COUNTER_octets_sent},
    {"postlane_requests_read", "Delivery requests of the queue manager", NULL,
	NULL, BOARD_COUNTER_requests},
    {"postlane_requests_dropped", "Requests it gave up unsent", NULL, NULL,
	BOARD_COUNTER_requests_dropped},
    {"postlane_transactions", "MAIL commands sent", NULL, NULL,
	BOARD_COUNTER_transactions},
    {"postlane_resets", "RSET commands sent", NULL, NULL, BOARD_COUNTER_resets},
    {"postlane_chunks", "BDAT commands sent", NULL, NULL, BOARD_COUNTER_chunks},
    {"postlane_dials_begun", "Connections begun", NULL, NULL,
	BOARD_COUNTER_dials},
#define DIALS                                                                  \
	"postlane_dials", "Connections by result; refused: for their number",  \
	    "result"
    {DIALS, "ok", BOARD_COUNTER_dials_ok},
    {DIALS, "failed", BOARD_COUNTER_dials_failed},
    {DIALS, "refused", BOARD_COUNTER_dials_refused},
#define TLS "postlane_tls_handshakes", "TLS handshakes", "kind"
    {TLS, "full", BOARD_COUNTER_tls_full},
    {TLS, "resumed", BOARD_COUNTER_tls_resumed},
#define LOGINS "postlane_logins", "Logins by result", "result"
    {LOGINS, "ok", BOARD_COUNTER_auths_ok},
    {LOGINS, "failed", BOARD_COUNTER_auths_failed},
    {"postlane_logins_leading", "Logins accepted with mail behind them", NULL,
	NULL, BOARD_COUNTER_auths_led},
#define CLOSED "postlane_sessions_closed", "Sessions ended, by reason", "reason"
    {CLOSED, "spent", BOARD_COUNTER_closed_spent},
    {CLOSED, "age", BOARD_COUNTER_closed_age},
    {CLOSED, "idle", BOARD_COUNTER_closed_idle},
    {CLOSED, "surplus", BOARD_COUNTER_closed_surplus},
    {CLOSED, "errors", BOARD_COUNTER_closed_errors},
    {CLOSED, "reply_421", BOARD_COUNTER_closed_421},
    {CLOSED, "lost", BOARD_COUNTER_closed_lost},
    {CLOSED, "timeout", BOARD_COUNTER_closed_timeout},
    {CLOSED, "protocol", BOARD_COUNTER_closed_protocol},
    {CLOSED, "stop", BOARD_COUNTER_closed_stop},
    {"postlane_replies_421", "421 replies, to dials included", NULL, NULL,
	BOARD_COUNTER_replies_421},
    {"postlane_replies_throttling", "Replies that ask to slow down or to pause",
	NULL, NULL, BOARD_COUNTER_throttled},
#define LESSONS "postlane_lessons", "What replies taught, by kind", "kind"
    {LESSONS, "pace", BOARD_COUNTER_lessons_pace},
    {LESSONS, "pause", BOARD_COUNTER_lessons_pause},
    {LESSONS, "quota", BOARD_COUNTER_lessons_quota},
    {LESSONS, "connections", BOARD_COUNTER_lessons_connections},
    {LESSONS, "manner", BOARD_COUNTER_lessons_manner},
    {LESSONS, "alarm", BOARD_COUNTER_lessons_alarm},
    {"postlane_retries", "Transactions returned by a session, to be sent again",
	NULL, NULL, BOARD_COUNTER_retries},
    {"postlane_in_doubt", "Recipients whose reply was lost after all was sent",
	NULL, NULL, BOARD_COUNTER_in_doubt},
    {"postlane_poisoned", "Messages set aside after crashes", NULL, NULL,
	BOARD_COUNTER_poisoned},
    {"postlane_corrupt", "Queue files that could not be read whole", NULL, NULL,
	BOARD_COUNTER_corrupt},
    {"postlane_report_failures",
	"Conversations with bounce(8), defer(8) and others that failed", NULL,
	NULL, BOARD_COUNTER_reports_failed},
#define SLOTS                                                                  \
	"postlane_slots", "Connection slots asked for, by result", "result"
    {SLOTS, "taken", BOARD_COUNTER_slots_taken},
    {SLOTS, "refused", BOARD_COUNTER_slots_refused},
    {"postlane_scheduler_runs", "Runs of the scheduler", NULL, NULL,
	BOARD_COUNTER_kicks},
#define CROWD                                                                  \
	"postlane_crowd_messages",                                             \
	    "Messages given back as the active queue was crowded, and called " \
	    "back",                                                            \
	    "action"
    {CROWD, "deferred", BOARD_COUNTER_crowd_deferred},
    {CROWD, "called_back", BOARD_COUNTER_crowd_called_back},
    {"postlane_log_lines_lost", "Log lines that no receiver took in time", NULL,
	NULL, BOARD_COUNTER_log_lines_lost},
};

static void
lane_labels(struct writing *w, const struct model_lane *lane)
{
	exposition_label(&w->e, "lane", lane->name);
}

/* Rows of one family stand together: the first one tells of it. Returns the
 * row's family, for the next one. */
static const char *
begin_row(struct writing *w, enum exposition_type type, const char *family,
    const char *help, const char *before)
{
	if (strcmp(family, before) != 0)
		exposition_family(&w->e, type, family, help);
	return family;
}

static void
row_labels(struct writing *w, const struct model_lane *lane, const char *label,
    const char *value)
{
	lane_labels(w, lane);
	if (label != NULL)
		exposition_label(&w->e, label, value);
}

static void
write_counters(struct writing *w)
{
	const char *family = "";

	for (size_t i = 0; i < sizeof(counters) / sizeof(counters[0]); i++) {
		const struct counter_row *row = &counters[i];

		family = begin_row(
		    w, EXPOSITION_COUNTER, row->family, row->help, family);
		for (EACH_LANE(w, lane)) {
			if (!metrics_knows(w, lane))
				continue;
			row_labels(w, lane, row->label, row->value);
			exposition_count(&w->e, lane->counters[row->which]);
		}
	}
}

/* ---- gauges of a lane --------------------------------------------------- */

static double
seconds_of(int64_t wall_ms)
{
	return (double)wall_ms / 1000;
}

static int64_t
gauge(const struct model_lane *lane, enum board_gauge which)
{
	return lane->gauges[which];
}

static double
waiting_of(const struct writing *w, const struct model_lane *lane)
{
	int64_t n = gauge(lane, BOARD_GAUGE_requests_waiting) -
		    gauge(lane, BOARD_GAUGE_requests_parked);

	(void)w;
	return n > 0 ? (double)n : 0;
}

static double
oldest_of(const struct writing *w, const struct model_lane *lane)
{
	int64_t since = gauge(lane, BOARD_GAUGE_oldest_wall_ms);
	int64_t ms = since > 0 ? model_wall_ms(w->m) - since : 0;

	return ms > 0 ? seconds_of(ms) : 0;
}

static double
up_of(const struct writing *w, const struct model_lane *lane)
{
	(void)w;
	return lane->process == MODEL_RUNNING;
}

static double
start_of(const struct writing *w, const struct model_lane *lane)
{
	(void)w;
	return seconds_of(lane->started_wall_ms);
}

static double
beat_of(const struct writing *w, const struct model_lane *lane)
{
	(void)w;
	return seconds_of(lane->beat_wall_ms);
}

static double
counted_of(const struct writing *w, const struct model_lane *lane)
{
	(void)w;
	return seconds_of(lane->counted_since_wall_ms);
}

static double
configured_of(const struct writing *w, const struct model_lane *lane)
{
	return lane_limit_per_s(w->m, lane);
}

static double
learned_of(const struct writing *w, const struct model_lane *lane)
{
	(void)w;
	return (double)gauge(lane, BOARD_GAUGE_rate_milli) / 1000;
}

static double
held_of(const struct writing *w, const struct model_lane *lane)
{
	(void)w;
	return lane->held;
}

static double
reserve_of(const struct writing *w, const struct model_lane *lane)
{
	(void)w;
	return lane->reserve;
}

static double
wants_of(const struct writing *w, const struct model_lane *lane)
{
	(void)w;
	return lane->wants;
}

/* of: NULL: the board's own value, a time in seconds when is_time. */
static const struct gauge_row {
	const char *family, *help, *label, *value;
	double (*of)(const struct writing *w, const struct model_lane *lane);
	enum board_gauge which;
	bool is_time;
} gauges[] = {
    {"postlane_lane_up", "1: a process has the lane", .of = up_of},
    {"postlane_lane_start_timestamp_seconds", "Start of its last process",
	.of = start_of},
    {"postlane_lane_beat_timestamp_seconds", "Its last sign of life",
	.of = beat_of},
    {"postlane_counted_since_timestamp_seconds",
	"Counters count from here, over all processes of the lane",
	.of = counted_of},
#define REQUESTS                                                               \
	"postlane_requests",                                                   \
	    "Requests inside; parked: they wait for the limit of a domain",    \
	    "state"
    {REQUESTS, "waiting", waiting_of, .is_time = false},
    {REQUESTS, "parked", .which = BOARD_GAUGE_requests_parked},
    {REQUESTS, "in_flight", .which = BOARD_GAUGE_requests_in_flight},
    {REQUESTS, "reporting", .which = BOARD_GAUGE_reports_pending},
#define SESSIONS "postlane_sessions", "Open sessions by what they do", "state"
    {SESSIONS, "dialing", .which = BOARD_GAUGE_sessions_dialing},
    {SESSIONS, "idle", .which = BOARD_GAUGE_sessions_idle},
    {SESSIONS, "busy", .which = BOARD_GAUGE_sessions_busy},
    {SESSIONS, "closing", .which = BOARD_GAUGE_sessions_closing},
#define LANE_SLOTS                                                             \
	"postlane_lane_slots",                                                 \
	    "Connection slots of the account: held, kept for this lane, "      \
	    "wanted beyond",                                                   \
	    "state"
    {LANE_SLOTS, "held", .of = held_of},
    {LANE_SLOTS, "reserved", .of = reserve_of},
    {LANE_SLOTS, "wanted", .of = wants_of},
    {"postlane_oldest_request_age_seconds",
	"How long the oldest request waits, 0: none does", .of = oldest_of},
    {"postlane_configured_messages_per_second",
	"The tightest limit of messages that was set, 0: none",
	.of = configured_of},
    {"postlane_learned_messages_per_second",
	"The rate that replies taught, 0: none", .of = learned_of},
    {"postlane_paused_until_timestamp_seconds",
	"No mail before, as the smarthost asked for, 0: not paused",
	.which = BOARD_GAUGE_paused_until_wall_ms, .is_time = true},
    {"postlane_active_queue_messages",
	"Messages in Postfix's active queue, of all transports, as the lane "
	"counted them",
	.which = BOARD_GAUGE_messages_active},
    {"postlane_crowd_relieving",
	"1: the active queue is crowded, and surplus is given back",
	.which = BOARD_GAUGE_crowd_relieving},
    {"postlane_crowd_given_back_messages",
	"Messages to be called back when there is room",
	.which = BOARD_GAUGE_crowd_given_back},
    {"postlane_wakeup_timestamp_seconds",
	"When the lane looks again by itself, 0: when something happens",
	.which = BOARD_GAUGE_wakeup_wall_ms, .is_time = true},
    {"postlane_client_certificate_expiry_timestamp_seconds",
	"End of the lane's own certificate, 0: it has none",
	.which = BOARD_GAUGE_certificate_wall_ms, .is_time = true},
    {"postlane_alarms", "Alarms that stand",
	.which = BOARD_GAUGE_alarms_raised},
    {"postlane_alerts_pending",
	"Alerts that lane_alert_url or lane_alert_command have not taken yet",
	.which = BOARD_GAUGE_alerts_pending},
    {"postlane_outage_noted_messages",
	"Messages to be called back when an outage ends",
	.which = BOARD_GAUGE_outage_noted},
    {"postlane_limited_domains",
	"Recipient domains whose limit is not full again",
	.which = BOARD_GAUGE_domains_limited},
    {"postlane_bypassed_hosts",
	"Hosts that cannot be used, while the next of their list has the mail",
	.which = BOARD_GAUGE_hosts_bypassed},
};

static double
gauge_of(const struct writing *w, const struct gauge_row *row,
    const struct model_lane *lane)
{
	if (row->of != NULL)
		return row->of(w, lane);
	if (row->is_time)
		return seconds_of(gauge(lane, row->which));
	return (double)gauge(lane, row->which);
}

static void
write_gauges(struct writing *w)
{
	const char *family = "";

	for (size_t i = 0; i < sizeof(gauges) / sizeof(gauges[0]); i++) {
		const struct gauge_row *row = &gauges[i];

		family = begin_row(
		    w, EXPOSITION_GAUGE, row->family, row->help, family);
		for (EACH_LANE(w, lane)) {
			if (!metrics_knows(w, lane))
				continue;
			row_labels(w, lane, row->label, row->value);
			exposition_value(&w->e, gauge_of(w, row, lane));
		}
	}
}

/* ---- one of several states ---------------------------------------------- */

static void
write_health(struct writing *w)
{
	struct health h;

	exposition_family(&w->e, EXPOSITION_GAUGE, "postlane_lane_health",
	    "1: how the lane is, as postlane status says it");
	for (EACH_LANE(w, lane)) {
		if (!metrics_shows(w, lane))
			continue;
		health_of(&h, w->m, lane, w->backlog, w->postfix);
		for (int s = HEALTH_WELL; s <= HEALTH_DOWN; s++) {
			lane_labels(w, lane);
			exposition_label(
			    &w->e, "state", health_name((enum health_state)s));
			exposition_value(&w->e, (int)h.state == s);
		}
	}
}

static void
write_waits(struct writing *w)
{
	exposition_family(&w->e, EXPOSITION_GAUGE, "postlane_waiting_for",
	    "1: what most of the mail in the lane waits for");
	for (EACH_LANE(w, lane)) {
		if (!metrics_knows(w, lane))
			continue;
		for (unsigned i = 0; i < BOARD_WAIT_COUNT; i++) {
			lane_labels(w, lane);
			exposition_label(&w->e, "reason", board_wait_name(i));
			exposition_value(&w->e, lane->waits == i);
		}
	}
}

static bool
has_alarm(const struct model_lane *lane, const char *what)
{
	for (size_t i = 0; i < lane->alarm_count; i++)
		if (strcmp(lane->alarms[i].what, what) == 0)
			return true;
	return false;
}

static void
write_alarms(struct writing *w)
{
	/* alarm_kind_name(), which never change */
	static const char *const kinds[] = {
	    "login", "blocked", "certificate", "outage", "token"};

	exposition_family(&w->e, EXPOSITION_GAUGE, "postlane_alarm",
	    "1: somebody has to act");
	for (EACH_LANE(w, lane)) {
		if (!metrics_knows(w, lane))
			continue;
		for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++) {
			lane_labels(w, lane);
			exposition_label(&w->e, "what", kinds[i]);
			exposition_value(&w->e, has_alarm(lane, kinds[i]));
		}
	}
}

static bool
has_order(const struct model_lane *lane, enum steer_verb verb)
{
	for (size_t i = 0; i < lane->order_count; i++)
		if (lane->orders[i].verb == verb)
			return true;
	return false;
}

static void
write_orders(struct writing *w)
{
	exposition_family(&w->e, EXPOSITION_GAUGE, "postlane_order",
	    "1: an operator asked for it, and it is in force");
	for (EACH_LANE(w, lane)) {
		if (!metrics_shows(w, lane))
			continue;
		for (int v = 0; v < STEER_VERBS; v++) {
			lane_labels(w, lane);
			exposition_label(
			    &w->e, "verb", steer_verb_name((enum steer_verb)v));
			exposition_value(
			    &w->e, has_order(lane, (enum steer_verb)v));
		}
	}
}

/* ---- Postfix's queue ---------------------------------------------------- */

static const struct backlog_share *
share_of(const struct writing *w, const struct model_lane *lane)
{
	return backlog_share_of(w->backlog, w->m, lane);
}

static double
drain_of(const struct writing *w, const struct model_lane *lane)
{
	const struct backlog_share *share = share_of(w, lane);
	struct forecast f;

	if (share == NULL)
		return (double)NAN;
	forecast_of(&f, w->m, lane, share);
	if (f.unknown[0] != '\0')
		return (double)NAN;
	return f.empty_s < 0 ? (double)INFINITY : (double)f.empty_s;
}

static void
write_backlog(struct writing *w)
{
	const struct backlog *b = w->backlog;

	exposition_family(&w->e, EXPOSITION_GAUGE, "postlane_backlog_known",
	    "0: Postfix's queue could not be looked at, and its figures are 0");
	exposition_value(&w->e, b != NULL && b->is_known);
	exposition_family(&w->e, EXPOSITION_GAUGE, "postlane_backlog_messages",
	    "Messages in Postfix's queue for the lane, an estimate if many");
	for (EACH_LANE(w, lane)) {
		const struct backlog_share *share = share_of(w, lane);

		for (int q = 0; metrics_shows(w, lane) && q < BACKLOG_QUEUES;
		     q++) {
			lane_labels(w, lane);
			exposition_label(&w->e, "queue",
			    backlog_queue_name((enum backlog_queue)q));
			exposition_count(
			    &w->e, share != NULL ? share->messages[q] : 0);
		}
	}
	exposition_family(&w->e, EXPOSITION_GAUGE,
	    "postlane_backlog_drain_seconds",
	    "Until the lane's mail in the queue is gone, at the pace of the "
	    "last minute; +Inf: never at that, NaN: unknown, as in an outage");
	for (EACH_LANE(w, lane)) {
		if (!metrics_knows(w, lane))
			continue;
		lane_labels(w, lane);
		exposition_value(&w->e, drain_of(w, lane));
	}
}

/* ---- histograms --------------------------------------------------------- */

/* Of 2^k microseconds. */
static const unsigned edges[] = {
    10, 12, 14, 16, 17, 18, 19, 20, 21, 22, 24, 26, 28, 30, 32, 34};

static const struct {
	const char *family, *help;
	enum board_hist_id which;
} hists[] = {
    {"postlane_postfix_wait_seconds",
	"Of messages that were delivered or bounced: from arrival in Postfix "
	"to the lane",
	BOARD_HIST_postfix_wait},
    {"postlane_queue_wait_seconds", "From the lane to the wire",
	BOARD_HIST_queue_wait},
    {"postlane_session_wait_seconds",
	"From mail that wants a session to having one",
	BOARD_HIST_session_wait},
    {"postlane_wire_seconds", "From MAIL to the reply that decides",
	BOARD_HIST_wire_time},
    {"postlane_dial_seconds", "From connect to a session that is ready",
	BOARD_HIST_dial_time},
    {"postlane_report_seconds",
	"From the last verdict to the final status for the queue manager",
	BOARD_HIST_report_time},
    {"postlane_fleet_renew_seconds",
	"From a question to the fleet's engine to its answer",
	BOARD_HIST_fleet_renew},
};

static void
write_hist(struct writing *w, const struct model_lane *lane,
    const struct board_hist *h)
{
	uint64_t count = 0;
	unsigned bucket = 0;
	char edge[32];

	for (size_t i = 0; i < sizeof(edges) / sizeof(edges[0]); i++) {
		uint64_t end_us = UINT64_C(1) << edges[i];

		while (bucket < BOARD_HIST_BUCKETS &&
		       board_hist_floor(bucket) < end_us)
			count += h->buckets[bucket++];
		(void)snprintf(
		    edge, sizeof(edge), "%.15g", (double)end_us / 1e6);
		lane_labels(w, lane);
		exposition_bucket(&w->e, edge, count);
	}
	/* Not h->count, which may be a moment older than the buckets. */
	while (bucket < BOARD_HIST_BUCKETS)
		count += h->buckets[bucket++];
	lane_labels(w, lane);
	exposition_bucket(&w->e, "+Inf", count);
	lane_labels(w, lane);
	exposition_part(&w->e, "_sum", (double)h->sum / 1e6);
	lane_labels(w, lane);
	exposition_part(&w->e, "_count", (double)count);
}

static void
write_hists(struct writing *w)
{
	for (size_t i = 0; i < sizeof(hists) / sizeof(hists[0]); i++) {
		exposition_family(&w->e, EXPOSITION_HISTOGRAM, hists[i].family,
		    hists[i].help);
		for (EACH_LANE(w, lane))
			if (metrics_knows(w, lane))
				write_hist(
				    w, lane, &lane->hists[hists[i].which]);
	}
}

/* ------------------------------------------------------------------------- */

static void
write_site(struct writing *w)
{
	size_t bad = 0;

	exposition_family(
	    &w->e, EXPOSITION_INFO, "postlane_build", "Of this lanestat");
	exposition_label(&w->e, "version", release_version());
	exposition_count(&w->e, 1);
	exposition_family(&w->e, EXPOSITION_GAUGE,
	    "postlane_snapshot_timestamp_seconds",
	    "When these figures were read");
	exposition_value(&w->e, seconds_of(model_wall_ms(w->m)));
	for (size_t i = 0; i < w->m->board_count; i++)
		if (w->m->boards[i].is_bad)
			bad++;
	exposition_family(&w->e, EXPOSITION_GAUGE, "postlane_boards_unreadable",
	    "State directories whose board cannot be read");
	exposition_count(&w->e, bad);
}

void
metrics_write(struct buf *out, enum metrics_format format,
    const struct model *m, const struct backlog *backlog,
    enum postfix_state postfix)
{
	struct writing w = {.m = m, .backlog = backlog, .postfix = postfix};

	exposition_begin(&w.e, out, format == METRICS_OPENMETRICS);
	write_site(&w);
	metrics_write_lane_info(&w);
	write_counters(&w);
	write_gauges(&w);
	write_health(&w);
	write_waits(&w);
	write_alarms(&w);
	write_orders(&w);
	write_backlog(&w);
	metrics_write_accounts(&w);
	metrics_write_fleets(&w);
	metrics_write_tokens(&w);
	metrics_write_quotas(&w);
	write_hists(&w);
	exposition_end(&w.e);
}

enum metrics_format
metrics_choose(const char *accept)
{
	return accept != NULL && strcasestr(accept,
				     "application/openmetrics-text") != NULL
		   ? METRICS_OPENMETRICS
		   : METRICS_PROMETHEUS;
}

const char *
metrics_content_type(enum metrics_format format)
{
	return format == METRICS_OPENMETRICS
		   ? "application/openmetrics-text; version=1.0.0; "
		     "charset=utf-8"
		   : "text/plain; version=0.0.4; charset=utf-8";
}
