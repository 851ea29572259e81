/* verdict: what a reply, or its absence, means for a recipient. Pure policy.
 *
 * Words, status codes and classes are smtp(8)'s, so that log tools and
 * administrators read what they know. Departures, on the safe side: a reply
 * code out of range defers (smtp(8) bounces with 5.5.0), and a 421 to any
 * command says nothing about the message: it goes to another session.
 */
#ifndef VERDICT_H
#define VERDICT_H

#include <stdbool.h>

#include "agent/engine/peer.h"
#include "agent/engine/pipeline.h"
#include "agent/engine/request.h"
#include "common/smtp/reply.h"

enum meaning {
	MEANING_OK,
	MEANING_DEFER,
	MEANING_BOUNCE,
	MEANING_ELSEWHERE, /* 421: the stream ends here, nothing was taken */
	MEANING_LATER, /* not now (a rule says so): kept, to be tried again */
};

/* The meaning of a reply to a command of this kind. */
enum meaning verdict_judge(enum command_kind kind, const struct reply *reply);

/* Such a code says that BDAT is not known, unless one was taken before. */
bool verdict_knows_no_bdat(int code);

/* The session's side of a verdict. */
struct verdict_source {
	const struct peer *peer;
	int conn_use;
	bool dsn_offered;
	struct timeval conn_done; /* MAIL was rendered */
	struct timeval now;
};

/* A reply of the server to a command: the sent or the failed form. */
struct verdict *verdict_from_reply(enum outcome outcome,
    const struct verdict_source *from, enum command_kind kind,
    const struct reply *reply);

/* Our own finding, with the session known (from may be NULL: relay=none). */
struct verdict *verdict_local(enum outcome outcome,
    const struct verdict_source *from, const char *status, const char *format,
    ...) __attribute__((format(printf, 4, 5)));

/* From a finished dsn (a failed dial, a lost connection). */
struct verdict *verdict_from_dsn(enum outcome outcome,
    const struct verdict_source *from, const struct dsn *dsn,
    const char *diag_text);

/* Whom a failed attempt talked to: relay=H[A]:P and tls= of its log line. */
void verdict_set_peer(struct verdict *v, const struct peer *peer);

/* "lost connection with H while sending RCPT TO", "conversation with H timed
 * out while ..."; 4.4.2. Or "replies of H cannot be told apart while ...". */
enum verdict_loss { LOSS_CONNECTION, LOSS_TIMEOUT, LOSS_PLACE };
void verdict_lost(struct dsn *out, const struct peer *peer,
    enum command_kind kind, bool is_in_doubt, enum verdict_loss loss);

/* "RCPT TO command" and the like, for "(in reply to ...)". */
const char *verdict_command_name(enum command_kind kind);

#endif
