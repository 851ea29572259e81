/* dialer: from a nexthop to a session ready for MAIL FROM.
 *
 * resolve -> connect -> [TLS] -> greeting -> EHLO -> [STARTTLS -> EHLO] ->
 * [AUTH] -> ready, as one state machine with smtp(8)'s timeouts, TLS levels
 * and SASL rules. Addresses of a nexthop are tried in order of preference,
 * one at a time (each needs the caller's connection slot), then the next
 * nexthop of the list. Happy eyeballs (RFC 8305)
 * only orders and shortens: one connection is open at any time.
 *
 * Nothing here decides about mail: a failure is handed over with its stage,
 * the DSN smtp(8) would report and the peer's own words.
 */
#ifndef DIALER_H
#define DIALER_H

#include <stdbool.h>
#include <stdint.h>

#include "agent/engine/peer.h"
#include "agent/engine/session.h"
#include "agent/engine/settings.h"
#include "agent/io/loop.h"
#include "agent/smarthost/lead.h"
#include "common/smtp/dsn.h"
#include "common/smtp/ehlo.h"

struct dialer;
struct resolver;
struct dial;
struct link;
struct credentials;
struct dane;
struct maps;
struct reply;
struct ssl_st;
struct tls_facts;

enum dial_stage {
	DIAL_RESOLVE,
	DIAL_DANE, /* what its level asks for is not there; not connected */
	DIAL_CONNECT,
	DIAL_GREETING,
	DIAL_EHLO,
	DIAL_STARTTLS,
	DIAL_TLS,
	DIAL_AUTH,
	DIAL_TOKEN, /* no access token to log in with */
	DIAL_CONFIG, /* credentials or policy could not be read */
};

struct dial_result {
	/* on success */
	struct link *link; /* owned by the receiver; NULL on failure */
	struct ehlo ehlo; /* as of the last EHLO */
	struct peer peer; /* on failure: the last one tried, may be empty */
	bool is_authenticated;
	bool was_auth_offered; /* before or after TLS */
	/* AUTH with its initial response, a secret: it is the receiver's to
	 * send, in front of the first mail, and dialer_login_news() to tell
	 * what becomes of it; NULL: nothing is to be sent. */
	char *login;
	struct lead_key lead_key; /* of that login */
	char *no_login; /* one was wanted: why there is none; else NULL */
	/* on failure */
	enum dial_stage stage;
	struct dsn dsn; /* status and text, smtp(8)'s words */
	char *reply_text; /* the server's reply (one line), or NULL */
	int reply_code; /* 0: none */
	bool is_config_error; /* retrying without a change cannot help */
	bool is_certificate; /* the server's is not what the policy asks for */
	bool is_told; /* the operator knows from the token service */
	bool is_soft; /* a handshake failed that need not succeed */
	/* The line broke, nobody answered or none was there: at whatever stage,
	 * not a word was said that waiting could not cure. */
	bool is_transport;
	bool had_connection; /* TCP was established: the provider saw us */
	/* in both cases */
	int levels; /* MX preferences of the nexthop; 0: no address was found */
	/* Octets, see link_window(), when the connection was new. */
	int64_t window, segment;
};

/* The receiver takes the link by setting result->link to NULL, and calls
 * dial_result_fini() for the rest. */
typedef void dial_fn(void *ctx, struct dial_result *result);

/* Shared state: resolver, TLS contexts and session cache, credentials. All
 * arguments are borrowed and outlive the dialer. Files (CA, client
 * certificates) are read here, so call it before privileges are dropped; a
 * problem is remembered and reported by each dial it concerns (4.3.5). */
struct dialer *dialer_new(struct loop *loop, const struct settings *set,
    struct credentials *credentials, struct maps *tls_policy);
void dialer_free(struct dialer **dialer);

/* What is done to each line of a reply, and which EHLO keywords an address's
 * offers are without (instead of smtp_discard_ehlo_keywords). Borrowed, may be
 * NULL. */
void dialer_filter(struct dialer *dialer, const struct rewriter *replies,
    const struct rewriter *ehlo_words);

/* Which records of DNS count (agent/io/dns_filter.h). Borrowed. */
void dialer_filter_dns(struct dialer *dialer, const struct rewriter *records);

/* Hears the dialogue with all that are dialled from now on; borrowed, and
 * longer than sessions live. */
struct tracer;
void dialer_trace(struct dialer *dialer, const struct tracer *tracer);

/* What REQUIRETLS means, by nexthop: borrowed; without, it is enforced. */
struct requiretls_table;
void dialer_set_requiretls(
    struct dialer *dialer, const struct requiretls_table *policy);

/* What dials did so far, whatever became of them; never reset. */
struct dialer_tally {
	uint64_t tls_full, tls_resumed; /* handshakes that were finished */
	uint64_t auths_failed; /* logins that the server refused */
	uint64_t auths_led; /* accepted in front of mail */
	uint64_t rsets; /* sent behind a login */
	uint64_t replies_421;
};
const struct dialer_tally *dialer_tally(const struct dialer *dialer);

/* Something that happened in a dial; all borrowed for the call. */
struct dial_note {
	/* resolve: an address is in hand; connect: it let us in; tls: the
	 * handshake is over; others: a reply came in that stage */
	enum dial_stage stage;
	const struct peer *peer;
	const struct dsn *failure; /* why the address will not do, else NULL */
	const struct reply *reply; /* NULL: none */
	struct ssl_st *ssl; /* with facts: after the handshake, else NULL */
	const struct tls_facts *facts;
	const char *level; /* name of the TLS level the policy asks for */
	const char *asked_level; /* ... before DANE found what it comes to */
	const char *dane_why; /* ... and why it is another; "" */
	const struct dane *dane; /* records the server must fit, or NULL */
	bool has_login; /* there is a login for this address */
	const char *mech; /* of the login under way, else NULL */
	int64_t now_us; /* of the loop */
};

/* Who looks on while dials go; must not touch them. One, NULL: none. Of a reply
 * to AUTH only the code may be shown: some servers repeat what they were told.
 */
typedef void dial_note_fn(void *ctx, const struct dial_note *note);
void dialer_observe(struct dialer *dialer, dial_note_fn *fn, void *ctx);

/* Where it is kept which servers take no login in front of mail: borrowed, may
 * be NULL. */
struct board_writer;
void dialer_set_board(struct dialer *dialer, struct board_writer *board);

/* What became of a login that led; key: as in the result of its dial. */
void dialer_login_news(struct dialer *dialer, const struct lead_key *key,
    enum session_login_news news);

/* When the first of our client certificates ends, in seconds since the epoch;
 * 0: there is none. */
int64_t dialer_own_end_s(const struct dialer *dialer);

/* Where to, and for what mail. */
struct dial_target {
	const char *nexthops; /* "[host]:port, host" as Postfix writes them */
	int level; /* of MX preferences, or CANDIDATE_ALL_LEVELS */
	const char *past; /* "address:port" not to be tried; "" */
	const char *sender; /* "" unless credentials depend on it */
	/* At TLS level may, and without a login, a failed handshake is followed
	 * by another try of that address without TLS. */
	bool may_be_plain;
	/* The login may lead the first mail, or be tried with another command
	 * behind it (lead.h). */
	bool may_lead;
	uint64_t session_id; /* common/shared/session_id.h */
};

/* Starts one dial. target is copied. The callback comes
 * from the loop exactly once, never from inside this call, unless dial_cancel()
 * is called first. An address that failed lately is tried after its
 * alternatives until its rest is over, so that a dead first host does not cost
 * every dial a timeout and is returned to when it is back. */
struct dial *dialer_dial(struct dialer *dialer,
    const struct dial_target *target, dial_fn *on_done, void *ctx);
void dial_cancel(struct dial **dial);

/* The peer took a connection and nothing else: it is tried last for a while. */
void dialer_rest(struct dialer *dialer, const struct peer *peer);

/* Frees what is inside a result (link included if still there). */
void dial_result_fini(struct dial_result *result);

const char *dial_stage_name(enum dial_stage stage);

#endif
