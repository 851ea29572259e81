/* The model provider's side of a connection. */
#include "test/support/lane_world_private.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static void
say(struct world_conn *c, const char *text)
{
	struct world *w = c->w;
	int64_t at = c->free_ms > world_ms(w) ? c->free_ms : world_ms(w);
	struct event *e = NULL;

	if (c->is_closed || c->is_deaf)
		return;
	at += w->server.reply_ms;
	c->free_ms = at;
	at += w->server.rtt_ms / 2;
	if (!list_is_empty(&w->events))
		e = event_of(w->events.prev);
	if (e == NULL || e->conn != c || e->at_ms != at ||
	    e->kind != EVENT_TO_LANE)
		e = world_event_new(c, EVENT_TO_LANE, at);
	assert_true(buf_add_str(&e->octets, text));
}

static void
hang_up(struct world_conn *c)
{
	int64_t at = c->free_ms > world_ms(c->w) ? c->free_ms : world_ms(c->w);

	if (c->is_closed)
		return;
	c->is_closed = true;
	(void)world_event_new(c, EVENT_CLOSE, at + c->w->server.rtt_ms / 2);
}

/* With its process all goes that it had said and not sent. */
static void
die(struct world_conn *c)
{
	list_each_safe (link, &c->w->events) {
		struct event *e = event_of(link);

		if (e->conn == c && e->kind == EVENT_TO_LANE)
			world_event_free(e);
	}
	c->free_ms = 0;
	hang_up(c);
}

/* False when the judge has spoken. */
static bool
is_as_usual(struct world_conn *c, const char *line)
{
	struct world *w = c->w;
	char text[160];
	int code = w->server.judge != NULL
		       ? w->server.judge(w, c, c->number, line)
		       : 0;

	if (code == 0)
		return true;
	if (code == WORLD_CLOSE) {
		hang_up(c);
	} else if (code == WORLD_DIE) {
		die(c);
	} else if (code == WORLD_SILENCE) {
		c->is_deaf = true;
	} else {
		if (w->server.judged != NULL)
			(void)snprintf(text, sizeof(text), "%d %s\r\n", code,
			    w->server.judged);
		else
			(void)snprintf(text, sizeof(text),
			    "%d judged in %.3s\r\n", code, line);
		say(c, w->server.verbatim != NULL ? w->server.verbatim : text);
		if (code == 421)
			hang_up(c);
	}
	return false;
}

static void
forget_message(struct world_conn *c)
{
	memset(c->has_rcpt, 0, sizeof(c->has_rcpt));
	c->rcpts = 0;
	c->is_refused = false;
}

static void
on_content(struct world_conn *c)
{
	struct world *w = c->w;
	struct world_message *m = &w->messages[c->number];

	if (c->rcpts == 0) {
		say(c, "503 no recipients\r\n");
	} else if (is_as_usual(c, ".")) {
		m->copies++;
		w->taken_by[c->route->number]++;
		for (size_t i = 0; i < m->rcpt_count; i++)
			m->taken[i] += c->has_rcpt[i];
		c->accepted++;
		if (c->accepted > w->most_per_session)
			w->most_per_session = c->accepted;
		say(c, "250 2.0.0 taken\r\n");
	}
	forget_message(c);
}

/* By its sender; where that is a login, by its recipients, before which MAIL is
 * never refused. */
static void
note_number(struct world_conn *c, const char *address)
{
	struct world *w = c->w;
	size_t number = strtoul(address + 1, NULL, 10);

	assert_true(number < w->count);
	c->number = number;
	w->messages[number].mails++;
}

static void
on_mail(struct world_conn *c, const char *line)
{
	struct world *w = c->w;

	forget_message(c);
	if (w->logins == 0)
		note_number(c, line + strlen("MAIL FROM:<"));
	if (w->arrival_count < w->arrival_max)
		w->arrivals_ms[w->arrival_count++] = world_ms(w);
	if (w->server.closes_after > 0 &&
	    c->accepted >= w->server.closes_after) {
		if (!w->server.closes_silently)
			say(c, "421 4.7.0 too many messages\r\n");
		hang_up(c);
		return;
	}
	if (is_as_usual(c, line))
		say(c, "250 2.1.0 ok\r\n");
	else
		c->is_refused = true;
}

/* "RCPT TO:<to.3@one.test>": one more domain, perhaps. */
static void
note_domain(struct world_conn *c, const char *line)
{
	const char *at = strchr(line, '@');
	size_t n = at != NULL ? strcspn(at + 1, ">") : 0;

	assert_true(n > 0 && n < sizeof(c->domains[0]));
	for (size_t i = 0; i < c->domain_count; i++)
		if (strlen(c->domains[i]) == n &&
		    memcmp(c->domains[i], at + 1, n) == 0)
			return;
	if (c->domain_count < WORLD_RCPTS_MAX)
		memcpy(c->domains[c->domain_count++], at + 1, n);
	if (c->domain_count > c->w->domains_peak)
		c->w->domains_peak = c->domain_count;
}

static void
on_rcpt(struct world_conn *c, const char *line)
{
	const char *dot = strchr(line, '.');
	size_t i = dot != NULL ? strtoul(dot + 1, NULL, 10) : 0;

	assert_true(i < WORLD_RCPTS_MAX);
	if (c->w->logins > 0)
		note_number(c, line + strlen("RCPT TO:<"));
	if (c->is_refused) {
		say(c, "503 no sender\r\n");
	} else if (c->w->server.rcpts_max > 0 &&
		   c->rcpts >= (size_t)c->w->server.rcpts_max) {
		say(c, "552 5.5.3 Maximum limit of recipients reached\r\n");
	} else if (c->is_unknown && !c->w->server.takes_anybody) {
		say(c, "554 5.7.1 relay access denied\r\n");
	} else if (is_as_usual(c, line)) {
		c->has_rcpt[i] = true;
		c->rcpts++;
		if (c->rcpts > c->w->rcpts_peak)
			c->w->rcpts_peak = c->rcpts;
		note_domain(c, line);
		say(c, "250 2.1.5 ok\r\n");
	}
}

static void
on_auth(struct world_conn *c)
{
	int code = c->w->server.login_code;
	char text[64];

	if (code == WORLD_CLOSE) {
		hang_up(c);
		return;
	}
	c->is_unknown = code != 0;
	(void)snprintf(
	    text, sizeof(text), "%d login\r\n", code != 0 ? code : 235);
	say(c, text);
}

static void
on_command(struct world_conn *c, const char *line)
{
	if (strncmp(line, "MAIL", 4) == 0) {
		on_mail(c, line);
	} else if (strncmp(line, "RCPT", 4) == 0) {
		on_rcpt(c, line);
	} else if (strcmp(line, "RSET") == 0) {
		forget_message(c);
		if (is_as_usual(c, line))
			say(c, "250 2.0.0 ok\r\n");
	} else if (strncmp(line, "AUTH ", 5) == 0) {
		on_auth(c);
	} else if (strcmp(line, "QUIT") == 0) {
		c->w->quits++;
		say(c, "221 2.0.0 bye\r\n");
		hang_up(c);
	} else if (strncmp(line, "BDAT ", 5) == 0) {
		c->octets_due = strtoul(line + 5, NULL, 10);
		c->is_last_chunk = strstr(line, " LAST") != NULL;
	} else if (strcmp(line, "DATA") == 0 && c->rcpts == 0) {
		say(c, "503 no recipients\r\n");
	} else if (strcmp(line, "DATA") == 0 && is_as_usual(c, line)) {
		c->in_data = true;
		say(c, "354 go on\r\n");
	} else if (strcmp(line, "DATA") != 0) {
		fail_msg("the server was sent: %s", line);
	}
}

void
world_say(struct world *w, const char *text)
{
	list_each (link, &w->conns) {
		struct world_conn *c =
		    list_entry(link, struct world_conn, link);

		say(c, text);
		if (strncmp(text, "421", 3) == 0)
			hang_up(c);
	}
}

bool
world_server_eat(struct world_conn *c)
{
	struct slice all = buf_slice(&c->in);
	const char *end = all.n > 0 ? memmem(all.p, all.n, "\r\n", 2) : NULL;
	char line[256];
	size_t n;

	if (c->octets_due > 0) {
		n = all.n < c->octets_due ? all.n : c->octets_due;
		buf_consume(&c->in, n);
		c->octets_due -= n;
		if (c->octets_due > 0)
			return false;
		if (c->is_last_chunk)
			on_content(c);
		else
			say(c, "250 2.0.0 chunk\r\n");
		return true;
	}
	if (end == NULL)
		return false;
	n = (size_t)(end - all.p);
	assert_true(n < sizeof(line));
	memcpy(line, all.p, n);
	line[n] = '\0';
	buf_consume(&c->in, n + 2);
	if (!c->in_data) {
		on_command(c, line);
	} else if (strcmp(line, ".") == 0) {
		c->in_data = false;
		on_content(c);
	}
	return true;
}
