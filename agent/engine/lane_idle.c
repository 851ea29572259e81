/* How long a session waits for mail (lane_connection_idle_limit), and which
 * ones are kept for longer (lane_connection_idle_reserve), so that what is
 * urgent does not wait for a dial.
 *
 * Those used last are kept, until shortly before the server would close them:
 * five minutes at least by RFC 5321 4.5.3.2.7, or what a server was seen to do
 * less a tenth. That is forgotten step by step when it does no more. No NOOP is
 * sent to look alive: servers count those as errors, and whoever closes idle
 * sessions wants them closed. Nor is one dialled without mail: to a provider
 * that is a login with nothing to do. A kept session is idle like any other to
 * whoever wants its place. */
#include "agent/engine/lane_state.h"

#include "common/base/log.h"

enum {
	LIKELY_S = 270, /* less than RFC 5321's five minutes */
	/* A server that closes sooner means something else. */
	SOON_S = 2,
};

/* Was used later than ls, or is being used. */
static bool
is_before(const struct lane_session *other, const struct lane_session *ls)
{
	const struct session *s = other->session;

	if (other == ls || session_is_finishing(s))
		return false;
	return session_load(s) > 0 ||
	       session_idle_since_us(s) > session_idle_since_us(ls->session) ||
	       (session_idle_since_us(s) ==
		       session_idle_since_us(ls->session) &&
		   other->number > ls->number);
}

static bool
is_among_last(const struct lane_session *ls, int count)
{
	int before = 0;

	list_each (link, &ls->lane->all_sessions) {
		const struct lane_session *other =
		    list_entry(link, struct lane_session, of_lane);

		if (is_before(other, ls) && ++before >= count)
			return false;
	}
	return true;
}

void
lane_keep_idle(struct lane *lane, int64_t now_us)
{
	const struct settings *set = lane->set;

	if (set->lane_connection_idle_reserve == 0)
		return;
	list_each (link, &lane->all_sessions) {
		struct lane_session *ls =
		    list_entry(link, struct lane_session, of_lane);

		/* Nobody asks before. */
		ls->is_kept =
		    session_load(ls->session) == 0 &&
		    now_us - session_idle_since_us(ls->session) >=
			set->lane_connection_idle_limit_us &&
		    is_among_last(ls, set->lane_connection_idle_reserve);
	}
}

static int64_t
patience_us(const struct route *r)
{
	return r->idle_patience_us > 0 ? r->idle_patience_us
				       : LIKELY_S * US_PER_S;
}

int64_t
lane_idle_until_us(const struct lane_session *ls)
{
	int64_t limit_us = ls->lane->set->lane_connection_idle_limit_us;

	if (ls->is_kept && patience_us(ls->route) > limit_us)
		limit_us = patience_us(ls->route);
	return session_idle_since_us(ls->session) + limit_us;
}

void
lane_learn_idle(const struct lane_session *ls, int64_t now_us)
{
	struct route *r = ls->route;
	int64_t idle_us = now_us - session_idle_since_us(ls->session);
	enum session_finish_reason why = session_finish_reason(ls->session);

	if (!ls->is_kept || ls->end_how != SESSION_END_QUIT)
		return;
	if (why == FINISH_NONE && idle_us >= SOON_S * US_PER_S) {
		r->idle_patience_us = idle_us - idle_us / 10;
		log_debug("%s: closes a session that was idle for %lld s",
		    r->nexthops, (long long)(idle_us / US_PER_S));
	} else if (why == FINISH_IDLE) {
		r->idle_patience_us = patience_us(r) + patience_us(r) / 8;
		if (r->idle_patience_us > LIKELY_S * US_PER_S)
			r->idle_patience_us = 0;
	}
}
