#include "agent/engine/route.h"

#include "common/base/log.h"
#include "common/base/mem.h"

#define TO(state) (1u << (state))

static const unsigned reach_moves[] = {
    [ROUTE_REACHABLE] = TO(ROUTE_FAILING) | TO(ROUTE_DOWN),
    [ROUTE_FAILING] = TO(ROUTE_DOWN) | TO(ROUTE_REACHABLE),
    [ROUTE_DOWN] = TO(ROUTE_REACHABLE),
};

static const unsigned trust_moves[] = {
    [ROUTE_TRUSTED] = TO(ROUTE_SUSPECT) | TO(ROUTE_ALARMED),
    [ROUTE_SUSPECT] = TO(ROUTE_TRUSTED) | TO(ROUTE_ALARMED),
    [ROUTE_ALARMED] = TO(ROUTE_TRUSTED),
};

static void
set_reach(struct route *r, enum route_reach reach, int64_t now_us)
{
	CHECK((reach_moves[r->reach] & TO(reach)) != 0);
	if (r->reach == ROUTE_REACHABLE)
		r->failing_since_us = now_us;
	else if (reach == ROUTE_REACHABLE)
		r->failing_since_us = 0;
	r->reach = reach;
}

static void
set_trust(struct route *r, enum route_trust trust)
{
	CHECK((trust_moves[r->trust] & TO(trust)) != 0);
	r->trust = trust;
}

static void
set_down(struct route *r, int64_t now_us)
{
	if (r->reach != ROUTE_DOWN)
		set_reach(r, ROUTE_DOWN, now_us);
}

struct route *
route_new(const char *nexthops, const char *sender)
{
	struct route *r = mem_zalloc(sizeof(*r));

	list_init(&r->link);
	list_init(&r->waiting);
	list_init(&r->parkings);
	list_init(&r->sessions);
	r->nexthops = mem_strdup(nexthops);
	r->list = mem_strdup(nexthops);
	r->past = mem_strdup("");
	r->number = 1;
	r->sender = mem_strdup(sender);
	r->login = *sender != '\0' ? mem_printf("%s (%s)", nexthops, sender)
				   : mem_strdup(nexthops);
	r->depth = 1;
	r->need = INT32_MAX;
	manner_init(&r->manner);
	lane_no_set(&r->no, LANE_NO_LOOK, INT64_MAX);
	return r;
}

void
route_free(struct route **route)
{
	struct route *old = *route;

	*route = NULL;
	if (old == NULL)
		return;
	CHECK(list_is_empty(&old->waiting) && list_is_empty(&old->sessions));
	CHECK(list_is_empty(&old->parkings));
	list_remove(&old->link);
	mem_free(old->nexthops);
	mem_free(old->list);
	mem_free(old->past);
	mem_free(old->sender);
	mem_free(old->login);
	mem_free(old->no_login);
	mem_free(old->failure_peer);
	mem_free(old->failure_reply);
	mem_free(old->ended_why);
	mem_free(old);
}

bool
route_is_example(const struct route *r, const struct route *other)
{
	if ((r->wary > 0) != (other->wary > 0))
		return r->wary > 0;
	return r->taken_since_doubt > other->taken_since_doubt;
}

void
route_expect_as(struct route *r, const struct route *other)
{
	CHECK(r->worked_us == 0 && r->session_count == 0);
	if (other->tempo.knows_dial) {
		r->tempo.dial_us = other->tempo.dial_us;
		r->tempo.knows_dial = true;
	}
	if (other->tempo.knows_message) {
		r->tempo.message_us = other->tempo.message_us;
		r->tempo.knows_message = true;
	}
	r->manner = other->manner;
	if (other->wary > 0)
		r->depth = 1;
	else if (other->depth > r->depth)
		r->depth = other->depth;
}

/* After so many good ones in a row depth doubles. */
static int
needed_to_grow(const struct route *r)
{
	return r->depth > r->wary ? r->depth : r->wary;
}

void
route_on_accepted(struct route *r, int64_t began_us, int depth_max)
{
	CHECK(depth_max > 0 && r->depth > 0 && r->need > 0);
	/* A larger window than is used would be trusted without a trial. */
	if (depth_max > r->need)
		depth_max = r->need;
	r->taken_since_doubt++;
	if (r->taken_since_doubt / ROUTE_WARY_FORGOTTEN >= r->wary)
		r->wary = 0;
	/* What was on its way in a window shows nothing of a smaller one. */
	if (r->wary > 0 && began_us < r->wary_since_us)
		return;
	if (r->depth >= depth_max || ++r->good_in_row < needed_to_grow(r))
		return;
	r->good_in_row = 0;
	r->depth = r->depth * 2 > depth_max ? depth_max : r->depth * 2;
}

void
route_on_trouble(struct route *r)
{
	r->good_in_row = 0;
	if (r->depth > 1)
		r->depth /= 2;
}

/* So many messages must go well before a larger window is risked. */
static int64_t
wary_after(const struct route *r, bool is_window)
{
	int64_t apart = 2 * r->taken_since_doubt;
	int64_t wary = !is_window     ? r->wary
		       : r->wary == 0 ? ROUTE_WARY_FIRST
				      : 2 * (int64_t)r->wary;

	if (apart > ROUTE_WARY_APART)
		apart = ROUTE_WARY_APART;
	if (wary < apart)
		wary = apart;
	return wary < ROUTE_WARY_MAX ? wary : ROUTE_WARY_MAX;
}

/* A session broke with messages in doubt. */
static void
on_doubt(struct route *r, int in_doubt, int64_t now_us)
{
	/* Several sessions may break for one cause: one step. */
	bool is_window = in_doubt > 1 && (r->depth > 1 || r->wary == 0);

	if (is_window || r->wary > 0) {
		r->wary = (int)wary_after(r, is_window);
		r->wary_since_us = now_us;
		r->good_in_row = 0;
		r->depth = 1;
	}
	if (is_window)
		log_info("%s: a session broke with several messages in doubt: "
			 "one at a time until %d more are accepted",
		    r->nexthops, r->wary);
	r->taken_since_doubt = 0;
}

static void
back_off(struct route *r, bool is_silent, uint32_t random, int64_t now_us)
{
	int64_t max_us =
	    is_silent ? ROUTE_BACKOFF_MAX_SILENT_US : ROUTE_BACKOFF_MAX_US;

	CHECK(r->backoff_us >= 0 && r->backoff_us <= ROUTE_BACKOFF_MAX_US);
	/* Several dials or sessions may fail for one cause: one step back. */
	if (now_us < r->dial_not_before_us)
		return;
	r->backoff_us =
	    r->backoff_us == 0 ? ROUTE_BACKOFF_FIRST_US : r->backoff_us * 2;
	if (r->backoff_us > max_us)
		r->backoff_us = max_us;
	/* Jitter of a quarter each way keeps many lanes from knocking in
	 * step. */
	r->dial_not_before_us =
	    now_us + r->backoff_us * 3 / 4 +
	    (int64_t)(random % (uint32_t)(r->backoff_us / 2 + 1));
}

/* Once is an accident, or a server that is being stopped; several times in a
 * row at the same count is a rule. Twice happens by chance, soon when a line
 * or a server fails now and then, and then at a small count. */
static void
learn_quota(struct route *r, int accepted, int64_t now_us)
{
	CHECK(accepted > 0); /* else it is no quota */
	if (accepted != r->lost_after)
		r->lost_in_row = 0;
	r->lost_after = accepted;
	if (++r->lost_in_row < ROUTE_QUOTA_TIMES)
		return;
	if (r->quota != accepted)
		log_info("%s closes a session after %d messages", r->nexthops,
		    accepted);
	r->quota = accepted;
	r->quota_learned_us = now_us;
}

void
route_on_session_end(struct route *r, enum session_end how, int accepted,
    int in_doubt, uint32_t random, int64_t now_us)
{
	CHECK(accepted >= 0 && in_doubt >= 0);
	if (in_doubt > 0)
		on_doubt(r, in_doubt, now_us);
	switch (how) {
	case SESSION_END_QUIT:
	case SESSION_END_OURS:
		/* One that carried more: it was no rule. */
		if (accepted > r->lost_after)
			r->lost_in_row = 0;
		break;
	case SESSION_END_421:
		if (accepted > 0)
			learn_quota(r, accepted, now_us);
		else
			back_off(r, false, random, now_us);
		break;
	case SESSION_END_LOST:
		if (accepted > 0)
			learn_quota(r, accepted, now_us);
		else
			back_off(r, true, random, now_us);
		route_on_trouble(r);
		break;
	case SESSION_END_TIMEOUT:
	case SESSION_END_ABORT:
		if (accepted == 0)
			back_off(r, false, random, now_us);
		route_on_trouble(r);
		break;
	}
	/* That a session did its work does not show that one more is allowed
	 * than before. */
	if (accepted > 0 && r->sessions_proven == 0)
		r->backoff_us = 0;
}

void
route_remember_end(struct route *r, const char *why)
{
	mem_free(r->ended_why);
	r->ended_why = mem_strdup(why);
}

void
route_on_dial(struct route *r, int64_t now_us)
{
	r->dial_began_us = now_us;
	if (r->dials_count < ROUTE_DIALS)
		r->dials_began_us[(r->dials_first + r->dials_count++) %
				  ROUTE_DIALS] = now_us;
}

/* Of the dial that ends now. */
static int64_t
take_began_us(struct route *r)
{
	int64_t began_us = r->dial_began_us;

	CHECK(r->dials_first < ROUTE_DIALS && r->dials_count <= ROUTE_DIALS);
	if (r->dials_count == 0)
		return began_us;
	began_us = r->dials_began_us[r->dials_first];
	r->dials_first = (r->dials_first + 1) % ROUTE_DIALS;
	r->dials_count--;
	return began_us;
}

void
route_on_connected(struct route *r, int64_t now_us)
{
	CHECK(now_us > 0);
	r->dial_took_us = now_us - take_began_us(r);
	tempo_on_dial(&r->tempo, r->dial_took_us);
}

void
route_on_welcome(struct route *r, int64_t now_us)
{
	if (r->reach == ROUTE_DOWN && !r->has_next)
		log_info("%s is reachable again", r->nexthops);
	if (r->reach != ROUTE_REACHABLE)
		set_reach(r, ROUTE_REACHABLE, now_us);
	r->worked_us = now_us;
	r->refused_in_row = 0;
	/* A pause that another dial or session was the cause of lasts. */
	if (r->session_count >= r->sessions_proven)
		r->sessions_proven = 0;
}

void
route_on_dial_ok(struct route *r, int64_t now_us)
{
	route_on_connected(r, now_us);
	route_on_welcome(r, now_us);
}

bool
route_is_well(const struct route *r)
{
	return r->reach == ROUTE_REACHABLE && r->trust == ROUTE_TRUSTED;
}

bool
route_is_being_tried(const struct route *r)
{
	if (r->sessions_proven > 0)
		return r->session_count + r->dialing > r->sessions_proven;
	return r->reach != ROUTE_REACHABLE && r->dialing > 0;
}

bool
route_may_replace(const struct route *r)
{
	return r->session_count + r->dialing < r->sessions_proven;
}

static void
remember_failure(struct route *r, const struct route_failure *f)
{
	r->failure = *f->dsn;
	if (r->failure.cause == DSN_CAUSE_NONE)
		r->failure.cause = DSN_CAUSE_UNREACHABLE;
	/* Mail is kept, so its reason must not read as final. */
	dsn_set_class(&r->failure, '4');
	r->failure_kind = f->kind;
	mem_free(r->failure_peer);
	r->failure_peer = NULL;
	if (f->peer != NULL) {
		r->failure_peer = mem_alloc(sizeof(*f->peer));
		*r->failure_peer = *f->peer;
	}
	mem_free(r->failure_reply);
	r->failure_reply = f->reply != NULL ? mem_strdup(f->reply) : NULL;
}

void
route_set_no_login(struct route *r, const char *text, bool offered)
{
	mem_free(r->no_login);
	r->no_login = text != NULL ? mem_strdup(text) : NULL;
	r->offers_login = offered;
}

void
route_on_dial_failed(struct route *r, const struct route_failure *failure,
    uint32_t random, int64_t now_us)
{
	int64_t patience_us = failure->patience_us;

	CHECK(failure->dsn != NULL && failure->patience_us >= 0);
	(void)take_began_us(r);
	back_off(r, failure->kind.is_transport, random, now_us);
	remember_failure(r, failure);
	if (r->reach == ROUTE_REACHABLE)
		set_reach(r, ROUTE_FAILING, now_us);
	/* Those under way were not refused so far. */
	r->sessions_proven = r->session_count + r->dialing;
	if (r->session_count > 0)
		return;
	if (r->worked_us > 0 && now_us - r->worked_us < ROUTE_WORKED_US &&
	    patience_us < ROUTE_PATIENCE_US && !route_is_refused(r))
		patience_us = ROUTE_PATIENCE_US;
	if (now_us - r->failing_since_us < patience_us)
		return;
	if (r->reach != ROUTE_DOWN && !r->has_next)
		log_warn("%s cannot be used, mail is deferred: %s", r->nexthops,
		    r->failure.text);
	set_down(r, now_us);
}

void
route_on_login_refused(struct route *r, const struct dsn *dsn,
    const struct peer *peer, int64_t now_us)
{
	if (r->reach != ROUTE_REACHABLE)
		return; /* somebody finds out already */
	remember_failure(r, &(struct route_failure){.dsn = dsn, .peer = peer});
	set_reach(r, ROUTE_FAILING, now_us);
	r->sessions_proven = 0;
}

void
route_on_turned_away(struct route *r, const struct dsn *dsn,
    const struct peer *peer, int64_t now_us)
{
	remember_failure(r, &(struct route_failure){.dsn = dsn, .peer = peer});
	set_down(r, now_us);
	if (r->trust == ROUTE_TRUSTED)
		set_trust(r, ROUTE_SUSPECT);
	r->has_next = true;
	r->sessions_proven = 0;
	r->depth = 1;
	r->good_in_row = 0;
}

void
route_on_good(struct route *r)
{
	if (r->trust == ROUTE_SUSPECT)
		set_trust(r, ROUTE_TRUSTED);
	r->turned_away = 0;
	for (size_t i = 0; i < WITNESS_DIALS; i++)
		r->suspicions[i].since_us = 0;
}

void
route_on_alarm(struct route *r, const struct dsn *dsn, const struct peer *peer,
    const char *reply, int64_t first_us, int64_t now_us)
{
	CHECK(dsn != NULL && first_us > 0);
	r->is_login_wanted = false;
	/* Many replies of one flight say the same. A session whose dial was
	 * under way has found the host reachable in the meantime. */
	if (route_is_refused(r) && now_us < r->rest_until_us) {
		set_down(r, now_us);
		return;
	}
	r->alarm_wait_us =
	    r->alarm_wait_us == 0 ? first_us : r->alarm_wait_us * 2;
	if (r->alarm_wait_us > first_us * ROUTE_ALARM_WAITS)
		r->alarm_wait_us = first_us * ROUTE_ALARM_WAITS;
	remember_failure(r,
	    &(struct route_failure){.dsn = dsn, .peer = peer, .reply = reply});
	set_down(r, now_us);
	if (r->trust != ROUTE_ALARMED)
		set_trust(r, ROUTE_ALARMED);
	r->is_doubted = false;
	r->alarms++;
	/* Nothing that was proven before holds. */
	r->sessions_proven = 0;
	r->depth = 1;
	r->good_in_row = 0;
	route_rest(r, now_us + r->alarm_wait_us);
}

void
route_on_login_wanted(struct route *r, const struct dsn *dsn,
    const struct peer *peer, const char *reply, int64_t first_us,
    int64_t now_us)
{
	/* What else it was stopped for is not over with it. */
	bool is_other = route_is_refused(r) && !r->is_login_wanted;

	route_on_alarm(r, dsn, peer, reply, first_us, now_us);
	r->is_login_wanted = !is_other;
}

bool
route_may_doubt(struct route *r, int64_t now_us)
{
	r->refused_in_row++;
	if (r->trust == ROUTE_ALARMED)
		return false;
	if (r->session_count > 0 || r->dialing > 1)
		return true;
	return r->worked_us > 0 && now_us - r->worked_us < ROUTE_DOUBT_US &&
	       r->refused_in_row < ROUTE_DOUBTS;
}

bool
route_suspect(
    struct route *r, enum witness witness, uint64_t who, int64_t now_us)
{
	struct suspicion *s = &r->suspicions[witness];

	CHECK(witness > WITNESS_NONE && witness < WITNESS_DIALS);
	if (s->since_us == 0 || now_us - s->since_us >= ROUTE_SUSPICION_US) {
		*s = (struct suspicion){now_us, who, 1};
		return false;
	}
	s->count++;
	return s->who != who || (witness == WITNESS_SENDER &&
				    s->count >= ROUTE_SUSPICION_MESSAGES);
}

void
route_recall_alarm(struct route *r, bool is_doubted)
{
	set_trust(r, ROUTE_ALARMED);
	r->is_doubted = is_doubted;
}

void
route_on_doubt(struct route *r)
{
	CHECK(r->trust == ROUTE_TRUSTED);
	set_trust(r, ROUTE_ALARMED);
	r->is_doubted = true;
	r->alarms++;
	r->sessions_proven = 0;
}

static void
end_alarm(struct route *r)
{
	set_trust(r, ROUTE_TRUSTED);
	r->is_doubted = false;
	r->alarm_wait_us = 0;
	r->is_login_wanted = false;
}

bool
route_on_all_clear(struct route *r, unsigned alarms_before)
{
	/* What an older session had under way proves nothing. */
	if (r->trust != ROUTE_ALARMED || alarms_before != r->alarms)
		return false;
	end_alarm(r);
	return true;
}

bool
route_on_stranger_taken(struct route *r)
{
	r->took_stranger = true;
	if (r->trust != ROUTE_ALARMED || !r->is_login_wanted)
		return false;
	end_alarm(r);
	route_retry(r);
	return true;
}

void
route_retry(struct route *r)
{
	r->backoff_us = 0;
	r->alarm_wait_us = 0;
	r->rest_until_us = 0;
	r->dial_not_before_us = 0;
}

void
route_rest(struct route *r, int64_t until_us)
{
	if (until_us > r->rest_until_us)
		r->rest_until_us = until_us;
	if (until_us > r->dial_not_before_us)
		r->dial_not_before_us = until_us;
}

void
route_load_quota(struct route *r, int messages, int64_t learned_us)
{
	if (messages <= 0 || (r->quota > 0 && learned_us < r->quota_learned_us))
		return;
	r->quota = messages;
	r->quota_learned_us = learned_us;
	/* Once it is forgotten one more close is enough to know it again. */
	r->lost_after = messages;
	r->lost_in_row = ROUTE_QUOTA_TIMES;
}

int
route_quota(
    const struct route *r, int configured, int announced, int64_t now_us)
{
	int quota = configured;

	CHECK(configured > 0);
	if (announced > 0 && announced < quota)
		quota = announced;
	if (r->quota > 0 && r->quota < quota &&
	    now_us - r->quota_learned_us < ROUTE_QUOTA_MEMORY_US)
		quota = r->quota;
	return quota;
}

bool
route_is_in_outage(const struct route *r, int64_t now_us)
{
	return r->reach == ROUTE_DOWN && r->session_count == 0 &&
	       r->dialing == 0 && now_us < r->dial_not_before_us;
}
