/* probe: what a lane finds at a smarthost, put into words. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>
#include <sysexits.h>
#include <time.h>

#include <jansson.h>

#include "common/base/clock.h"
#include "common/base/log.h"
#include "monitor/advice.h"
#include "monitor/origin.h"
#include "monitor/postlane/command.h"
#include "monitor/prober.h"
#include "monitor/say.h"

enum { STATUS_NOT_READY = 1, DAY_S = 86400 };

static const char *
text_of(const json_t *o, const char *key)
{
	const char *text = json_string_value(json_object_get(o, key));

	return text != NULL ? text : "";
}

static int64_t
number_of(const json_t *o, const char *key)
{
	return json_integer_value(json_object_get(o, key));
}

static bool
is_true(const json_t *o, const char *key)
{
	return json_is_true(json_object_get(o, key));
}

static void
label(const char *name)
{
	printf("  %-12s ", name);
}

static void
print_list(const char *name, const json_t *list)
{
	const json_t *one;
	size_t i;

	if (json_array_size(list) == 0)
		return;
	label(name);
	json_array_foreach(list, i, one)
	    printf("%s%s", i > 0 ? ", " : "", json_string_value(one));
	putchar('\n');
}

/* ---- where --------------------------------------------------------------- */

static void
print_addresses(const json_t *report)
{
	const json_t *one;
	char time[SAY_SIZE];
	size_t i;

	json_array_foreach(json_object_get(report, "addresses"), i, one)
	{
		label(i == 0 ? "addresses" : "");
		printf("%s[%s]:%" PRId64, text_of(one, "host"),
		    text_of(one, "address"), number_of(one, "port"));
		if (number_of(one, "preference") > 0)
			printf(" preference %" PRId64,
			    number_of(one, "preference"));
		if (i == 0)
			printf(", found in %s",
			    say_time(number_of(report, "resolve_us"), time,
				sizeof(time)));
		putchar('\n');
	}
	if (*text_of(report, "no_address") != '\0') {
		label(i == 0 ? "addresses" : "");
		printf("%s\n", text_of(report, "no_address"));
	}
	json_array_foreach(json_object_get(report, "tried"), i, one)
	{
		if (*text_of(one, "failed") == '\0')
			continue;
		label("tried");
		printf("%s[%s]:%s: %s\n", text_of(one, "host"),
		    text_of(one, "address"), text_of(one, "port"),
		    text_of(one, "failed"));
	}
}

static void
print_steps(const json_t *report)
{
	const json_t *one;
	char time[SAY_SIZE];
	size_t i;

	json_array_foreach(json_object_get(report, "steps"), i, one)
	{
		/* What EHLO brought is shown below. */
		const char *said = strcmp(text_of(one, "what"), "ehlo") != 0
				       ? text_of(one, "said")
				       : "";

		label(i == 0 ? "steps" : "");
		printf("%-8s %7s%s%s\n", text_of(one, "what"),
		    say_time(number_of(one, "us"), time, sizeof(time)),
		    *said != '\0' ? "  " : "", said);
	}
}

/* ---- TLS ----------------------------------------------------------------- */

static void
print_certificate(const json_t *one, bool is_first)
{
	int64_t until_s = number_of(one, "until_s");
	int64_t now_s = clock_wall().tv_sec;
	time_t at = (time_t)until_s;
	const json_t *name;
	char date[32] = "?";
	struct tm tm;
	size_t i;

	label(is_first ? "certificate" : "of");
	if (gmtime_r(&at, &tm) != NULL)
		(void)strftime(date, sizeof(date), "%Y-%m-%d", &tm);
	printf("%s by %s, until %s ", text_of(one, "subject"),
	    text_of(one, "issuer"), date);
	if (until_s < now_s)
		printf("(over)\n");
	else
		printf("(%" PRId64 " days)\n", (until_s - now_s) / DAY_S);
	if (!is_first)
		return;
	label("");
	printf("in the name of ");
	json_array_foreach(json_object_get(one, "names"), i, name)
	    printf("%s%s", i > 0 ? ", " : "", json_string_value(name));
	printf("%s\n", i == 0 ? "nobody" : "");
}

static const char *
verdict_of(const json_t *tls)
{
	if (is_true(tls, "is_matched"))
		return strstr(text_of(tls, "level"), "dane") != NULL
			   ? "the server fits a TLSA record"
			   : "the certificate is good and in the name that is "
			     "asked for";
	if (is_true(tls, "is_trusted"))
		return "the certificate is of an authority that is trusted; "
		       "this level asks for no name";
	return "the certificate proves nothing";
}

static void
print_tls(const json_t *report)
{
	const json_t *tls = json_object_get(report, "tls"), *one;
	size_t i;

	label("TLS");
	if (!json_is_object(tls)) {
		printf("none\n");
		return;
	}
	printf("%s, %s\n", text_of(tls, "version"), text_of(tls, "cipher"));
	label("");
	printf("level %s: %s%s%s\n", text_of(tls, "level"), verdict_of(tls),
	    *text_of(tls, "why") != '\0' ? ": " : "", text_of(tls, "why"));
	json_array_foreach(json_object_get(tls, "chain"), i, one)
	    print_certificate(one, i == 0);
}

static void
print_dane(const json_t *report)
{
	const json_t *dane = json_object_get(report, "dane"), *one;
	const json_t *records = json_object_get(dane, "records");
	const char *why = text_of(dane, "why");
	size_t i;

	if (!json_is_object(dane))
		return;
	label("DANE");
	printf("level %s", text_of(dane, "level"));
	if (strcmp(text_of(dane, "level"), text_of(dane, "comes_to")) != 0)
		printf(" comes to %s", text_of(dane, "comes_to"));
	printf("%s%s\n", *why != '\0' ? ": " : "", why);
	json_array_foreach(records, i, one)
	{
		label("");
		printf("TLSA of %s: %s%s\n", text_of(dane, "host"),
		    json_string_value(one),
		    strcmp(json_string_value(one), text_of(dane, "matched")) ==
			    0
			? " (matches)"
			: "");
	}
}

/* ---- what it offers, whether it knows us --------------------------------- */

static void
print_offers(const json_t *report)
{
	static const struct {
		const char *key, *word;
	} limits[] = {{"mailmax", "MAILMAX"}, {"rcptmax", "RCPTMAX"},
	    {"rcptdomainmax", "RCPTDOMAINMAX"}};
	const json_t *offers = json_object_get(report, "offers");
	bool is_first = true;

	print_list("before TLS", json_object_get(report, "ehlo_before"));
	print_list("after TLS", json_object_get(report, "ehlo_after"));
	for (size_t i = 0; i < sizeof(limits) / sizeof(limits[0]); i++) {
		int64_t n = number_of(offers, limits[i].key);

		if (n == 0)
			continue;
		if (is_first)
			label("LIMITS");
		printf(
		    "%s%s %" PRId64, is_first ? "" : ", ", limits[i].word, n);
		is_first = false;
	}
	if (!is_first)
		printf(" (the lane keeps to them)\n");
	if (is_true(offers, "mt_priority")) {
		label("MT-PRIORITY");
		printf("offered%s%s (see lane_mt_priority)\n",
		    *text_of(offers, "mt_profile") != '\0' ? ", profile " : "",
		    text_of(offers, "mt_profile"));
	}
}

static void
print_login(const json_t *report)
{
	const json_t *login = json_object_get(report, "login");

	label("login");
	if (is_true(login, "is_in"))
		printf("%s: accepted\n", text_of(login, "mechanism"));
	else if (*text_of(login, "why") != '\0')
		printf("%s\n", text_of(login, "why"));
	else if (is_true(login, "has"))
		printf("%s%snot accepted\n", text_of(login, "mechanism"),
		    *text_of(login, "mechanism") != '\0' ? ": " : "");
	else
		printf("none is configured for it\n");
}

static void
print_round_trips(const json_t *report)
{
	int64_t saved_us, trips = 0, us = 0;
	int saved = advice_wrapped_saves(report, &saved_us);
	char time[SAY_SIZE], each[SAY_SIZE];
	const json_t *one;
	size_t i;

	json_array_foreach(json_object_get(report, "steps"), i, one)
	{
		trips += number_of(one, "round_trips");
		us += number_of(one, "us");
	}
	if (trips == 0)
		return;
	label("round trips");
	printf("%" PRId64 " in %s, one takes %s\n", trips,
	    say_time(us, time, sizeof(time)),
	    say_time(number_of(report, "rtt_us"), each, sizeof(each)));
	if (saved == 0)
		return;
	label("");
	printf("port 465 would save %d of them, %s of each new connection, "
	       "where it is offered\n",
	    saved, say_time(saved_us, time, sizeof(time)));
}

/* ---- all of it ----------------------------------------------------------- */

static void
print_remarks(const json_t *report)
{
	const json_t *one;
	size_t i;

	json_array_foreach(json_object_get(report, "problems"), i, one)
	{
		label("problem");
		printf(
		    "%s: the lane defers its mail\n", json_string_value(one));
	}
	json_array_foreach(json_object_get(report, "remarks"), i, one)
	{
		label("logged");
		printf("%s\n", json_string_value(one));
	}
}

static void
print_advice(const json_t *report)
{
	const json_t *one;
	size_t i;

	json_array_foreach(json_object_get(report, "advice"), i, one)
	{
		const char *now = text_of(one, "now");

		label(i == 0 ? "advice" : "");
		printf("%s = %s%s%s%s: %s\n", text_of(one, "name"),
		    text_of(one, "value"), *now != '\0' ? " (it is " : "", now,
		    *now != '\0' ? ")" : "", text_of(one, "why"));
	}
}

static void
print_report(const json_t *report)
{
	const json_t *failure = json_object_get(report, "failure");

	if (*text_of(report, "lane") != '\0')
		printf("lane %s: ", text_of(report, "lane"));
	printf("%s%s%s%s\n", text_of(report, "nexthop"),
	    *text_of(report, "nexthop_from") != '\0' ? " (" : "",
	    text_of(report, "nexthop_from"),
	    *text_of(report, "nexthop_from") != '\0' ? ")" : "");
	print_remarks(report);
	print_addresses(report);
	print_dane(report);
	if (json_array_size(json_object_get(report, "steps")) > 0) {
		print_steps(report);
		print_tls(report);
		print_offers(report);
		print_login(report);
		print_round_trips(report);
	}
	print_advice(report);
	label("result");
	if (is_true(report, "is_ready"))
		printf("ready for mail\n");
	else
		printf("no mail can go there: %s (%s)\n",
		    text_of(failure, "text"), text_of(failure, "status"));
}

/* ---- the verb ------------------------------------------------------------ */

static void
add_words(json_t *report, const struct site_lane *lane, const char *nexthop)
{
	const char *name = lane->set.lane_smarthost[0] != '\0'
			       ? "lane_smarthost"
			       : "relayhost";
	char place[ORIGIN_SIZE], from[ORIGIN_SIZE + 32];

	CHECK(json_object_set_new(
		  report, "lane", json_string(lane->opt.service_name)) == 0 &&
	      json_object_set_new(report, "advice", advice_of(lane, report)) ==
		  0);
	if (nexthop[0] != '\0')
		return;
	(void)snprintf(from, sizeof(from), "%s, %s", name,
	    origin_place_of_parameter(lane, name, place, sizeof(place)));
	CHECK(json_object_set_new(report, "nexthop_from", json_string(from)) ==
	      0);
}

static int
probe_one(const struct command *c, const struct prober *p,
    const struct site_lane *lane, const char *nexthop)
{
	char error[512];
	json_t *report =
	    prober_run(p, lane, nexthop, NULL, error, sizeof(error));
	int status = EX_OK;

	if (report == NULL) {
		command_complain("%s", error);
		return EX_UNAVAILABLE;
	}
	if (lane != NULL)
		add_words(report, lane, nexthop);
	if (!is_true(report, "is_ready") ||
	    json_array_size(json_object_get(report, "problems")) > 0)
		status = STATUS_NOT_READY;
	if (c->is_json) {
		command_print_json(report);
	} else {
		print_report(report);
		json_decref(report);
	}
	return status;
}

/* The worst of all lanes. */
static int
probe_all(const struct command *c, const struct prober *p)
{
	int status = EX_OK;

	for (size_t i = 0; i < c->site.lane_count; i++) {
		int one = probe_one(c, p, &c->site.lanes[i], "");

		if (one > status)
			status = one;
	}
	if (c->site.lane_count == 0)
		return probe_one(c, p, NULL, "");
	return status;
}

int
probe_run(struct command *c)
{
	const struct site_lane *lane =
	    c->argc > 0 ? site_find(&c->site, c->argv[0]) : NULL;
	struct prober p;
	char error[512];
	int status;

	if (c->argc == 2 && lane == NULL) {
		command_complain("there is no lane \"%s\" in %s/master.cf",
		    c->argv[0], c->site.set.config_directory);
		return EX_USAGE;
	}
	if (!prober_open(&p, &c->site, error, sizeof(error))) {
		command_complain("%s", error);
		return EX_CONFIG;
	}
	if (c->argc == 0)
		status = probe_all(c, &p);
	else if (lane != NULL)
		status = probe_one(c, &p, lane, c->argc == 2 ? c->argv[1] : "");
	else
		status = probe_one(c, &p,
		    c->site.lane_count > 0 ? &c->site.lanes[0] : NULL,
		    c->argv[0]);
	prober_close(&p);
	return status;
}
