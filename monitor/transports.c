#include "monitor/transports.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "common/base/clock.h"
#include "common/base/mem.h"
#include "common/postfix/attr.h"

enum {
	ANSWER_MAX = 65536,
	PAIRS_MAX = 16,
	KNOWN_MAX = 4096,
	INPUT_SIZE = 4096,
};

struct known {
	char *sender, *rcpt, *transport;
};

struct transports {
	int fd; /* -1: not there */
	char why[200];
	struct attr_reader reader;
	char input[INPUT_SIZE]; /* from_at to to_at: received, not read */
	size_t from_at, to_at;
	struct known *known;
	size_t known_count;
};

static void
fail(struct transports *t, const char *why)
{
	(void)snprintf(
	    t->why, sizeof(t->why), "service rewrite of Postfix: %s", why);
	if (t->fd >= 0)
		(void)close(t->fd);
	t->fd = -1;
}

struct transports *
transports_open(const char *queue_directory, const char *rewrite_service)
{
	struct transports *t = mem_zalloc(sizeof(*t));
	struct sockaddr_un to = {.sun_family = AF_UNIX};
	int n = snprintf(to.sun_path, sizeof(to.sun_path), "%s/private/%s",
	    queue_directory, rewrite_service);

	attr_reader_init(&t->reader, ANSWER_MAX, PAIRS_MAX);
	t->fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (n < 0 || (size_t)n >= sizeof(to.sun_path))
		fail(t, "its path is too long");
	else if (t->fd < 0 ||
		 connect(t->fd, (const struct sockaddr *)&to, sizeof(to)) != 0)
		fail(t, strerror(errno));
	return t;
}

void
transports_close(struct transports **t)
{
	struct transports *old = *t;

	*t = NULL;
	if (old == NULL)
		return;
	for (size_t i = 0; i < old->known_count; i++) {
		mem_free(old->known[i].sender);
		mem_free(old->known[i].rcpt);
		mem_free(old->known[i].transport);
	}
	mem_free(old->known);
	attr_reader_fini(&old->reader);
	if (old->fd >= 0)
		(void)close(old->fd);
	mem_free(old);
}

static bool
send_question(struct transports *t, const char *sender, const char *rcpt)
{
	struct buf out;
	struct slice s;
	bool is_sent;

	buf_init(&out, ANSWER_MAX);
	attr_put_str(&out, "request", slice_str("resolve"));
	attr_put_str(&out, "sender", slice_str(sender));
	attr_put_str(&out, "address", slice_str(rcpt));
	attr_put_end(&out);
	s = buf_slice(&out);
	is_sent =
	    buf_ok(&out) && send(t->fd, s.p, s.n, MSG_NOSIGNAL) == (ssize_t)s.n;
	buf_fini(&out);
	return is_sent;
}

/* As recv(), in time whatever signals come; -1 with ETIMEDOUT: nothing did. */
static ssize_t
receive_some(int fd, char *text, size_t n, int64_t until_ms)
{
	struct pollfd p = {.fd = fd, .events = POLLIN};
	int64_t left;
	ssize_t got = -1;

	while (got < 0 && (left = until_ms - clock_mono_ms()) > 0) {
		if (poll(&p, 1, (int)left) > 0)
			got = recv(fd, text, n, MSG_DONTWAIT);
		else
			errno = EAGAIN;
		if (got < 0 && errno != EAGAIN && errno != EINTR)
			return -1;
	}
	if (got < 0)
		errno = ETIMEDOUT;
	return got;
}

static bool
fill_input(struct transports *t, int64_t until_ms)
{
	ssize_t got = receive_some(t->fd, t->input, sizeof(t->input), until_ms);

	if (got <= 0) {
		fail(t,
		    got < 0 && errno == ETIMEDOUT ? "no answer" : "it hung up");
		return false;
	}
	t->from_at = 0;
	t->to_at = (size_t)got;
	return true;
}

/* One list of attributes; another may follow it at once. */
static bool
receive(struct transports *t, int64_t until_ms)
{
	attr_reader_reset(&t->reader);
	for (;;) {
		enum attr_result result;
		size_t used;

		if (t->from_at == t->to_at && !fill_input(t, until_ms))
			return false;
		result = attr_reader_feed(&t->reader, t->input + t->from_at,
		    t->to_at - t->from_at, &used);
		t->from_at += used;
		switch (result) {
		case ATTR_LIST:
			return true;
		case ATTR_BAD:
			fail(t, "malformed answer");
			return false;
		case ATTR_MORE:
			break;
		}
	}
}

static char *
ask(struct transports *t, const char *sender, const char *rcpt)
{
	int64_t until_ms = clock_mono_ms() + TRANSPORTS_WAIT_MS;
	struct slice value;

	if (!send_question(t, sender, rcpt)) {
		fail(t, strerror(errno));
		return NULL;
	}
	do {
		if (!receive(t, until_ms))
			return NULL;
		/* Since Postfix 3.6 it greets first. */
	} while (attr_find(&t->reader, "protocol", &value));
	if (!attr_find(&t->reader, "transport", &value)) {
		fail(t, "an answer without a transport");
		return NULL;
	}
	return mem_strndup(value.p, value.n);
}

const char *
transports_of(struct transports *t, const char *sender, const char *rcpt)
{
	struct known *k;
	char *transport;

	for (size_t i = 0; i < t->known_count; i++) {
		k = &t->known[i];
		if (strcmp(k->rcpt, rcpt) == 0 &&
		    strcmp(k->sender, sender) == 0)
			return k->transport;
	}
	if (t->fd < 0 || t->known_count == KNOWN_MAX)
		return NULL;
	transport = ask(t, sender, rcpt);
	if (transport == NULL)
		return NULL;
	t->known =
	    mem_realloc(t->known, (t->known_count + 1) * sizeof(t->known[0]));
	k = &t->known[t->known_count++];
	*k = (struct known){mem_strdup(sender), mem_strdup(rcpt), transport};
	return transport;
}

const char *
transports_why(const struct transports *t)
{
	return t->why;
}
