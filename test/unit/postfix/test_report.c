#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "agent/postfix/report.h"
#include "common/base/clock.h"
#include "common/base/list.h"
#include "common/base/log.h"
#include "common/base/mem.h"
#include "test/support/daemon.h"
#include "test/support/fixture.h"

enum { DEADLINE_MS = 20000, SERVICES = 5, CLIENT_MAX = 200 };

enum service { BOUNCE, DEFER, TRACE, VERIFY, FLUSH };

struct world {
	struct loop *loop;
	struct settings set;
	struct report *report;
	struct daemon servers[SERVICES];
	int home_fd;
	char dir[64];
	bool mark_fails;
	size_t marked_before; /* requests seen when the mark came */
	int64_t marks[CLIENT_MAX];
	size_t mark_count, done_count;
	size_t order[CLIENT_MAX]; /* recipients as they were done */
	struct buf log;
};

static size_t
all_requests(const struct world *w)
{
	size_t n = 0;

	for (int i = 0; i < SERVICES; i++)
		n += w->servers[i].requests;
	return n;
}

/* --- world --- */

static void
keep_log(void *ctx, enum log_level level, const char *line)
{
	struct world *w = ctx;

	(void)level;
	buf_addf(&w->log, "%s\n", line);
}

static void
on_done(void *ctx, struct request *req, size_t i)
{
	struct world *w = ctx;

	assert_int_equal(req->rcpts[i].state, RCPT_REPORTED);
	assert_true(w->done_count < CLIENT_MAX);
	w->order[w->done_count++] = i;
}

static bool
on_mark(void *ctx, struct request *req, int64_t offset)
{
	struct world *w = ctx;

	(void)req;
	assert_true(w->mark_count < CLIENT_MAX);
	w->marked_before = all_requests(w);
	w->marks[w->mark_count++] = offset;
	return !w->mark_fails;
}

static void
open_servers(struct world *w, bool greet)
{
	static const char status[] = "delivery_status_protocol";

	daemon_open(&w->servers[BOUNCE], w->loop, "private/bounce",
	    greet ? status : NULL);
	daemon_open(&w->servers[DEFER], w->loop, "private/defer",
	    greet ? status : NULL);
	daemon_open(&w->servers[TRACE], w->loop, "private/trace",
	    greet ? status : NULL);
	daemon_open(&w->servers[VERIFY], w->loop, "private/verify",
	    greet ? "address_verification_prrotocol" : NULL);
	daemon_open(&w->servers[FLUSH], w->loop, "public/flush",
	    greet ? "queue_flush_protocol" : NULL);
}

static char release_new[] = "3.7.11", release_old[] = "3.4.29";
static char names[][16] = {
    "bounce", "defer", "trace", "verify", "flush", "external"};
static char flush_domains[] =
    "hash:/etc/x, example.com/none\t.sub.example  etrn.example";

static int
set_up(void **state)
{
	struct world *w = mem_zalloc(sizeof(*w));

	w->home_fd = open(".", O_RDONLY | O_DIRECTORY);
	snprintf(w->dir, sizeof(w->dir), "/tmp/report.XXXXXX");
	assert_non_null(mkdtemp(w->dir));
	assert_int_equal(chdir(w->dir), 0);
	assert_int_equal(mkdir("private", 0700), 0);
	assert_int_equal(mkdir("public", 0700), 0);
	w->set.mail_version = release_new;
	w->set.bounce_service_name = names[0];
	w->set.defer_service_name = names[1];
	w->set.trace_service_name = names[2];
	w->set.address_verify_service_name = names[3];
	w->set.flush_service_name = names[4];
	w->set.info_log_address_format = names[5];
	w->set.fast_flush_domains = flush_domains;
	w->set.address_verify_negative_cache = true;
	w->set.delay_logging_resolution_limit = 2;
	w->set.ipc_timeout_us = 3600 * US_PER_S;
	w->loop = loop_new();
	buf_init(&w->log, 1 << 20);
	log_set_sink(keep_log, w);
	w->report = report_new(w->loop, &w->set, on_done, on_mark, w);
	open_servers(w, true);
	*state = w;
	return 0;
}

static int
tear_down(void **state)
{
	struct world *w = *state;

	report_free(&w->report);
	for (int i = 0; i < SERVICES; i++)
		daemon_close(&w->servers[i]);
	loop_free(&w->loop);
	rmdir("private");
	rmdir("public");
	assert_int_equal(fchdir(w->home_fd), 0);
	close(w->home_fd);
	assert_int_equal(rmdir(w->dir), 0);
	log_set_sink(NULL, NULL);
	buf_fini(&w->log);
	mem_free(w);
	return 0;
}

static void
turn(struct world *w)
{
	struct loop_timer *tick = loop_timer_new(w->loop, mem_free, NULL);

	loop_timer_at(tick, clock_mono_ms() + 5);
	loop_once(w->loop);
	loop_timer_free(&tick);
}

#define UNTIL(w, cond)                                                         \
	do {                                                                   \
		int64_t end_ms = clock_mono_ms() + DEADLINE_MS;                \
		while (!(cond)) {                                              \
			if (clock_mono_ms() > end_ms)                          \
				fail_msg("in vain: %s", #cond);                \
			turn(w);                                               \
		}                                                              \
	} while (0)

/* A request of count recipients, as in the captured dialogues. */
static struct request *
make_request(const char *id, const char *address, int64_t offset, size_t count)
{
	struct request *req = mem_zalloc(sizeof(*req));
	struct timeval now = clock_wall();
	static char orcpt[100];

	snprintf(orcpt, sizeof(orcpt), "rfc822;%s", address);
	req->flags = REQUEST_SUCCESS;
	req->queue_id = id;
	req->rcpt_count = req->rcpt_due = count;
	req->rcpts = mem_zarray(count, sizeof(*req->rcpts));
	req->times.arrival = req->times.active = req->times.handoff = now;
	for (size_t i = 0; i < count; i++) {
		req->rcpts[i].address = req->rcpts[i].original = address;
		req->rcpts[i].orcpt = orcpt;
		req->rcpts[i].offset = offset;
	}
	return req;
}

static void
decide(struct request *req, size_t i, enum outcome outcome, const char *status,
    const char *reply)
{
	struct verdict *v = verdict_new(outcome);

	mem_free(v->relay);
	v->relay = mem_strdup("127.0.0.1[127.0.0.1]:2580");
	v->diag_text = mem_strdup(reply);
	v->mta_name = mem_strdup("127.0.0.1");
	if (outcome == OUTCOME_SENT)
		dsn_set(&v->dsn, status, "%s", reply);
	else
		dsn_set(&v->dsn, status,
		    "host 127.0.0.1[127.0.0.1] said: %s "
		    "(in reply to RCPT TO command)",
		    reply);
	request_decide(req, i, v);
	request_set_rcpt_state(req, i, RCPT_HANDED_OVER);
}

static void
report_one(struct world *w, struct request *req)
{
	size_t before = w->done_count;

	report_recipient(w->report, req, 0);
	UNTIL(w, w->done_count == before + 1);
	assert_int_equal(report_pending(w->report), 0);
}

static bool
log_has(struct world *w, const char *text)
{
	return strstr(buf_str(&w->log), text) != NULL;
}

static void
assert_said(struct world *w, enum service i, const char *fixture)
{
	struct buf want;
	struct slice got = buf_slice(&w->servers[i].last);

	assert_int_equal(fchdir(w->home_fd), 0);
	fixture_read(fixture, &want);
	assert_int_equal(chdir(w->dir), 0);
	assert_int_equal(got.n, buf_len(&want));
	assert_memory_equal(got.p, buf_slice(&want).p, got.n);
	buf_fini(&want);
}

static struct request *
bounced(void)
{
	struct request *req =
	    make_request("488E6A7A817", "rej@a.cap.example", 735, 1);

	decide(req, 0, OUTCOME_BOUNCE, "5.1.1",
	    "550-5.1.1 no such 550 5.1.1 user here");
	return req;
}

static struct request *
deferred(void)
{
	struct request *req =
	    make_request("488E6A7A817", "def@a.cap.example", 813, 1);

	decide(req, 0, OUTCOME_DEFER, "4.2.0", "450 4.2.0 try later");
	return req;
}

static struct request *
sent(const char *id, int64_t offset)
{
	struct request *req = make_request(id, "ok@a.cap.example", offset, 1);

	decide(
	    req, 0, OUTCOME_SENT, "2.0.0", "250 2.0.0 Ok: queued as SINK1234");
	return req;
}

/* --- tests --- */

static void
report_of_a_plain_delivery_marks_and_logs_at_once(void **state)
{
	struct world *w = *state;
	struct request *req = sent("488E6A7A817", 658);

	report_recipient(w->report, req, 0);
	assert_int_equal(w->done_count, 1);
	assert_int_equal(w->mark_count, 1);
	assert_int_equal(w->marks[0], 658);
	assert_false(req->must_retry);
	assert_int_equal(all_requests(w), 0);
	assert_true(log_has(
	    w, "dsn=2.0.0, status=sent (250 2.0.0 Ok: queued as SINK1234)\n"));
	request_free(&req);
	/* not to be marked: flag absent, or no record */
	req = sent("488E6A7A817", 658);
	req->flags = 0;
	report_recipient(w->report, req, 0);
	request_free(&req);
	req = sent("488E6A7A817", -1);
	report_recipient(w->report, req, 0);
	assert_int_equal(w->mark_count, 1);
	assert_false(req->must_retry);
	request_free(&req);
	/* a mark that fails is left to the queue manager */
	w->mark_fails = true;
	req = sent("488E6A7A817", 658);
	report_recipient(w->report, req, 0);
	assert_true(req->must_retry);
	request_free(&req);
}

static void
report_tells_bounce_and_marks_when_acknowledged(void **state)
{
	struct world *w = *state;

	for (int old = 0; old < 2; old++) {
		struct request *req = bounced();

		report_one(w, req);
		assert_said(w, BOUNCE, "ipc/bounce-append.bin");
		assert_int_equal(w->mark_count, old + 1);
		assert_int_equal(w->marks[old], 735);
		assert_int_equal(w->marked_before, 1);
		assert_false(req->must_retry);
		assert_true(log_has(w, "dsn=5.1.1, status=bounced (host"));
		request_free(&req);
		if (old)
			break;
		/* and again as before 3.6, without a greeting */
		for (int i = 0; i < SERVICES; i++)
			daemon_close(&w->servers[i]);
		open_servers(w, false);
		w->set.mail_version = release_old;
	}
}

static void
report_tells_defer_and_leaves_the_recipient(void **state)
{
	struct world *w = *state;
	struct request *req = deferred();

	report_one(w, req);
	assert_said(w, DEFER, "ipc/defer-append.bin");
	assert_true(req->must_retry);
	assert_int_equal(w->mark_count, 0);
	assert_true(log_has(w, "dsn=4.2.0, status=deferred (host 127."));
	request_free(&req);
	/* a defer(8) that fails changes nothing but a warning */
	w->servers[DEFER].manner = DAEMON_REFUSE;
	req = deferred();
	report_one(w, req);
	assert_true(req->must_retry);
	assert_true(log_has(w, "warning: 488E6A7A817: defer service failure"));
	request_free(&req);
}

static void
report_traces_success_when_asked_for(void **state)
{
	static const struct {
		int flags, notify;
		bool dsn_offered;
		size_t traces;
	} table[] = {
	    {0, 0, false, 0},
	    {0, NOTIFY_SUCCESS, false, 1},
	    {0, NOTIFY_SUCCESS, true, 0},
	    {0, NOTIFY_FAILURE | NOTIFY_DELAY, false, 0},
	    {REQUEST_RECORD, 0, false, 1},
	    {REQUEST_RECORD, NOTIFY_SUCCESS, false, 2},
	    {REQUEST_RECORD, NOTIFY_SUCCESS, true, 1},
	    {REQUEST_REC_DLY_SENT, 0, false, 1},
	    {REQUEST_REC_DLY_SENT, NOTIFY_DELAY, false, 1},
	    {REQUEST_REC_DLY_SENT, NOTIFY_FAILURE, false, 0},
	};
	struct world *w = *state;
	struct request *req = sent("488E6A7A817", 658);

	req->rcpts[0].notify_flags = NOTIFY_SUCCESS;
	report_one(w, req);
	assert_said(w, TRACE, "ipc/trace-append.bin");
	assert_int_equal(w->marked_before, 0);
	request_free(&req);
	req = sent("55671A7A824", 263);
	req->flags |= REQUEST_RECORD;
	report_one(w, req);
	assert_said(w, TRACE, "ipc/trace-append-flags1024.bin");
	request_free(&req);
	for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
		w->servers[TRACE].requests = 0;
		req = sent("55671A7A824", 263);
		req->flags |= table[i].flags;
		req->rcpts[0].notify_flags = table[i].notify;
		req->rcpts[0].verdict->dsn_offered = table[i].dsn_offered;
		report_one(w, req);
		assert_int_equal(w->servers[TRACE].requests, table[i].traces);
		request_free(&req);
	}
}

static void
report_keeps_a_delivery_although_trace_fails(void **state)
{
	struct world *w = *state;
	struct request *req = sent("488E6A7A817", 658);

	w->servers[TRACE].manner = DAEMON_REFUSE;
	req->rcpts[0].notify_flags = NOTIFY_SUCCESS;
	report_one(w, req);
	assert_int_equal(w->mark_count, 1);
	assert_false(req->must_retry);
	assert_int_equal(w->servers[DEFER].requests, 0);
	assert_true(log_has(w, "warning: 488E6A7A817: trace service failure"));
	assert_true(log_has(w, "status=sent"));
	request_free(&req);
}

static void
report_softens_bounces_when_configured(void **state)
{
	struct world *w = *state;
	struct request *req = bounced();
	struct slice said;

	w->set.soft_bounce = true;
	report_one(w, req);
	assert_int_equal(w->servers[BOUNCE].requests, 0);
	assert_int_equal(w->servers[DEFER].requests, 1);
	said = buf_slice(&w->servers[DEFER].last);
	assert_non_null(memmem(said.p, said.n,
	    "status\0"
	    "4.1.1",
	    13));
	assert_non_null(memmem(said.p, said.n,
	    "action\0"
	    "delayed",
	    15));
	assert_true(req->must_retry);
	assert_int_equal(w->mark_count, 0);
	assert_true(log_has(w, "dsn=4.1.1, status=SOFTBOUNCE (host 127."));
	request_free(&req);
}

static void
report_defers_when_bounce_will_not_have_it(void **state)
{
	static const enum daemon_manner manners[] = {DAEMON_REFUSE,
	    DAEMON_HANG_UP, DAEMON_HANG_UP_AT_ONCE, DAEMON_BABBLE,
	    DAEMON_STAY_SILENT, DAEMON_GREET_WRONGLY};
	struct world *w = *state;

	for (size_t i = 0; i < sizeof(manners) / sizeof(manners[0]); i++) {
		struct request *req = bounced();

		w->set.ipc_timeout_us = manners[i] == DAEMON_STAY_SILENT
					    ? 50 * US_PER_MS
					    : 3600 * US_PER_S;
		w->servers[BOUNCE].manner = manners[i];
		report_one(w, req);
		assert_int_equal(w->servers[DEFER].requests, i + 1);
		assert_true(req->must_retry);
		assert_true(log_has(w, "dsn=4.3.0, status=deferred "
				       "(bounce or trace service failure)"));
		assert_false(log_has(w, "status=bounced"));
		buf_reset(&w->log);
		request_free(&req);
	}
	assert_int_equal(w->mark_count, 0);
	assert_int_equal(w->servers[TRACE].requests, 0);
}

static void
report_defers_a_bounce_that_cannot_be_traced(void **state)
{
	struct world *w = *state;
	struct request *req = bounced();

	w->servers[TRACE].manner = DAEMON_REFUSE;
	req->flags |= REQUEST_RECORD;
	report_one(w, req);
	assert_int_equal(w->servers[BOUNCE].requests, 1);
	assert_int_equal(w->servers[DEFER].requests, 1);
	/* once for the bounce and once for the deferral */
	assert_int_equal(w->servers[TRACE].requests, 2);
	assert_true(req->must_retry);
	assert_int_equal(w->mark_count, 0);
	request_free(&req);
}

static void
report_outlives_daemons_that_are_not_there(void **state)
{
	struct world *w = *state;
	struct request *req = bounced();

	for (int i = 0; i < SERVICES; i++)
		daemon_close(&w->servers[i]);
	report_one(w, req);
	assert_true(req->must_retry);
	assert_true(
	    log_has(w, "warning: private/bounce: No such file or directory"));
	assert_true(log_has(w, "status=deferred"));
	request_free(&req);
}

static struct request *
probe(int flag, enum outcome outcome, const char *status)
{
	struct request *req =
	    make_request("51FF4A7A823", "ok@a.cap.example", 262, 1);

	req->flags |= flag;
	decide(req, 0, outcome, status, "250 2.1.5 Ok");
	return req;
}

static void
report_answers_probes_to_verify(void **state)
{
	struct world *w = *state;
	struct request *req = probe(REQUEST_MTA_VRFY, OUTCOME_SENT, "2.1.5");

	req->rcpts[0].address = req->rcpts[0].original = "probe@a.cap.example";
	report_one(w, req);
	assert_said(w, VERIFY, "ipc/verify-update.bin");
	assert_int_equal(w->servers[VERIFY].requests, 1);
	assert_int_equal(w->mark_count, 1);
	assert_int_equal(w->marked_before, 1);
	assert_true(log_has(w, "status=deliverable (250 2.1.5 Ok)"));
	request_free(&req);
	/* two addresses, two updates */
	req = probe(REQUEST_MTA_VRFY, OUTCOME_BOUNCE, "5.1.1");
	req->rcpts[0].original = "alias@a.cap.example";
	report_one(w, req);
	assert_int_equal(w->servers[VERIFY].requests, 3);
	assert_true(log_has(w, "status=undeliverable ("));
	assert_false(req->must_retry);
	request_free(&req);
	w->set.address_verify_negative_cache = false;
	req = probe(REQUEST_MTA_VRFY, OUTCOME_DEFER, "4.1.1");
	report_one(w, req);
	assert_int_equal(w->servers[VERIFY].requests, 3);
	assert_true(log_has(w, "status=undeliverable-but-not-cached ("));
	request_free(&req);
	assert_int_equal(all_requests(w), 3);
}

static void
report_answers_sendmail_bv_through_trace(void **state)
{
	struct world *w = *state;
	struct request *req = probe(REQUEST_USR_VRFY, OUTCOME_SENT, "2.1.5");

	report_one(w, req);
	assert_said(w, TRACE, "ipc/trace-append-flags512.bin");
	assert_true(log_has(w, "status=deliverable ("));
	assert_false(req->must_retry);
	request_free(&req);
	w->servers[TRACE].manner = DAEMON_REFUSE;
	req = probe(REQUEST_USR_VRFY, OUTCOME_DEFER, "4.2.0");
	report_one(w, req);
	assert_true(req->must_retry);
	assert_int_equal(w->mark_count, 1);
	assert_true(log_has(w, "status=undeliverable ("));
	request_free(&req);
	assert_int_equal(all_requests(w), 2);
}

static void
report_tries_verify_again_before_it_gives_up(void **state)
{
	struct world *w = *state;
	struct request *req = probe(REQUEST_MTA_VRFY, OUTCOME_SENT, "2.1.5");

	w->servers[VERIFY].manner = DAEMON_REFUSE;
	report_one(w, req);
	assert_int_equal(w->servers[VERIFY].requests, 3);
	assert_true(req->must_retry);
	assert_int_equal(w->mark_count, 0);
	request_free(&req);
}

static void
report_tells_flush_of_deferred_mail_for_its_domains(void **state)
{
	static const struct {
		const char *address;
		bool is_told;
	} table[] = {
	    {"a@etrn.example", true},
	    {"a@ETRN.Example", true},
	    {"a@host.etrn.example", true},
	    {"a@notetrn.example", false},
	    {"a@sub.example", true},
	    {"a@x.sub.example", true},
	    {"a@example", false},
	    {"a@none", false},
	    {"a@/etc/x", false},
	    {"local", false},
	    {"", false},
	};
	struct world *w = *state;
	struct request *req;

	for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
		req = make_request("488E6A7A817", table[i].address, 813, 1);
		decide(req, 0, OUTCOME_DEFER, "4.2.0", "450 4.2.0 later");
		w->servers[FLUSH].requests = 0;
		report_one(w, req);
		if (w->servers[FLUSH].requests != table[i].is_told)
			fail_msg("flush and %s", table[i].address);
		request_free(&req);
	}
	/* never of anything else, and its refusal is nobody's problem */
	buf_reset(&w->log);
	w->servers[FLUSH].manner = DAEMON_REFUSE;
	w->servers[FLUSH].requests = 0;
	req = make_request("488E6A7A817", "a@etrn.example", 813, 1);
	decide(req, 0, OUTCOME_BOUNCE, "5.1.1", "550 5.1.1 no");
	report_one(w, req);
	assert_int_equal(w->servers[FLUSH].requests, 0);
	request_free(&req);
	req = make_request("488E6A7A817", "a@etrn.example", 813, 1);
	decide(req, 0, OUTCOME_DEFER, "4.2.0", "450 4.2.0 later");
	report_one(w, req);
	assert_int_equal(w->servers[FLUSH].requests, 1);
	assert_false(log_has(w, "warning"));
	request_free(&req);
}

static void
report_replaces_a_status_of_the_wrong_class(void **state)
{
	struct world *w = *state;
	struct request *req = sent("488E6A7A817", 658);

	dsn_set(&req->rcpts[0].verdict->dsn, "4.2.0", "250 fine");
	report_one(w, req);
	assert_true(log_has(w, "dsn=2.0.0, status=sent (250 fine)"));
	assert_true(log_has(w, "warning: 488E6A7A817: status \"4.2.0\""));
	request_free(&req);
}

static void
report_has_no_more_than_its_share_of_conversations(void **state)
{
	enum { COUNT = 100 };
	struct world *w = *state;
	struct daemon *s = &w->servers[BOUNCE];
	struct request *req =
	    make_request("488E6A7A817", "rej@a.cap.example", 735, COUNT);

	s->manner = DAEMON_HOLD;
	for (size_t i = 0; i < COUNT; i++) {
		decide(req, i, OUTCOME_BOUNCE, "5.1.1", "550 5.1.1 no");
		report_recipient(w->report, req, i);
	}
	assert_int_equal(report_pending(w->report), COUNT);
	UNTIL(w, s->requests == REPORT_PARALLEL);
	for (int i = 0; i < 10; i++)
		turn(w);
	assert_int_equal(s->requests, REPORT_PARALLEL);
	assert_int_equal(w->done_count, 0);
	/* One at a time. Who connects first among those under way is the
	 * socket's affair (its queue is short here), who is next is not. */
	while (!list_is_empty(&s->clients)) {
		struct daemon_client *c = list_entry(
		    list_first(&s->clients), struct daemon_client, link);
		size_t before = w->done_count;

		if (!attr_at(&c->list, 0, &(struct attr_pair){0})) {
			turn(w);
			continue;
		}
		daemon_say(c, "status", "0");
		daemon_drop(c);
		UNTIL(w, w->done_count == before + 1);
		UNTIL(w, s->requests == COUNT ||
			     s->requests == before + 1 + REPORT_PARALLEL);
	}
	assert_int_equal(w->done_count, COUNT);
	assert_int_equal(w->mark_count, COUNT);
	assert_true(s->open_max <= REPORT_PARALLEL);
	for (size_t i = 0; i < COUNT; i++)
		assert_true(w->order[i] < i + REPORT_PARALLEL);
	assert_false(req->must_retry);
	request_free(&req);
}

static void
report_can_be_broken_off(void **state)
{
	enum { COUNT = 40 };
	struct world *w = *state;
	struct request *req =
	    make_request("488E6A7A817", "rej@a.cap.example", 735, COUNT);

	w->servers[BOUNCE].manner = DAEMON_STAY_SILENT;
	for (size_t i = 0; i < COUNT; i++) {
		decide(req, i, OUTCOME_BOUNCE, "5.1.1", "550 5.1.1 no");
		report_recipient(w->report, req, i);
	}
	UNTIL(w, w->servers[BOUNCE].requests > 3);
	report_free(&w->report);
	turn(w);
	assert_int_equal(w->done_count, 0);
	request_free(&req);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    TEST(report_of_a_plain_delivery_marks_and_logs_at_once),
	    TEST(report_tells_bounce_and_marks_when_acknowledged),
	    TEST(report_tells_defer_and_leaves_the_recipient),
	    TEST(report_traces_success_when_asked_for),
	    TEST(report_keeps_a_delivery_although_trace_fails),
	    TEST(report_softens_bounces_when_configured),
	    TEST(report_defers_when_bounce_will_not_have_it),
	    TEST(report_defers_a_bounce_that_cannot_be_traced),
	    TEST(report_outlives_daemons_that_are_not_there),
	    TEST(report_answers_probes_to_verify),
	    TEST(report_answers_sendmail_bv_through_trace),
	    TEST(report_tries_verify_again_before_it_gives_up),
	    TEST(report_tells_flush_of_deferred_mail_for_its_domains),
	    TEST(report_replaces_a_status_of_the_wrong_class),
	    TEST(report_has_no_more_than_its_share_of_conversations),
	    TEST(report_can_be_broken_off),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
