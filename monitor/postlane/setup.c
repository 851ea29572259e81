/* setup: two lanes to a smarthost, added to a configuration that works. */
#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sysexits.h>
#include <termios.h>
#include <unistd.h>

#include "agent/settings/postconf.h"
#include "common/base/log.h"
#include "common/base/mem.h"
#include "common/base/utf8.h"
#include "monitor/findings.h"
#include "monitor/postlane/command.h"
#include "monitor/setup.h"
#include "monitor/setuplogin.h"
#include "monitor/setuprecord.h"

enum { LOGIN_MAX = 4001, TOLD_MAX = 1 << 20 };

/* ---- the plan -------------------------------------------------------------
 */

/* Of --name. */
static const char *
name_of(const struct command *c)
{
	return c->setup_name != NULL ? c->setup_name : "";
}

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

/* provider NULL: nothing is added by this plan. */
static bool
make_plan(struct command *c, const char *nexthop,
    const struct setupprovider *provider, struct setupplan *plan)
{
	const char *name = name_of(c);
	struct postconf pc = {.asked = NULL};
	struct main_cf cf = {.count = 0};
	char error[512];
	bool is_made = false;

	(void)main_cf_read(&cf, c->site.set.config_directory);
	if (ask(c, &pc, &cf)) {
		struct setupplan_conf conf = {
		    .cf = &cf,
		    .provider = provider,
		    .is_loginless = c->is_loginless,
		    .tls_level = c->tls_level != NULL
				     ? setupplan_tls_level(c->tls_level)
				     : NULL,
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

		is_made = setupplan_make(
		    plan, &c->site, &conf, nexthop, name, error, sizeof(error));
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

/* What comes of a provider's file. */
static void
print_known(const struct setupplan *p, const struct setupprovider *known)
{
	if (known->why == SETUPPROVIDER_ASKED)
		printf("# lane_provider=%s, since --provider says so; its file "
		       "gives:\n",
		    known->name);
	else
		printf("# lane_provider=%s, since %s is one of its hosts (if "
		       "not: --provider NAME or none); its file gives:\n",
		    known->name, known->host);
	for (size_t i = 0; i < p->limit_count; i++)
		printf("#   %s   (%s)\n", p->limits[i].setting,
		    p->limits[i].reason);
	if (p->limit_count == 0)
		printf("#   no limit, but what its replies mean\n");
	for (size_t i = 0; i < known->set.chosen.note_count; i++)
		printf("#   note: %s\n", known->set.chosen.notes[i]);
}

/* Whose account it is, and how that is known. */
static void
print_provider(const struct command *c, const struct setupplan *p,
    const struct setupprovider *known)
{
	const char *of_main = c->site.set.lane_provider;
	char *names;

	if (known->name[0] != '\0') {
		print_known(p, known);
	} else if (known->why == SETUPPROVIDER_ASKED) {
		printf("# no lane_provider, since --provider says so\n");
	} else if (of_main[0] != '\0') {
		printf("# lane_provider = %s of main.cf holds, since no file "
		       "in %s has the host of %s\n",
		    of_main, known->directory, p->nexthop);
	} else {
		names = setupprovider_names(known->directory);
		printf("# no lane_provider, since no file in %s has the host "
		       "of %s\n"
		       "# what the account allows is yours to set, "
		       "lane_account_connection_limit above all%s%s\n",
		    known->directory, p->nexthop,
		    names[0] != '\0' ? "; it is known, for --provider, of "
				     : "",
		    names);
		mem_free(names);
	}
}

static void
print_plan(const struct command *c, const struct setupplan *p,
    const struct setupprovider *known)
{
	printf("# would be done; --apply does it, --undo takes it back\n");
	if (p->is_loginless)
		printf("# mail goes without a login, at TLS level %s\n",
		    p->tls_level);
	else
		printf("# %s, for root alone, gets the login of %s\n", p->login,
		    p->nexthop);
	printf(
	    "# %s gets the domains whose mail must not wait\n", p->transport);
	print_provider(c, p, known);
	if (p->why_not != NULL)
		printf("# default_transport stays, since %s: mail comes to %s "
		       "where a rule of yours sends it, or all of it by: "
		       "postconf -c %s -e default_transport=%s\n",
		    p->why_not, p->slow, p->directory, p->slow);
	printf("# smtpd_log_access_permit_actions stands for nothing there: it "
	       "keeps postconf from calling names unused that it does not "
	       "know\n");
	print_command(p->directory, "-e", p->lines, p->line_count);
	print_command(p->directory, "-e", &p->usual, p->usual != NULL);
	print_command(p->directory, "-e", &p->maps, p->maps != NULL);
	print_command(p->directory, "-e", &p->senders, p->senders != NULL);
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

static json_t *
text_or_null(const char *text)
{
	return text != NULL ? json_string(text) : json_null();
}

static json_t *
limits_of(const struct setupplan *p)
{
	json_t *list = json_array();

	for (size_t i = 0; i < p->limit_count; i++)
		CHECK(
		    json_array_append_new(list,
			json_pack("{s:s, s:s}", "setting", p->limits[i].setting,
			    "reason", p->limits[i].reason)) == 0);
	return list;
}

static void
print_json(const struct setupplan *p, const char *done)
{
	json_t *o = json_pack("{s:i, s:s, s:s, s:[s,s], s:o, s:s, s:o, s:o, "
			      "s:o, s:o, s:o, s:o, s:o}",
	    "schema", MODEL_SCHEMA, "done", done, "nexthop", p->nexthop,
	    "lanes", p->fast, p->slow, "login",
	    text_or_null(p->is_loginless ? NULL : p->login), "transport",
	    p->transport, "provider", text_or_null(p->provider), "limits",
	    limits_of(p), "main_cf", texts_of(p->lines, p->line_count),
	    "default_transport", text_or_null(p->usual), "transport_maps",
	    text_or_null(p->maps), "senders", text_or_null(p->senders),
	    "master_cf", texts_of(p->entries, 2));

	CHECK(o != NULL);
	command_print_json(o);
}

/* ---- the login ------------------------------------------------------------
 */

/* A line without its end; "" when there is none. False: it has more than there
 * is room for, or an octet that is NUL. */
static bool
read_line(char *line, size_t n)
{
	bool is_good = true;
	size_t len = 0;
	int c;

	while ((c = getchar()) != EOF && c != '\n')
		if (c == '\0' || len + 1 == n)
			is_good = false;
		else
			line[len++] = (char)c;
	while (len > 0 && line[len - 1] == '\r')
		len--;
	line[len] = '\0';
	return is_good;
}

/* From a terminal without showing it, else the first line of stdin. */
static bool
ask_login(const struct setupplan *p, char *login, size_t n)
{
	struct termios before, hidden;
	bool is_terminal =
	    isatty(STDIN_FILENO) == 1 && tcgetattr(STDIN_FILENO, &before) == 0;
	bool is_good;

	if (is_terminal) {
		(void)fprintf(
		    stderr, "login for %s, user:password: ", p->nexthop);
		hidden = before;
		hidden.c_lflag &= ~(tcflag_t)ECHO;
		(void)tcsetattr(STDIN_FILENO, TCSAFLUSH, &hidden);
	}
	is_good = read_line(login, n);
	if (is_terminal) {
		(void)tcsetattr(STDIN_FILENO, TCSAFLUSH, &before);
		(void)fputc('\n', stderr);
	}
	return is_good;
}

/* NULL: a table gives it back as it is. */
static const char *
why_no_login(const char *login)
{
	size_t n = strlen(login);

	if (strchr(login, ':') == NULL)
		return "has no \":\": must be user:password";
	if (strchr(" \t", login[0]) != NULL ||
	    strchr(" \t", login[n - 1]) != NULL)
		return "begins or ends with a blank, which a table would lose";
	if (!utf8_is_valid(slice_str(login)))
		return "is not UTF-8: Postfix would pass over its line";
	return NULL;
}

static int
add_login(const struct setupplan *p)
{
	char login[LOGIN_MAX];
	const char *why = NULL;
	int status = EX_OK;

	if (p->is_loginless || setuplogin_has(p->login, p->nexthop))
		return EX_OK;
	if (!ask_login(p, login, sizeof(login)))
		why = "is longer than 4000 octets, or has one that is NUL";
	else if (login[0] != '\0')
		why = why_no_login(login);
	if (why != NULL) {
		command_complain("the login %s; --apply asks again", why);
		status = EX_DATAERR;
	} else if (login[0] == '\0') {
		command_complain(
		    "%s has no login for %s: write \"%s USER:PASSWORD\" there",
		    p->login, p->nexthop, p->nexthop);
	} else if (!setuplogin_add(p->login, p->nexthop, login)) {
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

static bool
is_free_of_conflicts(const struct command *c, const struct setupplan *p)
{
	struct stat st;
	bool is_free = p->conflict_count == 0;

	if (c->setup_name == NULL && setupmarks_are_there(p->directory)) {
		command_complain("%s has the lanes of scripts/lanes already: "
				 "--undo takes them out",
		    p->directory);
		is_free = false;
	}
	for (size_t i = 0; i < p->conflict_count; i++)
		command_complain("%s", p->conflicts[i]);
	if (!is_free)
		command_complain("nothing was changed; --name gives the lanes "
				 "other names");
	if (p->is_loginless)
		return is_free;
	if (!setuplogin_can_read(p->login)) {
		command_complain(
		    "%s: %s; nothing was changed", p->login, strerror(errno));
		return false;
	}
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
apply(struct command *c, const struct setupplan *p,
    const struct setupprovider *known)
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
	if (result != SETUP_NOTHING && !c->is_json)
		print_provider(c, p, known);
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

/* marks NULL: by the record. */
static int
undo(struct command *c, const struct setupplan *p,
    const struct setupmarks *marks)
{
	char error[1024] = "";
	struct buf told;
	enum setup_result result;

	buf_init(&told, TOLD_MAX);
	result = marks != NULL
		     ? setup_undo_marks(
			   &c->site, marks, p, &told, error, sizeof(error))
		     : setup_undo(&c->site, p, &told, error, sizeof(error));
	tell(&told);
	if (status_of(result) != EX_OK)
		command_complain("%s", error);
	buf_fini(&told);
	if (status_of(result) != EX_OK)
		return status_of(result);
	if (result == SETUP_NOTHING)
		say(c, p, "nothing", "are not there");
	else
		say(c, p, "removed", "were removed; postfix reload");
	return EX_OK;
}

/* Those of scripts/lanes. */
static int
undo_marks(struct command *c)
{
	const char *directory = c->site.set.config_directory;
	struct setupmarks marks;
	struct setupplan plan;
	char error[1024];
	int status = EX_CANTCREAT;

	if (!setupmarks_read(&marks, directory, error, sizeof(error))) {
		command_complain("%s", error);
		return EX_OSERR;
	}
	if (!setupmarks_plan(&marks, &plan, directory, error, sizeof(error))) {
		command_complain("%s", error);
	} else {
		if (c->argc > 0 && strcmp(c->argv[0], plan.nexthop) != 0)
			command_complain(
			    "%s has lanes to %s", directory, plan.nexthop);
		else
			status = undo(c, &plan, &marks);
		setupplan_fini(&plan);
	}
	setupmarks_fini(&marks);
	return status;
}

static int
show(struct command *c, const struct setupplan *p,
    const struct setupprovider *known)
{
	const char *name = name_of(c);

	if (setuprecord_is_unfinished(p->directory, name)) {
		command_complain("%s: an --apply or --undo was interrupted: "
				 "--apply does it again from the start, --undo "
				 "takes it back",
		    p->directory);
		return EX_CANTCREAT;
	}
	if (setuprecord_exists(p->record))
		say(c, p, "nothing", "are there already");
	else if (!is_free_of_conflicts(c, p))
		return EX_CANTCREAT;
	else if (c->is_json)
		print_json(p, "shown");
	else
		print_plan(c, p, known);
	return EX_OK;
}

/* What an interrupted one left is taken back, for the plan to be made of what
 * there was; the configuration is read again. */
static bool
start_anew(struct command *c)
{
	const char *directory = c->site.set.config_directory;
	const char *name = name_of(c);
	char *nexthop = setuprecord_nexthop_of(directory, name);
	struct setupplan plan;
	struct buf told;
	char error[1024];
	bool is_good = nexthop != NULL && make_plan(c, nexthop, NULL, &plan);

	mem_free(nexthop);
	if (!is_good)
		return false;
	buf_init(&told, TOLD_MAX);
	is_good = status_of(setup_undo(
		      NULL, &plan, &told, error, sizeof(error))) == EX_OK;
	tell(&told);
	if (!is_good)
		command_complain("%s", error);
	buf_fini(&told);
	setupplan_fini(&plan);
	return is_good && command_renew(c);
}

/* What would be changed, or changing it. */
static int
add(struct command *c)
{
	const char *name = name_of(c);
	struct setupprovider known;
	struct setupplan plan;
	char error[1024];
	int status;

	if (c->is_apply &&
	    setuprecord_is_unfinished(c->site.set.config_directory, name) &&
	    !start_anew(c))
		return EX_OSERR;
	if (!setupprovider_find(&known, &c->site.set, c->argv[0], c->provider,
		error, sizeof(error))) {
		command_complain("%s", error);
		return EX_USAGE;
	}
	if (!make_plan(c, c->argv[0], &known, &plan)) {
		setupprovider_fini(&known);
		return EX_USAGE;
	}
	if (!c->is_apply)
		status = show(c, &plan, &known);
	else if (setuprecord_exists(plan.record) ||
		 is_free_of_conflicts(c, &plan))
		status = apply(c, &plan, &known);
	else
		status = EX_CANTCREAT;
	setupplan_fini(&plan);
	setupprovider_fini(&known);
	return status;
}

static int
nothing_to_undo(const struct command *c)
{
	if (c->is_json)
		command_print_json(json_pack(
		    "{s:i, s:s}", "schema", MODEL_SCHEMA, "done", "nothing"));
	else
		printf("%s: there are no lanes of this command%s%s\n",
		    c->site.set.config_directory,
		    c->setup_name != NULL ? " with the name " : "",
		    c->setup_name != NULL ? c->setup_name : "");
	return EX_OK;
}

/* Of the next hop that is given, else of the one that was added. */
static int
take_out(struct command *c)
{
	const char *name = name_of(c);
	char *added =
	    setuprecord_nexthop_of(c->site.set.config_directory, name);
	const char *nexthop = c->argc > 0 ? c->argv[0] : added;
	struct setupplan plan;
	int status = EX_USAGE;

	if (added == NULL && c->setup_name == NULL &&
	    setupmarks_are_there(c->site.set.config_directory)) {
		status = undo_marks(c);
	} else if (nexthop == NULL) {
		status = nothing_to_undo(c);
	} else if (make_plan(c, nexthop, NULL, &plan)) {
		status = undo(c, &plan, NULL);
		setupplan_fini(&plan);
	}
	mem_free(added);
	return status;
}

static bool
is_asked_rightly(const struct command *c)
{
	if (c->is_apply && c->is_undo)
		command_complain("setup: --apply or --undo, not both");
	else if (c->is_undo && (c->provider != NULL || c->is_loginless))
		command_complain(
		    "setup: --undo takes no --provider, no --no-login");
	else if (c->tls_level != NULL && !c->is_loginless)
		command_complain("setup: --tls is for --no-login: a password "
				 "is sent to a server at level secure alone");
	else if (c->tls_level != NULL &&
		 setupplan_tls_level(c->tls_level) == NULL)
		command_complain("bad option: --tls %s: must be none, may, "
				 "encrypt, verify or secure",
		    c->tls_level);
	else if (!c->is_undo && c->argc == 0)
		command_complain("setup: NEXTHOP is missing, such as "
				 "[mail.example.com]:587");
	else
		return true;
	return false;
}

/* One at a time, until it is closed; -1: which was told. */
static int
lock(const char *directory)
{
	int fd = open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	if (fd >= 0 && flock(fd, LOCK_EX | LOCK_NB) == 0)
		return fd;
	if (fd >= 0 && errno == EWOULDBLOCK)
		command_complain("%s is being changed by another postlane "
				 "setup; nothing was changed",
		    directory);
	else
		command_complain("%s: %s", directory, strerror(errno));
	if (fd >= 0)
		(void)close(fd);
	return -1;
}

int
setup_run(struct command *c)
{
	int held, status;

	if (!is_asked_rightly(c))
		return EX_USAGE;
	if (!c->is_apply && !c->is_undo)
		return add(c);
	if (geteuid() != 0) {
		command_complain("only root may change a configuration");
		return EX_NOPERM;
	}
	held = lock(c->site.set.config_directory);
	if (held < 0)
		return EX_TEMPFAIL;
	setup_clean(c->site.set.config_directory, name_of(c));
	status = c->is_undo ? take_out(c) : add(c);
	(void)close(held);
	return status;
}
