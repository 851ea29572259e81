/*   probe -> ready?   login, level, dates, distance
 *         -> failed:  the stage says where to look; a cure is tried by another
 *                     probe before it is told
 */
#include <inttypes.h>
#include <jansson.h>
#include <netdb.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

#include "agent/io/command_output.h"
#include "common/base/buf.h"
#include "common/base/clock.h"
#include "common/base/mem.h"
#include "common/base/words.h"
#include "common/smtp/nexthop.h"
#include "monitor/advice.h"
#include "monitor/checkup.h"

#define SLOW_START "/proc/sys/net/ipv4/tcp_slow_start_after_idle"

enum {
	SOON_S = 14 * 86400,
	FAR_US = 40000, /* from there on a window that shrinks is felt */
	GAIN_PERCENT = 5, /* worth a setting of the kernel */
	TEXT_SIZE = 512,
	TABLE_LINE = 4096,
};

struct wire {
	struct checkup *c;
	const struct site_lane *lane;
	json_t *report;
};

/* ---- reading the report --------------------------------------------------
 */

static const char *
text_of(const json_t *o, const char *key)
{
	const char *text = json_string_value(json_object_get(o, key));

	return text != NULL ? text : "";
}

static bool
is_true(const json_t *o, const char *key)
{
	return json_is_true(json_object_get(o, key));
}

static bool
has_word(const json_t *list, const char *word)
{
	const json_t *one;
	size_t i;

	json_array_foreach(list, i,
	    one) if (strcasecmp(json_string_value(one), word) == 0) return true;
	return false;
}

static void
found(const struct wire *w, const char *code, enum finding_severity severity,
    const char *text)
{
	findings_add(&w->c->findings, code, severity, w->lane->opt.service_name,
	    "%s: %s", text_of(w->report, "nexthop"), text);
}

/* A dial with these settings instead gets there. */
static bool
is_cured(const struct wire *w, const char *name, const char *value)
{
	char *setting = mem_printf("%s=%s", name, value);
	const char *const overrides[] = {setting, NULL};
	char error[TEXT_SIZE];
	json_t *report = prober_run(
	    &w->c->prober, w->lane, "", overrides, error, sizeof(error));
	bool is_ready = is_true(report, "is_ready");

	json_decref(report);
	mem_free(setting);
	return is_ready;
}

/* A dial with this setting finds addresses, whatever comes then. */
static bool
finds_addresses(const struct wire *w, const char *name, const char *value)
{
	char *setting = mem_printf("%s=%s", name, value);
	const char *const overrides[] = {setting, NULL};
	char error[TEXT_SIZE];
	json_t *report = prober_run(
	    &w->c->prober, w->lane, "", overrides, error, sizeof(error));
	bool is_so = json_array_size(json_object_get(report, "addresses")) > 0;

	json_decref(report);
	mem_free(setting);
	return is_so;
}

/* The first of the values that gets there becomes the fix of what was found
 * last. */
static bool
try_values(const struct wire *w, const char *name, const char *const *values)
{
	for (size_t i = 0; values[i] != NULL; i++) {
		if (values[i][0] == '\0' || !is_cured(w, name, values[i]))
			continue;
		checkup_fix_lane(w->c, w->lane, name, values[i]);
		return true;
	}
	return false;
}

/* ---- names ----------------------------------------------------------------
 */

static void
check_name(const struct wire *w, const char *text)
{
	static const char lookup[] = "smtp_host_lookup";
	struct slice list = slice_str(checkup_nexthop(w->lane));
	struct nexthop nexthop;
	const char *error;
	struct addrinfo *list_out = NULL;
	bool is_short = false, is_native = false;

	if (nexthop_next(&list, &nexthop, &error)) {
		is_short = strchr(nexthop.host, '.') == NULL &&
			   strchr(nexthop.host, ':') == NULL;
		is_native =
		    getaddrinfo(nexthop.host, NULL, NULL, &list_out) == 0;
		if (list_out != NULL)
			freeaddrinfo(list_out);
	}
	if (!is_native) {
		found(w, "NAME", FINDING_ERROR, text);
		return;
	}
	findings_add(&w->c->findings, "SEARCH-LIST", FINDING_ERROR,
	    w->lane->opt.service_name,
	    "%s: %s; this host finds it in /etc/hosts or by the search list of "
	    "resolv.conf, which the lane uses only if told to%s",
	    text_of(w->report, "nexthop"), text,
	    is_short ? " (better is a name with its domain)" : "");
	if (finds_addresses(w, lookup, "native"))
		checkup_fix_lane(w->c, w->lane, lookup, "native");
}

/* ---- TLS ------------------------------------------------------------------
 */

static const json_t *
leaf_of(const json_t *report)
{
	return json_array_get(
	    json_object_get(json_object_get(report, "tls"), "chain"), 0);
}

/* "*.example" stands for one label. */
static bool
covers(const char *name, const char *host)
{
	const char *dot;

	if (strncmp(name, "*.", 2) != 0)
		return strcasecmp(name, host) == 0;
	dot = strchr(host, '.');
	return dot != NULL && strcasecmp(name + 1, dot) == 0;
}

static bool
is_in_name_of_host(const struct wire *w)
{
	const json_t *names = json_object_get(leaf_of(w->report), "names");
	struct slice list = slice_str(checkup_nexthop(w->lane));
	struct nexthop nexthop;
	const char *error;
	const json_t *one;
	size_t i;

	if (!nexthop_next(&list, &nexthop, &error))
		return false;
	json_array_foreach(names, i,
	    one) if (covers(json_string_value(one), nexthop.host)) return true;
	return false;
}

/* An authority that does it: the one that this main.cf trusts; where nobody
 * said whom to trust, those of the system. */
static void
try_authorities(const struct wire *w)
{
	const struct settings *set = &w->lane->set;
	const char *own = main_cf_find(&w->c->cf, "smtp_tls_CAfile");
	bool is_chosen =
	    set->smtp_tls_CAfile[0] != '\0' || set->smtp_tls_CApath[0] != '\0';
	const char *const files[] = {own != NULL ? own : "",
	    is_chosen ? "" : "/etc/ssl/certs/ca-certificates.crt",
	    is_chosen ? "" : "/etc/pki/tls/certs/ca-bundle.crt",
	    is_chosen ? "" : "/etc/ssl/cert.pem"};
	const char *readable[sizeof(files) / sizeof(files[0]) + 1];
	size_t n = 0;

	for (size_t i = 0; i < sizeof(files) / sizeof(files[0]); i++)
		if (files[i][0] == '/' && access(files[i], R_OK) == 0)
			readable[n++] = files[i];
	readable[n] = NULL;
	if (!try_values(w, "smtp_tls_CAfile", readable))
		findings_advise(&w->c->findings,
		    "if it is the right server, name the file that has its "
		    "authority's certificate, or its own if that is "
		    "self-signed, "
		    "in smtp_tls_CAfile of the lane%s: postconf %s-P "
		    "%s/unix/smtp_tls_CAfile=FILE",
		    is_chosen ? ", in place of the one that is trusted now"
			      : "",
		    w->c->conf, w->lane->opt.service_name);
}

/* Whose server that is a person has to know: to trust a name because it was
 * shown would be to trust any. */
static void
find_wrong_name(const struct wire *w, const char *text)
{
	static const char match[] = "smtp_tls_secure_cert_match";
	const char *name = json_string_value(
	    json_array_get(json_object_get(leaf_of(w->report), "names"), 0));
	char *quoted, *setting;

	found(w, "CERTIFICATE-NAME", FINDING_ERROR, text);
	if (name == NULL || strncmp(name, "*.", 2) == 0 ||
	    !is_cured(w, match, name))
		return;
	setting =
	    mem_printf("%s/unix/%s=%s", w->lane->opt.service_name, match, name);
	quoted = findings_quoted(setting);
	findings_advise(&w->c->findings,
	    "if the provider says that %s is its name for this host: "
	    "postconf %s-P %s; else it is somebody else's server",
	    name, w->c->conf, quoted);
	mem_free(quoted);
	mem_free(setting);
}

/* The level of the handshake is one of DANE: names, dates and authorities are
 * what a TLSA record says, or nothing. */
static bool
is_by_records(const struct wire *w)
{
	const char *level = text_of(json_object_get(w->report, "tls"), "level");

	return strstr(level, "dane") != NULL;
}

/* A record of usage 3 is for a certificate of any age (RFC 7671 5.1). */
static bool
is_undated(const struct wire *w)
{
	return strncmp(text_of(json_object_get(w->report, "dane"), "matched"),
		   "3 ", 2) == 0;
}

static void
find_dane(const struct wire *w, const char *text)
{
	found(w, "DANE", FINDING_ERROR, text);
	findings_advise(&w->c->findings,
	    "postlane probe shows the records; the levels verify and secure "
	    "know a server by its authority and its name instead");
}

static void
check_certificate(const struct wire *w, const char *text)
{
	const json_t *leaf = leaf_of(w->report);
	int64_t until_s = json_integer_value(json_object_get(leaf, "until_s"));
	int64_t from_s = json_integer_value(json_object_get(leaf, "from_s"));
	int64_t now_s = clock_wall().tv_sec;

	if (leaf == NULL) {
		found(w, "TLS", FINDING_ERROR, text);
	} else if (is_by_records(w)) {
		find_dane(w, text);
	} else if (until_s < now_s || from_s > now_s) {
		found(w, "CERTIFICATE-DATE", FINDING_ERROR, text);
		findings_fix(&w->c->findings,
		    "date -u    # if the clock is right, the certificate has "
		    "to be renewed there");
	} else if (!is_in_name_of_host(w)) {
		find_wrong_name(w, text);
	} else {
		found(w, "AUTHORITY", FINDING_ERROR, text);
		try_authorities(w);
	}
}

static void
check_no_tls(const struct wire *w, const char *text)
{
	static const char *const levels[] = {"secure", "encrypt", NULL};
	char *why = mem_printf(
	    "%s; TLS is offered, and smtp_tls_security_level does not ask for "
	    "it (main.cf's is other transports', too)",
	    text);

	found(w, "TLS-LEVEL", FINDING_ERROR, why);
	(void)try_values(w, "smtp_tls_security_level", levels);
	mem_free(why);
}

/* ---- the login ------------------------------------------------------------
 */

/* A password within TLS, to whom the certificate belongs; not where somebody
 * has forbidden that. */
static void
try_plain(const struct wire *w)
{
	static const char name[] = "smtp_sasl_tls_security_options";
	static const char *const options[] = {"noanonymous", NULL};
	bool is_matched =
	    is_true(json_object_get(w->report, "tls"), "is_matched");

	if (is_matched && options_override(&w->lane->opt, name) == NULL &&
	    main_cf_find(&w->c->cf, name) == NULL &&
	    try_values(w, name, options))
		return;
	findings_advise(&w->c->findings, "%s = %s%s", name,
	    w->lane->set.smtp_sasl_tls_security_options,
	    is_matched ? " decides which logins may be used, noanonymous being "
			 "the least"
		       : ", and the level of TLS does not ask who the server "
			 "is: secure does");
}

static void
check_auth(const struct wire *w, const char *text)
{
	const json_t *failure = json_object_get(w->report, "failure");
	bool is_tls = json_is_object(json_object_get(w->report, "tls"));

	if (json_integer_value(json_object_get(failure, "code")) >= 500) {
		found(w, "LOGIN-REFUSED", FINDING_ERROR, text);
		findings_advise(&w->c->findings,
		    "put the right one into smtp_sasl_password_maps = %s",
		    w->lane->set.smtp_sasl_password_maps);
	} else if (!is_tls &&
		   has_word(
		       json_object_get(w->report, "ehlo_before"), "STARTTLS")) {
		check_no_tls(w, text);
	} else {
		found(w, "LOGIN", FINDING_ERROR, text);
		try_plain(w);
	}
}

/* What sed takes as itself, between "|". */
static char *
for_sed(const char *text)
{
	struct buf out;
	char *result;

	buf_init(&out, TABLE_LINE * 2);
	for (const char *p = text; *p != '\0'; p++) {
		if (strchr("[].*^$\\|&", *p) != NULL)
			(void)buf_add_char(&out, '\\');
		(void)buf_add_char(&out, *p);
	}
	result = mem_strdup(buf_str(&out));
	buf_fini(&out);
	return result;
}

static bool
is_of_host(const char *key, const char *host)
{
	struct slice list = slice_str(key);
	struct nexthop nexthop;
	const char *error;

	return strchr(key, '@') == NULL &&
	       nexthop_next(&list, &nexthop, &error) &&
	       strcasecmp(nexthop.host, host) == 0;
}

struct key_search {
	const char *host; /* whose key is looked for */
	char *key, *type, *path; /* NULL: none */
};

static void
search_key(struct checkup *c, void *ctx, const char *type, const char *path)
{
	struct key_search *s = ctx;
	FILE *file = fopen(path, "re");
	char line[TABLE_LINE];

	(void)c;
	while (s->key == NULL && file != NULL &&
	       fgets(line, sizeof(line), file) != NULL) {
		line[strcspn(line, " \t\r\n")] = '\0';
		if (line[0] == '#' || !is_of_host(line, s->host))
			continue;
		s->key = mem_strdup(line);
		s->type = mem_strdup(type);
		s->path = mem_strdup(path);
	}
	mem_wipe(line, sizeof(line));
	if (file != NULL)
		(void)fclose(file);
}

/* The same login for the right key, too: others may use the one that is there.
 */
static void
fix_key(const struct wire *w, const struct key_search *s, const char *wanted)
{
	char *old = for_sed(s->key), *new = for_sed(wanted);
	char *order =
	    mem_printf("s|^%s\\([[:space:]].*\\)|&\\n%s\\1|", old, new);
	char *quoted = findings_quoted(order);
	char *path = findings_quoted(s->path);

	if (checkup_ending(s->type) != NULL)
		findings_fix(&w->c->findings, "sed -i %s %s && postmap %s%s:%s",
		    quoted, path, w->c->conf, s->type, path);
	else
		findings_fix(&w->c->findings, "sed -i %s %s", quoted, path);
	mem_free(path);
	mem_free(quoted);
	mem_free(order);
	mem_free(old);
	mem_free(new);
}

/* A table that is read as it is. */
static bool
is_of_text(const char *maps)
{
	return strncmp(maps, "texthash:", 9) == 0 ||
	       strncmp(maps, "inline:", 7) == 0;
}

/* A login is wanted, and there is none: does a key look almost like it? */
static void
check_no_login(const struct wire *w, const char *why)
{
	struct slice list = slice_str(checkup_nexthop(w->lane));
	const char *wanted = checkup_nexthop(w->lane);
	struct key_search s = {.key = NULL};
	struct nexthop nexthop;
	const char *error;
	char *first = mem_strndup(wanted, strcspn(wanted, ", \t"));

	found(w, "LOGIN-KEY", FINDING_ERROR, why);
	if (nexthop_next(&list, &nexthop, &error)) {
		s.host = nexthop.host;
		checkup_each_file(
		    w->c, w->lane->set.smtp_sasl_password_maps, search_key, &s);
	}
	if (s.key != NULL)
		fix_key(w, &s, first);
	else
		findings_advise(&w->c->findings,
		    "write \"%s USER:PASSWORD\" there%s", first,
		    is_of_text(w->lane->set.smtp_sasl_password_maps)
			? ""
			: ", and postmap it");
	mem_free(s.key);
	mem_free(s.type);
	mem_free(s.path);
	mem_free(first);
}

struct table_look {
	size_t readable;
};

static void
look_at_table(struct checkup *c, void *ctx, const char *type, const char *path)
{
	struct table_look *look = ctx;

	(void)c;
	if ((strcmp(type, "texthash") == 0 || checkup_ending(type) != NULL) &&
	    access(path, R_OK) == 0)
		look->readable++;
}

/* The dial ended before a login: whether there is one can be seen all the same,
 * where keys are those of text files, and of the host. */
static void
check_login_untried(const struct wire *w)
{
	const struct settings *set = &w->lane->set;
	const char *maps = set->smtp_sasl_password_maps;
	struct slice words = slice_str(maps), word;
	struct slice list = slice_str(checkup_nexthop(w->lane));
	struct table_look look = {.readable = 0};
	struct key_search s = {.key = NULL};
	struct nexthop nexthop;
	const char *error;
	char *why;
	size_t tables = 0;

	if (!set->smtp_sasl_auth_enable ||
	    set->smtp_sender_dependent_authentication ||
	    checkup_nexthop(w->lane)[0] != '[' ||
	    !nexthop_next(&list, &nexthop, &error))
		return;
	while (words_cut_braced(&words, &word))
		tables++;
	checkup_each_file(w->c, maps, look_at_table, &look);
	if (tables == 0 || look.readable != tables)
		return;
	s.host = nexthop.host;
	checkup_each_file(w->c, maps, search_key, &s);
	if (s.key == NULL) {
		why = mem_printf("smtp_sasl_password_maps = %s has no row for "
				 "it, which is not why the dial failed",
		    maps);
		check_no_login(w, why);
		mem_free(why);
	}
	mem_free(s.key);
	mem_free(s.type);
	mem_free(s.path);
}

static void
check_auth_is_off(const struct wire *w)
{
	if (w->lane->set.smtp_sasl_auth_enable ||
	    w->lane->set.smtp_sasl_password_maps[0] == '\0' ||
	    json_array_size(json_object_get(
		json_object_get(w->report, "offers"), "auth")) == 0)
		return;
	found(w, "AUTH-OFF", FINDING_ERROR,
	    "smtp_sasl_password_maps is set, and smtp_sasl_auth_enable is no: "
	    "nobody logs in");
	if (is_true(json_object_get(w->report, "tls"), "is_matched"))
		checkup_fix_lane(w->c, w->lane, "smtp_sasl_auth_enable", "yes");
	else
		findings_advise(&w->c->findings,
		    "first let smtp_tls_security_level be secure, then set the "
		    "second to yes");
}

/* ---- a server that is ready ----------------------------------------------
 */

static void
check_level(const struct wire *w)
{
	static const char *const levels[] = {"secure", NULL};
	const json_t *tls = json_object_get(w->report, "tls");
	const json_t *login = json_object_get(w->report, "login");

	if (!is_true(login, "is_in") || is_true(tls, "is_matched"))
		return;
	if (!json_is_object(tls)) {
		if (has_word(
			json_object_get(w->report, "ehlo_before"), "STARTTLS"))
			check_no_tls(w, "mail and login go in clear text");
		return;
	}
	found(w, "TLS-LEVEL", FINDING_WARNING,
	    "mail and password go to whoever answers: level secure asks for a "
	    "certificate in its name");
	if (!try_values(w, "smtp_tls_security_level", levels))
		findings_advise(&w->c->findings,
		    "for which smtp_tls_CAfile of the lane has to have its "
		    "authority, and the certificate that name");
}

static void
check_end(
    const struct wire *w, int64_t end_s, const char *code, const char *what)
{
	int64_t left_s = end_s - clock_wall().tv_sec;
	char text[TEXT_SIZE];

	if (end_s == 0 || left_s >= SOON_S)
		return;
	(void)snprintf(text, sizeof(text), "%s %s %" PRId64 " days", what,
	    left_s < 0 ? "ended since" : "ends within",
	    (left_s < 0 ? -left_s : left_s) / 86400 + 1);
	found(w, code, left_s < 0 ? FINDING_ERROR : FINDING_WARNING, text);
}

/* The address that was tried last, which is the one that let us in. */
static const char *
address_of(const struct wire *w)
{
	const json_t *tried = json_object_get(w->report, "tried");
	size_t n = json_array_size(tried);

	return n > 0 ? text_of(json_array_get(tried, n - 1), "address") : "";
}

static void
check_window(const struct wire *w, const struct advice_tcp *tcp, int64_t rtt_us)
{
	const char *address = address_of(w);
	const char *ip = strchr(address, ':') != NULL ? "ip -6" : "ip";
	char fix[TEXT_SIZE];

	if (tcp->percent < GAIN_PERCENT || address[0] == '\0')
		return;
	findings_add(&w->c->findings, "KERNEL-WINDOW", FINDING_NOTE,
	    w->lane->opt.service_name,
	    "a new connection begins with %" PRId64
	    " octets: %d messages of %d take %d round trips of %" PRId64
	    " ms, and %d if it begins with %d segments: %d %% more messages a "
	    "second",
	    tcp->begins, tcp->messages, ADVICE_OCTETS, tcp->trips,
	    rtt_us / 1000, tcp->fewer, ADVICE_SEGMENTS, tcp->percent);
	(void)snprintf(fix, sizeof(fix),
	    "%s route change $(%s route show to match %s | tail -n 1) "
	    "initcwnd %d",
	    ip, ip, address, ADVICE_SEGMENTS);
	findings_fix(&w->c->findings, "%s", fix);
}

static bool
begins_anew_after_idle(void)
{
	FILE *file = fopen(SLOW_START, "re");
	int c = file != NULL ? fgetc(file) : EOF;

	if (file != NULL)
		(void)fclose(file);
	return c == '1';
}

static void
check_idle(const struct wire *w, const struct advice_tcp *tcp, int64_t rtt_us)
{
	if (!begins_anew_after_idle())
		return;
	findings_add(&w->c->findings, "KERNEL-IDLE", FINDING_NOTE,
	    w->lane->opt.service_name,
	    "net.ipv4.tcp_slow_start_after_idle is 1: on a session that was "
	    "idle %d messages of %d take %d round trips of %" PRId64
	    " ms again, instead of one",
	    tcp->messages, ADVICE_OCTETS, tcp->trips, rtt_us / 1000);
	findings_fix(
	    &w->c->findings, "sysctl -w net.ipv4.tcp_slow_start_after_idle=0");
}

/* What the kernel's own windows cost over this distance. */
static void
check_kernel(const struct wire *w)
{
	int64_t rtt_us =
	    json_integer_value(json_object_get(w->report, "rtt_us"));
	struct advice_tcp tcp;

	if (rtt_us < FAR_US || !advice_of_tcp(w->lane, w->report, &tcp))
		return;
	check_window(w, &tcp, rtt_us);
	check_idle(w, &tcp, rtt_us);
}

static void
check_ready(const struct wire *w)
{
	const char *no_login =
	    text_of(json_object_get(w->report, "login"), "why");

	/* Where each sender has its own, the host need not have one. */
	if (no_login[0] != '\0' &&
	    !w->lane->set.smtp_sender_dependent_authentication)
		check_no_login(w, no_login);
	check_auth_is_off(w);
	check_level(w);
	if (!is_undated(w))
		check_end(w,
		    json_integer_value(
			json_object_get(leaf_of(w->report), "until_s")),
		    "CERTIFICATE-DATE", "its certificate");
	check_kernel(w);
}

/* ---- all of a lane -------------------------------------------------------
 */

static void
check_failed(const struct wire *w)
{
	const json_t *failure = json_object_get(w->report, "failure");
	const char *stage = text_of(failure, "stage");
	const char *text = text_of(failure, "text");

	if (strcmp(stage, "dane") == 0)
		find_dane(w, text);
	else if (strcmp(stage, "resolve") == 0 ||
		 json_array_size(json_object_get(w->report, "addresses")) == 0)
		check_name(w, text);
	else if (strcmp(stage, "tls") == 0)
		check_certificate(w, text);
	else if (strcmp(stage, "auth") == 0)
		check_auth(w, text);
	else if (strcmp(stage, "config") == 0)
		found(w, "SETTING", FINDING_ERROR, text);
	else if (strcmp(stage, "token") == 0)
		found(w, "TOKEN", FINDING_ERROR, text);
	else if (strcmp(stage, "starttls") == 0)
		found(w, "TLS", FINDING_ERROR, text);
	else
		found(w, "UNREACHABLE", FINDING_ERROR, text);
}

static bool
has_no_login_yet(const json_t *report)
{
	const char *stage =
	    text_of(json_object_get(report, "failure"), "stage");

	return !is_true(report, "is_ready") && strcmp(stage, "auth") != 0 &&
	       strcmp(stage, "config") != 0 && strcmp(stage, "token") != 0;
}

static void
check_lane(struct checkup *c, const struct site_lane *lane)
{
	char error[TEXT_SIZE];
	struct wire w = {.c = c, .lane = lane};

	if (checkup_nexthop(lane)[0] == '\0') {
		findings_add(&c->findings, "NO-SMARTHOST", FINDING_NOTE,
		    lane->opt.service_name,
		    "neither lane_smarthost nor relayhost is set: mail goes "
		    "where the table says that sends it here");
		return;
	}
	if (lane->problems.count > 0) {
		findings_add(&c->findings, "NOT-DIALED", FINDING_NOTE,
		    lane->opt.service_name,
		    "%s: it was not tried, since a setting of the lane is not "
		    "understood",
		    checkup_nexthop(lane));
		return;
	}
	w.report = prober_run(&c->prober, lane, "", NULL, error, sizeof(error));
	if (w.report == NULL) {
		findings_add(&c->findings, "PROBE", FINDING_ERROR,
		    lane->opt.service_name, "it could not be tried: %s", error);
		return;
	}
	if (is_true(w.report, "is_ready"))
		check_ready(&w);
	else
		check_failed(&w);
	if (has_no_login_yet(w.report))
		check_login_untried(&w);
	check_end(&w,
	    json_integer_value(json_object_get(w.report, "own_end_s")),
	    "OWN-CERTIFICATE", "our client certificate");
	json_decref(w.report);
}

void
checkup_wire(struct checkup *c)
{
	for (size_t i = 0; i < c->site->lane_count; i++)
		check_lane(c, &c->site->lanes[i]);
}
