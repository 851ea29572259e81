#include <errno.h>
#include <pwd.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "common/base/mem.h"
#include "monitor/checkup.h"

static void
fix_file(struct checkup *c, const char *command, const char *path)
{
	char *quoted = findings_quoted(path);

	findings_fix(&c->findings, "%s %s", command, quoted);
	mem_free(quoted);
}

/* Somebody but its owner may read it, or that is not root. */
static void
check_rights(struct checkup *c, const struct site_lane *lane, const char *path)
{
	struct stat st;

	if (stat(path, &st) != 0)
		return;
	if ((st.st_mode & 077) != 0) {
		findings_add(&c->findings, "PASSWORD-RIGHTS", FINDING_WARNING,
		    lane->opt.service_name,
		    "%s has passwords, and its mode is %03o: others than root "
		    "can read it",
		    path, (unsigned)st.st_mode & 0777);
		fix_file(c, "chmod 600", path);
	}
	if (st.st_uid != 0) {
		findings_add(&c->findings, "PASSWORD-RIGHTS", FINDING_WARNING,
		    lane->opt.service_name,
		    "%s has passwords, and belongs to another than root", path);
		fix_file(c, "chown root", path);
	}
}

static bool
is_older(const struct stat *a, const struct stat *b)
{
	return a->st_mtim.tv_sec != b->st_mtim.tv_sec
		   ? a->st_mtim.tv_sec < b->st_mtim.tv_sec
		   : a->st_mtim.tv_nsec < b->st_mtim.tv_nsec;
}

static void
find_stale(struct checkup *c, const struct site_lane *lane, const char *type,
    const char *path, const char *made, const char *what)
{
	char *table = mem_printf("%s:%s", type, path);
	char *command = mem_printf("postmap %s", c->conf);

	findings_add(&c->findings, "TABLE-STALE", FINDING_ERROR,
	    lane->opt.service_name, "%s %s", made, what);
	command[strlen(command) - 1] = '\0';
	fix_file(c, command, table);
	mem_free(command);
	mem_free(table);
}

/* The file that postmap made, and the text that it is made from. */
static void
check_made(struct checkup *c, const struct site_lane *lane, const char *type,
    const char *path, const char *ending)
{
	char *made = mem_printf("%s%s", path, ending);
	struct stat source, st;
	bool has_source = stat(path, &source) == 0;

	if (stat(made, &st) != 0) {
		if (has_source)
			find_stale(c, lane, type, path, made, "is missing");
		else
			findings_add(&c->findings, "TABLE-MISSING",
			    FINDING_ERROR, lane->opt.service_name, "%s: %s",
			    made, strerror(errno));
	} else if (has_source && is_older(&st, &source)) {
		find_stale(c, lane, type, path, made,
		    "is older than the text that it is made from");
	}
	check_rights(c, lane, made);
	mem_free(made);
}

static void
check_table(struct checkup *c, void *ctx, const char *type, const char *path)
{
	const struct site_lane *lane = ctx;
	const char *ending = checkup_ending(type);
	struct stat st;

	check_rights(c, lane, path);
	if (ending != NULL)
		check_made(c, lane, type, path, ending);
	else if (stat(path, &st) != 0)
		findings_add(&c->findings, "TABLE-MISSING", FINDING_ERROR,
		    lane->opt.service_name, "%s: %s", path, strerror(errno));
}

typedef const char *text_fn(const struct settings *set);

static const char *
passwords_of(const struct settings *set)
{
	return set->smtp_sasl_password_maps;
}

static const char *
state_of(const struct settings *set)
{
	return set->lane_state_directory;
}

/* What an earlier lane has, too, is told there. */
static bool
is_first_with(const struct checkup *c, size_t i, text_fn *of)
{
	const struct site_lane *lanes = c->site->lanes;

	for (size_t k = 0; k < i; k++)
		if (strcmp(of(&lanes[i].set), of(&lanes[k].set)) == 0)
			return false;
	return true;
}

/* Made at the start of the first process, and checked then (safepath.h). */
static void
check_state(struct checkup *c, const struct site_lane *lane)
{
	const char *path = lane->set.lane_state_directory;
	const struct passwd *pw = getpwnam(lane->set.mail_owner);
	struct stat st;

	if (stat(path, &st) != 0 || pw == NULL)
		return;
	if (!S_ISDIR(st.st_mode)) {
		findings_add(&c->findings, "STATE-DIRECTORY", FINDING_ERROR,
		    lane->opt.service_name, "%s is no directory", path);
		return;
	}
	if (st.st_uid != pw->pw_uid) {
		char *command = mem_printf("chown -R %s", lane->set.mail_owner);

		findings_add(&c->findings, "STATE-DIRECTORY", FINDING_ERROR,
		    lane->opt.service_name,
		    "%s belongs to another than %s: lanes would count "
		    "connections and rates alone",
		    path, lane->set.mail_owner);
		fix_file(c, command, path);
		mem_free(command);
	}
	if ((st.st_mode & 022) != 0) {
		findings_add(&c->findings, "STATE-DIRECTORY", FINDING_ERROR,
		    lane->opt.service_name, "%s can be written by others",
		    path);
		fix_file(c, "chmod 700", path);
	}
}

void
checkup_files(struct checkup *c)
{
	for (size_t i = 0; i < c->site->lane_count; i++) {
		struct site_lane *lane = &c->site->lanes[i];

		if (lane->set.smtp_sasl_auth_enable &&
		    is_first_with(c, i, passwords_of))
			checkup_each_file(c, lane->set.smtp_sasl_password_maps,
			    check_table, lane);
		if (is_first_with(c, i, state_of))
			check_state(c, lane);
	}
}
