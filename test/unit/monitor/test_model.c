#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "agent/state/board_hosts.h"
#include "common/base/clock.h"
#include "common/base/mem.h"
#include "monitor/model_json.h"
#include "test/support/scratch.h"
#include "test/support/statedir.h"

/* A site of one lane whose state is in the test's directory. */
static void
open_site(struct site *site, const char *dir)
{
	char *lines = mem_printf("lane_state_directory = %s\n", dir);
	char error[512] = "";

	scratch_config(lines);
	scratch_write(
	    "config/master.cf", "fast unix - - n - 1 lane class=fast\n");
	if (!site_open(site, scratch_path("config"), error, sizeof(error)))
		fail_msg("%s", error);
	mem_free(lines);
}

static struct board_writer *
lane_at_work(const char *dir, const char *name)
{
	char error[200] = "";
	struct board_writer *w =
	    board_writer_open(dir, name, "fast", error, sizeof(error));
	int row;

	assert_non_null(w);
	assert_true(board_writer_set_account(w, "mx.example joe"));
	board_writer_set_limits(w, 20, 12, 60000, 3, 1);
	board_writer_refusal(w, "421 too many \"connections\"\n");
	board_writer_add(w, BOARD_COUNTER_messages_sent, 41);
	board_writer_set(w, BOARD_GAUGE_requests_waiting, 5);
	board_writer_observe(w, BOARD_HIST_wire_time, 1000);
	board_writer_set_slots(w, 3, 2, 1, 20);
	board_hosts_set_rtt(w, "mx.example", 2500);
	row = board_writer_session_new(w, 12345);
	board_writer_session_peer(w, row, "mx.example", "192.0.2.1");
	board_writer_session_figures(w, row, 7, 2, 10, 999);
	board_writer_beat(w);
	return w;
}

static void
model_shows_what_a_lane_put_on_the_board(void **state)
{
	struct site site;
	struct board_writer *w = lane_at_work(*state, "fast");
	struct model *m;
	const struct model_lane *lane;
	const struct model_account *a;

	open_site(&site, *state);
	m = model_read(&site, clock_moment());
	assert_int_equal(m->lane_count, 1);
	lane = model_find(m, "fast");
	assert_non_null(lane);
	assert_ptr_equal(lane->site, &site.lanes[0]);
	assert_int_equal(lane->process, MODEL_RUNNING);
	assert_int_equal(lane->pid, getpid());
	assert_int_equal(lane->counters[BOARD_COUNTER_messages_sent], 41);
	assert_int_equal(lane->gauges[BOARD_GAUGE_requests_waiting], 5);
	assert_int_equal(lane->hists[BOARD_HIST_wire_time].count, 1);
	assert_int_equal(lane->held, 3);
	assert_int_equal(lane->connection_limit, 20);
	assert_int_equal(lane->session_count, 1);
	assert_string_equal(lane->sessions[0].host, "mx.example");
	assert_string_equal(lane->sessions[0].peer, "192.0.2.1");
	assert_string_equal(lane->sessions[0].state, "dialing");
	assert_int_equal(lane->sessions[0].messages, 7);
	assert_int_equal(lane->account, 0);
	assert_int_equal(m->account_count, 1);
	a = &m->accounts[0];
	assert_true(a->is_in_use);
	assert_string_equal(a->label, "mx.example");
	assert_int_equal(a->limit_now, 12);
	assert_string_equal(a->refusal, "421 too many \"connections\"?");
	assert_int_equal(a->host_count, 1);
	assert_int_equal(a->hosts[0].rtt_us, 2500);
	model_free(&m);
	board_writer_close(&w);
	site_close(&site);
}

static void
model_tells_processes_apart(void **state)
{
	struct site site;
	struct board_writer *w;
	struct model *m;

	open_site(&site, *state);
	m = model_read(&site, clock_moment());
	assert_int_equal(m->lane_count, 1);
	assert_int_equal(m->lanes[0].process, MODEL_NOT_STARTED);
	assert_false(m->lanes[0].has_figures);
	assert_false(m->boards[0].is_bad);
	assert_string_equal(m->boards[0].why, "no lane has run here");
	model_free(&m);
	w = lane_at_work(*state, "fast");
	board_writer_close(&w);
	w = lane_at_work(*state, "other");
	m = model_read(&site, clock_moment());
	assert_int_equal(m->lane_count, 2);
	assert_int_equal(m->lanes[0].process, MODEL_STOPPED);
	assert_int_equal(m->lanes[0].counters[BOARD_COUNTER_messages_sent], 41);
	assert_string_equal(m->lanes[1].name, "other");
	assert_null(m->lanes[1].site);
	assert_int_equal(m->lanes[1].process, MODEL_RUNNING);
	model_free(&m);
	board_writer_close(&w);
	site_close(&site);
}

static void
lane_that_dies(void *ctx, int in, int out)
{
	(void)lane_at_work(ctx, "fast");
	statedir_tell(out, 'r');
	(void)statedir_hear(in);
}

static void
model_knows_a_lane_that_crashed(void **state)
{
	struct statedir_child child;
	struct site site;
	struct model *m;

	open_site(&site, *state);
	statedir_fork(&child, lane_that_dies, *state);
	assert_int_equal(statedir_hear(child.from), 'r');
	m = model_read(&site, clock_moment());
	assert_int_equal(m->lanes[0].process, MODEL_RUNNING);
	assert_int_equal(m->lanes[0].session_count, 1);
	assert_int_equal(m->lanes[0].gauges[BOARD_GAUGE_requests_waiting], 5);
	model_free(&m);
	statedir_tell(child.to, 'd');
	(void)statedir_end(&child, 0);
	m = model_read(&site, clock_moment());
	assert_int_equal(m->lanes[0].process, MODEL_CRASHED);
	assert_false(m->accounts[0].is_in_use);
	/* What it had in hand is gone with it; what it did, and found out, is
	 * not. */
	assert_int_equal(m->lanes[0].session_count, 0);
	assert_int_equal(m->lanes[0].held, 0);
	assert_int_equal(m->lanes[0].gauges[BOARD_GAUGE_requests_waiting], 0);
	assert_int_equal(m->lanes[0].counters[BOARD_COUNTER_messages_sent], 41);
	model_free(&m);
	site_close(&site);
}

/* ---- files that are not as they should be ------------------------------- */

static void
why_is(const struct site *site, bool is_bad, const char *why)
{
	struct model *m = model_read(site, clock_moment());

	assert_int_equal(m->board_count, 1);
	assert_int_equal(m->boards[0].is_bad, is_bad);
	assert_non_null(strstr(m->boards[0].why, why));
	assert_int_equal(m->lane_count, 1);
	assert_false(m->lanes[0].has_figures);
	assert_int_equal(m->account_count, 0);
	model_free(&m);
}

static void
model_says_what_is_wrong_with_the_board(void **state)
{
	struct board_writer *w = lane_at_work(*state, "fast");
	char *path = mem_printf("%s/board", (char *)*state);
	uint64_t version = BOARD_VERSION + 1;
	struct site site;
	int fd;

	board_writer_close(&w);
	open_site(&site, *state);
	fd = open(path, O_RDWR);
	assert_true(fd >= 0);
	assert_int_equal(pwrite(fd, &version, sizeof(version),
			     offsetof(struct board_head, version)),
	    sizeof(version));
	why_is(&site, true, "another release of lane wrote it");
	assert_int_equal(ftruncate(fd, BOARD_SIZE / 2), 0);
	version = BOARD_VERSION;
	assert_int_equal(pwrite(fd, &version, sizeof(version),
			     offsetof(struct board_head, version)),
	    sizeof(version));
	why_is(&site, true, "the board is damaged (");
	assert_int_equal(ftruncate(fd, 3), 0);
	why_is(&site, true, "the board is damaged (3 octets");
	assert_int_equal(ftruncate(fd, 0), 0);
	why_is(&site, true, "the board is damaged (0 octets");
	assert_int_equal(unlink(path), 0);
	why_is(&site, false, "no lane has run here");
	assert_int_equal(symlink("/etc/passwd", path), 0);
	why_is(&site, true, "symbolic link");
	assert_int_equal(unlink(path), 0);
	/* Nobody waits for the other end. */
	assert_int_equal(mkfifo(path, 0600), 0);
	why_is(&site, true, "");
	(void)close(fd);
	mem_free(path);
	site_close(&site);
}

/* Copies the entry of the first lane to that of another, all session rows busy.
 */
static void
double_first_lane(const char *dir, int to)
{
	const off_t lanes = offsetof(struct board, lanes);
	struct board_lane *lane = mem_zalloc(sizeof(*lane));
	char *path = mem_printf("%s/board", dir);
	int fd = open(path, O_RDWR);

	assert_true(fd >= 0);
	assert_int_equal(
	    pread(fd, lane, sizeof(*lane), lanes), (ssize_t)sizeof(*lane));
	lane->counters[BOARD_COUNTER_messages_sent] = 1000;
	for (size_t i = 0; i < BOARD_SESSIONS; i++)
		lane->sessions[i].state = BOARD_SESSION_BUSY;
	assert_int_equal(
	    pwrite(fd, lane, sizeof(*lane), lanes + to * (off_t)sizeof(*lane)),
	    (ssize_t)sizeof(*lane));
	(void)close(fd);
	mem_free(path);
	mem_free(lane);
}

static void
model_has_a_lane_once_that_the_board_has_twice(void **state)
{
	struct board_writer *w = lane_at_work(*state, "fast");
	struct site site;
	struct model *m;

	open_site(&site, *state);
	double_first_lane(*state, 1);
	m = model_read(&site, clock_moment());
	assert_int_equal(m->lane_count, 1);
	assert_int_equal(m->lanes[0].process, MODEL_RUNNING);
	assert_int_equal(m->lanes[0].session_count, 1);
	assert_int_equal(m->lanes[0].counters[BOARD_COUNTER_messages_sent], 41);
	model_free(&m);
	board_writer_close(&w);
	site_close(&site);
}

/* ---- JSON ---------------------------------------------------------------- */

static int64_t
number_at(const json_t *o, const char *name)
{
	const json_t *value = json_object_get(o, name);

	assert_true(json_is_integer(value));
	return json_integer_value(value);
}

static void
model_json_has_every_figure_by_its_name(void **state)
{
	struct board_writer *w = lane_at_work(*state, "fast");
	struct site site;
	struct model *m;
	json_t *doc, *lane, *account;
	char *text;

	open_site(&site, *state);
	m = model_read(&site, clock_moment());
	/* Cut within a character: JSON all the same. */
	(void)snprintf(m->accounts[0].refusal, sizeof(m->accounts[0].refusal),
	    "421 caf\xc3");
	doc = model_json(m);
	text = json_dumps(doc, 0);
	assert_non_null(text);
	free(text);
	assert_int_equal(number_at(doc, "schema"), MODEL_SCHEMA);
	lane = json_array_get(json_object_get(doc, "lanes"), 0);
	for (int i = 0; i < BOARD_COUNTER_COUNT; i++)
		assert_int_equal(number_at(json_object_get(lane, "counters"),
				     board_counters[i].name),
		    i == BOARD_COUNTER_messages_sent ? 41 : 0);
	for (int i = 0; i < BOARD_GAUGE_COUNT; i++)
		(void)number_at(
		    json_object_get(lane, "gauges"), board_gauges[i].name);
	assert_int_equal(
	    number_at(json_object_get(
			  json_object_get(lane, "latency_us"), "wire_time"),
		"count"),
	    1);
	account = json_array_get(json_object_get(doc, "accounts"), 0);
	assert_string_equal(
	    json_string_value(json_object_get(account, "refusal")), "421 caf?");
	assert_int_equal(number_at(account, "index"), 0);
	json_decref(doc);
	model_free(&m);
	board_writer_close(&w);
	site_close(&site);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    IN_STATEDIR(model_shows_what_a_lane_put_on_the_board),
	    IN_STATEDIR(model_tells_processes_apart),
	    IN_STATEDIR(model_knows_a_lane_that_crashed),
	    IN_STATEDIR(model_says_what_is_wrong_with_the_board),
	    IN_STATEDIR(model_has_a_lane_once_that_the_board_has_twice),
	    IN_STATEDIR(model_json_has_every_figure_by_its_name),
	};

	return cmocka_run_group_tests_name("model", tests, NULL, NULL);
}
