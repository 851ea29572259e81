#include "monitor/standstill.h"

#include <stdio.h>
#include <string.h>

#include "monitor/say.h"

enum {
	TROUBLE_IS_NEW_MS = 60000,
	/* More than twice maximal_backoff_time (4000s), in which deferred mail
	 * is tried. */
	ALARM_MET_MS = 3 * 3600 * 1000,
};

/* Nobody has met it for long although mail flows, such as that of a smarthost
 * which is not in the settings any more. While mail waits for it, it is met:
 * the lane tries again after ten first waits at most (agent/engine/route.h),
 * and the queue manager after maximal_backoff_time. */
static bool
is_left_behind(
    const struct model_lane *lane, const struct model_alarm *a, int64_t now_ms)
{
	int64_t retry_ms =
	    lane->site == NULL ? 0 : lane->site->set.lane_alert_retry_us / 1000;
	int64_t quiet_ms = now_ms - a->met_wall_ms;

	return a->met_wall_ms > 0 && lane->per_s_1h > 0 &&
	       quiet_ms > ALARM_MET_MS && quiet_ms > 20 * retry_ms;
}

const struct model_alarm *
standstill_alarm(const struct model *m, const struct model_lane *lane)
{
	for (size_t i = 0; i < lane->alarm_count; i++)
		if (!is_left_behind(lane, &lane->alarms[i], model_wall_ms(m)))
			return &lane->alarms[i];
	return NULL;
}

static bool
has_session(const struct model_lane *lane)
{
	return lane->gauges[BOARD_GAUGE_sessions_busy] > 0 ||
	       lane->gauges[BOARD_GAUGE_sessions_idle] > 0;
}

const char *
standstill_instead(
    const struct model_lane *lane, const struct model_alarm *alarm)
{
	if (lane->waits == BOARD_WAIT_SETTINGS)
		return lane->waits_for;
	/* Mail meets it on a session. */
	if (has_session(lane) || strcmp(alarm->what, "blocked") == 0)
		return NULL;
	/* The dial that met the alarm told of its trouble in the same second:
	 * what is later is another dial's. */
	if (alarm->met_wall_ms > 0 &&
	    lane->trouble_wall_ms / 1000 > alarm->met_wall_ms / 1000)
		return lane->trouble;
	return NULL;
}

/* No session, and the reason is not that of a moment. */
static bool
cannot_connect(const struct model *m, const struct model_lane *lane)
{
	int64_t trouble_ms = model_wall_ms(m) - lane->trouble_wall_ms;

	bool is_new =
	    lane->trouble_wall_ms > 0 && trouble_ms < TROUBLE_IS_NEW_MS;
	enum board_wait waits = lane->waits;

	if (waits == BOARD_WAIT_OUTAGE || waits == BOARD_WAIT_ALARM)
		return true;
	if (has_session(lane))
		return false;
	if (waits == BOARD_WAIT_BACKOFF || waits == BOARD_WAIT_REST)
		return true;
	/* Between two dials it looks as before the first one. */
	return is_new && (waits == BOARD_WAIT_CONNECTION ||
			     waits == BOARD_WAIT_CONNECTION_LIMIT ||
			     waits == BOARD_WAIT_CONNECTION_RATE);
}

static const char *
words_of(const char *what)
{
	static const struct {
		const char *what, *words;
	} rows[] = {
	    {"login", "the smarthost refuses the login"},
	    {"blocked", "the smarthost refuses our mail"},
	    {"certificate", "the smarthost's certificate is not good"},
	    {"outage", "the smarthost is down"},
	};

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
		if (strcmp(rows[i].what, what) == 0)
			return rows[i].words;
	return "an alarm stands";
}

bool
standstill_say(
    const struct model *m, const struct model_lane *lane, char *text, size_t n)
{
	const struct model_alarm *a = standstill_alarm(m, lane);
	const char *instead = a != NULL ? standstill_instead(lane, a) : NULL;
	char since[SAY_SIZE];

	if (lane->waits == BOARD_WAIT_SETTINGS) {
		(void)snprintf(
		    text, n, "all mail is deferred: %s", lane->waits_for);
		return true;
	}
	if (a != NULL && !has_session(lane) && lane->per_s_10s <= 0) {
		(void)say_clock(
		    a->since_wall_ms, model_wall_ms(m), since, sizeof(since));
		if (instead != NULL)
			(void)snprintf(text, n,
			    "nothing goes since %s: at present: %s", since,
			    instead);
		else
			(void)snprintf(text, n, "%s since %s: %s",
			    words_of(a->what), since, a->reply);
		return true;
	}
	if (!cannot_connect(m, lane))
		return false;
	(void)snprintf(text, n, "no connection to the smarthost: %s",
	    lane->waits == BOARD_WAIT_OUTAGE ||
		    lane->waits == BOARD_WAIT_BACKOFF ||
		    lane->trouble_wall_ms == 0
		? lane->waits_for
		: lane->trouble);
	return true;
}

const char *
standstill_remedy(
    const struct model_lane *lane, const char *what, char *text, size_t n)
{
	const struct settings *set =
	    lane->site != NULL ? &lane->site->set : NULL;

	if (strcmp(what, "login") == 0) {
		(void)snprintf(text, n,
		    "put the right one into smtp_sasl_password_maps%s%s",
		    set != NULL ? " = " : "",
		    set != NULL ? set->smtp_sasl_password_maps : "");
		return text;
	}
	if (strcmp(what, "certificate") == 0)
		return "\"postlane doctor\" says which authority it needs "
		       "(smtp_tls_CAfile), or which name";
	if (strcmp(what, "blocked") == 0)
		return "the provider's words say what to ask it for; when it "
		       "takes mail again, postlane retry";
	return NULL;
}
