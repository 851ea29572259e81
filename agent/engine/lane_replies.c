#include "agent/engine/lane_state.h"

#include <ctype.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "agent/engine/judgement.h"
#include "agent/engine/verdict.h"
#include "common/base/clock.h"
#include "common/base/log.h"

enum {
	SLOW_WAIT_US = 1000000, /* for a reply that asks for no certain time */
	WAIT_LINES_US = 60000000, /* least time between two lines about it */
};

/* A settled pace that is off by more is another one. */
static const double settled_share = 0.2;

void
lane_raise_alarm(struct lane *lane, struct route *route, enum alarm_kind kind,
    const char *reply)
{
	if (lane->ops.alarms != NULL)
		lane->ops.alarms->raise(
		    lane->ops.alarms_ctx, route, kind, reply);
}

void
lane_clear_alarm(struct lane *lane, struct route *route, enum alarm_kind kind)
{
	if (lane->ops.alarms != NULL)
		lane->ops.alarms->clear(lane->ops.alarms_ctx, route, kind);
}

static enum rule_stage
stage_of(const struct transaction *t, enum command_kind kind)
{
	if (t == NULL)
		return kind == COMMAND_RSET ? RULE_RSET : RULE_IDLE;
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
	case COMMAND_AUTH: /* no reply to it is judged in a session */
	case COMMAND_RSET:
	case COMMAND_XFORWARD_CLIENT:
	case COMMAND_XFORWARD_PROTOCOL:
	case COMMAND_QUIT:
		break;
	}
	return RULE_RSET;
}

/* Once for all the replies of one event. */
static void
tell_pace(struct lane *lane, const struct route *r, const char *text,
    const struct judgement *j, bool yields)
{
	struct lane_pace *pace = r->pace;

	if (pace->told_events == pace->adapt.events)
		return;
	pace->told_events = pace->adapt.events;
	lane->figures.slowed++;
	if (yields)
		log_info("pace=kept nexthop=%s reason=less-urgent-lanes-yield "
			 "rule=%s:%d reply=\"%s\"",
		    r->nexthops, j->hit.file, j->hit.line, text);
	else
		log_info("pace=slower nexthop=%s rate=%.3g/s rule=%s:%d "
			 "reply=\"%s\"",
		    r->nexthops, controller_rate(&pace->adapt), j->hit.file,
		    j->hit.line, text);
}

/* Once, until it has become another one. */
static void
tell_settled(const struct route *r)
{
	struct lane_pace *pace = r->pace;
	double rate = controller_settled(&pace->adapt);
	double off = fabs(rate - pace->told_settled);

	if (rate <= 0 || off <= pace->told_settled * settled_share)
		return;
	pace->told_settled = rate;
	log_info("pace=settled nexthop=%s rate=%.3g/s", r->nexthops, rate);
}

/* A lane that does not adapt runs into the same limit again and again. */
static void
tell_wait(const struct route *r, const char *text, const struct judgement *j,
    int64_t wait_us, int64_t now_us)
{
	if (now_us < r->pace->quiet_until_us)
		return;
	r->pace->quiet_until_us = now_us + WAIT_LINES_US;
	log_info("pace=same nexthop=%s wait=%.3gs reason=lane_adaptive=no "
		 "rule=%s:%d reply=\"%s\"",
	    r->nexthops, (double)wait_us / 1000000, j->hit.file, j->hit.line,
	    text);
}

static void
tell_pause(struct lane *lane, struct route *r, int64_t until_us)
{
	lane->ops.accounts->on_pause(lane->ops.accounts_ctx, r, until_us);
}

static void
slow_down(struct lane *lane, struct route *r, struct transaction *t,
    const char *text, const struct judgement *j, int64_t now_us)
{
	int64_t wait_us = j->wait_us;
	/* Dials begun together are answered together. */
	int64_t sent_us = t != NULL ? t->taken_us : r->dial_began_us;
	struct controller *pace = &r->pace->adapt;
	bool yields;

	CHECK(t == NULL || t->route == r);
	lane->figures.throttled++;
	if (wait_us > 0)
		tell_pause(lane, r, now_us + wait_us);
	if (!lane->set->lane_adaptive) {
		/* Told not to learn: only what this reply asks for. */
		if (wait_us == 0)
			wait_us = SLOW_WAIT_US;
		tell_wait(r, text, j, wait_us, now_us);
		controller_pause_until(pace, now_us + wait_us);
		return;
	}
	if (t != NULL && t->is_throttled)
		return;
	yields = controller_is_news(pace, sent_us) &&
		 lane->ops.accounts->on_throttled(
		     lane->ops.accounts_ctx, r, sent_us, now_us);
	if (t == NULL) {
		controller_on_turned_away(
		    pace, sent_us, wait_us, yields, now_us);
	} else {
		controller_on_throttled(pace, sent_us, wait_us, yields, now_us);
		t->is_throttled = true;
	}
	tell_pace(lane, r, text, j, yields);
	tell_settled(r);
}

static void
pause_until(struct lane *lane, struct route *r, const char *text,
    const struct judgement *j, int64_t now_us)
{
	int64_t until_us = now_us + j->wait_us;

	CHECK(j->wait_us >= 0);
	lane->figures.throttled++;
	/* The other replies of this flight say the same. */
	if (until_us > controller_paused_until(&r->pace->adapt) + US_PER_S) {
		lane->figures.paused++;
		log_info("pace=pause nexthop=%s wait=%llds rule=%s:%d "
			 "reply=\"%s\"",
		    r->nexthops, (long long)(j->wait_us / US_PER_S),
		    j->hit.file, j->hit.line, text);
	}
	controller_pause_until(&r->pace->adapt, until_us);
	tell_pause(lane, r, until_us);
}

/* dsn: what is said of the mail; text: the reply. */
static void
stop(struct lane *lane, struct route *r, const struct peer *peer,
    struct dsn *dsn, const char *text, bool wants_login, int64_t now_us)
{
	unsigned alarms = r->alarms;

	dsn->cause = DSN_CAUSE_ALARM;
	if (wants_login)
		route_on_login_wanted(
		    r, dsn, peer, text, lane->set->lane_alert_retry_us, now_us);
	else
		route_on_alarm(
		    r, dsn, peer, text, lane->set->lane_alert_retry_us, now_us);
	lane->figures.alarms += r->alarms != alarms;
	list_each (link, &r->sessions)
		session_finish(session_of(link)->session, FINISH_ALARM, now_us);
}

static void
stop_and_alarm(struct lane *lane, struct route *r, const struct peer *peer,
    enum alarm_kind kind, const char *text, int64_t now_us)
{
	struct dsn dsn;

	dsn_set(&dsn, "4.7.0", "host %s refuses our mail: %s",
	    peer != NULL ? peer->host : r->nexthops, text);
	stop(lane, r, peer, &dsn, text, false, now_us);
	lane_raise_alarm(lane, r, kind, text);
	if (kind == ALARM_BLOCKED && lane->ops.accounts->on_blocked != NULL)
		lane->ops.accounts->on_blocked(lane->ops.accounts_ctx, r, text);
}

void
lane_doubt(
    struct lane *lane, struct route *r, const char *why, struct moment now)
{
	if (r->trust != ROUTE_TRUSTED)
		return; /* it finds out already */
	route_on_doubt(r);
	list_each (link, &r->sessions)
		session_finish(session_of(link)->session, FINISH_ALARM, now.us);
	lane->figures.alarms++;
	lane_raise_alarm(lane, r, ALARM_BLOCKED, why);
}

/* The table of passwords is where to look. */
static void
want_login(struct lane *lane, struct route *r, const struct peer *peer,
    const char *no_login, const char *text, int64_t now_us)
{
	struct dsn dsn;

	dsn_set(
	    &dsn, "4.7.0", "%s; host %s said: %s", no_login, peer->host, text);
	stop(lane, r, peer, &dsn, text, true, now_us);
	lane_raise_alarm(lane, r, ALARM_LOGIN, dsn.text);
}

/* In a session. 530 wants a login (RFC 4954 6). */
static void
refuse_session(struct lane *lane, struct route *r, const struct peer *peer,
    enum alarm_kind kind, const char *text, int64_t now_us)
{
	if (strncmp(text, "530", 3) == 0 && r->no_login != NULL)
		want_login(lane, r, peer, r->no_login, text, now_us);
	else
		stop_and_alarm(lane, r, peer, kind, text, now_us);
}

static void
too_many(struct lane *lane, struct route *r, bool was_open, const char *text,
    const struct judgement *j, int64_t now_us)
{
	CHECK(j->wait_us >= 0);
	lane->figures.fewer++;
	route_rest(r, now_us + j->wait_us);
	lane->ops.accounts->on_too_many(
	    lane->ops.accounts_ctx, r, was_open, text);
}

/* ---- witnesses ---------------------------------------------------------- */

static uint64_t
hash(const char *p, size_t n)
{
	uint64_t h = UINT64_C(14695981039346656037);

	for (size_t i = 0; i < n; i++)
		h = (h ^ (uint64_t)tolower((unsigned char)p[i])) *
		    UINT64_C(1099511628211);
	return h;
}

/* Letters at its beginning and the domain: many senders make an address for
 * each message (VERP, SRS, BATV), and these are one witness. */
static uint64_t
sender_of(const char *address)
{
	const char *at = strrchr(address, '@');
	size_t n = 0;

	while (isalpha((unsigned char)address[n]))
		n++;
	return hash(address, n) ^ (at != NULL ? hash(at, strlen(at)) : 0);
}

/* Of the recipient whose reply was read last. */
static uint64_t
rcpt_domain_of(const struct transaction *t)
{
	size_t i = t->rcpts_answered > 0 ? t->rcpts_answered - 1 : 0;
	const char *address = t->req->rcpts[t->rcpts[i]].address;
	const char *at = strrchr(address, '@');

	return at != NULL ? hash(at, strlen(at)) : 0;
}

/* False: so far nobody else was told so. */
static bool
is_confirmed(struct lane_session *ls, const struct transaction *t,
    const struct judgement *j, const char *text, int64_t now_us)
{
	uint64_t who = 0;

	switch (j->witness) {
	case WITNESS_NONE:
	case WITNESS_DIALS:
		return true;
	case WITNESS_SENDER:
		who = sender_of(t->req->sender);
		break;
	case WITNESS_DOMAIN:
	case WITNESS_DOMAIN_PAUSE:
		who = rcpt_domain_of(t);
		break;
	case WITNESS_MESSAGE:
		who = hash(t->req->queue_id, strlen(t->req->queue_id));
		break;
	case WITNESS_SESSION:
		who = ls->number;
		break;
	case WITNESS_ATTEMPT:
		who = hash(t->req->queue_id, strlen(t->req->queue_id)) ^
		      (uint64_t)t->taken_us;
		break;
	}
	if (route_suspect(ls->route, j->witness, who, now_us))
		return true;
	if (j->witness == WITNESS_ATTEMPT)
		log_info("%s; %s said: %s; %s %s", ls->no_login,
		    ls->route->nexthops, text, rule_outcome_name(j->outcome),
		    judgement_witness_words(j->witness));
	else
		log_info("%s said: %s; %s %s (%s:%d)", ls->route->nexthops,
		    text, rule_outcome_name(j->outcome),
		    judgement_witness_words(j->witness), j->hit.file,
		    j->hit.line);
	if (j->witness == WITNESS_SESSION)
		session_finish(ls->session, FINISH_USED_UP, now_us);
	return false;
}

/* ---- judging ------------------------------------------------------------ */

static enum meaning
meaning_of(enum mail_fate fate, enum rule_outcome outcome, enum meaning by_code)
{
	switch (fate) {
	case FATE_AS_WANTED:
	case FATE_WAITS:
	case FATE_OUT_OF_STEP:
		break;
	case FATE_RETURNED:
		return MEANING_BOUNCE;
	case FATE_DEFERRED:
		return MEANING_DEFER;
	case FATE_ELSEWHERE:
		return outcome == RULE_RECONNECT ||
			       outcome == RULE_CONNECTIONS ||
			       outcome == RULE_ALARM
			   ? MEANING_LATER
			   : by_code;
	case FATE_LATER:
		return MEANING_LATER;
	}
	return by_code;
}

/* The lane takes its lesson; true: the mail is kept. */
static void
learn(struct lane_session *ls, struct transaction *t, const struct judgement *j,
    const char *text, struct moment now)
{
	struct lane *lane = ls->lane;
	int64_t now_us = now.us;

	switch (j->outcome) {
	case RULE_OK:
	case RULE_DEFER:
	case RULE_BOUNCE:
	case RULE_SPLIT:
		return;
	case RULE_RECONNECT:
		ls->is_used_up = true;
		session_finish(ls->session, FINISH_USED_UP, now.us);
		return;
	case RULE_CONNECTIONS:
		session_finish(ls->session, FINISH_TOO_MANY, now.us);
		too_many(lane, ls->route, true, text, j, now.us);
		return;
	case RULE_SLOW:
		ls->was_paced = true;
		slow_down(lane, ls->route, t, text, j, now_us);
		return;
	case RULE_PAUSE:
		ls->was_paced = true;
		if (j->hit.wait_us <= JUDGEMENT_PACE_US)
			slow_down(lane, ls->route, t, text, j, now_us);
		else
			pause_until(lane, ls->route, text, j, now_us);
		return;
	case RULE_ALARM:
		refuse_session(lane, ls->route, session_peer(ls->session),
		    j->witness == WITNESS_SESSION ? ALARM_LOGIN : ALARM_BLOCKED,
		    text, now.us);
		return;
	}
}

/* The recipients beyond the server's limit go in the next transaction, unless
 * this one brings nobody further. */
static enum meaning
split(const struct transaction *t, enum meaning meaning)
{
	return meaning == MEANING_DEFER && t->rcpts_accepted > 0 ? MEANING_LATER
								 : meaning;
}

static bool
takes_strangers(const struct lane_session *ls)
{
	const struct lane_ops *ops = &ls->lane->ops;

	return ls->route->took_stranger ||
	       (ops->accounts->takes_strangers != NULL &&
		   ops->accounts->takes_strangers(ops->accounts_ctx, ls->route,
		       session_peer(ls->session)->port));
}

/* The session has no login, and that may be what the reply is about: nothing of
 * it is a verdict until the host has shown that it takes mail without one. */
static bool
is_for_want_of_login(struct lane_session *ls, const struct transaction *t,
    enum rule_stage stage, int code, struct judgement *j, const char *text,
    struct moment now, enum meaning *meaning_out)
{
	enum judgement_login wants =
	    judgement_wants_login(stage, code, j->status);

	/* A rule that keeps the mail, or returns it, knows better. */
	if (ls->no_login == NULL || t == NULL || wants == JUDGEMENT_LOGIN_NO ||
	    (j->outcome != RULE_OK && j->outcome != RULE_ALARM) ||
	    takes_strangers(ls))
		return false;
	j->outcome = RULE_ALARM;
	j->witness =
	    wants == JUDGEMENT_LOGIN_YES ? WITNESS_NONE : WITNESS_ATTEMPT;
	if (!is_confirmed(ls, t, j, text, now.us)) {
		*meaning_out = MEANING_DEFER;
		return true;
	}
	want_login(ls->lane, ls->route, session_peer(ls->session), ls->no_login,
	    text, now.us);
	*meaning_out = MEANING_LATER;
	return true;
}

enum meaning
lane_judge(struct lane_session *ls, struct transaction *t,
    enum command_kind kind, const struct reply *reply, enum meaning meaning,
    struct moment now)
{
	const struct peer *peer = session_peer(ls->session);
	enum rule_stage stage = stage_of(t, kind);
	char text[DSN_TEXT_MAX + 1];
	struct judgement j;

	CHECK(t == NULL || t->carrier == ls);
	reply_text(reply, text, sizeof(text));
	judgement_of(
	    &j, ls->lane->rules, stage, reply->code, text, now.wall.tv_sec);
	if (is_for_want_of_login(
		ls, t, stage, reply->code, &j, text, now, &meaning))
		return meaning;
	if (j.hit.file == NULL)
		return meaning;
	log_debug("%s[%s] said: %s: %s (%s:%d)", peer->host, peer->addr, text,
	    rule_outcome_name(j.outcome), j.hit.file, j.hit.line);
	if (!is_confirmed(ls, t, &j, text, now.us))
		return meaning_of(j.fate, j.outcome, meaning);
	learn(ls, t, &j, text, now);
	meaning = meaning_of(j.confirmed, j.outcome, meaning);
	return j.outcome == RULE_SPLIT && kind == COMMAND_RCPT
		   ? split(t, meaning)
		   : meaning;
}

static void
alarm_by_dial(struct lane *lane, struct route *route, enum rule_stage stage,
    const char *reply, struct moment now, int64_t *patience_us_out)
{
	if (route_may_doubt(route, now.us)) {
		log_info("%s said: %s; trying again before an alarm",
		    route->nexthops, reply);
		return;
	}
	stop_and_alarm(lane, route, NULL,
	    stage == RULE_AUTH ? ALARM_LOGIN : ALARM_BLOCKED, reply, now.us);
	*patience_us_out = 0;
}

bool
lane_judge_dial(struct lane *lane, struct route *route, enum rule_stage stage,
    int code, const char *reply, struct moment now, int64_t *patience_us_out)
{
	int64_t now_us = now.us;
	struct judgement j;

	CHECK(route->dialing > 0);
	if (reply == NULL)
		return false;
	judgement_of(&j, lane->rules, stage, code, reply, now.wall.tv_sec);
	switch (j.outcome) {
	case RULE_OK:
	case RULE_BOUNCE:
	case RULE_SPLIT:
		return false;
	case RULE_DEFER:
	case RULE_RECONNECT:
		break;
	case RULE_CONNECTIONS:
		too_many(lane, route, false, reply, &j, now.us);
		break;
	case RULE_SLOW:
		slow_down(lane, route, NULL, reply, &j, now_us);
		break;
	case RULE_PAUSE:
		pause_until(lane, route, reply, &j, now_us);
		break;
	case RULE_ALARM:
		*patience_us_out = lane->set->lane_wait_limit_us;
		alarm_by_dial(lane, route, stage, reply, now, patience_us_out);
		return true;
	}
	*patience_us_out = lane->set->lane_wait_limit_us;
	return true;
}
