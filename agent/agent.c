#include "agent/agent.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "agent/postfix/activequeue.h"
#include "agent/state/domain_store.h"
#include "agent/figures.h"
#include "agent/postfix/intake.h"
#include "agent/engine/lane.h"
#include "agent/io/logsink.h"
#include "agent/state/rate_store.h"
#include "agent/postfix/outages.h"
#include "agent/postfix/requeue.h"
#include "agent/postfix/report.h"
#include "agent/smarthost/upstream.h"
#include "agent/engine/verdict.h"
#include "common/base/clock.h"
#include "common/base/log.h"
#include "common/base/mem.h"

enum {
	/* postfix stop waits about five seconds before it kills. */
	STOP_WAIT_MS = 3000,
	REPORT_WAIT_MS = 1000,
	/* A new table: nothing is let in until the next process is there, so
	 * what is inside gets so long to be on its way. */
	RESTART_WAIT_MS = 2000,
	/* What is on the wire is not broken off for a table: the last reply to
	 * a large message may take longer than ten minutes. */
	RESTART_DRAIN_MS = 30 * 60 * 1000,
	RECALL_SPEED = 2,
	/* A message that was in hand at so many crashes is set aside. */
	CRASHES_MAX = 2,
};

enum phase {
	SERVING,
	RESTARTING, /* serves what is inside, takes nothing new, for a moment */
	DRAINING,
	STOPPING,
};

struct agent {
	struct agent_env env;
	enum phase phase;
	struct intake *intake;
	struct lane *lane; /* NULL: the configuration cannot be used */
	struct upstreams *ups;
	struct rate_store *rates;
	struct domain_store *domains;
	struct report *report;
	struct loop_timer *timer; /* lane_deadline_ms() */
	struct loop_timer *finale; /* the end of draining or stopping */
	bool is_kick_due;
	bool is_out_of_time;
	struct request *suspect; /* being tried alone */
	struct activequeue crowd;
	struct requeue *recall; /* what was given back for it */
	struct outages *outages;
	struct loop_timer *look_timer; /* activequeue_due_ms() */
	struct figures figures;
};

static void agent_kick(void *ctx);
static void hand_over(struct agent *a, int64_t drain_ms);

/* Looks again after the callbacks of this turn: once, however many asked. */
static void
want_kick(void *ctx)
{
	struct agent *a = ctx;

	if (a->is_kick_due)
		return;
	a->is_kick_due = true;
	loop_defer(a->env.loop, agent_kick, a);
}

static void
set_timer(struct agent *a, struct moment now)
{
	int64_t due = lane_deadline_ms(a->lane);
	int64_t since_epoch_ms = (int64_t)now.wall.tv_sec * 1000 - now.ms;

	/* The board must be true also when nothing more happens. */
	if (due > figures_due_ms(&a->figures))
		due = figures_due_ms(&a->figures);
	if (due == INT64_MAX)
		loop_timer_cancel(a->timer);
	else
		loop_timer_at(a->timer, due);
	board_writer_set(a->env.board, BOARD_GAUGE_wakeup_wall_ms,
	    due == INT64_MAX ? 0 : since_epoch_ms + due);
}

static bool
is_finished(const struct agent *a)
{
	return (a->phase == DRAINING || a->phase == STOPPING) &&
	       report_pending(a->report) == 0 &&
	       intake_greeted(a->intake) == 0 &&
	       (a->lane == NULL || lane_is_drained(a->lane));
}

/* Nothing is inside and nothing that was let in is still to come. */
static bool
is_empty(const struct agent *a)
{
	return intake_waiting(a->intake) + intake_greeted(a->intake) +
		   intake_working(a->intake) + report_pending(a->report) ==
	       0;
}

/* What is left waits for limits of domains: too long for all other mail. */
static bool
is_only_parked(const struct agent *a)
{
	return a->lane != NULL &&
	       lane_waiting(a->lane) == lane_parked(a->lane) &&
	       lane_in_flight(a->lane) + intake_waiting(a->intake) +
		       intake_greeted(a->intake) + report_pending(a->report) ==
		   0;
}

/* As long as there is mail, here or given back, the active queue is watched. */
static void
watch_active(struct agent *a)
{
	size_t mail = lane_waiting(a->lane) + lane_in_flight(a->lane) +
		      requeue_count(a->recall) + outages_due(a->outages);

	if (a->phase == SERVING && mail > 0)
		loop_timer_at(a->look_timer, activequeue_due_ms(&a->crowd));
}

/* What was given back, and what an outage that is over deferred. */
static void
call_back(struct agent *a)
{
	size_t room = activequeue_room(&a->crowd);
	/* Somewhat faster than it is sent, or there would never be room. */
	double per_s = RECALL_SPEED * a->crowd.per_s;

	requeue_allow(a->recall, room, per_s);
	outages_allow(a->outages, room, per_s);
}

static void
on_look(void *ctx)
{
	struct agent *a = ctx;
	int64_t now_ms = clock_mono_ms();
	bool was_on = a->crowd.is_on;

	if (a->phase != SERVING)
		return;
	activequeue_look(&a->crowd, lane_figures(a->lane)->messages,
	    lane_has_surplus(a->lane, now_ms), now_ms);
	call_back(a);
	if (a->crowd.is_on != was_on || activequeue_gives_back(&a->crowd))
		intake_kick(a->intake);
	watch_active(a);
}

static void
agent_kick(void *ctx)
{
	struct agent *a = ctx;
	struct moment now = clock_moment();

	a->is_kick_due = false;
	if (a->lane != NULL) {
		upstreams_listen(a->ups, now);
		lane_kick(a->lane, now);
		if (lane_waiting(a->lane) == lane_parked(a->lane))
			rate_store_idle(a->rates);
		figures_show(&a->figures, now);
		watch_active(a);
		set_timer(a, now);
	}
	if (intake_waiting(a->intake) > 0)
		intake_kick(a->intake);
	if (a->phase == RESTARTING && (is_empty(a) || is_only_parked(a)))
		hand_over(a, RESTART_DRAIN_MS);
	if (is_finished(a))
		loop_stop(a->env.loop);
}

static void
on_timer(void *ctx)
{
	struct agent *a = ctx;
	struct moment now = clock_moment();

	upstreams_listen(a->ups, now);
	lane_on_timer(a->lane, now);
	want_kick(a);
}

/* ---- requests ---------------------------------------------------------- */

/* Tables were read as root, which only a new process can do again: this one
 * serves what it has taken in and ends, master starts the next. Looked at
 * before a request is let in, so that it finds the new table. */
static void
look_at_tables(struct agent *a)
{
	int64_t now_ms = loop_now_ms(a->env.loop);
	const char *table;

	if (a->phase != SERVING)
		return;
	table = mapwatch_changed(a->env.tables, now_ms);
	if (table == NULL)
		return;
	log_info("table %s has changed -- restarting", table);
	a->phase = RESTARTING;
	intake_stop(a->intake);
	loop_timer_at(a->finale, now_ms + RESTART_WAIT_MS);
	want_kick(a);
}

static bool
may_greet(void *ctx, int64_t now_ms, int64_t *until_ms_out)
{
	struct agent *a = ctx;
	int64_t until = INT64_MAX;
	bool may =
	    a->lane == NULL ||
	    lane_may_admit(a->lane, intake_greeted(a->intake), now_ms, &until);

	look_at_tables(a);
	*until_ms_out = 0;
	if (a->phase != SERVING)
		return false;
	/* Let in to be given back, see on_request(). */
	may = may || activequeue_gives_back(&a->crowd);
	*until_ms_out = until == INT64_MAX ? 0 : until;
	return may && a->suspect == NULL;
}

static void
on_reported(void *ctx, struct request *req, size_t rcpt)
{
	struct agent *a = ctx;

	figures_on_reported(a->env.board, req, rcpt, loop_now_us(a->env.loop));
	if (request_count(req, RCPT_REPORTED) < req->rcpt_count)
		return;
	if (req == a->suspect)
		a->suspect = NULL;
	if (req->is_corrupt)
		intake_mark_corrupt(req);
	intake_finish(a->intake, req);
	want_kick(a);
}

static void
on_decided(void *ctx, struct request *req, size_t i)
{
	struct agent *a = ctx;

	figures_on_decided(a->env.board, req, i, loop_now_us(a->env.loop));
	report_recipient(a->report, req, i);
}

/* Defers all of a request for a reason of our own. */
static void
defer_here(struct agent *a, struct request *req, enum dsn_cause cause,
    const char *status, const char *text)
{
	for (size_t i = 0, n = req->rcpt_count; i < n; i++) {
		struct verdict *v =
		    verdict_local(OUTCOME_DEFER, NULL, status, "%s", text);

		v->dsn.cause = cause;
		request_decide(req, i, v);
		request_set_rcpt_state(req, i, RCPT_HANDED_OVER);
		on_decided(a, req, i);
	}
}

/* A message that was in hand whenever this lane crashed may be the cause: it
 * must not take others with it again. It gets its chance alone. */
static bool
is_set_aside(struct agent *a, struct request *req)
{
	int crashes = board_writer_poison_begin(a->env.board, req->queue_id);

	board_writer_poison_end(a->env.board, req->queue_id, false);
	if (crashes < CRASHES_MAX)
		return false;
	if (lane_waiting(a->lane) + lane_in_flight(a->lane) == 0) {
		log_warn("%s: was in hand at %d crashes, tried alone",
		    req->queue_id, crashes);
		a->suspect = req;
		return false;
	}
	return true;
}

/* The active queue is crowded, and this one is not needed soon. */
static void
give_back(struct agent *a, struct request *req)
{
	activequeue_on_given(&a->crowd);
	board_writer_add(a->env.board, BOARD_COUNTER_crowd_deferred, 1);
	requeue_add(a->recall, req->queue_id);
	defer_here(a, req, DSN_CAUSE_CROWDED, "4.4.5",
	    "the active queue is crowded and this lane's mail is more than its "
	    "limit can send soon");
}

static void
on_request(void *ctx, struct request *req)
{
	struct agent *a = ctx;
	char text[512];

	board_writer_add(a->env.board, BOARD_COUNTER_requests, 1);
	if (a->phase == DRAINING || a->phase == STOPPING) {
		/* Greeted before the end began: another process's. */
		req->must_retry = true;
		intake_finish(a->intake, req);
	} else if (a->lane == NULL) {
		(void)snprintf(text, sizeof(text),
		    "mail system configuration error: %s", a->env.problem);
		defer_here(a, req, DSN_CAUSE_CONFIG, "4.3.5", text);
	} else if (is_set_aside(a, req)) {
		board_writer_add(a->env.board, BOARD_COUNTER_poisoned, 1);
		defer_here(a, req, DSN_CAUSE_NONE, "4.3.0",
		    "set aside: the delivery agent crashed with this message "
		    "in hand");
	} else if (activequeue_gives_back(&a->crowd) &&
		   lane_has_surplus(a->lane, loop_now_ms(a->env.loop))) {
		give_back(a, req);
	} else {
		lane_submit(a->lane, req, clock_moment());
	}
}

static void
on_rendering(void *ctx, const struct request *req, bool begins)
{
	struct agent *a = ctx;

	if (begins)
		(void)board_writer_poison_begin(a->env.board, req->queue_id);
	else
		board_writer_poison_end(a->env.board, req->queue_id, true);
}

static bool
on_hangup(void *ctx, struct request *req)
{
	struct agent *a = ctx;

	if (a->lane == NULL || !lane_drop(a->lane, req))
		return false;
	if (req == a->suspect)
		a->suspect = NULL;
	board_writer_add(a->env.board, BOARD_COUNTER_requests_dropped, 1);
	return true;
}

static void
on_first_accept(void *ctx)
{
	struct agent *a = ctx;

	/* Counted as one use, so that a crash does not throttle the service;
	 * never more, or master would start a second process. */
	master_taken(a->env.master);
	master_avail(a->env.master);
}

/* ---- lane_ops, passed on ----------------------------------------------- */

static bool
start_dial(void *ctx, struct route *route, struct lane_no *no)
{
	return upstreams_start_dial(((struct agent *)ctx)->ups, route, no);
}

static void
on_want(void *ctx, struct route *route, size_t count)
{
	upstreams_on_want(((struct agent *)ctx)->ups, route, count);
}

static void
on_output(void *ctx, struct lane_session *ls)
{
	upstreams_on_output(((struct agent *)ctx)->ups, ls);
}

static void
on_session_ended(void *ctx, struct lane_session *ls, enum session_end how,
    bool is_clean, const char *why)
{
	upstreams_on_session_ended(
	    ((struct agent *)ctx)->ups, ls, how, is_clean, why);
}

static void
hang_up(void *ctx, struct lane_session *ls)
{
	upstreams_hang_up(((struct agent *)ctx)->ups, ls);
}

static void
on_turned_away(void *ctx, struct lane_session *ls)
{
	upstreams_on_turned_away(((struct agent *)ctx)->ups, ls);
}

static bool
on_outage(
    void *ctx, uint64_t id, const struct request *req, enum lane_owed_for why)
{
	struct outages *outages = ((struct agent *)ctx)->outages;

	return why == LANE_OWED_DOUBT
		   ? outages_add_doubtful(outages, id, req->queue_id)
		   : outages_add(outages, id, req->queue_id);
}

static void
on_back(void *ctx, uint64_t id)
{
	struct agent *a = ctx;

	outages_over(a->outages, id);
	if (a->phase == SERVING)
		call_back(a);
	watch_active(a);
}

static bool
on_throttled(void *ctx, struct route *route, int64_t sent_us, int64_t now_us)
{
	struct rate_account *account = upstreams_rates(route);

	(void)ctx;
	return account != NULL &&
	       rate_store_throttled(account, sent_us, now_us);
}

static void
on_pause(void *ctx, struct route *route, int64_t until_us)
{
	struct rate_account *account = upstreams_rates(route);

	(void)ctx;
	if (account != NULL)
		rate_store_pause(account, until_us);
}

static void
on_too_many(void *ctx, struct route *route, bool was_open, const char *reply)
{
	upstreams_on_too_many(
	    ((struct agent *)ctx)->ups, route, was_open, reply);
}

/* Where it is: logins and lists have names of their own. */
static const char *
place_of(const struct route *route, enum alarm_kind kind)
{
	switch (kind) {
	case ALARM_LOGIN:
		return route->login;
	case ALARM_OUTAGE:
		return route->list;
	case ALARM_BLOCKED:
	case ALARM_CERTIFICATE:
	case ALARM_TOKEN:
		break;
	}
	return route->nexthops;
}

static void
on_alarm(
    void *ctx, struct route *route, enum alarm_kind kind, const char *reply)
{
	struct agent *a = ctx;

	alarm_raise(a->env.alarm, kind, place_of(route, kind), reply);
}

static void
on_all_clear(void *ctx, struct route *route, enum alarm_kind kind)
{
	struct agent *a = ctx;

	alarm_clear(a->env.alarm, kind, place_of(route, kind));
}

static bool
is_alarmed(void *ctx, const struct route *route)
{
	const struct agent *a = ctx;

	return alarm_is_raised(a->env.alarm, ALARM_LOGIN, route->login) ||
	       alarm_is_raised(a->env.alarm, ALARM_BLOCKED, route->nexthops);
}

static void
on_route_gone(void *ctx, struct route *route)
{
	upstreams_on_route_gone(((struct agent *)ctx)->ups, route);
}

/* ---- pacer_ops, passed on ---------------------------------------------- */

static int64_t
rates_wait_us(void *ctx, const struct pacer_cost *cost, int64_t now_us,
    struct pacer_limit *why_out)
{
	struct rate_account *account = upstreams_rates(cost->route);

	(void)ctx;
	return account != NULL
		   ? rate_store_wait_us(account, cost, now_us, why_out)
		   : 0;
}

static bool
rates_take(void *ctx, const struct pacer_cost *cost, int64_t now_us)
{
	struct rate_account *account = upstreams_rates(cost->route);

	(void)ctx;
	return account == NULL || rate_store_take(account, cost, now_us);
}

static const struct limitset *
rates_peek(void *ctx, struct route *route)
{
	struct agent *a = ctx;
	struct rate_account *account =
	    route != NULL ? upstreams_rates(route) : NULL;

	return rate_store_peek(a->rates, account);
}

static void
rates_save(void *ctx, const struct limitset *own)
{
	rate_store_save_own(((struct agent *)ctx)->rates, own);
}

static const struct pacer_ops pacer_handlers = {
    .wait_us = rates_wait_us,
    .take = rates_take,
    .peek = rates_peek,
    .save = rates_save,
};

static const struct lane_ops lane_handlers = {
    .start_dial = start_dial,
    .on_want = on_want,
    .on_decided = on_decided,
    .on_output = on_output,
    .on_session_ended = on_session_ended,
    .want_kick = want_kick,
    .on_rendering = on_rendering,
    .hang_up = hang_up,
    .on_alarm = on_alarm,
    .on_all_clear = on_all_clear,
    .is_alarmed = is_alarmed,
    .on_throttled = on_throttled,
    .on_pause = on_pause,
    .on_too_many = on_too_many,
    .on_turned_away = on_turned_away,
    .on_outage = on_outage,
    .on_back = on_back,
    .on_route_gone = on_route_gone,
};

static const struct intake_ops intake_handlers = {
    may_greet, on_request, on_hangup, on_first_accept, want_kick};

/* ---- the end ----------------------------------------------------------- */

static void
on_finale(void *ctx)
{
	struct agent *a = ctx;

	if (a->phase == RESTARTING) {
		hand_over(a, RESTART_DRAIN_MS);
		return;
	}
	if (a->lane != NULL) {
		lane_abort(a->lane, "out of time", clock_moment());
		upstreams_cancel_dials(a->ups);
		lane_kick(a->lane, clock_moment());
		intake_release_unsent(a->intake);
	}
	if (a->is_out_of_time)
		loop_stop(a->env.loop);
	/* What was broken off is to be told, and in the log. Reports that take
	 * longer have their recipients left in the queue file: they are tried
	 * again. */
	a->is_out_of_time = true;
	loop_timer_at(a->finale, clock_mono_ms() + REPORT_WAIT_MS);
	want_kick(a);
}

/* No new mail: what is not on the wire goes back to the queue manager. */
static void
wind_up(struct agent *a, enum phase phase, int64_t wait_ms)
{
	a->phase = phase;
	intake_stop(a->intake);
	requeue_allow(a->recall, 0, 0);
	outages_allow(a->outages, 0, 0);
	if (a->lane != NULL) {
		upstreams_cancel_dials(a->ups);
		lane_drain(a->lane, clock_moment());
	}
	intake_release_unsent(a->intake);
	loop_timer_at(a->finale, clock_mono_ms() + wait_ms);
	want_kick(a);
}

static void
on_sigterm(void *ctx)
{
	struct agent *a = ctx;

	if (a->phase == STOPPING)
		return;
	logsink_bypass();
	wind_up(a, STOPPING, STOP_WAIT_MS);
}

/* The parent leaves at once, so that master starts a new process for new
 * mail; the child keeps sessions, file locks and slots until it is done. */
static void
leave_child(void *ctx)
{
	struct agent *a = ctx;
	pid_t pid;

	/* A stop may have come in the same turn as the end of the channel. */
	if (a->phase != DRAINING || is_finished(a))
		return;
	pid = loop_fork(a->env.loop);
	if (pid < 0) {
		/* Finishing in place blocks the service for that time only. */
		log_warn("fork: %s", strerror(errno));
		loop_timer_at(a->finale,
		    clock_mono_ms() + a->env.set->lane_drain_limit_ms);
		return;
	}
	if (pid > 0)
		_exit(0);
	master_detach(a->env.master);
	board_writer_drain(a->env.board);
	upstreams_drain(a->ups);
	rate_store_drain(a->rates);
	domain_store_drain(a->domains);
	alarm_drain(a->env.alarm);
}

static void
hand_over(struct agent *a, int64_t drain_ms)
{
	wind_up(a, DRAINING, drain_ms);
	loop_defer(a->env.loop, leave_child, a);
}

/* Reload, stop, or master's end: the status channel was closed. */
static void
on_master_gone(void *ctx)
{
	struct agent *a = ctx;

	if (a->phase == DRAINING || a->phase == STOPPING)
		return;
	hand_over(a, a->env.set->lane_drain_limit_ms);
}

/* ---- life -------------------------------------------------------------- */

static bool
make_lane(struct agent *a)
{
	char error[512];
	struct accounts_env env = {
	    .loop = a->env.loop,
	    .set = a->env.set,
	    .credentials = a->env.credentials,
	    .board = a->env.board,
	    .state = a->env.state,
	    .lane_name = a->env.lane_name,
	    .want_kick = want_kick,
	    .ctx = a,
	};

	if (a->env.problem != NULL)
		return false;
	a->lane = lane_new(a->env.set, &lane_handlers, a,
	    (uint32_t)clock_mono_us() ^ (uint32_t)getpid() << 16,
	    clock_mono_us(), error, sizeof(error));
	if (a->lane == NULL) {
		/* config has checked every value before. */
		log_error("%s", error);
		a->env.problem = "see the log";
		return false;
	}
	lane_set_rules(a->lane, a->env.rules);
	alarm_keep(a->env.alarm, a->env.state);
	a->domains =
	    domain_store_new(a->env.domains, a->env.state, a->env.lane_name);
	lane_set_domains(a->lane, a->env.domains);
	a->rates = rate_store_new(
	    a->env.set, a->env.state, a->env.lane_name, clock_mono_us());
	lane_set_rates(a->lane, rate_store_own(a->rates), &pacer_handlers, a,
	    clock_mono_us());
	env.rates = a->rates;
	a->ups = upstreams_new(a->env.dialer, &env);
	upstreams_set_lane(a->ups, a->lane);
	return true;
}

struct agent *
agent_new(const struct agent_env *env)
{
	struct agent *a = mem_zalloc(sizeof(*a));
	struct loop *loop = env->loop;

	a->env = *env;
	(void)make_lane(a);
	activequeue_init(&a->crowd, env->set, clock_mono_ms());
	a->timer = loop_timer_new(loop, on_timer, a);
	a->finale = loop_timer_new(loop, on_finale, a);
	a->look_timer = loop_timer_new(loop, on_look, a);
	a->recall = requeue_new(loop, env->set);
	a->outages =
	    outages_new(loop, env->set, pacer_weight(env->set->lane_priority));
	a->intake = intake_new(
	    loop, env->set, master_listen_fd(env->master), &intake_handlers, a);
	intake_rewrite(a->intake, env->rewriting);
	a->report = report_new(loop, env->set, on_reported, intake_mark, a);
	report_filter(a->report, env->verdicts);
	intake_limit(a->intake, (size_t)env->descriptors.requests);
	report_limit(a->report, (size_t)env->descriptors.conversations);
	a->figures = (struct figures){
	    .board = env->board,
	    .lane = a->lane,
	    .ups = a->ups,
	    .rates = a->rates,
	    .report = a->report,
	    .crowd = &a->crowd,
	    .recall = a->recall,
	    .dialer = env->dialer,
	};
	figures_begin(&a->figures);
	loop_on_signal(loop, SIGTERM, on_sigterm, a);
	master_watch(env->master, loop, on_master_gone, a);
	return a;
}

void
agent_run(struct agent *agent)
{
	loop_run(agent->env.loop);
}

void
agent_free(struct agent **agent)
{
	struct agent *a = *agent;

	*agent = NULL;
	if (a == NULL)
		return;
	report_free(&a->report);
	if (a->lane != NULL && lane_waiting(a->lane) == 0 &&
	    lane_in_flight(a->lane) == 0)
		lane_free(&a->lane);
	intake_free(&a->intake);
	upstreams_free(&a->ups);
	rate_store_free(&a->rates);
	domain_store_free(&a->domains);
	loop_timer_free(&a->timer);
	loop_timer_free(&a->finale);
	loop_timer_free(&a->look_timer);
	requeue_free(&a->recall);
	outages_free(&a->outages);
	mem_free(a);
}
