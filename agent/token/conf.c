#include "agent/token/conf.h"

#include <jansson.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "agent/token/form.h"
#include "common/base/log.h"
#include "common/base/mem.h"
#include "common/base/words.h"
#include "common/shared/tokenproto.h"

static const char *const flows[] = {
    [CONF_CLIENT_CREDENTIALS] = "client_credentials",
    [CONF_REFRESH_TOKEN] = "refresh_token",
    [CONF_JWT_BEARER] = "jwt_bearer",
};

enum { FLOW_COUNT = sizeof(flows) / sizeof(flows[0]) };

/* Which flows a setting is for. */
enum {
	FOR_APP = 1 << CONF_CLIENT_CREDENTIALS,
	FOR_USER = 1 << CONF_REFRESH_TOKEN,
	FOR_KEY = 1 << CONF_JWT_BEARER,
	FOR_ALL = FOR_APP | FOR_USER | FOR_KEY,
};

struct setting {
	const char *name;
	size_t at; /* of its char * in struct conf */
	unsigned flows;
};

#define ROW(name, flows)                                                       \
	{                                                                      \
#name, offsetof(struct conf, name), flows                      \
	}

/* flow, algorithm and token_endpoint_auth_method are no texts. */
static const struct setting settings[] = {
    ROW(provider, FOR_ALL),
    ROW(tenant, FOR_APP | FOR_USER),
    ROW(token_endpoint, FOR_ALL),
    ROW(device_endpoint, FOR_USER),
    ROW(authorization_endpoint, FOR_USER),
    ROW(scope, FOR_ALL),
    ROW(client_id, FOR_ALL),
    ROW(client_secret, FOR_APP | FOR_USER),
    ROW(client_secret_file, FOR_APP | FOR_USER),
    ROW(certificate_file, FOR_APP | FOR_USER),
    ROW(key_file, FOR_ALL),
    ROW(key_id, FOR_ALL),
    ROW(service_account_file, FOR_KEY),
    ROW(subject, FOR_KEY),
    ROW(refresh_token_file, FOR_USER),
    ROW(ca_file, FOR_ALL),
    ROW(proxy, FOR_ALL),
};

#undef ROW

enum { SETTING_COUNT = sizeof(settings) / sizeof(settings[0]) };

struct preset {
	const char *name;
	/* %s: the tenant */
	const char *token_endpoint, *device_endpoint;
	const char *authorization_endpoint; /* where there is no device flow */
	const char *app_scope, *user_scope;
};

#define MICROSOFT(host, part) "https://" host "/%s/oauth2/v2.0/" part

/* learn.microsoft.com/entra/identity-platform/authentication-national-cloud;
 * developers.google.com/identity/protocols/oauth2: no device flow for the scope
 * of mail there. */
static const struct preset presets[] = {
    {"office365", MICROSOFT("login.microsoftonline.com", "token"),
	MICROSOFT("login.microsoftonline.com", "devicecode"), "",
	"https://outlook.office365.com/.default",
	"https://outlook.office.com/SMTP.Send offline_access"},
    {"office365-gcchigh", MICROSOFT("login.microsoftonline.us", "token"),
	MICROSOFT("login.microsoftonline.us", "devicecode"), "",
	"https://outlook.office365.us/.default",
	"https://outlook.office365.us/SMTP.Send offline_access"},
    {"office365-dod", MICROSOFT("login.microsoftonline.us", "token"),
	MICROSOFT("login.microsoftonline.us", "devicecode"), "",
	"https://outlook-dod.office365.us/.default",
	"https://outlook-dod.office365.us/SMTP.Send offline_access"},
    {"office365-china", MICROSOFT("login.partner.microsoftonline.cn", "token"),
	MICROSOFT("login.partner.microsoftonline.cn", "devicecode"), "",
	"https://partner.outlook.cn/.default",
	"https://partner.outlook.cn/SMTP.Send offline_access"},
    {"gmail", "https://oauth2.googleapis.com/token", "",
	"https://accounts.google.com/o/oauth2/v2/auth",
	"https://mail.google.com/", "https://mail.google.com/"},
};

enum { PRESET_COUNT = sizeof(presets) / sizeof(presets[0]) };

struct reader {
	struct conf *conf;
	int line;
	bool has_flow, has_algorithm, has_auth_method;
	char *error;
	size_t error_size;
};

static bool complain(struct reader *in, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

static bool
complain(struct reader *in, const char *format, ...)
{
	char text[CONF_ERROR_SIZE - 20];
	va_list ap;

	va_start(ap, format);
	(void)vsnprintf(text, sizeof(text), format, ap);
	va_end(ap);
	log_safe(text, strlen(text));
	if (in->line > 0)
		(void)snprintf(
		    in->error, in->error_size, "line %d: %s", in->line, text);
	else
		(void)snprintf(in->error, in->error_size, "%s", text);
	return false;
}

const char *
conf_flow_name(enum conf_flow flow)
{
	return flows[flow];
}

static char **
text_of(struct conf *conf, const struct setting *s)
{
	return (char **)(void *)((char *)conf + s->at);
}

static const struct setting *
find(struct slice name)
{
	for (size_t i = 0; i < SETTING_COUNT; i++)
		if (slice_eq(name, settings[i].name))
			return &settings[i];
	return NULL;
}

static bool
take_flow(struct reader *in, struct slice value)
{
	if (in->has_flow)
		return complain(in, "flow is given twice");
	in->has_flow = true;
	for (size_t i = 0; i < FLOW_COUNT; i++)
		if (slice_eq(value, flows[i])) {
			in->conf->flow = (enum conf_flow)i;
			return true;
		}
	return complain(in,
	    "bad flow: must be client_credentials, refresh_token or "
	    "jwt_bearer");
}

static bool
take_algorithm(struct reader *in, struct slice value)
{
	if (in->has_algorithm)
		return complain(in, "algorithm is given twice");
	in->has_algorithm = true;
	if (slice_eq(value, "PS256"))
		in->conf->algorithm = CONF_PS256;
	else if (slice_eq(value, "RS256"))
		in->conf->algorithm = CONF_RS256;
	else
		return complain(in, "bad algorithm: must be RS256 or PS256");
	return true;
}

static bool
take_auth_method(struct reader *in, struct slice value)
{
	if (in->has_auth_method)
		return complain(
		    in, "token_endpoint_auth_method is given twice");
	in->has_auth_method = true;
	if (slice_eq(value, "client_secret_post"))
		in->conf->auth_method = CONF_SECRET_POST;
	else if (slice_eq(value, "client_secret_basic"))
		in->conf->auth_method = CONF_SECRET_BASIC;
	else
		return complain(in,
		    "bad token_endpoint_auth_method: must be "
		    "client_secret_post or client_secret_basic");
	return true;
}

/* Values may be secrets: none is repeated. */
static bool
take_line(struct reader *in, struct slice line)
{
	const char *sign = memchr(line.p, '=', line.n);
	const struct setting *s;
	struct slice name, value;
	char **text;

	if (sign == NULL)
		return complain(in, "must be \"name = value\"");
	name = words_trim(slice_of(line.p, (size_t)(sign - line.p)));
	value = words_trim(
	    slice_of(sign + 1, line.n - (size_t)(sign + 1 - line.p)));
	if (value.n == 0)
		return complain(in, "%.*s has no value",
		    (int)(name.n < 60 ? name.n : 60), name.p);
	for (size_t i = 0; i < value.n; i++)
		if ((unsigned char)value.p[i] < ' ')
			return complain(in, "control character in the value");
	if (slice_eq(name, "flow"))
		return take_flow(in, value);
	if (slice_eq(name, "algorithm"))
		return take_algorithm(in, value);
	if (slice_eq(name, "token_endpoint_auth_method"))
		return take_auth_method(in, value);
	s = find(name);
	if (s == NULL)
		return complain(in, "unknown setting \"%.*s\"",
		    (int)(name.n < 60 ? name.n : 60), name.p);
	text = text_of(in->conf, s);
	if (**text != '\0')
		return complain(in, "%s is given twice", s->name);
	mem_free(*text);
	*text = mem_strndup(value.p, value.n);
	return true;
}

static void
set_default(char **text, const char *format, const char *tenant)
{
	const char *at = strstr(format, "%s");

	if (**text != '\0')
		return;
	mem_free(*text);
	*text = at == NULL ? mem_strdup(format)
			   : mem_printf("%.*s%s%s", (int)(at - format), format,
				 tenant, at + 2);
}

static bool
apply_provider(struct reader *in)
{
	struct conf *c = in->conf;
	const struct preset *p = NULL;

	for (size_t i = 0; i < PRESET_COUNT; i++)
		if (strcmp(c->provider, presets[i].name) == 0)
			p = &presets[i];
	if (*c->provider == '\0')
		return *c->tenant == '\0' ||
		       complain(in, "tenant is for a provider = office365...");
	if (p == NULL)
		return complain(in,
		    "unknown provider \"%.40s\": must be office365, "
		    "office365-gcchigh, office365-dod, office365-china or "
		    "gmail",
		    c->provider);
	if (strstr(p->token_endpoint, "%s") == NULL) {
		if (*c->tenant != '\0')
			return complain(in, "%s has no tenant", p->name);
	} else if (*c->tenant == '\0' ||
		   strspn(c->tenant, "abcdefghijklmnopqrstuvwxyz"
				     "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
				     "0123456789.-") != strlen(c->tenant)) {
		return complain(in,
		    "tenant is missing or wrong: must be the domain or the "
		    "identifier of your organisation");
	}
	set_default(&c->token_endpoint, p->token_endpoint, c->tenant);
	if (*c->authorization_endpoint == '\0')
		set_default(&c->device_endpoint, p->device_endpoint, c->tenant);
	if (*c->device_endpoint == '\0')
		set_default(&c->authorization_endpoint,
		    p->authorization_endpoint, c->tenant);
	set_default(&c->scope,
	    c->flow == CONF_REFRESH_TOKEN ? p->user_scope : p->app_scope,
	    c->tenant);
	return true;
}

static bool
is_port(const char *digits, size_t n)
{
	return n > 0 && n <= 5 && strspn(digits, "0123456789") == n;
}

/* Secrets go over TLS; to this machine itself they need not. The host is what
 * stands before the first slash: no user's name, that looks like one. */
static bool
is_endpoint(const char *url)
{
	static const char *const local[] = {
	    "http://127.0.0.1:", "http://[::1]:", "http://localhost:"};
	static const char tls[] = "https://";
	const char *host = strstr(url, "://");
	size_t n = host != NULL ? (size_t)(host + 3 - url) : strlen(url);

	n += strcspn(url + n, "/?#");
	if (strpbrk(url, " \\") != NULL || memchr(url, '@', n) != NULL)
		return false;
	if (strncmp(url, tls, strlen(tls)) == 0)
		return n > strlen(tls);
	for (size_t i = 0; i < sizeof(local) / sizeof(local[0]); i++)
		if (strncmp(url, local[i], strlen(local[i])) == 0)
			return is_port(
			    url + strlen(local[i]), n - strlen(local[i]));
	return false;
}

/* No user and password in it: the file that says it may be readable. */
static bool
is_proxy(const char *url)
{
	static const char begin[] = "http://";
	const char *host = url + strlen(begin), *port = strrchr(url, ':');

	return strncmp(url, begin, strlen(begin)) == 0 && port > host &&
	       strpbrk(host, "@/?# \\") == NULL &&
	       is_port(port + 1, strlen(port + 1));
}

static bool
check_endpoints(struct reader *in)
{
	const struct conf *c = in->conf;
	const char *const urls[] = {
	    c->token_endpoint, c->device_endpoint, c->authorization_endpoint};
	static const char *const names[] = {
	    "token_endpoint", "device_endpoint", "authorization_endpoint"};

	for (size_t i = 0; i < 3; i++)
		if (urls[i][0] != '\0' && !is_endpoint(urls[i]))
			return complain(in,
			    "bad %s: must be https://... (http:// only to "
			    "127.0.0.1:PORT, [::1]:PORT, localhost:PORT)",
			    names[i]);
	if (*c->proxy != '\0' && !is_proxy(c->proxy))
		return complain(in, "bad proxy: must be http://HOST:PORT");
	for (size_t i = 0; i < 3 && *c->proxy != '\0'; i++)
		if (strncmp(urls[i], "http://", 7) == 0)
			return complain(in,
			    "proxy: secrets go through one over TLS only, and "
			    "%s is http://",
			    names[i]);
	return true;
}

static bool
check_places(struct reader *in)
{
	for (size_t i = 0; i < SETTING_COUNT; i++)
		if (**text_of(in->conf, &settings[i]) != '\0' &&
		    (settings[i].flows & 1U << in->conf->flow) == 0)
			return complain(in, "%s is not for flow = %s",
			    settings[i].name, flows[in->conf->flow]);
	return true;
}

/* How the client says who it is: exactly one way, or, for a user's token, none
 * (a public client). */
static bool
check_client(struct reader *in)
{
	struct conf *c = in->conf;
	int ways = (*c->client_secret != '\0') +
		   (*c->client_secret_file != '\0') +
		   (*c->certificate_file != '\0');

	if (ways > 1)
		return complain(in,
		    "only one of client_secret, client_secret_file and "
		    "certificate_file can be used");
	if (c->flow == CONF_CLIENT_CREDENTIALS && ways == 0)
		return complain(in,
		    "client_secret_file, client_secret or certificate_file is "
		    "missing");
	if (*c->certificate_file == '\0' && c->flow != CONF_JWT_BEARER &&
	    (*c->key_file != '\0' || in->has_algorithm))
		return complain(
		    in, "key_file and algorithm go with certificate_file");
	if (in->has_auth_method && *c->client_secret == '\0' &&
	    *c->client_secret_file == '\0')
		return complain(in,
		    "token_endpoint_auth_method goes with client_secret_file "
		    "or client_secret");
	if (*c->key_id != '\0' && *c->certificate_file == '\0' &&
	    c->flow != CONF_JWT_BEARER)
		return complain(in, "key_id goes with certificate_file");
	if (!in->has_algorithm)
		c->algorithm =
		    c->flow == CONF_JWT_BEARER ? CONF_RS256 : CONF_PS256;
	if (c->flow != CONF_JWT_BEARER)
		return *c->client_id != '\0' ||
		       complain(in, "client_id is missing");
	if ((*c->service_account_file != '\0') ==
	    (*c->key_file != '\0' && *c->client_id != '\0'))
		return complain(in,
		    "service_account_file is missing (or key_file and "
		    "client_id instead)");
	return *c->subject != '\0' || complain(in, "subject is missing");
}

static bool
check(struct reader *in)
{
	struct conf *c = in->conf;

	in->line = 0;
	if (!in->has_flow)
		return complain(in, "flow is missing");
	if (!check_places(in) || !apply_provider(in) || !check_endpoints(in) ||
	    !check_client(in))
		return false;
	if (*c->token_endpoint == '\0' && *c->service_account_file == '\0')
		return complain(in, "token_endpoint (or provider) is missing");
	if (*c->scope == '\0')
		return complain(in, "scope (or provider) is missing");
	if (c->flow == CONF_REFRESH_TOKEN && *c->refresh_token_file == '\0') {
		mem_free(c->refresh_token_file);
		c->refresh_token_file = mem_printf("%s.refresh", c->name);
	}
	return true;
}

bool
conf_parse(struct conf *conf, const char *name, struct slice text, char *error,
    size_t n)
{
	struct reader in = {.conf = conf, .error = error, .error_size = n};
	struct lines lines = lines_of(text);
	struct slice line;

	CHECK(tokenproto_name_is_valid(name));
	memset(conf, 0, sizeof(*conf));
	conf->name = mem_strdup(name);
	for (size_t i = 0; i < SETTING_COUNT; i++)
		*text_of(conf, &settings[i]) = mem_strdup("");
	conf->certificate = mem_strdup("");
	conf->key = mem_strdup("");
	conf->ca = mem_strdup("");
	conf->authorization = mem_strdup("");
	if (memchr(text.p, '\0', text.n) != NULL)
		return complain(&in, "a NUL octet");
	while (lines_next(&lines, &line)) {
		in.line = lines.number;
		if (!take_line(&in, line))
			return false;
	}
	return check(&in);
}

static void
take_text(char **to, const json_t *json, const char *key)
{
	const char *value = json_string_value(json_object_get(json, key));

	if (value == NULL || **to != '\0')
		return;
	mem_free(*to);
	*to = mem_strdup(value);
}

bool
conf_take_service_account(
    struct conf *conf, struct slice json, char *error, size_t n)
{
	struct reader in = {.conf = conf, .error = error, .error_size = n};
	json_t *object = json_loadb(json.p, json.n, 0, NULL);

	take_text(&conf->client_id, object, "client_email");
	take_text(&conf->key, object, "private_key");
	take_text(&conf->token_endpoint, object, "token_uri");
	json_decref(object);
	if (*conf->client_id == '\0' || *conf->key == '\0' ||
	    *conf->token_endpoint == '\0')
		return complain(&in,
		    "service_account_file: not a key of a service account in "
		    "JSON (client_email, private_key, token_uri)");
	return check_endpoints(&in);
}

void
conf_finish(struct conf *conf)
{
	struct buf text;

	if (conf->auth_method != CONF_SECRET_BASIC)
		return;
	buf_init(&text, FORM_CREDENTIALS_MAX);
	form_credentials(&text, conf->client_id, conf->client_secret);
	mem_free(conf->authorization);
	conf->authorization = mem_strdup(buf_str(&text));
	buf_fini_secret(&text);
}

static void
wipe(char **text)
{
	if (*text != NULL)
		mem_wipe(*text, strlen(*text));
	mem_free(*text);
	*text = NULL;
}

void
conf_free(struct conf *conf)
{
	for (size_t i = 0; i < SETTING_COUNT; i++)
		wipe(text_of(conf, &settings[i]));
	wipe(&conf->certificate);
	wipe(&conf->key);
	wipe(&conf->ca);
	wipe(&conf->authorization);
	mem_free(conf->name);
	conf->name = NULL;
}

struct slice
conf_host(const struct conf *conf)
{
	const char *host = strstr(conf->token_endpoint, "://");

	host = host != NULL ? host + 3 : conf->token_endpoint;
	return slice_of(host, strcspn(host, "/?#"));
}
