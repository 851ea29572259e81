/* One place does all the work, run(): it is called by socket events and by a
 * zero timer (for work that no event announces: a kick, octets given back,
 * octets inside OpenSSL). The functions of the interface only set marks, so
 * a handler may call any of them and nothing recurses.
 *
 *   run: [handshake] -> octets given back -> read until again -> pull, write
 *
 * OpenSSL works in partial-write mode: SSL_write() returns after each record
 * of up to 16 kB that the kernel took whole, which is what on_written counts.
 *
 * How much one call of OpenSSL does is the peer's choice: it loops over
 * messages that carry no data. Therefore OpenSSL reads no more than so much a
 * turn (agent/io/readahead.h), and SSL_read() returns after each such message
 * (no SSL_MODE_AUTO_RETRY). What is left lies in the socket, which is watched
 * level-triggered, or is held by readahead, which is noted. A peer that goes on
 * like that is cut off (HANDSHAKES_MAX).
 */
#include "agent/smarthost/link.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "agent/io/readahead.h"
#include "common/base/log.h"
#include "common/base/mem.h"

enum {
	READ_SIZE = 4096, /* the replies to a window; zeroed each time */
	RECORD_SIZE = 16384, /* SSL3_RT_MAX_PLAIN_LENGTH */
	READS_PER_TURN = 32, /* one busy peer must not starve the others */
	WRITES_PER_TURN = 64,
	UNREAD_MAX = READ_SIZE,
	/* Tickets, key updates and requests to renegotiate on one connection,
	 * after its handshake. Servers send two to four. */
	HANDSHAKES_MAX = 1000,
	OUT_MAX = 4 << 20, /* far above what one pull may add */
	TEXT_SIZE = 256,
};

enum life {
	LIFE_PLAIN,
	LIFE_HANDSHAKE, /* of TLS; a callback says how it ended */
	LIFE_SECURE,
	LIFE_OVER, /* on_closed was called, or never will be */
	LIFE_FREED, /* the memory goes at the end of the turn */
};

#define TO(state) (1U << (state))

static const unsigned life_moves[] = {
    [LIFE_PLAIN] = TO(LIFE_HANDSHAKE) | TO(LIFE_OVER) | TO(LIFE_FREED),
    [LIFE_HANDSHAKE] = TO(LIFE_SECURE) | TO(LIFE_OVER) | TO(LIFE_FREED),
    [LIFE_SECURE] = TO(LIFE_OVER) | TO(LIFE_FREED),
    [LIFE_OVER] = TO(LIFE_FREED),
    [LIFE_FREED] = 0,
};

struct link {
	struct loop *loop;
	struct loop_fd *watch;
	struct loop_timer *again;
	int fd;
	enum life life; /* written by set_life() */
	struct ssl_st *ssl;
	const struct link_ops *ops;
	void *ctx;
	struct buf unread; /* given back by link_unread() */
	struct slice given; /* to on_input, which is being called */
	struct buf out; /* pulled, not yet taken by the kernel */
	link_tls_fn *on_tls; /* NULL but during the handshake */
	void *tls_ctx;
	bool want_output; /* kicked since on_output last gave nothing */
	bool is_blocked; /* the socket takes no more for now */
	bool has_more; /* the read budget of this turn was used up */
	bool handshake_wants_write; /* the same for what SSL_read() answers */
	bool write_wants_read; /* SSL_write() needs the rest of a message */
	struct readahead *ahead; /* what ssl reads through, or NULL */
	int handshakes; /* messages since the handshake */
	bool is_write_dead; /* writing failed; what came in is read first */
	enum link_end write_end;
	char write_text[TEXT_SIZE];
};

enum io_result { IO_OK, IO_AGAIN, IO_END };

/* How an I/O call ended, when it ended the connection. */
struct io_end {
	enum link_end end;
	char text[TEXT_SIZE];
};

static void
set_life(struct link *link, enum life life)
{
	CHECK((life_moves[link->life] & TO(life)) != 0);
	link->life = life;
	CHECK((life == LIFE_HANDSHAKE) == (link->on_tls != NULL) ||
	      life == LIFE_FREED);
}

static bool
is_freed(const struct link *link)
{
	return link->life == LIFE_FREED;
}

/* Octets of the handlers may come and go. */
static bool
is_open(const struct link *link)
{
	return link->life == LIFE_PLAIN || link->life == LIFE_SECURE;
}

static void
wake(struct link *link)
{
	CHECK(!is_freed(link));
	loop_timer_at(link->again, 0);
}

static void
set_quickack(struct link *link)
{
	int on = 1;

	/* Fails on sockets that are not TCP (tests); nothing depends on it. */
	(void)setsockopt(link->fd, IPPROTO_TCP, TCP_QUICKACK, &on, sizeof(on));
}

static void
end_set(struct io_end *end, enum link_end how, const char *text)
{
	end->end = how;
	(void)snprintf(end->text, sizeof(end->text), "%s", text);
	log_safe(end->text, strlen(end->text));
}

static enum io_result
too_many(struct io_end *end)
{
	end_set(end, LINK_TLS_ERROR, "too many TLS messages without data");
	return IO_END;
}

/* What SSL_get_error() says after a failed call; errno as the call left it. */
static enum io_result
tls_result(struct link *link, int rc, int error_no, struct io_end *end)
{
	unsigned long queued;
	const char *reason;

	switch (SSL_get_error(link->ssl, rc)) {
	case SSL_ERROR_WANT_READ:
	case SSL_ERROR_WANT_WRITE:
		return link->handshakes > HANDSHAKES_MAX ? too_many(end)
							 : IO_AGAIN;
	case SSL_ERROR_ZERO_RETURN:
		end_set(end, LINK_EOF, "connection closed by the server");
		return IO_END;
	case SSL_ERROR_SYSCALL:
		if (error_no == 0)
			end_set(end, LINK_EOF, "lost connection");
		else
			end_set(end, LINK_RESET, strerror(error_no));
		return IO_END;
	default:
		queued = ERR_peek_error();
		if (ERR_GET_REASON(queued) ==
		    SSL_R_UNEXPECTED_EOF_WHILE_READING) {
			end_set(end, LINK_EOF, "lost connection");
			return IO_END;
		}
		reason = ERR_reason_error_string(queued);
		end_set(end, LINK_TLS_ERROR,
		    reason != NULL ? reason : "TLS protocol error");
		return IO_END;
	}
}

static enum io_result
socket_result(struct io_end *end)
{
	if (errno == EAGAIN || errno == EWOULDBLOCK || errno == EINTR)
		return IO_AGAIN;
	end_set(end, LINK_RESET, strerror(errno));
	return IO_END;
}

static enum io_result
read_some(
    struct link *link, char *p, size_t size, size_t *n_out, struct io_end *end)
{
	ssize_t n;
	int rc;

	if (link->ssl != NULL) {
		ERR_clear_error();
		errno = 0;
		rc = SSL_read(link->ssl, p, (int)size);
		if (rc <= 0) {
			link->handshake_wants_write =
			    SSL_want_write(link->ssl) == 1;
			return tls_result(link, rc, errno, end);
		}
		*n_out = (size_t)rc;
		return IO_OK;
	}
	n = recv(link->fd, p, size, 0);
	if (n < 0)
		return socket_result(end);
	if (n == 0) {
		end_set(end, LINK_EOF, "lost connection");
		return IO_END;
	}
	*n_out = (size_t)n;
	return IO_OK;
}

static enum io_result
write_some(struct link *link, struct slice s, size_t *n_out, struct io_end *end)
{
	ssize_t n;
	int rc;

	CHECK(s.n > 0); /* nothing would look like the end to SSL_write() */
	if (link->ssl != NULL) {
		ERR_clear_error();
		errno = 0;
		rc = SSL_write(link->ssl, s.p, (int)s.n);
		if (rc <= 0) {
			link->write_wants_read = SSL_want_read(link->ssl) == 1;
			return tls_result(link, rc, errno, end);
		}
		*n_out = (size_t)rc;
		return IO_OK;
	}
	n = send(link->fd, s.p, s.n, MSG_NOSIGNAL);
	if (n < 0)
		return socket_result(end);
	*n_out = (size_t)n;
	return IO_OK;
}

static void
report_end(struct link *link, const struct io_end *end)
{
	struct io_end copy = *end;

	CHECK(link->ops != NULL);
	set_life(link, LIFE_OVER);
	if (link->is_write_dead) {
		/* The write's error came first and says more than an EOF. */
		end_set(&copy, link->write_end, link->write_text);
	}
	link->ops->on_closed(link->ctx, copy.end, copy.text);
}

static bool
may_read(const struct link *link)
{
	return is_open(link) && link->ops != NULL;
}

static void
give(struct link *link, const char *p, size_t n)
{
	link->given = slice_of(p, n);
	link->ops->on_input(link->ctx, p, n);
	link->given = slice_of(NULL, 0);
}

static void
give_again(struct link *link, size_t n)
{
	char copy[UNREAD_MAX];

	/* A copy, since the handler may give the tail back once more. */
	memcpy(copy, buf_slice(&link->unread).p, n);
	buf_reset(&link->unread);
	give(link, copy, n);
	mem_wipe(copy, n);
}

/* SSL_read() found no data. That is a turn's end, or a message without data;
 * replies may lie behind it. */
static bool
may_have_more(const struct link *link)
{
	return link->ssl != NULL && !link->handshake_wants_write &&
	       !readahead_is_drained(link->ahead);
}

static void
give_back(struct link *link)
{
	size_t n = buf_len(&link->unread);

	if (n > 0 && may_read(link))
		give_again(link, n);
}

static void
read_input(struct link *link)
{
	char data[READ_SIZE];
	struct io_end end;
	enum io_result result = IO_AGAIN;
	bool got_some = false;
	size_t n = 0;
	int reads = 0;

	link->handshake_wants_write = false;
	while (may_read(link) && buf_len(&link->unread) == 0) {
		if (!link->is_write_dead && reads++ == READS_PER_TURN) {
			link->has_more = true;
			break;
		}
		result = read_some(link, data, sizeof(data), &n, &end);
		if (result != IO_OK)
			break;
		got_some = true;
		give(link, data, n);
	}
	if (got_some && !is_freed(link))
		set_quickack(link);
	if (!may_read(link))
		return;
	if (result == IO_END)
		report_end(link, &end);
	else if (link->is_write_dead && result == IO_AGAIN &&
		 buf_len(&link->unread) == 0) {
		link->has_more = may_have_more(link);
		if (link->has_more)
			return;
		/* The socket is broken: nothing more can come. */
		end_set(&end, link->write_end, link->write_text);
		report_end(link, &end);
	}
}

static void
note_write_error(struct link *link, const struct io_end *end)
{
	CHECK(!link->is_write_dead);
	link->is_write_dead = true;
	link->write_end = end->end == LINK_EOF ? LINK_RESET : end->end;
	(void)snprintf(
	    link->write_text, sizeof(link->write_text), "%s", end->text);
	/* Replies may lie unread that decide about what was sent. */
	wake(link);
}

/* True when there is something in out: as much as fills a record, if there is
 * so much, since one that is not full costs as much. */
static bool
pull(struct link *link)
{
	while (buf_len(&link->out) < RECORD_SIZE && link->want_output &&
	       link->ops != NULL) {
		size_t before = buf_len(&link->out);

		link->ops->on_output(link->ctx, &link->out);
		if (is_freed(link))
			return false;
		CHECK(buf_ok(&link->out));
		if (buf_len(&link->out) == before)
			link->want_output = false;
	}
	return buf_len(&link->out) > 0;
}

static void
write_output(struct link *link)
{
	struct io_end end;
	enum io_result result;
	size_t n = 0;
	int writes = 0;
	bool is_again = link->is_blocked && buf_len(&link->out) > 0;

	link->is_blocked = false;
	link->write_wants_read = false;
	if (!is_open(link) || link->is_write_dead)
		return;
	/* OpenSSL wants to be asked again for what it was asked for. */
	while (is_again || pull(link)) {
		is_again = false;
		if (writes++ == WRITES_PER_TURN) {
			wake(link);
			return;
		}
		result = write_some(link, buf_slice(&link->out), &n, &end);
		if (result == IO_AGAIN) {
			link->is_blocked = true;
			return;
		}
		if (result == IO_END) {
			note_write_error(link, &end);
			return;
		}
		buf_consume(&link->out, n);
		link->ops->on_written(link->ctx, n);
		if (!is_open(link))
			return;
	}
}

static void
step_handshake(struct link *link)
{
	link_tls_fn *done = link->on_tls;
	struct io_end end = {LINK_EOF, ""};
	enum io_result result = IO_OK;
	long verify;
	int rc;

	link->handshake_wants_write = false;
	ERR_clear_error();
	errno = 0;
	rc = SSL_do_handshake(link->ssl);
	if (rc <= 0) {
		link->handshake_wants_write = SSL_want_write(link->ssl) == 1;
		result = tls_result(link, rc, errno, &end);
	}
	set_quickack(link);
	if (result == IO_AGAIN)
		return;
	link->on_tls = NULL;
	if (result == IO_END) {
		verify = SSL_get_verify_result(link->ssl);
		if (end.end == LINK_TLS_ERROR && verify != X509_V_OK)
			end_set(&end, LINK_TLS_ERROR,
			    X509_verify_cert_error_string(verify));
		set_life(link, LIFE_OVER);
	} else {
		link->has_more = true; /* may hold octets poll cannot see */
		readahead_allow(link->ahead);
		set_life(link, LIFE_SECURE);
	}
	done(link->tls_ctx, result == IO_OK, end.end, end.text);
}

static void
update_watch(struct link *link)
{
	bool read, write;

	if (is_freed(link))
		return;
	if (link->life == LIFE_HANDSHAKE) {
		loop_want(link->watch, true, link->handshake_wants_write);
		if (link->has_more)
			wake(link);
		return;
	}
	/* Waiting for what does not help would be a busy wait. */
	read = (may_read(link) && !link->handshake_wants_write) ||
	       (link->write_wants_read && link->life != LIFE_OVER);
	write = ((link->is_blocked && !link->write_wants_read) ||
		    link->handshake_wants_write) &&
		link->life != LIFE_OVER;
	loop_want(link->watch, read, write);
	if (link->has_more && may_read(link))
		wake(link);
}

/* What poll cannot tell of may be there, or has to be read whatever it is. */
static bool
has_to_read(const struct link *link)
{
	return link->has_more || buf_len(&link->unread) > 0 ||
	       link->is_write_dead || link->handshake_wants_write ||
	       link->write_wants_read;
}

/* No event tells of what is left there. Where OpenSSL reads no further before
 * it has written, looking again would be a busy wait. */
static void
end_reading(struct link *link)
{
	if (link->ahead == NULL)
		return;
	switch (readahead_end(link->ahead)) {
	case READAHEAD_NOTHING:
		break;
	case READAHEAD_HELD:
		link->has_more = link->has_more || !link->handshake_wants_write;
		break;
	case READAHEAD_CUT:
		link->has_more = true;
		break;
	}
}

static void
run(struct link *link, bool is_ready)
{
	bool reads = is_ready || has_to_read(link);

	link->has_more = false;
	if (link->ahead != NULL)
		readahead_begin(link->ahead, link->is_write_dead);
	if (link->life == LIFE_HANDSHAKE && link->ssl != NULL)
		step_handshake(link);
	if (!is_freed(link) && link->life != LIFE_HANDSHAKE) {
		give_back(link);
		/* The loop looks before it wakes: what came is an event. */
		if (reads)
			read_input(link);
		if (!is_freed(link))
			write_output(link);
	}
	end_reading(link);
	update_watch(link);
}

static void
on_event(void *ctx, bool readable, bool writable)
{
	(void)readable;
	(void)writable;
	run(ctx, true);
}

static void
on_again(void *ctx)
{
	struct link *link = ctx;

	/* A refused start of TLS: no ssl, but a callback to make. */
	if (link->life == LIFE_HANDSHAKE && link->ssl == NULL) {
		link_tls_fn *done = link->on_tls;

		link->on_tls = NULL;
		set_life(link, LIFE_OVER);
		done(link->tls_ctx, false, LINK_TLS_ERROR,
		    "server sent plaintext after agreeing to TLS");
		return;
	}
	run(link, false);
}

struct link *
link_new(struct loop *loop, int fd)
{
	struct link *link = mem_zalloc(sizeof(*link));
	int on = 1;

	CHECK(fd >= 0);
	link->loop = loop;
	link->fd = fd;
	link->watch = loop_watch(loop, fd, on_event, link);
	link->again = loop_timer_new(loop, on_again, link);
	buf_init(&link->unread, UNREAD_MAX);
	buf_init(&link->out, OUT_MAX);
	(void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
	set_quickack(link);
	return link;
}

void
link_free(struct link **link)
{
	struct link *old = *link;

	*link = NULL;
	if (old == NULL || is_freed(old))
		return;
	loop_unwatch(&old->watch);
	loop_timer_free(&old->again);
	if (old->ssl != NULL) {
		/* Else OpenSSL takes the end for an attack and makes the
		 * session's tickets unusable. */
		SSL_set_shutdown(
		    old->ssl, SSL_SENT_SHUTDOWN | SSL_RECEIVED_SHUTDOWN);
		SSL_free(old->ssl);
		old->ssl = NULL;
	}
	(void)close(old->fd);
	old->fd = -1;
	readahead_free(&old->ahead);
	set_life(old, LIFE_FREED);
	buf_fini_secret(&old->unread);
	buf_fini_secret(&old->out);
	loop_defer(old->loop, mem_free, old);
}

void
link_set_ops(struct link *link, const struct link_ops *ops, void *ctx)
{
	link->ops = ops;
	link->ctx = ctx;
	link->has_more = true; /* perhaps: nobody has looked */
	/* The login passed through here. */
	if (buf_len(&link->out) == 0 && link->out.data != NULL)
		mem_wipe(link->out.data, link->out.cap);
	wake(link);
}

void
link_unread(struct link *link, const char *p, size_t n)
{
	CHECK(buf_len(&link->unread) == 0 && n <= UNREAD_MAX);
	CHECK(link->given.p != NULL && p + n == link->given.p + link->given.n);
	if (n == 0)
		return;
	(void)buf_add(&link->unread, p, n);
	wake(link);
}

void
link_kick(struct link *link)
{
	link->want_output = true;
	if (!link->is_blocked)
		wake(link);
}

/* Sees every message that OpenSSL reads or writes. */
static void
on_message(int is_write, int version, int type, const void *data, size_t n,
    SSL *ssl, void *ctx)
{
	struct link *link = ctx;

	(void)version;
	(void)data;
	(void)n;
	(void)ssl;
	if (!is_write && type == SSL3_RT_HANDSHAKE && link->life == LIFE_SECURE)
		link->handshakes++;
}

void
link_start_tls(
    struct link *link, struct ssl_st *ssl, link_tls_fn *on_done, void *ctx)
{
	CHECK(on_done != NULL && ssl != NULL);
	CHECK(link->ssl == NULL);
	link->on_tls = on_done;
	link->tls_ctx = ctx;
	set_life(link, LIFE_HANDSHAKE);
	wake(link);
	if (buf_len(&link->unread) > 0) {
		SSL_free(ssl);
		return;
	}
	link->ssl = ssl;
	(void)SSL_clear_mode(ssl, SSL_MODE_AUTO_RETRY);
	SSL_set_msg_callback(ssl, on_message);
	SSL_set_msg_callback_arg(ssl, link);
	if (SSL_set_fd(ssl, link->fd) != 1)
		log_fatal("out of memory");
	link->ahead = readahead_new(link->fd);
	readahead_attach(link->ahead, ssl);
}

struct ssl_st *
link_ssl(const struct link *link)
{
	return link->ssl;
}

size_t
link_unsent(const struct link *link)
{
	return buf_len(&link->out);
}

int64_t
link_rtt_us(const struct link *link)
{
	struct tcp_info info = {0};
	socklen_t n = sizeof(info);

	if (getsockopt(link->fd, IPPROTO_TCP, TCP_INFO, &info, &n) != 0)
		return 0;
	return info.tcpi_rtt;
}

int64_t
link_window(const struct link *link, int64_t *segment_out)
{
	struct tcp_info info = {0};
	socklen_t n = sizeof(info);

	if (getsockopt(link->fd, IPPROTO_TCP, TCP_INFO, &info, &n) != 0)
		info = (struct tcp_info){0};
	*segment_out = info.tcpi_snd_mss;
	return (int64_t)info.tcpi_snd_cwnd * info.tcpi_snd_mss;
}
