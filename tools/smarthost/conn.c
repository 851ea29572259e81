#include "tools/smarthost/conn.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <openssl/err.h>
#include <stdio.h>
#include <sys/socket.h>
#include <unistd.h>

#include "common/base/clock.h"
#include "common/base/log.h"
#include "common/base/mem.h"
#include "tools/smarthost/forge.h"
#include "tools/smarthost/tls.h"

enum {
	IN_MAX = 256 << 10,
	OUT_MAX = 16 << 20,
	READ_SIZE = 64 << 10,
	TURN_BYTES = 512 << 10, /* then others get their turn */
};

enum io { IO_OK, IO_AGAIN, IO_END };

struct segment {
	struct list link;
	int64_t due_ms; /* 0: now */
	struct buf data;
	unsigned drip_ms;
	enum conn_end then;
};

static void pump(struct conn *c);

static struct segment *
segment_add(struct conn *c, int64_t due_ms, unsigned drip_ms)
{
	struct segment *s = mem_zalloc(sizeof(*s));

	buf_init(&s->data, OUT_MAX);
	s->due_ms = due_ms;
	s->drip_ms = drip_ms;
	list_push(&c->out, &s->link);
	return s;
}

static void
segment_free(struct segment *s)
{
	list_remove(&s->link);
	buf_fini(&s->data);
	mem_free(s);
}

static struct segment *
last_segment(struct conn *c)
{
	return list_is_empty(&c->out)
		   ? NULL
		   : list_entry(c->out.prev, struct segment, link);
}

void
conn_send(struct conn *c, const char *p, size_t n, unsigned drip_ms)
{
	unsigned latency = c->sim->options.latency_ms;
	struct segment *s = last_segment(c);
	int64_t due = c->not_before_ms;

	if (c->is_stalled || c->is_ending)
		return;
	if (latency > 0) {
		int64_t now = clock_mono_ms();

		due = (due > now ? due : now) + latency;
	}
	/* Never to be sent before what is already waiting. */
	if (s != NULL && s->due_ms > due)
		due = s->due_ms;
	if (s == NULL || s->due_ms != due || s->drip_ms != drip_ms ||
	    s->then != CONN_OPEN)
		s = segment_add(c, due, drip_ms);
	if (!buf_add(&s->data, p, n))
		c->is_dead = true; /* a client that never reads replies */
}

void
conn_then(struct conn *c, enum conn_end end)
{
	struct segment *s = last_segment(c);

	if (c->is_stalled || c->is_ending)
		return;
	if (s == NULL || s->then != CONN_OPEN)
		s = segment_add(c, c->not_before_ms, 0);
	s->then = end;
	if (end == CONN_TLS)
		c->tls = CONN_TLS_WAIT;
	else
		c->is_ending = true;
}

void
conn_hold(struct conn *c, unsigned ms)
{
	int64_t from = clock_mono_ms();

	if (c->hold_until_ms > from)
		from = c->hold_until_ms;
	c->hold_until_ms = c->not_before_ms = from + ms;
}

bool
conn_is_listening(const struct conn *c)
{
	return !c->is_dead && !c->is_ending && !c->is_stalled &&
	       !c->is_blocked && c->hold_until_ms == 0 &&
	       (c->tls == CONN_CLEAR || c->tls == CONN_SECURE);
}

void
conn_stall(struct conn *c, bool is_frozen)
{
	c->is_stalled = true;
	c->is_frozen = is_frozen;
}

void
conn_cut(struct conn *c, int64_t n, bool is_hard)
{
	size_t held = buf_len(&c->in);

	/* What was read but not looked at yet is part of the n; what is
	 * beyond it counts as never arrived. */
	if (held > (size_t)n) {
		c->in.len -= held - (size_t)n;
		c->sim->stats.bytes_in -= held - (size_t)n;
		held = (size_t)n;
	}
	c->cut_left = n - (int64_t)held;
	c->is_cut_hard = is_hard;
}

static void
uncount(struct conn *c)
{
	if (c->is_counted)
		c->sim->stats.connections--;
	c->is_counted = false;
}

void
conn_free(struct conn *c)
{
	uncount(c);
	session_fini(&c->session);
	if (c->ssl != NULL) {
		/* Both are only attempts: the peer may be gone. */
		if (c->tls == CONN_SECURE)
			(void)SSL_shutdown(c->ssl);
		SSL_free(c->ssl);
		ERR_clear_error();
	}
	while (!list_is_empty(&c->out))
		segment_free(
		    list_entry(list_first(&c->out), struct segment, link));
	event_free(c->on_read);
	event_free(c->on_write);
	event_free(c->on_time);
	event_free(c->on_hangup);
	buf_fini(&c->in);
	close(c->fd);
	list_remove(&c->link);
	mem_free(c);
}

static void
set_reset(struct conn *c)
{
	struct linger hard = {.l_onoff = 1, .l_linger = 0};

	(void)setsockopt(c->fd, SOL_SOCKET, SO_LINGER, &hard, sizeof(hard));
	if (c->tls == CONN_SECURE) {
		SSL_set_quiet_shutdown(c->ssl, 1);
	}
}

static enum io
io_result(struct conn *c, int rc, size_t *n)
{
	*n = rc > 0 ? (size_t)rc : 0;
	if (rc > 0)
		return IO_OK;
	switch (SSL_get_error(c->ssl, rc)) {
	case SSL_ERROR_WANT_READ:
	case SSL_ERROR_WANT_WRITE:
		return IO_AGAIN;
	default:
		ERR_clear_error();
		return IO_END;
	}
}

static enum io
sock_result(ssize_t rc, size_t *n)
{
	*n = rc > 0 ? (size_t)rc : 0;
	if (rc > 0)
		return IO_OK;
	if (rc < 0 && (errno == EAGAIN || errno == EINTR))
		return IO_AGAIN;
	return IO_END;
}

static enum io
io_read(struct conn *c, char *p, size_t size, size_t *n)
{
	int one = 1;

	/* The kernel forgets it now and then. */
	if (c->sim->options.quickack)
		(void)setsockopt(
		    c->fd, IPPROTO_TCP, TCP_QUICKACK, &one, sizeof(one));
	if (c->tls == CONN_SECURE)
		return io_result(c, SSL_read(c->ssl, p, (int)size), n);
	return sock_result(recv(c->fd, p, size, 0), n);
}

static enum io
io_write(struct conn *c, struct slice s, size_t *n)
{
	if (c->tls == CONN_SECURE)
		return io_result(c, SSL_write(c->ssl, s.p, (int)s.n), n);
	return sock_result(send(c->fd, s.p, s.n, MSG_NOSIGNAL), n);
}

/* Sends what is due of one segment; false when it is not finished. */
static bool
send_segment(struct conn *c, struct segment *s)
{
	while (buf_len(&s->data) > 0) {
		struct slice part = buf_slice(&s->data);
		size_t n;

		if (s->due_ms > 0 && s->due_ms > clock_mono_ms())
			return false;
		if (s->drip_ms > 0)
			part.n = 1;
		switch (io_write(c, part, &n)) {
		case IO_OK:
			break;
		case IO_AGAIN:
			c->is_blocked = true;
			return false;
		case IO_END:
			c->is_dead = true;
			return false;
		}
		buf_consume(&s->data, n);
		c->sim->stats.bytes_out += n;
		if (s->drip_ms > 0)
			s->due_ms = clock_mono_ms() + s->drip_ms;
	}
	return s->due_ms == 0 || s->due_ms <= clock_mono_ms();
}

static void
start_tls(struct conn *c)
{
	if (session_before_tls(&c->session)) {
		c->ssl = SSL_new(c->sim->tls);
		CHECK(c->ssl != NULL && SSL_set_fd(c->ssl, c->fd) == 1);
		forge_watch(c->ssl);
		c->tls = CONN_SHAKING;
	}
}

static void
start_flood(struct conn *c)
{
	if (c->tls == CONN_SECURE &&
	    flood_begin(c->ssl, c->fd, &c->flood, c->sim->flood_octets))
		SSL_set_quiet_shutdown(c->ssl, 1);
	c->is_dead = true;
}

/* What comes from now on is read and thrown away. */
static void
half_close(struct conn *c)
{
	if (c->tls == CONN_SECURE)
		(void)SSL_shutdown(c->ssl);
	(void)shutdown(c->fd, SHUT_WR);
	conn_stall(c, false);
}

static void
flush(struct conn *c)
{
	c->is_blocked = false;
	while (!c->is_dead && !list_is_empty(&c->out)) {
		struct segment *s =
		    list_entry(list_first(&c->out), struct segment, link);
		enum conn_end then = s->then;

		if (!send_segment(c, s))
			return;
		segment_free(s);
		switch (then) {
		case CONN_OPEN:
			break;
		case CONN_RESET:
			set_reset(c);
			c->is_dead = true;
			break;
		case CONN_CLOSE:
			c->is_dead = true;
			break;
		case CONN_HALF_CLOSE:
			half_close(c);
			break;
		case CONN_TLS:
			start_tls(c);
			break;
		case CONN_FLOOD:
			start_flood(c);
			break;
		}
	}
}

/* False: nothing more to do now. */
static bool
shake(struct conn *c)
{
	struct stats *st = &c->sim->stats;
	int rc = SSL_accept(c->ssl);

	if (rc == 1) {
		c->tls = CONN_SECURE;
		st->tls_handshakes++;
		st->tls_resumed += SSL_session_reused(c->ssl) ? 1 : 0;
		session_after_tls(&c->session);
		return true;
	}
	switch (SSL_get_error(c->ssl, rc)) {
	case SSL_ERROR_WANT_READ:
	case SSL_ERROR_WANT_WRITE:
		return false;
	default:
		st->tls_failures++;
		ERR_clear_error();
		c->is_dead = true;
		return false;
	}
}

static void
on_end(struct conn *c)
{
	c->saw_end = true;
	uncount(c);
	session_input(&c->session);
	/* Replies still on their way may be read by a half-closed peer. */
	if (c->is_stalled || list_is_empty(&c->out))
		c->is_dead = true;
	else if (!c->is_ending)
		conn_then(c, CONN_CLOSE);
}

static void
do_cut(struct conn *c)
{
	if (c->is_cut_hard)
		set_reset(c);
	else
		flush(c);
	c->is_dead = true;
}

/* Reads once; false when there is nothing or no more. */
static bool
fill(struct conn *c, size_t *turn)
{
	size_t want = READ_SIZE, n;
	char *p;

	if (buf_len(&c->in) + READ_SIZE > IN_MAX)
		return false;
	if (c->cut_left >= 0 && (uint64_t)c->cut_left < want)
		want = (size_t)c->cut_left;
	if (want == 0) {
		do_cut(c);
		return false;
	}
	p = buf_reserve(&c->in, want);
	switch (io_read(c, p, want, &n)) {
	case IO_OK:
		break;
	case IO_AGAIN:
		return false;
	case IO_END:
		on_end(c);
		return false;
	}
	buf_commit(&c->in, n);
	c->sim->stats.bytes_in += n;
	*turn += n;
	if (c->cut_left >= 0)
		c->cut_left -= (int64_t)n;
	if (c->is_stalled)
		buf_reset(&c->in);
	return true;
}

static bool
wants_read(const struct conn *c)
{
	if (c->is_dead || c->is_frozen || c->saw_end)
		return false;
	return c->tls == CONN_SHAKING || c->is_stalled || conn_is_listening(c);
}

static void
set_timer(struct conn *c)
{
	int64_t when = c->hold_until_ms, now;
	struct timeval tv;

	if (!list_is_empty(&c->out) && !c->is_blocked) {
		struct segment *s =
		    list_entry(list_first(&c->out), struct segment, link);

		if (when == 0 || (s->due_ms > 0 && s->due_ms < when))
			when = s->due_ms;
	}
	if (when == 0) {
		if (event_pending(c->on_time, EV_TIMEOUT, NULL))
			(void)event_del(c->on_time);
		return;
	}
	now = clock_mono_ms();
	when = when > now ? when - now : 0;
	tv = (struct timeval){when / 1000, when % 1000 * 1000};
	(void)event_add(c->on_time, &tv);
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
arm(struct conn *c, bool has_more)
{
	bool reading = wants_read(c);

	set_event(c->on_read, EV_READ, reading);
	set_event(c->on_write, EV_WRITE,
	    c->is_blocked ||
		(c->tls == CONN_SHAKING && SSL_want_write(c->ssl)));
	/* A peer that leaves is noticed although nobody reads. */
	set_event(c->on_hangup, EV_CLOSED, c->is_frozen);
	set_timer(c);
	if (has_more && reading)
		event_active(c->on_read, EV_READ, 0);
}

static void
pump(struct conn *c)
{
	size_t turn = 0;
	bool more = true;

	if (c->hold_until_ms > 0 && clock_mono_ms() >= c->hold_until_ms)
		c->hold_until_ms = c->not_before_ms = 0;
	while (more && !c->is_dead && turn < TURN_BYTES) {
		more = false;
		flush(c);
		if (c->tls == CONN_SHAKING && !c->is_dead) {
			more = shake(c);
			continue;
		}
		if (conn_is_listening(c))
			session_input(&c->session);
		if (wants_read(c) && c->tls != CONN_SHAKING)
			more = fill(c, &turn);
		/* Replies of one batch leave together, at its end. */
		if (!more || turn >= TURN_BYTES)
			flush(c);
		if (!more && c->tls == CONN_SHAKING)
			more = true;
	}
	if (c->is_dead)
		conn_free(c);
	else
		arm(c, more);
}

static void
on_event(evutil_socket_t fd, short what, void *ctx)
{
	struct conn *c = ctx;

	(void)fd;
	if ((what & EV_CLOSED) != 0)
		conn_free(c);
	else
		pump(c);
}

void
conn_new(struct sim *sim, int fd, unsigned peer_port, bool is_tls)
{
	struct conn *c = mem_zalloc(sizeof(*c));
	struct stats *st = &sim->stats;
	int one = sim->options.nodelay;
	struct timeval now = clock_wall();

	(void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
	c->sim = sim;
	c->fd = fd;
	c->peer_port = peer_port;
	c->nr = ++st->connections_total;
	if (c->nr == 1)
		st->first_connection_us =
		    (uint64_t)now.tv_sec * 1000000 + (uint64_t)now.tv_usec;
	c->is_counted = true;
	c->cut_left = -1;
	buf_init(&c->in, IN_MAX);
	list_init(&c->out);
	list_push(&sim->conns, &c->link);
	c->on_read =
	    event_new(sim->base, fd, EV_READ | EV_PERSIST, on_event, c);
	c->on_write =
	    event_new(sim->base, fd, EV_WRITE | EV_PERSIST, on_event, c);
	c->on_time = event_new(sim->base, -1, 0, on_event, c);
	c->on_hangup =
	    event_new(sim->base, fd, EV_CLOSED | EV_PERSIST, on_event, c);
	CHECK(c->on_read && c->on_write && c->on_time && c->on_hangup);
	if (++st->connections > st->connections_max)
		st->connections_max = st->connections;
	session_init(&c->session, c);
	if (is_tls && !c->is_ending && !c->is_stalled)
		conn_then(c, CONN_TLS);
	pump(c);
}
