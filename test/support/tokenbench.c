#include "test/support/tokenbench.h"

#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "common/base/buf.h"
#include "common/base/log.h"
#include "common/base/mem.h"
#include "common/postfix/attr.h"
#include "test/support/scratch.h"

struct tokenbench {
	const struct tokenbench_answer *next;
	pthread_t thread;
	int fd;
	char error[200];
};

static void
say(int fd, struct buf *out)
{
	struct slice s = buf_slice(out);

	attr_put_end(out);
	s = buf_slice(out);
	CHECK(send(fd, s.p, s.n, MSG_NOSIGNAL) == (ssize_t)s.n);
	buf_fini(out);
}

/* One question; false: the client has gone. */
static bool
listen_to(int fd, struct attr_reader *in)
{
	char octet;
	size_t used;

	while (read(fd, &octet, 1) == 1)
		if (attr_reader_feed(in, &octet, 1, &used) == ATTR_LIST)
			return true;
	return false;
}

static void
serve(struct tokenbench *b, int fd)
{
	const struct tokenbench_answer *a = b->next;
	struct attr_reader in;
	struct slice name;
	int64_t refused = -1;
	struct buf out;

	attr_reader_init(&in, 4096, 8);
	buf_init(&out, 65536);
	attr_put_str(&out, "protocol", slice_str("lane_token_protocol"));
	say(fd, &out);
	if (!listen_to(fd, &in) || !attr_find(&in, "name", &name) ||
	    !attr_get_long(&in, "refused", &refused) ||
	    !slice_eq(name, "work") || refused != a->refused)
		(void)snprintf(b->error, sizeof(b->error),
		    "asked for otherwise: refused=%lld, not %lld",
		    (long long)refused, (long long)a->refused);
	if (a->text != NULL) {
		attr_put_int(&out, "status", a->status);
		attr_put_long(&out, "serial", a->serial);
		attr_put_str(&out, a->status == 0 ? "token" : "reason",
		    slice_str(a->text));
		say(fd, &out);
	}
	attr_reader_fini(&in);
	b->next++;
}

static bool
is_end(const struct tokenbench_answer *a)
{
	return a->text == NULL && a->status == 0;
}

static void *
run(void *ctx)
{
	struct tokenbench *b = ctx;
	int fd;

	while (!is_end(b->next) && (fd = accept(b->fd, NULL, NULL)) >= 0) {
		serve(b, fd);
		(void)close(fd);
	}
	return NULL;
}

struct tokenbench *
tokenbench_start(const struct tokenbench_answer *answers)
{
	struct tokenbench *b = mem_zalloc(sizeof(*b));
	struct sockaddr_un addr = {
	    .sun_family = AF_UNIX, .sun_path = "private/lane-token"};

	CHECK(chdir(scratch_dir()) == 0);
	(void)mkdir("private", 0700);
	(void)unlink(addr.sun_path);
	b->next = answers;
	b->fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	CHECK(bind(b->fd, (struct sockaddr *)&addr, sizeof(addr)) == 0);
	CHECK(listen(b->fd, 10) == 0);
	CHECK(pthread_create(&b->thread, NULL, run, b) == 0);
	return b;
}

const char *
tokenbench_finish(struct tokenbench **bench)
{
	static char error[200];
	struct tokenbench *b = *bench;

	*bench = NULL;
	(void)shutdown(b->fd, SHUT_RDWR);
	CHECK(pthread_join(b->thread, NULL) == 0);
	if (b->error[0] == '\0' && !is_end(b->next))
		(void)snprintf(b->error, sizeof(b->error), "not asked for: %s",
		    b->next->text != NULL ? b->next->text : "the end");
	(void)snprintf(error, sizeof(error), "%s", b->error);
	(void)close(b->fd);
	mem_free(b);
	return error[0] != '\0' ? error : NULL;
}
