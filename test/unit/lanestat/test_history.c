/* What is kept of lanes, and what a file that is not ours does to it. */
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "common/base/log.h"
#include "common/base/mem.h"
#include "monitor/lanestat/history.h"
#include "test/support/statedir.h"

/* The beginning of a minute. */
#define NOW_S INT64_C(1700000040)

static int
open_dir(void **state)
{
	return open(*state, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
}

static void
put(struct history *h, const char *lane, int64_t at_s, uint32_t sent)
{
	struct history_sample s = {.at_s = (uint32_t)at_s,
	    .sent = sent,
	    .deferred = 1,
	    .waiting = sent,
	    .wire_p95 = 10 * sent,
	    .health = sent == 7 ? 3 : 0,
	    .waits = sent == 7 ? BOARD_WAIT_RATE : BOARD_WAIT_NOTHING};

	history_put(h, lane, &s);
}

static char *
path_of(void **state)
{
	return mem_printf("%s/history", (const char *)*state);
}

static void
history_keeps_seconds_and_minutes(void **state)
{
	int fd = open_dir(state);
	struct history *h = history_open(fd, NOW_S);
	const struct history_sample *s;

	for (int64_t i = 0; i < 60; i++)
		put(h, "fast", NOW_S + i, i == 30 ? 7 : 2);
	put(h, "fast", NOW_S + 60, 5);
	put(h, "slow", NOW_S + 60, 9);
	assert_int_equal(history_second(h, "fast", NOW_S + 30)->sent, 7);
	assert_int_equal(history_second(h, "fast", NOW_S + 60)->sent, 5);
	assert_int_equal(history_second(h, "slow", NOW_S + 60)->sent, 9);
	assert_null(history_second(h, "slow", NOW_S + 30));
	assert_null(history_second(h, "none", NOW_S));
	s = history_minute(h, "fast", NOW_S);
	assert_int_equal(s->sent, 59 * 2 + 7);
	assert_int_equal(s->deferred, 60);
	assert_int_equal(s->waiting, 2); /* at its end */
	assert_int_equal(s->wire_p95, 70); /* the greatest */
	assert_int_equal(s->health, 3); /* the worst */
	assert_int_equal(s->waits, BOARD_WAIT_RATE); /* not nothing */
	assert_int_equal(history_minute(h, "fast", NOW_S + 60)->sent, 5);
	/* An hour later the second's place is another's. */
	put(h, "fast", NOW_S + HISTORY_SECONDS + 30, 4);
	assert_null(history_second(h, "fast", NOW_S + 30));
	assert_int_equal(history_minute(h, "fast", NOW_S)->sent, 125);
	history_close(&h);
	(void)close(fd);
}

static void
history_outlives_its_process(void **state)
{
	int fd = open_dir(state);
	struct history *h = history_open(fd, NOW_S);
	const struct history_event *events[4];

	put(h, "fast", NOW_S, 3);
	for (int i = 0; i < HISTORY_EVENTS + 2; i++)
		history_note(h, (NOW_S + i) * 1000, "fast", 1, "before");
	history_note(h, NOW_S * 1000, "fast", 2, "the last");
	history_close(&h);
	h = history_open(fd, NOW_S + 5);
	put(h, "fast", NOW_S + 5, 4);
	assert_int_equal(history_second(h, "fast", NOW_S)->sent, 3);
	assert_int_equal(history_minute(h, "fast", NOW_S)->sent, 7);
	assert_int_equal(history_events(h, events, 4), 4);
	assert_string_equal(events[0]->text, "the last");
	assert_int_equal(events[0]->health, 2);
	assert_string_equal(events[1]->text, "before");
	history_note(h, NOW_S * 1000, "fast", 2, "after");
	assert_int_equal(history_events(h, events, 4), 4);
	assert_string_equal(events[0]->text, "after");
	assert_string_equal(events[1]->text, "the last");
	history_close(&h);
	(void)close(fd);
}

/* A second one keeps its own, and takes over what is in the file. */
static void
history_has_one_writer(void **state)
{
	int fd = open_dir(state);
	struct history *first = history_open(fd, NOW_S);
	struct history *second = history_open(fd, NOW_S);

	put(first, "fast", NOW_S, 3);
	put(second, "fast", NOW_S, 50);
	assert_int_equal(history_second(first, "fast", NOW_S)->sent, 3);
	assert_int_equal(history_second(second, "fast", NOW_S)->sent, 50);
	history_close(&first);
	put(second, "fast", NOW_S + 1, 51);
	assert_int_equal(history_second(second, "fast", NOW_S)->sent, 3);
	assert_int_equal(history_second(second, "fast", NOW_S + 1)->sent, 51);
	history_close(&second);
	(void)close(fd);
}

struct told {
	int count;
	char text[LOG_LINE_MAX];
};

static void
note_line(void *ctx, enum log_level level, const char *line)
{
	struct told *told = ctx;

	(void)level;
	told->count++;
	(void)snprintf(told->text, sizeof(told->text), "%s", line);
}

/* Overwrites n octets at an offset, or cuts the file there (n = 0). */
static void
damage(void **state, off_t at, const void *p, size_t n)
{
	char *path = path_of(state);
	int fd = open(path, O_RDWR | O_CLOEXEC);

	assert_true(fd >= 0);
	if (n > 0)
		assert_int_equal(pwrite(fd, p, n, at), n);
	else
		assert_int_equal(ftruncate(fd, at), 0);
	(void)close(fd);
	mem_free(path);
}

static void
history_that_is_damaged_is_made_anew_and_said(void **state)
{
	static const uint64_t other_version = HISTORY_VERSION + 1;
	static const struct {
		off_t at;
		const void *p;
		size_t n;
		const char *told;
	} rows[] = {
	    {0, "garbage!", 8, "damaged"},
	    {8, &other_version, 8, "of another version"},
	    {40, "garbage!", 8, "damaged"},
	    {100000, NULL, 0, "of the wrong size"},
	};
	int fd = open_dir(state);
	struct told told = {.count = 0};

	log_set_sink(note_line, &told);
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct history *h = history_open(fd, NOW_S);

		put(h, "fast", NOW_S, 3);
		history_close(&h);
		assert_int_equal(told.count, 0);
		damage(state, rows[i].at, rows[i].p, rows[i].n);
		h = history_open(fd, NOW_S);
		assert_int_equal(told.count, 1);
		assert_non_null(strstr(told.text,
		    "warning: the history of lanes is made anew: the old file "
		    "is "));
		assert_non_null(strstr(told.text, rows[i].told));
		assert_null(history_second(h, "fast", NOW_S));
		put(h, "fast", NOW_S, 4);
		history_close(&h);
		told.count = 0;
	}
	log_set_sink(NULL, NULL);
	(void)close(fd);
}

/* Whatever is in names, events and samples: bounded, printable, no harm. */
static void
history_takes_any_content_behind_a_good_head(void **state)
{
	enum { HEAD = 512, OCTETS = 400000 };
	int fd = open_dir(state);
	struct history *h = history_open(fd, NOW_S);
	const struct history_event *events[HISTORY_EVENTS];
	char *octets = mem_alloc(OCTETS);
	size_t n;

	put(h, "fast", NOW_S, 3);
	history_close(&h);
	memset(octets, 0xff, OCTETS);
	damage(state, HEAD, octets, OCTETS);
	h = history_open(fd, NOW_S);
	n = history_events(h, events, HISTORY_EVENTS);
	for (size_t i = 0; i < n; i++)
		assert_true(strlen(events[i]->text) < sizeof(events[i]->text));
	assert_null(history_second(h, "fast", NOW_S));
	put(h, "fast", NOW_S + 1, 5);
	put(h, "new", NOW_S + 1, 6);
	history_close(&h);
	mem_free(octets);
	(void)close(fd);
}

static void
history_that_is_removed_goes_on_in_a_new_file(void **state)
{
	int fd = open_dir(state);
	struct history *h = history_open(fd, NOW_S);
	char *path = path_of(state);
	struct stat st;

	put(h, "fast", NOW_S, 3);
	assert_int_equal(unlink(path), 0);
	put(h, "fast", NOW_S + 1, 4);
	put(h, "fast", NOW_S + 2, 5);
	assert_int_equal(stat(path, &st), 0);
	assert_int_equal(st.st_mode & 0777, 0600);
	history_close(&h);
	h = history_open(fd, NOW_S + 3);
	assert_int_equal(history_second(h, "fast", NOW_S + 2)->sent, 5);
	history_close(&h);
	mem_free(path);
	(void)close(fd);
}

static void
history_gives_a_place_to_a_new_lane_when_an_old_one_is_forgotten(void **state)
{
	int fd = open_dir(state);
	struct history *h = history_open(fd, NOW_S);
	char name[32];

	for (int i = 0; i < HISTORY_LANES; i++) {
		(void)snprintf(name, sizeof(name), "lane-%d", i);
		put(h, name, NOW_S + 60 * i, 1);
	}
	put(h, "new", NOW_S + 3000, 2);
	assert_null(history_second(h, "new", NOW_S + 3000));
	put(h, "new", NOW_S + HISTORY_FORGET_S + 30, 3);
	assert_non_null(
	    history_second(h, "new", NOW_S + HISTORY_FORGET_S + 30));
	assert_null(history_minute(h, "lane-0", NOW_S));
	assert_non_null(history_minute(h, "lane-1", NOW_S + 60));
	history_close(&h);
	(void)close(fd);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    IN_STATEDIR(history_keeps_seconds_and_minutes),
	    IN_STATEDIR(history_outlives_its_process),
	    IN_STATEDIR(history_has_one_writer),
	    IN_STATEDIR(history_that_is_damaged_is_made_anew_and_said),
	    IN_STATEDIR(history_takes_any_content_behind_a_good_head),
	    IN_STATEDIR(history_that_is_removed_goes_on_in_a_new_file),
	    IN_STATEDIR(
		history_gives_a_place_to_a_new_lane_when_an_old_one_is_forgotten),
	};

	return cmocka_run_group_tests_name("history", tests, NULL, NULL);
}
