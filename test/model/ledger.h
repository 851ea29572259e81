/* ledger: what truly became of each message, and what its lane said of it.
 *
 * The server enters what it took and what it refused, the lane's side what was
 * decided. Whatever cannot be true of dependable mail is a violation, told by
 * ledger_wrong(): a content taken with another's envelope, a recipient that is
 * "sent" though nothing was taken, or returned though nobody refused it, more
 * copies than were in doubt.
 */
#ifndef LEDGER_H
#define LEDGER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "agent/engine/request.h"

enum { LEDGER_MAILS = 3, LEDGER_RCPTS = 2 };

struct ledger_rcpt {
	bool is_decided;
	enum outcome outcome;
	int taken; /* contents, for this recipient */
	int doubts; /* times it was told to be in doubt */
	int refusals; /* with 5xx, by choice of the server */
	int unseen; /* copies that nothing on the wire told of */
};

struct ledger_mail {
	size_t rcpt_count;
	struct ledger_rcpt rcpts[LEDGER_RCPTS];
};

struct ledger {
	struct ledger_mail mails[LEDGER_MAILS];
	bool is_mixing; /* the server */
	/* The first violation; "": none. */
	char wrong[200];
};

/* Message 1 (the second) has two recipients, the others have one. */
void ledger_init(struct ledger *l);

void ledger_wrong(struct ledger *l, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

/* The server took the content of message `content` in a transaction begun by
 * the sender of `sender` for the recipients rcpts[m][i] that are set. */
void ledger_taken(struct ledger *l, size_t content, size_t sender,
    const bool rcpts[LEDGER_MAILS][LEDGER_RCPTS]);

/* It refused a command of the message with 5xx; rcpt LEDGER_RCPTS: one that is
 * about all its recipients. */
void ledger_refused(struct ledger *l, size_t mail, size_t rcpt);

/* What the server says is another thing to whoever counts its replies: the
 * message may be taken once more, and nobody told that it is in doubt. */
void ledger_unseen(struct ledger *l, size_t mail);

/* It goes on with a transaction that it was told to end: mail is mixed up there
 * whatever is said from now on, and only verdicts are judged. */
void ledger_mixing(struct ledger *l);

/* A verdict. / The process died while it had the recipient. */
void ledger_decided(
    struct ledger *l, size_t mail, size_t rcpt, const struct verdict *v);
void ledger_orphaned(struct ledger *l, size_t mail);

bool ledger_is_decided(const struct ledger *l, size_t mail);
bool ledger_all_decided(const struct ledger *l);

/* At the end of a run. */
void ledger_close(struct ledger *l);

/* What became of all, as one number: to count what different ends there are. */
uint64_t ledger_hash(const struct ledger *l);

#endif
