#include "agent/engine/fleet_share.h"

#include <string.h>

#include "common/base/log.h"

void
fleet_share_init(
    struct fleet_share *s, const struct fleet_terms *terms, int64_t now_us)
{
	*s = (struct fleet_share){.end_us = now_us + terms->ttl_us};
}

void
fleet_share_begin(struct fleet_share *s, uint64_t nonce)
{
	s->epoch++;
	s->number = 0;
	s->nonce = nonce;
	s->asked_us = 0;
}

void
fleet_share_shift(struct fleet_share *s, int64_t delta_us)
{
	s->end_us += delta_us;
	if (s->answered_us != 0)
		s->answered_us += delta_us;
	s->asked_us = 0;
}

/* From when on the host is at its base. */
static int64_t
base_us(const struct fleet_share *s, const struct fleet_terms *terms)
{
	if (s->share >= fleet_base(terms))
		return s->end_us;
	return s->end_us + FLEET_GUARD_US + terms->linger_us;
}

/* From when on the others count on no more than the minimum. */
static int64_t
forgotten_us(const struct fleet_share *s, const struct fleet_terms *terms)
{
	if (terms->forget_us == 0)
		return INT64_MAX;
	/* Who knows of no answer may have been forgotten long ago. */
	if (s->answered_us == 0)
		return INT64_MIN;
	return s->answered_us + terms->forget_us - terms->forget_us / 4;
}

int64_t
fleet_share_now(const struct fleet_share *s, const struct fleet_terms *terms,
    int64_t now_us)
{
	if (s->is_refused)
		return 0;
	if (now_us < base_us(s, terms))
		return s->share;
	if (now_us >= forgotten_us(s, terms))
		return terms->minimum;
	return fleet_base(terms);
}

void
fleet_share_ask(struct fleet_share *s, const struct fleet_terms *terms,
    int64_t want, int64_t in_use, int64_t now_us, struct fleet_question *out)
{
	bool has_lease = now_us < s->end_us;

	CHECK(want >= 0 && in_use >= 0);
	if (has_lease)
		s->share = fleet_least(s->share, fleet_most(want, in_use));
	s->number++;
	s->asked_us = now_us;
	*out = (struct fleet_question){
	    .nonce = s->nonce,
	    .epoch = s->epoch,
	    .number = s->number,
	    .want = want,
	    .cap = fleet_share_now(s, terms, now_us),
	    .in_use = in_use,
	    .echo = has_lease ? s->echo : 0,
	    .left_us = has_lease ? s->end_us - now_us : 0,
	    .seen = s->seen,
	    .since_us = s->seen != 0 ? now_us - s->answered_us : 0,
	};
	memcpy(out->life, s->life, sizeof(out->life));
}

bool
fleet_share_answer(struct fleet_share *s, const struct fleet_terms *terms,
    int64_t number, const struct fleet_answer *answer, int64_t now_us)
{
	int64_t asked_us = s->asked_us;

	if (number != s->number || asked_us == 0)
		return false;
	s->asked_us = 0;
	if (now_us < asked_us || now_us - asked_us > FLEET_ANSWER_US)
		return false;
	if (answer->word == FLEET_STALE || answer->word == FLEET_FULL)
		s->is_refused = 1;
	if (answer->word != FLEET_OK)
		return true;
	s->is_refused = 0;
	s->share = answer->share;
	s->echo = answer->end;
	s->end_us = asked_us + (answer->end - answer->at);
	if (s->share > fleet_base(terms))
		s->end_us -= fleet_slack_us(terms);
	s->answered_us = asked_us;
	s->seen = answer->at;
	memcpy(s->life, answer->life, sizeof(s->life));
	return true;
}
