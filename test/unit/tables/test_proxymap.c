#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <signal.h>
#include <unistd.h>
#include <cmocka.h>

#include "agent/tables/maps.h"
#include "agent/tables/proxymap.h"
#include "common/base/mem.h"
#include "common/postfix/attr.h"
#include "test/support/scratch.h"

/* The server is a child: one connection after the other, at most
 * per_connection questions on each. */
static pid_t server;
static char asked[512];
static char path[200];
static int answers;

static void
expect_int(const struct attr_reader *r, const char *name)
{
	int32_t n;

	if (!attr_get_int(r, name, &n) || n != 16448)
		_exit(3);
}

/* Answers one question by its key: a status digit, then the value. */
static void
answer_question(int fd, const struct attr_reader *r, bool is_new)
{
	struct slice table, key;
	struct buf out;

	if (!attr_find(r, "table", &table) || !attr_find(r, "key", &key))
		_exit(4);
	expect_int(r, "flags");
	if (is_new)
		expect_int(r, "instance_flags");
	buf_init(&out, 1024);
	attr_put_int(&out, "status", key.p[0] - '0');
	if (is_new)
		attr_put_int(&out, "flags", 0);
	attr_put_str(&out, "value", key.p[0] == '0' ? table : slice_str(""));
	attr_put_end(&out);
	if (key.p[0] != '9' &&
	    send(fd, buf_slice(&out).p, buf_len(&out), MSG_NOSIGNAL) < 0)
		_exit(5);
	buf_fini(&out);
}

static void
serve_connection(int fd, bool greets, bool is_new, int per_connection)
{
	static const char hello[] = "protocol\0proxymap_protocol\0";
	struct attr_reader r;
	char octet;
	size_t used;

	attr_reader_init(&r, 65536, 16);
	if (greets && write(fd, hello, sizeof(hello)) < 0)
		_exit(6);
	while (per_connection > 0 && read(fd, &octet, 1) == 1)
		if (attr_reader_feed(&r, &octet, 1, &used) == ATTR_LIST) {
			answer_question(fd, &r, is_new);
			per_connection--;
		}
	attr_reader_fini(&r);
	(void)close(fd);
}

static void
start_server(bool greets, bool is_new, int per_connection)
{
	struct sockaddr_un addr = {.sun_family = AF_UNIX};
	int fd = socket(AF_UNIX, SOCK_STREAM, 0);

	(void)unlink(path);
	memcpy(addr.sun_path, path, strlen(path) + 1);
	assert_int_equal(bind(fd, (struct sockaddr *)&addr, sizeof(addr)), 0);
	assert_int_equal(listen(fd, 5), 0);
	server = fork();
	assert_true(server >= 0);
	while (server == 0)
		serve_connection(
		    accept(fd, NULL, NULL), greets, is_new, per_connection);
	(void)close(fd);
}

static int
stop_server(void **state)
{
	(void)state;
	if (server > 0) {
		(void)kill(server, SIGKILL);
		(void)waitpid(server, NULL, 0);
	}
	server = 0;
	return 0;
}

static void
on_answer(void *ctx, enum proxymap_result result, const char *text)
{
	static const char *const word[] = {"found", "none", "error"};
	size_t n = strlen(asked);

	(void)ctx;
	(void)snprintf(asked + n, sizeof(asked) - n, "%s %s;", word[result],
	    result == PROXYMAP_ERROR && strstr(text, "proxy_read_maps") != NULL
		? "denied"
		: text);
	answers++;
}

static void
wait_for(struct loop *loop, int count)
{
	while (answers < count)
		loop_once(loop);
	answers = 0;
}

static void
run(const char *version, bool greets, bool is_new, int per_connection)
{
	struct loop *loop = loop_new();
	struct proxymap *p = proxymap_new(loop, path, version, 5000);

	asked[0] = '\0';
	start_server(greets, is_new, per_connection);
	for (int i = 0; i < 2; i++) {
		(void)proxymap_ask(p, "hash:/a", "0", on_answer, NULL);
		(void)proxymap_ask(p, "hash:/b", "0b", on_answer, NULL);
		(void)proxymap_ask(p, "hash:/a", "1", on_answer, NULL);
		(void)proxymap_ask(p, "hash:/a", "4", on_answer, NULL);
		wait_for(loop, 4);
	}
	assert_string_equal(asked,
	    "found hash:/a;found hash:/b;none ;error denied;"
	    "found hash:/a;found hash:/b;none ;error denied;");
	proxymap_free(&p);
	loop_free(&loop);
	(void)stop_server(NULL);
}

static void
proxymap_speaks_every_form(void **state)
{
	(void)state;
	run("3.5.27", false, false, 100);
	run("3.7.11", true, false, 100);
	run("3.11.1", true, true, 100);
}

static void
proxymap_asks_again_when_the_server_hung_up(void **state)
{
	(void)state;
	run("3.7.11", true, false, 1);
	run("3.5.1", false, false, 3);
}

static void
proxymap_times_out_and_cancelled_queries_are_silent(void **state)
{
	struct loop *loop = loop_new();
	struct proxymap *p = proxymap_new(loop, path, "3.7.11", 100);
	struct proxymap_query *q;

	(void)state;
	asked[0] = '\0';
	start_server(true, false, 100);
	q = proxymap_ask(p, "hash:/a", "0", on_answer, NULL);
	proxymap_cancel(&q);
	assert_null(q);
	(void)proxymap_ask(p, "hash:/a", "9 is not answered", on_answer, NULL);
	wait_for(loop, 1);
	assert_non_null(strstr(asked, "timed out"));
	proxymap_free(&p);
	loop_free(&loop);
}

static void
proxymap_absent_is_an_error_from_the_loop(void **state)
{
	struct loop *loop = loop_new();
	struct proxymap *p =
	    proxymap_new(loop, "/nonexistent/socket", "3.7.11", 1000);

	(void)state;
	asked[0] = '\0';
	(void)proxymap_ask(p, "hash:/a", "0", on_answer, NULL);
	assert_string_equal(asked, "");
	wait_for(loop, 1);
	assert_non_null(strstr(asked, "No such file or directory"));
	proxymap_free(&p);
	loop_free(&loop);
}

static void
on_map(void *ctx, enum maps_result result, const char *value, const char *error)
{
	(void)ctx;
	(void)snprintf(asked, sizeof(asked), "%d %s", (int)result,
	    value != NULL   ? value
	    : error != NULL ? error
			    : "-");
	answers++;
}

static void
maps_ask_proxymap_for_what_they_cannot_read(void **state)
{
	struct loop *loop = loop_new();
	struct maps_env env = {.loop = loop,
	    .proxymap_path = path,
	    .mail_version = "3.7.11",
	    .timeout_ms = 5000};
	struct maps *maps = maps_open(&env, "x",
	    "ldap:/etc/no, proxy:hash:/etc/x, inline:{1=last}", NULL);
	struct maps_query *q;

	(void)state;
	start_server(true, false, 100);
	assert_non_null(maps_find(maps, "0", on_map, NULL));
	wait_for(loop, 1);
	assert_string_equal(asked, "0 ldap:/etc/no");
	assert_non_null(maps_find(maps, "1", on_map, NULL));
	wait_for(loop, 1);
	assert_string_equal(asked, "0 last");
	assert_non_null(maps_find(maps, "4", on_map, NULL));
	wait_for(loop, 1);
	/* Denied: what helps is said as it has to be typed. */
	assert_string_equal(asked,
	    "2 table ldap:/etc/no: proxymap(8) does not open it: run postconf "
	    "\"proxy_read_maps = $(postconf -h proxy_read_maps) "
	    "proxy:ldap:/etc/no\" and postfix reload");
	q = maps_find(maps, "0", on_map, NULL);
	maps_cancel(&q);
	maps_close(&maps);
	loop_free(&loop);
}

static int
setup(void **state)
{
	(void)state;
	scratch_config("");
	(void)snprintf(path, sizeof(path), "%s", scratch_path("proxymap"));
	return 0;
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test_teardown(proxymap_speaks_every_form, stop_server),
	    cmocka_unit_test_teardown(
		proxymap_asks_again_when_the_server_hung_up, stop_server),
	    cmocka_unit_test_teardown(
		proxymap_times_out_and_cancelled_queries_are_silent,
		stop_server),
	    cmocka_unit_test(proxymap_absent_is_an_error_from_the_loop),
	    cmocka_unit_test_teardown(
		maps_ask_proxymap_for_what_they_cannot_read, stop_server),
	};

	return cmocka_run_group_tests_name("proxymap", tests, setup, NULL);
}
