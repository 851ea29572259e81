/* A connection to an engine: a real redis-server, and peers that are none. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "agent/fleet/redis.h"
#include "common/base/clock.h"
#include "test/support/await.h"
#include "test/support/redis_server.h"
#include "test/support/scratch.h"

static const char script[] = "return {ARGV[1], 7}";

static struct seen {
	struct loop *loop;
	struct redis *redis;
	int ready, lost, replies;
	char why[REDIS_WHY_SIZE];
	char text[64];
	int type;
} s;

static void
on_ready(void *ctx)
{
	(void)ctx;
	s.ready++;
}

static void
on_lost(void *ctx, const char *why)
{
	(void)ctx;
	s.lost++;
	(void)snprintf(s.why, sizeof(s.why), "%s", why);
}

static void
on_reply(void *ctx, const redisReply *reply)
{
	(void)ctx;
	s.replies++;
	s.type = reply->type;
	if (reply->type == REDIS_REPLY_ARRAY)
		reply = reply->element[0];
	(void)snprintf(
	    s.text, sizeof(s.text), "%s", reply->str != NULL ? reply->str : "");
}

static const struct redis_ops ops = {
    .on_reply = on_reply,
    .on_lost = on_lost,
    .on_ready = on_ready,
};

static void
begin(const struct fleet_access *access)
{
	s = (struct seen){.loop = loop_new()};
	s.redis = redis_new(s.loop, NULL, access, script, &ops, NULL);
	redis_look(s.redis, loop_now_ms(s.loop));
}

static void
finish(void)
{
	redis_free(&s.redis);
	loop_free(&s.loop);
}

static void
ask(const char *word)
{
	const char *argv[] = {"EVALSHA", redis_sha(s.redis), "0", word};
	int before = s.replies;

	redis_send(s.redis, 4, argv);
	redis_flush(s.redis);
	AWAIT(s.loop, s.replies > before || s.lost > 0);
}

static void
check_it_answers(const struct fleet_access *access)
{
	begin(access);
	redis_flush(s.redis); /* too early: it has nothing to write */
	AWAIT(s.loop, s.ready == 1 || s.lost > 0);
	assert_string_equal(s.why, "");
	ask("one");
	assert_string_equal(s.text, "one");
	ask("two");
	assert_string_equal(s.text, "two");
	assert_int_equal(s.lost, 0);
	finish();
}

static void
redis_answers_by_socket_and_port(void **state)
{
	struct redis_server *server = *state;
	struct fleet_access access = {.path = ""};

	(void)snprintf(access.path, sizeof(access.path), "%s", server->socket);
	check_it_answers(&access);
	access = (struct fleet_access){.host = "127.0.0.1"};
	access.port = server->port;
	check_it_answers(&access);
}

static void
redis_wants_its_password(void **state)
{
	struct redis_server *server = *state;
	struct fleet_access access = {.host = "127.0.0.1"};

	access.port = server->port;
	redis_server_do(server, "CONFIG SET requirepass secret");
	begin(&access);
	AWAIT(s.loop, s.lost == 1);
	assert_non_null(strstr(s.why, "NOAUTH"));
	finish();
	(void)snprintf(access.password, sizeof(access.password), "wrong");
	begin(&access);
	AWAIT(s.loop, s.lost == 1);
	assert_non_null(strstr(s.why, "AUTH: WRONGPASS"));
	finish();
	(void)snprintf(access.password, sizeof(access.password), "secret");
	check_it_answers(&access);
	(void)snprintf(access.user, sizeof(access.user), "default");
	check_it_answers(&access);
	redis_server_do(server, "CONFIG SET requirepass %s", "");
}

static void
redis_loads_a_script_that_was_forgotten(void **state)
{
	struct redis_server *server = *state;
	struct fleet_access access = {.host = "127.0.0.1"};

	access.port = server->port;
	begin(&access);
	AWAIT(s.loop, s.ready == 1);
	redis_server_do(server, "SCRIPT FLUSH");
	ask("one");
	assert_int_equal(s.type, REDIS_REPLY_ERROR);
	redis_reload(s.redis);
	AWAIT(s.loop, s.ready == 2);
	ask("one");
	assert_string_equal(s.text, "one");
	finish();
}

static void
redis_that_is_not_there_is_lost(void **state)
{
	struct fleet_access access = {.path = ""};

	(void)state;
	(void)snprintf(
	    access.path, sizeof(access.path), "%s", scratch_path("nobody"));
	begin(&access);
	assert_int_equal(s.lost, 1);
	assert_string_equal(s.why, "connect: No such file or directory");
	/* Each look is another try. */
	redis_look(s.redis, loop_now_ms(s.loop));
	assert_int_equal(s.lost, 2);
	finish();
}

/* ---- peers that are no engine ----------------------------------------------
 */

static int
listen_at(const char *path)
{
	struct sockaddr_un sun = {.sun_family = AF_UNIX};
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	(void)snprintf(sun.sun_path, sizeof(sun.sun_path), "%.100s", path);
	(void)unlink(path);
	assert_int_equal(
	    bind(fd, (const struct sockaddr *)&sun, sizeof(sun)), 0);
	assert_int_equal(listen(fd, 5), 0);
	return fd;
}

static void
peer_is_left_with(
    const char *password, const char *says, size_t n, const char *why)
{
	struct fleet_access access = {.path = ""};
	const char *path = scratch_path("peer");
	int fd = listen_at(path), peer;

	(void)snprintf(access.path, sizeof(access.path), "%s", path);
	(void)snprintf(
	    access.password, sizeof(access.password), "%s", password);
	begin(&access);
	peer = accept(fd, NULL, NULL);
	assert_true(peer >= 0);
	while (n > 0 && s.lost == 0) {
		ssize_t put = send(peer, says, n, MSG_DONTWAIT | MSG_NOSIGNAL);

		if (put > 0) {
			says += put;
			n -= (size_t)put;
		}
		loop_once(s.loop);
	}
	AWAIT(s.loop, s.lost == 1);
	if (strstr(s.why, why) == NULL)
		fail_msg("%s, not %s", s.why, why);
	finish();
	(void)close(peer);
	(void)close(fd);
}

static void
peer_is_left(const char *says, size_t n, const char *why)
{
	peer_is_left_with("", says, n, why);
}

static void
redis_leaves_who_nests(void **state)
{
	static const char three[] = "*1\r\n*1\r\n*1\r\n";

	(void)state;
	peer_is_left(three, sizeof(three) - 1, "no reply");
	/* As deep as it may be; it is no answer. */
	peer_is_left("*1\r\n*1\r\n:1\r\n", 12, "unexpected reply");
}

static void
redis_does_not_tell_its_password(void **state)
{
	static const struct {
		const char *password, *says, *why;
	} rows[] = {
	    {"open sesame now",
		"-ERR unknown command 'AUTH', with args beginning with: "
		"'open sesame now' \r\n",
		"unknown command 'AUTH', with args beginning with: '"},
	    {"open sesame now", "-open sesame now\r\n", "AUTH: "},
	    {"open sesame now", "-ERR open sesame is no password\r\n",
		"AUTH: ERR "},
	    {"NOAUTH", "-NOAUTH NOAUTH\r\n", "AUTH: NOAUTH "},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		peer_is_left_with(rows[i].password, rows[i].says,
		    strlen(rows[i].says), rows[i].why);
		assert_null(strstr(s.why + 12, rows[i].password));
		assert_null(strstr(s.why, "sesame"));
	}
}

static void
redis_leaves_who_talks_otherwise(void **state)
{
	static const struct {
		const char *says, *why;
	} rows[] = {
	    {"220 mail.example ESMTP\r\n", "no reply"},
	    {"-ERR unknown command\r\n", "SCRIPT LOAD: ERR unknown command"},
	    {"+OK\r\n", "unexpected reply"},
	    {":7\r\n", "unexpected reply"},
	    {"*2000000000\r\n", "no reply"},
	    {"*17\r\n", "no reply"},
	    {"$-7\r\n", "no reply"},
	    {"$40\r\n0123456789abcdef0123456789abcdef0123456z\r\n",
		"unexpected reply"},
	    {"$40\r\n0123456789abcdef0123456789abcdef01234567\r\n+more\r\n",
		"unexpected reply"},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
		peer_is_left(rows[i].says, strlen(rows[i].says), rows[i].why);
}

static void
redis_leaves_who_never_ends_a_reply(void **state)
{
	enum { MUCH = 4 * REDIS_REPLY_MAX };
	static char says[MUCH];

	(void)state;
	(void)snprintf(says, sizeof(says), "$1000000\r\n");
	memset(says + strlen(says), 'x', sizeof(says) - strlen(says));
	peer_is_left(says, sizeof(says), "a reply that is too long");
}

static void
redis_waits_for_nobody(void **state)
{
	struct fleet_access access = {.path = ""};
	const char *path = scratch_path("silent");
	int fd = listen_at(path);

	(void)state;
	(void)snprintf(access.path, sizeof(access.path), "%s", path);
	begin(&access);
	/* By the time that it is told. */
	redis_look(s.redis, loop_now_ms(s.loop) + REDIS_STEP_MS);
	assert_int_equal(s.lost, 0);
	redis_look(s.redis, loop_now_ms(s.loop) + REDIS_STEP_MS + 1);
	assert_int_equal(s.lost, 1);
	assert_non_null(strstr(s.why, "in time"));
	finish();
	(void)close(fd);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(redis_answers_by_socket_and_port),
	    cmocka_unit_test(redis_wants_its_password),
	    cmocka_unit_test(redis_loads_a_script_that_was_forgotten),
	    cmocka_unit_test(redis_that_is_not_there_is_lost),
	    cmocka_unit_test(redis_leaves_who_nests),
	    cmocka_unit_test(redis_does_not_tell_its_password),
	    cmocka_unit_test(redis_leaves_who_talks_otherwise),
	    cmocka_unit_test(redis_leaves_who_never_ends_a_reply),
	    cmocka_unit_test(redis_waits_for_nobody),
	};

	return cmocka_run_group_tests(
	    tests, redis_server_setup, redis_server_teardown);
}
