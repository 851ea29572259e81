/* Exchange with the queue manager, one connection per request:
 *
 *   <- connect
 *   -> protocol=delivery_request_protocol      (3.5 and before: status=0)
 *   <- common list, then one list per recipient
 *   -> status= .. reason= status=N             the final status, EOF
 *
 * smtp(8) waits for the queue manager to hang up, for systems whose sockets
 * lose what was written when they are closed at once
 * (deliver_request_final(3)); here they do not.
 */
#include "agent/postfix/intake.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include "agent/engine/message.h"
#include "agent/io/crowd.h"
#include "agent/postfix/queuefile.h"
#include "common/base/clock.h"
#include "common/base/list.h"
#include "common/base/log.h"
#include "common/base/mem.h"
#include "common/postfix/attr.h"
#include "common/postfix/queueid.h"
#include "common/postfix/version.h"

enum {
	ACCEPT_BATCH = 64, /* connections taken in one turn */
	READ_SIZE = 4096, /* some recipients; zeroed each time */
	LIST_BYTES_MAX = 1 << 20,
	LIST_PAIRS_MAX = 64,
	STATUS_BYTES_MAX = 16384,
	PATH_BYTES_MAX = 1024,
	SPARE_MAX = 512, /* and one for so many requests: */
	SPARE_PART = 16,
	SHORTAGE_REST_MS = 1000, /* when descriptors have run out */
	SHORTAGE_WARN_MS = 60000,
	ASK_AGAIN_MS = 10, /* not more often, whatever may_greet says */
};

enum conn_state {
	CONN_HELD, /* accepted, no descriptor for its file yet */
	CONN_READING, /* greeted, request not complete */
	CONN_WORKING,
	CONN_STATES,
};

struct conn {
	struct list link; /* in intake->conns[state] */
	struct intake *intake;
	int fd; /* -1: the queue manager has hung up */
	int reserved_fd; /* keeps a descriptor free for the file */
	enum conn_state state;
	int64_t since_ms; /* in this state */
	struct attr_reader *list; /* only while reading */
	struct request *req;
	struct queuefile file;
};

struct intake {
	struct loop *loop;
	const struct settings *set;
	const struct intake_ops *ops;
	void *ctx;
	const struct rewriting_rules *rules;
	int listen_fd;
	struct loop_fd *listen_watch; /* NULL after intake_stop() */
	struct crowd *crowd; /* the connections */
	struct loop_timer *accept_timer, *hello_timer;
	/* Reserved descriptors that nobody needs just now. */
	int spare[SPARE_MAX];
	size_t spare_count, spare_most;
	struct list conns[CONN_STATES]; /* oldest first */
	size_t counts[CONN_STATES], most;
	bool has_accepted, is_greeting;
	bool is_holding; /* somebody may wait to be accepted */
	bool is_resting; /* for want of descriptors */
	int64_t held_since_ms;
	int64_t warned_ms; /* last warning of a shortage */
};

static void
set_state(struct conn *c, enum conn_state state)
{
	struct intake *intake = c->intake;

	/* Only onwards. */
	CHECK(list_is_linked(&c->link) ? state > c->state : state == CONN_HELD);
	if (list_is_linked(&c->link)) {
		list_remove(&c->link);
		intake->counts[c->state]--;
	}
	c->state = state;
	c->since_ms = loop_now_ms(intake->loop);
	list_push(&intake->conns[state], &c->link);
	intake->counts[state]++;
}

static void
close_fd(int *fd)
{
	if (*fd >= 0)
		(void)close(*fd);
	*fd = -1;
}

/* ---- reserved descriptors ---- */

static int
take_spare(struct intake *intake)
{
	if (intake->spare_count > 0)
		return intake->spare[--intake->spare_count];
	return eventfd(0, EFD_CLOEXEC);
}

static void
give_spare(struct intake *intake, int *fd)
{
	if (*fd < 0 || intake->spare_count >= intake->spare_most) {
		close_fd(fd);
		return;
	}
	intake->spare[intake->spare_count++] = *fd;
	*fd = -1;
}

static void
close_spare(struct intake *intake)
{
	while (intake->spare_count > 0)
		close_fd(&intake->spare[--intake->spare_count]);
}

static size_t
connections(const struct intake *intake)
{
	size_t all = 0;

	for (int i = 0; i < CONN_STATES; i++)
		all += intake->counts[i];
	return all;
}

static void
stop_reading(struct conn *c)
{
	if (c->list == NULL)
		return;
	attr_reader_fini(c->list);
	mem_free(c->list);
	c->list = NULL;
}

static void
hang_up(struct conn *c)
{
	crowd_close(c->intake->crowd, &c->fd);
}

/* The memory goes at the end of the turn: callers may be up the stack. */
static void
conn_close(struct conn *c)
{
	CHECK(c->intake->counts[c->state] > 0);
	list_remove(&c->link);
	c->intake->counts[c->state]--;
	hang_up(c);
	give_spare(c->intake, &c->reserved_fd);
	stop_reading(c);
	request_free(&c->req);
	queuefile_close(&c->file);
	/* Another one may come. */
	if (connections(c->intake) + 1 == c->intake->most)
		loop_timer_at(c->intake->hello_timer, 0);
	loop_defer(c->intake->loop, mem_free, c);
}

/* One write: the queue manager reads blocking, and would stand still with the
 * whole mail system if it got half. The socket's buffer is empty. */
static bool
send_whole(struct conn *c, struct buf *out)
{
	struct slice all = buf_slice(out);
	ssize_t sent;

	CHECK(buf_ok(out));
	do {
		sent = send(c->fd, all.p, all.n, MSG_NOSIGNAL | MSG_DONTWAIT);
	} while (sent < 0 && errno == EINTR);
	if (sent >= 0 && (size_t)sent == all.n)
		return true;
	if (sent >= 0 || errno != EPIPE)
		log_warn("cannot write to the queue manager: %s",
		    sent >= 0 ? "short write" : strerror(errno));
	return false;
}

/* --- hello --- */

static void
warn_shortage(struct intake *intake, const char *what)
{
	int64_t now_ms = loop_now_ms(intake->loop);

	if (intake->warned_ms != 0 &&
	    now_ms - intake->warned_ms < SHORTAGE_WARN_MS)
		return;
	intake->warned_ms = now_ms;
	log_warn("%s: %m; requests have to wait (%zu are in hand)", what,
	    intake->counts[CONN_WORKING]);
}

static bool
reserve_descriptor(struct conn *c)
{
	if (c->reserved_fd < 0)
		c->reserved_fd = take_spare(c->intake);
	if (c->reserved_fd < 0)
		warn_shortage(c->intake, "no descriptor for a queue file");
	return c->reserved_fd >= 0;
}

static void
greet(struct conn *c)
{
	struct buf hello;

	buf_init(&hello, 64);
	if (version_has_greetings(c->intake->set->mail_version))
		attr_put_str(
		    &hello, "protocol", slice_str("delivery_request_protocol"));
	else
		attr_put_int(&hello, "status", 0);
	attr_put_end(&hello);
	if (send_whole(c, &hello))
		set_state(c, CONN_READING);
	else
		conn_close(c);
	buf_fini(&hello);
}

/* May one more come in? If not, *next_ms_out is when to look again. */
static bool
may_accept(struct intake *intake, int64_t *next_ms_out)
{
	int64_t now_ms = loop_now_ms(intake->loop), until_ms = 0, limit_ms;

	if (connections(intake) >= intake->most) {
		*next_ms_out = INT64_MAX; /* conn_close() asks again */
		return false;
	}
	if (intake->ops->may_greet(intake->ctx, now_ms, &until_ms))
		return true;
	if (intake->listen_watch == NULL)
		return false; /* intake_stop() was the answer */
	if (!intake->is_holding)
		intake->held_since_ms = now_ms;
	intake->is_holding = true;
	limit_ms =
	    intake->held_since_ms + intake->set->lane_wait_limit_us / US_PER_MS;
	if (now_ms >= limit_ms)
		return true;
	if (until_ms > 0 && until_ms < now_ms + ASK_AGAIN_MS)
		until_ms = now_ms + ASK_AGAIN_MS;
	*next_ms_out =
	    until_ms > 0 && until_ms < limit_ms ? until_ms : limit_ms;
	return false;
}

/* Those that lacked a descriptor. false: some still do. */
static bool
greet_held(struct intake *intake)
{
	struct list *first;

	while ((first = list_first(&intake->conns[CONN_HELD])) != NULL) {
		struct conn *c = list_entry(first, struct conn, link);

		if (!reserve_descriptor(c)) {
			loop_timer_at(intake->hello_timer,
			    loop_now_ms(intake->loop) + SHORTAGE_REST_MS);
			return false;
		}
		greet(c);
	}
	return true;
}

static bool accept_next(struct intake *intake);

/* Takes in what may come; the rest stays in the queue of the listening
 * socket, which is master's too: when this process dies the next one greets
 * it. A connection that ended without a hello would make the queue manager
 * suspend the whole transport, and defer all that waits for it. */
void
intake_kick(struct intake *intake)
{
	int64_t next_ms = 0;
	bool is_open = true;

	if (intake->is_greeting)
		return;
	intake->is_greeting = true;
	loop_timer_cancel(intake->hello_timer);
	for (int i = 0; i < ACCEPT_BATCH && is_open; i++) {
		if (!greet_held(intake) || intake->listen_watch == NULL) {
			is_open = false;
		} else if (!may_accept(intake, &next_ms)) {
			if (intake->listen_watch != NULL &&
			    next_ms != INT64_MAX)
				loop_timer_at(intake->hello_timer, next_ms);
			is_open = false;
		} else if (!accept_next(intake)) {
			break;
		}
	}
	if (intake->listen_watch != NULL && !intake->is_resting)
		loop_want(intake->listen_watch, is_open, false);
	intake->is_greeting = false;
}

static void
on_hello_timer(void *ctx)
{
	intake_kick(ctx);
}

/* --- request --- */

/* The descriptor that was put aside is closed for it if there is no other. */
static enum queuefile_result
open_reserved(struct conn *c, const char *path, int64_t *size_out)
{
	enum queuefile_result result = queuefile_open(&c->file, path, size_out);

	if (result == QUEUEFILE_ERROR && errno == EMFILE) {
		close_fd(&c->reserved_fd);
		result = queuefile_open(&c->file, path, size_out);
	}
	give_spare(c->intake, &c->reserved_fd);
	return result;
}

static bool
open_file(struct conn *c)
{
	const struct settings *set = c->intake->set;
	struct request *req = c->req;
	enum queuefile_result result = QUEUEFILE_ERROR;
	struct record_source source = {queuefile_read_at, &c->file, 0};
	struct buf path;

	buf_init(&path, PATH_BYTES_MAX);
	errno = EINVAL;
	if (queueid_path(&path, req->queue_name, req->queue_id,
		set->hash_queue_names, set->hash_queue_depth))
		result = open_reserved(c, buf_str(&path), &source.size);
	if (result == QUEUEFILE_ERROR)
		log_warn(
		    "%s: cannot open %s: %m", req->queue_id, buf_str(&path));
	else if (result != QUEUEFILE_OK)
		log_warn("%s: cannot open %s: %s", req->queue_id,
		    buf_str(&path), queuefile_result_text(result));
	else if (!request_is_probe(req))
		req->message = message_new(
		    source, req->content_off, set->smtp_line_length_limit);
	req->rules = c->intake->rules;
	if (req->message != NULL)
		message_set_rules(req->message, req->rules, req->queue_id);
	buf_fini(&path);
	return result == QUEUEFILE_OK;
}

static void
on_complete(struct conn *c)
{
	struct intake *intake = c->intake;
	struct request *req = c->req;

	CHECK(c->state == CONN_READING && request_is_complete(req));
	stop_reading(c);
	req->owner = c;
	req->received_us = loop_now_us(intake->loop);
	req->deadline_us =
	    req->received_us + intake->set->lane_request_limit_us;
	set_state(c, CONN_WORKING);
	if (open_file(c)) {
		intake->ops->on_request(intake->ctx, req);
	} else {
		req->must_retry = true;
		intake_finish(intake, req);
	}
}

/* A list has been read. False when the request is malformed. */
static bool
on_list(struct conn *c, const char **why_out)
{
	if (c->req == NULL) {
		c->req = request_new(c->list, clock_wall(),
		    loop_now_us(c->intake->loop), why_out);
		return c->req != NULL;
	}
	return request_add_rcpt(c->req, c->list, why_out);
}

/* Greeted, and no request came of it. */
static void
leave(struct conn *c)
{
	struct intake *intake = c->intake;

	conn_close(c);
	if (intake->ops->on_left != NULL)
		intake->ops->on_left(intake->ctx);
}

static void
refuse(struct conn *c, const char *why)
{
	log_warn("%s: malformed request from the queue manager: %s",
	    c->req != NULL ? c->req->queue_id : "noqueue", why);
	leave(c);
}

static void
on_request_octets(struct conn *c, const char *p, size_t n)
{
	const char *why = "malformed attribute list";
	size_t used;

	while (n > 0) {
		switch (attr_reader_feed(c->list, p, n, &used)) {
		case ATTR_MORE:
			return;
		case ATTR_BAD:
			refuse(c, why);
			return;
		case ATTR_LIST:
			p += used;
			n -= used;
			if (!on_list(c, &why)) {
				refuse(c, why);
				return;
			}
			break;
		}
		if (request_is_complete(c->req)) {
			/* What follows is nothing that we know of. */
			on_complete(c);
			return;
		}
	}
}

static void
on_octets(struct conn *c, const char *p, size_t n)
{
	switch (c->state) {
	case CONN_HELD:
		log_warn("the queue manager sent a request before the hello");
		conn_close(c);
		break;
	case CONN_READING:
		if (c->list == NULL) {
			c->list = mem_alloc(sizeof(*c->list));
			attr_reader_init(
			    c->list, LIST_BYTES_MAX, LIST_PAIRS_MAX);
		}
		on_request_octets(c, p, n);
		break;
	case CONN_WORKING:
	case CONN_STATES:
		log_debug("ignored %zu octets from the queue manager", n);
		break;
	}
}

/* The queue manager has closed the connection, or was stopped. */
static void
on_eof(struct conn *c)
{
	struct intake *intake = c->intake;

	switch (c->state) {
	case CONN_READING: /* it found nothing left to do: normal */
		leave(c);
		break;
	case CONN_HELD:
	case CONN_STATES:
		conn_close(c);
		break;
	case CONN_WORKING:
		hang_up(c);
		if (intake->ops->on_hangup(intake->ctx, c->req))
			conn_close(c);
		break;
	}
}

static void
on_readable(void *ctx)
{
	struct conn *c = ctx;
	char octets[READ_SIZE];
	ssize_t n;

	n = recv(c->fd, octets, sizeof(octets), MSG_DONTWAIT);
	if (n > 0)
		on_octets(c, octets, (size_t)n);
	else if (n == 0 || (errno != EAGAIN && errno != EINTR))
		on_eof(c);
}

/* --- accept --- */

static void
accept_pause(struct intake *intake)
{
	close_spare(intake);
	warn_shortage(intake, "cannot accept a connection");
	intake->is_resting = true;
	loop_want(intake->listen_watch, false, false);
	loop_timer_at(
	    intake->accept_timer, loop_now_ms(intake->loop) + SHORTAGE_REST_MS);
}

static void
on_accept_timer(void *ctx)
{
	struct intake *intake = ctx;

	intake->is_resting = false;
	if (intake->listen_watch != NULL)
		loop_want(intake->listen_watch, true, false);
}

static void
accept_one(struct intake *intake, int fd)
{
	struct conn *c = mem_zalloc(sizeof(*c));

	c->intake = intake;
	c->fd = fd;
	c->reserved_fd = -1;
	c->file.fd = -1;
	list_init(&c->link);
	crowd_add(intake->crowd, fd, c);
	set_state(c, CONN_HELD);
	if (!intake->has_accepted) {
		intake->has_accepted = true;
		intake->ops->on_first_accept(intake->ctx);
	}
}

/* One connection; false: there is none. Other processes may share the socket,
 * so finding nothing is normal. */
static bool
accept_next(struct intake *intake)
{
	int fd;

	if (intake->is_resting)
		return false;
	do {
		fd = accept4(intake->listen_fd, NULL, NULL,
		    SOCK_NONBLOCK | SOCK_CLOEXEC);
	} while (fd < 0 && (errno == EINTR || errno == ECONNABORTED));
	if (fd >= 0) {
		accept_one(intake, fd);
		(void)greet_held(intake);
		return true;
	}
	if (errno == EAGAIN)
		intake->is_holding = false;
	else
		accept_pause(intake);
	return false;
}

static void
on_connection(void *ctx, bool readable, bool writable)
{
	(void)readable;
	(void)writable;
	intake_kick(ctx);
}

/* --- final status --- */

static void
put_status(struct buf *out, const struct request *req)
{
	const struct dsn *hop = req->hop;
	const char *mta = hop != NULL && req->hop_mta ? req->hop_mta : "";

	attr_put_str(out, "status", slice_str(hop ? hop->status : ""));
	attr_put_str(out, "diag_type", slice_str(""));
	attr_put_str(out, "diag_text", slice_str(""));
	attr_put_str(out, "mta_type", slice_str(mta[0] ? "dns" : ""));
	attr_put_str(out, "mta_mname", slice_str(mta));
	attr_put_str(out, "action", slice_str(""));
	attr_put_str(out, "reason", slice_str(hop ? hop->text : ""));
	attr_put_int(out, "status", req->must_retry ? -1 : 0);
	attr_put_end(out);
}

void
intake_finish(struct intake *intake, struct request *req)
{
	struct conn *c = req->owner;
	struct buf status;

	CHECK(c->intake == intake && c->req == req);
	CHECK(c->state == CONN_WORKING);
	buf_init(&status, STATUS_BYTES_MAX);
	put_status(&status, req);
	request_free(&c->req);
	/* Before the queue manager knows: it may open the file at once, and one
	 * that it finds locked waits in incoming/ for a minute and then for the
	 * next look there, five minutes apart. All that this process had to say
	 * in the file is said. */
	queuefile_close(&c->file);
	if (c->fd >= 0)
		(void)send_whole(c, &status);
	conn_close(c);
	buf_fini(&status);
}

bool
intake_mark(void *ctx, struct request *req, int64_t offset)
{
	struct conn *c = req->owner;
	const char *why;

	(void)ctx;
	CHECK(c->req == req && c->state == CONN_WORKING);
	why = queuefile_mark(&c->file, offset);
	if (why != NULL)
		log_warn("%s: cannot mark the recipient at offset %lld as "
			 "done: %s -- message may be sent more than once",
		    req->queue_id, (long long)offset, why);
	return why == NULL;
}

void
intake_mark_corrupt(struct request *req)
{
	struct conn *c = req->owner;
	const char *why;

	CHECK(c->req == req && c->state == CONN_WORKING);
	req->must_retry = true;
	log_warn("corrupted queue file: %s/%s", req->queue_name, req->queue_id);
	why = queuefile_mark_corrupt(&c->file);
	if (why != NULL)
		log_warn("%s: cannot mark the queue file as corrupt: %s",
		    req->queue_id, why);
}

/* --- life --- */

struct intake *
intake_new(struct loop *loop, const struct settings *set, int listen_fd,
    const struct intake_ops *ops, void *ctx)
{
	struct intake *intake = mem_zalloc(sizeof(*intake));

	CHECK(ops->may_greet != NULL && ops->on_request != NULL);
	CHECK(ops->on_hangup != NULL && ops->on_first_accept != NULL);
	intake->loop = loop;
	intake->set = set;
	intake->ops = ops;
	intake->ctx = ctx;
	intake->listen_fd = listen_fd;
	intake->most = SIZE_MAX;
	intake->spare_most = SPARE_MAX;
	for (int i = 0; i < CONN_STATES; i++)
		list_init(&intake->conns[i]);
	intake->crowd = crowd_new(loop, on_readable);
	intake->accept_timer = loop_timer_new(loop, on_accept_timer, intake);
	intake->hello_timer = loop_timer_new(loop, on_hello_timer, intake);
	intake->listen_watch =
	    loop_watch(loop, listen_fd, on_connection, intake);
	loop_want(intake->listen_watch, true, false);
	return intake;
}

void
intake_rewrite(struct intake *intake, const struct rewriting_rules *rules)
{
	intake->rules = rules;
}

void
intake_limit(struct intake *intake, size_t most)
{
	CHECK(most > 0);
	intake->most = most;
	intake->spare_most =
	    most / SPARE_PART < SPARE_MAX ? most / SPARE_PART : SPARE_MAX;
}

void
intake_free(struct intake **intake)
{
	struct intake *old = *intake;
	struct list *link;

	*intake = NULL;
	if (old == NULL)
		return;
	for (int i = 0; i < CONN_STATES; i++)
		while ((link = list_first(&old->conns[i])) != NULL)
			conn_close(list_entry(link, struct conn, link));
	intake_stop(old);
	crowd_free(&old->crowd);
	loop_timer_free(&old->accept_timer);
	loop_timer_free(&old->hello_timer);
	close_spare(old);
	mem_free(old);
}

void
intake_share(struct intake *intake)
{
	crowd_share(intake->crowd);
}

void
intake_stop(struct intake *intake)
{
	loop_unwatch(&intake->listen_watch);
	loop_timer_cancel(intake->accept_timer);
	intake->is_holding = false;
}

void
intake_release_unsent(struct intake *intake)
{
	struct list *working = &intake->conns[CONN_WORKING];
	size_t count = intake->counts[CONN_WORKING];
	struct list *first;

	/* Turned round one by one, since a callback may finish any of them;
	 * to ask twice does no harm. */
	for (; count > 0 && (first = list_pop(working)) != NULL; count--) {
		struct conn *c = list_entry(first, struct conn, link);
		struct request *req = c->req;

		list_push(working, first);
		if (intake->ops->on_hangup(intake->ctx, req)) {
			req->must_retry = true;
			intake_finish(intake, req);
		}
	}
}

size_t
intake_waiting(const struct intake *intake)
{
	return intake->counts[CONN_HELD] + (intake->is_holding ? 1 : 0);
}

size_t
intake_greeted(const struct intake *intake)
{
	return intake->counts[CONN_READING];
}

size_t
intake_working(const struct intake *intake)
{
	return intake->counts[CONN_WORKING];
}

void
intake_each(const struct intake *intake, struct slice queue_id,
    void (*fn)(void *ctx, const struct request *req), void *ctx)
{
	const struct list *working = &intake->conns[CONN_WORKING];

	for (const struct list *l = working->next; l != working; l = l->next) {
		const struct conn *c =
		    (const struct conn *)((const char *)l -
					  offsetof(struct conn, link));

		if (c->req != NULL && slice_eq(queue_id, c->req->queue_id))
			fn(ctx, c->req);
	}
}
