/* session_place: which reply belongs to which command, and how surely.
 *
 * Replies carry no number, so a verdict needs proof of its place; until then a
 * transaction whose replies were all read is held. The rules:
 * doc/internals/architecture.md, "Session". In short: 354, 221 and a wording of
 * its own prove a place and all before it; without BDAT also that nothing is
 * unanswered, but for a refusal that may be a neighbour's
 * (session_bounces_unproven()): for that the 2xx to a RSET behind it does.
 */
#ifndef SESSION_PLACE_H
#define SESSION_PLACE_H

#include "agent/engine/session.h"

/* How the next transaction is to be talked about; t may be NULL. */
enum session_mode session_next_mode(
    const struct session *s, const struct transaction *t, int64_t now_us);

/* This transaction, in this mode, teaches how the server words its replies:
 * alone, and between two RSETs. */
bool session_teaches(const struct session *s, const struct transaction *t,
    enum session_mode mode);

/* What of it is told by XFORWARD: bits of xforward.h. */
unsigned session_xforward(const struct session *s, const struct transaction *t);

enum place {
	PLACE_UNKNOWN, /* may be the reply to this command */
	PLACE_PROVEN, /* is */
	PLACE_TAUGHT, /* is, if nothing comes that was not asked for */
	PLACE_LOST, /* is not */
};

/* What a reply says of its own place, that of the oldest command. */
enum place session_weigh(
    const struct session *s, const struct reply *reply, uint64_t wording);

/* Replies up to off are their commands'. */
void session_prove(struct session *s, uint64_t off, struct moment now);

/* t may be through: rendered, and every reply read. It is held then, and its
 * result counts. / Lets go what is held and believed, too. */
void session_hold(struct session *s, struct transaction *t, struct moment now);
void session_settle(
    struct session *s, struct transaction *t, struct moment now);

/* If everything is answered, lets go what is believed then, and sees to a proof
 * of the rest; true: there is something to be rendered for it. */
bool session_ask_for_proof(struct session *s, struct moment now);

/* All that arrived was read, and nothing came that was not asked for. */
void session_batch_ends(struct session *s, struct moment now);

/* Nobody can say any more which reply belongs to which command: nothing that
 * is not proven is believed. */
void session_lose_place(struct session *s, const char *why,
    const struct reply *reply, struct moment now);

#endif
