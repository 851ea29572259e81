#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <fcntl.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "agent/state/board_hosts.h"
#include "agent/state/board_state.h"
#include "agent/state/board_writer.h"
#include "common/base/log.h"
#include "common/base/mem.h"
#include "common/shared/board.h"
#include "test/support/filedamage.h"
#include "test/support/statedir.h"

static void
board_histogram_steps_are_an_eighth_of_an_octave(void **state)
{
	static const struct {
		uint64_t us;
		unsigned bucket;
	} rows[] = {
	    {0, 0},
	    {7, 7},
	    {8, 8},
	    {15, 15},
	    {16, 16},
	    {17, 16},
	    {18, 17},
	    {31, 23},
	    {32, 24},
	    {1000000, 143},
	    {UINT64_MAX, BOARD_HIST_BUCKETS - 1},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
		assert_int_equal(board_hist_bucket(rows[i].us), rows[i].bucket);
	for (unsigned i = 0; i < BOARD_HIST_BUCKETS; i++) {
		uint64_t floor = board_hist_floor(i);

		assert_int_equal(board_hist_bucket(floor), i);
		if (floor > 0)
			assert_int_equal(board_hist_bucket(floor - 1), i - 1);
	}
}

static void
board_histogram_quantiles_are_within_an_eighth(void **state)
{
	struct board_hist h = {0};

	(void)state;
	assert_int_equal(board_hist_quantile(&h, 0.5), 0);
	for (uint64_t us = 1; us <= 10000; us++)
		board_hist_add(&h, us);
	assert_int_equal(h.count, 10000);
	assert_int_equal(h.sum, 50005000);
	assert_in_range(board_hist_quantile(&h, 0.5), 5000, 5000 * 9 / 8);
	assert_in_range(board_hist_quantile(&h, 0.99), 9900, 9900 * 9 / 8);
	assert_in_range(board_hist_quantile(&h, 1), 10000, 10000 * 9 / 8);
	assert_int_equal(board_hist_quantile(&h, 0), 1);
}

static void
board_ring_counts_whole_seconds_before_now(void **state)
{
	struct board_ring r = {.seconds = {0}};
	const uint64_t now = 1700000005;

	(void)state;
	for (int i = 0; i < 3; i++)
		board_ring_add(&r, now);
	board_ring_add(&r, now - 1);
	board_ring_add(&r, now - 10);
	board_ring_add(&r, now - 11);
	/* The present second is not over. */
	assert_int_equal(board_ring_sum(&r, 1, now), 1);
	assert_int_equal(board_ring_sum(&r, 10, now), 2);
	assert_int_equal(board_ring_sum(&r, 60, now), 3);
	assert_int_equal(board_ring_sum(&r, 10, now + 1), 4);
	/* An hour has all of it; its oldest ten goes by and by. */
	assert_int_equal(board_ring_sum(&r, 3600, now), 3);
	assert_int_equal(board_ring_sum(&r, 3600, now + 5), 6);
	assert_int_equal(board_ring_sum(&r, 3600, now + 3595), 4);
	assert_int_equal(board_ring_sum(&r, 3600, now + 3600), 2);
	assert_int_equal(board_ring_sum(&r, 3600, now + 3605), 0);
	assert_int_equal(board_ring_sum(&r, 3600, now + 3700), 0);
}

static void
board_ring_forgets_earlier_rounds_and_a_clock_that_was_ahead(void **state)
{
	struct board_ring r = {.seconds = {0}};
	const uint64_t now = 1700000000;

	(void)state;
	board_ring_add(&r, now);
	board_ring_add(&r, now + BOARD_RING_SECONDS);
	assert_int_equal(board_ring_sum(&r, 60, now + 1), 0);
	assert_int_equal(
	    board_ring_sum(&r, 1, now + BOARD_RING_SECONDS + 1), 1);
	/* It was set back. */
	board_ring_add(&r, now);
	assert_int_equal(board_ring_sum(&r, 1, now + 1), 1);
	assert_int_equal(board_ring_sum(&r, 60, now + BOARD_RING_SECONDS), 0);
}

static void
board_ring_keeps_a_steady_rate_for_an_hour(void **state)
{
	struct board_ring r = {.seconds = {0}};
	uint64_t now = 1700000000;

	(void)state;
	for (int i = 0; i < 2 * 3600; i++, now++)
		for (int k = 0; k < 5; k++)
			board_ring_add(&r, now);
	assert_int_equal(board_ring_sum(&r, 10, now), 50);
	assert_int_equal(board_ring_sum(&r, 60, now), 300);
	for (int i = 0; i < 15; i++, now++) {
		assert_int_equal(board_ring_sum(&r, 3600, now), 18000);
		for (int k = 0; k < 5; k++)
			board_ring_add(&r, now);
	}
}

static void
board_label_shows_the_host_and_never_a_login(void **state)
{
	static const struct {
		const char *account, *label;
	} rows[] = {
	    {"smtp.example.com", "smtp.example.com"},
	    {"smtp.example.com joe", "smtp.example.com"},
	    {"2001:db8::1 joe@example.com", "2001:db8::1"},
	    {"smtp.exa\x01mple.com joe", "smtp.exa?mple.com"},
	};
	char label[BOARD_NAME], long_name[300];

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		board_label(rows[i].account, label, sizeof(label));
		assert_string_equal(label, rows[i].label);
	}
	board_label("joe@example.com", label, sizeof(label));
	assert_memory_equal(label, "account-", 8);
	assert_null(strstr(label, "joe"));
	memset(long_name, 'x', sizeof(long_name) - 1);
	long_name[sizeof(long_name) - 1] = '\0';
	board_label(long_name, label, sizeof(label));
	assert_int_equal(strlen(label), BOARD_NAME - 1);
}

static struct board_writer *
writer(const char *dir, const char *name)
{
	char error[200] = "";
	struct board_writer *w =
	    board_writer_open(dir, name, "fast", error, sizeof(error));

	if (w == NULL)
		fail_msg("board_writer_open: %s", error);
	return w;
}

static void
board_counters_go_on_in_the_next_process(void **state)
{
	struct board_writer *w = writer(*state, "fast");
	uint64_t generation;

	board_writer_add(w, BOARD_COUNTER_messages_sent, 3);
	board_writer_set(w, BOARD_GAUGE_messages_active, -7);
	board_writer_observe(w, BOARD_HIST_wire_time, 1000);
	assert_int_equal(
	    (int64_t)board_writer_lane(w)->gauges[BOARD_GAUGE_messages_active],
	    -7);
	generation = board_writer_lane(w)->generation;
	board_writer_close(&w);
	w = writer(*state, "fast");
	board_writer_add(w, BOARD_COUNTER_messages_sent, 2);
	assert_int_equal(
	    board_writer_lane(w)->counters[BOARD_COUNTER_messages_sent], 5);
	assert_int_equal(
	    board_writer_lane(w)->gauges[BOARD_GAUGE_messages_active], 0);
	assert_int_equal(
	    board_writer_lane(w)->hists[BOARD_HIST_wire_time].count, 1);
	assert_true(board_writer_lane(w)->generation > generation);
	board_writer_close(&w);
}

static void
board_lanes_have_entries_of_their_own(void **state)
{
	struct board_writer *lanes[BOARD_LANES], *again;
	char name[16], error[200];

	for (int i = 0; i < BOARD_LANES; i++) {
		(void)snprintf(name, sizeof(name), "lane%d", i);
		lanes[i] = writer(*state, name);
		board_writer_add(
		    lanes[i], BOARD_COUNTER_dials, (uint64_t)i + 1);
	}
	assert_null(
	    board_writer_open(*state, "more", "", error, sizeof(error)));
	board_writer_close(&lanes[3]);
	/* the entry of a lane that is gone makes room, figures and all */
	again = writer(*state, "more");
	assert_int_equal(
	    board_writer_lane(again)->counters[BOARD_COUNTER_dials], 0);
	board_writer_close(&again);
	for (int i = 0; i < BOARD_LANES; i++)
		board_writer_close(&lanes[i]);
}

static void
board_sessions_come_and_go(void **state)
{
	struct board_writer *w = writer(*state, "fast");
	struct board_session *rows = board_writer_lane(w)->sessions;
	int first = board_writer_session_new(w, 7),
	    second = board_writer_session_new(w, 7);

	assert_int_not_equal(first, second);
	assert_int_equal(rows[first].state, BOARD_SESSION_DIALING);
	board_writer_session_peer(w, first, "mx.example", "192.0.2.1");
	board_writer_session_state(w, first, BOARD_SESSION_BUSY);
	board_writer_session_figures(w, first, 10, 2, 4, 5000);
	assert_string_equal(rows[first].peer, "mx.example[192.0.2.1]");
	/* Both have no room. */
	board_writer_session_peer(w, first,
	    "a-name-of-a-host-that-is-longer-than-others.mail.example",
	    "2001:db8::1");
	assert_string_equal(rows[first].peer, "2001:db8::1");
	assert_int_equal(rows[first].in_flight, 2);
	board_writer_session_free(w, first);
	assert_int_equal(rows[first].state, BOARD_SESSION_FREE);
	/* a row given up is no longer ours */
	board_writer_session_state(w, first, BOARD_SESSION_BUSY);
	assert_int_equal(rows[first].state, BOARD_SESSION_FREE);
	assert_int_equal(board_writer_session_new(w, 7), first);
	for (int i = 2; i < BOARD_SESSIONS; i++)
		assert_int_equal(board_writer_session_new(w, 7), i);
	assert_int_equal(board_writer_session_new(w, 7), -1);
	board_writer_session_state(w, -1, BOARD_SESSION_BUSY);
	board_writer_close(&w);
}

static void
hold_poison(void *ctx, int in, int out)
{
	struct board_writer *w = writer(ctx, "fast");

	statedir_tell(
	    out, (char)('0' + board_writer_poison_begin(w, "4ABCDEF")));
	(void)board_writer_poison_begin(w, "4GOOD");
	board_writer_poison_end(w, "4GOOD", true);
	(void)statedir_hear(in);
}

static void
board_message_in_hand_at_a_crash_is_known(void **state)
{
	struct statedir_child child;
	struct board_writer *w;

	for (char crashes = '0'; crashes < '3'; crashes++) {
		statedir_fork(&child, hold_poison, *state);
		assert_int_equal(statedir_hear(child.from), crashes);
		(void)statedir_end(&child, SIGKILL);
	}
	w = writer(*state, "fast");
	assert_int_equal(board_writer_poison_begin(w, "4ABCDEF"), 3);
	assert_int_equal(board_writer_poison_begin(w, "4GOOD"), 0);
	board_writer_poison_end(w, "4ABCDEF", false);
	board_writer_close(&w);
	/* set aside in order: no further crash, but not forgotten */
	w = writer(*state, "fast");
	assert_int_equal(board_writer_poison_begin(w, "4ABCDEF"), 3);
	board_writer_poison_end(w, "4ABCDEF", true);
	assert_int_equal(board_writer_poison_begin(w, "4ABCDEF"), 0);
	board_writer_close(&w);
}

static void
board_poison_notes_are_bounded(void **state)
{
	struct board_writer *w = writer(*state, "fast");
	char id[16];

	for (int i = 0; i < BOARD_POISON + 10; i++) {
		(void)snprintf(id, sizeof(id), "4MSG%d", i);
		assert_int_equal(board_writer_poison_begin(w, id), 0);
	}
	for (int i = 0; i < BOARD_POISON + 10; i++) {
		(void)snprintf(id, sizeof(id), "4MSG%d", i);
		board_writer_poison_end(w, id, true);
	}
	for (int i = 0; i < BOARD_POISON; i++)
		assert_int_equal(board_writer_lane(w)->poison[i].key, 0);
	board_writer_close(&w);
}

static void
drain(void *ctx, int in, int out)
{
	struct board_writer *w = ctx;

	board_writer_drain(w);
	statedir_tell(out, 'd');
	(void)statedir_hear(in);
	board_writer_add(w, BOARD_COUNTER_messages_sent, 1);
	board_writer_set(w, BOARD_GAUGE_messages_active, 99);
	board_writer_poison_end(w, "4INHAND", true);
	statedir_tell(out, 'e');
}

static void
board_draining_child_counts_beside_its_successor(void **state)
{
	struct board_writer *w = writer(*state, "fast"), *next;
	struct statedir_child child;

	board_writer_add(w, BOARD_COUNTER_messages_sent, 1);
	(void)board_writer_poison_begin(w, "4INHAND");
	statedir_fork(&child, drain, w);
	assert_int_equal(statedir_hear(child.from), 'd');
	/* Until there is one, it is not taken for crashed either. */
	assert_int_equal(board_writer_lane(w)->state, BOARD_LANE_STOPPED);
	next = writer(*state, "fast");
	assert_int_equal(board_writer_lane(next)->state, BOARD_LANE_RUNNING);
	board_writer_add(next, BOARD_COUNTER_messages_sent, 1);
	board_writer_set(next, BOARD_GAUGE_messages_active, 5);
	/* a reload is no crash */
	assert_int_equal(board_writer_lane(next)->poison[0].crashes, 0);
	statedir_tell(child.to, 'g');
	assert_int_equal(statedir_hear(child.from), 'e');
	assert_int_equal(statedir_end(&child, 0), 0);
	assert_int_equal(
	    board_writer_lane(next)->counters[BOARD_COUNTER_messages_sent], 3);
	assert_int_equal(
	    board_writer_lane(next)->gauges[BOARD_GAUGE_messages_active], 5);
	assert_int_equal(board_writer_lane(next)->poison[0].key, 0);
	board_writer_close(&next);
	/* the parent would have left by _exit */
	board_writer_close(&w);
}

static void
board_accounts_in_use_are_never_evicted(void **state)
{
	struct board_writer *lanes[BOARD_ACCOUNTS + 1];
	char name[32];

	for (int i = 0; i <= BOARD_ACCOUNTS; i++) {
		(void)snprintf(name, sizeof(name), "h%d.example", i);
		lanes[i] = writer(*state, name);
		assert_int_equal(board_writer_set_account(lanes[i], name),
		    i < BOARD_ACCOUNTS);
	}
	board_writer_close(&lanes[5]);
	assert_true(
	    board_writer_set_account(lanes[BOARD_ACCOUNTS], "new.example"));
	assert_int_equal(board_writer_lane(lanes[BOARD_ACCOUNTS])->account, 6);
	for (int i = 0; i <= BOARD_ACCOUNTS; i++)
		board_writer_close(&lanes[i]);
}

static void
board_null_writer_does_nothing(void **state)
{
	struct board_writer *w = NULL;

	(void)state;
	board_writer_add(w, BOARD_COUNTER_dials, 1);
	board_writer_set(w, BOARD_GAUGE_messages_active, 1);
	board_writer_observe(w, BOARD_HIST_wire_time, 1);
	board_writer_beat(w);
	board_writer_set_slots(w, 1, 2, 3, 4);
	board_writer_set_limits(w, 1, 2, 3, 4, 5);
	board_writer_refusal(w, "421 no");
	assert_int_equal(board_writer_session_new(w, 7), -1);
	board_writer_session_free(w, 0);
	assert_int_equal(board_writer_poison_begin(w, "4ABC"), 0);
	board_writer_poison_end(w, "4ABC", true);
	assert_false(board_writer_set_account(w, "a.example"));
	board_writer_drain(w);
	board_writer_close(&w);
}

/* The last warning. */
static void
keep_warning(void *ctx, enum log_level level, const char *line)
{
	if (level == LOG_LEVEL_WARN)
		(void)snprintf(ctx, 200, "%s", line);
}

static void
board_says_since_when_it_counts(void **state)
{
	struct board_writer *w = writer(*state, "fast");
	uint64_t since = board_writer_lane(w)->counted_since_wall_ms;

	assert_true(since > 0);
	assert_int_equal(since, board_writer_lane(w)->started_wall_ms);
	/* As it was a day ago. */
	since -= 86400000;
	board_writer_lane(w)->counted_since_wall_ms = since;
	board_writer_close(&w);
	w = writer(*state, "fast");
	assert_int_equal(board_writer_lane(w)->counted_since_wall_ms, since);
	assert_true(board_writer_lane(w)->started_wall_ms > since);
	board_writer_close(&w);
}

static void
board_of_another_version_is_made_anew(void **state)
{
	static const struct {
		off_t at;
		unsigned char octet;
		off_t size;
		const char *why;
	} damage[] = {
	    {0, 0xff, BOARD_SIZE, "not a board"},
	    {offsetof(struct board_head, version), BOARD_VERSION - 1,
		BOARD_SIZE, "of version 2, not 3"},
	    {offsetof(struct board_head, version), BOARD_VERSION + 1,
		BOARD_SIZE, "of version 4, not 3"},
	    /* whose size is another, too */
	    {offsetof(struct board_head, version), 1, BOARD_SIZE - 4096,
		"of version 1, not 3"},
	    {offsetof(struct board_head, lane_size), 99, BOARD_SIZE,
		"of another layout"},
	    {offsetof(struct board_head, made_wall_ms), 1, BOARD_SIZE - 1,
		"of the wrong size"},
	    {offsetof(struct board_head, made_wall_ms), 1, 12, "unreadable"},
	};
	char *path = mem_printf("%s/board", (char *)*state);
	struct stat st;

	for (size_t i = 0; i < sizeof(damage) / sizeof(damage[0]); i++) {
		struct board_writer *w = writer(*state, "fast"), *next;
		int fd = open(path, O_RDWR | O_CLOEXEC);
		char warning[200] = "";

		board_writer_add(w, BOARD_COUNTER_dials, 7);
		assert_int_equal(
		    pwrite(fd, &damage[i].octet, 1, damage[i].at), 1);
		/* the mapping of w does not reach into what is cut */
		assert_int_equal(ftruncate(fd, damage[i].size), 0);
		log_set_sink(keep_warning, warning);
		next = writer(*state, "fast");
		log_set_sink(NULL, NULL);
		assert_string_equal(strstr(warning, "the old file is ") +
					strlen("the old file is "),
		    damage[i].why);
		assert_int_equal(
		    board_writer_lane(next)->counters[BOARD_COUNTER_dials], 0);
		assert_int_equal(ftruncate(fd, BOARD_SIZE), 0);
		(void)close(fd);
		assert_int_equal(stat(path, &st), 0);
		assert_int_equal(st.st_size, BOARD_SIZE);
		assert_int_equal(st.st_mode & 07777, 0600);
		board_writer_close(&next);
		board_writer_close(&w);
	}
	mem_free(path);
}

static void
board_older_copy_put_back_is_noticed_before_the_next_beat(void **state)
{
	char *path = mem_printf("%s/board", (char *)*state);
	struct board_writer *w = writer(*state, "fast");
	const struct board_lane *lane = board_writer_lane(w);
	char *copy = mem_zalloc(BOARD_SIZE), warning[200] = "";
	int fd = open(path, O_RDWR | O_CLOEXEC);
	uint64_t beat = lane->beat_wall_ms;

	board_writer_beat(w);
	assert_int_equal(pread(fd, copy, BOARD_SIZE, 0), BOARD_SIZE);
	while (lane->beat_wall_ms <= beat)
		board_writer_beat(w);
	beat = lane->beat_wall_ms;
	while (lane->beat_wall_ms <= beat)
		board_writer_beat(w);
	assert_int_equal(pwrite(fd, copy, BOARD_SIZE, 0), BOARD_SIZE);
	log_set_sink(keep_warning, warning);
	board_writer_beat(w);
	log_set_sink(NULL, NULL);
	assert_non_null(strstr(warning, "the board was changed"));
	warning[0] = '\0';
	log_set_sink(keep_warning, warning);
	board_writer_beat(w);
	log_set_sink(NULL, NULL);
	assert_string_equal(warning, "");
	(void)close(fd);
	mem_free(copy);
	mem_free(path);
	board_writer_close(&w);
}

static void
board_refuses_files_of_doubtful_origin(void **state)
{
	char *path = mem_printf("%s/board", (char *)*state);
	char *target = mem_printf("%s/target", (char *)*state);
	char error[200];

	assert_int_equal(symlink(target, path), 0);
	assert_null(
	    board_writer_open(*state, "fast", "", error, sizeof(error)));
	assert_int_equal(access(target, F_OK), -1);
	assert_int_equal(unlink(path), 0);
	assert_int_equal(mkfifo(path, 0600), 0);
	assert_null(
	    board_writer_open(*state, "fast", "", error, sizeof(error)));
	assert_non_null(strstr(error, "regular"));
	assert_int_equal(unlink(path), 0);
	(void)close(open(path, O_CREAT | O_WRONLY | O_CLOEXEC, 0600));
	assert_int_equal(chmod(path, 0620), 0);
	assert_null(
	    board_writer_open(*state, "fast", "", error, sizeof(error)));
	assert_int_equal(unlink(path), 0);
	assert_int_equal(symlink(*state, path), 0);
	assert_null(board_writer_open(path, "fast", "", error, sizeof(error)));
	assert_int_equal(unlink(path), 0);
	assert_int_equal(chmod(*state, 0777), 0);
	assert_null(
	    board_writer_open(*state, "fast", "", error, sizeof(error)));
	assert_null(board_writer_open(
	    "/nonexistent", "fast", "", error, sizeof(error)));
	mem_free(path);
	mem_free(target);
}

static void
start_and_count(void *ctx, int in, int out)
{
	struct board_writer *w;
	char name[32];

	(void)snprintf(name, sizeof(name), "lane%ld", (long)getpid());
	statedir_tell(out, 'r');
	(void)statedir_hear(in);
	w = writer(ctx, name);
	board_writer_add(w, BOARD_COUNTER_dials, 1);
	statedir_tell(out, 'e');
	(void)statedir_hear(in);
}

static void
board_lanes_that_start_at_once_share_one_file(void **state)
{
	struct statedir_child children[6];
	struct board_writer *w;
	const struct board_lane *lanes;
	uint64_t dials = 0;

	for (int i = 0; i < 6; i++) {
		statedir_fork(&children[i], start_and_count, *state);
		assert_int_equal(statedir_hear(children[i].from), 'r');
	}
	for (int i = 0; i < 6; i++)
		statedir_tell(children[i].to, 'g');
	for (int i = 0; i < 6; i++)
		assert_int_equal(statedir_hear(children[i].from), 'e');
	w = writer(*state, "last");
	lanes = board_writer_lane(w);
	assert_string_equal(lanes->name, "last");
	for (int i = 1; i <= 6; i++)
		dials += lanes[-i].counters[BOARD_COUNTER_dials];
	assert_int_equal(dials, 6);
	for (int i = 0; i < 6; i++)
		(void)statedir_end(&children[i], SIGKILL);
	board_writer_close(&w);
}

/* Whatever happens to the file: no call ends the process, and a second later
 * the board that has the name is ours, with the figures of before. */
static void
board_goes_on_whatever_happens_to_its_file(void **state)
{
	for (int i = 0; i < DAMAGE_COUNT; i++) {
		struct board_writer *w = writer(*state, "fast");
		struct board_writer *other = writer(*state, "slow");
		struct board_lane *lanes[2];
		int row;

		filedamage_keep(*state, "board");
		assert_true(board_writer_set_account(w, "host joe"));
		board_hosts_set_depth(w, "host", 7);
		row = board_writer_session_new(w, 7);
		board_writer_add(w, BOARD_COUNTER_dials, 5);
		board_writer_beat(w);
		board_writer_beat(other);
		print_message("%s\n", filedamage_names[i]);
		filedamage_do(*state, "board", (enum filedamage)i);
		for (int j = 0; j < 2; j++) {
			struct board_writer *x = j == 0 ? w : other;

			board_writer_add(x, BOARD_COUNTER_dials, 1);
			board_writer_observe(x, BOARD_HIST_dial_time, 1000);
			(void)board_writer_poison_begin(x, "4XYZ");
			board_writer_poison_end(x, "4XYZ", true);
			board_writer_session_figures(x, row, 1, 1, 1, 1);
			x->looked_ms = 0;
			board_writer_beat(x);
		}
		assert_int_equal(board_hosts_depth(w, "host"), 7);
		for (int j = 0; j < 2; j++)
			lanes[j] = board_writer_lane(j == 0 ? w : other);
		assert_in_range(lanes[0]->counters[BOARD_COUNTER_dials], 5, 6);
		assert_string_equal(lanes[1]->name, "slow");
		assert_true(w->fd >= 0 && other->fd >= 0);
		/* one file for both */
		board_writer_add(w, BOARD_COUNTER_dials, 100);
		{
			const struct board_lane *seen =
			    &other->board->lanes[lanes[0] - w->board->lanes];

			assert_string_equal(seen->name, "fast");
			assert_true(seen->counters[BOARD_COUNTER_dials] >= 105);
		}
		board_writer_close(&w);
		board_writer_close(&other);
		filedamage_do(*state, "board", DAMAGE_REMOVED);
	}
}

/* A lane that runs beside another release, which has the board: it goes on with
 * figures of its own. */
static void
board_is_left_to_another_release(void **state)
{
	struct board_writer *w = writer(*state, "fast");
	char *path = mem_printf("%s/board", (char *)*state);
	uint64_t version = BOARD_VERSION + 1, seen = 0;
	char warning[200] = "";
	int fd;

	board_writer_add(w, BOARD_COUNTER_dials, 5);
	board_writer_beat(w);
	fd = open(path, O_RDWR | O_CLOEXEC);
	assert_int_equal(pwrite(fd, &version, sizeof(version),
			     offsetof(struct board_head, version)),
	    sizeof(version));
	log_set_sink(keep_warning, warning);
	for (int i = 0; i < 3; i++) {
		w->looked_ms = 0;
		board_writer_beat(w);
	}
	log_set_sink(NULL, NULL);
	assert_non_null(strstr(warning, "going on with figures of our own"));
	assert_int_equal(w->fd, -1);
	assert_int_equal(pread(fd, &seen, sizeof(seen),
			     offsetof(struct board_head, version)),
	    sizeof(seen));
	assert_int_equal(seen, version);
	assert_true(board_writer_lane(w)->counters[BOARD_COUNTER_dials] >= 5);
	(void)close(fd);
	board_writer_close(&w);
	mem_free(path);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(board_histogram_steps_are_an_eighth_of_an_octave),
	    cmocka_unit_test(board_ring_counts_whole_seconds_before_now),
	    cmocka_unit_test(
		board_ring_forgets_earlier_rounds_and_a_clock_that_was_ahead),
	    cmocka_unit_test(board_ring_keeps_a_steady_rate_for_an_hour),
	    cmocka_unit_test(board_histogram_quantiles_are_within_an_eighth),
	    cmocka_unit_test(board_label_shows_the_host_and_never_a_login),
	    IN_STATEDIR(board_counters_go_on_in_the_next_process),
	    IN_STATEDIR(board_lanes_have_entries_of_their_own),
	    IN_STATEDIR(board_sessions_come_and_go),
	    IN_STATEDIR(board_message_in_hand_at_a_crash_is_known),
	    IN_STATEDIR(board_poison_notes_are_bounded),
	    IN_STATEDIR(board_draining_child_counts_beside_its_successor),
	    IN_STATEDIR(board_accounts_in_use_are_never_evicted),
	    cmocka_unit_test(board_null_writer_does_nothing),
	    IN_STATEDIR(board_of_another_version_is_made_anew),
	    IN_STATEDIR(board_says_since_when_it_counts),
	    IN_STATEDIR(
		board_older_copy_put_back_is_noticed_before_the_next_beat),
	    IN_STATEDIR(board_refuses_files_of_doubtful_origin),
	    IN_STATEDIR(board_goes_on_whatever_happens_to_its_file),
	    IN_STATEDIR(board_is_left_to_another_release),
	    IN_STATEDIR(board_lanes_that_start_at_once_share_one_file),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
