#include "agent/figures.h"

#include <stdio.h>

#include "agent/engine/lane_why.h"
#include "agent/io/logsink.h"
#include "agent/state/pace_store.h"
#include "common/base/clock.h"
#include "common/base/log.h"
#include "common/shared/board_rates.h"
#include "common/smtp/reply.h"

enum {
	SHOW_EVERY_MS = 250,
	/* Also when nothing happens: somebody may have removed the board. */
	SHOW_IDLE_MS = 10000,
};

/* Totals that others keep, by the counter they are shown as. */
static void
total_lane(const struct figures *f, uint64_t now[BOARD_COUNTER_COUNT])
{
	const struct lane_figures *lane = lane_figures(f->lane);

	now[BOARD_COUNTER_kicks] = lane->kicks;
	now[BOARD_COUNTER_in_doubt] = lane->in_doubt;
	now[BOARD_COUNTER_retries] = lane->returned;
	now[BOARD_COUNTER_throttled] = lane->throttled;
	now[BOARD_COUNTER_lessons_pace] = lane->slowed;
	now[BOARD_COUNTER_lessons_pause] = lane->paused;
	now[BOARD_COUNTER_lessons_quota] = lane->quotas;
	now[BOARD_COUNTER_lessons_connections] = lane->fewer;
	now[BOARD_COUNTER_lessons_manner] = lane->wire.manners;
	now[BOARD_COUNTER_lessons_alarm] = lane->alarms;
	now[BOARD_COUNTER_transactions] = lane->wire.mails;
	now[BOARD_COUNTER_resets] = lane->wire.rsets;
	now[BOARD_COUNTER_chunks] = lane->wire.bdats;
	now[BOARD_COUNTER_octets_sent] = lane->wire.octets;
}

static void
show_counters(struct figures *f)
{
	const struct dialer_tally *dials = dialer_tally(f->dialer);
	uint64_t now[BOARD_COUNTER_COUNT] = {0};

	total_lane(f, now);
	now[BOARD_COUNTER_replies_421] =
	    lane_figures(f->lane)->wire.replies_421 + dials->replies_421;
	now[BOARD_COUNTER_tls_full] = dials->tls_full;
	now[BOARD_COUNTER_tls_resumed] = dials->tls_resumed;
	now[BOARD_COUNTER_auths_failed] = dials->auths_failed;
	now[BOARD_COUNTER_auths_led] = dials->auths_led;
	now[BOARD_COUNTER_resets] += dials->rsets;
	now[BOARD_COUNTER_reports_failed] = report_failures(f->report);
	now[BOARD_COUNTER_log_lines_lost] = logsink_lost();
	now[BOARD_COUNTER_crowd_called_back] =
	    relief_figures(f->relief).called_back;
	for (size_t i = 0; i < BOARD_COUNTER_COUNT; i++) {
		if (now[i] != f->shown[i])
			board_writer_add(f->board, (enum board_counter)i,
			    now[i] - f->shown[i]);
		f->shown[i] = now[i];
	}
}

void
figures_begin(const struct figures *f)
{
	board_writer_set(f->board, BOARD_GAUGE_certificate_wall_ms,
	    dialer_own_end_s(f->dialer) * 1000);
}

void
figures_show_problem(const struct figures *f, const char *problem)
{
	/* Those of the process before are kept in their file, for one that can
	 * find out whether they are over. */
	board_writer_set_alarms(f->board, NULL, 0);
	board_writer_set(
	    f->board, BOARD_GAUGE_waits_reason, BOARD_WAIT_SETTINGS);
	board_writer_set_waits_for(f->board, problem);
	board_writer_trouble(f->board, problem);
	board_writer_beat(f->board);
}

/* Since when the oldest request waits, by the clock. */
static int64_t
oldest_wall_ms(const struct lane *lane, struct moment now)
{
	int64_t oldest_us = lane_oldest_us(lane);
	int64_t wall_ms =
	    (int64_t)now.wall.tv_sec * 1000 + now.wall.tv_usec / 1000;

	return oldest_us == INT64_MAX
		   ? 0
		   : wall_ms - (now.us - oldest_us) / US_PER_MS;
}

static void
show_gauges(const struct figures *f, struct moment now)
{
	struct relief_figures relief = relief_figures(f->relief);
	struct board_writer *b = f->board;

	board_writer_set(
	    b, BOARD_GAUGE_requests_waiting, (int64_t)lane_waiting(f->lane));
	board_writer_set(
	    b, BOARD_GAUGE_requests_parked, (int64_t)lane_parked(f->lane));
	board_writer_set(b, BOARD_GAUGE_requests_in_flight,
	    (int64_t)lane_in_flight(f->lane));
	board_writer_set(
	    b, BOARD_GAUGE_reports_pending, (int64_t)report_pending(f->report));
	board_writer_set(
	    b, BOARD_GAUGE_sessions_dialing, (int64_t)lane_dialing(f->lane));
	board_writer_set(
	    b, BOARD_GAUGE_oldest_wall_ms, oldest_wall_ms(f->lane, now));
	board_writer_set(
	    b, BOARD_GAUGE_alarms_raised, (int64_t)alarm_count(f->alarm));
	board_writer_set(
	    b, BOARD_GAUGE_alerts_pending, (int64_t)alarm_pending(f->alarm));
	board_writer_set(b, BOARD_GAUGE_domains_limited,
	    f->domains != NULL ? (int64_t)domains_live(f->domains) : 0);
	board_writer_set(b, BOARD_GAUGE_hosts_bypassed,
	    (int64_t)lane_bypassed(f->lane, now.us));
	board_writer_set(
	    b, BOARD_GAUGE_outage_noted, (int64_t)relief.outage_noted);
	board_writer_set(b, BOARD_GAUGE_messages_active, relief.active);
	board_writer_set(b, BOARD_GAUGE_crowd_relieving, relief.is_crowded);
	board_writer_set(
	    b, BOARD_GAUGE_crowd_given_back, (int64_t)relief.given_back);
}

/* ---- rates -------------------------------------------------------------- */

static void
store_rates(struct board_rate *to, const struct board_rate *rows)
{
	const uint64_t *from = (const uint64_t *)rows;
	uint64_t *word = (uint64_t *)to;

	for (size_t i = 0; i < BOARD_RATES * BOARD_RATE_WORDS; i++)
		board_store(&word[i], from[i]);
}

static void
show_rates(struct figures *f, struct moment now)
{
	struct board_rate own[BOARD_RATES] = {{0}}, all[BOARD_RATES] = {{0}};
	struct board_account *account = board_writer_account(f->board);
	size_t n;

	if (f->board == NULL || board_writer_is_drained(f->board))
		return;
	(void)board_rates_fill(
	    lane_rates(f->lane), BOARD_RATE_MESSAGES, own, BOARD_RATES, now);
	store_rates(board_writer_lane(f->board)->rates, own);
	if (account == NULL)
		return;
	n = board_rates_fill(rate_store_peek(f->rates, NULL),
	    BOARD_RATE_MESSAGES, all, BOARD_RATES, now);
	(void)board_rates_fill(rate_store_peek_connects(f->rates),
	    BOARD_RATE_CONNECTIONS, all + n, BOARD_RATES - n, now);
	store_rates(account->rates, all);
}

/* What the lane would say to an operator who asks. */
static void
show_words(struct figures *f, struct moment now)
{
	struct board_writer_alarm alarms[BOARD_ALARMS];
	size_t count = alarm_show(f->alarm, alarms, BOARD_ALARMS);
	char text[LANE_WHY_SIZE];

	board_writer_set(f->board, BOARD_GAUGE_waits_reason,
	    (int64_t)lane_waits_for(f->lane, now, text, sizeof(text)));
	board_writer_set_waits_for(f->board, text);
	board_writer_set_alarms(f->board, alarms, count);
}

/* ------------------------------------------------------------------------- */

void
figures_show(struct figures *f, struct moment now)
{
	bool is_idle = lane_waiting(f->lane) + lane_in_flight(f->lane) == 0;

	/* The last state before a quiet time is shown whatever the hour. */
	f->is_due =
	    !is_idle && now.us / US_PER_MS - f->shown_ms < SHOW_EVERY_MS;
	if (f->is_due)
		return;
	f->shown_ms = now.us / US_PER_MS;
	show_counters(f);
	show_gauges(f, now);
	show_rates(f, now);
	show_words(f, now);
	upstreams_show(f->ups);
	pace_store_store(f->board, f->lane, now);
	board_writer_beat(f->board);
}

int64_t
figures_due_ms(const struct figures *f)
{
	if (f->is_due)
		return f->shown_ms + SHOW_EVERY_MS;
	if (f->board == NULL || board_writer_is_drained(f->board))
		return INT64_MAX;
	return f->shown_ms + SHOW_IDLE_MS;
}

static int64_t
us_between(struct timeval from, struct timeval to)
{
	int64_t us = ((int64_t)to.tv_sec - from.tv_sec) * 1000000 +
		     (to.tv_usec - from.tv_usec);

	return us > 0 ? us : 0;
}

void
figures_on_decided(
    struct board_writer *board, struct request *req, size_t i, int64_t now_us)
{
	const struct verdict *v = req->rcpts[i].verdict;

	CHECK(i < req->rcpt_count && req->rcpts[i].verdict != NULL);
	req->decided_us = now_us;
	if (i > 0 || v->conn_done.tv_sec == 0 || v->deliver_done.tv_sec == 0)
		return;
	board_writer_observe(board, BOARD_HIST_queue_wait,
	    us_between(req->times.handoff, v->conn_done));
	board_writer_observe(board, BOARD_HIST_wire_time,
	    us_between(v->conn_done, v->deliver_done));
	/* Once for a message, not at each try. */
	if (v->outcome != OUTCOME_DEFER && !request_is_probe(req))
		board_writer_observe(board, BOARD_HIST_postfix_wait,
		    us_between(req->times.arrival, req->times.handoff));
}

static enum board_counter
cause_of(const struct dsn *dsn)
{
	switch (dsn->cause) {
	case DSN_CAUSE_LOST:
		return BOARD_COUNTER_deferred_lost;
	case DSN_CAUSE_RATE:
		return BOARD_COUNTER_deferred_rate;
	case DSN_CAUSE_DOMAIN:
		return BOARD_COUNTER_deferred_domain;
	case DSN_CAUSE_PAUSE:
		return BOARD_COUNTER_deferred_pause;
	case DSN_CAUSE_WAIT:
		return BOARD_COUNTER_deferred_wait;
	case DSN_CAUSE_UNREACHABLE:
		return BOARD_COUNTER_deferred_unreachable;
	case DSN_CAUSE_ALARM:
		return BOARD_COUNTER_deferred_alarm;
	case DSN_CAUSE_CONFIG:
		return BOARD_COUNTER_deferred_config;
	case DSN_CAUSE_CROWDED:
		return BOARD_COUNTER_deferred_crowded;
	case DSN_CAUSE_NONE:
		break;
	}
	return dsn->smtp_code != 0 ? BOARD_COUNTER_deferred_reply
				   : BOARD_COUNTER_deferred_local;
}

/* As the log shows it: boards are looked at by more people. */
static void
show_trouble(struct board_writer *board, const char *text, const char *rcpt)
{
	char shown[REPLY_LINE_MAX];

	(void)snprintf(shown, sizeof(shown), "%s", text);
	log_filter(shown, sizeof(shown), rcpt);
	board_writer_trouble(board, shown);
}

static void
count_recipient(struct board_writer *board, const struct request *req, size_t i)
{
	static const enum board_counter counters[] = {
	    [OUTCOME_SENT] = BOARD_COUNTER_recipients_sent,
	    [OUTCOME_DEFER] = BOARD_COUNTER_recipients_deferred,
	    [OUTCOME_BOUNCE] = BOARD_COUNTER_recipients_bounced,
	};
	const struct verdict *v = req->rcpts[i].verdict;

	if (request_is_probe(req)) {
		board_writer_add(board, BOARD_COUNTER_recipients_probed, 1);
		return;
	}
	board_writer_add(board, counters[v->outcome], 1);
	if (v->outcome != OUTCOME_DEFER)
		return;
	board_writer_add(board, cause_of(&v->dsn), 1);
	if (v->dsn.cause != DSN_CAUSE_CROWDED)
		show_trouble(board, v->dsn.text, req->rcpts[i].address);
}

static void
count_request(
    struct board_writer *board, const struct request *req, int64_t now_us)
{
	static const enum board_counter counters[] = {
	    [OUTCOME_SENT] = BOARD_COUNTER_messages_sent,
	    [OUTCOME_DEFER] = BOARD_COUNTER_messages_deferred,
	    [OUTCOME_BOUNCE] = BOARD_COUNTER_messages_bounced,
	};
	bool has[] = {false, false, false};

	board_writer_observe(
	    board, BOARD_HIST_report_time, now_us - req->decided_us);
	if (req->is_corrupt)
		board_writer_add(board, BOARD_COUNTER_corrupt, 1);
	for (size_t i = 0; i < req->rcpt_count; i++)
		has[req->rcpts[i].verdict->outcome] = true;
	for (size_t o = 0; o < 3 && !request_is_probe(req); o++)
		if (has[o])
			board_writer_add(board, counters[o], 1);
	if (has[OUTCOME_SENT] && !request_is_probe(req))
		board_writer_sent(board);
}

void
figures_on_reported(struct board_writer *board, const struct request *req,
    size_t i, int64_t now_us)
{
	CHECK(i < req->rcpt_count && req->rcpts[i].verdict != NULL);
	count_recipient(board, req, i);
	if (request_count(req, RCPT_REPORTED) == req->rcpt_count)
		count_request(board, req, now_us);
}
