#include "monitor/origin.h"

#include <stdio.h>
#include <string.h>

#include "agent/settings/params.h"
#include "common/base/mem.h"

static size_t
index_of(const char *name)
{
	size_t i = 0;

	while (i < params_count() && strcmp(params_get(i)->name, name) != 0)
		i++;
	return i;
}

static void
say_provider(
    const struct site_lane *lane, const char *name, char *text, size_t n)
{
	const struct provider_limit *from = NULL;
	char value[512];

	if (provider_set_value(
		&lane->provider, name, value, sizeof(value), &from) &&
	    from != NULL)
		(void)snprintf(
		    text, n, "%s:%d", lane->provider.chosen.file, from->line);
	else
		(void)snprintf(
		    text, n, "lane_provider = %s", lane->set.lane_provider);
}

const char *
origin_of_parameter(
    const struct site_lane *lane, const char *name, char *text, size_t n)
{
	size_t i = index_of(name);
	enum config_origin origin =
	    i < params_count() ? lane->origins.params[i] : CONFIG_BUILT_IN;

	switch (origin) {
	case CONFIG_BUILT_IN:
		(void)snprintf(text, n, "default");
		break;
	case CONFIG_CLASS:
		(void)snprintf(text, n, "class=%s", lane->opt.class);
		break;
	case CONFIG_PROVIDER:
		say_provider(lane, name, text, n);
		break;
	case CONFIG_MAIN_CF:
		(void)snprintf(text, n, "main.cf");
		break;
	case CONFIG_COMMAND_LINE:
		(void)snprintf(text, n, "master.cf -o");
		break;
	}
	return text;
}

/* "name = ..." at the beginning of a line, or, of an entry, "-o name=". */
static bool
sets(const char *line, const char *name, bool is_entry)
{
	const char *at = line;
	size_t n = strlen(name);

	if (is_entry) {
		at = strstr(line, name);
		return at != NULL && strchr(" {\t", at > line ? at[-1] : ' ') &&
		       at[n + strspn(at + n, " \t")] == '=';
	}
	return strncmp(line, name, n) == 0 &&
	       line[n + strspn(line + n, " \t")] == '=';
}

/* The last such line of main.cf / the one within the entry of master.cf; 0:
 * there is none, such as for a name that another one stands for. */
static int
line_of(const char *path, const char *name, const char *service)
{
	FILE *file = fopen(path, "re");
	char line[4096];
	int number = 0, found = 0;
	bool is_inside = service == NULL;

	while (file != NULL && fgets(line, sizeof(line), file) != NULL) {
		size_t n = service != NULL ? strlen(service) : 0;

		number++;
		if (line[0] == '#')
			continue;
		if (service != NULL && strchr(" \t\n", line[0]) == NULL)
			is_inside = strncmp(line, service, n) == 0 &&
				    strchr(" \t", line[n]) != NULL;
		if (is_inside && sets(line, name, service != NULL))
			found = number;
	}
	if (file != NULL)
		(void)fclose(file);
	return found;
}

const char *
origin_place_of_parameter(
    const struct site_lane *lane, const char *name, char *text, size_t n)
{
	size_t i = index_of(name);
	bool is_entry;
	char *path;
	int line;

	if (i == params_count() ||
	    (lane->origins.params[i] != CONFIG_MAIN_CF &&
		lane->origins.params[i] != CONFIG_COMMAND_LINE))
		return origin_of_parameter(lane, name, text, n);
	is_entry = lane->origins.params[i] == CONFIG_COMMAND_LINE;
	path = mem_printf("%s/%s", lane->set.config_directory,
	    is_entry ? "master.cf" : "main.cf");
	line = line_of(path, name, is_entry ? lane->opt.service_name : NULL);
	if (line > 0)
		(void)snprintf(text, n, "%s:%d", path, line);
	else
		(void)origin_of_parameter(lane, name, text, n);
	mem_free(path);
	return text;
}

const char *
origin_parameter(const char *unit, bool is_account)
{
	static const struct {
		const char *unit, *own, *account;
	} rows[] = {
	    {"messages", "lane_message_rate_limit",
		"lane_account_message_rate_limit"},
	    {"recipients", "lane_recipient_rate_limit",
		"lane_account_recipient_rate_limit"},
	    {"octets", "lane_byte_rate_limit", "lane_account_byte_rate_limit"},
	    {"connections", "lane_connection_rate_limit",
		"lane_connection_rate_limit"},
	};

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
		if (strcmp(rows[i].unit, unit) == 0)
			return is_account ? rows[i].account : rows[i].own;
	return "";
}

/* Does a list of rates, as it is set, have this one? */
static bool
has_rate(const char *list, const char *text)
{
	struct rate rates[RATE_LIST_MAX];
	char error[256], one[RATE_TEXT_SIZE];
	size_t count = 0;

	if (!rate_list_parse(slice_str(list), rates, RATE_LIST_MAX, &count,
		error, sizeof(error)))
		return false;
	for (size_t i = 0; i < count; i++) {
		rate_to_text(&rates[i], one, sizeof(one));
		if (strcmp(one, text) == 0)
			return true;
	}
	return false;
}

static bool
asks_for(const struct site_lane *lane, const char *name, const char *text)
{
	const struct param *param = params_find(name);
	char *list;
	bool has;

	if (lane == NULL || param == NULL)
		return false;
	list = params_text(&lane->set, param);
	has = has_rate(list, text);
	mem_free(list);
	return has;
}

const char *
origin_of_rate(const struct site_lane *lane, const struct model_rate *rate,
    bool is_account, char *text, size_t n)
{
	const char *name = origin_parameter(rate->unit, is_account);
	char from[ORIGIN_SIZE];

	if (asks_for(lane, name, rate->text))
		(void)snprintf(text, n, "%s, %s", name,
		    origin_of_parameter(lane, name, from, sizeof(from)));
	else
		(void)snprintf(
		    text, n, "%s, as it was when the process started", name);
	return text;
}

const char *
origin_of_account_rate(const struct model *m, size_t account,
    const struct model_rate *rate, char *text, size_t n)
{
	const char *name = origin_parameter(rate->unit, true);
	const struct site_lane *lane = NULL;
	char shared[RATE_TEXT_SIZE];

	(void)snprintf(shared, sizeof(shared), "%s", rate->text);
	for (size_t i = 0; i < m->lane_count && lane == NULL; i++)
		if (m->lanes[i].account == (int)account &&
		    asks_for(m->lanes[i].site, name, rate->text))
			lane = m->lanes[i].site;
	if (lane == NULL && account < m->account_count &&
	    model_fleet_round(&m->accounts[account].fleet, rate->unit, shared,
		sizeof(shared))) {
		(void)snprintf(text, n, "this host's share of %s", name);
		return text;
	}
	return origin_of_rate(lane, rate, true, text, n);
}
