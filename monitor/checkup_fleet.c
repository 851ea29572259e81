#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/clock.h"
#include "common/base/mem.h"
#include "common/shared/fleet_script.h"
#include "monitor/checkup.h"
#include "monitor/fleetview.h"
#include "monitor/model.h"
#include "monitor/say.h"

enum {
	CLOCK_US = 2000000, /* more is worth a word */
	MEMORY_PERCENT = 90,
};

/* An account that no lane has. */
#define OWN_KEY "pl:{postlane-doctor}:connections:"

static const char *
lane_name(const struct site_lane *lane)
{
	return lane->opt.service_name;
}

/* The finding added last is repaired by NAME = VALUE in main.cf. */
static void
fix_main(struct checkup *c, const char *name, const char *value)
{
	struct edits edits = {NULL, 0};

	if (edits_set(&edits, NULL, name, value))
		checkup_fix(c, &edits);
}

/* ---- the engine -----------------------------------------------------------
 */

static bool
is_ok(struct fleetlink *l, const char *what, int argc, const char **argv)
{
	redisReply *reply = fleetlink_ask(l, what, argc, argv);

	freeReplyObject(reply);
	return reply != NULL;
}

/* All that a lane and postlane ask, of an account of our own, which is taken
 * away again. */
static bool
try_all(struct fleetlink *l)
{
	char sha[FLEETLINK_SHA_SIZE];
	const char *renew[] = {"EVALSHA", sha, "3", OWN_KEY "hosts",
	    OWN_KEY "state", OWN_KEY "lessons", "doctor", "1", "1", "1", "1",
	    "1", "0", "10000000", "0", "0", "1", "0", "0", "0", "0", "0", "0",
	    "", "1 1000000 0"};
	const char *terms[] = {"HSET", OWN_KEY "terms", "doctor", "1"};
	const char *look[] = {"HGETALL", OWN_KEY "hosts"};
	const char *state[] = {"HMGET", OWN_KEY "state", "run"};
	const char *drop[] = {"DEL", OWN_KEY "hosts", OWN_KEY "state",
	    OWN_KEY "lessons", OWN_KEY "terms"};

	if (!fleetlink_load(l, fleet_script, sha))
		return false;
	return is_ok(l, "EVALSHA", sizeof(renew) / sizeof(renew[0]), renew) &&
	       is_ok(l, "HSET", 4, terms) && is_ok(l, "HGETALL", 2, look) &&
	       is_ok(l, "HMGET", 3, state) && is_ok(l, "DEL", 5, drop);
}

static void
advise_rules(struct checkup *c)
{
	findings_advise(&c->findings,
	    "its user needs the rules resetkeys ~pl:* resetchannels -@all "
	    "+auth +hello +ping +evalsha +script|load +info +time +hgetall "
	    "+hmget +hset +del");
}

/* Two questions that a user with these rules is refused, which is as it should
 * be; neither changes anything. */
static void
check_rights(
    struct checkup *c, const struct fleetview_engine *e, struct fleetlink *l)
{
	const char *config[] = {"CONFIG", "GET", "maxmemory"};
	const char *other[] = {"HMGET", "postlane-doctor", "no"};
	bool is_admin = is_ok(l, "CONFIG", 3, config);
	bool is_wide = is_ok(l, "HMGET", 3, other);

	l->refused[0] = '\0';
	if (!is_admin && !is_wide)
		return;
	findings_add(&c->findings, "FLEET-ACL",
	    e->lane->set.lane_fleet_password_file[0] == '\0' ? FINDING_WARNING
							     : FINDING_NOTE,
	    lane_name(e->lane), "%s lets %s do more than a lane needs: %s",
	    e->lane->set.lane_fleet,
	    e->lane->set.lane_fleet_password_file[0] == '\0'
		? "everybody without a password"
		: "its user",
	    is_admin ? "change its settings" : "read keys of other programs");
	advise_rules(c);
}

static void
check_commands(struct checkup *c, const struct fleetview_engine *e)
{
	struct fleetlink l;
	bool is_open = fleetlink_open(&l, &e->lane->set);

	if (is_open && e->refused[0] == '\0' && try_all(&l))
		check_rights(c, e, &l);
	if (e->refused[0] != '\0' || l.refused[0] != '\0') {
		findings_add(&c->findings, "FLEET-REFUSES", FINDING_ERROR,
		    lane_name(e->lane),
		    "%s refuses what a lane asks: %s; each host keeps to its "
		    "own part",
		    e->lane->set.lane_fleet,
		    e->refused[0] != '\0' ? e->refused : l.refused);
		advise_rules(c);
	} else if (l.why[0] != '\0') {
		findings_add(&c->findings, "FLEET-ENGINE", FINDING_ERROR,
		    lane_name(e->lane), "%s ended the connection: %s",
		    e->lane->set.lane_fleet, l.why);
	}
	fleetlink_close(&l);
}

static void
check_memory(struct checkup *c, const struct fleetview_engine *e)
{
	const char *where = e->lane->set.lane_fleet;

	if (strncmp(e->policy, "allkeys-", 8) == 0) {
		findings_add(&c->findings, "FLEET-EVICTION", FINDING_ERROR,
		    lane_name(e->lane),
		    "%s has maxmemory-policy %s: when its memory is full it "
		    "drops what it knows of a host, unseen, and hosts may use "
		    "more than the limit together",
		    where, e->policy);
		findings_advise(&c->findings,
		    "set maxmemory-policy noeviction in its configuration");
	}
	if (e->memory_max > 0 &&
	    e->memory > e->memory_max / 100 * MEMORY_PERCENT) {
		findings_add(&c->findings, "FLEET-MEMORY", FINDING_WARNING,
		    lane_name(e->lane),
		    "%s has %" PRId64 " of %" PRId64
		    " octets of its memory in use: when it is full it refuses "
		    "questions, and each host keeps to its own part",
		    where, e->memory, e->memory_max);
		findings_advise(&c->findings,
		    "a fleet needs some 300 octets for each host and limit");
	}
}

static void
check_nature(struct checkup *c, const struct fleetview_engine *e)
{
	const char *where = e->lane->set.lane_fleet;
	char off[SAY_SIZE];

	if (e->is_replica)
		findings_add(&c->findings, "FLEET-REPLICA", FINDING_ERROR,
		    lane_name(e->lane),
		    "%s is a replica, which takes no writes: lane_fleet must "
		    "lead to its master",
		    where);
	if (e->is_kept)
		findings_add(&c->findings, "FLEET-DISK", FINDING_NOTE,
		    lane_name(e->lane),
		    "%s writes what it knows to a disk: a fleet does not need "
		    "that, since hosts tell an engine that has forgotten what "
		    "they have, and what it reads from a disk is not believed",
		    where);
	if (llabs(e->clock_off_us) > CLOCK_US)
		findings_add(&c->findings, "FLEET-CLOCK", FINDING_NOTE,
		    lane_name(e->lane),
		    "the clock of %s is %s %s than this host's: shares do not "
		    "depend on that, but a clock that is set while hosts use "
		    "it ends all loans",
		    where, say_time(llabs(e->clock_off_us), off, sizeof(off)),
		    e->clock_off_us > 0 ? "later" : "earlier");
}

static void
check_engine(struct checkup *c, const struct fleetview_engine *e)
{
	if (!e->answers) {
		findings_add(&c->findings, "FLEET-ENGINE", FINDING_ERROR,
		    lane_name(e->lane),
		    "%s does not answer: %s; each host keeps to its own part",
		    e->lane->set.lane_fleet, e->why);
		return;
	}
	check_nature(c, e);
	check_memory(c, e);
	if (!e->is_replica)
		check_commands(c, e);
}

/* ---- its hosts ------------------------------------------------------------
 */

static void
check_word(struct checkup *c, const struct site_lane *lane,
    const struct model_fleet *f, const struct model_fleet_limit *l)
{
	if (l->word == BOARD_FLEET_STALE)
		findings_add(&c->findings, "FLEET-NAME", FINDING_ERROR,
		    lane_name(lane),
		    "two hosts of the fleet call themselves %s, and this one "
		    "has no share: give each a lane_fleet_name of its own",
		    f->name);
	else if (l->word == BOARD_FLEET_FULL)
		findings_add(&c->findings, "FLEET-SIZE", FINDING_ERROR,
		    lane_name(lane),
		    "the fleet has %" PRId64
		    " hosts already, lane_fleet_size, and %s is none of them, "
		    "so it has no share: see postlane fleet; one that is gone "
		    "makes room by postlane fleet forget HOST",
		    f->size, f->name);
}

/* What this host would go by after a reload, of limits that are as they were.
 */
static struct fleet_terms
own_terms(const struct site_lane *lane, const struct model_fleet_limit *l)
{
	const struct settings *set = &lane->set;
	struct fleet_terms own = {
	    .size = set->lane_fleet_size,
	    .limit = strcmp(l->unit, "connections") == 0
			 ? set->lane_account_connection_limit
			 : l->limit,
	    .ttl_us = set->lane_fleet_ttl_us,
	    .forget_us = set->lane_fleet_forget_us,
	};

	own.minimum = fleet_base(&own) * set->lane_fleet_minimum / 100;
	return own;
}

/* Of two hosts what is not the same, as "lane_fleet_size 3"; NULL: nothing. */
static const char *
say_difference(const struct model_fleet_limit *l, const struct fleet_terms *own,
    const struct fleet_terms *other, char *text, size_t n)
{
	char value[SAY_SIZE];

	if (own->size != other->size)
		(void)snprintf(
		    text, n, "lane_fleet_size %" PRId64, other->size);
	/* A rate's limit is some thousandths short, by the size. */
	else if (l->is_milli ? llabs(own->limit - other->limit) > 64
			     : own->limit != other->limit)
		(void)snprintf(text, n, "a limit of %s %s",
		    model_fleet_say(l, other->limit, value, sizeof(value)),
		    l->unit);
	else if (own->ttl_us != other->ttl_us)
		(void)snprintf(text, n, "lane_fleet_ttl %s",
		    say_time(other->ttl_us, value, sizeof(value)));
	else if (own->forget_us != other->forget_us)
		(void)snprintf(text, n, "lane_fleet_forget %s",
		    say_time(other->forget_us, value, sizeof(value)));
	else if (own->forget_us > 0 && own->minimum > other->minimum)
		(void)snprintf(text, n, "a smaller lane_fleet_minimum");
	else
		return NULL;
	return text;
}

static bool
check_terms(struct checkup *c, const struct site_lane *lane,
    const struct fleetview_limit *l)
{
	struct fleet_terms own = own_terms(lane, l->own);
	char text[128];

	for (size_t i = 0; i < l->count; i++) {
		const struct fleetview_host *h = &l->hosts[i];

		if (h->is_here || !h->has_terms || h->state == FLEETVIEW_GONE ||
		    say_difference(
			l->own, &own, &h->terms, text, sizeof(text)) == NULL)
			continue;
		findings_add(&c->findings, "FLEET-TERMS", FINDING_ERROR,
		    lane_name(lane),
		    "host %s goes by %s, this one does not: together they may "
		    "use more than the limit; all hosts of a fleet must have "
		    "the same (told within a minute after its lane begins)",
		    h->name, text);
		return true;
	}
	return false;
}

static void
check_base(struct checkup *c, const struct site_lane *lane,
    const struct fleetview_limit *l)
{
	struct fleet_terms own = own_terms(lane, l->own);
	char limit[SAY_SIZE];

	if (fleet_base(&own) > 0)
		return;
	findings_add(&c->findings, "FLEET-BASE", FINDING_WARNING,
	    lane_name(lane),
	    "%s %s for %" PRId64
	    " hosts: a host's own part is none, so without an engine nothing "
	    "goes",
	    model_fleet_say(l->own, own.limit, limit, sizeof(limit)),
	    l->own->unit, own.size);
}

static void
check_account(struct checkup *c, const struct fleetview *v,
    const struct fleetview_account *a)
{
	const struct site_lane *lane = v->engines[a->engine].lane;
	const struct model_fleet *f = &a->account->fleet;
	bool is_told = false;

	if (f->count > 0 && model_fleet_is_told(f, model_wall_ms(v->m)))
		check_word(c, lane, f, a->limits[0].own);
	for (size_t i = 0; i < f->count; i++) {
		if (!is_told)
			is_told = check_terms(c, lane, &a->limits[i]);
		check_base(c, lane, &a->limits[i]);
	}
}

/* ---- settings -------------------------------------------------------------
 */

static bool
is_rate(const char *value)
{
	return value[0] != '\0' && strcmp(value, "none") != 0;
}

/* A lane's own rate, where the account has none of that kind. */
static void
check_rate(struct checkup *c, const struct site_lane *lane, const char *name,
    const char *own, const char *account_name, const char *of_account)
{
	if (!is_rate(own) || is_rate(of_account))
		return;
	findings_add(&c->findings, "FLEET-LIMITS", FINDING_WARNING,
	    lane_name(lane),
	    "%s = %s is each host's own: %d hosts send that %d times; what "
	    "they share is %s",
	    name, own, lane->set.lane_fleet_size, lane->set.lane_fleet_size,
	    account_name);
	fix_main(c, account_name, own);
}

static void
check_limits(struct checkup *c, const struct site_lane *lane)
{
	const struct settings *s = &lane->set;

	if (s->lane_fleet_size == 1)
		return;
	check_rate(c, lane, "lane_message_rate_limit",
	    s->lane_message_rate_limit, "lane_account_message_rate_limit",
	    s->lane_account_message_rate_limit);
	check_rate(c, lane, "lane_recipient_rate_limit",
	    s->lane_recipient_rate_limit, "lane_account_recipient_rate_limit",
	    s->lane_account_recipient_rate_limit);
	check_rate(c, lane, "lane_byte_rate_limit", s->lane_byte_rate_limit,
	    "lane_account_byte_rate_limit", s->lane_account_byte_rate_limit);
}

/* What is under way when a share shrinks goes on, and has a quarter of the ttl
 * for that. */
static void
check_ttl(struct checkup *c, const struct model_lane *lane)
{
	const struct board_hist *wire = &lane->hists[BOARD_HIST_wire_time];
	int64_t ttl_us = lane->site->set.lane_fleet_ttl_us, longest_us, need_s;
	char longest[SAY_SIZE], ttl[SAY_SIZE], value[SAY_SIZE];

	if (wire->count == 0)
		return;
	longest_us = (int64_t)board_hist_quantile(wire, 1.0);
	if (longest_us <= ttl_us / 4)
		return;
	findings_add(&c->findings, "FLEET-TTL", FINDING_WARNING, lane->name,
	    "a message has taken up to %s, more than a quarter of "
	    "lane_fleet_ttl, %s: when a share shrinks, what is under way may "
	    "be over it for a moment",
	    say_time(longest_us, longest, sizeof(longest)),
	    say_time(ttl_us, ttl, sizeof(ttl)));
	need_s = longest_us / US_PER_S * 4 + 4;
	if (need_s > 3600)
		return;
	(void)snprintf(value, sizeof(value), "%" PRId64 "s", need_s);
	fix_main(c, "lane_fleet_ttl", value);
	findings_advise(&c->findings, "it must be the same on all hosts");
}

/* By the account that they have, or will have. */
static bool
have_one_account(const struct model_lane *a, const struct model_lane *b)
{
	const char *name = a->site->set.lane_account;

	return (a->account >= 0 && a->account == b->account) ||
	       (name[0] != '\0' &&
		   strcmp(name, b->site->set.lane_account) == 0);
}

/* A lane of the same account, but of no fleet or another one. */
static void
check_neighbours(
    struct checkup *c, const struct model *m, const struct model_lane *lane)
{
	const char *own = lane->site->set.lane_fleet, *other;

	for (size_t i = 0; i < m->lane_count; i++) {
		const struct model_lane *l = &m->lanes[i];

		if (l == lane || l->site == NULL ||
		    !have_one_account(lane, l) ||
		    strcmp(own, l->site->set.lane_fleet) == 0)
			continue;
		other = l->site->set.lane_fleet;
		findings_add(&c->findings, "FLEET-LANES", FINDING_ERROR,
		    lane->name,
		    "lane_fleet is %s here and %s%s in lane %s of the same "
		    "account: what that one uses no other host knows of, and "
		    "together they may use more than the limit",
		    own, other[0] == '\0' ? "empty" : "", other, l->name);
		findings_advise(
		    &c->findings, "set lane_fleet in main.cf, for all lanes");
		return;
	}
}

static void
check_lanes(struct checkup *c, const struct model *m)
{
	for (size_t i = 0; i < m->lane_count; i++) {
		const struct model_lane *lane = &m->lanes[i];

		if (lane->site == NULL || lane->site->set.lane_fleet[0] == '\0')
			continue;
		check_neighbours(c, m, lane);
		check_limits(c, lane->site);
		check_ttl(c, lane);
	}
}

void
checkup_fleet(struct checkup *c)
{
	struct model *m = model_read(c->site, clock_moment());
	struct fleetview v;

	fleetview_read(&v, m);
	for (size_t i = 0; i < v.engine_count; i++)
		check_engine(c, &v.engines[i]);
	for (size_t i = 0; i < v.account_count; i++)
		check_account(c, &v, &v.accounts[i]);
	if (v.engine_count > 0)
		check_lanes(c, m);
	fleetview_fini(&v);
	model_free(&m);
}
