#include "agent/agent.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "agent/desk.h"
#include "agent/engine/lane.h"
#include "agent/engine/verdict.h"
#include "agent/figures.h"
#include "agent/io/logsink.h"
#include "agent/operator/lane_alarms.h"
#include "agent/phase.h"
#include "agent/postfix/intake.h"
#include "agent/postfix/relief.h"
#include "agent/postfix/report.h"
#include "agent/smarthost/upstream.h"
#include "agent/state/domain_store.h"
#include "agent/state/rate_store.h"
#include "agent/tables/lookahead.h"
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
	/* A message that was in hand at so many crashes is set aside. */
	CRASHES_MAX = 2,
};

struct agent {
	struct agent_env env;
	enum phase phase; /* written by phase_set() */
	struct intake *intake;
	struct lookahead *lookahead; /* NULL: all tables answer at once */
	struct lane *lane; /* NULL: the configuration cannot be used */
	struct upstreams *ups;
	struct rate_store *rates;
	struct fleet_store *fleet; /* NULL: hosts share nothing */
	struct domain_store *domains;
	struct report *report;
	struct relief *relief;
	struct loop_timer *timer; /* lane_deadline_us() */
	struct loop_timer *finale; /* the end of a phase */
	bool is_kick_due;
	/* What is given back is deferred by a queue manager that goes on. */
	bool is_giving_back;
	struct request *suspect; /* being tried alone */
	struct figures figures;
	struct dialogue *dialogue;
	struct desk *desk;
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
	int64_t due = clock_ms_from_us(lane_deadline_us(a->lane));
	int64_t since_epoch_ms =
	    (int64_t)now.wall.tv_sec * 1000 - now.us / US_PER_MS;

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

/* A stop waits for nobody. */
static bool
is_waking(const struct agent *a)
{
	return a->phase == PHASE_DRAINING && relief_is_waking(a->relief);
}

static bool
is_finished(const struct agent *a)
{
	return phase_is_end(a->phase) && report_pending(a->report) == 0 &&
	       intake_greeted(a->intake) == 0 && !is_waking(a) &&
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

/* Requests whose addresses are being asked for. */
static size_t
looked_up(const struct agent *a)
{
	return a->lookahead != NULL ? lookahead_count(a->lookahead) : 0;
}

/* What is left waits for limits of domains: too long for all other mail. */
static bool
is_only_parked(const struct agent *a)
{
	return a->lane != NULL &&
	       lane_waiting(a->lane) == lane_parked(a->lane) &&
	       lane_in_flight(a->lane) + looked_up(a) +
		       intake_waiting(a->intake) + intake_greeted(a->intake) +
		       report_pending(a->report) ==
		   0;
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
		relief_watch(a->relief);
		set_timer(a, now);
	}
	if (intake_waiting(a->intake) > 0)
		intake_kick(a->intake);
	if (a->phase == PHASE_RESTARTING && (is_empty(a) || is_only_parked(a)))
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

	if (a->phase != PHASE_SERVING)
		return;
	table = mapwatch_changed(a->env.tables, now_ms);
	if (table == NULL)
		return;
	log_info("table %s has changed -- restarting", table);
	phase_set(&a->phase, PHASE_RESTARTING);
	a->is_giving_back = true;
	intake_stop(a->intake);
	relief_stop(a->relief);
	loop_timer_at(a->finale, now_ms + RESTART_WAIT_MS);
	want_kick(a);
}

static bool
may_greet(void *ctx, int64_t now_ms, int64_t *until_ms_out)
{
	struct agent *a = ctx;
	int64_t until_us = INT64_MAX;
	bool may =
	    a->lane == NULL ||
	    lane_may_admit(a->lane, intake_greeted(a->intake) + looked_up(a),
		clock_us_from_ms(now_ms), &until_us);

	look_at_tables(a);
	*until_ms_out = 0;
	if (a->phase != PHASE_SERVING)
		return false;
	/* Let in to be given back, see on_request(). */
	may = may || relief_gives_back(a->relief);
	*until_ms_out = until_us == INT64_MAX ? 0 : clock_ms_from_us(until_us);
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
	dialogue_decided(a->dialogue, req, i);
	report_recipient(a->report, req, i);
}

/* Defers all of a request for a reason of our own. */
static void
defer_here(struct agent *a, struct request *req, enum dsn_cause cause,
    const char *status, const char *text)
{
	CHECK(req->lane_data == NULL);
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
	CHECK(req->lane_data == NULL);
	board_writer_add(a->env.board, BOARD_COUNTER_crowd_deferred, 1);
	relief_on_given(a->relief, req->queue_id);
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
	if (phase_is_end(a->phase)) {
		/* Greeted before the end began: another process's. */
		req->must_retry = true;
		if (a->is_giving_back)
			relief_leave_to_next(a->relief, req->queue_id);
		intake_finish(a->intake, req);
	} else if (a->lane == NULL) {
		(void)snprintf(text, sizeof(text),
		    "mail system configuration error: %s", a->env.problem);
		relief_leave_to_next(a->relief, req->queue_id);
		defer_here(a, req, DSN_CAUSE_CONFIG, "4.3.5", text);
	} else if (is_set_aside(a, req)) {
		board_writer_add(a->env.board, BOARD_COUNTER_poisoned, 1);
		defer_here(a, req, DSN_CAUSE_NONE, "4.3.0",
		    "set aside: the delivery agent crashed with this message "
		    "in hand");
	} else if (relief_gives_back(a->relief) &&
		   lane_has_surplus(a->lane, loop_now_us(a->env.loop))) {
		give_back(a, req);
	} else if (a->lookahead != NULL) {
		lookahead_begin(a->lookahead, req);
	} else {
		lane_submit(a->lane, req, clock_moment());
	}
}

/* In smtp(8)'s words where it gives up. */
static void
on_foreseen(void *ctx, struct request *req, bool is_ok)
{
	struct agent *a = ctx;

	if (is_ok)
		lane_submit(a->lane, req, clock_moment());
	else
		defer_here(a, req, DSN_CAUSE_NONE, "4.3.0",
		    "smtp_generic_maps lookup error");
	want_kick(a);
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

	if (a->lane == NULL)
		return false;
	if ((a->lookahead == NULL || !lookahead_drop(a->lookahead, req)) &&
	    !lane_drop(a->lane, req))
		return false;
	if (a->is_giving_back)
		relief_leave_to_next(a->relief, req->queue_id);
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

static const struct lane_owner_ops lane_handlers = {
    .on_decided = on_decided,
    .on_rendering = on_rendering,
    .want_kick = want_kick,
};

static const struct intake_ops intake_handlers = {
    may_greet, on_request, on_hangup, on_first_accept, want_kick};

static void
on_relief_look(void *ctx)
{
	struct agent *a = ctx;

	if (phase_is_end(a->phase))
		want_kick(a);
	else
		intake_kick(a->intake);
}

/* ---- the end ----------------------------------------------------------- */

/* What was broken off is to be told, and in the log. Reports that take longer
 * have their recipients left in the queue file: they are tried again. */
static void
break_off(struct agent *a)
{
	phase_set(&a->phase, PHASE_OUT_OF_TIME);
	if (a->lane != NULL) {
		lane_abort(a->lane, "out of time", clock_moment());
		upstreams_cancel_dials(a->ups);
		lane_kick(a->lane, clock_moment());
		intake_release_unsent(a->intake);
	}
	loop_timer_at(a->finale, clock_mono_ms() + REPORT_WAIT_MS);
	want_kick(a);
}

static void
on_finale(void *ctx)
{
	struct agent *a = ctx;

	switch (a->phase) {
	case PHASE_RESTARTING:
		hand_over(a, RESTART_DRAIN_MS);
		break;
	case PHASE_DRAINING:
	case PHASE_STOPPING:
		break_off(a);
		break;
	case PHASE_OUT_OF_TIME:
		loop_stop(a->env.loop);
		break;
	case PHASE_SERVING:
		CHECK(false);
	}
}

/* No new mail: what is not on the wire goes back to the queue manager. */
static void
wind_up(struct agent *a, enum phase phase, int64_t wait_ms)
{
	phase_set(&a->phase, phase);
	intake_stop(a->intake);
	relief_stop(a->relief);
	speaker_stop(a->env.speaker);
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

	if (a->phase == PHASE_STOPPING || a->phase == PHASE_OUT_OF_TIME)
		return;
	logsink_bypass();
	wind_up(a, PHASE_STOPPING, STOP_WAIT_MS);
}

/* The parent leaves at once, so that master starts a new process for new
 * mail; the child keeps sessions, file locks and slots until it is done. */
static void
leave_child(void *ctx)
{
	struct agent *a = ctx;
	pid_t pid;

	/* A stop may have come in the same turn as the end of the channel. */
	if (a->phase != PHASE_DRAINING || is_finished(a))
		return;
	pid = loop_fork(a->env.loop);
	if (pid < 0) {
		/* Finishing in place blocks the service for that time only. */
		log_warn("fork: %s", strerror(errno));
		loop_timer_at(
		    a->finale, clock_mono_ms() +
				   a->env.set->lane_drain_limit_us / US_PER_MS);
		return;
	}
	if (pid > 0)
		_exit(0);
	master_detach(a->env.master);
	intake_share(a->intake);
	desk_close(&a->desk);
	dialogue_end(a->dialogue);
	board_writer_drain(a->env.board);
	alarm_drain(a->env.alarm);
	if (a->lane == NULL)
		return;
	upstreams_drain(a->ups);
	rate_store_drain(a->rates);
	domain_store_drain(a->domains);
}

static void
hand_over(struct agent *a, int64_t drain_ms)
{
	wind_up(a, PHASE_DRAINING, drain_ms);
	loop_defer(a->env.loop, leave_child, a);
}

/* Reload, stop, or master's end: the status channel was closed. */
static void
on_master_gone(void *ctx)
{
	struct agent *a = ctx;

	if (phase_is_end(a->phase))
		return;
	hand_over(a, a->env.set->lane_drain_limit_us / US_PER_MS);
	/* What waits for what the reload may have repaired need not wait for
	 * other mail. */
	relief_wake_next(a->relief);
}

/* ---- life -------------------------------------------------------------- */

static struct lane *
wire_lane(struct agent *a, char *error, size_t error_size)
{
	int64_t now_us = clock_mono_us();
	struct lane_ops ops = {.owner = &lane_handlers, .owner_ctx = a};

	upstreams_serve(a->ups, &ops);
	lane_alarms_serve(a->env.alarm, &ops);
	relief_serve(a->relief, &ops);
	return lane_new(a->env.set, &ops,
	    (uint32_t)now_us ^ (uint32_t)getpid() << 16, now_us, error,
	    error_size);
}

static void
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

	a->rates = rate_store_open(
	    a->env.set, a->env.state, a->env.lane_name, clock_mono_us());
	rate_store_set_loop(a->rates, a->env.loop);
	env.rates = a->rates;
	if (a->env.speaker != NULL) {
		a->fleet = fleet_store_open(
		    a->env.set, a->env.state, a->env.lane_name);
		rate_store_set_fleet(a->rates, a->fleet);
		speaker_begin(a->env.speaker, a->fleet, a->env.board);
	}
	env.fleet = a->fleet;
	a->ups = upstreams_new(a->env.dialer, &env);
	a->lane = wire_lane(a, error, sizeof(error));
	if (a->lane == NULL) {
		/* config has checked every value before. */
		log_error("%s", error);
		a->env.problem = "see the log";
		return;
	}
	alarm_keep(a->env.alarm, a->env.state);
	a->domains =
	    domain_store_open(a->env.domains, a->env.state, a->env.lane_name);
	lane_set_rules(a->lane, a->env.rules);
	lane_set_domains(a->lane, a->env.domains);
	upstreams_set_lane(a->ups, a->lane);
	relief_set_lane(a->relief, a->lane);
}

struct agent *
agent_new(const struct agent_env *env)
{
	struct agent *a = mem_zalloc(sizeof(*a));
	struct loop *loop = env->loop;

	a->env = *env;
	a->dialogue = dialogue_new(loop);
	dialer_trace(env->dialer, dialogue_tracer(a->dialogue));
	a->relief = relief_new(loop, env->set, on_relief_look, a);
	relief_keep(a->relief, env->state, env->lane_name);
	if (env->problem == NULL)
		make_lane(a);
	a->timer = loop_timer_new(loop, on_timer, a);
	a->finale = loop_timer_new(loop, on_finale, a);
	a->intake = intake_new(
	    loop, env->set, master_listen_fd(env->master), &intake_handlers, a);
	intake_rewrite(a->intake, content_tables_rules(env->content));
	if (content_tables_must_ask(env->content))
		a->lookahead = lookahead_new(loop, on_foreseen, a);
	a->report = report_new(loop, env->set, on_reported, intake_mark, a);
	report_filter(a->report, env->verdicts);
	intake_limit(a->intake, (size_t)env->descriptors.requests);
	report_limit(a->report, (size_t)env->descriptors.conversations);
	a->figures = (struct figures){
	    .board = env->board,
	    .lane = a->lane,
	    .domains = env->domains,
	    .ups = a->ups,
	    .rates = a->rates,
	    .report = a->report,
	    .relief = a->relief,
	    .dialer = env->dialer,
	    .alarm = env->alarm,
	};
	figures_begin(&a->figures);
	if (a->lane == NULL)
		figures_show_problem(&a->figures, a->env.problem);
	a->desk = desk_open(loop, a->lane, a->intake, a->dialogue, env);
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
	desk_close(&a->desk);
	report_free(&a->report);
	if (a->lane != NULL && lane_waiting(a->lane) == 0 &&
	    lane_in_flight(a->lane) == 0)
		lane_free(&a->lane);
	lookahead_free(&a->lookahead);
	intake_free(&a->intake);
	upstreams_free(&a->ups);
	rate_store_close(&a->rates);
	speaker_stop(a->env.speaker);
	fleet_store_close(&a->fleet);
	domain_store_close(&a->domains);
	loop_timer_free(&a->timer);
	loop_timer_free(&a->finale);
	relief_free(&a->relief);
	dialogue_free(&a->dialogue);
	mem_free(a);
}
