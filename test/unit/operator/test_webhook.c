#include <fcntl.h>
#include <netdb.h>
#include <sched.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "agent/operator/webhook.h"
#include "agent/settings/params.h"
#include "common/base/clock.h"
#include "common/base/log.h"
#include "test/support/fakeserver.h"
#include "test/support/webserver.h"

enum { RETRY_MS = 5 };

static struct loop *loop;
static struct settings set;
static struct webserver web;
static struct webhook *hook;
static char logged[16384];

static void
keep(void *ctx, enum log_level level, const char *line)
{
	size_t n = strlen(logged);

	(void)ctx;
	(void)level;
	(void)snprintf(logged + n, sizeof(logged) - n, "%s\n", line);
}

static int
set_up(void **state)
{
	(void)state;
	logged[0] = '\0';
	log_set_sink(keep, NULL);
	params_init(&set);
	loop = loop_new();
	webserver_open(&web, loop, 0);
	return 0;
}

static int
tear_down(void **state)
{
	(void)state;
	webhook_free(&hook);
	webserver_close(&web);
	loop_free(&loop);
	settings_free(&set);
	log_set_sink(NULL, NULL);
	return 0;
}

static int64_t timeout_ms = 5000;

static void
open_hook(const char *scheme, const char *host, int port, const char *ca_file)
{
	char url[128];
	struct webhook_config config = {
	    url, ca_file, RETRY_MS, timeout_ms, NULL, NULL};

	(void)snprintf(
	    url, sizeof(url), "%s://%s:%d/hook/s3cret", scheme, host, port);
	hook = webhook_new(loop, &set, &config);
	assert_non_null(hook);
}

static void
on_late(void *ctx)
{
	*(bool *)ctx = true;
}

/* Until all is delivered or given up. */
static void
wait_done(void)
{
	bool is_late = false;
	struct loop_timer *t = loop_timer_new(loop, on_late, &is_late);

	loop_timer_at(t, clock_mono_ms() + 10000);
	while (webhook_pending(hook) > 0 && !is_late)
		loop_once(loop);
	loop_timer_free(&t);
	assert_false(is_late);
}

static void
webhook_posts_json_at_once(void **state)
{
	int64_t began_ms = clock_mono_ms();

	(void)state;
	open_hook("http", "127.0.0.1", web.port, NULL);
	webhook_post(hook, "{\"a\":1}");
	assert_int_equal(web.count, 0);
	assert_true(webserver_wait(&web, 1));
	assert_true(web.at_ms[0] - began_ms < 1000);
	assert_string_equal(web.body[0], "{\"a\":1}");
	assert_non_null(strstr(web.head[0], "POST /hook/s3cret HTTP/1.1\r\n"));
	assert_non_null(
	    strstr(web.head[0], "Content-Type: application/json\r\n"));
	wait_done();
	assert_string_equal(logged, "");
}

static void
webhook_looks_names_up(void **state)
{
	(void)state;
	open_hook("http", "localhost", web.port, NULL);
	webhook_post(hook, "{}");
	assert_true(webserver_wait(&web, 1));
	wait_done();
	webhook_post(hook, "{\"again\":true}");
	assert_true(webserver_wait(&web, 2));
}

/* Everybody's in this program, libcurl's too. */
static bool is_asked;

int
getaddrinfo(const char *restrict name, const char *restrict service,
    const struct addrinfo *restrict hints, struct addrinfo **restrict out)
{
	(void)name;
	(void)service;
	(void)hints;
	(void)out;
	is_asked = true;
	return EAI_FAIL;
}

/* The addresses that our own resolver found, which waits for nothing. */
static void
webhook_has_no_names_looked_up_by_libcurl(void **state)
{
	char path[] = "/tmp/hosts-XXXXXX";
	int fd = mkstemp(path);

	(void)state;
	assert_true(fd >= 0);
	assert_int_equal(dprintf(fd, "127.0.0.1 receiver.test\n"), 24);
	(void)close(fd);
	assert_int_equal(setenv("CARES_HOSTS", path, 1), 0);
	assert_true(
	    params_set(&set, params_find("smtp_host_lookup"), "native", NULL));
	open_hook("http", "receiver.test", web.port, NULL);
	is_asked = false;
	webhook_post(hook, "{}");
	assert_true(webserver_wait(&web, 1));
	assert_non_null(strstr(web.head[0], "Host: receiver.test"));
	assert_false(is_asked);
	assert_int_equal(unsetenv("CARES_HOSTS"), 0);
	assert_int_equal(unlink(path), 0);
}

static void
webhook_keeps_the_order(void **state)
{
	char text[16];

	(void)state;
	open_hook("http", "127.0.0.1", web.port, NULL);
	for (int i = 0; i < 5; i++) {
		(void)snprintf(text, sizeof(text), "[%d]", i);
		webhook_post(hook, text);
	}
	assert_true(webserver_wait(&web, 5));
	for (int i = 0; i < 5; i++) {
		(void)snprintf(text, sizeof(text), "[%d]", i);
		assert_string_equal(web.body[i], text);
	}
}

static void
webhook_tries_again_after_500_and_429(void **state)
{
	static const int statuses[] = {500, 429, 200, 0};

	(void)state;
	web.statuses = statuses;
	open_hook("http", "127.0.0.1", web.port, NULL);
	webhook_post(hook, "[1]");
	assert_true(webserver_wait(&web, 3));
	wait_done();
	assert_int_equal(web.count, 3);
	assert_string_equal(web.body[2], "[1]");
	assert_true(web.at_ms[1] - web.at_ms[0] >= RETRY_MS);
	assert_true(web.at_ms[2] - web.at_ms[1] >= 4 * RETRY_MS);
	assert_non_null(strstr(logged, "it answers 500"));
}

static void
webhook_tries_again_after_a_refused_connection(void **state)
{
	int port = webserver_free_port();

	(void)state;
	open_hook("http", "127.0.0.1", port, NULL);
	webhook_post(hook, "[1]");
	while (strstr(logged, "next try") == NULL)
		loop_once(loop);
	webserver_close(&web);
	webserver_open(&web, loop, port);
	assert_true(webserver_wait(&web, 1));
	assert_string_equal(web.body[0], "[1]");
}

static void
webhook_waits_so_long_for_an_answer_and_no_longer(void **state)
{
	(void)state;
	web.is_silent = true;
	timeout_ms = 200;
	open_hook("http", "127.0.0.1", web.port, NULL);
	timeout_ms = 5000;
	webhook_post(hook, "[1]");
	while (strstr(logged, "next try") == NULL)
		loop_once(loop);
	assert_int_equal(web.count, 1);
}

/* Nobody is at the place that the environment names. */
static void
webhook_goes_through_no_proxy(void **state)
{
	char proxy[64];

	(void)state;
	(void)snprintf(
	    proxy, sizeof(proxy), "http://127.0.0.1:%d", webserver_free_port());
	assert_int_equal(setenv("http_proxy", proxy, 1), 0);
	open_hook("http", "127.0.0.1", web.port, NULL);
	webhook_post(hook, "[1]");
	assert_true(webserver_wait(&web, 1));
	wait_done();
	assert_string_equal(logged, "");
	assert_int_equal(unsetenv("http_proxy"), 0);
}

static void
webhook_gives_up_in_the_end_and_goes_on(void **state)
{
	static const int statuses[] = {500, 500, 500, 500, 500, 200, 0};

	(void)state;
	web.statuses = statuses;
	open_hook("http", "127.0.0.1", web.port, NULL);
	webhook_post(hook, "[1]");
	webhook_post(hook, "[2]");
	assert_true(webserver_wait(&web, WEBHOOK_TRIES + 1));
	wait_done();
	assert_string_equal(web.body[WEBHOOK_TRIES - 1], "[1]");
	assert_string_equal(web.body[WEBHOOK_TRIES], "[2]");
	assert_non_null(strstr(logged, "given up at try 5"));
}

static void
webhook_takes_no_for_an_answer_and_follows_nobody(void **state)
{
	static const int statuses[] = {404, 302, 200, 0};

	(void)state;
	web.statuses = statuses;
	open_hook("http", "127.0.0.1", web.port, NULL);
	for (int i = 0; i < 3; i++)
		webhook_post(hook, "[]");
	assert_true(webserver_wait(&web, 3));
	wait_done();
	assert_int_equal(web.count, 3);
	assert_non_null(strstr(logged, "it answers 404"));
	assert_non_null(strstr(logged, "it answers 302"));
}

static void
webhook_never_logs_the_path(void **state)
{
	static const int statuses[] = {500, 404, 0};

	(void)state;
	web.statuses = statuses;
	open_hook("http", "127.0.0.1", web.port, NULL);
	webhook_post(hook, "[]");
	wait_done();
	assert_non_null(strstr(logged, "127.0.0.1"));
	assert_null(strstr(logged, "s3cret"));
}

static void
webhook_drops_the_oldest_of_too_many(void **state)
{
	char text[16];

	(void)state;
	web.is_silent = true;
	open_hook("http", "127.0.0.1", web.port, NULL);
	for (int i = 0; i < WEBHOOK_QUEUE_MAX + 3; i++) {
		(void)snprintf(text, sizeof(text), "[%d]", i);
		webhook_post(hook, text);
	}
	assert_int_equal(webhook_pending(hook), WEBHOOK_QUEUE_MAX);
	assert_true(webserver_wait(&web, 1));
	assert_string_equal(web.body[0], "[0]");
}

static void
webhook_can_be_freed_or_drained_at_any_time(void **state)
{
	(void)state;
	web.is_silent = true;
	open_hook("http", "localhost", web.port, NULL);
	webhook_post(hook, "[]"); /* looking up */
	webhook_free(&hook);
	open_hook("http", "127.0.0.1", web.port, NULL);
	webhook_post(hook, "[]");
	assert_true(webserver_wait(&web, 1)); /* waiting for the answer */
	webhook_post(hook, "[]");
	webhook_drain(hook);
	assert_int_equal(webhook_pending(hook), 0);
	webhook_post(hook, "[]");
	assert_int_equal(webhook_pending(hook), 0);
	webhook_free(&hook);
	open_hook("http", "127.0.0.1", webserver_free_port(), NULL);
	webhook_post(hook, "[]");
	while (strstr(logged, "next try") == NULL)
		loop_once(loop); /* pausing */
	webhook_free(&hook);
}

static const char *const tls_script[] = {"tls", "<POST /hook/s3cret",
    "<Host:", "<User-Agent: postlane",
    "<Accept:", "<Content-Type: application/json", "<Content-Length: 2", "<",
    "sink 2", ">HTTP/1.1 204 Fine", ">", "hang", NULL};
static const char *const no_tls_script[] = {"tls", "hang", NULL};

static void
webhook_trusts_the_authorities_given(void **state)
{
	struct fake_ca *ca = fake_ca_new("test");
	struct fake_cert *cert = fake_cert_new(ca, "localhost");
	struct fake *fake = fake_start(tls_script, cert);

	(void)state;
	open_hook("https", "localhost", fake_port(fake), fake_ca_file(ca));
	webhook_post(hook, "[]");
	wait_done();
	assert_null(fake_finish(fake));
	assert_string_equal(logged, "");
	fake_free(&fake);
	fake_cert_free(&cert);
	fake_ca_free(&ca);
}

/* As lane does: files are read as root, all else is done as somebody who can
 * see none of them, and by a process that was forked. */
static void
webhook_works_without_privileges_in_an_empty_root(void **state)
{
	struct fake_ca *ca;
	struct fake_cert *cert;
	struct fake *fake;
	char root[] = "/tmp/webhook-XXXXXX";
	int status;
	pid_t pid;

	(void)state;
	if (geteuid() != 0)
		skip();
	ca = fake_ca_new("test");
	cert = fake_cert_new(ca, "localhost");
	fake = fake_start(tls_script, cert);
	assert_non_null(mkdtemp(root));
	open_hook("https", "localhost", fake_port(fake), fake_ca_file(ca));
	pid = loop_fork(loop);
	assert_true(pid >= 0);
	if (pid == 0) {
		if (chroot(root) != 0 || chdir("/") != 0 ||
		    setgid(65534) != 0 || setuid(65534) != 0)
			_exit(1);
		webhook_post(hook, "[]");
		wait_done();
		_exit(logged[0] == '\0' ? 0 : 2);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
	assert_null(fake_finish(fake));
	assert_int_equal(rmdir(root), 0);
	fake_free(&fake);
	fake_cert_free(&cert);
	fake_ca_free(&ca);
}

static int
open_fds(void)
{
	int n = 0;

	for (int fd = 0; fd < 256; fd++)
		n += fcntl(fd, F_GETFD) >= 0;
	return n;
}

/* The server would keep the connection: we hang up. What it answers goes
 * nowhere, since a lane's standard output is its master's. */
static void
webhook_keeps_neither_the_connection_nor_the_answer(void **state)
{
	static const char *const script[] = {"tls", "<POST", "<Host:", "<User",
	    "<Accept:", "<Content-Type:", "<Content-Length: 2", "<", "sink 2",
	    ">HTTP/1.1 200 Fine", ">Content-Length: 6", ">", ">spam", "hang",
	    NULL};
	struct fake_ca *ca = fake_ca_new("test");
	struct fake_cert *cert = fake_cert_new(ca, "localhost");
	struct fake *fake = fake_start(script, cert);
	int before, out = dup(1);
	FILE *kept = tmpfile();

	(void)state;
	assert_non_null(kept);
	(void)fflush(stdout);
	assert_int_equal(dup2(fileno(kept), 1), 1);
	open_hook("https", "localhost", fake_port(fake), fake_ca_file(ca));
	before = open_fds();
	webhook_post(hook, "{}");
	wait_done();
	(void)fflush(stdout);
	assert_int_equal(dup2(out, 1), 1);
	assert_int_equal(lseek(fileno(kept), 0, SEEK_END), 0);
	/* The server ends with the connection, or after some time. */
	(void)fake_finish(fake);
	assert_int_equal(open_fds(), before);
	(void)fclose(kept);
	(void)close(out);
	fake_free(&fake);
	fake_cert_free(&cert);
	fake_ca_free(&ca);
}

static void
expect_refused(const char *name, bool is_trusted, const char *why)
{
	struct fake_ca *ca = fake_ca_new("test");
	struct fake_cert *cert = fake_cert_new(ca, name);
	struct fake *fake = fake_start(no_tls_script, cert);

	open_hook("https", "localhost", fake_port(fake),
	    is_trusted ? fake_ca_file(ca) : NULL);
	webhook_post(hook, "[]");
	while (strstr(logged, "next try") == NULL)
		loop_once(loop);
	assert_non_null(strstr(logged, why));
	webhook_free(&hook);
	(void)fake_finish(fake);
	assert_string_equal(fake_heard(fake), "");
	fake_free(&fake);
	fake_cert_free(&cert);
	fake_ca_free(&ca);
}

static void
webhook_tells_nothing_to_a_stranger(void **state)
{
	(void)state;
	expect_refused("localhost", false, "local issuer certificate");
}

static void
webhook_tells_nothing_to_another_host(void **state)
{
	(void)state;
	expect_refused("other.example", true, "localhost");
}

/* Whoever names authorities trusts no other: the system's are not asked. Seen
 * in a name space where the system's are our own. */
static void
webhook_trusts_no_authority_but_those_given(void **state)
{
	struct fake_ca *ca, *given;
	struct fake_cert *cert;
	struct fake *fake;
	char command[400];
	int status;
	pid_t pid;

	(void)state;
	if (geteuid() != 0)
		skip();
	ca = fake_ca_new("test");
	given = fake_ca_new("given");
	cert = fake_cert_new(ca, "localhost");
	fake = fake_start(no_tls_script, cert);
	pid = loop_fork(loop);
	assert_true(pid >= 0);
	if (pid == 0) {
		(void)snprintf(command, sizeof(command),
		    "mkdir /tmp/c.$$ && cp %s /tmp/c.$$/ca.pem && "
		    "openssl rehash /tmp/c.$$ && "
		    "mount -t tmpfs none /etc/ssl/certs && "
		    "cp -a /tmp/c.$$/. /etc/ssl/certs/ && rm -r /tmp/c.$$",
		    fake_ca_file(ca));
		if (unshare(CLONE_NEWNS) != 0 ||
		    mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL) != 0 ||
		    system(command) != 0)
			_exit(77);
		open_hook(
		    "https", "localhost", fake_port(fake), fake_ca_file(given));
		webhook_post(hook, "[]");
		while (strstr(logged, "next try") == NULL)
			loop_once(loop);
		_exit(strstr(logged, "certificate") != NULL ? 0 : 1);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	(void)fake_finish(fake);
	assert_string_equal(fake_heard(fake), "");
	fake_free(&fake);
	fake_cert_free(&cert);
	fake_ca_free(&given);
	fake_ca_free(&ca);
	if (WIFEXITED(status) && WEXITSTATUS(status) == 77)
		skip();
	assert_int_equal(status, 0);
}

static void
webhook_refuses_what_is_no_url(void **state)
{
	struct webhook_config config = {
	    "http://", NULL, RETRY_MS, 5000, NULL, NULL};

	(void)state;
	assert_null(webhook_new(loop, &set, &config));
	assert_non_null(strstr(logged, "lane_alert_url"));
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    TEST(webhook_posts_json_at_once),
	    TEST(webhook_looks_names_up),
	    TEST(webhook_has_no_names_looked_up_by_libcurl),
	    TEST(webhook_keeps_the_order),
	    TEST(webhook_tries_again_after_500_and_429),
	    TEST(webhook_tries_again_after_a_refused_connection),
	    TEST(webhook_waits_so_long_for_an_answer_and_no_longer),
	    TEST(webhook_goes_through_no_proxy),
	    TEST(webhook_gives_up_in_the_end_and_goes_on),
	    TEST(webhook_takes_no_for_an_answer_and_follows_nobody),
	    TEST(webhook_never_logs_the_path),
	    TEST(webhook_drops_the_oldest_of_too_many),
	    TEST(webhook_can_be_freed_or_drained_at_any_time),
	    TEST(webhook_trusts_the_authorities_given),
	    TEST(webhook_works_without_privileges_in_an_empty_root),
	    TEST(webhook_keeps_neither_the_connection_nor_the_answer),
	    TEST(webhook_tells_nothing_to_a_stranger),
	    TEST(webhook_tells_nothing_to_another_host),
	    TEST(webhook_trusts_no_authority_but_those_given),
	    TEST(webhook_refuses_what_is_no_url),
	};

	(void)signal(SIGPIPE, SIG_IGN);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
