#include "agent/postfix/ipc.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "common/base/clock.h"
#include "common/base/log.h"
#include "common/base/mem.h"
#include "common/postfix/attr.h"
#include "common/postfix/version.h"

enum {
	REPLY_BYTES_MAX = 4096,
	REPLY_PAIRS_MAX = 16,
	READ_SIZE = 1024,
	CONNECT_AGAIN_MS = 50, /* listen queue full, out of descriptors */
};

enum ipc_state {
	IPC_CONNECTING,
	IPC_GREETING, /* waiting for the server's */
	IPC_SENDING,
	IPC_WAITING, /* for the status */
	IPC_FAILED, /* on_done is to be told from the loop */
};

struct ipc {
	struct loop *loop;
	struct loop_fd *watch;
	struct loop_timer *timer;
	int fd;
	enum ipc_state state;
	bool has_greeting;
	bool is_asking; /* in ipc_ask() still */
	int64_t deadline_ms;
	struct sockaddr_un address;
	const char *protocol; /* static text of the caller */
	struct buf request; /* what is still to be sent */
	struct attr_reader reply;
	ipc_fn *on_done;
	void *ctx;
};

static void
disconnect(struct ipc *ipc)
{
	loop_unwatch(&ipc->watch);
	if (ipc->fd >= 0)
		(void)close(ipc->fd);
	ipc->fd = -1;
}

void
ipc_cancel(struct ipc **ipc)
{
	struct ipc *old = *ipc;

	*ipc = NULL;
	if (old == NULL)
		return;
	disconnect(old);
	loop_timer_free(&old->timer);
	buf_fini(&old->request);
	attr_reader_fini(&old->reply);
	loop_defer(old->loop, mem_free, old);
}

static void
finish(struct ipc *ipc, bool is_answered, int32_t status)
{
	ipc_fn *on_done = ipc->on_done;
	void *ctx = ipc->ctx;

	CHECK(!ipc->is_asking);
	ipc_cancel(&ipc);
	on_done(ctx, is_answered, status);
}

/* Also from inside ipc_ask(): on_done follows from the timer. */
static void
fail(struct ipc *ipc, const char *why)
{
	log_warn("%s: %s", ipc->address.sun_path, why);
	disconnect(ipc);
	ipc->state = IPC_FAILED;
	loop_timer_at(ipc->timer, 0);
}

static void
send_request(struct ipc *ipc)
{
	CHECK(ipc->state == IPC_SENDING);
	while (buf_len(&ipc->request) > 0) {
		struct slice rest = buf_slice(&ipc->request);
		ssize_t n =
		    send(ipc->fd, rest.p, rest.n, MSG_NOSIGNAL | MSG_DONTWAIT);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 && errno == EAGAIN) {
			loop_want(ipc->watch, true, true);
			return;
		}
		if (n < 0) {
			fail(ipc, strerror(errno));
			return;
		}
		buf_consume(&ipc->request, (size_t)n);
	}
	ipc->state = IPC_WAITING;
	loop_want(ipc->watch, true, false);
}

/* A list has come: the greeting, or the answer. True to read on. */
static bool
on_list(struct ipc *ipc)
{
	struct slice protocol;
	int32_t status;

	if (ipc->has_greeting) {
		if (!attr_find(&ipc->reply, "protocol", &protocol) ||
		    !slice_eq(protocol, ipc->protocol)) {
			fail(ipc, "greeting of an unknown protocol");
			return false;
		}
		ipc->has_greeting = false;
		ipc->state = IPC_SENDING;
		send_request(ipc);
		return ipc->state != IPC_FAILED;
	}
	if (attr_get_int(&ipc->reply, "status", &status))
		finish(ipc, true, status);
	else
		fail(ipc, "answer without a status");
	return false;
}

static void
on_octets(struct ipc *ipc, const char *p, size_t n)
{
	size_t used;

	while (n > 0) {
		switch (attr_reader_feed(&ipc->reply, p, n, &used)) {
		case ATTR_MORE:
			return;
		case ATTR_BAD:
			fail(ipc, "malformed answer");
			return;
		case ATTR_LIST:
			p += used;
			n -= used;
			if (!on_list(ipc))
				return;
			break;
		}
	}
}

static void
on_event(void *ctx, bool readable, bool writable)
{
	struct ipc *ipc = ctx;
	char octets[READ_SIZE];
	ssize_t n;

	if (writable && ipc->state == IPC_SENDING) {
		send_request(ipc);
		if (ipc->state == IPC_FAILED)
			return;
	}
	if (!readable)
		return;
	n = recv(ipc->fd, octets, sizeof(octets), MSG_DONTWAIT);
	if (n > 0)
		on_octets(ipc, octets, (size_t)n);
	else if (n == 0)
		fail(ipc, "closed before an answer");
	else if (errno != EAGAIN && errno != EINTR)
		fail(ipc, strerror(errno));
}

/* A shortage that passes: a bounce must not become a deferral for it. */
static void
try_later(struct ipc *ipc)
{
	disconnect(ipc);
	loop_timer_at(ipc->timer, loop_now_ms(ipc->loop) + CONNECT_AGAIN_MS);
}

static void
try_connect(struct ipc *ipc)
{
	CHECK(ipc->state == IPC_CONNECTING && ipc->fd < 0);
	ipc->fd =
	    socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (ipc->fd < 0) {
		if (errno == EMFILE || errno == ENFILE || errno == ENOBUFS)
			try_later(ipc);
		else
			fail(ipc, strerror(errno));
		return;
	}
	if (connect(ipc->fd, (const struct sockaddr *)&ipc->address,
		sizeof(ipc->address)) != 0) {
		if (errno != EAGAIN) {
			fail(ipc, strerror(errno));
			return;
		}
		/* More clients than the queue takes; poll cannot tell. */
		try_later(ipc);
		return;
	}
	loop_timer_at(ipc->timer, ipc->deadline_ms);
	ipc->watch = loop_watch(ipc->loop, ipc->fd, on_event, ipc);
	if (ipc->has_greeting) {
		ipc->state = IPC_GREETING;
		loop_want(ipc->watch, true, false);
	} else {
		ipc->state = IPC_SENDING;
		send_request(ipc);
	}
}

static void
on_timer(void *ctx)
{
	struct ipc *ipc = ctx;

	if (ipc->state == IPC_FAILED)
		finish(ipc, false, -1);
	else if (loop_now_ms(ipc->loop) >= ipc->deadline_ms)
		fail(ipc, "no answer in time");
	else if (ipc->state == IPC_CONNECTING)
		try_connect(ipc);
	else /* a moment early */
		loop_timer_at(ipc->timer, ipc->deadline_ms);
}

struct ipc *
ipc_ask(struct loop *loop, const struct settings *set, const char *path,
    const char *protocol, struct buf *request, ipc_fn *on_done, void *ctx)
{
	struct ipc *ipc = mem_zalloc(sizeof(*ipc));
	int64_t limit_ms = set->ipc_timeout_us / US_PER_MS;
	size_t n = strlen(path);

	CHECK(on_done != NULL);
	if (limit_ms <= 0 || limit_ms > IPC_TIMEOUT_MAX_MS)
		limit_ms = IPC_TIMEOUT_MAX_MS;
	ipc->loop = loop;
	ipc->is_asking = true;
	ipc->fd = -1;
	ipc->protocol = protocol;
	ipc->has_greeting = version_has_greetings(set->mail_version);
	ipc->on_done = on_done;
	ipc->ctx = ctx;
	ipc->timer = loop_timer_new(loop, on_timer, ipc);
	ipc->deadline_ms = loop_now_ms(loop) + limit_ms;
	ipc->request = *request;
	buf_init(request, request->max);
	attr_reader_init(&ipc->reply, REPLY_BYTES_MAX, REPLY_PAIRS_MAX);
	ipc->address.sun_family = AF_UNIX;
	if (n >= sizeof(ipc->address.sun_path)) {
		memcpy(ipc->address.sun_path, path,
		    sizeof(ipc->address.sun_path) - 1);
		fail(ipc, "name too long for a socket");
	} else if (!buf_ok(&ipc->request)) {
		memcpy(ipc->address.sun_path, path, n);
		fail(ipc, "request too large");
	} else {
		memcpy(ipc->address.sun_path, path, n);
		try_connect(ipc);
	}
	ipc->is_asking = false;
	return ipc;
}
