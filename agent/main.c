/* main: starts the lane as master(8)'s child, in an order that matters:
 * whatever needs root (configuration, tables, keys, resolver, log socket)
 * comes before the privileges go. */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "agent/agent.h"
#include "agent/operator/alarm.h"
#include "agent/state/board_writer.h"
#include "agent/settings/config.h"
#include "agent/smarthost/credentials.h"
#include "agent/smarthost/dialer.h"
#include "agent/tables/domain_tables.h"
#include "agent/settings/dryrun.h"
#include "agent/io/command_output.h"
#include "agent/io/logsink.h"
#include "agent/io/loop.h"
#include "agent/tables/mapwatch.h"
#include "agent/tables/maps.h"
#include "agent/tables/content_tables.h"
#include "agent/tables/rewrite_table.h"
#include "agent/postfix/master.h"
#include "agent/postfix/report.h"
#include "agent/settings/options.h"
#include "agent/settings/params.h"
#include "agent/settings/problems.h"
#include "agent/settings/provider_set.h"
#include "agent/state/statefile.h"
#include "agent/state/state_sweep.h"
#include "agent/token/status.h"
#include "agent/token/token_main.h"
#include "common/base/clock.h"
#include "common/base/log.h"
#include "common/base/mem.h"
#include "common/base/release.h"

struct startup {
	struct options opt;
	struct problems problems;
	struct settings set;
	struct loop *loop;
	struct master *master;
	struct maps *passwords, *policies;
	struct rewrite_table *replies, *verdicts, *ehlo_words;
	struct content_tables *content;
	struct mapwatch *tables;
	struct credentials *credentials;
	struct domains *domains;
	struct dialer *dialer;
	struct provider_set provider;
	struct alarm *alarm;
	struct statefile_dir state;
	struct board_writer *board;
	char *lane_name;
	struct descriptors descriptors;
	int64_t told_ms; /* why it cannot start yet; 0: not */
};

enum {
	RETRY_MS = 1000,
	TELL_EVERY_MS = 60000,
	/* What postconf(1) itself finds wrong is not the system's, but may be
	 * a file that is just being edited. */
	CONFIG_TRIES = 5,
};

/* To the log as Postfix words it; the process stays, see agent.h. */
static void
log_problems(const struct problems *problems, size_t from)
{
	for (size_t i = from; i < problems->count; i++)
		log_lasting_fatal("%s", problems->text[i]);
}

/* Those without which mail would be judged, or servers talked to, otherwise
 * than the site wants: what cannot be read is a problem. */
static void
open_rewrite_tables(struct startup *s, const struct maps_env *env)
{
	const struct settings *set = &s->set;
	size_t before = s->problems.count;

	s->replies = rewrite_table_open(env, "smtp_reply_filter",
	    set->smtp_reply_filter, s->tables, &s->problems);
	s->verdicts = rewrite_table_open(env, "smtp_delivery_status_filter",
	    set->smtp_delivery_status_filter, s->tables, &s->problems);
	s->ehlo_words =
	    rewrite_table_open(env, "smtp_discard_ehlo_keyword_address_maps",
		set->smtp_discard_ehlo_keyword_address_maps, s->tables,
		&s->problems);
	s->content = content_tables_open(env, set, s->tables, &s->problems);
	log_problems(&s->problems, before);
}

/* Tables are read as root; what cannot be read becomes the problem of the
 * deliveries that need it, not of the service. */
static void
open_tables(struct startup *s)
{
	const struct settings *set = &s->set;
	struct problems unreadable = {0};
	struct maps_env env;

	maps_env_init(&env, s->loop, set);
	s->tables = mapwatch_new();
	/* Before they are read: a change in between is noticed later. */
	if (set->smtp_sasl_auth_enable)
		mapwatch_add(s->tables, set->smtp_sasl_password_maps);
	mapwatch_add(s->tables, set->smtp_tls_policy_maps);
	s->passwords = maps_open(&env, "smtp_sasl_password_maps",
	    set->smtp_sasl_auth_enable ? set->smtp_sasl_password_maps : "",
	    &unreadable);
	s->policies = maps_open(&env, "smtp_tls_policy_maps",
	    set->smtp_tls_policy_maps, &unreadable);
	mapwatch_follow(s->tables, s->passwords);
	mapwatch_follow(s->tables, s->policies);
	for (size_t i = 0; i < unreadable.count; i++)
		log_error("%s", unreadable.text[i]);
	problems_fini(&unreadable);
	open_rewrite_tables(s, &env);
	mapwatch_add(s->tables, set->lane_domain_rate_limits);
	s->domains = domain_tables_open(&env, set, &s->problems);
	s->credentials = credentials_new(set, s->passwords);
	credentials_preload(s->credentials, set->relayhost);
	credentials_preload(s->credentials, set->lane_smarthost);
	credentials_check(s->credentials, set->lane_smarthost[0] != '\0'
					      ? set->lane_smarthost
					      : set->relayhost);
	maps_preload(s->policies, set->relayhost);
	maps_preload(s->policies, set->lane_smarthost);
}

/* Told by what failed for the system's sake: no descriptors, no processes, no
 * memory. It may be over in a second or in an hour, and until then master(8)
 * has no better process than this one. */
static bool
wait_for_system(void *ctx, const char *why)
{
	struct startup *s = ctx;
	int64_t now_ms = clock_mono_ms();

	if (s->told_ms == 0 || now_ms - s->told_ms >= TELL_EVERY_MS)
		log_warn("%s -- cannot start, trying again", why);
	else
		now_ms = s->told_ms;
	s->told_ms = now_ms;
	if (!master_pause(RETRY_MS))
		exit(0);
	return true;
}

static bool
is_passing(int error)
{
	return error == EMFILE || error == ENFILE || error == ENOMEM ||
	       error == EAGAIN || error == EINTR;
}

static enum state_directory
open_directory(struct startup *s, char **error_out)
{
	char why[512];
	enum state_directory result =
	    master_make_state_directory(&s->set, error_out);

	if (result != STATE_DIRECTORY_OK ||
	    statefile_dir_open(
		&s->state, s->set.lane_state_directory, why, sizeof(why)))
		return result;
	*error_out = mem_strdup(why);
	return STATE_DIRECTORY_UNUSABLE;
}

/* What the lanes share, while its path still leads there. For want of
 * descriptors or memory it is waited for: a lane without it counts its
 * connections and rates alone for as long as it lives. */
static void
open_state(struct startup *s)
{
	enum state_directory result;
	char why[512], *error = NULL;

	s->state.fd = -1;
	for (;;) {
		errno = 0;
		result = open_directory(s, &error);
		if (result != STATE_DIRECTORY_UNUSABLE || !is_passing(errno))
			break;
		(void)wait_for_system(s, error);
		mem_free(error);
	}
	if (result == STATE_DIRECTORY_FOREIGN) {
		problems_addf(&s->problems, "%s", error);
		log_lasting_fatal("%s", error);
	} else if (result != STATE_DIRECTORY_OK) {
		log_warn("%s", error);
	} else {
		(void)state_sweep_state(&s->state, clock_mono_us());
	}
	mem_free(error);
	s->lane_name = s->set.multi_instance_name[0] != '\0'
			   ? mem_printf("%s/%s", s->set.multi_instance_name,
				 s->opt.service_name)
			   : mem_strdup(s->opt.service_name);
	s->board = board_writer_open(s->set.lane_state_directory, s->lane_name,
	    s->set.lane_class, why, sizeof(why));
	if (s->board == NULL)
		log_warn("%s: %s; going on without figures",
		    s->set.lane_state_directory, why);
}

/* Without its settings a lane knows not even whose queue it is to serve: it
 * waits for them, or ends. */
static void
read_settings(struct startup *s, int argc, char **argv)
{
	for (int tries = 1;; tries++) {
		bool is_read;
		char *why;

		options_parse(&s->opt, argc, argv, &s->problems);
		is_read = config_load(
		    &s->set, &s->provider, &s->opt, &s->problems, NULL);
		if (is_read && !s->problems.may_pass)
			return;
		why = mem_strdup(s->problems.text[s->problems.count - 1]);
		if (!s->problems.may_pass && tries >= CONFIG_TRIES) {
			logsink_tell_syslog(why);
			log_fatal("%s", why);
		}
		(void)wait_for_system(s, why);
		mem_free(why);
		provider_set_fini(&s->provider);
		settings_free(&s->set);
		problems_fini(&s->problems);
		options_fini(&s->opt);
	}
}

static void
start(struct startup *s, int argc, char **argv)
{
	char *error = NULL;

	options_parse(&s->opt, argc, argv, &s->problems);
	/* master(8) sets GENERATION; somebody who tries it by hand reads. */
	logsink_open(
	    "smtp", s->opt.log_to_stderr || getenv("GENERATION") == NULL);
	log_set_verbose(s->opt.verbose);
	s->master = master_open(&s->opt, &error);
	if (s->master == NULL)
		log_fatal("%s", error);
	options_fini(&s->opt);
	problems_fini(&s->problems);
	master_raise_limits();
	command_output_patience(wait_for_system, s);
	read_settings(s, argc, argv);
	logsink_configure(&s->set);
	log_problems(&s->problems, 0);
	for (size_t i = 0; i < s->problems.warning_count; i++)
		log_warn("%s", s->problems.warning[i]);
	open_state(s);
	s->loop = loop_new();
	logsink_attach(s->loop);
	open_tables(s);
	s->dialer = dialer_new(s->loop, &s->set, s->credentials, s->policies);
	dialer_filter(s->dialer, rewrite_table_rewriter(s->replies),
	    rewrite_table_rewriter(s->ehlo_words));
	s->alarm = alarm_new(s->loop, &s->set, s->lane_name);
	if (!master_drop_privileges(&s->set, &s->opt, &error))
		log_fatal("%s", error);
}

/* What a session, its queue file and the report of what became of it need is
 * set aside; see descriptors.h. */
static void
share_descriptors(struct startup *s)
{
	struct settings *set = &s->set;
	struct descriptors *d = &s->descriptors;
	int needed, sessions = set->lane_connection_limit;

	descriptors_look(d);
	if (!descriptors_plan(d, sessions, REPORT_PARALLEL, &needed)) {
		problems_addf(&s->problems,
		    "the limit of open files is %d and %d are in use; %d are "
		    "needed for one session, a message, its report and the "
		    "files of the account: raise it where master is started "
		    "(ulimit -n)",
		    d->limit, d->in_use, needed);
		log_lasting_fatal(
		    "%s", s->problems.text[s->problems.count - 1]);
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
finish(struct startup *s)
{
	board_writer_close(&s->board);
	statefile_dir_close(&s->state);
	alarm_free(&s->alarm);
	provider_set_fini(&s->provider);
	dialer_free(&s->dialer);
	credentials_free(&s->credentials);
	domains_free(&s->domains);
	mapwatch_free(&s->tables);
	maps_close(&s->passwords);
	maps_close(&s->policies);
	rewrite_table_close(&s->replies);
	rewrite_table_close(&s->verdicts);
	rewrite_table_close(&s->ehlo_words);
	content_tables_close(&s->content);
	logsink_attach(NULL);
	master_close(&s->master);
	loop_free(&s->loop);
	problems_fini(&s->problems);
	settings_free(&s->set);
	mem_free(s->lane_name);
	options_fini(&s->opt);
}

int
main(int argc, char **argv)
{
	struct startup s = {.loop = NULL};
	struct agent_env env;
	struct agent *agent;

	if (argc == 2 && strcmp(argv[1], "-V") == 0)
		return puts(release_version()) < 0;
	if (dryrun_is_wanted(argc, argv))
		return dryrun_main(argc, argv, status_print);
	if (token_is_wanted(argc, argv))
		return token_main(argc, argv);
	(void)signal(SIGPIPE, SIG_IGN);
	master_hide_memory();
	start(&s, argc, argv);
	share_descriptors(&s);
	env = (struct agent_env){
	    .loop = s.loop,
	    .set = &s.set,
	    .master = s.master,
	    .dialer = s.dialer,
	    .credentials = s.credentials,
	    .board = s.board,
	    .alarm = s.alarm,
	    .rules = s.provider.rules,
	    .domains = s.domains,
	    .state = s.state.fd >= 0 ? &s.state : NULL,
	    .tables = s.tables,
	    .verdicts = rewrite_table_rewriter(s.verdicts),
	    .rewriting = content_tables_rules(s.content),
	    .lane_name = s.lane_name,
	    .descriptors = s.descriptors,
	    .problem = s.problems.count > 0 ? s.problems.text[0] : NULL,
	};
	agent = agent_new(&env);
	agent_run(agent);
	agent_free(&agent);
	finish(&s);
	return 0;
}
