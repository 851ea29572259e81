#include "monitor/health.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "monitor/say.h"
#include "monitor/standstill.h"

struct judging {
	const struct model *m;
	const struct model_lane *lane;
	const struct model_account *account; /* NULL: none yet */
	const struct backlog_share *share; /* NULL: not known */
	bool is_exact; /* it is no estimate */
	enum postfix_state postfix;
	int64_t now_ms; /* wall clock */
	struct health *out;
};

/* Each judge says true when it has said something. */
typedef bool judge_fn(const struct judging *j);

__attribute__((format(printf, 3, 4))) static bool
say(const struct judging *j, enum health_state state, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	(void)vsnprintf(j->out->text, sizeof(j->out->text), format, args);
	va_end(args);
	j->out->state = state;
	return true;
}

static const struct model_board *
board_of(const struct judging *j)
{
	for (size_t i = 0; i < j->m->board_count; i++)
		if (j->m->boards[i].directory == j->lane->directory)
			return &j->m->boards[i];
	return NULL;
}

/* ---- no process --------------------------------------------------------- */

static bool
judge_postfix(const struct judging *j)
{
	if (j->postfix != POSTFIX_STOPPED)
		return false;
	return say(j, HEALTH_DOWN, "Postfix is not running");
}

static bool
judge_board(const struct judging *j)
{
	const struct model_board *board = board_of(j);

	if (board == NULL || !board->is_bad)
		return false;
	/* It may well send: none of that is known. */
	return say(j, HEALTH_ALARM, "how it is cannot be seen: %s: %s",
	    board->directory, board->why);
}

static bool
judge_configuration(const struct judging *j)
{
	const struct site_lane *site = j->lane->site;

	if (site == NULL || site->problems.count == 0)
		return false;
	return say(j, HEALTH_ALARM,
	    "with main.cf and master.cf as they are it would defer all mail: "
	    "%s",
	    site->problems.text[0]);
}

static bool
judge_orders(const struct judging *j)
{
	long long waiting =
	    (long long)j->lane->gauges[BOARD_GAUGE_requests_waiting];
	char until[SAY_SIZE];

	for (size_t i = 0; i < j->lane->order_count; i++) {
		const struct steer_order *o = &j->lane->orders[i];

		if ((o->verb != STEER_PAUSE && o->verb != STEER_DRAIN) ||
		    o->domain[0] != '\0')
			continue;
		(void)snprintf(until, sizeof(until), "postlane resume");
		if (o->until_s > 0)
			(void)say_clock(
			    o->until_s * 1000, j->now_ms, until, sizeof(until));
		if (o->verb == STEER_PAUSE)
			return say(j, HEALTH_PAUSED,
			    "paused by %s until %s, %lld wait inside", o->who,
			    until, waiting);
		return say(j, HEALTH_PAUSED, "drained by %s until %s, %s",
		    o->who, until,
		    waiting + j->lane->gauges[BOARD_GAUGE_requests_in_flight] >
			    0
			? "what is inside still goes"
			: "nothing is inside");
	}
	return false;
}

/* The next process would not know what was asked for. */
static bool
judge_order_file(const struct judging *j)
{
	const struct model_board *board = board_of(j);

	if (board == NULL || board->steer_why[0] == '\0')
		return false;
	return say(j, HEALTH_ALARM,
	    "what operators asked for is not known: %s: %s", board->directory,
	    board->steer_why);
}

static bool judge_alarms(const struct judging *j);

static bool
waits_in_queue(const struct judging *j)
{
	size_t n = 0;

	for (int q = 0; j->share != NULL && q < BACKLOG_QUEUES; q++)
		n += j->share->messages[q];
	return n > 0;
}

/* Deferred for a cause that may be over, and to be called back: what is noted,
 * of which some may have left the queue, or the lane, without a word. */
static long long
owed(const struct judging *j)
{
	long long noted = j->lane->gauges[BOARD_GAUGE_outage_noted], most;

	if (j->share == NULL || !j->is_exact)
		return noted;
	most = (long long)j->share->messages[BACKLOG_DEFERRED];
	return noted < most ? noted : most;
}

static const char *
up_to(const struct judging *j)
{
	return j->is_exact ? "" : "up to ";
}

static bool
judge_process(const struct judging *j)
{
	size_t active =
	    j->share != NULL ? j->share->messages[BACKLOG_ACTIVE] : 0;
	char text[SAY_SIZE];
	int64_t age_ms;

	if (j->lane->process == MODEL_RUNNING)
		return false;
	age_ms = j->share != NULL && j->share->oldest_wall_ms > 0
		     ? j->now_ms - j->share->oldest_wall_ms
		     : 0;
	/* A moment ago is no reason: master(8) takes one to start it. */
	if (active > 0 && age_ms > HEALTH_STUCK_MS &&
	    j->now_ms - j->lane->beat_wall_ms > HEALTH_STUCK_MS)
		return say(j, HEALTH_DOWN,
		    "no process, though %zu messages are in the active queue "
		    "for it, the oldest for %s: see the log of Postfix",
		    active, say_ms(age_ms, text, sizeof(text)));
	if (j->lane->process == MODEL_CRASHED)
		return say(j, HEALTH_ALARM,
		    "its process ended without a word, last seen %s ago: "
		    "master(8) starts another with the next message",
		    say_ms(
			j->now_ms - j->lane->beat_wall_ms, text, sizeof(text)));
	if (waits_in_queue(j) && judge_alarms(j))
		return true;
	if (judge_orders(j))
		return true;
	/* After a reload the next one comes with the next message. */
	if (j->account != NULL && j->account->slots.draining > 0)
		return say(j, HEALTH_WELL,
		    "no process yet: those from before a reload end what they "
		    "have, with %d connections of the account",
		    j->account->slots.draining);
	if (owed(j) > 0)
		return say(j, HEALTH_SLOWED,
		    "no process yet: it calls back %s%lld messages that are "
		    "deferred, and starts with the next one, or \"postlane "
		    "retry\"",
		    up_to(j), owed(j));
	return say(j, HEALTH_WELL,
	    "no process yet: master(8) starts it with the next message");
}

static bool
judge_beat(const struct judging *j)
{
	int64_t silent_ms = j->now_ms - j->lane->beat_wall_ms;
	int64_t waiting = j->lane->gauges[BOARD_GAUGE_requests_waiting];
	char text[SAY_SIZE];

	if (silent_ms <= HEALTH_STUCK_MS || waiting == 0)
		return false;
	/* It sleeps until then, and nothing can be done before. */
	if (j->lane->gauges[BOARD_GAUGE_wakeup_wall_ms] > j->now_ms)
		return false;
	return say(j, HEALTH_DOWN,
	    "its process (%llu) does not move: no sign of life for %s, while "
	    "%lld messages wait",
	    (unsigned long long)j->lane->pid,
	    say_ms(silent_ms, text, sizeof(text)), (long long)waiting);
}

/* ---- it runs ------------------------------------------------------------ */

static bool
judge_settings(const struct judging *j)
{
	return j->lane->waits == BOARD_WAIT_SETTINGS &&
	       say(j, HEALTH_ALARM, "all mail is deferred: %s",
		   j->lane->waits_for);
}

static bool
judge_alarms(const struct judging *j)
{
	const struct model_alarm *a = standstill_alarm(j->m, j->lane);
	const char *instead;
	char text[SAY_SIZE];

	if (a == NULL)
		return false;
	instead = standstill_instead(j->lane, a);
	(void)say_clock(a->since_wall_ms, j->now_ms, text, sizeof(text));
	if (instead != NULL)
		return say(j, HEALTH_ALARM,
		    "%s (before that: %s at %s since %s)", instead, a->what,
		    a->where, text);
	return say(j, HEALTH_ALARM, "%s at %s since %s: %s", a->what, a->where,
	    text, a->reply);
}

static bool
judge_pause(const struct judging *j)
{
	int64_t until = j->lane->gauges[BOARD_GAUGE_paused_until_wall_ms];
	char text[SAY_SIZE], left[SAY_SIZE];

	if (until <= j->now_ms)
		return false;
	return say(j, HEALTH_PAUSED,
	    "the smarthost asked for a pause until %s, in %s",
	    say_clock(until, j->now_ms, text, sizeof(text)),
	    say_ms(until - j->now_ms, left, sizeof(left)));
}

static bool
judge_crowd(const struct judging *j)
{
	if (j->lane->gauges[BOARD_GAUGE_crowd_relieving] == 0)
		return false;
	return say(j, HEALTH_SLOWED,
	    "the active queue holds %lld messages: surplus is deferred and "
	    "called back when there is room, %lld so far",
	    (long long)j->lane->gauges[BOARD_GAUGE_messages_active],
	    (long long)j->lane->gauges[BOARD_GAUGE_crowd_given_back]);
}

/* Fewer connections than are set, and mail would use more. */
static bool
judge_connections(const struct judging *j)
{
	const struct model_account *a = j->account;

	if (a == NULL || a->limit_now >= a->limit || j->lane->wants == 0)
		return false;
	return say(j, HEALTH_SLOWED,
	    "the provider lets the account have %d of %d connections: %s",
	    a->limit_now, a->limit, a->refusal);
}

static const struct model_fleet_limit *
limit_beginning(const struct model_fleet *f, const char *unit)
{
	for (size_t i = 0; i < f->count; i++)
		if (strncmp(f->limits[i].unit, unit, strlen(unit)) == 0)
			return &f->limits[i];
	return NULL;
}

/* kind and the limit's period, which a lane waits for as "... = 50/1d!". */
static const struct model_fleet_limit *
limit_in(const struct model_fleet *f, const char *kind, const char *why)
{
	const char *slash = strrchr(why, '/');
	int period = slash != NULL ? (int)strcspn(slash, ":!") : 0;
	char unit[sizeof(f->limits[0].unit)];

	(void)snprintf(unit, sizeof(unit), "%s%.*s%s", kind, period,
	    slash != NULL ? slash : "", strchr(why, '!') != NULL ? "!" : "");
	return model_fleet_limit(f, unit);
}

/* The limit of the fleet that most mail waits for; NULL: it is none. */
static const struct model_fleet_limit *
limit_waited_for(const struct judging *j, const struct model_fleet *f)
{
	static const struct {
		const char *parameter, *unit;
	} rates[] = {{"lane_account_message_rate_limit", "messages"},
	    {"lane_account_recipient_rate_limit", "recipients"},
	    {"lane_account_byte_rate_limit", "octets"}};
	const char *why = j->lane->waits_for;

	if (j->lane->waits == BOARD_WAIT_SLOT)
		return model_fleet_limit(f, "connections");
	if (j->lane->waits == BOARD_WAIT_CONNECTION_RATE)
		return limit_beginning(f, "dials/");
	for (size_t i = 0; i < sizeof(rates) / sizeof(rates[0]); i++)
		if (j->lane->waits == BOARD_WAIT_RATE &&
		    strncmp(why, rates[i].parameter,
			strlen(rates[i].parameter)) == 0)
			return limit_in(f, rates[i].unit, why);
	return NULL;
}

/* The name is another host's, or there are hosts enough: nothing is this
 * one's. */
static bool
judge_fleet_name(const struct judging *j, const struct model_fleet *f)
{
	for (size_t i = 0; i < f->count; i++) {
		if (f->limits[i].word == BOARD_FLEET_STALE)
			return say(j, HEALTH_ALARM,
			    "two hosts of the fleet call themselves %s, and "
			    "this one has no share: give each a "
			    "lane_fleet_name of its own",
			    f->name);
		if (f->limits[i].word == BOARD_FLEET_FULL)
			return say(j, HEALTH_ALARM,
			    "the fleet has %lld hosts already, and %s is none "
			    "of them: see \"postlane fleet\", lane_fleet_size",
			    (long long)f->size, f->name);
	}
	return false;
}

/* Mail waits for what this host has of the fleet's. */
static bool
judge_fleet(const struct judging *j)
{
	const struct model_fleet *f =
	    j->account != NULL ? &j->account->fleet : NULL;
	const struct model_fleet_limit *l;
	char share[SAY_SIZE], limit[SAY_SIZE], since[SAY_SIZE];
	long long waiting =
	    (long long)j->lane->gauges[BOARD_GAUGE_requests_waiting];

	if (f == NULL || !model_fleet_is_told(f, j->now_ms))
		return false;
	if (judge_fleet_name(j, f))
		return true;
	l = limit_waited_for(j, f);
	if (l == NULL || l->share >= l->limit)
		return false;
	(void)model_fleet_say(l, l->share, share, sizeof(share));
	(void)model_fleet_say(l, l->limit, limit, sizeof(limit));
	/* An engine that knows too little lends not even what is a host's own:
	 * others may have it, or may have used it. */
	if (f->is_up && l->share < l->base && l->known < f->size)
		return say(j, HEALTH_SLOWED,
		    "%lld wait, with %s of %s %s, until all %lld hosts of the "
		    "fleet have asked its engine (%lld so far)",
		    waiting, share, limit, l->unit, (long long)f->size,
		    (long long)l->known);
	if (f->is_up)
		return say(j, HEALTH_WELL,
		    "at this host's share of the fleet, %lld wait: %s of %s %s",
		    waiting, share, limit, l->unit);
	return say(j, HEALTH_SLOWED,
	    "%lld wait, and this host keeps to its own %s of the fleet's %s "
	    "%s: %s does not answer since %s: %s",
	    waiting, share, limit, l->unit, f->engine,
	    say_clock(f->since_wall_ms, j->now_ms, since, sizeof(since)),
	    f->trouble);
}

/* The one of them that goes on last; NULL: none is used up. */
static const struct model_rate *
used_up(const struct model_rate *rates, size_t count, int64_t now_ms)
{
	const struct model_rate *last = NULL;

	for (size_t i = 0; i < count; i++)
		if (rates[i].is_quota && rates[i].next_wall_ms > now_ms &&
		    (last == NULL ||
			rates[i].next_wall_ms > last->next_wall_ms))
			last = &rates[i];
	return last;
}

/* What is worse than a quota, and judge_wait() says. */
static bool
stands_still(const struct judging *j)
{
	return j->lane->waits == BOARD_WAIT_OUTAGE ||
	       j->lane->waits == BOARD_WAIT_ALARM ||
	       j->lane->waits == BOARD_WAIT_PAUSE ||
	       j->lane->waits == BOARD_WAIT_OPERATOR;
}

/* Its mail is deferred, so that none need wait inside. */
static bool
judge_quota(const struct judging *j)
{
	const struct model_account *a = j->account;
	const struct model_rate *own, *shared, *rate;
	char until[SAY_SIZE], left[SAY_SIZE];

	own = used_up(j->lane->rates, j->lane->rate_count, j->now_ms);
	shared = a != NULL ? used_up(a->rates, a->rate_count, j->now_ms) : NULL;
	rate = own == NULL || (shared != NULL &&
				  shared->next_wall_ms > own->next_wall_ms)
		   ? shared
		   : own;
	if (rate == NULL || stands_still(j))
		return false;
	return say(j, HEALTH_SLOWED,
	    "%s quota of %s %s is used up: goes on at %s, in %s",
	    rate == own ? "the lane's" : "the account's", rate->text,
	    rate->unit,
	    say_clock(rate->next_wall_ms, j->now_ms, until, sizeof(until)),
	    say_ms(rate->next_wall_ms - j->now_ms, left, sizeof(left)));
}

/* The first order that holds a recipient domain back; *count of them. */
static const struct steer_order *
domain_order(const struct judging *j, size_t *count)
{
	const struct steer_order *first = NULL;

	*count = 0;
	for (size_t i = 0; i < j->lane->order_count; i++) {
		const struct steer_order *o = &j->lane->orders[i];

		if (o->domain[0] == '\0')
			continue;
		if ((*count)++ == 0)
			first = o;
	}
	return first;
}

/* Between two messages there is none on the wire. */
static bool
sends(const struct judging *j)
{
	return j->lane->gauges[BOARD_GAUGE_requests_in_flight] > 0 ||
	       j->lane->per_s_10s > 0;
}

/* Other lanes have all of the account's. */
static bool
has_no_slot_for_long(const struct judging *j)
{
	int64_t oldest = j->lane->gauges[BOARD_GAUGE_oldest_wall_ms];

	return j->lane->waits == BOARD_WAIT_SLOT && oldest > 0 &&
	       j->now_ms - oldest >= HEALTH_STARVED_MS;
}

/* Why mail waits, if any does. */
static bool
judge_wait(const struct judging *j)
{
	long long waiting =
	    (long long)j->lane->gauges[BOARD_GAUGE_requests_waiting];
	double rate = (double)j->lane->gauges[BOARD_GAUGE_rate_milli] / 1000;
	const char *why = j->lane->waits_for;
	char text[SAY_SIZE];
	size_t domains;

	switch (j->lane->waits) {
	case BOARD_WAIT_NOTHING:
	case BOARD_WAIT_SETTINGS: /* was told before */
	case BOARD_WAIT_COUNT:
		return false;
	case BOARD_WAIT_PACE:
		return say(j, HEALTH_SLOWED,
		    "the smarthost takes %s messages a second, as its replies "
		    "taught, and %lld wait",
		    say_rate(rate, text, sizeof(text)), waiting);
	case BOARD_WAIT_OPERATOR:
		/* A pause of all its mail was told before. */
		if (domain_order(j, &domains) != NULL)
			return say(j, HEALTH_WELL, "%s%lld wait for that",
			    sends(j) ? "sends, " : "", waiting);
		return say(j, HEALTH_PAUSED, "%s, and %lld wait", why, waiting);
	case BOARD_WAIT_PAUSE:
		return say(j, HEALTH_PAUSED, "%s, and %lld wait", why, waiting);
	case BOARD_WAIT_OUTAGE:
	case BOARD_WAIT_ALARM:
		return say(j, HEALTH_ALARM, "nothing goes: %s", why);
	case BOARD_WAIT_BACKOFF:
	case BOARD_WAIT_REST:
		return say(j, HEALTH_SLOWED, "%lld wait for a connection: %s",
		    waiting, why);
	case BOARD_WAIT_RATE:
		return say(j, HEALTH_WELL, "at its limit, %lld wait: %s",
		    waiting, why);
	case BOARD_WAIT_TURN:
	case BOARD_WAIT_WINDOW:
	case BOARD_WAIT_CONNECTION:
	case BOARD_WAIT_CONNECTION_LIMIT:
	case BOARD_WAIT_CONNECTION_RATE:
	case BOARD_WAIT_SLOT:
	case BOARD_WAIT_DOMAIN:
	case BOARD_WAIT_STOPPING:
		break;
	}
	if (sends(j))
		return say(
		    j, HEALTH_WELL, "sends, %lld wait: %s", waiting, why);
	return say(j, has_no_slot_for_long(j) ? HEALTH_SLOWED : HEALTH_WELL,
	    "%lld wait: %s", waiting, why);
}

static bool
judge_work(const struct judging *j)
{
	size_t domains;
	const char *what = sends(j) ? "sends" : "idle";
	size_t deferred =
	    j->share != NULL ? j->share->messages[BACKLOG_DEFERRED] : 0;

	/* What a domain is held back for is told with it. */
	if (owed(j) > 0 && domain_order(j, &domains) == NULL)
		return say(j, sends(j) ? HEALTH_WELL : HEALTH_SLOWED,
		    "%s, nothing waits inside; %s%lld deferred messages are "
		    "called back when a connection works",
		    what, up_to(j), owed(j));
	if (deferred > 0)
		return say(j, HEALTH_WELL,
		    "%s, nothing waits inside, %zu %s deferred", what, deferred,
		    deferred == 1 ? "is" : "are");
	return say(j, HEALTH_WELL, "%s, nothing waits", what);
}

/* In the lane, or deferred, perhaps for that. An order may be for a domain
 * whose mail is another lane's. */
static bool
holds_mail_of_domains(const struct judging *j)
{
	return j->lane->gauges[BOARD_GAUGE_requests_parked] > 0 ||
	       j->lane->waits == BOARD_WAIT_OPERATOR || j->share == NULL ||
	       j->share->messages[BACKLOG_DEFERRED] > 0;
}

/* What is well apart from a domain that an operator holds back is not quite. */
static void
add_domains(const struct judging *j)
{
	char rest[sizeof(j->out->text)], until[SAY_SIZE];
	size_t n;
	const struct steer_order *first = domain_order(j, &n);

	if (first == NULL || j->out->state != HEALTH_WELL ||
	    !holds_mail_of_domains(j))
		return;
	(void)snprintf(rest, sizeof(rest), "%s", j->out->text);
	if (n > 1)
		(void)say(j, HEALTH_SLOWED,
		    "mail to %s and %zu more is paused; the rest: %s",
		    first->domain, n - 1, rest);
	else
		(void)say(j, HEALTH_SLOWED,
		    "mail to %s is paused by %s until %s; the rest: %s",
		    first->domain, first->who,
		    first->until_s == 0 ? "postlane resume"
					: say_clock(first->until_s * 1000,
					      j->now_ms, until, sizeof(until)),
		    rest);
}

/* Mail flows, but not by the host that is to have it. */
static void
add_bypassed(const struct judging *j)
{
	long long n = j->lane->gauges[BOARD_GAUGE_hosts_bypassed];
	char rest[sizeof(j->out->text)];

	if (n == 0 || j->out->state > HEALTH_SLOWED)
		return;
	(void)snprintf(rest, sizeof(rest), "%s", j->out->text);
	(void)say(j, HEALTH_SLOWED,
	    "%lld host%s cannot be used, the next of the list has the mail: %s",
	    n, n == 1 ? "" : "s", rest);
}

void
health_of(struct health *out, const struct model *m,
    const struct model_lane *lane, const struct backlog *backlog,
    enum postfix_state postfix)
{
	static judge_fn *const judges[] = {
	    judge_postfix,
	    judge_board,
	    judge_configuration,
	    judge_order_file,
	    judge_process,
	    judge_beat,
	    judge_settings,
	    judge_alarms,
	    judge_orders,
	    judge_pause,
	    judge_crowd,
	    judge_connections,
	    judge_fleet,
	    judge_quota,
	    judge_wait,
	    judge_work,
	};
	struct judging j = {
	    .m = m,
	    .lane = lane,
	    .account = lane->account >= 0 ? &m->accounts[lane->account] : NULL,
	    .share = backlog_share_of(backlog, m, lane),
	    .postfix = postfix,
	    .now_ms = model_wall_ms(m),
	    .out = out,
	};

	j.is_exact = j.share != NULL && backlog->is_exact;
	for (size_t i = 0; i < sizeof(judges) / sizeof(judges[0]); i++)
		if (judges[i](&j))
			break;
	add_domains(&j);
	add_bypassed(&j);
}

void
health_of_token(
    struct health *out, const struct model *m, const struct model_token *t)
{
	int64_t now_ms = model_wall_ms(m);
	char left[SAY_SIZE], since[SAY_SIZE], lives[SAY_SIZE + 16];

	(void)say_ms(t->end_wall_ms - now_ms, left, sizeof(left));
	(void)snprintf(lives, sizeof(lives), "%s%s",
	    t->end_wall_ms > 0 ? "lives " : "none is held",
	    t->end_wall_ms > 0 ? left : "");
	if (t->failing_wall_ms == 0) {
		out->state = HEALTH_WELL;
		(void)snprintf(out->text, sizeof(out->text), "%s", lives);
		return;
	}
	out->state =
	    model_token_is_ending(t, now_ms) ? HEALTH_ALARM : HEALTH_WELL;
	(void)snprintf(out->text, sizeof(out->text),
	    "%s, and no other is to be had for %s: %.360s", lives,
	    say_ms(now_ms - t->failing_wall_ms, since, sizeof(since)),
	    t->reason);
}

enum health_state
health_of_tokens(const struct model *m)
{
	enum health_state worst = HEALTH_WELL;
	struct health health;

	for (size_t i = 0; i < m->token_count; i++) {
		health_of_token(&health, m, &m->tokens[i]);
		if (health.state > worst)
			worst = health.state;
	}
	return worst;
}

bool
health_of_fleet(
    struct health *out, const struct model *m, const struct model_account *a)
{
	const struct model_fleet *f = &a->fleet;
	int64_t now_ms = model_wall_ms(m);
	char since[SAY_SIZE];

	if (!a->is_in_use || f->size == 0 || !model_fleet_is_told(f, now_ms))
		return false;
	out->state = f->is_up ? HEALTH_WELL : HEALTH_SLOWED;
	if (f->is_up)
		(void)snprintf(
		    out->text, sizeof(out->text), "%s answers", f->engine);
	else
		(void)snprintf(out->text, sizeof(out->text),
		    "%s does not answer since %s: %s; each host keeps to its "
		    "own part",
		    f->engine,
		    say_clock(f->since_wall_ms, now_ms, since, sizeof(since)),
		    f->trouble);
	return true;
}

void
health_of_stray(struct health *out, const struct backlog_stray *stray)
{
	out->state = HEALTH_ALARM;
	(void)snprintf(out->text, sizeof(out->text),
	    "master.cf has no such service, and %zu message%s to go by it: "
	    "see \"postlane doctor\"",
	    stray->messages, stray->messages == 1 ? " is" : "s are");
}

enum health_state
health_of_the_rest(const struct model *m, const struct backlog *b)
{
	enum health_state worst = health_of_tokens(m);
	struct health health;

	for (size_t i = 0; i < m->account_count; i++)
		if (health_of_fleet(&health, m, &m->accounts[i]) &&
		    health.state > worst)
			worst = health.state;
	if (b != NULL && b->is_known && b->stray_count > 0 &&
	    worst < HEALTH_ALARM)
		worst = HEALTH_ALARM;
	return worst;
}

const char *
health_name(enum health_state state)
{
	switch (state) {
	case HEALTH_WELL:
		return "well";
	case HEALTH_SLOWED:
		return "slowed";
	case HEALTH_PAUSED:
		return "paused";
	case HEALTH_ALARM:
		return "alarm";
	case HEALTH_DOWN:
		return "down";
	}
	return "down";
}

int
health_status(enum health_state state)
{
	if (state == HEALTH_WELL)
		return 0;
	return state == HEALTH_DOWN ? 2 : 1;
}
