#include "agent/smarthost/endings.h"

#include "common/base/clock.h"
#include "common/base/log.h"

enum { MINUTE_US = 60000000, NAME_PREFIX = 7 /* of "closed_" */ };

void
endings_init(struct endings *ends, const char *lane_name, int64_t now_us)
{
	const struct rate rate = {
	    .count_milli = ENDINGS_LINES * 1000,
	    .period_us = MINUTE_US,
	    .burst = ENDINGS_LINES,
	};

	ends->lane = lane_name;
	bucket_init(&ends->lines, &rate, now_us);
	ends->left_out = 0;
}

/* What the lane finished a session for; with another reason somebody had to
 * say no. */
static enum board_counter
finished_counter(enum session_finish_reason why)
{
	switch (why) {
	case FINISH_SPENT:
	case FINISH_USED_UP:
		return BOARD_COUNTER_closed_spent;
	case FINISH_OLD:
		return BOARD_COUNTER_closed_age;
	case FINISH_NONE: /* the server has closed it, nothing was under way */
	case FINISH_IDLE:
		return BOARD_COUNTER_closed_idle;
	case FINISH_WANTED:
		return BOARD_COUNTER_closed_surplus;
	case FINISH_DRAINING:
		return BOARD_COUNTER_closed_stop;
	case FINISH_ALARM:
	case FINISH_TOO_MANY:
	case FINISH_REFUSED:
	case FINISH_OUT_OF_STEP:
	case FINISH_GARBAGE:
	case FINISH_421:
	case FINISH_NO_PROOF:
	case FINISH_NO_RSET:
	case FINISH_LOGIN:
		break;
	}
	return BOARD_COUNTER_closed_errors;
}

enum board_counter
endings_counter(enum session_end how, const struct session *session)
{
	switch (how) {
	case SESSION_END_421:
		return BOARD_COUNTER_closed_421;
	case SESSION_END_LOST:
		return BOARD_COUNTER_closed_lost;
	case SESSION_END_TIMEOUT:
		return BOARD_COUNTER_closed_timeout;
	case SESSION_END_ABORT:
		return BOARD_COUNTER_closed_protocol;
	case SESSION_END_OURS:
		return BOARD_COUNTER_closed_errors;
	case SESSION_END_QUIT:
		break;
	}
	return finished_counter(session_finish_reason(session));
}

bool
endings_is_trouble(enum session_end how)
{
	return how == SESSION_END_LOST || how == SESSION_END_TIMEOUT ||
	       how == SESSION_END_ABORT;
}

void
endings_tell(struct endings *ends, enum session_end how,
    const struct session *session, const char *why, int64_t began_us,
    int64_t dialled_us, int64_t now_us)
{
	const struct peer *peer = session_peer(session);
	enum board_counter counter = endings_counter(how, session);

	CHECK(counter < BOARD_COUNTER_COUNT);
	if (!bucket_take(&ends->lines, 1, now_us) && !endings_is_trouble(how)) {
		ends->left_out++;
		return;
	}
	log_info("session=%s end=%s relay=%s[%s]:%s messages=%d accepted=%d "
		 "in_doubt=%d age=%.3gs dial=%.3gs lane=%s left_out=%llu "
		 "why=\"%.200s\"",
	    peer->session, board_counters[counter].name + NAME_PREFIX,
	    peer->host, peer->addr, peer->port, session_messages(session),
	    session_accepted(session), session_in_doubt(session),
	    (double)(now_us - began_us) / US_PER_S,
	    (double)(dialled_us - began_us) / US_PER_S, ends->lane,
	    (unsigned long long)ends->left_out, why);
	ends->left_out = 0;
}
