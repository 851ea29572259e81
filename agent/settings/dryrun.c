#include "agent/settings/dryrun.h"

#include <ctype.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "agent/settings/config.h"
#include "agent/settings/discreet.h"
#include "agent/settings/foreign.h"
#include "agent/settings/options.h"
#include "agent/settings/params.h"
#include "agent/settings/provider_set.h"
#include "agent/settings/reply_examples.h"
#include "common/base/clock.h"
#include "common/base/log.h"
#include "common/base/mem.h"

enum { STATUS_NONE = 1, STATUS_WRONG = 2 };

struct dryrun {
	struct options opt;
	struct settings set;
	struct problems problems;
	struct provider_set provider;
	struct config_origins origins;
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
	    "       lane -R FILE.replies [-o name=value]...\n"
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

static int
code_of(const char *text)
{
	return (text[0] - '0') * 100 + (text[1] - '0') * 10 + (text[2] - '0');
}

static bool
is_override(const struct options *opt, const struct param *param)
{
	const char *old = params_old_name(param);

	return options_override(opt, param->name) != NULL ||
	       (old != NULL && options_override(opt, old) != NULL);
}

/* Without a readable main.cf: what was given with -o, and the provider's. */
static void
do_without_postfix(struct dryrun *d)
{
	struct problems told = {0};
	char value[512];

	for (size_t i = 0; i < d->opt.override_count; i++) {
		const struct option_override *o = &d->opt.overrides[i];
		const struct param *param = params_find(o->name);

		if (param == NULL)
			param = params_find_old(o->name);
		if (param != NULL)
			(void)params_set(
			    &d->set, param, o->value, &d->problems);
	}
	provider_set_load(&d->provider, &d->set, &told);
	for (size_t i = 0; i < params_count(); i++) {
		const struct param *param = params_get(i);
		bool is_given = is_override(&d->opt, param);

		if (is_given)
			d->origins.params[i] = CONFIG_COMMAND_LINE;
		if (params_is_ours(param) && !is_given &&
		    provider_set_value(&d->provider, param->name, value,
			sizeof(value), NULL) &&
		    params_set(&d->set, param, value, &told))
			d->origins.params[i] = CONFIG_PROVIDER;
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
	config_origins_init(&d->origins);
	has_postfix =
	    config_load(&d->set, NULL, &d->opt, &d->problems, &d->origins);
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
	for (size_t i = 0; i < d->problems.warning_count; i++)
		(void)fprintf(
		    stderr, "lane: warning: %s\n", d->problems.warning[i]);
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
	config_origins_fini(&d->origins);
}

/* ---- -R ---------------------------------------------------------------- */

static void
print_wait(int64_t us)
{
	long long s = us / US_PER_S;

	if (s == 0)
		return;
	(void)printf(", for %lld s", s);
	if (s >= 120)
		(void)printf(" (%lld h %lld min)", s / 3600, s % 3600 / 60);
}

static void
print_mail(const struct judgement *j, enum rule_stage stage, int code)
{
	if (judgement_is_heard_again(stage, code))
		(void)printf(
		    "mail     kept: it is tried once more, %s; when that\n"
		    "         is answered so, %s\n",
		    stage == RULE_EOD ? "by DATA if this is the first BDAT"
				      : "one command at a time",
		    judgement_fate_words(j->fate));
	else
		(void)printf("mail     %s\n", judgement_fate_words(j->fate));
	if (j->confirmed != j->fate)
		(void)printf(
		    "         then %s\n", judgement_fate_words(j->confirmed));
	if ((j->outcome == RULE_OK || j->outcome == RULE_ALARM) &&
	    judgement_wants_login(stage, code, j->status) != JUDGEMENT_LOGIN_NO)
		(void)printf(
		    "login    where smtp_sasl_password_maps has none for a "
		    "host that offers AUTH:\n"
		    "         kept, with an alarm, until the host has taken a "
		    "message without one\n");
}

static int
answer(const struct dryrun *d, enum rule_stage stage, const char *text)
{
	struct judgement j;
	int code = code_of(text);
	bool is_hit;

	judgement_of(&j, d->provider.rules, stage, code, text, time(NULL));
	is_hit = j.hit.file != NULL;
	(void)printf("reply    %d, enhanced code %s, at %s\n", code,
	    j.status[0] != '\0' ? j.status : "none", rule_stage_name(stage));
	if (is_hit)
		(void)printf(
		    "rule     %s:%d: %s\n", j.hit.file, j.hit.line, j.hit.why);
	else
		(void)printf("rule     none\n");
	(void)printf("outcome  %s: %s", rule_outcome_name(j.outcome),
	    rule_outcome_words(j.outcome));
	print_wait(j.wait_us);
	if (j.witness != WITNESS_NONE)
		(void)printf("; %s", judgement_witness_words(j.witness));
	(void)printf("\n");
	print_mail(&j, stage, code);
	return is_hit ? 0 : STATUS_NONE;
}

/* As the lane has it from the server: one line. */
static char *
as_one_line(const char *reply)
{
	char *text = mem_strdup(reply);

	for (char *p = text; *p != '\0'; p++)
		if (*p == '\n' || *p == '\r')
			*p = ' ';
	log_safe(text, strlen(text));
	return text;
}

/* ---- -R FILE.replies --------------------------------------------------- */

struct comparison {
	const struct dryrun *d;
	const char *file;
	int count, differ;
};

static void
compare(void *ctx, int line, enum rule_stage stage, const char *word,
    const char *reply)
{
	struct comparison *c = ctx;
	char *text = as_one_line(reply);
	struct judgement j;

	judgement_of(
	    &j, c->d->provider.rules, stage, code_of(text), text, time(NULL));
	c->count++;
	if (strcmp(judgement_word(&j), word) != 0) {
		c->differ++;
		(void)printf("%s:%d: %s: %s, not %s: %s", c->file, line,
		    rule_stage_name(stage), judgement_word(&j), word, text);
		if (j.hit.file != NULL)
			(void)printf(" (%s:%d)", j.hit.file, j.hit.line);
		(void)printf("\n");
	}
	mem_free(text);
}

static int
compare_all(struct comparison *c, struct slice text)
{
	struct buf errors;
	bool is_good;

	buf_init(&errors, RULES_FILE_MAX);
	is_good = reply_examples_each(c->file, text, compare, c, &errors);
	(void)fprintf(stderr, "%s", buf_str(&errors));
	buf_fini(&errors);
	(void)printf("%s: %d replies, %d judged otherwise\n", c->file, c->count,
	    c->differ);
	return !is_good ? STATUS_WRONG : c->differ > 0 ? STATUS_NONE : 0;
}

/* The file's provider, as if it were given before the other options. */
static int
ask_file(int argc, char *const *argv)
{
	struct dryrun d = {.opt = {.socket_count = 0}};
	struct comparison c = {&d, argv[2], 0, 0};
	char **words = mem_zarray((size_t)argc + 3, sizeof(words[0]));
	int count = 0, status = STATUS_WRONG, error;
	struct slice name;
	struct buf text;
	char *option, dash_o[] = "-o";

	buf_init(&text, RULES_FILE_MAX);
	error = provider_read_file(argv[2], &text);
	if (error != 0)
		(void)fprintf(
		    stderr, "lane: %s: %s\n", argv[2], strerror(error));
	name = reply_examples_provider(buf_slice(&text));
	option = mem_printf("lane_provider=%.*s", (int)name.n, name.p);
	words[count++] = argv[0];
	if (name.n > 0) {
		words[count++] = dash_o;
		words[count++] = option;
	}
	for (int i = 3; i < argc; i++)
		words[count++] = argv[i];
	if (buf_len(&text) > 0 && load(&d, count, words, 1))
		status = compare_all(&c, buf_slice(&text));
	unload(&d);
	mem_free(option);
	mem_free(words);
	buf_fini(&text);
	return status;
}

static bool
is_file(const char *word)
{
	size_t n = strlen(word);

	return n > 8 && strcmp(word + n - 8, ".replies") == 0;
}

static int
ask(int argc, char *const *argv)
{
	struct dryrun d = {.opt = {.socket_count = 0}};
	enum rule_stage stage;
	int status = STATUS_WRONG;
	char *text;

	if (argc > 2 && is_file(argv[2]))
		return ask_file(argc, argv);
	if (argc < 4)
		return usage(NULL, NULL);
	if (!rule_stage_find(slice_str(argv[2]), &stage))
		return usage("STAGE", argv[2]);
	if (!is_reply(argv[3]))
		return usage("REPLY", argv[3]);
	text = as_one_line(argv[3]);
	/* Rules that were read in part may give a wrong answer. */
	if (load(&d, argc, argv, 4))
		status = answer(&d, stage, text);
	mem_free(text);
	unload(&d);
	return status;
}

/* ---- -P ---------------------------------------------------------------- */

/* The parameters a provider can fill, with what is in force. */
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
print_origin(const struct dryrun *d, size_t i)
{
	const struct param *param = params_get(i);
	const struct provider_limit *from;
	char ignored[512];

	switch (d->origins.params[i]) {
	case CONFIG_BUILT_IN:
		(void)printf("default: %s", param->fallback);
		return;
	case CONFIG_CLASS:
		(void)printf("class=%s", d->opt.class);
		return;
	case CONFIG_PROVIDER:
		if (provider_set_value(&d->provider, param->name, ignored,
			sizeof(ignored), &from))
			(void)printf(
			    "%s:%d", d->provider.chosen.file, from->line);
		return;
	case CONFIG_MAIN_CF:
		(void)printf("main.cf");
		return;
	case CONFIG_COMMAND_LINE:
		(void)printf("-o");
		return;
	}
}

/* What is set, whatever it is set to, and what is not as params_table.c has
 * it; a default that refers to other parameters is shown for what it came
 * to. */
static void
print_effective(const struct dryrun *d)
{
	(void)printf("\neffective (the others have their defaults):\n");
	for (size_t i = 0; i < params_count(); i++) {
		const struct param *param = params_get(i);
		char *text;

		if (!params_is_ours(param) ||
		    (d->origins.params[i] == CONFIG_BUILT_IN &&
			strchr(param->fallback, '$') == NULL))
			continue;
		text = discreet_value(&d->set, param);
		(void)printf("  %s = %s   # ", param->name, text);
		print_origin(d, i);
		(void)printf("\n");
		mem_free(text);
	}
}

/* Of smtp(8)'s what is written and not lane's; refused values have ended it
 * before. */
static void
print_foreign(const struct dryrun *d)
{
	bool is_first = true;

	for (size_t i = 0; i < foreign_count(); i++) {
		if (d->origins.foreign[i] == NULL)
			continue;
		if (is_first)
			(void)printf("\nset for smtp(8), without effect:\n");
		is_first = false;
		(void)printf("  %s = %s   # %s\n", foreign_get(i)->name,
		    d->origins.foreign[i], foreign_get(i)->about);
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
print_provider(const struct dryrun *d)
{
	const struct provider *p = &d->provider.chosen;

	if (d->set.lane_provider[0] == '\0')
		(void)printf("lane_provider is not set\n");
	else
		(void)printf("%s\n%s\n", p->file, p->about);
	if (p->limit_count > 0)
		(void)printf("\nin force:\n");
	print_parameters(d);
	print_effective(d);
	print_foreign(d);
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
show(int argc, char *const *argv, dryrun_more_fn *more)
{
	struct dryrun d = {.opt = {.socket_count = 0}};
	bool is_good = load(&d, argc, argv, 2);

	if (is_good) {
		print_provider(&d);
		more(&d.set);
	}
	unload(&d);
	return is_good ? 0 : STATUS_WRONG;
}

int
dryrun_main(int argc, char *const *argv, dryrun_more_fn *more)
{
	return strcmp(argv[1], "-R") == 0 ? ask(argc, argv)
					  : show(argc, argv, more);
}
