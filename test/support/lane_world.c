#include "test/support/lane_world_private.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "agent/engine/lane_state.h"
#include "agent/engine/message.h"
#include "common/base/clock.h"
#include "common/base/log.h"
#include "common/base/mem.h"

enum {
	BEGIN_MS = 1000000,
	TURNS_WITHOUT_TIME_MAX = 10000,
};

static char text_none[] = "";
static char text_relayhost[] = "[relay.test]";
static char text_rcpt[] = "rcpt";

/* Log lines about what the model does would drown the test's own. */
static void
swallow(void *ctx, enum log_level level, const char *line)
{
	(void)ctx;
	if (level >= LOG_LEVEL_ERROR)
		print_error("%s\n", line);
}

/* ---- events ------------------------------------------------------------ */

struct event *
world_event_new(struct world_conn *c, enum event_kind kind, int64_t at_ms)
{
	struct event *e = mem_zalloc(sizeof(*e));
	struct list *after = c->w->events.prev;

	e->at_ms = at_ms;
	e->kind = kind;
	e->conn = c;
	buf_init(&e->octets, WORLD_OUT_MAX);
	while (after != &c->w->events && event_of(after)->at_ms > at_ms)
		after = after->prev;
	list_insert_after(after, &e->link);
	return e;
}

void
world_event_free(struct event *e)
{
	list_remove(&e->link);
	buf_fini(&e->octets);
	mem_free(e);
}

void
world_conn_free(struct world_conn *c)
{
	struct world *w = c->w;

	list_each_safe (link, &w->events)
		if (event_of(link)->conn == c)
			world_event_free(event_of(link));
	list_remove(&c->link);
	w->conns_now--;
	buf_fini(&c->in);
	mem_free(c);
}

/* ---- mail -------------------------------------------------------------- */

static void
hand_in(struct world *w, size_t number)
{
	struct world_message *m = &w->messages[number];
	struct request *req = mem_zalloc(sizeof(*req));

	m->w = w;
	m->req = req;
	m->submitted_ms = world_ms(w);
	m->rcpt_count = w->rcpts_each;
	(void)snprintf(m->sender, sizeof(m->sender), "%c%zu@%s",
	    w->logins > 0 ? 's' : 'm',
	    w->logins > 0 ? number % w->logins : number,
	    w->sender_domain != NULL ? w->sender_domain : "from.test");
	req->queue_name = "active";
	(void)snprintf(m->queue_id, sizeof(m->queue_id), "4WoRlD%zu", number);
	req->queue_id = m->queue_id;
	req->nexthop = w->nexthop;
	req->encoding = ENCODING_7BIT;
	req->sender = m->sender;
	req->envelope_id = req->sasl_username = "";
	req->received_us = w->now.us;
	req->size = 200;
	req->rcpt_count = req->rcpt_due = m->rcpt_count;
	req->rcpts = mem_zarray(m->rcpt_count, sizeof(*req->rcpts));
	for (size_t i = 0; i < m->rcpt_count; i++) {
		(void)snprintf(m->rcpts[i], sizeof(m->rcpts[i]), "r%zu.%zu@%s",
		    number, i,
		    w->domains_of[i] != NULL ? w->domains_of[i] : "to.test");
		req->rcpts[i].address = m->rcpts[i];
		req->rcpts[i].original = req->rcpts[i].orcpt = "";
	}
	queue_source_init(&m->source, buf_slice(&w->file));
	req->message = message_new(queue_source_of(&m->source), 0, 998);
	req->owner = m;
	lane_submit(w->lane, req, w->now);
}

static void
submit_one(struct world *w)
{
	assert_true(w->count < w->max);
	hand_in(w, w->count++);
}

void
world_submit(struct world *w, size_t count)
{
	for (size_t i = 0; i < count; i++)
		submit_one(w);
}

void
world_feed(struct world *w, size_t count)
{
	w->backlog += count;
	w->is_kick_due = true;
}

static bool
may_feed(const struct world *w)
{
	int64_t until;

	return w->backlog > 0 && lane_may_admit(w->lane, 0, w->now.us, &until);
}

static void
feed(struct world *w)
{
	while (may_feed(w)) {
		w->backlog--;
		submit_one(w);
	}
}

/* ---- life -------------------------------------------------------------- */

void
world_init(struct world *w)
{
	*w = (struct world){0};
	log_set_sink(swallow, NULL);
	w->set.relayhost = text_relayhost;
	w->set.lane_smarthost = text_none;
	w->set.smtp_address_verify_target = text_rcpt;
	w->set.lane_message_rate_limit = text_none;
	w->set.lane_recipient_rate_limit = text_none;
	w->set.lane_byte_rate_limit = text_none;
	w->set.lane_connection_limit = 20;
	w->set.lane_messages_per_connection = 50;
	w->set.lane_connection_idle_limit_us = 30 * US_PER_S;
	w->set.lane_connection_age_limit_us = 900 * US_PER_S;
	w->set.lane_pipeline_depth = 10;
	w->set.lane_pipeline_bytes = 1 << 20;
	w->set.lane_chunking = true;
	w->set.lane_wait_limit_us = 300 * US_PER_S;
	w->set.lane_parked_limit = 100;
	w->set.lane_request_limit_us = 3600 * US_PER_S;
	w->set.smtp_line_length_limit = 998;
	w->set.smtp_rset_timeout_us = 20 * US_PER_S;
	w->set.smtp_helo_timeout_us = 300 * US_PER_S;
	w->set.smtp_mail_timeout_us = 300 * US_PER_S;
	w->set.smtp_rcpt_timeout_us = 300 * US_PER_S;
	w->set.smtp_data_init_timeout_us = 120 * US_PER_S;
	w->set.smtp_data_xfer_timeout_us = 180 * US_PER_S;
	w->set.smtp_data_done_timeout_us = 600 * US_PER_S;
	w->ehlo.is_esmtp = w->ehlo.pipelining = w->ehlo.chunking = true;
	(void)snprintf(w->peer.host, sizeof(w->peer.host), "relay.test");
	(void)snprintf(w->peer.addr, sizeof(w->peer.addr), "192.0.2.1");
	(void)snprintf(w->peer.port, sizeof(w->peer.port), "25");
	w->server.rtt_ms = 100;
	w->server.dial_rtts = 7;
	w->patience_ms = 10000;
	w->now.us = BEGIN_MS * US_PER_MS;
	w->now.wall.tv_sec = 1700000000;
	w->timer_ms = INT64_MAX;
	w->nexthop = "";
	w->rcpts_each = 1;
	list_init(&w->conns);
	list_init(&w->events);
	buf_init(&w->file, 4096);
	(void)queue_put_str(&w->file, RECORD_TYPE_NORM, "Subject: model");
	(void)queue_put_str(&w->file, RECORD_TYPE_NORM, "");
	(void)queue_put_str(&w->file, RECORD_TYPE_NORM, "hello");
	(void)queue_put_str(&w->file, RECORD_TYPE_XTRA, "");
}

void
world_set_rules(struct world *w, const char *text)
{
	struct buf errors;

	buf_init(&errors, 4096);
	w->rules = rules_new();
	if (!rules_add_text(w->rules, "rules", slice_str(text), &errors))
		fail_msg("%.*s", (int)buf_len(&errors), buf_slice(&errors).p);
	buf_fini(&errors);
}

void
world_set_domains(struct world *w, const char *text)
{
	char error[256];

	w->domains = domains_new();
	if (!domains_add_list(w->domains, text, NULL, error, sizeof(error)))
		fail_msg("%s", error);
}

static void
begin_lane(struct world *w)
{
	struct lane_ops ops = world_lane_ops(w);
	char error[256];

	w->lane =
	    lane_new(&w->set, &ops, 12345, w->now.us, error, sizeof(error));
	if (w->lane == NULL)
		fail_msg("%s", error);
	lane_set_rules(w->lane, w->rules);
	lane_set_domains(w->lane, w->domains);
	if (w->on_lane != NULL)
		w->on_lane(w);
}

void
world_open(struct world *w, size_t max)
{
	w->max = max;
	w->arrival_max = max * 2;
	w->messages = mem_zarray(max, sizeof(*w->messages));
	w->arrivals_ms = mem_zarray(w->arrival_max, sizeof(*w->arrivals_ms));
	begin_lane(w);
}

static void
end_lane(struct world *w)
{
	lane_abort(w->lane, "end of test", w->now);
	for (size_t i = 0; i < w->count; i++) {
		struct world_message *m = &w->messages[i];

		if (m->req == NULL)
			continue;
		if (lane_drop(w->lane, m->req)) {
			request_free(&m->req);
			continue;
		}
		/* Some of its recipients are decided: not for dropping. */
		while (m->req->lane_data != NULL) {
			lane_take_waiting(w->lane, m->req->lane_data);
			lane_forget(m->req->lane_data);
		}
		request_free(&m->req);
	}
	lane_kick(w->lane, w->now);
	lane_free(&w->lane);
	assert_int_equal(w->in_hand, 0);
	list_each_safe (link, &w->conns)
		world_conn_free(list_entry(link, struct world_conn, link));
}

void
world_fini(struct world *w)
{
	w->backlog = 0;
	end_lane(w);
	rules_free(&w->rules);
	domains_free(&w->domains);
	mem_free(w->messages);
	mem_free(w->arrivals_ms);
	buf_fini(&w->file);
	log_set_sink(NULL, NULL);
}

/* The link pulls, and the kernel takes all of it. */
static void
flush(struct world *w, struct world_conn *c)
{
	struct session *s = c->ls->session;
	struct event *e;
	bool was_quiet = session_octets_unanswered(s) == 0;
	size_t before;

	c->has_output = false;
	if (session_is_over(s))
		return;
	if (session_load(s) > w->load_peak)
		w->load_peak = session_load(s);
	e = world_event_new(
	    c, EVENT_TO_SERVER, world_ms(w) + w->server.rtt_ms / 2);
	do {
		before = buf_len(&e->octets);
		session_output(s, &e->octets, 65536, w->now);
	} while (buf_len(&e->octets) > before);
	if (was_quiet && session_octets_unanswered(s) > 0)
		w->is_kick_due = true; /* a stage timer runs now */
	session_written(s, buf_len(&e->octets), w->now);
	if (buf_len(&e->octets) == 0)
		world_event_free(e);
}

/* Looking again must not find anything more to do. */
static void
check_at_rest(struct world *w)
{
	size_t waiting = lane_waiting(w->lane);
	size_t in_flight = lane_in_flight(w->lane);

	w->is_checking = true;
	lane_kick(w->lane, w->now);
	w->is_checking = false;
	assert_int_equal(lane_waiting(w->lane), waiting);
	assert_int_equal(lane_in_flight(w->lane), in_flight);
	assert_true(lane_sessions(w->lane) + lane_dialing(w->lane) <=
		    (size_t)w->set.lane_connection_limit);
}

static void
kick(struct world *w)
{
	w->is_kick_due = false;
	feed(w);
	w->kicks++;
	lane_kick(w->lane, w->now);
	check_at_rest(w);
	w->timer_ms = clock_ms_from_us(lane_deadline_us(w->lane));
}

static bool
is_unpaced(const struct world *w)
{
	const struct settings *set = &w->set;

	return !set->lane_adaptive && w->domains == NULL &&
	       strcmp(set->lane_message_rate_limit, text_none) == 0 &&
	       strcmp(set->lane_recipient_rate_limit, text_none) == 0 &&
	       strcmp(set->lane_byte_rate_limit, text_none) == 0;
}

void
world_settle(struct world *w)
{
	bool again = true;

	for (int turns = 0; again; turns++) {
		assert_true(turns < TURNS_WITHOUT_TIME_MAX);
		/* A lane that has just answered everything has room again,
		 * and there may be no event to tell. */
		again = w->is_kick_due || may_feed(w);
		if (again)
			kick(w);
		list_each (link, &w->conns) {
			struct world_conn *c =
			    list_entry(link, struct world_conn, link);

			if (!c->has_output)
				continue;
			flush(w, c);
			again = true;
		}
	}
	/* A kick that somebody forgot to ask for: mail, or a deadline, would
	 * wait for something else to happen. Where there are rates time itself
	 * makes more dials worth while, which is no reason to look. */
	if (is_unpaced(w)) {
		assert_true(
		    w->timer_ms <= clock_ms_from_us(lane_deadline_us(w->lane)));
		check_at_rest(w);
	}
}

/* As upstream does it. */
static void
refuse_dial(struct world *w, struct world_conn *c, const char *reply)
{
	struct route *route = c->route;
	int64_t patience_us = w->set.lane_wait_limit_us;
	static const struct peer relay = {
	    .host = "relay.test", .addr = "192.0.2.1", .port = "25"};
	char text[WORLD_TEXT_SIZE];
	struct dsn dsn;

	(void)snprintf(text, sizeof(text), "%s", reply);
	dsn_set(
	    &dsn, text[0] == '5' ? "5.7.0" : "4.7.0", "host said: %s", text);
	world_conn_free(c);
	w->conns_refused++;
	(void)lane_judge_dial(w->lane, route, w->server.dial_stage,
	    (int)strtol(text, NULL, 10), text, w->now, &patience_us);
	if (w->server.is_refusal_final)
		patience_us = 0;
	lane_dial_failed(w->lane, route,
	    &(struct route_failure){.dsn = &dsn,
		.peer = &relay,
		.reply = text,
		.patience_us = patience_us,
		.kind = {.is_final = w->server.is_refusal_final}},
	    w->now);
}

/* The first host is w->peer. */
static struct peer
peer_of(const struct world *w, const struct route *r)
{
	struct peer peer = w->peer;

	if (r->number > 1)
		(void)snprintf(peer.host, sizeof(peer.host), "%.*s",
		    (int)strcspn(r->nexthops + 1, "]"), r->nexthops + 1);
	if (*r->past != '\0')
		peer.addr[strlen(peer.addr) - 1]++;
	return peer;
}

/* As if a message had gone before. */
static void
teach(struct route *r)
{
	static const struct {
		enum manner_answer answer;
		const char *reply;
	} words[] = {
	    {ANSWER_RSET, "250 2.0.0 ok\r\n"},
	    {ANSWER_MAIL, "250 2.1.0 ok\r\n"},
	    {ANSWER_RCPT, "250 2.1.5 ok\r\n"},
	    {ANSWER_END, "250 2.0.0 taken\r\n"},
	};

	for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++) {
		struct reply_parser parser;
		size_t used;

		reply_parser_init(&parser);
		assert_int_equal(reply_feed(&parser, words[i].reply,
				     strlen(words[i].reply), &used),
		    REPLY_DONE);
		manner_learn(&r->manner, words[i].answer,
		    manner_wording(reply_get(&parser)));
		reply_parser_fini(&parser);
	}
}

static void
on_dialled(struct world *w, struct world_conn *c)
{
	struct route *route = c->route;
	struct peer peer = peer_of(w, route);
	const char *reply =
	    w->server.answer_dial != NULL ? w->server.answer_dial(w) : NULL;
	struct dsn dsn;

	if (reply != NULL) {
		refuse_dial(w, c, reply);
	} else if (w->server.has_expired) {
		dsn_set(&dsn, "4.7.5",
		    "Server certificate not verified: certificate has expired");
		world_conn_free(c);
		lane_dial_failed(w->lane, route,
		    &(struct route_failure){.dsn = &dsn,
			.peer = &peer,
			.kind = {.is_certificate = true}},
		    w->now);
	} else if (w->server.is_down || (w->server.is_host_down != NULL &&
					    w->server.is_host_down(w, route))) {
		dsn_set(&dsn, "4.4.1",
		    "connect to relay.test[192.0.2.1]:25: refused");
		world_conn_free(c);
		w->conns_refused++;
		lane_dial_failed(w->lane, route,
		    &(struct route_failure){.dsn = &dsn,
			.patience_us = w->patience_ms * US_PER_MS,
			.kind = {.is_transport = true}},
		    w->now);
	} else if (c->is_one_too_many) {
		refuse_dial(w, c, "421 too many connections");
	} else {
		if (!w->is_stranger)
			teach(route);
		route_set_no_login(route, w->no_login, w->ehlo.auth);
		c->ls = w->leads
			    ? lane_add_login(w->lane, route, &w->ehlo, &peer,
				  slice_str("AUTH PLAIN x\r\n"), c, w->now)
			    : lane_add_session(w->lane, route, &w->ehlo, &peer,
				  w->has_login, c, w->now);
	}
}

static void
happen(struct world *w, struct event *e)
{
	struct world_conn *c = e->conn;
	struct slice octets = buf_slice(&e->octets);

	list_remove(&e->link);
	switch (e->kind) {
	case EVENT_DIALLED:
		on_dialled(w, c);
		break;
	case EVENT_TO_SERVER:
		assert_true(buf_add_slice(&c->in, octets));
		while (!c->is_closed && world_server_eat(c))
			continue;
		break;
	case EVENT_TO_LANE:
		session_input(c->ls->session, octets.p, octets.n, w->now);
		break;
	case EVENT_CLOSE:
		session_closed(
		    c->ls->session, true, "connection closed", w->now);
		w->is_kick_due = true;
		break;
	}
	world_event_free(e);
}

/* The next thing that happens, not after end_ms; false: nothing does. */
static bool
step(struct world *w, int64_t end_ms)
{
	int64_t next = w->timer_ms;

	if (!list_is_empty(&w->events) &&
	    event_of(w->events.next)->at_ms < next)
		next = event_of(w->events.next)->at_ms;
	if (next > end_ms)
		return false;
	if (next > world_ms(w)) {
		w->now.wall.tv_sec += (next - world_ms(w)) / 1000;
		w->now.us = next * US_PER_MS;
	}
	while (!list_is_empty(&w->events) &&
	       event_of(w->events.next)->at_ms <= world_ms(w))
		happen(w, event_of(w->events.next));
	if (w->timer_ms <= world_ms(w)) {
		w->timer_ms = INT64_MAX;
		lane_on_timer(w->lane, w->now);
		w->is_kick_due = true;
	}
	world_settle(w);
	return true;
}

static void
live(struct world *w, int64_t end_ms, bool until_done)
{
	int64_t last = -1;
	int turns = 0;

	world_settle(w);
	while (!(until_done && w->backlog == 0 && w->done == w->count) &&
	       step(w, end_ms)) {
		turns = world_ms(w) == last ? turns + 1 : 0;
		last = world_ms(w);
		/* A deadline that is never met spins the real loop. */
		assert_true(turns < TURNS_WITHOUT_TIME_MAX);
	}
}

void
world_run(struct world *w, int64_t ms)
{
	int64_t end = world_ms(w) + ms;

	live(w, end, false);
	w->now.us = end * US_PER_MS;
}

void
world_finish(struct world *w, int64_t ms)
{
	live(w, world_ms(w) + ms, true);
	assert_int_equal(w->backlog, 0);
	assert_int_equal(w->done, w->count);
}

void
world_cut_all(struct world *w)
{
	list_each (link, &w->conns) {
		struct world_conn *c =
		    list_entry(link, struct world_conn, link);

		if (c->ls == NULL)
			continue;
		c->is_closed = true;
		session_closed(
		    c->ls->session, false, "connection reset", w->now);
	}
	w->is_kick_due = true;
	world_settle(w);
}

/* What the kernel has of a dead process is delivered all the same. */
static void
deliver_what_was_sent(struct world *w)
{
	int64_t now_us = w->now.us;

	list_each (link, &w->events) {
		struct event *e = event_of(link);

		if (e->kind != EVENT_TO_SERVER)
			continue;
		w->now.us = e->at_ms * US_PER_MS;
		assert_true(buf_add_slice(&e->conn->in, buf_slice(&e->octets)));
		while (!e->conn->is_closed && world_server_eat(e->conn))
			continue;
	}
	w->now.us = now_us;
}

void
world_restart(struct world *w)
{
	deliver_what_was_sent(w);
	w->is_dying = true;
	end_lane(w);
	w->is_dying = false;
	w->timer_ms = INT64_MAX;
	begin_lane(w);
	for (size_t i = 0; i < w->count; i++)
		if (w->messages[i].done_ms == 0)
			hand_in(w, i);
	w->is_kick_due = true;
	world_settle(w);
}

struct route *
world_route(struct world *w)
{
	assert_true(w->lane->routes.next != &w->lane->routes &&
		    w->lane->routes.next->next == &w->lane->routes);
	return route_of(w->lane->routes.next);
}

void
world_check_all_sent(struct world *w)
{
	for (size_t i = 0; i < w->count; i++) {
		const struct world_message *m = &w->messages[i];

		for (size_t j = 0; j < m->rcpt_count; j++) {
			assert_int_equal(m->outcomes[j], OUTCOME_SENT);
			assert_int_equal(m->taken[j], 1);
		}
	}
	assert_int_equal(w->done, w->count);
	assert_true(w->conns_peak <= (size_t)w->set.lane_connection_limit);
}
