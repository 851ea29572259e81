/* smtpblast: how many messages a second does a server take?
 *
 *   smtpblast HOST PORT CONNECTIONS MESSAGES OCTETS WINDOW [plain]
 *
 * One process per connection: STARTTLS, AUTH PLAIN, then groups of WINDOW
 * messages (RSET MAIL RCPT BDAT LAST) written at once before their replies
 * are read. Blocking on purpose: the least code between the server and the
 * clock. Replies are counted, not understood: one that is no 2xx is fatal.
 * Prints messages, seconds and messages per second.
 */
#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <openssl/ssl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/base/buf.h"
#include "common/base/clock.h"
#include "common/base/log.h"
#include "common/base/mem.h"

enum { GROUP_MAX = 64 << 20, IN_MAX = 1 << 20, READ_SIZE = 16384 };

struct blast {
	const char *host, *port;
	size_t messages, octets, window; /* of one connection */
	int fd;
	SSL *ssl; /* NULL: in the clear */
	struct buf in;
	char *body;
};

static void
write_all(struct blast *b, struct slice s)
{
	while (s.n > 0) {
		ssize_t n = b->ssl ? SSL_write(b->ssl, s.p, (int)s.n)
				   : write(b->fd, s.p, s.n);

		if (n <= 0)
			log_fatal("write: connection lost");
		s = slice_of(s.p + n, s.n - (size_t)n);
	}
}

/* Reads until `count` last lines of replies are there. */
static void
read_replies(struct blast *b, size_t count)
{
	while (count > 0) {
		struct slice s = buf_slice(&b->in);
		const char *nl = memchr(s.p, '\n', s.n);

		if (nl != NULL) {
			if (s.p[0] != '2' && s.p[0] != '3')
				log_fatal("server: %.*s", (int)(nl - s.p), s.p);
			if (s.p[3] != '-')
				count--;
			buf_consume(&b->in, (size_t)(nl - s.p) + 1);
			continue;
		}
		char *room = buf_reserve(&b->in, READ_SIZE);
		ssize_t n = b->ssl ? SSL_read(b->ssl, room, READ_SIZE)
				   : read(b->fd, room, READ_SIZE);

		if (n <= 0)
			log_fatal("read: connection lost");
		buf_commit(&b->in, (size_t)n);
	}
}

static void
talk(struct blast *b, const char *line)
{
	write_all(b, slice_str(line));
	read_replies(b, 1);
}

static void
dial(struct blast *b, bool is_plain)
{
	struct addrinfo hints = {.ai_socktype = SOCK_STREAM}, *ai;
	SSL_CTX *ctx;
	int one = 1;

	if (getaddrinfo(b->host, b->port, &hints, &ai) != 0)
		log_fatal("%s: unknown", b->host);
	b->fd = socket(ai->ai_family, SOCK_STREAM, 0);
	if (connect(b->fd, ai->ai_addr, ai->ai_addrlen) < 0)
		log_fatal("connect: %s", strerror(errno));
	freeaddrinfo(ai);
	(void)setsockopt(b->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
	read_replies(b, 1);
	talk(b, "EHLO blast.example\r\n");
	if (is_plain)
		return;
	talk(b, "STARTTLS\r\n");
	ctx = SSL_CTX_new(TLS_client_method());
	b->ssl = SSL_new(ctx);
	if (SSL_set_fd(b->ssl, b->fd) != 1 || SSL_connect(b->ssl) != 1)
		log_fatal("TLS handshake");
	talk(b, "EHLO blast.example\r\n");
	talk(b, "AUTH PLAIN AG1lAHNlY3JldA==\r\n"); /* me, secret */
}

static void
run(struct blast *b, unsigned nr)
{
	struct buf out;
	size_t done = 0;

	buf_init(&out, GROUP_MAX);
	while (done < b->messages) {
		size_t left = b->messages - done;
		size_t group = left < b->window ? left : b->window;

		buf_reset(&out);
		for (size_t i = 0; i < group; i++) {
			buf_addf(&out,
			    "RSET\r\nMAIL FROM:<s%u.%zu@blast.example> "
			    "SIZE=%zu\r\nRCPT TO:<r%zu@blast.example>\r\n"
			    "BDAT %zu LAST\r\n",
			    nr, done + i, b->octets, done + i, b->octets);
			buf_add(&out, b->body, b->octets);
		}
		if (!buf_ok(&out))
			log_fatal("window too large");
		write_all(b, buf_slice(&out));
		read_replies(b, 4 * group);
		done += group;
	}
	talk(b, "QUIT\r\n");
	buf_fini(&out);
}

static char *
make_body(size_t n)
{
	static const char line[] = "The quick brown fox jumps over the lazy "
				   "dog, once more and again.\r\n";
	char *body = mem_alloc(n);

	for (size_t i = 0; i < n; i++)
		body[i] = line[i % (sizeof(line) - 1)];
	body[0] = 'X';
	body[1] = ':';
	body[n - 2] = '\r';
	body[n - 1] = '\n';
	if (body[n - 3] == '\r')
		body[n - 3] = ' ';
	return body;
}

int
main(int argc, char **argv)
{
	struct blast b = {0};
	size_t connections, total;
	int64_t start;
	double seconds;
	int status, bad = 0;

	if (argc < 7)
		log_fatal("usage: smtpblast HOST PORT CONNECTIONS MESSAGES "
			  "OCTETS WINDOW [plain]");
	b.host = argv[1];
	b.port = argv[2];
	connections = strtoul(argv[3], NULL, 10);
	total = strtoul(argv[4], NULL, 10);
	b.octets = strtoul(argv[5], NULL, 10);
	b.window = strtoul(argv[6], NULL, 10);
	if (connections == 0 || b.octets < 8 || b.window == 0)
		log_fatal("numbers must be positive, octets at least 8");
	b.messages = total / connections;
	b.body = make_body(b.octets);
	buf_init(&b.in, IN_MAX);
	start = clock_mono_us();
	for (unsigned i = 0; i < connections; i++) {
		pid_t pid = fork();

		if (pid < 0)
			log_fatal("fork: %s", strerror(errno));
		if (pid == 0) {
			dial(&b, argc > 7);
			run(&b, i);
			_exit(0);
		}
	}
	while (wait(&status) > 0)
		bad += status != 0;
	seconds = (double)(clock_mono_us() - start) / 1e6;
	printf("%zu messages in %.2f s: %.0f messages/s\n",
	    b.messages * connections, seconds,
	    (double)(b.messages * connections) / seconds);
	mem_free(b.body);
	return bad ? 1 : 0;
}
