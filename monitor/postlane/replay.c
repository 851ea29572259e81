/* replay: what a day's mail would have met with other settings. */
#include <errno.h>
#include <fcntl.h>
#include <spawn.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <sysexits.h>
#include <unistd.h>

#include <jansson.h>

#include "agent/settings/config.h"
#include "common/base/clean.h"
#include "common/base/log.h"
#include "common/base/mem.h"
#include "monitor/postlane/command.h"
#include "monitor/replay/replay.h"
#include "monitor/say.h"

enum { LOG_DAY_MS = 86400000 };

/* A lane with the settings that are tried. */
struct trial {
	struct options opt;
	struct settings set;
	struct provider_set provider;
	struct maillog_owners owners; /* of the processes that log as it does */
	struct maillog_choice choice; /* owners NULL: there is one lane */
	struct maillog log;
};

/* The log, which is read more than once. */
struct source {
	const char *path;
	FILE *kept; /* what came from a pipe; NULL: it is a file */
};

/* ---- settings -------------------------------------------------------------
 */

static bool
is_replaced(const struct command *c, const char *name)
{
	size_t n = strlen(name);

	for (int i = 0; i < c->override_count; i++) {
		const char *text = c->overrides[i];

		text += strspn(text, "{ \t");
		if (strncmp(text, name, n) == 0 &&
		    strchr(" \t=", text[n]) != NULL)
			return true;
	}
	return false;
}

/* The options of master.cf with those of the command line in their place; NULL
 * in the place of lane: of a site without any. The words are the caller's. */
static char **
words_of(const struct command *c, const struct site_lane *lane, int *count_out)
{
	size_t own = lane != NULL ? lane->opt.override_count : 0;
	char **words = mem_zarray(
	    2 * (own + (size_t)c->override_count) + 5, sizeof(words[0]));
	int n = 0;

	words[n++] = mem_strdup("lane");
	words[n++] = mem_strdup("-n");
	words[n++] = mem_strdup(lane != NULL ? lane->opt.service_name : "lane");
	for (size_t i = 0; i < own; i++) {
		const struct option_override *o = &lane->opt.overrides[i];

		if (is_replaced(c, o->name))
			continue;
		words[n++] = mem_strdup("-o");
		words[n++] = mem_printf("{%s = %s}", o->name, o->value);
	}
	for (int i = 0; i < c->override_count; i++) {
		words[n++] = mem_strdup("-o");
		words[n++] = mem_strdup(c->overrides[i]);
	}
	if (lane != NULL && lane->opt.class[0] != '\0')
		words[n++] = mem_printf("class=%s", lane->opt.class);
	*count_out = n;
	return words;
}

static bool
load(struct trial *t, const struct command *c, const struct site_lane *lane)
{
	struct problems problems = {0};
	int count;
	char **words = words_of(c, lane, &count);
	bool is_good;

	options_parse(&t->opt, count, words, &problems);
	(void)config_load(&t->set, &t->provider, &t->opt, &problems, NULL);
	for (size_t i = 0; i < problems.count; i++)
		command_complain("%s", problems.text[i]);
	is_good = problems.count == 0;
	problems_fini(&problems);
	for (int i = 0; i < count; i++)
		mem_free(words[i]);
	mem_free(words);
	return is_good;
}

/* ---- the log --------------------------------------------------------------
 */

/* The program that reads a file which begins so; NULL: it is text. */
static const char *
program_for(int fd)
{
	static const struct {
		const char *program, *begin;
	} rows[] = {{"gzip", "\x1f\x8b"}, {"bzip2", "BZh"},
	    {"xz", "\xfd"
		   "7zXZ"},
	    {"zstd", "\x28\xb5\x2f\xfd"}};
	char begin[8] = "";

	if (pread(fd, begin, sizeof(begin) - 1, 0) < 0)
		return NULL; /* no file */
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
		if (strncmp(begin, rows[i].begin, strlen(rows[i].begin)) == 0)
			return rows[i].program;
	return NULL;
}

/* What gzip -dc makes of the file; *child_out is to be waited for. -1: it was
 * told. */
static int
unpacked(const char *path, int file, pid_t *child_out)
{
	char program[] = "gzip", option[] = "-dc";
	char *const argv[] = {program, option, NULL};
	posix_spawn_file_actions_t actions;
	int pipes[2], rc;

	if (pipe2(pipes, O_CLOEXEC) != 0) {
		command_complain("%s: pipe: %s", path, strerror(errno));
		return -1;
	}
	CHECK(posix_spawn_file_actions_init(&actions) == 0);
	CHECK(posix_spawn_file_actions_adddup2(&actions, file, STDIN_FILENO) ==
	      0);
	CHECK(posix_spawn_file_actions_adddup2(
		  &actions, pipes[1], STDOUT_FILENO) == 0);
	rc = posix_spawnp(child_out, program, &actions, NULL, argv, environ);
	(void)posix_spawn_file_actions_destroy(&actions);
	(void)close(pipes[1]);
	if (rc == 0)
		return pipes[0];
	(void)close(pipes[0]);
	command_complain("%s: gzip -dc: %s", path, strerror(rc));
	return -1;
}

/* All of it. */
static bool
copy(int fd, FILE *to)
{
	char part[1 << 16];
	ssize_t got;

	while ((got = read(fd, part, sizeof(part))) > 0)
		if (fwrite(part, 1, (size_t)got, to) != (size_t)got)
			return false;
	return got == 0 && fflush(to) == 0;
}

/* Standard input cannot be read twice, nor can a pipe that has a name. What is
 * not there at all is told by whoever opens it. */
static bool
keep_input(struct source *source)
{
	bool is_stdin = strcmp(source->path, "-") == 0, is_kept;
	struct stat st;
	int fd = STDIN_FILENO;

	if (!is_stdin &&
	    (stat(source->path, &st) != 0 || !S_ISFIFO(st.st_mode)))
		return true;
	source->kept = tmpfile();
	if (source->kept == NULL) {
		command_complain("a temporary file: %s", strerror(errno));
		return false;
	}
	if (!is_stdin)
		fd = open(source->path, O_RDONLY | O_CLOEXEC);
	is_kept = fd >= 0 && copy(fd, source->kept);
	if (!is_kept)
		command_complain("%s: %s",
		    is_stdin ? "standard input" : source->path,
		    strerror(errno));
	if (!is_stdin && fd >= 0)
		(void)close(fd);
	return is_kept;
}

static int
open_source(const struct source *source)
{
	if (source->kept == NULL)
		return open(source->path, O_RDONLY | O_CLOEXEC);
	if (lseek(fileno(source->kept), 0, SEEK_SET) != 0)
		return -1;
	return fcntl(fileno(source->kept), F_DUPFD_CLOEXEC, 3);
}

/* The text of the log; *child_out > 0: of that process. -1: it was told. */
static int
open_log(const struct source *source, pid_t *child_out)
{
	int fd = open_source(source), text = fd;
	const char *program;

	*child_out = 0;
	if (fd < 0) {
		command_complain("%s: %s", source->path, strerror(errno));
		return -1;
	}
	program = program_for(fd);
	if (program == NULL)
		return fd;
	if (strcmp(program, "gzip") == 0) {
		text = unpacked(source->path, fd, child_out);
	} else {
		command_complain("%s: it is compressed: %s -dc %s | postlane "
				 "replay - ...",
		    source->path, program, source->path);
		text = -1;
	}
	(void)close(fd);
	return text;
}

/* owners NULL: its mail; else whose processes they are. */
static bool
read_log(
    const struct source *source, struct trial *t, struct maillog_owners *owners)
{
	const char *program = t->set.lane_log_name;
	char error[256] = "";
	pid_t child;
	int fd = open_log(source, &child), status = 0;
	bool is_read;

	if (fd < 0)
		return false;
	if (owners != NULL)
		is_read = maillog_owners_read(
		    owners, fd, program, error, sizeof(error));
	else
		is_read = maillog_read(&t->log, fd, program,
		    t->choice.owners != NULL ? &t->choice : NULL, error,
		    sizeof(error));
	if (!is_read)
		command_complain("%s: %s", source->path, error);
	(void)close(fd);
	if (child > 0)
		while (waitpid(child, &status, 0) < 0 && errno == EINTR)
			;
	if (is_read && status != 0) {
		command_complain(
		    "%s: gzip cannot read all of it", source->path);
		is_read = false;
	}
	return is_read;
}

/* ---- in words -------------------------------------------------------------
 */

static void
print_row(const char *name, size_t messages, double p50_s, double p95_s,
    double most_s)
{
	char a[SAY_SIZE], b[SAY_SIZE], c[SAY_SIZE];

	printf("  %-12s %9zu  %9s %9s %9s\n", name, messages,
	    say_time((int64_t)(p50_s * 1e6), a, sizeof(a)),
	    say_time((int64_t)(p95_s * 1e6), b, sizeof(b)),
	    say_time((int64_t)(most_s * 1e6), c, sizeof(c)));
}

/* Times of the log are no times of this place: only the clock is shown. */
static const char *
clock_of(int64_t ms, int64_t first_ms, char *text, size_t n)
{
	int64_t s = ms / 1000;
	int64_t days = ms / LOG_DAY_MS - first_ms / LOG_DAY_MS;
	int written = snprintf(text, n, "%02d:%02d:%02d", (int)(s / 3600 % 24),
	    (int)(s / 60 % 60), (int)(s % 60));

	if (days > 0 && written > 0 && (size_t)written < n)
		(void)snprintf(text + written, n - (size_t)written,
		    " %lld day%s later", (long long)days, days == 1 ? "" : "s");
	return text;
}

static void
print_backlog(
    const char *name, const struct replay_backlog *b, int64_t first_ms)
{
	char at[64], gone[64];

	if (b->most == 0) {
		printf("  %-12s %9s\n", name, "none");
		return;
	}
	printf("  %-12s %9zu  %s, ", name, b->most,
	    clock_of(b->most_ms, first_ms, at, sizeof(at)));
	if (b->gone_ms > 0)
		printf("gone by %s\n",
		    clock_of(b->gone_ms, first_ms, gone, sizeof(gone)));
	else
		printf("not gone two weeks after the log\n");
}

static void
print_sessions(const struct replay_lane *lane)
{
	printf("  sessions     at most %zu of %d", lane->sessions,
	    lane->set->lane_connection_limit);
	if (lane->log->sessions > 0)
		printf(" (by the log at least %zu)", lane->log->sessions);
	printf("\n");
}

/* Lanes whose mail is in the same lines, where the log does not tell whose. */
static void
print_others(const struct command *c, const struct replay_lane *lane)
{
	for (size_t i = 0; lane->log->unknown > 0 && i < c->site.lane_count;
	     i++) {
		const struct site_lane *other = &c->site.lanes[i];

		if (strcmp(other->opt.service_name, lane->name) != 0 &&
		    strcmp(other->set.lane_log_name,
			lane->set->lane_log_name) == 0)
			printf("  mixed        lane %s logs as postfix/%s, "
			       "too, and of %zu messages the log does not say "
			       "whose they are: they are replayed here, with "
			       "lane %s's settings (not with a lane_log_name "
			       "of its own); with its settings: postlane "
			       "replay LOG %s\n",
			    other->opt.service_name, other->set.lane_log_name,
			    lane->log->unknown, lane->name,
			    other->opt.service_name);
	}
}

static void
print_hosts(const struct maillog *log)
{
	if (log->other_host[0] != '\0')
		printf(
		    "  hosts        lines of %s and of %s are in the log, all "
		    "replayed as of one host; of one alone: "
		    "grep ' NAME ' LOG >FILE\n",
		    log->host, log->other_host);
}

static void
print_lane(const struct command *c, const struct replay_lane *lane)
{
	char from[64], to[64];

	printf("lane %s: from %s to %s in the log\n", lane->name,
	    clock_of(
		lane->log->first_ms, lane->log->first_ms, from, sizeof(from)),
	    clock_of(lane->log->last_ms, lane->log->first_ms, to, sizeof(to)));
	printf("  %-12s %9s  %9s %9s %9s\n", "WAIT", "MESSAGES", "P50", "P95",
	    "MOST");
	print_row("by the log", lane->was_sent, lane->was_p50_s,
	    lane->was_p95_s, lane->was_most_s);
	print_row(
	    "replayed", lane->sent, lane->p50_s, lane->p95_s, lane->most_s);
	printf("  %-12s %9s  %s\n", "BACKLOG", "MOST", "AT");
	print_backlog("by the log", &lane->was, lane->log->first_ms);
	print_backlog("replayed", &lane->would, lane->log->first_ms);
	print_sessions(lane);
	print_hosts(lane->log);
	if (lane->log->vague > 0)
		printf(
		    "  vague        %zu messages: the log has whole seconds, "
		    "and their queue IDs no time: waits are known to a "
		    "second\n",
		    lane->log->vague);
	if (lane->deferrals > 0)
		printf("  deferred     %zu times, for a wait that is longer "
		       "than lane_wait_limit\n",
		    lane->deferrals);
	for (size_t i = 0; i < lane->quota_count; i++)
		printf("  quota        %s = %s: at most %.0f of %.0f used\n",
		    lane->quotas[i].parameter, lane->quotas[i].limit,
		    lane->quotas[i].most, lane->quotas[i].allowed);
	if (lane->left > 0)
		printf("  left         %zu that were not sent in all that "
		       "time\n",
		    lane->left);
	print_others(c, lane);
}

static json_t *
hosts_of(const struct maillog *log)
{
	json_t *names = json_array();

	if (log->host[0] != '\0')
		(void)json_array_append_new(names, clean_string(log->host));
	if (log->other_host[0] != '\0')
		(void)json_array_append_new(
		    names, clean_string(log->other_host));
	return names;
}

static json_t *
json_of(const struct replay_lane *lane)
{
	json_t *quotas = json_array(), *o;

	for (size_t i = 0; i < lane->quota_count; i++)
		(void)json_array_append_new(quotas,
		    json_pack("{s:s, s:s, s:f, s:f}", "parameter",
			lane->quotas[i].parameter, "limit",
			lane->quotas[i].limit, "most", lane->quotas[i].most,
			"allowed", lane->quotas[i].allowed));
	o = json_pack(
	    "{s:I, s:f, s:f, s:f, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:o}",
	    "messages", (json_int_t)lane->sent, "p50_s", lane->p50_s, "p95_s",
	    lane->p95_s, "most_s", lane->most_s, "left", (json_int_t)lane->left,
	    "deferrals", (json_int_t)lane->deferrals, "sessions",
	    (json_int_t)lane->sessions, "backlog", (json_int_t)lane->would.most,
	    "backlog_wall_ms", (json_int_t)lane->would.most_ms, "gone_wall_ms",
	    (json_int_t)lane->would.gone_ms, "vague",
	    (json_int_t)lane->log->vague, "unknown",
	    (json_int_t)lane->log->unknown, "quotas", quotas);
	(void)json_object_set_new(o, "name", clean_string(lane->name));
	(void)json_object_set_new(o, "hosts", hosts_of(lane->log));
	(void)json_object_set_new(o, "by_the_log",
	    json_pack("{s:I, s:f, s:f, s:f, s:I, s:I, s:I, s:I}", "messages",
		(json_int_t)lane->was_sent, "p50_s", lane->was_p50_s, "p95_s",
		lane->was_p95_s, "most_s", lane->was_most_s, "sessions",
		(json_int_t)lane->log->sessions, "backlog",
		(json_int_t)lane->was.most, "backlog_wall_ms",
		(json_int_t)lane->was.most_ms, "gone_wall_ms",
		(json_int_t)lane->was.gone_ms));
	return o;
}

static void
print(const struct command *c, const struct replay_lane *lanes, size_t count)
{
	json_t *array = json_array();

	for (size_t i = 0; i < count; i++)
		if (c->is_json)
			(void)json_array_append_new(array, json_of(&lanes[i]));
		else
			print_lane(c, &lanes[i]);
	if (c->is_json)
		command_print_json(json_pack(
		    "{s:i, s:O}", "schema", MODEL_SCHEMA, "lanes", array));
	json_decref(array);
}

/* ---- which lanes -----------------------------------------------------------
 */

/* Of lanes that log alike the first has what nobody knows the lane of, which is
 * said (print_others()). */
static bool
is_in_anothers(
    const struct trial *trials, size_t count, const struct trial *trial)
{
	for (size_t i = 0; i < count; i++)
		if (strcmp(trials[i].set.lane_log_name,
			trial->set.lane_log_name) == 0)
			return true;
	return false;
}

static void
drop(struct trial *trial)
{
	maillog_fini(&trial->log);
	maillog_owners_fini(&trial->owners);
	provider_set_fini(&trial->provider);
	settings_free(&trial->set);
	options_fini(&trial->opt);
	memset(trial, 0, sizeof(*trial));
}

static bool
add(const struct command *c, const struct site_lane *site, struct trial *trial,
    struct replay_lane *lane)
{
	lane->name = site != NULL ? site->opt.service_name : "lane";
	lane->set = &trial->set;
	lane->log = &trial->log;
	return load(trial, c, site);
}

static bool
is_asked_for(const struct command *c, const struct site_lane *lane)
{
	return c->argc < 2 || strcmp(c->argv[1], lane->name) == 0 ||
	       strcmp(c->argv[1], lane->opt.service_name) == 0;
}

/* False: it was told. */
static bool
choose(const struct command *c, const struct source *source,
    struct trial *trials, struct replay_lane *lanes, size_t *count, int *status)
{
	const struct site *site = &c->site;

	*count = 0;
	for (size_t i = 0; i < site->lane_count; i++) {
		const struct site_lane *one = &site->lanes[i];
		struct trial *trial = &trials[*count];

		if (!is_asked_for(c, one))
			continue;
		if (*count == REPLAY_LANES) {
			command_complain(
			    "more than %d lanes: name one", REPLAY_LANES);
			return false;
		}
		(*count)++;
		if (!add(c, one, trial, &lanes[*count - 1]))
			return false;
		if (site->lane_count == 1)
			continue;
		if (!read_log(source, trial, &trial->owners)) {
			*status = EX_NOINPUT;
			return false;
		}
		trial->choice = (struct maillog_choice){
		    .owners = &trial->owners,
		    .lane = one->name,
		    .takes_unknown = !is_in_anothers(trials, *count - 1, trial),
		};
		if (!trial->choice.takes_unknown &&
		    !maillog_owners_have(&trial->owners, one->name)) {
			drop(trial);
			(*count)--;
		}
	}
	if (site->lane_count == 0) {
		*count = 1;
		return add(c, NULL, trials, lanes);
	}
	if (*count == 0)
		command_complain("there is no lane \"%s\" in %s/master.cf",
		    c->argv[1], site->set.config_directory);
	return *count > 0;
}

/* Lanes without mail do not take part. */
static size_t
with_mail(const struct command *c, struct replay_lane *lanes, size_t count)
{
	size_t n = 0;

	for (size_t i = 0; i < count; i++) {
		if (lanes[i].log->count > 0)
			lanes[n++] = lanes[i];
		else
			command_complain(
			    "lane %s: %s has no delivery by postfix/%s "
			    "(lane_log_name) in %llu lines",
			    lanes[i].name, c->argv[0], lanes[i].log->program,
			    (unsigned long long)lanes[i].log->lines);
	}
	return n;
}

static int
run(const struct command *c, const struct source *source, struct trial *trials,
    struct replay_lane *lanes, size_t *count)
{
	int status = EX_USAGE;
	char error[256];
	size_t n;

	if (!choose(c, source, trials, lanes, count, &status))
		return status;
	for (size_t i = 0; i < *count; i++)
		if (!read_log(source, &trials[i], NULL))
			return EX_NOINPUT;
	n = with_mail(c, lanes, *count);
	if (n == 0)
		return EX_DATAERR;
	if (!replay_play(lanes, n, error, sizeof(error))) {
		command_complain("%s", error);
		return EX_SOFTWARE;
	}
	print(c, lanes, n);
	return EX_OK;
}

int
replay_run(struct command *c)
{
	struct source source = {.path = c->argv[0]};
	struct trial trials[REPLAY_LANES];
	struct replay_lane lanes[REPLAY_LANES];
	size_t count = 0;
	int status = EX_NOINPUT;

	memset(trials, 0, sizeof(trials));
	memset(lanes, 0, sizeof(lanes));
	if (keep_input(&source))
		status = run(c, &source, trials, lanes, &count);
	for (size_t i = 0; i < count; i++)
		drop(&trials[i]);
	if (source.kept != NULL)
		(void)fclose(source.kept);
	return status;
}
