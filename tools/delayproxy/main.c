/* delayproxy: a TCP proxy that makes loopback cost what a long link costs.
 *
 *   client --(kernel accepts)--> near | queue with times | far --> upstream
 *
 * Each direction is a queue of chunks, each with the time it may leave:
 * arrival + delay, later when --bandwidth is used up. Order is kept. The end
 * of a stream (FIN) and a reset travel through the queue like octets.
 *
 * Connecting: the kernel completes the client's handshake at once, so the
 * round trip that a real connect() takes (one RTT = 2 x delay) is charged
 * later: the upstream is connected 3 x delay after the accept (SYN, SYN-ACK,
 * ACK), and nothing of the client's first octets arrives before. A greeting
 * thus reaches the client 4 x delay after connect(), as it would over the
 * link. What the proxy cannot show: Nagle over RTT.
 *
 * With --initial-window or --loss each direction of a connection sends as TCP
 * would (congestion.h): what it may not send yet waits here.
 *
 * Memory: at most WINDOW octets wait in each direction; then the proxy stops
 * reading and the sender's socket fills, as with a receive window.
 */
#include <errno.h>
#include <getopt.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include <event2/event.h>

#include "common/base/buf.h"
#include "common/base/clock.h"
#include "common/base/list.h"
#include "common/base/log.h"
#include "common/base/mem.h"
#include "tools/delayproxy/congestion.h"

enum {
	WINDOW = 16 << 20,
	READ_SIZE = 64 << 10,
	BACKLOG = 1024,
	TIMESTAMPS = 12, /* octets of each segment, TCP's option */
};

/* Far from each other, and never 0. */
#define SEED_STEP UINT64_C(0x9e3779b97f4a7c16)

struct proxy {
	struct event_base *base;
	struct addrinfo *to;
	int64_t delay_us;
	double octets_per_us; /* 0: unlimited */
	bool is_honest; /* there is a window, or loss */
	struct congestion_config congestion;
	uint64_t seed; /* of the next direction */
	struct list links;
};

enum chunk_kind { CHUNK_DATA, CHUNK_FIN, CHUNK_RESET };

struct chunk {
	struct list link;
	int64_t due_us;
	enum chunk_kind kind;
	size_t len, off;
	char data[];
};

struct link;

/* One direction. */
struct flow {
	struct link *owner;
	int from, to; /* indexes into link.end */
	struct list queue;
	size_t waiting; /* octets in queue */
	int64_t free_us; /* the line is busy until then */
	struct congestion congestion;
	bool saw_end, is_done; /* FIN read / FIN passed on */
	bool is_broken; /* a reset is on its way */
};

struct end {
	struct link *owner;
	int fd;
	struct event *on_read, *on_write;
};

struct link {
	struct proxy *proxy;
	struct list link;
	struct end end[2]; /* 0: client, 1: upstream; fd -1: not there */
	struct flow flow[2]; /* 0: from the client, 1: from upstream */
	struct event *on_time;
	int64_t connect_us; /* when to connect; 0: done */
	bool is_connecting, is_dead;
};

static void kick(struct link *l);

static void
set_now(int fd, int name)
{
	int one = 1;

	(void)setsockopt(fd, IPPROTO_TCP, name, &one, sizeof(one));
}

static void
set_event(struct event *ev, short what, bool want)
{
	bool is_on = event_pending(ev, what, NULL) != 0;

	if (want && !is_on)
		(void)event_add(ev, NULL);
	else if (!want && is_on)
		(void)event_del(ev);
}

static void
on_io(evutil_socket_t fd, short what, void *ctx)
{
	struct end *e = ctx;

	(void)fd;
	(void)what;
	kick(e->owner);
}

static void
on_time(evutil_socket_t fd, short what, void *ctx)
{
	(void)fd;
	(void)what;
	kick(ctx);
}

static void
end_open(struct link *l, struct end *e, int fd)
{
	struct event_base *base = l->proxy->base;

	e->owner = l;
	e->fd = fd;
	set_now(fd, TCP_NODELAY);
	e->on_read = event_new(base, fd, EV_READ | EV_PERSIST, on_io, e);
	e->on_write = event_new(base, fd, EV_WRITE | EV_PERSIST, on_io, e);
	CHECK(e->on_read != NULL && e->on_write != NULL);
}

static void
end_close(struct end *e, bool is_reset)
{
	struct linger hard = {.l_onoff = 1, .l_linger = 0};

	if (e->fd < 0)
		return;
	if (is_reset)
		(void)setsockopt(
		    e->fd, SOL_SOCKET, SO_LINGER, &hard, sizeof(hard));
	event_free(e->on_read);
	event_free(e->on_write);
	close(e->fd);
	e->fd = -1;
}

static void
link_free(struct link *l)
{
	for (int i = 0; i < 2; i++) {
		end_close(&l->end[i], false);
		while (!list_is_empty(&l->flow[i].queue))
			mem_free(list_entry(
			    list_pop(&l->flow[i].queue), struct chunk, link));
		congestion_fini(&l->flow[i].congestion);
	}
	event_free(l->on_time);
	list_remove(&l->link);
	mem_free(l);
}

/* How long the line is busy with n octets. */
static double
line_us(const struct proxy *proxy, size_t n)
{
	return proxy->octets_per_us > 0 ? (double)n / proxy->octets_per_us : 0;
}

static void
queue_at(struct flow *f, enum chunk_kind kind, const char *p, size_t n,
    int64_t due_us)
{
	struct chunk *c = mem_alloc(sizeof(*c) + n);

	c->due_us = due_us;
	c->kind = kind;
	c->len = n;
	c->off = 0;
	if (n > 0)
		memcpy(c->data, p, n);
	f->waiting += n;
	list_push(&f->queue, &c->link);
}

static void
queue_add(struct flow *f, enum chunk_kind kind, const char *p, size_t n)
{
	const struct proxy *proxy = f->owner->proxy;
	int64_t now = clock_mono_us();

	if (f->free_us < now)
		f->free_us = now;
	f->free_us += (int64_t)line_us(proxy, n);
	queue_at(f, kind, p, n, f->free_us + proxy->delay_us);
}

/* Segment by segment; a FIN goes with the last, as does a reset. */
static void
queue_segments(struct flow *f, enum chunk_kind kind, const char *p, size_t n)
{
	const struct proxy *proxy = f->owner->proxy;
	int64_t now = clock_mono_us();

	while (n > 0) {
		size_t part = n < CONGESTION_SEGMENT ? n : CONGESTION_SEGMENT;

		queue_at(f, kind, p, part,
		    congestion_send(&f->congestion, part, n - part,
			line_us(proxy, part), now));
		p += part;
		n -= part;
	}
	if (kind == CHUNK_DATA)
		return;
	now += proxy->delay_us;
	queue_at(f, kind, NULL, 0,
	    f->congestion.arrives_us > now ? f->congestion.arrives_us : now);
}

static void
queue_any(struct flow *f, enum chunk_kind kind, const char *p, size_t n)
{
	if (f->owner->proxy->is_honest)
		queue_segments(f, kind, p, n);
	else
		queue_add(f, kind, p, n);
}

static void
fill(struct flow *f)
{
	struct end *e = &f->owner->end[f->from];
	char part[READ_SIZE];

	while (e->fd >= 0 && !f->saw_end && f->waiting < WINDOW) {
		ssize_t n = recv(e->fd, part, sizeof(part), 0);

		if (n > 0) {
			set_now(e->fd, TCP_QUICKACK);
			queue_any(f, CHUNK_DATA, part, (size_t)n);
			continue;
		}
		if (n < 0 && (errno == EAGAIN || errno == EINTR))
			return;
		f->saw_end = true;
		queue_any(f, n == 0 ? CHUNK_FIN : CHUNK_RESET, NULL, 0);
	}
}

/* The sender of this flow was reset, or does not read any more. */
static void
pass_reset(struct flow *f)
{
	if (f->is_broken)
		return;
	f->is_broken = f->saw_end = true;
	queue_any(f, CHUNK_RESET, NULL, 0);
}

/* Writes what is due; false when the socket takes no more now. */
static bool
drain(struct flow *f, int64_t now)
{
	struct end *to = &f->owner->end[f->to];

	while (!list_is_empty(&f->queue)) {
		struct chunk *c =
		    list_entry(list_first(&f->queue), struct chunk, link);
		ssize_t n;

		if (c->due_us > now || to->fd < 0)
			return true;
		if (c->kind == CHUNK_RESET) {
			end_close(to, true);
			f->owner->is_dead = true;
			return true;
		}
		if (c->kind == CHUNK_FIN) {
			(void)shutdown(to->fd, SHUT_WR);
			f->is_done = true;
		}
		n = c->kind == CHUNK_DATA ? send(to->fd, c->data + c->off,
						c->len - c->off, MSG_NOSIGNAL)
					  : 0;
		if (n < 0 && (errno == EAGAIN || errno == EINTR))
			return false;
		if (n < 0) {
			/* The reader is gone: the writer hears it one delay
			 * later; what was on its way is lost. */
			pass_reset(&f->owner->flow[f->to]);
			n = (ssize_t)(c->len - c->off);
		}
		c->off += (size_t)n;
		f->waiting -= (size_t)n;
		if (c->off < c->len)
			continue;
		list_remove(&c->link);
		mem_free(c);
	}
	return true;
}

static void
start_connect(struct link *l)
{
	const struct addrinfo *to = l->proxy->to;
	int fd = socket(
	    to->ai_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

	l->connect_us = 0;
	if (fd < 0) {
		l->is_dead = true;
		return;
	}
	end_open(l, &l->end[1], fd);
	l->is_connecting = true;
	if (connect(fd, to->ai_addr, to->ai_addrlen) < 0 &&
	    errno != EINPROGRESS) {
		end_close(&l->end[0], true);
		l->is_dead = true;
	}
}

static void
check_connect(struct link *l)
{
	struct sockaddr_storage ss;
	socklen_t n = sizeof(ss), error_n = sizeof(int);
	int error = 0;

	(void)getsockopt(l->end[1].fd, SOL_SOCKET, SO_ERROR, &error, &error_n);
	if (error != 0) {
		/* Refused, or reset before we saw that it was up: the client
		 * hears of it one delay later. */
		l->is_connecting = false;
		pass_reset(&l->flow[1]);
	} else if (getpeername(l->end[1].fd, (struct sockaddr *)&ss, &n) == 0) {
		l->is_connecting = false;
	}
}

static int64_t
next_due(const struct link *l, const bool *is_clear)
{
	int64_t when = l->connect_us;

	for (int i = 0; i < 2; i++) {
		const struct list *q = &l->flow[i].queue;
		struct chunk *c;

		if (!is_clear[i] || list_is_empty(q) ||
		    l->end[l->flow[i].to].fd < 0)
			continue;
		c = list_entry(q->next, struct chunk, link);
		if (when == 0 || c->due_us < when)
			when = c->due_us;
	}
	return when;
}

static void
arm(struct link *l, const bool *is_clear)
{
	int64_t when = next_due(l, is_clear), now = clock_mono_us();
	struct timeval tv;

	for (int i = 0; i < 2; i++) {
		struct flow *f = &l->flow[i];
		bool is_there = l->end[i].fd >= 0;

		if (!is_there)
			continue;
		set_event(l->end[i].on_read, EV_READ,
		    !f->saw_end && f->waiting < WINDOW &&
			!(i == 1 && l->is_connecting));
		set_event(l->end[i].on_write, EV_WRITE,
		    !is_clear[1 - i] || (i == 1 && l->is_connecting));
	}
	if (when == 0) {
		(void)event_del(l->on_time);
		return;
	}
	when = when > now ? when - now : 0;
	tv = (struct timeval){when / 1000000, when % 1000000};
	(void)event_add(l->on_time, &tv);
}

/* Looks again at everything this link could do now. */
static void
kick(struct link *l)
{
	int64_t now = clock_mono_us();
	bool is_clear[2] = {true, true};

	if (l->connect_us != 0 && now >= l->connect_us)
		start_connect(l);
	if (l->is_connecting && !l->is_dead)
		check_connect(l);
	for (int i = 0; i < 2 && !l->is_dead; i++) {
		if (i == 1 && l->is_connecting)
			continue;
		fill(&l->flow[i]);
	}
	for (int i = 0; i < 2 && !l->is_dead && !l->is_connecting; i++)
		is_clear[i] = drain(&l->flow[i], now);
	if (l->is_dead || (l->flow[0].is_done && l->flow[1].is_done))
		link_free(l);
	else
		arm(l, is_clear);
}

static void
on_accept(evutil_socket_t fd, short what, void *ctx)
{
	struct proxy *p = ctx;
	int peer;

	(void)what;
	while ((peer = accept4(fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC)) >=
	       0) {
		struct link *l = mem_zalloc(sizeof(*l));

		l->proxy = p;
		list_push(&p->links, &l->link);
		for (int i = 0; i < 2; i++) {
			list_init(&l->flow[i].queue);
			l->flow[i].owner = l;
			l->flow[i].from = i;
			l->flow[i].to = 1 - i;
			congestion_init(&l->flow[i].congestion, &p->congestion,
			    p->seed += SEED_STEP);
		}
		l->end[1].fd = -1;
		l->on_time = event_new(p->base, -1, 0, on_time, l);
		CHECK(l->on_time != NULL);
		end_open(l, &l->end[0], peer);
		l->connect_us = clock_mono_us() + 3 * p->delay_us;
		kick(l);
	}
}

static struct addrinfo *
look_up(const char *address)
{
	struct addrinfo hints = {.ai_socktype = SOCK_STREAM,
	    .ai_flags = AI_NUMERICHOST | AI_NUMERICSERV};
	struct addrinfo *found = NULL;
	const char *colon = address ? strrchr(address, ':') : NULL;
	char *host;

	if (colon == NULL)
		log_fatal("usage: delayproxy --listen ADDR:PORT --to ADDR:PORT"
			  " --delay MS [--bandwidth OCTETS/S]"
			  " [--initial-window OCTETS] [--keep-window-when-idle]"
			  " [--loss SHARE] [--seed N] [--ready-file FILE]");
	host = address[0] == '['
		   ? mem_strndup(address + 1, (size_t)(colon - address) - 2)
		   : mem_strndup(address, (size_t)(colon - address));
	if (getaddrinfo(host, colon + 1, &hints, &found) != 0)
		log_fatal("%s: no numeric address and port", address);
	mem_free(host);
	return found;
}

static void
write_ready(int fd, const char *path)
{
	char host[NI_MAXHOST], port[NI_MAXSERV];
	struct sockaddr_storage ss;
	socklen_t n = sizeof(ss);
	char *temp = path ? mem_printf("%s.new", path) : NULL;
	FILE *f = path ? fopen(temp, "we") : stdout;

	if (f == NULL || getsockname(fd, (struct sockaddr *)&ss, &n) < 0 ||
	    getnameinfo((struct sockaddr *)&ss, n, host, sizeof(host), port,
		sizeof(port), NI_NUMERICHOST | NI_NUMERICSERV) != 0)
		log_fatal("ready file: %s", strerror(errno));
	fprintf(f, ss.ss_family == AF_INET6 ? "tcp [%s]:%s\n" : "tcp %s:%s\n",
	    host, port);
	if (fflush(f) != 0 || (path && rename(temp, path) < 0))
		log_fatal("%s: %s", path, strerror(errno));
	if (path != NULL)
		fclose(f);
	mem_free(temp);
}

static void
on_stop(evutil_socket_t sig, short what, void *ctx)
{
	struct proxy *p = ctx;

	(void)sig;
	(void)what;
	event_base_loopbreak(p->base);
}

static int
start_listen(struct proxy *p, const char *address)
{
	struct addrinfo *ai = look_up(address);
	struct event *ev;
	int one = 1;
	int fd = socket(
	    ai->ai_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

	if (fd < 0)
		log_fatal("%s: %s", address, strerror(errno));
	(void)setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
	if (bind(fd, ai->ai_addr, ai->ai_addrlen) < 0 ||
	    listen(fd, BACKLOG) < 0)
		log_fatal("%s: %s", address, strerror(errno));
	freeaddrinfo(ai);
	/* Loopback's segments are 64 kB, and the client's own first window ten
	 * of those. */
	if (p->is_honest)
		(void)setsockopt(fd, IPPROTO_TCP, TCP_MAXSEG,
		    &(int){CONGESTION_SEGMENT + TIMESTAMPS}, sizeof(int));
	ev = event_new(p->base, fd, EV_READ | EV_PERSIST, on_accept, p);
	CHECK(ev != NULL && event_add(ev, NULL) == 0);
	for (int sig = SIGINT; sig <= SIGTERM; sig += SIGTERM - SIGINT) {
		ev = evsignal_new(p->base, sig, on_stop, p);
		CHECK(ev != NULL && event_add(ev, NULL) == 0);
	}
	return fd;
}

/* Timers to the millisecond would distort short delays. */
static struct event_base *
precise_base(void)
{
	struct event_config *config = event_config_new();
	struct event_base *base;

	CHECK(config != NULL);
	(void)event_config_set_flag(config, EVENT_BASE_FLAG_PRECISE_TIMER);
	base = event_base_new_with_config(config);
	event_config_free(config);
	CHECK(base != NULL);
	return base;
}

static double
number_of(const char *text, double most)
{
	char *end;
	double value = strtod(text, &end);

	if (end == text || *end != '\0' || !(value >= 0 && value <= most))
		log_fatal("%s: must be a number from 0 to %g", text, most);
	return value;
}

int
main(int argc, char **argv)
{
	static const struct option longs[] = {{"listen", 1, NULL, 'l'},
	    {"to", 1, NULL, 't'}, {"delay", 1, NULL, 'd'},
	    {"bandwidth", 1, NULL, 'b'}, {"initial-window", 1, NULL, 'w'},
	    {"keep-window-when-idle", 0, NULL, 'k'}, {"loss", 1, NULL, 'o'},
	    {"seed", 1, NULL, 's'}, {"ready-file", 1, NULL, 'r'},
	    {NULL, 0, NULL, 0}};
	const char *listen_at = NULL, *to = NULL, *ready = NULL;
	struct proxy p = {0};
	int c;

	while ((c = getopt_long(argc, argv, "", longs, NULL)) != -1) {
		if (c == 'l')
			listen_at = optarg;
		else if (c == 't')
			to = optarg;
		else if (c == 'd')
			p.delay_us = (int64_t)(number_of(optarg, 60000) * 1000);
		else if (c == 'b')
			p.octets_per_us = number_of(optarg, 1e12) / 1e6;
		else if (c == 'w')
			p.congestion.initial = (size_t)number_of(optarg, 1e9);
		else if (c == 'k')
			p.congestion.keeps_idle = true;
		else if (c == 'o')
			p.congestion.loss = number_of(optarg, 1);
		else if (c == 's')
			p.seed = (uint64_t)number_of(optarg, 1e9);
		else if (c == 'r')
			ready = optarg;
		else
			exit(2);
	}
	(void)signal(SIGPIPE, SIG_IGN);
	list_init(&p.links);
	p.congestion.rtt_us = 2 * p.delay_us;
	p.is_honest = p.congestion.initial > 0 || p.congestion.loss > 0;
	p.to = look_up(to);
	p.base = precise_base();
	write_ready(start_listen(&p, listen_at), ready);
	(void)event_base_dispatch(p.base);
	while (!list_is_empty(&p.links))
		link_free(list_entry(list_first(&p.links), struct link, link));
	freeaddrinfo(p.to);
	return 0;
}
