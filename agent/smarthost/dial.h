/* dial: one dial, as its files see it. A file calls those below
 * it:
 *
 *   dialer.c       which address: policy, credentials, connect, what next
 *   dial_policy.c  its TLS: policy, DANE
 *   handshake.c    one connection: greeting, EHLO, STARTTLS, QUIT
 *   login.c        AUTH
 *   dial.c         what all do to a dial: time, failure, end of a connection
 */
#ifndef DIAL_H
#define DIAL_H

#include "agent/smarthost/candidate.h"
#include "agent/smarthost/credentials.h"
#include "agent/smarthost/dane_query.h"
#include "agent/smarthost/dialer.h"
#include "agent/smarthost/lead.h"
#include "agent/smarthost/link.h"
#include "agent/smarthost/sasl.h"
#include "agent/smarthost/source_address.h"
#include "agent/smarthost/tls.h"
#include "agent/smarthost/tokens.h"
#include "agent/tables/maps.h"
#include "common/smtp/reply.h"

struct dialer {
	struct loop *loop;
	const struct settings *set;
	struct credentials *credentials; /* may be NULL */
	struct maps *tls_policy; /* may be NULL */
	struct resolver *resolver;
	struct tls *tls;
	struct tokens *tokens;
	struct tlspolicy policy; /* as in main.cf */
	char policy_error[TLSPOLICY_ERROR_SIZE]; /* "": none */
	struct source_address source;
	char source_error[200]; /* "": none */
	bool has_sasl;
	const char *sasl_why; /* why not */
	unsigned discard_mask; /* smtp_discard_ehlo_keywords */
	const struct rewriter *replies; /* smtp_reply_filter; may be NULL */
	const struct tracer *tracer; /* may be NULL */
	/* smtp_discard_ehlo_keyword_address_maps; may be NULL */
	const struct rewriter *ehlo_words;
	const struct requiretls_table *requiretls; /* NULL: enforced */
	struct candidate_rests rests;
	struct leads *leads; /* which logins may lead */
	struct dialer_tally tally;
	dial_note_fn *on_note; /* NULL: nobody looks on */
	void *note_ctx;
};

enum dial_state {
	DIAL_STATE_LOOKUP, /* nexthop, policy, credentials */
	DIAL_STATE_CONNECT,
	DIAL_STATE_TLS,
	DIAL_STATE_GREETING,
	DIAL_STATE_EHLO,
	DIAL_STATE_HELO,
	DIAL_STATE_STARTTLS,
	DIAL_STATE_AUTH,
	DIAL_STATE_RSET, /* behind AUTH: what the server takes */
	DIAL_STATE_QUIT, /* gave up, being polite */
	DIAL_STATE_OVER,
};

enum { DIAL_STATES = DIAL_STATE_OVER + 1 };

struct dial;

/* How talking to one address ended. */
enum handshake_end {
	HANDSHAKE_READY, /* for MAIL, on dial->link */
	HANDSHAKE_FAILED, /* dial->result says why */
	HANDSHAKE_RETRY_PLAIN, /* may go on without TLS, at the same address */
	HANDSHAKE_RETRY_STEPS, /* the server takes nothing behind AUTH */
};

typedef void dial_policy_fn(struct dial *dial, bool is_ready);
typedef void handshake_end_fn(struct dial *dial, enum handshake_end how);

struct dial {
	struct dialer *dialer;
	dial_fn *on_done;
	void *ctx;
	bool is_begun; /* dialer_dial() has returned */
	char *sender;
	char session[SESSION_ID_SIZE]; /* stands in its lines in the log */
	enum dial_state state; /* written by dial_set_state() */
	struct loop_timer *timer; /* of the state */

	/* the address in hand */
	struct candidates *candidates;
	struct candidate at;
	struct tlspolicy policy;
	struct trust_anchors *anchors; /* of its own tafile= */
	/* What the policy said, before DANE found out what it comes to. */
	enum tls_level asked_level;
	struct dane_query *dane_query;
	struct dane dane;
	char dane_why[DANE_WHY_SIZE]; /* it came to less; else "" */
	struct maps_query *policy_query;
	const char *policy_key; /* in at: the next one to look up */
	dial_policy_fn *on_policy_end; /* NULL: none is looked for */
	struct credentials_query *credentials_query;
	bool has_credentials;
	char *user, *password; /* secrets */
	/* The password says oauth2:NAME: a token is used instead. */
	struct tokens_query *token_query;
	char *token; /* a secret; NULL: there is none */
	int64_t token_serial;
	bool is_token_renewed; /* one was refused, this is the next */
	bool may_be_plain; /* its mail has waited long enough */
	bool is_plain_retry; /* TLS failed, the level is may: without it */
	bool may_lead; /* the login may go with other commands behind */
	bool is_step_retry; /* that was tried in vain: alone */

	/* the connection */
	int fd; /* connecting, else -1 */
	struct loop_fd *watch;
	struct link *link;
	int64_t began_us, ehlo_sent_us;
	struct reply_parser parser;
	struct buf out; /* may hold secrets */
	struct sasl *sasl;
	struct buf deferred; /* initial response too long for AUTH */
	const char *mech;
	int sasl_steps;
	struct lead_key lead_key; /* of the login under way */
	char *login; /* a secret: AUTH, for the session to send; or NULL */
	bool is_trial; /* RSET stands behind AUTH */
	bool wants_steps; /* ... and is not answered as it should be */
	char tls_key[TLS_KEY_SIZE];
	bool is_ready; /* the last reply was read */
	handshake_end_fn *on_handshake_end; /* NULL: none is under way */

	bool has_failed; /* result tells why */
	struct dial_result result;
};

/* "host[addr]", borrowed until the next call. */
const char *dial_namaddr(const struct dial *dial, char *out, size_t n);

/* "host[addr]:port" */
const char *dial_namaddrport(const struct dial *dial, char *out, size_t n);

/* "dane", "dane:may" */
enum { DIAL_LEVEL_SIZE = 32 };
void dial_level_text(const struct dial *dial, char out[DIAL_LEVEL_SIZE]);

/* DANE was asked for, and the server is not known by it: it may get no login.
 */
bool dial_is_stranger(const struct dial *dial);

/* TLS comes before the greeting: everywhere, or at this port. */
bool dial_is_wrapped(const struct dial *dial);

/* Tells who looks on. reply, ssl and facts may be NULL. */
void dial_tell(const struct dial *dial, enum dial_stage stage,
    const struct reply *reply, struct ssl_st *ssl,
    const struct tls_facts *facts);

/* Starts the timer of the state in ms from now; 0: no limit. */
void dial_set_timer(struct dial *dial, int64_t ms);

/* Fills the result with a failure of the address in hand. */
void dial_fail(struct dial *dial, enum dial_stage stage, const char *status,
    const char *format, ...) __attribute__((format(printf, 4, 5)));

/* The stage in which a dial fails in this state of the handshake. */
enum dial_stage dial_stage_of(enum dial_state state);

/* The server said something that ends this attempt: fails it with the reply
 * behind the words before, and says QUIT. */
void dial_fail_reply(struct dial *dial, const char *status,
    const struct reply *reply, const char *before);

/* A status with the first digit of a temporary one. */
void dial_soften(char *out, size_t n, const char *status);

/* Takes the dial's access token or password out of a server's text. */
void dial_hide_secrets(const struct dial *dial, char *text);

/* The one way to another state; a move that no dial makes fails a CHECK.
 *
 *   lookup -> connect -> [tls] -> greeting -> ehlo [-> helo]
 *   -> [starttls -> tls -> ehlo] -> [auth ... [-> rset]] -> over
 *
 * From each one to lookup (the next address) or over, from each reply by way of
 * quit; from auth and rset also to connect, to go in steps.
 */
void dial_set_state(struct dial *dial, enum dial_state state);

/* Next state of the handshake, with its timeout. */
void dial_enter(struct dial *dial, enum dial_state state);

/* Says good-bye in these words and waits a little: a server that counts
 * connections should have seen the end of this one before there is another. */
void dial_quit(struct dial *dial, const char *words);

void dial_close_connection(struct dial *dial);

/* User and password leave the memory. */
void dial_wipe_credentials(struct dial *dial);

#endif
