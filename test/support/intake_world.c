#include "test/support/intake_world.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>
#include "agent/engine/message.h"
#include "agent/postfix/intake.h"
#include "common/base/clock.h"
#include "common/base/log.h"
#include "common/base/mem.h"
#include "test/support/fixture.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

size_t intake_world_warnings;

static void
count_warnings(void *ctx, enum log_level level, const char *line)
{
	(void)ctx;
	(void)line;
	intake_world_warnings += level == LOG_LEVEL_WARN;
}

static bool
may_greet(void *ctx, int64_t now_ms, int64_t *until_ms_out)
{
	struct world *w = ctx;

	(void)now_ms;
	w->asked++;
	*until_ms_out = w->greet_until_ms;
	return w->may_greet;
}

static void
on_request(void *ctx, struct request *req)
{
	struct world *w = ctx;

	assert_true(w->req_count < QMGR_MAX);
	if (w->finish_at_once)
		intake_finish(w->intake, req);
	else
		w->reqs[w->req_count] = req;
	w->req_count++;
}

static bool
on_hangup(void *ctx, struct request *req)
{
	struct world *w = ctx;

	assert_non_null(req);
	w->hangups++;
	return w->drop_on_hangup;
}

static void
on_first_accept(void *ctx)
{
	((struct world *)ctx)->first_accepts++;
}

static const struct intake_ops ops = {
    may_greet, on_request, on_hangup, on_first_accept, NULL};

static void
write_queue_file(char type, mode_t mode)
{
	char octets[FILE_SIZE];
	int fd = open(INTAKE_WORLD_PATH, O_RDWR | O_CREAT | O_TRUNC, 0600);

	memset(octets, '.', sizeof(octets));
	octets[RCPT_OFF] = type;
	assert_true(fd >= 0);
	assert_int_equal(write(fd, octets, sizeof(octets)), sizeof(octets));
	assert_int_equal(fchmod(fd, mode), 0);
	close(fd);
}

char
intake_world_read_mark(void)
{
	char type = 0;
	int fd = open(INTAKE_WORLD_PATH, O_RDONLY);

	assert_int_equal(pread(fd, &type, 1, RCPT_OFF), 1);
	close(fd);
	return type;
}

/* Could the queue manager take the file for itself? */
bool
intake_world_is_locked(void)
{
	int fd = open(INTAKE_WORLD_PATH, O_RDWR);
	bool locked = flock(fd, LOCK_EX | LOCK_NB) != 0;

	close(fd);
	return locked;
}

struct sockaddr_un
intake_world_address(void)
{
	struct sockaddr_un sun = {.sun_family = AF_UNIX};

	memcpy(sun.sun_path, "lane", 5);
	return sun;
}

void
intake_world_open(struct world *w)
{
	w->intake = intake_new(w->loop, &w->set, w->listen_fd, &ops, w);
}

int
intake_world_set_up(void **state)
{
	struct world *w = mem_zalloc(sizeof(*w));
	struct sockaddr_un sun = intake_world_address();

	log_set_sink(count_warnings, NULL);
	intake_world_warnings = 0;
	fixture_read("requests/one-rcpt.3.7.11.bin", &w->wire);
	w->home_fd = open(".", O_RDONLY | O_DIRECTORY);
	snprintf(w->dir, sizeof(w->dir), "/tmp/intake.XXXXXX");
	assert_non_null(mkdtemp(w->dir));
	assert_int_equal(chdir(w->dir), 0);
	assert_int_equal(mkdir("active", 0700), 0);
	write_queue_file('R', 0700);
	w->set.mail_version = mem_strdup("3.7.11");
	w->set.hash_queue_names = mem_strdup("deferred, defer");
	w->set.hash_queue_depth = 1;
	w->set.lane_wait_limit_us = HOLD_LIMIT_MS * US_PER_MS;
	w->set.lane_request_limit_us = 3600 * US_PER_S;
	w->listen_fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0);
	assert_int_equal(
	    bind(w->listen_fd, (struct sockaddr *)&sun, sizeof(sun)), 0);
	assert_int_equal(listen(w->listen_fd, 4096), 0);
	w->loop = loop_new();
	w->may_greet = w->drop_on_hangup = true;
	intake_world_open(w);
	*state = w;
	return 0;
}

int
intake_world_tear_down(void **state)
{
	struct world *w = *state;

	intake_free(&w->intake);
	loop_free(&w->loop);
	close(w->listen_fd);
	unlink(INTAKE_WORLD_PATH);
	unlink("lane");
	rmdir("active");
	assert_int_equal(fchdir(w->home_fd), 0);
	close(w->home_fd);
	assert_int_equal(rmdir(w->dir), 0);
	buf_fini(&w->wire);
	mem_free(w->set.mail_version);
	mem_free(w->set.hash_queue_names);
	mem_free(w);
	log_set_sink(NULL, NULL);
	return 0;
}

/* One turn that does not wait for long. */
void
intake_world_turn(struct world *w)
{
	struct loop_timer *tick = loop_timer_new(w->loop, mem_free, NULL);

	loop_timer_at(tick, clock_mono_ms() + 1);
	loop_once(w->loop);
	loop_timer_free(&tick);
}

void
intake_world_settle(struct world *w)
{
	for (int i = 0; i < 5; i++)
		intake_world_turn(w);
}

/* --- the queue manager's side --- */

int
intake_world_qmgr_connect(void)
{
	struct sockaddr_un sun = intake_world_address();
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0);

	assert_true(fd >= 0);
	assert_int_equal(connect(fd, (struct sockaddr *)&sun, sizeof(sun)), 0);
	return fd;
}

ssize_t
intake_world_peek(int fd)
{
	char octets[4096];

	return recv(fd, octets, sizeof(octets), MSG_PEEK);
}

/* Everything that is there, which must be what the fixture holds. */
void
intake_world_expect(struct world *w, int fd, const char *fixture)
{
	struct buf want;
	char got[4096];
	ssize_t n;

	UNTIL(w, intake_world_peek(fd) > 0);
	n = recv(fd, got, sizeof(got), 0);
	assert_int_equal(fchdir(w->home_fd), 0);
	fixture_read(fixture, &want);
	assert_int_equal(chdir(w->dir), 0);
	assert_int_equal(n, buf_len(&want));
	assert_memory_equal(got, buf_slice(&want).p, buf_len(&want));
	buf_fini(&want);
}

void
intake_world_send_all(int fd, struct slice octets)
{
	assert_int_equal(send(fd, octets.p, octets.n, MSG_NOSIGNAL), octets.n);
}

/* Connects, is greeted and hands the request over. */
int
intake_world_qmgr_request(struct world *w)
{
	size_t before = w->req_count;
	int fd = intake_world_qmgr_connect();

	intake_world_expect(w, fd, "ipc/agent-hello-3.6+.bin");
	intake_world_send_all(fd, buf_slice(&w->wire));
	UNTIL(w, w->req_count == before + 1);
	return fd;
}
