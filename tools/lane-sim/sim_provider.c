#include "tools/lane-sim/sim_provider.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/log.h"

enum { IO_MAX = 64 << 20, REPLY_SIZE = 200 };

static const int64_t second_us = 1000000;
static const int64_t day_us = INT64_C(86400) * 1000000;

static const char too_many_connections[] =
    "421 4.4.5 Too many connections from your account";

void
sim_provider_begin(struct sim_provider *p, int64_t now_us)
{
	p->tokens = p->limits.burst;
	p->filled_us = p->window_from_us = p->day_from_us = now_us;
}

void
sim_provider_fini(struct sim_provider *p)
{
	for (size_t i = 0; i < p->meter_count; i++)
		sim_meter_fini(&p->meters[i]);
}

void
sim_provider_add_meter(
    struct sim_provider *p, enum sim_unit unit, const char *rate)
{
	CHECK(p->meter_count < SIM_METERS);
	p->units[p->meter_count] = unit;
	sim_meter_init(&p->meters[p->meter_count++], rate);
}

/* ---- limits ------------------------------------------------------------ */

static bool
is_day_over(struct sim_provider *p, char reply[REPLY_SIZE], int64_t now_us)
{
	const struct sim_limits *l = &p->limits;

	if (l->day_quota == 0)
		return false;
	while (now_us - p->day_from_us >= day_us) {
		p->day_from_us += day_us;
		p->in_day = 0;
	}
	if (p->in_day < l->day_quota)
		return false;
	(void)snprintf(reply, REPLY_SIZE, "%s", l->day_reply);
	return true;
}

/* The one conversion of a reply is filled in here: it comes from a table. */
static void
say_when(char reply[REPLY_SIZE], const char *text, int64_t seconds)
{
	const char *mark = strstr(text, "%lld");

	if (mark == NULL)
		(void)snprintf(reply, REPLY_SIZE, "%s", text);
	else
		(void)snprintf(reply, REPLY_SIZE, "%.*s%lld%s",
		    (int)(mark - text), text, (long long)seconds, mark + 4);
}

static bool
is_window_full(struct sim_provider *p, char reply[REPLY_SIZE], int64_t now_us)
{
	const struct sim_limits *l = &p->limits;
	int64_t left_us;

	if (l->window_count == 0)
		return false;
	if (now_us - p->window_from_us >= l->window_us) {
		p->window_from_us =
		    now_us - (now_us - p->window_from_us) % l->window_us;
		p->in_window = 0;
	}
	if (p->in_window < l->window_count)
		return false;
	left_us = p->window_from_us + l->window_us - now_us;
	say_when(reply, l->window_reply, left_us / second_us + 1);
	return true;
}

static bool
is_bucket_empty(struct sim_provider *p, char reply[REPLY_SIZE], int64_t now_us)
{
	const struct sim_limits *l = &p->limits;

	if (l->rate_per_s <= 0)
		return false;
	p->tokens +=
	    (double)(now_us - p->filled_us) * l->rate_per_s / (double)second_us;
	p->filled_us = now_us;
	if (p->tokens > l->burst)
		p->tokens = l->burst;
	if (p->tokens >= 1)
		return false;
	(void)snprintf(reply, REPLY_SIZE, "%s", l->rate_reply);
	return true;
}

static bool
is_refused(struct sim_provider *p, char reply[REPLY_SIZE], int64_t now_us)
{
	if (is_day_over(p, reply, now_us) || is_window_full(p, reply, now_us) ||
	    is_bucket_empty(p, reply, now_us))
		return true;
	p->in_day++;
	p->in_window++;
	p->tokens -= 1;
	return false;
}

static void
count_arrival(const struct sim_caller *c, int64_t now_us)
{
	struct sim_provider *p = c->provider;

	for (size_t i = 0; i < p->meter_count; i++)
		sim_meter_count(&p->meters[i],
		    p->units[i] == SIM_MESSAGES     ? 1
		    : p->units[i] == SIM_RECIPIENTS ? c->rcpts
						    : (double)c->octets,
		    now_us);
}

/* ---- SMTP -------------------------------------------------------------- */

static void
say(struct sim_caller *c, const char *line)
{
	CHECK(buf_add_str(&c->out, line));
	CHECK(buf_add_str(&c->out, "\r\n"));
}

static void
forget_message(struct sim_caller *c)
{
	c->has_mail = false;
	c->rcpts = 0;
	c->octets = 0;
}

static void
refuse(struct sim_caller *c, const char *reply)
{
	c->refused++;
	c->provider->refused++;
	say(c, reply);
}

static void
on_mail(struct sim_caller *c, int64_t now_us)
{
	const struct sim_limits *l = &c->provider->limits;
	char reply[REPLY_SIZE];

	forget_message(c);
	if (l->closes_after > 0 && c->taken >= l->closes_after) {
		if (!l->closes_silently)
			say(c, "421 4.7.0 Too many messages in this session");
		c->is_closed = true;
	} else if (l->is_told_at_mail &&
		   is_refused(c->provider, reply, now_us)) {
		refuse(c, reply);
	} else {
		c->has_mail = true;
		say(c, "250 2.1.0 Ok");
	}
}

static void
on_content(struct sim_caller *c, int64_t now_us)
{
	struct sim_provider *p = c->provider;
	char reply[REPLY_SIZE];

	c->contents++;
	if (c->rcpts == 0) {
		say(c, "503 5.5.1 No recipients");
		forget_message(c);
		return;
	}
	count_arrival(c, now_us);
	if (!p->limits.is_told_at_mail && is_refused(p, reply, now_us)) {
		refuse(c, reply);
	} else {
		c->taken++;
		c->accepted++;
		p->accepted++;
		say(c, "250 2.0.0 Taken");
	}
	forget_message(c);
}

static void
on_command(struct sim_caller *c, const char *line, int64_t now_us)
{
	if (strncmp(line, "MAIL FROM:", 10) == 0) {
		on_mail(c, now_us);
	} else if (strncmp(line, "RCPT TO:", 8) == 0) {
		c->rcpts += c->has_mail;
		say(c, c->has_mail ? "250 2.1.5 Ok" : "503 5.5.1 No sender");
	} else if (strncmp(line, "BDAT ", 5) == 0) {
		c->octets_due = strtoul(line + 5, NULL, 10);
		c->octets += c->octets_due;
		c->is_last_chunk = strstr(line, " LAST") != NULL;
	} else if (strcmp(line, "DATA") == 0) {
		c->in_data = c->rcpts > 0;
		say(c, c->in_data ? "354 Go on" : "503 5.5.1 No recipients");
	} else if (strcmp(line, "RSET") == 0) {
		forget_message(c);
		say(c, "250 2.0.0 Ok");
	} else if (strcmp(line, "QUIT") == 0) {
		say(c, "221 2.0.0 Bye");
		c->is_closed = true;
	} else {
		c->provider->malformed++;
		say(c, "500 5.5.2 What?");
	}
}

/* True while it may eat more. */
static bool
eat_chunk(struct sim_caller *c, size_t have, int64_t now_us)
{
	size_t n = have < c->octets_due ? have : c->octets_due;

	buf_consume(&c->in, n);
	c->octets_due -= n;
	if (c->octets_due > 0)
		return false;
	if (c->is_last_chunk)
		on_content(c, now_us);
	else
		say(c, "250 2.0.0 Chunk");
	return true;
}

static bool
eat(struct sim_caller *c, int64_t now_us)
{
	struct slice all = buf_slice(&c->in);
	const char *end;
	char line[600];
	size_t n;

	if (c->octets_due > 0)
		return eat_chunk(c, all.n, now_us);
	end = all.n > 0 ? memmem(all.p, all.n, "\r\n", 2) : NULL;
	if (end == NULL)
		return false;
	n = (size_t)(end - all.p);
	(void)snprintf(line, sizeof(line), "%.*s", (int)n, all.p);
	buf_consume(&c->in, n + 2);
	if (!c->in_data) {
		on_command(c, line, now_us);
	} else if (strcmp(line, ".") == 0) {
		c->in_data = false;
		on_content(c, now_us);
	} else {
		c->octets += n + 2;
	}
	return true;
}

/* ---- connections ------------------------------------------------------- */

const char *
sim_provider_greet(struct sim_caller *c, struct sim_provider *p)
{
	*c = (struct sim_caller){.provider = p};
	buf_init(&c->in, IO_MAX);
	buf_init(&c->out, IO_MAX);
	if (p->limits.connections > 0 && p->live >= p->limits.connections) {
		p->turned_away++;
		return too_many_connections;
	}
	c->is_counted = true;
	if (++p->live > p->live_most)
		p->live_most = p->live;
	return NULL;
}

static void
hang_up(struct sim_caller *c)
{
	if (c->is_counted)
		c->provider->live--;
	c->is_counted = false;
}

bool
sim_provider_hear(struct sim_caller *c, struct slice octets, int64_t now_us)
{
	uint64_t contents = c->contents;

	if (c->is_closed)
		return false;
	CHECK(buf_add_slice(&c->in, octets));
	while (!c->is_closed && c->contents == contents && eat(c, now_us))
		continue;
	if (c->is_closed)
		hang_up(c);
	return c->contents != contents;
}

void
sim_provider_leave(struct sim_caller *c)
{
	hang_up(c);
	buf_fini(&c->in);
	buf_fini(&c->out);
}
