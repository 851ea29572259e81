/* server: the smarthost's side of one connection, with everything it may do.
 *
 *   octets of the lane -> in --server_step()--> replies --> what the lane reads
 *
 * One command (or the end of a content) a step, and at each a choice of what
 * the server does: obey, refuse, close, or let its replies go wrong. Where it
 * obeys it behaves as measured with real servers:
 *
 *   SERVER_POSTFIX  a transaction whose end of data or DATA was refused stays
 *                   open; BDAT closes it
 *   SERVER_EXIM     all but a refusal at the end of data leaves it open
 *
 * In an open transaction MAIL gets 503, and what follows is taken with the
 * former sender: the mix-up a client has to prevent. What is taken, and what is
 * refused by choice, goes to the ledger.
 */
#ifndef SERVER_H
#define SERVER_H

#include <stdbool.h>
#include <stddef.h>

#include "common/base/buf.h"
#include "test/model/explore.h"
#include "test/model/ledger.h"

enum { SERVER_REPLIES_MAX = 96, SERVER_REPLY_SIZE = 64 };

enum server_kind { SERVER_POSTFIX, SERVER_EXIM };
enum server_words {
	SERVER_DISTINCT, /* each kind of command has words of its own */
	SERVER_ALIKE, /* all are answered by the same */
};
enum server_close { SERVER_OPEN, SERVER_FIN, SERVER_RST };

/* What all connections to it share. */
struct server_site {
	enum server_kind kind;
	enum server_words words;
	struct explore *explore;
	struct ledger *ledger;
	const struct buf *contents; /* LEDGER_MAILS of them, as BDAT has them */
	bool has_slipped; /* a reply was left out, put in or merged */
};

struct server {
	struct server_site *site;
	struct buf in;
	enum server_close close; /* it closed the connection */
	bool is_deaf; /* it stalls until the client has gone */
	bool is_gone; /* and did not do what it was told last: for ever */
	bool owes; /* a reply was left out, perhaps */
	size_t owed; /* about this message, then */
	bool has_hidden; /* it was left out, and was a refusal */
	size_t said_421; /* replies up to one that was no more than that */

	bool in_data, in_bdat, is_last, is_bdat_refused;
	size_t payload_left;
	struct buf content;
	bool has_mail;
	size_t sender; /* of the open transaction */
	bool rcpts[LEDGER_MAILS][LEDGER_RCPTS];
	size_t meant; /* the message of the last MAIL that was read */
	size_t commands;

	char replies[SERVER_REPLIES_MAX][SERVER_REPLY_SIZE];
	size_t reply_count, replies_read;
};

void server_init(struct server *s, struct server_site *site);
void server_fini(struct server *s);

/* Can a step be made? Makes one. */
bool server_is_due(const struct server *s);
void server_step(struct server *s);

/* Steps without choices, until nothing is left: what the kernel had of a dead
 * process. */
void server_step_out(struct server *s);

/* The next reply that was not read, or NULL; it counts as read then. */
const char *server_read(struct server *s);
bool server_has_reply(const struct server *s);

/* Says something nobody asked for, and closes / breaks the connection: what was
 * on its way to either side is lost. */
void server_say_bye(struct server *s);
bool server_may_say_bye(const struct server *s);

/* Its last word was a 421 that is no more than a refusal, or it has refused
 * without a word: the connection does not end now. */
bool server_may_not_end(const struct server *s);
void server_break(struct server *s);

#endif
