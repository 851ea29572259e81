/* main: starts the lane as master(8)'s child, in an order that matters:
 * whatever needs root (configuration, tables, keys, resolver, log socket)
 * comes before the privileges go. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "agent/agent.h"
#include "agent/confine/confine.h"
#include "agent/confinement.h"
#include "agent/dialing.h"
#include "agent/io/library_memory.h"
#include "agent/io/logsink.h"
#include "agent/io/loop.h"
#include "agent/io/tls_client.h"
#include "agent/operator/alarm.h"
#include "agent/postfix/master.h"
#include "agent/postfix/report.h"
#include "agent/postfix/startup.h"
#include "agent/probe.h"
#include "agent/settings/dryrun.h"
#include "agent/settings/fingerprint.h"
#include "agent/settings/problems.h"
#include "agent/settings/provider_set.h"
#include "agent/state/board_writer.h"
#include "agent/state/state_sweep.h"
#include "agent/tables/content_tables.h"
#include "agent/tables/domain_tables.h"
#include "agent/tables/mapwatch.h"
#include "agent/tables/rewrite_table.h"
#include "agent/token/status.h"
#include "agent/token/token_main.h"
#include "common/base/clock.h"
#include "common/base/log.h"
#include "common/base/mem.h"
#include "common/base/release.h"

/* What the agent borrows. */
struct parts {
	struct startup startup;
	struct provider_set provider;
	struct loop *loop;
	struct dialing dialing;
	struct rewrite_table *verdicts;
	struct content_tables *content;
	struct domains *domains;
	struct alarm *alarm;
	struct fleet_access fleet;
	struct tls_authorities *authorities; /* of its engine, or NULL */
	struct speaker *speaker; /* NULL: hosts share nothing */
	struct board_writer *board;
	char *lane_name;
	int runner_fd;
	uint64_t settings[FINGERPRINT_WORDS]; /* as they were read */
	struct descriptors descriptors;
};

/* Those without which mail would be judged otherwise than the site wants: what
 * cannot be read is a problem. */
static void
open_tables(struct parts *p)
{
	struct startup *s = &p->startup;
	struct maps_env env;
	size_t before = s->problems.count;

	maps_env_init(&env, p->loop, &s->set);
	p->verdicts = rewrite_table_open(&env, "smtp_delivery_status_filter",
	    s->set.smtp_delivery_status_filter, p->dialing.tables,
	    &s->problems);
	p->content =
	    content_tables_open(&env, &s->set, p->dialing.tables, &s->problems);
	startup_log_problems(s, before);
	mapwatch_add(p->dialing.tables, s->set.lane_domain_rate_limits);
	p->domains = domain_tables_open(&env, &s->set, &s->problems);
}

static void
open_dialing(struct parts *p)
{
	struct startup *s = &p->startup;
	size_t before = s->problems.count;

	dialing_open(&p->dialing, p->loop, &s->set, &s->problems);
	startup_log_problems(s, before);
	credentials_check(p->dialing.credentials,
	    s->set.lane_smarthost[0] != '\0' ? s->set.lane_smarthost
					     : s->set.relayhost);
}

/* False: problem is the line that says so. */
static bool
read_fleet(struct parts *p, char *problem, size_t n)
{
	const struct settings *set = &p->startup.set;
	char why[512];

	if (!fleet_access_parse(set->lane_fleet, &p->fleet, why, sizeof(why)))
		(void)snprintf(problem, n, "bad parameter: lane_fleet = %s: %s",
		    set->lane_fleet, why);
	else if (!fleet_is_name(set->lane_fleet_name))
		(void)snprintf(problem, n,
		    "bad parameter: lane_fleet_name = %s: must be 1 to %d "
		    "letters, digits, dots, underscores and hyphens",
		    set->lane_fleet_name, FLEET_NAME_SIZE - 1);
	else if (!fleet_access_password(set->lane_fleet_password_file,
		     &p->fleet, why, sizeof(why)))
		(void)snprintf(problem, n,
		    "bad parameter: lane_fleet_password_file = %s: %s",
		    set->lane_fleet_password_file, why);
	else if (p->fleet.is_tls &&
		 (p->authorities = tls_authorities_read(
		      set->lane_fleet_tls_CAfile, why, sizeof(why))) == NULL)
		(void)snprintf(problem, n,
		    "bad parameter: lane_fleet_tls_CAfile: %s", why);
	else
		return true;
	return false;
}

/* What cannot be used is said, and the host goes on with what is its own. */
static void
open_fleet(struct parts *p)
{
	const struct settings *set = &p->startup.set;
	char problem[1024], *table;
	bool is_good;

	if (set->lane_fleet[0] == '\0')
		return;
	if (set->lane_fleet_password_file[0] != '\0') {
		table =
		    mem_printf("texthash:%s", set->lane_fleet_password_file);
		mapwatch_add(p->dialing.tables, table);
		mem_free(table);
		if (!fleet_access_lock(&p->fleet))
			log_warn("lane_fleet_password_file: its password may "
				 "be swapped out: %s",
			    strerror(errno));
	}
	is_good = read_fleet(p, problem, sizeof(problem));
	p->fleet.authorities = p->authorities;
	if (!is_good)
		log_warn("%s; going on with this host's own part of the "
			 "account",
		    problem);
	p->speaker = speaker_new(p->loop, set, is_good ? &p->fleet : NULL);
}

/* What the lanes share, while its path still leads there. */
static void
open_state(struct parts *p)
{
	struct startup *s = &p->startup;
	char why[512], *error = NULL;
	enum state_directory result = startup_open_state(s, &error);

	if (result == STATE_DIRECTORY_FOREIGN) {
		problems_addf(&s->problems, "%s", error);
		log_lasting_fatal("%s", error);
	} else if (result != STATE_DIRECTORY_OK) {
		log_warn("%s", error);
	} else {
		(void)state_sweep_state(&s->state, clock_mono_us());
	}
	mem_free(error);
	p->lane_name = s->set.multi_instance_name[0] != '\0'
			   ? mem_printf("%s/%s", s->set.multi_instance_name,
				 s->opt.service_name)
			   : mem_strdup(s->opt.service_name);
	p->board = board_writer_open(s->set.lane_state_directory, p->lane_name,
	    s->set.lane_class, why, sizeof(why));
	if (p->board == NULL)
		log_warn("%s: %s; going on without figures",
		    s->set.lane_state_directory, why);
	board_writer_set_settings(p->board, p->settings);
}

/* Before a password is in memory. */
static void
start_runner(struct parts *p)
{
	struct startup *s = &p->startup;

	while (!alarm_start_runner(
	    &s->set, startup_drop_privileges, s, &p->runner_fd))
		startup_wait(s, "lane_alert_command: no process to run it");
}

static void
start(struct parts *p, int argc, char **argv)
{
	struct startup *s = &p->startup;
	char *error = NULL;

	startup_begin(s, "smtp", argc, argv);
	master_raise_limits();
	startup_read_settings(s, &p->provider);
	fingerprint_take(p->settings, &s->set);
	logsink_configure(&s->set);
	startup_log_problems(s, 0);
	for (size_t i = 0; i < s->problems.warning_count; i++)
		log_warn("%s", s->problems.warning[i]);
	start_runner(p);
	open_state(p);
	p->loop = loop_new();
	logsink_attach(p->loop);
	open_dialing(p);
	open_tables(p);
	open_fleet(p);
	p->alarm = alarm_new(p->loop, &s->set, p->lane_name, p->runner_fd);
	if (!master_drop_privileges(&s->set, &s->opt, &error))
		log_fatal("%s", error);
}

/* What a session, its queue file and the report of what became of it need is
 * set aside; see descriptors.h. */
static void
share_descriptors(struct parts *p)
{
	struct problems *problems = &p->startup.problems;
	struct settings *set = &p->startup.set;
	struct descriptors *d = &p->descriptors;
	int needed, sessions = set->lane_connection_limit;

	descriptors_look(d);
	if (!descriptors_plan(d, sessions, REPORT_PARALLEL, &needed)) {
		problems_addf(problems,
		    "the limit of open files is %d and %d are in use; %d are "
		    "needed for one session, a message, its report and the "
		    "files of the account: raise it where master is started "
		    "(ulimit -n)",
		    d->limit, d->in_use, needed);
		log_lasting_fatal("%s", problems->text[problems->count - 1]);
		d->requests = d->conversations = 1;
		return;
	}
	if (d->sessions == sessions &&
	    d->requests >= sessions * set->lane_pipeline_depth)
		return;
	log_warn(
	    "the limit of open files, %d, allows %d of %d sessions and %d "
	    "messages at once: raise it where master is started (ulimit -n)",
	    d->limit, d->sessions, sessions, d->requests);
	set->lane_connection_limit = d->sessions;
	if (set->lane_connection_reserve > d->sessions)
		set->lane_connection_reserve = d->sessions;
}

/* The loop last of those that have watches or timers of it. */
static void
finish(struct parts *p)
{
	speaker_free(&p->speaker);
	fleet_access_forget(&p->fleet);
	tls_authorities_free(&p->authorities);
	board_writer_close(&p->board);
	alarm_free(&p->alarm);
	provider_set_fini(&p->provider);
	domains_free(&p->domains);
	rewrite_table_close(&p->verdicts);
	content_tables_close(&p->content);
	dialing_close(&p->dialing);
	logsink_attach(NULL);
	confine_end();
	master_close(&p->startup.master);
	loop_free(&p->loop);
	mem_free(p->lane_name);
	startup_fini(&p->startup);
}

int
main(int argc, char **argv)
{
	struct parts p = {.loop = NULL};
	const struct startup *s = &p.startup;
	struct agent_env env;
	struct agent *agent;

	library_memory_claim();
	if (argc == 2 && strcmp(argv[1], "-V") == 0)
		return puts(release_version()) < 0;
	if (dryrun_is_wanted(argc, argv))
		return dryrun_main(argc, argv, status_print);
	if (probe_is_wanted(argc, argv))
		return probe_main(argc, argv);
	if (token_is_wanted(argc, argv))
		return token_main(argc, argv);
	start(&p, argc, argv);
	share_descriptors(&p);
	env = (struct agent_env){
	    .loop = p.loop,
	    .set = &s->set,
	    .master = s->master,
	    .dialer = p.dialing.dialer,
	    .credentials = p.dialing.credentials,
	    .board = p.board,
	    .alarm = p.alarm,
	    .rules = p.provider.rules,
	    .domains = p.domains,
	    .state = s->state.fd >= 0 ? &s->state : NULL,
	    .tables = p.dialing.tables,
	    .verdicts = rewrite_table_rewriter(p.verdicts),
	    .content = p.content,
	    .lane_name = p.lane_name,
	    .speaker = p.speaker,
	    .descriptors = p.descriptors,
	    .problem = s->problems.count > 0 ? s->problems.text[0] : NULL,
	};
	agent = agent_new(&env);
	confinement_enter(p.loop, &s->set, &p.dialing, env.state);
	agent_run(agent);
	agent_free(&agent);
	finish(&p);
	return 0;
}
