#include "agent/smarthost/survey.h"

#include <jansson.h>
#include <openssl/ssl.h>
#include <stdio.h>
#include <string.h>

#include "agent/smarthost/candidate.h"
#include "agent/smarthost/dane_tls.h"
#include "agent/smarthost/dial.h"
#include "agent/smarthost/link.h"
#include "agent/smarthost/tlsreport.h"
#include "common/base/clean.h"
#include "common/base/clock.h"
#include "common/base/log.h"
#include "common/base/mem.h"
#include "common/base/words.h"
#include "common/smtp/reply.h"

enum {
	QUIT_LIMIT_MS = 2000,
	LINES_MAX = 200, /* of a reply to EHLO */
	ADDRESSES_MAX = 100,
};

struct survey {
	struct loop *loop;
	struct dialer *dialer;
	json_t *report, *steps, *tried, *addresses;
	struct candidates *candidates;
	struct dial *dial;
	struct loop_timer *timer;
	struct link *link; /* that was ready, on its way out */
	int64_t last_us; /* end of the step before */
	json_int_t connect_us, ehlo_us; /* of this address; the shorter EHLO */
	bool has_ehlo;
	int limit_ms;
	bool has_said_quit, is_over;
};

static void
set(struct survey *s, const char *name, json_t *value)
{
	CHECK(json_object_set_new(s->report, name, value) == 0);
}

static void
add(json_t *list, json_t *value)
{
	CHECK(value != NULL && json_array_append_new(list, value) == 0);
}

static void
end(struct survey *s)
{
	s->is_over = true;
	loop_stop(s->loop);
}

/* ---- what is told of replies -------------------------------------------- */

static json_t *
said(const struct dial_note *note)
{
	char text[REPLY_LINE_MAX];

	if (note->reply == NULL)
		return clean_string("");
	if (note->stage == DIAL_AUTH)
		(void)snprintf(text, sizeof(text), "%d", note->reply->code);
	else
		reply_text(note->reply, text, sizeof(text));
	return clean_string(text);
}

/* The lines behind their codes. */
static json_t *
lines_said(const struct reply *reply)
{
	struct lines lines = lines_of(buf_slice(&reply->text));
	json_t *list = json_array();
	struct slice line;

	while (lines_next(&lines, &line) && json_array_size(list) < LINES_MAX) {
		char *text = line.n > 4 ? mem_strndup(line.p + 4, line.n - 4)
					: mem_strdup("");

		add(list, clean_string(text));
		mem_free(text);
	}
	return list;
}

/* ---- the steps ----------------------------------------------------------- */

/* How often the wire was crossed to and fro (RFC 8446 2, RFC 5246 7.3). */
static int
round_trips_of(const struct dial_note *note)
{
	if (note->ssl == NULL || note->facts->is_resumed)
		return 1;
	return SSL_version(note->ssl) >= TLS1_3_VERSION ? 1 : 2;
}

static void
add_step(struct survey *s, const struct dial_note *note)
{
	add(s->steps,
	    json_pack("{s:s, s:I, s:i, s:o}", "what",
		dial_stage_name(note->stage), "us",
		(json_int_t)(note->now_us - s->last_us), "round_trips",
		round_trips_of(note), "said", said(note)));
	s->last_us = note->now_us;
}

static json_t *
place_of(const struct peer *peer)
{
	return json_pack("{s:o, s:s, s:s}", "host", clean_string(peer->host),
	    "address", peer->addr, "port", peer->port);
}

/* What the level comes to by the host's records, and those. */
static void
note_dane(struct survey *s, const struct dial_note *note)
{
	json_t *records = json_array();
	char text[TLSA_TEXT_SIZE];

	for (size_t i = 0; note->dane != NULL && i < note->dane->records->count;
	     i++)
		add(records, json_string(tlsa_text(
				 &note->dane->records->records[i], text)));
	set(s, "dane",
	    json_pack("{s:s, s:s, s:o, s:o, s:o, s:s}", "level",
		note->asked_level, "comes_to", note->level, "why",
		clean_string(note->dane_why), "host",
		clean_string(note->dane != NULL ? note->dane->names[0] : ""),
		"records", records, "matched", ""));
}

static bool
is_about_dane(const struct dial_note *note)
{
	return strncmp(note->asked_level, "dane", 4) == 0;
}

/* An address is in hand: what was told of another one is not of this one. */
static void
begin_address(struct survey *s, const struct dial_note *note)
{
	CHECK(json_array_clear(s->steps) == 0);
	add(s->tried, place_of(note->peer));
	set(s, "ehlo_before", json_array());
	set(s, "ehlo_after", json_array());
	set(s, "tls", json_null());
	set(s, "dane", json_null());
	if (is_about_dane(note))
		note_dane(s, note);
	set(s, "rtt_us", json_integer(0));
	set(s, "login",
	    json_pack("{s:b, s:s, s:b, s:s}", "has", note->has_login,
		"mechanism", "", "is_in", 0, "why", ""));
	s->last_us = note->now_us;
}

static json_t *
last_tried(struct survey *s)
{
	size_t n = json_array_size(s->tried);

	return n > 0 ? json_array_get(s->tried, n - 1) : NULL;
}

static void
note_failure(struct survey *s, const struct dial_note *note)
{
	json_t *one = last_tried(s);

	/* Without a connection: its policy, its login or its token. */
	if (one == NULL || json_object_get(one, "failed") != NULL) {
		one = place_of(note->peer);
		add(s->tried, one);
	}
	CHECK(json_object_set_new(
		  one, "failed", clean_string(note->failure->text)) == 0);
	if (note->stage == DIAL_DANE)
		note_dane(s, note);
}

/* A proxy in between answers connect(), not EHLO; of its replies the quicker
 * one, since a server may look things up for the other. */
static void
note_distance(struct survey *s, enum dial_stage stage)
{
	size_t n = json_array_size(s->steps);
	json_int_t us = json_integer_value(
	    json_object_get(json_array_get(s->steps, n - 1), "us"));

	if (stage == DIAL_CONNECT)
		s->connect_us = s->ehlo_us = us;
	else if (stage == DIAL_EHLO)
		s->ehlo_us = s->has_ehlo && s->ehlo_us < us ? s->ehlo_us : us;
	s->has_ehlo =
	    stage == DIAL_EHLO || (s->has_ehlo && stage != DIAL_CONNECT);
	set(s, "rtt_us",
	    json_integer(
		s->ehlo_us > s->connect_us ? s->ehlo_us : s->connect_us));
}

static void
note_tls(struct survey *s, const struct dial_note *note)
{
	json_t *dane = json_object_get(s->report, "dane");
	char matched[TLSA_TEXT_SIZE];

	set(s, "tls", tlsreport_of(note->ssl, note->facts, note->level));
	if (note->dane == NULL || !json_is_object(dane))
		return;
	dane_tls_matched(note->ssl, matched);
	CHECK(json_object_set_new(dane, "matched", json_string(matched)) == 0);
}

static void
on_note(void *ctx, const struct dial_note *note)
{
	struct survey *s = ctx;

	if (note->failure != NULL) {
		note_failure(s, note);
		return;
	}
	if (note->stage == DIAL_RESOLVE) {
		begin_address(s, note);
		return;
	}
	add_step(s, note);
	note_distance(s, note->stage);
	if (note->ssl != NULL)
		note_tls(s, note);
	if (note->stage == DIAL_EHLO)
		set(s,
		    json_is_null(json_object_get(s->report, "tls"))
			? "ehlo_before"
			: "ehlo_after",
		    lines_said(note->reply));
	if (note->stage == DIAL_AUTH && note->mech != NULL)
		CHECK(json_object_set_new(json_object_get(s->report, "login"),
			  "mechanism", clean_string(note->mech)) == 0);
}

/* ---- the end ------------------------------------------------------------- */

static void
on_goodbye_closed(void *ctx, enum link_end how, const char *text)
{
	(void)how;
	(void)text;
	end(ctx);
}

static void
on_goodbye_input(void *ctx, const char *p, size_t n)
{
	(void)ctx;
	(void)p;
	(void)n;
}

static void
on_goodbye_output(void *ctx, struct buf *out)
{
	struct survey *s = ctx;

	if (!s->has_said_quit)
		(void)buf_add_str(out, "QUIT\r\n");
	s->has_said_quit = true;
}

static void
on_goodbye_written(void *ctx, size_t n)
{
	(void)ctx;
	(void)n;
}

static void
say_goodbye(struct survey *s)
{
	static const struct link_ops ops = {on_goodbye_input, on_goodbye_output,
	    on_goodbye_written, on_goodbye_closed};

	link_set_ops(s->link, &ops, s);
	link_kick(s->link);
	loop_timer_at(s->timer, loop_now_ms(s->loop) + QUIT_LIMIT_MS);
}

static json_t *
words_of(const char *text)
{
	struct slice rest = slice_str(text), word;
	json_t *list = json_array();

	while (words_next(&rest, &word)) {
		char *one = mem_strndup(word.p, word.n);

		add(list, clean_string(one));
		mem_free(one);
	}
	return list;
}

static json_t *
offers_of(const struct ehlo *ehlo)
{
	return json_pack("{s:b, s:b, s:b, s:o, s:I, s:i, s:i, s:i, s:b, s:o}",
	    "pipelining", ehlo->pipelining, "chunking", ehlo->chunking,
	    "starttls", ehlo->starttls, "auth", words_of(ehlo->auth_mechs),
	    "size", (json_int_t)ehlo->size_limit, "mailmax",
	    (int)ehlo->limits_mailmax, "rcptmax", (int)ehlo->limits_rcptmax,
	    "rcptdomainmax", (int)ehlo->limits_rcptdomainmax, "mt_priority",
	    ehlo->mt_priority, "mt_profile", clean_string(ehlo->mt_profile));
}

static json_t *
failure_of(const struct dial_result *r)
{
	return json_pack("{s:s, s:s, s:o, s:i, s:b}", "stage",
	    dial_stage_name(r->stage), "status", r->dsn.status, "text",
	    clean_string(r->dsn.text), "code", r->reply_code, "is_config",
	    r->is_config_error);
}

static void
on_done(void *ctx, struct dial_result *result)
{
	struct survey *s = ctx;
	json_t *login = json_object_get(s->report, "login");

	s->dial = NULL;
	s->link = result->link;
	result->link = NULL;
	set(s, "offers", offers_of(&result->ehlo));
	set(s, "tcp",
	    json_pack("{s:I, s:I}", "window", (json_int_t)result->window,
		"segment", (json_int_t)result->segment));
	set(s, "is_ready", json_boolean(s->link != NULL));
	if (s->link == NULL)
		set(s, "failure", failure_of(result));
	(void)json_object_set_new(
	    login, "is_in", json_boolean(result->is_authenticated));
	(void)json_object_set_new(login, "why",
	    clean_string(result->no_login != NULL ? result->no_login : ""));
	dial_result_fini(result);
	if (s->link != NULL)
		say_goodbye(s);
	else
		end(s);
}

/* ---- from the names to the dial ------------------------------------------ */

static void
dial_it(struct survey *s)
{
	const char *nexthop =
	    json_string_value(json_object_get(s->report, "nexthop"));
	struct dial_target target = {
	    .nexthops = nexthop,
	    .level = CANDIDATE_ALL_LEVELS,
	    .past = "",
	    .sender = "",
	    .session_id = 1,
	};

	s->dial = dialer_dial(s->dialer, &target, on_done, s);
}

static void
on_address(void *ctx, const struct candidate *candidate)
{
	struct survey *s = ctx;
	const struct dsn *problem;

	if (candidate == NULL ||
	    json_array_size(s->addresses) == ADDRESSES_MAX) {
		problem = candidates_problem(s->candidates);
		set(s, "no_address",
		    clean_string(problem != NULL ? problem->text : ""));
		set(s, "resolve_us",
		    json_integer(loop_now_us(s->loop) - s->last_us));
		candidates_free(&s->candidates);
		dial_it(s);
		return;
	}
	add(s->addresses, json_pack("{s:o, s:s, s:i, s:i}", "host",
			      clean_string(candidate->host), "address",
			      candidate->addr, "port", (int)candidate->port,
			      "preference", (int)candidate->preference));
	candidates_next(s->candidates, on_address, s);
}

static void
on_time_over(void *ctx)
{
	struct survey *s = ctx;
	char text[100];

	if (s->link == NULL) {
		(void)snprintf(text, sizeof(text), "no end within %d s",
		    s->limit_ms / 1000);
		set(s, "failure",
		    json_pack("{s:s, s:s, s:s, s:i, s:b}", "stage", "time",
			"status", "4.4.2", "text", text, "code", 0, "is_config",
			0));
	}
	end(s);
}

static void
begin(struct survey *s, const char *nexthop)
{
	s->report =
	    json_pack("{s:o, s:b, s:n, s:[], s:[], s:n, s:n, s:I}", "nexthop",
		clean_string(nexthop), "is_ready", 0, "failure", "ehlo_before",
		"ehlo_after", "tls", "dane", "rtt_us", (json_int_t)0);
	CHECK(s->report != NULL);
	s->addresses = json_array();
	s->tried = json_array();
	s->steps = json_array();
	set(s, "addresses", s->addresses);
	set(s, "tried", s->tried);
	set(s, "steps", s->steps);
	set(s, "offers", offers_of(&(struct ehlo){.is_esmtp = false}));
	set(s, "tcp", json_pack("{s:i, s:i}", "window", 0, "segment", 0));
	set(s, "login",
	    json_pack("{s:b, s:s, s:b, s:s}", "has", 0, "mechanism", "",
		"is_in", 0, "why", ""));
	/* The loop's time stands still until it runs. */
	s->last_us = clock_mono_us();
	s->candidates =
	    candidates_new(s->loop, s->dialer->resolver, s->dialer->set,
		&s->dialer->rests, nexthop, CANDIDATE_ALL_LEVELS, "");
	candidates_next(s->candidates, on_address, s);
}

json_t *
survey_run(
    struct loop *loop, struct dialer *dialer, const char *nexthop, int limit_ms)
{
	struct survey s = {
	    .loop = loop, .dialer = dialer, .limit_ms = limit_ms};

	dialer_observe(dialer, on_note, &s);
	s.timer = loop_timer_new(loop, on_time_over, &s);
	loop_timer_at(s.timer, loop_now_ms(loop) + limit_ms);
	begin(&s, nexthop);
	loop_run(loop);
	CHECK(s.is_over);
	dialer_observe(dialer, NULL, NULL);
	candidates_free(&s.candidates);
	dial_cancel(&s.dial);
	link_free(&s.link);
	loop_timer_free(&s.timer);
	return s.report;
}
