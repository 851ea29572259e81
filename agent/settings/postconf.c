#include "agent/settings/postconf.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "agent/io/command_output.h"
#include "common/base/buf.h"
#include "common/base/mem.h"

/* Free text in Postfix, used by the queue manager only, never by us. */
#define CARRIER "empty_address_recipient"
/* $service_name and its like are read-only in postconf, and name postconf
 * itself; ours get this in front. */
#define PREFIX "postlane_"
/* The last two that are asked for, see postconf.h. */
#define NEVER_SET PREFIX "never_set"
#define LAST PREFIX "last"

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
args_set(struct args *args, const char *name, const char *value)
{
	args_add(args, "-o");
	args_take(args, mem_printf("%s=%s", name, value));
}

static void
args_fini(struct args *args)
{
	for (size_t i = 0; i < args->n; i++)
		mem_free(args->v[i]);
	mem_free(args->v);
}

void
postconf_want(struct postconf *pc, const char *name)
{
	for (size_t i = 0; i < pc->count; i++)
		if (strcmp(pc->asked[i].name, name) == 0)
			return;
	pc->asked =
	    mem_realloc(pc->asked, (pc->count + 1) * sizeof(pc->asked[0]));
	pc->asked[pc->count++] =
	    (struct postconf_value){mem_strdup(name), NULL};
}

void
postconf_define(struct postconf *pc, const char *name, const char *value)
{
	pc->defined = mem_realloc(
	    pc->defined, (pc->defined_count + 1) * sizeof(pc->defined[0]));
	pc->defined[pc->defined_count++] = mem_printf("%s=%s", name, value);
}

const char *
postconf_value(const struct postconf *pc, const char *name)
{
	for (size_t i = 0; i < pc->count; i++)
		if (strcmp(pc->asked[i].name, name) == 0)
			return pc->asked[i].value;
	return NULL;
}

bool
postconf_is_pseudo(const char *name, size_t n)
{
	struct slice s = slice_of(name, n);

	return slice_eq(s, "service_name") || slice_eq(s, "process_name") ||
	       slice_eq(s, "process_id");
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
		if (postconf_is_pseudo(text, strspn(text, "_abcdefghijklmnopqrs"
							  "tuvwxyz")))
			(void)buf_add_str(&out, PREFIX);
	}
	result = mem_strdup(buf_str(&out));
	buf_fini(&out);
	return result;
}

static void
set_renamed(struct args *args, const char *name, const char *value, bool always)
{
	char *renamed = rename_pseudo(value);

	if (always || strcmp(renamed, value) != 0)
		args_set(args, name, renamed);
	mem_free(renamed);
}

/* What main.cf says with a pseudo name in it comes first: the last -o of a
 * name counts. */
static void
add_settings(struct args *args, const struct postconf *pc,
    const struct options *opt, const struct main_cf *cf)
{
	char id[32];

	for (size_t i = 0; i < cf->count; i++)
		set_renamed(args, cf->v[i].name, cf->v[i].value, false);
	for (size_t i = 0; i < opt->override_count; i++)
		set_renamed(args, opt->overrides[i].name,
		    opt->overrides[i].value, true);
	(void)snprintf(id, sizeof(id), "%ld", (long)getpid());
	args_set(args, PREFIX "service_name", opt->service_name);
	args_set(args, PREFIX "process_name", opt->process_name);
	args_set(args, PREFIX "process_id", id);
	args_set(args, LAST, LAST);
	for (size_t i = 0; i < pc->defined_count; i++) {
		args_add(args, "-o");
		args_add(args, pc->defined[i]);
	}
}

/* Refers to each name. */
static void
add_carrier(struct args *args, const struct postconf *pc)
{
	struct buf value;

	buf_init(&value, TEXT_MAX);
	for (size_t i = 0; i < pc->count; i++)
		(void)buf_addf(&value, "${%s?{}}", pc->asked[i].name);
	args_set(args, CARRIER, buf_str(&value));
	buf_fini(&value);
}

static void
read_line(struct postconf *pc, const char *line, size_t n)
{
	for (size_t i = 0; i < pc->count; i++) {
		struct postconf_value *v = &pc->asked[i];
		size_t len = strlen(v->name);
		const char *value = line + len;

		if (n < len + 2 || strncmp(line, v->name, len) != 0 ||
		    strncmp(value, " =", 2) != 0)
			continue;
		value += 2 + strspn(value + 2, " ");
		if (v->value == NULL && value <= line + n)
			v->value =
			    mem_strndup(value, n - (size_t)(value - line));
		return;
	}
}

static void
read_output(struct postconf *pc, const char *out)
{
	while (*out != '\0') {
		size_t n = strcspn(out, "\n");

		read_line(pc, out, n);
		out += n + (out[n] == '\n');
	}
}

/* Its words on one line, without the warnings that are of no use when it
 * failed. For a reader, not for us. */
static char *
summarize(const char *err)
{
	struct buf text;
	char *result;

	buf_init(&text, COMPLAINT_MAX);
	while (*err != '\0') {
		size_t n = strcspn(err, "\n");
		bool is_name = memmem(err, n, " parameter: ", 12) != NULL ||
			       memmem(err, n, "unknown parameter", 17) != NULL;

		if (n > 0 && !is_name)
			(void)buf_addf(&text, "%s%.*s",
			    buf_len(&text) > 0 ? "; " : "", (int)n, err);
		err += n + (err[n] == '\n');
	}
	result = mem_strdup(buf_str(&text));
	buf_fini(&text);
	return result;
}

static char *
run(struct postconf *pc, const struct args *args)
{
	struct command_output_result result;
	const char *last;
	char *words, *error = NULL;

	command_output_run(&result, (const char *const *)args->v);
	if (result.status != 0 || !buf_ok(&result.out)) {
		words = summarize(buf_str(&result.err));
		error = mem_printf("%s (exit status %d): %s", args->v[0],
		    result.status, words);
		mem_free(words);
	} else {
		read_output(pc, buf_str(&result.out));
		last = postconf_value(pc, LAST);
		if (last == NULL || strcmp(last, LAST) != 0)
			error =
			    mem_printf("%s: the answer has no end", args->v[0]);
		else if (postconf_value(pc, NEVER_SET) != NULL)
			error = mem_printf(
			    "%s: it knows what nobody has set", args->v[0]);
	}
	command_output_fini(&result);
	return error;
}

bool
postconf_run(struct postconf *pc, const char *program, const char *directory,
    const struct options *opt, const struct main_cf *cf, char **error_out)
{
	struct args args = {NULL, 0};

	postconf_want(pc, NEVER_SET);
	postconf_want(pc, LAST);
	args_add(&args, program);
	if (directory != NULL) {
		args_add(&args, "-c");
		args_add(&args, directory);
		/* Where main.cf was changed a moment ago, postconf of Postfix
		 * 3.10 says its own default. */
		args_set(&args, "config_directory", directory);
	}
	add_settings(&args, pc, opt, cf);
	add_carrier(&args, pc);
	args_add(&args, "-x");
	for (size_t i = 0; i < pc->count; i++)
		args_add(&args, pc->asked[i].name);
	*error_out = run(pc, &args);
	args_fini(&args);
	return *error_out == NULL;
}

void
postconf_fini(struct postconf *pc)
{
	for (size_t i = 0; i < pc->count; i++) {
		mem_free(pc->asked[i].name);
		mem_free(pc->asked[i].value);
	}
	for (size_t i = 0; i < pc->defined_count; i++)
		mem_free(pc->defined[i]);
	mem_free(pc->asked);
	mem_free(pc->defined);
	*pc = (struct postconf){NULL, 0, NULL, 0};
}
