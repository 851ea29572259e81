/* fleet: the hosts that share an account, and what becomes of one that is
 * gone. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sysexits.h>

#include <jansson.h>

#include "common/base/clean.h"
#include "common/base/clock.h"
#include "common/base/log.h"
#include "monitor/fleetview.h"
#include "monitor/model_json.h"
#include "monitor/postlane/command.h"
#include "monitor/say.h"

enum { AMOUNT_SIZE = 2 * SAY_SIZE + 8 };

/* ---- to be read ----------------------------------------------------------
 */

static void
print_engine(const struct fleetview_engine *e)
{
	const char *where = e->lane->set.lane_fleet;
	char up[SAY_SIZE];

	if (!e->answers) {
		printf("engine %s: does not answer: %s\n", where, e->why);
		return;
	}
	printf("engine %s: answers", where);
	if (e->version[0] != '\0')
		printf(": %s %s, up for %s", e->product, e->version,
		    say_ms(e->up_s * 1000, up, sizeof(up)));
	printf("\n");
	if (e->refused[0] != '\0')
		printf("  refuses      %s\n", e->refused);
}

static const char *
say_share(const struct fleetview_limit *l, const struct fleetview_host *h,
    char text[AMOUNT_SIZE])
{
	char share[SAY_SIZE], limit[SAY_SIZE];

	(void)snprintf(text, AMOUNT_SIZE, "%s of %s",
	    model_fleet_say(l->own, h->share, share, sizeof(share)),
	    model_fleet_say(l->own, l->own->limit, limit, sizeof(limit)));
	return text;
}

static void
print_host(const struct fleetview_limit *l, const struct fleetview_host *h)
{
	char share[AMOUNT_SIZE], base[SAY_SIZE], want[SAY_SIZE];
	char left[SAY_SIZE] = "-", heard[SAY_SIZE] = "-";
	bool is_gone = h->state == FLEETVIEW_GONE;

	if (h->left_us > 0)
		(void)say_time(h->left_us, left, sizeof(left));
	if (h->heard_us >= 0)
		(void)say_time(h->heard_us, heard, sizeof(heard));
	printf("  %-15s %16s %8s %8s %8s %8s  %-8s %s%s\n", l->own->unit,
	    is_gone ? "-" : say_share(l, h, share),
	    is_gone ? "-"
		    : model_fleet_say(l->own, l->own->base, base, sizeof(base)),
	    is_gone ? "-"
		    : model_fleet_say(l->own, h->want, want, sizeof(want)),
	    left, heard, fleetview_state_name(h->state), h->name,
	    h->is_here ? " (this host)" : "");
}

static bool
is_well(const struct fleetview_host *h)
{
	return h->state == FLEETVIEW_ALIVE || h->state == FLEETVIEW_GONE;
}

static void
print_rest(const struct fleetview_account *a, const struct fleetview_limit *l)
{
	const struct model_fleet *f = &a->account->fleet;
	char text[SAY_SIZE];

	if (!l->is_known)
		return;
	if (l->learns_us > 0)
		printf("  %-15s learns what hosts have, and lends nothing new "
		       "for %s at most\n",
		    l->own->unit, say_time(l->learns_us, text, sizeof(text)));
	if ((int64_t)l->count < f->size)
		printf("  %-15s %" PRId64 " of %" PRId64 " hosts were not "
		       "heard of since the engine began; their part is kept\n",
		    l->own->unit, f->size - (int64_t)l->count, f->size);
}

/* A host that needs less than its own part, and has no more. */
static bool
is_lent(const struct fleetview_limit *l, const struct fleetview_host *h)
{
	return is_well(h) && h->state != FLEETVIEW_GONE &&
	       h->share < l->own->base && h->want <= h->share;
}

/* Else it looks as if it had lost it. */
static void
print_lent(const struct model_fleet *f, const struct fleetview_account *a)
{
	for (size_t i = 0; i < f->count; i++)
		for (size_t k = 0; k < a->limits[i].count; k++)
			if (is_lent(&a->limits[i], &a->limits[i].hosts[k])) {
				printf("  SHARE below BASE: that host needs no "
				       "more at present; its BASE is back as "
				       "soon as it has mail\n");
				return;
			}
}

/* Of what others learned. */
static void
print_heard(const struct fleetview *v, const struct model_fleet *f)
{
	int64_t now_ms = model_wall_ms(v->m);
	char what[MODEL_FLEET_LESSON_SIZE], left[SAY_SIZE];

	for (size_t i = 0; i < f->heard_count; i++) {
		const struct model_fleet_lesson *l = &f->heard[i];

		if (!model_fleet_lesson_holds(f, l, now_ms))
			continue;
		printf("  %s", model_fleet_lesson_say(l, what, sizeof(what)));
		if (model_fleet_lesson_is_lasting(l))
			printf("; obeyed here, too, for %s",
			    say_ms(
				l->until_wall_ms - now_ms, left, sizeof(left)));
		printf("\n");
	}
}

static void
print_account(const struct command *c, const struct fleetview *v,
    const struct fleetview_account *a)
{
	const struct model_fleet *f = &a->account->fleet;
	const struct fleetview_engine *e = &v->engines[a->engine];

	if (!c->is_quiet) {
		printf("account %s: %s, one of %" PRId64 " hosts by %s%s\n",
		    a->account->label, f->name, f->size,
		    e->lane->set.lane_fleet,
		    e->answers ? "" : ", as it knows itself");
		printf("  %-15s %16s %8s %8s %8s %8s  %-8s %s\n", "LIMIT",
		    "SHARE", "BASE", "WANT", "LEASE", "HEARD", "STATE", "HOST");
	}
	for (size_t i = 0; i < f->count; i++) {
		const struct fleetview_limit *l = &a->limits[i];

		for (size_t k = 0; k < l->count; k++)
			if (!c->is_quiet || !is_well(&l->hosts[k]))
				print_host(l, &l->hosts[k]);
		if (!c->is_quiet)
			print_rest(a, l);
	}
	if (!c->is_quiet)
		print_lent(f, a);
	print_heard(v, f);
}

static void
print_view(const struct command *c, const struct fleetview *v)
{
	for (size_t i = 0; i < v->engine_count; i++)
		if (!c->is_quiet || !v->engines[i].answers)
			print_engine(&v->engines[i]);
	for (size_t i = 0; i < v->account_count; i++)
		print_account(c, v, &v->accounts[i]);
	if (v->account_count == 0 && !c->is_quiet)
		printf("no lane of this host has used an account yet that the "
		       "fleet shares\n");
}

/* ---- to be read by programs ----------------------------------------------
 */

static json_t *
host_json(const struct fleetview_host *h)
{
	json_t *o = json_pack("{s:s, s:b, s:s, s:I, s:I, s:I}", "name", h->name,
	    "is_here", h->is_here, "state", fleetview_state_name(h->state),
	    "share", (json_int_t)h->share, "want", (json_int_t)h->want,
	    "lease_left_ms", (json_int_t)(h->left_us / US_PER_MS));

	CHECK(o != NULL);
	(void)json_object_set_new(o, "heard_ms_ago",
	    h->heard_us < 0 ? json_null()
			    : json_integer(h->heard_us / US_PER_MS));
	return o;
}

static json_t *
limit_json(const struct fleetview_limit *l)
{
	json_t *hosts = json_array();

	for (size_t i = 0; i < l->count; i++)
		(void)json_array_append_new(hosts, host_json(&l->hosts[i]));
	return json_pack("{s:s, s:b, s:I, s:I, s:b, s:I, s:o}", "unit",
	    l->own->unit, "is_milli", l->own->is_milli, "limit",
	    (json_int_t)l->own->limit, "base", (json_int_t)l->own->base,
	    "is_known", l->is_known, "learns_ms",
	    (json_int_t)(l->learns_us / US_PER_MS), "hosts", hosts);
}

static json_t *
account_json(const struct fleetview *v, const struct fleetview_account *a)
{
	const struct model_fleet *f = &a->account->fleet;
	json_t *limits = json_array();

	for (size_t i = 0; i < f->count; i++)
		(void)json_array_append_new(limits, limit_json(&a->limits[i]));
	return json_pack("{s:o, s:s, s:I, s:o, s:o, s:o}", "account",
	    clean_string(a->account->label), "engine",
	    v->engines[a->engine].lane->set.lane_fleet, "size",
	    (json_int_t)f->size, "name", clean_string(f->name), "limits",
	    limits, "heard", model_json_fleet_heard(f));
}

static json_t *
engine_json(const struct fleetview_engine *e)
{
	return json_pack("{s:s, s:b, s:s, s:s, s:s, s:s, s:I}", "engine",
	    e->lane->set.lane_fleet, "answers", e->answers, "why", e->why,
	    "refused", e->refused, "product", e->product, "version", e->version,
	    "up_s", (json_int_t)e->up_s);
}

static void
print_json(const struct fleetview *v)
{
	json_t *engines = json_array(), *accounts = json_array();

	for (size_t i = 0; i < v->engine_count; i++)
		(void)json_array_append_new(
		    engines, engine_json(&v->engines[i]));
	for (size_t i = 0; i < v->account_count; i++)
		(void)json_array_append_new(
		    accounts, account_json(v, &v->accounts[i]));
	command_print_json(json_pack("{s:i, s:i, s:o, s:o}", "schema",
	    FLEETVIEW_SCHEMA, "status", fleetview_is_bad(v) ? 1 : 0, "engines",
	    engines, "accounts", accounts));
}

static int
view_run(const struct command *c, const struct fleetview *v)
{
	if (c->is_json)
		print_json(v);
	else
		print_view(c, v);
	return fleetview_is_bad(v) ? 1 : EX_OK;
}

/* ---- forget --------------------------------------------------------------
 */

static const struct fleetview_host *
host_of(const struct fleetview_limit *l, const char *name)
{
	for (size_t i = 0; i < l->count; i++)
		if (strcmp(l->hosts[i].name, name) == 0)
			return &l->hosts[i];
	return NULL;
}

/* False: it is no host that may be given up, which was told. */
static bool
may_forget(const struct fleetview_account *a, const char *name, int *status)
{
	const struct model_fleet *f = &a->account->fleet;
	char left[SAY_SIZE], heard[SAY_SIZE];

	if (strcmp(f->name, name) == 0) {
		command_complain("%s is this host: it is forgotten on another "
				 "one, when it is gone",
		    name);
		*status = EX_USAGE;
		return false;
	}
	for (size_t i = 0; i < f->count; i++) {
		const struct fleetview_host *h = host_of(&a->limits[i], name);

		if (h == NULL || h->left_us == 0)
			continue;
		command_complain("the engine heard of %s %s ago: %s of account "
				 "%s are its own for %s more",
		    name, say_time(h->heard_us, heard, sizeof(heard)),
		    a->limits[i].own->unit, a->account->label,
		    say_time(h->left_us, left, sizeof(left)));
		*status = EX_TEMPFAIL;
		return false;
	}
	return true;
}

struct forgetting {
	const struct command *c;
	const char *name;
	struct fleetlink link;
	int64_t now_ms;
	size_t done, unknown;
	int status; /* the worst */
};

static void
say_done(struct forgetting *f, const struct fleetview_account *a,
    const struct fleetview_limit *l, const char *what)
{
	char base[SAY_SIZE], limit[SAY_SIZE];

	f->done++;
	(void)model_fleet_say(l->own, l->own->base, base, sizeof(base));
	(void)model_fleet_say(l->own, l->own->limit, limit, sizeof(limit));
	if (f->c->is_json)
		command_print_json(json_pack("{s:i, s:s, s:o, s:s, s:s}",
		    "schema", FLEETVIEW_SCHEMA, "host", f->name, "account",
		    clean_string(a->account->label), "unit", l->own->unit,
		    "done", what));
	else
		command_say("%s: %s of account %s: %s: its %s of %s are for "
			    "the other hosts from now on, until it asks again",
		    f->name, l->own->unit, a->account->label, what, base,
		    limit);
}

static void
say_later(struct forgetting *f, const struct fleetview_account *a,
    const struct fleetview_limit *l, int64_t wait_us)
{
	int64_t until_ms = f->now_ms + wait_us / US_PER_MS;
	char left[SAY_SIZE], until[SAY_SIZE];

	f->status = EX_TEMPFAIL;
	command_complain("%s: %s of account %s: what it may have used counts "
			 "for %s longer: its part is kept until then, say it "
			 "again at %s",
	    f->name, l->own->unit, a->account->label,
	    say_time(wait_us, left, sizeof(left)),
	    say_clock(until_ms, f->now_ms, until, sizeof(until)));
}

static void
forget_limit(struct forgetting *f, const struct fleetview_account *a, size_t i)
{
	const struct fleetview_limit *l = &a->limits[i];
	int64_t wait_us;

	switch (fleetview_forget(&f->link, a, i, f->name, &wait_us)) {
	case FLEETVIEW_FORGOTTEN:
		say_done(f, a, l, "forgotten");
		return;
	case FLEETVIEW_WAS_GONE:
		say_done(f, a, l, "was forgotten before");
		return;
	case FLEETVIEW_IS_ALIVE:
		say_later(f, a, l, wait_us);
		return;
	case FLEETVIEW_UNKNOWN:
		f->unknown++;
		return;
	case FLEETVIEW_EMPTY:
		f->status = EX_TEMPFAIL;
		command_complain("%s: %s of account %s: no host asks the "
				 "engine, so it would not remember: say it "
				 "again when a lane of the fleet runs",
		    f->name, l->own->unit, a->account->label);
		return;
	case FLEETVIEW_FAILED:
		break;
	}
	f->status = EX_UNAVAILABLE;
	command_complain("%s: %s of account %s: the engine does not do it: %s",
	    f->name, l->own->unit, a->account->label,
	    !fleetlink_is_open(&f->link) ? f->link.why : f->link.refused);
}

static void
forget_account(struct forgetting *f, const struct fleetview *v,
    const struct fleetview_account *a)
{
	const struct fleetview_engine *e = &v->engines[a->engine];

	if (!fleetlink_open(&f->link, &e->lane->set)) {
		f->status = EX_UNAVAILABLE;
		command_complain("engine %s does not answer: %s",
		    e->lane->set.lane_fleet, f->link.why);
	} else {
		for (size_t i = 0; i < a->account->fleet.count; i++)
			forget_limit(f, a, i);
	}
	fleetlink_close(&f->link);
}

/* Somebody who may steer the lanes of the fleet. */
static bool
may_steer(const struct model *m)
{
	for (size_t i = 0; i < m->lane_count; i++)
		if (m->lanes[i].site != NULL &&
		    m->lanes[i].site->set.lane_fleet[0] != '\0')
			return command_may_steer(&m->lanes[i]);
	return true;
}

static int
forget_run(const struct command *c, const struct fleetview *v, const char *name)
{
	struct forgetting f = {
	    .c = c, .name = name, .now_ms = model_wall_ms(v->m)};

	if (!fleet_is_name(name)) {
		command_complain("%s is no name that a host of a fleet can "
				 "have: letters, digits, ., _ and -",
		    name);
		return EX_USAGE;
	}
	if (!may_steer(v->m))
		return EX_NOPERM;
	for (size_t i = 0; i < v->account_count; i++)
		if (!may_forget(&v->accounts[i], name, &f.status))
			return f.status;
	for (size_t i = 0; i < v->account_count; i++)
		forget_account(&f, v, &v->accounts[i]);
	if (f.status == EX_OK && f.done == 0) {
		command_complain("no account of the fleet has a host %s: see "
				 "\"postlane fleet\"",
		    name);
		return EX_NOHOST;
	}
	return f.status;
}

/* ---- the verb ------------------------------------------------------------
 */

static int
run(const struct command *c, const struct fleetview *v)
{
	if (v->engine_count == 0) {
		command_complain("no lane shares its account with other hosts: "
				 "lane_fleet is empty");
		return EX_CONFIG;
	}
	return c->argc == 0 ? view_run(c, v) : forget_run(c, v, c->argv[1]);
}

int
fleet_run(struct command *c)
{
	struct model *m;
	struct fleetview v;
	int status;

	if (c->argc > 0 &&
	    (c->argc != 2 || strcmp(c->argv[0], "forget") != 0)) {
		command_complain("fleet: it takes nothing, or \"forget HOST\"");
		return EX_USAGE;
	}
	m = model_read(&c->site, clock_moment());
	fleetview_read(&v, m);
	status = run(c, &v);
	fleetview_fini(&v);
	model_free(&m);
	return status;
}
