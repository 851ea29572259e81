#include "agent/settings/config.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "agent/io/command_output.h"
#include "agent/io/logsink.h"
#include "agent/settings/params.h"
#include "agent/settings/provider_set.h"
#include "common/base/buf.h"
#include "common/base/log.h"
#include "common/base/mem.h"

/* Free text in Postfix, used by the queue manager only, never by us. */
#define CARRIER "empty_address_recipient"
/* Nobody sets it: its warning shows that this postconf has such warnings. */
#define NEVER_SET "lane_never_set"
/* $service_name and its like are read-only in postconf, and name postconf
 * itself; ours get this in front. */
#define PSEUDO_PREFIX "postlane_"
#define TRANSPORT_PREFIX "transport_"
#define COMMAND_DIRECTORY "/usr/sbin"

enum { TEXT_MAX = 1 << 20, COMPLAINT_MAX = 600 };

/* Strings of the command line, freed together. */
struct args {
	char **v;
	size_t n;
};

static void
args_take(struct args *args, char *text)
{
	args->v = mem_realloc(args->v, (args->n + 2) * sizeof(args->v[0]));
	args->v[args->n++] = text;
	args->v[args->n] = NULL;
}

static void
args_add(struct args *args, const char *text)
{
	args_take(args, mem_strdup(text));
}

static void
args_fini(struct args *args)
{
	for (size_t i = 0; i < args->n; i++)
		mem_free(args->v[i]);
	mem_free(args->v);
}

/* command_directory as main.cf has it: postconf cannot tell where it is. */
static char *
scan_command_directory(void)
{
	const char *dir = getenv("MAIL_CONFIG");
	char *path = mem_printf("%s/main.cf", dir != NULL ? dir : "");
	FILE *file = dir != NULL ? fopen(path, "re") : NULL;
	char line[4096], *found = NULL;

	mem_free(path);
	while (file != NULL && fgets(line, sizeof(line), file) != NULL) {
		char *name, *value;

		if (strncmp(line, "command_directory", 17) != 0 ||
		    !options_split(line, &name, &value))
			continue;
		if (strcmp(name, "command_directory") == 0 && value[0] == '/') {
			mem_free(found);
			found = value;
			value = NULL;
		}
		mem_free(name);
		mem_free(value);
	}
	if (file != NULL)
		(void)fclose(file);
	return found;
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

static size_t
name_length(const char *p)
{
	size_t n = 0;

	while (isalnum((unsigned char)p[n]) || p[n] == '_')
		n++;
	return n;
}

static bool
is_pseudo(const char *p, size_t n)
{
	struct slice name = slice_of(p, n);

	return slice_eq(name, "service_name") ||
	       slice_eq(name, "process_name") || slice_eq(name, "process_id");
}

/* $service_name -> $postlane_service_name, in all its spellings. */
static char *
rename_pseudo(const char *text)
{
	struct buf out;
	char *result;

	buf_init(&out, TEXT_MAX);
	while (*text != '\0') {
		(void)buf_add_char(&out, *text);
		if (*text++ != '$')
			continue;
		if (*text == '$') { /* "$$" is a dollar sign */
			(void)buf_add_char(&out, *text++);
			continue;
		}
		if (*text == '{' || *text == '(')
			(void)buf_add_char(&out, *text++);
		if (is_pseudo(text, name_length(text)))
			(void)buf_add_str(&out, PSEUDO_PREFIX);
	}
	result = mem_strdup(buf_str(&out));
	buf_fini(&out);
	return result;
}

static void
add_overrides(struct args *args, const struct options *opt)
{
	for (size_t i = 0; i < opt->override_count; i++) {
		char *value = rename_pseudo(opt->overrides[i].value);

		args_add(args, "-o");
		args_take(
		    args, mem_printf("%s=%s", opt->overrides[i].name, value));
		mem_free(value);
	}
	args_add(args, "-o");
	args_take(args,
	    mem_printf(PSEUDO_PREFIX "service_name=%s", opt->service_name));
	args_add(args, "-o");
	args_take(args,
	    mem_printf(PSEUDO_PREFIX "process_name=%s", opt->process_name));
	args_add(args, "-o");
	args_take(
	    args, mem_printf(PSEUDO_PREFIX "process_id=%ld", (long)getpid()));
}

/* A parameter of the transport has the service's name in front, as postconf(5)
 * writes it: transport_destination_concurrency_limit. */
static bool
is_of_transport(const struct param *param)
{
	return strncmp(param->name, TRANSPORT_PREFIX,
		   sizeof(TRANSPORT_PREFIX) - 1) == 0;
}

/* Its name for postconf, which knows no other characters in one. */
static char *
name_asked_for(const struct param *param, const char *service)
{
	size_t n = sizeof(TRANSPORT_PREFIX) - 1;

	if (is_of_transport(param) && service[name_length(service)] == '\0')
		return mem_printf("%s_%s", service, param->name + n);
	return mem_strdup(param->name);
}

/* The value of the carrier: a segment for each parameter, "=value" when it is
 * set and "~default" when it is not. Postfix's own ride too, for those that a
 * release older than the parameter does not know. */
static char *
carrier_value(const struct options *opt)
{
	struct buf out;
	char *text;

	buf_init(&out, TEXT_MAX);
	(void)buf_add_str(&out, "${" NEVER_SET "?{}}");
	for (size_t i = 0; i < params_count(); i++) {
		const struct param *p = params_get(i);
		char *name = name_asked_for(p, opt->service_name);

		(void)buf_addf(&out, "\001${%s?{=${%s}}:{~%s}}", name, name,
		    params_default(p, opt->class));
		mem_free(name);
	}
	text = mem_strdup(buf_str(&out));
	buf_fini(&out);
	return text;
}

static void
build_args(struct args *args, const struct options *opt)
{
	const char *dir = getenv("MAIL_CONFIG");
	char *command_directory = scan_command_directory();
	char *carrier = carrier_value(opt);

	args_take(args, config_command(command_directory, "postconf"));
	if (dir != NULL && *dir != '\0') {
		args_add(args, "-c");
		args_add(args, dir);
	}
	add_overrides(args, opt);
	args_add(args, "-o");
	args_take(args, mem_printf(CARRIER "=%s", carrier));
	args_add(args, "-x");
	args_add(args, CARRIER);
	for (size_t i = 0; i < params_count(); i++)
		if (!params_is_ours(params_get(i)) &&
		    !is_of_transport(params_get(i)))
			args_add(args, params_get(i)->name);
	mem_free(carrier);
	mem_free(command_directory);
}

/* Whether postconf said `complaint` about exactly this name. */
static bool
complained(const char *err, const char *complaint, const char *name)
{
	char *text = mem_printf("%s: %s", complaint, name);
	size_t n = strlen(text);
	bool is_found = false;

	for (; (err = strstr(err, text)) != NULL && !is_found; err += n)
		is_found = err[n] == '\n' || err[n] == '\0';
	mem_free(text);
	return is_found;
}

/* Values as read: one slot per parameter, NULL for "not told". */
struct reading {
	char **direct; /* from "name = value" */
	char **carried; /* "=value" or "~default" */
};

static void
read_carrier(struct reading *r, const char *value)
{
	size_t i = 0;

	for (value = strchr(value, '\001'); value != NULL && i < params_count();
	     i++) {
		size_t n = strcspn(++value, "\001");

		r->carried[i] = mem_strndup(value, n);
		value = value[n] != '\0' ? value + n : NULL;
	}
}

static void
read_line(struct reading *r, char *line)
{
	char *eq = strstr(line, " =");
	const char *value;

	if (eq == NULL)
		return;
	*eq = '\0';
	value = eq + 2 + strspn(eq + 2, " ");
	if (strcmp(line, CARRIER) == 0) {
		read_carrier(r, value);
		return;
	}
	for (size_t i = 0; i < params_count(); i++)
		if (strcmp(params_get(i)->name, line) == 0 &&
		    r->direct[i] == NULL)
			r->direct[i] = mem_strdup(value);
}

static void
read_output(struct reading *r, const char *out)
{
	r->direct = mem_zarray(params_count(), sizeof(r->direct[0]));
	r->carried = mem_zarray(params_count(), sizeof(r->carried[0]));
	while (*out != '\0') {
		size_t n = strcspn(out, "\n");
		char *line = mem_strndup(out, n);

		read_line(r, line);
		mem_free(line);
		out += n + (out[n] == '\n');
	}
}

static void
reading_fini(struct reading *r)
{
	for (size_t i = 0; i < params_count(); i++) {
		mem_free(r->direct[i]);
		mem_free(r->carried[i]);
	}
	mem_free(r->direct);
	mem_free(r->carried);
}

/* `name =` in main.cf: empty, but not unset. Only the absence of a warning
 * tells, so first make sure that this postconf warns at all. */
static bool
is_set_empty(const char *err, const struct param *param)
{
	return complained(err, "undefined parameter", NEVER_SET) &&
	       !complained(err, "undefined parameter", param->name);
}

static void
apply(struct settings *set, const struct reading *r, const char *err,
    struct problems *problems)
{
	for (size_t i = 0; i < params_count(); i++) {
		const struct param *param = params_get(i);
		const char *carried = r->carried[i];

		if (r->direct[i] != NULL)
			(void)params_set(set, param, r->direct[i], problems);
		else if (carried == NULL)
			continue;
		else if (*carried == '=')
			(void)params_set(set, param, carried + 1, problems);
		else if (params_is_ours(param) && is_set_empty(err, param))
			(void)params_set(set, param, "", problems);
		else
			(void)params_set(set, param, carried + 1, problems);
	}
}

/* Set by -o or in main.cf, if only to nothing. */
static bool
is_explicit(const struct reading *r, const char *err, size_t i)
{
	const char *carried = r->carried[i];

	if (r->direct[i] != NULL || (carried != NULL && *carried == '='))
		return true;
	return carried != NULL && is_set_empty(err, params_get(i));
}

/* What the provider's file says goes where nothing was set. */
static void
apply_provider(struct settings *set, const struct reading *r, const char *err,
    struct problems *problems)
{
	struct provider_set provider;

	provider_set_load(&provider, set, problems);
	for (size_t i = 0; i < params_count(); i++) {
		const struct param *param = params_get(i);
		char value[512];

		if (params_is_ours(param) && !is_explicit(r, err, i) &&
		    provider_set_value(
			&provider, param->name, value, sizeof(value), NULL))
			(void)params_set(set, param, value, problems);
	}
	provider_set_fini(&provider);
}

/* What we said to postconf makes it warn about names; the rest of its words,
 * on one line. */
static void
summarize(char *out, size_t n, const char *err)
{
	struct buf text;

	buf_init(&text, n - 1);
	while (*err != '\0') {
		size_t len = strcspn(err, "\n");
		char *line = mem_strndup(err, len);

		if (strstr(line, "unused parameter:") == NULL &&
		    strstr(line, "undefined parameter:") == NULL &&
		    strstr(line, "unknown parameter") == NULL && len > 0)
			(void)buf_addf(&text, "%s%s",
			    buf_len(&text) > 0 ? "; " : "", line);
		mem_free(line);
		err += len + (err[len] == '\n');
	}
	(void)snprintf(out, n, "%s", buf_str(&text));
	buf_fini(&text);
}

static void
check_override_names(const struct options *opt, struct problems *problems)
{
	for (size_t i = 0; i < opt->override_count; i++) {
		const struct option_override *o = &opt->overrides[i];

		if (strncmp(o->name, "lane_", 5) == 0 &&
		    params_find(o->name) == NULL)
			problems_addf(problems,
			    "bad parameter: -o %s = %s: there is no such "
			    "parameter",
			    o->name, o->value);
	}
}

/* postconf calls the file of a -o main.cf, too. */
static bool
is_override(const struct options *opt, struct slice name)
{
	for (size_t i = 0; i < opt->override_count; i++)
		if (slice_eq(name, opt->overrides[i].name))
			return true;
	return false;
}

/* "postconf: warning: DIR/main.cf: unused parameter: lane_typo=5". A name of
 * ours is used by the carrier; what remains is nobody's. */
static void
check_unused_names(
    const char *err, const struct options *opt, struct problems *problems)
{
	static const char said[] = "main.cf: unused parameter: lane_";

	while ((err = strstr(err, said)) != NULL) {
		const char *name = err + sizeof(said) - 1 - strlen("lane_");
		size_t n = strcspn(name, "=\n");
		size_t all = strcspn(name, "\n");
		size_t at = n + (name[n] == '=');

		err = name + all;
		if (is_override(opt, slice_of(name, n)))
			continue;
		problems_addf(problems,
		    "bad parameter: %.*s = %.*s: there is no such parameter",
		    (int)n, name, (int)(all - at), name + at);
	}
}

/* myorigin may name a file whose first line is meant. */
static void
read_myorigin(struct settings *set)
{
	char line[512];
	FILE *file;

	if (set->myorigin[0] != '/')
		return;
	file = fopen(set->myorigin, "re");
	if (file != NULL && fgets(line, sizeof(line), file) != NULL) {
		line[strcspn(line, " \t\r\n")] = '\0';
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
	struct problems ignored = {NULL, 0};

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

void
config_load(
    struct settings *set, const struct options *opt, struct problems *problems)
{
	struct command_output_result run;
	struct reading reading;
	struct args args = {NULL, 0};
	char words[COMPLAINT_MAX];

	params_init(set);
	apply_defaults(set, opt->class);
	mem_free(set->lane_class);
	set->lane_class = mem_strdup(opt->class);
	build_args(&args, opt);
	command_output_run(&run, (const char *const *)args.v);
	if (run.status != 0 || !buf_ok(&run.out)) {
		summarize(words, sizeof(words), buf_str(&run.err));
		problems_addf(problems,
		    "cannot read the configuration: %s (exit status %d): %s",
		    args.v[0], run.status, words);
	} else {
		read_output(&reading, buf_str(&run.out));
		apply(set, &reading, buf_str(&run.err), problems);
		apply_provider(set, &reading, buf_str(&run.err), problems);
		reading_fini(&reading);
		check_unused_names(buf_str(&run.err), opt, problems);
		read_myorigin(set);
	}
	check_override_names(opt, problems);
	if (logsink_facility(set->syslog_facility) < 0)
		problems_addf(problems,
		    "bad parameter: syslog_facility = %s: allowed is a "
		    "facility of syslog(3), such as mail or local0",
		    set->syslog_facility);
	params_check(set, problems);
	command_output_fini(&run);
	args_fini(&args);
}
