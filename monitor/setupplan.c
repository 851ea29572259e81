#include "monitor/setupplan.h"

#include <ctype.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "common/base/log.h"
#include "common/base/mem.h"
#include "common/smtp/nexthop.h"
#include "monitor/setupuse.h"

#define AUTHORITIES "/etc/ssl/certs/ca-certificates.crt"

enum {
	NAME_MAX_LENGTH = 30,
	WINDOW_FAST = 2000, /* 2 x 20 x 50 */
	WINDOW_SLOW = 44, /* 2 x 2 x 11: advice.h, at five a second */
	RECIPIENTS = 50,
	SLOW_CONNECTIONS = 2,
	RESERVE_MAX = 4,
};

static void __attribute__((format(printf, 2, 3)))
add_conflict(struct setupplan *p, const char *format, ...)
{
	char text[1024];
	va_list args;

	va_start(args, format);
	(void)vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	if (p->conflict_count < SETUPPLAN_CONFLICTS_MAX)
		p->conflicts[p->conflict_count++] = mem_strdup(text);
}

/* ---- main.cf ------------------------------------------------------------- */

/* As it is there already it need not be added; otherwise it is in the way. */
static void
add_line(struct setupplan *p, const struct main_cf *cf, const char *name,
    const char *value)
{
	const char *now = main_cf_find(cf, name);

	if (now == NULL) {
		CHECK(p->line_count < SETUPPLAN_LINES_MAX);
		p->lines[p->line_count++] = mem_printf("%s = %s", name, value);
	} else if (strcmp(now, value) != 0) {
		add_conflict(
		    p, "main.cf has %s = %s already, not %s", name, now, value);
	}
}

static void
add_number(struct setupplan *p, const struct main_cf *cf, const char *service,
    const char *suffix, int value)
{
	char *name = mem_printf("%s_%s", service, suffix);
	char text[32];

	(void)snprintf(text, sizeof(text), "%d", value);
	add_line(p, cf, name, text);
	mem_free(name);
}

static void
add_windows(struct setupplan *p, const struct main_cf *cf, const char *service,
    int window)
{
	char *name;

	add_number(p, cf, service, "destination_concurrency_limit", window);
	add_number(p, cf, service, "initial_destination_concurrency", window);
	add_number(p, cf, service, "destination_recipient_limit", RECIPIENTS);
	name = mem_printf("%s_destination_rate_delay", service);
	add_line(p, cf, name, "0s");
	mem_free(name);
}

static void
add_table(struct setupplan *p, const char *maps)
{
	char *table = mem_printf("texthash:%s", p->transport);

	if (!setupuse_has_path(maps, p->transport))
		p->maps = mem_printf("transport_maps = %s%s%s", maps,
		    maps[0] != '\0' ? " " : "", table);
	mem_free(table);
}

char *
setupplan_sender_maps(
    const char *sender_transports, const char *sender_relayhosts)
{
	return mem_printf("%s%spipemap:{unionmap:{%s}, static:smtp}",
	    sender_transports, sender_transports[0] != '\0' ? " " : "",
	    sender_relayhosts);
}

/* Whose relay the table names goes there by smtp(8), as before. */
static void
add_senders(struct setupplan *p, const struct setupplan_conf *conf)
{
	static const char name[] = "sender_dependent_default_transport_maps";
	char *verify, *value;

	if (conf->sender_relayhosts[0] == '\0')
		return;
	verify = mem_printf("address_verify_%s", name);
	if (main_cf_find(conf->cf, verify) == NULL)
		add_line(p, conf->cf, verify, conf->verify_sender_transports);
	value = setupplan_sender_maps(
	    conf->sender_transports, conf->sender_relayhosts);
	p->senders = mem_printf("%s = %s", name, value);
	mem_free(value);
	mem_free(verify);
}

/* What no other rule takes; verify(8) goes on as it did. */
static void
add_default(struct setupplan *p, const struct setupplan_conf *conf)
{
	if (strcmp(conf->default_transport, "smtp") != 0) {
		p->why_not = "it is not smtp";
		return;
	}
	p->is_default = true;
	if (main_cf_find(conf->cf, "default_transport") != NULL)
		p->usual = mem_printf("default_transport = %s", p->slow);
	else
		add_line(p, conf->cf, "default_transport", p->slow);
	if (main_cf_find(conf->cf, "address_verify_default_transport") == NULL)
		add_line(
		    p, conf->cf, "address_verify_default_transport", "smtp");
	add_senders(p, conf);
}

/* ---- what the account allows ---------------------------------------------
 */

static bool
has_limit(const struct setupplan *p, const char *name)
{
	size_t n = strlen(name);

	for (size_t i = 0; i < p->limit_count; i++)
		if (strncmp(p->limits[i].setting, name, n) == 0 &&
		    p->limits[i].setting[n] == ' ')
			return true;
	return false;
}

/* What main.cf has of it wins. */
static void
add_limit(
    struct setupplan *p, const struct setupplan_conf *conf, const char *name)
{
	const struct provider_set *set = &conf->provider->set;
	const char *own = main_cf_find(conf->cf, name);
	const struct provider_limit *from;
	const struct provider_source *source;
	char value[256];

	if (has_limit(p, name) || p->limit_count == SETUPPLAN_LIMITS_MAX ||
	    !provider_set_value(set, name, value, sizeof(value), &from))
		return;
	source = provider_find_source(&set->chosen, from->source);
	p->limits[p->limit_count++] = (struct setupplan_limit){
	    .setting = mem_printf("%s = %s", name, own != NULL ? own : value),
	    .reason = own != NULL
			  ? mem_printf("of main.cf, which wins; of %s: %s",
				conf->provider->name, value)
			  : mem_printf("%s, %s, read %s",
				provider_standing_name(from->standing),
				source != NULL ? source->where : from->source,
				source != NULL ? source->read_on : "never"),
	};
}

static void
add_provider(struct setupplan *p, const struct setupplan_conf *conf,
    const struct site *site)
{
	const struct setupprovider *known = conf->provider;

	if (known == NULL)
		return;
	/* Nobody's, where main.cf says somebody's. */
	if (known->name[0] != '\0' || (known->why == SETUPPROVIDER_ASKED &&
					  site->set.lane_provider[0] != '\0'))
		p->provider = mem_strdup(known->name);
	for (size_t i = 0; i < known->set.chosen.limit_count; i++) {
		const char *name =
		    provider_parameter(&known->set.chosen.limits[i]);

		if (name != NULL)
			add_limit(p, conf, name);
	}
}

/* Connections of the account. */
static int
connections_of(const struct setupplan_conf *conf, const struct site *site)
{
	int known = conf->provider != NULL
			? setupprovider_connections(conf->provider)
			: 0;

	return known > 0 && main_cf_find(conf->cf,
				"lane_account_connection_limit") == NULL
		   ? known
		   : site->set.lane_account_connection_limit;
}

/* ---- master.cf ----------------------------------------------------------- */

static bool
has_service(const struct site *site, const char *service)
{
	for (size_t i = 0; i < site->entry_count; i++)
		if (strcmp(site->entries[i].fields[MASTERCF_SERVICE],
			service) == 0)
			return true;
	return false;
}

/* Options about the login; the caller's. */
static char *
login_of(const struct setupplan *p)
{
	if (p->is_loginless)
		return mem_strdup(" -o smtp_sasl_auth_enable=no");
	return mem_printf(" -o smtp_sasl_auth_enable=yes"
			  " -o smtp_sasl_password_maps=texthash:%s"
			  " -o smtp_sasl_tls_security_options=noanonymous"
			  " -o smtp_sender_dependent_authentication=no",
	    p->login);
}

/* The last option keeps postconf(1) from calling names unused that it does not
 * know: see master.cf.example. */
static char *
entry_of(const struct setupplan *p, const char *service, const char *own,
    const char *own_names, const char *class)
{
	bool has_provider = p->provider != NULL;
	char *login = login_of(p), *entry;

	entry = mem_printf(
	    "%s/unix = %s unix - - n - 1 lane -o lane_smarthost=%s%s%s%s"
	    " -o smtp_tls_security_level=%s -o smtp_tls_CAfile=" AUTHORITIES
	    " -o smtp_tls_CApath=%s"
	    " -o smtp_tls_wrappermode=no -o smtp_tls_policy_maps="
	    " -o smtp_fallback_relay="
	    " -o { smtpd_log_access_permit_actions = ${lane_smarthost?{}}%s%s"
	    " ${%s_destination_concurrency_limit?{}}"
	    " ${%s_initial_destination_concurrency?{}}"
	    " ${%s_destination_recipient_limit?{}}"
	    " ${%s_destination_rate_delay?{}} } class=%s",
	    service, service, p->nexthop,
	    has_provider ? " -o lane_provider=" : "",
	    has_provider ? p->provider : "", own, p->tls_level, login,
	    has_provider ? " ${lane_provider?{}}" : "", own_names, service,
	    service, service, service, class);
	mem_free(login);
	return entry;
}

/* Of the account's connections fast always has as many as slow leaves, some at
 * most, and neither has more than there are. */
static void
add_fast(struct setupplan *p, const struct site *site, int connections)
{
	int left = connections > SLOW_CONNECTIONS
		       ? connections - SLOW_CONNECTIONS
		       : connections - 1;
	int reserve = left < RESERVE_MAX ? left : RESERVE_MAX;
	bool is_less = connections < site->set.lane_connection_limit;
	char own[128] = "", *names;
	size_t n = 0;

	if (is_less)
		n = (size_t)snprintf(own, sizeof(own),
		    " -o lane_connection_limit=%d", connections);
	if (reserve > 0)
		(void)snprintf(own + n, sizeof(own) - n,
		    " -o lane_connection_reserve=%d", reserve);
	names =
	    mem_printf("%s%s", is_less ? " ${lane_connection_limit?{}}" : "",
		reserve > 0 ? " ${lane_connection_reserve?{}}" : "");
	p->entries[0] = entry_of(p, p->fast, own, names, "fast");
	mem_free(names);
}

static void
add_slow(struct setupplan *p, int connections)
{
	char own[128];

	(void)snprintf(own, sizeof(own),
	    " -o lane_connection_limit=%d -o lane_message_rate_limit=5/1s",
	    connections < SLOW_CONNECTIONS ? connections : SLOW_CONNECTIONS);
	p->entries[1] = entry_of(p, p->slow, own,
	    " ${lane_connection_limit?{}} ${lane_message_rate_limit?{}}",
	    "slow");
}

static void
add_entries(struct setupplan *p, const struct site *site, int connections)
{
	const char *services[] = {p->fast, p->slow};

	for (size_t i = 0; i < 2; i++)
		if (has_service(site, services[i]))
			add_conflict(p, "master.cf has a service %s already",
			    services[i]);
	add_fast(p, site, connections);
	add_slow(p, connections);
}

/* ---- the words ----------------------------------------------------------- */

static bool
is_name(const char *name)
{
	size_t n = strlen(name);

	for (size_t i = 0; i < n; i++)
		if (!islower((unsigned char)name[i]) &&
		    !(i > 0 && isdigit((unsigned char)name[i])))
			return false;
	return n <= NAME_MAX_LENGTH;
}

static bool
is_nexthop(const char *text, const char **why)
{
	struct slice list = slice_str(text);
	struct nexthop nexthop;

	*why = "must be one host, such as [mail.example.com]:587";
	if (strpbrk(text, ", \t{}$") != NULL)
		return false;
	return nexthop_next(&list, &nexthop, why);
}

char *
setupplan_path(const char *directory, const char *name, const char *what)
{
	return mem_printf(
	    "%s/%s_%s", directory, name[0] != '\0' ? name : "lane", what);
}

const char *
setupplan_tls_level(const char *word)
{
	static const char *const levels[] = {
	    "none", "may", "encrypt", "verify", "secure"};

	for (size_t i = 0; i < sizeof(levels) / sizeof(levels[0]); i++)
		if (strcmp(word, levels[i]) == 0)
			return levels[i];
	return NULL;
}

bool
setupplan_make(struct setupplan *plan, const struct site *site,
    const struct setupplan_conf *conf, const char *nexthop, const char *name,
    char *error, size_t n)
{
	const char *directory = site->set.config_directory, *why;
	const char *bar = name[0] != '\0' ? "_" : "";

	*plan = (struct setupplan){.nexthop = NULL};
	if (!is_nexthop(nexthop, &why)) {
		(void)snprintf(error, n, "bad nexthop: %s: %s", nexthop, why);
		return false;
	}
	if (!is_name(name)) {
		(void)snprintf(error, n,
		    "bad option: --name %s: must be at most %d small letters "
		    "and digits, the first a letter",
		    name, NAME_MAX_LENGTH);
		return false;
	}
	plan->nexthop = mem_strdup(nexthop);
	plan->directory = mem_strdup(directory);
	plan->fast = mem_printf("%s%sfast", name, bar);
	plan->slow = mem_printf("%s%sslow", name, bar);
	plan->login = setupplan_path(directory, name, "login");
	plan->transport = setupplan_path(directory, name, "transport");
	plan->record = setupplan_path(directory, name, "setup.json");
	plan->is_loginless = conf->is_loginless;
	plan->tls_level = conf->tls_level != NULL ? conf->tls_level : "secure";
	add_table(plan, conf->transport_maps);
	add_windows(plan, conf->cf, plan->fast, WINDOW_FAST);
	add_windows(plan, conf->cf, plan->slow, WINDOW_SLOW);
	add_default(plan, conf);
	add_provider(plan, conf, site);
	add_entries(plan, site, connections_of(conf, site));
	return true;
}

void
setupplan_fini(struct setupplan *plan)
{
	char *const texts[] = {plan->nexthop, plan->directory, plan->fast,
	    plan->slow, plan->login, plan->transport, plan->record, plan->maps,
	    plan->senders, plan->usual, plan->provider, plan->entries[0],
	    plan->entries[1]};

	for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++)
		mem_free(texts[i]);
	for (size_t i = 0; i < plan->line_count; i++)
		mem_free(plan->lines[i]);
	for (size_t i = 0; i < plan->conflict_count; i++)
		mem_free(plan->conflicts[i]);
	for (size_t i = 0; i < plan->limit_count; i++) {
		mem_free(plan->limits[i].setting);
		mem_free(plan->limits[i].reason);
	}
	*plan = (struct setupplan){.nexthop = NULL};
}
