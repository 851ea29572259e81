#include "agent/smarthost/tokens.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "common/base/buf.h"
#include "common/base/log.h"
#include "common/base/mem.h"
#include "common/postfix/attr.h"

enum {
	QUESTION_MAX = 1024,
	ANSWER_MAX = 65536,
	PAIRS_MAX = 16,
	CROWD_MS = 100,
};

struct tokens {
	struct loop *loop;
	char *path;
	int64_t timeout_ms;
	size_t query_count; /* under way */
};

struct tokens_query {
	struct tokens *tokens;
	tokens_fn *fn;
	void *ctx;
	int fd;
	struct loop_fd *watch;
	struct loop_timer *timer; /* of the answer; or why it failed at once */
	int64_t deadline_ms;
	bool is_greeted;
	bool is_asking; /* in tokens_ask() still */
	int error_no;
	struct buf out;
	struct attr_reader in;
};

struct tokens *
tokens_new(struct loop *loop, const char *path, int64_t timeout_ms)
{
	struct tokens *t = mem_zalloc(sizeof(*t));

	t->loop = loop;
	t->path = mem_strdup(path);
	t->timeout_ms = timeout_ms;
	return t;
}

void
tokens_free(struct tokens **tokens)
{
	struct tokens *old = *tokens;

	*tokens = NULL;
	if (old == NULL)
		return;
	CHECK(old->query_count == 0);
	mem_free(old->path);
	mem_free(old);
}

static void
query_free(struct tokens_query *q)
{
	CHECK(q->tokens->query_count > 0);
	q->tokens->query_count--;
	loop_unwatch(&q->watch);
	if (q->fd >= 0)
		(void)close(q->fd);
	loop_timer_free(&q->timer);
	buf_fini(&q->out);
	attr_reader_wipe(&q->in);
	attr_reader_fini(&q->in);
	loop_defer(q->tokens->loop, mem_free, q);
}

static void
answer(struct tokens_query *q, const struct tokens_answer *a)
{
	tokens_fn *fn = q->fn;
	void *ctx = q->ctx;
	char *token = a->token != NULL ? mem_strdup(a->token) : NULL;
	char *reason = a->reason != NULL ? mem_strdup(a->reason) : NULL;
	struct tokens_answer copy = *a;

	CHECK(!q->is_asking);
	copy.token = token;
	copy.reason = reason;
	query_free(q);
	fn(ctx, &copy);
	if (token != NULL)
		mem_wipe(token, strlen(token));
	mem_free(token);
	mem_free(reason);
}

static void
fail(struct tokens_query *q, const char *what)
{
	char *text =
	    mem_printf("token service at %s: %s", q->tokens->path, what);

	answer(q, &(struct tokens_answer){
		      .status = TOKENPROTO_LATER, .reason = text});
	mem_free(text);
}

static void
take_greeting(struct tokens_query *q)
{
	struct slice name;

	if (!attr_find(&q->in, "protocol", &name) ||
	    !slice_eq(name, TOKENPROTO_PROTOCOL)) {
		fail(q, "the greeting is of another service");
		return;
	}
	q->is_greeted = true;
	loop_want(q->watch, true, true);
}

static void
take_answer(struct tokens_query *q)
{
	struct tokens_answer a = {.status = TOKENPROTO_OK};
	struct slice token = {"", 0}, reason = {"", 0};
	int32_t status;

	if (!attr_get_int(&q->in, "status", &status) ||
	    status < TOKENPROTO_OK || status > TOKENPROTO_WRONG ||
	    (status == TOKENPROTO_OK &&
		(!attr_find(&q->in, "token", &token) ||
		    !attr_get_long(&q->in, "serial", &a.serial))) ||
	    (status != TOKENPROTO_OK &&
		!attr_find(&q->in, "reason", &reason))) {
		fail(q, "malformed answer");
		return;
	}
	a.status = (enum tokenproto_status)status;
	a.is_told = status != TOKENPROTO_OK;
	a.token = status == TOKENPROTO_OK ? token.p : NULL;
	a.reason = status == TOKENPROTO_OK ? NULL : reason.p;
	answer(q, &a);
}

static void
take_input(struct tokens_query *q)
{
	char chunk[8192];
	size_t used = 0;
	ssize_t n = read(q->fd, chunk, sizeof(chunk));
	enum attr_result result = ATTR_MORE;

	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (n <= 0) {
		fail(q, n == 0 ? "connection lost" : strerror(errno));
		return;
	}
	result = attr_reader_feed(&q->in, chunk, (size_t)n, &used);
	mem_wipe(chunk, sizeof(chunk));
	if (result == ATTR_BAD || used < (size_t)n)
		fail(q, "malformed answer");
	else if (result == ATTR_LIST && q->is_greeted)
		take_answer(q);
	else if (result == ATTR_LIST)
		take_greeting(q);
}

static void
on_ready(void *ctx, bool readable, bool writable)
{
	struct tokens_query *q = ctx;
	struct slice s = buf_slice(&q->out);

	if (writable && q->is_greeted && s.n > 0) {
		ssize_t n = send(q->fd, s.p, s.n, MSG_NOSIGNAL);

		if (n > 0)
			buf_consume(&q->out, (size_t)n);
		else if (n < 0 && errno != EAGAIN && errno != EINTR) {
			fail(q, strerror(errno));
			return;
		}
		if (buf_len(&q->out) == 0)
			loop_want(q->watch, true, false);
	}
	if (readable)
		take_input(q);
}

static bool
connect_to(struct tokens_query *q)
{
	const char *path = q->tokens->path;
	struct sockaddr_un addr = {.sun_family = AF_UNIX};

	if (strlen(path) >= sizeof(addr.sun_path)) {
		errno = ENAMETOOLONG;
		return false;
	}
	memcpy(addr.sun_path, path, strlen(path) + 1);
	q->fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	return q->fd >= 0 &&
	       connect(q->fd, (struct sockaddr *)&addr, sizeof(addr)) == 0;
}

/* A refusal is told from the loop, as everything is. EAGAIN: as many as the
 * socket has room for wait already. */
static void
begin(struct tokens_query *q)
{
	struct loop *loop = q->tokens->loop;

	if (connect_to(q)) {
		q->error_no = 0;
		q->watch = loop_watch(loop, q->fd, on_ready, q);
		loop_want(q->watch, true, false);
		loop_timer_at(q->timer, q->deadline_ms);
		return;
	}
	q->error_no = errno;
	loop_timer_at(q->timer,
	    loop_now_ms(loop) + (q->error_no == EAGAIN ? CROWD_MS : 0));
}

static void
on_timer(void *ctx)
{
	struct tokens_query *q = ctx;

	if (q->error_no == EAGAIN &&
	    loop_now_ms(q->tokens->loop) < q->deadline_ms) {
		if (q->fd >= 0)
			(void)close(q->fd);
		q->fd = -1;
		begin(q);
		return;
	}
	fail(q, q->error_no != 0 ? strerror(q->error_no) : "no answer");
}

struct tokens_query *
tokens_ask(struct tokens *t, const char *name, int64_t refused, tokens_fn *fn,
    void *ctx)
{
	struct tokens_query *q = mem_zalloc(sizeof(*q));

	CHECK(fn != NULL);
	q->tokens = t;
	q->is_asking = true;
	t->query_count++;
	q->fn = fn;
	q->ctx = ctx;
	q->fd = -1;
	q->timer = loop_timer_new(t->loop, on_timer, q);
	buf_init(&q->out, QUESTION_MAX);
	attr_reader_init(&q->in, ANSWER_MAX, PAIRS_MAX);
	/* Growing copies, and what is left behind cannot be wiped. */
	(void)buf_reserve(&q->in.octets, ANSWER_MAX);
	attr_put_str(&q->out, "request", slice_str("token"));
	attr_put_str(&q->out, "name", slice_str(name));
	attr_put_long(&q->out, "refused", refused);
	attr_put_end(&q->out);
	q->deadline_ms = loop_now_ms(t->loop) + t->timeout_ms;
	begin(q);
	q->is_asking = false;
	return q;
}

void
tokens_cancel(struct tokens_query **query)
{
	if (*query != NULL)
		query_free(*query);
	*query = NULL;
}
