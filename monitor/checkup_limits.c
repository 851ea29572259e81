/*   written for the queue manager        in force in the lane instead
 *     T_destination_concurrency_limit      lane_connection_limit
 *     T_destination_rate_delay,            lane_message_rate_limit
 *     T_transport_rate_delay
 *
 * smtp(8) has a connection for each delivery, so that a limit of deliveries was
 * one of connections. All fixes of a lane set the same value, the strictest of
 * all that was written, so that their order does not matter.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "agent/settings/foreign.h"
#include "common/base/log.h"
#include "common/base/mem.h"
#include "common/limits/rate.h"
#include "monitor/advice.h"
#include "monitor/checkup.h"

enum {
	COHORTS_MAX = 10, /* beyond it is no protection */
	ACTIVE_PERCENT = 60, /* where lanes begin to give back */
	ACTIVE_STEP = 1000,
};

static const char window[] = "destination_concurrency_limit";
static const char initial[] = "initial_destination_concurrency";
static const char recipients[] = "destination_recipient_limit";
static const char cohorts[] = "destination_concurrency_failed_cohort_limit";
static const char *const delays[] = {
    "destination_rate_delay", "transport_rate_delay"};
enum { DELAYS = sizeof(delays) / sizeof(delays[0]) };

/* -1: it is no number. */
static long
number(const char *text)
{
	char *end;
	long n = strtol(text, &end, 10);

	return end != text && n >= 0 ? n : -1;
}

static char *
name_of(const struct site_lane *lane, const char *suffix)
{
	return mem_printf("%s_%s", lane->opt.service_name, suffix);
}

/* -o LANE_SUFFIX=...; NULL: none. */
static const char *
option_of(const struct site_lane *lane, const char *suffix)
{
	char *name = name_of(lane, suffix);
	const char *value = options_override(&lane->opt, name);

	mem_free(name);
	return value;
}

/* Somebody wrote it, for the lane or for all transports. */
static bool
is_written(
    const struct checkup *c, const struct site_lane *lane, const char *suffix)
{
	char *own = name_of(lane, suffix);
	char *common = mem_printf("default_%s", suffix);
	bool is = main_cf_find(&c->cf, own) != NULL ||
		  main_cf_find(&c->cf, common) != NULL;

	mem_free(own);
	mem_free(common);
	return is;
}

static void
set_main_number(
    struct edits *e, const struct site_lane *lane, const char *suffix, long n)
{
	char *name = name_of(lane, suffix);
	char value[32];

	(void)snprintf(value, sizeof(value), "%ld", n);
	(void)edits_set(e, NULL, name, value);
	mem_free(name);
}

static void
fix_main_number(
    struct checkup *c, const struct site_lane *lane, const char *suffix, long n)
{
	struct edits e = {.count = 0};

	set_main_number(&e, lane, suffix, n);
	checkup_fix(c, &e);
}

/* ---- connections --------------------------------------------------------- */

static void
take_less(long *n, long other)
{
	if (other > 0 && other < *n)
		*n = other;
}

long
checkup_connections_meant(const struct checkup *c, const struct site_lane *lane)
{
	char *own = checkup_meant(lane, "lane_connection_limit");
	const char *option = option_of(lane, window);
	long n = own != NULL ? number(own) : 0;

	mem_free(own);
	if (n <= 0)
		return 0;
	take_less(&n, lane->set.lane_account_connection_limit);
	if (is_written(c, lane, window))
		take_less(&n, number(checkup_transport_value(c, lane, window)));
	if (option != NULL)
		take_less(&n, number(option));
	return n;
}

/* It is less than what is in force. */
static bool
is_limited_more(const struct checkup *c, const struct site_lane *lane)
{
	long n = checkup_connections_meant(c, lane);

	return n > 0 && n < lane->set.lane_connection_limit &&
	       n < lane->set.lane_account_connection_limit;
}

void
checkup_fit_reserve(const struct checkup *c, const struct site_lane *lane,
    long connections, struct edits *edits)
{
	char value[32];

	(void)snprintf(value, sizeof(value), "%ld", connections);
	for (size_t i = 0; i < c->site->lane_count; i++) {
		const struct site_lane *each = &c->site->lanes[i];
		bool is_meant = lane != NULL
				    ? each == lane
				    : options_override(&each->opt,
					  "lane_connection_limit") == NULL;

		if (is_meant && each->set.lane_connection_reserve > connections)
			(void)edits_set(
			    edits, each, "lane_connection_reserve", value);
	}
}

static void
set_connections(
    const struct checkup *c, const struct site_lane *lane, struct edits *e)
{
	long n = checkup_connections_meant(c, lane);
	char value[32];

	(void)snprintf(value, sizeof(value), "%ld", n);
	(void)edits_set(e, lane, "lane_connection_limit", value);
	checkup_fit_reserve(c, lane, n, e);
}

/* ---- pace ---------------------------------------------------------------- */

/* "10s" as a rate, "1/10s"; the caller's. NULL: no delay, or none that can be
 * understood. */
static char *
rate_of_delay(const char *text)
{
	char *end;
	long n = strtol(text, &end, 10);

	if (end == text || n <= 0)
		return NULL;
	if (*end == 'w')
		return mem_printf("1/%ldd", n * 7);
	return mem_printf("1/%ld%c", n, *end != '\0' ? *end : 's');
}

static double
per_s(const struct rate *rate)
{
	return (double)rate->count_milli / (double)rate->period_us;
}

/* The list has a rate that is no faster. */
static bool
holds(const char *list, const char *rate)
{
	struct rate rates[RATE_LIST_MAX], one;
	char error[256];
	size_t n = 0;

	if (!rate_parse(slice_str(rate), &one, error, sizeof(error)) ||
	    !rate_list_parse(slice_str(list), rates, RATE_LIST_MAX, &n, error,
		sizeof(error)))
		return false;
	for (size_t i = 0; i < n; i++)
		if (per_s(&rates[i]) <= per_s(&one) &&
		    (one.is_quota || rates[i].burst == 1))
			return true;
	return false;
}

static char *
list_with(char *list, const char *delay)
{
	char *rate = rate_of_delay(delay), *longer;

	if (rate == NULL || holds(list, rate)) {
		mem_free(rate);
		return list;
	}
	longer = list[0] == '\0' || strcmp(list, "none") == 0
		     ? mem_strdup(rate)
		     : mem_printf("%s,%s", list, rate);
	mem_free(rate);
	mem_free(list);
	return longer;
}

/* What the lane's pace was to be, the caller's; NULL: that is not known. */
static char *
pace_meant(const struct checkup *c, const struct site_lane *lane)
{
	char *list = checkup_meant(lane, "lane_message_rate_limit");

	for (int i = 0; list != NULL && i < DELAYS; i++) {
		const char *option = option_of(lane, delays[i]);

		list = list_with(
		    list, checkup_transport_value(c, lane, delays[i]));
		if (option != NULL)
			list = list_with(list, option);
	}
	return list;
}

static bool
set_pace(const struct checkup *c, const struct site_lane *lane, struct edits *e)
{
	char *list = pace_meant(c, lane), error[256];
	struct rate rates[RATE_LIST_MAX];
	size_t n = 0;
	bool is_set = list != NULL &&
		      rate_list_parse(slice_str(list), rates, RATE_LIST_MAX, &n,
			  error, sizeof(error)) &&
		      edits_set(e, lane, "lane_message_rate_limit", list);

	mem_free(list);
	return is_set;
}

/* ---- -o, which only main.cf's are read of -------------------------------- */

/* What it was to do, the lane does or its pace and its connections do. */
static bool
set_instead(const struct checkup *c, const struct site_lane *lane,
    const struct option_override *o, struct edits *e)
{
	size_t n = strlen(lane->opt.service_name);
	const char *suffix = o->name + n + 1;

	if (strncmp(o->name, lane->opt.service_name, n) != 0 ||
	    o->name[n] != '_') {
		return false;
	} else if (strcmp(suffix, window) == 0) {
		if (checkup_connections_meant(c, lane) == 0)
			return false;
		if (is_limited_more(c, lane))
			set_connections(c, lane, e);
	} else if (strcmp(suffix, delays[0]) == 0 ||
		   strcmp(suffix, delays[1]) == 0) {
		char *rate = rate_of_delay(o->value);
		bool is_delay = rate != NULL;

		mem_free(rate);
		return !is_delay ? number(o->value) == 0 : set_pace(c, lane, e);
	} else if (strcmp(suffix, recipients) == 0) {
		return number(o->value) > 1 &&
		       (is_written(c, lane, recipients) ||
			   edits_set(e, NULL, o->name, o->value));
	} else if (strcmp(suffix, cohorts) == 0) {
		long cohort = number(o->value);

		return cohort < 1 || cohort > COHORTS_MAX ||
		       is_written(c, lane, cohorts) ||
		       edits_set(e, NULL, o->name, o->value);
	} else if (strcmp(suffix, initial) != 0) {
		return main_cf_find(&c->cf, o->name) == NULL &&
		       edits_set(e, NULL, o->name, o->value);
	}
	return true;
}

static void
find_misplaced(struct checkup *c, const struct site_lane *lane,
    const struct option_override *o)
{
	struct edits e = {.count = 0};

	findings_add(&c->findings, "MISPLACED-OPTION", FINDING_ERROR,
	    lane->opt.service_name,
	    "-o %s=%s: the queue manager reads it, from main.cf alone: it is "
	    "without effect here",
	    o->name, o->value);
	edits_unset(&e, lane, o->name);
	if (set_instead(c, lane, o, &e))
		checkup_fix(c, &e);
	else
		findings_advise(&c->findings,
		    "if it was to limit something, say so in main.cf or by a "
		    "parameter of lane(5), then remove it here");
	edits_fini(&e);
}

static void
check_options(struct checkup *c, const struct site_lane *lane)
{
	for (size_t i = 0; i < lane->opt.override_count; i++)
		if (params_find(lane->opt.overrides[i].name) == NULL &&
		    foreign_is_of_queue_manager(lane->opt.overrides[i].name))
			find_misplaced(c, lane, &lane->opt.overrides[i]);
}

/* ---- windows ------------------------------------------------------------- */

/* Over any distance. */
static int
window_of(const struct site_lane *lane)
{
	int depth = advice_depth(lane, ADVICE_RTT_US);
	int limit = lane->set.lane_pipeline_depth;

	return advice_window(lane, depth < limit ? depth : limit);
}

/* ... of a lane with so many connections. */
static int
window_with(const struct site_lane *lane, long connections)
{
	struct site_lane other = *lane;

	other.set.lane_connection_limit = (int)connections;
	return window_of(&other);
}

static void
find_window(
    struct checkup *c, const struct site_lane *lane, long now, int wanted)
{
	bool is_limited = is_limited_more(c, lane);
	struct edits e = {.count = 0};

	findings_add(&c->findings, "WINDOW", FINDING_WARNING,
	    lane->opt.service_name,
	    "the queue manager hands out at most %ld messages at once, "
	    "and the lane can have %d under way: 2 x sessions x depth%s",
	    now, wanted,
	    is_limited ? "; what was meant as a limit of connections becomes "
			 "lane_connection_limit"
		       : "");
	if (is_limited) {
		int other =
		    window_with(lane, checkup_connections_meant(c, lane));

		set_connections(c, lane, &e);
		wanted = other > now ? other : (int)now;
	}
	set_main_number(&e, lane, window, wanted);
	checkup_fix(c, &e);
}

static void
check_windows(struct checkup *c, const struct site_lane *lane)
{
	int wanted = window_of(lane);
	long now = number(checkup_transport_value(c, lane, window));
	char *own = name_of(lane, initial);
	const char *value = postconf_value(&c->values, own);
	long begin = number(value != NULL ? value : checkup_value(c, initial));

	if (now > 0 && now < wanted)
		find_window(c, lane, now, wanted);
	if (begin >= 0 && begin < wanted) {
		findings_add(&c->findings, "INITIAL-WINDOW", FINDING_WARNING,
		    lane->opt.service_name,
		    "the queue manager begins with %ld messages at once and "
		    "feels its way up; the lane does that itself",
		    begin);
		fix_main_number(c, lane, initial, wanted);
	}
	mem_free(own);
}

/* ---- the rest ------------------------------------------------------------ */

static void
check_delay(struct checkup *c, const struct site_lane *lane, const char *suffix)
{
	const char *value = checkup_transport_value(c, lane, suffix);
	char *name;
	struct edits e = {.count = 0};

	if (number(value) <= 0)
		return;
	name = name_of(lane, suffix);
	findings_add(&c->findings, "RATE-DELAY", FINDING_WARNING,
	    lane->opt.service_name,
	    "%s is %s: the queue manager pauses after each message, in whole "
	    "seconds and with a window of 1; in its place comes "
	    "lane_message_rate_limit, which is for all mail of the lane (by "
	    "domain: lane_domain_rate_limits)",
	    name, value);
	if (set_pace(c, lane, &e)) {
		(void)edits_set(&e, NULL, name, "0s");
		checkup_fix(c, &e);
	}
	edits_fini(&e);
	mem_free(name);
}

/* Some want it so: each recipient gets a message of its own. */
static void
check_recipients(struct checkup *c, const struct site_lane *lane)
{
	if (number(checkup_transport_value(c, lane, recipients)) != 1)
		return;
	findings_add(&c->findings, "RECIPIENT-LIMIT", FINDING_NOTE,
	    lane->opt.service_name,
	    "%s_%s is 1: each recipient gets a message of its own, and is a "
	    "destination of its own, for which the windows count; with more, "
	    "such as 50, recipients share a message",
	    lane->opt.service_name, recipients);
}

/* 0 is never; many are as good as never. */
static void
check_cohorts(struct checkup *c, const struct site_lane *lane)
{
	long now = number(checkup_transport_value(c, lane, cohorts));

	if (now != 0 && now <= COHORTS_MAX)
		return;
	findings_add(&c->findings, "FAILED-COHORT", FINDING_WARNING,
	    lane->opt.service_name,
	    "%s_%s is %ld: when a quota is used up, the queue manager goes on "
	    "asking message by message",
	    lane->opt.service_name, cohorts, now);
	fix_main_number(c, lane, cohorts, 1);
}

/* Who has set it lower than Postfix does has a reason. */
static void
find_active_room(struct checkup *c, long limit, long sum, long wanted)
{
	static const char messages[] = "qmgr_message_active_limit";
	static const char of_all[] = "qmgr_message_recipient_limit";
	long others = number(checkup_value(c, of_all));
	struct edits e = {.count = 0};
	char value[32];

	findings_add(&c->findings, "ACTIVE-ROOM", FINDING_WARNING, NULL,
	    "qmgr_message_active_limit is %ld, and the lanes' windows are %ld "
	    "together: other mail would wait for room",
	    limit, sum);
	if (main_cf_find(&c->cf, messages) != NULL ||
	    (others < wanted && main_cf_find(&c->cf, of_all) != NULL)) {
		findings_advise(&c->findings,
		    "where there is memory for it (about 1 kB each), set it "
		    "and "
		    "qmgr_message_recipient_limit to %ld; else give the lanes "
		    "fewer connections (lane_connection_limit) or less depth "
		    "(lane_pipeline_depth), and windows that fit",
		    wanted);
		return;
	}
	(void)snprintf(value, sizeof(value), "%ld", wanted);
	(void)edits_set(&e, NULL, messages, value);
	(void)snprintf(
	    value, sizeof(value), "%ld", others < wanted ? wanted : others);
	(void)edits_set(&e, NULL, of_all, value);
	checkup_fix(c, &e);
}

/* All lanes' windows full must not crowd out other transports. */
static void
check_active_room(struct checkup *c)
{
	long limit = number(checkup_value(c, "qmgr_message_active_limit"));
	long sum = 0;

	for (size_t i = 0; i < c->site->lane_count; i++)
		sum += window_of(&c->site->lanes[i]);
	if (limit > 0 && sum * 100 >= limit * ACTIVE_PERCENT)
		find_active_room(c, limit, sum,
		    (sum * 100 / ACTIVE_PERCENT / ACTIVE_STEP + 1) *
			ACTIVE_STEP);
}

void
checkup_limits(struct checkup *c)
{
	for (size_t i = 0; i < c->site->lane_count; i++) {
		const struct site_lane *lane = &c->site->lanes[i];

		check_options(c, lane);
		check_windows(c, lane);
		for (int k = 0; k < DELAYS; k++)
			check_delay(c, lane, delays[k]);
		check_recipients(c, lane);
		check_cohorts(c, lane);
	}
	check_active_room(c);
}
