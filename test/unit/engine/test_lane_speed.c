/* How fast a lane is, in fake time, and what it costs to look again. */
#include <malloc.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/ptrace.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "agent/engine/message.h"
#include "common/postfix/attr.h"
#include "test/support/lane_world.h"

/* Messages per second and session that nothing can exceed: a dial of 7 round
 * trips, then windows of `depth` messages, a round trip each. */
static double
bound(const struct world *w)
{
	double quota = w->set.lane_messages_per_connection;
	double rtts =
	    (double)w->server.dial_rtts + quota / w->set.lane_pipeline_depth;

	return quota * 1000.0 / (rtts * (double)w->server.rtt_ms);
}

static void
lane_reaches_its_bound(void **state)
{
	static const struct {
		const char *name;
		int depth, sessions;
		bool pipelining, chunking;
	} cases[] = {
	    {"BDAT, depth 10, 20 sessions", 10, 20, true, true},
	    {"BDAT, depth 50, 20 sessions", 50, 20, true, true},
	    {"BDAT, depth 10, 1 session", 10, 1, true, true},
	    {"BDAT, depth 50, 1 session", 50, 1, true, true},
	    {"DATA overlap, 20 sessions", 1, 20, true, false},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct world w;
		size_t count = (size_t)cases[i].sessions * 1000;
		double rate, most;
		int64_t from;

		world_init(&w);
		w.is_stranger = true;
		w.set.lane_pipeline_depth = cases[i].depth;
		w.set.lane_connection_limit = cases[i].sessions;
		w.ehlo.pipelining = cases[i].pipelining;
		w.ehlo.chunking = cases[i].chunking;
		most = bound(&w) * cases[i].sessions;
		if (!cases[i].chunking)
			w.set.lane_pipeline_depth = 10;
		world_open(&w, count);
		from = world_ms(&w);
		world_feed(&w, count);
		world_finish(&w, 3600000);
		rate = (double)count * 1000.0 / (double)(world_ms(&w) - from);
		assert_true(rate >= most * 0.9);
		print_message("%-30s %8.1f of %8.1f messages/s, %3.0f %%, "
			      "%zu dials, load %zu\n",
		    cases[i].name, rate, most, 100 * rate / most, w.dials,
		    w.load_peak);
		world_check_all_sent(&w);
		world_fini(&w);
	}
}

/* ---- what it costs to look again --------------------------------------- */

static struct world *stepped;

static void
kick_in_child(void)
{
	if (ptrace(PTRACE_TRACEME, 0, NULL, NULL) != 0)
		_exit(1);
	(void)raise(SIGSTOP);
	lane_kick(stepped->lane, stepped->now);
	(void)lane_deadline_us(stepped->lane);
	_exit(0);
}

/* Instructions of one look, counted step by step in a child; -1: not here. */
static long
count_instructions(struct world *w)
{
	pid_t pid;
	int status = 0;
	long n = 0;

	stepped = w;
	pid = fork();
	if (pid == 0)
		kick_in_child();
	if (pid < 0 || waitpid(pid, &status, 0) != pid || !WIFSTOPPED(status))
		return -1;
	while (ptrace(PTRACE_SINGLESTEP, pid, NULL, NULL) == 0 &&
	       waitpid(pid, &status, 0) == pid && WIFSTOPPED(status))
		n++;
	return WIFEXITED(status) && WEXITSTATUS(status) == 0 ? n : -1;
}

static void
looking_again_costs_the_same_however_many_wait(void **state)
{
	static const size_t waiting[] = {50, 500, 5000};
	static char rate[] = "100/1s";
	static const char *const kinds[] = {
	    "windows full", "waiting for a token", "a message for each"};

	(void)state;
	for (int kind = 0; kind < 3; kind++) {
		long n[3];

		for (size_t i = 0; i < 3; i++) {
			struct world w;

			world_init(&w);
			if (kind == 1)
				w.set.lane_message_rate_limit = rate;
			world_open(&w, waiting[i] + 200);
			world_submit(&w, waiting[i] + 200);
			world_run(&w, kind == 1 ? 1 : 750);
			world_route(&w)->depth = kind == 2 ? 2 : 1;
			n[i] = count_instructions(&w);
			world_fini(&w);
			if (n[i] < 0)
				skip();
		}
		print_message("%-20s %6ld %6ld %6ld instructions with 50, "
			      "500, 5000 waiting\n",
		    kinds[kind], n[0], n[1], n[2]);
		assert_true(n[2] < n[0] * 5 / 4 + 500);
	}
}

/* ---- what it costs to wait --------------------------------------------- */

enum { WAITERS = 1000, WAITER_OCTETS_MAX = 4096 };

static struct request *
captured_request(struct slice wire, int64_t now_us)
{
	struct timeval now = {1700000000, 0};
	struct attr_reader list;
	struct request *req = NULL;
	const char *why = "";
	size_t used;

	attr_reader_init(&list, REQUEST_BYTES_MAX, 64);
	while (wire.n > 0) {
		assert_int_equal(
		    attr_reader_feed(&list, wire.p, wire.n, &used), ATTR_LIST);
		wire = slice_of(wire.p + used, wire.n - used);
		if (req == NULL)
			req = request_new(&list, now, now_us, &why);
		else
			assert_true(request_add_rcpt(req, &list, &why));
		assert_non_null(req);
	}
	attr_reader_fini(&list);
	return req;
}

/* Request, transaction and message, as the heap counts them. */
static void
waiting_request_takes_less_than_4_kb(void **state)
{
	static const char *const names[] = {"body-100k", "dsn-3rcpt"};
	static struct request *reqs[WAITERS];

	(void)state;
	for (size_t k = 0; k < 2; k++) {
		struct queue_source source;
		struct world w;
		struct buf wire;
		char path[64];
		size_t before, took;

		(void)snprintf(path, sizeof(path), "requests/%s.bin", names[k]);
		fixture_read(path, &wire);
		world_init(&w);
		queue_source_init(&source, buf_slice(&w.file));
		world_open(&w, 1);
		before = mallinfo2().uordblks;
		for (size_t i = 0; i < WAITERS; i++) {
			reqs[i] = captured_request(buf_slice(&wire), w.now.us);
			reqs[i]->message =
			    message_new(queue_source_of(&source), 0, 998);
			lane_submit(w.lane, reqs[i], w.now);
		}
		took = (mallinfo2().uordblks - before) / WAITERS;
		assert_int_equal(lane_waiting(w.lane), WAITERS);
		print_message(
		    "waiting request (%s): %zu octets\n", names[k], took);
		assert_true(took <= WAITER_OCTETS_MAX);
		for (size_t i = 0; i < WAITERS; i++) {
			assert_true(lane_drop(w.lane, reqs[i]));
			request_free(&reqs[i]);
		}
		world_fini(&w);
		buf_fini(&wire);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(lane_reaches_its_bound),
	    cmocka_unit_test(looking_again_costs_the_same_however_many_wait),
	    cmocka_unit_test(waiting_request_takes_less_than_4_kb),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
