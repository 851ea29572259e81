/* What a client sends to lanestat, in any portions: the server answers or
 * closes, what it answers is HTTP with as many octets as it names, or none for
 * HEAD, a page that is there has the fields that keep a browser from harm, and
 * nobody is asked for a page where neither GET nor HEAD was sent.
 *
 * The first octet is whether the client ends its half at once. Each portion has
 * its length before it. The loop, libevent and the sockets are real; what there
 * is to know of lanes is a stand-in.
 */
#include <errno.h>
#include <event2/event.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "common/base/log.h"
#include "monitor/lanestat/answers.h"
#include "monitor/lanestat/page.h"

int LLVMFuzzerInitialize(int *argc, char ***argv);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { SENT_MAX = 4096 };
enum { ANSWER_MAX = 1 << 16, TURNS = 50, QUIET_TURNS = 3 };

static struct loop *loop;
static struct web *web;
static struct sockaddr_un address = {.sun_family = AF_UNIX};
static socklen_t address_size;
static char answer[ANSWER_MAX + 1], sent[SENT_MAX];
static size_t answer_size, sent_size, asked;

/* ---- stand-ins: as many octets as tell one from another ------------------ */

struct slice
snapshot_metrics(struct snapshot *s, enum metrics_format format)
{
	(void)s;
	return slice_str(
	    format == METRICS_OPENMETRICS ? "# EOF\n" : "lanes 1\n");
}

struct slice
snapshot_status(struct snapshot *s)
{
	(void)s;
	return slice_str("{}");
}

struct slice
snapshot_history(struct snapshot *s, int64_t step_s, int64_t since_s)
{
	(void)s;
	CHECK((step_s == 1 || step_s == 60) && since_s >= 0);
	return slice_str("[]");
}

struct slice
snapshot_page(struct snapshot *s)
{
	(void)s;
	return slice_str("<!doctype html>");
}

struct slice
snapshot_sentences(struct snapshot *s)
{
	(void)s;
	return slice_str("fast: well\n");
}

int
snapshot_health(const struct snapshot *s)
{
	(void)s;
	return 0;
}

enum metrics_format
metrics_choose(const char *accept)
{
	return accept != NULL && strstr(accept, "openmetrics") != NULL
		   ? METRICS_OPENMETRICS
		   : METRICS_PROMETHEUS;
}

const char *
metrics_content_type(enum metrics_format format)
{
	(void)format;
	return "text/plain";
}

struct slice
page_style(void)
{
	return slice_str("p{}");
}

struct slice
page_script(void)
{
	return slice_str(";");
}

/* ---- the server ---------------------------------------------------------- */

static void
on_request(void *ctx, const struct web_request *r, struct web_answer *out)
{
	(void)ctx;
	CHECK(r->path != NULL && strchr(r->path, '?') == NULL);
	CHECK(r->query != NULL);
	asked++;
	answers_give(NULL, r, out);
	CHECK(out->code >= 200 && out->code < 600 && out->type != NULL);
}

static void
on_client(void *ctx)
{
	(void)ctx;
}

int
LLVMFuzzerInitialize(int *argc, char ***argv)
{
	struct web_limits limits = WEB_LIMITS;
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

	(void)argc;
	(void)argv;
	/* a name of Linux's own: no file is left behind */
	address_size = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + 1 +
				   (size_t)snprintf(address.sun_path + 1,
				       sizeof(address.sun_path) - 1,
				       "fuzz_http.%ld", (long)getpid()));
	CHECK(fd >= 0 &&
	      bind(fd, (struct sockaddr *)&address, address_size) == 0 &&
	      listen(fd, 8) == 0);
	limits.head = 512;
	limits.body = 64;
	loop = loop_new();
	web = web_new(loop, limits, on_request, on_client, NULL);
	web_listen(web, fd);
	return 0;
}

/* ---- the client ---------------------------------------------------------- */

/* Takes what has come. False: the server has closed. */
static bool
take(int fd)
{
	for (;;) {
		ssize_t n = recv(fd, answer + answer_size,
		    ANSWER_MAX - answer_size, MSG_DONTWAIT);

		if (n > 0) {
			answer_size += (size_t)n;
			CHECK(answer_size < ANSWER_MAX);
			continue;
		}
		return n < 0 && errno == EAGAIN;
	}
}

/* Until nothing comes for some turns. False: the server has closed. */
static bool
go_round(int fd)
{
	size_t before = answer_size;

	for (int quiet = 0, i = 0; quiet < QUIET_TURNS && i < TURNS; i++) {
		(void)event_base_loop(loop_base(loop), EVLOOP_NONBLOCK);
		if (!take(fd))
			return false;
		quiet = answer_size == before ? quiet + 1 : 0;
		before = answer_size;
	}
	return true;
}

/* The first reply, if its head is whole. */
static void
check_reply(const char *p)
{
	const char *end = strstr(p, "\r\n\r\n"), *length, *guard, *body;
	int code = 0;

	if (end == NULL)
		return;
	CHECK(sscanf(p, "HTTP/%*d.%*d %3d", &code) == 1);
	CHECK(code >= 100 && code < 600);
	if (code != 200)
		return;
	guard = strstr(p, "Content-Security-Policy: ");
	length = strstr(p, "Content-Length: ");
	CHECK(guard != NULL && guard < end);
	CHECK(length != NULL && length < end);
	body = end + strlen("\r\n\r\n");
	/* HEAD has none, and the next reply may stand there. */
	if (*body != '\0' && strncmp(body, "HTTP/", strlen("HTTP/")) != 0)
		CHECK(strlen(body) >=
		      strtoul(length + strlen("Content-Length: "), NULL, 10));
}

static bool
was_sent(const char *word)
{
	return memmem(sent, sent_size, word, strlen(word)) != NULL;
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	bool is_ended;
	int fd;

	if (size < 2 || size > SENT_MAX)
		return 0;
	is_ended = (data[0] & 1) != 0;
	data++;
	size--;
	answer_size = sent_size = asked = 0;
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	CHECK(fd >= 0 &&
	      connect(fd, (struct sockaddr *)&address, address_size) == 0);
	while (size > 0) {
		size_t n = *data++;

		size--;
		n = n < size ? n : size;
		memcpy(sent + sent_size, data, n);
		sent_size += n;
		if (send(fd, data, n, MSG_NOSIGNAL | MSG_DONTWAIT) !=
			(ssize_t)n ||
		    !go_round(fd))
			break;
		data += n;
		size -= n;
	}
	if (is_ended)
		(void)shutdown(fd, SHUT_WR);
	(void)go_round(fd);
	(void)close(fd);
	(void)event_base_loop(loop_base(loop), EVLOOP_NONBLOCK);
	answer[answer_size] = '\0';
	if (strlen(answer) == answer_size && answer_size > 0)
		check_reply(answer);
	CHECK(asked == 0 || was_sent("GET ") || was_sent("HEAD "));
	CHECK(asked == 0 || answer_size > 0 || is_ended);
	return 0;
}
