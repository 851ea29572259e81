#include "agent/io/resolvconf.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { LINE_SIZE = 1024 };

static const char blanks[] = " \t\r\n";

/* "name:12" as 12 and at most max; false when the word is another. */
static bool
take_number(const char *word, const char *name, int max, int *out)
{
	size_t n = strlen(name);
	long value;
	char *end;

	if (strncmp(word, name, n) != 0)
		return false;
	value = strtol(word + n, &end, 10);
	if (end != word + n && *end == '\0' && value >= 0)
		*out = value > max ? max : (int)value;
	return true;
}

static void
take_options(struct resolvconf *conf, char *words)
{
	char *rest = NULL;

	for (char *word = strtok_r(words, blanks, &rest); word != NULL;
	     word = strtok_r(NULL, blanks, &rest)) {
		if (take_number(
			word, "ndots:", RESOLVCONF_NDOTS_MAX, &conf->ndots) ||
		    take_number(word, "timeout:", RESOLVCONF_TIMEOUT_MAX_S,
			&conf->timeout_s) ||
		    take_number(word, "attempts:", RESOLVCONF_ATTEMPTS_MAX,
			&conf->attempts))
			continue;
		if (strcmp(word, "rotate") == 0)
			conf->rotate = true;
	}
	/* The C library asks once at least, and waits for it. */
	if (conf->timeout_s < 1)
		conf->timeout_s = 1;
	if (conf->attempts < 1)
		conf->attempts = 1;
}

static void
take_domains(struct resolvconf *conf, char *words, size_t max)
{
	char *rest = NULL;

	conf->domain_count = 0;
	for (char *word = strtok_r(words, blanks, &rest);
	     word != NULL && conf->domain_count < max;
	     word = strtok_r(NULL, blanks, &rest)) {
		size_t n = strlen(word);

		while (n > 0 && word[n - 1] == '.')
			n--;
		/* "." is the root: as if there were no search. */
		if (n > 0 && n < RESOLVCONF_NAME_SIZE)
			(void)snprintf(conf->domains[conf->domain_count++],
			    RESOLVCONF_NAME_SIZE, "%.*s", (int)n, word);
	}
}

/* The last of domain and search counts. */
static void
take_line(struct resolvconf *conf, char *line, bool *has_domains)
{
	char *value = line + strcspn(line, blanks);
	size_t n = (size_t)(value - line);

	if (n == 6 && strncmp(line, "search", n) == 0) {
		take_domains(conf, value, RESOLVCONF_DOMAINS_MAX);
		*has_domains = true;
	} else if (n == 6 && strncmp(line, "domain", n) == 0) {
		take_domains(conf, value, 1);
		*has_domains = true;
	} else if (n == 7 && strncmp(line, "options", n) == 0) {
		take_options(conf, value);
	} else if (n == 10 && strncmp(line, "nameserver", n) == 0) {
		conf->server_count++;
	}
}

/* The domain of this host, when nothing else names one. */
static void
take_host_domain(struct resolvconf *conf)
{
	char host[RESOLVCONF_NAME_SIZE] = "";
	char *dot;

	if (gethostname(host, sizeof(host) - 1) == 0 &&
	    (dot = strchr(host, '.')) != NULL)
		take_domains(conf, dot + 1, 1);
}

static void
read_file(struct resolvconf *conf, const char *path, bool *has_domains)
{
	FILE *file = fopen(path, "re");
	char line[LINE_SIZE];

	while (file != NULL && fgets(line, sizeof(line), file) != NULL)
		take_line(conf, line, has_domains);
	if (file != NULL)
		(void)fclose(file);
}

void
resolvconf_read(struct resolvconf *conf, const char *path)
{
	const char *domains = getenv("LOCALDOMAIN");
	const char *options = getenv("RES_OPTIONS");
	bool has_domains = false;
	char copy[LINE_SIZE];

	memset(conf, 0, sizeof(*conf));
	conf->ndots = 1;
	conf->timeout_s = 5;
	conf->attempts = 2;
	read_file(conf, path, &has_domains);
	if (domains != NULL) {
		(void)snprintf(copy, sizeof(copy), "%s", domains);
		take_domains(conf, copy, RESOLVCONF_DOMAINS_MAX);
	} else if (!has_domains) {
		take_host_domain(conf);
	}
	if (options != NULL) {
		(void)snprintf(copy, sizeof(copy), "%s", options);
		take_options(conf, copy);
	}
	if (conf->server_count < 1)
		conf->server_count = 1;
	if (conf->server_count > RESOLVCONF_SERVERS_MAX)
		conf->server_count = RESOLVCONF_SERVERS_MAX;
}

/* The rules of res_search(3). */
bool
resolvconf_name(const struct resolvconf *conf, unsigned flags, const char *name,
    size_t i, char out[RESOLVCONF_NAME_SIZE])
{
	size_t n = strlen(name), domains = 0;
	bool is_absolute = n > 0 && name[n - 1] == '.';
	bool is_first;
	int dots = 0, used;

	for (const char *p = name; *p != '\0'; p++)
		dots += *p == '.';
	is_first = is_absolute || dots >= conf->ndots;
	if (!is_absolute && dots == 0 && (flags & RESOLVCONF_DEFNAMES) != 0)
		domains = (flags & RESOLVCONF_DNSRCH) != 0 ? conf->domain_count
			  : conf->domain_count > 0         ? 1
							   : 0;
	else if (!is_absolute && dots > 0 && (flags & RESOLVCONF_DNSRCH) != 0)
		domains = conf->domain_count;
	if (i > domains)
		return false;
	if (i == (is_first ? 0 : domains)) {
		used = snprintf(out, RESOLVCONF_NAME_SIZE, "%.*s",
		    (int)(is_absolute ? n - 1 : n), name);
	} else {
		used = snprintf(out, RESOLVCONF_NAME_SIZE, "%s.%s", name,
		    conf->domains[is_first ? i - 1 : i]);
	}
	/* Too long for a name: the server would be asked for another. */
	if (used < 0 || used >= RESOLVCONF_NAME_SIZE)
		out[0] = '\0';
	return true;
}

int
resolvconf_patience_ms(const struct resolvconf *conf)
{
	return conf->timeout_s * conf->attempts * conf->server_count * 1000;
}
