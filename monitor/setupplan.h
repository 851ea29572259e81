/* setupplan: what two lanes to a smarthost need, as settings, entries and
 * tables: the start that main.cf.example explains line by line.
 *
 *   NAME_fast, NAME_slow     entries of master.cf; without NAME: fast, slow
 *   NAME_login               table with the login (lane_login)
 *   NAME_transport           table with the domains that are fast, behind those
 *                            of transport_maps
 *   default_transport        slow, where it is smtp; senders with relays of
 *                            their own stay with smtp
 *   lane_provider            of both entries, where it is known whose the next
 *                            hop is; of the account's connections, fast has
 *                            some reserved
 *
 * Pure: of the site as postconf knows it. What would replace something is a
 * conflict, and then there is no plan.
 */
#ifndef SETUPPLAN_H
#define SETUPPLAN_H

#include <stdbool.h>
#include <stddef.h>

#include "agent/settings/main_cf.h"
#include "monitor/setupprovider.h"
#include "monitor/site.h"

enum {
	SETUPPLAN_LINES_MAX = 16,
	SETUPPLAN_CONFLICTS_MAX = 16,
	SETUPPLAN_LIMITS_MAX = 8,
};

/* What the provider gives that was not set. */
struct setupplan_limit {
	char *setting; /* "name = value" */
	char *reason;
};

struct setupplan {
	char *nexthop, *directory;
	char *fast, *slow; /* services */
	char *login, *transport, *record; /* paths */
	bool is_loginless; /* login is not used: the relay asks for none */
	const char *tls_level; /* of both */
	char *maps; /* transport_maps = ...; NULL: it has the table */
	char *senders; /* sender_dependent_default_transport_maps = ...; NULL:
			  no sender has a relay of its own */
	char *usual; /* default_transport = slow, in the place of smtp, which
			is written there; NULL: it is of lines, or stays */
	char *lines[SETUPPLAN_LINES_MAX]; /* "name = value", of main.cf */
	size_t line_count;
	char *entries[2]; /* "fast/unix = fast unix - - n ..." */
	char *provider; /* lane_provider of both; NULL: it is left alone */
	struct setupplan_limit limits[SETUPPLAN_LIMITS_MAX];
	size_t limit_count;
	bool is_default; /* default_transport becomes slow */
	const char *why_not; /* why it does not, else NULL */
	char *conflicts[SETUPPLAN_CONFLICTS_MAX];
	size_t conflict_count;
};

/* What is known of main.cf beside site: as it is written, and parameters as
 * they are in force, unexpanded. */
struct setupplan_conf {
	const struct main_cf *cf;
	const struct setupprovider *provider; /* NULL: that is of no interest */
	bool is_loginless;
	const char *tls_level; /* smtp_tls_security_level; NULL: secure */
	const char *transport_maps, *default_transport;
	const char *sender_relayhosts; /* sender_dependent_relayhost_maps */
	/* sender_dependent_default_transport_maps; what verify(8) has of it */
	const char *sender_transports, *verify_sender_transports;
};

/* What keeps senders with a relay of their own at smtp(8) when
 * default_transport becomes a lane: the value of
 * sender_dependent_default_transport_maps; the caller's. */
char *setupplan_sender_maps(
    const char *sender_transports, const char *sender_relayhosts);

/* Of "login", "transport" or "setup.json", for lanes of this name ("": none);
 * the caller's. */
char *setupplan_path(const char *directory, const char *name, const char *what);

/* The level that is asked for, as a constant; NULL: it is none that needs no
 * more than its name. */
const char *setupplan_tls_level(const char *word);

/* name "": none. False: error says what is wrong with a word; else
 * setupplan_fini(). */
bool setupplan_make(struct setupplan *plan, const struct site *site,
    const struct setupplan_conf *conf, const char *nexthop, const char *name,
    char *error, size_t n);
void setupplan_fini(struct setupplan *plan);

#endif
