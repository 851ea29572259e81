/* How routes share the places, when they want more than there are. A route is a
 * smarthost, or one login there.
 *
 *   contender  a route with mail that could go, or whose sessions had some
 *              within a second
 *   share      places / contenders, at least one
 *   turn       TURN_DIALS times as long as a dial takes, 1 to 30 s
 *
 * Each has its share before anybody has more, in the order in which they were
 * served last. Who is short of it gets the next place that is free, else the
 * one that is missed least:
 *
 *   1. of an idle session that nobody has used for a second, or whose route has
 *      more than its share,
 *   2. of any session of a route that has more than its share: at once for who
 *      has none, a turn later for who has too few,
 *   3. for who has none: of an idle session that no more mail is expected for
 *      soon, or else of one that has its last messages on their way,
 *   4. ... a turn later, of the one that was had for longest, a turn at least.
 *
 * Mail is expected for as long as a dial takes after the last that came, two
 * where it comes one by one, or eight times as long as it was between those
 * before: 0.25 s at most, or three dials where that is 0.8 of a dial or less,
 * so that the next is likely to come while another one dials. A queue manager
 * with mail of many logins has one message of this and one of that, and a login
 * with each of them would keep everybody busy. Where none comes to the lane at
 * all any more, none is expected of anybody.
 *
 * So where there are more logins than places the mail of one that waits here
 * goes together, for a turn or until the session is spent. With L contenders on
 * P places a fair turn comes after F = ceil(L / P) - 1 turns; nobody waits for
 * twice as long. Some of that is spent where many begin to wait at once: for
 * 2 - 1 / F turns, not one, before a place is taken from who still has mail.
 * Until then that may have ended by itself, and a session ended in the midst of
 * a login's mail is one more for the rest of it. Where places change hands all
 * the time everybody waits for longer than that anyway.
 *
 * Where the connections of an account are fewer than the places the same holds
 * for its routes, but that who has two gives one at once to who has none, and
 * that the wait is for one turn.
 */
#include "agent/engine/lane_state.h"

#include <math.h>

#include "common/base/clock.h"
#include "common/base/log.h"

enum {
	/* What was used a moment ago may be wanted again. */
	YIELD_AFTER_US = 1000000,
	/* The next message of who had some a moment ago is waited for: */
	QUIET_MAX_US = 250000,
	/* ... where the next is likely to come while another one dials, */
	QUIET_MAX_DIALS = 3,
	/* ... but not when no mail at all has come for a while, */
	SILENT_MIN_US = 100000,
	/* Dials take no more than an eighth of the time. */
	TURN_DIALS = 8,
	TURN_MIN_US = 1000000,
	TURN_MAX_US = 30000000,
};

struct session *
lane_oldest_idle(
    const struct lane *lane, bool without_mail, lane_route_fn *is_of, void *ctx)
{
	struct session *oldest = NULL;

	list_each (link, &lane->all_sessions) {
		struct lane_session *ls =
		    list_entry(link, struct lane_session, of_lane);
		struct session *s = ls->session;

		if ((is_of != NULL && !is_of(ctx, ls->route)) ||
		    (without_mail && lane_unparked(ls->route) > 0) ||
		    session_load(s) > 0 || session_is_finishing(s))
			continue;
		if (oldest == NULL ||
		    session_idle_since_us(s) < session_idle_since_us(oldest))
			oldest = s;
	}
	return oldest;
}

static bool
is_ending_one(const struct lane *lane, lane_route_fn *is_of, void *ctx)
{
	list_each (link, &lane->all_sessions) {
		struct lane_session *ls =
		    list_entry(link, struct lane_session, of_lane);

		if (is_of(ctx, ls->route) && session_is_finishing(ls->session))
			return true;
	}
	return false;
}

void
lane_yield_idle(
    struct lane *lane, lane_route_fn *is_of, void *ctx, struct moment now)
{
	struct session *idle;

	if (is_ending_one(lane, is_of, ctx))
		return;
	idle = lane_oldest_idle(lane, true, is_of, ctx);
	/* One that is new found out whether its host is back. */
	if (idle != NULL && session_messages(idle) > 0 &&
	    now.us - session_idle_since_us(idle) >= YIELD_AFTER_US)
		session_finish(idle, FINISH_WANTED, now.us);
}

/* ---- shares ------------------------------------------------------------- */

/* Places of r that are not about to be free. */
static size_t
held_by(const struct route *r)
{
	size_t n = r->dialing;

	list_each (link, &r->sessions)
		n += !session_is_finishing(session_of(link)->session);
	return n;
}

static bool
was_used_lately(const struct route *r, int64_t now_us)
{
	list_each (link, &r->sessions) {
		const struct session *s = session_of(link)->session;

		if (!session_is_finishing(s) &&
		    (session_load(s) > 0 ||
			now_us - session_idle_since_us(s) < YIELD_AFTER_US))
			return true;
	}
	return false;
}

static bool
is_contender(const struct route *r, int64_t now_us)
{
	if (r->dialing > 0 || was_used_lately(r, now_us))
		return true;
	return lane_unparked(r) > 0 && now_us >= r->dial_not_before_us &&
	       now_us >= r->rest_until_us && now_us >= lane_paused_to_us(r);
}

void
lane_count_shares(struct lane *lane, int64_t now_us)
{
	size_t places = (size_t)lane->set->lane_connection_limit;

	CHECK(lane->is_kicking);
	lane->contenders = 0;
	list_each (link, &lane->routes)
		lane->contenders += is_contender(route_of(link), now_us);
	lane->share = lane->contenders > 1 ? places / lane->contenders : places;
	if (lane->share < 1)
		lane->share = 1;
	list_each (link, &lane->routes) {
		struct route *r = route_of(link);
		size_t held = held_by(r);

		r->claimed = 0;
		r->is_modest = false;
		r->has_none = held == 0 && lane_unparked(r) > 0;
		if (lane_unparked(r) == 0 || held >= lane->share)
			r->short_us = 0;
		else if (r->short_us == 0)
			r->short_us = now_us;
	}
	for (size_t i = 0; i < LANE_WANTS; i++)
		lane->no_place_at[i] = lane->moves - 1;
	lane->finishing = lane->claimed = 0;
	list_each (link, &lane->all_sessions)
		lane->finishing += session_is_finishing(
		    list_entry(link, struct lane_session, of_lane)->session);
	lane->is_rest_given = false;
}

/* ---- who gives a place -------------------------------------------------- */

static int64_t
turn_us(const struct route *r)
{
	double turn = TURN_DIALS * r->tempo.dial_us;

	return turn < TURN_MIN_US   ? TURN_MIN_US
	       : turn > TURN_MAX_US ? TURN_MAX_US
				    : (int64_t)turn;
}

/* Who asks for a place, and what was found for him. */
struct search {
	const struct lane *lane;
	const struct route *r;
	enum lane_want want;
	bool of_account; /* only that of r has none */
	int64_t now_us;
	struct lane_session *best;
	int rank;
	size_t held; /* by the route of best, where that counts */
	int64_t due_us; /* a turn is over then */
};

static bool
is_due(struct search *s, int64_t at_us)
{
	if (at_us <= s->now_us)
		return true;
	if (at_us < s->due_us)
		s->due_us = at_us;
	return false;
}

/* Until then some mail of r may come, as long as any comes at all: so where all
 * that is left waits for a place, or the queue manager can hand out no more
 * before some of it has gone, nobody waits for what does not come.
 */
static int64_t
silent_us(const struct lane *lane, double dial_us)
{
	int64_t next_us = tempo_next_us(&lane->coming, YIELD_AFTER_US);
	int64_t least_us =
	    lane->coming.came_us + (int64_t)fmax(dial_us, SILENT_MIN_US);

	return next_us > least_us ? next_us : least_us;
}

/* If no more of its mail has come by then, the next is not worth a wait: that
 * would be longer than the dial for it takes, and than it was between others.
 * Where messages come one by one, so that more than a dial may lie between two,
 * the next costs two dials: its own, and that of who got the place meanwhile
 * and has to give it back. Where all came together one is waited for.
 * Where the next is likely to come while somebody dials, a dial that passes
 * without it is chance; three seldom are.
 */
static int64_t
quiet_us(const struct lane *lane, const struct route *r)
{
	const struct tempo *t = &r->tempo;
	double dial_us = fmin(t->dial_us, YIELD_AFTER_US);
	double max_us = QUIET_MAX_US;
	int64_t dialled_us = t->came_us + (int64_t)dial_us;
	int64_t next_us, silent;

	if (5 * t->interval_us <= 4 * dial_us)
		max_us = fmax(max_us, QUIET_MAX_DIALS * dial_us);
	next_us = tempo_next_us(t, (int64_t)max_us);
	if (tempo_next_us(t, YIELD_AFTER_US) > dialled_us)
		dialled_us += (int64_t)dial_us;
	if (next_us < dialled_us)
		next_us = dialled_us;
	silent = silent_us(lane, dial_us);
	return next_us < silent ? next_us : silent;
}

/* Who has none waits for so long before a place is taken from who still has
 * mail: 2 - 1 / F turns. Of an account nobody knows how many contend. */
static int64_t
patience_us(const struct search *s, int64_t turn)
{
	size_t places = (size_t)s->lane->set->lane_connection_limit;
	size_t fair = s->lane->contenders > places && !s->of_account
			  ? (s->lane->contenders - 1) / places
			  : 1;

	return 2 * turn - turn / (int64_t)fair;
}

/* What it has is answered in the time of a dial: QUIT may go with it. */
static bool
is_nearly_idle(const struct lane_session *ls, int64_t now_us)
{
	const struct tempo *t = &ls->route->tempo;
	double left_us = (double)session_load(ls->session) * t->message_us;

	return t->knows_dial && t->knows_message && left_us <= t->dial_us &&
	       (double)(now_us - ls->moved_us) <= t->dial_us;
}

/* 0: it keeps its place. */
static int
rank_of(struct search *s, const struct lane_session *ls, size_t held)
{
	const struct route *r = ls->route;
	bool is_through = lane_unparked(r) == 0;
	bool is_idle = session_load(ls->session) == 0 && is_through;
	/* How many of an account's connections are the lane's nobody knows. */
	bool is_beyond = held > (s->of_account ? 1 : s->lane->share);
	int64_t since_us = s->r->short_us, turn = turn_us(r);

	if (is_idle &&
	    ((is_beyond && s->want != LANE_WANTS_MORE) ||
		is_due(s, session_idle_since_us(ls->session) + YIELD_AFTER_US)))
		return 5;
	if (s->want == LANE_WANTS_MORE)
		return 0;
	if (is_beyond &&
	    (s->want == LANE_WANTS_ONE || is_due(s, since_us + turn)))
		return 4;
	if (s->want != LANE_WANTS_ONE)
		return 0;
	if (is_through && is_due(s, quiet_us(s->lane, r))) {
		if (is_idle)
			return 3;
		if (is_nearly_idle(ls, s->now_us))
			return 2;
	}
	return is_due(s, ls->began_us + turn) &&
	       is_due(s, since_us + patience_us(s, turn));
}

/* Of the same rank: the one that is missed less. */
static bool
is_better(const struct search *s, const struct lane_session *ls, int rank,
    size_t held)
{
	if (s->best == NULL || rank != s->rank)
		return s->best == NULL || rank > s->rank;
	if (rank == 5 || rank == 3)
		return session_idle_since_us(ls->session) <
		       session_idle_since_us(s->best->session);
	if (rank == 2)
		return session_load(ls->session) <
		       session_load(s->best->session);
	if (rank == 4)
		return held > s->held ||
		       (held == s->held && session_load(ls->session) <
					       session_load(s->best->session));
	return ls->began_us < s->best->began_us;
}

static void
look_at(struct search *s, struct lane_session *ls)
{
	size_t held;
	int rank;

	if (session_is_finishing(ls->session) || ls->route == s->r ||
	    (s->of_account && ls->route->pace != s->r->pace))
		return;
	held = held_by(ls->route);
	rank = rank_of(s, ls, held);
	if (rank == 0 || !is_better(s, ls, rank, held))
		return;
	s->best = ls;
	s->rank = rank;
	s->held = held;
}

static struct lane_session *
find_giver(struct search *s)
{
	list_each (link, &s->lane->all_sessions)
		look_at(s, list_entry(link, struct lane_session, of_lane));
	return s->best;
}

/* As find_giver(), which there need not be one of for very many routes: it is
 * not looked for again before something has moved, unless by who has waited for
 * longer. */
static struct lane_session *
find_giver_once(struct lane *lane, struct search *s)
{
	if (lane->no_place_at[s->want] == lane->moves &&
	    s->r->short_us >= lane->no_place_since_us[s->want])
		return NULL;
	if (find_giver(s) == NULL) {
		lane->no_place_at[s->want] = lane->moves;
		lane->no_place_since_us[s->want] = s->r->short_us;
	}
	return s->best;
}

static enum lane_want
want_of(const struct lane *lane, size_t held)
{
	return held == 0            ? LANE_WANTS_ONE
	       : held < lane->share ? LANE_WANTS_SHARE
				    : LANE_WANTS_MORE;
}

static void
look_again(struct lane *lane, const struct search *s)
{
	if (s->due_us < lane->look_again_us)
		lane->look_again_us = s->due_us;
}

/* As many as it can use and may have. */
static void
make_room(struct lane *lane, struct route *r, int64_t now_us)
{
	size_t waiting = lane_unparked(r), held = held_by(r);
	struct search s = {
	    .lane = lane, .r = r, .now_us = now_us, .due_us = INT64_MAX};

	for (; r->claimed + r->dialing < waiting; r->claimed++) {
		s.want = want_of(lane, held + r->claimed);
		if (s.want == LANE_WANTS_MORE && !lane->is_rest_given)
			break;
		if (lane->claimed == lane->finishing) {
			s.best = NULL;
			if (find_giver_once(lane, &s) == NULL)
				break;
			session_finish(s.best->session, FINISH_WANTED, now_us);
			lane->finishing++;
		}
		lane->claimed++;
	}
	look_again(lane, &s);
}

bool
lane_has_place(struct lane *lane, struct route *r, bool is_probe,
    struct lane_no *no, int64_t now_us)
{
	size_t places = (size_t)lane->set->lane_connection_limit;
	size_t taken =
	    lane->sessions + lane->dialing + (is_probe ? 0 : lane->places_kept);
	bool is_modest = !is_probe && !lane->is_rest_given &&
			 want_of(lane, held_by(r)) == LANE_WANTS_MORE;

	CHECK(lane->is_kicking);
	/* A successor of a spent session need not be there before others. */
	if (!is_probe && lane_unparked(r) == 0 && lane->contenders > places)
		is_modest = true;
	if (!is_modest && taken < places)
		return true;
	r->full_us = now_us;
	r->is_modest = r->is_modest || is_modest;
	if (!is_modest)
		make_room(lane, r, now_us);
	lane_no_set(no, LANE_NO_CONNECTION_LIMIT, INT64_MAX);
	return false;
}

static bool
is_of_pace(void *ctx, const struct route *r)
{
	return r->pace == ctx;
}

void
lane_ask_for_slot(struct lane *lane, struct route *r, int64_t now_us)
{
	struct search s = {.lane = lane,
	    .r = r,
	    .want = LANE_WANTS_ONE,
	    .of_account = true,
	    .now_us = now_us,
	    .due_us = INT64_MAX};

	if (held_by(r) > 0 || lane_unparked(r) == 0 ||
	    is_ending_one(lane, is_of_pace, r->pace))
		return;
	if (find_giver(&s) != NULL) {
		session_finish(s.best->session, FINISH_WANTED, now_us);
		lane->finishing++;
		lane->claimed++; /* not for others */
	}
	look_again(lane, &s);
}
