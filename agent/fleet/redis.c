#include "agent/fleet/redis.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "agent/io/tls_client.h"
#include "common/base/buf.h"
#include "common/base/log.h"
#include "common/base/mem.h"

enum { READ_SIZE = 4096, SHA_DIGITS = 40 };

enum redis_state {
	REDIS_IDLE,
	REDIS_RESOLVING,
	REDIS_CONNECTING,
	REDIS_SECURING,
	REDIS_GREETING,
	REDIS_READY,
};

#define TO(state) (1U << REDIS_##state)

static const unsigned moves[] = {
    [REDIS_IDLE] = TO(RESOLVING) | TO(CONNECTING),
    [REDIS_RESOLVING] = TO(CONNECTING) | TO(IDLE),
    [REDIS_CONNECTING] = TO(SECURING) | TO(GREETING) | TO(IDLE),
    [REDIS_SECURING] = TO(GREETING) | TO(IDLE),
    [REDIS_GREETING] = TO(READY) | TO(IDLE),
    [REDIS_READY] = TO(GREETING) | TO(IDLE),
};

struct redis {
	struct loop *loop;
	struct resolver *resolver;
	const struct fleet_access *access;
	const char *script;
	const struct redis_ops *ops;
	void *ctx;
	enum redis_state state; /* written by set_state() */
	struct resolver_query *query;
	int fd;
	struct loop_fd *watch;
	struct tls_client *tls; /* NULL: none is wanted, or not yet */
	redisReader *reader;
	struct buf out;
	size_t unread; /* octets since the last whole reply */
	size_t awaited; /* replies */
	size_t greeting; /* of them, those to our own commands: the first */
	bool is_auth; /* the first of these is AUTH's */
	int64_t since_ms; /* of this step, or of the last reply */
	char sha[SHA_DIGITS + 1];
};

static void
set_state(struct redis *r, enum redis_state state)
{
	CHECK((moves[r->state] & (1U << state)) != 0);
	r->state = state;
	r->since_ms = loop_now_ms(r->loop);
}

/* ---- the end of a connection ----------------------------------------------
 */

static void
close_all(struct redis *r)
{
	resolver_cancel(&r->query);
	if (r->watch != NULL)
		loop_unwatch(&r->watch);
	tls_client_free(&r->tls);
	if (r->fd >= 0)
		(void)close(r->fd);
	r->fd = -1;
	if (r->reader != NULL)
		redisReaderFree(r->reader);
	r->reader = NULL;
	buf_wipe(&r->out);
	r->unread = r->awaited = r->greeting = 0;
}

static void
lose(struct redis *r, const char *what, const char *why)
{
	char text[REDIS_WHY_SIZE];

	(void)snprintf(
	    text, sizeof(text), "%s%s%s", what, *what != '\0' ? ": " : "", why);
	log_safe(text, strlen(text));
	close_all(r);
	if (r->state != REDIS_IDLE)
		set_state(r, REDIS_IDLE);
	r->ops->on_lost(r->ctx, text);
}

void
redis_give_up(struct redis *r, const char *why)
{
	if (r->state != REDIS_IDLE)
		lose(r, "", why);
}

/* ---- what is written -------------------------------------------------------
 */

static void
want_io(struct redis *r)
{
	loop_want(r->watch, true, buf_len(&r->out) > 0);
}

static ssize_t
send_some(struct redis *r, struct slice s)
{
	return r->tls != NULL ? tls_client_write(r->tls, s.p, s.n)
			      : send(r->fd, s.p, s.n, MSG_NOSIGNAL);
}

/* Of the last recv() or send(). */
static void
lose_io(struct redis *r, int error)
{
	lose(r, "", r->tls != NULL ? tls_client_why(r->tls) : strerror(error));
}

/* False: the connection is over. */
static bool
write_out(struct redis *r)
{
	while (buf_len(&r->out) > 0) {
		struct slice s = buf_slice(&r->out);
		ssize_t n = send_some(r, s);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK))
			break;
		if (n <= 0) {
			lose_io(r, errno);
			return false;
		}
		buf_consume(&r->out, (size_t)n);
	}
	want_io(r);
	return true;
}

static void
put(struct redis *r, int argc, const char **argv)
{
	char *command = NULL;
	/* an int until hiredis 1.0, then a long long */
	long long n = redisFormatCommandArgv(&command, argc, argv, NULL);

	CHECK(n > 0 && command != NULL);
	(void)buf_add_secret(&r->out, slice_of(command, (size_t)n));
	mem_wipe(command, (size_t)n);
	redisFreeCommand(command);
	if (r->awaited++ == 0)
		r->since_ms = loop_now_ms(r->loop);
}

static void
put_load(struct redis *r)
{
	const char *load[] = {"SCRIPT", "LOAD", r->script};

	put(r, 3, load);
	r->greeting++;
}

static void
put_auth(struct redis *r)
{
	const struct fleet_access *c = r->access;
	const char *auth[] = {"AUTH", c->user, c->password};

	r->is_auth = c->password[0] != '\0';
	if (!r->is_auth)
		return;
	if (c->user[0] == '\0')
		auth[1] = c->password;
	put(r, c->user[0] == '\0' ? 2 : 3, auth);
	r->greeting++;
}

/* ---- what is read
 * ------------------------------------------------------------ */

static bool
is_sha(const redisReply *reply)
{
	return (reply->type == REDIS_REPLY_STRING ||
		   reply->type == REDIS_REPLY_STATUS) &&
	       strlen(reply->str) == SHA_DIGITS &&
	       strspn(reply->str, "0123456789abcdef") == SHA_DIGITS;
}

/* False: the connection is over. */
static bool
on_greeting(struct redis *r, const redisReply *reply)
{
	const char *what = r->is_auth ? "AUTH" : "SCRIPT LOAD";

	if (reply->type == REDIS_REPLY_ERROR) {
		lose(r, what, reply->str);
		return false;
	}
	if (r->is_auth) {
		r->is_auth = false;
		return true;
	}
	if (!is_sha(reply)) {
		lose(r, what, "unexpected reply");
		return false;
	}
	(void)snprintf(r->sha, sizeof(r->sha), "%s", reply->str);
	return true;
}

/* False: the connection is over. */
static bool
take(struct redis *r, redisReply *reply)
{
	if (reply->type == REDIS_REPLY_ERROR)
		fleet_access_hide(r->access, reply->str);
	if (r->awaited == 0) {
		lose(r, "", "unexpected reply");
		return false;
	}
	r->awaited--;
	r->unread = 0;
	r->since_ms = loop_now_ms(r->loop);
	if (r->greeting == 0) {
		r->ops->on_reply(r->ctx, reply);
		return r->fd >= 0;
	}
	if (!on_greeting(r, reply))
		return false;
	if (--r->greeting == 0) {
		set_state(r, REDIS_READY);
		r->ops->on_ready(r->ctx);
	}
	return r->fd >= 0;
}

/* False: the connection is over. */
static bool
feed(struct redis *r, const char *p, size_t n)
{
	void *reply = NULL;
	bool goes_on = true;

	r->unread += n;
	if (redisReaderFeed(r->reader, p, n) != REDIS_OK) {
		lose(r, "no reply", r->reader->errstr);
		return false;
	}
	while (goes_on) {
		if (redisReaderGetReply(r->reader, &reply) != REDIS_OK) {
			lose(r, "no reply", r->reader->errstr);
			return false;
		}
		if (reply == NULL)
			break;
		goes_on = take(r, reply);
		freeReplyObject(reply);
	}
	if (goes_on && r->unread > REDIS_REPLY_MAX) {
		lose(r, "", "a reply that is too long");
		return false;
	}
	return goes_on;
}

/* False: there is no more now, or the connection is over. */
static bool
read_some(struct redis *r)
{
	char octets[READ_SIZE];
	ssize_t n = r->tls != NULL
			? tls_client_read(r->tls, octets, sizeof(octets))
			: recv(r->fd, octets, sizeof(octets), 0);

	if (n > 0)
		return feed(r, octets, (size_t)n);
	if (n == 0)
		lose(r, "", "closed by the server");
	else if (errno != EINTR && errno != EAGAIN && errno != EWOULDBLOCK)
		lose_io(r, errno);
	return false;
}

/* A record of TLS is read as a whole: what is left of it wakes nobody. */
static void
read_in(struct redis *r)
{
	while (read_some(r) && r->tls != NULL)
		continue;
}

/* An array's size is a number that the peer said: memory for it comes before
 * its elements. And what is within it is freed by a function that calls itself.
 */
#if HIREDIS_MAJOR >= 1
typedef size_t array_size;
#else
typedef int array_size;
#endif

static redisReplyObjectFunctions functions;
static void *(*create_array)(const redisReadTask *task, array_size elements);

static void *
create_small_array(const redisReadTask *task, array_size elements)
{
	int depth = 1;

	for (const redisReadTask *t = task->parent; t != NULL; t = t->parent)
		depth++;
	return elements > (array_size)REDIS_ELEMENTS_MAX ||
		       depth > REDIS_DEPTH_MAX
		   ? NULL
		   : create_array(task, elements);
}

static redisReader *
new_reader(void)
{
	redisReader *reader = redisReaderCreate();

	if (reader == NULL)
		log_fatal("out of memory");
	if (create_array == NULL) {
		functions = *reader->fn;
		create_array = functions.createArray;
		functions.createArray = create_small_array;
	}
	reader->fn = &functions;
	return reader;
}

/* ---- the way there
 * ----------------------------------------------------------- */

static void
greet(struct redis *r)
{
	r->reader = new_reader();
	set_state(r, REDIS_GREETING);
	put_auth(r);
	put_load(r);
	(void)write_out(r);
}

static void
secure(struct redis *r)
{
	enum tls_step step = tls_client_greet(r->tls);

	if (step == TLS_STEP_DONE)
		greet(r);
	else if (step == TLS_STEP_FAILED)
		lose(r, "connect", tls_client_why(r->tls));
	else
		loop_want(
		    r->watch, step == TLS_STEP_READ, step == TLS_STEP_WRITE);
}

static void
on_connected(struct redis *r)
{
	int error = 0;
	socklen_t n = sizeof(error);

	if (getsockopt(r->fd, SOL_SOCKET, SO_ERROR, &error, &n) != 0)
		error = errno;
	if (error != 0) {
		lose(r, "connect", strerror(error));
		return;
	}
	if (!r->access->is_tls) {
		greet(r);
		return;
	}
	r->tls =
	    tls_client_begin(r->access->authorities, r->fd, r->access->host);
	set_state(r, REDIS_SECURING);
	secure(r);
}

static void
on_io(void *ctx, bool readable, bool writable)
{
	struct redis *r = ctx;

	if (r->state == REDIS_CONNECTING) {
		if (writable || readable)
			on_connected(r);
		return;
	}
	if (r->state == REDIS_SECURING) {
		secure(r);
		return;
	}
	if (writable && !write_out(r))
		return;
	if (readable)
		read_in(r);
}

static void
dial(struct redis *r, const struct sockaddr *addr, socklen_t size)
{
	int on = 1;

	set_state(r, REDIS_CONNECTING);
	r->fd = socket(
	    addr->sa_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (r->fd < 0) {
		lose(r, "socket", strerror(errno));
		return;
	}
	if (addr->sa_family != AF_UNIX)
		(void)setsockopt(
		    r->fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
	if (connect(r->fd, addr, size) != 0 && errno != EINPROGRESS) {
		lose(r, "connect", strerror(errno));
		return;
	}
	r->watch = loop_watch(r->loop, r->fd, on_io, r);
	loop_want(r->watch, false, true);
}

static void
dial_path(struct redis *r)
{
	struct sockaddr_un sun = {.sun_family = AF_UNIX};

	CHECK(strlen(r->access->path) < sizeof(sun.sun_path));
	memcpy(sun.sun_path, r->access->path, strlen(r->access->path));
	dial(r, (const struct sockaddr *)&sun, sizeof(sun));
}

static void
dial_address(struct redis *r, struct sockaddr_storage *addr)
{
	in_port_t port = htons((uint16_t)r->access->port);
	struct sockaddr_in6 *in6 = (struct sockaddr_in6 *)addr;
	struct sockaddr_in *in = (struct sockaddr_in *)addr;

	if (addr->ss_family == AF_INET6)
		in6->sin6_port = port;
	else
		in->sin_port = port;
	dial(r, (const struct sockaddr *)addr,
	    addr->ss_family == AF_INET6 ? sizeof(*in6) : sizeof(*in));
}

static bool
is_numeric(const char *host, struct sockaddr_storage *out)
{
	struct sockaddr_in6 *in6 = (struct sockaddr_in6 *)out;
	struct sockaddr_in *in = (struct sockaddr_in *)out;

	memset(out, 0, sizeof(*out));
	if (inet_pton(AF_INET, host, &in->sin_addr) == 1) {
		in->sin_family = AF_INET;
		return true;
	}
	in6->sin6_family = AF_INET6;
	return inet_pton(AF_INET6, host, &in6->sin6_addr) == 1;
}

static void
on_addrs(void *ctx, const struct resolver_answer *answer)
{
	struct redis *r = ctx;

	r->query = NULL;
	if (answer->status != RESOLVER_OK || answer->count == 0)
		lose(r, r->access->host, answer->reason);
	else
		dial_address(r, &answer->addrs[0]);
}

static void
begin(struct redis *r)
{
	struct sockaddr_storage addr;

	if (r->access->path[0] != '\0') {
		dial_path(r);
	} else if (is_numeric(r->access->host, &addr)) {
		dial_address(r, &addr);
	} else {
		set_state(r, REDIS_RESOLVING);
		r->query =
		    resolver_addrs(r->resolver, r->access->host, on_addrs, r);
	}
}

/* ---- face
 * ---------------------------------------------------------------------- */

struct redis *
redis_new(struct loop *loop, struct resolver *resolver,
    const struct fleet_access *access, const char *script,
    const struct redis_ops *ops, void *ctx)
{
	struct redis *r = mem_zalloc(sizeof(*r));

	*r = (struct redis){
	    .loop = loop,
	    .resolver = resolver,
	    .access = access,
	    .script = script,
	    .ops = ops,
	    .ctx = ctx,
	    .fd = -1,
	};
	buf_init(&r->out, REDIS_OUT_MAX);
	return r;
}

void
redis_free(struct redis **redis)
{
	struct redis *r = *redis;

	*redis = NULL;
	if (r == NULL)
		return;
	close_all(r);
	buf_fini_secret(&r->out);
	mem_free(r);
}

void
redis_look(struct redis *r, int64_t now_ms)
{
	if (r->state == REDIS_IDLE)
		begin(r);
	else if ((r->state != REDIS_READY || r->awaited > 0) &&
		 now_ms - r->since_ms > REDIS_STEP_MS)
		lose(r, "",
		    r->state < REDIS_GREETING ? "no connection in time"
					      : "no answer in time");
	else if (!buf_ok(&r->out))
		lose(r, "", "does not read what is sent");
}

bool
redis_is_ready(const struct redis *r)
{
	return r->state == REDIS_READY;
}

const char *
redis_sha(const struct redis *r)
{
	return r->sha;
}

void
redis_send(struct redis *r, int argc, const char **argv)
{
	CHECK(r->state == REDIS_READY);
	put(r, argc, argv);
}

void
redis_flush(struct redis *r)
{
	if (r->state == REDIS_READY)
		(void)write_out(r);
}

void
redis_reload(struct redis *r)
{
	/* Replies to what was sent before come first. */
	if (r->state != REDIS_READY || r->awaited > 0)
		return;
	set_state(r, REDIS_GREETING);
	put_load(r);
	(void)write_out(r);
}
