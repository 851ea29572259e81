#include "agent/settings/options.h"

#include <stdlib.h>
#include <string.h>

#include "agent/settings/assignment.h"
#include "agent/settings/params.h"
#include "agent/settings/slips.h"
#include "common/base/mem.h"

/* Where the parser stands: argv[at], and within a cluster such as -uv. */
struct cursor {
	int argc, at;
	char *const *argv;
	const char *rest; /* letters left of the cluster, or "" */
};

/* The argument of an option: the rest of the cluster, or the next word. */
static const char *
argument(struct cursor *c)
{
	const char *text = c->rest;

	c->rest = "";
	if (*text != '\0')
		return text;
	if (c->at + 1 < c->argc)
		return c->argv[++c->at];
	return NULL;
}

static void
replace(char **to, const char *text)
{
	char *copy = mem_strdup(text);

	mem_free(*to);
	*to = copy;
}

/* Which of two counts would be a guess: postconf -P shows and changes the one
 * in front of the first word, and the last one would win here. */
static void
check_override_is_new(const struct options *opt,
    const struct option_override *o, struct problems *problems)
{
	for (size_t i = 0; i < opt->override_count; i++)
		if (strcmp(opt->overrides[i].name, o->name) == 0)
			problems_addf(problems,
			    "bad parameter: -o %s = %s: it is given twice, "
			    "first as %s: must be there once in an entry "
			    "of master.cf",
			    o->name, o->value, opt->overrides[i].value);
}

static void
add_override(struct options *opt, const char *text, struct problems *problems)
{
	struct option_override o;

	if (!assignment_split(text, &o.name, &o.value)) {
		problems_addf(
		    problems, "bad option: -o %s: must be -o name=value", text);
		return;
	}
	check_override_is_new(opt, &o, problems);
	opt->overrides = mem_realloc(opt->overrides,
	    (opt->override_count + 1) * sizeof(opt->overrides[0]));
	opt->overrides[opt->override_count++] = o;
}

/* Words that belong together were cut: told as one. */
static bool
is_slip(struct cursor *c, bool is_option, const char *text,
    struct problems *problems)
{
	char *const *more = c->argv + c->at + 1;
	size_t count = c->at + 1 < c->argc ? (size_t)(c->argc - c->at - 1) : 0;
	struct slip slip;
	char *told;

	if (is_option ? !slip_find_option(&slip, text, more, count)
		      : !slip_find_word(&slip, text, more, count))
		return false;
	told = slip_text(&slip);
	problems_addf(problems, "%s", told);
	mem_free(told);
	c->at += (int)slip.words;
	slip_fini(&slip);
	return true;
}

static void
set_sockets(struct options *opt, const char *text, struct problems *problems)
{
	char *end;
	long n = strtol(text, &end, 10);

	if (end == text || *end != '\0' || n < 1 || n > 100)
		problems_addf(
		    problems, "bad option: -s %s: must be 1 to 100", text);
	else
		opt->socket_count = (int)n;
}

static void
set_with_argument(struct options *opt, char letter, struct cursor *c,
    struct problems *problems)
{
	const char *text = argument(c);

	if (text == NULL)
		problems_addf(problems,
		    "bad option: -%c: a value is missing after it", letter);
	else if (letter == 'n')
		replace(&opt->service_name, text);
	else if (letter == 't')
		replace(&opt->service_type, text);
	else if (letter == 's')
		set_sockets(opt, text, problems);
	else if (!is_slip(c, true, text, problems))
		add_override(opt, text, problems);
}

static void
set_letter(struct options *opt, char letter, struct cursor *c,
    struct problems *problems)
{
	switch (letter) {
	case 'c':
		opt->chroot = true;
		break;
	case 'd': /* master is not detached: nothing changes for us */
		break;
	case 'D':
		opt->debug = true;
		break;
	case 'l':
		opt->alone = true;
		break;
	case 'u':
		opt->unprivileged = true;
		break;
	case 'v':
		opt->verbose++;
		break;
	case 'V':
		opt->log_to_stderr = true;
		break;
	case 'z':
		opt->unlimited = true;
		break;
	case 'n':
	case 'o':
	case 's':
	case 't':
		set_with_argument(opt, letter, c, problems);
		break;
	default:
		problems_addf(problems,
		    "bad option: -%c: must be one of master(8)'s: "
		    "-c -d -D -l -n name -o name=value -s count -t type -u -v "
		    "-V -z",
		    letter);
		c->rest = "";
		break;
	}
}

static void
set_word(struct options *opt, const char *text, struct problems *problems)
{
	char *name, *value;

	if (strcmp(text, "token") == 0) {
		opt->is_token = true;
		return;
	}
	if (!assignment_split(text, &name, &value)) {
		problems_addf(
		    problems, "bad word: %s: must be class=name", text);
		return;
	}
	if (strcmp(name, "class") != 0)
		problems_addf(problems,
		    "bad word: %s: must be class=name; a parameter is set "
		    "with -o %s=%s",
		    text, name, value);
	else if (value[0] == '\0' || !params_is_class(value))
		problems_addf(problems, "bad word: class=%s: must be %s", value,
		    params_classes());
	else if (opt->class[0] != '\0')
		problems_addf(problems,
		    "bad word: class=%s: it is given twice, first as class=%s",
		    value, opt->class);
	else
		replace(&opt->class, value);
	mem_free(name);
	mem_free(value);
}

static const char *
basename_of(const char *path)
{
	const char *slash = strrchr(path, '/');

	return slash != NULL && slash[1] != '\0' ? slash + 1 : path;
}

void
options_parse(
    struct options *opt, int argc, char *const *argv, struct problems *problems)
{
	struct cursor c = {argc, 1, argv, ""};

	*opt = (struct options){.socket_count = 1};
	opt->process_name = mem_strdup(
	    basename_of(argc > 0 && argv[0][0] != '\0' ? argv[0] : "lane"));
	opt->service_type = mem_strdup("unix");
	opt->class = mem_strdup("");
	for (; c.at < argc; c.at++) {
		const char *text = argv[c.at];

		if (strcmp(text, "--") == 0)
			continue;
		if (text[0] != '-' || text[1] == '\0') {
			if (!is_slip(&c, false, text, problems))
				set_word(opt, text, problems);
			continue;
		}
		c.rest = text + 1;
		while (*c.rest != '\0') {
			char letter = *c.rest++;

			set_letter(opt, letter, &c, problems);
		}
	}
	/* master passes -n only when the two differ */
	if (opt->service_name == NULL)
		opt->service_name = mem_strdup(opt->process_name);
}

const char *
options_override(const struct options *opt, const char *name)
{
	for (size_t i = opt->override_count; i-- > 0;)
		if (strcmp(opt->overrides[i].name, name) == 0)
			return opt->overrides[i].value;
	return NULL;
}

void
options_fini(struct options *opt)
{
	for (size_t i = 0; i < opt->override_count; i++) {
		mem_free(opt->overrides[i].name);
		mem_free(opt->overrides[i].value);
	}
	mem_free(opt->overrides);
	mem_free(opt->process_name);
	mem_free(opt->service_name);
	mem_free(opt->service_type);
	mem_free(opt->class);
	*opt = (struct options){.socket_count = 0};
}
