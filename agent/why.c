#include "agent/why.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include <jansson.h>

#include "agent/engine/lane_why.h"
#include "common/base/clean.h"
#include "common/base/clock.h"
#include "common/base/mem.h"

/* PARTS_SHOWN of the longest fit in ASKPROTO_ANSWER_MAX if they have few
 * recipients each, as they do when they are many. */
enum { RCPTS_SHOWN = 20, PARTS_SHOWN = 40 };

struct answering {
	const struct lane *lane;
	struct slice rcpt;
	struct moment now;
	json_t *parts;
	int parts_left; /* there is no room for them */
};

static bool
is_asked_for(const struct answering *a, const char *address)
{
	return a->rcpt.n == 0 ||
	       (strlen(address) == a->rcpt.n &&
		   strncasecmp(address, a->rcpt.p, a->rcpt.n) == 0);
}

static void
put(json_t *o, const char *key, const char *text)
{
	(void)json_object_set_new(o, key, clean_string(text));
}

static json_t *
new_part(const char *state, json_t *rcpts)
{
	json_t *o = json_object();

	put(o, "state", state);
	(void)json_object_set_new(o, "recipients", rcpts);
	return o;
}

static void
add_rcpt(json_t *rcpts, const char *address)
{
	if (json_array_size(rcpts) < RCPTS_SHOWN)
		(void)json_array_append_new(rcpts, clean_string(address));
}

static void
on_part(void *ctx, const struct lane_why *why, const struct transaction *t)
{
	struct answering *a = ctx;
	json_t *rcpts = json_array(), *o;

	for (size_t i = 0; i < t->count; i++) {
		const char *address = t->req->rcpts[t->rcpts[i]].address;

		if (transaction_is_open(t, i) && is_asked_for(a, address))
			add_rcpt(rcpts, address);
	}
	if (json_array_size(rcpts) == 0) {
		json_decref(rcpts);
		return;
	}
	if (json_array_size(a->parts) == PARTS_SHOWN) {
		json_decref(rcpts);
		a->parts_left++;
		return;
	}
	o = new_part(why->peer != NULL ? "on the wire" : "waiting", rcpts);
	put(o, "waits", board_wait_name(why->wait));
	put(o, "because", why->text);
	put(o, "parameter", why->parameter);
	put(o, "nexthop", why->route->nexthops);
	if (why->peer != NULL) {
		put(o, "session", why->peer->session);
		put(o, "smarthost", why->peer->addr);
	} else {
		(void)json_object_set_new(
		    o, "place", json_integer((json_int_t)why->place));
		(void)json_object_set_new(
		    o, "of", json_integer((json_int_t)why->of));
	}
	(void)json_object_set_new(o, "expected_s",
	    json_integer(why->expected_us < 0
			     ? -1
			     : (json_int_t)(why->expected_us + US_PER_S - 1) /
				   US_PER_S));
	(void)json_object_set_new(o, "since_s",
	    json_integer((a->now.us - t->req->received_us) / US_PER_S));
	(void)json_array_append_new(a->parts, o);
}

/* Tables are asked for its addresses: no lane has it yet. */
static bool
is_looked_up(const struct request *req, const struct recipient *r)
{
	return req->lane_data == NULL && r->state == RCPT_WAITING;
}

/* It has its verdict, ... */
static bool
is_decided(const struct request *req, const struct recipient *r)
{
	(void)req;
	return r->state == RCPT_DECIDED;
}

/* ... which is being told to others. */
static bool
is_being_reported(const struct request *req, const struct recipient *r)
{
	(void)req;
	return r->state == RCPT_HANDED_OVER;
}

static void
add_those(struct answering *a, const struct request *req, const char *state,
    bool (*is_meant)(const struct request *req, const struct recipient *r))
{
	json_t *rcpts = json_array();

	for (size_t i = 0; i < req->rcpt_count; i++) {
		const struct recipient *r = &req->rcpts[i];

		if (is_meant(req, r) && is_asked_for(a, r->address))
			add_rcpt(rcpts, r->address);
	}
	if (json_array_size(rcpts) > 0)
		(void)json_array_append_new(a->parts, new_part(state, rcpts));
	else
		json_decref(rcpts);
}

static void
on_request(void *ctx, const struct request *req)
{
	struct answering *a = ctx;

	lane_why_each(a->lane, req, a->now, on_part, a);
	add_those(a, req, "being looked up", is_looked_up);
	add_those(a, req, "decided, and told with the rest", is_decided);
	add_those(a, req, "being reported", is_being_reported);
}

void
why_answer(const struct lane *lane, const struct intake *intake,
    struct slice queue_id, struct slice rcpt, struct buf *out)
{
	struct answering a = {
	    .lane = lane,
	    .rcpt = rcpt,
	    .now = clock_moment(),
	    .parts = json_array(),
	};
	json_t *document = json_object();
	char *text;

	intake_each(intake, queue_id, on_request, &a);
	(void)json_object_set_new(document, "parts", a.parts);
	(void)json_object_set_new(
	    document, "parts_left", json_integer(a.parts_left));
	text = json_dumps(document, JSON_COMPACT);
	(void)buf_addf(out, "ok %s", text != NULL ? text : "{}");
	free(text);
	json_decref(document);
}
