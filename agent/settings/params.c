#include "agent/settings/params.h"

#include <ctype.h>
#include <errno.h>
#include <openssl/opensslv.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include "agent/engine/domains.h"
#include "agent/engine/mtpriority.h"
#include "agent/engine/pacer.h"
#include "agent/io/dnsquestion.h"
#include "agent/io/trusted_resolver.h"
#include "common/base/buf.h"
#include "common/base/clock.h"
#include "common/base/log.h"
#include "common/base/mem.h"
#include "common/base/words.h"
#include "common/limits/rate.h"
#include "common/smtp/nexthop.h"

enum { TEXT_MAX = 65536 };

/* What a class sets unless a parameter says otherwise. */
static const struct provider {
	const char *class, *name, *value;
} presets[] = {
    {"slow", "lane_connection_limit", "2"},
    {"slow", "lane_message_rate_limit", "1/1s"},
    {"slow", "lane_priority", "bulk"},
};

const char *
params_classes(void)
{
	return "class=fast or class=slow";
}

bool
params_is_class(const char *class)
{
	return *class == '\0' || strcmp(class, "fast") == 0 ||
	       strcmp(class, "slow") == 0;
}

const char *
params_default(const struct param *param, const char *class)
{
	for (size_t i = 0; i < sizeof(presets) / sizeof(presets[0]); i++)
		if (strcmp(presets[i].class, class) == 0 &&
		    strcmp(presets[i].name, param->name) == 0)
			return presets[i].value;
	return param->fallback;
}

bool
params_is_ours(const struct param *param)
{
	return strncmp(param->name, "lane_", 5) == 0 ||
	       strcmp(param->name, "smtp_tls_dane_resolver") == 0;
}

const struct param *
params_find(const char *name)
{
	for (size_t i = 0; i < params_count(); i++)
		if (strcmp(params_get(i)->name, name) == 0)
			return params_get(i);
	return NULL;
}

static const struct renamed {
	const char *old, *name;
} renamed[] = {
    {"lane_hold_limit", "lane_wait_limit"},
};

const char *
params_old_name(const struct param *param)
{
	for (size_t i = 0; i < sizeof(renamed) / sizeof(renamed[0]); i++)
		if (strcmp(renamed[i].name, param->name) == 0)
			return renamed[i].old;
	return NULL;
}

const struct param *
params_find_old(const char *name)
{
	for (size_t i = 0; i < sizeof(renamed) / sizeof(renamed[0]); i++)
		if (strcmp(renamed[i].old, name) == 0)
			return params_find(renamed[i].name);
	return NULL;
}

static void *
member(struct settings *set, const struct param *param)
{
	return (char *)set + param->offset;
}

static bool
is_text(const struct param *param)
{
	switch (param->type) {
	case PARAM_STRING:
	case PARAM_WORD:
	case PARAM_WORDS:
	case PARAM_RATE:
		return true;
	case PARAM_BOOL:
	case PARAM_INT:
	case PARAM_TIME:
	case PARAM_BYTES:
		break;
	}
	return false;
}

static void
set_text(struct settings *set, const struct param *param, const char *text)
{
	char **to = member(set, param);
	char *copy = mem_strdup(text);

	mem_free(*to);
	*to = copy;
}

/* Whole number, as in Postfix perhaps with a sign; *rest_out is what follows.
 */
static bool
parse_number(const char *text, int64_t *out, const char **rest_out)
{
	char *end;
	long long n;

	errno = 0;
	n = strtoll(text, &end, 10);
	*out = n;
	*rest_out = end;
	return errno == 0 && *text != '\0';
}

/* Seconds of "5", "30s", "2m". In Postfix the unit is one letter, whatever
 * follows ("10min"), and no number is 0; as_postfix: so. */
static bool
parse_time(const char *text, bool as_postfix, int64_t *out)
{
	static const struct unit {
		char letter;
		int64_t s;
	} units[] = {
	    {'s', 1}, {'m', 60}, {'h', 3600}, {'d', 86400}, {'w', 604800}};
	const char *rest;

	if (!parse_number(text, out, &rest) || *out < 0)
		return false;
	if (*rest == '\0')
		return true;
	for (size_t i = 0; i < sizeof(units) / sizeof(units[0]); i++)
		if (units[i].letter == *rest &&
		    (as_postfix || (rest > text && rest[1] == '\0'))) {
			if (units[i].s > 1 && *out >= INT32_MAX / units[i].s)
				return false;
			*out *= units[i].s;
			return true;
		}
	return false;
}

/* Whether word is in the table's words; "-" stands for
 * nothing at all. */
static bool
is_allowed(const struct param *param, struct slice word)
{
	struct slice list = slice_str(param->words), each;

	while (words_cut(&list, WORDS_SEPARATORS, &each)) {
		if (slice_eq(each, "-"))
			each.n = 0;
		if (each.n == word.n &&
		    strncasecmp(each.p, word.p, word.n) == 0)
			return true;
	}
	return false;
}

static bool
set_word(struct settings *set, const struct param *param, const char *text)
{
	char *lower;

	if (!is_allowed(param, slice_str(text)))
		return false;
	lower = mem_strdup(text);
	/* tls_append_default_CA and its like are compared without case. */
	for (char *p = lower; *p != '\0'; p++)
		*p = (char)tolower((unsigned char)*p);
	set_text(set, param, lower);
	mem_free(lower);
	return true;
}

static bool
set_words(struct settings *set, const struct param *param, const char *text)
{
	struct slice list = slice_str(text), word;

	while (words_cut(&list, WORDS_SEPARATORS, &word))
		if (!is_allowed(param, word))
			return false;
	set_text(set, param, text);
	return true;
}

static bool
set_bool(struct settings *set, const struct param *param, const char *text)
{
	bool *to = member(set, param);

	if (strcasecmp(text, "yes") == 0)
		*to = true;
	else if (strcasecmp(text, "no") == 0)
		*to = false;
	else
		return false;
	return true;
}

static bool
set_number(struct settings *set, const struct param *param, const char *text)
{
	bool is_ours = strncmp(param->name, "lane_", 5) == 0;
	const char *rest = "";
	int64_t n;

	CHECK(param->min <= param->max);
	if (param->type == PARAM_TIME ? !parse_time(text, !is_ours, &n)
				      : !parse_number(text, &n, &rest))
		return false;
	if (*rest != '\0')
		return false;
	/* Where Postfix has no bound, less than 0 is as good as 0, and more
	 * than a year as a year. */
	if (param->type == PARAM_INT && param->min == INT32_MIN && n < 0 &&
	    n >= INT32_MIN)
		n = 0;
	if (param->type == PARAM_TIME && param->max == PARAM_YEAR &&
	    n > PARAM_YEAR && n <= INT32_MAX)
		n = PARAM_YEAR;
	if (n < param->min || n > param->max)
		return false;
	if (param->type == PARAM_INT)
		*(int *)member(set, param) = (int)n;
	else
		*(int64_t *)member(set, param) =
		    param->type == PARAM_TIME ? n * US_PER_S : n;
	return true;
}

static bool
set_rate(struct settings *set, const struct param *param, const char *text,
    char *error, size_t error_size)
{
	struct rate rates[RATE_LIST_MAX];
	size_t count;

	if (!rate_list_parse(slice_str(text), rates, RATE_LIST_MAX, &count,
		error, error_size))
		return false;
	set_text(set, param, text);
	return true;
}

static bool
set_value(struct settings *set, const struct param *param, const char *text,
    char *error, size_t error_size)
{
	switch (param->type) {
	case PARAM_STRING:
		set_text(set, param, text);
		return true;
	case PARAM_BOOL:
		return set_bool(set, param, text);
	case PARAM_INT:
	case PARAM_TIME:
	case PARAM_BYTES:
		return set_number(set, param, text);
	case PARAM_WORD:
		return set_word(set, param, text);
	case PARAM_WORDS:
		return set_words(set, param, text);
	case PARAM_RATE:
		return set_rate(set, param, text, error, error_size);
	}
	return false;
}

/* "a, b or c" of the words in the table. */
static char *
list_words(const struct param *param)
{
	struct slice list = slice_str(param->words), word, next;
	struct buf out;
	char *text;

	buf_init(&out, TEXT_MAX);
	(void)words_cut(&list, WORDS_SEPARATORS, &word);
	for (; word.n > 0; word = next) {
		(void)words_cut(&list, WORDS_SEPARATORS, &next);
		if (buf_len(&out) > 0)
			(void)buf_add_str(&out, next.n > 0 ? ", " : " or ");
		if (slice_eq(word, "-"))
			(void)buf_add_str(&out, "empty");
		else
			(void)buf_add_slice(&out, word);
	}
	text = mem_strdup(buf_str(&out));
	buf_fini(&out);
	return text;
}

static char *
time_text(int64_t s)
{
	if (s % 86400 == 0 && s > 0)
		return mem_printf("%lldd", (long long)(s / 86400));
	return mem_printf("%llds", (long long)s);
}

/* What is allowed, as in the text of a problem; the caller frees. */
static char *
allowed_for(const struct param *param)
{
	char *words, *low, *high, *text;

	switch (param->type) {
	case PARAM_STRING:
		break;
	case PARAM_BOOL:
		return mem_strdup("yes or no");
	case PARAM_INT:
	case PARAM_BYTES:
		return mem_printf("%lld to %lld", (long long)param->min,
		    (long long)param->max);
	case PARAM_TIME:
		low = time_text(param->min);
		high = time_text(param->max);
		text = mem_printf(
		    "%s to %s (a number and s, m, h, d or w)", low, high);
		mem_free(low);
		mem_free(high);
		return text;
	case PARAM_WORD:
		return list_words(param);
	case PARAM_WORDS:
		words = list_words(param);
		text = mem_printf("a list of %s", words);
		mem_free(words);
		return text;
	case PARAM_RATE:
		return mem_strdup("none, or rates such as 14/1s, 30/1m:5 "
				  "or 50000/1d!");
	}
	return mem_strdup("any text");
}

bool
params_set(struct settings *set, const struct param *param, const char *text,
    struct problems *problems)
{
	char error[512] = "";
	char *allowed;

	if (set_value(set, param, text, error, sizeof(error)))
		return true;
	/* Who misspelt it wanted something hidden: what is logged of mail that
	 * waits for the correction must not show it. */
	if (param->offset == offsetof(struct settings, lane_log_anonymize))
		set_text(set, param, "smart");
	/* What is wrong with a rate says what is allowed, too. */
	allowed = *error == '\0' ? allowed_for(param) : NULL;
	problems_addf(problems, "bad parameter: %s = %s: %s%s", param->name,
	    text, allowed != NULL ? "must be " : error,
	    allowed != NULL ? allowed : "");
	mem_free(allowed);
	return false;
}

char *
params_text(const struct settings *set, const struct param *param)
{
	const void *from = (const char *)set + param->offset;

	switch (param->type) {
	case PARAM_BOOL:
		return mem_strdup(*(const bool *)from ? "yes" : "no");
	case PARAM_INT:
		return mem_printf("%d", *(const int *)from);
	case PARAM_TIME:
		return mem_printf(
		    "%llds", (long long)(*(const int64_t *)from / US_PER_S));
	case PARAM_BYTES:
		return mem_printf("%lld", (long long)*(const int64_t *)from);
	case PARAM_STRING:
	case PARAM_WORD:
	case PARAM_WORDS:
	case PARAM_RATE:
		break;
	}
	return mem_strdup(*(char *const *)from);
}

void
params_init(struct settings *set)
{
	struct problems problems = {0};

	memset(set, 0, sizeof(*set));
	set->lane_class = mem_strdup("");
	for (size_t i = 0; i < params_count(); i++) {
		const struct param *param = params_get(i);

		if (is_text(param))
			set_text(set, param, "");
		if (strchr(param->fallback, '$') == NULL)
			(void)params_set(
			    set, param, param->fallback, &problems);
	}
	problems_fini(&problems);
}

void
settings_free(struct settings *set)
{
	for (size_t i = 0; i < params_count(); i++)
		if (is_text(params_get(i)))
			mem_free(*(char **)member(set, params_get(i)));
	mem_free(set->lane_class);
	memset(set, 0, sizeof(*set));
}

/* As smtp(8): TLS before SMTP makes no sense at a level that would go on in
 * plain text. A policy table may raise the level, so only the dialer can tell
 * then. */
static void
check_wrappermode(const struct settings *set, struct problems *problems)
{
	const char *level = set->smtp_tls_security_level;

	if (!set->smtp_tls_wrappermode || *set->smtp_tls_policy_maps != '\0')
		return;
	if (*level == '\0'
		? set->smtp_enforce_tls
		: strcmp(level, "none") != 0 && strcmp(level, "may") != 0)
		return;
	problems_addf(problems,
	    "bad parameter: smtp_tls_wrappermode = yes: must be no, or "
	    "smtp_tls_security_level = encrypt, fingerprint, verify or secure "
	    "(it is \"%s\")",
	    level);
}

/* The value may hold a secret and goes to logs and deferred mail: not shown. */
static void
check_alert_url(const struct settings *set, struct problems *problems)
{
	const char *url = set->lane_alert_url, *host = NULL;

	if (*url == '\0')
		return;
	if (strncasecmp(url, "http://", 7) == 0)
		host = url + 7;
	else if (strncasecmp(url, "https://", 8) == 0)
		host = url + 8;
	if (host != NULL && strcspn(host, "/?#") > 0) {
		for (; *host != '\0' && isgraph((unsigned char)*host); host++)
			continue;
		if (*host == '\0')
			return;
	}
	problems_addf(problems,
	    "bad parameter: lane_alert_url (not shown): must be empty or "
	    "an http:// or https:// URL without blanks");
}

static void
check_alert_command(const struct settings *set, struct problems *problems)
{
	const char *command = set->lane_alert_command;

	if (*command == '\0' || *command == '/')
		return;
	problems_addf(problems,
	    "bad parameter: lane_alert_command = %s: must be empty or an "
	    "absolute path and arguments",
	    command);
}

/* The tables in it are looked at when they are read. */
static void
check_domains(const struct settings *set, struct problems *problems)
{
	struct domains *domains = domains_new();
	char why[512];

	if (!domains_add_list(
		domains, set->lane_domain_rate_limits, NULL, why, sizeof(why)))
		problems_addf(problems,
		    "bad parameter: lane_domain_rate_limits = %s: %s",
		    set->lane_domain_rate_limits, why);
	domains_free(&domains);
}

static void
check_smarthost(const struct settings *set, struct problems *problems)
{
	struct slice list = slice_str(set->lane_smarthost);
	struct nexthop each;
	const char *error = NULL;

	while (nexthop_next(&list, &each, &error))
		continue;
	if (error != NULL)
		problems_addf(problems,
		    "bad parameter: lane_smarthost = %s: %s: must be "
		    "[host]:port, host:port and the like, or empty",
		    set->lane_smarthost, error);
}

static void
check_ports(const struct settings *set, struct problems *problems)
{
	struct slice list = slice_str(set->lane_tls_wrappermode_ports);
	unsigned port;

	while (nexthop_next_port(&list, &port))
		if (port == 0) {
			problems_addf(problems,
			    "bad parameter: lane_tls_wrappermode_ports = %s: "
			    "must be empty or port numbers, 1 to 65535, with "
			    "blanks or commas between",
			    set->lane_tls_wrappermode_ports);
			return;
		}
}

/* smtp(8) passes over it then, and talks to servers it should not know. */
static void
check_keys(const struct settings *set, struct problems *problems)
{
	if (set->smtp_tls_enable_rpk && OPENSSL_VERSION_NUMBER < 0x30200000L)
		problems_addf(problems,
		    "bad parameter: smtp_tls_enable_rpk = yes: not supported "
		    "by lane: its OpenSSL is older than 3.2; level "
		    "fingerprint knows the key of a certificate, too");
}

/* smtp(8) would look them up in files and tables, too. */
static void
check_services(const struct settings *set, struct problems *problems)
{
	if (strpbrk(set->use_srv_lookup, ":/!") != NULL)
		problems_addf(problems,
		    "bad parameter: use_srv_lookup = %s: not supported by "
		    "lane: must be names of services, such as submission",
		    set->use_srv_lookup);
}

/* Likewise; but a static: table is what ends a list of exclusions. */
static void
check_mechanisms(const struct settings *set, struct problems *problems)
{
	struct slice list = slice_str(set->smtp_sasl_mechanism_filter), word;

	while (words_cut(&list, WORDS_SEPARATORS, &word)) {
		for (; word.n > 0 && *word.p == '!'; word.n--)
			word.p++;
		if ((word.n >= 7 && memcmp(word.p, "static:", 7) == 0) ||
		    (memchr(word.p, ':', word.n) == NULL &&
			memchr(word.p, '/', word.n) == NULL))
			continue;
		problems_addf(problems,
		    "bad parameter: smtp_sasl_mechanism_filter = %s: not "
		    "supported by lane: must be names of mechanisms, with a "
		    "static: table at the end, if any",
		    set->smtp_sasl_mechanism_filter);
		return;
	}
}

/* It stands in the tag of log lines, where others look for its end. */
static void
check_log_name(const struct settings *set, struct problems *problems)
{
	const char *name = set->lane_log_name;

	while (*name != '\0' && ((unsigned char)*name & 0x80) == 0 &&
	       (isalnum((unsigned char)*name) || strchr("-_./", *name) != NULL))
		name++;
	if (*name != '\0' || name == set->lane_log_name)
		problems_addf(problems,
		    "bad parameter: lane_log_name = %s: must be a word of "
		    "letters, digits and -_./",
		    set->lane_log_name);
}

/* With policy maps smtp(8) does not look at it. */
static void
check_per_site(const struct settings *set, struct problems *problems)
{
	if (*set->smtp_tls_per_site == '\0' ||
	    *set->smtp_tls_policy_maps != '\0')
		return;
	problems_addf(problems,
	    "bad parameter: smtp_tls_per_site = %s: not supported by lane: use "
	    "smtp_tls_policy_maps",
	    set->smtp_tls_per_site);
}

static void
check_dane(const struct settings *set, struct problems *problems)
{
	const char *resolver = set->smtp_tls_dane_resolver;
	const char *level = set->smtp_tls_security_level;
	const char *missing = trusted_resolver_missing(set), *name;
	char server[TRUSTED_RESOLVER_SIZE], why[TRUSTED_RESOLVER_WHY_SIZE];
	unsigned type;

	if (*resolver != '\0' && !trusted_resolver_server(resolver, server,
				     sizeof(server), why, sizeof(why)))
		problems_addf(problems,
		    "bad parameter: smtp_tls_dane_resolver = %s: %s", resolver,
		    why);
	if (missing != NULL && strncmp(level, "dane", 4) == 0)
		problems_addf(problems,
		    "bad parameter: smtp_tls_security_level = %s: not "
		    "supported by lane without %s",
		    level, missing);
	/* smtp(8) dies of it when it is used. */
	if (trusted_resolver_is_wanted(set) &&
	    !dnsquestion_probe(set->dnssec_probe, &type, &name))
		problems_addf(problems,
		    "bad parameter: dnssec_probe = %s: must be type:name, "
		    "such as ns:., or empty",
		    set->dnssec_probe);
}

void
params_check(const struct settings *set, struct problems *problems)
{
	check_smarthost(set, problems);
	check_ports(set, problems);
	check_keys(set, problems);
	check_services(set, problems);
	check_mechanisms(set, problems);
	check_log_name(set, problems);
	check_per_site(set, problems);
	check_wrappermode(set, problems);
	check_dane(set, problems);
	check_alert_url(set, problems);
	check_alert_command(set, problems);
	check_domains(set, problems);
	if (set->lane_request_limit_us > set->daemon_timeout_us / 2)
		problems_addf(problems,
		    "bad parameter: lane_request_limit = %llds: must be at "
		    "most half of daemon_timeout, %llds",
		    (long long)(set->lane_request_limit_us / US_PER_S),
		    (long long)(set->daemon_timeout_us / 2 / US_PER_S));
	if (set->lane_connection_reserve > set->lane_connection_limit)
		problems_addf(problems,
		    "bad parameter: lane_connection_reserve = %d: must be 0 "
		    "to lane_connection_limit, %d",
		    set->lane_connection_reserve, set->lane_connection_limit);
	if (set->lane_fleet_forget_us != 0 &&
	    set->lane_fleet_forget_us < 2 * set->lane_fleet_ttl_us)
		problems_addf(problems,
		    "bad parameter: lane_fleet_forget = %llds: must be 0 or at "
		    "least twice lane_fleet_ttl, %llds",
		    (long long)(set->lane_fleet_forget_us / US_PER_S),
		    (long long)(set->lane_fleet_ttl_us / US_PER_S));
	if (pacer_weight(set->lane_priority) == 0)
		problems_addf(problems,
		    "bad parameter: lane_priority = %s: must be urgent, "
		    "normal, bulk or a number from 1 to %d",
		    set->lane_priority, FAIRSHARE_WEIGHT_MAX);
	if (!mtpriority_is_valid(set->lane_mt_priority))
		problems_addf(problems,
		    "bad parameter: lane_mt_priority = %s: must be no, yes or "
		    "a number from %d to %d",
		    set->lane_mt_priority, MTPRIORITY_MIN, MTPRIORITY_MAX);
	if (set->lane_state_directory[0] != '/')
		problems_addf(problems,
		    "bad parameter: lane_state_directory = %s: must be an "
		    "absolute path",
		    set->lane_state_directory);
}
