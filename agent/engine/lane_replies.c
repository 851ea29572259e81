#include "agent/engine/lane_state.h"

#include <stdio.h>
#include <string.h>

#include "agent/engine/verdict.h"
#include "common/base/log.h"

enum {
	US_PER_MS = 1000,
	SLOW_WAIT_US = 1000000, /* for a reply that asks for no certain time */
	WAIT_LINES_US = 60000000, /* least time between two lines about it */
};

static enum rule_stage
stage_of(const struct transaction *t, enum command_kind kind)
{
	if (t == NULL)
		return RULE_IDLE;
	switch (kind) {
	case COMMAND_MAIL:
		return RULE_MAIL;
	case COMMAND_RCPT:
		return RULE_RCPT;
	case COMMAND_DATA:
		return RULE_DATA;
	case COMMAND_BODY:
	case COMMAND_BDAT:
	case COMMAND_BDAT_LAST:
		return RULE_EOD;
	case COMMAND_RSET:
	case COMMAND_QUIT:
		break;
	}
	return RULE_RSET;
}

/* Once for all the replies of one event. */
static void
tell_pace(const struct route *r, const char *text, const struct rule_hit *hit,
    bool yields)
{
	struct lane_pace *pace = r->pace;

	if (pace->told_events == pace->adapt.events)
		return;
	pace->told_events = pace->adapt.events;
	if (yields)
		log_info("%s said: %s; less urgent lanes of the account slow "
			 "down (%s:%d)",
		    r->nexthops, text, hit->file, hit->line);
	else
		log_info("%s said: %s; slowing down to %.3g messages/s (%s:%d)",
		    r->nexthops, text, controller_rate(&pace->adapt), hit->file,
		    hit->line);
}

/* A lane that does not adapt runs into the same limit again and again. */
static void
tell_wait(const struct route *r, const char *text, const struct rule_hit *hit,
    int64_t wait_us, int64_t now_us)
{
	if (now_us < r->pace->quiet_until_us)
		return;
	r->pace->quiet_until_us = now_us + WAIT_LINES_US;
	log_info("%s said: %s; no mail for %.3gs, but no slower after it: "
		 "lane_adaptive = no (%s:%d)",
	    r->nexthops, text, (double)wait_us / 1000000, hit->file, hit->line);
}

static void
tell_pause(struct lane *lane, struct route *r, int64_t until_us)
{
	if (lane->ops->on_pause != NULL)
		lane->ops->on_pause(lane->ctx, r, until_us);
}

static void
slow_down(struct lane *lane, struct route *r, struct transaction *t,
    const char *text, const struct rule_hit *hit, int64_t now_us)
{
	int64_t wait_us = hit->wait_ms * US_PER_MS;
	/* Dials begun together are answered together. */
	int64_t sent_us =
	    t != NULL ? t->taken_us : r->dial_began_ms * US_PER_MS;
	struct controller *pace = &r->pace->adapt;
	bool yields;

	if (wait_us > 0)
		tell_pause(lane, r, now_us + wait_us);
	if (!lane->set->lane_adaptive) {
		/* Told not to learn: only what this reply asks for. */
		if (wait_us == 0)
			wait_us = SLOW_WAIT_US;
		tell_wait(r, text, hit, wait_us, now_us);
		controller_pause_until(pace, now_us + wait_us);
		return;
	}
	if (t != NULL && t->is_throttled)
		return;
	yields = controller_is_news(pace, sent_us) &&
		 lane->ops->on_throttled != NULL &&
		 lane->ops->on_throttled(lane->ctx, r, sent_us, now_us);
	if (t == NULL) {
		controller_on_turned_away(
		    pace, sent_us, wait_us, yields, now_us);
	} else {
		controller_on_throttled(pace, sent_us, wait_us, yields, now_us);
		t->is_throttled = true;
	}
	tell_pace(r, text, hit, yields);
}

static void
pause_until(struct lane *lane, struct route *r, const char *text,
    const struct rule_hit *hit, int64_t now_us)
{
	int64_t until_us = now_us + hit->wait_ms * US_PER_MS;

	/* The other replies of this flight say the same. */
	if (until_us >
	    controller_paused_until(&r->pace->adapt) + 1000 * US_PER_MS)
		log_info("%s said: %s; no mail for %llds (%s:%d)", r->nexthops,
		    text, (long long)hit->wait_ms / 1000, hit->file, hit->line);
	controller_pause_until(&r->pace->adapt, until_us);
	tell_pause(lane, r, until_us);
}

static void
stop_and_alarm(struct lane *lane, struct route *r, const struct peer *peer,
    const char *what, const char *text, int64_t now_ms)
{
	struct dsn dsn;

	dsn_set(&dsn, "4.7.0", "host %s refuses our mail: %s",
	    peer != NULL ? peer->host : r->nexthops, text);
	route_on_alarm(
	    r, &dsn, peer, text, lane->set->lane_alert_retry_ms, now_ms);
	list_each (link, &r->sessions)
		session_finish(
		    session_of(link)->session, "stopped by an alarm", now_ms);
	if (lane->ops->on_alarm != NULL)
		lane->ops->on_alarm(lane->ctx, r, what, text);
}

static void
too_many(struct lane *lane, struct route *r, bool was_open, const char *text,
    const struct rule_hit *hit, int64_t now_ms)
{
	route_rest(r, now_ms + hit->wait_ms);
	if (lane->ops->on_too_many != NULL)
		lane->ops->on_too_many(lane->ctx, r, was_open, text);
}

enum meaning
lane_judge(struct lane_session *ls, struct transaction *t,
    enum command_kind kind, const struct reply *reply, enum meaning meaning,
    struct moment now)
{
	struct lane *lane = ls->lane;
	const struct peer *peer = session_peer(ls->session);
	int64_t now_us = now.ms * US_PER_MS;
	char text[DSN_TEXT_MAX + 1];
	struct rule_hit hit;
	struct rules_query query = {
	    .stage = stage_of(t, kind),
	    .code = reply->code,
	    .status = reply->has_status ? reply->status : "",
	    .text = text,
	    .wall_s = now.wall.tv_sec,
	};

	reply_text(reply, text, sizeof(text));
	if (lane->rules == NULL || !rules_match(lane->rules, &query, &hit))
		return meaning;
	log_debug("%s[%s] said: %s: %s (%s:%d)", peer->host, peer->addr, text,
	    rule_outcome_name(hit.outcome), hit.file, hit.line);
	switch (hit.outcome) {
	case RULE_OK:
		return meaning;
	case RULE_DEFER:
		return meaning == MEANING_ELSEWHERE ? meaning : MEANING_DEFER;
	case RULE_BOUNCE:
		return meaning == MEANING_ELSEWHERE ? meaning : MEANING_BOUNCE;
	case RULE_RECONNECT:
		ls->is_used_up = true;
		session_finish(ls->session, LANE_WHY_USED_UP, now.ms);
		return MEANING_LATER;
	case RULE_CONNECTIONS:
		session_finish(ls->session, "too many connections", now.ms);
		too_many(lane, ls->route, true, text, &hit, now.ms);
		return MEANING_LATER;
	case RULE_SLOW:
		ls->was_paced = true;
		slow_down(lane, ls->route, t, text, &hit, now_us);
		return MEANING_LATER;
	case RULE_PAUSE:
		ls->was_paced = true;
		if (hit.wait_ms <= LANE_PACE_PAUSE_MS)
			slow_down(lane, ls->route, t, text, &hit, now_us);
		else
			pause_until(lane, ls->route, text, &hit, now_us);
		return MEANING_LATER;
	case RULE_ALARM:
		stop_and_alarm(lane, ls->route, peer, "blocked", text, now.ms);
		return MEANING_LATER;
	}
	return meaning;
}

bool
lane_judge_dial(struct lane *lane, struct route *route, enum rule_stage stage,
    int code, const char *reply, struct moment now, int64_t *patience_ms_out)
{
	int64_t now_us = now.ms * US_PER_MS;
	char status[DSN_STATUS_SIZE] = "";
	struct rule_hit hit;
	struct rules_query query = {
	    .stage = stage,
	    .code = code,
	    .status = status,
	    .text = reply,
	    .wall_s = now.wall.tv_sec,
	};

	if (lane->rules == NULL || reply == NULL)
		return false;
	if (strlen(reply) > 4) {
		size_t n = dsn_status_length(reply + 4, strlen(reply + 4));

		(void)snprintf(
		    status, sizeof(status), "%.*s", (int)n, reply + 4);
	}
	if (!rules_match(lane->rules, &query, &hit))
		return false;
	*patience_ms_out = lane->set->lane_hold_limit_ms;
	switch (hit.outcome) {
	case RULE_OK:
	case RULE_BOUNCE:
	case RULE_DEFER:
		return false;
	case RULE_RECONNECT:
		return true;
	case RULE_CONNECTIONS:
		too_many(lane, route, false, reply, &hit, now.ms);
		return true;
	case RULE_SLOW:
		slow_down(lane, route, NULL, reply, &hit, now_us);
		return true;
	case RULE_PAUSE:
		pause_until(lane, route, reply, &hit, now_us);
		return true;
	case RULE_ALARM:
		stop_and_alarm(lane, route, NULL,
		    stage == RULE_AUTH ? "login" : "blocked", reply, now.ms);
		*patience_ms_out = 0;
		return true;
	}
	return false;
}
