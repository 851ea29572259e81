/* webserver: a small HTTP/1.1 server on the test's loop, on 127.0.0.1.
 *
 * Takes one request a connection, keeps its head and body, answers with the
 * next of the statuses it was given (the last one for ever) and hangs up.
 */
#ifndef WEBSERVER_H
#define WEBSERVER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "agent/io/loop.h"
#include "common/base/list.h"

enum { WEBSERVER_KEPT = 64, WEBSERVER_TEXT = 4096 };

struct webserver {
	struct loop *loop;
	int listen_fd, port;
	struct loop_fd *watch;
	struct list clients;
	const int *statuses; /* ends with 0; borrowed; NULL: 204 */
	bool is_silent; /* reads and never answers */
	size_t count; /* complete requests */
	char head[WEBSERVER_KEPT][WEBSERVER_TEXT];
	char body[WEBSERVER_KEPT][WEBSERVER_TEXT];
	int64_t at_ms[WEBSERVER_KEPT]; /* of the turn, as timers have it */
};

/* port 0: any that is free. */
void webserver_open(struct webserver *s, struct loop *loop, int port);
void webserver_close(struct webserver *s);

/* Runs the loop until count requests are complete, at most 10 s. */
bool webserver_wait(struct webserver *s, size_t count);

/* A port where nobody listens. */
int webserver_free_port(void);

#endif
