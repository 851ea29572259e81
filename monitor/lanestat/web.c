#include "monitor/lanestat/web.h"

#include <event2/buffer.h>
#include <event2/bufferevent.h>
#include <event2/event.h>
#include <event2/http.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

#include "common/base/clock.h"
#include "common/base/list.h"
#include "common/base/log.h"
#include "common/base/mem.h"

enum { SWEEP_MS = 1000 };

/* evhttp has no limit of connections, and tells of their ends only between
 * requests. So each bufferevent is held once more here: when evhttp gives its
 * hold up it takes its callbacks away, and that is the end. */
struct client {
	struct list link; /* who has waited longest comes first */
	struct bufferevent *bev;
	int64_t since_ms; /* accepted, or the last answer was sent */
	bool is_closing;
};

struct web {
	struct loop *loop;
	struct web_limits limits;
	struct evhttp *http;
	struct list clients;
	size_t count;
	struct loop_timer *sweeper;
	web_fn *fn;
	loop_fn *on_client;
	void *ctx;
};

/* ---- clients ------------------------------------------------------------ */

static bool
is_gone(const struct client *c)
{
	void *arg = NULL;

	bufferevent_getcb(c->bev, NULL, NULL, NULL, &arg);
	return arg == NULL;
}

static void
forget(struct web *web, struct client *c)
{
	list_remove(&c->link);
	web->count--;
	(void)bufferevent_decref(c->bev);
	mem_free(c);
}

/* evhttp meets the end of file, or the error, and frees what is its own. */
static void
shut(struct client *c)
{
	evutil_socket_t fd = bufferevent_getfd(c->bev);

	c->is_closing = true;
	if (fd >= 0)
		(void)shutdown(fd, SHUT_RDWR);
}

static void
forget_gone(struct web *web)
{
	list_each_safe (link, &web->clients) {
		struct client *c = list_entry(link, struct client, link);

		if (is_gone(c))
			forget(web, c);
	}
}

static void
on_sweep(void *ctx)
{
	struct web *web = ctx;
	int64_t now_ms = clock_mono_ms();

	forget_gone(web);
	list_each (link, &web->clients) {
		struct client *c = list_entry(link, struct client, link);

		if (now_ms - c->since_ms >= web->limits.client_ms)
			shut(c);
	}
	loop_timer_at(web->sweeper, now_ms + SWEEP_MS);
}

static void
make_room(struct web *web)
{
	size_t open = 0;

	forget_gone(web);
	list_each (link, &web->clients)
		if (!list_entry(link, struct client, link)->is_closing)
			open++;
	list_each (link, &web->clients) {
		struct client *c = list_entry(link, struct client, link);

		if (open < web->limits.clients)
			break;
		if (c->is_closing)
			continue;
		shut(c);
		open--;
	}
}

/* For the connection that was just accepted. */
static struct bufferevent *
on_accept(struct event_base *base, void *ctx)
{
	struct web *web = ctx;
	struct client *c = mem_zalloc(sizeof(*c));

	make_room(web);
	c->bev = bufferevent_socket_new(base, -1, 0);
	if (c->bev == NULL)
		log_fatal("cannot create a bufferevent");
	bufferevent_incref(c->bev);
	c->since_ms = clock_mono_ms();
	list_push(&web->clients, &c->link);
	web->count++;
	web->on_client(web->ctx);
	return c->bev;
}

static struct client *
client_of(struct web *web, const struct bufferevent *bev)
{
	list_each (link, &web->clients) {
		struct client *c = list_entry(link, struct client, link);

		if (c->bev == bev)
			return c;
	}
	return NULL;
}

/* The answer is sent: the client's time begins anew. */
static void
on_sent(struct evhttp_request *req, void *ctx)
{
	struct web *web = ctx;
	struct evhttp_connection *evcon = evhttp_request_get_connection(req);
	struct client *c =
	    evcon != NULL
		? client_of(web, evhttp_connection_get_bufferevent(evcon))
		: NULL;

	if (c == NULL)
		return;
	c->since_ms = clock_mono_ms();
	list_remove(&c->link);
	list_push(&web->clients, &c->link);
}

/* ---- requests ----------------------------------------------------------- */

/* Nothing is taken from elsewhere, framed, guessed or kept. */
static void
add_fields(struct evkeyvalq *out, const struct web_answer *a)
{
	static const char *const fields[][2] = {
	    {"Content-Security-Policy",
		"default-src 'none'; script-src 'self'; style-src 'self'; "
		"img-src 'self'; connect-src 'self'; base-uri 'none'; "
		"form-action 'none'; frame-ancestors 'none'"},
	    {"X-Content-Type-Options", "nosniff"},
	    {"X-Frame-Options", "DENY"},
	    {"Referrer-Policy", "no-referrer"},
	    {"Cross-Origin-Resource-Policy", "same-origin"},
	};

	for (size_t i = 0; i < sizeof(fields) / sizeof(fields[0]); i++)
		(void)evhttp_add_header(out, fields[i][0], fields[i][1]);
	(void)evhttp_add_header(out, "Content-Type", a->type);
	(void)evhttp_add_header(out, "Cache-Control", "no-store");
}

static void
answer(struct evhttp_request *req, const struct web_answer *a)
{
	struct evkeyvalq *out = evhttp_request_get_output_headers(req);
	char length[32];

	add_fields(out, a);
	(void)snprintf(length, sizeof(length), "%zu", a->body.n);
	(void)evhttp_add_header(out, "Content-Length", length);
	if (evhttp_request_get_command(req) != EVHTTP_REQ_HEAD)
		(void)evbuffer_add(evhttp_request_get_output_buffer(req),
		    a->body.p, a->body.n);
	evhttp_send_reply(req, a->code, NULL, NULL);
}

static void
on_request(struct evhttp_request *req, void *ctx)
{
	struct web *web = ctx;
	const char *uri = evhttp_request_get_uri(req);
	size_t n = strcspn(uri, "?");
	char *path = mem_strndup(uri, n);
	struct web_request request = {
	    .path = path,
	    .query = uri[n] == '?' ? uri + n + 1 : "",
	    .accept = evhttp_find_header(
		evhttp_request_get_input_headers(req), "Accept"),
	};
	struct web_answer a = {.code = 404, .type = "text/plain"};

	evhttp_request_set_on_complete_cb(req, on_sent, web);
	web->fn(web->ctx, &request, &a);
	answer(req, &a);
	mem_free(path);
}

/* ---- life --------------------------------------------------------------- */

struct web *
web_new(struct loop *loop, struct web_limits limits, web_fn *fn,
    loop_fn *on_client, void *ctx)
{
	struct web *web = mem_zalloc(sizeof(*web));

	web->loop = loop;
	web->limits = limits;
	web->fn = fn;
	web->on_client = on_client;
	web->ctx = ctx;
	list_init(&web->clients);
	web->http = evhttp_new(loop_base(loop));
	if (web->http == NULL)
		log_fatal("libevent refuses to serve HTTP");
	evhttp_set_allowed_methods(web->http, EVHTTP_REQ_GET | EVHTTP_REQ_HEAD);
	evhttp_set_max_headers_size(web->http, limits.head);
	evhttp_set_max_body_size(web->http, limits.body);
	evhttp_set_bevcb(web->http, on_accept, web);
	evhttp_set_gencb(web->http, on_request, web);
	web->sweeper = loop_timer_new(loop, on_sweep, web);
	loop_timer_at(web->sweeper, clock_mono_ms() + SWEEP_MS);
	return web;
}

void
web_listen(struct web *web, int fd)
{
	int on = 1;

	/* Its connections have it, too. An answer goes out in parts, of which
	 * the last would wait 40 ms for the client's ACK of those before. */
	(void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
	if (evhttp_accept_socket(web->http, fd) != 0)
		log_fatal("libevent refuses to listen on descriptor %d", fd);
}

void
web_free(struct web **web)
{
	struct web *w = *web;

	*web = NULL;
	if (w == NULL)
		return;
	evhttp_free(w->http);
	while (!list_is_empty(&w->clients))
		forget(w,
		    list_entry(list_first(&w->clients), struct client, link));
	loop_timer_free(&w->sweeper);
	mem_free(w);
}
