/* pause, resume, drain, rate, connections, retry: lanes while they run. */
#include <errno.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sysexits.h>
#include <time.h>
#include <unistd.h>

#include <jansson.h>

#include "common/base/clock.h"
#include "common/base/log.h"
#include "common/limits/rate.h"
#include "monitor/asking.h"
#include "monitor/postlane/command.h"
#include "monitor/say.h"
#include "monitor/steerfile.h"
#include "monitor/waking.h"

enum { FOR_MAX_S = 400 * 86400 };

/* What one run wants of one lane. */
struct wish {
	struct steer_order order;
	bool is_clear; /* takes the order of this kind away */
	size_t cleared;
	bool has_no_room;
	char limit[128]; /* what bounds it, if something does; "": nothing */
};

/* ---- who and for how long ------------------------------------------------ */

static void
say_who(char *text, size_t n)
{
	const struct passwd *pw = getpwuid(getuid());
	const char *sudo = getenv("SUDO_USER"), *tty = ttyname(STDIN_FILENO);

	(void)snprintf(text, n, "%.30s%s%.30s%s%.20s",
	    pw != NULL ? pw->pw_name : "somebody", sudo != NULL ? " for " : "",
	    sudo != NULL ? sudo : "", tty != NULL ? " on " : "",
	    tty != NULL && strncmp(tty, "/dev/", 5) == 0 ? tty + 5 : "");
	for (char *p = text; *p != '\0'; p++)
		if (*p < ' ' || *p > '~')
			*p = '?';
}

/* Seconds of 90, 90s, 30m, 1h, 2d, 1w; 0: it is none of these. */
static int64_t
duration_s(const char *text)
{
	static const struct {
		char unit;
		int64_t s;
	} units[] = {
	    {'s', 1}, {'m', 60}, {'h', 3600}, {'d', 86400}, {'w', 7 * 86400}};
	char *end;
	long long n;

	errno = 0;
	n = strtoll(text, &end, 10);
	if (end == text || errno != 0 || n < 1 || n > FOR_MAX_S)
		return 0;
	if (*end == '\0')
		return n;
	for (size_t i = 0; i < sizeof(units) / sizeof(units[0]); i++)
		if (*end == units[i].unit && end[1] == '\0')
			return n * units[i].s <= FOR_MAX_S ? n * units[i].s : 0;
	return 0;
}

/* ---- one lane --------------------------------------------------------------
 */

static bool
change(void *ctx, struct steer *s)
{
	struct wish *wish = ctx;

	if (!wish->is_clear) {
		wish->has_no_room = !steer_set(s, &wish->order);
		return !wish->has_no_room;
	}
	wish->cleared = steer_clear(
	    s, wish->order.lane, wish->order.verb, wish->order.domain);
	return wish->cleared > 0;
}

bool
command_may_steer(const struct model_lane *lane)
{
	struct stat st;

	if (geteuid() == 0 ||
	    (stat(lane->directory, &st) == 0 && st.st_uid == geteuid()))
		return true;
	command_complain("only root and %s may steer lanes",
	    lane->site != NULL ? lane->site->set.mail_owner : "mail_owner");
	return false;
}

static void
print_done(const struct command *c, const struct model_lane *lane,
    const char *what, const char *in_force, const char *limit)
{
	char effect[768];

	(void)snprintf(effect, sizeof(effect), "%s%s%s", in_force,
	    limit[0] != '\0' ? ", " : "", limit);
	if (!c->is_json) {
		command_say("lane %s: %s: %s", lane->name, what, effect);
		return;
	}
	command_print_json(json_pack("{s:i, s:s, s:s, s:s}", "schema",
	    MODEL_SCHEMA, "lane", lane->name, "done", what, "effect", effect));
}

/* What the lane says about it, "SERIAL REMARK" of an order, "REMARK" else. */
static const char *
remark_in(const char *answer, bool is_kept)
{
	if (is_kept)
		answer += strcspn(answer, " ");
	answer += strspn(answer, " ");
	if (*answer != '\0')
		return answer;
	return is_kept ? "in force" : "done";
}

/* Whoever serves the lane next does it, and is started for it. */
static int
wake_lane(const struct command *c, const struct model_lane *lane,
    const char *what, const char *limit, bool is_kept)
{
	char effect[512], why[256] = "";
	size_t count = lane->site != NULL
			   ? waking_run(lane->directory, lane->name,
				 &lane->site->set, why, sizeof(why))
			   : 0;

	if (count == 0 && !is_kept && *why != '\0') {
		(void)snprintf(effect, sizeof(effect),
		    "no process runs, and none could be started for deferred "
		    "mail (%s); the next message starts one",
		    why);
		print_done(c, lane, "not done", effect, limit);
		return EX_UNAVAILABLE;
	}
	if (count == 0 && !is_kept) {
		print_done(c, lane, "nothing to do",
		    "no process runs, and the next message starts one (at "
		    "once, with deferred mail: postqueue -f)",
		    limit);
		return EX_UNAVAILABLE;
	}
	(void)snprintf(effect, sizeof(effect),
	    "no process runs at present, the next one obeys it%s%s%s%s",
	    count > 0 ? ": a deferred message was asked for, so that it "
			"starts, and calls back the others"
		      : "",
	    *why != '\0' ? " (not all could be asked for: " : "", why,
	    *why != '\0' ? ")" : "");
	print_done(c, lane, what, effect, limit);
	return EX_OK;
}

/* Tells the lane's process; the exit status. limit: of what is in force then,
 * or "". wakes: mail may go again. */
static int
tell_lane(const struct command *c, const struct model_lane *lane,
    const char *question, const char *what, const char *limit, bool is_kept,
    bool wakes)
{
	const char *kept = is_kept ? "; what was asked for is kept" : "";
	char answer[512];

	switch (asking_ask(
	    lane->directory, lane->name, question, answer, sizeof(answer))) {
	case ASKING_OK:
		print_done(c, lane, what, remark_in(answer, is_kept), limit);
		return EX_OK;
	case ASKING_NOBODY:
		if (is_kept && !wakes)
			print_done(c, lane, what,
			    "no process runs at present, the next one obeys "
			    "it",
			    limit);
		else
			return wake_lane(c, lane, what, limit, is_kept);
		return EX_OK;
	case ASKING_REFUSED:
		command_complain("lane %s: %s%s", lane->name, answer, kept);
		return EX_UNAVAILABLE;
	case ASKING_SILENT:
		break;
	}
	command_complain("lane %s: its process (%llu) does not answer%s",
	    lane->name, (unsigned long long)lane->pid, kept);
	return EX_TEMPFAIL;
}

static int
store(const struct command *c, const struct model_lane *lane, struct wish *wish,
    const char *what)
{
	char error[512];
	struct steer *s = calloc(1, sizeof(*s));
	int status = EX_CANTCREAT;

	CHECK(s != NULL);
	if (!steerfile_change(
		lane->directory, change, wish, s, error, sizeof(error)))
		command_complain("%s: %s", lane->directory, error);
	else if (wish->has_no_room)
		command_complain("%s: steer: %d orders are kept already, and "
				 "there is no room for more",
		    lane->directory, STEER_ORDERS_MAX);
	else
		status = tell_lane(c, lane, "steer", what, wish->limit, true,
		    wish->is_clear && (wish->order.verb == STEER_PAUSE ||
					  wish->order.verb == STEER_DRAIN));
	free(s);
	return status;
}

static void
fill(struct wish *wish, const struct command *c, const struct model_lane *lane,
    enum steer_verb verb)
{
	struct steer_now now = steerfile_now(clock_moment());

	memset(wish, 0, sizeof(*wish));
	(void)snprintf(
	    wish->order.lane, sizeof(wish->order.lane), "%s", lane->name);
	(void)snprintf(
	    wish->order.domain, sizeof(wish->order.domain), "%s", c->domain);
	wish->order.verb = verb;
	wish->order.at_s = now.wall_s;
	steer_order_ends(&wish->order, c->for_s, now);
	say_who(wish->order.who, sizeof(wish->order.who));
}

static void
say_until(const struct command *c, char *text, size_t n)
{
	char left[SAY_SIZE];

	if (c->for_s == 0)
		(void)snprintf(text, n, "until it is told otherwise");
	else
		(void)snprintf(text, n, "for %s",
		    say_ms(c->for_s * 1000, left, sizeof(left)));
}

/* More sessions than the account has are nobody's. */
static void
say_limit(struct wish *wish, const struct model_lane *lane)
{
	int most = model_account_connection_limit(lane);

	if (wish->order.verb == STEER_CONNECTIONS && !wish->is_clear &&
	    most > 0 && strtol(wish->order.value, NULL, 10) > most)
		(void)snprintf(wish->limit, sizeof(wish->limit),
		    "up to the account's %d "
		    "(lane_account_connection_limit)",
		    most);
}

/* ---- the verbs -------------------------------------------------------------
 */

static int
give(struct command *c, enum steer_verb verb, const char *value)
{
	struct model *m = model_read(&c->site, clock_moment());
	const struct model_lane *lane = model_find(m, c->lane);
	char what[256], until[64], why[256];
	const char *wrong = steer_check(verb, value, why, sizeof(why));
	bool is_default = strcmp(value, "default") == 0;
	struct wish wish;
	int status = EX_NOPERM;

	if (wrong != NULL && !is_default) {
		command_complain(
		    "%s %s: %s", steer_verb_name(verb), value, wrong);
		status = EX_USAGE;
	} else if (strlen(value) >= sizeof(wish.order.value) ||
		   strpbrk(value, " \t\n") != NULL) {
		command_complain("%s %s: must be one word, of less than %zu "
				 "letters",
		    steer_verb_name(verb), value, sizeof(wish.order.value));
		status = EX_USAGE;
	} else if (command_may_steer(lane)) {
		fill(&wish, c, lane, verb);
		wish.is_clear = is_default;
		(void)snprintf(
		    wish.order.value, sizeof(wish.order.value), "%s", value);
		say_limit(&wish, lane);
		say_until(c, until, sizeof(until));
		if (is_default)
			(void)snprintf(what, sizeof(what),
			    "%s as main.cf and master.cf have it",
			    steer_verb_name(verb));
		else
			(void)snprintf(what, sizeof(what), "%s %s %s",
			    steer_verb_name(verb), value, until);
		status = store(c, lane, &wish, what);
	}
	model_free(&m);
	return status;
}

static int
hold_lane(const struct command *c, const struct model_lane *lane,
    enum steer_verb verb, bool is_clear)
{
	char what[STEER_DOMAIN_SIZE + 128], until[64];
	struct wish wish;

	if (!command_may_steer(lane))
		return EX_NOPERM;
	fill(&wish, c, lane, verb);
	wish.is_clear = is_clear;
	say_until(c, until, sizeof(until));
	(void)snprintf(what, sizeof(what), "%s%s%s%s%s",
	    c->domain[0] != '\0' ? "mail to " : "", c->domain,
	    c->domain[0] != '\0' ? " " : "",
	    is_clear              ? "resumed"
	    : verb == STEER_DRAIN ? "drained "
				  : "paused ",
	    is_clear ? "" : until);
	return store(c, lane, &wish, what);
}

/* A domain is held by all lanes, or by the one that was named. */
static int
hold(struct command *c, enum steer_verb verb, bool is_clear)
{
	struct model *m = model_read(&c->site, clock_moment());
	int status = EX_OK, one;

	for (size_t i = 0; i < m->lane_count; i++) {
		const struct model_lane *lane = &m->lanes[i];

		if (lane->site == NULL || !command_wants(c, lane))
			continue;
		one = hold_lane(c, lane, verb, is_clear);
		if (one != EX_OK)
			status = one;
	}
	model_free(&m);
	return status;
}

bool
command_target(struct command *c, const struct model *m)
{
	static const char prefix[] = "domain:";
	const char *text = c->argv[0];
	bool is_told = strncmp(text, prefix, strlen(prefix)) == 0;

	c->lane = NULL;
	c->domain[0] = '\0';
	if (!is_told &&
	    (model_find(m, text) != NULL || strchr(text, '.') == NULL)) {
		c->lane = text;
		if (c->argc == 1)
			return true;
		command_complain("too many arguments: %s is no recipient "
				 "domain (that would be domain:%s)",
		    text, text);
		return false;
	}
	if (is_told)
		text += strlen(prefix);
	if (!steer_domain(text, c->domain)) {
		command_complain("bad domain: %s: must be example.com, or "
				 ".example.com for all below it",
		    text);
		return false;
	}
	if (c->argc > 1)
		c->lane = c->argv[1];
	return true;
}

int
pause_run(struct command *c)
{
	return hold(c, STEER_PAUSE, false);
}

int
drain_run(struct command *c)
{
	return hold(c, STEER_DRAIN, false);
}

int
resume_run(struct command *c)
{
	return hold(c, STEER_PAUSE, true);
}

/* Of "50%"; 0: it is no such value. -1: it is a bad one, which was told. */
static int
percent_of(const char *value)
{
	char *end;
	long percent = strtol(value, &end, 10);

	if (value[0] == '\0' || value[strlen(value) - 1] != '%')
		return 0;
	if (strchr("0123456789", value[0]) != NULL && strcmp(end, "%") == 0 &&
	    percent >= 1 && percent <= RATE_PERCENT_MAX)
		return (int)percent;
	command_complain("rate %s: must be 1%% to %d%% of "
			 "lane_message_rate_limit",
	    value, RATE_PERCENT_MAX);
	return -1;
}

/* So much of what main.cf and master.cf have, whatever was asked for before;
 * quotas of it hold on by themselves. False: it was told. */
static bool
part_of_rate(const struct command *c, const struct model_lane *lane,
    int percent, char *text, size_t n)
{
	const char *set = lane->site->set.lane_message_rate_limit;
	struct rate rates[RATE_LIST_MAX];
	char one[RATE_TEXT_SIZE], error[256];
	size_t count = 0, len = 0;

	text[0] = '\0';
	if (!rate_list_parse(slice_str(set), rates, RATE_LIST_MAX, &count,
		error, sizeof(error)))
		count = 0;
	for (size_t i = 0; i < count; i++) {
		if (rates[i].is_quota || len >= n)
			continue;
		rate_scale(&rates[i], percent);
		rate_to_text(&rates[i], one, sizeof(one));
		len += (size_t)snprintf(
		    text + len, n - len, "%s%s", len > 0 ? "," : "", one);
	}
	if (len == 0)
		command_complain("rate %s: lane_message_rate_limit of lane %s "
				 "is %s, and has no rate of which that could "
				 "be a part: give one, such as 2/1s",
		    c->argv[1], lane->name, set[0] != '\0' ? set : "not set");
	return len > 0;
}

int
rate_run(struct command *c)
{
	int percent = percent_of(c->argv[1]);
	const struct model_lane *lane;
	struct model *m;
	char text[RATE_LIST_MAX * RATE_TEXT_SIZE];
	bool is_good;

	if (percent == 0)
		return give(c, STEER_RATE, c->argv[1]);
	if (percent < 0)
		return EX_USAGE;
	m = model_read(&c->site, clock_moment());
	lane = model_find(m, c->lane);
	is_good = lane != NULL && lane->site != NULL &&
		  part_of_rate(c, lane, percent, text, sizeof(text));
	if (lane != NULL && lane->site == NULL)
		command_complain("rate %s: lane %s is not in master.cf",
		    c->argv[1], lane->name);
	model_free(&m);
	return is_good ? give(c, STEER_RATE, text) : EX_USAGE;
}

int
connections_run(struct command *c)
{
	return give(c, STEER_CONNECTIONS, c->argv[1]);
}

int
retry_run(struct command *c)
{
	struct model *m = model_read(&c->site, clock_moment());
	int status = EX_OK;

	for (size_t i = 0; i < m->lane_count; i++) {
		const struct model_lane *lane = &m->lanes[i];
		int one;

		if (!command_wants(c, lane))
			continue;
		one = command_may_steer(lane)
			  ? tell_lane(c, lane, "retry",
				"dials now, and calls back what it deferred "
				"for want of a host",
				"", false, true)
			  : EX_NOPERM;
		if (one != EX_OK)
			status = one;
	}
	model_free(&m);
	return status;
}

bool
command_for(struct command *c, const char *text)
{
	c->for_s = duration_s(text);
	if (c->for_s == 0)
		command_complain(
		    "bad option: --for %s: must be a time such as 90s, 30m, "
		    "1h or 2d, at most 400d",
		    text);
	return c->for_s > 0;
}

/* Seconds since the epoch; 0: it is no time. */
static int64_t
moment_of(const char *text, time_t now)
{
	static const char *const formats[] = {
	    "%H:%M", "%Y-%m-%d", "%Y-%m-%dT%H:%M", "%Y-%m-%d %H:%M"};
	struct tm today;

	if (localtime_r(&now, &today) == NULL)
		return 0;
	for (size_t i = 0; i < sizeof(formats) / sizeof(formats[0]); i++) {
		struct tm tm = today;
		const char *end;
		time_t at;

		tm.tm_sec = tm.tm_min = tm.tm_hour = 0;
		tm.tm_isdst = -1;
		end = strptime(text, formats[i], &tm);
		if (end == NULL || *end != '\0')
			continue;
		at = mktime(&tm);
		if (i == 0 && at <= now) {
			tm.tm_mday = today.tm_mday + 1;
			tm.tm_isdst = -1;
			at = mktime(&tm);
		}
		return at;
	}
	return 0;
}

bool
command_until(struct command *c, const char *text)
{
	time_t now = time(NULL);
	int64_t at = moment_of(text, now);

	c->for_s = at > now && at - now <= FOR_MAX_S ? at - now : 0;
	if (c->for_s == 0)
		command_complain(
		    "bad option: --until %s: must be a time to come, such as "
		    "08:00 or 2026-12-31T08:00, at most 400d from now",
		    text);
	return c->for_s > 0;
}
