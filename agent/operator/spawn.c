#include "agent/operator/spawn.h"

#include <errno.h>
#include <stdbool.h>
#include <string.h>
#include <unistd.h>

#include "agent/operator/runner.h"
#include "common/base/list.h"
#include "common/base/log.h"
#include "common/base/mem.h"

struct run {
	struct list link;
	char **values; /* ends with NULL */
};

struct spawn {
	struct loop *loop;
	char *program;
	int64_t limit_ms;
	struct list queue;
	size_t waiting;
	bool is_running;
	int fd; /* -1: there is no runner */
	struct loop_fd *watch;
};

static void
run_free(struct run *r)
{
	list_remove(&r->link);
	for (char **v = r->values; *v != NULL; v++)
		mem_free(*v);
	mem_free(r->values);
	mem_free(r);
}

static struct run *
run_new(const char *const *values)
{
	struct run *r = mem_zalloc(sizeof(*r));
	size_t n = 0;

	while (values[n] != NULL)
		n++;
	list_init(&r->link);
	r->values = mem_zarray(n + 1, sizeof(*r->values));
	for (size_t i = 0; i < n; i++)
		r->values[i] = mem_strdup(values[i]);
	return r;
}

static void
log_end(const struct spawn *s, const struct runner_result *result)
{
	switch ((enum runner_end)result->end) {
	case RUNNER_LATE:
		log_warn("lane_alert_command: %s: killed, it took longer than "
			 "%lld s",
		    s->program, (long long)(s->limit_ms / 1000));
		break;
	case RUNNER_SIGNALLED:
		log_warn("lane_alert_command: %s: ended by signal %d",
		    s->program, (int)result->value);
		break;
	case RUNNER_FAILED:
		log_warn("lane_alert_command: cannot run %s: %s", s->program,
		    strerror(result->value));
		break;
	case RUNNER_EXITED:
		if (result->value != 0)
			log_warn("lane_alert_command: %s: exit status %d",
			    s->program, (int)result->value);
		break;
	}
}

/* What waits is lost with it: there is nobody else to run it. */
static void
lose_runner(struct spawn *s)
{
	log_warn("lane_alert_command: the process that runs %s is gone, the "
		 "next lane process has another",
	    s->program);
	loop_unwatch(&s->watch);
	(void)close(s->fd);
	s->fd = -1;
	s->is_running = false;
	while (s->waiting > 0) {
		run_free(list_entry(s->queue.next, struct run, link));
		s->waiting--;
	}
}

static void
kick(struct spawn *s)
{
	while (!s->is_running && s->waiting > 0) {
		struct run *r = list_entry(s->queue.next, struct run, link);

		s->is_running =
		    s->fd >= 0 &&
		    runner_ask(s->fd, (const char *const *)r->values);
		if (!s->is_running)
			log_warn("lane_alert_command: cannot run %s: %s",
			    s->program,
			    s->fd >= 0 ? strerror(errno)
				       : "there is no process for it");
		s->waiting--;
		run_free(r);
	}
}

static void
on_answer(void *ctx, bool readable, bool writable)
{
	struct spawn *s = ctx;
	struct runner_result result;

	(void)readable;
	(void)writable;
	if (runner_answer(s->fd, &result)) {
		s->is_running = false;
		log_end(s, &result);
		kick(s);
	} else if (errno != EAGAIN) {
		lose_runner(s);
	}
}

void
spawn_run(struct spawn *spawn, const char *const *values)
{
	CHECK(spawn->waiting <= SPAWN_QUEUE_MAX);
	if (spawn->waiting == SPAWN_QUEUE_MAX) {
		log_warn(
		    "lane_alert_command: %s: too many wait, one is dropped",
		    spawn->program);
		run_free(list_entry(spawn->queue.next, struct run, link));
		spawn->waiting--;
	}
	list_push(&spawn->queue, &run_new(values)->link);
	spawn->waiting++;
	kick(spawn);
}

size_t
spawn_pending(const struct spawn *spawn)
{
	return spawn->waiting + spawn->is_running;
}

struct spawn *
spawn_new(struct loop *loop, int fd, const char *command, int64_t limit_ms)
{
	struct spawn *s = mem_zalloc(sizeof(*s));

	CHECK(limit_ms > 0);
	s->loop = loop;
	s->program = mem_strndup(command, strcspn(command, " \t\r\n"));
	s->limit_ms = limit_ms;
	list_init(&s->queue);
	s->fd = fd;
	if (fd >= 0) {
		s->watch = loop_watch(loop, fd, on_answer, s);
		loop_want(s->watch, true, false);
	}
	return s;
}

void
spawn_free(struct spawn **spawn)
{
	struct spawn *s = *spawn;

	*spawn = NULL;
	if (s == NULL)
		return;
	loop_unwatch(&s->watch);
	if (s->fd >= 0)
		(void)close(s->fd);
	while (s->waiting > 0) {
		run_free(list_entry(s->queue.next, struct run, link));
		s->waiting--;
	}
	mem_free(s->program);
	mem_free(s);
}
