/* ask -> queue -> [connect -> greeting] -> question -> answer -> next
 *
 * A cancelled query that is being answered stays at the head without a
 * callback until its answer is in: answers come in order. */
#include "agent/tables/proxymap.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "common/base/buf.h"
#include "common/base/list.h"
#include "common/base/log.h"
#include "common/base/mem.h"
#include "common/postfix/attr.h"
#include "common/postfix/version.h"

enum {
	ANSWER_MAX = 256 << 10,
	ANSWER_USUAL = 8192, /* many times a password */
	QUESTION_MAX = 256 << 10,
	/* Postfix dict.h: DICT_FLAG_LOCK | DICT_FLAG_FOLD_FIX */
	TABLE_FLAGS = 1 << 6 | 1 << 14,
};

/* proxymap's status codes (dict_proxy.h) */
enum { ST_OK, ST_NOKEY, ST_RETRY, ST_BAD, ST_DENY, ST_CONFIG };

struct proxymap_query {
	struct list link;
	char *table, *key;
	proxymap_fn *fn; /* NULL: cancelled */
	void *ctx;
};

struct proxymap {
	struct loop *loop;
	char *path;
	bool has_greeting, has_instance_flags;
	int64_t timeout_ms;
	struct list queue; /* the first one is being asked when is_asking */
	struct loop_timer *timer; /* kick when idle, else the timeout */
	struct loop_fd *watch;
	int fd;
	bool is_asking, is_greeted;
	bool is_fresh; /* nothing was answered on this connection yet */
	struct buf out;
	struct attr_reader in;
};

static void kick(void *ctx);
static void on_ready(void *ctx, bool readable, bool writable);

static void
hang_up(struct proxymap *p)
{
	loop_unwatch(&p->watch);
	if (p->fd >= 0)
		(void)close(p->fd);
	p->fd = -1;
	p->is_greeted = false;
	p->is_asking = false;
	buf_fini_secret(&p->out);
	attr_reader_wipe(&p->in);
}

static bool
dial(struct proxymap *p)
{
	struct sockaddr_un addr = {.sun_family = AF_UNIX};

	if (strlen(p->path) >= sizeof(addr.sun_path)) {
		errno = ENAMETOOLONG;
		return false;
	}
	memcpy(addr.sun_path, p->path, strlen(p->path) + 1);
	p->fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (p->fd < 0)
		return false;
	if (connect(p->fd, (struct sockaddr *)&addr, sizeof(addr)) < 0) {
		int saved = errno;

		hang_up(p);
		errno = saved;
		return false;
	}
	p->is_fresh = true;
	p->is_greeted = !p->has_greeting;
	p->watch = loop_watch(p->loop, p->fd, on_ready, p);
	return true;
}

struct proxymap *
proxymap_new(struct loop *loop, const char *path, const char *mail_version,
    int64_t timeout_ms)
{
	struct proxymap *p = mem_zalloc(sizeof(*p));

	p->loop = loop;
	p->path = mem_strdup(path);
	p->has_greeting = version_has_greetings(mail_version);
	p->has_instance_flags = version_at_least(mail_version, 3, 11);
	p->timeout_ms = timeout_ms;
	p->fd = -1;
	list_init(&p->queue);
	p->timer = loop_timer_new(loop, kick, p);
	buf_init(&p->out, QUESTION_MAX);
	attr_reader_init(&p->in, ANSWER_MAX, 16);
	/* Growing copies, and what is left behind cannot be wiped. */
	(void)buf_reserve(&p->in.octets, ANSWER_USUAL);
	return p;
}

static void
query_free(struct proxymap_query *q)
{
	list_remove(&q->link);
	mem_free(q->table);
	mem_wipe(q->key, strlen(q->key));
	mem_free(q->key);
	mem_free(q);
}

void
proxymap_free(struct proxymap **proxymap)
{
	struct proxymap *p = *proxymap;
	struct list *link;

	*proxymap = NULL;
	if (p == NULL)
		return;
	hang_up(p);
	loop_timer_free(&p->timer);
	while ((link = list_first(&p->queue)) != NULL)
		query_free(list_entry(link, struct proxymap_query, link));
	attr_reader_fini(&p->in);
	mem_free(p->path);
	mem_free(p);
}

static struct proxymap_query *
head(struct proxymap *p)
{
	struct list *link = list_first(&p->queue);

	return link != NULL ? list_entry(link, struct proxymap_query, link)
			    : NULL;
}

/* Answers the first query and goes on with the next in a later turn: the
 * callback may do anything but free the proxymap. */
static void
answer(struct proxymap *p, enum proxymap_result result, const char *text)
{
	struct proxymap_query *q = head(p);
	proxymap_fn *fn;
	void *ctx;

	CHECK(q != NULL);
	fn = q->fn;
	ctx = q->ctx;
	p->is_asking = false;
	query_free(q);
	if (head(p) != NULL)
		loop_timer_at(p->timer, loop_now_ms(p->loop));
	else
		loop_timer_cancel(p->timer);
	if (fn != NULL)
		fn(ctx, result, text);
}

static void
fail(struct proxymap *p, const char *what)
{
	char *text = mem_printf("proxymap(8) at %s: %s", p->path, what);

	hang_up(p);
	answer(p, PROXYMAP_ERROR, text);
	mem_free(text);
}

/* Nobody is there: to have each that waits find out for itself would take the
 * whole time for each. Those that are asked by a callback come behind. */
static void
fail_all(struct proxymap *p, const char *what)
{
	size_t waiting = 0;

	list_each (link, &p->queue)
		waiting++;
	for (; waiting > 0; waiting--)
		fail(p, what);
}

/* The server drops idle clients: a question that met this is asked again, on
 * a new connection, once. */
static void
lost(struct proxymap *p, const char *what)
{
	if (!p->is_asking) {
		hang_up(p);
		return;
	}
	if (p->is_fresh) {
		fail(p, what);
		return;
	}
	hang_up(p);
	loop_timer_at(p->timer, loop_now_ms(p->loop));
}

static void
put_question(struct proxymap *p, const struct proxymap_query *q)
{
	attr_put_str(&p->out, "request", slice_str("lookup"));
	attr_put_str(&p->out, "table", slice_str(q->table));
	if (p->has_instance_flags)
		attr_put_int(&p->out, "instance_flags", TABLE_FLAGS);
	attr_put_int(&p->out, "flags", TABLE_FLAGS);
	attr_put_str(&p->out, "key", slice_str(q->key));
	attr_put_end(&p->out);
}

/* The timer, when nothing is asked: starts the next question. Else: the time
 * for the answer is over. */
static void
kick(void *ctx)
{
	struct proxymap *p = ctx;
	struct proxymap_query *q;

	if (p->is_asking) {
		fail_all(p, "timed out");
		return;
	}
	while ((q = head(p)) != NULL && q->fn == NULL)
		query_free(q);
	if (q == NULL)
		return;
	p->is_asking = true;
	if (p->fd < 0 && !dial(p)) {
		fail_all(p, strerror(errno));
		return;
	}
	put_question(p, q);
	if (!buf_ok(&p->out)) {
		fail(p, "the question is too long");
		return;
	}
	loop_timer_at(p->timer, loop_now_ms(p->loop) + p->timeout_ms);
	loop_want(p->watch, true, p->is_greeted);
}

/* The command that adds the table to what it opens. A name in braces has
 * values, passwords perhaps, in it. */
static void
deny(struct proxymap *p)
{
	const struct proxymap_query *q = head(p);
	bool is_told = q != NULL && strpbrk(q->table, "{'\"`$\\") == NULL &&
		       strncmp(q->table, "static:", 7) != 0;
	char *text = mem_printf(
	    "proxymap(8) does not open it: run postconf \"proxy_read_maps = "
	    "$(postconf -h proxy_read_maps) proxy:%s\" and postfix reload",
	    is_told ? q->table : "...");

	answer(p, PROXYMAP_ERROR, text);
	mem_free(text);
}

static void
take_answer(struct proxymap *p)
{
	int32_t status = ST_BAD;
	struct slice value = {"", 0};

	if (!attr_get_int(&p->in, "status", &status) ||
	    (status == ST_OK && !attr_find(&p->in, "value", &value))) {
		fail(p, "malformed answer");
		return;
	}
	p->is_fresh = false;
	switch (status) {
	case ST_OK: {
		char *text = mem_strndup(value.p, value.n);

		attr_reader_wipe(&p->in);
		answer(p, PROXYMAP_FOUND, text);
		mem_wipe(text, strlen(text));
		mem_free(text);
		break;
	}
	case ST_NOKEY:
		answer(p, PROXYMAP_NOT_FOUND, "");
		break;
	case ST_DENY:
		deny(p);
		break;
	case ST_CONFIG:
		answer(p, PROXYMAP_ERROR,
		    "proxymap(8) cannot open it (it runs as mail_owner)");
		break;
	case ST_RETRY:
		answer(p, PROXYMAP_ERROR, "proxymap(8) cannot read it now");
		break;
	default:
		answer(p, PROXYMAP_ERROR, "proxymap(8) refused the question");
		break;
	}
}

static void
take_greeting(struct proxymap *p)
{
	struct slice name;

	if (!attr_find(&p->in, "protocol", &name) ||
	    !slice_eq(name, "proxymap_protocol")) {
		fail(p, "the greeting is of another service");
		return;
	}
	p->is_greeted = true;
	loop_want(p->watch, true, true);
}

static void
take_input(struct proxymap *p)
{
	char chunk[8192];
	size_t used;
	ssize_t n = recv(p->fd, chunk, sizeof(chunk), 0);

	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (n <= 0) {
		lost(p, n == 0 ? "connection lost" : strerror(errno));
		return;
	}
	switch (attr_reader_feed(&p->in, chunk, (size_t)n, &used)) {
	case ATTR_MORE:
		break;
	case ATTR_BAD:
		lost(p, "malformed answer");
		break;
	case ATTR_LIST:
		if (!p->is_asking || used < (size_t)n)
			lost(p, "unexpected answer");
		else if (!p->is_greeted)
			take_greeting(p);
		else
			take_answer(p);
		break;
	}
	mem_wipe(chunk, sizeof(chunk));
}

static void
give_output(struct proxymap *p)
{
	struct slice s = buf_slice(&p->out);
	ssize_t n = send(p->fd, s.p, s.n, MSG_NOSIGNAL);

	if (n > 0)
		buf_consume(&p->out, (size_t)n);
	else if (n < 0 && errno != EAGAIN && errno != EINTR) {
		lost(p, strerror(errno));
		return;
	}
	if (buf_len(&p->out) == 0)
		loop_want(p->watch, true, false);
}

static void
on_ready(void *ctx, bool readable, bool writable)
{
	struct proxymap *p = ctx;

	if (writable && p->is_greeted && buf_len(&p->out) > 0)
		give_output(p);
	if (readable && p->fd >= 0)
		take_input(p);
}

struct proxymap_query *
proxymap_ask(struct proxymap *p, const char *table, const char *key,
    proxymap_fn *fn, void *ctx)
{
	struct proxymap_query *q = mem_zalloc(sizeof(*q));

	CHECK(fn != NULL);
	q->table = mem_strdup(table);
	q->key = mem_strdup(key);
	q->fn = fn;
	q->ctx = ctx;
	list_push(&p->queue, &q->link);
	if (!p->is_asking)
		loop_timer_at(p->timer, loop_now_ms(p->loop));
	return q;
}

void
proxymap_cancel(struct proxymap_query **query)
{
	if (*query != NULL)
		(*query)->fn = NULL;
	*query = NULL;
}
