/* status: how each lane and account is. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sysexits.h>

#include <jansson.h>

#include "monitor/forecast.h"
#include "monitor/origin.h"
#include "monitor/pending.h"
#include "monitor/postlane/command.h"
#include "monitor/say.h"
#include "monitor/status_json.h"

struct printing {
	const struct command *c;
	const struct look *look;
	int64_t now_ms; /* wall clock */
};

/* ---- a lane, line by line ----------------------------------------------- */

static const char *
ago(const struct printing *p, int64_t wall_ms, char *text)
{
	return say_ms(p->now_ms - wall_ms, text, SAY_SIZE);
}

static void
print_rates(const struct model_lane *lane)
{
	char a[SAY_SIZE], b[SAY_SIZE], c[SAY_SIZE];

	printf("  sent         %s messages/s over 10 s, %s over 1 min, %s over "
	       "1 h\n",
	    say_rate(lane->per_s_10s, a, sizeof(a)),
	    say_rate(lane->per_s_1min, b, sizeof(b)),
	    say_rate(lane->per_s_1h, c, sizeof(c)));
}

static void
print_inside(const struct printing *p, const struct model_lane *lane)
{
	int64_t oldest = lane->gauges[BOARD_GAUGE_oldest_wall_ms];
	int64_t parked = lane->gauges[BOARD_GAUGE_requests_parked];
	char text[SAY_SIZE];

	printf("  inside       %" PRId64 " waiting, %" PRId64
	       " on the wire, %" PRId64 " being reported",
	    lane->gauges[BOARD_GAUGE_requests_waiting],
	    lane->gauges[BOARD_GAUGE_requests_in_flight],
	    lane->gauges[BOARD_GAUGE_reports_pending]);
	if (parked > 0)
		printf(", %" PRId64 " of the waiting for their domain", parked);
	if (oldest > 0)
		printf("; the oldest waits for %s", ago(p, oldest, text));
	printf("\n");
}

static void
print_forecast(const struct printing *p, const struct model_lane *lane,
    const struct backlog_share *share)
{
	struct forecast f;
	char text[SAY_SIZE], limit[FORECAST_LIMIT_SIZE];
	char end[FORECAST_END_SIZE];

	forecast_of(&f, p->look->m, lane, share);
	if (f.messages == 0)
		return;
	(void)forecast_say_end(&f, lane, p->now_ms, end, sizeof(end));
	if (f.empty_s < 0 || f.begin_wall_ms > 0)
		printf("  forecast     %s", end);
	else
		printf("  forecast     gone in %s at its pace of late", end);
	if (f.deferred > 0 && f.empty_s >= 0)
		printf(", the %zu deferred with it", f.deferred);
	if (f.limit_s > 0)
		printf("; %s lets it take %s at least",
		    forecast_say_limit(&f, p->now_ms, limit, sizeof(limit)),
		    say_ms(f.limit_s * 1000, text, sizeof(text)));
	printf("\n");
}

static void
print_queue(const struct printing *p, const struct model_lane *lane)
{
	const struct backlog *b = &p->look->backlog;
	const struct backlog_share *share = look_share(p->look, lane);
	const char *about = b->is_exact ? "" : "about ";
	char text[SAY_SIZE];

	if (lane->site == NULL)
		return;
	if (share == NULL) {
		printf("  queue        not known: %s\n", b->why);
		return;
	}
	printf("  queue        %s%zu active, %s%zu deferred, %s%zu incoming",
	    about, share->messages[BACKLOG_ACTIVE], about,
	    share->messages[BACKLOG_DEFERRED], about,
	    share->messages[BACKLOG_INCOMING]);
	if (share->oldest_wall_ms > 0)
		printf("; the oldest %s%s old",
		    b->is_exact ? "is " : "of a sample is ",
		    ago(p, share->oldest_wall_ms, text));
	printf("\n");
	print_forecast(p, lane, share);
}

/* Of an order for more sessions than the account has. */
static void
print_account_limit(
    const struct model_lane *lane, const struct steer_order *order)
{
	int most = model_account_connection_limit(lane);

	if (order->verb == STEER_CONNECTIONS && most > 0 &&
	    strtol(order->value, NULL, 10) > most)
		printf("               in force up to the account's %d "
		       "(lane_account_connection_limit)\n",
		    most);
}

static void
print_orders(const struct printing *p, const struct model_lane *lane)
{
	char since[SAY_SIZE], until[SAY_SIZE];

	for (size_t i = 0; i < lane->order_count; i++) {
		const struct steer_order *o = &lane->orders[i];
		bool has_value =
		    o->verb == STEER_RATE || o->verb == STEER_CONNECTIONS;

		printf("  asked for    %s%s%s%s by %s %s ago, until %s\n",
		    steer_verb_name(o->verb),
		    has_value || o->domain[0] != '\0' ? " " : "",
		    has_value ? o->value : "", o->domain, o->who,
		    ago(p, o->at_s * 1000, since),
		    o->until_s == 0 ? "it is told otherwise"
				    : say_clock(o->until_s * 1000, p->now_ms,
					  until, sizeof(until)));
		print_account_limit(lane, o);
	}
}

static void
print_sessions(const struct model_lane *lane)
{
	printf("  sessions     %zu of %d: %" PRId64 " busy, %" PRId64
	       " idle, %" PRId64 " being set up, %" PRId64 " closing\n",
	    lane->session_count, model_connection_limit(lane),
	    lane->gauges[BOARD_GAUGE_sessions_busy],
	    lane->gauges[BOARD_GAUGE_sessions_idle],
	    lane->gauges[BOARD_GAUGE_sessions_dialing],
	    lane->gauges[BOARD_GAUGE_sessions_closing]);
}

static void
print_rate(
    const struct printing *p, const struct model_rate *rate, const char *origin)
{
	char text[SAY_SIZE];

	printf("  limit        %s %s (%s)", rate->text, rate->unit, origin);
	if (rate->is_quota)
		printf(", %" PRId64 " used", rate->used);
	if (rate->next_wall_ms > p->now_ms)
		printf(", the next in %s",
		    say_ms(rate->next_wall_ms - p->now_ms, text, sizeof(text)));
	printf("\n");
}

/* Who asked for another lane_message_rate_limit; NULL: nobody. */
static const char *
rate_is_by(const struct model_lane *lane)
{
	for (size_t i = 0; i < lane->order_count; i++)
		if (lane->orders[i].verb == STEER_RATE)
			return lane->orders[i].who;
	return NULL;
}

static const char *
origin_of(const struct model_lane *lane, const struct model_rate *rate,
    char *text, size_t n)
{
	const char *who = rate_is_by(lane);

	if (who == NULL || strcmp(rate->unit, "messages") != 0)
		return origin_of_rate(lane->site, rate, false, text, n);
	(void)snprintf(
	    text, n, "lane_message_rate_limit, postlane rate by %s", who);
	return text;
}

static void
print_limits(const struct printing *p, const struct model_lane *lane)
{
	double learned = (double)lane->gauges[BOARD_GAUGE_rate_milli] / 1000;
	char origin[ORIGIN_SIZE + 64], text[SAY_SIZE];

	for (size_t i = 0; i < lane->rate_count; i++)
		print_rate(p, &lane->rates[i],
		    origin_of(lane, &lane->rates[i], origin, sizeof(origin)));
	if (learned > 0)
		printf("  learned      %s messages/s, from the smarthost's "
		       "replies\n",
		    say_rate(learned, text, sizeof(text)));
}

static void
print_waits(const struct model_lane *lane)
{
	const struct board_hist *queue = &lane->hists[BOARD_HIST_queue_wait];
	const struct board_hist *wire = &lane->hists[BOARD_HIST_wire_time];
	char a[SAY_SIZE], b[SAY_SIZE];

	if (queue->count == 0)
		return;
	printf("  95%% of all   wait %s at most in the lane, and %s for the "
	       "smarthost's reply\n",
	    say_time((int64_t)board_hist_quantile(queue, 0.95), a, sizeof(a)),
	    say_time((int64_t)board_hist_quantile(wire, 0.95), b, sizeof(b)));
}

static void
print_trouble(const struct printing *p, const struct model_lane *lane)
{
	char text[SAY_SIZE], met[SAY_SIZE];

	for (size_t i = 0; i < lane->alarm_count; i++) {
		const struct model_alarm *a = &lane->alarms[i];

		printf("  alarm        %s at %s for %s", a->what, a->where,
		    ago(p, a->since_wall_ms, text));
		if (a->met_wall_ms > 0)
			printf(
			    ", met last %s ago", ago(p, a->met_wall_ms, met));
		printf(": %s\n", a->reply);
	}
	if (lane->trouble_wall_ms > 0)
		printf("  last trouble %s ago: %s\n",
		    ago(p, lane->trouble_wall_ms, text), lane->trouble);
}

/* Somebody has changed main.cf or master.cf, and not said so to Postfix. */
static void
print_pending(const struct model_lane *lane)
{
	char names[512];

	if (pending_settings(lane, names, sizeof(names)) > 0)
		printf("  not in force %s: changed since the lane's process "
		       "started; \"postfix reload\"\n",
		    names);
}

static void
print_lane(const struct printing *p, const struct model_lane *lane,
    const struct health *health)
{
	printf("lane %s: %s: %s\n", lane->name, health_name(health->state),
	    health->text);
	print_pending(lane);
	if (p->c->is_quiet)
		return;
	if (lane->process == MODEL_RUNNING) {
		print_rates(lane);
		print_inside(p, lane);
	}
	print_queue(p, lane);
	if (lane->process == MODEL_RUNNING && lane->site != NULL)
		print_sessions(lane);
	print_orders(p, lane);
	print_limits(p, lane);
	print_waits(lane);
	print_trouble(p, lane);
}

/* ---- an account --------------------------------------------------------- */

static void
print_refusal(const struct printing *p, const struct model_account *a)
{
	char text[SAY_SIZE];

	if (a->refusals > 0)
		printf("  refused      %" PRIu64
		       " times, the last %s ago: %s\n",
		    a->refusals, ago(p, a->refused_wall_ms, text), a->refusal);
	if (a->limited_until_wall_ms > p->now_ms)
		printf("  all of them  again in %s, if the provider takes "
		       "them\n",
		    say_ms(a->limited_until_wall_ms - p->now_ms, text,
			sizeof(text)));
}

/* It has less than its own, as it needs no more. An engine that has not heard
 * of all hosts yet gives not even that. */
static bool
is_lent(const struct model_fleet *f, const struct model_fleet_limit *l)
{
	return l->share < l->base && l->want <= l->share &&
	       (!f->is_up || l->known >= f->size);
}

static void
print_share(const struct model_fleet *f, const struct model_fleet_limit *l)
{
	char share[SAY_SIZE], limit[SAY_SIZE], base[SAY_SIZE];

	printf("  share        %s of %s %s, %s of them its own%s\n",
	    model_fleet_say(l, l->share, share, sizeof(share)),
	    model_fleet_say(l, l->limit, limit, sizeof(limit)), l->unit,
	    model_fleet_say(l, l->base, base, sizeof(base)),
	    is_lent(f, l) ? ": back as soon as it has mail for them" : "");
}

static void
print_heard(const struct printing *p, const struct model_fleet *f,
    const struct model_fleet_lesson *l)
{
	char what[MODEL_FLEET_LESSON_SIZE], left[SAY_SIZE];

	if (!model_fleet_lesson_holds(f, l, p->now_ms))
		return;
	printf(
	    "  heard        %s", model_fleet_lesson_say(l, what, sizeof(what)));
	if (model_fleet_lesson_is_lasting(l))
		printf("; obeyed here, too, for %s",
		    say_ms(l->until_wall_ms - p->now_ms, left, sizeof(left)));
	printf("\n");
}

static void
print_fleet(const struct printing *p, const struct model_fleet *f)
{
	char text[SAY_SIZE];

	if (f->size == 0)
		return;
	printf(
	    "  fleet        %s, one of %" PRId64 " hosts: ", f->name, f->size);
	if (!model_fleet_is_told(f, p->now_ms))
		printf("no lane of this host speaks for it\n");
	else if (f->is_up)
		printf("%s answers\n", f->engine);
	else
		printf("%s does not answer for %s: %s\n", f->engine,
		    ago(p, f->since_wall_ms, text), f->trouble);
	for (size_t i = 0; i < f->count; i++)
		print_share(f, &f->limits[i]);
	for (size_t i = 0; i < f->heard_count; i++)
		print_heard(p, f, &f->heard[i]);
}

static void
print_account(const struct printing *p, size_t i)
{
	const struct model_account *a = &p->look->m->accounts[i];
	char origin[ORIGIN_SIZE + 64];

	printf("account %s: %d of %d connections held", a->label, a->slots.held,
	    a->limit_now);
	if (a->limit_now != a->limit)
		printf(" (%d are set)", a->limit);
	printf(
	    ", %d resting, %d more wanted\n", a->slots.resting, a->slots.wants);
	if (p->c->is_quiet)
		return;
	for (int k = 0; k < a->slots.member_count; k++) {
		const struct slotsfile_member *lane = &a->slots.members[k];

		printf("  lane %-7s holds %d, %d are kept for it, wants %d "
		       "more\n",
		    lane->name, lane->holds, lane->reserve, lane->wants);
	}
	if (a->slots.draining > 0)
		printf("  draining     %d, of processes before a reload\n",
		    a->slots.draining);
	for (size_t k = 0; k < a->rate_count; k++)
		print_rate(p, &a->rates[k],
		    origin_of_account_rate(
			p->look->m, i, &a->rates[k], origin, sizeof(origin)));
	print_fleet(p, &a->fleet);
	print_refusal(p, a);
}

/* ---- all ----------------------------------------------------------------- */

static enum health_state
print_lanes(const struct printing *p)
{
	const struct model *m = p->look->m;
	enum health_state worst = HEALTH_WELL;
	struct health health;
	char names[512];

	for (size_t i = 0; i < m->lane_count; i++) {
		const struct model_lane *lane = &m->lanes[i];

		if (!command_wants(p->c, lane))
			continue;
		health_of(
		    &health, m, lane, &p->look->backlog, p->look->postfix);
		if (health.state > worst)
			worst = health.state;
		if (!p->c->is_quiet || health.state != HEALTH_WELL ||
		    pending_settings(lane, names, sizeof(names)) > 0)
			print_lane(p, lane, &health);
	}
	return worst;
}

static void
print_accounts(const struct printing *p)
{
	const struct model *m = p->look->m;

	for (size_t i = 0; i < m->account_count; i++)
		if (m->accounts[i].is_in_use && !p->c->is_quiet)
			print_account(p, i);
}

static void
print_tokens(const struct printing *p)
{
	const struct model *m = p->look->m;
	struct health health;

	for (size_t i = 0; i < m->token_count; i++) {
		health_of_token(&health, m, &m->tokens[i]);
		if (!p->c->is_quiet || health.state != HEALTH_WELL)
			printf("token %s: %s: %s\n", m->tokens[i].name,
			    health_name(health.state), health.text);
	}
}

static void
print_fleets(const struct printing *p)
{
	const struct model *m = p->look->m;
	struct health health;

	/* Else its account has told it. */
	for (size_t i = 0; p->c->is_quiet && i < m->account_count; i++)
		if (health_of_fleet(&health, m, &m->accounts[i]) &&
		    health.state != HEALTH_WELL)
			printf("fleet of %s: %s: %s\n", m->accounts[i].label,
			    health_name(health.state), health.text);
}

static void
print_strays(const struct printing *p)
{
	const struct backlog *b = &p->look->backlog;
	struct health health;

	for (size_t i = 0; b->is_known && i < b->stray_count; i++) {
		health_of_stray(&health, &b->strays[i]);
		printf("transport %s: %s: %s\n", b->strays[i].transport,
		    health_name(health.state), health.text);
	}
}

/* What is no lane's, or not known to be. */
static enum health_state
print_rest(const struct printing *p)
{
	print_tokens(p);
	print_fleets(p);
	print_strays(p);
	return health_of_the_rest(p->look->m, &p->look->backlog);
}

static int
print_all(const struct printing *p)
{
	enum health_state worst = print_lanes(p), rest;

	print_accounts(p);
	rest = p->c->lane == NULL ? print_rest(p) : HEALTH_WELL;
	if (rest > worst)
		worst = rest;
	if (p->look->m->lane_count == 0)
		printf("%s/master.cf has no lane: see postlane setup\n",
		    p->c->site.set.config_directory);
	return health_status(worst);
}

static int
print_document(const struct printing *p)
{
	json_t *document = status_json(
	    p->look->m, &p->look->backlog, p->look->postfix, p->c->lane);
	int status =
	    (int)json_integer_value(json_object_get(document, "status"));

	command_print_json(document);
	return status;
}

int
status_run(struct command *c)
{
	struct look look;
	struct printing p = {.c = c, .look = &look};
	int status;

	look_begin(&look, c);
	p.now_ms = model_wall_ms(look.m);
	status = c->is_json ? print_document(&p) : print_all(&p);
	look_end(&look);
	return c->site.lane_count == 0 ? EX_CONFIG : status;
}
