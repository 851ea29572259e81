/* redis_server: a redis-server of a test, by socket and by a port of loopback;
 * it keeps nothing, and dies with the test. */
#ifndef REDIS_SERVER_H
#define REDIS_SERVER_H

#include <hiredis/hiredis.h>
#include <sys/types.h>

struct redis_server {
	pid_t pid;
	int out; /* what it says; the pipe stays as long as it runs */
	int port;
	char socket[108];
	redisContext *redis; /* of the test's own */
};

void redis_server_start(struct redis_server *server);
/* By signal 9; its memory is gone. */
void redis_server_kill(struct redis_server *server);

/* A command that works. */
void redis_server_do(struct redis_server *server, const char *format, ...);

/* The same around a cmocka group, whose state it is. */
int redis_server_setup(void **state);
int redis_server_teardown(void **state);

#endif
