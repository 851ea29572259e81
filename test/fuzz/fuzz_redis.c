/* The engine of a fleet: replies of any octets in any portions, to the greeting
 * and to questions. What is taken for an answer is one that an engine can mean,
 * what is told of a connection that ended is printable, and nothing that is
 * told has the password.
 *
 * The first octet is whether there is a password; each portion has its length
 * before it. The loop and the socket are stand-ins.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <string.h>
#include <sys/socket.h>

#include "agent/engine/fleet_heard.h"
#include "agent/fleet/question.h"
#include "agent/fleet/redis.h"
#include "common/base/log.h"
#include "common/base/mem.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define PASSWORD "open sesame now"
#define SHOWN "open ses" /* of it */

enum { ASKED_MAX = 8, LIMIT = 20, SIZE = 4, TTL_US = 30000000 };

static struct world {
	struct redis *redis;
	loop_fd_fn *on_io;
	void *ctx;
	const uint8_t *p; /* what comes */
	size_t n;
	size_t portion; /* of it, now */
	int64_t now_ms;
	bool has_password, is_over;
	size_t asked;
} w;

static const struct fleet_terms terms = {.size = SIZE,
    .limit = LIMIT,
    .minimum = 10,
    .ttl_us = TTL_US,
    .linger_us = 1000000};
static struct fleet_question question = {.number = 1,
    .want = LIMIT,
    .cap = SIZE,
    .host = "one",
    .life = "",
    .lessons = {{.left_us = 60000000}, {.left_us = 1, .value = 17}}};

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
	w.ctx = ctx;
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

struct resolver_query *
resolver_addrs(
    struct resolver *resolver, const char *host, resolver_fn *fn, void *ctx)
{
	(void)resolver;
	(void)host;
	(void)fn;
	(void)ctx;
	return NULL;
}

void
resolver_cancel(struct resolver_query **query)
{
	*query = NULL;
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

int
getsockopt(
    int fd, int level, int name, void *restrict value, socklen_t *restrict n)
{
	(void)fd;
	(void)level;
	(void)name;
	memset(value, 0, *n);
	return 0;
}

ssize_t
send(int fd, const void *p, size_t n, int flags)
{
	(void)fd;
	(void)p;
	(void)flags;
	return (ssize_t)n;
}

ssize_t
recv(int fd, void *p, size_t n, int flags)
{
	(void)fd;
	(void)flags;
	if (w.portion == 0) {
		errno = EAGAIN;
		return -1;
	}
	if (n > w.portion)
		n = w.portion;
	memcpy(p, w.p, n);
	w.p += n;
	w.n -= n;
	w.portion -= n;
	return (ssize_t)n;
}

/* ---- what is judged ------------------------------------------------------ */

static void
ask(void)
{
	struct question text;

	if (w.asked == ASKED_MAX)
		return;
	w.asked++;
	question_make(&text, redis_sha(w.redis), "account", "connections",
	    &terms, &question, true);
	redis_send(w.redis, text.argc, text.argv);
	redis_flush(w.redis);
}

static void
on_ready(void *ctx)
{
	(void)ctx;
	CHECK(strlen(redis_sha(w.redis)) == 40);
	ask();
}

/* Whatever is said, a host may use something again in the end. */
static void
check_heard(const struct fleet_answer *a)
{
	struct fleet_heard heard[FLEET_KINDS] = {{0}};

	for (int64_t s = 1; s < 100000; s += 1000)
		fleet_heard_take(heard, a, SIZE, s * 1000000);
	for (int k = 0; k < FLEET_KINDS; k++)
		CHECK(!fleet_heard_holds(
		    &heard[k], heard[k].since_us + FLEET_LESSON_MAX_US));
	CHECK(fleet_heard_connections(&heard[FLEET_FEWER], SIZE, LIMIT, 50000) >
	      0);
}

static void
check_answer(const struct fleet_answer *a)
{
	CHECK(a->word >= FLEET_OK && a->word <= FLEET_FULL);
	CHECK(a->share >= 0 && a->share <= LIMIT);
	CHECK(a->target >= 0 && a->target <= LIMIT);
	CHECK(a->known >= 0 && a->at >= 0 && a->end >= 0);
	CHECK(memchr(a->life, '\0', sizeof(a->life)) != NULL);
	for (int k = 0; k < FLEET_LESSONS; k++) {
		const struct fleet_lesson *l = &a->lessons[k];

		CHECK(l->left_us >= 0 && l->left_us <= FLEET_LESSON_MAX_US);
		CHECK(l->value >= 0);
		CHECK(l->left_us == 0 || fleet_is_name(l->host));
	}
	check_heard(a);
	if (a->word == FLEET_OK)
		CHECK(a->end >= a->at && a->end - a->at <= TTL_US);
}

static void
on_reply(void *ctx, const redisReply *reply)
{
	struct fleet_answer answer;

	(void)ctx;
	if (reply->type == REDIS_REPLY_ERROR) {
		const char *said = strchr(reply->str, ' ');

		CHECK(!w.has_password || said == NULL ||
		      strstr(said, SHOWN) == NULL);
		if (strncmp(reply->str, "READONLY", 8) == 0) {
			redis_give_up(w.redis, reply->str);
			return;
		}
	} else if (question_read_answer(reply, &terms, &question, &answer)) {
		check_answer(&answer);
	}
	ask();
}

static void
on_lost(void *ctx, const char *why)
{
	char *copy = mem_strdup(why);

	(void)ctx;
	log_safe(copy, strlen(copy));
	CHECK(strcmp(copy, why) == 0 && strlen(why) < REDIS_WHY_SIZE);
	CHECK(!w.has_password || strstr(why, SHOWN) == NULL);
	mem_free(copy);
	w.is_over = true;
}

static const struct redis_ops ops = {
    .on_reply = on_reply,
    .on_lost = on_lost,
    .on_ready = on_ready,
};

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct fleet_access access = {.path = "/engine"};

	if (size < 2)
		return 0;
	if ((data[0] & 1) != 0)
		memcpy(access.password, PASSWORD, sizeof(PASSWORD));
	w = (struct world){.p = data + 1, .n = size - 1};
	w.has_password = access.password[0] != '\0';
	w.redis = redis_new(NULL, NULL, &access, "return 1", &ops, NULL);
	redis_look(w.redis, w.now_ms);
	if (w.on_io != NULL)
		w.on_io(w.ctx, false, true);
	while (!w.is_over && w.n > 0 && w.on_io != NULL) {
		w.portion = *w.p++;
		w.n--;
		if (w.portion > w.n)
			w.portion = w.n;
		if (w.portion == 0)
			redis_look(w.redis, w.now_ms += 2000);
		while (w.portion > 0 && w.on_io != NULL)
			w.on_io(w.ctx, true, false);
	}
	redis_free(&w.redis);
	return 0;
}
