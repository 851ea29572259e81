#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "agent/smarthost/candidate.h"
#include "agent/smarthost/dial.h"
#include "agent/smarthost/tokens.h"
#include "common/base/mem.h"
#include "test/support/dialbench.h"
#include "test/support/scratch.h"
#include "test/support/tokenbench.h"

#define EHLO_TOKEN "<EHLO", ">250-mx.example", ">250 AUTH LOGIN XOAUTH2"
#define BEGIN ">220 mx.example", EHLO_TLS, STARTTLS, EHLO_TOKEN
/* user=user ^A auth=Bearer first or second ^A ^A */
#define FIRST "<AUTH XOAUTH2 dXNlcj11c2VyAWF1dGg9QmVhcmVyIGZpcnN0AQE="
#define SECOND "<AUTH XOAUTH2 dXNlcj11c2VyAWF1dGg9QmVhcmVyIHNlY29uZAEB"
#define REFUSAL ">334 eyJzdGF0dXMiOiI0MDEifQ==", "<", ">535 5.7.8 no"
#define LEAVE "<QUIT", ">221 bye"

static const struct tokenbench_answer one[] = {{0, 7, "first", 0}, {0}};
static const struct tokenbench_answer two[] = {
    {0, 7, "first", 0}, {0, 8, "second", 7}, {0}};
static const struct tokenbench_answer same[] = {
    {0, 7, "first", 0}, {0, 7, "first", 7}, {0}};

static void
use_login(struct bench *b, const char *login)
{
	struct maps_env env;
	char table[200];

	bench_set(b, "smtp_sasl_auth_enable", "yes");
	bench_set(b, "smtp_tls_security_level", "may");
	(void)snprintf(
	    table, sizeof(table), "inline:{{localhost = %s}}", login);
	maps_env_init(&env, NULL, &b->set);
	b->passwords = maps_open(&env, "smtp_sasl_password_maps", table, NULL);
	b->credentials = credentials_new(&b->set, b->passwords);
}

static void
dial(struct bench *b, const char *const *script,
    const struct tokenbench_answer *answers)
{
	struct tokenbench *service = tokenbench_start(answers);
	const char *error;

	bench_begin(b);
	bench_serve(b, script, bench_good_cert);
	use_login(b, "user:oauth2:work");
	bench_dial(b);
	error = tokenbench_finish(&service);
	if (error != NULL)
		fail_msg("%s", error);
}

static void
end(struct bench *b)
{
	assert_null(strstr(buf_str(&bench_log), "first"));
	assert_null(strstr(buf_str(&bench_log), "second"));
	assert_null(strstr(buf_str(&bench_log), "dXNlcj11c2Vy"));
	bench_end(b);
}

static void
token_is_the_password(void **state)
{
	static const char *const script[] = {
	    BEGIN, FIRST, ">235 welcome", "hang", NULL};
	struct bench b;

	(void)state;
	dial(&b, script, one);
	bench_expect_success(&b);
	assert_true(b.result.is_authenticated);
	end(&b);
}

static void
token_is_asked_for_again(void **state)
{
	static const char *const script[] = {BEGIN, FIRST, ">334 ",
	    "<dXNlcj11c2VyAWF1dGg9QmVhcmVyIGZpcnN0AQE=", ">235 welcome", "hang",
	    NULL};
	struct bench b;

	(void)state;
	dial(&b, script, one);
	bench_expect_success(&b);
	end(&b);
}

/* RFC 4954 4: no initial response in a line over 512 octets. */
static void
long_token_is_given_when_asked(void **state)
{
	static const char *const script[] = {BEGIN, "<AUTH XOAUTH2", ">334 ",
	    "<dXNlcj11c2VyAWF1dGg9QmVhcmVyIHh4", ">235 welcome", "hang", NULL};
	static char token[2049];
	const struct tokenbench_answer answers[] = {{0, 1, token, 0}, {0}};
	struct bench b;

	(void)state;
	memset(token, 'x', sizeof(token) - 1);
	dial(&b, script, answers);
	bench_expect_success(&b);
	assert_null(strstr(buf_str(&bench_log), "xxxx"));
	end(&b);
}

static void
refused_token_is_replaced_once(void **state)
{
	static const char *const script[] = {BEGIN, FIRST, REFUSAL, LEAVE,
	    "next", BEGIN, SECOND, ">235 welcome", "hang", NULL};
	struct bench b;

	(void)state;
	dial(&b, script, two);
	bench_expect_success(&b);
	assert_non_null(strstr(buf_str(&bench_log), "535 5.7.8 no"));
	end(&b);
}

/* A server that hangs up instead of waiting for QUIT, and one that does not
 * say why. */
static void
refused_token_is_replaced_after_a_rude_end(void **state)
{
	static const char *const script[] = {BEGIN, FIRST, ">501 5.5.127 soon",
	    "next", BEGIN, SECOND, ">235 welcome", "hang", NULL};
	struct bench b;

	(void)state;
	dial(&b, script, two);
	bench_expect_success(&b);
	end(&b);
}

static void
second_refusal_is_final(void **state)
{
	static const char *const script[] = {BEGIN, FIRST, REFUSAL, LEAVE,
	    "next", BEGIN, SECOND, REFUSAL, LEAVE, NULL};
	struct bench b;

	(void)state;
	dial(&b, script, two);
	bench_expect_failure(
	    &b, DIAL_AUTH, "4.7.8", "said: (status=401) 535 5.7.8 no");
	assert_int_equal(b.result.reply_code, 535);
	end(&b);
}

static void
same_token_again_is_not_tried(void **state)
{
	static const char *const script[] = {
	    BEGIN, FIRST, REFUSAL, LEAVE, NULL};
	struct bench b;

	(void)state;
	dial(&b, script, same);
	bench_expect_failure(&b, DIAL_AUTH, "4.7.8", "535 5.7.8 no");
	assert_int_equal(b.result.reply_code, 535);
	end(&b);
}

/* Temporary refusals say nothing of the token. */
static void
token_is_kept_for_later(void **state)
{
	static const char *const script[] = {
	    BEGIN, FIRST, ">454 4.7.0 later", LEAVE, NULL};
	struct bench b;

	(void)state;
	dial(&b, script, one);
	bench_expect_failure(&b, DIAL_AUTH, "4.7.0", "454 4.7.0 later");
	end(&b);
}

static void
echoed_token_is_hidden(void **state)
{
	static const char *const script[] = {
	    BEGIN, FIRST, ">454 4.7.0 no such token: first!", LEAVE, NULL};
	struct bench b;

	(void)state;
	dial(&b, script, one);
	bench_expect_failure(&b, DIAL_AUTH, "4.7.0", "no such token: ..");
	assert_null(strstr(b.result.reply_text, "first"));
	end(&b);
}

static void
token_is_never_sent_in_the_clear(void **state)
{
	static const char *const script[] = {
	    ">220 mx.example", EHLO_TOKEN, LEAVE, NULL};
	struct bench b;

	(void)state;
	dial(&b, script, one);
	bench_expect_failure(
	    &b, DIAL_AUTH, "4.7.0", "an access token is sent over TLS only");
	end(&b);
}

static void
without_a_mechanism_it_is_not_sent(void **state)
{
	static const char *const script[] = {
	    ">220 mx.example", EHLO_TLS, STARTTLS, EHLO_AUTH, LEAVE, NULL};
	struct bench b;

	(void)state;
	dial(&b, script, one);
	bench_expect_failure(&b, DIAL_AUTH, "4.7.0",
	    "an access token needs XOAUTH2 or OAUTHBEARER, and the server "
	    "offers PLAIN");
	end(&b);
}

/* No connection is made for nothing. */
static void
without_a_token_nobody_is_called(void **state)
{
	static const struct {
		struct tokenbench_answer answers[2];
		const char *text;
		bool is_transport;
	} cases[] = {
	    {{{1, 0, "login.example: no answer", 0}, {0}},
		"no access token work: login.example: no answer", true},
	    {{{2, 0, "login.example: 400 invalid_client: AADSTS7000215", 0},
		 {0}},
		"no access token work: login.example: 400 invalid_client: "
		"AADSTS7000215",
		false},
	    {{{3, 0, "what?", 0}, {0}}, "malformed answer", true},
	    {{{1, 0, NULL, 0}, {0}}, "connection lost", true},
	};
	struct bench b;

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct tokenbench *service = tokenbench_start(cases[i].answers);

		bench_begin(&b);
		(void)snprintf(b.nexthop, sizeof(b.nexthop), "[localhost]:1");
		use_login(&b, "user:oauth2:work");
		bench_dial(&b);
		assert_null(tokenbench_finish(&service));
		bench_expect_failure(&b, DIAL_TOKEN, "4.7.0", cases[i].text);
		assert_int_equal(b.result.is_transport, cases[i].is_transport);
		assert_false(b.result.had_connection);
		end(&b);
	}
}

static void
without_a_service_it_is_said(void **state)
{
	struct bench b;

	(void)state;
	assert_int_equal(chdir(scratch_dir()), 0);
	(void)unlink("private/lane-token");
	bench_begin(&b);
	(void)snprintf(b.nexthop, sizeof(b.nexthop), "[localhost]:1");
	use_login(&b, "user:oauth2:work");
	bench_dial(&b);
	bench_expect_failure(&b, DIAL_TOKEN, "4.7.0",
	    "no access token work: token service at private/lane-token: No "
	    "such file or directory");
	end(&b);
}

static void
bad_name_is_no_password(void **state)
{
	static const char *const logins[] = {"user:oauth2:", "user:oauth2:../x",
	    "user:oauth2:.x", "user:oauth2:a/b"};
	struct bench b;

	(void)state;
	for (size_t i = 0; i < sizeof(logins) / sizeof(logins[0]); i++) {
		bench_begin(&b);
		(void)snprintf(b.nexthop, sizeof(b.nexthop), "[localhost]:1");
		use_login(&b, logins[i]);
		bench_dial(&b);
		bench_expect_failure(&b, DIAL_CONFIG, "4.3.5",
		    "smtp_sasl_password_maps: bad name after \"oauth2:\"");
		bench_end(&b);
	}
}

static void
dial_is_cancelled_while_it_waits_for_a_token(void **state)
{
	static const struct tokenbench_answer none[] = {{0}};
	struct tokenbench *service = tokenbench_start(none);
	struct bench b;

	(void)state;
	bench_begin(&b);
	(void)snprintf(b.nexthop, sizeof(b.nexthop), "[localhost]:1");
	use_login(&b, "user:oauth2:work");
	b.dialer = dialer_new(b.loop, &b.set, b.credentials, NULL);
	b.dial = dialer_dial(b.dialer,
	    &(struct dial_target){.nexthops = b.nexthop,
		.level = CANDIDATE_ALL_LEVELS,
		.past = "",
		.sender = ""},
	    bench_on_done, &b);
	while (b.dial->token_query == NULL)
		loop_once(b.loop);
	dial_cancel(&b.dial);
	assert_null(tokenbench_finish(&service));
	assert_false(b.is_done);
	bench_end(&b);
}

/* A socket whose queue is full, which is emptied when somebody was refused. */
struct crowd {
	struct loop *loop;
	int listen_fd, others[2];
	struct loop_timer *timer;
	char reason[200];
};

static void
connect_another(struct crowd *c, int i)
{
	struct sockaddr_un addr = {
	    .sun_family = AF_UNIX, .sun_path = "crowded"};

	c->others[i] = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	assert_int_equal(
	    connect(c->others[i], (struct sockaddr *)&addr, sizeof(addr)), 0);
}

static void
empty_queue(void *ctx)
{
	struct crowd *c = ctx;

	for (int i = 0; i < 2; i++) {
		int fd = accept(c->listen_fd, NULL, NULL);

		assert_true(fd >= 0);
		(void)close(fd);
	}
	(void)close(c->listen_fd);
}

static void
on_answer(void *ctx, const struct tokens_answer *answer)
{
	struct crowd *c = ctx;

	(void)snprintf(c->reason, sizeof(c->reason), "%s", answer->reason);
	loop_stop(c->loop);
}

static void
crowd_at_the_socket_is_waited_for(void **state)
{
	struct sockaddr_un addr = {
	    .sun_family = AF_UNIX, .sun_path = "crowded"};
	struct crowd c = {.loop = loop_new()};
	struct tokens *tokens = tokens_new(c.loop, "crowded", 60000);

	(void)state;
	assert_int_equal(chdir(scratch_dir()), 0);
	(void)unlink(addr.sun_path);
	c.listen_fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	assert_int_equal(
	    bind(c.listen_fd, (struct sockaddr *)&addr, sizeof(addr)), 0);
	assert_int_equal(listen(c.listen_fd, 1), 0);
	connect_another(&c, 0);
	connect_another(&c, 1);
	c.timer = loop_timer_new(c.loop, empty_queue, &c);
	assert_non_null(tokens_ask(tokens, "work", 0, on_answer, &c));
	loop_timer_at(c.timer, loop_now_ms(c.loop));
	loop_run(c.loop);
	/* Told by the socket's end, and not by the crowd. */
	assert_string_equal(
	    c.reason, "token service at crowded: Connection refused");
	loop_timer_free(&c.timer);
	tokens_free(&tokens);
	loop_free(&c.loop);
	for (int i = 0; i < 2; i++)
		(void)close(c.others[i]);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(token_is_the_password),
	    cmocka_unit_test(token_is_asked_for_again),
	    cmocka_unit_test(long_token_is_given_when_asked),
	    cmocka_unit_test(refused_token_is_replaced_once),
	    cmocka_unit_test(refused_token_is_replaced_after_a_rude_end),
	    cmocka_unit_test(second_refusal_is_final),
	    cmocka_unit_test(same_token_again_is_not_tried),
	    cmocka_unit_test(token_is_kept_for_later),
	    cmocka_unit_test(echoed_token_is_hidden),
	    cmocka_unit_test(token_is_never_sent_in_the_clear),
	    cmocka_unit_test(without_a_mechanism_it_is_not_sent),
	    cmocka_unit_test(without_a_token_nobody_is_called),
	    cmocka_unit_test(without_a_service_it_is_said),
	    cmocka_unit_test(crowd_at_the_socket_is_waited_for),
	    cmocka_unit_test(bad_name_is_no_password),
	    cmocka_unit_test(dial_is_cancelled_while_it_waits_for_a_token),
	};

	return cmocka_run_group_tests(tests, bench_setup, bench_teardown);
}
