#include "agent/token/token_main.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "agent/confine/confine.h"
#include "agent/io/logsink.h"
#include "agent/io/loop.h"
#include "agent/operator/alarm.h"
#include "agent/postfix/startup.h"
#include "agent/settings/config.h"
#include "agent/state/token_store.h"
#include "agent/token/confdir.h"
#include "agent/token/login.h"
#include "agent/token/service.h"
#include "agent/token/status.h"
#include "common/base/log.h"
#include "common/base/mem.h"
#include "common/shared/tokenproto.h"

enum { STATUS_WRONG = 2 };

/* The service and what it borrows. */
struct parts {
	struct startup startup;
	struct loop *loop;
	struct confdir dir;
	struct alarm *alarm;
	struct token_store *shown;
	struct service *service;
};

bool
token_is_wanted(int argc, char *const *argv)
{
	struct problems problems = {0};
	struct options opt;
	bool is_wanted;

	if (argc > 1 && strcmp(argv[1], "token") == 0)
		return true;
	options_parse(&opt, argc, argv, &problems);
	is_wanted = opt.is_token;
	options_fini(&opt);
	problems_fini(&problems);
	return is_wanted;
}

/* ---- the service -----------------------------------------------------------
 */

/* The limit is for files: a program that gets cores by a pipe is kept away by
 * the other. */
static void
forbid_core(void)
{
	struct rlimit none = {0, 0};

	(void)setrlimit(RLIMIT_CORE, &none);
	(void)prctl(PR_SET_DUMPABLE, 0);
}

/* No core file, no swap and no neighbour has them. */
static void
guard_secrets(void)
{
	struct rlimit all = {RLIM_INFINITY, RLIM_INFINITY};

	forbid_core();
	if (setrlimit(RLIMIT_MEMLOCK, &all) != 0 ||
	    mlockall(MCL_CURRENT | MCL_FUTURE) != 0)
		log_info("secrets cannot be kept out of the swap area: %s",
		    strerror(errno));
}

static void
log_confdir(const struct confdir *dir)
{
	if (dir->error != NULL)
		log_error("%s", dir->error);
	for (size_t i = 0; i < dir->count; i++)
		if (dir->entries[i].error != NULL)
			log_error("token %s: %s", dir->entries[i].conf.name,
			    dir->entries[i].error);
}

/* Before a secret is in memory. */
static int
start_runner(struct startup *s)
{
	int fd;

	while (!alarm_start_runner(&s->set, startup_drop_privileges, s, &fd))
		startup_wait(s, "lane_alert_command: no process to run it");
	return fd;
}

static void
start(struct parts *p, int argc, char **argv)
{
	struct startup *s = &p->startup;
	char *error = NULL;
	int runner_fd;

	startup_begin(s, "lane-token", argc, argv);
	guard_secrets();
	startup_read_settings(s, NULL);
	startup_set_log_name(s, "lane-token");
	logsink_configure(&s->set);
	if (s->opt.chroot)
		problems_addf(&s->problems,
		    "lane token cannot work in a chroot: set the chroot "
		    "column of %s in master.cf to n",
		    s->opt.service_name);
	startup_log_problems(s, 0);
	/* As root it could read more than it was told to. */
	s->opt.unprivileged = true;
	s->opt.chroot = false;
	runner_fd = start_runner(s);
	startup_try_state(s); /* where its alarms are kept */
	p->loop = loop_new();
	logsink_attach(p->loop);
	confdir_read(&p->dir, s->set.lane_token_directory);
	log_confdir(&p->dir);
	p->alarm = alarm_new(p->loop, &s->set, s->opt.service_name, runner_fd);
	if (!master_drop_privileges(&s->set, &s->opt, &error))
		log_fatal("%s", error);
	(void)prctl(PR_SET_DUMPABLE, 0);
	if (s->state.fd >= 0)
		alarm_keep(p->alarm, &s->state);
	p->shown = token_store_open(
	    s->state.fd >= 0 ? &s->state : NULL, s->opt.service_name);
}

static void
on_first_accept(void *ctx)
{
	struct parts *p = ctx;

	master_taken(p->startup.master);
	master_avail(p->startup.master);
}

static void
on_drained(void *ctx)
{
	struct parts *p = ctx;

	loop_stop(p->loop);
}

/* Reload, stop, or files that only root can read again: the next process does
 * that, and who waits for a token asks it. */
static void
on_end(void *ctx)
{
	struct parts *p = ctx;

	service_drain(p->service, on_drained, p);
}

static void
finish(struct parts *p)
{
	service_free(&p->service);
	token_store_close(&p->shown);
	alarm_free(&p->alarm);
	confdir_free(&p->dir);
	logsink_attach(NULL);
	confine_end();
	master_close(&p->startup.master);
	loop_free(&p->loop);
	startup_fini(&p->startup);
}

/* Its own files are open; where its alarms are kept is not the place of
 * secrets. */
static void
give_up_rights(struct parts *p)
{
	struct startup *s = &p->startup;
	struct confine c;

	confine_begin(&c, &s->set, p->loop,
	    SYSCALLS_INET | SYSCALLS_THREADS | SYSCALLS_MAKE_FILES);
	confine_allow_fd(
	    &c, s->state.fd, FILES_READ | FILES_WRITE | FILES_MAKE);
	confine_enter(&c);
}

static int
serve(int argc, char **argv)
{
	struct parts p = {.loop = NULL};
	const struct startup *s = &p.startup;
	struct service_env env;

	start(&p, argc, argv);
	env = (struct service_env){.loop = p.loop,
	    .listen_fd = master_listen_fd(s->master),
	    .dir = &p.dir,
	    .alarm = p.alarm,
	    .shown = p.shown,
	    .problem = s->problems.count > 0 ? s->problems.text[0] : NULL,
	    .on_first_accept = on_first_accept,
	    .on_stale = on_end,
	    .ctx = &p};
	p.service = service_new(&env);
	master_watch(s->master, p.loop, on_end, &p);
	loop_on_signal(p.loop, SIGTERM, on_end, &p);
	give_up_rights(&p);
	loop_run(p.loop);
	finish(&p);
	return 0;
}

/* ---- on a terminal ---------------------------------------------------------
 */

static int
usage(void)
{
	(void)fprintf(stderr,
	    "usage: lane token NAME [--login] [-o name=value]...\n"
	    "The service itself is started by master(8): see lane(8)\n");
	return STATUS_WRONG;
}

static int
log_in(const struct settings *set, const char *name)
{
	struct confdir dir;
	const struct confdir_entry *entry;
	int status = 1;

	if (geteuid() != 0) {
		(void)fprintf(stderr, "lane: only root can log in\n");
		return 1;
	}
	forbid_core();
	(void)umask(077);
	confdir_read(&dir, set->lane_token_directory);
	entry = confdir_find(&dir, name);
	if (dir.error != NULL)
		(void)fprintf(stderr, "lane: %s\n", dir.error);
	else if (entry == NULL)
		(void)fprintf(
		    stderr, "lane: no %s.conf in %s\n", name, dir.path);
	else
		status = login_run(entry);
	confdir_free(&dir);
	return status;
}

static int
command(int argc, char **argv)
{
	char **words = mem_zarray((size_t)argc + 1, sizeof(words[0]));
	struct problems problems = {0};
	const char *name = argv[2];
	struct settings set;
	struct options opt;
	int count = 0, status = STATUS_WRONG;
	bool is_login = false, is_read;

	words[count++] = argv[0];
	for (int i = 3; i < argc; i++)
		if (strcmp(argv[i], "--login") == 0)
			is_login = true;
		else
			words[count++] = argv[i];
	options_parse(&opt, count, words, &problems);
	is_read = config_load(&set, NULL, &opt, &problems, NULL);
	for (size_t i = 0; i < problems.count; i++)
		(void)fprintf(stderr, "lane: %s\n", problems.text[i]);
	if (!tokenproto_name_is_valid(name))
		status = usage();
	else if (is_read && is_login)
		status = log_in(&set, name);
	else if (is_read)
		status = !status_print_one(&set, name);
	settings_free(&set);
	problems_fini(&problems);
	options_fini(&opt);
	mem_free(words);
	return status;
}

int
token_main(int argc, char **argv)
{
	if (argc < 2 || strcmp(argv[1], "token") != 0)
		return serve(argc, argv);
	return argc < 3 ? usage() : command(argc, argv);
}
