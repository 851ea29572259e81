/* main: lanestat as master(8)'s child: HTTP on the sockets that master opened,
 * a look at the lanes each second; lanestat(8). */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

#include "agent/confine/confine.h"
#include "agent/io/library_memory.h"
#include "agent/io/logsink.h"
#include "agent/io/loop.h"
#include "agent/postfix/master.h"
#include "agent/postfix/startup.h"
#include "common/base/clock.h"
#include "common/base/log.h"
#include "common/base/mem.h"
#include "common/base/release.h"
#include "monitor/lanestat/answers.h"
#include "monitor/lanestat/snapshot.h"
#include "monitor/lanestat/web.h"
#include "monitor/site.h"

enum {
	NICE = 10, /* mail goes first */
	LOOK_AFTER_MS = 20, /* behind the whole second */
	CHANGED_LOOKS = 3, /* so long an editor may still be at work */
};

struct parts {
	struct startup startup;
	struct site site;
	struct loop *loop;
	struct snapshot *snapshot;
	struct web *web;
	struct loop_timer *clock;
	bool has_accepted;
	int changed; /* looks since main.cf or master.cf is another */
};

/* ---- start -------------------------------------------------------------- */

/* The lanes as they are configured: by postconf(1), as root, once. */
static void
open_site(struct parts *p)
{
	char error[512];

	if (!site_open(&p->site, NULL, error, sizeof(error)))
		log_fatal("%s", error);
}

/* Whatever lanes and Postfix want of the processor they get first. */
static void
give_up_rights(struct startup *s)
{
	char *error = NULL;

	s->opt.unprivileged = true;
	if (!master_drop_privileges(&s->set, &s->opt, &error))
		log_fatal("%s", error);
	if (setpriority(PRIO_PROCESS, 0, NICE) != 0)
		log_warn("cannot give up rights: %s", strerror(errno));
}

/* One that no lane has made yet: where it will be. */
static void
allow_state(struct confine *c, const char *directory)
{
	char *path = mem_strdup(directory), *slash;

	while (!confine_allow(c, path, FILES_READ) &&
	       (slash = strrchr(path, '/')) != NULL && slash != path)
		*slash = '\0';
	mem_free(path);
}

/* It reads what lanes and the queue manager write, and keeps a history. Whoever
 * wants to know comes to it: it calls nobody but the log and
 * trivial-rewrite(8), by sockets with a name. */
static void
confine(struct parts *p)
{
	static const char *const queues[] = {"incoming", "active", "deferred"};
	const struct startup *s = &p->startup;
	struct rlimit none = {0, 0};
	struct confine c;

	confine_begin(&c, &s->set, p->loop, SYSCALLS_MAKE_FILES);
	/* From here on it starts no process, whatever lane_sandbox says. */
	if (setrlimit(RLIMIT_NPROC, &none) != 0)
		log_warn("cannot give up processes: %s", strerror(errno));
	for (size_t i = 0; i < sizeof(queues) / sizeof(queues[0]); i++)
		(void)confine_allow(&c, queues[i], FILES_READ);
	for (size_t i = 0; i < p->site.lane_count; i++)
		allow_state(&c, p->site.lanes[i].set.lane_state_directory);
	confine_allow_fd(
	    &c, s->state.fd, FILES_READ | FILES_WRITE | FILES_MAKE);
	confine_enter(&c);
}

static void
start(struct parts *p, int argc, char **argv)
{
	struct startup *s = &p->startup;

	startup_begin(s, "lanestat", argc, argv);
	startup_read_settings(s, NULL);
	startup_set_log_name(s, "lanestat");
	logsink_configure(&s->set);
	if (s->opt.chroot)
		log_fatal("lanestat cannot work in a chroot, where it sees no "
			  "state of lanes: set the chroot column of %s in "
			  "master.cf to n",
		    s->opt.service_name);
	open_site(p);
	startup_try_state(s);
	p->loop = loop_new();
	logsink_attach(p->loop);
	give_up_rights(s);
}

/* ---- at work ------------------------------------------------------------ */

static void
on_request(
    void *ctx, const struct web_request *request, struct web_answer *answer)
{
	struct parts *p = ctx;

	answers_give(p->snapshot, request, answer);
}

static void
on_client(void *ctx)
{
	struct parts *p = ctx;

	if (p->has_accepted)
		return;
	p->has_accepted = true;
	master_taken(p->startup.master);
	master_avail(p->startup.master);
}

static void
on_end(void *ctx)
{
	struct parts *p = ctx;

	loop_stop(p->loop);
}

static void
look_next_second(struct parts *p)
{
	struct moment now = clock_moment();

	loop_timer_at(p->clock,
	    now.us / 1000 + 1000 - now.wall.tv_usec / 1000 + LOOK_AFTER_MS);
}

/* What is configured is read as root: the next process does that, with the
 * next connection. */
static void
on_clock(void *ctx)
{
	struct parts *p = ctx;

	snapshot_look(p->snapshot, clock_moment());
	if (!site_has_changed(&p->site))
		p->changed = 0;
	else if (++p->changed >= CHANGED_LOOKS)
		loop_stop(p->loop);
	look_next_second(p);
}

static void
finish(struct parts *p)
{
	web_free(&p->web);
	loop_timer_free(&p->clock);
	snapshot_free(&p->snapshot);
	logsink_attach(NULL);
	confine_end();
	master_close(&p->startup.master);
	loop_free(&p->loop);
	site_close(&p->site);
	startup_fini(&p->startup);
}

int
main(int argc, char **argv)
{
	struct parts p = {.loop = NULL};
	const struct startup *s = &p.startup;

	library_memory_claim();
	if (argc == 2 && strcmp(argv[1], "-V") == 0)
		return puts(release_version()) < 0;
	start(&p, argc, argv);
	p.snapshot = snapshot_new(&p.site, s->state.fd, clock_moment());
	p.clock = loop_timer_new(p.loop, on_clock, &p);
	look_next_second(&p);
	p.web = web_new(p.loop, WEB_LIMITS, on_request, on_client, &p);
	for (int i = 0; i < s->opt.socket_count; i++)
		web_listen(p.web, MASTER_LISTEN_FD + i);
	master_watch(s->master, p.loop, on_end, &p);
	loop_on_signal(p.loop, SIGTERM, on_end, &p);
	confine(&p);
	loop_run(p.loop);
	finish(&p);
	return 0;
}
