/* setup: two lanes to a smarthost, added to a configuration that works. */
#include <errno.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sysexits.h>
#include <termios.h>
#include <unistd.h>

#include "agent/settings/postconf.h"
#include "common/base/log.h"
#include "common/base/mem.h"
#include "monitor/findings.h"
#include "monitor/postlane/command.h"
#include "monitor/setup.h"

enum { LOGIN_MAX = 1000, TOLD_MAX = 1 << 20 };

/* ---- the plan -------------------------------------------------------------
 */

static const char *
value_of(const struct postconf *pc, const char *name)
{
	const char *value = postconf_value(pc, name);

	return value != NULL ? value : "";
}

/* As it is written, for $name to stay what it is. */
static const char *
unexpanded(
    const struct postconf *pc, const struct main_cf *cf, const char *name)
{
	const char *written = main_cf_find(cf, name);

	return written != NULL ? written : value_of(pc, name);
}

static bool
ask(struct command *c, struct postconf *pc, const struct main_cf *cf)
{
	char *program =
	    config_command(c->site.set.command_directory, "postconf");
	const struct options none = {.override_count = 0};
	char *why = NULL;
	bool is_told;

	postconf_want(pc, "transport_maps");
	postconf_want(pc, "sender_dependent_relayhost_maps");
	postconf_want(pc, "sender_dependent_default_transport_maps");
	postconf_want(
	    pc, "address_verify_sender_dependent_default_transport_maps");
	postconf_want(pc, "default_transport");
	is_told = postconf_run(
	    pc, program, c->site.set.config_directory, &none, cf, &why);
	if (!is_told)
		command_complain("%s", why);
	mem_free(why);
	mem_free(program);
	return is_told;
}

static bool
make_plan(struct command *c, struct setupplan *plan)
{
	const char *name = c->setup_name != NULL ? c->setup_name : "";
	struct postconf pc = {.asked = NULL};
	struct main_cf cf = {.count = 0};
	char error[512];
	bool is_made = false;

	(void)main_cf_read(&cf, c->site.set.config_directory);
	if (ask(c, &pc, &cf)) {
		struct setupplan_conf conf = {
		    .cf = &cf,
		    .transport_maps = unexpanded(&pc, &cf, "transport_maps"),
		    .sender_relayhosts =
			unexpanded(&pc, &cf, "sender_dependent_relayhost_maps"),
		    .sender_transports = unexpanded(
			&pc, &cf, "sender_dependent_default_transport_maps"),
		    /* as it is before that changes */
		    .verify_sender_transports = value_of(&pc,
			"address_verify_sender_dependent_default_transport_"
			"maps"),
		    .default_transport = value_of(&pc, "default_transport"),
		};

		is_made = setupplan_make(plan, &c->site, &conf, c->argv[0],
		    name, error, sizeof(error));
		if (!is_made)
			command_complain("%s", error);
	}
	postconf_fini(&pc);
	main_cf_fini(&cf);
	return is_made;
}

/* ---- showing it -----------------------------------------------------------
 */

static void
print_command(
    const char *directory, const char *options, char *const *words, size_t n)
{
	if (n == 0)
		return;
	printf("postconf -c %s %s", directory, options);
	for (size_t i = 0; i < n; i++) {
		char *quoted = findings_quoted(words[i]);

		printf(" \\\n    %s", quoted);
		mem_free(quoted);
	}
	putchar('\n');
}

static void
print_plan(const struct setupplan *p)
{
	printf("# would be done; --apply does it, --undo takes it back\n");
	printf("# %s, for root alone, gets the login of %s\n", p->login,
	    p->nexthop);
	printf(
	    "# %s gets the domains whose mail must not wait\n", p->transport);
	if (p->why_not != NULL)
		printf("# default_transport stays, since %s: mail comes to %s "
		       "where a rule of yours sends it, or all of it by: "
		       "postconf -c %s -e default_transport=%s\n",
		    p->why_not, p->slow, p->directory, p->slow);
	printf("# smtpd_log_access_permit_actions stands for nothing there: it "
	       "keeps postconf from calling names unused that it does not "
	       "know\n");
	print_command(p->directory, "-e", &p->maps, p->maps != NULL);
	print_command(p->directory, "-e", &p->senders, p->senders != NULL);
	print_command(p->directory, "-e", p->lines, p->line_count);
	print_command(p->directory, "-M -e", p->entries, 2);
}

static json_t *
texts_of(char *const *texts, size_t n)
{
	json_t *list = json_array();

	for (size_t i = 0; i < n; i++)
		CHECK(json_array_append_new(list, json_string(texts[i])) == 0);
	return list;
}

static void
print_json(const struct setupplan *p, const char *done)
{
	json_t *o = json_pack(
	    "{s:i, s:s, s:s, s:[s,s], s:s, s:s, s:o, s:o, s:o, s:o}", "schema",
	    MODEL_SCHEMA, "done", done, "nexthop", p->nexthop, "lanes", p->fast,
	    p->slow, "login", p->login, "transport", p->transport, "main_cf",
	    texts_of(p->lines, p->line_count), "transport_maps",
	    p->maps != NULL ? json_string(p->maps) : json_null(), "senders",
	    p->senders != NULL ? json_string(p->senders) : json_null(),
	    "master_cf", texts_of(p->entries, 2));

	CHECK(o != NULL);
	command_print_json(o);
}

/* ---- the login ------------------------------------------------------------
 */

/* A line without its end; "" when there is none. */
static void
read_line(char *line, size_t n)
{
	if (fgets(line, (int)n, stdin) == NULL)
		line[0] = '\0';
	line[strcspn(line, "\r\n")] = '\0';
}

/* From a terminal without showing it, else the first line of stdin. */
static void
ask_login(const struct setupplan *p, char *login, size_t n)
{
	struct termios before, hidden;
	bool is_terminal =
	    isatty(STDIN_FILENO) == 1 && tcgetattr(STDIN_FILENO, &before) == 0;

	if (is_terminal) {
		(void)fprintf(
		    stderr, "login for %s, user:password: ", p->nexthop);
		hidden = before;
		hidden.c_lflag &= ~(tcflag_t)ECHO;
		(void)tcsetattr(STDIN_FILENO, TCSAFLUSH, &hidden);
	}
	read_line(login, n);
	if (is_terminal) {
		(void)tcsetattr(STDIN_FILENO, TCSAFLUSH, &before);
		(void)fputc('\n', stderr);
	}
}

static int
add_login(const struct setupplan *p)
{
	char login[LOGIN_MAX];
	int status = EX_OK;

	if (setup_has_login(p))
		return EX_OK;
	ask_login(p, login, sizeof(login));
	if (login[0] == '\0') {
		command_complain(
		    "%s has no login for %s: write \"%s USER:PASSWORD\" there",
		    p->login, p->nexthop, p->nexthop);
	} else if (strchr(login, ':') == NULL) {
		command_complain(
		    "the login has no \":\": must be user:password");
		status = EX_DATAERR;
	} else if (!setup_add_login(p, login)) {
		command_complain("%s: %s", p->login, strerror(errno));
		status = EX_CANTCREAT;
	}
	mem_wipe(login, sizeof(login));
	return status;
}

/* ---- the verb -------------------------------------------------------------
 */

static int
status_of(enum setup_result result)
{
	switch (result) {
	case SETUP_DONE:
	case SETUP_NOTHING:
		return EX_OK;
	case SETUP_OTHER:
	case SETUP_IN_USE:
		return EX_CANTCREAT;
	case SETUP_FAILED:
		break;
	}
	return EX_OSERR;
}

/* scripts/lanes has added its two. */
static bool
has_script_lanes(const struct setupplan *p)
{
	char *kept = mem_printf("%s/lanes.kept", p->directory);
	bool has = access(kept, F_OK) == 0;

	mem_free(kept);
	return has;
}

static bool
is_free_of_conflicts(const struct command *c, const struct setupplan *p)
{
	struct stat st;
	bool is_free = p->conflict_count == 0;

	if (c->setup_name == NULL && has_script_lanes(p)) {
		command_complain(
		    "%s has the lanes of scripts/lanes already", p->directory);
		is_free = false;
	}
	for (size_t i = 0; i < p->conflict_count; i++)
		command_complain("%s", p->conflicts[i]);
	if (!is_free)
		command_complain("nothing was changed; --name gives the lanes "
				 "other names");
	if (stat(p->login, &st) != 0 || (st.st_mode & 077) == 0)
		return is_free;
	command_complain("%s must be readable by its owner alone: chmod 600 "
			 "%s; nothing was changed",
	    p->login, p->login);
	return false;
}

static void
say(const struct command *c, const struct setupplan *p, const char *done,
    const char *what)
{
	if (c->is_json)
		print_json(p, done);
	else
		printf("%s: lanes %s and %s to %s: %s\n", p->directory, p->fast,
		    p->slow, p->nexthop, what);
}

static int
apply(struct command *c, const struct setupplan *p)
{
	char error[1024] = "";
	enum setup_result result =
	    setup_apply(&c->site, p, error, sizeof(error));
	int status = status_of(result);

	if (status != EX_OK) {
		command_complain("%s", error);
		return status;
	}
	status = add_login(p);
	if (result == SETUP_NOTHING)
		say(c, p, "nothing", "are there already");
	else
		say(c, p, "added",
		    "were added; postlane doctor, then postfix reload");
	return status;
}

/* What was changed by hand, and what was kept: a line each. */
static void
tell(struct buf *told)
{
	char *text = mem_strdup(buf_str(told)), *line = text;

	for (char *c = text; *c != '\0'; c++)
		if (*c == '\t')
			*c = ' ';
	while (*line != '\0') {
		size_t n = strcspn(line, "\n");

		command_complain("%.*s", (int)n, line);
		line += n + (line[n] == '\n');
	}
	mem_free(text);
}

static int
undo(struct command *c, const struct setupplan *p)
{
	char error[1024] = "";
	struct buf told;
	enum setup_result result;

	buf_init(&told, TOLD_MAX);
	result = setup_undo(&c->site, p, &told, error, sizeof(error));
	tell(&told);
	if (status_of(result) != EX_OK)
		command_complain("%s", error);
	buf_fini(&told);
	if (status_of(result) != EX_OK)
		return status_of(result);
	if (result == SETUP_NOTHING)
		say(c, p, "nothing",
		    has_script_lanes(p) ? "are not there, or not of this "
					  "command; those of scripts/lanes: "
					  "scripts/lanes remove"
					: "are not there");
	else
		say(c, p, "removed", "were removed; postfix reload");
	return EX_OK;
}

static int
show(struct command *c, const struct setupplan *p)
{
	if (setup_is_there(p))
		say(c, p, "nothing", "are there already");
	else if (!is_free_of_conflicts(c, p))
		return EX_CANTCREAT;
	else if (c->is_json)
		print_json(p, "shown");
	else
		print_plan(p);
	return EX_OK;
}

int
setup_run(struct command *c)
{
	struct setupplan plan;
	int status;

	if (c->is_apply && c->is_undo) {
		command_complain("setup: --apply or --undo, not both");
		return EX_USAGE;
	}
	if ((c->is_apply || c->is_undo) && geteuid() != 0) {
		command_complain("only root may change a configuration");
		return EX_NOPERM;
	}
	if (!make_plan(c, &plan))
		return EX_USAGE;
	if (c->is_undo)
		status = undo(c, &plan);
	else if (!c->is_apply)
		status = show(c, &plan);
	else if (setup_is_there(&plan) || is_free_of_conflicts(c, &plan))
		status = apply(c, &plan);
	else
		status = EX_CANTCREAT;
	setupplan_fini(&plan);
	return status;
}
