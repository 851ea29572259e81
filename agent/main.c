/* main: starts the lane as master(8)'s child, in an order that matters:
 * whatever needs root (configuration, tables, keys, resolver, log socket)
 * comes before the privileges go. */
#include <stdio.h>
#include <string.h>

#include "agent/agent.h"
#include "agent/io/logsink.h"
#include "agent/io/loop.h"
#include "agent/operator/alarm.h"
#include "agent/postfix/master.h"
#include "agent/postfix/report.h"
#include "agent/postfix/startup.h"
#include "agent/settings/dryrun.h"
#include "agent/settings/problems.h"
#include "agent/settings/provider_set.h"
#include "agent/smarthost/credentials.h"
#include "agent/smarthost/dialer.h"
#include "agent/state/board_writer.h"
#include "agent/state/state_sweep.h"
#include "agent/tables/content_tables.h"
#include "agent/tables/domain_tables.h"
#include "agent/tables/maps.h"
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
	struct maps *passwords, *policies;
	struct rewrite_table *replies, *verdicts, *ehlo_words;
	struct content_tables *content;
	struct mapwatch *tables;
	struct credentials *credentials;
	struct domains *domains;
	struct dialer *dialer;
	struct alarm *alarm;
	struct board_writer *board;
	char *lane_name;
	struct descriptors descriptors;
};

/* Those without which mail would be judged, or servers talked to, otherwise
 * than the site wants: what cannot be read is a problem. */
static void
open_rewrite_tables(struct parts *p, const struct maps_env *env)
{
	const struct settings *set = &p->startup.set;
	size_t before = p->startup.problems.count;

	p->replies = rewrite_table_open(env, "smtp_reply_filter",
	    set->smtp_reply_filter, p->tables, &p->startup.problems);
	p->verdicts = rewrite_table_open(env, "smtp_delivery_status_filter",
	    set->smtp_delivery_status_filter, p->tables, &p->startup.problems);
	p->ehlo_words =
	    rewrite_table_open(env, "smtp_discard_ehlo_keyword_address_maps",
		set->smtp_discard_ehlo_keyword_address_maps, p->tables,
		&p->startup.problems);
	p->content =
	    content_tables_open(env, set, p->tables, &p->startup.problems);
	startup_log_problems(&p->startup, before);
}

/* Tables are read as root; what cannot be read becomes the problem of the
 * deliveries that need it, not of the service. */
static void
open_tables(struct parts *p)
{
	const struct settings *set = &p->startup.set;
	struct problems unreadable = {0};
	struct maps_env env;

	maps_env_init(&env, p->loop, set);
	p->tables = mapwatch_new();
	/* Before they are read: a change in between is noticed later. */
	if (set->smtp_sasl_auth_enable)
		mapwatch_add(p->tables, set->smtp_sasl_password_maps);
	mapwatch_add(p->tables, set->smtp_tls_policy_maps);
	p->passwords = maps_open(&env, "smtp_sasl_password_maps",
	    set->smtp_sasl_auth_enable ? set->smtp_sasl_password_maps : "",
	    &unreadable);
	p->policies = maps_open(&env, "smtp_tls_policy_maps",
	    set->smtp_tls_policy_maps, &unreadable);
	mapwatch_follow(p->tables, p->passwords);
	mapwatch_follow(p->tables, p->policies);
	for (size_t i = 0; i < unreadable.count; i++)
		log_error("%s", unreadable.text[i]);
	problems_fini(&unreadable);
	open_rewrite_tables(p, &env);
	mapwatch_add(p->tables, set->lane_domain_rate_limits);
	p->domains = domain_tables_open(&env, set, &p->startup.problems);
	p->credentials = credentials_new(set, p->passwords);
	credentials_preload(p->credentials, set->relayhost);
	credentials_preload(p->credentials, set->lane_smarthost);
	credentials_check(p->credentials, set->lane_smarthost[0] != '\0'
					      ? set->lane_smarthost
					      : set->relayhost);
	maps_preload(p->policies, set->relayhost);
	maps_preload(p->policies, set->lane_smarthost);
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
}

static void
start(struct parts *p, int argc, char **argv)
{
	struct startup *s = &p->startup;
	char *error = NULL;

	startup_begin(s, "smtp", argc, argv);
	master_raise_limits();
	startup_read_settings(s, &p->provider);
	logsink_configure(&s->set);
	startup_log_problems(s, 0);
	for (size_t i = 0; i < s->problems.warning_count; i++)
		log_warn("%s", s->problems.warning[i]);
	open_state(p);
	p->loop = loop_new();
	logsink_attach(p->loop);
	open_tables(p);
	p->dialer = dialer_new(p->loop, &s->set, p->credentials, p->policies);
	dialer_filter(p->dialer, rewrite_table_rewriter(p->replies),
	    rewrite_table_rewriter(p->ehlo_words));
	p->alarm = alarm_new(p->loop, &s->set, p->lane_name);
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
	board_writer_close(&p->board);
	alarm_free(&p->alarm);
	provider_set_fini(&p->provider);
	dialer_free(&p->dialer);
	credentials_free(&p->credentials);
	domains_free(&p->domains);
	mapwatch_free(&p->tables);
	maps_close(&p->passwords);
	maps_close(&p->policies);
	rewrite_table_close(&p->replies);
	rewrite_table_close(&p->verdicts);
	rewrite_table_close(&p->ehlo_words);
	content_tables_close(&p->content);
	logsink_attach(NULL);
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

	if (argc == 2 && strcmp(argv[1], "-V") == 0)
		return puts(release_version()) < 0;
	if (dryrun_is_wanted(argc, argv))
		return dryrun_main(argc, argv, status_print);
	if (token_is_wanted(argc, argv))
		return token_main(argc, argv);
	start(&p, argc, argv);
	share_descriptors(&p);
	env = (struct agent_env){
	    .loop = p.loop,
	    .set = &s->set,
	    .master = s->master,
	    .dialer = p.dialer,
	    .credentials = p.credentials,
	    .board = p.board,
	    .alarm = p.alarm,
	    .rules = p.provider.rules,
	    .domains = p.domains,
	    .state = s->state.fd >= 0 ? &s->state : NULL,
	    .tables = p.tables,
	    .verdicts = rewrite_table_rewriter(p.verdicts),
	    .rewriting = content_tables_rules(p.content),
	    .lane_name = p.lane_name,
	    .descriptors = p.descriptors,
	    .problem = s->problems.count > 0 ? s->problems.text[0] : NULL,
	};
	agent = agent_new(&env);
	agent_run(agent);
	agent_free(&agent);
	finish(&p);
	return 0;
}
