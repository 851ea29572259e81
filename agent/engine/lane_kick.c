/* Looking again: whose turn it is, and on which session. */
#include "agent/engine/lane_state.h"

#include "common/base/clock.h"
#include "common/base/log.h"
#include "common/base/mem.h"

void
lane_free_session(struct lane_session *ls)
{
	mem_free(ls->no_login);
	CHECK(ls->route->session_count > 0 &&
	      ls->lane->sessions >= ls->route->session_count);
	list_remove(&ls->link);
	list_remove(&ls->of_lane);
	ls->route->session_count--;
	ls->lane->sessions--;
	session_free(&ls->session);
	mem_free(ls->domains);
	mem_free(ls);
}

/* The route learns from its end. */
static void
judge_end(struct lane *lane, struct lane_session *ls, int64_t now_us)
{
	struct route *r = ls->route;
	int quota = r->quota;

	if (ls->end_how != SESSION_END_QUIT && ls->end_how != SESSION_END_OURS)
		lane->figures.lost++;
	/* Why it was not let in is another dial's to find out. */
	if (session_is_stranger(ls->session))
		return;
	if (ls->is_used_up)
		ls->end_how = SESSION_END_421;
	route_on_session_end(r, ls->end_how, session_accepted(ls->session),
	    session_in_doubt(ls->session), lane_next_random(lane), now_us);
	if (session_accepted(ls->session) == 0 &&
	    ls->end_how != SESSION_END_QUIT && ls->end_how != SESSION_END_OURS)
		route_remember_end(r, ls->end_why);
	lane->figures.quotas += r->quota != quota;
}

static void
bury_ended(struct lane *lane, struct route *r, int64_t now_us)
{
	CHECK(lane->is_kicking);
	list_each_safe (link, &r->sessions) {
		struct lane_session *ls = session_of(link);

		if (!session_is_over(ls->session))
			continue;
		judge_end(lane, ls, now_us);
		lane_learn_idle(ls, now_us);
		lane_on_turned_away(lane, ls, now_us);
		lane->ops.connections->on_session_ended(
		    lane->ops.connections_ctx, ls, ls->end_how,
		    ls->end_is_clean, ls->end_why);
		lane_free_session(ls);
	}
}

/* A login that was to go with mail, and there was none for it. */
static void
log_in_alone(const struct route *r)
{
	list_each (link, &r->sessions)
		if (!session_is_finishing(session_of(link)->session))
			session_log_in_alone(session_of(link)->session);
}

/* Sessions that are spent, or idle for too long, say QUIT. */
static void
retire(struct lane *lane, struct route *r, int64_t now_us)
{
	list_each_safe (link, &r->sessions) {
		struct lane_session *ls = session_of(link);
		struct session *s = ls->session;

		if (session_is_finishing(s))
			continue;
		if (session_is_old(s, now_us))
			session_finish(s, FINISH_OLD, now_us);
		else if (session_is_spent(
			     s, lane_session_quota(ls, now_us), now_us))
			session_finish(s, FINISH_SPENT, now_us);
		else if (session_load(s) == 0 &&
			 now_us >= lane_idle_until_us(ls))
			session_finish(s, FINISH_IDLE, now_us);
		else if (lane->is_draining)
			session_finish(s, FINISH_DRAINING, now_us);
	}
}

/* An idle one, the most recently used first so that surplus ages out; else the
 * least loaded. */
static bool
is_better(const struct lane_session *ls, const struct lane_session *best)
{
	size_t load = session_load(ls->session),
	       least = session_load(best->session);

	return load < least || (load == 0 && least == 0 &&
				   session_idle_since_us(ls->session) >
				       session_idle_since_us(best->session));
}

/* The best session to take t, within depth. */
static struct lane_session *
pick_session(
    struct route *r, const struct transaction *t, int depth, int64_t now_us)
{
	struct lane_session *best = NULL;

	list_each (link, &r->sessions) {
		struct lane_session *ls = session_of(link);

		/* What is quickly told first: there are many sessions. */
		if ((best == NULL || is_better(ls, best)) &&
		    session_has_room(ls->session, depth,
			lane_session_quota(ls, now_us), now_us) &&
		    lane_fits(ls, t))
			best = ls;
	}
	return best;
}

static void
assign(struct lane *lane, struct lane_session *ls, struct transaction *t,
    struct moment now)
{
	struct pacer_cost cost = lane_cost_of(t);

	CHECK(list_is_linked(&t->link));
	CHECK(t->carrier == NULL && t->route == ls->route);
	lane_note_domains(ls, t);
	lane_take_token(t, &cost, now.us);
	lane_take_waiting(lane, t);
	t->carrier = ls;
	t->has_other_host =
	    lane_has_other_host(lane, t, session_peer(ls->session));
	lane->in_flight++;
	if (session_load(ls->session) == 0)
		ls->moved_us = now.us;
	lane_count_taken(t, now.us);
	session_assign(ls->session, t, now);
	if (!session_is_over(ls->session) &&
	    session_is_spent(
		ls->session, lane_session_quota(ls, now.us), now.us)) {
		/* QUIT travels in its last group. */
		session_finish(ls->session, FINISH_SPENT, now.us);
		/* A session of one message says nothing of the next. */
		if (session_messages(ls->session) > 1)
			t->route->spent_us = now.us;
	}
}

/* The smarthost's own pace, as found out. A pause that another host was asked
 * for is no part of it: the controller is not told that somebody would go. */
static int64_t
pace_wait_us(const struct lane *lane, const struct route *r, int64_t now_us)
{
	int64_t paused_us = lane_paused_to_us(r) - now_us;

	if (lane->set->lane_adaptive && r->pace->heard_until_us <= now_us)
		return controller_wait_us(&r->pace->adapt, now_us);
	return paused_us > 0 ? paused_us : 0;
}

/* True when t may go now, by that. */
static bool
may_go(struct lane *lane, struct transaction *t, const struct pacer_cost *cost,
    struct lane_no *no, bool *refused_out, struct moment now)
{
	struct controller *pace = &t->route->pace->adapt;
	int64_t paused_us = controller_paused_until(pace) - now.us;
	int64_t wait_us = pace_wait_us(lane, t->route, now.us);
	struct dsn dsn;

	CHECK(t->carrier == NULL);
	*refused_out = false;
	if (paused_us > lane->set->lane_wait_limit_us) {
		dsn_set(&dsn, "4.4.5",
		    "the smarthost asked for a pause, %llds are left",
		    (long long)(paused_us / US_PER_S));
		dsn.cause = DSN_CAUSE_PAUSE;
		request_set_hop(t->req, &dsn, NULL);
		lane_defer_waiting(lane, t, &dsn, NULL, NULL, false);
		*refused_out = true;
		return false;
	}
	if (wait_us == INT64_MAX)
		lane_no_set(no, LANE_NO_WINDOW, INT64_MAX);
	else if (wait_us > 0)
		lane_no_set(no, LANE_NO_PACE,
		    lane_dial_ahead(lane, t->route,
			lane_messages_per_dial_time(lane, t->route, cost),
			now.us + wait_us, now.us));
	return wait_us == 0;
}

/* Gives away the next that waits; false: nothing more can go now. */
static bool
serve_first(struct lane *lane, struct route *r, struct lane_no *no,
    struct moment now, int64_t now_us)
{
	struct transaction *t = lane_next_waiting(lane, r, now_us);
	struct pacer_cost cost = lane_cost_of(t);
	int64_t wait_us =
	    pacer_wait_us(&lane->pacer, &cost, now_us, &lane->paced_by);
	struct lane_session *ls;
	bool is_refused;

	if (lane_is_held(lane, t, now.us))
		return lane_hold(lane, t, no, now.us);
	if (wait_us > lane->set->lane_wait_limit_us) {
		lane_refuse_to_wait(lane, t, wait_us);
		return true;
	}
	if (wait_us > 0) {
		lane_no_set(no, LANE_NO_RATE,
		    lane_dial_ahead(lane, r,
			lane_messages_per_dial_time(lane, r, &cost),
			now.us + wait_us, now.us));
		return false;
	}
	if (!may_go(lane, t, &cost, no, &is_refused, now))
		return is_refused;
	ls = pick_session(r, t, 1, now.us);
	if (ls == NULL) {
		bool has_dial = r->dialing >= lane_unparked(r);

		lane_retire_unfit(r, t, now.us);
		lane_no_set(no, LANE_NO_CONNECTION, INT64_MAX);
		if (!has_dial &&
		    r->dialing < lane_dials_worth_it(lane, r, &cost, now_us) &&
		    lane_add_dial_for(lane, r, t, no, now_us))
			return true;
		/* What the pace lets go now is lost when it waits. */
		ls = pick_session(r, t, route_window(r), now.us);
		if (ls == NULL ||
		    (has_dial && !lane_is_sooner_behind(ls, no, now_us)))
			return false;
	}
	if (lane_fit(lane, ls, t, now_us))
		return true; /* and ask again: it has become smaller */
	if (!pacer_take(&lane->pacer, &cost, now_us))
		return true; /* and ask again: another lane was quicker */
	assign(lane, ls, t, now);
	return true;
}

/* One round, as long as anything can go; false: there was nothing. Whoever
 * took a domain's tokens leaves the others of its queue another wait, so what
 * is parked is counted anew for each round. */
static bool
serve(struct lane *lane, struct route *r, struct lane_no *no, struct moment now)
{
	int64_t now_us = now.us;
	bool is_served = false;

	lane_look_at_parkings(lane, r, now_us);
	while (lane_next_waiting(lane, r, now_us) != NULL &&
	       serve_first(lane, r, no, now, now_us))
		is_served = true;
	return is_served;
}

/* When the first of a limited domain may go, or a dial for it is due. */
static void
await_token(struct lane *lane, struct route *r, struct moment now)
{
	int64_t share, at_us = lane_next_token(r, now.us, &share);

	if (at_us == INT64_MAX)
		return;
	at_us = lane_dial_ahead(lane, r, share, at_us, now.us);
	if (at_us < lane->look_again_us)
		lane->look_again_us = at_us;
}

/* True when something was started. */
static bool
kick_route(struct lane *lane, struct route *r, struct moment now)
{
	struct lane_no no = {.not_before_us = INT64_MAX};
	int64_t now_us = now.us;
	bool is_served = false;

	CHECK(lane->is_kicking);
	lane_look_at_need(lane, r);
	lane_expire_waiting(lane, r, now);
	while (serve(lane, r, &no, now))
		is_served = true;
	lane_forget_parkings(r);
	retire(lane, r, now.us);
	log_in_alone(r);
	lane_succeed_spent(lane, r, now.us);
	await_token(lane, r, now);
	if (lane_unparked(r) > 0) {
		r->no = no;
		if (no.not_before_us < lane->look_again_us)
			lane->look_again_us = no.not_before_us;
	}
	lane->ops.accounts->on_want(lane->ops.accounts_ctx, r,
	    no.reason == LANE_NO_OPERATOR ? 0
					  : lane_dials_wanted(lane, r, now_us));
	return is_served;
}

static void
kick_some(struct lane *lane, bool has_none, struct moment now)
{
	list_each_safe (link, &lane->routes)
		if (route_of(link)->has_none == has_none &&
		    kick_route(lane, route_of(link), now)) {
			/* Next time the others choose first. */
			list_remove(link);
			list_push(&lane->routes, link);
		}
}

/* Who has no place, then each its share of them, then whoever wants more. */
static void
kick_routes(struct lane *lane, struct moment now)
{
	kick_some(lane, true, now);
	kick_some(lane, false, now);
	lane->is_rest_given = true;
	list_each (link, &lane->routes)
		if (route_of(link)->is_modest)
			(void)kick_route(lane, route_of(link), now);
}

/* Forgets a route that was not used for long. */
static void
forget_unused(struct lane *lane, struct route *r, int64_t now_us)
{
	int64_t memory_us = lane->route_count > ROUTE_MANY
				? ROUTE_MEMORY_SHORT_US
				: ROUTE_MEMORY_US;

	if (r->waiting_count + r->session_count + r->dialing > 0) {
		r->used_us = now_us;
		return;
	}
	if (r->trust == ROUTE_ALARMED || r->owed > 0 ||
	    now_us - r->used_us < memory_us)
		return; /* remembered until mail goes again */
	/* And a pause until it is over; of very many routes the account alone
	 * remembers it. */
	if (lane->route_count <= ROUTE_MANY &&
	    controller_paused_until(&r->pace->adapt) > now_us)
		return;
	if (lane->ops.connections->on_route_gone != NULL)
		lane->ops.connections->on_route_gone(
		    lane->ops.connections_ctx, r);
	lane->route_count--;
	lane_leave_pace(r);
	route_free(&r);
}

/* Dials of hosts that mail is kept from. One that had no place has the next
 * that is free. */
static void
probe(struct lane *lane, struct moment now)
{
	lane->places_kept = 0;
	if (lane->was_paused)
		return; /* nothing may go there anyway */
	list_each (link, &lane->routes)
		lane_probe(lane, route_of(link), now);
	list_each (link, &lane->routes)
		if (lane_is_probe_due(lane, route_of(link), now.us))
			lane->places_kept = 1;
}

void
lane_kick(struct lane *lane, struct moment now)
{
	CHECK(!lane->is_kicking);
	lane->is_kicking = true;
	lane->figures.kicks++;
	lane->look_again_us = INT64_MAX;
	/* All of them first: whose turn it is chooses among all slots. */
	lane->per_s = pacer_messages_per_s(&lane->pacer, now.us);
	list_each (link, &lane->routes)
		bury_ended(lane, route_of(link), now.us);
	lane_count_shares(lane, now.us);
	lane_shed_sessions(lane, now.us);
	lane_look_at_pause(lane, now.us);
	lane_look_at_holds(lane, now);
	lane_pass_on(lane, now);
	probe(lane, now);
	lane_keep_idle(lane, now.us);
	kick_routes(lane, now);
	lane_trim_parkings(lane, now.us);
	if (lane->domains != NULL)
		domains_sweep(lane->domains, now.us);
	list_each_safe (link, &lane->routes)
		forget_unused(lane, route_of(link), now.us);
	lane_sum_up_paces(lane);
	lane->is_kicking = false;
}
