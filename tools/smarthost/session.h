/* session: the SMTP dialogue of one connection (RFC 5321 and extensions).
 *
 * Reads whole commands and content from conn->in, asks the script what to
 * do, answers through conn_send(). Sizes: a command line at most LINE_MAX
 * octets, SESSION_RCPTS recipients, content as --size (a hard cap without).
 */
#ifndef SMARTHOST_SESSION_H
#define SMARTHOST_SESSION_H

#include "common/base/buf.h"
#include "tools/smarthost/auth.h"
#include "tools/smarthost/content.h"
#include "tools/smarthost/script.h"

struct conn;

enum {
	SESSION_LINE_MAX = 24576, /* RFC 4954 4 wants 12288 for AUTH */
	SESSION_RCPTS = 100000,
	SESSION_TEXT_MAX = 8 << 20,
};

struct envelope {
	bool is_open; /* MAIL was accepted, or looks so (is_doomed) */
	bool is_doomed; /* MAIL was refused, to be said at RCPT */
	bool has_bdat; /* content has begun by BDAT */
	bool is_8bit; /* BODY=8BITMIME or SMTPUTF8 */
	bool is_utf8; /* SMTPUTF8 */
	struct buf doom; /* that refusal */
	uint64_t rcpt_count, rcpt_tried;
	struct buf sender, mail_params, rcpts, rcpt_params;
	struct buf rcpt; /* the one being looked at */
};

struct session {
	struct conn *conn;
	enum { MODE_COMMAND, MODE_AUTH, MODE_DATA, MODE_BDAT } mode;
	bool is_greeted, is_refused, has_helo, is_esmtp, is_authed;
	bool saw_mail, saw_rcpt; /* tried since the last RSET or message */
	uint64_t msg_nr; /* MAIL commands so far */
	uint64_t taken; /* messages accepted */
	unsigned errors; /* since the last accepted message */
	unsigned junk; /* RSET, NOOP ... since then */
	bool may_reset; /* Exim: one RSET after a message is free */
	unsigned syntax_errors;
	struct auth auth;
	struct envelope env;
	struct content content;
	struct dot dot;
	struct {
		uint64_t left, size;
		bool is_last, is_refused;
		struct buf reply; /* of a refused chunk */
		enum rule_end end; /* what follows it */
		bool is_silent, is_extra, is_merged; /* its reply */
	} bdat;
};

void session_init(struct session *s, struct conn *c);
void session_fini(struct session *s);

/* Looks at conn->in as far as it can be understood now. */
void session_input(struct session *s);

/* Around the handshake; false: the script ends it there. */
bool session_before_tls(struct session *s);
void session_after_tls(struct session *s);

#endif
