/* trace: the live dialogue of a lane's sessions. */
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sysexits.h>
#include <time.h>
#include <unistd.h>

#include <jansson.h>

#include "common/base/clean.h"
#include "common/base/clock.h"
#include "common/base/log.h"
#include "common/shared/askproto.h"
#include "monitor/asking.h"
#include "monitor/postlane/command.h"
#include "monitor/tracing.h"

enum {
	READ_SIZE = 65536,
	/* The lane's next process is there with the next message. */
	NEXT_MS = 60000,
	NEXT_LOOK_MS = 200,
};

struct listening {
	const struct command *c;
	const struct model_lane *lane;
	char question[ASKPROTO_QUESTION_MAX];
	struct tracing tracing;
	char text[READ_SIZE]; /* what was read and is no whole line yet */
	size_t length;
};

static bool
is_done(const struct listening *l)
{
	return l->c->count > 0 && l->tracing.decided_count >= l->c->count;
}

/* ---- a line ---------------------------------------------------------------
 */

static void
print_text(const struct tracing_line *line)
{
	time_t at = (time_t)(line->wall_us / 1000000);
	char clock[16] = "", since[24] = "";
	struct tm tm;

	if (localtime_r(&at, &tm) != NULL)
		(void)strftime(clock, sizeof(clock), "%H:%M:%S", &tm);
	if (line->since_us >= 0)
		(void)snprintf(since, sizeof(since), "+%.6f",
		    (double)line->since_us / 1e6);
	printf("%s.%06d %12s %-10s %-12s %c %s\n", clock,
	    (int)(line->wall_us % 1000000), since,
	    line->session[0] != '\0' ? line->session : "-",
	    line->queue_id[0] != '\0' ? line->queue_id : "-", line->way,
	    line->text);
}

static const char *
way_name(char way)
{
	switch (way) {
	case '>':
		return "sent";
	case '<':
		return "received";
	case '=':
		return "decided";
	default:
		return "remark";
	}
}

static void
print_json(const struct listening *l, const struct tracing_line *line)
{
	json_t *o = json_object();

	(void)json_object_set_new(o, "schema", json_integer(MODEL_SCHEMA));
	(void)json_object_set_new(o, "lane", clean_string(l->lane->name));
	(void)json_object_set_new(
	    o, "wall_us", json_integer((json_int_t)line->wall_us));
	(void)json_object_set_new(
	    o, "since_us", json_integer((json_int_t)line->since_us));
	(void)json_object_set_new(o, "session", clean_string(line->session));
	(void)json_object_set_new(o, "queue_id", clean_string(line->queue_id));
	(void)json_object_set_new(o, "way", json_string(way_name(line->way)));
	(void)json_object_set_new(o, "text", clean_string(line->text));
	command_print_json(o);
}

static void
take(struct listening *l, char *text)
{
	struct tracing_line line;

	if (is_done(l) || !tracing_take(&l->tracing, text, &line))
		return;
	if (l->c->is_json)
		print_json(l, &line);
	else
		print_text(&line);
}

/* ---- the connection -------------------------------------------------------
 */

static void
take_lines(struct listening *l)
{
	size_t from = 0;

	for (;;) {
		char *end = memchr(l->text + from, '\n', l->length - from);

		if (end == NULL)
			break;
		*end = '\0';
		take(l, l->text + from);
		from = (size_t)(end + 1 - l->text);
	}
	/* One that is longer than all lines may be is none. */
	if (from == 0 && l->length == sizeof(l->text))
		from = l->length;
	memmove(l->text, l->text + from, l->length - from);
	l->length -= from;
	(void)fflush(stdout);
}

/* Until the lane hangs up, or all is there that was asked for. */
static void
listen_to(struct listening *l, int fd)
{
	struct pollfd p = {.fd = fd, .events = POLLIN};

	l->length = 0;
	while (!is_done(l) && ferror(stdout) == 0) {
		ssize_t got;

		if (poll(&p, 1, -1) < 0 && errno != EINTR)
			return;
		got = recv(
		    fd, l->text + l->length, sizeof(l->text) - l->length, 0);
		if (got < 0 && (errno == EAGAIN || errno == EINTR))
			continue;
		if (got <= 0)
			return;
		l->length += (size_t)got;
		take_lines(l);
	}
}

/* -1: *status says why. */
static int
begin(struct listening *l, int *status)
{
	const struct model_lane *lane = l->lane;
	enum asking_result result;
	char answer[512];
	int fd = asking_open(lane->directory, lane->name, l->question, &result,
	    answer, sizeof(answer));

	*status = EX_OK;
	switch (result) {
	case ASKING_OK:
		return fd;
	case ASKING_NOBODY:
		*status = EX_UNAVAILABLE;
		return -1;
	case ASKING_REFUSED:
		command_complain("lane %s: %s", lane->name, answer);
		*status = EX_NOPERM;
		return -1;
	case ASKING_SILENT:
		break;
	}
	command_complain("lane %s: its process does not answer", lane->name);
	*status = EX_TEMPFAIL;
	return -1;
}

/* After a reload another process has the lane. */
static int
begin_again(struct listening *l, int *status)
{
	int64_t end_ms = clock_mono_ms() + NEXT_MS;
	int fd;

	command_complain(
	    "lane %s: the process has ended; waiting for the next one",
	    l->lane->name);
	do {
		(void)poll(NULL, 0, NEXT_LOOK_MS);
		fd = begin(l, status);
	} while (
	    fd < 0 && *status == EX_UNAVAILABLE && clock_mono_ms() < end_ms);
	return fd;
}

static int
follow(struct listening *l)
{
	int status, fd = begin(l, &status);

	while (fd >= 0) {
		listen_to(l, fd);
		(void)close(fd);
		if (is_done(l) || ferror(stdout) != 0)
			return EX_OK;
		fd = begin_again(l, &status);
	}
	if (status == EX_UNAVAILABLE)
		command_complain("lane %s: no process runs: master(8) starts "
				 "it with the next message",
		    l->lane->name);
	return status;
}

int
trace_run(struct command *c)
{
	struct model *m = model_read(&c->site, clock_moment());
	struct listening *l = calloc(1, sizeof(*l));
	int status = EX_NOPERM;

	CHECK(l != NULL);
	l->c = c;
	l->lane = model_find(m, c->lane);
	tracing_init(&l->tracing);
	(void)snprintf(l->question, sizeof(l->question), "trace %.700s",
	    c->to != NULL ? c->to : "");
	if (command_may_steer(l->lane))
		status = follow(l);
	tracing_fini(&l->tracing);
	free(l);
	model_free(&m);
	return status;
}
