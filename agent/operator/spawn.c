#include "agent/operator/spawn.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <string.h>
#include <sys/pidfd.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/base/clock.h"
#include "common/base/list.h"
#include "common/base/log.h"
#include "common/base/mem.h"

struct run {
	struct list link;
	char **env; /* ends with NULL */
};

struct spawn {
	struct loop *loop;
	char *line; /* blanks after words are NUL */
	char *argv[SPAWN_WORDS_MAX + 1];
	int64_t limit_ms;
	int null_fd;
	struct list queue;
	size_t waiting;

	/* The one that runs. Its pidfd becomes readable when it ends: no
	 * SIGCHLD, which every other child would raise too. */
	pid_t pid; /* 0: none */
	bool is_ours; /* false: our parent's child, it cannot be waited for */
	int pid_fd;
	struct loop_fd *watch;
	struct loop_timer *limit;
	bool is_late;
};

static void kick(struct spawn *s);

static void
run_free(struct run *r)
{
	list_remove(&r->link);
	for (char **e = r->env; *e != NULL; e++)
		mem_free(*e);
	mem_free(r->env);
	mem_free(r);
}

static struct run *
run_new(const char *const *env)
{
	struct run *r = mem_zalloc(sizeof(*r));
	size_t n = 0;

	while (env[n] != NULL)
		n++;
	list_init(&r->link);
	r->env = mem_zarray(n + 1, sizeof(*r->env));
	for (size_t i = 0; i < n; i++)
		r->env[i] = mem_strdup(env[i]);
	return r;
}

/* ---- the end of one ---------------------------------------------------- */

static void
forget(struct spawn *s)
{
	loop_unwatch(&s->watch);
	loop_timer_cancel(s->limit);
	if (s->pid_fd >= 0)
		(void)close(s->pid_fd);
	s->pid_fd = -1;
	s->pid = 0;
}

static void
log_end(const struct spawn *s, int status)
{
	if (s->is_late)
		log_warn("lane_alert_command: %s: killed, it took longer than "
			 "%lld s",
		    s->argv[0], (long long)(s->limit_ms / 1000));
	else if (WIFSIGNALED(status))
		log_warn("lane_alert_command: %s: ended by signal %d",
		    s->argv[0], WTERMSIG(status));
	else if (WIFEXITED(status) && WEXITSTATUS(status) != 0)
		log_warn("lane_alert_command: %s: exit status %d", s->argv[0],
		    WEXITSTATUS(status));
}

static void
on_end(void *ctx, bool readable, bool writable)
{
	struct spawn *s = ctx;
	int status = 0;

	(void)readable;
	(void)writable;
	CHECK(s->pid > 0 && s->pid_fd >= 0);
	/* The group keeps its number until we have waited for its leader. */
	if (s->is_ours && s->is_late)
		(void)kill(-s->pid, SIGKILL);
	if (s->is_ours)
		while (waitpid(s->pid, &status, 0) < 0 && errno == EINTR)
			continue;
	log_end(s, status);
	forget(s);
	kick(s);
}

static void
on_limit(void *ctx)
{
	struct spawn *s = ctx;

	/* kill(2) of 0 or 1 would end this process or all there are. */
	CHECK(s->pid > 1 && s->pid_fd >= 0);
	s->is_late = true;
	if (s->is_ours)
		(void)kill(-s->pid, SIGKILL);
	else
		(void)pidfd_send_signal(s->pid_fd, SIGKILL, NULL, 0);
}

/* ---- the start of one -------------------------------------------------- */

static int
prepare(const struct spawn *s, posix_spawn_file_actions_t *files,
    posix_spawnattr_t *attr)
{
	sigset_t none, all;
	int rc = 0;

	(void)sigemptyset(&none);
	(void)sigfillset(&all);
	(void)posix_spawnattr_setsigmask(attr, &none);
	(void)posix_spawnattr_setsigdefault(attr, &all);
	rc = posix_spawnattr_setflags(
	    attr, (short)(POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF |
			  POSIX_SPAWN_SETSID));
	for (int fd = 0; fd < 3 && rc == 0; fd++)
		rc = posix_spawn_file_actions_adddup2(files, s->null_fd, fd);
	if (rc == 0)
		rc = posix_spawn_file_actions_addclosefrom_np(files, 3);
	if (rc == 0)
		rc = posix_spawn_file_actions_addchdir_np(files, "/");
	return rc;
}

static int
start(struct spawn *s, char *const *env)
{
	posix_spawn_file_actions_t files;
	posix_spawnattr_t attr;
	int rc;

	rc = posix_spawn_file_actions_init(&files);
	if (rc != 0)
		return rc;
	rc = posix_spawnattr_init(&attr);
	if (rc == 0) {
		rc = prepare(s, &files, &attr);
		if (rc == 0)
			rc = posix_spawn(
			    &s->pid, s->argv[0], &files, &attr, s->argv, env);
		(void)posix_spawnattr_destroy(&attr);
	}
	(void)posix_spawn_file_actions_destroy(&files);
	return rc;
}

static void
watch(struct spawn *s)
{
	CHECK(s->pid > 1 && s->watch == NULL);
	s->is_ours = true;
	s->is_late = false;
	s->pid_fd = pidfd_open(s->pid, 0);
	if (s->pid_fd < 0) {
		/* Out of descriptors: better none than one that stays. */
		log_warn("lane_alert_command: %s: killed: %s", s->argv[0],
		    strerror(errno));
		(void)kill(-s->pid, SIGKILL);
		(void)waitpid(s->pid, NULL, 0);
		s->pid = 0;
		return;
	}
	s->watch = loop_watch(s->loop, s->pid_fd, on_end, s);
	loop_want(s->watch, true, false);
	loop_timer_at(s->limit, clock_mono_ms() + s->limit_ms);
}

static void
kick(struct spawn *s)
{
	while (s->pid == 0 && s->waiting > 0) {
		struct run *r = list_entry(s->queue.next, struct run, link);
		int rc = start(s, r->env);

		s->waiting--;
		run_free(r);
		if (rc == 0) {
			watch(s);
		} else {
			s->pid = 0;
			log_warn("lane_alert_command: cannot run %s: %s",
			    s->argv[0], strerror(rc));
		}
	}
}

void
spawn_run(struct spawn *spawn, const char *const *env)
{
	CHECK(spawn->waiting <= SPAWN_QUEUE_MAX);
	if (spawn->waiting == SPAWN_QUEUE_MAX) {
		log_warn(
		    "lane_alert_command: %s: too many wait, one is dropped",
		    spawn->argv[0]);
		run_free(list_entry(spawn->queue.next, struct run, link));
		spawn->waiting--;
	}
	list_push(&spawn->queue, &run_new(env)->link);
	spawn->waiting++;
	kick(spawn);
}

size_t
spawn_pending(const struct spawn *spawn)
{
	return spawn->waiting + (spawn->pid != 0);
}

/* ---- life -------------------------------------------------------------- */

static void
split(struct spawn *s)
{
	static const char blanks[] = " \t\r\n";
	size_t n = 0;

	for (char *at = s->line + strspn(s->line, blanks);
	     *at != '\0' && n < SPAWN_WORDS_MAX;) {
		size_t length = strcspn(at, blanks);
		char *next = at + length + strspn(at + length, blanks);

		s->argv[n++] = at;
		at[length] = '\0';
		at = next;
	}
	CHECK(n > 0);
}

struct spawn *
spawn_new(struct loop *loop, const char *command, int64_t limit_ms)
{
	struct spawn *s = mem_zalloc(sizeof(*s));

	CHECK(limit_ms > 0);
	s->loop = loop;
	s->line = mem_strdup(command);
	split(s);
	s->limit_ms = limit_ms;
	list_init(&s->queue);
	s->pid_fd = -1;
	s->limit = loop_timer_new(loop, on_limit, s);
	s->null_fd = open("/dev/null", O_RDWR | O_CLOEXEC);
	if (s->null_fd < 0)
		log_warn("/dev/null: %s", strerror(errno));
	return s;
}

void
spawn_drain(struct spawn *spawn)
{
	spawn->is_ours = false;
}

void
spawn_free(struct spawn **spawn)
{
	struct spawn *s = *spawn;

	*spawn = NULL;
	if (s == NULL)
		return;
	forget(s);
	while (s->waiting > 0) {
		run_free(list_entry(s->queue.next, struct run, link));
		s->waiting--;
	}
	loop_timer_free(&s->limit);
	if (s->null_fd >= 0)
		(void)close(s->null_fd);
	mem_free(s->line);
	mem_free(s);
}
