#include "agent/settings/dryrun.h"

#include <ctype.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "agent/settings/config.h"
#include "agent/settings/options.h"
#include "agent/settings/params.h"
#include "agent/settings/provider_set.h"
#include "common/smtp/dsn.h"
#include "common/base/log.h"
#include "common/base/mem.h"

enum { STATUS_NONE = 1, STATUS_WRONG = 2 };

struct dryrun {
	struct options opt;
	struct settings set;
	struct problems problems;
	struct provider_set provider;
};

bool
dryrun_is_wanted(int argc, char *const *argv)
{
	return argc > 1 &&
	       (strcmp(argv[1], "-R") == 0 || strcmp(argv[1], "-P") == 0);
}

/* what is wrong with word, or NULL: too few words. */
static int
usage(const char *what, const char *word)
{
	char stages[128];

	if (what != NULL)
		(void)fprintf(stderr, "lane: bad %s \"%s\"\n", what, word);
	rule_stage_names(stages, sizeof(stages));
	(void)fprintf(stderr,
	    "usage: lane -R STAGE 'REPLY' [-o name=value]...\n"
	    "       lane -P [-o name=value]...\n"
	    "STAGE: %s\n"
	    "REPLY: its code and text, such as '450 4.2.0 try later'\n",
	    stages);
	return STATUS_WRONG;
}

static bool
is_reply(const char *text)
{
	return isdigit((unsigned char)text[0]) &&
	       isdigit((unsigned char)text[1]) &&
	       isdigit((unsigned char)text[2]);
}

static bool
is_overridden(const struct options *opt, const char *name)
{
	for (size_t i = 0; i < opt->override_count; i++)
		if (strcmp(opt->overrides[i].name, name) == 0)
			return true;
	return false;
}

/* Without a readable main.cf: what was given with -o, and the provider's. */
static void
do_without_postfix(struct dryrun *d)
{
	struct problems told = {0};
	char value[512];

	for (size_t i = 0; i < d->opt.override_count; i++) {
		const struct option_override *o = &d->opt.overrides[i];

		if (params_find(o->name) != NULL)
			(void)params_set(&d->set, params_find(o->name),
			    o->value, &d->problems);
	}
	provider_set_load(&d->provider, &d->set, &told);
	for (size_t i = 0; i < params_count(); i++) {
		const struct param *param = params_get(i);

		if (params_is_ours(param) &&
		    !is_overridden(&d->opt, param->name) &&
		    provider_set_value(
			&d->provider, param->name, value, sizeof(value), NULL))
			(void)params_set(&d->set, param, value, &told);
	}
	problems_fini(&told);
	provider_set_fini(&d->provider);
}

/* The words from argv[skip] on are options as in master.cf. What is wrong goes
 * to stderr; false: that is more than an unreadable main.cf. */
static bool
load(struct dryrun *d, int argc, char *const *argv, int skip)
{
	struct problems provider_problems = {0};
	char **words = mem_zarray((size_t)argc + 1, sizeof(words[0]));
	bool is_good, has_postfix;
	int count = 0;

	words[count++] = argv[0];
	for (int i = skip; i < argc; i++)
		words[count++] = argv[i];
	options_parse(&d->opt, count, words, &d->problems);
	is_good = d->problems.count == 0;
	has_postfix = config_load(&d->set, NULL, &d->opt, &d->problems);
	/* Without main.cf there is one that says so. */
	if (has_postfix && d->problems.count > 0)
		is_good = false;
	if (!has_postfix)
		do_without_postfix(d);
	provider_set_load(&d->provider, &d->set, &provider_problems);
	for (size_t i = 0; i < provider_problems.count; i++) {
		/* Otherwise config_load() has told it. */
		if (!has_postfix)
			problems_addf(
			    &d->problems, "%s", provider_problems.text[i]);
		is_good = false;
	}
	for (size_t i = 0; i < d->problems.count; i++)
		(void)fprintf(stderr, "lane: %s\n", d->problems.text[i]);
	problems_fini(&provider_problems);
	mem_free(words);
	return is_good;
}

static void
unload(struct dryrun *d)
{
	provider_set_fini(&d->provider);
	problems_fini(&d->problems);
	settings_free(&d->set);
	options_fini(&d->opt);
}

/* ---- -R ---------------------------------------------------------------- */

static void
print_wait(int64_t ms)
{
	long long s = ms / 1000;

	if (s == 0)
		return;
	(void)printf(", for %lld s", s);
	if (s >= 120)
		(void)printf(" (%lld h %lld min)", s / 3600, s % 3600 / 60);
}

static const char *
what_becomes_of_mail(const struct rule_hit *hit, int code)
{
	switch (hit->outcome) {
	case RULE_OK:
		break;
	case RULE_RECONNECT:
	case RULE_CONNECTIONS:
		return "kept: it goes over another session at once";
	case RULE_SLOW:
		return "kept: it is tried again within lane_hold_limit";
	case RULE_PAUSE:
		return "kept: it is tried again, or deferred when the pause "
		       "is longer than lane_hold_limit";
	case RULE_ALARM:
		return "kept: it stays in the queue";
	case RULE_DEFER:
		return "deferred";
	case RULE_BOUNCE:
		return "returned to its sender";
	}
	if (code == 421)
		return "kept: it goes over another session at once";
	return code / 100 == 2 || code / 100 == 3 ? "as it should be"
	       : code / 100 == 5 ? "refused: returned to its sender"
				 : "deferred";
}

static int
answer(const struct dryrun *d, enum rule_stage stage, char *text)
{
	char status[DSN_STATUS_SIZE] = "";
	struct rules_query q = {stage, 0, status, text, time(NULL)};
	struct rule_hit hit;
	size_t n;
	bool is_hit;

	for (int i = 0; i < 3; i++)
		q.code = q.code * 10 + (text[i] - '0');
	n = strlen(text) > 4 ? dsn_status_length(text + 4, strlen(text + 4))
			     : 0;
	(void)snprintf(status, sizeof(status), "%.*s", (int)n, text + 4);
	is_hit = rules_match(d->provider.rules, &q, &hit);
	(void)printf("reply    %d, enhanced code %s, at %s\n", q.code,
	    status[0] != '\0' ? status : "none", rule_stage_name(stage));
	if (is_hit)
		(void)printf(
		    "rule     %s:%d: %s\n", hit.file, hit.line, hit.why);
	else
		(void)printf("rule     none\n");
	(void)printf("outcome  %s: %s", rule_outcome_name(hit.outcome),
	    rule_outcome_words(hit.outcome));
	print_wait(hit.wait_ms);
	(void)printf("\nmail     %s\n", what_becomes_of_mail(&hit, q.code));
	return is_hit ? 0 : STATUS_NONE;
}

static int
ask(int argc, char *const *argv)
{
	struct dryrun d = {.opt = {.socket_count = 0}};
	enum rule_stage stage;
	int status = STATUS_WRONG;
	char *text;

	if (argc < 4)
		return usage(NULL, NULL);
	if (!rule_stage_find(slice_str(argv[2]), &stage))
		return usage("STAGE", argv[2]);
	if (!is_reply(argv[3]))
		return usage("REPLY", argv[3]);
	text = mem_strdup(argv[3]);
	for (char *p = text; *p != '\0'; p++)
		if (*p == '\n' || *p == '\r')
			*p = ' ';
	log_safe(text, strlen(text));
	/* Rules that were read in part may give a wrong answer. */
	if (load(&d, argc, argv, 4))
		status = answer(&d, stage, text);
	mem_free(text);
	unload(&d);
	return status;
}

/* ---- -P ---------------------------------------------------------------- */

/* The parameters a preset can fill, with what is in force. */
static void
print_parameters(const struct dryrun *d)
{
	for (size_t i = 0; i < params_count(); i++) {
		const struct param *param = params_get(i);
		const struct provider_limit *from;
		char known[512];
		char *text;

		if (!provider_set_value(
			&d->provider, param->name, known, sizeof(known), &from))
			continue;
		text = params_text(&d->set, param);
		(void)printf("  %s = %s", param->name, text);
		if (strcmp(text, known) == 0)
			(void)printf("   (line %d)\n", from->line);
		else
			(void)printf(
			    "   (set; line %d says %s)\n", from->line, known);
		mem_free(text);
	}
}

static void
print_limit(const struct provider *p, const struct provider_limit *l)
{
	const struct provider_source *source =
	    provider_find_source(p, l->source);
	const char *parameter = provider_parameter(l);

	(void)printf("  %d: %s %s per %s, %s", l->line,
	    provider_unit_name(l->unit), l->value,
	    provider_scope_name(l->scope), provider_standing_name(l->standing));
	if (source != NULL)
		(void)printf(" (%s, read %s)", source->where, source->read_on);
	if (l->remark[0] != '\0')
		(void)printf(" # %s", l->remark);
	(void)printf("\n");
	if (parameter == NULL)
		(void)printf("      for no parameter of lane's%s\n",
		    l->unit == PROVIDER_RECIPIENTS_PER_MESSAGE
			? ": set T_destination_recipient_limit in main.cf"
			: "");
	else if (params_find(parameter) == NULL)
		(void)printf(
		    "      not used: this release has no %s\n", parameter);
	else if (!provider_is_applied(l))
		(void)printf("      not used: if it is true for you, set "
			     "%s\n",
		    parameter);
}

static void
print_preset(const struct dryrun *d)
{
	const struct provider *p = &d->provider.preset;

	if (d->set.lane_provider[0] == '\0')
		(void)printf("lane_provider is not set\n");
	else
		(void)printf("%s\n%s\n", p->file, p->about);
	if (p->limit_count > 0)
		(void)printf("\nin force:\n");
	print_parameters(d);
	if (p->limit_count > 0)
		(void)printf("\nknown:\n");
	for (size_t i = 0; i < p->limit_count; i++)
		print_limit(p, &p->limits[i]);
	for (size_t i = 0; i < p->note_count; i++)
		(void)printf("\n%s\n", p->notes[i]);
	(void)printf("\nrules: %zu own, %zu of the provider, %zu general\n",
	    d->provider.own_rules, d->provider.provider_rules,
	    d->provider.general_rules);
}

static int
show(int argc, char *const *argv)
{
	struct dryrun d = {.opt = {.socket_count = 0}};
	bool is_good = load(&d, argc, argv, 2);

	if (is_good)
		print_preset(&d);
	unload(&d);
	return is_good ? 0 : STATUS_WRONG;
}

int
dryrun_main(int argc, char *const *argv)
{
	return strcmp(argv[1], "-R") == 0 ? ask(argc, argv) : show(argc, argv);
}
