/* web: HTTP for few clients, GET and HEAD only, by libevent's evhttp.
 *
 *   client -> accept -> request whole -> answer -> (again, or closed)
 *
 * What a client can cost is bounded by struct web_limits. Of too many clients
 * the one that has finished no request for longest is closed for the new one,
 * so that whoever holds connections keeps nobody out. Answers carry what keeps
 * a browser from running, framing, caching or guessing anything but what is
 * here.
 */
#ifndef WEB_H
#define WEB_H

#include <stddef.h>
#include <stdint.h>

#include "agent/io/loop.h"
#include "common/base/slice.h"

struct web;

struct web_limits {
	int head, body; /* octets of a request */
	size_t clients; /* at a time */
	/* A client that has finished no request for so long is closed, whatever
	 * it sent. */
	int64_t client_ms;
};

#define WEB_LIMITS                                                             \
	((struct web_limits){                                                  \
	    .head = 8192, .body = 1024, .clients = 64, .client_ms = 30000})

/* Of one request; strings are valid during the call. */
struct web_request {
	const char *path; /* as it was sent, without the query */
	const char *query; /* "": none; not decoded */
	const char *accept; /* NULL: none */
};

/* The body is copied before the next call. */
struct web_answer {
	int code; /* 200, 404 ... */
	const char *type; /* Content-Type */
	struct slice body;
};

/* Called for each GET or HEAD. */
typedef void web_fn(void *ctx, const struct web_request *request,
    struct web_answer *answer_out);

/* on_client is called with each connection. */
struct web *web_new(struct loop *loop, struct web_limits limits, web_fn *fn,
    loop_fn *on_client, void *ctx);

/* Takes connections from a listening socket, which it closes in the end. */
void web_listen(struct web *web, int fd);

/* Closes all connections at once. */
void web_free(struct web **web);

#endif
