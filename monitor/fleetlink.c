#include "monitor/fleetlink.h"

#include <errno.h>
#include <netdb.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "agent/io/tls_client.h"
#include "agent/settings/config.h"
#include "common/base/clock.h"
#include "common/base/log.h"
#include "common/base/mem.h"

enum {
	WAIT_S = 3,
	READ_SIZE = 16384,
	READS_MAX = 256, /* a fleet has not that much to say */
};

static void
note(char out[FLEETLINK_WHY_SIZE], const char *what, const char *why)
{
	(void)snprintf(out, FLEETLINK_WHY_SIZE, "%s%s%s", what,
	    *what != '\0' ? ": " : "", why);
	log_safe(out, strlen(out));
}

static void
close_all(struct fleetlink *l)
{
	tls_client_free(&l->tls);
	if (l->reader != NULL)
		redisReaderFree(l->reader);
	l->reader = NULL;
	if (l->fd >= 0)
		(void)close(l->fd);
	l->fd = -1;
}

/* The connection is over. */
static bool
lose(struct fleetlink *l, const char *what, const char *why)
{
	note(l->why, what, why);
	close_all(l);
	return false;
}

/* ---- the way there ------------------------------------------------------- */

static int64_t
end_of_wait(void)
{
	return clock_mono_ms() + INT64_C(1000) * WAIT_S;
}

/* False with errno: ETIMEDOUT, if nothing happened by then. */
static bool
await(int fd, short events, int64_t end_ms)
{
	for (;;) {
		struct pollfd p = {.fd = fd, .events = events};
		int64_t left_ms = end_ms - clock_mono_ms();
		int n = left_ms > 0 ? poll(&p, 1, (int)left_ms) : 0;

		if (n > 0)
			return true;
		if (n == 0)
			errno = ETIMEDOUT;
		if (n == 0 || errno != EINTR)
			return false;
	}
}

static const char *
in_words(int error)
{
	return error == ETIMEDOUT ? "no answer in time" : strerror(error);
}

/* 0 or errno. */
static int
dial(struct fleetlink *l, const struct sockaddr *addr, socklen_t size,
    int64_t end_ms)
{
	int error = 0;
	socklen_t n = sizeof(error);

	l->fd = socket(
	    addr->sa_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (l->fd < 0)
		return errno;
	if (connect(l->fd, addr, size) == 0)
		return 0;
	if (errno != EINPROGRESS || !await(l->fd, POLLOUT, end_ms))
		return errno;
	if (getsockopt(l->fd, SOL_SOCKET, SO_ERROR, &error, &n) != 0)
		return errno;
	return error;
}

static bool
dial_path(struct fleetlink *l, const char *path)
{
	struct sockaddr_un sun = {.sun_family = AF_UNIX};
	int error;

	(void)snprintf(sun.sun_path, sizeof(sun.sun_path), "%s", path);
	error =
	    dial(l, (const struct sockaddr *)&sun, sizeof(sun), end_of_wait());
	return error == 0 || lose(l, "connect", in_words(error));
}

/* Each of its addresses, in one time. */
static bool
dial_host(struct fleetlink *l, const struct fleet_access *a)
{
	struct addrinfo hints = {.ai_socktype = SOCK_STREAM}, *all = NULL;
	int64_t end_ms = end_of_wait();
	int error = EADDRNOTAVAIL, result;
	char port[16];

	(void)snprintf(port, sizeof(port), "%d", a->port);
	result = getaddrinfo(a->host, port, &hints, &all);
	if (result != 0)
		return lose(l, a->host, gai_strerror(result));
	for (const struct addrinfo *i = all; i != NULL; i = i->ai_next) {
		error = dial(l, i->ai_addr, i->ai_addrlen, end_ms);
		if (error == 0)
			break;
		close_all(l);
	}
	freeaddrinfo(all);
	return error == 0 || lose(l, "connect", in_words(error));
}

static bool
secure(struct fleetlink *l, const struct fleet_access *a)
{
	int64_t end_ms = end_of_wait();
	enum tls_step step;

	l->tls = tls_client_begin(l->authorities, l->fd, a->host);
	while ((step = tls_client_greet(l->tls)) != TLS_STEP_DONE) {
		if (step == TLS_STEP_FAILED)
			return lose(l, "connect", tls_client_why(l->tls));
		if (!await(l->fd, step == TLS_STEP_READ ? POLLIN : POLLOUT,
			end_ms))
			return lose(l, "connect", in_words(errno));
	}
	return true;
}

static bool
connect_to(struct fleetlink *l, const struct fleet_access *a)
{
	bool is_there =
	    a->path[0] != '\0' ? dial_path(l, a->path) : dial_host(l, a);

	if (!is_there || (a->is_tls && !secure(l, a)))
		return false;
	l->reader = redisReaderCreate();
	return l->reader != NULL || lose(l, "connect", "out of memory");
}

static bool
log_in(struct fleetlink *l, const struct fleet_access *a)
{
	const char *auth[] = {"AUTH", a->user, a->password};
	redisReply *reply;

	if (a->password[0] == '\0')
		return true;
	if (a->user[0] == '\0')
		auth[1] = a->password;
	reply = fleetlink_ask(l, "AUTH", a->user[0] == '\0' ? 2 : 3, auth);
	freeReplyObject(reply);
	if (reply != NULL)
		return true;
	if (!fleetlink_is_open(l))
		return false;
	return lose(l, "", l->refused);
}

bool
fleetlink_open(struct fleetlink *l, const struct settings *set)
{
	struct fleet_access *a = &l->access;
	char error[FLEETLINK_WHY_SIZE] = "";
	bool is_open = false;

	*l = (struct fleetlink){.fd = -1};
	if (!fleet_access_parse(set->lane_fleet, a, error, sizeof(error)))
		note(l->why, "lane_fleet", error);
	else if (!fleet_access_password(
		     set->lane_fleet_password_file, a, error, sizeof(error)))
		note(l->why, "lane_fleet_password_file", error);
	else if (a->is_tls && (l->authorities = tls_authorities_read(
				   set->lane_fleet_tls_CAfile, error,
				   sizeof(error))) == NULL)
		note(l->why, "lane_fleet_tls_CAfile", error);
	else
		is_open = connect_to(l, a) && log_in(l, a);
	return is_open;
}

void
fleetlink_close(struct fleetlink *l)
{
	close_all(l);
	tls_authorities_free(&l->authorities);
	fleet_access_forget(&l->access);
}

/* ---- questions ----------------------------------------------------------- */

static ssize_t
send_some(struct fleetlink *l, const char *p, size_t n)
{
	return l->tls != NULL ? tls_client_write(l->tls, p, n)
			      : send(l->fd, p, n, MSG_NOSIGNAL);
}

static ssize_t
read_some(struct fleetlink *l, char *p, size_t n)
{
	return l->tls != NULL ? tls_client_read(l->tls, p, n)
			      : recv(l->fd, p, n, 0);
}

/* Of what failed with errno. */
static const char *
io_words(const struct fleetlink *l)
{
	return l->tls != NULL && errno != ETIMEDOUT ? tls_client_why(l->tls)
						    : in_words(errno);
}

/* False: it can be tried again; true: the connection is over. */
static bool
is_broken(struct fleetlink *l, short events, int64_t end_ms)
{
	if (errno == EINTR)
		return false;
	if (errno == EAGAIN || errno == EWOULDBLOCK)
		return !await(l->fd, events, end_ms);
	return true;
}

static bool
write_all(struct fleetlink *l, const char *p, size_t n, const char *what)
{
	int64_t end_ms = end_of_wait();

	while (n > 0) {
		ssize_t done = send_some(l, p, n);

		if (done < 0 && is_broken(l, POLLOUT, end_ms))
			return lose(l, what, io_words(l));
		if (done > 0) {
			p += done;
			n -= (size_t)done;
		}
	}
	return true;
}

/* NULL: the connection is over. One reply has WAIT_S at most, and READS_MAX
 * reads, whether it comes octet by octet or without end. */
static redisReply *
read_reply(struct fleetlink *l, const char *what)
{
	int64_t end_ms = end_of_wait();
	char octets[READ_SIZE];
	void *reply = NULL;
	ssize_t n;

	for (int reads = 0; reads < READS_MAX;) {
		if (redisReaderGetReply(l->reader, &reply) != REDIS_OK) {
			(void)lose(l, what, l->reader->errstr);
			return NULL;
		}
		if (reply != NULL)
			return reply;
		n = read_some(l, octets, sizeof(octets));
		if (n == 0 || (n < 0 && is_broken(l, POLLIN, end_ms))) {
			(void)lose(l, what,
			    n == 0 ? "closed by the server" : io_words(l));
			return NULL;
		}
		if (n < 0)
			continue;
		if (clock_mono_ms() >= end_ms)
			break;
		reads++;
		if (redisReaderFeed(l->reader, octets, (size_t)n) != REDIS_OK)
			break;
	}
	(void)lose(l, what,
	    clock_mono_ms() >= end_ms ? "no answer in time"
				      : "a reply without end");
	return NULL;
}

static redisReply *
exchange(struct fleetlink *l, const char *what, int argc, const char **argv)
{
	char *command = NULL;
	/* an int until hiredis 1.0, then a long long */
	long long n = redisFormatCommandArgv(&command, argc, argv, NULL);
	bool is_written = n > 0 && write_all(l, command, (size_t)n, what);

	if (n > 0) {
		/* It may have been the password. */
		mem_wipe(command, (size_t)n);
		redisFreeCommand(command);
	} else {
		(void)lose(l, what, "out of memory");
	}
	return is_written ? read_reply(l, what) : NULL;
}

redisReply *
fleetlink_ask(
    struct fleetlink *l, const char *what, int argc, const char **argv)
{
	redisReply *reply;

	if (!fleetlink_is_open(l))
		return NULL;
	reply = exchange(l, what, argc, argv);
	if (reply == NULL)
		return NULL;
	if (reply->type != REDIS_REPLY_ERROR)
		return reply;
	fleet_access_hide(&l->access, reply->str);
	if (l->refused[0] == '\0')
		note(l->refused, what, reply->str);
	freeReplyObject(reply);
	return NULL;
}

bool
fleetlink_load(
    struct fleetlink *l, const char *script, char sha[FLEETLINK_SHA_SIZE])
{
	const char *load[] = {"SCRIPT", "LOAD", script};
	redisReply *reply = fleetlink_ask(l, "SCRIPT LOAD", 3, load);
	bool is_sha =
	    reply != NULL &&
	    (reply->type == REDIS_REPLY_STRING ||
		reply->type == REDIS_REPLY_STATUS) &&
	    strspn(reply->str, "0123456789abcdef") == FLEETLINK_SHA_SIZE - 1 &&
	    strlen(reply->str) == FLEETLINK_SHA_SIZE - 1;

	if (is_sha)
		memcpy(sha, reply->str, FLEETLINK_SHA_SIZE);
	else if (reply != NULL && l->refused[0] == '\0')
		note(l->refused, "SCRIPT LOAD", "unexpected reply");
	freeReplyObject(reply);
	return is_sha;
}
