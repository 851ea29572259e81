#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/resource.h>
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
#include "test/support/intake_world.h"

static void
intake_serves_one_request_from_hello_to_eof(void **state)
{
	struct world *w = *state;
	int fd = intake_world_qmgr_request(w);
	struct request *req = w->reqs[0];

	assert_int_equal(w->first_accepts, 1);
	assert_string_equal(req->queue_id, INTAKE_WORLD_ID);
	assert_int_equal(req->rcpt_count, 1);
	assert_non_null(req->message);
	assert_int_equal(req->deadline_us, req->received_us + 3600 * US_PER_S);
	assert_int_equal(intake_working(w->intake), 1);
	assert_true(intake_world_is_locked());
	assert_true(intake_mark(w, req, RCPT_OFF));
	assert_int_equal(intake_world_read_mark(), 'D');
	intake_finish(w->intake, req);
	/* with the answer the file is the queue manager's */
	assert_false(intake_world_is_locked());
	intake_world_expect(w, fd, "ipc/agent-final-ok.bin");
	/* which ends there, whether it hangs up or not */
	assert_int_equal(intake_world_peek(fd), 0);
	assert_int_equal(intake_working(w->intake), 0);
	close(fd);
	intake_world_settle(w);
	assert_int_equal(w->hangups, 0);
	assert_int_equal(intake_world_warnings, 0);
}

static void
intake_speaks_to_old_queue_managers(void **state)
{
	struct world *w = *state;
	int fd;

	mem_free(w->set.mail_version);
	w->set.mail_version = mem_strdup("3.5.27");
	fd = intake_world_qmgr_connect();
	intake_world_expect(w, fd, "ipc/agent-hello-3.5-.bin");
	close(fd);
	UNTIL(w, intake_greeted(w->intake) == 0);
}

static void
intake_reports_what_must_be_retried_and_the_hop(void **state)
{
	struct world *w = *state;
	struct dsn dsn = {.status = "4.4.1",
	    .text = "connect to relay.example[192.0.2.1]:587: "
		    "Connection timed out"};
	int fd = intake_world_qmgr_request(w);

	w->reqs[0]->must_retry = true;
	intake_finish(w->intake, w->reqs[0]);
	intake_world_expect(w, fd, "ipc/agent-final-defer.bin");
	close(fd);
	UNTIL(w, !intake_world_is_locked());
	fd = intake_world_qmgr_request(w);
	w->reqs[1]->must_retry = true;
	request_set_hop(w->reqs[1], &dsn, NULL);
	intake_finish(w->intake, w->reqs[1]);
	intake_world_expect(w, fd, "ipc/agent-final-defer-deadsite.bin");
	close(fd);
	intake_world_settle(w);
}

static void
intake_may_be_answered_from_inside_on_request(void **state)
{
	struct world *w = *state;
	int fd;

	w->finish_at_once = true;
	fd = intake_world_qmgr_request(w);
	intake_world_expect(w, fd, "ipc/agent-final-ok.bin");
	close(fd);
	UNTIL(w, !intake_world_is_locked());
}

static void
intake_reads_a_request_at_any_cut(void **state)
{
	struct world *w = *state;
	struct slice all = buf_slice(&w->wire);
	struct fixture_random chance;

	fixture_random_init(&chance);
	for (int round = 0; round < 8; round++) {
		int fd = intake_world_qmgr_connect();
		size_t at = 0;

		intake_world_expect(w, fd, "ipc/agent-hello-3.6+.bin");
		while (at < all.n) {
			size_t n = round == 0 ? 1
					      : 1 + fixture_random_below(
							&chance, all.n - at);

			assert_int_equal(w->req_count, round);
			intake_world_send_all(fd, slice_of(all.p + at, n));
			at += n;
			intake_world_turn(w);
		}
		UNTIL(w, w->req_count == (size_t)round + 1);
		assert_string_equal(
		    w->reqs[round]->rcpts[0].address, "bob@example.org");
		intake_finish(w->intake, w->reqs[round]);
		close(fd);
	}
	intake_world_settle(w);
}

static void
intake_reads_large_requests(void **state)
{
	struct world *w = *state;
	struct slice all;
	int fd;

	/* the same request with many recipients */
	buf_fini(&w->wire);
	assert_int_equal(fchdir(w->home_fd), 0);
	fixture_read("requests/multi-30rcpt.bin", &w->wire);
	assert_int_equal(chdir(w->dir), 0);
	all = buf_slice(&w->wire);
	fd = intake_world_qmgr_connect();
	intake_world_expect(w, fd, "ipc/agent-hello-3.6+.bin");
	intake_world_send_all(fd, all);
	/* its file is not here: given back, not dropped */
	intake_world_expect(w, fd, "ipc/agent-final-defer.bin");
	assert_int_equal(intake_world_warnings, 1);
	assert_int_equal(w->req_count, 0);
	close(fd);
	intake_world_settle(w);
}

static void
intake_holds_the_hello_back_until_kicked(void **state)
{
	struct world *w = *state;
	int a, b;

	w->may_greet = false;
	a = intake_world_qmgr_connect();
	b = intake_world_qmgr_connect();
	UNTIL(w, intake_waiting(w->intake) == 1);
	intake_world_settle(w);
	assert_int_equal(intake_world_peek(a), -1);
	w->may_greet = true;
	intake_kick(w->intake);
	intake_world_expect(w, a, "ipc/agent-hello-3.6+.bin");
	intake_world_expect(w, b, "ipc/agent-hello-3.6+.bin");
	assert_int_equal(intake_waiting(w->intake), 0);
	assert_int_equal(intake_greeted(w->intake), 2);
	close(a);
	close(b);
	UNTIL(w, intake_greeted(w->intake) == 0);
	assert_int_equal(intake_world_warnings, 0);
}

/* A lane that dies must not take the waiting connections with it. */
static void
intake_leaves_those_that_wait_to_the_next_process(void **state)
{
	struct world *w = *state;
	int fd;

	w->may_greet = false;
	fd = intake_world_qmgr_connect();
	UNTIL(w, intake_waiting(w->intake) == 1);
	intake_free(&w->intake);
	intake_world_turn(w);
	w->may_greet = true;
	intake_world_open(w);
	intake_world_expect(w, fd, "ipc/agent-hello-3.6+.bin");
	close(fd);
	UNTIL(w, intake_greeted(w->intake) == 0);
}

static void
intake_asks_again_when_told_to(void **state)
{
	struct world *w = *state;
	int fd = intake_world_qmgr_connect();

	w->may_greet = false;
	w->greet_until_ms = clock_mono_ms() + 20;
	UNTIL(w, intake_waiting(w->intake) == 1);
	w->may_greet = true;
	intake_world_expect(w, fd, "ipc/agent-hello-3.6+.bin");
	close(fd);
	intake_world_settle(w);
}

static void
intake_never_holds_a_hello_beyond_the_limit(void **state)
{
	struct world *w = *state;
	int fd;

	w->set.lane_wait_limit_us = 30 * US_PER_MS;
	w->may_greet = false;
	fd = intake_world_qmgr_connect();
	intake_world_expect(w, fd, "ipc/agent-hello-3.6+.bin");
	assert_true(w->asked >= 1);
	close(fd);
	intake_world_settle(w);
}

static void
intake_takes_an_early_end_as_normal(void **state)
{
	struct world *w = *state;
	struct slice all = buf_slice(&w->wire);
	int fd;

	/* before the hello */
	w->may_greet = false;
	fd = intake_world_qmgr_connect();
	UNTIL(w, intake_waiting(w->intake) == 1);
	close(fd);
	w->may_greet = true;
	intake_kick(w->intake);
	UNTIL(w, intake_waiting(w->intake) + intake_greeted(w->intake) == 0);
	/* after it, and within the request */
	for (size_t n = 0; n < all.n; n += 97) {
		fd = intake_world_qmgr_connect();
		intake_world_expect(w, fd, "ipc/agent-hello-3.6+.bin");
		intake_world_send_all(fd, slice_of(all.p, n));
		intake_world_turn(w);
		close(fd);
		UNTIL(w, intake_greeted(w->intake) == 0);
	}
	assert_int_equal(w->req_count, 0);
	assert_int_equal(w->hangups, 0);
	assert_int_equal(intake_world_warnings, 0);
}

static void
intake_drops_an_unsent_request_on_hangup(void **state)
{
	struct world *w = *state;
	int fd = intake_world_qmgr_request(w);

	assert_true(intake_world_is_locked());
	close(fd);
	UNTIL(w, w->hangups == 1);
	intake_world_settle(w);
	assert_false(intake_world_is_locked());
	assert_int_equal(intake_working(w->intake), 0);
	assert_int_equal(intake_world_read_mark(), 'R');
}

static void
intake_keeps_a_request_in_flight_on_hangup(void **state)
{
	struct world *w = *state;
	int fd = intake_world_qmgr_request(w);

	w->drop_on_hangup = false;
	close(fd);
	UNTIL(w, w->hangups == 1);
	intake_world_settle(w);
	assert_int_equal(w->hangups, 1);
	assert_true(intake_world_is_locked());
	assert_true(intake_mark(w, w->reqs[0], RCPT_OFF));
	intake_finish(w->intake, w->reqs[0]);
	intake_world_settle(w);
	assert_false(intake_world_is_locked());
	assert_int_equal(intake_world_read_mark(), 'D');
	assert_int_equal(intake_working(w->intake), 0);
}

static void
intake_gives_unsent_requests_back_when_released(void **state)
{
	struct world *w = *state;
	int a = intake_world_qmgr_request(w), b = intake_world_qmgr_request(w);

	intake_release_unsent(w->intake);
	intake_world_expect(w, a, "ipc/agent-final-defer.bin");
	intake_world_expect(w, b, "ipc/agent-final-defer.bin");
	assert_int_equal(w->hangups, 2);
	assert_int_equal(intake_working(w->intake), 0);
	close(a);
	close(b);
	UNTIL(w, !intake_world_is_locked());
}

static void
intake_serves_on_after_stop_but_accepts_no_more(void **state)
{
	struct world *w = *state;
	int late, fd = intake_world_qmgr_request(w);

	intake_stop(w->intake);
	late = intake_world_qmgr_connect();
	intake_world_settle(w);
	assert_int_equal(intake_waiting(w->intake), 0);
	assert_int_equal(intake_world_peek(late), -1);
	intake_finish(w->intake, w->reqs[0]);
	intake_world_expect(w, fd, "ipc/agent-final-ok.bin");
	close(fd);
	close(late);
	intake_world_settle(w);
}

static void
intake_closes_on_malformed_requests(void **state)
{
	static const struct slice table[] = {
	    {"a\0b\0\0", 5}, /* nothing that is needed */
	    {"}\0", 2},
	};
	struct world *w = *state;

	for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
		int fd = intake_world_qmgr_connect();

		intake_world_expect(w, fd, "ipc/agent-hello-3.6+.bin");
		intake_world_send_all(fd, table[i]);
		UNTIL(w, intake_world_peek(fd) == 0);
		assert_int_equal(intake_world_warnings, i + 1);
		close(fd);
	}
}

/* Octets replaced at random never do more than close a connection. */
static void
intake_survives_random_octets(void **state)
{
	struct world *w = *state;
	struct slice all = buf_slice(&w->wire);
	struct fixture_random chance;
	char *copy = mem_alloc(all.n);

	w->finish_at_once = true;
	fixture_random_init(&chance);
	for (int round = 0; round < 200; round++) {
		int fd = intake_world_qmgr_connect();

		memcpy(copy, all.p, all.n);
		for (int i = 0; i < 3; i++)
			copy[fixture_random_below(&chance, all.n)] =
			    (char)fixture_random_below(&chance, 256);
		UNTIL(w, intake_world_peek(fd) > 0);
		intake_world_send_all(fd, slice_of(copy, all.n));
		intake_world_settle(w);
		close(fd);
		intake_world_settle(w);
	}
	assert_int_equal(intake_greeted(w->intake), 0);
	assert_int_equal(intake_working(w->intake), 0);
	mem_free(copy);
}

static void
intake_marks_recipients_and_corrupt_files(void **state)
{
	struct world *w = *state;
	struct stat st;
	int fd = intake_world_qmgr_request(w);
	struct request *req = w->reqs[0];

	assert_true(intake_mark(w, req, RCPT_OFF));
	assert_false(intake_mark(w, req, RCPT_OFF));
	intake_mark_corrupt(req);
	assert_true(req->must_retry);
	assert_int_equal(stat(INTAKE_WORLD_PATH, &st), 0);
	assert_int_equal(st.st_mode & 07777, 0400);
	intake_finish(w->intake, req);
	intake_world_expect(w, fd, "ipc/agent-final-defer.bin");
	close(fd);
	intake_world_settle(w);
}

static void
intake_gives_probes_no_message(void **state)
{
	struct world *w = *state;
	struct slice all = buf_slice(&w->wire);
	struct buf changed;
	int fd;

	/* flags 3 -> 259, a probe by verify(8) */
	assert_memory_equal(all.p, "flags\0003", 8);
	buf_init(&changed, 8192);
	buf_add(&changed, "flags\000259", 9);
	buf_add(&changed, all.p + 7, all.n - 7);
	fd = intake_world_qmgr_connect();
	UNTIL(w, intake_world_peek(fd) > 0);
	intake_world_send_all(fd, buf_slice(&changed));
	UNTIL(w, w->req_count == 1);
	assert_true(request_is_probe(w->reqs[0]));
	assert_null(w->reqs[0]->message);
	intake_finish(w->intake, w->reqs[0]);
	buf_fini(&changed);
	close(fd);
	intake_world_settle(w);
}

static size_t
count_descriptors(void)
{
	size_t count = 0;

	for (int fd = 0; fd < 4096; fd++)
		count += fcntl(fd, F_GETFD) >= 0;
	return count;
}

static void
intake_needs_little_for_a_waiting_request(void **state)
{
	enum { COUNT = 1000 };
	struct world *w = *state;
	struct rlimit limit;
	static int fds[COUNT];
	size_t before, used, fds_before;

	assert_int_equal(getrlimit(RLIMIT_NOFILE, &limit), 0);
	limit.rlim_cur = limit.rlim_max < 4096 ? limit.rlim_max : 4096;
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &limit), 0);
	if (limit.rlim_cur < 3 * COUNT + 100)
		skip();
	fds[0] = intake_world_qmgr_request(w);
	before = mallinfo2().uordblks;
	fds_before = count_descriptors();
	for (int i = 1; i < COUNT; i++)
		fds[i] = intake_world_qmgr_request(w);
	used = mallinfo2().uordblks - before;
	print_message("%zu octets, %.3f descriptors a request\n",
	    used / (COUNT - 1),
	    (double)(count_descriptors() - fds_before) / (COUNT - 1) - 1);
	/* the allocator of the sanitizer does not tell */
	assert_true(used / (COUNT - 1) <= 2500);
	/* ours are two, one is the test's */
	assert_int_equal(count_descriptors() - fds_before, 3 * (COUNT - 1));
	/* reload: all connections end at once */
	for (int i = 0; i < COUNT; i++)
		close(fds[i]);
	UNTIL(w, w->hangups == COUNT);
	assert_int_equal(intake_working(w->intake), 0);
	intake_world_settle(w);
	assert_false(intake_world_is_locked());
}

/* So many and no more; each that goes lets the next one in. */
static void
intake_keeps_to_its_limit(void **state)
{
	enum { COUNT = 7, MOST = 3 };
	struct world *w = *state;
	int fds[COUNT];

	intake_limit(w->intake, MOST);
	for (int i = 0; i < COUNT; i++)
		fds[i] = intake_world_qmgr_connect();
	for (size_t i = 0; i < COUNT; i++) {
		UNTIL(w, intake_world_peek(fds[i]) > 0);
		intake_world_settle(w);
		if (i + MOST < COUNT)
			assert_true(intake_world_peek(fds[i + MOST]) <= 0);
		intake_world_send_all(fds[i], buf_slice(&w->wire));
		UNTIL(w, w->req_count == i + 1);
		intake_finish(w->intake, w->reqs[i]);
		/* Its descriptors are free, whenever the queue manager reads
		 * the answer. */
		if (i + MOST < COUNT)
			UNTIL(w, intake_world_peek(fds[i + MOST]) > 0);
		close(fds[i]);
	}
	intake_world_settle(w);
}

static void
intake_waits_when_descriptors_run_out(void **state)
{
	enum { COUNT = 30, LIMIT = 40 };
	struct world *w = *state;
	struct rlimit limit, low;
	int fds[COUNT];
	size_t answered = 0;

	assert_int_equal(getrlimit(RLIMIT_NOFILE, &limit), 0);
	for (int i = 0; i < COUNT; i++)
		fds[i] = intake_world_qmgr_connect();
	/* room for a few requests only */
	low = limit;
	low.rlim_cur = (rlim_t)fds[COUNT - 1] + 6;
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &low), 0);
	UNTIL(w, intake_world_warnings == 1);
	intake_world_settle(w);
	for (int i = 0; i < COUNT; i++)
		if (intake_world_peek(fds[i]) > 0)
			intake_world_send_all(fds[i], buf_slice(&w->wire));
	intake_world_settle(w);
	assert_true(w->req_count > 0 && w->req_count < COUNT);
	/* nothing was lost: more room, and all are served */
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &limit), 0);
	UNTIL(w, intake_waiting(w->intake) == 0 &&
		     w->req_count + intake_greeted(w->intake) == COUNT);
	for (int i = 0; i < COUNT; i++) {
		char octets[64];

		assert_true(intake_world_peek(fds[i]) > 0);
		assert_int_equal(recv(fds[i], octets, sizeof(octets), 0), 36);
	}
	for (int i = COUNT - 1; w->req_count < COUNT; i--)
		intake_world_send_all(fds[i], buf_slice(&w->wire)),
		    intake_world_settle(w);
	for (size_t i = 0; i < w->req_count; i++)
		intake_finish(w->intake, w->reqs[i]);
	for (int i = 0; i < COUNT; i++) {
		answered += intake_world_peek(fds[i]) == 77;
		close(fds[i]);
	}
	assert_int_equal(answered, COUNT);
	assert_int_equal(intake_world_warnings, 1);
	intake_world_settle(w);
}

#define TEST(f)                                                                \
	cmocka_unit_test_setup_teardown(                                       \
	    f, intake_world_set_up, intake_world_tear_down)

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    TEST(intake_serves_one_request_from_hello_to_eof),
	    TEST(intake_speaks_to_old_queue_managers),
	    TEST(intake_reports_what_must_be_retried_and_the_hop),
	    TEST(intake_may_be_answered_from_inside_on_request),
	    TEST(intake_reads_a_request_at_any_cut),
	    TEST(intake_reads_large_requests),
	    TEST(intake_holds_the_hello_back_until_kicked),
	    TEST(intake_leaves_those_that_wait_to_the_next_process),
	    TEST(intake_asks_again_when_told_to),
	    TEST(intake_never_holds_a_hello_beyond_the_limit),
	    TEST(intake_takes_an_early_end_as_normal),
	    TEST(intake_drops_an_unsent_request_on_hangup),
	    TEST(intake_keeps_a_request_in_flight_on_hangup),
	    TEST(intake_gives_unsent_requests_back_when_released),
	    TEST(intake_serves_on_after_stop_but_accepts_no_more),
	    TEST(intake_closes_on_malformed_requests),
	    TEST(intake_survives_random_octets),
	    TEST(intake_marks_recipients_and_corrupt_files),
	    TEST(intake_gives_probes_no_message),
	    TEST(intake_needs_little_for_a_waiting_request),
	    TEST(intake_keeps_to_its_limit),
	    TEST(intake_waits_when_descriptors_run_out),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
