/* A proxymap server that says anything, in any portions: each question gets its
 * one answer unless it was taken back, what is found is text that ends, and no
 * answer comes from a connection on which nothing was asked.
 *
 * The first octet is the release of Postfix, and which question is taken back.
 * Each portion has its length before it; 0: time goes by, 255: the server hangs
 * up. The loop and the socket are stand-ins.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <string.h>
#include <sys/socket.h>

#include "agent/tables/proxymap.h"
#include "common/base/log.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { QUESTIONS = 6, AT_ONCE = 3, HANG_UP = 255, TIMEOUT_MS = 1000 };

struct question {
	struct proxymap_query *query;
	bool is_asked, is_answered, is_cancelled;
};

static struct world {
	struct proxymap *p;
	loop_fd_fn *on_io;
	loop_fn *on_time;
	void *io_ctx, *time_ctx;
	int64_t now_ms, due_ms; /* due 0: it is not set */
	const uint8_t *octets; /* what comes */
	size_t n;
	size_t portion; /* of it, now */
	bool is_closed; /* the server hangs up */
	size_t sent; /* octets on this connection */
	struct question questions[QUESTIONS];
	size_t asked, answered;
} w;

/* ---- stand-ins ----------------------------------------------------------- */

int64_t
loop_now_ms(const struct loop *loop)
{
	(void)loop;
	return w.now_ms;
}

struct loop_fd *
loop_watch(struct loop *loop, int fd, loop_fd_fn *fn, void *ctx)
{
	(void)loop;
	(void)fd;
	w.on_io = fn;
	w.io_ctx = ctx;
	w.sent = 0;
	return (struct loop_fd *)&w;
}

void
loop_want(struct loop_fd *watch, bool read, bool write)
{
	(void)watch;
	(void)read;
	(void)write;
}

void
loop_unwatch(struct loop_fd **watch)
{
	*watch = NULL;
	w.on_io = NULL;
}

struct loop_timer *
loop_timer_new(struct loop *loop, loop_fn *fn, void *ctx)
{
	(void)loop;
	w.on_time = fn;
	w.time_ctx = ctx;
	return (struct loop_timer *)&w;
}

void
loop_timer_at(struct loop_timer *t, int64_t at_ms)
{
	(void)t;
	w.due_ms = at_ms;
}

void
loop_timer_cancel(struct loop_timer *t)
{
	(void)t;
	w.due_ms = 0;
}

void
loop_timer_free(struct loop_timer **t)
{
	*t = NULL;
	w.due_ms = 0;
}

int
socket(int domain, int type, int protocol)
{
	(void)domain;
	(void)type;
	(void)protocol;
	return open("/dev/null", O_RDWR | O_CLOEXEC);
}

int
connect(int fd, const struct sockaddr *address, socklen_t n)
{
	(void)fd;
	(void)address;
	(void)n;
	return 0;
}

ssize_t
send(int fd, const void *p, size_t n, int flags)
{
	(void)fd;
	(void)p;
	(void)flags;
	w.sent += n;
	return (ssize_t)n;
}

ssize_t
recv(int fd, void *p, size_t n, int flags)
{
	(void)fd;
	(void)flags;
	if (w.is_closed)
		return 0;
	if (w.portion == 0) {
		errno = EAGAIN;
		return -1;
	}
	if (n > w.portion)
		n = w.portion;
	memcpy(p, w.octets, n);
	w.octets += n;
	w.n -= n;
	w.portion -= n;
	return (ssize_t)n;
}

/* ---- what is judged ------------------------------------------------------ */

static void ask(void);

static void
on_answer(void *ctx, enum proxymap_result result, const char *text)
{
	struct question *q = ctx;

	CHECK(q->is_asked && !q->is_answered && !q->is_cancelled);
	q->is_answered = true;
	q->query = NULL;
	w.answered++;
	CHECK(text != NULL &&
	      (result == PROXYMAP_FOUND || result == PROXYMAP_NOT_FOUND ||
		  result == PROXYMAP_ERROR));
	CHECK(result == PROXYMAP_ERROR || w.sent > 0);
	CHECK(result != PROXYMAP_ERROR || *text != '\0');
	ask();
}

static void
ask(void)
{
	struct question *q = &w.questions[w.asked];

	if (w.asked == QUESTIONS)
		return;
	w.asked++;
	q->is_asked = true;
	q->query = proxymap_ask(
	    w.p, "hash:/etc/postfix/passwords", "mx.example", on_answer, q);
}

static void
pass_time(void)
{
	if (w.due_ms == 0)
		return;
	if (w.now_ms < w.due_ms)
		w.now_ms = w.due_ms;
	w.due_ms = 0;
	w.on_time(w.time_ctx);
}

static void
take_portion(void)
{
	size_t n = *w.octets++;

	w.n--;
	if (n == HANG_UP) {
		w.is_closed = true;
		if (w.on_io != NULL)
			w.on_io(w.io_ctx, true, false);
		w.is_closed = false;
		return;
	}
	w.portion = n < w.n ? n : w.n;
	if (w.portion == 0)
		pass_time();
	if (w.on_io != NULL)
		w.on_io(w.io_ctx, false, true);
	while (w.portion > 0 && w.on_io != NULL)
		w.on_io(w.io_ctx, true, false);
	w.octets += w.portion;
	w.n -= w.portion;
	w.portion = 0;
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const char *const releases[] = {"3.4.0", "3.7.11", "3.11.0"};
	size_t cancelled;

	if (size < 2)
		return 0;
	w = (struct world){.octets = data + 1, .n = size - 1, .now_ms = 1000};
	w.p = proxymap_new(
	    NULL, "/private/proxymap", releases[data[0] % 3], TIMEOUT_MS);
	for (size_t i = 0; i < AT_ONCE; i++)
		ask();
	pass_time();
	cancelled = data[0] / 3 % (AT_ONCE + 1);
	if (cancelled < AT_ONCE && !w.questions[cancelled].is_answered) {
		w.questions[cancelled].is_cancelled = true;
		proxymap_cancel(&w.questions[cancelled].query);
	}
	while (w.n > 0)
		take_portion();
	/* Nobody answers any more: each hears that, once. */
	for (size_t i = 0; i < 2 * QUESTIONS; i++)
		pass_time();
	for (size_t i = 0; i < w.asked; i++)
		CHECK(
		    w.questions[i].is_answered || w.questions[i].is_cancelled);
	proxymap_free(&w.p);
	return 0;
}
