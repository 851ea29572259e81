#include "test/support/redis_server.h"

#include <arpa/inet.h>
#include <errno.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <poll.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "test/support/scratch.h"

static int
free_port(void)
{
	struct sockaddr_in in = {.sin_family = AF_INET};
	socklen_t n = sizeof(in);
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	in.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	assert_int_equal(bind(fd, (struct sockaddr *)&in, sizeof(in)), 0);
	assert_int_equal(getsockname(fd, (struct sockaddr *)&in, &n), 0);
	(void)close(fd);
	return ntohs(in.sin_port);
}

static void
become_server(const struct redis_server *server, int out)
{
	char port[16];

	(void)snprintf(port, sizeof(port), "%d", server->port);
	(void)prctl(PR_SET_PDEATHSIG, SIGKILL);
	(void)dup2(out, STDOUT_FILENO);
	(void)execlp("redis-server", "redis-server", "--port", port, "--bind",
	    "127.0.0.1", "--unixsocket", server->socket, "--save", "",
	    "--appendonly", "no", "--dir", scratch_dir(), (char *)NULL);
	(void)printf("redis-server: %s\n", strerror(errno));
	(void)fflush(stdout);
	_exit(1);
}

static bool
answers(const char *socket_path)
{
	struct sockaddr_un un = {.sun_family = AF_UNIX};
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	bool is_there;

	(void)snprintf(un.sun_path, sizeof(un.sun_path), "%s", socket_path);
	is_there = connect(fd, (struct sockaddr *)&un, sizeof(un)) == 0;
	(void)close(fd);
	return is_there;
}

/* Until it takes connections; how it says so differs with its version. */
static void
await(const struct redis_server *server)
{
	char all[8192] = "";
	size_t n = 0;
	struct pollfd out = {.fd = server->out, .events = POLLIN};

	while (!answers(server->socket)) {
		ssize_t got = 1;

		if (poll(&out, 1, 10) > 0) {
			got = read(out.fd, all + n, sizeof(all) - 1 - n);
			n += got > 0 ? (size_t)got : 0;
		}
		if (got <= 0)
			fail_msg("redis-server did not start: %s", all);
	}
}

void
redis_server_start(struct redis_server *server)
{
	int fds[2];

	server->port = free_port();
	(void)snprintf(server->socket, sizeof(server->socket), "%.100s",
	    scratch_path("redis"));
	assert_int_equal(pipe(fds), 0);
	server->pid = fork();
	assert_true(server->pid >= 0);
	if (server->pid == 0)
		become_server(server, fds[1]);
	(void)close(fds[1]);
	server->out = fds[0];
	await(server);
	server->redis = redisConnectUnix(server->socket);
	assert_non_null(server->redis);
	assert_int_equal(server->redis->err, 0);
}

void
redis_server_kill(struct redis_server *server)
{
	if (server->redis != NULL)
		redisFree(server->redis);
	server->redis = NULL;
	(void)kill(server->pid, SIGKILL);
	(void)waitpid(server->pid, NULL, 0);
	(void)close(server->out);
	(void)unlink(server->socket);
}

void
redis_server_do(struct redis_server *server, const char *format, ...)
{
	va_list ap;
	redisReply *reply;

	va_start(ap, format);
	reply = redisvCommand(server->redis, format, ap);
	va_end(ap);
	assert_non_null(reply);
	if (reply->type == REDIS_REPLY_ERROR)
		fail_msg("%s: %s", format, reply->str);
	freeReplyObject(reply);
}

int
redis_server_setup(void **state)
{
	static struct redis_server server;

	redis_server_start(&server);
	*state = &server;
	return 0;
}

int
redis_server_teardown(void **state)
{
	redis_server_kill(*state);
	return 0;
}
