#include "test/model/mail_world.h"

#include <stdio.h>
#include <string.h>

#include "agent/engine/lane_state.h"
#include "agent/engine/message.h"
#include "common/base/clock.h"
#include "common/base/log.h"
#include "common/base/mem.h"
#include "test/model/mail_world_private.h"

static char text_none[] = "";
static char text_relayhost[] = "[relay.test]";
static char text_rcpt[] = "rcpt";

/* ---- the world before a run ---------------------------------------------
 */

static void
set_up(struct mail_world *w)
{
	struct settings *set = &w->set;

	set->relayhost = text_relayhost;
	set->lane_smarthost = text_none;
	set->smtp_address_verify_target = text_rcpt;
	set->lane_message_rate_limit = text_none;
	set->lane_recipient_rate_limit = text_none;
	set->lane_byte_rate_limit = text_none;
	set->lane_connection_limit = w->model->connections;
	set->lane_messages_per_connection = 50;
	set->lane_connection_idle_limit_us = 30 * US_PER_S;
	set->lane_connection_age_limit_us = 900 * US_PER_S;
	set->lane_pipeline_depth = LEDGER_MAILS;
	set->lane_pipeline_bytes = 1 << 20;
	set->lane_chunking = true;
	set->lane_wait_limit_us = 300 * US_PER_S;
	set->lane_parked_limit = 100;
	set->lane_request_limit_us = 3600 * US_PER_S;
	set->smtp_line_length_limit = 998;
	set->smtp_rset_timeout_us = 20 * US_PER_S;
	set->smtp_mail_timeout_us = set->smtp_rcpt_timeout_us = 300 * US_PER_S;
	set->smtp_data_init_timeout_us = 120 * US_PER_S;
	set->smtp_data_xfer_timeout_us = 180 * US_PER_S;
	set->smtp_data_done_timeout_us = 600 * US_PER_S;
	w->ehlo.is_esmtp = true;
	w->ehlo.pipelining = w->model->mode != SESSION_LOCKSTEP;
	w->ehlo.chunking = w->model->mode == SESSION_BDAT;
	(void)snprintf(w->peer.host, sizeof(w->peer.host), "relay.test");
	(void)snprintf(w->peer.addr, sizeof(w->peer.addr), "192.0.2.1");
	(void)snprintf(w->peer.port, sizeof(w->peer.port), "25");
}

static void
put_line(struct mail_world *w, size_t number, const char *line)
{
	(void)queue_put_str(&w->files[number], RECORD_TYPE_NORM, line);
	CHECK(buf_addf(&w->contents[number], "%s\r\n", line));
}

static void
make_content(struct mail_world *w, size_t number)
{
	bool is_large = w->model->is_large && number == 1;
	char line[LINE_OCTETS + 1];

	buf_init(&w->files[number], CONTENT_MAX);
	buf_init(&w->contents[number], CONTENT_MAX);
	(void)snprintf(line, sizeof(line), "Subject: message %zu", number);
	put_line(w, number, line);
	put_line(w, number, "");
	memset(line, 'a' + (int)number, LINE_OCTETS);
	line[LINE_OCTETS] = '\0';
	for (size_t n = 0; is_large && n < LARGE_OCTETS; n += LINE_OCTETS)
		put_line(w, number, line);
	(void)snprintf(line, sizeof(line), ".end of %zu", number);
	put_line(w, number, line);
	(void)queue_put_str(&w->files[number], RECORD_TYPE_XTRA, "");
}

/* The log's lines are told with the dialogue. */
static void
on_line(void *ctx, enum log_level level, const char *line)
{
	const struct mail_world *w = ctx;

	if (level >= LOG_LEVEL_FATAL)
		(void)fprintf(stderr, "%s\n", line);
	else
		model_tell(w, "log: %s", line);
}

struct mail_world *
mail_world_new(const struct model *model, struct explore *explore)
{
	struct mail_world *w = mem_zalloc(sizeof(*w));

	w->model = model;
	w->x = explore;
	set_up(w);
	list_init(&w->conns);
	for (size_t i = 0; i < LEDGER_MAILS; i++)
		make_content(w, i);
	log_set_sink(on_line, w);
	return w;
}

void
mail_world_free(struct mail_world **w)
{
	for (size_t i = 0; i < LEDGER_MAILS; i++) {
		buf_fini(&(*w)->files[i]);
		buf_fini(&(*w)->contents[i]);
	}
	log_set_sink(NULL, NULL);
	mem_free(*w);
	*w = NULL;
}

uint64_t
mail_world_events(const struct mail_world *w)
{
	return w->events;
}

const struct ledger *
mail_world_ledger(const struct mail_world *w)
{
	return &w->ledger;
}

void
mail_world_tell(struct mail_world *w, bool is_told)
{
	w->is_told = is_told;
	log_set_verbose(is_told);
}

/* ---- mail ---------------------------------------------------------------
 */

/* What is undecided of the message, as the queue manager hands it in. */
static void
hand_in(struct mail_world *w, size_t number)
{
	struct mail *m = &w->mails[number];
	const struct ledger_mail *known = &w->ledger.mails[number];
	struct request *req = mem_zalloc(sizeof(*req));

	m->req = req;
	m->left = 0;
	(void)snprintf(m->sender, sizeof(m->sender), "m%zu@from.test", number);
	(void)snprintf(m->queue_id, sizeof(m->queue_id), "4MoDeL%zu", number);
	req->queue_name = "active";
	req->queue_id = m->queue_id;
	req->nexthop = "";
	req->encoding = ENCODING_7BIT;
	req->sender = m->sender;
	req->envelope_id = req->sasl_username = "";
	req->received_us = w->now.us;
	req->size = (int64_t)buf_len(&w->contents[number]);
	req->rcpts = mem_zarray(LEDGER_RCPTS, sizeof(*req->rcpts));
	for (size_t i = 0; i < known->rcpt_count; i++) {
		if (known->rcpts[i].is_decided)
			continue;
		(void)snprintf(m->rcpts[i], sizeof(m->rcpts[i]),
		    "r%zu.%zu@to.test", number, i);
		req->rcpts[m->left].address = m->rcpts[i];
		req->rcpts[m->left].original = "";
		req->rcpts[m->left].orcpt = "";
		m->index[m->left++] = i;
	}
	req->rcpt_count = req->rcpt_due = m->left;
	queue_source_init(&m->source, buf_slice(&w->files[number]));
	req->message = message_new(queue_source_of(&m->source), 0, 998);
	req->owner = m;
	lane_submit(w->lane, req, w->now);
}

/* What can be had back from the lane goes back to the queue manager. */
static void
take_back(struct mail_world *w)
{
	for (size_t i = 0; i < LEDGER_MAILS; i++) {
		struct mail *m = &w->mails[i];

		if (m->req != NULL && lane_drop(w->lane, m->req))
			request_free(&m->req);
	}
}

/* ---- processes ----------------------------------------------------------
 */

static void
teach(struct mail_world *w, struct route *r)
{
	static const struct {
		enum manner_answer answer;
		const char *reply;
	} known[] = {
	    {ANSWER_RSET, "250 2.0.0 ok\r\n"},
	    {ANSWER_MAIL, "250 2.1.0 sender ok\r\n"},
	    {ANSWER_RCPT, "250 2.1.5 recipient ok\r\n"},
	    {ANSWER_END, "250 2.0.0 taken as 4Model1\r\n"},
	};

	for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++) {
		struct reply_parser parser;
		size_t used;

		reply_parser_init(&parser);
		CHECK(reply_feed(&parser, known[i].reply,
			  strlen(known[i].reply), &used) == REPLY_DONE);
		manner_learn(&r->manner, known[i].answer,
		    manner_wording(reply_get(&parser)));
		reply_parser_fini(&parser);
	}
	if (w->model->mode == SESSION_GROUP)
		(void)manner_slow_down(&r->manner, SESSION_GROUP, w->now.us);
}

/* As an earlier process left it: mail goes in windows from the first. */
static void
remember(struct mail_world *w)
{
	struct route *r = route_of(w->lane->routes.next);

	CHECK(w->lane->routes.next != &w->lane->routes);
	r->depth = LEDGER_MAILS;
	if (!w->model->is_stranger || w->model->mode == SESSION_GROUP)
		teach(w, r);
}

static void
begin_process(struct mail_world *w)
{
	struct lane_ops ops = model_lane_ops(w);
	char error[256];

	model_tell(w, "a process begins");
	w->life = LIFE_SERVING;
	w->timer_us = w->finale_us = INT64_MAX;
	w->was_aborted = false;
	w->lane =
	    lane_new(&w->set, &ops, 12345, w->now.us, error, sizeof(error));
	CHECK(w->lane != NULL);
	for (size_t i = 0; i < LEDGER_MAILS; i++)
		if (!ledger_is_decided(&w->ledger, i))
			hand_in(w, i);
	remember(w);
	w->is_kick_due = true;
}

/* The process is gone, and what it had with it. */
static void
end_process(struct mail_world *w)
{
	w->is_dying = true;
	list_each (link, &w->conns) {
		conn_of(link)->server.is_deaf = false;
		server_step_out(&conn_of(link)->server);
	}
	lane_abort(w->lane, "the process ends", w->now);
	take_back(w);
	for (size_t i = 0; i < LEDGER_MAILS; i++) {
		struct mail *m = &w->mails[i];

		if (m->req == NULL)
			continue;
		/* Some of its recipients are decided. */
		while (m->req->lane_data != NULL) {
			lane_take_waiting(w->lane, m->req->lane_data);
			lane_forget(m->req->lane_data);
		}
		request_free(&m->req);
	}
	lane_kick(w->lane, w->now);
	lane_free(&w->lane);
	list_each_safe (link, &w->conns)
		model_conn_free(conn_of(link));
	w->is_dying = false;
}

/* As upstreams_cancel_dials() does it. */
static void
cancel_dials(struct mail_world *w)
{
	list_each_safe (link, &w->conns) {
		struct conn *c = conn_of(link);
		struct dsn dsn;

		if (c->ls != NULL)
			continue;
		dsn_set(&dsn, "4.3.2", "stopping");
		lane_dial_failed(w->lane, c->route,
		    &(struct route_failure){
			.dsn = &dsn, .patience_us = INT64_MAX},
		    w->now);
		model_conn_free(c);
	}
}

/* As agent.c winds up. */
static void
wind_up(struct mail_world *w, enum life life, int64_t wait_us)
{
	w->life = life;
	cancel_dials(w);
	lane_drain(w->lane, w->now);
	take_back(w);
	w->finale_us = w->now.us + wait_us;
	w->is_kick_due = true;
}

static void
break_off(struct mail_world *w)
{
	model_tell(w, "out of time");
	w->finale_us = INT64_MAX;
	w->was_aborted = true;
	lane_abort(w->lane, "out of time", w->now);
	cancel_dials(w);
	lane_kick(w->lane, w->now);
	take_back(w);
	w->is_kick_due = true;
}

static void
kill_process(struct mail_world *w)
{
	for (size_t i = 0; i < LEDGER_MAILS; i++)
		if (w->mails[i].req != NULL)
			ledger_orphaned(&w->ledger, i);
	end_process(w);
	begin_process(w);
}

/* ---- between two happenings ---------------------------------------------
 */

static void
kick(struct mail_world *w)
{
	w->is_kick_due = false;
	lane_kick(w->lane, w->now);
	w->timer_us = lane_deadline_us(w->lane);
}

/* The kernel takes n octets of what was pulled. */
static void
write_out(struct conn *c, size_t n)
{
	struct slice all = buf_slice(&c->out);

	CHECK(n <= all.n);
	model_tell_octets(c, c->is_slow ? "-->" : "->", all.p, n);
	if (c->server.close != SERVER_RST)
		CHECK(buf_add(&c->server.in, all.p, n));
	buf_consume(&c->out, n);
	session_written(c->ls->session, n, c->w->now);
}

/* The link pulls and writes; where the kernel takes a part only, the rest has
 * to wait. */
static void
flush(struct conn *c)
{
	static const char *const names[] = {
	    "of all", "of a half", "of all but the last octet", "of nothing"};
	struct mail_world *w = c->w;
	struct session *s = c->ls->session;
	bool was_quiet = session_octets_unanswered(s) == 0;
	size_t n, before;
	int choice;

	c->has_output = false;
	if (session_is_over(s))
		return;
	do {
		before = buf_len(&c->out);
		session_output(s, &c->out, PULL_MAX, w->now);
	} while (buf_len(&c->out) > before);
	if (was_quiet && session_octets_unanswered(s) > 0)
		w->is_kick_due = true;
	n = buf_len(&c->out);
	if (n == 0 || c->is_slow)
		return;
	choice = explore_pick(w->x, "a write", 0, names, EXPLORE_ALL(4));
	c->is_slow = choice > 0;
	n = choice == 0 ? n : choice == 1 ? n / 2 : choice == 2 ? n - 1 : 0;
	if (n > 0)
		write_out(c, n);
}

static void
settle(struct mail_world *w)
{
	bool again = true;

	for (int turns = 0; again; turns++) {
		CHECK(turns < KICKS_MAX);
		again = w->is_kick_due;
		if (again)
			kick(w);
		list_each (link, &w->conns) {
			struct conn *c = conn_of(link);

			if (c->ls == NULL || !c->has_output)
				continue;
			flush(c);
			again = true;
		}
	}
}

/* ---- what may happen ----------------------------------------------------
 */

enum happening { DIALLED, STEPS, READS, CLOSES, WRITES };

static bool
can_happen(const struct conn *c, enum happening what)
{
	bool has_session = c->ls != NULL && !session_is_over(c->ls->session);

	switch (what) {
	case DIALLED:
		return c->ls == NULL;
	case STEPS:
		return c->ls != NULL && server_is_due(&c->server);
	case READS:
		return has_session && server_has_reply(&c->server);
	case CLOSES:
		return has_session && c->server.close != SERVER_OPEN &&
		       !server_has_reply(&c->server);
	case WRITES:
		return has_session && c->is_slow;
	}
	return false;
}

static void
dialled(struct conn *c)
{
	static const char *const names[] = {"works", "is refused"};
	struct mail_world *w = c->w;
	struct dsn dsn;

	if (explore_pick(w->x, "a dial", 0, names, EXPLORE_ALL(2)) == 0) {
		c->ls = lane_add_session(
		    w->lane, c->route, &w->ehlo, &w->peer, false, c, w->now);
		model_tell(w, "connected");
		return;
	}
	dsn_set(&dsn, "4.4.1", "connect to relay.test[192.0.2.1]:25: refused");
	lane_dial_failed(w->lane, c->route,
	    &(struct route_failure){.dsn = &dsn,
		.patience_us = 10 * US_PER_S,
		.kind = {.is_transport = true}},
	    w->now);
	model_conn_free(c);
}

static void
read_replies(struct conn *c)
{
	struct mail_world *w = c->w;
	char all[SERVER_REPLIES_MAX * SERVER_REPLY_SIZE];
	size_t n = 0;
	const char *text;

	while ((text = server_read(&c->server)) != NULL) {
		memcpy(all + n, text, strlen(text));
		n += strlen(text);
		if (w->model->order == MODEL_SINGLY)
			break;
	}
	model_tell_octets(c, "<-", all, n);
	session_input(c->ls->session, all, n, w->now);
}

static void
happen(struct conn *c, enum happening what)
{
	struct mail_world *w = c->w;

	switch (what) {
	case DIALLED:
		dialled(c);
		break;
	case STEPS:
		server_step(&c->server);
		break;
	case READS:
		read_replies(c);
		break;
	case CLOSES:
		model_tell(w, "closed");
		session_closed(c->ls->session, c->server.close == SERVER_FIN,
		    "connection closed", w->now);
		w->is_kick_due = true;
		break;
	case WRITES:
		write_out(c, buf_len(&c->out));
		c->is_slow = false;
		c->has_output = true;
		break;
	}
}

struct next {
	struct conn *conn;
	enum happening what;
};

/* Whatever can happen now, in the usual order. */
static size_t
find_next(struct mail_world *w, struct next *out, size_t max)
{
	static const enum happening orders[2][5] = {
	    [MODEL_WHOLE] = {DIALLED, STEPS, READS, CLOSES, WRITES},
	    [MODEL_SINGLY] = {READS, CLOSES, STEPS, DIALLED, WRITES},
	};
	size_t n = 0;

	for (size_t k = 0; k < 5; k++)
		list_each (link, &w->conns) {
			enum happening what = orders[w->model->order][k];

			if (n < max && can_happen(conn_of(link), what))
				out[n++] = (struct next){conn_of(link), what};
		}
	return n;
}

/* Time passes until something is due; false: nothing ever is. */
static bool
pass_time(struct mail_world *w)
{
	int64_t due = w->timer_us < w->finale_us ? w->timer_us : w->finale_us;

	if (due == INT64_MAX)
		return false;
	if (due > w->now.us) {
		w->now.wall.tv_sec += (due - w->now.us) / US_PER_S;
		w->now.us = due;
	}
	if (w->finale_us <= w->now.us)
		break_off(w);
	if (w->timer_us <= w->now.us) {
		w->timer_us = INT64_MAX;
		lane_on_timer(w->lane, w->now);
		w->is_kick_due = true;
	}
	return true;
}

/* ---- what may go wrong at any moment ------------------------------------
 */

static void
choose_life(struct mail_world *w)
{
	static const char *const names[] = {
	    "goes on", "reload", "stop", "killed"};

	if (w->had_end || w->life != LIFE_SERVING)
		return;
	switch (explore_pick(w->x, "the process", 0, names, EXPLORE_ALL(4))) {
	case 1:
		model_tell(w, "reload");
		wind_up(w, LIFE_DRAINING, DRAIN_WAIT_US);
		break;
	case 2:
		model_tell(w, "stop");
		wind_up(w, LIFE_STOPPING, STOP_WAIT_US);
		break;
	case 3:
		model_tell(w, "killed");
		w->had_end = true;
		kill_process(w);
		return;
	default:
		return;
	}
	w->had_end = true;
}

/* Whoever has not answered what it took, and says 421 then, lies. */
static void
choose_fate(struct mail_world *w)
{
	static const char *const names[] = {
	    "goes on", "breaks", "is closed with 421"};
	int number = 0;

	list_each_safe (link, &w->conns) {
		struct conn *c = conn_of(link);

		number++;
		if (c->ls == NULL || c->server.close != SERVER_OPEN ||
		    server_may_not_end(&c->server))
			continue;
		switch (explore_pick(w->x, "connection", number, names,
		    EXPLORE_ALL(server_may_say_bye(&c->server) ? 3 : 2))) {
		case 1:
			model_tell(w, "breaks");
			server_break(&c->server);
			break;
		case 2:
			model_tell(w, "421");
			server_say_bye(&c->server);
			break;
		default:
			break;
		}
	}
}

/* ---- a run --------------------------------------------------------------
 */

/* One happening; false: nothing can, ever. */
static bool
step(struct mail_world *w)
{
	static const char *const names[] = {
	    "the usual", "another", "a third", "a fourth", "a fifth"};
	struct next next[5];
	size_t n;
	int k = 0;

	w->now.us += US_PER_MS;
	w->events++;
	w->run_events++;
	if (explore_may_deviate(w->x)) {
		choose_life(w);
		choose_fate(w);
		settle(w);
	}
	n = find_next(w, next, 5);
	if (n == 0)
		return pass_time(w);
	if (w->model->has_any_order && n > 1)
		k = explore_pick(
		    w->x, "what is next", 0, names, EXPLORE_ALL(n));
	happen(next[k].conn, next[k].what);
	return true;
}

/* The process has nothing left to do; true: there is another one. */
static bool
goes_on(struct mail_world *w)
{
	end_process(w);
	if (ledger_all_decided(&w->ledger))
		return false;
	begin_process(w);
	return true;
}

static bool
is_at_an_end(struct mail_world *w)
{
	if (w->life == LIFE_SERVING && ledger_all_decided(&w->ledger))
		wind_up(w, LIFE_LAST, DRAIN_WAIT_US);
	return w->life != LIFE_SERVING && lane_is_drained(w->lane);
}

static void
live(struct mail_world *w)
{
	begin_process(w);
	do {
		settle(w);
		if (is_at_an_end(w)) {
			if (!goes_on(w))
				return;
		} else if (!step(w)) {
			ledger_wrong(&w->ledger, "nothing can happen any more");
		}
		if (w->run_events > EVENTS_MAX)
			ledger_wrong(&w->ledger, "it does not come to an end");
	} while (w->ledger.wrong[0] == '\0');
	end_process(w);
}

const char *
mail_world_run(struct mail_world *w)
{
	ledger_init(&w->ledger);
	w->site = (struct server_site){
	    .kind = w->model->kind,
	    .words = w->model->words,
	    .explore = w->x,
	    .ledger = &w->ledger,
	    .contents = w->contents,
	};
	w->now = (struct moment){.us = 1000 * US_PER_S};
	w->now.wall.tv_sec = 1700000000;
	w->had_end = w->is_kick_due = false;
	w->run_events = 0;
	live(w);
	if (w->ledger.wrong[0] == '\0')
		ledger_close(&w->ledger);
	return w->ledger.wrong[0] != '\0' ? w->ledger.wrong : NULL;
}
