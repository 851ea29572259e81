#include "agent/smarthost/lead.h"

#include <ctype.h>
#include <stdio.h>

#include "agent/state/board_hosts.h"
#include "common/base/clock.h"
#include "common/base/log.h"
#include "common/base/mem.h"
#include "common/shared/board.h"

struct login {
	uint64_t key;
	int64_t accepted_us;
};

struct server {
	uint64_t key; /* 0: not in use */
	bool is_tried; /* what stood behind AUTH was answered */
	int failures; /* since mail was taken there */
	bool has_fault;
	int64_t used_us, fault_us; /* the latter: when it was found */
};

struct leads {
	struct board_writer *board; /* may be NULL */
	struct login logins[LEAD_LOGINS_MAX];
	size_t login_count;
	struct server servers[LEAD_SERVERS_MAX];
};

void
lead_key_set(struct lead_key *key, const char *host, unsigned port,
    const char *user, const char *mech)
{
	char *text;

	(void)snprintf(key->host, sizeof(key->host), "%s", host);
	key->port = port;
	for (char *p = key->host; *p != '\0'; p++)
		*p = (char)tolower((unsigned char)*p);
	text = mem_printf("%s %u", key->host, port);
	key->server = board_hash(text);
	mem_free(text);
	text = mem_printf("%s %u %s %s", key->host, port, mech, user);
	key->login = board_hash(text);
	mem_free(text);
}

struct leads *
leads_new(void)
{
	return mem_zalloc(sizeof(struct leads));
}

void
leads_set_board(struct leads *leads, struct board_writer *board)
{
	leads->board = board;
}

void
leads_free(struct leads **leads)
{
	mem_free(*leads);
	*leads = NULL;
}

static struct login *
find_login(struct leads *leads, const struct lead_key *key)
{
	for (size_t i = 0; i < leads->login_count; i++)
		if (leads->logins[i].key == key->login)
			return &leads->logins[i];
	return NULL;
}

/* The login's place, else a new one, else that of the oldest. */
static struct login *
place_of(struct leads *leads, const struct lead_key *key)
{
	struct login *found = find_login(leads, key);

	if (found != NULL)
		return found;
	if (leads->login_count < LEAD_LOGINS_MAX)
		return &leads->logins[leads->login_count++];
	found = &leads->logins[0];
	for (size_t i = 1; i < LEAD_LOGINS_MAX; i++)
		if (leads->logins[i].accepted_us < found->accepted_us)
			found = &leads->logins[i];
	return found;
}

static struct server *
server_of(struct leads *leads, const struct lead_key *key, int64_t now_us)
{
	struct server *best = &leads->servers[0];

	for (size_t i = 0; i < LEAD_SERVERS_MAX; i++) {
		struct server *s = &leads->servers[i];

		if (s->key == key->server) {
			best = s;
			break;
		}
		if (s->key == 0 || s->used_us < best->used_us)
			best = s;
		if (s->key == 0)
			break;
	}
	if (best->key != key->server)
		*best = (struct server){.key = key->server};
	best->used_us = now_us;
	return best;
}

/* What another process, or an earlier one, has found out. */
static void
look_at_board(struct leads *leads, const struct lead_key *key, struct server *s,
    int64_t now_us)
{
	int64_t age_ms, at_us;
	enum board_login what =
	    board_hosts_login(leads->board, key->host, key->port, &age_ms);

	at_us = now_us - clock_us_from_ms(age_ms);
	if (what == BOARD_LOGIN_UNKNOWN ||
	    now_us - at_us >= LEAD_FAULT_MEMORY_US)
		return;
	s->is_tried = what == BOARD_LOGIN_LED;
	s->has_fault = what == BOARD_LOGIN_FAULT;
	s->fault_us = at_us;
}

static bool
has_fault(struct server *s, int64_t now_us)
{
	if (s->has_fault && now_us - s->fault_us >= LEAD_FAULT_MEMORY_US)
		s->has_fault = false;
	return s->has_fault;
}

enum lead
leads_ask(struct leads *leads, const struct lead_key *key, int64_t now_us)
{
	const struct login *login = find_login(leads, key);
	struct server *s = server_of(leads, key, now_us);

	look_at_board(leads, key, s, now_us);
	if (login == NULL ||
	    now_us - login->accepted_us >= LEAD_LOGIN_MEMORY_US ||
	    has_fault(s, now_us))
		return LEAD_NO;
	return s->is_tried ? LEAD_YES : LEAD_TRIAL;
}

void
leads_accepted(struct leads *leads, const struct lead_key *key, int64_t now_us)
{
	*place_of(leads, key) = (struct login){key->login, now_us};
}

static void
count_failure(struct leads *leads, const struct lead_key *key, const char *why,
    int64_t now_us)
{
	struct server *s = server_of(leads, key, now_us);

	if (++s->failures >= LEAD_FAILURES)
		leads_fault(leads, key, why, now_us);
}

void
leads_refused(struct leads *leads, const struct lead_key *key, bool is_led,
    int64_t now_us)
{
	struct login *login = find_login(leads, key);

	if (login == NULL)
		return; /* as another of the same flight was told */
	*login = leads->logins[--leads->login_count];
	if (is_led)
		count_failure(
		    leads, key, "refuses logins in front of mail", now_us);
}

void
leads_tried(struct leads *leads, const struct lead_key *key, int64_t now_us)
{
	struct server *s = server_of(leads, key, now_us);

	look_at_board(leads, key, s, now_us);
	if (has_fault(s, now_us))
		return; /* another trial, at the same time, found one */
	s->is_tried = true;
	board_hosts_set_login(
	    leads->board, key->host, key->port, BOARD_LOGIN_LED);
}

void
leads_proven(struct leads *leads, const struct lead_key *key, int64_t now_us)
{
	server_of(leads, key, now_us)->failures = 0;
}

void
leads_cut(struct leads *leads, const struct lead_key *key, int64_t now_us)
{
	count_failure(leads, key, "breaks off behind a login", now_us);
}

void
leads_fault(struct leads *leads, const struct lead_key *key, const char *why,
    int64_t now_us)
{
	struct server *s = server_of(leads, key, now_us);

	if (!s->has_fault)
		log_info("%s %s: logging in before mail is sent, for a week",
		    key->host, why);
	s->has_fault = true;
	s->fault_us = now_us;
	s->is_tried = false;
	s->failures = 0;
	board_hosts_set_login(
	    leads->board, key->host, key->port, BOARD_LOGIN_FAULT);
}
