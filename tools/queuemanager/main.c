/* queuemanager: hands a lane deliveries as the queue manager would, and no
 * more: what does the lane alone cost?
 *
 *   queuemanager QUEUE_DIRECTORY SERVICE NEXTHOP MESSAGES WINDOW OCTETS
 *
 * To be run where a Postfix without qmgr has the lane as private/SERVICE. It
 * writes MESSAGES complete queue files into active/, and then has up to WINDOW
 * deliveries at once, of which two at most wait for a hello (qmgr_transport.c):
 *
 *   connect <- hello, request -> , <- final status, close, unlink
 *
 * A status other than "done", or a recipient that is not marked, is fatal.
 * Prints messages, seconds and messages per second, from the first connect to
 * the last status.
 *
 * One thread and one epoll. Root is needed, for files that are the mail
 * owner's. Source: Postfix src/qmgr/qmgr_deliver.c.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include "common/base/buf.h"
#include "common/base/clock.h"
#include "common/base/log.h"
#include "common/base/mem.h"
#include "common/postfix/attr.h"

enum {
	FILE_MAX = 64 << 20,
	REQUEST_MAX = 4096,
	LINE_OCTETS = 72,
	UNGREETED_MAX = 2,
	EVENTS_MAX = 256,
	CONNECT_AGAIN_MS = 1,
};

struct file {
	struct buf octets; /* the same of all messages */
	int64_t content_off, rcpt_off;
};

struct delivery {
	size_t number;
	int fd;
	bool is_greeted;
	struct attr_reader list;
};

struct manager {
	const char *service, *nexthop;
	size_t messages, window;
	struct file file;
	int epoll;
	size_t begun, done, ungreeted;
};

/* ---- queue files -------------------------------------------------------- */

static int64_t
put_record(struct buf *out, char type, const char *data)
{
	int64_t at = (int64_t)buf_len(out);
	size_t left = strlen(data);

	(void)buf_add_char(out, type);
	do {
		size_t more = left > 0x7f ? 0x80 : 0;

		(void)buf_add_char(out, (char)(more | (left & 0x7f)));
		left >>= 7;
	} while (left > 0);
	(void)buf_add_str(out, data);
	return at;
}

static void
compose(struct file *file, size_t octets)
{
	char line[LINE_OCTETS + 1], size[128];

	memset(line, 'x', LINE_OCTETS);
	line[LINE_OCTETS] = '\0';
	(void)snprintf(size, sizeof(size), "%15zu %15d %15d %15d %15zu %15d",
	    octets, 200, 1, 0, octets, 0);
	buf_init(&file->octets, FILE_MAX);
	(void)put_record(&file->octets, 'C', size);
	(void)put_record(&file->octets, 'T', "1700000000 1");
	(void)put_record(&file->octets, 'S', "load@sender.example");
	file->rcpt_off = put_record(&file->octets, 'R', "load@rcpt.example");
	(void)put_record(&file->octets, 'M', "");
	file->content_off = (int64_t)buf_len(&file->octets);
	(void)put_record(&file->octets, 'N', "Subject: load");
	(void)put_record(&file->octets, 'N', "");
	for (size_t n = 0; n < octets; n += LINE_OCTETS + 2)
		(void)put_record(&file->octets, 'N', line);
	(void)put_record(&file->octets, 'X', "");
	(void)put_record(&file->octets, 'E', "");
	if (!buf_ok(&file->octets))
		log_fatal("message too large");
}

static void
path_of(size_t number, char *path, size_t size)
{
	(void)snprintf(path, size, "active/%zX", 0xA0000000 + number);
}

static void
write_file(const struct file *file, size_t number, const struct stat *owner)
{
	struct slice all = buf_slice(&file->octets);
	char path[64];
	int fd;

	path_of(number, path, sizeof(path));
	fd = open(path, O_WRONLY | O_CREAT | O_EXCL, 0600);
	if (fd < 0 || write(fd, all.p, all.n) != (ssize_t)all.n ||
	    fchown(fd, owner->st_uid, owner->st_gid) != 0 ||
	    fchmod(fd, 0700) != 0)
		log_fatal("%s: %m", path);
	(void)close(fd);
}

static void
write_files(const struct manager *m)
{
	struct stat owner;

	if (stat("active", &owner) != 0)
		log_fatal("active: %m");
	for (size_t i = 0; i < m->messages; i++)
		write_file(&m->file, i, &owner);
}

static void
remove_file(const struct manager *m, size_t number)
{
	char path[64], type = 0;
	int fd;

	path_of(number, path, sizeof(path));
	fd = open(path, O_RDONLY);
	if (fd < 0 || pread(fd, &type, 1, m->file.rcpt_off) != 1 || type != 'D')
		log_fatal("%s: the recipient is not marked", path);
	(void)close(fd);
	if (unlink(path) != 0)
		log_fatal("%s: %m", path);
}

/* ---- deliveries --------------------------------------------------------- */

static void
put(struct buf *out, const char *name, const char *value)
{
	attr_put_str(out, name, slice_str(value));
}

static void
put_recipient(const struct manager *m, struct buf *out)
{
	put(out, "original_recipient", "");
	put(out, "recipient", "load@rcpt.example");
	attr_put_long(out, "offset", m->file.rcpt_off);
	put(out, "dsn_orig_rcpt", "rfc822;load@rcpt.example");
	attr_put_int(out, "notify_flags", 0);
	attr_put_end(out);
}

static void
put_request(const struct manager *m, struct buf *out, size_t number)
{
	static const char *const unknown[] = {"log_client_name",
	    "log_client_address", "log_client_port", "log_protocol_name",
	    "log_helo_name", "sasl_method", "sasl_username", "sasl_sender",
	    "log_ident"};
	char path[64];

	path_of(number, path, sizeof(path));
	attr_put_int(out, "flags", 3);
	put(out, "queue_name", "active");
	put(out, "queue_id", strchr(path, '/') + 1);
	attr_put_long(out, "offset", m->file.content_off);
	attr_put_long(out, "size", (int64_t)buf_len(&m->file.octets));
	put(out, "nexthop", m->nexthop);
	put(out, "encoding", "7bit");
	attr_put_int(out, "sendopts", 0);
	put(out, "sender", "load@sender.example");
	put(out, "envelope_id", "");
	attr_put_int(out, "ret_flags", 0);
	put(out, "time", "");
	for (size_t i = 0; i < sizeof(unknown) / sizeof(unknown[0]); i++)
		put(out, unknown[i], "");
	put(out, "rewrite_context", "local");
	attr_put_int(out, "recipient_count", 1);
	attr_put_end(out);
	put_recipient(m, out);
}

static void
hand_over(const struct manager *m, const struct delivery *d)
{
	struct buf out;
	struct slice all;

	buf_init(&out, REQUEST_MAX);
	put_request(m, &out, d->number);
	if (!buf_ok(&out))
		log_fatal("request too large");
	all = buf_slice(&out);
	if (send(d->fd, all.p, all.n, MSG_NOSIGNAL) != (ssize_t)all.n)
		log_fatal("request: %m");
	buf_fini(&out);
}

static void
end(struct manager *m, struct delivery *d)
{
	struct attr_pair last = {{NULL, 0}, {NULL, 0}}, pair;

	for (size_t i = 0; attr_at(&d->list, i, &pair); i++)
		last = pair;
	if (!slice_eq(last.name, "status") || !slice_eq(last.value, "0"))
		log_fatal("message %zu: status %.*s", d->number,
		    (int)last.value.n, last.value.p);
	remove_file(m, d->number);
	m->done++;
	(void)close(d->fd);
	attr_reader_fini(&d->list);
	mem_free(d);
}

/* A list has come: the hello, or the final status. True: more may follow. */
static bool
on_list(struct manager *m, struct delivery *d)
{
	if (d->is_greeted) {
		end(m, d);
		return false;
	}
	d->is_greeted = true;
	m->ungreeted--;
	hand_over(m, d);
	return true;
}

static void
on_event(struct manager *m, struct delivery *d)
{
	char octets[REQUEST_MAX];
	const char *p = octets;
	ssize_t n = recv(d->fd, octets, sizeof(octets), 0);
	size_t used;

	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (n <= 0)
		log_fatal("message %zu: the lane hung up", d->number);
	while (n > 0) {
		enum attr_result got =
		    attr_reader_feed(&d->list, p, (size_t)n, &used);

		if (got == ATTR_BAD)
			log_fatal("message %zu: malformed answer", d->number);
		if (got == ATTR_MORE || !on_list(m, d))
			return;
		p += used;
		n -= (ssize_t)used;
	}
}

/* False: the lane's queue is full. */
static bool
begin(struct manager *m)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	struct epoll_event event = {.events = EPOLLIN};
	struct delivery *d;
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

	(void)snprintf(address.sun_path, sizeof(address.sun_path), "private/%s",
	    m->service);
	if (fd < 0)
		log_fatal("socket: %m");
	if (connect(fd, (struct sockaddr *)&address, sizeof(address)) != 0) {
		if (errno != EAGAIN)
			log_fatal("%s: %m", address.sun_path);
		(void)close(fd);
		return false;
	}
	d = mem_zalloc(sizeof(*d));
	d->number = m->begun++;
	d->fd = fd;
	attr_reader_init(&d->list, REQUEST_MAX, 64);
	m->ungreeted++;
	event.data.ptr = d;
	if (epoll_ctl(m->epoll, EPOLL_CTL_ADD, fd, &event) != 0)
		log_fatal("epoll_ctl: %m");
	return true;
}

static void
run(struct manager *m)
{
	struct epoll_event events[EVENTS_MAX];

	while (m->done < m->messages) {
		bool is_full = false;
		int n;

		while (m->begun < m->messages && !is_full &&
		       m->begun - m->done < m->window &&
		       m->ungreeted < UNGREETED_MAX)
			is_full = !begin(m);
		n = epoll_wait(m->epoll, events, EVENTS_MAX,
		    is_full ? CONNECT_AGAIN_MS : -1);
		for (int i = 0; i < n; i++)
			on_event(m, events[i].data.ptr);
	}
}

static size_t
number(const char *text)
{
	char *rest;
	unsigned long long value = strtoull(text, &rest, 10);

	if (*rest != '\0' || value == 0)
		log_fatal("%s: must be a number above 0", text);
	return (size_t)value;
}

int
main(int argc, char **argv)
{
	struct manager m = {.epoll = epoll_create1(EPOLL_CLOEXEC)};
	int64_t began_us, took_us;

	if (argc != 7)
		log_fatal("usage: queuemanager QUEUE_DIRECTORY SERVICE NEXTHOP "
			  "MESSAGES WINDOW OCTETS");
	if (chdir(argv[1]) != 0)
		log_fatal("%s: %m", argv[1]);
	m.service = argv[2];
	m.nexthop = argv[3];
	m.messages = number(argv[4]);
	m.window = number(argv[5]);
	compose(&m.file, number(argv[6]));
	write_files(&m);
	began_us = clock_mono_us();
	run(&m);
	took_us = clock_mono_us() - began_us;
	buf_fini(&m.file.octets);
	(void)printf("%zu messages %.3f s %.0f messages/s\n", m.messages,
	    (double)took_us / 1e6, (double)m.messages * 1e6 / (double)took_us);
	return 0;
}
