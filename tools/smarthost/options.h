/* options: the command line of the simulator, checked once, then const.
 *
 * README.md explains each. Times are milliseconds, sizes octets; 0 means no
 * limit unless said otherwise.
 */
#ifndef SMARTHOST_OPTIONS_H
#define SMARTHOST_OPTIONS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { OPTIONS_LIST = 32 };

enum personality {
	PERSONALITY_PLAIN,
	PERSONALITY_POSTFIX,
	PERSONALITY_EXIM,
};

enum rate_stage { RATE_MAIL, RATE_RCPT, RATE_DATA, RATE_EOD };

struct options {
	struct {
		const char *address; /* ADDR:PORT as given */
		bool is_tls;
	} listen[OPTIONS_LIST];
	size_t listen_count;
	const char *users[OPTIONS_LIST]; /* NAME:PASSWORD */
	size_t user_count;
	const char *cert, *key, *write_cert, *hostname, *mechs;
	const char *mt_priority; /* profile, "-": none; NULL: not offered */
	const char *script, *ledger, *store, *stats, *tokens, *ready_file,
	    *transcript;
	bool require_auth, auth_without_tls, require_tls, no_authzid;
	bool token_asked;
	bool starttls, pipelining, chunking, size_offered, eightbit, smtputf8;
	bool dsn, enhanced, enforce_lockstep, tls12, tickets, nodelay;
	bool announce_limits; /* LIMITS: max_messages, max_rcpts */
	bool always_go_ahead, ledger_sync, quickack, refuse_overlap;
	uint64_t size;
	uint64_t max_connections, max_messages, max_rcpts;
	bool max_messages_close;
	double rate_interval_us; /* 0: no rate; else time per message */
	uint64_t rate_burst;
	enum rate_stage rate_stage;
	const char *rate_reply;
	enum personality personality;
	unsigned tarpit_ms, soft_errors, hard_errors;
	unsigned latency_ms, greeting_delay_ms;
	int recvbuf, sndbuf;
	uint64_t seed;
};

/* Fatal, with a line that says what is allowed, when something is wrong. */
void options_parse(struct options *o, int argc, char **argv);

#endif
