#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <string.h>

#include "agent/token/conf.h"
#include "agent/token/grant.h"
#include "agent/token/login.h"
#include "agent/token/post.h"
#include "common/base/mem.h"

#define APP "flow = client_credentials\nclient_id = app\nclient_secret = s\n"

static void
expect_good(struct conf *c, const char *text)
{
	char error[CONF_ERROR_SIZE] = "";

	if (!conf_parse(c, "work", slice_str(text), error, sizeof(error)))
		fail_msg("%s", error);
}

static void
application_at_office365(void **state)
{
	struct conf c;

	(void)state;
	expect_good(&c, "# ours\n\nprovider = office365\n" APP
			"\ttenant=contoso.example  \r\n");
	assert_int_equal(c.flow, CONF_CLIENT_CREDENTIALS);
	assert_string_equal(c.token_endpoint,
	    "https://login.microsoftonline.com/contoso.example/oauth2/v2.0/"
	    "token");
	assert_string_equal(c.scope, "https://outlook.office365.com/.default");
	assert_string_equal(c.client_secret, "s");
	assert_int_equal(conf_host(&c).n, strlen("login.microsoftonline.com"));
	conf_free(&c);
}

static void
clouds_have_hosts_and_scopes_of_their_own(void **state)
{
	static const char *const cases[][3] = {
	    {"office365-gcchigh", "https://login.microsoftonline.us/t/",
		"https://outlook.office365.us/.default"},
	    {"office365-dod", "https://login.microsoftonline.us/t/",
		"https://outlook-dod.office365.us/.default"},
	    {"office365-china", "https://login.partner.microsoftonline.cn/t/",
		"https://partner.outlook.cn/.default"},
	};
	struct conf c;

	(void)state;
	for (size_t i = 0; i < 3; i++) {
		char *text =
		    mem_printf(APP "provider = %s\ntenant = t\n", cases[i][0]);

		expect_good(&c, text);
		assert_int_equal(
		    strncmp(c.token_endpoint, cases[i][1], strlen(cases[i][1])),
		    0);
		assert_string_equal(c.scope, cases[i][2]);
		conf_free(&c);
		mem_free(text);
	}
}

static void
user_logs_in_by_device_or_address(void **state)
{
	struct conf c;

	(void)state;
	expect_good(&c, "provider = office365\nflow = refresh_token\n"
			"tenant = t\nclient_id = app\n");
	assert_string_equal(c.device_endpoint,
	    "https://login.microsoftonline.com/t/oauth2/v2.0/devicecode");
	assert_string_equal(c.authorization_endpoint, "");
	assert_string_equal(
	    c.scope, "https://outlook.office.com/SMTP.Send offline_access");
	assert_string_equal(c.refresh_token_file, "work.refresh");
	conf_free(&c);
	expect_good(&c, "provider = gmail\nflow = refresh_token\n"
			"client_id = app\nclient_secret = s\n"
			"refresh_token_file = /var/lib/x\n");
	assert_string_equal(c.device_endpoint, "");
	assert_string_equal(c.authorization_endpoint,
	    "https://accounts.google.com/o/oauth2/v2/auth");
	assert_string_equal(c.refresh_token_file, "/var/lib/x");
	conf_free(&c);
}

static void
service_account_brings_what_is_missing(void **state)
{
	static const char json[] =
	    "{\"type\":\"service_account\",\"client_email\":\"x@y\","
	    "\"private_key\":\"PEM\",\"token_uri\":\"https://t.example/\"}";
	char error[CONF_ERROR_SIZE];
	struct conf c;

	(void)state;
	expect_good(&c, "flow = jwt_bearer\nscope = s\nsubject = a@b\n"
			"service_account_file = key.json\n");
	assert_int_equal(c.algorithm, CONF_RS256);
	assert_false(conf_take_service_account(
	    &c, slice_str("{\"type\": 1}"), error, sizeof(error)));
	assert_true(conf_take_service_account(
	    &c, slice_str(json), error, sizeof(error)));
	assert_string_equal(c.client_id, "x@y");
	assert_string_equal(c.key, "PEM");
	assert_string_equal(c.token_endpoint, "https://t.example/");
	conf_free(&c);
}

static void
what_is_wrong_is_said(void **state)
{
	static const char *const cases[][2] = {
	    {"", "flow is missing"},
	    {"flow\n", "line 1: must be \"name = value\""},
	    {"flow =\n", "line 1: flow has no value"},
	    {"flow = magic\n", "line 1: bad flow"},
	    {"#\nfolw = x\n", "line 2: unknown setting \"folw\""},
	    {APP "flow = client_credentials\n", "line 4: flow is given twice"},
	    {APP "client_id = b\n", "line 4: client_id is given twice"},
	    {APP "scope = a\001b\n", "line 4: control character"},
	    {APP "algorithm = none\n", "line 4: bad algorithm"},
	    {APP "scope = s\n", "token_endpoint (or provider) is missing"},
	    {APP "token_endpoint = https://t/\n",
		"scope (or provider) is missing"},
	    {APP "scope = s\ntoken_endpoint = http://t/\n",
		"bad token_endpoint: must be https://"},
	    {APP "scope = s\ntoken_endpoint = http://127.0.0.1.evil/\n",
		"bad token_endpoint: must be https://"},
	    {APP "scope = s\ntoken_endpoint = "
		 "http://localhost:80@evil.example/\n",
		"bad token_endpoint: must be https://"},
	    {APP "scope = s\ntoken_endpoint = http://[::1]:80.evil.example/\n",
		"bad token_endpoint: must be https://"},
	    {APP "scope = s\ntoken_endpoint = http://127.0.0.1:\n",
		"bad token_endpoint: must be https://"},
	    {APP "scope = s\ntoken_endpoint = https:///token\n",
		"bad token_endpoint: must be https://"},
	    {APP "scope = s\ntoken_endpoint = https://user:word@t.example/\n",
		"bad token_endpoint: must be https://"},
	    {APP "scope = s\ntoken_endpoint = https://t/\nproxy = p.example\n",
		"bad proxy: must be http://HOST:PORT"},
	    {APP "scope = s\ntoken_endpoint = https://t/\n"
		 "proxy = http://user:word@p.example:3128\n",
		"bad proxy: must be http://HOST:PORT"},
	    {APP "scope = s\ntoken_endpoint = http://127.0.0.1:80/t\n"
		 "proxy = http://p.example:3128\n",
		"proxy: secrets go through one over TLS only, and "
		"token_endpoint is http://"},
	    {APP "provider = office356\n", "unknown provider \"office356\""},
	    {APP "provider = office365\n", "tenant is missing or wrong"},
	    {APP "provider = office365\ntenant = a/b\n",
		"tenant is missing or wrong"},
	    {APP "provider = gmail\ntenant = a\n", "gmail has no tenant"},
	    {APP "tenant = a\n", "tenant is for a provider"},
	    {APP "subject = a\n", "subject is not for flow = "},
	    {APP "refresh_token_file = a\n", "refresh_token_file is not for"},
	    {APP "client_secret_file = a\n", "only one of client_secret"},
	    {APP "key_file = k\n", "key_file and algorithm go with"},
	    {APP "key_id = k\n", "key_id goes with certificate_file"},
	    {APP "token_endpoint_auth_method = private_key_jwt\n",
		"line 4: bad token_endpoint_auth_method: must be "
		"client_secret_post or client_secret_basic"},
	    {APP "token_endpoint_auth_method = client_secret_post\n"
		 "token_endpoint_auth_method = client_secret_post\n",
		"line 5: token_endpoint_auth_method is given twice"},
	    {"flow = refresh_token\nclient_id = a\n"
	     "token_endpoint_auth_method = client_secret_basic\n",
		"token_endpoint_auth_method goes with client_secret_file"},
	    {APP "algorithm = RS256\n", "key_file and algorithm go with"},
	    {"flow = client_credentials\nclient_id = a\n",
		"client_secret_file, client_secret or certificate_file is "
		"missing"},
	    {"flow = refresh_token\n", "client_id is missing"},
	    {"flow = jwt_bearer\nsubject = a\n",
		"service_account_file is missing"},
	    {"flow = jwt_bearer\nservice_account_file = a\n",
		"subject is missing"},
	};
	char error[CONF_ERROR_SIZE];
	struct conf c;

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		bool ok = conf_parse(
		    &c, "work", slice_str(cases[i][0]), error, sizeof(error));

		if (ok || strncmp(error, cases[i][1], strlen(cases[i][1])) != 0)
			fail_msg("%s-> %s, not %s", cases[i][0],
			    ok ? "taken" : error, cases[i][1]);
		conf_free(&c);
	}
}

static void
secret_is_in_no_error(void **state)
{
	char error[CONF_ERROR_SIZE];
	struct conf c;

	(void)state;
	assert_false(conf_parse(&c, "work",
	    slice_str("client_secret = geheim\nclient_secret = geheim\n"),
	    error, sizeof(error)));
	assert_null(strstr(error, "geheim"));
	conf_free(&c);
	assert_false(conf_parse(
	    &c, "work", slice_str("geheim\n"), error, sizeof(error)));
	assert_null(strstr(error, "geheim"));
	conf_free(&c);
}

static void
expect_form(const char *text, const char *form_wanted)
{
	char error[CONF_ERROR_SIZE] = "";
	struct buf form;
	struct conf c;

	expect_good(&c, text);
	buf_init(&form, POST_FORM_MAX);
	assert_true(
	    grant_form(&c, "r/1", 1700000000, &form, error, sizeof(error)));
	assert_string_equal(buf_str(&form), form_wanted);
	buf_fini(&form);
	conf_free(&c);
}

/* RFC 6749 4.4.2, 6 and 2.3.1 */
static void
forms_are_as_in_the_standard(void **state)
{
	(void)state;
	expect_form("flow = client_credentials\nclient_id = a b\n"
		    "client_secret = s&=+\ntoken_endpoint = https://t/\n"
		    "scope = https://x/.default\n",
	    "grant_type=client_credentials&scope=https%3A%2F%2Fx%2F.default&"
	    "client_id=a%20b&client_secret=s%26%3D%2B");
	expect_form("flow = refresh_token\nclient_id = a\n"
		    "token_endpoint = https://t/\nscope = x offline_access\n",
	    "grant_type=refresh_token&refresh_token=r%2F1&"
	    "scope=x%20offline_access&client_id=a");
}

/* RFC 6749 2.3.1: encoded as in a form, then as RFC 7617 has it; and then not
 * in the form, too. "a%20b:s%26%3D%2B" */
static void
secret_is_in_the_form_or_in_a_header(void **state)
{
	static const char text[] =
	    "flow = client_credentials\nclient_id = a b\n"
	    "client_secret = s&=+\ntoken_endpoint = https://t/\n"
	    "scope = x\ntoken_endpoint_auth_method = ";
	static const char wanted[] = "YSUyMGI6cyUyNiUzRCUyQg==";
	char error[CONF_ERROR_SIZE] = "";
	struct buf form;
	struct conf c;
	char *more;

	(void)state;
	for (int is_basic = 0; is_basic < 2; is_basic++) {
		more = mem_printf(
		    "%sclient_secret_%s\n", text, is_basic ? "basic" : "post");
		expect_good(&c, more);
		conf_finish(&c);
		assert_string_equal(c.authorization, is_basic ? wanted : "");
		buf_init(&form, POST_FORM_MAX);
		assert_true(
		    grant_form(&c, NULL, 0, &form, error, sizeof(error)));
		assert_string_equal(buf_str(&form),
		    is_basic ? "grant_type=client_credentials&scope=x"
			     : "grant_type=client_credentials&scope=x&"
			       "client_id=a%20b&client_secret=s%26%3D%2B");
		buf_fini(&form);
		conf_free(&c);
		mem_free(more);
	}
}

static void
address_of_the_browser_is_understood(void **state)
{
	static const char url[] =
	    "http://127.0.0.1:1/?state=s1&code=4%2F0Ab-c&scope=https://m/\n";
	char *code = login_query_value(url, "code");
	char *given = login_query_value(url, "state");

	(void)state;
	assert_string_equal(code, "4/0Ab-c");
	assert_string_equal(given, "s1");
	assert_null(login_query_value(url, "cod"));
	assert_null(login_query_value("nonsense", "code"));
	mem_free(code);
	mem_free(given);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(application_at_office365),
	    cmocka_unit_test(clouds_have_hosts_and_scopes_of_their_own),
	    cmocka_unit_test(user_logs_in_by_device_or_address),
	    cmocka_unit_test(service_account_brings_what_is_missing),
	    cmocka_unit_test(what_is_wrong_is_said),
	    cmocka_unit_test(secret_is_in_no_error),
	    cmocka_unit_test(forms_are_as_in_the_standard),
	    cmocka_unit_test(secret_is_in_the_form_or_in_a_header),
	    cmocka_unit_test(address_of_the_browser_is_understood),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
