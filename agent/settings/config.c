#include "agent/settings/config.h"

#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "agent/io/logsink.h"
#include "agent/settings/foreign.h"
#include "agent/settings/main_cf.h"
#include "agent/settings/params.h"
#include "agent/settings/postconf.h"
#include "agent/settings/references.h"
#include "common/base/log.h"
#include "common/base/mem.h"

#define TRANSPORT_PREFIX "transport_"
#define COMMAND_DIRECTORY "/usr/sbin"
#define CONFIG_DIRECTORY "/etc/postfix"
/* Where a default of ours is expanded. */
#define DEFAULT_PREFIX "postlane_default_"

enum { REFERENCE_DEPTH_MAX = 20 };

struct loading {
	struct settings *set;
	const struct options *opt;
	struct problems *problems;
	struct config_origins *origins; /* NULL: not asked */
	struct main_cf cf;
	struct postconf pc;
};

/* Ours that smtp(8) has under another name: what is written there is the
 * default here. */
static const struct twin {
	const char *ours, *postfix, *usual; /* usual: asks for nothing */
	int more;
} twins[] = {
    /* so often again, after the first time */
    {"lane_messages_per_connection", "smtp_connection_reuse_count_limit", "0",
	1},
    {"lane_connection_age_limit", "smtp_connection_reuse_time_limit", "300s",
	0},
};

void
config_origins_init(struct config_origins *origins)
{
	origins->params =
	    mem_zarray(params_count(), sizeof(origins->params[0]));
	origins->foreign =
	    mem_zarray(foreign_count(), sizeof(origins->foreign[0]));
}

void
config_origins_fini(struct config_origins *origins)
{
	for (size_t i = 0; origins->foreign != NULL && i < foreign_count(); i++)
		mem_free(origins->foreign[i]);
	mem_free(origins->foreign);
	mem_free(origins->params);
	*origins = (struct config_origins){NULL, NULL};
}

char *
config_command(const char *command_directory, const char *name)
{
	static const char *const usual[] = {
	    COMMAND_DIRECTORY, "/usr/local/sbin", "/opt/postfix/sbin"};
	char *path;

	if (command_directory != NULL && command_directory[0] != '\0')
		return mem_printf("%s/%s", command_directory, name);
	for (size_t i = 0; i < sizeof(usual) / sizeof(usual[0]); i++) {
		path = mem_printf("%s/%s", usual[i], name);
		if (access(path, X_OK) == 0)
			return path;
		mem_free(path);
	}
	return mem_printf("%s/%s", COMMAND_DIRECTORY, name);
}

/* A parameter of the transport has the service's name in front, as postconf(5)
 * writes it: transport_destination_concurrency_limit. */
static bool
is_of_transport(const struct param *param)
{
	return strncmp(param->name, TRANSPORT_PREFIX,
		   sizeof(TRANSPORT_PREFIX) - 1) == 0;
}

static bool
is_plain_name(const char *name)
{
	while (isalnum((unsigned char)*name) || *name == '_')
		name++;
	return *name == '\0';
}

/* Its name in main.cf; the caller frees. A service with other characters in
 * its name cannot have one there. */
static char *
name_of(const struct param *param, const struct options *opt)
{
	size_t n = sizeof(TRANSPORT_PREFIX) - 1;

	if (is_of_transport(param) && is_plain_name(opt->service_name))
		return mem_printf("%s_%s", opt->service_name, param->name + n);
	return mem_strdup(param->name);
}

/* As it is written, by -o or in main.cf; NULL: in neither. */
static const char *
written(const struct loading *l, const char *name)
{
	const char *value = options_override(l->opt, name);

	return value != NULL ? value : main_cf_find(&l->cf, name);
}

/* Calls fn with each name that the value of `name` refers to, by way of others
 * too, and that is written nowhere. */
static void
each_unwritten(struct loading *l, const char *name, int depth,
    void (*fn)(struct loading *l, const char *unwritten, void *ctx), void *ctx)
{
	const char *at = written(l, name);
	struct slice each;

	while (at != NULL && references_next(&at, &each)) {
		char *other;

		if (postconf_is_pseudo(each.p, each.n))
			continue;
		other = mem_strndup(each.p, each.n);
		if (written(l, other) == NULL)
			fn(l, other, ctx);
		else if (depth < REFERENCE_DEPTH_MAX)
			each_unwritten(l, other, depth + 1, fn, ctx);
		mem_free(other);
	}
}

static void
want(struct loading *l, const char *name, void *ctx)
{
	(void)ctx;
	postconf_want(&l->pc, name);
}

static void
want_written(struct loading *l, const char *name)
{
	postconf_want(&l->pc, name);
	each_unwritten(l, name, 0, want, NULL);
}

static void
ask_for(struct loading *l, const struct param *param)
{
	const char *text = params_default(param, l->opt->class);
	char *name = name_of(param, l->opt), *holder;

	want_written(l, name);
	mem_free(name);
	if (params_old_name(param) != NULL)
		want_written(l, params_old_name(param));
	if (strchr(text, '$') == NULL)
		return;
	holder = mem_printf(DEFAULT_PREFIX "%s", param->name);
	postconf_define(&l->pc, holder, text);
	postconf_want(&l->pc, holder);
	mem_free(holder);
}

/* A name that stands in no file and that Postfix has no default for either. */
static void
refuse_undefined(struct loading *l, const char *unwritten, void *ctx)
{
	const char *name = ctx;

	if (postconf_value(&l->pc, unwritten) == NULL)
		problems_addf(l->problems,
		    "bad parameter: %s = %s: $%s is not defined", name,
		    written(l, name), unwritten);
}

/* The name that it is set by: the old one when that alone is set. The caller
 * frees. */
static char *
name_in_use(const struct loading *l, const struct param *param)
{
	const char *old = params_old_name(param);
	char *name = name_of(param, l->opt);

	if (old == NULL || postconf_value(&l->pc, name) != NULL ||
	    postconf_value(&l->pc, old) == NULL)
		return name;
	mem_free(name);
	return mem_strdup(old);
}

static const char *
told(const struct loading *l, const struct param *param)
{
	char *name = name_in_use(l, param);
	const char *value = postconf_value(&l->pc, name);

	mem_free(name);
	return value;
}

/* Where a value comes from that nobody set: the class, or the program. */
static enum config_origin
default_origin(const struct param *param, const char *class)
{
	return strcmp(params_default(param, class), param->fallback) == 0
		   ? CONFIG_BUILT_IN
		   : CONFIG_CLASS;
}

static void
note_origins(struct loading *l)
{
	for (size_t i = 0; l->origins != NULL && i < params_count(); i++) {
		const struct param *param = params_get(i);
		char *name = name_in_use(l, param);

		enum config_origin *origin = &l->origins->params[i];

		*origin = default_origin(param, l->opt->class);
		if (postconf_value(&l->pc, name) != NULL)
			*origin = main_cf_find(&l->cf, name) != NULL
				      ? CONFIG_MAIN_CF
				      : CONFIG_BUILT_IN;
		if (options_override(l->opt, name) != NULL)
			*origin = CONFIG_COMMAND_LINE;
		mem_free(name);
	}
}

/* A name of before still works, and is said to be one. Where both are set they
 * must mean the same, since nobody can tell which of them is meant. */
static void
look_at_old_name(struct loading *l, const struct param *param)
{
	const char *old = params_old_name(param), *value, *old_value;
	char *text, *old_text;

	if (old == NULL || (old_value = postconf_value(&l->pc, old)) == NULL)
		return;
	problems_warnf(
	    l->problems, "parameter %s is obsolete: use %s", old, param->name);
	value = postconf_value(&l->pc, param->name);
	if (value == NULL || !params_set(l->set, param, old_value, l->problems))
		return;
	old_text = params_text(l->set, param);
	if (params_set(l->set, param, value, l->problems)) {
		text = params_text(l->set, param);
		if (strcmp(text, old_text) != 0)
			problems_addf(l->problems,
			    "bad parameter: %s = %s: must be as %s = %s, "
			    "which is the same parameter, or not be set",
			    old, old_value, param->name, value);
		mem_free(text);
	}
	mem_free(old_text);
}

static void
apply(struct loading *l, const struct param *param)
{
	const char *value = told(l, param);
	char *name = name_in_use(l, param), *holder;

	look_at_old_name(l, param);

	each_unwritten(l, name, 0, refuse_undefined, name);
	mem_free(name);
	if (value == NULL) {
		holder = mem_printf(DEFAULT_PREFIX "%s", param->name);
		value = postconf_value(&l->pc, holder);
		mem_free(holder);
	}
	/* Neither: the default that is there already. */
	if (value != NULL)
		(void)params_set(l->set, param, value, l->problems);
}

/* What the provider's file says goes where nothing was set. */
static void
apply_provider(struct loading *l, const struct provider_set *provider)
{
	for (size_t i = 0; i < params_count(); i++) {
		const struct param *param = params_get(i);
		char value[512];

		if (!params_is_ours(param) || told(l, param) != NULL ||
		    !provider_set_value(
			provider, param->name, value, sizeof(value), NULL))
			continue;
		if (params_set(l->set, param, value, l->problems) &&
		    l->origins != NULL)
			l->origins->params[i] = CONFIG_PROVIDER;
	}
}

/* The text of a twin as ours takes it; the caller frees. */
static char *
twin_text(const struct loading *l, const struct twin *twin)
{
	const struct param *param = params_find(twin->postfix);
	char *text = params_text(l->set, param);
	int64_t n = l->set->smtp_connection_reuse_count_limit;

	if (twin->more == 0)
		return text;
	mem_free(text);
	return mem_printf("%lld", (long long)n + twin->more);
}

/* Stronger than the provider's, since somebody has written it. */
static void
apply_twins(struct loading *l)
{
	for (size_t i = 0; i < sizeof(twins) / sizeof(twins[0]); i++) {
		const struct twin *twin = &twins[i];
		const struct param *ours = params_find(twin->ours);
		char *now = params_text(l->set, params_find(twin->postfix));
		char *text;

		if (strcmp(now, twin->usual) != 0 && told(l, ours) == NULL) {
			text = twin_text(l, twin);
			(void)params_set(l->set, ours, text, l->problems);
			mem_free(text);
		}
		mem_free(now);
	}
}

/* What smtp(8) would obey. */
static void
check_foreign(struct loading *l)
{
	for (size_t i = 0; i < foreign_count(); i++) {
		const struct foreign *foreign = foreign_get(i);
		const char *text = written(l, foreign->name);
		const char *value = postconf_value(&l->pc, foreign->name);

		foreign_judge(foreign, value, text != NULL, l->problems);
		if (l->origins != NULL && text != NULL)
			l->origins->foreign[i] =
			    mem_strdup(value != NULL ? value : text);
	}
}

/* Some other value may refer to it. */
static bool
is_mentioned(const struct loading *l, const char *name)
{
	for (size_t i = 0; i < l->cf.count; i++)
		if (references_mention(l->cf.v[i].value, name))
			return true;
	for (size_t i = 0; i < l->opt->override_count; i++)
		if (references_mention(l->opt->overrides[i].value, name))
			return true;
	return false;
}

/* smtpd(8)'s, empty there: with -o it is where master.cf.example mentions names
 * that postconf(1) would else warn of as unused. */
static const char mentions[] = "smtpd_log_access_permit_actions";

static bool
is_known(const struct loading *l, const char *name)
{
	if (params_find(name) != NULL || params_find_old(name) != NULL ||
	    foreign_find(name) != NULL || foreign_is_of_queue_manager(name) ||
	    strcmp(name, mentions) == 0)
		return true;
	return strncmp(name, "lane_", 5) != 0 && is_mentioned(l, name);
}

/* In main.cf all programs' names may stand, and a site's own. */
static void
check_main_cf_name(struct loading *l, const char *name, const char *value)
{
	if (is_known(l, name))
		return;
	if (strncmp(name, "lane_", 5) == 0)
		problems_addf(l->problems,
		    "bad parameter: %s = %s: there is no such parameter", name,
		    value);
	else if (strncmp(name, "smtp_", 5) == 0)
		problems_warnf(l->problems,
		    "%s = %s: there is no such parameter, and no other refers "
		    "to it",
		    name, value);
}

/* What is given to this program is meant for it. */
static void
check_override(struct loading *l, const char *name, const char *value)
{
	char *ours;

	if (!is_known(l, name)) {
		problems_addf(l->problems,
		    "bad parameter: -o %s = %s: there is no such parameter of "
		    "lane or smtp(8), and no other refers to it",
		    name, value);
		return;
	}
	ours = name_of(
	    params_find("transport_destination_concurrency_limit"), l->opt);
	if (foreign_is_of_queue_manager(name) && params_find(name) == NULL &&
	    strcmp(name, ours) != 0)
		problems_warnf(l->problems,
		    "-o %s = %s: without effect: the queue manager reads it, "
		    "from main.cf",
		    name, value);
	mem_free(ours);
}

static void
check_names(struct loading *l)
{
	for (size_t i = 0; i < l->cf.count; i++)
		check_main_cf_name(l, l->cf.v[i].name, l->cf.v[i].value);
	for (size_t i = 0; i < l->opt->override_count; i++)
		check_override(
		    l, l->opt->overrides[i].name, l->opt->overrides[i].value);
}

/* myorigin may name a file whose first line is meant. */
static void
read_myorigin(struct settings *set, struct problems *problems)
{
	char line[512] = "";
	FILE *file;

	if (set->myorigin[0] != '/')
		return;
	file = fopen(set->myorigin, "re");
	errno = file == NULL ? errno : 0;
	if (file != NULL && fgets(line, sizeof(line), file) != NULL)
		line[strcspn(line, " \t\r\n")] = '\0';
	if (line[0] == '\0') {
		problems_blame(problems, errno);
		problems_addf(problems, "bad parameter: myorigin = %s: %s",
		    set->myorigin,
		    errno != 0 ? strerror(errno) : "it has no first line");
	} else {
		mem_free(set->myorigin);
		set->myorigin = mem_strdup(line);
	}
	if (file != NULL)
		(void)fclose(file);
}

/* Without postconf: what the class says, and a place for the state. */
static void
apply_defaults(struct settings *set, const char *class)
{
	struct problems ignored = {0};

	for (size_t i = 0; i < params_count(); i++) {
		const struct param *param = params_get(i);
		const char *text = params_default(param, class);

		if (params_is_ours(param) && strchr(text, '$') == NULL)
			(void)params_set(set, param, text, &ignored);
	}
	mem_free(set->lane_state_directory);
	set->lane_state_directory =
	    mem_printf("%s/postlane", set->data_directory);
	problems_fini(&ignored);
}

/* Everything is asked for in one run. False: *error_out says why not. */
static bool
ask(struct loading *l, char **error_out)
{
	const char *dir = getenv("MAIL_CONFIG"), *commands;
	bool is_given = dir != NULL && *dir != '\0';
	int error = main_cf_read(&l->cf, is_given ? dir : CONFIG_DIRECTORY);
	char *path;
	bool ok;

	/* Somebody who tries it by hand may have it where postconf knows. */
	if (error != 0 && (is_given || error != ENOENT)) {
		problems_blame(l->problems, error);
		*error_out = mem_printf("open %s/main.cf: %s",
		    is_given ? dir : CONFIG_DIRECTORY, strerror(error));
		return false;
	}
	for (size_t i = 0; i < params_count(); i++)
		ask_for(l, params_get(i));
	for (size_t i = 0; i < foreign_count(); i++)
		if (foreign_get(i)->kind != FOREIGN_FINE ||
		    written(l, foreign_get(i)->name) != NULL)
			postconf_want(&l->pc, foreign_get(i)->name);
	/* postconf cannot tell where it is. */
	commands = main_cf_find(&l->cf, "command_directory");
	path = config_command(
	    commands != NULL && *commands == '/' ? commands : NULL, "postconf");
	ok = postconf_run(
	    &l->pc, path, is_given ? dir : NULL, l->opt, &l->cf, error_out);
	mem_free(path);
	return ok;
}

static void
take(struct loading *l, struct provider_set *provider)
{
	for (size_t i = 0; i < params_count(); i++)
		apply(l, params_get(i));
	note_origins(l);
	read_myorigin(l->set, l->problems);
	provider_set_load(provider, l->set, l->problems);
	apply_provider(l, provider);
	apply_twins(l);
	check_foreign(l);
	check_names(l);
	if (logsink_facility(l->set->syslog_facility) < 0)
		problems_addf(l->problems,
		    "bad parameter: syslog_facility = %s: must be a "
		    "facility of syslog(3), such as mail or local0",
		    l->set->syslog_facility);
	params_check(l->set, l->problems);
}

bool
config_load(struct settings *set, struct provider_set *provider,
    const struct options *opt, struct problems *problems,
    struct config_origins *origins)
{
	struct loading l = {
	    .set = set, .opt = opt, .problems = problems, .origins = origins};
	struct provider_set own;
	char *error = NULL;
	bool is_read;

	params_init(set);
	note_origins(&l);
	apply_defaults(set, opt->class);
	mem_free(set->lane_class);
	set->lane_class = mem_strdup(opt->class);
	is_read = ask(&l, &error);
	if (is_read)
		take(&l, &own);
	else {
		problems_addf(
		    problems, "cannot read the configuration: %s", error);
		provider_set_init(&own);
	}
	if (provider != NULL)
		*provider = own;
	else
		provider_set_fini(&own);
	mem_free(error);
	postconf_fini(&l.pc);
	main_cf_fini(&l.cf);
	return is_read;
}
