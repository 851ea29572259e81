/* postlane: what operators look at lanes with; postlane(1). */
#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sysexits.h>
#include <unistd.h>

#include "common/base/clock.h"
#include "common/base/mem.h"
#include "common/base/release.h"
#include "monitor/postlane/command.h"

enum { NUMBER_MAX = 86400 };

enum takes {
	TAKES_LANE = 1, /* its first argument is one */
	TAKES_DOMAIN = 2, /* ... or a recipient domain */
	TAKES_TIME = 4, /* --for */
	TAKES_FILTER = 8, /* --to, --count */
	TAKES_SETUP = 16, /* --apply, --undo, --name */
	TAKES_SETTINGS = 32, /* -o */
	LOOKS = 64, /* at what lanes keep: not for everybody */
};

static const struct verb {
	const char *name, *arguments, *about;
	int (*run)(struct command *c); /* NULL: help */
	int arguments_min, arguments_max;
	unsigned takes;
	const char *example; /* what stands behind its name */
} verbs[] = {
    {"status", "[LANE]",
	"How each lane is in one sentence, its limits and who set them, what "
	"waits and when it\n  is gone; and how full each account is. Exit "
	"status: 0 well; 1 slowed, paused or\n  alarm; 2 not running.",
	status_run, 0, 1, TAKES_LANE | LOOKS, "slow"},
    {"why", "QUEUEID [RECIPIENT]",
	"Where it is, what it waits for, which setting in which file says "
	"so, its place and\n  when its turn comes; or why Postfix deferred "
	"it, and until when.",
	why_run, 1, 2, 0, "0DC70A7C4B6"},
    {"sessions", "[LANE]",
	"The open sessions, each with what it does. UNDER/MAX: messages that "
	"are unanswered\n  on it, and how many may be.",
	sessions_run, 0, 1, TAKES_LANE | LOOKS, "slow"},
    {"top", "", "All of it on a terminal, each second, with keys.", top_run, 0,
	0, LOOKS, ""},
    {"forecast", "[LANE]",
	"When what waits will be gone. AT LEAST: what the limits in force "
	"make of it, however\n  fast the smarthost is.",
	forecast_run, 0, 1, TAKES_LANE | LOOKS, "slow"},
    {"trace", "LANE [--to RECIPIENT] [--count NUMBER]",
	"The dialogue with the smarthost as it happens: each line with its "
	"time and what\n  passed since the one before; logins hidden, content "
	"counted. --to: of messages for\n  one recipient; --count: until so "
	"many messages had their end.",
	trace_run, 1, 1, TAKES_LANE | TAKES_FILTER, "slow --count 5"},
    {"pause", "LANE|DOMAIN [LANE] [--for TIME|--until TIME]",
	"Send nothing: what is on the wire ends, mail waits in the queue. Of "
	"a recipient\n  domain (example.com, .example.com for all below it, "
	"domain:NAME for one without\n  a dot, or with a lane's name): "
	"nothing to that one, by all lanes or by one.",
	pause_run, 1, 2, TAKES_LANE | TAKES_DOMAIN | TAKES_TIME,
	"example.com --for 1h"},
    {"drain", "LANE [--for TIME|--until TIME]",
	"Send what is inside, and nothing that comes from now on.", drain_run,
	1, 1, TAKES_LANE | TAKES_TIME, "slow --until 08:00"},
    {"resume", "LANE|DOMAIN [LANE]", "The end of pause and drain.", resume_run,
	1, 2, TAKES_LANE | TAKES_DOMAIN, "slow"},
    {"rate", "LANE RATE|PERCENT|default [--for TIME|--until TIME]",
	"Another lane_message_rate_limit, such as 5/1s or none, or 50% of the "
	"one that is set.",
	rate_run, 2, 2, TAKES_LANE | TAKES_TIME, "slow 5/1s --until 08:00"},
    {"connections", "LANE NUMBER|default [--for TIME|--until TIME]",
	"Another lane_connection_limit.", connections_run, 2, 2,
	TAKES_LANE | TAKES_TIME, "slow 1 --for 1h"},
    {"retry", "[LANE]",
	"Dial now, and call back what was deferred for want of a host.",
	retry_run, 0, 1, TAKES_LANE, "slow"},
    {"probe", "[LANE] [NEXTHOP]",
	"What a lane finds at its smarthost: addresses, TLS, offers, login, "
	"times. No\n  mail is sent.",
	probe_run, 0, 2, 0, "slow"},
    {"doctor", "",
	"Do Postfix and lanes fit together? What is set where, what is "
	"wrong, and the\n  command that repairs it. Exit status: 0 well, 1 a "
	"warning, 2 an error.",
	doctor_run, 0, 0, 0, ""},
    {"setup",
	"[NEXTHOP] [--provider NAME|none] [--no-login [--tls LEVEL]]\n"
	"       [--name NAME] [--apply|--undo]",
	"Two lanes to a smarthost, with the limits of its provider: what "
	"would be changed in\n  main.cf and master.cf; --apply does it, --undo "
	"takes it back, octet for octet\n  (without NEXTHOP). --provider: "
	"where NEXTHOP does not tell whose it is. --no-login:\n  a relay that "
	"asks for none, with --tls none, may, encrypt, verify, else secure. "
	"--name:\n  of more lanes.",
	setup_run, 0, 1, TAKES_SETUP, "[mail.provider.example]:587"},
    {"replay", "LOG [LANE] [-o NAME=VALUE]...",
	"The mail of a day's log once more, in seconds, with other settings "
	"(none: those in\n  force): waits, sessions, quotas, when a backlog "
	"would have gone. LOG may be\n  compressed by gzip; - is standard "
	"input, as of journalctl -o short-iso-precise.",
	replay_run, 1, 2, TAKES_SETTINGS,
	"/var/log/mail.log slow -o lane_message_rate_limit=5/1s"},
    {"fleet", "[forget HOST]",
	"The hosts that share an account: what each has of each limit, its "
	"own part, what it\n  could use, its lease, when it was heard of; and "
	"the engine. forget: HOST is gone for\n  good, others may have its "
	"part. Exit status: 0 well, 1 not.",
	fleet_run, 0, 2, 0, ""},
    {"anonymize", "ADDRESS",
	"What the log shows in its place with lane_log_anonymize, to look for "
	"it.",
	anonymize_run, 1, 1, 0, "joe@example.com"},
    {"help", "[VERB]", "This text, or that of one verb.", NULL, 0, 1, 0, "why"},
};

enum { VERBS = sizeof(verbs) / sizeof(verbs[0]) };

/* ---- the command line --------------------------------------------------- */

static const struct {
	const char *question, *answer;
} questions[] = {
    {"Is it healthy?", "postlane"},
    {"Is my configuration right?", "postlane doctor, before the reload"},
    {"How fast is it, what limits it?", "postlane status LANE"},
    {"Why does this message wait?", "postlane why QUEUEID"},
    {"When is the queue empty?", "postlane forecast"},
    {"How full is the account?", "postlane status: the lines of \"account\""},
    {"  ... of all hosts that share it?", "postlane fleet"},
    {"Is the provider down?", "postlane probe LANE"},
    {"Does it refuse our password?",
	"postlane doctor: the right one into the table"},
    {"Is the provider pushing back?",
	"postlane status: \"slowed\", \"learned\", \"refused\""},
    {"  ... in its own words?", "postlane trace LANE"},
    {"What happens if I change this?",
	"postlane replay /var/log/mail.log -o ..."},
    {"  ... for an hour, at once?", "postlane rate LANE 50% --for 1h"},
    {"  ... until tomorrow morning?", "postlane rate LANE 5/1s --until 08:00"},
    {"How do I stop it for a while?", "postlane pause LANE|DOMAIN --for 1h"},
    {"How do I begin?", "postlane setup NEXTHOP"},
};

static void
print_help(FILE *to)
{
	(void)fprintf(to,
	    "usage: postlane [-hjqV] [-c config_dir] [-w seconds] "
	    "[verb [argument]...]\n\n");
	for (size_t i = 0; i < sizeof(questions) / sizeof(questions[0]); i++)
		(void)fprintf(to, "  %-32s %s\n", questions[i].question,
		    questions[i].answer);
	(void)fprintf(to, "\n");
	for (size_t i = 0; i < VERBS; i++)
		(void)fprintf(to, "%s%s%s\n  %s\n", verbs[i].name,
		    *verbs[i].arguments != '\0' ? " " : "", verbs[i].arguments,
		    verbs[i].about);
	(void)fprintf(to,
	    "\nWithout a verb: status. LANE is a service of master.cf, QUEUEID "
	    "as in the log or\n\"postqueue -p\". Only root and mail_owner may "
	    "look and steer. What lanes are told\nholds at once, over "
	    "reloads, --for 90s, 30m, 1h or 2d, --until 08:00 or "
	    "2026-12-31T08:00, or until\n\"resume\" or \"default\"; status "
	    "shows it, with who asked for it.\n"
	    "  -c  another config_directory than Postfix's own\n"
	    "  -j  JSON, one object a line, with a schema number\n"
	    "  -q  status, doctor: only what is not well\n"
	    "  -w  again every so many seconds\n"
	    "  -h  this text, -V: the version\n"
	    "More: man 1 postlane.\n");
}

static void
print_verb(const struct verb *verb)
{
	const char *gap = *verb->arguments != '\0' ? " " : "";
	char begin[64];
	size_t n;

	printf("usage: postlane %s%s%s\n\n  %s\n\n", verb->name, gap,
	    verb->arguments, verb->about);
	(void)snprintf(begin, sizeof(begin), "postlane %s", verb->name);
	n = strlen(begin);
	for (size_t i = 0; i < sizeof(questions) / sizeof(questions[0]); i++)
		if (strncmp(questions[i].answer, begin, n) == 0 &&
		    strchr(" :,", questions[i].answer[n]) != NULL)
			printf("  %-32s %s\n", questions[i].question,
			    questions[i].answer);
	printf("  %-32s %s%s%s\n", "For example:", begin,
	    *verb->example != '\0' ? " " : "", verb->example);
}

static const struct verb *
find_verb(const char *name)
{
	for (size_t i = 0; i < VERBS; i++)
		if (strcmp(verbs[i].name, name) == 0)
			return &verbs[i];
	return NULL;
}

/* Letters to change, to add or to leave out, as far as a verb goes. */
static size_t
slips_between(const char *a, const char *b)
{
	size_t row[32], n = strlen(b);

	if (n >= sizeof(row) / sizeof(row[0]))
		return SIZE_MAX;
	for (size_t k = 0; k <= n; k++)
		row[k] = k;
	for (size_t i = 0; a[i] != '\0'; i++) {
		size_t corner = row[0];

		row[0] = i + 1;
		for (size_t k = 0; k < n; k++) {
			size_t least = corner + (a[i] != b[k]);

			corner = row[k + 1];
			if (row[k] + 1 < least)
				least = row[k] + 1;
			if (corner + 1 < least)
				least = corner + 1;
			row[k + 1] = least;
		}
	}
	return row[n];
}

static bool
is_like(const char *name, const char *verb)
{
	size_t n = strlen(name);

	return (n >= 2 && strncmp(name, verb, n) == 0) ||
	       slips_between(name, verb) <= (n < 5 ? 1 : 2);
}

static bool
is_lane(const char *directory, const char *name)
{
	struct site site;
	char error[256];
	bool is_one;

	if (!site_open(&site, directory, error, sizeof(error)))
		return false;
	is_one = site_find(&site, name) != NULL;
	site_close(&site);
	return is_one;
}

/* What was meant, where that can be told. */
static void
complain_of_verb(const char *directory, const char *name)
{
	char like[256] = "";
	size_t n = 0;

	for (size_t i = 0; i < VERBS; i++)
		if (is_like(name, verbs[i].name) && n < sizeof(like))
			n += (size_t)snprintf(like + n, sizeof(like) - n,
			    "%s%s", n > 0 ? ", " : "", verbs[i].name);
	if (n > 0)
		command_complain("there is no verb \"%s\", but %s", name, like);
	else if (is_lane(directory, name))
		command_complain(
		    "there is no verb \"%s\": postlane status %s", name, name);
	else
		command_complain("there is no verb \"%s\"", name);
}

/* 1 to NUMBER_MAX; 0: it is none. */
static unsigned
number_of(const char *text)
{
	char *end;
	long n;

	errno = 0;
	n = strtol(text, &end, 10);
	return *text != '\0' && *end == '\0' && errno == 0 && n >= 1 &&
		       n <= NUMBER_MAX
		   ? (unsigned)n
		   : 0;
}

static bool
is_lane_of_site(const struct command *c)
{
	struct model *m = model_read(&c->site, clock_moment());
	bool is_there = model_find(m, c->lane) != NULL;

	if (!is_there) {
		command_complain("there is no lane \"%s\" in %s/master.cf",
		    c->lane, c->site.set.config_directory);
		if (m->lane_count == 0)
			command_complain(
			    "it has no lane at all: see postlane setup");
	}
	model_free(&m);
	return is_there;
}

static bool
is_target_right(const struct verb *verb, struct command *c)
{
	struct model *m;
	bool is_right;

	if ((verb->takes & TAKES_DOMAIN) == 0)
		return c->lane == NULL || is_lane_of_site(c);
	m = model_read(&c->site, clock_moment());
	is_right = command_target(c, m);
	model_free(&m);
	return is_right && (c->lane == NULL || is_lane_of_site(c));
}

/* Else a health check by the wrong user would find lanes that are down. */
static bool
may_look(const struct command *c)
{
	struct model *m = model_read(&c->site, clock_moment());
	const struct model_board *forbidden = NULL;

	for (size_t i = 0; i < m->board_count; i++)
		if (m->boards[i].is_forbidden)
			forbidden = &m->boards[i];
	if (forbidden != NULL)
		command_complain(
		    "%s: %s", forbidden->directory, forbidden->why);
	model_free(&m);
	return forbidden == NULL;
}

static int
run(const struct verb *verb, struct command *c, unsigned every_s)
{
	int status;

	if (!command_open(c))
		return EX_CONFIG;
	if ((verb->takes & LOOKS) != 0 && !may_look(c)) {
		site_close(&c->site);
		return EX_NOPERM;
	}
	for (;;) {
		if (!is_target_right(verb, c))
			status = EX_USAGE;
		else
			status = verb->run(c);
		if (fflush(stdout) != 0)
			status = EX_IOERR;
		if (every_s == 0 || status >= EX__BASE)
			break;
		(void)sleep(every_s);
		if (!command_renew(c))
			return EX_CONFIG;
	}
	site_close(&c->site);
	return status;
}

static int
usage(void)
{
	(void)fprintf(stderr, "postlane: \"postlane help\" tells more\n");
	return EX_USAGE;
}

static bool
is_usage_right(const struct verb *verb, const struct command *c)
{
	const char *takes =
	    *verb->arguments != '\0' ? verb->arguments : "no argument";

	if (c->argc > verb->arguments_max)
		command_complain(
		    "%s: too many arguments: it takes %s", verb->name, takes);
	else if (c->argc < verb->arguments_min)
		command_complain(
		    "%s: too few arguments: it takes %s", verb->name, takes);
	else if (c->for_s > 0 && (verb->takes & TAKES_TIME) == 0)
		command_complain(
		    "%s: it takes no --for or --until", verb->name);
	else if ((c->to != NULL || c->count > 0) &&
		 (verb->takes & TAKES_FILTER) == 0)
		command_complain(
		    "%s: it takes neither --to nor --count", verb->name);
	else if (c->override_count > 0 && (verb->takes & TAKES_SETTINGS) == 0)
		command_complain("%s: it takes no -o", verb->name);
	else if ((c->is_apply || c->is_undo || c->setup_name != NULL ||
		     c->provider != NULL || c->is_loginless ||
		     c->tls_level != NULL) &&
		 (verb->takes & TAKES_SETUP) == 0)
		command_complain(
		    "%s: it takes no --apply, --undo, --name, --provider, "
		    "--no-login, --tls",
		    verb->name);
	else
		return true;
	return false;
}

static const struct option long_options[] = {
    {"apply", no_argument, NULL, 'a'},
    {"name", required_argument, NULL, 'N'},
    {"no-login", no_argument, NULL, 'L'},
    {"provider", required_argument, NULL, 'p'},
    {"tls", required_argument, NULL, 'T'},
    {"undo", no_argument, NULL, 'u'},
    {"count", required_argument, NULL, 'n'},
    {"to", required_argument, NULL, 't'},
    {"for", required_argument, NULL, 'f'},
    {"until", required_argument, NULL, 'U'},
    {"help", no_argument, NULL, 'h'},
    {NULL, 0, NULL, 0},
};

/* What the options say. */
struct line {
	struct command c;
	const char **overrides; /* c.overrides; no more than there are words */
	unsigned every_s;
	bool is_help;
	int status; /* the process ends with it; -1: it goes on */
};

static unsigned
take_number(struct line *l, const char *option, const char *what)
{
	unsigned number = number_of(optarg);

	if (number == 0) {
		command_complain("bad option: %s %s: must be 1 to %d%s", option,
		    optarg, NUMBER_MAX, what);
		l->status = usage();
	}
	return number;
}

static void
take_option(struct line *l, int option)
{
	switch (option) {
	case 'a':
		l->c.is_apply = true;
		break;
	case 'c':
		l->c.directory = optarg;
		break;
	case 'f':
		if (!command_for(&l->c, optarg))
			l->status = usage();
		break;
	case 'h':
		l->is_help = true;
		break;
	case 'j':
		l->c.is_json = true;
		break;
	case 'L':
		l->c.is_loginless = true;
		break;
	case 'n':
		l->c.count = take_number(l, "--count", "");
		break;
	case 'N':
		l->c.setup_name = optarg;
		break;
	case 'o':
		l->overrides[l->c.override_count++] = optarg;
		break;
	case 'p':
		l->c.provider = optarg;
		break;
	case 'q':
		l->c.is_quiet = true;
		break;
	case 't':
		l->c.to = optarg;
		break;
	case 'T':
		l->c.tls_level = optarg;
		break;
	case 'U':
		if (!command_until(&l->c, optarg))
			l->status = usage();
		break;
	case 'u':
		l->c.is_undo = true;
		break;
	case 'V':
		l->status = puts(release_version()) < 0 ? EX_IOERR : EX_OK;
		break;
	case 'w':
		l->every_s = take_number(l, "-w", " seconds");
		break;
	default:
		l->status = usage();
		break;
	}
}

int
main(int argc, char **argv)
{
	struct line l = {.status = -1};
	const char *name = "status";
	const struct verb *verb;
	int option;

	l.overrides = mem_zarray((size_t)argc, sizeof(l.overrides[0]));
	l.c.overrides = l.overrides;
	while (l.status < 0 && (option = getopt_long(argc, argv,
				    "c:hjo:qVw:", long_options, NULL)) != -1)
		take_option(&l, option);
	if (l.status >= 0)
		return l.status;
	if (optind < argc)
		name = argv[optind++];
	else if (l.is_help)
		name = "help";
	verb = find_verb(name);
	if (verb != NULL && verb->run == NULL && optind < argc) {
		name = argv[optind];
		verb = find_verb(name);
		l.is_help = true;
	}
	if (verb == NULL) {
		complain_of_verb(l.c.directory, name);
		return usage();
	}
	if (verb->run == NULL)
		print_help(stdout);
	else if (l.is_help)
		print_verb(verb);
	if (verb->run == NULL || l.is_help)
		return fflush(stdout) == 0 ? EX_OK : EX_IOERR;
	l.c.argc = argc - optind;
	l.c.argv = argv + optind;
	if (!is_usage_right(verb, &l.c))
		return usage();
	if ((verb->takes & (TAKES_LANE | TAKES_DOMAIN)) == TAKES_LANE &&
	    l.c.argc > 0)
		l.c.lane = l.c.argv[0];
	return run(verb, &l.c, l.every_s);
}
