#include <jansson.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include <cmocka.h>

#include "agent/operator/alarm.h"
#include "agent/settings/params.h"
#include "common/base/clock.h"
#include "common/base/log.h"
#include "common/base/mem.h"
#include "test/support/fixture.h"
#include "test/support/scratch.h"
#include "test/support/statedir.h"
#include "test/support/webserver.h"

#define HOST "[smtp.example.com]:587"
#define REPLY "550 5.7.1 your address is on a blacklist"

enum { SHORT_MS = 100, LONG_MS = 3600000 };

static struct loop *loop;
static struct settings set;
static struct webserver web;
static struct alarm *alarms;
static char logged[65536];

static void
keep(void *ctx, enum log_level level, const char *line)
{
	size_t n = strlen(logged);

	(void)ctx;
	(void)level;
	(void)snprintf(logged + n, sizeof(logged) - n, "%s\n", line);
}

static void
set_string(char **to, const char *text)
{
	mem_free(*to);
	*to = mem_strdup(text);
}

static int
set_up(void **state)
{
	char url[64];

	(void)state;
	logged[0] = '\0';
	log_set_sink(keep, NULL);
	params_init(&set);
	loop = loop_new();
	webserver_open(&web, loop, 0);
	(void)snprintf(url, sizeof(url), "http://127.0.0.1:%d/hook", web.port);
	set_string(&set.lane_alert_url, url);
	set_string(&set.myhostname, "mail.example.org");
	set.lane_alert_interval_us = LONG_MS * US_PER_MS;
	return 0;
}

static int
tear_down(void **state)
{
	(void)state;
	alarm_free(&alarms);
	webserver_close(&web);
	loop_free(&loop);
	settings_free(&set);
	log_set_sink(NULL, NULL);
	return 0;
}

static void
on_late(void *ctx)
{
	*(bool *)ctx = true;
}

/* Runs the loop until everything is out and ms have gone by. */
static void
settle(int64_t ms)
{
	bool is_over = false;
	int64_t end_ms = clock_mono_ms() + 10000;
	struct loop_timer *t = loop_timer_new(loop, on_late, &is_over);

	loop_timer_at(t, clock_mono_ms() + ms);
	while (!is_over)
		loop_once(loop);
	loop_timer_at(t, end_ms);
	while (alarm_pending(alarms) > 0 && clock_mono_ms() < end_ms)
		loop_once(loop);
	loop_timer_free(&t);
	assert_int_equal(alarm_pending(alarms), 0);
}

static struct alarm *
new_alarm(const char *lane_name)
{
	int fd;

	assert_true(alarm_start_runner(&set, NULL, NULL, &fd));
	return alarm_new(loop, &set, lane_name, fd);
}

/* A text of the i-th message; valid until the next call. */
static const char *
posted(size_t i, const char *name)
{
	static char text[WEBSERVER_TEXT];
	json_t *object = json_loads(web.body[i], 0, NULL);

	assert_non_null(object);
	assert_true(json_is_string(json_object_get(object, name)));
	(void)snprintf(text, sizeof(text), "%s",
	    json_string_value(json_object_get(object, name)));
	json_decref(object);
	return text;
}

static void
alarm_is_posted_within_a_second_and_so_is_its_end(void **state)
{
	int64_t began_ms = clock_mono_ms();

	(void)state;
	alarms = new_alarm("fast");
	alarm_raise(alarms, ALARM_BLOCKED, HOST, REPLY);
	assert_true(webserver_wait(&web, 1));
	assert_true(web.at_ms[0] - began_ms < 1000);
	assert_string_equal(posted(0, "event"), "alarm");
	assert_string_equal(posted(0, "lane"), "fast");
	assert_string_equal(posted(0, "smarthost"), HOST);
	assert_string_equal(posted(0, "what"), "blocked");
	assert_string_equal(posted(0, "reply"), REPLY);
	assert_string_equal(posted(0, "host"), "mail.example.org");
	assert_int_equal(strlen(posted(0, "time")), 20);
	assert_non_null(strstr(logged, "warning: alarm: blocked: "));
	assert_int_equal(alarm_count(alarms), 1);
	alarm_clear(alarms, ALARM_BLOCKED, HOST);
	assert_true(webserver_wait(&web, 2));
	assert_string_equal(posted(1, "event"), "clear");
	assert_non_null(strstr(logged, "\nalarm cleared: blocked: "));
	assert_int_equal(alarm_count(alarms), 0);
}

static void
alarm_that_lasts_is_told_once_in_an_interval(void **state)
{
	int64_t began_ms;

	(void)state;
	set.lane_alert_interval_us = SHORT_MS * US_PER_MS;
	alarms = new_alarm("fast");
	began_ms = clock_mono_ms();
	for (int i = 0; i < 100; i++)
		alarm_raise(alarms, ALARM_LOGIN, HOST, "535 no");
	assert_true(webserver_wait(&web, 2));
	assert_true(clock_mono_ms() - began_ms >= SHORT_MS);
	/* Not raised again: nothing new to tell. */
	settle(2 * SHORT_MS);
	assert_int_equal(web.count, 2);
	assert_string_equal(posted(1, "event"), "alarm");
}

static void
alarm_that_comes_and_goes_is_not_told_each_time(void **state)
{
	(void)state;
	alarms = new_alarm("fast");
	for (int i = 0; i < 100; i++) {
		alarm_raise(alarms, ALARM_LOGIN, HOST, "535 no");
		alarm_clear(alarms, ALARM_LOGIN, HOST);
	}
	settle(SHORT_MS);
	assert_int_equal(web.count, 2);
	assert_string_equal(posted(0, "event"), "alarm");
	assert_string_equal(posted(1, "event"), "clear");
}

static void
alarm_that_came_back_is_told_after_a_pause(void **state)
{
	(void)state;
	set.lane_alert_interval_us = SHORT_MS * US_PER_MS;
	alarms = new_alarm("fast");
	alarm_raise(alarms, ALARM_LOGIN, HOST, "535 no");
	alarm_clear(alarms, ALARM_LOGIN, HOST);
	alarm_raise(alarms, ALARM_LOGIN, HOST, "535 no, really");
	assert_true(webserver_wait(&web, 3));
	assert_string_equal(posted(0, "event"), "alarm");
	assert_string_equal(posted(1, "event"), "clear");
	assert_string_equal(posted(2, "event"), "alarm");
	assert_string_equal(posted(2, "reply"), "535 no, really");
}

static void
alarms_of_different_kinds_and_hosts_are_separate(void **state)
{
	(void)state;
	alarms = new_alarm("fast");
	alarm_raise(alarms, ALARM_LOGIN, "a:25", "535 no");
	alarm_raise(alarms, ALARM_LOGIN, "b:25", "535 no");
	alarm_raise(alarms, ALARM_BLOCKED, "a:25", REPLY);
	alarm_clear(alarms, ALARM_OUTAGE, "a:25");
	alarm_clear(alarms, ALARM_LOGIN, "b:25");
	settle(0);
	assert_int_equal(web.count, 4);
	assert_int_equal(alarm_count(alarms), 2);
	assert_string_equal(posted(3, "smarthost"), "b:25");
}

static void
alarms_together_are_told_so_many_times_a_minute(void **state)
{
	char host[32];

	(void)state;
	alarms = new_alarm("fast");
	for (int i = 0; i < 200; i++) {
		(void)snprintf(host, sizeof(host), "host%d:25", i);
		alarm_raise(alarms, ALARM_LOGIN, host, "535 no");
	}
	settle(SHORT_MS);
	assert_int_equal(web.count, ALARM_PER_MINUTE);
	assert_int_equal(alarm_count(alarms), ALARM_COUNT_MAX);
}

static void
alarm_text_of_a_peer_is_made_harmless(void **state)
{
	char reply[2000];

	(void)state;
	memset(reply, 'x', sizeof(reply));
	reply[sizeof(reply) - 1] = '\0';
	memcpy(reply, "550 \"\\\r\n\x1b[2J\xff\xc3\xa9", 15);
	/* A character across the cut. */
	memcpy(reply + ALARM_REPLY_SIZE - 2, "\xc3\xa9", 2);
	alarms = new_alarm("fast");
	alarm_raise(alarms, ALARM_BLOCKED, HOST, reply);
	assert_true(webserver_wait(&web, 1));
	assert_int_equal(
	    strncmp(posted(0, "reply"), "550 \"\\???[2J?\xc3\xa9x", 15), 0);
	assert_int_equal(strlen(posted(0, "reply")), ALARM_REPLY_SIZE - 1);
	assert_int_equal(posted(0, "reply")[ALARM_REPLY_SIZE - 2], '?');
}

static void
alarm_runs_the_command_with_what_happened(void **state)
{
	char text[512], command[128], got[1024] = "";
	FILE *f;

	(void)state;
	(void)snprintf(text, sizeof(text),
	    "#!/bin/sh\nprintf '%%s|' \"$1\" $LANE_EVENT $LANE_NAME "
	    "$LANE_SMARTHOST $LANE_WHAT \"$LANE_REPLY\" $LANE_HOST "
	    "${#LANE_TIME} "
	    ">>%s\n",
	    scratch_path("told"));
	scratch_write("page", text);
	assert_int_equal(chmod(scratch_path("page"), 0700), 0);
	(void)snprintf(
	    command, sizeof(command), "%s mail-team", scratch_path("page"));
	set_string(&set.lane_alert_url, "");
	set_string(&set.lane_alert_command, command);
	alarms = new_alarm("slow");
	alarm_raise(alarms, ALARM_BLOCKED, "h:25", REPLY);
	alarm_clear(alarms, ALARM_BLOCKED, "h:25");
	settle(0);
	f = fopen(scratch_path("told"), "r");
	assert_non_null(f);
	(void)!fread(got, 1, sizeof(got) - 1, f);
	(void)fclose(f);
	assert_string_equal(got,
	    "mail-team|alarm|slow|h:25|blocked|" REPLY "|mail.example.org|20|"
	    "mail-team|clear|slow|h:25|blocked|" REPLY "|mail.example.org|20|");
	assert_int_equal(web.count, 0);
}

static void
alarm_without_url_and_command_is_logged(void **state)
{
	(void)state;
	set_string(&set.lane_alert_url, "");
	alarms = new_alarm("fast");
	alarm_raise(alarms, ALARM_LOGIN, HOST, "535 no");
	alarm_clear(alarms, ALARM_LOGIN, HOST);
	assert_non_null(strstr(logged, "alarm: login: "));
	assert_non_null(strstr(logged, "alarm cleared: login: "));
	assert_int_equal(alarm_pending(alarms), 0);
}

/* ---- over processes ----------------------------------------------------- */

static char *dir;
static struct statefile_dir state_dir;

static void
open_state(void)
{
	char error[256];

	dir = statedir_make();
	assert_true(statefile_dir_open(&state_dir, dir, error, sizeof(error)));
}

static void
close_state(void)
{
	statefile_dir_close(&state_dir);
	statedir_remove(&dir);
}

/* The lane's process is another one from here on. */
static void
next_process(void)
{
	alarm_free(&alarms);
	logged[0] = '\0';
	alarms = new_alarm("fast");
	alarm_keep(alarms, &state_dir);
}

static void
alarm_is_told_once_whoever_meets_it_and_so_is_its_end(void **state)
{
	char since[32];

	(void)state;
	open_state();
	next_process();
	alarm_raise(alarms, ALARM_BLOCKED, HOST, REPLY);
	settle(0);
	assert_int_equal(web.count, 1);
	(void)snprintf(since, sizeof(since), "%s", posted(0, "time"));
	for (int i = 0; i < 3; i++) {
		next_process();
		assert_true(alarm_is_raised(alarms, ALARM_BLOCKED, HOST));
		assert_false(alarm_is_raised(alarms, ALARM_LOGIN, HOST));
		alarm_raise(alarms, ALARM_BLOCKED, HOST, REPLY);
		settle(0);
		assert_int_equal(web.count, 1);
		assert_null(strstr(logged, "alarm"));
	}
	next_process();
	alarm_clear(alarms, ALARM_BLOCKED, HOST);
	settle(0);
	assert_int_equal(web.count, 2);
	assert_string_equal(posted(1, "event"), "clear");
	assert_string_equal(posted(1, "smarthost"), HOST);
	assert_non_null(strstr(logged, "alarm cleared: blocked: "));
	next_process();
	assert_int_equal(alarm_count(alarms), 0);
	alarm_clear(alarms, ALARM_BLOCKED, HOST);
	settle(SHORT_MS);
	assert_int_equal(web.count, 2);
	close_state();
}

/* Until the host is refused itself, which no later doubt takes back. */
static void
alarm_of_a_doubt_is_known_as_one_by_the_next(void **state)
{
	(void)state;
	open_state();
	next_process();
	alarm_doubt(alarms, ALARM_BLOCKED, HOST, REPLY);
	for (int i = 0; i < 2; i++) {
		next_process();
		assert_true(alarm_is_raised(alarms, ALARM_BLOCKED, HOST));
		assert_true(alarm_is_doubt(alarms, ALARM_BLOCKED, HOST));
	}
	alarm_raise(alarms, ALARM_BLOCKED, HOST, REPLY);
	for (int i = 0; i < 2; i++) {
		next_process();
		assert_true(alarm_is_raised(alarms, ALARM_BLOCKED, HOST));
		assert_false(alarm_is_doubt(alarms, ALARM_BLOCKED, HOST));
		alarm_doubt(alarms, ALARM_BLOCKED, HOST, REPLY);
	}
	alarm_clear(alarms, ALARM_BLOCKED, HOST);
	assert_false(alarm_is_doubt(alarms, ALARM_BLOCKED, HOST));
	alarm_doubt(alarms, ALARM_BLOCKED, HOST, REPLY);
	assert_true(alarm_is_doubt(alarms, ALARM_BLOCKED, HOST));
	close_state();
}

/* A file of another version may know more kinds. */
static void
alarm_of_an_unknown_kind_is_said_and_forgotten(void **state)
{
	struct alarm_rows *rows = mem_zalloc(sizeof(*rows));
	struct alarm_row *r = rows->row;
	struct alarm_store *book;

	(void)state;
	open_state();
	for (int i = 0; i < 2; i++, r++) {
		(void)snprintf(r->what, sizeof(r->what), "%s",
		    i == 0 ? "weather" : "outage");
		(void)snprintf(r->smarthost, sizeof(r->smarthost), HOST);
		r->raised = r->is_told = 1;
		r->raised_wall_s = clock_wall().tv_sec;
	}
	book = alarm_store_open(&state_dir, "fast");
	alarm_store_store(book, rows);
	alarm_store_close(&book);
	next_process();
	assert_int_equal(alarm_count(alarms), 1);
	assert_true(alarm_is_raised(alarms, ALARM_OUTAGE, HOST));
	assert_non_null(strstr(logged, "weather at " HOST ": forgotten"));
	mem_free(rows);
	close_state();
}

static void
alarm_the_web_server_did_not_get_is_posted_by_the_next(void **state)
{
	(void)state;
	open_state();
	web.is_silent = true;
	next_process();
	alarm_raise(alarms, ALARM_BLOCKED, HOST, REPLY);
	assert_true(webserver_wait(&web, 1));
	web.is_silent = false;
	next_process();
	assert_null(strstr(logged, "alarm: ")); /* that was done */
	settle(0);
	assert_int_equal(web.count, 2);
	assert_string_equal(posted(1, "event"), "alarm");
	assert_string_equal(posted(1, "reply"), REPLY);
	next_process();
	settle(SHORT_MS);
	assert_int_equal(web.count, 2);
	close_state();
}

static void
alarm_that_lasts_keeps_its_interval_over_processes(void **state)
{
	int64_t began_ms;

	(void)state;
	set.lane_alert_interval_us = 5 * SHORT_MS * US_PER_MS;
	open_state();
	next_process();
	began_ms = loop_now_ms(loop);
	alarm_raise(alarms, ALARM_LOGIN, HOST, "535 no");
	settle(0);
	next_process();
	alarm_raise(alarms, ALARM_LOGIN, HOST, "535 no");
	assert_true(webserver_wait(&web, 2));
	assert_true(web.at_ms[1] - began_ms >= 5 * SHORT_MS);
	close_state();
}

static void
alarm_file_that_is_damaged_does_no_harm(void **state)
{
	struct fixture_random random;
	struct alarm_rows *rows = mem_zalloc(sizeof(*rows));
	struct alarm_store *book;

	(void)state;
	fixture_random_init(&random);
	open_state();
	for (int i = 0; i < 20; i++) {
		unsigned char *p = (unsigned char *)rows;

		for (size_t n = 0; n < sizeof(*rows); n++)
			p[n] =
			    (unsigned char)fixture_random_below(&random, 256);
		if (i % 2 == 0)
			for (size_t n = 0; n < ALARM_COUNT_MAX; n++) {
				struct alarm_row *r = &rows->row[n];

				r->what[31] = r->smarthost[255] = '\0';
				r->reply[511] = r->since[31] = '\0';
				r->raised = r->is_told = 0;
				r->is_posting = 0;
				r->raised_wall_s = INT64_MIN;
				r->told_ms = INT64_MAX;
			}
		book = alarm_store_open(&state_dir, "fast");
		alarm_store_store(book, rows);
		alarm_store_close(&book);
		next_process();
		assert_int_equal(alarm_count(alarms), 0);
		assert_int_equal(alarm_pending(alarms), 0);
	}
	mem_free(rows);
	close_state();
}

static void
alarm_of_a_draining_child_is_left_to_the_next(void **state)
{
	(void)state;
	open_state();
	next_process();
	alarm_raise(alarms, ALARM_BLOCKED, HOST, REPLY);
	settle(0);
	alarm_drain(alarms);
	alarm_clear(alarms, ALARM_BLOCKED, HOST);
	alarm_raise(alarms, ALARM_LOGIN, HOST, "535 no");
	settle(SHORT_MS);
	assert_int_equal(web.count, 1);
	assert_null(strstr(logged, "cleared"));
	next_process();
	assert_true(alarm_is_raised(alarms, ALARM_BLOCKED, HOST));
	assert_int_equal(alarm_count(alarms), 1);
	close_state();
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    TEST(alarm_is_posted_within_a_second_and_so_is_its_end),
	    TEST(alarm_that_lasts_is_told_once_in_an_interval),
	    TEST(alarm_that_comes_and_goes_is_not_told_each_time),
	    TEST(alarm_that_came_back_is_told_after_a_pause),
	    TEST(alarms_of_different_kinds_and_hosts_are_separate),
	    TEST(alarms_together_are_told_so_many_times_a_minute),
	    TEST(alarm_text_of_a_peer_is_made_harmless),
	    TEST(alarm_runs_the_command_with_what_happened),
	    TEST(alarm_without_url_and_command_is_logged),
	    TEST(alarm_is_told_once_whoever_meets_it_and_so_is_its_end),
	    TEST(alarm_of_a_doubt_is_known_as_one_by_the_next),
	    TEST(alarm_of_an_unknown_kind_is_said_and_forgotten),
	    TEST(alarm_the_web_server_did_not_get_is_posted_by_the_next),
	    TEST(alarm_that_lasts_keeps_its_interval_over_processes),
	    TEST(alarm_file_that_is_damaged_does_no_harm),
	    TEST(alarm_of_a_draining_child_is_left_to_the_next),
	};

	(void)signal(SIGPIPE, SIG_IGN);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
