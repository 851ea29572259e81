/* model-mail: every way in which a delivery can go wrong, one after the other.
 *
 *   model-mail [--long] [--only NAME]       explores
 *   model-mail --only NAME --replay 17=3    one run, with its dialogue
 *
 * Each configuration is a server, a manner of talking and a number of sessions;
 * all its runs with one deviation from what is usual are had, and of some with
 * two or three (mail_world.h says what may deviate). A violation ends the
 * program with the choices that lead to it, which --replay takes. The last line
 * counts: happenings that no run before had are the states of the model.
 */
#include <getopt.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "common/base/log.h"
#include "common/base/mem.h"
#include "test/model/mail_world.h"

enum { ENDS_ROOM = 1 << 16, NAME_SIZE = 64, VARIANTS = 16 };

struct totals {
	uint64_t configurations, runs, choices, events;
	uint64_t ends[ENDS_ROOM]; /* hashes of what became of all; 0: none */
	size_t end_count;
};

static struct explore explore;
static char name[NAME_SIZE];

static const char *const mode_names[] = {
    [SESSION_BDAT] = "bdat",
    [SESSION_OVERLAP] = "overlap",
    [SESSION_GROUP] = "group",
    [SESSION_LOCKSTEP] = "lockstep",
};

static void
make_name(const struct model *m)
{
	(void)snprintf(name, sizeof(name), "%s%s%s-%s-%s-%d%s%s",
	    mode_names[m->mode], m->is_stranger ? "-stranger" : "",
	    m->words == SERVER_ALIKE ? "-alike" : "",
	    m->kind == SERVER_POSTFIX ? "postfix" : "exim",
	    m->order == MODEL_WHOLE ? "whole" : "singly", m->connections,
	    m->is_large ? "-large" : "", m->has_any_order ? "-any" : "");
}

/* A check of the code's own failed. */
static void
on_abort(int signo)
{
	(void)signo;
	(void)fprintf(
	    stderr, "%s: a check failed\n    --only %s --replay ", name, name);
	explore_print(&explore, stderr);
	_exit(1);
}

static void
note_end(struct totals *t, uint64_t hash)
{
	size_t i = hash % ENDS_ROOM;

	CHECK(t->end_count < ENDS_ROOM / 2);
	while (t->ends[i] != 0 && t->ends[i] != hash)
		i = (i + 1) % ENDS_ROOM;
	t->end_count += t->ends[i] == 0;
	t->ends[i] = hash;
}

static void
tell_wrong(const char *wrong)
{
	(void)fprintf(
	    stderr, "%s: %s\n    --only %s --replay ", name, wrong, name);
	explore_print(&explore, stderr);
}

/* Goes on to the end of the configuration, or to so many violations. */
static bool
explore_model(const struct model *m, int deviations, const char *replay,
    int wrong_max, struct totals *totals)
{
	struct mail_world *w;
	int wrong_count = 0;

	explore_begin(&explore, deviations);
	if (replay != NULL && !explore_replay(&explore, replay)) {
		(void)fprintf(stderr, "model-mail: malformed: %s\n", replay);
		return false;
	}
	w = mail_world_new(m, &explore);
	mail_world_tell(w, replay != NULL);
	while (wrong_count < wrong_max && explore_next(&explore)) {
		const char *wrong = mail_world_run(w);

		note_end(totals, ledger_hash(mail_world_ledger(w)));
		if (wrong != NULL) {
			wrong_count++;
			tell_wrong(wrong);
		}
	}
	totals->configurations++;
	totals->runs += explore.runs;
	totals->choices += explore.choices;
	totals->events += mail_world_events(w);
	mail_world_free(&w);
	explore_end(&explore);
	return wrong_count == 0;
}

/* The manners, as servers and what is known of them bring them about. */
static const struct model manners[] = {
    {.mode = SESSION_BDAT},
    {.mode = SESSION_BDAT, .is_stranger = true},
    {.mode = SESSION_BDAT, .is_stranger = true, .words = SERVER_ALIKE},
    {.mode = SESSION_BDAT, .is_large = true},
    {.mode = SESSION_OVERLAP},
    {.mode = SESSION_OVERLAP, .is_stranger = true, .words = SERVER_ALIKE},
    {.mode = SESSION_GROUP},
    {.mode = SESSION_LOCKSTEP},
};

struct task {
	bool is_long;
	const char *only, *replay;
	int deviations; /* 0: as is usual for each */
	int wrong_max; /* violations of a configuration that are told */
};

static int
deviations_of(const struct task *r, const struct model *m)
{
	if (r->deviations > 0)
		return r->deviations;
	return r->is_long && !m->is_large ? 2 : 1;
}

static bool
run_one(const struct task *r, const struct model *m, struct totals *totals)
{
	clock_t began = clock();
	uint64_t runs = totals->runs;

	make_name(m);
	if (r->only != NULL && strcmp(r->only, name) != 0)
		return true;
	if (!explore_model(
		m, deviations_of(r, m), r->replay, r->wrong_max, totals))
		return false;
	if (r->is_long || r->only != NULL)
		(void)printf("%-36s %9llu runs %7.1f s\n", name,
		    (unsigned long long)(totals->runs - runs),
		    (double)(clock() - began) / CLOCKS_PER_SEC);
	return true;
}

/* One of the variants of a manner. */
static struct model
variant(const struct model *manner, unsigned number)
{
	struct model m = *manner;

	m.connections = 1 + (int)(number & 1);
	m.order = (number & 2) != 0 ? MODEL_SINGLY : MODEL_WHOLE;
	m.kind = (number & 4) != 0 ? SERVER_EXIM : SERVER_POSTFIX;
	m.has_any_order = (number & 8) != 0;
	return m;
}

/* Those that are alike come far apart: what is wrong shows early. */
static bool
run_all(const struct task *r, struct totals *totals)
{
	bool is_right = true;

	for (unsigned number = 0; number < VARIANTS; number++)
		for (size_t k = 0; k < sizeof(manners) / sizeof(manners[0]);
		     k++) {
			struct model m = variant(&manners[k], number);

			is_right = run_one(r, &m, totals) && is_right;
			if (!is_right && r->wrong_max == 1)
				return false;
		}
	return is_right;
}

static bool
read_options(int argc, char **argv, struct task *r)
{
	static const struct option options[] = {
	    {"long", no_argument, NULL, 'l'},
	    {"only", required_argument, NULL, 'o'},
	    {"replay", required_argument, NULL, 'r'},
	    {"deviations", required_argument, NULL, 'd'},
	    {"wrong", required_argument, NULL, 'w'},
	    {NULL, 0, NULL, 0},
	};
	const char *env = getenv("POSTLANE_LONG");
	int c;

	*r = (struct task){
	    .is_long = env != NULL && *env != '\0', .wrong_max = 1};
	while ((c = getopt_long(argc, argv, "", options, NULL)) != -1) {
		if (c == 'l')
			r->is_long = true;
		else if (c == 'o')
			r->only = optarg;
		else if (c == 'r')
			r->replay = optarg;
		else if (c == 'd')
			r->deviations = (int)strtol(optarg, NULL, 10);
		else if (c == 'w')
			r->wrong_max = (int)strtol(optarg, NULL, 10);
		else
			return false;
	}
	return optind == argc && (r->replay == NULL || r->only != NULL);
}

int
main(int argc, char **argv)
{
	static struct totals totals;
	struct task r;
	bool is_right;

	if (!read_options(argc, argv, &r)) {
		(void)fprintf(stderr, "usage: model-mail [--long] "
				      "[--deviations N] [--wrong N] "
				      "[--only NAME [--replay CHOICES]]\n");
		return 2;
	}
	(void)signal(SIGABRT, on_abort);
	is_right = run_all(&r, &totals);
	(void)printf(
	    "model-mail: %llu configurations, %llu runs, %llu choices, %llu "
	    "happenings, %zu different ends, %.1f s%s\n",
	    (unsigned long long)totals.configurations,
	    (unsigned long long)totals.runs, (unsigned long long)totals.choices,
	    (unsigned long long)totals.events, totals.end_count,
	    (double)clock() / CLOCKS_PER_SEC, is_right ? "" : ", WRONG");
	return is_right && totals.configurations > 0 ? 0 : 1;
}
