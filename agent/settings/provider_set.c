#include "agent/settings/provider_set.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "agent/settings/params.h"
#include "common/base/mem.h"

enum { ERRORS_MAX = 8192, NAMES_MAX = 1024 };

/* providers/general.conf as it was when the program was built, so that a
 * throttle is understood where nothing was installed. */
__asm__(".section .rodata\n"
	".balign 16\n"
	".type general_conf, @object\n"
	"general_conf:\n"
	".incbin \"providers/general.conf\"\n"
	".byte 0\n"
	".previous\n");
extern const char general_conf[];

static const char general_name[] = "built-in/general.conf";

int
provider_read_file(const char *path, struct buf *out)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK), error = 0;
	char part[4096];
	ssize_t n;

	if (fd < 0)
		return errno;
	while ((n = read(fd, part, sizeof(part))) != 0 && error == 0)
		if (n < 0)
			error = errno == EINTR ? 0 : errno;
		else if (!buf_add(out, part, (size_t)n))
			error = EFBIG;
	(void)close(fd);
	return error;
}

/* Each line of errors is one problem of the file that parameter led to. */
static void
add_problems(
    struct problems *problems, const char *parameter, struct buf *errors)
{
	const char *line = buf_str(errors);

	while (*line != '\0') {
		size_t n = strcspn(line, "\n");

		problems_addf(problems, "bad parameter: %s: %.*s", parameter,
		    (int)n, line);
		line += n + (line[n] == '\n');
	}
}

static int
is_conf(const struct dirent *entry)
{
	size_t n = strlen(entry->d_name);

	return n > 5 && strcmp(entry->d_name + n - 5, ".conf") == 0 &&
	       strcmp(entry->d_name, "general.conf") != 0;
}

int
provider_set_names(const char *directory, char ***names_out)
{
	struct dirent **found;
	int count = scandir(directory, &found, is_conf, alphasort);

	*names_out = NULL;
	if (count < 0)
		return -1;
	*names_out = mem_zarray((size_t)count + 1, sizeof(**names_out));
	for (int i = 0; i < count; i++) {
		(*names_out)[i] =
		    mem_strndup(found[i]->d_name, strlen(found[i]->d_name) - 5);
		free(found[i]);
	}
	free(found);
	return count;
}

/* "authsmtp, emailit, ...", or why there are none. */
static void
list_providers(const char *directory, struct buf *out)
{
	char **names;
	int count = provider_set_names(directory, &names);

	if (count <= 0)
		(void)buf_addf(out,
		    "a NAME of NAME.conf in lane_provider_directory, and there "
		    "is none in %s",
		    directory);
	for (int i = 0; i < count; i++) {
		(void)buf_addf(out, "%s%s", i > 0 ? ", " : "", names[i]);
		mem_free(names[i]);
	}
	mem_free(names);
}

static void
load_own(struct provider_set *p, const char *path, struct problems *problems)
{
	struct buf text, errors;
	int error;

	if (path[0] == '\0')
		return;
	buf_init(&text, RULES_FILE_MAX);
	buf_init(&errors, ERRORS_MAX);
	error = provider_read_file(path, &text);
	problems_blame(problems, error);
	if (error != 0)
		problems_addf(problems,
		    "bad parameter: lane_reply_rules = %s: %s", path,
		    strerror(error));
	else if (!rules_add_text(p->rules, path, buf_slice(&text), &errors))
		add_problems(problems, "lane_reply_rules", &errors);
	buf_fini(&text);
	buf_fini(&errors);
}

static void
load_provider(struct provider_set *p, const char *directory, const char *name,
    struct problems *problems)
{
	char *path = mem_printf("%s/%s.conf", directory, name);
	struct buf text, errors, names;
	int error = 0;

	buf_init(&text, RULES_FILE_MAX);
	buf_init(&errors, ERRORS_MAX);
	buf_init(&names, NAMES_MAX);
	if (name[0] != '\0')
		error = provider_name_is_valid(name)
			    ? provider_read_file(path, &text)
			    : EINVAL;
	problems_blame(problems, error);
	if (error != 0) {
		list_providers(directory, &names);
		problems_addf(problems,
		    "bad parameter: lane_provider = %s: cannot read %s; "
		    "must be %s",
		    name, path, buf_str(&names));
	}
	if (!provider_parse(
		&p->chosen, path, buf_slice(&text), p->rules, &errors))
		add_problems(problems, "lane_provider", &errors);
	mem_free(path);
	buf_fini(&text);
	buf_fini(&errors);
	buf_fini(&names);
}

static void
load_general(
    struct provider_set *p, const char *directory, struct problems *problems)
{
	char *path = mem_printf("%s/general.conf", directory);
	struct provider ignored = {0};
	struct buf text, errors;
	int error;
	bool is_good;

	buf_init(&text, RULES_FILE_MAX);
	buf_init(&errors, ERRORS_MAX);
	error = provider_read_file(path, &text);
	/* It may be missing, and is not replaced for any other reason. */
	if (error != 0 && error != ENOENT && error != ENOTDIR) {
		problems_blame(problems, error);
		problems_addf(problems,
		    "bad parameter: lane_provider_directory = %s: cannot read "
		    "%s: %s",
		    directory, path, strerror(error));
	}
	is_good = true;
	if (error == 0)
		is_good = provider_parse(
		    &ignored, path, buf_slice(&text), p->rules, &errors);
	else if (error == ENOENT || error == ENOTDIR)
		is_good = provider_parse(&ignored, general_name,
		    slice_str(general_conf), p->rules, &errors);
	if (!is_good)
		add_problems(problems, "lane_provider_directory", &errors);
	provider_fini(&ignored);
	mem_free(path);
	buf_fini(&text);
	buf_fini(&errors);
}

void
provider_set_init(struct provider_set *p)
{
	*p = (struct provider_set){.rules = rules_new()};
}

/* The one that is looked into unasked need not be there; one that somebody
 * has named must. */
static void
check_directory(const char *directory, struct problems *problems)
{
	const struct param *param = params_find("lane_provider_directory");
	struct stat st;
	int error = stat(directory, &st) != 0 ? errno : 0;

	if (error == 0 && !S_ISDIR(st.st_mode))
		error = ENOTDIR;
	if (error == 0 || strcmp(directory, param->fallback) == 0)
		return;
	problems_blame(problems, error);
	problems_addf(problems,
	    "bad parameter: lane_provider_directory = %s: %s", directory,
	    strerror(error));
}

void
provider_set_load(struct provider_set *p, const struct settings *set,
    struct problems *problems)
{
	size_t count;

	provider_set_init(p);
	check_directory(set->lane_provider_directory, problems);
	load_own(p, set->lane_reply_rules, problems);
	p->own_rules = count = rules_count(p->rules);
	load_provider(
	    p, set->lane_provider_directory, set->lane_provider, problems);
	p->provider_rules = rules_count(p->rules) - count;
	count = rules_count(p->rules);
	load_general(p, set->lane_provider_directory, problems);
	problems_blame(
	    problems, rules_have_lacked_memory(p->rules) ? ENOMEM : 0);
	p->general_rules = rules_count(p->rules) - count;
}

void
provider_set_fini(struct provider_set *p)
{
	provider_fini(&p->chosen);
	rules_free(&p->rules);
}

bool
provider_set_value(const struct provider_set *p, const char *parameter,
    char *out, size_t n, const struct provider_limit **from_out)
{
	const struct param *param = params_find(parameter);
	const struct provider_limit *from;

	if (param == NULL ||
	    !provider_value(&p->chosen, parameter, out, n, &from))
		return false;
	if (param->type == PARAM_INT && from->count > param->max)
		(void)snprintf(out, n, "%lld", (long long)param->max);
	if (from_out != NULL)
		*from_out = from;
	return true;
}
