/* session_server: a model of an SMTP server, in memory, with its faults.
 *
 *   octets of the client -> session_server_feed() -> replies in server->out
 *
 * It obeys the codes that session_rig.h writes into addresses, and otherwise
 * behaves as measured with real servers:
 *
 *   SERVER_POSTFIX  the sender is judged at RCPT. DATA refused for want of
 *                   recipients leaves the transaction open, and so does a
 *                   refusal at its end; BDAT closes it.
 *   SERVER_EXIM     the sender is judged at MAIL, and RCPT and the content
 *                   get 503 then. DATA and BDAT leave the transaction open.
 *
 * In an open transaction MAIL is answered with 503 (nested) and what follows
 * is taken with the former sender: the mix-up a client has to prevent.
 * The payload of a BDAT is always consumed.
 */
#ifndef SESSION_SERVER_H
#define SESSION_SERVER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/base/buf.h"
#include "common/base/slice.h"

enum { SERVER_RCPTS_MAX = 64, SERVER_ADDRESS_SIZE = 64 };

enum server_kind { SERVER_POSTFIX, SERVER_EXIM };
enum server_state { SERVER_COMMANDS, SERVER_DATA, SERVER_BDAT };

struct session_server {
	/* set by the caller after session_server_init() */
	enum server_kind kind;
	bool says_354_always; /* even with no recipient */
	bool refuses_early; /* 552 to a BDAT line, before its payload */
	bool forbids_pipelining; /* hangs up when something follows */
	uint64_t size_limit; /* 0: none */
	uint64_t close_at_octet; /* no word, no more; UINT64_MAX: never */
	size_t bye_at_command; /* 421 to that command; 0: never */
	size_t messages_max; /* 421 to the MAIL after; 0: any number */
	/* A message was taken; before its reply. */
	void (*on_accept)(
	    void *ctx, const struct session_server *s, struct slice content);
	void *ctx;

	/* for the caller to read */
	struct buf out; /* replies; the caller consumes */
	bool is_closed;
	size_t commands, mails, rsets, nested, quits, accepted;
	size_t violations; /* pipelining that was forbidden */
	char sender[SERVER_ADDRESS_SIZE];
	char rcpts[SERVER_RCPTS_MAX][SERVER_ADDRESS_SIZE];
	size_t rcpt_count;

	/* private */
	enum server_state state;
	struct buf line, content;
	uint64_t octets_in, payload_left;
	bool has_mail, is_last, is_refused;
};

void session_server_init(struct session_server *s, enum server_kind kind);
void session_server_fini(struct session_server *s);

/* n octets arrive. */
void session_server_feed(struct session_server *s, const char *p, size_t n);

/* The reply code for `letter` in an address, 0 when there is none; and the
 * code at the end of a recipient's local part. */
int session_server_code(const char *sender, char letter);
int session_server_rcpt_code(const char *rcpt);

#endif
