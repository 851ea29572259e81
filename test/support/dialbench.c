#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "agent/settings/params.h"
#include "agent/smarthost/candidate.h"
#include "common/base/log.h"
#include "common/base/mem.h"
#include "test/support/dialbench.h"
#include "test/support/scratch.h"

struct fake_ca *bench_ca;
static struct fake_ca *other_ca;
struct fake_cert *bench_good_cert, *bench_wrong_name_cert, *bench_other_cert;

struct buf bench_log;

static void
keep_log(void *ctx, enum log_level level, const char *line)
{
	(void)ctx;
	(void)level;
	(void)buf_addf(&bench_log, "%s\n", line);
	/* Never, at whatever level. */
	assert_null(strstr(line, "c2VjcmV0"));
	assert_null(strstr(line, "secret"));
}

void
bench_set(struct bench *b, const char *name, const char *value)
{
	assert_true(params_set(&b->set, params_find(name), value, NULL));
}

void
bench_begin(struct bench *b)
{
	memset(b, 0, sizeof(*b));
	buf_reset(&bench_log);
	buf_init(&b->got, 65536);
	params_init(&b->set);
	bench_set(b, "config_directory", scratch_path("config"));
	bench_set(b, "smtp_helo_name", "client.example");
	bench_set(b, "myhostname", "client.example");
	bench_set(b, "inet_protocols", "ipv4");
	bench_set(b, "smtp_tls_CAfile", fake_ca_file(bench_ca));
	bench_set(b, "smtp_tls_loglevel", "1");
	bench_set(b, "smtp_sasl_security_options", "noplaintext, noanonymous");
	bench_set(b, "smtp_sasl_tls_security_options", "noanonymous");
	bench_set(b, "smtp_sasl_tls_verified_security_options", "noanonymous");
	b->loop = loop_new();
}

/* Starts the server; its name is localhost in certificates. */
void
bench_serve(struct bench *b, const char *const *script, struct fake_cert *cert)
{
	b->fake = fake_start(script, cert);
	(void)snprintf(b->nexthop, sizeof(b->nexthop), "[localhost]:%d",
	    fake_port(b->fake));
}

void
bench_use_password(struct bench *b)
{
	struct maps_env env;

	bench_set(b, "smtp_sasl_auth_enable", "yes");
	maps_env_init(&env, NULL, &b->set);
	b->passwords = maps_open(&env, "smtp_sasl_password_maps",
	    "inline:{{localhost = user:secret}}", NULL);
	b->credentials = credentials_new(&b->set, b->passwords);
}

void
bench_use_policy(struct bench *b, const char *policy)
{
	struct maps_env env;
	char table[400];

	(void)snprintf(
	    table, sizeof(table), "inline:{{%s = %s}}", b->nexthop, policy);
	maps_env_init(&env, NULL, &b->set);
	b->policies = maps_open(&env, "smtp_tls_policy_maps", table, NULL);
}

void
bench_on_done(void *ctx, struct dial_result *result)
{
	struct bench *b = ctx;

	assert_false(b->is_done);
	b->is_done = true;
	b->dial = NULL;
	b->result = *result;
	result->link = NULL;
	result->reply_text = NULL;
	result->login = NULL;
	dial_result_fini(result);
}

void
bench_dial(struct bench *b)
{
	dial_result_fini(&b->result);
	b->is_done = false;
	if (b->dialer == NULL)
		b->dialer =
		    dialer_new(b->loop, &b->set, b->credentials, b->policies);
	b->dial = dialer_dial(b->dialer,
	    &(struct dial_target){
		.nexthops = b->nexthop,
		.level = CANDIDATE_ALL_LEVELS,
		.past = "",
		.sender = "",
		.may_be_plain = !b->must_be_tls,
		.may_lead = b->may_lead,
	    },
	    bench_on_done, b);
	assert_false(b->is_done);
	assert_true(fake_run_until(b->loop, &b->is_done));
}

void
bench_end(struct bench *b)
{
	const char *error = NULL;

	dial_result_fini(&b->result);
	if (b->fake != NULL)
		error = fake_finish(b->fake);
	if (error != NULL)
		fail_msg("server: %s", error);
	dialer_free(&b->dialer);
	credentials_free(&b->credentials);
	if (b->passwords != NULL)
		maps_close(&b->passwords);
	if (b->policies != NULL)
		maps_close(&b->policies);
	if (b->fake != NULL)
		fake_free(&b->fake);
	loop_free(&b->loop);
	settings_free(&b->set);
	buf_fini(&b->got);
}

void
bench_expect_success(struct bench *b)
{
	if (b->result.link == NULL)
		fail_msg("%s: %s %s", dial_stage_name(b->result.stage),
		    b->result.dsn.status, b->result.dsn.text);
}

void
bench_expect_failure(struct bench *b, enum dial_stage stage, const char *status,
    const char *text)
{
	assert_null(b->result.link);
	if (strstr(b->result.dsn.text, text) == NULL)
		fail_msg("\"%s\" is not in \"%s\"", text, b->result.dsn.text);
	assert_string_equal(b->result.dsn.status, status);
	assert_string_equal(
	    dial_stage_name(b->result.stage), dial_stage_name(stage));
}

int
bench_setup(void **state)
{
	(void)state;
	scratch_config("");
	bench_ca = fake_ca_new("good authority");
	other_ca = fake_ca_new("other authority");
	bench_good_cert = fake_cert_new(bench_ca, "localhost");
	bench_wrong_name_cert = fake_cert_new(bench_ca, "elsewhere.example");
	bench_other_cert = fake_cert_new(other_ca, "localhost");
	buf_init(&bench_log, 1 << 20);
	log_set_sink(keep_log, NULL);
	log_set_verbose(2);
	return 0;
}

int
bench_teardown(void **state)
{
	(void)state;
	log_set_sink(NULL, NULL);
	buf_fini(&bench_log);
	fake_cert_free(&bench_good_cert);
	fake_cert_free(&bench_wrong_name_cert);
	fake_cert_free(&bench_other_cert);
	fake_ca_free(&bench_ca);
	fake_ca_free(&other_ca);
	return 0;
}
