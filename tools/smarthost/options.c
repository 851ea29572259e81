#include "tools/smarthost/options.h"

#include <ctype.h>
#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/log.h"

/* Options that only set a text, a switch or a number live in one table; the
 * rest have an id and a case in parse_special(). */
enum kind { TEXT, ON, OFF, NUMBER, UNSIGNED, INT, SPECIAL };

enum special {
	SPECIAL_LISTEN,
	SPECIAL_LISTEN_TLS,
	SPECIAL_USER,
	SPECIAL_RATE,
	SPECIAL_RATE_STAGE,
	SPECIAL_PERSONALITY,
	SPECIAL_NO_AUTH,
	SPECIAL_MAX_CLOSE,
};

struct entry {
	const char *name;
	enum kind kind;
	size_t at; /* offset in struct options, or enum special */
};

#define AT(field) offsetof(struct options, field)
static const struct entry entries[] = {
    {"listen", SPECIAL, SPECIAL_LISTEN},
    {"listen-tls", SPECIAL, SPECIAL_LISTEN_TLS},
    {"user", SPECIAL, SPECIAL_USER},
    {"rate", SPECIAL, SPECIAL_RATE},
    {"rate-stage", SPECIAL, SPECIAL_RATE_STAGE},
    {"personality", SPECIAL, SPECIAL_PERSONALITY},
    {"no-auth", SPECIAL, SPECIAL_NO_AUTH},
    {"max-messages-close", SPECIAL, SPECIAL_MAX_CLOSE},
    {"cert", TEXT, AT(cert)},
    {"key", TEXT, AT(key)},
    {"write-cert", TEXT, AT(write_cert)},
    {"hostname", TEXT, AT(hostname)},
    {"rate-reply", TEXT, AT(rate_reply)},
    {"mechs", TEXT, AT(mechs)},
    {"mt-priority", TEXT, AT(mt_priority)},
    {"script", TEXT, AT(script)},
    {"ledger", TEXT, AT(ledger)},
    {"store", TEXT, AT(store)},
    {"stats", TEXT, AT(stats)},
    {"tokens", TEXT, AT(tokens)},
    {"token-asked", ON, AT(token_asked)},
    {"ready-file", TEXT, AT(ready_file)},
    {"transcript", TEXT, AT(transcript)},
    {"require-auth", ON, AT(require_auth)},
    {"require-tls", ON, AT(require_tls)},
    {"no-authzid", ON, AT(no_authzid)},
    {"auth-without-tls", ON, AT(auth_without_tls)},
    {"enforce-lockstep", ON, AT(enforce_lockstep)},
    {"refuse-overlap", ON, AT(refuse_overlap)},
    {"always-go-ahead", ON, AT(always_go_ahead)},
    {"announce-limits", ON, AT(announce_limits)},
    {"ledger-sync", ON, AT(ledger_sync)},
    {"tls12", ON, AT(tls12)},
    {"no-tickets", OFF, AT(tickets)},
    {"quickack", ON, AT(quickack)},
    {"nagle", OFF, AT(nodelay)},
    {"no-starttls", OFF, AT(starttls)},
    {"no-pipelining", OFF, AT(pipelining)},
    {"no-chunking", OFF, AT(chunking)},
    {"no-size", OFF, AT(size_offered)},
    {"no-8bitmime", OFF, AT(eightbit)},
    {"no-smtputf8", OFF, AT(smtputf8)},
    {"no-dsn", OFF, AT(dsn)},
    {"no-enhanced", OFF, AT(enhanced)},
    {"size", NUMBER, AT(size)},
    {"max-connections", NUMBER, AT(max_connections)},
    {"max-messages", NUMBER, AT(max_messages)},
    {"max-rcpts", NUMBER, AT(max_rcpts)},
    {"seed", NUMBER, AT(seed)},
    {"tarpit", UNSIGNED, AT(tarpit_ms)},
    {"soft-errors", UNSIGNED, AT(soft_errors)},
    {"hard-errors", UNSIGNED, AT(hard_errors)},
    {"latency", UNSIGNED, AT(latency_ms)},
    {"greeting-delay", UNSIGNED, AT(greeting_delay_ms)},
    {"recvbuf", INT, AT(recvbuf)},
    {"sndbuf", INT, AT(sndbuf)},
};
#undef AT

enum { ENTRY_COUNT = sizeof(entries) / sizeof(entries[0]) };

static uint64_t
number(const char *name, const char *text, uint64_t max)
{
	char *end;
	unsigned long long v;

	errno = 0;
	v = strtoull(text, &end, 10);
	if (errno != 0 || end == text || *end != '\0' || v > max)
		log_fatal("--%s %s: want a number up to %llu", name, text,
		    (unsigned long long)max);
	return v;
}

/* N/PERIOD[:BURST], period such as 1s, 500ms, 1m, 1h. */
static void
parse_rate(struct options *o, const char *text)
{
	static const struct {
		const char *unit;
		double us;
	} units[] = {{"ms", 1e3}, {"s", 1e6}, {"m", 6e7}, {"h", 3.6e9}};
	char *end, *unit;
	double count = strtod(text, &end), period;
	size_t i, n;

	if (count <= 0 || *end != '/')
		goto bad;
	period = strtod(end + 1, &unit);
	if (unit == end + 1)
		period = 1;
	n = strcspn(unit, ":");
	for (i = 0; i < 4; i++)
		if (strlen(units[i].unit) == n &&
		    strncmp(unit, units[i].unit, n) == 0)
			break;
	if (i == 4 || period <= 0)
		goto bad;
	o->rate_interval_us = period * units[i].us / count;
	if (unit[n] == ':')
		o->rate_burst = number("rate", unit + n + 1, 1000000000);
	if (o->rate_burst == 0)
		goto bad;
	return;
bad:
	log_fatal("--rate %s: want N/PERIOD[:BURST], such as 14/1s:5", text);
}

static size_t
choose(const char *name, const char *text, const char *const *words)
{
	for (size_t i = 0; words[i] != NULL; i++)
		if (strcmp(words[i], text) == 0)
			return i;
	log_fatal("--%s %s: unknown word", name, text);
}

static void
parse_special(struct options *o, enum special id, const char *arg)
{
	static const char *const stages[] = {
	    "mail", "rcpt", "data", "eod", NULL};
	static const char *const persons[] = {"plain", "postfix", "exim", NULL};

	switch (id) {
	case SPECIAL_LISTEN:
	case SPECIAL_LISTEN_TLS:
		if (o->listen_count == OPTIONS_LIST)
			log_fatal("too many --listen");
		o->listen[o->listen_count].address = arg;
		o->listen[o->listen_count++].is_tls = id == SPECIAL_LISTEN_TLS;
		break;
	case SPECIAL_USER:
		if (o->user_count == OPTIONS_LIST || strchr(arg, ':') == NULL)
			log_fatal("--user: want NAME:PASSWORD, up to %d times",
			    OPTIONS_LIST);
		o->users[o->user_count++] = arg;
		break;
	case SPECIAL_RATE:
		parse_rate(o, arg);
		break;
	case SPECIAL_RATE_STAGE:
		o->rate_stage =
		    (enum rate_stage)choose("rate-stage", arg, stages);
		break;
	case SPECIAL_PERSONALITY:
		o->personality =
		    (enum personality)choose("personality", arg, persons);
		break;
	case SPECIAL_NO_AUTH:
		o->mechs = "";
		break;
	case SPECIAL_MAX_CLOSE:
		o->max_messages = number("max-messages-close", arg, UINT32_MAX);
		o->max_messages_close = true;
		break;
	}
}

static void
parse_one(struct options *o, const struct entry *e, const char *arg)
{
	char *at = (char *)o + e->at;

	switch (e->kind) {
	case TEXT:
		memcpy(at, &arg, sizeof(arg));
		break;
	case ON:
	case OFF:
		*(bool *)(void *)at = e->kind == ON;
		break;
	case NUMBER:
		*(uint64_t *)(void *)at = number(e->name, arg, INT64_MAX);
		break;
	case UNSIGNED:
		*(unsigned *)(void *)at =
		    (unsigned)number(e->name, arg, 86400000);
		break;
	case INT:
		*(int *)(void *)at = (int)number(e->name, arg, 1 << 30);
		break;
	case SPECIAL:
		parse_special(o, (enum special)e->at, arg);
		break;
	}
}

static bool
takes_argument(const struct entry *e)
{
	return !(e->kind == ON || e->kind == OFF ||
		 (e->kind == SPECIAL && e->at == SPECIAL_NO_AUTH));
}

void
options_parse(struct options *o, int argc, char **argv)
{
	struct option longs[ENTRY_COUNT + 1] = {0};
	int at = 0;

	*o = (struct options){.hostname = "smarthost.example",
	    .mechs = "PLAIN LOGIN CRAM-MD5",
	    .starttls = true,
	    .pipelining = true,
	    .chunking = true,
	    .size_offered = true,
	    .size = 52428800,
	    .eightbit = true,
	    .smtputf8 = true,
	    .dsn = true,
	    .enhanced = true,
	    .tickets = true,
	    .nodelay = true,
	    .rate_burst = 1,
	    .rate_stage = RATE_EOD,
	    .rate_reply = "454 4.7.0 Throttling failure: Maximum sending "
			  "rate exceeded.",
	    .tarpit_ms = 1000,
	    .soft_errors = 10,
	    .hard_errors = 20,
	    .seed = 1};
	for (size_t i = 0; i < ENTRY_COUNT; i++)
		longs[i] = (struct option){.name = entries[i].name,
		    .has_arg = takes_argument(&entries[i])};
	for (;;) {
		int c = getopt_long(argc, argv, "", longs, &at);

		if (c == -1)
			break;
		if (c != 0)
			exit(2);
		parse_one(o, &entries[at], optarg);
	}
	if (optind != argc || o->listen_count == 0)
		log_fatal("usage: smarthost --listen ADDR:PORT [option]...");
	if ((o->cert == NULL) != (o->key == NULL))
		log_fatal("--cert and --key go together");
}
