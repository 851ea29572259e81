/* why: what one message waits for. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sysexits.h>

#include <jansson.h>

#include "common/base/clean.h"
#include "common/base/log.h"
#include "common/shared/askproto.h"
#include "monitor/ahead.h"
#include "monitor/asking.h"
#include "monitor/forecast.h"
#include "monitor/health.h"
#include "monitor/origin.h"
#include "monitor/postlane/command.h"
#include "monitor/queuefind.h"
#include "monitor/say.h"
#include "monitor/standstill.h"
#include "monitor/transports.h"

enum { STATUS_UNKNOWN = 1 };

struct asking {
	const struct command *c;
	const char *id, *rcpt; /* rcpt NULL: all of them */
	struct model *m;
	json_t *document;
	const struct model_lane *silent; /* it did not answer; NULL: all did */
};

static void
put(json_t *o, const char *key, const char *text)
{
	(void)json_object_set_new(o, key, clean_string(text));
}

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

/* ---- in a lane ------------------------------------------------------------
 */

/* What the lane says; NULL: it does not have it. */
static json_t *
ask_lane(struct asking *a, const struct model_lane *lane)
{
	char question[ASKPROTO_QUESTION_MAX];
	char *answer = malloc(ASKPROTO_ANSWER_MAX);
	json_t *found = NULL;

	CHECK(answer != NULL);
	(void)snprintf(question, sizeof(question), "why %s %.700s", a->id,
	    a->rcpt != NULL ? a->rcpt : "");
	switch (asking_ask(lane->directory, lane->name, question, answer,
	    ASKPROTO_ANSWER_MAX)) {
	case ASKING_OK:
		found = json_loads(answer, 0, NULL);
		clean_all(found);
		break;
	case ASKING_SILENT:
		command_complain("lane %s: its process (%" PRIu64
				 ") does not answer",
		    lane->name, lane->pid);
		a->silent = lane;
		break;
	case ASKING_REFUSED:
		command_complain("lane %s: %s", lane->name, answer);
		break;
	case ASKING_NOBODY:
		break;
	}
	free(answer);
	if (json_array_size(json_object_get(found, "parts")) > 0)
		return found;
	json_decref(found);
	return NULL;
}

/* Who asked for another value of the setting, which is in force; NULL: nobody.
 */
static const struct steer_order *
order_in_place_of(const struct model_lane *lane, const char *parameter)
{
	for (size_t i = 0; i < lane->order_count; i++) {
		const struct steer_order *o = &lane->orders[i];

		if ((o->verb == STEER_RATE &&
			strcmp(parameter, "lane_message_rate_limit") == 0) ||
		    (o->verb == STEER_CONNECTIONS &&
			strcmp(parameter, "lane_connection_limit") == 0))
			return o;
	}
	return NULL;
}

static void
put_place(const struct model_lane *lane, const char *parameter, json_t *part)
{
	const struct steer_order *o = order_in_place_of(lane, parameter);
	char place[ORIGIN_SIZE + 128];

	if (o != NULL)
		(void)snprintf(place, sizeof(place), "postlane %s %s, by %s",
		    steer_verb_name(o->verb), o->value, o->who);
	else
		(void)origin_place_of_parameter(
		    lane->site, parameter, place, sizeof(place));
	put(part, "set_in", place);
}

/* Which setting it is, and who has the slots. */
static void
complete_part(
    const struct asking *a, const struct model_lane *lane, json_t *part)
{
	const char *parameter = text_of(part, "parameter");
	json_t *holders;

	if (*parameter != '\0' && lane->site != NULL)
		put_place(lane, parameter, part);
	if (strcmp(text_of(part, "waits"), "slot") != 0 || lane->account < 0)
		return;
	holders = json_array();
	for (int i = 0; i < a->m->accounts[lane->account].slots.member_count;
	     i++) {
		const struct slotsfile_member *member =
		    &a->m->accounts[lane->account].slots.members[i];

		(void)json_array_append_new(holders,
		    json_pack("{s:s, s:i, s:i}", "lane", member->name, "holds",
			member->holds, "reserve", member->reserve));
	}
	(void)json_object_set_new(part, "slots_held_by", holders);
}

static bool
find_in_lanes(struct asking *a)
{
	for (size_t i = 0; i < a->m->lane_count; i++) {
		const struct model_lane *lane = &a->m->lanes[i];
		json_t *found, *part;
		size_t k;

		/* Of one that cannot be seen it is seen then. */
		if (lane->process != MODEL_RUNNING &&
		    !model_is_unseen(a->m, lane))
			continue;
		found = ask_lane(a, lane);
		if (found == NULL)
			continue;
		json_array_foreach(json_object_get(found, "parts"), k, part)
		    complete_part(a, lane, part);
		put(a->document, "where", "lane");
		put(a->document, "lane", lane->name);
		(void)json_object_update(a->document, found);
		json_decref(found);
		return true;
	}
	return false;
}

/* ---- in a queue ------------------------------------------------------------
 */

static void
put_rcpts(struct asking *a, const struct envelope *e)
{
	const struct site *site = &a->c->site;
	json_t *rcpts = json_array();

	for (size_t i = 0; i < e->rcpt_count; i++) {
		char reason[QUEUEFIND_REASON] = "";
		json_t *o;

		if (a->rcpt != NULL && strcasecmp(a->rcpt, e->rcpts[i]) != 0)
			continue;
		o = json_object();
		put(o, "address", e->rcpts[i]);
		if (queuefind_reason(
			site, a->id, e->rcpts[i], reason, sizeof(reason)))
			put(o, "reason", reason);
		(void)json_array_append_new(rcpts, o);
	}
	(void)json_object_set_new(a->document, "recipients", rcpts);
	(void)json_object_set_new(a->document, "recipients_left",
	    json_integer((json_int_t)e->rcpts_left));
}

static void
put_transport(struct asking *a, const struct envelope *e)
{
	const struct site *site = &a->c->site;
	struct transports *t =
	    transports_open(site->set.queue_directory, "rewrite");
	const char *name = e->filter;

	if (name == NULL && e->rcpt_count > 0)
		name = transports_of(t, e->sender, e->rcpts[0]);
	if (name != NULL)
		put(a->document, "transport", name);
	transports_close(&t);
}

/* Is it the lane of "transport:nexthop"? */
static bool
is_lane_of(const struct model_lane *lane, const char *transport)
{
	const char *service =
	    lane->site != NULL ? lane->site->opt.service_name : "";
	size_t n = strcspn(transport, ":");

	return n > 0 && strlen(service) == n &&
	       strncmp(service, transport, n) == 0;
}

/* Its part of those that came before: as the lane's of all that was looked
 * at. */
static size_t
place_of(const struct asking *a, const struct look *look,
    const struct backlog_share *share, const char *queue)
{
	size_t all = look->backlog.total[BACKLOG_ACTIVE];
	size_t lanes = share->messages[BACKLOG_ACTIVE];

	if (strcmp(queue, "incoming") == 0) {
		all += look->backlog.total[BACKLOG_INCOMING];
		lanes += share->messages[BACKLOG_INCOMING];
	}
	if (all == 0)
		return 0;
	return (size_t)((double)ahead_count(&a->c->site, queue, a->id) *
			(double)lanes / (double)all);
}

/* ".example.com" is all below it. */
static bool
is_of_domain(const char *address, const char *domain)
{
	const char *at = strrchr(address, '@');
	size_t n = strlen(domain), len;

	if (at == NULL)
		return false;
	len = strlen(++at);
	if (domain[0] == '.')
		return len > n && strcasecmp(at + len - n, domain) == 0;
	return strcasecmp(at, domain) == 0;
}

/* The pause or drain that holds mail for one of the recipients in the document;
 * NULL: none does. */
static const struct steer_order *
order_that_holds(const struct asking *a, const struct model_lane *lane)
{
	const json_t *rcpts = json_object_get(a->document, "recipients");
	const json_t *rcpt;
	size_t k;

	for (size_t i = 0; i < lane->order_count; i++) {
		const struct steer_order *o = &lane->orders[i];

		if (o->verb != STEER_PAUSE && o->verb != STEER_DRAIN)
			continue;
		if (o->domain[0] == '\0')
			return o;
		json_array_foreach(
		    rcpts, k, rcpt) if (is_of_domain(text_of(rcpt, "address"),
					    o->domain)) return o;
	}
	return NULL;
}

static json_t *
held_by(const struct steer_order *o, const struct model_lane *lane)
{
	char resume[STEER_DOMAIN_SIZE + 64];
	json_t *held = json_object();

	if (o->domain[0] == '\0')
		(void)snprintf(resume, sizeof(resume), "postlane resume %s",
		    lane->site != NULL ? lane->site->opt.service_name
				       : lane->name);
	else
		(void)snprintf(resume, sizeof(resume), "postlane resume %s%s",
		    strchr(o->domain, '.') == NULL ? "domain:" : "", o->domain);
	put(held, "verb", steer_verb_name(o->verb));
	put(held, "domain", o->domain);
	put(held, "by", o->who);
	(void)json_object_set_new(
	    held, "until_wall_ms", json_integer(o->until_s * 1000));
	put(held, "resume", resume);
	return held;
}

/* What stands in the way of a deferred message, and what ends that. */
static void
put_obstacles(
    const struct asking *a, const struct model_lane *lane, json_t *turn)
{
	const struct steer_order *o = order_that_holds(a, lane);
	const struct model_alarm *alarm = standstill_alarm(a->m, lane);
	const char *remedy = NULL;
	char text[1024];

	if (o != NULL)
		(void)json_object_set_new(turn, "held", held_by(o, lane));
	if (alarm != NULL && standstill_instead(lane, alarm) == NULL)
		remedy =
		    standstill_remedy(lane, alarm->what, text, sizeof(text));
	if (remedy != NULL)
		put(turn, "remedy", remedy);
}

static json_t *
turn_of(const struct asking *a, const struct look *look,
    const struct model_lane *lane, const char *queue)
{
	const struct backlog_share *share = look_share(look, lane);
	struct forecast f;
	struct health health;
	json_t *o = json_object();

	health_of(&health, look->m, lane, &look->backlog, look->postfix);
	put(o, "lane", lane->name);
	put(o, "health", health_name(health.state));
	put(o, "sentence", health.text);
	if (strcmp(queue, "deferred") == 0)
		put_obstacles(a, lane, o);
	if (share == NULL || strcmp(queue, "deferred") == 0)
		return o;
	forecast_behind(&f, look->m, lane, place_of(a, look, share, queue));
	(void)json_object_set_new(
	    o, "before", json_integer((json_int_t)f.messages - 1));
	(void)json_object_set_new(o, "turn_s", json_integer(f.empty_s));
	(void)json_object_set_new(o, "turn_least_s", json_integer(f.limit_s));
	put(o, "limit", f.limit);
	(void)json_object_set_new(
	    o, "begin_wall_ms", json_integer(f.begin_wall_ms));
	(void)json_object_set_new(o, "is_held", json_boolean(f.is_held));
	(void)json_object_set_new(o, "is_unseen", json_boolean(f.is_unseen));
	put(o, "unknown", f.unknown);
	return o;
}

/* A lane that does not answer may have it. */
static bool
may_be_in_lane(const struct asking *a)
{
	const char *where = text_of(a->document, "where");

	if (a->silent == NULL)
		return false;
	return strcmp(where, "unknown") == 0 ||
	       (strcmp(where, "active") == 0 &&
		   is_lane_of(a->silent, text_of(a->document, "transport")));
}

/* What its lane is about, and when its turn comes. */
static void
put_turn(struct asking *a, const char *queue)
{
	struct look look;

	look_begin(&look, a->c);
	for (size_t i = 0; i < look.m->lane_count; i++)
		if (is_lane_of(
			&look.m->lanes[i], text_of(a->document, "transport")))
			(void)json_object_set_new(a->document, "goes_to",
			    turn_of(a, &look, &look.m->lanes[i], queue));
	look_end(&look);
}

/* False: error says why it cannot be told; "": there is none. */
static bool
find_in_queue(struct asking *a, char *error, size_t n)
{
	struct queuefind f;

	if (!queuefind_open(&f, &a->c->site, a->id, error, n))
		return false;
	put(a->document, "where", f.queue);
	if (f.has_envelope) {
		put_rcpts(a, &f.envelope);
		put_transport(a, &f.envelope);
		(void)json_object_set_new(a->document, "arrival_wall_ms",
		    json_integer(f.envelope.arrival_wall_ms));
		if (strcmp(f.queue, "active") == 0 ||
		    strcmp(f.queue, "incoming") == 0 ||
		    strcmp(f.queue, "deferred") == 0)
			put_turn(a, f.queue);
		if (strcmp(f.queue, "deferred") == 0)
			(void)json_object_set_new(a->document,
			    "next_try_wall_ms",
			    json_integer(f.envelope.next_try_wall_ms));
	}
	queuefind_close(&f);
	return true;
}

/* ---- in words
 * ---------------------------------------------------------------- */

static void
print_part(const json_t *part)
{
	const json_t *holders = json_object_get(part, "slots_held_by");
	int64_t expected_s = number_of(part, "expected_s");
	char text[SAY_SIZE];
	const json_t *each;
	size_t i;

	json_array_foreach(json_object_get(part, "recipients"), i, each)
	    printf("  %s\n", json_string_value(each));
	printf("    state      %s%s%s\n", text_of(part, "state"),
	    *text_of(part, "smarthost") != '\0' ? ", to " : "",
	    text_of(part, "smarthost"));
	if (strcmp(text_of(part, "state"), "waiting") != 0)
		return;
	printf("    waits for  %s: %s\n", text_of(part, "waits"),
	    text_of(part, "because"));
	if (*text_of(part, "set_in") != '\0')
		printf("    set in     %s\n", text_of(part, "set_in"));
	json_array_foreach(holders, i, each)
	    printf("    slots      lane %s holds %" PRId64 ", %" PRId64
		   " are kept for it\n",
		text_of(each, "lane"), number_of(each, "holds"),
		number_of(each, "reserve"));
	printf("    place      %" PRId64 " of %" PRId64 ", its turn is %s%s\n",
	    number_of(part, "place"), number_of(part, "of"),
	    expected_s < 0 ? "not to be foreseen" : "expected in ",
	    expected_s < 0 ? ""
			   : say_ms(expected_s * 1000, text, sizeof(text)));
}

static void
print_lane(const struct asking *a)
{
	const json_t *part;
	size_t i;

	printf("%s: in lane %s\n", a->id, text_of(a->document, "lane"));
	json_array_foreach(json_object_get(a->document, "parts"), i, part)
	    print_part(part);
	if (number_of(a->document, "parts_left") > 0)
		printf("  and %" PRId64 " more parts for other recipients\n",
		    number_of(a->document, "parts_left"));
}

/* An attempt before that would end as the last one did. */
static bool
print_obstacles(const struct asking *a)
{
	const json_t *turn = json_object_get(a->document, "goes_to");
	const json_t *held = json_object_get(turn, "held");
	int64_t until = number_of(held, "until_wall_ms");
	bool is_drain = strcmp(text_of(held, "verb"), "drain") == 0;
	const char *remedy = text_of(turn, "remedy");
	char text[SAY_SIZE];

	if (held != NULL)
		printf("  %s%s%s%s by %s%s%s; %s: %s\n",
		    *text_of(held, "domain") != '\0' ? "mail to " : "",
		    text_of(held, "domain"),
		    *text_of(held, "domain") != '\0' ? " is " : "",
		    is_drain ? "drained" : "paused", text_of(held, "by"),
		    until > 0 ? " until " : "",
		    until > 0 ? say_clock(until, model_wall_ms(a->m), text,
				    sizeof(text))
			      : "",
		    until > 0 ? "before that" : "until",
		    text_of(held, "resume"));
	if (*remedy != '\0')
		printf("  what to do: %s\n", remedy);
	return held != NULL || *remedy != '\0';
}

static void
print_next_try(const struct asking *a)
{
	int64_t next = number_of(a->document, "next_try_wall_ms");
	int64_t now = model_wall_ms(a->m);
	char text[SAY_SIZE], left[SAY_SIZE];

	if (print_obstacles(a))
		return;
	if (next > now)
		printf("  next attempt at %s, in %s; at once: postqueue -i "
		       "%s\n",
		    say_clock(next, now, text, sizeof(text)),
		    say_ms(next - now, left, sizeof(left)), a->id);
	else if (next > 0)
		printf("  next attempt with the next run of the queue; at "
		       "once: postqueue -i %s\n",
		    a->id);
}

static void
print_turn(const struct asking *a, const json_t *turn)
{
	int64_t least_s = number_of(turn, "turn_least_s");
	int64_t turn_s = number_of(turn, "turn_s");
	int64_t begin = number_of(turn, "begin_wall_ms");
	const char *and;
	char text[SAY_SIZE];

	printf("  lane %s: %s: %s\n", text_of(turn, "lane"),
	    text_of(turn, "health"), text_of(turn, "sentence"));
	if (json_object_get(turn, "before") == NULL)
		return;
	printf("  place      about %" PRId64 " came before it: its turn is ",
	    number_of(turn, "before"));
	if (json_is_true(json_object_get(turn, "is_held"))) {
		printf("not before it is resumed\n");
		return;
	}
	if (*text_of(turn, "unknown") != '\0') {
		printf("not known: %s\n", text_of(turn, "unknown"));
		return;
	}
	if (begin > 0)
		printf("not before %s",
		    say_clock(begin, model_wall_ms(a->m), text, sizeof(text)));
	else if (turn_s < 0 && least_s == 0)
		printf("not to be foreseen, nothing was sent in the last "
		       "minute");
	and = begin > 0 ? ", " : "";
	if (least_s > 0)
		printf("%sin %s at least (%s%s)", and,
		    say_ms(least_s * 1000, text, sizeof(text)),
		    text_of(turn, "limit"), begin > 0 ? " from then on" : "");
	and = begin > 0 || least_s > 0 ? ", " : "";
	if (turn_s >= 0)
		printf("%sin %s at its pace of late", and,
		    say_ms(turn_s * 1000, text, sizeof(text)));
	printf("\n");
}

static void
print_queue(const struct asking *a)
{
	static const struct {
		const char *queue, *words;
	} rows[] = {
	    {"active", "with the queue manager, which has not given it to a "
		       "lane yet: before it comes what it got earlier for the "
		       "same transport"},
	    {"silent", "with the queue manager, or in the lane that does not "
		       "answer"},
	    {"incoming", "come in, and not yet taken by the queue manager"},
	    {"deferred", "deferred, tried again later"},
	    {"hold", "on hold, by an administrator or an access table: it "
		     "stays until postsuper -H"},
	    {"corrupt", "set aside by Postfix as a damaged file"},
	};
	const char *where = text_of(a->document, "where");
	bool is_deferred = strcmp(where, "deferred") == 0;
	/* The queue manager writes none when it was told nothing. */
	const char *missing =
	    is_deferred ? ": no reason was recorded, as when the process that "
			  "had it is killed"
			: "";
	const json_t *rcpt;
	size_t i;

	if (may_be_in_lane(a))
		where = "silent";
	for (i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
		if (strcmp(rows[i].queue, where) == 0)
			printf("%s: %s\n", a->id, rows[i].words);
	json_array_foreach(json_object_get(a->document, "recipients"), i, rcpt)
	    printf("  %s%s%s\n", text_of(rcpt, "address"),
		*text_of(rcpt, "reason") != '\0' ? ": " : missing,
		text_of(rcpt, "reason"));
	if (*text_of(a->document, "transport") != '\0')
		printf("  transport %s\n", text_of(a->document, "transport"));
	if (json_object_get(a->document, "goes_to") != NULL)
		print_turn(a, json_object_get(a->document, "goes_to"));
	if (is_deferred)
		print_next_try(a);
}

/* ------------------------------------------------------------------------------
 */

static int
answer(struct asking *a)
{
	char error[256];

	if (!find_in_lanes(a) && !find_in_queue(a, error, sizeof(error))) {
		if (error[0] != '\0') {
			command_complain("%s", error);
			return strncmp(error, "bad", 3) == 0 ? EX_USAGE
							     : EX_NOPERM;
		}
		put(a->document, "where", "unknown");
	}
	if (a->c->is_json)
		command_print_json(json_incref(a->document));
	else if (strcmp(text_of(a->document, "where"), "lane") == 0)
		print_lane(a);
	else if (strcmp(text_of(a->document, "where"), "unknown") == 0)
		printf("%s: not in the queue: it was delivered or returned, "
		       "or never was here; grep %s in the log\n",
		    a->id, a->id);
	else
		print_queue(a);
	if (may_be_in_lane(a))
		return EX_TEMPFAIL;
	return strcmp(text_of(a->document, "where"), "unknown") == 0
		   ? STATUS_UNKNOWN
		   : EX_OK;
}

int
why_run(struct command *c)
{
	struct asking a = {
	    .c = c,
	    .id = c->argv[0],
	    .rcpt = c->argc > 1 ? c->argv[1] : NULL,
	    .m = model_read(&c->site, clock_moment()),
	    .document = json_object(),
	};
	int status;

	(void)json_object_set_new(
	    a.document, "schema", json_integer(MODEL_SCHEMA));
	put(a.document, "queue_id", a.id);
	status = answer(&a);
	json_decref(a.document);
	model_free(&a.m);
	return status;
}
